package tenants

import (
	"fmt"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// member adds a person to the tenant, without the package that owns people.
func (f *fixture) member(tenant, user string) Member {
	f.Helper()
	f.tx(func(q db.Queryer) error {
		_, err := q.Exec(f.Context(), `INSERT INTO users (environment_id, id, email, email_key, email_verified, created_at, updated_at) VALUES ($1, $2, $2, $2, FALSE, 1, 1)`, f.env.ID, user)
		if err != nil {
			return err
		}
		_, err = q.Exec(f.Context(), `INSERT INTO memberships (tenant_id, id, environment_id, user_id, status, managed_by, email, email_key, created_at, updated_at)
VALUES ($1, $2, $3, $4, 'active', 'local', $4, $4, 1, 1)`, tenant, "mem_"+user, f.env.ID, user)
		return err
	})
	return Member{Membership: "mem_" + user, UserID: user, Email: user}
}

// Product 23 and 39: an application is everybody's, or that of the tenants and
// people it is assigned to.
func TestApplicationAccess(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		a, b := f.tenant(NewTenant{Name: "A"}), f.tenant(NewTenant{Name: "B"})
		ada, bob := f.member(a.ID, "usr_ada"), f.member(a.ID, "usr_bob")
		create := func(name, appType string, tenant, user Access) (app Application) {
			f.tx(func(q db.Queryer) (err error) {
				app, _, err = f.s.CreateApplication(ctx, f.admin, q, NewApplication{
					Name: name, Type: appType, TenantAccess: tenant, UserAccess: user, ApplicationSettings: ApplicationSettings{RedirectURIs: []string{"https://a.example/cb"}},
				})
				return err
			})
			return app
		}
		open, byTenant, byUser := create("open", Web, "", ""), create("by tenant", Web, AccessAssigned, AccessAll), create("by user", SPA, AccessAssigned, AccessAssigned)
		create("service", Machine, "", "")
		f.want("invalid_value", func(q db.Queryer) error {
			wrong := Access("some")
			_, err := f.s.UpdateApplication(ctx, f.admin, q, open.ID, ApplicationPatch{UserAccess: &wrong})
			return err
		})
		may := func(app Application, tenant, user string) bool {
			t.Helper()
			err := f.s.CheckApplication(ctx, d, app, tenant, user)
			if err != nil && err != ErrNotAssigned {
				t.Fatal(err)
			}
			return err == nil
		}
		counts := func(tenant, user string, want int64) {
			t.Helper()
			n, err := f.s.CountApplications(ctx, d, f.env.ID, tenant, user)
			if err != nil || n != want {
				t.Errorf("%d applications of %s in %s, want %d, %v", n, user, tenant, want, err)
			}
			list, _, err := f.s.TenantApplications(ctx, d, f.env.ID, tenant, Position{}, 0)
			if user != "" {
				list, _, err = f.s.UserApplications(ctx, d, f.env.ID, tenant, user, Position{}, 0)
			}
			if err != nil || int64(len(list)) != want {
				t.Errorf("%d applications listed of %s, want %d, %v", len(list), user, want, err)
			}
		}
		counts(a.ID, "", 1)
		if !may(open, a.ID, "usr_ada") || may(byTenant, a.ID, "usr_ada") || may(byUser, a.ID, "usr_ada") {
			t.Error("before anything is assigned")
		}
		f.want("application_not_found", func(q db.Queryer) error {
			_, err := f.s.AssignUser(ctx, f.user(a.ID), q, a.ID, ada, byUser.ID)
			return err
		})
		f.want("environment_only", func(q db.Queryer) error {
			_, err := f.s.AssignTenant(ctx, f.user(a.ID), q, a, byUser.ID)
			return err
		})
		for range 2 { // the second time changes nothing
			for _, id := range []string{byTenant.ID, byUser.ID} {
				f.tx(func(q db.Queryer) error {
					_, err := f.s.AssignTenant(ctx, f.admin, q, a, id)
					return err
				})
			}
			f.tx(func(q db.Queryer) error {
				_, err := f.s.AssignUser(ctx, f.user(a.ID), q, a.ID, ada, byUser.ID)
				return err
			})
		}
		if n := f.count(`SELECT COUNT(*) FROM audit_events WHERE tenant_id = $1 AND action = 'application.assigned'`, a.ID); n != 3 {
			t.Errorf("%d assignments told", n)
		}
		counts(a.ID, "", 3)
		counts(b.ID, "", 1)
		counts(a.ID, "usr_ada", 3)
		counts(a.ID, "usr_bob", 2)
		if !may(byTenant, a.ID, "usr_bob") || may(byTenant, b.ID, "usr_ada") || !may(byUser, a.ID, "usr_ada") || may(byUser, a.ID, "usr_bob") {
			t.Error("assigned")
		}
		counting, n := db.Count(ctx)
		if err := f.s.CheckApplication(counting, d, open, a.ID, "usr_ada"); err != nil || n.Statements() != 0 {
			t.Errorf("an open application costs %d statements, %v", n.Statements(), err)
		}
		if err := f.s.CheckApplication(counting, d, byUser, a.ID, "usr_ada"); err != nil || n.Statements() != 1 {
			t.Errorf("an assigned one costs %d statements, %v", n.Statements(), err)
		}
		f.tx(func(q db.Queryer) error {
			if err := f.s.UnassignUser(ctx, f.user(a.ID), q, a.ID, bob, byUser.ID); err != nil { // he has none
				return err
			}
			return f.s.UnassignUser(ctx, f.user(a.ID), q, a.ID, ada, byUser.ID)
		})
		f.tx(func(q db.Queryer) error { return f.s.UnassignTenant(ctx, f.admin, q, a, byTenant.ID) })
		counts(a.ID, "usr_ada", 1)
		if n := f.count(`SELECT COUNT(*) FROM audit_events WHERE tenant_id = $1 AND action = 'application.unassigned'`, a.ID); n != 2 {
			t.Errorf("%d withdrawals told", n)
		}
		f.tx(func(q db.Queryer) error { return f.s.DeleteApplication(ctx, f.admin, q, byUser.ID) })
		f.tx(func(q db.Queryer) error { return f.s.DeleteTenant(ctx, f.admin, q, a.ID) })
		f.removal()
		if n := f.count(`SELECT (SELECT COUNT(*) FROM application_tenants) + (SELECT COUNT(*) FROM application_users)`); n != 0 {
			t.Errorf("%d assignments outlive what they join", n)
		}
	})
}

// Lists of tenants by beginning of name or key, by status and by parent.
func TestListFilters(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		on, suspended := true, StatusSuspended
		acme := f.tenant(NewTenant{Name: "ACME Österreich", Key: "at", SubaccountsEnabled: &on})
		f.tenant(NewTenant{Name: "Acme Child", Key: "c", ParentID: "at"})
		f.tenant(NewTenant{Name: "Other", Key: "acme-2"})
		f.tenant(NewTenant{Name: "Not acme", Key: "no"})
		f.tenant(NewTenant{Name: "50% off_", Key: "off"})
		f.tx(func(q db.Queryer) error {
			name := "Acme renamed"
			_, err := f.s.UpdateTenant(ctx, f.admin, q, "no", TenantPatch{Name: &name, Status: &suspended})
			return err
		})
		for _, x := range []struct {
			f    Filter
			want string
		}{
			{Filter{}, "at c acme-2 no off "},
			{Filter{Query: "aCmE"}, "at c acme-2 no "},
			{Filter{Query: "acme ö"}, "at "},
			{Filter{Query: "not acme"}, ""}, // it was renamed
			{Filter{Query: "cme"}, ""},
			{Filter{Query: "50% off_"}, "off "},
			{Filter{Query: "%"}, ""},
			{Filter{Query: "acme", Status: StatusSuspended}, "no "},
			{Filter{Query: "acme", ParentID: acme.ID}, "c "},
			{Filter{Status: StatusSuspended}, "no "},
			{Filter{Status: StatusActive}, "at c acme-2 off "},
			{Filter{ParentID: acme.ID}, "c "},
			{Filter{ParentID: acme.ID, Status: StatusSuspended}, ""},
		} {
			got, pages := "", 0
			for x.f.Limit = 2; ; pages++ {
				list, next, err := f.s.List(ctx, d, f.env.ID, x.f)
				if err != nil {
					t.Fatal(err)
				}
				for _, v := range list {
					got += v.Key + " "
				}
				if next == nil {
					break
				}
				x.f.After = *next
			}
			// Created at one instant, so ids decide, which grow.
			if got != x.want {
				t.Errorf("%+v: %q, want %q", x.f, got, x.want)
			}
		}
	})
}

// Product 22: what is refused in account details names its field.
func TestDetails(t *testing.T) {
	for _, x := range []struct {
		d     Details
		field string
	}{
		{Details{Address: "1 Road\nTown", Website: "http://acme.example", Timezone: "Europe/Berlin", Currency: "EUR", Logo: "https://acme.example/l.svg"}, ""},
		{Details{Address: "a\x00"}, "address"},
		{Details{Website: "javascript:alert(1)"}, "website"},
		{Details{Timezone: "Local"}, "timezone"},
		{Details{Timezone: "Europe/Nowhere"}, "timezone"},
		{Details{Timezone: "../../etc/passwd"}, "timezone"},
		{Details{Currency: "eur"}, "currency"},
		{Details{Currency: "E€"}, "currency"},
		{Details{Currency: "123"}, "currency"},
		{Details{Logo: "http://acme.example/l.svg"}, "logo"},
		{Details{Logo: "data:image/png;base64,x"}, "logo"},
	} {
		got := ""
		if err := x.d.check(); err != nil {
			got = fmt.Sprint(fieldOf(err))
		}
		if want := x.field; want != "" && got != "details."+want || want == "" && got != "" {
			t.Errorf("%+v: %q, want %q", x.d, got, want)
		}
	}
}

// Only who may decide over sub-accounts changes the mode (product 2.10).
func TestSubaccountMode(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		a := f.tenant(NewTenant{Name: "A"})
		mode, on := AccessAlwaysOn, true
		change := func(who actor.Actor, p TenantPatch) string {
			return f.try(func(q db.Queryer) error {
				_, err := f.s.UpdateTenant(t.Context(), who, q, a.ID, p)
				return err
			})
		}
		if got := change(f.user(a.ID), TenantPatch{SubaccountAccess: &mode}); got != "permission_missing" {
			t.Errorf("%q", got)
		}
		if got := change(f.user(a.ID), TenantPatch{SubaccountsEnabled: &on}); got != "environment_only" {
			t.Errorf("%q", got)
		}
		if got := change(f.admin, TenantPatch{SubaccountAccess: &mode, SubaccountsEnabled: &on}); got != "" {
			t.Errorf("%q", got)
		}
	})
}

func fieldOf(err error) string {
	f, _ := fault.From(err)
	return f.Field
}

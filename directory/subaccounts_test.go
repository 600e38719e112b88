package directory

import (
	"reflect"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/permission"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Product 7, 8, 9 and 2.10: who of a parent acts in its sub-accounts, at any depth.
func TestEnter(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		for _, c := range []struct {
			id    string
			above []string
		}{{"child", []string{"a"}}, {"grandchild", []string{"child", "a"}}, {"closed", []string{"a"}}} {
			f.exec(`INSERT INTO tenants (environment_id, id, key, parent_id, name, status, created_at, updated_at) VALUES ('env', $1, $1, $2, $1, 'active', 1, 1)`, c.id, c.above[0])
			for depth, up := range append([]string{c.id}, c.above...) {
				f.exec(`INSERT INTO tenant_closure (environment_id, ancestor_id, descendant_id, depth) VALUES ('env', $1, $2, $3)`, up, c.id, depth)
			}
		}
		f.exec(`UPDATE tenants SET status = 'suspended' WHERE id = 'closed'`)
		var ada Person
		f.tx(func(q db.Queryer) (err error) {
			ada, err = f.s.CreateUser(ctx, admin("a"), q, NewUser{Environment: "env", Tenant: "a", Email: "ada@a.example"})
			return err
		})
		user := actor.Actor{Environment: "env", Tenant: "a", Kind: actor.User, Subject: ada.User.ID, Level: actor.LevelOf(3), Permissions: permission.NewSet("fe.secure.read.users")}
		reader := permission.NewSet("fe.account-hierarchy.read.*")
		enter := func(a actor.Actor, target string) bool {
			t.Helper()
			in, err := f.s.Enter(ctx, d, a, "env", target)
			if err != nil {
				if err != tenants.ErrTenantNotFound || in.Tenant != "" {
					t.Errorf("%v, %+v", err, in)
				}
				return false
			}
			if in.Tenant != target || in.Home != "a" || in.Level != a.Level || in.Subject != a.Subject || !reflect.DeepEqual(in.Permissions, a.Permissions) {
				t.Errorf("acts as %+v", in)
			}
			return true
		}
		set := func(access SubaccountAccess) {
			f.tx(func(q db.Queryer) error {
				return f.s.SetSubaccountAccess(ctx, admin("a"), q, "a", ada.User.ID, access)
			})
			if got, err := f.s.SubaccountAccess(ctx, d, "a", ada.User.ID); err != nil || got != access {
				t.Errorf("%q, %v", got, err)
			}
		}
		for _, x := range []struct {
			mode     string
			off, own bool // by his switch off, by none
			on       bool
		}{
			{tenants.AccessDefaultOff, false, false, true},
			{tenants.AccessDefaultOn, false, true, true},
			{tenants.AccessAlwaysOn, true, true, true},
		} {
			f.exec(`UPDATE tenants SET subaccount_access = $1, subaccounts_enabled = TRUE WHERE id = 'a'`, x.mode)
			for access, want := range map[SubaccountAccess]bool{SubaccountOff: x.off, SubaccountDefault: x.own, SubaccountOn: x.on} {
				set(access)
				for _, target := range []string{"child", "grandchild"} {
					if got := enter(user, target); got != want {
						t.Errorf("%s, %q: into %s %v, want %v", x.mode, access, target, got, want)
					}
				}
			}
		}
		// The mode is always_on now.
		f.exec(`UPDATE tenants SET subaccount_access = 'default_on' WHERE id = 'a'`)
		personal := actor.Actor{Environment: "env", Tenant: "a", Kind: actor.APIToken, Subject: "tok_p", Owner: ada.User.ID, Permissions: reader}
		token := actor.Actor{Environment: "env", Tenant: "a", Kind: actor.APIToken, Subject: "tok_t", Permissions: reader}
		set(SubaccountOff)
		inside := user
		inside.Tenant, inside.Home = "child", "a"
		for name, x := range map[string]struct {
			a      actor.Actor
			target string
			want   bool
		}{
			"a tenant's token":                        {token, "grandchild", true},
			"a token without the permission":          {actor.Actor{Environment: "env", Tenant: "a", Kind: actor.APIToken, Permissions: user.Permissions}, "child", false},
			"the personal token of one without":       {personal, "child", false},
			"a person whose own switch is off":        {user, "child", false},
			"a stranger with the tenant's name on":    {actor.Actor{Environment: "env", Tenant: "a", Kind: actor.User, Subject: "usr_x"}, "child", false},
			"a directory":                             {actor.Actor{Environment: "env", Tenant: "a", Kind: actor.SCIM, Permissions: reader}, "child", false},
			"the vendor, who needs no way in":         {actor.Actor{Environment: "env", Kind: actor.Management, Permissions: reader}, "child", false},
			"upwards":                                 {actor.Actor{Environment: "env", Tenant: "child", Kind: actor.APIToken, Permissions: reader}, "a", false},
			"sideways":                                {token, "b", false},
			"itself":                                  {token, "a", false},
			"a suspended sub-account":                 {token, "closed", false},
			"nowhere":                                 {token, "none", false},
			"a parent in between without the ability": {actor.Actor{Environment: "env", Tenant: "child", Kind: actor.APIToken, Permissions: reader}, "grandchild", false},
			"another environment":                     {actor.Actor{Environment: "other", Tenant: "a", Kind: actor.APIToken, Permissions: reader}, "child", false},
		} {
			if got := enter(x.a, x.target); got != x.want {
				t.Errorf("%s: %v", name, got)
			}
		}
		set(SubaccountOn)
		if !enter(personal, "child") || !enter(inside, "grandchild") {
			t.Error("the home decides, wherever he is")
		}
		counting, n := db.Count(ctx)
		if _, err := f.s.Enter(counting, d, user, "env", "grandchild"); err != nil || n.Statements() != 1 {
			t.Errorf("%d statements, %v", n.Statements(), err)
		}
		f.exec(`UPDATE tenants SET subaccounts_enabled = FALSE, subaccount_access = 'always_on' WHERE id = 'a'`)
		if enter(user, "child") || enter(token, "child") {
			t.Error("without the capability")
		}
		for code, x := range map[string]struct {
			user   string
			access SubaccountAccess
		}{"user_not_found": {"usr_x", SubaccountOn}, "invalid_value": {ada.User.ID, "sometimes"}} {
			err := f.d.Tx(ctx, func(q db.Queryer) error { return f.s.SetSubaccountAccess(ctx, admin("a"), q, "a", x.user, x.access) })
			if fault.CodeOf(err) != code {
				t.Errorf("%v, want %s", err, code)
			}
		}
	})
}

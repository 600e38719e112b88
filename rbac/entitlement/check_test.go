package entitlement

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/permission"
)

// admit makes a member of tenant a an admin there.
func (f *fixture) admit(tenant, membership string) {
	f.Helper()
	f.tx(func(q db.Queryer) error {
		roles, err := f.rbac.Roles(f.Context(), q, "env", tenant)
		if err != nil {
			return err
		}
		return f.rbac.AssignRoles(f.Context(), f.admin, q, tenant, membership, []string{roles[0].ID})
	})
}

// Product 99: permissions, flags, plans and who asks, from the store.
func TestCheck(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		f.admit("a", "mem_a1")
		sso := f.feature("sso", readSAML)
		perm := func(user string) Reason { return f.check(Check{Tenant: "a", User: user, Permission: readSAML}) }
		if got := perm("a1"); got != MissingFeature {
			t.Errorf("%q", got)
		}
		if got := perm("a2"); got != MissingPermission {
			t.Errorf("%q", got)
		}
		if got := f.check(Check{Tenant: "a", User: "a1", Permission: "fe.secure.read.users"}); got != "" {
			t.Errorf("linked to nothing: %q", got)
		}
		condition := func(attribute string, op Operator, value any) []Rule {
			return []Rule{{If: Condition{Attribute: attribute, Op: op, Value: value}, Treatment: true}}
		}
		flag := func(rules []Rule) {
			do(f, func(q db.Queryer) (Flag, error) {
				return f.s.PutFlag(ctx, f.admin, q, sso.ID, Flag{On: true, Rules: rules})
			})
		}
		flag(condition("user.email", "ends_with", "@acme.example"))
		if got := perm("a1"); got != "" {
			t.Errorf("by the flag: %q", got)
		}
		if got := f.check(Check{Tenant: "a", Feature: "sso"}); got != MissingFeature {
			t.Errorf("a tenant has no address: %q", got)
		}
		flag(condition("beta", "is", true))
		if got := f.check(Check{Tenant: "a", User: "a1", Permission: readSAML, Attributes: map[string]any{"beta": true}}); got != "" {
			t.Errorf("by an attribute: %q", got)
		}
		flag(condition("jwt.org.tier", "in_list", "gold"))
		if got := f.check(Check{Tenant: "a", User: "a1", Permission: readSAML, Claims: map[string]any{"org": map[string]any{"tier": "gold"}}}); got != "" {
			t.Errorf("by a claim: %q", got)
		}
		flag(condition("user.email", "in_list", "evil@acme.example"))
		if got := f.check(Check{Tenant: "a", User: "a1", Permission: readSAML, Attributes: map[string]any{"user.email": "evil@acme.example"}}); got != MissingFeature {
			t.Errorf("an attribute stands for the user's: %q", got)
		}
		// The address counts as proven when the person proved it, or the tenant holds its domain.
		flag(condition("user.emailVerified", "is", true))
		if got := perm("a1"); got != "" {
			t.Errorf("his own proof: %q", got)
		}
		f.exec(`UPDATE memberships SET email = 'ceo@acme.test', email_key = 'ceo@acme.test' WHERE tenant_id = 'a' AND id = 'mem_a1'`)
		if got := perm("a1"); got != MissingFeature {
			t.Errorf("the proof of another address counts: %q", got)
		}
		f.exec(`INSERT INTO domains (tenant_id, id, environment_id, domain, txt_value, verified_at, verified_by, created_at) VALUES ('a', 'dom', 'env', 'acme.test', 'x', 1, 'dns', 1)`)
		if got := perm("a1"); got != "" {
			t.Errorf("the tenant's domain: %q", got)
		}
		// A plan targets its own features, given to somebody or not.
		do(f, func(q db.Queryer) (Flag, error) { return f.s.DeleteFlag(ctx, f.admin, q, sso.ID) })
		plan := f.plan(NewPlan{Name: "Targeted", Features: []string{"sso"}, Rules: condition("user.tenantId", "in_list", "a")})
		if got := f.check(Check{Tenant: "a", Feature: "sso"}); got != "" {
			t.Errorf("targeted: %q", got)
		}
		if got := f.check(Check{Tenant: "b", Feature: "sso"}); got != MissingFeature {
			t.Errorf("not targeted: %q", got)
		}
		do(f, func(q db.Queryer) (Plan, error) { return f.s.DeletePlan(ctx, f.admin, q, plan.ID) })
		// Who may not log in is entitled to nothing.
		f.grant(NewEntitlement{Tenant: "a", PlanID: f.plan(NewPlan{Name: "Pro", Features: []string{"sso"}}).ID})
		if got := perm("a1"); got != "" {
			t.Errorf("%q", got)
		}
		for _, change := range [][2]string{
			{`UPDATE memberships SET disabled_at = 1 WHERE id = 'mem_a1'`, `UPDATE memberships SET disabled_at = NULL`},
			{`UPDATE memberships SET expires_at = 1 WHERE id = 'mem_a1'`, `UPDATE memberships SET expires_at = NULL`},
			{`UPDATE users SET locked_at = 1 WHERE id = 'a1'`, `UPDATE users SET locked_at = NULL`},
			{`UPDATE tenants SET status = 'suspended' WHERE id = 'a'`, `UPDATE tenants SET status = 'active'`},
		} {
			f.exec(change[0])
			if got, feature := perm("a1"), f.check(Check{Tenant: "a", User: "a1", Feature: "sso"}); got != MissingPermission || feature != MissingFeature {
				t.Errorf("%s: %q, %q", change[0], got, feature)
			}
			f.exec(change[1])
		}
		if got := perm("a1"); got != "" {
			t.Errorf("%q", got)
		}
		// Who asks.
		ask := func(a actor.Actor, c Check) string {
			_, err := f.s.Check(ctx, a, d, []Check{c})
			return fault.CodeOf(err)
		}
		user := actor.Actor{Environment: "env", Tenant: "a", Kind: actor.User, Subject: "a1"}
		reader := user
		reader.Permissions = permission.NewSet("fe.secure.read.users")
		personal := actor.Actor{Environment: "env", Tenant: "a", Kind: actor.APIToken, Subject: "tok_1", Owner: "a1"}
		token := actor.Actor{Environment: "env", Tenant: "a", Kind: actor.APIToken, Subject: "a2"}
		for i, c := range []struct {
			a            actor.Actor
			tenant, user string
			want         string
		}{
			{user, "a", "a1", ""},
			{user, "a", "", ""},
			{user, "a", "a2", "forbidden_user"},
			{reader, "a", "a2", ""},
			{personal, "a", "a1", ""},
			{personal, "a", "a2", "forbidden_user"},
			{token, "a", "", ""},
			{token, "a", "a2", "forbidden_user"}, // its id is nobody's
			{reader, "b", "b1", "tenant_not_found"},
			{token, "b", "", "tenant_not_found"},
			{f.admin, "b", "b1", ""},
			{f.admin, "x", "x1", "tenant_not_found"},
			{f.admin, "gone", "", "tenant_not_found"},
		} {
			if got := ask(c.a, Check{Tenant: c.tenant, User: c.user, Feature: "sso"}); got != c.want {
				t.Errorf("%d: %q, want %q", i, got, c.want)
			}
		}
		for _, c := range []Check{{Tenant: "a", User: "a1"}, {Tenant: "a", User: "a1", Feature: "sso", Permission: readSAML}, {Tenant: "a", Permission: readSAML}} {
			if got := ask(f.admin, c); got != "invalid_check" {
				t.Errorf("%+v: %q", c, got)
			}
		}
		if _, err := f.s.Check(ctx, f.admin, d, make([]Check, MaxChecks+1)); fault.CodeOf(err) != "too_many" {
			t.Error(err)
		}
	})
}

// Every question costs the same however many features, plans and rules there
// are, and questions about one user share what is read.
func TestLoadIsConstant(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.admit("a", "mem_a1")
		cost := func() (load, trips, single, batch int64) {
			ctx, n := db.Count(t.Context())
			facts, err := f.s.Load(ctx, d, Subject{Environment: "env", Tenant: "a", Membership: "mem_a1"}, Want{Features: []string{"f0"}, Permissions: []string{readSAML}})
			if err != nil || len(facts.Features) > 2 {
				t.Fatalf("%d features, %v", len(facts.Features), err)
			}
			load, trips = n.Statements(), n.RoundTrips()
			run := func(checks []Check) int64 {
				ctx, n := db.Count(t.Context())
				if _, err := f.s.Check(ctx, f.admin, d, checks); err != nil {
					t.Fatal(err)
				}
				return n.Statements()
			}
			one := Check{Tenant: "a", User: "a1", Permission: readSAML}
			single = run([]Check{one})
			many := make([]Check, 0, MaxChecks)
			for range MaxChecks / 2 {
				many = append(many, one, Check{Tenant: "a", User: "a1", Feature: "f0"})
			}
			return load, trips, single, run(many)
		}
		f.feature("f0", readSAML)
		load, trips, single, batch := cost()
		if load != 6 || trips != 1 || batch != single {
			t.Errorf("Load: %d statements in %d round trips; Check: %d, a batch %d", load, trips, single, batch)
		}
		rules := make([]Rule, 10)
		for i := range rules {
			rules[i] = Rule{If: Condition{Attribute: "x", Op: "equal", Value: float64(i)}, Treatment: true}
		}
		var features []string
		for i := range 50 {
			links := []string{"fe.secure.read.users"}
			if i == 0 {
				links = []string{readSAML}
			}
			features = append(features, f.feature(fmt.Sprint("g", i), links...).Key)
		}
		for i := range 20 {
			p := f.plan(NewPlan{Name: fmt.Sprint(i), Features: features, Rules: rules})
			f.grant(NewEntitlement{Tenant: "a", PlanID: p.ID})
			f.grant(NewEntitlement{Tenant: "a", PlanID: p.ID, UserID: "a1"})
		}
		if l, tr, s, b := cost(); l != load || tr != trips || s != single || b != batch {
			t.Errorf("with 50 features and 20 plans: %d %d %d %d, were %d %d %d %d", l, tr, s, b, load, trips, single, batch)
		}
	})
}

// A question reads what the tenant and the user have, not what all others have.
func TestGrantsAreFoundByIndex(t *testing.T) {
	d := dbtest.Open(t, db.SQLite)
	rows, err := d.Query(t.Context(), "EXPLAIN QUERY PLAN "+sqlLoadGrants, "a", "mem_a1")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan strings.Builder
	for rows.Next() {
		var a, b, c int
		var step string
		if err := rows.Scan(&a, &b, &c, &step); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(step + "\n")
	}
	for _, index := range []string{"entitlements_tenant (tenant_id=?", "entitlements_user (tenant_id=? AND membership_id=?"} {
		if !strings.Contains(plan.String(), index) {
			t.Errorf("without %s:\n%s", index, plan.String())
		}
	}
}

// Product 97 and 134: where an environment wants it, people and tokens of a tenant
// use a permission only with the feature that it is linked to.
func TestAllows(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		f.feature("sso", readSAML)
		holds := permission.NewSet("fe.secure.*")
		user := actor.Actor{Environment: "env", Tenant: "a", Kind: actor.User, Subject: "a1", Permissions: holds}
		second := actor.Actor{Environment: "env", Tenant: "a", Kind: actor.User, Subject: "a2", Permissions: holds}
		personal := actor.Actor{Environment: "env", Tenant: "a", Kind: actor.APIToken, Subject: "tok_1", Owner: "a1", Permissions: holds}
		token := actor.Actor{Environment: "env", Tenant: "a", Kind: actor.APIToken, Subject: "tok_2", Permissions: holds}
		parent := actor.Actor{Environment: "env", Tenant: "a", Home: "b", Kind: actor.User, Subject: "b1", Permissions: holds}
		allowed := func(want string, actors ...actor.Actor) {
			t.Helper()
			for _, a := range actors {
				if got := fault.CodeOf(f.s.Allows(ctx, d, a, readSAML)); got != want {
					t.Errorf("%s %s: %q, want %q", a.Kind, a.Subject, got, want)
				}
			}
		}
		allowed("", f.admin, actor.Actor{Environment: "env", Tenant: "a", Kind: actor.SCIM})
		allowed("not_entitled", user, second, personal, token, parent)
		if err := f.s.Allows(ctx, d, user, "fe.secure.read.users"); err != nil {
			t.Errorf("linked to nothing: %v", err)
		}
		count, n := db.Count(ctx)
		if _ = f.s.Allows(count, d, user, "fe.secure.read.users"); n.Statements() != 1 {
			t.Errorf("%d statements", n.Statements())
		}
		plan := f.plan(NewPlan{Name: "Pro", Features: []string{"sso"}})
		f.grant(NewEntitlement{Tenant: "a", PlanID: plan.ID, UserID: "a1"})
		allowed("", user, personal)
		allowed("not_entitled", second, token, parent)
		f.grant(NewEntitlement{Tenant: "a", PlanID: plan.ID})
		allowed("", user, second, personal, token, parent)
	})
}

func BenchmarkCheck(b *testing.B) {
	dbtest.Bench(b, func(b *testing.B, d db.DB) {
		f := newFixture(b, d)
		f.admit("a", "mem_a1")
		f.feature("sso", readSAML)
		f.grant(NewEntitlement{Tenant: "a", PlanID: f.plan(NewPlan{Name: "Pro", Features: []string{"sso"}}).ID})
		checks := []Check{{Tenant: "a", User: "a1", Permission: readSAML}}
		for b.Loop() {
			if r, err := f.s.Check(context.Background(), f.admin, d, checks); err != nil || !r[0].Entitled {
				b.Fatal(r, err)
			}
		}
	})
}

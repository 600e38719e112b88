package entitlement

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// fixture is the environments "env" and "other", each with the built-in
// permissions and a management key's actor, the tenants "a" and "b" of "env" with
// the members <t>1 and <t>2, and "x" of "other".
type fixture struct {
	testing.TB
	d     db.DB
	s     *Service
	rbac  *rbac.Service
	clock *clock.Fake
	admin actor.Actor
	other actor.Actor
}

func newFixture(t testing.TB, d db.DB) *fixture {
	t.Helper()
	c := clock.NewFake(now)
	v, err := keys.NewVault(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	ses := sessions.New(v, c)
	roles := rbac.New(c)
	f := &fixture{
		TB: t, d: d, clock: c, rbac: roles, s: New(tenants.New(v, ses, c, tenants.Options{}), directory.New(c, ses), roles, c),
		admin: actor.Actor{Environment: "env", Kind: actor.Management, Subject: "key_1"}, other: actor.Actor{Environment: "other", Kind: actor.Management, Subject: "key_2"},
	}
	for _, env := range []string{"env", "other"} {
		f.exec(`INSERT INTO environments (id, name, base_url, is_default, created_at, updated_at) VALUES ($1, $1, '', $2, 1, 1)`, env, env == "env")
		f.tx(func(q db.Queryer) error { return roles.EnsurePresets(t.Context(), q, env) })
	}
	for tenant, env := range map[string]string{"a": "env", "b": "env", "x": "other"} {
		f.exec(`INSERT INTO tenants (environment_id, id, key, name, status, created_at, updated_at) VALUES ($2, $1, $1, $1, 'active', 1, 1)`, tenant, env)
		for _, n := range []string{"1", "2"} {
			f.exec(`INSERT INTO users (environment_id, id, email, email_key, email_verified, created_at, updated_at) VALUES ($2, $1, $3, $3, TRUE, 1, 1)`, tenant+n, env, tenant+n+"@acme.example")
			f.exec(`INSERT INTO memberships (tenant_id, id, environment_id, user_id, status, managed_by, email, email_key, created_at, updated_at) VALUES ($1, $2, $3, $4, 'active', 'local', $5, $5, 1, 1)`,
				tenant, "mem_"+tenant+n, env, tenant+n, tenant+n+"@acme.example")
		}
	}
	return f
}

func (f *fixture) exec(sql string, args ...any) {
	f.Helper()
	if _, err := f.d.Exec(f.Context(), sql, args...); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) tx(do func(db.Queryer) error) {
	f.Helper()
	if err := f.d.Tx(f.Context(), do); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) want(code string, do func(db.Queryer) error) {
	f.Helper()
	err := f.d.Tx(f.Context(), do)
	if err != nil && fault.CodeOf(err) == "" {
		f.Fatal(err)
	}
	if got := fault.CodeOf(err); got != code {
		f.Errorf("%v, want %q", err, code)
	}
}

// do runs an operation in a transaction and gives what it returns.
func do[T any](f *fixture, op func(q db.Queryer) (T, error)) (out T) {
	f.Helper()
	f.tx(func(q db.Queryer) (err error) {
		out, err = op(q)
		return err
	})
	return out
}

func (f *fixture) feature(key string, permissions ...string) Feature {
	f.Helper()
	return do(f, func(q db.Queryer) (Feature, error) {
		return f.s.CreateFeature(f.Context(), f.admin, q, NewFeature{Key: key, Name: key, Permissions: permissions})
	})
}

func (f *fixture) plan(in NewPlan) Plan {
	f.Helper()
	return do(f, func(q db.Queryer) (Plan, error) { return f.s.CreatePlan(f.Context(), f.admin, q, in) })
}

func (f *fixture) grant(in NewEntitlement) Entitlement {
	f.Helper()
	return do(f, func(q db.Queryer) (Entitlement, error) { return f.s.Grant(f.Context(), f.admin, q, in) })
}

// check answers with "" for entitled.
func (f *fixture) check(c Check) Reason {
	f.Helper()
	r, err := f.s.Check(f.Context(), f.admin, f.d, []Check{c})
	if err != nil {
		f.Fatal(err)
	}
	if r[0].Entitled != (r[0].Reason == "") {
		f.Errorf("%+v", r[0])
	}
	return r[0].Reason
}

func (f *fixture) events(tenant string) (actions []string) {
	f.Helper()
	rows, err := f.d.Query(f.Context(), `SELECT action FROM audit_events WHERE tenant_id = $1 ORDER BY id`, tenant)
	if err != nil {
		f.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var a string
		if err := rows.Scan(&a); err != nil {
			f.Fatal(err)
		}
		actions = append(actions, a)
	}
	return actions
}

const readSAML = "fe.secure.read.samlConfiguration"

// Product 92, 93 and 95: features, plans and flags of an environment.
func TestCatalogue(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		create := func(code string, in NewFeature) {
			t.Helper()
			f.want(code, func(q db.Queryer) error {
				_, err := f.s.CreateFeature(ctx, f.admin, q, in)
				return err
			})
		}
		sso := do(f, func(q db.Queryer) (Feature, error) {
			return f.s.CreateFeature(ctx, f.admin, q, NewFeature{Key: "sso", Name: " SSO ", Metadata: map[string]any{"page": 1.0}, Permissions: []string{readSAML, "fe.secure.*", readSAML}})
		})
		if got, err := f.s.Feature(ctx, d, "env", sso.ID); err != nil || got.Name != "SSO" || !slices.Equal(got.Permissions, []string{"fe.secure.*", readSAML}) || got.Metadata["page"] != 1.0 || got.Version != 1 {
			t.Errorf("%+v, %v", got, err)
		}
		create("key_taken", NewFeature{Key: "sso", Name: "x"})
		create("invalid_key", NewFeature{Key: "s so", Name: "x"})
		create("invalid_key", NewFeature{Name: "x"})
		create("invalid_text", NewFeature{Key: "x"})
		create("unknown_permission", NewFeature{Key: "x", Name: "x", Permissions: []string{readSAML, "nobody.knows"}})
		create("too_many", NewFeature{Key: "x", Name: "x", Metadata: map[string]any{"x": strings.Repeat("x", maxMetadataText)}})
		many := make([]string, maxLinks+1)
		for i := range many {
			many[i] = fmt.Sprint("p", i)
		}
		create("too_many", NewFeature{Key: "x", Name: "x", Permissions: many})
		f.feature("audit")
		// The other environment has keys of its own and sees none of these.
		foreign := do(f, func(q db.Queryer) (Feature, error) {
			return f.s.CreateFeature(ctx, f.other, q, NewFeature{Key: "sso", Name: "theirs"})
		})
		list, next, err := f.s.Features(ctx, d, "env", "", 1)
		if err != nil || len(list) != 1 || list[0].Key != "audit" || next != "audit" {
			t.Fatalf("%+v %q %v", list, next, err)
		}
		if list, next, _ = f.s.Features(ctx, d, "env", next, 1); len(list) != 1 || list[0].ID != sso.ID || next != "" {
			t.Errorf("%+v %q", list, next)
		}
		name, links := "Single sign-on", []string{readSAML}
		sso = do(f, func(q db.Queryer) (Feature, error) {
			return f.s.UpdateFeature(ctx, f.admin, q, sso.ID, FeaturePatch{Name: &name, Permissions: &links})
		})
		if got, _ := f.s.Feature(ctx, d, "env", sso.ID); got.Name != name || !slices.Equal(got.Permissions, links) || got.Version != 2 || sso.Version != 2 || got.Metadata["page"] != 1.0 {
			t.Errorf("%+v", got)
		}

		plan := f.plan(NewPlan{Name: "Pro", Features: []string{"sso", "audit"}, TimeLimitDays: 14})
		bad := func(code string, in NewPlan) {
			t.Helper()
			f.want(code, func(q db.Queryer) error {
				_, err := f.s.CreatePlan(ctx, f.admin, q, in)
				return err
			})
		}
		bad("invalid_text", NewPlan{})
		bad("unknown_feature", NewPlan{Name: "x", Features: []string{"sso", "scim"}})
		bad("invalid_days", NewPlan{Name: "x", TimeLimitDays: -1})
		bad("invalid_rule", NewPlan{Name: "x", Rules: []Rule{{}}})
		features := []string{"sso"}
		plan = do(f, func(q db.Queryer) (Plan, error) {
			return f.s.UpdatePlan(ctx, f.admin, q, plan.ID, PlanPatch{Features: &features})
		})
		if got, err := f.s.Plan(ctx, d, "env", plan.ID); err != nil || !slices.Equal(got.Features, features) || got.Version != 2 || got.TimeLimitDays != 14 || got.Name != "Pro" {
			t.Errorf("%+v, %v", got, err)
		}
		second := f.plan(NewPlan{Name: "Max"})
		if list, next, err := f.s.Plans(ctx, d, "env", "", 1); err != nil || len(list) != 1 || list[0].ID != plan.ID || next != plan.ID {
			t.Errorf("%+v %q %v", list, next, err)
		} else if list, next, _ = f.s.Plans(ctx, d, "env", next, 1); len(list) != 1 || list[0].ID != second.ID || next != "" {
			t.Errorf("%+v %q", list, next)
		}

		rules := []Rule{{If: Condition{Attribute: "user.email", Op: "ends_with", Value: []any{"@acme.example"}}, Treatment: true}}
		put := func() Flag {
			return do(f, func(q db.Queryer) (Flag, error) {
				return f.s.PutFlag(ctx, f.admin, q, sso.ID, Flag{On: true, Rules: rules})
			})
		}
		if g := put(); g.Version != 1 || len(g.Rules) != 1 || !g.On || g.FeatureKey != "sso" {
			t.Errorf("%+v", g)
		}
		if g := put(); g.Version != 2 {
			t.Errorf("%+v", g)
		}
		if list, next, err := f.s.Flags(ctx, d, "env", "", 0); err != nil || len(list) != 1 || next != "" {
			t.Errorf("%+v %v", list, err)
		}
		remove := func() error {
			return d.Tx(ctx, func(q db.Queryer) error {
				_, err := f.s.DeleteFlag(ctx, f.admin, q, sso.ID)
				return err
			})
		}
		if err := remove(); err != nil {
			t.Error(err)
		}
		if err := remove(); fault.CodeOf(err) != "flag_not_found" {
			t.Error(err)
		}
		// Nothing of another environment is found, changed or deleted.
		for code, op := range map[string]func(q db.Queryer) error{
			"feature_not_found": func(q db.Queryer) error { _, err := f.s.DeleteFeature(ctx, f.admin, q, foreign.ID); return err },
			"plan_not_found":    func(q db.Queryer) error { _, err := f.s.DeletePlan(ctx, f.other, q, plan.ID); return err },
		} {
			f.want(code, op)
		}
		f.want("feature_not_found", func(q db.Queryer) error { _, err := f.s.PutFlag(ctx, f.admin, q, foreign.ID, Flag{}); return err })
		f.want("feature_not_found", func(q db.Queryer) error {
			_, err := f.s.UpdateFeature(ctx, f.admin, q, foreign.ID, FeaturePatch{})
			return err
		})
		f.want("plan_not_found", func(q db.Queryer) error { _, err := f.s.UpdatePlan(ctx, f.other, q, plan.ID, PlanPatch{}); return err })
		// A deleted feature leaves its plans.
		put()
		do(f, func(q db.Queryer) (Feature, error) { return f.s.DeleteFeature(ctx, f.admin, q, sso.ID) })
		if got, _ := f.s.Plan(ctx, d, "env", plan.ID); len(got.Features) != 0 {
			t.Errorf("%+v", got)
		}
		do(f, func(q db.Queryer) (Plan, error) { return f.s.DeletePlan(ctx, f.admin, q, plan.ID) })
		if got := f.events(""); !slices.Contains(got, "feature.deleted") || !slices.Contains(got, "feature_flag.updated") || !slices.Contains(got, "feature_flag.deleted") || !slices.Contains(got, "plan.updated") || !slices.Contains(got, "plan.deleted") {
			t.Errorf("events %v", got)
		}
	})
}

// Product 94 and 2.1: plans of tenants and of users beside each other, once each,
// of which only the expiry changes.
func TestGrants(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		f.feature("sso", readSAML)
		plan := f.plan(NewPlan{Name: "Pro", Features: []string{"sso"}})
		try := func(code string, in NewEntitlement) {
			t.Helper()
			f.want(code, func(q db.Queryer) error {
				_, err := f.s.Grant(ctx, f.admin, q, in)
				return err
			})
		}
		try("unknown_plan", NewEntitlement{Tenant: "a", PlanID: "pln_none"})
		try("unknown_member", NewEntitlement{Tenant: "a", PlanID: plan.ID, UserID: "b1"})
		try("invalid_expiry", NewEntitlement{Tenant: "a", PlanID: plan.ID, ExpiresAt: now})
		f.want("unknown_plan", func(q db.Queryer) error {
			_, err := f.s.Grant(ctx, f.other, q, NewEntitlement{Tenant: "x", PlanID: plan.ID})
			return err
		})
		for _, c := range []struct{ user, before string }{{"a1", "MISSING_FEATURE"}, {"a2", "MISSING_FEATURE"}, {"", "MISSING_FEATURE"}, {"b1", "MISSING_FEATURE"}, {"nobody", "MISSING_FEATURE"}} {
			if got := f.check(Check{Tenant: "a", User: c.user, Feature: "sso"}); got != Reason(c.before) {
				t.Errorf("%s: %s", c.user, got)
			}
		}
		ofUser := f.grant(NewEntitlement{Tenant: "a", PlanID: plan.ID, UserID: "a1", ExpiresAt: now.Add(time.Hour)})
		try("entitlement_exists", NewEntitlement{Tenant: "a", PlanID: plan.ID, UserID: "a1"})
		answers := func(want map[string]Reason) {
			t.Helper()
			for user, reason := range want {
				if got := f.check(Check{Tenant: "a", User: user, Feature: "sso"}); got != reason {
					t.Errorf("%q: %q, want %q", user, got, reason)
				}
			}
		}
		answers(map[string]Reason{"a1": "", "a2": MissingFeature, "": MissingFeature})
		f.clock.Advance(time.Hour)
		answers(map[string]Reason{"a1": BundleExpired, "a2": MissingFeature})
		ofTenant := f.grant(NewEntitlement{Tenant: "a", PlanID: plan.ID, ExpiresAt: now.Add(2 * time.Hour)})
		try("entitlement_exists", NewEntitlement{Tenant: "a", PlanID: plan.ID})
		answers(map[string]Reason{"a1": "", "a2": "", "": "", "b1": MissingFeature, "nobody": MissingFeature})
		if got := f.check(Check{Tenant: "b", Feature: "sso"}); got != MissingFeature {
			t.Errorf("another tenant: %q", got)
		}
		f.clock.Advance(time.Hour)
		answers(map[string]Reason{"a1": BundleExpired, "a2": BundleExpired, "": BundleExpired})
		set := func(tenant, id string, to time.Time) (Entitlement, error) {
			var e Entitlement
			err := d.Tx(ctx, func(q db.Queryer) (err error) {
				e, err = f.s.SetExpiry(ctx, f.admin, q, tenant, id, to)
				return err
			})
			return e, err
		}
		if e, err := set("a", ofUser.ID, time.Time{}); err != nil || e.Version != 2 || !e.ExpiresAt.IsZero() || e.UserID != "a1" {
			t.Errorf("%+v, %v", e, err)
		}
		answers(map[string]Reason{"a1": "", "a2": BundleExpired})
		if _, err := set("b", ofUser.ID, time.Time{}); fault.CodeOf(err) != "entitlement_not_found" {
			t.Errorf("from another tenant: %v", err)
		}
		list, next, err := f.s.Entitlements(ctx, d, "a", EntitlementFilter{Limit: 1})
		if err != nil || len(list) != 1 || list[0].ID != ofUser.ID || next == "" || list[0].PlanName != "Pro" {
			t.Fatalf("%+v %q %v", list, next, err)
		}
		if list, next, _ = f.s.Entitlements(ctx, d, "a", EntitlementFilter{After: next, Limit: 1}); len(list) != 1 || list[0].ID != ofTenant.ID || next != "" || list[0].UserID != "" {
			t.Errorf("%+v %q", list, next)
		}
		if list, _, _ = f.s.Entitlements(ctx, d, "a", EntitlementFilter{User: "a1", Plan: plan.ID}); len(list) != 1 || list[0].ID != ofUser.ID {
			t.Errorf("%+v", list)
		}
		if list, _, _ = f.s.Entitlements(ctx, d, "b", EntitlementFilter{}); len(list) != 0 {
			t.Errorf("%+v", list)
		}
		f.want("entitlement_not_found", func(q db.Queryer) error { _, err := f.s.Revoke(ctx, f.admin, q, "b", ofUser.ID); return err })
		do(f, func(q db.Queryer) (Entitlement, error) { return f.s.Revoke(ctx, f.admin, q, "a", ofUser.ID) })
		answers(map[string]Reason{"a1": BundleExpired})
		if got := f.events("a"); !slices.Equal(got, []string{"plan.assigned", "plan.assigned", "entitlement.updated", "plan.unassigned"}) {
			t.Errorf("events %v", got)
		}
		// What is granted goes with the membership and the plan.
		f.grant(NewEntitlement{Tenant: "b", PlanID: plan.ID, UserID: "b1"})
		f.exec(`DELETE FROM memberships WHERE tenant_id = 'b' AND id = 'mem_b1'`)
		if list, _, _ := f.s.Entitlements(ctx, d, "b", EntitlementFilter{}); len(list) != 0 {
			t.Errorf("%+v", list)
		}
		do(f, func(q db.Queryer) (Plan, error) { return f.s.DeletePlan(ctx, f.admin, q, plan.ID) })
		if list, _, _ := f.s.Entitlements(ctx, d, "a", EntitlementFilter{}); len(list) != 0 {
			t.Errorf("%+v", list)
		}
		f.exec(`DELETE FROM tenants WHERE id = 'b'`)
	})
}

// A new tenant gets the plans that are for new tenants, for their days.
func TestAssignOnSignup(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		assign := func(a actor.Actor, tenant string) {
			f.tx(func(q db.Queryer) error { return f.s.AssignOnSignup(ctx, a, q, tenant) })
		}
		assign(f.admin, "a") // there are none
		trial := f.plan(NewPlan{Name: "Trial", AssignOnSignup: true, TimeLimitDays: 14})
		free := f.plan(NewPlan{Name: "Free", AssignOnSignup: true})
		f.plan(NewPlan{Name: "Pro"})
		assign(f.admin, "b")
		assign(f.other, "x")
		list, _, err := f.s.Entitlements(ctx, d, "b", EntitlementFilter{})
		if err != nil || len(list) != 2 || list[0].PlanID != trial.ID || !list[0].ExpiresAt.Equal(now.AddDate(0, 0, 14)) || list[1].PlanID != free.ID || !list[1].ExpiresAt.IsZero() {
			t.Errorf("%+v, %v", list, err)
		}
		if got := f.events("b"); !slices.Equal(got, []string{"plan.assigned", "plan.assigned"}) {
			t.Errorf("events %v", got)
		}
		for _, tenant := range []string{"a", "x"} {
			if list, _, _ := f.s.Entitlements(ctx, d, tenant, EntitlementFilter{}); len(list) != 0 {
				t.Errorf("%s has %+v", tenant, list)
			}
		}
	})
}

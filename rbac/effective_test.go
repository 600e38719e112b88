package rbac

import (
	"slices"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// Product 57, 58, 123, 135; identity rule 8: the union of every source, and why.
func TestEffective(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		if e := f.effective("a", "a1"); e.Level != actor.NoLevel || len(e.Roles)+len(e.Permissions) != 0 || e.Roles == nil || e.Permissions == nil {
			t.Errorf("without roles: %+v", e)
		}
		dev := f.role("dev", 10, "", "fe.secure.read.users")
		ops := f.role("ops", 20, "a", "fe.secure.read.groups", "fe.secure.read.users")
		f.assign("a", "a1", dev.ID)
		f.tx(func(q db.Queryer) error {
			return f.s.SetGroupRoles(ctx, f.admin, q, "a", "alocal", []string{dev.ID, ops.ID})
		})
		if got := f.sources("a", "a1", "dev"); !slices.Equal(got, []string{"direct"}) {
			t.Errorf("not yet a member: %v", got)
		}
		f.member("a", "alocal", "a1")
		e := f.effective("a", "a1")
		if !slices.Equal(e.Keys(), []string{"dev", "ops"}) || e.Level != 10 || !slices.Equal(e.Permissions, []string{"fe.secure.read.groups", "fe.secure.read.users"}) {
			t.Errorf("%+v", e)
		}
		if got := f.sources("a", "a1", "dev"); !slices.Equal(got, []string{"direct", "group:Local"}) {
			t.Errorf("sources %v", got)
		}
		// Product 58: the group still grants it.
		f.assign("a", "a1")
		if got := f.sources("a", "a1", "dev"); !slices.Equal(got, []string{"group:Local"}) {
			t.Errorf("after removal: %v", got)
		}
		if direct, _ := f.s.MembershipRoles(ctx, d, "a", "a1"); len(direct) != 0 { // product 136
			t.Errorf("direct roles %v", direct)
		}
		if e := f.effective("a", "a2"); len(e.Roles) != 0 {
			t.Errorf("another member has %v", e.Keys())
		}
		if e := f.effective("b", "a1"); len(e.Roles) != 0 {
			t.Errorf("through another tenant: %v", e.Keys())
		}

		// Wildcards verbatim.
		f.assign("a", "a2", f.roles[AdminKey].ID)
		if e := f.effective("a", "a2"); !slices.Contains(e.Permissions, "fe.secure.*") || e.Level != 0 {
			t.Errorf("%+v", e)
		}
	})
}

func TestEffectiveByNames(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		for i, key := range []string{"scim-any", "scim-own", "assert-any", "assert-own", "nested", "wrong", "default"} {
			f.role(key, 10+i, "", "fe.secure.read.users")
		}
		f.group("a", "eng", "Engineering", "scim")
		f.group("a", "all", "Everybody", "scim")
		f.exec(`INSERT INTO group_children (tenant_id, group_id, child_id, added_at) VALUES ('a', 'all', 'eng', 1)`)
		f.exec(`INSERT INTO group_children (tenant_id, group_id, child_id, added_at) VALUES ('a', 'eng', 'all', 1)`) // a cycle must end
		f.member("a", "eng", "a1")
		f.exec(`INSERT INTO identities (tenant_id, id, connection_id, subject_key, subject, membership_id, created_at) VALUES ('a', 'idn', 'sso_a', 'k', 's', 'a1', 1)`)
		f.exec(`INSERT INTO identity_groups (tenant_id, connection_id, identity_id, name) VALUES ('a', 'sso_a', 'idn', 'vpn')`)
		put := func(a actor.Actor, m ...Mapping) string {
			return f.try(func(q db.Queryer) error { return f.s.PutMappings(ctx, a, q, "a", m) })
		}
		id := func(key string) []string { return []string{f.roles[key].ID} }
		if code := put(f.admin,
			Mapping{"Engineering", "", id("scim-any")}, Mapping{"Engineering", "dir_a", id("scim-own")}, Mapping{"Everybody", "", id("nested")},
			Mapping{"vpn", "", id("assert-any")}, Mapping{"vpn", "sso_a", id("assert-own")},
			Mapping{"engineering", "", id("wrong")}, Mapping{"Engineering", "sso_a", id("wrong")}, Mapping{"vpn", "dir_a", id("wrong")}, Mapping{"Local", "", id("wrong")},
		); code != "" {
			t.Fatal(code)
		}
		f.member("a", "alocal", "a1") // a local group's name is nobody's mapping
		f.tx(func(q db.Queryer) error { return f.s.SetConnectionRoles(ctx, f.admin, q, "a", "sso_a", id("default")) })
		e := f.effective("a", "a1")
		if want := []string{"scim-any", "scim-own", "assert-any", "assert-own", "nested", "default"}; !slices.Equal(e.Keys(), want) {
			t.Errorf("roles %v, want %v", e.Keys(), want)
		}
		for key, want := range map[string]string{"scim-own": "group:Engineering", "nested": "group:Everybody", "assert-own": "group:vpn", "default": "connection:Okta"} {
			if got := f.sources("a", "a1", key); !slices.Equal(got, []string{want}) {
				t.Errorf("%s: %v, want %s", key, got, want)
			}
		}
		// What a disabled connection asserted counts for nothing.
		f.exec(`UPDATE sso_connections SET status = 'disabled' WHERE id = 'sso_a'`)
		if e := f.effective("a", "a1"); slices.Contains(e.Keys(), "assert-own") || slices.Contains(e.Keys(), "default") || !slices.Contains(e.Keys(), "nested") {
			t.Errorf("disabled connection: %v", e.Keys())
		}

		for want, m := range map[string]Mapping{
			"unknown_connection": {"x", "sso_b", id("dev")}, "unknown_role": {"x", "", []string{"rol_x"}}, "invalid_group": {"", "", id("wrong")}, "invalid_list": {"x", "", nil},
		} {
			if want == "unknown_connection" {
				m.RoleIDs = id("wrong")
			}
			if code := put(f.admin, m); code != want {
				t.Errorf("%+v: %q, want %q", m, code, want)
			}
		}
		list, err := f.s.Mappings(ctx, d, "a")
		if err != nil || len(list) != 9 || list[0].Group != "Engineering" || !slices.Equal(list[0].RoleIDs, id("scim-any")) {
			t.Errorf("%+v, %v", list, err)
		}
		if err := d.Batch(ctx, f.s.DeleteConnectionStmts("a", "dir_a")); err != nil {
			t.Fatal(err)
		}
		if list, _ = f.s.Mappings(ctx, d, "a"); len(list) != 7 {
			t.Errorf("%d mappings left", len(list))
		}
	})
}

// Product 113, 120: filtered when computed, so a change can be taken back.
func TestClassification(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		custom := f.role("custom", 5, "a", "fe.secure.read.users", "fe.secure.read.groups")
		system := f.role("system", 5, "", "fe.secure.read.users")
		f.assign("a", "a1", custom.ID)
		f.assign("a", "a2", system.ID)
		byKey := map[string]string{}
		all, _ := f.s.Permissions(ctx, d, "env")
		for _, p := range all {
			byKey[p.Key] = p.ID
		}
		classify := func(key, classification string) {
			f.tx(func(q db.Queryer) error {
				n, err := f.s.Classify(ctx, f.admin, q, []string{byKey[key]}, classification)
				if n != 1 {
					t.Errorf("%d custom roles touched", n)
				}
				return err
			})
		}
		classify("fe.secure.read.users", Never)
		classify("fe.secure.read.audits", Always)
		if e := f.effective("a", "a1"); !slices.Equal(e.Permissions, []string{"fe.secure.read.audits", "fe.secure.read.groups"}) {
			t.Errorf("custom: %v", e.Permissions)
		}
		if e := f.effective("a", "a2"); !slices.Equal(e.Permissions, []string{"fe.secure.read.users"}) {
			t.Errorf("system: %v", e.Permissions)
		}
		classify("fe.secure.read.users", Assignable)
		if e := f.effective("a", "a1"); !slices.Contains(e.Permissions, "fe.secure.read.users") {
			t.Errorf("taken back: %v", e.Permissions)
		}
		f.want("unknown_permission", func(q db.Queryer) error {
			_, err := f.s.Classify(ctx, f.admin, q, []string{"per_x"}, Never)
			return err
		})
		f.want("invalid_classification", func(q db.Queryer) error {
			_, err := f.s.Classify(ctx, f.admin, q, []string{byKey["fe.secure.read.users"]}, "often")
			return err
		})
	})
}

// Product 105, 121 to 123: the level rule on every path.
func TestLevels(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		strong, equal, weak := f.role("strong", 4, ""), f.role("equal", 5, ""), f.role("weak", 6, "")
		foreign := f.role("foreign", 9, "b")
		me := user("a", 5)
		f.assign("a", "a2", strong.ID)
		grants := map[string]func(db.Queryer, []string) error{
			"direct":     func(q db.Queryer, ids []string) error { return f.s.AssignRoles(ctx, me, q, "a", "a1", ids) },
			"group":      func(q db.Queryer, ids []string) error { return f.s.SetGroupRoles(ctx, me, q, "a", "alocal", ids) },
			"connection": func(q db.Queryer, ids []string) error { return f.s.SetConnectionRoles(ctx, me, q, "a", "sso_a", ids) },
			"mapping": func(q db.Queryer, ids []string) error {
				return f.s.PutMappings(ctx, me, q, "a", []Mapping{{"g", "", ids}})
			},
		}
		for name, grant := range grants {
			for _, x := range []struct {
				role Role
				want string
			}{{strong, "role_level_too_strong"}, {equal, ""}, {weak, ""}, {foreign, "unknown_role"}} {
				if got := f.try(func(q db.Queryer) error { return grant(q, []string{x.role.ID}) }); got != x.want {
					t.Errorf("%s %s: %q, want %q", name, x.role.Key, got, x.want)
				}
			}
		}
		// A user without roles grants nothing.
		nobody := user("a", actor.NoLevel)
		f.want("role_level_too_strong", func(q db.Queryer) error {
			_, err := f.s.CheckGrant(ctx, nobody, q, "env", "a", []string{weak.ID})
			return err
		})
		// The target: a stronger person's roles stay.
		f.want("target_level_too_strong", func(q db.Queryer) error { return f.s.AssignRoles(ctx, me, q, "a", "a2", []string{weak.ID}) })
		f.want("target_level_too_strong", func(q db.Queryer) error { return f.s.CheckTarget(ctx, me, q, "a", "a2") })
		f.want("", func(q db.Queryer) error { return f.s.CheckTarget(ctx, f.admin, q, "a", "a2") })
		f.want("", func(q db.Queryer) error { return f.s.CheckTarget(ctx, user("a", 4), q, "a", "a2") })
		// Strength through a group counts (product 123).
		f.tx(func(q db.Queryer) error {
			return f.s.SetGroupRoles(ctx, f.admin, q, "a", "alocal", []string{strong.ID})
		})
		f.member("a", "alocal", "a1")
		f.want("target_level_too_strong", func(q db.Queryer) error { return f.s.CheckTarget(ctx, me, q, "a", "a1") })
		// Group membership grants: refused for a group stronger than the actor, nested or mapped.
		f.want("role_level_too_strong", func(q db.Queryer) error { return f.s.CheckGroup(ctx, me, q, "a", "alocal") })
		f.group("a", "child", "Child", "scim")
		f.want("", func(q db.Queryer) error { return f.s.CheckGroup(ctx, me, q, "a", "child") })
		f.exec(`INSERT INTO group_children (tenant_id, group_id, child_id, added_at) VALUES ('a', 'alocal', 'child', 1)`)
		f.want("role_level_too_strong", func(q db.Queryer) error { return f.s.CheckGroup(ctx, me, q, "a", "child") })
		f.group("a", "mapped", "Mapped", "scim")
		f.tx(func(q db.Queryer) error {
			return f.s.PutMappings(ctx, f.admin, q, "a", []Mapping{{"Mapped", "", []string{strong.ID}}})
		})
		f.want("role_level_too_strong", func(q db.Queryer) error { return f.s.CheckGroup(ctx, me, q, "a", "mapped") })
		f.want("", func(q db.Queryer) error { return f.s.CheckGroup(ctx, user("a", 4), q, "a", "mapped") })
		// Taking a stronger role away is refused too; keeping it is not.
		f.want("role_level_too_strong", func(q db.Queryer) error { return f.s.PutMappings(ctx, me, q, "a", nil) })
		f.want("", func(q db.Queryer) error {
			return f.s.PutMappings(ctx, me, q, "a", []Mapping{{"Mapped", "", []string{strong.ID}}, {"g", "", []string{weak.ID}}})
		})
		f.want("group_not_found", func(q db.Queryer) error { return f.s.SetGroupRoles(ctx, f.admin, q, "a", "blocal", []string{weak.ID}) })
		f.want("connection_not_found", func(q db.Queryer) error {
			return f.s.SetConnectionRoles(ctx, f.admin, q, "a", "sso_b", []string{weak.ID})
		})
	})
}

// Product 106, 2.5.
func TestDefaultRoles(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		if err := d.Batch(ctx, append(f.s.DefaultRoleStmts("a", "env", "a1"), f.s.FirstUserRoleStmts(d, "a", "env", "a1")...)); err != nil {
			t.Fatal(err)
		}
		if e := f.effective("a", "a1"); !slices.Equal(e.Keys(), []string{"read-only"}) {
			t.Errorf("second member of the tenant: %v", e.Keys())
		}
		f.exec(`DELETE FROM memberships WHERE id = 'b2'`)
		if err := d.Batch(ctx, append(f.s.DefaultRoleStmts("b", "env", "b1"), f.s.FirstUserRoleStmts(d, "b", "env", "b1")...)); err != nil {
			t.Fatal(err)
		}
		if e := f.effective("b", "b1"); !slices.Equal(e.Keys(), []string{"admin", "read-only"}) {
			t.Errorf("first member: %v", e.Keys())
		}
	})
}

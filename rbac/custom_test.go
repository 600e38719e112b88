package rbac

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/permission"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// made creates a role as the actor and gives it or the refusal's code.
func (f *fixture) made(a actor.Actor, in NewRole) (r Role, code string) {
	f.Helper()
	code = f.try(func(q db.Queryer) (err error) {
		r, err = f.s.CreateTenantRole(f.Context(), a, q, tenants.EnvironmentSettings{}, in)
		return err
	})
	return r, code
}

func (f *fixture) permissionID(key string) string {
	f.Helper()
	all, err := f.s.Permissions(f.Context(), f.d, "env")
	if err != nil {
		f.Fatal(err)
	}
	for _, p := range all {
		if p.Key == key {
			return p.ID
		}
	}
	f.Fatalf("no permission %s", key)
	return ""
}

func (f *fixture) classify(key, classification string) (n int) {
	f.Helper()
	f.tx(func(q db.Queryer) (err error) {
		n, err = f.s.Classify(f.Context(), f.admin, q, []string{f.permissionID(key)}, classification)
		return err
	})
	return n
}

// The customer's own roles: product 61, 62, 64, 110 to 114.
func TestRolesOfATenant(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		me := user("a", 0)
		admin := f.roles[AdminKey]
		f.tx(func(q db.Queryer) error {
			_, err := f.s.CreatePermission(t.Context(), f.admin, q, NewPermission{Key: "invoices.read", Name: "x", Category: "Invoices"})
			return err
		})
		base := f.role("base", 7, "", "fe.secure.read.users", "invoices.read")

		// Product 62: what a role starts from gives its level and its permissions …
		r, code := f.made(me, NewRole{Name: "Copy", Tenant: "a", BaseRoleID: base.ID})
		if code != "" || r.Key != "copy" || r.Level != 7 || !slices.Equal(r.Permissions, []string{"fe.secure.read.users", "invoices.read"}) {
			t.Errorf("copy: %q %+v", code, r)
		}
		// … unless others are named, and never what such a role may not hold: a wildcard
		// is the listed keys that it covers.
		r, code = f.made(me, NewRole{Name: "Named", Tenant: "a", BaseRoleID: base.ID, Permissions: []string{}})
		if code != "" || len(r.Permissions) != 0 {
			t.Errorf("named: %q %+v", code, r)
		}
		r, code = f.made(me, NewRole{Name: "Powerful", Tenant: "a", BaseRoleID: admin.ID})
		if code != "" || slices.ContainsFunc(r.Permissions, func(k string) bool { return strings.Contains(k, "*") }) ||
			!slices.Contains(r.Permissions, "fe.secure.delete.users") || slices.Contains(r.Permissions, "fe.secure.delete.audits") {
			t.Errorf("of wildcards: %q %v", code, r.Permissions)
		}
		// Nobody makes himself stronger by a role of his own: what he does not hold he
		// neither names nor copies. The application's permissions are the vendor's to classify.
		weak := user("a", 7)
		weak.Permissions = permission.NewSet("fe.secure.*.roles", "fe.secure.read.users")
		if _, code = f.made(weak, NewRole{Name: "Grab", Tenant: "a", BaseRoleID: base.ID, Permissions: []string{"fe.secure.delete.users"}}); code != "permission_not_held" {
			t.Errorf("grab: %q", code)
		}
		if _, code = f.made(weak, NewRole{Name: "Grab", Tenant: "a", BaseRoleID: admin.ID}); code != "role_level_too_strong" {
			t.Errorf("grab a level: %q", code)
		}
		r, code = f.made(weak, NewRole{Name: "Fair", Tenant: "a", BaseRoleID: base.ID, Permissions: []string{"fe.secure.read.users", "invoices.read"}})
		if code != "" {
			t.Errorf("fair: %q", code)
		}
		more := []string{"fe.secure.read.users", "fe.secure.write.users"}
		f.want("permission_not_held", func(q db.Queryer) error {
			_, err := f.s.UpdateRole(t.Context(), weak, q, r.ID, RolePatch{Permissions: &more})
			return err
		})

		// Product 100, 110: only while the environment lets them; the vendor always may.
		for name, off := range map[string]tenants.EnvironmentSettings{
			"feature": {Features: map[tenants.Feature]bool{tenants.FeatureRoles: false}},
			"module":  {Modules: map[tenants.Module]bool{tenants.ModuleRoles: false}},
		} {
			for who, a := range map[string]actor.Actor{"roles_not_enabled": me, "": f.admin} {
				f.want(who, func(q db.Queryer) error {
					_, err := f.s.CreateTenantRole(t.Context(), a, q, off, NewRole{Name: name, Tenant: "a"})
					return err
				})
			}
		}
		// What classifies as never may stay where it stands, and is not added anew.
		if n := f.classify("invoices.read", Never); n != 2 {
			t.Errorf("%d custom roles lose invoices.read, want 2", n)
		}
		kept := []string{"invoices.read"}
		f.want("", func(q db.Queryer) error {
			r, err := f.s.UpdateRole(t.Context(), weak, q, r.ID, RolePatch{Permissions: &kept})
			if len(r.Effective) != 0 || !slices.Equal(r.Permissions, kept) {
				t.Errorf("kept: %v, gives %v", r.Permissions, r.Effective)
			}
			return err
		})
		if _, code = f.made(me, NewRole{Name: "Late", Tenant: "a", Permissions: kept}); code != "permission_not_assignable" {
			t.Errorf("late: %q", code)
		}
		// Always touches every custom role, and so does taking it back (product 120).
		var all int
		if err := d.QueryRow(t.Context(), `SELECT COUNT(*) FROM roles WHERE owner_tenant_id <> ''`).Scan(&all); err != nil {
			t.Fatal(err)
		}
		for _, c := range []string{Always, Assignable} {
			f.tx(func(q db.Queryer) error {
				n, err := f.s.WouldClassify(t.Context(), q, "env", []string{f.permissionID("fe.secure.read.audits")}, c)
				if n != all {
					t.Errorf("%s would touch %d custom roles, want %d", c, n, all)
				}
				return err
			})
			if n := f.classify("fe.secure.read.audits", c); n != all {
				t.Errorf("%s touches %d custom roles, want %d", c, n, all)
			}
			if n := f.classify("fe.secure.read.audits", c); n != 0 {
				t.Errorf("%s again touches %d", c, n)
			}
			r, err := f.s.Role(t.Context(), d, "env", "a", r.ID)
			if err != nil || slices.Contains(r.Effective, "fe.secure.read.audits") != (c == Always) || slices.Contains(r.Permissions, "fe.secure.read.audits") {
				t.Errorf("%s: %v gives %v, %v", c, r.Permissions, r.Effective, err)
			}
		}
		// What roles can hold is listed without what they never can (product 112).
		list, err := f.s.Choosable(t.Context(), d, "env", PermissionFilter{})
		if err != nil || len(list) == 0 || slices.ContainsFunc(list, func(p Permission) bool { return p.Classification == Never || strings.Contains(p.Key, "*") }) {
			t.Errorf("%d choosable, %v", len(list), err)
		}
	})
}

// Who holds a permission is asked of what roles give, not of what stands in them.
func TestHoldersOfAlways(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		r := f.role("own", 5, "a", "fe.secure.read.groups")
		f.assign("a", "a1", r.ID)
		f.classify("fe.secure.read.audits", Always)
		f.classify("fe.secure.read.groups", Never)
		for key, want := range map[string]int{"fe.secure.read.audits": 1, "fe.secure.read.groups": 0} {
			if ids, err := f.s.Holders(t.Context(), d, "env", "a", key, 10); err != nil || len(ids) != want {
				t.Errorf("%s: %v, %v", key, ids, err)
			}
		}
	})
}

// Product 80, 85, 102.
func TestFilters(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.role("billing", 4, "a")
		f.tx(func(q db.Queryer) error {
			_, err := f.s.CreatePermission(t.Context(), f.admin, q, NewPermission{Key: "invoices.read", Name: "Read invoices", Category: "Money"})
			return err
		})
		four := 4
		for _, x := range []struct {
			f    RoleFilter
			want string
		}{
			{RoleFilter{}, "admin read-only billing"},
			{RoleFilter{Level: &four}, "billing"},
			{RoleFilter{Query: "ONLY"}, "read-only"},
			{RoleFilter{Query: "only", Level: &four}, ""},
		} {
			list, err := f.s.FindRoles(t.Context(), d, "env", "a", x.f)
			var keys []string
			for _, r := range list {
				keys = append(keys, r.Key)
			}
			if got := strings.Join(keys, " "); err != nil || got != x.want {
				t.Errorf("%+v: %q, want %q, %v", x.f, got, x.want, err)
			}
		}
		for _, x := range []struct {
			f    PermissionFilter
			want int
		}{
			{PermissionFilter{}, len(catalogue) + 1},
			{PermissionFilter{Creator: ByVendor}, 1},
			{PermissionFilter{Creator: ByBuiltin}, len(catalogue)},
			{PermissionFilter{Category: "Money"}, 1},
			{PermissionFilter{Query: "money"}, 1},
			{PermissionFilter{Query: "invoiceS.R"}, 1},
			{PermissionFilter{Category: "Webhooks"}, 9},
			{PermissionFilter{Creator: ByBuiltin, Query: "invoices"}, 0},
			{PermissionFilter{Classification: Never, Query: "fe.secure.*"}, 1},
		} {
			if list, err := f.s.FindPermissions(t.Context(), d, "env", x.f); err != nil || len(list) != x.want {
				t.Errorf("%+v: %d, want %d, %v", x.f, len(list), x.want, err)
			}
		}
	})
}

// Product 83, 90: categories; product 75: those of built-in permissions stay.
func TestCategories(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		var c Category
		f.tx(func(q db.Queryer) (err error) {
			c, err = f.s.CreateCategory(ctx, f.admin, q, " Money ", "Bills")
			return err
		})
		f.want("name_taken", func(q db.Queryer) error {
			_, err := f.s.CreateCategory(ctx, f.admin, q, "Money", "")
			return err
		})
		var p Permission
		f.tx(func(q db.Queryer) (err error) {
			p, err = f.s.CreatePermission(ctx, f.admin, q, NewPermission{Key: "invoices.read", Name: "x", Category: "Money"})
			return err
		})
		if p.CategoryID != c.ID {
			t.Errorf("the permission is in %s", p.CategoryID)
		}
		f.want("category_not_empty", func(q db.Queryer) error { return f.s.DeleteCategory(ctx, f.admin, q, c.ID) })
		name, taken := "Finance", "Users"
		f.want("name_taken", func(q db.Queryer) error {
			_, err := f.s.UpdateCategory(ctx, f.admin, q, c.ID, CategoryPatch{Name: &taken})
			return err
		})
		f.want("", func(q db.Queryer) error {
			got, err := f.s.UpdateCategory(ctx, f.admin, q, c.ID, CategoryPatch{Name: &name})
			if got.Name != name || got.Description != "Bills" || got.Version != 2 {
				t.Errorf("%+v", got)
			}
			return err
		})
		list, err := f.s.Categories(ctx, d, "env")
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range list {
			if b.Builtin != (b.ID != c.ID) || b.Permissions == 0 {
				t.Errorf("%+v", b)
			}
			if b.Builtin {
				f.want("builtin_category", func(q db.Queryer) error {
					_, err := f.s.UpdateCategory(ctx, f.admin, q, b.ID, CategoryPatch{Name: &name})
					return err
				})
				f.want("builtin_category", func(q db.Queryer) error { return f.s.DeleteCategory(ctx, f.admin, q, b.ID) })
			}
		}
		f.tx(func(q db.Queryer) error { return f.s.DeletePermission(ctx, f.admin, q, p.ID) })
		f.want("", func(q db.Queryer) error { return f.s.DeleteCategory(ctx, f.admin, q, c.ID) })
		f.want("category_not_found", func(q db.Queryer) error { return f.s.DeleteCategory(ctx, f.admin, q, c.ID) })
		// None of it is a tenant's (product 78).
		for what, do := range map[string]func(q db.Queryer) error{
			"category": func(q db.Queryer) error { _, err := f.s.CreateCategory(ctx, user("a", 0), q, "x", ""); return err },
			"permission": func(q db.Queryer) error {
				_, err := f.s.CreatePermission(ctx, user("a", 0), q, NewPermission{})
				return err
			},
			"change": func(q db.Queryer) error {
				_, err := f.s.UpdatePermission(ctx, user("a", 0), q, p.ID, PermissionPatch{})
				return err
			},
			"deletion": func(q db.Queryer) error { return f.s.DeletePermission(ctx, user("a", 0), q, p.ID) },
			"classes": func(q db.Queryer) error {
				_, err := f.s.Classify(ctx, user("a", 0), q, []string{p.ID}, Never)
				return err
			},
			"addition": func(q db.Queryer) error {
				_, err := f.s.AddToRoles(ctx, user("a", 0), q, p.ID, []string{"x"})
				return err
			},
		} {
			if code := f.try(do); code != "environment_only" {
				t.Errorf("%s by a tenant's user: %q", what, code)
			}
		}
		var n int
		if err := d.QueryRow(ctx, `SELECT COUNT(*) FROM audit_events WHERE action LIKE 'permission_category.%'`).Scan(&n); err != nil || n != 3 {
			t.Errorf("%d events of categories, %v", n, err)
		}
	})
}

// Product 86, 89, 109: a permission is added to roles, and a role's are replaced.
func TestAddToRoles(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		one, two, own := f.role("one", 3, "", "fe.secure.read.users"), f.role("two", 3, "", "fe.secure.read.groups"), f.role("own", 3, "a")
		f.assign("a", "a1", two.ID)
		add := func(key string, ids ...string) string {
			return f.try(func(q db.Queryer) error {
				_, err := f.s.AddToRoles(ctx, f.admin, q, f.permissionID(key), ids)
				return err
			})
		}
		if code := add("fe.secure.read.users", one.ID, two.ID, own.ID); code != "" {
			t.Fatal(code)
		}
		if e := f.effective("a", "a1"); !slices.Equal(e.Permissions, []string{"fe.secure.read.groups", "fe.secure.read.users"}) { // product 86
			t.Errorf("%v", e.Permissions)
		}
		if code := add("fe.secure.read.users", one.ID); code != "" {
			t.Errorf("again: %q", code)
		}
		for id, want := range map[string]int64{one.ID: 1, two.ID: 2, own.ID: 2} {
			if r, err := f.s.Role(ctx, d, "env", "", id); err != nil || r.Version != want {
				t.Errorf("%s: version %d, want %d, %v", r.Key, r.Version, want, err)
			}
		}
		if ids, custom, err := f.s.RolesWith(ctx, d, "env", f.permissionID("fe.secure.read.users")); err != nil || len(ids) != 2 || custom != 1 {
			t.Errorf("%v and %d, %v", ids, custom, err)
		}
		if code := add("fe.secure.*", own.ID); code != "permission_not_assignable" {
			t.Errorf("a wildcard into a tenant's role: %q", code)
		}
		if code := add("fe.secure.read.users", "rol_x"); code != "unknown_role" {
			t.Errorf("%q", code)
		}
	})
}

// Product 2.5: a default role may be given to everybody who is there already.
func TestMigrate(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		f.tx(func(q db.Queryer) error {
			_, err := f.s.CreateRole(ctx, f.admin, q, NewRole{Key: "everybody", Name: "x", Level: 9, Default: true, Migrate: true})
			return err
		})
		own := f.role("own", 9, "b")
		yes := true
		f.tx(func(q db.Queryer) error {
			_, err := f.s.UpdateRole(ctx, f.admin, q, own.ID, RolePatch{Default: &yes, Migrate: true})
			return err
		})
		for who, want := range map[string]string{"a1": "everybody", "a2": "everybody", "b1": "everybody own", "b2": "everybody own"} {
			if got := strings.Join(f.effective(who[:1], who).Keys(), " "); got != want {
				t.Errorf("%s has %q, want %q", who, got, want)
			}
		}
		weak := f.role("weak", 9, "")
		f.want("invalid_field", func(q db.Queryer) error {
			_, err := f.s.UpdateRole(ctx, f.admin, q, weak.ID, RolePatch{Migrate: true})
			return err
		})
		f.want("environment_only", func(q db.Queryer) error {
			_, err := f.s.UpdateRole(ctx, user("b", 0), q, own.ID, RolePatch{Migrate: true})
			return err
		})
	})
}

// Product 119: two that take away one default role each do not leave none.
func TestLastDefaultAtOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		no, yes := false, true
		ids := []string{f.roles[ReadOnlyKey].ID, f.role("other", 3, "").ID}
		for round := range 5 {
			for _, id := range ids {
				f.tx(func(q db.Queryer) error {
					_, err := f.s.UpdateRole(t.Context(), f.admin, q, id, RolePatch{Default: &yes})
					return err
				})
			}
			codes := make([]string, len(ids))
			var work sync.WaitGroup
			for i, id := range ids {
				work.Go(func() {
					err := d.Tx(t.Context(), func(q db.Queryer) error {
						_, err := f.s.UpdateRole(t.Context(), f.admin, q, id, RolePatch{Default: &no})
						return err
					})
					codes[i] = fault.CodeOf(err)
					if err != nil && codes[i] == "" {
						t.Error(err)
					}
				})
			}
			work.Wait()
			slices.Sort(codes)
			if !slices.Equal(codes, []string{"", "last_default_role"}) {
				t.Fatalf("round %d: %q", round, codes)
			}
		}
	})
}

// Whoever adds a person without naming roles grants the default roles (product
// 106, 121); what somebody granted earlier is narrowed to his level (product 124).
func TestDefaultsAndNarrow(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		give := func(a actor.Actor) string {
			return f.try(func(q db.Queryer) error { return f.s.AssignDefaults(ctx, a, q, "a", "a1") })
		}
		if code := give(user("a", 2)); code != "role_level_too_strong" { // Read Only is level 1
			t.Errorf("%q", code)
		}
		if e := f.effective("a", "a1"); len(e.Roles) != 0 {
			t.Errorf("refused, and yet %v", e.Keys())
		}
		if code := give(user("a", 1)); code != "" || !slices.Equal(f.effective("a", "a1").Keys(), []string{ReadOnlyKey}) {
			t.Errorf("%q", code)
		}
		foreign := f.role("foreign", 9, "b")
		refs, err := f.s.Narrow(ctx, d, "env", "a", 1, []string{f.roles[AdminKey].ID, f.roles[ReadOnlyKey].ID, foreign.ID, "rol_gone"})
		if err != nil || len(refs) != 1 || refs[0].Key != ReadOnlyKey {
			t.Errorf("%+v, %v", refs, err)
		}
		e, err := f.s.OfRoles(ctx, d, "env", "a", []string{f.roles[ReadOnlyKey].ID, foreign.ID})
		if err != nil || e.Level != 1 || !slices.Equal(e.Keys(), []string{ReadOnlyKey}) || len(e.Permissions) != 3 {
			t.Errorf("%+v, %v", e, err)
		}
	})
}

// Product 60, 63: what adds and what takes away have keys of their own.
func TestKeysOfAssignments(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		r := f.role("weak", 9, "").ID
		as := func(keys ...string) actor.Actor {
			a := user("a", 5)
			a.Permissions = permission.NewSet(keys...)
			return a
		}
		for _, x := range []struct {
			what, add, remove string
			set               func(a actor.Actor, q db.Queryer, ids ...string) error
		}{
			{"direct", "", "fe.secure.delete.usersRoles", func(a actor.Actor, q db.Queryer, ids ...string) error {
				return f.s.AssignRoles(ctx, a, q, "a", "a1", ids)
			}},
			{"group", "fe.secure.write.groupsRoles", "fe.secure.delete.groupsRoles", func(a actor.Actor, q db.Queryer, ids ...string) error {
				return f.s.SetGroupRoles(ctx, a, q, "a", "alocal", ids)
			}},
			{"connection", "fe.secure.write.samlDefaultRoles", "fe.secure.write.samlDefaultRoles", func(a actor.Actor, q db.Queryer, ids ...string) error {
				return f.s.SetConnectionRoles(ctx, a, q, "a", "sso_a", ids)
			}},
		} {
			if x.add != "" {
				f.want("permission_required", func(q db.Queryer) error { return x.set(as(), q, r) })
			}
			f.want("", func(q db.Queryer) error { return x.set(as(x.add), q, r) })
			f.want("", func(q db.Queryer) error { return x.set(as(), q, r) }) // nothing changes
			if x.add != x.remove {
				f.want("permission_required", func(q db.Queryer) error { return x.set(as(x.add), q) })
			}
			f.want("", func(q db.Queryer) error { return x.set(as(x.remove), q) })
		}
	})
}

// A group does not become strong between the look at its level and the change of
// its members (product 121).
func TestGroupStaysAsChecked(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		if d.Dialect().Name == db.SQLite {
			return // it runs one transaction after the other
		}
		f := newFixture(t, d)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		strong := f.role("strong", 1, "").ID
		checked, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			<-checked
			if err := d.Tx(ctx, func(q db.Queryer) error { return f.s.SetGroupRoles(ctx, f.admin, q, "a", "alocal", []string{strong}) }); err != nil {
				t.Error(err)
			}
		}()
		var once sync.Once
		err := d.Tx(ctx, func(q db.Queryer) error {
			if err := f.s.CheckGroup(ctx, user("a", 5), q, "a", "alocal"); err != nil {
				return err
			}
			once.Do(func() { close(checked) })
			_, err := q.Exec(ctx, `INSERT INTO group_members (tenant_id, group_id, membership_id, added_at) VALUES ('a', 'alocal', 'a1', 1)`)
			if err != nil {
				return err
			}
			var n int
			if err := q.QueryRow(ctx, `SELECT COUNT(*) FROM group_roles`).Scan(&n); err != nil || n != 0 {
				t.Errorf("the group became strong meanwhile: %d, %v", n, err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		<-done
		f.want("role_level_too_strong", func(q db.Queryer) error { return f.s.CheckGroup(ctx, user("a", 5), q, "a", "alocal") })
	})
}

// Product 122 for several people at once, at a cost that does not grow.
func TestCheckTargets(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		f.assign("a", "a2", f.role("strong", 4, "").ID)
		check := func(level int, who ...string) string {
			return f.try(func(q db.Queryer) error { return f.s.CheckTargets(ctx, user("a", level), q, "a", who) })
		}
		for _, x := range []struct {
			level int
			who   []string
			want  string
		}{
			{5, []string{"a1"}, ""},
			{5, []string{"a1", "a2"}, "target_level_too_strong"},
			{4, []string{"a1", "a2"}, ""},
			{actor.NoLevel, []string{"a1", "mem_gone"}, ""}, // no role is weaker than none
			{actor.NoLevel, []string{"a2"}, "target_level_too_strong"},
		} {
			if got := check(x.level, x.who...); got != x.want {
				t.Errorf("level %d on %v: %q, want %q", x.level, x.who, got, x.want)
			}
		}
		c, n := db.Count(ctx)
		if err := d.Tx(c, func(q db.Queryer) error {
			return f.s.CheckTargets(c, user("a", 0), q, "a", []string{"a1", "a2", "x", "y"})
		}); err != nil || n.Statements() > 4 {
			t.Errorf("%d statements, %v", n.Statements(), err)
		}
	})
}

// Who holds a role, page by page: product 85, 109.
func TestRoleHolders(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		r := f.role("held", 4, "")
		other := f.role("other", 4, "")
		for _, tenant := range []string{"a", "b"} {
			f.assign(tenant, tenant+"1", r.ID, other.ID)
			f.assign(tenant, tenant+"2", r.ID)
			f.tx(func(q db.Queryer) error {
				if err := f.s.SetGroupRoles(ctx, f.admin, q, tenant, tenant+"local", []string{r.ID}); err != nil {
					return err
				}
				if err := f.s.SetConnectionRoles(ctx, f.admin, q, tenant, "sso_"+tenant, []string{r.ID}); err != nil {
					return err
				}
				return f.s.PutMappings(ctx, f.admin, q, tenant, []Mapping{{"g", "", []string{r.ID}}, {"g", "sso_" + tenant, []string{r.ID}}})
			})
		}
		walk := func(tenant string, limit int) string {
			t.Helper()
			var all []string
			for cursor, pages := "", 0; ; pages++ {
				list, next, err := f.s.RoleHolders(ctx, d, r, tenant, cursor, limit)
				if err != nil || len(list) > limit || pages > 20 {
					t.Fatalf("%d holders, %v", len(list), err)
				}
				for _, h := range list {
					all = append(all, h.Tenant+"/"+h.Kind+"/"+h.ID+"/"+h.Name)
				}
				if next == "" {
					return strings.Join(all, " ")
				}
				cursor = next
			}
		}
		const ofA = "a/user/a1/a1 a/user/a2/a2 a/group/alocal/Local a/connection/sso_a/Okta a/mapping//g a/mapping/sso_a/g"
		const both = "a/user/a1/a1 a/user/a2/a2 b/user/b1/b1 b/user/b2/b2 a/group/alocal/Local b/group/blocal/Local a/connection/sso_a/Okta b/connection/sso_b/Okta a/mapping//g a/mapping/sso_a/g b/mapping//g b/mapping/sso_b/g"
		for limit := 1; limit <= 13; limit++ {
			if got := walk("a", limit); got != ofA {
				t.Errorf("of one tenant by %d: %s", limit, got)
			}
			if got := walk("", limit); got != both {
				t.Errorf("of all by %d: %s", limit, got)
			}
		}
		if _, _, err := f.s.RoleHolders(ctx, d, r, "", "x", 5); fault.CodeOf(err) != "invalid_cursor" {
			t.Errorf("%v", err)
		}
	})
}

// Identity rule 12: whoever acts as somebody else gives no roles, by whatever road,
// though the person might. What takes them away is no road.
func TestImpersonatorGivesNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx, ada := t.Context(), user("a", 0)
		acting := ada
		acting.Impersonator = actor.Impersonator{ID: "key_x"}
		roles := []string{f.roles[ReadOnlyKey].ID}
		for name, give := range map[string]func(a actor.Actor, q db.Queryer) error{
			"roles":         func(a actor.Actor, q db.Queryer) error { return f.s.AssignRoles(ctx, a, q, "a", "a1", roles) },
			"default roles": func(a actor.Actor, q db.Queryer) error { return f.s.AssignDefaults(ctx, a, q, "a", "a1") },
			"a check alone": func(a actor.Actor, q db.Queryer) error {
				_, err := f.s.CheckGrant(ctx, a, q, "env", "a", roles)
				return err
			},
			"mappings": func(a actor.Actor, q db.Queryer) error {
				return f.s.PutMappings(ctx, a, q, "a", []Mapping{{Group: "x", RoleIDs: roles}})
			},
		} {
			if code := f.try(func(q db.Queryer) error { return give(acting, q) }); code != "impersonated" {
				t.Errorf("%s: %q", name, code)
			}
			if code := f.try(func(q db.Queryer) error { return give(ada, q) }); code != "" {
				t.Errorf("%s by the person: %q", name, code)
			}
		}
	})
}

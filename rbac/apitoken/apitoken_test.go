package apitoken

import (
	"encoding/json"
	"errors"
	"net/netip"
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
	"github.com/gatehouse-id/gatehouse/internal/permission"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/tenants"
)

var (
	start   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	address = netip.MustParseAddr("192.0.2.7")
)

// fixture is the environments "env" and "other"; "env" has the tenants "a" and "b"
// with the person "ann" in both, and "bob" in "a".
type fixture struct {
	testing.TB
	d      db.DB
	s      *Service
	roles  *rbac.Service
	people *directory.Service
	clock  *clock.Fake
	vendor actor.Actor
	role   map[string]rbac.Role
	perm   map[string]rbac.Permission
}

func newFixture(t testing.TB, d db.DB) *fixture {
	t.Helper()
	c := clock.NewFake(start)
	f := &fixture{
		TB: t, d: d, clock: c, roles: rbac.New(c), people: directory.New(c, sessions.New(nil, c)), role: map[string]rbac.Role{}, perm: map[string]rbac.Permission{},
		vendor: actor.Actor{Environment: "env", Kind: actor.Management, Subject: "key_1", Name: "ci", Permissions: permission.NewSet("fe.*")},
	}
	f.s = New(f.roles, c)
	f.exec(`INSERT INTO environments (id, name, base_url, is_default, created_at, updated_at) VALUES ('env', 'Env', '', TRUE, 1, 1), ('other', 'Other', 'https://other.example', FALSE, 1, 1)`)
	f.must(f.tx(func(q db.Queryer) error { return f.roles.EnsurePresets(t.Context(), q, "env") }))
	for _, u := range []string{"usr_ann", "usr_bob"} {
		f.exec(`INSERT INTO users (environment_id, id, email, email_key, email_verified, created_at, updated_at) VALUES ('env', $1, $1, $1, FALSE, 1, 1)`, u)
	}
	for _, m := range [][2]string{{"a", "ann"}, {"a", "bob"}, {"b", "ann"}} {
		f.exec(`INSERT INTO tenants (environment_id, id, key, name, status, created_at, updated_at) VALUES ('env', $1, $1, $1, 'active', 1, 1) ON CONFLICT DO NOTHING`, m[0])
		f.exec(`INSERT INTO memberships (tenant_id, id, environment_id, user_id, status, managed_by, email, email_key, first_name, created_at, updated_at)
VALUES ($1, $2, 'env', $3, 'active', 'local', $4, $4, $5, 1, 1)`, m[0], "mem_"+m[1]+m[0], "usr_"+m[1], m[1]+"@x.example", m[1])
	}
	f.must(f.tx(func(q db.Queryer) error {
		for _, p := range []rbac.NewPermission{
			{Key: "invoices.read", Name: "Read", Category: "Invoices"},
			{Key: "invoices.pay", Name: "Pay", Category: "Invoices"},
			{Key: "invoices.void", Name: "Void", Category: "Invoices", Classification: rbac.Never},
		} {
			made, err := f.roles.CreatePermission(t.Context(), f.vendor, q, p)
			if err != nil {
				return err
			}
			f.perm[p.Key] = made
		}
		_, err := f.roles.CreateRole(t.Context(), f.vendor, q, rbac.NewRole{Key: "clerk", Name: "Clerk", Level: 5, Permissions: []string{"invoices.read", "invoices.void"}})
		if err == nil {
			_, err = f.roles.CreateRole(t.Context(), f.vendor, q, rbac.NewRole{Key: "clerk-a", Name: "Clerk", Level: 5, Permissions: []string{"invoices.pay"}, Tenant: "a"})
		}
		return err
	}))
	for _, tenant := range []string{"a", "b"} {
		list, err := f.roles.Roles(t.Context(), d, "env", tenant)
		f.must(err)
		for _, r := range list {
			f.role[r.Key] = r
		}
	}
	return f
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) exec(sql string, args ...any) {
	f.Helper()
	_, err := f.d.Exec(f.Context(), sql, args...)
	f.must(err)
}

func (f *fixture) tx(do func(db.Queryer) error) error { return f.d.Tx(f.Context(), do) }

func (f *fixture) assign(tenant, membership string, roles ...string) {
	f.Helper()
	f.must(f.tx(func(q db.Queryer) error {
		return f.roles.AssignRoles(f.Context(), f.vendor, q, tenant, membership, f.ids(roles...))
	}))
}

func (f *fixture) ids(roles ...string) []string {
	var ids []string
	for _, r := range roles {
		ids = append(ids, f.role[r].ID)
	}
	return ids
}

// person acts in a tenant with what his roles give him.
func (f *fixture) person(tenant, name string) actor.Actor {
	f.Helper()
	e, err := f.roles.Effective(f.Context(), f.d, tenant, "mem_"+name+tenant)
	f.must(err)
	return actor.Actor{
		Environment: "env", Tenant: tenant, Kind: actor.User, Subject: "usr_" + name, Email: name + "@x.example",
		Permissions: permission.NewSet(e.Permissions...), Level: actor.LevelOf(e.Level),
	}
}

func (f *fixture) create(a actor.Actor, tenant string, in NewToken) (t Token, plain, code string) {
	f.Helper()
	if in.Description == "" {
		in.Description = "test"
	}
	err := f.tx(func(q db.Queryer) (err error) {
		t, plain, err = f.s.Create(f.Context(), a, q, tenant, in)
		return err
	})
	return t, plain, f.code(err)
}

func (f *fixture) personal(a actor.Actor, name string, env tenants.EnvironmentSettings, in NewPersonal) (t Token, plain, code string) {
	f.Helper()
	if in.Description == "" {
		in.Description = "mine"
	}
	p, err := f.people.PersonOf(f.Context(), f.d, a.Tenant, "usr_"+name)
	f.must(err)
	err = f.tx(func(q db.Queryer) (err error) {
		t, plain, err = f.s.CreatePersonal(f.Context(), a, q, env, p, in)
		return err
	})
	return t, plain, f.code(err)
}

func (f *fixture) code(err error) string {
	f.Helper()
	if err != nil && fault.CodeOf(err) == "" {
		f.Fatal(err)
	}
	return fault.CodeOf(err)
}

func (f *fixture) authenticate(environment, plain string) (actor.Actor, bool) {
	f.Helper()
	a, err := f.s.Authenticate(f.Context(), f.d, environment, plain, address)
	if err != nil && !errors.Is(err, ErrCredentials) {
		f.Fatal(err)
	}
	return a, err == nil
}

func (f *fixture) dead(what, plain string) {
	f.Helper()
	if a, ok := f.authenticate("env", plain); ok {
		f.Errorf("%s: still %+v", what, a)
	}
}

func (f *fixture) lives(what, plain string) {
	f.Helper()
	if _, ok := f.authenticate("env", plain); !ok {
		f.Errorf("%s: dead", what)
	}
}

// Product 65: tokens of a tenant have roles, which are looked up at each use.
func TestTenantToken(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		made, plain, code := f.create(f.vendor, "a", NewToken{
			Kind: AccessToken, Description: " CI ", RoleIDs: f.ids("clerk", "clerk-a"), PermissionIDs: []string{f.perm["invoices.pay"].ID}, Metadata: map[string]any{"team": "x"},
		})
		if code != "" || made.Description != "CI" || made.Last4 != plain[len(plain)-4:] || made.CreatedByName != "ci" || made.ExpiresAt != start.Add(90*24*time.Hour) || len(made.PermissionIDs) != 0 {
			t.Fatalf("%s %+v", code, made)
		}
		a, ok := f.authenticate("env", plain)
		// The custom role loses nothing here; the system role keeps what no custom role may have.
		if !ok || a.Tenant != "a" || a.Kind != actor.APIToken || a.Subject != made.ID || a.Owner != "" || a.Level.Int() != 5 || a.Name != "CI" ||
			!a.May("invoices.read") || !a.May("invoices.pay") || !a.May("invoices.void") || a.May("fe.secure.read.users") {
			t.Errorf("%+v", a)
		}
		count, n := db.Count(t.Context())
		if _, err := f.s.Authenticate(count, d, "env", plain, address); err != nil || n.Statements() != 2 {
			t.Errorf("%d statements, %v", n.Statements(), err)
		}
		// Somebody changes a role: the next use knows.
		f.must(f.tx(func(q db.Queryer) error {
			_, err := f.roles.UpdateRole(t.Context(), f.vendor, q, f.role["clerk"].ID, rbac.RolePatch{Permissions: &[]string{"invoices.void"}})
			return err
		}))
		if a, _ := f.authenticate("env", plain); a.May("invoices.read") {
			t.Error("a permission that the role lost")
		}
		// It dies with the last of its roles, not with its author.
		for _, r := range []string{"clerk", "clerk-a"} {
			f.lives("before "+r+" goes", plain)
			f.must(f.tx(func(q db.Queryer) error { return f.roles.DeleteRole(t.Context(), f.vendor, q, f.role[r].ID) }))
		}
		f.dead("without roles", plain)
	})
}

func TestPermissionToken(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.assign("a", "mem_anna", "clerk", "admin")
		ann := f.person("a", "ann")
		read := f.perm["invoices.read"].ID
		made, plain, code := f.create(ann, "a", NewToken{Kind: AccessToken, PermissionIDs: []string{read, read}})
		if code != "" || !slices.Equal(made.PermissionIDs, []string{read}) || made.CreatedBy != "usr_ann" {
			t.Fatalf("%s %+v", code, made)
		}
		// No role, no level: it grants nothing to anybody (product 123).
		if a, ok := f.authenticate("env", plain); !ok || a.Level.Int() != actor.NoLevel || !a.May("invoices.read") || a.May("invoices.void") {
			t.Errorf("%+v", a)
		}
		for want, id := range map[string]string{
			"permission_not_held": f.perm["invoices.pay"].ID, "permission_not_assignable": f.perm["invoices.void"].ID, "unknown_permission": "per_x",
		} {
			if _, _, code := f.create(ann, "a", NewToken{PermissionIDs: []string{id}}); code != want {
				t.Errorf("%s: %q", want, code)
			}
		}
		// The vendor forbids the permission to be chosen from now on.
		f.must(f.tx(func(q db.Queryer) error {
			_, err := f.roles.Classify(t.Context(), f.vendor, q, []string{read}, rbac.Never)
			return err
		}))
		f.dead("only a permission classified never", plain)
	})
}

// Product 121: the level rule on a tenant token's roles, at creation and when it
// is taken away.
func TestLevelOfTokens(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.assign("a", "mem_anna", "clerk")
		ann := f.person("a", "ann")
		if _, _, code := f.create(ann, "a", NewToken{RoleIDs: f.ids("clerk", "admin")}); code != "role_level_too_strong" {
			t.Errorf("a stronger role: %q", code)
		}
		if _, _, code := f.create(f.person("a", "bob"), "a", NewToken{RoleIDs: f.ids("clerk")}); code != "role_level_too_strong" {
			t.Errorf("an author without roles: %q", code)
		}
		if _, _, code := f.create(ann, "b", NewToken{RoleIDs: f.ids("clerk-a")}); code != "unknown_role" {
			t.Errorf("another tenant's role: %q", code)
		}
		strong, _, _ := f.create(f.vendor, "a", NewToken{RoleIDs: f.ids("admin")})
		weak, _, code := f.create(ann, "a", NewToken{RoleIDs: f.ids("clerk-a")})
		if code != "" {
			t.Fatal(code)
		}
		remove := func(a actor.Actor, tenant, id string) string {
			return f.code(f.tx(func(q db.Queryer) error { return f.s.Delete(t.Context(), a, q, tenant, id) }))
		}
		if got := remove(ann, "a", strong.ID); got != "role_level_too_strong" {
			t.Errorf("taking a stronger token: %q", got)
		}
		if got := remove(ann, "b", weak.ID); got != "api_token_not_found" {
			t.Errorf("in another tenant: %q", got)
		}
		seen := ann
		seen.Impersonator = actor.Impersonator{ID: "stf_1"}
		if got := remove(seen, "a", weak.ID); got != "impersonation_refused" {
			t.Errorf("impersonated: %q", got)
		}
		if _, _, got := f.create(seen, "a", NewToken{RoleIDs: f.ids("clerk")}); got != "impersonation_refused" {
			t.Errorf("impersonated: %q", got)
		}
		if got := remove(ann, "a", weak.ID); got != "" {
			t.Error(got)
		}
		list, err := f.s.List(t.Context(), d, "a")
		if err != nil || len(list) != 1 || list[0].ID != strong.ID || !slices.Equal(list[0].RoleIDs, f.ids("admin")) {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

func TestRefusedTokens(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		roles := f.ids("clerk")
		for _, bad := range []struct {
			want string
			in   NewToken
		}{
			{"roles_required", NewToken{}},
			{"invalid_kind", NewToken{Kind: "both", RoleIDs: roles}},
			{"invalid_description", NewToken{Description: "a\nb", RoleIDs: roles}},
			{"invalid_description", NewToken{Description: strings.Repeat("x", 201), RoleIDs: roles}},
			{"invalid_metadata", NewToken{Metadata: map[string]any{"x": strings.Repeat("y", MaxMetadata)}, RoleIDs: roles}},
			{"invalid_expiry", NewToken{Expiry: Expiry{Minutes: -1}, RoleIDs: roles}},
			{"invalid_expiry", NewToken{Expiry: Expiry{Minutes: MaxMinutes + 1}, RoleIDs: roles}},
			{"invalid_expiry", NewToken{Expiry: Expiry{Minutes: 1, Never: true}, RoleIDs: roles}},
			{"too_many", NewToken{PermissionIDs: strings.Fields(strings.Join(many("per_", 501), " "))}},
			{"too_many", NewToken{RoleIDs: many("rol_", 101)}},
		} {
			if _, _, code := f.create(f.vendor, "a", bad.in); code != bad.want {
				t.Errorf("%+v: %q, want %q", bad.in, code, bad.want)
			}
		}
		for range MaxPerTenant {
			if _, _, code := f.create(f.vendor, "a", NewToken{RoleIDs: roles}); code != "" {
				t.Fatal(code)
			}
		}
		if _, _, code := f.create(f.vendor, "a", NewToken{RoleIDs: roles}); code != "too_many_tokens" {
			t.Errorf("one too many: %q", code)
		}
		if _, _, code := f.create(f.vendor, "b", NewToken{RoleIDs: roles}); code != "" {
			t.Errorf("another tenant has its own: %q", code)
		}
	})
}

func many(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = prefix + strings.Repeat("x", i)
	}
	return list
}

// Secrets that were guessed, cut, garbled, forged, or are good elsewhere.
func TestBadSecrets(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.assign("a", "mem_anna", "clerk")
		made, plain, _ := f.create(f.vendor, "a", NewToken{Kind: AccessToken, RoleIDs: f.ids("clerk"), Expiry: Expiry{Minutes: 5}})
		client, clientSecret, _ := f.create(f.vendor, "a", NewToken{RoleIDs: f.ids("clerk")})
		mine, _, _ := f.personal(f.person("a", "ann"), "ann", tenants.EnvironmentSettings{}, NewPersonal{Kind: AccessToken})
		f.lives("the right one", plain)
		if _, ok := f.authenticate("other", plain); ok {
			t.Error("in another environment")
		}
		flipped := []byte(plain)
		flipped[40] ^= 1
		for what, bad := range map[string]string{
			"empty": "", "cut": plain[:len(plain)-1], "longer": plain + "0", "garbled": string(flipped), "NUL": plain[:40] + "\x00" + plain[41:],
			"checksum": plain[:len(plain)-6] + "000000", "forged": secret.New(secret.TenantToken, made.ID),
			"a personal token's prefix": secret.PersonalToken + plain[3:], "forged personal": secret.New(secret.PersonalToken, mine.ID),
			"a tenant's prefix on a personal id": secret.New(secret.TenantToken, mine.ID), "another kind of secret": secret.New(secret.SCIMToken, made.ID),
			"an unknown id": secret.New(secret.TenantToken, "tok_"+strings.Repeat("a", 26)), "client credentials": clientSecret,
		} {
			f.dead(what, bad)
		}
		exchange := func(environment, id, plain string) error {
			_, err := f.s.Exchange(t.Context(), d, environment, id, plain, address)
			return err
		}
		for what, err := range map[string]error{
			"an access token": exchange("env", made.ID, plain), "another client's": exchange("env", made.ID, clientSecret),
			"another environment": exchange("other", client.ID, clientSecret), "no id": exchange("env", "", clientSecret),
			"cut": exchange("env", client.ID, clientSecret[:20]), "another sort of id": exchange("env", "app_"+client.ID[4:], clientSecret),
		} {
			if !errors.Is(err, ErrCredentials) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := exchange("env", client.ID, clientSecret); err != nil {
			t.Error(err)
		}
		f.clock.Advance(5*time.Minute - time.Microsecond)
		f.lives("a moment before its end", plain)
		f.clock.Advance(time.Microsecond)
		f.dead("at its end", plain)
		f.exec(`UPDATE tenants SET status = 'suspended' WHERE id = 'a'`)
		if err := exchange("env", client.ID, clientSecret); !errors.Is(err, ErrCredentials) {
			t.Errorf("of a suspended tenant: %v", err)
		}
		f.exec(`UPDATE tenants SET status = 'active' WHERE id = 'a'`)
		f.must(f.tx(func(q db.Queryer) error { return f.s.Delete(t.Context(), f.vendor, q, "a", client.ID) }))
		if err := exchange("env", client.ID, clientSecret); !errors.Is(err, ErrCredentials) {
			t.Errorf("revoked: %v", err)
		}
	})
}

// A personal token is its person, now (product 12, 129, 137).
func TestPersonalToken(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.assign("a", "mem_anna", "clerk", "admin")
		f.assign("b", "mem_annb", "clerk")
		ann := f.person("a", "ann")
		made, plain, code := f.personal(ann, "ann", tenants.EnvironmentSettings{}, NewPersonal{Kind: AccessToken})
		if code != "" || !strings.HasPrefix(plain, "gwp_") {
			t.Fatal(code, plain)
		}
		a, ok := f.authenticate("env", plain)
		if !ok || a.Tenant != "a" || a.Kind != actor.APIToken || a.Subject != made.ID || a.Owner != "usr_ann" || a.Email != "ann@x.example" || a.Name != "ann" ||
			a.Level.Int() != 0 || !a.May("fe.secure.write.users") || a.Human() {
			t.Errorf("%+v", a)
		}
		// Demoted: the token is too. What she is in another tenant does not count.
		f.assign("a", "mem_anna", "clerk")
		if a, _ := f.authenticate("env", plain); a.Level.Int() != 5 || a.May("fe.secure.write.users") || !a.May("invoices.read") {
			t.Errorf("after demotion %+v", a)
		}
		for _, k := range []struct{ what, off, on string }{
			{"disabled", `UPDATE memberships SET disabled_at = 1 WHERE id = 'mem_anna'`, `UPDATE memberships SET disabled_at = NULL WHERE id = 'mem_anna'`},
			{"deprovisioned", `UPDATE memberships SET scim_resources = 1 WHERE id = 'mem_anna'`, `UPDATE memberships SET scim_resources = 0 WHERE id = 'mem_anna'`},
			{"soft-deleted", `UPDATE memberships SET hidden_at = 1 WHERE id = 'mem_anna'`, `UPDATE memberships SET hidden_at = NULL WHERE id = 'mem_anna'`},
			{"waiting for approval", `UPDATE memberships SET status = 'pending_approval' WHERE id = 'mem_anna'`, `UPDATE memberships SET status = 'active' WHERE id = 'mem_anna'`},
			{"locked", `UPDATE users SET locked_at = 1 WHERE id = 'usr_ann'`, `UPDATE users SET locked_at = NULL WHERE id = 'usr_ann'`},
			{"the tenant suspended", `UPDATE tenants SET status = 'suspended' WHERE id = 'a'`, `UPDATE tenants SET status = 'active' WHERE id = 'a'`},
		} {
			f.exec(k.off)
			f.dead(k.what, plain)
			f.exec(k.on)
			f.lives("no longer "+k.what, plain)
		}
		// Product 129: a guest's access period ends, and is renewed.
		end := f.clock.Now().Add(time.Hour)
		f.exec(`UPDATE memberships SET expires_at = $1 WHERE id = 'mem_anna'`, db.At(end))
		f.lives("a guest", plain)
		f.clock.Advance(time.Hour)
		f.dead("a guest past the end", plain)
		f.exec(`UPDATE memberships SET expires_at = NULL WHERE id = 'mem_anna'`)
		f.lives("made permanent", plain)
		// It goes with the membership, and with it the user (product 137); nothing stays behind.
		f.must(f.tx(func(q db.Queryer) error { return f.people.RemoveUser(t.Context(), f.vendor, q, "a", "usr_ann") }))
		f.dead("removed", plain)
		if locators(f) != 1 {
			t.Error("the purge had nothing to do")
		}
		f.must(f.s.Purge(t.Context(), d))
		if n := locators(f); n != 0 {
			t.Errorf("%d locators of no token", n)
		}
	})
}

func locators(f *fixture) (n int) {
	f.Helper()
	f.must(f.d.QueryRow(f.Context(), `SELECT COUNT(*) FROM locators WHERE kind = 'token'`).Scan(&n))
	return n
}

// Who makes, sees and takes personal tokens (product 122 for those of others).
func TestWhosePersonalTokens(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.assign("a", "mem_anna", "admin")
		f.assign("a", "mem_boba", "clerk")
		ann, bob := f.person("a", "ann"), f.person("a", "bob")
		var on tenants.EnvironmentSettings
		made, _, code := f.personal(ann, "ann", on, NewPersonal{})
		if code != "" || made.Kind != ClientCredentials {
			t.Fatal(code)
		}
		robot, seen := ann, ann
		robot.Kind, robot.Owner, robot.Subject = actor.APIToken, "usr_ann", "tok_1"
		seen.Impersonator = actor.Impersonator{ID: "stf_1"}
		for what, k := range map[string]struct {
			a    actor.Actor
			want string
		}{
			"somebody else": {bob, "not_your_own"}, "a token of hers": {robot, "not_your_own"}, "impersonated": {seen, "impersonation_refused"},
			"the vendor": {actor.Actor{Environment: "env", Kind: actor.Management, Permissions: f.vendor.Permissions, Tenant: "a"}, "not_your_own"},
		} {
			if _, _, code := f.personal(k.a, "ann", on, NewPersonal{}); code != k.want {
				t.Errorf("made by %s: %q", what, code)
			}
		}
		for what, k := range map[string]struct {
			in   NewPersonal
			env  tenants.EnvironmentSettings
			want string
		}{
			"never":                  {NewPersonal{Expiry: Expiry{Never: true}}, on, "invalid_expiry"},
			"credentials off":        {NewPersonal{}, tenants.EnvironmentSettings{Features: map[tenants.Feature]bool{tenants.FeatureUserTokens: false}}, "token_kind_disabled"},
			"keys off":               {NewPersonal{Kind: AccessToken}, tenants.EnvironmentSettings{Features: map[tenants.Feature]bool{tenants.FeatureUserAccessKeys: false}}, "token_kind_disabled"},
			"keys on, the other off": {NewPersonal{Kind: AccessToken, Expiry: Expiry{Minutes: MaxMinutes}}, tenants.EnvironmentSettings{Features: map[tenants.Feature]bool{tenants.FeatureUserTokens: false}}, ""},
		} {
			if _, _, code := f.personal(ann, "ann", k.env, k.in); code != k.want {
				t.Errorf("%s: %q, want %q", what, code, k.want)
			}
		}
		member := func(name string) directory.Membership {
			p, err := f.people.PersonOf(t.Context(), d, "a", "usr_"+name)
			f.must(err)
			return p.Membership
		}
		list := func(a actor.Actor, name string) (int, string) {
			l, err := f.s.ListPersonal(t.Context(), a, d, member(name))
			return len(l), f.code(err)
		}
		manager := bob
		manager.Permissions = permission.NewSet("fe.secure.read.tenantApiTokens", "fe.secure.delete.tenantApiTokens")
		if n, code := list(ann, "ann"); n != 2 || code != "" {
			t.Errorf("her own: %d %q", n, code)
		}
		if _, code := list(bob, "ann"); code != "not_your_own" {
			t.Errorf("a colleague's: %q", code)
		}
		if _, code := list(manager, "ann"); code != "target_level_too_strong" {
			t.Errorf("a stronger person's: %q", code)
		}
		bobs, _, _ := f.personal(bob, "bob", on, NewPersonal{})
		if n, code := list(ann, "bob"); n != 1 || code != "" {
			t.Errorf("an admin: %d %q", n, code)
		}
		remove := func(a actor.Actor, name, id string) string {
			return f.code(f.tx(func(q db.Queryer) error { return f.s.DeletePersonal(t.Context(), a, q, member(name), id) }))
		}
		for _, k := range []struct {
			a        actor.Actor
			name, id string
			want     string
		}{
			{bob, "ann", made.ID, "not_your_own"},
			{manager, "ann", made.ID, "target_level_too_strong"},
			{seen, "ann", made.ID, "impersonation_refused"},
			{ann, "ann", bobs.ID, "api_token_not_found"},
			{ann, "bob", bobs.ID, ""},
			{ann, "ann", made.ID, ""},
			{ann, "ann", made.ID, "api_token_not_found"},
		} {
			if got := remove(k.a, k.name, k.id); got != k.want {
				t.Errorf("%s takes one of %s: %q, want %q", k.a.Subject, k.name, got, k.want)
			}
		}
		for range MaxPerPerson {
			f.personal(bob, "bob", on, NewPersonal{})
		}
		if _, _, code := f.personal(bob, "bob", on, NewPersonal{}); code != "too_many_tokens" {
			t.Errorf("one too many: %q", code)
		}
		if _, err := f.s.Get(t.Context(), d, "a", bobs.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("a personal token among the tenant's: %v", err)
		}
	})
}

// What the token endpoint will say of each kind (product 115, 2.2).
func TestClaims(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.assign("a", "mem_anna", "clerk")
		ann := f.person("a", "ann")
		made, plain, _ := f.create(f.vendor, "a", NewToken{RoleIDs: f.ids("admin", "clerk"), Metadata: map[string]any{"team": "x"}, Expiry: Expiry{Never: true}})
		c, err := f.s.Exchange(t.Context(), d, "env", made.ID, plain, address)
		if err != nil || c.Type != "tenantApiToken" || c.Subject != made.ID || c.UserID != "" || c.Email != "" || c.Tenant != "a" || !c.ExpiresAt.IsZero() ||
			!slices.Equal(c.Roles, []string{"admin", "clerk"}) || !slices.Contains(c.Permissions, "fe.secure.*") || !slices.IsSorted(c.Permissions) || c.Level != 0 {
			t.Errorf("%+v, %v", c, err)
		}
		var m map[string]string
		if err := json.Unmarshal(c.Metadata, &m); err != nil || m["team"] != "x" {
			t.Errorf("%s", c.Metadata)
		}
		made, plain, _ = f.personal(ann, "ann", tenants.EnvironmentSettings{}, NewPersonal{})
		c, err = f.s.Exchange(t.Context(), d, "env", made.ID, plain, address)
		if err != nil || c.Type != "userApiToken" || c.Subject != made.ID || c.UserID != "usr_ann" || c.Email != "ann@x.example" || !slices.Equal(c.Roles, []string{"clerk"}) {
			t.Errorf("%+v, %v", c, err)
		}
		for want, in := range map[string]func() string{
			"tenantAccessToken": func() string {
				_, p, _ := f.create(f.vendor, "a", NewToken{Kind: AccessToken, RoleIDs: f.ids("clerk")})
				return p
			},
			"userAccessToken": func() string {
				_, p, _ := f.personal(ann, "ann", tenants.EnvironmentSettings{}, NewPersonal{Kind: AccessToken})
				return p
			},
		} {
			if c, err := f.s.Resolve(t.Context(), d, "env", in(), address); err != nil || c.Type != want {
				t.Errorf("%s: %+v, %v", want, c, err)
			}
		}
	})
}

// The last use is kept to within five minutes and without a write per request.
func TestLastUsed(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		made, plain, _ := f.create(f.vendor, "a", NewToken{Kind: AccessToken, RoleIDs: f.ids("clerk")})
		use := func(ip string, want time.Time, wantIP string) {
			t.Helper()
			if _, err := f.s.Authenticate(t.Context(), d, "env", plain, netip.MustParseAddr(ip)); err != nil {
				t.Fatal(err)
			}
			got, err := f.s.Get(t.Context(), d, "a", made.ID)
			if err != nil || !got.LastUsedAt.Equal(want) || got.LastUsedIP != wantIP {
				t.Errorf("%s from %s, %v", got.LastUsedAt, got.LastUsedIP, err)
			}
		}
		use("192.0.2.1", start, "192.0.2.1")
		f.clock.Advance(4 * time.Minute)
		use("192.0.2.2", start, "192.0.2.1")
		f.clock.Advance(time.Minute)
		use("192.0.2.2", start.Add(5*time.Minute), "192.0.2.2")
		f.dead("forged", secret.New(secret.TenantToken, made.ID))
		f.clock.Advance(time.Hour)
		f.dead("forged", secret.New(secret.TenantToken, made.ID))
		got, err := f.s.Get(t.Context(), d, "a", made.ID)
		if err != nil || !got.LastUsedAt.Equal(start.Add(5*time.Minute)) {
			t.Errorf("a wrong secret counts as use: %s", got.LastUsedAt)
		}
		var stored string
		f.must(d.QueryRow(t.Context(), `SELECT hash FROM api_tokens WHERE tenant_id = 'a' AND id = $1`, made.ID).Scan(&stored))
		if stored != secret.Hash(plain) || strings.Contains(stored, plain[31:]) {
			t.Error("the secret is stored")
		}
	})
}

func TestEvents(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.assign("a", "mem_anna", "clerk")
		_, plain, _ := f.create(f.vendor, "a", NewToken{RoleIDs: f.ids("clerk")})
		made, _, _ := f.personal(f.person("a", "ann"), "ann", tenants.EnvironmentSettings{}, NewPersonal{})
		p, err := f.people.PersonOf(t.Context(), d, "a", "usr_ann")
		f.must(err)
		f.must(f.tx(func(q db.Queryer) error {
			return f.s.DeletePersonal(t.Context(), f.person("a", "ann"), q, p.Membership, made.ID)
		}))
		for _, action := range []string{"tenant_api_token.created", "user_api_token.created", "user_api_token.deleted"} {
			var n int
			f.must(d.QueryRow(t.Context(), `SELECT COUNT(*) FROM audit_events WHERE tenant_id = 'a' AND action = $1`, action).Scan(&n))
			if n != 1 {
				t.Errorf("%s: %d", action, n)
			}
		}
		var n int
		f.must(d.QueryRow(t.Context(), `SELECT COUNT(*) FROM audit_events WHERE metadata LIKE $1 OR targets LIKE $1 OR changes LIKE $1`, "%"+plain[31:]+"%").Scan(&n))
		if n != 0 {
			t.Error("the secret stands in the audit log")
		}
	})
}

func BenchmarkAuthenticate(b *testing.B) {
	dbtest.Bench(b, func(b *testing.B, d db.DB) {
		f := newFixture(b, d)
		f.assign("a", "mem_anna", "clerk", "admin")
		_, tenant, _ := f.create(f.vendor, "a", NewToken{Kind: AccessToken, RoleIDs: f.ids("admin", "clerk")})
		_, personal, _ := f.personal(f.person("a", "ann"), "ann", tenants.EnvironmentSettings{}, NewPersonal{Kind: AccessToken})
		for name, plain := range map[string]string{"tenant": tenant, "personal": personal, "wrong": secret.New(secret.TenantToken, "tok_"+strings.Repeat("a", 26))} {
			b.Run(name, func(b *testing.B) {
				for b.Loop() {
					if _, err := f.s.Authenticate(b.Context(), d, "env", plain, address); err != nil && name != "wrong" {
						b.Fatal(err)
					}
				}
			})
		}
	})
}

// Whom a parent's login brings into a sub-account is not signed in there: a token
// would carry the roles that he has in the sub-account, past its own single
// sign-on and its policies (identity rule 6).
func TestPersonalTokenFromParent(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.assign("a", "mem_anna", "admin")
		ann := f.person("a", "ann")
		ann.Home = "b"
		if _, _, code := f.personal(ann, "ann", tenants.EnvironmentSettings{}, NewPersonal{Kind: AccessToken}); code != "not_your_own" {
			t.Errorf("from the parent: %q", code)
		}
		ann.Home = ""
		if _, _, code := f.personal(ann, "ann", tenants.EnvironmentSettings{}, NewPersonal{Kind: AccessToken}); code != "" {
			t.Errorf("signed in: %q", code)
		}
	})
}

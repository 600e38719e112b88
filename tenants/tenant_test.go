package tenants

import (
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

func TestTenants(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		acme := f.tenant(NewTenant{Name: "Acme GmbH", Key: "acme"})
		if acme.Status != StatusActive || acme.SubaccountAccess != AccessDefaultOff {
			t.Errorf("a new tenant is %+v", acme)
		}
		f.want("key_taken", func(q db.Queryer) error {
			_, err := f.s.CreateTenant(ctx, f.admin, q, NewTenant{Name: "Other", Key: "acme"})
			return err
		})
		for _, key := range []string{acme.ID, "acme"} {
			got, err := f.s.Get(ctx, d, f.env.ID, key)
			if err != nil || got.ID != acme.ID {
				t.Errorf("Get(%q) = %v, %v", key, got.ID, err)
			}
		}
		if _, err := f.s.Get(ctx, d, "env_other", acme.ID); err != ErrTenantNotFound {
			t.Errorf("a tenant of another environment: %v", err)
		}
		unnamed := f.tenant(NewTenant{Name: "Müller & Söhne"})
		if !strings.HasPrefix(unnamed.Key, "m-ller-s-hne-") || checkKey(unnamed.Key) != nil {
			t.Errorf("made key %q", unnamed.Key)
		}
		for _, key := range []string{"Acme", "a_b", "-a", "a-", strings.Repeat("a", 64), "a.b", "ten_x"} {
			f.want("invalid_key", func(q db.Queryer) error {
				_, err := f.s.CreateTenant(ctx, f.admin, q, NewTenant{Name: "x", Key: key})
				return err
			})
		}
		name, status := "Acme AG", StatusSuspended
		f.tx(func(q db.Queryer) error {
			got, err := f.s.UpdateTenant(ctx, f.admin, q, acme.ID, TenantPatch{Name: &name, Status: &status})
			if err == nil && (got.Name != name || got.Status != status || got.Version != 2) {
				t.Errorf("updated to %+v", got)
			}
			return err
		})
		f.want("environment_only", func(q db.Queryer) error {
			_, err := f.s.UpdateTenant(ctx, f.user(acme.ID), q, acme.ID, TenantPatch{Status: &status})
			return err
		})
		if n := f.count(`SELECT COUNT(*) FROM audit_events WHERE tenant_id = $1 AND action = 'tenant.suspended'`, acme.ID); n != 1 {
			t.Errorf("%d events of suspension", n)
		}
	})
}

func TestListPages(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		want := map[string]bool{}
		for range 7 {
			want[f.tenant(NewTenant{Name: "Same"}).ID] = true // all at one time: the id orders them
		}
		var after Position
		pages := 0
		for {
			list, next, err := f.s.List(t.Context(), d, f.env.ID, Filter{After: after, Limit: 3})
			if err != nil {
				t.Fatal(err)
			}
			pages++
			for _, x := range list {
				if !want[x.ID] {
					t.Errorf("%s listed twice or unknown", x.ID)
				}
				delete(want, x.ID)
			}
			if next == nil {
				break
			}
			after = *next
		}
		if len(want) != 0 || pages != 3 {
			t.Errorf("%d tenants missing after %d pages", len(want), pages)
		}
	})
}

// Product 7, 139, 2.10: capability on the parent, any depth, deletion re-parents.
func TestSubaccounts(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		a := f.tenant(NewTenant{Name: "A", Key: "a"})
		f.want("sub_accounts_disabled", func(q db.Queryer) error {
			_, err := f.s.CreateTenant(ctx, f.admin, q, NewTenant{Name: "B", ParentID: a.ID})
			return err
		})
		on := true
		f.tx(func(q db.Queryer) error {
			_, err := f.s.UpdateTenant(ctx, f.admin, q, a.ID, TenantPatch{SubaccountsEnabled: &on})
			return err
		})
		b := f.tenant(NewTenant{Name: "B", Key: "b", ParentID: "a"})
		c := f.tenant(NewTenant{Name: "C", Key: "c", ParentID: b.ID})
		e := f.tenant(NewTenant{Name: "E", Key: "e", ParentID: c.ID})
		other := f.tenant(NewTenant{Name: "Other", Key: "other", SubaccountsEnabled: &on})
		f.want("parent_not_found", func(q db.Queryer) error {
			_, err := f.s.CreateTenant(ctx, f.user(a.ID), q, NewTenant{Name: "X", ParentID: other.ID})
			return err
		})
		f.want("environment_only", func(q db.Queryer) error {
			_, err := f.s.CreateTenant(ctx, f.user(a.ID), q, NewTenant{Name: "X"})
			return err
		})
		f.want("", func(q db.Queryer) error {
			_, err := f.s.CreateTenant(ctx, f.user(a.ID), q, NewTenant{Name: "X", ParentID: c.ID})
			return err
		})
		f.tx(func(q db.Queryer) error { return f.s.DeleteTenant(ctx, f.admin, q, b.ID) })
		got, err := f.s.Get(ctx, d, f.env.ID, c.ID)
		if err != nil || got.ParentID != a.ID {
			t.Errorf("parent of c is %q (%v), want %q", got.ParentID, err, a.ID)
		}
		for _, x := range []struct {
			ancestor, tenant string
			depth            int64
		}{{a.ID, c.ID, 1}, {a.ID, e.ID, 2}, {c.ID, e.ID, 1}} {
			if n := f.count(`SELECT depth FROM tenant_closure WHERE environment_id = $1 AND ancestor_id = $2 AND descendant_id = $3`, f.env.ID, x.ancestor, x.tenant); n != x.depth {
				t.Errorf("depth %d, want %d", n, x.depth)
			}
		}
		if ok, err := f.s.Descends(ctx, d, f.env.ID, other.ID, e.ID); ok || err != nil {
			t.Errorf("Descends(other, e) = %v, %v", ok, err)
		}
		if n := f.count(`SELECT COUNT(*) FROM tenant_closure WHERE ancestor_id = $1 OR descendant_id = $1`, b.ID); n != 0 {
			t.Errorf("%d closure rows of a deleted tenant", n)
		}
	})
}

func TestDeleteTenantDropsLocators(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		a := f.tenant(NewTenant{Name: "A", Key: "a"})
		f.tx(func(q db.Queryer) error {
			if _, err := f.s.AddDomain(ctx, f.admin, q, a.ID, "acme.test", true); err != nil {
				return err
			}
			if _, _, err := f.s.CreateSCIMConnection(ctx, f.admin, q, a.ID, NewSCIMConnection{Name: "Okta", Profile: "okta"}); err != nil {
				return err
			}
			_, err := f.s.CreateSSOConnection(ctx, f.admin, q, a.ID, NewSSOConnection{Type: SAML, Name: "Okta", SAML: f.saml()})
			return err
		})
		if n := f.count(`SELECT COUNT(*) FROM locators`); n != 3 {
			t.Errorf("%d locators, want 3", n)
		}
		f.tx(func(q db.Queryer) error { return f.s.DeleteTenant(ctx, f.admin, q, a.ID) })
		for _, table := range []string{"locators", "domains", "scim_tokens", "sso_idp_keys", "sso_sp_keys", "sso_metadata", "tenant_closure"} {
			if n := f.count(`SELECT COUNT(*) FROM ` + table); n != 0 {
				t.Errorf("%d rows left at once in %s", n, table)
			}
		}
		f.removal()
		for _, table := range []string{"scim_connections", "sso_connections", "tenants"} {
			if n := f.count(`SELECT COUNT(*) FROM ` + table); n != 0 {
				t.Errorf("%d rows left in %s", n, table)
			}
		}
	})
}

func TestEnvironmentByHost(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		if _, err := d.Exec(ctx, `INSERT INTO environments (id, name, base_url, is_default, created_at, updated_at) VALUES ('env_b', 'Staging', 'http://staging.localhost:8080', FALSE, 1, 1)`); err != nil {
			t.Fatal(err)
		}
		f.tx(func(q db.Queryer) error {
			again, err := f.s.EnsureDefault(ctx, q, "https://id.example.com")
			if again.ID != f.env.ID {
				t.Error("a second default environment")
			}
			return err
		})
		for _, x := range []struct{ base, host, want string }{
			{"https://id.example.com", "id.example.com", f.env.ID},
			{"https://id.example.com", "ID.Example.com:443", f.env.ID},
			{"https://id.example.com", "staging.localhost:8080", "env_b"},
			{"https://id.example.com", "evil.example.com", ""},
			{"https://id.example.com", "", ""},
			{"https://id.example.com", "localhost", ""},
			{"http://localhost:8080", "localhost:8080", f.env.ID},
			{"http://localhost:8080", "127.0.0.1:8080", f.env.ID},
			{"http://localhost:8080", "[::1]:8080", f.env.ID},
			{"http://localhost:8080", "staging.localhost:8080", "env_b"},
			{"http://id.example.com", "evil.example.com", ""},
		} {
			got, err := NewEnvironments(d, f.clock, x.base).ByHost(ctx, x.host)
			if (err == nil) != (x.want != "") || got.ID != x.want {
				t.Errorf("base %s, host %q: %q, %v, want %q", x.base, x.host, got.ID, err, x.want)
			}
		}
		e := NewEnvironments(d, f.clock, "https://id.example.com")
		if env, err := e.ByID(ctx, f.env.ID); err != nil || env.URL("/x") != "https://id.example.com/x" {
			t.Errorf("ByID: %+v, %v", env, err)
		}
		if all, err := e.All(ctx); err != nil || len(all) != 2 || !all[0].IsDefault {
			t.Errorf("All: %v, %v", all, err)
		}
	})
}

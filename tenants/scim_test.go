package tenants

import (
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

func TestSCIMTokens(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		a, b := f.tenant(NewTenant{Name: "A"}), f.tenant(NewTenant{Name: "B"})
		create := func(tenant string) (c SCIMConnection, plain string) {
			f.tx(func(q db.Queryer) (err error) {
				c, plain, err = f.s.CreateSCIMConnection(ctx, f.admin, q, tenant, NewSCIMConnection{Name: "Okta", Profile: "okta"})
				return err
			})
			return c, plain
		}
		c, plain := create(a.ID)
		other, foreign := create(b.ID)
		if c.Status != SCIMPending || c.DeleteMode != DeleteSoft {
			t.Errorf("%+v", c)
		}
		code := func(connection, bearer string) string {
			_, _, err := f.s.Authenticate(ctx, d, connection, bearer)
			return fault.CodeOf(err)
		}

		count, n := db.Count(ctx)
		got, tokenID, err := f.s.Authenticate(count, d, c.ID, plain)
		if err != nil || got.Tenant != a.ID || got.Environment != f.env.ID || !id.Valid(id.Token, tokenID) {
			t.Errorf("%+v, %q, %v", got, tokenID, err)
		}
		if n.Statements() != 3 { // the look-up, and the first use of token and connection
			t.Errorf("%d statements at first use", n.Statements())
		}
		count, n = db.Count(ctx)
		f.clock.Advance(4 * time.Minute)
		if got, _, err = f.s.Authenticate(count, d, c.ID, plain); err != nil || n.Statements() != 1 || got.Status != SCIMLinked {
			t.Errorf("%d statements afterwards, %v, %s", n.Statements(), err, got.Status)
		}

		forged := secret.New(secret.SCIMToken, tokenID)
		management := secret.New(secret.ManagementKey, tokenID)
		for name, x := range map[string][2]string{
			"another tenant's token": {c.ID, foreign}, "another connection": {other.ID, plain}, "forged": {c.ID, forged}, "empty": {c.ID, ""},
			"cut": {c.ID, plain[:len(plain)-1]}, "another kind": {c.ID, management}, "no such connection": {"dir_" + id.Raw(), plain}, "nonsense": {"x", plain},
		} {
			if got := code(x[0], x[1]); got != "invalid_token" {
				t.Errorf("%s: %q", name, got)
			}
		}

		// Rotation: several live tokens, then the old one goes.
		var second SCIMToken
		var fresh string
		f.tx(func(q db.Queryer) (err error) {
			second, fresh, err = f.s.AddSCIMToken(ctx, f.admin, q, a.ID, c.ID, "new", 24*time.Hour)
			return err
		})
		if code(c.ID, plain) != "" || code(c.ID, fresh) != "" {
			t.Error("two tokens do not live side by side")
		}
		f.want("token_not_found", func(q db.Queryer) error { return f.s.DeleteSCIMToken(ctx, f.admin, q, b.ID, c.ID, tokenID) })
		f.want("token_not_found", func(q db.Queryer) error { return f.s.DeleteSCIMToken(ctx, f.admin, q, a.ID, other.ID, tokenID) })
		f.tx(func(q db.Queryer) error { return f.s.DeleteSCIMToken(ctx, f.admin, q, a.ID, c.ID, tokenID) })
		if got := code(c.ID, plain); got != "invalid_token" {
			t.Errorf("revoked: %q", got)
		}
		list, err := f.s.SCIMTokens(ctx, d, a.ID, c.ID)
		if err != nil || len(list) != 1 || list[0].ID != second.ID || list[0].Last4 != fresh[len(fresh)-4:] {
			t.Errorf("%+v, %v", list, err)
		}
		if n := f.count(`SELECT COUNT(*) FROM scim_tokens WHERE hash = $1`, fresh); n != 0 {
			t.Error("a secret is stored in clear")
		}

		paused, linked := SCIMPaused, SCIMLinked
		patch := func(p SCIMPatch) {
			f.tx(func(q db.Queryer) (err error) {
				c, err = f.s.UpdateSCIMConnection(ctx, f.admin, q, a.ID, c.ID, p)
				return err
			})
		}
		patch(SCIMPatch{Status: &paused})
		if got := code(c.ID, fresh); got != "connection_paused" {
			t.Errorf("paused: %q", got)
		}
		patch(SCIMPatch{Status: &linked})
		if got := code(c.ID, fresh); got != "" {
			t.Errorf("resumed: %q", got)
		}
		suspended := StatusSuspended
		f.tx(func(q db.Queryer) error {
			_, err := f.s.UpdateTenant(ctx, f.admin, q, a.ID, TenantPatch{Status: &suspended})
			return err
		})
		if got := code(c.ID, fresh); got != "tenant_suspended" {
			t.Errorf("suspended: %q", got)
		}
		f.clock.Advance(25 * time.Hour)
		if got := code(c.ID, fresh); got != "invalid_token" {
			t.Errorf("expired: %q", got)
		}
		f.tx(func(q db.Queryer) error { return f.s.DeleteSCIMConnection(ctx, f.admin, q, a.ID, c.ID) })
		if got := code(c.ID, fresh); got != "invalid_token" {
			t.Errorf("deleted: %q", got)
		}
	})
}

func TestSCIMConnectionRefused(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		a := f.tenant(NewTenant{Name: "A"})
		for want, in := range map[string]NewSCIMConnection{
			"invalid_profile":     {Name: "x", Profile: "workday"},
			"invalid_delete_mode": {Name: "x", DeleteMode: "purge"},
			"invalid_name":        {},
		} {
			f.want(want, func(q db.Queryer) error {
				_, _, err := f.s.CreateSCIMConnection(t.Context(), f.admin, q, a.ID, in)
				return err
			})
		}
		var c SCIMConnection
		f.tx(func(q db.Queryer) (err error) {
			c, _, err = f.s.CreateSCIMConnection(t.Context(), f.admin, q, a.ID, NewSCIMConnection{Name: "x"})
			return err
		})
		for range MaxSCIMTokens - 1 {
			f.want("", func(q db.Queryer) error {
				_, _, err := f.s.AddSCIMToken(t.Context(), f.admin, q, a.ID, c.ID, "", 0)
				return err
			})
		}
		f.want("too_many", func(q db.Queryer) error {
			_, _, err := f.s.AddSCIMToken(t.Context(), f.admin, q, a.ID, c.ID, "", 0)
			return err
		})
	})
}

package provider

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// The management API takes a person for what he is now, not for what his token
// says (product 12 and 36; identity rule 9).
func TestUserActor(t *testing.T) {
	each(t, func(w *world) {
		w.role("engineer", "engineering", "fe.secure.read.users")
		got := w.browser().signedIn("ada@acme.com")
		user, _ := w.part(got.Access, 1)["sub"].(string)
		a, err := w.h.UserActor(w.ctx(), w.env, got.Access)
		if err != nil || a.Kind != actor.User || a.Subject != user || a.Tenant != w.acme.ID || a.Environment != w.env.ID || a.Home != "" || a.Owner != "" ||
			a.Email != "ada@acme.com" || a.Session == "" || a.Level.Int() != 1 || !a.May("fe.secure.read.users") || a.May("fe.secure.write.users") || a.May("bo.read.tenants") {
			t.Fatalf("%+v, %v", a, err)
		}
		// What the claims say is nothing: a forged list of permissions, were it signed.
		var c accessClaims
		if err := w.ring.Verify(w.ctx(), w.env.ID, got.Access, oidc.TypeAccessToken, &c); err != nil {
			t.Fatal(err)
		}
		c.Permissions, c.Roles = []string{"fe.secure.*", "bo.*"}, []string{"admin"}
		boasting, err := w.ring.Sign(w.ctx(), w.env.ID, keys.ES256, oidc.TypeAccessToken, c)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := w.h.UserActor(w.ctx(), w.env, boasting); err != nil || a.May("fe.secure.write.users") || a.May("bo.read.tenants") || a.Level.Int() != 1 {
			t.Errorf("%+v, %v", a, err)
		}
		// Without the role, at once.
		w.tx(func(q db.Queryer) error { return w.rbac.PutMappings(w.ctx(), w.admin, q, w.acme.ID, nil) })
		w.tx(func(q db.Queryer) error {
			return w.rbac.AssignRoles(w.ctx(), w.admin, q, w.acme.ID, w.membership(user), nil)
		})
		if a, err := w.h.UserActor(w.ctx(), w.env, got.Access); err != nil || a.May("fe.secure.read.users") || a.Level.Int() != actor.NoLevel {
			t.Errorf("without roles: %+v, %v", a, err)
		}
		other := w.env
		other.ID, other.BaseURL = "env_other", "https://other.example"
		refused := func(why string, env tenants.Environment, token string) {
			t.Helper()
			if a, err := w.h.UserActor(w.ctx(), env, token); fault.KindOf(err) != fault.Unauthenticated || a.Kind != "" {
				t.Errorf("%s: %+v, %v", why, a, err)
			}
		}
		refused("an ID token", w.env, got.ID)
		refused("a refresh token", w.env, got.Refresh)
		refused("nobody's signature", w.env, "a.b.c")
		refused("another environment", other, got.Access)
		refused("too long", w.env, strings.Repeat("a", keys.MaxToken)+".b.c")
		w.tx(func(q db.Queryer) error {
			_, err := q.Exec(w.ctx(), `UPDATE memberships SET hidden_at = 1 WHERE tenant_id = $1`, w.acme.ID)
			return err
		})
		refused("taken away by the directory", w.env, got.Access)
		w.tx(func(q db.Queryer) error {
			_, err := q.Exec(w.ctx(), `UPDATE memberships SET hidden_at = NULL WHERE tenant_id = $1`, w.acme.ID)
			return err
		})
		if _, err := w.h.UserActor(w.ctx(), w.env, got.Access); err != nil {
			t.Error(err)
		}
		w.clock.Advance(10 * time.Minute)
		refused("expired", w.env, got.Access)
	})
}

func (w *world) membership(user string) (id string) {
	w.Helper()
	if err := w.db.QueryRow(w.ctx(), `SELECT id FROM memberships WHERE tenant_id = $1 AND user_id = $2`, w.acme.ID, user).Scan(&id); err != nil {
		w.Fatal(err)
	}
	return id
}

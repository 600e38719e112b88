package provider

import (
	"net/url"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/signin"
)

// What a deleted tenant's people hold serves nothing from the moment of its mark,
// though no session has ended yet and no row is gone; the other tenant's go on.
func TestTokensOfADeletedTenant(t *testing.T) {
	each(t, func(w *world) {
		got, other := w.browser().signedIn("ada@acme.com"), w.browser().signedIn("bob@globex.com")
		user, _ := w.part(got.Access, 1)["sub"].(string)
		w.tx(func(q db.Queryer) error {
			_, err := q.Exec(w.ctx(), `UPDATE tenants SET status = 'suspended', deleted_at = 1 WHERE id = $1`, w.acme.ID)
			return err
		})
		if _, err := w.h.UserActor(w.ctx(), w.env, got.Access); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("at the management API: %v", err)
		}
		if s := w.introspect(got.Access); s["active"] != false {
			t.Errorf("introspected: %v", s)
		}
		refreshed := func(token string) int {
			return w.browser().post("/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, w.basic).StatusCode
		}
		if status := refreshed(got.Refresh); status != 400 {
			t.Errorf("refreshed: %d", status)
		}
		if _, err := w.signin.Check(w.ctx(), w.db, w.env.ID, w.acme.ID, user, ""); fault.CodeOf(err) != "POLICY_NOT_A_MEMBER" {
			t.Errorf("checked: %v", err)
		}
		if list, err := w.signin.TenantOptions(w.ctx(), w.db, w.acme.ID); err != nil || len(list) != 0 {
			t.Errorf("ways in: %v, %v", list, err)
		}
		if list, err := w.signin.Discover(w.ctx(), w.db, w.env.ID, "ada@acme.com"); err != nil || len(list) != 0 {
			t.Errorf("home realm: %v, %v", list, err)
		}
		if _, err := w.signin.Begin(w.ctx(), w.admin, w.db, signin.Start{Environment: w.env, BrowserID: "b", Organization: w.acme.ID}); err == nil {
			t.Error("a sign-in begins")
		}
		if status := refreshed(other.Refresh); status != 200 {
			t.Errorf("the other tenant's: %d", status)
		}
	})
}

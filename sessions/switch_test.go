package sessions

import (
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

// Going from tenant to tenant and back by refresh tokens does not prolong what one
// sign-in granted, and one revocation ends the whole line (product 46).
func TestSwitchDoesNotProlong(t *testing.T) {
	each(t, func(w *world) {
		ses, _ := w.create(login("usr_1", "ten_a"))
		w.tx(func(q db.Queryer) (err error) {
			ses, _, err = w.s.Satisfy(w.ctx, w.actor, q, ses, login("usr_1", "ten_b"))
			return err
		})
		first := w.family(ses, "ten_a", "app_1")
		token := first
		for _, tenant := range []string{"ten_b", "ten_a", "ten_b"} {
			w.clock.Advance(20 * 24 * time.Hour)
			from := w.rotate("app_1", token).Family
			w.tx(func(q db.Queryer) (err error) {
				token, err = w.s.SwitchFamily(w.ctx, q, from, Family{Environment: env, Tenant: tenant, Session: ses.ID, UserID: ses.UserID, ClientID: "app_1", Scope: "openid"})
				return err
			})
		}
		if n := w.count(`SELECT COUNT(DISTINCT expires_at) FROM refresh_families`); n != 1 {
			w.Errorf("the families end at %d times", n)
		}
		w.tx(func(q db.Queryer) error {
			_, err := w.s.Revoke(w.ctx, w.actor, q, env, "app_1", first)
			return err
		})
		if n := w.count(`SELECT COUNT(*) FROM refresh_families WHERE revoked_at IS NULL`); n != 0 {
			w.Errorf("%d families survive the revocation", n)
		}
	})
}

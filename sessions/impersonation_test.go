package sessions

import (
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

// Who impersonates a person takes no room from him (product 46), is told apart in
// the list, and ends with his access; the application hears of it.
func TestImpersonationBesideSessions(t *testing.T) {
	each(t, func(w *world) {
		login := Login{Environment: env, UserID: "usr_1", MaxConcurrent: 2, Proof: Proof{Tenant: "ten_a", Membership: "mem_1", Method: "password", AuthTime: w.clock.Now()}}
		sign := func() (s Session) {
			w.tx(func(q db.Queryer) (err error) {
				s, _, err = w.s.Create(w.ctx, w.actor, q, login)
				return err
			})
			w.clock.Advance(time.Second)
			return s
		}
		first := sign()
		var by Session
		w.tx(func(q db.Queryer) (err error) {
			by, _, err = w.s.Impersonate(w.ctx, w.actor, q, Impersonation{Environment: env, Tenant: "ten_a", UserID: "usr_1", Membership: "mem_1", ClientID: "app_1", Reason: "x", Life: time.Minute})
			return err
		})
		w.clock.Advance(time.Second)
		second := sign()
		list, err := w.s.List(w.ctx, w.db, env, "ten_a", "usr_1")
		if err != nil || len(list) != 3 || list[0].ID != second.ID || list[1].ID != by.ID || list[1].Method != MethodImpersonation || list[2].ID != first.ID {
			t.Fatalf("%+v %v", list, err)
		}
		sign() // the oldest gives way, and it is his own
		if list, err = w.s.List(w.ctx, w.db, env, "ten_a", "usr_1"); err != nil || len(list) != 3 || list[2].ID != by.ID {
			t.Fatalf("%+v %v", list, err)
		}
		w.tx(func(q db.Queryer) error {
			n, err := w.s.End(w.ctx, w.actor, q, Selector{Environment: env, Tenant: "ten_a", User: "usr_1"}, "disabled")
			if n != 3 {
				t.Errorf("%d ended", n)
			}
			return err
		})
		if err := w.s.NotifyEnded(w.ctx, w.db); err != nil {
			t.Fatal(err)
		}
		var jobs int
		if err := w.db.QueryRow(w.ctx, `SELECT COUNT(*) FROM jobs WHERE kind = $1`, JobLogout).Scan(&jobs); err != nil || jobs != 1 {
			t.Errorf("%d applications hear of it: %v", jobs, err)
		}
		if _, _, err := w.s.Granted(w.ctx, w.db, env, "ten_a", by.ID); err == nil {
			t.Error("it goes on")
		}
	})
}

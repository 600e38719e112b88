package sessions

import (
	"errors"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
)

// A session that its browser left idle holds no place under the limit, and the
// refresh tokens of its applications live on.
func TestLimitLeavesIdleSessionsAlone(t *testing.T) {
	each(t, func(w *world) {
		ses, _ := w.create(login("usr_1", "ten_a"))
		token := w.family(ses, "ten_a", "app_1")
		w.clock.Advance(DefaultIdle + time.Hour)
		n := login("usr_1", "ten_a")
		n.MaxConcurrent = 1
		w.create(n)
		if r := w.rotate("app_1", token); r.Refused != nil {
			w.Errorf("the refresh token of the idle session: %v", r.Refused)
		}
		if w.events("session.replaced") != 0 {
			w.Error("an idle session was replaced")
		}
	})
}

// The login that meets the limit is never the one that ends, wherever clocks and
// ids put it in the order.
func TestLimitNeverEndsTheNewSession(t *testing.T) {
	each(t, func(w *world) {
		n := login("usr_1", "ten_a")
		n.MaxConcurrent = 1
		for range 5 { // at one instant the ids decide, which are partly random
			w.create(n)
		}
		w.clock.Advance(-time.Minute) // a replica whose clock is behind
		ses, cookie := w.create(n)
		if got, err := w.s.Find(w.ctx, w.db, env, cookie); err != nil || len(got.Tenants) != 1 {
			w.Errorf("the new session: %+v %v", got, err)
		}
		if c := w.count(`SELECT COUNT(*) FROM session_tenants WHERE ended_at IS NULL AND session_id <> $1`, ses.ID); c != 0 {
			w.Errorf("%d others live", c)
		}
	})
}

// A code of an ended session is refused, and the back-channel logout that waits
// goes out all the same.
func TestRefusedCodeKeepsThePendingLogout(t *testing.T) {
	each(t, func(w *world) {
		ses, _ := w.create(login("usr_1", "ten_a"))
		w.family(ses, "ten_a", "app_1")
		code := w.issue(ses, "app_1")
		w.end(Selector{Environment: env, Tenant: "ten_a", User: "usr_1"})
		if r := w.consume("app_1", code); r.Refused != ErrInvalidGrant {
			w.Errorf("%v", r.Refused)
		}
		if err := w.s.NotifyEnded(w.ctx, w.db); err != nil || w.count(`SELECT COUNT(*) FROM jobs WHERE kind = $1`, JobLogout) != 1 {
			w.Error("the logout was cancelled", err)
		}
	})
}

// Each tenant whose part of the session ended reads of it in its own log, and
// nothing of another tenant's.
func TestEndIsRecordedWhereItHappened(t *testing.T) {
	each(t, func(w *world) {
		ses, _ := w.create(login("usr_1", "ten_a"))
		w.tx(func(q db.Queryer) (err error) {
			ses, _, err = w.s.Satisfy(w.ctx, w.actor, q, ses, login("usr_1", "ten_b"))
			return err
		})
		w.actor = actor.Actor{
			Kind: actor.User, Environment: env, Tenant: "ten_a", Subject: "usr_2", Name: "Eve", Email: "eve@a", Connection: "sso_ten_a", Session: "ses_x",
		}
		w.end(Selector{Environment: env, Session: ses.ID})
		const of = `SELECT COUNT(*) FROM audit_events WHERE action = 'session.ended' AND tenant_id = $1`
		for _, tenant := range []string{"ten_a", "ten_b"} {
			if n := w.count(of+` AND targets LIKE '%usr_1%'`, tenant); n != 1 {
				w.Errorf("%s: %d events", tenant, n)
			}
		}
		if n := w.count(of+` AND (actor_id <> '' OR actor LIKE '%ve%' OR actor LIKE '%sso%' OR context LIKE '%ses_x%' OR context LIKE '%sso%')`, "ten_b"); n != 0 {
			w.Error("ten_b's log tells who acted in ten_a")
		}
		if n := w.count(of+` AND actor_id = 'usr_2'`, "ten_a"); n != 1 {
			w.Error("ten_a's log does not tell who acted")
		}

		// Who ends his own session is known wherever it ends.
		ses, _ = w.create(login("usr_2", "ten_b"))
		w.end(Selector{Environment: env, Session: ses.ID})
		if n := w.count(of+` AND actor_id = 'usr_2' AND targets LIKE '%usr_2%' AND actor NOT LIKE '%ve%'`, "ten_b"); n != 1 {
			w.Error("ten_b's log does not tell that the person ended it himself")
		}
		if n := w.count(of, "ten_a"); n != 1 {
			w.Errorf("%d events in ten_a", n)
		}
	})
}

// Two tenants strike themselves from one session at once: what is left is no
// session, even where neither saw that it was the last.
func TestSessionWithoutPartsIsNone(t *testing.T) {
	each(t, func(w *world) {
		ses, _ := w.create(login("usr_1", "ten_a"))
		var cookie string
		w.tx(func(q db.Queryer) (err error) {
			ses, cookie, err = w.s.Satisfy(w.ctx, w.actor, q, ses, login("usr_1", "ten_b"))
			return err
		})
		if _, err := w.db.Exec(w.ctx, `UPDATE session_tenants SET ended_at = 1`); err != nil {
			w.Fatal(err)
		}
		if _, err := w.s.Find(w.ctx, w.db, env, cookie); !errors.Is(err, ErrNoSession) {
			w.Errorf("found: %v", err)
		}
		err := w.db.Tx(w.ctx, func(q db.Queryer) error {
			_, _, err := w.s.Satisfy(w.ctx, w.actor, q, ses, login("usr_1", "ten_a"))
			return err
		})
		if !errors.Is(err, ErrNoSession) {
			w.Errorf("satisfied: %v", err)
		}
	})
}

// A family that is begun while its session ends is either revoked with it or
// never made: the next login of the person must not bring it to life.
func TestFamilyBegunWhileTheSessionEnds(t *testing.T) {
	each(t, familyBegunWhileTheSessionEnds)
}

func familyBegunWhileTheSessionEnds(w *world) {
	ses, _ := w.create(login("usr_1", "ten_a"))
	w.tx(func(q db.Queryer) (err error) {
		ses, _, err = w.s.Satisfy(w.ctx, w.actor, q, ses, login("usr_1", "ten_b"))
		return err
	})
	f := Family{Environment: env, Tenant: "ten_a", Session: ses.ID, UserID: "usr_1", ClientID: "app_1"}
	end := func(q db.Queryer) error {
		_, err := w.s.End(w.ctx, w.actor, q, Selector{Environment: env, Tenant: "ten_a", User: "usr_1"}, "test")
		return err
	}
	begin := func(q db.Queryer) error {
		_, err := w.s.StartFamily(w.ctx, q, f)
		return err
	}
	living := func() int { return w.count(`SELECT COUNT(*) FROM refresh_families WHERE revoked_at IS NULL`) }

	// The family first: the end waits for it and revokes it.
	ended := make(chan error, 1)
	w.tx(func(q db.Queryer) error {
		if err := begin(q); err != nil {
			return err
		}
		go func() { ended <- w.db.Tx(w.ctx, end) }()
		waitBlocked(w, ended)
		return nil
	})
	if err := <-ended; err != nil || living() != 0 {
		w.Errorf("%d families live, %v", living(), err)
	}

	// The end first: the family waits for it and is not made.
	w.tx(func(q db.Queryer) (err error) {
		_, _, err = w.s.Satisfy(w.ctx, w.actor, q, ses, login("usr_1", "ten_a"))
		return err
	})
	w.clock.Advance(time.Second)
	begun := make(chan error, 1)
	w.tx(func(q db.Queryer) error {
		if err := end(q); err != nil {
			return err
		}
		go func() { begun <- w.db.Tx(w.ctx, begin) }()
		waitBlocked(w, begun)
		return nil
	})
	if err := <-begun; !errors.Is(err, ErrInvalidGrant) || living() != 0 {
		w.Errorf("%d families live, %v", living(), err)
	}
}

// waitBlocked returns when some transaction of the store waits for a lock, or
// the one that was to wait has come through.
func waitBlocked(w *world, done chan error) {
	w.Helper()
	if w.db.Dialect().Name == db.SQLite {
		return // a transaction waits for the one before it from its start
	}
	for range 1000 {
		if len(done) > 0 || w.count(`SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) > 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	w.Error("nothing waits")
}

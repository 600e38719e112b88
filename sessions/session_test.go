package sessions

import (
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

func TestSessionLife(t *testing.T) {
	each(t, func(w *world) {
		n := login("usr_1", "ten_a")
		n.Idle, n.Absolute = time.Hour, 3*time.Hour
		n.Proof.NotAfter = start.Add(2 * time.Hour)
		made, cookie := w.create(n)
		if w.count(`SELECT COUNT(*) FROM sessions WHERE hash = $1`, cookie) != 0 {
			w.Error("the cookie is stored as it is")
		}
		ses, err := w.s.Find(w.ctx, w.db, env, cookie)
		if err != nil {
			w.Fatal(err)
		}
		p, ok := ses.Proof("ten_a")
		if ses.ID != made.ID || ses.UserID != "usr_1" || !ok || p.Connection != "sso_ten_a" || p.Membership != "mem_usr_1ten_a" || p.Method != "saml" ||
			!slices.Equal(p.AMR, []string{"pwd"}) || p.ACR != "1" || !p.AuthTime.Equal(start) || !ses.ExpiresAt.Equal(start.Add(3*time.Hour)) || ses.Idle != time.Hour {
			w.Errorf("%+v", ses)
		}
		if end := ses.End(p); !end.Equal(p.NotAfter) {
			w.Errorf("ends at %v", end)
		}
		for _, bad := range []struct{ environment, cookie string }{{"env_b", cookie}, {env, ""}, {env, cookie + "x"}, {env, made.ID}} {
			if _, err := w.s.Find(w.ctx, w.db, bad.environment, bad.cookie); !errors.Is(err, ErrNoSession) {
				w.Errorf("%+v: %v", bad, err)
			}
		}
		// Use keeps it alive; the identity provider's end strikes the tenant, the absolute end everything.
		for _, step := range []struct {
			at      time.Duration
			tenants int
			err     error
		}{
			{59 * time.Minute, 1, nil},
			{110 * time.Minute, 1, nil},
			{130 * time.Minute, 0, nil},
			{179 * time.Minute, 0, nil},
			{181 * time.Minute, 0, ErrNoSession},
		} {
			w.clock.Advance(start.Add(step.at).Sub(w.clock.Now()))
			ses, err := w.s.Find(w.ctx, w.db, env, cookie)
			if !errors.Is(err, step.err) || len(ses.Tenants) != step.tenants {
				w.Errorf("after %v: %d tenants, %v", step.at, len(ses.Tenants), err)
			}
		}
	})
}

func TestSessionDiesIdle(t *testing.T) {
	each(t, func(w *world) {
		_, cookie := w.create(login("usr_1", "ten_a"))
		w.clock.Advance(DefaultIdle + time.Second)
		if _, err := w.s.Find(w.ctx, w.db, env, cookie); !errors.Is(err, ErrNoSession) {
			w.Error(err)
		}
	})
}

func TestFindWritesAtMostOnceAMinute(t *testing.T) {
	each(t, func(w *world) {
		_, cookie := w.create(login("usr_1", "ten_a"))
		for _, c := range []struct {
			by   time.Duration
			want int64
		}{{0, 1}, {59 * time.Second, 1}, {time.Second, 2}, {0, 1}} {
			w.clock.Advance(c.by)
			ctx, counter := db.Count(w.ctx)
			if _, err := w.s.Find(ctx, w.db, env, cookie); err != nil {
				w.Fatal(err)
			}
			if n := counter.Statements(); n != c.want {
				w.Errorf("after %v: %d statements", c.by, n)
			}
		}
	})
}

// A login at tenant A proves nothing to tenant B (identity rule 6); the times
// become the strictest (rule 7); the cookie is replaced.
func TestSatisfyAnotherTenant(t *testing.T) {
	each(t, func(w *world) {
		ses, cookie := w.create(login("usr_1", "ten_a"))
		if _, ok := ses.Proof("ten_b"); ok {
			w.Fatal("ten_b is satisfied by ten_a's login")
		}
		w.clock.Advance(time.Hour)
		n := login("usr_1", "ten_b")
		n.Idle, n.Absolute, n.Proof.ACR = time.Hour, 2*time.Hour, "2"
		var got Session
		var renewed string
		w.tx(func(q db.Queryer) (err error) {
			got, renewed, err = w.s.Satisfy(w.ctx, w.actor, q, ses, n)
			return err
		})
		if _, err := w.s.Find(w.ctx, w.db, env, cookie); !errors.Is(err, ErrNoSession) {
			w.Errorf("the old cookie: %v", err)
		}
		found, err := w.s.Find(w.ctx, w.db, env, renewed)
		if err != nil {
			w.Fatal(err)
		}
		for _, s := range []Session{got, found} {
			if s.ID != ses.ID || len(s.Tenants) != 2 || s.Idle != time.Hour || !s.ExpiresAt.Equal(start.Add(2*time.Hour)) || s.ACR != "2" {
				w.Errorf("%+v", s)
			}
		}
		// A laxer policy does not lengthen it again.
		w.tx(func(q db.Queryer) (err error) {
			got, renewed, err = w.s.Satisfy(w.ctx, w.actor, q, found, login("usr_1", "ten_a"))
			return err
		})
		if found, err = w.s.Find(w.ctx, w.db, env, renewed); err != nil || found.Idle != time.Hour || !found.ExpiresAt.Equal(start.Add(2*time.Hour)) || len(found.Tenants) != 2 {
			w.Errorf("%+v %v", found, err)
		}
		err = w.db.Tx(w.ctx, func(q db.Queryer) error {
			_, _, err := w.s.Satisfy(w.ctx, w.actor, q, found, login("usr_2", "ten_a"))
			return err
		})
		if !errors.Is(err, ErrOtherUser) {
			w.Errorf("another person: %v", err)
		}
		w.end(Selector{Environment: env, Session: ses.ID})
		err = w.db.Tx(w.ctx, func(q db.Queryer) error {
			_, _, err := w.s.Satisfy(w.ctx, w.actor, q, found, login("usr_1", "ten_a"))
			return err
		})
		if !errors.Is(err, ErrNoSession) || w.count(`SELECT COUNT(*) FROM session_tenants WHERE ended_at IS NULL`) != 0 {
			w.Errorf("an ended session: %v", err)
		}
	})
}

// Product 131: the sixth of five ends the oldest, its refresh token is dead at
// once, and the audit log tells. Counted per tenant (identity rule 7).
func TestConcurrentSessions(t *testing.T) {
	each(t, func(w *world) {
		var cookies, tokens []string
		n := login("usr_1", "ten_a")
		n.MaxConcurrent = 5
		for i := range 6 {
			ses, cookie := w.create(n)
			cookies = append(cookies, cookie)
			tokens = append(tokens, w.family(ses, "ten_a", "app_1"))
			w.clock.Advance(time.Second)
			if i == 0 { // neither another tenant's nor another person's sessions count
				w.create(login("usr_1", "ten_b"))
				w.create(login("usr_2", "ten_a"))
			}
		}
		if _, err := w.s.Find(w.ctx, w.db, env, cookies[0]); !errors.Is(err, ErrNoSession) {
			w.Errorf("the oldest lives: %v", err)
		}
		if r := w.rotate("app_1", tokens[0]); r.Refused != ErrInvalidGrant {
			w.Errorf("its refresh token: %+v", r.Refused)
		}
		for i := 1; i < 6; i++ {
			if _, err := w.s.Find(w.ctx, w.db, env, cookies[i]); err != nil {
				w.Errorf("session %d: %v", i, err)
			}
			if r := w.rotate("app_1", tokens[i]); r.Refused != nil {
				w.Errorf("refresh token %d: %v", i, r.Refused)
			}
		}
		if w.events("session.replaced") != 1 || w.count(`SELECT COUNT(*) FROM sessions WHERE ended_at IS NULL`) != 7 {
			w.Errorf("%d events, %d live sessions", w.events("session.replaced"), w.count(`SELECT COUNT(*) FROM sessions WHERE ended_at IS NULL`))
		}
		// Expired sessions hold no place.
		w.clock.Advance(DefaultIdle)
		for range 5 {
			w.create(n)
		}
		if c := w.events("session.replaced"); c != 1 {
			w.Errorf("%d events, want the one before", c)
		}
	})
}

func TestConcurrentLoginsKeepTheLimit(t *testing.T) {
	each(t, func(w *world) {
		n := login("usr_1", "ten_a")
		n.MaxConcurrent = 1
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				err := w.db.Tx(w.ctx, func(q db.Queryer) error {
					_, _, err := w.s.Create(w.ctx, w.actor, q, n)
					return err
				})
				if err != nil {
					w.Error(err)
				}
			})
		}
		wg.Wait()
		if c := w.count(`SELECT COUNT(*) FROM sessions WHERE ended_at IS NULL`); c != 1 {
			w.Errorf("%d live sessions, want 1", c)
		}
	})
}

func TestEndSelectors(t *testing.T) {
	type want struct {
		ended                  int
		a1, b1, a2, other      bool // which refresh tokens live
		sessionOne, sessionTwo bool // which sessions live
	}
	for name, c := range map[string]struct {
		sel  func(one, two Session) Selector
		want want
	}{
		"a person in a tenant":  {func(one, _ Session) Selector { return Selector{Environment: env, Tenant: "ten_a", User: "usr_1"} }, want{1, false, true, true, true, true, true}},
		"a session in a tenant": {func(one, _ Session) Selector { return Selector{Environment: env, Tenant: "ten_a", Session: one.ID} }, want{1, false, true, true, true, true, true}},
		"a whole session":       {func(one, _ Session) Selector { return Selector{Environment: env, Session: one.ID} }, want{2, false, false, true, true, false, true}},
		"a person everywhere":   {func(one, _ Session) Selector { return Selector{Environment: env, User: "usr_1"} }, want{2, false, false, true, true, false, true}},
		"a connection": {func(one, _ Session) Selector {
			return Selector{Environment: env, Tenant: "ten_a", Connection: "sso_ten_a"}
		}, want{2, false, true, false, true, true, false}},
		"a connection of a person": {func(one, _ Session) Selector {
			return Selector{Environment: env, Tenant: "ten_a", Connection: "sso_ten_a", User: "usr_2"}
		}, want{1, true, true, false, true, true, false}},
		"a tenant":                  {func(one, _ Session) Selector { return Selector{Environment: env, Tenant: "ten_a"} }, want{2, false, true, false, true, true, false}},
		"a session of its person":   {func(one, _ Session) Selector { return Selector{Environment: env, Session: one.ID, User: "usr_1"} }, want{2, false, false, true, true, false, true}},
		"a session, another person": {func(one, _ Session) Selector { return Selector{Environment: env, Session: one.ID, User: "usr_2"} }, want{0, true, true, true, true, true, true}},
		"a session, another tenant": {func(_, two Session) Selector { return Selector{Environment: env, Tenant: "ten_b", Session: two.ID} }, want{0, true, true, true, true, true, true}},
		"another environment":       {func(one, _ Session) Selector { return Selector{Environment: "env_b", Session: one.ID} }, want{0, true, true, true, true, true, true}},
		"another connection": {func(one, _ Session) Selector {
			return Selector{Environment: env, Tenant: "ten_a", Connection: "sso_ten_b"}
		}, want{0, true, true, true, true, true, true}},
		"the other tenant's session": {func(one, _ Session) Selector { return Selector{Environment: env, Tenant: "ten_b", User: "usr_1"} }, want{1, true, false, true, true, true, true}},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(w *world) {
				one, cookie := w.create(login("usr_1", "ten_a"))
				w.tx(func(q db.Queryer) (err error) {
					one, cookie, err = w.s.Satisfy(w.ctx, w.actor, q, one, login("usr_1", "ten_b"))
					return err
				})
				two, cookieTwo := w.create(login("usr_2", "ten_a"))
				three, _ := w.create(login("usr_2", "ten_b"))
				a1, b1 := w.family(one, "ten_a", "app_1"), w.family(one, "ten_b", "app_1")
				a2, other := w.family(two, "ten_a", "app_1"), w.family(three, "ten_b", "app_2")
				w.clock.Advance(time.Minute)

				got := want{ended: w.end(c.sel(one, two))}
				live := func(client, token string) bool { return w.rotate(client, token).Refused == nil }
				got.a1, got.b1, got.a2, got.other = live("app_1", a1), live("app_1", b1), live("app_1", a2), live("app_2", other)
				_, err := w.s.Find(w.ctx, w.db, env, cookie)
				got.sessionOne = err == nil
				_, err = w.s.Find(w.ctx, w.db, env, cookieTwo)
				got.sessionTwo = err == nil
				if got != c.want {
					w.Errorf("got  %+v\nwant %+v", got, c.want)
				}
				tenants := w.count(`SELECT COUNT(DISTINCT tenant_id) FROM session_tenants WHERE ended_at IS NOT NULL`)
				if events := w.events("session.ended"); events != tenants || (events > 0) != (c.want.ended > 0) {
					w.Errorf("%d events", events)
				}
				if again := w.end(c.sel(one, two)); again != 0 {
					w.Errorf("ended %d again", again)
				}
			})
		})
	}
}

func TestEmptySelectorsAreRefused(t *testing.T) {
	each(t, func(w *world) {
		w.create(login("usr_1", "ten_a"))
		for _, sel := range []Selector{
			{},
			{Environment: env},
			{Tenant: "ten_a"},
			{Environment: env, Connection: "sso_ten_a"},
			{User: "usr_1"},
			// Two providers may use one name for a session.
			{Environment: env, Tenant: "ten_a", Upstream: "s-1"},
			{Environment: env, Tenant: "ten_a", User: "usr_1", Upstream: "s-1"},
		} {
			err := w.db.Tx(w.ctx, func(q db.Queryer) error {
				_, err := w.s.End(w.ctx, w.actor, q, sel, "test")
				return err
			})
			if fault.KindOf(err) != fault.Invalid {
				w.Errorf("%+v: %v", sel, err)
			}
		}
	})
}

// Ending costs the same whether it meets one session or fifty.
func TestEndIsConstant(t *testing.T) {
	each(t, func(w *world) {
		for _, n := range []int{1, 50} {
			for range n {
				ses, _ := w.create(login("usr_1", "ten_a"))
				w.family(ses, "ten_a", "app_1")
			}
			ctx, counter := db.Count(w.ctx)
			err := w.db.Tx(ctx, func(q db.Queryer) error {
				ended, err := w.s.End(ctx, w.actor, q, Selector{Environment: env, Tenant: "ten_a", User: "usr_1"}, "test")
				if ended != n {
					w.Errorf("%d ended, want %d", ended, n)
				}
				return err
			})
			if err != nil {
				w.Fatal(err)
			}
			if counter.Statements() != 6 || counter.RoundTrips() != 3 {
				w.Errorf("%d sessions: %d statements, %d round trips", n, counter.Statements(), counter.RoundTrips())
			}
			w.clock.Advance(time.Second)
		}
	})
}

func TestNotifyEnded(t *testing.T) {
	each(t, func(w *world) {
		one, _ := w.create(login("usr_1", "ten_a"))
		w.tx(func(q db.Queryer) (err error) {
			one, _, err = w.s.Satisfy(w.ctx, w.actor, q, one, login("usr_1", "ten_b"))
			return err
		})
		w.family(one, "ten_a", "app_1")
		w.family(one, "ten_a", "app_2")
		w.family(one, "ten_a", "app_2")
		w.family(one, "ten_b", "app_1")
		if err := w.s.NotifyEnded(w.ctx, w.db); err != nil || w.count(`SELECT COUNT(*) FROM jobs`) != 0 {
			w.Fatal("told of a session that lives", err)
		}
		w.end(Selector{Environment: env, Tenant: "ten_a", User: "usr_1"})
		// The person may be gone by then.
		for _, text := range []string{`DELETE FROM sessions`, `DELETE FROM users WHERE id = 'usr_1'`} {
			if _, err := w.db.Exec(w.ctx, text); err != nil {
				w.Fatal(err)
			}
		}
		for range 2 {
			if err := w.s.NotifyEnded(w.ctx, w.db); err != nil {
				w.Fatal(err)
			}
		}
		rows, err := w.db.Query(w.ctx, `SELECT payload FROM jobs WHERE kind = $1`, JobLogout)
		if err != nil {
			w.Fatal(err)
		}
		defer rows.Close()
		var told []string
		for rows.Next() {
			var payload string
			var l Logout
			if err := rows.Scan(&payload); err != nil {
				w.Fatal(err)
			}
			if err := json.Unmarshal([]byte(payload), &l); err != nil || l.Session != one.ID || l.User != "usr_1" || l.Environment != env {
				w.Errorf("%s %v", payload, err)
			}
			told = append(told, l.Tenant+"/"+l.Client)
		}
		slices.Sort(told)
		if !slices.Equal(told, []string{"ten_a/app_1", "ten_a/app_2"}) {
			w.Errorf("told %v", told)
		}
	})
}

func TestPurge(t *testing.T) {
	each(t, func(w *world) {
		ses, _ := w.create(login("usr_1", "ten_a"))
		w.family(ses, "ten_a", "app_1")
		w.create(login("usr_2", "ten_a"))
		for _, step := range []struct {
			at                        time.Duration
			codes, families, sessions int
		}{
			{time.Hour, 1, 1, 2},
			{25 * time.Hour, 0, 1, 2},
			{DefaultAbsolute + keepEndedSession + time.Hour, 0, 1, 1}, // the family keeps its session
			{RefreshAbsolute + keepEndedSession + time.Hour, 0, 0, 0},
		} {
			w.clock.Advance(start.Add(step.at).Sub(w.clock.Now()))
			if err := w.s.Purge(w.ctx, w.db); err != nil {
				w.Fatal(err)
			}
			c, f, s := w.count(`SELECT COUNT(*) FROM auth_codes`), w.count(`SELECT COUNT(*) FROM refresh_families`), w.count(`SELECT COUNT(*) FROM sessions`)
			if c != step.codes || f != step.families || s != step.sessions {
				w.Errorf("after %v: %d codes, %d families, %d sessions", step.at, c, f, s)
			}
		}
		if n := w.count(`SELECT COUNT(*) FROM session_clients`); n != 0 {
			w.Errorf("%d clients left", n)
		}
	})
}

func BenchmarkCreate(b *testing.B) {
	dbtest.Bench(b, func(b *testing.B, d db.DB) {
		w := newWorld(b, d)
		n := login("usr_1", "ten_a")
		n.MaxConcurrent = 5
		for b.Loop() {
			w.clock.Advance(time.Millisecond)
			err := d.Tx(w.ctx, func(q db.Queryer) error {
				_, _, err := w.s.Create(w.ctx, w.actor, q, n)
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

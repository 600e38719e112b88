package sessions

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

func (w *world) issue(ses Session, client string) (code string) {
	w.Helper()
	w.tx(func(q db.Queryer) (err error) {
		code, err = w.s.IssueCode(w.ctx, q, w.code(ses, "ten_a", client))
		return err
	})
	return code
}

func (w *world) consume(client, code string) (r Redemption) {
	w.Helper()
	w.tx(func(q db.Queryer) (err error) {
		r, err = w.s.ConsumeCode(w.ctx, w.actor, q, env, client, code)
		return err
	})
	return r
}

func TestCode(t *testing.T) {
	each(t, func(w *world) {
		ses, _ := w.create(login("usr_1", "ten_a"))
		code := w.issue(ses, "app_1")
		if len(code) != 43 || w.count(`SELECT COUNT(*) FROM auth_codes WHERE hash = $1`, code) != 0 {
			w.Error("the code is stored as it is")
		}
		// Neither another client nor another environment uses it up.
		if r := w.consume("app_2", code); r.Refused != ErrInvalidGrant {
			w.Errorf("another client: %v", r.Refused)
		}
		w.tx(func(q db.Queryer) error {
			r, err := w.s.ConsumeCode(w.ctx, w.actor, q, "env_b", "app_1", code)
			if r.Refused != ErrInvalidGrant {
				w.Errorf("another environment: %v", r.Refused)
			}
			return err
		})
		r := w.consume("app_1", code)
		if r.Refused != nil || r.Code.Session != ses.ID || r.Code.Tenant != "ten_a" || r.Code.UserID != "usr_1" || string(r.Code.Request) != `{"n":1}` ||
			r.Session.ID != ses.ID || r.Proof.Connection != "sso_ten_a" || !strings.HasPrefix(r.Code.Family, "fam_") {
			w.Fatalf("%+v", r)
		}
		if n := w.count(`SELECT COUNT(*) FROM session_clients WHERE session_id = $1 AND client_id = 'app_1'`, ses.ID); n != 1 {
			w.Errorf("%d clients to be told", n)
		}
		if r := w.consume("app_1", "nonsense"); r.Refused != ErrInvalidGrant {
			w.Errorf("nonsense: %v", r.Refused)
		}

		code = w.issue(ses, "app_1")
		w.clock.Advance(CodeLifetime)
		if r := w.consume("app_1", code); r.Refused != ErrInvalidGrant {
			w.Errorf("expired: %v", r.Refused)
		}

		code = w.issue(ses, "app_1")
		w.end(Selector{Environment: env, Session: ses.ID})
		if r := w.consume("app_1", code); r.Refused != ErrInvalidGrant {
			w.Errorf("of an ended session: %v", r.Refused)
		}
		if w.events("code.reused") != 0 {
			w.Error("a first use was taken for a second")
		}
	})
}

func TestCodeReuseRevokesTheFamily(t *testing.T) {
	each(t, func(w *world) {
		ses, _ := w.create(login("usr_1", "ten_a"))
		code := w.issue(ses, "app_1")
		r := w.consume("app_1", code)
		var token string
		w.tx(func(q db.Queryer) (err error) {
			token, err = w.s.StartFamily(w.ctx, q, Family{ID: r.Code.Family, Environment: env, Tenant: "ten_a", Session: ses.ID, UserID: "usr_1", ClientID: "app_1"})
			return err
		})
		other := w.family(ses, "ten_a", "app_1")
		w.clock.Advance(10 * time.Minute) // long after it expired
		if r := w.consume("app_2", code); r.Refused != ErrInvalidGrant || w.events("code.reused") != 0 {
			w.Errorf("another client revokes: %v", r.Refused)
		}
		if r := w.consume("app_1", code); r.Refused != ErrCodeReused {
			w.Errorf("second use: %v", r.Refused)
		}
		if r := w.rotate("app_1", token); r.Refused != ErrInvalidGrant {
			w.Errorf("its refresh token: %v", r.Refused)
		}
		if r := w.rotate("app_1", other); r.Refused != nil {
			w.Errorf("another code's refresh token: %v", r.Refused)
		}
		if w.events("code.reused") != 1 {
			w.Errorf("%d events", w.events("code.reused"))
		}
	})
}

func TestParallelRedemption(t *testing.T) {
	each(t, func(w *world) {
		ses, _ := w.create(login("usr_1", "ten_a"))
		code := w.issue(ses, "app_1")
		var mu sync.Mutex
		outcomes := map[string]int{}
		var token string
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				var r Redemption
				var started string
				err := w.db.Tx(w.ctx, func(q db.Queryer) (err error) {
					if r, err = w.s.ConsumeCode(w.ctx, w.actor, q, env, "app_1", code); err != nil || r.Refused != nil {
						return err
					}
					started, err = w.s.StartFamily(w.ctx, q, Family{ID: r.Code.Family, Environment: env, Tenant: "ten_a", Session: ses.ID, UserID: "usr_1", ClientID: "app_1"})
					return err
				})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err != nil:
					w.Error(err)
				case r.Refused != nil:
					outcomes[r.Refused.Code]++
				default:
					outcomes["won"]++
					token = started
				}
			})
		}
		wg.Wait()
		if outcomes["won"] != 1 || outcomes["code_reused"] != 19 {
			w.Fatalf("%v", outcomes)
		}
		if r := w.rotate("app_1", token); r.Refused != ErrInvalidGrant {
			w.Errorf("the winner's refresh token after reuse: %v", r.Refused)
		}
	})
}

func TestRotation(t *testing.T) {
	each(t, func(w *world) {
		ses, _ := w.create(login("usr_1", "ten_a"))
		first := w.family(ses, "ten_a", "app_1")
		a := w.rotate("app_1", first)
		if a.Refused != nil || a.Successor == first || a.Repeated || a.Family.Tenant != "ten_a" || a.Family.Scope != "openid" ||
			a.Session.ID != ses.ID || a.Proof.Connection != "sso_ten_a" {
			w.Fatalf("%+v", a)
		}
		w.clock.Advance(grace)
		b := w.rotate("app_1", first)
		if b.Refused != nil || b.Successor != a.Successor || !b.Repeated {
			w.Fatalf("within the grace: %+v", b)
		}
		c := w.rotate("app_1", a.Successor)
		if c.Refused != nil || c.Repeated {
			w.Fatalf("the successor: %+v", c)
		}
		// Two steps back is reuse even within the grace.
		if r := w.rotate("app_1", first); r.Refused != ErrRefreshReused || r.Family.ID != c.Family.ID {
			w.Fatalf("two steps back: %+v", r)
		}
		if r := w.rotate("app_1", c.Successor); r.Refused != ErrInvalidGrant {
			w.Errorf("the newest token of a revoked family: %v", r.Refused)
		}
		if w.events("token.refresh_reused") != 1 {
			w.Errorf("%d events", w.events("token.refresh_reused"))
		}
		if r := w.rotate("app_1", first); r.Refused != ErrInvalidGrant || w.events("token.refresh_reused") != 1 {
			w.Error("a revoked family raises the alarm again")
		}
	})
}

func TestRotationAfterTheGrace(t *testing.T) {
	each(t, func(w *world) {
		ses, _ := w.create(login("usr_1", "ten_a"))
		first := w.family(ses, "ten_a", "app_1")
		w.rotate("app_1", first)
		w.clock.Advance(grace + time.Microsecond)
		if r := w.rotate("app_1", first); r.Refused != ErrRefreshReused {
			w.Errorf("%+v", r.Refused)
		}
	})
}

func TestRotationExpires(t *testing.T) {
	each(t, func(w *world) {
		ses, _ := w.create(login("usr_1", "ten_a"))
		idle, used := w.family(ses, "ten_a", "app_1"), w.family(ses, "ten_a", "app_1")
		for range 4 {
			w.clock.Advance(25 * 24 * time.Hour)
			r := w.rotate("app_1", used)
			if age := w.clock.Now().Sub(start); (r.Refused == nil) != (age < RefreshAbsolute) {
				w.Errorf("after %v: %v", age, r.Refused)
			}
			if r.Refused == nil {
				used = r.Successor
			}
		}
		if r := w.rotate("app_1", idle); r.Refused != ErrInvalidGrant {
			w.Errorf("idle: %v", r.Refused)
		}
		if w.events("token.refresh_reused") != 0 {
			w.Error("an expired token was taken for reuse")
		}
	})
}

// A forged token changes nothing: else anybody who knows an id could log people out.
func TestForgedRefreshTokens(t *testing.T) {
	each(t, func(w *world) {
		ses, _ := w.create(login("usr_1", "ten_a"))
		token := w.family(ses, "ten_a", "app_1")
		token = w.rotate("app_1", token).Successor
		token = w.rotate("app_1", token).Successor
		parts := strings.SplitN(token, "_", 4)
		forge := func(i int, v string) string {
			p := append([]string(nil), parts...)
			p[i] = v
			return strings.Join(p, "_")
		}
		for name, bad := range map[string]string{
			"empty":             "",
			"prefix":            "gwr_",
			"other prefix":      forge(0, "gws"),
			"earlier seq":       forge(2, "1"),
			"next seq":          forge(2, "4"),
			"seq with zero":     forge(2, "03"),
			"seq with plus":     forge(2, "+3"),
			"negative":          forge(2, "-1"),
			"huge seq":          forge(2, "99999999999999999999"),
			"no mac":            forge(3, ""),
			"wrong mac":         forge(3, strings.Repeat("A", macLen)),
			"longer":            token + "A",
			"shorter":           token[:len(token)-1],
			"other family":      forge(1, strings.Repeat("a", 26)),
			"family in capital": forge(1, strings.ToUpper(parts[1])),
			"spaces":            " " + token,
		} {
			if r := w.rotate("app_1", bad); r.Refused != ErrInvalidGrant {
				w.Errorf("%s: %+v", name, r)
			}
		}
		if r := w.rotate("app_2", token); r.Refused != ErrInvalidGrant {
			w.Errorf("another client: %v", r.Refused)
		}
		w.tx(func(q db.Queryer) error {
			r, err := w.s.Rotate(w.ctx, w.actor, q, "env_b", "app_1", token, 0)
			if r.Refused != ErrInvalidGrant {
				w.Errorf("another environment: %v", r.Refused)
			}
			return err
		})
		if r := w.rotate("app_1", token); r.Refused != nil {
			w.Errorf("the genuine token afterwards: %v", r.Refused)
		}
		if w.events("token.refresh_reused") != 0 {
			w.Error("a forged token was taken for reuse")
		}
	})
}

func TestParallelRotation(t *testing.T) {
	each(t, func(w *world) {
		ses, _ := w.create(login("usr_1", "ten_a"))
		token := w.family(ses, "ten_a", "app_1")
		var mu sync.Mutex
		successors := map[string]int{}
		firsts := 0
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				var r Rotation
				err := w.db.Tx(w.ctx, func(q db.Queryer) (err error) {
					r, err = w.s.Rotate(w.ctx, w.actor, q, env, "app_1", token, 0)
					return err
				})
				mu.Lock()
				defer mu.Unlock()
				if err != nil || r.Refused != nil {
					w.Error(err, r.Refused)
				}
				successors[r.Successor]++
				if !r.Repeated {
					firsts++
				}
			})
		}
		wg.Wait()
		if len(successors) != 1 || firsts != 1 {
			w.Fatalf("%d successors, %d rotations", len(successors), firsts)
		}
		for s := range successors {
			if r := w.rotate("app_1", s); r.Refused != nil {
				w.Errorf("the successor: %v", r.Refused)
			}
		}
	})
}

func TestRotationIsOneRoundTrip(t *testing.T) {
	each(t, func(w *world) {
		ses, _ := w.create(login("usr_1", "ten_a"))
		token := w.family(ses, "ten_a", "app_1")
		ctx, counter := db.Count(w.ctx)
		if r, err := w.s.Rotate(ctx, w.actor, w.db, env, "app_1", token, 0); err != nil || r.Refused != nil {
			w.Fatal(err, r.Refused)
		}
		if counter.Statements() != 2 {
			w.Errorf("%d statements", counter.Statements())
		}
	})
}

func TestRevoke(t *testing.T) {
	each(t, func(w *world) {
		ses, _ := w.create(login("usr_1", "ten_a"))
		first := w.family(ses, "ten_a", "app_1")
		second := w.rotate("app_1", first).Successor
		revoke := func(client, token string) (done bool) {
			w.tx(func(q db.Queryer) (err error) {
				done, err = w.s.Revoke(w.ctx, w.actor, q, env, client, token)
				return err
			})
			return done
		}
		if revoke("app_2", second) || revoke("app_1", "gwr_x") || revoke("app_1", "") {
			w.Error("revoked what is not the client's")
		}
		if !revoke("app_1", first) || revoke("app_1", second) {
			w.Error("an old token revokes the family, once")
		}
		if r := w.rotate("app_1", second); r.Refused != ErrInvalidGrant || w.events("token.revoked") != 1 {
			w.Errorf("%v", r.Refused)
		}
	})
}

func BenchmarkRotate(b *testing.B) {
	dbtest.Bench(b, func(b *testing.B, d db.DB) {
		w := newWorld(b, d)
		var token string
		err := d.Tx(w.ctx, func(q db.Queryer) error {
			ses, _, err := w.s.Create(w.ctx, w.actor, q, login("usr_1", "ten_a"))
			if err != nil {
				return err
			}
			token, err = w.s.StartFamily(w.ctx, q, Family{Environment: env, Tenant: "ten_a", Session: ses.ID, UserID: "usr_1", ClientID: "app_1"})
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			err := d.Tx(w.ctx, func(q db.Queryer) error {
				r, err := w.s.Rotate(w.ctx, w.actor, q, env, "app_1", token, 0)
				if err != nil {
					return err
				}
				token = r.Successor
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Whatever is accepted is, letter by letter, a token that was made.
func FuzzParseRefreshToken(f *testing.F) {
	w := newWorld(f, dbtest.Open(f, db.SQLite))
	genuine := w.s.token(Family{Environment: env, ID: "fam_" + strings.Repeat("a", 26), seq: 7})
	f.Add(genuine)
	f.Add("gwr_" + strings.Repeat("a", 26) + "_1_" + strings.Repeat("A", macLen))
	f.Fuzz(func(t *testing.T, token string) {
		id, seq, ok := w.s.parse(env, token)
		if ok && w.s.token(Family{Environment: env, ID: id, seq: seq}) != token {
			t.Fatalf("accepted %q", token)
		}
	})
}

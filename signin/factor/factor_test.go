package factor

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/tenants"
)

type world struct {
	*testing.T
	*Service
	d     db.DB
	fake  *clock.Fake
	env   tenants.Environment
	ada   Person
	grace Person
}

func each(t *testing.T, f func(w world)) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		v, err := keys.NewVault([]byte(strings.Repeat("k", keys.MasterSize)))
		if err != nil {
			t.Fatal(err)
		}
		c := clock.NewFake(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
		w := world{T: t, Service: New(d, v, c), d: d, fake: c}
		ses := sessions.New(v, c)
		ten, dir := tenants.New(v, ses, c, tenants.Options{}), directory.New(c, ses)
		w.tx(func(q db.Queryer) (err error) {
			if w.env, err = ten.EnsureDefault(w.ctx(), q, "https://id.example"); err != nil {
				return err
			}
			a := actor.Actor{Environment: w.env.ID, Kind: actor.System}
			acme, err := ten.CreateTenant(w.ctx(), a, q, tenants.NewTenant{Name: "Acme"})
			if err != nil {
				return err
			}
			for email, to := range map[string]*Person{"ada@acme.example": &w.ada, "grace@acme.example": &w.grace} {
				p, err := dir.CreateUser(w.ctx(), a, q, directory.NewUser{Environment: w.env.ID, Tenant: acme.ID, Email: email})
				if err != nil {
					return err
				}
				*to = Person{Environment: w.env, UserID: p.User.ID, Name: email}
			}
			return nil
		})
		f(w)
	})
}

func (w world) ctx() context.Context { return w.Context() }

func (w world) tx(f func(q db.Queryer) error) {
	w.Helper()
	if err := w.d.Tx(w.Context(), f); err != nil {
		w.Fatal(err)
	}
}

// refused runs f and wants its refusal.
func (w world) refused(code string, f func(q db.Queryer) error) {
	w.Helper()
	if err := w.d.Tx(w.Context(), f); fault.CodeOf(err) != code {
		w.Errorf("%v, want %s", err, code)
	}
}

func (w world) code(secret string) string {
	w.Helper()
	code, err := totp.GenerateCode(strings.ReplaceAll(secret, " ", ""), w.fake.Now())
	if err != nil {
		w.Fatal(err)
	}
	return code
}

// An authenticator app: enrolled by a code, and no code serves twice, also beside
// itself or on another replica.
func TestTOTP(t *testing.T) {
	each(t, func(w world) {
		var n NewTOTP
		w.tx(func(q db.Queryer) (err error) { n, err = w.BeginTOTP(w.ctx(), q, w.ada, "flo_1"); return err })
		if !strings.HasPrefix(n.URL, "otpauth://totp/") || len(strings.ReplaceAll(n.Secret, " ", "")) != 32 {
			t.Errorf("%+v", n)
		}
		finish := func(p Person, holder, code string) func(q db.Queryer) error {
			return func(q db.Queryer) error {
				_, err := w.FinishTOTP(w.ctx(), q, p, holder, "Phone", code)
				return err
			}
		}
		w.refused("SIGNIN_WRONG_CODE", finish(w.ada, "flo_1", "000000"))
		w.refused("SIGNIN_CHALLENGE_EXPIRED", finish(w.ada, "flo_2", w.code(n.Secret)))
		w.refused("SIGNIN_WRONG_CODE", finish(w.grace, "flo_1", w.code(n.Secret)))
		var again NewTOTP
		w.tx(func(q db.Queryer) (err error) { again, err = w.PendingTOTP(w.ctx(), q, w.ada, "flo_1"); return err })
		if again.Secret != n.Secret || len(n.PNG) == 0 {
			t.Errorf("a wrong code changed the secret")
		}
		used := w.code(n.Secret)
		w.tx(finish(w.ada, "flo_1", used))
		check := func(p Person, code string) func(q db.Queryer) error {
			return func(q db.Queryer) error { return w.CheckTOTP(w.ctx(), q, p, code) }
		}
		w.refused("SIGNIN_WRONG_CODE", check(w.ada, used)) // it enrolled the app
		w.fake.Advance(30 * time.Second)
		next := w.code(n.Secret)
		w.refused("SIGNIN_WRONG_CODE", check(w.grace, next))
		w.refused("SIGNIN_WRONG_CODE", check(w.ada, ""))
		w.refused("SIGNIN_WRONG_CODE", check(w.ada, used))
		// Of eight at once one is in.
		var wait sync.WaitGroup
		var mu sync.Mutex
		in := 0
		for range 8 {
			wait.Go(func() {
				err := w.d.Tx(w.Context(), check(w.ada, next[:3]+" "+next[3:]))
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					in++
				} else if !errors.Is(err, ErrWrong) {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if in != 1 {
			t.Errorf("%d of eight were let in", in)
		}
		// One step early and late, no more.
		w.fake.Advance(5 * time.Minute)
		late := w.code(n.Secret)
		w.fake.Advance(30 * time.Second)
		w.tx(check(w.ada, late))
		tooLate := w.code(n.Secret)
		w.fake.Advance(60 * time.Second)
		w.refused("SIGNIN_WRONG_CODE", check(w.ada, tooLate))
		list, err := w.Factors(w.ctx(), w.d, w.env.ID, w.ada.UserID)
		if err != nil || len(list) != 1 || list[0].Kind != TOTP || list[0].Name != "Phone" || list[0].LastUsedAt.IsZero() {
			t.Errorf("%+v %v", list, err)
		}
		w.tx(func(q db.Queryer) error {
			return errors.Join(w.Rename(w.ctx(), q, w.env.ID, w.ada.UserID, list[0].ID, "  Mobil\x00telefon "), w.Remove(w.ctx(), q, w.env.ID, w.ada.UserID, list[0].ID))
		})
		w.refused("factor_not_found", func(q db.Queryer) error { return w.Remove(w.ctx(), q, w.env.ID, w.ada.UserID, list[0].ID) })
		var rows int
		if err := w.d.QueryRow(w.ctx(), `SELECT COUNT(*) FROM factors`).Scan(&rows); err != nil || rows != 0 {
			t.Errorf("%d factors are left, %v", rows, err)
		}
	})
}

// Recovery codes are shown once, serve once, and are their person's.
func TestRecoveryCodes(t *testing.T) {
	each(t, func(w world) {
		var codes, old []string
		make := func(to *[]string) {
			w.tx(func(q db.Queryer) (err error) {
				*to, err = w.NewRecoveryCodes(w.ctx(), q, w.ada)
				return err
			})
		}
		make(&old)
		make(&codes)
		if len(codes) != 10 || len(codes[0]) != 19 {
			t.Fatal(codes)
		}
		check := func(p Person, code string) func(q db.Queryer) error {
			return func(q db.Queryer) error { return w.CheckRecovery(w.ctx(), q, p, code) }
		}
		w.refused("SIGNIN_WRONG_CODE", check(w.ada, old[0]))
		w.refused("SIGNIN_WRONG_CODE", check(w.grace, codes[0]))
		w.refused("SIGNIN_WRONG_CODE", check(w.ada, ""))
		w.tx(check(w.ada, " "+strings.ToUpper(codes[0])+" "))
		w.refused("SIGNIN_WRONG_CODE", check(w.ada, codes[0]))
		left, err := w.RecoveryCodes(w.ctx(), w.d, w.ada)
		if err != nil || left != 9 {
			t.Errorf("%d are left, %v", left, err)
		}
		var text string
		if err := w.d.QueryRow(w.ctx(), `SELECT MIN(hash) FROM recovery_codes`).Scan(&text); err != nil || strings.Contains(text, strings.ReplaceAll(codes[1], "-", "")) {
			t.Errorf("stored as %q, %v", text, err)
		}
	})
}

func TestMailedCode(t *testing.T) {
	each(t, func(w world) {
		var code string
		begin := func(q db.Queryer) (err error) {
			code, err = w.BeginMail(w.ctx(), q, w.env.ID, "flo_1", w.ada.UserID)
			return err
		}
		w.tx(begin)
		w.refused("SIGNIN_CODE_SENT", begin)
		first := code
		if first == "" {
			w.fake.Advance(31 * time.Second)
			w.tx(begin)
			first = code
		}
		check := func(holder, user, code string) func(q db.Queryer) error {
			return func(q db.Queryer) error { return w.CheckMail(w.ctx(), q, w.env.ID, holder, user, code) }
		}
		w.refused("SIGNIN_WRONG_CODE", check("flo_1", w.ada.UserID, "00000000"))
		w.refused("SIGNIN_WRONG_CODE", check("flo_1", w.grace.UserID, first))
		w.refused("SIGNIN_CHALLENGE_EXPIRED", check("flo_2", w.ada.UserID, first))
		w.tx(check("flo_1", w.ada.UserID, first[:4]+" "+first[4:]))
		w.refused("SIGNIN_CHALLENGE_EXPIRED", check("flo_1", w.ada.UserID, first))
		w.fake.Advance(31 * time.Second)
		w.tx(begin)
		w.fake.Advance(10 * time.Minute)
		w.refused("SIGNIN_CHALLENGE_EXPIRED", check("flo_1", w.ada.UserID, code))
	})
}

var here = netip.MustParseAddr("192.0.2.1")

// Tries are counted by account and by address, and whoever guesses waits longer
// and longer, until the account is locked (product 41).
func TestAttempts(t *testing.T) {
	each(t, func(w world) {
		ada := Typed("Ada@Acme.example ")
		lock := Lock{MaxAttempts: 6, For: time.Hour}
		count := func(a Account, ip netip.Addr) (Try, error) { return w.Count(w.ctx(), w.env.ID, a, ip, lock) }
		wait := func(err error) time.Duration {
			f, ok := fault.From(err)
			if !ok || f.Code != "SIGNIN_TOO_MANY_ATTEMPTS" {
				t.Fatalf("%v", err)
			}
			return f.RetryAfter
		}
		var last Try
		for i, pause := range []time.Duration{0, 0, 0, 1, 2} {
			if _, err := count(ada, here); err != nil {
				t.Fatalf("try %d: %v", i+1, err)
			}
			if pause > 0 {
				if _, err := count(Typed("ada@acme.example"), here); wait(err) != pause*time.Second {
					t.Errorf("after %d tries: %v, want %d s", i+1, err, pause)
				}
				w.fake.Advance(pause * time.Second)
			}
		}
		last, err := count(ada, here)
		if err != nil || !last.Locks {
			t.Errorf("the last try: %+v %v", last, err)
		}
		if _, err := count(ada, netip.MustParseAddr("198.51.100.1")); wait(err) != time.Hour {
			t.Errorf("locked: %v", err)
		}
		if _, err := count(Typed("grace@acme.example"), here); err != nil {
			t.Errorf("another account: %v", err)
		}
		w.tx(func(q db.Queryer) error { return q.Batch(w.ctx(), w.ForgiveStmts(w.env.ID, ada)) })
		good, err := count(ada, here)
		if err != nil {
			t.Fatal(err)
		}
		w.tx(func(q db.Queryer) error { return q.Batch(w.ctx(), w.HeldStmts(good)) })
		// Many accounts from one network: the network waits, others do not.
		v6 := netip.MustParseAddr("2001:db8::1")
		for i := range 31 {
			if _, err := count(Typed(strings.Repeat("x", i+1)), v6); err != nil {
				t.Fatalf("%d: %v", i, err)
			}
		}
		if _, err := count(Typed("somebody"), netip.MustParseAddr("2001:db8::ffff")); wait(err) == 0 {
			t.Error("the same network does not wait")
		}
		if _, err := count(Typed("somebody"), netip.MustParseAddr("2001:db8:0:1::1")); err != nil {
			t.Errorf("the next network: %v", err)
		}
		// Guesses that arrive together are all counted.
		var wg sync.WaitGroup
		var mu sync.Mutex
		through := 0
		for i := range 20 {
			wg.Go(func() {
				if _, err := w.Count(w.ctx(), w.env.ID, Known("usr_x"), netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), SecondLock); err == nil {
					mu.Lock()
					through++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if through > 5 {
			t.Errorf("%d of twenty guesses were judged", through)
		}
		// A day later it is forgotten, and then gone.
		w.fake.Advance(25 * time.Hour)
		if err := w.Purge(w.ctx()); err != nil {
			t.Fatal(err)
		}
		var n int
		if err := w.d.QueryRow(w.ctx(), `SELECT COUNT(*) FROM attempts`).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d attempts are left, %v", n, err)
		}
	})
}

// Tries that are counted and taken back at once, of one account and one address, lock
// in one order: PostgreSQL never has to end one of them to let another go on.
func TestTriesDoNotDeadlock(t *testing.T) {
	each(t, func(w world) {
		var again atomic.Int64
		var wg sync.WaitGroup
		for n := range 6 {
			wg.Go(func() {
				for range 40 {
					try, err := w.Count(w.ctx(), w.env.ID, Typed("ada@acme.example"), here, Lock{})
					if err != nil {
						if fault.KindOf(err) != fault.Limited {
							t.Error(err)
						}
						continue
					}
					stmts, runs := w.HeldStmts(try), int64(0)
					if n%2 == 0 {
						stmts = w.TakeBackStmts(try)
					}
					if err := w.d.Tx(w.ctx(), func(q db.Queryer) error {
						runs++
						for _, s := range stmts { // one by one, so that others come between
							if _, err := q.Exec(w.ctx(), s.SQL, s.Args...); err != nil {
								return err
							}
						}
						return nil
					}); err != nil {
						t.Error(err)
					}
					again.Add(runs - 1)
				}
			})
		}
		wg.Wait()
		if n := again.Load(); n > 0 {
			t.Errorf("%d transactions had to run again", n)
		}
	})
}

// Passwords: the same answer for a wrong one, a person without one and nobody.
func TestCheckPassword(t *testing.T) {
	each(t, func(w world) {
		hash, err := w.Prepare(w.ctx(), w.env.ID, w.ada.UserID, "", "correct horse battery", PasswordRules(policy.Settings{}, "ada@acme.example"), 3)
		if err != nil {
			t.Fatal(err)
		}
		check := func(email, hash, password string) string {
			at, err := w.Hasher.Enter()
			if err != nil {
				t.Fatal(err)
			}
			defer at.Leave()
			try, fresh, err := w.CheckPassword(w.ctx(), at, w.env.ID, email, hash, password, Origin{IP: here}, Lock{})
			if fresh != "" {
				t.Error("hashed anew")
			}
			if err == nil {
				w.tx(func(q db.Queryer) error { return q.Batch(w.ctx(), w.HeldStmts(try)) })
			}
			return fault.CodeOf(err)
		}
		for range 10 { // what holds is not counted
			if got := check("ada@acme.example", hash, "correct horse battery"); got != "" {
				t.Fatal(got)
			}
		}
		for _, c := range [][2]string{{hash, "wrong"}, {"", "correct horse battery"}, {hash, strings.Repeat("x", 10_000)}} {
			if got := check("ada@acme.example", c[0], c[1]); got != "SIGNIN_WRONG_PASSWORD" {
				t.Errorf("%.20q: %s", c[1], got)
			}
		}
		if got := check("ada@acme.example", hash, "correct horse battery"); got != "" {
			t.Errorf("three wrong ones lock nobody out: %s", got)
		}
	})
}

// Who gives up while he waits for his turn has tried nothing; what failed before
// still counts.
func TestCheckPasswordGivenUp(t *testing.T) {
	each(t, func(w world) {
		hash, err := w.Hasher.Hash(w.ctx(), "correct horse battery")
		if err != nil {
			t.Fatal(err)
		}
		check := func(ctx context.Context, hash string) error {
			at, err := w.Hasher.Enter()
			if err != nil {
				return err
			}
			defer at.Leave()
			_, _, err = w.CheckPassword(ctx, at, w.env.ID, "ada@acme.example", hash, "wrong", Origin{IP: here}, Lock{MaxAttempts: 3})
			return err
		}
		if err := check(w.ctx(), hash); !errors.Is(err, ErrPassword) {
			t.Fatal(err)
		}
		for range cap(w.Hasher.running) {
			w.Hasher.running <- struct{}{}
		}
		// Known and unknown people alike wait for their turn.
		for n := range 10 {
			ctx, giveUp := context.WithCancel(w.ctx())
			done := make(chan error, 1)
			go func() { done <- check(ctx, []string{hash, ""}[n%2]) }()
			for len(w.Hasher.waiting) == 0 {
				runtime.Gosched()
			}
			for w.failures("ada@acme.example") < 2 {
				runtime.Gosched()
			}
			giveUp()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		for range cap(w.Hasher.running) {
			<-w.Hasher.running
		}
		for n, want := range []string{"SIGNIN_WRONG_PASSWORD", "SIGNIN_WRONG_PASSWORD", "SIGNIN_TOO_MANY_ATTEMPTS"} {
			if got := fault.CodeOf(check(w.ctx(), hash)); got != want {
				t.Errorf("wrong password %d: %s, want %s", n+2, got, want)
			}
		}
	})
}

// What has run out goes, and nothing else.
func TestPurge(t *testing.T) {
	each(t, func(w world) {
		rows := func() (list [4]int) {
			w.tx(func(q db.Queryer) error {
				for n, table := range []string{"attempts", "challenges", "password_resets", "remembered_devices"} {
					if err := q.QueryRow(w.ctx(), `SELECT COUNT(*) FROM `+table).Scan(&list[n]); err != nil {
						return err
					}
				}
				return nil
			})
			return list
		}
		purge := func() {
			t.Helper()
			if err := w.Purge(w.ctx()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Count(w.ctx(), w.env.ID, Typed("ada@acme.example"), here, Lock{}); err != nil {
			t.Fatal(err)
		}
		w.tx(func(q db.Queryer) error {
			if _, err := w.BeginMail(w.ctx(), q, w.env.ID, "flw_1", w.ada.UserID); err != nil {
				return err
			}
			if _, err := w.NewReset(w.ctx(), q, w.env.ID, w.ada.UserID); err != nil {
				return err
			}
			_, err := w.Remember(w.ctx(), q, w.env.ID, w.ada.UserID)
			return err
		})
		for _, c := range []struct {
			after time.Duration
			want  [4]int
		}{{0, [4]int{2, 1, 1, 1}}, {time.Hour, [4]int{2, 0, 1, 1}}, {25 * time.Hour, [4]int{0, 0, 0, 1}}, {DeviceLife, [4]int{}}} {
			w.fake.Advance(c.after)
			if purge(); rows() != c.want {
				t.Errorf("after %s: %v, want %v", c.after, rows(), c.want)
			}
		}
	})
}

// failures are the tries that are counted for an address.
func (w world) failures(email string) (n int) {
	w.tx(func(q db.Queryer) error {
		err := q.QueryRow(w.ctx(), `SELECT failures FROM attempts WHERE environment_id = $1 AND key = $2`, w.env.ID, Typed(email).key).Scan(&n)
		if errors.Is(err, db.ErrNotFound) {
			return nil
		}
		return err
	})
	return n
}

// Product 42: former passwords do not come again, as far back as the policy says.
func TestPasswordHistory(t *testing.T) {
	each(t, func(w world) {
		r := PasswordRules(policy.Settings{})
		current := ""
		set := func(password string) string {
			hash, err := w.Prepare(w.ctx(), w.env.ID, w.ada.UserID, current, password, r, 3)
			if err != nil {
				return fault.CodeOf(err)
			}
			w.tx(func(q db.Queryer) error { return q.Batch(w.ctx(), w.KeepStmts(w.env.ID, w.ada.UserID, current, 3)) })
			current = hash
			return ""
		}
		for _, c := range [][2]string{
			{"the first password", ""},
			{"the second password", ""},
			{"the third password", ""},
			{"the third password", "password_used_before"},
			{"the first password", "password_used_before"},
			{"the fourth password", ""},
			{"the first password", ""},
		} {
			if got := set(c[0]); got != c[1] {
				t.Errorf("%s: %q, want %q", c[0], got, c[1])
			}
		}
	})
}

func TestPasswordRulesOfPolicies(t *testing.T) {
	for _, c := range []struct {
		s    policy.Settings
		want int
	}{
		{policy.Settings{}, 15},
		{policy.Settings{MFA: policy.MFARules{Enforce: policy.MFAOn}}, 8},
		{policy.Settings{MFA: policy.MFARules{Enforce: policy.MFAUnlessSSO}}, 15},
		{policy.Settings{Password: policy.PasswordRules{MinLength: 20}}, 20},
		{policy.Settings{MFA: policy.MFARules{Enforce: policy.MFAOn}, Password: policy.PasswordRules{MinLength: 12}}, 12},
		{policy.Settings{Password: policy.PasswordRules{MinLength: 8}}, 15},
	} {
		if got := PasswordRules(c.s).MinLength; got != c.want {
			t.Errorf("%+v: %d, want %d", c.s, got, c.want)
		}
	}
}

// A reset link serves once, for fifteen minutes, and not many are mailed.
func TestReset(t *testing.T) {
	each(t, func(w world) {
		var token string
		begin := func(q db.Queryer) (err error) {
			token, err = w.NewReset(w.ctx(), q, w.env.ID, w.ada.UserID)
			return err
		}
		w.tx(begin)
		first := token
		w.tx(begin)
		if first == "" || token != "" {
			t.Errorf("%q, then %q at once", first, token)
		}
		if user, err := w.Reset(w.ctx(), w.d, w.env.ID, first); err != nil || user != w.ada.UserID {
			t.Error(user, err)
		}
		use := func(q db.Queryer) error { _, err := w.UseReset(w.ctx(), q, w.env.ID, first); return err }
		w.tx(use)
		w.refused("SIGNIN_RESET_EXPIRED", use)
		w.fake.Advance(2 * time.Minute)
		w.tx(begin)
		w.fake.Advance(16 * time.Minute)
		if _, err := w.Reset(w.ctx(), w.d, w.env.ID, token); !errors.Is(err, ErrReset) {
			t.Error(err)
		}
		// A new password ends the links that are out.
		w.tx(begin)
		w.tx(func(q db.Queryer) error { return q.Batch(w.ctx(), w.KeepStmts(w.env.ID, w.ada.UserID, "", 0)) })
		if _, err := w.Reset(w.ctx(), w.d, w.env.ID, token); !errors.Is(err, ErrReset) {
			t.Error(err)
		}
	})
}

func TestRememberedDevice(t *testing.T) {
	each(t, func(w world) {
		var cookie string
		w.tx(func(q db.Queryer) (err error) {
			cookie, err = w.Remember(w.ctx(), q, w.env.ID, w.ada.UserID)
			return err
		})
		given := w.fake.Now()
		is := func(user, cookie string, want bool) {
			t.Helper()
			at, err := w.RememberedAt(w.ctx(), w.d, w.env.ID, user, cookie)
			if at.IsZero() == want || err != nil || want && !at.Equal(given) {
				t.Errorf("%v %v", at, err)
			}
		}
		is(w.ada.UserID, cookie, true)
		is(w.grace.UserID, cookie, false)
		is("", cookie, false)
		is(w.ada.UserID, "", false)
		is(w.ada.UserID, cookie+"x", false)
		w.fake.Advance(DeviceLife)
		is(w.ada.UserID, cookie, false)
	})
}

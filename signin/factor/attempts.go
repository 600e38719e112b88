package factor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/netip"
	"strconv"
	"time"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

const (
	// forget is after how long without a try the count of an account begins anew.
	forget   = 24 * time.Hour
	maxDelay = 5 * time.Minute
	// freeTries may fail before anybody has to wait: people mistype.
	freeTries = 3
	// A network address has freeAddressTries, and gets one back in each addressPace:
	// a whole office may mistype now and then for ever, and whoever tries one
	// password with many accounts comes to three a minute.
	freeAddressTries = 30
	addressPace      = 20 * time.Second
	maxAddressDelay  = time.Minute
	// knownFor is how long a browser in which an account signed in is known for it.
	knownFor = 90 * 24 * time.Hour
	// until is a lock that somebody has to lift.
	until = 100 * 365 * 24 * time.Hour
)

// Account is whose tries are counted: by the address that was typed, whether or
// not there is such a person, so that counting tells nobody. Of the zero value only
// the network address is counted.
type Account struct{ key string }

// Typed is the account of an address.
func Typed(email string) Account {
	sum := sha256.Sum256([]byte(directory.EmailKey(email)))
	return Account{"account:" + hex.EncodeToString(sum[:])}
}

// Known is the account of somebody who has proven a first factor: his tries at a
// second one are counted over all of his browsers and addresses together.
func Known(user string) Account { return Account{"user:" + user} }

// Account is whose tries at second factors are counted, as by Known. Behind an
// identity provider they count for its organization alone: what succeeds there proves
// nothing elsewhere and so takes no failure back, and what fails there locks nobody
// out of his other organizations (identity rule 6).
func (p Person) Account() Account {
	if p.Tenant == "" {
		return Known(p.UserID)
	}
	return Known(p.UserID + " " + p.Tenant)
}

// Lock is when an account is locked; the zero value never does.
type Lock struct {
	MaxAttempts int
	For         time.Duration // 0: until somebody lifts it
}

// SecondLock holds for second factors, whatever the policy: five tries of a code
// of six digits in five minutes (sso 6.2).
var SecondLock = Lock{MaxAttempts: 5, For: 5 * time.Minute}

// Origin is where a try comes from.
type Origin struct {
	IP netip.Addr
	// Browser is the secret of the browser, see httpx.BrowserID; empty: none. Where an
	// account has signed in in it before, the try is not held up by what others behind
	// the same network address do; the account's own count holds it up as any other.
	Browser string
}

// Try is a counted try, to be ended by Held when it held.
type Try struct {
	environment string
	account     Account
	address     string // empty: not counted
	browser     string // key of account and browser; empty: none
	// Locks: were this try to fail, the account would be locked.
	Locks bool
}

// Count counts a try before it is judged, in a transaction of its own.
//
// Fault: SIGNIN_TOO_MANY_ATTEMPTS of kind limited, with the time to wait.
func (s *Service) Count(ctx context.Context, environment string, account Account, ip netip.Addr, lock Lock) (Try, error) {
	return s.CountFrom(ctx, environment, account, Origin{IP: ip}, lock)
}

// CountFrom is Count for a browser that may be known.
func (s *Service) CountFrom(ctx context.Context, environment string, account Account, from Origin, lock Lock) (Try, error) {
	if account.key != "" {
		account.key = s.of.accounts + account.key
	}
	t := Try{environment: environment, account: account, browser: browserKey(account, from.Browser)}
	now := s.clock.Now()
	var refused error
	err := s.db.Tx(ctx, func(q db.Queryer) error {
		refused, t.Locks, t.address = nil, false, addressKey(from.IP)
		if known, err := s.known(ctx, q, t, now); err != nil {
			return err
		} else if known {
			t.address = ""
		}
		var err error
		if refused, err = s.countAddress(ctx, q, t, now); err != nil || refused != nil {
			return err
		}
		if account.key != "" {
			refused, err = s.countAccount(ctx, q, &t, lock, now) // what was counted of the address stays
		}
		return err
	})
	return t, errors.Join(err, refused)
}

func (s *Service) known(ctx context.Context, q db.Queryer, t Try, now time.Time) (bool, error) {
	if t.browser == "" {
		return false, nil
	}
	var end db.Time
	err := q.QueryRow(ctx, sqlFreeAt, t.environment, t.browser).Scan(&end)
	if errors.Is(err, db.ErrNotFound) {
		return false, nil
	}
	return end.After(now), err
}

func (s *Service) countAddress(ctx context.Context, q db.Queryer, t Try, now time.Time) (refused, err error) {
	if t.address == "" {
		return nil, nil
	}
	var full db.Time
	err = q.QueryRow(ctx, sqlTryAddress, t.environment, t.address, db.At(now), addressPace.Microseconds()).Scan(&full)
	if errors.Is(err, db.ErrNotFound) {
		return s.mustWait(ctx, q, t.environment, t.address, now)
	}
	if err != nil {
		return nil, err
	}
	spent := int((full.Sub(now) + addressPace - 1) / addressPace)
	return nil, s.wait(ctx, q, t.environment, t.address, now, min(delay(spent-freeAddressTries), maxAddressDelay))
}

func (s *Service) countAccount(ctx context.Context, q db.Queryer, t *Try, lock Lock, now time.Time) (refused, err error) {
	var failures int
	err = q.QueryRow(ctx, sqlTry, t.environment, t.account.key, db.At(now), db.At(now.Add(-forget))).Scan(&failures)
	if errors.Is(err, db.ErrNotFound) {
		return s.mustWait(ctx, q, t.environment, t.account.key, now)
	}
	if err != nil {
		return nil, err
	}
	wait := delay(failures - freeTries)
	if lock.MaxAttempts > 0 && failures >= lock.MaxAttempts {
		t.Locks = true
		if wait = lock.For; wait == 0 {
			wait = until
		}
	}
	return nil, s.wait(ctx, q, t.environment, t.account.key, now, wait)
}

// mustWait is the refusal of who comes before his time.
func (s *Service) mustWait(ctx context.Context, q db.Queryer, environment, key string, now time.Time) (refused, err error) {
	var free db.Time
	if err := q.QueryRow(ctx, sqlFreeAt, environment, key).Scan(&free); err != nil {
		return nil, err
	}
	return tooMany(free.Sub(now)), nil
}

func (s *Service) wait(ctx context.Context, q db.Queryer, environment, key string, now time.Time, wait time.Duration) error {
	if wait <= 0 {
		return nil
	}
	_, err := q.Exec(ctx, sqlWait, environment, key, db.At(now.Add(wait)))
	return err
}

// delay doubles from a second on.
func delay(n int) time.Duration {
	if n <= 0 {
		return 0
	}
	return min(time.Second<<min(n-1, 10), maxDelay)
}

func tooMany(wait time.Duration) error {
	const code = "SIGNIN_TOO_MANY_ATTEMPTS"
	var f *fault.Error
	switch {
	case wait > 24*time.Hour:
		f = fault.New(fault.Limited, code, "Too many attempts failed. The account is locked. Open the link in the mail that we sent, reset the password, or ask your administrator.")
	case wait > 2*time.Minute:
		f = fault.Filled(fault.Limited, code, "Too many attempts failed. Try again in {n} minutes.", "n", strconv.Itoa(int(wait.Minutes())+1))
	default:
		f = fault.Filled(fault.Limited, code, "Too many attempts failed. Try again in {n} seconds.", "n", strconv.Itoa(int(wait.Seconds())+1))
	}
	f.RetryAfter = min(wait, time.Hour)
	return f
}

// HeldStmts take back a try that held: first of the address and then of the account,
// as tries are counted, or two that meet would each wait for the other. Its browser
// is known for the account then.
func (s *Service) HeldStmts(t Try) []db.Stmt {
	now := s.clock.Now()
	var stmts []db.Stmt
	if t.address != "" {
		stmts = append(stmts, db.Stmt{SQL: sqlGiveBack, Args: []any{t.environment, t.address, db.At(now), addressPace.Microseconds()}})
	}
	stmts = append(stmts, db.Stmt{SQL: sqlForgive, Args: []any{t.environment, t.account.key}})
	if t.browser != "" {
		stmts = append(stmts, db.Stmt{SQL: sqlKnow, Args: []any{t.environment, t.browser, db.At(now), db.At(now.Add(knownFor))}})
	}
	return stmts
}

// TakeBackStmts take back one try that was none; those before it stay counted.
func (s *Service) TakeBackStmts(t Try) []db.Stmt {
	now := db.At(s.clock.Now())
	var stmts []db.Stmt
	if t.address != "" { // in the order of HeldStmts
		stmts = append(stmts, db.Stmt{SQL: sqlGiveBack, Args: []any{t.environment, t.address, now, addressPace.Microseconds()}})
	}
	return append(stmts, db.Stmt{SQL: sqlTakeBack, Args: []any{t.environment, t.account.key, now}})
}

// ForgiveStmts lift what stands against an account.
func (s *Service) ForgiveStmts(environment string, accounts ...Account) []db.Stmt {
	var stmts []db.Stmt
	for _, a := range accounts {
		stmts = append(stmts, db.Stmt{SQL: sqlForgive, Args: []any{environment, s.of.accounts + a.key}})
	}
	return stmts
}

// browserKey is the key of an account in a browser. Nothing tells whose it is.
func browserKey(a Account, browser string) string {
	if browser == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(browser + " " + a.key))
	return "browser:" + hex.EncodeToString(sum[:])
}

// addressKey groups IPv6 addresses by the network that one subscriber has.
func addressKey(ip netip.Addr) string {
	ip = ip.Unmap()
	if !ip.IsValid() {
		return ""
	}
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, err := ip.WithZone("").Prefix(bits)
	if err != nil {
		return ""
	}
	return "address:" + p.String()
}

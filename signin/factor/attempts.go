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
	forget = 24 * time.Hour
	// forgetAddress is the same for a network address.
	forgetAddress = 10 * time.Minute
	maxDelay      = 5 * time.Minute
	// freeTries may fail before anybody has to wait: people mistype.
	freeTries        = 3
	freeAddressTries = 30
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

// Lock is when an account is locked; the zero value never does.
type Lock struct {
	MaxAttempts int
	For         time.Duration // 0: until somebody lifts it
}

// SecondLock holds for second factors, whatever the policy: five tries of a code
// of six digits in five minutes (sso 6.2).
var SecondLock = Lock{MaxAttempts: 5, For: 5 * time.Minute}

// Try is a counted try, to be ended by Held when it held.
type Try struct {
	environment string
	account     Account
	address     string
	// Locks: were this try to fail, the account would be locked.
	Locks bool
}

// Count counts a try before it is judged, in a transaction of its own.
//
// Fault: SIGNIN_TOO_MANY_ATTEMPTS of kind limited, with the time to wait.
func (s *Service) Count(ctx context.Context, environment string, account Account, ip netip.Addr, lock Lock) (Try, error) {
	if account.key != "" {
		account.key = s.of.accounts + account.key
	}
	t := Try{environment: environment, account: account, address: addressKey(ip)}
	now := s.clock.Now()
	var refused error
	err := s.db.Tx(ctx, func(q db.Queryer) error {
		refused, t.Locks = nil, false
		for _, k := range []struct {
			key    string
			window time.Duration
			wait   func(failures int) time.Duration
		}{
			{t.address, forgetAddress, func(n int) time.Duration { return min(delay(n-freeAddressTries), time.Minute) }},
			{account.key, forget, func(n int) time.Duration {
				if lock.MaxAttempts == 0 || n < lock.MaxAttempts {
					return delay(n - freeTries)
				}
				t.Locks = true
				if lock.For == 0 {
					return until
				}
				return lock.For
			}},
		} {
			if k.key == "" {
				continue
			}
			var failures int
			err := q.QueryRow(ctx, sqlTry, environment, k.key, db.At(now), db.At(now.Add(-k.window))).Scan(&failures)
			if errors.Is(err, db.ErrNotFound) {
				var free db.Time
				if err := q.QueryRow(ctx, sqlFreeAt, environment, k.key).Scan(&free); err != nil {
					return err
				}
				refused = tooMany(free.Time.Sub(now))
				return nil // what was counted of the address stays
			}
			if err != nil {
				return err
			}
			if wait := k.wait(failures); wait > 0 {
				if _, err := q.Exec(ctx, sqlWait, environment, k.key, db.At(now.Add(wait))); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return t, errors.Join(err, refused)
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
		f = fault.New(fault.Limited, code, "Too many attempts failed. The account is locked. Reset the password, or ask your administrator.")
	case wait > 2*time.Minute:
		f = fault.Filled(fault.Limited, code, "Too many attempts failed. Try again in {n} minutes.", "n", strconv.Itoa(int(wait.Minutes())+1))
	default:
		f = fault.Filled(fault.Limited, code, "Too many attempts failed. Try again in {n} seconds.", "n", strconv.Itoa(int(wait.Seconds())+1))
	}
	f.RetryAfter = min(wait, time.Hour)
	return f
}

// HeldStmts take back a try that held: first of the address and then of the account,
// as tries are counted, or two that meet would each wait for the other.
func (s *Service) HeldStmts(t Try) []db.Stmt {
	var stmts []db.Stmt
	if t.address != "" {
		stmts = append(stmts, db.Stmt{SQL: sqlTakeBack, Args: []any{t.environment, t.address, db.At(s.clock.Now())}})
	}
	return append(stmts, db.Stmt{SQL: sqlForgive, Args: []any{t.environment, t.account.key}})
}

// TakeBackStmts take back one try that was none; those before it stay counted.
func (s *Service) TakeBackStmts(t Try) []db.Stmt {
	var stmts []db.Stmt
	for _, key := range []string{t.address, t.account.key} { // in the order of HeldStmts
		if key != "" {
			stmts = append(stmts, db.Stmt{SQL: sqlTakeBack, Args: []any{t.environment, key, db.At(s.clock.Now())}})
		}
	}
	return stmts
}

// ForgiveStmts lift what stands against an account.
func (s *Service) ForgiveStmts(environment string, accounts ...Account) []db.Stmt {
	var stmts []db.Stmt
	for _, a := range accounts {
		stmts = append(stmts, db.Stmt{SQL: sqlForgive, Args: []any{environment, s.of.accounts + a.key}})
	}
	return stmts
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

package factor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/tenants"
)

const (
	// ResetLife is how long a reset link serves (design 3, default lifetimes).
	ResetLife = 15 * time.Minute
	// resetAgain is between two mails to one person.
	resetAgain = time.Minute
)

// Refusals that people read.
var (
	// ErrPassword says neither whether the account exists nor whether it has a password.
	ErrPassword    = fault.New(fault.Invalid, "SIGNIN_WRONG_PASSWORD", "The e-mail address or the password is wrong.").In("password")
	ErrReset       = fault.New(fault.Invalid, "SIGNIN_RESET_EXPIRED", "This link has expired or was used. Ask for a new one.")
	ErrOldPassword = fault.New(fault.Invalid, "password_used_before", "You have used this password before. Choose another one.").In("password")
)

// PasswordRules make the rules for a person's new password: the strictest of his
// environment and all of his tenants (identity rule 7). A second factor that is
// required lowers the floor (product 7.6).
func PasswordRules(merged policy.Settings, context ...string) Rules {
	floor := MinAlone
	if merged.MFA.Enforce == policy.MFAOn {
		floor = MinBeside
	}
	r := Rules{MinLength: max(floor, merged.Password.MinLength)}
	for _, c := range context {
		r.Context = append(r.Context, c)
		if local, domain, ok := strings.Cut(c, "@"); ok {
			r.Context = append(r.Context, local, strings.SplitN(domain, ".", 2)[0])
		}
	}
	slices.SortFunc(r.Context, func(a, b string) int { return len(b) - len(a) }) // the whole before its parts
	return r
}

// LockOf makes the lock of a lockout policy; what it leaves open has no lock, only
// the wait that grows.
func LockOf(r policy.LockoutRules) Lock {
	return Lock{MaxAttempts: r.MaxAttempts, For: time.Duration(r.LockSeconds) * time.Second}
}

// CheckPassword judges an address and a password. hash and user are what the
// directory has under the address; empty when nobody there may sign in by
// password, which takes as long and is counted alike. No transaction is open
// while the password is hashed, at the caller's place. fresh is a new hash to be
// stored, when the cost has changed.
//
// Faults: SIGNIN_WRONG_PASSWORD, SIGNIN_TOO_MANY_ATTEMPTS. The Try tells whether
// this failure locked the account.
func (s *Service) CheckPassword(ctx context.Context, at Place, environment, email, hash, password string, from Origin, lock Lock) (t Try, fresh string, err error) {
	if t, err = s.CountFrom(ctx, environment, Typed(email), from, lock); err != nil {
		return t, "", err
	}
	if len(password) > 4*MaxPassword {
		return t, "", ErrPassword
	}
	ok, stale, err := at.verify(ctx, hash, password)
	switch {
	case err != nil:
		// Who gave up while he waited has tried nothing.
		undo := context.WithoutCancel(ctx)
		return t, "", errors.Join(err, s.db.Tx(undo, func(q db.Queryer) error { return q.Batch(undo, s.TakeBackStmts(t)) }))
	case !ok:
		return t, "", ErrPassword
	}
	if stale {
		fresh, err = at.hash(ctx, password)
	}
	return t, fresh, err
}

// Prepare checks a new password against the rules and the history and hashes it;
// SetStmts stores it. history is how many former ones may not come again.
//
// Faults: those of Rules.Check, password_used_before, SIGNIN_BUSY.
func (s *Service) Prepare(ctx context.Context, environment, user, current, password string, r Rules, history int) (hash string, err error) {
	if err := r.Check(password); err != nil {
		return "", err
	}
	former := []string{}
	if history > 0 && current != "" {
		former = append(former, current)
		rows, err := s.db.Query(ctx, sqlHistory, environment, user, history-1)
		if err != nil {
			return "", err
		}
		for rows.Next() {
			var h string
			if err := rows.Scan(&h); err != nil {
				rows.Close()
				return "", err
			}
			former = append(former, h)
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return "", err
		}
	}
	for _, h := range former {
		used, _, err := s.Hasher.Verify(ctx, h, password)
		if err != nil {
			return "", err
		}
		if used {
			return "", ErrOldPassword
		}
	}
	return s.Hasher.Hash(ctx, password)
}

// KeepStmts keep the hash that is replaced, as far as the policy asks, and end
// what could set another one.
func (s *Service) KeepStmts(environment, user, former string, history int) []db.Stmt {
	now := db.At(s.clock.Now())
	stmts := []db.Stmt{{SQL: sqlEndResets, Args: []any{environment, user, now}}, {SQL: sqlForgetDevices, Args: []any{environment, user}}}
	if former != "" {
		stmts = append(stmts,
			db.Stmt{SQL: sqlInsertHistory, Args: []any{environment, user, former, now}},
			db.Stmt{SQL: sqlTrimHistory, Args: []any{environment, user, max(history, 1)}})
	}
	return stmts
}

// NewReset makes a reset link's token; empty when one was made a moment ago, so
// that nobody's mailbox is filled.
func (s *Service) NewReset(ctx context.Context, q db.Queryer, environment, user string) (string, error) {
	var last db.Time
	if err := q.QueryRow(ctx, sqlLastReset, environment, user).Scan(&last); err != nil {
		return "", err
	}
	now := s.clock.Now()
	if !last.IsZero() && now.Sub(last.Time) < resetAgain {
		return "", nil
	}
	token := secret.Random()
	_, err := q.Exec(ctx, sqlInsertReset, environment, secret.Hash(token), user, db.At(now), db.At(now.Add(ResetLife)))
	return token, err
}

// Reset gives whose link it is, without using it.
//
// Fault: SIGNIN_RESET_EXPIRED.
func (s *Service) Reset(ctx context.Context, q db.Queryer, environment, token string) (user string, err error) {
	return one(q.QueryRow(ctx, sqlReset, environment, secret.Hash(token), db.At(s.clock.Now())))
}

// UseReset uses a link up.
//
// Fault: SIGNIN_RESET_EXPIRED.
func (s *Service) UseReset(ctx context.Context, q db.Queryer, environment, token string) (user string, err error) {
	return one(q.QueryRow(ctx, sqlUseReset, environment, secret.Hash(token), db.At(s.clock.Now())))
}

func one(r db.Row) (user string, err error) {
	if err = r.Scan(&user); errors.Is(err, db.ErrNotFound) {
		err = ErrReset
	}
	return user, err
}

// Words are what an attacker knows of a person, for PasswordRules.
func Words(e tenants.Environment, p directory.Person, tenantName string) []string {
	return []string{p.User.Email, p.Membership.FirstName, p.Membership.LastName, e.Name, tenantName}
}

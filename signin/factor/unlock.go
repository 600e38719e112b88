package factor

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

const (
	// UnlockLife is how long a link serves that lifts a lock.
	UnlockLife = 15 * time.Minute
	// unlockAgain is between two mails of locks to one person.
	unlockAgain = UnlockLife
)

// ErrUnlock refuses a link, whatever is wrong with it.
var ErrUnlock = fault.New(fault.Invalid, "SIGNIN_UNLOCK_EXPIRED", "This link has expired or was used. Reset your password on the sign-in page, which unlocks the account too, or ask your administrator.")

const (
	sqlInsertUnlock = `INSERT INTO unlock_links (environment_id, hash, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)`
	sqlLastUnlock   = `SELECT MAX(created_at) FROM unlock_links WHERE environment_id = $1 AND user_id = $2`
	sqlUnlock       = `SELECT user_id FROM unlock_links WHERE environment_id = $1 AND hash = $2 AND used_at IS NULL AND expires_at > $3`
	sqlUseUnlock    = `UPDATE unlock_links SET used_at = $3 WHERE environment_id = $1 AND hash = $2 AND used_at IS NULL AND expires_at > $3 RETURNING user_id`
	sqlPurgeUnlocks = `DELETE FROM unlock_links WHERE expires_at < $1`
)

// NewUnlock makes the token of a link that lifts a lock; empty when one is under
// way, so that whoever locks an account again and again fills nobody's mailbox.
func (s *Service) NewUnlock(ctx context.Context, q db.Queryer, environment, user string) (string, error) {
	var last db.Time
	if err := q.QueryRow(ctx, sqlLastUnlock, environment, user).Scan(&last); err != nil {
		return "", err
	}
	now := s.clock.Now()
	if !last.IsZero() && now.Sub(last.Time) < unlockAgain {
		return "", nil
	}
	token := secret.Random()
	_, err := q.Exec(ctx, sqlInsertUnlock, environment, secret.Hash(token), user, db.At(now), db.At(now.Add(UnlockLife)))
	return token, err
}

// Unlock gives whose link it is, without using it.
//
// Fault: SIGNIN_UNLOCK_EXPIRED.
func (s *Service) Unlock(ctx context.Context, q db.Queryer, environment, token string) (user string, err error) {
	return unlockOf(q.QueryRow(ctx, sqlUnlock, environment, secret.Hash(token), db.At(s.clock.Now())))
}

// UseUnlock uses a link up. The caller lifts the lock, see ForgiveStmts.
//
// Fault: SIGNIN_UNLOCK_EXPIRED.
func (s *Service) UseUnlock(ctx context.Context, q db.Queryer, environment, token string) (user string, err error) {
	return unlockOf(q.QueryRow(ctx, sqlUseUnlock, environment, secret.Hash(token), db.At(s.clock.Now())))
}

func unlockOf(r db.Row) (user string, err error) {
	if err = r.Scan(&user); errors.Is(err, db.ErrNotFound) {
		err = ErrUnlock
	}
	return user, err
}

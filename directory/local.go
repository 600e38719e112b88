package directory

import (
	"context"
	"errors"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// PasswordLogin is who signs in with a password under an address. The zero value is
// nobody.
type PasswordLogin struct {
	UserID       string
	Email        string
	PasswordHash string
	Locked       bool
}

var errLoginExists = fault.New(fault.Conflict, "login_exists", "Another account of this address already has a password.").In("password")

const (
	sqlLocalByEmail = `SELECT id, email, password_hash, locked_at FROM users WHERE environment_id = $1 AND email_key = $2 AND local_login`
	sqlLocalByID    = `SELECT id, email, password_hash, locked_at FROM users WHERE environment_id = $1 AND id = $2`
	// More than one: nobody, because the address does not say who is meant.
	sqlOnlyByEmail = `SELECT id, email, password_hash, locked_at FROM users WHERE environment_id = $1 AND email_key = $2 ORDER BY local_login DESC, id LIMIT 2`
	sqlSetPassword = `UPDATE users SET password_hash = $3, local_login = TRUE, email_verified = $4 OR email_verified, version = version + 1, updated_at = $5
WHERE environment_id = $1 AND id = $2`
)

// LocalByEmail finds who signs in with a password under the address.
func (s *Service) LocalByEmail(ctx context.Context, q db.Queryer, environment, email string) (PasswordLogin, error) {
	return scanLocal(q.QueryRow(ctx, sqlLocalByEmail, environment, EmailKey(email)))
}

// LocalByID reads a person as far as his password goes.
func (s *Service) LocalByID(ctx context.Context, q db.Queryer, environment, user string) (PasswordLogin, error) {
	return scanLocal(q.QueryRow(ctx, sqlLocalByID, environment, user))
}

// LocalCandidate finds who may come to a password by a mail to the address: who
// has one already, or else the only person of the address.
func (s *Service) LocalCandidate(ctx context.Context, q db.Queryer, environment, email string) (PasswordLogin, error) {
	if l, err := s.LocalByEmail(ctx, q, environment, email); err != nil || l.UserID != "" {
		return l, err
	}
	rows, err := q.Query(ctx, sqlOnlyByEmail, environment, EmailKey(email))
	if err != nil {
		return PasswordLogin{}, err
	}
	defer rows.Close()
	var found []PasswordLogin
	for rows.Next() {
		var l PasswordLogin
		var locked db.Time
		if err := rows.Scan(&l.UserID, &l.Email, &l.PasswordHash, &locked); err != nil {
			return PasswordLogin{}, err
		}
		l.Locked = !locked.IsZero()
		found = append(found, l)
	}
	if len(found) != 1 {
		return PasswordLogin{}, rows.Err()
	}
	return found[0], rows.Err()
}

// SetPassword stores a password's hash; the person signs in with it from then on.
// proven: he proved the address to us with it.
//
// Fault: login_exists, when another person signs in under the address.
func (s *Service) SetPassword(ctx context.Context, q db.Queryer, environment, user, hash string, proven bool) error {
	n, err := q.Exec(ctx, sqlSetPassword, environment, user, hash, proven, db.At(s.clock.Now()))
	switch {
	case errors.Is(err, db.ErrConflict):
		return errLoginExists.Because(err)
	case err == nil && n == 0:
		return errNoUser
	}
	return err
}

func scanLocal(r db.Row) (PasswordLogin, error) {
	var l PasswordLogin
	var locked db.Time
	err := r.Scan(&l.UserID, &l.Email, &l.PasswordHash, &locked)
	if errors.Is(err, db.ErrNotFound) {
		return PasswordLogin{}, nil
	}
	l.Locked = !locked.IsZero()
	return l, err
}

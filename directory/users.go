package directory

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/sessions"
)

// Operations of the vendor on a user with all his tenants. Tenants never learn of
// each other by them.

// maxTenants bounds the memberships of one user that are shown at once.
const maxTenants = 1000

// User reads a user of the environment. Fails with user_not_found.
func (s *Service) User(ctx context.Context, q db.Queryer, environment, userID string) (User, error) {
	return scanUser(q.QueryRow(ctx, sqlUser, environment, userID))
}

// Users finds the users of the environment by their own address, the oldest
// first; at most 200. Whoever has not accepted an invitation yet has none.
func (s *Service) Users(ctx context.Context, q db.Queryer, environment, email string) ([]User, error) {
	rows, err := q.Query(ctx, sqlUsersFound, environment, EmailKey(email))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []User
	for rows.Next() {
		var u User
		if err := rows.Scan(userDest(&u)...); err != nil {
			return nil, err
		}
		list = append(list, u)
	}
	return list, rows.Err()
}

// Memberships lists the tenants of a user; at most 1,000.
func (s *Service) Memberships(ctx context.Context, q db.Queryer, environment, userID string) ([]Membership, error) {
	rows, err := q.Query(ctx, sqlTenantsOf, environment, userID, maxTenants)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Membership
	for rows.Next() {
		var m Membership
		if err := scanMembership(rows, &m); err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, rows.Err()
}

// Lock keeps a user out of all his tenants and ends his sessions (product 138:
// lock is global, disabling is per tenant).
func (s *Service) Lock(ctx context.Context, a actor.Actor, q db.Queryer, userID string) (User, error) {
	u, err := s.lockedUser(ctx, q, a.Environment, userID)
	if err != nil || !u.LockedAt.IsZero() {
		return u, err
	}
	now := s.clock.Now()
	u.LockedAt, u.Version, u.UpdatedAt = now, u.Version+1, now
	end, err := s.sessions.EndStmts(a, sessions.Selector{Environment: u.Environment, User: u.ID}, "locked", now)
	if err != nil {
		return u, err
	}
	return u, s.write(ctx, q, userEvent(a, u, "user.locked", now), append(end, db.Stmt{SQL: sqlSetLocked, Args: []any{u.Environment, u.ID, db.At(now), db.At(now)}})...)
}

// Unlock lets a locked user in again.
func (s *Service) Unlock(ctx context.Context, a actor.Actor, q db.Queryer, userID string) (User, error) {
	u, err := s.lockedUser(ctx, q, a.Environment, userID)
	if err != nil || u.LockedAt.IsZero() {
		return u, err
	}
	now := s.clock.Now()
	u.LockedAt, u.Version, u.UpdatedAt = time.Time{}, u.Version+1, now
	return u, s.write(ctx, q, userEvent(a, u, "user.unlocked", now), db.Stmt{SQL: sqlSetLocked, Args: []any{u.Environment, u.ID, db.Time{}, db.At(now)}})
}

// DeleteUser takes a user out of all his tenants. Where a directory keeps him it
// would make him again: that one removes him (user_idp_managed).
func (s *Service) DeleteUser(ctx context.Context, a actor.Actor, q db.Queryer, userID string) error {
	u, err := s.lockedUser(ctx, q, a.Environment, userID)
	if err != nil {
		return err
	}
	for removed := false; ; removed = true {
		list, err := s.Memberships(ctx, q, u.Environment, u.ID)
		if err != nil || len(list) == 0 && removed {
			return err
		}
		if len(list) == 0 {
			return s.write(ctx, q, userEvent(a, u, "user.deleted", s.clock.Now()), dropUsers(u.Environment, []string{u.ID}))
		}
		for _, m := range list {
			if err := s.RemoveUser(ctx, a, q, m.Tenant, u.ID); err != nil {
				return err
			}
		}
	}
}

func (s *Service) lockedUser(ctx context.Context, q db.Queryer, environment, userID string) (User, error) {
	return scanUser(q.QueryRow(ctx, sqlUser+q.Dialect().ForUpdate, environment, userID))
}

func scanUser(row db.Row) (User, error) {
	var u User
	err := row.Scan(userDest(&u)...)
	if errors.Is(err, db.ErrNotFound) {
		return u, errNoUser
	}
	return u, err
}

func userEvent(a actor.Actor, u User, action string, now time.Time) audit.Event {
	return audit.Event{Environment: u.Environment, Action: action, Actor: a, At: now, Targets: []audit.Target{{Type: "user", ID: u.ID, Name: u.Email}}}
}

const (
	sqlUser = `SELECT ` + userColumns + ` FROM users u WHERE u.environment_id = $1 AND u.id = $2`

	sqlUsersFound = `SELECT ` + userColumns + ` FROM users u
WHERE u.environment_id = $1 AND u.email_key = $2 AND u.email_key <> '' ORDER BY u.created_at, u.id LIMIT 200`

	// sqlTenantsOf crosses tenants: a person's tenants, for the vendor.
	sqlTenantsOf = `SELECT ` + membershipColumns + ` FROM memberships m
JOIN tenants t ON t.environment_id = m.environment_id AND t.id = m.tenant_id AND t.deleted_at IS NULL
WHERE m.environment_id = $1 AND m.user_id = $2 ORDER BY m.created_at, m.id LIMIT $3`

	sqlSetLocked = `UPDATE users SET locked_at = $3, version = version + 1, updated_at = $4 WHERE environment_id = $1 AND id = $2`
)

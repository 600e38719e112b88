package directory

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/sessions"
)

// JobExpired is the kind of the job that runs EndExpired.
const JobExpired = "directory.expired_guests"

// Limits of a member's metadata (product 7.2 has the same).
const (
	MaxMetadata     = 8 << 10 // bytes
	MaxMetadataKeys = 50
)

var (
	errInvitedEmail = fault.New(fault.Conflict, "user_invited", "The invitation is bound to this address. Withdraw it, and invite the other address.").In("email")
	errMetadata     = fault.New(fault.Invalid, "invalid_metadata", "Give an object of at most 50 keys and 8 KiB.").In("metadata")
	errNotWaiting   = fault.New(fault.Conflict, "not_pending_approval", "This user does not wait for approval.")
)

// checkMetadata gives the object in its stored form; empty for none.
func checkMetadata(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	var object map[string]json.RawMessage
	var b bytes.Buffer
	if len(text) > MaxMetadata || !storable(text) || json.Unmarshal([]byte(text), &object) != nil || len(object) > MaxMetadataKeys ||
		bytes.Contains([]byte(text), []byte(`\u0000`)) || json.Compact(&b, []byte(text)) != nil {
		return "", errMetadata
	}
	if len(object) == 0 {
		return "", nil
	}
	return b.String(), nil
}

// shownTime is a time in the audit log; nil is none.
func shownTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339)
}

// accessAction names a change of an access period (product 2.9).
func accessAction(from, to time.Time) string {
	switch {
	case to.IsZero():
		return "membership.access_made_permanent"
	case from.IsZero():
		return "membership.access_given"
	}
	return "membership.access_updated"
}

// Activate marks that an invited or waiting member has logged in. A user who was
// made for an invitation becomes the person then. proved is the address that he
// proved to us, by the mail that reached him; empty: none, and the user is named by
// the tenant's word for him, which proves nothing (identity rule 5).
func (s *Service) Activate(ctx context.Context, a actor.Actor, q db.Queryer, m Membership, proved string) error {
	if m.Status == StatusActive {
		return nil
	}
	now, email := s.clock.Now(), cmp.Or(proved, m.Email)
	return s.write(ctx, q, s.event(a, m, "user.activated", now, map[string]audit.Change{"status": {From: m.Status, To: StatusActive}}),
		db.Stmt{SQL: sqlSetStatus, Args: []any{m.Tenant, m.ID, string(StatusActive), db.At(now)}},
		db.Stmt{SQL: sqlNamePlaceholder, Args: []any{m.Environment, m.UserID, email, EmailKey(email), proved != "", db.At(now)}})
}

// Move gives an invited membership to a user of the environment, who has none in
// the tenant, and drops the user that was made for the invitation. The caller knows
// that he is the person (identity rule 4).
func (s *Service) Move(ctx context.Context, a actor.Actor, q db.Queryer, m Membership, userID string, to Status) (Membership, error) {
	now, placeholder := s.clock.Now(), m.UserID
	from := m.Status
	m.UserID, m.Status = userID, to
	err := s.write(ctx, q, s.event(a, m, "membership.created", now, map[string]audit.Change{"status": {From: from, To: to}}),
		db.Stmt{SQL: sqlMoveMembership, Args: []any{m.Tenant, m.ID, userID, string(to), db.At(now)}},
		dropUsers(m.Environment, []string{placeholder}))
	if errors.Is(err, db.ErrConflict) {
		return m, ErrUserExists.Because(err)
	}
	return m, err
}

// Withdraw drops the membership of an invitation that was not accepted, with the
// user that was made for it. A membership that somebody uses stays.
func (s *Service) Withdraw(ctx context.Context, q db.Queryer, environment, tenant, membership string) error {
	var user string
	err := q.QueryRow(ctx, sqlInvitedUser, tenant, membership).Scan(&user)
	if errors.Is(err, db.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return q.Batch(ctx, []db.Stmt{
		{SQL: sqlDropMembership, Args: []any{tenant, membership}},
		dropUsers(environment, []string{user}),
	})
}

// Known reports whether a tenant knows a person who wants to join it on his own:
// by his address, disabled and hidden members included, or because its directory
// removed him (identity rule 3). Others who join as him wait until the caller's
// transaction ends.
func (s *Service) Known(ctx context.Context, q db.Queryer, tenant, userID, email string) (known bool, err error) {
	key := EmailKey(email)
	return known, q.Batch(ctx, []db.Stmt{
		lockPerson(q.Dialect(), tenant, "", key),
		{SQL: sqlKnown, Args: []any{tenant, key, userID}, Scan: scanCount(&known)},
	})
}

// Approve lets a member in who waits for it.
//
// Faults: user_not_found, not_pending_approval.
func (s *Service) Approve(ctx context.Context, a actor.Actor, q db.Queryer, tenant, userID string) (Person, error) {
	p, err := s.lockedPerson(ctx, q, tenant, userID)
	if err != nil {
		return p, err
	}
	if p.Membership.Status != StatusPendingApproval {
		return p, errNotWaiting
	}
	now := s.clock.Now()
	p.Membership.Status, p.Membership.Version, p.Membership.UpdatedAt = StatusPendingLogin, p.Membership.Version+1, now
	return p, s.write(ctx, q, s.event(a, p.Membership, "user.approved", now, nil),
		db.Stmt{SQL: sqlSetStatus, Args: []any{tenant, p.Membership.ID, string(StatusPendingLogin), db.At(now)}})
}

// longestSession is how long a session may last that began before a guest's time
// was over: policies allow a year.
const longestSession = 366 * 24 * time.Hour

// EndExpired ends the sessions of guests whose access period is over (identity
// rule 9): their next refresh is refused already, and applications are told. It
// is a job and so opens its transactions, one per guest.
func (s *Service) EndExpired(ctx context.Context, d db.DB) error {
	for {
		now := s.clock.Now()
		var due []Membership
		err := d.Batch(ctx, []db.Stmt{{SQL: sqlExpiredGuests, Args: []any{db.At(now), db.At(now.Add(-longestSession))}, Scan: func(rows db.Rows) error {
			due = nil
			for rows.Next() {
				var m Membership
				if err := rows.Scan(&m.Environment, &m.Tenant, &m.UserID); err != nil {
					return err
				}
				due = append(due, m)
			}
			return rows.Err()
		}}})
		if err != nil || len(due) == 0 {
			return err
		}
		for _, m := range due {
			err := d.Tx(ctx, func(q db.Queryer) error {
				// Renewed meanwhile: another transaction holds the row, or has written it.
				p, err := s.lockedPerson(ctx, q, m.Tenant, m.UserID)
				if err != nil || !p.Membership.Guest() || now.Before(p.Membership.ExpiresAt) {
					return ignoreAbsent(err)
				}
				system := actor.Actor{Environment: m.Environment, Kind: actor.System}
				_, err = s.sessions.End(ctx, system, q, sessions.Selector{Environment: m.Environment, Tenant: m.Tenant, User: m.UserID}, "guest_expired")
				return err
			})
			if err != nil {
				return err
			}
		}
	}
}

func ignoreAbsent(err error) error {
	if errors.Is(err, errNoUser) {
		return nil
	}
	return err
}

const (
	sqlSetStatus = `UPDATE memberships SET status = $3, version = version + 1, updated_at = $4 WHERE tenant_id = $1 AND id = $2`

	// sqlNamePlaceholder names the user of an invitation, who has no address; nobody else.
	sqlNamePlaceholder = `UPDATE users SET email = $3, email_key = $4, email_verified = $5, version = version + 1, updated_at = $6
WHERE environment_id = $1 AND id = $2 AND email_key = '' AND $4 <> ''`

	sqlMoveMembership = `UPDATE memberships SET user_id = $3, status = $4, version = version + 1, updated_at = $5 WHERE tenant_id = $1 AND id = $2`

	sqlKnown = `SELECT (SELECT COUNT(*) FROM memberships m WHERE m.tenant_id = $1 AND m.email_key = $2)
 + (SELECT COUNT(*) FROM tombstones t WHERE t.tenant_id = $1 AND t.email_key = $2 AND t.email_key <> '')
 + (SELECT COUNT(*) FROM tombstones t WHERE t.tenant_id = $1 AND t.user_name_key = $2 AND t.user_name_key <> '')
 + (SELECT COUNT(*) FROM tombstones t WHERE t.tenant_id = $1 AND t.user_id = $3)`

	sqlInvitedUser = `SELECT m.user_id FROM memberships m
WHERE m.tenant_id = $1 AND m.id = $2 AND m.status = 'invited' AND m.managed_by = 'local'`

	// sqlExpiredGuests crosses tenants: whoever's time is over has no session, in any of them.
	sqlExpiredGuests = `SELECT m.environment_id, m.tenant_id, m.user_id FROM memberships m
WHERE m.expires_at <= $1 AND m.expires_at > $2 AND EXISTS (SELECT 1 FROM session_tenants t
 WHERE t.tenant_id = m.tenant_id AND t.user_id = m.user_id AND t.ended_at IS NULL)
ORDER BY m.expires_at LIMIT 100`
)

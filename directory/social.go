package directory

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/sessions"
)

// SocialIdentity is a person as a social connection of the environment knows him.
// It is his own, of no tenant (identity rule 1), and of him alone.
type SocialIdentity struct {
	Environment, ID, Connection string
	ConnectionName              string // where it is listed
	UserID                      string
	SubjectKey                  string // hex SHA-256 over issuer and subject
	Subject                     string
	// Email is what the provider said last, to show: nothing is found by it.
	Email                  string
	CreatedAt, LastLoginAt time.Time
}

// maxSocial bounds the identities of a person.
const maxSocial = 20

var (
	// ErrSocialTaken refuses an identity that another person has.
	ErrSocialTaken = fault.New(fault.Conflict, "SIGNIN_SOCIAL_TAKEN", "This account is connected to another person here. Disconnect it there first, or ask your administrator.")
	errSocialMany  = fault.New(fault.TooLarge, "SIGNIN_SOCIAL_LIMIT", "At most 20 accounts can be connected to one person. Disconnect one first.")
	errNoSocial    = fault.New(fault.NotFound, "identity_not_found", "There is no such social identity.")
	errSocialOwner = errors.New("directory: a social identity without a person or a connection")
)

const (
	socialColumns = `i.id, i.connection_id, i.user_id, i.subject_key, i.subject, i.email, i.created_at, i.last_login_at`

	sqlSocialUser = `SELECT ` + socialColumns + `, '' FROM social_identities i
WHERE i.environment_id = $1 AND i.connection_id = $2 AND i.subject_key = $3`

	sqlSocialOfUser = `SELECT ` + socialColumns + `, c.name FROM social_identities i
JOIN social_connections c ON c.environment_id = i.environment_id AND c.id = i.connection_id
WHERE i.environment_id = $1 AND i.user_id = $2 ORDER BY i.created_at, i.id LIMIT 100`

	sqlInsertSocialIdentity = `INSERT INTO social_identities
(environment_id, id, connection_id, subject_key, user_id, subject, email, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`

	sqlSocialSeen = `UPDATE social_identities SET email = $3, last_login_at = $4 WHERE environment_id = $1 AND id = $2`

	sqlHoldSocialIdentity = `SELECT id FROM social_identities WHERE environment_id = $1 AND user_id = $2 AND id = $3`

	sqlDeleteSocialIdentity = `DELETE FROM social_identities WHERE environment_id = $1 AND user_id = $2 AND id = $3`
)

// SocialUser finds who has an identity of the connection; in a transaction it stays
// his until the end of that, see UnlinkSocial. UserID is empty when nobody has it.
func (s *Service) SocialUser(ctx context.Context, q db.Queryer, environment, connection, subjectKey string) (SocialIdentity, error) {
	i, err := scanSocialIdentity(environment, q.QueryRow(ctx, sqlSocialUser+q.Dialect().ForKeyShare, environment, connection, subjectKey))
	if errors.Is(err, db.ErrNotFound) {
		return SocialIdentity{}, nil
	}
	return i, err
}

// SocialIdentities lists a person's, the oldest first.
func (s *Service) SocialIdentities(ctx context.Context, q db.Queryer, environment, user string) ([]SocialIdentity, error) {
	rows, err := q.Query(ctx, sqlSocialOfUser, environment, user)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []SocialIdentity
	for rows.Next() {
		i, err := scanSocialIdentity(environment, rows)
		if err != nil {
			return nil, err
		}
		list = append(list, i)
	}
	return list, rows.Err()
}

// LinkSocial gives the person an identity that nobody has. It records it in the log
// of the actor's tenant. The caller knows that both are the same person, by more
// than an e-mail address: by a sign-in here, or by an invitation's mailed token.
//
// Faults: SIGNIN_SOCIAL_TAKEN, SIGNIN_SOCIAL_LIMIT; db.ErrConflict when somebody
// else came first.
func (s *Service) LinkSocial(ctx context.Context, a actor.Actor, q db.Queryer, i SocialIdentity) (SocialIdentity, error) {
	if i.UserID == "" || i.Connection == "" || i.SubjectKey == "" {
		return i, errSocialOwner
	}
	known, err := s.SocialUser(ctx, q, i.Environment, i.Connection, i.SubjectKey)
	switch {
	case err != nil:
		return i, err
	case known.UserID == i.UserID:
		return known, nil
	case known.UserID != "":
		return i, ErrSocialTaken
	}
	his, err := s.SocialIdentities(ctx, q, i.Environment, i.UserID)
	if err != nil {
		return i, err
	}
	if len(his) >= maxSocial {
		return i, errSocialMany
	}
	now := s.clock.Now()
	i.ID, i.CreatedAt = id.New(id.Identity), now
	return i, s.write(ctx, q, socialEvent(a, i, "social_identity.linked", now),
		db.Stmt{SQL: sqlInsertSocialIdentity, Args: []any{i.Environment, i.ID, i.Connection, i.SubjectKey, i.UserID, i.Subject, i.Email, db.At(now)}})
}

// SocialSeenStmt notes a sign-in by the identity, and the address that came with it.
func (s *Service) SocialSeenStmt(i SocialIdentity) db.Stmt {
	return db.Stmt{SQL: sqlSocialSeen, Args: []any{i.Environment, i.ID, i.Email, db.At(s.clock.Now())}}
}

// UnlinkSocial takes an identity from the person and ends the sessions that came
// through its connection: a sign-in by it that is under way is waited for, and ends
// too. He signs in otherwise then, or connects it again.
//
// Fault: identity_not_found.
func (s *Service) UnlinkSocial(ctx context.Context, a actor.Actor, q db.Queryer, environment, user, identity string) error {
	his, err := s.SocialIdentities(ctx, q, environment, user)
	if err != nil {
		return err
	}
	for _, i := range his {
		if i.ID != identity {
			continue
		}
		var held string
		err := q.QueryRow(ctx, sqlHoldSocialIdentity+q.Dialect().ForUpdate, environment, user, identity).Scan(&held)
		if errors.Is(err, db.ErrNotFound) {
			return errNoSocial
		}
		if err != nil {
			return err
		}
		if _, err := s.sessions.End(ctx, a, q, sessions.Selector{Environment: environment, User: user, Social: i.Connection}, "identity_unlinked"); err != nil {
			return err
		}
		return s.write(ctx, q, socialEvent(a, i, "social_identity.unlinked", s.clock.Now()),
			db.Stmt{SQL: sqlDeleteSocialIdentity, Args: []any{environment, user, identity}})
	}
	return errNoSocial
}

func socialEvent(a actor.Actor, i SocialIdentity, action string, now time.Time) audit.Event {
	return audit.Event{
		Environment: i.Environment, Tenant: a.Tenant, Action: action, Actor: a, Connection: i.Connection, At: now,
		Targets:  []audit.Target{{Type: "user", ID: i.UserID}, {Type: "social_connection", ID: i.Connection, Name: i.ConnectionName}},
		Metadata: map[string]any{"subject": i.Subject, "email": i.Email},
	}
}

func scanSocialIdentity(environment string, r db.Row) (SocialIdentity, error) {
	i := SocialIdentity{Environment: environment}
	var created, last db.Time
	err := r.Scan(&i.ID, &i.Connection, &i.UserID, &i.SubjectKey, &i.Subject, &i.Email, &created, &last, &i.ConnectionName)
	i.CreatedAt, i.LastLoginAt = created.Time, last.Time
	return i, err
}

package sessions

import (
	"context"
	"encoding/json"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Refusals of a code or a refresh token; their kinds map to invalid_grant.
var (
	// ErrInvalidGrant: unknown, expired, revoked, or another client's.
	ErrInvalidGrant = fault.New(fault.Invalid, "invalid_grant", "The code or token is not valid, has expired, was revoked, or was issued to another client.")
	// ErrCodeReused: what was made from the code is revoked.
	ErrCodeReused = fault.New(fault.Invalid, "code_reused", "The code was used before.")
	// ErrRefreshReused: the family is revoked.
	ErrRefreshReused = fault.New(fault.Invalid, "refresh_token_reused", "The refresh token was used before.")
)

// Code is an authorization code's grant.
type Code struct {
	Environment string
	ClientID    string
	Session     string
	Tenant      string
	UserID      string
	// Request is what the OpenID provider wants back: redirect URI, scope,
	// nonce, code challenge.
	Request json.RawMessage
	// Family is the id that a family of refresh tokens made from the code takes;
	// set by IssueCode.
	Family    string
	CreatedAt time.Time
	ExpiresAt time.Time
}

// IssueCode makes a code of 256 bits, good for a minute and one use, stored as a
// hash.
func (s *Service) IssueCode(ctx context.Context, q db.Queryer, c Code) (string, error) {
	now := s.clock.Now()
	code := secret.Random()
	_, err := q.Exec(ctx, sqlInsertCode, c.Environment, secret.Hash(code), c.ClientID, c.Session, c.Tenant, c.UserID, string(c.Request),
		db.At(now), db.At(now.Add(CodeLifetime)), id.New(id.Family))
	return code, err
}

// Redemption is what became of a code. With Refused set the caller commits all
// the same and answers with it.
type Redemption struct {
	Code    Code
	Session Session
	Proof   Proof // of the code's tenant
	Refused *fault.Error
}

// ConsumeCode uses the client's code up. Of several at once one wins; the others
// are a second use, which revokes the family made from the code (RFC 6749
// §4.1.2). Another client's code is neither used nor revoked. Whatever the
// caller then finds wrong with the request, the code stays used.
func (s *Service) ConsumeCode(ctx context.Context, a actor.Actor, q db.Queryer, environment, clientID, code string) (Redemption, error) {
	now := s.clock.Now()
	hash := secret.Hash(code)
	c := Code{Environment: environment, ClientID: clientID}
	found := false
	var request string
	var created, expires db.Time
	var g grantScan
	err := q.Batch(ctx, []db.Stmt{
		{SQL: sqlUseCode, Args: []any{environment, hash, clientID, db.At(now)}, Scan: func(rows db.Rows) error {
			for rows.Next() {
				found = true
				if err := rows.Scan(&c.Session, &c.Tenant, &c.UserID, &request, &created, &expires, &c.Family); err != nil {
					return err
				}
			}
			return rows.Err()
		}},
		g.stmt(environment, sqlGrantCode, environment, hash),
		{SQL: sqlAddClient, Args: []any{environment, hash, clientID, db.At(now)}},
	})
	if err != nil {
		return Redemption{}, err
	}
	if !found {
		return s.reusedCode(ctx, a, q, environment, clientID, hash, now)
	}
	c.Request, c.CreatedAt, c.ExpiresAt = json.RawMessage(request), created.Time, expires.Time
	if !now.Before(c.ExpiresAt) || g.session.ID == "" {
		return Redemption{Code: c, Refused: ErrInvalidGrant}, nil
	}
	return Redemption{Code: c, Session: g.session, Proof: g.proof}, nil
}

func (s *Service) reusedCode(ctx context.Context, a actor.Actor, q db.Queryer, environment, clientID, hash string, now time.Time) (Redemption, error) {
	c := Code{Environment: environment, ClientID: clientID}
	found := false
	err := q.Batch(ctx, []db.Stmt{{SQL: sqlUsedCode, Args: []any{environment, hash, clientID}, Scan: func(rows db.Rows) error {
		for rows.Next() {
			found = true
			if err := rows.Scan(&c.Session, &c.Tenant, &c.UserID, &c.Family); err != nil {
				return err
			}
		}
		return rows.Err()
	}}})
	if err != nil || !found {
		return Redemption{Refused: ErrInvalidGrant}, err
	}
	stmts, err := audit.Stmts(audit.Event{
		Environment: environment, Tenant: c.Tenant, Action: "code.reused", Outcome: audit.Denied, Actor: a, Session: c.Session, At: now,
		Targets: []audit.Target{{Type: "user", ID: c.UserID}, {Type: "application", ID: clientID}},
	})
	if err != nil {
		return Redemption{}, err
	}
	stmts = append(stmts, Family{Environment: environment, ID: c.Family}.revokeStmts(q.Dialect(), now, "code_reused")...)
	return Redemption{Code: c, Refused: ErrCodeReused}, q.Batch(ctx, stmts)
}

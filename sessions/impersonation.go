package sessions

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// MethodImpersonation marks the session of somebody of the vendor's who acts as the
// person. It has no cookie, no code and no refresh token.
const MethodImpersonation = "impersonation"

// Impersonation is what becomes such a session.
type Impersonation struct {
	Environment, Tenant string
	UserID, Membership  string
	ClientID            string // the application that gets the token
	Reason              string
	Life                time.Duration
	Hidden              bool // the tenant's own log does not show it
}

// Impersonate opens a session for one token. It is listed, and ended, as every
// other session of the person. The person himself did not sign in: it has no time
// of authentication.
func (s *Service) Impersonate(ctx context.Context, a actor.Actor, q db.Queryer, n Impersonation) (Session, Proof, error) {
	now := s.clock.Now()
	never := time.Unix(0, 0).UTC()
	p := Proof{Tenant: n.Tenant, Membership: n.Membership, Method: MethodImpersonation, AMR: []string{}, AuthTime: never, SatisfiedAt: now, NotAfter: now.Add(n.Life)}
	ses := Session{
		ID: id.New(id.Session), Environment: n.Environment, UserID: n.UserID, AMR: p.AMR, AuthTime: never,
		CreatedAt: now, LastSeenAt: now, ExpiresAt: p.NotAfter, Idle: n.Life, Tenants: []Proof{p},
	}
	ip := ""
	if a.IP.IsValid() {
		ip = a.IP.String()
	}
	events, err := audit.Stmts(audit.Event{
		Environment: n.Environment, Tenant: n.Tenant, Action: "impersonation.started", Actor: a, Session: ses.ID, At: now, Hidden: n.Hidden,
		Targets:  []audit.Target{{Type: "user", ID: n.UserID}, {Type: "application", ID: n.ClientID}},
		Metadata: map[string]any{"reason": n.Reason, "expires_at": ses.ExpiresAt},
	})
	if err != nil {
		return Session{}, Proof{}, err
	}
	return ses, p, q.Batch(ctx, append([]db.Stmt{
		{SQL: sqlInsertSession, Args: []any{
			// The hash is of a cookie that nobody gets.
			n.Environment, ses.ID, secret.Hash(secret.Random()), n.UserID, "[]", "", db.At(never), ip, clip(a.UserAgent), db.At(now),
			seconds(n.Life), db.At(ses.ExpiresAt),
		}},
		{SQL: sqlSatisfy, Args: []any{
			n.Tenant, ses.ID, n.Environment, n.UserID, n.Membership, "", p.Method, "[]", "", db.At(never), "", db.At(now), db.At(p.NotAfter), "", "",
		}},
		{SQL: sqlInsertClient, Args: []any{n.Tenant, n.Environment, ses.ID, n.ClientID, n.UserID, db.At(now)}},
	}, events...))
}

// EndImpersonation ends such a session early; the actor says who had begun it.
func (s *Service) EndImpersonation(ctx context.Context, a actor.Actor, q db.Queryer, sel Selector, hidden bool) error {
	now := s.clock.Now()
	stmts, err := s.EndStmts(a, sel, "impersonation_ended", now)
	if err != nil {
		return err
	}
	var ended int64
	stmts[0].Affected = &ended
	if err := q.Batch(ctx, stmts); err != nil || ended == 0 {
		return err
	}
	return audit.Record(ctx, q, audit.Event{
		Environment: sel.Environment, Tenant: sel.Tenant, Action: "impersonation.ended", Actor: a, Session: sel.Session, At: now, Hidden: hidden,
		Targets: []audit.Target{{Type: "user", ID: sel.User}},
	})
}

package sessions

import (
	"context"
	"encoding/json"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/keys"
)

// Service is the operations on sessions, codes and families.
type Service struct {
	vault *keys.Vault
	clock clock.Clock
}

// New makes the service; the vault authenticates refresh tokens.
func New(v *keys.Vault, c clock.Clock) *Service { return &Service{vault: v, clock: c} }

// Create opens a session for a login, in one round trip, and gives the secret of
// its cookie, which is stored as a hash only. Where the person then has more than
// MaxConcurrent sessions in the tenant, the oldest lose it, with their refresh
// tokens (product 46, 131).
func (s *Service) Create(ctx context.Context, a actor.Actor, q db.Queryer, n Login) (Session, string, error) {
	now := s.clock.Now()
	n = n.withDefaults()
	n.Proof.SatisfiedAt = now
	n.Proof.NotAfter = n.end(now.Add(n.Absolute))
	ses := Session{
		ID: id.New(id.Session), Environment: n.Environment, UserID: n.UserID, AMR: n.Proof.AMR, ACR: n.Proof.ACR, AuthTime: n.Proof.AuthTime,
		CreatedAt: now, LastSeenAt: now, ExpiresAt: now.Add(n.Absolute), Idle: n.Idle, Tenants: []Proof{n.Proof},
	}
	cookie := secret.Random()
	amr, err := amrText(ses.AMR)
	if err != nil {
		return Session{}, "", err
	}
	insert := db.Stmt{SQL: sqlInsertSession, Args: []any{
		ses.Environment, ses.ID, secret.Hash(cookie), ses.UserID, amr, ses.ACR, db.At(ses.AuthTime), n.IP, clip(n.UserAgent), db.At(now),
		seconds(n.Idle), db.At(ses.ExpiresAt),
	}}
	err = s.satisfy(ctx, a, q, ses, n, "session.created", []db.Stmt{insert}, nil)
	return ses, cookie, err
}

// Satisfy adds a tenant to a live session of the same person, or renews it, and
// replaces the cookie: who knew the one before is out (session fixation). The
// session's times become the strictest of its tenants (identity rule 7).
//
// Faults: session_other_user; no_session when the session has ended meanwhile.
func (s *Service) Satisfy(ctx context.Context, a actor.Actor, q db.Queryer, ses Session, n Login) (Session, string, error) {
	cookie := secret.Random()
	ses, err := s.renew(ctx, a, q, ses, n, secret.Hash(cookie))
	if err != nil {
		return Session{}, "", err
	}
	return ses, cookie, nil
}

// Widen adds a tenant to a live session whose browser is not here: it keeps its
// cookie, and has not been used.
//
// Faults: as Satisfy.
func (s *Service) Widen(ctx context.Context, a actor.Actor, q db.Queryer, ses Session, n Login) (Session, error) {
	return s.renew(ctx, a, q, ses, n, "")
}

func (s *Service) renew(ctx context.Context, a actor.Actor, q db.Queryer, ses Session, n Login, hash string) (Session, error) {
	if ses.UserID != n.UserID || ses.Environment != n.Environment {
		return Session{}, ErrOtherUser
	}
	now := s.clock.Now()
	n = n.withDefaults()
	n.Proof.SatisfiedAt = now
	amr, err := amrText(n.Proof.AMR)
	if err != nil {
		return Session{}, err
	}
	ses.AMR, ses.ACR, ses.AuthTime, ses.LastSeenAt = n.Proof.AMR, n.Proof.ACR, n.Proof.AuthTime, now
	ses.Idle = min(ses.Idle, n.Idle)
	if end := ses.CreatedAt.Add(n.Absolute); end.Before(ses.ExpiresAt) {
		ses.ExpiresAt = end
	}
	n.Proof.NotAfter = n.end(ses.ExpiresAt)
	tenants := []Proof{}
	for _, p := range ses.Tenants {
		if p.Tenant != n.Proof.Tenant {
			tenants = append(tenants, p)
		}
	}
	ses.Tenants = append(tenants, n.Proof)
	var renewed int64
	renew := db.Stmt{SQL: sqlRenewSession, Affected: &renewed, Args: []any{
		ses.Environment, ses.ID, hash, amr, ses.ACR, db.At(ses.AuthTime), db.At(now), seconds(n.Idle), n.Absolute.Microseconds(), ses.UserID,
	}}
	if err := s.satisfy(ctx, a, q, ses, n, "session.satisfied", []db.Stmt{renew}, &renewed); err != nil {
		return Session{}, err
	}
	return ses, nil
}

// satisfy writes the tenant's part of the session behind the given statements,
// and makes room for it.
func (s *Service) satisfy(ctx context.Context, a actor.Actor, q db.Queryer, ses Session, n Login, action string, stmts []db.Stmt, renewed *int64) error {
	p := n.Proof
	now := p.SatisfiedAt
	amr, err := amrText(p.AMR)
	if err != nil {
		return err
	}
	target := audit.Target{Type: "user", ID: ses.UserID}
	events, err := audit.Stmts(audit.Event{
		Environment: ses.Environment, Tenant: p.Tenant, Action: action, Actor: a, Connection: p.Connection, Session: ses.ID, At: now,
		Targets: []audit.Target{target}, Metadata: map[string]any{"method": p.Method},
	})
	if err != nil {
		return err
	}
	if n.MaxConcurrent > 0 {
		lock := sqlLockLimitSQLite
		if q.Dialect().Name == db.Postgres {
			lock = sqlLockLimitPostgres
		}
		stmts = append([]db.Stmt{{SQL: lock, Args: []any{p.Tenant, ses.UserID}, Scan: drain}}, stmts...)
	}
	stmts = append(stmts, db.Stmt{SQL: sqlSatisfy, Args: []any{
		p.Tenant, ses.ID, ses.Environment, ses.UserID, p.Membership, p.Connection, p.Method, amr, p.ACR, db.At(p.AuthTime), p.Upstream, db.At(now), db.At(p.NotAfter), p.UpstreamSubject, p.Social,
	}})
	stmts = append(stmts, events...)
	var replaced int64
	sel := Selector{Environment: ses.Environment, Tenant: p.Tenant, User: ses.UserID}
	if n.MaxConcurrent > 0 {
		excess := s.end(byUser, sqlEndExcess, p.Tenant, sel, "replaced", now)
		excess[0].Args = []any{p.Tenant, db.At(now), ses.UserID, ses.ID, int64(n.MaxConcurrent - 1)}
		excess[0].Affected = &replaced
		stmts = append(stmts, excess...)
	}
	if err := q.Batch(ctx, stmts); err != nil {
		return err
	}
	if renewed != nil && *renewed == 0 {
		return ErrNoSession // rolls the rest back
	}
	if replaced > 0 {
		return s.recordEnd(ctx, a, q, "session.replaced", sel, "replaced", map[part]int64{{p.Tenant, ses.UserID}: replaced}, now)
	}
	return nil
}

// Find gives the live session of a cookie and the tenants that it satisfies. It
// writes down that the session was used, at most once a minute.
//
// Faults: no_session.
func (s *Service) Find(ctx context.Context, q db.Queryer, environment, cookie string) (Session, error) {
	if cookie == "" {
		return Session{}, ErrNoSession
	}
	ses, err := s.live(ctx, q, sqlFindSession, environment, secret.Hash(cookie))
	if err != nil {
		return Session{}, err
	}
	if now := s.clock.Now(); now.Sub(ses.LastSeenAt) >= touchEvery {
		if _, err := q.Exec(ctx, sqlTouchSession, environment, ses.ID, db.At(now)); err != nil {
			return Session{}, err
		}
		ses.LastSeenAt = now
	}
	return ses, nil
}

// Live gives a live session by its id, for who holds tokens of it. It does not count
// as used.
//
// Faults: no_session.
func (s *Service) Live(ctx context.Context, q db.Queryer, environment, sessionID string) (Session, error) {
	return s.live(ctx, q, sqlLiveSession, environment, sessionID)
}

func (s *Service) live(ctx context.Context, q db.Queryer, text, environment, key string) (Session, error) {
	rows, err := q.Query(ctx, text, environment, key, db.At(s.clock.Now()))
	if err != nil {
		return Session{}, err
	}
	defer rows.Close()
	var ses Session
	for rows.Next() {
		var p Proof
		if err := scanSession(rows, &ses, &p); err != nil {
			return Session{}, err
		}
		if p.Tenant != "" {
			ses.Tenants = append(ses.Tenants, p)
		}
	}
	if err := rows.Err(); err != nil {
		return Session{}, err
	}
	if ses.ID == "" {
		return Session{}, ErrNoSession
	}
	ses.Environment = environment
	return ses, nil
}

// Granted gives the session and its proof for the tenant as a token needs them:
// not ended. It may have expired, because refresh tokens outlive the use of a
// browser.
//
// Faults: no_session.
func (s *Service) Granted(ctx context.Context, q db.Queryer, environment, tenant, sessionID string) (Session, Proof, error) {
	var g grantScan
	if err := q.Batch(ctx, []db.Stmt{g.stmt(environment, sqlGrantSession, tenant, sessionID, environment)}); err != nil {
		return Session{}, Proof{}, err
	}
	if g.session.ID == "" {
		return Session{}, Proof{}, ErrNoSession
	}
	return g.session, g.proof, nil
}

type grantScan struct {
	session Session
	proof   Proof
}

func (g *grantScan) stmt(environment, text string, args ...any) db.Stmt {
	return db.Stmt{SQL: text, Args: args, Scan: func(rows db.Rows) error {
		for rows.Next() {
			if err := scanSession(rows, &g.session, &g.proof); err != nil {
				return err
			}
			g.session.Environment, g.session.Tenants = environment, []Proof{g.proof}
		}
		return rows.Err()
	}}
}

func scanSession(rows db.Rows, s *Session, p *Proof) error {
	var amr, proofAMR string
	var auth, created, seen, expires, proofAuth, satisfied, notAfter db.Time
	var idle int64
	err := rows.Scan(&s.ID, &s.UserID, &amr, &s.ACR, &auth, &created, &seen, &idle, &expires,
		&p.Tenant, &p.Membership, &p.Connection, &p.Method, &proofAMR, &p.ACR, &proofAuth, &satisfied, &notAfter, &p.Upstream, &p.UpstreamSubject, &p.Social)
	if err != nil {
		return err
	}
	s.AuthTime, s.CreatedAt, s.LastSeenAt, s.ExpiresAt, s.Idle = auth.Time, created.Time, seen.Time, expires.Time, time.Duration(idle)*time.Second
	p.AuthTime, p.SatisfiedAt, p.NotAfter = proofAuth.Time, satisfied.Time, notAfter.Time
	if err := json.Unmarshal([]byte(amr), &s.AMR); err != nil {
		return err
	}
	return json.Unmarshal([]byte(proofAMR), &p.AMR)
}

func (n Login) withDefaults() Login {
	if n.Idle <= 0 {
		n.Idle = DefaultIdle
	}
	if n.Absolute <= 0 {
		n.Absolute = DefaultAbsolute
	}
	if n.Proof.AMR == nil {
		n.Proof.AMR = []string{}
	}
	return n
}

// end gives the NotAfter of the proof in a session with the given absolute end.
func (n Login) end(absolute time.Time) time.Time {
	if n.ForceLogin && (n.Proof.NotAfter.IsZero() || absolute.Before(n.Proof.NotAfter)) {
		return absolute
	}
	return n.Proof.NotAfter
}

func amrText(amr []string) (string, error) {
	if amr == nil {
		amr = []string{}
	}
	text, err := json.Marshal(amr)
	return string(text), err
}

func seconds(d time.Duration) int64 { return int64(max(d, time.Second) / time.Second) }

func clip(userAgent string) string {
	if len(userAgent) > 512 {
		return userAgent[:512]
	}
	return userAgent
}

func drain(rows db.Rows) error {
	for rows.Next() {
	}
	return rows.Err()
}

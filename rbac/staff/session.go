package staff

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Times of a session of the back office. They are shorter than those of tenants'
// people: whoever sits down at an open back office holds every tenant.
const (
	SessionIdle = time.Hour
	SessionLife = 12 * time.Hour
	// FreshFor is how long after a sign-in what touches credentials may be done.
	FreshFor = 10 * time.Minute

	usedEvery   = time.Minute // how coarse LastUsedAt is
	maxSessions = 20          // of a person; the oldest ends for a new one
)

// ErrSignedOut says that there is no such session any more.
var ErrSignedOut = fault.New(fault.Unauthenticated, "BACKOFFICE_SIGNED_OUT", "Sign in to the back office.")

// Session is one of the vendor's people signed in to the back office.
type Session struct {
	ID         string // ses_…
	StaffID    string
	Method     string
	AMR        []string // RFC 8176 §2
	IP         string
	UserAgent  string
	AuthAt     time.Time // of the sign-in
	CreatedAt  time.Time
	LastUsedAt time.Time // coarse: a minute
	ExpiresAt  time.Time
}

// Fresh reports whether the person has signed in within FreshFor.
func (s Session) Fresh(now time.Time) bool { return now.Sub(s.AuthAt) < FreshFor }

// NewSession is what StartSession takes.
type NewSession struct {
	StaffID string
	Method  string
	AMR     []string
	// Replaces is the cookie of the session that the browser had: it ends, whoever's
	// it was. Empty: none.
	Replaces string
}

// StartSession signs somebody in and gives the secret for his browser.
func (s *Service) StartSession(ctx context.Context, a actor.Actor, q db.Queryer, in NewSession) (Session, string, error) {
	now, cookie := s.clock.Now(), secret.Random()
	ip := ""
	if a.IP.IsValid() {
		ip = a.IP.String()
	}
	ses := Session{
		ID: id.New(id.Session), StaffID: in.StaffID, Method: in.Method, AMR: in.AMR, IP: ip, UserAgent: a.UserAgent,
		AuthAt: now, CreatedAt: now, LastUsedAt: now, ExpiresAt: now.Add(SessionLife),
	}
	return ses, cookie, q.Batch(ctx, []db.Stmt{
		{SQL: sqlEndSessionByHash, Args: []any{secret.Hash(in.Replaces)}},
		{SQL: sqlTrimSessions, Args: []any{in.StaffID, maxSessions - 1}},
		{SQL: sqlInsertSession, Args: []any{
			secret.Hash(cookie), ses.ID, ses.StaffID, ses.Method, strings.Join(ses.AMR, " "), ses.IP, ses.UserAgent, db.At(now), db.At(now.Add(SessionIdle)), db.At(ses.ExpiresAt),
		}},
	})
}

// SignedIn gives the session of a cookie and whose it is, and notes the use.
// Somebody who was disabled or has no role any more is signed out.
//
// Fault: BACKOFFICE_SIGNED_OUT.
func (s *Service) SignedIn(ctx context.Context, q db.Queryer, cookie string) (Session, Person, error) {
	if cookie == "" {
		return Session{}, Person{}, ErrSignedOut
	}
	now, hash := s.clock.Now(), secret.Hash(cookie)
	ses, err := scanSession(q.QueryRow(ctx, sqlSession, hash, db.At(now)))
	if errors.Is(err, db.ErrNotFound) {
		return Session{}, Person{}, ErrSignedOut
	}
	if err != nil {
		return Session{}, Person{}, err
	}
	p, err := s.Standing(ctx, q, ses.StaffID)
	if fault.KindOf(err) == fault.NotFound {
		return Session{}, Person{}, ErrSignedOut
	}
	if err == nil && now.Sub(ses.LastUsedAt) >= usedEvery {
		_, err = q.Exec(ctx, sqlUseSession, hash, db.At(now), db.At(now.Add(SessionIdle)))
	}
	return ses, p, err
}

// Sessions lists a person's sessions, the youngest first.
func (s *Service) Sessions(ctx context.Context, q db.Queryer, personID string) ([]Session, error) {
	rows, err := q.Query(ctx, sqlSessions, personID, db.At(s.clock.Now()))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Session
	for rows.Next() {
		ses, err := scanSession(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, ses)
	}
	return list, rows.Err()
}

// EndSession ends one session of a person and reports whether there was one.
func (s *Service) EndSession(ctx context.Context, q db.Queryer, personID, sessionID string) (bool, error) {
	n, err := q.Exec(ctx, sqlEndSession, personID, sessionID)
	return n > 0, err
}

// EndSessions ends all sessions of a person but one; an empty id spares none.
func (s *Service) EndSessions(ctx context.Context, q db.Queryer, personID, but string) error {
	_, err := q.Exec(ctx, sqlEndSessions, personID, but)
	return err
}

// PurgeSessions forgets sessions that have ended.
func (s *Service) PurgeSessions(ctx context.Context, q db.Queryer) error {
	_, err := q.Exec(ctx, sqlPurgeSessions, db.At(s.clock.Now()))
	return err
}

// Standing gives somebody who is active and has a role somewhere; everybody else
// is not found.
func (s *Service) Standing(ctx context.Context, q db.Queryer, personID string) (Person, error) {
	p, err := s.person(ctx, q, sqlPerson, personID)
	return standing(p, err)
}

// StandingByEmail is Standing by the person's address.
func (s *Service) StandingByEmail(ctx context.Context, q db.Queryer, email string) (Person, error) {
	p, err := s.PersonByEmail(ctx, q, email)
	return standing(p, err)
}

func standing(p Person, err error) (Person, error) {
	if err == nil && (p.Status != Active || len(p.Roles) == 0) {
		err = ErrNotFound
	}
	return p, err
}

const (
	sessionColumns = `id, staff_id, method, amr, ip, user_agent, auth_at, created_at, last_used_at, expires_at`

	sqlInsertSession = `INSERT INTO staff_sessions (hash, id, staff_id, method, amr, ip, user_agent, auth_at, created_at, last_used_at, idle_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $8, $9, $10)`
	sqlSession  = `SELECT ` + sessionColumns + ` FROM staff_sessions WHERE hash = $1 AND idle_at > $2 AND expires_at > $2`
	sqlSessions = `SELECT ` + sessionColumns + ` FROM staff_sessions WHERE staff_id = $1 AND idle_at > $2 AND expires_at > $2 ORDER BY created_at DESC, id DESC`
	// A session that was ended meanwhile stays so.
	sqlUseSession       = `UPDATE staff_sessions SET last_used_at = $2, idle_at = $3 WHERE hash = $1`
	sqlEndSession       = `DELETE FROM staff_sessions WHERE staff_id = $1 AND id = $2`
	sqlEndSessions      = `DELETE FROM staff_sessions WHERE staff_id = $1 AND id <> $2`
	sqlEndSessionByHash = `DELETE FROM staff_sessions WHERE hash = $1`
	sqlTrimSessions     = `DELETE FROM staff_sessions WHERE id IN (SELECT s.id FROM staff_sessions s WHERE s.staff_id = $1 ORDER BY s.created_at DESC, s.id DESC LIMIT 1000 OFFSET $2)`
	sqlPurgeSessions    = `DELETE FROM staff_sessions WHERE idle_at < $1 OR expires_at < $1`
)

// scanSession reads sessionColumns.
func scanSession(r db.Row) (ses Session, err error) {
	var amr string
	var auth, created, used, expires db.Time
	err = r.Scan(&ses.ID, &ses.StaffID, &ses.Method, &amr, &ses.IP, &ses.UserAgent, &auth, &created, &used, &expires)
	ses.AMR, ses.AuthAt, ses.CreatedAt, ses.LastUsedAt, ses.ExpiresAt = strings.Fields(amr), auth.Time, created.Time, used.Time, expires.Time
	return ses, err
}

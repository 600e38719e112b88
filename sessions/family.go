package sessions

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/keys"
)

// Family is the line of refresh tokens that began with one grant.
type Family struct {
	ID             string // that of the code; empty: a new one
	Environment    string
	Tenant         string
	Session        string
	UserID         string
	ClientID       string
	Scope          string
	Nonce          string
	Idle, Absolute time.Duration // 0: the defaults
	Root           string        // the family that it came from by a switch; empty: from none
	JKT            string        // thumbprint of the key that the tokens are bound to (RFC 9449 §5); empty: to none
	CreatedAt      time.Time
	ExpiresAt      time.Time

	seq                       int64
	rotated, idleEnd, revoked time.Time
}

const (
	refreshPrefix  = "gwr_"
	refreshPurpose = "refresh token"
	macLen         = 43
	maxSeqDigits   = 19
)

// StartFamily makes a family and its first token, good for 30 days without use
// and 90 days in all where the family says nothing else.
//
// Faults: ErrInvalidGrant when the session has ended for the tenant meanwhile.
func (s *Service) StartFamily(ctx context.Context, q db.Queryer, f Family) (string, error) {
	now := s.clock.Now()
	if f.ID == "" {
		f.ID = id.New(id.Family)
	}
	if f.Idle == 0 {
		f.Idle = RefreshIdle
	}
	if f.Absolute == 0 {
		f.Absolute = RefreshAbsolute
	}
	f.seq = 1
	made, err := q.Exec(ctx, sqlInsertFamily+q.Dialect().ForUpdate, f.Tenant, f.ID, f.Environment, f.Session, f.UserID, f.ClientID,
		f.Scope, f.Nonce, db.At(now), db.At(now.Add(f.Idle)), db.At(now.Add(f.Absolute)), f.JKT, f.Root)
	if err == nil && made == 0 {
		err = ErrInvalidGrant
	}
	return s.token(f), err
}

func (s *Service) token(f Family) string {
	_, raw, _ := strings.Cut(f.ID, "_")
	seq := strconv.FormatInt(f.seq, 10)
	return refreshPrefix + raw + "_" + seq + "_" + s.vault.MAC(refreshPurpose, f.Environment, f.ID, seq)
}

// parse gives the family id and seq of a genuine token.
func (s *Service) parse(environment, token string) (familyID string, seq int64, ok bool) {
	rest, ok := strings.CutPrefix(token, refreshPrefix)
	if !ok || len(rest) > id.Length+1+maxSeqDigits+1+macLen {
		return "", 0, false
	}
	// The MAC may hold underscores itself; what stands before it does not.
	raw, rest, ok := strings.Cut(rest, "_")
	if !ok || !id.ValidRaw(raw) {
		return "", 0, false
	}
	text, mac, ok := strings.Cut(rest, "_")
	if !ok {
		return "", 0, false
	}
	familyID = id.Family + "_" + raw
	if !keys.Equal(mac, s.vault.MAC(refreshPurpose, environment, familyID, text)) {
		return "", 0, false
	}
	seq, err := strconv.ParseInt(text, 10, 64)
	return familyID, seq, err == nil
}

// Rotation is what became of a refresh token. With Refused set the caller
// commits all the same and answers with it.
type Rotation struct {
	Family    Family
	Successor string // the token that replaces it
	Session   Session
	Proof     Proof // of the family's tenant
	// Repeated: the token had been rotated within the last thirty seconds and
	// this is the same successor again.
	Repeated bool
	Refused  *fault.Error
}

// Rotate replaces the client's refresh token in one round trip. Of several at
// once one rotates; the others, and any that come within thirty seconds, get the
// same successor. An older genuine token is reuse: it revokes the family and is
// recorded as token.refresh_reused. A forged, foreign, expired or revoked token
// changes nothing. idle is for how long the successor serves without use; 0: 30 days.
func (s *Service) Rotate(ctx context.Context, a actor.Actor, q db.Queryer, environment, clientID, token string, idle time.Duration) (Rotation, error) {
	if idle == 0 {
		idle = RefreshIdle
	}
	refused := Rotation{Refused: ErrInvalidGrant}
	familyID, seq, ok := s.parse(environment, token)
	if !ok {
		return refused, nil
	}
	now := s.clock.Now()
	var f Family
	var g grantScan
	rotated := false
	err := q.Batch(ctx, []db.Stmt{
		{SQL: sqlRotateFamily, Args: []any{environment, familyID, clientID, seq, db.At(now), db.At(now.Add(idle))}, Scan: func(rows db.Rows) error {
			for rows.Next() {
				rotated = true
				if err := f.scan(rows); err != nil {
					return err
				}
			}
			return rows.Err()
		}},
		g.stmt(environment, sqlGrantFamily, environment, familyID),
	})
	if err != nil {
		return Rotation{}, err
	}
	repeated := false
	if !rotated {
		// A statement of its own: on PostgreSQL it sees what the rotation that we
		// waited for has committed.
		err := q.Batch(ctx, []db.Stmt{{SQL: sqlFamily, Args: []any{environment, familyID}, Scan: func(rows db.Rows) error {
			for rows.Next() {
				if err := f.scan(rows); err != nil {
					return err
				}
			}
			return rows.Err()
		}}})
		if err != nil {
			return Rotation{}, err
		}
		switch {
		case f.ID == "" || f.ClientID != clientID || !f.revoked.IsZero() || !now.Before(f.idleEnd) || !now.Before(f.ExpiresAt) || seq >= f.seq:
			return refused, nil
		case seq == f.seq-1 && now.Sub(f.rotated) <= grace:
			repeated = true
		default:
			f.Environment = environment
			return Rotation{Family: f, Refused: ErrRefreshReused}, s.reuse(ctx, a, q, f, now)
		}
	}
	f.Environment = environment
	if g.session.ID == "" {
		return refused, nil
	}
	return Rotation{Family: f, Successor: s.token(f), Session: g.session, Proof: g.proof, Repeated: repeated}, nil
}

func (s *Service) reuse(ctx context.Context, a actor.Actor, q db.Queryer, f Family, now time.Time) error {
	stmts, err := audit.Stmts(audit.Event{
		Environment: f.Environment, Tenant: f.Tenant, Action: "token.refresh_reused", Outcome: audit.Denied, Actor: a, Session: f.Session, At: now,
		Targets:  []audit.Target{{Type: "user", ID: f.UserID}, {Type: "application", ID: f.ClientID}},
		Metadata: map[string]any{"family_id": f.ID},
	})
	if err != nil {
		return err
	}
	return q.Batch(ctx, append(stmts, f.revokeStmts(q.Dialect(), now, "reused")...))
}

// revokeStmts ends a family with all that came from the same grant by switches: who
// holds a copy of one token may have been there.
func (f Family) revokeStmts(d db.Dialect, now time.Time, reason string) []db.Stmt {
	root := cmp.Or(f.Root, f.ID)
	return []db.Stmt{
		f.holdRoot(d, root),
		{SQL: sqlRevokeFamily, Args: []any{f.Environment, root, db.At(now), reason}},
		{SQL: sqlRevokeLine, Args: []any{f.Environment, root, db.At(now), reason}},
	}
}

// holdRoot has who ends a line wait for a family that is about to join it, and the
// other way round.
func (f Family) holdRoot(d db.Dialect, root string) db.Stmt {
	return db.Stmt{SQL: sqlHoldRoot + d.ForUpdate, Args: []any{f.Environment, root}, Scan: drain}
}

// Revoke ends the family of any genuine token of the client, old ones included
// (RFC 7009 §2.1). What is not one is no error, as the client's wish is
// fulfilled (§2.2). revoked tells whether a family ended.
func (s *Service) Revoke(ctx context.Context, a actor.Actor, q db.Queryer, environment, clientID, token string) (revoked bool, err error) {
	familyID, _, ok := s.parse(environment, token)
	if !ok {
		return false, nil
	}
	var f Family
	err = q.Batch(ctx, []db.Stmt{{SQL: sqlFamily, Args: []any{environment, familyID}, Scan: func(rows db.Rows) error {
		for rows.Next() {
			if err := f.scan(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	}}})
	if err != nil || f.ID == "" || f.ClientID != clientID || !f.revoked.IsZero() {
		return false, err
	}
	now := s.clock.Now()
	stmts, err := audit.Stmts(audit.Event{
		Environment: environment, Tenant: f.Tenant, Action: "token.revoked", Actor: a, Session: f.Session, At: now,
		Targets: []audit.Target{{Type: "user", ID: f.UserID}, {Type: "application", ID: clientID}},
	})
	if err != nil {
		return false, err
	}
	f.Environment = environment
	return true, q.Batch(ctx, append(stmts, f.revokeStmts(q.Dialect(), now, "revoked")...))
}

// SwitchFamily begins the family of another tenant that the person of a family goes
// to by its token. It ends with the line that it joins, and no later than from would:
// going back and forth does not prolong a grant. The application is told of the end of
// the session there too.
//
// Faults: as StartFamily.
func (s *Service) SwitchFamily(ctx context.Context, q db.Queryer, from, to Family) (string, error) {
	to.ID, to.Root = "", cmp.Or(from.Root, from.ID)
	to.Absolute = min(cmp.Or(to.Absolute, RefreshAbsolute), from.ExpiresAt.Sub(s.clock.Now()))
	if err := q.Batch(ctx, []db.Stmt{to.holdRoot(q.Dialect(), to.Root)}); err != nil {
		return "", err
	}
	token, err := s.StartFamily(ctx, q, to)
	if err != nil {
		return "", err
	}
	_, err = q.Exec(ctx, sqlInsertClient, to.Tenant, to.Environment, to.Session, to.ClientID, to.UserID, db.At(s.clock.Now()))
	return token, err
}

func (f *Family) scan(rows db.Rows) error {
	var rotated, created, idle, expires, revoked db.Time
	err := rows.Scan(&f.ID, &f.Tenant, &f.Session, &f.UserID, &f.ClientID, &f.Scope, &f.Nonce, &f.seq, &rotated, &created, &idle, &expires, &revoked, &f.JKT, &f.Root)
	f.rotated, f.CreatedAt, f.idleEnd, f.ExpiresAt, f.revoked = rotated.Time, created.Time, idle.Time, expires.Time, revoked.Time
	return err
}

package sessions

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/jobs"
)

// path is the four statements of one way to find what ends.
type path struct{ parts, families, clients, sessions string }

var (
	byUser         = path{sqlEndPartsByUser, sqlEndFamiliesByUser, sqlEndClientsByUser, sqlEndSessionsByUser}
	bySession      = path{sqlEndPartsBySession, sqlEndFamiliesBySession, sqlEndClientsBySession, sqlEndSessionsBySession}
	byConnection   = path{sqlEndPartsByConnection, sqlEndFamiliesByConnection, sqlEndClientsByConnection, sqlEndSessionsByConnection}
	byTenant       = path{sqlEndPartsByTenant, sqlEndFamiliesByTenant, sqlEndClientsByTenant, sqlEndSessionsByTenant}
	byEveryUser    = path{sqlEndPartsByEveryUser, sqlEndFamiliesByEveryUser, sqlEndClientsByEveryUser, sqlEndSessionsByEveryUser}
	bySocial       = path{sqlEndPartsBySocial, sqlEndFamiliesBySocial, sqlEndClientsBySocial, sqlEndSessionsBySocial}
	byEverySession = path{sqlEndPartsByEverySession, sqlEndFamiliesByEverySession, sqlEndClientsByEverySession, sqlEndSessionsByEverySession}
)

func (sel Selector) path() (path, string, bool) {
	switch {
	case sel.Environment == "", sel.Upstream != "" && sel.Connection == "":
		return path{}, "", false
	case sel.Social != "":
		return bySocial, sel.Environment, sel.Tenant+sel.Session+sel.Connection == ""
	case sel.Tenant != "" && sel.Session != "":
		return bySession, sel.Tenant, true
	case sel.Tenant != "" && sel.User != "":
		return byUser, sel.Tenant, true
	case sel.Tenant != "" && sel.Connection != "":
		return byConnection, sel.Tenant, true
	case sel.Tenant != "":
		return byTenant, sel.Tenant, true
	case sel.Session != "":
		return byEverySession, sel.Environment, true
	case sel.User != "":
		return byEveryUser, sel.Environment, true
	}
	return path{}, "", false
}

// EndStmts gives the four statements that end what the selector meets, to be
// batched with the change that asks for it, whose own event tells of it. They
// strike the tenants from the sessions, revoke the refresh families, mark the
// applications that [Service.NotifyEnded] has to tell, and end the sessions that
// are left without a tenant. The first statement's Affected may be set to learn
// how many parts of sessions ended.
func (s *Service) EndStmts(_ actor.Actor, sel Selector, reason string, now time.Time) ([]db.Stmt, error) {
	p, lead, ok := sel.path()
	if !ok {
		return nil, errSelector
	}
	return s.end(p, p.parts, lead, sel, reason, now), nil
}

func (s *Service) end(p path, parts, lead string, sel Selector, reason string, now time.Time) []db.Stmt {
	at := db.At(now)
	marked := []any{lead, at, sel.User, sel.Session, cmp.Or(sel.Social, sel.Connection), sel.Upstream}
	clients := append(marked[:6:6], sel.Environment)
	all := append(clients[:7:7], reason)
	return []db.Stmt{
		{SQL: parts, Args: marked},
		{SQL: p.families, Args: all},
		{SQL: p.clients, Args: clients},
		{SQL: p.sessions, Args: all},
	}
}

// part is whose parts of sessions ended, and in which tenant.
type part struct{ tenant, user string }

// End ends what the selector meets and records it in the log of each tenant that
// it met, in a constant number of statements and two round trips. ended counts
// pairs of session and tenant.
//
// Faults: session_selector for a selector that names nothing.
func (s *Service) End(ctx context.Context, a actor.Actor, q db.Queryer, sel Selector, reason string) (ended int, err error) {
	now := s.clock.Now()
	stmts, err := s.EndStmts(a, sel, reason, now)
	if err != nil {
		return 0, err
	}
	var n int64
	parts := map[part]int64{}
	if sel.Tenant != "" {
		stmts[0].Affected = &n
	} else {
		stmts[0].Scan = func(rows db.Rows) error {
			for rows.Next() {
				var p part
				if err := rows.Scan(&p.tenant, &p.user); err != nil {
					return err
				}
				parts[p]++
				n++
			}
			return rows.Err()
		}
	}
	if err := q.Batch(ctx, stmts); err != nil || n == 0 {
		return 0, err
	}
	if sel.Tenant != "" {
		parts[part{sel.Tenant, sel.User}] = n
	}
	return int(n), s.recordEnd(ctx, a, q, "session.ended", sel, reason, parts, now)
}

func (s *Service) recordEnd(ctx context.Context, a actor.Actor, q db.Queryer, action string, sel Selector, reason string, parts map[part]int64, now time.Time) error {
	var stmts []db.Stmt
	for _, p := range slices.SortedFunc(maps.Keys(parts), func(x, y part) int { return strings.Compare(x.tenant, y.tenant) }) {
		e := audit.Event{
			Environment: sel.Environment, Tenant: p.tenant, Action: action, Actor: seenFrom(a, p), Connection: sel.Connection, Session: sel.Session, At: now,
			Metadata: map[string]any{"reason": reason, "sessions": parts[p]},
		}
		if p.user != "" {
			e.Targets = append(e.Targets, audit.Target{Type: "user", ID: p.user})
		}
		if sel.Session != "" {
			e.Targets = append(e.Targets, audit.Target{Type: "session", ID: sel.Session})
		}
		event, err := audit.Stmts(e)
		if err != nil {
			return err
		}
		stmts = append(stmts, event...)
	}
	return q.Batch(ctx, stmts)
}

// seenFrom is the actor as the log of a tenant may show him: what another tenant
// knows of somebody is not told, nor who he is unless it is the person whose
// session ended (identity rule 1).
func seenFrom(a actor.Actor, p part) actor.Actor {
	if a.Tenant == "" || a.Tenant == p.tenant {
		return a
	}
	a.Name, a.Email, a.Connection, a.Tenant, a.Home = "", "", "", p.tenant, ""
	if a.Kind != actor.User || a.Subject != p.user {
		a.Subject, a.Session = "", ""
	}
	return a
}

// Jobs of this package.
const (
	// JobEnded is the kind of the job that runs NotifyEnded, every second or two.
	JobEnded = "sessions.ended"
	// JobPurge is the kind of the job that runs Purge, every hour.
	JobPurge = "sessions.purge"
	// JobLogout is the kind of the job that tells one application of the end of
	// one session; its handler belongs to the OpenID provider.
	JobLogout = "oidc.backchannel_logout"
)

// Logout is the payload of JobLogout.
type Logout struct {
	Environment string `json:"environment"`
	Tenant      string `json:"tenant"`
	Session     string `json:"session"`
	User        string `json:"user"`
	Client      string `json:"client"`
}

const notifyBatch = 100

// NotifyEnded enqueues a JobLogout for each application that holds tokens of a
// session that ended. It runs apart from what ends sessions, so that ending a
// hundred thousand of them is four statements.
func (s *Service) NotifyEnded(ctx context.Context, d db.DB) error {
	for {
		n := 0
		err := d.Tx(ctx, func(q db.Queryer) error {
			rows, err := q.Query(ctx, sqlEndedClients+q.Dialect().SkipLocked, int64(notifyBatch))
			if err != nil {
				return err
			}
			defer rows.Close()
			var ended []Logout
			for rows.Next() {
				var l Logout
				if err := rows.Scan(&l.Environment, &l.Session, &l.Tenant, &l.Client, &l.User); err != nil {
					return err
				}
				ended = append(ended, l)
			}
			if err := rows.Err(); err != nil {
				return err
			}
			rows.Close()
			now := s.clock.Now()
			stmts := make([]db.Stmt, 0, 2*len(ended))
			for _, l := range ended {
				payload, err := json.Marshal(l)
				if err != nil {
					return err
				}
				stmts = append(stmts,
					jobs.Stmt(jobs.Job{Environment: l.Environment, Tenant: l.Tenant, Kind: JobLogout, Payload: payload, RunAt: now}),
					db.Stmt{SQL: sqlDeleteClient, Args: []any{l.Environment, l.Session, l.Tenant, l.Client}})
			}
			n = len(ended)
			if n == 0 {
				return nil
			}
			return q.Batch(ctx, stmts)
		})
		if err != nil || n < notifyBatch {
			return err
		}
	}
}

// Purge removes what has run out: codes at once, families and sessions a week
// after their end, so that the portal can show past sessions.
func (s *Service) Purge(ctx context.Context, d db.DB) error {
	now := s.clock.Now()
	old := db.At(now.Add(-keepEndedSession))
	return d.Batch(ctx, []db.Stmt{
		{SQL: sqlPurgeCodes, Args: []any{db.At(now.Add(-24 * time.Hour))}}, // a late reuse is still noticed
		{SQL: sqlPurgeFamilies, Args: []any{old}},
		{SQL: sqlPurgeSessions, Args: []any{old, db.At(now)}},
		{SQL: sqlPurgeClients, Args: []any{old}},
	})
}

package signin

import (
	"context"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

// Outcomes of a login.
const (
	OutcomeSuccess = "success"
	OutcomeFailure = "failure" // the answer did not hold
	OutcomeDenied  = "denied"  // the answer held, and a rule refused the person
)

// Login is one entry of a connection's login log.
type Login struct {
	ID         string
	Connection string
	FlowID     string
	At         time.Time
	Outcome    string
	Code       string
	Subject    string
	Email      string
	Checks     []Check
	IP         string
	Purpose    string // PurposeTest, or empty for a login
	Response   string // see Identity.Response
}

// RecordLogin writes an entry of the login log and its audit event. Protocols
// call it for answers that they refuse.
func (s *Service) RecordLogin(ctx context.Context, a actor.Actor, q db.Queryer, environment, tenant string, l Login) error {
	stmts, err := s.loginStmts(a, environment, tenant, l, nil)
	if err != nil {
		return err
	}
	return q.Batch(ctx, stmts)
}

func (s *Service) loginStmts(a actor.Actor, environment, tenant string, l Login, target *audit.Target) ([]db.Stmt, error) {
	if l.At.IsZero() {
		l.At = s.clock.Now()
	}
	if l.Checks == nil {
		l.Checks = []Check{}
	}
	checks, err := json.Marshal(l.Checks)
	if err != nil {
		return nil, err
	}
	e := audit.Event{
		Environment: environment, Tenant: tenant, Action: "login.succeeded", Actor: a, Connection: l.Connection, At: l.At,
		Metadata: map[string]any{"flow_id": l.FlowID},
	}
	if target != nil {
		e.Targets = []audit.Target{*target}
	}
	if l.Outcome != OutcomeSuccess {
		e.Action, e.Outcome = "login.failed", audit.Outcome(l.Outcome)
		e.Metadata["code"], e.Metadata["email"] = l.Code, l.Email
	}
	stmts, err := audit.Stmts(e)
	if err != nil {
		return nil, err
	}
	ip := ""
	if a.IP.IsValid() {
		ip = a.IP.String()
	}
	return append(stmts, db.Stmt{SQL: sqlInsertLogin, Args: []any{
		tenant, id.New("log"), l.Connection, l.FlowID, db.At(l.At), l.Outcome, l.Code, l.Subject, l.Email, string(checks), ip,
	}}), nil
}

// Logins lists a connection's logins, newest first. cursor is the value that the
// page before returned; limit is at most 200.
func (s *Service) Logins(ctx context.Context, q db.Queryer, tenant, connection, cursor string, limit int) (list []Login, next string, err error) {
	if limit <= 0 || limit > 200 {
		limit = 50
	}
	before, beforeID := int64(math.MaxInt64), ""
	if at, rest, ok := strings.Cut(cursor, "."); ok {
		if n, err := strconv.ParseInt(at, 10, 64); err == nil {
			before, beforeID = n, rest
		}
	}
	rows, err := q.Query(ctx, sqlLogins, tenant, connection, before, beforeID, limit+1)
	if err != nil {
		return nil, "", err
	}
	defer rows.Close()
	for rows.Next() {
		var l Login
		var at db.Time
		var checks string
		if err := rows.Scan(&l.ID, &l.Connection, &l.FlowID, &at, &l.Outcome, &l.Code, &l.Subject, &l.Email, &checks, &l.IP); err != nil {
			return nil, "", err
		}
		l.At = at.Time
		if err := json.Unmarshal([]byte(checks), &l.Checks); err != nil {
			return nil, "", err
		}
		list = append(list, l)
	}
	if len(list) > limit {
		list = list[:limit]
		last := list[limit-1]
		next = strconv.FormatInt(last.At.UnixMicro(), 10) + "." + last.ID
	}
	return list, next, rows.Err()
}

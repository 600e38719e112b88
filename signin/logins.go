package signin

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/policy"
)

// Outcomes of a login.
const (
	OutcomeSuccess = "success"
	OutcomeFailure = "failure" // the answer did not hold
	OutcomeDenied  = "denied"  // the answer held, and a rule refused the person
)

// purposeLogin is how the login log stores what is no test.
const purposeLogin = "login"

// Login is one entry of a connection's login log.
type Login struct {
	ID         string
	Connection string
	FlowID     string
	At         time.Time
	Outcome    string
	Code       string
	Rule       policy.Rule // that refused the person; the audit event names it
	Subject    string
	Email      string
	Checks     []Check
	IP         string
	// Purpose is PurposeTest, or empty for a login. RecordLogin finds it out by
	// the flow when it is left empty.
	Purpose  string
	Response string // see Identity.Response
	Detail   Detail
}

// RecordLogin writes an entry of the login log and its audit event. Protocols
// call it for answers that they refuse.
func (s *Service) RecordLogin(ctx context.Context, a actor.Actor, q db.Queryer, environment, tenant string, l Login) error {
	if l.Purpose == "" && l.FlowID != "" {
		err := q.QueryRow(ctx, sqlFlowPurpose, environment, l.FlowID).Scan(&l.Purpose)
		if err != nil && !errors.Is(err, db.ErrNotFound) {
			return err
		}
	}
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
	purpose := purposeLogin
	if l.Purpose == PurposeTest {
		purpose = PurposeTest
	}
	checks, err := json.Marshal(l.Checks)
	if err != nil {
		return nil, err
	}
	l.Detail.Response = clipText(l.Response, maxResponse)
	detail, err := json.Marshal(l.Detail)
	if err != nil {
		return nil, err
	}
	var stmts []db.Stmt
	if purpose != PurposeTest { // a test is told by sso_connection.tested: nobody signed in, and nobody failed to
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
			e.Metadata = l.Rule.Metadata(e.Metadata)
		}
		if stmts, err = audit.Stmts(e); err != nil {
			return nil, err
		}
	}
	ip := ""
	if a.IP.IsValid() {
		ip = a.IP.String()
	}
	return append(stmts, db.Stmt{SQL: sqlInsertLogin, Args: []any{
		tenant, id.New(id.Log), l.Connection, l.FlowID, db.At(l.At), l.Outcome, l.Code, l.Subject, l.Email, string(checks), ip, purpose, string(detail),
	}}), nil
}

// LoginQuery chooses entries of a connection's login log. What is empty does not
// restrict.
type LoginQuery struct {
	Connection string // required
	Outcome    string
	Code       string
	FlowID     string
	Purpose    string // PurposeTest, or login
	Cursor     string // the value that the page before returned
	Limit      int    // at most 200; 50 when 0 or beyond it
}

// Logins lists a connection's logins, newest first. They are kept for 30 days.
func (s *Service) Logins(ctx context.Context, q db.Queryer, tenant string, in LoginQuery) (list []Login, next string, err error) {
	if in.Limit <= 0 || in.Limit > 200 {
		in.Limit = 50
	}
	before, beforeID := int64(math.MaxInt64), ""
	if at, rest, ok := strings.Cut(in.Cursor, "."); ok {
		if n, err := strconv.ParseInt(at, 10, 64); err == nil {
			before, beforeID = n, rest
		}
	}
	list, err = scanLogins(q.Query(ctx, sqlLogins, tenant, in.Connection, before, beforeID, in.Limit+1, in.Outcome, in.Code, in.FlowID, in.Purpose))
	if len(list) > in.Limit {
		list = list[:in.Limit]
		last := list[in.Limit-1]
		next = strconv.FormatInt(last.At.UnixMicro(), 10) + "." + last.ID
	}
	return list, next, err
}

func scanLogins(rows db.Rows, err error) ([]Login, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Login
	for rows.Next() {
		var l Login
		var at db.Time
		var checks, detail string
		if err := rows.Scan(&l.ID, &l.Connection, &l.FlowID, &at, &l.Outcome, &l.Code, &l.Subject, &l.Email, &checks, &l.IP, &l.Purpose, &detail); err != nil {
			return nil, err
		}
		l.At = at.Time
		if l.Purpose == purposeLogin {
			l.Purpose = ""
		}
		if err := json.Unmarshal([]byte(checks), &l.Checks); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(detail), &l.Detail); err != nil {
			return nil, err
		}
		l.Response, l.Detail.Response = l.Detail.Response, ""
		list = append(list, l)
	}
	return list, rows.Err()
}

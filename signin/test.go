package signin

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"net/url"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// TestLink begins a test login in the browser that opens it first.
type TestLink struct {
	FlowID    string
	URL       string // absolute
	ExpiresAt time.Time
}

var (
	errTestLink    = fault.New(fault.NotFound, "SIGNIN_TEST_UNKNOWN", "This test is not known, or was opened in another browser. Begin a new one.")
	errTestUnknown = fault.New(fault.NotFound, "test_not_found", "There is no such test login of this connection.")
)

// TestStart opens a test login of a connection, whatever its status: a whole
// round trip to the identity provider that signs nobody in. Its link serves one
// browser for ten minutes.
func (s *Service) TestStart(ctx context.Context, _ actor.Actor, q db.Queryer, env tenants.Environment, tenant, connection string) (TestLink, error) {
	c, err := s.tenants.SSOConnection(ctx, q, tenant, connection)
	if err != nil {
		return TestLink{}, err
	}
	if !c.Complete() {
		return TestLink{}, tenants.ErrIncomplete
	}
	now, token := s.clock.Now(), secret.Random()
	f := Flow{
		Environment: env.ID, ID: id.New(id.Flow), Organization: tenant, Tenant: tenant, Connection: connection, Purpose: PurposeTest,
		Request: json.RawMessage(`{}`), CreatedAt: now, ExpiresAt: now.Add(FlowLifetime), linkHash: secret.Hash(token),
	}
	if err := insertFlow(ctx, q, f); err != nil {
		return TestLink{}, err
	}
	v := url.Values{"flow": {f.ID}, "token": {token}}
	return TestLink{FlowID: f.ID, URL: env.URL("/login/test?" + v.Encode()), ExpiresAt: f.ExpiresAt}, nil
}

// TestOpen makes a test the browser's that opens its link first, and gives the
// path of the connection's login. The same browser may open it again.
func (s *Service) TestOpen(ctx context.Context, q db.Queryer, environment, flowID, token, browserID string) (string, error) {
	f, err := s.flow(ctx, q, environment, flowID)
	if fault.KindOf(err) == fault.NotFound {
		return "", errTestLink
	}
	if err != nil {
		return "", err
	}
	if f.Purpose != PurposeTest || f.linkHash == "" || browserID == "" || subtle.ConstantTimeCompare([]byte(f.linkHash), []byte(secret.Hash(token))) != 1 {
		return "", errTestLink
	}
	if err := f.open(s.clock.Now()); err != nil {
		return "", err
	}
	if f.browserHash == "" {
		n, err := q.Exec(ctx, sqlBindFlow, environment, f.ID, secret.Hash(browserID))
		if err != nil {
			return "", err
		}
		if n == 0 {
			return "", errTestLink
		}
	} else if f.heldBy(browserID) != nil {
		return "", errTestLink
	}
	c, err := s.tenants.SSOConnection(ctx, q, f.Tenant, f.Connection)
	if err != nil {
		return "", err
	}
	return Option{Connection: c.ID, Type: c.Type}.LoginURL(f.ID), nil
}

// TestPath is where the browser that ran a test sees what came of it. Protocols
// send it there when they refuse an answer of a test.
func TestPath(flowID string) string { return "/login/test/" + url.PathEscape(flowID) }

// CodeTestUnanswered is what a test fails with that the identity provider sent
// nothing back to. What the person saw there is not known here.
const CodeTestUnanswered = "SIGNIN_TEST_UNANSWERED"

// Statuses of a test.
const (
	TestPending   = "pending"
	TestSucceeded = "succeeded"
	TestFailed    = "failed"
)

// TestResult is what came of a test login.
type TestResult struct {
	FlowID     string
	Status     string
	Connection tenants.SSOConnection
	// Login is the entry of the log; nil while nothing came back.
	Login *Login
}

// TestResult reads a test login of a connection.
//
// Fault: test_not_found.
func (s *Service) TestResult(ctx context.Context, q db.Queryer, environment, tenant, connection, flowID string) (TestResult, error) {
	out := TestResult{FlowID: flowID, Status: TestPending}
	var err error
	if out.Connection, err = s.tenants.SSOConnection(ctx, q, tenant, connection); err != nil {
		return out, err
	}
	logins, err := scanLogins(q.Query(ctx, sqlFlowLogins, tenant, flowID, connection))
	if err != nil {
		return out, err
	}
	for i, l := range logins {
		if l.Purpose == PurposeTest && (out.Login == nil || l.Outcome == OutcomeSuccess) {
			out.Login = &logins[i]
		}
	}
	switch {
	case out.Login != nil && out.Login.Outcome == OutcomeSuccess:
		out.Status = TestSucceeded
		return out, nil
	case out.Login != nil:
		out.Status = TestFailed
		return out, nil
	}
	f, err := s.flow(ctx, q, environment, flowID)
	if fault.KindOf(err) == fault.NotFound || err == nil && (f.Purpose != PurposeTest || f.Tenant != tenant || f.Connection != connection) {
		return out, errTestUnknown
	}
	if err != nil {
		return out, err
	}
	if f.open(s.clock.Now()) != nil {
		out.Status = TestFailed // nothing came back in time
	}
	return out, nil
}

// TestShown is TestResult for the browser that ran the test.
func (s *Service) TestShown(ctx context.Context, q db.Queryer, environment, flowID, browserID string) (TestResult, error) {
	f, err := s.flow(ctx, q, environment, flowID)
	if err != nil {
		return TestResult{}, err
	}
	if f.Purpose != PurposeTest || f.heldBy(browserID) != nil {
		return TestResult{}, errTestLink
	}
	return s.TestResult(ctx, q, environment, f.Tenant, f.Connection, flowID)
}

// finishTest writes down what a real login would have done. Nobody is signed in
// and nothing about a person is written; the connection is tested.
func (s *Service) finishTest(ctx context.Context, a actor.Actor, q db.Queryer, f Flow, identity Identity) (Outcome, error) {
	out := Outcome{FlowID: f.ID, Test: true}
	c, err := s.tenants.SSOConnection(ctx, q, identity.Tenant, identity.Connection)
	if err != nil {
		return out, err
	}
	v, err := s.judge(ctx, a, q, f, identity, shown{})
	if err != nil {
		return out, err
	}
	would := Would{Outcome: WouldSignIn, Step: v.link.Step, SecondFactor: v.refusal == nil && v.second}
	switch {
	case v.refusal != nil:
		would.Outcome, would.Code = WouldRefused, v.refusal.Code
	case v.joins():
		would.Outcome = WouldCreate
	}
	membership := v.link.Membership.ID
	if v.joins() {
		membership = ""
	}
	roles, err := s.rbac.Preview(ctx, q, rbac.Preview{
		Environment: f.Environment, Tenant: identity.Tenant, Membership: membership, Connection: identity.Connection,
		Groups: identity.Groups, KeepGroups: !identity.GroupsKnown,
	})
	if err != nil {
		return out, err
	}
	detail := detailOf(identity, true)
	detail.Would, detail.Roles = &would, grantedAs(roles.Roles)
	now := s.clock.Now()
	stmts, err := s.loginStmts(a, f.Environment, identity.Tenant, Login{
		Connection: identity.Connection, FlowID: f.ID, At: now, Outcome: OutcomeSuccess, Subject: identity.Subject, Email: identity.Email,
		Checks: v.checks, Purpose: PurposeTest, Response: identity.Response, Detail: detail,
	}, nil)
	if err != nil {
		return out, err
	}
	tested, err := s.tenants.TestedStmts(a, c, now, f.ID)
	if err != nil {
		return out, err
	}
	return out, s.close(ctx, q, f, identity, "", append(stmts, tested...))
}

package signin

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/url"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Lifetimes of what a sign-in leaves behind on its way (design 3, default lifetimes).
const (
	FlowLifetime   = 10 * time.Minute
	resultLifetime = 2 * time.Minute // between the provider's answer and the browser's next GET
)

// Purposes of a flow.
const (
	PurposeAuthorize = "authorize" // an application's authorization request began it
	PurposeTest      = "test"      // an admin tries the connection: nobody is signed in
	PurposeStart     = "start"     // the identity provider began it
	PurposeJoin      = "join"      // an invitation or a link began it: it adds its person to the tenant
)

// Refusals of a flow. Their codes are shown to people.
var (
	errFlowUnknown     = fault.New(fault.NotFound, "SIGNIN_FLOW_UNKNOWN", "This sign-in is not known. Start again from the application.")
	errFlowExpired     = fault.New(fault.Invalid, "SIGNIN_FLOW_EXPIRED", "This sign-in took longer than ten minutes. Start again from the application.")
	errFlowFinished    = fault.New(fault.Invalid, "SIGNIN_FLOW_FINISHED", "This sign-in has already ended. Start again from the application.")
	errOtherConnection = fault.New(fault.Forbidden, "SIGNIN_OTHER_CONNECTION", "This sign-in was to go through another connection. Start again from the application.")
	errOtherBrowser    = fault.New(fault.Forbidden, "SIGNIN_OTHER_BROWSER", "This sign-in was begun in another browser, or the browser did not keep its cookie. Start again from the application, in one browser.")
)

// Flow is a sign-in under way.
type Flow struct {
	Environment string
	ID          string
	// Organization is the tenant that the application named; the sign-in may not
	// end in another one. Empty when it named none.
	Organization string
	Tenant       string // empty until chosen
	Connection   string // empty until chosen
	Purpose      string
	Request      json.RawMessage // the application's request, as its protocol stored it
	LoginHint    string
	ForceAuthn   bool   // the identity provider must ask the person again
	SessionID    string // of the session it ended in
	CreatedAt    time.Time
	ExpiresAt    time.Time
	FinishedAt   time.Time

	// UserID is who has proved himself without an identity provider; empty: nobody.
	UserID string

	proof       proof
	demand      Demand
	browserHash string
	locales     string // ui_locales of the application's request
	social      string // an identity that waits for its person's word, sealed; see linkPending
	linkHash    string // of the token of the link that begins it; see TestStart
}

// Start is what an authorization request says about how to sign in.
type Start struct {
	Environment  tenants.Environment
	BrowserID    string // of the browser-id cookie; required
	Organization string // tenant id or key; empty: not named
	Connection   string // sso_…; empty: not named
	LoginHint    string
	DomainHint   string
	Locales      string // ui_locales: language tags with spaces between, the preferred first; empty: not said
	ForceAuthn   bool   // prompt=login, or max_age passed
	Request      json.RawMessage
	Demand       Demand
}

// Next says where the browser goes from here.
type Next struct {
	FlowID string
	URL    string // absolute path on the environment's host
}

// Begin opens a flow. It goes straight to a connection when one is named, when
// the named organization has exactly one active connection and enforces SSO, or
// when the domain hint leads to exactly one; otherwise to the home-realm page
// (contract 2).
//
// Faults: organization_unknown, connection_unknown, connection_disabled,
// tenant_suspended.
func (s *Service) Begin(ctx context.Context, _ actor.Actor, q db.Queryer, in Start) (Next, error) {
	if in.BrowserID == "" {
		return Next{}, errOtherBrowser // a flow that any browser without a cookie could take over
	}
	now := s.clock.Now()
	f := Flow{
		Environment: in.Environment.ID, ID: id.New(id.Flow), Purpose: PurposeAuthorize, Request: in.Request,
		LoginHint: clip(in.LoginHint, MaxEmail), ForceAuthn: in.ForceAuthn, CreatedAt: now, ExpiresAt: now.Add(FlowLifetime),
		browserHash: secret.Hash(in.BrowserID), locales: clip(in.Locales, maxLocales), demand: in.Demand,
	}
	chosen, err := s.chooseAtStart(ctx, q, in, &f)
	if err != nil {
		return Next{}, err
	}
	if err := insertFlow(ctx, q, f); err != nil {
		return Next{}, err
	}
	if chosen != nil {
		return Next{FlowID: f.ID, URL: chosen.LoginURL(f.ID)}, nil
	}
	return Next{FlowID: f.ID, URL: "/login?flow=" + url.QueryEscape(f.ID)}, nil
}

func insertFlow(ctx context.Context, q db.Queryer, f Flow) error {
	demand, err := json.Marshal(f.demand)
	if err != nil {
		return err
	}
	_, err = q.Exec(ctx, sqlInsertFlow, f.Environment, f.ID, f.browserHash, f.Organization, f.Tenant, f.Connection, f.Purpose,
		string(f.Request), f.LoginHint, f.ForceAuthn, db.At(f.CreatedAt), db.At(f.ExpiresAt), f.linkHash, string(demand), f.locales)
	return err
}

func (s *Service) chooseAtStart(ctx context.Context, q db.Queryer, in Start, f *Flow) (*Option, error) {
	var tenant tenants.Tenant
	if in.Organization != "" {
		unknown := fault.New(fault.NotFound, "organization_unknown", "The application named an organization that does not exist here.")
		if clean(in.Organization) == "" {
			return nil, unknown
		}
		t, err := s.tenants.Get(ctx, q, in.Environment.ID, in.Organization)
		if absent(err) {
			return nil, unknown
		}
		if err != nil {
			return nil, err
		}
		if t.Status != tenants.StatusActive {
			return nil, fault.New(fault.Forbidden, "tenant_suspended", "This organization is suspended.")
		}
		tenant, f.Organization, f.Tenant = t, t.ID, t.ID
	}
	if in.Connection != "" {
		return s.namedConnection(ctx, q, in, f)
	}
	if f.Tenant != "" {
		options, err := s.TenantOptions(ctx, q, tenant.ID)
		if err != nil {
			return nil, err
		}
		if len(options) != 1 {
			return nil, nil
		}
		_, settings, err := s.policy.Load(ctx, q, in.Environment.ID, tenant.ID)
		if err != nil {
			return nil, err
		}
		if !settings.SSO.Enforced {
			return nil, nil
		}
		f.Connection = options[0].Connection
		return &options[0], nil
	}
	if in.DomainHint != "" {
		options, err := s.Discover(ctx, q, in.Environment.ID, "x@"+in.DomainHint)
		if err != nil || len(options) != 1 {
			return nil, err
		}
		f.Tenant, f.Connection = options[0].Tenant, options[0].Connection
		return &options[0], nil
	}
	return nil, nil
}

func (s *Service) namedConnection(ctx context.Context, q db.Queryer, in Start, f *Flow) (*Option, error) {
	unknown := fault.New(fault.NotFound, "connection_unknown", "The application named a connection that does not exist here.")
	env, tenant, err := s.tenants.Locate(ctx, q, in.Connection)
	if absent(err) {
		return nil, unknown
	}
	if err != nil {
		return nil, err
	}
	if env != in.Environment.ID || (f.Tenant != "" && tenant != f.Tenant) {
		return nil, unknown
	}
	c, err := s.connection(ctx, q, env, tenant, in.Connection)
	if err != nil {
		return nil, err
	}
	if err := c.usable(); err != nil {
		return nil, err
	}
	f.Organization, f.Tenant, f.Connection = tenant, tenant, c.ID
	return &Option{Tenant: tenant, Connection: c.ID, Type: c.Type, Name: c.Name}, nil
}

// Flow reads a flow that is not over, for the browser that began it.
func (s *Service) Flow(ctx context.Context, q db.Queryer, environment, flowID, browserID string) (Flow, error) {
	f, err := s.flow(ctx, q, environment, flowID)
	if err != nil {
		return Flow{}, err
	}
	if err := f.heldBy(browserID); err != nil {
		return f, err
	}
	return f, f.open(s.clock.Now())
}

// ChoosableFlow is Flow for the pages on which a person chooses his connection. A
// test has no choice: it is of one connection.
func (s *Service) ChoosableFlow(ctx context.Context, q db.Queryer, environment, flowID, browserID string) (Flow, error) {
	f, err := s.Flow(ctx, q, environment, flowID, browserID)
	if err == nil && f.Purpose != PurposeAuthorize && f.Purpose != PurposeJoin {
		err = errFlowUnknown
	}
	return f, err
}

// stepFlow is ChoosableFlow for the steps after the first: also of a sign-in that
// the identity provider began.
func (s *Service) stepFlow(ctx context.Context, q db.Queryer, in Local) (Flow, error) {
	f, err := s.Flow(ctx, q, in.Environment.ID, in.FlowID, in.BrowserID)
	if err == nil && f.Purpose != PurposeAuthorize && f.Purpose != PurposeJoin && (f.Purpose != PurposeStart || f.UserID == "") {
		err = errFlowUnknown
	}
	return f, err
}

// open refuses a flow that is over.
func (f Flow) open(now time.Time) error {
	if !f.FinishedAt.IsZero() {
		return errFlowFinished
	}
	if !now.Before(f.ExpiresAt) {
		return errFlowExpired
	}
	return nil
}

// AllowsConnection refuses to end the flow through another connection than the
// one that was chosen for it.
func (f Flow) AllowsConnection(connection string) error {
	if f.Connection != "" && f.Connection != connection {
		return errOtherConnection
	}
	return nil
}

// Allows refuses a tenant that the flow may not end in.
func (f Flow) Allows(tenant string) error {
	if f.Organization != "" && f.Organization != tenant {
		return fault.New(fault.Forbidden, "SIGNIN_OTHER_ORGANIZATION", "The application asked for a sign-in to another organization. Start again from the application.")
	}
	return nil
}

// Choose sets the connection of a flow, as its browser asked for.
func (s *Service) Choose(ctx context.Context, q db.Queryer, f Flow, o Option) error {
	_, err := q.Exec(ctx, sqlChooseConnection, f.Environment, f.ID, o.Tenant, o.Connection)
	return err
}

// Result is how a flow ended.
type Result struct {
	Tenant     string
	Connection string
	SessionID  string
	Request    json.RawMessage
}

// Finished reads a flow that ended in a session, for the browser that began it,
// so that the request which began it can be resumed. It can be asked for as long
// as the flow lives.
func (s *Service) Finished(ctx context.Context, q db.Queryer, environment, flowID, browserID string) (Result, error) {
	f, err := s.flow(ctx, q, environment, flowID)
	if err != nil {
		return Result{}, err
	}
	if err := f.heldBy(browserID); err != nil {
		return Result{}, err
	}
	if !s.clock.Now().Before(f.ExpiresAt) {
		return Result{}, errFlowExpired
	}
	if f.FinishedAt.IsZero() || f.SessionID == "" {
		return Result{}, errFlowUnknown
	}
	return Result{Tenant: f.Tenant, Connection: f.Connection, SessionID: f.SessionID, Request: f.Request}, nil
}

func (f Flow) heldBy(browserID string) error {
	if browserID == "" || subtle.ConstantTimeCompare([]byte(f.browserHash), []byte(secret.Hash(browserID))) != 1 {
		return errOtherBrowser
	}
	return nil
}

func (s *Service) flow(ctx context.Context, q db.Queryer, environment, flowID string) (Flow, error) {
	f := Flow{Environment: environment}
	if !id.Valid(id.Flow, flowID) {
		return f, errFlowUnknown
	}
	var request, proof, demand string
	var created, expires, finished db.Time
	err := q.QueryRow(ctx, sqlFlow, environment, flowID).Scan(&f.ID, &f.browserHash, &f.Organization, &f.Tenant, &f.Connection, &f.Purpose,
		&request, &f.LoginHint, &f.ForceAuthn, &f.SessionID, &created, &expires, &finished, &f.linkHash, &f.UserID, &proof, &demand, &f.social)
	if errors.Is(err, db.ErrNotFound) {
		return f, errFlowUnknown
	}
	if err != nil {
		return f, err
	}
	f.Request, f.CreatedAt, f.ExpiresAt, f.FinishedAt = json.RawMessage(request), created.Time, expires.Time, finished.Time
	if err := json.Unmarshal([]byte(demand), &f.demand); err != nil {
		return f, err
	}
	return f, json.Unmarshal([]byte(proof), &f.proof)
}

// clip drops a hint that cannot be one.
func clip(s string, limit int) string {
	if len(s) > limit {
		return ""
	}
	return clean(s)
}

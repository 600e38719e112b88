package signin

import (
	"context"
	"encoding/json"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// StartUnsolicited opens a flow for an answer that the identity provider sent
// unasked, where the connection takes such (sso 4, step 13). It belongs to no
// browser: whoever arrives with the handle of its result is asked before a
// session of somebody else is replaced. clientID is the application that it leads
// to; empty: the default one. See UnsolicitedURL.
func (s *Service) StartUnsolicited(ctx context.Context, q db.Queryer, env tenants.Environment, tenant, connection, clientID string) (flowID string, err error) {
	now := s.clock.Now()
	request, err := json.Marshal(unsolicitedRequest{ClientID: clientID})
	if err != nil {
		return "", err
	}
	f := Flow{
		Environment: env.ID, ID: id.New(id.Flow), Organization: tenant, Tenant: tenant, Connection: connection, Purpose: PurposeStart,
		Request: request, CreatedAt: now, ExpiresAt: now.Add(FlowLifetime),
	}
	return f.ID, insertFlow(ctx, q, f)
}

// unsolicitedRequest is Flow.Request of a flow that the identity provider began.
type unsolicitedRequest struct {
	ClientID string `json:"client_id,omitempty"`
}

// UnsolicitedURL is where the browser goes after a flow that the identity provider
// began: to the application that the answer named, or else to the default one, to
// start a login there, which the new session answers.
//
// Fault: ErrNoStart.
func (s *Service) UnsolicitedURL(ctx context.Context, q db.Queryer, env tenants.Environment, flowID string) (string, error) {
	f, err := s.flow(ctx, q, env.ID, flowID)
	if err != nil {
		return "", err
	}
	var request unsolicitedRequest
	if err := json.Unmarshal(f.Request, &request); err != nil {
		return "", err
	}
	if request.ClientID != "" {
		app, err := s.tenants.Application(ctx, q, env.ID, request.ClientID)
		if err != nil && !absent(err) {
			return "", err
		}
		if err == nil && app.InitiateLoginURI != "" {
			return initiateURL(app, env, f.Connection)
		}
	}
	return s.StartURL(ctx, q, env, f.Connection)
}

// arrival finds the flow that a handle leads to, for the browser that brings it.
// An answer that nobody asked for may come in any browser.
func (s *Service) arrival(ctx context.Context, q db.Queryer, environment, flowID, browserID string) (Flow, error) {
	f, err := s.flow(ctx, q, environment, flowID)
	if err != nil {
		return f, err
	}
	if f.Purpose != PurposeStart || f.browserHash != "" {
		if err := f.heldBy(browserID); err != nil {
			return f, err
		}
	}
	return f, f.open(s.clock.Now())
}

// errConfirm undoes the use of a handle: the person has to say yes first.
var errConfirm = fault.New(fault.Conflict, "SIGNIN_CONFIRM", "Somebody else is signed in in this browser. Confirm that you want to change.")

// unconfirmed reports whether an unasked answer would replace the session of
// another person: a stranger may have sent it through this browser, to have what
// the person does next happen in an account of his own (login CSRF).
func (s *Service) unconfirmed(ctx context.Context, q db.Queryer, f Flow, v verdict, in Arrival) (bool, error) {
	if f.Purpose != PurposeStart || in.Confirmed || in.SessionCookie == "" || v.refusal != nil {
		return false, nil
	}
	old, err := s.sessions.Find(ctx, q, f.Environment, in.SessionCookie)
	if fault.CodeOf(err) == sessions.ErrNoSession.Code {
		return false, nil
	}
	return err == nil && (v.joins() || old.UserID != v.link.UserID), err
}

package provider

import (
	"context"
	"errors"
	"strings"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// exchangeGrant gives an application that may exchange tokens one by which it acts
// as a person (RFC 8693). The subject is named by his id, or shown by an access token
// of his that was issued to the same application. The actor shows a management key
// with the right to impersonate: the application's own authentication gives no such
// right. What comes of it is what [Handler.Impersonate] makes, by the same rule.
//
// Beyond RFC 8693 §2.1 it takes organization, the tenant of a subject who is named by
// his id, and reason, which stands in the log.
func (h *Handler) exchangeGrant(ctx context.Context, env tenants.Environment, a actor.Actor, app tenants.Application, jkt string, p params) (tokenBody, error) {
	if !app.TokenExchange || app.AuthMethod == tenants.AuthNone {
		return tokenBody{}, refuse(oidc.UnauthorizedClient, "This application may not exchange tokens.")
	}
	switch {
	case p["requested_token_type"] != "" && p["requested_token_type"] != oidc.AccessTokenType:
		return tokenBody{}, refuse(oidc.InvalidRequest, "requested_token_type must be that of an access token.")
	case p["resource"] != "":
		return tokenBody{}, refuse(oidc.InvalidTarget, "No resource is registered: name an application by audience.")
	}
	scope := impersonationScope
	if p["scope"] != "" {
		var err error
		if scope, err = narrowed(scope, p["scope"]); err != nil {
			return tokenBody{}, err
		}
	}
	in, err := h.subject(ctx, env, app, jkt, p)
	if err != nil {
		return tokenBody{}, err
	}
	if in.Application = p["audience"]; in.Application == "" && app.Type != tenants.Machine {
		in.Application = app.ID
	}
	acting, err := h.acting(ctx, env, a, in, p)
	if err != nil {
		return tokenBody{}, err
	}
	got, err := h.impersonate(ctx, acting, env, in, scope, jkt)
	if err != nil {
		return tokenBody{}, exchangeRefusal(err)
	}
	return tokenBody{
		AccessToken: got.AccessToken, IssuedTokenType: oidc.AccessTokenType, TokenType: tokenType(jkt),
		ExpiresIn: int64(got.Life.Seconds()), Scope: scope,
	}, nil
}

// subject reads who is to be impersonated, and where.
func (h *Handler) subject(ctx context.Context, env tenants.Environment, app tenants.Application, jkt string, p params) (in staff.Impersonation, err error) {
	in = staff.Impersonation{User: p["subject_token"], Tenant: p["organization"], Reason: p["reason"]}
	bad := func(why string) (staff.Impersonation, error) {
		return in, refuse(oidc.InvalidRequest, "subject_token: "+why)
	}
	switch p["subject_token_type"] {
	case oidc.UserIDType:
		if !id.Valid(id.User, in.User) {
			return bad("it is not the id of a user.")
		}
		if in.Tenant == "" {
			return in, refuse(oidc.InvalidRequest, "organization is missing: the token is for one tenant.")
		}
		return in, nil
	case oidc.AccessTokenType:
	default:
		return in, refuse(oidc.InvalidRequest, "subject_token_type must be that of an access token or of a user's id.")
	}
	c, _, err := h.accessToken(ctx, env, in.User)
	switch {
	case fault.KindOf(err) == fault.Unauthenticated:
		return bad("it is no access token of a person that holds.")
	case err != nil:
		return in, err
	case c.ClientID != app.ID:
		return bad("it was issued to another application.")
	case c.jkt() != "" && c.jkt() != jkt:
		return bad("it is bound to another key than the request proves.")
	case c.Actor != nil: // one actor would hide behind the other
		return bad("it is of an impersonation itself.")
	}
	if in.Tenant != "" && in.Tenant != c.TenantID {
		t, err := h.tenants.Get(ctx, h.db, env.ID, in.Tenant)
		if err != nil && fault.KindOf(err) != fault.NotFound {
			return in, err
		}
		if err != nil || t.ID != c.TenantID {
			return bad("it is of another organization.")
		}
	}
	in.User, in.Tenant = c.Subject, c.TenantID
	return in, nil
}

// acting reads who acts, and asks whether he may.
func (h *Handler) acting(ctx context.Context, env tenants.Environment, a actor.Actor, in staff.Impersonation, p params) (actor.Actor, error) {
	bad := refuse(oidc.InvalidRequest, "actor_token: show a management key that may impersonate, as an access token.")
	if p["actor_token_type"] != oidc.AccessTokenType || !strings.HasPrefix(p["actor_token"], secret.ManagementKey+"_") {
		return a, bad
	}
	acting, err := h.staff.Authenticate(ctx, h.db, env.ID, p["actor_token"], a.IP)
	if fault.KindOf(err) == fault.Unauthenticated {
		return a, bad
	}
	if err != nil {
		return a, err
	}
	acting.RequestID, acting.IP, acting.UserAgent = a.RequestID, a.IP, a.UserAgent
	err = h.audit.Authorize(ctx, acting, staff.Impersonate, audit.Target{Type: "user", ID: in.User})
	if errors.Is(err, audit.ErrForbidden) {
		return a, bad
	}
	return acting, err
}

// exchangeRefusal puts a refusal of the rule in the words of RFC 8693 §2.2.2.
func exchangeRefusal(err error) error {
	if errors.Is(err, errNoAudience) {
		return &wireError{code: oidc.InvalidTarget, description: "audience names no application for people.", cause: err}
	}
	if f, ok := fault.From(err); ok {
		switch f.Kind {
		case fault.Invalid, fault.Forbidden, fault.NotFound:
			return &wireError{code: oidc.InvalidRequest, description: f.Message, cause: err}
		}
	}
	return err
}

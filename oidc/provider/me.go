package provider

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/permission"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/tenants"
)

var errMeScope = fault.New(fault.Forbidden, "insufficient_scope", "The access token needs the scopes profile, email, phone and address.")

// UserToken checks an access token for SCIM's /Me and gives the tenant and the
// user that it stands for. It must cover all that a directory knows of a person.
// Faults: those of an invalid token, insufficient_scope.
func (h *Handler) UserToken(ctx context.Context, env tenants.Environment, token string) (tenant, user string, err error) {
	c, _, err := h.accessToken(ctx, env, token)
	if err != nil {
		return "", "", err
	}
	if c.jkt() != "" || c.Actor != nil { // bound to a key, which nobody proves there; or impersonated, and a password can be set there
		return "", "", errToken
	}
	for _, scope := range []string{oidc.ScopeProfile, oidc.ScopeEmail, oidc.ScopePhone, oidc.ScopeAddress} {
		if !hasScope(c.Scope, scope) {
			return "", "", errMeScope
		}
	}
	return c.TenantID, c.Subject, nil
}

// UserActor checks an access token for the management API and gives the actor
// that it stands for: with the roles of this moment, not those of the token, and
// only while session, tenant and person hold, or the API token that it was exchanged
// for. Faults: those of an invalid token.
func (h *Handler) UserActor(ctx context.Context, env tenants.Environment, token string) (actor.Actor, error) {
	c, payload, err := h.verified(ctx, env, token)
	if err != nil {
		return actor.Actor{}, err
	}
	// A token that is bound to a key is refused: nobody proves the key there (RFC 9449 §7.2).
	if isExchanged(c.Type) {
		c, now, err := h.exchanged(ctx, env, payload)
		if err == nil && c.Confirmation.thumbprint() != "" {
			err = errToken
		}
		if err != nil {
			return actor.Actor{}, err
		}
		return now.Actor(), nil
	}
	c, person, err := h.personal(ctx, env, c)
	if err == nil && c.jkt() != "" {
		err = errToken
	}
	if err != nil {
		return actor.Actor{}, err
	}
	roles, err := h.rbac.Effective(ctx, h.db, person.Tenant, person.Membership)
	if err != nil {
		return actor.Actor{}, err
	}
	a := actor.Actor{
		Environment: env.ID, Tenant: person.Tenant, Kind: actor.User, Subject: person.UserID, Name: person.Name, Email: person.Email,
		Session: c.SessionID, Permissions: permission.NewSet(roles.Permissions...), Level: actor.LevelOf(roles.Level),
	}
	if c.Actor != nil {
		a = staff.Impersonated(a, actor.Impersonator{ID: c.Actor.Subject, Email: c.Actor.Email})
	}
	return a, nil
}

package provider

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// revoke ends a family of refresh tokens (RFC 7009 §2). Access tokens are
// self-contained and live for minutes; asking for one of ours is answered with
// unsupported_token_type (§2.2.1), and what is no token with success (§2.2). That of
// an impersonation ends the impersonation.
func (h *Handler) revoke(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor) error {
	p, err := posted(r)
	if err != nil {
		return err
	}
	app, err := h.client(r.Context(), r, env, p)
	if err != nil {
		return err
	}
	if p["token"] == "" {
		return refuse(oidc.InvalidRequest, "token is missing.")
	}
	a.Name = app.Name
	revoked := false
	err = h.db.Tx(r.Context(), func(q db.Queryer) (err error) {
		revoked, err = h.sessions.Revoke(r.Context(), a, q, env.ID, app.ID, p["token"])
		return err
	})
	if err != nil {
		return err
	}
	var access accessClaims
	if !revoked && h.ring.Verify(r.Context(), env.ID, p["token"], oidc.TypeAccessToken, &access) == nil {
		if access.Actor != nil && access.ClientID == app.ID && access.Issuer == env.BaseURL {
			if err := h.endImpersonation(r.Context(), a, env, access); err != nil {
				return err
			}
			noStore(w)
			w.WriteHeader(http.StatusOK)
			return nil
		}
		return refuse(oidc.UnsupportedTokenType, "Access tokens cannot be revoked; they expire within minutes.")
	}
	noStore(w)
	w.WriteHeader(http.StatusOK)
	return nil
}

// inactive is all that is told of a token that does not hold (RFC 7662 §2.2).
type inactive struct {
	Active bool `json:"active"`
}

// active tells of a token what it says itself, the claims of a template included
// (RFC 7662 §2.2).
func active(payload []byte, tokenType string) json.RawMessage {
	return append([]byte(`{"active":true,"token_type":"`+tokenType+`",`), bytes.TrimPrefix(payload, []byte("{"))...)
}

// introspect tells a confidential client about an access token that was issued
// to it. Another client's token is inactive to it.
func (h *Handler) introspect(w http.ResponseWriter, r *http.Request, env tenants.Environment, _ actor.Actor) error {
	p, err := posted(r)
	if err != nil {
		return err
	}
	app, err := h.client(r.Context(), r, env, p)
	if err != nil {
		return err
	}
	if app.AuthMethod == tenants.AuthNone {
		return &wireError{code: oidc.InvalidClient, description: "Public clients cannot introspect tokens."}
	}
	if p["token"] == "" {
		return refuse(oidc.InvalidRequest, "token is missing.")
	}
	body, err := h.introspection(r, env, app, p["token"])
	if err != nil {
		return err
	}
	noStore(w)
	h.json(w, r, http.StatusOK, body)
	return nil
}

// introspection asks whoever knows the kind of the token.
func (h *Handler) introspection(r *http.Request, env tenants.Environment, app tenants.Application, token string) (any, error) {
	ctx := r.Context()
	if opaque(token) {
		return h.introspectOpaque(ctx, r, env, token)
	}
	kind, payload, err := h.verified(ctx, env, token)
	switch {
	case fault.KindOf(err) == fault.Unauthenticated:
		return inactive{}, nil
	case err != nil:
		return nil, err
	case kind == serviceToken:
		return h.introspectService(env, app, payload)
	case isExchanged(kind):
		return h.introspectExchanged(ctx, env, app, payload)
	}
	claims, _, err := h.personal(ctx, env, payload)
	if err == nil && claims.ClientID == app.ID {
		err = h.tenants.CheckApplication(ctx, h.db, app, claims.TenantID, claims.Subject)
	}
	switch {
	case err == nil && claims.ClientID == app.ID:
		return active(payload, tokenType(claims.jkt())), nil
	case err == nil, fault.KindOf(err) == fault.Unauthenticated, errors.Is(err, tenants.ErrNotAssigned): // the last as a refresh would find
		return inactive{}, nil
	}
	return nil, err
}

package provider

import (
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

// introspectBody is the answer of RFC 7662 §2.2; inactive tokens tell nothing
// but that.
type introspectBody struct {
	Active bool `json:"active"`
	*accessClaims
	TokenType string `json:"token_type,omitempty"`
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
	if opaque(p["token"]) {
		body, err := h.introspectOpaque(r.Context(), r, env, p["token"])
		if err != nil {
			return err
		}
		noStore(w)
		h.json(w, r, http.StatusOK, body)
		return nil
	}
	service, found, err := h.introspectService(r.Context(), env, app, p["token"])
	if err != nil {
		return err
	}
	if found {
		noStore(w)
		h.json(w, r, http.StatusOK, service)
		return nil
	}
	body := introspectBody{}
	claims, _, err := h.accessToken(r.Context(), env, p["token"])
	own := err == nil && claims.ClientID == app.ID
	if own {
		err = h.tenants.CheckApplication(r.Context(), h.db, app, claims.TenantID, claims.Subject)
	}
	switch {
	case errors.Is(err, tenants.ErrNotAssigned): // taken from the person, as a refresh would find
	case own && err == nil:
		body = introspectBody{Active: true, accessClaims: &claims, TokenType: tokenType(claims.jkt())}
	case err != nil && fault.KindOf(err) != fault.Unauthenticated:
		return err
	}
	noStore(w)
	h.json(w, r, http.StatusOK, body)
	return nil
}

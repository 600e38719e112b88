package provider

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
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
	c, err := shown(r, p)
	if err != nil {
		return err
	}
	ctx, token := r.Context(), p["token"]
	var claims accessClaims
	var payload []byte
	if token != "" && !opaque(token) {
		claims, payload, err = h.verified(ctx, env, token)
		if err != nil && fault.KindOf(err) != fault.Unauthenticated {
			return err
		}
	}
	// Client and person are asked for in one round trip. What is known of the token is
	// of no account until the client has proved itself.
	var app tenants.Application
	find, standing := tenants.ApplicationStmt(env.ID, c.id, &app), error(errToken)
	if claims.Type == userToken && claims.Issuer == env.BaseURL && h.clock.Now().Unix() < claims.Expires {
		standing = h.signin.TokenStands(ctx, h.db, env.ID, claims.TenantID, claims.Subject, claims.SessionID, find)
	} else if err := h.db.Batch(ctx, []db.Stmt{find}); err != nil {
		return err
	}
	if kind := fault.KindOf(standing); standing != nil && kind != fault.Forbidden && kind != fault.Unauthenticated {
		return standing
	}
	if err := h.authenticate(ctx, env, app, c); err != nil {
		return err
	}
	if app.AuthMethod == tenants.AuthNone {
		return &wireError{code: oidc.InvalidClient, description: "Public clients cannot introspect tokens."}
	}
	if token == "" {
		return refuse(oidc.InvalidRequest, "token is missing.")
	}
	var body any = inactive{}
	switch {
	case opaque(token):
		body, err = h.introspectOpaque(ctx, r, env, token)
	case claims.Type == serviceToken:
		body, err = h.introspectService(env, app, payload)
	case isExchanged(claims.Type):
		body, err = h.introspectExchanged(ctx, env, app, payload)
	case standing == nil && claims.ClientID == app.ID:
		body, err = h.introspectPerson(ctx, env, app, claims, payload)
	default:
		err = nil
	}
	if err != nil {
		return err
	}
	noStore(w)
	if text, ready := body.(json.RawMessage); ready {
		httpx.WriteRawJSON(w, http.StatusOK, text)
		return nil
	}
	h.json(w, r, http.StatusOK, body)
	return nil
}

// introspectPerson asks, of a person's token that stands, whether its application is
// still open to him, as a refresh would, and whether who impersonates him still may.
func (h *Handler) introspectPerson(ctx context.Context, env tenants.Environment, app tenants.Application, c accessClaims, payload []byte) (any, error) {
	err := h.tenants.CheckApplication(ctx, h.db, app, c.TenantID, c.Subject)
	if errors.Is(err, tenants.ErrNotAssigned) {
		return inactive{}, nil
	}
	if err != nil {
		return nil, err
	}
	if holds, err := h.impersonates(ctx, env, c); err != nil || !holds {
		return inactive{}, err
	}
	return active(payload, tokenType(c.jkt())), nil
}

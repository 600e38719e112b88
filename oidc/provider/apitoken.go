package provider

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/rbac/apitoken"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// apiClaims are those of a token that stands for an API token: a tenant's or a
// person's (product 2.2, 2.3). What is introspected as it was sent lacks the claims
// of a JWT.
type apiClaims struct {
	Issuer       string          `json:"iss"`
	Subject      string          `json:"sub"`
	Audience     string          `json:"aud,omitempty"`
	Expires      int64           `json:"exp,omitempty"`
	IssuedAt     int64           `json:"iat,omitempty"`
	ID           string          `json:"jti,omitempty"`
	ClientID     string          `json:"client_id"`
	Type         string          `json:"type"`
	TenantID     string          `json:"tenantId"`
	TenantIDs    []string        `json:"tenantIds"`
	UserID       string          `json:"userId,omitempty"`
	Email        string          `json:"email,omitempty"`
	Name         string          `json:"name,omitempty"`
	Roles        []string        `json:"roles"`
	Permissions  []string        `json:"permissions"`
	Metadata     json.RawMessage `json:"metadata,omitempty"`
	Confirmation *confirmation   `json:"cnf,omitempty"`
}

func claimsOf(env tenants.Environment, c apitoken.Claims) apiClaims {
	out := apiClaims{
		Issuer: env.BaseURL, Subject: c.Subject, ClientID: c.Subject, Type: c.Type, TenantID: c.Tenant, TenantIDs: []string{c.Tenant},
		UserID: c.UserID, Email: c.Email, Name: c.Name, Roles: append([]string{}, c.Roles...), Permissions: append([]string{}, c.Permissions...), Metadata: c.Metadata,
	}
	if !c.ExpiresAt.IsZero() {
		out.Expires = c.ExpiresAt.Unix()
	}
	return out
}

// isAPIToken reports whether the client that calls is an API token of the kind
// that is exchanged here.
func isAPIToken(clientID string) bool { return strings.HasPrefix(clientID, id.Token+"_") }

// apiTokenGrant exchanges an API token for an access token (product 2.3, 7.4). It
// is made anew at each exchange, so there is no refresh token. aud is the
// application that the parameter audience names, or else the environment's default.
func (h *Handler) apiTokenGrant(ctx context.Context, r *http.Request, env tenants.Environment, c credentials, jkt string, p params) (tokenBody, error) {
	if p["grant_type"] != oidc.GrantClient {
		return tokenBody{}, refuse(oidc.UnauthorizedClient, "API tokens are exchanged by the grant client_credentials.")
	}
	if p["scope"] != "" {
		return tokenBody{}, refuse(oidc.InvalidScope, "API tokens have roles and permissions, and no scopes.")
	}
	found, err := h.apiTokens.Exchange(ctx, h.db, env.ID, c.id, c.secret, httpx.InfoOf(r).IP)
	if fault.KindOf(err) == fault.Unauthenticated {
		return tokenBody{}, &wireError{code: oidc.InvalidClient, description: "The client is unknown or did not authenticate.", basic: c.basic, cause: err}
	}
	if err != nil {
		return tokenBody{}, err
	}
	app, err := h.audience(ctx, env, p["audience"])
	if err != nil {
		return tokenBody{}, err
	}
	now := h.clock.Now()
	end := now.Add(app.Over(env.Settings.TokenSettings).AccessTokenLifetime())
	if !found.ExpiresAt.IsZero() && found.ExpiresAt.Before(end) {
		end = found.ExpiresAt
	}
	claims := claimsOf(env, found)
	claims.Audience, claims.Expires, claims.IssuedAt, claims.ID, claims.Confirmation = found.Subject, end.Unix(), now.Unix(), id.Raw(), confirm(jkt)
	alg := "ES256"
	if app.ID != "" {
		claims.Audience, alg = app.ID, app.AccessTokenAlg
	}
	token, err := h.ring.Sign(ctx, env.ID, alg, oidc.TypeAccessToken, claims)
	return tokenBody{AccessToken: token, TokenType: tokenType(jkt), ExpiresIn: int64(end.Sub(now).Seconds())}, err
}

// audience finds the application that a token is for; none where the environment
// has none.
func (h *Handler) audience(ctx context.Context, env tenants.Environment, named string) (tenants.Application, error) {
	if named == "" {
		app, err := h.tenants.DefaultApplication(ctx, h.db, env.ID)
		if errors.Is(err, tenants.ErrApplicationNotFound) {
			return tenants.Application{}, nil
		}
		return app, err
	}
	app, err := h.tenants.Application(ctx, h.db, env.ID, named)
	if errors.Is(err, tenants.ErrApplicationNotFound) {
		err = refuse(oidc.InvalidTarget, "audience names no application.")
	}
	return app, err
}

// opaque reports whether a token is an API token as it is sent itself.
func opaque(token string) bool {
	return strings.HasPrefix(token, secret.TenantToken+"_") || strings.HasPrefix(token, secret.PersonalToken+"_")
}

// introspectOpaque tells what an API token that was sent as it is stands for
// (RFC 7662). Every confidential client of the environment may ask: the token was
// shown to it.
func (h *Handler) introspectOpaque(ctx context.Context, r *http.Request, env tenants.Environment, token string) (any, error) {
	found, err := h.apiTokens.Resolve(ctx, h.db, env.ID, token, httpx.InfoOf(r).IP)
	if fault.KindOf(err) == fault.Unauthenticated {
		return inactive{}, nil
	}
	if err != nil {
		return nil, err
	}
	return activeAPIToken{Active: true, TokenType: "Bearer", apiClaims: claimsOf(env, found)}, nil
}

// exchanged reads an access token that an API token was exchanged for, and asks
// whether that stands. What it may do is what the API token may now.
func (h *Handler) exchanged(ctx context.Context, env tenants.Environment, payload []byte) (apiClaims, apitoken.Claims, error) {
	var c apiClaims
	if err := json.Unmarshal(payload, &c); err != nil {
		return c, apitoken.Claims{}, errToken.Because(err)
	}
	if c.Issuer != env.BaseURL || h.clock.Now().Unix() >= c.Expires {
		return c, apitoken.Claims{}, errToken
	}
	now, err := h.apiTokens.Issued(ctx, h.db, env.ID, c.Subject)
	if fault.KindOf(err) == fault.Unauthenticated {
		err = errToken.Because(err)
	}
	if err != nil {
		return c, now, err
	}
	if now.Tenant != c.TenantID || now.Type != c.Type || now.UserID != c.UserID {
		return c, now, errToken
	}
	c.Roles, c.Permissions = append([]string{}, now.Roles...), append([]string{}, now.Permissions...)
	return c, now, nil
}

// introspectExchanged tells the application that such a token is for about it; one
// that is for none is everybody's who authenticates.
func (h *Handler) introspectExchanged(ctx context.Context, env tenants.Environment, app tenants.Application, payload []byte) (any, error) {
	c, _, err := h.exchanged(ctx, env, payload)
	if fault.KindOf(err) == fault.Unauthenticated || err == nil && c.Audience != app.ID && c.Audience != c.Subject {
		return inactive{}, nil
	}
	if err != nil {
		return nil, err
	}
	return activeAPIToken{Active: true, TokenType: tokenType(c.Confirmation.thumbprint()), apiClaims: c}, nil
}

// isExchanged reports whether a type claim is of a token that an API token was
// exchanged for.
func isExchanged(kind string) bool {
	return kind == apitoken.TypeTenantCredentials || kind == apitoken.TypeUserCredentials
}

type activeAPIToken struct {
	Active    bool   `json:"active"`
	TokenType string `json:"token_type"`
	apiClaims
}

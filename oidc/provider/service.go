package provider

import (
	"context"
	"encoding/json"

	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// serviceToken is the type claim of tokens that stand for an application of the
// vendor's and for nobody in any tenant.
const serviceToken = "serviceToken"

// serviceClaims are those of a service's access token (RFC 9068 §2.2): it is its
// own subject.
type serviceClaims struct {
	Issuer       string        `json:"iss"`
	Subject      string        `json:"sub"`
	Audience     string        `json:"aud"`
	Expires      int64         `json:"exp"`
	IssuedAt     int64         `json:"iat"`
	ID           string        `json:"jti"`
	ClientID     string        `json:"client_id"`
	Type         string        `json:"type"`
	Confirmation *confirmation `json:"cnf,omitempty"`
}

// serviceGrant gives a service a token of its own (RFC 6749 §4.4). There is no
// refresh token: the service asks again.
func (h *Handler) serviceGrant(ctx context.Context, env tenants.Environment, app tenants.Application, jkt string, p params) (tokenBody, error) {
	if app.Type != tenants.Machine {
		return tokenBody{}, refuse(oidc.UnauthorizedClient, "client_credentials is for applications of the type service.")
	}
	if p["scope"] != "" {
		return tokenBody{}, refuse(oidc.InvalidScope, "A service has no scopes: they speak of a person.")
	}
	now, life := h.clock.Now(), app.Over(env.Settings.TokenSettings).AccessTokenLifetime()
	token, err := h.ring.Sign(ctx, env.ID, app.AccessTokenAlg, oidc.TypeAccessToken, serviceClaims{
		Issuer: env.BaseURL, Subject: app.ID, Audience: app.ID, Expires: now.Add(life).Unix(), IssuedAt: now.Unix(), ID: id.Raw(),
		ClientID: app.ID, Type: serviceToken, Confirmation: confirm(jkt),
	})
	return tokenBody{AccessToken: token, TokenType: tokenType(jkt), ExpiresIn: int64(life.Seconds())}, err
}

// introspectService tells a service about a live token of its own.
func (h *Handler) introspectService(env tenants.Environment, app tenants.Application, payload []byte) (any, error) {
	var c serviceClaims
	if err := json.Unmarshal(payload, &c); err != nil {
		return nil, err
	}
	if app.Type != tenants.Machine || c.Issuer != env.BaseURL || c.ClientID != app.ID || h.clock.Now().Unix() >= c.Expires {
		return inactive{}, nil
	}
	return active(payload, tokenType(c.Confirmation.thumbprint())), nil
}

package provider

import (
	"encoding/json"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// userToken is the type claim of tokens that stand for a person (product 2.2).
const userToken = "userToken"

// identityClaims say who the person is in the active tenant; access and ID
// tokens carry the same.
type identityClaims struct {
	TenantID      string   `json:"tenantId"`
	TenantIDs     []string `json:"tenantIds"`
	Email         string   `json:"email,omitempty"`
	EmailVerified bool     `json:"email_verified"`
	Name          string   `json:"name,omitempty"`
	AMR           []string `json:"amr,omitempty"`
	ACR           string   `json:"acr,omitempty"`
	AuthTime      int64    `json:"auth_time,omitempty"` // absent: the person did not sign in, he is impersonated
	SessionID     string   `json:"sid"`
}

// accessClaims are those of an access token (RFC 9068 §2.2).
type accessClaims struct {
	Issuer       string        `json:"iss"`
	Subject      string        `json:"sub"`
	Audience     string        `json:"aud"`
	Expires      int64         `json:"exp"`
	IssuedAt     int64         `json:"iat"`
	ID           string        `json:"jti"`
	ClientID     string        `json:"client_id"`
	Scope        string        `json:"scope"`
	Type         string        `json:"type"`
	Roles        []string      `json:"roles,omitzero"` // null: left out by choice
	Permissions  []string      `json:"permissions,omitzero"`
	Confirmation *confirmation `json:"cnf,omitempty"`
	Actor        *actClaim     `json:"act,omitempty"`
	// Metadata is what applications keep of the member.
	Metadata json.RawMessage `json:"metadata,omitempty"`
	identityClaims
}

// confirmation is the key that a token is bound to (RFC 9449 §6.1).
type confirmation struct {
	JKT string `json:"jkt"`
}

func confirm(jkt string) *confirmation {
	if jkt == "" {
		return nil
	}
	return &confirmation{jkt}
}

// idClaims are those of an ID token (OpenID Connect Core §2). The audience is a
// single string and session_expiry says when the session ends (IPSIE SL1).
type idClaims struct {
	Issuer          string `json:"iss"`
	Subject         string `json:"sub"`
	Audience        string `json:"aud"`
	Expires         int64  `json:"exp"`
	IssuedAt        int64  `json:"iat"`
	Nonce           string `json:"nonce,omitempty"`
	AccessTokenHash string `json:"at_hash,omitempty"`
	SessionExpiry   int64  `json:"session_expiry,omitempty"`
	identityClaims
}

func (g grant) identity() identityClaims {
	c := identityClaims{
		TenantID: g.proof.Tenant, TenantIDs: g.person.TenantIDs, Email: g.person.Email, EmailVerified: g.person.EmailVerified,
		Name: g.person.Name, AMR: g.proof.AMR, ACR: g.proof.ACR, AuthTime: g.proof.AuthTime.Unix(), SessionID: g.session.ID,
	}
	if g.actor != nil {
		c.TenantIDs = []string{g.proof.Tenant} // an impersonation is of one tenant
	}
	return c
}

func (g grant) accessClaims(env tenants.Environment, now time.Time, life time.Duration) accessClaims {
	roles := make([]string, len(g.roles.Roles))
	for i, r := range g.roles.Roles {
		roles[i] = r.Key
	}
	permissions := g.roles.Permissions
	if permissions == nil {
		permissions = []string{}
	}
	return accessClaims{
		Issuer: env.BaseURL, Subject: g.session.UserID, Audience: g.app.ID, Expires: now.Add(life).Unix(), IssuedAt: now.Unix(), ID: id.Raw(),
		ClientID: g.app.ID, Scope: g.scope, Type: userToken, Roles: roles, Permissions: permissions,
		Metadata: json.RawMessage(g.person.Metadata), Confirmation: confirm(g.jkt), Actor: g.actor, identityClaims: g.identity(),
	}
}

func (g grant) idClaims(env tenants.Environment, now time.Time, life time.Duration) idClaims {
	c := idClaims{
		Issuer: env.BaseURL, Subject: g.session.UserID, Audience: g.app.ID, Expires: now.Add(life).Unix(), IssuedAt: now.Unix(),
		Nonce: g.nonce, identityClaims: g.identity(),
	}
	if end := g.session.End(g.proof); !end.IsZero() {
		c.SessionExpiry = end.Unix()
	}
	return c
}

// jkt is the thumbprint of the key that the token is bound to; empty: to none.
func (c accessClaims) jkt() string { return c.Confirmation.thumbprint() }

// thumbprint of the key; empty where the token is bound to none.
func (c *confirmation) thumbprint() string {
	if c == nil {
		return ""
	}
	return c.JKT
}

// withAdded are claims with those of a template behind them, which are never any of
// the provider's own.
type withAdded struct {
	accessClaims
	added []byte // members of an object, one at least
}

// MarshalJSON implements json.Marshaler.
func (c withAdded) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal(c.accessClaims)
	if err != nil {
		return nil, err
	}
	return append(append(append(text[:len(text)-1], ','), c.added...), '}'), nil
}

// subject is whom a template looks at.
func (g grant) subject() oidc.Subject {
	return oidc.Subject{
		ApplicationID: g.app.ID, ApplicationName: g.app.Name, TenantID: g.proof.Tenant, TenantKey: g.person.TenantKey,
		UserID: g.session.UserID, Email: g.person.Email, EmailVerified: g.person.EmailVerified,
		Name: g.person.Name, FirstName: g.person.FirstName, LastName: g.person.LastName,
		Locale: g.person.Locale, Picture: g.person.Picture, Metadata: g.person.Metadata,
	}
}

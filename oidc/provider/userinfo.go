package provider

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// userinfoBody is the claims about a person that the scope of the access token
// covers (OpenID Connect Core §5.4). address and phone are accepted as scopes,
// but nothing is known of them.
type userinfoBody struct {
	Subject       string   `json:"sub"`
	TenantID      string   `json:"tenantId"`
	TenantIDs     []string `json:"tenantIds"`
	Name          string   `json:"name,omitempty"`
	GivenName     string   `json:"given_name,omitempty"`
	FamilyName    string   `json:"family_name,omitempty"`
	Locale        string   `json:"locale,omitempty"`
	Picture       string   `json:"picture,omitempty"`
	Email         string   `json:"email,omitempty"`
	EmailVerified *bool    `json:"email_verified,omitempty"`
}

func (h *Handler) userinfo(w http.ResponseWriter, r *http.Request, env tenants.Environment, _ actor.Actor) error {
	token, dpop, err := bearer(r)
	if err != nil {
		return err
	}
	if token == "" {
		// Without a token the challenge names no error (RFC 6750 §3.1).
		noStore(w)
		w.Header().Set("WWW-Authenticate", "Bearer")
		w.WriteHeader(http.StatusUnauthorized)
		return nil
	}
	claims, person, err := h.accessToken(r.Context(), env, token)
	if err != nil {
		return err
	}
	if claims.jkt() != "" || dpop {
		// Without its key a bound token is nobody's (RFC 9449 §7.2).
		if err := h.provenKey(w, r, env, claims, token, dpop); err != nil {
			return err
		}
	}
	if !hasScope(claims.Scope, oidc.ScopeOpenID) {
		return refuse(oidc.InsufficientScope, "The token lacks the scope openid.")
	}
	body := userinfoBody{Subject: claims.Subject, TenantID: claims.TenantID, TenantIDs: person.TenantIDs}
	if hasScope(claims.Scope, oidc.ScopeProfile) {
		body.Name, body.GivenName, body.FamilyName = person.Name, person.FirstName, person.LastName
		body.Locale, body.Picture = person.Locale, person.Picture
	}
	if hasScope(claims.Scope, oidc.ScopeEmail) {
		body.Email, body.EmailVerified = person.Email, &person.EmailVerified
	}
	noStore(w)
	h.json(w, r, http.StatusOK, body)
	return nil
}

// provenKey asks for the key that an access token is bound to.
func (h *Handler) provenKey(w http.ResponseWriter, r *http.Request, env tenants.Environment, c accessClaims, token string, dpop bool) error {
	proof, err := h.readProof(r, env, token)
	if err != nil {
		return err
	}
	if !dpop || proof.jkt == "" || proof.jkt != c.jkt() {
		return errToken
	}
	set := env.Settings.TokenSettings
	if app, err := h.tenants.Application(r.Context(), h.db, env.ID, c.ClientID); err == nil {
		set = app.Over(set)
	} else if !errors.Is(err, tenants.ErrApplicationNotFound) {
		return err
	}
	_, err = h.accept(w, r, env, set, proof)
	return err
}

// bearer gives the access token of a request, from the header or the body, not
// from both and never from the address (RFC 6750 §2). dpop tells the scheme of
// tokens that are bound to a key (RFC 9449 §7.1).
func bearer(r *http.Request) (token string, dpop bool, err error) {
	twice := refuse(oidc.InvalidRequest, "The request carries more than one access token.")
	headers := r.Header.Values("Authorization")
	if len(headers) > 1 {
		return "", false, twice
	}
	if len(headers) == 1 {
		scheme, rest, _ := strings.Cut(headers[0], " ")
		dpop = strings.EqualFold(scheme, "DPoP")
		if !dpop && !strings.EqualFold(scheme, "Bearer") || rest == "" {
			return "", false, refuse(oidc.InvalidRequest, "Send the access token as a Bearer token.")
		}
		token = strings.TrimSpace(rest)
	}
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Method != http.MethodPost || err != nil || mediaType != "application/x-www-form-urlencoded" {
		return token, dpop, nil
	}
	text, err := form(r)
	if err != nil {
		return "", false, err
	}
	p, repeated, err := parse(text)
	switch {
	case err != nil:
		return "", false, err
	case len(repeated) > 0 || token != "" && p["access_token"] != "":
		return "", false, twice
	case token == "":
		token = p["access_token"]
	}
	return token, dpop, nil
}

var errToken = fault.New(fault.Unauthenticated, "invalid_token", "The access token is not valid, has expired, or no longer holds.")

// accessToken checks an access token and that what it stands for still holds:
// the session was not ended and the person may still come in. An ID token is
// refused by its type.
func (h *Handler) accessToken(ctx context.Context, env tenants.Environment, token string) (accessClaims, signin.Person, error) {
	c, _, err := h.verified(ctx, env, token)
	if err != nil {
		return accessClaims{}, signin.Person{}, err
	}
	return h.personal(ctx, env, c)
}

// verified checks that an access token is ours and gives its claims and its payload,
// which is shared. Whether it still holds is asked by who knows its type.
func (h *Handler) verified(ctx context.Context, env tenants.Environment, token string) (c accessClaims, payload []byte, err error) {
	if payload, err = h.ring.Payload(ctx, env.ID, token, oidc.TypeAccessToken); err != nil {
		return c, nil, err
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		return c, nil, errToken.Because(err)
	}
	return c, payload, nil
}

// personal is accessToken for claims that are verified.
func (h *Handler) personal(ctx context.Context, env tenants.Environment, c accessClaims) (accessClaims, signin.Person, error) {
	if c.Issuer != env.BaseURL || c.Type != userToken || h.clock.Now().Unix() >= c.Expires {
		return c, signin.Person{}, errToken
	}
	_, proof, err := h.sessions.Granted(ctx, h.db, env.ID, c.TenantID, c.SessionID)
	if errors.Is(err, sessions.ErrNoSession) {
		return c, signin.Person{}, errToken.Because(err)
	}
	if err != nil {
		return c, signin.Person{}, err
	}
	if holds, err := h.impersonates(ctx, env, c); err != nil || !holds {
		return c, signin.Person{}, cmp.Or(err, error(errToken))
	}
	person, err := h.signin.Check(ctx, h.db, env.ID, c.TenantID, c.Subject, proof.Connection)
	if fault.KindOf(err) == fault.Forbidden {
		err = errToken.Because(err)
	}
	if c.Actor != nil {
		person.TenantIDs = c.TenantIDs
	}
	return c, person, err
}

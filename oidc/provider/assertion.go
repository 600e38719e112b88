package provider

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// assertionType says that client_assertion is a JWT (RFC 7523 §2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

const (
	maxJWT = 16 << 10 // bytes of an assertion or a proof
	// assertionLife is how far ahead an assertion's end may lie.
	assertionLife = 5 * time.Minute
	// clockSlack is by how much a client's clock may be ahead of ours.
	clockSlack = 15 * time.Second
	maxJTI     = 256
	maxKeySets = 1000 // of applications, remembered
)

// assertion checks that the client signed the assertion, for us alone, and that
// it was not used before (RFC 7523 §3). The audience is the issuer as the one
// string: an array, or the address of an endpoint, lets another server use it.
func (h *Handler) assertion(ctx context.Context, env tenants.Environment, app tenants.Application, raw string) error {
	deny := func(why string, cause error) error {
		return &wireError{code: oidc.InvalidClient, description: "client_assertion: " + why, cause: cause}
	}
	set, err := h.keysOf(app)
	if err != nil {
		return deny("the client has no usable keys.", err)
	}
	now := h.clock.Now()
	payload, err := verifyJWS(ctx, raw, []string{"", "jwt", "client-authentication+jwt"}, set, now)
	if err != nil {
		return deny("it is not signed with a key of the client.", err)
	}
	var c struct {
		Issuer    string          `json:"iss"`
		Subject   string          `json:"sub"`
		Audience  json.RawMessage `json:"aud"`
		Expires   float64         `json:"exp"`
		IssuedAt  *float64        `json:"iat"`
		NotBefore *float64        `json:"nbf"`
		ID        string          `json:"jti"`
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		return deny("its claims cannot be read.", err)
	}
	var audience string
	later := float64(now.Add(clockSlack).Unix())
	switch {
	case c.Issuer != app.ID || c.Subject != app.ID:
		return deny("iss and sub must be the client_id.", nil)
	case json.Unmarshal(c.Audience, &audience) != nil || audience != env.BaseURL:
		return deny("aud must be the issuer, as one string.", nil)
	case c.Expires <= float64(now.Unix()):
		return deny("it has expired, or has no exp.", nil)
	case c.Expires > float64(now.Add(assertionLife+clockSlack).Unix()):
		return deny("exp must lie within five minutes.", nil)
	case c.IssuedAt != nil && *c.IssuedAt > later || c.NotBefore != nil && *c.NotBefore > later:
		return deny("it is not valid yet.", nil)
	case c.ID == "" || len(c.ID) > maxJTI:
		return deny("jti is missing or too long.", nil)
	}
	first, err := h.firstUse(ctx, env.ID, "assertion", app.ID, c.ID, time.Unix(int64(c.Expires), 0).Add(time.Minute))
	if err == nil && !first {
		err = deny("it was used before.", nil)
	}
	return err
}

// keysOf gives the keys that an application registered, or those at its address,
// which are remembered.
func (h *Handler) keysOf(app tenants.Application) (*oidc.KeySet, error) {
	if app.JWKSURI == "" {
		published, err := oidc.ReadKeys(app.JWKS)
		if err != nil {
			return nil, err
		}
		return oidc.FixedKeys(published.Keys...), nil
	}
	h.keySetsMu.Lock()
	defer h.keySetsMu.Unlock()
	set := h.keySets[app.JWKSURI]
	if set == nil {
		if len(h.keySets) >= maxKeySets {
			clear(h.keySets)
		}
		set = oidc.NewKeySet(app.JWKSURI, h.fetch)
		h.keySets[app.JWKSURI] = set
	}
	return set, nil
}

var (
	errJWSForm = errors.New("not a signed JWT of the type that is wanted")
	errJWSKey  = errors.New("no key, or no single one, fits")
)

// claimedSubject gives the subject that an assertion names, unverified.
func claimedSubject(raw string) string {
	var c struct {
		Subject string `json:"sub"`
	}
	parts := strings.Split(raw, ".")
	if len(raw) > maxJWT || len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &c) != nil {
		return ""
	}
	return c.Subject
}

// header reads a compact JWS of an accepted algorithm and type. No extension is
// understood, so none may be critical (RFC 7515 §4.1.11).
func header(raw string, typs []string) (*jose.JSONWebSignature, jose.Header, error) {
	if len(raw) > maxJWT || strings.Count(raw, ".") != 2 {
		return nil, jose.Header{}, errJWSForm
	}
	jws, err := jose.ParseSignedCompact(raw, oidc.Algorithms)
	if err != nil {
		return nil, jose.Header{}, err
	}
	head := jws.Signatures[0].Protected
	typ, text := head.ExtraHeaders[jose.HeaderType].(string)
	_, given := head.ExtraHeaders[jose.HeaderType]
	_, critical := head.ExtraHeaders["crit"]
	if given && !text || critical || !slices.Contains(typs, strings.TrimPrefix(strings.ToLower(typ), "application/")) {
		return nil, jose.Header{}, errJWSForm
	}
	return jws, head, nil
}

// verifyJWS gives the payload of a token that one of the keys signed. A key may
// have come in the place of another under its id: then the set is asked once more.
func verifyJWS(ctx context.Context, raw string, typs []string, set *oidc.KeySet, now time.Time) ([]byte, error) {
	jws, head, err := header(raw, typs)
	if err != nil {
		return nil, err
	}
	var refused *oidc.Published
	for {
		keys, from, err := set.Find(ctx, head.KeyID, now, refused)
		if err != nil {
			return nil, err
		}
		keys = slices.DeleteFunc(slices.Clone(keys), func(k jose.JSONWebKey) bool { return !oidc.KeyFits(k, jose.SignatureAlgorithm(head.Algorithm)) })
		if len(keys) != 1 || from == refused {
			return nil, errJWSKey
		}
		payload, err := jws.Verify(keys[0].Key)
		if err == nil || refused != nil {
			return payload, err
		}
		refused = from
	}
}

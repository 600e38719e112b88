package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Claims is what an access token says.
type Claims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"` // usr_…, or tok_… of an API token
	Audience  Audience `json:"aud"`
	Expires   int64    `json:"exp"` // unix seconds
	IssuedAt  int64    `json:"iat"`
	NotBefore int64    `json:"nbf"`
	ID        string   `json:"jti"`
	ClientID  string   `json:"client_id"`
	Scope     string   `json:"scope"`
	Session   string   `json:"sid"`
	// Type is userToken, userApiToken, tenantApiToken, userAccessToken or tenantAccessToken.
	Type          string         `json:"type"`
	TenantID      string         `json:"tenantId"`  // the one that the token is for
	TenantIDs     []string       `json:"tenantIds"` // all that the person belongs to
	Roles         []string       `json:"roles"`     // keys
	Permissions   []string       `json:"permissions"`
	Email         string         `json:"email"`
	EmailVerified bool           `json:"email_verified"`
	Name          string         `json:"name"`
	AMR           []string       `json:"amr"`
	ACR           string         `json:"acr"`
	AuthTime      int64          `json:"auth_time"`
	UserID        string         `json:"userId"`   // of a personal API token
	Metadata      map[string]any `json:"metadata"` // of an API token
	// Actor is the vendor's person who acts as Subject (RFC 8693 §4.1); nil: nobody does.
	Actor *struct {
		Subject string `json:"sub"`
		Email   string `json:"email"`
	} `json:"act"`
}

// HasPermission reports whether a held permission covers the key (see [Covers]).
func (c Claims) HasPermission(key string) bool { return covered(c.Permissions, key) }

// HasRole reports whether the token has the role with that key.
func (c Claims) HasRole(key string) bool { return slices.Contains(c.Roles, key) }

// Audience is one or several (RFC 7519 §4.1.3).
type Audience []string

// UnmarshalJSON implements json.Unmarshaler.
func (a *Audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = Audience{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

// VerifierConfig says whose tokens are taken.
type VerifierConfig struct {
	Issuer string // base URL of the environment
	// Audience is the client id of the application that the tokens are for.
	Audience string
	// Leeway is what clocks may differ by; 30 s when 0, at most 5 min.
	Leeway time.Duration
	HTTP   *http.Client     // asks the issuer; nil: one that gives up after 10 s
	Now    func() time.Time // nil: time.Now
}

// Verifier checks access tokens. It is safe for concurrent use, and there should be
// one of an issuer: it remembers the issuer's keys.
type Verifier struct {
	config VerifierConfig
	keys   *keySet
}

// NewVerifier makes a verifier. It asks nothing yet.
func NewVerifier(c VerifierConfig) (*Verifier, error) {
	issuer, err := checkBase(c.Issuer)
	if err != nil {
		return nil, err
	}
	if c.Audience == "" {
		return nil, errors.New("client: a verifier needs the audience, or it would take tokens that are for others")
	}
	if c.Leeway == 0 {
		c.Leeway = 30 * time.Second
	}
	if c.Leeway < 0 || c.Leeway > 5*time.Minute {
		return nil, errors.New("client: the leeway is 0 to 5 minutes")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.HTTP == nil {
		c.HTTP = newHTTP(10 * time.Second)
	}
	c.Issuer = issuer
	return &Verifier{config: c, keys: &keySet{issuer: issuer, http: c.HTTP, now: c.Now}}, nil
}

// ErrToken says that a token is not good, for whatever reason; errors.Is finds it.
// The text of an error names the reason, for the log.
var ErrToken = errors.New("client: the access token is not valid")

type tokenError string

func (e tokenError) Error() string        { return ErrToken.Error() + ": " + string(e) }
func (e tokenError) Is(target error) bool { return target == ErrToken }

// algorithms are all that Gatehouse signs with. There is no symmetric one, and no
// none (RFC 8725 §3.1).
var algorithms = []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.EdDSA}

// maxToken bounds a token in bytes.
const maxToken = 32 << 10

// Verify checks an access token: its type (RFC 9068 §4), its signature by a key that
// the issuer publishes, issuer, audience and times. Errors: [ErrToken], or another
// when the issuer's keys cannot be read.
func (v *Verifier) Verify(ctx context.Context, token string) (Claims, error) {
	var c Claims
	if len(token) > maxToken {
		return c, tokenError("it is too long")
	}
	jws, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		return c, tokenError("it is no JWT, or signed in a way that is not taken")
	}
	header := jws.Signatures[0].Protected
	// An ID token proves a login to its client, and opens nothing.
	typ, _ := header.ExtraHeaders[jose.HeaderType].(string)
	if typ = strings.TrimPrefix(strings.ToLower(typ), "application/"); typ != "at+jwt" {
		return c, tokenError("its typ is not at+jwt")
	}
	if header.KeyID == "" {
		return c, tokenError("it names no key")
	}
	key, err := v.keys.find(ctx, header.KeyID)
	if err != nil {
		return c, err
	}
	if key == nil {
		return c, tokenError("the issuer has no such key")
	}
	if key.Algorithm != header.Algorithm {
		return c, tokenError("its key is for another algorithm")
	}
	payload, err := jws.Verify(key)
	if err != nil {
		return c, tokenError("its signature is wrong")
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		return Claims{}, tokenError("its claims cannot be read")
	}
	now, leeway := v.config.Now().Unix(), int64(v.config.Leeway/time.Second)
	switch {
	case c.Issuer != v.config.Issuer:
		err = tokenError("it has another issuer")
	case !slices.Contains(c.Audience, v.config.Audience):
		err = tokenError("it is for another application")
	case c.Expires == 0 || now >= c.Expires+leeway:
		err = tokenError("it has expired")
	case c.NotBefore > now+leeway || c.IssuedAt > now+leeway:
		err = tokenError("it is not valid yet")
	case c.Subject == "" || c.TenantID == "":
		err = tokenError("it stands for nobody")
	}
	if err != nil {
		return Claims{}, err
	}
	return c, nil
}

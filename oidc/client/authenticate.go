package client

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"

	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// assertionTime is how long a client assertion holds: it is used at once.
const assertionTime = time.Minute

var errClientKey = refuse("OIDC_CLIENT_KEY", "The connection has no key to prove itself with. Create one, and register its address with the identity provider.")

// config is the connection as an OAuth client, without its proof.
func (h *Handler) config(q request, p *provider) oauth2.Config {
	return oauth2.Config{
		ClientID: q.conn.OIDC.ClientID, RedirectURL: q.redirect, Scopes: q.conn.OIDC.Scopes,
		Endpoint: oauth2.Endpoint{AuthURL: p.auth, TokenURL: p.token, AuthStyle: oauth2.AuthStyleInParams},
	}
}

// authenticate adds how the client proves itself at the token endpoint: by the
// connection's method, or by what discovery says (OpenID Connect Core §9).
// Identifier and secret are form-encoded in HTTP Basic too (RFC 6749 §2.3.1);
// for providers that do not decode them there is client_secret_post.
func (h *Handler) authenticate(ctx context.Context, q request, p *provider, config *oauth2.Config) ([]oauth2.AuthCodeOption, error) {
	method := q.conn.OIDC.AuthMethod
	if method == tenants.AuthPrivateKeyJWT {
		assertion, err := h.assertion(ctx, q, p)
		if err != nil {
			return nil, err
		}
		return []oauth2.AuthCodeOption{
			oauth2.SetAuthURLParam("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
			oauth2.SetAuthURLParam("client_assertion", assertion),
		}, nil
	}
	clientSecret, err := q.secret()
	if err != nil || clientSecret == "" || method == tenants.AuthNone {
		return nil, err // a public client names itself in the body
	}
	config.ClientSecret = clientSecret
	onlyPost := slices.Contains(p.authMethods, tenants.AuthPost) && !slices.Contains(p.authMethods, tenants.AuthBasic)
	if method == tenants.AuthBasic || method == "" && !onlyPost {
		config.Endpoint.AuthStyle = oauth2.AuthStyleInHeader
	}
	return nil, nil
}

// assertion is a client assertion (RFC 7523 §2.2, §3). Its audience is the
// issuer's name alone: one that named an address could be carried from one
// provider to another.
func (h *Handler) assertion(ctx context.Context, q request, p *provider) (string, error) {
	list, err := h.tenants.SPKeys(ctx, h.db, q.conn.Tenant, q.conn.ID)
	if err != nil {
		return "", err
	}
	n := slices.IndexFunc(list, func(k tenants.SPKey) bool { return k.State == tenants.SPKeyActive })
	if n < 0 {
		return "", errClientKey
	}
	key, err := h.tenants.SPPrivateKey(q.conn.Tenant, q.conn.ID, list[n])
	if err != nil {
		return "", err
	}
	cert, err := certificate(list[n])
	if err != nil {
		return "", err
	}
	thumbprint := sha256.Sum256(cert.Raw)
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", list[n].ID).
		WithHeader("x5t#S256", base64.RawURLEncoding.EncodeToString(thumbprint[:]))
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, options)
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(map[string]any{
		"iss": q.conn.OIDC.ClientID, "sub": q.conn.OIDC.ClientID, "aud": p.issuer, "jti": secret.Random(),
		"iat": q.now.Unix(), "exp": q.now.Add(assertionTime).Unix(),
	})
	if err != nil {
		return "", err
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return jws.CompactSerialize()
}

func certificate(k tenants.SPKey) (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(k.CertificatePEM))
	if block == nil {
		return nil, fmt.Errorf("key %s: its certificate is not PEM", k.ID)
	}
	return x509.ParseCertificate(block.Bytes)
}

// jwks publishes our keys at the connection: the active one, the next one before
// it signs, and those retired, whose last assertions may still be on their way.
func (h *Handler) jwks(w http.ResponseWriter, r *http.Request, q request) error {
	list, err := h.tenants.SPKeys(r.Context(), h.db, q.conn.Tenant, q.conn.ID)
	if err != nil {
		return err
	}
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range list {
		cert, err := certificate(k)
		if err != nil {
			return err
		}
		thumbprint := sha256.Sum256(cert.Raw)
		set.Keys = append(set.Keys, jose.JSONWebKey{
			Key: cert.PublicKey, KeyID: k.ID, Algorithm: string(jose.RS256), Use: "sig", CertificateThumbprintSHA256: thumbprint[:],
		})
	}
	body, err := json.Marshal(set)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	etag := `"` + hex.EncodeToString(sum[:16]) + `"`
	header := w.Header()
	header.Set("Content-Type", "application/jwk-set+json")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "public, max-age=300")
	header.Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	_, _ = w.Write(body) // the client may have gone away
	return nil
}

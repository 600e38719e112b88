package idp_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"

	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
)

const callback = "https://gw.example/oidc/sso_2/callback"

var (
	confidential = idp.Client{ID: "client:1", Secret: "p%w d/+", RedirectURIs: []string{callback}}
	publicClient = idp.Client{ID: "spa"}
)

// relyingParty is an independent client: coreos/go-oidc with x/oauth2.
type relyingParty struct {
	provider *gooidc.Provider
	config   oauth2.Config
	http     *http.Client
	verifier string
}

func newRP(t *testing.T, i *idp.IdP, c *http.Client, client idp.Client, style oauth2.AuthStyle) *relyingParty {
	t.Helper()
	ctx := gooidc.ClientContext(t.Context(), c)
	provider, err := gooidc.NewProvider(ctx, i.Issuer())
	if err != nil {
		t.Fatal(err)
	}
	endpoint := provider.Endpoint()
	endpoint.AuthStyle = style
	return &relyingParty{
		provider: provider, http: c, verifier: oauth2.GenerateVerifier(),
		config: oauth2.Config{ClientID: client.ID, ClientSecret: client.Secret, RedirectURL: callback, Endpoint: endpoint, Scopes: []string{"openid", "email", "profile"}},
	}
}

func (rp *relyingParty) start() string {
	return rp.config.AuthCodeURL("st&ate", oauth2.S256ChallengeOption(rp.verifier), gooidc.Nonce("n0nce"))
}

func (rp *relyingParty) redeem(t *testing.T, code string, opts ...oauth2.AuthCodeOption) (*oauth2.Token, error) {
	t.Helper()
	return rp.config.Exchange(gooidc.ClientContext(t.Context(), rp.http), code, append(opts, oauth2.VerifierOption(rp.verifier))...)
}

func (rp *relyingParty) verify(t *testing.T, tok *oauth2.Token) (*gooidc.IDToken, error) {
	t.Helper()
	raw, _ := tok.Extra("id_token").(string)
	return rp.provider.Verifier(&gooidc.Config{ClientID: rp.config.ClientID}).Verify(gooidc.ClientContext(t.Context(), rp.http), raw)
}

func location(t *testing.T, a answer) url.Values {
	t.Helper()
	if a.status != http.StatusSeeOther || !strings.HasPrefix(a.header.Get("Location"), callback+"?") {
		t.Fatalf("%d to %s\n%s", a.status, a.header.Get("Location"), a.body)
	}
	u := mustURL(t, a.header.Get("Location"))
	return u.Query()
}

func TestCodeLogin(t *testing.T) {
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		i, c := serve(t, idp.Config{OIDCAlg: alg, Clients: []idp.Client{confidential, publicClient}})
		for _, client := range []idp.Client{confidential, publicClient} {
			for _, style := range []oauth2.AuthStyle{oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams} {
				rp := newRP(t, i, c, client, style)
				q := location(t, choose(t, i, c, do(t, c, "GET", rp.start(), nil), url.Values{"person": {ada.ID}}))
				if q.Get("state") != "st&ate" || q.Get("iss") != i.Issuer() {
					t.Errorf("response %v", q)
				}
				tok, err := rp.redeem(t, q.Get("code"))
				if err != nil {
					t.Fatalf("%s %s: %v", alg, client.ID, err)
				}
				id, err := rp.verify(t, tok)
				if err != nil {
					t.Fatal(err)
				}
				if err := id.VerifyAccessToken(tok.AccessToken); err != nil {
					t.Error(err)
				}
				var claims map[string]any
				if err := id.Claims(&claims); err != nil {
					t.Fatal(err)
				}
				for name, want := range map[string]any{
					"sub": ada.ID, "email": ada.Email, "email_verified": true, "given_name": "Ada", "family_name": "Lovelace", "name": "Ada Lovelace", "nonce": "n0nce",
				} {
					if claims[name] != want {
						t.Errorf("%s = %v, want %v", name, claims[name], want)
					}
				}
				if groups, _ := claims["groups"].([]any); len(groups) != 2 || claims["amr"] == nil || claims["auth_time"] == nil {
					t.Errorf("claims %v", claims)
				}
				info, err := rp.provider.UserInfo(gooidc.ClientContext(t.Context(), c), oauth2.StaticTokenSource(tok))
				if err != nil || info.Subject != ada.ID || info.Email != ada.Email || !info.EmailVerified {
					t.Errorf("userinfo %+v, %v", info, err)
				}
				if _, err := rp.redeem(t, q.Get("code")); err == nil {
					t.Error("the code was redeemed twice")
				}
			}
		}
	}
}

func TestTokenEndpointRefuses(t *testing.T) {
	i, c := serve(t, idp.Config{AutoLogin: true, Clients: []idp.Client{confidential, publicClient, {ID: "other", Secret: "s"}}})
	rp := newRP(t, i, c, confidential, oauth2.AuthStyleInHeader)
	code := func() string { return location(t, do(t, c, "GET", rp.start(), nil)).Get("code") }

	if _, err := rp.redeem(t, code(), oauth2.SetAuthURLParam("redirect_uri", "https://other")); err == nil {
		t.Error("other redirect_uri")
	}
	good := rp.verifier
	rp.verifier = oauth2.GenerateVerifier()
	c1 := location(t, do(t, c, "GET", strings.Replace(rp.start(), oauth2.S256ChallengeFromVerifier(rp.verifier), oauth2.S256ChallengeFromVerifier(good), 1), nil)).Get("code")
	if _, err := rp.redeem(t, c1); err == nil {
		t.Error("other verifier")
	}
	stranger := newRP(t, i, c, idp.Client{ID: "other", Secret: "s"}, oauth2.AuthStyleInHeader)
	stranger.verifier = rp.verifier
	if _, err := stranger.redeem(t, code()); err == nil {
		t.Error("another client's code")
	}
	wrong := newRP(t, i, c, idp.Client{ID: confidential.ID, Secret: "wrong"}, oauth2.AuthStyleInHeader)
	wrong.verifier = rp.verifier
	if _, err := wrong.redeem(t, code()); err == nil || !strings.Contains(err.Error(), "invalid_client") {
		t.Errorf("wrong secret: %v", err)
	}
	if got := do(t, c, "POST", i.Issuer()+"/oidc/token", url.Values{"client_id": {"spa"}, "grant_type": {"password"}}); !strings.Contains(got.body, "unsupported_grant_type") {
		t.Errorf("grant type: %s", got.body)
	}
	if got := do(t, c, "GET", i.Issuer()+"/oidc/userinfo", nil); got.status != http.StatusUnauthorized {
		t.Errorf("userinfo without token: %d", got.status)
	}
}

func TestAuthorizeRefuses(t *testing.T) {
	i, c := serve(t, idp.Config{Clients: []idp.Client{confidential, publicClient}})
	base := url.Values{"client_id": {confidential.ID}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid"}, "state": {"s"}}
	ask := func(change map[string]string) answer {
		q := maps.Clone(base)
		for k, v := range change {
			q[k] = []string{v}
		}
		return do(t, c, "GET", i.Issuer()+"/oidc/authorize?"+q.Encode(), nil)
	}
	if got := ask(nil); got.status != http.StatusOK {
		t.Fatalf("the good request: %d", got.status)
	}
	for _, change := range []map[string]string{
		{"client_id": "nobody"},
		{"redirect_uri": callback + "/x"},
		{"redirect_uri": ""},
		{"client_id": "spa", "redirect_uri": "javascript:alert(1)"},
	} {
		if got := ask(change); got.status != http.StatusBadRequest {
			t.Errorf("%v: %d, and it must not redirect", change, got.status)
		}
	}
	for want, change := range map[string]map[string]string{
		"unsupported_response_type": {"response_type": "token"},
		"invalid_scope":             {"scope": "email"},
		"invalid_request":           {"code_challenge": "x", "code_challenge_method": "plain"},
		"login_required":            {"prompt": "none"},
	} {
		if q := location(t, ask(change)); q.Get("error") != want || q.Get("state") != "s" {
			t.Errorf("%v: %v", change, q)
		}
	}
	if got := ask(map[string]string{"client_id": "spa"}); location(t, got).Get("error") != "invalid_request" {
		t.Errorf("a public client without PKCE: %v", got.header)
	}
}

func TestFormPost(t *testing.T) {
	i, c := serve(t, idp.Config{AutoLogin: true, Clients: []idp.Client{confidential}})
	rp := newRP(t, i, c, confidential, oauth2.AuthStyleInHeader)
	page := do(t, c, "GET", rp.start()+"&response_mode=form_post&login_hint="+url.QueryEscape(ben.Email), nil)
	action, fields, err := idp.ReadForm(strings.NewReader(page.body))
	if err != nil || action != callback || fields.Get("state") != "st&ate" {
		t.Fatalf("%s %v %v", action, fields, err)
	}
	tok, err := rp.redeem(t, fields.Get("code"))
	if err != nil {
		t.Fatal(err)
	}
	if id, err := rp.verify(t, tok); err != nil || id.Subject != ben.ID {
		t.Errorf("%+v, %v", id, err)
	}
}

func TestPrivateKeyJWT(t *testing.T) {
	keys := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: rsaK.Public(), KeyID: "k", Algorithm: "RS256"}}}
	client := idp.Client{ID: "pkj", RedirectURIs: []string{callback}, Keys: &keys}
	i, c := serve(t, idp.Config{AutoLogin: true, Clients: []idp.Client{client}})
	rp := newRP(t, i, c, client, oauth2.AuthStyleInParams)
	redeem := func(key any, change func(*jwt.Claims)) error {
		claims := jwt.Claims{Issuer: "pkj", Subject: "pkj", ID: "j1", Audience: jwt.Audience{i.Issuer()}, Expiry: jwt.NewNumericDate(time.Now().Add(time.Minute))}
		change(&claims)
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		assertion, err := jwt.Signed(signer).Claims(claims).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		code := location(t, do(t, c, "GET", rp.start(), nil)).Get("code")
		_, err = rp.redeem(t, code, oauth2.SetAuthURLParam("client_assertion", assertion),
			oauth2.SetAuthURLParam("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"))
		return err
	}
	if err := redeem(rsaK, func(*jwt.Claims) {}); err != nil {
		t.Errorf("good assertion: %v", err)
	}
	for name, change := range map[string]func(*jwt.Claims){
		"audience": func(c *jwt.Claims) { c.Audience = jwt.Audience{"https://other"} },
		"expired":  func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(time.Now().Add(-time.Hour)) },
		"no end":   func(c *jwt.Claims) { c.Expiry = nil },
		"subject":  func(c *jwt.Claims) { c.Subject = "other" },
		"no jti":   func(c *jwt.Claims) { c.ID = "" },
	} {
		if redeem(rsaK, change) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if redeem(mustRSA(), func(*jwt.Claims) {}) == nil {
		t.Error("another key: accepted")
	}
}

func claimsOf(t *testing.T, token string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("token %q", token)
	}
	for n, v := range []*map[string]any{&header, &claims} {
		data, err := base64.RawURLEncoding.DecodeString(parts[n])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, v); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

// What the token says follows the knobs, and go-oidc refuses what it checks.
func TestTokenKnobs(t *testing.T) {
	i, c := serve(t, idp.Config{Clients: []idp.Client{confidential}})
	ctx := gooidc.ClientContext(t.Context(), c)
	provider, err := gooidc.NewProvider(ctx, i.Issuer())
	if err != nil {
		t.Fatal(err)
	}
	verifier := provider.Verifier(&gooidc.Config{ClientID: confidential.ID})
	has := func(name string, want any) func(h, c map[string]any) bool {
		return func(_, c map[string]any) bool {
			v, ok := c[name]
			return ok == (want != nil) && (want == nil || v == want)
		}
	}
	header := func(name string, want any) func(h, c map[string]any) bool {
		return func(h, _ map[string]any) bool {
			v, ok := h[name]
			return ok == (want != nil) && (want == nil || v == want)
		}
	}
	for name, c := range map[string]struct {
		k       idp.OIDCKnobs
		refused bool
		check   func(header, claims map[string]any) bool
	}{
		"good":           {idp.OIDCKnobs{}, false, has("nonce", "n")},
		"alg none":       {idp.OIDCKnobs{Alg: "none"}, true, header("alg", "none")},
		"alg NoNe":       {idp.OIDCKnobs{Alg: "NoNe"}, true, header("alg", "NoNe")},
		"hs256":          {idp.OIDCKnobs{Alg: "HS256"}, true, header("alg", "HS256")},
		"wrong alg name": {idp.OIDCKnobs{Alg: "ES256"}, true, header("alg", "ES256")},
		"kid unknown":    {idp.OIDCKnobs{KID: "unknown"}, true, header("kid", "unknown")},
		"kid absent":     {idp.OIDCKnobs{KID: idp.Omit}, false, header("kid", nil)},
		"issuer":         {idp.OIDCKnobs{Issuer: "https://other"}, true, has("iss", "https://other")},
		"no issuer":      {idp.OIDCKnobs{Issuer: idp.Omit}, true, has("iss", nil)},
		"audience":       {idp.OIDCKnobs{Audience: "other"}, true, has("aud", "other")},
		"no audience":    {idp.OIDCKnobs{Audience: idp.Omit}, true, has("aud", nil)},
		"audiences": {idp.OIDCKnobs{Audience: []string{confidential.ID, "other"}, AZP: "other"}, false, func(_, c map[string]any) bool {
			aud, _ := c["aud"].([]any)
			return len(aud) == 2 && c["azp"] == "other"
		}},
		"nonce":       {idp.OIDCKnobs{Nonce: "other"}, false, has("nonce", "other")},
		"no nonce":    {idp.OIDCKnobs{Nonce: idp.Omit}, false, has("nonce", nil)},
		"no subject":  {idp.OIDCKnobs{Subject: idp.Omit}, false, has("sub", nil)},
		"expired":     {idp.OIDCKnobs{TimeShift: -time.Hour}, true, has("sub", ada.ID)},
		"claims":      {idp.OIDCKnobs{MutateClaims: func(c map[string]any) { c["email_verified"] = false }}, false, has("email_verified", false)},
		"header":      {idp.OIDCKnobs{MutateHeader: func(h map[string]any) { h["crit"] = []string{"x"}; h["x"] = 1 }}, true, header("x", float64(1))},
		"long lived":  {idp.OIDCKnobs{Lifetime: time.Hour * 10000}, false, has("sub", ada.ID)},
		"hs256 other": {idp.OIDCKnobs{Alg: "HS256", HMACKey: []byte("k")}, true, header("alg", "HS256")},
	} {
		token, err := i.IDToken(confidential.ID, ada, "n", c.k)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := verifier.Verify(ctx, token); (err != nil) != c.refused {
			t.Errorf("%s: go-oidc says %v", name, err)
		}
		h, claims := claimsOf(t, token)
		if !c.check(h, claims) {
			t.Errorf("%s: %v %v", name, h, claims)
		}
	}
	logout, err := i.SignJWT("logout+jwt", map[string]any{"iss": i.Issuer()})
	if err != nil {
		t.Fatal(err)
	}
	if h, _ := claimsOf(t, logout); h["typ"] != "logout+jwt" {
		t.Errorf("header %v", h)
	}
}

func TestKeyRotation(t *testing.T) {
	i, c := serve(t, idp.Config{OIDCAlg: "ES256", Clients: []idp.Client{confidential}})
	ctx := gooidc.ClientContext(t.Context(), c)
	kids := func() []string {
		var set jose.JSONWebKeySet
		if err := json.Unmarshal([]byte(do(t, c, "GET", i.Issuer()+"/oidc/jwks", nil).body), &set); err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, k := range set.Keys {
			if !k.IsPublic() {
				t.Error("a private key is published")
			}
			out = append(out, k.KeyID)
		}
		return out
	}
	provider, err := gooidc.NewProvider(ctx, i.Issuer())
	if err != nil {
		t.Fatal(err)
	}
	verifier := provider.Verifier(&gooidc.Config{ClientID: confidential.ID})
	old, err := i.IDToken(confidential.ID, ada, "", idp.OIDCKnobs{})
	if err != nil {
		t.Fatal(err)
	}
	first := kids()
	for _, keep := range []bool{true, false} {
		if err := i.RotateOIDCKey(keep); err != nil {
			t.Fatal(err)
		}
		token, err := i.IDToken(confidential.ID, ada, "", idp.OIDCKnobs{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := verifier.Verify(ctx, token); err != nil {
			t.Errorf("keep %t: %v", keep, err)
		}
		if got := kids(); slices.Contains(got, first[0]) != keep {
			t.Errorf("keep %t: %v of %v", keep, got, first)
		}
	}
	if _, err := verifier.Verify(ctx, old); err == nil {
		t.Error("a token of the dropped key is accepted")
	}
	i.SetOIDCKnobs(idp.OIDCKnobs{KID: idp.Omit})
	if got := kids(); got[0] != "" {
		t.Errorf("kid %v", got)
	}
}

func TestEndpointKnobs(t *testing.T) {
	i, c := serve(t, idp.Config{AutoLogin: true, Clients: []idp.Client{confidential}})
	rp := newRP(t, i, c, confidential, oauth2.AuthStyleInHeader)

	i.SetOIDCKnobs(idp.OIDCKnobs{State: "other", ResponseIssuer: idp.Omit})
	if q := location(t, do(t, c, "GET", rp.start(), nil)); q.Get("state") != "other" || q.Has("iss") {
		t.Errorf("%v", q)
	}
	i.SetOIDCKnobs(idp.OIDCKnobs{Error: "access_denied", ErrorDescription: "no", ResponseIssuer: "https://other"})
	if q := location(t, do(t, c, "GET", rp.start(), nil)); q.Get("error") != "access_denied" || q.Get("error_description") != "no" || q.Get("iss") != "https://other" || q.Has("code") {
		t.Errorf("%v", q)
	}
	i.SetOIDCKnobs(idp.OIDCKnobs{UserinfoSubject: "somebody", MutateUserinfo: func(m map[string]any) { m["x"] = 1 }})
	tok, err := rp.redeem(t, location(t, do(t, c, "GET", rp.start(), nil)).Get("code"))
	if err != nil {
		t.Fatal(err)
	}
	info, err := rp.provider.UserInfo(gooidc.ClientContext(t.Context(), c), oauth2.StaticTokenSource(tok))
	if err != nil || info.Subject != "somebody" {
		t.Errorf("%+v, %v", info, err)
	}
	i.SetOIDCKnobs(idp.OIDCKnobs{TokenError: "server_error"})
	if _, err := rp.redeem(t, "x"); err == nil || !strings.Contains(err.Error(), "server_error") {
		t.Errorf("token error: %v", err)
	}
	i.SetOIDCKnobs(idp.OIDCKnobs{DiscoveryIssuer: "https://other", MutateDiscovery: func(m map[string]any) { m["x"] = 1 }})
	if _, err := gooidc.NewProvider(gooidc.ClientContext(t.Context(), c), i.Issuer()); err == nil {
		t.Error("another issuer in the discovery document is accepted")
	}

	discovery := i.Issuer() + "/.well-known/openid-configuration"
	i.SetOIDCKnobs(idp.OIDCKnobs{Endpoints: map[string]idp.Fault{
		"discovery": {RedirectTo: "http://169.254.169.254/"}, "jwks": {Huge: 3 << 20}, "token": {Status: 503, Body: "down"}, "userinfo": {Delay: time.Hour},
	}})
	if got := do(t, c, "GET", discovery, nil); got.status != http.StatusFound || got.header.Get("Location") != "http://169.254.169.254/" {
		t.Errorf("redirect: %d %v", got.status, got.header)
	}
	if got := do(t, c, "GET", i.Issuer()+"/oidc/jwks", nil); len(got.body) != 3<<20 || !json.Valid([]byte(got.body)) {
		t.Errorf("huge: %d bytes", len(got.body))
	}
	if got := do(t, c, "POST", i.Issuer()+"/oidc/token", url.Values{}); got.status != 503 || got.body != "down" {
		t.Errorf("status: %d %q", got.status, got.body)
	}
	slow := *c
	slow.Timeout = 20 * time.Millisecond
	resp, err := slow.Get(i.Issuer() + "/oidc/userinfo")
	if err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		t.Error("the slow endpoint answered")
	}
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]idp.Config{
		"no base":   {},
		"scheme":    {BaseURL: "ftp://x"},
		"slash":     {BaseURL: "https://x/"},
		"query":     {BaseURL: "https://x?y"},
		"algorithm": {BaseURL: "https://x", SAMLKey: rsaK, OIDCAlg: "PS256"},
	} {
		if _, err := idp.New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// The left half of the digest, checked here against the specification's words.
func TestAtHashIsLeftHalf(t *testing.T) {
	i, c := serve(t, idp.Config{AutoLogin: true, OIDCAlg: "ES256", Clients: []idp.Client{confidential}})
	rp := newRP(t, i, c, confidential, oauth2.AuthStyleInHeader)
	tok, err := rp.redeem(t, location(t, do(t, c, "GET", rp.start(), nil)).Get("code"))
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := tok.Extra("id_token").(string)
	_, claims := claimsOf(t, raw)
	sum := sha256.Sum256([]byte(tok.AccessToken))
	if want := base64.RawURLEncoding.EncodeToString(sum[:16]); claims["at_hash"] != want {
		t.Errorf("at_hash %v, want %s", claims["at_hash"], want)
	}
}

package provider

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// An independent relying party goes through the whole flow, for each algorithm.
func TestIndependentRelyingParty(t *testing.T) {
	each(t, func(w *world) {
		for _, alg := range keys.Algorithms {
			app, secret := w.application(tenants.NewApplication{Name: alg, Type: tenants.Web, ApplicationSettings: tenants.ApplicationSettings{
				RedirectURIs: []string{callback}, RequirePKCE: true, IDTokenAlg: alg,
			}})
			b := w.browser()
			ctx := gooidc.ClientContext(w.ctx(), w.server.Client())
			op, err := gooidc.NewProvider(ctx, w.server.URL)
			if err != nil {
				w.Fatal(err)
			}
			rp := oauth2.Config{ClientID: app.ID, ClientSecret: secret, Endpoint: op.Endpoint(), RedirectURL: callback, Scopes: []string{"openid", "profile", "email", "offline_access"}}
			pkce := oauth2.GenerateVerifier()
			address := rp.AuthCodeURL("state", oauth2.S256ChallengeOption(pkce), gooidc.Nonce("nonce"))
			_, q := b.location(b.get(b.login(b.get(strings.TrimPrefix(address, w.server.URL)), b.identity("ada@acme.com"))))
			if q.Get("state") != "state" || q.Get("iss") != w.server.URL {
				w.Fatalf("answer %v", q)
			}
			tok, err := rp.Exchange(ctx, q.Get("code"), oauth2.VerifierOption(pkce))
			if err != nil {
				w.Fatal(err)
			}
			raw, _ := tok.Extra("id_token").(string)
			id, err := op.VerifierContext(ctx, &gooidc.Config{ClientID: app.ID, Now: w.clock.Now, SupportedSigningAlgs: []string{alg}}).Verify(ctx, raw)
			if err != nil {
				w.Fatal(alg, err)
			}
			if id.Nonce != "nonce" || id.VerifyAccessToken(tok.AccessToken) != nil {
				w.Errorf("%s: nonce %q, at_hash %v", alg, id.Nonce, id.VerifyAccessToken(tok.AccessToken))
			}
			info, err := op.UserInfo(ctx, oauth2.StaticTokenSource(tok))
			if err != nil {
				w.Fatal(err)
			}
			if info.Subject != id.Subject || info.Email != "ada@acme.com" || !info.EmailVerified {
				w.Errorf("%s: userinfo %+v", alg, info)
			}
			tok.Expiry = w.clock.Now().Add(-time.Hour)
			again, err := rp.TokenSource(ctx, &oauth2.Token{RefreshToken: tok.RefreshToken}).Token()
			if err != nil || again.RefreshToken == tok.RefreshToken {
				w.Errorf("%s: refresh: %v", alg, err)
			}
		}
	})
}

// Tokens as contract 5 says.
func TestTokens(t *testing.T) {
	each(t, func(w *world) {
		w.role("engineer", "engineering", "fe.secure.read.users")
		b := w.browser()
		got := b.signedIn("ada@acme.com")
		if got.Type != "Bearer" || got.Expires != 600 || got.Scope != "openid profile email offline_access" || got.Refresh == "" || got.Header.Get("Access-Control-Allow-Origin") != "*" {
			w.Errorf("%s", got.body)
		}
		access, id := w.part(got.Access, 1), w.part(got.ID, 1)
		if head := w.part(got.Access, 0); head["typ"] != "at+jwt" || head["alg"] != "ES256" || head["kid"] == "" {
			w.Errorf("access token header %v", head)
		}
		if head := w.part(got.ID, 0); head["typ"] != "JWT" {
			w.Errorf("ID token header %v", head)
		}
		now := float64(start.Unix())
		for name, want := range map[string]any{
			"iss": w.server.URL, "aud": w.app.ID, "client_id": w.app.ID, "scope": got.Scope, "type": "userToken", "tenantId": w.acme.ID,
			"email": "ada@acme.com", "email_verified": true, "name": "Ada Lovelace", "acr": "urn:mace:incommon:iap:silver",
			"iat": now, "exp": now + 600, "auth_time": now,
		} {
			if access[name] != want {
				w.Errorf("access token: %s is %v, want %v", name, access[name], want)
			}
		}
		for name, want := range map[string]any{
			"iss": w.server.URL, "aud": w.app.ID, "sub": access["sub"], "sid": access["sid"], "nonce": "n-1", "email": "ada@acme.com", "email_verified": true,
			"name": "Ada Lovelace", "tenantId": w.acme.ID, "auth_time": now, "exp": now + 600, "acr": "urn:mace:incommon:iap:silver",
			"at_hash": keys.LeftHash("ES256", got.Access), "session_expiry": float64(start.Add(sessionLife(w)).Unix()),
		} {
			if id[name] != want {
				w.Errorf("ID token: %s is %v, want %v", name, id[name], want)
			}
		}
		for _, name := range []string{"sub", "sid", "jti"} {
			if s, _ := access[name].(string); s == "" {
				w.Errorf("access token: no %s", name)
			}
		}
		if !holds(access["roles"], "engineer") || !holds(access["permissions"], "fe.secure.read.users") || !holds(access["tenantIds"], w.acme.ID) || !holds(access["amr"], "pwd") || !holds(id["amr"], "pwd") {
			w.Errorf("lists of %v", access)
		}
		for _, name := range []string{"roles", "permissions"} {
			if _, ok := id[name]; ok {
				w.Errorf("the ID token carries %s", name)
			}
		}
		second := b.refresh(got.Refresh)
		refreshed := w.part(second.ID, 1)
		if refreshed["sub"] != id["sub"] || refreshed["auth_time"] != id["auth_time"] || refreshed["sid"] != id["sid"] || refreshed["nonce"] != nil {
			w.Errorf("ID token after refresh: %v", refreshed) // OpenID Connect Core §12.2
		}
	})
}

// sessionLife is how long the session of this world lasts, as its own row says.
func sessionLife(w *world) time.Duration {
	w.Helper()
	var expires db.Time
	if err := w.db.QueryRow(w.ctx(), `SELECT MAX(expires_at) FROM sessions`).Scan(&expires); err != nil {
		w.Fatal(err)
	}
	return expires.Sub(start)
}

func holds(list any, s string) bool {
	l, _ := list.([]any)
	return slices.Contains(l, any(s))
}

// The modules of oidcc-basic-certification-test-plan (sso 8) that are not
// covered by a test of their own.
func TestOIDCCBasic(t *testing.T) {
	each(t, func(w *world) {
		app, secret := w.application(tenants.NewApplication{Name: "basic", Type: tenants.Web, ApplicationSettings: tenants.ApplicationSettings{
			RedirectURIs: []string{callback}, IDTokenAlg: keys.RS256,
		}})
		w.app, w.secret = app, secret
		plain := map[string]string{"code_challenge": "", "code_challenge_method": ""} // the suite uses no PKCE
		with := func(changes map[string]string) map[string]string {
			m := map[string]string{"code_challenge": "", "code_challenge_method": ""}
			for k, v := range changes {
				m[k] = v
			}
			return m
		}
		redeem := func(b *browser, code string, edit ...func(*http.Request)) tokens {
			return b.token(url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}}, edit...)
		}
		ok := func(t *testing.T, changes map[string]string) tokens {
			t.Helper()
			b := w.browser()
			got := redeem(b, b.code(with(changes), "ada@acme.com"))
			if got.StatusCode != http.StatusOK || got.ID == "" {
				t.Fatalf("status %d: %s", got.StatusCode, got.body)
			}
			return got
		}
		refused := func(t *testing.T, changes map[string]string, want string) {
			t.Helper()
			b := w.browser()
			to, q := b.location(b.get(w.ask(with(changes))))
			if to != callback || q.Get("error") != want || q.Get("iss") != w.server.URL || q.Get("code") != "" {
				t.Errorf("%s %v, want %s", to, q, want)
			}
		}
		run := func(name string, f func(t *testing.T)) {
			w.TB.(*testing.T).Run(name, f)
		}
		run("oidcc-server", func(t *testing.T) { ok(t, nil) })
		run("oidcc-response-type-missing", func(t *testing.T) {
			refused(t, map[string]string{"response_type": ""}, oidc.InvalidRequest)
		})
		run("oidcc-idtoken-signature", func(t *testing.T) {
			got := ok(t, nil)
			if w.part(got.ID, 0)["alg"] != "RS256" || w.ring.Verify(w.ctx(), w.env.ID, got.ID, "JWT", &idClaims{}) != nil {
				t.Error("not signed with RS256")
			}
		})
		run("oidcc-ensure-request-without-nonce-succeeds-for-code-flow", func(t *testing.T) {
			if got := ok(t, map[string]string{"nonce": ""}); w.part(got.ID, 1)["nonce"] != nil {
				t.Error("a nonce from nowhere")
			}
		})
		for scope, claims := range map[string][]string{
			"profile": {"name", "given_name", "family_name"}, "email": {"email", "email_verified"}, "address": nil, "phone": nil,
			"profile email address phone": {"name", "given_name", "family_name", "email", "email_verified"},
		} {
			run("oidcc-scope "+scope, func(t *testing.T) {
				got := ok(t, map[string]string{"scope": "openid " + scope})
				r := w.browser().userinfo(got.Access)
				var info map[string]any
				if err := json.Unmarshal([]byte(r.body), &info); err != nil || r.StatusCode != http.StatusOK {
					t.Fatal(r.StatusCode, r.body)
				}
				if info["sub"] != w.part(got.ID, 1)["sub"] {
					t.Errorf("sub %v", info["sub"])
				}
				for _, c := range []string{"name", "given_name", "family_name", "email", "email_verified"} {
					if _, has := info[c]; has != slices.Contains(claims, c) {
						t.Errorf("%s: %v in %s", c, has, r.body)
					}
				}
			})
		}
		for name, changes := range map[string]map[string]string{
			"oidcc-display-page":  {"display": "page"},
			"oidcc-display-popup": {"display": "popup"},
			"oidcc-ensure-request-with-unknown-parameter-succeeds": {"extra": "foobar"},
			"oidcc-ui-locales":                              {"ui_locales": "se"},
			"oidcc-claims-locales":                          {"claims_locales": "se"},
			"oidcc-login-hint":                              {"login_hint": "ada@acme.com"},
			"oidcc-ensure-request-with-acr-values-succeeds": {"acr_values": "1 2"},
			"oidcc-claims-essential":                        {"claims": `{"userinfo":{"name":{"essential":true}}}`},
			"oidcc-ensure-request-with-valid-pkce-succeeds": {"code_challenge": "", "scope": "openid"},
			"scopes in another order, one unknown":          {"scope": "email custom openid"},
			"prompt consent":                                {"prompt": "consent"},
			"a long nonce and state":                        {"nonce": strings.Repeat("n", 500), "state": strings.Repeat("s", 4000)},
		} {
			run(name, func(t *testing.T) { ok(t, changes) })
		}
		run("oidcc-userinfo-get, -post-header, -post-body", func(t *testing.T) {
			got := ok(t, nil)
			b := w.browser()
			if r := b.userinfo(got.Access); r.StatusCode != http.StatusOK {
				t.Error("GET", r.body)
			}
			if r := b.post("/oauth2/userinfo", nil, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+got.Access) }); r.StatusCode != http.StatusOK {
				t.Error("POST header", r.body)
			}
			if r := b.post("/oauth2/userinfo", url.Values{"access_token": {got.Access}}); r.StatusCode != http.StatusOK {
				t.Error("POST body", r.body)
			}
		})
		run("oidcc-prompt-none-not-logged-in", func(t *testing.T) {
			refused(t, map[string]string{"prompt": "none"}, oidc.LoginRequired)
		})
		run("oidcc-prompt-none-logged-in, oidcc-id-token-hint", func(t *testing.T) {
			b := w.browser()
			first := redeem(b, b.code(plain, "ada@acme.com"))
			w.clock.Advance(time.Second)
			_, q := b.location(b.get(w.ask(with(map[string]string{"prompt": "none", "id_token_hint": first.ID}))))
			second := redeem(b, q.Get("code"))
			one, two := w.part(first.ID, 1), w.part(second.ID, 1)
			if one["sub"] != two["sub"] || one["auth_time"] != two["auth_time"] || one["sid"] != two["sid"] {
				t.Errorf("%v\n%v", one, two)
			}
		})
		run("oidcc-prompt-login, oidcc-max-age-1", func(t *testing.T) {
			for _, changes := range []map[string]string{{"prompt": "login"}, {"max_age": "1"}, {"max_age": "0"}, {"prompt": "select_account"}} {
				b := w.browser()
				first := redeem(b, b.code(plain, "ada@acme.com"))
				w.clock.Advance(2 * time.Second)
				second := redeem(b, b.code(with(changes), "ada@acme.com"))
				if one, two := w.part(first.ID, 1), w.part(second.ID, 1); one["sub"] != two["sub"] || two["auth_time"].(float64) <= one["auth_time"].(float64) {
					t.Errorf("%v: %v then %v", changes, one["auth_time"], two["auth_time"])
				}
			}
		})
		run("oidcc-max-age-10000", func(t *testing.T) {
			b := w.browser()
			b.code(plain, "ada@acme.com")
			w.clock.Advance(2 * time.Second)
			if to, q := b.location(b.get(w.ask(with(map[string]string{"max_age": "10000"})))); to != callback || q.Get("code") == "" {
				t.Errorf("%s %v", to, q)
			}
		})
		run("oidcc-codereuse, oidcc-codereuse-30seconds", func(t *testing.T) {
			for _, wait := range []time.Duration{0, 31 * time.Second} {
				b := w.browser()
				code := b.code(with(map[string]string{"scope": "openid offline_access"}), "ada@acme.com")
				first := redeem(b, code)
				w.clock.Advance(wait)
				if again := redeem(b, code); again.StatusCode != http.StatusBadRequest || again.Error != oidc.InvalidGrant {
					t.Errorf("second use: %d %s", again.StatusCode, again.body)
				}
				if r := b.refresh(first.Refresh); r.Error != oidc.InvalidGrant {
					t.Errorf("refresh token after reuse: %s", r.body)
				}
			}
		})
		run("oidcc-ensure-post-request-succeeds", func(t *testing.T) {
			b := w.browser()
			u, err := url.Parse(w.ask(plain))
			if err != nil {
				t.Fatal(err)
			}
			r := b.post("/oauth2/authorize", u.Query())
			to, q := b.location(r)
			if to != "/oauth2/authorize" {
				t.Fatalf("to %s", to)
			}
			if _, q = b.location(b.get(b.login(b.get(to+"?"+q.Encode()), w.identity("ada@acme.com")))); q.Get("code") == "" {
				t.Errorf("%v", q)
			}
		})
		run("oidcc-server-client-secret-post", func(t *testing.T) {
			b := w.browser()
			got := b.token(url.Values{
				"grant_type": {"authorization_code"}, "code": {b.code(plain, "ada@acme.com")}, "redirect_uri": {callback},
				"client_id": {app.ID}, "client_secret": {secret},
			}, func(*http.Request) {})
			if got.StatusCode != http.StatusOK {
				t.Error(got.body)
			}
		})
		run("oidcc-request-uri-unsigned", func(t *testing.T) {
			refused(t, map[string]string{"request_uri": "https://app.example.com/r"}, oidc.RequestURINotSupported)
		})
		run("oidcc-unsigned-request-object", func(t *testing.T) {
			refused(t, map[string]string{"request": "eyJhbGciOiJub25lIn0.e30."}, oidc.RequestNotSupported)
		})
		run("oidcc-refresh-token", func(t *testing.T) {
			b := w.browser()
			first := redeem(b, b.code(with(map[string]string{"scope": "openid offline_access"}), "ada@acme.com"))
			if second := b.refresh(first.Refresh); second.StatusCode != http.StatusOK || second.ID == "" || second.Refresh == first.Refresh {
				t.Error(second.body)
			}
			if without := ok(t, map[string]string{"scope": "openid"}); without.Refresh != "" {
				t.Error("a refresh token without offline_access")
			}
		})
	})
}

func TestOIDCCDiscovery(t *testing.T) {
	each(t, func(w *world) {
		b := w.browser()
		one, two := b.get("/.well-known/openid-configuration"), b.get("/.well-known/oauth-authorization-server")
		if one.StatusCode != http.StatusOK || one.body != two.body || one.Header.Get("Content-Type") != "application/json" {
			w.Fatalf("%d %s", one.StatusCode, one.body)
		}
		var m map[string]any
		if err := json.Unmarshal([]byte(one.body), &m); err != nil {
			w.Fatal(err)
		}
		if m["issuer"] != w.server.URL || !holds(m["code_challenge_methods_supported"], "S256") || holds(m["code_challenge_methods_supported"], "plain") ||
			m["authorization_response_iss_parameter_supported"] != true || !holds(m["response_types_supported"], "code") || m["backchannel_logout_session_supported"] != true {
			w.Errorf("%s", one.body)
		}
		for name, v := range m {
			address, ok := v.(string)
			if !ok || name == "issuer" {
				continue
			}
			path, ok := strings.CutPrefix(address, w.server.URL)
			if !ok {
				w.Errorf("%s is %s", name, address)
				continue
			}
			if r := b.get(path); r.StatusCode == http.StatusNotFound {
				w.Errorf("%s is not there: %s", name, path)
			}
		}
		keySet := b.get("/oauth2/jwks")
		if keySet.StatusCode != http.StatusOK || strings.Contains(keySet.body, `"d":`) {
			w.Errorf("%s", keySet.body)
		}
		for _, path := range []string{"/.well-known/openid-configuration", "/oauth2/jwks"} {
			r, err := http.NewRequest(http.MethodGet, w.server.URL+path, nil)
			if err != nil {
				w.Fatal(err)
			}
			r.Header.Set("If-None-Match", b.get(path).Header.Get("ETag"))
			if again := b.do(r); again.StatusCode != http.StatusNotModified || again.body != "" {
				w.Errorf("%s again: %d", path, again.StatusCode)
			}
		}
		// The issuer never comes from a header (ZITADEL CVE-2025-64101).
		r, err := http.NewRequest(http.MethodGet, w.server.URL+"/.well-known/openid-configuration", nil)
		if err != nil {
			w.Fatal(err)
		}
		for _, h := range []string{"X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Original-Host"} {
			r.Header.Set(h, "evil.example")
		}
		if poisoned := b.do(r); poisoned.body != one.body {
			w.Errorf("poisoned: %s", poisoned.body)
		}
		r.Host = "evil.example"
		if foreign := b.do(r); foreign.StatusCode == http.StatusOK {
			w.Errorf("another host: %s", foreign.body)
		}
	})
}

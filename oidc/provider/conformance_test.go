package provider

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/keys"
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

// oidcc-config-certification-test-plan, and what else the document must say.
func TestOIDCCDiscovery(t *testing.T) {
	each(t, func(w *world) {
		m := w.plan("oidcc-config-certification-test-plan")
		m.run("DiscoveryEndpointVerification", func(*testing.T) { w.verifyDiscovery() })
		m.end()
	})
}

func (w *world) verifyDiscovery() {
	w.Helper()
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
}

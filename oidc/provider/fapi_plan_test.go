package provider

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/tenants"
)

func TestFAPI2SecurityProfile(t *testing.T) {
	each(t, func(w *world) {
		m := w.plan("fapi2-security-profile-final-test-plan")
		p := fapiParty{w.fapi(), newKey(w)}
		m.run("DiscoveryEndpointVerification", func(t *testing.T) {
			d := describe(w.env)
			if d.PushEndpoint == "" || len(d.DPoPAlgs) == 0 || len(d.TokenAuthAlgs) == 0 || !d.IssParameter || !slices.Equal(d.ChallengeMethods, []string{"S256"}) ||
				!slices.Contains(d.TokenAuthMethods, tenants.AuthPrivateKeyJWT) || slices.Contains(d.DPoPAlgs, "none") || slices.Contains(d.TokenAuthAlgs, "HS256") {
				t.Errorf("%+v", d)
			}
		})
		p.requests(m)
		p.pushes(m)
		p.refusedPushes(m)
		p.codes(m)
		p.proofs(m)
		m.end()
	})
}

// fapiParty has a key for its proofs as well.
type fapiParty struct {
	party
	holder *ecdsa.PrivateKey
}

func (p fapiParty) changed(changes url.Values) url.Values {
	form := p.request()
	maps.Copy(form, changes)
	return form
}

func (p fapiParty) tokenProof(changes ...claims) func(*http.Request) {
	return dpop(p.proof(p.holder, "/oauth2/token", changes...))
}

// arrive pushes the request, signs Ada in and gives what the application receives.
func (p fapiParty) arrive(form url.Values) url.Values {
	p.Helper()
	r := p.push(p.authenticated(form))
	if r.StatusCode != http.StatusCreated {
		p.Fatalf("%d %s", r.StatusCode, r.body)
	}
	at := p.get(p.open(r.URI))
	to, q := p.location(at)
	if to != callback {
		_, q = p.location(p.get(p.login(at, p.identity("ada@acme.com"))))
	}
	return q
}

// happy is the whole flow.
func (p fapiParty) happy(form url.Values) tokens {
	p.Helper()
	q := p.arrive(form)
	if q.Get("iss") != p.server.URL || q.Get("state") != form.Get("state") {
		p.Errorf("answer %v", q)
	}
	got := p.redeem(q.Get("code"), p.tokenProof())
	if got.StatusCode != http.StatusOK || got.Type != "DPoP" {
		p.Fatalf("%d %s", got.StatusCode, got.body)
	}
	if nonce, _ := p.part(got.ID, 1)["nonce"].(string); nonce != form.Get("nonce") {
		p.Errorf("nonce %q", nonce)
	}
	return got
}

// asks gives the status of a resource to a request with the token and its proof.
func (p fapiParty) asks(scheme, token string) int {
	p.Helper()
	sum := sha256.Sum256([]byte(token))
	r, err := http.NewRequest(http.MethodGet, p.server.URL+"/oauth2/userinfo", nil)
	if err != nil {
		p.Fatal(err)
	}
	r.Header.Set("Authorization", scheme+" "+token)
	if scheme != "Bearer" {
		r.Header.Set("DPoP", p.proof(p.holder, "/oauth2/userinfo", claims{"htm": "GET", "ath": base64.RawURLEncoding.EncodeToString(sum[:])}))
	}
	return p.do(r).StatusCode
}

func (p fapiParty) requests(m *modules) {
	m.run("HappyFlow", func(t *testing.T) {
		got := p.happy(p.request())
		if cnf, _ := p.part(got.Access, 1)["cnf"].(map[string]any); cnf["jkt"] != thumbprint(t, p.holder) || p.asks("DPoP", got.Access) != http.StatusOK {
			t.Errorf("cnf %v", cnf)
		}
	})
	m.run("AccessTokenTypeHeaderCaseSensitivity", func(t *testing.T) {
		got := p.happy(p.request())
		for _, scheme := range []string{"DPoP", "dpop", "DPOP"} {
			if status := p.asks(scheme, got.Access); status != http.StatusOK {
				t.Errorf("%s: %d", scheme, status)
			}
		}
	})
	m.run("HolderOfKeyRequired", func(t *testing.T) {
		got := p.redeem(p.arrive(p.request()).Get("code"), func(*http.Request) {})
		if got.Error != oidc.InvalidDPoPProof || got.Access != "" {
			t.Errorf("%d %s", got.StatusCode, got.body)
		}
		if status := p.asks("Bearer", p.happy(p.request()).Access); status != http.StatusUnauthorized {
			t.Errorf("as a bearer token: %d", status)
		}
	})
	for name, changes := range map[string]url.Values{
		"64CharNonce": {"nonce": {strings.Repeat("n", 64)}}, "LongNonce": {"nonce": {strings.Repeat("n", 384)}}, "LongState": {"state": {strings.Repeat("s", 4000)}},
		"WithoutNonce": {"nonce": nil}, "WithoutState": {"state": nil}, "OtherScopeOrder": {"scope": {"offline_access openid"}},
	} {
		m.run(name, func(*testing.T) { p.happy(p.changed(changes)) })
	}
	m.run("RefreshToken", func(t *testing.T) {
		first := p.happy(p.request())
		second := p.token(p.authenticated(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.Refresh}}), p.tokenProof())
		if second.StatusCode != http.StatusOK || second.Type != "DPoP" || p.asks("DPoP", second.Access) != http.StatusOK {
			t.Errorf("%d %s", second.StatusCode, second.body)
		}
		other := p.fapi() // another client, with a good assertion of its own
		if r := other.token(other.authenticated(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {second.Refresh}}), p.tokenProof()); r.Error != oidc.InvalidGrant {
			t.Errorf("another client: %d %s", r.StatusCode, r.body)
		}
	})
	m.run("UserRejectsAuthentication", func(t *testing.T) {
		b := p.browser.world.browser()
		pushed := p.push(p.authenticated(p.request()))
		_, q := b.location(b.get(p.open(pushed.URI)))
		cancel := "/oauth2/authorize?cancel=" + q.Get("flow")
		thief := p.browser.world.browser()
		thief.get(p.ask(nil))
		if r := thief.get(cancel); r.StatusCode != http.StatusForbidden || r.Header.Get("Location") != "" {
			t.Errorf("another browser: %d %s", r.StatusCode, r.body)
		}
		to, q := b.location(b.get(cancel))
		if to != callback || q.Get("error") != oidc.AccessDenied || q.Get("state") != "s" || q.Get("iss") != p.server.URL || q.Get("code") != "" {
			t.Errorf("%s %v", to, q)
		}
	})
}

func (p fapiParty) pushes(m *modules) {
	gone := func(t *testing.T, path string) {
		t.Helper()
		if r := p.get(path); r.StatusCode != http.StatusBadRequest || !strings.Contains(r.body, "PAGE "+oidc.InvalidRequestURI) {
			t.Errorf("%d %s", r.StatusCode, r.body)
		}
	}
	m.run("PARAttemptReuseRequestUri", func(t *testing.T) {
		r := p.push(p.authenticated(p.request()))
		if first := p.get(p.open(r.URI)); first.StatusCode != http.StatusSeeOther {
			t.Errorf("first use: %d %s", first.StatusCode, first.body)
		}
		gone(t, p.open(r.URI))
	})
	m.run("PARAttemptToUseExpiredRequestUri", func(t *testing.T) {
		r := p.push(p.authenticated(p.request()))
		p.clock.Advance(time.Duration(r.Expires) * time.Second)
		gone(t, p.open(r.URI))
	})
	m.run("RedirectUriInAuthorizationRequest", func(t *testing.T) {
		// What the browser adds beside request_uri does not count (RFC 9126 §4).
		b := p.browser.world.browser()
		r := p.push(p.authenticated(p.request()))
		at := b.get(p.open(r.URI) + "&redirect_uri=" + url.QueryEscape("https://evil.example/cb"))
		if to, q := b.location(b.get(b.login(at, p.identity("ada@acme.com")))); to != callback || q.Get("code") == "" {
			t.Errorf("%s %v", to, q)
		}
	})
	m.run("UnsignedAuthorizationRequestWithoutUsingPar", func(t *testing.T) {
		if to, q := p.location(p.get("/oauth2/authorize?" + p.request().Encode())); to != callback || q.Get("error") != oidc.InvalidRequest || q.Get("code") != "" {
			t.Errorf("%s %v", to, q)
		}
	})
	m.run("PARRejectInvalidHttpVerb", func(t *testing.T) {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			r, err := http.NewRequest(method, p.server.URL+"/oauth2/par?"+p.request().Encode(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if a := p.do(r); a.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("%s: %d", method, a.StatusCode)
			}
		}
	})
	for name, audience := range map[string]any{
		"PAREndpointArrayAudienceFails":   []string{p.server.URL, p.server.URL + "/oauth2/par"},
		"PAREndpointAsArrayAudienceFails": []string{p.server.URL + "/oauth2/par"},
		"PAREndpointAsAudienceFails":      p.server.URL + "/oauth2/par",
		"PARTokenEndpointAsAudienceFails": p.server.URL + "/oauth2/token",
	} {
		m.run(name, func(t *testing.T) {
			if r := p.push(p.authenticated(p.request(), claims{"aud": audience})); r.StatusCode != http.StatusUnauthorized || r.Error != oidc.InvalidClient {
				t.Errorf("%d %s", r.StatusCode, r.body)
			}
		})
	}
}

func (p fapiParty) refusedPushes(m *modules) {
	for name, c := range map[string]struct {
		changes url.Values
		want    string
	}{
		"PARRejectRequestUriInParAuthorizationFormParams": {url.Values{"request_uri": {requestURI + "x"}}, oidc.InvalidRequest},
		"ParWithoutDuplicateParameters":                   {url.Values{"scope": {"openid", "openid"}}, oidc.InvalidRequest},
		"PAREnsurePKCERequired":                           {url.Values{"code_challenge": nil, "code_challenge_method": nil}, oidc.InvalidRequest},
		"PARPlainPKCERejected":                            {url.Values{"code_challenge_method": {"plain"}, "code_challenge": {verifier}}, oidc.InvalidRequest},
		"ResponseTypeCodeIdToken":                         {url.Values{"response_type": {"code id_token"}}, oidc.UnsupportedResponseType},
		"ResponseTypeToken":                               {url.Values{"response_type": {"token"}}, oidc.UnsupportedResponseType},
		"RegisteredRedirectUri":                           {url.Values{"redirect_uri": {callback + "/unregistered"}}, oidc.InvalidRequest},
	} {
		m.run(name, func(t *testing.T) {
			if r := p.push(p.authenticated(p.changed(c.changes))); r.StatusCode != http.StatusBadRequest || r.Error != c.want || r.URI != "" {
				t.Errorf("%d %s", r.StatusCode, r.body)
			}
		})
	}
}

func (p fapiParty) codes(m *modules) {
	redeem := func(verifier string) tokens {
		p.Helper()
		form := url.Values{"grant_type": {"authorization_code"}, "code": {p.arrive(p.request()).Get("code")}, "redirect_uri": {callback}}
		if verifier != "" {
			form.Set("code_verifier", verifier)
		}
		return p.token(p.authenticated(form), p.tokenProof())
	}
	refused := func(t *testing.T, r tokens) {
		t.Helper()
		if r.StatusCode != http.StatusBadRequest || r.Error != oidc.InvalidGrant || r.Access != "" {
			t.Errorf("%d %s", r.StatusCode, r.body)
		}
	}
	m.run("PAREnsurePKCECodeVerifierRequired", func(t *testing.T) { refused(t, redeem("")) })
	m.run("PARIncorrectPKCECodeVerifierRejected", func(t *testing.T) { refused(t, redeem(strings.Repeat("v", 43))) })
	m.run("AttemptReuseAuthorizationCodeAfterOneSecond", func(t *testing.T) {
		code := p.arrive(p.request()).Get("code")
		first := p.redeem(code, p.tokenProof())
		p.clock.Advance(time.Second)
		refused(t, p.redeem(code, p.tokenProof()))
		refused(t, p.token(p.authenticated(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.Refresh}}), p.tokenProof()))
	})
	m.run("AttemptToUseExpiredAuthCode", func(t *testing.T) {
		code := p.arrive(p.request()).Get("code")
		p.clock.Advance(61 * time.Second)
		refused(t, p.redeem(code, p.tokenProof()))
	})
}

func (p fapiParty) proofs(m *modules) {
	at := func(d time.Duration) int64 { return p.clock.Now().Add(d).Unix() }
	// try shows a proof and gives the error; invalid_grant is that of its refresh token.
	try := func(edit func(*http.Request)) string {
		p.Helper()
		return p.token(p.authenticated(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}), edit).Error
	}
	m.run("DpopProofWithIat10SecondsBefore", func(t *testing.T) {
		if got := try(p.tokenProof(claims{"iat": at(-10 * time.Second)})); got != oidc.InvalidGrant {
			t.Error(got)
		}
	})
	m.run("DpopProofWithIat10SecondsAfter", func(t *testing.T) {
		if got := try(p.tokenProof(claims{"iat": at(10 * time.Second)})); got != oidc.InvalidGrant {
			t.Error(got)
		}
	})
	m.run("CheckDpopProofNbfExp", func(t *testing.T) {
		if got := try(p.tokenProof(claims{"nbf": at(0), "exp": at(time.Minute)})); got != oidc.InvalidGrant {
			t.Errorf("within both: %s", got)
		}
		for name, c := range map[string]claims{"exp": {"exp": at(-8 * time.Hour)}, "nbf": {"nbf": at(8 * time.Hour)}} {
			if got := try(p.tokenProof(c)); got != oidc.InvalidDPoPProof {
				t.Errorf("%s: %s", name, got)
			}
		}
	})
	m.run("DpopNegativeTests", func(t *testing.T) {
		for name, c := range map[string]claims{
			"htm": {"htm": "GET"}, "htu": {"htu": p.server.URL + "/oauth2/par"}, "no htu": {"htu": nil}, "no htm": {"htm": nil}, "no jti": {"jti": nil}, "no iat": {"iat": nil},
			"old": {"iat": at(-2 * time.Minute)}, "ahead": {"iat": at(time.Minute)},
		} {
			if got := try(p.tokenProof(c)); got != oidc.InvalidDPoPProof {
				t.Errorf("%s: %s", name, got)
			}
		}
		for _, alg := range []jose.SignatureAlgorithm{jose.HS256, jose.HS512} {
			s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: []byte(strings.Repeat("k", 64))}, (&jose.SignerOptions{}).WithType("dpop+jwt").
				WithHeader("jwk", jose.JSONWebKey{Key: p.holder.Public()}))
			if err != nil {
				t.Fatal(err)
			}
			jws, err := s.Sign([]byte(`{}`))
			if err != nil {
				t.Fatal(err)
			}
			compact, err := jws.CompactSerialize()
			if err != nil {
				t.Fatal(err)
			}
			if got := try(dpop(compact)); got != oidc.InvalidDPoPProof {
				t.Errorf("%s: %s", alg, got)
			}
		}
	})
	bind := func() string {
		p.Helper()
		return p.code(p.changed(url.Values{"dpop_jkt": {thumbprint(p, p.holder)}}))
	}
	m.run("EnsureDpopAuthCodeBindingSuccess", func(t *testing.T) {
		if r := p.redeem(bind(), p.tokenProof()); r.StatusCode != http.StatusOK {
			t.Errorf("%d %s", r.StatusCode, r.body)
		}
	})
	m.run("DpopProofAtParEndpointBinding", func(t *testing.T) {
		push := func() string { return p.code(p.request(), dpop(p.proof(p.holder, "/oauth2/par"))) }
		if r := p.redeem(push(), p.tokenProof()); r.StatusCode != http.StatusOK {
			t.Errorf("%d %s", r.StatusCode, r.body)
		}
		if r := p.redeem(push(), dpop(p.proof(newKey(t), "/oauth2/token"))); r.Error != oidc.InvalidDPoPProof {
			t.Errorf("another key: %d %s", r.StatusCode, r.body)
		}
	})
	m.run("MismatchedDpopJkt", func(t *testing.T) {
		form := p.changed(url.Values{"dpop_jkt": {thumbprint(t, newKey(t))}})
		if r := p.push(p.authenticated(form), dpop(p.proof(p.holder, "/oauth2/par"))); r.Error != oidc.InvalidDPoPProof {
			t.Errorf("at the push: %d %s", r.StatusCode, r.body)
		}
		if r := p.redeem(bind(), dpop(p.proof(newKey(t), "/oauth2/token"))); r.Error != oidc.InvalidDPoPProof {
			t.Errorf("at the token endpoint: %d %s", r.StatusCode, r.body)
		}
	})
}

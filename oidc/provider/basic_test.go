package provider

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/tenants"
)

func TestOIDCCBasic(t *testing.T) {
	each(t, func(w *world) {
		m := w.plan("oidcc-basic-certification-test-plan")
		basic{w, nil}.modules(m)
		m.end()
	})
}

func TestOIDCCFormPostBasic(t *testing.T) {
	each(t, func(w *world) {
		m := w.plan("oidcc-formpost-basic-certification-test-plan")
		basic{w, map[string]string{"response_mode": "form_post"}}.modules(m)
		m.end()
	})
}

// basic is the relying party of the basic plans: without PKCE, and with what every
// request of the plan carries.
type basic struct {
	*world
	always map[string]string
}

func (p basic) with(changes map[string]string) map[string]string {
	all := map[string]string{"code_challenge": "", "code_challenge_method": ""}
	maps.Copy(all, p.always)
	maps.Copy(all, changes)
	return all
}

func (p basic) redeem(b *browser, code string, edit ...func(*http.Request)) tokens {
	p.Helper()
	return b.token(url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}}, edit...)
}

// again asks once more, in a browser that is signed in.
func (p basic) again(b *browser, changes map[string]string) tokens {
	p.Helper()
	to, q := b.answer(b.get(p.ask(p.with(changes))))
	if to != callback || q.Get("code") == "" {
		p.Fatalf("%s %v", to, q)
	}
	return p.redeem(b, q.Get("code"))
}

func (p basic) ok(b *browser, changes map[string]string) tokens {
	p.Helper()
	got := p.redeem(b, b.code(p.with(changes), "ada@acme.com"))
	if got.StatusCode != http.StatusOK || got.ID == "" {
		p.Fatalf("status %d: %s", got.StatusCode, got.body)
	}
	return got
}

func (p basic) refused(changes map[string]string, want string) {
	p.Helper()
	b := p.browser()
	to, q := b.answer(b.get(p.ask(p.with(changes))))
	if to != callback || q.Get("error") != want || q.Get("iss") != p.server.URL || q.Get("state") != "st&te=1" || q.Get("code") != "" {
		p.Errorf("%s %v, want %s", to, q, want)
	}
}

func (p basic) claims(access string) map[string]any {
	p.Helper()
	r := p.browser().userinfo(access)
	var info map[string]any
	if err := json.Unmarshal([]byte(r.body), &info); err != nil || r.StatusCode != http.StatusOK {
		p.Fatal(r.StatusCode, r.body)
	}
	return info
}

func (p basic) modules(m *modules) {
	app, secret := p.application(tenants.NewApplication{Name: "basic", Type: tenants.Web, ApplicationSettings: tenants.ApplicationSettings{
		RedirectURIs: []string{callback, callback + "2"}, IDTokenAlg: keys.RS256,
	}})
	p.app, p.secret = app, secret
	for name, changes := range map[string]map[string]string{
		"Server":             nil,
		"AlternateHappyFlow": {"scope": "email openid custom", "prompt": "consent", "display": "touch"},
		"DisplayPage":        {"display": "page"},
		"DisplayPopup":       {"display": "popup"},
		"EnsureRequestWithUnknownParameterSucceeds": {"extra": "foobar"},
		"LoginHint":                          {"login_hint": "ada@acme.com"},
		"UiLocales":                          {"ui_locales": "se"},
		"ClaimsLocales":                      {"claims_locales": "se"},
		"EnsureRequestWithAcrValuesSucceeds": {"acr_values": "1 2"},
	} {
		m.run(name, func(*testing.T) { p.ok(p.browser(), changes) })
	}
	m.run("ResponseTypeMissing", func(*testing.T) { p.refused(map[string]string{"response_type": ""}, oidc.InvalidRequest) })
	m.run("IdTokenSignature", func(t *testing.T) {
		got := p.ok(p.browser(), nil)
		if p.part(got.ID, 0)["alg"] != "RS256" || p.ring.Verify(p.ctx(), p.env.ID, got.ID, "JWT", &idClaims{}) != nil {
			t.Error("not signed with RS256")
		}
	})
	m.run("IdTokenUnsigned", func(t *testing.T) { // may be left out, and is: nobody can ask for it
		err := p.db.Tx(p.ctx(), func(q db.Queryer) error {
			_, _, err := p.tenants.CreateApplication(p.ctx(), p.admin, q, tenants.NewApplication{Name: "none", Type: tenants.Web, ApplicationSettings: tenants.ApplicationSettings{
				RedirectURIs: []string{callback}, IDTokenAlg: "none",
			}})
			return err
		})
		if err == nil || slices.Contains(describe(p.env).IDTokenAlgs, "none") {
			t.Error("unsigned ID tokens are to be had")
		}
	})
	m.run("EnsureRequestWithoutNonceSucceedsForCodeFlow", func(t *testing.T) {
		if got := p.ok(p.browser(), map[string]string{"nonce": ""}); p.part(got.ID, 1)["nonce"] != nil {
			t.Error("a nonce from nowhere")
		}
	})
	p.scopes(m)
	p.userinfos(m)
	p.sessions(m)
	p.codes(m)
}

func (p basic) scopes(m *modules) {
	profile, email := []string{"name", "given_name", "family_name"}, []string{"email", "email_verified"}
	for name, c := range map[string]struct {
		scope  string
		claims []string
	}{
		"ScopeProfile": {"profile", profile}, "ScopeEmail": {"email", email}, "ScopeAddress": {"address", nil}, "ScopePhone": {"phone", nil},
		"ScopeAll": {"profile email address phone", slices.Concat(profile, email)},
	} {
		m.run(name, func(t *testing.T) {
			got := p.ok(p.browser(), map[string]string{"scope": "openid " + c.scope})
			info := p.claims(got.Access)
			if info["sub"] != p.part(got.ID, 1)["sub"] {
				t.Errorf("sub %v", info["sub"])
			}
			for _, claim := range slices.Concat(profile, email) {
				if _, has := info[claim]; has != slices.Contains(c.claims, claim) {
					t.Errorf("%s: %v in %v", claim, has, info)
				}
			}
		})
	}
	m.run("ClaimsEssential", func(t *testing.T) {
		got := p.ok(p.browser(), map[string]string{"scope": "openid", "claims": `{"userinfo":{"name":{"essential":true}}}`})
		if info := p.claims(got.Access); info["sub"] == "" {
			t.Error(info)
		}
	})
}

func (p basic) userinfos(m *modules) {
	for name, ask := range map[string]func(b *browser, access string) reply{
		"UserInfoGet": func(b *browser, access string) reply { return b.userinfo(access) },
		"UserInfoPostHeader": func(b *browser, access string) reply {
			return b.post("/oauth2/userinfo", nil, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+access) })
		},
		"UserInfoPostBody": func(b *browser, access string) reply {
			return b.post("/oauth2/userinfo", url.Values{"access_token": {access}})
		},
	} {
		m.run(name, func(t *testing.T) {
			got := p.ok(p.browser(), nil)
			var info map[string]any
			r := ask(p.browser(), got.Access)
			if err := json.Unmarshal([]byte(r.body), &info); err != nil || r.StatusCode != http.StatusOK || info["sub"] != p.part(got.ID, 1)["sub"] {
				t.Errorf("%d %s", r.StatusCode, r.body)
			}
		})
	}
}

// sessions are the modules about who is signed in already.
func (p basic) sessions(m *modules) {
	same := func(t *testing.T, first, second tokens) {
		t.Helper()
		one, two := p.part(first.ID, 1), p.part(second.ID, 1)
		if one["sub"] != two["sub"] || one["auth_time"] != two["auth_time"] || one["sid"] != two["sid"] {
			t.Errorf("%v\n%v", one, two)
		}
	}
	m.run("PromptNoneNotLoggedIn", func(*testing.T) { p.refused(map[string]string{"prompt": "none"}, oidc.LoginRequired) })
	m.run("PromptNoneLoggedIn", func(t *testing.T) {
		b := p.browser()
		first := p.ok(b, nil)
		p.clock.Advance(time.Second)
		same(t, first, p.again(b, map[string]string{"prompt": "none"}))
	})
	m.run("IdTokenHint", func(t *testing.T) {
		b := p.browser()
		first := p.ok(b, nil)
		p.clock.Advance(time.Second)
		same(t, first, p.again(b, map[string]string{"prompt": "none", "id_token_hint": first.ID}))
	})
	m.run("MaxAge10000", func(t *testing.T) {
		b := p.browser()
		first := p.ok(b, nil)
		p.clock.Advance(2 * time.Second)
		same(t, first, p.again(b, map[string]string{"max_age": "10000"}))
	})
	for name, asked := range map[string][]map[string]string{
		"PromptLogin": {{"prompt": "login"}, {"prompt": "select_account"}}, "MaxAge1": {{"max_age": "1"}, {"max_age": "0"}},
	} {
		m.run(name, func(t *testing.T) {
			for _, changes := range asked {
				b := p.browser()
				first := p.ok(b, nil)
				p.clock.Advance(2 * time.Second)
				second := p.ok(b, changes)
				if one, two := p.part(first.ID, 1), p.part(second.ID, 1); one["sub"] != two["sub"] || two["auth_time"].(float64) <= one["auth_time"].(float64) {
					t.Errorf("%v: %v then %v", changes, one["auth_time"], two["auth_time"])
				}
			}
		})
	}
}

// codes are the modules about the request's form and what becomes of its code.
func (p basic) codes(m *modules) {
	offline := map[string]string{"scope": "openid offline_access"}
	for name, wait := range map[string]time.Duration{"AuthCodeReuse": 0, "AuthCodeReuseAfter30Seconds": 31 * time.Second} {
		m.run(name, func(t *testing.T) {
			b := p.browser()
			code := b.code(p.with(offline), "ada@acme.com")
			first := p.redeem(b, code)
			p.clock.Advance(wait)
			if again := p.redeem(b, code); again.StatusCode != http.StatusBadRequest || again.Error != oidc.InvalidGrant {
				t.Errorf("second use: %d %s", again.StatusCode, again.body)
			}
			if r := b.refresh(first.Refresh); r.Error != oidc.InvalidGrant {
				t.Errorf("refresh token after reuse: %s", r.body)
			}
		})
	}
	m.run("EnsureRegisteredRedirectUri", func(t *testing.T) {
		if r := p.browser().get(p.ask(p.with(map[string]string{"redirect_uri": callback + "/x"}))); r.StatusCode != http.StatusBadRequest || r.Header.Get("Location") != "" {
			t.Errorf("%d %s", r.StatusCode, r.body)
		}
	})
	m.run("EnsurePostRequestSucceeds", func(t *testing.T) {
		b := p.browser()
		u, err := url.Parse(p.ask(p.with(nil)))
		if err != nil {
			t.Fatal(err)
		}
		to, q := b.location(b.post("/oauth2/authorize", u.Query()))
		if to != "/oauth2/authorize" {
			t.Fatalf("to %s", to)
		}
		if _, q = b.answer(b.get(b.login(b.get(to+"?"+q.Encode()), p.identity("ada@acme.com")))); q.Get("code") == "" {
			t.Errorf("%v", q)
		}
	})
	m.run("ServerTestClientSecretPost", func(t *testing.T) {
		b := p.browser()
		got := b.token(url.Values{
			"grant_type": {"authorization_code"}, "code": {b.code(p.with(nil), "ada@acme.com")}, "redirect_uri": {callback},
			"client_id": {p.app.ID}, "client_secret": {p.secret},
		}, func(*http.Request) {})
		if got.StatusCode != http.StatusOK {
			t.Error(got.body)
		}
	})
	m.run("RequestUriUnsigned", func(*testing.T) {
		p.refused(map[string]string{"request_uri": "https://app.example.com/r"}, oidc.RequestURINotSupported)
	})
	m.run("UnsignedRequestObject", func(*testing.T) {
		p.refused(map[string]string{"request": "eyJhbGciOiJub25lIn0.e30."}, oidc.RequestNotSupported)
	})
	m.run("EnsureRequestObjectWithRedirectUri", func(*testing.T) {
		// {"alg":"none"} {"redirect_uri":"https://app.example.com/cb2"}: it moves nothing.
		p.refused(map[string]string{"request": "eyJhbGciOiJub25lIn0.eyJyZWRpcmVjdF91cmkiOiJodHRwczovL2FwcC5leGFtcGxlLmNvbS9jYjIifQ."}, oidc.RequestNotSupported)
	})
	m.run("RefreshToken", func(t *testing.T) {
		b := p.browser()
		first := p.ok(b, offline)
		if second := b.refresh(first.Refresh); second.StatusCode != http.StatusOK || second.ID == "" || second.Refresh == first.Refresh {
			t.Error(second.body)
		}
		if without := p.ok(p.browser(), map[string]string{"scope": "openid"}); without.Refresh != "" {
			t.Error("a refresh token without offline_access")
		}
	})
	m.run("EnsureRequestWithValidPkceSucceeds", func(t *testing.T) {
		b := p.browser()
		code := b.code(p.with(map[string]string{"code_challenge": oidc.Challenge(verifier), "code_challenge_method": "S256"}), "ada@acme.com")
		if got := b.redeem(code); got.StatusCode != http.StatusOK {
			t.Error(got.body)
		}
	})
}

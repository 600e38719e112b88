package client_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/htmlcheck"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

var ada = idp.Person{ID: "00u1", Email: "ada@acme.example", FirstName: "Ada", LastName: "Byron", DisplayName: "Ada Byron", Groups: []string{"engineering", "everyone"}}

// world is a tenant with an OpenID connection.
type world struct {
	*rig.Rig
	t      testing.TB
	idp    *idp.IdP
	tenant string
	conn   tenants.SSOConnection
}

func newWorld(t testing.TB, d db.DB, alg string) *world {
	t.Helper()
	w := &world{Rig: rig.New(t, d), t: t}
	w.idp = w.IdP(idp.Config{People: []idp.Person{ada}, OIDCAlg: alg})
	w.tenant = w.Tenant("acme", "acme.example")
	w.conn = w.OIDCConnection(w.tenant, w.idp)
	return w
}

func each(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, d db.DB) { f(t, newWorld(t, d, "")) })
}

// once runs on SQLite alone: for cases in which the store has no part.
func once(t *testing.T) *world {
	t.Helper()
	return newWorld(t, dbtest.Open(t, db.SQLite), "")
}

func (w *world) start() string { return w.StartURL("connection", w.conn.ID) }

// callback begins a sign-in in the browser, lets the identity provider answer,
// and gives the address that the browser would go to next.
func (w *world) callback(b *browser.Browser) *url.URL {
	w.t.Helper()
	prefix := w.URL + "/oidc/"
	b.Client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), prefix) && strings.HasSuffix(r.URL.Path, "/callback") {
			return http.ErrUseLastResponse
		}
		return nil
	}
	defer func() { b.Client.CheckRedirect = nil }()
	p := b.LogIn(w.start(), ada.ID)
	u, err := url.Parse(p.Header.Get("Location"))
	if err != nil || !strings.HasSuffix(u.Path, "/callback") {
		w.t.Fatalf("no callback: %s", p)
	}
	return u
}

func arrived(t testing.TB, p browser.Page) rig.Arrived {
	t.Helper()
	a, ok := rig.ReadArrival(p.Body)
	if !ok || p.Status != http.StatusOK {
		t.Fatalf("the sign-in did not arrive: %s", p)
	}
	return a
}

// refused asserts an error page with the code, that tells nothing else.
func refused(t testing.TB, p browser.Page, code string) {
	t.Helper()
	if p.Status < 400 || p.Status == http.StatusInternalServerError {
		t.Errorf("status %d", p.Status)
	}
	if !strings.Contains(p.Body, ">"+code+"<") {
		t.Fatalf("the page does not show %s: %s", code, p)
	}
	for _, leak := range []string{"acme.example", "evil", "eyJ", "alert(", "Byron"} {
		if strings.Contains(p.Body, leak) {
			t.Errorf("the page shows %q: %s", leak, p)
		}
	}
	if faults := htmlcheck.Check([]byte(p.Body)); len(faults) > 0 {
		t.Errorf("faults of the page: %q", faults)
	}
}

func (w *world) logged(outcome, code string) signin.Login {
	w.t.Helper()
	list := w.Logins(w.conn)
	if len(list) == 0 {
		w.t.Fatal("the login log is empty")
	}
	if list[0].Outcome != outcome || list[0].Code != code {
		w.t.Errorf("login log: %s %s, want %s %s", list[0].Outcome, list[0].Code, outcome, code)
	}
	return list[0]
}

func (w *world) people() [3]int {
	return [3]int{w.Count(`SELECT COUNT(*) FROM users`), w.Count(`SELECT COUNT(*) FROM identities`), w.Count(`SELECT COUNT(*) FROM sessions`)}
}

// The whole way with each algorithm that identity providers use.
func TestLogin(t *testing.T) {
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, d db.DB) {
				w := newWorld(t, d, alg)
				first := arrived(t, browser.New(t).LogIn(w.start(), ada.ID))
				if first.Tenant != w.tenant || first.Connection != w.conn.ID {
					t.Errorf("%+v", first)
				}
				p, err := w.Signin.Check(t.Context(), w.DB, w.Env.ID, w.tenant, first.User, w.conn.ID)
				if err != nil || p.Email != ada.Email || p.FirstName != "Ada" || p.LastName != "Byron" || p.Name != "Ada Byron" {
					t.Errorf("%+v, %v", p, err)
				}
				if got := w.Strings(`SELECT name FROM identity_groups ORDER BY name`); strings.Join(got, " ") != "engineering everyone" {
					t.Errorf("groups %q", got)
				}
				again := arrived(t, browser.New(t).LogIn(w.start(), ada.ID))
				if again.User != first.User || again.Session == first.Session {
					t.Errorf("then %+v", again)
				}
				l := w.logged(signin.OutcomeSuccess, "")
				if l.Email != ada.Email || len(l.Checks) < 10 {
					t.Errorf("%+v", l)
				}
				for _, c := range l.Checks {
					if !c.OK {
						t.Errorf("check %+v", c)
					}
				}
			})
		})
	}
}

// RFC 7636, OpenID Connect Core §3.1.2.1: what the authorization request carries.
func TestAuthorizationRequest(t *testing.T) {
	w := once(t)
	b := browser.New(t)
	see := func(pairs ...string) url.Values {
		t.Helper()
		b.Client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if strings.HasPrefix(r.URL.String(), w.idp.Issuer()) {
				return http.ErrUseLastResponse
			}
			return nil
		}
		defer func() { b.Client.CheckRedirect = nil }()
		p := b.Get(w.StartURL(append([]string{"connection", w.conn.ID}, pairs...)...))
		u, err := url.Parse(p.Header.Get("Location"))
		if err != nil || p.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%s", p)
		}
		return u.Query()
	}
	v := see("login_hint", ada.Email)
	for name, want := range map[string]string{
		"response_type": "code", "client_id": rig.Client.ID, "redirect_uri": w.URL + "/oidc/" + w.conn.ID + "/callback",
		"scope": "openid profile email groups", "code_challenge_method": "S256", "login_hint": ada.Email, "prompt": "", "max_age": "",
	} {
		if v.Get(name) != want {
			t.Errorf("%s = %q, want %q", name, v.Get(name), want)
		}
	}
	again := see()
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if len(v.Get(name)) != 43 || v.Get(name) == again.Get(name) {
			t.Errorf("%s = %q, then %q", name, v.Get(name), again.Get(name))
		}
	}
	if v := see("prompt", "login"); v.Get("prompt") != "login" || v.Get("max_age") != "0" {
		t.Errorf("a fresh login is asked for with %v", v)
	}
	if n := w.Count(`SELECT COUNT(*) FROM sso_requests WHERE key = $1 OR secret LIKE $2`, v.Get("state"), "%"+v.Get("nonce")+"%"); n != 0 {
		t.Error("state or nonce are stored as they are")
	}
}

// sso 5.2, the ID token: each fault has its own code, and nothing is written.
func TestIDToken(t *testing.T) {
	w := once(t)
	now := w.Clock.Now().Unix()
	claim := func(name string, v any) idp.OIDCKnobs {
		return idp.OIDCKnobs{MutateClaims: func(c map[string]any) {
			if v == nil {
				delete(c, name)
				return
			}
			c[name] = v
		}}
	}
	header := func(name string, v any) idp.OIDCKnobs {
		return idp.OIDCKnobs{MutateHeader: func(h map[string]any) { h[name] = v }}
	}
	stranger := w.IdP(idp.Config{People: []idp.Person{ada}})
	attackersKey := map[string]any{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}
	for _, k := range []struct {
		name, code string
		knobs      idp.OIDCKnobs
	}{
		{"alg none", "OIDC_ALG", idp.OIDCKnobs{Alg: "none"}},
		{"alg None", "OIDC_ALG", idp.OIDCKnobs{Alg: "None"}},
		{"alg NONE", "OIDC_ALG", idp.OIDCKnobs{Alg: "NONE"}},
		{"alg nOnE", "OIDC_ALG", idp.OIDCKnobs{Alg: "nOnE"}},
		{"alg empty", "OIDC_ALG", header("alg", "")},
		{"HS256 keyed with the public key", "OIDC_ALG", idp.OIDCKnobs{Alg: "HS256"}},
		{"HS256 keyed with the client secret", "OIDC_ALG", idp.OIDCKnobs{Alg: "HS256", HMACKey: []byte(rig.Client.Secret)}},
		{"RS256 label, EC key", "OIDC_ALG", header("alg", "RS256")},
		{"ES384 label, P-256 key", "OIDC_ALG", header("alg", "ES384")},
		{"EdDSA label, EC key", "OIDC_ALG", header("alg", "EdDSA")},
		{"unknown kid", "OIDC_KEY_UNKNOWN", idp.OIDCKnobs{KID: "another"}},
		{"kid with a path", "OIDC_KEY_UNKNOWN", idp.OIDCKnobs{KID: "../../../../dev/null"}},
		{"kid with SQL", "OIDC_KEY_UNKNOWN", idp.OIDCKnobs{KID: "x' UNION SELECT 'key"}},
		{"jwk in the header, its own kid", "OIDC_KEY_UNKNOWN", idp.OIDCKnobs{MutateHeader: func(h map[string]any) { h["jwk"], h["kid"] = attackersKey, "theirs" }}},
		{"jku in the header", "OIDC_KEY_UNKNOWN", idp.OIDCKnobs{MutateHeader: func(h map[string]any) { h["jku"], h["kid"] = stranger.Issuer()+"/oidc/jwks", "theirs" }}},
		{"x5u in the header", "OIDC_KEY_UNKNOWN", idp.OIDCKnobs{MutateHeader: func(h map[string]any) { h["x5u"], h["kid"] = stranger.Issuer()+"/x", "theirs" }}},
		{"unknown crit", "OIDC_SIG", idp.OIDCKnobs{MutateHeader: func(h map[string]any) { h["crit"], h["exotic"] = []string{"exotic"}, true }}},
		{"iss of another", "OIDC_ISSUER", claim("iss", stranger.Issuer())},
		{"iss with a slash", "OIDC_ISSUER", claim("iss", w.idp.Issuer()+"/")},
		{"iss in capitals", "OIDC_ISSUER", claim("iss", strings.ToUpper(w.idp.Issuer()))},
		{"iss template", "OIDC_ISSUER", claim("iss", "https://login.microsoftonline.com/{tenantid}/v2.0")},
		{"no iss", "OIDC_ISSUER", claim("iss", nil)},
		{"iss is a list", "OIDC_TOKEN_FORM", claim("iss", []string{w.idp.Issuer()})},
		{"aud of another", "OIDC_AUDIENCE", claim("aud", "another")},
		{"aud list without us", "OIDC_AUDIENCE", claim("aud", []string{"a", "b"})},
		{"no aud", "OIDC_AUDIENCE", claim("aud", nil)},
		{"empty aud", "OIDC_AUDIENCE", claim("aud", []string{})},
		{"aud is a number", "OIDC_TOKEN_FORM", claim("aud", 7)},
		{"several audiences without azp", "OIDC_AZP", claim("aud", []string{rig.Client.ID, "b"})},
		{"azp of another", "OIDC_AZP", idp.OIDCKnobs{AZP: "another"}},
		{"exp past", "OIDC_EXPIRED", claim("exp", now-121)},
		{"exp exactly at the leeway", "OIDC_EXPIRED", claim("exp", now-120)},
		{"no exp", "OIDC_EXPIRED", claim("exp", nil)},
		{"exp in milliseconds", "OIDC_EXPIRED", claim("exp", now*1000)},
		{"exp in the year 9999", "OIDC_EXPIRED", claim("exp", 253402300799)},
		{"quoted exp", "OIDC_TOKEN_FORM", claim("exp", fmt.Sprint(now+60))},
		{"negative exp", "OIDC_EXPIRED", claim("exp", -1)},
		{"huge exp", "OIDC_EXPIRED", claim("exp", json.Number("1e400"))},
		{"iat old", "OIDC_IAT", claim("iat", now-601)},
		{"iat to come", "OIDC_IAT", claim("iat", now+121)},
		{"no iat", "OIDC_IAT", claim("iat", nil)},
		{"nbf to come", "OIDC_NOT_YET", claim("nbf", now+121)},
		{"nonce of another", "OIDC_NONCE", idp.OIDCKnobs{Nonce: "another"}},
		{"no nonce", "OIDC_NONCE", idp.OIDCKnobs{Nonce: idp.Omit}},
		{"no sub", "OIDC_SUB", claim("sub", nil)},
		{"empty sub", "OIDC_SUB", claim("sub", "")},
		{"sub of 256 characters", "OIDC_SUB", claim("sub", strings.Repeat("s", 256))},
		{"sub with a NUL", "OIDC_SUB", claim("sub", "a\x00b")},
		{"sub is a number", "OIDC_TOKEN_FORM", claim("sub", 7)},
		{"SUB is not sub", "OIDC_SUB", idp.OIDCKnobs{MutateClaims: func(c map[string]any) { c["SUB"] = c["sub"]; delete(c, "sub") }}},
		{"at_hash of another token", "OIDC_AT_HASH", claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA")},
		{"no e-mail anywhere", "OIDC_NO_EMAIL", idp.OIDCKnobs{
			MutateClaims:   func(c map[string]any) { delete(c, "email") },
			MutateUserinfo: func(c map[string]any) { delete(c, "email") },
		}},
		{"e-mail that is none", "OIDC_NO_EMAIL", claim("email", "ada")},
		{"e-mail with a NUL", "OIDC_NO_EMAIL", claim("email", "a\x00@acme.example")},
		{"token too large", "OIDC_TOKEN_FORM", claim("pad", strings.Repeat("x", 65<<10))},
		{"userinfo of another", "OIDC_USERINFO_SUB", idp.OIDCKnobs{MutateClaims: func(c map[string]any) { delete(c, "email") }, UserinfoSubject: "another"}},
		{"userinfo without sub", "OIDC_USERINFO_SUB", idp.OIDCKnobs{MutateClaims: func(c map[string]any) { delete(c, "email") }, UserinfoSubject: idp.Omit}},
		{"userinfo by another", "OIDC_USERINFO_ISSUER", idp.OIDCKnobs{
			MutateClaims:   func(c map[string]any) { delete(c, "email") },
			MutateUserinfo: func(c map[string]any) { c["iss"] = "https://evil.example" },
		}},
		{"userinfo for another", "OIDC_USERINFO_ISSUER", idp.OIDCKnobs{
			MutateClaims:   func(c map[string]any) { delete(c, "email") },
			MutateUserinfo: func(c map[string]any) { c["aud"] = "another" },
		}},
		{"userinfo fails", "OIDC_USERINFO", idp.OIDCKnobs{
			MutateClaims: func(c map[string]any) { delete(c, "email") },
			Endpoints:    map[string]idp.Fault{"userinfo": {Status: 500, Body: "evil"}},
		}},
		{"token endpoint refuses", "OIDC_TOKEN_ENDPOINT", idp.OIDCKnobs{TokenError: "invalid_grant"}},
		{"token endpoint redirects", "OIDC_TOKEN_ENDPOINT", idp.OIDCKnobs{Endpoints: map[string]idp.Fault{"token": {RedirectTo: stranger.Issuer() + "/oidc/token"}}}},
		{"token endpoint without ID token", "OIDC_NO_ID_TOKEN", idp.OIDCKnobs{Endpoints: map[string]idp.Fault{"token": {Status: 200, Body: `{"access_token":"a","token_type":"Bearer"}`}}}},
		{"ID token that is none", "OIDC_TOKEN_FORM", idp.OIDCKnobs{Endpoints: map[string]idp.Fault{"token": {Status: 200, Body: `{"access_token":"a","token_type":"Bearer","id_token":"x"}`}}}},
		{"encrypted ID token", "OIDC_TOKEN_FORM", idp.OIDCKnobs{Endpoints: map[string]idp.Fault{"token": {Status: 200, Body: `{"access_token":"a","token_type":"Bearer","id_token":"a.b.c.d.e"}`}}}},
		{"token endpoint is huge", "OIDC_TOKEN_ENDPOINT", idp.OIDCKnobs{Endpoints: map[string]idp.Fault{"token": {Huge: 50 << 20}}}},
	} {
		t.Run(k.name, func(t *testing.T) {
			w.t = t
			before := w.people()
			w.idp.SetOIDCKnobs(k.knobs)
			defer w.idp.SetOIDCKnobs(idp.OIDCKnobs{})
			refused(t, browser.New(t).LogIn(w.start(), ada.ID), k.code)
			l := w.logged(signin.OutcomeFailure, k.code)
			if l.FlowID == "" || len(l.Checks) == 0 || l.Checks[len(l.Checks)-1].OK && k.code != "OIDC_NO_EMAIL" {
				t.Errorf("%+v", l)
			}
			if after := w.people(); after != before {
				t.Errorf("users, identities, sessions: %v, then %v", before, after)
			}
		})
	}
	// What is unusual and right.
	for name, knobs := range map[string]idp.OIDCKnobs{
		"aud list with azp":          {Audience: []string{rig.Client.ID, "b"}, AZP: rig.Client.ID},
		"aud list of us alone":       {Audience: []string{rig.Client.ID}},
		"times with fractions":       claim("exp", float64(now)+59.5),
		"exp within the leeway":      claim("exp", now-119),
		"nbf within the leeway":      claim("nbf", now+119),
		"iat within the leeway":      claim("iat", now+119),
		"clock a minute behind":      {TimeShift: -time.Minute},
		"no at_hash":                 claim("at_hash", nil),
		"amr as a string":            claim("amr", "pwd"),
		"e-mail from userinfo":       {MutateClaims: func(c map[string]any) { delete(c, "email"); delete(c, "groups") }},
		"userinfo fails, unneeded":   {MutateClaims: func(c map[string]any) { delete(c, "groups") }, Endpoints: map[string]idp.Fault{"userinfo": {Status: 500}}},
		"jwk of another in a header": header("jwk", attackersKey),
		"nulls":                      {MutateClaims: func(c map[string]any) { c["azp"], c["nbf"], c["acr"] = nil, nil, nil }},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.idp.SetOIDCKnobs(knobs)
			defer w.idp.SetOIDCKnobs(idp.OIDCKnobs{})
			arrived(t, browser.New(t).LogIn(w.start(), ada.ID))
		})
	}
}

// A key without kid: one published key is meant, of two it is not clear which.
func TestKeysWithoutKID(t *testing.T) {
	w := once(t)
	w.idp.SetOIDCKnobs(idp.OIDCKnobs{KID: idp.Omit})
	arrived(t, browser.New(t).LogIn(w.start(), ada.ID))
	if err := w.idp.RotateOIDCKey(true); err != nil {
		t.Fatal(err)
	}
	w.Clock.Advance(time.Hour + time.Second) // keys are read again
	refused(t, browser.New(t).LogIn(w.start(), ada.ID), "OIDC_KEY_AMBIGUOUS")
}

// A rotated key is found at the first token that it signed; made-up key ids cost
// the provider one request per minute at most.
func TestKeyRefetch(t *testing.T) {
	w := once(t)
	fetches := w.count("/oidc/jwks")
	in := func() { t.Helper(); arrived(t, browser.New(t).LogIn(w.start(), ada.ID)) }
	unknown := func() {
		t.Helper()
		w.idp.SetOIDCKnobs(idp.OIDCKnobs{KID: "made-up"})
		defer w.idp.SetOIDCKnobs(idp.OIDCKnobs{})
		refused(t, browser.New(t).LogIn(w.start(), ada.ID), "OIDC_KEY_UNKNOWN")
	}
	expect := func(n int32, when string) {
		t.Helper()
		if got := fetches.Load(); got != n {
			t.Errorf("%s: %d fetches, want %d", when, got, n)
		}
	}
	in()
	in()
	expect(1, "two logins")
	for range 5 {
		unknown()
	}
	expect(1, "made-up ids within the minute")
	w.Clock.Advance(time.Minute)
	for range 5 {
		unknown()
	}
	expect(2, "made-up ids after a minute")
	if err := w.idp.RotateOIDCKey(false); err != nil {
		t.Fatal(err)
	}
	w.Clock.Advance(time.Minute)
	in()
	expect(3, "after a rotation")
	w.Clock.Advance(59 * time.Minute)
	in()
	w.Clock.Advance(2 * time.Minute)
	in()
	expect(4, "keys older than an hour")
}

// An outage of the keys' address does not last longer than itself.
func TestKeysOutage(t *testing.T) {
	w := once(t)
	w.idp.SetOIDCKnobs(idp.OIDCKnobs{Endpoints: map[string]idp.Fault{"jwks": {Status: 503}}})
	refused(t, browser.New(t).LogIn(w.start(), ada.ID), "OIDC_DISCOVERY")
	w.idp.SetOIDCKnobs(idp.OIDCKnobs{})
	arrived(t, browser.New(t).LogIn(w.start(), ada.ID))
	w.idp.SetOIDCKnobs(idp.OIDCKnobs{Endpoints: map[string]idp.Fault{"jwks": {Status: 503}, "discovery": {Status: 503}}})
	w.Clock.Advance(3 * time.Hour)
	arrived(t, browser.New(t).LogIn(w.start(), ada.ID)) // what is known stays in use
}

// count puts a counter before the identity provider, for requests of a path. The
// connection is moved to the address in front.
func (w *world) count(path string) *atomic.Int32 {
	w.t.Helper()
	n := new(atomic.Int32)
	var counted *idp.IdP
	rig.Listen(w.t, func(base string) http.Handler {
		var err error
		counted, err = idp.New(idp.Config{BaseURL: base, Clock: w.Clock, People: []idp.Person{ada}, OIDCAlg: "ES256", Clients: []idp.Client{rig.Client}})
		if err != nil {
			w.t.Fatal(err)
		}
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == path {
				n.Add(1)
			}
			counted.ServeHTTP(rw, r)
		})
	})
	w.idp = counted
	w.conn = w.OIDCConnection(w.tenant, counted)
	return n
}

// sso 5.2: discovery that lies or misbehaves.
func TestDiscovery(t *testing.T) {
	w := once(t)
	evil := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer evil.Close()
	set := func(name string, v any) idp.OIDCKnobs {
		return idp.OIDCKnobs{MutateDiscovery: func(d map[string]any) { d[name] = v }}
	}
	fault := func(f idp.Fault) idp.OIDCKnobs {
		return idp.OIDCKnobs{Endpoints: map[string]idp.Fault{"discovery": f}}
	}
	for _, k := range []struct {
		name, code string
		knobs      idp.OIDCKnobs
	}{
		{"another issuer", "OIDC_DISCOVERY_ISSUER", idp.OIDCKnobs{DiscoveryIssuer: "https://evil.example"}},
		{"issuer with a slash", "OIDC_DISCOVERY_ISSUER", idp.OIDCKnobs{DiscoveryIssuer: w.idp.Issuer() + "/"}},
		{"issuer template", "OIDC_DISCOVERY_ISSUER", idp.OIDCKnobs{DiscoveryIssuer: "https://login.microsoftonline.com/{tenantid}/v2.0"}},
		{"redirect", "OIDC_DISCOVERY", fault(idp.Fault{RedirectTo: evil.URL})},
		{"50 MB", "OIDC_DISCOVERY", fault(idp.Fault{Huge: 50 << 20})},
		{"slow", "OIDC_DISCOVERY", fault(idp.Fault{Delay: time.Minute})},
		{"500", "OIDC_DISCOVERY", fault(idp.Fault{Status: 500, Body: "<script>alert(1)</script>"})},
		{"HTML", "OIDC_DISCOVERY", fault(idp.Fault{Status: 200, Body: "<!doctype html><p>evil"})},
		{"no authorization endpoint", "OIDC_DISCOVERY_ENDPOINT", set("authorization_endpoint", "")},
		{"javascript", "OIDC_DISCOVERY_ENDPOINT", set("authorization_endpoint", "javascript:alert(1)")},
		{"relative", "OIDC_DISCOVERY_ENDPOINT", set("authorization_endpoint", "/authorize")},
		{"another scheme", "OIDC_DISCOVERY_ENDPOINT", set("authorization_endpoint", "ftp://evil.example/")},
	} {
		t.Run(k.name, func(t *testing.T) {
			w.t = t
			w.idp.SetOIDCKnobs(k.knobs)
			defer w.idp.SetOIDCKnobs(idp.OIDCKnobs{})
			refused(t, browser.New(t).Get(w.start()), k.code)
			w.logged(signin.OutcomeFailure, k.code)
		})
	}
	// jwks_uri and token_endpoint where nothing may be fetched, without the
	// switch for private networks, are the guarded client's; here: a dead one.
	t.Run("jwks_uri is dead", func(t *testing.T) {
		w.t = t
		w.idp.SetOIDCKnobs(set("jwks_uri", "http://127.0.0.1:1/jwks"))
		defer w.idp.SetOIDCKnobs(idp.OIDCKnobs{})
		refused(t, browser.New(t).LogIn(w.start(), ada.ID), "OIDC_DISCOVERY")
	})
}

// sso 5.2: the answer at the callback.
func TestCallback(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		other := w.OIDCConnection(w.tenant, w.idp)
		globex := w.Tenant("globex", "globex.example")
		foreign := w.OIDCConnection(globex, w.idp)
		edit := func(u *url.URL, pairs ...string) string {
			v := maps.Clone(u.Query())
			for n := 0; n+1 < len(pairs); n += 2 {
				if v.Del(pairs[n]); pairs[n+1] != "" {
					v.Set(pairs[n], pairs[n+1])
				}
			}
			c := *u
			c.RawQuery = v.Encode()
			return c.String()
		}
		at := func(u *url.URL, c tenants.SSOConnection) string {
			return strings.Replace(u.String(), w.conn.ID, c.ID, 1)
		}
		t.Run("state absent, unknown, empty, long", func(t *testing.T) {
			b := browser.New(t)
			u := w.callback(b)
			for _, state := range []string{"", "another", strings.Repeat("s", 5000), "\x00"} {
				refused(t, b.Get(edit(u, "state", state)), "OIDC_STATE")
			}
			arrived(t, b.Get(u.String()))
		})
		t.Run("state used again", func(t *testing.T) {
			b := browser.New(t)
			u := w.callback(b)
			arrived(t, b.Get(u.String()))
			p := b.Get(u.String())
			refused(t, p, "OIDC_STATE_USED")
		})
		t.Run("state at another connection, and another tenant's", func(t *testing.T) {
			b := browser.New(t)
			u := w.callback(b)
			refused(t, b.Get(at(u, other)), "OIDC_STATE")
			refused(t, b.Get(at(u, foreign)), "OIDC_STATE")
			arrived(t, b.Get(u.String()))
		})
		t.Run("another browser: code injection", func(t *testing.T) {
			attacker := browser.New(t)
			u := w.callback(attacker)
			before := w.people()
			refused(t, browser.New(t).Get(u.String()), "SIGNIN_OTHER_BROWSER")
			victim := browser.New(t)
			w.callback(victim) // has a cookie of its own
			refused(t, victim.Get(u.String()), "SIGNIN_OTHER_BROWSER")
			if w.people() != before {
				t.Error("rows were written")
			}
			arrived(t, attacker.Get(u.String())) // it was not used up
		})
		t.Run("code of another login: PKCE", func(t *testing.T) {
			attacker, victim := browser.New(t), browser.New(t)
			code := w.callback(attacker).Query().Get("code")
			refused(t, victim.Get(edit(w.callback(victim), "code", code)), "OIDC_TOKEN_ENDPOINT")
		})
		t.Run("state expired", func(t *testing.T) {
			b := browser.New(t)
			u := w.callback(b)
			w.Clock.Advance(signin.FlowLifetime)
			refused(t, b.Get(u.String()), "OIDC_STATE")
		})
		t.Run("iss (RFC 9207)", func(t *testing.T) {
			for iss, code := range map[string]string{"https://evil.example": "OIDC_ISS", w.idp.Issuer() + "/": "OIDC_ISS", "": "OIDC_ISS"} {
				b := browser.New(t)
				refused(t, b.Get(edit(w.callback(b), "iss", iss)), code)
			}
		})
		t.Run("parameters twice, or none", func(t *testing.T) {
			b := browser.New(t)
			u := w.callback(b)
			for _, name := range []string{"state", "code", "iss", "error"} {
				refused(t, b.Get(u.String()+"&"+name+"=x&"+name+"=y"), "OIDC_PARAMETERS")
			}
			refused(t, b.Get(edit(u, "code", "")), "OIDC_PARAMETERS")
			b = browser.New(t)
			refused(t, b.Get(edit(w.callback(b), "code", strings.Repeat("c", 9<<10))), "OIDC_PARAMETERS")
			refused(t, b.Get(w.URL+"/oidc/"+w.conn.ID+"/callback"), "OIDC_STATE")
		})
		t.Run("error with hostile text", func(t *testing.T) {
			w.idp.SetOIDCKnobs(idp.OIDCKnobs{Error: `access_denied"><script>alert(1)</script>`, ErrorDescription: "<img src=x onerror=alert(1)>\x00\x1b[31m evil " + strings.Repeat("x", 1000)})
			p := browser.New(t).LogIn(w.start(), ada.ID)
			w.idp.SetOIDCKnobs(idp.OIDCKnobs{})
			refused(t, p, "OIDC_PROVIDER_ERROR")
			if strings.Contains(p.Body, "onerror") || strings.Contains(p.Body, "access_denied") {
				t.Errorf("the text is echoed: %s", p)
			}
			l := w.logged(signin.OutcomeFailure, "OIDC_PROVIDER_ERROR")
			said := l.Checks[len(l.Checks)-1].Actual
			if !strings.Contains(said, "access_denied") || strings.ContainsAny(said, "\x00\x1b") || len(said) > 210 {
				t.Errorf("the log says %q", said)
			}
		})
		t.Run("connection switched off meanwhile", func(t *testing.T) {
			b := browser.New(t)
			u := w.callback(b)
			off, on := tenants.SSODisabled, tenants.SSOActive
			w.SetConnection(w.conn, tenants.SSOPatch{Status: &off})
			refused(t, b.Get(u.String()), "POLICY_CONNECTION_DISABLED")
			w.SetConnection(w.conn, tenants.SSOPatch{Status: &on})
		})
		t.Run("tenant suspended meanwhile", func(t *testing.T) {
			b := browser.New(t)
			u := w.callback(b)
			w.Suspend(w.tenant)
			refused(t, b.Get(u.String()), "POLICY_TENANT_SUSPENDED")
			w.Exec(`UPDATE tenants SET status = 'active'`)
		})
	})
}

// Mix-up: a tenant whose provider claims to be another's gets nothing (identity rule 6).
func TestOtherTenants(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		evil := w.IdP(idp.Config{People: []idp.Person{ada}})
		globex := w.Tenant("globex", "globex.example")
		foreign := w.OIDCConnection(globex, evil, func(n *tenants.NewSSOConnection) { n.AllowUnverifiedDomains = true })
		mine := arrived(t, browser.New(t).LogIn(w.start(), ada.ID))
		theirs := arrived(t, browser.New(t).LogIn(w.StartURL("connection", foreign.ID), ada.ID))
		if theirs.User == mine.User || theirs.Tenant != globex {
			t.Errorf("another tenant's provider made a session of %+v, ours is %+v", theirs, mine)
		}
		evil.SetOIDCKnobs(idp.OIDCKnobs{Issuer: w.idp.Issuer()})
		refused(t, browser.New(t).LogIn(w.StartURL("connection", foreign.ID), ada.ID), "OIDC_ISSUER")
		evil.SetOIDCKnobs(idp.OIDCKnobs{})
		b := browser.New(t)
		flow := b.Get(w.StartURL("organization", "acme")).URL.Query().Get("flow")
		refused(t, b.Get(w.URL+"/oidc/"+foreign.ID+"/login?flow="+flow), "SIGNIN_OTHER_ORGANIZATION")
	})
}

// Identity rule 4 over HTTP: email_verified=false makes no match.
func TestUnverifiedEmail(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		mine := arrived(t, browser.New(t).LogIn(w.start(), ada.ID))
		second := w.Tenant("second", "acme.example")
		c := w.OIDCConnection(second, w.idp)
		for _, said := range []any{false, "false"} {
			w.idp.SetOIDCKnobs(idp.OIDCKnobs{MutateClaims: func(m map[string]any) { m["email_verified"], m["sub"] = said, fmt.Sprintf("x-%T", said) }})
			if a := arrived(t, browser.New(t).LogIn(w.StartURL("connection", c.ID), ada.ID)); a.User == mine.User {
				t.Errorf("email_verified %v (%T) matched", said, said)
			}
			w.Exec(`DELETE FROM memberships WHERE tenant_id = $1`, second)
			w.Exec(`DELETE FROM users WHERE id <> $1`, mine.User)
		}
		w.idp.SetOIDCKnobs(idp.OIDCKnobs{})
		if a := arrived(t, browser.New(t).LogIn(w.StartURL("connection", c.ID), ada.ID)); a.User != mine.User {
			t.Error("a verified e-mail of the tenant's domain did not match")
		}
	})
}

// How the client proves itself at the token endpoint (RFC 6749 §2.3.1).
func TestClientAuthentication(t *testing.T) {
	w := once(t)
	var seen struct{ authorization, body string }
	i := w.idp
	front := rig.Listen(t, func(base string) http.Handler {
		n, err := idp.New(idp.Config{BaseURL: base, Clock: w.Clock, People: []idp.Person{ada}, OIDCAlg: "ES256", Clients: []idp.Client{rig.Client, {ID: "public"}}})
		if err != nil {
			t.Fatal(err)
		}
		i = n
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/oidc/token" {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				seen.authorization, seen.body = r.Header.Get("Authorization"), string(body)
				r.Body = io.NopCloser(strings.NewReader(string(body)))
			}
			n.ServeHTTP(rw, r)
		})
	})
	_ = front
	for _, k := range []struct {
		name, method, id, secret string
		supported                []string
		inHeader                 bool
	}{
		{"default", "", rig.Client.ID, rig.Client.Secret, []string{"client_secret_basic", "client_secret_post"}, true},
		{"basic", tenants.AuthBasic, rig.Client.ID, rig.Client.Secret, []string{"client_secret_post"}, true},
		{"post", tenants.AuthPost, rig.Client.ID, rig.Client.Secret, []string{"client_secret_basic"}, false},
		{"as discovery says", "", rig.Client.ID, rig.Client.Secret, []string{"client_secret_post"}, false},
		{"discovery is silent", "", rig.Client.ID, rig.Client.Secret, nil, true},
		{"public", tenants.AuthNone, "public", "", []string{"none"}, false},
	} {
		t.Run(k.name, func(t *testing.T) {
			w.t = t
			w.Clock.Advance(2 * time.Hour) // discovery is read again
			i.SetOIDCKnobs(idp.OIDCKnobs{MutateDiscovery: func(d map[string]any) { d["token_endpoint_auth_methods_supported"] = k.supported }})
			c := w.OIDCConnection(w.tenant, i, func(n *tenants.NewSSOConnection) {
				n.OIDC.AuthMethod, n.OIDC.ClientID, n.ClientSecret, n.AllowUnverifiedDomains = k.method, k.id, k.secret, true
			})
			p := browser.New(t).LogIn(w.StartURL("connection", c.ID), ada.ID)
			if k.name == "default" {
				arrived(t, p)
			}
			if (seen.authorization != "") != k.inHeader || strings.Contains(seen.body, "client_secret") == (k.inHeader || k.secret == "") {
				t.Errorf("Authorization %q, body %q", seen.authorization, seen.body)
			}
			if want := "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(k.id)+":"+url.QueryEscape(k.secret))); k.inHeader && seen.authorization != want {
				t.Errorf("Authorization %q, want %q", seen.authorization, want)
			}
			if !strings.Contains(seen.body, "code_verifier=") {
				t.Error("no PKCE verifier")
			}
		})
	}
}

func TestUnknownConnections(t *testing.T) {
	w := once(t)
	other := w.SAMLConnection(w.tenant, w.idp)
	b := browser.New(t)
	for _, c := range []string{id.New(id.SSO), "sso_x", "%00", other.ID} {
		for _, route := range []string{"/login", "/callback?state=x&code=y"} {
			if p := b.Get(w.URL + "/oidc/" + c + route); p.Status != http.StatusNotFound {
				t.Errorf("GET /oidc/%s%s: %d", c, route, p.Status)
			}
		}
	}
	refused(t, b.Get(w.URL+"/oidc/"+w.conn.ID+"/login"), "SIGNIN_NO_DEFAULT_APPLICATION")
	w.Application(w.URL + "/oauth2/authorize")
	arrived(t, b.LogIn(w.URL+"/oidc/"+w.conn.ID+"/login", ada.ID))
}

// Answers that do not hold are logged at a bounded rate.
func TestRefusalsAreLimited(t *testing.T) {
	w := once(t)
	b := browser.New(t)
	limited := 0
	for range 110 {
		if p := b.Get(w.URL + "/oidc/" + w.conn.ID + "/callback?state=x&code=y"); p.Status == http.StatusTooManyRequests {
			limited++
		}
	}
	if n := len(w.Logins(w.conn)); limited != 10 || n != 100 {
		t.Errorf("%d refused, %d logged", limited, n)
	}
	arrived(t, b.LogIn(w.start(), ada.ID))
}

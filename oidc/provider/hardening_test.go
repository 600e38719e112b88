package provider

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// A hint answers for its person in its tenant; one that has expired is a hint, and
// one that is not ours, or no ID token, is a fault of the request.
func TestIDTokenHints(t *testing.T) {
	each(t, func(w *world) {
		eve := w.browser().signedIn("eve@globex.com")
		b := w.browser()
		mine := b.signedIn("ada@acme.com")
		sign := func(typ string, change func(*idClaims)) string {
			var c idClaims
			if err := w.ring.Verify(w.ctx(), w.env.ID, mine.ID, oidc.TypeIDToken, &c); err != nil {
				w.Fatal(err)
			}
			change(&c)
			s, err := w.ring.Sign(w.ctx(), w.env.ID, keys.ES256, typ, c)
			if err != nil {
				w.Fatal(err)
			}
			return s
		}
		ask := func(hint string, pairs ...string) url.Values {
			changes := map[string]string{"prompt": "none", "id_token_hint": hint}
			for n := 0; n+1 < len(pairs); n += 2 {
				changes[pairs[n]] = pairs[n+1]
			}
			_, q := b.location(b.get(w.ask(changes)))
			return q
		}
		elsewhere := sign(oidc.TypeIDToken, func(c *idClaims) { c.TenantID = w.globex.ID })
		for name, c := range map[string]struct {
			q    url.Values
			want string // empty: a code
		}{
			"his own":                       {ask(mine.ID), ""},
			"another person":                {ask(eve.ID), oidc.LoginRequired},
			"his own, in another tenant":    {ask(elsewhere), oidc.LoginRequired},
			"and the tenant that is named":  {ask(elsewhere, "organization", "acme"), ""},
			"his own, but another is named": {ask(mine.ID, "organization", "globex"), oidc.LoginRequired},
			"another issuer":                {ask(sign(oidc.TypeIDToken, func(c *idClaims) { c.Issuer = "https://evil.example" })), oidc.InvalidRequest},
			"nobody":                        {ask(sign(oidc.TypeIDToken, func(c *idClaims) { c.Subject = "" })), oidc.InvalidRequest},
			"an access token":               {ask(mine.Access), oidc.InvalidRequest},
			"a logout token":                {ask(sign(oidc.TypeLogoutToken, func(*idClaims) {})), oidc.InvalidRequest},
			"unsigned":                      {ask(strings.Join([]string{"eyJhbGciOiJub25lIn0", strings.Split(mine.ID, ".")[1], ""}, ".")), oidc.InvalidRequest},
			"cut":                           {ask(mine.ID[:len(mine.ID)-3]), oidc.InvalidRequest},
		} {
			if c.q.Get("error") != c.want || (c.q.Get("code") != "") != (c.want == "") {
				w.Errorf("%s: %v", name, c.q)
			}
		}
		// Another environment's tokens are not ours, whatever they say.
		var other tenants.Environment
		w.tx(func(q db.Queryer) (err error) {
			other, err = w.tenants.CreateEnvironment(w.ctx(), w.admin, q, tenants.NewEnvironment{Name: "Staging", BaseURL: "https://staging.example.com"})
			return err
		})
		if err := w.ring.Ensure(w.ctx(), other.ID); err != nil {
			t.Fatal(err)
		}
		var c idClaims
		if err := w.ring.Verify(w.ctx(), w.env.ID, mine.ID, oidc.TypeIDToken, &c); err != nil {
			t.Fatal(err)
		}
		foreign, err := w.ring.Sign(w.ctx(), other.ID, keys.ES256, oidc.TypeIDToken, c)
		if err != nil {
			t.Fatal(err)
		}
		if q := ask(foreign); q.Get("error") != oidc.InvalidRequest {
			w.Errorf("another environment: %v", q)
		}
		w.clock.Advance(time.Hour)
		if q := ask(mine.ID); q.Get("code") == "" {
			w.Errorf("expired: %v", q)
		}
	})
}

// Request objects are refused, whoever signed them with what.
func TestRequestObjects(t *testing.T) {
	w := newWorld(t, sqlite(t))
	b := w.browser()
	p := w.fapi(func(n *tenants.NewApplication) { n.RequirePAR, n.RequireDPoP = false, false })
	inside := claims{"iss": p.app.ID, "aud": w.server.URL, "client_id": p.app.ID, "redirect_uri": "https://evil.example/cb", "scope": "openid email"}
	mac, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(w.secret)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := mac.Sign([]byte(`{"redirect_uri":"https://evil.example/cb"}`))
	if err != nil {
		t.Fatal(err)
	}
	macd, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ client, object string }{
		"unsigned":               {w.app.ID, "eyJhbGciOiJub25lIn0.eyJyZWRpcmVjdF91cmkiOiJodHRwczovL2V2aWwuZXhhbXBsZS9jYiJ9."},
		"with the client secret": {w.app.ID, macd},
		"with the client's key":  {p.app.ID, p.sign(p.key, (&jose.SignerOptions{}).WithHeader("kid", "k1"), inside)},
		"nonsense":               {w.app.ID, "x"},
	} {
		to, q := b.location(b.get(w.ask(map[string]string{"client_id": c.client, "request": c.object})))
		if to != callback || q.Get("error") != oidc.RequestNotSupported || q.Get("iss") != w.server.URL {
			t.Errorf("%s: %s %v", name, to, q)
		}
		// Without a redirect_uri of its own, the request's is not taken from inside.
		if r := b.get(w.ask(map[string]string{"client_id": c.client, "request": c.object, "redirect_uri": ""})); r.StatusCode != http.StatusBadRequest || r.Header.Get("Location") != "" {
			t.Errorf("%s, redirect_uri inside: %d %s", name, r.StatusCode, r.Header.Get("Location"))
		}
	}
}

// A login_hint is text: it leads nowhere and breaks out of nothing.
func TestLoginHintInjection(t *testing.T) {
	w := newWorld(t, sqlite(t))
	for _, hint := range []string{
		"\"><script>alert(1)</script>", "ada@acme.com\r\nSet-Cookie: x=y", "ada@acme.com&organization=globex&connection=" + w.globexSSO.ID,
		"//evil.example", "ada@acme.com%0d%0aLocation: https://evil.example", "' OR 1=1 --", strings.Repeat("a", maxHint),
	} {
		b := w.browser()
		r := b.get(w.ask(map[string]string{"login_hint": hint}))
		to := r.Header.Get("Location")
		if r.StatusCode != http.StatusSeeOther || strings.ContainsAny(to, "\r\n<>\"") || r.Header.Get("Set-Cookie") == "" || strings.Contains(r.Header.Get("Set-Cookie"), "x=y") {
			t.Errorf("%q: %d %q", hint, r.StatusCode, to)
			continue
		}
		u, err := url.Parse(to)
		if err != nil || u.Host != "" && !strings.HasPrefix(to, w.server.URL+"/") || strings.HasPrefix(to, "//") || u.Query().Get("connection") != "" {
			t.Errorf("%q leads to %s", hint, to)
			continue
		}
		f, err := w.signin.Flow(w.ctx(), w.db, w.env.ID, u.Query().Get("flow"), b.id())
		if err != nil || f.Connection == w.globexSSO.ID || f.Organization != "" {
			t.Errorf("%q: %+v %v", hint, f, err)
		}
	}
	if _, q := w.browser().location(w.browser().get(w.ask(map[string]string{"login_hint": strings.Repeat("a", maxHint+1)}))); q.Get("error") != oidc.InvalidRequest {
		t.Errorf("a long one: %v", q)
	}
}

// The issuer and every address come from configuration (ZITADEL CVE-2025-64101):
// whatever a request says of hosts, the answers are the same.
func TestPoisonedHeaders(t *testing.T) {
	w := newWorld(t, sqlite(t))
	poison := func(r *http.Request) {
		for _, h := range []string{"X-Forwarded-Host", "X-Forwarded-Server", "X-Host", "X-Original-Host", "X-Original-URL", "X-Rewrite-URL"} {
			r.Header.Set(h, "evil.example")
		}
		r.Header.Set("X-Forwarded-Proto", "http")
		r.Header.Set("X-Forwarded-Port", "1")
		r.Header.Set("Forwarded", "host=evil.example;proto=http")
	}
	b := w.browser()
	get := func(path string) reply {
		r, err := http.NewRequest(http.MethodGet, w.server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		poison(r)
		return b.do(r)
	}
	begun := get(w.ask(nil))
	if strings.Contains(begun.Header.Get("Location"), "evil") {
		t.Errorf("the sign-in is at %s", begun.Header.Get("Location"))
	}
	to, q := b.location(get(b.login(begun, w.identity("ada@acme.com"))))
	if to != callback || q.Get("iss") != w.server.URL {
		t.Fatalf("%s %v", to, q)
	}
	got := b.token(url.Values{"grant_type": {"authorization_code"}, "code": {q.Get("code")}, "redirect_uri": {callback}, "code_verifier": {verifier}}, w.basic, poison)
	if w.part(got.ID, 1)["iss"] != w.server.URL || w.part(got.Access, 1)["iss"] != w.server.URL {
		t.Errorf("%v", w.part(got.ID, 1))
	}
	// A proof is for our address, not for the one that the request claims.
	p := w.fapi()
	key := newKey(t)
	evil := p.proof(key, "/oauth2/token", claims{"htu": "http://evil.example/oauth2/token"})
	if r := p.token(p.authenticated(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}), poison, dpop(evil)); r.Error != oidc.InvalidDPoPProof {
		t.Errorf("a proof for the claimed address: %s", r.body)
	}
	for _, path := range []string{"/.well-known/openid-configuration", "/oauth2/jwks", w.ask(nil), "/oauth2/logout"} {
		r, err := http.NewRequest(http.MethodGet, w.server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "evil.example"
		if a := b.do(r); a.StatusCode/100 != 4 || a.Header.Get("Location") != "" {
			t.Errorf("%s of another host: %d %s", path, a.StatusCode, a.Header.Get("Location"))
		}
	}
}

// Every redirect is a 303, so that no form is posted on with its password
// (RFC 9700 §4.12), and none may be kept.
func TestAnswersAre303(t *testing.T) {
	w := newWorld(t, sqlite(t))
	b := w.browser()
	u, err := url.Parse(w.ask(nil))
	if err != nil {
		t.Fatal(err)
	}
	begun := b.get(w.ask(nil))
	resumed := b.get(b.login(begun, w.identity("ada@acme.com")))
	id := b.signedIn("ada@acme.com").ID
	for name, r := range map[string]reply{
		"a posted request":  b.post("/oauth2/authorize", u.Query()),
		"a sign-in begins":  begun,
		"a sign-in ends":    resumed,
		"a session answers": b.get(w.ask(nil)),
		"an error":          b.get(w.ask(map[string]string{"response_type": "token"})),
		"a posted logout":   b.post("/oauth2/logout", url.Values{"id_token_hint": {id}}),
		"logout asks":       b.get("/oauth2/logout"),
		"logout":            b.get(logoutPath(map[string]string{"id_token_hint": id, "post_logout_redirect_uri": bye})),
	} {
		if r.StatusCode != http.StatusSeeOther || r.Header.Get("Cache-Control") != "no-store" || r.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %d %v", name, r.StatusCode, r.Header)
		}
	}
}

// Parameters that other products follow lead nowhere, here or after the sign-in.
func TestOpenRedirect(t *testing.T) {
	w := newWorld(t, sqlite(t))
	for _, name := range []string{"return_to", "RelayState", "next", "redirect", "redirect_url", "post_logout_redirect_uri", "target_link_uri", "continue"} {
		for _, evil := range []string{"https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"} {
			b := w.browser()
			begun := b.get(w.ask(map[string]string{name: evil}))
			to, q := b.location(b.get(b.login(begun, w.identity("ada@acme.com")) + "&" + url.Values{name: {evil}, "redirect_uri": {evil}}.Encode()))
			if strings.Contains(begun.Header.Get("Location"), "evil.example") || to != callback || q.Get("code") == "" {
				t.Errorf("%s=%s: %s, then %s", name, evil, begun.Header.Get("Location"), to)
			}
			if r := b.get(logoutPath(map[string]string{name: evil})); strings.Contains(r.Header.Get("Location"), "evil") {
				t.Errorf("logout with %s=%s leads to %s", name, evil, r.Header.Get("Location"))
			}
		}
	}
}

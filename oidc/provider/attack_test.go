package provider

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// The attacks on redirect_uri of sso 5.3: each ends on an error page, and no
// header leads anywhere.
func TestRedirectURIAttacks(t *testing.T) {
	w := newWorld(t, sqlite(t))
	b := w.browser()
	for name, uri := range map[string]string{
		"none":                     "",
		"another host":             "https://evil.example/cb",
		"suffix of the host":       "https://app.example.com.evil.example/cb",
		"our host as user":         "https://app.example.com@evil.example/cb",
		"user before our host":     "https://evil@app.example.com/cb",
		"scheme-relative":          "//app.example.com/cb",
		"double slash in the path": "https://app.example.com//cb",
		"fragment":                 callback + "#x",
		"empty fragment":           callback + "#",
		"traversal":                "https://app.example.com/cb/../x",
		"encoded traversal":        "https://app.example.com/cb/%2e%2e/x",
		"traversal back":           "https://app.example.com/x/../cb",
		"encoded slash":            "https://app.example.com%2fcb",
		"encoded letter":           "https://app.example.com/%63b",
		"extra query":              callback + "?y=1",
		"query cut":                "https://app.example.com/cb?x=",
		"query extended":           "https://app.example.com/cb?x=1&y=2",
		"parameter twice":          "https://app.example.com/cb?x=1&x=1",
		"port":                     "https://app.example.com:444/cb",
		"default port":             "https://app.example.com:443/cb",
		"http":                     "http://app.example.com/cb",
		"custom scheme":            "app:/cb",
		"javascript":               "javascript:alert(1)//" + callback,
		"data":                     "data:text/html,x",
		"subdomain":                "https://x.app.example.com/cb",
		"wildcard":                 "https://*.example.com/cb",
		"case of the host":         "https://APP.example.com/cb",
		"case of the path":         "https://app.example.com/CB",
		"case of the scheme":       "HTTPS://app.example.com/cb",
		"IDN look-alike":           "https://аpp.example.com/cb",
		"trailing dot":             "https://app.example.com./cb",
		"trailing slash":           callback + "/",
		"space before":             " " + callback,
		"tab inside":               "https://app.exa\tmple.com/cb",
		"newline":                  callback + "\r\nLocation: https://evil.example",
		"backslash":                "https://app.example.com\\@evil.example/cb",
		"loopback of a web client": "http://127.0.0.1:1234/cb",
		"relative":                 "/cb",
		"path parameter":           callback + ";x",
		"NUL":                      callback + "\x00",
		"very long":                callback + strings.Repeat("a", 20_000),
	} {
		r := b.get(w.ask(map[string]string{"redirect_uri": uri}))
		if r.StatusCode != http.StatusBadRequest || r.Header.Get("Location") != "" || !strings.HasPrefix(r.body, "PAGE ") {
			t.Errorf("%s: %d %q %.200s", name, r.StatusCode, r.Header.Get("Location"), r.body)
		}
	}
	encoded := url.QueryEscape(callback)
	for name, path := range map[string]string{
		"unknown client":         w.ask(map[string]string{"client_id": "app_" + strings.Repeat("a", 26)}),
		"client that is none":    w.ask(map[string]string{"client_id": "x' OR 1=1"}),
		"no client":              w.ask(map[string]string{"client_id": ""}),
		"redirect_uri twice":     w.ask(nil) + "&redirect_uri=" + encoded,
		"another one beside it":  w.ask(nil) + "&redirect_uri=https%3A%2F%2Fevil.example",
		"client twice":           w.ask(nil) + "&client_id=" + w.app.ID,
		"broken encoding":        w.ask(nil) + "&x=%zz",
		"semicolon":              w.ask(nil) + ";x=1",
		"unknown flow":           "/oauth2/authorize?resume=flw_" + strings.Repeat("a", 26),
		"flow that is none":      "/oauth2/authorize?resume=x",
		"far too many":           w.ask(nil) + "&" + manyParams(),
		"invalid UTF-8":          w.ask(nil) + "&login_hint=%ff",
		"an application without": w.ask(map[string]string{"client_id": w.machine().ID}),
	} {
		r := b.get(path)
		if r.StatusCode/100 != 4 || r.Header.Get("Location") != "" || !strings.HasPrefix(r.body, "PAGE ") {
			t.Errorf("%s: %d %q %.200s", name, r.StatusCode, r.Header.Get("Location"), r.body)
		}
	}
	// What is registered is used letter by letter, its query kept.
	to := b.get(w.ask(map[string]string{"redirect_uri": "https://app.example.com/cb?x=1", "prompt": "none"})).Header.Get("Location")
	if !strings.HasPrefix(to, "https://app.example.com/cb?x=1&error=login_required&") || !strings.Contains(to, "&state=st%26te%3D1&") {
		t.Errorf("registered query: %s", to)
	}
}

func (w *world) machine() tenants.Application {
	app, _ := w.application(tenants.NewApplication{Name: "machine", Type: tenants.Machine})
	return app
}

func manyParams() string {
	q := url.Values{}
	for i := range 2 * maxParams {
		q.Set("p"+strings.Repeat("x", i), "1")
	}
	return q.Encode()
}

// A native application's loopback port may vary (RFC 8252 §7.3), nothing else.
func TestLoopbackRedirect(t *testing.T) {
	w := newWorld(t, sqlite(t))
	app, _ := w.application(tenants.NewApplication{Name: "native", Type: tenants.Native, ApplicationSettings: tenants.ApplicationSettings{
		RedirectURIs: []string{"http://127.0.0.1/cb", "com.example.app:/cb"}, IDTokenAlg: keys.ES256,
	}})
	w.app = app
	b := w.browser()
	for uri, want := range map[string]bool{
		"http://127.0.0.1/cb": true, "http://127.0.0.1:51004/cb": true, "com.example.app:/cb": true,
		"http://127.0.0.1:51004/x": false, "http://localhost:51004/cb": false, "http://127.0.0.2:51004/cb": false, "http://127.0.0.1:5@evil.example/cb": false,
		"https://127.0.0.1:51004/cb": false, "com.example.app:/cb/x": false, "com.example.app2:/cb": false,
	} {
		r := b.get(w.ask(map[string]string{"redirect_uri": uri, "prompt": "none"}))
		if got := strings.HasPrefix(r.Header.Get("Location"), uri+"?error="); got != want {
			t.Errorf("%s: %v %s", uri, r.StatusCode, r.Header.Get("Location"))
		}
	}
}

// Faults that the client is told, always with iss and state.
func TestAuthorizeRefusals(t *testing.T) {
	w := newWorld(t, sqlite(t))
	b := w.browser()
	challenge := oidc.Challenge(verifier)
	for name, c := range map[string]struct {
		changes map[string]string
		extra   string
		want    string
	}{
		"token":                 {map[string]string{"response_type": "token"}, "", oidc.UnsupportedResponseType},
		"id_token":              {map[string]string{"response_type": "id_token"}, "", oidc.UnsupportedResponseType},
		"hybrid":                {map[string]string{"response_type": "code id_token"}, "", oidc.UnsupportedResponseType},
		"none":                  {map[string]string{"response_type": "none"}, "", oidc.UnsupportedResponseType},
		"fragment":              {map[string]string{"response_mode": "fragment"}, "", oidc.InvalidRequest},
		"no PKCE":               {map[string]string{"code_challenge": "", "code_challenge_method": ""}, "", oidc.InvalidRequest},
		"PKCE plain":            {map[string]string{"code_challenge_method": "plain"}, "", oidc.InvalidRequest},
		"PKCE without method":   {map[string]string{"code_challenge_method": ""}, "", oidc.InvalidRequest},
		"method alone":          {map[string]string{"code_challenge": ""}, "", oidc.InvalidRequest},
		"short challenge":       {map[string]string{"code_challenge": challenge[:42]}, "", oidc.InvalidRequest},
		"padded challenge":      {map[string]string{"code_challenge": challenge + "="}, "", oidc.InvalidRequest},
		"no openid":             {map[string]string{"scope": "profile"}, "", oidc.InvalidScope},
		"no scope":              {map[string]string{"scope": ""}, "", oidc.InvalidScope},
		"long scope":            {map[string]string{"scope": "openid " + strings.Repeat("x", 2000)}, "", oidc.InvalidScope},
		"prompt none and login": {map[string]string{"prompt": "none login"}, "", oidc.InvalidRequest},
		"unknown prompt":        {map[string]string{"prompt": "dance"}, "", oidc.InvalidRequest},
		"max_age negative":      {map[string]string{"max_age": "-1"}, "", oidc.InvalidRequest},
		"max_age no number":     {map[string]string{"max_age": "1h"}, "", oidc.InvalidRequest},
		"max_age huge":          {map[string]string{"max_age": "99999999999999999999"}, "", oidc.InvalidRequest},
		"long nonce":            {map[string]string{"nonce": strings.Repeat("n", 2000)}, "", oidc.InvalidRequest},
		"nonce twice":           {nil, "&nonce=x", oidc.InvalidRequest},
		"scope twice":           {nil, "&scope=openid", oidc.InvalidRequest},
		"unknown one twice":     {nil, "&x=1&x=2", oidc.InvalidRequest},
		"registration":          {map[string]string{"registration": "{}"}, "", oidc.RegistrationUnsupported},
		"hint that is no token": {map[string]string{"id_token_hint": "x"}, "", oidc.InvalidRequest},
		"hint unsigned":         {map[string]string{"id_token_hint": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."}, "", oidc.InvalidRequest},
		"unknown organization":  {map[string]string{"organization": "nobody"}, "", oidc.InvalidRequest},
		"unknown connection":    {map[string]string{"connection": "sso_" + strings.Repeat("a", 26)}, "", oidc.InvalidRequest},
		"foreign connection":    {map[string]string{"organization": "acme", "connection": w.globexSSO.ID}, "", oidc.InvalidRequest},
	} {
		to, q := b.location(b.get(w.ask(c.changes) + c.extra))
		if to != callback || q.Get("error") != c.want || q.Get("iss") != w.server.URL || q.Get("state") != "st&te=1" || q.Get("code") != "" {
			t.Errorf("%s: %s %v, want %s", name, to, q, c.want)
		}
	}
	if _, q := b.location(b.get(w.ask(map[string]string{"state": strings.Repeat("s", 9000)}))); q.Get("error") != oidc.InvalidRequest {
		t.Errorf("long state: %v", q)
	}
	r := b.get(w.ask(map[string]string{"response_mode": "form_post", "prompt": "none"}))
	if !strings.HasPrefix(r.body, "POST "+callback+"\nerror=login_required\n") || !strings.Contains(r.body, "\nstate=st&te=1\n") || !strings.Contains(r.body, "\niss="+w.server.URL) {
		t.Errorf("form_post: %s", r.body)
	}
	for _, h := range [][2]string{{"Cache-Control", "no-store"}, {"Referrer-Policy", "no-referrer"}} {
		if got := b.get(w.ask(nil)).Header.Get(h[0]); got != h[1] {
			t.Errorf("%s: %q", h[0], got)
		}
	}
}

// A session answers only for the tenants that it satisfied (identity rule 6).
func TestSessionAnswersForItsTenants(t *testing.T) {
	each(t, func(w *world) {
		b := w.browser()
		b.code(nil, "ada@acme.com")
		for name, c := range map[string]struct {
			changes map[string]string
			code    bool
		}{
			"nothing named":    {nil, true},
			"its tenant":       {map[string]string{"organization": "acme"}, true},
			"its tenant by id": {map[string]string{"organization": w.acme.ID}, true},
			"its connection":   {map[string]string{"connection": w.acmeSSO.ID}, true},
			"another tenant":   {map[string]string{"organization": "globex"}, false},
			"another one's":    {map[string]string{"connection": w.globexSSO.ID}, false},
			"a login by force": {map[string]string{"prompt": "login"}, false},
		} {
			to, q := b.location(b.get(w.ask(c.changes)))
			if (to == callback && q.Get("code") != "") != c.code {
				w.Errorf("%s: %s %v", name, to, q)
			}
			if c.code {
				continue
			}
			if changes := c.changes; changes["prompt"] == "" {
				changes["prompt"] = "none"
				if _, q := b.location(b.get(w.ask(changes))); q.Get("error") != oidc.LoginRequired {
					w.Errorf("%s with prompt=none: %v", name, q)
				}
			}
		}
		if _, q := w.browser().location(w.browser().get(w.ask(map[string]string{"prompt": "none"}))); q.Get("error") != oidc.LoginRequired {
			w.Errorf("another browser: %v", q)
		}
	})
}

// A finished sign-in resumes in its own browser and with its own session only.
func TestResumeIsBoundToTheBrowser(t *testing.T) {
	each(t, func(w *world) {
		victim, thief := w.browser(), w.browser()
		resume := victim.login(victim.get(w.ask(nil)), w.identity("ada@acme.com"))
		thief.code(nil, "eve@globex.com")
		if r := thief.get(resume); r.StatusCode != http.StatusForbidden || r.Header.Get("Location") != "" {
			w.Errorf("another browser: %d %s", r.StatusCode, r.body)
		}
		if _, q := victim.location(victim.get(resume)); q.Get("code") == "" {
			w.Errorf("the browser itself: %v", q)
		}
		begun := victim.get(w.ask(map[string]string{"prompt": "login"}))
		_, q := victim.location(begun)
		if r := victim.get("/oauth2/authorize?resume=" + q.Get("flow")); r.Header.Get("Location") != "" || r.StatusCode/100 != 4 {
			w.Errorf("a flow that did not end: %d %s", r.StatusCode, r.Header.Get("Location"))
		}
		w.tx(func(q db.Queryer) error {
			_, err := w.sessions.End(w.ctx(), actor.Actor{}, q, sessions.Selector{Environment: w.env.ID, Tenant: w.acme.ID}, "test")
			return err
		})
		if r := victim.get(resume); r.Header.Get("Location") != "" || r.StatusCode != http.StatusBadRequest {
			w.Errorf("after the session's end: %d %s", r.StatusCode, r.body)
		}
	})
}

// A sign-in that names a connection ends through that one, whatever is chosen on
// the way: one connection of a tenant may demand more than another.
func TestFlowEndsThroughTheNamedConnection(t *testing.T) {
	each(t, func(w *world) {
		var second tenants.SSOConnection
		w.tx(func(q db.Queryer) (err error) {
			second, err = w.tenants.CreateSSOConnection(w.ctx(), w.admin, q, w.acme.ID, tenants.NewSSOConnection{
				Type: tenants.OIDC, Name: "weak", JIT: true, Status: tenants.SSOActive, OIDC: &tenants.OIDCSettings{Issuer: "https://weak.acme.com", ClientID: "gatehouse"},
			})
			return err
		})
		through := func(c tenants.SSOConnection) signin.Identity {
			i := w.identity("ada@acme.com")
			i.Connection = c.ID
			return i
		}
		named := map[string]string{"connection": w.acmeSSO.ID}
		b := w.browser()
		begun := b.get(w.ask(named))
		_, q := b.location(begun)
		flow, err := w.signin.Flow(w.ctx(), w.db, w.env.ID, q.Get("flow"), b.id())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.signin.OpenFlow(w.ctx(), w.db, flow.ID, b.id(), second); fault.CodeOf(err) != "SIGNIN_OTHER_CONNECTION" {
			w.Errorf("another connection asks its provider for the flow: %v", err)
		}
		handle, err := w.signin.SaveResult(w.ctx(), w.db, w.env.ID, flow.ID, through(second))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.signin.Continue(w.ctx(), actor.Actor{Environment: w.env.ID}, w.env, signin.Arrival{Handle: handle, BrowserID: b.id()}); fault.CodeOf(err) != "SIGNIN_OTHER_CONNECTION" {
			w.Errorf("the flow ended through another connection: %v", err)
		}
		// Chosen on the home-realm page, the other connection makes a session; it does not answer this request.
		if err := w.signin.Choose(w.ctx(), w.db, flow, signin.Option{Tenant: w.acme.ID, Connection: second.ID}); err != nil {
			t.Fatal(err)
		}
		if to, q := b.location(b.get(b.login(begun, through(second)))); to != callback || q.Get("error") != oidc.LoginRequired || q.Get("code") != "" {
			w.Errorf("another connection answered: %s %v", to, q)
		}
		if _, q := b.location(b.get(w.ask(map[string]string{"connection": w.acmeSSO.ID, "prompt": "none"}))); q.Get("error") != oidc.LoginRequired {
			w.Errorf("its session answers for the named connection: %v", q)
		}
		if _, q := b.location(b.get(b.login(b.get(w.ask(named)), through(w.acmeSSO)))); q.Get("code") == "" {
			w.Errorf("the named connection: %v", q)
		}
	})
}

// The hint of one person must not let another in.
func TestIDTokenHintOfAnotherPerson(t *testing.T) {
	each(t, func(w *world) {
		eve := w.browser()
		hint := eve.signedIn("eve@globex.com").ID
		b := w.browser()
		b.code(nil, "ada@acme.com")
		if _, q := b.location(b.get(w.ask(map[string]string{"prompt": "none", "id_token_hint": hint}))); q.Get("error") != oidc.LoginRequired {
			w.Errorf("prompt=none: %v", q)
		}
		r := b.get(b.login(b.get(w.ask(map[string]string{"id_token_hint": hint})), w.identity("ada@acme.com")))
		if _, q := b.location(r); q.Get("error") != oidc.LoginRequired {
			w.Errorf("after a login: %v", q)
		}
	})
}

func TestCodeAttacks(t *testing.T) {
	each(t, func(w *world) {
		other, otherSecret := w.application(tenants.NewApplication{Name: "other", Type: tenants.Web, ApplicationSettings: tenants.ApplicationSettings{
			RedirectURIs: []string{callback}, IDTokenAlg: keys.ES256,
		}})
		b := w.browser()
		base := func(code string) url.Values {
			return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}}
		}
		for name, c := range map[string]struct {
			edit func(f url.Values)
			want string
		}{
			"verifier omitted":       {func(f url.Values) { f.Del("code_verifier") }, oidc.InvalidGrant},
			"verifier wrong":         {func(f url.Values) { f.Set("code_verifier", strings.Repeat("a", 43)) }, oidc.InvalidGrant},
			"verifier 42":            {func(f url.Values) { f.Set("code_verifier", verifier[:42]) }, oidc.InvalidGrant},
			"verifier 129":           {func(f url.Values) { f.Set("code_verifier", strings.Repeat("a", 129)) }, oidc.InvalidGrant},
			"challenge as verifier":  {func(f url.Values) { f.Set("code_verifier", oidc.Challenge(verifier)) }, oidc.InvalidGrant},
			"other redirect_uri":     {func(f url.Values) { f.Set("redirect_uri", "https://app.example.com/cb?x=1") }, oidc.InvalidGrant},
			"no redirect_uri":        {func(f url.Values) { f.Del("redirect_uri") }, oidc.InvalidGrant},
			"no code":                {func(f url.Values) { f.Del("code") }, oidc.InvalidRequest},
			"unknown code":           {func(f url.Values) { f.Set("code", secret.Random()) }, oidc.InvalidGrant},
			"code twice":             {func(f url.Values) { f.Add("code", "x") }, oidc.InvalidRequest},
			"no grant type":          {func(f url.Values) { f.Del("grant_type") }, oidc.InvalidRequest},
			"password":               {func(f url.Values) { f.Set("grant_type", "password") }, oidc.UnsupportedGrantType},
			"implicit":               {func(f url.Values) { f.Set("grant_type", "implicit") }, oidc.UnsupportedGrantType},
			"client_credentials":     {func(f url.Values) { f.Set("grant_type", "client_credentials") }, oidc.UnauthorizedClient},
			"code as refresh token":  {func(f url.Values) { f.Set("grant_type", "refresh_token"); f.Set("refresh_token", f.Get("code")) }, oidc.InvalidGrant},
			"very long code":         {func(f url.Values) { f.Set("code", strings.Repeat("x", 50_000)) }, oidc.InvalidGrant},
			"code with NUL":          {func(f url.Values) { f.Set("code", "\x00") }, oidc.InvalidRequest},
			"the client's own again": {func(url.Values) {}, ""},
		} {
			form := base(b.code(nil, "ada@acme.com"))
			c.edit(form)
			if got := b.token(form); got.Error != c.want || (c.want != "") != (got.StatusCode == http.StatusBadRequest) {
				w.Errorf("%s: %d %s, want %s", name, got.StatusCode, got.body, c.want)
			}
		}
		// A verifier that fails uses the code up: it cannot be guessed at.
		form := base(b.code(nil, "ada@acme.com"))
		form.Set("code_verifier", strings.Repeat("a", 43))
		b.token(form)
		form.Set("code_verifier", verifier)
		if got := b.token(form); got.Error != oidc.InvalidGrant {
			w.Errorf("the right verifier afterwards: %s", got.body)
		}
		// Another client's code is neither redeemed nor used up (zitadel/oidc #902).
		code := b.code(nil, "ada@acme.com")
		if got := b.token(base(code), func(r *http.Request) { r.SetBasicAuth(other.ID, otherSecret) }); got.Error != oidc.InvalidGrant {
			w.Errorf("another client: %s", got.body)
		}
		if got := b.redeem(code); got.StatusCode != http.StatusOK {
			w.Errorf("the client itself afterwards: %s", got.body)
		}
		code = b.code(nil, "ada@acme.com")
		w.clock.Advance(sessions.CodeLifetime)
		if got := b.redeem(code); got.Error != oidc.InvalidGrant {
			w.Errorf("expired: %s", got.body)
		}
		// The challenge was taken out of the request of a client that need not use PKCE.
		w.app, w.secret = other, otherSecret
		code = b.code(map[string]string{"code_challenge": "", "code_challenge_method": ""}, "ada@acme.com")
		if got := b.redeem(code); got.Error != oidc.InvalidGrant {
			w.Errorf("verifier without challenge: %s", got.body)
		}
	})
}

func TestParallelRedemptions(t *testing.T) {
	each(t, func(w *world) {
		b := w.browser()
		code := b.code(nil, "ada@acme.com")
		var mu sync.Mutex
		var won []tokens
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				got := b.redeem(code)
				mu.Lock()
				defer mu.Unlock()
				if got.StatusCode == http.StatusOK {
					won = append(won, got)
				} else if got.Error != oidc.InvalidGrant {
					w.Errorf("%d %s", got.StatusCode, got.body)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			w.Fatalf("%d won", len(won))
		}
		if got := b.refresh(won[0].Refresh); got.Error != oidc.InvalidGrant {
			w.Errorf("the refresh token of a code that came twenty times: %s", got.body)
		}
	})
}

func TestClientAuthentication(t *testing.T) {
	w := newWorld(t, sqlite(t))
	b := w.browser()
	public, _ := w.application(tenants.NewApplication{Name: "spa", Type: tenants.SPA, ApplicationSettings: tenants.ApplicationSettings{RedirectURIs: []string{callback}}})
	refresh := func(f url.Values) url.Values {
		f.Set("grant_type", "refresh_token")
		f.Set("refresh_token", "gwr_x")
		return f
	}
	basic := func(id, secret string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(id, secret) }
	}
	raw := func(values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header["Authorization"] = values }
	}
	none := func(*http.Request) {}
	post := url.Values{"client_id": {w.app.ID}, "client_secret": {w.secret}}
	for name, c := range map[string]struct {
		form   url.Values
		edit   func(*http.Request)
		want   string
		status int
		basic  bool // the challenge names it
	}{
		"basic":                     {url.Values{}, basic(w.app.ID, w.secret), oidc.InvalidGrant, 400, false},
		"basic with its own id":     {url.Values{"client_id": {w.app.ID}}, basic(w.app.ID, w.secret), oidc.InvalidGrant, 400, false},
		"basic, form-encoded":       {url.Values{}, basic(strings.ReplaceAll(w.app.ID, "_", "%5F"), strings.ReplaceAll(w.secret, "_", "%5f")), oidc.InvalidGrant, 400, false},
		"post":                      {post, none, oidc.InvalidGrant, 400, false},
		"public":                    {url.Values{"client_id": {public.ID}}, none, oidc.InvalidGrant, 400, false},
		"nothing":                   {url.Values{}, none, oidc.InvalidClient, 401, false},
		"id alone":                  {url.Values{"client_id": {w.app.ID}}, none, oidc.InvalidClient, 401, false},
		"wrong secret":              {url.Values{}, basic(w.app.ID, w.secret+"x"), oidc.InvalidClient, 401, true},
		"empty secret":              {url.Values{}, basic(w.app.ID, ""), oidc.InvalidClient, 401, true},
		"the hash as secret":        {url.Values{}, basic(w.app.ID, w.app.SecretHash), oidc.InvalidClient, 401, true},
		"unknown client":            {url.Values{}, basic("app_"+strings.Repeat("a", 26), w.secret), oidc.InvalidClient, 401, true},
		"bad percent":               {url.Values{}, basic(w.app.ID, w.secret+"%"), oidc.InvalidClient, 401, true},
		"colon in the id":           {url.Values{}, basic("a:b", w.secret), oidc.InvalidClient, 401, true},
		"not base64":                {url.Values{}, raw("Basic ###"), oidc.InvalidClient, 401, true},
		"no colon":                  {url.Values{}, raw("Basic YWJj"), oidc.InvalidClient, 401, true},
		"bearer":                    {url.Values{}, raw("Bearer x"), oidc.InvalidClient, 401, true},
		"two headers":               {url.Values{}, raw("Basic YTpi", "Basic YTpi"), oidc.InvalidClient, 401, true},
		"basic and post":            {post, basic(w.app.ID, w.secret), oidc.InvalidRequest, 400, false},
		"basic and another id":      {url.Values{"client_id": {public.ID}}, basic(w.app.ID, w.secret), oidc.InvalidRequest, 400, false},
		"secret of a public client": {url.Values{"client_id": {public.ID}, "client_secret": {"x"}}, none, oidc.InvalidClient, 401, false},
		"public by basic":           {url.Values{}, basic(public.ID, ""), oidc.InvalidClient, 401, true},
		"assertion":                 {url.Values{"client_id": {w.app.ID}, "client_assertion": {"x"}}, none, oidc.InvalidClient, 401, false},
		"id twice":                  {url.Values{"client_id": {public.ID, w.app.ID}}, none, oidc.InvalidRequest, 400, false},
	} {
		got := b.token(refresh(c.form), c.edit)
		if got.Error != c.want || got.StatusCode != c.status || strings.HasPrefix(got.Header.Get("WWW-Authenticate"), "Basic ") != c.basic {
			t.Errorf("%s: %d %s %q", name, got.StatusCode, got.body, got.Header.Get("WWW-Authenticate"))
		}
	}
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}, "client_id": {w.app.ID}, "client_secret": {w.secret}}
	for name, r := range map[string]reply{
		"in the address": b.post("/oauth2/token?"+form.Encode(), nil),
		"as JSON": b.post("/oauth2/token", form, func(r *http.Request) {
			r.Header.Set("Content-Type", "application/json")
		}),
		"without a type": b.post("/oauth2/token", form, func(r *http.Request) { r.Header.Del("Content-Type") }),
		"too long":       b.post("/oauth2/token", url.Values{"x": {strings.Repeat("x", 2*maxBody)}}),
	} {
		if r.StatusCode != http.StatusBadRequest || !strings.Contains(r.body, oidc.InvalidRequest) {
			t.Errorf("%s: %d %s", name, r.StatusCode, r.body)
		}
	}
	if r := b.get("/oauth2/token?" + form.Encode()); r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", r.StatusCode)
	}
}

// What is not a live access token of this provider opens nothing.
func TestUserinfoAttacks(t *testing.T) {
	each(t, func(w *world) {
		b := w.browser()
		got := b.signedIn("ada@acme.com")
		sign := func(typ string, change func(*accessClaims)) string {
			var c accessClaims
			if err := w.ring.Verify(w.ctx(), w.env.ID, got.Access, oidc.TypeAccessToken, &c); err != nil {
				w.Fatal(err)
			}
			change(&c)
			s, err := w.ring.Sign(w.ctx(), w.env.ID, keys.ES256, typ, c)
			if err != nil {
				w.Fatal(err)
			}
			return s
		}
		for name, token := range map[string]string{
			"ID token":        got.ID,
			"refresh token":   got.Refresh,
			"nonsense":        "x",
			"unsigned":        "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.e30.",
			"cut":             got.Access[:len(got.Access)-2],
			"logout token":    sign(oidc.TypeLogoutToken, func(*accessClaims) {}),
			"another issuer":  sign(oidc.TypeAccessToken, func(c *accessClaims) { c.Issuer = "https://evil.example" }),
			"another type":    sign(oidc.TypeAccessToken, func(c *accessClaims) { c.Type = "tenantApiToken" }),
			"another tenant":  sign(oidc.TypeAccessToken, func(c *accessClaims) { c.TenantID = w.globex.ID }),
			"another session": sign(oidc.TypeAccessToken, func(c *accessClaims) { c.SessionID = "ses_x" }),
		} {
			r := b.userinfo(token)
			if r.StatusCode != http.StatusUnauthorized || !strings.Contains(r.Header.Get("WWW-Authenticate"), `error="invalid_token"`) {
				w.Errorf("%s: %d %s %q", name, r.StatusCode, r.body, r.Header.Get("WWW-Authenticate"))
			}
		}
		if r := b.userinfo(sign(oidc.TypeAccessToken, func(c *accessClaims) { c.Scope = "profile" })); r.StatusCode != http.StatusForbidden {
			w.Errorf("without openid: %d", r.StatusCode)
		}
		if r := b.get("/oauth2/userinfo?access_token=" + got.Access); r.StatusCode != http.StatusUnauthorized || r.Header.Get("WWW-Authenticate") != "Bearer" {
			w.Errorf("in the address: %d %q", r.StatusCode, r.Header.Get("WWW-Authenticate"))
		}
		both := b.post("/oauth2/userinfo", url.Values{"access_token": {got.Access}}, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+got.Access) })
		if both.StatusCode != http.StatusBadRequest {
			w.Errorf("in two places: %d", both.StatusCode)
		}
		w.clock.Advance(10 * time.Minute)
		if r := b.userinfo(got.Access); r.StatusCode != http.StatusUnauthorized {
			w.Errorf("expired: %d", r.StatusCode)
		}
	})
}

// A script on another origin may call what applications in browsers need.
func TestCORS(t *testing.T) {
	w := newWorld(t, sqlite(t))
	b := w.browser()
	for path, want := range map[string]bool{
		"/oauth2/token": true, "/oauth2/userinfo": true, "/oauth2/revoke": true, "/oauth2/jwks": true, "/.well-known/openid-configuration": true,
		"/oauth2/authorize": false, "/oauth2/logout": false, "/oauth2/introspect": false,
	} {
		r, err := http.NewRequest(http.MethodOptions, w.server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", "https://spa.example.com")
		r.Header.Set("Access-Control-Request-Method", "POST")
		got := b.do(r)
		if (got.StatusCode == http.StatusNoContent && got.Header.Get("Access-Control-Allow-Origin") == "*") != want || got.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: %d %v", path, got.StatusCode, got.Header)
		}
	}
	if r := b.post("/oauth2/token", nil); r.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Error("an error of the token endpoint is hidden from scripts")
	}
}

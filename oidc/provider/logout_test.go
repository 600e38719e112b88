package provider

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/jobs"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/tenants"
)

const bye = "https://app.example.com/bye"

func logoutPath(p map[string]string) string {
	q := url.Values{}
	for k, v := range p {
		q.Set(k, v)
	}
	return "/oauth2/logout?" + q.Encode()
}

// live reports whether the browser is signed in.
func (b *browser) live() bool {
	b.Helper()
	_, q := b.location(b.get(b.ask(map[string]string{"prompt": "none"})))
	return q.Get("code") != ""
}

type logoutCase struct {
	params func(id string) map[string]string
	status int
	to     string // empty: no redirect
	ended  bool
}

// tryLogout signs Ada in and out as the case says.
func (w *world) tryLogout(name string, c logoutCase) {
	w.Helper()
	b := w.browser()
	got := b.signedIn("ada@acme.com")
	r := b.get(logoutPath(c.params(got.ID)))
	if r.StatusCode != c.status || r.Header.Get("Location") != c.to {
		w.Errorf("%s: %d %q %s", name, r.StatusCode, r.Header.Get("Location"), r.body)
	}
	if b.live() == c.ended {
		w.Errorf("%s: signed in %v", name, !c.ended)
	}
	if refreshed := b.refresh(got.Refresh); (refreshed.StatusCode == http.StatusOK) == c.ended {
		w.Errorf("%s: refresh %s", name, refreshed.body)
	}
}

func TestOIDCCRPInitiatedLogout(t *testing.T) {
	each(t, func(w *world) {
		m := w.plan("oidcc-rp-initiated-logout-certification-test-plan")
		m.run("DiscoveryVerification", func(t *testing.T) {
			if got := describe(w.env).EndSessionEndpoint; got != w.server.URL+"/oauth2/logout" {
				t.Errorf("end_session_endpoint %s", got)
			}
		})
		hinted := func(id, redirect string) map[string]string {
			return map[string]string{"id_token_hint": id, "post_logout_redirect_uri": redirect, "state": "s&1"}
		}
		for name, c := range map[string]logoutCase{
			"RpInitiatedLogout": {func(id string) map[string]string { return hinted(id, bye) }, 303, bye + "?state=s%261", true},
			"NoState": {func(id string) map[string]string {
				return map[string]string{"id_token_hint": id, "post_logout_redirect_uri": bye}
			}, 303, bye, true},
			"NoPostLogoutRedirectUri":       {func(id string) map[string]string { return map[string]string{"id_token_hint": id, "state": "s"} }, 200, "", true},
			"NoParams":                      {func(string) map[string]string { return nil }, 303, confirmLogout, false},
			"OnlyState":                     {func(string) map[string]string { return map[string]string{"state": "s"} }, 303, confirmLogout, false},
			"NoIdTokenHint":                 {func(string) map[string]string { return map[string]string{"post_logout_redirect_uri": bye} }, 400, "", false},
			"BadLogoutRedirectUri":          {func(id string) map[string]string { return hinted(id, "https://evil.example/bye") }, 400, "", false},
			"QueryAddedToLogoutRedirectUri": {func(id string) map[string]string { return hinted(id, bye+"?foo=bar") }, 400, "", false},
			"ModifiedIdTokenHint":           {func(id string) map[string]string { return hinted(id[:len(id)-4]+"AAAA", bye) }, 400, "", false},
			"BadIdTokenHint":                {func(string) map[string]string { return map[string]string{"id_token_hint": "x"} }, 400, "", false},
		} {
			m.run(name, func(*testing.T) { w.tryLogout(name, c) })
		}
		m.end()
		eve := w.browser().signedIn("eve@globex.com")
		for name, c := range map[string]logoutCase{
			"client_id instead of a hint": {func(string) map[string]string {
				return map[string]string{"post_logout_redirect_uri": bye, "client_id": w.app.ID}
			}, 303, confirmLogout, false},
			"hint of another":       {func(string) map[string]string { return hinted(eve.ID, bye) }, 303, confirmLogout, false},
			"hint and other client": {func(id string) map[string]string { return map[string]string{"id_token_hint": id, "client_id": "app_x"} }, 400, "", false},
		} {
			w.tryLogout(name, c)
		}
		// A hint that has expired is a hint; a POST from the application's site works as well.
		b := w.browser()
		got := b.signedIn("ada@acme.com")
		w.clock.Advance(time.Hour)
		to, q := b.location(b.post("/oauth2/logout", url.Values{"id_token_hint": {got.ID}, "post_logout_redirect_uri": {bye}}))
		if r := b.get(to + "?" + q.Encode()); r.Header.Get("Location") != bye || b.live() {
			w.Errorf("POST: %d %q", r.StatusCode, r.Header.Get("Location"))
		}
		if r := w.browser().get(logoutPath(map[string]string{"id_token_hint": got.ID, "post_logout_redirect_uri": bye})); r.Header.Get("Location") != bye {
			w.Errorf("not signed in: %d", r.StatusCode)
		}
	})
}

// What is not registered letter by letter is not gone to, and then nothing ends.
func TestPostLogoutRedirectURIAttacks(t *testing.T) {
	w := newWorld(t, sqlite(t))
	b := w.browser()
	id := b.signedIn("ada@acme.com").ID
	for name, uri := range map[string]string{
		"a redirect_uri": callback, "another host": "https://evil.example/bye", "suffix": "https://app.example.com.evil.example/bye", "user": "https://app.example.com@evil.example/bye",
		"scheme-relative": "//app.example.com/bye", "fragment": bye + "#x", "query": bye + "?x", "slash": bye + "/", "traversal": bye + "/../bye", "encoded": "https://app.example.com/%62ye",
		"port": "https://app.example.com:443/bye", "http": "http://app.example.com/bye", "case": "https://APP.example.com/bye", "trailing dot": "https://app.example.com./bye",
		"javascript": "javascript:alert(1)//" + bye, "relative": "/bye", "space": " " + bye, "newline": bye + "\r\nSet-Cookie: x=y", "backslash": "https://app.example.com\\@evil.example/bye",
	} {
		r := b.get(logoutPath(map[string]string{"id_token_hint": id, "post_logout_redirect_uri": uri}))
		if r.StatusCode != http.StatusBadRequest || r.Header.Get("Location") != "" {
			t.Errorf("%s: %d %q", name, r.StatusCode, r.Header.Get("Location"))
		}
	}
	twice := logoutPath(map[string]string{"id_token_hint": id, "post_logout_redirect_uri": bye}) + "&post_logout_redirect_uri=https%3A%2F%2Fevil.example"
	if r := b.get(twice); r.StatusCode != http.StatusBadRequest || r.Header.Get("Location") != "" {
		t.Errorf("twice: %d %q", r.StatusCode, r.Header.Get("Location"))
	}
	if !b.live() {
		t.Error("a refused request signed the person out")
	}
}

// The application asks for the end of the session and hears of it.
func TestOIDCCBackchannelLogout(t *testing.T) {
	each(t, func(w *world) {
		m := w.plan("oidcc-backchannel-rp-initiated-logout-certification-test-plan")
		m.run("Discovery", func(t *testing.T) {
			if d := describe(w.env); !d.BackchannelLogout || !d.BackchannelSession {
				t.Error("back-channel logout is not announced")
			}
		})
		m.run("BackChannelRpInitiatedLogout", func(t *testing.T) {
			heard := make(chan string, 10)
			rp := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { heard <- r.PostFormValue("logout_token") }))
			defer rp.Close()
			w.app, w.secret = w.application(tenants.NewApplication{Name: "bcl", Type: tenants.Web, ApplicationSettings: tenants.ApplicationSettings{
				RedirectURIs: []string{callback}, PostLogoutRedirectURIs: []string{bye}, RequirePKCE: true, IDTokenAlg: keys.RS256, BackchannelLogoutURI: rp.URL,
			}})
			b := w.browser()
			got := b.signedIn("ada@acme.com")
			if r := b.get(logoutPath(map[string]string{"id_token_hint": got.ID, "post_logout_redirect_uri": bye})); r.Header.Get("Location") != bye {
				t.Fatalf("%d %s", r.StatusCode, r.body)
			}
			for range 2 { // the end of a session is told once
				if err := w.sessions.NotifyEnded(w.ctx(), w.db); err != nil {
					t.Fatal(err)
				}
			}
			var n int
			var payload string
			if err := w.db.QueryRow(w.ctx(), `SELECT COUNT(*), MIN(payload) FROM jobs WHERE kind = $1`, sessions.JobLogout).Scan(&n, &payload); err != nil || n != 1 {
				t.Fatalf("%d jobs, %v", n, err)
			}
			if err := w.h.BackchannelLogout(w.ctx(), jobs.Job{Kind: sessions.JobLogout, Payload: []byte(payload)}); err != nil {
				t.Fatal(err)
			}
			ctx := gooidc.ClientContext(w.ctx(), w.server.Client())
			op, err := gooidc.NewProvider(ctx, w.server.URL)
			if err != nil {
				t.Fatal(err)
			}
			token, err := op.VerifierContext(ctx, &gooidc.Config{ClientID: w.app.ID, Now: w.clock.Now, SupportedSigningAlgs: []string{"RS256"}}).VerifyLogout(ctx, <-heard)
			if err != nil {
				t.Fatal(err)
			}
			if id := w.part(got.ID, 1); token.Subject != id["sub"] || token.SessionID != id["sid"] {
				t.Errorf("%+v", token)
			}
		})
		m.end()
	})
}

// oidcc-3rdparty-init-login: the provider sends the browser to where the
// application begins a login, and says who it is.
func TestOIDCCThirdPartyInitiatedLogin(t *testing.T) {
	each(t, func(w *world) {
		m := w.plan("oidcc-3rdparty-init-login-certification-test-plan")
		register := func(uri string) error {
			return w.db.Tx(w.ctx(), func(q db.Queryer) error {
				app, _, err := w.tenants.CreateApplication(w.ctx(), w.admin, q, tenants.NewApplication{Name: "starts", Type: tenants.Web, ApplicationSettings: tenants.ApplicationSettings{
					RedirectURIs: []string{callback}, IDTokenAlg: keys.ES256, RequirePKCE: true, InitiateLoginURI: uri,
				}})
				if err != nil {
					return err
				}
				w.app = app
				yes := true
				_, err = w.tenants.UpdateApplication(w.ctx(), w.admin, q, app.ID, tenants.ApplicationPatch{IsDefault: &yes})
				return err
			})
		}
		m.run("3rdPartyInitLogin", func(t *testing.T) {
			if err := register("https://app.example.com/login?from=op"); err != nil {
				t.Fatal(err)
			}
			at, err := w.signin.StartURL(w.ctx(), w.db, w.env, w.acmeSSO.ID)
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(at)
			if err != nil || !strings.HasPrefix(at, "https://app.example.com/login?") || u.Query().Get("iss") != w.server.URL || u.Query().Get("from") != "op" {
				t.Fatalf("%s %v", at, err)
			}
			// What it carries for us comes back in the application's request.
			b := w.browser()
			if _, q := b.location(b.get(b.login(b.get(w.ask(map[string]string{"connection": u.Query().Get("connection")})), w.identity("ada@acme.com")))); q.Get("code") == "" {
				t.Errorf("%v", q)
			}
		})
		m.run("NonHttps", func(t *testing.T) {
			for _, uri := range []string{"http://app.example.com/login", "javascript:alert(1)", "//app.example.com/login", "https://app.example.com/login#x", "app:/login"} {
				if err := register(uri); err == nil {
					t.Errorf("%s was registered", uri)
				}
			}
		})
		m.end()
	})
}

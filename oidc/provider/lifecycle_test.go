package provider

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/jobs"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/tenants"
)

func sqlite(t testing.TB) db.DB { return dbtest.Open(t, db.SQLite) }

func TestRefreshRotation(t *testing.T) {
	each(t, func(w *world) {
		other, otherSecret := w.application(tenants.NewApplication{Name: "other", Type: tenants.Web, ApplicationSettings: tenants.ApplicationSettings{RedirectURIs: []string{callback}}})
		b := w.browser()
		first := b.signedIn("ada@acme.com")
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.Refresh}}
		if got := b.token(form, func(r *http.Request) { r.SetBasicAuth(other.ID, otherSecret) }); got.Error != oidc.InvalidGrant {
			w.Errorf("another client: %s", got.body)
		}
		form.Set("scope", "openid profile admin")
		if got := b.token(form); got.Error != oidc.InvalidScope {
			w.Errorf("wider: %s", got.body)
		}
		form.Set("scope", "openid email")
		narrow := b.token(form)
		if narrow.StatusCode != http.StatusOK || narrow.Scope != "openid email" || w.part(narrow.Access, 1)["scope"] != "openid email" {
			w.Errorf("narrower: %s", narrow.body)
		}
		again := b.refresh(first.Refresh)
		if again.Refresh != narrow.Refresh || again.Scope != first.Scope {
			w.Errorf("within the grace: %s", again.body)
		}
		third := b.refresh(narrow.Refresh)
		if third.StatusCode != http.StatusOK {
			w.Fatalf("the successor: %s", third.body)
		}
		if got := b.refresh(first.Refresh); got.Error != oidc.InvalidGrant {
			w.Errorf("reuse: %s", got.body)
		}
		if got := b.refresh(third.Refresh); got.Error != oidc.InvalidGrant {
			w.Errorf("the newest after reuse: %s", got.body)
		}
		if n := w.events("token.refresh_reused"); n != 1 {
			w.Errorf("%d events", n)
		}
	})
}

func TestParallelRefresh(t *testing.T) {
	each(t, func(w *world) {
		b := w.browser()
		first := b.signedIn("ada@acme.com")
		var mu sync.Mutex
		successors := map[string]bool{}
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				got := b.refresh(first.Refresh)
				mu.Lock()
				defer mu.Unlock()
				if got.StatusCode != http.StatusOK {
					w.Errorf("%d %s", got.StatusCode, got.body)
				}
				successors[got.Refresh] = true
			})
		}
		wg.Wait()
		if len(successors) != 1 || w.events("token.refresh_reused") != 0 {
			w.Errorf("%d successors", len(successors))
		}
	})
}

// Identity rule 9: whoever may no longer come in gets no token, by none of the
// ways, at once.
func TestLifecycleAtEveryGrant(t *testing.T) {
	for name, change := range map[string]func(w *world, user string, q db.Queryer) error{
		"person disabled": func(w *world, user string, q db.Queryer) error {
			_, err := w.directory.Disable(w.ctx(), w.admin, q, w.acme.ID, user)
			return err
		},
		"person removed": func(w *world, user string, q db.Queryer) error {
			return w.directory.RemoveUser(w.ctx(), w.admin, q, w.acme.ID, user)
		},
		"tenant suspended": func(w *world, _ string, q db.Queryer) error {
			status := tenants.StatusSuspended
			_, err := w.tenants.UpdateTenant(w.ctx(), w.admin, q, w.acme.ID, tenants.TenantPatch{Status: &status})
			return err
		},
		"connection disabled": func(w *world, _ string, q db.Queryer) error {
			status := tenants.SSODisabled
			_, err := w.tenants.UpdateSSOConnection(w.ctx(), w.admin, q, w.acme.ID, w.acmeSSO.ID, tenants.SSOPatch{Status: &status})
			return err
		},
		"sessions ended": func(w *world, user string, q db.Queryer) error {
			_, err := w.sessions.End(w.ctx(), w.admin, q, sessions.Selector{Environment: w.env.ID, Tenant: w.acme.ID, User: user}, "test")
			return err
		},
		"disabled behind the back of sessions": func(w *world, user string, q db.Queryer) error {
			_, err := q.Exec(w.ctx(), `UPDATE memberships SET disabled_at = 1 WHERE tenant_id = $1 AND user_id = $2`, w.acme.ID, user)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(w *world) {
				b, eve := w.browser(), w.browser()
				code := b.code(nil, "ada@acme.com")
				got := b.signedIn("ada@acme.com")
				others := eve.signedIn("eve@globex.com")
				user, _ := w.part(got.Access, 1)["sub"].(string)
				w.tx(func(q db.Queryer) error { return change(w, user, q) })
				if r := b.refresh(got.Refresh); r.StatusCode != http.StatusBadRequest || r.Error != oidc.InvalidGrant || r.Access != "" {
					w.Errorf("refresh: %d %s", r.StatusCode, r.body)
				}
				if r := b.redeem(code); r.Error != oidc.InvalidGrant || r.Access != "" {
					w.Errorf("code: %d %s", r.StatusCode, r.body)
				}
				if r := b.userinfo(got.Access); r.StatusCode != http.StatusUnauthorized {
					w.Errorf("userinfo: %d %s", r.StatusCode, r.body)
				}
				if _, q := b.location(b.get(w.ask(map[string]string{"prompt": "none"}))); q.Get("code") != "" || q.Get("error") == "" {
					w.Errorf("authorize: %v", q)
				}
				if r := eve.refresh(others.Refresh); r.StatusCode != http.StatusOK {
					w.Errorf("somebody else: %d %s", r.StatusCode, r.body)
				}
			})
		})
	}
}

// A role change is in the next token (product 116).
func TestRefreshComputesRolesAnew(t *testing.T) {
	each(t, func(w *world) {
		b := w.browser()
		first := b.signedIn("ada@acme.com")
		if holds(w.part(first.Access, 1)["roles"], "engineer") {
			w.Fatal("the role is there before it exists")
		}
		w.role("engineer", "engineering")
		if second := b.refresh(first.Refresh); !holds(w.part(second.Access, 1)["roles"], "engineer") {
			w.Errorf("roles %v", w.part(second.Access, 1)["roles"])
		}
	})
}

// The identity provider's end of the session holds for refresh tokens and is
// passed on (sso 7.3).
func TestUpstreamSessionEnd(t *testing.T) {
	each(t, func(w *world) {
		b := w.browser()
		identity := w.identity("ada@acme.com")
		identity.SessionEnd = start.Add(time.Hour)
		_, q := b.location(b.get(b.login(b.get(w.ask(nil)), identity)))
		got := b.redeem(q.Get("code"))
		if end := w.part(got.ID, 1)["session_expiry"]; end != float64(start.Add(time.Hour).Unix()) {
			w.Errorf("session_expiry %v", end)
		}
		w.clock.Advance(59 * time.Minute)
		got = b.refresh(got.Refresh)
		if got.StatusCode != http.StatusOK {
			w.Fatalf("before the end: %s", got.body)
		}
		w.clock.Advance(time.Minute)
		if r := b.refresh(got.Refresh); r.Error != oidc.InvalidGrant {
			w.Errorf("after the end: %s", r.body)
		}
		if _, q := b.location(b.get(w.ask(map[string]string{"prompt": "none"}))); q.Get("error") != oidc.LoginRequired {
			w.Errorf("authorize after the end: %v", q)
		}
	})
}

func TestRevokeAndIntrospect(t *testing.T) {
	each(t, func(w *world) {
		other, otherSecret := w.application(tenants.NewApplication{Name: "other", Type: tenants.Web, ApplicationSettings: tenants.ApplicationSettings{RedirectURIs: []string{callback}}})
		foreign := func(r *http.Request) { r.SetBasicAuth(other.ID, otherSecret) }
		b := w.browser()
		got := b.signedIn("ada@acme.com")
		if r := b.post("/oauth2/revoke", url.Values{"token": {got.Refresh}}); r.StatusCode != http.StatusUnauthorized {
			w.Errorf("nobody: %d", r.StatusCode)
		}
		if r := b.post("/oauth2/revoke", url.Values{"token": {got.Refresh}}, foreign); r.StatusCode != http.StatusOK {
			w.Errorf("another client: %d", r.StatusCode)
		}
		if r := b.post("/oauth2/revoke", url.Values{"token": {"unknown"}}, b.basic); r.StatusCode != http.StatusOK {
			w.Errorf("unknown: %d", r.StatusCode)
		}
		if r := b.post("/oauth2/revoke", url.Values{"token": {got.Access}}, b.basic); r.StatusCode != http.StatusBadRequest || !strings.Contains(r.body, oidc.UnsupportedTokenType) {
			w.Errorf("access token: %d %s", r.StatusCode, r.body)
		}
		got = b.refresh(got.Refresh)
		if got.StatusCode != http.StatusOK {
			w.Fatalf("another client revoked it: %s", got.body)
		}

		active := func(token string, edit func(*http.Request)) map[string]any {
			r := b.post("/oauth2/introspect", url.Values{"token": {token}}, edit)
			var m map[string]any
			if err := json.Unmarshal([]byte(r.body), &m); err != nil || r.StatusCode != http.StatusOK {
				w.Fatal(r.StatusCode, r.body)
			}
			return m
		}
		if m := active(got.Access, b.basic); m["active"] != true || m["sub"] != w.part(got.Access, 1)["sub"] || m["tenantId"] != w.acme.ID {
			w.Errorf("%v", m)
		}
		for name, m := range map[string]map[string]any{
			"another client": active(got.Access, foreign), "ID token": active(got.ID, b.basic), "nonsense": active("x", b.basic), "refresh token": active(got.Refresh, b.basic),
		} {
			if m["active"] != false || len(m) != 1 {
				w.Errorf("%s: %v", name, m)
			}
		}

		if r := b.post("/oauth2/revoke", url.Values{"token": {got.Refresh}, "token_type_hint": {"access_token"}}, b.basic); r.StatusCode != http.StatusOK {
			w.Errorf("revoke: %d", r.StatusCode)
		}
		if r := b.refresh(got.Refresh); r.Error != oidc.InvalidGrant {
			w.Errorf("after revocation: %s", r.body)
		}
	})
}

// upstreamLogout plays the SAML side of a sign-out.
type upstreamLogout struct {
	action string
	fields [][2]string
	asked  []string // next addresses
}

func (u *upstreamLogout) LogoutUpstream(_ context.Context, _ tenants.Environment, s sessions.Session, next string) (string, [][2]string, error) {
	if s.ID == "" || len(s.Tenants) == 0 {
		return "", nil, errors.New("the session is not the one that ended")
	}
	u.asked = append(u.asked, next)
	return u.action, u.fields, nil
}

// A sign-out goes by the identity providers of the session, and ends where the
// application wanted it to.
func TestLogoutByTheIdentityProvider(t *testing.T) {
	each(t, func(w *world) {
		up := &upstreamLogout{}
		w.h.upstream = up
		out := func(redirect string) reply {
			b := w.browser()
			id := b.signedIn("ada@acme.com").ID
			r := b.get("/oauth2/logout?" + url.Values{"id_token_hint": {id}, "post_logout_redirect_uri": {redirect}, "state": {"s"}}.Encode())
			if _, q := b.location(b.get(w.ask(map[string]string{"prompt": "none"}))); q.Get("error") != oidc.LoginRequired {
				w.Errorf("the session lives on: %v", q)
			}
			return r
		}
		const bye = "https://app.example.com/bye"
		if r := out(bye); r.Header.Get("Location") != bye+"?state=s" {
			w.Errorf("nobody to tell: %d %s", r.StatusCode, r.Header.Get("Location"))
		}
		up.action = "https://idp.acme.com/slo?SAMLRequest=x"
		if r := out(bye); r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != up.action {
			w.Errorf("by redirect: %d %s", r.StatusCode, r.Header.Get("Location"))
		}
		up.fields = [][2]string{{"SAMLRequest", "x"}}
		if r := out(""); !strings.HasPrefix(r.body, "POST https://idp.acme.com/slo") || !strings.Contains(r.body, "SAMLRequest=x") {
			w.Errorf("by post: %s", r.body)
		}
		if want := []string{bye + "?state=s", bye + "?state=s", w.env.URL("/logout/done")}; !slices.Equal(up.asked, want) {
			w.Errorf("comes back to %v", up.asked)
		}
	})
}

// The application hears of an end that it did not ask for, and an independent
// library accepts the token.
func TestBackchannelLogout(t *testing.T) {
	each(t, func(w *world) {
		var mu sync.Mutex
		var heard []string
		status := http.StatusServiceUnavailable
		rp := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, r.PostFormValue("logout_token"))
			rw.WriteHeader(status)
		}))
		defer rp.Close()
		w.app, w.secret = w.application(tenants.NewApplication{Name: "bcl", Type: tenants.Web, ApplicationSettings: tenants.ApplicationSettings{
			RedirectURIs: []string{callback}, RequirePKCE: true, IDTokenAlg: keys.ES256, BackchannelLogoutURI: rp.URL,
		}})
		b := w.browser()
		got := b.signedIn("ada@acme.com")
		user, _ := w.part(got.Access, 1)["sub"].(string)
		w.tx(func(q db.Queryer) error {
			_, err := w.directory.Disable(w.ctx(), w.admin, q, w.acme.ID, user)
			return err
		})
		if err := w.sessions.NotifyEnded(w.ctx(), w.db); err != nil {
			w.Fatal(err)
		}
		var payload string
		if err := w.db.QueryRow(w.ctx(), `SELECT payload FROM jobs WHERE kind = $1`, sessions.JobLogout).Scan(&payload); err != nil {
			w.Fatal(err)
		}
		job := jobs.Job{Kind: sessions.JobLogout, Payload: []byte(payload)}
		if err := w.h.BackchannelLogout(w.ctx(), job); err == nil {
			w.Error("an answer of 503 is not tried again")
		}
		for _, status = range []int{http.StatusOK, http.StatusNoContent} {
			if err := w.h.BackchannelLogout(w.ctx(), job); err != nil {
				w.Error(status, err)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		if len(heard) != 3 {
			w.Fatalf("heard %d times", len(heard))
		}
		ctx := gooidc.ClientContext(w.ctx(), w.server.Client())
		op, err := gooidc.NewProvider(ctx, w.server.URL)
		if err != nil {
			w.Fatal(err)
		}
		token, err := op.VerifierContext(ctx, &gooidc.Config{ClientID: w.app.ID, Now: w.clock.Now, SupportedSigningAlgs: []string{"ES256"}}).VerifyLogout(ctx, heard[2])
		if err != nil {
			w.Fatal(err)
		}
		if token.Subject != user || token.SessionID != w.part(got.ID, 1)["sid"] {
			w.Errorf("%+v", token)
		}
		if c := w.part(heard[2], 1); c["nonce"] != nil || c["jti"] == w.part(heard[1], 1)["jti"] || c["tenantId"] != w.acme.ID {
			w.Errorf("%v", c)
		}
		if head := w.part(heard[2], 0); head["typ"] != "logout+jwt" {
			w.Errorf("%v", head)
		}
		for name, payload := range map[string]string{
			"another environment":         `{"environment":"env_x","client":"app_x"}`,
			"an application that is gone": `{"environment":"` + w.env.ID + `","client":"app_` + strings.Repeat("a", 26) + `"}`,
		} {
			if err := w.h.BackchannelLogout(w.ctx(), jobs.Job{Payload: []byte(payload)}); err != nil {
				w.Errorf("%s: %v", name, err)
			}
		}
	})
}

// A grant costs a constant number of statements.
func TestStatementsOfGrants(t *testing.T) {
	each(t, func(w *world) {
		b := w.browser()
		code := b.code(nil, "ada@acme.com")
		form := params{"code": code, "redirect_uri": callback, "code_verifier": verifier}
		ctx, counter := db.Count(w.ctx())
		g, err := w.h.codeGrant(ctx, w.env, w.admin, w.app, "", form)
		if err != nil {
			w.Fatal(err)
		}
		if n, trips := counter.Statements(), counter.RoundTrips(); n != 8 || trips != 4 {
			w.Errorf("code: %d statements, %d round trips", n, trips)
		}
		ctx, counter = db.Count(w.ctx())
		if _, err := w.h.refreshGrant(ctx, w.env, w.admin, w.app, "", params{"refresh_token": g.refresh}); err != nil {
			w.Fatal(err)
		}
		if n, trips := counter.Statements(), counter.RoundTrips(); n != 6 || trips != 3 {
			w.Errorf("refresh: %d statements, %d round trips", n, trips)
		}
	})
}

// BenchmarkRefresh is the whole request without the network: client, rotation,
// lifecycle, roles, two signatures.
func BenchmarkRefresh(b *testing.B) {
	dbtest.Bench(b, func(b *testing.B, d db.DB) {
		w := newWorld(b, d)
		br := w.browser()
		token := br.signedIn("ada@acme.com").Refresh
		handler := w.server.Config.Handler
		b.ResetTimer()
		for b.Loop() {
			r := httptest.NewRequest(http.MethodPost, w.server.URL+"/oauth2/token", strings.NewReader(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			w.basic(r)
			rec := httptest.NewRecorder()
			handler.ServeHTTP(rec, r)
			var body tokenBody
			if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil || rec.Code != http.StatusOK {
				b.Fatal(rec.Code, rec.Body.String(), err)
			}
			token = body.RefreshToken
		}
	})
}

func BenchmarkJWKS(b *testing.B) {
	w := newWorld(b, sqlite(b))
	handler := w.server.Config.Handler
	for b.Loop() {
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, w.server.URL+"/oauth2/jwks", nil))
		if rec.Code != http.StatusOK {
			b.Fatal(rec.Code)
		}
	}
}

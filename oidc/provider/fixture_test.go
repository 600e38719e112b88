package provider

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"log"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/rbac/apitoken"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

var start = time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)

const (
	callback = "https://app.example.com/cb"
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)

// world is a provider on real domain packages, with the tenants Acme and Globex,
// which have one connection each, and one application.
type world struct {
	testing.TB
	db        db.DB
	clock     *clock.Fake
	env       tenants.Environment
	admin     actor.Actor
	tenants   *tenants.Service
	directory *directory.Service
	rbac      *rbac.Service
	sessions  *sessions.Service
	signin    *signin.Service
	ring      *keys.Ring
	h         *Handler
	server    *httptest.Server

	acme, globex       tenants.Tenant
	acmeSSO, globexSSO tenants.SSOConnection
	app                tenants.Application
	secret             string
}

func each(t *testing.T, f func(w *world)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, d db.DB) { f(newWorld(t, d)) })
}

func newWorld(t testing.TB, d db.DB) *world {
	t.Helper()
	v, err := keys.NewVault([]byte(strings.Repeat("k", keys.MasterSize)))
	if err != nil {
		t.Fatal(err)
	}
	c := clock.NewFake(start)
	w := &world{TB: t, db: d, clock: c}
	w.sessions = sessions.New(v, c)
	w.tenants = tenants.New(v, w.sessions, c, tenants.Options{})
	w.directory = directory.New(c, w.sessions)
	w.rbac = rbac.New(c)
	w.ring = keys.NewRing(d, v, c)
	w.signin = signin.New(signin.Deps{
		DB: d, Vault: v, Tenants: w.tenants, Directory: w.directory, Policy: policy.New(c), RBAC: w.rbac, Sessions: w.sessions, Clock: c,
	})
	r := chi.NewRouter()
	r.Use(httpx.Identify(nil))
	w.server = httptest.NewUnstartedServer(r)
	w.server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that give up a connection they did not need
	w.server.StartTLS()
	t.Cleanup(w.server.Close)
	w.tx(func(q db.Queryer) (err error) {
		if w.env, err = w.tenants.EnsureDefault(w.ctx(), q, w.server.URL); err != nil {
			return err
		}
		return w.rbac.EnsurePresets(w.ctx(), q, w.env.ID)
	})
	if err := w.ring.Ensure(w.ctx(), w.env.ID); err != nil {
		t.Fatal(err)
	}
	w.admin = actor.Actor{Environment: w.env.ID, Kind: actor.Management, Subject: "key_1"}
	w.acme, w.acmeSSO = w.tenant("Acme")
	w.globex, w.globexSSO = w.tenant("Globex")
	w.app, w.secret = w.application(tenants.NewApplication{Name: "App", Type: tenants.Web, ApplicationSettings: tenants.ApplicationSettings{
		RedirectURIs: []string{callback, "https://app.example.com/cb?x=1"}, PostLogoutRedirectURIs: []string{"https://app.example.com/bye"},
		RequirePKCE: true, IDTokenAlg: keys.ES256,
	}})
	w.h = New(Deps{
		DB: d, Environments: tenants.NewEnvironments(d, c, w.server.URL), Tenants: w.tenants, Sessions: w.sessions, Ring: w.ring, RBAC: w.rbac,
		Signin: w.signin, APITokens: apitoken.New(w.rbac, c), Staff: staff.New(c), Audit: audit.NewLog(d, c), Vault: v, Templates: oidc.NewTemplates(d, c), Pages: pages{}, Fetch: w.server.Client(), Clock: c, Log: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	w.h.Mount(r)
	return w
}

// testWriter makes whatever the provider logs as an error fail the test.
type testWriter struct{ testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.Errorf("logged: %s", p)
	return len(p), nil
}

// pages writes what a person would see in a form that tests read.
type pages struct{}

func (pages) Error(w http.ResponseWriter, _ *http.Request, status int, title, message, code, _ string) {
	w.WriteHeader(status)
	_, _ = io.WriteString(w, "PAGE "+code+" "+title+" "+message)
}

func (pages) AutoPost(w http.ResponseWriter, _ *http.Request, action string, fields [][2]string) {
	_, _ = io.WriteString(w, "POST "+html.EscapeString(action)+"\n")
	for _, f := range fields {
		_, _ = io.WriteString(w, f[0]+"="+f[1]+"\n")
	}
}

func (pages) Device(w http.ResponseWriter, _ *http.Request, status int, p oidc.DevicePage) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(p)
}

func (w *world) ctx() context.Context { return context.WithoutCancel(w.Context()) }

func (w *world) tx(f func(q db.Queryer) error) {
	w.Helper()
	if err := w.db.Tx(w.ctx(), f); err != nil {
		w.Fatal(err)
	}
}

func (w *world) tenant(name string) (t tenants.Tenant, c tenants.SSOConnection) {
	w.Helper()
	w.tx(func(q db.Queryer) (err error) {
		if t, err = w.tenants.CreateTenant(w.ctx(), w.admin, q, tenants.NewTenant{Name: name, Key: strings.ToLower(name)}); err != nil {
			return err
		}
		if _, err := w.tenants.AddDomain(w.ctx(), w.admin, q, t.ID, strings.ToLower(name)+".com", true); err != nil {
			return err
		}
		c, err = w.tenants.CreateSSOConnection(w.ctx(), w.admin, q, t.ID, tenants.NewSSOConnection{
			Type: tenants.OIDC, Name: name, JIT: true, Status: tenants.SSOActive,
			OIDC: &tenants.OIDCSettings{Issuer: "https://idp." + strings.ToLower(name) + ".com", ClientID: "gatehouse", Scopes: []string{"openid"}},
		})
		return err
	})
	return t, c
}

func (w *world) application(n tenants.NewApplication) (app tenants.Application, secret string) {
	w.Helper()
	w.tx(func(q db.Queryer) (err error) {
		app, secret, err = w.tenants.CreateApplication(w.ctx(), w.admin, q, n)
		return err
	})
	return app, secret
}

// role makes a role and gives it to everybody who comes in through Acme's group.
func (w *world) role(key, group string, permissions ...string) {
	w.Helper()
	w.tx(func(q db.Queryer) error {
		r, err := w.rbac.CreateRole(w.ctx(), w.admin, q, rbac.NewRole{Key: key, Name: key, Level: 5, Permissions: permissions})
		if err != nil {
			return err
		}
		return w.rbac.PutMappings(w.ctx(), w.admin, q, w.acme.ID, []rbac.Mapping{{Group: group, RoleIDs: []string{r.ID}}})
	})
}

func (w *world) identity(who string) signin.Identity {
	c, issuer := w.acmeSSO, "https://idp.acme.com"
	if strings.HasSuffix(who, "@globex.com") {
		c, issuer = w.globexSSO, "https://idp.globex.com"
	}
	return signin.Identity{
		Protocol: signin.OIDC, Tenant: c.Tenant, Connection: c.ID, SubjectParts: []string{issuer, who}, Subject: who, UserName: who,
		Email: who, FirstName: "Ada", LastName: "Lovelace", AMR: []string{"pwd"}, ACR: "urn:mace:incommon:iap:silver", At: w.clock.Now(),
		Groups: []string{"engineering"}, GroupsKnown: true,
	}
}

// browser is somebody's browser, which follows no redirect by itself.
type browser struct {
	*world
	http *http.Client
}

func (w *world) browser() *browser {
	w.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.Fatal(err)
	}
	return &browser{w, &http.Client{
		Transport: w.server.Client().Transport, Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// reply is an answer that was read.
type reply struct {
	*http.Response
	body string
}

func (b *browser) do(r *http.Request) reply {
	b.Helper()
	resp, err := b.http.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	return reply{resp, string(body)}
}

func (b *browser) get(path string) reply {
	b.Helper()
	r, err := http.NewRequest(http.MethodGet, b.server.URL+path, nil)
	if err != nil {
		b.Fatal(err)
	}
	return b.do(r)
}

func (b *browser) post(path string, form url.Values, edit ...func(*http.Request)) reply {
	b.Helper()
	r, err := http.NewRequest(http.MethodPost, b.server.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, e := range edit {
		e(r)
	}
	return b.do(r)
}

// location gives where a redirect leads and its parameters.
func (b *browser) location(r reply) (to string, q url.Values) {
	b.Helper()
	if r.StatusCode != http.StatusSeeOther {
		b.Fatalf("status %d instead of a redirect: %s", r.StatusCode, r.body)
	}
	u, err := url.Parse(r.Header.Get("Location"))
	if err != nil {
		b.Fatal(err)
	}
	q = u.Query()
	u.RawQuery = ""
	return u.String(), q
}

// answer gives where an answer of the authorization endpoint leads and its
// parameters, whether the browser is redirected or posts a form.
func (b *browser) answer(r reply) (to string, q url.Values) {
	b.Helper()
	posted, ok := strings.CutPrefix(r.body, "POST ")
	if !ok || r.StatusCode != http.StatusOK {
		return b.location(r)
	}
	lines := strings.Split(strings.TrimSuffix(posted, "\n"), "\n")
	q = url.Values{}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, "=")
		q.Add(name, value)
	}
	return html.UnescapeString(lines[0]), q
}

// id is the browser-id cookie.
func (b *browser) id() string {
	b.Helper()
	u, err := url.Parse(b.server.URL)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range b.http.Jar.Cookies(u) {
		if c.Name == "__Host-browser" {
			return c.Value
		}
	}
	b.Fatal("the browser has no id")
	return ""
}

// ask is a complete authorization request with the given parameters changed;
// an empty value leaves one out.
func (w *world) ask(changes map[string]string) string {
	p := map[string]string{
		"client_id": w.app.ID, "redirect_uri": callback, "response_type": "code", "scope": "openid profile email offline_access",
		"state": "st&te=1", "nonce": "n-1", "code_challenge": oidc.Challenge(verifier), "code_challenge_method": "S256",
	}
	maps.Copy(p, changes)
	q := url.Values{}
	for k, v := range p {
		if v != "" {
			q.Set(k, v)
		}
	}
	return "/oauth2/authorize?" + q.Encode()
}

// login answers the sign-in that the reply leads to as the identity provider
// would, and gives the path that resumes the request.
func (b *browser) login(r reply, identity signin.Identity) (resume string) {
	b.Helper()
	to, q := b.location(r)
	flow := q.Get("flow")
	if flow == "" {
		b.Fatalf("no sign-in was begun: %s %v", to, q)
	}
	var handle string
	b.tx(func(tq db.Queryer) (err error) {
		handle, err = b.signin.SaveResult(b.ctx(), tq, b.env.ID, flow, identity)
		return err
	})
	u, err := url.Parse(b.server.URL)
	if err != nil {
		b.Fatal(err)
	}
	arrival := signin.Arrival{Handle: handle}
	for _, c := range b.http.Jar.Cookies(u) {
		switch c.Name {
		case "__Host-browser":
			arrival.BrowserID = c.Value
		case "__Host-session":
			arrival.SessionCookie = c.Value
		}
	}
	out, err := b.signin.Continue(b.ctx(), actor.Actor{Environment: b.env.ID, IP: netip.MustParseAddr("192.0.2.1")}, b.env, arrival)
	if err != nil {
		b.Fatal(err)
	}
	if out.Refusal != nil {
		b.Fatalf("refused: %v", out.Refusal)
	}
	b.http.Jar.SetCookies(u, []*http.Cookie{{Name: "__Host-session", Value: out.Cookie, Path: "/", Secure: true}})
	return "/oauth2/authorize?resume=" + url.QueryEscape(out.FlowID)
}

// code signs somebody in, unless he is, and gives the code that the application receives.
func (b *browser) code(changes map[string]string, who string) string {
	b.Helper()
	r := b.get(b.ask(changes))
	to, q := b.answer(r)
	if to != callback { // the session, if there is one, does not suffice
		_, q = b.answer(b.get(b.login(r, b.identity(who))))
	}
	if q.Get("code") == "" {
		b.Fatalf("no code: %v", q)
	}
	return q.Get("code")
}

// tokens is the answer of the token endpoint.
type tokens struct {
	reply
	Access      string `json:"access_token"`
	Type        string `json:"token_type"`
	Expires     int64  `json:"expires_in"`
	Refresh     string `json:"refresh_token"`
	ID          string `json:"id_token"`
	Scope       string `json:"scope"`
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

func (w *world) basic(r *http.Request) {
	r.SetBasicAuth(url.QueryEscape(w.app.ID), url.QueryEscape(w.secret))
}

func (b *browser) token(form url.Values, edit ...func(*http.Request)) tokens {
	b.Helper()
	if len(edit) == 0 {
		edit = []func(*http.Request){b.basic}
	}
	t := tokens{reply: b.post("/oauth2/token", form, edit...)}
	if err := json.Unmarshal([]byte(t.body), &t); err != nil {
		b.Fatalf("status %d: %q: %v", t.StatusCode, t.body, err)
	}
	if t.Header.Get("Cache-Control") != "no-store" {
		b.Errorf("Cache-Control: %q", t.Header.Get("Cache-Control"))
	}
	return t
}

func (b *browser) redeem(code string) tokens {
	b.Helper()
	return b.token(url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}})
}

func (b *browser) refresh(token string) tokens {
	b.Helper()
	return b.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

// signedIn signs somebody in to the application.
func (b *browser) signedIn(who string) tokens {
	b.Helper()
	t := b.redeem(b.code(nil, who))
	if t.StatusCode != http.StatusOK {
		b.Fatalf("status %d: %s", t.StatusCode, t.body)
	}
	return t
}

func (b *browser) userinfo(token string) reply {
	b.Helper()
	r, err := http.NewRequest(http.MethodGet, b.server.URL+"/oauth2/userinfo", nil)
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return b.do(r)
}

// part decodes the header (0) or the claims (1) of a JWT.
func (w *world) part(token string, i int) map[string]any {
	w.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		w.Fatalf("not a JWT: %q", token)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[i])
	if err != nil {
		w.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		w.Fatal(err)
	}
	return m
}

func (w *world) events(action string) (n int) {
	w.Helper()
	if err := w.db.QueryRow(w.ctx(), `SELECT COUNT(*) FROM audit_events WHERE action = $1`, action).Scan(&n); err != nil {
		w.Fatal(err)
	}
	return n
}

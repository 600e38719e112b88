package rig

import (
	"context"
	"encoding/json"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
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
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/internal/safehttp"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/oidc/client"
	"github.com/gatehouse-id/gatehouse/onboarding"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/portal/login"
	"github.com/gatehouse-id/gatehouse/portal/ui"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/rbac/apitoken"
	"github.com/gatehouse-id/gatehouse/saml"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Start is when a rig's clock stands.
var Start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Rig is a world to sign in to.
type Rig struct {
	TB        testing.TB
	DB        db.DB
	Clock     *clock.Fake
	Vault     *keys.Vault
	Audit     *audit.Log
	Sessions  *sessions.Service
	Tenants   *tenants.Service
	Directory *directory.Service
	Policy    *policy.Service
	RBAC      *rbac.Service
	Signin    *signin.Service
	People    *onboarding.Service
	Env       tenants.Environment
	SAML      *saml.Handler
	OIDC      *client.Handler
	URL       string // of the gateway, without a slash at the end
	Vendor    actor.Actor
	Hosts     *Hosts // played to the gateway's fetches
	// Counted, when set, is told how many statements each request took.
	Counted func(r *http.Request, c *db.Counter)
}

// New builds the domain on an empty migrated store and serves it.
func New(t testing.TB, d db.DB) *Rig {
	t.Helper()
	return NewAt(t, d, "127.0.0.1")
}

// NewAt is New under a name of the loopback: real browsers bind passkeys to a
// name such as localhost, and to no number.
func NewAt(t testing.TB, d db.DB, host string) *Rig {
	t.Helper()
	vault, err := keys.NewVault(make([]byte, 32))
	check(t, err)
	c := clock.NewFake(Start)
	r := &Rig{TB: t, DB: d, Clock: c, Vault: vault, Audit: audit.NewLog(d, c), Sessions: sessions.New(vault, c), Policy: policy.New(c), RBAC: rbac.New(c)}
	r.Tenants = tenants.New(vault, r.Sessions, c, tenants.Options{AllowHTTP: true})
	r.Directory = directory.New(c, r.Sessions)
	r.Signin = signin.New(signin.Deps{
		DB: d, Vault: vault, Tenants: r.Tenants, Directory: r.Directory, Policy: r.Policy, RBAC: r.RBAC, Sessions: r.Sessions, Clock: c,
	})
	r.People = onboarding.New(onboarding.Deps{
		DB: d, Tenants: r.Tenants, Directory: r.Directory, Policy: r.Policy, RBAC: r.RBAC, Tokens: apitoken.New(r.RBAC, c), Sessions: r.Sessions, Signin: r.Signin, Clock: c,
	})
	router := chi.NewRouter()
	server := httptest.NewServer(router)
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	check(t, err)
	r.URL = "http://" + net.JoinHostPort(host, port)
	r.Tx(func(q db.Queryer) error {
		var err error
		if r.Env, err = r.Tenants.EnsureDefault(t.Context(), q, r.URL); err != nil {
			return err
		}
		return r.RBAC.EnsurePresets(t.Context(), q, r.Env.ID)
	})
	r.Vendor = actor.Actor{Environment: r.Env.ID, Kind: actor.Management, Name: "vendor"}
	r.mount(router)
	return r
}

func (r *Rig) mount(router chi.Router) {
	log := slog.New(slog.DiscardHandler)
	environments := tenants.NewEnvironments(r.DB, r.Clock, r.URL)
	branding := login.NewBranding(r.DB, environments, r.Tenants, r.Signin, r.Clock, log)
	pages, err := ui.NewWith(ui.Config{Templates: []fs.FS{login.Templates()}, Look: branding.Look})
	check(r.TB, err)
	fetch := safehttp.New(safehttp.Options{AllowPrivate: true, Timeout: 2 * time.Second})
	r.Hosts = &Hosts{next: fetch.HTTP().Transport}
	played := *fetch.HTTP()
	played.Transport = r.Hosts
	router.Use(r.count, httpx.Identify(nil))
	router.Handle("/assets/*", pages.Assets())
	r.SAML = saml.New(saml.Deps{
		DB: r.DB, Environments: environments, Tenants: r.Tenants, Signin: r.Signin, Sessions: r.Sessions, Pages: pages, Fetch: fetch, Clock: r.Clock, Log: log,
	})
	branding.Mount(router)
	login.New(r.DB, environments, r.Signin, r.Sessions, r.People, r.SAML, pages, log).Mount(router)
	r.SAML.Mount(router)
	r.OIDC = client.New(r.DB, environments, r.Tenants, r.Signin, r.Sessions, &played, pages, r.Clock, log)
	r.OIDC.Mount(router)
	router.Get("/oauth2/authorize", r.authorize)
}

func (r *Rig) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if r.Counted == nil {
			next.ServeHTTP(w, req)
			return
		}
		ctx, c := db.Count(req.Context())
		next.ServeHTTP(w, req.WithContext(ctx))
		r.Counted(req, c)
	})
}

// Arrived is what the application in the place of /oauth2/authorize tells.
type Arrived struct {
	Flow, Tenant, Connection, User, Session string
	Request                                 json.RawMessage
	Error                                   string
}

// authorize begins a sign-in as an authorization request does, and resumes one.
func (r *Rig) authorize(w http.ResponseWriter, req *http.Request) {
	ctx, v := req.Context(), req.URL.Query()
	if flow := v.Get("resume"); flow != "" {
		_ = json.NewEncoder(w).Encode(r.resume(ctx, req, flow)) // the browser may have gone away
		return
	}
	next, err := r.Signin.Begin(ctx, actor.Actor{Environment: r.Env.ID, Kind: actor.Anonymous}, r.DB, signin.Start{
		Environment: r.Env, BrowserID: httpx.BrowserID(w, req), Organization: v.Get("organization"), Connection: v.Get("connection"),
		LoginHint: v.Get("login_hint"), DomainHint: v.Get("domain_hint"), Locales: v.Get("ui_locales"), ForceAuthn: v.Get("prompt") == "login",
		Request: json.RawMessage(`{"state":"of the application"}`),
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	http.Redirect(w, req, next.URL, http.StatusSeeOther)
}

func (r *Rig) resume(ctx context.Context, req *http.Request, flow string) Arrived {
	done, err := r.Signin.Finished(ctx, r.DB, r.Env.ID, flow, httpx.Browser(req))
	if err != nil {
		return Arrived{Flow: flow, Error: fault.CodeOf(err)}
	}
	s, err := r.Sessions.Find(ctx, r.DB, r.Env.ID, httpx.SessionCookie(req))
	if err != nil {
		return Arrived{Flow: flow, Error: fault.CodeOf(err)}
	}
	out := Arrived{Flow: flow, Tenant: done.Tenant, Connection: done.Connection, User: s.UserID, Session: s.ID, Request: done.Request}
	if _, ok := s.Proof(done.Tenant); !ok || s.ID != done.SessionID {
		out.Error = "the session does not satisfy the flow's tenant"
	}
	return out
}

// StartURL is where an application sends the browser; pairs of name and value
// are further parameters.
func (r *Rig) StartURL(pairs ...string) string {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return r.URL + "/oauth2/authorize?" + v.Encode()
}

// ReadArrival reads what authorize told; ok is false for any other page.
func ReadArrival(body string) (a Arrived, ok bool) {
	if !strings.HasPrefix(body, "{") {
		return a, false
	}
	err := json.Unmarshal([]byte(body), &a)
	return a, err == nil && a.Error == ""
}

// Tx runs f in a transaction; an error ends the test.
func (r *Rig) Tx(f func(db.Queryer) error) {
	r.TB.Helper()
	check(r.TB, r.DB.Tx(r.TB.Context(), f))
}

// Exec runs one statement.
func (r *Rig) Exec(sql string, args ...any) {
	r.TB.Helper()
	_, err := r.DB.Exec(r.TB.Context(), sql, args...)
	check(r.TB, err)
}

// Count reads one number.
func (r *Rig) Count(sql string, args ...any) int {
	r.TB.Helper()
	var n int64
	check(r.TB, r.DB.QueryRow(r.TB.Context(), sql, args...).Scan(&n))
	return int(n)
}

// Listen serves a handler that must know its own address before it exists.
func Listen(t testing.TB, handler func(base string) http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	base := "http://" + l.Addr().String()
	server := httptest.NewUnstartedServer(handler(base))
	server.Listener.Close()
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	return base
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

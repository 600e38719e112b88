package provider

import (
	"context"
	"log/slog"
	"net/http"
	"sync"

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/rbac/apitoken"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Pages renders what a person sees.
type Pages interface {
	Error(w http.ResponseWriter, r *http.Request, status int, title, message, code, flowID string)
	AutoPost(w http.ResponseWriter, r *http.Request, action string, fields [][2]string)
	Device(w http.ResponseWriter, r *http.Request, status int, p oidc.DevicePage)
}

// Upstream tells identity providers that a session ended (SAML single logout). It
// gives where to send the browser, by a form with the fields when there are any;
// from there it comes back to next. An empty action: nobody has to be told.
type Upstream interface {
	LogoutUpstream(ctx context.Context, env tenants.Environment, s sessions.Session, next string) (action string, fields [][2]string, err error)
}

// Deps are what the provider stands on.
type Deps struct {
	DB           db.DB
	Environments *tenants.Environments
	Tenants      *tenants.Service
	Sessions     *sessions.Service
	Ring         *keys.Ring
	RBAC         *rbac.Service
	Signin       *signin.Service
	APITokens    *apitoken.Service
	Staff        *staff.Service
	Audit        *audit.Log
	Vault        *keys.Vault
	Templates    *oidc.Templates
	Pages        Pages
	Upstream     Upstream     // nil: no identity provider is told of a sign-out
	Fetch        *http.Client // guarded; for back-channel logout
	Clock        clock.Clock
	Log          *slog.Logger
}

// Handler serves the OpenID Provider.
type Handler struct {
	db           db.DB
	environments *tenants.Environments
	tenants      *tenants.Service
	sessions     *sessions.Service
	ring         *keys.Ring
	rbac         *rbac.Service
	signin       *signin.Service
	apiTokens    *apitoken.Service
	staff        *staff.Service
	audit        *audit.Log
	vault        *keys.Vault
	templates    *oidc.Templates
	pages        Pages
	upstream     Upstream
	fetch        *http.Client
	clock        clock.Clock
	log          *slog.Logger

	discovery sync.Map // issuer → document
	keySetsMu sync.Mutex
	keySets   map[string]*oidc.KeySet // address → what applications publish there
}

// New makes the provider.
func New(d Deps) *Handler {
	return &Handler{
		db: d.DB, environments: d.Environments, tenants: d.Tenants, sessions: d.Sessions, ring: d.Ring, rbac: d.RBAC,
		keySets: map[string]*oidc.KeySet{}, signin: d.Signin, apiTokens: d.APITokens, staff: d.Staff, audit: d.Audit, vault: d.Vault, templates: d.Templates, pages: d.Pages, upstream: d.Upstream, fetch: d.Fetch, clock: d.Clock, log: d.Log,
	}
}

// Limits of a request, in bytes.
const (
	maxBody  = 64 << 10
	maxQuery = 32 << 10
)

// Mount adds the routes.
func (h *Handler) Mount(r chi.Router) {
	r.Method(http.MethodGet, "/.well-known/openid-configuration", h.called(h.configuration, h.fail))
	r.Method(http.MethodGet, "/.well-known/oauth-authorization-server", h.called(h.configuration, h.fail))
	r.Method(http.MethodGet, "/oauth2/jwks", h.called(h.jwks, h.fail))
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/oauth2/jwks", "/oauth2/token", "/oauth2/userinfo", "/oauth2/revoke", "/oauth2/par", "/oauth2/device_authorization"} {
		r.Options(path, preflight)
	}
	r.Method(http.MethodPost, "/oauth2/token", h.called(h.token, h.fail))
	r.Method(http.MethodPost, "/oauth2/par", h.called(h.push, h.fail))
	r.Method(http.MethodPost, "/oauth2/device_authorization", h.called(h.device, h.fail))
	r.Method(http.MethodGet, devicePath, h.public(h.showDevice, h.page))
	r.Method(http.MethodPost, devicePath, http.NewCrossOriginProtection().Handler(h.public(h.decideDevice, h.page)))
	r.Method(http.MethodPost, "/oauth2/revoke", h.called(h.revoke, h.fail))
	r.Method(http.MethodPost, "/oauth2/introspect", h.public(h.introspect, h.fail))
	userinfo := h.called(h.userinfo, h.failBearer)
	r.Method(http.MethodGet, "/oauth2/userinfo", userinfo)
	r.Method(http.MethodPost, "/oauth2/userinfo", userinfo)
	for path, f := range map[string]endpoint{"/oauth2/authorize": h.authorize, "/oauth2/logout": h.logout} {
		page := h.public(f, h.page)
		r.Method(http.MethodGet, path, page)
		r.Method(http.MethodPost, path, page)
	}
}

// endpoint is a route of an environment. The actor is anonymous: who calls
// shows a credential of his own.
type endpoint func(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor) error

type failure func(w http.ResponseWriter, r *http.Request, err error)

func (h *Handler) public(f endpoint, fail failure) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		env, err := h.environments.ByHost(r.Context(), r.Host)
		if err == nil {
			err = f(w, r, env, httpx.Anonymous(r, env.ID))
		}
		if err != nil {
			fail(w, r, err)
		}
	})
}

// called mounts an endpoint that scripts on other origins may call. No cookie
// counts there, so any origin may (CORS without credentials): what protects are
// codes, secrets and tokens in the request itself.
func (h *Handler) called(f endpoint, fail failure) http.Handler {
	next := h.public(f, fail)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Expose-Headers", "WWW-Authenticate, DPoP-Nonce, "+httpx.RequestIDHeader)
		next.ServeHTTP(w, r)
	})
}

func preflight(w http.ResponseWriter, _ *http.Request) {
	head := w.Header()
	head.Set("Access-Control-Allow-Origin", "*")
	head.Set("Access-Control-Allow-Methods", "GET, POST")
	head.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, DPoP")
	head.Set("Access-Control-Max-Age", "7200")
	w.WriteHeader(http.StatusNoContent)
}

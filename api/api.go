package api

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/internal/limit"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/onboarding"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/rbac/apitoken"
	"github.com/gatehouse-id/gatehouse/rbac/entitlement"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/scim"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/signin/staffauth"
	"github.com/gatehouse-id/gatehouse/tenants"
	"github.com/gatehouse-id/gatehouse/webhooks"
)

// Deps is what the API is made of. Limit may be nil: requests are not limited;
// TenantLimit too: tenants are not.
type Deps struct {
	DB           db.DB
	Clock        clock.Clock
	Logger       *slog.Logger
	Vault        *keys.Vault
	Ring         *keys.Ring
	Audit        *audit.Log
	Environments *tenants.Environments
	Tenants      *tenants.Service
	Directory    *directory.Service
	Policy       *policy.Service
	RBAC         *rbac.Service
	Staff        *staff.Service
	StaffAuth    *staffauth.Service
	APITokens    *apitoken.Service
	Entitlements *entitlement.Service
	JWTTemplates *oidc.Templates
	Onboarding   *onboarding.Service
	Sessions     *sessions.Service
	Signin       *signin.Service
	Webhooks     *webhooks.Service
	SCIMLog      *scim.Log
	// SCIM replays requests of the log.
	SCIM *scim.Handler
	// ParseIdPMetadata reads the metadata of a SAML identity provider.
	ParseIdPMetadata func([]byte) (tenants.SAMLSettings, error)
	// FetchIdPMetadata reads it at an address and gives its ETag as well;
	// RefreshIdPMetadata takes over what the connection's address has now. Both ask
	// the network, and are never called in a transaction.
	FetchIdPMetadata   func(ctx context.Context, address string) (tenants.SAMLSettings, string, error)
	RefreshIdPMetadata func(ctx context.Context, a actor.Actor, tenant, connection string) (tenants.Metadata, error)
	Resolver           tenants.Resolver // for domain verification
	// UserActor gives the actor of a user's access token, which holds now.
	UserActor func(ctx context.Context, env tenants.Environment, token string) (actor.Actor, error)
	// Impersonate gives somebody of the vendor's a token as a person; it opens its
	// own transaction.
	Impersonate func(ctx context.Context, a actor.Actor, env tenants.Environment, in staff.Impersonation) (staff.ImpersonationToken, error)
	Limit       *limit.Limiter // per credential
	TenantLimit *limit.Limiter // of all credentials of a tenant together
	Version     string         // of the program, shown in the OpenAPI document
	Stylesheet  string         // address of the stylesheet of /api/docs; empty: none
}

// Handler serves the API.
type Handler struct {
	Deps
	api    huma.API
	router chi.Router
	spec   []byte
	docs   []byte
	// routes is everything that was registered, for the documentation and the tests.
	routes  []route
	guesses guesses
	denials *limit.Limiter // what is told of them, see tell
}

// maxBody bounds the body of a request in bytes, unless its route says otherwise.
const maxBody = 256 << 10

// New makes the handler. It fails only by a defect of the program.
func New(d Deps) (*Handler, error) {
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Handler{Deps: d, router: chi.NewRouter(), guesses: newGuesses(), denials: newDenials()}
	config := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "Gatehouse management API", Version: d.Version,
				Description: about,
			},
			Servers: []*huma.Server{{URL: "/api/v1"}},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"bearer": {Type: "http", Scheme: "bearer", Description: "A management key, an API token, or a user's access token."},
					"apiKey": {Type: "apiKey", In: "header", Name: "X-API-KEY", Description: "A management key or an API token."},
				},
			},
			Security: []map[string][]string{{"bearer": {}}, {"apiKey": {}}},
		},
		// One format: the API is JSON whatever Accept says, and adds no $schema, which
		// would be built from the Host header.
		Formats:       map[string]huma.Format{"application/json": jsonFormat, "json": jsonFormat},
		DefaultFormat: "application/json",
	}
	v1 := chi.NewRouter()
	v1.NotFound(h.notFound)
	v1.MethodNotAllowed(h.methodNotAllowed(v1))
	h.api = humachi.New(v1, config)
	h.register()
	if err := h.describe(); err != nil {
		return nil, err
	}
	v1.Get("/openapi.json", h.serve(&h.spec, "application/openapi+json"))
	h.router.Use(noStore)
	h.router.NotFound(h.notFound)
	h.router.MethodNotAllowed(h.methodNotAllowed(h.router))
	h.router.Get("/docs", h.serve(&h.docs, "text/html; charset=utf-8"))
	h.router.Mount("/v1", v1)
	return h, nil
}

// jsonFormat keeps a reader that went away from becoming a panic of the
// framework, which takes every failure of Marshal for a defect.
var jsonFormat = huma.Format{
	Marshal: func(w io.Writer, v any) error {
		var b bytes.Buffer
		if err := huma.DefaultJSONFormat.Marshal(&b, v); err != nil {
			return err
		}
		_, _ = w.Write(b.Bytes())
		return nil
	},
	Unmarshal: huma.DefaultJSONFormat.Unmarshal,
}

// Mount puts the API under /api.
func (h *Handler) Mount(r chi.Router) { r.Mount("/api", h.router) }

func (h *Handler) register() {
	h.registerEnvironments()
	h.registerTenants()
	h.registerDomains()
	h.registerSCIM()
	h.registerSCIMSchemas()
	h.registerSCIMClients()
	h.registerSSO()
	h.registerUsers()
	h.registerUserAccess()
	h.registerUserSessions()
	h.registerUserFactors()
	h.registerOwn()
	h.registerEnvironmentUsers()
	h.registerSocial()
	h.registerImpersonation()
	h.registerInvitations()
	h.registerGroups()
	h.registerPolicies()
	h.registerRoles()
	h.registerApplications()
	h.registerJWTTemplates()
	h.registerAudit()
	h.registerEventTypes()
	h.registerWebhooks()
	h.registerDeliveries()
	h.registerFeatures()
	h.registerPlans()
	h.registerEntitlements()
	h.registerAPITokens()
	h.registerManagementKeys()
	h.registerStaff()
	h.registerStaffAuth()
}

func (h *Handler) serve(body *[]byte, contentType string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		httpx.Page{Cacheable: true}.Set(w.Header())
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(*body) // a reader that went away is not worth a word
	}
}

func noStore(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

func (h *Handler) notFound(w http.ResponseWriter, r *http.Request) {
	writeProblem(w, newProblem(http.StatusNotFound, "not_found", "There is no such address.", requestID(r)))
}

// methodNotAllowed names the methods that the address knows (RFC 9110 §15.5.6).
func (h *Handler) methodNotAllowed(routes chi.Router) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.Path
		if rc := chi.RouteContext(r.Context()); rc != nil && rc.RoutePath != "" {
			path = rc.RoutePath
		}
		for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			if routes.Match(chi.NewRouteContext(), m, path) {
				w.Header().Add("Allow", m)
			}
		}
		writeProblem(w, newProblem(http.StatusMethodNotAllowed, "method_not_allowed", "The address does not take this method.", requestID(r)))
	}
}

// route is one operation of the API.
type route struct {
	method, path string
	id           string // operationId
	summary      string
	permission   string // what the actor must hold; empty: the operation decides
	status       int    // of success; 0: 200
	maxBody      int64  // 0: maxBody
	unkept       bool   // a POST whose answer is not kept for its Idempotency-Key: it only asks, or is a stream
	tagged       bool   // the answer has an ETag; known by itself of bodies that are tagged
	paged        bool   // the answer is a list; known by itself
}

// ofTenant reports whether the route acts inside a tenant, which its path names.
func (r route) ofTenant() bool { return strings.HasPrefix(r.path, "/tenants/{t}") }

// needs says what the actor must hold.
func (r route) needs() string {
	if r.permission == "" {
		return "Needs a credential; what it may, the operation decides."
	}
	return "Needs the permission `" + r.permission + "`."
}

func (r route) tag() string {
	for _, t := range []struct{ part, tag string }{
		{"/social-", "Social sign-in"},
		{"/scim-", "SCIM"},
		{"/sso-", "SSO"},
		{"/domains", "Domains"},
		{"/api-tokens", "Credentials"},
		{"/management-keys", "Credentials"},
		{"/staff", "Staff"},
		{"/features", "Entitlements"},
		{"/feature-flags", "Entitlements"},
		{"/plans", "Entitlements"},
		{"/entitlements", "Entitlements"},
		{"/sections", "Entitlements"},
		{"/users", "Users"},
		{"/me", "Own account"},
		{"/invitations", "Users"},
		{"/invite-links", "Users"},
		{"/groups", "Groups"},
		{"/group-role-mappings", "Roles and permissions"},
		{"/roles", "Roles and permissions"},
		{"/permission", "Roles and permissions"},
		{"/policies", "Policies"},
		{"/applications", "Applications"},
		{"/branding", "Branding"},
		{"/jwt-templates", "Applications"},
		{"/environment", "Environments"},
		{"/audit-", "Audit log"},
		{"/account", "Tenants"},
		{"/sub-account", "Tenants"},
		{"/modules", "Tenants"},
		{"/webhooks", "Webhooks"},
		{"/event", "Webhooks"},
	} {
		if strings.Contains(r.path, t.part) {
			return t.tag
		}
	}
	// What is left is the tenant itself; a new noun needs a line above.
	switch noun, _, _ := strings.Cut(r.path, ":"); noun {
	case "/tenants", "/tenants/{t}":
		return "Tenants"
	}
	return ""
}

// operation registers a route whose answer looks like body; nil: it has none.
func (h *Handler) operation(r route, body any) huma.Operation {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	if r.maxBody == 0 {
		r.maxBody = maxBody
	}
	if _, ok := body.(tagged); ok {
		r.tagged = true
	}
	_, r.paged = body.(interface{ next() *string })
	h.routes = append(h.routes, r)
	return huma.Operation{
		Method: r.method, Path: r.path, OperationID: r.id, Summary: r.summary, Tags: []string{r.tag()},
		Description: r.needs(), DefaultStatus: r.status, MaxBodyBytes: r.maxBody,
		Middlewares: huma.Middlewares{h.guard(r)},
	}
}

// reply is a response with a body.
type reply[T any] struct{ Body T }

// read registers a route that changes nothing, or that opens its own transaction
// because it must ask something else first: then by commit. The answer of a POST
// that does neither is kept for its Idempotency-Key afterwards: it asks nothing,
// or repeats what may be repeated.
func read[I, O any](h *Handler, r route, do func(context.Context, scope, db.Queryer, *I) (O, error)) {
	serve(h, r, func(ctx context.Context, s scope, in *I) (O, error) {
		out, err := do(ctx, s, h.DB, in)
		if err != nil || s.claim == nil || s.claim.kept {
			return out, err
		}
		s.answer(out)
		if err := h.keep(ctx, s, h.DB, out); err != nil {
			h.Logger.LogAttrs(ctx, slog.LevelWarn, "an answer is not kept for its idempotency key", slog.String("error", err.Error()))
			return out, nil
		}
		s.claim.kept = true
		return out, nil
	})
}

// write registers a route that runs in one transaction, which may run it again.
func write[I, O any](h *Handler, r route, do func(context.Context, scope, db.Queryer, *I) (O, error)) {
	serve(h, r, func(ctx context.Context, s scope, in *I) (O, error) {
		return commit(ctx, h, s, func(q db.Queryer) (O, error) { return do(ctx, s, q, in) })
	})
}

func serve[I, O any](h *Handler, r route, do func(context.Context, scope, *I) (O, error)) {
	var zero O
	huma.Register(h.api, h.operation(r, zero), func(ctx context.Context, in *I) (*reply[O], error) {
		s := scopeOf(ctx)
		out, err := do(ctx, s, in)
		if err != nil {
			return nil, h.refuse(ctx, s, r, err)
		}
		s.answer(out)
		return &reply[O]{Body: out}, nil
	})
}

// remove registers a write without a response body.
func remove[I any](h *Handler, r route, do func(context.Context, scope, db.Queryer, *I) error) {
	r.status = http.StatusNoContent
	huma.Register(h.api, h.operation(r, nil), func(ctx context.Context, in *I) (*struct{}, error) {
		s := scopeOf(ctx)
		_, err := commit(ctx, h, s, func(q db.Queryer) (any, error) { return nil, do(ctx, s, q, in) })
		if err != nil {
			return nil, h.refuse(ctx, s, r, err)
		}
		return nil, nil
	})
}

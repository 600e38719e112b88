package saml

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/entra"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/internal/limit"
	"github.com/gatehouse-id/gatehouse/internal/safehttp"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Pages shows what a browser must see of this protocol.
type Pages interface {
	Fault(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error, flowID string)
	AutoPost(w http.ResponseWriter, r *http.Request, action string, fields [][2]string)
}

// Handler serves the service providers of all connections.
type Handler struct {
	db           db.DB
	environments *tenants.Environments
	tenants      *tenants.Service
	signin       *signin.Service
	sessions     *sessions.Service
	pages        Pages
	fetch        *safehttp.Client
	graph        graph
	clock        clock.Clock
	log          *slog.Logger
	refusals     *limit.Limiter // of answers that did not hold, by connection and address
}

// Deps are what the service provider stands on.
type Deps struct {
	DB           db.DB
	Environments *tenants.Environments
	Tenants      *tenants.Service
	Signin       *signin.Service
	Sessions     *sessions.Service
	Pages        Pages
	Fetch        *safehttp.Client // reads metadata
	Clock        clock.Clock
	Log          *slog.Logger
}

// New wires the service provider.
func New(d Deps) *Handler {
	return &Handler{
		db: d.DB, environments: d.Environments, tenants: d.Tenants, signin: d.Signin, sessions: d.Sessions,
		pages: d.Pages, fetch: d.Fetch, graph: func(ctx context.Context, app entra.App, objectID string) ([]string, error) {
			return entra.Groups(ctx, d.Fetch.HTTP(), app, objectID)
		}, clock: d.Clock, log: d.Log, refusals: limit.New(5, 100),
	}
}

// Mount adds the routes. The ACS takes cross-site posts by design and stands
// outside every cross-origin protection.
func (h *Handler) Mount(r chi.Router) {
	r.Get("/saml/{connection}", h.public(h.metadata))
	r.Get("/saml/{connection}/metadata", h.public(h.metadata))
	r.Get("/saml/{connection}/login", h.public(h.login))
	r.Post("/saml/{connection}/acs", h.public(h.acs))
	r.Get("/saml/{connection}/acs", h.public(h.wrongBinding))
	r.Get("/saml/{connection}/slo", h.public(h.logoutRedirect))
	r.Post("/saml/{connection}/slo", h.public(h.logoutPost))
}

// request is what every route knows once the connection is found.
type request struct {
	env  tenants.Environment
	conn tenants.SSOConnection
	a    actor.Actor
	now  time.Time
}

var errUnknownConnection = fault.New(fault.NotFound, "SAML_CONNECTION_UNKNOWN", "This address belongs to no connection. Check the address in the identity provider's console.")

// public mounts a route that needs no credential: an identity provider's answer
// carries its own proof.
func (h *Handler) public(f func(w http.ResponseWriter, r *http.Request, q request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q, err := h.find(r)
		if err == nil {
			err = f(w, r, q)
		}
		if err != nil {
			h.pages.Fault(w, r, h.log, err, "")
		}
	}
}

func (h *Handler) find(r *http.Request) (request, error) {
	var q request
	env, err := h.environments.ByHost(r.Context(), r.Host)
	if err != nil {
		return q, err
	}
	q.conn, err = h.signin.SSOConnection(r.Context(), h.db, env, chi.URLParam(r, "connection"))
	if fault.KindOf(err) == fault.NotFound || err == nil && q.conn.SAML == nil {
		return q, errUnknownConnection
	}
	if err != nil {
		return q, err
	}
	q.env, q.now, q.a = env, h.clock.Now(), httpx.Anonymous(r, env.ID)
	q.a.Tenant, q.a.Connection = q.conn.Tenant, q.conn.ID
	return q, nil
}

// login asks the identity provider. Without a flow it starts at the
// environment's default application, so that every login ends in an application
// that asked for it.
func (h *Handler) login(w http.ResponseWriter, r *http.Request, q request) error {
	flowID := r.URL.Query().Get("flow")
	if flowID == "" {
		return h.startAtApplication(w, r, q)
	}
	f, err := h.signin.OpenFlow(r.Context(), h.db, flowID, httpx.Browser(r), q.conn)
	if err != nil {
		return err
	}
	id := newRequestID()
	doc, err := buildRequest(q.env, q.conn, id, f.ForceAuthn, q.now)
	if err != nil {
		return err
	}
	s, err := h.requestSigner(r.Context(), q.conn)
	if err != nil {
		return err
	}
	c, err := carry(q.conn.SAML.SSOBinding, q.conn.SAML.SSOURL, paramRequest, doc, newRelayState(), s)
	if err != nil {
		return err
	}
	err = h.signin.NewRequest(r.Context(), h.db, signin.Request{
		Environment: q.env.ID, Tenant: q.conn.Tenant, Connection: q.conn.ID, Key: id, FlowID: f.ID,
	})
	if err != nil {
		return err
	}
	h.send(w, r, c)
	return nil
}

// startAtApplication begins a login that no application asked for at the
// environment's default application, so that it ends where one asked.
func (h *Handler) startAtApplication(w http.ResponseWriter, r *http.Request, q request) error {
	target, err := h.signin.StartURL(r.Context(), h.db, q.env, q.conn.ID)
	if err != nil {
		return err
	}
	http.Redirect(w, r, target, http.StatusSeeOther)
	return nil
}

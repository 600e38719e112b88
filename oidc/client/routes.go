package client

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/internal/limit"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Pages shows what a browser must see of this protocol.
type Pages interface {
	Fault(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error, flowID string)
}

// Handler serves the relying parties of all connections.
type Handler struct {
	db           db.DB
	environments *tenants.Environments
	tenants      *tenants.Service
	signin       *signin.Service
	providers    *providers
	pages        Pages
	clock        clock.Clock
	log          *slog.Logger
	refusals     *limit.Limiter // of answers that did not hold, by connection and address
}

// New wires the relying party. fetch is the guarded client for addresses that
// tenants name.
func New(d db.DB, environments *tenants.Environments, t *tenants.Service, s *signin.Service, fetch *http.Client, p Pages, c clock.Clock, log *slog.Logger) *Handler {
	return &Handler{
		db: d, environments: environments, tenants: t, signin: s, pages: p, clock: c, log: log,
		providers: &providers{http: fetch, m: map[string]*provider{}}, refusals: limit.New(5, 100),
	}
}

// Mount adds the routes.
func (h *Handler) Mount(r chi.Router) {
	r.Get("/oidc/{connection}/login", h.public(h.login))
	r.Get("/oidc/{connection}/callback", h.public(h.callback))
}

// request is what every route knows once the connection is found.
type request struct {
	env  tenants.Environment
	conn tenants.SSOConnection
	a    actor.Actor
	now  time.Time
}

var errUnknownConnection = fault.New(fault.NotFound, "OIDC_CONNECTION_UNKNOWN", "This address belongs to no connection. Check the address in the identity provider's console.")

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
	if fault.KindOf(err) == fault.NotFound || err == nil && q.conn.OIDC == nil {
		return q, errUnknownConnection
	}
	if err != nil {
		return q, err
	}
	q.env, q.now, q.a = env, h.clock.Now(), httpx.Anonymous(r, env.ID)
	q.a.Tenant, q.a.Connection = q.conn.Tenant, q.conn.ID
	return q, nil
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

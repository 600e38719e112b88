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
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/internal/limit"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/sessions"
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
	sessions     *sessions.Service
	providers    *providers
	pages        Pages
	clock        clock.Clock
	log          *slog.Logger
	refusals     *limit.Limiter // of answers that did not hold, by connection and address
	machines     *limit.Limiter // of requests that identity providers send by themselves, by connection and address
}

// Requests of an identity provider by itself, per second and at once: a
// provider that signs out a whole company sends one for each person.
const (
	machineRate  = 100
	machineBurst = 1000
)

// New wires the relying party. fetch is the guarded client for addresses that
// tenants name.
func New(d db.DB, environments *tenants.Environments, t *tenants.Service, s *signin.Service, ses *sessions.Service, fetch *http.Client, p Pages, c clock.Clock, log *slog.Logger) *Handler {
	return &Handler{
		db: d, environments: environments, tenants: t, signin: s, sessions: ses, pages: p, clock: c, log: log,
		providers: &providers{http: fetch, m: map[string]*oidc.Cached[*provider]{}},
		refusals:  limit.New(5, 100), machines: limit.New(machineRate, machineBurst),
	}
}

// Mount adds the routes. Those that take posts take them from other sites by
// design and stand outside every cross-origin protection.
func (h *Handler) Mount(r chi.Router) {
	r.Get("/oidc/{connection}/login", h.public(h.findParty, h.login))
	r.Post("/oidc/{connection}/login", h.public(h.find, h.login))
	r.Handle("/oidc/{connection}/callback", h.public(h.findParty, h.callback))
	r.Get("/oidc/{connection}/jwks", h.machine(h.find, h.jwks, h.problem))
	r.Post("/oidc/{connection}/backchannel-logout", h.machine(h.find, h.backchannelLogout, h.failLogout))
	r.Post("/sso/{connection}/global-token-revocation", h.machine(h.findAny, h.revoke, h.problem))
}

// request is what every route knows once the connection is found.
type request struct {
	env  tenants.Environment
	conn tenants.SSOConnection
	a    actor.Actor
	now  time.Time
	// What the relying party is at the provider: where the answer goes, and how it
	// proves itself.
	redirect string
	secret   func() (string, error)
	// social is the connection where it is the environment's own; conn is then what
	// the protocol needs of it, without a tenant.
	social *tenants.SocialConnection
}

var errUnknownConnection = fault.New(fault.NotFound, "OIDC_CONNECTION_UNKNOWN", "This address belongs to no connection. Check the address in the identity provider's console.")

func (h *Handler) public(find func(*http.Request) (request, error), f func(w http.ResponseWriter, r *http.Request, q request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q, err := find(r)
		if err == nil {
			err = f(w, r, q)
		}
		if err != nil {
			h.pages.Fault(w, r, h.log, err, "")
		}
	}
}

// machine mounts a route that identity providers call by themselves.
func (h *Handler) machine(find func(*http.Request) (request, error), f func(w http.ResponseWriter, r *http.Request, q request) error, fail func(http.ResponseWriter, *http.Request, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q, err := find(r)
		if err == nil {
			q.a.Kind, q.a.Name = actor.System, q.conn.Name
			err = h.machines.Take(q.conn.ID+" "+q.a.IP.String(), q.now)
		}
		if err == nil {
			err = f(w, r, q)
		}
		if err != nil {
			fail(w, r, err)
		}
	}
}

// find gives the OpenID connection that the path names.
func (h *Handler) find(r *http.Request) (request, error) {
	q, err := h.findAny(r)
	if err == nil && q.conn.OIDC == nil {
		return q, errUnknownConnection
	}
	return q, err
}

// findAny gives the connection of whatever type that the path names.
func (h *Handler) findAny(r *http.Request) (request, error) {
	var q request
	env, err := h.environments.ByHost(r.Context(), r.Host)
	if err != nil {
		return q, err
	}
	q.conn, err = h.signin.SSOConnection(r.Context(), h.db, env, chi.URLParam(r, "connection"))
	if fault.KindOf(err) == fault.NotFound {
		return q, errUnknownConnection
	}
	if err != nil {
		return q, err
	}
	q.env, q.now, q.a = env, h.clock.Now(), httpx.Anonymous(r, env.ID)
	q.a.Tenant, q.a.Connection = q.conn.Tenant, q.conn.ID
	q.redirect, q.secret = env.OIDCRedirectURL(q.conn.ID), func() (string, error) { return h.tenants.ClientSecret(q.conn) }
	return q, nil
}

// findParty gives the OpenID connection that the path names, a tenant's or the
// environment's.
func (h *Handler) findParty(r *http.Request) (request, error) {
	name := chi.URLParam(r, "connection")
	if !id.Valid(id.Social, name) {
		return h.find(r)
	}
	var q request
	env, err := h.environments.ByHost(r.Context(), r.Host)
	if err != nil {
		return q, err
	}
	c, err := h.tenants.SocialConnection(r.Context(), h.db, env.ID, name)
	if fault.KindOf(err) == fault.NotFound {
		return q, errUnknownConnection
	}
	if err != nil {
		return q, err
	}
	q = request{env: env, conn: c.Party(), social: &c, now: h.clock.Now(), a: httpx.Anonymous(r, env.ID), redirect: env.OIDCRedirectURL(c.ID)}
	q.a.Connection = c.ID
	q.secret = func() (string, error) { return h.tenants.SocialSecret(r.Context(), c) }
	return q, nil
}

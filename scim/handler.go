package scim

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/internal/limit"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/scim/dialect"
	"github.com/gatehouse-id/gatehouse/scim/schema"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Deps is what the service provider works with.
type Deps struct {
	DB           db.DB
	Clock        clock.Clock
	Environments *tenants.Environments
	Tenants      *tenants.Service
	Directory    *directory.Service
	Roles        *rbac.Service
	Vault        *keys.Vault // authenticates cursors
	// Limiter is the bucket per connection; nil limits nothing.
	Limiter *limit.Limiter
	// UserToken checks a person's access token and gives his tenant and user id; a
	// fault of kind Unauthenticated refuses it. nil: nobody has a /Me.
	UserToken func(ctx context.Context, e tenants.Environment, token string) (tenant, user string, err error)
	// Log is the provisioning log; its Run writes the queue.
	Log *Log
	// Logger gets what failed on our side.
	Logger *slog.Logger
}

// Handler serves SCIM.
type Handler struct {
	Deps
	anchors *anchors
	indexes indexes
	// refusals bounds how many refused credentials a connection's log takes: who
	// has none could write it full.
	refusals *limit.Limiter
	// slot chooses one of sixteen counter rows.
	slot func() int
}

// New makes the service provider.
func New(d Deps) *Handler {
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	return &Handler{Deps: d, anchors: newAnchors(d.Clock), refusals: limit.New(1, 20), slot: func() int { return rand.IntN(16) }}
}

// operation serves an authenticated request.
type operation func(w http.ResponseWriter, r *http.Request, c *call) error

// route is a line of the table that Mount reads; the first methods answer, all
// others get 405.
type route struct {
	pattern string
	methods map[string]operation
}

func (h *Handler) routes() []route {
	type ops = map[string]operation
	read := func(op operation) ops { return ops{http.MethodGet: op} }
	list := []route{
		{"/", ops{http.MethodGet: h.listAll}},
		{"/.search", ops{http.MethodPost: h.searchAll}},
		{"/Bulk", ops{http.MethodPost: h.bulk}},
		{"/Me", ops{
			http.MethodGet: h.me, http.MethodPost: h.me, http.MethodPut: h.me, http.MethodPatch: h.me, http.MethodDelete: h.me,
		}},
		{"/Schemas", read(h.schemas)},
		{"/Schemas/{id}", read(h.schema)},
		{"/ResourceTypes", read(h.resourceTypes)},
		{"/ResourceTypes/{id}", read(h.resourceType)},
		{"/ServiceProviderConfig", read(h.config)},
		{"/ServiceProviderConfigs", read(h.config)}, // SCIM 1.1
		{"/serviceConfiguration", read(h.config)},
	}
	for _, k := range []schema.Kind{schema.User, schema.Group} {
		list = append(list,
			route{k.Endpoint(), ops{http.MethodGet: h.list(k), http.MethodPost: h.create(k)}},
			route{k.Endpoint() + "/.search", ops{http.MethodPost: h.search(k)}},
			route{k.Endpoint() + "/{id}", ops{
				http.MethodGet: h.get(k), http.MethodPut: h.replace(k), http.MethodPatch: h.patch(k), http.MethodDelete: h.remove(k),
			}},
		)
	}
	return list
}

// Mount adds the routes, each with and without a slash at the end.
func (h *Handler) Mount(r chi.Router) {
	r.HandleFunc(tokenPath, h.token)
	r.Route("/scim/{connection}/v2", func(r chi.Router) { h.mount(r, h.begin) })
}

// mount adds the routes below a connection's root. who says whose request it is.
func (h *Handler) mount(r chi.Router, who func(*http.Request) (*call, error)) {
	for _, route := range h.routes() {
		serve := h.handle(who, dispatch(route.methods))
		r.HandleFunc(route.pattern, serve)
		if route.pattern != "/" {
			r.HandleFunc(route.pattern+"/", serve)
		}
	}
	r.NotFound(h.handle(who, func(http.ResponseWriter, *http.Request, *call) error { return errNoEndpoint }))
}

func dispatch(methods map[string]operation) operation {
	var allow []string
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		if methods[m] != nil {
			allow = append(allow, m)
		}
	}
	return func(w http.ResponseWriter, r *http.Request, c *call) error {
		method := r.Method
		if method == http.MethodHead { // RFC 9110 §9.3.2: net/http sends no body
			method = http.MethodGet
		}
		if op := methods[method]; op != nil {
			return op(w, r, c)
		}
		return &wireError{
			status: http.StatusMethodNotAllowed, detail: "This endpoint does not take " + method + ".", allow: strings.Join(allow, ", "),
		}
	}
}

// call is one authenticated request.
type call struct {
	h        *Handler
	conn     tenants.SCIMConnection
	actor    actor.Actor
	dialect  dialect.Dialect
	ix       *schema.Index
	matching string // canonical path of the connection's own indexed attribute
	base     string // address of the connection's SCIM root
	now      time.Time
	entry    Entry   // of the provisioning log
	logged   bool    // in the transaction of a change
	guess    string  // profile that the client looks like; empty: no idea yet
	self     string  // resource of the person whose token it is; empty for the directory's
	replay   *replay // of an entry of the log; nil for a client's own request
}

// handle is the way of every request: credential and limit, operation, failure,
// log. An operation reached otherwise would have no call.
func (h *Handler) handle(who func(*http.Request) (*call, error), op operation) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		c, err := who(r)
		if c != nil {
			c.entry.start = start
		}
		if err == nil {
			err = op(w, r, c)
		}
		status := 0
		if err != nil {
			e, known := onWire(err)
			if !known {
				h.Logger.LogAttrs(r.Context(), slog.LevelError, "scim request failed", slog.String("path", httpx.Route(r)), slog.Any("error", err))
			}
			if c != nil {
				c.entry.Detail = c.detailOf(err, e)
			}
			status = e.status
			e.write(w)
		}
		if c != nil && (err != nil || !c.logged) {
			if c.logged { // the change may stand under its id, and only its answer have failed
				c.entry.ID = id.New(id.Log)
			}
			c.finish(r, status)
			if !c.dry() {
				h.Log.enqueue(c.entry)
			}
		}
	}
}

// begin finds out who asks, and takes one request of the connection's limit. A
// call that comes with an error is logged.
func (h *Handler) begin(r *http.Request) (*call, error) {
	host, err := h.Environments.ByHost(r.Context(), r.Host)
	if err != nil {
		return nil, err
	}
	scheme, token, _ := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" { // RFC 9110 §11.1: the scheme is case-insensitive
		return h.refused(r, fault.New(fault.Unauthenticated, "no_token", "Send the connection's bearer token."))
	}
	if h.UserToken != nil && isMe(r) && strings.Count(token, ".") == 2 {
		return h.beginMe(r, host, strings.TrimSpace(token))
	}
	conn, tokenID, err := h.Tenants.Authenticate(r.Context(), h.DB, chi.URLParam(r, "connection"), strings.TrimSpace(token))
	if err != nil {
		return h.refused(r, err)
	}
	if conn.Environment != host.ID { // another environment's connection is absent on this host
		return nil, errOtherHost
	}
	c, err := h.callOf(r.Context(), conn, tokenID, httpx.InfoOf(r))
	if err != nil {
		return nil, err
	}
	c.entry.Method, c.entry.Path = r.Method, pathOf(r, neverReturned(c.ix))
	c.guessProfile([]byte(r.URL.RawQuery))
	return c, h.Limiter.Take(conn.ID, c.now)
}

// refused gives a call that only carries the log entry of a refused credential,
// where the connection is known: an administrator sees why nothing arrives.
func (h *Handler) refused(r *http.Request, err error) (*call, error) {
	if kind := fault.KindOf(err); kind != fault.Unauthenticated && kind != fault.Forbidden {
		return nil, err
	}
	connection, now := chi.URLParam(r, "connection"), h.Clock.Now()
	_, tenant, unknown := h.Tenants.Locate(r.Context(), h.DB, connection)
	if unknown != nil {
		return nil, err
	}
	if h.refusals.Take(connection, now) != nil {
		h.Log.drop()
		return nil, err
	}
	return &call{h: h, entry: Entry{
		ID: id.New(id.Log), Tenant: tenant, Connection: connection, At: now, Method: r.Method, Path: pathOf(r, nil), RequestID: httpx.InfoOf(r).RequestID,
	}}, err
}

// detailOf is a failure as the log tells it: of a credential more than its bearer
// learns.
func (c *call) detailOf(err error, e *wireError) string {
	if f, ok := fault.From(err); ok && f.Kind == fault.Unauthenticated && f.Cause != nil {
		return e.detail + " Why: " + f.Cause.Error() + ". " + advice(e)
	}
	if c.ix != nil && strings.IndexByte(e.detail, '[') >= 0 { // it may quote the client's path
		shown := *e
		shown.detail = hidePath(e.detail, neverReturned(c.ix))
		e = &shown
	}
	return e.plain()
}

// callOf prepares a request of a connection that subject makes.
func (h *Handler) callOf(ctx context.Context, conn tenants.SCIMConnection, subject string, info httpx.Info) (*call, error) {
	environment, err := h.Environments.ByID(ctx, conn.Environment)
	if err != nil {
		return nil, err
	}
	profile, err := dialect.Lookup(conn.Profile)
	if err != nil {
		return nil, err
	}
	ix, err := h.indexOf(ctx, conn)
	if err != nil {
		return nil, err
	}
	c := &call{
		h: h, conn: conn, dialect: profile.Start(), ix: ix, now: h.Clock.Now(),
		base: strings.TrimSuffix(environment.BaseURL, "/") + "/scim/" + conn.ID + "/v2",
		actor: actor.Actor{
			Environment: conn.Environment, Tenant: conn.Tenant, Kind: actor.SCIM, Subject: subject, Name: conn.Name, Connection: conn.ID,
			Level: actor.NoLevel, RequestID: info.RequestID, IP: info.IP, UserAgent: info.UserAgent,
		},
	}
	if conn.MatchingAttribute != "" {
		// A path that the schema does not know any more is only not indexed.
		c.matching, _ = c.ix.MatchingPath(schema.User, conn.MatchingAttribute)
	}
	c.entry = Entry{ID: id.New(id.Log), Tenant: conn.Tenant, Connection: conn.ID, At: c.now, RequestID: info.RequestID}
	return c, nil
}

// guessProfile notes which client this looks like: by its name, or else by its
// query or the beginning of a body.
func (c *call) guessProfile(sent []byte) {
	if c.guess != "" || c.replay != nil {
		return
	}
	c.guess = dialect.Suggest(c.actor.UserAgent, sent)
	if c.guess != c.conn.Profile {
		c.entry.Suggested = c.guess
	}
}

// finish completes the log entry when the answer is known.
func (c *call) finish(r *http.Request, status int) {
	if status != 0 {
		c.entry.Status = status
	}
	c.entry.Read = r.Method == http.MethodGet || r.Method == http.MethodHead
	c.entry.Rules = c.dialect.Fired.Names()
	c.entry.Duration = time.Since(c.entry.start)
}

// tx runs a change; the statements of f's last batch carry the log entry. What an
// attempt says of the log holds only if it is the last one: one that is run again
// may find nothing to change.
func (c *call) tx(ctx context.Context, change func(q db.Queryer) error) error {
	f := func(q db.Queryer) error {
		c.logged = false
		if c.replay != nil {
			c.replay.changes = nil
		}
		return change(q)
	}
	if !c.dry() {
		return c.h.DB.Tx(ctx, f)
	}
	err := c.h.DB.Tx(ctx, func(q db.Queryer) error {
		if err := f(q); err != nil {
			return err
		}
		return errDryRun
	})
	if errors.Is(err, errDryRun) {
		return nil
	}
	return err
}

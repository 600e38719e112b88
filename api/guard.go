package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// scope is who calls, and where. Handlers get it as a value.
type scope struct {
	actor       actor.Actor
	environment tenants.Environment
	tenant      tenants.Tenant // of routes below /tenants/{t}
}

type scopeKey struct{}

// scopeOf hands the scope from guard to read, write and remove, between which the
// framework stands; nothing else looks at it.
func scopeOf(ctx context.Context) scope {
	s, _ := ctx.Value(scopeKey{}).(scope)
	return s
}

var errNoCredential = fault.New(fault.Unauthenticated, "invalid_credentials", "The credential is missing or not valid here.")

// guard decides who calls and whether he may, before anything of the body is read.
func (h *Handler) guard(rt route) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humachi.Unwrap(ctx)
		s, err := h.admit(r, rt, ctx.Param("t"))
		if err != nil {
			writeProblem(w, h.problem(r.Context(), err, requestID(r)))
			return
		}
		next(huma.WithValue(ctx, scopeKey{}, s))
	}
}

func (h *Handler) admit(r *http.Request, rt route, tenantKey string) (scope, error) {
	ctx := r.Context()
	env, err := h.Environments.ByHost(ctx, r.Host)
	if err != nil {
		return scope{}, err
	}
	a, err := h.authenticate(ctx, env, r)
	if err != nil {
		return scope{}, err
	}
	if err := h.Limit.Take(a.Subject, h.Clock.Now()); err != nil {
		return scope{}, err
	}
	info := httpx.InfoOf(r)
	a.RequestID, a.IP, a.UserAgent = info.RequestID, info.IP, info.UserAgent
	s, err := h.admitActor(ctx, a, rt, tenantKey)
	s.environment = env
	return s, err
}

// admitActor resolves the tenant and asks for the route's permission.
func (h *Handler) admitActor(ctx context.Context, a actor.Actor, rt route, tenantKey string) (scope, error) {
	s := scope{actor: a}
	target := audit.Target{Type: "environment", ID: a.Environment}
	if rt.ofTenant() {
		t, err := h.Tenants.Get(ctx, h.DB, a.Environment, tenantKey)
		if err != nil {
			return scope{}, err
		}
		// Another tenant's object is absent, not forbidden (product 7.3).
		if a.Tenant != "" && a.Tenant != t.ID {
			return scope{}, tenants.ErrTenantNotFound
		}
		s.tenant = t
		target = audit.Target{Type: "tenant", ID: t.ID, Name: t.Name}
	}
	return s, h.Audit.Authorize(ctx, a, rt.permission, target)
}

// authenticate checks the credential: a management key as bearer token or in
// X-API-KEY.
func (h *Handler) authenticate(ctx context.Context, env tenants.Environment, r *http.Request) (actor.Actor, error) {
	credential := r.Header.Get("X-API-KEY")
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, token, ok := strings.Cut(header, " ")
		if !ok || !strings.EqualFold(scheme, "Bearer") {
			return actor.Actor{}, errNoCredential
		}
		credential = strings.TrimSpace(token)
	}
	if credential == "" {
		return actor.Actor{}, errNoCredential
	}
	return h.Staff.Authenticate(ctx, h.DB, env.ID, credential)
}

// refuse turns a failure into its wire shape. A denial that a rule made inside
// the transaction is recorded now, after the rollback (design 1).
func (h *Handler) refuse(ctx context.Context, s scope, rt route, err error) error {
	if fault.KindOf(err) == fault.Forbidden && !errors.Is(err, audit.ErrForbidden) {
		e := audit.Event{
			Environment: s.environment.ID, Tenant: s.tenant.ID, Action: "authorization.denied", Outcome: audit.Denied, Actor: s.actor,
			Metadata: map[string]any{"operation": rt.id, "code": fault.CodeOf(err)},
		}
		if recordErr := h.Audit.RecordAlone(ctx, e); recordErr != nil {
			err = errors.Join(recordErr, err)
		}
	}
	return h.problem(ctx, err, s.actor.RequestID)
}

package api

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/internal/limit"
	"github.com/gatehouse-id/gatehouse/internal/permission"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// scope is who calls, and where. Handlers get it as a value.
type scope struct {
	actor       actor.Actor
	environment tenants.Environment
	tenant      tenants.Tenant // of routes below /tenants/{t}
	ifMatch     string         // If-Match, see match
	header      http.Header    // of the answer
	url         *url.URL       // of the request; only its path and query are meant
	claim       *claim         // of the Idempotency-Key; nil without one
}

// answer sets the headers that a body brings along.
func (s scope) answer(body any) {
	if t, ok := body.(tagged); ok {
		s.tag(t.etag())
	}
	if p, ok := body.(interface{ next() *string }); ok && p.next() != nil && s.header != nil {
		s.header.Set("Link", s.nextPage(*p.next()))
	}
}

// nextPage is the Link to the next page (RFC 8288 §3), below the environment's own
// address: the Host header is not believed.
func (s scope) nextPage(cursor string) string {
	q := s.url.Query()
	q.Set("cursor", cursor)
	return "<" + strings.TrimSuffix(s.environment.BaseURL, "/") + s.url.EscapedPath() + "?" + q.Encode() + `>; rel="next"`
}

// tag sets the entity tag of the answer; a failure takes it back.
func (s scope) tag(etag string) {
	if s.header != nil {
		s.header.Set("ETag", etag)
	}
}

type scopeKey struct{}

// scopeOf hands the scope from guard to read, write and remove, between which the
// framework stands; nothing else looks at it.
func scopeOf(ctx context.Context) scope {
	s, _ := ctx.Value(scopeKey{}).(scope)
	return s
}

var (
	errNoCredential = fault.New(fault.Unauthenticated, "invalid_credentials", "The credential is missing or not valid here.")
	errCredentials  = fault.New(fault.Invalid, "ambiguous_credentials", "Send one credential: in Authorization or in X-API-KEY, once.")
)

// guard decides who calls and whether he may, before anything of the body is
// read. A POST that its Idempotency-Key has answered before goes no further.
func (h *Handler) guard(rt route) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humachi.Unwrap(ctx)
		s, err := h.admit(w.Header(), r, rt, ctx.Param("t"))
		var stored *answer
		if err == nil {
			s.claim, stored, err = h.claim(r.Context(), s, rt, r)
		}
		switch {
		case err != nil:
			writeProblem(w, h.problem(r.Context(), err, requestID(r)))
		case stored != nil:
			writeAnswer(w, stored)
		default:
			defer h.release(r.Context(), s.claim)
			next(huma.WithValue(ctx, scopeKey{}, s))
		}
	}
}

// admit finds the environment, the actor and the tenant, and asks for the
// permission. header is the answer's.
func (h *Handler) admit(header http.Header, r *http.Request, rt route, tenantKey string) (scope, error) {
	ctx := r.Context()
	env, err := h.Environments.ByHost(ctx, r.Host)
	if err != nil {
		return scope{}, err
	}
	info := httpx.InfoOf(r)
	a, err := h.authenticate(ctx, env, r, info.IP)
	if err != nil {
		return scope{}, err
	}
	if err := h.takeRequest(header, a); err != nil {
		return scope{}, err
	}
	a.RequestID, a.IP, a.UserAgent = info.RequestID, info.IP, info.UserAgent
	s, err := h.admitActor(ctx, a, rt, tenantKey)
	if err == nil && rt.ofTenant() && rt.permission != "" {
		err = h.entitled(ctx, env, s.actor, rt.permission)
	}
	s.environment, s.header, s.url = env, header, r.URL
	if tags := r.Header.Values("If-Match"); len(tags) > 0 {
		s.ifMatch = strings.Join(tags, ",") + "," // a list of nothing is not no list
	}
	return s, err
}

// admitActor resolves the tenant and asks for the route's permission.
func (h *Handler) admitActor(ctx context.Context, a actor.Actor, rt route, tenantKey string) (scope, error) {
	if !rt.ofTenant() {
		if rt.permission == "" {
			return scope{actor: a}, nil
		}
		return scope{actor: a}, h.authorize(ctx, a, rt, audit.Target{Type: "environment", ID: a.Environment})
	}
	t, err := h.Tenants.Get(ctx, h.DB, a.Environment, tenantKey)
	if err != nil {
		return scope{}, err
	}
	// Another tenant's object is absent, not forbidden (product 7.3), but for those
	// whom a parent sends (product 8).
	if a.Tenant != "" && a.Tenant != t.ID {
		if a, err = h.Directory.Enter(ctx, h.DB, a, a.Environment, t.ID); err != nil {
			return scope{}, err
		}
	}
	if rt.permission == "" {
		return scope{actor: a, tenant: t}, nil
	}
	return scope{actor: a, tenant: t}, h.authorize(ctx, a, rt, audit.Target{Type: "tenant", ID: t.ID, Name: t.Name})
}

// authorize asks for the route's permission. What is the vendor's no actor of a
// tenant may do, whatever his roles came to hold.
func (h *Handler) authorize(ctx context.Context, a actor.Actor, rt route, t audit.Target) error {
	if a.Tenant != "" && (!rt.ofTenant() || strings.HasPrefix(rt.permission, "bo.")) {
		a.Permissions = permission.Set{}
	}
	if !a.May(rt.permission) && !h.tell(a, rt.permission, t.ID) {
		return audit.ErrForbidden
	}
	return h.Audit.Authorize(ctx, a, rt.permission, t)
}

// The audit log keeps events for a year and more, so that somebody who is refused
// again and again must not fill it: the same denial is told once a minute.
const denialRate = 1.0 / 60

func newDenials() *limit.Limiter { return limit.New(denialRate, 1) }

// tell reports whether a denial of the actor is to be told.
func (h *Handler) tell(a actor.Actor, parts ...string) bool {
	return h.denials.Take(subjectOf(a)+" "+strings.Join(parts, " "), h.Clock.Now()) == nil
}

// authenticate checks the credential. Whatever is wrong with it, the answer is the
// same, and the address is charged for it.
func (h *Handler) authenticate(ctx context.Context, env tenants.Environment, r *http.Request, ip netip.Addr) (actor.Actor, error) {
	credential, err := credentialOf(r.Header)
	if err != nil {
		return actor.Actor{}, err
	}
	if err := h.guesses.open(ip, h.Clock.Now()); err != nil {
		return actor.Actor{}, err
	}
	a, err := h.resolve(ctx, env, credential, ip)
	if fault.KindOf(err) == fault.Unauthenticated {
		h.guesses.wrong(ip, credential, h.Clock.Now())
		return actor.Actor{}, errNoCredential
	}
	return a, err
}

// resolve asks the service that the credential's form belongs to.
func (h *Handler) resolve(ctx context.Context, env tenants.Environment, credential string, ip netip.Addr) (actor.Actor, error) {
	prefix, _, _ := strings.Cut(credential, "_")
	switch {
	case prefix == secret.ManagementKey:
		return h.Staff.Authenticate(ctx, h.DB, env.ID, credential, ip)
	case prefix == secret.TenantToken, prefix == secret.PersonalToken:
		return h.APITokens.Authenticate(ctx, h.DB, env.ID, credential, ip)
	case strings.Count(credential, ".") == 2 && h.UserActor != nil:
		return h.UserActor(ctx, env, credential)
	}
	return actor.Actor{}, errNoCredential
}

// credentialOf reads the one credential of a request (RFC 6750 §2).
func credentialOf(header http.Header) (string, error) {
	keys, bearers := header.Values("X-API-KEY"), header.Values("Authorization")
	switch {
	case len(keys)+len(bearers) > 1:
		return "", errCredentials
	case len(keys) == 1 && keys[0] != "" && len(keys[0]) <= maxCredential:
		return keys[0], nil
	case len(bearers) == 1:
		scheme, token, _ := strings.Cut(bearers[0], " ")
		token = strings.TrimSpace(token)
		if strings.EqualFold(scheme, "Bearer") && token != "" && len(token) <= maxCredential {
			return token, nil
		}
	}
	return "", errNoCredential
}

// maxCredential bounds what is looked at; a token with many permissions is long.
const maxCredential = 16 << 10

// refuse turns a failure into its wire shape. A denial that a rule made inside
// the transaction is recorded now, after the rollback (design 1).
func (h *Handler) refuse(ctx context.Context, s scope, rt route, err error) error {
	if fault.KindOf(err) == fault.Forbidden && !errors.Is(err, audit.ErrForbidden) && h.tell(s.actor, rt.id, s.tenant.ID, fault.CodeOf(err)) {
		e := audit.Event{
			Environment: s.environment.ID, Tenant: s.tenant.ID, Action: "authorization.denied", Outcome: audit.Denied, Actor: s.actor,
			Metadata: map[string]any{"operation": rt.id, "code": fault.CodeOf(err)},
		}
		if recordErr := h.Audit.RecordAlone(ctx, e); recordErr != nil {
			err = errors.Join(recordErr, err)
		}
	}
	if s.header != nil {
		s.header.Del("ETag")
	}
	return h.problem(ctx, err, s.actor.RequestID)
}

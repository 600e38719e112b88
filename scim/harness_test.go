package scim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/internal/limit"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/scim"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/tenants"
)

const baseURL = "http://gatehouse.test"

// gateway is the service provider on a store, with the services beneath it.
type gateway struct {
	t         testing.TB
	d         db.DB
	env       tenants.Environment
	tenants   *tenants.Service
	sessions  *sessions.Service
	directory *directory.Service
	roles     *rbac.Service
	log       *scim.Log
	scim      *scim.Handler
	handler   http.Handler
	admin     actor.Actor
	failures  *bytes.Buffer // what was logged as our fault
}

type options struct {
	limiter *limit.Limiter
	clock   clock.Clock
}

func newGateway(t testing.TB, d db.DB, o options) *gateway {
	t.Helper()
	ctx := t.Context()
	if o.clock == nil {
		o.clock = clock.System{}
	}
	vault, err := keys.NewVault(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{t: t, d: d, failures: &bytes.Buffer{}, roles: rbac.New(o.clock), sessions: sessions.New(vault, o.clock)}
	g.tenants = tenants.New(vault, g.sessions, o.clock, tenants.Options{})
	g.directory = directory.New(o.clock, g.sessions)
	err = d.Tx(ctx, func(q db.Queryer) error {
		if g.env, err = g.tenants.EnsureDefault(ctx, q, baseURL); err != nil {
			return err
		}
		return g.roles.EnsurePresets(ctx, q, g.env.ID)
	})
	if err != nil {
		t.Fatal(err)
	}
	g.admin = actor.Actor{Environment: g.env.ID, Kind: actor.Management, Subject: "key_test"}
	logger := slog.New(slog.NewTextHandler(g.failures, nil))
	g.log = scim.NewLog(d, o.clock, logger)
	h := scim.New(scim.Deps{
		DB: d, Clock: o.clock, Environments: tenants.NewEnvironments(d, o.clock, baseURL), Tenants: g.tenants, Directory: g.directory,
		Roles: g.roles, Vault: vault, Limiter: o.limiter, Log: g.log, Logger: logger,
	})
	g.scim = h
	r := chi.NewRouter()
	r.Use(httpx.Identify(nil))
	h.Mount(r)
	g.handler = r
	return g
}

// connection is a SCIM connection with its token.
type connection struct {
	g      *gateway
	tenant string
	id     string
	base   string // path
	token  string
}

func (g *gateway) tenant(name string) string {
	g.t.Helper()
	var tenant tenants.Tenant
	err := g.d.Tx(g.t.Context(), func(q db.Queryer) error {
		var err error
		tenant, err = g.tenants.CreateTenant(g.t.Context(), g.admin, q, tenants.NewTenant{Name: name})
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return tenant.ID
}

func (g *gateway) connect(tenant, profile, mode string) connection {
	g.t.Helper()
	c := connection{g: g, tenant: tenant}
	err := g.d.Tx(g.t.Context(), func(q db.Queryer) error {
		conn, token, err := g.tenants.CreateSCIMConnection(g.t.Context(), g.admin, q, tenant, tenants.NewSCIMConnection{Name: profile, Profile: profile, DeleteMode: mode})
		c.id, c.token = conn.ID, token
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	c.base = "/scim/" + c.id + "/v2"
	return c
}

// answer is a response with its body read.
type answer struct {
	status int
	header http.Header
	raw    []byte
	doc    any
}

func (a answer) field(name string) any {
	m, _ := a.doc.(map[string]any)
	return m[name]
}

func (a answer) id() string {
	s, _ := a.field("id").(string)
	return s
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, a.raw) }

func (c connection) send(ctx context.Context, method, path string, headers map[string]*string, body []byte) answer {
	a := c.exchange(ctx, method, path, headers, body)
	_ = json.Unmarshal(a.raw, &a.doc) // not every answer has a body
	if ctx.Err() == nil {
		for _, problem := range c.lint(method, path, a) {
			c.g.t.Errorf("%s %s: %s in %.2000s", method, path, problem, a)
		}
	}
	return a
}

// exchange is send without reading the body.
func (c connection) exchange(ctx context.Context, method, path string, headers map[string]*string, body []byte) answer {
	var rd io.Reader
	if body != nil {
		rd = bytes.NewReader(body)
	}
	r := httptest.NewRequestWithContext(ctx, method, c.base+path, rd)
	r.Host = strings.TrimPrefix(baseURL, "http://")
	if host := headers["Host"]; host != nil { // no header of its own on the server's side
		r.Host = *host
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	for k, v := range headers {
		if v == nil {
			r.Header.Del(k)
		} else {
			r.Header.Set(k, *v)
		}
	}
	w := httptest.NewRecorder()
	c.g.handler.ServeHTTP(w, r)
	return answer{status: w.Code, header: w.Header(), raw: w.Body.Bytes()}
}

// request sends a JSON body, or none when body is nil, with headers.
func (c connection) request(method, path string, headers map[string]string, body any) answer {
	c.g.t.Helper()
	contentType := "application/scim+json"
	h := map[string]*string{"Content-Type": &contentType}
	for k, v := range headers {
		h[k] = &v
	}
	var raw []byte
	if body != nil {
		raw = encode(c.g.t, body)
	}
	return c.send(c.g.t.Context(), method, path, h, raw)
}

// do is request without headers.
func (c connection) do(method, path string, body any) answer {
	c.g.t.Helper()
	return c.request(method, path, nil, body)
}

// must is do with a status that the test relies on.
func (c connection) must(status int, method, path string, body any) answer {
	c.g.t.Helper()
	a := c.do(method, path, body)
	if a.status != status {
		c.g.t.Fatalf("%s %s: %v, want %d; %s", method, path, a, status, c.g.failures)
	}
	return a
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	if s, ok := v.(string); ok {
		return []byte(s)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func user(name string) map[string]any {
	local, _, _ := strings.Cut(name, "@")
	return map[string]any{
		"schemas":  []string{"urn:ietf:params:scim:schemas:core:2.0:User"},
		"userName": name, "externalId": "ext-" + local, "active": true,
		"name":   map[string]any{"givenName": local, "familyName": "Test"},
		"emails": []any{map[string]any{"value": name, "type": "work", "primary": true}},
	}
}

func patchOp(ops ...map[string]any) map[string]any {
	return map[string]any{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"}, "Operations": ops}
}

func members(ids ...string) []any {
	list := make([]any, len(ids))
	for i, id := range ids {
		list[i] = map[string]any{"value": id}
	}
	return list
}

func (g *gateway) count(sql string, args ...any) int64 {
	g.t.Helper()
	var n int64
	if err := g.d.QueryRow(g.t.Context(), sql, args...).Scan(&n); err != nil {
		g.t.Fatal(err)
	}
	return n
}

package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// conformance stands between every test and the server: whatever is sent, and
// however, the answer is what the published document says, or the test fails.
type conformance struct {
	*testing.T
	h      *Handler
	next   http.Handler
	mu     sync.Mutex // the compiler serves one at a time
	schema *jsonschema.Compiler
	seen   map[string]bool // operations that succeeded
}

func newConformance(t *testing.T, h *Handler, next http.Handler) *conformance {
	t.Helper()
	spec, err := jsonschema.UnmarshalJSON(bytes.NewReader(h.spec))
	if err != nil {
		t.Fatal(err)
	}
	c := &conformance{T: t, h: h, next: next, schema: jsonschema.NewCompiler(), seen: map[string]bool{}}
	c.schema.DefaultDraft(jsonschema.Draft2020)
	if err := c.schema.AddResource(specAddress, spec); err != nil {
		t.Fatal(err)
	}
	return c
}

const specAddress = "https://spec.example/openapi.json"

func (c *conformance) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.Helper()
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), "/api/v1")
	if !ok || path == "/openapi.json" {
		c.next.ServeHTTP(w, r)
		return
	}
	spy := &spy{ResponseWriter: w, status: http.StatusOK}
	c.next.ServeHTTP(spy, r)
	if err := c.check(r.Method, path, spy.status, spy.header, spy.body.Bytes()); err != nil {
		c.Errorf("%s %s: %v\n%d %.1000s", r.Method, path, err, spy.status, spy.body.Bytes())
	}
}

// spy remembers an answer on its way.
type spy struct {
	http.ResponseWriter
	status int
	header http.Header
	body   bytes.Buffer
}

// Unwrap lets http.ResponseController reach the connection.
func (s *spy) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (s *spy) WriteHeader(status int) {
	if s.header == nil {
		s.status, s.header = status, s.Header().Clone()
	}
	s.ResponseWriter.WriteHeader(status)
}

func (s *spy) Write(b []byte) (int, error) {
	if s.header == nil {
		s.header = s.Header().Clone()
	}
	if s.body.Len() < 8<<20 { // of a long stream the beginning will do
		s.body.Write(b)
	}
	return s.ResponseWriter.Write(b)
}

func (c *conformance) check(method, path string, status int, header http.Header, body []byte) error {
	kind := header.Get("Content-Type")
	if header.Get("Cache-Control") != "no-store" || header.Get("X-Content-Type-Options") != "nosniff" || header.Get("X-Request-Id") == "" {
		return fmt.Errorf("headers %v", header)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if status >= 400 {
		if kind != problemType {
			return fmt.Errorf("content type %q", kind)
		}
		v, err := c.validate("/components/schemas/Problem", body)
		if err != nil {
			return err
		}
		if o, _ := v.(object); fmt.Sprint(o["status"]) != fmt.Sprint(status) || o["instance"] != header.Get("X-Request-Id") || o["code"] == "" || status >= 500 && o["code"] == "internal" {
			return fmt.Errorf("a problem that does not belong to the answer, or a defect")
		}
		return nil
	}
	r, ok := c.route(method, path)
	if !ok {
		return fmt.Errorf("no such route")
	}
	op := operationOf(c.h.api.OpenAPI(), r)
	response := op.Responses[fmt.Sprint(status)]
	if response == nil {
		return fmt.Errorf("status %d is not described", status)
	}
	for name := range header {
		switch name {
		case "Content-Type", "Cache-Control", "X-Content-Type-Options", "Content-Disposition", "Trailer":
			continue
		}
		if !described(response.Headers, name) {
			return fmt.Errorf("the header %s is not described", name)
		}
	}
	c.seen[r.id] = true
	if len(response.Content) == 0 {
		if len(body) > 0 {
			return fmt.Errorf("a body that is not described")
		}
		return nil
	}
	media, _, _ := strings.Cut(kind, ";")
	if response.Content[media] == nil {
		return fmt.Errorf("content type %q is not described", kind)
	}
	if media != "application/json" {
		return nil
	}
	_, err := c.validate(fmt.Sprintf("/paths/%s/%s/responses/%d/content/application~1json/schema", pointer.Replace(r.path), strings.ToLower(method), status), body)
	return err
}

var pointer = strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D")

func described[V any](headers map[string]V, name string) bool {
	for k := range headers {
		if strings.EqualFold(k, name) {
			return true
		}
	}
	return false
}

func (c *conformance) validate(at string, body []byte) (any, error) {
	s, err := c.schema.Compile(specAddress + "#" + at)
	if err != nil {
		return nil, err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return v, s.Validate(v)
}

// route finds what serves a path below /api/v1.
func (c *conformance) route(method, path string) (route, bool) {
	rc := chi.NewRouteContext()
	if !c.h.router.Match(rc, method, "/v1"+path) {
		return route{}, false
	}
	at := strings.TrimPrefix(rc.RoutePattern(), "/v1")
	for _, r := range c.h.routes {
		if r.method == method && r.path == at {
			return r, true
		}
	}
	return route{}, false
}

func (f *fixture) routeOf(method, path string) route {
	f.Helper()
	path, _, _ = strings.Cut(path, "?")
	r, ok := f.conformance.route(method, path)
	if !ok {
		f.Fatalf("no route for %s %s", method, path)
	}
	return r
}

// The check itself finds what does not conform.
func TestConformanceCheck(t *testing.T) {
	f := newFixture(t, openSQLite(t))
	good := http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}, "X-Content-Type-Options": {"nosniff"}, "X-Request-Id": {"req_x"}}
	list, problem := `{"data":[],"next_cursor":null}`, `{"type":"/api/docs#errors","title":"x","status":404,"code":"not_found","detail":"x","instance":"req_x"}`
	with := func(name, value string) http.Header {
		h := good.Clone()
		h.Set(name, value)
		return h
	}
	for _, c := range []struct {
		why    string
		ok     bool
		status int
		header http.Header
		body   string
	}{
		{"a list", true, 200, good, list},
		{"a field too much", false, 200, good, `{"data":[],"next_cursor":null,"more":1}`},
		{"a field too little", false, 200, good, `{"data":[]}`},
		{"another type", false, 200, good, `{"data":{},"next_cursor":null}`},
		{"another status", false, 201, good, list},
		{"another content type", false, 200, with("Content-Type", "text/html"), list},
		{"a header that nobody described", false, 200, with("X-Debug", "1"), list},
		{"a cacheable answer", false, 200, with("Cache-Control", "public"), list},
		{"a problem", true, 404, with("Content-Type", problemType), problem},
		{"a problem as plain JSON", false, 404, good, problem},
		{"a problem of another status", false, 403, with("Content-Type", problemType), problem},
		{"a problem of another request", false, 404, with("X-Request-Id", "req_y"), problem},
		{"a problem that tells more", false, 404, with("Content-Type", problemType), problem[:len(problem)-1] + `,"sql":"SELECT"}`},
	} {
		if err := f.conformance.check("GET", "/tenants", c.status, c.header, []byte(c.body)); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.why, err)
		}
	}
}

// Unknown fields are refused at every depth: no shape of the document is open, but
// for maps (product 7.3).
func TestClosedShapes(t *testing.T) {
	f := newFixture(t, openSQLite(t))
	var doc struct {
		Components struct {
			Schemas map[string]struct {
				Properties           map[string]any
				AdditionalProperties any
			}
		}
	}
	if err := json.Unmarshal(f.h.spec, &doc); err != nil {
		t.Fatal(err)
	}
	closed := 0
	for name, s := range doc.Components.Schemas {
		if s.Properties == nil {
			continue
		}
		if closed++; s.AdditionalProperties != false {
			t.Errorf("%s takes fields that nobody knows", name)
		}
	}
	if closed < 50 {
		t.Errorf("only %d shapes", closed)
	}
	f.do(201, "POST", "/tenants", object{"name": "x", "key": "acme"})
	f.refused(422, "validation_failed", "PATCH", "/tenants/acme", object{"details": object{"websitte": "x"}})
}

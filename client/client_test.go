package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// script answers requests in order, and remembers them.
type script struct {
	*testing.T
	answers []answer

	mu     sync.Mutex // a connection that breaks orders nothing
	got    []*http.Request
	bodies []string
	waits  []time.Duration
}

type answer struct {
	status int
	header map[string]string
	body   string
	cut    bool // the connection breaks
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.got, s.bodies = append(s.got, r), append(s.bodies, string(body))
	n := len(s.got)
	s.mu.Unlock()
	if n > len(s.answers) {
		s.Errorf("request %d: %s %s", n, r.Method, r.URL)
		return
	}
	a := s.answers[n-1]
	if a.cut {
		panic(http.ErrAbortHandler)
	}
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

func run(t *testing.T, answers ...answer) (*Client, *script) {
	t.Helper()
	s := &script{T: t, answers: answers}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	c, err := New(server.URL+"/", "gwm_x")
	if err != nil {
		t.Fatal(err)
	}
	c.sleep = func(_ context.Context, d time.Duration) error {
		s.waits = append(s.waits, d)
		return nil
	}
	return c, s
}

func refusal(status int, code string) answer {
	body, _ := json.Marshal(map[string]any{"status": status, "code": code, "detail": "No.", "instance": "req_1", "errors": []map[string]string{{"location": "body.name", "message": "is wrong", "code": "invalid"}}})
	return answer{status: status, header: map[string]string{"Content-Type": "application/problem+json"}, body: string(body)}
}

func TestOperations(t *testing.T) {
	c, s := run(t, answer{status: 201, body: `{"id":"ten_1","key":"acme","name":"Acme","more":1}`},
		answer{status: 200, body: `{"roles":[{"key":"billing","sources":["direct"]}],"permissions":["invoices.*"]}`}, answer{status: 204})
	tenant, err := c.CreateTenant(t.Context(), NewTenant{Name: "Acme"})
	if err != nil || tenant.ID != "ten_1" || s.bodies[0] != `{"name":"Acme"}` {
		t.Errorf("%+v, %v, %s", tenant, err, s.bodies[0])
	}
	roles, err := c.EffectiveRoles(t.Context(), "a/b", "usr_1")
	if err != nil || !roles.Has("invoices.read") || roles.Has("users.read") || roles.Roles[0].Sources[0] != "direct" {
		t.Errorf("%+v, %v", roles, err)
	}
	if err := c.Delete(t.Context(), "/tenants/acme"); err != nil {
		t.Error(err)
	}
	for i, want := range []string{"POST /api/v1/tenants", "GET /api/v1/tenants/a%2Fb/users/usr_1/effective-roles", "DELETE /api/v1/tenants/acme"} {
		r := s.got[i]
		if got := r.Method + " " + r.URL.EscapedPath(); got != want || r.Header.Get("Authorization") != "Bearer gwm_x" {
			t.Errorf("%s %v", got, r.Header)
		}
		if (r.Header.Get("Idempotency-Key") != "") != (r.Method == "POST") {
			t.Errorf("%s with the key %q", r.Method, r.Header.Get("Idempotency-Key"))
		}
	}
}

func TestList(t *testing.T) {
	c, s := run(t, answer{status: 200, body: `{"data":[{"id":"1"},{"id":"2"}],"next_cursor":"a b"}`}, answer{status: 200, body: `{"data":[{"id":"3"}],"next_cursor":null}`},
		answer{status: 200, body: `{"data":[{"id":"1"}],"next_cursor":"x"}`}, refusal(422, "invalid_cursor"), answer{status: 200, body: `{"data":[{"id":"1"},{"id":"2"}],"next_cursor":"x"}`})
	all, err := Collect(c.Users(t.Context(), "acme", nil))
	if err != nil || len(all) != 3 || all[2].ID != "3" || s.got[0].URL.RawQuery != "limit=200" || s.got[1].URL.RawQuery != "cursor=a+b&limit=200" {
		t.Errorf("%v, %v, %s", all, err, s.got[1].URL.RawQuery)
	}
	some, err := Collect(c.Users(t.Context(), "acme", nil))
	if len(some) != 1 || CodeOf(err) != "invalid_cursor" {
		t.Errorf("%v, %v", some, err)
	}
	for range c.Users(t.Context(), "acme", nil) {
		break // asks for no further page
	}
}

func TestErrors(t *testing.T) {
	c, _ := run(t, refusal(422, "validation_failed"), answer{status: 502, header: map[string]string{"X-Request-Id": "req_2"}, body: "<html>"})
	_, err := c.CreateTenant(t.Context(), NewTenant{})
	var e *Error
	if !errors.As(err, &e) || e.Status != 422 || e.Code != "validation_failed" || e.RequestID != "req_1" || e.Fields[0].Location != "body.name" || !strings.Contains(err.Error(), "body.name: is wrong") {
		t.Errorf("%v", err)
	}
	c.Attempts = 1
	_, err = c.Tenant(t.Context(), "acme")
	if CodeOf(err) != "bad_gateway" || !errors.As(err, &e) || e.RequestID != "req_2" || CodeOf(nil) != "" || CodeOf(io.EOF) != "" {
		t.Errorf("%v", err)
	}
}

func TestRetry(t *testing.T) {
	busy := refusal(429, "rate_limited")
	busy.header["Retry-After"] = "7"
	ok := answer{status: 200, body: `{}`}
	for _, c := range []struct {
		why     string
		method  string
		header  http.Header
		answers []answer
		code    string // of the failure; empty: success
		broken  bool   // fails without a code
	}{
		{"429", "GET", nil, []answer{busy, ok}, "", false},
		{"503", "POST", nil, []answer{refusal(503, "try_again"), ok}, "", false},
		{"a connection that breaks, reading", "GET", nil, []answer{{cut: true}, ok}, "", false},
		{"a connection that breaks under an Idempotency-Key", "POST", nil, []answer{{cut: true}, refusal(409, "request_in_flight"), ok}, "", false},
		{"in the end", "GET", nil, []answer{busy, busy, busy, busy}, "rate_limited", false},
		{"another conflict", "POST", nil, []answer{refusal(409, "key_taken")}, "key_taken", false},
		{"a refusal", "POST", nil, []answer{refusal(403, "forbidden")}, "forbidden", false},
		{"a defect", "POST", nil, []answer{refusal(500, "internal")}, "internal", false},
		{"a version that may be our own", "PATCH", http.Header{"If-Match": {`"v1"`}}, []answer{{cut: true}}, "", true},
		{"a version, refused before it began", "PATCH", http.Header{"If-Match": {`"v1"`}}, []answer{busy, ok}, "", false},
	} {
		client, s := run(t, c.answers...)
		_, err := client.Do(t.Context(), Request{Method: c.method, Path: "/x", Body: map[string]int{"n": 1}, Header: c.header})
		s.mu.Lock()
		if CodeOf(err) != c.code || (err != nil) != (c.broken || c.code != "") || len(s.got) != len(c.answers) {
			t.Errorf("%s: %v after %d requests", c.why, err, len(s.got))
		}
		for i, r := range s.got {
			if r.Header.Get("Idempotency-Key") != s.got[0].Header.Get("Idempotency-Key") || s.bodies[i] != `{"n":1}` {
				t.Errorf("%s: request %d is another one: %v %s", c.why, i, r.Header, s.bodies[i])
			}
		}
		if c.why == "429" && s.waits[0] != 7*time.Second {
			t.Errorf("waited %v", s.waits)
		}
		s.mu.Unlock()
	}
	long := refusal(429, "rate_limited")
	long.header["Retry-After"] = "3600"
	client, s := run(t, long)
	_, err := client.Tenant(t.Context(), "x")
	var e *Error
	if !errors.As(err, &e) || e.Wait != time.Hour || len(s.waits) != 0 {
		t.Errorf("%v waited %v", err, s.waits)
	}
	own := http.Header{"Idempotency-Key": {"mine"}}
	client, s = run(t, ok)
	if _, err := client.Do(t.Context(), Request{Method: "POST", Path: "/x", Header: own}); err != nil || s.got[0].Header.Get("Idempotency-Key") != "mine" {
		t.Errorf("%v %v", err, s.got[0].Header)
	}
	client, _ = run(t, busy)
	client.sleep = sleep
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := client.Tenant(ctx, "x"); err == nil {
		t.Error("a context that ended")
	}
}

// The credential goes to the configured address and nowhere else.
func TestNoRedirect(t *testing.T) {
	c, s := run(t, answer{status: 302, header: map[string]string{"Location": "http://localhost:1/"}})
	if _, err := c.Tenant(t.Context(), "x"); CodeOf(err) != "found" || len(s.got) != 1 {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"", "id.example.com", "http://id.example.com", "ftp://id.example.com", "https://u:p@id.example.com", "https://id.example.com?x=1"} {
		if _, err := New(bad, "gwm_x"); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	for _, bad := range []string{"", "a\r\nb"} {
		if _, err := New("https://id.example.com", bad); err == nil {
			t.Errorf("the credential %q is taken", bad)
		}
	}
}

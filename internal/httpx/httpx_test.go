package httpx

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

var proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:1::/48")}

func TestClientIP(t *testing.T) {
	for _, c := range []struct {
		name, remote string
		forwarded    []string
		want         string
	}{
		{"direct", "203.0.113.9:1234", nil, "203.0.113.9"},
		{"direct, header forged", "203.0.113.9:1234", []string{"1.2.3.4"}, "203.0.113.9"},
		{"direct, claims to be a proxy", "203.0.113.9:1", []string{"10.0.0.1"}, "203.0.113.9"},
		{"one proxy", "10.0.0.1:1", []string{"203.0.113.9"}, "203.0.113.9"},
		{"forged entry left of the real one", "10.0.0.1:1", []string{"1.2.3.4, 203.0.113.9"}, "203.0.113.9"},
		{"forged proxy left of the real one", "10.0.0.1:1", []string{"1.2.3.4, 10.9.9.9, 203.0.113.9"}, "203.0.113.9"},
		{"two proxies", "10.0.0.1:1", []string{"1.2.3.4, 203.0.113.9, 10.0.0.2"}, "203.0.113.9"},
		{"several headers are one list", "10.0.0.1:1", []string{"1.2.3.4", "203.0.113.9", "10.0.0.2"}, "203.0.113.9"},
		{"proxy without header", "10.0.0.1:1", nil, "10.0.0.1"},
		{"garbage", "10.0.0.1:1", []string{"203.0.113.9, unknown"}, "10.0.0.1"},
		{"garbage behind a proxy", "10.0.0.1:1", []string{"203.0.113.9, _hidden, 10.0.0.2"}, "10.0.0.2"},
		{"empty entry", "10.0.0.1:1", []string{"203.0.113.9,"}, "10.0.0.1"},
		{"only proxies", "10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"port", "10.0.0.1:1", []string{"203.0.113.9:4711"}, "203.0.113.9"},
		{"IPv6", "10.0.0.1:1", []string{"2001:db8:2::7"}, "2001:db8:2::7"},
		{"IPv6 in brackets", "10.0.0.1:1", []string{"[2001:db8:2::7]"}, "2001:db8:2::7"},
		{"IPv6 with port", "10.0.0.1:1", []string{"[2001:db8:2::7]:4711"}, "2001:db8:2::7"},
		{"IPv6 proxy", "[2001:db8:1::1]:1", []string{"203.0.113.9"}, "203.0.113.9"},
		{"mapped peer is its IPv4 self", "[::ffff:10.0.0.1]:1", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		{"zone is no way around", "10.0.0.1:1", []string{"203.0.113.9, fe80::1%eth0"}, "fe80::1"},
		{"no address", "@", []string{"203.0.113.9"}, "invalid IP"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.remote
		for _, f := range c.forwarded {
			r.Header.Add("X-Forwarded-For", f)
		}
		if got := ClientIP(r, proxies).String(); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "10.0.0.1:1"
	r.Header.Set("X-Forwarded-For", "1.2.3.4"+strings.Repeat(",10.0.0.2", 100_000))
	if got := ClientIP(r, proxies).String(); got != "10.0.0.2" {
		t.Errorf("an endless chain gives %s", got)
	}
	r.Header.Set("X-Forwarded-For", "1.2.3.4")
	if got := ClientIP(r, nil).String(); got != "10.0.0.1" {
		t.Errorf("nobody is trusted, yet got %s", got)
	}
}

func TestIdentify(t *testing.T) {
	var got Info
	h := Identify(proxies)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = InfoOf(r) }))
	do := func(remote, requestID string) string {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = remote
		r.Header.Set(RequestIDHeader, requestID)
		r.Header.Set("User-Agent", "a\x1b[31m\xff"+strings.Repeat("é", 400))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Header().Get(RequestIDHeader) != got.RequestID {
			t.Errorf("the answer says %q, the request is %q", w.Header().Get(RequestIDHeader), got.RequestID)
		}
		return got.RequestID
	}
	if do("10.0.0.1:1", "trace-1.a_B") != "trace-1.a_B" {
		t.Error("a trusted proxy's id is not kept")
	}
	for _, bad := range []string{"", "a b", "a\nlevel=ERROR", "ü", strings.Repeat("a", maxRequestID+1)} {
		if id := do("10.0.0.1:1", bad); id == bad || !strings.HasPrefix(id, "req_") {
			t.Errorf("id %q was taken from %q", id, bad)
		}
	}
	if do("203.0.113.9:1", "forged") == "forged" {
		t.Error("a stranger's id is kept")
	}
	if len(got.UserAgent) > maxUserAgent || strings.ContainsRune(got.UserAgent, 0x1b) || !utf8.ValidString(got.UserAgent) || !strings.HasPrefix(got.UserAgent, "a[31mé") {
		t.Errorf("user agent %q", got.UserAgent)
	}
	if (InfoOf(httptest.NewRequest(http.MethodGet, "/", nil)) != Info{}) {
		t.Error("Info without Identify")
	}
}

// logged runs one request through the whole chain and returns the log's lines.
func logged(t *testing.T, target string, mount func(chi.Router), answer http.HandlerFunc) (*httptest.ResponseRecorder, []map[string]any) {
	t.Helper()
	var out bytes.Buffer
	log := slog.New(LogHandler(slog.NewJSONHandler(&out, nil)))
	tick := time.Unix(0, 0)
	r := chi.NewRouter()
	r.Use(Identify(nil), AccessLog(log, func() time.Time { tick = tick.Add(1500 * time.Microsecond); return tick }),
		Recover(log, answer))
	mount(r)
	w := httptest.NewRecorder()
	func() {
		defer func() {
			if v := recover(); v != nil && v != http.ErrAbortHandler {
				t.Errorf("a panic passes: %v", v)
			}
		}()
		r.ServeHTTP(w, httptest.NewRequest(http.MethodPost, target, strings.NewReader(`{"a":"0123456789"}`)))
	}()
	var lines []map[string]any
	for dec := json.NewDecoder(&out); ; {
		var m map[string]any
		if dec.Decode(&m) != nil {
			return w, lines
		}
		lines = append(lines, m)
	}
}

func generic(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }

func TestAccessLog(t *testing.T) {
	w, lines := logged(t, "/setup/gwl_secret?code=hidden", func(r chi.Router) {
		r.Route("/setup", func(r chi.Router) {
			r.Post("/{token}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
		})
	}, generic)
	if len(lines) != 1 {
		t.Fatalf("%d lines", len(lines))
	}
	l := lines[0]
	for k, want := range map[string]any{
		"msg": "request", "level": "INFO", "method": "POST", "route": "/setup/{token}", "status": 200.0, "bytes": 2.0,
		"duration_ms": 1.5, "ip": "192.0.2.1", "request_id": w.Header().Get(RequestIDHeader),
	} {
		if l[k] != want {
			t.Errorf("%s is %v, want %v", k, l[k], want)
		}
	}
	for k, v := range l {
		if s, ok := v.(string); ok && (strings.Contains(s, "secret") || strings.Contains(s, "hidden")) {
			t.Errorf("%s shows a secret: %s", k, s)
		}
	}
	_, lines = logged(t, "/nowhere/gwl_secret", func(r chi.Router) { r.Get("/", generic) }, generic)
	if len(lines) != 1 || lines[0]["route"] != "unmatched" || lines[0]["status"] != 404.0 {
		t.Errorf("unmatched: %v", lines)
	}
}

func TestRecover(t *testing.T) {
	w, lines := logged(t, "/x", func(r chi.Router) {
		r.Post("/x", func(http.ResponseWriter, *http.Request) { panic("inner text") })
	}, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "generic", http.StatusInternalServerError) })
	if w.Code != http.StatusInternalServerError || w.Body.String() != "generic\n" {
		t.Errorf("answered %d %q", w.Code, w.Body)
	}
	if len(lines) != 2 || lines[0]["panic"] != "inner text" || lines[0]["request_id"] != w.Header().Get(RequestIDHeader) ||
		!strings.Contains(lines[0]["stack"].(string), "httpx_test.go") || lines[1]["level"] != "WARN" {
		t.Errorf("logged %v", lines)
	}

	// The answer had begun: it is cut, not completed.
	var cut any
	h := Recover(slog.New(slog.DiscardHandler), generic)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		panic("late")
	}))
	func() {
		defer func() { cut = recover() }()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	}()
	if cut != http.ErrAbortHandler {
		t.Errorf("a late panic ends in %v", cut)
	}
}

func TestReadBody(t *testing.T) {
	read := func(body string, limit int64) ([]byte, error) {
		return ReadBody(httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)), limit)
	}
	if b, err := read("0123456789", 10); err != nil || string(b) != "0123456789" {
		t.Errorf("got %q, %v", b, err)
	}
	if _, err := read("0123456789a", 10); fault.CodeOf(err) != "body_too_large" {
		t.Errorf("a long body gives %v", err)
	}
	// Chunked bodies too, and a cap of the server's holds where a route asks for more.
	for _, limit := range []int64{10, 1000} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("0123456789a"))
		r.ContentLength = -1
		if limit > 10 {
			r.Body = http.MaxBytesReader(httptest.NewRecorder(), r.Body, 10)
		}
		if _, err := ReadBody(r, limit); fault.KindOf(err) != fault.TooLarge {
			t.Errorf("a chunked body gives %v", err)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/", io.MultiReader(strings.NewReader("{"), broken{}))
	if _, err := ReadBody(r, 100); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a broken body gives %v", err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, context.DeadlineExceeded }

func TestWriteJSON(t *testing.T) {
	w := httptest.NewRecorder()
	if err := WriteJSON(w, http.StatusCreated, map[string]string{"a": "<b>"}); err != nil {
		t.Fatal(err)
	}
	if w.Code != 201 || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store" ||
		w.Body.String() != `{"a":"\u003cb\u003e"}`+"\n" {
		t.Errorf("%d %v %q", w.Code, w.Header(), w.Body)
	}
	w = httptest.NewRecorder()
	w.Header().Set("Content-Type", "application/scim+json")
	if err := WriteJSON(w, 200, nil); err != nil || w.Header().Get("Content-Type") != "application/scim+json" {
		t.Errorf("%v %v", err, w.Header())
	}
	w = httptest.NewRecorder()
	if err := WriteJSON(w, 200, func() {}); err == nil || w.Body.Len() != 0 {
		t.Error("what cannot be encoded is answered")
	}
}

func TestPage(t *testing.T) {
	h := http.Header{}
	Page{HTTPS: true}.Set(h)
	const want = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
		"connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
	if got := h.Get("Content-Security-Policy"); got != want {
		t.Errorf("got %s", got)
	}
	if h.Get("Strict-Transport-Security") == "" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("got %v", h)
	}
	h = http.Header{}
	Page{AnyFormAction: true, ScriptHashes: []string{"sha256-abc="}, Cacheable: true}.Set(h)
	csp := h.Get("Content-Security-Policy")
	if strings.Contains(csp, "form-action") || !strings.Contains(csp, "script-src 'self' 'sha256-abc=';") ||
		h.Get("Strict-Transport-Security") != "" || h.Get("Cache-Control") != "" {
		t.Errorf("got %v", h)
	}
}

package ui_test

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gatehouse-id/gatehouse/gatewaytest/htmlcheck"
	"github.com/gatehouse-id/gatehouse/portal/ui"
)

const hostile = `"><script>alert(1)</script><img src=x onerror=alert(1)>' javascript:alert(1) {{.}} ` + "\u202e\x00"

var appPage = fstest.MapFS{
	"_nav.html":          {Data: []byte(`{{define "nav"}}<a href="/portal" aria-current="page">Users</a>{{end}}`)},
	"users.html":         {Data: []byte(`{{template "app" .}}{{define "content"}}<h1>{{.Title}}</h1><p>{{.Text}}</p>{{end}}`)},
	"deep/identify.html": {Data: []byte(`{{template "card" .}}{{define "content"}}<h1>{{.Title}}</h1><p>{{.Text}}</p>{{end}}{{define "foot"}}<footer>foot</footer>{{end}}`)},
}

var quiet = slog.New(slog.DiscardHandler)

type textPage struct {
	ui.Page
	Text string
}

func newUI(t *testing.T) *ui.UI {
	t.Helper()
	u, err := ui.New(appPage)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func do(handler http.HandlerFunc) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	handler(w, httptest.NewRequest(http.MethodGet, "/", nil))
	return w
}

func TestPagesHoldWithEveryFixture(t *testing.T) {
	u := newUI(t)
	long := strings.Repeat("W", 3000)
	for name, show := range map[string]http.HandlerFunc{
		"error empty": func(w http.ResponseWriter, r *http.Request) { u.Error(w, r, 400, "", "", "", "") },
		"error normal": func(w http.ResponseWriter, r *http.Request) {
			u.Error(w, r, 403, "Not allowed", "Your account is disabled.", "POLICY_USER_DISABLED", "flw_01")
		},
		"error full": func(w http.ResponseWriter, r *http.Request) {
			u.ErrorPage(w, r, 403, ui.ErrorPage{Page: ui.Page{Title: "T", Lang: "de", Brand: ui.Brand{Name: "Acme"}}, Message: "m", Code: "C", FlowID: "f", Help: "h", ActionURL: "/login", ActionText: "Again"})
		},
		"error hostile": func(w http.ResponseWriter, r *http.Request) { u.Error(w, r, 400, hostile, hostile, hostile, hostile) },
		"error hostile action": func(w http.ResponseWriter, r *http.Request) {
			u.ErrorPage(w, r, 400, ui.ErrorPage{Page: ui.Page{Title: hostile, Lang: hostile, Brand: ui.Brand{Name: hostile, Accent: hostile}}, ActionURL: "/x?a=" + hostile, ActionText: hostile})
		},
		"error long":     func(w http.ResponseWriter, r *http.Request) { u.Error(w, r, 400, long, long, long, long) },
		"autopost empty": func(w http.ResponseWriter, r *http.Request) { u.AutoPost(w, r, "https://idp.example/acs", nil) },
		"autopost normal": func(w http.ResponseWriter, r *http.Request) {
			u.AutoPost(w, r, "https://idp.example/acs", [][2]string{{"SAMLResponse", "PHg+"}, {"RelayState", "r"}})
		},
		"autopost hostile": func(w http.ResponseWriter, r *http.Request) {
			u.AutoPost(w, r, "https://idp.example/acs?x="+hostile[:10], [][2]string{{hostile, hostile}})
		},
		"app": func(w http.ResponseWriter, r *http.Request) {
			u.Render(w, r, 200, "users", textPage{ui.Page{Title: "Users"}, hostile})
		},
		"card": func(w http.ResponseWriter, r *http.Request) {
			u.Render(w, r, 200, "deep/identify", textPage{ui.Page{Title: "Sign in"}, hostile})
		},
	} {
		w := do(show)
		body := w.Body.Bytes()
		for _, fault := range htmlcheck.Check(body) {
			t.Errorf("%s: %s", name, fault)
		}
		if n := strings.Count(string(body), "<script"); n != 1 && !(strings.HasPrefix(name, "autopost") && n == 2) {
			t.Errorf("%s: %d scripts", name, n)
		}
		if strings.Contains(string(body), "onerror=alert(1)>") || strings.Contains(string(body), "<img") {
			t.Errorf("%s: hostile value not escaped:\n%s", name, body)
		}
	}
}

func TestErrorShowsCodeAndReference(t *testing.T) {
	u := newUI(t)
	w := do(func(w http.ResponseWriter, r *http.Request) {
		u.Error(w, r, http.StatusForbidden, "Sign-in refused", "Ask your administrator.", "SAML_AUDIENCE_MISMATCH", "flw_123")
	})
	if w.Code != http.StatusForbidden {
		t.Errorf("status %d", w.Code)
	}
	for _, want := range []string{"Sign-in refused", "Ask your administrator.", "SAML_AUDIENCE_MISMATCH", "flw_123", `lang="en"`, "· Gatehouse</title>"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %q in the page", want)
		}
	}
}

func TestHeaders(t *testing.T) {
	u := newUI(t)
	show := func(opts ...ui.Option) http.Header {
		return do(func(w http.ResponseWriter, r *http.Request) {
			u.Render(w, r, 200, "users", textPage{Page: ui.Page{Title: "T"}}, opts...)
		}).Header()
	}
	h := show()
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
		"X-Frame-Options": "DENY", "Content-Type": "text/html; charset=utf-8",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	csp := h.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
		if !strings.Contains(csp, want) {
			t.Errorf("no %q in %q", want, csp)
		}
	}
	if strings.Contains(csp, "unsafe") {
		t.Errorf("unsafe policy %q", csp)
	}
	if csp := show(ui.CrossOriginForm()).Get("Content-Security-Policy"); strings.Contains(csp, "form-action") {
		t.Errorf("a page whose form leaves the origin has %q", csp)
	}
}

// The browser runs the inline script only if the hash in the header is that of
// the text between the tags.
func TestAutoPostScriptMatchesPolicy(t *testing.T) {
	u := newUI(t)
	w := do(func(w http.ResponseWriter, r *http.Request) {
		u.AutoPost(w, r, "https://sp.example/acs", [][2]string{{"SAMLResponse", "a+b/c=="}, {"RelayState", `"<&>`}})
	})
	script := regexp.MustCompile(`(?s)<script>(.*?)</script>`).FindStringSubmatch(w.Body.String())
	if script == nil {
		t.Fatalf("no inline script in\n%s", w.Body)
	}
	sum := sha256.Sum256([]byte(script[1]))
	csp := w.Header().Get("Content-Security-Policy")
	if want := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(csp, want) {
		t.Errorf("%s is not in %s", want, csp)
	}
	if strings.Contains(csp, "form-action") {
		t.Errorf("form-action blocks the post: %s", csp)
	}
	for _, want := range []string{`action="https://sp.example/acs"`, `name="SAMLResponse" value="a&#43;b/c=="`, `name="RelayState" value="&#34;&lt;&amp;&gt;"`, ">Continue</button>"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s in\n%s", want, w.Body)
		}
	}
}

func TestAutoPostRefusesOtherSchemes(t *testing.T) {
	u := newUI(t)
	for _, action := range []string{"javascript:alert(1)", "data:text/html,x", "/relative", "//host/x", "", "https:///x", "http://[", "ftp://x/y"} {
		w := do(func(w http.ResponseWriter, r *http.Request) { u.AutoPost(w, r, action, nil) })
		if w.Code != http.StatusBadRequest || strings.Contains(w.Body.String(), "<form") {
			t.Errorf("AutoPost to %q: status %d", action, w.Code)
		}
	}
}

func TestBrokenPageIsNotSentInPart(t *testing.T) {
	u := newUI(t)
	for _, name := range []string{"users", "no-such-page"} {
		w := do(func(w http.ResponseWriter, r *http.Request) {
			u.Render(w, r, 200, name, struct{ ui.Page }{ui.Page{Title: "half"}})
		})
		if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "half") {
			t.Errorf("%s: %d %q", name, w.Code, w.Body)
		}
	}
}

func TestNewRefusesBrokenTemplates(t *testing.T) {
	for name, fsys := range map[string]fstest.MapFS{
		"syntax":    {"a.html": {Data: []byte(`{{if}}`)}},
		"twice":     {"error.html": {Data: []byte(`x`)}},
		"function":  {"a.html": {Data: []byte(`{{shell "x"}}`)}},
		"a partial": {"_a.html": {Data: []byte(`{{end}}`)}},
	} {
		if _, err := ui.New(fsys); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestAssets(t *testing.T) {
	u, err := ui.NewWith(ui.Config{AssetPath: "/idp/assets", Product: "Acme ID"})
	if err != nil {
		t.Fatal(err)
	}
	name := u.AssetURL("app.css")
	if !regexp.MustCompile(`^/idp/assets/app\.[0-9a-f]{16}\.css$`).MatchString(name) {
		t.Fatalf("AssetURL = %q", name)
	}
	get := func(method, target, encoding string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, target, nil)
		r.Header.Set("Accept-Encoding", encoding)
		w := httptest.NewRecorder()
		u.Assets().ServeHTTP(w, r)
		return w
	}
	plain := get("GET", name, "br, gzip;q=0")
	if plain.Code != 200 || plain.Header().Get("Content-Encoding") != "" || !strings.Contains(plain.Body.String(), "@layer") {
		t.Errorf("plain: %d %v", plain.Code, plain.Header())
	}
	zipped := get("GET", name, "br;q=1.0, GZIP;q=0.8")
	if zipped.Header().Get("Content-Encoding") != "gzip" {
		t.Fatalf("gzip: %v", zipped.Header())
	}
	zr, err := gzip.NewReader(zipped.Body)
	if err != nil {
		t.Fatal(err)
	}
	if unzipped, err := io.ReadAll(zr); err != nil || string(unzipped) != plain.Body.String() {
		t.Errorf("the gzipped asset differs: %v", err)
	}
	for h, want := range map[string]string{"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding", "Content-Type": "text/css; charset=utf-8"} {
		if got := plain.Header().Get(h); got != want {
			t.Errorf("%s: %q", h, got)
		}
	}
	if w := get("HEAD", name, ""); w.Body.Len() != 0 || w.Header().Get("Content-Length") == "0" {
		t.Errorf("HEAD: %d bytes, %v", w.Body.Len(), w.Header())
	}
	for _, target := range []string{"/idp/assets/app.css", "/idp/assets/", "/idp/assets/../ui.go", "/idp/assets/app.0000000000000000.css"} {
		if w := get("GET", target, ""); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
	if w := get("POST", name, ""); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}

package backoffice

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/gatehouse-id/gatehouse/gatewaytest/chrome"
	"github.com/gatehouse-id/gatehouse/gatewaytest/htmlcheck"
	"github.com/gatehouse-id/gatehouse/portal/ui"
	"github.com/gatehouse-id/gatehouse/signin/factor"
	"github.com/gatehouse-id/gatehouse/signin/staffauth"
)

// injection tries to break out of text, of an attribute and of a script, and to
// be taken for a template.
const injection = `"><script>alert(1)</script><img src=x onerror=alert(1)>' onfocus=alert(1) javascript:alert(1) {{.Next}} </title></main>`

var (
	rtl      = "שלום عبد الرحمن بن محمد \u202eevil\u202c"
	unbroken = strings.Repeat("Donaudampfschifffahrt", 10)
	then     = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// fixture is one state of one page, as the handlers show it.
type fixture struct {
	name     string // begins with that of the template
	status   int
	title    string
	provider bool // its POST may end on another origin
	show     http.HandlerFunc
}

func newPages(t *testing.T) *Handler {
	t.Helper()
	u, err := ui.NewWith(ui.Config{Templates: []fs.FS{Templates()}, HTTPS: true})
	if err != nil {
		t.Fatal(err)
	}
	return &Handler{ui: u, log: slog.New(slog.DiscardHandler)}
}

func (h *Handler) fixtures() []fixture {
	const ok, bad = http.StatusOK, http.StatusUnprocessableEntity
	ways := func(p loginPage) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { h.ways(w, r, ok, p) }
	}
	key := func(p keyPage) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { h.key(w, r, p) }
	}
	second := func(email, kind string, problem ui.Text, kinds ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			h.second(w, r, ok, staffauth.Step{Email: email, Kinds: kinds}, kind, problem)
		}
	}
	app := func(a factor.NewTOTP, problem ui.Text) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			h.app(w, r, a, appPage{Action: "/backoffice/enrol", Back: "/backoffice/enrol", Error: problem})
		}
	}
	password := func(p passwordPage) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { h.password(w, r, p) }
	}
	forgot := func(p forgotPage) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { h.forgot(w, r, p) }
	}
	home := func(p homePage) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { h.overview(w, r, p) }
	}
	codes := func(list ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { h.codes(w, r, list, "post", "/backoffice/continue") }
	}
	return []fixture{
		{"login", ok, "Sign in to the back office", true, ways(loginPage{Next: "/backoffice"})},
		{"login with a provider", ok, "Sign in to the back office", true, ways(loginPage{Provider: true, Notice: staffauth.ErrStale.Text()})},
		{"login hostile", ok, "Sign in to the back office", true, ways(loginPage{Email: injection + unbroken, Next: injection, Error: rtl, Notice: injection, Provider: true})},
		{"key", ok, "Use a passkey", false, key(keyPage{Page: ui.Page{Title: "Use a passkey"}, Lead: "Your browser leads you through it.", Action: "/backoffice/second", Ceremony: "get", Options: `{"publicKey":{}}`, Back: "/backoffice"})},
		{"key hostile", bad, "Use a passkey", false, key(keyPage{Page: ui.Page{Title: "Use a passkey"}, Lead: injection, Action: "/x?" + injection, Ceremony: "create", Options: injection, Named: true, Error: unbroken, Back: "/x?" + injection})},
		{"second", ok, "One more step", false, second("ada@vendor.example", "", nil, factor.WebAuthn, factor.TOTP, staffauth.KindRecovery)},
		{"second code", ok, "One more step", false, second("ada@vendor.example", factor.TOTP, "Enter the code.", factor.TOTP)},
		{"second hostile", ok, "One more step", false, second(injection+unbroken, injection, injection, staffauth.KindRecovery, factor.WebAuthn)},
		{"welcome", ok, "Welcome to the back office", false, func(w http.ResponseWriter, r *http.Request) { h.welcome(w, r, "ada@vendor.example") }},
		{"welcome hostile", ok, "Welcome to the back office", false, func(w http.ResponseWriter, r *http.Request) { h.welcome(w, r, injection+unbroken) }},
		{"password", ok, "Choose a password", false, password(passwordPage{Email: "ada@vendor.example", Action: "/backoffice/password"})},
		{"password hostile", bad, "Choose a password", false, password(passwordPage{Email: injection + unbroken, Action: "/x?" + injection, Back: "/x?" + injection, Error: injection})},
		{"enrol", ok, "Set up a second factor", false, func(w http.ResponseWriter, r *http.Request) { h.enrol(w, r) }},
		{"app", ok, "Add your authenticator app", false, app(factor.NewTOTP{Secret: "ABCD EFGH", URL: "otpauth://totp/x", PNG: []byte("\x89PNG")}, nil)},
		{"app hostile", bad, "Add your authenticator app", false, app(factor.NewTOTP{Secret: injection + unbroken}, injection)},
		{"codes", ok, "Keep your recovery codes", false, codes("abcd-efgh-ijkl-mnop", "qrst-uvwx-yz23-4567")},
		{"codes hostile", ok, "Keep your recovery codes", false, codes(injection, unbroken)},
		{"forgot", ok, "Forgot your password?", false, forgot(forgotPage{})},
		{"forgot sent", ok, "Look into your mailbox", false, forgot(forgotPage{Email: injection + unbroken, Sent: true})},
		{"forgot hostile", bad, "Forgot your password?", false, forgot(forgotPage{Email: injection, Error: injection})},
		{"done", ok, "Signed out", false, func(w http.ResponseWriter, r *http.Request) {
			h.done(w, r, "Signed out", "You are signed out of the back office in this browser.")
		}},
		{"almost", ok, "Almost there", false, func(w http.ResponseWriter, r *http.Request) { h.almost(w, r) }},
		{"home", ok, "Back office", false, home(homePage{
			Email: "ada@vendor.example", Notice: "The session has ended.", HasPassword: true, RecoveryCodes: 10,
			Environments: []environmentRow{{"Default", "https://id.vendor.example", "admin, impersonator"}, {"EU", "https://eu.vendor.example", "backoffice-viewer"}},
			Factors:      []factorRow{{"fac_1", "Ada’s laptop", kinds[factor.WebAuthn], then, then}, {"fac_2", "Phone", kinds[factor.TOTP], then, time.Time{}}},
			Sessions:     []sessionRow{{"ses_1", "Mozilla/5.0 (X11; Linux x86_64)", "192.0.2.1", then, then, true}, {"ses_2", "", "2001:db8::1", then, then, false}},
		})},
		{"home empty", ok, "Back office", false, home(homePage{})},
		{"home hostile", ok, "Back office", false, home(homePage{
			Email: injection + unbroken, Environments: []environmentRow{{injection, unbroken, rtl}}, Factors: []factorRow{{injection, injection + unbroken, "Passkey or security key", then, then}},
			Sessions: []sessionRow{{injection, injection + unbroken, injection, then, then, false}},
		})},
	}
}

func TestPagesHoldInEveryState(t *testing.T) {
	seen := map[string]bool{}
	h := newPages(t)
	for _, f := range h.fixtures() {
		name, _, _ := strings.Cut(f.name, " ")
		seen[name] = true
		for _, lang := range []string{"en", "de"} {
			r := httptest.NewRequest(http.MethodGet, "/backoffice", nil)
			r.Header.Set("Accept-Language", lang)
			w := httptest.NewRecorder()
			f.show(w, r)
			body := w.Body.String()
			if w.Code != f.status {
				t.Errorf("%s: status %d, want %d", f.name, w.Code, f.status)
			}
			for _, problem := range htmlcheck.Check(w.Body.Bytes()) {
				t.Errorf("%s, %s: %s", f.name, lang, problem)
			}
			if strings.Count(body, "<script") != 1 || strings.Contains(body, "<img src=x") || strings.Contains(body, `href="javascript:`) || strings.Count(body, "</main>") != 1 {
				t.Errorf("%s: a hostile value is not escaped:\n%s", f.name, body)
			}
			if lang == "en" && !strings.Contains(body, "<h1>"+f.title+"</h1>") {
				t.Errorf("%s: no heading %q", f.name, f.title)
			}
			if csp := w.Header().Get("Content-Security-Policy"); strings.Contains(csp, "form-action 'self'") == f.provider || !strings.Contains(csp, "default-src 'none'") {
				t.Errorf("%s: policy %q", f.name, csp)
			}
			if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Frame-Options") != "DENY" {
				t.Errorf("%s: headers %v", f.name, w.Header())
			}
		}
	}
	files, err := fs.Glob(Templates(), "backoffice/*.html")
	if err != nil || len(files) < 10 {
		t.Fatalf("templates: %v, %v", files, err)
	}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".html"); !strings.HasPrefix(name, "_") && !seen[name] {
			t.Errorf("%s has no fixture", file)
		}
	}
}

// WCAG 2.2 A and AA as far as a program can tell, in light and dark, and no
// sideways scrolling at 320 CSS pixels (1.4.10).
func TestPagesAreAccessible(t *testing.T) {
	tab, h := chrome.OpenTab(t), newPages(t)
	mux := http.NewServeMux()
	mux.Handle("/assets/", h.ui.Assets())
	fixtures := h.fixtures()
	mux.HandleFunc("GET /page/{n}", func(w http.ResponseWriter, r *http.Request) {
		var n int
		if _, err := fmt.Sscan(r.PathValue("n"), &n); err == nil && n < len(fixtures) {
			fixtures[n].show(w, r)
		}
	})
	s := httptest.NewServer(mux)
	defer s.Close()
	axe, err := os.ReadFile(filepath.Join("..", "ui", "testdata", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	for n, f := range fixtures {
		chrome.Do(t, tab, chromedp.EmulateViewport(1280, 800), chromedp.Navigate(fmt.Sprintf("%s/page/%d", s.URL, n)))
		chrome.Evaluate[bool](t, tab, string(axe)+";true") // through DevTools: the page's policy lets no foreign script in
		for _, scheme := range []string{"light", "dark"} {
			chrome.Do(t, tab, chrome.DevTools("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{
				{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"},
			}}))
			found := chrome.Evaluate[string](t, tab, `axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"], resultTypes: ["violations"]})
				.then(r => JSON.stringify({rules: r.passes.length, violations: r.violations.map(v => v.id + ": " + v.nodes.map(n => n.html + " " + n.failureSummary).join("; "))}))`)
			var result struct {
				Rules      int
				Violations []string
			}
			if err := json.Unmarshal([]byte(found), &result); err != nil || result.Rules < 10 {
				t.Fatalf("%s: %v, %d rules", f.name, err, result.Rules)
			}
			for _, v := range result.Violations {
				t.Errorf("%s, %s: %s", f.name, scheme, v)
			}
		}
		chrome.Do(t, tab, chromedp.EmulateViewport(320, 640))
		if wide := chrome.Evaluate[int](t, tab, "document.documentElement.scrollWidth"); wide > 320 {
			t.Errorf("%s scrolls sideways at 320 px: %d; %s", f.name, wide, chrome.Evaluate[string](t, tab, `[...document.body.querySelectorAll("*")].filter(e => e.getBoundingClientRect().right > innerWidth).map(e => e.tagName + "." + e.className).join(", ")`))
		}
	}
}

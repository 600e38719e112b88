package login

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/gatehouse-id/gatehouse/gatewaytest/chrome"
	"github.com/gatehouse-id/gatehouse/portal/ui"
)

// screenshots keeps what the pages look like: go test ./portal/login -run Accessible -screenshots /tmp/pages
var screenshots = flag.String("screenshots", "", "directory for screenshots of every page")

var schemes = []string{"light", "dark"}

// site serves the fixtures under /page/{number}, and takes what their forms send.
type site struct {
	*httptest.Server
	fixtures []fixture
	posts    chan url.Values
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{posts: make(chan url.Values, 64)}
	h := newPages(t)
	mux := http.NewServeMux()
	// 204 leaves the browser where it is: the auto-post page can be looked at.
	mux.HandleFunc("POST /sink", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	take := func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		form := r.Form
		form.Set("path", r.URL.Path)
		s.posts <- form
		fmt.Fprint(w, "<!doctype html><title>Arrived</title><p id=arrived>here")
	}
	for _, path := range []string{"/login", "/login/", "/mfa", "/mfa/", "/logout"} {
		mux.HandleFunc(path, take)
	}
	mux.Handle("/assets/", h.ui.Assets())
	mux.HandleFunc("GET /page/{n}", func(w http.ResponseWriter, r *http.Request) {
		var n int
		if _, err := fmt.Sscan(r.PathValue("n"), &n); err != nil || n >= len(s.fixtures) {
			http.NotFound(w, r)
			return
		}
		s.fixtures[n].show(w, r)
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	s.fixtures = h.fixtures(s.URL + "/sink")
	return s
}

func (s *site) address(t *testing.T, name string) string {
	t.Helper()
	for n, f := range s.fixtures {
		if f.name == name {
			return fmt.Sprintf("%s/page/%d", s.URL, n)
		}
	}
	t.Fatalf("no fixture %q", name)
	return ""
}

// received is what the next form sent.
func (s *site) received(t *testing.T, tab context.Context) url.Values {
	t.Helper()
	select {
	case form := <-s.posts:
		return form
	case <-tab.Done():
		t.Fatal("no form was sent")
		return nil
	}
}

func scheme(name string) chromedp.Action[chromedp.Void] {
	return chrome.DevTools("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{
		{"name": "prefers-color-scheme", "value": name}, {"name": "prefers-reduced-motion", "value": "reduce"},
	}})
}

// WCAG 2.2 A and AA as far as a program can tell, no sideways scrolling at 320
// CSS pixels (1.4.10), and no page that breaks its own policy.
func TestPagesAreAccessible(t *testing.T) {
	tab, s := chrome.OpenTab(t), newSite(t)
	axe, err := os.ReadFile(filepath.Join("..", "ui", "testdata", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	for n, f := range s.fixtures {
		// Every page in German, whose words are longer; every third in English too.
		for _, lang := range []string{"de", "en"}[:1+(n%3+1)/3] {
			accessible(t, tab, string(axe), f.name, lang, s.address(t, f.name))
		}
	}
}

func accessible(t *testing.T, tab context.Context, axe, page, lang, address string) {
	t.Helper()
	name := page + " " + lang
	chrome.Do(t, tab, chromedp.EmulateViewport(1280, 800), chromedp.Navigate(address+"?ui_locales="+lang))
	if got := chrome.Evaluate[string](t, tab, "document.documentElement.lang"); got != lang {
		t.Errorf("%s: the language is %q", name, got)
	}
	// Through DevTools: the page's policy lets no foreign script in.
	chrome.Evaluate[bool](t, tab, axe+";true")
	for _, colours := range schemes {
		chrome.Do(t, tab, chromedp.EmulateViewport(1280, 800), scheme(colours))
		for _, violation := range violations(t, tab) {
			t.Errorf("%s, %s: %s", name, colours, violation)
		}
		screenshot(t, tab, name, colours, 1280)
		chrome.Do(t, tab, chromedp.EmulateViewport(400, 800))
		screenshot(t, tab, name, colours, 400)
	}
	chrome.Do(t, tab, chromedp.EmulateViewport(320, 640))
	if wide := chrome.Evaluate[[]string](t, tab, tooWide); len(wide) > 0 {
		t.Errorf("%s scrolls sideways at 320 px: %s", name, strings.Join(wide, ", "))
	}
	if blocked := chrome.Evaluate[[]string](t, tab, "blocked"); len(blocked) > 0 {
		t.Errorf("%s breaks its own policy: %s", name, strings.Join(blocked, ", "))
	}
}

// violations runs axe-core; a line per rule.
func violations(t *testing.T, tab context.Context) []string {
	t.Helper()
	found := chrome.Evaluate[string](t, tab, `axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"], resultTypes: ["violations"]})
		.then(r => JSON.stringify({rules: r.passes.length, violations: r.violations.map(v => v.id + ": " + v.help + ": " + v.nodes.map(n => n.html + " " + n.failureSummary).join("; "))}))`)
	var result struct {
		Rules      int
		Violations []string
	}
	if err := json.Unmarshal([]byte(found), &result); err != nil {
		t.Fatal(err)
	}
	if result.Rules < 10 {
		t.Fatalf("axe-core checked %d rules only", result.Rules)
	}
	return result.Violations
}

const tooWide = `document.documentElement.scrollWidth <= innerWidth && innerWidth === 320 ? [] :
	["page " + document.documentElement.scrollWidth + "/" + innerWidth, ...[...document.body.querySelectorAll("*")].filter(e => e.getBoundingClientRect().right > innerWidth).map(e => e.tagName + "." + e.className)]`

func screenshot(t *testing.T, tab context.Context, page, scheme string, width int) {
	t.Helper()
	if *screenshots == "" {
		return
	}
	png, err := chromedp.Run(tab, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("%s-%s-%d.png", strings.ReplaceAll(page, " ", "-"), scheme, width)
	if err := os.WriteFile(filepath.Join(*screenshots, name), png, 0o644); err != nil {
		t.Fatal(err)
	}
}

// controls gives each visible control once, in the order in which it stands.
const controls = `[...document.querySelectorAll("a[href], button, input, select, textarea, summary")].filter(e => e.type !== "hidden" && e.checkVisibility())`

// WCAG 2.1.1, 2.4.3, 2.4.7, 2.4.11: Tab reaches every control in order, and one
// sees where the focus is.
func TestTabReachesEveryControl(t *testing.T) {
	tab, s := chrome.OpenTab(t), newSite(t)
	reached := 0
	for _, f := range s.fixtures {
		for _, name := range schemes {
			chrome.Do(t, tab, chromedp.EmulateViewport(400, 640), scheme(name), chromedp.Navigate(s.address(t, f.name)))
			count := chrome.Evaluate[int](t, tab, controls+".length")
			// A field with autofocus would let Tab begin in the middle.
			chrome.Evaluate[bool](t, tab, `{ const start = document.createElement("span"); start.tabIndex = -1; document.body.prepend(start); start.focus(); true }`)
			for n := range count {
				chrome.Do(t, tab, chromedp.KeyEvent(kb.Tab))
				got := chrome.Evaluate[struct {
					Index                  int
					Name                   string
					Outlined, Seen, Inside bool
				}](t, tab, `(() => {
					const e = document.activeElement, box = e.getBoundingClientRect(), style = getComputedStyle(e);
					const at = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
					return {
						Index: `+controls+`.indexOf(e), Name: e.outerHTML.slice(0, 120),
						Outlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 &&
							(parseFloat(style.outlineOffset) >= 1 || style.outlineColor !== style.backgroundColor),
						Seen: e.contains(at), Inside: box.left >= 0 && box.right <= innerWidth,
					};
				})()`)
				if got.Index != n || !got.Outlined || !got.Seen || !got.Inside {
					t.Errorf("%s, %s: Tab %d reaches %+v", f.name, name, n+1, got)
				}
				reached++
			}
		}
	}
	if reached < 40 {
		t.Errorf("only %d controls were there to reach", reached)
	}
}

func TestEnterSubmits(t *testing.T) {
	tab, s := chrome.OpenTab(t), newSite(t)
	press := func(keys ...string) {
		t.Helper()
		for _, key := range keys {
			chrome.Do(t, tab, chromedp.KeyEvent(key))
		}
	}
	for _, scripted := range []bool{true, false} {
		chrome.Do(t, tab, chrome.DevTools("Emulation.setScriptExecutionDisabled", map[string]any{"value": !scripted}))
		for _, test := range []struct {
			page  string
			first string // has the focus before a key is pressed
			keys  []string
			want  url.Values
		}{
			{"identifier empty", "#email", []string{"ada@acme.example", kb.Enter}, url.Values{"path": {"/login"}, "flow": {""}, "email": {"ada@acme.example"}}},
			{"identifier", "#email", []string{kb.Tab, kb.Enter}, url.Values{"path": {"/login"}, "flow": {"flw_01"}, "email": {"ada@acme.example"}}},
			{"choose one", "body", []string{kb.Tab, kb.Enter}, url.Values{"path": {"/login"}, "flow": {"flw_01"}, "email": {""}, "connection": {"sso_1"}}},
			{"choose five", "body", []string{kb.Tab, kb.Tab, kb.Tab, kb.Tab, kb.Enter}, url.Values{"path": {"/login"}, "flow": {"flw_01"}, "email": {"ada@acme.example"}, "connection": {"sso_3"}}},
			{"logout", "body", []string{kb.Tab, kb.Enter}, url.Values{"path": {"/logout"}}},
		} {
			chrome.Do(t, tab, chromedp.Navigate(s.address(t, test.page)))
			if test.first != "body" {
				chrome.Do(t, tab, chromedp.WaitReady(chromedp.CSS(test.first+":focus")))
			}
			press(test.keys...)
			chrome.Do(t, tab, chromedp.WaitVisible(chromedp.CSS("#arrived")))
			if got := s.received(t, tab); got.Encode() != test.want.Encode() {
				t.Errorf("%s, script %t: sent %v, want %v", test.page, scripted, got, test.want)
			}
		}
	}
}

// Chromium applies form-action to the redirects after a POST: the identifier
// page leaves it out, or nobody would reach an identity provider.
func TestPostMayEndOnAnotherOrigin(t *testing.T) {
	tab, h := chrome.OpenTab(t), newPages(t)
	arrived := make(chan string, 8)
	idp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/favicon.ico" {
			arrived <- r.Method + " " + r.URL.Path
		}
		fmt.Fprint(w, "<!doctype html><title>Identity provider</title><p id=idp>here")
	}))
	t.Cleanup(idp.Close)
	mux := http.NewServeMux()
	mux.Handle("/assets/", h.ui.Assets())
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) {
		h.identifier(w, r, http.StatusOK, "flw_01", "ada@acme.example", "")
	})
	mux.HandleFunc("GET /strict", func(w http.ResponseWriter, r *http.Request) {
		h.ui.Render(w, r, http.StatusOK, "identifier", identifierPage{Page: ui.Page{Title: "Sign in"}})
	})
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, idp.URL+"/sso", http.StatusSeeOther)
	})
	gateway := httptest.NewServer(mux)
	t.Cleanup(gateway.Close)

	chrome.Do(t, tab, chromedp.Navigate(gateway.URL+"/login"), chromedp.Click(chromedp.CSS("button")), chromedp.WaitVisible(chromedp.CSS("#idp")))
	if got := <-arrived; got != "GET /sso" {
		t.Errorf("the identity provider saw %s", got)
	}

	// The same page with the directive does not get there: this test would
	// notice a header that came back.
	chrome.Do(t, tab, chromedp.Navigate(gateway.URL+"/strict"), chromedp.Click(chromedp.CSS("button")))
	blocked, err := chromedp.Run(tab, chromedp.Poll[[]string]("blocked.length ? blocked : null"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(blocked, func(b string) bool { return strings.HasPrefix(b, "form-action ") }) {
		t.Errorf("the strict page was not stopped by form-action: %q", blocked)
	}
	if len(arrived) != 0 {
		t.Errorf("the strict page reached the identity provider: %s", <-arrived)
	}
}

// The copy buttons are offered to those alone who run the script, and say what
// they did.
func TestCopyButtons(t *testing.T) {
	tab, s := chrome.OpenTab(t), newSite(t)
	chrome.Do(t, tab, chrome.DevTools("Emulation.setScriptExecutionDisabled", map[string]any{"value": true}),
		chromedp.Navigate(s.address(t, "error")), chromedp.WaitNotVisible(chromedp.CSS("[data-copy=error-code]")),
		chrome.DevTools("Emulation.setScriptExecutionDisabled", map[string]any{"value": false}),
		chrome.DevTools("Browser.grantPermissions", map[string]any{"permissions": []string{"clipboardReadWrite", "clipboardSanitizedWrite"}}),
		chromedp.Navigate(s.address(t, "error")), chromedp.Click(chromedp.CSS("[data-copy=error-code]")))
	said, err := chromedp.Run(tab, chromedp.Poll[string](`document.querySelector("[role=status]").textContent`))
	if err != nil || said != "Copied" {
		t.Fatalf("the button said %q, %v", said, err)
	}
	if copied := chrome.Evaluate[string](t, tab, "navigator.clipboard.readText()"); copied != "POLICY_USER_DEPROVISIONED" {
		t.Errorf("copied %q", copied)
	}
}

package gatewaytest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/gatehouse-id/gatehouse/gatewaytest/chrome"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// screen is a real browser.
type screen struct {
	t   *testing.T
	tab context.Context
}

func newScreen(t *testing.T) *screen {
	t.Helper()
	return &screen{t, chrome.OpenTab(t)}
}

func (s *screen) do(steps ...chromedp.Action[chromedp.Void]) {
	s.t.Helper()
	chrome.Do(s.t, s.tab, steps...)
}

func (s *screen) open(address string) { s.t.Helper(); s.do(chromedp.Navigate(address)) }

// wait evaluates an expression over the pages that come until it gives a text.
func (s *screen) wait(what, expression string) string {
	s.t.Helper()
	return chrome.Wait(s.t, s.tab, what, expression)
}

func (s *screen) shows(heading string) {
	s.t.Helper()
	s.wait("the page "+heading, `document.querySelector("h1")?.textContent === "`+heading+`" && "yes"`)
}

func (s *screen) press(button string) {
	s.t.Helper()
	script := `[...document.querySelectorAll("main button, main a")].find(e => e.textContent.includes("` + button + `"))`
	s.wait("the button "+button, script+` && "yes"`)
	s.do(chromedp.Click(chromedp.JSPath(script)))
}

// The provider's own paths in a real browser: an application's request answered,
// silently the second time, given up, from another device, and the way out.
func TestProviderInTheBrowser(t *testing.T) {
	s := newScreen(t)
	v := newVendor(t, dbtest.Open(t, db.SQLite), "okta")
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<!doctype html><title>Application</title><h1>Application</h1>`)) // what came is in the address
	}))
	t.Cleanup(app.Close)
	v.Call(http.MethodPatch, "/applications/"+v.app.ClientID, object{"redirect_uris": []string{app.URL + "/callback"}, "post_logout_redirect_uris": []string{app.URL + "/bye"}}, nil)
	v.app.RedirectURI = app.URL + "/callback"
	// ask sends the application's request and gives its answer.
	ask := func(between func(), pairs ...string) url.Values {
		t.Helper()
		q := url.Values{
			"response_type": {"code"}, "client_id": {v.app.ClientID}, "redirect_uri": {v.app.RedirectURI}, "scope": {"openid email offline_access"}, "state": {"s"}, "nonce": {"n"},
			"code_challenge": {"qrJq7cTDXp4NjBiRtBEq03NPvt31Y0kq-5YBRp5aRVA"}, "code_challenge_method": {"S256"},
		}
		for n := 0; n+1 < len(pairs); n += 2 {
			q.Set(pairs[n], pairs[n+1])
		}
		s.open(v.URL + "/oauth2/authorize?" + q.Encode())
		between()
		at, err := url.Parse(s.wait("the application", `location.href.startsWith("`+v.app.RedirectURI+`") && location.href`))
		if err != nil {
			t.Fatal(err)
		}
		return at.Query()
	}

	if got := ask(func() { s.press("Cancel") }); got.Get("error") != "access_denied" || got.Get("iss") != v.URL || got.Get("state") != "s" {
		t.Errorf("given up: %v", got)
	}
	if got := ask(func() {}, "prompt", "none"); got.Get("error") != "login_required" {
		t.Errorf("before: %v", got)
	}
	got := ask(func() {
		s.shows("Sign in")
		s.do(chromedp.SendKeys(chromedp.CSS("#email"), ada.Email))
		s.press("Continue")
		s.press("OpenID")
		s.press(ada.Email)
	})
	if got.Get("code") == "" || got.Get("iss") != v.URL {
		t.Fatalf("signed in: %v", got)
	}
	if got := ask(func() {}, "prompt", "none"); got.Get("code") == "" {
		t.Errorf("silently: %v", got)
	}
	// The answer of form_post arrives too: the page sends itself.
	s.open(v.URL + "/oauth2/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {v.app.ClientID}, "redirect_uri": {v.app.RedirectURI}, "scope": {"openid"}, "response_mode": {"form_post"}, "prompt": {"none"},
		"code_challenge": {"qrJq7cTDXp4NjBiRtBEq03NPvt31Y0kq-5YBRp5aRVA"}, "code_challenge_method": {"S256"},
	}.Encode())
	s.wait("the application by POST", `location.href === "`+v.app.RedirectURI+`" && "yes"`)

	// Another device: its code is typed here.
	res, err := http.PostForm(v.URL+"/oauth2/device_authorization", url.Values{"client_id": {v.app.ClientID}, "client_secret": {v.app.Secret}, "scope": {"openid"}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var device struct {
		UserCode string `json:"user_code"`
		URI      string `json:"verification_uri"`
	}
	if err := json.NewDecoder(res.Body).Decode(&device); err != nil {
		t.Fatal(err)
	}
	s.open(device.URI)
	s.do(chromedp.SendKeys(chromedp.CSS("#user_code"), strings.ToLower(device.UserCode)))
	s.press("Continue")
	if page := s.wait("the question", `document.querySelector("main form button[value=approve]") && document.body.innerText`); !strings.Contains(page, device.UserCode) || !strings.Contains(page, ada.Email) {
		t.Errorf("the question: %s", page)
	}
	s.press("Connect the device")
	s.wait("the end", `document.querySelector(".state.ok") && "yes"`)

	// Out: a request that proves nothing asks the person, and leads nowhere after.
	s.open(v.URL + "/oauth2/logout?" + url.Values{"client_id": {v.app.ClientID}, "post_logout_redirect_uri": {app.URL + "/bye"}, "state": {"out"}}.Encode())
	s.press("Sign out")
	s.shows("Signed out")
	if got := ask(func() {}, "prompt", "none"); got.Get("error") != "login_required" {
		t.Errorf("after: %v", got)
	}
}

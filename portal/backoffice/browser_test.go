package backoffice_test

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/gatehouse-id/gatehouse/gatewaytest/chrome"
)

// seat is a person at a real browser.
type seat struct {
	t   *testing.T
	tab context.Context
	w   *world
}

func (s *seat) do(steps ...chromedp.Action[chromedp.Void]) {
	s.t.Helper()
	chrome.Do(s.t, s.tab, steps...)
}

// wait evaluates an expression over the pages that come until it gives a text.
func (s *seat) wait(what, expression string) string {
	s.t.Helper()
	return chrome.Wait(s.t, s.tab, what, expression)
}

func (s *seat) shows(heading string) {
	s.t.Helper()
	s.wait("the page "+heading, `document.querySelector("h1")?.textContent === "`+heading+`" && "yes"`)
}

func (s *seat) said() string {
	s.t.Helper()
	return s.wait("a message", `document.querySelector("main .error:not([hidden])")?.textContent`)
}

func (s *seat) fill(name, value string) {
	s.t.Helper()
	sel := chromedp.CSS("input[name=" + name + "]:not([type=hidden]):not([hidden])")
	s.do(chromedp.WaitVisible(sel), chromedp.SendKeys(sel, value))
}

func (s *seat) press(button string) {
	s.t.Helper()
	s.do(chromedp.Click(chromedp.JSPath(`[...document.querySelectorAll("main button, main a")].find(e => e.textContent.includes("` + button + `"))`)))
}

// authenticator plugs a virtual device into the browser that keeps passkeys.
func (s *seat) authenticator() (id string) {
	s.t.Helper()
	s.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		for _, method := range []string{"WebAuthn.disable", "WebAuthn.enable"} { // the one of the test before goes
			if err := t.Call(ctx, method, map[string]any{}, nil); err != nil {
				return err
			}
		}
		var made struct {
			AuthenticatorID string `json:"authenticatorId"`
		}
		err := t.Call(ctx, "WebAuthn.addVirtualAuthenticator", map[string]any{"options": map[string]any{
			"protocol": "ctap2", "transport": "internal", "hasResidentKey": true, "hasUserVerification": true, "isUserVerified": true, "automaticPresenceSimulation": true,
		}}, &made)
		id = made.AuthenticatorID
		return err
	}))
	return id
}

// The first admin sets a passkey up with the operator's link, signs in with it
// alone and as a second factor, adds an app and leaves.
func TestPasskeyOfTheBackOffice(t *testing.T) {
	tab := chrome.OpenTab(t)
	each(t, func(t *testing.T, w *world) {
		s := &seat{t: t, tab: tab, w: w}
		forget := func() {
			s.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
				return t.Call(ctx, "Network.clearBrowserCookies", map[string]any{}, nil)
			}))
		}
		forget()
		s.authenticator()
		_, link := w.person("boss@vendor.example")
		s.do(chromedp.Navigate(link))
		s.shows("Welcome to the back office")
		if at := chrome.Evaluate[string](t, tab, "location.href"); at != w.URL+"/backoffice/welcome" {
			t.Errorf("the token stays in the address: %s", at)
		}
		s.press("Continue")
		s.shows("Choose a password")
		s.fill("password", "short")
		s.press("Set the password")
		if said := s.said(); !strings.Contains(said, "15 characters") {
			t.Errorf("the page says %q", said)
		}
		s.fill("password", password)
		s.press("Set the password")
		s.shows("Set up a second factor")
		s.press("Passkey or security key")
		s.shows("Add a passkey or security key")
		s.fill("name", "Boss’s laptop")
		s.press("Use the key")
		s.shows("Keep your recovery codes")
		s.press("I have kept them")
		s.shows("Back office")
		s.wait("the passkey's name", `document.body.innerText.includes("Boss’s laptop") && "yes"`)

		forget()
		s.do(chromedp.Navigate(w.URL + "/backoffice"))
		s.shows("Sign in to the back office")
		s.press("Use a passkey")
		s.shows("Use a passkey")
		s.press("Use the key")
		s.shows("Back office")

		forget()
		s.do(chromedp.Navigate(w.URL + "/backoffice"))
		s.shows("Sign in to the back office")
		s.fill("email", "boss@vendor.example")
		s.fill("password", password)
		s.press("Sign in")
		s.shows("One more step")
		s.press("Use a security key or passkey")
		s.press("Use the key")
		s.shows("Back office")

		s.press("Add an authenticator app")
		s.shows("Add your authenticator app")
		key := chrome.Evaluate[string](t, tab, `document.getElementById("totp-key").textContent`)
		s.fill("answer", w.code(key))
		s.press("Continue")
		s.wait("what was done", `document.querySelector("[role=status]")?.textContent.includes("was added") && "yes"`)
		s.press("Sign out")
		s.shows("Signed out")
		s.press("Sign in to the back office")
		s.shows("Sign in to the back office")

		// A passkey that a user of a tenant has for this host opens no back office, nor
		// does one that was removed here.
		if _, err := w.DB.Exec(t.Context(), `DELETE FROM staff_factors WHERE kind = 'webauthn'`); err != nil {
			t.Fatal(err)
		}
		s.press("Use a passkey")
		s.shows("Use a passkey")
		s.press("Use the key")
		if said := s.said(); !regexp.MustCompile(`not accepted`).MatchString(said) {
			t.Errorf("the page says %q", said)
		}
	})
}

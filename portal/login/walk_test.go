package login_test

import (
	"context"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/gatehouse-id/gatehouse/gatewaytest/chrome"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/policy"
)

// seat is a person at a real browser.
type seat struct {
	t   *testing.T
	tab context.Context
	w   *world
	// still: the browser runs no script of pages.
	still bool
}

// seated serves a gateway at localhost, for which Chromium makes passkeys, and
// opens a browser in front of it.
func seated(t *testing.T, f func(t *testing.T, w *world, s *seat)) {
	tab := chrome.OpenTab(t)
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		w := &world{Rig: rig.NewAt(t, d, "localhost")}
		s := &seat{t: t, tab: tab, w: w}
		s.forget()
		f(t, w, s)
	})
}

func (s *seat) do(steps ...chromedp.Action[chromedp.Void]) {
	s.t.Helper()
	chrome.Do(s.t, s.tab, steps...)
}

// forget empties the browser's cookies.
func (s *seat) forget() { s.do(chrome.DevTools("Network.clearBrowserCookies", map[string]any{})) }

// wait evaluates an expression over the pages that come until it gives a text.
func (s *seat) wait(what, expression string) string {
	s.t.Helper()
	return chrome.Wait(s.t, s.tab, what, expression)
}

// shows waits for a page with the heading.
func (s *seat) shows(heading string) {
	s.t.Helper()
	s.wait("the page "+heading, `document.querySelector("h1")?.textContent === "`+heading+`" && "yes"`)
}

// said waits for the message of a page.
func (s *seat) said() string {
	s.t.Helper()
	return s.wait("a message", `document.querySelector("main .error:not([hidden])")?.textContent`)
}

// fill types into a field.
func (s *seat) fill(name, value string) {
	s.t.Helper()
	sel := chromedp.CSS("input[name=" + name + "]:not([type=hidden])")
	s.do(chromedp.WaitVisible(sel), chromedp.SendKeys(sel, value))
}

func (s *seat) press(button string) {
	s.t.Helper()
	s.do(chromedp.Click(chromedp.JSPath(`[...document.querySelectorAll("main button, main a")].find(e => e.textContent.includes("` + button + `"))`)))
}

// arrives waits for the application.
func (s *seat) arrives() rig.Arrived {
	s.t.Helper()
	body := s.wait("the application", `location.search.startsWith("?resume=") && document.body.innerText`)
	a, ok := rig.ReadArrival(body)
	if !ok {
		s.t.Fatalf("did not arrive: %s", body)
	}
	return a
}

// begin goes from the application to the password.
func (s *seat) begin(email string) {
	s.t.Helper()
	s.do(chromedp.Navigate(s.w.StartURL("prompt", "login")))
	s.shows("Sign in")
	s.fill("email", email)
	s.press("Continue")
	s.wait("the password's field", `document.querySelector("input[name=password]") && "yes"`)
}

func (s *seat) password(email, password string) {
	s.t.Helper()
	s.begin(email)
	s.fill("password", password)
	s.press("Sign in")
}

// authenticator plugs a virtual device into the browser that keeps passkeys, and
// gives its id. Of two, the browser would ask the person which.
func (s *seat) authenticator() (id string) { s.t.Helper(); return s.plug("internal", true) }

// plug is authenticator for a device on another way, which may neither keep passkeys
// nor recognise its holder.
func (s *seat) plug(transport string, passkeys bool) (id string) {
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
			"protocol": "ctap2", "transport": transport, "hasResidentKey": passkeys, "hasUserVerification": passkeys, "isUserVerified": passkeys, "automaticPresenceSimulation": true,
		}}, &made)
		id = made.AuthenticatorID
		return err
	}))
	return id
}

func (w *world) amr(a rig.Arrived) []string {
	return w.Strings(`SELECT amr FROM session_tenants WHERE session_id = $1`, a.Session)
}

// A passkey is set up where a second factor is required, is the second factor from
// then on, and alone is enough; the browser's refusals can be read.
func TestPasskeyInTheBrowser(t *testing.T) {
	seated(t, func(t *testing.T, w *world, s *seat) {
		s.t = t
		plain := w.Tenant("plain")
		user := w.member(t, "joe@plain.example", password, plain)
		w.SetPolicy(plain, policy.MFA, `{"enforce":"on"}`)
		device := s.authenticator()

		s.password("joe@plain.example", password)
		s.shows("Set up a second step")
		s.press("Passkey or security key")
		s.shows("Add a passkey or security key")
		s.fill("name", "Joe’s laptop")
		s.press("Use the key")
		s.shows("Keep your recovery codes")
		s.press("I have kept them")
		if a := s.arrives(); a.User != user || a.Tenant != plain || !slices.Equal(w.amr(a), []string{`["pwd","hwk","mfa"]`}) {
			t.Errorf("%+v with %v", a, w.amr(a))
		}
		if names := w.Strings(`SELECT kind || ' ' || name FROM factors`); !slices.Equal(names, []string{"webauthn Joe’s laptop"}) {
			t.Errorf("factors %q", names)
		}

		s.forget()
		s.password("joe@plain.example", password)
		s.shows("One more step")
		s.press("Use a security key or passkey")
		s.press("Use the key")
		if a := s.arrives(); a.User != user || !slices.Equal(w.amr(a), []string{`["pwd","hwk","mfa"]`}) {
			t.Errorf("%+v with %v", a, w.amr(a))
		}

		s.forget()
		s.begin("joe@plain.example")
		s.press("Use a passkey")
		s.shows("Use a passkey")
		s.press("Use the key")
		if a := s.arrives(); a.User != user || !slices.Equal(w.amr(a), []string{`["swk","user","mfa"]`}) {
			t.Errorf("%+v with %v", a, w.amr(a))
		}

		// The device does not recognise the person: nothing is sent, the page says so,
		// and the second time it goes on.
		recognised := func(yes bool) {
			s.do(chrome.DevTools("WebAuthn.setUserVerified", map[string]any{"authenticatorId": device, "isUserVerified": yes}))
		}
		s.forget()
		recognised(false)
		s.begin("joe@plain.example")
		s.press("Use a passkey")
		s.shows("Use a passkey")
		s.press("Use the key")
		if said := s.said(); said != "Nothing was chosen, or it took too long. Try again." {
			t.Errorf("the page says %q", said)
		}
		if n := w.Count(`SELECT COUNT(*) FROM audit_events WHERE action = 'login.failed'`); n != 0 {
			t.Errorf("%d tries were counted that never came", n)
		}
		recognised(true)
		s.press("Use the key")
		s.arrives()

		// A passkey that was removed here answers, and is refused.
		w.Exec(`DELETE FROM factors`)
		s.forget()
		s.begin("joe@plain.example")
		s.press("Use a passkey")
		s.shows("Use a passkey")
		s.press("Use the key")
		if said := s.said(); said != "The security key's answer was not accepted. Try again." {
			t.Errorf("the page says %q", said)
		}
	})
}

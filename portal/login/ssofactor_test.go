package login_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// proof reads how the browser's session satisfied a tenant.
func (w *world) proof(t *testing.T, a rig.Arrived) string {
	t.Helper()
	return w.Strings(`SELECT connection_id || ' ' || amr || ' ' || acr FROM session_tenants WHERE session_id = $1 AND tenant_id = $2`, a.Session, a.Tenant)[0]
}

// Product 40 and 128, identity rule 11: where a second factor is demanded of
// everybody, single sign-on without evidence that is trusted is asked for one here.
// Until it is given nobody is signed in, by whichever way round (a session that
// skips the second factor: the class of CVE-2025-64103).
func TestSecondFactorAfterSSO(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.SetPolicy(w.acme, policy.MFA, `{"enforce":"on"}`)
		b := browser.New(t)
		p := b.LogIn(w.StartURL("connection", w.saml.ID), ada.ID)
		shows(t, p, http.StatusOK, "Set up a second step")
		if n := w.Count(`SELECT COUNT(*) FROM sessions`) + w.Count(`SELECT COUNT(*) FROM logins`); n != 0 || b.Cookie(w.URL, "__Host-session") != "" || w.members(ada.Email) != 1 {
			t.Fatalf("%d sessions and entries before the second factor, %d members", n, w.members(ada.Email))
		}
		flow := flowOf(t, p)
		shows(t, b.Get(w.URL+"/oauth2/authorize?resume="+flow), http.StatusOK, "SIGNIN_FLOW_UNKNOWN")
		shows(t, b.Post(w.URL+"/mfa/resume", url.Values{"flow": {flow}}, w.URL), http.StatusOK, "Set up a second step")
		shows(t, browser.New(t).Get(w.URL+"/mfa/enrol?flow="+flow), http.StatusForbidden, "SIGNIN_OTHER_BROWSER")
		shows(t, b.Post(w.URL+"/login/account", url.Values{"flow": {flow}, "tenant": {w.globex}}, w.URL), http.StatusBadRequest, "SIGNIN_STEP")
		secret, codes, end := w.enrol(t, b, p)
		a := arrived(t, end)
		if a.Tenant != w.acme || a.Connection != w.saml.ID || len(codes) != 10 {
			t.Errorf("%+v, %d codes", a, len(codes))
		}
		if got, want := w.proof(t, a), w.saml.ID+` ["pwd","otp","mfa"] http://schemas.openid.net/pape/policies/2007/06/multi-factor`; got != want {
			t.Errorf("the session's proof: %s, want %s", got, want)
		}
		w.Logged(w.saml, "success", "")
		shows(t, b.Post(w.URL+"/mfa", url.Values{"flow": {flow}, "kind": {"totp"}, "answer": {"123456"}}, w.URL), http.StatusBadRequest, "SIGNIN_FLOW_FINISHED")

		// From then on he is asked for it; wrong codes are counted for the person, over
		// browsers, and the way round leads nowhere.
		w.Clock.Advance(time.Minute)
		b = browser.New(t)
		p = b.LogIn(w.StartURL("connection", w.saml.ID), ada.ID)
		shows(t, p, http.StatusOK, "authenticator app")
		if strings.Contains(p.Body, `name="remember"`) {
			t.Error("the page offers to remember a browser that single sign-on vouches for")
		}
		shows(t, b.Get(w.URL+"/oauth2/authorize?resume="+flowOf(t, p)), http.StatusOK, "SIGNIN_FLOW_UNKNOWN")
		arrived(t, form(t, b, p, "/mfa", "kind", "totp", "answer", w.code(t, secret)))
		w.Clock.Advance(time.Minute)
		for n := range 6 {
			b = browser.New(t)
			p = form(t, b, b.LogIn(w.StartURL("connection", w.saml.ID), ada.ID), "/mfa", "kind", "totp", "answer", fmt.Sprintf("%06d", n))
			if strings.Contains(p.Body, "Too many attempts") {
				break
			}
		}
		b = browser.New(t)
		p = form(t, b, b.LogIn(w.StartURL("connection", w.saml.ID), ada.ID), "/mfa", "kind", "recovery", "answer", codes[0])
		shows(t, p, http.StatusTooManyRequests, "Too many attempts")
	})
}

// What the identity provider said is used up when it arrives, and what holds is
// judged anew when the second factor is given.
func TestBetweenTheFactors(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.SetPolicy(w.acme, policy.MFA, `{"enforce":"on"}`)
		b := browser.New(t)
		secret, codes, end := w.enrol(t, b, b.LogIn(w.StartURL("connection", w.saml.ID), ada.ID))
		user := arrived(t, end).User
		used := 0
		asked := func(t *testing.T) (*browser.Browser, browser.Page) {
			t.Helper()
			b := browser.New(t)
			p := b.LogIn(w.StartURL("connection", w.saml.ID), ada.ID)
			shows(t, p, http.StatusOK, "authenticator app")
			return b, p
		}
		answer := func(t *testing.T, b *browser.Browser, p browser.Page) browser.Page {
			t.Helper()
			used++
			return form(t, b, p, "/mfa", "kind", "recovery", "answer", codes[used])
		}
		sessions := w.Count(`SELECT COUNT(*) FROM sessions`)
		disabled := tenants.SSODisabled
		active := tenants.SSOActive
		for name, k := range map[string]struct {
			change, undo func()
			code         string
		}{
			"connection": {
				func() { w.SetConnection(w.saml, tenants.SSOPatch{Status: &disabled}) },
				func() { w.SetConnection(w.saml, tenants.SSOPatch{Status: &active}) }, "POLICY_CONNECTION_DISABLED",
			},
			"tenant": {
				func() { w.Exec(`UPDATE tenants SET status = 'suspended' WHERE id = $1`, w.acme) },
				func() { w.Exec(`UPDATE tenants SET status = 'active' WHERE id = $1`, w.acme) }, "POLICY_TENANT_SUSPENDED",
			},
			"member": {
				func() { w.Exec(`UPDATE memberships SET disabled_at = 1 WHERE user_id = $1`, user) },
				func() { w.Exec(`UPDATE memberships SET disabled_at = NULL WHERE user_id = $1`, user) }, "POLICY_USER_DISABLED",
			},
			"person": {
				func() { w.Exec(`UPDATE users SET locked_at = 1 WHERE id = $1`, user) },
				func() { w.Exec(`UPDATE users SET locked_at = NULL WHERE id = $1`, user) }, "POLICY_USER_LOCKED",
			},
			"address": {
				func() {
					w.SetPolicy(w.acme, policy.IP, `{"enabled":true,"mode":"allow","rules":[{"cidr":"203.0.113.0/24"}]}`)
				},
				func() { w.SetPolicy(w.acme, policy.IP, `{"enabled":false,"mode":"allow","rules":[]}`) }, "POLICY_IP",
			},
			"link": {
				func() {
					other := w.member(t, "other@acme.example", "", w.acme)
					w.Exec(`UPDATE identities SET membership_id = (SELECT id FROM memberships WHERE user_id = $1) WHERE connection_id = $2`, other, w.saml.ID)
				},
				func() {
					w.Exec(`UPDATE identities SET membership_id = (SELECT id FROM memberships WHERE user_id = $1) WHERE connection_id = $2`, user, w.saml.ID)
				}, "SIGNIN_CHANGED_HANDS",
			},
		} {
			t.Run(name, func(t *testing.T) {
				b, p := asked(t)
				k.change()
				end := answer(t, b, p)
				k.undo()
				rig.Refused(t, end, k.code)
				if n := w.Count(`SELECT COUNT(*) FROM sessions`); n != sessions || b.Cookie(w.URL, "__Host-session") != "" {
					t.Errorf("%d sessions, want %d", n, sessions)
				}
				w.Logged(w.saml, "denied", k.code)
				// The flow is over: the right factor does not revive it.
				shows(t, form(t, b, p, "/mfa", "kind", "totp", "answer", w.code(t, secret)), http.StatusBadRequest, "SIGNIN_FLOW_FINISHED")
			})
		}
		t.Run("ten minutes", func(t *testing.T) {
			b, p := asked(t)
			w.Clock.Advance(10 * time.Minute)
			shows(t, answer(t, b, p), http.StatusBadRequest, "SIGNIN_FLOW_EXPIRED")
		})
		t.Run("two answers at once", func(t *testing.T) {
			b, p := asked(t)
			answers := []url.Values{
				{"kind": {"totp"}, "answer": {w.code(t, secret)}}, {"kind": {"recovery"}, "answer": {codes[8]}}, {"kind": {"recovery"}, "answer": {codes[9]}},
			}
			in := make([]bool, len(answers))
			var wait sync.WaitGroup
			for i, fields := range answers {
				fields.Set("flow", flowOf(t, p))
				wait.Go(func() {
					_, in[i] = rig.ReadArrival(b.Post(w.URL+"/mfa", fields, w.URL).Body)
				})
			}
			wait.Wait()
			if n := w.Count(`SELECT COUNT(*) FROM sessions`); n != sessions+1 {
				t.Errorf("%d new sessions of one flow (%v)", n-sessions, in)
			}
		})
		t.Run("another identity in the same flow", func(t *testing.T) {
			b, p := asked(t)
			flow := flowOf(t, p)
			p = b.LogIn(w.URL+"/saml/"+w.saml.ID+"/login?flow="+flow, bob.ID)
			shows(t, p, http.StatusOK, "Set up a second step") // whatever was proved before counts for him
			shows(t, b.Post(w.URL+"/mfa", url.Values{"flow": {flow}, "kind": {"totp"}, "answer": {w.code(t, secret)}}, w.URL), http.StatusOK, "Set up a second step")
		})
	})
}

// Identity rule 6: an identity provider speaks for a person in its own tenant. A
// factor that is set up behind it serves there only: it is no way into the person's
// other tenants, and locks him out of none.
func TestFactorIsConfined(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		plain := w.Tenant("plain")
		user := w.member(t, ada.Email, password, w.acme, plain)
		w.SetPolicy(w.acme, policy.MFA, `{"enforce":"on"}`)
		b := browser.New(t)
		secret, codes, end := w.enrol(t, b, b.LogIn(w.StartURL("connection", w.saml.ID), ada.ID))
		if a := arrived(t, end); a.User != user {
			t.Fatalf("%+v", a)
		}
		// plain demands nothing: he is not asked for what acme's provider may hold.
		b = browser.New(t)
		if a := arrived(t, w.signIn(t, b, ada.Email, password, "organization", plain)); a.User != user || a.Tenant != plain {
			t.Errorf("%+v", a)
		}
		w.SetPolicy(plain, policy.MFA, `{"enforce":"on"}`)
		w.Clock.Advance(time.Minute)
		b = browser.New(t)
		p := w.signIn(t, b, ada.Email, password, "organization", plain)
		shows(t, p, http.StatusOK, "Set up a second step")
		flow := flowOf(t, p)
		for _, answer := range []url.Values{{"kind": {"totp"}, "answer": {w.code(t, secret)}}, {"kind": {"recovery"}, "answer": {codes[0]}}} {
			answer.Set("flow", flow)
			if _, ok := rig.ReadArrival(b.Post(w.URL+"/mfa", answer, w.URL).Body); ok {
				t.Fatal("a factor of acme's opened plain")
			}
		}
		own, _, end := w.enrol(t, b, b.Get(w.URL+"/mfa/enrol?flow="+flow))
		arrived(t, end)
		// His own serves everywhere.
		w.Clock.Advance(time.Minute)
		b = browser.New(t)
		p = b.LogIn(w.StartURL("connection", w.saml.ID), ada.ID)
		arrived(t, form(t, b, p, "/mfa", "kind", "totp", "answer", w.code(t, own)))

		// Whoever knows the password and holds acme's provider does not guess on for ever:
		// what serves behind the provider takes no failure elsewhere back.
		tried := ""
		for range 6 {
			w.Clock.Advance(time.Minute)
			b = browser.New(t)
			tried = form(t, b, w.signIn(t, b, ada.Email, password, "organization", plain), "/mfa", "kind", "totp", "answer", "000000").Body
			b = browser.New(t)
			arrived(t, form(t, b, b.LogIn(w.StartURL("connection", w.saml.ID), ada.ID), "/mfa", "kind", "totp", "answer", w.code(t, secret)))
		}
		if !strings.Contains(tried, "Too many attempts") {
			t.Error("guesses were taken back by what serves behind acme's provider alone")
		}
		// Nor does he lock the person out of plain.
		w.Clock.Advance(10 * time.Minute)
		for range 6 {
			b = browser.New(t)
			form(t, b, b.LogIn(w.StartURL("connection", w.saml.ID), ada.ID), "/mfa", "kind", "totp", "answer", "000000")
		}
		b = browser.New(t)
		arrived(t, form(t, b, w.signIn(t, b, ada.Email, password, "organization", plain), "/mfa", "kind", "totp", "answer", w.code(t, own)))
	})
}

// A sign-in that the identity provider began, and one that an invitation began, are
// asked like any other.
func TestSecondFactorOfOtherBeginnings(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.SetPolicy(w.acme, policy.MFA, `{"enforce":"on"}`)
		settings := *w.saml.SAML
		settings.AllowIdPInitiated = true
		w.SetConnection(w.saml, tenants.SSOPatch{SAML: &settings})
		base := w.URL + "/saml/" + w.saml.ID
		doc, err := w.idp.Response(idp.AuthnRequestInfo{Issuer: base, ACSURL: base + "/acs"}, ada, idp.SAMLKnobs{})
		if err != nil {
			t.Fatal(err)
		}
		b := browser.New(t)
		p := b.Post(base+"/acs", url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString(doc)}}, w.idp.Issuer())
		shows(t, p, http.StatusOK, "Set up a second step")
		flow := flowOf(t, p)
		// It is this browser's now, and no password takes it over.
		shows(t, browser.New(t).Get(w.URL+"/mfa/enrol?flow="+flow), http.StatusForbidden, "SIGNIN_OTHER_BROWSER")
		shows(t, b.Post(w.URL+"/login/password", url.Values{"flow": {flow}, "email": {ada.Email}, "password": {password}}, w.URL), http.StatusNotFound, "SIGNIN_FLOW_UNKNOWN")
		_, _, end := w.enrol(t, b, p)
		shows(t, end, http.StatusOK, "You are signed in")
		if b.Cookie(w.URL, "__Host-session") == "" {
			t.Error("no session")
		}

		b = browser.New(t)
		p = b.Continue(send(t, b, b.Get(w.invite(t, w.acme, eve.Email))), eve.ID)
		shows(t, p, http.StatusOK, "Set up a second step")
		if b.Cookie(w.URL, "__Host-session") != "" {
			t.Error("a session before the second factor")
		}
		_, _, end = w.enrol(t, b, p)
		shows(t, end, http.StatusOK, "You are signed in")
		if w.members(eve.Email) != 1 || b.Cookie(w.URL, "__Host-session") == "" || b.Cookie(w.URL, "__Host-invitation") != "" {
			t.Errorf("%d members of the address", w.members(eve.Email))
		}
	})
}

// The result of a test says that a second factor would be asked for.
func TestTestShowsSecondFactor(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.SetPolicy(w.acme, policy.MFA, `{"enforce":"on"}`)
		link, err := w.Signin.TestStart(t.Context(), w.Vendor, w.DB, w.Env, w.acme, w.saml.ID)
		if err != nil {
			t.Fatal(err)
		}
		b := browser.New(t)
		p := b.LogIn(link.URL, ada.ID)
		shows(t, p, http.StatusOK, "A real sign-in would add this person")
		shows(t, p, http.StatusOK, "It would ask for a second factor here first")
		if n := w.Count(`SELECT COUNT(*) FROM users`); n != 0 {
			t.Errorf("%d users", n)
		}
		// Such a test is good enough to demand single sign-on: people do come in.
		w.Tx(func(q db.Queryer) error {
			_, err := w.Signin.Enforce(t.Context(), w.Vendor, q, w.Env, w.acme, policy.SSORules{Enforced: true, ExcludedEmails: []string{"boss@acme.example"}})
			return err
		})
	})
}

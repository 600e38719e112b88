package login_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

func draft(n *tenants.NewSSOConnection) { n.Status, n.Name = tenants.SSODraft, "Draft" }

// A test login through a draft, by both protocols: the admin sees what came and
// what it would do; nobody is signed in.
func TestTestLogin(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for name, c := range map[string]tenants.SSOConnection{
			"saml": w.SAMLConnection(w.acme, w.idp, draft),
			"oidc": w.OIDCConnection(w.acme, w.idp, draft),
		} {
			t.Run(name, func(t *testing.T) {
				start := func() signin.TestLink {
					t.Helper()
					link, err := w.Signin.TestStart(t.Context(), w.Vendor, w.DB, w.Env, c.Tenant, c.ID)
					if err != nil {
						t.Fatal(err)
					}
					return link
				}
				link, b := start(), browser.New(t)
				p := b.LogIn(link.URL, ada.ID)
				shows(t, p, http.StatusOK, "The test succeeded")
				for _, text := range []string{"ada@acme.example", "A real sign-in would add this person", "engineering", "read-only", "passed", link.FlowID} {
					if !strings.Contains(p.Body, text) {
						t.Errorf("%q is not shown: %s", text, p)
					}
				}
				if p.URL.Path != "/login/test/"+link.FlowID || b.Cookie(w.URL, "__Host-session") != "" {
					t.Errorf("ended at %s with a session", p.URL)
				}
				shows(t, b.Get(p.URL.String()), http.StatusOK, "The test succeeded") // a reload
				shows(t, browser.New(t).Get(p.URL.String()), http.StatusNotFound, "SIGNIN_TEST_UNKNOWN")
				if got, err := w.Tenants.SSOConnection(t.Context(), w.DB, c.Tenant, c.ID); err != nil || got.Status != tenants.SSOTested {
					t.Errorf("%s %v", got.Status, err)
				}
				if n := w.Count(`SELECT COUNT(*) FROM users`) + w.Count(`SELECT COUNT(*) FROM sessions`) + w.Count(`SELECT COUNT(*) FROM identities`); n != 0 {
					t.Errorf("%d rows of people", n)
				}

				denied := browser.New(t).LogIn(start().URL, eve.ID)
				shows(t, denied, http.StatusOK, "would be refused: POLICY_EMAIL_DOMAIN")

				// One browser opens the link; a look by another afterwards shows nothing.
				taken := start()
				undo := b.Stop()
				b.Get(taken.URL)
				undo()
				shows(t, browser.New(t).Get(taken.URL), http.StatusNotFound, "SIGNIN_TEST_UNKNOWN")
				shows(t, b.LogIn(taken.URL, ada.ID), http.StatusOK, "The test succeeded")
				shows(t, b.Get(strings.Replace(start().URL, "token=", "token=x", 1)), http.StatusNotFound, "SIGNIN_TEST_UNKNOWN")
				late := start()
				w.Clock.Advance(11 * time.Minute)
				shows(t, b.Get(late.URL), http.StatusBadRequest, "SIGNIN_FLOW_EXPIRED")

				// A test of one connection does not go through another.
				other := browser.New(t)
				undo = other.Stop()
				again := start()
				other.Get(again.URL)
				undo()
				shows(t, other.Get(w.URL+"/login?flow="+again.FlowID), http.StatusNotFound, "SIGNIN_FLOW_UNKNOWN")
				shows(t, other.Post(w.URL+"/login", url.Values{"flow": {again.FlowID}, "connection": {w.saml.ID}}, w.URL), http.StatusNotFound, "SIGNIN_FLOW_UNKNOWN")
				if n := w.Count(`SELECT COUNT(*) FROM flows WHERE id = $1 AND connection_id = $2`, again.FlowID, c.ID); n != 1 {
					t.Error("the test leads to another connection")
				}

				// Real sign-ins still find no way through a draft or tested connection.
				if p := b.Get(w.StartURL("connection", c.ID)); p.Status == http.StatusOK {
					t.Errorf("a tested connection serves: %s", p)
				}
			})
		}
		t.Run("an answer that does not hold", func(t *testing.T) {
			c := w.SAMLConnection(w.acme, w.idp, draft)
			w.idp.SetSAMLKnobs(idp.SAMLKnobs{Audience: "https://elsewhere.example"})
			defer w.idp.SetSAMLKnobs(idp.SAMLKnobs{})
			link, err := w.Signin.TestStart(t.Context(), w.Vendor, w.DB, w.Env, c.Tenant, c.ID)
			if err != nil {
				t.Fatal(err)
			}
			p := browser.New(t).LogIn(link.URL, ada.ID)
			shows(t, p, http.StatusOK, "The test failed")
			for _, text := range []string{"SAML_AUDIENCE_MISMATCH", "https://elsewhere.example", "failed", "Copy our ACS address", "What did not hold", "At your identity provider: "} {
				if !strings.Contains(p.Body, text) {
					t.Errorf("%q is not shown: %s", text, p)
				}
			}
			if got, err := w.Tenants.SSOConnection(t.Context(), w.DB, c.Tenant, c.ID); err != nil || got.Status != tenants.SSODraft {
				t.Errorf("%s %v", got.Status, err)
			}
		})
	})
}

// A SAML response that a stranger posts through somebody's browser replaces no
// session unseen (login CSRF).
func TestUnaskedSignIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		settings := *w.saml.SAML
		settings.AllowIdPInitiated = true
		w.SetConnection(w.saml, tenants.SSOPatch{SAML: &settings})
		mallory := idp.Person{ID: "00u9", Email: "mallory@acme.example"}
		base := w.URL + "/saml/" + w.saml.ID
		post := func(b *browser.Browser, p idp.Person) browser.Page {
			t.Helper()
			doc, err := w.idp.Response(idp.AuthnRequestInfo{Issuer: base, ACSURL: base + "/acs"}, p, idp.SAMLKnobs{})
			if err != nil {
				t.Fatal(err)
			}
			return b.Post(base+"/acs", url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString(doc)}}, w.idp.Issuer())
		}
		who := func(b *browser.Browser) string {
			t.Helper()
			s, err := w.Sessions.Find(t.Context(), w.DB, w.Env.ID, b.Cookie(w.URL, "__Host-session"))
			if err != nil {
				return fault.CodeOf(err)
			}
			return w.Strings(`SELECT email FROM memberships WHERE user_id = $1`, s.UserID)[0]
		}
		fresh := browser.New(t)
		shows(t, post(fresh, ada), http.StatusOK, "You are signed in")
		if who(fresh) != ada.Email {
			t.Errorf("signed in as %s", who(fresh))
		}
		victim := browser.New(t)
		arrived(t, victim.LogIn(w.StartURL("connection", w.saml.ID), ada.ID))
		asked := post(victim, mallory)
		shows(t, asked, http.StatusOK, "mallory@acme.example")
		shows(t, asked, http.StatusOK, "Change the account?")
		if who(victim) != ada.Email {
			t.Fatal("the session was replaced unseen")
		}
		action, _, ok := asked.Form()
		if !ok {
			t.Fatalf("no form: %s", asked)
		}
		if p := victim.Post(action, nil, "https://evil.example"); p.Status != http.StatusForbidden || who(victim) != ada.Email {
			t.Errorf("another origin said yes: %s", p)
		}
		shows(t, send(t, victim, asked), http.StatusOK, "You are signed in")
		if who(victim) != mallory.Email {
			t.Errorf("after the yes: %s", who(victim))
		}
		shows(t, victim.Post(action, nil, ""), http.StatusBadRequest, "SIGNIN_HANDLE_UNKNOWN")

		// With an application to go to, the browser ends there.
		w.Application(w.URL + "/oauth2/authorize")
		b := browser.New(t)
		undo := b.Stop()
		p := post(b, ada)
		p = b.Get(w.URL + p.Header.Get("Location"))
		undo()
		if to := p.Header.Get("Location"); p.Status != http.StatusSeeOther || !strings.HasPrefix(to, w.URL+"/oauth2/authorize?connection="+w.saml.ID) {
			t.Errorf("goes on to %q: %s", to, p)
		}
	})
}

// Signing out goes by the identity provider that the session came through.
func TestLogoutAtTheIdentityProvider(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		settings := *w.saml.SAML
		settings.SLOURL, settings.SLOBinding = w.idp.SLOURL(), tenants.BindingRedirect
		w.SetConnection(w.saml, tenants.SSOPatch{SAML: &settings})
		for name, binding := range map[string]string{"redirect": tenants.BindingRedirect, "post": tenants.BindingPOST} {
			settings.SLOBinding = binding
			w.SetConnection(w.saml, tenants.SSOPatch{SAML: &settings})
			b := browser.New(t)
			arrived(t, b.LogIn(w.StartURL("connection", w.saml.ID), ada.ID))
			p := b.Get(w.URL + "/logout")
			undo := b.Stop()
			p = send(t, b, p)
			undo()
			if b.Cookie(w.URL, "__Host-session") != "" || w.Count(`SELECT COUNT(*) FROM sessions WHERE ended_at IS NULL`) != 0 {
				t.Errorf("%s: the session waits for the identity provider", name)
			}
			if binding == tenants.BindingRedirect {
				if to := p.Header.Get("Location"); p.Status != http.StatusSeeOther || !strings.HasPrefix(to, w.idp.SLOURL()+"?") || !strings.Contains(to, "SAMLRequest=") || !strings.Contains(to, "Signature=") {
					t.Errorf("%s: %q %s", name, to, p)
				}
				continue
			}
			if action, fields, ok := p.Form(); !ok || action != w.idp.SLOURL() || fields.Get("SAMLRequest") == "" {
				t.Errorf("%s: %s", name, p)
			}
		}
		shows(t, browser.New(t).Get(w.URL+"/logout/done"), http.StatusOK, "Signed out")
		// Where the identity provider takes no logout messages, the page comes at once.
		b := browser.New(t)
		arrived(t, b.LogIn(w.StartURL("connection", w.oidc.ID), ada.ID))
		shows(t, send(t, b, b.Get(w.URL+"/logout")), http.StatusOK, "Signed out")
	})
}

// The emergency link: looking uses nothing up, a form of another origin neither.
func TestBreakGlassPages(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		arrived(t, browser.New(t).LogIn(w.StartURL("connection", w.saml.ID), ada.ID))
		var link signin.BreakGlass
		w.Tx(func(q db.Queryer) (err error) {
			link, err = w.Signin.BreakGlassCreate(t.Context(), w.Vendor, q, w.Env, "acme", ada.Email)
			return err
		})
		b := browser.New(t)
		p := b.Get(link.URL)
		shows(t, p, http.StatusOK, "Emergency sign-in")
		shows(t, p, http.StatusOK, ada.Email)
		if q := b.Post(link.URL, nil, "https://evil.example"); q.Status != http.StatusForbidden || b.Cookie(w.URL, "__Host-session") != "" {
			t.Errorf("another origin used the link: %s", q)
		}
		shows(t, send(t, b, p), http.StatusOK, "You are signed in")
		s, err := w.Sessions.Find(t.Context(), w.DB, w.Env.ID, b.Cookie(w.URL, "__Host-session"))
		if err != nil || len(s.Tenants) != 1 || s.Tenants[0].Method != "break_glass" {
			t.Errorf("%+v %v", s, err)
		}
		shows(t, b.Get(link.URL), http.StatusNotFound, "SIGNIN_BREAK_GLASS_UNKNOWN")
		shows(t, b.Post(link.URL, nil, ""), http.StatusNotFound, "SIGNIN_BREAK_GLASS_UNKNOWN")
		shows(t, b.Get(w.URL+"/login/break-glass/%00"), http.StatusNotFound, "SIGNIN_BREAK_GLASS_UNKNOWN")
	})
}

package login_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/tenants"
)

var (
	ada = idp.Person{ID: "00u1", Email: "ada@acme.example", FirstName: "Ada", Groups: []string{"engineering"}}
	eve = idp.Person{ID: "00u2", Email: "eve@elsewhere.example"}
	bob = idp.Person{ID: "00u3", Email: "bob@acme.example"}
)

// world has acme (one SAML connection), globex (two connections), and a domain
// that both hold.
type world struct {
	*rig.Rig
	idp            *idp.IdP
	acme, globex   string
	saml           tenants.SSOConnection
	oidc, lastOIDC tenants.SSOConnection
}

func each(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		w := &world{Rig: rig.New(t, d)}
		w.idp = w.IdP(idp.Config{People: []idp.Person{ada, eve, bob}})
		w.acme, w.globex = w.Tenant("acme", "acme.example", "shared.example"), w.Tenant("globex", "globex.example", "shared.example")
		w.saml = w.SAMLConnection(w.acme, w.idp)
		named := func(name string) func(*tenants.NewSSOConnection) {
			return func(n *tenants.NewSSOConnection) { n.Name, n.AllowUnverifiedDomains = name, true }
		}
		w.oidc, w.lastOIDC = w.OIDCConnection(w.globex, w.idp, named("Okta")), w.OIDCConnection(w.globex, w.idp, named("Entra ID"))
		f(t, w)
	})
}

func arrived(t *testing.T, p browser.Page) rig.Arrived { t.Helper(); return rig.Arrive(t, p) }

func shows(t *testing.T, p browser.Page, status int, text string) {
	t.Helper()
	if p.Status != status || !strings.Contains(p.Body, text) {
		t.Fatalf("want %d with %q: %s", status, text, p)
	}
}

// send fills the page's form in.
func send(t *testing.T, b *browser.Browser, p browser.Page, pairs ...string) browser.Page {
	t.Helper()
	action, fields, ok := p.Form()
	if !ok {
		t.Fatalf("no form: %s", p)
	}
	for n := 0; n+1 < len(pairs); n += 2 {
		fields.Set(pairs[n], pairs[n+1])
	}
	return b.Post(action, fields, p.Origin())
}

// From an e-mail to the identity provider of its domain, and back.
func TestHomeRealm(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		t.Run("one connection", func(t *testing.T) {
			b := browser.New(t)
			p := b.Get(w.StartURL("login_hint", "ada@acme.example"))
			shows(t, p, http.StatusOK, `value="ada@acme.example"`)
			if csp := p.Header.Get("Content-Security-Policy"); strings.Contains(csp, "form-action") {
				t.Errorf("form-action would block the way to the provider: %s", csp)
			}
			if a := arrived(t, b.Continue(send(t, b, p, "email", " ada@acme.example "), ada.ID)); a.Tenant != w.acme {
				t.Errorf("%+v", a)
			}
		})
		t.Run("several organizations: the person chooses", func(t *testing.T) {
			b := browser.New(t)
			p := send(t, b, b.Get(w.StartURL()), "email", "ada@shared.example")
			for _, offered := range []string{w.saml.ID, w.oidc.ID, w.lastOIDC.ID, "acme", "globex"} {
				shows(t, p, http.StatusOK, offered)
			}
			if a := arrived(t, b.Continue(send(t, b, p, "connection", w.lastOIDC.ID), ada.ID)); a.Tenant != w.globex || a.Connection != w.lastOIDC.ID {
				t.Errorf("%+v", a)
			}
		})
		t.Run("a named organization: its connections", func(t *testing.T) {
			b := browser.New(t)
			p := b.Get(w.StartURL("organization", "globex"))
			shows(t, p, http.StatusOK, "Entra ID")
			if strings.Contains(p.Body, w.saml.ID) {
				t.Error("another organization's connection is offered")
			}
			if a := arrived(t, b.Continue(send(t, b, p, "connection", w.oidc.ID), ada.ID)); a.Connection != w.oidc.ID {
				t.Errorf("%+v", a)
			}
		})
		t.Run("a connection that was not offered is not taken", func(t *testing.T) {
			b := browser.New(t)
			p := b.Get(w.StartURL("organization", "globex"))
			shows(t, send(t, b, p, "connection", w.saml.ID), http.StatusOK, w.oidc.ID) // asked again
			b = browser.New(t)
			p = b.Get(w.StartURL())
			shows(t, send(t, b, p, "email", "ada@acme.example", "connection", w.oidc.ID), http.StatusOK, w.saml.ID)
		})
		t.Run("addresses without a connection", func(t *testing.T) {
			b := browser.New(t)
			p := b.Get(w.StartURL())
			for email, text := range map[string]string{
				"":                              "Enter a whole e-mail address",
				"ada":                           "Enter a whole e-mail address",
				"ada@":                          "Enter a whole e-mail address",
				`"><script>x</script>@a`:        "Enter a whole e-mail address",
				strings.Repeat("a", 400) + "@b": "Enter a whole e-mail address",
				"a\x00b@acme.example":           "Enter a whole e-mail address",
			} {
				answer := send(t, b, p, "email", email)
				if answer.Status != http.StatusUnprocessableEntity || !strings.Contains(answer.Body, text) || strings.Contains(answer.Body, "<script>x") {
					t.Errorf("%q: %s", email, answer)
				}
			}
			// Known and unknown people of a domain see the same (no enumeration).
			known, unknown := send(t, b, p, "email", ada.Email), send(t, b, p, "email", "nobody@acme.example")
			if known.Status != unknown.Status || known.URL.Path != unknown.URL.Path {
				t.Errorf("%s and %s", known, unknown)
			}
		})
		t.Run("no connection: a password", func(t *testing.T) {
			b := browser.New(t)
			shows(t, send(t, b, b.Get(w.StartURL()), "email", "ada@nobody.example"), http.StatusOK, `action="/login/password"`)
			w.Tenant("quiet")
			shows(t, browser.New(t).Get(w.StartURL("organization", "quiet")), http.StatusOK, `action="/login/password"`)
		})
	})
}

func TestFlowOfTheBrowser(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		b := browser.New(t)
		p := b.Get(w.StartURL())
		shows(t, browser.New(t).Get(p.URL.String()), http.StatusForbidden, "SIGNIN_OTHER_BROWSER")
		_, fields, _ := p.Form()
		fields.Set("email", ada.Email)
		shows(t, browser.New(t).Post(w.URL+"/login", fields, ""), http.StatusForbidden, "SIGNIN_OTHER_BROWSER")
		if q := b.Post(w.URL+"/login", fields, "https://evil.example"); q.Status != http.StatusForbidden {
			t.Errorf("a form of another origin was taken: %s", q)
		}
		shows(t, b.Get(w.URL+"/login"), http.StatusBadRequest, "SIGNIN_NO_FLOW")
		shows(t, b.Get(w.URL+"/login?flow=%00"), http.StatusNotFound, "SIGNIN_FLOW_UNKNOWN")
		shows(t, b.Post(w.URL+"/login", url.Values{"email": {strings.Repeat("x", 20<<10)}}, ""), http.StatusBadRequest, "SIGNIN_BAD_FORM")
		shows(t, b.Get(w.URL+"/signin/continue/"+strings.Repeat("x", 43)), http.StatusBadRequest, "SIGNIN_HANDLE_UNKNOWN")
		shows(t, b.Get(w.URL+"/signin/continue/%00"), http.StatusBadRequest, "SIGNIN_HANDLE_UNKNOWN")

		// Two sign-ins at once in one browser, finished in the other order.
		second := b.Get(w.StartURL("connection", w.oidc.ID))
		arrived(t, b.Continue(second, ada.ID))
		first := arrived(t, b.Continue(send(t, b, p, "email", ada.Email), ada.ID))
		if first.Tenant != w.acme {
			t.Errorf("%+v", first)
		}
		shows(t, b.Get(p.URL.String()), http.StatusBadRequest, "SIGNIN_FLOW_FINISHED")
		w.Clock.Advance(11 * 60 * 1e9)
		shows(t, b.Get(second.URL.String()), http.StatusOK, "") // the provider's page, which knows nothing of our flow
	})
}

// The session's cookie goes to this host alone, and to no script; a refusal sets none.
func TestSessionCookie(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		b := browser.New(t)
		p := b.LogIn(w.StartURL("connection", w.saml.ID), eve.ID)
		shows(t, p, http.StatusForbidden, "POLICY_EMAIL_DOMAIN")
		if c := b.Cookie(w.URL, "__Host-session"); c != "" {
			t.Error("a refused sign-in set a session cookie")
		}
		// The last step, without following it.
		var last *http.Response
		b.Client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if strings.HasPrefix(r.URL.Path, "/oauth2/authorize") && r.URL.Query().Has("resume") {
				last = r.Response
			}
			return nil
		}
		arrived(t, b.LogIn(w.StartURL("connection", w.saml.ID), ada.ID))
		var header string
		for _, c := range last.Header.Values("Set-Cookie") {
			if strings.HasPrefix(c, "__Host-session=") {
				header = c
			}
		}
		for _, want := range []string{"; Path=/", "; HttpOnly", "; Secure", "; SameSite=Lax"} {
			if !strings.Contains(header, want) {
				t.Errorf("%q lacks %q", header, want)
			}
		}
		if strings.Contains(header, "Domain") || last.Header.Get("Cache-Control") != "no-store" || last.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%q, %v", header, last.Header)
		}
	})
}

func TestLogout(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		b := browser.New(t)
		arrived(t, b.LogIn(w.StartURL("connection", w.saml.ID), ada.ID))
		p := b.Get(w.URL + "/logout")
		shows(t, p, http.StatusOK, "Sign out?")
		live := func() int { return w.Count(`SELECT COUNT(*) FROM sessions WHERE ended_at IS NULL`) }
		if live() != 1 {
			t.Error("a GET signed out")
		}
		if q := b.Post(w.URL+"/logout", nil, "https://evil.example"); q.Status != http.StatusForbidden || live() != 1 {
			t.Errorf("another origin signed out: %s", q)
		}
		shows(t, send(t, b, p), http.StatusOK, "Signed out")
		if live() != 0 || b.Cookie(w.URL, "__Host-session") != "" {
			t.Error("the session or its cookie is still there")
		}
		shows(t, b.Post(w.URL+"/logout", nil, ""), http.StatusOK, "Signed out") // again
		var kind, who string
		err := w.DB.QueryRow(t.Context(), `SELECT e.actor_type, e.actor_id FROM audit_events e WHERE e.action = 'session.ended'`).Scan(&kind, &who)
		if err != nil || kind != "user" || !strings.HasPrefix(who, "usr_") {
			t.Errorf("the audit log says that %s %q signed out: %v", kind, who, err)
		}
	})
}

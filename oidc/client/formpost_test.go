package client_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// posted begins a sign-in and gives the form that the provider's page would post.
func (w *world) posted(b *browser.Browser) (action string, fields url.Values) {
	w.t.Helper()
	undo := b.Client.CheckRedirect
	defer func() { b.Client.CheckRedirect = undo }()
	p := b.Get(w.start())
	action, fields, ok := p.Form()
	if !ok || !fields.Has("handle") {
		w.t.Fatalf("no login page: %s", p)
	}
	p = b.Post(action, url.Values{"handle": fields["handle"], "person": {ada.ID}}, p.Origin())
	action, fields, ok = p.Form()
	if !ok || !strings.HasSuffix(action, "/callback") || fields.Get("state") == "" {
		w.t.Fatalf("no form: %s", p)
	}
	return action, fields
}

// OAuth 2.0 Form Post Response Mode: the answer is a cross-site POST without our
// cookie; its browser is proved at the next step.
func TestFormPost(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		settings := *w.conn.OIDC
		settings.FormPost = true
		w.SetConnection(w.conn, tenants.SSOPatch{OIDC: &settings})
		arrived(t, browser.New(t).LogIn(w.start(), ada.ID))
		// cookieless posts as a browser does from another site, and gives where it goes next.
		post := func(action string, fields url.Values) answer {
			t.Helper()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, action, strings.NewReader(fields.Encode()))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", formMedia)
			r.Header.Set("Origin", w.idp.Issuer())
			res, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			return answer{status: res.StatusCode, header: res.Header}
		}
		t.Run("without a cookie", func(t *testing.T) {
			w.t = t
			b := browser.New(t)
			action, fields := w.posted(b)
			a := post(action, fields)
			next := a.header.Get("Location")
			if a.status != http.StatusSeeOther || !strings.HasPrefix(next, "/signin/continue/") || a.header.Get("Cache-Control") != "no-store" ||
				a.header.Get("Referrer-Policy") != "no-referrer" || a.header.Get("Set-Cookie") != "" {
				t.Fatalf("%d %v", a.status, a.header)
			}
			before := w.people()
			refused(t, browser.New(t).Get(w.URL+next), "SIGNIN_OTHER_BROWSER")
			victim := browser.New(t)
			w.posted(victim)
			refused(t, victim.Get(w.URL+next), "SIGNIN_OTHER_BROWSER") // the attacker's code in another browser
			if w.people() != before {
				t.Error("rows were written")
			}
			arrived(t, b.Get(w.URL+next))
			refused(t, b.Get(w.URL+next), "SIGNIN_HANDLE_UNKNOWN")
		})
		t.Run("state used again, unknown, at another connection", func(t *testing.T) {
			w.t = t
			b := browser.New(t)
			action, fields := w.posted(b)
			other := w.OIDCConnection(w.tenant, w.idp, func(n *tenants.NewSSOConnection) { n.Name, n.OIDC.FormPost = "Other", true })
			refused(t, b.Post(strings.Replace(action, w.conn.ID, other.ID, 1), fields, w.idp.Issuer()), "OIDC_STATE")
			refused(t, b.Post(action, url.Values{"code": {"x"}}, w.idp.Issuer()), "OIDC_STATE")
			if a := post(action, fields); a.status != http.StatusSeeOther {
				t.Fatalf("%d", a.status)
			}
			refused(t, b.Post(action, fields, w.idp.Issuer()), "OIDC_STATE_USED")
		})
		t.Run("error", func(t *testing.T) {
			w.set(t, idp.OIDCKnobs{Error: "access_denied", ErrorDescription: "<script>alert(1)</script>"})
			refused(t, browser.New(t).LogIn(w.start(), ada.ID), "OIDC_PROVIDER_ERROR")
			w.logged(signin.OutcomeFailure, "OIDC_PROVIDER_ERROR")
		})
		t.Run("forms that are none", func(t *testing.T) {
			w.t = t
			b := browser.New(t)
			action, fields := w.posted(b)
			page := func(method, address, media, body, code string) {
				t.Helper()
				a := w.send(method, address, media, body)
				if a.status < 400 || a.status >= 500 || !strings.Contains(a.body, ">"+code+"<") {
					t.Errorf("%s %s: %d %s", method, media, a.status, a.body)
				}
			}
			body := fields.Encode()
			page(http.MethodPost, action, "", body, "OIDC_RESPONSE_MODE")
			page(http.MethodPost, action, "text/plain", body, "OIDC_RESPONSE_MODE")
			page(http.MethodPost, action, "multipart/form-data; boundary=x", "--x--", "OIDC_RESPONSE_MODE")
			page(http.MethodPost, action+"?"+body, formMedia, "", "OIDC_RESPONSE_MODE")
			page(http.MethodPost, action+"?x=1", formMedia, body, "OIDC_RESPONSE_MODE")
			page(http.MethodPut, action, formMedia, body, "OIDC_RESPONSE_MODE")
			page(http.MethodDelete, action+"?"+body, "", "", "OIDC_RESPONSE_MODE")
			page(http.MethodPost, action, formMedia, body+"&state=x", "OIDC_PARAMETERS")
			page(http.MethodPost, action, formMedia, body+"&id_token=x&id_token=y", "OIDC_PARAMETERS")
			page(http.MethodPost, action, formMedia, body+"&%zz", "OIDC_PARAMETERS")
			page(http.MethodPost, action, formMedia, body+"&x="+strings.Repeat("x", 64<<10), "body_too_large")
			if a := w.send(http.MethodHead, action+"?"+body, "", ""); a.status < 400 || a.header.Get("Allow") != "GET, POST" {
				t.Errorf("HEAD: %d %v", a.status, a.header)
			}
			if a := post(action, fields); a.status != http.StatusSeeOther { // none of them used the state up
				t.Errorf("%d", a.status)
			}
		})
		t.Run("switched off", func(t *testing.T) {
			w.t = t
			b := browser.New(t)
			action, fields := w.posted(b)
			w.SetConnection(w.conn, tenants.SSOPatch{OIDC: w.conn.OIDC})
			refused(t, b.Post(action, fields, w.idp.Issuer()), "OIDC_RESPONSE_MODE")
			w.SetConnection(w.conn, tenants.SSOPatch{OIDC: &settings})
		})
	})
}

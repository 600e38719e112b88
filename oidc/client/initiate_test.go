package client_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// OpenID Connect Core §4: a login that the provider starts goes to an
// application of ours and nowhere else.
func TestInitiatedLogin(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Application("https://app.example/start?keep=1")
		var second tenants.Application
		w.Tx(func(q db.Queryer) error {
			var err error
			second, _, err = w.Tenants.CreateApplication(t.Context(), w.Vendor, q, tenants.NewApplication{
				Name: "Second", Type: tenants.Web, ApplicationSettings: tenants.ApplicationSettings{
					RedirectURIs: []string{"https://second.example/cb"}, InitiateLoginURI: "https://second.example/start",
				},
			})
			return err
		})
		b := browser.New(t)
		defer b.Stop()()
		login := w.URL + "/oidc/" + w.conn.ID + "/login"
		both := func(t *testing.T, v url.Values, check func(t *testing.T, p browser.Page)) {
			t.Helper()
			check(t, b.Get(login+"?"+v.Encode()))
			check(t, b.Post(login, v, w.idp.Issuer()))
		}
		goes := func(name string, v url.Values, host string, want url.Values) {
			t.Run(name, func(t *testing.T) {
				both(t, v, func(t *testing.T, p browser.Page) {
					t.Helper()
					u, err := url.Parse(p.Header.Get("Location"))
					if err != nil || p.Status != http.StatusSeeOther || u.Scheme != "https" || u.Host != host || u.Path != "/start" || p.Header.Get("Cache-Control") != "no-store" {
						t.Fatalf("%s to %s", p, u)
					}
					want := url.Values(want)
					want.Set("iss", w.URL)
					want.Set("connection", w.conn.ID)
					if got := u.Query().Encode(); got != want.Encode() {
						t.Errorf("%s, want %s", got, want.Encode())
					}
				})
			})
		}
		iss := w.idp.Issuer()
		kept := func() url.Values { return url.Values{"keep": {"1"}} }
		goes("issuer", url.Values{"iss": {iss}}, "app.example", kept())
		goes("nothing", url.Values{}, "app.example", kept())
		goes("hint", url.Values{"iss": {iss}, "login_hint": {"ada@acme.example&connection=x"}}, "app.example",
			url.Values{"keep": {"1"}, "login_hint": {"ada@acme.example&connection=x"}})
		goes("long hint", url.Values{"iss": {iss}, "login_hint": {strings.Repeat("x", 400)}}, "app.example", kept())
		goes("another application by its address", url.Values{"iss": {iss}, "target_link_uri": {"https://second.example/start"}}, "second.example", url.Values{})
		goes("another application by its client id", url.Values{"iss": {iss}, "target_link_uri": {second.ID}}, "second.example", url.Values{})
		for _, evil := range []string{
			"https://evil.example/", "//evil.example", "https://second.example/start/../../evil", "https://second.example/start?x=1", "https://second.example/start#x",
			"https://second.example@evil.example/start", "https://second.example.evil.example/start", "javascript:alert(1)", "https://SECOND.example/start", "app_x", "%00",
		} {
			goes("open redirect "+evil, url.Values{"iss": {iss}, "target_link_uri": {evil}}, "app.example", kept())
		}
		stops := func(name, code string, v url.Values) {
			t.Run(name, func(t *testing.T) {
				both(t, v, func(t *testing.T, p browser.Page) { t.Helper(); refused(t, p, code) })
			})
		}
		stops("another issuer", "OIDC_INITIATE_ISSUER", url.Values{"iss": {"https://evil.example"}})
		stops("issuer with a slash", "OIDC_INITIATE_ISSUER", url.Values{"iss": {iss + "/"}})
		stops("issuer twice", "OIDC_PARAMETERS", url.Values{"iss": {iss, iss}})
		stops("target twice", "OIDC_PARAMETERS", url.Values{"iss": {iss}, "target_link_uri": {"a", "b"}})
		t.Run("forms", func(t *testing.T) {
			w.t = t
			for media, body := range map[string]string{"application/json": `{"iss":"x"}`, "": "iss=" + iss} {
				if a := w.send(http.MethodPost, login, media, body); a.status != http.StatusBadRequest || !strings.Contains(a.body, ">OIDC_RESPONSE_MODE<") {
					t.Errorf("%q: %d", media, a.status)
				}
			}
			if a := w.send(http.MethodPost, login+"?iss="+url.QueryEscape(iss), formMedia, ""); a.status != http.StatusBadRequest {
				t.Errorf("parameters in the address: %d", a.status)
			}
			if a := w.send(http.MethodPost, login, formMedia, strings.Repeat("x", 65<<10)); a.status != http.StatusRequestEntityTooLarge {
				t.Errorf("large: %d", a.status)
			}
		})
	})
}

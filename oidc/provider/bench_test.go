package provider

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// The endpoints that applications call most, without the network (
// client_credentials, introspection, the key set, refresh).
func BenchmarkEndpoints(b *testing.B) {
	dbtest.Bench(b, func(b *testing.B, d db.DB) {
		w := newWorld(b, d)
		w.role("admin-x", "engineering", "fe.secure.*", "fe.connectivity.*")
		tokens := w.browser().signedIn("ada@acme.com")
		service := func(alg string) url.Values {
			app, secret := w.application(tenants.NewApplication{Name: alg, Type: tenants.Machine, ApplicationSettings: tenants.ApplicationSettings{AccessTokenAlg: alg, AuthMethod: tenants.AuthPost}})
			return url.Values{"grant_type": {"client_credentials"}, "client_id": {app.ID}, "client_secret": {secret}}
		}
		ask := func(b *testing.B, path string, form url.Values, auth bool) *httptest.ResponseRecorder {
			method := http.MethodPost
			if form == nil {
				method = http.MethodGet
			}
			r := httptest.NewRequest(method, w.server.URL+path, strings.NewReader(form.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if auth {
				w.basic(r)
			}
			a := httptest.NewRecorder()
			w.server.Config.Handler.ServeHTTP(a, r)
			if a.Code != 200 {
				b.Fatalf("%d %s", a.Code, a.Body)
			}
			return a
		}
		for name, c := range map[string]struct {
			path string
			form url.Values
			auth bool
		}{
			"ClientCredentialsES256": {"/oauth2/token", service("ES256"), false},
			"ClientCredentialsRS256": {"/oauth2/token", service("RS256"), false},
			"Introspection":          {"/oauth2/introspect", url.Values{"token": {tokens.Access}}, true},
			"KeySet":                 {"/oauth2/jwks", nil, false},
		} {
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					ask(b, c.path, c.form, c.auth)
				}
			})
		}
		b.Run("Refresh", func(b *testing.B) {
			b.ReportAllocs()
			token := tokens.Refresh
			for b.Loop() {
				var t struct {
					Refresh string `json:"refresh_token"`
				}
				a := ask(b, "/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, true)
				if err := json.Unmarshal(a.Body.Bytes(), &t); err != nil {
					b.Fatal(err)
				}
				token = t.Refresh
			}
		})
	})
}

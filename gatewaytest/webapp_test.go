package gatewaytest_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/client"
	"github.com/gatehouse-id/gatehouse/examples/webapp"
	"github.com/gatehouse-id/gatehouse/gatewaytest"
	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// The sample application against a whole gateway, set up with the Go client: a
// person logs in, sees what his permissions allow, is refused what they do not
// (product 115, 117, 135), and a change of the directory arrives as a signed
// webhook (product 73).
func TestSampleApplication(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := gatewaytest.New(t, gatewaytest.Options{DB: d})
		people := g.IdP(idp.Config{People: []idp.Person{ada, marie}})
		ctx := t.Context()
		c, err := client.New(g.URL, g.Key)
		if err != nil {
			t.Fatal(err)
		}

		var app http.Handler
		appURL := rig.Listen(t, func(string) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { app.ServeHTTP(w, r) })
		})
		const secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
		type made struct {
			ID           string
			ClientID     string `json:"client_id"`
			ClientSecret string `json:"client_secret"`
		}
		post := func(path string, body any) made {
			t.Helper()
			m, err := client.Post[made](ctx, c, path, body)
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		registered := post("/applications", object{"name": "Sample", "type": "web", "redirect_uris": []string{appURL + "/callback"}, "require_pkce": true, "token_endpoint_auth_method": "client_secret_basic"})
		sample, err := webapp.New(webapp.Config{
			Name: "Sample", BaseURL: appURL, Issuer: g.URL, ClientID: registered.ClientID, ClientSecret: registered.ClientSecret, WebhookSecret: secret,
		})
		if err != nil {
			t.Fatal(err)
		}
		app = sample

		if _, err := c.CreateTenant(ctx, client.NewTenant{Name: "Acme Corp", Key: "acme"}); err != nil {
			t.Fatal(err)
		}
		post("/tenants/acme/domains", object{"domain": "acme.example", "verified": true})
		post("/permissions", object{"key": "projects.read", "name": "See projects", "category": "Sample"})
		post("/permissions", object{"key": "projects.*", "name": "Everything about projects", "category": "Sample"})
		role := post("/roles", object{"key": "developer", "name": "Developer", "level": 10, "permissions": []string{"projects.*"}})
		connection := post("/tenants/acme/sso-connections", object{"type": "saml", "name": "Test IdP", "idp_metadata_xml": string(people.Metadata()), "status": "active"})
		if _, err := client.Put[json.RawMessage](ctx, c, "/tenants/acme/group-role-mappings", object{"mappings": []object{{"group": "engineering", "role_ids": []string{role.ID}}}}); err != nil {
			t.Fatal(err)
		}
		post("/tenants/acme/webhooks", object{"url": appURL + "/webhooks", "event_types": []string{"user.created"}, "secret": secret})

		// Ada is an engineer, Marie is nobody in particular.
		in := map[string]*browser.Browser{}
		for _, who := range []string{ada.Email, marie.Email} {
			in[who] = browser.New(t)
			page := in[who].LogIn(appURL+"/login?"+url.Values{"organization": {"acme"}, "connection": {connection.ID}}.Encode(), who)
			if page.URL.String() != appURL+"/" || !strings.Contains(page.Body, "Signed in as <strong>"+who) {
				t.Fatalf("%s: %s", who, page)
			}
			if has := strings.Contains(page.Body, "projects.*"); has != (who == ada.Email) {
				t.Errorf("%s: the page shows the permissions: %v", who, has)
			}
		}
		if page := in[ada.Email].Get(appURL + "/projects"); page.Status != 200 || !strings.Contains(page.Body, "The projects of ten_") {
			t.Errorf("Ada's projects: %s", page)
		}
		if page := in[marie.Email].Get(appURL + "/projects"); page.Status != 403 {
			t.Errorf("Marie's projects: %s", page)
		}
		api := func(token string) *http.Response {
			t.Helper()
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, appURL+"/api/projects", nil)
			if err != nil {
				t.Fatal(err)
			}
			if token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			return res
		}
		if res := api(""); res.StatusCode != 401 || res.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("no token: %d", res.StatusCode)
		}
		// A token of another application is not for this one.
		other := g.LogIn(browser.New(t), g.Application(), ada.Email, "connection", connection.ID)
		if res := api(other.AccessToken); res.StatusCode != 401 {
			t.Errorf("another application's token: %d", res.StatusCode)
		}
		if res := api(other.IDToken); res.StatusCode != 401 {
			t.Errorf("an ID token: %d", res.StatusCode)
		}

		// A person is added, and the application hears of it once.
		user, err := c.CreateUser(ctx, "acme", client.NewUser{Email: "grace@acme.example"})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := g.Webhooks.RunDue(ctx); err != nil {
				t.Fatal(err)
			}
		}
		page := in[ada.Email].Get(appURL + "/")
		if strings.Count(page.Body, "<code>user.created</code>") < 1 {
			t.Errorf("no webhook arrived for %s: %s", user.ID, page.Body)
		}
		forged, err := http.Post(appURL+"/webhooks", "application/json", strings.NewReader(`{"type":"user.created"}`))
		if err != nil {
			t.Fatal(err)
		}
		forged.Body.Close()
		if forged.StatusCode != 401 {
			t.Errorf("a forged webhook: %d", forged.StatusCode)
		}

		// An administrator's access token serves the management API too, inside his tenant.
		roles, err := c.EffectiveRoles(ctx, "acme", user.ID)
		if err != nil || roles.Has("projects.read") {
			t.Errorf("%+v, %v", roles, err)
		}
		asUser, err := client.New(g.URL, other.AccessToken)
		if err != nil {
			t.Fatal(err)
		}
		hans := client.NewUser{Email: "hans@acme.example"}
		if _, err := asUser.CreateUser(ctx, "acme", hans); client.CodeOf(err) != "forbidden" {
			t.Errorf("a developer adds people: %v", err)
		}
		var admin string
		for r, err := range client.List[struct{ ID, Key string }](ctx, c, "/roles", nil) {
			if err != nil {
				t.Fatal(err)
			}
			if r.Key == "admin" {
				admin = r.ID
			}
		}
		me, _ := other.Access["sub"].(string)
		if _, err := client.Put[json.RawMessage](ctx, c, "/tenants/acme/users/"+me+"/roles", object{"role_ids": []string{admin}}); err != nil {
			t.Fatal(err)
		}
		if _, err := asUser.CreateUser(ctx, "acme", hans); err != nil { // the roles of this moment, not of the token
			t.Errorf("an administrator adds people: %v", err)
		}
		if all, err := client.Collect(asUser.Users(ctx, "acme", url.Values{"limit": {"1"}})); err != nil || len(all) != 4 {
			t.Errorf("%d people, %v", len(all), err)
		}
		if _, err := client.Post[made](ctx, c, "/tenants/acme/users/"+me+":disable", nil); err != nil {
			t.Fatal(err)
		}
		if _, err := asUser.Tenant(ctx, "acme"); client.CodeOf(err) != "invalid_credentials" {
			t.Errorf("the token of a disabled person: %v", err)
		}
	})
}

package provider

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/rbac/apitoken"
	"github.com/gatehouse-id/gatehouse/rbac/entitlement"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/tenants"
)

func (w *world) template(n oidc.NewTemplate) (t oidc.Template) {
	w.Helper()
	w.tx(func(q db.Queryer) (err error) {
		t, err = w.h.templates.Create(w.ctx(), w.admin, q, n)
		return err
	})
	return t
}

// Access tokens of people say what the first template that fits says, in its
// lifetime and by its algorithm, and the claims of every token beside it (product 2.2).
func TestJWTTemplates(t *testing.T) {
	each(t, func(w *world) {
		other, _ := w.application(tenants.NewApplication{Name: "other", Type: tenants.Web, ApplicationSettings: tenants.ApplicationSettings{RedirectURIs: []string{callback}}})
		w.template(oidc.NewTemplate{Name: "for another application", Priority: 0, TemplateSettings: oidc.TemplateSettings{
			Applications: []string{other.ID}, Claims: map[string]any{"which": "other"},
		}})
		w.template(oidc.NewTemplate{Name: "for others", Priority: 1, TemplateSettings: oidc.TemplateSettings{
			If:     &entitlement.Condition{Attribute: "user.email", Op: "ends_with", Value: "@globex.com"},
			Claims: map[string]any{"which": "globex"},
		}})
		acme := w.template(oidc.NewTemplate{Name: "for Acme", Priority: 2, TemplateSettings: oidc.TemplateSettings{
			Tenants: []string{"acme"}, AccessTokenSeconds: 120, Algorithm: "EdDSA",
			Claims: map[string]any{"which": "acme", "https://vendor.example/mail": "{{user.email}}", "plan": "{{member.metadata.plan}}", "n": 7, "verified": "{{user.emailVerified}}"},
		}})
		w.template(oidc.NewTemplate{Name: "for all", Priority: 3, TemplateSettings: oidc.TemplateSettings{Claims: map[string]any{"which": "all"}}})
		got := w.browser().signedIn("ada@acme.com")
		c := w.part(got.Access, 1)
		if c["which"] != "acme" || c["https://vendor.example/mail"] != "ada@acme.com" || c["n"] != 7.0 || c["verified"] != true || c["plan"] != nil {
			t.Errorf("claims %v", c)
		}
		if got.Expires != 120 || c["exp"].(float64)-c["iat"].(float64) != 120 || w.part(got.Access, 0)["alg"] != "EdDSA" {
			t.Errorf("expires %d, %v", got.Expires, w.part(got.Access, 0))
		}
		if c["tenantId"] != w.acme.ID || c["type"] != "userToken" || c["iss"] != w.env.BaseURL || c["sub"] == nil || c["aud"] != w.app.ID || c["roles"] == nil {
			t.Errorf("claims of every token %v", c)
		}
		if id := w.part(got.ID, 1); id["which"] != nil || w.part(got.ID, 0)["alg"] != "ES256" || id["exp"].(float64)-id["iat"].(float64) != 600 {
			t.Errorf("ID token %v", id)
		}
		// It is a token like every other: at userinfo, at introspection, at the API.
		if r := w.browser().userinfo(got.Access); r.StatusCode != 200 {
			t.Errorf("userinfo: %d", r.StatusCode)
		}
		if in := w.introspect(got.Access); in["active"] != true || in["which"] != "acme" || in["token_type"] != "Bearer" || in["sub"] != c["sub"] {
			t.Errorf("introspection: %v", in)
		}
		if _, err := w.h.UserActor(w.ctx(), w.env, got.Access); err != nil {
			t.Error(err)
		}
		if c := w.part(w.browser().signedIn("grace@globex.com").Access, 1); c["which"] != "globex" {
			t.Errorf("Globex: %v", c["which"])
		}
		// A change is seen by the next token, within ten seconds; so is the member's metadata.
		w.tx(func(q db.Queryer) error {
			metadata := `{"plan":"gold"}`
			if _, err := w.directory.UpdateUser(w.ctx(), w.admin, q, w.acme.ID, c["sub"].(string), directory.UserPatch{Metadata: &metadata}); err != nil {
				return err
			}
			return w.h.templates.Delete(w.ctx(), w.admin, q, acme.ID)
		})
		w.clock.Advance(11 * time.Second)
		next := w.browser().refresh(got.Refresh)
		if c := w.part(next.Access, 1); c["which"] != "all" || next.Expires != 600 || w.part(next.Access, 0)["alg"] != "ES256" || c["metadata"] == nil {
			t.Errorf("afterwards: %v", c)
		}
		if n := w.events("jwt_template.created") + w.events("jwt_template.deleted"); n != 5 {
			t.Errorf("%d events", n)
		}
	})
}

// What a template does not reach: impersonations last as long as they were begun for,
// and tokens of programs are none of a person's.
func TestJWTTemplatesLimits(t *testing.T) {
	each(t, func(w *world) {
		w.template(oidc.NewTemplate{Name: "long", TemplateSettings: oidc.TemplateSettings{Claims: map[string]any{"which": "long"}, AccessTokenSeconds: 86400}})
		user, _ := w.person("ada@acme.com")
		a, key := w.impersonator()
		got, err := w.h.Impersonate(w.ctx(), a, w.env, staff.Impersonation{User: user, Tenant: "acme", Reason: "x"})
		if err != nil {
			t.Fatal(err)
		}
		if c := w.part(got.AccessToken, 1); c["which"] != "long" || c["exp"].(float64)-c["iat"].(float64) != 900 || c["act"].(map[string]any)["sub"] != key {
			t.Errorf("impersonation: %v", c)
		}
		token, plain := w.apiToken(apitoken.ClientCredentials, 60)
		if c := w.part(w.exchangeAPIToken(token.ID, plain).Access, 1); c["which"] != nil {
			t.Errorf("API token: %v", c)
		}
		robot, secret := w.application(tenants.NewApplication{Name: "robot", Type: tenants.Machine})
		service := w.browser().token(url.Values{"grant_type": {"client_credentials"}, "client_id": {robot.ID}, "client_secret": {secret}}, func(*http.Request) {})
		if c := w.part(service.Access, 1); c["which"] != nil || service.Expires != 600 {
			t.Errorf("service: %v", c)
		}
	})
}

// Every claim that the provider writes itself is reserved: from the types, so that a
// new one is not forgotten.
func TestTemplatesCannotReplaceClaims(t *testing.T) {
	reserved := oidc.ReservedClaims()
	var walk func(reflect.Type)
	walk = func(of reflect.Type) {
		for f := range of.NumField() {
			field := of.Field(f)
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if field.Anonymous {
				walk(field.Type)
			} else if !slices.Contains(reserved, name) {
				t.Errorf("a template could give %s of %s", name, of)
			}
		}
	}
	for _, v := range []any{accessClaims{}, idClaims{}, serviceClaims{}, apiClaims{}} {
		walk(reflect.TypeOf(v))
	}
	// One that the store holds all the same does nothing.
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		w := newWorld(t, d)
		made := w.template(oidc.NewTemplate{Name: "x", TemplateSettings: oidc.TemplateSettings{Claims: map[string]any{"plan": "x"}}})
		text, err := json.Marshal(oidc.TemplateSettings{Claims: map[string]any{"sub": "usr_evil", "Sub": "usr_evil", "TENANTID": "ten_evil", "tenantId": "ten_evil", "plan": "y"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.db.Exec(w.ctx(), `UPDATE jwt_templates SET settings = $3 WHERE environment_id = $1 AND id = $2`, w.env.ID, made.ID, string(text)); err != nil {
			t.Fatal(err)
		}
		got := w.browser().signedIn("ada@acme.com")
		if c := w.part(got.Access, 1); c["plan"] != "y" || c["tenantId"] != w.acme.ID || c["sub"] == "usr_evil" || strings.Count(got.Access, ".") != 2 {
			t.Errorf("%v", c)
		}
		if a, err := w.h.UserActor(w.ctx(), w.env, got.Access); err != nil || a.Tenant != w.acme.ID || a.Subject == "usr_evil" {
			t.Errorf("%+v %v", a, err)
		}
	})
}

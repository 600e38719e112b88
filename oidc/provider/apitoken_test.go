package provider

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/rbac/apitoken"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// apiToken makes a token of Acme with a role of its own.
func (w *world) apiToken(kind apitoken.Kind, minutes int64) (apitoken.Token, string) {
	w.Helper()
	var token apitoken.Token
	var plain string
	w.tx(func(q db.Queryer) error {
		role, err := w.rbac.CreateRole(w.ctx(), w.admin, q, rbac.NewRole{Key: "robot-" + string(kind), Name: "Robot", Level: 9, Permissions: []string{"fe.secure.read.*"}})
		if err != nil {
			return err
		}
		token, plain, err = w.h.apiTokens.Create(w.ctx(), w.admin, q, w.acme.ID, apitoken.NewToken{
			Kind: kind, Description: "CI", RoleIDs: []string{role.ID}, Metadata: map[string]any{"team": "build"}, Expiry: apitoken.Expiry{Minutes: minutes},
		})
		return err
	})
	return token, plain
}

// An API token is exchanged for a JWT with its roles (product 65, 115; 2.3).
func TestAPITokenExchange(t *testing.T) {
	each(t, func(w *world) {
		token, plain := w.apiToken(apitoken.ClientCredentials, 60)
		b := w.browser()
		basic := func(r *http.Request) { r.SetBasicAuth(url.QueryEscape(token.ID), url.QueryEscape(plain)) }
		grant := url.Values{"grant_type": {"client_credentials"}}
		got := b.token(grant, basic)
		if got.StatusCode != 200 || got.Type != "Bearer" || got.Refresh != "" || got.ID != "" || got.Expires != 600 {
			t.Fatalf("%d %s", got.StatusCode, got.body)
		}
		c := w.part(got.Access, 1)
		roles, _ := json.Marshal(c["roles"])
		permissions, _ := json.Marshal(c["permissions"])
		if c["sub"] != token.ID || c["type"] != "tenantApiToken" || c["tenantId"] != w.acme.ID || c["aud"] != w.app.ID || string(roles) != `["robot-client_credentials"]` ||
			string(permissions) != `["fe.secure.read.*"]` || c["metadata"].(map[string]any)["team"] != "build" || c["email"] != nil {
			t.Errorf("claims %v", c)
		}
		if w.part(got.Access, 0)["typ"] != "at+jwt" {
			t.Error("not an access token by its type")
		}
		body := b.token(url.Values{"grant_type": {"client_credentials"}, "client_id": {token.ID}, "client_secret": {plain}}, func(*http.Request) {})
		if body.StatusCode != 200 {
			t.Errorf("in the body: %d %s", body.StatusCode, body.body)
		}
		other, _ := w.application(tenants.NewApplication{Name: "Other", Type: tenants.Web, ApplicationSettings: tenants.ApplicationSettings{RedirectURIs: []string{callback}, AccessTokenAlg: "RS256"}})
		named := b.token(url.Values{"grant_type": {"client_credentials"}, "audience": {other.ID}}, basic)
		if w.part(named.Access, 1)["aud"] != other.ID || w.part(named.Access, 0)["alg"] != "RS256" {
			t.Errorf("audience: %v", w.part(named.Access, 1))
		}
		for name, c := range map[string]struct {
			form url.Values
			edit func(*http.Request)
			want string
		}{
			"a wrong secret":           {grant, func(r *http.Request) { r.SetBasicAuth(token.ID, plain[:len(plain)-1]+"x") }, oidc.InvalidClient},
			"no secret":                {url.Values{"grant_type": {"client_credentials"}, "client_id": {token.ID}}, func(*http.Request) {}, oidc.InvalidClient},
			"another grant":            {url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}, basic, oidc.UnauthorizedClient},
			"a scope":                  {url.Values{"grant_type": {"client_credentials"}, "scope": {"openid"}}, basic, oidc.InvalidScope},
			"an audience that is none": {url.Values{"grant_type": {"client_credentials"}, "audience": {"app_x"}}, basic, oidc.InvalidTarget},
		} {
			if r := b.token(c.form, c.edit); r.Error != c.want {
				t.Errorf("%s: %d %s, want %s", name, r.StatusCode, r.body, c.want)
			}
		}
		// It opens nothing of a person's.
		if r := b.userinfo(got.Access); r.StatusCode != 401 {
			t.Errorf("userinfo: %d", r.StatusCode)
		}
		if _, _, err := w.h.UserToken(w.ctx(), w.env, got.Access); err == nil {
			t.Error("taken for a person's token")
		}
		// Its end is the token's, if that comes first.
		w.clock.Advance(55 * time.Minute)
		if late := b.token(grant, basic); late.Expires != 300 {
			t.Errorf("expires in %d s", late.Expires)
		}
		w.clock.Advance(6 * time.Minute)
		if gone := b.token(grant, basic); gone.Error != oidc.InvalidClient || gone.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("expired: %d %s", gone.StatusCode, gone.body)
		}
	})
}

// A token that is sent as it is can be introspected by the vendor's applications,
// and says what it may do now (RFC 7662; product 7.4).
func TestIntrospectAPIToken(t *testing.T) {
	each(t, func(w *world) {
		token, plain := w.apiToken(apitoken.AccessToken, 60)
		b := w.browser()
		ask := func(s string) map[string]any {
			r := b.post("/oauth2/introspect", url.Values{"token": {s}}, w.basic)
			var body map[string]any
			if err := json.Unmarshal([]byte(r.body), &body); err != nil || r.StatusCode != 200 {
				t.Fatalf("%d %s", r.StatusCode, r.body)
			}
			return body
		}
		c := ask(plain)
		if c["active"] != true || c["type"] != "tenantAccessToken" || c["tenantId"] != w.acme.ID || c["sub"] != token.ID || c["exp"] == nil || c["jti"] != nil {
			t.Errorf("%v", c)
		}
		if inactive := ask(strings.Replace(plain, plain[40:44], "AAAA", 1)); len(inactive) != 1 || inactive["active"] != false {
			t.Errorf("%v", inactive)
		}
		w.tx(func(q db.Queryer) error {
			list, err := w.rbac.Roles(w.ctx(), q, w.env.ID, "")
			if err != nil {
				return err
			}
			i := slices.IndexFunc(list, func(r rbac.Role) bool { return r.Key == "robot-access_token" })
			none := []string{"fe.secure.read.users"}
			_, err = w.rbac.UpdateRole(w.ctx(), w.admin, q, list[i].ID, rbac.RolePatch{Permissions: &none})
			return err
		})
		if c := ask(plain); c["permissions"].([]any)[0] != "fe.secure.read.users" {
			t.Errorf("after the role changed: %v", c["permissions"])
		}
		w.tx(func(q db.Queryer) error {
			return w.h.apiTokens.Delete(w.ctx(), w.admin, q, w.acme.ID, token.ID)
		})
		if c := ask(plain); c["active"] != false {
			t.Errorf("deleted: %v", c)
		}
	})
}

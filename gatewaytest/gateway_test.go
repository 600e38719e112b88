package gatewaytest_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/gatewaytest"
	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

type object = map[string]any

var (
	ada   = idp.Person{ID: "00u1ada", Email: "ada@acme.example", FirstName: "Ada", LastName: "Byron", Groups: []string{"engineering", "everyone"}}
	marie = idp.Person{ID: "00u3marie", Email: "marie@acme.example", FirstName: "Marie", LastName: "Curie"}
)

// vendor is a gateway that was set up through its API as a vendor and the
// customer's admin do it: roles, a tenant with a domain, a directory, a SAML and
// an OpenID connection that meet it.
type vendor struct {
	*gatewaytest.Gateway
	clock                         *clock.Fake
	idp                           *idp.IdP
	app                           gatewaytest.Application
	saml, oidc                    string // connections
	scimURL, scimToken            string
	tenant, developer, researcher string
}

func newVendor(t testing.TB, d db.DB, profile string) *vendor {
	t.Helper()
	v := &vendor{clock: clock.NewFake(rig.Start)}
	v.Gateway = gatewaytest.New(t, gatewaytest.Options{DB: d, Clock: v.clock})
	v.idp = v.IdP(idp.Config{People: []idp.Person{ada, marie}})
	v.app = v.Application()
	role := func(key string, permissions ...string) string {
		t.Helper()
		for _, p := range permissions {
			v.Call(http.MethodPost, "/permissions", object{"key": p, "name": p, "category": "Sample"}, nil)
		}
		var made struct{ ID string }
		v.Call(http.MethodPost, "/roles", object{"key": key, "name": key, "level": 10, "permissions": permissions}, &made)
		return made.ID
	}
	v.developer, v.researcher = role("developer", "projects.write"), role("researcher", "papers.publish")
	var made struct{ ID string }
	v.Call(http.MethodPost, "/tenants", object{"name": "Acme Corp", "key": "acme"}, &made)
	v.tenant = made.ID
	v.Call(http.MethodPost, "/tenants/acme/domains", object{"domain": "acme.example", "verified": true}, nil)
	var dir struct {
		ID      string `json:"id"`
		Token   string `json:"token"`
		BaseURL string `json:"base_url"`
	}
	v.Call(http.MethodPost, "/tenants/acme/scim-connections", object{"name": "Directory", "profile": profile}, &dir)
	v.scimURL, v.scimToken = dir.BaseURL, dir.Token
	v.Call(http.MethodPost, "/tenants/acme/sso-connections", object{
		"type": "saml", "name": "SAML", "idp_metadata_xml": string(v.idp.Metadata()), "jit": true, "status": "active", "scim_connection_ids": []string{dir.ID},
	}, &made)
	v.saml = made.ID
	v.Call(http.MethodPost, "/tenants/acme/sso-connections", object{
		"type": "oidc", "name": "OpenID", "issuer": v.idp.Issuer(), "client_id": rig.Client.ID, "client_secret": rig.Client.Secret,
		"scopes": []string{"openid", "profile", "email", "groups"}, "jit": true, "status": "active", "scim_connection_ids": []string{dir.ID},
	}, &made)
	v.oidc = made.ID
	v.Call(http.MethodPut, "/tenants/acme/group-role-mappings", object{"mappings": []object{
		{"group": "engineering", "role_ids": []string{v.developer}}, {"group": "Research", "role_ids": []string{v.researcher}},
	}}, nil)
	return v
}

func list(claims object, name string) []string {
	var out []string
	values, _ := claims[name].([]any)
	for _, v := range values {
		s, _ := v.(string)
		out = append(out, s)
	}
	return out
}

// users counts the tenant's users of an address, through the API.
func (v *vendor) users(email string) int {
	var page struct{ Data []object }
	v.Call(http.MethodGet, "/tenants/acme/users?email="+email, nil, &page)
	return len(page.Data)
}

// A login through the customer's identity provider ends in tokens whose roles
// come from the groups that it asserted.
func TestLogInToRoles(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		v := newVendor(t, d, "okta")
		var sub any
		for _, connection := range []string{v.saml, v.oidc} {
			tokens := v.LogIn(browser.New(t), v.app, ada.ID, "connection", connection)
			wanted := object{
				"iss": v.URL, "tenantId": v.tenant, "type": "userToken", "email": ada.Email, "email_verified": true, "client_id": v.app.ClientID,
			}
			for name, want := range wanted {
				if tokens.Access[name] != want {
					t.Errorf("access token: %s = %v, want %v", name, tokens.Access[name], want)
				}
			}
			if roles := list(tokens.Access, "roles"); !slices.Contains(roles, "developer") || slices.Contains(roles, "researcher") {
				t.Errorf("roles %q", roles)
			}
			if permissions := list(tokens.Access, "permissions"); !slices.Contains(permissions, "projects.write") {
				t.Errorf("permissions %q", permissions)
			}
			if tokens.ID["aud"] != v.app.ClientID || tokens.ID["sub"] != tokens.Access["sub"] {
				t.Errorf("ID token %v", tokens.ID)
			}
			if sub == nil {
				sub = tokens.Access["sub"]
			}
			if tokens.Access["sub"] != sub {
				t.Errorf("through the other connection she is %v, not %v", tokens.Access["sub"], sub)
			}
			again := v.Refresh(v.app, tokens.RefreshToken)
			if again.Error != "" || again.Access["sub"] != tokens.Access["sub"] {
				t.Errorf("refresh: %q, %v", again.Error, again.Access)
			}
		}
	})
}

// The demo's story, once as Okta's customer and once as Entra's: a person and a
// group come over SCIM, she logs in as that very user, the group gives the role,
// and deactivation ends it all.
func TestProvisionedLogsIn(t *testing.T) {
	type directory interface {
		CreateUser(gatewaytest.Provisioned) string
		PushGroup(name string, members ...string) string
		Deactivate(id string)
		Reactivate(id string)
	}
	for profile, connect := range map[string]func(t *testing.T, v *vendor) directory{
		"okta":  func(t *testing.T, v *vendor) directory { return gatewaytest.NewOkta(t, v.scimURL, v.scimToken) },
		"entra": func(t *testing.T, v *vendor) directory { return gatewaytest.NewEntra(t, v.scimURL, v.scimToken) },
	} {
		t.Run(profile, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, d db.DB) {
				v := newVendor(t, d, profile)
				dir := connect(t, v)
				hers := dir.CreateUser(gatewaytest.Provisioned{ExternalID: marie.ID, UserName: marie.Email, Email: marie.Email, FirstName: "Marie", LastName: "Curie"})
				if again := dir.CreateUser(gatewaytest.Provisioned{ExternalID: marie.ID, UserName: marie.Email, Email: marie.Email}); again != hers {
					t.Errorf("the directory finds %s instead of %s", again, hers)
				}
				b := browser.New(t)
				tokens := v.LogIn(b, v.app, marie.ID, "connection", v.saml)
				if v.users(marie.Email) != 1 {
					t.Errorf("%d users of her address", v.users(marie.Email))
				}
				if roles := list(tokens.Access, "roles"); slices.Contains(roles, "researcher") {
					t.Errorf("roles before the group: %q", roles)
				}
				dir.PushGroup("Research", hers)
				next := v.Refresh(v.app, tokens.RefreshToken)
				if roles := list(next.Access, "roles"); !slices.Contains(roles, "researcher") || next.Access["sub"] != tokens.Access["sub"] {
					t.Errorf("roles in the next token: %q (%s)", roles, next.Error)
				}
				// Through the other connection she is the same user.
				if other := v.LogIn(browser.New(t), v.app, marie.ID, "connection", v.oidc); other.Access["sub"] != tokens.Access["sub"] {
					t.Errorf("OpenID: user %v, SAML: user %v", other.Access["sub"], tokens.Access["sub"])
				}

				dir.Deactivate(hers)
				if r := v.Refresh(v.app, next.RefreshToken); r.Error != "invalid_grant" {
					t.Errorf("refresh after deactivation: %+v", r)
				}
				for name, b := range map[string]*browser.Browser{"her browser": b, "a new browser": browser.New(t)} {
					for _, connection := range []string{v.saml, v.oidc} {
						refused, p := v.TryLogIn(b, v.app, marie.ID, "connection", connection)
						if refused.AccessToken != "" || p.Status != http.StatusForbidden || !strings.Contains(p.Body, "POLICY_USER_DEPROVISIONED") || strings.Contains(p.Body, marie.Email) {
							t.Errorf("%s: %s", name, p)
						}
					}
				}
				if quiet, _ := v.TryLogIn(b, v.app, marie.ID, "connection", v.saml, "prompt", "none"); quiet.Error != "login_required" {
					t.Errorf("prompt=none after deactivation: %q", quiet.Error)
				}

				dir.Reactivate(hers)
				v.clock.Advance(time.Second)
				if r := v.Refresh(v.app, next.RefreshToken); r.Error != "invalid_grant" {
					t.Errorf("an old refresh token works again: %+v", r)
				}
				back := v.LogIn(browser.New(t), v.app, marie.ID, "connection", v.saml)
				if back.Access["sub"] != tokens.Access["sub"] || !slices.Contains(list(back.Access, "roles"), "researcher") {
					t.Errorf("after restoring: %v", back.Access)
				}
			})
		})
	}
}

// A session at the gateway answers without asking the identity provider again,
// and only for the tenant that it satisfies (identity rule 6).
func TestSingleSignOn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		v := newVendor(t, d, "okta")
		b := browser.New(t)
		first := v.LogIn(b, v.app, ada.ID, "connection", v.saml)
		second := v.LogIn(b, v.app, "nobody", "organization", "acme", "prompt", "none")
		if second.Access["sub"] != first.Access["sub"] || second.Access["sid"] != first.Access["sid"] {
			t.Errorf("%v, then %v", first.Access, second.Access)
		}
		v.Call(http.MethodPost, "/tenants", object{"name": "Globex", "key": "globex"}, nil)
		if other, _ := v.TryLogIn(b, v.app, "nobody", "organization", "globex", "prompt", "none"); other.Error != "login_required" || other.AccessToken != "" {
			t.Errorf("a login at acme answers for globex: %+v", other)
		}
	})
}

// An embedded gateway needs nothing but the test.
func TestEmbedded(t *testing.T) {
	g := gatewaytest.New(t, gatewaytest.Options{})
	p := browser.New(t).Get(g.URL + "/readyz")
	if p.Status != http.StatusOK {
		t.Errorf("%s", p)
	}
	for _, probe := range []string{"/healthz", "/readyz"} { // load balancers ask by HEAD too
		r, err := http.Head(g.URL + probe)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != http.StatusOK {
			t.Errorf("HEAD %s: %d", probe, r.StatusCode)
		}
	}
	if status, _ := g.Try(http.MethodGet, "/tenants/nobody", nil); status != http.StatusNotFound {
		t.Errorf("status %d", status)
	}
	var none struct{ Data []object }
	if g.Call(http.MethodGet, "/tenants", nil, &none); len(none.Data) != 0 {
		t.Errorf("%v", none)
	}
}

package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/gatehouse-id/gatehouse/examples/webapp"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/gateway"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/saml"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// The people of the test identity provider. Marie has no groups there: hers
// come over SCIM.
var demoPeople = []idp.Person{
	{ID: "00u1ada", Email: "ada@acme.example", FirstName: "Ada", LastName: "Byron", DisplayName: "Ada Byron", Groups: []string{"engineering", "everyone"}},
	{ID: "00u2grace", Email: "grace@acme.example", FirstName: "Grace", LastName: "Hopper", DisplayName: "Grace Hopper", Groups: []string{"support", "everyone"}},
	{ID: "00u3marie", Email: "marie@acme.example", FirstName: "Marie", LastName: "Skłodowska-Curie", DisplayName: "Marie Skłodowska-Curie"},
	{ID: "00u4hans", Email: "hans@globex.example", FirstName: "Hans", LastName: "Müller", DisplayName: "Hans Müller", Groups: []string{"engineering"}},
}

// newDemoWorld fills the store as a vendor would through the API.
func newDemoWorld(ctx context.Context, a *gateway.Gateway, idpURL, appURL string) (*demoWorld, error) {
	w := &demoWorld{base: a.Main.BaseURL, idpURL: idpURL, appURL: appURL, roles: map[string]string{}}
	const oidcClient, oidcSecret = "gatehouse", "demo-secret-of-the-test-identity-provider"
	var err error
	w.idp, err = idp.New(idp.Config{BaseURL: idpURL, Title: "Test identity provider", People: demoPeople})
	if err != nil {
		return nil, err
	}
	var secret, client string
	vendor := actor.Actor{Environment: a.Main.ID, Kind: actor.Management, Name: "demo"}
	err = a.DB.Tx(ctx, func(q db.Queryer) error {
		app, s, err := a.Tenants.CreateApplication(ctx, vendor, q, tenants.NewApplication{
			Name: "Sample application", Type: tenants.Web,
			ApplicationSettings: tenants.ApplicationSettings{
				RedirectURIs: []string{appURL + "/callback"}, PostLogoutRedirectURIs: []string{appURL + "/"},
				InitiateLoginURI: appURL + "/login", RequirePKCE: true,
			},
		})
		if err != nil {
			return err
		}
		client, secret = app.ID, s
		yes := true
		if _, err := a.Tenants.UpdateApplication(ctx, vendor, q, app.ID, tenants.ApplicationPatch{IsDefault: &yes}); err != nil {
			return err
		}
		if err := w.createRoles(ctx, a, vendor, q); err != nil {
			return err
		}
		if err := w.createAcme(ctx, a, vendor, q, oidcClient, oidcSecret); err != nil {
			return err
		}
		if err := w.createGlobex(ctx, a, vendor, q, oidcClient, oidcSecret); err != nil {
			return err
		}
		_, w.key, err = a.Staff.CreateKey(ctx, actor.Actor{Environment: a.Main.ID, Kind: actor.System, Name: "demo"}, q, staff.NewKey{Environment: a.Main.ID, Name: "demo"})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("demo data: %w", err)
	}
	w.idp.AddClient(idp.Client{ID: oidcClient, Secret: oidcSecret})
	w.app, err = webapp.New(webapp.Config{
		Name: "Sample application", BaseURL: appURL, Issuer: a.Main.BaseURL, ClientID: client, ClientSecret: secret,
		Organizations: [][2]string{{"acme", "Acme Corp"}, {"globex", "Globex GmbH"}},
	})
	return w, err
}

func (w *demoWorld) createRoles(ctx context.Context, a *gateway.Gateway, vendor actor.Actor, q db.Queryer) error {
	for _, r := range []struct {
		key, name   string
		permissions []string
	}{
		{"developer", "Developer", []string{"projects.read", "projects.write"}},
		{"supporter", "Supporter", []string{"tickets.read", "tickets.write"}},
		{"researcher", "Researcher", []string{"papers.read", "papers.publish"}},
	} {
		for _, p := range r.permissions {
			if _, err := a.RBAC.CreatePermission(ctx, vendor, q, rbac.NewPermission{Key: p, Name: p, Category: "Sample application"}); err != nil {
				return err
			}
		}
		role, err := a.RBAC.CreateRole(ctx, vendor, q, rbac.NewRole{Key: r.key, Name: r.name, Level: 10, Permissions: r.permissions})
		if err != nil {
			return err
		}
		w.roles[r.key] = role.ID
	}
	return nil
}

func (w *demoWorld) createAcme(ctx context.Context, a *gateway.Gateway, vendor actor.Actor, q db.Queryer, oidcClient, oidcSecret string) error {
	t, err := a.Tenants.CreateTenant(ctx, vendor, q, tenants.NewTenant{Key: "acme", Name: "Acme Corp"})
	if err != nil {
		return err
	}
	if _, err := a.Tenants.AddDomain(ctx, vendor, q, t.ID, "acme.example", true); err != nil {
		return err
	}
	directory, token, err := a.Tenants.CreateSCIMConnection(ctx, vendor, q, t.ID, tenants.NewSCIMConnection{Name: "Okta", Profile: "okta"})
	if err != nil {
		return err
	}
	w.scimURL, w.scimToken = a.Main.SCIMBaseURL(directory.ID), token
	settings, err := saml.ParseIdPMetadata(w.idp.Metadata(), a.Clock.Now())
	if err != nil {
		return err
	}
	settings.ClockSkew = tenants.DefaultClockSkew
	paired := []string{directory.ID} // two connections: pairing is chosen, not guessed
	if _, err := a.Tenants.CreateSSOConnection(ctx, vendor, q, t.ID, tenants.NewSSOConnection{
		Type: tenants.SAML, Name: "Acme SAML", SAML: &settings, JIT: true, SCIMConnectionIDs: paired, Status: tenants.SSOActive,
	}); err != nil {
		return err
	}
	if _, err := a.Tenants.CreateSSOConnection(ctx, vendor, q, t.ID, tenants.NewSSOConnection{
		Type: tenants.OIDC, Name: "Acme OpenID", JIT: true, SCIMConnectionIDs: paired, Status: tenants.SSOActive,
		OIDC: &tenants.OIDCSettings{Issuer: w.idp.Issuer(), ClientID: oidcClient, Scopes: []string{"openid", "profile", "email", "groups"}}, ClientSecret: oidcSecret,
	}); err != nil {
		return err
	}
	return a.RBAC.PutMappings(ctx, vendor, q, t.ID, []rbac.Mapping{
		{Group: "engineering", RoleIDs: []string{w.roles["developer"]}},
		{Group: "support", RoleIDs: []string{w.roles["supporter"]}},
	})
}

func (w *demoWorld) createGlobex(ctx context.Context, a *gateway.Gateway, vendor actor.Actor, q db.Queryer, oidcClient, oidcSecret string) error {
	t, err := a.Tenants.CreateTenant(ctx, vendor, q, tenants.NewTenant{Key: "globex", Name: "Globex GmbH"})
	if err != nil {
		return err
	}
	if _, err := a.Tenants.AddDomain(ctx, vendor, q, t.ID, "globex.example", true); err != nil {
		return err
	}
	if _, err := a.Tenants.CreateSSOConnection(ctx, vendor, q, t.ID, tenants.NewSSOConnection{
		Type: tenants.OIDC, Name: "Globex OpenID", JIT: true, Status: tenants.SSOActive,
		OIDC: &tenants.OIDCSettings{Issuer: w.idp.Issuer(), ClientID: oidcClient, Scopes: []string{"openid", "profile", "email", "groups"}}, ClientSecret: oidcSecret,
	}); err != nil {
		return err
	}
	return a.RBAC.PutMappings(ctx, vendor, q, t.ID, []rbac.Mapping{{Group: "engineering", RoleIDs: []string{w.roles["developer"]}}})
}

// print says what runs and what to try. The commands work as they stand, in
// one shell.
func (w *demoWorld) print(out io.Writer) {
	text := `Gatehouse demo. Everything is thrown away when it stops (Ctrl-C).

  sample application   {app}
  test identity provider  {idp}
  gateway              {base}   (API description: {base}/api/docs)

1. Log in by SSO.
   Open {app} and sign in to Acme Corp, with "Acme SAML" or "Acme OpenID".
   Be Ada: her group "engineering" at the identity provider gives her the role
   "developer" and its permissions in the tokens that the application shows.

2. Push a person and a group over SCIM, as Okta does. In a shell:

export SCIM={scim} SCIM_TOKEN={token} API={base}/api/v1 KEY={key}

RES=$(curl -sS -X POST "$SCIM/Users" -H "Authorization: Bearer $SCIM_TOKEN" -H 'Content-Type: application/scim+json' -d '{
  "schemas":["urn:ietf:params:scim:schemas:core:2.0:User"], "userName":"marie@acme.example", "externalId":"00u3marie",
  "name":{"givenName":"Marie","familyName":"Skłodowska-Curie"}, "displayName":"Marie Skłodowska-Curie",
  "emails":[{"primary":true,"value":"marie@acme.example","type":"work"}], "locale":"en-US", "groups":[], "password":"1mz050nq", "active":true
}' | sed -n 's/.*"id": *"\(res_[a-z0-9]*\)".*/\1/p'); echo "user $RES"

curl -sS -X POST "$SCIM/Groups" -H "Authorization: Bearer $SCIM_TOKEN" -H 'Content-Type: application/scim+json' -d '{
  "schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName":"Research", "members":[{"value":"'"$RES"'"}] }'; echo

   Map the group to a role (the call sets all mappings, so it repeats the first two):

curl -sS -X PUT "$API/tenants/acme/group-role-mappings" -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' -d '{"mappings":[
  {"group":"engineering","role_ids":["{developer}"]}, {"group":"support","role_ids":["{supporter}"]}, {"group":"Research","role_ids":["{researcher}"]}]}'; echo

   Sign in to the sample application as Marie: the role "researcher" is in the
   token. She is one user, not two:

curl -sS "$API/tenants/acme/users?email=marie@acme.example" -H "Authorization: Bearer $KEY"; echo

3. Deactivate her, as Entra ID does:

curl -sS -X PATCH "$SCIM/Users/$RES" -H "Authorization: Bearer $SCIM_TOKEN" -H 'Content-Type: application/scim+json' -d '{
  "schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations":[{"op":"Replace","path":"active","value":"False"}] }'; echo

   "Refresh the tokens" in the sample application is refused now, and so is a
   new sign-in, with a page that says why.

`
	fmt.Fprint(out, strings.NewReplacer(
		"{app}", w.appURL, "{idp}", w.idpURL, "{base}", w.base, "{scim}", w.scimURL, "{token}", w.scimToken, "{key}", w.key,
		"{developer}", w.roles["developer"], "{supporter}", w.roles["supporter"], "{researcher}", w.roles["researcher"],
	).Replace(text))
}

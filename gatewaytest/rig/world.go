package rig

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"testing"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/saml"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Client is the client that connections of the rig are at every identity
// provider. The characters are those that must be encoded (RFC 6749 §2.3.1).
var Client = idp.Client{ID: "gate:house", Secret: "s%3Ecret +/"}

// IdP serves an identity provider. Keys are ECDSA, which are made at once,
// unless the configuration says otherwise.
func (r *Rig) IdP(c idp.Config) *idp.IdP {
	r.TB.Helper()
	return IdP(r.TB, r.Clock, c)
}

// IdP serves an identity provider with the given clock.
func IdP(t testing.TB, clk clock.Clock, c idp.Config) *idp.IdP {
	t.Helper()
	var i *idp.IdP
	Listen(t, func(base string) http.Handler {
		c.BaseURL, c.Clock = base, clk
		if c.SAMLKey == nil {
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			check(t, err)
			c.SAMLKey = key
		}
		if c.OIDCAlg == "" {
			c.OIDCAlg = "ES256"
		}
		if c.Clients == nil {
			c.Clients = []idp.Client{Client}
		}
		var err error
		i, err = idp.New(c)
		check(t, err)
		return i
	})
	return i
}

// Tenant makes a tenant that holds the domains.
func (r *Rig) Tenant(key string, domains ...string) string {
	r.TB.Helper()
	var tenant string
	r.Tx(func(q db.Queryer) error {
		t, err := r.Tenants.CreateTenant(r.TB.Context(), r.Vendor, q, tenants.NewTenant{Key: key, Name: key})
		tenant = t.ID
		return err
	})
	for _, d := range domains {
		r.Domain(tenant, d)
	}
	return tenant
}

// Domain gives a tenant a verified domain.
func (r *Rig) Domain(tenant, domain string) {
	r.TB.Helper()
	r.Tx(func(q db.Queryer) error {
		_, err := r.Tenants.AddDomain(r.TB.Context(), r.Vendor, q, tenant, domain, true)
		return err
	})
}

// SAMLConnection makes an active SAML connection with just-in-time creation.
func (r *Rig) SAMLConnection(tenant string, i *idp.IdP, change ...func(*tenants.NewSSOConnection)) tenants.SSOConnection {
	r.TB.Helper()
	settings, err := saml.ParseIdPMetadata(i.Metadata(), r.Clock.Now())
	check(r.TB, err)
	settings.ClockSkew = tenants.DefaultClockSkew
	return r.connection(tenant, tenants.NewSSOConnection{Type: tenants.SAML, Name: "SAML", SAML: &settings}, change)
}

// OIDCConnection makes an active OpenID connection with just-in-time creation.
func (r *Rig) OIDCConnection(tenant string, i *idp.IdP, change ...func(*tenants.NewSSOConnection)) tenants.SSOConnection {
	r.TB.Helper()
	return r.connection(tenant, tenants.NewSSOConnection{
		Type: tenants.OIDC, Name: "OpenID", ClientSecret: Client.Secret,
		OIDC: &tenants.OIDCSettings{Issuer: i.Issuer(), ClientID: Client.ID, Scopes: []string{"openid", "profile", "email", "groups"}},
	}, change)
}

func (r *Rig) connection(tenant string, n tenants.NewSSOConnection, change []func(*tenants.NewSSOConnection)) tenants.SSOConnection {
	r.TB.Helper()
	n.JIT, n.Status = true, tenants.SSOActive
	for _, f := range change {
		f(&n)
	}
	var c tenants.SSOConnection
	r.Tx(func(q db.Queryer) error {
		var err error
		c, err = r.Tenants.CreateSSOConnection(r.TB.Context(), r.Vendor, q, tenant, n)
		return err
	})
	return c
}

// Bare makes a connection for tests that bring identities themselves.
func (r *Rig) Bare(tenant string, change ...func(*tenants.NewSSOConnection)) tenants.SSOConnection {
	r.TB.Helper()
	return r.connection(tenant, tenants.NewSSOConnection{
		Type: tenants.OIDC, Name: "SSO", OIDC: &tenants.OIDCSettings{Issuer: "https://idp.example", ClientID: "c"},
	}, change)
}

// SetConnection changes a connection.
func (r *Rig) SetConnection(c tenants.SSOConnection, p tenants.SSOPatch) {
	r.TB.Helper()
	r.Tx(func(q db.Queryer) error {
		_, err := r.Tenants.UpdateSSOConnection(r.TB.Context(), r.Vendor, q, c.Tenant, c.ID, p)
		return err
	})
}

// Suspend suspends a tenant.
func (r *Rig) Suspend(tenant string) {
	r.TB.Helper()
	status := tenants.StatusSuspended
	r.Tx(func(q db.Queryer) error {
		_, err := r.Tenants.UpdateTenant(r.TB.Context(), r.Vendor, q, tenant, tenants.TenantPatch{Status: &status})
		return err
	})
}

// SetPolicy stores a policy of a tenant.
func (r *Rig) SetPolicy(tenant, kind, body string) {
	r.TB.Helper()
	r.Tx(func(q db.Queryer) error {
		_, err := r.Policy.Put(r.TB.Context(), r.Vendor, q, r.Env.ID, tenant, kind, []byte(body))
		return err
	})
}

// Application registers the default application.
func (r *Rig) Application(initiateLoginURI string) {
	r.TB.Helper()
	r.Tx(func(q db.Queryer) error {
		_, _, err := r.Tenants.CreateApplication(r.TB.Context(), r.Vendor, q, tenants.NewApplication{
			Name: "App", Type: tenants.Web, ApplicationSettings: tenants.ApplicationSettings{
				RedirectURIs: []string{"https://app.example/cb"}, InitiateLoginURI: initiateLoginURI,
			},
		})
		return err
	})
}

// SCIMConnection makes a SCIM connection.
func (r *Rig) SCIMConnection(tenant string) string {
	r.TB.Helper()
	var c tenants.SCIMConnection
	r.Tx(func(q db.Queryer) error {
		var err error
		c, _, err = r.Tenants.CreateSCIMConnection(r.TB.Context(), r.Vendor, q, tenant, tenants.NewSCIMConnection{Name: "Directory"})
		return err
	})
	return c.ID
}

// Provisioned is a person whom a directory made.
type Provisioned struct {
	directory.Provisioned
	resource directory.Resource
	profile  directory.Profile
}

// Provision makes a person as SCIM does.
func (r *Rig) Provision(tenant, connection string, p directory.Profile) Provisioned {
	r.TB.Helper()
	ctx := r.TB.Context()
	out := Provisioned{profile: p, resource: directory.Resource{Environment: r.Env.ID, Tenant: tenant, Connection: connection, ID: id.New(id.Resource)}}
	r.Tx(func(q db.Queryer) error {
		search, found := r.Directory.ProvisionSearch(q.Dialect(), out.resource, p)
		if err := q.Batch(ctx, search); err != nil {
			return err
		}
		var stmts []db.Stmt
		var err error
		if out.Provisioned, stmts, err = r.Directory.ProvisionStmts(r.scimActor(out.resource), out.resource, p, found); err != nil {
			return err
		}
		return q.Batch(ctx, stmts)
	})
	return out
}

// Deactivate sets active=false.
func (r *Rig) Deactivate(p Provisioned) {
	r.TB.Helper()
	after := p.profile
	after.Active = false
	stmts, _, err := r.Directory.ChangeStmts(r.scimActor(p.resource), p.resource, r.state(p), p.profile, after, nil)
	check(r.TB, err)
	r.Tx(func(q db.Queryer) error { return q.Batch(r.TB.Context(), stmts) })
}

// Remove deletes the person's resource.
func (r *Rig) Remove(p Provisioned, hard bool) {
	r.TB.Helper()
	stmts, err := r.Directory.RemoveStmts(r.scimActor(p.resource), p.resource, r.state(p), p.profile, hard)
	check(r.TB, err)
	r.Tx(func(q db.Queryer) error { return q.Batch(r.TB.Context(), stmts) })
}

func (r *Rig) state(p Provisioned) directory.SourceState {
	r.TB.Helper()
	m, err := r.Directory.PersonByMembership(r.TB.Context(), r.DB, p.resource.Tenant, p.Membership)
	check(r.TB, err)
	return directory.SourceState{
		Membership: m.Membership.ID, UserID: m.Membership.UserID,
		SCIMResources: m.Membership.SCIMResources, SCIMActive: m.Membership.SCIMActive,
	}
}

func (r *Rig) scimActor(res directory.Resource) actor.Actor {
	return actor.Actor{Environment: res.Environment, Tenant: res.Tenant, Kind: actor.SCIM, Connection: res.Connection}
}

// Logins reads a connection's login log, newest first.
func (r *Rig) Logins(c tenants.SSOConnection) []signin.Login {
	r.TB.Helper()
	list, _, err := r.Signin.Logins(r.TB.Context(), r.DB, c.Tenant, signin.LoginQuery{Connection: c.ID, Limit: 100})
	check(r.TB, err)
	return list
}

// Role makes a system role without permissions and gives its id.
func (r *Rig) Role(key string) string {
	r.TB.Helper()
	var role rbac.Role
	r.Tx(func(q db.Queryer) error {
		var err error
		role, err = r.RBAC.CreateRole(r.TB.Context(), r.Vendor, q, rbac.NewRole{Key: key, Name: key, Level: 10})
		return err
	})
	return role.ID
}

// Strings reads one column of text.
func (r *Rig) Strings(sql string, args ...any) []string {
	r.TB.Helper()
	rows, err := r.DB.Query(r.TB.Context(), sql, args...)
	check(r.TB, err)
	defer rows.Close()
	var list []string
	for rows.Next() {
		var s string
		check(r.TB, rows.Scan(&s))
		list = append(list, s)
	}
	check(r.TB, rows.Err())
	return list
}

// Social makes an active connection of the environment to an OpenID provider.
func (r *Rig) Social(i *idp.IdP, change ...func(*tenants.NewSocial)) tenants.SocialConnection {
	r.TB.Helper()
	n := tenants.NewSocial{
		Kind: tenants.SocialOIDC, Name: "Example ID", Issuer: i.Issuer(), ClientSecret: Client.Secret, Status: tenants.SocialActive,
		SocialSettings: tenants.SocialSettings{ClientID: Client.ID},
	}
	for _, f := range change {
		f(&n)
	}
	var c tenants.SocialConnection
	r.Tx(func(q db.Queryer) error {
		var err error
		c, err = r.Tenants.CreateSocial(r.TB.Context(), r.Vendor, q, n)
		return err
	})
	return c
}

// SetSocial changes a connection of the environment.
func (r *Rig) SetSocial(c tenants.SocialConnection, p tenants.SocialPatch) {
	r.TB.Helper()
	r.Tx(func(q db.Queryer) error {
		_, err := r.Tenants.UpdateSocial(r.TB.Context(), r.Vendor, q, c.ID, p)
		return err
	})
}

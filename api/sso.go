package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

type ssoBody struct {
	ID                     string           `json:"id"`
	Type                   string           `json:"type" enum:"saml,oidc"`
	Name                   string           `json:"name"`
	Status                 string           `json:"status" enum:"draft,tested,active,disabled"`
	JIT                    bool             `json:"jit"`
	AllowUnverifiedDomains bool             `json:"allow_unverified_domains"`
	TrustIdPMFA            bool             `json:"trust_idp_mfa"`
	AttributeMapping       attributeMapping `json:"attribute_mapping"`
	DefaultRoleIDs         []string         `json:"default_role_ids"`
	SCIMConnectionIDs      []string         `json:"scim_connection_ids" doc:"Those chosen; empty while pairing is automatic"`
	Pairing                string           `json:"pairing" enum:"auto,chosen"`
	SAML                   *samlBody        `json:"saml,omitempty"`
	OIDC                   *oidcBody        `json:"oidc,omitempty"`
	LastTestOKAt           *time.Time       `json:"last_test_ok_at"`
	LastLoginAt            *time.Time       `json:"last_login_at"`
	CreatedAt              time.Time        `json:"created_at"`
	UpdatedAt              time.Time        `json:"updated_at"`
}

type samlBody struct {
	EntityID         string  `json:"entity_id" doc:"Ours, for the identity provider: audience"`
	ACSURL           string  `json:"acs_url"`
	MetadataURL      string  `json:"metadata_url"`
	LoginURL         string  `json:"login_url"`
	ClockSkewSeconds int     `json:"clock_skew_seconds"`
	IdP              idpBody `json:"idp"`
}

type idpBody struct {
	EntityID     string            `json:"entity_id"`
	SSOURL       string            `json:"sso_url"`
	Certificates []certificateBody `json:"certificates"`
}

type certificateBody struct {
	SPKI     string    `json:"spki" doc:"Hex SHA-256 of the public key, which is what is trusted"`
	PEM      string    `json:"pem"`
	NotAfter time.Time `json:"not_after" doc:"A passed date is told, not held against it"`
}

type oidcBody struct {
	RedirectURI     string   `json:"redirect_uri"`
	LoginURL        string   `json:"login_url"`
	Issuer          string   `json:"issuer"`
	ClientID        string   `json:"client_id"`
	HasClientSecret bool     `json:"has_client_secret"`
	Scopes          []string `json:"scopes"`
	GroupsClaim     string   `json:"groups_claim"`
}

type attributeMapping struct {
	Email       string `json:"email,omitempty" maxLength:"400"`
	FirstName   string `json:"first_name,omitempty" maxLength:"400"`
	LastName    string `json:"last_name,omitempty" maxLength:"400"`
	DisplayName string `json:"display_name,omitempty" maxLength:"400"`
	Groups      string `json:"groups,omitempty" maxLength:"400"`
}

func showSSO(env tenants.Environment, roles map[string][]string) func(tenants.SSOConnection) ssoBody {
	return func(c tenants.SSOConnection) ssoBody {
		out := ssoBody{
			ID: c.ID, Type: c.Type, Name: c.Name, Status: c.Status, JIT: c.JIT, AllowUnverifiedDomains: c.AllowUnverifiedDomains,
			TrustIdPMFA: c.TrustIdPMFA, AttributeMapping: attributeMapping(c.Mapping), DefaultRoleIDs: roles[c.ID], SCIMConnectionIDs: c.SCIMConnectionIDs,
			Pairing: c.Pairing, LastTestOKAt: optional(c.LastTestOKAt), LastLoginAt: optional(c.LastLoginAt), CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt,
		}
		if out.DefaultRoleIDs == nil {
			out.DefaultRoleIDs = []string{}
		}
		if out.SCIMConnectionIDs == nil {
			out.SCIMConnectionIDs = []string{}
		}
		if c.SAML != nil {
			out.SAML = &samlBody{
				EntityID: env.SAMLEntityID(c.ID), ACSURL: env.SAMLACSURL(c.ID), MetadataURL: env.SAMLMetadataURL(c.ID), LoginURL: env.SAMLLoginURL(c.ID),
				ClockSkewSeconds: int(c.SAML.ClockSkew / time.Second),
				IdP:              idpBody{EntityID: c.SAML.IdPEntityID, SSOURL: c.SAML.SSOURL, Certificates: make([]certificateBody, 0, len(c.SAML.Keys))},
			}
			for _, k := range c.SAML.Keys {
				out.SAML.IdP.Certificates = append(out.SAML.IdP.Certificates, certificateBody{SPKI: k.SPKI, PEM: k.CertificatePEM, NotAfter: k.NotAfter})
			}
		}
		if c.OIDC != nil {
			out.OIDC = &oidcBody{
				RedirectURI: env.OIDCRedirectURL(c.ID), LoginURL: env.OIDCLoginURL(c.ID), Issuer: c.OIDC.Issuer, ClientID: c.OIDC.ClientID,
				HasClientSecret: c.Secret != "", Scopes: c.OIDC.Scopes, GroupsClaim: c.OIDC.GroupsClaim,
			}
		}
		return out
	}
}

// SSOPath names an SSO connection.
type SSOPath struct {
	TenantPath
	Connection string `path:"c" maxLength:"63" doc:"Id of the SSO connection"`
}

// SSOFields are what both POST and PATCH take.
type SSOFields struct {
	IdPMetadataXML         *string           `json:"idp_metadata_xml,omitempty" maxLength:"2097152" doc:"SAML: the identity provider's metadata"`
	IdPMetadataURL         *string           `json:"idp_metadata_url,omitempty" maxLength:"2000" doc:"Not available yet"`
	IdP                    *idpFields        `json:"idp,omitempty" doc:"SAML: the identity provider by hand"`
	AllowIdPInitiated      *bool             `json:"allow_idp_initiated,omitempty" doc:"true is not available yet"`
	SignRequests           *bool             `json:"sign_requests,omitempty" doc:"true is not available yet"`
	WantEncrypted          *bool             `json:"want_encrypted,omitempty" doc:"true is not available yet"`
	ClockSkewSeconds       *int              `json:"clock_skew_seconds,omitempty" minimum:"0" maximum:"300" doc:"SAML: tolerance on times; 120 when left out"`
	Issuer                 *string           `json:"issuer,omitempty" maxLength:"2000" doc:"OIDC"`
	ClientID               *string           `json:"client_id,omitempty" maxLength:"2000" doc:"OIDC"`
	ClientSecret           *string           `json:"client_secret,omitempty" maxLength:"2000" doc:"OIDC; empty removes it"`
	Scopes                 *[]string         `json:"scopes,omitempty" maxItems:"50" doc:"OIDC; openid profile email when left out"`
	GroupsClaim            *string           `json:"groups_claim,omitempty" maxLength:"200" doc:"OIDC; groups when left out"`
	AttributeMapping       *attributeMapping `json:"attribute_mapping,omitempty" doc:"Names of attributes or claims; the usual ones are known"`
	DefaultRoleIDs         *[]string         `json:"default_role_ids,omitempty" maxItems:"100" doc:"Roles of everybody who comes through the connection"`
	TrustIdPMFA            *bool             `json:"trust_idp_mfa,omitempty" doc:"Accept the identity provider's second factor"`
	JIT                    *bool             `json:"jit,omitempty" doc:"Make people at their first login; true when left out"`
	AllowUnverifiedDomains *bool             `json:"allow_unverified_domains,omitempty" doc:"Let JIT make people outside the tenant's verified domains"`
	SCIMConnectionIDs      *[]string         `json:"scim_connection_ids,omitempty" maxItems:"100" doc:"The directories whose people log in here; automatic when left out"`
}

type idpFields struct {
	EntityID     *string   `json:"entity_id,omitempty" maxLength:"1024"`
	SSOURL       *string   `json:"sso_url,omitempty" maxLength:"2000"`
	Certificates *[]string `json:"certificates,omitempty" maxItems:"20" doc:"Signing certificates in PEM"`
}

type createSSO struct {
	TenantPath
	Body struct {
		Type string `json:"type" enum:"saml,oidc"`
		Name string `json:"name" maxLength:"200"`
		SSOFields
		Status string `json:"status,omitempty" enum:"draft,active" doc:"active at creation is for management keys"`
	}
}

type updateSSO struct {
	SSOPath
	Body struct {
		Type *string `json:"type,omitempty" enum:"saml,oidc" doc:"Cannot change"`
		Name *string `json:"name,omitempty" maxLength:"200"`
		SSOFields
		Status *string `json:"status,omitempty" enum:"draft,tested,active,disabled"`
	}
}

// check refuses what a later version serves and what belongs to the other type.
func (f SSOFields) check(connectionType string) error {
	if f.IdPMetadataURL != nil {
		return notSupported("idp_metadata_url")
	}
	for _, x := range []struct {
		field string
		set   *bool
	}{{"allow_idp_initiated", f.AllowIdPInitiated}, {"sign_requests", f.SignRequests}, {"want_encrypted", f.WantEncrypted}} {
		if value(x.set) {
			return notSupported(x.field)
		}
	}
	for _, x := range []struct {
		field, of string
		set       bool
	}{
		{"idp_metadata_xml", tenants.SAML, f.IdPMetadataXML != nil},
		{"idp", tenants.SAML, f.IdP != nil},
		{"clock_skew_seconds", tenants.SAML, f.ClockSkewSeconds != nil},
		{"issuer", tenants.OIDC, f.Issuer != nil},
		{"client_id", tenants.OIDC, f.ClientID != nil},
		{"client_secret", tenants.OIDC, f.ClientSecret != nil},
		{"scopes", tenants.OIDC, f.Scopes != nil},
		{"groups_claim", tenants.OIDC, f.GroupsClaim != nil},
	} {
		if x.set && x.of != connectionType {
			return refused("invalid_field", "This field is for connections of the other type.", x.field)
		}
	}
	if f.IdPMetadataXML != nil && f.IdP != nil {
		return refused("invalid_field", "Give the metadata or the values, not both.", "idp")
	}
	return nil
}

// saml makes the settings of a SAML connection, beginning from those it has. nil:
// nothing changes.
func (h *Handler) saml(f SSOFields, current *tenants.SAMLSettings) (*tenants.SAMLSettings, error) {
	if f.IdPMetadataXML == nil && f.IdP == nil && f.ClockSkewSeconds == nil {
		return nil, nil
	}
	out := tenants.SAMLSettings{ClockSkew: tenants.DefaultClockSkew}
	if current != nil {
		out = *current
	}
	if f.IdPMetadataXML != nil {
		parsed, err := h.ParseIdPMetadata([]byte(*f.IdPMetadataXML))
		if err != nil {
			return nil, err
		}
		parsed.ClockSkew = out.ClockSkew
		out = parsed
	}
	if f.IdP != nil {
		if f.IdP.EntityID != nil {
			out.IdPEntityID = *f.IdP.EntityID
		}
		if f.IdP.SSOURL != nil {
			out.SSOURL, out.SSOBinding = *f.IdP.SSOURL, tenants.BindingRedirect
		}
		if f.IdP.Certificates != nil {
			out.Keys = nil
			for _, text := range *f.IdP.Certificates {
				k, err := tenants.ParseIdPKey(text)
				if err != nil {
					return nil, err
				}
				out.Keys = append(out.Keys, k)
			}
		}
	}
	if f.ClockSkewSeconds != nil {
		out.ClockSkew = time.Duration(*f.ClockSkewSeconds) * time.Second
	}
	return &out, nil
}

func (f SSOFields) oidc(current *tenants.OIDCSettings) *tenants.OIDCSettings {
	if f.Issuer == nil && f.ClientID == nil && f.Scopes == nil && f.GroupsClaim == nil {
		return nil
	}
	var out tenants.OIDCSettings
	if current != nil {
		out = *current
	}
	set(&out.Issuer, f.Issuer)
	set(&out.ClientID, f.ClientID)
	set(&out.Scopes, f.Scopes)
	set(&out.GroupsClaim, f.GroupsClaim)
	return &out
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

type ssoPolicy struct {
	Enforced       bool     `json:"enforced" doc:"Whether people must come through the tenant's connections"`
	ExcludedEmails []string `json:"excluded_emails" required:"false" maxItems:"1000" doc:"Who may come without; they need a second factor"`
}

type mappings struct {
	Mappings []mapping `json:"mappings" maxItems:"2000"`
}

type mapping struct {
	Group        string   `json:"group" maxLength:"1024" doc:"The name, exactly as the identity provider sends it"`
	ConnectionID string   `json:"connection_id,omitempty" maxLength:"63" doc:"Only from this connection; from any when left out"`
	RoleIDs      []string `json:"role_ids" minItems:"1" maxItems:"100"`
}

type putMappings struct {
	TenantPath
	Body mappings
}

type loginBody struct {
	ID      string      `json:"id"`
	At      time.Time   `json:"at"`
	Outcome string      `json:"outcome" enum:"success,failure,denied"`
	Code    string      `json:"code" doc:"Why it did not succeed"`
	FlowID  *string     `json:"flow_id"`
	Subject string      `json:"subject"`
	Email   string      `json:"email"`
	IP      string      `json:"ip"`
	Checks  []checkBody `json:"checks" doc:"What was checked, in order"`
}

type checkBody struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Expected string `json:"expected"`
	Actual   string `json:"actual"`
}

func showLogin(l signin.Login) loginBody {
	out := loginBody{
		ID: l.ID, At: l.At, Outcome: l.Outcome, Code: l.Code, FlowID: optionalText(l.FlowID), Subject: l.Subject, Email: l.Email, IP: l.IP,
		Checks: make([]checkBody, 0, len(l.Checks)),
	}
	for _, c := range l.Checks {
		out.Checks = append(out.Checks, checkBody{Name: c.Name, OK: c.OK, Expected: c.Expected, Actual: c.Actual})
	}
	return out
}

type listLogins struct {
	SSOPath
	PageQuery
}

func (h *Handler) registerSSO() {
	const (
		base      = "/tenants/{t}/sso-connections"
		one       = base + "/{c}"
		canRead   = "fe.secure.read.samlConfiguration"
		canWrite  = "fe.secure.write.samlConfiguration"
		canDelete = "fe.secure.delete.samlConfiguration"
		metadata  = 3 << 20 // escaped XML
	)
	write(h, route{method: http.MethodPost, path: base, id: "createSSOConnection", summary: "Connect an identity provider by SAML or OIDC", permission: canWrite, status: http.StatusCreated, maxBody: metadata},
		func(ctx context.Context, s scope, q db.Queryer, in *createSSO) (out ssoBody, err error) {
			f := in.Body.SSOFields
			if err := f.check(in.Body.Type); err != nil {
				return out, err
			}
			n := tenants.NewSSOConnection{
				Type: in.Body.Type, Name: in.Body.Name, Status: in.Body.Status, Mapping: tenants.AttributeMapping(value(f.AttributeMapping)),
				JIT: f.JIT == nil || *f.JIT, AllowUnverifiedDomains: value(f.AllowUnverifiedDomains), TrustIdPMFA: value(f.TrustIdPMFA),
				ClientSecret: value(f.ClientSecret), OIDC: f.oidc(nil),
			}
			if f.SCIMConnectionIDs != nil {
				n.SCIMConnectionIDs = append([]string{}, *f.SCIMConnectionIDs...)
			}
			if n.SAML, err = h.saml(f, nil); err != nil {
				return out, err
			}
			if n.SAML == nil && n.Type == tenants.SAML {
				return out, refused("idp_required", "Give idp_metadata_xml or idp.", "idp")
			}
			if n.OIDC == nil && n.Type == tenants.OIDC {
				return out, refused("issuer_required", "Give issuer and client_id.", "issuer")
			}
			c, err := h.Tenants.CreateSSOConnection(ctx, s.actor, q, s.tenant.ID, n)
			if err != nil {
				return out, err
			}
			return h.withRoles(ctx, s, q, c, f.DefaultRoleIDs)
		})
	read(h, route{method: http.MethodGet, path: base, id: "listSSOConnections", summary: "List a tenant's SSO connections", permission: canRead},
		func(ctx context.Context, s scope, q db.Queryer, _ *TenantPath) (out list[ssoBody], err error) {
			found, err := h.Tenants.SSOConnections(ctx, q, s.tenant.ID)
			if err != nil {
				return out, err
			}
			roles, err := h.RBAC.ConnectionRoles(ctx, q, s.tenant.ID)
			return whole(found, showSSO(s.environment, roles)), err
		})
	read(h, route{method: http.MethodGet, path: one, id: "getSSOConnection", summary: "Show an SSO connection", permission: canRead},
		func(ctx context.Context, s scope, q db.Queryer, in *SSOPath) (out ssoBody, err error) {
			c, err := h.Tenants.SSOConnection(ctx, q, s.tenant.ID, in.Connection)
			if err != nil {
				return out, err
			}
			return h.withRoles(ctx, s, q, c, nil)
		})
	write(h, route{method: http.MethodPatch, path: one, id: "updateSSOConnection", summary: "Change an SSO connection; disabling ends its sessions", permission: canWrite, maxBody: metadata},
		func(ctx context.Context, s scope, q db.Queryer, in *updateSSO) (out ssoBody, err error) {
			current, err := h.Tenants.SSOConnection(ctx, q, s.tenant.ID, in.Connection)
			if err != nil {
				return out, err
			}
			f := in.Body.SSOFields
			if in.Body.Type != nil && *in.Body.Type != current.Type {
				return out, refused("invalid_field", "The type of a connection cannot change.", "type")
			}
			if err := f.check(current.Type); err != nil {
				return out, err
			}
			p := tenants.SSOPatch{
				Name: in.Body.Name, Status: in.Body.Status, ClientSecret: f.ClientSecret, JIT: f.JIT, AllowUnverifiedDomains: f.AllowUnverifiedDomains,
				TrustIdPMFA: f.TrustIdPMFA, SCIMConnectionIDs: f.SCIMConnectionIDs, OIDC: f.oidc(current.OIDC),
			}
			if f.AttributeMapping != nil {
				m := tenants.AttributeMapping(*f.AttributeMapping)
				p.Mapping = &m
			}
			if p.SAML, err = h.saml(f, current.SAML); err != nil {
				return out, err
			}
			c, err := h.Tenants.UpdateSSOConnection(ctx, s.actor, q, s.tenant.ID, in.Connection, p)
			if err != nil {
				return out, err
			}
			return h.withRoles(ctx, s, q, c, f.DefaultRoleIDs)
		})
	remove(h, route{method: http.MethodDelete, path: one, id: "deleteSSOConnection", summary: "Delete an SSO connection; ends its sessions", permission: canDelete},
		func(ctx context.Context, s scope, q db.Queryer, in *SSOPath) error {
			if err := h.Tenants.DeleteSSOConnection(ctx, s.actor, q, s.tenant.ID, in.Connection); err != nil {
				return err
			}
			return q.Batch(ctx, h.RBAC.DeleteConnectionStmts(s.tenant.ID, in.Connection))
		})
	read(h, route{method: http.MethodGet, path: one + "/logins", id: "listLogins", summary: "Show the logins through a connection with their checks, newest first", permission: canRead},
		func(ctx context.Context, s scope, q db.Queryer, in *listLogins) (out list[loginBody], err error) {
			if _, err := h.Tenants.SSOConnection(ctx, q, s.tenant.ID, in.Connection); err != nil {
				return out, err
			}
			name := "logins " + in.Connection
			after, err := h.position(s, name, in.Cursor)
			if err != nil {
				return out, err
			}
			found, next, err := h.Signin.Logins(ctx, q, s.tenant.ID, in.Connection, after, in.Limit)
			return paged(found, showLogin, h.cursor(s, name, next)), err
		})
	write(h, route{method: http.MethodPut, path: "/tenants/{t}/group-role-mappings", id: "putGroupRoleMappings", summary: "Replace the roles that names of groups carry", permission: canWrite},
		func(ctx context.Context, s scope, q db.Queryer, in *putMappings) (mappings, error) {
			list := make([]rbac.Mapping, 0, len(in.Body.Mappings))
			for _, m := range in.Body.Mappings {
				list = append(list, rbac.Mapping{Group: m.Group, ConnectionID: m.ConnectionID, RoleIDs: m.RoleIDs})
			}
			if err := h.RBAC.PutMappings(ctx, s.actor, q, s.tenant.ID, list); err != nil {
				return mappings{}, err
			}
			return h.mappings(ctx, s, q)
		})
	read(h, route{method: http.MethodGet, path: "/tenants/{t}/group-role-mappings", id: "getGroupRoleMappings", summary: "Show the roles that names of groups carry", permission: canRead},
		func(ctx context.Context, s scope, q db.Queryer, _ *TenantPath) (mappings, error) {
			return h.mappings(ctx, s, q)
		})
}

// withRoles shows a connection, after replacing its default roles when some are given.
func (h *Handler) withRoles(ctx context.Context, s scope, q db.Queryer, c tenants.SSOConnection, roleIDs *[]string) (ssoBody, error) {
	if roleIDs != nil {
		if err := h.RBAC.SetConnectionRoles(ctx, s.actor, q, s.tenant.ID, c.ID, *roleIDs); err != nil {
			return ssoBody{}, err
		}
	}
	roles, err := h.RBAC.ConnectionRoles(ctx, q, s.tenant.ID)
	return showSSO(s.environment, roles)(c), err
}

func (h *Handler) mappings(ctx context.Context, s scope, q db.Queryer) (mappings, error) {
	found, err := h.RBAC.Mappings(ctx, q, s.tenant.ID)
	out := mappings{Mappings: make([]mapping, 0, len(found))}
	for _, m := range found {
		out.Mappings = append(out.Mappings, mapping{Group: m.Group, ConnectionID: m.ConnectionID, RoleIDs: m.RoleIDs})
	}
	return out, err
}

package api

import (
	"context"
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// SSOPath names an SSO connection.
type SSOPath struct {
	TenantPath
	Connection string `path:"c" maxLength:"63" doc:"Id of the SSO connection"`
}

type createSSO struct {
	TenantPath
	Body struct {
		Type string `json:"type" enum:"saml,oidc"`
		Name string `json:"name" maxLength:"200"`
		SSOFields
		Status string `json:"status,omitempty" enum:"draft,active" doc:"active at creation is for management keys; draft lets a connection begin without its identity provider"`
	}
}

type updateSSO struct {
	SSOPath
	Body struct {
		Type *string `json:"type,omitempty" enum:"saml,oidc" doc:"Cannot change"`
		Name *string `json:"name,omitempty" maxLength:"200"`
		SSOFields
		Status *string `json:"status,omitempty" enum:"draft,tested,active,disabled" doc:"active needs a test login, but from management keys; draft and tested are reached by what happens"`
	}
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

type previewMappings struct {
	TenantPath
	Body struct {
		Groups       []string `json:"groups" maxItems:"2000" doc:"Names as the identity provider sends them"`
		ConnectionID string   `json:"connection_id,omitempty" maxLength:"63" doc:"The connection that they come through, whose default roles then count"`
	}
}

const (
	ssoBase   = "/tenants/{t}/sso-connections"
	ssoOne    = ssoBase + "/{c}"
	ssoRead   = "fe.secure.read.samlConfiguration"
	ssoWrite  = "fe.secure.write.samlConfiguration"
	ssoDelete = "fe.secure.delete.samlConfiguration"
	// ssoMaxBody leaves room for metadata of 2 MiB as escaped JSON.
	ssoMaxBody = 3 << 20
)

func (h *Handler) registerSSO() {
	read(h, route{method: http.MethodPost, path: ssoBase, id: "createSSOConnection", summary: "Connect an identity provider by SAML or OIDC", permission: ssoWrite, status: http.StatusCreated, maxBody: ssoMaxBody}, h.createSSO)
	read(h, route{method: http.MethodGet, path: ssoBase, id: "listSSOConnections", summary: "List a tenant's SSO connections, without their metadata, pending and own keys", permission: ssoRead},
		func(ctx context.Context, s scope, q db.Queryer, _ *TenantPath) (out list[ssoBody], err error) {
			found, err := h.Tenants.SSOConnections(ctx, q, s.tenant.ID)
			if err != nil {
				return out, err
			}
			roles, err := h.RBAC.ConnectionRoles(ctx, q, s.tenant.ID)
			return whole(found, showSSO(s.environment, roles)), err
		})
	read(h, route{method: http.MethodGet, path: ssoOne, id: "getSSOConnection", summary: "Show an SSO connection", permission: ssoRead},
		func(ctx context.Context, s scope, q db.Queryer, in *SSOPath) (out ssoBody, err error) {
			c, err := h.Tenants.SSOConnection(ctx, q, s.tenant.ID, in.Connection)
			if err != nil {
				return out, err
			}
			return h.showWhole(ctx, s, q, c, nil)
		})
	read(h, route{method: http.MethodPatch, path: ssoOne, id: "updateSSOConnection", summary: "Change an SSO connection; disabling ends its sessions", permission: ssoWrite, maxBody: ssoMaxBody}, h.updateSSO)
	remove(h, route{method: http.MethodDelete, path: ssoOne, id: "deleteSSOConnection", summary: "Delete an SSO connection; ends its sessions", permission: ssoDelete},
		func(ctx context.Context, s scope, q db.Queryer, in *SSOPath) error {
			if err := h.Tenants.HoldSSOConnection(ctx, q, s.tenant.ID, in.Connection); err != nil {
				return err
			}
			c, err := h.Tenants.SSOConnection(ctx, q, s.tenant.ID, in.Connection)
			if err != nil {
				return err
			}
			if err := s.match(c.Version); err != nil {
				return err
			}
			if err := h.Tenants.DeleteSSOConnection(ctx, s.actor, q, s.tenant.ID, in.Connection); err != nil {
				return err
			}
			if err := q.Batch(ctx, h.RBAC.DeleteConnectionStmts(s.tenant.ID, in.Connection)); err != nil {
				return err
			}
			return h.Signin.KeepsEnforced(ctx, q, s.environment, s.tenant.ID)
		})
	h.registerSSOKeys()
	h.registerLogins()
	write(h, route{method: http.MethodPut, path: "/tenants/{t}/group-role-mappings", id: "putGroupRoleMappings", summary: "Replace the roles that names of groups carry", permission: ssoWrite},
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
	read(h, route{method: http.MethodGet, path: "/tenants/{t}/group-role-mappings", id: "getGroupRoleMappings", summary: "Show the roles that names of groups carry", permission: ssoRead},
		func(ctx context.Context, s scope, q db.Queryer, _ *TenantPath) (mappings, error) {
			return h.mappings(ctx, s, q)
		})
	read(h, route{method: http.MethodPost, path: "/tenants/{t}/group-role-mappings:preview", id: "previewGroupRoleMappings", summary: "Show what somebody new in these groups would get: default, connection's and mapped roles", permission: ssoRead, unkept: true},
		func(ctx context.Context, s scope, q db.Queryer, in *previewMappings) (out effectiveBody, err error) {
			if in.Body.ConnectionID != "" {
				if err := h.RBAC.CheckConnection(ctx, q, s.tenant.ID, in.Body.ConnectionID); err != nil {
					return out, err
				}
			}
			e, err := h.RBAC.Preview(ctx, q, rbac.Preview{Environment: s.environment.ID, Tenant: s.tenant.ID, Connection: in.Body.ConnectionID, Groups: in.Body.Groups})
			return showEffective(e), err
		})
}

// createSSO asks for metadata before its transaction begins: the network has no
// place in one.
func (h *Handler) createSSO(ctx context.Context, s scope, _ db.Queryer, in *createSSO) (out ssoBody, err error) {
	f := in.Body.SSOFields
	if err := f.check(in.Body.Type); err != nil {
		return out, err
	}
	found, err := h.fetch(ctx, f)
	if err != nil {
		return out, err
	}
	n := tenants.NewSSOConnection{
		Type: in.Body.Type, Name: in.Body.Name, Status: in.Body.Status, Mapping: tenants.AttributeMapping(value(f.AttributeMapping)),
		JIT: f.JIT == nil || *f.JIT, AllowUnverifiedDomains: value(f.AllowUnverifiedDomains), TrustIdPMFA: value(f.TrustIdPMFA),
		ClientSecret: value(f.secret()), OIDC: f.oidc(nil),
	}
	if f.SCIMConnectionIDs != nil {
		n.SCIMConnectionIDs = append([]string{}, *f.SCIMConnectionIDs...)
	}
	if n.SAML, err = h.saml(f, nil, found); err != nil {
		return out, err
	}
	// A draft that says so may begin without the provider, whose console may ask for
	// our addresses first.
	blank := n.Status == tenants.SSODraft
	switch {
	case blank && n.Type == tenants.SAML && n.SAML == nil:
		n.SAML = &tenants.SAMLSettings{ClockSkew: tenants.DefaultClockSkew}
	case blank && n.Type == tenants.OIDC && n.OIDC == nil:
		n.OIDC = &tenants.OIDCSettings{}
	case blank:
	case n.Type == tenants.SAML && f.IdPMetadataXML == nil && f.IdP == nil && !found.fetched():
		return out, refused("idp_required", "Give idp_metadata_url, idp_metadata_xml or idp, or begin with the status draft.", "idp")
	case n.Type == tenants.OIDC && (f.Issuer == nil || f.ClientID == nil):
		return out, refused("issuer_required", "Give issuer and client_id, or begin with the status draft.", "issuer")
	}
	if (tenants.SSOConnection{SAML: n.SAML, OIDC: n.OIDC}).NeedsKey() {
		if err := h.Tenants.ReadySPKey(); err != nil {
			return out, err
		}
	}
	return commit(ctx, h, s, func(q db.Queryer) (out ssoBody, err error) {
		c, err := h.Tenants.CreateSSOConnection(ctx, s.actor, q, s.tenant.ID, n)
		if err != nil {
			return out, err
		}
		if err := h.follow(ctx, s, q, c, f, found); err != nil {
			return out, err
		}
		return h.showWhole(ctx, s, q, c, f.DefaultRoleIDs)
	})
}

func (h *Handler) updateSSO(ctx context.Context, s scope, q db.Queryer, in *updateSSO) (out ssoBody, err error) {
	f := in.Body.SSOFields
	before, err := h.Tenants.SSOConnection(ctx, q, s.tenant.ID, in.Connection)
	if err != nil {
		return out, err
	}
	if in.Body.Type != nil && *in.Body.Type != before.Type {
		return out, refused("invalid_field", "The type of a connection cannot change.", "type")
	}
	if err := f.check(before.Type); err != nil {
		return out, err
	}
	found, err := h.fetch(ctx, f)
	if err != nil {
		return out, err
	}
	if !before.NeedsKey() && f.mayNeedKey() {
		if err := h.Tenants.ReadySPKey(); err != nil {
			return out, err
		}
	}
	err = h.DB.Tx(ctx, func(q db.Queryer) error {
		// A refresh of metadata that came between would have its keys undone.
		if err := h.Tenants.HoldSSOConnection(ctx, q, s.tenant.ID, in.Connection); err != nil {
			return err
		}
		current, err := h.Tenants.SSOConnection(ctx, q, s.tenant.ID, in.Connection)
		if err != nil {
			return err
		}
		if err := s.match(current.Version); err != nil {
			return err
		}
		p := tenants.SSOPatch{
			Name: in.Body.Name, Status: in.Body.Status, ClientSecret: f.secret(), JIT: f.JIT, AllowUnverifiedDomains: f.AllowUnverifiedDomains,
			TrustIdPMFA: f.TrustIdPMFA, SCIMConnectionIDs: f.SCIMConnectionIDs, OIDC: f.oidc(current.OIDC),
		}
		if f.AttributeMapping != nil {
			m := tenants.AttributeMapping(*f.AttributeMapping)
			p.Mapping = &m
		}
		if p.SAML, err = h.saml(f, current.SAML, found); err != nil {
			return err
		}
		c, err := h.Tenants.UpdateSSOConnection(ctx, s.actor, q, s.tenant.ID, in.Connection, p)
		if err != nil {
			return err
		}
		if current.Status == tenants.SSOActive && c.Status != tenants.SSOActive {
			err := h.Signin.KeepsEnforced(ctx, q, s.environment, s.tenant.ID)
			if f, ok := fault.From(err); ok {
				return f.In("status")
			}
			if err != nil {
				return err
			}
		}
		if err := h.follow(ctx, s, q, c, f, found); err != nil {
			return err
		}
		if f.IdPMetadataURL != nil { // which may have brought keys
			if c, err = h.Tenants.SSOConnection(ctx, q, s.tenant.ID, in.Connection); err != nil {
				return err
			}
		}
		out, err = h.showWhole(ctx, s, q, c, f.DefaultRoleIDs)
		return err
	})
	return out, err
}

// follow has the connection follow the metadata at its address from now on, and
// takes over what was read there.
func (h *Handler) follow(ctx context.Context, s scope, q db.Queryer, c tenants.SSOConnection, f SSOFields, found fetched) error {
	if f.IdPMetadataURL == nil {
		return nil
	}
	if err := h.Tenants.SetMetadataURL(ctx, s.actor, q, s.tenant.ID, c.ID, *f.IdPMetadataURL); err != nil || !found.fetched() {
		return err
	}
	_, err := h.Tenants.ApplyMetadata(ctx, s.actor, q, s.tenant.ID, c.ID, tenants.MetadataDocument{URL: found.url, ETag: found.etag, Settings: found.settings})
	return err
}

func (h *Handler) mappings(ctx context.Context, s scope, q db.Queryer) (mappings, error) {
	found, err := h.RBAC.Mappings(ctx, q, s.tenant.ID)
	out := mappings{Mappings: make([]mapping, 0, len(found))}
	for _, m := range found {
		out.Mappings = append(out.Mappings, mapping{Group: m.Group, ConnectionID: m.ConnectionID, RoleIDs: m.RoleIDs})
	}
	return out, err
}

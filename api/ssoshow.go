package api

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/tenants"
)

type ssoBody struct {
	ID                     string           `json:"id"`
	Type                   string           `json:"type" enum:"saml,oidc"`
	Name                   string           `json:"name"`
	Status                 string           `json:"status" enum:"draft,tested,active,disabled"`
	IdPKind                string           `json:"idp_kind" doc:"What identity provider it leads to, where that is known; see /sso-presets"`
	JIT                    bool             `json:"jit"`
	AllowUnverifiedDomains bool             `json:"allow_unverified_domains"`
	TrustIdPMFA            bool             `json:"trust_idp_mfa"`
	AttributeMapping       attributeMapping `json:"attribute_mapping"`
	DefaultRoleIDs         []string         `json:"default_role_ids"`
	SCIMConnectionIDs      []string         `json:"scim_connection_ids" doc:"Those chosen; empty while pairing is automatic"`
	Pairing                string           `json:"pairing" enum:"auto,chosen"`
	SAML                   *samlBody        `json:"saml,omitempty"`
	OIDC                   *oidcBody        `json:"oidc,omitempty"`
	RevocationURL          string           `json:"revocation_url" doc:"Takes Global Token Revocation requests"`
	RevocationIssuer       string           `json:"revocation_issuer"`
	SPKeys                 []spKeyBody      `json:"sp_keys" doc:"Our keys at the connection"`
	LastTestOKAt           *time.Time       `json:"last_test_ok_at"`
	LastLoginAt            *time.Time       `json:"last_login_at"`
	CreatedAt              time.Time        `json:"created_at"`
	UpdatedAt              time.Time        `json:"updated_at"`

	version int64
}

func (b ssoBody) etag() string { return versionTag(b.version) }

type samlBody struct {
	EntityID           string        `json:"entity_id" doc:"Ours, for the identity provider: audience"`
	ACSURL             string        `json:"acs_url"`
	MetadataURL        string        `json:"metadata_url"`
	LoginURL           string        `json:"login_url"`
	SLOURL             string        `json:"slo_url" doc:"Ours, which takes logout messages; the identity provider's is idp.slo_url"`
	ClockSkewSeconds   int           `json:"clock_skew_seconds"`
	AllowIdPInitiated  bool          `json:"allow_idp_initiated"`
	SignRequests       bool          `json:"sign_requests"`
	WantEncrypted      bool          `json:"want_encrypted"`
	RefuseCBC          bool          `json:"refuse_cbc"`
	AllowInclusiveC14N bool          `json:"allow_inclusive_c14n"`
	AllowSHA1Until     *time.Time    `json:"allow_sha1_until"`
	ForceAuthn         bool          `json:"force_authn"`
	AuthnContexts      []string      `json:"authn_contexts"`
	NameIDFormat       string        `json:"name_id_format"`
	MaxResponseBytes   int64         `json:"max_response_bytes"`
	GraphTenantID      string        `json:"graph_tenant_id"`
	GraphClientID      string        `json:"graph_client_id"`
	HasGraphSecret     bool          `json:"has_graph_client_secret"`
	IdP                idpBody       `json:"idp"`
	Metadata           *metadataBody `json:"metadata,omitempty" doc:"What is known of the identity provider's metadata at its address; absent without one"`
}

type idpBody struct {
	EntityID       string            `json:"entity_id"`
	SSOURL         string            `json:"sso_url"`
	SSOBinding     string            `json:"sso_binding" enum:"redirect,post"`
	SLOURL         string            `json:"slo_url"`
	SLOResponseURL string            `json:"slo_response_url"`
	SLOBinding     string            `json:"slo_binding" enum:",redirect,post"`
	Certificates   []certificateBody `json:"certificates"`
}

type certificateBody struct {
	SPKI     string    `json:"spki" doc:"Hex SHA-256 of the public key, which is what is trusted"`
	PEM      string    `json:"pem"`
	NotAfter time.Time `json:"not_after" doc:"A passed date is told, not held against it"`
	Status   string    `json:"status" enum:"trusted,pending" doc:"pending: waits for approval"`
	Source   string    `json:"source" enum:",manual,metadata"`
}

type metadataBody struct {
	URL         string     `json:"url"`
	TrustedHost string     `json:"trusted_host" doc:"Host whose metadata brings keys into use by itself"`
	FetchedAt   *time.Time `json:"fetched_at" doc:"When it last answered well"`
	TriedAt     *time.Time `json:"tried_at"`
	NextAt      *time.Time `json:"next_at"`
	Failures    int64      `json:"failures"`
	Error       string     `json:"error" doc:"Code of the last failure; empty: it went well"`
}

type spKeyBody struct {
	ID          string     `json:"id"`
	State       string     `json:"state" enum:"next,active,retired" doc:"next is published and not used yet; retired still decrypts"`
	Certificate string     `json:"certificate" doc:"PEM"`
	NotAfter    time.Time  `json:"not_after"`
	CreatedAt   time.Time  `json:"created_at"`
	ActivatedAt *time.Time `json:"activated_at"`
	RetiredAt   *time.Time `json:"retired_at"`
}

type oidcBody struct {
	RedirectURI             string   `json:"redirect_uri"`
	LoginURL                string   `json:"login_url"`
	JWKSURL                 string   `json:"jwks_url" doc:"Our public keys, for private_key_jwt"`
	BackchannelLogoutURL    string   `json:"backchannel_logout_url" doc:"Takes logout tokens"`
	Issuer                  string   `json:"issuer"`
	ClientID                string   `json:"client_id"`
	HasClientSecret         bool     `json:"has_client_secret"`
	TokenEndpointAuthMethod string   `json:"token_endpoint_auth_method"`
	ResponseMode            string   `json:"response_mode" enum:"query,form_post"`
	Scopes                  []string `json:"scopes"`
	GroupsClaim             string   `json:"groups_claim"`
	ACRValues               []string `json:"acr_values"`
	HostedDomains           []string `json:"hosted_domains"`
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
			ID: c.ID, Type: c.Type, Name: c.Name, Status: c.Status, IdPKind: tenants.IdPKind(c), JIT: c.JIT, AllowUnverifiedDomains: c.AllowUnverifiedDomains,
			TrustIdPMFA: c.TrustIdPMFA, AttributeMapping: attributeMapping(c.Mapping), DefaultRoleIDs: texts(roles[c.ID]), SCIMConnectionIDs: texts(c.SCIMConnectionIDs),
			Pairing: c.Pairing, RevocationURL: env.RevocationURL(c.ID), SPKeys: []spKeyBody{},
			LastTestOKAt: optional(c.LastTestOKAt), LastLoginAt: optional(c.LastLoginAt), CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt,
			version: c.Version,
		}
		if s := c.SAML; s != nil {
			out.RevocationIssuer = s.RevocationIssuer
			out.SAML = &samlBody{
				EntityID: env.SAMLEntityID(c.ID), ACSURL: env.SAMLACSURL(c.ID), MetadataURL: env.SAMLMetadataURL(c.ID), LoginURL: env.SAMLLoginURL(c.ID), SLOURL: env.SAMLSLOURL(c.ID),
				ClockSkewSeconds: int(s.ClockSkew / time.Second), AllowIdPInitiated: s.AllowIdPInitiated, SignRequests: s.SignRequests, WantEncrypted: s.WantEncrypted,
				RefuseCBC: s.RefuseCBC, AllowInclusiveC14N: s.AllowInclusiveC14N, AllowSHA1Until: optional(s.AllowSHA1Until), ForceAuthn: s.ForceAuthn,
				AuthnContexts: texts(s.AuthnContexts), NameIDFormat: s.NameIDFormat, MaxResponseBytes: s.MaxResponseBytes,
				GraphTenantID: s.GraphTenant, GraphClientID: s.GraphClient, HasGraphSecret: c.Secret != "",
				IdP: idpBody{
					EntityID: s.IdPEntityID, SSOURL: s.SSOURL, SSOBinding: bindingNames[s.SSOBinding], SLOURL: s.SLOURL, SLOResponseURL: s.SLOResponseURL,
					SLOBinding: bindingNames[s.SLOBinding], Certificates: make([]certificateBody, 0, len(s.Keys)),
				},
			}
			for _, k := range s.Keys {
				out.SAML.IdP.Certificates = append(out.SAML.IdP.Certificates, certificateBody{SPKI: k.SPKI, PEM: k.CertificatePEM, NotAfter: k.NotAfter, Status: tenants.KeyTrusted})
			}
		}
		if o := c.OIDC; o != nil {
			out.RevocationIssuer = o.RevocationIssuer
			out.OIDC = &oidcBody{
				RedirectURI: env.OIDCRedirectURL(c.ID), LoginURL: env.OIDCLoginURL(c.ID), JWKSURL: env.OIDCJWKSURL(c.ID), BackchannelLogoutURL: env.OIDCBackchannelLogoutURL(c.ID),
				Issuer: o.Issuer, ClientID: o.ClientID, HasClientSecret: c.Secret != "", TokenEndpointAuthMethod: o.AuthMethod, ResponseMode: "query",
				Scopes: texts(o.Scopes), GroupsClaim: o.GroupsClaim, ACRValues: texts(o.ACRValues), HostedDomains: texts(o.HostedDomains),
			}
			if o.FormPost {
				out.OIDC.ResponseMode = "form_post"
			}
		}
		return out
	}
}

// texts is a list that is never null.
func texts(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// showWhole shows a connection with everything about it, after replacing its
// default roles when some are given.
func (h *Handler) showWhole(ctx context.Context, s scope, q db.Queryer, c tenants.SSOConnection, roleIDs *[]string) (ssoBody, error) {
	if roleIDs != nil {
		if err := h.RBAC.SetConnectionRoles(ctx, s.actor, q, s.tenant.ID, c.ID, *roleIDs); err != nil {
			return ssoBody{}, err
		}
	}
	roles, err := h.RBAC.ConnectionRoles(ctx, q, s.tenant.ID)
	if err != nil {
		return ssoBody{}, err
	}
	out := showSSO(s.environment, roles)(c)
	own, err := h.Tenants.SPKeys(ctx, q, s.tenant.ID, c.ID)
	if err != nil {
		return out, err
	}
	for _, k := range own {
		out.SPKeys = append(out.SPKeys, showSPKey(k))
	}
	if out.SAML == nil {
		return out, nil
	}
	keys, err := h.Tenants.IdPKeys(ctx, q, s.tenant.ID, c.ID)
	if err != nil {
		return out, err
	}
	out.SAML.IdP.Certificates = make([]certificateBody, 0, len(keys))
	for _, k := range keys {
		out.SAML.IdP.Certificates = append(out.SAML.IdP.Certificates, certificateBody{SPKI: k.SPKI, PEM: k.CertificatePEM, NotAfter: k.NotAfter, Status: k.Status, Source: k.Source})
	}
	m, err := h.Tenants.Metadata(ctx, q, s.tenant.ID, c.ID)
	out.SAML.Metadata = showMetadata(m)
	return out, err
}

func showMetadata(m tenants.Metadata) *metadataBody {
	if m.URL == "" {
		return nil
	}
	return &metadataBody{
		URL: m.URL, TrustedHost: m.TrustedHost, FetchedAt: optional(m.FetchedAt), TriedAt: optional(m.TriedAt), NextAt: optional(m.NextAt),
		Failures: m.Failures, Error: m.Error,
	}
}

func showSPKey(k tenants.SPKey) spKeyBody {
	return spKeyBody{
		ID: k.ID, State: k.State, Certificate: k.CertificatePEM, NotAfter: k.NotAfter, CreatedAt: k.CreatedAt,
		ActivatedAt: optional(k.ActivatedAt), RetiredAt: optional(k.RetiredAt),
	}
}

package api

import (
	"context"
	"strconv"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// SSOFields are what both POST and PATCH take.
type SSOFields struct {
	IdPMetadataXML *string    `json:"idp_metadata_xml,omitempty" maxLength:"2097152" doc:"SAML: the identity provider's metadata"`
	IdPMetadataURL *string    `json:"idp_metadata_url,omitempty" maxLength:"2000" doc:"SAML: where the identity provider's metadata is; it is read now and then daily. Empty: no longer"`
	IdP            *idpFields `json:"idp,omitempty" doc:"SAML: the identity provider by hand"`

	AllowIdPInitiated  *bool     `json:"allow_idp_initiated,omitempty" doc:"SAML: take responses that nobody asked for; false when left out"`
	SignRequests       *bool     `json:"sign_requests,omitempty" doc:"SAML: sign AuthnRequests with the connection's own key"`
	WantEncrypted      *bool     `json:"want_encrypted,omitempty" doc:"SAML: refuse assertions that came unencrypted"`
	RefuseCBC          *bool     `json:"refuse_cbc,omitempty" doc:"SAML: take assertions encrypted with AES-GCM only"`
	AllowInclusiveC14N *bool     `json:"allow_inclusive_c14n,omitempty" doc:"SAML: take inclusive canonicalization as well"`
	AllowSHA1Until     *string   `json:"allow_sha1_until,omitempty" maxLength:"40" doc:"SAML: end of an exception for SHA-1, at most a year ahead (2026-12-31, or a time as in RFC 3339); empty: none"`
	ForceAuthn         *bool     `json:"force_authn,omitempty" doc:"SAML: have the identity provider ask the person at each login"`
	AuthnContexts      *[]string `json:"authn_contexts,omitempty" maxItems:"20" doc:"SAML: authentication contexts to ask for, one of which is then required"`
	NameIDFormat       *string   `json:"name_id_format,omitempty" maxLength:"2000" doc:"SAML: format to ask for; empty: none in particular"`
	MaxResponseBytes   *int64    `json:"max_response_bytes,omitempty" minimum:"0" maximum:"2097152" doc:"SAML: greatest response; 0: 524288"`
	SLOURL             *string   `json:"slo_url,omitempty" maxLength:"2000" doc:"SAML: where the identity provider takes logout requests; empty: nowhere"`
	SLOResponseURL     *string   `json:"slo_response_url,omitempty" maxLength:"2000" doc:"SAML: where it takes logout responses, if elsewhere"`
	SLOBinding         *string   `json:"slo_binding,omitempty" enum:"redirect,post" doc:"SAML: how it takes them; redirect when left out"`
	ClockSkewSeconds   *int      `json:"clock_skew_seconds,omitempty" minimum:"0" maximum:"300" doc:"SAML: tolerance on times; 120 when left out"`
	GraphTenantID      *string   `json:"graph_tenant_id,omitempty" maxLength:"36" doc:"SAML with Entra ID: directory whose groups are read from Microsoft Graph where a response leaves them out"`
	GraphClientID      *string   `json:"graph_client_id,omitempty" maxLength:"36" doc:"SAML with Entra ID: app registration that reads them"`
	GraphClientSecret  *string   `json:"graph_client_secret,omitempty" maxLength:"2000" doc:"SAML with Entra ID: its secret; empty removes it"`

	Issuer                  *string   `json:"issuer,omitempty" maxLength:"2000" doc:"OIDC; for Entra ID with the directory's GUID"`
	ClientID                *string   `json:"client_id,omitempty" maxLength:"2000" doc:"OIDC"`
	ClientSecret            *string   `json:"client_secret,omitempty" maxLength:"2000" doc:"OIDC; empty removes it"`
	TokenEndpointAuthMethod *string   `json:"token_endpoint_auth_method,omitempty" enum:",client_secret_basic,client_secret_post,private_key_jwt,none" doc:"OIDC; empty: as the provider's configuration says"`
	ResponseMode            *string   `json:"response_mode,omitempty" enum:"query,form_post" doc:"OIDC; query when left out"`
	Scopes                  *[]string `json:"scopes,omitempty" maxItems:"50" doc:"OIDC; openid profile email when left out"`
	GroupsClaim             *string   `json:"groups_claim,omitempty" maxLength:"200" doc:"OIDC; groups when left out"`
	ACRValues               *[]string `json:"acr_values,omitempty" maxItems:"20" doc:"OIDC: values to ask for, one of which is then required"`
	HostedDomains           *[]string `json:"hosted_domains,omitempty" maxItems:"100" doc:"OIDC with Google: Workspace domains whose people may come"`

	RevocationIssuer       *string           `json:"revocation_issuer,omitempty" maxLength:"1024" doc:"Issuer that signs Global Token Revocation requests; empty: the OIDC issuer, or nobody"`
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
	SSOBinding   *string   `json:"sso_binding,omitempty" enum:"redirect,post" doc:"How it takes requests; redirect when left out"`
	Certificates *[]string `json:"certificates,omitempty" maxItems:"20" doc:"Signing certificates in PEM"`
}

// check refuses what belongs to the other type.
func (f SSOFields) check(connectionType string) error {
	for _, x := range []struct {
		of     string
		fields []ssoField
	}{{tenants.SAML, f.samlFields()}, {tenants.OIDC, f.oidcFields()}} {
		for _, field := range x.fields {
			if field.set && x.of != connectionType {
				return refused("invalid_field", "This field is for connections of the other type.", field.name)
			}
		}
	}
	given := 0
	for _, set := range []bool{f.IdPMetadataXML != nil, f.IdP != nil, value(f.IdPMetadataURL) != ""} {
		if set {
			given++
		}
	}
	if given > 1 {
		return refused("invalid_field", "Give the metadata's address, the metadata or the values, not several of them.", "idp")
	}
	return nil
}

type ssoField struct {
	name string
	set  bool
}

func (f SSOFields) samlFields() []ssoField {
	return []ssoField{
		{"idp_metadata_xml", f.IdPMetadataXML != nil},
		{"idp_metadata_url", f.IdPMetadataURL != nil},
		{"idp", f.IdP != nil},
		{"allow_idp_initiated", f.AllowIdPInitiated != nil},
		{"sign_requests", f.SignRequests != nil},
		{"want_encrypted", f.WantEncrypted != nil},
		{"refuse_cbc", f.RefuseCBC != nil},
		{"allow_inclusive_c14n", f.AllowInclusiveC14N != nil},
		{"allow_sha1_until", f.AllowSHA1Until != nil},
		{"force_authn", f.ForceAuthn != nil},
		{"authn_contexts", f.AuthnContexts != nil},
		{"name_id_format", f.NameIDFormat != nil},
		{"max_response_bytes", f.MaxResponseBytes != nil},
		{"slo_url", f.SLOURL != nil},
		{"slo_response_url", f.SLOResponseURL != nil},
		{"slo_binding", f.SLOBinding != nil},
		{"clock_skew_seconds", f.ClockSkewSeconds != nil},
		{"graph_tenant_id", f.GraphTenantID != nil},
		{"graph_client_id", f.GraphClientID != nil},
		{"graph_client_secret", f.GraphClientSecret != nil},
	}
}

func (f SSOFields) oidcFields() []ssoField {
	return []ssoField{
		{"issuer", f.Issuer != nil},
		{"client_id", f.ClientID != nil},
		{"client_secret", f.ClientSecret != nil},
		{"token_endpoint_auth_method", f.TokenEndpointAuthMethod != nil},
		{"response_mode", f.ResponseMode != nil},
		{"scopes", f.Scopes != nil},
		{"groups_claim", f.GroupsClaim != nil},
		{"acr_values", f.ACRValues != nil},
		{"hosted_domains", f.HostedDomains != nil},
	}
}

func anySet(fields []ssoField) bool {
	for _, f := range fields {
		if f.set {
			return true
		}
	}
	return false
}

// mayNeedKey reports whether the fields may make a connection need a key of ours.
func (f SSOFields) mayNeedKey() bool {
	return value(f.SignRequests) || value(f.WantEncrypted) || value(f.SLOURL) != "" || value(f.TokenEndpointAuthMethod) == tenants.AuthPrivateKeyJWT ||
		f.IdPMetadataXML != nil || value(f.IdPMetadataURL) != "" // which may name a logout address
}

// secret is the client secret, which a SAML connection has for Microsoft Graph.
func (f SSOFields) secret() *string {
	if f.GraphClientSecret != nil {
		return f.GraphClientSecret
	}
	return f.ClientSecret
}

// fetched is metadata that was read at an address. The zero value: none was.
type fetched struct {
	url, etag string
	settings  tenants.SAMLSettings
}

func (f fetched) fetched() bool { return f.url != "" }

// fetch reads the metadata at the address, if one is given.
func (h *Handler) fetch(ctx context.Context, f SSOFields) (out fetched, err error) {
	if address := value(f.IdPMetadataURL); address != "" {
		out.url = address
		out.settings, out.etag, err = h.FetchIdPMetadata(ctx, address)
	}
	return out, err
}

// saml makes the settings of a SAML connection, beginning from those it has. nil:
// nothing changes.
func (h *Handler) saml(f SSOFields, current *tenants.SAMLSettings, found fetched) (*tenants.SAMLSettings, error) {
	if !anySet(f.samlFields()) && (f.RevocationIssuer == nil || current == nil) { // revocation_issuer is of both types
		return nil, nil
	}
	out := tenants.SAMLSettings{ClockSkew: tenants.DefaultClockSkew}
	if current != nil {
		out = *current
	}
	switch {
	case f.IdPMetadataXML != nil:
		parsed, err := h.ParseIdPMetadata([]byte(*f.IdPMetadataXML))
		if err != nil {
			return nil, err
		}
		take(&out, parsed, current == nil)
	case found.fetched() && (current == nil || current.IdPEntityID != found.settings.IdPEntityID):
		// Of the same provider, ApplyMetadata takes over what its trust rules allow.
		take(&out, found.settings, current == nil)
	}
	if err := f.byHand(&out); err != nil {
		return nil, err
	}
	set(&out.AllowIdPInitiated, f.AllowIdPInitiated)
	set(&out.SignRequests, f.SignRequests)
	set(&out.WantEncrypted, f.WantEncrypted)
	set(&out.RefuseCBC, f.RefuseCBC)
	set(&out.AllowInclusiveC14N, f.AllowInclusiveC14N)
	set(&out.ForceAuthn, f.ForceAuthn)
	set(&out.AuthnContexts, f.AuthnContexts)
	set(&out.NameIDFormat, f.NameIDFormat)
	set(&out.MaxResponseBytes, f.MaxResponseBytes)
	set(&out.SLOURL, f.SLOURL)
	set(&out.SLOResponseURL, f.SLOResponseURL)
	set(&out.GraphTenant, f.GraphTenantID)
	set(&out.GraphClient, f.GraphClientID)
	set(&out.RevocationIssuer, f.RevocationIssuer)
	if f.SLOURL != nil && *f.SLOURL == "" && f.SLOResponseURL == nil {
		out.SLOResponseURL = ""
	}
	if f.SLOBinding != nil {
		out.SLOBinding = bindings[*f.SLOBinding]
	}
	if f.ClockSkewSeconds != nil {
		out.ClockSkew = time.Duration(*f.ClockSkewSeconds) * time.Second
	}
	if f.AllowSHA1Until != nil {
		var err error
		if out.AllowSHA1Until, err = parseDate(*f.AllowSHA1Until, "allow_sha1_until"); err != nil {
			return nil, err
		}
	}
	return &out, nil
}

// take puts what metadata says into the settings; what somebody chose stays.
func take(to *tenants.SAMLSettings, from tenants.SAMLSettings, fresh bool) {
	to.IdPEntityID, to.SSOURL, to.SSOBinding, to.Keys = from.IdPEntityID, from.SSOURL, from.SSOBinding, from.Keys
	to.SLOURL, to.SLOResponseURL, to.SLOBinding = from.SLOURL, from.SLOResponseURL, from.SLOBinding
	if fresh {
		to.SignRequests = from.SignRequests
	}
}

var (
	bindings     = map[string]string{"redirect": tenants.BindingRedirect, "post": tenants.BindingPOST}
	bindingNames = map[string]string{tenants.BindingRedirect: "redirect", tenants.BindingPOST: "post"}
)

func (f SSOFields) byHand(out *tenants.SAMLSettings) error {
	if f.IdP == nil {
		return nil
	}
	set(&out.IdPEntityID, f.IdP.EntityID)
	if f.IdP.SSOURL != nil {
		out.SSOURL, out.SSOBinding = *f.IdP.SSOURL, tenants.BindingRedirect
	}
	if f.IdP.SSOBinding != nil {
		out.SSOBinding = bindings[*f.IdP.SSOBinding]
	}
	if f.IdP.Certificates != nil {
		out.Keys = nil
		for i, text := range *f.IdP.Certificates {
			k, err := tenants.ParseIdPKey(text)
			if f, ok := fault.From(err); ok {
				return f.In("idp.certificates[" + strconv.Itoa(i) + "]")
			}
			if err != nil {
				return err
			}
			out.Keys = append(out.Keys, k)
		}
	}
	return nil
}

// parseDate reads a day, whose end is meant, or a time.
func parseDate(text, field string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day.AddDate(0, 0, 1).UTC(), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, refused("invalid_date", "Give a day such as 2026-12-31, or a time as in RFC 3339.", field)
	}
	return at.UTC(), nil
}

func (f SSOFields) oidc(current *tenants.OIDCSettings) *tenants.OIDCSettings {
	if !anySet(f.oidcFields()) && (f.RevocationIssuer == nil || current == nil) {
		return nil
	}
	var out tenants.OIDCSettings
	if current != nil {
		out = *current
	}
	set(&out.Issuer, f.Issuer)
	set(&out.ClientID, f.ClientID)
	set(&out.AuthMethod, f.TokenEndpointAuthMethod)
	set(&out.Scopes, f.Scopes)
	set(&out.GroupsClaim, f.GroupsClaim)
	set(&out.ACRValues, f.ACRValues)
	set(&out.HostedDomains, f.HostedDomains)
	set(&out.RevocationIssuer, f.RevocationIssuer)
	if f.ResponseMode != nil {
		out.FormPost = *f.ResponseMode == "form_post"
	}
	return &out
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

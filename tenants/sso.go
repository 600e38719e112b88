package tenants

import (
	"slices"
	"strings"
	"time"
)

// Types of SSO connection.
const (
	SAML = "saml"
	OIDC = "oidc"
)

// Statuses of an SSO connection. It is draft until a test login succeeded,
// tested until it is switched on (sso 2.3).
const (
	SSODraft    = "draft"
	SSOTested   = "tested"
	SSOActive   = "active"
	SSODisabled = "disabled"
)

// Pairings of an SSO connection with the SCIM connections of its tenant
// (identity rule 3).
const (
	PairingAuto   = "auto"   // all of them, while the tenant has one SSO connection
	PairingChosen = "chosen" // those named
)

// SAML bindings of an identity provider's single sign-on service (SAML bindings §3.4, §3.5).
const (
	BindingRedirect = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
	BindingPOST     = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
)

// SSOConnection is a tenant's way to log in through its identity provider.
type SSOConnection struct {
	ID          string
	Tenant      string
	Environment string
	Type        string
	Name        string
	Status      string
	SAML        *SAMLSettings // with type saml
	OIDC        *OIDCSettings // with type oidc
	// Secret is the OIDC client secret as stored: encrypted, bound to this row.
	// Service.ClientSecret opens it. Empty: the connection has none.
	Secret  string
	Mapping AttributeMapping
	// JIT makes a user at his first login.
	JIT bool
	// AllowUnverifiedDomains lets JIT make users of domains that the tenant has not verified (identity rule 4).
	AllowUnverifiedDomains bool
	// TrustIdPMFA lets the identity provider's evidence count as a second factor (identity rule 11).
	TrustIdPMFA bool
	Pairing     string
	// SCIMConnectionIDs are the chosen ones; empty with PairingAuto.
	SCIMConnectionIDs []string
	LastTestOKAt      time.Time
	LastLoginAt       time.Time
	Version           int64
	CreatedAt         time.Time
	UpdatedAt         time.Time
}

// SAMLSettings is what is known of a SAML identity provider.
type SAMLSettings struct {
	IdPEntityID string `json:"idp_entity_id"`
	SSOURL      string `json:"sso_url"`
	SSOBinding  string `json:"sso_binding"` // BindingRedirect when empty
	// Keys are the trusted signing keys; stored in rows of their own.
	Keys []IdPKey `json:"-"`
	// ClockSkew is the tolerance on times in assertions, 0 to 300 s; the
	// connection's creation sets DefaultClockSkew when nothing is chosen.
	ClockSkew time.Duration `json:"clock_skew_ns"`
	// NameIDFormat is asked for in requests; empty: none in particular.
	NameIDFormat string `json:"name_id_format,omitempty"`
	// SignRequests signs AuthnRequests with the connection's own key.
	SignRequests bool `json:"sign_requests,omitempty"`
	// WantEncrypted refuses an assertion that came unencrypted.
	WantEncrypted bool `json:"want_encrypted,omitempty"`
	// RefuseCBC takes assertions encrypted with AES-GCM only.
	RefuseCBC bool `json:"refuse_cbc,omitempty"`
	// AllowInclusiveC14N takes canonicalization 1.0 and 1.1 beside the exclusive one (sso 4, step 4).
	AllowInclusiveC14N bool `json:"allow_inclusive_c14n,omitempty"`
	// AllowSHA1Until is the end of an exception for SHA-1; zero: none.
	AllowSHA1Until time.Time `json:"allow_sha1_until,omitzero"`
	// AllowIdPInitiated takes responses that nobody asked for (sso 4, step 13).
	AllowIdPInitiated bool `json:"allow_idp_initiated,omitempty"`
	// ForceAuthn makes the identity provider ask the person at each login.
	ForceAuthn bool `json:"force_authn,omitempty"`
	// AuthnContexts are asked for with comparison exact, and then required; empty: any.
	AuthnContexts []string `json:"authn_contexts,omitempty"`
	// SLOURL takes logout messages, SLOResponseURL answers where that is another
	// address; empty: the identity provider has no single logout.
	SLOURL         string `json:"slo_url,omitempty"`
	SLOResponseURL string `json:"slo_response_url,omitempty"`
	SLOBinding     string `json:"slo_binding,omitempty"`
	// MaxResponseBytes bounds the posted form; 0: 512 KiB; at most 2 MiB.
	MaxResponseBytes int64 `json:"max_response_bytes,omitempty"`
	// GraphTenant and GraphClient read a person's groups from Microsoft Graph
	// where a response leaves them out; the secret is SSOConnection.Secret.
	GraphTenant string `json:"graph_tenant,omitempty"`
	GraphClient string `json:"graph_client,omitempty"`
	// RevocationIssuer signs Global Token Revocation requests; empty: not taken.
	RevocationIssuer string `json:"revocation_issuer,omitempty"`
}

// MaxSAMLResponse is the greatest SAMLSettings.MaxResponseBytes (sso 4, step 1).
const MaxSAMLResponse = 2 << 20

// DefaultClockSkew and MaxClockSkew bound SAMLSettings.ClockSkew (sso 4, step 10).
const (
	DefaultClockSkew = 120 * time.Second
	MaxClockSkew     = 300 * time.Second
)

// IdPKey is a key that an identity provider signs with. Trust is the key, not the
// dates of the certificate that carries it (sso 2.1).
type IdPKey struct {
	SPKI           string // hex SHA-256 of the DER SubjectPublicKeyInfo
	CertificatePEM string
	NotAfter       time.Time
}

// Authentication methods towards an OpenID provider.
const (
	AuthBasic = "client_secret_basic"
	AuthPost  = "client_secret_post"
	AuthNone  = "none"
	// AuthPrivateKeyJWT signs an assertion with the connection's own key (RFC 7523 §2.2).
	AuthPrivateKeyJWT = "private_key_jwt"
)

// OIDCSettings is what is known of an OpenID provider.
type OIDCSettings struct {
	Issuer      string   `json:"issuer"`
	ClientID    string   `json:"client_id"`
	Scopes      []string `json:"scopes"`       // openid included
	GroupsClaim string   `json:"groups_claim"` // "groups" when empty
	AuthMethod  string   `json:"auth_method"`  // empty: as discovery says, client_secret_basic before client_secret_post
	// FormPost asks for the answer by POST (OAuth 2.0 Form Post Response Mode).
	FormPost bool `json:"form_post,omitempty"`
	// ACRValues are asked for, and one of them is then required; empty: any.
	ACRValues []string `json:"acr_values,omitempty"`
	// HostedDomains are the Google Workspace domains (claim hd) whose people may
	// come; empty: any, but not people without one.
	HostedDomains []string `json:"hosted_domains,omitempty"`
	// RevocationIssuer signs Global Token Revocation requests; empty: the Issuer.
	RevocationIssuer string `json:"revocation_issuer,omitempty"`
}

// AttributeMapping names the attributes or claims that carry a value; empty
// names leave it to the usual aliases (product 6.2).
type AttributeMapping struct {
	Email       string `json:"email,omitempty"`
	FirstName   string `json:"first_name,omitempty"`
	LastName    string `json:"last_name,omitempty"`
	DisplayName string `json:"display_name,omitempty"`
	Groups      string `json:"groups,omitempty"`
}

// NewSSOConnection is what CreateSSOConnection takes.
type NewSSOConnection struct {
	Type                   string
	Name                   string
	SAML                   *SAMLSettings
	OIDC                   *OIDCSettings
	ClientSecret           string
	Mapping                AttributeMapping
	JIT                    bool
	AllowUnverifiedDomains bool
	TrustIdPMFA            bool
	SCIMConnectionIDs      []string // nil: PairingAuto; empty: none
	// Status is draft (also when empty) or, from actors above tenants, active.
	Status string
}

// SSOPatch changes what is not nil. SAML and OIDC replace the whole settings; the
// caller starts from those of the connection.
type SSOPatch struct {
	Name                   *string
	SAML                   *SAMLSettings
	OIDC                   *OIDCSettings
	ClientSecret           *string // empty removes it
	Mapping                *AttributeMapping
	JIT                    *bool
	AllowUnverifiedDomains *bool
	TrustIdPMFA            *bool
	SCIMConnectionIDs      *[]string
	AutoPairing            bool // back to PairingAuto
	Status                 *string
}

// EntityID and the other addresses of a SAML connection (contract 2).
func (e Environment) SAMLEntityID(connection string) string { return e.URL("/saml/" + connection) }

func (e Environment) SAMLACSURL(connection string) string {
	return e.URL("/saml/" + connection + "/acs")
}

func (e Environment) SAMLMetadataURL(connection string) string {
	return e.URL("/saml/" + connection + "/metadata")
}

func (e Environment) SAMLLoginURL(connection string) string {
	return e.URL("/saml/" + connection + "/login")
}

// SAMLSLOURL takes logout messages.
func (e Environment) SAMLSLOURL(connection string) string {
	return e.URL("/saml/" + connection + "/slo")
}

// OIDCRedirectURL and OIDCLoginURL are the addresses of an OIDC connection (contract 2).
func (e Environment) OIDCRedirectURL(connection string) string {
	return e.URL("/oidc/" + connection + "/callback")
}

func (e Environment) OIDCLoginURL(connection string) string {
	return e.URL("/oidc/" + connection + "/login")
}

// OIDCJWKSURL publishes our keys at the connection, for private_key_jwt.
func (e Environment) OIDCJWKSURL(connection string) string {
	return e.URL("/oidc/" + connection + "/jwks")
}

// OIDCBackchannelLogoutURL takes logout tokens (OpenID Connect Back-Channel Logout).
func (e Environment) OIDCBackchannelLogoutURL(connection string) string {
	return e.URL("/oidc/" + connection + "/backchannel-logout")
}

// RevocationURL takes Global Token Revocation requests, for connections of both types.
func (e Environment) RevocationURL(connection string) string {
	return e.URL("/sso/" + connection + "/global-token-revocation")
}

// SCIMBaseURL is the base of a SCIM connection (contract 2).
func (e Environment) SCIMBaseURL(connection string) string {
	return e.URL("/scim/" + connection + "/v2")
}

// SCIMTokenURL is where clients of a SCIM connection get access tokens.
func (e Environment) SCIMTokenURL(connection string) string {
	return e.URL("/scim/" + connection + "/oauth2/token")
}

// maxIdPKeys bounds the trusted keys of a connection: enough for any rollover.
const maxIdPKeys = 20

// checkSSO holds a connection to what can work and fills the defaults.
func (s *Service) checkSSO(c *SSOConnection) error {
	for _, n := range []string{c.Mapping.Email, c.Mapping.FirstName, c.Mapping.LastName, c.Mapping.DisplayName, c.Mapping.Groups} {
		if len(n) > maxName*2 || hasControl(n) {
			return invalid("invalid_mapping", "An attribute name is at most 400 bytes without control characters.", "attribute_mapping")
		}
	}
	switch {
	case c.Type == SAML && c.SAML != nil && c.OIDC == nil:
		return s.checkSAML(c.SAML)
	case c.Type == OIDC && c.OIDC != nil && c.SAML == nil:
		return s.checkOIDC(c.OIDC)
	case c.Type == SAML || c.Type == OIDC:
		return invalid("invalid_settings", "Give the settings of the connection's type.", "type")
	}
	return invalid("invalid_type", "Choose saml or oidc.", "type")
}

func (s *Service) checkSAML(in *SAMLSettings) error {
	if in.IdPEntityID == "" || len(in.IdPEntityID) > 1024 || hasControl(in.IdPEntityID) {
		return invalid("invalid_entity_id", "Give the identity provider's entity ID, up to 1024 bytes (SAML metadata §2.2.1).", "idp.entity_id")
	}
	if !s.fetchable(in.SSOURL) {
		return invalid("invalid_url", "Give the https address of the identity provider's single sign-on service.", "idp.sso_url")
	}
	switch in.SSOBinding {
	case "":
		in.SSOBinding = BindingRedirect
	case BindingRedirect, BindingPOST:
	default:
		return invalid("invalid_binding", "The single sign-on service needs the HTTP-Redirect or the HTTP-POST binding.", "idp.sso_url")
	}
	if in.ClockSkew < 0 || in.ClockSkew > MaxClockSkew {
		return invalid("invalid_clock_skew", "Choose 0 to 300 seconds.", "clock_skew_seconds")
	}
	if len(in.NameIDFormat) > maxSetting || hasControl(in.NameIDFormat) {
		return invalid("invalid_name_id_format", "The format is longer than 2000 bytes.", "name_id_format")
	}
	if len(in.Keys) == 0 || len(in.Keys) > maxIdPKeys {
		return invalid("invalid_certificate", "Give 1 to 20 signing certificates of the identity provider.", "idp.certificates")
	}
	seen := map[string]bool{}
	in.Keys = slices.DeleteFunc(slices.Clone(in.Keys), func(k IdPKey) bool {
		twice := seen[k.SPKI]
		seen[k.SPKI] = true
		return twice
	})
	return nil
}

func (s *Service) checkOIDC(in *OIDCSettings) error {
	if !s.fetchable(in.Issuer) || strings.ContainsAny(in.Issuer, "?#") {
		return invalid("invalid_issuer", "Give the https issuer of the OpenID provider, without query and fragment (OpenID Connect Discovery §3).", "issuer")
	}
	if in.ClientID == "" || len(in.ClientID) > maxSetting || hasControl(in.ClientID) {
		return invalid("invalid_client_id", "Give the client ID that the OpenID provider issued.", "client_id")
	}
	if len(in.Scopes) == 0 {
		in.Scopes = []string{"openid", "profile", "email"}
	}
	if len(in.Scopes) > 50 {
		return tooMany("50 scopes")
	}
	for _, scope := range in.Scopes {
		if scope == "" || len(scope) > 200 || strings.ContainsFunc(scope, func(r rune) bool { return r <= 0x20 || r >= 0x7f || r == '"' || r == '\\' }) {
			return invalid("invalid_scope", "A scope is printable ASCII without spaces, quotes and backslashes (RFC 6749 §3.3).", "scopes")
		}
	}
	if !slices.Contains(in.Scopes, "openid") {
		in.Scopes = append([]string{"openid"}, in.Scopes...)
	}
	if in.GroupsClaim == "" {
		in.GroupsClaim = "groups"
	}
	if len(in.GroupsClaim) > maxName || hasControl(in.GroupsClaim) {
		return invalid("invalid_claim", "The name of the claim is longer than 200 bytes.", "groups_claim")
	}
	switch in.AuthMethod {
	case "", AuthBasic, AuthPost, AuthNone, AuthPrivateKeyJWT:
		return nil
	}
	return invalid("invalid_auth_method", "Choose client_secret_basic, client_secret_post, private_key_jwt or none.", "token_endpoint_auth_method")
}

// fetchable reports whether an address of an identity provider may be used.
func (s *Service) fetchable(address string) bool {
	return httpURL(address) && (s.options.AllowHTTP || strings.HasPrefix(address, "https://"))
}

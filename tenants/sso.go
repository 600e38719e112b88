package tenants

import "time"

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

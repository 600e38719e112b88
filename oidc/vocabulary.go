package oidc

// Scopes that the provider knows (OpenID Connect Core §5.4, §11).
const (
	ScopeOpenID  = "openid"
	ScopeProfile = "profile"
	ScopeEmail   = "email"
	ScopeAddress = "address"
	ScopePhone   = "phone"
	ScopeOffline = "offline_access"
)

// Errors of RFC 6749 §4.1.2.1 and §5.2, RFC 6750 §3.1, RFC 7009 §2.2.1 and
// OpenID Connect Core §3.1.2.6.
const (
	InvalidRequest          = "invalid_request"
	InvalidClient           = "invalid_client"
	InvalidGrant            = "invalid_grant"
	InvalidScope            = "invalid_scope"
	InvalidToken            = "invalid_token"
	UnauthorizedClient      = "unauthorized_client"
	UnsupportedGrantType    = "unsupported_grant_type"
	UnsupportedResponseType = "unsupported_response_type"
	UnsupportedTokenType    = "unsupported_token_type"
	AccessDenied            = "access_denied"
	ServerError             = "server_error"
	TemporarilyUnavailable  = "temporarily_unavailable"
	LoginRequired           = "login_required"
	InteractionRequired     = "interaction_required"
	AccountSelection        = "account_selection_required"
	InsufficientScope       = "insufficient_scope"
	RequestNotSupported     = "request_not_supported"
	RequestURINotSupported  = "request_uri_not_supported"
	RegistrationUnsupported = "registration_not_supported"
	InvalidRequestURI       = "invalid_request_uri"   // RFC 9101 §7
	InvalidDPoPProof        = "invalid_dpop_proof"    // RFC 9449 §5
	UseDPoPNonce            = "use_dpop_nonce"        // RFC 9449 §8
	InvalidTarget           = "invalid_target"        // RFC 8693 §2.2.2
	AuthorizationPending    = "authorization_pending" // RFC 8628 §3.5
	SlowDown                = "slow_down"
	ExpiredToken            = "expired_token"
	// OpenID Connect Core Error Code unmet_authentication_requirements 1.0.
	UnmetAuthentication = "unmet_authentication_requirements"
)

// Values of prompt (OpenID Connect Core §3.1.2.1).
const (
	PromptNone          = "none"
	PromptLogin         = "login"
	PromptConsent       = "consent"
	PromptSelectAccount = "select_account"
)

// Types in the header of a token, which keep one kind from standing for another
// (RFC 8725 §3.11).
const (
	TypeIDToken     = "JWT"
	TypeAccessToken = "at+jwt"     // RFC 9068 §2.1
	TypeLogoutToken = "logout+jwt" // OpenID Connect Back-Channel Logout §2.4
)

// EventBackChannelLogout is the event of a logout token (OpenID Connect
// Back-Channel Logout §2.4).
const EventBackChannelLogout = "http://schemas.openid.net/event/backchannel-logout"

// Grant types (RFC 6749 §4.1.3, §6).
const (
	GrantCode     = "authorization_code"
	GrantRefresh  = "refresh_token"
	GrantClient   = "client_credentials"                              // RFC 6749 §4.4
	GrantDevice   = "urn:ietf:params:oauth:grant-type:device_code"    // RFC 8628 §3.4
	GrantExchange = "urn:ietf:params:oauth:grant-type:token-exchange" // RFC 8693 §2.1
)

// Token types of a token exchange (RFC 8693 §3).
const (
	AccessTokenType = "urn:ietf:params:oauth:token-type:access_token"
	// UserIDType says that the subject is named by his id, not shown by a token of
	// his: who impersonates him has none. The registry leaves other URIs to others.
	UserIDType = "urn:gatehouse:params:oauth:token-type:user_id"
)

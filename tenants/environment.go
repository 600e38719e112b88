package tenants

import (
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Environment is the top of the hierarchy: development, staging, production.
// Roles, permissions, policies and applications exist per environment (product 1).
type Environment struct {
	ID        string
	Name      string
	BaseURL   string // the issuer, without a slash at its end
	IsDefault bool
	Settings  EnvironmentSettings
	Version   int64
	CreatedAt time.Time
	UpdatedAt time.Time
}

// EnvironmentSettings are the choices of an environment that are not policies.
// The zero value serves.
type EnvironmentSettings struct {
	TokenSettings
	// Modules are the portal's modules that the vendor switched on or off (product
	// 21, 2.11); one that is absent is on.
	Modules map[Module]bool `json:"modules,omitempty"`
	// Features are what the environment switches on or off for its tenants
	// (product 3); one that is absent has the value of featureDefaults.
	Features map[Feature]bool `json:"features,omitempty"`
	// AuditColumns are the columns of the portal's audit page, in order (product
	// 68); empty: the built-in ones.
	AuditColumns []string `json:"audit_columns,omitempty"`
	// AuditDays is how long audit events are kept. 0: 400.
	AuditDays int `json:"audit_days,omitempty"`
}

// Module is a part of the portal (product 20).
type Module string

// The modules.
const (
	ModuleAccount        Module = "account_settings"
	ModuleUsers          Module = "users"
	ModuleGroups         Module = "groups"
	ModuleRoles          Module = "roles"
	ModuleSSO            Module = "sso"
	ModuleProvisioning   Module = "provisioning"
	ModuleSecurity       Module = "security"
	ModuleAudit          Module = "audit_logs"
	ModuleAPITokens      Module = "api_tokens"
	ModuleWebhooks       Module = "webhooks"
	ModuleSubAccounts    Module = "all_accounts"
	ModuleProfile        Module = "profile"
	ModulePrivacy        Module = "privacy"
	ModulePersonalTokens Module = "personal_api_tokens"
)

// Modules lists every module in the order of the portal.
var Modules = []Module{
	ModuleAccount, ModuleUsers, ModuleGroups, ModuleRoles, ModuleSSO, ModuleProvisioning, ModuleSecurity, ModuleAudit,
	ModuleAPITokens, ModuleWebhooks, ModuleSubAccounts, ModuleProfile, ModulePrivacy, ModulePersonalTokens,
}

// Feature is something that an environment lets its tenants do.
type Feature string

// The features.
const (
	FeatureInvitations     Feature = "invitations"      // by mail
	FeatureInviteLinks     Feature = "invite_links"     // by link
	FeatureGuests          Feature = "guests"           // access periods (product 2.4)
	FeatureSocialLogin     Feature = "social_login"     // through connections of the environment
	FeatureRoles           Feature = "roles"            // role-based authorization (product 100)
	FeatureUserTokens      Feature = "user_tokens"      // personal tokens of the client-credentials kind (product 2.3)
	FeatureUserAccessKeys  Feature = "user_access_keys" // personal tokens of the opaque kind
	FeatureRememberDevice  Feature = "remember_device"  // no second factor again for 14 days (product 2.7)
	FeatureEntitlementsAPI Feature = "enforce_entitlements_on_api"
	FeatureShowImpersonate Feature = "show_impersonation" // in the tenant's own audit log (product 2.8)
)

var featureDefaults = map[Feature]bool{
	FeatureInvitations: true, FeatureInviteLinks: true, FeatureGuests: true, FeatureSocialLogin: true, FeatureRoles: true,
	FeatureUserTokens: true, FeatureUserAccessKeys: true, FeatureEntitlementsAPI: false, FeatureRememberDevice: false, FeatureShowImpersonate: true,
}

// Features lists every feature, sorted.
func Features() []Feature { return slices.Sorted(maps.Keys(featureDefaults)) }

// ModuleOn reports whether the vendor lets tenants have the module.
func (s EnvironmentSettings) ModuleOn(m Module) bool {
	on, chosen := s.Modules[m]
	return on || !chosen
}

// FeatureOn reports whether tenants may do it.
func (s EnvironmentSettings) FeatureOn(f Feature) bool {
	if on, chosen := s.Features[f]; chosen {
		return on
	}
	return featureDefaults[f]
}

// TokenSettings are choices about tokens, of an environment and, where it makes
// them, of an application. The zero value leaves them open.
type TokenSettings struct {
	// AccessTokenSeconds is the lifetime of access and ID tokens; it bounds how
	// stale roles in a token can be (product 116). 0: 600.
	AccessTokenSeconds int64 `json:"access_token_seconds,omitempty"`
	// RefreshIdleSeconds and RefreshAbsoluteSeconds bound refresh tokens without use
	// and in all. 0: 30 and 90 days.
	RefreshIdleSeconds     int64 `json:"refresh_idle_seconds,omitempty"`
	RefreshAbsoluteSeconds int64 `json:"refresh_absolute_seconds,omitempty"`
	// OmitRoles and OmitPermissions leave the claims out of access tokens (product 2.2).
	OmitRoles       bool `json:"omit_roles,omitempty"`
	OmitPermissions bool `json:"omit_permissions,omitempty"`
	// RequireDPoPNonce: a proof must carry a nonce of ours, so that none can be made
	// before its time (RFC 9449 §8).
	RequireDPoPNonce bool `json:"require_dpop_nonce,omitempty"`
}

// Over gives the settings of an application in an environment.
func (s TokenSettings) Over(environment TokenSettings) TokenSettings {
	first := func(a, b int64) int64 {
		if a > 0 {
			return a
		}
		return b
	}
	return TokenSettings{
		AccessTokenSeconds:     first(s.AccessTokenSeconds, environment.AccessTokenSeconds),
		RefreshIdleSeconds:     first(s.RefreshIdleSeconds, environment.RefreshIdleSeconds),
		RefreshAbsoluteSeconds: first(s.RefreshAbsoluteSeconds, environment.RefreshAbsoluteSeconds),
		OmitRoles:              s.OmitRoles || environment.OmitRoles, OmitPermissions: s.OmitPermissions || environment.OmitPermissions,
		RequireDPoPNonce: s.RequireDPoPNonce || environment.RequireDPoPNonce,
	}
}

// Bounds of lifetimes (product 2.2).
const (
	MinRefresh = 300
	MaxRefresh = 15_552_000
)

// check holds the settings to their bounds.
func (s TokenSettings) check() error {
	if s.AccessTokenSeconds != 0 && (s.AccessTokenSeconds < MinAccessToken || s.AccessTokenSeconds > MaxAccessToken) {
		return invalid("invalid_value", "An access token lives 60 to 86400 seconds.", "access_token_seconds")
	}
	for _, v := range []struct {
		seconds int64
		field   string
	}{{s.RefreshIdleSeconds, "refresh_idle_seconds"}, {s.RefreshAbsoluteSeconds, "refresh_absolute_seconds"}} {
		if v.seconds != 0 && (v.seconds < MinRefresh || v.seconds > MaxRefresh) {
			return invalid("invalid_value", "A refresh token lives 300 to 15552000 seconds.", v.field)
		}
	}
	return nil
}

// DefaultAccessTokenLifetime holds where an environment does not choose.
const DefaultAccessTokenLifetime = 10 * time.Minute

// AccessTokenLifetime gives the lifetime of access and ID tokens.
func (s TokenSettings) AccessTokenLifetime() time.Duration {
	if s.AccessTokenSeconds <= 0 {
		return DefaultAccessTokenLifetime
	}
	return time.Duration(s.AccessTokenSeconds) * time.Second
}

// URL gives an absolute address under the environment's base URL. It never comes
// from a request header.
func (e Environment) URL(path string) string { return e.BaseURL + path }

// hostOf gives the name part of a Host header or of a URL's host: lower case,
// without port, brackets and a dot at the end.
func hostOf(hostport string) string {
	h := strings.ToLower(strings.TrimSpace(hostport))
	if i := strings.LastIndexByte(h, ':'); i >= 0 && !strings.HasSuffix(h, "]") && strings.Count(h, ":") == 1 || strings.Contains(h, "]:") {
		h = h[:strings.LastIndexByte(h, ':')]
	}
	h = strings.TrimSuffix(strings.TrimPrefix(h, "["), "]")
	return strings.TrimSuffix(h, ".")
}

// loopbackHTTP reports whether the base URL is plain http on this machine, where
// every host that nobody claims belongs to the default environment (contract 2).
func loopbackHTTP(baseURL string) bool {
	u, err := url.Parse(baseURL)
	if err != nil || u.Scheme != "http" {
		return false
	}
	h := u.Hostname()
	if h == "localhost" || strings.HasSuffix(h, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(h)
	return err == nil && a.IsLoopback()
}

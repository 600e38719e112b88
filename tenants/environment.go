package tenants

import (
	"net/netip"
	"net/url"
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
	CreatedAt time.Time
}

// EnvironmentSettings are the choices of an environment that are not policies.
type EnvironmentSettings struct {
	// AccessTokenSeconds is the lifetime of access and ID tokens; it bounds how
	// stale roles in a token can be (product 116). 0: 600.
	AccessTokenSeconds int64 `json:"access_token_seconds,omitempty"`
}

// DefaultAccessTokenLifetime holds where an environment does not choose.
const DefaultAccessTokenLifetime = 10 * time.Minute

// AccessTokenLifetime gives the lifetime of access and ID tokens.
func (s EnvironmentSettings) AccessTokenLifetime() time.Duration {
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

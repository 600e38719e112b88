package tenants

import (
	"encoding/json"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Types of application.
const (
	Web     = "web"
	SPA     = "spa"
	Native  = "native"
	Machine = "service"
)

// Application is a client of the environment's OpenID provider.
type Application struct {
	ID          string // the client_id
	Environment string
	Name        string
	Type        string
	ApplicationSettings
	SecretHash string // of the client secret; empty: none
	// TenantAccess and UserAccess say who may use the application: everybody, or
	// the tenants, and in each the people, that it is assigned to (product 39).
	TenantAccess, UserAccess Access
	// IsDefault marks where a login ends that no application began.
	IsDefault bool
	Version   int64
	CreatedAt time.Time
	UpdatedAt time.Time
}

// ApplicationSettings is what an application chooses about the protocol.
type ApplicationSettings struct {
	RedirectURIs           []string `json:"redirect_uris"`
	PostLogoutRedirectURIs []string `json:"post_logout_redirect_uris,omitempty"`
	BackchannelLogoutURI   string   `json:"backchannel_logout_uri,omitempty"`
	InitiateLoginURI       string   `json:"initiate_login_uri,omitempty"`
	RequirePKCE            bool     `json:"require_pkce"`
	IDTokenAlg             string   `json:"id_token_alg"`
	AccessTokenAlg         string   `json:"access_token_alg"`
	AuthMethod             string   `json:"auth_method"`
	// JWKS, or JWKSURI where they are published, are the keys of a client that
	// authenticates by private_key_jwt.
	JWKS    json.RawMessage `json:"jwks,omitempty"`
	JWKSURI string          `json:"jwks_uri,omitempty"`
	// RequirePAR: authorization requests must have been pushed (RFC 9126 §6).
	RequirePAR bool `json:"require_par,omitempty"`
	TokenSettings
	// RequireDPoP: tokens must be bound to a key (RFC 9449 §5.2).
	RequireDPoP bool `json:"require_dpop,omitempty"`
	// TokenExchange: the application may exchange tokens (RFC 8693).
	TokenExchange bool `json:"token_exchange,omitempty"`
}

// Access to an application.
type Access string

// Who has it.
const (
	AccessAll      Access = "all"
	AccessAssigned Access = "assigned"
)

// NewApplication is what CreateApplication takes; empty fields take the defaults.
type NewApplication struct {
	Name                     string
	Type                     string
	TenantAccess, UserAccess Access // empty: all
	ApplicationSettings
}

// ApplicationPatch changes what is not nil. Type and authentication method stay.
type ApplicationPatch struct {
	Name                   *string
	RedirectURIs           *[]string
	PostLogoutRedirectURIs *[]string
	BackchannelLogoutURI   *string
	InitiateLoginURI       *string
	RequirePKCE            *bool
	IDTokenAlg             *string
	AccessTokenAlg         *string
	JWKS                   *json.RawMessage
	JWKSURI                *string
	RequirePAR             *bool
	RequireDPoP            *bool
	TokenExchange          *bool
	Tokens                 *TokenSettings
	TenantAccess           *Access
	UserAccess             *Access
	IsDefault              *bool // true only: another application takes it over
}

// maxURIs bounds each list of addresses of an application.
const maxURIs = 50

// usesSecret reports whether the client authenticates by a secret.
func (a Application) usesSecret() bool { return a.AuthMethod == AuthBasic || a.AuthMethod == AuthPost }

// CheckSecret reports whether s is the client secret, in constant time.
func (a Application) CheckSecret(s string) bool {
	return a.SecretHash != "" && secret.Equal(a.SecretHash, s)
}

// HasRedirectURI reports whether uri is registered. The comparison is of whole
// strings (RFC 9700 §2.1); a native application's loopback address may name any
// port (RFC 8252 §7.3).
func (a Application) HasRedirectURI(uri string) bool {
	if slices.Contains(a.RedirectURIs, uri) {
		return true
	}
	if a.Type != Native {
		return false
	}
	bare, ok := withoutLoopbackPort(uri)
	return ok && slices.ContainsFunc(a.RedirectURIs, func(r string) bool {
		b, ok := withoutLoopbackPort(r)
		return ok && b == bare
	})
}

// HasPostLogoutRedirectURI reports whether uri is registered for after a logout.
func (a Application) HasPostLogoutRedirectURI(uri string) bool {
	return slices.Contains(a.PostLogoutRedirectURIs, uri)
}

// withoutLoopbackPort gives an http address on a loopback IP without its port.
func withoutLoopbackPort(uri string) (string, bool) {
	rest, ok := strings.CutPrefix(uri, "http://")
	if !ok {
		return "", false
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority := rest[:end]
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		port, ok := strings.CutPrefix(authority, host)
		if !ok {
			continue
		}
		if port != "" && (port[0] != ':' || len(port) > 6 || strings.Trim(port[1:], "0123456789") != "") {
			return "", false
		}
		return host + rest[end:], true
	}
	return "", false
}

// checkRedirectURI holds a redirect URI to: absolute, https, or http on a
// loopback host, or a scheme of its own for native applications; no fragment
// (RFC 6749 §3.1.2), no wildcard, no credentials, nothing that a browser reads
// differently.
func checkRedirectURI(uri, appType, field string) error {
	fail := func(message string) error { return invalid("invalid_redirect_uri", message, field) }
	if uri == "" || len(uri) > maxSetting {
		return fail("Give an address of up to 2000 bytes.")
	}
	for i := range len(uri) {
		if c := uri[i]; c <= 0x20 || c >= 0x7f || c == '\\' || c == '*' {
			return fail("The address has a wildcard, a space, a backslash or a character outside ASCII.")
		}
	}
	if strings.Contains(uri, "#") {
		return fail("The address has a fragment.")
	}
	u, err := url.Parse(uri)
	if err != nil || u.Scheme == "" || u.User != nil {
		return fail("Give an absolute address without credentials.")
	}
	switch u.Scheme {
	case "https":
		if u.Hostname() == "" || u.Opaque != "" {
			return fail("The address has no host.")
		}
	case "http":
		if u.Opaque != "" || !loopbackHost(u.Hostname()) {
			return fail("Plain http is for loopback addresses only.")
		}
	case "javascript", "data", "vbscript", "file", "blob", "about", "ftp", "ws", "wss", "mailto", "view-source":
		return fail("This scheme cannot be a redirect target.")
	default:
		// A private-use scheme is a reversed domain name (RFC 8252 §7.1), which keeps
		// it apart from schemes that something else on the device answers.
		if appType != Native || !strings.Contains(u.Scheme, ".") {
			return fail("Schemes of their own are for native applications and look like com.example.app.")
		}
	}
	if u.Scheme != strings.ToLower(uri[:len(u.Scheme)]) || uri[:len(u.Scheme)] != u.Scheme {
		return fail("Write the scheme in lower case.")
	}
	return nil
}

func loopbackHost(h string) bool {
	if h == "localhost" || strings.HasSuffix(h, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(h)
	return err == nil && a.IsLoopback()
}

func httpURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil && len(s) <= maxSetting && !hasControl(s)
}

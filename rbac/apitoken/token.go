package apitoken

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Kind says how a token is used.
type Kind string

// The kinds.
const (
	ClientCredentials Kind = "client_credentials" // exchanged at the token endpoint
	AccessToken       Kind = "access_token"       // sent as it is
)

// Token is an API token without its secret.
type Token struct {
	ID            string // tok_…, the client id
	Tenant        string
	Environment   string
	Membership    string // of the person whose token it is; empty: the tenant's
	Kind          Kind
	Description   string
	Metadata      json.RawMessage // a JSON object
	RoleIDs       []string        // of tenant tokens
	PermissionIDs []string        // of tenant tokens without roles
	Last4         string
	CreatedBy     string // id of the actor who made it
	CreatedByName string
	ExpiresAt     time.Time // zero: never
	LastUsedAt    time.Time // coarse: 5 minutes
	LastUsedIP    string    // at that time
	CreatedAt     time.Time
}

// Personal reports whether the token is a person's.
func (t Token) Personal() bool { return t.Membership != "" }

// prefix of the token's secret.
func (t Token) prefix() string {
	if t.Personal() {
		return secret.PersonalToken
	}
	return secret.TenantToken
}

// NewToken is what Create takes.
type NewToken struct {
	Kind        Kind // empty: client credentials
	Description string
	// RoleIDs or PermissionIDs, of which one must be given; with both the roles
	// win (product 2.3).
	RoleIDs       []string
	PermissionIDs []string
	Metadata      map[string]any
	Expiry        Expiry
}

// NewPersonal is what CreatePersonal takes.
type NewPersonal struct {
	Kind        Kind // empty: client credentials
	Description string
	Metadata    map[string]any
	Expiry      Expiry // Never is refused
}

// Expiry is how long a token serves. The zero value is 90 days.
type Expiry struct {
	Minutes int64 // 1 to MaxMinutes; 0: DefaultMinutes
	Never   bool
}

// Limits.
const (
	DefaultMinutes = 90 * 24 * 60
	MaxMinutes     = 5_256_000 // ten years (product 2.3)
	MaxPerTenant   = 100       // tenant tokens
	MaxPerPerson   = 20        // personal tokens in one tenant
	MaxMetadata    = 8 << 10   // bytes of JSON

	maxDescription = 200
	maxPermissions = 500
	lastUsedEvery  = 5 * time.Minute
)

// Types of token, as access tokens carry them (product 2.2).
const (
	TypeTenantCredentials = "tenantApiToken"
	TypeUserCredentials   = "userApiToken"
	TypeTenantAccess      = "tenantAccessToken"
	TypeUserAccess        = "userAccessToken"
)

// Claims are what a token stands for now.
type Claims struct {
	Type        string // one of the types above
	Subject     string // the token's client id (product 2.2)
	Environment string
	Tenant      string
	UserID      string   // of personal tokens
	Email       string   // of personal tokens
	Name        string   // the person's, or the token's description
	Roles       []string // keys
	Permissions []string // keys, verbatim, sorted
	Level       int      // of the strongest role; actor.NoLevel without roles
	Metadata    json.RawMessage
	ExpiresAt   time.Time // of the API token; zero: never
}

// Faults.
var (
	// ErrCredentials is the answer to every secret that does not serve, whatever
	// the reason, so that it tells nothing.
	ErrCredentials = fault.New(fault.Unauthenticated, "invalid_credentials", "The credential is missing or not valid here.")

	ErrNotFound     = fault.New(fault.NotFound, "api_token_not_found", "There is no such API token.")
	ErrNotYours     = fault.New(fault.Forbidden, "not_your_own", "Personal API tokens are made by their owner alone, signed in as himself.")
	ErrKindOff      = fault.New(fault.Forbidden, "token_kind_disabled", "Personal API tokens of this kind are switched off here.").In("kind")
	ErrImpersonated = fault.New(fault.Forbidden, "impersonation_refused", "Credentials cannot be touched while somebody is impersonated.")
	ErrNotHeld      = fault.New(fault.Forbidden, "permission_not_held", "A token cannot hold a permission that you do not hold yourself.")
)

func invalid(code, message, field string) error {
	return fault.New(fault.Invalid, code, message).In(field)
}

func (k Kind) check() error {
	if k != ClientCredentials && k != AccessToken {
		return invalid("invalid_kind", "Choose client_credentials or access_token.", "kind")
	}
	return nil
}

func checkDescription(s string) (string, error) {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > maxDescription || strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return "", invalid("invalid_description", "Give a description of 1 to 200 bytes without control characters.", "description")
	}
	return s, nil
}

func marshalMetadata(m map[string]any) (json.RawMessage, error) {
	if len(m) == 0 {
		return json.RawMessage("{}"), nil
	}
	text, err := json.Marshal(m)
	if err != nil || len(text) > MaxMetadata {
		return nil, invalid("invalid_metadata", "Give a JSON object of at most 8192 bytes.", "metadata")
	}
	return text, nil
}

// at gives the end of a token that is made now; zero: never.
func (e Expiry) at(now time.Time, never bool) (time.Time, error) {
	switch {
	case e.Never && !never:
		return time.Time{}, invalid("invalid_expiry", "A personal token has an end, at most 5256000 minutes from now.", "never_expires")
	case e.Never && e.Minutes != 0:
		return time.Time{}, invalid("invalid_expiry", "Give expires_in_minutes or never_expires, not both.", "never_expires")
	case e.Never:
		return time.Time{}, nil
	case e.Minutes < 0 || e.Minutes > MaxMinutes:
		return time.Time{}, invalid("invalid_expiry", "Choose 1 to 5256000 minutes.", "expires_in_minutes")
	case e.Minutes == 0:
		e.Minutes = DefaultMinutes
	}
	return now.Add(time.Duration(e.Minutes) * time.Minute), nil
}

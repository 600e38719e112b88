package sessions

import (
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Default lifetimes (design 3).
const (
	DefaultIdle     = 24 * time.Hour
	DefaultAbsolute = 30 * 24 * time.Hour

	CodeLifetime     = time.Minute
	RefreshIdle      = 30 * 24 * time.Hour
	RefreshAbsolute  = 90 * 24 * time.Hour
	grace            = 30 * time.Second
	touchEvery       = time.Minute
	keepEndedSession = 7 * 24 * time.Hour // for the list of past sessions
)

// Session is a person's session that is neither ended nor expired.
type Session struct {
	ID          string
	Environment string
	UserID      string
	// AMR, ACR and AuthTime are of the latest authentication.
	AMR        []string
	ACR        string
	AuthTime   time.Time
	CreatedAt  time.Time
	LastSeenAt time.Time
	ExpiresAt  time.Time // absolute
	Idle       time.Duration
	// Tenants are those that the session satisfies now.
	Tenants []Proof
}

// Proof is how a session satisfied a tenant.
type Proof struct {
	Tenant     string
	Membership string
	Connection string // sso_…; empty when not through SSO
	Method     string // saml, oidc, password, …
	AMR        []string
	ACR        string
	AuthTime   time.Time
	// SatisfiedAt is set by the service.
	SatisfiedAt time.Time
	// NotAfter is where the identity provider ends its session
	// (SessionNotOnOrAfter, session_expiry) or a policy forces a new login; zero:
	// nowhere. Refresh tokens do not outlive it.
	NotAfter time.Time
	Upstream string // SessionIndex or sid at the identity provider
	// Social is the environment's connection through which the person proved himself
	// (soc_…); empty: none. Unlike Connection it proves him for every tenant.
	Social string
	// UpstreamSubject is whom the identity provider knows the session of: the
	// NameID with its qualifiers, as JSON by the protocol that wrote it. Empty
	// where nothing has to be told there at logout.
	UpstreamSubject string
}

// Proof gives how the session satisfies the tenant.
func (s Session) Proof(tenant string) (Proof, bool) {
	for _, p := range s.Tenants {
		if p.Tenant == tenant {
			return p, true
		}
	}
	return Proof{}, false
}

// End gives when the session ends for the tenant, whatever its use: the earlier
// of its absolute end and that of the identity provider's session.
func (s Session) End(p Proof) time.Time {
	if !p.NotAfter.IsZero() && p.NotAfter.Before(s.ExpiresAt) {
		return p.NotAfter
	}
	return s.ExpiresAt
}

// Login is what becomes a session, or part of one.
type Login struct {
	Environment string
	UserID      string
	// Idle and Absolute are what the tenant's policy says; 0: the defaults.
	Idle, Absolute time.Duration
	// ForceLogin: refresh tokens, which outlive a session by default, end with it
	// too (product 45).
	ForceLogin    bool
	IP, UserAgent string
	Proof         Proof
	// MaxConcurrent is how many sessions the person may have in the tenant at
	// once; the oldest give way (product 46). 0: any number.
	MaxConcurrent int
}

// Selector says which parts of sessions End ends. What is set must match.
// Environment is always set, and Tenant, User or Session with it; Connection
// needs Tenant, and Upstream needs Connection. Social needs none of them.
type Selector struct {
	Environment string
	Tenant      string // only this tenant's part of the sessions
	User        string
	Session     string
	Connection  string // what was satisfied through this SSO connection
	Upstream    string // and in this session of the identity provider (SessionIndex, sid)
	Social      string // what was satisfied through this connection of the environment, and nothing else but User
}

var errSelector = fault.New(fault.Invalid, "session_selector", "The selector of sessions names nothing.")

// ErrNoSession answers a cookie that is no live session's.
var ErrNoSession = fault.New(fault.Unauthenticated, "no_session", "You are not signed in, or your session has ended.")

// ErrOtherUser: a session satisfies tenants for one person only.
var ErrOtherUser = fault.New(fault.Conflict, "session_other_user", "The session belongs to another person.")

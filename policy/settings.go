package policy

import "time"

// Kinds of policy.
const (
	MFA      = "mfa"
	IP       = "ip"
	Domains  = "domains"
	Sessions = "sessions"
	Lockout  = "lockout"
	Password = "password"
	SSO      = "sso"
	Social   = "social"
)

// Values of MFARules.Enforce, from the weakest to the strictest (product 40, 127).
const (
	MFAOff       = "off"
	MFAUnlessSSO = "unless_sso"
	MFAOn        = "on"
)

// Modes of a list.
const (
	Allow = "allow"
	Deny  = "deny"
)

// Settings is every policy of an environment or a tenant. The zero value forbids
// nothing and chooses nothing.
type Settings struct {
	MFA      MFARules
	IP       IPRules
	Domains  DomainRules
	Sessions SessionRules
	Lockout  LockoutRules
	Password PasswordRules
	SSO      SSORules
	Social   SocialRules
}

// MFARules say who needs a second factor. Empty: not chosen, which is off.
type MFARules struct {
	Enforce string `json:"enforce"`
	// RememberSeconds is for how long a browser that asked for it is not asked for a
	// second factor again, where the environment offers that at all (product 2.7).
	// 0: never. Not chosen: the environment's choice, and DefaultRemember there. A
	// tenant can only shorten it.
	RememberSeconds *int64 `json:"remember_seconds,omitempty"`
}

// IPRules restrict sign-in by address (product 47 to 50).
type IPRules struct {
	Enabled bool     `json:"enabled"`
	Mode    string   `json:"mode"`
	Rules   []IPRule `json:"rules"`
}

// IPRule is an address or a prefix.
type IPRule struct {
	CIDR string `json:"cidr"` // masked; addresses as /32 or /128
	Note string `json:"note,omitempty"`
	// Disabled rules stay in the list and count for nothing (product 2.7).
	Disabled bool `json:"disabled,omitempty"`
}

// DomainRules restrict by e-mail domain who may be added (product 51 to 53).
type DomainRules struct {
	Enabled bool     `json:"enabled"`
	Mode    string   `json:"mode"`
	Domains []string `json:"domains"` // normalised; sub-domains only if listed
	// BlockPublic refuses the domains where anybody can get an address, whatever the
	// list says (product 2.7).
	BlockPublic bool `json:"block_public_domains,omitempty"`
}

// SessionRules bound sessions (product 43 to 46). 0: not chosen.
type SessionRules struct {
	IdleSeconds     int64 `json:"idle_seconds,omitempty"`
	AbsoluteSeconds int64 `json:"absolute_seconds,omitempty"`
	MaxConcurrent   int   `json:"max_concurrent,omitempty"`
}

// LockoutRules bound wrong passwords (product 41). 0: not chosen.
type LockoutRules struct {
	MaxAttempts int   `json:"max_attempts,omitempty"`
	LockSeconds int64 `json:"lock_seconds,omitempty"` // 0: until it is unlocked
}

// PasswordRules are the tenant's wishes on top of the floor (product 42, 7.6). 0: not chosen.
type PasswordRules struct {
	MinLength   int  `json:"min_length,omitempty"`
	History     int  `json:"history,omitempty"`
	BreachCheck bool `json:"breach_check,omitempty"`
}

// SSORules say whether the tenant's people must come through its connections.
type SSORules struct {
	Enforced       bool     `json:"enforced"`
	ExcludedEmails []string `json:"excluded_emails"` // folded as addresses are compared
}

// SocialRules say whether people may sign in through the environment's own
// connections, such as Google. Not chosen: they may. A tenant can only forbid it.
type SocialRules struct {
	Allowed *bool `json:"allowed,omitempty"`
}

// Forbidden reports whether the rules refuse such a sign-in.
func (r SocialRules) Forbidden() bool { return r.Allowed != nil && !*r.Allowed }

// DefaultRemember is for how long a browser is remembered where nobody chose
// (product 2.7).
const DefaultRemember = 14 * 24 * time.Hour

// Default lifetimes of a session (design 3).
const (
	DefaultIdle     = 24 * time.Hour
	DefaultAbsolute = 30 * 24 * time.Hour
)

// Bounds on settings (product 2.7).
const (
	minIdleSeconds     = 60
	maxIdleSeconds     = 2_073_600
	minAbsoluteSeconds = 60
	minRememberSeconds = 60
	maxAbsoluteSeconds = 365 * 24 * 3600
	maxConcurrent      = 1000
	maxAttempts        = 100
	maxLockSeconds     = 7 * 24 * 3600
	minPassword        = 8   // with a second factor (product 7.6)
	maxPassword        = 256 // longer ones are not taken, so none may be asked for
	maxHistory         = 10
	maxRememberSeconds = 90 * 24 * 3600
	maxRules           = 1000
	maxNote            = 200
)

// Merge gives the rules that bind a person of the tenant: second factors are the
// stricter of both (product 127), lockout, history and sessions the tenant's
// where it chose (product 41 to 43), password length, breach check and social
// sign-in the stricter (product 2.7).
func Merge(environment, tenant Settings) Settings {
	m := environment
	m.MFA.Enforce = stricterMFA(environment.MFA.Enforce, tenant.MFA.Enforce)
	if t := tenant.MFA.RememberSeconds; t != nil && time.Duration(*t)*time.Second < environment.MFA.Remember() {
		m.MFA.RememberSeconds = t
	}
	if !environment.Social.Forbidden() {
		m.Social = tenant.Social
	}
	m.IP, m.Domains, m.SSO = tenant.IP, tenant.Domains, tenant.SSO
	if tenant.Sessions.IdleSeconds > 0 {
		m.Sessions.IdleSeconds = tenant.Sessions.IdleSeconds
	}
	if tenant.Sessions.AbsoluteSeconds > 0 {
		m.Sessions.AbsoluteSeconds = tenant.Sessions.AbsoluteSeconds
	}
	if tenant.Sessions.MaxConcurrent > 0 {
		m.Sessions.MaxConcurrent = tenant.Sessions.MaxConcurrent
	}
	if tenant.Lockout.MaxAttempts > 0 {
		m.Lockout = tenant.Lockout
	}
	if tenant.Password.History > 0 {
		m.Password.History = tenant.Password.History
	}
	m.Password.MinLength = max(environment.Password.MinLength, tenant.Password.MinLength)
	m.Password.BreachCheck = environment.Password.BreachCheck || tenant.Password.BreachCheck
	return m
}

// Strictest gives the rules that bind a person before a tenant is chosen: the
// environment's, and of lockout and passwords the strictest of what holds in each
// of his tenants (identity rule 7). A tenant's own choice comes before the
// environment's there too (product 41, 42).
func Strictest(environment Settings, own []Settings) Settings {
	m := Merge(environment, Settings{})
	for i, t := range own {
		in := Merge(environment, t)
		if i == 0 {
			m.Lockout, m.Password = in.Lockout, in.Password
			continue
		}
		m.Lockout = stricterLockout(m.Lockout, in.Lockout)
		m.Password.MinLength = max(m.Password.MinLength, in.Password.MinLength)
		m.Password.History = max(m.Password.History, in.Password.History)
		m.Password.BreachCheck = m.Password.BreachCheck || in.Password.BreachCheck
	}
	return m
}

// stricterLockout takes the fewer tries and the longer lock of both.
func stricterLockout(a, b LockoutRules) LockoutRules {
	switch {
	case a.MaxAttempts == 0:
		return b
	case b.MaxAttempts == 0:
		return a
	}
	out := LockoutRules{MaxAttempts: min(a.MaxAttempts, b.MaxAttempts)}
	if a.LockSeconds > 0 && b.LockSeconds > 0 {
		out.LockSeconds = max(a.LockSeconds, b.LockSeconds)
	}
	return out
}

// Remember is for how long a browser is remembered under the rules; 0: not at all.
func (r MFARules) Remember() time.Duration {
	if r.RememberSeconds == nil {
		return DefaultRemember
	}
	return time.Duration(*r.RememberSeconds) * time.Second
}

func mfaRank(enforce string) int {
	switch enforce {
	case MFAUnlessSSO:
		return 1
	case MFAOn:
		return 2
	}
	return 0
}

func stricterMFA(a, b string) string {
	if mfaRank(b) > mfaRank(a) {
		return b
	}
	if a == "" {
		return MFAOff
	}
	return a
}

// Lifetimes gives the idle and absolute lifetime of a session under the rules.
func (r SessionRules) Lifetimes() (idle, absolute time.Duration) {
	idle, absolute = DefaultIdle, DefaultAbsolute
	if r.IdleSeconds > 0 {
		idle = time.Duration(r.IdleSeconds) * time.Second
	}
	if r.AbsoluteSeconds > 0 {
		absolute = time.Duration(r.AbsoluteSeconds) * time.Second
	}
	return min(idle, absolute), absolute
}

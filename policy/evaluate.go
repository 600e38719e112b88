package policy

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/tenants"
)

// Outcome is what a decision comes to.
type Outcome string

// The outcomes. A caller that cannot ask for a second factor refuses NeedMFA.
const (
	OutcomeAllow   Outcome = "allow"
	OutcomeDeny    Outcome = "deny"
	OutcomeNeedMFA Outcome = "need_mfa"
)

// Codes of refusals.
const (
	CodeIPEnvironment = "POLICY_IP_ENVIRONMENT"
	CodeIP            = "POLICY_IP"
	CodeEmailDomain   = "POLICY_EMAIL_DOMAIN"
	CodeSSORequired   = "POLICY_SSO_REQUIRED"
	CodeMFARequired   = "POLICY_MFA_REQUIRED"
)

// Methods of login that Evaluate tells apart; any other is a first factor that
// the tenant's identity provider did not check.
const (
	MethodSAML = "saml"
	MethodOIDC = "oidc"
	// MethodBreakGlass is an operator's one-time link: possession of it stands in
	// for single sign-on and for a second factor, and for nothing else.
	MethodBreakGlass = "break_glass"
)

// Input is everything that a decision depends on.
type Input struct {
	Now   time.Time
	IP    netip.Addr
	Human bool // own-address and address rules bind people only (identity rule 12)
	Email string
	// NewUser is set when the login would add a person to the tenant: domains are
	// consulted then only (product 53; identity rule 4).
	NewUser bool
	// EmailDomainVerified: the tenant itself verified the domain of Email.
	EmailDomainVerified bool
	// AllowUnverifiedDomains is the connection's switch (identity rule 4).
	AllowUnverifiedDomains bool
	// Method is how the person proved himself; saml and oidc mean the tenant's
	// own enterprise connection.
	Method string
	// TrustIdPMFA is the connection's switch; MFAEvidence what its identity
	// provider said in amr or AuthnContext (identity rule 11).
	TrustIdPMFA bool
	MFAEvidence bool
	// SecondFactor: a factor was checked here.
	SecondFactor bool
	Environment  Settings
	Tenant       Settings
}

// Check is one question that was asked, for the login's record.
type Check struct {
	Name     string
	OK       bool
	Expected string
	Actual   string
}

// Decision is the outcome with its reasons. Code is empty when it allows.
type Decision struct {
	Outcome       Outcome
	Code          string
	Checks        []Check
	Idle          time.Duration
	Absolute      time.Duration
	ForceLogin    bool // a policy chose Absolute (product 45), it is not the default
	MaxConcurrent int  // per (user, tenant); 0: not limited
}

// Evaluate decides whether a login may go on. The first refusal gives the code;
// every check that was reached is listed.
func Evaluate(in Input) Decision {
	merged := Merge(in.Environment, in.Tenant)
	d := Decision{Outcome: OutcomeAllow, MaxConcurrent: merged.Sessions.MaxConcurrent}
	d.Idle, d.Absolute = merged.Sessions.Lifetimes()
	d.ForceLogin = merged.Sessions.AbsoluteSeconds > 0
	steps := []func(Input, Settings) (Check, string, bool){checkEnvironmentIP, checkTenantIP, checkDomainList, checkVerifiedDomain, checkSSO}
	for _, step := range steps {
		c, code, asked := step(in, merged)
		if !asked {
			continue
		}
		d.Checks = append(d.Checks, c)
		if !c.OK {
			d.Outcome, d.Code = OutcomeDeny, code
			return d
		}
	}
	if c, asked := checkMFA(in, merged); asked {
		d.Checks = append(d.Checks, c)
		if !c.OK {
			d.Outcome, d.Code = OutcomeNeedMFA, CodeMFARequired
		}
	}
	return d
}

func checkEnvironmentIP(in Input, _ Settings) (Check, string, bool) {
	return checkIP("environment_ip", in, in.Environment.IP), CodeIPEnvironment, in.Human && in.Environment.IP.Enabled
}

func checkTenantIP(in Input, _ Settings) (Check, string, bool) {
	return checkIP("ip", in, in.Tenant.IP), CodeIP, in.Human && in.Tenant.IP.Enabled
}

func checkIP(name string, in Input, r IPRules) Check {
	return Check{Name: name, OK: r.Permits(in.IP), Expected: r.Mode + " list of " + strconv.Itoa(len(r.Rules)), Actual: in.IP.String()}
}

func checkDomainList(in Input, m Settings) (Check, string, bool) {
	c := Check{Name: "email_domain_list", OK: true}
	for _, r := range []DomainRules{in.Environment.Domains, in.Tenant.Domains} {
		if r.Enabled && !r.Permits(in.Email) {
			c.OK, c.Expected, c.Actual = false, r.Mode+" list of "+strconv.Itoa(len(r.Domains)), domainShown(in.Email)
		}
	}
	return c, CodeEmailDomain, in.NewUser && (in.Environment.Domains.Enabled || m.Domains.Enabled)
}

// checkVerifiedDomain: just-in-time creation stays within the domains that the
// tenant verified, unless its connection says otherwise (identity rule 4).
func checkVerifiedDomain(in Input, _ Settings) (Check, string, bool) {
	return Check{
		Name: "email_domain_verified", OK: in.EmailDomainVerified || in.AllowUnverifiedDomains,
		Expected: "a domain that the tenant verified", Actual: domainShown(in.Email),
	}, CodeEmailDomain, in.NewUser && enterprise(in.Method)
}

func checkSSO(in Input, m Settings) (Check, string, bool) {
	excluded := m.SSO.Excludes(in.Email)
	return Check{
		Name: "sso_enforced", OK: enterprise(in.Method) || excluded || in.Method == MethodBreakGlass,
		Expected: "a login through the tenant's connection", Actual: in.Method,
	}, CodeSSORequired, m.SSO.Enforced
}

func checkMFA(in Input, m Settings) (Check, bool) {
	c := Check{Name: "mfa", Expected: m.MFA.Enforce}
	// Excluded e-mails come in without the identity provider and so always need a
	// second factor (identity rule 12).
	breakGlass := m.SSO.Enforced && !enterprise(in.Method)
	switch {
	case in.SecondFactor:
		c.OK, c.Actual = true, "second factor"
	case in.Method == MethodBreakGlass:
		c.OK, c.Actual = true, "one-time link of the operator"
	case enterprise(in.Method) && m.MFA.Enforce == MFAUnlessSSO:
		c.OK, c.Actual = true, "enterprise login" // product 128
	case enterprise(in.Method) && in.TrustIdPMFA && in.MFAEvidence:
		c.OK, c.Actual = true, "evidence of the identity provider"
	default:
		c.Actual = "none"
	}
	if breakGlass {
		c.Expected = MFAOn
	}
	return c, breakGlass || m.MFA.Enforce != MFAOff
}

func enterprise(method string) bool { return method == MethodSAML || method == MethodOIDC }

// domainShown is the part of an address that a record may show.
func domainShown(email string) string { return email[strings.LastIndexByte(email, '@')+1:] }

// Permits reports whether the address passes, whether or not the rules are
// switched on. An address that is not known passes no allowlist.
func (r IPRules) Permits(ip netip.Addr) bool {
	return r.Contains(ip) == (r.Mode != Deny)
}

// Contains reports whether a rule covers the address; an IPv4 address mapped into
// IPv6 counts as IPv4 (product, trap C1).
func (r IPRules) Contains(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	for _, rule := range r.Rules {
		if p, err := netip.ParsePrefix(rule.CIDR); err == nil && p.Contains(ip) {
			return true
		}
	}
	return false
}

// Permits reports whether an address of this domain may be added, whether or not
// the rules are switched on (product 126).
func (r DomainRules) Permits(email string) bool {
	domain, err := tenants.EmailDomain(email)
	if err != nil {
		return false
	}
	listed := false
	for _, d := range r.Domains {
		listed = listed || d == domain
	}
	return listed == (r.Mode != Deny)
}

// Excludes reports whether the address may come in without SSO.
func (r SSORules) Excludes(email string) bool {
	key := foldEmail(email)
	for _, e := range r.ExcludedEmails {
		if e == key {
			return true
		}
	}
	return false
}

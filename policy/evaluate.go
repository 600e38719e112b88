package policy

import (
	"net/netip"
	"slices"
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
	CodeSocial        = "POLICY_SOCIAL_NOT_ALLOWED"
)

// Methods of login that Evaluate tells apart; any other is a first factor that
// the tenant's identity provider did not check.
const (
	MethodSAML = "saml"
	MethodOIDC = "oidc"
	// MethodSocial is a connection of the environment's own.
	MethodSocial = "social"
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
	// RememberedAt is when this browser was last asked for one and the person had it
	// remembered; zero: never.
	RememberedAt time.Time
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
	Outcome Outcome
	Code    string
	// Refused names the rule that decided, for the administrator's log.
	Refused       Rule
	Checks        []Check
	Remembered    bool // this browser need not be asked for a second factor
	Idle          time.Duration
	Absolute      time.Duration
	ForceLogin    bool // a policy chose Absolute (product 45), it is not the default
	MaxConcurrent int  // per (user, tenant); 0: not limited
}

// Rule is one rule of a policy.
type Rule struct {
	Policy string // a kind, such as ip
	Of     string // environment or tenant
	Rule   string // which one: a prefix, a domain, or what the policy demands
}

// Metadata adds the rule to that of an audit event; the zero value adds nothing.
func (r Rule) Metadata(m map[string]any) map[string]any {
	if r.Policy != "" {
		m["policy"], m["policy_of"], m["rule"] = r.Policy, r.Of, r.Rule
	}
	return m
}

// Whose a rule is.
const (
	ofEnvironment = "environment"
	ofTenant      = "tenant"
)

// step asks one question; asked is false when no rule puts it.
type step func(in Input, merged Settings) (c Check, code string, r Rule, asked bool)

// Evaluate decides whether a login may go on. The first refusal gives the code;
// every check that was reached is listed. Making any rule stricter never lets in
// whom it kept out before, and the order of rules in a list does not count.
func Evaluate(in Input) Decision {
	return decide(in, checkEnvironmentIP, checkTenantIP, checkDomainList, checkVerifiedDomain, checkSSO, checkSocial, checkMFA)
}

// Admit decides whether somebody may be invited to the tenant, or join it without
// signing in to it: by the e-mail domains, and from where he comes while he is
// Human (product 47, 52). Second factors and single sign-on are asked for when he
// signs in.
func Admit(in Input) Decision {
	in.NewUser = true
	return decide(in, checkEnvironmentIP, checkTenantIP, checkDomainList)
}

func decide(in Input, steps ...step) Decision {
	merged := Merge(in.Environment, in.Tenant)
	d := Decision{Outcome: OutcomeAllow, MaxConcurrent: merged.Sessions.MaxConcurrent, Remembered: remembered(in, merged)}
	d.Idle, d.Absolute = merged.Sessions.Lifetimes()
	d.ForceLogin = merged.Sessions.AbsoluteSeconds > 0
	for _, ask := range steps {
		c, code, rule, asked := ask(in, merged)
		if !asked {
			continue
		}
		d.Checks = append(d.Checks, c)
		if c.OK {
			continue
		}
		d.Outcome, d.Code, d.Refused = OutcomeDeny, code, rule
		if code == CodeMFARequired {
			d.Outcome = OutcomeNeedMFA
		}
		return d
	}
	return d
}

func checkEnvironmentIP(in Input, _ Settings) (Check, string, Rule, bool) {
	r := in.Environment.IP
	return checkIP("environment_ip", in, r), CodeIPEnvironment, Rule{IP, ofEnvironment, r.decides(in.IP)}, in.Human && r.Enabled
}

func checkTenantIP(in Input, _ Settings) (Check, string, Rule, bool) {
	r := in.Tenant.IP
	return checkIP("ip", in, r), CodeIP, Rule{IP, ofTenant, r.decides(in.IP)}, in.Human && r.Enabled
}

func checkIP(name string, in Input, r IPRules) Check {
	return Check{Name: name, OK: r.Permits(in.IP), Expected: r.Mode + " list of " + strconv.Itoa(len(r.Rules)), Actual: in.IP.String()}
}

func checkDomainList(in Input, _ Settings) (Check, string, Rule, bool) {
	c, rule, asked := Check{Name: "email_domain_list", OK: true}, Rule{}, false
	for _, x := range []struct {
		of string
		r  DomainRules
	}{{ofEnvironment, in.Environment.Domains}, {ofTenant, in.Tenant.Domains}} {
		asked = asked || x.r.Enabled
		if c.OK && x.r.Enabled && !x.r.Permits(in.Email) {
			c.OK, c.Expected, c.Actual = false, x.r.Mode+" list of "+strconv.Itoa(len(x.r.Domains)), domainShown(in.Email)
			rule = Rule{Domains, x.of, x.r.decides(in.Email)}
		}
	}
	return c, CodeEmailDomain, rule, in.NewUser && asked
}

// checkVerifiedDomain: just-in-time creation stays within the domains that the
// tenant verified, unless its connection says otherwise (identity rule 4).
func checkVerifiedDomain(in Input, _ Settings) (Check, string, Rule, bool) {
	return Check{
		Name: "email_domain_verified", OK: in.EmailDomainVerified || in.AllowUnverifiedDomains,
		Expected: "a domain that the tenant verified", Actual: domainShown(in.Email),
	}, CodeEmailDomain, Rule{Domains, ofTenant, "verified domains"}, in.NewUser && enterprise(in.Method)
}

func checkSSO(in Input, m Settings) (Check, string, Rule, bool) {
	excluded := m.SSO.Excludes(in.Email)
	return Check{
		Name: "sso_enforced", OK: enterprise(in.Method) || excluded || in.Method == MethodBreakGlass,
		Expected: "a login through the tenant's connection", Actual: in.Method,
	}, CodeSSORequired, Rule{SSO, ofTenant, "enforced"}, m.SSO.Enforced
}

func checkSocial(in Input, m Settings) (Check, string, Rule, bool) {
	of := ofTenant
	if in.Environment.Social.Forbidden() {
		of = ofEnvironment
	}
	return Check{
		Name: "social", OK: !m.Social.Forbidden(), Expected: "a login that is not social", Actual: in.Method,
	}, CodeSocial, Rule{Social, of, "not allowed"}, in.Method == MethodSocial
}

func checkMFA(in Input, m Settings) (Check, string, Rule, bool) {
	c := Check{Name: "mfa", OK: true, Expected: m.MFA.Enforce}
	rule := Rule{MFA, ofEnvironment, m.MFA.Enforce}
	if mfaRank(in.Tenant.MFA.Enforce) > mfaRank(in.Environment.MFA.Enforce) {
		rule.Of = ofTenant
	}
	if pastSSO(in, m) {
		c.Expected, rule = MFAOn, Rule{SSO, ofTenant, "excluded_emails"}
	}
	switch {
	case in.SecondFactor:
		c.Actual = "second factor"
	case in.Method == MethodBreakGlass:
		c.Actual = "one-time link of the operator"
	case enterprise(in.Method) && m.MFA.Enforce == MFAUnlessSSO:
		c.Actual = "enterprise login" // product 128
	case enterprise(in.Method) && in.TrustIdPMFA && in.MFAEvidence:
		c.Actual = "evidence of the identity provider"
	case remembered(in, m):
		c.Actual = "remembered browser"
	default:
		c.OK, c.Actual = false, "none"
	}
	return c, CodeMFARequired, rule, pastSSO(in, m) || m.MFA.Enforce != MFAOff
}

// pastSSO: excluded e-mails come in without the identity provider and so always
// need a second factor (identity rule 12).
func pastSSO(in Input, m Settings) bool { return m.SSO.Enforced && !enterprise(in.Method) }

// remembered reports whether the browser is one that need not be asked. The way
// past single sign-on is asked each time.
func remembered(in Input, m Settings) bool {
	return !in.RememberedAt.IsZero() && !pastSSO(in, m) && in.Now.Before(in.RememberedAt.Add(m.MFA.Remember()))
}

func enterprise(method string) bool { return method == MethodSAML || method == MethodOIDC }

// domainShown is the part of an address that a record may show.
func domainShown(email string) string { return email[strings.LastIndexByte(email, '@')+1:] }

func (r IPRule) counts() bool { return !r.Disabled }

// Permits reports whether the address passes, whether or not the rules are
// switched on. An address that is not known passes no allowlist.
func (r IPRules) Permits(ip netip.Addr) bool {
	return r.Contains(ip) == (r.Mode != Deny)
}

// Contains reports whether a rule covers the address; an IPv4 address mapped into
// IPv6 counts as IPv4 (product, trap C1).
func (r IPRules) Contains(ip netip.Addr) bool { return r.Covering(ip) != "" }

// Covering is the narrowest rule that covers the address; empty: none does.
func (r IPRules) Covering(ip netip.Addr) string {
	ip = ip.Unmap().WithZone("")
	found, bits := "", -1
	for _, rule := range r.Rules {
		if p, err := netip.ParsePrefix(rule.CIDR); err == nil && rule.counts() && p.Contains(ip) && p.Bits() > bits {
			found, bits = rule.CIDR, p.Bits()
		}
	}
	return found
}

// decides names the rule that keeps the address out, or in.
func (r IPRules) decides(ip netip.Addr) string {
	if found := r.Covering(ip); found != "" {
		return found
	}
	return "not on the " + r.Mode + " list"
}

// Permits reports whether an address of this domain may be added, whether or not
// the rules are switched on (product 126).
func (r DomainRules) Permits(email string) bool {
	domain, err := tenants.EmailDomain(email)
	if err != nil || r.BlockPublic && tenants.PublicMailDomain(domain) {
		return false
	}
	return slices.Contains(r.Domains, domain) == (r.Mode != Deny)
}

// decides names the rule that keeps the address out.
func (r DomainRules) decides(email string) string {
	domain, err := tenants.EmailDomain(email)
	switch {
	case err != nil:
		return "no e-mail address"
	case r.BlockPublic && tenants.PublicMailDomain(domain):
		return "block_public_domains"
	case slices.Contains(r.Domains, domain):
		return domain
	}
	return "not on the " + r.Mode + " list"
}

// Excludes reports whether the address may come in without SSO.
func (r SSORules) Excludes(email string) bool {
	return slices.Contains(r.ExcludedEmails, foldEmail(email))
}

package policy

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/tenants"
)

func invalid(code, message, field string) error {
	return fault.New(fault.Invalid, code, message).In(field)
}

// check holds the settings of one kind to the rules that bind at save, and
// normalises them.
func (s *Settings) check(a actor.Actor, kind string, before, environment Settings, ofTenant bool) error {
	switch kind {
	case MFA:
		return s.MFA.check(environment, ofTenant)
	case IP:
		return s.IP.check(a, before.IP)
	case Domains:
		return s.Domains.check()
	case Sessions:
		return s.Sessions.check()
	case Lockout:
		return s.Lockout.check()
	case Password:
		return s.Password.check()
	case Social:
		return s.Social.check(environment, ofTenant)
	}
	return s.SSO.check()
}

// A tenant's value below the environment's is refused (product 40, 127).
func (r MFARules) check(environment Settings, ofTenant bool) error {
	switch r.Enforce {
	case MFAOff, MFAUnlessSSO, MFAOn:
	default:
		return invalid("invalid_value", "Choose off, unless_sso or on.", "enforce")
	}
	if ofTenant && mfaRank(r.Enforce) < mfaRank(environment.MFA.Enforce) {
		return invalid("mfa_weaker_than_environment", "The environment demands more than this.", "enforce")
	}
	if r.RememberSeconds == nil {
		return nil
	}
	seconds := *r.RememberSeconds
	if seconds != 0 && (seconds < minRememberSeconds || seconds > maxRememberSeconds) {
		return invalid("out_of_range", "Choose 60 to 7776000 seconds, or 0 for never.", "remember_seconds")
	}
	if ofTenant && time.Duration(seconds)*time.Second > environment.MFA.Remember() {
		return invalid("mfa_weaker_than_environment", "The environment remembers browsers for less time than this.", "remember_seconds")
	}
	return nil
}

// A tenant may forbid what the environment allows, and not the other way round.
func (r SocialRules) check(environment Settings, ofTenant bool) error {
	switch {
	case r.Allowed == nil:
		return invalid("required", "Say true or false.", "allowed")
	case ofTenant && *r.Allowed && environment.Social.Forbidden():
		return invalid("social_weaker_than_environment", "The environment does not allow social sign-in.", "allowed")
	}
	return nil
}

func (r *IPRules) check(a actor.Actor, before IPRules) error {
	if err := checkMode(r.Mode); err != nil {
		return err
	}
	if len(r.Rules) > maxRules {
		return fault.New(fault.TooLarge, "too_many", "A list has at most 1000 rules.").In("rules")
	}
	out := make([]IPRule, 0, len(r.Rules))
	for i, rule := range r.Rules {
		field := "rules[" + strconv.Itoa(i) + "]"
		p, err := parseRule(rule.CIDR)
		if err != nil {
			return invalid("invalid_cidr", "Give an IPv4 or IPv6 address, or a prefix such as 192.0.2.0/24, without a zone.", field+".cidr")
		}
		if len(rule.Note) > maxNote {
			return invalid("too_long", "A note has at most 200 bytes.", field+".note")
		}
		n := IPRule{CIDR: p.String(), Note: rule.Note, Disabled: rule.Disabled}
		if !slices.ContainsFunc(out, func(o IPRule) bool { return o.CIDR == n.CIDR }) {
			out = append(out, n)
		}
	}
	r.Rules = out
	return r.checkOwn(a, before)
}

// checkOwn refuses a list that would lock its author out: on adding, deleting and
// switching rules, on switching the list on and on changing its mode (product 48,
// 49, 125). It binds people only: a key has no desk (identity rule 12). Switching
// the list off, and an empty list that is off, are the way back and pass.
func (r IPRules) checkOwn(a actor.Actor, before IPRules) error {
	off := !r.Enabled && (!slices.ContainsFunc(r.Rules, IPRule.counts) || r.Mode == before.Mode && slices.Equal(r.Rules, before.Rules))
	if !a.Human() || off {
		return nil
	}
	switch contains := a.IP.IsValid() && r.Contains(a.IP); {
	case r.Mode == Allow && !contains:
		return invalid("ip_list_excludes_caller", "The allowlist must contain your own address.", "rules")
	case r.Mode == Deny && contains:
		return invalid("ip_list_includes_caller", "The denylist may not contain your own address.", "rules")
	}
	return nil
}

// parseRule reads an address or prefix: host bits are masked, IPv4 mapped into
// IPv6 becomes IPv4, zones are refused (product, trap C1).
func parseRule(s string) (netip.Prefix, error) {
	s = strings.TrimSpace(s)
	p, err := netip.ParsePrefix(s) // refuses zones
	if err != nil {
		var ip netip.Addr
		if ip, err = netip.ParseAddr(s); err != nil {
			return netip.Prefix{}, err
		}
		if ip.Zone() != "" {
			return netip.Prefix{}, fault.New(fault.Invalid, "invalid_cidr", "An address has no zone here.")
		}
		p = netip.PrefixFrom(ip, ip.BitLen())
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, fault.New(fault.Invalid, "invalid_cidr", "The prefix reaches beyond the mapped IPv4 addresses.")
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

func (r *DomainRules) check() error {
	if err := checkMode(r.Mode); err != nil {
		return err
	}
	if len(r.Domains) > maxRules {
		return fault.New(fault.TooLarge, "too_many", "A list has at most 1000 domains.").In("domains")
	}
	out := make([]string, 0, len(r.Domains))
	for i, d := range r.Domains {
		n, err := tenants.NormaliseDomain(d)
		if err != nil {
			return invalid("invalid_domain", "Give a domain name such as acme.com.", "domains["+strconv.Itoa(i)+"]")
		}
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	r.Domains = out
	return nil
}

func (r SessionRules) check() error {
	switch {
	case r.IdleSeconds != 0 && (r.IdleSeconds < minIdleSeconds || r.IdleSeconds > maxIdleSeconds):
		return invalid("out_of_range", "Choose 60 to 2073600 seconds, or 0 for the default.", "idle_seconds")
	case r.AbsoluteSeconds != 0 && (r.AbsoluteSeconds < minAbsoluteSeconds || r.AbsoluteSeconds > maxAbsoluteSeconds):
		return invalid("out_of_range", "Choose 60 to 31536000 seconds, or 0 for the default.", "absolute_seconds")
	case r.MaxConcurrent < 0 || r.MaxConcurrent > maxConcurrent:
		return invalid("out_of_range", "Choose 1 to 1000 sessions, or 0 for no limit.", "max_concurrent")
	}
	return nil
}

func (r LockoutRules) check() error {
	switch {
	case r.MaxAttempts < 1 || r.MaxAttempts > maxAttempts:
		return invalid("out_of_range", "Choose 1 to 100 attempts.", "max_attempts")
	case r.LockSeconds < 0 || r.LockSeconds > maxLockSeconds:
		return invalid("out_of_range", "Choose up to 604800 seconds, or 0 to lock until somebody unlocks.", "lock_seconds")
	}
	return nil
}

func (r PasswordRules) check() error {
	switch {
	case r.MinLength != 0 && (r.MinLength < minPassword || r.MinLength > maxPassword):
		return invalid("out_of_range", "Choose 8 to 256 characters, or 0 for the default.", "min_length")
	case r.History < 0 || r.History > maxHistory:
		return invalid("out_of_range", "Choose 0 to 10 passwords.", "history")
	}
	return nil
}

func (r *SSORules) check() error {
	if len(r.ExcludedEmails) > maxRules {
		return fault.New(fault.TooLarge, "too_many", "Exclude at most 1000 addresses.").In("excluded_emails")
	}
	out := make([]string, 0, len(r.ExcludedEmails))
	for i, e := range r.ExcludedEmails {
		if _, err := tenants.EmailDomain(e); err != nil || len(e) > 320 {
			return invalid("invalid_email", "Give an e-mail address.", "excluded_emails["+strconv.Itoa(i)+"]")
		}
		if key := foldEmail(e); !slices.Contains(out, key) {
			out = append(out, key)
		}
	}
	r.ExcludedEmails = out
	return nil
}

func checkMode(mode string) error {
	if mode != Allow && mode != Deny {
		return invalid("invalid_value", "Choose allow or deny.", "mode")
	}
	return nil
}

// foldEmail is the form in which addresses are compared: NFC, lower case, the
// domain as IDNA A-labels.
func foldEmail(email string) string {
	s := strings.ToLower(norm.NFC.String(strings.TrimSpace(email)))
	if at := strings.LastIndexByte(s, '@'); at > 0 {
		if d, err := tenants.NormaliseDomain(s[at+1:]); err == nil {
			return s[:at+1] + d
		}
	}
	return s
}

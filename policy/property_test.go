package policy

import (
	"fmt"
	"math/rand"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	drawnIPs     = []string{"192.0.2.1", "192.0.2.129", "198.51.100.7", "::ffff:192.0.2.1", "2001:db8::1", ""}
	drawnCIDRs   = []string{"192.0.2.0/24", "192.0.2.128/25", "198.51.100.7/32", "2001:db8::/64", "0.0.0.0/0"}
	drawnDomains = []string{"acme.com", "gmail.com", "x.acme.com"}
	drawnMFA     = []string{"", MFAOff, MFAUnlessSSO, MFAOn}
	drawnNow     = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func drawIPRules(t *rapid.T) IPRules {
	r := IPRules{Enabled: rapid.Bool().Draw(t, "ip"), Mode: rapid.SampledFrom([]string{Allow, Deny}).Draw(t, "ip mode")}
	for _, c := range rapid.SliceOfNDistinct(rapid.SampledFrom(drawnCIDRs), 0, 3, rapid.ID).Draw(t, "cidrs") {
		r.Rules = append(r.Rules, IPRule{CIDR: c, Disabled: rapid.Bool().Draw(t, "resting")})
	}
	return r
}

func drawSettings(t *rapid.T, tenant bool) Settings {
	s := Settings{IP: drawIPRules(t)}
	s.MFA.Enforce = rapid.SampledFrom(drawnMFA).Draw(t, "mfa")
	if rapid.Bool().Draw(t, "remember chosen") {
		s.MFA.RememberSeconds = new(int64(rapid.SampledFrom([]int{0, 60, 86400}).Draw(t, "remember")))
	}
	s.Domains = DomainRules{
		Enabled: rapid.Bool().Draw(t, "domains"), Mode: rapid.SampledFrom([]string{Allow, Deny}).Draw(t, "domain mode"),
		Domains: rapid.SliceOfNDistinct(rapid.SampledFrom(drawnDomains), 0, 2, rapid.ID).Draw(t, "listed"), BlockPublic: rapid.Bool().Draw(t, "public"),
	}
	if rapid.Bool().Draw(t, "social chosen") {
		s.Social.Allowed = new(rapid.Bool().Draw(t, "social"))
	}
	if tenant {
		s.SSO.Enforced = rapid.Bool().Draw(t, "sso")
		if rapid.Bool().Draw(t, "excluded") {
			s.SSO.ExcludedEmails = []string{"a@acme.com"}
		}
	}
	return s
}

func drawInput(t *rapid.T) Input {
	in := Input{
		Now: drawnNow, Human: rapid.Bool().Draw(t, "human"), Email: "a@" + rapid.SampledFrom(drawnDomains).Draw(t, "domain"), NewUser: rapid.Bool().Draw(t, "new"),
		EmailDomainVerified: rapid.Bool().Draw(t, "verified"), AllowUnverifiedDomains: rapid.Bool().Draw(t, "unverified"),
		Method:      rapid.SampledFrom([]string{MethodSAML, MethodOIDC, MethodSocial, MethodBreakGlass, "password", "passkey"}).Draw(t, "method"),
		TrustIdPMFA: rapid.Bool().Draw(t, "trust"), MFAEvidence: rapid.Bool().Draw(t, "evidence"), SecondFactor: rapid.Bool().Draw(t, "second"),
		Environment: drawSettings(t, false), Tenant: drawSettings(t, true),
	}
	in.IP, _ = netip.ParseAddr(rapid.SampledFrom(drawnIPs).Draw(t, "address"))
	if rapid.Bool().Draw(t, "remembered") {
		in.RememberedAt = drawnNow.Add(-time.Hour)
	}
	return in
}

// tightenings make one rule stricter, or take something away that lets people in.
var tightenings = map[string]func(in *Input, s *Settings){
	"mfa":          func(_ *Input, s *Settings) { s.MFA.Enforce = drawnMFA[min(slices.Index(drawnMFA, s.MFA.Enforce)+1, 3)] },
	"remember":     func(_ *Input, s *Settings) { s.MFA.RememberSeconds = new(int64) },
	"ip on":        func(_ *Input, s *Settings) { s.IP.Enabled = true },
	"another deny": func(_ *Input, s *Settings) { s.IP.add(Deny, IPRule{CIDR: "192.0.2.0/24"}) },
	"fewer allowed": func(_ *Input, s *Settings) {
		if s.IP.Mode == Allow && len(s.IP.Rules) > 0 {
			s.IP.Rules = s.IP.Rules[1:]
		}
	},
	"allowed one rests": func(_ *Input, s *Settings) {
		if s.IP.Mode == Allow && len(s.IP.Rules) > 0 {
			s.IP.Rules = append([]IPRule{{CIDR: s.IP.Rules[0].CIDR, Disabled: true}}, s.IP.Rules[1:]...)
		}
	},
	"domains on":    func(_ *Input, s *Settings) { s.Domains.Enabled = true },
	"public domain": func(_ *Input, s *Settings) { s.Domains.BlockPublic = true },
	"domain list": func(_ *Input, s *Settings) {
		if s.Domains.Mode == Deny {
			s.Domains.Domains = append(slices.Clone(s.Domains.Domains), "acme.com")
		} else if len(s.Domains.Domains) > 0 {
			s.Domains.Domains = s.Domains.Domains[1:]
		}
	},
	"social":        func(_ *Input, s *Settings) { s.Social.Allowed = new(bool) },
	"sso":           func(in *Input, _ *Settings) { in.Tenant.SSO.Enforced = true },
	"excluded":      func(in *Input, _ *Settings) { in.Tenant.SSO.ExcludedEmails = nil },
	"trust":         func(in *Input, _ *Settings) { in.TrustIdPMFA = false },
	"evidence":      func(in *Input, _ *Settings) { in.MFAEvidence = false },
	"second factor": func(in *Input, _ *Settings) { in.SecondFactor = false },
	"verified":      func(in *Input, _ *Settings) { in.EmailDomainVerified, in.AllowUnverifiedDomains = false, false },
	"forgotten":     func(in *Input, _ *Settings) { in.RememberedAt = time.Time{} },
	"joins":         func(in *Input, _ *Settings) { in.NewUser = true },
}

func (r *IPRules) add(mode string, rule IPRule) {
	if r.Mode == mode {
		r.Rules = append(slices.Clone(r.Rules), rule)
	}
}

// weight orders outcomes by what they let happen.
func weight(o Outcome) int {
	return slices.Index([]Outcome{OutcomeDeny, OutcomeNeedMFA, OutcomeAllow}, o)
}

// Making anything stricter never lets in whom it kept out (product 40 to 53, 127).
func TestTighteningNeverAllowsMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		before, admitted := Evaluate(in), Admit(in)
		name := rapid.SampledFrom(slices.Sorted(func(yield func(string) bool) {
			for n := range tightenings {
				if !yield(n) {
					return
				}
			}
		})).Draw(t, "tightening")
		to := &in.Environment
		if rapid.Bool().Draw(t, "of the tenant") {
			to = &in.Tenant
		}
		tightenings[name](&in, to)
		if after := Evaluate(in); weight(after.Outcome) > weight(before.Outcome) || after.Remembered && !before.Remembered && name != "excluded" {
			t.Errorf("%s: %s %+v became %s", name, before.Outcome, before.Refused, after.Outcome)
		}
		if after := Admit(in); weight(after.Outcome) > weight(admitted.Outcome) {
			t.Errorf("%s: admission %s became %s", name, admitted.Outcome, after.Outcome)
		}
	})
}

// A list is a set, and a refusal always has a code and the rule that decided.
func TestOrderDoesNotCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		before := Evaluate(in)
		if (before.Code == "") != (before.Outcome == OutcomeAllow) || (before.Refused == Rule{}) != (before.Outcome == OutcomeAllow) {
			t.Errorf("%s %q %+v", before.Outcome, before.Code, before.Refused)
		}
		r := rand.New(rand.NewSource(rapid.Int64().Draw(t, "order")))
		for _, s := range []*Settings{&in.Environment, &in.Tenant} {
			s.IP.Rules, s.Domains.Domains = slices.Clone(s.IP.Rules), slices.Clone(s.Domains.Domains)
			r.Shuffle(len(s.IP.Rules), func(i, j int) { s.IP.Rules[i], s.IP.Rules[j] = s.IP.Rules[j], s.IP.Rules[i] })
			r.Shuffle(len(s.Domains.Domains), func(i, j int) {
				s.Domains.Domains[i], s.Domains.Domains[j] = s.Domains.Domains[j], s.Domains.Domains[i]
			})
		}
		if after := Evaluate(in); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("%+v\n%+v", before, after)
		}
	})
}

// Product 127: what holds is the stricter of both, whichever came later.
func TestEffectiveIsTheStricter(t *testing.T) {
	for e, env := range drawnMFA[1:] {
		for o, own := range drawnMFA[1:] {
			if got := Merge(Settings{MFA: MFARules{Enforce: env}}, Settings{MFA: MFARules{Enforce: own}}).MFA.Enforce; got != drawnMFA[1+max(e, o)] {
				t.Errorf("%s and %s: %s", env, own, got)
			}
		}
	}
}

// Identity rule 7; product 41, 42 and 2.7: whoever belongs to several tenants is
// bound by the strictest of what holds in each, in whatever order they are read.
func TestStrictest(t *testing.T) {
	env := Settings{Lockout: LockoutRules{MaxAttempts: 5, LockSeconds: 60}, Password: PasswordRules{History: 3, MinLength: 10}}
	lenient := Settings{Lockout: LockoutRules{MaxAttempts: 10, LockSeconds: 600}, Password: PasswordRules{History: 1}}
	forEver := Settings{Lockout: LockoutRules{MaxAttempts: 20}}
	demanding := Settings{Password: PasswordRules{MinLength: 20, History: 10, BreachCheck: true}, MFA: MFARules{Enforce: MFAOn}}
	for name, x := range map[string]struct {
		own      []Settings
		lockout  LockoutRules
		password PasswordRules
	}{
		"nowhere":                        {nil, env.Lockout, env.Password},
		"one that chose nothing":         {[]Settings{{}}, env.Lockout, env.Password},
		"one that overrides":             {[]Settings{lenient}, lenient.Lockout, PasswordRules{MinLength: 10, History: 1}},
		"one that overrides, one of not": {[]Settings{lenient, {}}, LockoutRules{5, 600}, PasswordRules{MinLength: 10, History: 3}},
		"locked until somebody unlocks":  {[]Settings{lenient, forEver}, LockoutRules{MaxAttempts: 10}, PasswordRules{MinLength: 10, History: 3}},
		"all":                            {[]Settings{lenient, forEver, demanding}, LockoutRules{MaxAttempts: 5}, demanding.Password},
	} {
		for range 6 {
			rand.Shuffle(len(x.own), func(i, j int) { x.own[i], x.own[j] = x.own[j], x.own[i] })
			if got := Strictest(env, x.own); got.Lockout != x.lockout || got.Password != x.password || got.MFA.Enforce != MFAOff {
				t.Errorf("%s: %+v", name, got)
			}
		}
	}
	if got := Strictest(Settings{}, []Settings{forEver, {}}).Lockout; got != forEver.Lockout {
		t.Errorf("a tenant without a lock makes another's weaker: %+v", got)
	}
}

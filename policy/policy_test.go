package policy

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Product 40, 127, 128; identity rule 11: environment × tenant × login.
func TestMFAMatrix(t *testing.T) {
	past := Settings{SSO: SSORules{Enforced: true, ExcludedEmails: []string{"a@acme.com"}}}
	logins := []struct {
		name string
		in   Input
	}{
		{"password", Input{Method: "password"}},
		{"sso", Input{Method: MethodSAML}},
		{"sso with evidence", Input{Method: MethodOIDC, MFAEvidence: true}},
		{"sso with trusted evidence", Input{Method: MethodOIDC, MFAEvidence: true, TrustIdPMFA: true}},
		{"sso trusted, no evidence", Input{Method: MethodSAML, TrustIdPMFA: true}},
		{"password and factor", Input{Method: "password", SecondFactor: true}},
		{"password with foreign evidence", Input{Method: "password", MFAEvidence: true, TrustIdPMFA: true}},
		{"social", Input{Method: MethodSocial, MFAEvidence: true, TrustIdPMFA: true}},
		{"passkey", Input{Method: "passkey", SecondFactor: true}},
		{"break-glass link", Input{Method: MethodBreakGlass}},
		{"excluded e-mail", Input{Method: "password", Email: "a@acme.com", Tenant: past}},
		{"excluded e-mail, remembered browser", Input{Method: "password", Email: "a@acme.com", Tenant: past, RememberedAt: time.Unix(1, 0), Now: time.Unix(2, 0)}},
		{"excluded e-mail and factor", Input{Method: "password", Email: "a@acme.com", Tenant: past, SecondFactor: true}},
		{"excluded e-mail, social", Input{Method: MethodSocial, Email: "a@acme.com", Tenant: past}},
		{"break-glass link past enforcement", Input{Method: MethodBreakGlass, Tenant: past}},
	}
	// Which logins pass at each effective value.
	passes := map[string][]bool{
		MFAOff:       {true, true, true, true, true, true, true, true, true, true, false, false, true, false, true},
		MFAUnlessSSO: {false, true, true, true, true, true, false, false, true, true, false, false, true, false, true},
		MFAOn:        {false, false, false, true, false, true, false, false, true, true, false, false, true, false, true},
	}
	values := []string{MFAOff, MFAUnlessSSO, MFAOn}
	for e, env := range values {
		for w, tenant := range append(values, "") {
			effective := values[max(e, w%3)]
			if tenant == "" {
				effective = env
			}
			for i, l := range logins {
				in := l.in
				in.Environment.MFA.Enforce, in.Tenant.MFA.Enforce = env, tenant
				d := Evaluate(in)
				want := OutcomeAllow
				if !passes[effective][i] {
					want = OutcomeNeedMFA
				}
				if d.Outcome != want || (d.Code == "") != (want == OutcomeAllow) {
					t.Errorf("environment %q, tenant %q, %s: %s %s, want %s", env, tenant, l.name, d.Outcome, d.Code, want)
				}
			}
		}
	}
}

func TestEvaluateRefusals(t *testing.T) {
	deny := IPRules{Enabled: true, Mode: Deny, Rules: []IPRule{{CIDR: "192.0.2.0/24"}}}
	allow := IPRules{Enabled: true, Mode: Allow, Rules: []IPRule{{CIDR: "198.51.100.7/32"}}}
	yes := true
	list := DomainRules{Enabled: true, Mode: Allow, Domains: []string{"acme.com"}}
	base := Input{Human: true, IP: netip.MustParseAddr("198.51.100.7"), Email: "a@acme.com", Method: MethodSAML}
	for name, x := range map[string]struct {
		change func(*Input)
		want   string
	}{
		"nothing set":            {func(*Input) {}, ""},
		"allowlist":              {func(in *Input) { in.Tenant.IP = allow }, ""},
		"not on the allowlist":   {func(in *Input) { in.Tenant.IP = allow; in.IP = netip.MustParseAddr("198.51.100.8") }, CodeIP},
		"no address, allowlist":  {func(in *Input) { in.Tenant.IP = allow; in.IP = netip.Addr{} }, CodeIP},
		"mapped address":         {func(in *Input) { in.Tenant.IP = allow; in.IP = netip.MustParseAddr("::ffff:198.51.100.7") }, ""},
		"denylist":               {func(in *Input) { in.Tenant.IP = deny; in.IP = netip.MustParseAddr("192.0.2.9") }, CodeIP},
		"mapped on the denylist": {func(in *Input) { in.Tenant.IP = deny; in.IP = netip.MustParseAddr("::ffff:192.0.2.9") }, CodeIP},
		"environment's list":     {func(in *Input) { in.Environment.IP = deny; in.IP = netip.MustParseAddr("192.0.2.9") }, CodeIPEnvironment},
		"list switched off (product 50)": {func(in *Input) {
			in.Tenant.IP = deny
			in.Tenant.IP.Enabled = false
			in.IP = netip.MustParseAddr("192.0.2.9")
		}, ""},
		"machines are not bound":     {func(in *Input) { in.Tenant.IP = deny; in.IP = netip.MustParseAddr("192.0.2.9"); in.Human = false }, ""},
		"JIT, domain not verified":   {func(in *Input) { in.NewUser = true }, CodeEmailDomain},
		"JIT, domain verified":       {func(in *Input) { in.NewUser, in.EmailDomainVerified = true, true }, ""},
		"JIT, connection allows":     {func(in *Input) { in.NewUser, in.AllowUnverifiedDomains = true, true }, ""},
		"existing user (product 53)": {func(in *Input) { in.Tenant.Domains = list; in.Email = "a@other.com" }, ""},
		"new user, listed":           {func(in *Input) { in.Tenant.Domains, in.NewUser, in.EmailDomainVerified = list, true, true }, ""},
		"new user, not listed": {func(in *Input) {
			in.Tenant.Domains, in.NewUser, in.EmailDomainVerified, in.Email = list, true, true, "a@b.com"
		}, CodeEmailDomain},
		"new user, sub-domain (product 126)": {func(in *Input) {
			in.Tenant.Domains, in.NewUser, in.EmailDomainVerified, in.Email = list, true, true, "a@x.acme.com"
		}, CodeEmailDomain},
		"social": {func(in *Input) { in.Method = MethodSocial }, ""},
		"social, forbidden by the environment": {func(in *Input) {
			in.Method, in.Environment.Social.Allowed, in.Tenant.Social.Allowed = MethodSocial, new(bool), &yes
		}, CodeSocial},
		"social, forbidden by the tenant": {func(in *Input) { in.Method, in.Tenant.Social.Allowed = MethodSocial, new(bool) }, CodeSocial},
		"not social, forbidden":           {func(in *Input) { in.Tenant.Social.Allowed = new(bool) }, ""},
		"sso enforced, social":            {func(in *Input) { in.Tenant.SSO.Enforced, in.Method = true, MethodSocial }, CodeSSORequired},
		"sso enforced, sso":               {func(in *Input) { in.Tenant.SSO.Enforced = true }, ""},
		"sso enforced, password":          {func(in *Input) { in.Tenant.SSO.Enforced, in.Method = true, "password" }, CodeSSORequired},
		"break-glass without a factor":    {func(in *Input) { in.Tenant.SSO = SSORules{true, []string{"a@acme.com"}}; in.Method = "password" }, CodeMFARequired},
		"break-glass with a factor": {func(in *Input) {
			in.Tenant.SSO = SSORules{true, []string{"a@acme.com"}}
			in.Method, in.SecondFactor, in.Email = "password", true, "A@ACME.com"
		}, ""},
	} {
		in := base
		x.change(&in)
		d := Evaluate(in)
		if d.Code != x.want || (d.Outcome == OutcomeAllow) != (x.want == "") {
			t.Errorf("%s: %s %q, want %q", name, d.Outcome, d.Code, x.want)
		}
		for i, c := range d.Checks {
			if !c.OK && i != len(d.Checks)-1 || c.Name == "" {
				t.Errorf("%s: checks %+v", name, d.Checks)
			}
		}
	}
}

// Product 43 to 46: the tenant's session settings override the environment's.
func TestSessionTimes(t *testing.T) {
	for _, x := range []struct {
		env, tenant SessionRules
		idle, abs   time.Duration
		limit       int
	}{
		{SessionRules{}, SessionRules{}, 24 * time.Hour, 30 * 24 * time.Hour, 0},
		{SessionRules{IdleSeconds: 600, MaxConcurrent: 3}, SessionRules{}, 10 * time.Minute, 30 * 24 * time.Hour, 3},
		{SessionRules{IdleSeconds: 600, MaxConcurrent: 3}, SessionRules{IdleSeconds: 3600, MaxConcurrent: 5}, time.Hour, 30 * 24 * time.Hour, 5},
		{SessionRules{}, SessionRules{AbsoluteSeconds: 3600}, time.Hour, time.Hour, 0},
	} {
		d := Evaluate(Input{Method: MethodSAML, Environment: Settings{Sessions: x.env}, Tenant: Settings{Sessions: x.tenant}})
		if d.Idle != x.idle || d.Absolute != x.abs || d.MaxConcurrent != x.limit {
			t.Errorf("%+v %+v: %v %v %d", x.env, x.tenant, d.Idle, d.Absolute, d.MaxConcurrent)
		}
	}
}

// Product 41, 42, 2.7.
func TestMerge(t *testing.T) {
	env := Settings{Lockout: LockoutRules{MaxAttempts: 5}, Password: PasswordRules{MinLength: 12, History: 3, BreachCheck: true}}
	own := Settings{Lockout: LockoutRules{MaxAttempts: 10, LockSeconds: 60}, Password: PasswordRules{MinLength: 8, History: 1}}
	m := Merge(env, own)
	if m.Lockout != own.Lockout || m.Password != (PasswordRules{MinLength: 12, History: 1, BreachCheck: true}) {
		t.Errorf("%+v", m)
	}
	if m := Merge(env, Settings{}); m.Lockout != env.Lockout || m.Password != env.Password || m.MFA.Enforce != MFAOff {
		t.Errorf("%+v", m)
	}
}

// Trap C1.
func TestParseRule(t *testing.T) {
	for in, want := range map[string]string{
		"2002::1234:abcd:ffff:c0a8:101/64": "2002:0:0:1234::/64",
		"192.0.2.77/24":                    "192.0.2.0/24",
		" 192.0.2.1 ":                      "192.0.2.1/32",
		"2001:db8::1":                      "2001:db8::1/128",
		"::ffff:192.0.2.1":                 "192.0.2.1/32",
		"::ffff:192.0.2.0/120":             "192.0.2.0/24",
		"0.0.0.0/0":                        "0.0.0.0/0",
	} {
		if p, err := parseRule(in); err != nil || p.String() != want {
			t.Errorf("%q: %v, %v, want %s", in, p, err, want)
		}
	}
	for _, in := range []string{"", "x", "192.0.2.1/33", "192.0.2", "192.0.02.1", "fe80::1%eth0", "fe80::1%eth0/64", "::ffff:192.0.2.0/64", "2002:1234:abcd:ffff:c0a8:101/64", "192.0.2.1-192.0.2.9", "10.0.0.0/8/8", "192.0.2.1/024"} {
		if p, err := parseRule(in); err == nil {
			t.Errorf("%q: %v", in, p)
		}
	}
}

func FuzzParseRule(f *testing.F) {
	f.Add("::ffff:192.0.2.0/120", "192.0.2.1")
	f.Fuzz(func(t *testing.T, rule, address string) {
		p, err := parseRule(rule)
		if err != nil {
			return
		}
		if p != p.Masked() || p.Addr().Is4In6() || p.Addr().Zone() != "" {
			t.Errorf("%q gives %v", rule, p)
		}
		if again, err := parseRule(p.String()); err != nil || again != p {
			t.Errorf("%q: %v, then %v, %v", rule, p, again, err)
		}
		if ip, err := netip.ParseAddr(address); err == nil {
			r := IPRules{Rules: []IPRule{{CIDR: p.String()}}}
			if r.Contains(ip) != p.Contains(ip.Unmap().WithZone("")) {
				t.Errorf("%v in %v", ip, p)
			}
		}
	})
}

func TestPut(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		s := New(clock.NewFake(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)))
		if _, err := d.Exec(ctx, `INSERT INTO environments (id, name, base_url, is_default, created_at, updated_at) VALUES ('env', 'Env', '', TRUE, 1, 1)`); err != nil {
			t.Fatal(err)
		}
		person := actor.Actor{Environment: "env", Tenant: "a", Kind: actor.User, IP: netip.MustParseAddr("::ffff:192.0.2.7")}
		key := actor.Actor{Environment: "env", Kind: actor.Management}
		put := func(a actor.Actor, tenant, kind, body string) string {
			t.Helper()
			err := d.Tx(ctx, func(q db.Queryer) error {
				_, err := s.Put(ctx, a, q, "env", tenant, kind, []byte(body))
				return err
			})
			if err != nil && fault.CodeOf(err) == "" {
				t.Fatal(err)
			}
			return fault.CodeOf(err)
		}
		for _, x := range []struct {
			a                  actor.Actor
			tenant, kind, body string
			want               string
		}{
			{key, "", MFA, `{"enforce":"unless_sso"}`, ""},
			{person, "a", MFA, `{"enforce":"off"}`, "mfa_weaker_than_environment"},
			{person, "a", MFA, `{"enforce":"unless_sso"}`, ""},
			{person, "a", MFA, `{"enforce":"on"}`, ""},
			{person, "a", MFA, `{"enforce":"never"}`, "invalid_value"},
			{person, "a", MFA, `{"enforce":"on","x":1}`, "invalid_body"},
			{person, "a", MFA, `{"enforce":"on"} {}`, "invalid_body"},
			{person, "a", MFA, `[]`, "invalid_body"},
			// Product 48, 49, 125: add, delete, switch on, change the mode.
			{person, "a", IP, `{"enabled":true,"mode":"allow","rules":[{"cidr":"198.51.100.0/24"}]}`, "ip_list_excludes_caller"},
			{person, "a", IP, `{"enabled":true,"mode":"allow","rules":[]}`, "ip_list_excludes_caller"},
			{person, "a", IP, `{"enabled":false,"mode":"allow","rules":[{"cidr":"198.51.100.0/24"}]}`, "ip_list_excludes_caller"},
			{person, "a", IP, `{"enabled":true,"mode":"deny","rules":[{"cidr":"192.0.2.0/24"}]}`, "ip_list_includes_caller"},
			{person, "a", IP, `{"enabled":true,"mode":"allow","rules":[{"cidr":"192.0.2.7","note":"office"}]}`, ""},
			{person, "a", IP, `{"enabled":false,"mode":"allow","rules":[]}`, ""},
			{person, "a", IP, `{"enabled":true,"mode":"deny","rules":[{"cidr":"198.51.100.0/24"}]}`, ""},
			{key, "a", IP, `{"enabled":true,"mode":"allow","rules":[{"cidr":"198.51.100.9/24"},{"cidr":"198.51.100.0/24"}]}`, ""}, // rule 12: people only
			{key, "a", IP, `{"enabled":true,"mode":"block","rules":[]}`, "invalid_value"},
			{key, "a", IP, `{"enabled":true,"mode":"allow","rules":[{"cidr":"fe80::1%eth0"}]}`, "invalid_cidr"},
			{key, "a", IP, `{"enabled":true,"mode":"allow","rules":[` + strings.Repeat(`{"cidr":"1.1.1.1"},`, maxRules) + `{"cidr":"1.1.1.1"}]}`, "too_many"},
			{person, "a", Domains, `{"enabled":true,"mode":"allow","domains":["ACME.com","acme.com","münchen.de"]}`, ""},
			{person, "a", Domains, `{"enabled":true,"mode":"allow","domains":["*.acme.com"]}`, "invalid_domain"},
			{person, "a", Sessions, `{"idle_seconds":3600,"absolute_seconds":604800,"max_concurrent":3}`, ""},
			{person, "a", Sessions, `{"idle_seconds":59}`, "out_of_range"},
			{person, "a", Sessions, `{"idle_seconds":2073601}`, "out_of_range"},
			{person, "a", Sessions, `{"absolute_seconds":59}`, "out_of_range"},
			{person, "a", Sessions, `{"max_concurrent":-1}`, "out_of_range"},
			{person, "a", Lockout, `{"max_attempts":5}`, ""},
			{person, "a", Lockout, `{"max_attempts":0}`, "out_of_range"},
			{person, "a", Password, `{"min_length":12,"history":10,"breach_check":true}`, ""},
			{person, "a", Password, `{"min_length":7}`, "out_of_range"},
			{person, "a", Password, `{"history":11}`, "out_of_range"},
			{person, "a", SSO, `{"enforced":true,"excluded_emails":["Boss@Acme.com"]}`, ""},
			{person, "a", SSO, `{"enforced":true,"excluded_emails":["boss"]}`, "invalid_email"},
			{key, "", Social, `{"allowed":true}`, ""},
			{person, "a", Social, `{"allowed":false}`, ""},
			{person, "a", Social, `{"allowed":true}`, ""},
			{person, "a", Social, `{}`, "required"},
			{key, "", Social, `{"allowed":false}`, ""},
			{person, "a", Social, `{"allowed":true}`, "social_weaker_than_environment"},
			{person, "a", Social, `{"allowed":false}`, ""},
			{key, "", SSO, `{"enforced":true,"excluded_emails":[]}`, "policy_not_found"},
			{key, "", "country", `{}`, "policy_not_found"},
		} {
			if got := put(x.a, x.tenant, x.kind, x.body); got != x.want {
				t.Errorf("%s %s %.80s: %q, want %q", x.tenant, x.kind, x.body, got, x.want)
			}
		}
		count, n := db.Count(ctx)
		env, own, err := s.Load(count, d, "env", "a")
		if err != nil || n.Statements() != 1 {
			t.Fatalf("%d statements, %v", n.Statements(), err)
		}
		text, _ := json.Marshal([]any{env.MFA, own.IP.Rules, own.Domains.Domains, own.Sessions, own.SSO.ExcludedEmails})
		want := `[{"enforce":"unless_sso"},[{"cidr":"198.51.100.0/24"}],["acme.com","xn--mnchen-3ya.de"],{"idle_seconds":3600,"absolute_seconds":604800,"max_concurrent":3},["boss@acme.com"]]`
		if string(text) != want {
			t.Errorf("stored %s\nwant   %s", text, want)
		}
		// Product 127: a later tightening of the environment wins.
		put(key, "", MFA, `{"enforce":"on"}`)
		put(key, "a", MFA, `{"enforce":"on"}`)
		put(key, "", MFA, `{"enforce":"off"}`)
		if env, own, _ = s.Load(ctx, d, "env", "a"); Merge(env, own).MFA.Enforce != MFAOn {
			t.Error("the tenant's stricter value is lost")
		}
		if _, other, err := s.Load(ctx, d, "env", "b"); err != nil || other.SSO.Enforced {
			t.Errorf("another tenant's policy: %+v, %v", other, err)
		}
		if err := d.Batch(ctx, s.DeleteTenantStmts("env", "a")); err != nil {
			t.Fatal(err)
		}
		if env, own, _ := s.Load(ctx, d, "env", "a"); own.SSO.Enforced || env.MFA.Enforce == "" {
			t.Error("deletion took too little or too much")
		}
	})
}

package signin_test

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

func escaped(s string) string { return url.QueryEscape(s) }

func operator(r *rig.Rig) actor.Actor {
	return actor.Actor{Environment: r.Env.ID, Kind: actor.System, Name: "operator"}
}

func glass(r *rig.Rig, tenant, email string) (token string, err error) {
	err = r.DB.Tx(r.TB.Context(), func(q db.Queryer) error {
		link, err := r.Signin.BreakGlassCreate(r.TB.Context(), operator(r), q, r.Env, tenant, email)
		token = link.URL[strings.LastIndexByte(link.URL, '/')+1:]
		return err
	})
	return token, err
}

// An operator's link passes SSO enforcement, once, for an hour, and no other rule.
func TestBreakGlass(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		ctx := t.Context()
		tenant, other := r.Tenant("acme", "acme.example"), r.Tenant("other", "other.example")
		c := r.Bare(tenant)
		ada := in(t, arrive(t, r, person(r, c, "ada", "ada@acme.example")))
		r.SetPolicy(tenant, policy.SSO, `{"enforced":true,"excluded_emails":["boss@acme.example"]}`)
		r.SetPolicy(tenant, policy.MFA, `{"enforce":"on"}`)
		use := func(token, cookie string) (signin.Outcome, error) {
			return r.Signin.BreakGlassUse(ctx, anonymous(r), r.Env, token, cookie)
		}
		mint := func() string {
			t.Helper()
			token, err := glass(r, "acme", "ADA@acme.example")
			if err != nil {
				t.Fatal(err)
			}
			return token
		}
		for _, k := range []struct{ tenant, email, code string }{
			{"acme", "nobody@acme.example", "member_not_found"},
			{other, "ada@acme.example", "member_not_found"},
			{"nowhere", "ada@acme.example", "tenant_not_found"},
		} {
			_, err := glass(r, k.tenant, k.email)
			fails(t, err, k.code)
		}
		token := mint()
		p, where, err := r.Signin.BreakGlassShow(ctx, r.DB, r.Env, token)
		if err != nil || p.Email != "ada@acme.example" || where.ID != tenant {
			t.Fatalf("%+v %+v %v", p, where, err)
		}
		for _, wrong := range []string{"", token[:len(token)-1], token + "x", strings.ToUpper(token)} { // CVE-2026-27840
			_, err := use(wrong, "")
			fails(t, err, "SIGNIN_BREAK_GLASS_UNKNOWN")
		}
		out := in(t, must(t)(use(token, ada.Cookie)))
		proof, ok := out.Session.Proof(tenant)
		if out.UserID != ada.UserID || !ok || proof.Method != "break_glass" || proof.Connection != "" || len(out.Session.Tenants) != 1 {
			t.Errorf("%+v", out.Session)
		}
		if end := out.Session.End(proof); end.After(r.Clock.Now().Add(time.Hour)) {
			t.Errorf("the session lives until %v", end)
		}
		if _, err := r.Signin.Check(ctx, r.DB, r.Env.ID, tenant, out.UserID, proof.Connection); err != nil {
			t.Errorf("the session does not serve: %v", err)
		}
		if _, err := r.Sessions.Find(ctx, r.DB, r.Env.ID, ada.Cookie); fault.CodeOf(err) != "no_session" {
			t.Errorf("the browser's session before: %v", err)
		}
		_, err = use(token, "")
		fails(t, err, "SIGNIN_BREAK_GLASS_UNKNOWN") // used
		if _, _, err := r.Signin.BreakGlassShow(ctx, r.DB, r.Env, token); fault.CodeOf(err) != "SIGNIN_BREAK_GLASS_UNKNOWN" {
			t.Errorf("shown after its use: %v", err)
		}
		late := mint()
		r.Clock.Advance(signin.BreakGlassLink + time.Second)
		_, err = use(late, "")
		fails(t, err, "SIGNIN_BREAK_GLASS_UNKNOWN")
		if n := r.Count(`SELECT COUNT(*) FROM audit_events WHERE action IN ('break_glass.created', 'break_glass.used') AND severity = 'critical'`); n != 3 {
			t.Errorf("%d critical events, want 3", n)
		}

		// Nothing but SSO enforcement is passed.
		refusedUse := func(name, code string, off func()) {
			t.Helper()
			token := mint()
			off()
			before := people(r)
			out, err := use(token, "")
			if err != nil || out.Refusal == nil || out.Refusal.Code != code || out.Cookie != "" {
				t.Errorf("%s: %+v %v", name, out.Refusal, err)
			}
			if people(r) != before {
				t.Errorf("%s: something was written", name)
			}
			if _, err := use(token, ""); fault.CodeOf(err) != "SIGNIN_BREAK_GLASS_UNKNOWN" {
				t.Errorf("%s: the link lives on: %v", name, err)
			}
		}
		refusedUse("an address that is not allowed", "POLICY_IP", func() {
			r.SetPolicy(tenant, policy.IP, `{"enabled":true,"mode":"allow","rules":[{"cidr":"198.51.100.0/24"}]}`)
		})
		r.SetPolicy(tenant, policy.IP, `{"enabled":false,"mode":"allow","rules":[]}`)
		refusedUse("a locked user", "POLICY_USER_LOCKED", func() { r.Exec(`UPDATE users SET locked_at = 1`) })
		r.Exec(`UPDATE users SET locked_at = NULL`)
		refusedUse("a suspended tenant", "POLICY_TENANT_SUSPENDED", func() { r.Suspend(tenant) })
		_, err = glass(r, "acme", "ada@acme.example")
		fails(t, err, "POLICY_TENANT_SUSPENDED")
		r.Exec(`UPDATE tenants SET status = 'active'`)
		refusedUse("a disabled member", "POLICY_USER_DISABLED", func() {
			r.Tx(func(q db.Queryer) error {
				_, err := r.Directory.Disable(ctx, r.Vendor, q, tenant, ada.UserID)
				return err
			})
		})
		_, err = glass(r, "acme", "ada@acme.example")
		fails(t, err, "POLICY_USER_DISABLED")
		if n := r.Count(`SELECT COUNT(*) FROM audit_events WHERE action = 'break_glass.used' AND outcome = 'denied'`); n != 4 {
			t.Errorf("%d refusals in the audit log, want 4", n)
		}
		r.Clock.Advance(3 * time.Hour)
		if err := r.Signin.Purge(ctx, r.DB); err != nil {
			t.Fatal(err)
		}
		if n := r.Count(`SELECT COUNT(*) FROM break_glass_links`); n != 0 {
			t.Errorf("%d links kept", n)
		}
	})
}

func must(t *testing.T) func(signin.Outcome, error) signin.Outcome {
	return func(out signin.Outcome, err error) signin.Outcome {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// The switch and the connections that it depends on take turns: whoever comes
// second sees what the first did.
func TestEnforcementTakesTurns(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		ctx := t.Context()
		tenant := r.Tenant("acme", "acme.example")
		c := r.Bare(tenant)
		in(t, arrive(t, r, person(r, c, "ada", "ada@acme.example"))) // a login proves the connection as a test does
		rules := policy.SSORules{Enforced: true, ExcludedEmails: []string{"boss@acme.example"}}
		disabled := tenants.SSODisabled
		errs := make(chan error, 2)
		go func() {
			errs <- r.DB.Tx(ctx, func(q db.Queryer) error {
				_, err := r.Signin.Enforce(ctx, r.Vendor, q, r.Env, tenant, rules)
				return err
			})
		}()
		go func() {
			errs <- r.DB.Tx(ctx, func(q db.Queryer) error {
				if _, err := r.Tenants.UpdateSSOConnection(ctx, r.Vendor, q, tenant, c.ID, tenants.SSOPatch{Status: &disabled}); err != nil {
					return err
				}
				return r.Signin.KeepsEnforced(ctx, q, r.Env, tenant)
			})
		}()
		refusals := 0
		for range 2 {
			if err := <-errs; err != nil {
				refusals++
				if code := fault.CodeOf(err); code != "sso_enforced" && code != "sso_no_active_connection" && !errors.Is(err, db.ErrRetry) {
					t.Errorf("%v", err)
				}
			}
		}
		got, err := r.Tenants.SSOConnection(ctx, r.DB, tenant, c.ID)
		if err != nil {
			t.Fatal(err)
		}
		_, own, err := r.Policy.Load(ctx, r.DB, r.Env.ID, tenant)
		if err != nil || refusals != 1 || own.SSO.Enforced != (got.Status == tenants.SSOActive) {
			t.Errorf("%d refusals, enforced %v with the connection %s, %v", refusals, own.SSO.Enforced, got.Status, err)
		}
	})
}

// Enforcement is judged at login: other methods are refused, excluded e-mails and
// an operator's link pass.
func TestEnforcementAtLogin(t *testing.T) {
	enforced := policy.Settings{SSO: policy.SSORules{Enforced: true, ExcludedEmails: []string{"boss@acme.example"}}}
	for _, k := range []struct {
		method, email string
		factor        bool
		code          string
	}{
		{"saml", "ada@acme.example", false, ""},
		{"oidc", "ada@acme.example", false, ""},
		{"password", "ada@acme.example", true, "POLICY_SSO_REQUIRED"},
		{"password", "boss@acme.example", true, ""},
		{"password", "BOSS@acme.example", true, ""},
		{"password", "boss@acme.example", false, "POLICY_MFA_REQUIRED"},
		{"break_glass", "ada@acme.example", false, ""},
		{"break-glass", "ada@acme.example", false, "POLICY_SSO_REQUIRED"},
	} {
		d := policy.Evaluate(policy.Input{Human: true, IP: netip.MustParseAddr("192.0.2.1"), Email: k.email, Method: k.method, SecondFactor: k.factor, Tenant: enforced})
		if d.Code != k.code {
			t.Errorf("%s %s: %q, want %q", k.method, k.email, d.Code, k.code)
		}
	}
}

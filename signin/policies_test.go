package signin_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// from is somebody nameless at an address.
func from(r *rig.Rig, address string) actor.Actor {
	a := anonymous(r)
	a.IP = netip.MustParseAddr(address)
	return a
}

// byPassword signs in by password from an address, in a browser of its own.
func byPassword(t *testing.T, r *rig.Rig, a actor.Actor, email, word string) (signin.Step, error) {
	t.Helper()
	browser := secret.Random()
	return r.Signin.Password(t.Context(), a, signin.Local{Environment: r.Env, FlowID: begin(t, r, browser, ""), BrowserID: browser}, email, word)
}

// Product 47 to 50: rules about addresses bind every way to sign in, while they are
// switched on; the administrator's log names the rule, and the person learns none.
func TestAddressRulesAtSignIn(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme", "acme.example")
		withPassword(t, r, tenant, "ada@acme.example")
		c := r.Bare(tenant)
		const named = `SELECT COUNT(*) FROM audit_events WHERE tenant_id = $1 AND action = 'login.failed' AND outcome = 'denied'
			AND metadata LIKE '%"policy":"ip"%' AND metadata LIKE $2 AND metadata LIKE $3`
		const office, elsewhere = "192.0.2.128", "192.0.2.127"
		for _, x := range []struct {
			name, tenant, body string
			office, elsewhere  string
			rule               string
		}{
			{"allowlist", tenant, `{"enabled":true,"mode":"allow","rules":[{"cidr":"192.0.2.128/25"}]}`, "", policy.CodeIP, "not on the allow list"},
			{"its edge", tenant, `{"enabled":true,"mode":"allow","rules":[{"cidr":"192.0.2.128/32"},{"cidr":"2001:db8::/32"}]}`, "", policy.CodeIP, "not on the allow list"},
			{"mapped into IPv6", tenant, `{"enabled":true,"mode":"allow","rules":[{"cidr":"::ffff:192.0.2.128/121"}]}`, "", policy.CodeIP, "not on the allow list"},
			{"denylist", tenant, `{"enabled":true,"mode":"deny","rules":[{"cidr":"192.0.2.0/24","disabled":true},{"cidr":"192.0.2.127"}]}`, "", policy.CodeIP, "192.0.2.127/32"},
			{"switched off", tenant, `{"enabled":false,"mode":"deny","rules":[{"cidr":"192.0.2.0/24"}]}`, "", "", ""},
			{"a rule that rests", tenant, `{"enabled":true,"mode":"deny","rules":[{"cidr":"192.0.2.0/24","disabled":true}]}`, "", "", ""},
			{"the environment's", "", `{"enabled":true,"mode":"deny","rules":[{"cidr":"192.0.2.0/25"}]}`, "", policy.CodeIPEnvironment, "192.0.2.0/25"},
			{"the environment's, off", "", `{"enabled":false,"mode":"deny","rules":[{"cidr":"192.0.2.0/25"}]}`, "", "", ""},
		} {
			r.SetPolicy(x.tenant, policy.IP, x.body)
			for address, code := range map[string]string{office: x.office, elsewhere: x.elsewhere} {
				want, before := code, r.Count(named, tenant, `%"code":"`+code+`"%`, `%"rule":"`+x.rule+`"%`)
				if want == "" {
					want = "done"
				}
				step, err := byPassword(t, r, from(r, address), "ada@acme.example", password)
				if got := stageOf(step, err); got != want {
					t.Errorf("%s: a password from %s: %s, want %s", x.name, address, got, want)
				}
				out := arriveIn(t, r, person(r, c, "ada", "ada@acme.example"), secret.Random(), "", from(r, address))
				if got := stageOf(signin.Step{Stage: signin.StageDone, Refusal: out.Refusal}, nil); got != want {
					t.Errorf("%s: single sign-on from %s: %s, want %s", x.name, address, got, want)
				}
				if code == "" {
					continue
				}
				if strings.Contains(out.Refusal.Message, "192.0.2") || strings.Contains(step.Refusal.Message, "192.0.2") {
					t.Errorf("%s: the person is told %q", x.name, out.Refusal.Message)
				}
				if n := r.Count(named, tenant, `%"code":"`+code+`"%`, `%"rule":"`+x.rule+`"%`) - before; n != 2 {
					t.Errorf("%s: %d events name the rule, want 2", x.name, n)
				}
			}
			r.SetPolicy(x.tenant, policy.IP, `{"enabled":false,"mode":"allow","rules":[]}`)
		}
	})
}

// Product 41 and 42: what a tenant chose about lockout and history comes before
// what its environment did, in either direction; the strictest tenant of somebody
// who is in several binds him (identity rule 7), and so does that of its own
// password rules (product 2.7).
func TestTenantOverridesLockoutAndHistory(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		r.SetPolicy("", policy.Lockout, `{"max_attempts":4,"lock_seconds":3600}`)
		r.SetPolicy("", policy.Password, `{"history":2}`)
		strict, lenient, plain := r.Tenant("strict"), r.Tenant("lenient"), r.Tenant("plain")
		r.SetPolicy(strict, policy.Lockout, `{"max_attempts":1,"lock_seconds":600}`)
		r.SetPolicy(strict, policy.Password, `{"history":10,"min_length":24}`)
		r.SetPolicy(lenient, policy.Lockout, `{"max_attempts":7,"lock_seconds":600}`)
		r.SetPolicy(lenient, policy.Password, `{"history":1}`)
		for name, x := range map[string]struct {
			in      []string
			locked  int // after so many
			minimum int
		}{
			"plain": {[]string{plain}, 4, 15}, "lenient": {[]string{lenient}, 7, 15}, "strict": {[]string{strict}, 1, 24},
			"both": {[]string{lenient, strict}, 1, 24}, "lenient and plain": {[]string{lenient, plain}, 4, 15},
		} {
			email := strings.ReplaceAll(name, " ", "-") + "@people.example"
			var user string
			for _, tenant := range x.in {
				r.Tx(func(q db.Queryer) error {
					p, err := r.Directory.CreateUser(t.Context(), r.Vendor, q, directory.NewUser{Environment: r.Env.ID, Tenant: tenant, UserID: user, Email: email})
					user = p.Membership.UserID
					return err
				})
			}
			const first = "a sentence of twenty-four and more"
			hash, err := r.Signin.PreparePassword(t.Context(), r.Env, user, first)
			if err != nil {
				t.Fatal(err)
			}
			r.Tx(func(q db.Queryer) error {
				return r.Signin.SetFirstPassword(t.Context(), r.Vendor, q, r.Env, user, hash)
			})
			_, err = r.Signin.PreparePassword(t.Context(), r.Env, user, strings.Repeat("xy z", x.minimum/4+1)[:x.minimum-1])
			fails(t, err, "password_too_short")
			_, err = r.Signin.PreparePassword(t.Context(), r.Env, user, first)
			fails(t, err, "password_used_before")

			tries := 0
			for ; tries < 20; tries++ {
				_, err := byPassword(t, r, from(r, fmt.Sprintf("198.51.100.%d", tries)), email, "wrong "+first)
				if fault.CodeOf(err) != "SIGNIN_WRONG_PASSWORD" {
					t.Fatalf("%s: %v", name, err)
				}
				if r.Count(`SELECT COUNT(*) FROM audit_events WHERE action = 'user.locked' AND targets LIKE $1`, "%"+user+"%") > 0 {
					break
				}
				r.Clock.Advance(10 * time.Second) // the wait that grows
			}
			if tries+1 != x.locked {
				t.Errorf("%s: locked after %d tries, want %d", name, tries+1, x.locked)
			}
			if _, err := byPassword(t, r, from(r, "198.51.100.99"), email, first); fault.CodeOf(err) != "SIGNIN_TOO_MANY_ATTEMPTS" {
				t.Errorf("%s: the right password while it is locked: %v", name, err)
			}
		}
	})
}

// Product 2.7: browsers are remembered where the environment offers it, for as long
// as environment and tenant let them, whenever they chose; never past single
// sign-on that is required (identity rule 12).
func TestRememberedBrowser(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme", "acme.example")
		user := withPassword(t, r, tenant, "ada@acme.example")
		r.Exec(`INSERT INTO factors (environment_id, user_id, id, kind, name, secret, credential, last_step, created_at) VALUES ($1, $2, 'fac_x', 'totp', 'App', 'x', '', 0, 0)`, r.Env.ID, user)
		cookie := secret.Random()
		at := r.Clock.Now()
		r.Exec(`INSERT INTO remembered_devices (environment_id, hash, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)`,
			r.Env.ID, secret.Hash(cookie), user, db.At(at), db.At(at.Add(90*24*time.Hour)))
		offered := r.Env
		offered.Settings.Features = map[tenants.Feature]bool{tenants.FeatureRememberDevice: true}
		r.Clock.Advance(time.Hour)
		for _, x := range []struct {
			name                  string
			env                   tenants.Environment
			environment, tenant   string
			sso                   string
			want, aFortnightLater string
		}{
			{"not offered", r.Env, `{"enforce":"on"}`, `{"enforce":"on"}`, "", "second", "second"},
			{"offered", offered, `{"enforce":"on"}`, `{"enforce":"on"}`, "", "done", "second"},
			{"not required", offered, `{"enforce":"off"}`, `{"enforce":"off"}`, "", "done", "second"},
			{"for longer", offered, `{"enforce":"on","remember_seconds":2592000}`, `{"enforce":"on"}`, "", "done", "done"},
			{"for less in the tenant", offered, `{"enforce":"on","remember_seconds":2592000}`, `{"enforce":"on","remember_seconds":3600}`, "", "second", "second"},
			{"never in the tenant", offered, `{"enforce":"on"}`, `{"enforce":"on","remember_seconds":0}`, "", "second", "second"},
			{"past single sign-on", offered, `{"enforce":"off"}`, `{"enforce":"off"}`, `{"enforced":true,"excluded_emails":["ada@acme.example"]}`, "second", "second"},
		} {
			r.SetPolicy("", policy.MFA, x.environment)
			r.SetPolicy(tenant, policy.MFA, x.tenant)
			if x.sso != "" {
				r.SetPolicy(tenant, policy.SSO, x.sso)
			}
			for _, c := range []struct {
				want string
				wait time.Duration
			}{{x.want, 0}, {x.aFortnightLater, 14 * 24 * time.Hour}} {
				r.Clock.Advance(c.wait)
				browser := secret.Random()
				got := stageOf(r.Signin.Password(t.Context(), anonymous(r), signin.Local{
					Environment: x.env, FlowID: begin(t, r, browser, ""), BrowserID: browser, DeviceCookie: cookie,
				}, "ada@acme.example", password))
				if got != c.want {
					t.Errorf("%s, after %s: %s, want %s", x.name, c.wait, got, c.want)
				}
			}
			r.Exec(`UPDATE remembered_devices SET created_at = $1, expires_at = $2`, db.At(r.Clock.Now().Add(-time.Hour)), db.At(r.Clock.Now().Add(90*24*time.Hour)))
		}
	})
}

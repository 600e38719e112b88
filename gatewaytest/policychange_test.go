package gatewaytest_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// A policy that is tightened ends the sessions that it would not let in now, whoever
// tightened it, and leaves the others (product 40, 44, 47 and 127, identity rule 11).
func TestTightenedPolicyEndsSessions(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		v := newVendor(t, d, "okta")
		v.member(t, d, "joe@acme.example", "acme")
		joe := v.desk(t)
		byPassword := joe.tokens(joe.password(joe.ask("organization", "acme"), "joe@acme.example"))
		bySSO := v.LogIn(browser.New(t), v.app, ada.ID, "connection", v.oidc)
		// What the refresh tokens of both answer once the jobs have run.
		after := func(what, want string) {
			t.Helper()
			if _, err := v.Jobs.RunDue(t.Context()); err != nil {
				t.Fatal(err)
			}
			password, sso := v.Refresh(v.app, byPassword.RefreshToken), v.Refresh(v.app, bySSO.RefreshToken)
			if got := password.Error + "/" + sso.Error; got != want {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
			if password.Error == "" {
				byPassword = password
			}
			if sso.Error == "" {
				bySSO = sso
			}
			v.clock.Advance(time.Minute)
		}
		v.policy("acme", "lockout", object{"max_attempts": 3})
		v.policy("acme", "ip", object{"enabled": true, "mode": "allow", "rules": []object{{"cidr": "127.0.0.1"}, {"cidr": "::1"}}})
		after("rules that let both in", "/")
		v.Call(http.MethodPut, "/environment/policies/mfa", object{"enforce": "unless_sso"}, nil)
		after("the environment wants a second factor", "invalid_grant/")

		byPassword = joe.tokens(joe.enrol(joe.password(joe.ask("organization", "acme"), "joe@acme.example")))
		v.policy("acme", "mfa", object{"enforce": "on"})
		after("the tenant wants one of everybody", "/invalid_grant")

		v.policy("acme", "mfa", object{"enforce": "unless_sso"})
		bySSO = v.LogIn(browser.New(t), v.app, ada.ID, "connection", v.oidc)
		v.Call(http.MethodPut, "/tenants/acme/sso-policy", object{"enforced": true, "excluded_emails": []string{"boss@acme.example"}}, nil)
		after("single sign-on is required", "invalid_grant/")

		v.policy("acme", "ip", object{"enabled": true, "mode": "allow", "rules": []object{{"cidr": "203.0.113.0/24"}}})
		after("nobody comes from here", "invalid_grant/invalid_grant")
	})
}

// Times that become stricter bound the sessions that are open already.
func TestShorterSessionsBindOpenOnes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		v := newVendor(t, d, "okta")
		v.member(t, d, "joe@acme.example", "acme")
		joe := v.desk(t)
		joe.tokens(joe.password(joe.ask("organization", "acme"), "joe@acme.example"))
		v.policy("acme", "sessions", object{"idle_seconds": 60})
		if _, err := v.Jobs.RunDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		joe.tokens(joe.ask("organization", "acme", "prompt", "none"))
		v.clock.Advance(3 * time.Minute)
		if got := told(joe.ask("organization", "acme", "prompt", "none")); got != "login_required" {
			t.Errorf("after three idle minutes: %q", got)
		}
	})
}

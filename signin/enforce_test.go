package signin_test

import (
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

func enforce(t *testing.T, r *rig.Rig, tenant string) string {
	t.Helper()
	err := r.DB.Tx(t.Context(), func(q db.Queryer) error {
		_, err := r.Signin.Enforce(t.Context(), r.Vendor, q, r.Env, tenant, policy.SSORules{Enforced: true, ExcludedEmails: []string{"boss@acme.example"}})
		return err
	})
	return fault.CodeOf(err)
}

// A round trip after which nobody would be signed in does not show that people
// can come in.
func TestEnforceNeedsSomebodyWhoComesIn(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme", "acme.example")
		c := r.Bare(tenant)
		if got := runTest(t, r, c, person(r, c, "eve", "eve@elsewhere.example")); got.Login.Detail.Would.Outcome != signin.WouldRefused {
			t.Fatalf("%+v", got.Login.Detail.Would)
		}
		if code := enforce(t, r, tenant); code != "sso_test_refused" {
			t.Errorf("after a test whose person would be refused: %q", code)
		}
		r.Clock.Advance(time.Second)
		runTest(t, r, c, person(r, c, "ada", "ada@acme.example"))
		if code := enforce(t, r, tenant); code != "" {
			t.Errorf("after a test whose person would come in: %q", code)
		}
	})
}

// What people did through the identity provider before shows nothing about the one
// to which the connection leads now.
func TestEnforceForgetsTheProviderBefore(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme", "acme.example")
		c := r.Bare(tenant)
		in(t, arrive(t, r, person(r, c, "ada", "ada@acme.example")))
		moved := *c.OIDC
		moved.Issuer = "https://other.example"
		secret := "s"
		r.SetConnection(c, tenants.SSOPatch{OIDC: &moved, ClientSecret: &secret})
		if code := enforce(t, r, tenant); code != "sso_not_tested" {
			t.Errorf("with a login through the provider before: %q", code)
		}
		in(t, arrive(t, r, person(r, c, "ada", "ada@acme.example")))
		if code := enforce(t, r, tenant); code != "" {
			t.Errorf("with a login through this one: %q", code)
		}
	})
}

package signin_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

const password = "correct horse battery"

// withPassword adds somebody to a tenant who signs in by password.
func withPassword(t *testing.T, r *rig.Rig, tenant, email string) (user string) {
	t.Helper()
	r.Tx(func(q db.Queryer) error {
		p, err := r.Directory.CreateUser(t.Context(), r.Vendor, q, directory.NewUser{Environment: r.Env.ID, Tenant: tenant, Email: email})
		user = p.Membership.UserID
		return err
	})
	hash, err := r.Signin.PreparePassword(t.Context(), r.Env, user, password)
	if err != nil {
		t.Fatal(err)
	}
	r.Tx(func(q db.Queryer) error {
		return r.Signin.SetFirstPassword(t.Context(), r.Vendor, q, r.Env, user, hash)
	})
	return user
}

// stageOf is where a sign-in stands, or the code that refused it.
func stageOf(s signin.Step, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case s.Refusal != nil:
		return s.Refusal.Code
	}
	return string(s.Stage)
}

// The whole matrix of what a second factor is asked for (product 40, 127 and 128,
// identity rule 11): the environment's demand, the tenant's, and how the person
// came. The stricter demand of the two holds, also when the environment's came
// later than the tenant's.
func TestMFAMatrix(t *testing.T) {
	const in, enrol, second = "done", "enrol", "second"
	// By the stricter demand: single sign-on without and with evidence that is
	// trusted, a password of somebody without and with a second factor, a passkey.
	want := map[string][5]string{
		policy.MFAOff:       {in, in, in, second, in},
		policy.MFAUnlessSSO: {in, in, enrol, second, in},
		policy.MFAOn:        {enrol, in, enrol, second, in},
	}
	strictness := []string{policy.MFAOff, policy.MFAUnlessSSO, policy.MFAOn}
	each(t, func(t *testing.T, r *rig.Rig) {
		n := 0
		for e, environment := range strictness {
			for m, tenantDemand := range strictness {
				n++
				r.SetPolicy("", policy.MFA, `{"enforce":"off"}`)
				host := fmt.Sprintf("m%d.example", n)
				tenant := r.Tenant(fmt.Sprintf("m%d", n), host)
				r.SetPolicy(tenant, policy.MFA, `{"enforce":"`+tenantDemand+`"}`)
				r.SetPolicy("", policy.MFA, `{"enforce":"`+environment+`"}`)
				plain := withPassword(t, r, tenant, "plain@"+host)
				equipped := withPassword(t, r, tenant, "equipped@"+host)
				r.Exec(`INSERT INTO factors (environment_id, user_id, id, kind, name, secret, credential, last_step, created_at) VALUES ($1, $2, $3, 'totp', 'App', 'x', '', 0, 0)`,
					r.Env.ID, equipped, "fac_"+host)

				sso := func(trust bool) string {
					c := r.Bare(tenant, func(c *tenants.NewSSOConnection) { c.TrustIdPMFA = trust })
					identity := person(r, c, c.ID, c.ID+"@"+host)
					identity.AMR = []string{"pwd", "mfa"}
					out := arrive(t, r, identity)
					if out.Asked == "" {
						out.Asked = signin.StageDone
					}
					return stageOf(signin.Step{Stage: out.Asked, Refusal: out.Refusal}, nil)
				}
				local := func(email string) string {
					browser := secret.Random()
					return stageOf(r.Signin.Password(t.Context(), anonymous(r), signin.Local{
						Environment: r.Env, FlowID: begin(t, r, browser, ""), BrowserID: browser,
					}, email, password))
				}
				// As the check of a passkey leaves the flow.
				passkey := func() string {
					browser := secret.Random()
					flow := begin(t, r, browser, "")
					proof, err := json.Marshal(map[string]any{"method": signin.MethodPasskey, "amr": []string{"swk", "user", "mfa"}, "at": r.Clock.Now().UnixMicro(), "second": true})
					if err != nil {
						t.Fatal(err)
					}
					r.Exec(`UPDATE flows SET user_id = $2, proof = $3 WHERE id = $1`, flow, plain, string(proof))
					return stageOf(r.Signin.Resume(t.Context(), anonymous(r), signin.Local{Environment: r.Env, FlowID: flow, BrowserID: browser}))
				}
				got := [5]string{sso(false), sso(true), local("plain@" + host), local("equipped@" + host), passkey()}
				if strictest := strictness[max(e, m)]; got != want[strictest] {
					t.Errorf("environment %s, tenant %s: %v, want %v", environment, tenantDemand, got, want[strictest])
				}
			}
		}
	})
}

// Whoever knows the former password does not come in by a sign-in that he began
// with it.
func TestPasswordChangedMeanwhile(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		one, two := r.Tenant("one"), r.Tenant("two")
		user := withPassword(t, r, one, "joe@one.example")
		r.Tx(func(q db.Queryer) error {
			_, err := r.Directory.CreateUser(t.Context(), r.Vendor, q, directory.NewUser{Environment: r.Env.ID, Tenant: two, UserID: user, Email: "joe@one.example"})
			return err
		})
		browser := secret.Random()
		local := signin.Local{Environment: r.Env, FlowID: begin(t, r, browser, ""), BrowserID: browser}
		if got := stageOf(r.Signin.Password(t.Context(), anonymous(r), local, "joe@one.example", password)); got != "account" {
			t.Fatal(got)
		}
		hash, err := r.Signin.PreparePassword(t.Context(), r.Env, user, "another sentence by far")
		if err != nil {
			t.Fatal(err)
		}
		r.Tx(func(q db.Queryer) error {
			return r.Signin.SetFirstPassword(t.Context(), r.Vendor, q, r.Env, user, hash)
		})
		if got := stageOf(r.Signin.ChooseAccount(t.Context(), anonymous(r), local, one)); got != "first" {
			t.Errorf("chosen: %s", got)
		}
		if got := stageOf(r.Signin.Stands(t.Context(), anonymous(r), local)); got != "first" {
			t.Errorf("stands: %s", got)
		}
		if n := r.Count(`SELECT COUNT(*) FROM sessions`); n != 0 {
			t.Errorf("%d sessions", n)
		}
		if got := stageOf(r.Signin.Password(t.Context(), anonymous(r), local, "joe@one.example", "another sentence by far")); got != "done" && got != "account" {
			t.Errorf("the new password: %s", got)
		}
	})
}

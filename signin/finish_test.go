package signin_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Identity rule 9: suspended tenant and switched-off connection refuse, also when
// that happens between the provider's answer and the browser's next step.
func TestLifecycle(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme", "acme.example")
		c, off := r.Bare(tenant), r.Bare(tenant)
		i := person(r, c, "ada", "ada@acme.example")
		ada := in(t, arrive(t, r, i))

		check := func(code string) {
			t.Helper()
			_, err := r.Signin.Check(t.Context(), r.DB, r.Env.ID, tenant, ada.UserID, c.ID)
			if code == "" && err == nil {
				return
			}
			fails(t, err, code)
		}
		check("")
		disabled := tenants.SSODisabled
		r.SetConnection(off, tenants.SSOPatch{Status: &disabled})
		refused(t, r, person(r, off, "bob", "bob@acme.example"), "POLICY_CONNECTION_DISABLED")
		check("")

		r.Suspend(tenant)
		refused(t, r, i, "POLICY_TENANT_SUSPENDED")
		refused(t, r, person(r, c, "new", "new@acme.example"), "POLICY_TENANT_SUSPENDED")
		check("POLICY_TENANT_SUSPENDED")
		r.Exec(`UPDATE tenants SET status = 'active'`)

		r.SetConnection(c, tenants.SSOPatch{Status: &disabled})
		refused(t, r, i, "POLICY_CONNECTION_DISABLED")
		check("POLICY_CONNECTION_DISABLED")
		if _, err := r.Sessions.Find(t.Context(), r.DB, r.Env.ID, ada.Cookie); !errors.Is(err, sessions.ErrNoSession) {
			t.Errorf("the session outlives its connection: %v", err)
		}
		if _, err := r.Signin.Check(t.Context(), r.DB, r.Env.ID, tenant, ada.UserID, ""); err != nil {
			t.Errorf("without the connection: %v", err)
		}
		_, err := r.Signin.Check(t.Context(), r.DB, r.Env.ID, r.Tenant("other"), ada.UserID, "")
		fails(t, err, "POLICY_NOT_A_MEMBER")
		_, err = r.Signin.Check(t.Context(), r.DB, r.Env.ID, tenant, ada.UserID, "sso_unknown")
		fails(t, err, "POLICY_CONNECTION_DISABLED")
	})
}

// A deleted connection finds nobody: its result that is still under way is refused.
func TestDeletedConnection(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme", "acme.example")
		c := r.Bare(tenant)
		browser := secret.Random()
		handle := save(t, r, begin(t, r, browser, ""), person(r, c, "ada", "ada@acme.example"))
		r.Tx(func(q db.Queryer) error { return r.Tenants.DeleteSSOConnection(t.Context(), r.Vendor, q, tenant, c.ID) })
		out, err := r.Signin.Continue(t.Context(), anonymous(r), r.Env, signin.Arrival{Handle: handle, BrowserID: browser})
		if err != nil || out.Refusal == nil || out.Refusal.Code != "POLICY_CONNECTION_DISABLED" {
			t.Errorf("%+v, %v", out, err)
		}
	})
}

func TestPolicy(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme", "acme.example", "other.example")
		c := r.Bare(tenant)
		i := person(r, c, "ada", "ada@acme.example")
		ada := in(t, arrive(t, r, i))

		t.Run("address", func(t *testing.T) {
			r.SetPolicy(tenant, policy.IP, `{"enabled":true,"mode":"allow","rules":[{"cidr":"198.51.100.0/24"}]}`)
			refused(t, r, i, "POLICY_IP")
			refused(t, r, person(r, c, "new", "new@acme.example"), "POLICY_IP")
			inside := anonymous(r)
			inside.IP = netip.MustParseAddr("::ffff:198.51.100.7")
			in(t, arriveIn(t, r, i, secret.Random(), "", inside))
			unknown := anonymous(r)
			unknown.IP = netip.Addr{}
			refusedAs(t, r, i, "POLICY_IP", unknown)
			r.SetPolicy(tenant, policy.IP, `{"enabled":false,"mode":"allow","rules":[]}`)
		})
		t.Run("domains bind new people only", func(t *testing.T) {
			r.SetPolicy(tenant, policy.Domains, `{"enabled":true,"mode":"allow","domains":["other.example"]}`)
			in(t, arrive(t, r, i))
			refused(t, r, person(r, c, "new", "new@acme.example"), "POLICY_EMAIL_DOMAIN")
			in(t, arrive(t, r, person(r, c, "new", "new@other.example")))
			r.SetPolicy(tenant, policy.Domains, `{"enabled":false,"mode":"allow","domains":[]}`)
		})
		t.Run("second factor (identity rule 11)", func(t *testing.T) {
			r.SetPolicy(tenant, policy.MFA, `{"enforce":"unless_sso"}`)
			in(t, arrive(t, r, i))
			r.SetPolicy(tenant, policy.MFA, `{"enforce":"on"}`)
			asked(t, r, i)
			strong := i
			strong.AMR = []string{"pwd", "otp", "mfa"}
			asked(t, r, strong) // the connection does not trust it
			yes := true
			r.SetConnection(c, tenants.SSOPatch{TrustIdPMFA: &yes})
			in(t, arrive(t, r, strong))
			weak := i
			weak.AMR = []string{"otp"}
			asked(t, r, weak)
			r.SetPolicy(tenant, policy.MFA, `{"enforce":"off"}`)
		})
		t.Run("sessions", func(t *testing.T) {
			r.SetPolicy(tenant, policy.Sessions, `{"idle_seconds":3600,"absolute_seconds":7200,"max_concurrent":2}`)
			out := in(t, arrive(t, r, i))
			if out.Session.Idle != time.Hour || !out.Session.ExpiresAt.Equal(r.Clock.Now().Add(2*time.Hour)) {
				t.Errorf("idle %v, expires %v", out.Session.Idle, out.Session.ExpiresAt)
			}
			r.Clock.Advance(time.Second)
			in(t, arrive(t, r, i))
			r.Clock.Advance(time.Second)
			in(t, arrive(t, r, i))
			if _, err := r.Sessions.Find(t.Context(), r.DB, r.Env.ID, ada.Cookie); err == nil {
				t.Error("the oldest session outlives the limit")
			}
		})
	})
}

// Identity rule 8: groups are replaced by each login that carries group
// information, and no information is not "no groups".
func TestGroups(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme", "acme.example")
		c := r.Bare(tenant)
		role := r.Role("developer")
		r.Tx(func(q db.Queryer) error {
			return r.RBAC.PutMappings(t.Context(), r.Vendor, q, tenant, []rbac.Mapping{{Group: "engineering", RoleIDs: []string{role}}})
		})
		i := person(r, c, "ada", "ada@acme.example")
		step := func(name string, known bool, groups []string, want []string, mapped bool) {
			t.Helper()
			i.GroupsKnown, i.Groups = known, groups
			out := in(t, arrive(t, r, i))
			if got := r.Strings(`SELECT name FROM identity_groups WHERE tenant_id = $1 ORDER BY name`, tenant); !slices.Equal(got, want) {
				t.Errorf("%s: groups %q, want %q", name, got, want)
			}
			proof, _ := out.Session.Proof(tenant)
			e, err := r.RBAC.Effective(t.Context(), r.DB, tenant, proof.Membership)
			if err != nil {
				t.Fatal(err)
			}
			if has := slices.ContainsFunc(e.Roles, func(g rbac.Grant) bool { return g.Key == "developer" }); has != mapped {
				t.Errorf("%s: the mapped role is there: %v", name, has)
			}
		}
		step("first", true, []string{"engineering", "everyone", "engineering", ""}, []string{"engineering", "everyone"}, true)
		step("no information", false, nil, []string{"engineering", "everyone"}, true)
		step("replaced", true, []string{"everyone"}, []string{"everyone"}, false)
		step("none", true, []string{}, nil, false)
		step("hostile", true, []string{"a\x00b", "x\n", string(make([]byte, 600)), "ok"}, []string{"ok"}, false)
	})
}

// Default roles are given at JIT, and not again at later logins.
func TestDefaultRolesAtJIT(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme", "acme.example")
		c := r.Bare(tenant)
		i := person(r, c, "ada", "ada@acme.example")
		out := in(t, arrive(t, r, i))
		proof, _ := out.Session.Proof(tenant)
		roles := func() []string {
			t.Helper()
			e, err := r.RBAC.Effective(t.Context(), r.DB, tenant, proof.Membership)
			if err != nil {
				t.Fatal(err)
			}
			var keys []string
			for _, g := range e.Roles {
				keys = append(keys, g.Key)
			}
			return keys
		}
		if got := roles(); !slices.Equal(got, []string{rbac.ReadOnlyKey}) {
			t.Fatalf("roles %q", got)
		}
		r.Exec(`DELETE FROM membership_roles WHERE tenant_id = $1`, tenant)
		in(t, arrive(t, r, i))
		if got := roles(); len(got) != 0 {
			t.Errorf("a later login gave the roles %q", got)
		}
	})
}

// Two first logins of one person at once are one user (unique subject key).
func TestConcurrentFirstLogins(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme", "acme.example")
		c := r.Bare(tenant)
		i := person(r, c, "ada", "ada@acme.example")
		i.GroupsKnown, i.Groups = true, []string{"a", "b"}
		const n = 20
		outs, errs := make([]signin.Outcome, n), make([]error, n)
		var wg sync.WaitGroup
		for k := range n {
			browser := secret.Random()
			handle := save(t, r, begin(t, r, browser, ""), i)
			wg.Go(func() {
				outs[k], errs[k] = r.Signin.Continue(t.Context(), anonymous(r), r.Env, signin.Arrival{Handle: handle, BrowserID: browser})
			})
		}
		wg.Wait()
		for k := range n {
			if errs[k] != nil || outs[k].Refusal != nil {
				t.Fatalf("login %d: %v, %v", k, errs[k], outs[k].Refusal)
			}
			if outs[k].UserID != outs[0].UserID {
				t.Errorf("users %s and %s", outs[0].UserID, outs[k].UserID)
			}
		}
		if got, want := people(r), [5]int{1, 1, 1, n, 2}; got != want {
			t.Errorf("users, memberships, identities, sessions, groups: %v, want %v", got, want)
		}
	})
}

// A SCIM create and the first login of one person at once are one user, whichever
// comes first (identity rule 3): else a deactivation would miss the other.
func TestLoginMeetsSCIMAtOnce(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme", "acme.example")
		dir := r.SCIMConnection(tenant)
		c := r.Bare(tenant)
		for n := range 10 {
			subject, email := fmt.Sprintf("00u%d", n), fmt.Sprintf("p%d@acme.example", n)
			browser := secret.Random()
			handle := save(t, r, begin(t, r, browser, ""), person(r, c, subject, email))
			var made rig.Provisioned
			var out signin.Outcome
			var err error
			var wg sync.WaitGroup
			wg.Go(func() { made = r.Provision(tenant, dir, profile(subject, email)) })
			wg.Go(func() {
				out, err = r.Signin.Continue(t.Context(), anonymous(r), r.Env, signin.Arrival{Handle: handle, BrowserID: browser})
			})
			wg.Wait()
			if err != nil || out.Refusal != nil || out.UserID != made.UserID {
				t.Errorf("the login is user %s (%v, %v), the directory's is %s", out.UserID, out.Refusal, err, made.UserID)
			}
		}
		if n := r.Count(`SELECT COUNT(*) FROM memberships WHERE tenant_id = $1`, tenant); n != 10 {
			t.Errorf("%d memberships of 10 people", n)
		}
	})
}

// One browser: the session of another person ends, that of the same person gains
// the tenant and changes its cookie (identity rule 6; session fixation).
func TestSessionInTheBrowser(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		acme, globex := r.Tenant("acme", "shared.example"), r.Tenant("globex", "shared.example")
		a, b := r.Bare(acme), r.Bare(globex)
		browser := secret.Random()
		first := in(t, arriveIn(t, r, person(r, a, "ada", "ada@shared.example"), browser, "", anonymous(r)))
		second := in(t, arriveIn(t, r, person(r, b, "ada", "ada@shared.example"), browser, first.Cookie, anonymous(r)))
		if second.UserID != first.UserID || second.Session.ID != first.Session.ID || second.Cookie == first.Cookie {
			t.Fatalf("first %s/%s, second %s/%s, new cookie: %v", first.UserID, first.Session.ID, second.UserID, second.Session.ID, second.Cookie != first.Cookie)
		}
		for _, tenant := range []string{acme, globex} {
			if _, ok := second.Session.Proof(tenant); !ok {
				t.Errorf("the session does not satisfy %s", tenant)
			}
		}
		if _, err := r.Sessions.Find(t.Context(), r.DB, r.Env.ID, first.Cookie); !errors.Is(err, sessions.ErrNoSession) {
			t.Errorf("the old cookie still works: %v", err)
		}
		other := in(t, arriveIn(t, r, person(r, a, "bob", "bob@shared.example"), browser, second.Cookie, anonymous(r)))
		if other.UserID == first.UserID || other.Session.ID == first.Session.ID {
			t.Fatal("another person got the session")
		}
		if _, err := r.Sessions.Find(t.Context(), r.DB, r.Env.ID, second.Cookie); !errors.Is(err, sessions.ErrNoSession) {
			t.Errorf("the first person's session is still open: %v", err)
		}
		// A cookie that means nothing is no obstacle.
		in(t, arriveIn(t, r, person(r, a, "ada", "ada@shared.example"), browser, secret.Random(), anonymous(r)))
	})
}

// The provider's end caps the session, and a session that is over there is refused.
func TestSessionEndOfTheProvider(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme", "acme.example")
		c := r.Bare(tenant)
		i := person(r, c, "ada", "ada@acme.example")
		i.SessionEnd = r.Clock.Now().Add(time.Hour)
		out := in(t, arrive(t, r, i))
		proof, _ := out.Session.Proof(tenant)
		if !out.Session.End(proof).Equal(i.SessionEnd) {
			t.Errorf("the session ends %v", out.Session.End(proof))
		}
		i.SessionEnd = r.Clock.Now()
		refused(t, r, i, "POLICY_SESSION_ENDED")
	})
}

// prompt=login and max_age: an answer from an old session of the provider does not do.
func TestForcedAuthentication(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme", "acme.example")
		c := r.Bare(tenant)
		try := func(at time.Time) signin.Outcome {
			t.Helper()
			browser := secret.Random()
			next, err := r.Signin.Begin(t.Context(), anonymous(r), r.DB, signin.Start{Environment: r.Env, BrowserID: browser, ForceAuthn: true, Request: []byte(`{}`)})
			if err != nil {
				t.Fatal(err)
			}
			i := person(r, c, "ada", "ada@acme.example")
			i.At = at
			out, err := r.Signin.Continue(t.Context(), anonymous(r), r.Env, signin.Arrival{Handle: save(t, r, next.FlowID, i), BrowserID: browser})
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		in(t, try(r.Clock.Now()))
		in(t, try(r.Clock.Now().Add(-tenants.MaxClockSkew)))
		for _, at := range []time.Time{r.Clock.Now().Add(-tenants.MaxClockSkew - time.Second), {}} {
			if out := try(at); out.Refusal == nil || out.Refusal.Code != "POLICY_REAUTHENTICATION" {
				t.Errorf("authenticated at %v: %v", at, out.Refusal)
			}
		}
	})
}

// The audit log tells of the login with its person, connection and session.
func TestLoginIsAudited(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme", "acme.example")
		c := r.Bare(tenant)
		out := in(t, arrive(t, r, person(r, c, "ada", "ada@acme.example")))
		list, _, err := r.Audit.List(t.Context(), r.DB, actor.Actor{Environment: r.Env.ID, Tenant: tenant, Kind: actor.System}, audit.Filter{Action: "login.succeeded"})
		if err != nil || len(list) != 1 {
			t.Fatalf("%d events, %v", len(list), err)
		}
		logins := r.Logins(c)
		if len(logins) != 1 || logins[0].Outcome != signin.OutcomeSuccess || logins[0].FlowID != out.FlowID || logins[0].IP != "203.0.113.9" {
			t.Fatalf("login log: %+v", logins)
		}
		var names []string
		for _, check := range logins[0].Checks {
			names = append(names, check.Name)
			if !check.OK {
				t.Errorf("check %s is not passed: %+v", check.Name, check)
			}
		}
		if !slices.Contains(names, "issuer") || !slices.Contains(names, "account link") || !slices.Contains(names, "email_domain_verified") {
			t.Errorf("checks: %q", names)
		}
	})
}

// A login costs a constant number of statements and round trips, whatever the
// size of the tenant and the number of groups.
func TestCostOfContinue(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme", "acme.example")
		dir := r.SCIMConnection(tenant)
		c := r.Bare(tenant)
		cost := func(subject string, groups int) [2]int64 {
			t.Helper()
			i := person(r, c, subject, subject+"@acme.example")
			i.GroupsKnown = true
			for n := range groups {
				i.Groups = append(i.Groups, fmt.Sprintf("group %d", n))
			}
			browser := secret.Random()
			handle := save(t, r, begin(t, r, browser, ""), i)
			ctx, counter := db.Count(t.Context())
			out, err := r.Signin.Continue(ctx, anonymous(r), r.Env, signin.Arrival{Handle: handle, BrowserID: browser})
			if err != nil {
				t.Fatal(err)
			}
			in(t, out)
			return [2]int64{counter.Statements(), counter.RoundTrips()}
		}
		first, known := cost("ada", 1), cost("ada", 1)
		for n := range 40 {
			in(t, arrive(t, r, person(r, c, fmt.Sprint(n), fmt.Sprintf("p%d@acme.example", n))))
			r.Provision(tenant, dir, directory.Profile{ExternalID: fmt.Sprint("e", n), UserName: fmt.Sprintf("s%d@acme.example", n), Active: true})
		}
		if later := cost("bob", 1500); later != first {
			t.Errorf("a first login costs %v statements and round trips, %v in a larger tenant with 1,500 groups", first, later)
		}
		if later := cost("ada", 1500); later != known {
			t.Errorf("a known login costs %v statements and round trips, %v in a larger tenant with 1,500 groups", known, later)
		}
		t.Logf("first login %v, known login %v (statements, round trips)", first, known)
	})
}

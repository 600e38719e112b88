package signin_test

import (
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// What peers got wrong in 2024 to 2026 (sso 5.4 and 9), as far as it is about
// signing in. The names carry the numbers under which it was reported there.
func TestRegressionsOfPeers(t *testing.T) {
	for name, run := range map[string]func(t *testing.T, r *rig.Rig){
		"CVE-2025-46815 a verified answer is used once":                                         handleOnce,
		"CVE-2026-27840 a truncated or extended handle is none":                                 wholeHandle,
		"CVE-2025-64717 CVE-2026-3009 a disabled connection takes no answer":                    disabledConnection,
		"CVE-2026-2603 a disabled connection takes no answer that nobody asked for":             disabledUnasked,
		"CVE-2026-55670 a connection made again knows nobody of the one before":                 recycledConnection,
		"CVE-2025-64431 another tenant's connection is absent":                                  foreignObjects,
		"CVE-2026-33132 the answer stays in the organization that was asked for":                organizationScope,
		"authentik-25081 openwork-4775 who is switched off has no session and gets none anew":   ghosts,
		"CVE-2026-2092 CVE-2024-8698 an answer without a verified identity opens no flow":       unverified,
		"session fixation: the cookie from before a sign-in is worth nothing after it":          fixation,
		"keycloak-47554 one domain of several tenants: the person chooses, and stays with that": sharedDomain,
	} {
		t.Run(name, func(t *testing.T) { each(t, run) })
	}
}

func cont(r *rig.Rig, handle, browser string) error {
	_, err := r.Signin.Continue(r.TB.Context(), anonymous(r), r.Env, signin.Arrival{Handle: handle, BrowserID: browser})
	return err
}

func handleOnce(t *testing.T, r *rig.Rig) {
	c := r.Bare(r.Tenant("acme", "acme.example"))
	browser := secret.Random()
	handle := save(t, r, begin(t, r, browser, ""), person(r, c, "ada", "ada@acme.example"))
	if err := cont(r, handle, browser); err != nil {
		t.Fatal(err)
	}
	fails(t, cont(r, handle, browser), "SIGNIN_HANDLE_UNKNOWN")
	late := save(t, r, begin(t, r, browser, ""), person(r, c, "ada", "ada@acme.example"))
	r.Clock.Advance(3 * time.Minute)
	fails(t, cont(r, late, browser), "SIGNIN_HANDLE_UNKNOWN")
}

func wholeHandle(t *testing.T, r *rig.Rig) {
	c := r.Bare(r.Tenant("acme", "acme.example"))
	browser := secret.Random()
	handle := save(t, r, begin(t, r, browser, ""), person(r, c, "ada", "ada@acme.example"))
	for _, wrong := range []string{"", handle[:1], handle[:len(handle)-1], handle + "A", handle + "\x00", " " + handle} {
		fails(t, cont(r, wrong, browser), "SIGNIN_HANDLE_UNKNOWN")
	}
	if err := cont(r, handle, browser); err != nil {
		t.Error(err)
	}
}

func disabledConnection(t *testing.T, r *rig.Rig) {
	tenant := r.Tenant("acme", "acme.example")
	c := r.Bare(tenant)
	i := person(r, c, "ada", "ada@acme.example")
	in(t, arrive(t, r, i))
	browser := secret.Random()
	flow := begin(t, r, browser, "acme")
	status := tenants.SSODisabled
	r.SetConnection(c, tenants.SSOPatch{Status: &status})
	c.Status = status
	_, err := r.Signin.OpenFlow(t.Context(), r.DB, flow, browser, c)
	fails(t, err, "POLICY_CONNECTION_DISABLED")
	fails(t, signin.Asked{FlowID: flow, Purpose: signin.PurposeAuthorize}.Serves(c), "POLICY_CONNECTION_DISABLED")
	refused(t, r, i, "POLICY_CONNECTION_DISABLED")
	_, err = r.Signin.Begin(t.Context(), anonymous(r), r.DB, signin.Start{Environment: r.Env, BrowserID: browser, Connection: c.ID})
	fails(t, err, "POLICY_CONNECTION_DISABLED")
	if list, err := r.Signin.Discover(t.Context(), r.DB, r.Env.ID, "ada@acme.example"); err != nil || len(list) != 0 {
		t.Errorf("offered: %v %v", list, err)
	}
}

func disabledUnasked(t *testing.T, r *rig.Rig) {
	c := r.Bare(r.Tenant("acme", "acme.example"))
	i := person(r, c, "ada", "ada@acme.example")
	handle := unasked(t, r, i)
	status := tenants.SSODisabled
	r.SetConnection(c, tenants.SSOPatch{Status: &status})
	before := people(r)
	out, err := r.Signin.Continue(t.Context(), anonymous(r), r.Env, signin.Arrival{Handle: handle, BrowserID: secret.Random()})
	if err != nil || out.Refusal == nil || out.Refusal.Code != "POLICY_CONNECTION_DISABLED" || people(r) != before {
		t.Errorf("%+v %v", out, err)
	}
}

func recycledConnection(t *testing.T, r *rig.Rig) {
	tenant := r.Tenant("acme", "acme.example")
	first := r.Bare(tenant)
	ada := in(t, arrive(t, r, person(r, first, "00u1", "ada@acme.example")))
	handle := save(t, r, begin(t, r, "b", ""), person(r, first, "00u1", "ada@acme.example"))
	r.Tx(func(q db.Queryer) error {
		return r.Tenants.DeleteSSOConnection(t.Context(), r.Vendor, q, tenant, first.ID)
	})
	out, err := r.Signin.Continue(t.Context(), anonymous(r), r.Env, signin.Arrival{Handle: handle, BrowserID: "b"})
	if err != nil || out.Refusal == nil || out.Refusal.Code != "POLICY_CONNECTION_DISABLED" {
		t.Errorf("an answer for a deleted connection: %+v %v", out, err)
	}
	second := r.Bare(tenant)
	if second.ID == first.ID {
		t.Fatal("an id is used again")
	}
	// The same subject with another address is another person: what the provider
	// before said about 00u1 is gone with it.
	bob := in(t, arrive(t, r, person(r, second, "00u1", "bob@acme.example")))
	if bob.UserID == ada.UserID {
		t.Error("a subject of the connection before is known at the new one")
	}
	other := r.Tenant("other", "other.example")
	foreign := in(t, arrive(t, r, person(r, r.Bare(other), "00u1", "ada@other.example")))
	if foreign.UserID == ada.UserID || foreign.UserID == bob.UserID {
		t.Error("a subject is known in another tenant")
	}
}

func foreignObjects(t *testing.T, r *rig.Rig) {
	acme, globex := r.Tenant("acme", "acme.example"), r.Tenant("globex", "globex.example")
	c := r.Bare(acme)
	in(t, arrive(t, r, person(r, c, "ada", "ada@acme.example")))
	if list, _, err := r.Signin.Logins(t.Context(), r.DB, globex, signin.LoginQuery{Connection: c.ID}); err != nil || len(list) != 0 {
		t.Errorf("another tenant reads the logins: %v %v", list, err)
	}
	_, err := r.Signin.TestStart(t.Context(), r.Vendor, r.DB, r.Env, globex, c.ID)
	fails(t, err, "connection_not_found")
	_, err = r.Signin.TestResult(t.Context(), r.DB, r.Env.ID, globex, c.ID, "flw_x")
	fails(t, err, "connection_not_found")
	if _, err := r.Signin.SSOConnection(t.Context(), r.DB, tenants.Environment{ID: "env_other"}, c.ID); fault.CodeOf(err) != "connection_unknown" {
		t.Errorf("another environment: %v", err)
	}
}

func organizationScope(t *testing.T, r *rig.Rig) {
	acme, globex := r.Tenant("acme", "acme.example"), r.Tenant("globex", "globex.example")
	a, g := r.Bare(acme), r.Bare(globex)
	browser := secret.Random()
	flow := begin(t, r, browser, "acme")
	_, err := r.Signin.OpenFlow(t.Context(), r.DB, flow, browser, g)
	fails(t, err, "SIGNIN_OTHER_ORGANIZATION")
	fails(t, cont(r, save(t, r, flow, person(r, g, "ada", "ada@globex.example")), browser), "SIGNIN_OTHER_ORGANIZATION")
	if err := cont(r, save(t, r, flow, person(r, a, "ada", "ada@acme.example")), browser); err != nil {
		t.Error(err)
	}
}

func ghosts(t *testing.T, r *rig.Rig) {
	tenant := r.Tenant("acme", "acme.example")
	dir := r.SCIMConnection(tenant)
	c := r.Bare(tenant)
	made := r.Provision(tenant, dir, profile("ada", "ada@acme.example"))
	i := person(r, c, "ada", "ada@acme.example")
	out := in(t, arrive(t, r, i))
	if out.UserID != made.UserID {
		t.Fatal("not the provisioned person")
	}
	r.Deactivate(made)
	if _, err := r.Sessions.Find(t.Context(), r.DB, r.Env.ID, out.Cookie); fault.CodeOf(err) != sessions.ErrNoSession.Code {
		t.Errorf("the session lives on: %v", err)
	}
	if _, err := r.Signin.Check(t.Context(), r.DB, r.Env.ID, tenant, out.UserID, c.ID); fault.CodeOf(err) != directory.ErrDeprovisioned.Code {
		t.Errorf("a token would still be issued: %v", err)
	}
	refused(t, r, i, directory.ErrDeprovisioned.Code)
	_, err := glass(r, "acme", "ada@acme.example")
	fails(t, err, directory.ErrDeprovisioned.Code)
}

func unverified(t *testing.T, r *rig.Rig) {
	c := r.Bare(r.Tenant("acme", "acme.example"))
	browser := secret.Random()
	flow := begin(t, r, browser, "")
	r.Tx(func(q db.Queryer) error { // an answer that a protocol refused is recorded, and nothing else
		return r.Signin.RecordLogin(t.Context(), anonymous(r), q, r.Env.ID, c.Tenant, signin.Login{Connection: c.ID, FlowID: flow, Outcome: signin.OutcomeFailure, Code: "SAML_SIG_STRUCTURE"})
	})
	if _, err := r.Signin.Finished(t.Context(), r.DB, r.Env.ID, flow, browser); fault.CodeOf(err) != "SIGNIN_FLOW_UNKNOWN" {
		t.Errorf("resumed: %v", err)
	}
	if n := r.Count(`SELECT COUNT(*) FROM sessions`) + r.Count(`SELECT COUNT(*) FROM users`); n != 0 {
		t.Errorf("%d rows", n)
	}
}

func fixation(t *testing.T, r *rig.Rig) {
	c := r.Bare(r.Tenant("acme", "acme.example"))
	i := person(r, c, "ada", "ada@acme.example")
	first := in(t, arrive(t, r, i))
	second := in(t, arriveIn(t, r, i, secret.Random(), first.Cookie, anonymous(r)))
	if second.Cookie == first.Cookie {
		t.Error("the cookie stayed")
	}
	if _, err := r.Sessions.Find(t.Context(), r.DB, r.Env.ID, first.Cookie); fault.CodeOf(err) != sessions.ErrNoSession.Code {
		t.Errorf("the cookie from before still serves: %v", err)
	}
}

func sharedDomain(t *testing.T, r *rig.Rig) {
	acme, globex := r.Tenant("acme", "shared.example"), r.Tenant("globex", "shared.example")
	a, g := r.Bare(acme), r.Bare(globex)
	quiet := r.Tenant("quiet")
	r.Bare(quiet)
	r.Tx(func(q db.Queryer) error { // claimed and not verified: it offers nothing
		_, err := r.Tenants.AddDomain(t.Context(), r.Vendor, q, quiet, "shared.example", false)
		return err
	})
	options, err := r.Signin.Discover(t.Context(), r.DB, r.Env.ID, "ada@Shared.example")
	if err != nil || len(options) != 2 || options[0].Connection != a.ID || options[1].Connection != g.ID {
		t.Fatalf("%+v %v", options, err)
	}
	next, err := r.Signin.Begin(t.Context(), anonymous(r), r.DB, signin.Start{Environment: r.Env, BrowserID: "b", DomainHint: "shared.example"})
	if err != nil || next.URL != "/login?flow="+next.FlowID {
		t.Fatalf("a hint chose between tenants: %+v %v", next, err)
	}
	f, err := r.Signin.Flow(t.Context(), r.DB, r.Env.ID, next.FlowID, "b")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Signin.Choose(t.Context(), r.DB, f, options[1]); err != nil {
		t.Fatal(err)
	}
	_, err = r.Signin.OpenFlow(t.Context(), r.DB, f.ID, "b", a)
	fails(t, err, "SIGNIN_OTHER_CONNECTION")
	fails(t, cont(r, save(t, r, f.ID, person(r, a, "ada", "ada@shared.example")), "b"), "SIGNIN_OTHER_CONNECTION")
	if err := cont(r, save(t, r, f.ID, person(r, g, "ada", "ada@shared.example")), "b"); err != nil {
		t.Error(err)
	}
	if n := r.Count(`SELECT COUNT(*) FROM memberships WHERE tenant_id = $1`, acme); n != 0 {
		t.Error("the person is in the other tenant")
	}
}

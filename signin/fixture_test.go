package signin_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

func each(t *testing.T, f func(t *testing.T, r *rig.Rig)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, d db.DB) { f(t, rig.New(t, d)) })
}

func anonymous(r *rig.Rig) actor.Actor {
	return actor.Actor{Environment: r.Env.ID, Kind: actor.Anonymous, Level: actor.NoLevel, IP: netip.MustParseAddr("203.0.113.9"), UserAgent: "test"}
}

// person is what the connection's provider says about somebody of the subject.
func person(r *rig.Rig, c tenants.SSOConnection, subject, email string) signin.Identity {
	return signin.Identity{
		Protocol: signin.OIDC, Tenant: c.Tenant, Connection: c.ID, SubjectParts: []string{"https://idp.example", subject}, Subject: subject,
		UserName: email, Email: email, FirstName: "Ada", LastName: "Byron", At: r.Clock.Now(), AMR: []string{"pwd"},
		Checks: []signin.Check{{Name: "issuer", OK: true}},
	}
}

// begin opens a flow that names the organization; empty: none.
func begin(t *testing.T, r *rig.Rig, browser, organization string) string {
	t.Helper()
	next, err := r.Signin.Begin(t.Context(), anonymous(r), r.DB, signin.Start{
		Environment: r.Env, BrowserID: browser, Organization: organization, Request: []byte(`{"client":"app"}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	return next.FlowID
}

func save(t *testing.T, r *rig.Rig, flow string, identity signin.Identity) string {
	t.Helper()
	handle, err := r.Signin.SaveResult(t.Context(), r.DB, r.Env.ID, flow, identity)
	if err != nil {
		t.Fatal(err)
	}
	return handle
}

// arrive runs a whole sign-in in a browser of its own.
func arrive(t *testing.T, r *rig.Rig, identity signin.Identity) signin.Outcome {
	t.Helper()
	return arriveIn(t, r, identity, secret.Random(), "", anonymous(r))
}

func arriveIn(t *testing.T, r *rig.Rig, identity signin.Identity, browser, cookie string, a actor.Actor) signin.Outcome {
	t.Helper()
	out, err := r.Signin.Continue(t.Context(), a, r.Env, signin.Arrival{
		Handle: save(t, r, begin(t, r, browser, ""), identity), BrowserID: browser, SessionCookie: cookie,
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// in asserts that the sign-in ended in a session.
func in(t *testing.T, out signin.Outcome) signin.Outcome {
	t.Helper()
	if out.Refusal != nil {
		t.Fatalf("refused: %v", out.Refusal)
	}
	if out.Cookie == "" || out.UserID == "" || out.Session.ID == "" {
		t.Fatalf("signed in without a session: %+v", out)
	}
	return out
}

// asked asserts that somebody who is known is asked to set a second factor up
// before a row about him is written.
func asked(t *testing.T, r *rig.Rig, identity signin.Identity) {
	t.Helper()
	before := people(r)
	out := arrive(t, r, identity)
	if out.Asked != signin.StageEnrol || out.Refusal != nil || out.Cookie != "" || out.UserID != "" {
		t.Errorf("%+v", out)
	}
	if after := people(r); after != before {
		t.Errorf("%v before, %v while the second factor is asked for", before, after)
	}
}

// people counts the rows that a refused login must not write.
func people(r *rig.Rig) [5]int {
	return [5]int{
		r.Count(`SELECT COUNT(*) FROM users`), r.Count(`SELECT COUNT(*) FROM memberships`), r.Count(`SELECT COUNT(*) FROM identities`),
		r.Count(`SELECT COUNT(*) FROM sessions`), r.Count(`SELECT COUNT(*) FROM identity_groups`),
	}
}

// refused asserts that the login is refused with the code before a row about a
// person is written, and that the login log and the audit log say so (identity
// rule 9; product, login log).
func refused(t *testing.T, r *rig.Rig, identity signin.Identity, code string) signin.Outcome {
	t.Helper()
	return refusedAs(t, r, identity, code, anonymous(r))
}

func refusedAs(t *testing.T, r *rig.Rig, identity signin.Identity, code string, a actor.Actor) signin.Outcome {
	t.Helper()
	before := people(r)
	logins, events := denied(r, identity, code)
	out := arriveIn(t, r, identity, secret.Random(), "", a)
	if out.Refusal == nil || out.Refusal.Code != code {
		t.Fatalf("refusal = %v, want %s", out.Refusal, code)
	}
	if out.Refusal.Message == "" || out.Cookie != "" || out.UserID != "" {
		t.Errorf("a refusal carries %+v", out)
	}
	if after := people(r); after != before {
		t.Errorf("users, memberships, identities, sessions, groups: %v before, %v after the refusal", before, after)
	}
	if l, e := denied(r, identity, code); l != logins+1 || e != events+1 {
		t.Errorf("the refusal left %d login entries and %d audit events, want one each", l-logins, e-events)
	}
	return out
}

func denied(r *rig.Rig, identity signin.Identity, code string) (logins, events int) {
	return r.Count(`SELECT COUNT(*) FROM logins WHERE tenant_id = $1 AND connection_id = $2 AND outcome = 'denied' AND code = $3`, identity.Tenant, identity.Connection, code),
		r.Count(`SELECT COUNT(*) FROM audit_events WHERE tenant_id = $1 AND action = 'login.failed' AND outcome = 'denied'`, identity.Tenant)
}

// fails asserts a fault.
func fails(t *testing.T, err error, code string) {
	t.Helper()
	if fault.CodeOf(err) != code {
		t.Errorf("err = %v, want %s", err, code)
	}
	var f *fault.Error
	if errors.As(err, &f) && f.Message == "" {
		t.Errorf("%s says nothing", code)
	}
}

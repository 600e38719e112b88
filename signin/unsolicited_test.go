package signin_test

import (
	"testing"

	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// unasked keeps an answer that nobody asked for.
func unasked(t *testing.T, r *rig.Rig, identity signin.Identity) string {
	t.Helper()
	handle := ""
	r.Tx(func(q db.Queryer) error {
		flow, err := r.Signin.StartUnsolicited(t.Context(), q, r.Env, identity.Tenant, identity.Connection, "")
		if err != nil {
			return err
		}
		handle, err = r.Signin.SaveResult(t.Context(), q, r.Env.ID, flow, identity)
		return err
	})
	return handle
}

// An answer that nobody asked for signs in (sso 4, step 13), and replaces the
// session of somebody else only when the person says so (login CSRF).
func TestUnsolicited(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme", "acme.example")
		c := r.Bare(tenant)
		r.Application("https://app.example/start")
		arrival := func(in signin.Arrival) (signin.Outcome, error) {
			in.BrowserID = secret.Random()
			return r.Signin.Continue(t.Context(), anonymous(r), r.Env, in)
		}
		must := func(in signin.Arrival) signin.Outcome {
			t.Helper()
			out, err := arrival(in)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		ada := in(t, must(signin.Arrival{Handle: unasked(t, r, person(r, c, "ada", "ada@acme.example"))}))
		if ada.Purpose != signin.PurposeStart || ada.Connection != c.ID {
			t.Errorf("%+v", ada)
		}
		target, err := r.Signin.UnsolicitedURL(t.Context(), r.DB, r.Env, ada.FlowID)
		if err != nil || target != "https://app.example/start?connection="+c.ID+"&iss="+escaped(r.Env.BaseURL) {
			t.Errorf("%s %v", target, err)
		}
		again := in(t, must(signin.Arrival{Handle: unasked(t, r, person(r, c, "ada", "ada@acme.example")), SessionCookie: ada.Cookie}))
		if again.Session.ID != ada.Session.ID {
			t.Error("the same person's session is replaced")
		}

		// The attacker's answer in Ada's browser: his account is new, or known.
		for range 2 {
			before := people(r)
			handle := unasked(t, r, person(r, c, "mallory", "mallory@acme.example"))
			asked := must(signin.Arrival{Handle: handle, SessionCookie: again.Cookie})
			if asked.Confirm != "mallory@acme.example" || asked.Cookie != "" || asked.UserID != "" {
				t.Fatalf("not asked: %+v", asked)
			}
			if after := people(r); after != before {
				t.Errorf("%v before, %v after the question", before, after)
			}
			if s, err := r.Sessions.Find(t.Context(), r.DB, r.Env.ID, again.Cookie); err != nil || s.UserID != ada.UserID {
				t.Fatalf("Ada's session: %v", err)
			}
			if s := must(signin.Arrival{Handle: handle, SessionCookie: again.Cookie}); s.Confirm == "" {
				t.Error("asked once and taken the second time")
			}
			mallory := in(t, must(signin.Arrival{Handle: handle}))
			if mallory.UserID == ada.UserID {
				t.Error("one person")
			}
		}
		// Who says yes changes, and the session before ends.
		handle := unasked(t, r, person(r, c, "mallory", "mallory@acme.example"))
		changed := in(t, must(signin.Arrival{Handle: handle, SessionCookie: again.Cookie, Confirmed: true}))
		if changed.UserID == ada.UserID {
			t.Error("the person did not change")
		}
		if _, err := r.Sessions.Find(t.Context(), r.DB, r.Env.ID, again.Cookie); fault.CodeOf(err) != "no_session" {
			t.Errorf("Ada's session: %v", err)
		}
		_, err = arrival(signin.Arrival{Handle: handle, SessionCookie: changed.Cookie, Confirmed: true})
		fails(t, err, "SIGNIN_HANDLE_UNKNOWN")

		// A refused one asks nothing, and a disabled connection takes none.
		eve := must(signin.Arrival{Handle: unasked(t, r, person(r, c, "eve", "eve@elsewhere.example")), SessionCookie: changed.Cookie})
		if eve.Refusal == nil || eve.Refusal.Code != "POLICY_EMAIL_DOMAIN" || eve.Confirm != "" {
			t.Errorf("%+v", eve)
		}
		late := unasked(t, r, person(r, c, "ada", "ada@acme.example"))
		status := tenants.SSODisabled
		r.SetConnection(c, tenants.SSOPatch{Status: &status})
		if out := must(signin.Arrival{Handle: late}); out.Refusal == nil || out.Refusal.Code != "POLICY_CONNECTION_DISABLED" {
			t.Errorf("%+v", out)
		}
	})
}

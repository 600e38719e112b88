package signin_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

func draft(n *tenants.NewSSOConnection) { n.Status = tenants.SSODraft }

// startTest begins a test and opens its link in the browser.
func startTest(t *testing.T, r *rig.Rig, c tenants.SSOConnection, browser string) (flow, token string) {
	t.Helper()
	link, err := r.Signin.TestStart(t.Context(), r.Vendor, r.DB, r.Env, c.Tenant, c.ID)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(link.URL)
	if err != nil || u.Path != "/login/test" || !strings.HasPrefix(link.URL, r.Env.BaseURL) || u.Query().Get("flow") != link.FlowID {
		t.Fatalf("%s %v", link.URL, err)
	}
	token = u.Query().Get("token")
	if browser != "" {
		target, err := r.Signin.TestOpen(t.Context(), r.DB, r.Env.ID, link.FlowID, token, browser)
		if err != nil || target != "/oidc/"+c.ID+"/login?flow="+link.FlowID {
			t.Fatalf("%s %v", target, err)
		}
	}
	return link.FlowID, token
}

func runTest(t *testing.T, r *rig.Rig, c tenants.SSOConnection, identity signin.Identity) signin.TestResult {
	t.Helper()
	browser := secret.Random()
	flow, _ := startTest(t, r, c, browser)
	out, err := r.Signin.Continue(t.Context(), anonymous(r), r.Env, signin.Arrival{Handle: save(t, r, flow, identity), BrowserID: browser})
	if err != nil || !out.Test || out.Cookie != "" || out.Session.ID != "" {
		t.Fatalf("%+v %v", out, err)
	}
	got, err := r.Signin.TestShown(t.Context(), r.DB, r.Env.ID, flow, browser)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Signin.TestShown(t.Context(), r.DB, r.Env.ID, flow, secret.Random()); err == nil {
		t.Error("another browser is shown the result")
	}
	return got
}

// A test login writes nothing but the login log, and makes a draft tested
// (sso 2.3).
func TestTestLogin(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme", "acme.example")
		c := r.Bare(tenant, draft)
		role := r.Role("developer")
		r.Tx(func(q db.Queryer) error {
			return r.RBAC.PutMappings(t.Context(), r.Vendor, q, tenant, []rbac.Mapping{{Group: "engineering", RoleIDs: []string{role}}})
		})
		i := person(r, c, "ada", "ada@acme.example")
		i.Groups, i.GroupsKnown, i.Response = []string{"engineering"}, true, "<Response/>"
		i.Attributes = map[string][]string{"mail": {"ada@acme.example"}, "nul": {"a\x00b"}}
		before := people(r)
		got := runTest(t, r, c, i)
		if after := people(r); after != before {
			t.Errorf("users, memberships, identities, sessions, groups: %v before, %v after a test", before, after)
		}
		if got.Status != signin.TestSucceeded || got.Login == nil {
			t.Fatalf("%+v", got)
		}
		d := got.Login.Detail
		if got.Login.Purpose != signin.PurposeTest || got.Login.Response != "<Response/>" || d.Claims["mail"][0] != "ada@acme.example" || d.Claims["nul"][0] != "ab" ||
			d.Profile == nil || d.Profile.FirstName != "Ada" || !slices.Equal(d.Groups, []string{"engineering"}) {
			t.Errorf("%+v %+v", got.Login, d)
		}
		if d.Would == nil || *d.Would != (signin.Would{Outcome: signin.WouldCreate}) {
			t.Errorf("would %+v", d.Would)
		}
		keys := []string{}
		for _, g := range d.Roles {
			keys = append(keys, g.Key+" "+strings.Join(g.Sources, ","))
		}
		slices.Sort(keys)
		if !slices.Equal(keys, []string{"developer group:engineering", "read-only default"}) {
			t.Errorf("roles %q", keys)
		}
		if got.Connection.Status != tenants.SSOTested || !got.Connection.LastTestOKAt.Equal(r.Clock.Now()) || !got.Connection.LastLoginAt.IsZero() {
			t.Errorf("%s, tested %v, login %v", got.Connection.Status, got.Connection.LastTestOKAt, got.Connection.LastLoginAt)
		}
		if n := r.Count(`SELECT COUNT(*) FROM audit_events WHERE action = 'sso_connection.tested'`); n != 1 {
			t.Errorf("%d events of the test", n)
		}
		if n := r.Count(`SELECT COUNT(*) FROM audit_events WHERE action LIKE 'login.%' OR action LIKE 'session.%' OR action LIKE 'user.%'`); n != 0 {
			t.Errorf("%d events of a login", n)
		}

		// Whatever the status: a test says what a real login would do.
		status := tenants.SSODisabled
		r.SetConnection(c, tenants.SSOPatch{Status: &status})
		eve := runTest(t, r, c, person(r, c, "eve", "eve@elsewhere.example"))
		if w := eve.Login.Detail.Would; eve.Status != signin.TestSucceeded || w.Outcome != signin.WouldRefused || w.Code != "POLICY_EMAIL_DOMAIN" || eve.Connection.Status != tenants.SSODisabled {
			t.Errorf("%s %+v %s", eve.Status, w, eve.Connection.Status)
		}
		status = tenants.SSOActive
		r.SetConnection(c, tenants.SSOPatch{Status: &status})
		in(t, arrive(t, r, i))
		again := i
		again.GroupsKnown, again.Groups = false, nil
		known := runTest(t, r, c, again)
		if w := known.Login.Detail.Would; w.Outcome != signin.WouldSignIn || w.Step != "identity" {
			t.Errorf("%+v", w)
		}
		if roles := known.Login.Detail.Roles; len(roles) != 2 || known.Connection.Status != tenants.SSOActive {
			t.Errorf("an answer without group information lost the groups: %+v", roles)
		}
	})
}

// The link of a test serves the browser that opens it first, for ten minutes.
func TestTestLink(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		acme, globex := r.Tenant("acme", "acme.example"), r.Tenant("globex")
		c, other := r.Bare(acme, draft), r.Bare(acme, draft)
		foreign := r.Bare(globex)
		browser := secret.Random()
		flow, token := startTest(t, r, c, "")
		open := func(flow, token, browser string) error {
			_, err := r.Signin.TestOpen(t.Context(), r.DB, r.Env.ID, flow, token, browser)
			return err
		}
		if _, err := r.Signin.Flow(t.Context(), r.DB, r.Env.ID, flow, ""); err == nil {
			t.Error("a flow of no browser belongs to a browser without a cookie")
		}
		fails(t, open(flow, token+"x", browser), "SIGNIN_TEST_UNKNOWN")
		fails(t, open(flow, "", browser), "SIGNIN_TEST_UNKNOWN")
		fails(t, open(flow, token, ""), "SIGNIN_TEST_UNKNOWN")
		fails(t, open("flw_unknown", token, browser), "SIGNIN_TEST_UNKNOWN")
		fails(t, open(begin(t, r, browser, "acme"), "", browser), "SIGNIN_TEST_UNKNOWN") // a real sign-in is no test
		if err := open(flow, token, browser); err != nil {
			t.Fatal(err)
		}
		if err := open(flow, token, browser); err != nil {
			t.Errorf("a reload: %v", err)
		}
		fails(t, open(flow, token, secret.Random()), "SIGNIN_TEST_UNKNOWN")

		// It asks its own connection, draft or not, and ends through no other.
		if _, err := r.Signin.OpenFlow(t.Context(), r.DB, flow, browser, c); err != nil {
			t.Errorf("a draft under test: %v", err)
		}
		_, err := r.Signin.OpenFlow(t.Context(), r.DB, flow, browser, other)
		fails(t, err, "SIGNIN_OTHER_CONNECTION")
		_, err = r.Signin.OpenFlow(t.Context(), r.DB, flow, browser, foreign)
		fails(t, err, "SIGNIN_OTHER_ORGANIZATION")
		cont := func(flow string, identity signin.Identity) error {
			_, err := r.Signin.Continue(t.Context(), anonymous(r), r.Env, signin.Arrival{Handle: save(t, r, flow, identity), BrowserID: browser})
			return err
		}
		fails(t, cont(flow, person(r, other, "ada", "ada@acme.example")), "SIGNIN_OTHER_CONNECTION")
		if _, err := r.Signin.Finished(t.Context(), r.DB, r.Env.ID, flow, browser); err == nil {
			t.Error("a test can be resumed")
		}
		if err := cont(flow, person(r, c, "ada", "ada@acme.example")); err != nil {
			t.Fatal(err)
		}
		fails(t, cont(flow, person(r, c, "ada", "ada@acme.example")), "SIGNIN_FLOW_FINISHED")
		fails(t, open(flow, token, browser), "SIGNIN_FLOW_FINISHED")

		late, lateToken := startTest(t, r, c, "")
		_, err = r.Signin.TestResult(t.Context(), r.DB, r.Env.ID, globex, foreign.ID, late)
		fails(t, err, "test_not_found")
		_, err = r.Signin.TestResult(t.Context(), r.DB, r.Env.ID, acme, other.ID, late)
		fails(t, err, "test_not_found")
		r.Clock.Advance(signin.FlowLifetime + time.Second)
		fails(t, open(late, lateToken, browser), "SIGNIN_FLOW_EXPIRED")
		if got, err := r.Signin.TestResult(t.Context(), r.DB, r.Env.ID, acme, c.ID, late); err != nil || got.Status != signin.TestFailed {
			t.Errorf("%+v %v", got, err)
		}
		_, err = r.Signin.TestStart(t.Context(), r.Vendor, r.DB, r.Env, acme, foreign.ID)
		fails(t, err, "connection_not_found")
	})
}

// What a protocol refuses during a test stands in the log as a test; real logins
// keep their values to themselves.
func TestLoginLogDetail(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme", "acme.example")
		c := r.Bare(tenant)
		flow, _ := startTest(t, r, c, secret.Random())
		r.Tx(func(q db.Queryer) error {
			return r.Signin.RecordLogin(t.Context(), anonymous(r), q, r.Env.ID, tenant, signin.Login{Connection: c.ID, FlowID: flow, Outcome: signin.OutcomeFailure, Code: "SAML_SIG", Response: strings.Repeat("é", 100_000)})
		})
		got, err := r.Signin.TestResult(t.Context(), r.DB, r.Env.ID, tenant, c.ID, flow)
		if err != nil || got.Status != signin.TestFailed || got.Login.Code != "SAML_SIG" || len(got.Login.Response) > 65<<10 || strings.ContainsRune(got.Login.Response, '\uFFFD') {
			t.Errorf("%+v %v", got.Status, err)
		}
		i := person(r, c, "ada", "ada@acme.example")
		i.Attributes, i.Response = map[string][]string{"mail": {"ada@acme.example"}, "groups": {"a", "b", "c", "d", "e", "f", "g"}}, "<Response>redacted</Response>"
		in(t, arrive(t, r, i))
		l := r.Logins(c)[0]
		if l.Purpose != "" || l.Response != i.Response || !slices.Equal(l.Detail.Claims["mail"], []string{"(16 characters)"}) || len(l.Detail.Claims["groups"]) != 6 || l.Detail.Profile != nil {
			t.Errorf("%+v", l)
		}
		if len(l.Detail.Roles) != 1 || l.Detail.Roles[0].Key != "read-only" {
			t.Errorf("roles %+v", l.Detail.Roles)
		}
		list, _, err := r.Signin.Logins(t.Context(), r.DB, tenant, signin.LoginQuery{Connection: c.ID, Purpose: signin.PurposeTest})
		if err != nil || len(list) != 1 || list[0].FlowID != flow {
			t.Errorf("%+v %v", list, err)
		}
	})
}

func TestAdmins(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		ctx := t.Context()
		tenant, other := r.Tenant("acme", "acme.example"), r.Tenant("other", "other.example")
		c := r.Bare(tenant)
		var admin, mapped string
		r.Tx(func(q db.Queryer) error {
			for _, n := range []struct {
				key, permission string
				id              *string
			}{{"sso-admin", "fe.secure.write.*", &admin}, {"sso-mapped", signin.PermissionConnections, &mapped}} {
				role, err := r.RBAC.CreateRole(ctx, r.Vendor, q, rbac.NewRole{Key: n.key, Name: n.key, Level: 10, Permissions: []string{n.permission}})
				if err != nil {
					return err
				}
				*n.id = role.ID
			}
			return r.RBAC.PutMappings(ctx, r.Vendor, q, tenant, []rbac.Mapping{{Group: "it", RoleIDs: []string{mapped}}})
		})
		if list, err := r.Signin.Admins(ctx, r.DB, r.Env.ID, tenant); err != nil || len(list) != 0 {
			t.Errorf("%v %v", list, err)
		}
		member := func(name string, groups ...string) string {
			i := person(r, c, name, name+"@acme.example")
			i.Groups, i.GroupsKnown = groups, true
			user := in(t, arrive(t, r, i)).UserID
			return r.Strings(`SELECT id FROM memberships WHERE user_id = $1`, user)[0]
		}
		ada, _, gone := member("ada"), member("bob", "it"), member("gone")
		member("nobody", "sales")
		r.Tx(func(q db.Queryer) error {
			for _, m := range []string{ada, gone} {
				if err := r.RBAC.AssignRoles(ctx, r.Vendor, q, tenant, m, []string{admin}); err != nil {
					return err
				}
			}
			_, err := r.Directory.Disable(ctx, r.Vendor, q, tenant, r.Strings(`SELECT user_id FROM memberships WHERE id = $1`, gone)[0])
			return err
		})
		list, err := r.Signin.Admins(ctx, r.DB, r.Env.ID, tenant)
		var emails []string
		for _, a := range list {
			emails = append(emails, a.Email)
			if a.Name == "" {
				t.Errorf("%s has no name", a.Email)
			}
		}
		if err != nil || !slices.Equal(emails, []string{"ada@acme.example", "bob@acme.example"}) {
			t.Errorf("%v %v", emails, err)
		}
		if list, err := r.Signin.Admins(ctx, r.DB, r.Env.ID, other); err != nil || len(list) != 0 {
			t.Errorf("another tenant: %v %v", list, err)
		}
	})
}

package signin_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// sso 4.1: the handle is worth something only in the browser that began the
// sign-in, and once; another browser does not use it up.
func TestHandle(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme", "acme.example")
		c := r.Bare(tenant)
		browser := secret.Random()
		handle := save(t, r, begin(t, r, browser, ""), person(r, c, "ada", "ada@acme.example"))
		go1 := func(handle, browser string) (signin.Outcome, error) {
			return r.Signin.Continue(t.Context(), anonymous(r), r.Env, signin.Arrival{Handle: handle, BrowserID: browser})
		}
		for name, other := range map[string]string{"another browser": secret.Random(), "a browser without cookie": ""} {
			_, err := go1(handle, other)
			if fails(t, err, "SIGNIN_OTHER_BROWSER"); people(r) != [5]int{} {
				t.Errorf("%s left rows: %v", name, people(r))
			}
		}
		_, err := go1(secret.Random(), browser)
		fails(t, err, "SIGNIN_HANDLE_UNKNOWN")
		out, err := go1(handle, browser)
		if err != nil {
			t.Fatal(err)
		}
		in(t, out)
		_, err = go1(handle, browser)
		fails(t, err, "SIGNIN_HANDLE_UNKNOWN")
		if n := r.Count(`SELECT COUNT(*) FROM sessions`); n != 1 {
			t.Errorf("%d sessions", n)
		}
	})
}

// A handle that is used twice at once gives one session.
func TestHandleInParallel(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		c := r.Bare(r.Tenant("acme", "acme.example"))
		browser := secret.Random()
		flow := begin(t, r, browser, "")
		// Two answers to one flow, each asked for ten times at once.
		handles := []string{save(t, r, flow, person(r, c, "ada", "ada@acme.example")), save(t, r, flow, person(r, c, "ada", "ada@acme.example"))}
		var mu sync.Mutex
		sessions := 0
		var wg sync.WaitGroup
		for n := range 20 {
			wg.Go(func() {
				out, err := r.Signin.Continue(t.Context(), anonymous(r), r.Env, signin.Arrival{Handle: handles[n%2], BrowserID: browser})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil && out.Cookie != "":
					sessions++
				case fault.CodeOf(err) != "SIGNIN_HANDLE_UNKNOWN" && fault.CodeOf(err) != "SIGNIN_FLOW_FINISHED":
					t.Errorf("%+v, %v", out, err)
				}
			})
		}
		wg.Wait()
		if n := r.Count(`SELECT COUNT(*) FROM sessions`); sessions != 1 || n != 1 {
			t.Errorf("%d sessions handed out, %d made", sessions, n)
		}
	})
}

func TestFlowsEnd(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme", "acme.example")
		c := r.Bare(tenant)
		browser := secret.Random()
		flow := begin(t, r, browser, "")
		read := func(browser string) error {
			_, err := r.Signin.Flow(t.Context(), r.DB, r.Env.ID, flow, browser)
			return err
		}
		finished := func(browser string) error {
			_, err := r.Signin.Finished(t.Context(), r.DB, r.Env.ID, flow, browser)
			return err
		}
		if err := read(browser); err != nil {
			t.Fatal(err)
		}
		fails(t, read(""), "SIGNIN_OTHER_BROWSER")
		fails(t, read(secret.Random()), "SIGNIN_OTHER_BROWSER")
		fails(t, finished(browser), "SIGNIN_FLOW_UNKNOWN")
		_, err := r.Signin.Flow(t.Context(), r.DB, r.Env.ID, id.New(id.Flow), browser)
		fails(t, err, "SIGNIN_FLOW_UNKNOWN")
		_, err = r.Signin.Flow(t.Context(), r.DB, "env_other", flow, browser)
		fails(t, err, "SIGNIN_FLOW_UNKNOWN")
		_, err = r.Signin.Flow(t.Context(), r.DB, r.Env.ID, "flw_\x00", browser)
		fails(t, err, "SIGNIN_FLOW_UNKNOWN")

		handle := save(t, r, flow, person(r, c, "ada", "ada@acme.example"))
		out, err := r.Signin.Continue(t.Context(), anonymous(r), r.Env, signin.Arrival{Handle: handle, BrowserID: browser})
		if err != nil {
			t.Fatal(err)
		}
		fails(t, read(browser), "SIGNIN_FLOW_FINISHED")
		done, err := r.Signin.Finished(t.Context(), r.DB, r.Env.ID, flow, browser)
		if err != nil || done.Tenant != tenant || done.Connection != c.ID || done.SessionID != out.Session.ID || string(done.Request) != `{"client":"app"}` {
			t.Errorf("%+v, %v", done, err)
		}
		fails(t, finished(secret.Random()), "SIGNIN_OTHER_BROWSER")
		fails(t, finished(""), "SIGNIN_OTHER_BROWSER")
		r.Clock.Advance(signin.FlowLifetime)
		fails(t, finished(browser), "SIGNIN_FLOW_EXPIRED")

		flow = begin(t, r, browser, "")
		handle = save(t, r, flow, person(r, c, "ada", "ada@acme.example"))
		r.Clock.Advance(2 * time.Minute)
		_, err = r.Signin.Continue(t.Context(), anonymous(r), r.Env, signin.Arrival{Handle: handle, BrowserID: browser})
		fails(t, err, "SIGNIN_HANDLE_UNKNOWN")
		r.Clock.Advance(8*time.Minute - time.Second)
		if err := read(browser); err != nil {
			t.Errorf("one second before its end: %v", err)
		}
		handle = save(t, r, flow, person(r, c, "ada", "ada@acme.example"))
		r.Clock.Advance(time.Second)
		fails(t, read(browser), "SIGNIN_FLOW_EXPIRED")
		_, err = r.Signin.Continue(t.Context(), anonymous(r), r.Env, signin.Arrival{Handle: handle, BrowserID: browser})
		fails(t, err, "SIGNIN_FLOW_EXPIRED")
	})
}

// A refused sign-in ends its flow without a session to resume with.
func TestRefusedFlow(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		c := r.Bare(r.Tenant("acme"))
		browser := secret.Random()
		flow := begin(t, r, browser, "")
		handle := save(t, r, flow, person(r, c, "ada", "ada@acme.example"))
		out, err := r.Signin.Continue(t.Context(), anonymous(r), r.Env, signin.Arrival{Handle: handle, BrowserID: browser})
		if err != nil || out.Refusal == nil || out.FlowID != flow {
			t.Fatalf("%+v, %v", out, err)
		}
		_, err = r.Signin.Finished(t.Context(), r.DB, r.Env.ID, flow, browser)
		fails(t, err, "SIGNIN_FLOW_UNKNOWN")
	})
}

// Identity rule 6: a flow of one organization does not end in another, whatever
// provider answers.
func TestForeignOrganization(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		acme, globex := r.Tenant("acme", "acme.example"), r.Tenant("globex", "globex.example")
		b := r.Bare(globex)
		browser := secret.Random()
		handle := save(t, r, begin(t, r, browser, acme), person(r, b, "bob", "bob@globex.example"))
		_, err := r.Signin.Continue(t.Context(), anonymous(r), r.Env, signin.Arrival{Handle: handle, BrowserID: browser})
		fails(t, err, "SIGNIN_OTHER_ORGANIZATION")
		if people(r) != [5]int{} {
			t.Errorf("rows: %v", people(r))
		}
	})
}

func TestBegin(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		acme, globex, empty := r.Tenant("acme", "acme.example", "shared.example"), r.Tenant("globex", "shared.example"), r.Tenant("empty", "empty.example")
		a := r.Bare(acme)
		b1, b2 := r.Bare(globex), r.Bare(globex)
		disabled := r.Bare(acme)
		off := tenants.SSODisabled
		r.SetConnection(disabled, tenants.SSOPatch{Status: &off})
		_ = empty
		start := func(s signin.Start) (signin.Next, error) {
			s.Environment, s.Request = r.Env, []byte(`{}`)
			if s.BrowserID == "" {
				s.BrowserID = secret.Random()
			}
			return r.Signin.Begin(t.Context(), anonymous(r), r.DB, s)
		}
		goes := func(s signin.Start, want string) {
			t.Helper()
			next, err := start(s)
			if err != nil {
				t.Errorf("%+v: %v", s, err)
				return
			}
			if got := strings.ReplaceAll(next.URL, next.FlowID, "F"); got != want {
				t.Errorf("%+v leads to %s, want %s", s, got, want)
			}
		}
		bad := func(s signin.Start, code string) {
			t.Helper()
			_, err := start(s)
			fails(t, err, code)
		}
		page := "/login?flow=F"
		goes(signin.Start{}, page)
		goes(signin.Start{LoginHint: "ada@acme.example"}, page)
		goes(signin.Start{LoginHint: "a\x00b" + strings.Repeat("x", 500)}, page)
		goes(signin.Start{Organization: "acme"}, page) // one connection, but SSO is not enforced
		goes(signin.Start{Organization: "globex"}, page)
		goes(signin.Start{Connection: a.ID}, "/oidc/"+a.ID+"/login?flow=F")
		goes(signin.Start{Organization: acme, Connection: a.ID}, "/oidc/"+a.ID+"/login?flow=F")
		goes(signin.Start{DomainHint: "ACME.example"}, "/oidc/"+a.ID+"/login?flow=F")
		goes(signin.Start{DomainHint: "shared.example"}, page) // several tenants
		goes(signin.Start{DomainHint: "nobody.example"}, page)
		goes(signin.Start{DomainHint: "not a domain"}, page)
		goes(signin.Start{DomainHint: "empty.example"}, page)
		r.SetPolicy(acme, policy.SSO, `{"enforced":true,"excluded_emails":[]}`)
		r.SetPolicy(globex, policy.SSO, `{"enforced":true,"excluded_emails":[]}`)
		goes(signin.Start{Organization: "acme"}, "/oidc/"+a.ID+"/login?flow=F")
		goes(signin.Start{Organization: "globex"}, page) // two connections

		bad(signin.Start{Organization: "nobody"}, "organization_unknown")
		bad(signin.Start{Organization: "a\x00b"}, "organization_unknown")
		bad(signin.Start{Organization: strings.Repeat("x", 5000)}, "organization_unknown")
		bad(signin.Start{Connection: id.New(id.SSO)}, "connection_unknown")
		bad(signin.Start{Connection: "sso_\x00"}, "connection_unknown")
		bad(signin.Start{Organization: acme, Connection: b1.ID}, "connection_unknown")
		bad(signin.Start{Connection: disabled.ID}, "POLICY_CONNECTION_DISABLED")
		r.Suspend(globex)
		bad(signin.Start{Organization: globex}, "tenant_suspended")
		bad(signin.Start{Connection: b2.ID}, "POLICY_TENANT_SUSPENDED")
		if _, err := r.Signin.Begin(t.Context(), anonymous(r), r.DB, signin.Start{Environment: r.Env, Request: []byte(`{}`)}); err == nil {
			t.Error("a flow without a browser was opened")
		}
		// A connection that the application names names its organization too.
		browser := secret.Random()
		next, err := start(signin.Start{Connection: a.ID, BrowserID: browser})
		if err != nil {
			t.Fatal(err)
		}
		f, err := r.Signin.Flow(t.Context(), r.DB, r.Env.ID, next.FlowID, browser)
		if err != nil || f.Organization != acme || f.Connection != a.ID {
			t.Errorf("%+v, %v", f, err)
		}
	})
}

func TestDiscover(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		acme, globex, quiet := r.Tenant("acme", "acme.example", "shared.example"), r.Tenant("globex", "shared.example"), r.Tenant("quiet", "quiet.example")
		a, b := r.Bare(acme), r.Bare(globex)
		q := r.Bare(quiet)
		off := tenants.SSODisabled
		r.SetConnection(q, tenants.SSOPatch{Status: &off})
		r.Tx(func(tx db.Queryer) error { // claimed, but not proved
			_, err := r.Tenants.AddDomain(t.Context(), r.Vendor, tx, globex, "unproved.example", false)
			return err
		})
		for email, want := range map[string][]string{
			"ada@acme.example":                      {a.ID},
			"ADA@ACME.EXAMPLE.":                     {a.ID},
			"ada@shared.example":                    {a.ID, b.ID},
			"ada@sub.acme.example":                  nil,
			"ada@unproved.example":                  nil,
			"ada@quiet.example":                     nil,
			"ada@gmail.com":                         nil,
			"acme.example":                          nil,
			"ada@acme.example@nobody.example":       nil,
			"":                                      nil,
			"ada@" + strings.Repeat("x", 400):       nil,
			"ada@\x00":                              nil,
			"' OR 1=1 --@acme.example' OR '1'='1' ": nil,
		} {
			options, err := r.Signin.Discover(t.Context(), r.DB, r.Env.ID, email)
			var got []string
			for _, o := range options {
				got = append(got, o.Connection)
			}
			if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%q: %v, %v, want %v", email, got, err, want)
			}
		}
		r.Suspend(acme)
		if options, err := r.Signin.Discover(t.Context(), r.DB, r.Env.ID, "ada@acme.example"); err != nil || len(options) != 0 {
			t.Errorf("a suspended tenant is offered: %v, %v", options, err)
		}
	})
}

// A question is answered once, at its own connection, in time.
func TestRequests(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant, other := r.Tenant("acme"), r.Tenant("other")
		c, d := r.Bare(tenant), r.Bare(other)
		ask := func(key string) {
			t.Helper()
			if err := r.Signin.NewRequest(t.Context(), r.DB, signin.Request{
				Environment: r.Env.ID, Tenant: tenant, Connection: c.ID, Key: key, FlowID: "flw_x", Secret: []byte("the nonce"),
			}); err != nil {
				t.Fatal(err)
			}
		}
		take := func(c tenants.SSOConnection, key string) (signin.Request, error) {
			var got signin.Request
			err := r.DB.Tx(t.Context(), func(q db.Queryer) error {
				var err error
				got, err = r.Signin.TakeRequest(t.Context(), q, c.Tenant, c.ID, key)
				return err
			})
			return got, err
		}
		ask("k1")
		if n := r.Count(`SELECT COUNT(*) FROM sso_requests WHERE secret LIKE '%nonce%'`); n != 0 {
			t.Error("the secret is stored as it is")
		}
		for _, k := range []struct {
			c   tenants.SSOConnection
			key string
		}{{c, "k2"}, {c, ""}, {d, "k1"}} {
			_, err := take(k.c, k.key)
			if !errors.Is(err, signin.ErrRequestUnknown) {
				t.Errorf("%v: %v", k, err)
			}
		}
		got, err := take(c, "k1")
		if err != nil || string(got.Secret) != "the nonce" || got.FlowID != "flw_x" {
			t.Fatalf("%+v, %v", got, err)
		}
		if _, err := take(c, "k1"); !errors.Is(err, signin.ErrRequestUsed) {
			t.Errorf("again: %v", err)
		}
		ask("late")
		r.Clock.Advance(signin.FlowLifetime)
		if _, err := take(c, "late"); !errors.Is(err, signin.ErrRequestExpired) {
			t.Errorf("late: %v", err)
		}

		ask("many")
		var won, used int
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				_, err := take(c, "many")
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					won++
				case errors.Is(err, signin.ErrRequestUsed):
					used++
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won != 1 || used != 19 {
			t.Errorf("%d answers got the question, %d were told that it was used", won, used)
		}
	})
}

// What a provider says about a person is stored encrypted while it waits.
func TestResultIsSealed(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		c := r.Bare(r.Tenant("acme"))
		handle := save(t, r, begin(t, r, secret.Random(), ""), person(r, c, "ada", "ada@acme.example"))
		for _, stored := range r.Strings(`SELECT identity FROM sso_results`) {
			if strings.Contains(stored, "ada") {
				t.Error("the result is readable")
			}
		}
		if n := r.Count(`SELECT COUNT(*) FROM sso_results WHERE hash = $1`, handle); n != 0 {
			t.Error("the handle is stored as it is")
		}
		// A row that was copied to another handle does not open.
		r.Exec(`UPDATE sso_results SET hash = $1`, secret.Hash("another"))
		_, err := r.Signin.Continue(t.Context(), anonymous(r), r.Env, signin.Arrival{Handle: "another", BrowserID: "b"})
		if err == nil || fault.KindOf(err) != 0 {
			t.Errorf("a moved row: %v", err)
		}
	})
}

func TestLoginLogPages(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme")
		c := r.Bare(tenant)
		other := r.Bare(tenant)
		for n := range 7 {
			r.Clock.Advance(time.Duration(n%2) * time.Second) // several in one instant
			for _, conn := range []tenants.SSOConnection{c, other} {
				r.Tx(func(q db.Queryer) error {
					return r.Signin.RecordLogin(t.Context(), anonymous(r), q, r.Env.ID, tenant, signin.Login{Connection: conn.ID, Outcome: signin.OutcomeFailure, Code: fmt.Sprint(n)})
				})
			}
		}
		var got []string
		cursor := ""
		for {
			list, next, err := r.Signin.Logins(t.Context(), r.DB, tenant, signin.LoginQuery{Connection: c.ID, Cursor: cursor, Limit: 3})
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range list {
				got = append(got, l.Code)
			}
			if cursor = next; next == "" {
				break
			}
		}
		if fmt.Sprint(got) != "[6 5 4 3 2 1 0]" {
			t.Errorf("%v", got)
		}
		if list, _, err := r.Signin.Logins(t.Context(), r.DB, tenant, signin.LoginQuery{Connection: c.ID, Cursor: "nonsense"}); err != nil || len(list) != 7 {
			t.Errorf("%d, %v", len(list), err)
		}
	})
}

func TestPurge(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme", "acme.example")
		c := r.Bare(tenant)
		rows := func() [4]int {
			return [4]int{
				r.Count(`SELECT COUNT(*) FROM flows`), r.Count(`SELECT COUNT(*) FROM sso_requests`),
				r.Count(`SELECT COUNT(*) FROM sso_results`), r.Count(`SELECT COUNT(*) FROM logins`),
			}
		}
		purge := func() {
			t.Helper()
			if err := r.Signin.Purge(t.Context(), r.DB); err != nil {
				t.Fatal(err)
			}
		}
		in(t, arrive(t, r, person(r, c, "ada", "ada@acme.example")))
		if err := r.Signin.NewRequest(t.Context(), r.DB, signin.Request{Environment: r.Env.ID, Tenant: tenant, Connection: c.ID, Key: "k", FlowID: "f"}); err != nil {
			t.Fatal(err)
		}
		purge()
		if got := rows(); got != [4]int{1, 1, 1, 1} {
			t.Errorf("fresh rows were dropped: %v", got)
		}
		r.Clock.Advance(2 * time.Hour)
		purge()
		if got := rows(); got != [4]int{0, 0, 0, 1} {
			t.Errorf("after two hours: %v", got)
		}
		r.Clock.Advance(31 * 24 * time.Hour)
		purge()
		if got := rows(); got != [4]int{} {
			t.Errorf("after a month: %v", got)
		}
	})
}

package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

type loginBody struct {
	ID            string              `json:"id"`
	At            time.Time           `json:"at"`
	Purpose       string              `json:"purpose" enum:"login,test"`
	Outcome       string              `json:"outcome" enum:"success,failure,denied" doc:"failure: the answer did not hold; denied: it held, and a rule refused the person"`
	Code          string              `json:"code" doc:"Why it did not succeed"`
	Explanation   *explanationBody    `json:"explanation,omitempty" doc:"What the code means and what to do; absent on success"`
	FlowID        *string             `json:"flow_id"`
	Subject       string              `json:"subject"`
	Email         string              `json:"email"`
	IP            string              `json:"ip"`
	Checks        []checkBody         `json:"checks" doc:"What was checked, in order"`
	Response      string              `json:"response" doc:"The identity provider's answer, with values redacted unless it was a test (tests for who may change connections); empty where a SAML answer held: checks and claims tell what it said"`
	Claims        map[string][]string `json:"claims" doc:"As received; values redacted unless it was a test"`
	Profile       *profileBody        `json:"profile,omitempty" doc:"As the attribute mapping reads it; of tests"`
	Groups        []string            `json:"groups" doc:"Of tests; at most the first 200"`
	GroupCount    int                 `json:"group_count"`
	GroupsKnown   bool                `json:"groups_known" doc:"Whether the answer had group information at all"`
	GroupsOmitted bool                `json:"groups_omitted" doc:"Whether the identity provider has more groups than it sends"`
	Roles         []grantedBody       `json:"roles" doc:"What it brought, or would bring"`
	Would         *wouldBody          `json:"would,omitempty" doc:"Of tests: what a real login would do"`
}

type grantedBody struct {
	Key     string   `json:"key"`
	Sources []string `json:"sources" doc:"direct, default, group:<name>, connection:<name>"`
}

type checkBody struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Expected string `json:"expected"`
	Actual   string `json:"actual"`
}

type explanationBody struct {
	Summary string `json:"summary"`
	Who     string `json:"who" enum:"idp_admin,tenant_admin,vendor,person" doc:"Who can mend it"`
	Where   string `json:"where" doc:"The screen, in the words of its console; may be empty"`
	Action  string `json:"action"`
}

type profileBody struct {
	Subject       string `json:"subject"`
	UserName      string `json:"user_name"`
	Email         string `json:"email"`
	EmailVerified *bool  `json:"email_verified"`
	FirstName     string `json:"first_name"`
	LastName      string `json:"last_name"`
	DisplayName   string `json:"display_name"`
	ObjectID      string `json:"object_id"`
	AuthnContext  string `json:"authn_context"`
}

type wouldBody struct {
	Outcome string `json:"outcome" enum:"sign_in,new_account,refused"`
	Step    string `json:"step" doc:"How the person was found"`
	Code    string `json:"code" doc:"Of the refusal"`
	// SecondFactor says that the person would have been asked for one here first.
	SecondFactor bool             `json:"second_factor,omitempty" doc:"A second factor would be asked for here first"`
	Explanation  *explanationBody `json:"explanation,omitempty"`
}

func explain(code, kind string) *explanationBody {
	e, ok := signin.Explain(code, kind)
	if !ok {
		return nil
	}
	out := explanationBody(e)
	return &out
}

func showLogin(kind string) func(signin.Login) loginBody {
	return func(l signin.Login) loginBody {
		d := l.Detail
		out := loginBody{
			ID: l.ID, At: l.At, Purpose: "login", Outcome: l.Outcome, Code: l.Code, Explanation: explain(l.Code, kind), FlowID: optionalText(l.FlowID),
			Subject: l.Subject, Email: l.Email, IP: l.IP, Checks: make([]checkBody, 0, len(l.Checks)), Response: l.Response, Claims: d.Claims,
			Groups: texts(d.Groups), GroupCount: d.GroupCount, GroupsKnown: d.GroupsKnown, GroupsOmitted: d.GroupsOmitted, Roles: []grantedBody{},
		}
		if l.Purpose == signin.PurposeTest {
			out.Purpose = "test"
		}
		if out.Claims == nil {
			out.Claims = map[string][]string{}
		}
		for _, c := range l.Checks {
			out.Checks = append(out.Checks, checkBody{Name: c.Name, OK: c.OK, Expected: c.Expected, Actual: c.Actual})
		}
		for _, r := range d.Roles {
			out.Roles = append(out.Roles, grantedBody{Key: r.Key, Sources: r.Sources})
		}
		if p := d.Profile; p != nil {
			shown := profileBody(*p)
			out.Profile = &shown
		}
		if w := d.Would; w != nil {
			out.Would = &wouldBody{Outcome: w.Outcome, Step: w.Step, Code: w.Code, SecondFactor: w.SecondFactor, Explanation: explain(w.Code, kind)}
		}
		return out
	}
}

// showLoginTo shows what a test brought only to who may set connections up.
func showLoginTo(a actor.Actor, kind string) func(signin.Login) loginBody {
	show := showLogin(kind)
	if a.May(ssoWrite) {
		return show
	}
	return func(l signin.Login) loginBody { return show(l.Redacted()) }
}

type listLogins struct {
	SSOPath
	PageQuery
	Outcome string `query:"outcome" enum:",success,failure,denied" doc:"Only these"`
	Code    string `query:"code" maxLength:"100" doc:"Only those that ended with this code"`
	FlowID  string `query:"flow_id" maxLength:"63" doc:"Only those of this sign-in, whose number the error page shows"`
	Purpose string `query:"purpose" enum:",login,test" doc:"Only these"`
}

type testStarted struct {
	FlowID    string    `json:"flow_id"`
	URL       string    `json:"url" doc:"Open it in a browser: it makes a login that signs nobody in. It serves one browser"`
	ExpiresAt time.Time `json:"expires_at"`
}

type testPath struct {
	SSOPath
	Flow string `path:"flow" maxLength:"63" doc:"flow_id of the test"`
}

// testBody is a login that was a test; login is absent while nothing came back.
type testBody struct {
	FlowID string     `json:"flow_id"`
	Status string     `json:"status" enum:"pending,succeeded,failed"`
	Login  *loginBody `json:"login,omitempty"`
	// The parts of login that are looked for first.
	Code        string              `json:"code"`
	Explanation *explanationBody    `json:"explanation,omitempty"`
	Checks      []checkBody         `json:"checks"`
	Claims      map[string][]string `json:"claims"`
	Profile     *profileBody        `json:"profile,omitempty"`
	Roles       []grantedBody       `json:"roles"`
	Would       *wouldBody          `json:"would,omitempty"`
}

func showTest(t signin.TestResult) testBody {
	out := testBody{FlowID: t.FlowID, Status: t.Status, Checks: []checkBody{}, Claims: map[string][]string{}, Roles: []grantedBody{}}
	kind := tenants.IdPKind(t.Connection)
	if t.Login != nil {
		l := showLogin(kind)(*t.Login)
		out.Login, out.Code, out.Explanation, out.Checks, out.Claims, out.Profile, out.Roles, out.Would = &l, l.Code, l.Explanation, l.Checks, l.Claims, l.Profile, l.Roles, l.Would
	} else if t.Status == signin.TestFailed {
		out.Code = signin.CodeTestUnanswered
		out.Explanation = explain(out.Code, kind)
	}
	return out
}

func (h *Handler) registerLogins() {
	read(h, route{method: http.MethodGet, path: ssoOne + "/logins", id: "listLogins", summary: "Show the logins through a connection of the last 30 days with their checks, newest first", permission: ssoRead},
		func(ctx context.Context, s scope, q db.Queryer, in *listLogins) (out list[loginBody], err error) {
			c, err := h.Tenants.SSOConnection(ctx, q, s.tenant.ID, in.Connection)
			if err != nil {
				return out, err
			}
			name := "logins " + in.Connection
			after, err := h.position(s, name, in.Cursor)
			if err != nil {
				return out, err
			}
			found, next, err := h.Signin.Logins(ctx, q, s.tenant.ID, signin.LoginQuery{
				Connection: in.Connection, Outcome: in.Outcome, Code: in.Code, FlowID: in.FlowID, Purpose: in.Purpose, Cursor: after, Limit: in.Limit,
			})
			return paged(found, showLoginTo(s.actor, tenants.IdPKind(c)), h.cursor(s, name, next)), err
		})
	write(h, route{method: http.MethodPost, path: ssoOne + ":test", id: "testSSOConnection", summary: "Begin a test login through a connection, whatever its status", permission: ssoWrite, status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, in *SSOPath) (out testStarted, err error) {
			link, err := h.Signin.TestStart(ctx, s.actor, q, s.environment, s.tenant.ID, in.Connection)
			return testStarted(link), err
		})
	read(h, route{method: http.MethodGet, path: ssoOne + "/tests/{flow}", id: "getSSOTest", summary: "Show what came of a test login", permission: ssoWrite},
		func(ctx context.Context, s scope, q db.Queryer, in *testPath) (out testBody, err error) {
			t, err := h.Signin.TestResult(ctx, q, s.environment.ID, s.tenant.ID, in.Connection, in.Flow)
			if err != nil {
				return out, err
			}
			return showTest(t), nil
		})
}

package login

import (
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/internal/i18n"
	"github.com/gatehouse-id/gatehouse/portal/ui"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// testPage shows an admin what came of a test login.
type testPage struct {
	ui.Page
	FlowID           string
	OK, Pending      bool
	Lead             ui.Text
	Code             string
	Explanation      *signin.Explanation
	Who              string // can mend it
	WhoWhere         string // the same, with the place
	Failed           []signin.Check
	Would            ui.Text
	WouldRefused     bool
	WouldSecond      bool // a second factor is asked for first
	WouldExplanation *signin.Explanation
	Profile          []named
	Roles            []signin.GrantedAs
	Groups           []string
	GroupNote        ui.Text
	Checks           []signin.Check
	Claims           []claim
}

type named struct{ Name, Value string }

type claim struct {
	Name   string
	Values []string
}

// openTest begins a test in the browser that opens its link first.
func (h *Handler) openTest(w http.ResponseWriter, r *http.Request, env tenants.Environment, _ actor.Actor) error {
	v := r.URL.Query()
	browser := httpx.BrowserID(w, r)
	target := ""
	err := h.db.Tx(r.Context(), func(q db.Queryer) (err error) {
		target, err = h.signin.TestOpen(r.Context(), q, env.ID, v.Get("flow"), v.Get("token"), browser)
		return err
	})
	if err != nil {
		return err
	}
	leave(w, r, target)
	return nil
}

// showTest shows the result to the browser that ran the test, as often as it asks.
func (h *Handler) showTest(w http.ResponseWriter, r *http.Request, env tenants.Environment, _ actor.Actor) error {
	t, err := h.signin.TestShown(r.Context(), h.db, env.ID, chi.URLParam(r, "flow"), httpx.Browser(r))
	if err != nil {
		return err
	}
	h.test(w, r, t)
	return nil
}

func (h *Handler) test(w http.ResponseWriter, r *http.Request, t signin.TestResult) {
	h.ui.Render(w, r, http.StatusOK, "test", testOf(t))
}

func testOf(t signin.TestResult) testPage {
	p := testPage{FlowID: t.FlowID, OK: t.Status == signin.TestSucceeded, Pending: t.Status == signin.TestPending}
	kind := tenants.IdPKind(t.Connection)
	switch {
	case p.OK:
		p.Title, p.Lead = "The test succeeded", i18n.T("Your identity provider’s answer to “{connection}” holds. Nobody was signed in and nothing was written about the person.", "connection", t.Connection.Name)
	case p.Pending:
		p.Title, p.Lead = "The test is under way", i18n.T("Your identity provider has not answered “{connection}” yet. If it shows an error, that page says why; otherwise finish signing in there, and load this page again.", "connection", t.Connection.Name)
	default:
		p.Title, p.Lead, p.Code = "The test failed", i18n.T("The sign-in through “{connection}” did not hold.", "connection", t.Connection.Name), signin.CodeTestUnanswered
	}
	if t.Login == nil {
		p.explain(p.Code, kind)
		return p
	}
	l, d := t.Login, t.Login.Detail
	p.Code, p.Checks, p.Roles, p.Groups = l.Code, l.Checks, d.Roles, d.Groups
	p.explain(l.Code, kind)
	for _, c := range l.Checks {
		if !c.OK {
			p.Failed = append(p.Failed, c)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Claims)) {
		p.Claims = append(p.Claims, claim{name, d.Claims[name]})
	}
	if d.Profile != nil {
		p.Profile = profileRows(*d.Profile)
		p.GroupNote = groupNote(d)
	}
	if would := d.Would; would != nil {
		p.Would, p.WouldRefused = wouldText(*would), would.Outcome == signin.WouldRefused
		p.WouldSecond = would.SecondFactor
		p.WouldExplanation = explained(would.Code, kind)
	}
	return p
}

// whos are who can mend something, in words for the admin who made the test.
var whos = map[string][2]string{
	signin.WhoIdPAdmin:    {"At your identity provider", "At your identity provider: {where}"},
	signin.WhoTenantAdmin: {"Here", "Here: {where}"},
	signin.WhoVendor:      {"By the maker of the application", "By the maker of the application: {where}"},
}

func (p *testPage) explain(code, kind string) {
	if p.Explanation = explained(code, kind); p.Explanation != nil {
		p.Who, p.WhoWhere = whos[p.Explanation.Who][0], whos[p.Explanation.Who][1]
	}
}

func explained(code, kind string) *signin.Explanation {
	if e, ok := signin.Explain(code, kind); ok {
		return &e
	}
	return nil
}

func profileRows(p signin.Profile) []named {
	verified := ""
	if p.EmailVerified != nil {
		verified = strconv.FormatBool(*p.EmailVerified)
	}
	rows := []named{
		{"E-mail", p.Email},
		{"First name", p.FirstName},
		{"Last name", p.LastName},
		{"Display name", p.DisplayName},
		{"User name", p.UserName},
		{"Subject", p.Subject},
		{"Directory’s id", p.ObjectID},
		{"Authentication", p.AuthnContext},
	}
	if verified != "" {
		rows = slices.Insert(rows, 1, named{"E-mail verified", verified})
	}
	return rows
}

func groupNote(d signin.Detail) ui.Text {
	switch {
	case d.GroupsOmitted:
		return "The identity provider has more groups than it sends. Those from the directory, or the last known ones, count."
	case !d.GroupsKnown:
		return "The answer says nothing about groups. Those of the last login stay."
	case d.GroupCount == 0:
		return "The answer says that the person has none."
	case d.GroupCount > len(d.Groups):
		return i18n.T("{n} groups, of which these are the first:", "n", strconv.Itoa(d.GroupCount))
	}
	return nil
}

// steps are how a person was found, in words.
var steps = map[string]string{
	"identity":    "A real sign-in would find this person’s account, by the identity provider’s own identifier.",
	"external_id": "A real sign-in would find this person’s account, by the directory’s identifier.",
	"user_name":   "A real sign-in would find this person’s account, by the user name.",
	"email":       "A real sign-in would find this person’s account, by the e-mail address.",
}

func wouldText(w signin.Would) ui.Text {
	switch w.Outcome {
	case signin.WouldRefused:
		return i18n.T("A real sign-in of this person would be refused: {code}", "code", w.Code)
	case signin.WouldCreate:
		return "A real sign-in would add this person."
	}
	if how := steps[w.Step]; how != "" {
		return how
	}
	return "A real sign-in would find this person’s account."
}

package api

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// ownRoutes are of a person's own account: nobody but himself may anything there.
var ownRoutes = map[string]string{
	"getOwnAccount": "/me", "updateOwnAccount": "/me", "changeOwnPassword": "/me/password",
	"listOwnSessions": "/me/sessions", "endOwnOtherSessions": "/me/sessions", "endOwnSession": "/me/sessions/ses_x",
	"listOwnFactors": "/me/factors", "renameOwnFactor": "/me/factors/fac_x", "deleteOwnFactor": "/me/factors/fac_x",
	"beginOwnApp": "/me/factors:begin", "addOwnApp": "/me/factors", "createOwnRecoveryCodes": "/me/recovery-codes",
}

func init() {
	maps.Copy(bodies, map[string]object{
		"updateOwnAccount": {"name": "x"}, "changeOwnPassword": {"password": "x"}, "renameOwnFactor": {"name": "x"}, "addOwnApp": {"code": "000000"},
	})
	worldSteps = append(worldSteps, func(_ func(string, object) object, _ string, w map[string]string) { w["fac"] = "fac_x" })
	for id, path := range ownRoutes {
		decidesItself[id] = true
		byBody[id] = struct{ column, path string }{"nobody", path}
	}
}

// oneself is somebody with sessions, who acts by an access token.
type oneself struct {
	*fixture
	person  directory.Person
	tenant  string
	session sessions.Session
	actor   actor.Actor
}

const ownPassword = "correct horse battery"

// newOneself makes a member with a password, signed in a moment ago.
func newOneself(f *fixture, p sessions.Proof) *oneself {
	f.Helper()
	o := &oneself{fixture: f, tenant: text(f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"}), "id")}
	user := text(f.do(201, "POST", "/tenants/acme/users", object{"email": "ada@acme.example", "password": ownPassword}), "id")
	var err error
	if o.person, err = f.h.Directory.PersonOf(f.Context(), f.d, o.tenant, user); err != nil {
		f.Fatal(err)
	}
	o.signIn(p)
	f.h.UserActor = func(_ context.Context, _ tenants.Environment, token string) (actor.Actor, error) {
		if token != personToken {
			return actor.Actor{}, errNoCredential
		}
		return o.actor, nil
	}
	return o
}

// signIn makes the session in which he acts.
func (o *oneself) signIn(p sessions.Proof) {
	o.Helper()
	p.Tenant, p.Membership, p.SatisfiedAt = o.tenant, o.person.Membership.ID, o.clock.Now()
	if p.Method == "" {
		p.Method = signin.MethodPassword
	}
	if p.AuthTime.IsZero() {
		p.AuthTime = o.clock.Now()
	}
	err := o.d.Tx(o.Context(), func(q db.Queryer) (err error) {
		o.session, _, err = o.h.Sessions.Create(o.Context(), actor.Actor{Environment: o.envs[hostA], Kind: actor.System}, q, sessions.Login{
			Environment: o.envs[hostA], UserID: o.person.User.ID, IP: "192.0.2.1", UserAgent: "Firefox", Proof: p,
		})
		return err
	})
	if err != nil {
		o.Fatal(err)
	}
	o.actor = actor.Actor{
		Environment: o.envs[hostA], Tenant: o.tenant, Kind: actor.User, Subject: o.person.User.ID, Email: "ada@acme.example", Session: o.session.ID,
	}
}

func (o *oneself) me(status int, method, path string, body any) object {
	o.Helper()
	out, _ := o.answer(status, method, path, body)
	return out
}

func (o *oneself) answer(status int, method, path string, body any) (out object, header http.Header) {
	o.Helper()
	res := o.sendAs(hostA, personToken, method, "/api/v1"+path, body)
	content, err := io.ReadAll(res.Body)
	if err != nil {
		o.Fatal(err)
	}
	if res.StatusCode != status {
		o.Fatalf("%s %s: %d, want %d: %s", method, path, res.StatusCode, status, content)
	}
	if len(content) > 0 {
		if err := json.Unmarshal(content, &out); err != nil {
			o.Fatal(err)
		}
	}
	return out, res.Header
}

func (o *oneself) count(query string, args ...any) (n int) {
	o.Helper()
	if err := o.d.QueryRow(o.Context(), query, args...).Scan(&n); err != nil {
		o.Fatal(err)
	}
	return n
}

// app adds an authenticator app.
func (o *oneself) app() (id string, codes []any) {
	o.Helper()
	begun := o.me(200, "POST", "/me/factors:begin", nil)
	code, err := totp.GenerateCode(strings.ReplaceAll(text(begun, "secret"), " ", ""), o.clock.Now())
	if err != nil {
		o.Fatal(err)
	}
	made := o.me(201, "POST", "/me/factors", object{"code": code, "name": "Phone"})
	codes, _ = made["recovery_codes"].([]any)
	return text(made["factor"].(object), "id"), codes
}

// A person sees and changes his own profile, and no tenant's picture of him
// (identity rule 1).
func TestOwnProfile(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		o := newOneself(newFixture(t, d), sessions.Proof{ACR: signin.ACRSingle})
		got, header := o.answer(200, "GET", "/me", nil)
		if got["email"] != "ada@acme.example" || got["has_password"] != true || got["method"] != "password" || got["tenant_id"] != o.tenant || header.Get("ETag") == "" {
			t.Errorf("%v", got)
		}
		o.me(200, "PATCH", "/me", object{"name": "Ada Lovelace", "locale": "DE-at", "time_zone": "Europe/Vienna"})
		if got = o.me(200, "GET", "/me", nil); got["name"] != "Ada Lovelace" || got["locale"] != "de-AT" || got["time_zone"] != "Europe/Vienna" {
			t.Errorf("%v", got)
		}
		o.me(200, "PATCH", "/me", object{"locale": "", "time_zone": ""})
		for field, bad := range map[string]string{"locale": "no language", "time_zone": "Local", "name": "a\x00b"} {
			o.me(422, "PATCH", "/me", object{field: bad})
		}
		o.me(422, "PATCH", "/me", object{"time_zone": "../../etc/passwd"})
		if p, err := o.h.Directory.PersonOf(t.Context(), d, o.tenant, o.person.User.ID); err != nil || p.Membership.DisplayName != "" {
			t.Errorf("the tenant's picture changed: %+v %v", p.Membership, err)
		}
		if n := o.count(`SELECT COUNT(*) FROM audit_events WHERE action = 'profile.updated'`); n != 2 {
			t.Errorf("%d events", n)
		}
	})
}

// His own sessions, in every tenant; of whom an organization's identity provider
// vouched those in that organization alone (identity rule 6).
func TestOwnSessions(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		o := newOneself(newFixture(t, d), sessions.Proof{})
		first := o.session.ID
		o.clock.Advance(time.Minute)
		o.signIn(sessions.Proof{})
		second := o.session.ID
		o.clock.Advance(time.Minute)
		o.signIn(sessions.Proof{})
		list := data(o.me(200, "GET", "/me/sessions", nil))
		if len(list) != 3 || list[0]["current"] != true || list[0]["id"] != o.session.ID || list[2]["id"] != first || list[2]["current"] != false || list[2]["user_agent"] != "Firefox" {
			t.Fatalf("%v", list)
		}
		o.me(204, "DELETE", "/me/sessions/"+first, nil)
		o.me(404, "DELETE", "/me/sessions/"+first, nil)
		o.me(204, "DELETE", "/me/sessions", nil)
		if list = data(o.me(200, "GET", "/me/sessions", nil)); len(list) != 1 || list[0]["id"] != o.session.ID {
			t.Errorf("%v, want the current one; %s ended", list, second)
		}
		// Another person's session is none of his.
		grace := text(o.do(201, "POST", "/tenants/acme/users", object{"email": "grace@acme.example", "password": ownPassword}), "id")
		ada, mine := o.person, o.actor
		var err error
		if o.person, err = o.h.Directory.PersonOf(t.Context(), d, o.tenant, grace); err != nil {
			t.Fatal(err)
		}
		o.signIn(sessions.Proof{})
		hers := o.session.ID
		o.person, o.actor = ada, mine
		o.me(404, "DELETE", "/me/sessions/"+hers, nil)
		// A session of another tenant's part is not told to whom the provider vouched for.
		o.signIn(sessions.Proof{Method: "saml", Connection: "sso_x"})
		if list = data(o.me(200, "GET", "/me/sessions", nil)); len(list) != 2 {
			t.Errorf("%v", list)
		}
	})
}

// What somebody proves himself with is changed after a fresh sign-in alone, with the
// second factor where he has one (RFC 9470 §3); each change is written down and
// mailed to him.
func TestOwnCredentials(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		o := newOneself(newFixture(t, d), sessions.Proof{ACR: signin.ACRSingle})
		mails := func() int { return o.count(`SELECT COUNT(*) FROM jobs WHERE kind = 'mail.send'`) }
		challenged := func(method, path string, body any, second bool) {
			t.Helper()
			got, header := o.answer(401, method, path, body)
			c := header.Get("WWW-Authenticate")
			if text(got, "code") != "insufficient_user_authentication" || !strings.Contains(c, `error="insufficient_user_authentication"`) || !strings.Contains(c, `max_age="600"`) ||
				strings.Contains(c, `acr_values="`+signin.ACRMultiFactor+`"`) != second {
				t.Errorf("%s %s: %v %q", method, path, got, c)
			}
		}
		o.me(409, "POST", "/me/recovery-codes", nil)
		o.clock.Advance(11 * time.Minute)
		challenged("POST", "/me/factors:begin", nil, false)
		challenged("POST", "/me/recovery-codes", nil, false)
		for range 6 { // and an old token locks nobody's second factor
			challenged("POST", "/me/factors", object{"code": "000000"}, false)
		}
		challenged("PUT", "/me/password", object{"password": "another sentence by far"}, false)
		o.signIn(sessions.Proof{ACR: signin.ACRSingle})
		before := mails()
		phone, codes := o.app()
		if len(codes) != 10 || mails() != before+1 {
			t.Errorf("%d codes, %d mails", len(codes), mails()-before)
		}
		list := data(o.me(200, "GET", "/me/factors", nil))
		if len(list) != 1 || list[0]["id"] != phone || list[0]["kind"] != "totp" || list[0]["name"] != "Phone" || list[0]["organization_only"] != false {
			t.Errorf("%v", list)
		}
		if got := o.me(200, "PATCH", "/me/factors/"+phone, object{"name": "Old phone"}); got["name"] != "Old phone" {
			t.Errorf("%v", got)
		}
		// From now on a password alone does not do.
		challenged("DELETE", "/me/factors/"+phone, nil, true)
		challenged("POST", "/me/factors:begin", nil, true)
		challenged("POST", "/me/recovery-codes", nil, true)
		o.signIn(sessions.Proof{AMR: []string{"pwd", "otp", "mfa"}, ACR: signin.ACRMultiFactor})
		if got := o.me(201, "POST", "/me/recovery-codes", nil); len(got["recovery_codes"].([]any)) != 10 {
			t.Errorf("%v", got)
		}
		if got := o.me(200, "GET", "/me", nil); got["recovery_codes_left"] != 10.0 {
			t.Errorf("%v", got)
		}
		o.me(404, "DELETE", "/me/factors/fac_x", nil)
		o.me(200, "POST", "/me/factors:begin", nil)
		wrong := o.me(422, "POST", "/me/factors", object{"code": "000000"})
		if text(wrong, "code") != "SIGNIN_WRONG_CODE" {
			t.Errorf("%v", wrong)
		}
		o.me(204, "DELETE", "/me/factors/"+phone, nil)
		if n := o.count(`SELECT COUNT(*) FROM recovery_codes`); n != 0 {
			t.Errorf("%d recovery codes of nothing", n)
		}
		for action, want := range map[string]int{"mfa.enrolled": 1, "mfa.removed": 1, "mfa.recovery_codes_created": 1} {
			if n := o.count(`SELECT COUNT(*) FROM audit_events WHERE action = $1 AND tenant_id = $2`, action, o.tenant); n != want {
				t.Errorf("%s: %d events", action, n)
			}
		}
		if n := mails() - before; n != 3 {
			t.Errorf("%d mails", n)
		}

		// The password: by the current one however old the sign-in is, or after a fresh one.
		other := o.session.ID
		o.clock.Advance(time.Hour)
		o.signIn(sessions.Proof{AuthTime: o.clock.Now().Add(-time.Hour), ACR: signin.ACRSingle})
		o.me(422, "PUT", "/me/password", object{"current_password": "wrong", "password": "another sentence by far"})
		o.me(422, "PUT", "/me/password", object{"current_password": ownPassword, "password": "short"})
		o.me(200, "PUT", "/me/password", object{"current_password": ownPassword, "password": "another sentence by far"})
		if n := o.count(`SELECT COUNT(*) FROM sessions WHERE id = $1 AND ended_at IS NULL`, other); n != 0 {
			t.Error("another session lives on after the password was changed")
		}
		if list := data(o.me(200, "GET", "/me/sessions", nil)); len(list) != 1 {
			t.Errorf("%v", list)
		}
		o.signIn(sessions.Proof{ACR: signin.ACRSingle})
		o.me(200, "PUT", "/me/password", object{"password": "a third sentence by far"})
	})
}

// Who is impersonated, a token that is no person's session, and whom an
// organization's provider alone vouched for do not touch what is the person's own
// (identity rules 1, 6 and 12).
func TestOwnAccountOfOthers(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		o := newOneself(newFixture(t, d), sessions.Proof{ACR: signin.ACRSingle})
		phone, _ := o.app()
		o.signIn(sessions.Proof{AMR: []string{"pwd", "otp", "mfa"}, ACR: signin.ACRMultiFactor})
		himself := o.actor
		for name, change := range map[string]func(*actor.Actor){
			"impersonated":      func(a *actor.Actor) { a.Impersonator = actor.Impersonator{ID: "stf_x"} },
			"an API token":      func(a *actor.Actor) { a.Kind = actor.APIToken },
			"without a session": func(a *actor.Actor) { a.Session = "" },
			"another person":    func(a *actor.Actor) { a.Subject = "usr_x" },
			"in a sub-account":  func(a *actor.Actor) { a.Home = "ten_x" },
		} {
			o.actor = himself
			change(&o.actor)
			for _, r := range o.h.routes {
				path, mine := ownRoutes[r.id]
				if !mine {
					continue
				}
				if got := o.me(403, r.method, strings.Replace(path, "fac_x", phone, 1), bodies[r.id]); text(got, "code") != "people_only" {
					t.Errorf("%s: %s: %v", name, r.id, got)
				}
			}
		}
		o.actor = himself
		o.signIn(sessions.Proof{Method: "oidc", Connection: "sso_x", AMR: []string{"pwd", "mfa"}, ACR: signin.ACRMultiFactor})
		for _, x := range []struct {
			method, path string
			body         any
		}{
			{"PATCH", "/me", object{"name": "Mallory"}},
			{"DELETE", "/me/factors/" + phone, nil},
			{"PATCH", "/me/factors/" + phone, object{"name": "mine"}},
			{"PUT", "/me/password", object{"password": "another sentence by far"}},
		} {
			if got := o.me(403, x.method, x.path, x.body); text(got, "code") != "own_sign_in_required" {
				t.Errorf("%s %s: %v", x.method, x.path, got)
			}
		}
		// What he sets up there serves there alone, and is his to remove there.
		app, _ := o.app()
		if n := o.count(`SELECT COUNT(*) FROM factors WHERE id = $1 AND confined_to = $2`, app, o.tenant); n != 1 {
			t.Error("a factor that an organization vouched for serves everywhere")
		}
		o.me(204, "DELETE", "/me/factors/"+app, nil)
	})
}

// An administrator helps people who cannot come in, as far as that changes nothing
// elsewhere (identity rule 1), and never himself.
func TestResetMFAAndUnlock(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		o := newOneself(newFixture(t, d), sessions.Proof{ACR: signin.ACRSingle})
		o.app()
		at := "/tenants/acme/users/" + o.person.User.ID
		if list := data(o.do(200, "GET", at+"/factors", nil)); len(list) != 1 || list[0]["kind"] != "totp" || list[0]["id"] != nil || list[0]["name"] != nil {
			t.Errorf("%v", list)
		}
		if got := o.do(200, "POST", at+":reset-mfa", nil); got["removed"] != 1.0 {
			t.Errorf("%v", got)
		}
		if n := o.count(`SELECT COUNT(*) FROM factors`) + o.count(`SELECT COUNT(*) FROM recovery_codes`) + o.count(`SELECT COUNT(*) FROM sessions WHERE ended_at IS NULL`); n != 0 {
			t.Errorf("%d factors, codes and sessions are left", n)
		}
		if n := o.count(`SELECT COUNT(*) FROM audit_events WHERE action = 'mfa.reset' AND severity = 'high'`); n != 1 {
			t.Errorf("%d events", n)
		}
		if _, err := o.d.Exec(t.Context(), `INSERT INTO attempts (environment_id, key, failures, last_at, free_at) VALUES ($1, 'user:`+o.person.User.ID+`', 5, 1, 9000000000000000)`, o.envs[hostA]); err != nil {
			t.Fatal(err)
		}
		o.do(200, "POST", at+":unlock", nil)
		if n := o.count(`SELECT COUNT(*) FROM attempts WHERE key LIKE 'user:%'`); n != 0 {
			t.Error("the lock stays")
		}

		// A second tenant: nothing of the person's own is the first one's any more.
		o.do(201, "POST", "/tenants", object{"name": "Globex", "key": "globex"})
		o.do(201, "POST", "/tenants/globex/users", object{"user_id": o.person.User.ID, "email": "ada@acme.example"})
		o.signIn(sessions.Proof{ACR: signin.ACRSingle})
		o.app()
		o.refused(409, "login_not_managed_here", "POST", at+":reset-mfa", nil)
		o.refused(409, "login_not_managed_here", "POST", at+":unlock", nil)
		o.signIn(sessions.Proof{Method: "saml", Connection: "sso_x", ACR: signin.ACRMultiFactor, AMR: []string{"mfa"}})
		o.app()
		if got := o.do(200, "POST", at+":reset-mfa", nil); got["removed"] != 1.0 {
			t.Errorf("what serves in the tenant alone: %v", got)
		}
		if n := o.count(`SELECT COUNT(*) FROM factors WHERE confined_to = ''`); n != 1 {
			t.Errorf("%d factors of his own", n)
		}
		if got := o.do(200, "POST", "/users/"+o.person.User.ID+":reset-mfa", nil); got["removed"] != 1.0 {
			t.Errorf("the vendor: %v", got)
		}
		if err := mayHelp(actor.Actor{Kind: actor.User, Subject: "usr_1"}, "usr_1"); err == nil {
			t.Error("somebody resets his own factors")
		}
		if err := mayHelp(actor.Actor{Kind: actor.User, Subject: "usr_1", Impersonator: actor.Impersonator{ID: "stf_1"}}, "usr_2"); err == nil {
			t.Error("an impersonation resets factors")
		}
	})
}

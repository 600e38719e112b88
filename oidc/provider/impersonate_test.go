package provider

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// impersonator is a management key that may impersonate.
func (w *world) impersonator() (a actor.Actor, keyID string) {
	w.Helper()
	w.tx(func(q db.Queryer) error {
		k, plain, err := w.h.staff.CreateKey(w.ctx(), actor.Actor{Environment: w.env.ID, Kind: actor.System}, q, staff.NewKey{
			Environment: w.env.ID, Name: "support", Roles: []string{staff.BackofficeViewer, staff.Impersonator},
		})
		if err != nil {
			return err
		}
		keyID = k.ID
		a, err = w.h.staff.Authenticate(w.ctx(), q, w.env.ID, plain, a.IP)
		return err
	})
	return a, keyID
}

// person signs somebody in once and gives his id and his token.
func (w *world) person(who string) (id string, t tokens) {
	w.Helper()
	t = w.browser().signedIn(who)
	id, _ = w.part(t.Access, 1)["sub"].(string)
	return id, t
}

func (w *world) introspect(token string) map[string]any {
	w.Helper()
	r := w.browser().post("/oauth2/introspect", url.Values{"token": {token}}, w.basic)
	var body map[string]any
	if err := json.Unmarshal([]byte(r.body), &body); err != nil || r.StatusCode != 200 {
		w.Fatalf("%d %s", r.StatusCode, r.body)
	}
	return body
}

// Somebody of the vendor's acts as a person: by a short token that says so, and by
// nothing else (product 19; RFC 8693 §4.1).
func TestImpersonate(t *testing.T) {
	each(t, func(w *world) {
		w.role("admin-x", "engineering", "fe.secure.*", "fe.connectivity.*")
		user, own := w.person("ada@acme.com")
		a, keyID := w.impersonator()
		w.clock.Advance(time.Second)
		wish := staff.Impersonation{User: user, Tenant: "acme", Reason: "  ticket 7 "}
		got, err := w.h.Impersonate(w.ctx(), a, w.env, wish)
		if err != nil {
			t.Fatal(err)
		}
		if got.Life != 15*time.Minute {
			t.Errorf("life %v", got.Life)
		}
		c := w.part(got.AccessToken, 1)
		act, _ := c["act"].(map[string]any)
		if c["sub"] != user || c["tenantId"] != w.acme.ID || c["type"] != "userToken" || c["aud"] != w.app.ID || act["sub"] != keyID ||
			c["sid"] != got.Session || c["auth_time"] != nil || c["exp"].(float64)-c["iat"].(float64) != 900 || len(c["tenantIds"].([]any)) != 1 {
			t.Errorf("claims %v", c)
		}
		if r := w.browser().userinfo(got.AccessToken); r.StatusCode != 200 || !strings.Contains(r.body, `"email":"ada@acme.com"`) {
			t.Errorf("userinfo: %d %s", r.StatusCode, r.body)
		}
		if c := w.introspect(got.AccessToken); c["active"] != true || c["act"].(map[string]any)["sub"] != keyID {
			t.Errorf("introspection: %v", c)
		}
		if c := w.part(own.Access, 1); c["act"] != nil || c["auth_time"] == nil {
			t.Errorf("her own token: %v", c)
		}

		// The management API knows who is behind it and keeps him from credentials.
		as, err := w.h.UserActor(w.ctx(), w.env, got.AccessToken)
		if err != nil || as.Subject != user || as.Impersonator.ID != keyID || !as.May("fe.secure.read.users") || as.May("fe.secure.write.users") || as.May("fe.secure.write.tenantApiTokens") || as.May("fe.secure.write.samlConfiguration") {
			t.Errorf("actor %+v: %v", as, err)
		}
		if herself, err := w.h.UserActor(w.ctx(), w.env, own.Access); err != nil || herself.Impersonator.ID != "" || !herself.May("fe.secure.write.tenantApiTokens") {
			t.Errorf("herself %+v: %v", herself, err)
		}
		if _, _, err := w.h.UserToken(w.ctx(), w.env, got.AccessToken); err == nil {
			t.Error("SCIM's /Me takes it")
		}

		// It is listed and marked; the log says why.
		list, err := w.sessions.List(w.ctx(), w.db, w.env.ID, w.acme.ID, user)
		if err != nil || len(list) != 2 || list[0].ID != got.Session || list[0].Method != sessions.MethodImpersonation || !list[0].ExpiresAt.Equal(w.clock.Now().Add(got.Life)) {
			t.Errorf("sessions %+v: %v", list, err)
		}
		var metadata string
		var visible bool
		if err := w.db.QueryRow(w.ctx(), `SELECT metadata, visible FROM audit_events WHERE action = $1 AND tenant_id = $2`, "impersonation.started", w.acme.ID).Scan(&metadata, &visible); err != nil ||
			!strings.Contains(metadata, `"ticket 7"`) || !visible {
			t.Errorf("%s %v %v", metadata, visible, err)
		}

		// It is no refresh token, no code and no cookie.
		b := w.browser()
		if r := b.refresh(got.AccessToken); r.StatusCode != 400 {
			t.Errorf("refreshed: %s", r.body)
		}
		// Its end is its own: hers goes on.
		w.clock.Advance(15*time.Minute + time.Second)
		if r := b.userinfo(got.AccessToken); r.StatusCode != 401 {
			t.Errorf("afterwards: %d", r.StatusCode)
		}
		if r := b.refresh(own.Refresh); r.StatusCode != 200 {
			t.Errorf("her own: %s", r.body)
		}
	})
}

// Whatever ends the person's access, the impersonator's right or the session ends
// the token with it, at once (sso.md 5.3).
func TestImpersonationEnds(t *testing.T) {
	for name, end := range map[string]func(w *world, user, key, session, token string){
		"the person is disabled": func(w *world, user, _, _, _ string) {
			w.tx(func(q db.Queryer) error {
				_, err := w.directory.Disable(w.ctx(), w.admin, q, w.acme.ID, user)
				return err
			})
		},
		"the tenant is suspended": func(w *world, _, _, _, _ string) {
			status := tenants.StatusSuspended
			w.tx(func(q db.Queryer) error {
				_, err := w.tenants.UpdateTenant(w.ctx(), w.admin, q, w.acme.ID, tenants.TenantPatch{Status: &status})
				return err
			})
		},
		"the session is ended": func(w *world, user, _, session, _ string) {
			w.tx(func(q db.Queryer) error {
				n, err := w.sessions.End(w.ctx(), w.admin, q, sessions.Selector{Environment: w.env.ID, Tenant: w.acme.ID, User: user, Session: session}, "test")
				if n != 1 {
					w.Errorf("%d ended", n)
				}
				return err
			})
		},
		"the key is deleted": func(w *world, _, key, _, _ string) {
			w.tx(func(q db.Queryer) error { return w.h.staff.DeleteKey(w.ctx(), w.admin, q, key) })
		},
		"the application gives it back": func(w *world, _, _, _, token string) {
			if r := w.browser().post("/oauth2/revoke", url.Values{"token": {token}}, w.basic); r.StatusCode != 200 {
				w.Errorf("%d %s", r.StatusCode, r.body)
			}
			if n := w.events("impersonation.ended"); n != 1 {
				w.Errorf("%d events", n)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, sqlite(t))
			user, own := w.person("ada@acme.com")
			a, key := w.impersonator()
			got, err := w.h.Impersonate(w.ctx(), a, w.env, staff.Impersonation{User: user, Tenant: w.acme.ID, Reason: "x", Life: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			end(w, user, key, got.Session, got.AccessToken)
			if r := w.browser().userinfo(got.AccessToken); r.StatusCode != 401 {
				t.Errorf("userinfo: %d %s", r.StatusCode, r.body)
			}
			if c := w.introspect(got.AccessToken); len(c) != 1 || c["active"] != false {
				t.Errorf("introspection: %v", c)
			}
			if _, err := w.h.UserActor(w.ctx(), w.env, got.AccessToken); fault.KindOf(err) != fault.Unauthenticated {
				t.Errorf("the API: %v", err)
			}
			if mine := w.browser().userinfo(own.Access).StatusCode; strings.HasPrefix(name, "the person") != (mine == 401) && !strings.HasPrefix(name, "the tenant") {
				t.Errorf("her own token: %d", mine)
			}
		})
	}
}

func TestImpersonateRefusals(t *testing.T) {
	each(t, func(w *world) {
		user, _ := w.person("ada@acme.com")
		a, _ := w.impersonator()
		service, _ := w.application(tenants.NewApplication{Name: "robot", Type: tenants.Machine})
		long := strings.Repeat("ü", 501)
		for name, c := range map[string]struct {
			in   staff.Impersonation
			code string
		}{
			"no reason":               {staff.Impersonation{User: user, Tenant: "acme"}, "invalid_reason"},
			"a long reason":           {staff.Impersonation{User: user, Tenant: "acme", Reason: long}, "invalid_reason"},
			"no UTF-8":                {staff.Impersonation{User: user, Tenant: "acme", Reason: "\xff"}, "invalid_reason"},
			"more than an hour":       {staff.Impersonation{User: user, Tenant: "acme", Reason: "x", Life: time.Hour + 1}, "invalid_lifetime"},
			"less than nothing":       {staff.Impersonation{User: user, Tenant: "acme", Reason: "x", Life: -time.Minute}, "invalid_lifetime"},
			"an unknown user":         {staff.Impersonation{User: "usr_x", Tenant: "acme", Reason: "x"}, "user_not_found"},
			"of another tenant":       {staff.Impersonation{User: user, Tenant: "globex", Reason: "x"}, "user_not_found"},
			"an unknown tenant":       {staff.Impersonation{User: user, Tenant: "nowhere", Reason: "x"}, "tenant_not_found"},
			"an unknown application":  {staff.Impersonation{User: user, Tenant: "acme", Reason: "x", Application: "app_x"}, "unknown_application"},
			"a service's application": {staff.Impersonation{User: user, Tenant: "acme", Reason: "x", Application: service.ID}, "unknown_application"},
		} {
			if _, err := w.h.Impersonate(w.ctx(), a, w.env, c.in); fault.CodeOf(err) != c.code {
				t.Errorf("%s: %v, want %s", name, err, c.code)
			}
		}
		status := tenants.StatusSuspended
		w.tx(func(q db.Queryer) error {
			_, err := w.tenants.UpdateTenant(w.ctx(), w.admin, q, w.acme.ID, tenants.TenantPatch{Status: &status})
			return err
		})
		if _, err := w.h.Impersonate(w.ctx(), a, w.env, staff.Impersonation{User: user, Tenant: "acme", Reason: "x"}); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("a suspended tenant: %v", err)
		}
		if w.events("impersonation.started") != 0 {
			t.Error("something began")
		}
	})
}

// What is not to be seen is not in the tenant's log; a person of the vendor's is
// named by his address; another application is told the token is not its own.
func TestImpersonationDetails(t *testing.T) {
	each(t, func(w *world) {
		user, _ := w.person("ada@acme.com")
		var p staff.Person
		w.tx(func(q db.Queryer) (err error) {
			p, err = w.h.staff.CreatePerson(w.ctx(), actor.Actor{Environment: w.env.ID, Kind: actor.System}, q, staff.NewPerson{
				Email: "sam@vendor.example", Environment: w.env.ID, Roles: []string{staff.BackofficeEditor, staff.Impersonator},
			})
			return err
		})
		a, err := w.h.staff.Actor(w.ctx(), w.db, w.env.ID, p.ID)
		if err != nil {
			t.Fatal(err)
		}
		other, _ := w.application(tenants.NewApplication{Name: "other", Type: tenants.Web, ApplicationSettings: tenants.ApplicationSettings{RedirectURIs: []string{callback}, AccessTokenAlg: keys.RS256}})
		env := w.env
		env.Settings.Features = map[tenants.Feature]bool{tenants.FeatureShowImpersonate: false}
		got, err := w.h.Impersonate(w.ctx(), a, env, staff.Impersonation{User: user, Tenant: "acme", Reason: "x", Application: other.ID})
		if err != nil {
			t.Fatal(err)
		}
		c := w.part(got.AccessToken, 1)
		if act := c["act"].(map[string]any); c["aud"] != other.ID || act["sub"] != p.ID || act["email"] != "sam@vendor.example" {
			t.Errorf("%v", c)
		}
		var visible bool
		if err := w.db.QueryRow(w.ctx(), `SELECT visible FROM audit_events WHERE action = $1 AND tenant_id = $2`, "impersonation.started", w.acme.ID).Scan(&visible); err != nil || visible {
			t.Errorf("visible %v: %v", visible, err)
		}
		if c := w.introspect(got.AccessToken); c["active"] != false {
			t.Errorf("to another client: %v", c)
		}
		if r := w.browser().post("/oauth2/revoke", url.Values{"token": {got.AccessToken}}, w.basic); r.StatusCode == 200 {
			t.Error("another client ends it")
		}
		if r := w.browser().userinfo(got.AccessToken); r.StatusCode != 200 {
			t.Errorf("%d %s", r.StatusCode, r.body)
		}
		// His right ends with his role, and so does what he began.
		w.tx(func(q db.Queryer) error {
			disabled := staff.Disabled
			_, err := w.h.staff.UpdatePerson(w.ctx(), actor.Actor{Environment: w.env.ID, Kind: actor.System}, q, p.ID, staff.PersonPatch{Status: &disabled})
			return err
		})
		if r := w.browser().userinfo(got.AccessToken); r.StatusCode != 401 {
			t.Errorf("the impersonator is disabled: %d", r.StatusCode)
		}
	})
}

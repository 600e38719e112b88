package provider

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// desk is an application that may exchange tokens, and a key that may impersonate.
type desk struct {
	*browser
	app        tenants.Application
	secret     string
	key, plain string
}

func (w *world) desk() desk {
	w.Helper()
	d := desk{browser: w.browser()}
	d.app, d.secret = w.application(tenants.NewApplication{Name: "Desk", Type: tenants.Web, ApplicationSettings: tenants.ApplicationSettings{
		RedirectURIs: []string{callback}, RequirePKCE: true, TokenExchange: true,
	}})
	d.key, d.plain = w.managementKey(staff.BackofficeViewer, staff.Impersonator)
	return d
}

// managementKey mints a key with the roles.
func (w *world) managementKey(roles ...string) (keyID, plain string) {
	w.Helper()
	w.tx(func(q db.Queryer) error {
		k, s, err := w.h.staff.CreateKey(w.ctx(), actor.Actor{Environment: w.env.ID, Kind: actor.System}, q, staff.NewKey{
			Environment: w.env.ID, Name: "support", Roles: roles,
		})
		keyID, plain = k.ID, s
		return err
	})
	return keyID, plain
}

type exchanged struct {
	tokens
	Issued string
}

// exchange asks with some parameters changed; an empty value leaves one out.
func (d desk) exchange(user string, changes map[string]string) exchanged {
	d.Helper()
	form := url.Values{
		"grant_type": {oidc.GrantExchange}, "subject_token": {user}, "subject_token_type": {oidc.UserIDType}, "organization": {"acme"},
		"actor_token": {d.plain}, "actor_token_type": {oidc.AccessTokenType}, "reason": {"ticket 7"},
	}
	for name, v := range changes {
		form.Set(name, v)
		if v == "" {
			form.Del(name)
		}
	}
	got := exchanged{tokens: d.token(form, d.credentials)}
	var body struct {
		Issued string `json:"issued_token_type"`
	}
	if err := json.Unmarshal([]byte(got.body), &body); err != nil {
		d.Fatal(err)
	}
	got.Issued = body.Issued
	return got
}

func (d desk) credentials(r *http.Request) {
	r.SetBasicAuth(url.QueryEscape(d.app.ID), url.QueryEscape(d.secret))
}

// Support exchanges its key and a person's id, or a token of his, for a token by
// which it acts as him; it is the impersonation of the management API in every
// respect (product 19; RFC 8693).
func TestTokenExchange(t *testing.T) {
	each(t, func(w *world) {
		w.role("admin-x", "engineering", "fe.secure.*")
		user, own := w.person("ada@acme.com")
		d := w.desk()
		got := d.exchange(user, nil)
		if got.StatusCode != 200 || got.Issued != oidc.AccessTokenType || got.Type != "Bearer" || got.Expires != 900 || got.Refresh != "" || got.ID != "" || got.Scope != impersonationScope {
			t.Fatalf("%d %s", got.StatusCode, got.body)
		}
		c := w.part(got.Access, 1)
		act, _ := c["act"].(map[string]any)
		if c["sub"] != user || c["tenantId"] != w.acme.ID || c["aud"] != d.app.ID || c["client_id"] != d.app.ID || act["sub"] != d.key || c["auth_time"] != nil || len(c["tenantIds"].([]any)) != 1 {
			t.Errorf("claims %v", c)
		}
		if r := w.browser().userinfo(got.Access); r.StatusCode != 200 {
			t.Errorf("userinfo: %d %s", r.StatusCode, r.body)
		}
		as, err := w.h.UserActor(w.ctx(), w.env, got.Access)
		if err != nil || as.Impersonator.ID != d.key || as.May("fe.secure.write.tenantApiTokens") || !as.May("fe.secure.read.users") || as.May("fe.secure.write.users") {
			t.Errorf("at the API: %+v %v", as, err)
		}
		var metadata, actorID string
		if err := w.db.QueryRow(w.ctx(), `SELECT metadata, actor_id FROM audit_events WHERE action = $1 AND tenant_id = $2`, "impersonation.started", w.acme.ID).Scan(&metadata, &actorID); err != nil ||
			!strings.Contains(metadata, `"ticket 7"`) || actorID != d.key {
			t.Errorf("%s %s %v", metadata, actorID, err)
		}
		// It is not renewed: not by itself, not by the grant, not for another token.
		for name, form := range map[string]url.Values{
			"refreshed": {"grant_type": {"refresh_token"}, "refresh_token": {got.Access}},
			"as a code": {"grant_type": {"authorization_code"}, "code": {got.Access}, "redirect_uri": {callback}, "code_verifier": {verifier}},
		} {
			if r := d.token(form, d.credentials); r.Error != oidc.InvalidGrant {
				t.Errorf("%s: %s", name, r.body)
			}
		}
		// By the subject's own token, for the application that holds it.
		mine := d.signInAt(d.app, "ada@acme.com")
		by := d.exchange("", map[string]string{"subject_token": mine.Access, "subject_token_type": oidc.AccessTokenType, "organization": "", "scope": "openid"})
		if c := w.part(by.Access, 1); by.StatusCode != 200 || c["sub"] != user || c["tenantId"] != w.acme.ID || by.Scope != "openid" || c["scope"] != "openid" {
			t.Errorf("by a token: %d %s", by.StatusCode, by.body)
		}
		if r := d.exchange("", map[string]string{"subject_token": mine.Access, "subject_token_type": oidc.AccessTokenType, "organization": w.acme.ID, "audience": w.app.ID}); w.part(r.Access, 1)["aud"] != w.app.ID {
			t.Errorf("for another application: %s", r.body)
		}
		// Bound to a key, it is of use to who holds that.
		p := party{d.browser, d.app, newKey(t)}
		bound := d.token(url.Values{
			"grant_type": {oidc.GrantExchange}, "subject_token": {user}, "subject_token_type": {oidc.UserIDType}, "organization": {"acme"},
			"actor_token": {d.plain}, "actor_token_type": {oidc.AccessTokenType}, "reason": {"x"},
		}, d.credentials, dpop(p.proof(p.key, "/oauth2/token")))
		if cnf, _ := w.part(bound.Access, 1)["cnf"].(map[string]any); bound.Type != "DPoP" || cnf["jkt"] != thumbprint(t, p.key) {
			t.Errorf("bound: %s", bound.body)
		}
		if r := w.browser().userinfo(bound.Access); r.StatusCode != 401 {
			t.Errorf("without its key: %d", r.StatusCode)
		}
		// The person's own tokens are untouched.
		if r := w.browser().refresh(own.Refresh); r.StatusCode != 200 {
			t.Errorf("her own: %s", r.body)
		}
		// The key ends, and with it what was begun by it.
		w.tx(func(q db.Queryer) error { return w.h.staff.DeleteKey(w.ctx(), w.admin, q, d.key) })
		if r := w.browser().userinfo(got.Access); r.StatusCode != 401 {
			t.Errorf("after the key: %d", r.StatusCode)
		}
		if r := d.exchange(user, nil); r.Error != oidc.InvalidRequest {
			t.Errorf("by an ended key: %d %s", r.StatusCode, r.body)
		}
	})
}

// signInAt signs somebody in to another application than the world's.
func (d desk) signInAt(app tenants.Application, who string) tokens {
	d.Helper()
	code := d.code(map[string]string{"client_id": app.ID}, who)
	return d.token(url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}}, d.credentials)
}

// What an exchange must not give (sso.md 5.3; Dex GO-2026-5231: what restricts
// applications, connections and people restricts an exchange too).
func TestTokenExchangeAttacks(t *testing.T) {
	each(t, func(w *world) {
		user, own := w.person("ada@acme.com")
		d := w.desk()
		_, without := w.managementKey(staff.Admin)
		service, _ := w.application(tenants.NewApplication{Name: "robot", Type: tenants.Machine})
		mine := d.signInAt(d.app, "ada@acme.com")
		begun := d.exchange(user, nil)
		byToken := func(token string) map[string]string {
			return map[string]string{"subject_token": token, "subject_token_type": oidc.AccessTokenType, "organization": ""}
		}
		also := func(m map[string]string, k, v string) map[string]string { m[k] = v; return m }
		for name, c := range map[string]struct {
			changes map[string]string
			want    string
		}{
			"no actor":                           {map[string]string{"actor_token": "", "actor_token_type": ""}, oidc.InvalidRequest},
			"an actor without a type":            {map[string]string{"actor_token_type": ""}, oidc.InvalidRequest},
			"an actor without the right":         {map[string]string{"actor_token": without}, oidc.InvalidRequest},
			"an actor that is made up":           {map[string]string{"actor_token": d.plain[:len(d.plain)-7] + "aaaaaaa"}, oidc.InvalidRequest},
			"a person as the actor":              {map[string]string{"actor_token": mine.Access}, oidc.InvalidRequest},
			"an impersonation as the actor":      {map[string]string{"actor_token": begun.Access}, oidc.InvalidRequest},
			"no subject":                         {map[string]string{"subject_token": ""}, oidc.InvalidRequest},
			"a subject of no type":               {map[string]string{"subject_token_type": ""}, oidc.InvalidRequest},
			"a subject of another type":          {map[string]string{"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}, oidc.InvalidRequest},
			"a subject that is no id":            {map[string]string{"subject_token": "ada@acme.com"}, oidc.InvalidRequest},
			"nobody":                             {map[string]string{"subject_token": "usr_aaaaaaaaaaaaaaaaaaaaaaaaaa"}, oidc.InvalidRequest},
			"no organization":                    {map[string]string{"organization": ""}, oidc.InvalidRequest},
			"another organization":               {map[string]string{"organization": "globex"}, oidc.InvalidRequest},
			"an unknown organization":            {map[string]string{"organization": "nowhere"}, oidc.InvalidRequest},
			"an application's token of another":  {byToken(own.Access), oidc.InvalidRequest},
			"an ID token":                        {byToken(mine.ID), oidc.InvalidRequest},
			"a refresh token":                    {byToken(mine.Refresh), oidc.InvalidRequest},
			"a chain":                            {byToken(begun.Access), oidc.InvalidRequest},
			"a token, and another organization":  {also(byToken(mine.Access), "organization", "globex"), oidc.InvalidRequest},
			"an audience that is not registered": {map[string]string{"audience": "https://api.example.com"}, oidc.InvalidTarget},
			"a service as the audience":          {map[string]string{"audience": service.ID}, oidc.InvalidTarget},
			"a resource":                         {map[string]string{"resource": "https://api.example.com"}, oidc.InvalidTarget},
			"more scope":                         {map[string]string{"scope": "openid offline_access"}, oidc.InvalidScope},
			"the scope of /Me":                   {map[string]string{"scope": "openid phone address"}, oidc.InvalidScope},
			"a refresh token, please":            {map[string]string{"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, oidc.InvalidRequest},
			"no reason":                          {map[string]string{"reason": ""}, oidc.InvalidRequest},
			"a long reason":                      {map[string]string{"reason": strings.Repeat("x", 501)}, oidc.InvalidRequest},
		} {
			if r := d.exchange(user, c.changes); r.StatusCode != 400 || r.Error != c.want || r.Access != "" {
				t.Errorf("%s: %d %s, want %s", name, r.StatusCode, r.body, c.want)
			}
		}
		if n := w.events("impersonation.started"); n != 1 {
			t.Errorf("%d were begun", n)
		}
		if n := w.events("authorization.denied"); n != 1 {
			t.Errorf("%d denials in the log", n)
		}
		// Only applications that may: not others, not public ones, and none without proof.
		plain := desk{d.browser, w.app, w.secret, d.key, d.plain}
		if r := plain.exchange(user, nil); r.Error != oidc.UnauthorizedClient {
			t.Errorf("an application that may not: %s", r.body)
		}
		if r := (desk{d.browser, d.app, "x", d.key, d.plain}).exchange(user, nil); r.Error != oidc.InvalidClient || r.StatusCode != 401 {
			t.Errorf("who is not the application: %d %s", r.StatusCode, r.body)
		}
		w.tx(func(q db.Queryer) error {
			_, _, err := w.tenants.CreateApplication(w.ctx(), w.admin, q, tenants.NewApplication{Name: "SPA", Type: tenants.SPA, ApplicationSettings: tenants.ApplicationSettings{
				RedirectURIs: []string{callback}, TokenExchange: true,
			}})
			if err == nil {
				t.Error("a public client may exchange")
			}
			return nil
		})
		// A subject whose own token has ended.
		w.clock.Advance(11 * time.Minute)
		if r := d.exchange("", byToken(mine.Access)); r.Error != oidc.InvalidRequest {
			t.Errorf("an expired subject: %s", r.body)
		}
	})
}

// The lifecycle holds at an exchange as at every grant, and the restrictions of the
// application that the token is for.
func TestTokenExchangeLifecycle(t *testing.T) {
	for name, end := range map[string]func(w *world, user string, d *desk){
		"the tenant is suspended": func(w *world, _ string, _ *desk) {
			status := tenants.StatusSuspended
			w.tx(func(q db.Queryer) error {
				_, err := w.tenants.UpdateTenant(w.ctx(), w.admin, q, w.acme.ID, tenants.TenantPatch{Status: &status})
				return err
			})
		},
		"the person is disabled": func(w *world, user string, _ *desk) {
			w.tx(func(q db.Queryer) error {
				_, err := w.directory.Disable(w.ctx(), w.admin, q, w.acme.ID, user)
				return err
			})
		},
		"the application is not for the tenant": func(w *world, _ string, d *desk) {
			assigned := tenants.AccessAssigned
			w.tx(func(q db.Queryer) error {
				_, err := w.tenants.UpdateApplication(w.ctx(), w.admin, q, d.app.ID, tenants.ApplicationPatch{TenantAccess: &assigned})
				return err
			})
		},
		"the application may not exchange any more": func(w *world, _ string, d *desk) {
			no := false
			w.tx(func(q db.Queryer) error {
				_, err := w.tenants.UpdateApplication(w.ctx(), w.admin, q, d.app.ID, tenants.ApplicationPatch{TokenExchange: &no})
				return err
			})
		},
		"the actor loses the role": func(w *world, _ string, d *desk) {
			_, d.plain = w.managementKey(staff.BackofficeViewer)
		},
		"the actor is of another environment": func(w *world, _ string, d *desk) {
			w.tx(func(q db.Queryer) error {
				e, err := w.tenants.CreateEnvironment(w.ctx(), w.admin, q, tenants.NewEnvironment{Name: "Other", BaseURL: "https://other.example.com"})
				if err != nil {
					return err
				}
				_, d.plain, err = w.h.staff.CreateKey(w.ctx(), actor.Actor{Environment: e.ID, Kind: actor.System}, q, staff.NewKey{Environment: e.ID, Name: "x", Roles: []string{staff.BackofficeViewer, staff.Impersonator}})
				return err
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, database db.DB) {
				w := newWorld(t, database)
				user, _ := w.person("ada@acme.com")
				d := w.desk()
				mine := d.signInAt(d.app, "ada@acme.com")
				end(w, user, &d)
				for how, changes := range map[string]map[string]string{
					"by id":    nil,
					"by token": {"subject_token": mine.Access, "subject_token_type": oidc.AccessTokenType, "organization": ""},
				} {
					if r := d.exchange(user, changes); r.StatusCode != 400 || r.Access != "" || r.Error != oidc.InvalidRequest && r.Error != oidc.UnauthorizedClient {
						t.Errorf("%s: %d %s", how, r.StatusCode, r.body)
					}
				}
				if n := w.events("impersonation.started"); n != 0 {
					t.Errorf("%d were begun", n)
				}
			})
		})
	}
}

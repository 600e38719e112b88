package provider

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/rbac/apitoken"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// exchangeAPIToken exchanges an API token for a JWT.
func (w *world) exchangeAPIToken(id, plain string, edit ...func(*http.Request)) tokens {
	w.Helper()
	got := w.browser().token(url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {plain}}, append(edit, func(*http.Request) {})...)
	if got.StatusCode != 200 {
		w.Fatalf("%d %s", got.StatusCode, got.body)
	}
	return got
}

// personalToken makes a token of the person's own.
func (w *world) personalToken(user string) (token apitoken.Token, plain string) {
	w.Helper()
	p, err := w.directory.PersonOf(w.ctx(), w.db, w.acme.ID, user)
	if err != nil {
		w.Fatal(err)
	}
	w.tx(func(q db.Queryer) error {
		a := actor.Actor{Environment: w.env.ID, Tenant: w.acme.ID, Kind: actor.User, Subject: user}
		token, plain, err = w.h.apiTokens.CreatePersonal(w.ctx(), a, q, w.env.Settings, p, apitoken.NewPersonal{Description: "mine"})
		return err
	})
	return token, plain
}

// What an API token is exchanged for says, and does, what the API token may now: at
// introspection and at the management API (product 65, 115; 2.3, 7.4).
func TestExchangedAPIToken(t *testing.T) {
	each(t, func(w *world) {
		w.role("admin-x", "engineering", "fe.secure.read.*")
		user, _ := w.person("ada@acme.com")
		shared, sharedSecret := w.apiToken(apitoken.ClientCredentials, 60)
		mine, mineSecret := w.personalToken(user)
		for name, c := range map[string]struct {
			token         apitoken.Token
			secret, owner string
			kind          string
		}{"of the tenant": {shared, sharedSecret, "", "tenantApiToken"}, "of a person": {mine, mineSecret, user, "userApiToken"}} {
			got := w.exchangeAPIToken(c.token.ID, c.secret)
			in := w.introspect(got.Access)
			if in["active"] != true || in["type"] != c.kind || in["sub"] != c.token.ID || in["tenantId"] != w.acme.ID || in["aud"] != w.app.ID || in["jti"] == nil || !holds(in["permissions"], "fe.secure.read.*") {
				t.Errorf("%s: %v", name, in)
			}
			a, err := w.h.UserActor(w.ctx(), w.env, got.Access)
			if err != nil || a.Kind != actor.APIToken || a.Subject != c.token.ID || a.Owner != c.owner || a.Tenant != w.acme.ID || !a.May("fe.secure.read.users") || a.May("fe.secure.write.users") {
				t.Errorf("%s: actor %+v %v", name, a, err)
			}
			// Nowhere else does it stand for a person.
			if r := w.browser().userinfo(got.Access); r.StatusCode != 401 {
				t.Errorf("%s: userinfo %d", name, r.StatusCode)
			}
			if _, _, err := w.h.UserToken(w.ctx(), w.env, got.Access); err == nil {
				t.Errorf("%s: SCIM's /Me takes it", name)
			}
		}
		// It is another application's business only if it is for none.
		other, _ := w.application(tenants.NewApplication{Name: "other", Type: tenants.Web, ApplicationSettings: tenants.ApplicationSettings{RedirectURIs: []string{callback}}})
		named := w.browser().token(url.Values{"grant_type": {"client_credentials"}, "client_id": {shared.ID}, "client_secret": {sharedSecret}, "audience": {other.ID}}, func(*http.Request) {})
		if in := w.introspect(named.Access); len(in) != 1 || in["active"] != false {
			t.Errorf("to another application: %v", in)
		}
		// Bound to a key, it is nobody's at the API.
		p := party{w.browser(), w.app, newKey(t)}
		bound := w.exchangeAPIToken(shared.ID, sharedSecret, dpop(p.proof(p.key, "/oauth2/token")))
		if in := w.introspect(bound.Access); in["active"] != true || in["token_type"] != "DPoP" || in["cnf"] == nil {
			t.Errorf("bound: %v", in)
		}
		if _, err := w.h.UserActor(w.ctx(), w.env, bound.Access); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("bound, at the API: %v", err)
		}
		// Its own end.
		late := w.exchangeAPIToken(shared.ID, sharedSecret)
		w.clock.Advance(10 * time.Minute)
		if in := w.introspect(late.Access); in["active"] != false {
			t.Errorf("expired: %v", in)
		}
		if _, err := w.h.UserActor(w.ctx(), w.env, late.Access); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("expired, at the API: %v", err)
		}
	})
}

// Whatever ends an API token, or takes from it, does so to what it was exchanged for,
// at once (identity rule 9; product 129).
func TestExchangedAPITokenEnds(t *testing.T) {
	type ends struct {
		personal, shared bool // whether each holds afterwards
		end              func(w *world, user string, mine, shared apitoken.Token)
	}
	for name, c := range map[string]ends{
		"the tenant's is revoked": {true, false, func(w *world, _ string, _, shared apitoken.Token) {
			w.tx(func(q db.Queryer) error { return w.h.apiTokens.Delete(w.ctx(), w.admin, q, w.acme.ID, shared.ID) })
		}},
		"the person's is revoked": {false, true, func(w *world, user string, mine, _ apitoken.Token) {
			p, err := w.directory.PersonOf(w.ctx(), w.db, w.acme.ID, user)
			if err != nil {
				w.Fatal(err)
			}
			a := actor.Actor{Environment: w.env.ID, Tenant: w.acme.ID, Kind: actor.User, Subject: user}
			w.tx(func(q db.Queryer) error { return w.h.apiTokens.DeletePersonal(w.ctx(), a, q, p.Membership, mine.ID) })
		}},
		"the membership is disabled": {false, true, func(w *world, user string, _, _ apitoken.Token) {
			w.tx(func(q db.Queryer) error {
				_, err := w.directory.Disable(w.ctx(), w.admin, q, w.acme.ID, user)
				return err
			})
		}},
		"the person's guest access ends": {false, true, func(w *world, user string, _, _ apitoken.Token) {
			w.tx(func(q db.Queryer) error {
				end := w.clock.Now().Add(directory.MinAccess)
				_, err := w.directory.UpdateUser(w.ctx(), w.admin, q, w.acme.ID, user, directory.UserPatch{ExpiresAt: &end})
				return err
			})
			w.clock.Advance(directory.MinAccess)
		}},
		"the tenant is suspended": {false, false, func(w *world, _ string, _, _ apitoken.Token) {
			status := tenants.StatusSuspended
			w.tx(func(q db.Queryer) error {
				_, err := w.tenants.UpdateTenant(w.ctx(), w.admin, q, w.acme.ID, tenants.TenantPatch{Status: &status})
				return err
			})
		}},
		"its last role is deleted": {true, false, func(w *world, _ string, _, _ apitoken.Token) {
			w.tx(func(q db.Queryer) error {
				list, err := w.rbac.Roles(w.ctx(), q, w.env.ID, "")
				if err != nil {
					return err
				}
				for _, r := range list {
					if r.Key == "robot-client_credentials" {
						return w.rbac.DeleteRole(w.ctx(), w.admin, q, r.ID)
					}
				}
				return nil
			})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, d db.DB) {
				w := newWorld(t, d)
				w.role("admin-x", "engineering", "fe.secure.read.*")
				user, _ := w.person("ada@acme.com")
				shared, sharedSecret := w.apiToken(apitoken.ClientCredentials, 60)
				mine, mineSecret := w.personalToken(user)
				ofTenant, ofPerson := w.exchangeAPIToken(shared.ID, sharedSecret), w.exchangeAPIToken(mine.ID, mineSecret)
				c.end(w, user, mine, shared)
				for token, want := range map[string]bool{ofTenant.Access: c.shared, ofPerson.Access: c.personal} {
					in := w.introspect(token)
					if in["active"] != want || !want && len(in) != 1 {
						t.Errorf("introspection: %v, want %v", in, want)
					}
					if _, err := w.h.UserActor(w.ctx(), w.env, token); err == nil != want || err != nil && fault.KindOf(err) != fault.Unauthenticated {
						t.Errorf("the API: %v, want %v", err, want)
					}
				}
			})
		})
	}
}

// A role that changes is felt at once, in either direction (product 115, 116).
func TestExchangedAPITokenRoleChanges(t *testing.T) {
	each(t, func(w *world) {
		shared, plain := w.apiToken(apitoken.ClientCredentials, 60)
		got := w.exchangeAPIToken(shared.ID, plain)
		w.tx(func(q db.Queryer) error {
			list, err := w.rbac.Roles(w.ctx(), q, w.env.ID, "")
			if err != nil {
				return err
			}
			for _, r := range list {
				if r.Key == "robot-client_credentials" {
					only := []string{"fe.secure.write.users"}
					_, err = w.rbac.UpdateRole(w.ctx(), w.admin, q, r.ID, rbac.RolePatch{Permissions: &only})
				}
			}
			return err
		})
		if c := w.part(got.Access, 1); !holds(c["permissions"], "fe.secure.read.*") {
			t.Errorf("the token says %v", c["permissions"])
		}
		if in := w.introspect(got.Access); holds(in["permissions"], "fe.secure.read.*") || !holds(in["permissions"], "fe.secure.write.users") {
			t.Errorf("introspection says %v", in["permissions"])
		}
		if a, err := w.h.UserActor(w.ctx(), w.env, got.Access); err != nil || a.May("fe.secure.read.users") || !a.May("fe.secure.write.users") {
			t.Errorf("the API: %+v %v", a, err)
		}
	})
}

// Claims that our key signed and that do not belong together are worth nothing.
func TestExchangedAPITokenAttacks(t *testing.T) {
	each(t, func(w *world) {
		shared, _ := w.apiToken(apitoken.ClientCredentials, 60)
		opaque, _ := w.apiToken(apitoken.AccessToken, 60)
		now := w.clock.Now()
		sign := func(c apiClaims) string {
			s, err := w.ring.Sign(w.ctx(), w.env.ID, keys.ES256, "at+jwt", c)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		good := apiClaims{Issuer: w.env.BaseURL, Subject: shared.ID, Audience: w.app.ID, Expires: now.Add(time.Minute).Unix(), Type: "tenantApiToken", TenantID: w.acme.ID}
		if in := w.introspect(sign(good)); in["active"] != true {
			t.Fatalf("the good one: %v", in)
		}
		for name, change := range map[string]func(*apiClaims){
			"another tenant's":            func(c *apiClaims) { c.TenantID = w.globex.ID },
			"of a person":                 func(c *apiClaims) { c.Type, c.UserID = "userApiToken", "usr_x" },
			"of another issuer":           func(c *apiClaims) { c.Issuer = "https://other.example" },
			"without an end":              func(c *apiClaims) { c.Expires = 0 },
			"of a token of another kind":  func(c *apiClaims) { c.Subject = opaque.ID },
			"of a token that there isn't": func(c *apiClaims) { c.Subject = "tok_aaaaaaaaaaaaaaaaaaaaaaaaaa" },
			"a user's type":               func(c *apiClaims) { c.Type = userToken },
			"an unknown type":             func(c *apiClaims) { c.Type = "x" },
		} {
			bad := good
			change(&bad)
			if in := w.introspect(sign(bad)); in["active"] != false {
				t.Errorf("%s: %v", name, in)
			}
			if _, err := w.h.UserActor(w.ctx(), w.env, sign(bad)); fault.KindOf(err) != fault.Unauthenticated {
				t.Errorf("%s, at the API: %v", name, err)
			}
		}
	})
}

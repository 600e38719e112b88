package api

import (
	"io"
	"maps"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/permission"
)

// No environment makes another, and a tenant's own capability makes sub-accounts:
// in the walk nobody has any.
func init() {
	worldSteps = append(worldSteps, func(_ func(string, object) object, _ string, w map[string]string) {
		w["env"], w["sub"] = "env_aaaaaaaaaaaaaaaaaaaaaaaaaa", "ten_aaaaaaaaaaaaaaaaaaaaaaaaaa"
	})
}

// holder is a credential of a tenant, and what it may there.
type holder struct {
	kind       string
	credential string
	header     string
	may        permission.Set
}

// holders makes one credential of each kind in the tenant: of an administrator, of
// a reader and of somebody without roles.
func (f *fixture) holders(tenant string) (list []holder, admin string) {
	f.Helper()
	ids := map[string]string{}
	for _, r := range data(f.do(200, "GET", "/tenants/"+tenant+"/roles", nil)) {
		ids[text(r, "key")] = text(r, "id")
	}
	at := "/tenants/" + tenant
	adminID, adminToken := f.member(tenant, "admin-"+tenant, "admin")
	_, nobody := f.member(tenant, "nobody-"+tenant)
	token := func(role string) string {
		return text(f.do(201, "POST", at+"/api-tokens", object{"kind": "access_token", "description": role, "role_ids": []string{ids[role]}}), "secret")
	}
	personal := text(f.as(adminToken, 201, "POST", at+"/users/"+adminID+"/api-tokens", object{"kind": "access_token", "description": "mine"}), "secret")
	for _, c := range []holder{
		{kind: "tenant token of an admin", credential: token("admin"), header: "X-Api-Key"},
		{kind: "tenant token of a reader", credential: token("read-only"), header: "Authorization"},
		{kind: "personal token", credential: personal, header: "X-Api-Key"},
		{kind: "user access token", credential: adminToken, header: "Authorization"},
		{kind: "user access token without roles", credential: nobody, header: "Authorization"},
	} {
		a := f.actorOf(c.credential)
		if c.may = a.Permissions; a.Tenant != f.tenantID(tenant) {
			f.Fatalf("%s: %+v", c.kind, a)
		}
		list = append(list, c)
	}
	return list, adminToken
}

func (f *fixture) tenantID(key string) string {
	f.Helper()
	return text(f.do(200, "GET", "/tenants/"+key, nil), "id")
}

func (f *fixture) actorOf(credential string) actor.Actor {
	f.Helper()
	env, err := f.h.Environments.ByHost(f.Context(), hostA)
	if err != nil {
		f.Fatal(err)
	}
	a, err := f.h.resolve(f.Context(), env, credential, netip.MustParseAddr("192.0.2.1"))
	if err != nil {
		f.Fatal(err)
	}
	return a
}

func (c holder) send(f *fixture, host, method, path string, body any) *http.Response {
	f.Helper()
	value := c.credential
	if c.header == "Authorization" {
		value = "Bearer " + value
	}
	return f.exchange(host, http.Header{c.header: {value}}, method, path, body)
}

// Every route with each kind of a tenant's credential (product 11 to 13): another
// tenant's objects are absent, what the roles do not allow is forbidden, the
// vendor's routes are the vendor's, and another environment knows nobody.
func TestIsolationOfCredentials(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		mine, neighbour := f.world(hostA, "mine"), f.world(hostA, "neighbour")
		holders, _ := f.holders("mine")
		for _, r := range f.h.routes {
			var body any
			if b, ok := bodies[r.id]; ok {
				body = b
			}
			for _, c := range holders {
				want := func(host, path string, statuses ...int) {
					t.Helper()
					res := c.send(f, host, r.method, path, body)
					for _, s := range statuses {
						if res.StatusCode == s {
							return
						}
					}
					t.Errorf("%s: %s %s (%s): %d, want %v: %v", c.kind, r.method, path, r.id, res.StatusCode, statuses, codeOf(res))
				}
				may := r.permission == "" || c.may.Has(r.permission)
				switch {
				case !r.ofTenant() && r.permission != "":
					want(hostA, fill(r, mine), 403) // whatever the role's wildcards cover
					continue
				case !r.ofTenant():
					continue // the operation decides; its own test says what
				}
				want(hostA, fill(r, neighbour), 404)
				if !may {
					want(hostA, fill(r, mine), 403)
					continue
				}
				for _, mixed := range mixes(r, mine, neighbour) {
					want(hostA, fill(r, mixed), 404, 403) // a rule about the actor may speak first
				}
				if r.method == http.MethodGet {
					if status := c.send(f, hostA, r.method, fill(r, mine), nil).StatusCode; status == 401 || status >= 500 {
						t.Errorf("%s: %s: %d", c.kind, r.id, status)
					}
				}
			}
			// One request a route is enough to show that the other environment knows none of them.
			if c := holders[len(r.id)%len(holders)]; c.send(f, hostB, r.method, fill(r, mine), body).StatusCode != 401 {
				t.Errorf("%s: %s in another environment", c.kind, r.id)
			}
			f.clock.Advance(time.Minute) // wrong credentials are limited
		}
		// Nothing was touched on the way.
		for _, path := range []string{"/tenants/" + neighbour["t"] + "/users/" + neighbour["u"], "/tenants/" + neighbour["t"] + "/sso-connections/" + neighbour["sso"], "/roles/" + neighbour["r"]} {
			f.do(200, "GET", path, nil)
		}
	})
}

// An administrator of a tenant reaches its sub-accounts where that is allowed, and
// neither their siblings elsewhere nor upwards (product 7, 8).
func TestIsolationOfSubaccounts(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.do(201, "POST", "/tenants", object{"name": "Parent", "key": "parent", "subaccounts_enabled": true, "subaccount_access": "always_on"})
		f.do(201, "POST", "/tenants", object{"name": "Child", "key": "child", "parent_id": "parent"})
		f.do(201, "POST", "/tenants", object{"name": "Other", "key": "other"})
		above, _ := f.holders("parent")
		below, _ := f.holders("child")
		world, outside := map[string]string{"t": "child"}, map[string]string{"t": "other"}
		upwards := map[string]string{"t": "parent"}
		for _, r := range f.h.routes {
			if !r.ofTenant() || len(parameter.FindAllString(r.path, -1)) > 1 {
				continue
			}
			var body any
			if b, ok := bodies[r.id]; ok {
				body = b
			}
			for i := range above {
				c, down := above[i], below[i]
				may := r.permission != "" && c.may.Has(r.permission)
				enters := c.header == "Authorization" && i > 1 || c.may.Has("fe.account-hierarchy.read.subAccount")
				got := 0
				if !may || r.method == http.MethodGet { // what is allowed is not done
					got = c.send(f, hostA, r.method, fill(r, world), body).StatusCode
				}
				switch {
				case !enters && got != 404 && got != 0, enters && !may && r.permission != "" && got != 403, enters && may && r.method == http.MethodGet && got != 200:
					t.Errorf("%s of the parent: %s: %d; may %v, enters %v", c.kind, r.id, got, may, enters)
				}
				if got := c.send(f, hostA, r.method, fill(r, outside), body).StatusCode; got != 404 {
					t.Errorf("%s of the parent reaches outside: %s: %d", c.kind, r.id, got)
				}
				if got := down.send(f, hostA, r.method, fill(r, upwards), body).StatusCode; got != 404 {
					t.Errorf("%s of the sub-account reaches upwards: %s: %d", down.kind, r.id, got)
				}
			}
		}
	})
}

// Tokens end at once: revoked, expired, or with the person or the tenant.
func TestCredentialsEnd(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		holders, _ := f.holders("acme")
		statuses := func() map[string]int {
			got := map[string]int{}
			for _, c := range holders {
				got[c.kind] = c.send(f, hostA, "GET", "/api/v1/tenants/acme/users", nil).StatusCode
			}
			return got
		}
		want := map[string]int{"tenant token of an admin": 200, "tenant token of a reader": 200, "personal token": 200, "user access token": 200, "user access token without roles": 403}
		if got := statuses(); !maps.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		f.do(200, "PATCH", "/tenants/acme", object{"status": "suspended"})
		for kind, got := range statuses() {
			if got != 401 && kind != "user access token" && kind != "user access token without roles" { // the fixture's own
				t.Errorf("%s of a suspended tenant: %d", kind, got)
			}
		}
		f.do(200, "PATCH", "/tenants/acme", object{"status": "active"})
		if got := statuses(); !maps.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		f.clock.Advance(91 * 24 * time.Hour)
		for kind, got := range statuses() {
			if got != 401 && kind != "user access token" && kind != "user access token without roles" {
				t.Errorf("%s after 91 days: %d", kind, got)
			}
		}
	})
}

func codeOf(res *http.Response) string {
	text, _ := io.ReadAll(io.LimitReader(res.Body, 300))
	return string(text)
}

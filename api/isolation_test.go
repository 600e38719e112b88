package api

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/permission"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
)

func newRequest(method, url string) *http.Request { return httptest.NewRequest(method, url, nil) }

// bodies are valid bodies of the routes that take one, so that a refusal is not
// about the body.
var bodies = map[string]object{
	"createTenant": {"name": "x"}, "updateTenant": {"name": "x"}, "createDomain": {"domain": "walk.example"},
	"createSCIMConnection": {"name": "x"}, "updateSCIMConnection": {"name": "x"},
	"createSSOConnection": {"type": "oidc", "name": "x", "issuer": "https://x.example", "client_id": "x"}, "updateSSOConnection": {"name": "x"},
	"putSCIMSchema":        {"name": "x", "attributes": []object{{"name": "x"}}},
	"putGroupRoleMappings": {"mappings": []object{}}, "previewGroupRoleMappings": {"groups": []string{"x"}}, "putSsoPolicy": {"enforced": false, "excluded_emails": []string{}},
	"createUser": {"email": "walk@walk.example"}, "updateUser": {"first_name": "x"}, "putUserRoles": {"role_ids": []string{}},
	"createGroup": {"name": "walk"}, "updateGroup": {"description": "x"}, "putGroupRoles": {"role_ids": []string{}},
	"addGroupMembers": {"user_ids": []string{"usr_x"}}, "removeGroupMembers": {"user_ids": []string{"usr_x"}},
	"createRole": {"key": "walk", "name": "x", "level": 3}, "updateRole": {"name": "x"}, "createPermission": {"key": "walk.x", "name": "x", "category": "x"},
	"updatePermission": {"name": "x"}, "classifyPermissions": {"permission_ids": []string{"per_x"}, "classification": "never"},
	"createApplication": {"name": "x", "type": "web", "redirect_uris": []string{"https://x.example"}}, "updateApplication": {"name": "x"},
	"putMfaPolicy": {"enforce": "off"}, "putIpPolicy": {"enabled": false, "mode": "allow", "rules": []object{}},
	"putDomainsPolicy": {"enabled": false, "mode": "allow", "domains": []string{}}, "putSessionsPolicy": {}, "putLockoutPolicy": {"max_attempts": 5}, "putPasswordPolicy": {}, "putSocialPolicy": {"allowed": true},
	"putEnvironmentMfaPolicy": {"enforce": "off"}, "putEnvironmentIpPolicy": {"enabled": false, "mode": "allow", "rules": []object{}},
	"putEnvironmentDomainsPolicy": {"enabled": false, "mode": "allow", "domains": []string{}}, "putEnvironmentSessionsPolicy": {},
	"putEnvironmentLockoutPolicy": {"max_attempts": 5}, "putEnvironmentPasswordPolicy": {}, "putEnvironmentSocialPolicy": {"allowed": true},
}

// worldSteps make the objects of further nouns, each in the test file of its
// noun: post creates with the environment's key, t is /tenants/{key}, w takes the ids.
var worldSteps []func(post func(path string, body object) object, t string, w map[string]string)

// vendorInTenant are the routes inside a tenant that are the vendor's alone.
var vendorInTenant = map[string]bool{"deleteTenant": true}

// world makes one object of each kind in a tenant of the environment and gives
// their ids by the name of their path parameter.
func (f *fixture) world(host, tenantKey string) map[string]string {
	f.Helper()
	post := func(path string, body object) object {
		f.Helper()
		res := f.sendAs(host, f.keys[host], "POST", "/api/v1"+path, body)
		if res.StatusCode != http.StatusCreated {
			text, _ := io.ReadAll(res.Body)
			f.Fatalf("%s: %d %s", path, res.StatusCode, text)
		}
		return decodeObject(f.T, res)
	}
	t := "/tenants/" + tenantKey
	w := map[string]string{"t": text(post("/tenants", object{"name": tenantKey, "key": tenantKey}), "id")}
	w["d"] = text(post(t+"/domains", object{"domain": "acme.example", "verified": true}), "id")
	scim := post(t+"/scim-connections", object{"name": "x"})
	w["scim"] = text(scim, "id")
	w["k"] = text(post(t+"/scim-connections/"+w["scim"]+"/tokens", object{}), "id")
	w["log"] = f.logged(host, t, w["scim"])
	w["client"] = text(post(t+"/scim-connections/"+w["scim"]+"/clients", object{}), "client_id")
	w["urn"] = "urn:example:" + tenantKey
	if res := f.sendAs(host, f.keys[host], "PUT", "/api/v1"+t+"/scim-schemas/"+w["urn"], bodies["putSCIMSchema"]); res.StatusCode != 200 {
		f.Fatalf("putSCIMSchema: %d", res.StatusCode)
	}
	w["sso"] = text(post(t+"/sso-connections", object{"type": "saml", "name": "x", "idp_metadata_url": "https://idp.example/metadata"}), "id")
	w["key"] = text(post(t+"/sso-connections/"+w["sso"]+"/sp-keys", nil), "id")
	w["flow"] = text(post(t+"/sso-connections/"+w["sso"]+":test", nil), "flow_id")
	w["spki"] = "0000000000000000000000000000000000000000000000000000000000000000"
	w["u"] = text(post(t+"/users", object{"email": "u@" + tenantKey + ".example"}), "id")
	w["g"] = text(post(t+"/groups", object{"name": "g"}), "id")
	w["r"] = text(post("/roles", object{"key": "role-" + tenantKey, "name": "x", "level": 3, "tenant_id": tenantKey}), "id")
	w["p"] = text(post("/permissions", object{"key": "x." + tenantKey, "name": "x", "category": "x"}), "id")
	w["a"] = text(post("/applications", object{"name": "x", "type": "web", "redirect_uris": []string{"https://x.example"}}), "client_id")
	for _, step := range worldSteps {
		step(post, t, w)
	}
	return w
}

func decodeObject(t *testing.T, res *http.Response) object {
	t.Helper()
	var o object
	if err := json.NewDecoder(res.Body).Decode(&o); err != nil {
		t.Fatal(err)
	}
	return o
}

func fill(r route, w map[string]string) string {
	path := r.path
	c := w["sso"]
	if strings.Contains(path, "scim-connections") {
		c = w["scim"]
	}
	path = strings.ReplaceAll(path, "{c}", c)
	if strings.Contains(path, "/requests/") {
		path = strings.ReplaceAll(path, "{r}", w["log"])
	}
	for name, id := range w {
		path = strings.ReplaceAll(path, "{"+name+"}", id)
	}
	if left := parameter.FindString(path); left != "" {
		panic(r.id + ": nobody has put " + left + " into the world (worldSteps)")
	}
	return "/api/v1" + path
}

var parameter = regexp.MustCompile(`\{(\w+)\}`)

// shared are the parameters that name an object of the whole environment.
var shared = map[string]bool{"p": true, "a": true, "et": true, "feature": true, "plan": true, "flag": true, "category": true, "mkey": true, "staff": true, "user": true, "env": true}

// mixes gives the world of the tenant mine with one object of the neighbour's, for
// each that the route names.
func mixes(r route, mine, neighbour map[string]string) (list []map[string]string) {
	if !r.ofTenant() {
		return nil
	}
	for _, m := range parameter.FindAllStringSubmatch(r.path, -1) {
		name := m[1]
		if name == "t" || shared[name] || name == "urn" && r.method == http.MethodPut { // the neighbour's URN is free here
			continue
		}
		mixed := maps.Clone(mine)
		switch {
		case name == "c":
			mixed["sso"], mixed["scim"] = neighbour["sso"], neighbour["scim"]
		case name == "r" && strings.Contains(r.path, "/requests/"):
			mixed["log"] = neighbour["log"]
		default:
			mixed[name] = neighbour[name]
		}
		list = append(list, mixed)
	}
	return list
}

// Every route, with the ids of another tenant and of another environment: 404,
// and 401 without a credential or with another environment's (product 10).
func TestIsolation(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		mine, neighbour, foreign := f.world(hostA, "mine"), f.world(hostA, "neighbour"), f.world(hostB, "foreign")
		walked := 0
		for _, r := range f.h.routes {
			var body any
			if b, ok := bodies[r.id]; ok {
				body = b
			} else if r.method == http.MethodPut || r.method == http.MethodPatch {
				t.Errorf("%s has no body for the walk", r.id)
			}
			send := func(host, key, path string, want int) {
				t.Helper()
				res := f.sendAs(host, key, r.method, path, body)
				if res.StatusCode != want {
					text, _ := io.ReadAll(res.Body)
					t.Errorf("%s %s: %d, want %d: %s", r.method, path, res.StatusCode, want, text)
				}
			}
			send(hostA, "", fill(r, mine), 401)
			send(hostA, f.keys[hostB], fill(r, mine), 401)
			if !strings.Contains(r.path, "{") || ownRoutes[r.id] != "" { // a key has no account of its own: see TestOwnAccountOfOthers
				continue
			}
			walked++
			absent := 404
			if r.permission == staff.Impersonate { // which no admin holds as such
				absent = 403
			}
			send(hostA, f.keys[hostA], fill(r, foreign), absent)
			send(hostB, f.keys[hostB], fill(r, mine), absent)
			// The right tenant with each object of the neighbour.
			for _, mixed := range mixes(r, mine, neighbour) {
				send(hostA, f.keys[hostA], fill(r, mixed), 404)
			}
		}
		if walked < 100 {
			t.Errorf("only %d routes walked", walked)
		}
		// Nothing was touched on the way.
		for _, w := range []map[string]string{mine, neighbour} {
			for _, path := range []string{"/tenants/" + w["t"] + "/users/" + w["u"], "/tenants/" + w["t"] + "/groups/" + w["g"], "/tenants/" + w["t"] + "/sso-connections/" + w["sso"], "/tenants/" + w["t"] + "/domains/" + w["d"], "/roles/" + w["r"]} {
				f.do(200, "GET", path, nil)
			}
		}
	})
}

// Roles of one tenant are not given in another.
func TestForeignReferences(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		mine, neighbour := f.world(hostA, "mine"), f.world(hostA, "neighbour")
		at := "/tenants/" + mine["t"]
		role := []string{neighbour["r"]}
		f.refused(422, "unknown_role", "PUT", at+"/users/"+mine["u"]+"/roles", object{"role_ids": role})
		f.refused(422, "unknown_role", "PUT", at+"/groups/"+mine["g"]+"/roles", object{"role_ids": role})
		f.refused(422, "unknown_role", "PATCH", at+"/sso-connections/"+mine["sso"], object{"default_role_ids": role})
		f.refused(422, "unknown_role", "PUT", at+"/group-role-mappings", object{"mappings": []object{{"group": "x", "role_ids": role}}})
		f.refused(422, "unknown_connection", "PUT", at+"/group-role-mappings", object{"mappings": []object{{"group": "x", "connection_id": neighbour["sso"], "role_ids": []string{mine["r"]}}}})
		f.refused(422, "unknown_connection", "POST", at+"/group-role-mappings:preview", object{"groups": []string{"x"}, "connection_id": neighbour["sso"]})
		f.refused(422, "unknown_connection", "PATCH", at+"/sso-connections/"+mine["sso"], object{"scim_connection_ids": []string{neighbour["scim"]}})
		f.refused(422, "unknown_member", "POST", at+"/groups/"+mine["g"]+"/members", object{"user_ids": []string{neighbour["u"]}})
	})
}

// An actor of a tenant reaches his own tenant only, and only what he may; every
// denial is recorded.
func TestGuardOfTenantActor(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		mine, neighbour := f.world(hostA, "mine"), f.world(hostA, "neighbour")
		a := actor.Actor{Environment: f.envs[hostA], Tenant: mine["t"], Kind: actor.User, Subject: "usr_1", Permissions: permission.NewSet("fe.secure.read.*", "invoices.*")}
		for _, r := range f.h.routes {
			want := 403
			switch {
			case r.permission == "", r.ofTenant() && a.May(r.permission): // without one, the operation decides
				want = 200
			}
			if r.permission != "" && strings.HasPrefix(r.permission, "bo.") == r.ofTenant() && !vendorInTenant[r.id] {
				t.Errorf("%s asks for %s", r.id, r.permission)
			}
			s, err := f.h.admitActor(t.Context(), a, r, mine["t"])
			if got := statusOfError(f, err); got != want || want == 200 && r.ofTenant() && s.tenant.ID != mine["t"] {
				t.Errorf("%s: %d, want %d", r.id, got, want)
			}
			if r.ofTenant() {
				if _, err := f.h.admitActor(t.Context(), a, r, neighbour["t"]); statusOfError(f, err) != 404 {
					t.Errorf("%s reaches the neighbour: %v", r.id, err)
				}
			}
		}
		var n int
		if err := d.QueryRow(t.Context(), `SELECT COUNT(*) FROM audit_events WHERE action = 'authorization.denied' AND tenant_id = $1`, mine["t"]).Scan(&n); err != nil || n < 20 {
			t.Errorf("%d denials recorded, %v", n, err)
		}
	})
}

func statusOfError(f *fixture, err error) int {
	if err == nil {
		return 200
	}
	return f.h.problem(f.Context(), err, "").Status
}

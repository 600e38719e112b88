package api

import (
	"context"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/permission"
	"github.com/gatehouse-id/gatehouse/tenants"
)

func init() {
	maps.Copy(bodies, map[string]object{
		"createAPIToken": {"description": "walk", "role_ids": []string{"rol_x"}}, "createPersonalAPIToken": {"description": "walk"},
		"createManagementKey": {"name": "walk"}, "createStaff": {"email": "walk@vendor.example", "roles": []string{"admin"}}, "updateStaff": {"name": "walk"},
	})
	worldSteps = append(worldSteps, func(post func(string, object) object, t string, w map[string]string) {
		w["tok"] = text(post(t+"/api-tokens", object{"description": "x", "role_ids": []string{w["r"]}}), "id")
		w["ptok"] = "tok_none" // nobody but its owner makes one
		w["mkey"] = text(post("/management-keys", object{"name": "x"}), "id")
		w["staff"] = text(post("/staff", object{"email": w["t"] + "@vendor.example", "roles": []string{"backoffice-viewer"}}), "id")
	})
}

// member makes a person with roles in a tenant and has him call with "name.access.token".
func (f *fixture) member(tenant, name string, roles ...string) (userID, token string) {
	f.Helper()
	ids := []string{}
	for _, r := range data(f.do(200, "GET", "/tenants/"+tenant+"/roles", nil)) {
		for _, key := range roles {
			if r["key"] == key {
				ids = append(ids, text(r, "id"))
			}
		}
	}
	u := f.do(201, "POST", "/tenants/"+tenant+"/users", object{"email": name + "@acme.example", "role_ids": ids})
	before := f.h.UserActor
	f.h.UserActor = func(ctx context.Context, env tenants.Environment, token string) (actor.Actor, error) {
		if token != name+".access.token" || env.ID != f.envs[hostA] {
			if before == nil {
				return actor.Actor{}, fault.New(fault.Unauthenticated, "invalid_credentials", "no")
			}
			return before(ctx, env, token)
		}
		t, err := f.h.Tenants.Get(ctx, f.d, env.ID, tenant)
		if err != nil {
			return actor.Actor{}, err
		}
		p, err := f.h.Directory.PersonOf(ctx, f.d, t.ID, text(u, "id"))
		if err != nil {
			return actor.Actor{}, err
		}
		e, err := f.h.RBAC.Effective(ctx, f.d, t.ID, p.Membership.ID)
		return actor.Actor{
			Environment: env.ID, Tenant: t.ID, Kind: actor.User, Subject: p.User.ID, Email: p.Membership.Email,
			Permissions: permission.NewSet(e.Permissions...), Level: actor.LevelOf(e.Level),
		}, err
	}
	return text(u, "id"), name + ".access.token"
}

// status makes a request with a credential and gives the status.
func (f *fixture) status(key, method, path string, body any) int {
	f.Helper()
	return f.sendAs(hostA, key, method, "/api/v1"+path, body).StatusCode
}

// as wants the status of a request with a credential and gives the body.
func (f *fixture) as(key string, status int, method, path string, body any) object {
	f.Helper()
	res := f.sendAs(hostA, key, method, "/api/v1"+path, body)
	if res.StatusCode == http.StatusNoContent && status == http.StatusNoContent {
		return nil
	}
	o := decodeObject(f.T, res)
	if res.StatusCode != status {
		f.Errorf("%s %s: %d, want %d: %v", method, path, res.StatusCode, status, o)
	}
	return o
}

// Product 11 and 65: a tenant's token calls the API inside its tenant.
func TestTenantAPITokens(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		f.do(201, "POST", "/tenants", object{"name": "Globex", "key": "globex"})
		const at = "/tenants/acme/api-tokens"
		roles := map[string]string{}
		for _, r := range data(f.do(200, "GET", "/tenants/acme/roles", nil)) {
			roles[text(r, "key")] = text(r, "id")
		}
		made := f.do(201, "POST", at, object{"kind": "access_token", "description": "CI", "role_ids": []string{roles["read-only"]}, "metadata": object{"team": "x"}})
		secret := text(made, "secret")
		if text(made, "id") != text(made, "client_id") || !strings.HasPrefix(secret, "gwt_") || made["expires_at"] == nil || made["last_used_at"] != nil {
			t.Errorf("%v", made)
		}
		for _, header := range []http.Header{{"X-Api-Key": {secret}}, {"Authorization": {"Bearer " + secret}}} {
			if res := f.exchange(hostA, header, "GET", "/api/v1/tenants/acme/users", nil); res.StatusCode != 200 {
				t.Errorf("%v: %d", header, res.StatusCode)
			}
		}
		for path, want := range map[string]int{"/tenants/globex/users": 404, "/tenants": 403, "/management-keys": 403, "/staff": 403} {
			if got := f.status(secret, "GET", path, nil); got != want {
				t.Errorf("GET %s: %d, want %d", path, got, want)
			}
		}
		if got := f.status(secret, "POST", "/tenants/acme/users", object{"email": "x@acme.example"}); got != 403 {
			t.Errorf("a reader writes: %d", got)
		}
		if res := f.sendAs(hostB, secret, "GET", "/api/v1/tenants/acme/users", nil); res.StatusCode != 401 {
			t.Errorf("in another environment: %d", res.StatusCode)
		}
		shown := f.do(200, "GET", at+"/"+text(made, "id"), nil)
		if shown["secret"] != nil || shown["last_used_at"] == nil || text(shown, "last_used_ip") == "" || text(shown, "created_by_name") != "test" || shown["metadata"].(object)["team"] != "x" {
			t.Errorf("%v", shown)
		}
		f.refused(422, "roles_required", "POST", at, object{"description": "x"})
		f.refused(422, "unknown_role", "POST", at, object{"description": "x", "role_ids": []string{"rol_x"}})
		f.refused(404, "api_token_not_found", "DELETE", "/tenants/globex/api-tokens/"+text(made, "id"), nil)

		// A token makes tokens as strong as itself (product 121).
		strong := text(f.do(201, "POST", at, object{"kind": "access_token", "description": "admin", "role_ids": []string{roles["admin"]}, "never_expires": true}), "secret")
		f.as(strong, 201, "POST", at, object{"description": "by a token", "role_ids": []string{roles["admin"]}})
		custom := text(f.do(201, "POST", "/roles", object{"key": "tokens", "name": "Tokens", "level": 7, "permissions": []string{"fe.secure.write.tenantApiTokens"}}), "id")
		weak := text(f.do(201, "POST", at, object{"kind": "access_token", "description": "weak", "role_ids": []string{custom}}), "secret")
		if o := f.as(weak, 403, "POST", at, object{"description": "x", "role_ids": []string{roles["admin"]}}); text(o, "code") != "role_level_too_strong" {
			t.Errorf("%v", o)
		}
		if list := data(f.do(200, "GET", at, nil)); len(list) != 4 {
			t.Errorf("%d tokens", len(list))
		}
		f.do(204, "DELETE", at+"/"+text(made, "id"), nil)
		if got := f.status(secret, "GET", "/tenants/acme/users", nil); got != 401 {
			t.Errorf("revoked: %d", got)
		}
		f.do(200, "PATCH", "/tenants/acme", object{"status": "suspended"})
		if got := f.status(strong, "GET", "/tenants/acme/users", nil); got != 401 {
			t.Errorf("of a suspended tenant: %d", got)
		}
	})
}

// Product 12: a person's own tokens act as he may, and nobody else makes them.
func TestPersonalAPITokens(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		f.do(201, "POST", "/tenants", object{"name": "Globex", "key": "globex"})
		f.member("acme", "first") // the first person of a tenant may be given more than asked
		ann, annToken := f.member("acme", "ann", "admin")
		bob, bobToken := f.member("acme", "bob", "read-only")
		at := func(user string) string { return "/tenants/acme/users/" + user + "/api-tokens" }
		made := f.as(annToken, 201, "POST", at(ann), object{"kind": "access_token", "description": "laptop", "expires_in_minutes": 60})
		secret := text(made, "secret")
		if text(made, "created_by") != ann || made["expires_at"] != f.clock.Now().Add(time.Hour).Format(time.RFC3339) {
			t.Errorf("%v", made)
		}
		f.as(secret, 200, "GET", "/tenants/acme/users", nil)
		f.as(secret, 404, "GET", "/tenants/globex/users", nil)
		if o := f.as(secret, 403, "POST", at(ann), object{"description": "child"}); text(o, "code") != "not_your_own" {
			t.Errorf("a token makes a token: %v", o)
		}
		if o := f.as(annToken, 403, "POST", at(bob), object{"description": "for bob"}); text(o, "code") != "not_your_own" {
			t.Errorf("for somebody else: %v", o)
		}
		f.refused(403, "not_your_own", "POST", at(ann), object{"description": "by the vendor"})
		f.as(bobToken, 403, "GET", at(ann), nil)
		f.as(bobToken, 403, "DELETE", at(ann)+"/"+text(made, "id"), nil)
		if list := data(f.as(annToken, 200, "GET", at(ann), nil)); len(list) != 1 || list[0]["secret"] != nil {
			t.Errorf("%v", list)
		}
		f.as(annToken, 422, "POST", at(ann), object{"description": "x", "expires_in_minutes": 5256001})
		f.as(annToken, 422, "POST", at(ann), object{"description": "x", "never_expires": true})

		// Demoted, she and her token may less from now on.
		f.do(200, "PUT", "/tenants/acme/users/"+ann+"/roles", object{"role_ids": []string{}})
		f.as(secret, 403, "GET", "/tenants/acme/users", nil)
		f.do(204, "DELETE", at(ann)+"/"+text(made, "id"), nil) // the vendor may revoke it
		f.as(secret, 401, "GET", "/tenants/acme/users", nil)
	})
}

// Management keys over the API (product 2 and 14): shown once, revoked at once,
// never above their maker.
func TestManagementKeyRoutes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		made := f.do(201, "POST", "/management-keys", object{"name": "viewer", "roles": []string{"backoffice-viewer"}, "expires_in_days": 1})
		key, id := text(made, "key"), text(made, "id")
		if !strings.HasPrefix(key, "gwm_") || made["expires_at"] == nil {
			t.Errorf("%v", made)
		}
		f.as(key, 200, "GET", "/tenants", nil)
		f.as(key, 403, "POST", "/tenants", object{"name": "x"})
		f.as(key, 403, "POST", "/management-keys", object{"name": "x"})
		f.refused(403, "role_exceeds_own", "POST", "/management-keys", object{"name": "x", "roles": []string{"admin", "impersonator"}})
		f.refused(422, "invalid_role_combination", "POST", "/management-keys", object{"name": "x", "roles": []string{"entitlements-editor", "impersonator"}})
		f.refused(422, "validation_failed", "POST", "/management-keys", object{"name": "x", "roles": []string{"root"}})
		if shown := f.do(200, "GET", "/management-keys/"+id, nil); shown["key"] != nil || shown["last_used_at"] == nil || text(shown, "created_by") == "" {
			t.Errorf("%v", shown)
		}
		if list := data(f.do(200, "GET", "/management-keys", nil)); len(list) != 2 {
			t.Errorf("%d keys", len(list))
		}
		f.clock.Advance(24 * time.Hour)
		f.as(key, 401, "GET", "/tenants", nil)
		f.do(204, "DELETE", "/management-keys/"+id, nil)
		f.refused(404, "key_not_found", "DELETE", "/management-keys/"+id, nil)
	})
}

func TestStaffRoutes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ann := f.do(201, "POST", "/staff", object{"email": "ann@vendor.example", "name": "Ann", "roles": []string{"admin"}})
		path := "/staff/" + text(ann, "id")
		f.refused(409, "email_taken", "POST", "/staff", object{"email": "ANN@vendor.example", "roles": []string{"admin"}})
		f.refused(422, "invalid_role_combination", "POST", "/staff", object{"email": "x@vendor.example", "roles": []string{"impersonator"}})
		f.refused(409, "last_admin", "PATCH", path, object{"roles": []string{"backoffice-viewer"}})
		f.refused(409, "last_admin", "PATCH", path, object{"status": "disabled"})
		f.refused(409, "last_admin", "DELETE", path, nil)
		boss := f.do(201, "POST", "/staff", object{"email": "boss@vendor.example", "roles": []string{"admin"}, "everywhere": true})
		if len(boss["everywhere_roles"].([]any)) != 1 || len(boss["roles"].([]any)) != 0 {
			t.Errorf("%v", boss)
		}
		tag := f.send("GET", "/api/v1"+path, nil).Header.Get("ETag")
		if res := f.sendWith(http.Header{"If-Match": {`"v99"`}}, "PATCH", "/api/v1"+path, object{"name": "Anna"}); res.StatusCode != 412 {
			t.Errorf("a stale version: %d", res.StatusCode)
		}
		if res := f.sendWith(http.Header{"If-Match": {tag}}, "PATCH", "/api/v1"+path, object{"name": "Anna", "roles": []string{"entitlements-viewer"}}); res.StatusCode != 200 {
			t.Errorf("%s: %d", tag, res.StatusCode)
		}
		if o := f.do(200, "GET", path, nil); text(o, "name") != "Anna" || o["roles"].([]any)[0] != "entitlements-viewer" {
			t.Errorf("%v", o)
		}
		if res := f.sendAs(hostB, f.keys[hostB], "PATCH", "/api/v1/staff/"+text(boss, "id"), object{"name": "x"}); res.StatusCode != 403 {
			t.Errorf("one who is everywhere, by a key of one environment: %d", res.StatusCode)
		}
		page := f.do(200, "GET", "/staff?limit=1", nil)
		next := text(page, "next_cursor")
		if list := data(f.do(200, "GET", "/staff?limit=1&cursor="+next, nil)); len(data(page)) != 1 || len(list) != 1 || list[0]["id"] != boss["id"] {
			t.Errorf("%v then %v", page, list)
		}
		f.do(204, "DELETE", path, nil)
		f.refused(404, "staff_not_found", "GET", path, nil)
	})
}

package api

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

func init() {
	maps.Copy(bodies, map[string]object{
		"createFeature": {"key": "walk", "name": "x"}, "updateFeature": {"name": "x"}, "putFeatureFlag": {"on": true},
		"createPlan": {"name": "x"}, "updatePlan": {"name": "x"}, "createEntitlement": {"plan_id": "pln_x"}, "updateEntitlement": {"expires_at": nil},
		"checkEntitlement": {"tenant_id": "ten_x", "feature": "x"}, "checkEntitlements": {"checks": []object{{"tenant_id": "ten_x", "feature": "x"}}},
	})
	for _, id := range []string{"createEntitlement", "listEntitlements", "getEntitlement", "updateEntitlement", "deleteEntitlement"} {
		vendorInTenant[id] = true
	}
	worldSteps = append(worldSteps, func(post func(string, object) object, t string, w map[string]string) {
		w["feature"] = text(post("/features", object{"key": w["t"], "name": "x"}), "id")
		w["plan"] = text(post("/plans", object{"name": "x", "features": []string{w["t"]}}), "id")
		w["ent"] = text(post(t+"/entitlements", object{"plan_id": w["plan"]}), "id")
	})
}

// entitlements makes the features sso and audit, linked to the permissions of
// their sections, the plan pro with sso, and the tenant acme with an admin.
func (f *fixture) entitlements() (plan, userID, token string) {
	f.Helper()
	f.do(201, "POST", "/features", object{"key": "sso", "name": "Single sign-on", "permissions": []string{"fe.secure.read.samlConfiguration"}})
	f.do(201, "POST", "/features", object{"key": "audit", "name": "Audit log", "permissions": []string{"fe.secure.read.audits"}})
	plan = text(f.do(201, "POST", "/plans", object{"name": "Pro", "features": []string{"sso"}}), "id")
	f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
	userID, token = f.member("acme", "ada", "admin")
	return plan, userID, token
}

// answer sends as somebody and gives status and body.
func (f *fixture) answer(token, method, path string, body any) (int, object) {
	f.Helper()
	res := f.sendAs(hostA, token, method, "/api/v1"+path, body)
	text, _ := io.ReadAll(res.Body)
	var o object
	if err := json.Unmarshal(text, &o); err != nil && len(text) > 0 {
		f.Fatal(err)
	}
	return res.StatusCode, o
}

// Product 91 to 97 and 99: features are sold in plans, to tenants and to users.
func TestEntitlements(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		plan, ada, token := f.entitlements()
		check := func(o object) any {
			t.Helper()
			o["tenant_id"] = "acme"
			out := f.do(200, "POST", "/entitlements:check", o)
			if out["entitled"] != (out["reason"] == nil) {
				t.Errorf("%v", out)
			}
			return out["reason"]
		}
		sso := object{"user_id": ada, "feature": "sso"}
		reads := object{"user_id": ada, "permission": "fe.secure.read.samlConfiguration"}
		if check(sso) != "MISSING_FEATURE" || check(reads) != "MISSING_FEATURE" || check(object{"user_id": ada, "permission": "invoices.read"}) != "MISSING_PERMISSION" {
			t.Error("entitled to nothing yet")
		}
		end := f.clock.Now().Add(time.Hour)
		e := f.do(201, "POST", "/tenants/acme/entitlements", object{"plan_id": plan, "user_id": ada, "expires_at": end})
		one := "/tenants/acme/entitlements/" + text(e, "id")
		if check(sso) != nil || check(reads) != nil || check(object{"feature": "sso"}) != "MISSING_FEATURE" {
			t.Error("the user has the plan, the tenant has not")
		}
		f.refused(409, "entitlement_exists", "POST", "/tenants/acme/entitlements", object{"plan_id": plan, "user_id": ada})
		f.refused(422, "unknown_plan", "POST", "/tenants/acme/entitlements", object{"plan_id": "pln_x"})
		f.refused(422, "unknown_member", "POST", "/tenants/acme/entitlements", object{"plan_id": plan, "user_id": "usr_x"})
		f.refused(422, "invalid_expiry", "POST", "/tenants/acme/entitlements", object{"plan_id": plan, "expires_at": f.clock.Now()})
		f.clock.Advance(time.Hour)
		if check(sso) != "BUNDLE_EXPIRED" || check(reads) != "BUNDLE_EXPIRED" || f.do(200, "GET", one, nil)["expired"] != true {
			t.Error("the plan has ended")
		}
		res := f.sendWith(http.Header{"If-Match": {`"v7"`}}, "PATCH", "/api/v1"+one, object{"expires_at": nil})
		if res.StatusCode != http.StatusPreconditionFailed {
			t.Errorf("a stale change: %d", res.StatusCode)
		}
		if got := f.do(200, "PATCH", one, object{"expires_at": nil}); got["expires_at"] != nil || got["expired"] != false {
			t.Errorf("%v", got)
		}
		if check(sso) != nil {
			t.Error("for ever")
		}
		f.refused(422, "validation_failed", "PATCH", one, object{"plan_id": plan})
		// The whole tenant, beside the user.
		f.do(201, "POST", "/tenants/acme/entitlements", object{"plan_id": plan})
		first := f.do(200, "GET", "/tenants/acme/entitlements?limit=1", nil)
		next, _ := first["next_cursor"].(string)
		if second := f.do(200, "GET", "/tenants/acme/entitlements?limit=1&cursor="+next, nil); len(data(first)) != 1 || len(data(second)) != 1 || data(second)[0]["user_id"] != nil || second["next_cursor"] != nil {
			t.Errorf("%v %v", first, second)
		}
		if got := data(f.do(200, "GET", "/tenants/acme/entitlements?user_id="+ada, nil)); len(got) != 1 || got[0]["user_id"] != ada {
			t.Errorf("%v", got)
		}
		f.refused(422, "invalid_cursor", "GET", "/tenants/acme/entitlements?user_id="+ada+"&cursor="+next, nil)
		f.do(204, "DELETE", one, nil)
		f.refused(404, "entitlement_not_found", "DELETE", one, nil)
		if check(sso) != nil {
			t.Error("the tenant has the plan still")
		}

		// Rules, by attributes and claims of the asker's.
		audit := text(data(f.do(200, "GET", "/features", nil))[0], "id")
		flag := "/features/" + audit + "/flag"
		f.refused(404, "flag_not_found", "GET", flag, nil)
		rule := func(attribute string) []object {
			return []object{{"if": object{"and": []object{{"attribute": attribute, "op": "is", "value": true}}}, "treatment": true}}
		}
		f.do(200, "PUT", flag, object{"on": true, "rules": rule("beta")})
		if check(object{"feature": "audit"}) != "MISSING_FEATURE" || check(object{"feature": "audit", "attributes": object{"beta": true}}) != nil {
			t.Error("by attribute")
		}
		f.do(200, "PUT", flag, object{"on": true, "rules": rule("jwt.org.beta")})
		if check(object{"feature": "audit", "attributes": object{"jwt.org.beta": true}}) != "MISSING_FEATURE" || check(object{"feature": "audit", "claims": object{"org": object{"beta": true}}}) != nil {
			t.Error("by claim")
		}
		f.refused(422, "invalid_rule", "PUT", flag, object{"on": true, "rules": []object{{"if": object{"attribute": "x", "op": "matches", "value": "("}, "treatment": true}}})
		f.refused(422, "validation_failed", "PUT", flag, object{"on": true, "rules": []object{{"if": object{"attribute": "x", "op": "like", "value": "x"}, "treatment": true}}})
		f.refused(422, "validation_failed", "PUT", flag, object{"on": true, "rules": []object{{"if": object{"atribute": "x"}, "treatment": true}}})
		if got := data(f.do(200, "GET", "/feature-flags", nil)); len(got) != 1 || got[0]["feature"] != "audit" {
			t.Errorf("%v", got)
		}
		f.do(204, "DELETE", flag, nil)

		// A batch.
		out := f.do(200, "POST", "/entitlements:check-batch", object{"checks": []object{
			{"tenant_id": "acme", "user_id": ada, "feature": "sso"}, {"tenant_id": "acme", "feature": "audit"}, {"tenant_id": "acme", "user_id": "usr_x", "feature": "sso"},
		}})
		answers, _ := out["results"].([]any)
		var reasons []any
		for _, a := range answers {
			reasons = append(reasons, a.(object)["reason"])
		}
		if !slices.Equal(reasons, []any{nil, "MISSING_FEATURE", "MISSING_FEATURE"}) {
			t.Errorf("%v", out)
		}
		f.refused(422, "invalid_check", "POST", "/entitlements:check", object{"tenant_id": "acme"})
		f.refused(404, "tenant_not_found", "POST", "/entitlements:check", object{"tenant_id": "gone", "feature": "x"})
		f.refused(422, "validation_failed", "POST", "/entitlements:check-batch", object{"checks": make([]object, 101)})

		// Who belongs to a tenant asks about himself, and sells nothing.
		f.do(201, "POST", "/tenants", object{"name": "Globex", "key": "globex"})
		bob, bobs := f.member("acme", "bob")
		for i, c := range []struct {
			token string
			body  object
			want  int
		}{
			{token, object{"tenant_id": "acme", "user_id": ada, "feature": "sso"}, 200},
			{token, object{"tenant_id": "acme", "user_id": bob, "feature": "sso"}, 200},
			{bobs, object{"tenant_id": "acme", "user_id": bob, "feature": "sso"}, 200},
			{bobs, object{"tenant_id": "acme", "user_id": ada, "feature": "sso"}, 403},
			{token, object{"tenant_id": "globex", "feature": "sso"}, 404},
		} {
			if got, _ := f.answer(c.token, "POST", "/entitlements:check", c.body); got != c.want {
				t.Errorf("%d: %d, want %d", i, got, c.want)
			}
		}
		for _, path := range []string{"/features", "/plans", "/feature-flags", "/tenants/acme/entitlements"} {
			if got, _ := f.answer(token, "GET", path, nil); got != 403 {
				t.Errorf("an admin of a tenant reads %s: %d", path, got)
			}
		}
		viewer := text(f.do(201, "POST", "/management-keys", object{"name": "v", "roles": []string{"backoffice-viewer"}}), "key")
		seller := text(f.do(201, "POST", "/management-keys", object{"name": "s", "roles": []string{"entitlements-viewer"}}), "key")
		for key, want := range map[string]int{viewer: 403, seller: 200} {
			if got, _ := f.answer(key, "POST", "/entitlements:check", object{"tenant_id": "acme", "feature": "sso"}); got != want {
				t.Errorf("%d, want %d", got, want)
			}
		}
		if got, _ := f.answer(seller, "POST", "/tenants/acme/entitlements", object{"plan_id": plan, "user_id": bob}); got != 403 {
			t.Errorf("an entitlements viewer sells: %d", got)
		}
	})
}

// Product 92 and 93: the vendor's features and plans.
func TestFeaturesAndPlans(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		feature := f.do(201, "POST", "/features", object{"key": "sso", "name": "SSO", "metadata": object{"icon": "key"}, "permissions": []string{"fe.secure.read.samlConfiguration"}})
		one := "/features/" + text(feature, "id")
		f.refused(409, "key_taken", "POST", "/features", object{"key": "sso", "name": "x"})
		f.refused(422, "unknown_permission", "POST", "/features", object{"key": "x", "name": "x", "permissions": []string{"x.y"}})
		f.refused(422, "validation_failed", "POST", "/features", object{"key": "x", "name": "x", "price": 5})
		if got := f.do(200, "PATCH", one, object{"permissions": []string{}}); len(got["permissions"].([]any)) != 0 || got["name"] != "SSO" || got["metadata"].(object)["icon"] != "key" {
			t.Errorf("%v", got)
		}
		if res := f.sendWith(http.Header{"If-Match": {`"v1"`}}, "PATCH", "/api/v1"+one, object{"name": "x"}); res.StatusCode != 412 || f.do(200, "GET", one, nil)["name"] != "SSO" {
			t.Errorf("a stale change: %d", res.StatusCode)
		}
		if res := f.sendWith(http.Header{"If-None-Match": {"*"}, "If-Match": {`"v1"`}}, "PUT", "/api/v1"+one+"/flag", object{"on": true}); res.StatusCode != 412 {
			t.Errorf("a flag that is not there has a version: %d", res.StatusCode)
		}
		plan := f.do(201, "POST", "/plans", object{"name": "Trial", "features": []string{"sso"}, "assign_on_signup": true, "time_limit_days": 14})
		at := "/plans/" + text(plan, "id")
		f.refused(422, "unknown_feature", "PATCH", at, object{"features": []string{"scim"}})
		if got := f.do(200, "PATCH", at, object{"description": "two weeks"}); got["time_limit_days"] != 14.0 || got["assign_on_signup"] != true || got["description"] != "two weeks" {
			t.Errorf("%v", got)
		}
		// New tenants get it, sub-accounts too.
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme", "subaccounts_enabled": true})
		f.do(201, "POST", "/tenants/acme/sub-accounts", object{"name": "Branch", "key": "branch"})
		for _, tenant := range []string{"acme", "branch"} {
			got := data(f.do(200, "GET", "/tenants/"+tenant+"/entitlements", nil))
			if len(got) != 1 || got[0]["plan_name"] != "Trial" || got[0]["expires_at"] != f.clock.Now().AddDate(0, 0, 14).Format(time.RFC3339) {
				t.Errorf("%s: %v", tenant, got)
			}
		}
		if got := data(f.do(200, "GET", "/plans", nil)); len(got) != 1 {
			t.Errorf("%v", got)
		}
		// The year 1 is what forgetful clients send, and not "never".
		acme := data(f.do(200, "GET", "/tenants/acme/entitlements", nil))[0]
		f.refused(422, "invalid_expiry", "PATCH", "/tenants/acme/entitlements/"+text(acme, "id"), object{"expires_at": "0001-01-01T00:00:00Z"})
		f.refused(422, "invalid_expiry", "POST", "/tenants/acme/entitlements", object{"plan_id": text(plan, "id"), "expires_at": "0001-01-01T00:00:00Z"})
		if got := f.do(200, "GET", "/tenants/acme/entitlements/"+text(acme, "id"), nil); got["expires_at"] != acme["expires_at"] {
			t.Errorf("%v", got)
		}
		// Another tenant's entitlement is not found here.
		branch := text(data(f.do(200, "GET", "/tenants/branch/entitlements", nil))[0], "id")
		for _, method := range []string{"GET", "DELETE"} {
			f.refused(404, "entitlement_not_found", method, "/tenants/acme/entitlements/"+branch, nil)
		}
		f.refused(404, "entitlement_not_found", "PATCH", "/tenants/acme/entitlements/"+branch, object{"expires_at": nil})
		f.do(204, "DELETE", at, nil)
		f.refused(404, "plan_not_found", "GET", at, nil)
		if got := data(f.do(200, "GET", "/tenants/acme/entitlements", nil)); len(got) != 0 {
			t.Errorf("%v", got)
		}
		f.do(204, "DELETE", one, nil)
		f.refused(404, "feature_not_found", "GET", one, nil)
	})
}

// Product 21, 96, 97, 133 and 134: a section is hidden without its feature while
// its API stays open, unless the environment wants it shut.
func TestSectionsAndAPI(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		plan, ada, token := f.entitlements()
		visible := func(as string) map[string]object {
			t.Helper()
			status, out := f.answer(as, "GET", "/tenants/acme/users/"+ada+"/sections", nil)
			if status != 200 {
				t.Fatalf("%d %v", status, out)
			}
			sections := map[string]object{}
			for _, s := range out["sections"].([]any) {
				sections[text(s.(object), "section")] = s.(object)
			}
			return sections
		}
		reads := func() int {
			status, _ := f.answer(token, "GET", "/tenants/acme/sso-connections", nil)
			return status
		}
		if got := visible(token); got["sso"]["visible"] != false || got["users"]["visible"] != true || got["users"]["write"] != true || got["audit_logs"]["visible"] != false {
			t.Errorf("%v", got)
		}
		if got := reads(); got != 200 {
			t.Errorf("the hidden section's API: %d", got)
		}
		set := func(o object) {
			f.do(200, "PATCH", "/environment", o)
			f.clock.Advance(11 * time.Second) // the environments are read again
		}
		set(object{"features": object{"enforce_entitlements_on_api": true}})
		if got := reads(); got != 403 {
			t.Errorf("with enforcement: %d", got)
		}
		if got, _ := f.answer(token, "GET", "/tenants/acme/users", nil); got != 200 {
			t.Errorf("what no feature is linked to: %d", got)
		}
		f.do(200, "GET", "/tenants/acme/sso-connections", nil) // the vendor
		f.do(201, "POST", "/tenants/acme/entitlements", object{"plan_id": plan})
		if got := reads(); got != 200 {
			t.Errorf("with enforcement and the plan: %d", got)
		}
		if got := visible(f.keys[hostA]); got["sso"]["visible"] != true || got["audit_logs"]["visible"] != false {
			t.Errorf("%v", got)
		}
		set(object{"modules": object{"sso": false}})
		if got := visible(token); got["sso"]["visible"] != false {
			t.Errorf("%v", got)
		}
		_, bobs := f.member("acme", "bob")
		if got, _ := f.answer(bobs, "GET", "/tenants/acme/users/"+ada+"/sections", nil); got != 403 {
			t.Errorf("another's sections: %d", got)
		}
		f.refused(404, "user_not_found", "GET", "/tenants/acme/users/usr_x/sections", nil)
		var n int
		if err := d.QueryRow(t.Context(), `SELECT COUNT(*) FROM audit_events WHERE action = 'authorization.denied' AND metadata LIKE '%not_entitled%'`).Scan(&n); err != nil || n != 1 {
			t.Errorf("%d denials recorded, %v", n, err)
		}
	})
}

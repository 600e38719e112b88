package api

import (
	"context"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/permission"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/tenants"
)

func init() {
	maps.Copy(bodies, map[string]object{
		"updateEnvironment": {"name": "x"}, "createEnvironment": {"name": "x", "base_url": "https://x.example"}, "updateOneEnvironment": {"name": "x"},
		"putAccount": {"name": "x", "details": object{}}, "moveTenant": {"parent_id": nil}, "createSubaccount": {"name": "x"}, "updateSubaccount": {"name": "x"},
		"moveSubaccount": {"parent_id": "x"}, "putSubaccountMode": {"mode": "default_off"}, "putUserSubaccountAccess": {"access": "on"},
		"assignTenantApplication": {}, "assignUserApplication": {},
	})
	for _, id := range []string{"moveTenant", "assignTenantApplication", "unassignTenantApplication"} {
		vendorInTenant[id] = true
	}
}

// admitPeople lets a test call as a person: the credential "as.<tenant>.<user>" stands
// for the access token that he would have.
func (f *fixture) admitPeople() {
	f.h.UserActor = func(ctx context.Context, env tenants.Environment, token string) (actor.Actor, error) {
		parts := strings.Split(token, ".")
		p, err := f.h.Directory.PersonOf(ctx, f.d, parts[1], parts[2])
		if err != nil {
			return actor.Actor{}, errNoCredential
		}
		e, err := f.h.RBAC.Effective(ctx, f.d, parts[1], p.Membership.ID)
		return actor.Actor{
			Environment: env.ID, Tenant: parts[1], Kind: actor.User, Subject: parts[2], Email: p.Membership.Email,
			Permissions: permission.NewSet(e.Permissions...), Level: actor.LevelOf(e.Level),
		}, err
	}
}

// caller is somebody with a credential at a host.
type caller struct {
	*fixture
	host, credential string
}

func (f *fixture) vendor() caller { return caller{f, hostA, f.keys[hostA]} }

func (f *fixture) person(tenant, user string) caller {
	return caller{f, hostA, "as." + tenant + "." + user}
}

// wants sends a request, checks status and, of a failure, the code.
func (c caller) wants(status int, code, method, path string, body any) object {
	c.Helper()
	res := c.sendAs(c.host, c.credential, method, "/api/v1"+path, body)
	text, err := io.ReadAll(res.Body)
	if err != nil {
		c.Fatal(err)
	}
	res.Body = io.NopCloser(strings.NewReader(string(text)))
	var out object
	if len(text) > 0 {
		out = decodeObject(c.T, res)
	}
	if got, _ := out["code"].(string); res.StatusCode != status || status >= 400 && got != code {
		c.Errorf("%s %s: %d %s, want %d %s", method, path, res.StatusCode, text, status, code)
	}
	return out
}

// accountUser makes a person of the tenant with the roles.
func (f *fixture) accountUser(tenant, email string, roles ...string) string {
	f.Helper()
	return text(f.do(201, "POST", "/tenants/"+tenant+"/users", object{"email": email, "role_ids": append([]string{}, roles...)}), "id")
}

func (f *fixture) accountRole(key string, level int, permissions ...string) string {
	f.Helper()
	return text(f.do(201, "POST", "/roles", object{"key": key, "name": key, "level": level, "permissions": permissions}), "id")
}

// Product 1, 2, 3, 13, 20, 21 and 100: the default environment makes another,
// which then stands alone: host, signing keys, roles, key and switches.
func TestEnvironments(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		const hostC = "c.localhost:8080"
		made := f.vendor().wants(201, "", "POST", "/environments", object{"name": "Staging", "base_url": "http://" + hostC})
		id, first := text(made, "id"), made["management_key"].(object)
		f.clock.Advance(2e9)
		own := caller{f, hostC, text(first, "key")}
		got := own.wants(200, "", "GET", "/environment", nil)
		if text(got, "id") != id || text(got, "base_url") != "http://"+hostC || got["modules"].(object)["sso"] != true || got["features"].(object)["roles"] != true {
			t.Errorf("%v", got)
		}
		if roles := data(own.wants(200, "", "GET", "/roles", nil)); len(roles) != 2 {
			t.Errorf("%d preset roles", len(roles))
		}
		if jwks, _, err := f.h.Ring.JWKS(t.Context(), id); err != nil || strings.Count(string(jwks), `"kid"`) != len(keys.Algorithms) {
			t.Errorf("%s, %v", jwks, err)
		}
		// Its key is no other's, and it manages itself alone.
		caller{f, hostA, own.credential}.wants(401, "invalid_credentials", "GET", "/environment", nil)
		caller{f, hostC, f.keys[hostA]}.wants(401, "invalid_credentials", "GET", "/environment", nil)
		own.wants(403, "default_environment_only", "GET", "/environments", nil)
		own.wants(403, "default_environment_only", "POST", "/environments", bodies["createEnvironment"])
		own.wants(404, "environment_not_found", "GET", "/environments/"+f.envs[hostA], nil)
		own.wants(404, "environment_not_found", "PATCH", "/environments/"+f.envs[hostA], object{"name": "taken over"})
		own.wants(404, "environment_not_found", "DELETE", "/environments/"+f.envs[hostA], nil)

		changed := own.wants(200, "", "PATCH", "/environment", object{
			"name": "QA", "modules": object{"webhooks": false}, "features": object{"roles": false}, "access_token_seconds": 120, "audit_days": 30, "audit_columns": []string{"occurred_at"},
		})
		if changed["access_token_seconds"] != 120.0 || changed["modules"].(object)["webhooks"] != false || changed["features"].(object)["roles"] != false {
			t.Errorf("%v", changed)
		}
		own.wants(422, "invalid_value", "PATCH", "/environment", object{"modules": object{"nonsense": true}})
		own.wants(422, "validation_failed", "PATCH", "/environment", object{"access_token_seconds": 5})
		own.wants(422, "validation_failed", "PATCH", "/environment", object{"base_url": "https://x.example"})

		f.clock.Advance(10e9)
		own.wants(201, "", "POST", "/tenants", object{"name": "T", "key": "t"})
		modules := data(own.wants(200, "", "GET", "/tenants/t/modules", nil))
		if len(modules) != len(tenants.Modules) {
			t.Errorf("%d modules", len(modules))
		}
		for _, m := range modules {
			if m["enabled"] != (text(m, "module") != "webhooks") {
				t.Errorf("%v", m)
			}
		}

		f.vendor().wants(409, "host_taken", "POST", "/environments", object{"name": "x", "base_url": "http://" + hostC})
		f.vendor().wants(422, "invalid_base_url", "POST", "/environments", object{"name": "x", "base_url": "http://x.example"})
		if list := data(f.vendor().wants(200, "", "GET", "/environments", nil)); len(list) != 3 {
			t.Errorf("%d environments", len(list))
		}
		stale := http.Header{"If-Match": {`"v1"`}}
		if res := f.sendWith(stale, "PATCH", "/api/v1/environments/"+id, object{"name": "x"}); res.StatusCode != 412 {
			t.Errorf("a stale change: %d", res.StatusCode)
		}
		f.vendor().wants(409, "default_environment", "DELETE", "/environments/"+f.envs[hostA], nil)
		f.vendor().wants(409, "environment_not_empty", "DELETE", "/environments/"+id, nil)
		own.wants(204, "", "DELETE", "/tenants/t", nil)
		f.vendor().wants(204, "", "DELETE", "/environments/"+id, nil)
		f.clock.Advance(10e9)
		own.wants(401, "invalid_credentials", "GET", "/environment", nil) // its host is the default's again
	})
}

// Product 4, 6, 11, 12, 22 and 23: account details, by the tenant's own people.
func TestAccount(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.admitPeople()
		ten := text(f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"}), "id")
		admin := f.person(ten, f.accountUser(ten, "admin@acme.example", f.accountRole("boss", 1, "fe.secure.*")))
		reader := f.person(ten, f.accountUser(ten, "reader@acme.example", f.accountRole("reader", 5, "fe.secure.read.*")))
		for _, access := range []string{"all", "assigned"} {
			f.do(201, "POST", "/applications", object{"name": "x", "type": "web", "redirect_uris": []string{"https://x.example"}, "user_access": access})
		}
		details := object{"address": "1 Road\nTown", "website": "https://acme.example", "timezone": "Europe/Berlin", "currency": "EUR", "logo": "https://acme.example/logo.svg"}
		got := admin.wants(200, "", "PUT", "/tenants/acme/account", object{"name": "Acme AG", "details": details})
		if text(got, "name") != "Acme AG" || got["applications"] != 1.0 || got["details"].(object)["currency"] != "EUR" {
			t.Errorf("%v", got)
		}
		if got := f.do(200, "GET", "/tenants/acme/account", nil); got["applications"] != 2.0 {
			t.Errorf("the account has %v applications", got["applications"])
		}
		if got := reader.wants(200, "", "GET", "/tenants/acme/account", nil); text(got, "name") != "Acme AG" {
			t.Errorf("%v", got)
		}
		reader.wants(403, "forbidden", "PUT", "/tenants/acme/account", object{"name": "x", "details": object{}})
		problem := admin.wants(422, "invalid_timezone", "PUT", "/tenants/acme/account", object{"name": "x", "details": object{"timezone": "Mars/Olympus"}})
		if at := problem["errors"].([]any)[0].(object)["location"]; at != "body.details.timezone" {
			t.Errorf("the fault is at %v", at)
		}
		admin.wants(403, "environment_only", "PATCH", "/tenants/acme", object{"status": "suspended"})
		admin.wants(403, "environment_only", "PATCH", "/tenants/acme", object{"subaccounts_enabled": true})
		admin.wants(403, "permission_missing", "PATCH", "/tenants/acme", object{"subaccount_access": "always_on"})
		admin.wants(403, "forbidden", "GET", "/environment", nil)
		admin.wants(403, "forbidden", "GET", "/tenants", nil)
		if res := f.sendWith(http.Header{"If-Match": {`"v1"`}}, "PATCH", "/api/v1/tenants/acme", object{"name": "lost update"}); res.StatusCode != 412 {
			t.Errorf("a stale change: %d", res.StatusCode)
		}
		if got := data(f.do(200, "GET", "/tenants?q=acme%20a&status=active", nil)); len(got) != 1 {
			t.Errorf("%d found", len(got))
		}
	})
}

// Product 5, 7, 8, 9, 10, 137 and 139, 2.10: accounts below accounts.
func TestSubaccounts(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.admitPeople()
		parent := text(f.do(201, "POST", "/tenants", object{"name": "Parent", "key": "parent"}), "id")
		other := text(f.do(201, "POST", "/tenants", object{"name": "Other", "key": "other", "subaccounts_enabled": true}), "id")
		boss := f.accountRole("boss", 1, "fe.secure.*", "fe.account-hierarchy.*")
		clerk := f.accountRole("clerk", 5, "fe.secure.read.*", "fe.account-hierarchy.*")
		bossID, clerkID := f.accountUser(parent, "boss@parent.example", boss), f.accountUser(parent, "clerk@parent.example", clerk)
		admin, weak := f.person(parent, bossID), f.person(parent, clerkID)
		at := "/tenants/parent/sub-accounts"

		admin.wants(403, "sub_accounts_disabled", "POST", at, object{"name": "Child"})
		f.do(200, "PATCH", "/tenants/parent", object{"subaccounts_enabled": true})
		child := text(admin.wants(201, "", "POST", at, object{"name": "Child", "key": "child"}), "id")
		grandchild := text(f.do(201, "POST", "/tenants", object{"name": "Grandchild", "key": "grandchild", "parent_id": "child"}), "id")
		sibling := text(admin.wants(201, "", "POST", at, object{"name": "Sibling"}), "id")
		foreign := text(f.do(201, "POST", "/tenants/other/sub-accounts", object{"name": "Foreign"}), "id")

		tree := data(admin.wants(200, "", "GET", at, nil))
		if len(tree) != 3 || text(tree[1], "parent_id") != child || tree[1]["depth"] != 2.0 {
			t.Errorf("%v", tree)
		}
		if page := admin.wants(200, "", "GET", at+"?depth=1&limit=1", nil); len(data(page)) != 1 || page["next_cursor"] == nil {
			t.Errorf("%v", page)
		} else if rest := data(admin.wants(200, "", "GET", at+"?depth=1&limit=1&cursor="+text(page, "next_cursor"), nil)); len(rest) != 1 || text(rest[0], "id") != sibling {
			t.Errorf("%v", rest)
		}
		if got := f.do(200, "GET", "/tenants/parent", nil); got["children"] != 2.0 {
			t.Errorf("%v children", got["children"])
		}

		// Into a sub-account by the mode, the person's own switch, and any depth.
		admin.wants(404, "tenant_not_found", "GET", "/tenants/child/users", nil)
		admin.wants(200, "", "PUT", "/tenants/parent/users/"+bossID+"/sub-account-access", object{"access": "on"})
		admin.wants(200, "", "GET", "/tenants/grandchild/users", nil)
		weak.wants(404, "tenant_not_found", "GET", "/tenants/child/users", nil)
		weak.wants(403, "target_level_too_strong", "PUT", "/tenants/parent/users/"+bossID+"/sub-account-access", object{"access": "off"})
		admin.wants(200, "", "PUT", "/tenants/parent/sub-account-access", object{"mode": "always_on"})
		if got := weak.wants(200, "", "GET", "/tenants/child", nil); text(got, "id") != child {
			t.Errorf("%v", got)
		}
		if got := admin.wants(200, "", "GET", "/tenants/parent/users/"+bossID+"/sub-account-access", nil); text(got, "access") != "on" {
			t.Errorf("%v", got)
		}
		added := text(admin.wants(201, "", "POST", "/tenants/child/users", object{"email": "new@child.example", "role_ids": []string{clerk}}), "id")
		weak.wants(403, "forbidden", "POST", "/tenants/child/users", object{"email": "x@child.example"})
		admin.wants(404, "tenant_not_found", "GET", "/tenants/"+foreign, nil)
		admin.wants(404, "tenant_not_found", "GET", "/tenants/"+other, nil)
		f.person(child, added).wants(404, "tenant_not_found", "GET", "/tenants/parent", nil)

		// Rename and move, below one's own account only.
		if got := admin.wants(200, "", "PATCH", at+"/grandchild", object{"name": "Renamed"}); text(got, "name") != "Renamed" {
			t.Errorf("%v", got)
		}
		admin.wants(404, "tenant_not_found", "PATCH", at+"/"+foreign, object{"name": "x"})
		admin.wants(404, "tenant_not_found", "GET", at+"/parent", nil)
		admin.wants(404, "tenant_not_found", "DELETE", at+"/"+foreign, nil)
		admin.wants(422, "parent_below", "POST", at+"/child:move", object{"parent_id": grandchild})
		admin.wants(422, "parent_not_found", "POST", at+"/child:move", object{"parent_id": other})
		f.vendor().wants(422, "parent_not_found", "POST", at+"/child:move", object{"parent_id": other}) // the vendor has :move for that
		if got := admin.wants(200, "", "POST", at+"/grandchild:move", object{"parent_id": sibling}); text(got, "parent_id") != sibling {
			t.Errorf("%v", got)
		}
		admin.wants(403, "forbidden", "POST", "/tenants/parent:move", object{"parent_id": nil})
		if got := f.do(200, "POST", "/tenants/"+sibling+":move", object{"parent_id": "child"}); text(got, "parent_id") != child {
			t.Errorf("%v", got)
		}

		// Deleting re-parents, takes the people whom nobody else knows, and respects levels.
		strong := f.accountUser(child, "strong@child.example", boss)
		both := text(f.do(201, "POST", "/tenants/child/users", object{"email": "both@child.example"}), "id")
		f.addMembership(other, both)
		weak.wants(403, "target_level_too_strong", "DELETE", at+"/child", nil)
		admin.wants(204, "", "DELETE", at+"/child", nil)
		if got := admin.wants(200, "", "GET", at+"/"+sibling, nil); text(got, "parent_id") != parent {
			t.Errorf("%v", got)
		}
		f.removal()
		for user, want := range map[string]int64{strong: 0, added: 0, both: 1, bossID: 1} {
			var n int64
			if err := d.QueryRow(t.Context(), `SELECT COUNT(*) FROM users WHERE id = $1`, user).Scan(&n); err != nil || n != want {
				t.Errorf("%s: %d rows, want %d, %v", user, n, want, err)
			}
		}
		// Without the capability nobody enters; what is there stays.
		f.do(200, "PATCH", "/tenants/parent", object{"subaccounts_enabled": false})
		admin.wants(404, "tenant_not_found", "GET", "/tenants/grandchild", nil)
		admin.wants(403, "sub_accounts_disabled", "POST", at, object{"name": "x"})
	})
}

// addMembership makes an existing user a member of another tenant, too (product 10).
func (f *fixture) addMembership(tenant, user string) {
	f.Helper()
	_, err := f.d.Exec(f.Context(), `INSERT INTO memberships (tenant_id, id, environment_id, user_id, status, managed_by, email, email_key, created_at, updated_at)
VALUES ($1, 'mem_second', $2, $3, 'active', 'local', 'x@x.example', 'x@x.example', 1, 1)`, tenant, f.envs[hostA], user)
	if err != nil {
		f.Fatal(err)
	}
}

// Product 39: applications of tenants and of their people.
func TestAssignments(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.admitPeople()
		acme := text(f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"}), "id")
		f.do(201, "POST", "/tenants", object{"name": "Other", "key": "other"})
		boss := f.accountUser(acme, "boss@acme.example", f.accountRole("boss", 1, "fe.secure.*", "fe.account-settings.*"))
		clerk := f.accountUser(acme, "clerk@acme.example", f.accountRole("clerk", 5, "fe.secure.write.appsUsers", "fe.account-settings.read.app"))
		app := text(f.do(201, "POST", "/applications", object{
			"name": "x", "type": "web", "redirect_uris": []string{"https://x.example"}, "tenant_access": "assigned", "user_access": "assigned",
		}), "client_id")
		admin, weak := f.person(acme, boss), f.person(acme, clerk)
		list := func(c caller, path string) int { return len(data(c.wants(200, "", "GET", path, nil))) }
		ofTenant, ofBoss, ofClerk := "/tenants/acme/applications", "/tenants/acme/users/"+boss+"/applications", "/tenants/acme/users/"+clerk+"/applications"

		admin.wants(404, "application_not_found", "PUT", ofClerk+"/"+app, object{}) // not the tenant's yet
		admin.wants(403, "forbidden", "PUT", ofTenant+"/"+app, object{})
		if got := f.do(200, "PUT", ofTenant+"/"+app, object{}); text(got, "client_id") != app {
			t.Errorf("%v", got)
		}
		if list(admin, ofTenant) != 1 || list(f.vendor(), "/tenants/other/applications") != 0 || list(weak, ofClerk) != 0 {
			t.Error("after the tenant got it")
		}
		admin.wants(200, "", "PUT", ofClerk+"/"+app, object{})
		weak.wants(403, "target_level_too_strong", "PUT", ofBoss+"/"+app, object{})
		weak.wants(403, "forbidden", "DELETE", ofClerk+"/"+app, nil)
		if list(weak, ofClerk) != 1 || list(weak, ofBoss) != 0 {
			t.Error("after the clerk got it")
		}
		var n int
		if err := d.QueryRow(t.Context(), `SELECT COUNT(*) FROM audit_events WHERE tenant_id = $1 AND action = 'application.assigned'`, acme).Scan(&n); err != nil || n != 2 {
			t.Errorf("%d assignments told, %v", n, err)
		}
		admin.wants(204, "", "DELETE", ofClerk+"/"+app, nil)
		f.do(204, "DELETE", ofTenant+"/"+app, nil)
		admin.wants(404, "application_not_found", "GET", ofTenant+"/"+app, nil)
		f.do(200, "PATCH", "/applications/"+app, object{"tenant_access": "all", "user_access": "all"})
		if list(weak, ofClerk) != 1 {
			t.Error("an open application")
		}
		f.refused(422, "validation_failed", "PATCH", "/applications/"+app, object{"tenant_access": "some"})
	})
}

// A PATCH of the details changes what it names; a PUT of the account replaces them.
func TestDetailsPatch(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme", "details": object{"address": "1 Road", "timezone": "Europe/Berlin"}})
		details := func(got object) object { return got["details"].(object) }
		for _, x := range []struct{ patch, want object }{
			{object{"currency": "EUR"}, object{"address": "1 Road", "timezone": "Europe/Berlin", "currency": "EUR"}},
			{object{"address": ""}, object{"timezone": "Europe/Berlin", "currency": "EUR"}},
			{object{}, object{"timezone": "Europe/Berlin", "currency": "EUR"}},
			{object{"currency": nil}, object{"timezone": "Europe/Berlin", "currency": "EUR"}}, // as left out, here as everywhere
		} {
			if got := details(f.do(200, "PATCH", "/tenants/acme", object{"details": x.patch})); !maps.Equal(got, x.want) {
				t.Errorf("%v: %v, want %v", x.patch, got, x.want)
			}
		}
		f.refused(422, "validation_failed", "PATCH", "/tenants/acme", object{"details": object{"colour": "red"}})
		f.refused(422, "invalid_url", "PATCH", "/tenants/acme", object{"details": object{"website": "javascript:alert(1)"}})
		f.refused(422, "invalid_timezone", "PATCH", "/tenants/acme", object{"details": object{"timezone": "../../etc/passwd"}})
		if got := details(f.do(200, "GET", "/tenants/acme", nil)); !maps.Equal(got, object{"timezone": "Europe/Berlin", "currency": "EUR"}) {
			t.Errorf("after refusals: %v", got)
		}
		if got := details(f.do(200, "PUT", "/tenants/acme/account", object{"name": "Acme", "details": object{"address": "2 Road"}})); !maps.Equal(got, object{"address": "2 Road"}) {
			t.Errorf("put: %v", got)
		}
	})
}

// Attacks from a parent on its sub-accounts (product 8, 121 and 122, identity rule 6).
func TestSubaccountAttacks(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.admitPeople()
		parent := text(f.do(201, "POST", "/tenants", object{"name": "Parent", "key": "parent", "subaccounts_enabled": true, "subaccount_access": "always_on"}), "id")
		child := text(f.do(201, "POST", "/tenants", object{"name": "Child", "key": "child", "parent_id": "parent"}), "id")
		f.do(201, "POST", "/tenants", object{"name": "Sibling", "key": "sibling", "parent_id": "parent"})
		f.do(201, "POST", "/tenants", object{"name": "Below", "key": "below", "parent_id": "sibling"})
		boss := f.accountRole("boss", 1, "fe.secure.*", "fe.account-hierarchy.*")
		clerk := f.accountRole("clerk", 5, "fe.secure.*", "fe.account-hierarchy.*")
		both := f.accountUser(parent, "both@parent.example", clerk)
		f.addMembership(child, both)
		f.do(200, "PUT", "/tenants/child/users/"+both+"/roles", object{"role_ids": []string{boss}})
		weak := f.person(parent, both)
		at := "/tenants/parent/sub-accounts/"

		// His parent's sign-in proves nothing to the child, where he is stronger.
		own := "/tenants/child/users/" + both + "/api-tokens"
		weak.wants(403, "not_your_own", "POST", own, object{"description": "x"})
		weak.wants(403, "target_level_too_strong", "GET", own, nil)
		f.person(child, both).wants(201, "", "POST", own, object{"description": "x"})

		// To put an account below another lets that one's people in. Among those that
		// stand above it already nobody gains.
		admin := f.person(parent, f.accountUser(parent, "admin@parent.example", boss))
		weak.wants(403, "target_level_too_strong", "POST", at+"sibling:move", object{"parent_id": child})
		deep := text(admin.wants(201, "", "POST", "/tenants/child/sub-accounts", object{"name": "Deep"}), "id")
		weak.wants(403, "target_level_too_strong", "POST", at+"sibling:move", object{"parent_id": deep})
		admin.wants(200, "", "POST", at+"sibling:move", object{"parent_id": deep})
		weak.wants(200, "", "POST", at+"below:move", object{"parent_id": "child"})
		weak.wants(200, "", "POST", at+"below:move", object{"parent_id": "parent"})

		// Tokens and invitations count as the people do.
		for _, grant := range []struct {
			path string
			body object
		}{
			{"api-tokens", object{"description": "x", "role_ids": []string{boss}}},
			{"invitations", object{"emails": []string{"new@x.example"}, "role_ids": []string{boss}}},
			{"invite-links", object{"role_ids": []string{boss}}},
		} {
			made := text(f.do(201, "POST", "/tenants/parent/sub-accounts", object{"name": "Strong"}), "id")
			f.do(201, "POST", "/tenants/"+made+"/"+grant.path, grant.body)
			weak.wants(403, "target_level_too_strong", "DELETE", at+made, nil)
			admin.wants(204, "", "DELETE", at+made, nil)
		}

		// Who saw another version moves nothing.
		for _, path := range []string{at + "below:move", "/tenants/below:move"} {
			if res := f.sendWith(http.Header{"If-Match": {`"v99"`}}, "POST", "/api/v1"+path, object{"parent_id": "child"}); res.StatusCode != 412 {
				t.Errorf("%s: %d", path, res.StatusCode)
			}
		}

		// In the child's log the parent's person stands with the account that he is of.
		weak.wants(200, "", "PATCH", "/tenants/child", object{"name": "Renamed"})
		weak.wants(200, "", "PATCH", at+"child", object{"name": "Renamed again"})
		inside := f.person(child, both)
		inside.wants(200, "", "PATCH", "/tenants/child", object{"name": "By themselves"})
		events := data(inside.wants(200, "", "GET", "/tenants/child/audit-events?action=tenant.updated&order=oldest", nil))
		if len(events) != 3 {
			t.Fatalf("%v", events)
		}
		for i, from := range []string{parent, parent, ""} {
			who := events[i]["actor"].(object)
			if of, _ := who["tenant_id"].(string); text(who, "id") != both || of != from {
				t.Errorf("%d: %v, want of %q", i, who, from)
			}
		}

		// Who may have no sub-accounts any more changes nothing of them; the vendor does.
		f.do(200, "PATCH", "/tenants/parent", object{"subaccounts_enabled": false})
		admin.wants(403, "sub_accounts_disabled", "PATCH", at+"child", object{"name": "x"})
		admin.wants(403, "sub_accounts_disabled", "POST", at+"child:move", object{"parent_id": "parent"})
		admin.wants(403, "sub_accounts_disabled", "DELETE", at+"child", nil)
		f.do(200, "PATCH", "/tenants/parent/sub-accounts/child", object{"name": "x"})

		// A suspended home opens nothing.
		f.do(200, "PATCH", "/tenants/parent", object{"subaccounts_enabled": true})
		admin.wants(200, "", "GET", "/tenants/child", nil)
		f.do(200, "PATCH", "/tenants/parent", object{"status": "suspended"})
		admin.wants(404, "tenant_not_found", "GET", "/tenants/child", nil)
	})
}

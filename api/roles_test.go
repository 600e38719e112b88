package api

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

func init() {
	maps.Copy(bodies, map[string]object{
		"putRolePermissions": {"permissions": []string{}}, "createTenantRole": {"name": "walk"}, "updateTenantRole": {"name": "x"},
		"addPermissionToRoles": {"role_ids": []string{"rol_x"}}, "createPermissionCategory": {"name": "walk"}, "updatePermissionCategory": {"name": "x"},
	})
	worldSteps = append(worldSteps, func(post func(path string, body object) object, t string, w map[string]string) {
		w["category"] = text(post("/permission-categories", object{"name": t}), "id")
	})
}

func keysOf(list []object) string {
	var keys []string
	for _, o := range list {
		keys = append(keys, text(o, "key"))
	}
	return strings.Join(keys, " ")
}

// What the vendor does with roles: product 86, 89, 102, 107 to 109, 118.
func TestVendorsRoles(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		acme := text(f.do(201, "POST", "/tenants", object{"name": "Acme"}), "id")
		f.do(201, "POST", "/permissions", object{"key": "invoices.read", "name": "Read invoices", "category": "Invoices"})
		r := f.do(201, "POST", "/roles", object{"key": "billing", "name": "Billing", "level": 5, "permissions": []string{"invoices.read", "fe.secure.read.users"}})
		own := f.do(201, "POST", "/roles", object{"key": "own", "name": "Own", "base_role_id": text(r, "id"), "tenant_id": acme})
		if own["level"] != 5.0 || text(own, "tenant_id") != acme || len(own["permissions"].([]any)) != 2 { // product 62, 107
			t.Errorf("%v", own)
		}
		for query, want := range map[string]string{
			"": "admin read-only billing", "?level=5": "billing", "?q=BILL": "billing", "?level=0&q=bill": "", "?tenant_id=" + acme: "admin read-only billing own",
			"?tenant_id=" + acme + "&level=5": "billing own",
		} {
			if got := keysOf(data(f.do(200, "GET", "/roles"+query, nil))); got != want {
				t.Errorf("%q: %q, want %q", query, got, want)
			}
		}
		at := "/roles/" + text(r, "id")
		got := f.do(200, "PUT", at+"/permissions", object{"permissions": []string{"fe.secure.*"}})
		if p := got["permissions"].([]any); len(p) != 1 || p[0] != "fe.secure.*" { // wildcards stay as they are (product 81, 135)
			t.Errorf("%v", p)
		}
		p := data(f.do(200, "GET", "/permissions?q=invoices.read", nil))[0]
		detail := f.do(200, "PUT", "/permissions/"+text(p, "id")+"/roles", object{"role_ids": []string{text(r, "id"), text(own, "id")}})
		if detail["custom_roles"] != 1.0 || len(detail["role_ids"].([]any)) != 1 {
			t.Errorf("%v", detail)
		}
		if got := f.do(200, "GET", at, nil)["permissions"].([]any); len(got) != 2 {
			t.Errorf("added: %v", got)
		}
		f.refused(422, "unknown_role", "PUT", "/permissions/"+text(p, "id")+"/roles", object{"role_ids": []string{"rol_x"}})

		u := text(f.do(201, "POST", "/tenants/"+acme+"/users", object{"email": "a@acme.example", "role_ids": []string{text(r, "id")}}), "id")
		f.do(201, "POST", "/tenants/"+acme+"/groups", object{"name": "Finance", "role_ids": []string{text(r, "id")}})
		first := f.do(200, "GET", at+"/holders?limit=1", nil)
		second := f.do(200, "GET", at+"/holders?limit=1&cursor="+text(first, "next_cursor"), nil)
		if h := data(first); len(h) != 1 || h[0]["id"] != u || h[0]["type"] != "user" {
			t.Errorf("%v", h)
		}
		if h := data(second); len(h) != 1 || h[0]["name"] != "Finance" || second["next_cursor"] != nil {
			t.Errorf("%v", second)
		}
		f.do(200, "GET", at+"/holders?tenant_id="+acme, nil)
		f.refused(404, "tenant_not_found", "GET", at+"/holders?tenant_id=ten_x", nil)

		// A change asks for the version that was read (product 7.3).
		tag := f.send("GET", "/api/v1"+at, nil).Header.Get("ETag")
		old := http.Header{"If-Match": {tag}}
		for i, want := range []int{200, 412} {
			if res := f.sendWith(old, "PATCH", "/api/v1"+at, object{"name": "x"}); res.StatusCode != want {
				t.Errorf("change %d: %d, want %d", i, res.StatusCode, want)
			}
		}
		if res := f.sendWith(old, "DELETE", "/api/v1"+at, nil); res.StatusCode != 412 {
			t.Errorf("deletion: %d", res.StatusCode)
		}
		f.do(204, "DELETE", at, nil)
	})
}

// Product 75, 76, 78, 80, 82, 83, 85, 87, 88, 90, 113, 114, 120 and 132.
func TestVendorsPermissions(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		c := f.do(201, "POST", "/permission-categories", object{"name": "Money", "description": "Bills"})
		p := f.do(201, "POST", "/permissions", object{"key": "invoices.read", "name": "Read invoices", "category": "Money"})
		at, in := "/permissions/"+text(p, "id"), "/permission-categories/"+text(c, "id")
		if text(p, "category_id") != text(c, "id") || p["classification"] != "assignable" || p["builtin"] != false {
			t.Errorf("%v", p)
		}
		if got := f.do(200, "GET", at, nil); len(got["role_ids"].([]any)) != 0 { // product 88
			t.Errorf("%v", got)
		}
		f.refused(400, "reserved_prefix", "POST", "/permissions", object{"key": "fe.secure.read.money", "name": "x", "category": "Money"})
		builtin := data(f.do(200, "GET", "/permissions?creator=builtin&q=fe.secure.read.users", nil))
		if keysOf(builtin) != "fe.secure.read.users fe.secure.read.usersRoles" {
			t.Fatalf("%s", keysOf(builtin))
		}
		of := "/permissions/" + text(builtin[0], "id")
		f.refused(403, "builtin_permission", "PATCH", of, object{"category": "Money"})
		f.refused(403, "builtin_permission", "DELETE", of, nil)
		f.refused(403, "builtin_category", "PATCH", "/permission-categories/"+text(builtin[0], "category_id"), object{"name": "x"})
		f.refused(403, "builtin_category", "DELETE", "/permission-categories/"+text(builtin[0], "category_id"), nil)
		for query, want := range map[string]string{
			"?creator=vendor": "invoices.read", "?category=Money": "invoices.read", "?category=" + text(c, "id"): "invoices.read", "?q=bill": "", "?q=money": "invoices.read",
			"?classification=always": "",
		} {
			if got := keysOf(data(f.do(200, "GET", "/permissions"+query, nil))); got != want {
				t.Errorf("%q: %q, want %q", query, got, want)
			}
		}
		f.refused(409, "category_not_empty", "DELETE", in, nil)
		f.do(200, "PATCH", in, object{"name": "Finance"})
		if got := f.do(200, "GET", at, nil); got["category"] != "Finance" {
			t.Errorf("%v", got["category"])
		}
		f.do(200, "PATCH", at, object{"category": "Elsewhere"})
		if got := f.do(200, "GET", in, nil); got["permissions"] != 0.0 {
			t.Errorf("%v", got)
		}
		f.do(204, "DELETE", in, nil)
		f.refused(404, "category_not_found", "GET", in, nil)

		// What a classification would touch is said before it does (product 120).
		acme := text(f.do(201, "POST", "/tenants", object{"name": "Acme"}), "id")
		f.do(201, "POST", "/tenants/"+acme+"/roles", object{"name": "Own", "permissions": []string{"invoices.read"}})
		for _, dry := range []bool{true, false} {
			got := f.do(200, "PUT", "/permissions:classify", object{"permission_ids": []string{text(p, "id")}, "classification": "never", "dry_run": dry})
			if got["custom_roles"] != 1.0 {
				t.Errorf("dry run %v: %v", dry, got)
			}
			want := map[bool]int{true: 1, false: 0}[dry]
			if list := data(f.do(200, "GET", "/tenants/"+acme+"/permissions?q=invoices", nil)); len(list) != want {
				t.Errorf("dry run %v: %d to choose, want %d", dry, len(list), want)
			}
		}
		f.do(204, "DELETE", at, nil)
	})
}

// The customer's people and their own roles: product 61 to 64, 103, 110 to 112.
func TestRolesOfTheCustomer(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.admitPeople()
		acme := text(f.do(201, "POST", "/tenants", object{"name": "Acme"}), "id")
		other := text(f.do(201, "POST", "/tenants", object{"name": "Other"}), "id")
		roles := data(f.do(200, "GET", "/tenants/"+acme+"/roles", nil))
		admin, readOnly := text(roles[0], "id"), text(roles[1], "id")
		boss := f.person(acme, f.accountUser(acme, "boss@acme.example", admin))
		reader := f.person(acme, f.accountUser(acme, "reader@acme.example", readOnly))
		at := "/tenants/" + acme + "/roles"

		made := boss.wants(201, "", "POST", at, object{"name": "Help desk", "description": "x", "base_role_id": readOnly})
		one := at + "/" + text(made, "id")
		if made["key"] != "help-desk" || made["level"] != 1.0 || text(made, "base_role_id") != readOnly || text(made, "tenant_id") != acme {
			t.Errorf("%v", made)
		}
		choose := data(boss.wants(200, "", "GET", "/tenants/"+acme+"/permissions?q=enableDisable", nil))
		var ids []string
		for _, p := range choose {
			ids = append(ids, text(p, "id"))
		}
		weakest := boss.wants(201, "", "POST", at, object{"name": "Locker", "permission_ids": ids})
		if weakest["level"] != 32767.0 || len(weakest["permissions"].([]any)) != len(ids) || len(ids) == 0 {
			t.Errorf("%v", weakest)
		}
		boss.wants(422, "permission_not_assignable", "POST", at, object{"name": "All", "permissions": []string{"fe.secure.*"}})
		boss.wants(422, "invalid_field", "POST", at, object{"name": "Both", "permissions": []string{}, "permission_ids": ids})
		boss.wants(200, "", "PATCH", one, object{"name": "Desk", "permissions": []string{"fe.secure.read.users"}})
		boss.wants(403, "environment_only", "PATCH", at+"/"+readOnly, object{"name": "Mine"})
		boss.wants(403, "environment_only", "DELETE", at+"/"+readOnly, nil)
		boss.wants(200, "", "GET", at+"/"+readOnly, nil)
		reader.wants(403, "forbidden", "POST", at, object{"name": "x"})
		reader.wants(200, "", "GET", one, nil)

		// Another tenant's role is not there, for its people and for the vendor alike.
		there := "/tenants/" + other + "/roles/" + text(made, "id")
		for _, method := range []string{"GET", "PATCH", "DELETE"} {
			f.refused(404, "role_not_found", method, there, object{"name": "x"})
		}
		boss.wants(404, "tenant_not_found", "GET", there, nil)

		// Product 77, 110 and 134: without the page none are made; what is there is changed by permission.
		f.do(200, "PATCH", "/environment", object{"modules": object{"roles": false}})
		f.clock.Advance(11e9)
		boss.wants(403, "roles_not_enabled", "POST", at, object{"name": "Late"})
		boss.wants(200, "", "PATCH", one, object{"name": "Still"})
		f.do(201, "POST", at, object{"name": "By the vendor"})
		f.do(200, "PATCH", "/environment", object{"modules": object{"roles": true}})
		boss.wants(204, "", "DELETE", one, nil)
	})
}

// Groups: product 55, 56, 60 and 136.
func TestGroupsOfTheCustomer(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.admitPeople()
		acme := text(f.do(201, "POST", "/tenants", object{"name": "Acme"}), "id")
		roles := data(f.do(200, "GET", "/tenants/"+acme+"/roles", nil))
		readOnly := text(roles[1], "id")
		at := "/tenants/" + acme + "/groups"
		for _, n := range []string{"engineering", "Éngineering", "English", "Finance"} {
			f.do(201, "POST", at, object{"name": n, "color": "teal", "description": "x", "metadata": object{"a": 1}})
		}
		f.refused(409, "group_exists", "POST", at, object{"name": "ENGLISH"})
		for q, want := range map[string]string{"": "engineering English Finance Éngineering", "eng": "engineering English", "%C3%89": "Éngineering", "x": ""} {
			var names []string
			for cursor := ""; ; {
				page := f.do(200, "GET", at+"?limit=1&q="+q+"&cursor="+cursor, nil)
				for _, g := range data(page) {
					names = append(names, text(g, "name"))
				}
				if page["next_cursor"] == nil {
					break
				}
				cursor = text(page, "next_cursor")
			}
			if got := strings.Join(names, " "); got != want {
				t.Errorf("%q: %q, want %q", q, got, want)
			}
		}
		g := at + "/" + text(data(f.do(200, "GET", at+"?q=finance", nil))[0], "id")
		u := f.accountUser(acme, "u@acme.example")
		tag := f.send("GET", "/api/v1"+g, nil).Header.Get("ETag")
		f.do(200, "PUT", g+"/roles", object{"role_ids": []string{readOnly}})
		if res := f.sendWith(http.Header{"If-Match": {tag}}, "PATCH", "/api/v1"+g, object{"name": "x"}); res.StatusCode != 412 {
			t.Errorf("after a change of its roles: %d", res.StatusCode)
		}
		f.do(200, "POST", g+"/members", object{"user_ids": []string{u}})
		f.refused(422, "unknown_member", "POST", g+"/members", object{"user_ids": []string{u, "usr_x"}})
		if got := f.do(200, "GET", "/tenants/"+acme+"/users/"+u, nil)["role_ids"].([]any); len(got) != 0 { // product 59, 136
			t.Errorf("direct roles %v", got)
		}
		if got := f.do(200, "GET", "/tenants/"+acme+"/users/"+u+"/effective-roles", nil)["roles"].([]any); len(got) != 1 {
			t.Errorf("effective roles %v", got)
		}
		// The keys of groups (product 60), each alone.
		callers := map[string]caller{}
		role := func(keys ...string) caller {
			slices.Sort(keys)
			name := strings.ToLower(strings.ReplaceAll(strings.Join(keys, "-"), ".", "-"))
			if c, ok := callers[name]; ok {
				return c
			}
			callers[name] = f.person(acme, f.accountUser(acme, fmt.Sprintf("c%d@acme.example", len(callers)), f.accountRole(name, 1, keys...)))
			return callers[name]
		}
		one := f.do(201, "POST", at, object{"name": "One"})
		path := at + "/" + text(one, "id")
		for _, x := range []struct {
			key, method, path string
			body              object
			status            int
		}{
			{"fe.secure.read.groups", "GET", path, nil, 200},
			{"fe.secure.read.groups", "GET", path + "/members", nil, 200},
			{"fe.secure.write.groups", "PATCH", path, object{"name": "Two"}, 200},
			{"fe.secure.write.groupsUsers", "POST", path + "/members", object{"user_ids": []string{u}}, 200},
			{"fe.secure.delete.groupsUsers", "DELETE", path + "/members", object{"user_ids": []string{u}}, 200},
			{"fe.secure.write.groupsRoles", "PUT", path + "/roles", object{"role_ids": []string{readOnly}}, 200},
			{"fe.secure.delete.groups", "DELETE", path, nil, 204},
		} {
			all := []string{
				"fe.secure.read.groups", "fe.secure.write.groups", "fe.secure.delete.groups", "fe.secure.write.groupsUsers", "fe.secure.delete.groupsUsers",
				"fe.secure.write.groupsRoles", "fe.secure.delete.groupsRoles",
			}
			if x.status != 204 && x.method != "GET" {
				others := slices.DeleteFunc(slices.Clone(all), func(k string) bool { return k == x.key })
				role(others...).wants(403, "forbidden", x.method, x.path, x.body)
			}
			role(x.key).wants(x.status, "", x.method, x.path, x.body)
		}
		// Taking roles from a group has a key of its own.
		writer := role("fe.secure.write.groupsRoles")
		writer.wants(403, "permission_required", "PUT", g+"/roles", object{"role_ids": []string{}})
		role("fe.secure.write.groupsRoles", "fe.secure.delete.groupsRoles").wants(200, "", "PUT", g+"/roles", object{"role_ids": []string{}})
	})
}

package api

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

func TestTenants(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		acme := f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		if !id.Valid(id.Tenant, text(acme, "id")) || acme["key"] != "acme" || acme["parent_id"] != nil || acme["status"] != "active" {
			t.Errorf("%v", acme)
		}
		// The key serves wherever the id does.
		for _, key := range []string{"acme", text(acme, "id")} {
			if got := f.do(200, "GET", "/tenants/"+key, nil); got["id"] != acme["id"] {
				t.Errorf("by %s: %v", key, got)
			}
		}
		f.refused(409, "key_taken", "POST", "/tenants", object{"name": "Other", "key": "acme"})
		f.refused(422, "invalid_key", "POST", "/tenants", object{"name": "Other", "key": "A B"})
		f.refused(422, "validation_failed", "POST", "/tenants", object{"name": "Other", "colour": "red"})
		f.refused(422, "validation_failed", "POST", "/tenants", object{})
		f.refused(400, "invalid_request", "POST", "/tenants", "{")
		f.refused(404, "tenant_not_found", "GET", "/tenants/nobody", nil)

		// Product 139, acceptance 19.
		f.refused(403, "sub_accounts_disabled", "POST", "/tenants", object{"name": "Child", "parent_id": "acme"})
		f.do(200, "PATCH", "/tenants/acme", object{"subaccounts_enabled": true, "details": object{"timezone": "Europe/Berlin"}})
		child := f.do(201, "POST", "/tenants", object{"name": "Child", "parent_id": "acme"})
		if child["parent_id"] != acme["id"] {
			t.Errorf("%v", child)
		}
		if got := f.do(200, "PATCH", "/tenants/acme", object{"status": "suspended"}); got["status"] != "suspended" || got["details"].(object)["timezone"] != "Europe/Berlin" {
			t.Errorf("%v", got)
		}
		// The denial was recorded after the rollback, and the tenant's log tells of the suspension.
		if list := data(f.do(200, "GET", "/tenants/acme/audit-events?action=tenant.suspended", nil)); len(list) != 1 || list[0]["actor"].(object)["type"] != "management_key" {
			t.Errorf("%v", list)
		}
		var n int
		if err := d.QueryRow(t.Context(), `SELECT COUNT(*) FROM audit_events WHERE action = 'authorization.denied'`).Scan(&n); err != nil || n != 1 {
			t.Errorf("%d denials recorded, %v", n, err)
		}
		// Whatever a tenant holds, it can be deleted.
		full := f.world(hostA, "full")
		at := "/tenants/full"
		f.do(200, "POST", at+"/groups/"+full["g"]+"/members", object{"user_ids": []string{full["u"]}})
		f.do(200, "PUT", at+"/groups/"+full["g"]+"/roles", object{"role_ids": []string{full["r"]}})
		f.do(200, "PUT", at+"/users/"+full["u"]+"/roles", object{"role_ids": []string{full["r"]}})
		f.do(200, "PATCH", at+"/sso-connections/"+full["sso"], object{"default_role_ids": []string{full["r"]}, "scim_connection_ids": []string{full["scim"]}})
		f.do(200, "PUT", at+"/group-role-mappings", object{"mappings": []object{{"group": "x", "connection_id": full["sso"], "role_ids": []string{full["r"]}}}})
		f.do(200, "PUT", at+"/policies/mfa", object{"enforce": "on"})
		f.do(204, "DELETE", at, nil)
		f.refused(404, "role_not_found", "GET", "/roles/"+full["r"], nil)

		f.do(204, "DELETE", "/tenants/acme", nil)
		f.refused(404, "tenant_not_found", "GET", "/tenants/acme", nil)
		if got := f.do(200, "GET", "/tenants/"+text(child, "id"), nil); got["parent_id"] != nil {
			t.Errorf("the child was not re-parented: %v", got)
		}
	})
}

func TestPages(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		want := 5
		for range want {
			f.do(201, "POST", "/tenants", object{"name": "Same"})
		}
		seen := map[string]bool{}
		path := "/tenants?limit=2"
		for range want {
			page := f.do(200, "GET", path, nil)
			for _, x := range data(page) {
				seen[text(x, "id")] = true
			}
			next, ok := page["next_cursor"].(string)
			if !ok {
				break
			}
			path = "/tenants?limit=2&cursor=" + next
		}
		if len(seen) != want {
			t.Errorf("%d tenants on the pages, want %d", len(seen), want)
		}
		cursor := text(f.do(200, "GET", "/tenants?limit=2", nil), "next_cursor")
		f.refused(422, "invalid_cursor", "GET", "/tenants?cursor=x"+cursor, nil)
		f.refused(422, "invalid_cursor", "GET", "/applications?cursor="+cursor, nil) // of another list
		f.refused(422, "validation_failed", "GET", "/tenants?limit=201", nil)
		f.refused(422, "validation_failed", "GET", "/tenants?limit=0", nil)
		if got := f.do(200, "GET", "/tenants?limit=200", nil); got["next_cursor"] != nil {
			t.Errorf("%v", got["next_cursor"])
		}
	})
}

func TestDomains(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		vouched := f.do(201, "POST", "/tenants/acme/domains", object{"domain": "Acme.com", "verified": true})
		if vouched["verified"] != true || vouched["domain"] != "acme.com" {
			t.Errorf("%v", vouched)
		}
		claimed := f.do(201, "POST", "/tenants/acme/domains", object{"domain": "acme.org"})
		record := claimed["txt_record"].(object)
		if claimed["verified"] != false || record["name"] != "_gatehouse-challenge.acme.org" || text(record, "value") == "" {
			t.Errorf("%v", claimed)
		}
		verify := "/tenants/acme/domains/" + text(claimed, "id") + ":verify"
		if got := f.do(200, "POST", verify, nil); got["verified"] != false || got["detail"] == "" {
			t.Errorf("%v", got)
		}
		f.txt[text(record, "name")] = []string{text(record, "value")}
		if got := f.do(200, "POST", verify, nil); got["verified"] != true {
			t.Errorf("%v", got)
		}
		if list := data(f.do(200, "GET", "/tenants/acme/domains", nil)); len(list) != 2 || list[1]["verified_by"] != "dns" {
			t.Errorf("%v", list)
		}
		f.refused(422, "public_mail_domain", "POST", "/tenants/acme/domains", object{"domain": "gmail.com", "verified": true})
		f.refused(409, "domain_exists", "POST", "/tenants/acme/domains", object{"domain": "ACME.org"})
		f.do(204, "DELETE", "/tenants/acme/domains/"+text(claimed, "id"), nil)
		f.refused(404, "domain_not_found", "POST", verify, nil)
	})
}

func TestSCIMConnections(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		c := f.do(201, "POST", "/tenants/acme/scim-connections", object{"name": "Okta", "profile": "okta"})
		if text(c, "base_url") != "http://"+hostA+"/scim/"+text(c, "id")+"/v2" || !strings.HasPrefix(text(c, "token"), "gws_") || c["status"] != "pending" || c["delete_mode"] != "soft" {
			t.Errorf("%v", c)
		}
		one := "/tenants/acme/scim-connections/" + text(c, "id")
		if got := f.do(200, "GET", one, nil); got["token"] != nil {
			t.Errorf("the token is shown again: %v", got)
		}
		second := f.do(201, "POST", one+"/tokens", object{"name": "next", "expires_in_days": 30})
		if _, tokenID, err := f.h.Tenants.Authenticate(t.Context(), d, text(c, "id"), text(second, "token")); err != nil || tokenID != text(second, "id") {
			t.Errorf("%s, %v", tokenID, err)
		}
		f.do(201, "POST", one+"/tokens", nil) // every field is optional, and so is the body
		if list := data(f.do(200, "GET", one+"/tokens", nil)); len(list) != 3 {
			t.Errorf("%v", list)
		}
		f.do(204, "DELETE", one+"/tokens/"+text(second, "id"), nil)
		f.refused(404, "token_not_found", "DELETE", one+"/tokens/"+text(second, "id"), nil)
		f.do(200, "PATCH", one, object{"status": "paused"})
		f.do(200, "GET", one+"/requests?limit=10", nil)
		f.refused(422, "validation_failed", "POST", "/tenants/acme/scim-connections", object{"name": "x", "profile": "workday"})
		f.do(204, "DELETE", one, nil)
		f.refused(404, "connection_not_found", "GET", one+"/requests", nil)
	})
}

func TestSSOConnections(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		base := "/tenants/acme/sso-connections"
		idp := object{"entity_id": "https://idp.example", "sso_url": "https://idp.example/sso", "certificates": []string{certificate}}
		role := text(f.do(201, "POST", "/roles", object{"key": "dev", "name": "Dev", "level": 5, "permissions": []string{"fe.secure.read.users"}}), "id")
		c := f.do(201, "POST", base, object{
			"type": "saml", "name": "Okta", "idp": idp, "status": "active", "clock_skew_seconds": 60, "default_role_ids": []string{role},
			"attribute_mapping": object{"email": "mail"}, "allow_idp_initiated": false,
		})
		saml := c["saml"].(object)
		for field, want := range map[string]string{
			"entity_id": "/saml/" + text(c, "id"), "acs_url": "/saml/" + text(c, "id") + "/acs",
			"metadata_url": "/saml/" + text(c, "id") + "/metadata", "login_url": "/saml/" + text(c, "id") + "/login",
		} {
			if saml[field] != "http://"+hostA+want {
				t.Errorf("%s: %v", field, saml[field])
			}
		}
		if c["status"] != "active" || c["jit"] != true || len(c["default_role_ids"].([]any)) != 1 || saml["clock_skew_seconds"] != 60.0 {
			t.Errorf("%v", c)
		}
		fromXML := f.do(201, "POST", base, object{"type": "saml", "name": "Entra", "idp_metadata_xml": "<EntityDescriptor/>"})
		if fromXML["status"] != "draft" || fromXML["saml"].(object)["idp"].(object)["entity_id"] != "https://idp.example/metadata" || fromXML["saml"].(object)["clock_skew_seconds"] != 120.0 {
			t.Errorf("%v", fromXML)
		}
		oidc := f.do(201, "POST", base, object{"type": "oidc", "name": "Google", "issuer": "https://accounts.example", "client_id": "c", "client_secret": "hunter2hunter2", "status": "active"})
		o := oidc["oidc"].(object)
		if o["redirect_uri"] != "http://"+hostA+"/oidc/"+text(oidc, "id")+"/callback" || o["login_url"] != "http://"+hostA+"/oidc/"+text(oidc, "id")+"/login" || o["has_client_secret"] != true {
			t.Errorf("%v", oidc)
		}
		one := base + "/" + text(oidc, "id")
		if got, _ := json.Marshal(f.do(200, "GET", one, nil)); strings.Contains(string(got), "hunter2") {
			t.Errorf("a secret is shown: %s", got)
		}
		// PATCH leaves alone what it does not name.
		got := f.do(200, "PATCH", one, object{"groups_claim": "roles"})
		if o := got["oidc"].(object); o["issuer"] != "https://accounts.example" || o["groups_claim"] != "roles" || o["has_client_secret"] != true || got["status"] != "active" {
			t.Errorf("%v", got)
		}
		got = f.do(200, "PATCH", base+"/"+text(c, "id"), object{"idp": object{"sso_url": "https://idp.example/sso2"}, "jit": false})
		if s := got["saml"].(object); s["idp"].(object)["sso_url"] != "https://idp.example/sso2" || s["idp"].(object)["entity_id"] != "https://idp.example" || s["clock_skew_seconds"] != 60.0 || got["jit"] != false || len(got["default_role_ids"].([]any)) != 1 {
			t.Errorf("%v", got)
		}
		for code, body := range map[string]object{
			"idp_required":     {"type": "saml", "name": "x"},
			"issuer_required":  {"type": "oidc", "name": "x"},
			"invalid_field":    {"type": "oidc", "name": "x", "idp": idp},
			"invalid_metadata": {"type": "saml", "name": "x", "idp_metadata_xml": "nonsense"},
			"invalid_issuer":   {"type": "oidc", "name": "x", "issuer": "http://plain.example", "client_id": "c"},
		} {
			f.refused(422, code, "POST", base, body)
		}
		f.refused(422, "unknown_role", "POST", base, object{"type": "saml", "name": "x", "idp": idp, "default_role_ids": []string{"rol_x"}})
		if list := data(f.do(200, "GET", base, nil)); len(list) != 3 { // the refused ones were rolled back
			t.Errorf("%d connections", len(list))
		}
		f.do(200, "GET", base+"/"+text(c, "id")+"/logins", nil)
		f.do(200, "PATCH", one, object{"status": "disabled"})
		f.do(204, "DELETE", one, nil)

		put := f.do(200, "PUT", "/tenants/acme/group-role-mappings", object{"mappings": []object{{"group": "engineering", "role_ids": []string{role}}, {"group": "ops", "connection_id": text(c, "id"), "role_ids": []string{role}}}})
		if read := f.do(200, "GET", "/tenants/acme/group-role-mappings", nil); len(put["mappings"].([]any)) != 2 || len(read["mappings"].([]any)) != 2 {
			t.Errorf("%v %v", put, read)
		}
		f.refused(422, "unknown_connection", "PUT", "/tenants/acme/group-role-mappings", object{"mappings": []object{{"group": "x", "connection_id": text(oidc, "id"), "role_ids": []string{role}}}})
	})
}

func TestUsersAndGroups(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		role := text(f.do(201, "POST", "/roles", object{"key": "dev", "name": "Dev", "level": 5, "permissions": []string{"fe.secure.read.users"}}), "id")
		first := f.do(201, "POST", "/tenants/acme/users", object{"email": "first@acme.com"})
		ann := f.do(201, "POST", "/tenants/acme/users", object{"email": "Ann@acme.com", "first_name": "Ann", "role_ids": []string{role}})
		bob := f.do(201, "POST", "/tenants/acme/users", object{"email": "bob@acme.com"})
		roles := func(user object) (keys []string) {
			for _, r := range f.do(200, "GET", "/tenants/acme/users/"+text(user, "id")+"/effective-roles", nil)["roles"].([]any) {
				keys = append(keys, text(r.(object), "key"))
			}
			return keys
		}
		// Product 2.5, 106: the first person runs the account; later ones get the default.
		if got := roles(first); !slices.Equal(got, []string{"admin", "read-only"}) {
			t.Errorf("first: %v", got)
		}
		if got := roles(ann); !slices.Equal(got, []string{"dev"}) {
			t.Errorf("with roles: %v", got)
		}
		if got := roles(bob); !slices.Equal(got, []string{"read-only"}) {
			t.Errorf("without: %v", got)
		}
		if list := data(f.do(200, "GET", "/tenants/acme/users?email=ann@ACME.com", nil)); len(list) != 1 || list[0]["id"] != ann["id"] {
			t.Errorf("%v", list)
		}
		f.refused(409, "user_exists", "POST", "/tenants/acme/users", object{"email": "ann@acme.com"})
		f.refused(422, "invalid_email", "POST", "/tenants/acme/users", object{"email": "ann"})
		f.refused(422, "password_too_short", "POST", "/tenants/acme/users", object{"email": "x@acme.com", "password": "too short"})
		f.refused(422, "password_common", "POST", "/tenants/acme/users", object{"email": "x@acme.com", "password": "aaaaaaaaaaaaaaaaaa"})
		local := f.do(201, "POST", "/tenants/acme/users", object{"email": "local@acme.com", "password": "correct horse battery staple"})
		f.do(204, "DELETE", "/tenants/acme/users/"+text(local, "id"), nil)
		f.refused(422, "unknown_role", "POST", "/tenants/acme/users", object{"email": "x@acme.com", "role_ids": []string{"rol_x"}})

		one := "/tenants/acme/users/" + text(ann, "id")
		if got := f.do(200, "POST", one+":disable", nil); got["disabled"] != true || got["usable"] != false {
			t.Errorf("%v", got)
		}
		if got := f.do(200, "POST", one+":enable", nil); got["disabled"] != false || got["usable"] != true {
			t.Errorf("%v", got)
		}
		f.do(200, "POST", one+":logout", nil)
		f.do(200, "PATCH", one, object{"last_name": "Ames"})

		group := f.do(201, "POST", "/tenants/acme/groups", object{"name": "Engineering", "metadata": object{"cost": 7}})
		g := "/tenants/acme/groups/" + text(group, "id")
		f.do(200, "PUT", g+"/roles", object{"role_ids": []string{role}})
		if added := data(f.do(200, "POST", g+"/members", object{"user_ids": []string{text(bob, "id"), text(ann, "id")}})); len(added) != 2 {
			t.Errorf("%v", added)
		}
		// Product 57, 58, 136: the union, with sources; the direct view shows direct roles only.
		if got := roles(bob); !slices.Equal(got, []string{"read-only", "dev"}) {
			t.Errorf("through the group: %v", got)
		}
		f.do(200, "PUT", one+"/roles", object{"role_ids": []string{}})
		e := f.do(200, "GET", one+"/effective-roles", nil)
		if s := e["roles"].([]any)[0].(object)["sources"].([]any); len(s) != 1 || s[0] != "group:Engineering" || e["permissions"].([]any)[0] != "fe.secure.read.users" {
			t.Errorf("%v", e)
		}
		if got := f.do(200, "GET", one, nil); len(got["role_ids"].([]any)) != 0 || got["last_name"] != "Ames" {
			t.Errorf("%v", got)
		}
		f.refused(422, "unknown_member", "POST", g+"/members", object{"user_ids": []string{"usr_x"}}) // product 56
		if removed := data(f.do(200, "DELETE", g+"/members", object{"user_ids": []string{text(bob, "id")}})); len(removed) != 1 {
			t.Errorf("%v", removed)
		}
		if members := data(f.do(200, "GET", g+"/members", nil)); len(members) != 1 || members[0]["user_id"] != ann["id"] {
			t.Errorf("%v", members)
		}
		if got := f.do(200, "PATCH", g, object{"name": "Eng", "metadata": object{"cost": 8}}); got["name"] != "Eng" || got["metadata"].(object)["cost"] != 8.0 {
			t.Errorf("%v", got)
		}
		f.refused(409, "group_exists", "POST", "/tenants/acme/groups", object{"name": "ENG"})
		if list := data(f.do(200, "GET", "/tenants/acme/groups", nil)); len(list) != 1 {
			t.Errorf("%v", list)
		}
		f.do(204, "DELETE", g, nil)
		f.do(204, "DELETE", one, nil)
		f.refused(404, "user_not_found", "GET", one, nil)
	})
}

func TestPolicies(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		for kind, body := range map[string]object{
			"mfa":      {"enforce": "unless_sso"},
			"ip":       {"enabled": true, "mode": "allow", "rules": []object{{"cidr": "2002::1234:abcd:ffff:c0a8:101/64", "note": "office"}}},
			"domains":  {"enabled": true, "mode": "allow", "domains": []string{"ACME.com"}},
			"sessions": {"idle_seconds": 3600, "absolute_seconds": 604800, "max_concurrent": 3},
			"lockout":  {"max_attempts": 5},
			"password": {"min_length": 12, "history": 3, "breach_check": true},
		} {
			for _, base := range []string{"/environment/policies/", "/tenants/acme/policies/"} {
				f.do(200, "GET", base+kind, nil)
				put, get := f.do(200, "PUT", base+kind, body), f.do(200, "GET", base+kind, nil)
				a, _ := json.Marshal(put)
				if b, _ := json.Marshal(get); string(a) != string(b) {
					t.Errorf("%s: put %s, got %s", base+kind, a, b)
				}
			}
		}
		if got := f.do(200, "GET", "/tenants/acme/policies/ip", nil)["rules"].([]any)[0].(object)["cidr"]; got != "2002:0:0:1234::/64" { // trap C1
			t.Errorf("%v", got)
		}
		f.refused(422, "mfa_weaker_than_environment", "PUT", "/tenants/acme/policies/mfa", object{"enforce": "off"})
		f.refused(422, "invalid_cidr", "PUT", "/tenants/acme/policies/ip", object{"enabled": true, "mode": "allow", "rules": []object{{"cidr": "fe80::1%eth0"}}})
		f.refused(422, "out_of_range", "PUT", "/tenants/acme/policies/sessions", object{"idle_seconds": 59})
		f.refused(422, "validation_failed", "PUT", "/tenants/acme/policies/lockout", object{"max_attempts": 0})
		f.refused(404, "not_found", "PUT", "/tenants/acme/policies/country", object{})
	})
}

func TestRolesAndPermissions(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		p := f.do(201, "POST", "/permissions", object{"key": "invoices.read", "name": "Read invoices", "category": "Invoices"})
		f.refused(400, "reserved_prefix", "POST", "/permissions", object{"key": "fe.secure.read.x", "name": "x", "category": "x"}) // product 132
		r := f.do(201, "POST", "/roles", object{"key": "billing", "name": "Billing", "level": 7, "permissions": []string{"invoices.read"}, "tenant_id": "acme"})
		if r["tenant_id"] == nil || r["level"] != 7.0 {
			t.Errorf("%v", r)
		}
		f.refused(422, "level_required", "POST", "/roles", object{"key": "x", "name": "x"})
		f.refused(422, "unknown_permission", "POST", "/roles", object{"key": "x", "name": "x", "level": 1, "permissions": []string{"nope"}})
		f.refused(409, "key_taken", "POST", "/roles", object{"key": "admin", "name": "x", "level": 1})
		if list := data(f.do(200, "GET", "/roles", nil)); len(list) != 2 {
			t.Errorf("%v", list)
		}
		for _, path := range []string{"/roles?tenant_id=acme", "/tenants/acme/roles"} {
			if list := data(f.do(200, "GET", path, nil)); len(list) != 3 {
				t.Errorf("%s: %v", path, list)
			}
		}
		one := "/roles/" + text(r, "id")
		if got := f.do(200, "PATCH", one, object{"name": "Accounts", "permissions": []string{}}); got["name"] != "Accounts" || len(got["permissions"].([]any)) != 0 {
			t.Errorf("%v", got)
		}
		f.do(200, "GET", one, nil)
		f.do(204, "DELETE", one, nil)
		for _, preset := range data(f.do(200, "GET", "/roles", nil)) {
			if preset["key"] == "read-only" { // product 119
				f.refused(409, "last_default_role", "DELETE", "/roles/"+text(preset, "id"), nil)
			}
		}
		if got := f.do(200, "PUT", "/permissions:classify", object{"permission_ids": []any{p["id"]}, "classification": "never"}); got["custom_roles"] != 0.0 {
			t.Errorf("%v", got)
		}
		for _, b := range data(f.do(200, "GET", "/permissions", nil)) {
			if b["key"] == "fe.secure.read.users" {
				f.refused(403, "builtin_permission", "DELETE", "/permissions/"+text(b, "id"), nil)
				f.refused(403, "builtin_permission", "PATCH", "/permissions/"+text(b, "id"), object{"name": "x"})
			}
		}
		f.do(200, "PATCH", "/permissions/"+text(p, "id"), object{"category": "Money"})
		f.do(204, "DELETE", "/permissions/"+text(p, "id"), nil)
	})
}

func TestApplications(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		app := f.do(201, "POST", "/applications", object{"name": "App", "type": "web", "redirect_uris": []string{"https://app.example/cb"}})
		one := "/applications/" + text(app, "client_id")
		if !strings.HasPrefix(text(app, "client_secret"), "gwc_") || app["require_pkce"] != true || app["is_default"] != true {
			t.Errorf("%v", app)
		}
		if got := f.do(200, "GET", one, nil); got["client_secret"] != nil {
			t.Errorf("the secret is shown again: %v", got)
		}
		spa := f.do(201, "POST", "/applications", object{"name": "SPA", "type": "spa", "redirect_uris": []string{"http://localhost:3000/cb"}, "id_token_alg": "EdDSA"})
		if spa["client_secret"] != nil || spa["token_endpoint_auth_method"] != "none" {
			t.Errorf("%v", spa)
		}
		if got := f.do(200, "POST", one+":rotate-secret", nil); got["client_secret"] == app["client_secret"] {
			t.Error("the secret is the old one")
		}
		f.refused(409, "public_client", "POST", "/applications/"+text(spa, "client_id")+":rotate-secret", nil)
		f.refused(422, "invalid_redirect_uri", "POST", "/applications", object{"name": "x", "type": "web", "redirect_uris": []string{"https://app.example/cb#x"}})
		key := object{"kty": "EC", "crv": "P-256", "kid": "k1", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}
		private := maps.Clone(key)
		private["d"] = "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"
		signed := func(more object) object {
			more["name"], more["type"], more["redirect_uris"] = "x", "web", []string{"https://app.example/cb"}
			return more
		}
		f.refused(422, "jwks_required", "POST", "/applications", signed(object{"token_endpoint_auth_method": "private_key_jwt"}))
		f.refused(422, "invalid_jwks", "POST", "/applications", signed(object{"token_endpoint_auth_method": "private_key_jwt", "jwks": object{"keys": []object{private}}}))
		f.refused(422, "invalid_jwks", "POST", "/applications", signed(object{"jwks": object{"keys": []object{key}}, "jwks_uri": "https://app.example/jwks"}))
		bank := f.do(201, "POST", "/applications", signed(object{
			"token_endpoint_auth_method": "private_key_jwt", "jwks": object{"keys": []object{key}}, "require_par": true, "require_dpop": true, "token_exchange": true,
			"tokens": object{"access_token_seconds": 120, "refresh_absolute_seconds": 86400, "omit_permissions": true, "require_dpop_nonce": true},
		}))
		if bank["client_secret"] != nil || bank["require_par"] != true || bank["token_exchange"] != true || bank["tokens"].(object)["require_dpop_nonce"] != true || bank["tokens"].(object)["access_token_seconds"] != 120.0 {
			t.Errorf("%v", bank)
		}
		f.refused(422, "public_client", "POST", "/applications", signed(object{"token_endpoint_auth_method": "none", "token_exchange": true}))
		f.refused(409, "public_client", "POST", "/applications/"+text(bank, "client_id")+":rotate-secret", nil)
		bank = f.do(200, "PATCH", "/applications/"+text(bank, "client_id"), object{"jwks_uri": "https://app.example/jwks", "tokens": object{}, "token_exchange": false})
		if bank["jwks_uri"] != "https://app.example/jwks" || bank["token_exchange"] != false || bank["tokens"].(object)["access_token_seconds"] != nil {
			t.Errorf("%v", bank)
		}
		f.do(204, "DELETE", "/applications/"+text(bank, "client_id"), nil)
		f.do(200, "PATCH", one, object{"redirect_uris": []string{"https://app.example/cb2"}})
		if list := data(f.do(200, "GET", "/applications", nil)); len(list) != 2 || list[0]["redirect_uris"].([]any)[0] != "https://app.example/cb2" {
			t.Errorf("%v", list)
		}
		f.do(204, "DELETE", one, nil)
		f.refused(404, "application_not_found", "GET", one, nil)
	})
}

func TestErrors(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		res := f.sendAs(hostA, "", "GET", "/api/v1/tenants", nil)
		if res.StatusCode != 401 || res.Header.Get("WWW-Authenticate") == "" || res.Header.Get("Content-Type") != problemType {
			t.Errorf("%d %v", res.StatusCode, res.Header)
		}
		// What was submitted is not repeated, and nothing of it is read before the credential.
		for key, want := range map[string]int{f.keys[hostA]: 422, "": 401} {
			res := f.sendAs(hostA, key, "POST", "/api/v1/tenants", object{"name": 7, "key": "s3cr3t-" + strings.Repeat("x", 100)})
			body, _ := io.ReadAll(res.Body)
			if res.StatusCode != want || strings.Contains(string(body), "s3cr3t") {
				t.Errorf("%d %s", res.StatusCode, body)
			}
		}
		f.refused(404, "not_found", "GET", "/nothing", nil)
		f.refused(405, "method_not_allowed", "DELETE", "/tenants", nil)
		if allow := f.send("DELETE", "/api/v1/tenants", nil).Header.Values("Allow"); !slices.Equal(allow, []string{"GET", "POST"}) {
			t.Errorf("Allow: %v", allow)
		}
		f.refused(413, "body_too_large", "POST", "/tenants", `{"name":"`+strings.Repeat("x", maxBody)+`"}`)
		r := f.sendAs("evil.example", f.keys[hostA], "GET", "/api/v1/tenants", nil)
		if r.StatusCode != 200 { // a plain http loopback base URL answers every host
			t.Errorf("%d", r.StatusCode)
		}
		if res := f.send("GET", "/api/nothing", nil); res.StatusCode != 404 || res.Header.Get("Content-Type") != problemType {
			t.Errorf("%d %s", res.StatusCode, res.Header.Get("Content-Type"))
		}
	})
}

// decidesItself are the operations that ask for no permission: whom they serve
// depends on whom the request is about.
var decidesItself = map[string]bool{"checkEntitlement": true, "checkEntitlements": true, "listSections": true}

func TestOpenAPI(t *testing.T) {
	f := newFixture(t, dbtest.Open(t, db.SQLite))
	res := f.sendAs(hostA, "", "GET", "/api/v1/openapi.json", nil)
	var spec struct {
		OpenAPI string                       `json:"openapi"`
		Paths   map[string]map[string]object `json:"paths"`
	}
	if err := json.NewDecoder(res.Body).Decode(&spec); err != nil || spec.OpenAPI != "3.1.0" {
		t.Fatalf("%q, %v", spec.OpenAPI, err)
	}
	if strings.Contains(string(f.h.spec), "$schema") {
		t.Error("the document has $schema")
	}
	ids := map[string]bool{}
	for _, r := range f.h.routes {
		op, ok := spec.Paths[r.path][strings.ToLower(r.method)]
		if !ok || op["operationId"] != r.id || ids[r.id] || r.summary == "" || r.tag() == "" || (r.permission == "") != decidesItself[r.id] {
			t.Errorf("%s %s: %v", r.method, r.path, op)
		}
		ids[r.id] = true
	}
	docs := f.sendAs(hostA, "", "GET", "/api/docs", nil)
	page, _ := io.ReadAll(docs.Body)
	if docs.StatusCode != http.StatusOK || !strings.Contains(string(page), "/tenants/{t}/users/{u}:disable") || strings.Contains(string(page), "<script") || !strings.Contains(docs.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%d %s", docs.StatusCode, page)
	}
}

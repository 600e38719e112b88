package api

import (
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// With a tenant go the users whom no other tenant knows (product 137).
func TestDeleteTenantDropsItsUsers(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.world(hostA, "gone")
		f.world(hostA, "stays")
		f.do(204, "DELETE", "/tenants/gone", nil)
		var users, orphans int64
		err := d.QueryRow(t.Context(), `SELECT COUNT(*), SUM(CASE WHEN EXISTS (SELECT 1 FROM memberships m WHERE m.user_id = u.id) THEN 0 ELSE 1 END) FROM users u`).Scan(&users, &orphans)
		if err != nil || users == 0 || orphans != 0 {
			t.Errorf("%d of %d users belong to nobody, %v", orphans, users, err)
		}
	})
}

// What PostgreSQL cannot store is refused or not found, on both engines.
func TestUnstorableText(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		w := f.world(hostA, "t")
		at := "/api/v1/tenants/t"
		for _, c := range []struct {
			method, path string
			body         any
		}{
			{"GET", "/api/v1/tenants/%00", nil},
			{"GET", "/api/v1/tenants?q=%FF", nil},
			{"GET", "/api/v1/tenants?q=%00&parent_id=%FF", nil},
			{"GET", at + "/sub-accounts/%FF", nil},
			{"GET", at + "/applications/%00", nil},
			{"PUT", at + "/users/" + w["u"] + "/applications/%FF", object{}},
			{"GET", "/api/v1/environments/%00", nil},
			{"POST", "/api/v1/environments", object{"name": "x", "base_url": "https://\x00.example"}},
			{"PATCH", "/api/v1/environment", object{"name": "\x00", "modules": object{"\x00": true}}},
			{"PATCH", "/api/v1/environment", object{"audit_columns": []string{"metadata.\x00"}}},
			{"POST", at + ":move", object{"parent_id": "\x00"}},
			{"PUT", at + "/account", object{"name": "x", "details": object{"address": "\x00"}}},
			{"PATCH", at, object{"details": object{"timezone": "\x00", "currency": "\x00"}}},
			{"GET", at + "/users/%00", nil},
			{"GET", at + "/users/%FF", nil},
			{"GET", at + "/users?email=%00", nil},
			{"GET", at + "/groups?cursor=%00", nil},
			{"POST", at + "/groups", object{"name": "a\x00b"}},
			{"POST", at + "/users", object{"email": "a\x00b@x.example"}},
			{"POST", at + "/users", object{"email": "a@x.example", "first_name": "\x00"}},
			{"POST", at + "/groups/" + w["g"] + "/members", object{"user_ids": []string{"\x00"}}},
			{"PUT", at + "/users/" + w["u"] + "/roles", object{"role_ids": []string{"\x00"}}},
			{"POST", "/api/v1/roles", object{"key": "k\x00", "name": "n\x00"}},
			{"POST", "/api/v1/tenants", object{"key": "k\x00", "name": "n\x00"}},
			{"POST", "/api/v1/tenants", object{"key": "named", "name": "n\x00"}},
			{"PATCH", at + "/sso-connections/" + w["sso"], object{"scim_connection_ids": []string{"\x00"}}},
			{"PUT", at + "/group-role-mappings", object{"mappings": []object{{"group": "x\x00", "role_ids": []string{w["r"]}}}}},
		} {
			if status := f.send(c.method, c.path, c.body).StatusCode; status >= 500 {
				t.Errorf("%s %s %v: %d", c.method, c.path, c.body, status)
			}
		}
	})
}

package api

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
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
		f.removal()
		var users, orphans int64
		err := d.QueryRow(t.Context(), `SELECT COUNT(*), SUM(CASE WHEN EXISTS (SELECT 1 FROM memberships m WHERE m.user_id = u.id) THEN 0 ELSE 1 END) FROM users u`).Scan(&users, &orphans)
		if err != nil || users == 0 || orphans != 0 {
			t.Errorf("%d of %d users belong to nobody, %v", orphans, users, err)
		}
	})
}

// removal is a run of the job that drops deleted tenants, as the gateway wires it.
func (f *fixture) removal() {
	f.Helper()
	h := f.h
	err := h.Tenants.Remove(f.Context(), f.d, h.Sessions.DropTenant, h.Directory.DropTenant, h.Signin.DropTenant, h.Webhooks.DropTenant, h.SCIMLog.DropTenant,
		func(ctx context.Context, q db.Queryer, environment, tenant string, _ int) (int64, error) {
			return 0, q.Batch(ctx, append(h.Policy.DeleteTenantStmts(environment, tenant), h.RBAC.DeleteTenantStmts(environment, tenant)...))
		})
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) count(statement string, args ...any) (n int64) {
	f.Helper()
	if err := f.d.QueryRow(f.Context(), statement, args...).Scan(&n); err != nil {
		f.Fatal(err)
	}
	return n
}

// A deleted tenant is gone for everybody at once, before a row of it is: for the
// vendor on every route, for its own people and credentials, for its directory. Its
// key can be given anew, and what is removed afterwards is the old one's alone.
func TestDeletedTenantOnEveryRoute(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		w := f.world(hostA, "gone")
		holders, _ := f.holders("gone")
		shared := text(f.do(201, "POST", "/tenants/gone/users", object{"email": "both@gone.example"}), "id")
		f.do(201, "POST", "/tenants", object{"name": "Other", "key": "other"})
		f.addMembership(f.tenantID("other"), shared)
		ses := f.signedIn(w["t"], w["u"])
		scimToken := text(f.do(201, "POST", "/tenants/gone/scim-connections/"+w["scim"]+"/tokens", object{}), "token")
		before := f.count(`SELECT COUNT(*) FROM audit_events WHERE tenant_id = $1`, w["t"])
		f.do(204, "DELETE", "/tenants/gone", nil)

		if n := f.count(`SELECT COUNT(*) FROM memberships WHERE tenant_id = $1`, w["t"]); n == 0 {
			t.Fatal("the rows went in the request")
		}
		if n := f.count(`SELECT COUNT(*) FROM sessions WHERE id = $1 AND ended_at IS NULL`, ses); n != 0 {
			t.Error("a session of its people lives on")
		}
		for _, r := range f.h.routes {
			if !r.ofTenant() {
				if r.method == "GET" && !strings.Contains(r.path, "audit") { // what happened stays told
					if raw, err := io.ReadAll(f.send("GET", fill(r, w), nil).Body); err != nil || strings.Contains(string(raw), `"tenant_id":"`+w["t"]) {
						t.Errorf("%s tells of it: %s %v", r.id, raw, err)
					}
				}
				continue
			}
			var body any
			if b, ok := bodies[r.id]; ok {
				body = b
			}
			if res := f.send(r.method, fill(r, w), body); res.StatusCode != 404 {
				t.Errorf("%s by the vendor: %d", r.id, res.StatusCode)
			}
			for _, c := range holders {
				if res := c.send(f, hostA, r.method, fill(r, w), body); res.StatusCode != 401 && res.StatusCode != 404 {
					t.Errorf("%s by %s: %d", r.id, c.kind, res.StatusCode)
				}
			}
		}
		for _, c := range holders[:3] { // the others are the provider's to refuse
			if res := c.send(f, hostA, "GET", "/api/v1/permissions", nil); res.StatusCode != 401 {
				t.Errorf("%s: %d", c.kind, res.StatusCode)
			}
		}
		for _, call := range [][2]string{{"GET", "/Users"}, {"POST", "/Users"}, {"GET", "/ServiceProviderConfig"}} {
			if res := f.provision(hostA, "/scim/"+w["scim"]+"/v2", scimToken, call[0], call[1], `{"userName":"late"}`); res.StatusCode != 401 && res.StatusCode != 404 {
				t.Errorf("its directory, %v: %d", call, res.StatusCode)
			}
		}
		for _, x := range data(f.do(200, "GET", "/tenants?q=gone", nil)) {
			t.Errorf("listed: %v", x)
		}
		if raw, _ := json.Marshal(f.do(200, "GET", "/users/"+shared, nil)); strings.Contains(string(raw), w["t"]) {
			t.Errorf("a person's tenants: %s", raw)
		}

		again := text(f.do(201, "POST", "/tenants", object{"name": "Gone", "key": "gone"}), "id")
		f.do(201, "POST", "/tenants/gone/domains", object{"domain": "acme.example", "verified": true})
		kept := text(f.do(201, "POST", "/tenants/gone/users", object{"email": "new@gone.example"}), "id")
		f.removal()
		f.do(200, "GET", "/tenants/gone/users/"+kept, nil)
		f.do(200, "GET", "/tenants/other/users/"+shared, nil)
		if text(f.do(200, "GET", "/tenants/gone", nil), "id") != again {
			t.Error("the key leads elsewhere")
		}
		for _, table := range tablesOfTenants(t) {
			switch table {
			case "audit_events", "audit_seals", "audit_checkpoints", "audit_event_keys": // for their time
			case "outbox", "jobs", "session_clients", "audit_interest": // worked off, and then gone
			case "counts", "refresh_families", "auth_codes", "flows", "sso_results", "break_glass_links": // nothing finds them; they expire, or are sums
			default:
				if n := f.count(`SELECT COUNT(*) FROM `+table+` WHERE tenant_id = $1`, w["t"]); n != 0 {
					t.Errorf("%d rows left in %s", n, table)
				}
			}
		}
		if n := f.count(`SELECT COUNT(*) FROM roles WHERE owner_tenant_id = $1`, w["t"]); n != 0 {
			t.Errorf("%d roles left", n)
		}
		if n := f.count(`SELECT COUNT(*) FROM audit_events WHERE tenant_id = $1`, w["t"]); n < before {
			t.Errorf("%d of %d events are left", n, before)
		}
	})
}

// tablesOfTenants reads the schema: the tables that say to which tenant a row belongs.
func tablesOfTenants(t *testing.T) (list []string) {
	t.Helper()
	text, err := os.ReadFile("../migrations/schema.sqlite.sql")
	if err != nil {
		t.Fatal(err)
	}
	for part := range strings.SplitSeq(string(text), "\nCREATE TABLE ") {
		name, body, _ := strings.Cut(part, " (\n")
		body, _, _ = strings.Cut(body, "\n);")
		if strings.Contains(body, "  tenant_id ") {
			list = append(list, name)
		}
	}
	if len(list) < 40 {
		t.Fatalf("only %v", list)
	}
	return list
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

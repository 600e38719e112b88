package api

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/scim"
)

// directory is a directory that provisions into the API's own store.
func (f *fixture) directory() func(status int, method, path, token string, body object) object {
	h := f.h
	provider := scim.New(scim.Deps{
		DB: h.DB, Clock: h.Clock, Environments: h.Environments, Tenants: h.Tenants, Directory: h.Directory, Roles: h.RBAC, Vault: h.Vault, Log: h.SCIMLog,
	})
	r := chi.NewRouter()
	r.Use(httpx.Identify(nil))
	provider.Mount(r)
	return func(status int, method, path, token string, body object) object {
		f.Helper()
		var raw []byte
		if body != nil {
			raw, _ = json.Marshal(body)
		}
		req := httptest.NewRequestWithContext(f.Context(), method, path, bytes.NewReader(raw))
		req.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		r.ServeHTTP(w, req)
		if w.Code != status {
			f.Fatalf("%s %s: %d %s, want %d", method, path, w.Code, w.Body, status)
		}
		var out object
		_ = json.Unmarshal(w.Body.Bytes(), &out) // not every answer has a body
		return out
	}
}

// A connection goes with the people and groups that it provisioned, or without
// them: then the vendor manages them on (product 2.6).
// Product 66: the tenant's own admin sets provisioning up, and whoever may only look
// does not.
func TestTenantSetsUpProvisioning(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		push := f.directory()
		f.do(201, "POST", "/tenants", object{"name": "acme", "key": "acme"})
		key := func(role string) string {
			return text(f.do(201, "POST", "/tenants/acme/api-tokens", object{"kind": "access_token", "description": role, "role_ids": []string{f.roleByKey(role)}}), "secret")
		}
		admin, reader := key("admin"), key("read-only")
		c := f.as(admin, 201, "POST", "/tenants/acme/scim-connections", object{"name": "Okta", "profile": "okta"})
		if c["status"] != "pending" {
			t.Errorf("before the first request: %v", c["status"])
		}
		second := f.as(admin, 201, "POST", "/tenants/acme/scim-connections/"+text(c, "id")+"/tokens", object{})
		for _, token := range []string{text(c, "token"), text(second, "token")} {
			push(200, "GET", "/scim/"+text(c, "id")+"/v2/Users", token, nil)
		}
		if got := f.as(reader, 200, "GET", "/tenants/acme/scim-connections/"+text(c, "id"), nil); got["status"] != "linked" || got["token"] != nil {
			t.Errorf("%v", got)
		}
		f.as(reader, 403, "POST", "/tenants/acme/scim-connections", object{"name": "Okta", "profile": "okta"})
		f.as(reader, 403, "DELETE", "/tenants/acme/scim-connections/"+text(c, "id"), nil)
	})
}

func TestDeleteSCIMConnection(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		push := f.directory()
		for _, keep := range []bool{true, false} {
			key := map[bool]string{true: "kept", false: "gone"}[keep]
			f.do(201, "POST", "/tenants", object{"name": key, "key": key})
			f.do(201, "POST", "/tenants/"+key+"/users", object{"email": "local@" + key + ".example"})
			c := f.do(201, "POST", "/tenants/"+key+"/scim-connections", object{"name": "Okta", "profile": "okta"})
			base, token := "/scim/"+text(c, "id")+"/v2", text(c, "token")
			u := push(201, "POST", base+"/Users", token, object{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:User"}, "userName": "ann@" + key + ".example"})
			push(201, "POST", base+"/Groups", token, object{"displayName": "Engineers", "members": []object{{"value": text(u, "id")}}})
			count := func(what string) int { return len(data(f.do(200, "GET", "/tenants/"+key+"/"+what, nil))) }
			if count("users") != 2 || count("groups") != 1 {
				t.Fatalf("%d users and %d groups before", count("users"), count("groups"))
			}
			query := ""
			if keep {
				query = "?keep_people=true"
			}
			f.do(204, "DELETE", "/tenants/"+key+"/scim-connections/"+text(c, "id")+query, nil)
			push(401, "GET", base+"/Users", token, nil)
			if !keep {
				if count("users") != 1 || count("groups") != 0 {
					t.Errorf("%d users and %d groups are left", count("users"), count("groups"))
				}
				continue
			}
			if count("users") != 2 || count("groups") != 1 {
				t.Errorf("%d users and %d groups are kept", count("users"), count("groups"))
			}
			group := data(f.do(200, "GET", "/tenants/"+key+"/groups", nil))[0]
			f.do(200, "PATCH", "/tenants/"+key+"/groups/"+text(group, "id"), object{"name": "Engineering"}) // nobody else manages it now
			users := data(f.do(200, "GET", "/tenants/"+key+"/users?email=ann@"+key+".example", nil))
			if len(users) != 1 {
				t.Fatalf("%v", users)
			}
			f.do(200, "PATCH", "/tenants/"+key+"/users/"+text(users[0], "id"), object{"first_name": "Ann"})
		}
	})
}

func TestPauseSCIMConnection(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		push := f.directory()
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		c := f.do(201, "POST", "/tenants/acme/scim-connections", object{"name": "Okta", "profile": "okta"})
		one, base, token := "/tenants/acme/scim-connections/"+text(c, "id"), "/scim/"+text(c, "id")+"/v2", text(c, "token")
		push(200, "GET", base+"/Users", token, nil)
		f.do(200, "PATCH", one, object{"status": "paused"})
		refusal := push(403, "POST", base+"/Users", token, object{"userName": "ann@acme.example"})
		if refusal["detail"] != "The connection is paused." || refusal["status"] != "403" {
			t.Errorf("%v", refusal)
		}
		logged := data(f.do(200, "GET", one+"/requests", nil))
		if len(logged) != 2 || logged[0]["status"] != 403.0 || !strings.Contains(text(logged[0], "detail"), "paused") {
			t.Errorf("%v", logged)
		}
		f.do(200, "PATCH", one, object{"status": "linked"})
		push(200, "GET", base+"/Users", token, nil)
	})
}

func TestSCIMClients(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		c := f.do(201, "POST", "/tenants/acme/scim-connections", object{"name": "Ping", "profile": "ping"})
		base := "/tenants/acme/scim-connections/" + text(c, "id") + "/clients"
		made := f.do(201, "POST", base, object{"name": "first"})
		if !strings.HasPrefix(text(made, "client_id"), "cli_") || !strings.HasPrefix(text(made, "client_secret"), "gwd_") ||
			text(made, "token_url") != "http://"+hostA+"/scim/"+text(c, "id")+"/oauth2/token" {
			t.Errorf("%v", made)
		}
		f.do(201, "POST", base, nil)
		list := data(f.do(200, "GET", base, nil))
		if len(list) != 2 || list[0]["client_secret"] != nil || text(list[0], "name") != "first" {
			t.Errorf("%v", list)
		}
		if _, err := f.h.Tenants.GrantSCIMToken(t.Context(), d, text(c, "id"), text(made, "client_id"), text(made, "client_secret")); err != nil {
			t.Error(err)
		}
		f.do(204, "DELETE", base+"/"+text(made, "client_id"), nil)
		f.refused(404, "client_not_found", "DELETE", base+"/"+text(made, "client_id"), nil)
		if list := data(f.do(200, "GET", base, nil)); len(list) != 1 {
			t.Errorf("%v", list)
		}
	})
}

func TestSCIMSchemas(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		const base, urn = "/tenants/acme/scim-schemas", "urn:example:scim:2.0:Badge"
		body := object{"name": "Badge", "attributes": []object{
			{"name": "number", "type": "integer", "required": true},
			{"name": "doors", "type": "complex", "multi_valued": true, "sub_attributes": []object{{"name": "value", "case_exact": true, "canonical_values": []string{"North"}}}},
		}}
		made := f.do(200, "PUT", base+"/"+urn, body)
		if made["urn"] != urn || made["resource_type"] != "User" || made["version"] != 1.0 {
			t.Errorf("%v", made)
		}
		body["resource_type"] = "Group"
		if again := f.do(200, "PUT", base+"/"+urn, body); again["version"] != 2.0 || again["resource_type"] != "Group" || again["created_at"] != made["created_at"] {
			t.Errorf("%v", again)
		}
		list := data(f.do(200, "GET", base, nil))
		if len(list) != 1 || list[0]["urn"] != urn {
			t.Errorf("%v", list)
		}
		shown, _ := json.Marshal(f.do(200, "GET", base+"/"+strings.ToUpper(urn), nil)["attributes"])
		if want := `[{"name":"number","required":true,"type":"integer"},{"multi_valued":true,"name":"doors","sub_attributes":[{"canonical_values":["North"],"case_exact":true,"name":"value"}],"type":"complex"}]`; string(shown) != want {
			t.Errorf("%s", shown)
		}
		f.refused(422, "invalid_schema", "PUT", base+"/urn:ietf:params:scim:schemas:core:2.0:User", body)
		f.refused(422, "validation_failed", "PUT", base+"/"+urn, object{"name": "x", "attributes": []object{{"name": "x", "type": "uuid"}}})
		f.refused(422, "invalid_schema", "PUT", base+"/"+urn, object{"name": "x", "attributes": []object{{"name": "a b"}}})
		f.refused(413, "body_too_large", "PUT", base+"/"+urn, object{"name": strings.Repeat("x", 70<<10)})
		f.do(204, "DELETE", base+"/"+urn, nil)
		f.refused(404, "schema_not_found", "DELETE", base+"/"+urn, nil)
	})
}

package api

import (
	"maps"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

func init() {
	maps.Copy(bodies, map[string]object{"createJWTTemplate": {"name": "walked"}, "updateJWTTemplate": {"name": "x"}})
	worldSteps = append(worldSteps, func(post func(string, object) object, _ string, w map[string]string) {
		w["jt"] = text(post("/jwt-templates", object{"name": "walked"}), "id")
	})
}

// Templates of access tokens over the API, under ETags (product 2.2, 7.3).
func TestJWTTemplates(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		made := f.do(201, "POST", "/jwt-templates", object{
			"name": "Acme", "priority": 5, "tenants": []string{"acme"}, "claims": object{"plan": "{{member.metadata.plan}}", "n": 1},
			"if":                   object{"attribute": "user.email", "op": "ends_with", "value": "@acme.com"},
			"access_token_seconds": 120, "algorithm": "EdDSA",
		})
		one := "/jwt-templates/" + text(made, "id")
		if made["access_token_seconds"] != 120.0 || made["claims"].(object)["n"] != 1.0 || made["warning"] != nil || made["if"].(object)["op"] != "ends_with" {
			t.Errorf("%v", made)
		}
		f.do(201, "POST", "/jwt-templates", object{"name": "First", "priority": 1})
		if list := data(f.do(200, "GET", "/jwt-templates", nil)); len(list) != 2 || list[0]["name"] != "First" || list[0]["algorithm"] != nil {
			t.Errorf("%v", list)
		}
		for code, body := range map[string]object{
			"reserved_claim":      {"name": "x", "claims": object{"tenantId": "x"}},
			"unknown_placeholder": {"name": "x", "claims": object{"c": "{{user.password}}"}},
			"invalid_rule":        {"name": "x", "if": object{"attribute": "user.password", "op": "in_list", "value": "x"}},
			"validation_failed":   {"name": "x", "algorithm": "HS256"},
			"invalid_name":        {"name": " "},
		} {
			f.refused(422, code, "POST", "/jwt-templates", body)
			if code != "invalid_name" {
				delete(body, "name")
			}
			f.refused(422, code, "PATCH", one, body)
		}
		changed := f.do(200, "PATCH", one, object{"if": nil, "access_token_seconds": 0, "algorithm": "", "claims": object{"c": strings.Repeat("x", 3000)}})
		if changed["if"] != nil || changed["access_token_seconds"] != nil || changed["algorithm"] != nil || changed["warning"] == nil || changed["name"] != "Acme" {
			t.Errorf("%v", changed)
		}
		// Environments do not see each other's.
		for _, method := range []string{"GET", "PATCH", "DELETE"} {
			if res := f.sendAs(hostB, f.keys[hostB], method, "/api/v1"+one, bodies["updateJWTTemplate"]); res.StatusCode != 404 {
				t.Errorf("%s from another environment: %d", method, res.StatusCode)
			}
		}
		f.do(204, "DELETE", one, nil)
		f.refused(404, "jwt_template_not_found", "GET", one, nil)
		f.refused(404, "jwt_template_not_found", "DELETE", one, nil)
		for range 49 {
			f.do(201, "POST", "/jwt-templates", object{"name": "x"})
		}
		f.refused(409, "too_many_jwt_templates", "POST", "/jwt-templates", object{"name": "x"})
	})
}

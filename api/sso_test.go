package api

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/permission"
	"github.com/gatehouse-id/gatehouse/signin"
)

const guid = "11111111-2222-3333-4444-555555555555"

// Every field of a connection comes back as it was given, from POST and from PATCH.
func TestSSOFieldsComeBack(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		base := "/tenants/acme/sso-connections"
		idp := object{"entity_id": "https://idp.example", "sso_url": "https://idp.example/sso", "sso_binding": "post", "certificates": []string{certificate}}
		minimal := f.do(201, "POST", base, object{"type": "saml", "name": "x", "idp": idp})
		all := object{
			"allow_idp_initiated": true, "sign_requests": true, "want_encrypted": true, "refuse_cbc": true, "allow_inclusive_c14n": true,
			"allow_sha1_until": "2026-12-31", "force_authn": true, "authn_contexts": []string{"urn:a", "urn:b"}, "name_id_format": "urn:x", "max_response_bytes": 1 << 20,
			"slo_url": "https://idp.example/slo", "slo_response_url": "https://idp.example/slo2", "slo_binding": "post", "clock_skew_seconds": 0,
			"graph_tenant_id": guid, "graph_client_id": guid, "graph_client_secret": "hunter2hunter2", "revocation_issuer": "https://idp.example",
		}
		created := object{"type": "saml", "name": "y", "idp": idp}
		for k, v := range all {
			created[k] = v
		}
		for name, c := range map[string]object{
			"POST":  f.do(201, "POST", base, created),
			"PATCH": f.do(200, "PATCH", base+"/"+text(minimal, "id"), all),
		} {
			got := f.do(200, "GET", base+"/"+text(c, "id"), nil)
			s := got["saml"].(object)
			i := s["idp"].(object)
			for field, want := range map[string]any{
				"allow_idp_initiated": true, "sign_requests": true, "want_encrypted": true, "refuse_cbc": true, "allow_inclusive_c14n": true,
				"allow_sha1_until": "2027-01-01T00:00:00Z", "force_authn": true, "name_id_format": "urn:x", "max_response_bytes": float64(1 << 20), "clock_skew_seconds": 0.0,
				"graph_tenant_id": guid, "graph_client_id": guid, "has_graph_client_secret": true,
				"slo_url": "http://" + hostA + "/saml/" + text(c, "id") + "/slo",
			} {
				if s[field] != want {
					t.Errorf("%s %s: %v, want %v", name, field, s[field], want)
				}
			}
			if i["slo_url"] != "https://idp.example/slo" || i["slo_response_url"] != "https://idp.example/slo2" || i["slo_binding"] != "post" || i["sso_binding"] != "post" {
				t.Errorf("%s: %v", name, i)
			}
			if list := s["authn_contexts"].([]any); len(list) != 2 || list[0] != "urn:a" {
				t.Errorf("%s: %v", name, list)
			}
			if got["revocation_issuer"] != "https://idp.example" || !strings.HasSuffix(text(got, "revocation_url"), "/sso/"+text(c, "id")+"/global-token-revocation") {
				t.Errorf("%s: %v", name, got)
			}
			if list := got["sp_keys"].([]any); len(list) != 1 || list[0].(object)["state"] != "active" {
				t.Errorf("%s: signed requests without a key: %v", name, list)
			}
			if k := i["certificates"].([]any)[0].(object); k["status"] != "trusted" || k["source"] != "manual" {
				t.Errorf("%s: %v", name, k)
			}
		}
		one := base + "/" + text(minimal, "id")
		cleared := f.do(200, "PATCH", one, object{"allow_sha1_until": "", "slo_url": "", "authn_contexts": []string{}, "sign_requests": false})["saml"].(object)
		if cleared["allow_sha1_until"] != nil || cleared["idp"].(object)["slo_url"] != "" || cleared["idp"].(object)["slo_response_url"] != "" || len(cleared["authn_contexts"].([]any)) != 0 || cleared["sign_requests"] != false || cleared["refuse_cbc"] != true {
			t.Errorf("%v", cleared)
		}

		o := f.do(201, "POST", base, object{
			"type": "oidc", "name": "Entra", "issuer": "https://login.microsoftonline.com/" + guid + "/v2.0", "client_id": "c", "token_endpoint_auth_method": "private_key_jwt",
			"response_mode": "form_post", "acr_values": []string{"mfa"}, "hosted_domains": []string{"Acme.example"}, "revocation_issuer": "https://idp.example",
		})
		got := f.do(200, "GET", base+"/"+text(o, "id"), nil)
		oidc := got["oidc"].(object)
		for field, want := range map[string]string{
			"token_endpoint_auth_method": "private_key_jwt", "response_mode": "form_post",
			"jwks_url":               "http://" + hostA + "/oidc/" + text(o, "id") + "/jwks",
			"backchannel_logout_url": "http://" + hostA + "/oidc/" + text(o, "id") + "/backchannel-logout",
		} {
			if oidc[field] != want {
				t.Errorf("%s: %v", field, oidc[field])
			}
		}
		if got["idp_kind"] != "entra" || got["revocation_issuer"] != "https://idp.example" || oidc["hosted_domains"].([]any)[0] != "acme.example" || oidc["acr_values"].([]any)[0] != "mfa" || len(got["sp_keys"].([]any)) != 1 {
			t.Errorf("%v", got)
		}
		back := f.do(200, "PATCH", base+"/"+text(o, "id"), object{"response_mode": "query", "token_endpoint_auth_method": "", "revocation_issuer": ""})
		if b := back["oidc"].(object); b["response_mode"] != "query" || b["token_endpoint_auth_method"] != "" || back["revocation_issuer"] != "" || b["client_id"] != "c" {
			t.Errorf("%v", back)
		}

		for code, body := range map[string]object{
			"invalid_date":           {"type": "saml", "name": "x", "idp": idp, "allow_sha1_until": "2028-01-01"},
			"invalid_authn_contexts": {"type": "saml", "name": "x", "idp": idp, "authn_contexts": []string{"a b"}},
			"invalid_graph_tenant":   {"type": "saml", "name": "x", "idp": idp, "graph_tenant_id": "common", "graph_client_id": guid},
			"shared_issuer":          {"type": "oidc", "name": "x", "issuer": "https://login.microsoftonline.com/common/v2.0", "client_id": "c"},
			"invalid_acr_values":     {"type": "oidc", "name": "x", "issuer": "https://idp.example", "client_id": "c", "acr_values": []string{""}},
		} {
			f.refused(422, code, "POST", base, body)
		}
		for _, field := range []string{"allow_idp_initiated", "sign_requests", "want_encrypted", "force_authn"} {
			f.refused(422, "invalid_field", "PATCH", base+"/"+text(o, "id"), object{field: true})
		}
		f.refused(422, "invalid_field", "PATCH", one, object{"hosted_domains": []string{"x.example"}})
		f.refused(422, "invalid_date", "PATCH", one, object{"allow_sha1_until": "tomorrow"})
	})
}

// Metadata by address: it is read outside the transaction, and followed.
func TestSSOMetadataURL(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		base := "/tenants/acme/sso-connections"
		const address = "https://idp.example/metadata.xml"
		c := f.do(201, "POST", base, object{"type": "saml", "name": "x", "idp_metadata_url": address, "status": "active", "force_authn": true})
		one := base + "/" + text(c, "id")
		check := func(c object) {
			t.Helper()
			s := c["saml"].(object)
			m, _ := s["metadata"].(object)
			i := s["idp"].(object)
			if m["url"] != address || m["trusted_host"] != "idp.example" || m["fetched_at"] == nil || m["next_at"] == nil || m["error"] != "" {
				t.Errorf("metadata: %v", m)
			}
			if i["entity_id"] != "https://idp.example/metadata" || i["sso_binding"] != "post" || i["slo_url"] != "https://idp.example/slo" || s["force_authn"] != true {
				t.Errorf("settings: %v", s)
			}
			if k := i["certificates"].([]any)[0].(object); k["source"] != "metadata" || k["status"] != "trusted" {
				t.Errorf("key: %v", k)
			}
		}
		check(c)
		check(f.do(200, "GET", one, nil))
		check(f.do(200, "PATCH", one, object{"name": "y"}))
		check(f.do(200, "POST", one+":refresh-metadata", nil))
		if want := []string{address, "refresh " + text(c, "id")}; !slices.Equal(f.fetched, want) {
			t.Errorf("asked %v", f.fetched)
		}
		f.refused(503, "fetch_failed", "POST", base, object{"type": "saml", "name": "x", "idp_metadata_url": "https://down.example/metadata"})
		f.refused(503, "fetch_failed", "PATCH", one, object{"idp_metadata_url": "https://down.example/metadata"})
		f.refused(422, "invalid_url", "POST", base, object{"type": "saml", "name": "x", "idp_metadata_url": "http://plain.example/metadata"})
		f.refused(422, "invalid_field", "POST", base, object{"type": "saml", "name": "x", "idp_metadata_url": address, "idp_metadata_xml": "<x/>"})
		f.refused(422, "invalid_field", "POST", base, object{"type": "oidc", "name": "x", "idp_metadata_url": address})
		if list := data(f.do(200, "GET", base, nil)); len(list) != 1 {
			t.Errorf("%d connections", len(list))
		}
		// By hand again, and by address again.
		plain := f.do(200, "PATCH", one, object{"idp_metadata_url": ""})
		if plain["saml"].(object)["metadata"] != nil {
			t.Errorf("still followed: %v", plain)
		}
		other := f.do(201, "POST", base, object{"type": "saml", "name": "z", "idp": object{"entity_id": "https://other.example", "sso_url": "https://other.example/sso", "certificates": []string{certificate}}})
		moved := f.do(200, "PATCH", base+"/"+text(other, "id"), object{"idp_metadata_url": address, "force_authn": true})
		check(moved)
	})
}

func TestSSOKeys(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		c := f.do(201, "POST", "/tenants/acme/sso-connections", object{"type": "saml", "name": "x", "idp_metadata_xml": "<x/>", "sign_requests": true})
		one := "/tenants/acme/sso-connections/" + text(c, "id")
		active := text(data(f.do(200, "GET", one+"/sp-keys", nil))[0], "id")
		next := f.do(201, "POST", one+"/sp-keys", nil)
		if next["state"] != "next" || !strings.Contains(text(next, "certificate"), "CERTIFICATE") || strings.Contains(text(next, "certificate"), "PRIVATE") {
			t.Errorf("%v", next)
		}
		f.refused(409, "sp_key_pending", "POST", one+"/sp-keys", nil)
		f.refused(409, "sp_key_active", "DELETE", one+"/sp-keys/"+active, nil)
		list := data(f.do(200, "POST", one+"/sp-keys/"+text(next, "id")+":activate", nil))
		if len(list) != 2 || list[0]["id"] != next["id"] || list[0]["state"] != "active" || list[1]["state"] != "retired" {
			t.Errorf("%v", list)
		}
		f.do(204, "DELETE", one+"/sp-keys/"+active, nil)
		f.refused(404, "sp_key_not_found", "DELETE", one+"/sp-keys/"+active, nil)

		spki := c["saml"].(object)["idp"].(object)["certificates"].([]any)[0].(object)["spki"].(string)
		f.refused(409, "last_key", "DELETE", one+"/idp-keys/"+spki, nil)
		f.refused(404, "key_not_found", "POST", one+"/idp-keys/"+strings.Repeat("0", 64)+":approve", nil)
		if _, err := d.Exec(t.Context(), `INSERT INTO sso_idp_keys (tenant_id, connection_id, spki, certificate, not_after, status, created_at, source)
			SELECT tenant_id, connection_id, 'pending', certificate, not_after, 'pending', created_at, 'metadata' FROM sso_idp_keys`); err != nil {
			t.Fatal(err)
		}
		approved := f.do(200, "POST", one+"/idp-keys/pending:approve", nil)["saml"].(object)["idp"].(object)["certificates"].([]any)
		if len(approved) != 2 || approved[0].(object)["status"] != "trusted" || approved[1].(object)["status"] != "trusted" {
			t.Errorf("%v", approved)
		}
		f.do(204, "DELETE", one+"/idp-keys/pending", nil)
	})
}

// Product 11, test 18: enforcement needs a connection that works and a way in
// without it.
func TestSSOEnforcement(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		const put = "/tenants/acme/sso-policy"
		on := object{"enforced": true, "excluded_emails": []string{"Boss@acme.com"}}
		f.refused(409, "sso_no_active_connection", "PUT", put, on)
		c := f.do(201, "POST", "/tenants/acme/sso-connections", object{"type": "oidc", "name": "x", "issuer": "https://idp.example", "client_id": "c"})
		one := "/tenants/acme/sso-connections/" + text(c, "id")
		f.refused(409, "sso_no_active_connection", "PUT", put, on) // a draft
		f.do(200, "PATCH", one, object{"status": "active"})
		f.refused(409, "sso_not_tested", "PUT", put, on)
		worked := func(ago time.Duration) {
			if _, err := d.Exec(t.Context(), `UPDATE sso_connections SET last_test_ok_at = $2 WHERE id = $1`, text(c, "id"), db.At(f.clock.Now().Add(-ago))); err != nil {
				t.Fatal(err)
			}
		}
		worked(25 * time.Hour)
		f.refused(409, "sso_not_tested", "PUT", put, on)
		worked(23 * time.Hour)
		f.refused(422, "break_glass_required", "PUT", put, object{"enforced": true})
		policy := f.do(200, "PUT", put, on)
		if policy["enforced"] != true || policy["excluded_emails"].([]any)[0] != "boss@acme.com" {
			t.Errorf("%v", policy)
		}
		// While it is on: the list can change and not become empty, and the last connection stays.
		worked(48 * time.Hour)
		f.do(200, "PUT", put, object{"enforced": true, "excluded_emails": []string{"a@acme.com", "b@acme.com"}})
		f.refused(422, "break_glass_required", "PUT", put, object{"enforced": true, "excluded_emails": []string{}})
		f.refused(409, "sso_enforced", "PATCH", one, object{"status": "disabled"})
		f.refused(409, "sso_enforced", "DELETE", one, nil)
		if got := f.do(200, "GET", one, nil); got["status"] != "active" {
			t.Errorf("a refused change was kept: %v", got["status"])
		}
		second := f.do(201, "POST", "/tenants/acme/sso-connections", object{"type": "oidc", "name": "y", "issuer": "https://idp2.example", "client_id": "c", "status": "active"})
		f.do(200, "PATCH", one, object{"status": "disabled"}) // another one is left
		f.refused(409, "sso_enforced", "DELETE", "/tenants/acme/sso-connections/"+text(second, "id"), nil)
		f.do(200, "PUT", put, object{"enforced": false})
		f.do(204, "DELETE", "/tenants/acme/sso-connections/"+text(second, "id"), nil)
	})
}

func TestSSOTestsAndLogins(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		tenant := text(f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"}), "id")
		c := f.do(201, "POST", "/tenants/acme/sso-connections", object{"type": "saml", "name": "x", "idp": object{
			"entity_id": "http://www.okta.com/exk1", "sso_url": "https://acme.okta.com/sso", "certificates": []string{certificate},
		}})
		one := "/tenants/acme/sso-connections/" + text(c, "id")
		started := f.do(201, "POST", one+":test", nil)
		flow := text(started, "flow_id")
		if !strings.HasPrefix(text(started, "url"), "http://"+hostA+"/login/test?flow="+flow) || !strings.Contains(text(started, "url"), "token=") {
			t.Errorf("%v", started)
		}
		if got := f.do(200, "GET", one+"/tests/"+flow, nil); got["status"] != "pending" || got["login"] != nil {
			t.Errorf("%v", got)
		}
		record := func(l signin.Login) {
			l.Connection, l.At = text(c, "id"), f.clock.Now()
			err := d.Tx(t.Context(), func(q db.Queryer) error {
				return f.h.Signin.RecordLogin(t.Context(), actor.Actor{Environment: f.envs[hostA], Kind: actor.Anonymous}, q, f.envs[hostA], tenant, l)
			})
			if err != nil {
				t.Fatal(err)
			}
			f.clock.Advance(time.Second)
		}
		record(signin.Login{FlowID: flow, Outcome: signin.OutcomeFailure, Code: "SAML_AUDIENCE_MISMATCH", Checks: []signin.Check{{Name: "audience", Expected: "a", Actual: "b"}}, Response: "<Response/>"})
		record(signin.Login{Outcome: signin.OutcomeDenied, Code: "POLICY_JIT_DISABLED", Email: "ada@acme.example"})
		got := f.do(200, "GET", one+"/tests/"+flow, nil)
		e := got["explanation"].(object)
		if got["status"] != "failed" || got["code"] != "SAML_AUDIENCE_MISMATCH" || e["who"] != "idp_admin" || !strings.Contains(text(e, "where"), "Audience URI (SP Entity ID)") || got["login"].(object)["response"] != "<Response/>" {
			t.Errorf("%v", got)
		}
		for query, want := range map[string][]string{
			"":                             {"POLICY_JIT_DISABLED", "SAML_AUDIENCE_MISMATCH"},
			"?outcome=denied":              {"POLICY_JIT_DISABLED"},
			"?code=SAML_AUDIENCE_MISMATCH": {"SAML_AUDIENCE_MISMATCH"},
			"?flow_id=" + flow:             {"SAML_AUDIENCE_MISMATCH"},
			"?purpose=login":               {"POLICY_JIT_DISABLED"},
			"?purpose=test&outcome=denied": nil,
			"?flow_id=" + flow + "x":       nil,
		} {
			var codes []string
			for _, l := range data(f.do(200, "GET", one+"/logins"+query, nil)) {
				codes = append(codes, text(l, "code"))
				if l["explanation"] == nil || l["purpose"] == "test" != (l["flow_id"] != nil) {
					t.Errorf("%v", l)
				}
			}
			if !slices.Equal(codes, want) {
				t.Errorf("%s: %v, want %v", query, codes, want)
			}
		}
		f.refused(422, "validation_failed", "GET", one+"/logins?outcome=maybe", nil)
		f.refused(404, "test_not_found", "GET", one+"/tests/flw_unknown", nil)
		late := text(f.do(201, "POST", one+":test", nil), "flow_id")
		f.clock.Advance(11 * time.Minute)
		if got := f.do(200, "GET", one+"/tests/"+late, nil); got["status"] != "failed" || got["code"] != "SIGNIN_TEST_UNANSWERED" || got["explanation"] == nil {
			t.Errorf("%v", got)
		}
	})
}

// Everybody's default role reads the login log: what a test brought of a person is
// for who sets connections up.
func TestWhoSeesWhatATestBrought(t *testing.T) {
	l := signin.Login{
		Purpose: signin.PurposeTest, Outcome: signin.OutcomeSuccess, Response: "<Response>ada</Response>", Email: "ada@acme.example",
		Detail: signin.Detail{
			Claims: map[string][]string{"title": {"Countess"}}, Groups: []string{"board"}, GroupCount: 1, GroupsKnown: true,
			Profile: &signin.Profile{FirstName: "Ada"}, Roles: []signin.GrantedAs{{Key: "dev"}},
		},
	}
	reader := actor.Actor{Permissions: permission.NewSet("fe.secure.read.*")}
	got := showLoginTo(reader, "")(l)
	if got.Response != "" || got.Profile != nil || len(got.Groups) != 0 || got.Claims["title"][0] != "(8 characters)" || got.GroupCount != 1 || len(got.Roles) != 1 {
		t.Errorf("%+v", got)
	}
	admin := actor.Actor{Permissions: permission.NewSet("fe.secure.read.*", ssoWrite)}
	if got := showLoginTo(admin, "")(l); got.Response == "" || got.Profile == nil || len(got.Groups) != 1 || got.Claims["title"][0] != "Countess" {
		t.Errorf("%+v", got)
	}
	if l.Detail.Claims["title"][0] != "Countess" {
		t.Error("the entry itself was changed")
	}
}

func TestMappingPreview(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		role := func(key string) string {
			return text(f.do(201, "POST", "/roles", object{"key": key, "name": key, "level": 5, "permissions": []string{"fe.secure.read.users"}}), "id")
		}
		dev, ops, guest := role("dev"), role("ops"), role("guest")
		c := text(f.do(201, "POST", "/tenants/acme/sso-connections", object{"type": "oidc", "name": "Okta", "issuer": "https://idp.example", "client_id": "c", "default_role_ids": []string{guest}}), "id")
		f.do(200, "PUT", "/tenants/acme/group-role-mappings", object{"mappings": []object{{"group": "engineering", "role_ids": []string{dev}}, {"group": "operations", "connection_id": c, "role_ids": []string{ops}}}})
		preview := func(body object) (keys []string) {
			t.Helper()
			for _, r := range f.do(200, "POST", "/tenants/acme/group-role-mappings:preview", body)["roles"].([]any) {
				r := r.(object)
				keys = append(keys, text(r, "key")+"="+r["sources"].([]any)[0].(string))
			}
			slices.Sort(keys)
			return keys
		}
		for _, k := range []struct {
			body object
			want []string
		}{
			{object{"groups": []string{}}, []string{"read-only=default"}},
			{object{"groups": []string{"engineering", "Engineering", "operations"}}, []string{"dev=group:engineering", "read-only=default"}},
			{object{"groups": []string{"operations"}, "connection_id": c}, []string{"guest=connection:Okta", "ops=group:operations", "read-only=default"}},
			{object{"groups": []string{"nobody"}}, []string{"read-only=default"}},
		} {
			if got := preview(k.body); !slices.Equal(got, k.want) {
				t.Errorf("%v: %v, want %v", k.body, got, k.want)
			}
		}
		f.refused(422, "unknown_connection", "POST", "/tenants/acme/group-role-mappings:preview", object{"groups": []string{"operations"}, "connection_id": "sso_unknown"})
	})
}

func TestSSOPresets(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		list := data(f.do(200, "GET", "/sso-presets", nil))
		var kinds []string
		for _, p := range list {
			kinds = append(kinds, text(p, "kind"))
		}
		for _, want := range []string{"okta", "entra", "google", "onelogin", "jumpcloud", "ping", "pingfederate", "adfs", "keycloak", "generic"} {
			if !slices.Contains(kinds, want) {
				t.Errorf("%s is missing in %v", want, kinds)
			}
		}
	})
}

// Consoles that ask for our addresses first: a draft gives them before anything is
// known of the provider, and is good for nothing else.
func TestDraftWithoutProvider(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		const base = "/tenants/acme/sso-connections"
		for kind, whole := range map[string]object{
			"saml": {"idp": object{"entity_id": "https://idp.example", "sso_url": "https://idp.example/sso", "certificates": []any{certificate}}},
			"oidc": {"issuer": "https://accounts.example", "client_id": "c"},
		} {
			c := f.do(201, "POST", base, object{"type": kind, "name": kind, "status": "draft"})
			one := base + "/" + text(c, "id")
			if a := c[kind].(object); a["acs_url"] == "" && a["redirect_uri"] == "" {
				t.Errorf("%s: a draft without our addresses: %v", kind, c)
			}
			f.refused(409, "idp_required", "POST", one+":test", nil)
			f.refused(409, "idp_required", "PATCH", one, object{"status": "active"})
			f.do(200, "PATCH", one, object{"name": "still a draft"})
			f.do(200, "PATCH", one, whole)
			f.do(201, "POST", one+":test", nil)
			if c := f.do(200, "PATCH", one, object{"status": "active"}); c["status"] != "active" {
				t.Errorf("%s: %v", kind, c)
			}
		}
	})
}

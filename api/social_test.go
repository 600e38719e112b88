package api

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

func init() {
	maps.Copy(bodies, map[string]object{
		"createSocialConnection": {"kind": "google", "client_id": "x"}, "updateSocialConnection": {"name": "x"},
	})
	worldSteps = append(worldSteps, func(post func(string, object) object, _ string, w map[string]string) {
		w["social"] = text(post("/social-connections", object{"kind": "google", "client_id": "x"}), "id")
		w["identity"] = id.New(id.Identity)
	})
}

// The environment's connections: made, changed and removed by the vendor alone, their
// secrets never shown (product 3).
func TestSocialConnections(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		const all = "/social-connections"
		for name, k := range map[string]struct {
			body object
			code string
		}{
			"no kind":                        {object{"kind": "facebook", "client_id": "x"}, "validation_failed"},
			"no client":                      {object{"kind": "google", "client_id": ""}, "invalid_client_id"},
			"another issuer of Google":       {object{"kind": "google", "client_id": "x", "issuer": "https://evil.example"}, "invalid_issuer"},
			"another issuer of Microsoft":    {object{"kind": "microsoft", "client_id": "x", "issuer": "https://login.microsoftonline.com.evil.example/common/v2.0"}, "invalid_issuer"},
			"Microsoft's version 1":          {object{"kind": "microsoft", "client_id": "x", "issuer": "https://login.microsoftonline.com/common"}, "invalid_issuer"},
			"a name in the GUID's place":     {object{"kind": "microsoft", "client_id": "x", "issuer": "https://login.microsoftonline.com/acme.onmicrosoft.com/v2.0"}, "invalid_issuer"},
			"a port":                         {object{"kind": "microsoft", "client_id": "x", "issuer": "https://login.microsoftonline.com:8443/common/v2.0"}, "invalid_issuer"},
			"Microsoft as any provider":      {object{"kind": "oidc", "name": "x", "client_id": "x", "issuer": "https://login.microsoftonline.com/common/v2.0"}, "invalid_kind"},
			"Google as any provider":         {object{"kind": "oidc", "name": "x", "client_id": "x", "issuer": "https://accounts.google.com"}, "invalid_kind"},
			"no issuer":                      {object{"kind": "oidc", "name": "x", "client_id": "x"}, "invalid_issuer"},
			"a query":                        {object{"kind": "oidc", "name": "x", "client_id": "x", "issuer": "https://idp.example/?x"}, "invalid_issuer"},
			"no name":                        {object{"kind": "oidc", "client_id": "x", "issuer": "https://idp.example"}, "invalid_name"},
			"a scope of two":                 {object{"kind": "google", "client_id": "x", "scopes": []string{"a b"}}, "invalid_scope"},
			"an assertion, which has no key": {object{"kind": "google", "client_id": "x", "token_endpoint_auth_method": "private_key_jwt"}, "validation_failed"},
			"disabled from the beginning":    {object{"kind": "google", "client_id": "x", "status": "disabled"}, "validation_failed"},
		} {
			t.Run(name, func(t *testing.T) { f.refused(422, k.code, "POST", all, k.body) })
		}
		const secret = "s3cret-of-google"
		google := f.do(201, "POST", all, object{"kind": "google", "client_id": "c", "client_secret": secret})
		at := all + "/" + text(google, "id")
		if text(google, "name") != "Google" || text(google, "issuer") != "https://accounts.google.com" || text(google, "status") != "draft" || google["has_client_secret"] != true ||
			!strings.HasSuffix(text(google, "redirect_uri"), "/oidc/"+text(google, "id")+"/callback") {
			t.Errorf("%v", google)
		}
		ms := f.do(201, "POST", all, object{"kind": "microsoft", "client_id": "c", "status": "active"})
		if text(ms, "issuer") != "https://login.microsoftonline.com/common/v2.0" || text(ms, "status") != "active" {
			t.Errorf("%v", ms)
		}
		f.do(200, "PATCH", at, object{"status": "active", "name": "Google account", "scopes": []string{"openid", "email"}})
		f.refused(422, "invalid_status", "PATCH", at, object{"status": "draft"})
		f.refused(422, "validation_failed", "PATCH", at, object{"issuer": "https://evil.example"})
		shown := f.do(200, "GET", at, nil)
		if text(shown, "status") != "active" || text(shown, "name") != "Google account" || shown["has_client_secret"] != true {
			t.Errorf("%v", shown)
		}
		f.do(200, "PATCH", at, object{"client_secret": ""})
		if f.do(200, "GET", at, nil)["has_client_secret"] != false {
			t.Error("the secret is still there")
		}
		var sealed, events string
		if err := d.QueryRow(t.Context(), `SELECT secret FROM social_connections WHERE id = $1`, text(ms, "id")).Scan(&sealed); err != nil || sealed != "" {
			t.Errorf("%q %v", sealed, err)
		}
		rows, err := d.Query(t.Context(), `SELECT action, changes FROM audit_events WHERE action LIKE 'social_connection.%' ORDER BY id`)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var action, changes string
			if err := rows.Scan(&action, &changes); err != nil {
				t.Fatal(err)
			}
			events += action + " " + changes + "\n"
		}
		rows.Close()
		if strings.Count(events, "social_connection.created") != 2 || strings.Count(events, "social_connection.updated") != 2 || strings.Contains(events, secret) {
			t.Errorf("events: %s", events)
		}
		if res := f.sendWith(http.Header{"If-Match": {`"v99"`}}, "PATCH", "/api/v1"+at, object{"name": "x"}); res.StatusCode != http.StatusPreconditionFailed {
			t.Errorf("stale: %d", res.StatusCode)
		}
		f.do(204, "DELETE", at, nil)
		f.refused(404, "connection_not_found", "GET", at, nil)
		for range 19 {
			f.do(201, "POST", all, object{"kind": "google", "client_id": "c"})
		}
		f.refused(413, "too_many", "POST", all, object{"kind": "google", "client_id": "c"})
	})
}

// The vendor sees by which accounts a user comes, and disconnects one.
func TestSocialIdentities(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		user := text(f.do(201, "POST", "/tenants/acme/users", object{"email": "u@acme.example"}), "id")
		other := text(f.do(201, "POST", "/tenants/acme/users", object{"email": "o@acme.example"}), "id")
		conn := text(f.do(201, "POST", "/social-connections", object{"kind": "google", "client_id": "c", "status": "active"}), "id")
		var made directory.SocialIdentity
		if err := d.Tx(t.Context(), func(q db.Queryer) (err error) {
			made, err = f.h.Directory.LinkSocial(t.Context(), actor.Actor{Environment: f.envs[hostA], Kind: actor.System}, q, directory.SocialIdentity{
				Environment: f.envs[hostA], Connection: conn, UserID: user, SubjectKey: "k", Subject: "1000", Email: "u@mail.example",
			})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		listed := data(f.do(200, "GET", "/users/"+user+"/social-identities", nil))
		if len(listed) != 1 || text(listed[0], "id") != made.ID || text(listed[0], "connection_name") != "Google" || text(listed[0], "subject") != "1000" {
			t.Errorf("%v", listed)
		}
		f.refused(404, "identity_not_found", "DELETE", "/users/"+other+"/social-identities/"+made.ID, nil)
		f.do(204, "DELETE", "/users/"+user+"/social-identities/"+made.ID, nil)
		f.refused(404, "identity_not_found", "DELETE", "/users/"+user+"/social-identities/"+made.ID, nil)
		if listed := data(f.do(200, "GET", "/users/"+user+"/social-identities", nil)); len(listed) != 0 {
			t.Errorf("%v", listed)
		}
		var n int64
		if err := d.QueryRow(t.Context(), `SELECT COUNT(*) FROM audit_events WHERE action = 'social_identity.unlinked'`).Scan(&n); err != nil || n != 1 {
			t.Errorf("%d %v", n, err)
		}
	})
}

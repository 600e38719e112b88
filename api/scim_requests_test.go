package api

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// provision sends a request as the client of a SCIM connection.
func (f *fixture) provision(host, base, token, method, path, body string) *http.Response {
	f.Helper()
	r := httptest.NewRequestWithContext(f.Context(), method, base+path, strings.NewReader(body))
	r.Host = host
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("User-Agent", "Okta SCIM Client 1.0.0")
	w := httptest.NewRecorder()
	f.server.ServeHTTP(w, r)
	return w.Result()
}

// logged makes a request of a connection and gives its id in the log.
func (f *fixture) logged(host, tenantPath, connection string) string {
	f.Helper()
	send := func(method, path string, body any) object {
		f.Helper()
		return decodeObject(f.T, f.sendAs(host, f.keys[host], method, "/api/v1"+tenantPath+"/scim-connections/"+connection+path, body))
	}
	token := send("POST", "/tokens", object{})
	if res := f.provision(host, "/scim/"+connection+"/v2", text(token, "token"), "POST", "/Users", `{"userName":"logged"}`); res.StatusCode != 201 {
		raw, _ := io.ReadAll(res.Body)
		f.Fatalf("%d %s", res.StatusCode, raw)
	}
	list, _ := send("GET", "/requests", nil)["data"].([]any)
	if len(list) != 1 {
		f.Fatalf("log %v", list)
	}
	return text(list[0].(object), "id")
}

func TestProvisioningLog(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		c := f.do(201, "POST", "/tenants/acme/scim-connections", object{"name": "x", "profile": "entra"})
		at := "/tenants/acme/scim-connections/" + text(c, "id")
		if c["suggested_profile"] != nil {
			t.Errorf("new connection: %v", c)
		}
		scim := func(want int, method, path, body string) object {
			t.Helper()
			res := f.provision(hostA, "/scim/"+text(c, "id")+"/v2", text(c, "token"), method, path, body)
			if res.StatusCode != want {
				raw, _ := io.ReadAll(res.Body)
				t.Fatalf("%s %s: %d %s", method, path, res.StatusCode, raw)
			}
			if want == 204 {
				return nil
			}
			return decodeObject(t, res)
		}
		ann := text(scim(201, "POST", "/Users", `{"userName":"ann@x.example"}`), "id")
		scim(409, "POST", "/Users", `{"userName":"ann@x.example","title":"Boss"}`)
		scim(200, "GET", "/Users/"+ann, "")

		requests := func(query string) []any {
			t.Helper()
			list, _ := f.do(200, "GET", at+"/requests"+query, nil)["data"].([]any)
			return list
		}
		for query, want := range map[string]int{
			"": 3, "?method=POST": 2, "?status=4xx": 1, "?status=2xx": 2, "?failed=true": 1, "?resource_id=" + ann: 2,
			"?from=2026-03-01T12:00:00Z": 3, "?from=2026-03-01T12:00:01Z": 0, "?to=2026-03-01T12:00:00Z": 0, "?method=POST&status=2xx": 1,
		} {
			if got := requests(query); len(got) != want {
				t.Errorf("%s: %d requests, want %d", query, len(got), want)
			}
		}
		f.refused(422, "validation_failed", "GET", at+"/requests?status=9xx", nil)
		refused := requests("?failed=true")[0].(object)
		one := at + "/requests/" + text(refused, "id")
		got := f.do(200, "GET", one, nil)
		if got["status"] != 409.0 || !strings.HasPrefix(text(got, "detail"), "uniqueness Another user of this connection has this userName already.") || got["suggested_profile"] != "okta" || got["replay_of"] != nil {
			t.Errorf("%v", got)
		}
		for _, shown := range []object{f.do(200, "GET", at, nil), f.do(200, "GET", "/tenants/acme/scim-connections", nil)["data"].([]any)[0].(object), f.do(200, "PATCH", at, object{"name": "y"})} {
			if shown["suggested_profile"] != "okta" {
				t.Errorf("suggestion: %v", shown)
			}
		}
		if shown := f.do(200, "PATCH", at, object{"profile": "okta"}); shown["suggested_profile"] != nil {
			t.Errorf("suggestion that is taken: %v", shown)
		}

		scim(204, "DELETE", "/Users/"+ann, "")
		dry := f.do(200, "POST", one+":replay", object{"dry_run": true})
		if dry["dry_run"] != true || dry["log_id"] != nil || dry["status"] != 201.0 || len(dry["changes"].([]any)) == 0 {
			t.Errorf("dry run: %v", dry)
		}
		done := f.do(200, "POST", one+":replay", nil)
		if done["dry_run"] != false || done["status"] != 201.0 || text(done, "resource_id") == "" {
			t.Errorf("replay: %v", done)
		}
		if entry := f.do(200, "GET", at+"/requests/"+text(done, "log_id"), nil); entry["replay_of"] != refused["id"] || entry["status"] != 201.0 {
			t.Errorf("entry of the replay: %v", entry)
		}
		again := f.do(200, "POST", one+":replay", object{})
		if again["status"] != 409.0 || again["detail"] != got["detail"] {
			t.Errorf("second replay: %v", again)
		}
		events, _ := f.do(200, "GET", "/tenants/acme/audit-events?action=scim_request.replayed", nil)["data"].([]any)
		if len(events) != 2 {
			t.Errorf("%d events of replays", len(events))
		}
		read := requests("?method=GET")[0].(object)
		f.refused(409, "replay_read", "POST", at+"/requests/"+text(read, "id")+":replay", nil)
		f.refused(404, "request_not_found", "GET", at+"/requests/log_none", nil)
		f.refused(404, "request_not_found", "POST", at+"/requests/log_none:replay", nil)
	})
}

package api

import (
	"net/http"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// An ETag leads a change to the version that was read, and no other (product 7.3).
func TestIfMatch(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		at := "/api/v1/tenants/" + text(f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"}), "key")
		create := func(path string, body object) string {
			t.Helper()
			res := f.send("POST", at+path, body)
			if res.StatusCode != 201 {
				t.Fatal(res.StatusCode)
			}
			return path + "/" + text(decodeObject(t, res), "id")
		}
		scim, sso := create("/scim-connections", object{"name": "x"}), create("/sso-connections", object{"type": "saml", "name": "x", "status": "draft"})
		for _, c := range []struct {
			path, method string
			body         object
			deletes      bool
		}{
			{scim, "PATCH", object{"name": "y"}, true},
			{sso, "PATCH", object{"name": "y"}, true},
			{"/scim-schemas/urn:example:x", "PUT", bodies["putSCIMSchema"], true},
			{"/policies/mfa", "PUT", object{"enforce": "on"}, false},
			{"/sso-policy", "PUT", object{"enforced": false, "excluded_emails": []string{}}, false},
		} {
			with := func(method, tag string, body any, want int) *http.Response {
				t.Helper()
				res := f.sendWith(http.Header{"If-Match": {tag}}, method, at+c.path, body)
				if res.StatusCode != want {
					t.Errorf("%s %s with %s: %d, want %d", method, c.path, tag, res.StatusCode, want)
				}
				return res
			}
			if c.method == "PUT" && c.deletes {
				with("PUT", "*", c.body, 412) // it is not there yet
				f.send("PUT", at+c.path, c.body)
			}
			tag := f.send("GET", at+c.path, nil).Header.Get("ETag")
			if tag == "" {
				t.Fatalf("%s has no ETag", c.path)
			}
			for _, wrong := range []string{`"v99"`, "W/" + tag, tag[1 : len(tag)-1], "x"} {
				res := with(c.method, wrong, c.body, 412)
				if res.Header.Get("ETag") != "" {
					t.Errorf("a refusal has the tag %s", res.Header.Get("ETag"))
				}
			}
			if got := f.send("GET", at+c.path, nil).Header.Get("ETag"); got != tag {
				t.Errorf("%s: a refused change made %s of %s", c.path, got, tag)
			}
			next := with(c.method, `"v99", `+tag, c.body, 200).Header.Get("ETag")
			if next == tag || next != f.send("GET", at+c.path, nil).Header.Get("ETag") {
				t.Errorf("%s: %s after %s", c.path, next, tag)
			}
			with(c.method, tag, c.body, 412)
			with(c.method, "*", c.body, 200)
			if c.deletes {
				with("DELETE", next, nil, 412)
				with("DELETE", f.send("GET", at+c.path, nil).Header.Get("ETag"), nil, 204)
			}
		}
	})
}

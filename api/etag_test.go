package api

import (
	"net/http"
	"slices"
	"strings"
	"sync"
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

// Every change of an object that has an ETag keeps to If-Match, whoever wrote the
// route: a version that is gone changes nothing.
func TestIfMatchEverywhere(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		world := f.world(hostA, "acme")
		walked := 0
		for _, r := range f.h.routes {
			if !r.versioned(f.h.routes) {
				continue
			}
			path := fill(r, world)
			before := f.send("GET", path, nil)
			if before.StatusCode != 200 {
				continue // the world has none; the walk of isolation says so
			}
			walked++
			var body any
			if b, ok := bodies[r.id]; ok {
				body = b
			}
			res := f.sendWith(http.Header{"If-Match": {`"v99"`}}, r.method, path, body)
			if res.StatusCode != 412 && res.StatusCode != 409 { // another rule may speak first
				t.Errorf("%s with the ETag of another version: %d", r.id, res.StatusCode)
			}
			if after := f.send("GET", path, nil); after.Header.Get("ETag") != before.Header.Get("ETag") || after.Header.Get("ETag") == "" {
				t.Errorf("%s: %q became %q", r.id, before.Header.Get("ETag"), after.Header.Get("ETag"))
			}
		}
		if walked < 30 {
			t.Errorf("only %d routes", walked)
		}
	})
}

// Of two changes at once that name the same version one is told that it came late.
func TestIfMatchRace(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		world := f.world(hostA, "acme")
		for _, path := range []string{"/users/{u}", "/sso-connections/{sso}", "/scim-connections/{scim}", "/groups/{g}", "/webhooks/{w}"} {
			for name, id := range world {
				path = strings.ReplaceAll(path, "{"+name+"}", id)
			}
			path, body := "/api/v1/tenants/acme"+path, object{"name": "once"}
			if strings.Contains(path, "/users/") {
				body = object{"first_name": "once"}
			}
			tag := f.send("GET", path, nil).Header.Get("ETag")
			var wait sync.WaitGroup
			got := make([]int, 8)
			for i := range got {
				wait.Go(func() { got[i] = f.sendWith(http.Header{"If-Match": {tag}}, "PATCH", path, body).StatusCode })
			}
			wait.Wait()
			slices.Sort(got)
			if want := []int{200, 412, 412, 412, 412, 412, 412, 412}; !slices.Equal(got, want) {
				t.Errorf("%s: %v", path, got)
			}
		}
	})
}

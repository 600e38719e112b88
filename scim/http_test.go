package scim_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/limit"
)

const errorURN = "urn:ietf:params:scim:api:messages:2.0:Error"

func ptr(s string) *string { return &s }

func TestErrors(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		id := c.must(201, "POST", "/Users", user("ann@x.example")).id()
		deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
		for _, x := range []struct {
			method, path, contentType, body string
			status                          int
			scimType                        string
		}{
			{"POST", "/Users", "application/scim+json", "{", 400, "invalidSyntax"},
			{"POST", "/Users", "application/scim+json", "", 400, "invalidSyntax"},
			{"POST", "/Users", "application/scim+json", "[]", 400, "invalidSyntax"},
			{"POST", "/Users", "application/scim+json", deep, 400, "invalidSyntax"},
			{"POST", "/Users", "application/scim+json", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"]}`, 400, "invalidValue"},
			{"POST", "/Users", "text/xml", "<a/>", 415, ""},
			{"POST", "/Users", "application/scim+json", `{"x":"` + strings.Repeat("y", 1<<20) + `"}`, 413, ""},
			{"PUT", "/Users", "application/json", "{}", 405, ""},
			{"DELETE", "/Users", "", "", 405, ""},
			{"POST", "/Users/" + id, "application/json", "{}", 405, ""},
			{"POST", "/Schemas", "application/json", "test", 405, ""},
			{"PATCH", "/ServiceProviderConfig", "application/json", "test", 405, ""},
			{"GET", "/Nothing", "", "", 404, ""},
			{"GET", "/Users/" + id + "/x", "", "", 404, ""},
			{"GET", "/Users/x", "", "", 404, ""},
			{"GET", "/Users/res_aaaaaaaaaaaaaaaaaaaaaaaaaa", "", "", 404, ""},
			{"GET", "/Groups/" + id, "", "", 404, ""},
			{"GET", "/Users?filter=userName+eq", "", "", 400, "invalidFilter"},
			{"GET", "/Users?filter=%zz", "", "", 400, "invalidValue"},
			{"GET", "/Users?count=x", "", "", 400, "invalidValue"},
			{"GET", "/Users?sortBy=nothing", "", "", 400, "invalidPath"},
			{"GET", "/Users?cursor=forged", "", "", 400, "invalidCursor"},
			{"GET", "/Schemas?filter=id+eq+%22x%22", "", "", 403, ""},
			{"GET", "/Schemas/urn:nothing", "", "", 404, ""},
			{"GET", "/Me", "", "", 501, ""},
			{"PATCH", "/Users/" + id, "application/json", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"remove"}]}`, 400, "noTarget"},
			{"PATCH", "/Users/" + id, "application/json", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"emails[type eq","value":"x"}]}`, 400, "invalidFilter"},
			{"PATCH", "/Users/" + id, "application/json", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"id","value":"x"}]}`, 400, "mutability"},
		} {
			a := c.send(t.Context(), x.method, x.path, map[string]*string{"Content-Type": &x.contentType}, []byte(x.body))
			if a.status != x.status || fmt.Sprint(a.field("status")) != fmt.Sprint(x.status) {
				t.Errorf("%s %.60s %.60s: %.300s, want %d", x.method, x.path, x.body, a, x.status)
				continue
			}
			if got, _ := a.field("scimType").(string); got != x.scimType {
				t.Errorf("%s %.60s %.60s: scimType %q, want %q", x.method, x.path, x.body, got, x.scimType)
			}
			if _, isString := a.field("status").(string); !isString || !strings.Contains(string(a.raw), errorURN) || a.header.Get("Content-Type") != "application/scim+json" {
				t.Errorf("%s %s: not an error resource: %s", x.method, x.path, a)
			}
			if (x.status == 405) != (a.header.Get("Allow") != "") {
				t.Errorf("%s %s: Allow %q", x.method, x.path, a.header.Get("Allow"))
			}
		}
		if g.failures.Len() > 0 {
			t.Errorf("logged as our fault: %s", g.failures)
		}
	})
}

func TestCredentials(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		wrong := c.token[:len(c.token)-1] + "x"
		if wrong == c.token {
			wrong = c.token[:len(c.token)-1] + "y"
		}
		for name, header := range map[string]*string{
			"none": nil, "empty": ptr(""), "no token": ptr("Bearer "), "basic": ptr("Basic " + c.token),
			"wrong": ptr("Bearer " + wrong), "junk": ptr("Bearer x"),
		} {
			for _, path := range []string{"/Users", "/Schemas", "/Nothing", "/Users/res_x"} {
				a := c.send(t.Context(), "GET", path, map[string]*string{"Authorization": header}, nil)
				if a.status != 401 || !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer") || !strings.Contains(string(a.raw), errorURN) {
					t.Errorf("%s on %s: %v %q", name, path, a, a.header.Get("WWW-Authenticate"))
				}
			}
		}
		for _, scheme := range []string{"bearer ", "BEARER  "} {
			if a := c.send(t.Context(), "GET", "/Users", map[string]*string{"Authorization": ptr(scheme + c.token)}, nil); a.status != 200 {
				t.Errorf("%q: %v", scheme, a)
			}
		}
	})
}

// A host that is no environment's is refused before the credential is looked at,
// and a connection answers on its own environment's host alone.
func TestHosts(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		if _, err := d.Exec(t.Context(), `INSERT INTO environments (id, name, base_url, is_default, created_at, updated_at) VALUES ('env_b', 'Staging', 'http://staging.test', FALSE, 1, 1)`); err != nil {
			t.Fatal(err)
		}
		for host, want := range map[string]int{"gatehouse.test": 200, "gatehouse.test:8080": 200, "evil.example": 404, "staging.test": 401} {
			a := c.send(t.Context(), "GET", "/Users", map[string]*string{"Host": &host}, nil)
			if a.status != want || want != 200 && !strings.Contains(string(a.raw), errorURN) {
				t.Errorf("%s: %v, want %d", host, a, want)
			}
		}
	})
}

// A client that gave up is no failure of ours.
func TestInterrupted(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		c.must(200, "GET", "/Users", nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if a := c.send(ctx, "GET", "/Users", nil, nil); a.status != 503 || g.failures.Len() > 0 {
			t.Errorf("%v; %s", a, g.failures)
		}
	})
}

func TestEntityTags(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		a := c.must(201, "POST", "/Users", user("ann@x.example"))
		path, first := "/Users/"+a.id(), a.header.Get("ETag")
		meta, _ := a.field("meta").(map[string]any)
		if first != `W/"1"` || meta["version"] != first || a.header.Get("Location") != meta["location"] || meta["location"] != baseURL+c.base+path {
			t.Errorf("created with ETag %q, Location %q, meta %v", first, a.header.Get("Location"), meta)
		}
		with := func(method, header, tag string, body any) answer {
			return c.send(t.Context(), method, path, map[string]*string{header: &tag}, encode(t, body))
		}
		if a := with("GET", "If-None-Match", first, ""); a.status != 304 || len(a.raw) != 0 {
			t.Errorf("unchanged: %v", a)
		}
		change := patchOp(map[string]any{"op": "replace", "path": "title", "value": "x"})
		if a := with("PATCH", "If-Match", `W/"7"`, change); a.status != 412 {
			t.Errorf("stale PATCH: %v", a)
		}
		if a := with("PATCH", "If-Match", `W/"7", `+first, change); a.status != 200 || a.header.Get("ETag") != `W/"2"` {
			t.Errorf("PATCH: %v", a)
		}
		if a := with("PATCH", "If-Match", "*", change); a.status != 200 || a.header.Get("ETag") != `W/"2"` {
			t.Errorf("a PATCH that changes nothing: %v %s", a, a.header.Get("ETag"))
		}
		if a := with("PUT", "If-Match", first, user("ann@x.example")); a.status != 412 {
			t.Errorf("stale PUT: %v", a)
		}
		if a := with("GET", "If-None-Match", first, ""); a.status != 200 {
			t.Errorf("changed: %v", a)
		}
		if a := with("DELETE", "If-Match", first, ""); a.status != 412 {
			t.Errorf("stale DELETE: %v", a)
		}
		schemas := c.must(200, "GET", "/Schemas", nil).header.Get("ETag")
		if a := c.send(t.Context(), "GET", "/Schemas", map[string]*string{"If-None-Match": &schemas}, nil); schemas == "" || a.status != 304 {
			t.Errorf("discovery: %q %v", schemas, a)
		}
	})
}

func TestTolerance(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "generic", "soft")
		for i, contentType := range []*string{nil, ptr("application/json"), ptr("application/json; charset=UTF-8"), ptr("application/scim+json"), ptr("text/json")} {
			a := c.send(t.Context(), "POST", "/Users/", map[string]*string{"Content-Type": contentType}, encode(t, user(fmt.Sprintf("u%d@x.example", i))))
			if a.status != 201 {
				t.Errorf("content type %d: %v", i, a)
			}
		}
		for _, path := range []string{"/Users/?startindex=0&COUNT=2", "/users"} {
			a := c.do("GET", path, nil)
			if want := map[bool]int{true: 200, false: 404}[strings.HasPrefix(path, "/U")]; a.status != want {
				t.Errorf("%s: %v", path, a)
			}
		}
		if a := c.do("HEAD", "/Users", nil); a.status != 200 {
			t.Errorf("HEAD: %v", a)
		}
		if a := c.must(200, "GET", `/Users?filter=userName+eq+"a;b"&`, nil); a.field("totalResults") != 0.0 {
			t.Errorf("a semicolon in a filter: %v", a)
		}
		for _, path := range []string{"/ServiceProviderConfig", "/ServiceProviderConfigs", "/serviceConfiguration", "/ResourceTypes/User", "/Schemas/urn:ietf:params:scim:schemas:core:2.0:user"} {
			c.must(200, "GET", path, nil)
		}
	})
}

func TestRateLimit(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		now := clock.NewFake(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
		g := newGateway(t, d, options{clock: now, limiter: limit.New(25, 25)})
		tenant := g.tenant("a")
		c, other := g.connect(tenant, "rfc", "soft"), g.connect(tenant, "rfc", "soft")
		for range 25 {
			c.must(200, "GET", "/Users", nil)
		}
		a := c.do("GET", "/Users", nil)
		if a.status != 429 || a.header.Get("Retry-After") != "1" || !bytes.Contains(a.raw, []byte(errorURN)) {
			t.Errorf("above the limit: %v, Retry-After %q", a, a.header.Get("Retry-After"))
		}
		other.must(200, "GET", "/Users", nil)
		now.Advance(time.Second)
		c.must(200, "GET", "/Users", nil)

		// A bulk request counts its operations, also those beyond the bucket, which later requests wait for.
		now.Advance(time.Minute)
		ops := make([]map[string]any, 100)
		for i := range ops {
			ops[i] = map[string]any{"method": "DELETE", "path": "/Users/res_nobody"}
		}
		c.bulk(0, ops...)
		if a := c.do("GET", "/Users", nil); a.status != 429 || a.header.Get("Retry-After") != "4" {
			t.Errorf("after a bulk request of 100 at 25/s: %v, Retry-After %q", a, a.header.Get("Retry-After"))
		}
		other.must(200, "GET", "/Users", nil)
		now.Advance(4 * time.Second)
		c.must(200, "GET", "/Users", nil)
	})
}

func TestIsolation(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		a, b := g.connect(g.tenant("a"), "rfc", "soft"), g.connect(g.tenant("b"), "rfc", "soft")
		sibling := g.connect(a.tenant, "rfc", "soft")
		u := a.must(201, "POST", "/Users", user("ann@x.example")).id()
		grp := a.must(201, "POST", "/Groups", map[string]any{"displayName": "g", "members": members(u)}).id()
		for name, foreign := range map[string]connection{"another tenant": b, "another connection": sibling} {
			stolen := a
			stolen.token = foreign.token
			if r := stolen.do("GET", "/Users", nil); r.status != 401 {
				t.Errorf("%s's token: %v", name, r)
			}
			change := patchOp(map[string]any{"op": "replace", "path": "displayName", "value": "x"})
			for _, path := range []string{"/Users/" + u, "/Groups/" + grp} {
				for method, body := range map[string]any{"GET": nil, "PUT": user("ann@x.example"), "PATCH": change, "DELETE": nil} {
					if strings.HasPrefix(path, "/G") && method == "PUT" {
						body = map[string]any{"displayName": "x"}
					}
					if r := foreign.do(method, path, body); r.status != 404 {
						t.Errorf("%s: %s %s: %v", name, method, path, r)
					}
				}
			}
			for _, filter := range []string{"", "?filter=userName+eq+%22ann@x.example%22", "?filter=id+eq+%22" + u + "%22", "?filter=groups.value+eq+%22" + grp + "%22"} {
				if r := foreign.must(200, "GET", "/Users"+filter, nil); r.field("totalResults") != 0.0 {
					t.Errorf("%s sees %s: %v", name, filter, r)
				}
			}
			if r := foreign.do("POST", "/Groups", map[string]any{"displayName": "x", "members": members(u)}); r.status != 400 || r.field("scimType") != "invalidValue" {
				t.Errorf("%s: foreign member: %v", name, r)
			}
			mine := foreign.must(201, "POST", "/Groups", map[string]any{"displayName": "y"}).id()
			add := patchOp(map[string]any{"op": "add", "path": "members", "value": members(u)})
			if r := foreign.do("PATCH", "/Groups/"+mine, add); r.status != 400 {
				t.Errorf("%s: foreign member: %v", name, r)
			}
			bulk := map[string]any{"Operations": []any{map[string]any{"method": "DELETE", "path": "/Users/" + u}}}
			if r := foreign.must(200, "POST", "/Bulk", bulk); !strings.Contains(string(r.raw), `"status":"404"`) {
				t.Errorf("%s: bulk: %v", name, r)
			}
			foreign.must(201, "POST", "/Users", user("ann@x.example")) // uniqueness is the connection's
		}
		a.must(200, "GET", "/Users/"+u, nil)
		if n := g.count(`SELECT COUNT(*) FROM memberships WHERE tenant_id = $1`, a.tenant); n != 1 {
			t.Errorf("%d memberships of one person in two directories of one tenant", n)
		}
		if n := g.count(`SELECT COUNT(*) FROM users`); n != 2 {
			t.Errorf("%d users; two tenants without proved domains share nobody", n)
		}
	})
}

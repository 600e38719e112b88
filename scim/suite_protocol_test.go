package scim_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// Headers and statuses of each method, whatever the client says that it takes.
func TestSuiteMethods(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		bodies := map[string]func(n int) map[string]any{
			"/Users":  func(n int) map[string]any { return user(fmt.Sprintf("u%d@x.example", n)) },
			"/Groups": func(n int) map[string]any { return map[string]any{"displayName": fmt.Sprintf("g%d", n)} },
		}
		for endpoint, body := range bodies {
			for n, accept := range []string{"", "*/*", "application/json", "application/scim+json", "application/scim+json, application/json;q=0.9", "text/html", "application/vnd.x"} {
				a := c.request("POST", endpoint, map[string]string{"Accept": accept}, body(n))
				if a.status != 201 {
					t.Fatalf("POST with Accept %q: %v", accept, a)
				}
				path := endpoint + "/" + a.id()
				if a.header.Get("Location") != baseURL+c.base+path {
					t.Errorf("Location %q", a.header.Get("Location"))
				}
				for _, p := range []string{path, path + "/", path + "?attributes=meta"} {
					if b := c.request("GET", p, map[string]string{"Accept": accept}, nil); b.status != 200 || b.header.Get("ETag") != a.header.Get("ETag") {
						t.Errorf("GET %s with Accept %q: %v", p, accept, b)
					}
				}
				head := c.request("HEAD", path, nil, nil)
				if head.status != 200 || head.header.Get("ETag") == "" || head.header.Get("Content-Type") != "application/scim+json" {
					t.Errorf("HEAD: %d %v", head.status, head.header)
				}
				c.must(404, "HEAD", path+"x", nil)
				c.must(405, "POST", path, body(n))
				if again := c.do("POST", endpoint, body(n)); endpoint == "/Users" && (again.status != 409 || again.field("scimType") != "uniqueness") {
					t.Errorf("the same again: %v", again)
				}
				c.must(204, "DELETE", path+"/", nil)
				c.must(404, "DELETE", path, nil)
			}
			for method, want := range map[string]string{"PUT": "GET, POST", "PATCH": "GET, POST", "DELETE": "GET, POST", "OPTIONS": "GET, POST"} {
				if a := c.must(405, method, endpoint, nil); a.header.Get("Allow") != want {
					t.Errorf("%s %s: Allow %q", method, endpoint, a.header.Get("Allow"))
				}
			}
			for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
				c.must(405, method, endpoint+"/.search", nil)
				c.must(405, method, "/Bulk", nil)
			}
		}
	})
}

// Names of schemas and attributes in any case, and what a body may leave out.
func TestSuiteSpelling(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		a := c.must(201, "POST", "/Users", map[string]any{
			"SCHEMAS": []string{strings.ToUpper(schema.UserURN), strings.ToLower(schema.EnterpriseURN)}, "USERNAME": "Ann@x.example", "Name": map[string]any{"GIVENNAME": "Ann"},
			strings.ToUpper(schema.EnterpriseURN): map[string]any{"DEPARTMENT": "Hats"},
		})
		for path, want := range map[string]any{
			"$.userName": "Ann@x.example", "$.name.givenName": "Ann", "$['" + schema.EnterpriseURN + "'].department": "Hats",
			"$.schemas[0]": schema.UserURN, "$.schemas[1]": schema.EnterpriseURN,
		} {
			if got, _ := lookup(a.doc, path); got != want {
				t.Errorf("%s is %v", path, got)
			}
		}
		path := "/Users/" + a.id()
		for i, body := range []string{
			`{"Operations":[{"op":"add","path":"title","value":"T0"}]}`,
			`{"schemas":["` + strings.ToUpper(schema.PatchOpURN) + `"],"operations":[{"OP":"Add","PATH":"TITLE","VALUE":"T1"}]}`,
			`{"schemas":["` + schema.PatchOpURN + `"],"Operations":[{"op":"replace","value":{"` + schema.UserURN + `:title":"T2"}}]}`,
			`{"schemas":["` + schema.PatchOpURN + `"],"Operations":[{"op":"replace","path":"` + strings.ToUpper(schema.UserURN) + `:title","value":"T3"}]}`,
		} {
			if a := c.must(200, "PATCH", path, body); a.field("title") != fmt.Sprintf("T%d", i) {
				t.Errorf("%s: %v", body, a)
			}
		}
		for body, scimType := range map[string]string{
			`{"schemas":["` + schema.GroupURN + `"],"userName":"b@x.example"}`: "invalidValue",
			`{"schemas":"nope","userName":1}`:                                  "invalidValue",
			`{"schemas":[7],"userName":"b@x.example"}`:                         "invalidValue",
			`{"userName":"  "}`:                                                "invalidValue",
			`{"userName":"b@x.example","emails":[{"value":"a","primary":true},{"value":"b","primary":true}]}`: "invalidValue",
			`{"userName":"b@x.example","active":"maybe"}`:                                                     "invalidValue",
			`{"userName":"b@x.example","name":"x"}`:                                                           "invalidValue",
			`{"userName":"b@x.example","emails":{"value":{}}}`:                                                "invalidValue",
			`{"userName":"b@x.example","x509Certificates":[{"value":"not base64!"}]}`:                         "invalidValue",
			`{"userName":"b@x.example","userName":"c@x.example"}`:                                             "invalidSyntax",
			`{"userName":"b@x.example"} {}`:                                                                   "invalidSyntax",
			`{"userName":"b@x.example",}`:                                                                     "invalidSyntax",
			`"userName"`:                                                                                      "invalidSyntax",
			"{\"userName\":\"\xff\"}":                                                                         "invalidSyntax",
		} {
			if a := c.do("POST", "/Users", body); a.status != 400 || a.field("scimType") != scimType {
				t.Errorf("%s: %v, want %s", body, a, scimType)
			}
		}
		for body, scimType := range map[string]string{
			`{"Operations":{}}`: "invalidSyntax", `{"Operations":[]}`: "invalidSyntax", `{}`: "invalidSyntax", `{"Operations":[7]}`: "invalidSyntax",
			`{"Operations":[{"op":"move","path":"title"}]}`: "invalidSyntax", `{"Operations":[{"path":"title","value":1}]}`: "invalidSyntax",
			`{"Operations":[{"op":"add","path":7,"value":1}]}`: "invalidPath", `{"Operations":[{"op":"replace","path":"title"}]}`: "invalidValue",
			`{"Operations":[{"op":"add","value":"x"}]}`: "invalidValue", `{"Operations":[{"op":"add","path":"nothing","value":"x"}]}`: "invalidPath",
			`{"Operations":[{"op":"add","path":"name.nothing","value":"x"}]}`:                      "invalidPath",
			`{"Operations":[{"op":"add","path":"title..x","value":"x"}]}`:                          "invalidPath",
			`{"Operations":[{"op":"replace","path":"title[value eq \"x\"]","value":"x"}]}`:         "invalidPath",
			`{"Operations":[{"op":"replace","path":"emails[type eq \"fax\"].value","value":"x"}]}`: "noTarget",
			`{"Operations":[{"op":"replace","path":"emails[type xx \"fax\"]","value":"x"}]}`:       "invalidFilter",
			`{"Operations":[{"op":"remove","path":"userName"}]}`:                                   "mutability",
			`{"Operations":[{"op":"remove"}]}`:                                                     "noTarget",
		} {
			if a := c.do("PATCH", path, body); a.status != 400 || a.field("scimType") != scimType {
				t.Errorf("PATCH %s: %v, want %s", body, a, scimType)
			}
		}
	})
}

// The arithmetic of RFC 7644 §3.4.2.4 on seven users, as query and as search.
func TestSuitePagination(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		c.users(7, "u")
		for _, filter := range []string{"", `userName sw "u"`, `name.familyName eq "Test"`} { // without, in SQL, by the matcher
			for _, x := range []struct{ query, start, items string }{
				{"", "1", "7"},
				{"startIndex=1", "1", "7"},
				{"startIndex=0", "1", "7"},
				{"startIndex=-5&count=3", "1", "3"},
				{"startIndex=5", "5", "3"},
				{"startIndex=5&count=2", "5", "2"},
				{"startIndex=7&count=2", "7", "1"},
				{"startIndex=8&count=2", "8", "0"},
				{"startIndex=100", "100", "0"},
				{"startIndex=99999999999999999999", "2147483647", "0"},
				{"count=0", "1", "0"},
				{"count=-1", "1", "0"},
				{"count=-99999999999999999999", "1", "0"},
				{"startIndex=3&count=0", "3", "0"},
				{"count=1000", "1", "7"},
				{"count=99999999999999999999", "1", "7"},
			} {
				check := func(how string, a answer) {
					t.Helper()
					list, ok := a.field("Resources").([]any)
					if !ok || fmt.Sprint(a.field("totalResults"), int(a.field("startIndex").(float64)), len(list)) != "7 "+x.start+" "+x.items {
						t.Errorf("%s %q %q: %v", how, filter, x.query, a)
					}
				}
				query, body := "?"+x.query, map[string]any{"schemas": []string{schema.SearchRequestURN}}
				if filter != "" {
					query += "&filter=" + url.QueryEscape(filter)
					body["filter"] = filter
				}
				check("GET", c.must(200, "GET", "/Users"+query, nil))
				values, _ := url.ParseQuery(x.query)
				for k, v := range values {
					body[k] = number(v[0])
				}
				check("search", c.must(200, "POST", "/Users/.search", body))
			}
		}
		for _, query := range []string{
			"count=ten", "startIndex=1.5", "count=", "startIndex=1e3", "count=1&count=2", "sortOrder=up", "sortBy=nothing", "sortBy=emails.nothing", "sortBy=password",
			"sortBy=members", "filter=%zz", "cursor=x", "cursor=" + strings.Repeat("a", 2000),
		} {
			if a := c.do("GET", "/Users?"+query, nil); a.status != 400 {
				t.Errorf("%s: %v", query, a)
			}
		}
		for _, query := range []string{"sortBy=userName&sortOrder=DESCENDING", "sortOrder=ascending", "unknown=1", "filter=", "sortBy=", "attributes=%20", "&&count=7&", "sortBy=emails", "sortBy=name.familyName"} {
			if a := c.must(200, "GET", "/Users?"+query, nil); total(a) != 7 {
				t.Errorf("%s: %v", query, a)
			}
		}
		for body, scimType := range map[string]string{
			`{"count":"ten"}`: "invalidSyntax", `{"startIndex":1.5}`: "invalidValue", `{"filter":7}`: "invalidSyntax", `{"attributes":7}`: "invalidSyntax", `{"attributes":[7]}`: "invalidSyntax",
			`{"sortBy":[]}`: "invalidSyntax", `{"sortOrder":"up"}`: "invalidValue", `{"filter":"userName eq"}`: "invalidFilter", `{"cursor":7}`: "invalidSyntax", `[]`: "invalidSyntax", ``: "invalidSyntax",
			`{`: "invalidSyntax",
		} {
			for _, path := range []string{"/Users/.search", "/Groups/.search", "/.search"} {
				if a := c.do("POST", path, body); a.status != 400 || a.field("scimType") != scimType {
					t.Errorf("%s %s: %v, want %s", path, body, a, scimType)
				}
			}
		}
		if a := c.request("POST", "/.search", map[string]string{"Content-Type": "text/plain"}, "{}"); a.status != 415 {
			t.Errorf("a search in text: %v", a)
		}
		if a := c.must(200, "POST", "/.search", map[string]any{"count": 3, "attributes": "userName, id", "filter": nil}); total(a) != 7 || len(userNames(a)) != 3 || strings.Contains(string(a.raw), "familyName") {
			t.Errorf("a search with names in one string: %v", a)
		}
	})
}

func number(s string) any {
	var n any = schema.NewObject(0)
	if o, err := schema.Decode([]byte(`{"n":` + s + `}`)); err == nil {
		n, _ = o.Get("n")
	}
	return n
}

// Filters that cannot be read or meant are refused, each with its reason, and
// never taken for no filter.
func TestSuiteFilterErrors(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		c.users(1, "u")
		for _, filter := range []string{
			"userName", "userName eq", `userName eq "u`, `userName xx "u"`, `eq "u"`, `(userName eq "u"`, `userName eq "u")`, `userName eq "u" and`, `not userName eq "u"`,
			`userName eq u`, `userName eq 'u'`, `emails[type eq "work"`, `emails[]`, `password eq "x"`, `password pr`, `active gt true`, `active co "t"`,
			`userName pr "x"`, `userName eq "\q"`, `meta.created gt "yesterday"`, `userName eq "u" userName eq "u"`,
			"   ( ) ", strings.Repeat("(", 500) + `userName pr` + strings.Repeat(")", 500),
			strings.Repeat(`userName pr or `, 500) + `userName pr`,
		} {
			a := c.do("GET", "/Users"+searchFor(filter), nil)
			if a.status != 400 || a.field("scimType") != "invalidFilter" && a.field("scimType") != "sensitive" {
				t.Errorf("%.60s: %v", filter, a)
			}
			if b := c.do("POST", "/Users/.search", map[string]any{"filter": filter}); b.status != a.status || b.field("scimType") != a.field("scimType") {
				t.Errorf("%.60s as a search: %v", filter, b)
			}
		}
		// Where unknown attributes are not taken for absent ones.
		strict := g.connect(c.tenant, "okta", "soft")
		for _, filter := range []string{`nothing pr`, `a.b.c eq 1`, `urn:ietf:params:scim:schemas:core:2.0:User: eq 1`, `emails.nothing eq "x"`, badgeURN + `:number eq 1`} {
			if a := strict.do("GET", "/Users"+searchFor(filter), nil); a.status != 400 || a.field("scimType") != "invalidFilter" {
				t.Errorf("%s: %v", filter, a)
			}
		}
	})
}

// Entity tags: every form of If-Match and If-None-Match on each method.
func TestSuitePreconditions(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		for endpoint, body := range map[string]map[string]any{"/Users": user("ann@x.example"), "/Groups": {"displayName": "g"}} {
			path := endpoint + "/" + c.must(201, "POST", endpoint, body).id()
			for _, x := range []struct {
				ifMatch string
				ok      bool
			}{
				{"*", true}, {`W/"%d"`, true}, {`"%d"`, true}, {`"a", W/"%d"`, true}, {`"a","b" , *`, true}, {`%d`, false}, {`W/"999"`, false}, {`"x"`, false}, {`w/"%d"`, false}, {`,`, false},
			} {
				tag := x.ifMatch
				if strings.Contains(tag, "%d") {
					tag = fmt.Sprintf(tag, version(c.must(200, "GET", path, nil)))
				}
				want := map[bool][]int{true: {200, 204}, false: {412}}[x.ok]
				for method, change := range map[string]any{"PUT": body, "PATCH": patchOp(map[string]any{"op": "add", "path": "displayName", "value": "same"})} {
					if strings.Contains(x.ifMatch, "%d") {
						tag = fmt.Sprintf(x.ifMatch, version(c.must(200, "GET", path, nil)))
					}
					if a := c.request(method, path, map[string]string{"If-Match": tag}, change); !slices.Contains(want, a.status) {
						t.Errorf("%s with If-Match %s: %v", method, tag, a)
					}
				}
				if !x.ok {
					if a := c.request("DELETE", path, map[string]string{"If-Match": tag}, nil); a.status != 412 {
						t.Errorf("DELETE with If-Match %s: %v", tag, a)
					}
				}
			}
			now := c.must(200, "GET", path, nil).header.Get("ETag")
			for tag, want := range map[string]int{now: 304, strings.TrimPrefix(now, "W/"): 304, "*": 304, `"x", ` + now: 304, `W/"0"`: 200, `"x"`: 200, "": 200} {
				for _, method := range []string{"GET", "HEAD"} {
					if a := c.request(method, path, map[string]string{"If-None-Match": tag}, nil); a.status != want || a.header.Get("ETag") != now {
						t.Errorf("%s with If-None-Match %s: %d %q", method, tag, a.status, a.header.Get("ETag"))
					}
				}
			}
			for _, method := range []string{"PUT", "PATCH", "DELETE"} {
				change := any(body)
				if method == "PATCH" {
					change = patchOp(map[string]any{"op": "add", "path": "displayName", "value": "x"})
				}
				if a := c.request(method, path+"x", map[string]string{"If-Match": "*"}, change); a.status != 404 {
					t.Errorf("%s of nothing with If-Match *: %v", method, a)
				}
			}
			if a := c.request("DELETE", path, map[string]string{"If-Match": now}, nil); a.status != 204 {
				t.Errorf("DELETE with its version: %v", a)
			}
		}
	})
}

// Who leaves a group by being deleted changes the group: a client that has the
// version before is told.
func TestSuiteVersionsOfGroups(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		for _, mode := range []string{"soft", "hard"} {
			g := newGateway(t, d, options{})
			c := g.connect(g.tenant(mode), "rfc", mode)
			u := c.users(3, mode)
			group := "/Groups/" + c.must(201, "POST", "/Groups", map[string]any{"displayName": "g", "members": members(u[0], u[1])}).id()
			outer := "/Groups/" + c.must(201, "POST", "/Groups", map[string]any{"displayName": "o", "members": members(group[8:])}).id()
			other := "/Groups/" + c.must(201, "POST", "/Groups", map[string]any{"displayName": "x", "members": members(u[1])}).id()
			changed := func(what, path string, want bool, change func()) {
				t.Helper()
				before := c.must(200, "GET", path, nil)
				change()
				a := c.request("GET", path, map[string]string{"If-None-Match": before.header.Get("ETag")}, nil)
				if (a.status == 200) != want || want && version(a) != version(before)+1 {
					t.Errorf("%s: %v %s after %s", what, a, a.header.Get("ETag"), before.header.Get("ETag"))
				}
			}
			changed("a DELETE that is refused", group, false, func() {
				c.request("DELETE", "/Users/"+u[0], map[string]string{"If-Match": `W/"7"`}, nil)
			})
			changed("another's DELETE", group, false, func() { c.must(204, "DELETE", "/Users/"+u[2], nil) })
			changed("a group without the user", other, false, func() { c.must(204, "DELETE", "/Users/"+u[0], nil) })
			changed("a member's DELETE", group, true, func() { c.must(204, "DELETE", "/Users/"+u[1], nil) })
			changed("the DELETE of a group within", outer, true, func() { c.must(204, "DELETE", group, nil) })
		}
	})
}

// The rules of RFC 9865.
func TestSuiteCursors(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		now := clock.NewFake(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
		g := newGateway(t, d, options{clock: now})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		c.users(5, "u")
		get := func(query string) answer { return c.do("GET", "/Users?"+query, nil) }
		for _, filter := range []string{"", "&filter=" + url.QueryEscape(`name.familyName eq "Test"`), "&sortBy=title", "&sortBy=userName&sortOrder=descending"} {
			first := get("count=2&cursor=" + filter)
			next, _ := first.field("nextCursor").(string)
			if next == "" || strings.Trim(next, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") != "" || first.field("previousCursor") != nil || first.field("startIndex") != nil {
				t.Fatalf("first page %s: %v", filter, first)
			}
			second := get("count=2&cursor=" + next + filter)
			last, _ := second.field("nextCursor").(string)
			third := get("count=2&cursor=" + last + filter)
			if _, more := third.doc.(map[string]any)["nextCursor"]; more || len(userNames(third)) != 1 || third.field("totalResults") != 5.0 {
				t.Errorf("last page %s: %v", filter, third)
			}
			if again := get("count=2&cursor=" + next + filter); !slices.Equal(userNames(again), userNames(second)) {
				t.Errorf("a cursor read twice %s: %v", filter, again)
			}
			for query, scimType := range map[string]string{
				"count=3&cursor=" + next + filter: "invalidCount", "cursor=" + next + filter: "invalidCount", "count=0&cursor=" + next + filter: "invalidCount",
				"count=2&cursor=" + next + filter + "x": "", "count=2&cursor=" + strings.ToUpper(next) + filter: "invalidCursor",
				"count=2&cursor=" + next + "&filter=" + url.QueryEscape(`userName pr`): "invalidCursor",
				"count=2&startIndex=3&cursor=" + next + filter:                         "invalidValue",
				"count=2&startIndex=3&cursor=" + filter:                                "invalidValue",
				"count=2&startIndex=1&cursor=" + next + filter:                         "none",
			} {
				if filter != "" && (scimType == "" || strings.Contains(query, "userName")) {
					continue
				}
				if scimType == "" {
					scimType = "invalidCursor"
				}
				if a := get(query); scimType == "none" && a.status != 200 || scimType != "none" && (a.status != 400 || a.field("scimType") != scimType) {
					t.Errorf("%s: %v, want %s", query, a, scimType)
				}
			}
		}
		exact := get("count=5&cursor")
		if exact.field("nextCursor") != nil || len(userNames(exact)) != 5 {
			t.Errorf("a page of all: %v", exact)
		}
		for query, items := range map[string]int{"cursor=&count=0": 0, "cursor=&count=-3": 0, "cursor=": 5, "cursor=&count=100000": 5, "cursor=&filter=" + url.QueryEscape(`userName eq "nobody"`): 0} {
			a := get(query)
			if _, more := a.doc.(map[string]any)["nextCursor"]; a.status != 200 || len(userNames(a)) != items || more {
				t.Errorf("%s: %v", query, a)
			}
		}
		// As a search, and on to the end of the hour.
		body := map[string]any{"cursor": "", "count": 4}
		found := c.must(200, "POST", "/Users/.search", body)
		body["cursor"] = found.field("nextCursor")
		if rest := c.must(200, "POST", "/Users/.search", body); len(userNames(rest)) != 1 {
			t.Errorf("search: %v", rest)
		}
		for _, a := range []answer{c.do("POST", "/Users/.search", map[string]any{"cursor": "forged", "count": 4}), c.do("POST", "/.search", map[string]any{"cursor": ""})} {
			if a.status != 400 || a.field("scimType") != "invalidCursor" {
				t.Errorf("search: %v", a)
			}
		}
		now.Advance(schema.CursorLifetime * time.Second)
		if a := c.do("POST", "/Users/.search", body); a.status != 400 || a.field("scimType") != "expiredCursor" {
			t.Errorf("an hour later: %v", a)
		}
	})
}

package scim_test

import (
	"fmt"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// Bulk requests: the form of every answer, and the errors of the whole and of
// each operation (RFC 7644 §3.7).
func TestSuiteBulk(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		for body, scimType := range map[string]string{
			``: "invalidSyntax", `{}`: "invalidSyntax", `[]`: "invalidSyntax", `{"Operations":{}}`: "invalidSyntax", `{"Operations":null}`: "invalidSyntax",
			`{"Operations":[],"failOnErrors":"x"}`: "invalidSyntax", `{"Operations":[],"failOnErrors":1.5}`: "invalidValue",
			`{"Operations":[{"method":"POST","path":"/Users","bulkId":"a","data":{}},{"method":"POST","path":"/Users","bulkId":"a","data":{}}]}`: "invalidValue",
		} {
			if a := c.do("POST", "/Bulk", body); a.status != 400 || a.field("scimType") != scimType {
				t.Errorf("%s: %v, want %s", body, a, scimType)
			}
		}
		c.must(405, "GET", "/Bulk", nil)
		if a := c.must(200, "POST", "/Bulk/", `{"Operations":[]}`); len(a.field("Operations").([]any)) != 0 {
			t.Errorf("no operations: %v", a)
		}

		ann := c.must(201, "POST", "/Users", user("ann@x.example"))
		path := "/Users/" + ann.id()
		title := patchOp(map[string]any{"op": "replace", "path": "title", "value": "x"})
		for _, x := range []struct {
			op       map[string]any
			status   string
			scimType any
			located  bool // RFC 7644 §3.7.3: but for a POST that failed
		}{
			{map[string]any{"method": "POST", "path": "/Users", "bulkId": "new", "data": user("bob@x.example")}, "201", nil, true},
			{map[string]any{"method": "post", "path": "/Groups", "bulkId": "g", "data": map[string]any{"displayName": "g"}}, "201", nil, true},
			{map[string]any{"method": "POST", "path": "/Users", "bulkId": "again", "data": user("ann@x.example")}, "409", "uniqueness", false},
			{map[string]any{"method": "POST", "path": "/Users", "data": user("carl@x.example")}, "400", "invalidValue", false},
			{map[string]any{"method": "POST", "path": "/Users", "bulkId": "e", "data": map[string]any{}}, "400", "invalidValue", false},
			{map[string]any{"method": "POST", "path": "/Users", "bulkId": "n"}, "400", "invalidSyntax", false},
			{map[string]any{"method": "POST", "path": path, "bulkId": "p", "data": title}, "400", "invalidPath", false},
			{map[string]any{"method": "PATCH", "path": path, "data": title}, "200", nil, true},
			{map[string]any{"method": "PATCH", "path": path, "data": title, "version": `W/"999"`}, "412", nil, true},
			{map[string]any{"method": "PUT", "path": path, "data": map[string]any{}}, "400", "invalidValue", true},
			{map[string]any{"method": "PATCH", "path": path, "data": patchOp(map[string]any{"op": "add", "path": "nothing", "value": 1})}, "400", "invalidPath", true},
			{map[string]any{"method": "PUT", "path": path, "data": user("ann@x.example"), "version": "*"}, "200", nil, true},
			{map[string]any{"method": "PUT", "path": "/Users/res_nobody", "data": user("x@x.example")}, "404", nil, true},
			{map[string]any{"method": "PATCH", "path": "/Users/bulkId:nobody", "data": title}, "400", "invalidValue", false},
			{map[string]any{"method": "DELETE", "path": path + "/x"}, "400", "invalidPath", false},
			{map[string]any{"method": "DELETE", "path": "/Users"}, "400", "invalidPath", false},
			{map[string]any{"method": "DELETE", "path": "/Devices/1"}, "400", "invalidPath", false},
			{map[string]any{"method": "DELETE"}, "400", "invalidPath", false},
			{map[string]any{"method": "GET", "path": path}, "400", "invalidSyntax", true},
			{map[string]any{"path": path}, "400", "invalidSyntax", true},
			{map[string]any{"method": 7, "path": path}, "400", "invalidSyntax", false},
			{map[string]any{"method": "DELETE", "path": path}, "204", nil, true},
			{map[string]any{"method": "DELETE", "path": path}, "404", nil, true},
		} {
			a := c.must(200, "POST", "/Bulk", map[string]any{"schemas": []string{schema.BulkRequestURN}, "failOnErrors": 1, "Operations": []any{x.op}})
			list, _ := a.field("Operations").([]any)
			if fmt.Sprint(a.field("schemas")) != "["+schema.BulkResponseURN+"]" || len(list) != 1 {
				t.Errorf("%v: %v", x.op, a)
				continue
			}
			r := list[0].(map[string]any)
			response, failed := r["response"].(map[string]any)
			if r["status"] != x.status || response["scimType"] != x.scimType || failed != (x.status[0] == '4') || failed && response["status"] != x.status {
				t.Errorf("%v: %v, want %s %v", x.op, a, x.status, x.scimType)
			}
			if location, ok := r["location"].(string); ok != x.located || ok && len(location) <= len(baseURL+c.base+"/Users/") {
				t.Errorf("%v: location %q", x.op, location)
			}
			if r["bulkId"] != x.op["bulkId"] {
				t.Errorf("%v: bulkId %v", x.op, r["bulkId"])
			}
			if version, ok := r["version"]; ok != (!failed && x.status != "204") {
				t.Errorf("%v: version %v", x.op, version)
			}
		}
		if n := g.failures.Len(); n > 0 {
			t.Errorf("logged as our fault: %s", g.failures)
		}
	})
}

// A query over all types: order, counts and pages run through users and then
// groups, as query and as search.
func TestSuiteRootQuery(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		c.users(3, "u")
		for _, name := range []string{"u-one", "u-two"} {
			c.must(201, "POST", "/Groups", map[string]any{"displayName": name, "externalId": name})
		}
		for _, x := range []struct {
			filter       string
			start, count any
			total, items int
		}{
			{"", nil, nil, 5, 5},
			{"", 3, 2, 5, 2},
			{"", 5, 9, 5, 1},
			{"", 6, 9, 5, 0},
			{"", nil, 0, 5, 0},
			{"", 0, -1, 5, 0},
			{`userName eq "u0@x.example"`, nil, nil, 1, 1},
			{`displayName sw "u-"`, nil, 1, 2, 1},
			{`externalId pr`, 3, 2, 5, 2},
			{`meta.resourceType eq "User"`, nil, nil, 3, 3},
			{`meta.resourceType eq "Group" or userName eq "U1@X.example"`, nil, nil, 3, 3},
			{`not (displayName pr)`, nil, nil, 3, 3},
			{`nothing eq "x"`, nil, nil, 0, 0},
			{`members pr or emails pr`, nil, nil, 3, 3},
			{`id pr and meta.lastModified gt "2020-01-01T00:00:00Z"`, 2, 3, 5, 3},
		} {
			query, body := "/?x=1", map[string]any{"schemas": []string{schema.SearchRequestURN}}
			for name, v := range map[string]any{"startIndex": x.start, "count": x.count} {
				if v != nil {
					query += fmt.Sprintf("&%s=%v", name, v)
					body[name] = v
				}
			}
			if x.filter != "" {
				query += "&" + searchFor(x.filter)[1:]
				body["filter"] = x.filter
			}
			for _, a := range []answer{c.must(200, "GET", query, nil), c.must(200, "POST", "/.search", body)} {
				if list, _ := a.field("Resources").([]any); total(a) != x.total || len(list) != x.items {
					t.Errorf("%q from %v, %v: %v", x.filter, x.start, x.count, a)
				}
			}
		}
		for _, filter := range []string{"userName eq", `password eq "x"`} {
			if a := c.do("GET", "/"+searchFor(filter), nil); a.status != 400 {
				t.Errorf("%s: %v", filter, a)
			}
		}
		c.must(405, "POST", "/", map[string]any{})
		c.must(405, "GET", "/.search", nil)
	})
}

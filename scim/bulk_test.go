package scim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/scim"
)

type bulkResult struct{ method, bulkID, location, version, status, scimType string }

func (c connection) bulk(failOn int, ops ...map[string]any) []bulkResult {
	c.g.t.Helper()
	a := c.must(200, "POST", "/Bulk", map[string]any{
		"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:BulkRequest"}, "failOnErrors": failOn, "Operations": ops,
	})
	list, _ := a.field("Operations").([]any)
	var out []bulkResult
	for _, o := range list {
		get := func(path string) string {
			v, _ := lookup(o, path)
			if v == nil {
				return ""
			}
			return fmt.Sprint(v)
		}
		out = append(out, bulkResult{get("$.method"), get("$.bulkId"), get("$.location"), get("$.version"), get("$.status"), get("$.response.scimType")})
	}
	return out
}

func (r bulkResult) id() string { return r.location[strings.LastIndexByte(r.location, '/')+1:] }

func TestBulk(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		withManager := func(name, manager string) map[string]any {
			u := user(name)
			u["schemas"] = []string{"urn:ietf:params:scim:schemas:core:2.0:User", enterprise}
			u[enterprise] = map[string]any{"manager": map[string]any{"value": manager}, "department": "d"}
			return u
		}
		post := func(id, path string, data any) map[string]any {
			return map[string]any{"method": "POST", "path": path, "bulkId": id, "data": data}
		}
		got := c.bulk(0,
			post("g", "/Groups", map[string]any{"displayName": "Eng", "members": members("bulkId:a", "bulkId:b")}), // forward
			post("a", "/Users", withManager("a@x.example", "bulkId:b")),                                            // a circle
			post("b", "/Users", withManager("b@x.example", "bulkId:a")),
			post("c", "/Users", user("a@x.example")), // a conflict
			map[string]any{"method": "PATCH", "path": "/Users/bulkId:a", "data": patchOp(map[string]any{"op": "replace", "path": "title", "value": "T"})},
			map[string]any{"method": "PUT", "path": "/Users/res_nobody", "data": user("z@x.example")},
			post("e", "/Users", withManager("e@x.example", "bulkId:nobody")),
			post("f", "/Users", withManager("f@x.example", "bulkId:c")),
			map[string]any{"method": "GET", "path": "/Users"},
		)
		want := []string{"201", "201", "201", "409", "200", "404", "400", "409", "400"}
		if len(got) != len(want) {
			t.Fatalf("%d results: %v", len(got), got)
		}
		for i := range want {
			if got[i].status != want[i] {
				t.Errorf("operation %d: %+v, want status %s", i, got[i], want[i])
			}
		}
		if got[3].scimType != "uniqueness" {
			t.Errorf("conflict: %+v", got[3])
		}
		a, b := got[1].id(), got[2].id()
		for user, manager := range map[string]string{a: b, b: a} {
			if v, _ := lookup(c.must(200, "GET", "/Users/"+user, nil).doc, "$['"+enterprise+"'].manager.value"); v != manager {
				t.Errorf("manager of %s: %v, want %s", user, v, manager)
			}
		}
		if v := c.must(200, "GET", "/Users/"+a, nil); v.field("title") != "T" {
			t.Errorf("PATCH by bulkId: %v", v)
		}
		if n := len(c.membersOf(got[0].id())); n != 2 {
			t.Errorf("%d members by bulkId", n)
		}
		got = c.bulk(1,
			map[string]any{"method": "DELETE", "path": "/Users/" + a, "version": `W/"999"`},
			map[string]any{"method": "DELETE", "path": "/Users/" + b},
		)
		if len(got) != 1 || got[0].status != "412" {
			t.Errorf("failOnErrors 1: %v", got)
		}
		if got = c.bulk(0, map[string]any{"method": "DELETE", "path": "/Users/" + b}); got[0].status != "204" {
			t.Errorf("DELETE: %v", got)
		}
		if g.failures.Len() > 0 {
			t.Error(g.failures)
		}
	})
}

const enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

func TestBulkLimits(t *testing.T) {
	d := dbtest.Open(t, db.SQLite)
	g := newGateway(t, d, options{})
	c := g.connect(g.tenant("a"), "rfc", "soft")
	ops := make([]any, 1001)
	for i := range ops {
		ops[i] = map[string]any{"method": "DELETE", "path": "/Users/x"}
	}
	for name, x := range map[string]struct {
		body   any
		status int
	}{
		"1,001 operations": {map[string]any{"Operations": ops}, 413},
		"no operations":    {map[string]any{}, 400},
		"a bulkId twice": {map[string]any{"Operations": []any{
			map[string]any{"method": "POST", "path": "/Users", "bulkId": "a", "data": user("a@x.example")},
			map[string]any{"method": "POST", "path": "/Users", "bulkId": "a", "data": user("b@x.example")},
		}}, 400},
		"over 1 MiB": {`{"x":"` + strings.Repeat("x", 1<<20) + `"}`, 413},
	} {
		if a := c.do("POST", "/Bulk", x.body); a.status != x.status {
			t.Errorf("%s: %.200s", name, a)
		}
	}
}

// Operations are refused in their turn, count and are logged like others.
func TestBulkRefusesInTurn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		post := func(id, path string, data any) map[string]any {
			return map[string]any{"method": "POST", "path": path, "bulkId": id, "data": data}
		}
		got := c.bulk(1,
			post("a", "/Users", user("a@x.example")),
			map[string]any{"method": "PATCH", "path": "Users/bulkId:a", "data": patchOp(map[string]any{"op": "replace", "path": "title", "value": "T"})},
			map[string]any{"method": "GET", "path": "/Users"},
			post("b", "/Users", user("b@x.example")),
		)
		if len(got) != 3 || got[0].status != "201" || got[1].status != "200" || got[2].status != "400" {
			t.Fatalf("failOnErrors 1: %v", got)
		}
		a := got[0].id()
		c.bulk(0,
			map[string]any{"method": "POST", "path": "/Users", "data": user("c@x.example")},
			post("d", "/Groups", map[string]any{"displayName": "d", "members": members("bulkId:nobody")}),
		)
		want := []string{
			"POST /Bulk 200 ", "POST /Groups 400 No operation has the bulkId nobody.", "POST /Users 400 POST in a bulk request needs a bulkId.",
			"POST /Bulk 200 ", "GET /Users 400 The method of an operation is POST, PUT, PATCH or DELETE.", "PATCH /Users/" + a + " 200 ", "POST /Users 201 ",
		}
		list := c.entries(scim.LogFilter{})
		for _, w := range want {
			if !slices.ContainsFunc(list, func(e scim.Entry) bool {
				line := fmt.Sprintf("%s %s %d ", e.Method, e.Path, e.Status)
				return strings.HasPrefix(w, line) && strings.Contains(e.Detail, strings.TrimPrefix(w, line))
			}) {
				t.Errorf("the log lacks %q: %v", w, list)
			}
		}
		if len(list) != len(want) {
			t.Errorf("%d entries, want %d", len(list), len(want))
		}
		// Two groups within each other cannot be (RFC 7644 §3.7.1).
		got = c.bulk(0, post("x", "/Groups", map[string]any{"displayName": "x", "members": members("bulkId:y")}), post("y", "/Groups", map[string]any{"displayName": "y", "members": members("bulkId:x")}))
		if len(got) != 2 || got[0].status != "201" || got[1].status != "409" {
			t.Errorf("a circle of groups: %v", got)
		}
	})
}

package scim_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/scim"
	"github.com/gatehouse-id/gatehouse/tenants"
)

const badgeURN = "urn:example:scim:2.0:Badge"

// badge is an extension with one attribute of each sort that answers treat apart.
func badge() tenants.SCIMSchema {
	return tenants.SCIMSchema{
		URN: badgeURN, Name: "Badge", ResourceType: "User",
		Attributes: []tenants.SCIMAttribute{
			{Name: "number", Type: "integer"},
			{Name: "colour", Returned: "always"},
			{Name: "pin", Mutability: "writeOnly"},
			{Name: "photo", Returned: "request"},
			{Name: "doors", Type: "complex", MultiValued: true, SubAttributes: []tenants.SCIMAttribute{{Name: "value"}, {Name: "type"}, {Name: "code", Returned: "never"}}},
		},
	}
}

func (g *gateway) put(tenant string, x tenants.SCIMSchema) {
	g.t.Helper()
	err := g.d.Tx(g.t.Context(), func(q db.Queryer) error {
		_, err := g.tenants.PutSCIMSchema(g.t.Context(), g.admin, q, tenant, x, scim.CheckSchema)
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
}

func (g *gateway) drop(tenant, urn string) {
	g.t.Helper()
	err := g.d.Tx(g.t.Context(), func(q db.Queryer) error {
		return g.tenants.DeleteSCIMSchema(g.t.Context(), g.admin, q, tenant, urn)
	})
	if err != nil {
		g.t.Fatal(err)
	}
}

func extended(name string, values map[string]any) map[string]any {
	body := user(name)
	body["schemas"] = []string{"urn:ietf:params:scim:schemas:core:2.0:User", badgeURN}
	body[badgeURN] = values
	return body
}

// extension is what an answer shows of the extension, as JSON with sorted keys.
func (a answer) extension() string {
	v := a.field(badgeURN)
	if v == nil {
		return ""
	}
	text, _ := json.Marshal(v)
	return string(text)
}

func TestOwnSchemas(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		tenant := g.tenant("a")
		c, other := g.connect(tenant, "rfc", "soft"), g.connect(g.tenant("b"), "rfc", "soft")
		full := map[string]any{"number": 7, "colour": "red", "pin": "s3cr3t-pin", "photo": "cGhvdG8=", "doors": []any{map[string]any{"value": "North", "type": "main", "code": "99"}}}
		if a := c.do("POST", "/Users", extended("early@x.example", full)); a.status != 201 || a.extension() != "" {
			t.Errorf("before the schema is defined: %v", a)
		}
		g.put(tenant, badge())

		for path, want := range map[string]bool{"/Schemas": true, "/Schemas/" + badgeURN: true, "/ResourceTypes": true, "/ResourceTypes/User": true, "/ResourceTypes/Group": false} {
			if a := c.must(200, "GET", path, nil); strings.Contains(string(a.raw), badgeURN) != want {
				t.Errorf("%s: %v", path, a)
			}
		}
		if a := other.must(200, "GET", "/Schemas", nil); strings.Contains(string(a.raw), badgeURN) {
			t.Error("the neighbour sees the schema")
		}
		other.must(404, "GET", "/Schemas/"+badgeURN, nil)
		if a := other.must(201, "POST", "/Users", extended("ann@x.example", full)); a.extension() != "" {
			t.Errorf("the neighbour stores the extension: %v", a)
		}

		a := c.must(201, "POST", "/Users", extended("ann@x.example", full))
		const shown = `{"colour":"red","doors":[{"type":"main","value":"North"}],"number":7}`
		if a.extension() != shown || !strings.Contains(fmt.Sprint(a.field("schemas")), badgeURN) {
			t.Errorf("created: %v", a)
		}
		path := "/Users/" + a.id()
		for query, want := range map[string]string{
			"":                                        shown,
			"?attributes=userName":                    `{"colour":"red"}`,
			"?attributes=" + badgeURN + ":photo":      `{"colour":"red","photo":"cGhvdG8="}`,
			"?attributes=" + badgeURN + ":pin":        `{"colour":"red"}`,
			"?attributes=" + badgeURN:                 shown,
			"?excludedAttributes=" + badgeURN:         `{"colour":"red"}`,
			"?excludedAttributes=userName":            shown,
			"?attributes=" + badgeURN + ":doors":      `{"colour":"red","doors":[{"type":"main","value":"North"}]}`,
			"?attributes=" + badgeURN + ":doors.code": `{"colour":"red"}`,
		} {
			if a := c.must(200, "GET", path+query, nil); a.extension() != want {
				t.Errorf("%s: %s, want %s", query, a.extension(), want)
			}
		}
		for body, bad := range map[string]map[string]any{
			"a string for a number": {"number": "x"}, "half a number": {"number": 1.5}, "one for a list": {"doors": "x"},
		} {
			if a := c.do("POST", "/Users", extended("bob@x.example", bad)); a.status != 400 || a.field("scimType") != "invalidValue" {
				t.Errorf("%s: %v", body, a)
			}
		}

		c.must(200, "PATCH", path, patchOp(
			map[string]any{"op": "replace", "path": badgeURN + ":number", "value": 8},
			map[string]any{"op": "replace", "path": badgeURN + `:doors[value eq "north"].type`, "value": "side"},
		))
		if a := c.must(200, "GET", path, nil); a.extension() != `{"colour":"red","doors":[{"type":"side","value":"North"}],"number":8}` {
			t.Errorf("patched: %v", a)
		}
		c.must(200, "PATCH", path, patchOp(map[string]any{"op": "add", "value": map[string]any{badgeURN: map[string]any{"number": 9}}}))
		for filter, want := range map[string]float64{
			badgeURN + ":number eq 9": 1,
			badgeURN + ":number gt 9": 0,
			"userName eq \"early@x.example\" and " + badgeURN + ":number pr": 0,
			badgeURN + `:doors[type eq "SIDE"]`:                              1,
			badgeURN + ":colour pr":                                          1,
			badgeURN + `:colour eq "red" and active eq true`:                 1,
		} {
			if a := c.do("GET", "/Users?filter="+url.QueryEscape(filter), nil); a.field("totalResults") != want {
				t.Errorf("%s: %v, want %v", filter, a, want)
			}
		}
		if a := c.do("GET", "/Users?filter="+url.QueryEscape(badgeURN+`:pin eq "s3cr3t-pin"`), nil); a.status != 400 {
			t.Errorf("a filter on what is never returned: %v", a)
		}
		if a := c.must(200, "GET", "/Users?sortBy="+badgeURN+":number", nil); a.field("totalResults") != 2.0 || strings.Contains(string(a.raw), "s3cr3t-pin") {
			t.Errorf("sorted list: %v", a)
		}
		c.must(400, "GET", "/Users?sortBy="+badgeURN+":pin", nil)
		list := c.must(200, "POST", "/.search", map[string]any{"filter": badgeURN + ":number eq 9"})
		if strings.Contains(string(list.raw), "s3cr3t-pin") || strings.Contains(string(list.raw), "cGhvdG8") {
			t.Errorf("a search shows hidden values: %v", list)
		}
	})
}

// What is never returned is in no answer, and not in the log or the audit log
// either.
func TestNeverReturned(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "entra", "soft")
		g.put(c.tenant, badge())
		values := map[string]any{"PIN": "hush-1", "doors": []any{map[string]any{"value": "North", "code": "hush-2"}}}
		path := "/Users/" + c.must(201, "POST", "/Users", extended("ann@x.example", values)).id()
		c.must(200, "PATCH", path, patchOp(
			map[string]any{"op": "replace", "path": badgeURN + ":pin", "value": "hush-3"},
			map[string]any{"op": "replace", "path": badgeURN + `:doors[value eq "North"].code`, "value": "hush-4"},
			map[string]any{"op": "add", "path": badgeURN + ":doors", "value": []any{map[string]any{"value": "South", "code": "hush-5"}}},
			map[string]any{"op": "add", "value": map[string]any{badgeURN + ":pin": "hush-6"}},
		))
		c.do("POST", "/Users", `{"pin":"hush-7"`)
		c.do("POST", "/Users", `{"p\u0069n":"hush-8"`)
		c.must(200, "POST", "/Bulk", map[string]any{"Operations": []any{map[string]any{
			"method": "POST", "path": "/Users", "bulkId": "1", "data": extended("bob@x.example", map[string]any{"pin": "hush-9"}),
		}}})
		if err := g.log.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"scim_requests", "audit_events"} {
			rows, err := d.Query(t.Context(), everything[table])
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for rows.Next() {
				var text string
				if err := rows.Scan(&text); err != nil {
					t.Fatal(err)
				}
				n++
				if strings.Contains(text, "hush") {
					t.Errorf("%s holds a value that is never returned: %s", table, text)
				}
			}
			rows.Close()
			if n < 3 {
				t.Errorf("%d rows in %s", n, table)
			}
		}
		if g.count(`SELECT COUNT(*) FROM scim_resources WHERE doc LIKE '%hush-6%' AND doc LIKE '%hush-5%'`) != 1 {
			t.Error("the values are not stored")
		}
		if a := c.must(200, "GET", "/Users", nil); strings.Contains(string(a.raw), "hush") {
			t.Errorf("answered: %v", a)
		}
	})
}

// Values of a schema that is gone, or of an attribute that it has no more, are
// out of sight and not lost.
func TestOwnSchemaRemoved(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "generic", "soft")
		g.put(c.tenant, badge())
		path := "/Users/" + c.must(201, "POST", "/Users", extended("ann@x.example", map[string]any{"number": 7, "colour": "red"})).id()
		g.drop(c.tenant, strings.ToUpper(badgeURN))
		gone := func(when string, a answer) {
			t.Helper()
			if a.extension() != "" || strings.Contains(string(a.raw), badgeURN) {
				t.Errorf("%s: %v", when, a)
			}
		}
		gone("GET", c.must(200, "GET", path, nil))
		gone("list", c.must(200, "GET", "/Users", nil))
		gone("schemas", c.must(200, "GET", "/Schemas", nil))
		gone("PATCH", c.must(200, "PATCH", path, patchOp(map[string]any{"op": "replace", "path": "title", "value": "x"})))
		gone("PUT", c.must(200, "PUT", path, user("ann@x.example")))
		if a := c.do("GET", "/Users?filter="+url.QueryEscape(badgeURN+":number eq 7"), nil); a.field("totalResults") != 0.0 {
			t.Errorf("a filter still finds it: %v", a)
		}
		g.put(c.tenant, badge())
		if a := c.must(200, "GET", path, nil); a.extension() != `{"colour":"red","number":7}` || !strings.Contains(fmt.Sprint(a.field("schemas")), badgeURN) {
			t.Errorf("defined again: %v", a)
		}

		// Another definition: number is text now, colour is gone, size is required.
		next := badge()
		next.Attributes = []tenants.SCIMAttribute{{Name: "number"}, {Name: "size", Required: true}}
		g.put(c.tenant, next)
		gone("defined anew", c.must(200, "GET", path, nil))
		gone("PATCH after that", c.must(200, "PATCH", path, patchOp(map[string]any{"op": "replace", "path": "title", "value": "y"})))
		c.must(400, "PATCH", path, patchOp(map[string]any{"op": "remove", "path": "userName"}))
		if a := c.must(200, "PATCH", path, patchOp(map[string]any{"op": "add", "path": badgeURN + ":size", "value": "L"})); a.extension() != `{"size":"L"}` {
			t.Errorf("a new attribute: %v", a)
		}
		if a := c.do("PATCH", path, patchOp(map[string]any{"op": "remove", "path": badgeURN + ":size"})); a.status != 400 || a.field("scimType") != "mutability" {
			t.Errorf("a required attribute removed: %v", a)
		}
		if a := c.must(200, "PUT", path, extended("ann@x.example", map[string]any{"size": "M"})); a.extension() != `{"size":"M"}` {
			t.Errorf("PUT: %v", a)
		}
		g.put(c.tenant, badge())
		if a := c.must(200, "GET", path, nil); !strings.Contains(a.extension(), `"colour":"red"`) || strings.Contains(a.extension(), "size") {
			t.Errorf("as it was: %v", a)
		}
	})
}

func TestSchemasOfGroups(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		g.put(c.tenant, tenants.SCIMSchema{URN: badgeURN, Name: "Team", ResourceType: "Group", Attributes: []tenants.SCIMAttribute{{Name: "cost"}}})
		u := c.must(201, "POST", "/Users", user("ann@x.example")).id()
		a := c.must(201, "POST", "/Groups", map[string]any{
			"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group", badgeURN}, "displayName": "g", "members": members(u), badgeURN: map[string]any{"cost": "c1"},
		})
		if a.extension() != `{"cost":"c1"}` || !strings.Contains(string(a.raw), u) {
			t.Errorf("group: %v", a)
		}
		if a := c.must(200, "GET", "/Groups?filter="+url.QueryEscape(badgeURN+`:cost eq "c1"`)+"&excludedAttributes=members", nil); a.field("totalResults") != 1.0 || strings.Contains(string(a.raw), u) {
			t.Errorf("filtered: %v", a)
		}
	})
}

func TestCheckSchema(t *testing.T) {
	if err := scim.CheckSchema(badge()); err != nil {
		t.Fatal(err)
	}
	for why, change := range map[string]func(*tenants.SCIMSchema){
		"the standard's URN":        func(x *tenants.SCIMSchema) { x.URN = "urn:ietf:params:scim:schemas:extension:mine:2.0:User" },
		"no URN":                    func(x *tenants.SCIMSchema) { x.URN = "badge" },
		"no name":                   func(x *tenants.SCIMSchema) { x.Name = "" },
		"no attributes":             func(x *tenants.SCIMSchema) { x.Attributes = nil },
		"another resource":          func(x *tenants.SCIMSchema) { x.ResourceType = "Device" },
		"an unknown type":           func(x *tenants.SCIMSchema) { x.Attributes[0].Type = "uuid" },
		"a bad name":                func(x *tenants.SCIMSchema) { x.Attributes[0].Name = "a.b" },
		"one name twice":            func(x *tenants.SCIMSchema) { x.Attributes[1].Name = "NUMBER" },
		"write only and returned":   func(x *tenants.SCIMSchema) { x.Attributes[2].Returned = "default" },
		"complex within complex":    func(x *tenants.SCIMSchema) { x.Attributes[4].SubAttributes[0].Type = "complex" },
		"parts of a simple type":    func(x *tenants.SCIMSchema) { x.Attributes[0].SubAttributes = x.Attributes[4].SubAttributes },
		"a complex without parts":   func(x *tenants.SCIMSchema) { x.Attributes[4].SubAttributes = nil },
		"required but not writable": func(x *tenants.SCIMSchema) { x.Attributes[0].Required, x.Attributes[0].Mutability = true, "readOnly" },
	} {
		x := badge()
		change(&x)
		if err := scim.CheckSchema(x); fault.CodeOf(err) != "invalid_schema" {
			t.Errorf("%s: %v", why, err)
		}
	}
}

// A PATCH may name a part of a value whose required part is there, and takes that
// away no more than a PUT leaves it out.
func TestOwnSchemaRequiredParts(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		part := []tenants.SCIMAttribute{{Name: "street"}, {Name: "town", Required: true}}
		g.put(c.tenant, tenants.SCIMSchema{URN: badgeURN, Name: "Badge", ResourceType: "User", Attributes: []tenants.SCIMAttribute{
			{Name: "home", Type: "complex", SubAttributes: part},
			{Name: "offices", Type: "complex", MultiValued: true, SubAttributes: part},
			{Name: "rate", Type: "decimal"},
		}})
		home := func(street, town string) map[string]any { return map[string]any{"street": street, "town": town} }
		body := extended("ann@x.example", map[string]any{"home": home("a", "b"), "offices": []any{home("c", "d")}})
		path := "/Users/" + c.must(201, "POST", "/Users", body).id()
		for _, x := range []struct {
			name     string
			op       map[string]any
			scimType any
		}{
			{"a part", map[string]any{"op": "add", "path": badgeURN + ":home.street", "value": "x"}, nil},
			{"a part as an object", map[string]any{"op": "add", "path": badgeURN + ":home", "value": map[string]any{"street": "y"}}, nil},
			{"the required part", map[string]any{"op": "remove", "path": badgeURN + ":home.town"}, "mutability"},
			{"an element's", map[string]any{"op": "remove", "path": badgeURN + `:offices[town eq "d"].town`}, "invalidValue"},
			{"an element without it", map[string]any{"op": "add", "path": badgeURN + ":offices", "value": []any{map[string]any{"street": "z"}}}, "invalidValue"},
			{"a number beyond a double", map[string]any{"op": "add", "path": badgeURN + ":rate", "value": json.Number("1e400")}, "invalidValue"},
		} {
			a := c.do("PATCH", path, patchOp(x.op))
			if x.scimType == nil != (a.status == 200) || a.field("scimType") != x.scimType {
				t.Errorf("%s: %v, want %v", x.name, a, x.scimType)
			}
		}
		body[badgeURN] = map[string]any{"home": map[string]any{"street": "x"}}
		if a := c.do("PUT", path, body); a.status != 400 || a.field("scimType") != "invalidValue" {
			t.Errorf("PUT without the required part: %v", a)
		}
		if a := c.must(200, "GET", path, nil); a.extension() != `{"home":{"street":"y","town":"b"},"offices":[{"street":"c","town":"d"}]}` {
			t.Errorf("in the end: %v", a)
		}
	})
}

// Who sends back what he was shown takes away nothing that he was not shown.
func TestPutKeepsWhatIsHidden(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "okta", "soft")
		x := badge()
		x.Attributes = append(x.Attributes, tenants.SCIMAttribute{Name: "card", Type: "complex", SubAttributes: []tenants.SCIMAttribute{{Name: "kind"}, {Name: "code", Returned: "never"}}})
		g.put(c.tenant, x)
		stored := func(path string) string {
			t.Helper()
			var doc string
			if err := d.QueryRow(t.Context(), `SELECT doc FROM scim_resources WHERE tenant_id = $1 AND id = $2`, c.tenant, strings.TrimPrefix(path, "/Users/")).Scan(&doc); err != nil {
				t.Fatal(err)
			}
			return doc
		}
		values := map[string]any{"number": 7, "pin": "p1", "photo": "cGhvdG8=", "card": map[string]any{"kind": "k", "code": "c1"}}
		path := "/Users/" + c.must(201, "POST", "/Users", extended("ann@x.example", values)).id()
		shown := c.must(200, "GET", path, nil)
		if a := c.must(200, "PUT", path, string(shown.raw)); a.header.Get("ETag") != shown.header.Get("ETag") {
			t.Errorf("the echo of a GET changed the user: %s", stored(path))
		}
		only := "/Users/" + c.must(201, "POST", "/Users", extended("bob@x.example", map[string]any{"pin": "p2"})).id()
		c.must(200, "PUT", only, string(c.must(200, "GET", only, nil).raw))
		if !strings.Contains(stored(only), "p2") {
			t.Errorf("an extension without anything to show: %s", stored(only))
		}

		c.must(200, "PUT", path, extended("ann@x.example", map[string]any{"PIN": nil, "card": map[string]any{"kind": "l", "code": nil}}))
		if doc := stored(path); strings.Contains(doc, "p1") || strings.Contains(doc, "c1") || !strings.Contains(doc, "cGhvdG8") {
			t.Errorf("null for what is hidden: %s", doc)
		}
		c.must(200, "PUT", path, user("ann@x.example"))
		if doc := stored(path); strings.Contains(doc, badgeURN) {
			t.Errorf("without the extension: %s", doc)
		}
	})
}

package scim_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// eachModel runs a test for users and groups of a strict connection whose tenant
// defines extensions of both.
func eachModel(t *testing.T, test func(t *testing.T, m model)) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		for _, kind := range []string{"User", "Group"} {
			t.Run(kind, func(t *testing.T) {
				g := newGateway(t, d, options{})
				c := g.connect(g.tenant("everything "+kind), "rfc", "soft")
				g.put(c.tenant, everyAttribute("User"))
				g.put(c.tenant, everyAttribute("Group"))
				test(t, c.model(kind))
				if g.failures.Len() > 0 {
					t.Errorf("logged as our fault: %s", g.failures)
				}
			})
		}
	})
}

// Every writable attribute of every schema is created, read, replaced and
// cleared; what is not writable is ignored.
func TestSuiteLifecycle(t *testing.T) {
	eachModel(t, func(t *testing.T, m model) {
		same := func(when string, body map[string]any, a answer) {
			t.Helper()
			for _, p := range m.compare(body, a.doc) {
				t.Errorf("%s: %s", when, p)
			}
		}
		first, second := m.resource(1, nil), m.resource(2, nil)
		created := m.check(201, "POST", m.endpoint(), first)
		same("POST", first, created)
		path := m.endpoint() + "/" + created.id()
		same("GET", first, m.check(200, "GET", path, nil))
		list := m.check(200, "GET", m.endpoint()+searchFor(fmt.Sprintf("id eq %q", created.id())), nil)
		if found, ok := lookup(list.doc, "$.Resources[0]"); !ok || total(list) != 1 {
			t.Errorf("list: %v", list)
		} else {
			same("list", first, answer{doc: found})
		}
		same("PUT", second, m.check(200, "PUT", path, second))
		same("GET after PUT", second, m.check(200, "GET", path, nil))

		// A PUT of what a GET gave only loses what a GET does not give.
		same("echo", second, m.check(200, "PUT", path, m.check(200, "GET", path, nil).doc))

		// Without optional attributes all but what is kept on purpose is cleared.
		few := m.resource(2, func(a attr) bool { return a.Required })
		want := m.resource(2, func(a attr) bool { return a.Required })
		for _, a := range m.attrs {
			if a.Mutability == "immutable" || a.common && (a.Name == "active" || a.Name == "externalId" || a.Name == "members") {
				v := a.in(second)
				if o, ok := want[a.urn].(map[string]any); ok && !a.common {
					o[a.Name] = v
				} else {
					want[a.Name] = v
				}
			}
		}
		same("PUT of the required ones", want, m.check(200, "PUT", path, few))

		m.check(204, "DELETE", path, nil)
		for method, body := range map[string]any{"GET": nil, "DELETE": nil, "PUT": second, "PATCH": patchOp(map[string]any{"op": "add", "path": "displayName", "value": "x"})} {
			m.check(404, method, path, body)
		}
		if a := m.check(200, "GET", m.endpoint()+searchFor(fmt.Sprintf("id eq %q", created.id())), nil); total(a) != 0 {
			t.Errorf("deleted and listed: %v", a)
		}
	})
}

// What a client may not change stays, and says so.
func TestSuiteMutability(t *testing.T) {
	eachModel(t, func(t *testing.T, m model) {
		once, given := m.find("once"), m.find("given")
		created := m.check(201, "POST", m.endpoint(), m.resource(1, nil))
		p := patcher{t, m, m.endpoint() + "/" + created.id(), once}
		p.still("add", once.path(""), once.sample(1), once.sample(1))
		p.still("replace", once.path(""), once.sample(1), once.sample(1))
		p.refused("mutability", "replace", once.path(""), once.sample(2))
		p.refused("mutability", "remove", once.path(""), nil)
		p.refused("mutability", "add", given.path(""), "mine")
		p.refused("mutability", "remove", given.path(""), nil)
		for _, path := range []string{"id", "meta", "meta.version", "meta.created"} {
			p.refused("mutability", "replace", path, "x")
		}
		if m.kind.Name == "User" {
			p.refused("mutability", "add", "groups", []any{map[string]any{"value": "x"}})
			p.refused("mutability", "replace", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.displayName", "x")
		}
		other := m.resource(2, nil)
		other[once.urn].(map[string]any)["once"] = "another"
		if a := m.c.do("PUT", p.path, other); a.status != 400 || a.field("scimType") != "mutability" {
			t.Errorf("PUT of an immutable attribute: %v", a)
		}
		// Unset, it takes a first value.
		later := m.resource(3, func(a attr) bool { return a.Name != "once" && a.Name != "members" })
		p.path = m.endpoint() + "/" + m.check(201, "POST", m.endpoint(), later).id()
		p.apply("add", once.path(""), "first", "first")
		p.refused("mutability", "add", once.path(""), "second")

		// A required attribute of an extension in use.
		p.a = m.find("needed")
		p.refused("mutability", "remove", p.a.path(""), nil)
		null := map[string]any{"op": "replace", "path": p.a.path(""), "value": nil}
		if a := m.c.do("PATCH", p.path, patchOp(null)); a.status != 400 || a.field("scimType") != "mutability" {
			t.Errorf("null for a required attribute: %v", a)
		}
		lacking := m.resource(4, func(a attr) bool { return a.Name != "needed" && a.Name != "members" })
		if a := m.c.do("POST", m.endpoint(), lacking); a.status != 400 || a.field("scimType") != "invalidValue" {
			t.Errorf("POST without a required attribute: %v", a)
		}
	})
}

// attributes and excludedAttributes with each attribute and sub-attribute.
func TestSuiteProjection(t *testing.T) {
	eachModel(t, func(t *testing.T, m model) {
		body := m.resource(1, nil)
		path := m.endpoint() + "/" + m.check(201, "POST", m.endpoint(), body).id()
		if m.kind.Name == "User" {
			g := map[string]any{"displayName": "g", "members": members(strings.TrimPrefix(path, "/Users/"))}
			m.c.must(201, "POST", "/Groups", g)
		}
		loud := m.find("loud")
		for _, a := range m.attrs {
			only := m.check(200, "GET", path+"?attributes="+a.path(""), nil)
			doc, _ := only.doc.(map[string]any)
			for _, b := range m.attrs {
				has := b.in(doc) != nil
				want := b.Name == loud.Name || b.Name == a.Name && b.Returned != "never" && (b.writable() || b.Name == "groups")
				if has != want {
					t.Errorf("attributes=%s: %s is there: %v", a.Name, b.Name, has)
				}
			}
			if doc["id"] == nil || doc["schemas"] == nil || doc["meta"] != nil {
				t.Errorf("attributes=%s: %v", a.Name, only)
			}
			for _, s := range a.SubAttributes {
				if !s.writable() || s.Returned == "never" || a.Returned != "default" {
					continue
				}
				part := m.check(200, "GET", path+"?attributes="+strings.ToUpper(a.path(s.Name)), nil)
				v := a.in(part.doc)
				if list, ok := v.([]any); ok && len(list) > 0 {
					v = list[0]
				}
				if a.Name == "members" && s.Name == "display" { // left to the user's resource
					if v != nil {
						t.Errorf("attributes=members.display: %v", part)
					}
					continue
				}
				if o, _ := v.(map[string]any); len(o) != 1 || o[s.Name] == nil {
					t.Errorf("attributes=%s: %v", a.path(s.Name), part)
				}
			}
			if a.Name == "members" {
				part := m.check(200, "GET", path+"?excludedAttributes=members.$ref,members.type", nil)
				if first, _ := lookup(part.doc, "$.members[0]"); len(first.(map[string]any)) != 1 {
					t.Errorf("members without parts: %v", part)
				}
			}
			without := m.check(200, "GET", path+"?excludedAttributes="+a.path(""), nil)
			if (a.in(without.doc) != nil) != (a.Returned == "always") {
				t.Errorf("excludedAttributes=%s: %v", a.Name, without)
			}
			if m.find("displayName").in(without.doc) == nil && a.Name != "displayName" {
				t.Errorf("excludedAttributes=%s takes more than that: %v", a.Name, without)
			}
		}
		for query, keys := range map[string][]string{
			"attributes=id":      {"id", "schemas", loud.urn},
			"attributes=nothing": {"id", "schemas", loud.urn},
			"attributes=meta":    {"id", "schemas", "meta", loud.urn},
			"attributes=displayName&excludedAttributes=displayName":          {"id", "schemas", "displayName", loud.urn},
			"attributes=" + m.kind.Schema + ":displayName":                   {"id", "schemas", "displayName", loud.urn},
			"attributes=urn:nobody:2.0:X:displayName,,%20externalId%20,":     {"id", "schemas", "externalId", loud.urn},
			"attributes=displayName&attributes=externalId":                   {"id", "schemas", "displayName", "externalId", loud.urn},
			"Attributes=displayName&excludedattributes=externalId,userName,": {"id", "schemas", "displayName", loud.urn},
		} {
			a := m.check(200, "GET", path+"?"+query, nil)
			doc, _ := a.doc.(map[string]any)
			slices.Sort(keys)
			if got := slices.Sorted(maps.Keys(doc)); !slices.Equal(got, keys) {
				t.Errorf("%s: %q, want %q", query, got, keys)
			}
		}
		for _, query := range []string{"excludedAttributes=nothing", "excludedAttributes=id,schemas", "attributes=", "excludedAttributes="} {
			a := m.check(200, "GET", path+"?"+query, nil)
			if delete(a.doc.(map[string]any), "groups"); len(m.compare(body, a.doc)) > 0 || a.id() == "" {
				t.Errorf("%s: %v", query, a)
			}
		}
	})
}

// A filter on each attribute and sub-attribute, of the tenant's own too, finds
// the one resource that has the value.
func TestSuiteFilters(t *testing.T) {
	eachModel(t, func(t *testing.T, m model) {
		id := m.check(201, "POST", m.endpoint(), m.resource(1, nil)).id()
		bare := m.resource(2, func(a attr) bool { return a.Required && a.common })
		m.check(201, "POST", m.endpoint(), bare)
		finds := func(filter string, want bool) {
			t.Helper()
			a := m.check(200, "GET", m.endpoint()+searchFor(filter), nil)
			found := 0
			if total(a) > 0 {
				if first, _ := lookup(a.doc, "$.Resources[0].id"); first != id {
					found = -1
				}
				found += total(a)
			}
			if found != map[bool]int{true: 1}[want] {
				t.Errorf("%s: %d resources, want the one: %v", filter, found, want)
			}
		}
		leaf := func(path string, d attributeDef, v any) {
			if list, ok := v.([]any); ok {
				v = list[0]
			}
			if d.Type != "boolean" || d.Name != "active" {
				finds(path+" pr", true)
				finds("not ("+path+" pr) and id eq "+literal(id), false)
			}
			switch v := v.(type) {
			case string:
				finds(path+" eq "+literal(v), true)
				if d.Type == "dateTime" {
					finds(path+" gt \"2025-12-31T23:59:59.9999999Z\"", true)
					finds(path+" lt \"2026-01-01T00:00:00Z\"", false)
					finds(path+" le \"2026-01-01T02:00:00+01:00\"", true)
					return
				}
				if d.Type == "binary" {
					return
				}
				finds(path+" eq "+literal(v+"x"), false)
				exact := d.CaseExact != nil && *d.CaseExact
				if upper := strings.ToUpper(v); upper != v {
					finds(path+" eq "+literal(upper), !exact)
				}
				finds(path+" sw "+literal(v[:2]), true)
				finds(path+" co "+literal(v[1:len(v)-1]), true)
				finds(path+" ew "+literal(v[len(v)-2:]), true)
				finds(path+" co \"zzz\"", false)
				finds(path+" ge "+literal(v)+" and id eq "+literal(id), true)
				finds(path+" lt "+literal(v[:1])+" and id eq "+literal(id), false)
			case float64:
				for op, want := range map[string]bool{"eq": true, "ge": true, "le": true, "gt": false, "lt": false} {
					if strings.Contains(path, "many_") || strings.Contains(path, "mixed") {
						want = want || op == "gt" // the second element is greater
					}
					finds(fmt.Sprintf("%s %s %v", path, op, v), want)
				}
			case bool:
				finds(fmt.Sprintf("%s eq %v and id eq %q", path, v, id), true)
			}
		}
		for _, a := range m.attrs {
			if a.Returned == "never" {
				if r := m.c.do("GET", m.endpoint()+searchFor(a.path("")+` eq "x"`), nil); r.status != 400 || r.field("scimType") != "invalidFilter" && r.field("scimType") != "sensitive" {
					t.Errorf("a filter on %s: %v", a.path(""), r)
				}
				continue
			}
			if !a.writable() || a.Required && a.common || a.Name == "members" {
				continue
			}
			v := m.sample(a, 1)
			if a.Type != "complex" {
				leaf(a.path(""), a.attributeDef, v)
				leaf(a.urn+":"+strings.ToLower(a.Name), a.attributeDef, v)
				continue
			}
			finds(a.path("")+" pr", true)
			el, isList := v, a.MultiValued
			if isList {
				el = v.([]any)[0]
			}
			for _, s := range a.SubAttributes {
				if !s.writable() || !s.shown() {
					continue
				}
				w := el.(map[string]any)[s.Name]
				leaf(a.path(s.Name), s, w)
				if text, ok := w.(string); ok && isList {
					finds(fmt.Sprintf("%s[%s eq %s]", a.path(""), s.Name, literal(text)), true)
					finds(fmt.Sprintf("%s[%s eq %s and not (%s pr)]", a.path(""), s.Name, literal(text), s.Name), false)
				}
			}
		}
		if m.kind.Name == "Group" {
			member, _ := lookup(m.sample(m.find("members"), 1).([]any)[0], "$.value")
			finds(fmt.Sprintf("members.value eq %q", member), true)
			finds(fmt.Sprintf(`members[value eq %q and type eq "User"]`, member), true)
			finds(fmt.Sprintf("members eq %q", member), true)
		}
		finds(`meta.resourceType eq "`+m.kind.Name+`" and id eq `+literal(id), true)
		finds(`meta.location ew `+literal(id), true)
		finds(`schemas eq "`+m.find("loud").urn+`"`, true)
	})
}

// Each attribute that is one value sorts.
func TestSuiteSorting(t *testing.T) {
	eachModel(t, func(t *testing.T, m model) {
		var ids []string
		for n := range 3 {
			ids = append(ids, m.check(201, "POST", m.endpoint(), m.resource(n+2, func(a attr) bool { return a.Name != "members" })).id())
		}
		prefix := searchFor(fmt.Sprintf("id eq %q or id eq %q or id eq %q", ids[0], ids[1], ids[2]))
		for _, a := range m.attrs {
			if a.Returned == "never" {
				m.check(400, "GET", m.endpoint()+"?sortBy="+a.path(""), nil)
			}
			if a.Type == "complex" || a.Type == "boolean" || a.Type == "binary" || a.MultiValued || !a.writable() || a.Returned == "never" || a.Mutability == "immutable" {
				continue
			}
			for order, want := range map[string][]string{"ascending": ids, "descending": {ids[2], ids[1], ids[0]}} {
				list := m.check(200, "GET", m.endpoint()+prefix+"&sortBy="+a.path("")+"&sortOrder="+order, nil)
				var got []string
				for i := range 3 {
					id, _ := lookup(list.doc, fmt.Sprintf("$.Resources[%d].id", i))
					got = append(got, fmt.Sprint(id))
				}
				if !slices.Equal(got, want) {
					t.Errorf("by %s %s: %v, want %v", a.path(""), order, got, want)
				}
			}
		}
	})
}

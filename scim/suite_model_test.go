package scim_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/scim/schema"
	"github.com/gatehouse-id/gatehouse/tenants"
)

const (
	everythingURN      = "urn:example:scim:2.0:Everything"
	everythingGroupURN = "urn:example:scim:2.0:EverythingOfGroups"
)

// everyAttribute is an extension with an attribute of each type, singular and
// multi-valued, and of each mutability and returned.
func everyAttribute(kind string) tenants.SCIMSchema {
	type a = tenants.SCIMAttribute
	x := tenants.SCIMSchema{URN: everythingURN, Name: "Everything", ResourceType: kind}
	if kind == "Group" {
		x.URN = everythingGroupURN
	}
	subs := func(mutability, returned string) []a {
		return []a{
			{Name: "value", CaseExact: true, Mutability: mutability, Returned: returned},
			{Name: "type", CanonicalValues: []string{"one", "two"}},
			{Name: "weight", Type: "decimal"},
			{Name: "rank", Type: "integer"},
			{Name: "since", Type: "dateTime"},
			{Name: "link", Type: "reference", ReferenceTypes: []string{"external"}},
			{Name: "blob", Type: "binary"},
			{Name: "primary", Type: "boolean"},
			{Name: "tags", MultiValued: true},
		}
	}
	for _, t := range []string{"string", "boolean", "decimal", "integer", "dateTime", "reference", "binary", "complex"} {
		for _, multi := range []bool{false, true} {
			d := a{Name: map[bool]string{false: "one-", true: "many_"}[multi] + t, Type: t, MultiValued: multi, Description: "Of type " + t}
			switch t {
			case "complex":
				d.SubAttributes = subs("", "")
			case "reference":
				d.ReferenceTypes = []string{"external", "User"}
			}
			if t == "boolean" && multi {
				continue // a list of two booleans says nothing
			}
			x.Attributes = append(x.Attributes, d)
		}
	}
	x.Attributes = append(
		x.Attributes,
		a{Name: "needed", Required: true}, a{Name: "exact", CaseExact: true},
		a{Name: "once", Mutability: "immutable"}, a{Name: "given", Mutability: "readOnly"}, a{Name: "secretive", Mutability: "writeOnly"},
		a{Name: "loud", Returned: "always"}, a{Name: "hushed", Returned: "never"}, a{Name: "asked", Returned: "request"},
		a{Name: "mixed", Type: "complex", MultiValued: true, SubAttributes: []a{{Name: "value"}, {Name: "pin", Returned: "never"}}},
	)
	return x
}

// attr is an attribute as /Schemas publishes it.
type attr struct {
	attributeDef
	urn    string // of its schema
	common bool   // of the core schema: its name alone is a path
}

// path is the attribute's path, with sub when that is not empty.
func (a attr) path(sub string) string {
	p := a.Name
	if !a.common {
		p = a.urn + ":" + p
	}
	if sub != "" {
		p += "." + sub
	}
	return p
}

// body is an object that holds v as the attribute.
func (a attr) body(v any) map[string]any {
	if a.common {
		return map[string]any{a.Name: v}
	}
	return map[string]any{a.urn: map[string]any{a.Name: v}}
}

// in reads the attribute of a resource; nil when it has none.
func (a attr) in(doc any) any {
	o, _ := doc.(map[string]any)
	if !a.common {
		o, _ = o[a.urn].(map[string]any)
	}
	return o[a.Name]
}

func (d attributeDef) writable() bool { return d.Mutability != "readOnly" }
func (d attributeDef) shown() bool    { return d.Returned == "default" || d.Returned == "always" }

// sample is a value of the attribute, another for every n, as JSON reads it.
func (d attributeDef) sample(n int) any {
	if !d.MultiValued {
		return d.element(n, n)
	}
	return []any{d.element(n, 0), d.element(n+100, 1)}
}

// element is one value; place is its place in a list.
func (d attributeDef) element(n, place int) any {
	text := fmt.Sprintf("%s %d", strings.TrimLeft(d.Name, "$"), n)
	switch d.Type {
	case "boolean":
		return place%2 == 0
	case "decimal":
		return float64(n) + 0.5
	case "integer":
		return float64(n)
	case "dateTime":
		return fmt.Sprintf("2026-01-01T00:%02d:%02dZ", n/60%60, n%60)
	case "reference":
		return "https://x.example/" + url.PathEscape(text)
	case "binary":
		return base64.StdEncoding.EncodeToString([]byte(text))
	case "complex":
		o := map[string]any{}
		for _, s := range d.SubAttributes {
			if s.writable() {
				o[s.Name] = s.sampleSub(d, n, place)
			}
		}
		return o
	}
	if len(d.CanonicalValues) > 0 {
		return d.CanonicalValues[n%len(d.CanonicalValues)]
	}
	if d.Name == "userName" {
		return fmt.Sprintf("Name%d@x.example", n)
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

func (d attributeDef) sampleSub(parent attributeDef, n, place int) any {
	switch {
	case d.MultiValued:
		return []any{d.element(n, 0), d.element(n+1, 1)}
	case parent.Name == "emails" && d.Name == "value":
		return fmt.Sprintf("mail%d@x.example", n)
	}
	return d.element(n, place)
}

// visible is what of a value is returned.
func (d attributeDef) visible(v any) any {
	switch v := v.(type) {
	case []any:
		out := []any{}
		for _, e := range v {
			out = append(out, d.visible(e))
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for _, s := range d.SubAttributes {
			if w, ok := v[s.Name]; ok && s.shown() {
				out[s.Name] = w
			}
		}
		return out
	}
	return v
}

// literal is a value in a filter.
func literal(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

// model is a resource type as a connection publishes it.
type model struct {
	c      connection
	kind   typeDef
	attrs  []attr
	shapes shapes
	links  []any // members of sample groups
}

func (c connection) model(name string) model {
	c.g.t.Helper()
	raw, types := c.must(200, "GET", "/Schemas", nil).raw, c.must(200, "GET", "/ResourceTypes", nil).raw
	defs, err1 := resourcesOf[schemaDef](raw)
	kinds, err2 := resourcesOf[typeDef](types)
	s, err3 := newShapes(raw, types)
	if err1 != nil || err2 != nil || err3 != nil {
		c.g.t.Fatal(err1, err2, err3)
	}
	m := model{c: c, shapes: s}
	for _, k := range kinds {
		if k.Name == name {
			m.kind = k
		}
	}
	urns := []string{m.kind.Schema}
	for _, x := range m.kind.SchemaExtensions {
		urns = append(urns, x.Schema)
	}
	for _, d := range defs {
		if !slices.Contains(urns, d.ID) {
			continue
		}
		for _, a := range d.Attributes {
			m.attrs = append(m.attrs, attr{a, d.ID, d.ID == m.kind.Schema})
		}
	}
	m.attrs = append(m.attrs, attr{attributeDef{Name: "externalId", Type: "string", Mutability: "readWrite", Returned: "default", CaseExact: new(true)}, m.kind.Schema, true})
	if name == "Group" {
		for i := range 4 {
			id := c.must(201, "POST", "/Users", user(fmt.Sprintf("member%d@x.example", i))).id()
			m.links = append(m.links, map[string]any{"value": id, "type": "User"})
		}
	}
	return m
}

func (m model) sample(a attr, n int) any {
	if a.Name == "members" && a.common {
		return m.links[n%2*2 : n%2*2+2]
	}
	return a.sample(n)
}

// resource is a body with every writable attribute, and junk in those that are
// not.
func (m model) resource(n int, keep func(attr) bool) map[string]any {
	body := map[string]any{"id": "res_mine", "meta": map[string]any{"version": `W/"9"`, "resourceType": "Nothing"}}
	urns := []string{m.kind.Schema}
	for _, a := range m.attrs {
		if keep != nil && !keep(a) {
			continue
		}
		v := m.sample(a, n)
		if a.Mutability == "immutable" {
			v = m.sample(a, 1)
		}
		if a.common {
			body[a.Name] = v
			continue
		}
		x, ok := body[a.urn].(map[string]any)
		if !ok {
			x = map[string]any{}
			body[a.urn] = x
			urns = append(urns, a.urn)
		}
		x[a.Name] = v
	}
	body["schemas"] = urns
	return body
}

// compare tells where a resource is not what was sent.
func (m model) compare(body map[string]any, got any) (problems []string) {
	for _, a := range m.attrs {
		want := a.visible(a.in(body))
		if !a.writable() || !a.shown() {
			want = nil
		}
		if have := a.in(got); !m.same(a, have, want) {
			problems = append(problems, fmt.Sprintf("%s is %v, sent %v", a.path(""), have, want))
		}
	}
	return problems
}

// same compares values; members carry more than was sent, in any order.
func (m model) same(a attr, got, want any) bool {
	if a.Name != "members" || !a.common {
		return reflect.DeepEqual(got, want)
	}
	ids := func(v any) (out []string) {
		list, _ := v.([]any)
		for _, e := range list {
			id, _ := lookup(e, "$.value")
			out = append(out, fmt.Sprint(id))
		}
		slices.Sort(out)
		return out
	}
	return slices.Equal(ids(got), ids(want))
}

// check is must with the shapes that the connection publishes now, its tenant's
// own schemas among them.
func (m model) check(status int, method, path string, body any) answer {
	m.c.g.t.Helper()
	a := m.c.must(status, method, path, body)
	for _, problem := range m.shapes.lint(m.c, method, path, a) {
		m.c.g.t.Errorf("%s %s: %s in %v", method, path, problem, a)
	}
	return a
}

// find gives the attribute with a name and the type's schema or its tenant's.
func (m model) find(name string) attr {
	for _, a := range m.attrs {
		if a.Name == name {
			return a
		}
	}
	panic("no attribute " + name)
}

func total(a answer) int {
	n, _ := a.field("totalResults").(float64)
	return int(n)
}

func searchFor(filter string) string { return "?filter=" + url.QueryEscape(filter) }

func version(a answer) int {
	n, _ := strconv.Atoi(strings.Trim(strings.TrimPrefix(a.header.Get("ETag"), "W/"), `"`))
	return n
}

func (m model) endpoint() string {
	if m.kind.Name == schema.Group.String() {
		return schema.Group.Endpoint()
	}
	return schema.User.Endpoint()
}

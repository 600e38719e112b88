package scim_test

import (
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
)

// Each writable attribute is patched in every way that its type has.
func TestSuitePatch(t *testing.T) {
	eachModel(t, func(t *testing.T, m model) {
		path := m.endpoint() + "/" + m.check(201, "POST", m.endpoint(), m.resource(1, nil)).id()
		for _, a := range m.attrs {
			if a.Mutability != "readWrite" && a.Mutability != "writeOnly" {
				continue
			}
			p := patcher{t, m, path, a}
			switch {
			case a.Name == "members" && a.common:
				p.members()
			case a.Type != "complex" && !a.MultiValued:
				p.simple()
			case a.Type != "complex":
				p.list()
			case a.MultiValued:
				p.elements()
			default:
				p.complex()
			}
		}
	})
}

type patcher struct {
	t    *testing.T
	m    model
	path string
	a    attr
}

// apply sends one operation and reads back that the attribute is want.
func (p patcher) apply(op, at string, v, want any) {
	p.t.Helper()
	o := map[string]any{"op": op}
	if at != "" {
		o["path"] = at
	}
	if v != nil {
		o["value"] = v
	}
	answered := p.m.c.do("PATCH", p.path, patchOp(o))
	if answered.status != 200 && answered.status != 204 {
		p.t.Errorf("%s %s %v: %v", op, at, v, answered)
		return
	}
	if want = p.a.visible(want); p.a.Returned == "never" {
		want = nil
	}
	if list, ok := want.([]any); ok && len(list) == 0 {
		want = nil
	}
	read := p.m.check(200, "GET", p.path+"?attributes="+p.a.path(""), nil)
	if got := p.a.in(read.doc); !p.m.same(p.a, got, want) {
		p.t.Errorf("%s %s %v: %v, want %v", op, at, v, got, want)
	}
	if got := p.a.in(answered.doc); answered.status == 200 && p.a.shown() && !p.m.same(p.a, got, want) {
		p.t.Errorf("%s %s %v answers %v, want %v", op, at, v, got, want)
	}
}

// still is apply of an operation that changes nothing: the version stays.
func (p patcher) still(op, at string, v, want any) {
	p.t.Helper()
	before := p.m.c.must(200, "GET", p.path, nil).header.Get("ETag")
	p.apply(op, at, v, want)
	if after := p.m.c.must(200, "GET", p.path, nil).header.Get("ETag"); after != before {
		p.t.Errorf("%s %s %v changed nothing and the version from %s to %s", op, at, v, before, after)
	}
}

func (p patcher) refused(scimType, op, at string, v any) {
	p.t.Helper()
	o := map[string]any{"op": op, "path": at}
	if v != nil {
		o["value"] = v
	}
	before := p.m.c.must(200, "GET", p.path, nil)
	if a := p.m.c.do("PATCH", p.path, patchOp(map[string]any{"op": "replace", "path": "displayName", "value": "undone"}, o)); a.status != 400 || a.field("scimType") != scimType {
		p.t.Errorf("%s %s %v: %v, want %s", op, at, v, a, scimType)
	}
	if after := p.m.c.must(200, "GET", p.path, nil); !reflect.DeepEqual(after.doc, before.doc) {
		p.t.Errorf("%s %s %v was refused and changed %v to %v", op, at, v, before, after)
	}
}

// spelled is the path in another spelling of the same: with its schema's URN, in
// capitals.
func (p patcher) spelled() string { return p.a.urn + ":" + strings.ToUpper(p.a.Name) }

func (p patcher) simple() {
	at, v := p.a.path(""), p.a.sample
	p.apply("replace", at, v(3), v(3))
	if p.a.Returned != "never" {
		p.still("replace", at, v(3), v(3))
		p.still("add", at, v(3), v(3))
	}
	p.apply("add", p.spelled(), v(4), v(4))
	p.apply("Replace", "", p.a.body(v(5)), v(5))
	p.apply("ADD", "", p.a.body(v(6)), v(6))
	if p.a.Required || p.a.Name == "active" && p.a.common {
		p.refused("mutability", "remove", at, nil)
	} else {
		p.apply("remove", at, nil, nil)
		if p.a.Returned != "never" {
			p.still("remove", at, nil, nil)
		}
		p.apply("replace", at, v(7), v(7)) // RFC 7644 §3.5.2.3: as add
	}
	if wrong := map[string]any{
		"boolean": "maybe", "decimal": "x", "integer": 1.5, "dateTime": "yesterday", "binary": "%%", "string": []any{"a", "b"}, "reference": map[string]any{"a": 1},
	}[p.a.Type]; wrong != nil {
		p.refused("invalidValue", "replace", at, wrong)
	}
}

func (p patcher) list() {
	at := p.a.path("")
	e := func(n ...int) (list []any) {
		for _, i := range n {
			list = append(list, p.a.element(i, i))
		}
		return list
	}
	p.apply("replace", at, e(1, 2), e(1, 2))
	p.apply("add", at, e(3), e(1, 2, 3))
	p.still("add", at, e(1, 3), e(1, 2, 3))
	p.apply("add", "", p.a.body(e(4)), e(1, 2, 3, 4))
	p.apply("replace", p.spelled(), e(5, 6), e(5, 6))
	p.apply("remove", at, nil, nil)
	p.apply("add", at, e(7), e(7))
	p.apply("replace", at, []any{}, nil)
}

func (p patcher) complex() {
	at, v := p.a.path(""), p.a.sample(3).(map[string]any)
	p.apply("remove", at, nil, nil)
	p.apply("add", at, v, v)
	p.still("replace", at, v, v)
	for _, s := range p.a.SubAttributes {
		sub := p.a.path(s.Name)
		if !s.writable() {
			p.refused("mutability", "replace", sub, "x")
			continue
		}
		next := maps.Clone(v)
		next[s.Name] = s.sampleSub(p.a.attributeDef, 4, 4)
		if s.Name == "value" {
			delete(next, "$ref") // of the value before
		}
		p.apply("replace", sub, next[s.Name], next)
		p.apply("add", "", p.a.body(map[string]any{s.Name: v[s.Name]}), func() any {
			back := maps.Clone(next)
			back[s.Name] = v[s.Name]
			return back
		}())
		gone := maps.Clone(next)
		if delete(gone, s.Name); s.Name == "value" {
			gone = nil // the reference itself
		}
		var want any = gone
		if gone == nil {
			want = nil
		}
		p.apply("remove", sub, nil, want)
		p.apply("remove", at, nil, nil)
		p.apply("add", sub, v[s.Name], map[string]any{s.Name: v[s.Name]})
		p.apply("replace", at, v, v)
	}
	p.apply("remove", p.spelled(), nil, nil)
}

func (p patcher) elements() {
	at, n := p.a.path(""), 10
	e := func(n, place int) map[string]any { return p.a.element(n, place).(map[string]any) }
	one, two, three := e(1, 0), e(2, 1), e(3, 1)
	key := "value"
	if _, ok := one[key]; !ok {
		key = "formatted"
	}
	pick := func(el map[string]any) string { return fmt.Sprintf("%s[%s eq %s]", at, key, literal(el[key])) }
	p.apply("replace", at, []any{one, two}, []any{one, two})
	p.apply("add", at, []any{three}, []any{one, two, three})
	p.still("add", at, []any{three}, []any{one, two, three})
	p.apply("remove", pick(three), nil, []any{one, two})
	p.still("remove", pick(three), nil, []any{one, two})
	p.refused("noTarget", "replace", pick(three), three)
	for _, s := range p.a.SubAttributes {
		if !s.writable() || s.Name == key {
			continue
		}
		n++
		next := maps.Clone(two)
		next[s.Name] = s.sampleSub(p.a.attributeDef, n, 0)
		first := one
		if s.Name == "primary" {
			first = maps.Clone(one)
			first["primary"] = false // RFC 7643 §2.4: there is one
		}
		p.apply("replace", pick(two)+"."+s.Name, next[s.Name], []any{first, next})
		gone := maps.Clone(two)
		delete(gone, s.Name)
		p.apply("remove", pick(two)+"."+s.Name, nil, []any{first, gone})
		p.apply("add", pick(two)+"."+s.Name, two[s.Name], []any{first, two})
		p.apply("replace", at, []any{one, two}, []any{one, two})
	}
	moved := maps.Clone(two)
	moved[key] = three[key]
	p.apply("replace", pick(two)+"."+key, three[key], []any{one, moved})
	p.apply("replace", pick(moved), two, []any{one, two})
	p.apply("replace", "", p.a.body([]any{three}), []any{three})
	p.apply("remove", at, nil, nil)
	p.apply("add", "", p.a.body([]any{one}), []any{one})
	p.apply("replace", p.spelled(), []any{}, nil)
}

func (p patcher) members() {
	all := p.m.links
	p.apply("replace", "members", all[:2], all[:2])
	p.apply("add", "members", all[2:3], all[:3])
	p.still("add", "members", all[:3], all[:3])
	p.apply("add", "", map[string]any{"members": all}, all)
	first, _ := lookup(all[0], "$.value")
	pick := fmt.Sprintf("members[value eq %q]", first)
	p.apply("remove", pick, nil, all[1:])
	p.still("remove", pick, nil, all[1:])
	p.refused("invalidValue", "add", "members", members("res_aaaaaaaaaaaaaaaaaaaaaaaaaa"))
	p.refused("mutability", "replace", pick+".value", "x")
	p.apply("replace", p.spelled(), all[:1], all[:1])
	p.apply("remove", "members", nil, nil)
}

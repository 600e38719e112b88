package patch

import (
	"github.com/gatehouse-id/gatehouse/scim/dialect"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// merge applies add or replace on a single-valued complex attribute: the
// sub-attributes that the value names change, the others stay (RFC 7644
// §3.5.2.3).
func (e *engine) merge(h *schema.Object, t target, v any) error {
	a := t.attr
	w, err := e.ix.Value(a, v, e.d)
	if err != nil {
		return err
	}
	next, _ := w.(*schema.Object)
	given, isObject := v.(*schema.Object)
	if w == nil && !isObject {
		return e.set(h, a, nil)
	}
	old := h.Object(a.Name)
	if old == nil {
		if next.Len() == 0 {
			return nil
		}
		return e.set(h, a, next)
	}
	merged := old.Clone()
	for key, w := range given.All() { // null takes a sub-attribute away, and so does an empty value
		s := a.Lookup(key)
		if s == nil || s.Mutability == schema.ReadOnly || w != nil && (next != nil || w != "" || s != a.Default()) {
			continue
		}
		if err := e.set(merged, s, nil); err != nil {
			return err
		}
	}
	for key, w := range next.All() {
		if err := e.set(merged, a.Lookup(key), w); err != nil {
			return err
		}
	}
	return e.set(h, a, tidy(a, old, merged, next))
}

// tidy looks after a reference: a new "value" makes the old $ref wrong, and
// without "value" nothing is left to refer to. It returns nil for what is empty.
func tidy(a *schema.Attribute, old, merged, given *schema.Object) any {
	if a.Default() != nil && !a.Multi {
		was, _ := old.Get("value")
		is, ok := merged.Get("value")
		if _, newRef := given.Get("$ref"); !newRef && was != nil && !schema.Equal(was, is) {
			merged.Delete("$ref")
		}
		if !ok && was != nil {
			return nil
		}
	}
	if merged.Len() == 0 {
		return nil
	}
	return merged
}

// subAttribute applies an operation on a sub-attribute of a single value, e.g.
// name.givenName.
func (e *engine) subAttribute(op Op, h *schema.Object, t target, v any) error {
	parent := t.attr.Parent
	old := h.Object(parent.Name)
	w, err := e.subValue(op, t.attr, v)
	if err != nil {
		return err
	}
	if w == nil && old == nil {
		return nil
	}
	merged := old.Clone()
	if merged == nil {
		merged = schema.NewObject(2)
	}
	if err := e.set(merged, t.attr, w); err != nil {
		return err
	}
	return e.set(h, parent, tidy(parent, old, merged, nil))
}

// subValue is the new value of a sub-attribute; nil unsets it.
func (e *engine) subValue(op Op, s *schema.Attribute, v any) (any, error) {
	if op == OpRemove {
		return nil, nil
	}
	w, err := e.ix.Value(s, v, e.d)
	if w == "" && s.Name == "value" && e.d.Allow(dialect.EmptyUnsets) {
		w = nil
	}
	return w, err
}

// remove takes an attribute away, or with a value only the elements that it
// names.
func (e *engine) remove(h *schema.Object, t target, v any, hasValue bool) error {
	a := t.attr
	if !hasValue || !a.Multi || !e.d.Allow(dialect.RemoveByValue) {
		return e.set(h, a, nil)
	}
	w, err := e.ix.Value(a, v, e.d)
	if err != nil {
		return err
	}
	gone, _ := w.([]any)
	if err := e.spend(len(gone) * len(h.List(a.Name))); err != nil {
		return err
	}
	var kept []any
	for _, old := range h.List(a.Name) {
		drop := false
		for _, g := range gone {
			drop = drop || schema.Equal(old, g) || covers(a, old, g)
		}
		if !drop {
			kept = append(kept, old)
		}
	}
	return e.setList(h, a, kept)
}

// covers tells whether element old has everything that g names.
func covers(a *schema.Attribute, old, g any) bool {
	o, okO := old.(*schema.Object)
	p, okP := g.(*schema.Object)
	if !okO || !okP {
		return false
	}
	for key, v := range p.All() {
		w, _ := o.Get(key)
		if !same(a.Lookup(key), v, w) {
			return false
		}
	}
	return p.Len() > 0
}

// same compares two values of a sub-attribute by its caseExact.
func same(a *schema.Attribute, v, w any) bool {
	s, okS := v.(string)
	t, okT := w.(string)
	if okS && okT && a != nil && !a.CaseExact {
		return schema.Fold(s) == schema.Fold(t)
	}
	return schema.Equal(v, w)
}

func (e *engine) setList(h *schema.Object, a *schema.Attribute, list []any) error {
	switch {
	case len(list) == 0:
		return e.set(h, a, nil)
	case len(list) > schema.MaxElements:
		return invalidValue("The list becomes too long.", a.Path)
	}
	return e.set(h, a, list)
}

// unique drops the elements that became equal (RFC 7643 §2.4), once for the
// whole request.
func unique(o *schema.Object) {
	for key, v := range o.All() {
		switch v := v.(type) {
		case []any:
			if key != "schemas" {
				o.Set(key, schema.Unique(v))
			}
		case *schema.Object:
			unique(v)
		}
	}
}

// list applies add or replace on a whole multi-valued attribute.
func (e *engine) list(op Op, h *schema.Object, t target, v any) error {
	a := t.attr
	w, err := e.ix.Value(a, v, e.d)
	if err != nil {
		return err
	}
	given, _ := w.([]any)
	if op == OpReplace {
		return e.setList(h, a, given)
	}
	if err := e.spend(len(given) * len(h.List(a.Name))); err != nil {
		return err
	}
	list := append([]any(nil), h.List(a.Name)...)
	var primary *schema.Object
	for _, g := range given {
		at := position(a, list, g)
		o, isObject := g.(*schema.Object)
		switch {
		case at < 0:
			list = append(list, g)
		case isObject: // the same value and type again: RFC 7643 §2.4 wants one
			old := list[at].(*schema.Object)
			for key, w := range o.All() {
				old.Set(key, w)
			}
			o = old
		}
		if p, _ := o.Bool("primary"); p {
			primary = o
		}
	}
	demote(list, primary)
	return e.setList(h, a, list)
}

// position finds the element that g repeats: an equal one, or in a complex
// attribute one of the same value and type.
func position(a *schema.Attribute, list []any, g any) int {
	o, _ := g.(*schema.Object)
	value, has := o.Get("value")
	kind, _ := o.Get("type")
	for i, v := range list {
		if schema.Equal(v, g) {
			return i
		}
		p, isObject := v.(*schema.Object)
		if !has || !isObject {
			continue
		}
		w, _ := p.Get("value")
		k, _ := p.Get("type")
		if same(a.Lookup("value"), value, w) && same(a.Lookup("type"), kind, k) {
			return i
		}
	}
	return -1
}

// demote makes every element but one not primary (RFC 7644 §3.5.2).
func demote(list []any, primary *schema.Object) {
	if primary == nil {
		return
	}
	for _, v := range list {
		if o, ok := v.(*schema.Object); ok && o != primary {
			if p, _ := o.Bool("primary"); p {
				o.Set("primary", false)
			}
		}
	}
}

package patch

import (
	"github.com/gatehouse-id/gatehouse/scim/dialect"
	"github.com/gatehouse-id/gatehouse/scim/filter"
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
	if w == nil && !isEmptyObject(v) {
		return e.set(h, a, nil)
	}
	next, _ := w.(*schema.Object)
	given, _ := v.(*schema.Object)
	old := h.Object(a.Name)
	if old == nil {
		if next.Len() == 0 {
			return nil
		}
		return e.set(h, a, next)
	}
	merged := old.Clone()
	for key, w := range given.All() { // null takes a sub-attribute away
		if s := a.Lookup(key); w == nil && s != nil && s.Mutability != schema.ReadOnly {
			merged.Delete(s.Name)
		}
	}
	for key, w := range next.All() {
		if err := e.set(merged, a.Lookup(key), w); err != nil {
			return err
		}
	}
	return e.set(h, a, tidy(a, old, merged, next))
}

// isEmptyObject tells {} and [{}], which name no sub-attribute, from what unsets.
func isEmptyObject(v any) bool {
	o, ok := v.(*schema.Object)
	return ok && o.Len() == 0
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
	if len(list) == 0 {
		return e.set(h, a, nil)
	}
	if len(list) > maxElements {
		return invalidValue("The list becomes too long.", a.Path)
	}
	return e.set(h, a, list)
}

// maxElements bounds a multi-valued attribute as it grows by PATCH.
const maxElements = 1000

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

// everyElement applies an operation on a sub-attribute of all elements, e.g.
// emails.display.
func (e *engine) everyElement(op Op, h *schema.Object, t target, v any) error {
	parent := t.attr.Parent
	list := h.List(parent.Name)
	if len(list) == 0 {
		if op == OpRemove {
			return nil
		}
		if op == OpReplace && !e.d.Allow(dialect.UpsertOnFilter) {
			return noTarget(t)
		}
		list = []any{schema.NewObject(1)}
	}
	return e.setSub(op, h, parent, list, list, t.attr, v)
}

// setSub sets or unsets a sub-attribute in the selected elements of list.
func (e *engine) setSub(op Op, h *schema.Object, a *schema.Attribute, list, selected []any, s *schema.Attribute, v any) error {
	w, err := e.subValue(op, s, v)
	if err != nil {
		return err
	}
	var primary *schema.Object
	for _, el := range selected {
		o, ok := el.(*schema.Object)
		if !ok {
			continue
		}
		if err := e.set(o, s, schema.Clone(w)); err != nil {
			return err
		}
		if w == true && s.Name == "primary" && primary == nil {
			primary = o
		}
	}
	demote(list, primary)
	unset := w == nil
	kept := list[:0:0]
	for _, el := range list {
		o, isObject := el.(*schema.Object)
		if isObject && unset && (o.Len() == 0 || s.Name == "value" && contains(selected, el)) {
			continue // an element without its value says nothing
		}
		kept = append(kept, el)
	}
	return e.setList(h, a, kept)
}

// contains compares by identity.
func contains(list []any, el any) bool {
	for _, v := range list {
		if v == el {
			return true
		}
	}
	return false
}

// filtered applies an operation on the elements that a value filter selects.
func (e *engine) filtered(op Op, h *schema.Object, t target, v any) error {
	a := t.attr
	b, err := filter.BindElement(e.ix, e.k, a, t.filter, e.d)
	if err != nil {
		return err
	}
	list := h.List(a.Name)
	var selected, others []any
	for _, el := range list {
		if b.MatchElement(el) {
			selected = append(selected, el)
		} else {
			others = append(others, el)
		}
	}
	unsets := op == OpRemove || v == nil
	switch {
	case len(selected) == 0 && unsets:
		return nil // already as asked (RFC 7644 §3.5.2.2)
	case len(selected) == 0:
		return e.upsert(op, h, t, list, v)
	case t.sub != nil:
		return e.setSub(op, h, a, list, selected, t.sub, v)
	case unsets:
		return e.setList(h, a, others)
	}
	return e.elements(op, h, t, list, selected, v)
}

// elements applies add or replace on whole elements.
func (e *engine) elements(op Op, h *schema.Object, t target, list, selected []any, v any) error {
	a := t.attr
	w, err := e.ix.Element(a, v, e.d)
	if err != nil {
		return err
	}
	given, isObject := w.(*schema.Object)
	_, whole := v.(*schema.Object)
	var primary *schema.Object
	var out []any
	for _, el := range list {
		if !contains(selected, el) {
			out = append(out, el)
			continue
		}
		switch old, _ := el.(*schema.Object); {
		case w == nil:
			continue
		case !isObject:
			el = w
		case op == OpReplace && whole:
			el = given.Clone()
		default: // add, or a plain value: the other sub-attributes stay
			for key, x := range given.All() {
				if err := e.set(old, a.Lookup(key), x); err != nil {
					return err
				}
			}
		}
		if schema.Contains(out, el) {
			continue
		}
		out = append(out, el)
		if o, ok := el.(*schema.Object); ok && primary == nil {
			if p, _ := given.Bool("primary"); p {
				primary = o
			}
		}
	}
	demote(out, primary)
	return e.setList(h, a, out)
}

// upsert creates the element that a filter of equalities describes. add always
// does; replace only where the dialect says so, and otherwise fails with
// noTarget (RFC 7644 §3.5.2.3).
func (e *engine) upsert(op Op, h *schema.Object, t target, list []any, v any) error {
	a := t.attr
	el := schema.NewObject(4)
	ok, err := e.template(el, a, t.filter)
	if err != nil {
		return err
	}
	if !ok || a.Type != schema.Complex || op == OpReplace && !e.d.Allow(dialect.UpsertOnFilter) {
		return noTarget(t)
	}
	if op == OpAdd {
		e.d.Allow(dialect.UpsertOnFilter)
	}
	if t.sub != nil {
		w, err := e.subValue(op, t.sub, v)
		if err != nil || w == nil {
			return err
		}
		el.Set(t.sub.Name, w)
	} else {
		w, err := e.ix.Element(a, v, e.d)
		given, _ := w.(*schema.Object)
		if err != nil || given == nil {
			return err
		}
		for key, x := range given.All() {
			el.Set(key, x)
		}
	}
	next := append(append([]any(nil), list...), el)
	if p, _ := el.Bool("primary"); p {
		demote(next, el)
	}
	return e.setList(h, a, next)
}

// template fills el with the equalities of a filter; false when the filter is
// anything but equalities joined by and.
func (e *engine) template(el *schema.Object, a *schema.Attribute, x filter.Expr) (bool, error) {
	switch x := x.(type) {
	case *filter.And:
		if ok, err := e.template(el, a, x.X); !ok || err != nil {
			return ok, err
		}
		return e.template(el, a, x.Y)
	case *filter.Compare:
		s := a.Lookup(x.Path)
		if s == nil || x.Op != filter.Eq || x.Value == nil || s.Mutability == schema.ReadOnly {
			return false, nil
		}
		v, err := e.ix.Value(s, x.Value, e.d)
		if v != nil {
			el.Set(s.Name, v)
		}
		return err == nil, err
	}
	return false, nil
}

package patch

import (
	"github.com/gatehouse-id/gatehouse/scim/dialect"
	"github.com/gatehouse-id/gatehouse/scim/filter"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// everyElement applies an operation on a sub-attribute of all elements, e.g.
// emails.display.
func (e *engine) everyElement(op Op, h *schema.Object, t target, v any) error {
	parent := t.attr.Parent
	list := h.List(parent.Name)
	if len(list) == 0 {
		if op == OpRemove || v == nil {
			return nil
		}
		if op == OpReplace && !e.d.Allow(dialect.UpsertOnFilter) {
			return noTarget(t)
		}
		list = []any{schema.NewObject(1)}
	}
	if err := e.spend(len(list)); err != nil {
		return err
	}
	return e.setSub(op, h, parent, list, nil, t.attr, v)
}

// setSub sets or unsets a sub-attribute in the selected elements of list; a nil
// selection is all of them.
func (e *engine) setSub(op Op, h *schema.Object, a *schema.Attribute, list []any, selected []bool, s *schema.Attribute, v any) error {
	w, err := e.subValue(op, s, v)
	if err != nil {
		return err
	}
	var primary *schema.Object
	for i, el := range list {
		o, ok := el.(*schema.Object)
		if !ok || selected != nil && !selected[i] {
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
	for i, el := range list {
		o, isObject := el.(*schema.Object)
		if isObject && unset && (o.Len() == 0 || s.Name == "value" && (selected == nil || selected[i])) {
			continue // an element without its value says nothing
		}
		kept = append(kept, el)
	}
	return e.setList(h, a, kept)
}

// filtered applies an operation on the elements that a value filter selects.
func (e *engine) filtered(op Op, h *schema.Object, t target, v any) error {
	a := t.attr
	b, err := filter.BindElement(e.ix, e.k, a, t.filter, e.d)
	if err != nil {
		return err
	}
	list := h.List(a.Name)
	if err := e.spend(len(list) * terms(t.filter)); err != nil {
		return err
	}
	selected := make([]bool, len(list))
	var others []any
	for i, el := range list {
		if selected[i] = b.MatchElement(el); !selected[i] {
			others = append(others, el)
		}
	}
	unsets, none := op == OpRemove || v == nil, len(others) == len(list)
	switch {
	case none && unsets:
		return nil // already as asked (RFC 7644 §3.5.2.2)
	case none:
		return e.upsert(op, h, t, list, v)
	case t.sub != nil:
		return e.setSub(op, h, a, list, selected, t.sub, v)
	case unsets:
		return e.setList(h, a, others)
	}
	return e.elements(op, h, t, list, selected, v)
}

// elements applies add or replace on whole elements.
func (e *engine) elements(op Op, h *schema.Object, t target, list []any, selected []bool, v any) error {
	a := t.attr
	w, err := e.ix.Element(a, v, e.d)
	if err != nil {
		return err
	}
	given, isObject := w.(*schema.Object)
	_, whole := v.(*schema.Object)
	var primary *schema.Object
	var out []any
	for i, el := range list {
		if !selected[i] {
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

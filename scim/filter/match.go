package filter

import (
	"encoding/json"
	"strings"

	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// Target is a resource to match.
type Target struct {
	// Doc is the full representation in canonical names, with id and meta
	// (times written by schema.FormatTime).
	Doc *schema.Object
	// Related gives the elements of "members" (of a group) or "groups" (of a
	// user). It is called only when the filter asks for them, at most once per
	// term; nil means that Doc has them.
	Related func(attribute string) []any
}

// Match tells whether the resource matches. A multi-valued attribute matches
// when one of its values does; an attribute without a value equals null and
// nothing else (RFC 7643 §2.5).
func (b *Bound) Match(t Target) bool { return b.root.match(&t, nil) }

// MatchElement tells whether an element matches a filter made by BindElement.
func (b *Bound) MatchElement(element any) bool { return b.root.match(nil, element) }

func (n *node) match(t *Target, element any) bool {
	switch n.kind {
	case nodeAnd:
		return n.x.match(t, element) && n.y.match(t, element)
	case nodeOr:
		return n.x.match(t, element) || n.y.match(t, element)
	case nodeNot:
		return !n.x.match(t, element)
	case nodeCompare:
		return n.compare(t, element)
	case nodeElements:
		v := top(t, n.attr)
		list, ok := v.([]any)
		if !ok {
			return v != nil && n.x.match(t, v)
		}
		for _, e := range list {
			if n.x.match(t, e) {
				return true
			}
		}
		return false
	case nodeExtension:
		return t.Doc.Object(n.ext).Len() > 0
	}
	return n.truth
}

// top is the value of the top-level attribute of a in the target.
func top(t *Target, a *schema.Attribute) any {
	a = a.Top()
	if t.Related != nil && a.Related() {
		return t.Related(a.Name)
	}
	home := t.Doc
	if a.URN != "" {
		home = home.Object(a.URN)
	}
	v, _ := home.Get(a.Name)
	return v
}

// compare evaluates a comparison over all values of the attribute.
func (n *node) compare(t *Target, element any) bool {
	var v any
	switch {
	case !n.inner:
		v = top(t, n.attr)
	case n.attr.Parent == nil:
		v = element // an element of a simple multi-valued attribute
	default:
		o, _ := element.(*schema.Object)
		v, _ = o.Get(n.attr.Name)
	}
	present, holds := false, false
	n.each(v, !n.inner && n.attr.Parent != nil, &present, &holds)
	switch {
	case n.op == Pr, n.op == Ne && n.value == nil:
		return present
	case n.op == Eq && n.value == nil:
		return !present
	case !present: // null differs from every value, and is in no order with one
		return n.op == Ne
	}
	return holds
}

// each walks the values: through lists, and into the sub-attribute where v is
// still the parent's value.
func (n *node) each(v any, parent bool, present, holds *bool) {
	switch v := v.(type) {
	case nil:
	case []any:
		for _, e := range v {
			if *holds {
				return
			}
			n.each(e, parent, present, holds)
		}
	case *schema.Object:
		if parent {
			w, _ := v.Get(n.attr.Name)
			n.each(w, false, present, holds)
			return
		}
		*present = *present || v.Len() > 0
	default:
		if parent || v == "" && (n.op == Pr || n.value == nil) {
			return
		}
		*present = true
		*holds = n.holds(v)
	}
}

// holds compares one value.
func (n *node) holds(v any) bool {
	switch n.attr.Type {
	case schema.Boolean:
		return (v == n.value) == (n.op == Eq)
	case schema.Decimal, schema.Integer:
		a, okA := v.(json.Number)
		b, okB := n.value.(json.Number)
		return okA && okB && ordered(n.op, schema.CompareNumbers(a, b))
	}
	s, ok := v.(string)
	if !ok {
		return false
	}
	if n.timed {
		t, ok := schema.ParseTime(s)
		return ok && ordered(n.op, t.Compare(n.at))
	}
	if !n.attr.CaseExact {
		s = schema.Fold(s)
	}
	switch n.op {
	case Co:
		return strings.Contains(s, n.text)
	case Sw:
		return strings.HasPrefix(s, n.text)
	case Ew:
		return strings.HasSuffix(s, n.text)
	}
	return ordered(n.op, strings.Compare(s, n.text))
}

func ordered(op Op, c int) bool {
	switch op {
	case Eq:
		return c == 0
	case Ne:
		return c != 0
	case Gt:
		return c > 0
	case Ge:
		return c >= 0
	case Lt:
		return c < 0
	case Le:
		return c <= 0
	}
	return false
}

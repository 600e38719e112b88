package schema

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/scim/dialect"
)

// Value checks a value of attribute a and brings it into stored form: a list
// for a multi-valued attribute. It is nil when the value means unset.
func (ix *Index) Value(a *Attribute, v any, d dialect.Dialect) (any, error) {
	if v == nil {
		return nil, nil
	}
	if !a.Multi {
		return ix.Element(a, v, d)
	}
	list, ok := v.([]any)
	if !ok {
		if v == "" && d.Allow(dialect.EmptyUnsets) {
			return nil, nil
		}
		if !d.Allow(dialect.SingleToList) {
			return nil, invalidValue("The attribute takes a list.", a.Path)
		}
		list = []any{v}
	}
	if len(list) > MaxElements {
		return nil, invalidValue("The list is too long.", a.Path)
	}
	out := make([]any, 0, len(list))
	for _, e := range list {
		w, err := ix.Element(a, e, d)
		if err != nil {
			return nil, err
		}
		if w != nil {
			out = append(out, w)
		}
	}
	if out = Unique(out); len(out) == 0 {
		return nil, nil
	}
	return out, onePrimary(a, out, d)
}

// pairwise is the length up to which comparing every pair is the fast way.
const pairwise = 16

// Unique drops elements that equal an earlier one (RFC 7643 §2.4); the list
// is reused. Long lists are compared by their text, so that a hostile one costs
// no more than its length.
func Unique(list []any) []any {
	out := list[:0]
	if len(list) <= pairwise {
	next:
		for _, v := range list {
			for _, w := range out {
				if Equal(v, w) {
					continue next
				}
			}
			out = append(out, v)
		}
		return out
	}
	seen := make(map[string]struct{}, len(list))
	var buf []byte
	for _, v := range list {
		buf = AppendJSON(buf[:0], sorted(v))
		if _, twice := seen[string(buf)]; !twice {
			seen[string(buf)] = struct{}{}
			out = append(out, v)
		}
	}
	return out
}

// sorted is an element with its members in the order of their names.
func sorted(v any) any {
	o, ok := v.(*Object)
	if !ok {
		return v
	}
	c := &Object{slices.Clone(o.members)}
	slices.SortFunc(c.members, func(a, b member) int { return strings.Compare(a.key, b.key) })
	return c
}

// onePrimary keeps the rule of RFC 7643 §2.4 that one element at most is
// primary.
func onePrimary(a *Attribute, list []any, d dialect.Dialect) error {
	if a.sub["primary"] == nil {
		return nil
	}
	found := false
	for _, v := range list {
		o, _ := v.(*Object)
		if p, _ := o.Bool("primary"); !p {
			continue
		}
		if found {
			if !d.Allow(dialect.OnePrimary) {
				return invalidValue("Only one element can be primary.", a.Path)
			}
			o.Set("primary", false)
		}
		found = true
	}
	return nil
}

// Element checks a single value of attribute a, one element when a is
// multi-valued. It is nil when the value means unset.
func (ix *Index) Element(a *Attribute, v any, d dialect.Dialect) (any, error) {
	if l, ok := v.([]any); ok {
		switch {
		case len(l) == 0 && d.Allow(dialect.ListToSingle):
			return nil, nil
		case len(l) == 1 && d.Allow(dialect.ListToSingle):
			if _, again := l[0].([]any); !again {
				v = l[0]
			}
		}
	}
	if v == nil {
		return nil, nil
	}
	if a.Type == Complex {
		return ix.complex(a, v, d)
	}
	if o, ok := v.(*Object); ok && isReference(o) && d.Allow(dialect.ObjectToScalar) {
		if _, v, _ = o.Fold("value"); v == nil {
			return nil, nil
		}
	}
	switch {
	case v != "":
	case a.Column != "" && a.Type == String: // a key column holds no empty string
		return nil, nil
	case a.Type != String && d.Allow(dialect.EmptyUnsets):
		return nil, nil
	}
	return simple(a, v, d)
}

// isReference tells an object of "value", with "$ref" or not.
func isReference(o *Object) bool {
	_, _, has := o.Fold("value")
	if _, _, ref := o.Fold("$ref"); ref {
		return has && o.Len() == 2
	}
	return has && o.Len() == 1
}

func (ix *Index) complex(a *Attribute, v any, d dialect.Dialect) (any, error) {
	value := a.Default()
	o, ok := v.(*Object)
	if !ok {
		if v == "" && d.Allow(dialect.EmptyUnsets) {
			return nil, nil
		}
		switch v.(type) {
		case string, json.Number, bool:
			if value != nil && d.Allow(dialect.StringToComplex) {
				o = NewObject(1)
				o.Set("value", v)
			}
		}
		if o == nil {
			return nil, invalidValue("The attribute takes an object of its sub-attributes.", a.Path)
		}
	}
	out := NewObject(o.Len())
	for key, w := range o.All() {
		s := a.Lookup(key)
		if s == nil {
			if err := unknownAttribute(a.Path+"."+key, d); err != nil {
				return nil, err
			}
			continue
		}
		if s.Mutability == ReadOnly {
			continue
		}
		w, err := ix.Value(s, w, d)
		if err != nil {
			return nil, err
		}
		if w == nil {
			if s == value && a.Multi && d.Allow(dialect.EmptyUnsets) { // an element without its value says nothing
				return nil, nil
			}
			continue
		}
		if _, twice := out.Get(s.Name); twice {
			return nil, duplicate(s.Path)
		}
		out.Set(s.Name, w)
	}
	if value != nil {
		if w, _ := out.Get("value"); w == "" && d.Allow(dialect.EmptyUnsets) {
			return nil, nil
		}
	}
	if out.Len() == 0 {
		return nil, nil
	}
	return out, nil
}

// simple checks a value of a type other than complex.
func simple(a *Attribute, v any, d dialect.Dialect) (any, error) {
	s, isString := v.(string)
	switch a.Type {
	case Boolean:
		if b, ok := v.(bool); ok {
			return b, nil
		}
		if b, ok := boolean(s); ok && isString && d.Allow(dialect.CoerceBool) {
			return b, nil
		}
		return nil, invalidValue("The attribute takes true or false.", a.Path)
	case Decimal, Integer:
		n, ok := v.(json.Number)
		if !ok && isString && d.Has(dialect.CoerceScalar) {
			dec := decoder{s: s}
			if s != "" && (s[0] == '-' || s[0] >= '0' && s[0] <= '9') {
				m, err := dec.number()
				ok = err == nil && dec.i == len(s) && d.Allow(dialect.CoerceScalar)
				n = m
			}
		}
		if !ok {
			return nil, invalidValue("The attribute takes a number.", a.Path)
		}
		if _, err := n.Int64(); err != nil && a.Type == Integer {
			return nil, invalidValue("The attribute takes a whole number.", a.Path)
		}
		if _, err := n.Float64(); err != nil { // readers take a decimal for a double
			return nil, invalidValue("The number is too large.", a.Path)
		}
		return n, nil
	}
	if !isString {
		switch w := v.(type) {
		case json.Number:
			s, isString = string(w), a.Type == String && d.Allow(dialect.CoerceScalar)
		case bool:
			s, isString = "false", a.Type == String && d.Allow(dialect.CoerceScalar)
			if w {
				s = "true"
			}
		}
		if !isString {
			return nil, invalidValue("The attribute takes a string.", a.Path)
		}
	}
	switch a.Type {
	case DateTime:
		if _, ok := ParseTime(s); !ok {
			return nil, invalidValue("The attribute takes a date and time such as 2026-01-31T12:00:00Z.", a.Path)
		}
	case Binary:
		if !isBase64(s) {
			return nil, invalidValue("The attribute takes base64.", a.Path)
		}
	}
	if len(s) > MaxKey && (a.Column != "" || a.Value != "") {
		return nil, invalidValue("The value is longer than 1024 bytes.", a.Path)
	}
	return s, nil
}

func boolean(s string) (value, ok bool) {
	switch {
	case strings.EqualFold(s, "true"):
		return true, true
	case strings.EqualFold(s, "false"):
		return false, true
	}
	return false, false
}

func isBase64(s string) bool {
	if _, err := base64.StdEncoding.DecodeString(s); err == nil {
		return true
	}
	_, err := base64.RawStdEncoding.DecodeString(s)
	return err == nil
}

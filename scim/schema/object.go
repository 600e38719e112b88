package schema

import (
	"encoding/json"
	"iter"
	"math/big"
	"strings"
)

// Object is a JSON object that keeps the order of its members. Values are
// *Object, []any, string, json.Number, bool or nil. The zero value is an empty
// object; it is not safe for concurrent writes.
type Object struct{ members []member }

type member struct {
	key   string
	value any
}

// NewObject makes an empty object with room for n members.
func NewObject(n int) *Object { return &Object{make([]member, 0, n)} }

// Len is the number of members; 0 for nil.
func (o *Object) Len() int {
	if o == nil {
		return 0
	}
	return len(o.members)
}

// At gives member i in order.
func (o *Object) At(i int) (string, any) { return o.members[i].key, o.members[i].value }

// All walks the members in order.
func (o *Object) All() iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		if o == nil {
			return
		}
		for _, m := range o.members {
			if !yield(m.key, m.value) {
				return
			}
		}
	}
}

func (o *Object) index(key string) int {
	if o != nil {
		for i := range o.members {
			if o.members[i].key == key {
				return i
			}
		}
	}
	return -1
}

// Get finds a member by its exact key.
func (o *Object) Get(key string) (any, bool) {
	if i := o.index(key); i >= 0 {
		return o.members[i].value, true
	}
	return nil, false
}

// Fold finds the first member whose key equals key in any case, and its key as
// written (RFC 7643 §2.1: attribute names are case insensitive).
func (o *Object) Fold(key string) (string, any, bool) {
	for k, v := range o.All() {
		if len(k) == len(key) && strings.EqualFold(k, key) {
			return k, v, true
		}
	}
	return "", nil, false
}

// Set replaces the member of that exact key in place or adds it at the end.
func (o *Object) Set(key string, v any) {
	if i := o.index(key); i >= 0 {
		o.members[i].value = v
		return
	}
	o.members = append(o.members, member{key, v})
}

// Prepend puts a member first, in place of one of the same key.
func (o *Object) Prepend(key string, v any) {
	o.Delete(key)
	o.members = append(o.members, member{})
	copy(o.members[1:], o.members)
	o.members[0] = member{key, v}
}

// Delete takes a member out and tells whether it was there.
func (o *Object) Delete(key string) bool {
	i := o.index(key)
	if i < 0 {
		return false
	}
	o.members = append(o.members[:i], o.members[i+1:]...)
	return true
}

// Clone copies the object in depth.
func (o *Object) Clone() *Object {
	if o == nil {
		return nil
	}
	c := &Object{make([]member, len(o.members), len(o.members)+2)}
	for i, m := range o.members {
		c.members[i] = member{m.key, Clone(m.value)}
	}
	return c
}

// Clone copies a value of the document model in depth.
func Clone(v any) any {
	switch v := v.(type) {
	case *Object:
		return v.Clone()
	case []any:
		c := make([]any, len(v))
		for i := range v {
			c[i] = Clone(v[i])
		}
		return c
	}
	return v
}

// String reads a string member; empty when there is none of that type.
func (o *Object) String(key string) string {
	v, _ := o.Get(key)
	s, _ := v.(string)
	return s
}

// Bool reads a boolean member.
func (o *Object) Bool(key string) (value, ok bool) {
	v, _ := o.Get(key)
	value, ok = v.(bool)
	return value, ok
}

// Object reads an object member; nil when there is none of that type.
func (o *Object) Object(key string) *Object {
	v, _ := o.Get(key)
	c, _ := v.(*Object)
	return c
}

// List reads a list member; nil when there is none of that type.
func (o *Object) List(key string) []any {
	v, _ := o.Get(key)
	l, _ := v.([]any)
	return l
}

// Equal compares two values of the document model: objects without regard to
// the order of their members, numbers by value.
func Equal(a, b any) bool {
	switch a := a.(type) {
	case *Object:
		b, ok := b.(*Object)
		if !ok || a.Len() != b.Len() {
			return false
		}
		for k, v := range a.All() {
			w, ok := b.Get(k)
			if !ok || !Equal(v, w) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !Equal(a[i], b[i]) {
				return false
			}
		}
		return true
	case json.Number:
		b, ok := b.(json.Number)
		return ok && (a == b || CompareNumbers(a, b) == 0)
	}
	switch b.(type) {
	case *Object, []any: // comparing a list by == would panic
		return false
	}
	return a == b
}

// CompareNumbers orders two JSON numbers by value. Exponents beyond the range
// of float64 are compared as float64, so that 1e999999999 costs nothing.
func CompareNumbers(a, b json.Number) int {
	if len(a) <= 18 && len(b) <= 18 {
		x, errA := a.Int64()
		y, errB := b.Int64()
		if errA == nil && errB == nil {
			switch {
			case x < y:
				return -1
			case x > y:
				return 1
			}
			return 0
		}
	}
	if !strings.ContainsAny(string(a)+string(b), "eE") {
		x, okX := new(big.Rat).SetString(string(a))
		y, okY := new(big.Rat).SetString(string(b))
		if okX && okY {
			return x.Cmp(y)
		}
	}
	x, _ := a.Float64()
	y, _ := b.Float64()
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

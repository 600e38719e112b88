package scim

import (
	"strings"

	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// mask is a compiled attributes or excludedAttributes parameter (RFC 7644
// §3.9). A nil mask keeps everything.
type mask struct {
	only bool // attributes; otherwise excludedAttributes
	tree map[string]*branch
}

// branch is an attribute that the parameter names: whole, or only in parts.
type branch struct {
	whole bool
	parts map[string]*branch
}

// maxMask bounds the names of one parameter.
const maxMask = 200

// newMask compiles the parameters for a kind. attributes win over
// excludedAttributes; names that no schema knows are ignored.
func newMask(ix *schema.Index, k schema.Kind, attributes, excluded []string) (*mask, error) {
	m := &mask{only: len(attributes) > 0, tree: map[string]*branch{}}
	names := attributes
	if !m.only {
		if names = excluded; len(names) == 0 {
			return nil, nil
		}
	}
	if len(names) > maxMask {
		return nil, refuse(400, "invalidValue", "At most 200 attributes can be named.")
	}
	for _, name := range names {
		if ext, ok := ix.Whole(k, name); ok {
			if ext != nil {
				m.add(ext.URN)
			} else { // the core schema as a whole
				for _, a := range ix.Attributes(k) {
					m.add(a.Name)
				}
			}
			continue
		}
		a, ok := ix.Resolve(k, name)
		if !ok {
			continue
		}
		var path []string
		if a.URN != "" {
			path = append(path, a.URN)
		}
		if a.Parent != nil {
			path = append(path, a.Parent.Name)
		}
		m.add(append(path, a.Name)...)
	}
	return m, nil
}

func (m *mask) add(path ...string) {
	tree := m.tree
	for i, name := range path {
		b := tree[name]
		if b == nil {
			b = &branch{}
			tree[name] = b
		}
		if i == len(path)-1 {
			b.whole = true
			return
		}
		if b.parts == nil {
			b.parts = map[string]*branch{}
		}
		tree = b.parts
	}
}

// wants tells whether any part of the top-level attribute is to be sent.
func (m *mask) wants(name string) bool {
	if m == nil {
		return true
	}
	b := m.tree[name]
	if m.only {
		return b != nil
	}
	return b == nil || !b.whole
}

// apply gives what of a resource is to be sent; id and schemas always are
// (RFC 7643 §3.1, §3).
func (m *mask) apply(o *schema.Object) *schema.Object {
	if m == nil {
		return o
	}
	out := schema.NewObject(o.Len())
	for key, v := range o.All() {
		if key == "id" || key == "schemas" {
			out.Set(key, v)
			continue
		}
		if v, keep := m.part(m.tree[key], v); keep {
			out.Set(key, v)
		}
	}
	return out
}

// part applies the branch of one member to its value.
func (m *mask) part(b *branch, v any) (any, bool) {
	switch {
	case b == nil:
		return v, !m.only
	case b.whole:
		return v, m.only
	}
	switch v := v.(type) {
	case *schema.Object:
		out := schema.NewObject(v.Len())
		for key, w := range v.All() {
			if w, keep := m.part(b.parts[key], w); keep {
				out.Set(key, w)
			}
		}
		return out, out.Len() > 0
	case []any:
		out := make([]any, 0, len(v))
		for _, e := range v {
			if e, keep := m.part(b, e); keep {
				out = append(out, e)
			}
		}
		return out, len(out) > 0
	}
	return v, !m.only
}

// splitNames reads a comma-separated parameter.
func splitNames(values []string) []string {
	var names []string
	for _, v := range values {
		for name := range strings.SplitSeq(v, ",") {
			if name = strings.TrimSpace(name); name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

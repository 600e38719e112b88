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
	own  *sieve // where the tenant has, or had, schemas of its own
}

// branch is an attribute that the parameter names: whole, or only in parts.
type branch struct {
	whole bool
	parts map[string]*branch
}

// maxMask bounds the names of one parameter.
const maxMask = 200

// newMask compiles the parameters for a kind. attributes win over
// excludedAttributes; names that no schema knows are ignored. It is nil only where
// the stored document is the answer as it is.
func newMask(ix *schema.Index, k schema.Kind, attributes, excluded []string) (*mask, error) {
	m := &mask{only: len(attributes) > 0, tree: map[string]*branch{}}
	if ix != schema.Core() {
		m.own = &sieve{ix: ix, kind: k, asked: map[*schema.Attribute]bool{}}
	}
	names := attributes
	if !m.only {
		if names = excluded; len(names) == 0 {
			if m.own != nil {
				return m, nil
			}
			return nil, nil
		}
	}
	if len(names) > maxMask {
		return nil, refuse(400, "invalidValue", "At most 200 attributes can be named.")
	}
	for _, name := range names {
		if ext, ok := ix.Whole(k, name); ok {
			if ext != nil {
				m.addExtension(ext)
			} else { // the core schema as a whole
				for _, a := range ix.Attributes(k) {
					m.add(a.Name)
				}
			}
			continue
		}
		a, ok := ix.Resolve(k, name)
		if ok && (m.only || a.Returned != schema.Always) {
			m.addAttribute(a)
		}
	}
	if m.only && m.own != nil {
		for _, e := range ix.Extensions(k) {
			for _, a := range e.Attributes {
				if a.Returned == schema.Always {
					m.addAttribute(a)
				}
			}
		}
	}
	return m, nil
}

func (m *mask) addAttribute(a *schema.Attribute) {
	var path []string
	if a.URN != "" {
		path = append(path, a.URN)
	}
	if a.Parent != nil {
		path = append(path, a.Parent.Name)
	}
	m.add(append(path, a.Name)...)
	if m.only && m.own != nil {
		m.own.asked[a] = true
		m.own.asked[a.Top()] = true
	}
}

// addExtension names an extension as a whole: to be left out, without what is
// always returned (RFC 7644 §3.9).
func (m *mask) addExtension(e *schema.Extension) {
	if m.only || m.own == nil {
		m.add(e.URN)
		return
	}
	for _, a := range e.Attributes {
		if a.Returned != schema.Always {
			m.addAttribute(a)
		}
	}
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

// keeps tells whether a sub-attribute of a top-level attribute is to be sent.
func (m *mask) keeps(name, sub string) bool {
	if m == nil {
		return true
	}
	b := m.tree[name]
	if b == nil || b.whole {
		return m.only == (b != nil)
	}
	return m.only == (b.parts[sub] != nil)
}

// apply gives what of a resource is to be sent; id and schemas always are
// (RFC 7643 §3.1, §3).
func (m *mask) apply(o *schema.Object) *schema.Object {
	if m == nil {
		return o
	}
	if o = m.own.apply(o); !m.only && len(m.tree) == 0 {
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
	// schemas names those of the attributes that are there (RFC 7643 §3). The first
	// is the resource type's own.
	if list := out.List("schemas"); len(list) > 1 {
		kept := append(make([]any, 0, len(list)), list[0])
		for _, v := range list[1:] {
			urn, _ := v.(string)
			if _, there := out.Get(urn); there {
				kept = append(kept, v)
			}
		}
		out.Set("schemas", kept)
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

package verify

import (
	"slices"
	"strconv"
	"strings"
)

const (
	algExcC14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
	algC14N10  = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
	algC14N11  = "http://www.w3.org/2006/12/xml-c14n11"
)

// canonicalization is a canonicalization method without comments: exclusive
// 1.0 (https://www.w3.org/TR/xml-exc-c14n/), or inclusive 1.0 or 1.1
// (https://www.w3.org/TR/xml-c14n11/). In the exclusive one the namespaces of
// prefixes ("" is the default namespace) are treated as in the inclusive ones.
type canonicalization struct {
	inclusive, v11 bool
	prefixes       []string
}

// canonical writes the canonical form of an element, leaving out the element
// skip.
func canonical(apex, skip *node, m canonicalization) ([]byte, *Error) {
	c := canonicalizer{skip: skip, canonicalization: m, out: make([]byte, 0, 8<<10)}
	if m.inclusive {
		var err *Error
		if c.inherited, err = apex.inheritedXML(m.v11); err != nil {
			return nil, err
		}
	}
	if !c.element(apex, true) {
		return nil, refuse(CodeLimit, "the canonical form is longer than "+strconv.Itoa(maxCanonical)+" bytes")
	}
	return c.out, nil
}

type canonicalizer struct {
	canonicalization
	out       []byte
	skip      *node
	inherited []attribute // of the xml: namespace, for the apex
	rendered  []binding   // declarations written by the element's ancestors in the output
	attrs     []attribute
}

// inheritedXML returns the xml: attributes that the apex of an inclusive
// canonical form takes from its ancestors (Canonical XML 1.0 §2.4, 1.1 §2.4).
// An inherited xml:base would have to be joined in version 1.1 and is refused;
// xml:id cannot occur.
func (n *node) inheritedXML(v11 bool) ([]attribute, *Error) {
	var list []attribute
	for up := n.parent; up != nil; up = up.parent {
		for i := range up.attrs {
			a := &up.attrs[i]
			if a.space != nsXML {
				continue
			}
			if v11 && a.local == "base" {
				return nil, refuse(CodeSigTransform, "xml:base above the signed element")
			}
			known := func(b attribute) bool { return b.space == nsXML && b.local == a.local }
			if !slices.ContainsFunc(n.attrs, known) && !slices.ContainsFunc(list, known) {
				list = append(list, *a)
			}
		}
	}
	return list, nil
}

// element writes one element; the depth limit of the parser bounds the
// recursion.
func (c *canonicalizer) element(n *node, apex bool) bool {
	if len(c.out) > maxCanonical {
		return false
	}
	mark := len(c.rendered)
	c.out = append(c.out, '<')
	c.name(n.prefix, n.local)
	c.declarations(n, apex)
	c.attributes(n, apex)
	c.out = append(c.out, '>')
	for child := n.first; child != nil; child = child.next {
		switch {
		case child == c.skip:
		case child.local == "":
			c.out = appendText(c.out, child.text)
		case !c.element(child, false):
			return false
		}
	}
	c.out = append(c.out, '<', '/')
	c.name(n.prefix, n.local)
	c.out = append(c.out, '>')
	c.rendered = c.rendered[:mark]
	return len(c.out) <= maxCanonical
}

func (c *canonicalizer) name(prefix, local string) {
	if prefix != "" {
		c.out = append(c.out, prefix...)
		c.out = append(c.out, ':')
	}
	c.out = append(c.out, local...)
}

// declarations writes the namespace declarations an element needs and its
// output ancestors have not written: in the exclusive form those visibly
// utilised and those of the inclusive prefixes, in the inclusive form all.
func (c *canonicalizer) declarations(n *node, apex bool) {
	mark := len(c.rendered)
	if c.inclusive {
		c.allInScope(mark, n, apex)
	} else {
		c.need(mark, n.prefix, n.space)
		for i := range n.attrs {
			if a := &n.attrs[i]; a.prefix != "" && a.prefix != "xml" {
				c.need(mark, a.prefix, a.space)
			}
		}
	}
	if len(c.prefixes) > 0 {
		if apex {
			for _, p := range c.prefixes {
				if space, ok := n.inScope(p); ok {
					c.need(mark, p, space)
				}
			}
		} else {
			for _, d := range n.decls {
				if slices.Contains(c.prefixes, d.prefix) {
					c.need(mark, d.prefix, d.space)
				}
			}
		}
	}
	own := c.rendered[mark:]
	if len(own) > 1 {
		slices.SortFunc(own, func(a, b binding) int { return strings.Compare(a.prefix, b.prefix) })
	}
	for _, b := range own {
		c.out = append(c.out, " xmlns"...)
		if b.prefix != "" {
			c.out = append(c.out, ':')
			c.out = append(c.out, b.prefix...)
		}
		c.out = append(c.out, '=', '"')
		c.out = appendValue(c.out, b.space)
		c.out = append(c.out, '"')
	}
}

// allInScope notes every namespace in force at an element that its output
// parent did not write.
func (c *canonicalizer) allInScope(mark int, n *node, apex bool) {
	for up := n; up != nil; up = up.parent {
		for _, d := range up.decls {
			if up == n || !slices.ContainsFunc(c.rendered[mark:], func(b binding) bool { return b.prefix == d.prefix }) {
				c.need(mark, d.prefix, d.space)
			}
		}
		if !apex {
			return
		}
	}
}

// need notes a declaration unless the nearest one written for its prefix says
// the same. Entries from mark on belong to the element being written.
func (c *canonicalizer) need(mark int, prefix, space string) {
	for i := len(c.rendered) - 1; i >= 0; i-- {
		if c.rendered[i].prefix == prefix {
			if i >= mark || c.rendered[i].space == space {
				return
			}
			c.rendered = append(c.rendered, binding{prefix, space})
			return
		}
	}
	if prefix == "" && space == "" {
		return
	}
	c.rendered = append(c.rendered, binding{prefix, space})
}

// inScope finds the namespace a prefix has at an element.
func (n *node) inScope(prefix string) (string, bool) {
	for ; n != nil; n = n.parent {
		for _, d := range n.decls {
			if d.prefix == prefix {
				return d.space, true
			}
		}
	}
	return "", false
}

// attributes writes attributes ordered by namespace name, then local name.
func (c *canonicalizer) attributes(n *node, apex bool) {
	attrs := n.attrs
	if apex && len(c.inherited) > 0 || !slices.IsSortedFunc(attrs, compareAttributes) {
		c.attrs = append(c.attrs[:0], attrs...)
		if apex {
			c.attrs = append(c.attrs, c.inherited...)
		}
		slices.SortFunc(c.attrs, compareAttributes)
		attrs = c.attrs
	}
	for i := range attrs {
		a := &attrs[i]
		c.out = append(c.out, ' ')
		c.name(a.prefix, a.local)
		c.out = append(c.out, '=', '"')
		c.out = appendValue(c.out, a.value)
		c.out = append(c.out, '"')
	}
}

func compareAttributes(a, b attribute) int {
	if d := strings.Compare(a.space, b.space); d != 0 {
		return d
	}
	return strings.Compare(a.local, b.local)
}

func appendText(out []byte, s string) []byte {
	start := 0
	for i := 0; i < len(s); i++ {
		var escape string
		switch s[i] {
		case '&':
			escape = "&amp;"
		case '<':
			escape = "&lt;"
		case '>':
			escape = "&gt;"
		case '\r':
			escape = "&#xD;"
		default:
			continue
		}
		out = append(out, s[start:i]...)
		out = append(out, escape...)
		start = i + 1
	}
	return append(out, s[start:]...)
}

func appendValue(out []byte, s string) []byte {
	start := 0
	for i := 0; i < len(s); i++ {
		var escape string
		switch s[i] {
		case '&':
			escape = "&amp;"
		case '<':
			escape = "&lt;"
		case '"':
			escape = "&quot;"
		case '\t':
			escape = "&#x9;"
		case '\n':
			escape = "&#xA;"
		case '\r':
			escape = "&#xD;"
		default:
			continue
		}
		out = append(out, s[start:i]...)
		out = append(out, escape...)
		start = i + 1
	}
	return append(out, s[start:]...)
}

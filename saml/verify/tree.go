package verify

import (
	"slices"
	"strings"
)

// node is an element, or character data when local is empty.
type node struct {
	parent, first, last, next *node
	prefix, local, space      string
	text                      string
	attrs                     []attribute
	decls                     []binding
}

type attribute struct{ prefix, local, space, value string }

// parse reads a document of the profile. The same parser reads what arrives
// and, after a signature was checked, the canonical bytes that were hashed.
func parse(s string, limit int) (*node, *Error) {
	return source{text: s, limit: limit}.parse()
}

// parse reads a text. The root's parent is what the text is within.
func (in source) parse() (*node, *Error) {
	l, err := scan(in)
	if err != nil {
		return nil, err
	}
	root := l.build()
	root.parent = in.within
	return root, nil
}

// scope returns the namespace declarations in force at n, inner ones last.
func (n *node) scope() []binding {
	var list []binding
	for ; n != nil; n = n.parent {
		for _, d := range n.decls {
			if !slices.ContainsFunc(list, func(b binding) bool { return b.prefix == d.prefix }) {
				list = append(list, d)
			}
		}
	}
	slices.Reverse(list)
	return list
}

// build makes the tree out of the tokens of a checked document.
func (l *lexer) build() *node {
	nodes := make([]node, 0, l.elements+l.texts)
	attrs := make([]attribute, 0, l.attributes-l.declarations)
	decls := make([]binding, 0, l.declarations)
	var root, at *node
	for i := 0; i < len(l.tokens); i++ {
		t := &l.tokens[i]
		switch t.kind {
		case tokenOpen:
			nodes = append(nodes, node{parent: at, prefix: t.prefix, local: t.local, space: t.space})
			n := &nodes[len(nodes)-1]
			firstAttr, firstDecl := len(attrs), len(decls)
			for ; i+1 < len(l.tokens); i++ {
				a := &l.tokens[i+1]
				if a.kind == tokenAttr {
					attrs = append(attrs, attribute{a.prefix, a.local, a.space, a.value})
				} else if a.kind == tokenDecl {
					decls = append(decls, binding{a.prefix, a.value})
				} else {
					break
				}
			}
			n.attrs, n.decls = attrs[firstAttr:len(attrs):len(attrs)], decls[firstDecl:len(decls):len(decls)]
			if at == nil {
				root = n
			} else {
				at.append(n)
			}
			at = n
		case tokenText:
			if at.last != nil && at.last.local == "" {
				i = l.joinText(at.last, i)
				continue
			}
			nodes = append(nodes, node{parent: at, text: t.value})
			at.append(&nodes[len(nodes)-1])
		case tokenClose:
			at = at.parent
		}
	}
	return root
}

// joinText appends a run of text tokens (character data around CDATA sections)
// to the text node n and returns the index of the last token it used. One
// builder per run keeps a document of many small sections linear.
func (l *lexer) joinText(n *node, i int) int {
	var b strings.Builder
	b.WriteString(n.text)
	for ; i < len(l.tokens) && l.tokens[i].kind == tokenText; i++ {
		b.WriteString(l.tokens[i].value)
	}
	n.text = b.String()
	return i - 1
}

func (n *node) append(child *node) {
	if n.last == nil {
		n.first = child
	} else {
		n.last.next = child
	}
	n.last = child
}

func (n *node) is(space, local string) bool { return n.local == local && n.space == space }

// attr returns the value of an attribute that is in no namespace.
func (n *node) attr(local string) (string, bool) {
	for i := range n.attrs {
		if a := &n.attrs[i]; a.local == local && a.space == "" {
			return a.value, true
		}
	}
	return "", false
}

func (n *node) attrOr(local string) string {
	v, _ := n.attr(local)
	return v
}

// firstElement and nextElement walk child elements.
func (n *node) firstElement() *node { return n.first.element() }

func (n *node) nextElement() *node { return n.next.element() }

func (n *node) element() *node {
	for n != nil && n.local == "" {
		n = n.next
	}
	return n
}

// leaf returns the character data of an element without child elements.
func (n *node) leaf() (string, bool) {
	switch {
	case n.first == nil:
		return "", true
	case n.first == n.last && n.first.local == "":
		return n.first.text, true
	}
	return "", false
}

// onlyElements reports whether an element holds no character data but white
// space.
func (n *node) onlyElements() bool {
	for c := n.first; c != nil; c = c.next {
		if c.local == "" && strings.Trim(c.text, " \t\r\n") != "" {
			return false
		}
	}
	return true
}

// blank reports whether an element holds nothing but white space.
func (n *node) blank() bool { return n.firstElement() == nil && n.onlyElements() }

// following returns the next element in document order below root, without
// recursion; nil at the end.
func (n *node) following(root *node) *node {
	if c := n.firstElement(); c != nil {
		return c
	}
	for n != root {
		if c := n.nextElement(); c != nil {
			return c
		}
		n = n.parent
	}
	return nil
}

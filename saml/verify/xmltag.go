package verify

import (
	"strconv"
	"strings"
)

// qname reads a qualified name of ASCII letters, digits, '_', '.', '-'.
func (l *lexer) qname() (prefix, local string, err *Error) {
	start, colon := l.pos, -1
	i := l.pos
	for ; i < len(l.s); i++ {
		c := l.s[i]
		if isNameChar(c) {
			if !isNameStart(c) && (i == start || i == colon+1) {
				break
			}
			continue
		}
		if c == ':' && colon < 0 && i > start {
			colon = i
			continue
		}
		break
	}
	if i-start > maxName {
		return "", "", refuse(CodeLimit, "a name is longer than "+strconv.Itoa(maxName)+" bytes")
	}
	if i == start || i == colon+1 {
		return "", "", l.profile("malformed name")
	}
	l.pos = i
	if colon < 0 {
		return "", l.s[start:i], nil
	}
	return l.s[start:colon], l.s[colon+1 : i], nil
}

func (l *lexer) skipSpace() bool {
	start := l.pos
	for l.pos < len(l.s) && isSpace(l.s[l.pos]) {
		l.pos++
	}
	return l.pos > start
}

// startTag reads a start tag or an empty-element tag.
func (l *lexer) startTag() *Error {
	if len(l.open) == 0 && l.elements > 0 {
		return l.profile("more than one root element")
	}
	if len(l.open) == maxDepth {
		return refuse(CodeLimit, "elements are nested deeper than "+strconv.Itoa(maxDepth))
	}
	if l.elements++; l.elements > maxElements {
		return refuse(CodeLimit, "more than "+strconv.Itoa(maxElements)+" elements")
	}
	l.pos++
	nameStart := l.pos
	prefix, local, err := l.qname()
	if err != nil {
		return err
	}
	name := l.s[nameStart:l.pos]
	at := len(l.tokens)
	l.tokens = append(l.tokens, token{kind: tokenOpen, prefix: prefix, local: local})
	empty, err := l.attributeList()
	if err != nil {
		return err
	}
	mark := len(l.scope)
	own := l.tokens[at:]
	if err := l.declare(own[1:]); err != nil {
		return err
	}
	if err := l.resolve(own); err != nil {
		return err
	}
	dsig := l.inSignature() || own[0].space == nsDsig
	l.open = append(l.open, openElement{name: name, scope: mark, dsig: dsig})
	if empty {
		l.closeElement()
	}
	return nil
}

// attributeList reads attributes up to the end of the tag.
func (l *lexer) attributeList() (empty bool, err *Error) {
	for count := 0; ; {
		spaced := l.skipSpace()
		switch {
		case l.pos >= len(l.s):
			return false, l.profile("start tag is not closed")
		case l.s[l.pos] == '>':
			l.pos++
			return false, nil
		case l.s[l.pos] == '/':
			if l.pos+1 >= len(l.s) || l.s[l.pos+1] != '>' {
				return false, l.profile("malformed start tag")
			}
			l.pos += 2
			return true, nil
		case !spaced:
			return false, l.profile("malformed start tag")
		}
		if count++; count > maxAttributes {
			return false, refuse(CodeLimit, "an element has more than "+strconv.Itoa(maxAttributes)+" attributes")
		}
		if l.attributes++; l.attributes > maxAllAttributes {
			return false, refuse(CodeLimit, "more than "+strconv.Itoa(maxAllAttributes)+" attributes")
		}
		if err := l.attribute(); err != nil {
			return false, err
		}
	}
}

func (l *lexer) attribute() *Error {
	prefix, local, err := l.qname()
	if err != nil {
		return err
	}
	l.skipSpace()
	if l.pos >= len(l.s) || l.s[l.pos] != '=' {
		return l.profile("attribute without a value")
	}
	l.pos++
	l.skipSpace()
	if l.pos >= len(l.s) || l.s[l.pos] != '"' && l.s[l.pos] != '\'' {
		return l.profile("attribute value is not quoted")
	}
	start := l.pos + 1
	length := strings.IndexByte(l.s[start:], l.s[l.pos])
	if length < 0 {
		return l.profile("attribute value is not closed")
	}
	if length > maxValue {
		return refuse(CodeLimit, "an attribute value is longer than "+strconv.Itoa(maxValue)+" bytes")
	}
	value := l.s[start : start+length]
	special := false
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '<':
			return l.profile("'<' in an attribute value")
		case '&', '\t', '\n', '\r':
			special = true
		}
	}
	if special {
		if value, err = l.decode(value, true); err != nil {
			return err
		}
	}
	l.pos = start + length + 1
	kind := tokenAttr
	switch {
	case prefix == "" && local == "xmlns":
		kind, local = tokenDecl, ""
	case prefix == "xmlns":
		kind, prefix, local = tokenDecl, local, ""
	}
	if kind == tokenDecl {
		l.declarations++
	}
	l.tokens = append(l.tokens, token{kind: kind, prefix: prefix, local: local, value: value})
	return nil
}

// declare puts an element's namespace declarations into scope.
func (l *lexer) declare(attributes []token) *Error {
	mark := len(l.scope)
	for i := range attributes {
		t := &attributes[i]
		if t.kind != tokenDecl {
			continue
		}
		if err := l.checkDeclaration(t); err != nil {
			return err
		}
		for _, b := range l.scope[mark:] {
			if b.prefix == t.prefix {
				return l.profile("namespace prefix declared twice on one element")
			}
		}
		// Rebinding the default namespace is everyday practice; rebinding a
		// prefix is what namespace confusion needs, and no identity provider
		// does it.
		if t.prefix != "" {
			if space, ok := lookup(l.scope[l.inherited:], t.prefix); ok && space != t.value {
				return l.profile("namespace prefix " + t.prefix + " is bound to another namespace by an ancestor")
			}
		}
		if len(l.scope) == maxInScope {
			return refuse(CodeLimit, "more than "+strconv.Itoa(maxInScope)+" namespace declarations in force")
		}
		l.scope = append(l.scope, binding{t.prefix, t.value})
	}
	return nil
}

func (l *lexer) checkDeclaration(t *token) *Error {
	switch {
	case t.prefix == "xml" || t.prefix == "xmlns":
		return l.profile("declaration of the reserved prefix " + t.prefix)
	case t.value == nsXML || t.value == nsXMLNS:
		return l.profile("a reserved namespace is bound to a prefix")
	case len(t.value) > maxNamespace:
		return refuse(CodeLimit, "a namespace name is longer than "+strconv.Itoa(maxNamespace)+" bytes")
	case !isAbsoluteURI(t.value):
		return l.profile("namespace name is not an absolute URI")
	}
	return nil
}

// isAbsoluteURI reports whether s has a scheme and something after it, and
// nothing but printable ASCII (RFC 3986 §3.1, §4.3).
func isAbsoluteURI(s string) bool {
	scheme, rest, ok := strings.Cut(s, ":")
	if !ok || scheme == "" || rest == "" {
		return false
	}
	for i := 0; i < len(scheme); i++ {
		c := scheme[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	for i := 0; i < len(rest); i++ {
		if c := rest[i]; c <= ' ' || c > '~' || c == '"' || c == '<' || c == '>' {
			return false
		}
	}
	return true
}

func lookup(scope []binding, prefix string) (string, bool) {
	for i := len(scope) - 1; i >= 0; i-- {
		if scope[i].prefix == prefix {
			return scope[i].space, true
		}
	}
	return "", false
}

// resolve finds the namespaces of an element and its attributes, and refuses
// duplicates.
func (l *lexer) resolve(own []token) *Error {
	for i := range own {
		t := &own[i]
		switch {
		case t.kind == tokenDecl, t.kind == tokenAttr && t.prefix == "":
			continue
		case t.prefix == "xmlns", t.prefix == "xml" && t.kind == tokenOpen:
			return l.profile("reserved prefix " + t.prefix)
		case t.prefix == "xml":
			t.space = nsXML
			continue
		}
		space, ok := lookup(l.scope, t.prefix)
		if !ok && t.prefix != "" {
			return l.profile("undeclared namespace prefix " + t.prefix)
		}
		t.space = space
	}
	for i := 1; i < len(own); i++ {
		if own[i].kind != tokenAttr {
			continue
		}
		id := isID(own[i].local)
		for j := 1; j < i; j++ {
			if id != isID(own[j].local) || !id && own[j].local != own[i].local {
				continue
			}
			if own[j].kind != tokenAttr || own[j].space != own[i].space {
				continue
			}
			if id {
				return refuse(CodeDuplicateID, "an element has the attributes "+own[j].local+" and "+own[i].local)
			}
			return l.profile("duplicate attribute " + own[i].local)
		}
		if own[i].prefix != "" && isID(own[i].local) {
			return l.prefixedID(own, i)
		}
	}
	return nil
}

// prefixedID refuses an ID attribute in a namespace: parsers disagree on
// whether it identifies the element ("attribute pollution").
func (l *lexer) prefixedID(own []token, i int) *Error {
	for j := 1; j < len(own); j++ {
		if own[j].kind == tokenAttr && j != i && isID(own[j].local) && own[i].space != own[0].space {
			return refuse(CodeDuplicateID, "an element has the attributes "+own[j].local+" and "+own[i].prefix+":"+own[i].local)
		}
	}
	return l.profile("attribute " + own[i].prefix + ":" + own[i].local)
}

func isID(local string) bool { return len(local) == 2 && strings.EqualFold(local, "id") }

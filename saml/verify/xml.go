package verify

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of a document (bytes, elements, attributes). They are checked while
// the document is read once from left to right, before a tree is built; every
// later step is linear in what they let through.
const (
	maxDocument      = 2 << 20   // bytes of a document
	maxCanonical     = 4 << 20   // bytes of a canonical form
	maxDepth         = 64        // open elements
	maxElements      = 20_000    // elements in a document
	maxAttributes    = 64        // attributes of one element, namespace declarations included
	maxAllAttributes = 32_000    // attributes of a document
	maxName          = 256       // bytes of a name
	maxValue         = 64 << 10  // bytes of an attribute value
	maxText          = 512 << 10 // bytes of one run of character data
	maxNamespace     = 512       // bytes of a namespace name
	maxInScope       = 128       // namespace declarations in force at once
	maxTexts         = 64_000    // runs of character data, CDATA sections included
	maxReference     = 12        // bytes of an entity or character reference
)

const (
	nsXML   = "http://www.w3.org/XML/1998/namespace"
	nsXMLNS = "http://www.w3.org/2000/xmlns/"
)

type tokenKind uint8

const (
	tokenOpen  tokenKind = iota // start of an element: prefix, local, space
	tokenDecl                   // namespace declaration: prefix, value
	tokenAttr                   // attribute: prefix, local, space, value
	tokenText                   // character data: value
	tokenClose                  // end of an element
)

// token is one event of the scan. Declarations and attributes follow the
// tokenOpen of their element.
type token struct {
	kind                        tokenKind
	prefix, local, space, value string
}

type binding struct{ prefix, space string }

type openElement struct {
	name  string // as written, to match the end tag
	scope int    // length of lexer.scope before the element's own declarations
	dsig  bool   // inside an XML signature
}

// lexer reads the narrow XML profile: UTF-8, no document type, no processing
// instructions, no comments, ASCII names, the five predefined entities and
// character references, absolute namespace names.
type lexer struct {
	s      string
	pos    int
	tokens []token
	open   []openElement
	scope  []binding

	inherited int  // leading entries of scope that come from outside the text
	comments  bool // comments outside signatures are left out instead of refused

	elements, attributes, texts, declarations int
}

// source is a text to parse.
type source struct {
	text     string
	limit    int   // bytes
	within   *node // what the text is a part of: its namespaces are in force; may be nil
	comments bool  // see lexer
}

// scan checks the text against the profile and its limits in one pass.
func scan(in source) (*lexer, *Error) {
	s, limit := in.text, in.limit
	if len(s) > limit {
		return nil, refuse(CodeLimit, "document is longer than "+strconv.Itoa(limit)+" bytes")
	}
	if err := checkCharacters(s); err != nil {
		return nil, err
	}
	l := &lexer{s: s, tokens: make([]token, 0, min(len(s)/28+16, 4096)), open: make([]openElement, 0, maxDepth), comments: in.comments}
	l.scope = in.within.scope()
	l.inherited = len(l.scope)
	if err := l.declaration(); err != nil {
		return nil, err
	}
	for l.pos < len(s) {
		var err *Error
		if s[l.pos] == '<' {
			err = l.markup()
		} else {
			err = l.text()
		}
		if err != nil {
			return nil, err
		}
	}
	if len(l.open) > 0 {
		return nil, l.profile("element " + l.open[len(l.open)-1].name + " is not closed")
	}
	if l.elements == 0 {
		return nil, l.profile("no root element")
	}
	return l, nil
}

// checkCharacters admits only characters of XML 1.0 §2.2.
func checkCharacters(s string) *Error {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\t' && c != '\n' && c != '\r' {
			return refuse(CodeXMLProfile, "control character at byte "+strconv.Itoa(i))
		}
	}
	if !utf8.ValidString(s) {
		return refuse(CodeXMLProfile, "not valid UTF-8")
	}
	if strings.HasPrefix(s, "\uFEFF") {
		return refuse(CodeXMLProfile, "byte order mark")
	}
	if strings.Contains(s, "\uFFFE") || strings.Contains(s, "\uFFFF") {
		return refuse(CodeXMLProfile, "noncharacter U+FFFE or U+FFFF")
	}
	return nil
}

// profile refuses at the current position.
func (l *lexer) profile(detail string) *Error {
	return refuse(CodeXMLProfile, detail+" (byte "+strconv.Itoa(l.pos)+")")
}

// declaration reads the optional XML declaration.
func (l *lexer) declaration() *Error {
	if !strings.HasPrefix(l.s, "<?xml") || len(l.s) < 6 || !isSpace(l.s[5]) {
		return nil
	}
	end := strings.Index(l.s, "?>")
	if end < 0 || end > maxName {
		return l.profile("malformed XML declaration")
	}
	rest := l.s[len("<?xml"):end]
	for i, name := range []string{"version", "encoding", "standalone"} {
		trimmed := strings.TrimLeft(rest, " \t\r\n")
		if !strings.HasPrefix(trimmed, name) {
			if i == 0 {
				return l.profile("XML declaration without version")
			}
			continue
		}
		if trimmed == rest {
			return l.profile("malformed XML declaration")
		}
		trimmed = strings.TrimLeft(trimmed[len(name):], " \t\r\n")
		if trimmed == "" || trimmed[0] != '=' {
			return l.profile("malformed XML declaration")
		}
		trimmed = strings.TrimLeft(trimmed[1:], " \t\r\n")
		if trimmed == "" || trimmed[0] != '"' && trimmed[0] != '\'' {
			return l.profile("malformed XML declaration")
		}
		close := strings.IndexByte(trimmed[1:], trimmed[0])
		if close < 0 {
			return l.profile("malformed XML declaration")
		}
		value := trimmed[1 : 1+close]
		rest = trimmed[close+2:]
		switch {
		case name == "version" && value != "1.0":
			return l.profile("XML version is not 1.0")
		case name == "encoding" && !strings.EqualFold(value, "UTF-8"):
			return l.profile("encoding is declared as " + clip(value) + ", not UTF-8")
		case name == "standalone" && value != "yes" && value != "no":
			return l.profile("malformed XML declaration")
		}
	}
	if strings.Trim(rest, " \t\r\n") != "" {
		return l.profile("malformed XML declaration")
	}
	l.pos = end + 2
	return nil
}

// markup reads what starts with '<'.
func (l *lexer) markup() *Error {
	rest := l.s[l.pos:]
	switch {
	case strings.HasPrefix(rest, "</"):
		return l.endTag()
	case strings.HasPrefix(rest, "<![CDATA["):
		return l.cdata()
	case strings.HasPrefix(rest, "<!--"):
		if l.comments && !l.inSignature() {
			return l.comment()
		}
		return l.forbidden("comment")
	case strings.HasPrefix(rest, "<!"):
		return l.forbidden("document type or markup declaration")
	case strings.HasPrefix(rest, "<?"):
		return l.forbidden("processing instruction")
	}
	return l.startTag()
}

// forbidden refuses markup that the profile has no place for. Inside an XML
// signature that is a breach of the signature's structure: a comment in a
// DigestValue or SignatureValue is read differently by different parsers.
func (l *lexer) forbidden(what string) *Error {
	if l.inSignature() {
		return refuse(CodeSigStructure, what+" inside a signature (byte "+strconv.Itoa(l.pos)+")")
	}
	return l.profile(what)
}

func (l *lexer) inSignature() bool { return len(l.open) > 0 && l.open[len(l.open)-1].dsig }

// comment skips a comment (XML 1.0 §2.5).
func (l *lexer) comment() *Error {
	start := l.pos + len("<!--")
	end := strings.Index(l.s[start:], "--")
	if end < 0 || !strings.HasPrefix(l.s[start+end:], "-->") {
		return l.profile("malformed comment")
	}
	l.pos = start + end + len("-->")
	return nil
}

// cdata normalises a CDATA section to character data.
func (l *lexer) cdata() *Error {
	if len(l.open) == 0 {
		return l.profile("character data outside the root element")
	}
	if l.inSignature() {
		return l.forbidden("CDATA section")
	}
	start := l.pos + len("<![CDATA[")
	end := strings.Index(l.s[start:], "]]>")
	if end < 0 {
		return l.profile("CDATA section is not closed")
	}
	if end > maxText {
		return refuse(CodeLimit, "character data is longer than "+strconv.Itoa(maxText)+" bytes")
	}
	raw := l.s[start : start+end]
	if strings.IndexByte(raw, '\r') >= 0 {
		raw = strings.ReplaceAll(strings.ReplaceAll(raw, "\r\n", "\n"), "\r", "\n")
	}
	l.pos = start + end + len("]]>")
	return l.addText(raw)
}

func (l *lexer) addText(value string) *Error {
	if value == "" {
		return nil
	}
	if l.texts++; l.texts > maxTexts {
		return refuse(CodeLimit, "more than "+strconv.Itoa(maxTexts)+" runs of character data")
	}
	l.tokens = append(l.tokens, token{kind: tokenText, value: value})
	return nil
}

// text reads character data up to the next '<'.
func (l *lexer) text() *Error {
	end := strings.IndexByte(l.s[l.pos:], '<')
	if end < 0 {
		end = len(l.s) - l.pos
	}
	raw := l.s[l.pos : l.pos+end]
	if len(l.open) == 0 {
		if strings.Trim(raw, " \t\r\n") != "" {
			return l.profile("character data outside the root element")
		}
		l.pos += end
		return nil
	}
	if len(raw) > maxText {
		return refuse(CodeLimit, "character data is longer than "+strconv.Itoa(maxText)+" bytes")
	}
	special := false
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '&', '\r':
			special = true
		case '>':
			if i >= 2 && raw[i-1] == ']' && raw[i-2] == ']' {
				return l.profile("]]> in character data")
			}
		}
	}
	if special {
		decoded, err := l.decode(raw, false)
		if err != nil {
			return err
		}
		raw = decoded
	}
	l.pos += end
	return l.addText(raw)
}

// decode resolves references and normalises line ends (XML 1.0 §2.11) and, in
// attributes, white space (§3.3.3).
func (l *lexer) decode(raw string, attribute bool) (string, *Error) {
	var b strings.Builder
	b.Grow(len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case c == '&':
			window := raw[i:min(len(raw), i+maxReference)]
			end := strings.IndexByte(window, ';')
			if end < 0 {
				return "", l.profile("malformed reference")
			}
			r, ok := reference(window[1:end])
			if !ok {
				return "", l.profile("reference to an unknown entity or forbidden character")
			}
			b.WriteRune(r)
			i += end
		case c == '\r':
			if i+1 < len(raw) && raw[i+1] == '\n' {
				continue
			}
			if attribute {
				b.WriteByte(' ')
			} else {
				b.WriteByte('\n')
			}
		case attribute && (c == '\n' || c == '\t'):
			b.WriteByte(' ')
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

// reference resolves the name between '&' and ';'.
func reference(name string) (rune, bool) {
	switch name {
	case "amp":
		return '&', true
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "quot":
		return '"', true
	case "apos":
		return '\'', true
	}
	digits, base := strings.CutPrefix(name, "#")
	if !base {
		return 0, false
	}
	radix := 10
	if hex, ok := strings.CutPrefix(digits, "x"); ok {
		digits, radix = hex, 16
	}
	if digits == "" || digits[0] == '+' || digits[0] == '-' {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, radix, 32)
	if err != nil || n > utf8.MaxRune {
		return 0, false
	}
	r := rune(n)
	switch {
	case r == '\t', r == '\n', r == '\r':
		return r, true
	case r < ' ', r >= 0xD800 && r <= 0xDFFF, r == 0xFFFE, r == 0xFFFF:
		return 0, false
	}
	return r, true
}

func (l *lexer) endTag() *Error {
	start := l.pos + 2
	end := strings.IndexByte(l.s[start:], '>')
	if end < 0 {
		return l.profile("end tag is not closed")
	}
	if len(l.open) == 0 {
		return l.profile("end tag without a start tag")
	}
	top := l.open[len(l.open)-1]
	if strings.TrimRight(l.s[start:start+end], " \t\r\n") != top.name {
		return l.profile("end tag does not match " + top.name)
	}
	l.pos = start + end + 1
	l.closeElement()
	return nil
}

func (l *lexer) closeElement() {
	l.scope = l.scope[:l.open[len(l.open)-1].scope]
	l.open = l.open[:len(l.open)-1]
	l.tokens = append(l.tokens, token{kind: tokenClose})
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func isNameStart(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
}

func isNameChar(c byte) bool {
	return isNameStart(c) || c >= '0' && c <= '9' || c == '.' || c == '-'
}

package filter

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/scim/dialect"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// Limits of a filter or path.
const (
	MaxBytes = 4096
	MaxTerms = 200
	MaxDepth = 32
)

// Parse reads a filter (RFC 7644 §3.4.2.2). Operators and attribute names are
// taken in any case. Errors are fault.Invalid, "invalidFilter".
func Parse(s string, d dialect.Dialect) (Expr, error) {
	p, err := newParser(s, d)
	if err != nil {
		return nil, err
	}
	e, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.space(); p.i < len(p.s) {
		return nil, p.fail("there is something after its end")
	}
	return e, nil
}

// Path is the target of a PATCH operation: PATH = attrPath / valuePath
// [subAttr] (RFC 7644 §3.5.2).
type Path struct {
	Attr   string // attribute path with URI prefix and, without a filter, sub-attribute
	Filter Expr   // nil when there is none
	Sub    string // the sub-attribute after the filter
}

// ParsePath reads a PATCH path. Errors are fault.Invalid: "invalidPath", or
// "invalidFilter" for what is wrong inside the brackets.
func ParsePath(s string, d dialect.Dialect) (*Path, error) {
	p, err := newParser(s, d)
	if err != nil {
		return nil, err
	}
	p.space()
	path := &Path{Attr: p.word()}
	if path.Attr == "" || path.Attr[0] == '.' || path.Attr[len(path.Attr)-1] == '.' {
		return nil, badPath(s)
	}
	if p.take('[') {
		if path.Filter, err = p.brackets(); err != nil {
			return nil, err
		}
		if p.take('.') {
			if path.Sub = p.word(); path.Sub == "" || strings.ContainsAny(path.Sub, ".:") {
				return nil, badPath(s)
			}
		}
	}
	if p.space(); p.i < len(p.s) {
		return nil, badPath(s)
	}
	return path, nil
}

func badPath(s string) *fault.Error {
	return fault.New(fault.Invalid, "invalidPath", "The path of the operation cannot be read.").In(s)
}

type parser struct {
	s     string
	i     int
	terms int
	depth int
	d     dialect.Dialect
}

func newParser(s string, d dialect.Dialect) (parser, error) {
	if len(s) > MaxBytes {
		return parser{}, fault.New(fault.Invalid, "invalidFilter", "The filter is longer than 4096 bytes.")
	}
	if !utf8.ValidString(s) {
		return parser{}, fault.New(fault.Invalid, "invalidFilter", "The filter is not valid UTF-8.")
	}
	return parser{s: s, d: d}, nil
}

func (p *parser) fail(what string) *fault.Error {
	return fault.New(fault.Invalid, "invalidFilter", "The filter cannot be read: "+what+" (at byte "+strconv.Itoa(p.i)+").")
}

func (p *parser) space() {
	for p.i < len(p.s) && (p.s[p.i] == ' ' || p.s[p.i] == '\t') {
		p.i++
	}
}

func (p *parser) take(c byte) bool {
	if p.i < len(p.s) && p.s[p.i] == c {
		p.i++
		return true
	}
	return false
}

// wordByte marks the bytes of attribute paths and operators. URIs bring
// colons, dots and hyphens.
var wordByte = func() (t [256]bool) {
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-0x20] = true, true
	}
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for _, c := range ":._-$/" {
		t[c] = true
	}
	return t
}()

func (p *parser) word() string {
	start := p.i
	for p.i < len(p.s) && wordByte[p.s[p.i]] {
		p.i++
	}
	return p.s[start:p.i]
}

// keyword takes the word w, in any case, where it stands alone.
func (p *parser) keyword(w string) bool {
	p.space()
	end := p.i + len(w)
	if end > len(p.s) || !strings.EqualFold(p.s[p.i:end], w) || end < len(p.s) && wordByte[p.s[end]] {
		return false
	}
	p.i = end
	return true
}

// enter goes one level of nesting deeper.
func (p *parser) enter() error {
	if p.depth++; p.depth > MaxDepth {
		return p.fail("it is nested more than 32 deep")
	}
	return nil
}

// or, and, unary: precedence from weak to strong (RFC 7644 §3.4.2.2: not
// before and before or).
func (p *parser) or() (Expr, error) {
	x, err := p.and()
	for err == nil && p.keyword("or") {
		var y Expr
		if y, err = p.and(); err == nil {
			x = &Or{x, y}
		}
	}
	return x, err
}

func (p *parser) and() (Expr, error) {
	x, err := p.unary()
	for err == nil && p.keyword("and") {
		var y Expr
		if y, err = p.unary(); err == nil {
			x = &And{x, y}
		}
	}
	return x, err
}

func (p *parser) unary() (Expr, error) {
	p.space()
	if p.take('(') {
		return p.group()
	}
	start := p.i
	w := p.word()
	if w == "" {
		return nil, p.fail("an attribute is missing")
	}
	if len(w) == 3 && strings.EqualFold(w, "not") {
		if p.space(); p.take('(') {
			x, err := p.group()
			if err != nil {
				return nil, err
			}
			return &Not{x}, nil
		}
	}
	if w[0] == '.' || w[0] == '"' || w[len(w)-1] == '.' {
		p.i = start
		return nil, p.fail("an attribute is malformed")
	}
	if p.take('[') {
		x, err := p.brackets()
		if err != nil {
			return nil, err
		}
		if p.i == len(p.s) || p.s[p.i] != '.' || !p.d.Allow(dialect.ValuePathCompare) {
			return &ValuePath{w, x}, nil
		}
		p.i++
		sub := p.word()
		if sub == "" || strings.ContainsAny(sub, ".:") {
			return nil, p.fail("a sub-attribute is malformed")
		}
		c, err := p.compare(sub)
		if err != nil {
			return nil, err
		}
		return &ValuePath{w, &And{x, c}}, nil
	}
	c, err := p.compare(w)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// group reads on after an opening parenthesis.
func (p *parser) group() (Expr, error) {
	return p.nested(')', "a parenthesis is not closed")
}

// brackets reads on after the opening bracket of a value path.
func (p *parser) brackets() (Expr, error) {
	return p.nested(']', "a bracket is not closed")
}

func (p *parser) nested(end byte, open string) (Expr, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	x, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.space(); !p.take(end) {
		return nil, p.fail(open)
	}
	p.depth--
	return x, nil
}

func operator(w string) (Op, bool) {
	if len(w) != 2 {
		return 0, false
	}
	switch [2]byte{w[0] | 0x20, w[1] | 0x20} {
	case [2]byte{'e', 'q'}:
		return Eq, true
	case [2]byte{'n', 'e'}:
		return Ne, true
	case [2]byte{'c', 'o'}:
		return Co, true
	case [2]byte{'s', 'w'}:
		return Sw, true
	case [2]byte{'e', 'w'}:
		return Ew, true
	case [2]byte{'g', 't'}:
		return Gt, true
	case [2]byte{'g', 'e'}:
		return Ge, true
	case [2]byte{'l', 't'}:
		return Lt, true
	case [2]byte{'l', 'e'}:
		return Le, true
	case [2]byte{'p', 'r'}:
		return Pr, true
	}
	return 0, false
}

// compare reads operator and value after the attribute path.
func (p *parser) compare(path string) (*Compare, error) {
	if p.terms++; p.terms > MaxTerms {
		return nil, p.fail("it has more than 200 terms")
	}
	p.space()
	start := p.i
	op, ok := operator(p.word())
	if !ok {
		p.i = start
		return nil, p.fail("an operator is missing after " + path)
	}
	c := &Compare{Path: path, Op: op}
	if op == Pr {
		return c, nil
	}
	p.space()
	if strings.EqualFold(path, "meta.resourceType") { // RFC 7644 §3.4.2.1 writes the type without quotes
		start = p.i
		if w := p.word(); w == "User" || w == "Group" {
			c.Value = w
			return c, nil
		}
		p.i = start
	}
	v, err := p.value()
	c.Value = v
	return c, err
}

func (p *parser) value() (any, error) {
	if p.i >= len(p.s) {
		return nil, p.fail("a value is missing")
	}
	if p.s[p.i] == '"' {
		return p.quoted()
	}
	start := p.i
	for p.i < len(p.s) && !strings.ContainsRune(" \t()[]\"", rune(p.s[p.i])) && p.s[p.i] >= 0x20 {
		p.i++
	}
	switch w := p.s[start:p.i]; {
	case w == "true":
		return true, nil
	case w == "false":
		return false, nil
	case w == "null":
		return nil, nil
	case isNumber(w):
		return json.Number(w), nil
	case strings.EqualFold(w, "true") && p.d.Allow(dialect.CoerceBool):
		return true, nil
	case strings.EqualFold(w, "false") && p.d.Allow(dialect.CoerceBool):
		return false, nil
	case w != "" && !strings.Contains(w, "'") && p.d.Allow(dialect.BareWords): // other quotes are a mistake, not part of a word
		return w, nil
	}
	p.i = start
	return nil, p.fail("a value is not a quoted string, a number, true, false or null")
}

func (p *parser) quoted() (any, error) {
	for i := p.i + 1; i < len(p.s); i++ {
		switch c := p.s[i]; {
		case c == '"':
			s := p.s[p.i+1 : i]
			p.i = i + 1
			return s, nil
		case c == '\\':
			s, rest, err := schema.Unquote(p.s[p.i+1:])
			if err != nil {
				return nil, p.fail("a string has a bad escape or does not end")
			}
			p.i = len(p.s) - len(rest)
			return s, nil
		case c < 0x20:
			return nil, p.fail("a string holds a control character")
		}
	}
	return nil, p.fail("a string does not end")
}

// isNumber tells a JSON number.
func isNumber(w string) bool {
	if w == "" || len(w) > 64 || w[0] != '-' && (w[0] < '0' || w[0] > '9') {
		return false
	}
	return json.Valid([]byte(w))
}

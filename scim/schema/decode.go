package schema

import (
	"encoding/json"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// MaxDepth is how deep objects and lists of a body may be nested.
const MaxDepth = 32

// maxNumber is the length of the longest number literal.
const maxNumber = 64

// Decode reads a JSON object strictly: valid UTF-8 (RFC 8259 §8.1), nesting up
// to MaxDepth, no key twice in one object, no NUL in a string (no database
// stores one), no lone surrogate, nothing after the object. The caller bounds
// the size. Errors are fault.Invalid, "invalidSyntax" (RFC 7644 §3.12).
func Decode(data []byte) (*Object, error) {
	d := decoder{s: string(data)}
	if !utf8.ValidString(d.s) {
		return nil, syntax("The body is not valid UTF-8.")
	}
	if len(d.s) >= 3 && d.s[:3] == "\ufeff" {
		d.i = 3
	}
	d.space()
	if d.i >= len(d.s) || d.s[d.i] != '{' {
		return nil, syntax("The body is not a JSON object.")
	}
	v, err := d.object(1)
	if err != nil {
		return nil, err
	}
	d.space()
	if d.i != len(d.s) {
		return nil, syntax("There is something after the JSON object.")
	}
	return v, nil
}

func syntax(message string) *fault.Error { return fault.New(fault.Invalid, "invalidSyntax", message) }

type decoder struct {
	s string
	i int
}

func (d *decoder) space() {
	for d.i < len(d.s) {
		switch d.s[d.i] {
		case ' ', '\t', '\n', '\r':
			d.i++
		default:
			return
		}
	}
}

func (d *decoder) bad() *fault.Error {
	return syntax("The body is not valid JSON (at byte " + strconv.Itoa(d.i) + ").")
}

// next skips space and takes the byte c.
func (d *decoder) next(c byte) bool {
	d.space()
	if d.i < len(d.s) && d.s[d.i] == c {
		d.i++
		return true
	}
	return false
}

func (d *decoder) value(depth int) (any, error) {
	d.space()
	if d.i >= len(d.s) {
		return nil, d.bad()
	}
	if depth > MaxDepth {
		return nil, syntax("The body is nested too deeply.")
	}
	switch c := d.s[d.i]; {
	case c == '{':
		o, err := d.object(depth)
		if err != nil {
			return nil, err
		}
		return o, nil
	case c == '[':
		l, err := d.list(depth)
		if err != nil {
			return nil, err
		}
		return l, nil
	case c == '"':
		s, err := d.str()
		if err != nil {
			return nil, err
		}
		return s, nil
	case c == '-' || c >= '0' && c <= '9':
		n, err := d.number()
		if err != nil {
			return nil, err
		}
		return n, nil
	case d.word("true"):
		return true, nil
	case d.word("false"):
		return false, nil
	case d.word("null"):
		return nil, nil
	}
	return nil, d.bad()
}

func (d *decoder) word(w string) bool {
	if len(d.s)-d.i >= len(w) && d.s[d.i:d.i+len(w)] == w {
		d.i += len(w)
		return true
	}
	return false
}

// mapAt is the size from which duplicate keys are found through a map.
const mapAt = 24

func (d *decoder) object(depth int) (*Object, error) {
	d.i++
	o := &Object{}
	if d.next('}') {
		return o, nil
	}
	o.members = make([]member, 0, 8)
	var seen map[string]struct{}
	for {
		d.space()
		if d.i >= len(d.s) || d.s[d.i] != '"' {
			return nil, d.bad()
		}
		key, err := d.str()
		if err != nil {
			return nil, err
		}
		if len(o.members) < mapAt {
			if o.index(key) >= 0 {
				return nil, syntax("A key stands twice in one object.").In(key)
			}
		} else {
			if seen == nil {
				seen = make(map[string]struct{}, 2*mapAt)
				for _, m := range o.members {
					seen[m.key] = struct{}{}
				}
			}
			if _, dup := seen[key]; dup {
				return nil, syntax("A key stands twice in one object.").In(key)
			}
			seen[key] = struct{}{}
		}
		if !d.next(':') {
			return nil, d.bad()
		}
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		o.members = append(o.members, member{key, v})
		if d.next(',') {
			continue
		}
		if d.next('}') {
			return o, nil
		}
		return nil, d.bad()
	}
}

func (d *decoder) list(depth int) ([]any, error) {
	d.i++
	l := []any{}
	if d.next(']') {
		return l, nil
	}
	for {
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		l = append(l, v)
		if d.next(',') {
			continue
		}
		if d.next(']') {
			return l, nil
		}
		return nil, d.bad()
	}
}

func (d *decoder) str() (string, error) {
	d.i++
	start := d.i
	for d.i < len(d.s) {
		switch c := d.s[d.i]; {
		case c == '"':
			s := d.s[start:d.i]
			d.i++
			return s, nil
		case c == '\\':
			return d.escaped(start)
		case c < 0x20:
			return "", d.bad()
		}
		d.i++
	}
	return "", d.bad()
}

// escaped reads on from the first backslash of a string.
func (d *decoder) escaped(start int) (string, error) {
	s, rest, err := Unquote(d.s[start:])
	if err != nil {
		return "", err
	}
	d.i = len(d.s) - len(rest)
	return s, nil
}

// Unquote reads the rest of a JSON string, after its opening quote, and
// returns its value and what follows the closing quote.
func Unquote(in string) (value, rest string, err error) {
	b := make([]byte, 0, 64)
	for i := 0; i < len(in); i++ {
		c := in[i]
		switch {
		case c == '"':
			return string(b), in[i+1:], nil
		case c < 0x20:
			return "", "", syntax("A string holds a control character.")
		case c != '\\':
			b = append(b, c)
			continue
		}
		i++
		if i >= len(in) {
			break
		}
		switch in[i] {
		case '"', '\\', '/':
			b = append(b, in[i])
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'u':
			r, ok := hex4(in, i+1)
			if !ok || r == 0 {
				return "", "", syntax("A string holds a bad escape.")
			}
			i += 4
			if utf16.IsSurrogate(r) {
				low, ok := hex4(in, i+3)
				if !ok || in[i+1] != '\\' || in[i+2] != 'u' {
					return "", "", syntax("A string holds half a surrogate pair.")
				}
				if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
					return "", "", syntax("A string holds half a surrogate pair.")
				}
				i += 6
			}
			b = utf8.AppendRune(b, r)
		default:
			return "", "", syntax("A string holds a bad escape.")
		}
	}
	return "", "", syntax("A string does not end.")
}

func hex4(s string, at int) (rune, bool) {
	if at+4 > len(s) {
		return 0, false
	}
	var r rune
	for _, c := range []byte(s[at : at+4]) {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

func (d *decoder) digits() bool {
	start := d.i
	for d.i < len(d.s) && d.s[d.i] >= '0' && d.s[d.i] <= '9' {
		d.i++
	}
	return d.i > start
}

func (d *decoder) number() (json.Number, error) {
	start := d.i
	if d.s[d.i] == '-' {
		d.i++
	}
	zero := d.i < len(d.s) && d.s[d.i] == '0'
	first := d.i
	if !d.digits() || zero && d.i-first > 1 {
		return "", d.bad()
	}
	if d.i < len(d.s) && d.s[d.i] == '.' {
		d.i++
		if !d.digits() {
			return "", d.bad()
		}
	}
	if d.i < len(d.s) && (d.s[d.i] == 'e' || d.s[d.i] == 'E') {
		d.i++
		if d.i < len(d.s) && (d.s[d.i] == '+' || d.s[d.i] == '-') {
			d.i++
		}
		if !d.digits() {
			return "", d.bad()
		}
	}
	if d.i-start > maxNumber {
		return "", syntax("A number is too long.")
	}
	return json.Number(d.s[start:d.i]), nil
}

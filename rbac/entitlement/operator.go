package entitlement

import (
	"math"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"time"
)

// Operator compares an attribute with a value.
type Operator string

// test answers whether an attribute's value fits; good is false when it is not of
// the operator's kind.
type test func(v any) (fits, good bool)

// operators make the test of a condition's value; ok is false when the value does
// not fit the operator.
var operators = map[Operator]func(value any) (t test, ok bool){
	"in_list":     stringTest(func(s, v string) bool { return s == v }),
	"starts_with": stringTest(strings.HasPrefix),
	"ends_with":   stringTest(strings.HasSuffix),
	"contains":    stringTest(strings.Contains),
	"matches":     matches,

	"equal":              numberTest(func(n, v float64) bool { return n == v }),
	"greater_than":       numberTest(func(n, v float64) bool { return n > v }),
	"greater_than_equal": numberTest(func(n, v float64) bool { return n >= v }),
	"lower_than":         numberTest(func(n, v float64) bool { return n < v }),
	"lower_than_equal":   numberTest(func(n, v float64) bool { return n <= v }),
	"between_numeric":    betweenNumbers,

	"is": is,

	"on":           dateTest(func(t time.Time, d span) bool { return !t.Before(d.start) && t.Before(d.end) }),
	"on_or_after":  dateTest(func(t time.Time, d span) bool { return !t.Before(d.start) }),
	"on_or_before": dateTest(func(t time.Time, d span) bool { return t.Before(d.end) }),
	"between_date": betweenDates,
}

// maxAttribute bounds the text of an attribute in bytes; a longer one is a bad value.
const maxAttribute = 8192

// stringTest fits when any text of the list does, with regard to case.
func stringTest(compare func(s, v string) bool) func(any) (test, bool) {
	return func(value any) (test, bool) {
		list, ok := texts(value)
		return func(v any) (bool, bool) {
			s, good := v.(string)
			good = good && len(s) <= maxAttribute
			return good && slices.ContainsFunc(list, func(x string) bool { return compare(s, x) }), good
		}, ok
	}
}

// texts takes one text or a list of them.
func texts(value any) ([]string, bool) {
	if s, ok := value.(string); ok {
		value = []any{s}
	}
	raw, ok := value.([]any)
	if !ok || len(raw) == 0 || len(raw) > maxValues {
		return nil, false
	}
	list := make([]string, 0, len(raw))
	for _, v := range raw {
		s, ok := v.(string)
		if !ok || s == "" || len(s) > maxString {
			return nil, false
		}
		list = append(list, s)
	}
	return list, true
}

// maxProgram bounds the steps of a regular expression with its repetitions written
// out: what compiling takes of memory, and matching of time for each byte.
const maxProgram = 1000

// matches is a regular expression that fits anywhere in the text. It comes from
// the vendor, never from a tenant, is bounded in length and in what it stands
// for, and takes linear time (RE2).
func matches(value any) (test, bool) {
	s, ok := value.(string)
	if !ok || s == "" || len(s) > maxPattern {
		return nil, false
	}
	tree, err := syntax.Parse(s, syntax.Perl)
	if err != nil || programSize(tree) > maxProgram {
		return nil, false
	}
	re, err := regexp.Compile(s)
	return func(v any) (bool, bool) {
		s, good := v.(string)
		good = good && len(s) <= maxAttribute
		return good && re.MatchString(s), good
	}, err == nil
}

// programSize is about the number of steps of the expression, at most a little
// over maxProgram.
func programSize(re *syntax.Regexp) int {
	n := 1
	if re.Op == syntax.OpLiteral {
		n = len(re.Rune)
	}
	for _, sub := range re.Sub {
		n = min(n+programSize(sub), maxProgram+1)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min+1, re.Max) // each at most 1000
	}
	return min(n, maxProgram+1)
}

func numberTest(compare func(n, v float64) bool) func(any) (test, bool) {
	return func(value any) (test, bool) {
		x, ok := value.(float64)
		return func(v any) (bool, bool) {
			n, good := v.(float64)
			return good && compare(n, x), good
		}, ok
	}
}

// betweenNumbers includes both ends.
func betweenNumbers(value any) (test, bool) {
	from, to, ok := ends(value)
	start, okStart := from.(float64)
	end, okEnd := to.(float64)
	return func(v any) (bool, bool) {
		n, good := v.(float64)
		return good && n >= start && n <= end, good
	}, ok && okStart && okEnd && start <= end
}

func is(value any) (test, bool) {
	want, ok := value.(bool)
	return func(v any) (bool, bool) {
		b, good := v.(bool)
		return good && b == want, good
	}, ok
}

// span is the time that a condition's date names: a day of UTC, or an instant.
// end is not included.
type span struct{ start, end time.Time }

func dateTest(compare func(t time.Time, d span) bool) func(any) (test, bool) {
	return func(value any) (test, bool) {
		d, ok := date(value)
		return func(v any) (bool, bool) {
			t, good := instant(v)
			return good && compare(t, d), good
		}, ok
	}
}

// betweenDates includes both ends, days as a whole.
func betweenDates(value any) (test, bool) {
	from, to, ok := ends(value)
	start, okStart := date(from)
	end, okEnd := date(to)
	return func(v any) (bool, bool) {
		t, good := instant(v)
		return good && !t.Before(start.start) && t.Before(end.end), good
	}, ok && okStart && okEnd && start.start.Before(end.end)
}

func date(value any) (span, bool) {
	s, _ := value.(string)
	if day, err := time.Parse(time.DateOnly, s); err == nil {
		return span{day, day.AddDate(0, 0, 1)}, true
	}
	t, err := time.Parse(time.RFC3339, s)
	return span{t, t.Add(time.Nanosecond)}, err == nil
}

// maxSeconds keeps a number of seconds within the years that time.Time prints.
const maxSeconds = 200_000_000_000

// instant reads an attribute: an RFC 3339 time, a date (its first moment in UTC),
// or, as in claims, seconds since 1970 (the NumericDate of RFC 7519 §2).
func instant(v any) (time.Time, bool) {
	if n, ok := v.(float64); ok {
		whole, part := math.Modf(n)
		return time.Unix(int64(whole), int64(part*1e9)), math.Abs(n) < maxSeconds
	}
	d, ok := date(v)
	return d.start, ok
}

// ends takes apart {"start":…,"end":…}.
func ends(value any) (start, end any, ok bool) {
	m, ok := value.(map[string]any)
	return m["start"], m["end"], ok && len(m) == 2
}

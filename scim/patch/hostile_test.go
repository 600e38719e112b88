package patch

import (
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// crowded is a stored user with as many addresses as one can have.
func crowded(t testing.TB) *schema.Object {
	var list strings.Builder
	for i := range schema.MaxElements {
		list.WriteString(`,{"value":"x` + strconv.Itoa(i) + `","type":"work"}`)
	}
	return object(t, `{`+head+`"userName":"u","active":true,"emails":[`+list.String()[1:]+`]}`)
}

// hostile are requests below the limits of size and number that were made to
// cost more than their length, by what each asks of the list.
func hostile() map[string]string {
	many := func(n int, op string) string { return strings.Repeat(op+",", n-1) + op }
	list := make([]string, schema.MaxElements)
	for i := range list {
		list[i] = `{"value":"y` + strconv.Itoa(i) + `"}`
	}
	values := "[" + strings.Join(list, ",") + "]"
	terms := strings.Repeat(`display eq "x" or `, 40)
	return map[string]string{
		"filters over all":        many(1000, op("replace", `emails[`+terms+`type pr].display`, `"d"`)),
		"filters of nothing":      many(1000, op("remove", `emails[`+terms+`type eq "q"]`, "")),
		"values of nothing":       many(50, op("remove", "emails", values)),
		"whole elements":          many(1000, op("add", `emails[type pr]`, `{"display":"d"}`)),
		"elements that are there": many(50, op("remove", "emails", `[`+list[0]+`]`)+","+op("add", "emails", values)),
	}
}

// What is made to multiply is refused before it does, and a document does not
// outgrow what one request can say.
func TestHostile(t *testing.T) {
	d := profile(t, "entra")
	for name, ops := range hostile() {
		r, err := apply(t, d, schema.User, crowded(t), ops, Options{})
		if fault.CodeOf(err) != "tooMany" || r.Doc != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	long := `"` + strings.Repeat("x", 2*MaxDocument/schema.MaxElements) + `"`
	for _, ops := range []string{op("replace", "emails.display", long), op("add", "emails[type pr]", `{"display":`+long+`}`)} {
		if _, err := apply(t, d, schema.User, crowded(t), ops, Options{}); fault.CodeOf(err) != "invalidValue" {
			t.Errorf("%.60s: %v", ops, err)
		}
	}
	big := crowded(t)
	big.Set("title", strings.Repeat("x", MaxDocument+1))
	if _, err := apply(t, d, schema.User, big, op("remove", "emails", ""), Options{}); err != nil {
		t.Errorf("a document above the limit cannot shrink: %v", err)
	}
	if _, err := apply(t, d, schema.User, crowded(t), op("remove", `emails[type eq "work"].value`, ""), Options{}); err != nil {
		t.Errorf("one filter over a full list: %v", err)
	}
	all := make([]schema.Member, 300_000)
	for i := range all {
		all[i] = schema.Member{Value: strconv.Itoa(i), Type: "User"}
	}
	group := object(t, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"G"}`)
	o := Options{Members: func() ([]schema.Member, error) { return all, nil }}
	one := op("remove", `members[type eq "Group" or display eq "x"]`, "")
	if _, err := apply(t, d, schema.Group, group, one, o); err != nil {
		t.Errorf("a filter over a large group: %v", err)
	}
	if _, err := apply(t, d, schema.Group, group, one+","+one+","+one+","+one, o); fault.CodeOf(err) != "tooMany" {
		t.Errorf("four of them: %v", err)
	}
}

func BenchmarkHostile(b *testing.B) {
	d := profile(b, "entra")
	current := crowded(b)
	for name, ops := range hostile() {
		body := []byte(`{"Operations":[` + ops + `]}`)
		o, err := schema.Decode(body)
		if err != nil {
			b.Fatal(name, err)
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				r, err := Parse(o, d)
				if err == nil {
					_, err = Apply(schema.Core(), schema.User, current, r, d, Options{})
				}
				if err != nil && fault.KindOf(err) != fault.Invalid {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHostileJSON decodes bodies of 1 MiB of the shapes that cost most, and
// those that are refused at once.
func BenchmarkHostileJSON(b *testing.B) {
	const size = 1 << 20
	for name, s := range map[string]string{
		"deep lists":    strings.Repeat("[", size),
		"deep objects":  strings.Repeat(`{"a":`, size/5),
		"empty lists":   `{"a":[` + strings.Repeat("[],", size/3-4) + `[]]}`,
		"empty objects": `{"a":[` + strings.Repeat("{},", size/3-4) + `{}]}`,
		"operations":    `{"Operations":[` + strings.Repeat(`{"op":"remove","path":"a"},`, size/27-1) + `{}]}`,
		"escapes":       `{"a":"` + strings.Repeat(`\n`, size/2-5) + `"}`,
		"open strings":  `{"a":["` + strings.Repeat(`\u0041`, size/6) + ``,
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(s)))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = schema.Decode([]byte(s))
			}
		})
	}
}

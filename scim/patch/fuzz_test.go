package patch

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/scim/dialect"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

const fuzzUser = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","` + ent + `"],"userName":"u","active":true,
	"name":{"givenName":"G"},"emails":[{"value":"a","type":"work","primary":true},{"value":"b"}],"` + ent + `":{"manager":{"value":"m"},"department":"D"}}`

// check asserts what holds after any request: the stored document is as it
// was, the new one is in stored form (normalising it again changes nothing),
// and the change set is empty exactly when nothing changed.
func check(t interface{ Fatalf(string, ...any) }, k schema.Kind, current *schema.Object, before string, r Result, err error) {
	if string(current.Bytes()) != before {
		t.Fatalf("the current document changed to %s", current.Bytes())
	}
	if err != nil {
		codes := []string{"invalidFilter", "invalidPath", "invalidSyntax", "invalidValue", "mutability", "noTarget", "tooMany"}
		if fault.KindOf(err) != fault.Invalid || !slices.Contains(codes, fault.CodeOf(err)) {
			t.Fatalf("the request fails with %v", err)
		}
		return
	}
	if r.Changed != (len(r.Changes) > 0) || r.Changed == (r.Doc == current) {
		t.Fatalf("changed %v with changes %v", r.Changed, r.Changes)
	}
	rfc, _ := dialect.Lookup("rfc")
	b, err := schema.Core().Normalise(r.Doc, k, rfc.With(nil, []dialect.Rule{dialect.IgnoreUnknown, dialect.CoerceBool, dialect.SingleToList, dialect.DottedKeys}).Start())
	if err != nil {
		t.Fatalf("%s is no valid document: %v", r.Doc.Bytes(), err)
	}
	if !schema.Equal(b.Doc, r.Doc) || b.HasPassword || b.HasMembers {
		t.Fatalf("%s is not in stored form: %s", r.Doc.Bytes(), b.Doc.Bytes())
	}
}

func FuzzApply(f *testing.F) {
	for _, ops := range []string{
		op("replace", `emails[type eq "work"].value`, `"x"`),
		op("add", "", `{"name.givenName":"x","`+ent+`:manager":"1","emails":[{"value":"c","primary":true}]}`),
		op("remove", "emails", `[{"value":"a"}]`),
		op("replace", ent, `{"department":null}`),
		op("add", `roles[primary eq "True"].value`, `"R"`),
		op("remove", `members[value eq "a" or type eq "User"]`, ""),
		op("replace", "members", `null`),
	} {
		f.Add(`{"Operations":[`+ops+`]}`, true)
		f.Add(`{"Operations":[`+ops+`]}`, false)
	}
	rfc, _ := dialect.Lookup("rfc")
	entra, _ := dialect.Lookup("entra")
	f.Fuzz(func(t *testing.T, body string, lenient bool) {
		o, err := schema.Decode([]byte(body))
		if err != nil {
			return
		}
		d := rfc.Start()
		if lenient {
			d = entra.Start()
		}
		for _, k := range []schema.Kind{schema.User, schema.Group} {
			current := object(t, fuzzUser)
			if k == schema.Group {
				current = object(t, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"G"}`)
			}
			before := string(current.Bytes())
			r, err := Parse(o, d)
			var res Result
			if err == nil {
				res, err = Apply(schema.Core(), k, current, r, d, Options{ID: "x"})
			}
			check(t, k, current, before, res, err)
			res, err = Replace(schema.Core(), k, current, o, d)
			check(t, k, current, before, res, err)
		}
	})
}

var (
	somePaths = []string{
		"", "nickName", "title", "active", "name", "name.givenName", "emails", "emails.value", "emails.primary", `emails[type eq "work"]`, `emails[type eq "work"].value`,
		`emails[type eq "home"].primary`, `emails[value eq "b"]`, `roles[primary eq "True"].value`, ent, ent + ":department", ent + ":manager", ent + ":manager.value",
		"userName", "password", "id", "addresses[type eq \"work\"].country", "externalId", "x509Certificates",
		"department", "manager.value", "EMAILS[Type EQ \"work\" and (primary eq true or not (value pr))]", schema.UserURN + ":name.givenName", schema.UserURN, "roles", `emails[type eq "x" and primary eq "True"]`,
		"phoneNumbers.type", "locale", "groups", "meta", "urn:scim:schemas:extension:enterprise:2.0:division", "nothing", "ims[value co \"x\"].type",
	}
	someValues = []string{
		`null`, `""`, `"x"`, `"True"`, `true`, `false`, `7`, `{}`, `[]`, `{"value":"x"}`, `{"value":""}`, `[{"value":"b","primary":true}]`, `{"value":"c","type":"work","primary":true}`,
		`{"givenName":"H","familyName":null}`, `{"department":"E","manager":"9"}`, `["x"]`, `[{"value":"a"},{"value":"A","type":"home"}]`,
		`{"nickName":"N","emails":[{"value":"z"}],"name.familyName":"F"}`, `"TUlJ"`,
		`{"$ref":null,"value":"x"}`, `[{"$ref":null,"value":"True"}]`, `[{"type":"work","value":null},{"type":"home","value":""}]`, `["True","False"]`, `{"department":"x","` + ent + `:costCenter":7}`,
		`{"` + ent + `":{"manager":["9"],"nothing":1},"emails[type eq \"work\"].value":"w","id":"x","active":"False"}`, `[{"value":"{\"id\":1}","primary":"True"},{"value":"q","primary":true}]`, `[[]]`, `[{}]`, `{"value":{}}`,
	}
)

// Whatever a client sends, in any profile, the outcome is a valid stored
// document or a SCIM error, and sending the same again changes nothing more.
func TestApplyKeepsStoredForm(t *testing.T) {
	applied := 0
	rapid.Check(t, func(t *rapid.T) {
		p, _ := dialect.Lookup(rapid.SampledFrom(dialect.Names()).Draw(t, "profile"))
		var ops []string
		for range rapid.IntRange(1, 4).Draw(t, "n") {
			value := ""
			name := rapid.SampledFrom([]string{"add", "replace", "remove"}).Draw(t, "op")
			if name != "remove" || rapid.Bool().Draw(t, "with value") {
				value = rapid.SampledFrom(someValues).Draw(t, "value")
			}
			ops = append(ops, op(name, rapid.SampledFrom(somePaths).Draw(t, "path"), value))
		}
		body, err := schema.Decode([]byte(`{"Operations":[` + strings.Join(ops, ",") + `]}`))
		if err != nil {
			t.Fatal(err)
		}
		r, err := Parse(body, p.Start())
		if err != nil {
			t.Fatal(err)
		}
		current, _ := schema.Decode([]byte(fuzzUser))
		before := string(current.Bytes())
		res, err := Apply(schema.Core(), schema.User, current, r, p.Start(), Options{ID: "x"})
		check(t, schema.User, current, before, res, err)
		if err != nil {
			return
		}
		applied++
		if last := r.Operations[len(r.Operations)-1]; len(r.Operations) == 1 && !strings.Contains(last.Path, "[") {
			again, err := Apply(schema.Core(), schema.User, res.Doc, r, p.Start(), Options{ID: "x"})
			if err != nil || again.Changed {
				t.Fatalf("%s twice: %v, %v", ops, again.Changes, err)
			}
		}
	})
	if applied == 0 {
		t.Error("no request was applied")
	}
}

func BenchmarkApplyOne(b *testing.B) {
	current := object(b, fuzzUser)
	body := []byte(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[` + op("replace", "active", "false") + "," + op("Replace", `emails[type eq "work"].value`, `"n@x"`) + "," + op("add", ent+":department", `"E"`) + `]}`)
	d := profile(b, "entra")
	b.ReportAllocs()
	for b.Loop() {
		o, err := schema.Decode(body)
		if err != nil {
			b.Fatal(err)
		}
		r, err := Parse(o, d)
		if err != nil {
			b.Fatal(err)
		}
		res, err := Apply(schema.Core(), schema.User, current, r, d, Options{})
		if err != nil || !res.Changed {
			b.Fatal(err)
		}
	}
}

// A request that grows a long list one element at a time stays cheap.
func BenchmarkHostileList(b *testing.B) {
	var ops, list strings.Builder
	for i := range MaxOperations - 1 {
		ops.WriteString("," + op("add", "emails", `{"value":"x`+strconv.Itoa(i)+`"}`))
		if i < schema.MaxElements/2 {
			list.WriteString(`{"value":"y` + strconv.Itoa(i) + `"},`)
		}
	}
	d := profile(b, "rfc")
	r, err := Parse(object(b, `{"Operations":[`+op("add", "emails", "["+list.String()+`{"value":"z"}]`)+ops.String()+`]}`), d)
	if err != nil {
		b.Fatal(err)
	}
	current := object(b, fuzzUser)
	for b.Loop() {
		if _, err := Apply(schema.Core(), schema.User, current, r, d, Options{}); fault.CodeOf(err) != "invalidValue" {
			b.Fatal(err)
		}
	}
}

func BenchmarkAddMembers1000(b *testing.B) {
	var list strings.Builder
	for i := range 1000 {
		if i > 0 {
			list.WriteByte(',')
		}
		list.WriteString(`{"value":"res_` + strings.Repeat("x", 20) + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676)) + `"}`)
	}
	body := []byte(`{"Operations":[` + op("add", "members", `[`+list.String()+`]`) + `]}`)
	group := object(b, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"G"}`)
	d := profile(b, "okta")
	b.ReportAllocs()
	for b.Loop() {
		o, _ := schema.Decode(body)
		r, err := Parse(o, d)
		if err != nil {
			b.Fatal(err)
		}
		if res, err := Apply(schema.Core(), schema.Group, group, r, d, Options{}); err != nil || len(res.Members.Add) != 1000 {
			b.Fatal(err)
		}
	}
}

package patch

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/scim/dialect"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

const (
	ent  = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	head = `"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],`
	both = `"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","` + ent + `"],`
)

func profile(t testing.TB, name string) dialect.Dialect {
	t.Helper()
	p, err := dialect.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return p.Start()
}

func object(t testing.TB, s string) *schema.Object {
	t.Helper()
	o, err := schema.Decode([]byte(s))
	if err != nil {
		t.Fatalf("%v in %s", err, s)
	}
	return o
}

// stored makes a stored user of its members besides schemas, userName, active.
func stored(t testing.TB, members string) *schema.Object {
	t.Helper()
	schemas := head
	if strings.Contains(members, ent) {
		schemas = both
	}
	if members != "" {
		members = "," + members
	}
	return object(t, `{`+schemas+`"userName":"u","active":true`+members+`}`)
}

func apply(t testing.TB, d dialect.Dialect, k schema.Kind, current *schema.Object, ops string, o Options) (Result, error) {
	t.Helper()
	body := object(t, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[`+ops+`]}`)
	r, err := Parse(body, d)
	if err != nil {
		return Result{}, err
	}
	return Apply(schema.Core(), k, current, r, d, o)
}

type suite struct {
	*testing.T
	profile string
}

// good applies ops to a user with the members of start and wants those of want.
func (s suite) good(start, ops, want string, fired ...string) {
	s.Helper()
	d := profile(s, s.profile)
	current := stored(s, start)
	before := string(current.Bytes())
	r, err := apply(s, d, schema.User, current, ops, Options{ID: "res_1"})
	if err != nil {
		s.Errorf("%s: %s on {%s}: %v", s.profile, ops, start, err)
		return
	}
	if w := stored(s, want); !schema.Equal(r.Doc, w) {
		s.Errorf("%s: %s on {%s}\n gives %s\n want  %s", s.profile, ops, start, r.Doc.Bytes(), w.Bytes())
	}
	if string(current.Bytes()) != before {
		s.Errorf("%s changed the current document", ops)
	}
	if r.Changed != (start != want) || (len(r.Changes) > 0) != r.Changed || !r.Changed && r.Doc != current {
		s.Errorf("%s: changed %v, changes %v", ops, r.Changed, r.Changes)
	}
	for _, f := range fired {
		if !slices.Contains(d.Fired.Names(), f) {
			s.Errorf("%s: fired %v, want %s", ops, d.Fired.Names(), f)
		}
	}
}

func (s suite) bad(start, ops, code string) {
	s.Helper()
	current := stored(s, start)
	before := string(current.Bytes())
	r, err := apply(s, profile(s, s.profile), schema.User, current, ops, Options{ID: "res_1"})
	if fault.CodeOf(err) != code || fault.KindOf(err) != fault.Invalid {
		s.Errorf("%s: %s on {%s} = %s, %v, want %s", s.profile, ops, start, r.Doc.Bytes(), err, code)
	}
	if string(current.Bytes()) != before {
		s.Errorf("%s changed the current document", ops)
	}
}

// op writes an operation; path and value are left out when empty.
func op(name, path, value string) string {
	s := `{"op":"` + name + `"`
	if path != "" {
		s += `,"path":"` + strings.ReplaceAll(path, `"`, `\"`) + `"`
	}
	if value != "" {
		s += `,"value":` + value
	}
	return s + `}`
}

// RFC 7644 §3.5.2.1
func TestAdd(t *testing.T) {
	s := suite{t, "rfc"}
	s.good(``, op("add", "nickName", `"B"`), `"nickName":"B"`)
	s.good(`"nickName":"A"`, op("add", "nickName", `"B"`), `"nickName":"B"`)
	s.good(`"nickName":"B"`, op("add", "nickName", `"B"`), `"nickName":"B"`) // no change
	s.good(``, op("add", "name.familyName", `"F"`), `"name":{"familyName":"F"}`)
	s.good(`"name":{"familyName":"F"}`, op("add", "name", `{"givenName":"G"}`), `"name":{"familyName":"F","givenName":"G"}`)
	s.good(`"emails":[{"value":"a","type":"work"}]`, op("add", "emails", `[{"value":"b","type":"home"}]`), `"emails":[{"value":"a","type":"work"},{"value":"b","type":"home"}]`)
	s.good(`"emails":[{"value":"a","type":"work"}]`, op("add", "emails", `[{"value":"a","type":"work"}]`), `"emails":[{"value":"a","type":"work"}]`)
	s.good(`"emails":[{"value":"a","type":"work","display":"x"}]`, op("add", "emails", `[{"type":"work","value":"A","primary":true}]`), `"emails":[{"value":"A","type":"work","display":"x","primary":true}]`)
	s.good(`"emails":[{"value":"a"}]`, op("add", "emails", `{"value":"b"}`), `"emails":[{"value":"a"},{"value":"b"}]`)
	// the new primary value demotes the old one (RFC 7644 §3.5.2)
	s.good(`"emails":[{"value":"a","primary":true}]`, op("add", "emails", `[{"value":"b","primary":true}]`), `"emails":[{"value":"a","primary":false},{"value":"b","primary":true}]`)
	s.good(`"emails":[{"value":"a","type":"work"},{"value":"b","primary":true}]`, op("add", `emails[type eq "work"].primary`, `true`), `"emails":[{"value":"a","type":"work","primary":true},{"value":"b","primary":false}]`)
	s.good(``, op("add", "", `{"nickName":"N","emails":[{"value":"a"}],"name":{"givenName":"G"}}`), `"nickName":"N","emails":[{"value":"a"}],"name":{"givenName":"G"}`)
	s.good(``, op("add", ent+":employeeNumber", `"7"`), `"`+ent+`":{"employeeNumber":"7"}`) // schemas follows (RFC 7644 §3.5.2)
	s.good(``, op("add", "urn:ietf:params:scim:schemas:core:2.0:User:title", `"T"`), `"title":"T"`)
	s.good(`"addresses":[{"type":"work","country":"A"}]`, op("add", `addresses[type eq "work"]`, `{"locality":"L"}`), `"addresses":[{"type":"work","country":"A","locality":"L"}]`)
	s.good(``, op("add", "nickName", `null`), ``) // null is no value (RFC 7643 §2.5)
	s.good(``, op("add", "emails", `[]`), ``)
	s.good(``, op("add", "schemas", `["urn:x:y"]`), ``)

	s.bad(``, op("add", "nickName", ""), "invalidValue")
	s.bad(``, op("add", "", `"x"`), "invalidValue")
	s.bad(``, op("add", "", `[]`), "invalidValue")
	s.bad(``, op("add", "nosuch", `"x"`), "invalidPath")
	s.bad(``, op("add", "name.nosuch", `"x"`), "invalidPath")
	s.bad(``, op("add", "urn:x:y:z", `"x"`), "invalidPath")
	s.bad(``, op("add", `name[givenName eq "x"]`, `{}`), "invalidPath") // not multi-valued
	s.bad(``, op("add", `emails[type eq "work"].nosuch`, `"x"`), "invalidPath")
	s.bad(``, op("add", `emails[nosuch gt null]`, `{"value":"x"}`), "noTarget")
	s.bad(``, op("add", `emails[primary gt true]`, `{"value":"x"}`), "invalidFilter")
	s.bad(``, op("add", `emails[type eq`, `{"value":"x"}`), "invalidFilter")
	s.bad(``, op("add", `emails[type co "work"].value`, `"x"`), "noTarget") // no element to derive from
	s.bad(``, op("add", "nickName", `{"a":1}`), "invalidValue")
	s.bad(``, op("add", "active", `"yes"`), "invalidValue")
	s.bad(``, op("add", "emails", `["x"]`), "invalidValue")
	s.bad(``, op("add", "emails", `[{"value":"a","primary":true},{"value":"b","primary":true}]`), "invalidValue")
	s.bad(``, op("add", "name", `"x"`), "invalidValue")
	s.bad(``, op("add", "id", `"x"`), "mutability")
	s.bad(``, op("add", "meta.created", `"2026-01-01T00:00:00Z"`), "mutability")
	s.bad(``, op("add", "groups", `[{"value":"g"}]`), "mutability")
	s.bad(``, op("add", "", `{"id":"other"}`), "mutability")
	s.good(``, op("add", "", `{"id":"res_1","nickName":"N"}`), `"nickName":"N"`)
}

// RFC 7644 §3.5.2.2
func TestRemove(t *testing.T) {
	s := suite{t, "rfc"}
	s.good(`"nickName":"N"`, op("remove", "nickName", ""), ``)
	s.good(``, op("remove", "nickName", ""), ``)
	s.good(`"name":{"familyName":"F","givenName":"G"}`, op("remove", "name.givenName", ""), `"name":{"familyName":"F"}`)
	s.good(`"name":{"familyName":"F"}`, op("remove", "name.familyName", ""), ``)
	s.good(`"name":{"familyName":"F"}`, op("remove", "name", ""), ``)
	s.good(`"emails":[{"value":"a"}]`, op("remove", "emails", ""), ``)
	s.good(`"emails":[{"value":"a@x","type":"work"},{"value":"b","type":"work"},{"value":"c@x","type":"home"}]`, op("remove", `emails[type eq "work" and value ew "@x"]`, ""), `"emails":[{"value":"b","type":"work"},{"value":"c@x","type":"home"}]`)
	s.good(`"emails":[{"value":"a","type":"work"}]`, op("remove", `emails[type eq "work"]`, ""), ``)
	s.good(`"emails":[{"value":"a","type":"work"}]`, op("remove", `emails[type eq "home"]`, ""), `"emails":[{"value":"a","type":"work"}]`)
	s.good(`"addresses":[{"type":"work","country":"A"}]`, op("remove", `addresses[type eq "work"].country`, ""), `"addresses":[{"type":"work"}]`)
	s.good(`"emails":[{"value":"a","display":"x"},{"value":"b","display":"y"}]`, op("remove", `emails.display`, ""), `"emails":[{"value":"a"},{"value":"b"}]`)
	s.good(`"`+ent+`":{"department":"D"}`, op("remove", ent+":department", ""), ``)
	s.good(`"`+ent+`":{"department":"D","manager":{"value":"m"}}`, op("remove", ent, ""), ``)
	s.good(`"`+ent+`":{"manager":{"value":"m"}}`, op("remove", ent+":manager", ""), ``)
	// only what the value names goes (azure-docs#30826)
	s.good(`"emails":[{"value":"a","type":"work"},{"value":"b"}]`, op("remove", "emails", `[{"value":"A"}]`), `"emails":[{"value":"b"}]`, "removeByValue")

	s.bad(`"nickName":"N"`, op("remove", "", ""), "noTarget")
	s.bad(`"nickName":"N"`, op("remove", "", `{"nickName":"N"}`), "noTarget")
	s.bad(``, op("remove", "userName", ""), "mutability") // required
	s.bad(``, op("remove", "active", ""), "mutability")
	s.bad(``, op("remove", "id", ""), "mutability")
	s.bad(``, op("remove", "nosuch", ""), "invalidPath")
	s.bad(``, op("remove", `emails[`, ""), "invalidFilter")
	s.bad(``, op("remove", schema.UserURN, ""), "noTarget")
	// the whole request fails: RFC 7644 §3.5.2, atomic
	s.bad(`"nickName":"N"`, op("remove", "nickName", "")+","+op("remove", "nosuch", ""), "invalidPath")
	s.bad(`"emails":[{"value":"a"}]`, op("add", "emails", `[{"value":"b"}]`)+","+op("remove", "id", ""), "mutability")
}

// RFC 7644 §3.5.2.3
func TestReplace(t *testing.T) {
	s := suite{t, "rfc"}
	s.good(`"nickName":"A"`, op("replace", "nickName", `"B"`), `"nickName":"B"`)
	s.good(``, op("replace", "nickName", `"B"`), `"nickName":"B"`) // acts as add
	s.good(`"nickName":"A"`, op("replace", "nickName", `null`), ``)
	s.good(`"name":{"familyName":"F","givenName":"G"}`, op("replace", "name", `{"givenName":"H"}`), `"name":{"familyName":"F","givenName":"H"}`)
	s.good(`"name":{"familyName":"F","givenName":"G"}`, op("replace", "name", `{"givenName":null}`), `"name":{"familyName":"F"}`)
	s.good(`"name":{"familyName":"F"}`, op("replace", "name", `{}`), `"name":{"familyName":"F"}`)
	s.good(`"name":{"familyName":"F"}`, op("replace", "name", `null`), ``)
	s.good(`"emails":[{"value":"a"},{"value":"b"}]`, op("replace", "emails", `[{"value":"c"}]`), `"emails":[{"value":"c"}]`)
	s.good(`"emails":[{"value":"a"}]`, op("replace", "emails", `[]`), ``)
	s.good(`"emails":[{"value":"a","type":"home"},{"value":"b","type":"work","display":"x"}]`, op("replace", `emails[type eq "work"]`, `{"type":"work","value":"c"}`), `"emails":[{"value":"a","type":"home"},{"value":"c","type":"work"}]`)
	s.good(`"emails":[{"value":"a","type":"work"}]`, op("replace", `emails[type eq "work"].value`, `"c"`), `"emails":[{"value":"c","type":"work"}]`)
	s.good(`"addresses":[{"type":"work","country":"A","primary":true}]`, op("replace", `addresses[type eq "work"].streetAddress`, `"S"`), `"addresses":[{"type":"work","country":"A","primary":true,"streetAddress":"S"}]`)
	s.good(`"emails":[{"value":"a"},{"value":"b"}]`, op("replace", "emails.display", `"same"`), `"emails":[{"value":"a","display":"same"},{"value":"b","display":"same"}]`)
	s.good(`"emails":[{"value":"a","primary":true},{"value":"b","type":"work"}]`, op("replace", `emails[type eq "work"]`, `{"value":"b","type":"work","primary":true}`), `"emails":[{"value":"a","primary":false},{"value":"b","type":"work","primary":true}]`)
	s.good(`"`+ent+`":{"department":"D","division":"V"}`, op("replace", ent, `{"department":"E"}`), `"`+ent+`":{"department":"E","division":"V"}`)
	s.good(`"nickName":"A"`, op("replace", "", `{"nickName":"B","title":null}`), `"nickName":"B"`)
	s.good(`"title":"T"`, op("replace", schema.UserURN, `{"title":"U"}`), `"title":"U"`)
	s.good(`"roles":[{"value":"a","primary":true}]`, op("replace", `roles[primary eq "True"].value`, `"b"`), `"roles":[{"value":"b","primary":true}]`)
	s.good(`"nickName":"A"`, op("remove", "nickName", "")+","+op("add", "nickName", `"B"`)+","+op("replace", "nickName", `"A"`), `"nickName":"A"`) // back to where it was
	// a manager's $ref does not outlive its value
	s.good(`"`+ent+`":{"manager":{"value":"m1","$ref":"../Users/m1"}}`, op("replace", ent+":manager", `{"value":"m2"}`), `"`+ent+`":{"manager":{"value":"m2"}}`)

	s.bad(``, op("replace", `emails[type eq "work"].value`, `"x"`), "noTarget")
	s.bad(`"emails":[{"value":"a"}]`, op("replace", `emails[type eq "work"]`, `{"value":"x"}`), "noTarget")
	s.bad(``, op("replace", "emails.display", `"x"`), "noTarget")
	s.bad(``, op("replace", "userName", `""`), "mutability")
	s.bad(``, op("replace", "userName", `null`), "mutability")
	s.bad(``, op("replace", "userName", `"`+strings.Repeat("x", schema.MaxKey+1)+`"`), "invalidValue")
	s.bad(``, op("replace", "nickName", `7`), "invalidValue")
	s.bad(``, op("replace", ent, `"x"`), "invalidValue")
	s.bad(``, op("replace", ent+":manager", `"271"`), "invalidValue") // stringToComplex is off
	s.bad(``, op("replace", "profileUrl", `true`), "invalidValue")
}

func TestParse(t *testing.T) {
	for _, c := range []struct{ profile, body, code string }{
		{"rfc", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"]}`, "invalidSyntax"},
		{"rfc", `{"Operations":[]}`, "invalidSyntax"},
		{"rfc", `{"Operations":"x"}`, "invalidSyntax"},
		{"rfc", `{"Operations":["x"]}`, "invalidSyntax"},
		{"rfc", `{"Operations":[{"path":"title"}]}`, "invalidSyntax"},
		{"rfc", `{"Operations":[{"op":"move","path":"title"}]}`, "invalidSyntax"},
		{"rfc", `{"Operations":[{"op":1}]}`, "invalidSyntax"},
		{"rfc", `{"Operations":[{"op":"add","path":7,"value":1}]}`, "invalidPath"},
		{"rfc", `{"Operations":[{"op":"replace","path":"title"}]}`, "invalidValue"},
		{"rfc", `{"Operations":[` + strings.Repeat(`{"op":"remove","path":"title"},`, MaxOperations) + `{"op":"remove","path":"title"}]}`, "tooMany"},
		{"entra", `{"Operations":[]}`, ""}, // scimmy#59
		{"rfc", `{"operations":[{"OP":"Replace","Path":"title","VALUE":null}]}`, ""},
		{"rfc", `{"Operations":{"op":"remove","path":"title"}}`, ""},
	} {
		_, err := Parse(object(t, c.body), profile(t, c.profile))
		if fault.CodeOf(err) != c.code {
			t.Errorf("%s: Parse(%.100s): %v, want %q", c.profile, c.body, err, c.code)
		}
	}
}

func TestChanges(t *testing.T) {
	current := stored(t, `"name":{"givenName":"G","familyName":"F"},"title":"T","emails":[{"value":"a"}],"`+ent+`":{"department":"D","manager":{"value":"m"}}`)
	ops := strings.Join([]string{
		op("replace", "name.givenName", `"H"`), op("remove", "title", ""), op("add", "emails", `[{"value":"b"}]`),
		op("replace", "active", `false`), op("replace", ent+":manager", `{"value":"n"}`), op("add", "nickName", `"N"`),
		op("replace", "password", `"secret"`), op("replace", ent+":department", `"D"`),
	}, ",")
	r, err := apply(t, profile(t, "rfc"), schema.User, current, ops, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range r.Changes {
		got = append(got, fmt.Sprintf("%s %s→%s", c.Attr, schema.AppendJSON(nil, c.Old), schema.AppendJSON(nil, c.New)))
	}
	want := []string{
		`active true→false`, `name.givenName "G"→"H"`, `emails [{"value":"a"}]→[{"value":"a"},{"value":"b"}]`,
		ent + `:manager.value "m"→"n"`, `nickName null→"N"`, `title "T"→null`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("changes\n %q\nwant\n %q", got, want)
	}
	if !r.HasPassword || r.Password != "secret" || strings.Contains(string(r.Doc.Bytes()), "secret") {
		t.Error("the password is not taken out")
	}
}

func TestPasswordAloneChangesNothing(t *testing.T) {
	current := stored(t, ``)
	r, err := apply(t, profile(t, "okta"), schema.User, current, op("replace", "", `{"password":"n3wPassw0rd!"}`), Options{})
	if err != nil || r.Changed || r.Doc != current || r.Password != "n3wPassw0rd!" {
		t.Errorf("%+v, %v", r, err)
	}
}

package patch

import (
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// RFC 7644 §3.3
func TestCreate(t *testing.T) {
	r, err := Create(schema.Core(), schema.User, object(t, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"U","id":"x","groups":[],"meta":{"resourceType":"User"},"password":"p","locale":"en"}`), profile(t, "okta"))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(r.Doc.Bytes()); got != `{`+head+`"userName":"U","locale":"en","active":true}` {
		t.Error(got)
	}
	if r.Password != "p" || !r.HasPassword || !r.Changed || len(r.Changes) != 3 || r.Members != nil {
		t.Errorf("%+v", r)
	}
	if _, err := Create(schema.Core(), schema.User, object(t, `{"displayName":"x"}`), profile(t, "okta")); fault.CodeOf(err) != "invalidValue" {
		t.Errorf("a user without userName: %v", err)
	}
}

// RFC 7644 §3.5.1
func TestReplaceWhole(t *testing.T) {
	put := func(p, current, body string) (Result, error) {
		t.Helper()
		return Replace(schema.Core(), schema.User, object(t, current), object(t, body), profile(t, p))
	}
	const was = `{` + head + `"userName":"u","active":false,"externalId":"e","title":"T","emails":[{"value":"a"}]}`
	good := func(body, want string) {
		t.Helper()
		r, err := put("okta", was, body)
		if err != nil || !schema.Equal(r.Doc, object(t, want)) {
			t.Errorf("PUT %s gives %s, %v", body, r.Doc.Bytes(), err)
		}
	}
	// Okta echoes id, meta, groups; leaves out active and externalId
	good(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"r","userName":"u","title":"S","groups":[],"meta":{"resourceType":"User"}}`,
		`{`+head+`"userName":"u","title":"S","active":false,"externalId":"e"}`)
	good(`{"userName":"u","active":true,"externalId":null}`, `{`+head+`"userName":"u","active":true}`)
	r, err := put("okta", was, was)
	if err != nil || r.Changed || len(r.Changes) != 0 {
		t.Errorf("a PUT of the same changes %+v, %v", r.Changes, err)
	}
	if r, err := put("okta", was, `{"userName":"v","password":"p"}`); err != nil || !r.Changed || r.Password != "p" || len(r.Changes) != 3 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := put("okta", was, `{"title":"x"}`); fault.CodeOf(err) != "invalidValue" {
		t.Errorf("PUT without userName: %v", err)
	}

	group := object(t, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"G"}`)
	for body, want := range map[string]string{
		`{"displayName":"H"}`:                             "none", // a rename keeps members
		`{"displayName":"G","members":[]}`:                "replace=true add=[] remove=[]",
		`{"displayName":"G","members":[{"value":"a"}]}`:   "replace=true add=[a] remove=[]", // Polis #3136
		`{"displayName":"G","Members":[{"Value":"a"}]}`:   "replace=true add=[a] remove=[]",
		`{"displayName":"G","members":null}`:              "none",
		`{"displayName":"G","members":{"value":"a"}}`:     "replace=true add=[a] remove=[]",
		`{"displayName":"G","members":[{"value":"a"},7]}`: "error",
	} {
		r, err := Replace(schema.Core(), schema.Group, group, object(t, body), profile(t, "okta"))
		got := show(r.Members)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("PUT %s: %s, want %s (%v)", body, got, want, err)
		}
	}
}

func TestImmutable(t *testing.T) {
	def, err := schema.ParseDefinition([]byte(`{"id":"urn:example:scim:2.0:Staff","name":"Staff","attributes":[
		{"name":"badge","mutability":"immutable"},{"name":"grade","mutability":"readOnly"},{"name":"room"},{"name":"pin","mutability":"writeOnly","returned":"never"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	ix, err := schema.New(def)
	if err != nil {
		t.Fatal(err)
	}
	const urn = "urn:example:scim:2.0:Staff"
	start := object(t, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"u","active":true}`)
	d := profile(t, "rfc")
	run := func(current *schema.Object, ops string) (Result, error) {
		t.Helper()
		r, err := Parse(object(t, `{"Operations":[`+ops+`]}`), d)
		if err != nil {
			t.Fatal(err)
		}
		return Apply(ix, schema.User, current, r, d, Options{})
	}
	// RFC 7644 §3.5.2: a client MAY add a value to an immutable attribute without one
	r, err := run(start, op("add", urn+":badge", `"7"`))
	if err != nil || r.Doc.Object(urn).String("badge") != "7" || !strings.Contains(string(r.Doc.Bytes()), `["urn:ietf:params:scim:schemas:core:2.0:User","urn:example:scim:2.0:Staff"]`) {
		t.Fatalf("%s, %v", r.Doc.Bytes(), err)
	}
	set := r.Doc
	if r, err := run(set, op("add", urn+":pin", `"1234"`)); err != nil || len(r.Changes) != 1 || r.Changes[0].New != Hidden || r.Doc.Object(urn).String("pin") != "1234" {
		t.Errorf("a value that is never returned shows in %+v, %v", r.Changes, err)
	}
	for ops, code := range map[string]string{
		op("replace", urn+":badge", `"8"`):         "mutability",
		op("remove", urn+":badge", ""):             "mutability",
		op("remove", urn, ""):                      "mutability",
		op("replace", urn, `{"badge":"8"}`):        "mutability",
		op("replace", "", `{"`+urn+`:badge":"8"}`): "mutability",
		op("replace", urn+":grade", `"A"`):         "mutability",
		op("replace", urn+":badge", `"7"`):         "",
		op("add", urn+":room", `"R"`):              "",
		op("replace", urn+":BADGE", `7`):           "invalidValue",
	} {
		if _, err := run(set, ops); fault.CodeOf(err) != code {
			t.Errorf("%s: %v, want %q", ops, err, code)
		}
	}
	if _, err := Replace(ix, schema.User, set, object(t, `{"userName":"u","`+urn+`":{"badge":"8"}}`), d); fault.CodeOf(err) != "mutability" {
		t.Errorf("PUT of another value: %v", err)
	}
	if r, err := Replace(ix, schema.User, set, object(t, `{"userName":"u"}`), d); err != nil || r.Changed {
		t.Errorf("PUT without the immutable value: %+v, %v", r, err)
	}
}

package schema

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	escim "github.com/elimity-com/scim/schema"
	"pgregory.net/rapid"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/scim/dialect"
)

func start(t testing.TB, name string) dialect.Dialect {
	t.Helper()
	p, err := dialect.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return p.Start()
}

func decode(t testing.TB, s string) *Object {
	t.Helper()
	o, err := Decode([]byte(s))
	if err != nil {
		t.Fatalf("%v in %s", err, s)
	}
	return o
}

func TestNormalise(t *testing.T) {
	const (
		core = `"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"]`
		both = `"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","` + EnterpriseURN + `"]`
	)
	good := func(profile, body, want string, fired ...string) {
		t.Helper()
		d := start(t, profile)
		in := decode(t, body)
		before := string(in.Bytes())
		b, err := Core().Normalise(in, User, d)
		if err != nil {
			t.Errorf("%s: %s: %v", profile, body, err)
			return
		}
		if got := string(b.Doc.Bytes()); got != `{`+want+`}` {
			t.Errorf("%s: %s\n gives %s\n want  {%s}", profile, body, got, want)
		}
		for _, f := range fired {
			if !slices.Contains(d.Fired.Names(), f) {
				t.Errorf("%s: fired %v, want %s", body, d.Fired.Names(), f)
			}
		}
		if string(in.Bytes()) != before {
			t.Errorf("%s: the body was changed", body)
		}
	}
	bad := func(profile, body, code string) {
		t.Helper()
		if b, err := Core().Normalise(decode(t, body), User, start(t, profile)); fault.CodeOf(err) != code || fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %s = %v, %v, want %s", profile, body, b.Doc, err, code)
		}
	}

	for _, p := range []string{"rfc", "entra", "okta"} {
		good(p, `{"USERNAME":"Bob","Name":{"GIVENNAME":"B"},`+core+`}`, core+`,"userName":"Bob","name":{"givenName":"B"},"active":true`)
		good(p, `{`+core+`,"userName":"u","active":false,"id":"x","meta":{"resourceType":"User"},"groups":[{"value":"g"}]}`, core+`,"userName":"u","active":false`) // RFC 7644 §3.3: readOnly is ignored
		good(p, `{`+core+`,"userName":"u","title":null,"emails":[],"addresses":null,"name":{"givenName":null}}`, core+`,"userName":"u","active":true`)
		good(p, `{"schemas":["`+UserURN+`"],"userName":"u","`+EnterpriseURN+`":{"department":"D"}}`, both+`,"userName":"u","`+EnterpriseURN+`":{"department":"D"},"active":true`)
		good(p, `{"schemas":["`+UserURN+`","`+EnterpriseURN+`"],"userName":"u","`+EnterpriseURN+`":{}}`, core+`,"userName":"u","active":true`)
		good(p, `{`+core+`,"userName":"u","roles":[{"value":"r","primary":"True"}]}`, core+`,"userName":"u","roles":[{"value":"r","primary":true}],"active":true`, "coerceBool")
		good(p, `{`+core+`,"userName":"u","emails":[{"value":"a"},{"value":"a"}]}`, core+`,"userName":"u","emails":[{"value":"a"}],"active":true`)
		good(p, `{"userName":"u"}`, core+`,"userName":"u","active":true`, "missingSchemas")
		good(p, `{`+core+`,"userName":"u","displayName":"","externalId":""}`, core+`,"userName":"u","active":true`)
		good(p, `{`+core+`,"userName":"u","nosuch":1,"emails":[{"value":"a","nosuch":{}}]}`, core+`,"userName":"u","emails":[{"value":"a"}],"active":true`, "ignoreUnknown")
		good(p, `{`+core+`,"userName":"u","`+EnterpriseURN+`:department":"D","name.givenName":"G"}`, both+`,"userName":"u","`+EnterpriseURN+`":{"department":"D"},"name":{"givenName":"G"},"active":true`, "dottedKeys")
		bad(p, `{`+core+`}`, "invalidValue")                                // userName is required
		bad(p, `{`+core+`,"userName":"  "}`, "invalidValue")                //
		bad(p, `{`+core+`,"userName":null}`, "invalidValue")                //
		bad(p, `{`+core+`,"userName":"a","USERNAME":"b"}`, "invalidSyntax") // RFC 7643 §2.1: one name
		bad(p, `{`+core+`,"userName":"u","name":{"givenName":"a","GivenName":"b"}}`, "invalidSyntax")
		bad(p, `{`+core+`,"userName":"u","password":"a","PASSWORD":"b"}`, "invalidSyntax")
		bad(p, `{`+core+`,"userName":"u","active":"yes"}`, "invalidValue")
		bad(p, `{`+core+`,"userName":"u","active":1}`, "invalidValue")
		bad(p, `{`+core+`,"userName":{"value":"u","type":"x"}}`, "invalidValue")
		bad(p, `{`+core+`,"userName":{"value":{"value":"u"}}}`, "invalidValue")
		bad(p, `{`+core+`,"userName":["u","v"]}`, "invalidValue")
		bad(p, `{`+core+`,"userName":"u","name":true}`, "invalidValue")
		bad(p, `{`+core+`,"userName":"u","x509Certificates":[{"value":"%%%"}]}`, "invalidValue")
		bad(p, `{`+core+`,"userName":"u","`+EnterpriseURN+`":"x"}`, "invalidValue")
		bad(p, `{`+core+`,"userName":"`+strings.Repeat("x", MaxKey+1)+`"}`, "invalidValue")
		bad(p, `{`+core+`,"userName":"u","emails":[{"value":"`+strings.Repeat("x", MaxKey+1)+`"}]}`, "invalidValue")
		bad(p, `{`+core+`,"userName":"u","emails":[`+strings.Repeat(`{"value":"a"},`, MaxElements)+`{"value":"b"}]}`, "invalidValue")
		bad(p, `{"schemas":["`+GroupURN+`"],"userName":"u"}`, "invalidValue")
		bad(p, `{"schemas":7,"userName":"u"}`, "invalidValue")
		bad(p, `{"schemas":[7],"userName":"u"}`, "invalidValue")
	}

	// the sample request of entra-docs: 2.0User, nulls, attributes in the wrong place
	good("entra", `{"schemas":["`+UserURN+`","urn:ietf:params:scim:schemas:extension:enterprise:2.0User"],"externalId":"e","userName":"u","active":true,"addresses":null,"department":null,"manager":null,"roles":[],"title":null}`,
		core+`,"externalId":"e","userName":"u","active":true`, "ignoreUnknown")
	good("entra", `{`+core+`,"userName":"u","`+EnterpriseURN+`":{"manager":"271","employeeNumber":701984}}`, both+`,"userName":"u","`+EnterpriseURN+`":{"manager":{"value":"271"},"employeeNumber":"701984"},"active":true`, "stringToComplex", "coerceScalar")
	good("entra", `{`+core+`,"userName":"u","`+EnterpriseURN+`":{"manager":{"value":""}}}`, core+`,"userName":"u","active":true`, "emptyUnsets")
	good("okta", `{`+core+`,"userName":"u","emails":[{"value":"a","primary":true},{"value":"b","primary":true}]}`, core+`,"userName":"u","emails":[{"value":"a","primary":true},{"value":"b","primary":false}],"active":true`, "onePrimary")
	good("onelogin", `{"schemas":["urn:scim:schemas:core:2.0","urn:scim:schemas:extension:enterprise:2.0"],"userName":"u"}`, core+`,"userName":"u","active":true`, "legacyURNs")
	good("okta", `{"schemas":"`+UserURN+`","userName":"u","emails":{"value":"a"}}`, core+`,"userName":"u","emails":[{"value":"a"}],"active":true`, "singleToList")
	good("okta", `{`+core+`,"userName":"u","emails":["a"]}`, core+`,"userName":"u","emails":[{"value":"a"}],"active":true`, "stringToComplex")

	bad("rfc", `{`+core+`,"userName":"u","emails":[{"value":"a","primary":true},{"value":"b","primary":true}]}`, "invalidValue") // RFC 7643 §2.4
	good("entra", `{`+core+`,"userName":"u","title":[{"$ref":null,"value":"T"}],"nickName":{"value":null}}`, core+`,"userName":"u","title":"T","active":true`, "objectToScalar", "listToSingle")
	good("entra", `{`+core+`,"userName":"u","emails":[{"type":"work","value":null},{"type":"home","value":"h"}]}`, core+`,"userName":"u","emails":[{"type":"home","value":"h"}],"active":true`, "emptyUnsets")
	good("rfc", `{`+core+`,"userName":"u","emails":[{"type":"work","value":null}]}`, core+`,"userName":"u","emails":[{"type":"work"}],"active":true`)
	bad("rfc", `{`+core+`,"userName":{"value":"u"}}`, "invalidValue")
	bad("rfc", `{`+core+`,"userName":7}`, "invalidValue")
	bad("rfc", `{`+core+`,"userName":"u","`+EnterpriseURN+`":{"manager":"271"}}`, "invalidValue")
	bad("rfc", `{`+core+`,"userName":["u"]}`, "invalidValue")
}

func TestNormaliseTakesOut(t *testing.T) {
	b, err := Core().Normalise(decode(t, `{"userName":"u","password":"p"}`), User, start(t, "rfc"))
	if err != nil || b.Password != "p" || !b.HasPassword || b.ActiveSet || strings.Contains(string(b.Doc.Bytes()), "password") {
		t.Errorf("%+v, %v", b, err)
	}
	b, err = Core().Normalise(decode(t, `{"displayName":"G","members":[{"value":"a","type":"USER","display":"A"},{"value":"b","$ref":null,"type":"x"},{"value":"a"}]}`), Group, start(t, "rfc"))
	if err != nil || !b.HasMembers || !slices.Equal(b.Members, []Member{{"a", "User", "A"}, {Value: "b"}}) || b.Doc.Len() != 2 {
		t.Errorf("%+v, %v", b, err)
	}
	b, err = Core().Normalise(decode(t, `{"displayName":"G","members":[]}`), Group, start(t, "rfc"))
	if err != nil || !b.HasMembers || len(b.Members) != 0 {
		t.Errorf("%+v, %v", b, err)
	}
	if _, err = Core().Normalise(decode(t, `{"displayName":"G","members":[{"display":"x"}]}`), Group, start(t, "okta")); fault.CodeOf(err) != "invalidValue" {
		t.Errorf("a member without value: %v", err)
	}
	if _, err = Core().Normalise(decode(t, `{"displayName":" "}`), Group, start(t, "okta")); fault.CodeOf(err) != "invalidValue" {
		t.Errorf("a group without a name: %v", err)
	}
}

// A body that elimity's validation accepts is accepted, and one with a value of
// a wrong type is refused by both.
func TestElimityAgreesOnTypes(t *testing.T) {
	none := (&dialect.Profile{}).With([]dialect.Rule{dialect.IgnoreUnknown}, nil).Start()
	user := escim.CoreUserSchema()
	values := []string{`"x"`, `true`, `7`, `{}`, `{"value":"v"}`, `[]`, `["x"]`, `[{"value":"TUlJ"}]`, `[{"value":7}]`, `{"givenName":"g"}`, `{"givenName":true}`, `[{"primary":false}]`, `[{"primary":"x"}]`}
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SampledFrom(Core().kind(User).core.Attributes).Draw(t, "attribute")
		v := rapid.SampledFrom(values).Draw(t, "value")
		if a.Mutability == ReadOnly || a.Multi && v[0] == '{' || a.Name == "profileUrl" {
			t.Skip("elimity takes an object for a list; read-only values are ignored")
		}
		body := `{"schemas":["` + UserURN + `"],"userName":"u","` + a.Name + `":` + v + `}`
		if a.Name == "userName" {
			body = `{"schemas":["` + UserURN + `"],"userName":` + v + `}`
		}
		o, err := Decode([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		var plain map[string]any
		dec := json.NewDecoder(strings.NewReader(body))
		dec.UseNumber()
		if err := dec.Decode(&plain); err != nil {
			t.Fatal(err)
		}
		_, want := user.Validate(plain)
		_, got := Core().Normalise(o, User, none)
		if (want == nil) != (got == nil) {
			t.Fatalf("%s: we say %v, elimity %v", body, got, want)
		}
	})
}

func BenchmarkNormalise(b *testing.B) {
	body := []byte(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"test.user@okta.local","name":{"givenName":"Test","familyName":"User"},"emails":[{"primary":true,"value":"test.user@okta.local","type":"work"}],"displayName":"Test User","locale":"en-US","externalId":"00ujl29u0le5T6Aj10h7","groups":[],"password":"1mz050nq","active":true}`)
	d := start(b, "okta")
	b.ReportAllocs()
	for b.Loop() {
		o, err := Decode(body)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := Core().Normalise(o, User, d); err != nil {
			b.Fatal(err)
		}
	}
}

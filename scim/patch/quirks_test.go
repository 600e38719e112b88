package patch

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// Okta: docs/reference/scim/scim-20 of okta-developer-docs.
func TestOkta(t *testing.T) {
	s := suite{t, "okta"}
	d := profile(t, "okta")
	r, err := apply(t, d, schema.User, stored(t, ``), op("replace", "", `{"active":false}`), Options{})
	if a, _ := r.Doc.Bool("active"); err != nil || a || len(r.Changes) != 1 || r.Changes[0].Attr != "active" {
		t.Errorf("deactivation: %+v, %v", r, err)
	}
	s.good(``, op("replace", "", `{"id":"something","nickName":"N","meta":{"version":"x"},"groups":[]}`), `"nickName":"N"`, "ignoreReadOnly")
	s.good(``, op("replace", "", `{"nosuch":"x","nickName":"N"}`), `"nickName":"N"`, "ignoreUnknownPath")
	s.bad(``, op("replace", "", `{"active":"maybe"}`), "invalidValue")
}

// Entra ID: entra-docs use-scim-to-provision-users-and-groups, scim-compatibility.
func TestEntra(t *testing.T) {
	s := suite{t, "entra"}
	for _, v := range []string{`"False"`, `"false"`, `"FALSE"`, `false`} {
		r, err := apply(t, profile(t, "entra"), schema.User, stored(t, ``), op("Replace", "active", v), Options{})
		if a, ok := r.Doc.Bool("active"); err != nil || a || !ok {
			t.Errorf("active %s: %+v, %v", v, r, err)
		}
	}
	s.good(`"nickName":"A"`, op("Replace", "NICKNAME", `"B"`), `"nickName":"B"`)
	// SCIM-SDK#416, scim-patch#176: one new element for two operations
	s.good(``, op("Add", `emails[type eq "work"].value`, `"x"`)+","+op("Add", `emails[type eq "work"].primary`, `true`), `"emails":[{"type":"work","value":"x","primary":true}]`, "upsertOnFilter")
	s.good(``, op("Replace", `emails[type eq "work"].value`, `"x"`), `"emails":[{"type":"work","value":"x"}]`, "upsertOnFilter") // scim-for-keycloak#73
	s.good(``, op("Replace", `emails[type eq "work" and primary eq true].value`, `"x"`), `"emails":[{"type":"work","primary":true,"value":"x"}]`)
	s.good(``, op("Add", `addresses[type eq "work"].formatted`, `"A"`)+","+op("Add", `phoneNumbers[type eq "mobile"].value`, `"1"`), `"addresses":[{"type":"work","formatted":"A"}],"phoneNumbers":[{"type":"mobile","value":"1"}]`)
	s.good(``, op("Add", `roles[primary eq "True"].value`, `"R"`)+","+op("Add", `roles[primary eq "True"].display`, `"D"`), `"roles":[{"primary":true,"value":"R","display":"D"}]`, "coerceBool")
	s.good(``, op("Add", `roles`, `[{"value":"{\"id\":\"x\",\"value\":\"y\"}"}]`), `"roles":[{"value":"{\"id\":\"x\",\"value\":\"y\"}"}]`) // AppRoleAssignmentsComplex
	// manager in every shape (directory-scimple#1242, #1244; tutorial example 5)
	managed := `"` + ent + `":{"manager":{"value":"271"}}`
	for _, v := range []string{`"271"`, `{"value":"271"}`, `["271"]`, `[{"value":"271"}]`, `{"value":"271","displayName":"Boss"}`, `271`} {
		s.good(``, op("Add", ent+":manager", v), managed)
		s.good(managed, op("Replace", ent+":manager", v), managed)
	}
	s.good(``, op("Add", ent+":manager", `[{"$ref":"../Users/271","value":"271"}]`), `"`+ent+`":{"manager":{"$ref":"../Users/271","value":"271"}}`, "listToSingle")
	s.good(`"`+ent+`":{"manager":{"$ref":"../Users/1","value":"1"}}`, op("Replace", ent+":manager", `"271"`), managed, "stringToComplex")
	for _, v := range []string{`{"value":""}`, `""`, `null`, `[]`, `{"value":null}`} {
		s.good(managed, op("Replace", ent+":manager", v), ``)
	}
	s.good(managed, op("Remove", ent+":manager", ""), ``)
	s.good(managed, op("Replace", ent+":manager.value", `""`), ``, "emptyUnsets")
	s.good(``, op("Add", ent+":manager.value", `"271"`), managed)
	// flag aadOptscim062020: pingidentity/scim2#224, scim-for-keycloak#26
	s.good(`"name":{"middleName":"U"},"`+ent+`":{"costCenter":"C"}`,
		op("replace", "", `{"displayName":"B","name.givenName":"K","`+ent+`:employeeNumber":"A"}`),
		`"displayName":"B","name":{"middleName":"U","givenName":"K"},"`+ent+`":{"costCenter":"C","employeeNumber":"A"}`, "dottedKeys")
	s.good(``, op("add", "", `{"phoneNumbers[type eq \"mobile\"].value":"77","active":"True"}`), `"phoneNumbers":[{"type":"mobile","value":"77"}]`)
	s.good(`"`+ent+`":{"costCenter":"C"}`, op("add", "", `{"`+ent+`":{"division":"V"},"title":"T"}`), `"title":"T","`+ent+`":{"costCenter":"C","division":"V"}`)
	s.good(``, op("replace", "", `{"`+ent+`:manager":"271"}`), managed)
	s.good(``, op("Replace", "urn:ietf:params:scim:schemas:core:2.0:User:title", `"T"`), `"title":"T"`) // zulip#39773
	s.good(``, op("Replace", "extensionAttribute1", `"x"`)+","+op("Replace", "title", `"T"`), `"title":"T"`, "ignoreUnknownPath")
	s.good(``, ``, ``, "emptyOps") // scimmy#59
	s.good(``, op("Add", ent+":employeeNumber", `701984`), `"`+ent+`":{"employeeNumber":"701984"}`, "coerceScalar")
	s.good(`"emails":[{"type":"work","value":"x","primary":true}]`, op("Remove", `emails[type eq "work"].value`, ""), ``)
	s.good(`"emails":[{"type":"work","value":"x"}]`, op("Replace", `emails[type eq "work"]`, `"y"`), `"emails":[{"type":"work","value":"y"}]`)
	s.good(`"title":"T"`, op("Remove", "", `{"title":"T"}`), ``, "removePathless") // elimity#148
	s.bad(``, op("Replace", `emails[type sw "w"].value`, `"x"`), "noTarget")
	s.bad(``, op("Replace", "active", `""`), "mutability") // nobody is suspended or restored by an empty value
	s.bad(``, op("Add", ent+":manager", `["1","2"]`), "invalidValue")
	s.bad(``, op("Add", ent+":manager", `[["1"]]`), "invalidValue")
}

// OneLogin: goauthentik/authentik#11249.
func TestOneLogin(t *testing.T) {
	s := suite{t, "onelogin"}
	s.good(``, op("replace", "urn:scim:schemas:extension:enterprise:2.0:department", `"D"`), `"`+ent+`":{"department":"D"}`, "legacyURNs")
	s.good(``, op("replace", "", `{"urn:scim:schemas:extension:enterprise:1.0":{"department":"D"}}`), `"`+ent+`":{"department":"D"}`, "legacyURNs")
	r, err := Create(schema.Core(), schema.User, object(t, `{"schemas":["urn:scim:schemas:core:2.0","urn:scim:schemas:extension:enterprise:2.0"],"userName":"u","urn:scim:schemas:extension:enterprise:2.0":{"department":"D"}}`), profile(t, "onelogin"))
	if err != nil || !schema.Equal(r.Doc, stored(t, `"`+ent+`":{"department":"D"}`)) {
		t.Errorf("%s, %v", r.Doc.Bytes(), err)
	}
}

func show(m *MemberOps) string {
	if m == nil {
		return "none"
	}
	var add []string
	for _, a := range m.Add {
		add = append(add, a.Value)
	}
	return fmt.Sprintf("replace=%v add=%v remove=%v", m.Replace, add, m.Remove)
}

func TestMembers(t *testing.T) {
	group := object(t, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"G"}`)
	loaded := 0
	load := func() ([]schema.Member, error) {
		loaded++
		return []schema.Member{{Value: "u1", Type: "User"}, {Value: "u2", Type: "User", Display: "Two"}, {Value: "g1", Type: "Group"}}, nil
	}
	good := func(p, ops, want string) {
		t.Helper()
		r, err := apply(t, profile(t, p), schema.Group, group, ops, Options{ID: "res_g", Members: load})
		if err != nil || show(r.Members) != want {
			t.Errorf("%s: %s gives %s, %v\n want %s", p, ops, show(r.Members), err, want)
		}
	}
	bad := func(p, ops, code string) {
		t.Helper()
		if r, err := apply(t, profile(t, p), schema.Group, group, ops, Options{Members: load}); fault.CodeOf(err) != code {
			t.Errorf("%s: %s gives %s, %v, want %s", p, ops, show(r.Members), err, code)
		}
	}
	for _, p := range []string{"rfc", "okta", "entra", "generic"} {
		good(p, op("add", "members", `[{"value":"a","display":"A"},{"value":"b"},{"value":"a"}]`), "replace=false add=[a b] remove=[]")
		good(p, op("add", "members", `{"value":"a"}`), "replace=false add=[a] remove=[]")
		good(p, op("remove", `members[value eq "a"]`, ""), "replace=false add=[] remove=[a]")
		good(p, op("remove", `members[value eq "a" or value eq "b"]`, ""), "replace=false add=[] remove=[a b]")
		good(p, op("remove", "members", ""), "replace=true add=[] remove=[]")
		good(p, op("remove", "members", `[{"value":"a"}]`), "replace=false add=[] remove=[a]") // azure-docs#30826
		good(p, op("remove", "members", `[]`), "replace=false add=[] remove=[]")
		good(p, op("replace", "members", `[{"value":"a"}]`), "replace=true add=[a] remove=[]")
		good(p, op("replace", "members", `[]`), "replace=true add=[] remove=[]") // SCIM-SDK#757
		good(p, op("replace", "members", `null`), "replace=true add=[] remove=[]")
		good(p, op("add", "members", `null`), "replace=false add=[] remove=[]")
		good(p, op("replace", "", `{"members":[{"value":"a"}]}`), "replace=true add=[a] remove=[]") // Tealium
		good(p, op("add", "", `{"members":[{"value":"a"}]}`), "replace=false add=[a] remove=[]")
		good(p, op("replace", "", `{"id":"res_g","displayName":"New"}`), "none") // langwatch#7131: rename keeps members
		good(p, op("remove", `members[value eq "a"]`, "")+","+op("add", "members", `[{"value":"b"}]`), "replace=false add=[b] remove=[a]")
		good(p, op("remove", `members[value eq "a"]`, "")+","+op("add", "members", `[{"value":"a"}]`), "replace=false add=[a] remove=[]")
		good(p, op("add", "members", `[{"value":"a"}]`)+","+op("remove", `members[value eq "a"]`, ""), "replace=false add=[] remove=[a]")
		good(p, op("remove", "members", "")+","+op("add", "members", `[{"value":"a"}]`), "replace=true add=[a] remove=[]") // RFC 7644 §3.5.2.2, example
		good(p, op("replace", "members", `[{"value":"a"},{"value":"b"}]`)+","+op("remove", `members[value eq "a"]`, ""), "replace=true add=[b] remove=[]")
		good(p, op("replace", `members[value eq "a"]`, `{"value":"b"}`), "replace=false add=[b] remove=[a]")
		good(p, op("add", `members[value eq "a"]`, `{"value":"a"}`), "replace=false add=[a] remove=[]")
		good(p, op("ADD", "urn:ietf:params:scim:schemas:core:2.0:Group:members", `[{"$ref":null,"value":"a","type":null}]`), "replace=false add=[a] remove=[]")
		good(p, op("add", "members", `[{"$ref":"https://x/scim/Users/a"}]`), "replace=false add=[a] remove=[]")
		bad(p, op("add", "members", `[{"display":"x"}]`), "invalidValue")
		bad(p, op("add", "members", `[{"value":7}]`), "invalidValue")
		bad(p, op("add", "members", `[7]`), "invalidValue")
		bad(p, op("add", "members", `[{"value":"`+strings.Repeat("x", 300)+`"}]`), "invalidValue")
		bad(p, op("remove", "displayName", ""), "mutability")
		bad(p, op("replace", "displayName", `""`), "mutability")
	}
	if loaded != 0 {
		t.Errorf("the members were loaded %d times", loaded)
	}
	good("entra", op("add", "members", `["a","b"]`), "replace=false add=[a b] remove=[]")
	good("entra", op("add", "members", `"a"`), "replace=false add=[a] remove=[]")
	bad("rfc", op("add", "members", `["a"]`), "invalidValue")
	good("okta", op("remove", "", `{"members":[{"value":"a"}]}`), "replace=false add=[] remove=[a]") // Salesforce, elimity#148
	bad("rfc", op("remove", "", `{"members":[{"value":"a"}]}`), "noTarget")
	bad("rfc", op("replace", `members[value eq "u1"].display`, `"x"`), "mutability")
	good("entra", op("replace", `members[value eq "u1"].display`, `"x"`), "none")
	if loaded != 0 {
		t.Errorf("the members were loaded %d times", loaded)
	}

	good("rfc", op("remove", `members[type eq "User"]`, ""), "replace=false add=[] remove=[u1 u2]")
	good("rfc", op("remove", `members[display eq "two"]`, ""), "replace=false add=[] remove=[u2]")
	good("rfc", op("add", "members", `[{"value":"u3","type":"user"}]`)+","+op("remove", `members[value eq "u1"]`, "")+","+op("remove", `members[type eq "User"]`, ""), "replace=false add=[] remove=[u1 u2 u3]")
	good("rfc", op("replace", `members[type eq "Group"]`, `{"value":"g2"}`), "replace=false add=[g2] remove=[g1]")
	bad("rfc", op("replace", `members[display eq "none"]`, `{"value":"g2"}`), "noTarget")
	bad("rfc", op("remove", `members[nosuch gt "x"`, ""), "invalidFilter")
	if loaded != 5 {
		t.Errorf("the members were loaded %d times, want 5", loaded)
	}
	again := op("remove", `members[type eq "User"]`, "")
	good("rfc", again+strings.Repeat(","+again, maxMemberFilters-1), "replace=false add=[] remove=[u1 u2]")
	bad("rfc", again+strings.Repeat(","+again, maxMemberFilters), "tooMany")
	if loaded != 7 {
		t.Errorf("the members were loaded %d times, want once for each request", loaded)
	}
}

func TestGroupDocument(t *testing.T) {
	group := object(t, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"G"}`)
	r, err := apply(t, profile(t, "okta"), schema.Group, group, op("add", "members", `[{"value":"a"}]`), Options{})
	if err != nil || r.Changed || r.Doc != group || r.Changes != nil {
		t.Errorf("a member changes the document: %+v, %v", r, err)
	}
	r, err = Create(schema.Core(), schema.Group, object(t, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group","http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],"displayName":"G","externalId":"e","members":[{"value":"a"}]}`), profile(t, "entra"))
	if err != nil || show(r.Members) != "replace=true add=[a] remove=[]" || string(r.Doc.Bytes()) != `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"G","externalId":"e"}` {
		t.Errorf("%s %s %v", r.Doc.Bytes(), show(r.Members), err)
	}
}

package schema

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	escim "github.com/elimity-com/scim/schema"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

const staff = `{"id":"urn:example-org:scim:2.0:Staff","name":"Staff","description":"Staff","attributes":[
	{"name":"badge","type":"integer","uniqueness":"server"},
	{"name":"room","type":"string","caseExact":true,"canonicalValues":["A","B"]},
	{"name":"since","type":"dateTime","required":true},
	{"name":"home","type":"reference","referenceTypes":["external"]},
	{"name":"key","type":"binary","returned":"request"},
	{"name":"ok","type":"boolean"},{"name":"rate","type":"decimal"},
	{"name":"desk","type":"complex","multiValued":true,"subAttributes":[{"name":"value"},{"name":"primary","type":"boolean"}]}]}`

func custom(t *testing.T) *Index {
	t.Helper()
	d, err := ParseDefinition([]byte(staff))
	if err != nil {
		t.Fatal(err)
	}
	ix, err := New(d)
	if err != nil {
		t.Fatal(err)
	}
	return ix
}

func TestResolve(t *testing.T) {
	ix := custom(t)
	for path, want := range map[string]string{
		"userName": "userName", "USERNAME": "userName", "name.givenname": "name.givenName", "externalId": "externalId", "meta.lastmodified": "meta.lastModified",
		"schemas": "schemas", "id": "id", "emails.$REF": "", "emails": "emails",
		"urn:ietf:params:scim:schemas:core:2.0:User:emails.value": "emails.value",
		"urn:IETF:params:scim:schemas:core:2.0:user:emails.value": "emails.value",
		EnterpriseURN + ":manager.value":                          EnterpriseURN + ":manager.value",
		EnterpriseURN + ":manager.$ref":                           EnterpriseURN + ":manager.$ref",
		strings.ToLower(EnterpriseURN) + ":MANAGER":               EnterpriseURN + ":manager",
		"urn:example-org:scim:2.0:Staff:desk.primary":             "urn:example-org:scim:2.0:Staff:desk.primary",
		EnterpriseURN:             "",
		"manager":                 "",
		"name.givenName.x":        "",
		"":                        "",
		":":                       "",
		GroupURN + ":displayName": "",
		strings.Repeat("x", 200):  "",
	} {
		got := ""
		if a, ok := ix.Resolve(User, path); ok {
			got = a.Path
		}
		if got != want {
			t.Errorf("Resolve(%q) = %q, want %q", path, got, want)
		}
	}
	if e, ok := ix.Whole(User, strings.ToUpper(EnterpriseURN)); !ok || e.URN != EnterpriseURN {
		t.Error("the enterprise extension is not found")
	}
	if e, ok := ix.Whole(Group, GroupURN); !ok || e != nil {
		t.Error("the core schema is not found")
	}
	if _, ok := ix.Whole(Group, EnterpriseURN); ok {
		t.Error("groups have the enterprise extension")
	}
	if f, ok := ix.Find(User, "urn:scim:schemas:extension:enterprise:1.0:department", start(t, "onelogin")); !ok || f.Attr.Path != EnterpriseURN+":department" {
		t.Error("a legacy URI is not mapped")
	}
	if _, ok := ix.Find(User, "urn:scim:schemas:extension:enterprise:1.0:department", start(t, "rfc")); ok {
		t.Error("a legacy URI is mapped without the rule")
	}
}

func TestCharacteristics(t *testing.T) {
	ix := Core()
	is := func(path string, k Kind, ok func(*Attribute) bool) {
		t.Helper()
		if a, found := ix.Resolve(k, path); !found || !ok(a) {
			t.Errorf("%s is %+v", path, a)
		}
	}
	is("userName", User, func(a *Attribute) bool { return a.Column == ColumnUserName && !a.CaseExact && a.Required })
	is("externalId", User, func(a *Attribute) bool { return a.Column == ColumnExternalID && a.CaseExact })
	is("externalId", Group, func(a *Attribute) bool { return a.Column == ColumnExternalID })
	is("members.display", Group, func(a *Attribute) bool { return a.Mutability == ReadOnly })
	is("displayName", Group, func(a *Attribute) bool { return a.Column == ColumnDisplayName && a.Required })
	is("id", User, func(a *Attribute) bool {
		return a.Column == ColumnID && a.Mutability == ReadOnly && a.Returned == Always
	})
	is("meta.created", User, func(a *Attribute) bool { return a.Column == ColumnCreated && a.Type == DateTime })
	is("emails.value", User, func(a *Attribute) bool { return a.Value == "emails.value" && a.Column == "" })
	is(EnterpriseURN+":employeeNumber", User, func(a *Attribute) bool { return a.Value != "" })
	is("password", User, func(a *Attribute) bool { return a.Returned == Never && a.Mutability == WriteOnly })
	is("members.value", Group, func(a *Attribute) bool { return a.Related() && a.CaseExact })
	is("groups", User, func(a *Attribute) bool { return a.Related() && a.Mutability == ReadOnly })
	is("emails", User, func(a *Attribute) bool { return !a.Related() && a.Multi && a.Default() != nil })
}

func TestParseDefinition(t *testing.T) {
	bad := func(s string) {
		t.Helper()
		if _, err := ParseDefinition([]byte(s)); fault.CodeOf(err) != "invalidSchema" {
			t.Errorf("ParseDefinition(%.120s): %v, want invalidSchema", s, err)
		}
	}
	def := func(attributes string) string {
		return `{"id":"urn:example:x","name":"X","attributes":[` + attributes + `]}`
	}
	bad(`{}`)
	bad(`{"id":"http://x","name":"X","attributes":[{"name":"a"}]}`)
	bad(`{"id":"urn:x","name":"X","attributes":[{"name":"a"}]}`)
	bad(`{"id":"urn:ietf:params:scim:schemas:core:2.0:User","name":"X","attributes":[{"name":"a"}]}`) // not ours to define
	bad(`{"id":"urn:example:x y","name":"X","attributes":[{"name":"a"}]}`)
	bad(`{"id":"urn:example:x","attributes":[{"name":"a"}]}`)
	bad(`{"id":"urn:example:x","name":"X","resourceType":"Device","attributes":[{"name":"a"}]}`)
	bad(def(``))
	bad(def(`7`))
	bad(def(`{"name":""}`))
	bad(def(`{"name":"9a"}`))
	bad(def(`{"name":"a.b"}`))
	bad(def(`{"name":"a:b"}`))
	bad(def(`{"name":"a"},{"name":"A"}`)) // elimity's constructor panics
	bad(def(`{"name":"a","type":"text"}`))
	bad(def(`{"name":"a","mutability":"sometimes"}`))
	bad(def(`{"name":"a","returned":"maybe"}`))
	bad(def(`{"name":"a","uniqueness":"galaxy"}`))
	bad(def(`{"name":"a","type":"complex"}`))
	bad(def(`{"name":"a","subAttributes":[{"name":"b"}]}`))
	bad(def(`{"name":"a","type":"complex","subAttributes":[{"name":"b"},{"name":"B"}]}`))
	bad(def(`{"name":"a","type":"complex","subAttributes":[{"name":"b","type":"complex","subAttributes":[{"name":"c"}]}]}`))
	bad(def(`{"name":"a","required":true,"mutability":"readOnly"}`))
	bad(def(strings.Repeat(`{"name":"a"},`, maxAttributes) + `{"name":"b"}`))
	if _, err := ParseDefinition([]byte(`[]`)); fault.CodeOf(err) != "invalidSyntax" {
		t.Error(err)
	}
	d, err := ParseDefinition([]byte(staff))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(d, d); fault.CodeOf(err) != "invalidSchema" {
		t.Errorf("the same schema twice: %v", err)
	}
}

// The definitions sent are elimity's, with what we correct.
func TestSchemasAreElimitys(t *testing.T) {
	const base = "https://x.example/scim/dir_1/v2"
	for urn, want := range map[string]escim.Schema{UserURN: escim.CoreUserSchema(), GroupURN: escim.CoreGroupSchema(), EnterpriseURN: escim.ExtensionEnterpriseUser()} {
		d, ok := Core().Schema(base, strings.ToUpper(urn))
		if !ok {
			t.Fatalf("no schema %s", urn)
		}
		var got, theirs map[string]any
		b, _ := want.MarshalJSON()
		if json.Unmarshal(d.JSON, &got) != nil || json.Unmarshal(b, &theirs) != nil {
			t.Fatal("no JSON")
		}
		meta := got["meta"].(map[string]any)
		if meta["resourceType"] != "Schema" || meta["location"] != base+"/Schemas/"+urn {
			t.Errorf("meta is %v", meta)
		}
		delete(got, "meta")
		for _, a := range theirs["attributes"].([]any) { // ids are exact
			a := a.(map[string]any)
			if a["name"] == "members" || a["name"] == "groups" {
				a["subAttributes"].([]any)[0].(map[string]any)["caseExact"] = true
			}
			if a["name"] == "members" { // display is never shown
				a["subAttributes"].([]any)[3].(map[string]any)["mutability"] = "readOnly"
			}
		}
		if !reflect.DeepEqual(got, theirs) {
			t.Errorf("%s differs from elimity's definition:\n%s\n%s", urn, d.JSON, b)
		}
	}
	if _, ok := Core().Schema(base, "urn:x:y"); ok {
		t.Error("an unknown schema is found")
	}
}

func TestDiscovery(t *testing.T) {
	const base = "https://x.example/scim/dir_1/v2"
	ix := custom(t)
	all := decode(t, string(ix.Schemas(base+"/").JSON))
	if n, _ := all.Get("totalResults"); n != json.Number("4") || len(all.List("Resources")) != 4 {
		t.Errorf("/Schemas lists %v", n)
	}
	types := decode(t, string(ix.ResourceTypes(base).JSON))
	user := types.List("Resources")[0].(*Object)
	if user.String("endpoint") != "/Users" || user.String("schema") != UserURN || len(user.List("schemaExtensions")) != 2 || user.Object("meta").String("location") != base+"/ResourceTypes/User" {
		t.Errorf("%s", user.Bytes())
	}
	if d, ok := ix.ResourceType(base, "Group"); !ok || decode(t, string(d.JSON)).String("id") != "Group" {
		t.Error("no resource type Group")
	}
	if _, ok := ix.ResourceType(base, "group"); ok {
		t.Error("resource type names are exact")
	}
	raw := ix.ServiceProviderConfig(base).JSON
	config := decode(t, string(raw))
	// goauthentik/authentik#25056: both limits, always
	for _, limit := range []string{"maxOperations", "maxPayloadSize"} {
		if _, ok := config.Object("bulk").Get(limit); !ok {
			t.Errorf("bulk.%s is missing", limit)
		}
	}
	// scim2-client refuses empty references
	if strings.Contains(string(raw)+string(ix.Schemas(base).JSON)+string(ix.ResourceTypes(base).JSON), `:""`) {
		t.Error("a discovery document holds an empty string")
	}
	if p := config.Object("pagination"); p.String("defaultPaginationMethod") != "index" { // RFC 9865 §4
		t.Errorf("%s", p.Bytes())
	}
	if config.Object("meta").String("location") != base+"/ServiceProviderConfig" {
		t.Error("meta.location is wrong")
	}
	a, b := ix.Schemas(base), ix.Schemas(base)
	if &a.JSON[0] != &b.JSON[0] || a.ETag == "" || !strings.HasPrefix(a.ETag, `W/"`) {
		t.Error("the documents are not cached")
	}
	if ix.Schemas("https://other").ETag == a.ETag {
		t.Error("documents of another base URL have the same tag")
	}
	for range 2 * maxCached {
		ix.Schemas("https://h" + strings.Repeat("x", int(ix.cached.n.Load())))
	}
	n := 0
	ix.documents.Range(func(any, any) bool { n++; return true })
	if n > maxCached {
		t.Errorf("%d base URLs are cached", n)
	}
}

func TestKeys(t *testing.T) {
	doc := decode(t, `{"userName":"ÉVE@X","externalId":"Ab","displayName":"Ève","active":false,"title":"Boss",
		"emails":[{"value":"A@x"},{"value":"a@X"},{"type":"work"},{"value":"b@x"}],"`+EnterpriseURN+`":{"employeeNumber":"K7","manager":{"value":"M1"}}}`)
	if got, want := KeysOf(User, doc), (Keys{"éve@x", "Ab", "ève", false}); got != want {
		t.Errorf("KeysOf = %+v, want %+v", got, want)
	}
	if got, want := KeysOf(Group, decode(t, `{"displayName":"G"}`)), (Keys{DisplayName: "g", Active: true}); got != want {
		t.Errorf("KeysOf = %+v, want %+v", got, want)
	}
	rows := []ValueRow{{"emails.value", "a@x"}, {"emails.value", "b@x"}, {EnterpriseURN + ":employeeNumber", "k7"}}
	if got := Core().Values(User, doc, ""); !slices.Equal(got, rows) {
		t.Errorf("Values = %v", got)
	}
	for path, row := range map[string]ValueRow{"TITLE": {"title", "boss"}, EnterpriseURN + ":manager": {EnterpriseURN + ":manager.value", "m1"}} {
		canonical, err := Core().MatchingPath(User, path)
		if err != nil || canonical != row.Attr {
			t.Errorf("MatchingPath(%s) = %s, %v", path, canonical, err)
		}
		if got := Core().Values(User, doc, canonical); !slices.Equal(got, append(slices.Clone(rows), row)) {
			t.Errorf("Values by %s = %v", path, got)
		}
	}
	for _, path := range []string{"nosuch", "password", "active", "name", "groups.value", "meta.version", "schemas", "x509Certificates.value", "emails.primary"} {
		if p, err := Core().MatchingPath(User, path); fault.CodeOf(err) != "invalidPath" {
			t.Errorf("MatchingPath(%s) = %s, %v", path, p, err)
		}
	}
	if got := Core().Values(Group, decode(t, `{"displayName":"G"}`), ""); got != nil {
		t.Errorf("Values of a group = %v", got)
	}
}

func TestTimes(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.FixedZone("", 3600))
	if got := FormatTime(at); got != "2026-01-02T02:04:05.678901Z" {
		t.Error(got)
	}
	for s, ok := range map[string]bool{
		"2026-01-02T03:04:05Z": true, "0001-01-03T00:00:00.0000000Z": true, "2026-01-02T03:04:05.1234567+01:00": true, "2026-01-02T03:04:05": true,
		"2026-01-02": false, "": false, "2026-13-02T03:04:05Z": false, "2026-01-02T24:00:00Z": false, "2026-01-02 03:04:05Z": false, "2026-01-02T03:04:05Z" + strings.Repeat("0", 64): false,
	} {
		if _, got := ParseTime(s); got != ok {
			t.Errorf("ParseTime(%q) = %v", s, got)
		}
	}
}

func BenchmarkSchemas(b *testing.B) {
	ix := Core()
	b.ReportAllocs()
	for b.Loop() {
		ix.Schemas("https://x.example/scim/dir_1/v2")
	}
}

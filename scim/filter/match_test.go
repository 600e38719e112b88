package filter

import (
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/scim/dialect"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

const barbara = `{
 "schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
 "id":"res_1","externalId":"Ext1","userName":"BJensen@Example.com","displayName":"Babs Jensen","active":true,
 "name":{"familyName":"O'Malley","givenName":"Barbara"},
 "nickName":"Quo\"te \\ slash",
 "emails":[{"value":"BJ@work.example","type":"work","primary":true},{"value":"bj@home.example","type":"home"}],
 "x509Certificates":[{"value":"TUlJ"}],
 "roles":[{"value":"{\"id\":\"x\"}","primary":false}],
 "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"employeeNumber":"0701","department":"R&D","manager":{"value":"m1"}},
 "groups":[{"value":"g1","type":"direct"}],
 "meta":{"resourceType":"User","created":"2026-01-01T00:00:00.5Z","lastModified":"2026-02-01T00:00:00.123456Z"}}`

func document(t testing.TB, s string) *schema.Object {
	t.Helper()
	o, err := schema.Decode([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func bound(t testing.TB, ix *schema.Index, s string, d dialect.Dialect) *Bound {
	t.Helper()
	e, err := Parse(s, d)
	if err != nil {
		t.Fatalf("Parse(%q): %v", s, err)
	}
	b, err := Bind(ix, schema.User, e, d)
	if err != nil {
		t.Fatalf("Bind(%q): %v", s, err)
	}
	return b
}

func TestMatch(t *testing.T) {
	rfc := profile(t, "rfc")
	doc := document(t, barbara)
	check := func(s string, want bool) {
		t.Helper()
		if bound(t, schema.Core(), s, rfc).Match(Target{Doc: doc}) != want {
			t.Errorf("%s is %v, want %v", s, !want, want)
		}
	}
	yes := func(s string) { t.Helper(); check(s, true) }
	no := func(s string) { t.Helper(); check(s, false) }

	yes(`userName eq "bjensen@EXAMPLE.com"`) // RFC 7643 §4.1.1: caseExact false
	yes(`USERNAME Eq "bjensen@example.com"`)
	yes(`externalId eq "Ext1"`)
	no(`externalId eq "ext1"`) // RFC 7643 §3.1: caseExact true
	no(`id eq "RES_1"`)
	yes(`id eq "res_1"`)
	yes(`name.familyName eq "o'malley"`)
	yes(`nickName eq "quo\"TE \\ slash"`)
	yes(`urn:ietf:params:scim:schemas:core:2.0:User:userName sw "bj"`)
	yes(`URN:ietf:params:scim:schemas:core:2.0:user:username sw "BJ"`)
	yes(`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq "r&d"`)
	yes(`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value eq "m1"`)
	yes(`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager eq "m1"`)
	yes(`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber eq "0701" and userName co "jensen"`) // core and extension in one
	yes(`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User pr`)
	no(`employeeNumber eq "0701"`) // an extension attribute needs its URN

	yes(`displayName co "abs jen"`)
	yes(`displayName sw "babs"`)
	yes(`displayName ew "JENSEN"`)
	yes(`displayName gt "b"`)
	no(`displayName lt "b"`)
	yes(`displayName ge "babs jensen" and displayName le "BABS JENSEN"`)
	yes(`displayName ne "other"`)
	no(`displayName ne "babs jensen"`)

	// absent: null, which differs from every value (RFC 7643 §2.5)
	no(`title pr`)
	no(`title eq "x"`)
	yes(`title ne "x"`)
	yes(`title eq null`)
	no(`title ne null`)
	no(`title lt "zzz"`)
	yes(`displayName ne null`)
	yes(`not (title pr)`)

	// multi-valued: any value (RFC 7644 §3.4.2.2)
	yes(`emails.type eq "home"`)
	yes(`emails.value co "@HOME"`)
	yes(`emails co "@home"`) // "value" by default
	yes(`emails.type ne "work"`)
	no(`not (emails.type eq "work")`)
	yes(`emails.primary eq true`)
	yes(`emails pr`)
	no(`phoneNumbers pr`)
	yes(`phoneNumbers eq null`)
	yes(`phoneNumbers.value ne "1"`)
	yes(`emails[type eq "work" and value co "@work"]`)
	no(`emails[type eq "work" and value co "@home"]`) // in one element
	yes(`emails.type eq "work" and emails.value co "@home"`)
	yes(`emails[type eq "work"].value eq "bj@WORK.example"`)
	no(`emails[type eq "home"].value eq "bj@work.example"`)
	yes(`emails[type eq "home" and not (primary pr)]`)
	yes(`emails[type eq "x" or (primary eq true and value pr)]`)
	yes(`emails[primary ne true]`)
	yes(`schemas eq "urn:ietf:params:scim:schemas:core:2.0:user"`)
	yes(`schemas[value eq "urn:ietf:params:scim:schemas:core:2.0:User"]`)
	yes(`groups.value eq "g1"`)
	no(`groups.value eq "G1"`)
	yes(`groups[value eq "g1" and type eq "direct"]`)

	// booleans, also as text (scim.md 2.2)
	yes(`active eq true`)
	yes(`active eq "True"`)
	no(`active eq "false"`)
	yes(`active ne false`)
	yes(`active pr`)

	// times, with fractions of any length and zones
	yes(`meta.created eq "2026-01-01T00:00:00.5000000Z"`)
	yes(`meta.created eq "2026-01-01T01:00:00.5+01:00"`)
	yes(`meta.created lt "2026-01-01T00:00:00.5000001Z"`)
	yes(`active eq true and (meta.lastModified ge "0001-01-03T00:00:00.0000000Z" and meta.lastModified le "2026-09-10T00:00:00.0000000Z")`)
	yes(`meta.lastmodified gt "0001-01-01T00:00:00Z"`)
	no(`meta.lastModified gt "2026-02-01T00:00:00.123456Z"`)
	yes(`meta.created sw "2026-01"`)
	yes(`meta.resourceType eq "User"`)
	no(`meta.resourceType eq "Group"`)
	yes(`meta.resourceType ne "Group"`)

	yes(`title pr and active eq false or displayName sw "babs"`) // and before or
	no(`title pr and (active eq false or displayName sw "babs")`)

	// unknown attributes have no value under this profile
	no(`nosuch eq "x"`)
	yes(`nosuch ne "x"`)
	yes(`not (nosuch pr)`)
	yes(`nosuch eq null`)
	no(`urn:example:none:User:x eq "y"`)
	no(`emails[nosuch eq "x"]`)
	no(`nosuch[type eq "x"]`)
}

func TestMatchRelated(t *testing.T) {
	asked := 0
	target := Target{Doc: document(t, `{"userName":"x"}`), Related: func(name string) []any {
		asked++
		if name != "groups" {
			t.Errorf("asked for %s", name)
		}
		g := schema.NewObject(1)
		g.Set("value", "g9")
		return []any{g}
	}}
	rfc := profile(t, "rfc")
	if !bound(t, schema.Core(), `groups.value eq "g9"`, rfc).Match(target) || asked != 1 {
		t.Error("related elements are not matched")
	}
	bound(t, schema.Core(), `userName eq "x"`, rfc).Match(target)
	if asked != 1 {
		t.Error("related elements are loaded for a filter that does not need them")
	}
}

func TestBindRefuses(t *testing.T) {
	bad := func(profileName, s string) {
		t.Helper()
		d := profile(t, profileName)
		e, err := Parse(s, d)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Bind(schema.Core(), schema.User, e, d); fault.CodeOf(err) != "invalidFilter" {
			t.Errorf("Bind(%s) under %s: %v, want invalidFilter", s, profileName, err)
		}
	}
	for _, p := range []string{"rfc", "entra"} {
		bad(p, `active gt true`)              // RFC 7644 §3.4.2.2
		bad(p, `active co "t"`)               //
		bad(p, `emails[primary lt true]`)     //
		bad(p, `active eq "yes"`)             // no boolean
		bad(p, `active eq 1`)                 //
		bad(p, `password sw "a"`)             // returned never must not leak
		bad(p, `password pr`)                 //
		bad(p, `title pr or password eq "a"`) //
		bad(p, `x509Certificates.value gt "a"`)
		bad(p, `name eq "x"`)      // complex without "value"
		bad(p, `addresses co "x"`) //
		bad(p, `title gt null`)    //
		bad(p, `title co null`)    //
		bad(p, `meta.created gt "yesterday"`)
		bad(p, `meta.created eq "2026-13-01T00:00:00Z"`)
		bad(p, `name.familyName[value eq "x"]`)
		bad(p, `urn:ietf:params:scim:schemas:extension:enterprise:2.0:User eq "x"`)
		bad(p, `emails[emails[type eq "x"]]`)
	}
	bad("rfc", `userName eq 12`) // a number is no string
	bad("rfc", `userName eq true`)
	bad("entra", `nosuch eq "x"`) // an administrator should hear of a bad matching attribute
	bad("okta", `emails[nosuch eq "x"]`)
	bad("okta", `urn:example:none:User:x pr`)
}

func TestBindCustom(t *testing.T) {
	def, err := schema.ParseDefinition([]byte(`{"id":"urn:example:scim:2.0:Staff","name":"Staff","attributes":[
		{"name":"badge","type":"integer"},{"name":"tags","type":"string","multiValued":true,"caseExact":true},
		{"name":"secret","type":"string","returned":"never"},{"name":"rate","type":"decimal"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	ix, err := schema.New(def)
	if err != nil {
		t.Fatal(err)
	}
	doc := document(t, `{"userName":"x","urn:example:scim:2.0:Staff":{"badge":7,"tags":["Red","blue"],"rate":1.50}}`)
	d := profile(t, "entra")
	const u = "urn:example:scim:2.0:Staff:"
	for s, want := range map[string]bool{
		u + `badge eq 7`: true, u + `badge eq "7"`: true, u + `badge gt 7`: false, u + `badge ge 7.0`: true, u + `badge ne 8`: true,
		u + `tags eq "Red"`: true, u + `tags eq "red"`: false, u + `tags[value sw "bl"]`: true, u + `tags pr`: true,
		u + `rate eq 1.5`: true, u + `rate lt 1.5000001`: true, u + `rate lt 1e400`: true,
	} {
		if got := bound(t, ix, s, d).Match(Target{Doc: doc}); got != want {
			t.Errorf("%s is %v", s, got)
		}
	}
	for _, s := range []string{u + `secret pr`, u + `badge co 7`, u + `badge eq "x"`} {
		e, _ := Parse(s, d)
		if _, err := Bind(ix, schema.User, e, d); fault.CodeOf(err) != "invalidFilter" {
			t.Errorf("Bind(%s): %v, want invalidFilter", s, err)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	doc := document(b, barbara)
	f := bound(b, schema.Core(), `emails[type eq "work" and value co "@work.example"] and active eq true`, profile(b, "rfc"))
	b.ReportAllocs()
	for b.Loop() {
		if !f.Match(Target{Doc: doc}) {
			b.Fatal("no match")
		}
	}
}

func BenchmarkBind(b *testing.B) {
	d := profile(b, "rfc")
	e, _ := Parse(`userName eq "test.user@okta.local"`, d)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Bind(schema.Core(), schema.User, e, d); err != nil {
			b.Fatal(err)
		}
	}
}

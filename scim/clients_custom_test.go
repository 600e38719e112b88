package scim_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/tenants"
)

// A tenant's own attributes in every form that clients send core ones in: polis#1318,
// scimgateway#124 (URN split at its dot), ory/docs#2686, elimity#204.

func ownSchema(urn, kind string) tenants.SCIMSchema {
	return tenants.SCIMSchema{URN: urn, Name: "Own " + kind, ResourceType: kind, Attributes: []tenants.SCIMAttribute{
		{Name: "costCode"},
		{Name: "code", CaseExact: true},
		{Name: "level", Type: "integer"},
		{Name: "rate", Type: "decimal"},
		{Name: "remote", Type: "boolean"},
		{Name: "since", Type: "dateTime"},
		{Name: "page", Type: "reference", ReferenceTypes: []string{"external"}},
		{Name: "key", Type: "binary"},
		{Name: "tags", MultiValued: true},
		{Name: "badge", Mutability: "immutable"},
		{Name: "secret", Returned: "never"},
		{Name: "seen", Mutability: "readOnly"},
		{Name: "desk", Type: "complex", SubAttributes: []tenants.SCIMAttribute{{Name: "floor", Type: "integer"}, {Name: "room"}}},
		{Name: "cards", Type: "complex", MultiValued: true, SubAttributes: []tenants.SCIMAttribute{{Name: "value"}, {Name: "type"}, {Name: "primary", Type: "boolean"}}},
	}}
}

func TestOwnAttributesOfClients(t *testing.T) {
	eachVendor(t, "entra okta generic", func(c *vendor) {
		const urn = "urn:example:Acme_app-1.0:2.0:user:custom"
		c.g.put(c.tenant, ownSchema(urn, "User"))
		c.g.put(c.tenant, ownSchema("urn:example:groups:1.5", "Group"))
		c.vars["X"], c.vars["x"] = urn, strings.ToUpper(urn)
		c.patches([]patchCase{
			{``, op("add", "{{X}}:costCode", `"C"`), `"{{X}}":{"costCode":"C"}`, ""},
			{``, op("Replace", "{{x}}:COSTCODE", `"C"`), `"{{X}}":{"costCode":"C"}`, ""},
			{``, op("replace", "", `{"{{X}}:costCode":"C","{{X}}:level":3,"title":"T"}`), `"title":"T","{{X}}":{"costCode":"C","level":3}`, "dottedKeys"},
			{``, op("replace", "", `{"{{X}}":{"costCode":"C","desk":{"floor":2}},"{{E}}":{"department":"D"}}`), `"{{E}}":{"department":"D"},"{{X}}":{"costCode":"C","desk":{"floor":2}}`, ""},
			{``, op("add", "{{X}}", `{"costCode":"C","tags":["a","b"]}`), `"{{X}}":{"costCode":"C","tags":["a","b"]}`, ""},
			{``, op("add", "{{X}}:level", `"3"`), `"{{X}}":{"level":3}`, "coerceScalar"},
			{``, op("add", "{{X}}:level", `3.5`), `!invalidValue`, ""},
			{``, op("add", "{{X}}:level", `"many"`), `!invalidValue`, ""},
			{``, op("add", "{{X}}:rate", `"1.5"`), `"{{X}}":{"rate":1.5}`, "coerceScalar"},
			{``, op("add", "{{X}}:remote", `"True"`), `"{{X}}":{"remote":true}`, "coerceBool"},
			{``, op("add", "{{X}}:since", `"2026-01-31T12:00:00.0000000Z"`), `"{{X}}":{"since":"2026-01-31T12:00:00.0000000Z"}`, ""},
			{``, op("add", "{{X}}:since", `"yesterday"`), `!invalidValue`, ""},
			{``, op("add", "{{X}}:key", `"TUlJ"`), `"{{X}}":{"key":"TUlJ"}`, ""},
			{``, op("add", "{{X}}:key", `"%"`), `!invalidValue`, ""},
			{``, op("add", "{{X}}:page", `"https://x.example/p"`), `"{{X}}":{"page":"https://x.example/p"}`, ""},
			{`"{{X}}":{"tags":["a"]}`, op("add", "{{X}}:tags", `["b","a"]`), `"{{X}}":{"tags":["a","b"]}`, ""},
			{`"{{X}}":{"tags":["a"]}`, op("add", "{{X}}:tags", `"b"`), `"{{X}}":{"tags":["a","b"]}`, "singleToList"},
			{`"{{X}}":{"tags":["a","b"]}`, op("remove", "{{X}}:tags", `["a"]`), `"{{X}}":{"tags":["b"]}`, "removeByValue"},
			{`"{{X}}":{"tags":["a","b"]}`, op("remove", `{{X}}:tags[value eq "a"]`, ``), `"{{X}}":{"tags":["b"]}`, ""},
			{`"{{X}}":{"tags":["a","b"]}`, op("replace", "{{X}}:tags", `["c"]`), `"{{X}}":{"tags":["c"]}`, ""},
			{`"{{X}}":{"tags":["a","b"],"costCode":"C"}`, op("remove", "{{X}}:tags", ``), `"{{X}}":{"costCode":"C"}`, ""},
			{`"{{X}}":{"desk":{"floor":1,"room":"R"}}`, op("replace", "{{X}}:desk.room", `"S"`), `"{{X}}":{"desk":{"floor":1,"room":"S"}}`, ""},
			{`"{{X}}":{"desk":{"floor":1,"room":"R"}}`, op("replace", "{{X}}:desk", `{"floor":"2"}`), `"{{X}}":{"desk":{"floor":2,"room":"R"}}`, ""},
			{`"{{X}}":{"desk":{"floor":1,"room":"R"}}`, op("remove", "{{X}}:desk.floor", ``), `"{{X}}":{"desk":{"room":"R"}}`, ""},
			{``, op("replace", "", `{"{{X}}:desk.room":"S"}`), `"{{X}}":{"desk":{"room":"S"}}`, "dottedKeys"},
			{``, op("replace", "", `{"{{X}}:cards[type eq \"nfc\"].value":"1"}`), `"{{X}}":{"cards":[{"type":"nfc","value":"1"}]}`, "dottedKeys upsertOnFilter"},
			{``, op("add", `{{X}}:cards[type eq "nfc"].value`, `"1"`) + "," + op("add", `{{X}}:cards[type eq "nfc"].primary`, `"True"`), `"{{X}}":{"cards":[{"type":"nfc","value":"1","primary":true}]}`, "upsertOnFilter coerceBool"},
			{`"{{X}}":{"cards":[{"type":"nfc","value":"1"},{"type":"qr","value":"2"}]}`, op("remove", `{{X}}:cards[type eq "NFC"]`, ``), `"{{X}}":{"cards":[{"type":"qr","value":"2"}]}`, ""},
			{`"{{X}}":{"badge":"1"}`, op("replace", "{{X}}:badge", `"1"`), ``, ""},
			{`"{{X}}":{"badge":"1"}`, op("replace", "{{X}}:badge", `"2"`), `!mutability`, ""},
			{`"{{X}}":{"badge":"1"}`, op("remove", "{{X}}:badge", ``), `!mutability`, ""},
			{`"{{X}}":{"badge":"1","costCode":"C"}`, op("remove", "{{X}}", ``), `!mutability`, ""},
			{``, op("add", "{{X}}:badge", `"1"`), `"{{X}}":{"badge":"1"}`, ""},
			{``, op("add", "{{X}}:secret", `"s"`) + "," + op("add", "{{X}}:costCode", `"C"`), `"{{X}}":{"costCode":"C"}`, ""}, // pranems run 32
			{``, op("add", "{{X}}:seen", `"s"`), ``, "ignoreReadOnly"},
			{`"{{X}}":{"costCode":"C"}`, op("remove", "{{X}}", ``), `"{{X}}":null`, ""},
			{`"{{X}}":{"costCode":"C"}`, op("replace", "{{X}}:costCode", `null`), `"{{X}}":null`, ""},
		})
		c.exchanges([]exchange{
			{
				"POST /Users > a", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","{{X}}"],"userName":"own@x.example","{{X}}:level":"7","{{x}}":{"CostCode":"Cc","code":"Cc","remote":"True","secret":"s","seen":"s","nothing":1}}`, 201,
				`"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","{{X}}"],"{{X}}":{"costCode":"Cc","code":"Cc","level":7,"remote":true,"secret":null,"seen":null,"nothing":null}`, "dottedKeys coerceScalar coerceBool ignoreUnknown",
			},
			{`GET /Users?filter={{X}}:costcode+eq+"cC"`, "", 200, `"totalResults":1`, ""},
			{`GET /Users?filter={{X}}:code+eq+"cC"`, "", 200, `"totalResults":0`, ""},
			{`GET /Users?filter={{X}}:level+ge+7+and+userName+sw+"OWN"+and+not+({{E}}:department+pr)`, "", 200, `"totalResults":1`, ""},
			{`GET /Users?filter={{X}}:level+eq+"7"`, "", 200, `"totalResults":1`, "coerceScalar"},
			{`GET /Users?filter={{X}}:remote+eq+"True"+and+userName+eq+"own@x.example"`, "", 200, `"totalResults":1`, "coerceBool"},
			{`GET /Users?filter={{X}}:secret+eq+"s"`, "", 400, `"scimType":"invalidFilter"`, ""},
			{`GET /Users/{{a}}?attributes={{X}}:costCode`, "", 200, `"id":"{{a}}","userName":null,"{{X}}":{"costCode":"Cc","level":null}`, ""},
			{`GET /Users/{{a}}?excludedAttributes={{X}}`, "", 200, `"{{X}}":null,"userName":"own@x.example"`, ""},
			{"PUT /Users/{{a}}", `{"userName":"own@x.example","{{X}}":{"costCode":"D"}}`, 200, `"{{X}}":{"costCode":"D","level":null}`, ""},
			{"POST /Groups > g", `{"displayName":"Own","urn:example:groups:1.5":{"costCode":"G"}}`, 201, `"urn:example:groups:1.5":{"costCode":"G"}`, ""},
			{"PATCH /Groups/{{g}}", ops(op("replace", "urn:example:groups:1.5:costCode", `"H"`), op("add", "members", `[{"value":"{{u1}}"}]`)), 204, ``, ""},
			{"PATCH /Groups/{{g}}", ops(op("replace", "", `{"urn:example:groups:1.5:level":"4"}`)), 204, ``, "dottedKeys"},
			{"GET /Groups/{{g}}", "", 200, `"urn:example:groups:1.5":{"costCode":"H","level":4},"members":[{"value":"{{u1}}"}]`, ""},
		})
	})
}

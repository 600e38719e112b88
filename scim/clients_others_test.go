package scim_test

import (
	"testing"
)

// OneLogin: developers.onelogin.com/scim, wire log in goauthentik/authentik#11249.
func TestOneLogin(t *testing.T) {
	eachVendor(t, "onelogin", func(c *vendor) {
		c.exchanges([]exchange{
			{"GET /Users?filter=userName+eq+%22ann%40x.example%22&", "", 200, `"totalResults":0,"Resources":[]`, ""},
			{
				"POST /Users > a", `{"schemas":["urn:scim:schemas:core:2.0","urn:scim:schemas:extension:enterprise:2.0"],"userName":"ann@x.example","externalId":null,"title":null,
				"name":{"givenName":"A","familyName":"N"},"displayName":"A N","emails":[{"value":"ann@x.example","type":"work","primary":true}],"active":true,
				"urn:scim:schemas:extension:enterprise:2.0":{"department":"D","manager":{"value":"7"},"employeeNumber":12}}`, 201,
				`"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","{{E}}"],"userName":"ann@x.example","{{E}}":{"department":"D","manager":{"value":"7"},"employeeNumber":"12"}`, "legacyURNs",
			},
			{"POST /Users > b", `{"schemas":["urn:scim:schemas:core:1.0","urn:scim:schemas:extension:enterprise:1.0"],"userName":"bob@x.example","urn:scim:schemas:extension:enterprise:1.0":{"division":"V"}}`, 201, `"{{E}}":{"division":"V"}`, "legacyURNs"},
			{"PUT /Users/{{a}}?", `{"schemas":["urn:scim:schemas:core:2.0","urn:scim:schemas:extension:enterprise:2.0"],"id":"{{a}}","userName":"ann@x.example","active":false,
				"urn:scim:schemas:extension:enterprise:2.0":{"department":"E"}}`, 200, `"active":false,"name":null,"{{E}}":{"department":"E","manager":null}`, "legacyURNs"},
			{"PUT /Users/{{a}}?", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"ann@x.example","active":true}`, 200, `"active":true,"{{E}}":null`, ""},
			{"PATCH /Users/{{a}}", ops(op("replace", "urn:scim:schemas:extension:enterprise:2.0:department", `"F"`), op("replace", "", `{"urn:scim:schemas:extension:enterprise:2.0:division":"V","urn:scim:schemas:core:2.0:title":"T"}`)), 200, `"title":"T","{{E}}":{"department":"F","division":"V"}`, "legacyURNs dottedKeys"},
			{`GET /Users?filter=urn:scim:schemas:extension:enterprise:2.0:department+eq+"f"`, "", 200, `"totalResults":1`, "legacyURNs"},
			{"POST /Groups > g", `{"schemas":["urn:scim:schemas:core:2.0"],"displayName":"Team","members":[]}`, 201, `"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"]`, "legacyURNs"},
			{"GET /Groups?filter=displayName+eq+%22team%22&", "", 200, `"totalResults":1`, ""},
			{"PATCH /Groups/{{g}}", ops(op("add", "members", `[{"value":"{{a}}"},{"value":"{{u1}}"}]`)), 204, "", ""},
			{"PATCH /Groups/{{g}}", ops(op("remove", `members[value eq "{{a}}"]`, ``)), 204, "", ""},
			{"GET /Groups/{{g}}?", "", 200, `"members":[{"value":"{{u1}}"}]`, ""},
			{"DELETE /Users/{{a}}?", "", 204, "", ""},
			{"GET /Users/{{a}}", "", 404, "", ""},
		})
	})
}

// JumpCloud: activation makes a test user and a test group and takes them away.
func TestJumpCloud(t *testing.T) {
	eachVendor(t, "jumpcloud", func(c *vendor) {
		c.exchanges([]exchange{
			{"GET /Users?filter=userName+eq+%22test%40x.example%22&startIndex=1&count=1", "", 200, `"totalResults":0`, ""},
			{
				"POST /Users > a", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","{{E}}"],"userName":"test@x.example","active":true,"name":{"givenName":"A","familyName":"N"},
				"emails":[{"type":"work","primary":true,"value":"test@x.example"}],"phoneNumbers":[{"type":"mobile","value":""}],"addresses":[{"type":"work","locality":"","country":""}],"{{E}}":{"employeeNumber":44,"department":""}}`, 201,
				`"active":true,"phoneNumbers":null,"{{E}}":{"employeeNumber":"44"}`, "emptyUnsets coerceScalar",
			},
			{"PUT /Users/{{a}}", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"{{a}}","userName":"test@x.example","active":false,"name":{"givenName":"B"}}`, 200, `"active":false,"name":{"givenName":"B","familyName":null},"emails":null`, ""},
			{"POST /Groups > g", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Test Group"}`, 201, `"displayName":"Test Group"`, ""},
			{"PATCH /Groups/{{g}}", ops(op("add", "members", `[{"value":"{{a}}"}]`)), 204, "", ""},
			{"PATCH /Groups/{{g}}", ops(op("remove", "members", `[{"value":"{{a}}"}]`)), 204, "", "removeByValue"},
			{"PUT /Groups/{{g}}", `{"displayName":"Renamed","members":[{"value":"{{a}}"},{"value":"{{u1}}"}]}`, 200, `"displayName":"Renamed","members":"<list>"`, ""},
			{"DELETE /Groups/{{g}}", "", 204, "", ""},
			{"DELETE /Users/{{a}}", "", 204, "", ""},
			{"POST /Users", `{"userName":"test@x.example"}`, 201, "", ""},
		})
		c.groups([]groupCase{
			{`u1 u2 u3`, op("remove", "members", `[{"value":"{{u1}}"},{"value":"{{u3}}"}]`), `u2`, "removeByValue"},
			{`u1`, op("add", "members", `[{"value":"{{u2}}"},{"value":"{{u1}}"}]`), `u1 u2`, ""},
			{`u1 u2`, op("replace", "members", `[{"value":"{{u2}}"}]`), `u2`, ""},
		})
	})
}

// Google Workspace provisions users alone; suspension and deletion have triggers of their own.
func TestGoogle(t *testing.T) {
	eachVendor(t, "google generic", func(c *vendor) {
		c.exchanges([]exchange{
			{"GET /Users?count=1", "", 200, `"totalResults":4,"itemsPerPage":1,"startIndex":1,"Resources":"<list>"`, ""},
			{"GET /Users?filter=userName%20eq%20%22g%40x.example%22", "", 200, `"totalResults":0,"Resources":[]`, ""},
			{"POST /Users > a", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","{{E}}"],"userName":"g@x.example","name":{"familyName":"F","givenName":"G"},"emails":[{"value":"g@x.example","primary":true}],"active":true,"{{E}}":{"manager":{}}}`, 201, `"id":"<string>","{{E}}":null`, ""},
			{"PATCH /Users/{{a}}", ops(op("replace", "", `{"active":false}`)), 200, `"active":false`, ""},
			{"PATCH /Users/{{a}}", ops(op("replace", "active", `true`)), 200, `"active":true`, ""},
			{"PUT /Users/{{a}}", `{"userName":"g@x.example","active":false,"emails":[{"value":"g2@x.example","primary":true}]}`, 200, `"active":false,"emails":[{"value":"g2@x.example"}]`, ""},
			{"DELETE /Users/{{a}}", "", 204, "", ""},
			{"GET /Users/{{a}}", "", 404, "", ""},
		})
	})
}

// Rippling names attributes in its own way and repeats a POST until it is told 409.
func TestRippling(t *testing.T) {
	eachVendor(t, "rippling", func(c *vendor) {
		c.exchanges([]exchange{
			{"GET /ServiceProviderConfig", "", 200, `"patch":{"supported":true}`, ""},
			{"GET /Users?startIndex=1&count=50", "", 200, `"totalResults":4`, ""},
			{"POST /Users > a", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"externalId":"61a","userName":"r@x.example","emails":[{"value":"r@x.example","type":"work","primary":true}],"name":{"givenName":"R","familyName":"P"},"{{E}}":{"employeeNumber":9},"emails.primary":"r@x.example"}`, 201, `"id":"<string>","emails":[{"value":"r@x.example","primary":true}]`, "coerceScalar ignoreUnknown"},
			{"POST /Users", `{"externalId":"61a","userName":"r@x.example"}`, 409, `"scimType":"uniqueness","status":"409"`, ""},
			{`GET /Users?filter=emails.primary+eq+true+and+userName+eq+"r@x.example"`, "", 200, `"totalResults":1`, ""},
			{"PATCH /Users/{{a}}", ops(op("replace", "emails.primary", `true`)), 200, `"emails":[{"primary":true}]`, ""},
			{"POST /Groups > g", `{"displayName":"Eng"}`, 201, ``, ""},
			{"PATCH /Groups/{{g}}", ops(op("add", "members", `[{"value":"{{a}}"}]`)), 204, "", ""},
			{"PATCH /Groups/{{g}}", ops(op("replace", "displayName", `"Engineers"`)), 204, "", ""},
			{"GET /Groups?startIndex=1&count=50", "", 200, `"totalResults":2`, ""},
			{"DELETE /Groups/{{g}}", "", 204, "", ""},
			{"PATCH /Users/{{a}}", ops(op("replace", "active", `false`)), 200, `"active":false`, ""},
		})
	})
}

// PingOne lets the filter expression be typed by hand, in any case.
func TestPing(t *testing.T) {
	eachVendor(t, "ping", func(c *vendor) {
		c.exchanges([]exchange{
			{"POST /Users > a", `{"schemas":["urn:scim:schemas:core:1.0"],"userName":"p@x.example","externalId":"P-1","active":true,"emails":[{"value":"p@x.example","primary":true,"type":"work"}],"name":{"given":"x","givenName":"P"}}`, 201, `"name":{"givenName":"P"}`, "legacyURNs ignoreUnknown"},
			{`GET /Users?filter=userName+Eq+"P@x.example"`, "", 200, `"totalResults":1`, ""},
			{`GET /Users?filter=(username+EQ+"p@x.example"+OR+externalid+eq+"P-1")+AND+NOT+(active+eq+false)`, "", 200, `"totalResults":1`, ""},
			{`GET /Users?filter=emails+Eq+"p@x.example"`, "", 200, `"totalResults":1`, ""},
			{`GET /Users/?filter=++userName+++eq+++"p@x.example"++`, "", 200, `"totalResults":1`, ""},
			{"PUT /Users/{{a}}", `{"id":"{{a}}","userName":"p@x.example","externalId":"P-1","active":false}`, 200, `"active":false`, ""},
			{"POST /Users", `{"userName":"P@X.example"}`, 409, `"scimType":"uniqueness"`, ""},
			{"DELETE /Users/{{a}}", "", 204, "", ""},
		})
	})
}

// What only the tolerant profiles take is refused, with its reason, where a
// connection asks for the RFCs; and nothing of it is carried out.
func TestStrictProfile(t *testing.T) {
	eachVendor(t, "rfc", func(c *vendor) {
		mail := `"emails":[{"type":"work","value":"w@x"}]`
		c.patches([]patchCase{
			{``, op("replace", `emails[type eq "work"].value`, `"w@x"`), `!noTarget`, ""},
			{mail, op("replace", `emails[type eq "home"]`, `{"value":"x"}`), `!noTarget`, ""},
			{``, op("replace", `roles[primary eq "True"].value`, `"w@x"`), `!noTarget`, ""},
			{``, op("replace", `addresses[type eq "work"].formatted`, `"F"`), `!noTarget`, ""},
			{``, op("remove", "", ``), `!noTarget`, ""},
			{`"title":"T"`, op("remove", "", `{"title":"T"}`), `!noTarget`, ""},
			{``, op("add", "{{E}}:manager", `"271"`), `!invalidValue`, ""},
			{``, op("add", "{{E}}:manager", `[{"value":"271"}]`), `!invalidValue`, ""},
			{``, op("add", "{{E}}:employeeNumber", `271`), `!invalidValue`, ""},
			{``, op("replace", "displayName", `[{"$ref":null,"value":"X"}]`), `!invalidValue`, ""},
			{``, op("replace", "displayName", `{"value":"X"}`), `!invalidValue`, ""},
			{``, op("replace", "title", `true`), `!invalidValue`, ""},
			{``, op("add", "emails", `["w@x"]`), `!invalidValue`, ""},
			{``, op("add", "emails", `[{"value":"a","primary":true},{"value":"b","primary":true}]`), `!invalidValue`, ""},
			{``, op("replace", "name", `"x"`), `!invalidValue`, ""},
			{``, op("add", "title", ``), `!invalidValue`, ""},
			{``, op("replace", "", `"x"`), `!invalidValue`, ""},
			{``, op("replace", "extensionAttribute1", `"x"`), `!invalidPath`, ""},
			{``, op("replace", "name.nothing", `"x"`), `!invalidPath`, ""},
			{``, op("replace", "", `{"nothing":"x"}`), `!invalidPath`, ""},
			{``, op("replace", "", `{"name.nothing":"x"}`), `!invalidPath`, ""},
			{``, op("replace", "urn:x:y:2.0:User:a", `"x"`), `!invalidPath`, ""},
			{``, op("replace", "urn:scim:schemas:extension:enterprise:2.0:department", `"x"`), `!invalidPath`, ""},
			{``, op("replace", `name[givenName eq "x"].familyName`, `"x"`), `!invalidPath`, ""},
			{mail, op("replace", `emails[type eq "work"].nothing`, `"x"`), `!invalidPath`, ""},
			{``, op("replace", "title title", `"x"`), `!invalidPath`, ""},
			{mail, op("replace", `emails[type eq work].value`, `"x"`), `!invalidFilter`, ""},
			{mail, op("replace", `emails[type eq "work].value`, `"x"`), `!invalidFilter`, ""},
			{mail, op("remove", `emails[]`, ``), `!invalidFilter`, ""},
			{mail, op("remove", `emails[primary gt true]`, ``), `!invalidFilter`, ""},
			{``, op("replace", "id", `"x"`), `!mutability`, ""},
			{``, op("replace", "meta.created", `"2020-01-01T00:00:00Z"`), `!mutability`, ""},
			{``, op("add", "groups", `[{"value":"{{g1}}"}]`), `!mutability`, ""},
			{``, op("replace", "{{E}}:manager.displayName", `"x"`), `!mutability`, ""},
			{``, op("replace", "", `{"id":"another"}`), `!mutability`, ""},
			{``, op("remove", "userName", ``), `!mutability`, ""},
			{``, op("replace", "userName", `null`), `!mutability`, ""},
			{``, op("copy", "title", `"x"`), `!invalidSyntax`, ""},
			{``, `{"path":"title","value":"x"}`, `!invalidSyntax`, ""},
			{``, `"x"`, `!invalidSyntax`, ""},
			{``, ``, `!invalidSyntax`, ""},
			{`"title":"T"`, op("replace", "title", `"U"`) + "," + op("remove", "nothing", ``), `!invalidPath`, ""},
			// and what it takes all the same
			{``, op("Replace", "ACTIVE", `"False"`), `"active":false`, "opCase coerceBool"},
			{``, op("add", `emails[type eq "work"].value`, `"w@x"`), mail, ""},
			{``, op("replace", "", `{"name.givenName":"G","{{E}}:department":"D"}`), `"name":{"givenName":"G"},"{{E}}":{"department":"D"}`, "dottedKeys"},
			{mail, op("remove", `emails[type eq "home"]`, ``), ``, ""},
		})
		c.groups([]groupCase{
			{`u1`, op("add", "members", `["{{u2}}"]`), `!invalidValue`, ""},
			{`u1`, op("add", "members", `[{"display":"x"}]`), `!invalidValue`, ""},
			{`u1`, op("remove", "", `{"members":[{"value":"{{u1}}"}]}`), `!noTarget`, ""},
			{`u1`, op("replace", `members[value eq "{{u1}}"].value`, `"{{u2}}"`), `!mutability`, ""},
			{`u1`, op("replace", `members[display eq "nobody"]`, `{"value":"{{u2}}"}`), `!noTarget`, ""},
			{`u1`, op("remove", "displayName", ``), `!mutability`, ""},
			{`u1 u2`, op("remove", "members", `[{"value":"{{u1}}"}]`), `u2`, "removeByValue"},
			{`u1 u2`, op("replace", "members", `[]`), ``, ""},
		})
		c.exchanges([]exchange{
			{`GET /Users?filter=externalId+eq+jyoung`, "", 400, `"scimType":"invalidFilter"`, ""},
			{`GET /Users?filter=userName+sw+O`, "", 400, `"scimType":"invalidFilter"`, ""},
			{`GET /Users?filter=active+gt+false`, "", 400, `"scimType":"invalidFilter"`, ""},
			{`GET /Users?filter=userName+eq+"x"+xor+title+pr`, "", 400, `"scimType":"invalidFilter"`, ""},
			{`GET /Users?filter=userName+regex+"x"`, "", 400, `"scimType":"invalidFilter"`, ""},
			{`GET /Users?filter=`, "", 200, ``, ""},
			{`GET /Users?filter=emails[type+eq+"work"].value+eq+"x"`, "", 200, `"totalResults":0`, "valuePathCompare"},
			{"POST /Users > a", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"s@x.example"}`, 201, "", ""},
			{"POST /Users", `{"userName":"S@X.example"}`, 409, `"scimType":"uniqueness"`, ""},
			{"POST /Users", `{"userName":"t@x.example","{{E}}":{"manager":"271"}}`, 400, `"scimType":"invalidValue"`, ""},
			{"POST /Users", `{"userName":71}`, 400, `"scimType":"invalidValue"`, ""},
			{"POST /Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"userName":"t@x.example"}`, 400, `"scimType":"invalidValue"`, ""},
			{"POST /Users", `{"userName":"t@x.example","userName":"u@x.example"}`, 400, `"scimType":"invalidSyntax"`, ""},
			{"POST /Users", `{"userName":"t@x.example",}`, 400, `"scimType":"invalidSyntax"`, ""},
			{"POST /Groups > g", `{"displayName":"inner"}`, 201, ``, ""}, // a name is Entra's key alone
			{"PATCH /Users/{{a}}", ops(op("replace", "userName", `"member1@X.example"`)), 409, `"scimType":"uniqueness"`, ""},
		})
	})
}

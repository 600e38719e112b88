package scim_test

import (
	"fmt"
	"strings"
	"testing"
)

// Okta: okta-developer-docs docs/reference/scim/scim-20, the SPEC tests of 2016
// and 2024, the App Integration Wizard (AIW) and the catalogue (OIN).

func TestOktaExchanges(t *testing.T) {
	eachVendor(t, "okta", func(c *vendor) {
		none := `"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":0,"Resources":[],"startIndex":1,"itemsPerPage":"<number>"`
		c.exchanges([]exchange{
			// the test of credentials, and whether a user exists
			{"GET /Users?startIndex=1&count=2", "", 200, `"totalResults":4,"startIndex":1,"itemsPerPage":2,"Resources":[{"id":"<string>"},{"id":"<string>"}]`, ""},
			{"GET /Users?count=1&startIndex=1", "", 200, `"totalResults":4,"startIndex":1,"itemsPerPage":1,"Resources":[{"userName":"<string>","id":"<string>","active":"<boolean>"}]`, ""},
			{"GET /Users?startIndex=3&count=100", "", 200, `"totalResults":4,"startIndex":3,"itemsPerPage":2`, ""},
			{"GET /Groups?startIndex=1&count=100", "", 200, `"totalResults":1`, ""},
			{"GET /Users?filter=userName%20eq%20%22test.user%40okta.local%22&startIndex=1&count=100", "", 200, none, ""},
			{
				"POST /Users > a", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"test.user@okta.local","name":{"givenName":"Test","familyName":"User"},
				"emails":[{"primary":true,"value":"test.user@okta.local","type":"work"}],"displayName":"Test User","locale":"en-US","externalId":"00ujl29u0le5T6Aj10h7","groups":[],"password":"1mz050nq","active":true}`,
				201, `"id":"<string>","schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"test.user@okta.local","name":{"givenName":"Test","familyName":"User"},
				"emails":[{"primary":true,"value":"test.user@okta.local","type":"work"}],"locale":"en-US","externalId":"00ujl29u0le5T6Aj10h7","active":true,"password":null,"groups":null,
				"meta":{"resourceType":"User","location":"<string>"}`, "",
			},
			{
				"POST /Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"test.user@okta.local","password":"1mz050nq"}`, 409,
				`"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"409","scimType":"uniqueness","detail":"<string>"`, "",
			},
			{"GET /Users?filter=userName%20eq%20%22TEST.User%40okta.local%22&startIndex=1&count=100", "", 200, `"totalResults":1,"Resources":[{"id":"{{a}}","userName":"test.user@okta.local"}]`, ""},
			{"GET /Users?filter=BARE", "", 400, `"scimType":"invalidFilter"`, ""},
			{"GET /Users?filter=userName%20eq%20bare", "", 400, `"scimType":"invalidFilter"`, ""},
			// OIN: PATCH without a path
			{"PATCH /Users/{{a}}", ops(`{"op":"replace","value":{"active":false}}`), 200, `"id":"{{a}}","active":false,"userName":"test.user@okta.local"`, ""},
			{"GET /Users/{{a}}", "", 200, `"active":false`, ""},
			{"PATCH /Users/{{a}}", ops(`{"op":"replace","value":{"password":"n3wPassw0rd!"}}`), 200, `"active":false,"password":null`, ""},
			{"PATCH /Users/{{a}}", ops(`{"op":"replace","value":{"active":true,"password":"1mz050nq"}}`), 200, `"active":true`, ""},
			{"PATCH /Users/{{a}}", ops(`{"op":"replace","value":{"id":"{{a}}","nickName":"T","groups":[],"meta":{"location":"x"}}}`), 200, `"nickName":"T","id":"{{a}}"`, "ignoreReadOnly"},
			// AIW: PUT of what GET told, without active, without externalId
			{
				"PUT /Users/{{a}}", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"{{a}}","userName":"test.user@okta.local","name":{"givenName":"Another","middleName":"Excited","familyName":"User"},
				"emails":[{"primary":true,"value":"test.user@okta.local","type":"work","display":"test.user@okta.local"}],"groups":[],"meta":{"resourceType":"User","version":"x"}}`,
				200, `"id":"{{a}}","name":{"givenName":"Another","middleName":"Excited"},"active":true,"externalId":"00ujl29u0le5T6Aj10h7","displayName":null,"locale":null,"nickName":null`, "keepActive keepExternalId",
			},
			{"PATCH /Users/{{a}}", ops(`{"op":"replace","value":{"active":false}}`), 200, `"active":false`, ""},
			{"PUT /Users/{{a}}", `{"userName":"test.user@okta.local","active":null}`, 200, `"active":false,"name":null,"emails":null`, "keepActive"},
			{"PUT /Users/{{a}}", `{"id":"another","userName":"test.user@okta.local","active":true,"groups":[{"value":"x"}]}`, 200, `"active":true,"id":"{{a}}"`, ""},
			{"PUT /Users/{{a}}", `{"id":"{{a}}","userName":"member1@x.example"}`, 409, `"scimType":"uniqueness"`, ""},
			{"PUT /Users/{{a}}", `{"id":"{{a}}","displayName":"no name"}`, 400, `"scimType":"invalidValue"`, ""},
			{"PUT /Users/nobody", `{"userName":"x"}`, 404, ``, ""},
			// group push
			{"POST /Groups > g", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Test SCIMv2","members":[]}`, 201, `"id":"<string>","displayName":"Test SCIMv2","members":null,"meta":{"resourceType":"Group","location":"<string>"}`, ""},
			{"POST /Groups > h", `{"displayName":"With members","members":[{"value":"{{u1}}","display":"one"},{"value":"{{u2}}"}]}`, 201, `"members":"<list>"`, ""},
			{"GET /Groups/{{g}}", "", 200, `"displayName":"Test SCIMv2"`, ""},
			{`GET /Groups?filter=displayName%20eq%20%22Test%20SCIMv2%22&startIndex=1&count=100`, "", 200, `"totalResults":1,"Resources":[{"id":"{{g}}"}]`, ""},
			{"PUT /Groups/{{g}}", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"id":"{{g}}","displayName":"Renamed","members":[{"value":"{{u1}}","display":"one"}]}`, 200, `"displayName":"Renamed","members":[{"value":"{{u1}}"}]`, ""},
			{"PUT /Groups/{{g}}", `{"id":"{{g}}","displayName":"Renamed","members":[{"value":"{{u2}}"}]}`, 200, `"members":[{"value":"{{u2}}"}]`, ""},
			{"PUT /Groups/{{g}}", `{"id":"{{g}}","displayName":"Again"}`, 200, `"displayName":"Again","members":[{"value":"{{u2}}"}]`, ""}, // langwatch#7131
			{"PUT /Groups/{{g}}", `{"id":"{{g}}","displayName":"Again","members":[]}`, 200, `"members":null`, ""},
			{"DELETE /Groups/{{g}}", "", 204, "", ""},
			{"GET /Groups/{{g}}", "", 404, "", ""},
			// SPEC tests
			{"POST /ServiceProviderConfig", "test", 405, `"status":"405"`, ""},
			{"POST /ServiceProviderConfigs", "test", 405, `"status":"405"`, ""},
			{"POST /ResourceTypes", "test", 405, `"status":"405"`, ""},
			{"POST /Schemas", "test", 405, `"status":"405"`, ""},
			{"PUT /Schemas", "test", 405, `"status":"405"`, ""},
			{"GET /ServiceProviderConfig", "", 200, `"patch":{"supported":true},"bulk":{"supported":"<boolean>","maxOperations":"<number>","maxPayloadSize":"<number>"},"filter":{"supported":true,"maxResults":"<number>"},"changePassword":{"supported":"<boolean>"},"sort":{"supported":"<boolean>"},"etag":{"supported":"<boolean>"}`, ""},
			{"GET /Users/010101001010101011001010101011", "", 404, `"status":"404","schemas":["urn:ietf:params:scim:api:messages:2.0:Error"]`, ""},
			{"POST /Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"]}`, 400, `"status":"400"`, ""},
		})
	})
}

// A PUT of exactly what GET answered changes nothing.
func TestOktaEchoesGET(t *testing.T) {
	eachVendor(t, "okta rfc", func(c *vendor) {
		id := c.must(201, "POST", "/Users", c.vars.text(`{"userName":"echo@x.example","name":{"givenName":"E"},"emails":[{"value":"e@x","type":"work","primary":true}],"roles":[{"value":"r"}],
			"externalId":"00u","{{E}}":{"department":"D","manager":{"value":"{{u1}}"}}}`)).id()
		c.must(201, "POST", "/Groups", map[string]any{"displayName": "G", "members": members(id)})
		before := c.must(200, "GET", "/Users/"+id, nil)
		after := c.must(200, "PUT", "/Users/"+id, before.doc)
		if at := differs("$", after.doc, before.doc); at != "" || after.header.Get("ETag") != before.header.Get("ETag") {
			c.t.Errorf("%s: %v", at, after)
		}
		if a := c.must(200, "GET", "/Users/"+id, nil); string(a.raw) != string(before.raw) {
			c.t.Errorf("%s\nbecame %s", before.raw, a.raw)
		}
	})
}

func TestOktaContentTypes(t *testing.T) {
	eachVendor(t, "okta", func(c *vendor) {
		agent := "Okta SCIM Client 1.0.0"
		for i, contentType := range []*string{nil, ptr("application/json"), ptr("application/json; charset=utf-8"), ptr("application/scim+json"), ptr("application/scim+json;charset=utf-8"), ptr("")} {
			a := c.send(t.Context(), "POST", "/Users", map[string]*string{"Content-Type": contentType, "User-Agent": &agent, "Accept": ptr("*/*")}, encode(c.t, user(fmt.Sprintf("ct%d@x.example", i))))
			if a.status != 201 || a.header.Get("Content-Type") != "application/scim+json" || len(a.raw) == 0 || !strings.HasSuffix(a.header.Get("Location"), "/Users/"+a.id()) {
				c.t.Errorf("content type %d: %v %v", i, a, a.header)
			}
		}
	})
}

func TestOktaGroupPush(t *testing.T) {
	eachVendor(t, "okta", func(c *vendor) {
		c.groups([]groupCase{
			{`u1 u2`, `{"op":"replace","value":{"id":"{{id}}","displayName":"Test SCIMv2 {{id}}"}}`, `u1 u2`, "ignoreReadOnly"}, // langwatch#7131, PostHog#47336
			{`u1 u2`, `{"op":"replace","value":{"id":"another","displayName":"Test SCIMv2 {{id}}"}}`, `u1 u2`, "ignoreReadOnly"},
			{`u1 u2`, op("remove", `members[value eq "{{u1}}"]`, ``) + `,{"op":"add","path":"members","value":[{"value":"{{u3}}","display":"test.user@okta.local"}]}`, `u2 u3`, ""},
			{`u1`, `{"op":"replace","value":{"id":"{{id}}","displayName":"N {{id}}"}},` + op("add", "members", `[{"value":"{{u2}}"}]`), `u1 u2`, ""},
			{`u1 u2`, op("replace", "members", `[{"value":"{{u3}}","display":"x"},{"value":"{{u4}}","display":"y"}]`), `u3 u4`, ""},
			{`u1 u2`, op("replace", "members", `[{"value":"{{u1}}"},{"value":"{{u2}}"}]`), `u1 u2`, ""},
			{`u1 u2`, op("replace", "members", `[]`), ``, ""},                                                                                                   // SCIM-SDK#757
			{``, op("replace", "members", `[]`), ``, ""},                                                                                                        //
			{`u1 u2`, `{"op":"replace","value":{"members":[{"value":"{{u3}}"}]}}`, `u3`, ""},                                                                    // Tealium
			{`u1 u2`, `{"op":"replace","value":{"members":[]}}`, ``, ""},                                                                                        //
			{`u1`, `{"op":"add","value":{"members":[{"value":"{{u3}}"}]}}`, `u1 u3`, ""},                                                                        //
			{`u1 u2`, op("remove", "", `{"members":[{"value":"{{u1}}"}]}`), `u2`, "removePathless"},                                                             // Salesforce, elimity#148
			{`u1`, op("add", "members", `[{"value":"nobody"}]`), `!invalidValue`, ""},                                                                           //
			{`u1`, op("remove", "", ``), `!noTarget`, ""},                                                                                                       //
			{`u1 u2`, op("remove", `members[value eq "{{u1}}"`, ``), `!invalidFilter`, ""},                                                                      //
			{`u1 u2`, op("replace", `members[value eq "{{u1}}"]`, `{"value":"{{u3}}"}`), `u2 u3`, ""},                                                           //
			{`u1`, op("replace", `members[value eq "{{u1}}"].display`, `"x"`), `u1`, "ignoreReadOnly"},                                                          //
			{`u1 g1`, op("remove", `members[value eq "{{g1}}"]`, ``), `u1`, ""},                                                                                 //
			{`u1`, op("remove", "members", `[{"value":"{{u1}}","display":"x"}]`), ``, "removeByValue"},                                                          //
			{`u1`, op("add", "members", `[{"value":"{{u1}}","type":"Group"}]`), `!invalidValue`, ""},                                                            //
			{`u1`, op("add", "members", `[{"value":"{{id}}"}]`), `!invalidValue`, ""},                                                                           // a group in itself
			{`u1 u2 u3 u4`, strings.Repeat(op("remove", `members[value eq "x"]`, ``)+",", 99) + op("remove", `members[value eq "{{u4}}"]`, ``), `u1 u2 u3`, ""}, // AWS: 100 a request
		})
	})
}

// Import pages of 100 come in one order, whatever is created between them.
func TestOktaImport(t *testing.T) {
	eachVendor(t, "okta", func(c *vendor) {
		c.fill(230, "import")
		seen := map[string]bool{}
		for start := 1; start <= 234; start += 100 {
			a := c.must(200, "GET", fmt.Sprintf("/Users?startIndex=%d&count=100", start), nil)
			list, _ := a.field("Resources").([]any)
			for _, r := range list {
				o, _ := r.(map[string]any)
				seen[fmt.Sprint(o["id"])] = true
			}
			if start == 1 {
				c.must(201, "POST", "/Users", user("between@x.example"))
			}
		}
		if len(seen) != 235 { // 234, and the one that came after the first page
			c.t.Errorf("%d users in three pages", len(seen))
		}
	})
}

package scim_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// step is one request of a flow. {{name}} stands for what an earlier step saved:
// the id of the answer. want maps paths to values as text, "<nil>" for none.
type step struct {
	name, method, path, body string
	status                   int
	save                     string
	want                     map[string]string
}

// flow is a scenario of a published suite, in its order.
type flow struct {
	name, profile, mode string
	steps               []step
}

const (
	userSchemas  = `"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"]`
	groupSchemas = `"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"]`
	patchSchemas = `"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"]`
	inEnterprise = `$['urn:ietf:params:scim:schemas:extension:enterprise:2.0:User']`
)

var flows = []flow{
	{"Microsoft validator: groups", "entra", "hard", []step{
		{"a member", "POST", "/Users", `{` + userSchemas + `,"userName":"m1@x.example","externalId":"m1"}`, 201, "m1", nil},
		{"another", "POST", "/Users", `{` + userSchemas + `,"userName":"m2@x.example","externalId":"m2"}`, 201, "m2", nil},
		{"create a new group", "POST", "/Groups", `{` + groupSchemas + `,"displayName":"Sales","externalId":"0a21f0f2","members":[]}`, 201, "g", map[string]string{"$.displayName": "Sales", "$.externalId": "0a21f0f2", "$.members": "<nil>"}},
		{"post a duplicate group", "POST", "/Groups", `{` + groupSchemas + `,"displayName":"sales","externalId":"0a21f0f3"}`, 409, "", map[string]string{"$.scimType": "uniqueness"}},
		{"get it without members", "GET", "/Groups/{{g}}?excludedAttributes=members", "", 200, "", map[string]string{"$.id": "{{g}}", "$.members": "<nil>"}},
		{"filter for an existing group", "GET", `/Groups?excludedAttributes=members&filter=displayName+eq+"Sales"`, "", 200, "", map[string]string{"$.totalResults": "1", "$.Resources[0].id": "{{g}}"}},
		{"filter for one that does not exist", "GET", `/Groups?filter=displayName+eq+"Nobody"`, "", 200, "", map[string]string{"$.totalResults": "0", "$.Resources": "[]", "$.startIndex": "1"}},
		{"filter in a different case", "GET", `/Groups?filter=DisplayName+EQ+"sALES"`, "", 200, "", map[string]string{"$.totalResults": "1", "$.Resources[0].displayName": "Sales"}},
		{"filter on externalId", "GET", `/Groups?filter=externalId+eq+"0a21f0f2"`, "", 200, "", map[string]string{"$.totalResults": "1"}},
		{"externalId is case exact", "GET", `/Groups?filter=externalId+eq+"0A21F0F2"`, "", 200, "", map[string]string{"$.totalResults": "0"}},
		{"filter on externalId and displayName", "GET", `/Groups?filter=externalId+eq+"0a21f0f2"+and+displayName+eq+"sales"`, "", 200, "", map[string]string{"$.totalResults": "1"}},
		{"replace the attributes", "PATCH", "/Groups/{{g}}", `{` + patchSchemas + `,"Operations":[{"op":"Replace","path":"displayName","value":"Sales 2"},{"op":"Replace","path":"externalId","value":"0b"}]}`, 204, "", nil},
		{"… read back", "GET", "/Groups/{{g}}", "", 200, "", map[string]string{"$.displayName": "Sales 2", "$.externalId": "0b"}},
		{"add a member", "PATCH", "/Groups/{{g}}", `{` + patchSchemas + `,"Operations":[{"op":"Add","path":"members","value":[{"$ref":null,"value":"{{m1}}"}]}]}`, 204, "", nil},
		{"add the same and another", "PATCH", "/Groups/{{g}}", `{` + patchSchemas + `,"Operations":[{"op":"Add","path":"members","value":[{"value":"{{m1}}"},{"value":"{{m2}}"}]}]}`, 204, "", nil},
		{"… read back", "GET", "/Groups/{{g}}", "", 200, "", map[string]string{"$.members[?value={{m1}}].type": "User", "$.members[1].type": "User", "$.members[2]": "<nil>"}},
		{"filter on a member", "GET", `/Groups?filter=id+eq+"{{g}}"+and+members+eq+"{{m1}}"&attributes=id`, "", 200, "", map[string]string{"$.totalResults": "1", "$.Resources[0].id": "{{g}}"}},
		{"remove one member", "PATCH", "/Groups/{{g}}", `{` + patchSchemas + `,"Operations":[{"op":"Remove","path":"members","value":[{"value":"{{m1}}"}]}]}`, 204, "", nil},
		{"remove one that is no member", "PATCH", "/Groups/{{g}}", `{` + patchSchemas + `,"Operations":[{"op":"Remove","path":"members[value eq \"{{m1}}\"]"}]}`, 204, "", nil},
		{"… read back", "GET", "/Groups/{{g}}", "", 200, "", map[string]string{"$.members[0].value": "{{m2}}", "$.members[1]": "<nil>"}},
		{"the user knows", "GET", "/Users/{{m2}}", "", 200, "", map[string]string{"$.groups[0].value": "{{g}}", "$.groups[0].display": "Sales 2"}},
		{"the other does not", "GET", "/Users/{{m1}}", "", 200, "", map[string]string{"$.groups": "<nil>"}},
		{"delete the group", "DELETE", "/Groups/{{g}}", "", 204, "", nil},
		{"delete it twice", "DELETE", "/Groups/{{g}}", "", 404, "", nil},
		{"get it", "GET", "/Groups/{{g}}", "", 404, "", map[string]string{"$.status": "404"}},
		{"patch it", "PATCH", "/Groups/{{g}}", `{` + patchSchemas + `,"Operations":[{"op":"Replace","path":"displayName","value":"x"}]}`, 404, "", nil},
		{"its name is free", "POST", "/Groups", `{` + groupSchemas + `,"displayName":"Sales 2","externalId":"0b"}`, 201, "", nil},
	}},
	{"Microsoft Postman collection", "entra", "hard", []step{
		{"post a user", "POST", "/Users", `{` + userSchemas + `,"userName":"UserName123","active":true,"displayName":"lennay","externalId":"jyoung","name":{"formatted":"Adrienne Mcnally","familyName":"Mcnally","givenName":"Adrienne"},` +
			`"emails":[{"value":"testing@bobsdomain.example","type":"work","primary":true},{"value":"testinghome@bobsdomain.example","type":"home"}]}`, 201, "u1", map[string]string{"$.userName": "UserName123", "$.active": "true"}},
		{"post an empty user", "POST", "/Users", `{` + userSchemas + `}`, 400, "", map[string]string{"$.scimType": "invalidValue"}},
		{
			"post an enterprise user", "POST", "/Users", `{` + userSchemas + `,"userName":"UserName222","externalId":"22","displayName":"OMalley","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"bob","manager":{"value":"SuzzyQ"}}}`, 201, "u2",
			map[string]string{inEnterprise + ".department": "bob", inEnterprise + ".manager.value": "SuzzyQ"},
		},
		{"post a user with a trailing slash", "POST", "/Users/", `{` + userSchemas + `,"userName":"UserName333","externalId":"33","displayName":"Oz","title":"x"}`, 201, "u3", nil},
		{"the same user again", "POST", "/Users", `{` + userSchemas + `,"userName":"username123"}`, 409, "", map[string]string{"$.scimType": "uniqueness"}},
		{"get all", "GET", "/Users", "", 200, "", map[string]string{"$.totalResults": "3", "$.itemsPerPage": "3", "$.startIndex": "1"}},
		{"get one", "GET", "/Users/{{u1}}", "", 200, "", map[string]string{"$.externalId": "jyoung"}},
		{"get attributes", "GET", "/Users?attributes=userName,emails", "", 200, "", map[string]string{"$.Resources[0].userName": "UserName123", "$.Resources[0].emails[0].type": "work", "$.Resources[0].displayName": "<nil>"}},
		{"filter externalId without quotes", "GET", "/Users?filter=externalId eq jyoung", "", 200, "", map[string]string{"$.totalResults": "1"}},
		{"filter sw", "GET", `/Users?filter=displayName sw "O"`, "", 200, "", map[string]string{"$.totalResults": "2"}},
		{"filter and", "GET", `/Users?filter=externalId eq "22" and displayName eq "omalley"`, "", 200, "", map[string]string{"$.totalResults": "1"}},
		{"filter or", "GET", `/Users?filter=externalId eq "22" or externalId eq "33"`, "", 200, "", map[string]string{"$.totalResults": "2"}},
		{"filter ne", "GET", `/Users?filter=displayName ne "OMalley"`, "", 200, "", map[string]string{"$.totalResults": "2"}},
		{"filter gt on a date", "GET", `/Users?filter=meta.created gt "2015-10-10T14:38:21.8617979-07:00"`, "", 200, "", map[string]string{"$.totalResults": "3"}},
		{"filter on the enterprise extension", "GET", `/Users?filter=urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq "BOB"`, "", 200, "", map[string]string{"$.totalResults": "1"}},
		{"filter on the manager", "GET", `/Users?filter=urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager eq "SuzzyQ"`, "", 200, "", map[string]string{"$.totalResults": "1"}},
		{"page two", "GET", "/Users?startIndex=2&count=1", "", 200, "", map[string]string{"$.totalResults": "3", "$.itemsPerPage": "1", "$.Resources[0].id": "{{u2}}"}},
		{"patch replace", "PATCH", "/Users/{{u3}}", `{` + patchSchemas + `,"Operations":[{"op":"Replace","path":"userName","value":"ryan3"},{"op":"Add","path":"nickName","value":"Babs"}]}`, 200, "", map[string]string{"$.userName": "ryan3", "$.nickName": "Babs"}},
		{"patch add an email by filter", "PATCH", "/Users/{{u3}}", `{` + patchSchemas + `,"Operations":[{"op":"Add","path":"emails[type eq \"home\"].value","value":"h@x.example"}]}`, 200, "", map[string]string{"$.emails[0].value": "h@x.example", "$.emails[0].type": "home"}},
		{"patch remove", "PATCH", "/Users/{{u3}}", `{` + patchSchemas + `,"Operations":[{"op":"Remove","path":"nickName"},{"op":"Remove","path":"emails[type eq \"home\"]"}]}`, 200, "", map[string]string{"$.nickName": "<nil>", "$.emails": "<nil>"}},
		{"patch a manager", "PATCH", "/Users/{{u3}}", `{` + patchSchemas + `,"Operations":[{"op":"Add","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager","value":"{{u1}}"}]}`, 200, "", map[string]string{inEnterprise + ".manager.value": "{{u1}}"}},
		{"patch without path", "PATCH", "/Users/{{u3}}", `{` + patchSchemas + `,"Operations":[{"op":"Replace","value":{"displayName":"Zoe","active":"False"}}]}`, 200, "", map[string]string{"$.displayName": "Zoe", "$.active": "false"}},
		{"patch with broken JSON", "PATCH", "/Users/{{u3}}", `{` + patchSchemas + `,"Operations":[{"op":"Replace"`, 400, "", map[string]string{"$.scimType": "invalidSyntax"}},
		{"put", "PUT", "/Users/{{u3}}", `{` + userSchemas + `,"id":"{{u3}}","userName":"UserNameReplace2","displayName":"BobIsAmazing","active":true}`, 200, "", map[string]string{"$.displayName": "BobIsAmazing", "$.title": "<nil>", inEnterprise: "<nil>", "$.externalId": "33"}},
		{"an inactive user", "PATCH", "/Users/{{u2}}", `{` + patchSchemas + `,"Operations":[{"op":"Replace","path":"active","value":"False"}]}`, 200, "", map[string]string{"$.active": "false"}},
		{"is found as such", "GET", `/Users?filter=active eq false`, "", 200, "", map[string]string{"$.totalResults": "1", "$.Resources[0].id": "{{u2}}"}},
		{"post a group with members", "POST", "/Groups", `{` + groupSchemas + `,"displayName":"GroupDisplayName1","members":[{"value":"{{u1}}"},{"value":"{{u2}}"}]}`, 201, "g", map[string]string{"$.members[1].type": "User"}},
		{"a group of a group", "POST", "/Groups", `{` + groupSchemas + `,"displayName":"GroupDisplayName2","members":[{"value":"{{g}}","type":"Group"}]}`, 201, "g2", map[string]string{"$.members[0].value": "{{g}}", "$.members[0].type": "Group"}},
		{"replace the members", "PATCH", "/Groups/{{g}}", `{` + patchSchemas + `,"Operations":[{"op":"Replace","path":"members","value":[{"value":"{{u3}}"}]}]}`, 204, "", nil},
		{"read the one", "GET", "/Groups/{{g}}", "", 200, "", map[string]string{"$.members[0].value": "{{u3}}", "$.members[1]": "<nil>"}},
		{"delete users", "DELETE", "/Users/{{u3}}", "", 204, "", nil},
		{"nobody is left", "GET", "/Groups/{{g}}", "", 200, "", map[string]string{"$.members": "<nil>"}},
		{"delete the groups", "DELETE", "/Groups/{{g2}}", "", 204, "", nil},
		{"the other", "DELETE", "/Groups/{{g}}", "", 204, "", nil},
	}},
	{"Microsoft validator: users, the rest", "entra", "hard", []step{
		{"create", "POST", "/Users", `{` + userSchemas + `,"userName":"rest@x.example","externalId":"r1","active":true,"displayName":"Rest","title":"Dr","emails":[{"type":"work","value":"rest@x.example","primary":true}],` +
			`"phoneNumbers":[{"type":"mobile","value":"+1 555 0100"}],"addresses":[{"type":"work","formatted":"1 Main St","locality":"Town"}]}`, 201, "u", nil},
		{"filter email by value path", "GET", `/Users?filter=emails[type eq "work"].value eq "REST@x.example"`, "", 200, "", map[string]string{"$.totalResults": "1"}},
		{"filter phone by value path", "GET", `/Users?filter=phoneNumbers[type eq "mobile"].value eq "+1 555 0100"`, "", 200, "", map[string]string{"$.totalResults": "1"}},
		{"filter address by value path", "GET", `/Users?filter=addresses[type eq "work"].locality eq "town"`, "", 200, "", map[string]string{"$.totalResults": "1"}},
		{"filter a wrong value path", "GET", `/Users?filter=emails[type eq "home"].value eq "rest@x.example"`, "", 200, "", map[string]string{"$.totalResults": "0"}},
		{"disable", "PATCH", "/Users/{{u}}", `{` + patchSchemas + `,"Operations":[{"op":"Replace","path":"active","value":false}]}`, 200, "", map[string]string{"$.active": "false", "$.displayName": "Rest"}},
		{"disable twice", "PATCH", "/Users/{{u}}", `{` + patchSchemas + `,"Operations":[{"op":"Replace","path":"active","value":"false"}]}`, 200, "", map[string]string{"$.active": "false"}},
		{"enable", "PATCH", "/Users/{{u}}", `{` + patchSchemas + `,"Operations":[{"op":"Replace","path":"active","value":"True"}]}`, 200, "", map[string]string{"$.active": "true"}},
		{
			"remove every attribute that was set", "PATCH", "/Users/{{u}}", `{` + patchSchemas + `,"Operations":[{"op":"Remove","path":"title"},{"op":"Remove","path":"displayName"},{"op":"Remove","path":"phoneNumbers[type eq \"mobile\"].value"},{"op":"Remove","path":"addresses[type eq \"work\"].locality"}]}`, 200, "",
			map[string]string{"$.title": "<nil>", "$.displayName": "<nil>", "$.phoneNumbers": "<nil>", "$.addresses[0].formatted": "1 Main St", "$.addresses[0].locality": "<nil>"},
		},
		{"remove them twice", "PATCH", "/Users/{{u}}", `{` + patchSchemas + `,"Operations":[{"op":"Remove","path":"title"},{"op":"Remove","path":"phoneNumbers[type eq \"mobile\"].value"}]}`, 200, "", nil},
		{"a bad one among good ones undoes all", "PATCH", "/Users/{{u}}", `{` + patchSchemas + `,"Operations":[{"op":"Replace","path":"title","value":"Prof"},{"op":"Replace","path":"active","value":"perhaps"}]}`, 400, "", map[string]string{"$.scimType": "invalidValue"}},
		{"… read back", "GET", "/Users/{{u}}", "", 200, "", map[string]string{"$.title": "<nil>", "$.active": "true"}},
		{"take the name of another", "POST", "/Users", `{` + userSchemas + `,"userName":"other@x.example"}`, 201, "o", nil},
		{"by PATCH", "PATCH", "/Users/{{o}}", `{` + patchSchemas + `,"Operations":[{"op":"Replace","path":"userName","value":"Rest@x.example"}]}`, 409, "", map[string]string{"$.scimType": "uniqueness"}},
		{"by PUT", "PUT", "/Users/{{o}}", `{` + userSchemas + `,"userName":"REST@x.example"}`, 409, "", map[string]string{"$.scimType": "uniqueness"}},
		{"change the case of one's own", "PATCH", "/Users/{{u}}", `{` + patchSchemas + `,"Operations":[{"op":"Replace","path":"userName","value":"Rest@X.example"}]}`, 200, "", map[string]string{"$.userName": "Rest@X.example"}},
	}},
	{"Okta SPEC test: optional CRUD", "okta", "soft", []step{
		{
			"create", "POST", "/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"runscope@atko.example","name":{"givenName":"Run","familyName":"Scope"},"emails":[{"primary":true,"value":"runscope@atko.example","type":"work"}],"displayName":"Run Scope","locale":"en-US","externalId":"00u1","groups":[],"password":"1mz050nq","active":true}`, 201, "u",
			map[string]string{"$.active": "true", "$.name.familyName": "Scope", "$.emails[0].primary": "true", "$.password": "<nil>", "$.groups": "<nil>"},
		},
		{
			"by PUT", "PUT", "/Users/{{u}}", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"{{u}}","userName":"runscope@atko.example","name":{"givenName":"Another","familyName":"Name"},"emails":[{"primary":true,"value":"runscope@atko.example","type":"work"}],"active":true,"groups":[],"meta":{"resourceType":"User"}}`, 200, "",
			map[string]string{"$.name.givenName": "Another", "$.id": "{{u}}", "$.displayName": "<nil>"},
		},
		{"an array of one attribute", "PATCH", "/Users/{{u}}", `{` + patchSchemas + `,"Operations":[{"op":"replace","value":{"emails":[{"value":"a@x.example","type":"work","primary":true},{"value":"b@x.example","type":"home"}]}}]}`, 200, "", map[string]string{"$.emails[1].value": "b@x.example"}},
		{"deactivate by PUT", "PUT", "/Users/{{u}}", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"runscope@atko.example","active":false}`, 200, "", map[string]string{"$.active": "false"}},
		{"the inactive stays in lists", "GET", "/Users?startIndex=1&count=100", "", 200, "", map[string]string{"$.totalResults": "1", "$.Resources[0].active": "false"}},
		{"create a group", "POST", "/Groups", `{` + groupSchemas + `,"displayName":"Test SCIMv2","members":[]}`, 201, "g", nil},
		{"groups list", "GET", "/Groups?count=100&startIndex=1", "", 200, "", map[string]string{"$.totalResults": "1", "$.Resources[0].displayName": "Test SCIMv2"}},
		{"filter groups", "GET", `/Groups?filter=displayName eq "test scimv2"`, "", 200, "", map[string]string{"$.Resources[0].id": "{{g}}"}},
		{"by PUT with a member", "PUT", "/Groups/{{g}}", `{` + groupSchemas + `,"id":"{{g}}","displayName":"Test SCIMv2 b","members":[{"value":"{{u}}","display":"runscope@atko.example"}]}`, 200, "", map[string]string{"$.displayName": "Test SCIMv2 b", "$.members[0].value": "{{u}}"}},
		{"a member that is nobody", "PATCH", "/Groups/{{g}}", `{` + patchSchemas + `,"Operations":[{"op":"add","path":"members","value":[{"value":"00u-nobody"}]}]}`, 400, "", map[string]string{"$.scimType": "invalidValue"}},
		{"remove the member", "PATCH", "/Groups/{{g}}", `{` + patchSchemas + `,"Operations":[{"op":"remove","path":"members[value eq \"{{u}}\"]"}]}`, 204, "", nil},
		{"delete", "DELETE", "/Groups/{{g}}", "", 204, "", nil},
		{"gone", "GET", "/Groups/{{g}}", "", 404, "", map[string]string{"$.schemas[0]": "urn:ietf:params:scim:api:messages:2.0:Error"}},
	}},
}

func TestSuiteFlows(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		for _, f := range flows {
			t.Run(strings.ReplaceAll(f.name, " ", "_"), func(t *testing.T) {
				c := g.connect(g.tenant(f.name), f.profile, f.mode)
				v := variables{}
				for _, s := range f.steps {
					var body any
					if s.body != "" {
						body = v.text(s.body)
					}
					path, query, asks := strings.Cut(v.text(s.path), "?")
					if asks {
						path += "?" + strings.NewReplacer(" ", "%20", `"`, "%22", "[", "%5B", "]", "%5D").Replace(strings.ReplaceAll(query, "+1", "%2B1"))
					}
					a := c.do(s.method, path, body)
					if a.status != s.status {
						t.Errorf("%s (%s %s): %v, want %d", s.name, s.method, path, a, s.status)
						continue
					}
					if s.save != "" {
						v[s.save] = a.id()
					}
					for at, want := range s.want {
						got, _ := lookup(a.doc, v.text(at))
						if fmt.Sprint(got) != v.text(want) {
							t.Errorf("%s (%s %s): %s is %v, want %s", s.name, s.method, path, v.text(at), got, v.text(want))
						}
					}
				}
			})
		}
		if g.failures.Len() > 0 {
			t.Errorf("logged as our fault: %s", g.failures)
		}
	})
}

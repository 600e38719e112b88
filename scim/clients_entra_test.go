package scim_test

import (
	"testing"
)

// Entra ID: entra-docs use-scim-to-provision-users-and-groups, scim-compatibility,
// scim-validator-tutorial.

func TestEntraUserPatches(t *testing.T) {
	eachVendor(t, "entra", func(c *vendor) {
		c.patches([]patchCase{
			// active in every form
			{``, op("Replace", "active", `"False"`), `"active":false`, "coerceBool"},
			{``, op("replace", "active", `"false"`), `"active":false`, "coerceBool"},
			{``, op("REPLACE", "ACTIVE", `"FALSE"`), `"active":false`, "coerceBool opCase"},
			{``, op("Add", "active", `false`), `"active":false`, ""},
			{``, op("Replace", "active", `"True"`), ``, "coerceBool"},
			{``, op("replace", "", `{"active":"False"}`), `"active":false`, "coerceBool"},
			{``, op("Replace", "urn:ietf:params:scim:schemas:core:2.0:User:active", `"False"`), `"active":false`, "coerceBool"},
			{``, op("Replace", "active", `[{"$ref":null,"value":"False"}]`), `"active":false`, "coerceBool objectToScalar"},
			{``, op("Replace", "active", `"perhaps"`), `!invalidValue`, ""},
			// the form of AzureAdScimPatch2017: azure-docs#42220
			{`"displayName":"A"`, op("Replace", "displayName", `[{"$ref":null,"value":"User X"}]`), `"displayName":"User X"`, "objectToScalar listToSingle"},
			{``, op("Add", "name.givenName", `[{"$ref":null,"value":"G"}]`), `"name":{"givenName":"G"}`, "objectToScalar"},
			{``, op("Add", `emails[type eq "work"].value`, `[{"$ref":null,"value":"w@x"}]`), `"emails":[{"type":"work","value":"w@x"}]`, "objectToScalar"},
			{``, op("Add", "{{E}}:department", `[{"$ref":null,"value":"D"}]`), `"{{E}}":{"department":"D"}`, "objectToScalar"},
			// an element that is not there, then more of the same element
			{
				``, op("Add", `emails[type eq "work"].value`, `"w@x"`) + "," + op("Add", `emails[type eq "work"].primary`, `true`),
				`"emails":[{"type":"work","value":"w@x","primary":true}]`, "upsertOnFilter",
			},
			{
				``, op("Add", `emails[type eq "work"].primary`, `"True"`) + "," + op("Add", `emails[type eq "work"].value`, `"w@x"`),
				`"emails":[{"type":"work","value":"w@x","primary":true}]`, "upsertOnFilter coerceBool",
			},
			{
				`"emails":[{"type":"home","value":"h@x","primary":true}]`,
				op("Add", `emails[type eq "work"].value`, `"w@x"`) + "," + op("Add", `emails[type eq "work"].primary`, `true`),
				`"emails":[{"type":"home","value":"h@x","primary":false},{"type":"work","value":"w@x","primary":true}]`, "",
			},
			{`"emails":[{"type":"work","value":"w@x"}]`, op("Add", `emails[type eq "work"].value`, `"n@x"`), `"emails":[{"type":"work","value":"n@x"}]`, ""},
			{`"emails":[{"type":"Work","value":"w@x"}]`, op("Replace", `Emails[Type Eq "WORK"].Value`, `"n@x"`), `"emails":[{"type":"Work","value":"n@x"}]`, ""},
			{``, op("Replace", `emails[type eq "work"].value`, `"w@x"`), `"emails":[{"type":"work","value":"w@x"}]`, "upsertOnFilter"},
			{`"emails":[{"type":"home","value":"h@x"}]`, op("Replace", `emails[type eq "work"].value`, `"w@x"`), `"emails":[{"type":"home","value":"h@x"},{"type":"work","value":"w@x"}]`, "upsertOnFilter"},
			{``, op("Replace", `emails[type eq "work" and primary eq true].value`, `"w@x"`), `"emails":[{"type":"work","primary":true,"value":"w@x"}]`, "upsertOnFilter"},
			{``, op("Replace", `emails[primary eq true].value`, `"w@x"`), `"emails":[{"primary":true,"value":"w@x"}]`, "upsertOnFilter"},
			{``, op("Add", `urn:ietf:params:scim:schemas:core:2.0:User:emails[type eq "work"].value`, `"w@x"`), `"emails":[{"type":"work","value":"w@x"}]`, ""},
			{
				``, op("Add", `addresses[type eq "work"].formatted`, `"F"`) + "," + op("Add", `addresses[type eq "work"].streetAddress`, `"S"`) + "," +
					op("Add", `addresses[type eq "work"].locality`, `"L"`) + "," + op("Add", `addresses[type eq "work"].region`, `"R"`) + "," +
					op("Add", `addresses[type eq "work"].postalCode`, `12345`) + "," + op("Add", `addresses[type eq "work"].country`, `"C"`) + "," +
					op("Add", `addresses[type eq "work"].primary`, `"True"`),
				`"addresses":[{"type":"work","formatted":"F","streetAddress":"S","locality":"L","region":"R","postalCode":"12345","country":"C","primary":true}]`, "upsertOnFilter coerceScalar coerceBool",
			},
			{
				``, op("Add", `phoneNumbers[type eq "mobile"].value`, `"1"`) + "," + op("Add", `phoneNumbers[type eq "work"].value`, `"2"`) + "," + op("Add", `phoneNumbers[type eq "fax"].value`, `3`),
				`"phoneNumbers":[{"type":"mobile","value":"1"},{"type":"work","value":"2"},{"type":"fax","value":"3"}]`, "upsertOnFilter coerceScalar",
			},
			{``, op("Add", `ims[type eq "skype"].value`, `"me"`), `"ims":[{"type":"skype","value":"me"}]`, "upsertOnFilter"},
			{``, op("Replace", `photos[type eq "thumbnail"].value`, `"https://x/p"`), `"photos":[{"type":"thumbnail","value":"https://x/p"}]`, "upsertOnFilter"},
			{``, op("Add", `entitlements[type eq "licence"].value`, `"L"`), `"entitlements":[{"type":"licence","value":"L"}]`, "upsertOnFilter"},
			{``, op("Add", `x509Certificates[type eq "a"].value`, `"TUlJ"`), `"x509Certificates":[{"type":"a","value":"TUlJ"}]`, "upsertOnFilter"},
			{``, op("Add", `emails[type eq "work"].value`, `""`), ``, "emptyUnsets"},
			{`"emails":[{"type":"work","value":"w@x"},{"type":"home","value":"h@x"}]`, op("Replace", `emails[type eq "work"].value`, `""`), `"emails":[{"type":"home","value":"h@x"}]`, "emptyUnsets"},
			{`"emails":[{"type":"work","value":"w@x"},{"type":"home","value":"h@x"}]`, op("Remove", `emails[type eq "work"]`, ``), `"emails":[{"type":"home","value":"h@x"}]`, ""},
			{`"emails":[{"type":"work","value":"w@x"}]`, op("Remove", `emails[type eq "work"].value`, ``), `"emails":null`, ""},
			{`"emails":[{"type":"work","value":"w@x"}]`, op("Remove", `emails[type eq "home"].value`, ``), ``, ""},
			{`"phoneNumbers":[{"type":"work","value":"1","display":"d"}]`, op("Remove", `phoneNumbers[type eq "work"].display`, ``), `"phoneNumbers":[{"type":"work","value":"1"}]`, ""},
			{`"phoneNumbers":[{"type":"work","value":"1"},{"type":"fax","value":"2"}]`, op("Remove", "phoneNumbers", `[{"value":"1"}]`), `"phoneNumbers":[{"type":"fax","value":"2"}]`, "removeByValue"},
			{`"phoneNumbers":[{"type":"work","value":"1"},{"type":"fax","value":"2"}]`, op("Remove", "phoneNumbers", ``), `"phoneNumbers":null`, ""},
			{`"phoneNumbers":[{"type":"work","value":"1"}]`, op("Replace", "phoneNumbers", `[{"type":"fax","value":"3"},{"type":"mobile","value":"4"}]`), `"phoneNumbers":[{"type":"fax","value":"3"},{"type":"mobile","value":"4"}]`, ""},
			{`"phoneNumbers":[{"type":"work","value":"1"}]`, op("Replace", "phoneNumbers", `null`), `"phoneNumbers":null`, ""},
			{``, op("Add", "emails", `"w@x"`), `"emails":[{"value":"w@x"}]`, "stringToComplex singleToList"},
			{`"emails":[{"type":"work","value":"w@x"}]`, op("Replace", `emails[type eq "work"]`, `"n@x"`), `"emails":[{"type":"work","value":"n@x"}]`, ""},
			// roles: SingleAppRoleAssignment, AppRoleAssignmentsComplex
			{``, op("Add", `roles[primary eq "True"].value`, `"R"`), `"roles":[{"primary":true,"value":"R"}]`, "coerceBool upsertOnFilter"},
			{`"roles":[{"primary":"True","value":"R"}]`, op("Replace", `roles[primary eq "True"].value`, `"S"`), `"roles":[{"primary":true,"value":"S"}]`, "coerceBool"},
			{`"roles":[{"primary":"True","value":"R"}]`, op("Replace", `roles[primary eq "true"].display`, `"D"`) + "," + op("Add", `roles[primary eq true].type`, `"T"`), `"roles":[{"primary":true,"value":"R","display":"D","type":"T"}]`, "coerceBool"},
			{`"roles":[{"primary":false,"value":"O"}]`, op("Replace", `roles[primary eq "True"].value`, `"S"`), `"roles":[{"primary":false,"value":"O"},{"primary":true,"value":"S"}]`, ""},
			{``, op("Add", "roles", `[{"value":"{\"id\":\"18d1\",\"value\":\"Admin\",\"displayName\":\"Admin\"}"}]`), `"roles":[{"value":"{\"id\":\"18d1\",\"value\":\"Admin\",\"displayName\":\"Admin\"}"}]`, ""},
			{`"roles":[{"value":"A"}]`, op("Add", "roles", `[{"primary":"False","type":"WindowsAzureActiveDirectoryRole","value":"{\"id\":\"1\"}"},{"primary":"True","value":"{\"id\":\"2\"}"}]`), `"roles":[{"value":"A"},{"primary":false,"type":"WindowsAzureActiveDirectoryRole","value":"{\"id\":\"1\"}"},{"primary":true,"value":"{\"id\":\"2\"}"}]`, "coerceBool"},
			{``, op("Add", "roles", `"R"`), `"roles":[{"value":"R"}]`, "stringToComplex"},
			// what nobody maps does not hold up the rest; what cannot be is refused whole
			{``, op("Replace", "extensionAttribute1", `"x"`) + "," + op("Replace", "title", `"T"`), `"title":"T"`, "ignoreUnknownPath"},
			{``, op("Replace", "department", `"D"`) + "," + op("Add", "manager", `"271"`), `"{{E}}":{"department":"D","manager":{"value":"271"}}`, "bareExtensionNames"},
			{``, op("Add", "urn:ietf:params:scim:schemas:extension:Contoso:2.0:User:tag", `"x"`) + "," + op("Add", "title", `"T"`), `"title":"T"`, "ignoreUnknownPath"},
			{``, op("Replace", "", `{"nothing":{"a":1},"title":"T"}`), `"title":"T"`, "ignoreUnknownPath"},
			{``, op("Replace", "title", `"T"`) + "," + op("Replace", "active", `"never"`), `!invalidValue`, ""},
			{``, op("Replace", "title", `"T"`) + "," + op("Replace", "userName", `""`), `!mutability`, ""},
			{``, op("Replace", "title", `"T"`) + "," + op("Move", "title", `"U"`), `!invalidSyntax`, ""},
			{``, op("Replace", "title", `"T"`) + "," + op("Replace", `emails[type eq "work`, `"U"`), `!invalidFilter`, ""},
			{``, op("Replace", "title", `"T"`) + "," + op("Replace", `emails[type co "w"].value`, `"U"`), `!noTarget`, ""},
			{`"title":"T"`, op("Replace", "title", `""`), `"title":""`, ""},
			{`"title":"T"`, op("Replace", "title", `null`), `"title":null`, ""},
			{`"title":"T"`, op("Remove", "TITLE", ``), `"title":null`, ""},
			{`"title":"T"`, op("Remove", "title", `"T"`), `"title":null`, ""},
			{``, op("Add", "title", `701984`), `"title":"701984"`, "coerceScalar"},
			{``, op("Replace", "externalId", `"e9"`), `"externalId":"e9"`, ""},
			{``, op("Replace", "userName", `"renamed@x.example"`), `"userName":"renamed@x.example"`, ""},
			{`"title":"T"`, ``, ``, "emptyOps"},
			// later operations build on earlier ones
			{
				`"displayName":"A"`, op("Remove", "displayName", ``) + "," + op("Add", "displayName", `"B"`) + "," + op("Replace", "displayName", `"C"`), `"displayName":"C"`, "",
			},
			{
				`"emails":[{"type":"work","value":"w@x"}]`, op("Remove", `emails[type eq "work"]`, ``) + "," + op("Add", `emails[type eq "work"].value`, `"n@x"`), `"emails":[{"type":"work","value":"n@x"}]`, "",
			},
		})
	})
}

func TestEntraNamesAndExtensions(t *testing.T) {
	eachVendor(t, "entra", func(c *vendor) {
		managed := `"{{E}}":{"manager":{"value":"271"}}`
		both := `"{{E}}":{"department":"D","manager":{"value":"271","$ref":"../Users/271"}}`
		cases := []patchCase{
			// the prefix of the core schema: zulip#39773
			{``, op("Replace", "urn:ietf:params:scim:schemas:core:2.0:User:title", `"T"`), `"title":"T"`, ""},
			{``, op("Add", "urn:ietf:params:scim:schemas:core:2.0:User:name.givenName", `"G"`), `"name":{"givenName":"G"}`, ""},
			{`"name":{"givenName":"G","familyName":"F"}`, op("Remove", "URN:IETF:params:scim:schemas:core:2.0:User:Name.GivenName", ``), `"name":{"familyName":"F"}`, ""},
			{``, op("Replace", "", `{"urn:ietf:params:scim:schemas:core:2.0:User:title":"T","urn:ietf:params:scim:schemas:core:2.0:User:name.familyName":"F"}`), `"title":"T","name":{"familyName":"F"}`, "dottedKeys"},
			{``, op("Replace", "", `{"urn:ietf:params:scim:schemas:core:2.0:User":{"title":"T","name":{"familyName":"F"}}}`), `"title":"T","name":{"familyName":"F"}`, ""},
			// aadOptscim062020: pingidentity/scim2#224, scim-for-keycloak#26, scim-patch#207
			{
				`"name":{"givenName":"A","middleName":"M"},"{{E}}":{"costCenter":"C"}`,
				op("replace", "", `{"displayName":"D","name.givenName":"B","name.familyName":"F","{{E}}:employeeNumber":"7","{{E}}:Department":"X"}`),
				`"displayName":"D","name":{"givenName":"B","middleName":"M","familyName":"F"},"{{E}}":{"costCenter":"C","employeeNumber":"7","department":"X"}`, "dottedKeys",
			},
			{``, op("add", "", `{"name.givenName":"B","name":{"familyName":"F"}}`), `"name":{"givenName":"B","familyName":"F"}`, "dottedKeys"},
			{``, op("add", "", `{"NAME.GIVENNAME":"B"}`), `"name":{"givenName":"B"}`, "dottedKeys"},
			{``, op("add", "", `{"emails[type eq \"work\"].value":"w@x","emails[type eq \"work\"].primary":"True","addresses[type eq \"work\"].locality":"L"}`), `"emails":[{"type":"work","value":"w@x","primary":true}],"addresses":[{"type":"work","locality":"L"}]`, "dottedKeys upsertOnFilter"},
			{`"name":{"givenName":"A","familyName":"F"}`, op("replace", "", `{"name":{"givenName":"B"},"emails":[{"value":"w@x","type":"work"}]}`), `"name":{"givenName":"B","familyName":"F"},"emails":[{"value":"w@x","type":"work"}]`, ""},
			{both, op("add", "", `{"{{E}}":{"division":"V"},"title":"T"}`), `"title":"T","{{E}}":{"department":"D","division":"V","manager":{"value":"271","$ref":"../Users/271"}}`, ""},
			{`"name":{"givenName":"A","familyName":"F"}`, op("replace", "", `{"name.givenName":null}`), `"name":{"familyName":"F"}`, "dottedKeys"},
			{``, op("replace", "", `{"name.nothing":"x","{{E}}:nothing":"y","urn:x:y:z":1,"title":"T"}`), `"title":"T"`, "ignoreUnknownPath"},
			// extension attributes by path: scimmy#77, scimgateway#124
			{``, op("Replace", "{{E}}:organization", `"O"`), `"{{E}}":{"organization":"O"}`, ""},
			{both, op("Remove", "{{E}}:department", ``), `"{{E}}":{"manager":{"value":"271","$ref":"../Users/271"}}`, ""},
			{both, op("Remove", "{{E}}", ``), `"{{E}}":null`, ""},
			{both, op("Replace", "{{E}}", `{"department":"N"}`), `"{{E}}":{"department":"N","manager":{"value":"271","$ref":"../Users/271"}}`, ""},
			{``, op("Add", "{{E}}:employeeNumber", `701984`), `"{{E}}":{"employeeNumber":"701984"}`, "coerceScalar"},
			{`"{{E}}":{"department":"D"}`, op("Replace", "{{E}}:department", `null`), `"{{E}}":null`, ""},
			// manager: directory-scimple#1242 #1244, azure-docs#11784, tutorial
			{``, op("Add", "{{E}}:manager", `[{"$ref":"{{base}}/Users/271","value":"271"}]`), `"{{E}}":{"manager":{"value":"271","$ref":"{{base}}/Users/271"}}`, "listToSingle"},
			{``, op("Add", "{{E}}:manager.value", `"271"`), managed, ""},
			{both, op("Replace", "{{E}}:manager", `"300"`), `"{{E}}":{"department":"D","manager":{"value":"300"}}`, "stringToComplex"},
			{both, op("Replace", "{{E}}:manager", `{"$ref":"../Users/300","value":"300"}`), `"{{E}}":{"department":"D","manager":{"value":"300","$ref":"../Users/300"}}`, ""},
			{managed, op("Replace", "{{E}}:manager.displayName", `"Boss"`), ``, "ignoreReadOnly"},
			{``, op("replace", "", `{"{{E}}:manager":"271"}`), managed, "stringToComplex dottedKeys"},
			{``, op("replace", "", `{"{{E}}":{"manager":{"value":"271"}}}`), managed, ""},
			{``, op("replace", "", `{"{{E}}":{"manager":"271"}}`), managed, "stringToComplex"},
			{managed, op("replace", "", `{"{{E}}:manager":""}`), `"{{E}}":null`, "emptyUnsets"},
		}
		for _, v := range []string{`"271"`, `271`, `{"value":"271"}`, `{"value":271}`, `["271"]`, `[{"value":"271"}]`, `{"value":"271","displayName":"Boss"}`} {
			cases = append(
				cases, patchCase{``, op("Add", "{{E}}:manager", v), managed, ""}, patchCase{managed, op("Replace", "{{E}}:manager", v), ``, ""},
				patchCase{`"{{E}}":{"manager":{"value":"1"}}`, op("Replace", "{{E}}:MANAGER", v), managed, ""},
			)
		}
		for _, v := range []string{`{"value":""}`, `""`, `null`, `[]`, `{"value":null}`, `[{"value":""}]`, `[""]`} {
			cases = append(cases, patchCase{both, op("Replace", "{{E}}:manager", v), `"{{E}}":{"department":"D"}`, ""}, patchCase{``, op("Replace", "{{E}}:manager", v), ``, ""})
		}
		cases = append(cases, patchCase{managed, op("Remove", "{{E}}:manager", ``), `"{{E}}":null`, ""}, patchCase{managed, op("Remove", "{{E}}:manager", `"271"`), `"{{E}}":null`, ""})
		c.patches(cases)
	})
}

func TestEntraGroups(t *testing.T) {
	eachVendor(t, "entra", func(c *vendor) {
		c.groups([]groupCase{
			{``, op("Add", "members", `[{"$ref":null,"value":"{{u1}}"}]`), `u1`, ""},
			{`u1`, op("Add", "Members", `[{"value":"{{u2}}"},{"value":"{{u3}}"},{"value":"{{u2}}"}]`), `u1 u2 u3`, ""},
			{`u1`, op("add", "members", `{"value":"{{u2}}"}`), `u1 u2`, "singleToList"},
			{`u1`, op("add", "members", `"{{u2}}"`), `u1 u2`, "stringToComplex"},
			{`u1`, op("add", "members", `["{{u2}}","{{u3}}"]`), `u1 u2 u3`, "stringToComplex"},
			{`u1`, op("add", "members", `[{"$ref":"https://x.example/scim/v2/Users/{{u2}}"}]`), `u1 u2`, "refAsValue"},
			{`u1`, op("add", "members", `[{"$ref":"https://x.example/scim/v2/Users/{{u2}}/","value":null}]`), `u1 u2`, "refAsValue"},
			{`u1`, op("add", "members", `[{"display":"Somebody"}]`), `!invalidValue`, ""},
			{`u1 u2`, op("add", "urn:ietf:params:scim:schemas:core:2.0:Group:members", `[{"value":"{{g1}}"}]`), `u1 u2 g1`, ""},
			{`u1`, op("Add", "", `{"members":[{"value":"{{u2}}"}]}`), `u1 u2`, ""},
			// the flag is off: azure-docs#30826, SCIMReferenceCode#10, SimpleIdServer#164, directory-scimple#436
			{`u1 u2 u3`, op("Remove", "members", `[{"value":"{{u1}}"}]`), `u2 u3`, "removeByValue opCase"},
			{`u1 u2 u3`, op("Remove", "members", `[{"$ref":null,"value":"{{u1}}"},{"$ref":null,"value":"{{u2}}"}]`), `u3`, "removeByValue"},
			{`u1 u2`, op("Remove", "members", `{"value":"{{u1}}"}`), `u2`, "removeByValue"},
			{`u1 u2`, op("Remove", "members", `"{{u1}}"`), `u2`, "removeByValue"},
			{`u1 u2`, op("Remove", "members", `[{"value":"{{u3}}"}]`), `u1 u2`, ""},
			{`u1 u2`, op("Remove", "members", `[{"value":"nobody"}]`), `u1 u2`, ""},
			{`u1 u2`, op("Remove", "members", `[]`), `u1 u2`, ""},
			{`u1 u2`, op("Remove", "members", ``), ``, ""},
			{`u1 u2`, op("Remove", "members", `null`), ``, ""},
			{`u1 u2`, op("Remove", "", `{"members":[{"value":"{{u1}}"}]}`), `u2`, "removePathless"},
			// the flag is on
			{`u1 u2 u3`, op("remove", `members[value eq "{{u1}}"]`, ``), `u2 u3`, ""},
			{`u1 u2 u3`, op("remove", `Members[VALUE EQ "{{u1}}"]`, ``) + "," + op("remove", `members[value eq "{{u2}}"]`, ``), `u3`, ""},
			{`u1 u2 u3`, op("remove", `members[value eq "{{u1}}" or value eq "{{u3}}"]`, ``), `u2`, ""},
			{`u1 u2`, op("remove", `members[value eq "nobody"]`, ``), `u1 u2`, ""},
			{`u1 g1`, op("remove", `members[type eq "Group"]`, ``), `u1`, ""},
			{`u1 g1`, op("remove", `members[value eq "{{u1}}" and type eq "User"]`, ``), `g1`, ""},
			{`u1 u2`, op("remove", `members[value ne "{{u1}}"]`, ``), `u1`, ""},
			{`u1 u2`, op("remove", `members[value eq "{{u1}}"].value`, ``), `u2`, ""},
			// replace, null, several operations
			{`u1 u2`, op("replace", "members", `[{"value":"{{u3}}"}]`), `u3`, ""},
			{`u1 u2`, op("Replace", "members", `null`), ``, ""},
			{`u1 u2`, op("Replace", "members", `[]`), ``, ""},
			{`u1 u2`, op("Replace", "members", `""`), ``, "emptyUnsets"},
			{`u1 u2`, op("Add", "members", `null`), `u1 u2`, ""},
			{`u1 u2`, op("Replace", "", `{"members":null}`), ``, ""},
			{`u1`, op("Remove", "members", `[{"value":"{{u1}}"}]`) + "," + op("Add", "members", `[{"value":"{{u1}}"}]`), `u1`, ""},
			{`u1`, op("Add", "members", `[{"value":"{{u2}}"}]`) + "," + op("Remove", "members", `[{"value":"{{u2}}"}]`), `u1`, ""},
			{`u1`, op("Add", "members", `[{"value":"{{u2}}"}]`) + "," + op("Replace", "displayName", `""`), `!mutability`, ""},
			{`u1`, op("Add", "members", `[{"value":"{{u2}}"},{"value":"res_nobody"}]`), `!invalidValue`, ""},
			{`u1`, op("Replace", "displayName", `"Renamed {{u1}}"`), `u1`, ""},
			{`u1`, op("Replace", "externalId", `"e-{{id}}"`) + "," + op("Replace", "nothing", `1`), `u1`, "ignoreUnknownPath"},
			{`u1`, ``, `u1`, "emptyOps"},
		})
	})
}

func TestEntraExchanges(t *testing.T) {
	eachVendor(t, "entra", func(c *vendor) {
		none := `"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":0,"Resources":[],"startIndex":1,"itemsPerPage":"<number>"`
		one := `"totalResults":1,"Resources":[{"id":"{{a}}"}]`
		c.exchanges([]exchange{
			// Test Connection
			{"GET /Users?filter=userName+eq+%223f2504e0-4f89-41d3-9a0c-0305e82c3301%22", "", 200, none, ""},
			{"GET /Users?filter=userName%20eq%20%223f2504e0-4f89-41d3-9a0c-0305e82c3301%22", "", 200, none, ""},
			{"GET /Users?aadOptscim062020&filter=userName+eq+%22x%22", "", 200, none, ""},
			{"GET /Users?AzureAdScimPatch062020&filter=externalId+eq+%22x%22", "", 200, none, ""},
			{"GET /Users/?filter=id+eq+%22x%22", "", 200, none, ""},
			{"GET /Groups?excludedAttributes=members&filter=displayName+eq+%22nobody%22", "", 200, none, ""},
			// the documented sample, with its misspelt URI
			{
				"POST /Users > a", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0User"],
				"externalId":"0a21f0f2-8d2a","userName":"Ann@x.example","active":"True","addresses":null,"displayName":"Ann","title":null,"department":null,"manager":null,
				"name":{"familyName":"F","givenName":"G","formatted":null},"emails":[{"primary":"True","type":"work","value":"Ann@work.example"}],"roles":[],"groups":[],
				"meta":{"resourceType":"User","created":"2020-01-01T00:00:00Z"},"phoneNumbers":[{"type":"work","value":null}],"unknown":{"deep":[1]},"password":"T0p$ecret",
				"urn:ietf:params:scim:schemas:extension:enterprise:2.0User":{"department":"x"}}`, 201,
				`"id":"<string>","active":true,"title":null,"roles":null,"addresses":null,"phoneNumbers":null,"name":{"formatted":null,"givenName":"G"},"emails":[{"primary":true}],
				"unknown":null,"department":null,"manager":null,"password":null,"meta":{"resourceType":"User","location":"<string>","version":"<string>"}`, "ignoreUnknown coerceBool",
			},
			{"POST /Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"ann@X.example"}`, 409, `"status":"409","scimType":"uniqueness"`, ""},
			// what PATCH takes, POST takes
			{
				"POST /Users > p", `{"schemas":"urn:ietf:params:scim:schemas:core:2.0:User","UserName":"posted@x.example","Active":"false","roles":[{"primary":"True","value":"{\"id\":\"1\"}","type":"t"}],"emails":{"value":"p@x.example","type":"work","primary":"True"},
				"addresses":[{"type":"work","postalCode":12345}],"displayName":[{"$ref":null,"value":"P"}],"{{E}}":{"manager":[{"$ref":"../Users/{{u1}}","value":"{{u1}}"}],"EmployeeNumber":7},"name.givenName":"G","{{E}}:division":"V"}`, 201,
				`"active":false,"roles":[{"primary":true,"value":"{\"id\":\"1\"}"}],"emails":[{"value":"p@x.example","primary":true}],"addresses":[{"postalCode":"12345"}],"displayName":"P","name":{"givenName":"G"},"{{E}}":{"manager":{"value":"{{u1}}"},"employeeNumber":"7","division":"V"}`,
				"singleToList coerceBool coerceScalar listToSingle objectToScalar dottedKeys",
			},
			{"POST /Users", `{"userName":"posted2@x.example","{{E}}":{"manager":"271"},"emails":["a@x.example"],"phoneNumbers":[],"photos":null,"roles":["R"]}`, 201, `"{{E}}":{"manager":{"value":"271"}},"emails":[{"value":"a@x.example"}],"roles":[{"value":"R"}]`, "stringToComplex"},
			{"POST /Users", `{"userName":"posted3@x.example","active":"perhaps"}`, 400, `"scimType":"invalidValue"`, ""},
			{"POST /Users", `{"userName":""}`, 400, `"scimType":"invalidValue"`, ""},
			{"POST /Groups > q", `{"displayName":"Posted","members":[{"$ref":null,"value":"{{p}}"},{"$ref":"x/Groups/{{g1}}"},"{{u1}}"]}`, 201, `"members":"<list>"`, "refAsValue stringToComplex"},
			{"PUT /Groups/{{q}}", `{"displayName":"Posted","members":{"value":"{{u2}}","type":"User"}}`, 200, `"members":[{"value":"{{u2}}","type":"User"}]`, "singleToList"},
			{"POST /Groups", `{"displayName":"Ghosts","members":[{"value":"nobody"}]}`, 400, `"scimType":"invalidValue"`, ""},
			// matching
			{"GET /Users?filter=userName+eq+%22ANN@x.example%22", "", 200, one, ""},
			{"GET /Users?filter=externalId+eq+%220a21f0f2-8d2a%22", "", 200, one, ""},
			{"GET /Users?filter=externalId+eq+%220A21F0F2-8D2A%22", "", 200, none, ""},
			{`GET /Users?filter=emails[type+eq+"work"].value+eq+"ann@WORK.example"`, "", 200, one, "valuePathCompare"},
			{`GET /Users?filter=Emails[Type+eq+"WORK"].Value+EQ+"ann@WORK.example"+and+active+eq+true`, "", 200, one, "valuePathCompare"},
			{`GET /Users?filter=emails[type+eq+"home"].value+eq+"ann@WORK.example"`, "", 200, none, ""},
			{`GET /Users?filter=emails[type+eq+"work"].primary+eq+"True"+and+userName+eq+"ann@x.example"`, "", 200, one, "coerceBool"},
			{`GET /Users?filter=emails.value+eq+"ann@work.example"`, "", 200, one, ""},
			{`GET /Users?filter=emails+eq+"ann@work.example"`, "", 200, one, ""},
			{`GET /Users?filter=active+eq+"True"+and+userName+eq+"ann@x.example"`, "", 200, one, "coerceBool"},
			{`GET /Users?filter=urn:ietf:params:scim:schemas:core:2.0:User:userName+eq+"ann@x.example"`, "", 200, one, ""},
			{`GET /Users?filter=externalId+eq+0a21f0f2-8d2a`, "", 200, one, "bareWords"}, // tutorial
			{`GET /Users?filter=userName+sw+A`, "", 200, one, "bareWords"},
			{`GET /Users?filter=BARE`, "", 400, `"scimType":"invalidFilter"`, ""},
			{`GET /Users?filter=nothing+eq+"x"`, "", 400, `"scimType":"invalidFilter"`, ""},
			{`GET /Users?filter=urn:ietf:params:scim:schemas:core:2.0:User:emails[type+eq+"work"].value+eq+"ann@work.example"`, "", 200, one, "valuePathCompare"},
			{`GET /Users?filter=phoneNumbers[type+eq+"mobile"].value+eq+"1"+or+addresses[type+eq+"work"].locality+co+"x"+or+roles[primary+eq+"False"].value+pr`, "", 200, none, "valuePathCompare"},
			{`GET /Users?filter=id+eq+"{{a}}"+and+manager+eq+"271"&attributes=id`, "", 200, none, "bareExtensionNames"}, // references
			{`GET /Users?filter=id+eq+{{a}}+and+{{E}}:manager+eq+2819c223-7f76&attributes=id`, "", 200, none, "bareWords"},
			{"PATCH /Users/{{a}}", ops(op("Add", "{{E}}:manager", `"271"`), op("Replace", "userName", `"ann@X.example"`)), 200, `"{{E}}":{"manager":{"value":"271"}}`, ""},
			{`GET /Users?filter=id+eq+"{{a}}"+and+manager+eq+"271"&attributes=id`, "", 200, one, ""},
			// the inbound puller
			{`GET /Users?filter=active+eq+true+and+(meta.lastModified+ge+"0001-01-03T00:00:00.0000000Z"+and+meta.lastModified+le+"9999-12-31T23:59:59.9999999Z")+and+userName+eq+"ann@x.example"&count=5&startIndex=1`, "", 200, one, ""},
			{`GET /Users?filter=(ActiVe+eq+true)+and+meta.lastmodified+ge+"2001-01-03T00:00:00.0000001Z"+and+USERNAME+sw+"ann"&startindex=0`, "", 200, `"startIndex":1,` + one, ""},
			// disabled, found, enabled, gone
			{"POST /Groups > g", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group","http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
				"externalId":"8aa1a0c0","displayName":"Team","meta":{"resourceType":"Group"},"members":[{"value":"{{a}}"}]}`, 201, `"id":"<string>","displayName":"Team","externalId":"8aa1a0c0","members":[{"value":"{{a}}"}]`, "ignoreUnknown"},
			{"PATCH /Users/{{a}}?aadOptscim062020", ops(op("Replace", "active", `"False"`)), 200, `"active":false`, "coerceBool"},
			{"GET /Users/{{a}}", "", 200, `"active":false,"groups":[{"value":"{{g}}"}]`, ""},
			{`GET /Users?filter=userName+eq+"ann@x.example"`, "", 200, `"Resources":[{"active":false}]`, ""},
			{"GET /Groups/{{g}}", "", 200, `"members":[{"value":"{{a}}"}]`, ""},
			{"POST /Users", `{"userName":"ann@x.example"}`, 409, `"scimType":"uniqueness"`, ""},
			{"PATCH /Users/{{a}}", ops(op("Replace", "active", `"True"`)), 200, `"active":true`, ""},
			{"GET /Groups/{{g}}?excludedAttributes=members", "", 200, `"displayName":"Team","members":null`, ""},
			{`GET /Groups?excludedAttributes=members&filter=displayName+eq+"TEAM"`, "", 200, `"totalResults":1,"Resources":[{"id":"{{g}}","members":null}]`, ""},
			{`GET /Groups?filter=externalId+eq+"8aa1a0c0"`, "", 200, `"totalResults":1`, ""},
			{`GET /Groups?filter=id+eq+"{{g}}"+and+members+eq+"{{a}}"&excludedAttributes=members`, "", 200, `"totalResults":1,"Resources":[{"members":null}]`, ""},
			{`GET /Groups?filter=id+eq+"{{g}}"+and+members[value+eq+"{{u1}}"]`, "", 200, none, ""},
			{"POST /Groups", `{"displayName":"TEAM"}`, 409, `"status":"409","scimType":"uniqueness"`, "uniqueDisplayName"},
			{"POST /Groups > h", `{"displayName":"Other"}`, 201, ``, ""},
			{"PATCH /Groups/{{h}}", ops(op("Replace", "displayName", `"team"`)), 409, `"scimType":"uniqueness"`, "uniqueDisplayName"},
			{"PATCH /Groups/{{h}}", ops(op("Replace", "displayName", `"Third"`)), 204, ``, "groupPatch204"},
			{"PATCH /Groups/{{h}}?attributes=displayName", ops(op("Replace", "displayName", `"Fourth"`)), 200, `"displayName":"Fourth","members":null`, ""},
			{"PATCH /Users/{{u1}}", ops(op("Replace", "userName", `"ANN@x.example"`)), 409, `"scimType":"uniqueness"`, ""},
			{"DELETE /Users/{{a}}", "", 204, "", ""},
			{"DELETE /Users/{{a}}", "", 404, `"status":"404"`, ""},
			{"GET /Users/{{a}}", "", 404, `"status":"404"`, ""},
			{"PATCH /Users/{{a}}", ops(op("Replace", "active", `"False"`)), 404, `"status":"404"`, ""},
			{"PUT /Users/{{a}}", `{"userName":"ann@x.example"}`, 404, `"status":"404"`, ""},
			{"DELETE /Users/99999999-0000-0000-0000-00000000beef", "", 404, `"status":"404"`, ""},
			{"GET /Groups/{{g}}", "", 200, `"members":null`, ""},
			{"DELETE /Groups/{{g}}", "", 204, "", ""},
			{"DELETE /Groups/{{g}}", "", 404, "", ""},
			{"POST /Users", `{"userName":"ann@x.example","externalId":"0a21f0f2-8d2a"}`, 201, "", ""},
		})
	})
}

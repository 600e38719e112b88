package scim_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/scim"
)

// Clients change without a word (python-scim/scim2-server#13): whatever arrives is
// answered with its effect or a reason, never as our fault, and stands in the log.
func TestOddBodies(t *testing.T) {
	values := []string{
		`null`, `""`, `"x"`, `"True"`, `true`, `0`, `-1.5e3`, `1e400`, `{}`, `[]`, `[null]`, `[[]]`, `[{}]`, `{"value":null}`, `{"value":{"value":"x"}}`, `{"value":["{{u1}}"]}`,
		`[{"value":"{{u1}}"},"{{u2}}",3]`, `[{"$ref":null,"value":null}]`, `{"":""}`, `{".":1,"[":2,":":3}`, `{"schemas":7}`, `{"members":{"members":[]}}`, `{"name":{"name":{"givenName":"x"}}}`,
		`{"emails[type eq \"work\"]":[{"value":"x"}]}`, `{"emails[type eq \"work\"].value.deep":"x"}`, `{"{{E}}":{"{{E}}":{"department":"x"}}}`, `{"{{E}}:":"x"}`, `"\u0000"`, `"\ud800"`, `"😀"`,
		`{"active":{"value":"False"}}`, `[{"active":false}]`, `{"id":null,"meta":null,"schemas":null,"userName":null}`, `{"USERNAME":"a","userName":"b"}`,
	}
	paths := []string{
		"", "active", "userName", "name", "name.givenName", "emails", `emails[type eq "work"]`, `emails[type eq "work"].value`, "emails.value", "members", `members[value eq "{{u1}}"]`, "members.value", "displayName",
		"{{E}}", "{{E}}:manager", "{{E}}:manager.value", "id", "meta", "schemas", "groups", "password", "roles[primary eq true]", "nothing", "nothing.at.all", "{{E}}:", ":", "$ref", "urn:", `name[givenName eq "x"]`, "x509Certificates",
	}
	eachVendor(t, "entra rfc", func(c *vendor) {
		try := func(method, path, body string) {
			body = c.vars.text(body)
			contentType := "application/json"
			a := c.exchange(t.Context(), method, path, map[string]*string{"Content-Type": &contentType}, []byte(body))
			if a.status >= 500 || a.status < 200 || a.status == http.StatusUnauthorized {
				c.t.Errorf("%s %s %s: %v", method, path, body, a)
			}
		}
		var user, group string
		fresh := func(i int) {
			user = "/Users/" + c.must(201, "POST", "/Users", c.vars.text(fmt.Sprintf(`{"userName":"odd%d@x.example","emails":[{"value":"x","type":"work"}],"{{E}}":{"department":"D"}}`, i))).id()
			group = "/Groups/" + c.must(201, "POST", "/Groups", map[string]any{"displayName": fmt.Sprint("odd", i), "members": members(c.vars["u1"])}).id()
		}
		for i, p := range paths {
			fresh(i)
			c.entries(scim.LogFilter{Limit: 1}) // empties the log's queue
			for _, v := range values {
				for _, name := range []string{"add", "Replace", "remove"} {
					try("PATCH", user, ops(op(name, c.vars.text(p), v)))
					try("PATCH", group, ops(op(name, c.vars.text(p), v)))
				}
			}
		}
		fresh(len(paths))
		for _, v := range values {
			try("POST", "/Users", v)
			try("POST", "/Groups", v)
			try("PUT", user, v)
			try("PUT", group, v)
			try("PATCH", user, v)
			try("PATCH", user, `{"Operations":`+v+`}`)
			try("PATCH", group, `{"schemas":`+v+`,"Operations":[{"op":`+v+`,"path":`+v+`,"value":`+v+`}]}`)
			try("POST", "/Users/.search", v)
			try("POST", "/Bulk", `{"Operations":[{"method":"PATCH","path":"`+user+`","data":`+v+`}]}`)
			for _, key := range []string{"userName", "active", "name", "emails", "roles", "addresses", "photos", "{{E}}", "externalId", "members", "displayName", "password", "x509Certificates"} {
				try("PUT", user, `{"userName":"odd@x.example","`+key+`":`+v+`}`)
				try("PUT", group, `{"displayName":"odd","`+key+`":`+v+`}`)
			}
		}
		try("PATCH", user, `{"Operations":[{"op":"Add","path":"title","value":"`+strings.Repeat("x", 100)+`"},{"op":"Swap"}]}`)
		last := c.entries(scim.LogFilter{Failed: true, Limit: 1})
		if len(last) != 1 || !strings.Contains(last[0].Body, `"Swap"`) || !strings.Contains(last[0].Detail, "invalidSyntax") {
			c.t.Errorf("the log of a refused body: %+v", last)
		}
	})
}

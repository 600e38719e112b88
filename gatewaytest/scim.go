package gatewaytest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
)

// Provisioned is a person as a directory describes him.
type Provisioned struct {
	ExternalID, UserName, Email string
	FirstName, LastName         string
}

const (
	schemaUser       = "urn:ietf:params:scim:schemas:core:2.0:User"
	schemaEnterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	schemaGroup      = "urn:ietf:params:scim:schemas:core:2.0:Group"
	schemaPatch      = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
)

type object = map[string]any

// SCIM is a client of a SCIM connection.
type SCIM struct {
	t           testing.TB
	base, token string
}

// Do sends a request below the connection's base URL and reads the JSON answer,
// nil when there is none. Any status of 400 and above ends the test.
func (c SCIM) Do(method, path string, body any) object {
	c.t.Helper()
	status, answer := c.Try(method, path, body)
	if status >= 400 {
		c.t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	if len(answer) == 0 {
		return nil
	}
	var o object
	if err := json.Unmarshal(answer, &o); err != nil {
		c.t.Fatalf("%s %s: %v in %s", method, path, err, answer)
	}
	return o
}

// Try is Do for requests that may be refused.
func (c SCIM) Try(method, path string, body any) (status int, answer []byte) {
	c.t.Helper()
	return exchange(c.t, method, c.base+path, "application/scim+json; charset=utf-8", c.token, body)
}

func (c SCIM) create(path string, body object) (id string) {
	c.t.Helper()
	id, _ = c.Do(http.MethodPost, path, body)["id"].(string)
	if id == "" {
		c.t.Fatalf("POST %s gave no id", path)
	}
	return id
}

func (c SCIM) patch(path string, operations ...object) {
	c.t.Helper()
	c.Do(http.MethodPatch, path, object{"schemas": []string{schemaPatch}, "Operations": operations})
}

// find gives the id of the only resource that matches; empty when there is none.
func (c SCIM) find(path, filter string) string {
	c.t.Helper()
	list, _ := c.Do(http.MethodGet, path+"filter="+url.QueryEscape(filter), nil)["Resources"].([]any)
	if len(list) == 0 {
		return ""
	}
	first, _ := list[0].(object)
	id, _ := first["id"].(string)
	return id
}

// Okta speaks SCIM as Okta's provisioning does ("SCIM 2.0 Protocol Reference",
// developer.okta.com): people are looked up before they are made, and never
// deleted.
type Okta struct{ SCIM }

// NewOkta makes a client of a connection's base URL.
func NewOkta(t testing.TB, baseURL, token string) Okta { return Okta{SCIM{t, baseURL, token}} }

// CreateUser makes a person, or finds the one of the userName.
func (o Okta) CreateUser(p Provisioned) (id string) {
	o.t.Helper()
	if id := o.find("/Users?startIndex=1&count=100&", `userName eq "`+p.UserName+`"`); id != "" {
		return id
	}
	return o.create("/Users", object{
		"schemas": []string{schemaUser}, "userName": p.UserName, "name": object{"givenName": p.FirstName, "familyName": p.LastName},
		"emails":      []object{{"primary": true, "value": p.Email, "type": "work"}},
		"displayName": p.FirstName + " " + p.LastName, "locale": "en-US", "externalId": p.ExternalID, "groups": []any{}, "password": "1mz050nq", "active": true,
	})
}

// Deactivate takes the application away from a person.
func (o Okta) Deactivate(id string) {
	o.t.Helper()
	o.patch("/Users/"+id, object{"op": "replace", "value": object{"active": false}})
}

// Reactivate gives it back.
func (o Okta) Reactivate(id string) {
	o.t.Helper()
	o.patch("/Users/"+id, object{"op": "replace", "value": object{"active": true}})
}

// PushGroup makes a group and fills it.
func (o Okta) PushGroup(name string, members ...string) (id string) {
	o.t.Helper()
	id = o.create("/Groups", object{"schemas": []string{schemaGroup}, "displayName": name, "members": []any{}})
	o.ReplaceMembers(id, name, members...)
	return id
}

// ReplaceMembers pushes a group whole; its name goes with each change.
func (o Okta) ReplaceMembers(group, name string, members ...string) {
	o.t.Helper()
	values := make([]object, 0, len(members))
	for _, m := range members {
		values = append(values, object{"value": m, "display": m})
	}
	o.patch("/Groups/"+group, object{"op": "replace", "value": object{"id": group, "displayName": name}})
	o.patch("/Groups/"+group, object{"op": "replace", "path": "members", "value": values})
}

// Entra speaks SCIM as Microsoft Entra ID's provisioning does ("Develop a SCIM
// endpoint", learn.microsoft.com): capital operations, booleans as text, members
// one by one.
type Entra struct{ SCIM }

// NewEntra makes a client of a connection's base URL.
func NewEntra(t testing.TB, baseURL, token string) Entra { return Entra{SCIM{t, baseURL, token}} }

// CreateUser makes a person, or finds the one of the externalId or userName.
func (e Entra) CreateUser(p Provisioned) (id string) {
	e.t.Helper()
	for _, filter := range []string{`externalId eq "` + p.ExternalID + `"`, `userName eq "` + p.UserName + `"`} {
		if id := e.find("/Users?", filter); id != "" {
			return id
		}
	}
	return e.create("/Users", object{
		"schemas": []string{schemaUser, schemaEnterprise}, "externalId": p.ExternalID, "userName": p.UserName, "active": true,
		"displayName": p.FirstName + " " + p.LastName, "emails": []object{{"primary": true, "type": "work", "value": p.Email}},
		"meta": object{"resourceType": "User"}, "name": object{"formatted": p.FirstName + " " + p.LastName, "familyName": p.LastName, "givenName": p.FirstName},
		"roles": []any{}, "title": nil,
	})
}

// Deactivate is Entra's soft delete.
func (e Entra) Deactivate(id string) {
	e.t.Helper()
	e.patch("/Users/"+id, object{"op": "Replace", "path": "active", "value": "False"})
}

// Reactivate restores a person.
func (e Entra) Reactivate(id string) {
	e.t.Helper()
	e.patch("/Users/"+id, object{"op": "Replace", "path": "active", "value": "True"})
}

// Delete is the hard delete that follows the soft one after thirty days.
func (e Entra) Delete(id string) {
	e.t.Helper()
	e.Do(http.MethodDelete, "/Users/"+id, nil)
}

// PushGroup makes a group, or finds the one of the name, and adds members.
func (e Entra) PushGroup(name string, members ...string) (id string) {
	e.t.Helper()
	if id = e.find("/Groups?excludedAttributes=members&", `displayName eq "`+name+`"`); id == "" {
		id = e.create("/Groups", object{
			"schemas":     []string{schemaGroup, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"},
			"displayName": name, "meta": object{"resourceType": "Group"},
		})
	}
	for _, m := range members {
		e.patch("/Groups/"+id, object{"op": "Add", "path": "members", "value": []object{{"$ref": nil, "value": m}}})
	}
	return id
}

// RemoveMember takes a person out of a group.
func (e Entra) RemoveMember(group, member string) {
	e.t.Helper()
	e.patch("/Groups/"+group, object{"op": "Remove", "path": "members", "value": []object{{"$ref": nil, "value": member}}})
}

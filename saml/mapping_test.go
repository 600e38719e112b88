package saml

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/saml/verify"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

const (
	xmlsoap   = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
	microsoft = "http://schemas.microsoft.com/"
)

// said makes an assertion of names and values; values are separated by |.
func said(nameID, format string, pairs ...string) *verify.Assertion {
	a := &verify.Assertion{NameID: verify.NameID{Value: nameID, Format: format}, AuthnContextClass: "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"}
	for n := 0; n+1 < len(pairs); n += 2 {
		at := verify.Attribute{Name: pairs[n]}
		if pairs[n+1] != "" {
			at.Values = strings.Split(pairs[n+1], "|")
		}
		a.Attributes = append(a.Attributes, at)
	}
	return a
}

// Product 6.2: what each identity provider sends by default or after its guide.
func TestMappingByProvider(t *testing.T) {
	for _, k := range []struct {
		name    string
		a       *verify.Assertion
		mapping tenants.AttributeMapping
		want    string // e-mail, first, last, display name, object id, user name, groups or "?"
	}{
		{name: "Okta, nothing added", a: said("ada@acme.example", formatEmail), want: "ada@acme.example,,,,,ada@acme.example,?"},
		{
			name: "Okta with the guide's statements",
			a:    said("ada@acme.example", formatEmail, "email", "ada@acme.example", "firstName", "Ada", "lastName", "Byron", "id", "00u1", "groups", "engineering|everyone"),
			want: "ada@acme.example,Ada,Byron,,00u1,ada@acme.example,engineering|everyone",
		},
		{
			name: "Entra ID",
			a: said("pairwise-1", formatPersistent, xmlsoap+"emailaddress", "ada@acme.example", xmlsoap+"givenname", "Ada", xmlsoap+"surname", "Byron",
				xmlsoap+"name", "ada@acme.onmicrosoft.example", microsoft+"identity/claims/displayname", "Ada Byron", microsoft+"identity/claims/tenantid", "t-1",
				microsoft+"identity/claims/objectidentifier", "oid-1", microsoft+"ws/2008/06/identity/claims/groups", "g-1|g-2"),
			want: "ada@acme.example,Ada,Byron,Ada Byron,oid-1,ada@acme.onmicrosoft.example,g-1|g-2",
		},
		{
			name: "Entra ID without a mailbox",
			a:    said("ada@acme.example", formatEmail, xmlsoap+"emailaddress", "", xmlsoap+"name", "ada@acme.example"),
			want: "ada@acme.example,,,,,ada@acme.example,?",
		},
		{
			name: "Entra ID with more groups than it sends",
			a:    said("ada@acme.example", formatEmail, microsoft+"claims/groups.link", "https://graph.example/x"),
			want: "ada@acme.example,,,,,ada@acme.example,?",
		},
		{
			name: "Google with mapped groups",
			a:    said("ada@acme.example", formatEmail, "firstName", "Ada", "lastName", "Byron", "Groups", "Engineering"),
			want: "ada@acme.example,Ada,Byron,,,ada@acme.example,Engineering",
		},
		{
			name: "OneLogin joins groups",
			a:    said("ada@acme.example", formatEmail, "User.email", "ada@acme.example", "User.FirstName", "Ada", "User.LastName", "Byron", "memberOf", "Engineering;All; Ops;"),
			want: "ada@acme.example,Ada,Byron,,,ada@acme.example,Engineering|All|Ops",
		},
		{
			name: "JumpCloud",
			a:    said("ada@acme.example", formatUnspecified, "email", "ada@acme.example", "firstname", "Ada", "lastname", "Byron", "memberOf", "Engineering|All"),
			want: "ada@acme.example,Ada,Byron,,,ada@acme.example,Engineering|All",
		},
		{
			name: "PingOne with a mapping", mapping: tenants.AttributeMapping{Email: "Email Address", FirstName: "Given Name", LastName: "Family Name", Groups: "Group Names"},
			a:    said("b6a1", formatUnspecified, "saml_subject", "b6a1", "Email Address", "ada@acme.example", "Given Name", "Ada", "Family Name", "Byron", "Group Names", "Engineering"),
			want: "ada@acme.example,Ada,Byron,,,b6a1,Engineering",
		},
		{
			name: "AD FS",
			a: said("S-1-5", formatUnspecified, xmlsoap+"emailaddress", "ada@acme.example", xmlsoap+"givenname", "Ada", xmlsoap+"surname", "Byron",
				xmlsoap+"upn", "ada@corp.acme.example", "http://schemas.xmlsoap.org/claims/Group", "Domain Users|Engineering"),
			want: "ada@acme.example,Ada,Byron,,,ada@corp.acme.example,Domain Users|Engineering",
		},
		{
			name: "AD FS that sends the UPN alone",
			a:    said("S-1-5", formatUnspecified, xmlsoap+"upn", "ada@acme.example"),
			want: "ada@acme.example,,,,,ada@acme.example,?",
		},
		{
			name: "Keycloak with X.500 mappers",
			a:    said("G-1", formatPersistent, "urn:oid:1.2.840.113549.1.9.1", "ada@acme.example", "urn:oid:2.5.4.42", "Ada", "urn:oid:2.5.4.4", "Byron", "Role", "uma_authorization|developer"),
			want: "ada@acme.example,Ada,Byron,,,G-1,uma_authorization|developer",
		},
		{
			name: "Keycloak's group paths",
			a:    said("G-1", formatPersistent, "email", "ada@acme.example", "member", "/engineering|/engineering/core"),
			want: "ada@acme.example,,,,,G-1,engineering|engineering/core",
		},
		{
			name: "eduPerson",
			a: said("x", formatPersistent, "urn:oid:0.9.2342.19200300.100.1.3", "ada@acme.example", "urn:oid:2.5.4.42", "Ada", "urn:oid:2.5.4.4", "Byron",
				"urn:oid:2.16.840.1.113730.3.1.241", "Ada Byron", "urn:oid:1.3.6.1.4.1.5923.1.1.1.6", "ada@uni.example", "urn:oid:1.3.6.1.4.1.5923.1.5.1.1", "staff"),
			want: "ada@acme.example,Ada,Byron,Ada Byron,,ada@uni.example,staff",
		},
		{
			name: "a mapping is not guessed around", mapping: tenants.AttributeMapping{FirstName: "call_name", Groups: "teams"},
			a:    said("x", formatPersistent, "email", "ada@acme.example", "firstName", "Ada", "groups", "engineering"),
			want: "ada@acme.example,,,,,x,?",
		},
		{name: "groups, and none", a: said("x", formatPersistent, "email", "ada@acme.example", "groups", ""), want: "ada@acme.example,,,,,x,"},
		{name: "groups joined by commas", a: said("x", formatPersistent, "email", "ada@acme.example", "groups", "a,b,c"), want: "ada@acme.example,,,,,x,a|b|c"},
		{name: "one group with a comma in its name", a: said("x", formatPersistent, "email", "ada@acme.example", "groups", "Sales, EMEA"), want: "ada@acme.example,,,,,x,Sales, EMEA"},
		{
			name: "distinguished names",
			a:    said("x", formatPersistent, "email", "ada@acme.example", "memberOf", "CN=Engineering,OU=Groups,DC=acme"),
			want: "ada@acme.example,,,,,x,CN=Engineering,OU=Groups,DC=acme",
		},
		{
			name: "one address twice, in different case",
			a:    said("x", formatPersistent, "email", "ada@acme.example|ADA@acme.example"),
			want: "ada@acme.example,,,,,x,?",
		},
	} {
		id, err := identityOf(tenants.SSOConnection{ID: "sso_1", Tenant: "ten_1", Mapping: k.mapping}, k.a)
		groups := "?"
		if id.GroupsKnown {
			groups = strings.Join(id.Groups, "|")
		}
		got := strings.Join([]string{id.Email, id.FirstName, id.LastName, id.DisplayName, id.ObjectID, id.UserName, groups}, ",")
		if err != nil || got != k.want {
			t.Errorf("%s: %s, %v; want %s", k.name, got, err, k.want)
		}
		if id.Tenant != "ten_1" || id.Connection != "sso_1" || id.Protocol != signin.SAML || fmt.Sprint(id.AMR) != "[pwd]" {
			t.Errorf("%s: %+v", k.name, id)
		}
	}
}

func TestMappingRefusals(t *testing.T) {
	for _, k := range []struct {
		name, code string
		a          *verify.Assertion
	}{
		{"transient NameID", "SAML_NAMEID_TRANSIENT", said("_x", formatTransient, "email", "ada@acme.example")},
		{"two addresses", "SAML_ATTR_AMBIGUOUS", said("x", formatPersistent, "email", "ada@acme.example|eve@evil.example")},
		{"C7 two addresses in two attributes of one name", "SAML_ATTR_AMBIGUOUS", said("x", formatPersistent, "email", "ada@acme.example", "Email", "eve@evil.example")},
		{"no address", "SAML_NO_EMAIL", said("x", formatPersistent)},
		{"no address in the attribute", "SAML_NO_EMAIL", said("x", formatPersistent, "email", "ada")},
		{"an address with a space", "SAML_NO_EMAIL", said("x", formatPersistent, "email", "ada byron@acme.example")},
		{"nothing before the @", "SAML_NO_EMAIL", said("x", formatPersistent, "email", "@acme.example")},
		{"no domain", "SAML_NO_EMAIL", said("x", formatPersistent, "email", "ada@")},
		{"a domain that is none", "SAML_NO_EMAIL", said("x", formatPersistent, "email", "ada@acme_.example/")},
		{"too long", "SAML_NO_EMAIL", said("x", formatPersistent, "email", strings.Repeat("a", 310)+"@acme.example")},
	} {
		if _, err := identityOf(tenants.SSOConnection{}, k.a); fault.CodeOf(err) != k.code {
			t.Errorf("%s: %v, want %s", k.name, err, k.code)
		}
	}
}

// sso 7.5: what counts as evidence of several factors.
func TestMethods(t *testing.T) {
	for context, want := range map[string]string{
		"urn:oasis:names:tc:SAML:2.0:ac:classes:Password":           "[pwd]",
		"urn:oasis:names:tc:SAML:2.0:ac:classes:TimeSyncToken":      "[otp mfa]",
		"urn:oasis:names:tc:SAML:2.0:ac:classes:SmartcardPKI":       "[sc]",
		"https://refeds.org/profile/mfa":                            "[mfa]",
		"urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified":        "[]",
		"urn:oasis:names:tc:SAML:2.0:ac:classes:TimeSyncToken/evil": "[]",
	} {
		a := said("ada@acme.example", formatEmail)
		a.AuthnContextClass = context
		id, err := identityOf(tenants.SSOConnection{}, a)
		if err != nil || fmt.Sprint(id.AMR) != want || id.ACR != context {
			t.Errorf("%s: %v, %v; want %s", context, id.AMR, err, want)
		}
	}
	// Entra says it in an attribute, beside a context that knows of no second factor.
	id, err := identityOf(tenants.SSOConnection{}, said("ada@acme.example", formatEmail,
		microsoft+"claims/authnmethodsreferences", "http://schemas.microsoft.com/ws/2008/06/identity/authenticationmethod/password|"+microsoft+"claims/multipleauthn"))
	if err != nil || fmt.Sprint(id.AMR) != "[pwd mfa]" {
		t.Errorf("Entra: %v, %v", id.AMR, err)
	}
	if got := contextMethods["urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"]; fmt.Sprint(got) != "[pwd]" {
		t.Errorf("the table was changed: %v", got)
	}
}

// Identity rule 2: the link key is format, qualifiers and value.
func TestSubjectParts(t *testing.T) {
	keys := map[string]verify.NameID{}
	for _, n := range []verify.NameID{
		{Value: "ada", Format: formatPersistent},
		{Value: "ada", Format: formatUnspecified},
		{Value: "Ada", Format: formatPersistent},
		{Value: "ada", Format: formatPersistent, NameQualifier: "q"},
		{Value: "ada", Format: formatPersistent, SPNameQualifier: "q"},
	} {
		a := said("", "", "email", "ada@acme.example")
		a.NameID = n
		id, err := identityOf(tenants.SSOConnection{}, a)
		if err != nil {
			t.Fatal(err)
		}
		if other, dup := keys[id.SubjectKey()]; dup {
			t.Errorf("%+v and %+v are one person", n, other)
		}
		keys[id.SubjectKey()] = n
	}
}

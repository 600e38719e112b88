package saml

import (
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/saml/verify"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Names under which identity providers send a value when nobody maps it, in
// order of preference (product 6.2). Short names compare without case.
var (
	emailNames = []string{
		"email", "mail", "emailaddress", "e-mail", "user.email",
		"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
		"urn:oid:1.2.840.113549.1.9.1", "urn:oid:0.9.2342.19200300.100.1.3",
		"upn", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn",
	}
	firstNames = []string{
		"firstname", "first_name", "givenname", "given_name", "user.firstname",
		"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/givenname", "urn:oid:2.5.4.42",
	}
	lastNames = []string{
		"lastname", "last_name", "surname", "sn", "family_name", "familyname", "user.lastname",
		"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/surname", "urn:oid:2.5.4.4",
	}
	displayNames = []string{
		"displayname", "display_name", "http://schemas.microsoft.com/identity/claims/displayname",
		"urn:oid:2.16.840.1.113730.3.1.241", "name",
	}
	groupNames = []string{
		"groups", "group", "memberof", "member", "roles", "role",
		"http://schemas.microsoft.com/ws/2008/06/identity/claims/groups",
		"http://schemas.microsoft.com/ws/2008/06/identity/claims/role",
		"http://schemas.xmlsoap.org/claims/group", "urn:oid:1.3.6.1.4.1.5923.1.5.1.1",
	}
	// What a directory also sends over SCIM as externalId.
	objectIDNames = []string{
		"http://schemas.microsoft.com/identity/claims/objectidentifier", "objectid", "id", "externalid", "user.id",
	}
	userNames = []string{
		"username", "user_name", "upn", "userprincipalname",
		"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn",
		"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name", "urn:oid:1.3.6.1.4.1.5923.1.1.1.6",
	}
	// How the person proved himself, where Entra says it beside the context.
	methodNames = []string{"http://schemas.microsoft.com/claims/authnmethodsreferences"}
	// The group claim's stand-in when there are more groups than Entra sends.
	groupOverage = "http://schemas.microsoft.com/claims/groups.link"
)

// Authentication contexts in the words of RFC 8176 (sso 7.5).
var contextMethods = map[string][]string{
	"urn:oasis:names:tc:SAML:2.0:ac:classes:Password":                   {"pwd"},
	"urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport": {"pwd"},
	"urn:oasis:names:tc:SAML:2.0:ac:classes:TimeSyncToken":              {"otp", "mfa"},
	"urn:oasis:names:tc:SAML:2.0:ac:classes:SmartcardPKI":               {"sc"},
	"urn:oasis:names:tc:SAML:2.0:ac:classes:X509":                       {"swk"},
	"https://refeds.org/profile/mfa":                                    {"mfa"},
	"http://schemas.microsoft.com/claims/multipleauthn":                 {"mfa"},
}

var (
	errAmbiguous = fault.New(fault.Invalid, "SAML_ATTR_AMBIGUOUS", "The identity provider sent several different e-mail addresses. Map one of them.")
	errTransient = fault.New(fault.Invalid, "SAML_NAMEID_TRANSIENT", "The identity provider sent a transient NameID, which names nobody twice. Choose the e-mail address or persistent format.")
	errNoEmail   = fault.New(fault.Invalid, "SAML_NO_EMAIL", "The identity provider sent no e-mail address. Add an attribute named email.")
)

// identityOf reads the person out of a verified assertion. FriendlyName is
// never looked at: two attributes may share one.
func identityOf(c tenants.SSOConnection, a *verify.Assertion) (signin.Identity, error) {
	if a.NameID.Format == formatTransient {
		return signin.Identity{}, errTransient
	}
	id := signin.Identity{
		Protocol: signin.SAML, Tenant: c.Tenant, Connection: c.ID,
		SubjectParts: []string{a.NameID.Format, a.NameID.NameQualifier, a.NameID.SPNameQualifier, a.NameID.Value},
		Subject:      a.NameID.Value, UserName: a.NameID.Value,
		AuthnContext: a.AuthnContextClass, ACR: a.AuthnContextClass, AMR: contextMethods[a.AuthnContextClass],
		At: a.AuthnInstant, SessionEnd: a.SessionNotOnOrAfter, Upstream: a.SessionIndex,
		Attributes: map[string][]string{},
	}
	if c.SAML != nil && c.SAML.SLOURL != "" {
		id.UpstreamSubject = upstreamSubject(a.NameID)
	}
	for _, at := range a.Attributes {
		id.Attributes[at.Name] = append(id.Attributes[at.Name], at.Values...)
	}
	find := func(mapped string, usual []string) ([]string, bool) {
		if mapped != "" {
			return attribute(a, mapped)
		}
		for _, n := range usual {
			if v, ok := attribute(a, n); ok {
				return v, true
			}
		}
		return nil, false
	}
	first := func(mapped string, usual []string) string {
		v, _ := find(mapped, usual)
		for _, s := range v {
			if s = strings.TrimSpace(s); s != "" {
				return s
			}
		}
		return ""
	}
	emails, _ := find(c.Mapping.Email, emailNames)
	email, err := oneEmail(emails)
	if err != nil {
		return id, err
	}
	if email == "" && strings.Contains(a.NameID.Value, "@") {
		email = a.NameID.Value
	}
	if !signin.ValidEmail(email) {
		return id, errNoEmail
	}
	id.Email = email
	id.FirstName, id.LastName = first(c.Mapping.FirstName, firstNames), first(c.Mapping.LastName, lastNames)
	id.DisplayName = first(c.Mapping.DisplayName, displayNames)
	id.ObjectID = first("", objectIDNames)
	if v := first("", userNames); v != "" {
		id.UserName = v
	}
	methods, _ := find("", methodNames)
	for _, m := range methods {
		id.AMR = addNew(id.AMR, contextMethods[m])
	}
	groups, known := find(c.Mapping.Groups, groupNames)
	if _, overflow := attribute(a, groupOverage); overflow {
		groups, known, id.GroupsOmitted = nil, false, true
	}
	id.Groups, id.GroupsKnown = splitGroups(groups), known
	return id, nil
}

// attribute gives the values of every attribute of the name, whatever its case:
// AD FS writes claims/Group where others write claims/group.
func attribute(a *verify.Assertion, name string) (values []string, found bool) {
	for _, at := range a.Attributes {
		if strings.EqualFold(at.Name, name) {
			values, found = append(values, at.Values...), true
		}
	}
	return values, found
}

// oneEmail refuses different addresses: which of them counts would be chance.
func oneEmail(values []string) (string, error) {
	email := ""
	for _, v := range values {
		v = strings.TrimSpace(v)
		switch {
		case v == "" || strings.EqualFold(v, email):
		case email == "":
			email = v
		default:
			return "", errAmbiguous
		}
	}
	return email, nil
}

// addNew appends the methods that the list lacks, to a copy.
func addNew(list, more []string) []string {
	list = slices.Clone(list)
	for _, m := range more {
		if !slices.Contains(list, m) {
			list = append(list, m)
		}
	}
	return list
}

// splitGroups undoes what OneLogin (one value, semicolons), others (one value,
// commas) and Keycloak (a leading slash for the full path) do to names of
// groups. A distinguished name, and a comma followed by a space, is one name.
func splitGroups(values []string) []string {
	if len(values) == 1 {
		switch v := values[0]; {
		case strings.Contains(v, ";"):
			values = strings.Split(v, ";")
		case !strings.Contains(v, "=") && !strings.Contains(v, ", "):
			values = strings.Split(v, ",")
		}
	}
	groups := make([]string, 0, len(values))
	for _, g := range values {
		if g = strings.TrimPrefix(strings.TrimSpace(g), "/"); g != "" {
			groups = append(groups, g)
		}
	}
	return groups
}

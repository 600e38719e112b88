package tenants

// Preset is what an admin copies into the console of a kind of identity
// provider, and what that provider then sends (product 6.1 to 6.3). With the
// attributes that stand here a connection needs no mapping.
type Preset struct {
	Kind string
	Name string
	// Protocols that the kind speaks: SAML, OIDC.
	Protocols []string
	SAML      []PresetField
	OIDC      []PresetField
	// Attributes to add, under the names that are understood without a mapping.
	Attributes []PresetAttribute
	// Defaults are the names under which values arrive when nothing is added;
	// empty: the kind sends none by default.
	Defaults AttributeMapping
	// Groups says how groups are made to arrive.
	Groups string
	Notes  []string
}

// PresetField is one field of a console. Of identifies which of the connection's
// values goes there; Value is to be entered as it stands.
type PresetField struct {
	Label string
	Of    string
	Value string
}

// Values of a connection that fields name.
const (
	OfACSURL      = "acs_url"
	OfEntityID    = "entity_id"
	OfMetadataURL = "metadata_url"
	OfSLOURL      = "slo_url"
	OfLoginURL    = "login_url"
	OfRedirectURI = "redirect_uri"
	OfACSPattern  = "acs_url_regex" // the ACS address as a regular expression that matches it alone
	OfSPKey       = "sp_certificate"
)

// PresetAttribute is an attribute to add and where the provider takes it from.
type PresetAttribute struct {
	Name string
	From string
}

const (
	claimURI  = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
	claimsURI = "http://schemas.microsoft.com/identity/claims/"
)

// Presets lists what is known, in the order in which they are offered; the last
// is for every other identity provider.
func Presets() []Preset {
	both, saml := []string{SAML, OIDC}, []string{SAML}
	redirect := func(label string) []PresetField { return []PresetField{{Label: label, Of: OfRedirectURI}} }
	return []Preset{
		{
			Kind: KindOkta, Name: "Okta", Protocols: both,
			SAML: []PresetField{
				{"Single sign-on URL", OfACSURL, ""},
				{"Audience URI (SP Entity ID)", OfEntityID, ""},
				{"Default RelayState", "", ""},
				{"Name ID format", "", "EmailAddress"},
				{"Application username", "", "Email"},
			},
			OIDC:       redirect("Sign-in redirect URIs"),
			Attributes: []PresetAttribute{{"email", "user.email"}, {"firstName", "user.firstName"}, {"lastName", "user.lastName"}, {"id", "user.id"}},
			Groups:     "Group attribute statement: name groups, filter Matches regex .* (a full match)",
			Notes:      []string{"Okta sends no attributes unless they are added.", "Keep “Use this for Recipient URL and Destination URL” ticked.", "Assign people to the application."},
		},
		{
			Kind: KindEntra, Name: "Microsoft Entra ID", Protocols: both,
			SAML: []PresetField{{"Identifier (Entity ID)", OfEntityID, ""}, {"Reply URL (Assertion Consumer Service URL)", OfACSURL, ""}, {"Sign on URL", OfLoginURL, ""}, {"Logout Url", OfSLOURL, ""}},
			OIDC: redirect("Redirect URI (Web)"),
			Defaults: AttributeMapping{
				Email: claimURI + "emailaddress", FirstName: claimURI + "givenname", LastName: claimURI + "surname",
				DisplayName: claimsURI + "displayname", Groups: "http://schemas.microsoft.com/ws/2008/06/identity/claims/groups",
			},
			Groups: "Attributes & Claims › Add a group claim › Groups assigned to the application; source attribute Cloud-only group display names",
			Notes: []string{
				"Where mailboxes are missing, map emailaddress to user.userprincipalname.",
				"Above 150 groups (200 with OpenID Connect) Entra ID sends none: they then come from SCIM, or from Microsoft Graph.",
				"The issuer has the directory's GUID; common and organizations are refused.",
			},
		},
		{
			Kind: KindGoogle, Name: "Google Workspace", Protocols: both,
			SAML:       []PresetField{{"ACS URL", OfACSURL, ""}, {"Entity ID", OfEntityID, ""}, {"Start URL", OfLoginURL, ""}, {"Signed response", "", "on"}, {"Name ID format", "", "EMAIL"}, {"Name ID", "", "Basic Information > Primary email"}},
			OIDC:       redirect("Authorized redirect URIs"),
			Attributes: []PresetAttribute{{"email", "Primary email"}, {"firstName", "First name"}, {"lastName", "Last name"}},
			Groups:     "Group membership: choose the groups (at most 75 are sent), app attribute groups",
			Notes:      []string{"Switch user access on.", "Changes can take a day.", "There is no metadata address: upload the file, and the new certificate every five years."},
		},
		{
			Kind: KindOneLogin, Name: "OneLogin", Protocols: both,
			SAML: []PresetField{
				{"Audience (EntityID)", OfEntityID, ""},
				{"Recipient", OfACSURL, ""},
				{"ACS (Consumer) URL Validator", OfACSPattern, ""},
				{"ACS (Consumer) URL", OfACSURL, ""},
				{"Single Logout URL", OfSLOURL, ""},
				{"SAML initiator", "", "Service Provider"},
				{"SAML nameID format", "", "Email"},
				{"SAML signature element", "", "Both"},
			},
			OIDC:       redirect("Redirect URI's"),
			Attributes: []PresetAttribute{{"email", "Email"}, {"firstName", "First Name"}, {"lastName", "Last Name"}, {"id", "UUID"}},
			Groups:     "Parameter groups = User Roles or MemberOf, Multi-value parameter, Semicolon Delimited Input",
			Notes:      []string{"Tick Include in SAML assertion at every parameter.", "The ACS URL Validator is a regular expression."},
		},
		{
			Kind: KindJumpCloud, Name: "JumpCloud", Protocols: both,
			SAML:       []PresetField{{"SP Entity ID", OfEntityID, ""}, {"ACS URL", OfACSURL, ""}, {"SAMLSubject NameID", "", "email"}, {"SAMLSubject NameID Format", "", "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"}, {"Sign Assertion", "", "on"}, {"Declare Redirect Endpoint", "", "on"}},
			OIDC:       redirect("Redirect URIs"),
			Attributes: []PresetAttribute{{"email", "email"}, {"firstName", "firstname"}, {"lastName", "lastname"}},
			Groups:     "Tick include group attribute, name memberOf",
			Notes:      []string{"The IdP Entity ID must be unique in the account."},
		},
		{
			Kind: KindPing, Name: "PingOne", Protocols: both,
			SAML:       []PresetField{{"ACS URLs", OfACSURL, ""}, {"Entity ID", OfEntityID, ""}, {"SLO Endpoint", OfSLOURL, ""}, {"Sign Assertion & Response", "", "on"}, {"Subject NameID Format", "", "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"}},
			OIDC:       redirect("Redirect URIs"),
			Attributes: []PresetAttribute{{"saml_subject", "Email Address"}, {"email", "Email Address"}, {"firstName", "Given Name"}, {"lastName", "Family Name"}, {"groups", "Group Names"}},
			Groups:     "Attribute groups = Group Names",
			Notes:      []string{"Switch the application on."},
		},
		{
			Kind: KindPingFederate, Name: "PingFederate", Protocols: both,
			SAML:       []PresetField{{"Partner's Entity ID", OfEntityID, ""}, {"Assertion Consumer Service URL (POST, index 0)", OfACSURL, ""}},
			OIDC:       redirect("Redirect URIs"),
			Attributes: []PresetAttribute{{"SAML_SUBJECT", "mail"}, {"email", "mail"}, {"firstName", "givenName"}, {"lastName", "sn"}, {"groups", "memberOf, with OGNL to the CN"}},
			Groups:     "Contract attribute groups from memberOf, with OGNL to the CN",
		},
		{
			Kind: KindADFS, Name: "AD FS", Protocols: saml,
			SAML: []PresetField{{"Federation metadata address", OfMetadataURL, ""}, {"Relying party SAML 2.0 SSO service URL", OfACSURL, ""}, {"Relying party trust identifier", OfEntityID, ""}},
			Attributes: []PresetAttribute{
				{"E-Mail Address", "E-Mail-Addresses"},
				{"Given Name", "Given-Name"},
				{"Surname", "Surname"},
				{"Name ID, format Email", "E-Mail Address (a Transform rule)"},
				{"Group", "Token-Groups - Unqualified Names"},
			},
			Defaults: AttributeMapping{Email: claimURI + "emailaddress", FirstName: claimURI + "givenname", LastName: claimURI + "surname", Groups: "http://schemas.xmlsoap.org/claims/Group"},
			Groups:   "Rule: Token-Groups - Unqualified Names to Group",
			Notes:    []string{"Set-AdfsRelyingPartyTrust -TargetName … -SamlResponseSignature MessageAndAssertion", "Set-AdfsRelyingPartyTrust -TargetName … -NotBeforeSkew 2"},
		},
		{
			Kind: KindKeycloak, Name: "Keycloak", Protocols: both,
			SAML:       []PresetField{{"Client ID", OfEntityID, ""}, {"Valid redirect URIs", OfACSURL, ""}, {"Master SAML Processing URL", OfACSURL, ""}, {"Logout Service Redirect Binding URL", OfSLOURL, ""}, {"Name ID format", "", "email"}, {"Force name ID format", "", "on"}, {"Sign assertions", "", "on"}},
			OIDC:       redirect("Valid redirect URIs"),
			Attributes: []PresetAttribute{{"email", "User Property email"}, {"firstName", "User Property firstName"}, {"lastName", "User Property lastName"}},
			Defaults:   AttributeMapping{Email: "urn:oid:1.2.840.113549.1.9.1", FirstName: "urn:oid:2.5.4.42", LastName: "urn:oid:2.5.4.4", Groups: "Role"},
			Groups:     "Group list mapper: name groups, Full group path off, Single Group Attribute on; remove role_list",
			Notes:      []string{"Switch Client signature required off, or import our certificate from our metadata."},
		},
		{
			Kind: "generic", Name: "Any other identity provider", Protocols: both,
			SAML:       []PresetField{{"ACS URL (also Reply URL, SSO URL, Recipient, Destination)", OfACSURL, ""}, {"Entity ID (also Audience, Identifier, Relying party ID)", OfEntityID, ""}, {"Metadata URL", OfMetadataURL, ""}, {"Single logout URL", OfSLOURL, ""}, {"Certificate for encryption and signed requests", OfSPKey, ""}, {"RelayState", "", ""}, {"NameID format", "", "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"}},
			OIDC:       redirect("Redirect URI"),
			Attributes: []PresetAttribute{{"email", "e-mail address"}, {"firstName", "given name"}, {"lastName", "family name"}, {"groups", "names of groups"}},
			Defaults:   AttributeMapping{Email: "email", FirstName: "given_name", LastName: "family_name", DisplayName: "name", Groups: "groups"},
			Groups:     "An attribute or claim groups with one value per group",
		},
	}
}

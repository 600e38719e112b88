package signin

import "github.com/gatehouse-id/gatehouse/tenants"

// screen is a place in the console of an identity provider, or in the portal.
type screen int

const (
	nowhere screen = iota
	portalConnection
	portalKeys
	portalPeople
	portalDomains
	portalPolicies
	vendorApplications
	idpAddresses    // ACS address, entity ID
	idpCertificates // what it signs with
	idpSigning      // what it signs, and how
	idpEncryption
	idpNameID
	idpAttributes
	idpAssignment // who may use the application
	idpPolicy     // how people have to prove themselves
	idpClock
	idpLogout
	idpMetadata
	idpClient // OpenID client and its secret
	idpRedirect
	idpClaims
)

// screens name each place in the words of the console (product 6.3); the entry
// of the empty kind serves every other.
var screens = map[screen]map[string]string{
	portalConnection:   {"": "Portal › Single sign-on › the connection"},
	portalKeys:         {"": "Portal › Single sign-on › the connection › Certificates"},
	portalPeople:       {"": "Portal › Users › the person"},
	portalDomains:      {"": "Portal › Single sign-on › Domains"},
	portalPolicies:     {"": "Portal › Security"},
	vendorApplications: {"": "Back office › Applications › the default application › Initiate login URI"},
	idpAddresses: {
		"":                       "The SAML application's settings: ACS address (also Reply URL, Recipient, Destination) and entity ID (also Audience, Identifier)",
		tenants.KindOkta:         "Applications › the app › General › SAML Settings › Edit › Single sign-on URL and Audience URI (SP Entity ID)",
		tenants.KindEntra:        "Enterprise applications › the app › Single sign-on › Basic SAML Configuration › Identifier and Reply URL",
		tenants.KindGoogle:       "Apps › Web and mobile apps › the app › Service provider details › ACS URL and Entity ID",
		tenants.KindOneLogin:     "Applications › the app › Configuration › Audience (EntityID), Recipient and ACS (Consumer) URL",
		tenants.KindJumpCloud:    "SSO Applications › the app › SSO › SP Entity ID and ACS URL",
		tenants.KindPing:         "Applications › the app › Configuration › ACS URLs and Entity ID",
		tenants.KindPingFederate: "SP Connections › the connection › Partner's Entity ID, and Browser SSO › Assertion Consumer Service URL",
		tenants.KindADFS:         "AD FS Management › Relying Party Trusts › the trust › Properties › Identifiers and Endpoints",
		tenants.KindKeycloak:     "Clients › the client › Settings › Client ID and Master SAML Processing URL",
		tenants.KindAuth0:        "Applications › the app › Addons › SAML2 Web App › Application Callback URL and audience",
	},
	idpCertificates: {
		"":                       "The SAML application's signing certificate",
		tenants.KindOkta:         "Applications › the app › Sign On › SAML Signing Certificates",
		tenants.KindEntra:        "Enterprise applications › the app › Single sign-on › SAML Certificates",
		tenants.KindGoogle:       "Apps › Web and mobile apps › the app › Service provider details › Manage certificates",
		tenants.KindOneLogin:     "Applications › the app › SSO › X.509 Certificate",
		tenants.KindJumpCloud:    "SSO Applications › the app › SSO › IdP Certificate",
		tenants.KindPing:         "Applications › the app › Configuration › Signing Key",
		tenants.KindPingFederate: "SP Connections › the connection › Credentials › Digital Signature Settings",
		tenants.KindADFS:         "AD FS Management › Service › Certificates › Token-signing",
		tenants.KindKeycloak:     "Realm settings › Keys",
		tenants.KindAuth0:        "Settings › Signing Keys",
	},
	idpSigning: {
		"":                       "The SAML application's signature settings: what is signed, and with which algorithm",
		tenants.KindOkta:         "Applications › the app › General › SAML Settings › Show Advanced Settings › Response, Assertion Signature, Signature Algorithm",
		tenants.KindEntra:        "Enterprise applications › the app › Single sign-on › SAML Certificates › Edit › Signing Option and Signing Algorithm",
		tenants.KindGoogle:       "Apps › Web and mobile apps › the app › Service provider details › Signed response",
		tenants.KindOneLogin:     "Applications › the app › Configuration › SAML signature element, and SSO › SAML Signature Algorithm",
		tenants.KindJumpCloud:    "SSO Applications › the app › SSO › Sign Assertion and Signature Algorithm",
		tenants.KindPing:         "Applications › the app › Configuration › Sign Assertion & Response and Signing Algorithm",
		tenants.KindPingFederate: "SP Connections › the connection › Browser SSO › Protocol Settings › Signature Policy",
		tenants.KindADFS:         "PowerShell: Set-AdfsRelyingPartyTrust -TargetName … -SamlResponseSignature MessageAndAssertion; Properties › Advanced › Secure hash algorithm",
		tenants.KindKeycloak:     "Clients › the client › Settings › Sign documents, Sign assertions, Signature algorithm",
		tenants.KindAuth0:        "Applications › the app › Addons › SAML2 Web App › signatureAlgorithm, digestAlgorithm, signResponse",
	},
	idpEncryption: {
		"":                       "The SAML application's assertion encryption: our current certificate stands in our metadata",
		tenants.KindOkta:         "Applications › the app › General › SAML Settings › Show Advanced Settings › Assertion Encryption and Encryption Certificate",
		tenants.KindEntra:        "Enterprise applications › the app › Token encryption",
		tenants.KindOneLogin:     "Applications › the app › Configuration › Encrypt assertion and SAML Encryption",
		tenants.KindPing:         "Applications › the app › Configuration › Enable Encryption",
		tenants.KindPingFederate: "SP Connections › the connection › Credentials › XML Encryption Certificate",
		tenants.KindADFS:         "AD FS Management › Relying Party Trusts › the trust › Properties › Encryption",
		tenants.KindKeycloak:     "Clients › the client › Keys › Encrypt assertions",
	},
	idpNameID: {
		"":                       "The SAML application's NameID: the e-mail address, or a persistent identifier",
		tenants.KindOkta:         "Applications › the app › General › SAML Settings › Name ID format and Application username",
		tenants.KindEntra:        "Enterprise applications › the app › Single sign-on › Attributes & Claims › Unique User Identifier (Name ID)",
		tenants.KindGoogle:       "Apps › Web and mobile apps › the app › Service provider details › Name ID",
		tenants.KindOneLogin:     "Applications › the app › Configuration › SAML nameID format, and Parameters › NameID value",
		tenants.KindJumpCloud:    "SSO Applications › the app › SSO › SAMLSubject NameID and NameID Format",
		tenants.KindPing:         "Applications › the app › Configuration › Subject NameID Format, and Attribute Mappings › saml_subject",
		tenants.KindPingFederate: "SP Connections › the connection › Browser SSO › Assertion Creation › SAML_SUBJECT",
		tenants.KindADFS:         "AD FS Management › Relying Party Trusts › Edit Claim Issuance Policy › a Transform rule from E-Mail Address to Name ID, format Email",
		tenants.KindKeycloak:     "Clients › the client › Settings › Name ID format and Force name ID format",
		tenants.KindAuth0:        "Applications › the app › Addons › SAML2 Web App › nameIdentifierFormat and nameIdentifierProbes",
	},
	idpAttributes: {
		"":                       "The SAML application's attribute statements",
		tenants.KindOkta:         "Applications › the app › General › SAML Settings › Attribute Statements and Group Attribute Statements",
		tenants.KindEntra:        "Enterprise applications › the app › Single sign-on › Attributes & Claims",
		tenants.KindGoogle:       "Apps › Web and mobile apps › the app › SAML attribute mapping",
		tenants.KindOneLogin:     "Applications › the app › Parameters › the field › Include in SAML assertion",
		tenants.KindJumpCloud:    "SSO Applications › the app › SSO › Attributes",
		tenants.KindPing:         "Applications › the app › Attribute Mappings",
		tenants.KindPingFederate: "SP Connections › the connection › Browser SSO › Assertion Creation › Attribute Contract",
		tenants.KindADFS:         "AD FS Management › Relying Party Trusts › Edit Claim Issuance Policy",
		tenants.KindKeycloak:     "Clients › the client › Client scopes › Dedicated scope › Mappers",
		tenants.KindAuth0:        "Applications › the app › Addons › SAML2 Web App › mappings",
	},
	idpAssignment: {
		"":                    "The application's assigned people and groups",
		tenants.KindOkta:      "Applications › the app › Assignments",
		tenants.KindEntra:     "Enterprise applications › the app › Users and groups",
		tenants.KindGoogle:    "Apps › Web and mobile apps › the app › User access",
		tenants.KindOneLogin:  "Users › the person › Applications",
		tenants.KindJumpCloud: "SSO Applications › the app › User Groups",
		tenants.KindPing:      "Applications › the app › Access",
		tenants.KindADFS:      "AD FS Management › Relying Party Trusts › Edit Access Control Policy",
	},
	idpPolicy: {
		"":                    "The application's sign-on policy",
		tenants.KindOkta:      "Applications › the app › Sign On › User authentication policy",
		tenants.KindEntra:     "Protection › Conditional Access",
		tenants.KindGoogle:    "Security › Authentication › 2-step verification",
		tenants.KindOneLogin:  "Applications › the app › Access › Policy",
		tenants.KindJumpCloud: "Conditional Policies",
		tenants.KindPing:      "Applications › the app › Policies",
		tenants.KindADFS:      "AD FS Management › Service › Authentication Methods",
		tenants.KindKeycloak:  "Authentication › Flows",
	},
	idpClock: {
		"":               "The clock of the identity provider's server, and how long its assertions are valid",
		tenants.KindADFS: "The server's time service; PowerShell: Set-AdfsRelyingPartyTrust -TargetName … -NotBeforeSkew 2",
	},
	idpLogout: {
		"":                   "The SAML application's single logout settings",
		tenants.KindOkta:     "Applications › the app › General › SAML Settings › Show Advanced Settings › Enable Single Logout and Signature Certificate",
		tenants.KindEntra:    "Enterprise applications › the app › Single sign-on › Basic SAML Configuration › Logout Url",
		tenants.KindOneLogin: "Applications › the app › Configuration › Single Logout URL",
		tenants.KindPing:     "Applications › the app › Configuration › SLO Endpoint",
		tenants.KindADFS:     "AD FS Management › Relying Party Trusts › the trust › Properties › Endpoints › SAML Logout, and Signature",
		tenants.KindKeycloak: "Clients › the client › Advanced › Logout Service Redirect Binding URL",
	},
	idpMetadata: {
		"":                       "The address of the identity provider's SAML metadata",
		tenants.KindOkta:         "Applications › the app › Sign On › Metadata URL",
		tenants.KindEntra:        "Enterprise applications › the app › Single sign-on › SAML Certificates › App Federation Metadata Url",
		tenants.KindGoogle:       "Apps › Web and mobile apps › the app › Download metadata (Google has no address for it)",
		tenants.KindOneLogin:     "Applications › the app › SSO › Issuer URL",
		tenants.KindJumpCloud:    "SSO Applications › the app › SSO › Export Metadata",
		tenants.KindPing:         "Applications › the app › Configuration › IdP Metadata URL",
		tenants.KindPingFederate: "System › Protocol Metadata › Metadata Export",
		tenants.KindADFS:         "https://the server/FederationMetadata/2007-06/FederationMetadata.xml",
		tenants.KindKeycloak:     "https://the server/realms/the realm/protocol/saml/descriptor",
	},
	idpClient: {
		"":                 "The OpenID client: its client ID, secret and authentication method",
		tenants.KindOkta:   "Applications › the app › General › Client Credentials",
		tenants.KindEntra:  "App registrations › the app › Certificates & secrets",
		tenants.KindGoogle: "Google Cloud console › APIs & Services › Credentials › the OAuth client",
		tenants.KindPing:   "Applications › the app › Configuration › Token Auth Method",
		tenants.KindAuth0:  "Applications › the app › Settings › Client Secret, and Credentials",
		// Keycloak calls both by their standard names.
		tenants.KindKeycloak: "Clients › the client › Credentials",
		tenants.KindOneLogin: "Applications › the app › SSO › Client Secret and Token Endpoint › Authentication Method",
	},
	idpRedirect: {
		"":                   "The OpenID client's redirect URIs",
		tenants.KindOkta:     "Applications › the app › General › Login › Sign-in redirect URIs",
		tenants.KindEntra:    "App registrations › the app › Authentication › Web › Redirect URIs",
		tenants.KindGoogle:   "Google Cloud console › APIs & Services › Credentials › the OAuth client › Authorized redirect URIs",
		tenants.KindOneLogin: "Applications › the app › Configuration › Redirect URI's",
		tenants.KindPing:     "Applications › the app › Configuration › Redirect URIs",
		tenants.KindKeycloak: "Clients › the client › Settings › Valid redirect URIs",
		tenants.KindAuth0:    "Applications › the app › Settings › Allowed Callback URLs",
	},
	idpClaims: {
		"":                   "The OpenID client's scopes and claims",
		tenants.KindOkta:     "Applications › the app › Sign On › OpenID Connect ID Token › Groups claim",
		tenants.KindEntra:    "App registrations › the app › Token configuration",
		tenants.KindOneLogin: "Applications › the app › Parameters",
		tenants.KindPing:     "Applications › the app › Attribute Mappings and Resources",
		tenants.KindKeycloak: "Clients › the client › Client scopes",
		tenants.KindAuth0:    "Actions › Library › an action that sets the claims",
	},
}

func (s screen) in(kind string) string {
	if text, ok := screens[s][kind]; ok {
		return text
	}
	return screens[s][""]
}

package signin

// explained is an explanation whose screen depends on the identity provider.
type explained struct {
	summary string
	who     string
	where   screen
	action  string
}

const (
	bug       = "The document is built in a way that no correct identity provider builds it. If it is not an attack, report it to the identity provider's maker with the response of this login."
	again     = "Begin again from the application."
	clocks    = "Set the clock of the identity provider's server by NTP; widen the connection's clock tolerance (up to 300 seconds) only if that is not possible."
	addresses = "Copy our ACS address and entity ID again, letter by letter, into the application at the identity provider."
)

// explanations hold every code that a sign-in, a logout or the reading of
// metadata can end with.
var explanations = map[string]explained{
	// The SAML document as such.
	"SAML_HTTP_FORM":           {"The browser did not bring a SAML form post.", WhoPerson, nowhere, "Begin again from the application. If it happens each time, check that the identity provider answers by the HTTP-POST binding."},
	"SAML_BASE64":              {"What came is not base64.", WhoIdPAdmin, idpAddresses, "Check that nothing between identity provider and gateway changes the form; otherwise report it to the identity provider's maker."},
	"SAML_LIMIT":               {"The document is larger, deeper or has more elements than is taken.", WhoIdPAdmin, idpAttributes, "Send fewer groups or attributes: only those that the application needs. The vendor can raise the connection's size limit to 2 MiB."},
	"SAML_XML_PROFILE":         {"The document is not the plain XML that is taken: it has a DOCTYPE, a comment, a processing instruction or a broken encoding.", WhoIdPAdmin, nowhere, bug},
	"SAML_ROOT":                {"The document is not a SAML response.", WhoIdPAdmin, idpAddresses, "Check that the identity provider sends login responses, and not logout messages, to the ACS address."},
	"SAML_VERSION":             {"The document is not SAML 2.0.", WhoIdPAdmin, nowhere, "Choose SAML 2.0 for the application."},
	"SAML_STRUCTURE":           {"The response lacks a part that a login needs, or has one in the wrong place.", WhoIdPAdmin, nowhere, bug},
	"SAML_DUPLICATE_ID":        {"Two elements carry one ID: the mark of a signature wrapping attack.", WhoIdPAdmin, nowhere, bug},
	"SAML_MULTIPLE_ASSERTIONS": {"The response has more than one assertion.", WhoIdPAdmin, nowhere, bug},
	"SAML_CONFIG":              {"The connection cannot verify anything as it is set up.", WhoTenantAdmin, portalConnection, "Check the connection's entity ID, certificates and clock tolerance."},
	"SAML_CONNECTION_UNKNOWN":  {"The address belongs to no connection.", WhoIdPAdmin, idpAddresses, addresses},

	// Signatures.
	"SAML_UNSIGNED":      {"Neither response nor assertion is signed.", WhoIdPAdmin, idpSigning, "Let the identity provider sign the assertion, the response, or both."},
	"SAML_UNTRUSTED_KEY": {"The signature was made with a key that this connection does not trust, most often because the identity provider's certificate was renewed.", WhoTenantAdmin, portalKeys, "Add the identity provider's current signing certificate to the connection, or give the address of its metadata so that renewals arrive by themselves. Approve a key that waits there."},
	"SAML_SIG":           {"The signature does not belong to the document.", WhoIdPAdmin, idpSigning, "Check that nothing between identity provider and gateway rewrites the response; otherwise report it to the identity provider's maker."},
	"SAML_SIG_ALG":       {"The signature uses an algorithm that is not taken, such as SHA-1, or a key below 2048 bits.", WhoIdPAdmin, idpSigning, "Choose RSA-SHA256. While that is not possible, the connection can take SHA-1 until a date."},
	"SAML_SIG_REF":       {"The signature does not refer to the element that carries it.", WhoIdPAdmin, idpSigning, bug},
	"SAML_SIG_STRUCTURE": {"A signature stands where none belongs, or is not built as signatures are.", WhoIdPAdmin, idpSigning, bug},
	"SAML_SIG_TRANSFORM": {"The signature uses a transform that is not taken.", WhoIdPAdmin, idpSigning, "Choose exclusive canonicalization. The connection can take the inclusive one where the identity provider offers nothing else."},

	// Encryption.
	"SAML_DECRYPT":               {"The assertion could not be decrypted with any of our keys.", WhoIdPAdmin, idpEncryption, "Load our current certificate from our metadata into the identity provider, and choose RSA-OAEP with AES-GCM."},
	"SAML_DECRYPT_NO_KEY":        {"The assertion is encrypted, and the connection has no key to decrypt it.", WhoTenantAdmin, nowhere, "Make a key for the connection and give its certificate to the identity provider, or switch encryption off there."},
	"SAML_ENCRYPTED_UNSUPPORTED": {"A part is encrypted that is not taken encrypted.", WhoIdPAdmin, idpEncryption, "Encrypt the assertion as a whole, or nothing."},
	"SAML_NOT_ENCRYPTED":         {"The assertion came unencrypted, and this connection takes encrypted ones alone.", WhoIdPAdmin, idpEncryption, "Switch assertion encryption on with our certificate, or stop asking for it at the connection."},
	"SAML_AUTHN_OLD":             {"The connection asks for a fresh sign-in each time, and the identity provider answered from an old one.", WhoIdPAdmin, nowhere, "Let the identity provider honour ForceAuthn for this application, or stop asking for it at the connection."},

	// What the identity provider answered.
	"SAML_STATUS_AUTHN_FAILED":          {"The identity provider says that the person could not sign in there.", WhoPerson, nowhere, "Try again; ask your administrator if it stays."},
	"SAML_STATUS_NO_PASSIVE":            {"The identity provider was to answer without asking the person, and could not.", WhoPerson, nowhere, again},
	"SAML_STATUS_REQUEST_DENIED":        {"The identity provider denied the request. Most often the person is not assigned to the application.", WhoIdPAdmin, idpAssignment, "Assign the person, or a group that he is in, to the application."},
	"SAML_STATUS_INVALID_NAMEID_POLICY": {"The identity provider cannot give the NameID format that was asked for.", WhoIdPAdmin, idpNameID, "Issue a NameID in the format of an e-mail address, or clear the connection's NameID format."},
	"SAML_STATUS_NO_AUTHN_CONTEXT":      {"The identity provider cannot authenticate in the way that the connection asks for.", WhoTenantAdmin, portalConnection, "Remove the requested authentication contexts from the connection, or offer one of them at the identity provider."},
	"SAML_STATUS_REQUESTER":             {"The identity provider takes our request for wrong.", WhoIdPAdmin, idpAddresses, "Compare ACS address and entity ID; if it wants signed requests, switch them on at the connection and load our certificate there."},
	"SAML_STATUS_RESPONDER":             {"The identity provider reports a fault of its own.", WhoIdPAdmin, nowhere, "Look into the identity provider's log at the time of this login."},
	"SAML_STATUS_VERSION_MISMATCH":      {"The identity provider does not speak SAML 2.0.", WhoIdPAdmin, nowhere, "Choose SAML 2.0 for the application."},
	"SAML_STATUS_AMBIGUOUS":             {"The response has several statuses, or success and an error at once.", WhoIdPAdmin, nowhere, bug},
	"SAML_STATUS_OTHER":                 {"The identity provider answered with a status that says no more.", WhoIdPAdmin, nowhere, "Look into the identity provider's log at the time of this login."},

	// To whom and when.
	"SAML_ISSUER":                       {"The response was issued by another entity ID than the connection has.", WhoTenantAdmin, portalConnection, "Copy the identity provider's entity ID (also Issuer) into the connection, letter by letter."},
	"SAML_DESTINATION":                  {"The response was meant for another address.", WhoIdPAdmin, idpAddresses, addresses},
	"SAML_RECIPIENT":                    {"The assertion was meant for another address.", WhoIdPAdmin, idpAddresses, addresses},
	"SAML_AUDIENCE_MISMATCH":            {"The assertion was made for another entity ID.", WhoIdPAdmin, idpAddresses, addresses},
	"SAML_AUDIENCE_MISSING":             {"The assertion does not say for whom it was made.", WhoIdPAdmin, idpAddresses, "Enter our entity ID as the audience of the application."},
	"SAML_CONDITIONS":                   {"The assertion has a condition that is not known here.", WhoIdPAdmin, nowhere, bug},
	"SAML_SUBJECT_CONFIRMATION":         {"The assertion has no bearer confirmation that holds.", WhoIdPAdmin, nowhere, "Choose the bearer method of subject confirmation."},
	"SAML_IN_RESPONSE_TO":               {"The response does not belong to a sign-in that is under way.", WhoPerson, nowhere, again},
	"SAML_UNSOLICITED":                  {"The response was not asked for, and the connection takes only logins that the application began.", WhoPerson, nowhere, "Begin in the application. An administrator can let the connection take logins from the identity provider's page."},
	"SAML_REPLAY":                       {"The assertion was already used.", WhoPerson, nowhere, again},
	"SAML_NO_KEY":                       {"The connection has to sign its requests and has no key.", WhoTenantAdmin, portalConnection, "Save the connection's settings again, or make a key."},
	"SAML_TIME_FORMAT":                  {"A time in the document is not written in UTC as SAML asks.", WhoIdPAdmin, idpClock, bug},
	"SAML_TIME_MISSING":                 {"A time that limits the assertion is missing.", WhoIdPAdmin, idpClock, "Give the assertion a validity."},
	"SAML_TIME_EXPIRED":                 {"The assertion has expired.", WhoIdPAdmin, idpClock, clocks},
	"SAML_TIME_NOT_YET":                 {"The assertion is not valid yet.", WhoIdPAdmin, idpClock, clocks},
	"SAML_TIME_LIFETIME":                {"The assertion is valid for more than a day, or its times contradict each other.", WhoIdPAdmin, idpClock, "Shorten the validity of assertions to some minutes."},
	"SAML_TIME_ISSUED_IN_FUTURE":        {"The document was issued in the future.", WhoIdPAdmin, idpClock, clocks},
	"SAML_TIME_ISSUED_TOO_LONG_AGO":     {"The document was issued more than ten minutes ago.", WhoIdPAdmin, idpClock, clocks},
	"SAML_TIME_AUTHN_IN_FUTURE":         {"The person signed in at the identity provider in the future.", WhoIdPAdmin, idpClock, clocks},
	"SAML_TIME_CONFIRMATION_EXPIRED":    {"The time to deliver the assertion is over.", WhoIdPAdmin, idpClock, clocks},
	"SAML_TIME_CONFIRMATION_NOT_BEFORE": {"The confirmation carries a NotBefore, which SAML forbids.", WhoIdPAdmin, nowhere, bug},
	"SAML_TIME_SESSION_ENDED":           {"The identity provider's session has already ended.", WhoPerson, nowhere, "Sign in there again."},
	"SAML_AUTHN_CONTEXT":                {"The person signed in at the identity provider in another way than the connection asks for.", WhoIdPAdmin, idpPolicy, "Let the identity provider demand one of the requested authentication contexts, or remove them from the connection."},

	// The person.
	"SAML_NAMEID":           {"The NameID is missing, too long, or has control characters or white space around it.", WhoIdPAdmin, idpNameID, "Send the e-mail address or a persistent identifier as the NameID."},
	"SAML_NAMEID_TRANSIENT": {"The NameID is transient, which names nobody twice.", WhoIdPAdmin, idpNameID, "Send the e-mail address or a persistent identifier as the NameID."},
	"SAML_ATTRIBUTE":        {"An attribute is not built as attributes are.", WhoIdPAdmin, idpAttributes, bug},
	"SAML_ATTR_AMBIGUOUS":   {"Several different e-mail addresses came.", WhoIdPAdmin, idpAttributes, "Send one e-mail attribute with one value, or name the right one in the connection's attribute mapping."},
	"SAML_NO_EMAIL":         {"No e-mail address came.", WhoIdPAdmin, idpAttributes, "Send the e-mail address in an attribute named email, or as the NameID. In Entra ID, user.mail is empty without a mailbox: map user.userprincipalname."},

	// OpenID Connect.
	"OIDC_CONNECTION_UNKNOWN": {"The address belongs to no connection.", WhoIdPAdmin, idpRedirect, "Copy our redirect URI again, letter by letter."},
	"OIDC_DISCOVERY":          {"The provider's configuration could not be read.", WhoTenantAdmin, portalConnection, "Open the issuer with /.well-known/openid-configuration behind it in a browser; correct the connection's issuer if that fails. It must answer over https from a public address."},
	"OIDC_DISCOVERY_ISSUER":   {"The provider's configuration names another issuer than the connection.", WhoTenantAdmin, portalConnection, "Copy the issuer from the provider's configuration, letter by letter, slash at the end included. Entra ID: use the directory's GUID, never common or organizations."},
	"OIDC_DISCOVERY_ENDPOINT": {"The provider's configuration names an address that cannot be used.", WhoIdPAdmin, nowhere, "The provider's endpoints must be https addresses that can be reached."},
	"OIDC_ENTRA_ISSUER":       {"The issuer stands for any Entra directory.", WhoTenantAdmin, portalConnection, "Put the directory's GUID (tenant ID) in the place of common, organizations or consumers."},
	"OIDC_PARAMETERS":         {"The answer has a parameter twice, or lacks one.", WhoPerson, nowhere, again},
	"OIDC_RESPONSE_MODE":      {"The answer came by POST where GET was asked for, or in another form.", WhoTenantAdmin, portalConnection, "Set the connection's response mode to what the provider sends: query or form_post."},
	"OIDC_INITIATE_ISSUER":    {"Another provider than the connection's started the sign-in.", WhoIdPAdmin, idpRedirect, "Register our sign-in address at this provider alone: each connection has its own."},
	"OIDC_STATE":              {"The answer does not belong to a sign-in that is under way.", WhoPerson, nowhere, again},
	"OIDC_STATE_USED":         {"The answer was already used.", WhoPerson, nowhere, again},
	"OIDC_ISS":                {"Another provider answered than was asked.", WhoIdPAdmin, idpRedirect, "Register our redirect URI at this provider alone: each connection has its own."},
	"OIDC_PROVIDER_ERROR":     {"The provider refused the sign-in. Its words stand in the checks.", WhoIdPAdmin, idpAssignment, "Assign the person to the application; check redirect URI and scopes."},
	"OIDC_TOKEN_ENDPOINT":     {"The provider did not exchange the code for tokens. Its words stand in the checks.", WhoTenantAdmin, portalConnection, "Enter the current client secret (they expire) and the authentication method that the provider expects."},
	"OIDC_CLIENT_KEY":         {"The connection has no key to authenticate with.", WhoTenantAdmin, portalKeys, "Make a key for the connection and register its JWKS address at the provider."},
	"OIDC_NO_ID_TOKEN":        {"The provider sent no ID token.", WhoIdPAdmin, idpClaims, "Allow the scope openid for the client."},
	"OIDC_TOKEN_FORM":         {"The token is not built as tokens are.", WhoIdPAdmin, nowhere, bug},
	"OIDC_ALG":                {"The token is signed with an algorithm that is not taken.", WhoIdPAdmin, idpClient, "Choose RS256, ES256 or PS256."},
	"OIDC_TYP":                {"The token is of another kind than was asked for.", WhoIdPAdmin, nowhere, bug},
	"OIDC_SIG":                {"The token's signature does not hold.", WhoIdPAdmin, nowhere, bug},
	"OIDC_KEY_UNKNOWN":        {"The token is signed with a key that the provider does not publish.", WhoIdPAdmin, nowhere, "Publish the signing key in the provider's JWKS before signing with it."},
	"OIDC_KEY_AMBIGUOUS":      {"The token does not say which of several keys signed it.", WhoIdPAdmin, nowhere, "Name the key (kid) in the token's header."},
	"OIDC_ISSUER":             {"The token was issued by another issuer than the connection has.", WhoTenantAdmin, portalConnection, "Copy the issuer again. Entra ID: it must be the directory's own GUID."},
	"OIDC_AUDIENCE":           {"The token was made for another client.", WhoTenantAdmin, portalConnection, "Enter the client ID that the provider issued for this connection."},
	"OIDC_AZP":                {"The token was issued to another client.", WhoTenantAdmin, portalConnection, "Enter the client ID that the provider issued for this connection."},
	"OIDC_EXPIRED":            {"The token has expired.", WhoIdPAdmin, idpClock, clocks},
	"OIDC_NOT_YET":            {"The token is not valid yet.", WhoIdPAdmin, idpClock, clocks},
	"OIDC_IAT":                {"The token was issued in the future, or too long ago.", WhoIdPAdmin, idpClock, clocks},
	"OIDC_NONCE":              {"The token belongs to another sign-in.", WhoPerson, nowhere, again},
	"OIDC_AT_HASH":            {"Access token and ID token do not belong together.", WhoIdPAdmin, nowhere, bug},
	"OIDC_C_HASH":             {"Code and ID token do not belong together.", WhoIdPAdmin, nowhere, bug},
	"OIDC_SUB":                {"The token names nobody (sub).", WhoIdPAdmin, idpClaims, bug},
	"OIDC_ACR":                {"The person signed in at the provider in another way than the connection asks for.", WhoIdPAdmin, idpPolicy, "Let the provider demand one of the acr values, or remove them from the connection."},
	"OIDC_AUTH_TIME":          {"The provider did not ask the person anew, although it was to.", WhoIdPAdmin, idpPolicy, "Let the provider honour max_age and send auth_time."},
	"OIDC_HOSTED_DOMAIN":      {"The person's Google Workspace domain is not one of the connection's.", WhoTenantAdmin, portalConnection, "Add the domain to the connection's hosted domains, or sign in with an account of your organization."},
	"OIDC_ENTRA_OID":          {"The token lacks oid or tid, by which Entra ID knows the person.", WhoIdPAdmin, idpClaims, "Grant the scope profile to the app registration."},
	"OIDC_ENTRA_TENANT":       {"The person belongs to another Entra directory than the connection.", WhoPerson, nowhere, "Sign in with an account of your organization's own directory."},
	"OIDC_NO_EMAIL":           {"No e-mail address came.", WhoIdPAdmin, idpClaims, "Grant the scope email, or add the e-mail claim to the ID token."},
	"OIDC_USERINFO":           {"The provider did not give the person's profile.", WhoIdPAdmin, idpClaims, "Check that the client may call the userinfo endpoint, or put the e-mail into the ID token."},
	"OIDC_USERINFO_SUB":       {"The profile is another person's.", WhoIdPAdmin, nowhere, bug},
	"OIDC_USERINFO_ISSUER":    {"The profile was issued by somebody else, or for another client.", WhoIdPAdmin, nowhere, bug},

	// Rules about people.
	"POLICY_TENANT_SUSPENDED":      {"The organization is suspended.", WhoVendor, nowhere, "Ask the application's vendor."},
	"POLICY_CONNECTION_DISABLED":   {"The connection is not switched on.", WhoTenantAdmin, portalConnection, "Test the connection and switch it on."},
	"POLICY_NOT_A_MEMBER":          {"The person does not belong to the organization.", WhoTenantAdmin, portalPeople, "Invite the person, or provision him."},
	"POLICY_USER_LOCKED":           {"The account is locked.", WhoTenantAdmin, portalPeople, "Unlock the account."},
	"POLICY_USER_DISABLED":         {"An administrator disabled the account.", WhoTenantAdmin, portalPeople, "Enable the account."},
	"POLICY_USER_DEPROVISIONED":    {"The directory switched the account off or deleted it.", WhoIdPAdmin, idpAssignment, "Assign the person to the application again, so that the directory provisions him."},
	"POLICY_USER_PENDING_APPROVAL": {"The account waits for an administrator's approval.", WhoTenantAdmin, portalPeople, "Approve the account."},
	"POLICY_GUEST_EXPIRED":         {"The guest's access has ended.", WhoTenantAdmin, portalPeople, "Give the guest a new end date."},
	"POLICY_LINK_AMBIGUOUS":        {"Two accounts match the person, and choosing one would be chance.", WhoTenantAdmin, portalPeople, "Remove or merge one of them, or let the directory send the same identifier over SCIM and single sign-on."},
	"POLICY_LINK_CONFLICT":         {"The matching account already belongs to another person at this identity provider.", WhoTenantAdmin, portalPeople, "Check whether the e-mail address was given to somebody else; unlink the old identity if it was."},
	"POLICY_JIT_DISABLED":          {"The person has no account here, and the connection makes none.", WhoTenantAdmin, portalConnection, "Add the person, or let the connection make people at their first login."},
	"POLICY_EMAIL_DOMAIN":          {"The person's e-mail domain is not one from which people may join.", WhoTenantAdmin, portalDomains, "Verify the domain, or let the connection make people of other domains. If the check email_domain_list failed, change the organization's list of e-mail domains."},
	"POLICY_IP":                    {"The organization does not allow sign-in from this network address.", WhoTenantAdmin, portalPolicies, "Add the network to the organization's IP rules."},
	"POLICY_IP_ENVIRONMENT":        {"The service does not allow sign-in from this network address.", WhoVendor, nowhere, "Ask the application's vendor."},
	"POLICY_SSO_REQUIRED":          {"The organization requires single sign-on.", WhoPerson, nowhere, "Choose your organization's single sign-on."},
	"POLICY_SOCIAL_NOT_ALLOWED":    {"The organization, or the vendor, does not allow signing in through a social account.", WhoTenantAdmin, portalPolicies, "Allow social sign-in in the policies, or let the person sign in another way."},
	"POLICY_MFA_REQUIRED":          {"The organization requires a second factor, and the identity provider gave no evidence of one.", WhoTenantAdmin, portalPolicies, "Let the identity provider demand a second factor and trust its evidence at the connection, or exempt single sign-on from the rule."},
	"POLICY_REAUTHENTICATION":      {"The application asked for a fresh sign-in, and the identity provider answered from an old one.", WhoIdPAdmin, idpPolicy, "Let the identity provider honour ForceAuthn or max_age."},
	"POLICY_SESSION_ENDED":         {"The identity provider's session had already ended.", WhoPerson, nowhere, "Sign in there again."},

	// Applications.
	"POLICY_APPLICATION_NOT_ASSIGNED": {"The application is not open to the organization, or not to the person.", WhoTenantAdmin, portalPeople, "Assign the application to the person; if the organization does not list it, ask the application's vendor."},

	// The way through the browser.
	"SIGNIN_NO_FLOW":                {"Nobody began a sign-in.", WhoPerson, nowhere, again},
	"SIGNIN_BAD_FORM":               {"A form did not arrive whole.", WhoPerson, nowhere, "Send it again."},
	"SIGNIN_FLOW_UNKNOWN":           {"The sign-in is not known.", WhoPerson, nowhere, again},
	"SIGNIN_FLOW_EXPIRED":           {"The sign-in took longer than ten minutes.", WhoPerson, nowhere, again},
	"SIGNIN_FLOW_FINISHED":          {"The sign-in had already ended.", WhoPerson, nowhere, again},
	"SIGNIN_OTHER_BROWSER":          {"The answer came in another browser than the sign-in began in, or the browser keeps no cookies.", WhoPerson, nowhere, "Begin again and stay in one browser; allow cookies for this site."},
	"SIGNIN_OTHER_ORGANIZATION":     {"The sign-in went to another organization than the application named.", WhoPerson, nowhere, again},
	"SIGNIN_OTHER_CONNECTION":       {"The sign-in went through another connection than was chosen.", WhoPerson, nowhere, again},
	"SIGNIN_HANDLE_UNKNOWN":         {"The step was already taken, or took longer than two minutes.", WhoPerson, nowhere, again},
	"SIGNIN_REQUEST_UNKNOWN":        {"The answer belongs to no question that was asked.", WhoPerson, nowhere, again},
	"SIGNIN_REQUEST_USED":           {"The question was already answered.", WhoPerson, nowhere, again},
	"SIGNIN_REQUEST_EXPIRED":        {"The answer came more than ten minutes after the question.", WhoPerson, nowhere, again},
	"SIGNIN_NO_DEFAULT_APPLICATION": {"No application takes a login that nobody asked for.", WhoVendor, vendorApplications, "Give the default application an initiate login URI."},
	"SIGNIN_SESSION_ENDED":          {"The session of the sign-in ended meanwhile.", WhoPerson, nowhere, again},
	"SIGNIN_CONFIRM":                {"Somebody else was signed in in this browser.", WhoPerson, nowhere, "Confirm that you want to change, or begin again."},
	"SIGNIN_TEST_UNKNOWN":           {"The test login is not known, or belongs to another browser.", WhoTenantAdmin, portalConnection, "Begin a new test."},
	CodeTestUnanswered:              {"The identity provider sent nothing back within ten minutes.", WhoIdPAdmin, nowhere, "If it showed an error, that page says why: check there that the application exists, that our addresses are entered letter by letter, and that the person is assigned to it. Then begin a new test."},
	"SIGNIN_BREAK_GLASS_UNKNOWN":    {"The emergency link is not valid: it was used, or is older than 15 minutes.", WhoVendor, nowhere, "Ask the operator for a new one (gatehouse admin break-glass)."},
}

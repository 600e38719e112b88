package verify

import "slices"

// Codes of refusals. They are stable: pages, logs and clients name them.
const (
	CodeConfig             = "SAML_CONFIG"
	CodeLimit              = "SAML_LIMIT"
	CodeXMLProfile         = "SAML_XML_PROFILE"
	CodeRoot               = "SAML_ROOT"
	CodeVersion            = "SAML_VERSION"
	CodeStructure          = "SAML_STRUCTURE"
	CodeSigStructure       = "SAML_SIG_STRUCTURE"
	CodeSigRef             = "SAML_SIG_REF"
	CodeSigTransform       = "SAML_SIG_TRANSFORM"
	CodeSigAlg             = "SAML_SIG_ALG"
	CodeDuplicateID        = "SAML_DUPLICATE_ID"
	CodeMultipleAssertions = "SAML_MULTIPLE_ASSERTIONS"
	CodeUnsigned           = "SAML_UNSIGNED"
	CodeUntrustedKey       = "SAML_UNTRUSTED_KEY"
	CodeSig                = "SAML_SIG"
	CodeDecrypt            = "SAML_DECRYPT"
	CodeNoDecryptionKey    = "SAML_DECRYPT_NO_KEY"
	CodeEncrypted          = "SAML_ENCRYPTED_UNSUPPORTED"

	CodeStatusRequester     = "SAML_STATUS_REQUESTER"
	CodeStatusResponder     = "SAML_STATUS_RESPONDER"
	CodeStatusVersion       = "SAML_STATUS_VERSION_MISMATCH"
	CodeStatusAuthnFailed   = "SAML_STATUS_AUTHN_FAILED"
	CodeStatusNoPassive     = "SAML_STATUS_NO_PASSIVE"
	CodeStatusRequestDenied = "SAML_STATUS_REQUEST_DENIED"
	CodeStatusNameIDPolicy  = "SAML_STATUS_INVALID_NAMEID_POLICY"
	CodeStatusNoContext     = "SAML_STATUS_NO_AUTHN_CONTEXT"
	CodeStatusOther         = "SAML_STATUS_OTHER"
	CodeStatusAmbiguous     = "SAML_STATUS_AMBIGUOUS"

	CodeInResponseTo = "SAML_IN_RESPONSE_TO"
	CodeDestination  = "SAML_DESTINATION"
	CodeIssuer       = "SAML_ISSUER"

	CodeSubjectConfirmation = "SAML_SUBJECT_CONFIRMATION"
	CodeRecipient           = "SAML_RECIPIENT"
	CodeConditions          = "SAML_CONDITIONS"
	CodeAudienceMissing     = "SAML_AUDIENCE_MISSING"
	CodeAudience            = "SAML_AUDIENCE_MISMATCH"

	CodeTimeFormat         = "SAML_TIME_FORMAT"
	CodeTimeMissing        = "SAML_TIME_MISSING"
	CodeTimeIssuedFuture   = "SAML_TIME_ISSUED_IN_FUTURE"
	CodeTimeIssuedOld      = "SAML_TIME_ISSUED_TOO_LONG_AGO"
	CodeTimeNotYet         = "SAML_TIME_NOT_YET"
	CodeTimeExpired        = "SAML_TIME_EXPIRED"
	CodeTimeLifetime       = "SAML_TIME_LIFETIME"
	CodeTimeConfirmExpired = "SAML_TIME_CONFIRMATION_EXPIRED"
	CodeTimeConfirmBefore  = "SAML_TIME_CONFIRMATION_NOT_BEFORE"
	CodeTimeAuthnFuture    = "SAML_TIME_AUTHN_IN_FUTURE"
	CodeTimeSessionEnded   = "SAML_TIME_SESSION_ENDED"

	CodeAuthnContext  = "SAML_AUTHN_CONTEXT"
	CodeNameID        = "SAML_NAMEID"
	CodeAttribute     = "SAML_ATTRIBUTE"
	CodeAttrAmbiguous = "SAML_ATTR_AMBIGUOUS"
)

// Who can mend a refusal.
const (
	MendIdPAdmin    = "idp_admin"    // the administrator of the identity provider
	MendTenantAdmin = "tenant_admin" // the administrator of the connection in Gatehouse
	MendVendor      = "vendor"       // the operator of Gatehouse
)

// Entry explains a code: the check that yields it, who can mend it, and what it
// means in words for an administrator.
type Entry struct{ Check, Code, Mend, Meaning string }

// Explain returns the catalogue's entry of a code.
func Explain(code string) (Entry, bool) {
	i, ok := entries[code]
	if !ok {
		return Entry{}, false
	}
	return Catalogue[i], true
}

var entries = func() map[string]int {
	m := make(map[string]int, len(Catalogue))
	for i, e := range Catalogue {
		m[e.Code] = i
	}
	return m
}()

// Catalogue lists every code the package can return: first those of responses,
// in the order of the checks, then those of logout messages and of metadata.
var Catalogue = slices.Concat(responseEntries, logoutEntries, metadataEntries)

var responseEntries = []Entry{
	{"configuration", CodeConfig, MendTenantAdmin, "The connection's settings are incomplete: it has no identity provider entity ID or no signing key, or the clock skew is out of range."},
	{"document.limits", CodeLimit, MendIdPAdmin, "The response is larger, deeper or has more parts than is accepted."},
	{"document.profile", CodeXMLProfile, MendIdPAdmin, "The response is not plain, well-formed UTF-8 XML without document type, comments and processing instructions."},
	{"response.root", CodeRoot, MendIdPAdmin, "What was posted is not a SAML 2.0 Response (perhaps a logout message or metadata)."},
	{"response.version", CodeVersion, MendIdPAdmin, "The response or assertion is not of SAML version 2.0."},
	{"response.structure", CodeStructure, MendIdPAdmin, "A required part of the response is missing, repeated, or in a place where it may not be."},
	{"signature.structure", CodeSigStructure, MendIdPAdmin, "A signature is not in its place, or contains something a signature may not contain."},
	{"signature.reference", CodeSigRef, MendIdPAdmin, "A signature does not cover exactly the element it stands in."},
	{"signature.transforms", CodeSigTransform, MendIdPAdmin, "A signature uses a transform or canonicalization other than enveloped-signature and exclusive canonicalization without comments; inclusive canonicalization can be allowed for the connection."},
	{"signature.algorithm", CodeSigAlg, MendIdPAdmin, "A signature uses an algorithm or key that is too weak or unknown; choose RSA of 2048 bits or more, or ECDSA, with SHA-256."},
	{"response.ids", CodeDuplicateID, MendIdPAdmin, "Two elements carry the same ID."},
	{"response.assertions", CodeMultipleAssertions, MendIdPAdmin, "The response holds more than one assertion."},
	{"signature.present", CodeUnsigned, MendIdPAdmin, "Neither the response nor the assertion is signed; turn on signing."},
	{"signature.key", CodeUntrustedKey, MendTenantAdmin, "The signature was made with a key that the connection does not know. If the identity provider changed its certificate, add the new one."},
	{"signature.value", CodeSig, MendIdPAdmin, "The signature does not match: the response was changed after it was signed, or signed wrongly."},
	{"decryption.key", CodeNoDecryptionKey, MendTenantAdmin, "The assertion or NameID is encrypted, but the connection has no key to decrypt it; create one and give its certificate to the identity provider, or turn off encryption there."},
	{"decryption", CodeDecrypt, MendIdPAdmin, "The encrypted assertion or NameID cannot be decrypted, or is no intact assertion inside; encrypt with AES (GCM if you can) and RSA-OAEP, for the connection's current certificate."},
	{"assertion.plain", CodeEncrypted, MendIdPAdmin, "An attribute is encrypted by itself; encrypt the whole assertion instead."},

	{"status", CodeStatusAuthnFailed, MendIdPAdmin, "The identity provider could not authenticate the user."},
	{"status", CodeStatusNoPassive, MendTenantAdmin, "The identity provider would have to show a page, but was asked not to."},
	{"status", CodeStatusRequestDenied, MendIdPAdmin, "The identity provider refused the request; perhaps the user is not assigned to the application."},
	{"status", CodeStatusNameIDPolicy, MendTenantAdmin, "The identity provider cannot send a NameID of the format that was asked for."},
	{"status", CodeStatusNoContext, MendTenantAdmin, "The identity provider cannot authenticate in the way that was asked for."},
	{"status", CodeStatusVersion, MendVendor, "The identity provider does not speak the SAML version of the request."},
	{"status", CodeStatusRequester, MendTenantAdmin, "The identity provider found fault with the request; compare entity ID and ACS URL, and whether it wants signed requests."},
	{"status", CodeStatusResponder, MendIdPAdmin, "The identity provider failed to answer the request; its log says why."},
	{"status", CodeStatusOther, MendIdPAdmin, "The identity provider reported an error."},
	{"status", CodeStatusAmbiguous, MendIdPAdmin, "The response states more than one status, or success and an error at once."},

	{"response.in_response_to", CodeInResponseTo, MendIdPAdmin, "The response does not answer the request of this login."},
	{"response.destination", CodeDestination, MendIdPAdmin, "The response is addressed to another URL; set the ACS URL exactly as shown."},
	{"issuer", CodeIssuer, MendTenantAdmin, "The issuer is not the identity provider entity ID of the connection."},

	{"confirmation.method", CodeSubjectConfirmation, MendIdPAdmin, "The subject has no bearer confirmation."},
	{"confirmation.recipient", CodeRecipient, MendIdPAdmin, "The Recipient is not the connection's ACS URL; set it exactly as shown."},
	{"confirmation.not_before", CodeTimeConfirmBefore, MendIdPAdmin, "A bearer confirmation must not have NotBefore."},
	{"confirmation.not_on_or_after", CodeTimeConfirmExpired, MendIdPAdmin, "The confirmation of the subject has expired; compare the clocks."},
	{"conditions.unknown", CodeConditions, MendIdPAdmin, "The assertion has a condition that is not understood."},
	{"conditions.not_before", CodeTimeNotYet, MendIdPAdmin, "The assertion is not valid yet; the identity provider's clock is ahead."},
	{"conditions.not_on_or_after", CodeTimeExpired, MendIdPAdmin, "The assertion has expired; compare the clocks."},
	{"times.present", CodeTimeMissing, MendIdPAdmin, "A time that bounds the assertion's validity is missing."},
	{"times.format", CodeTimeFormat, MendIdPAdmin, "A time is not in UTC as 2006-01-02T15:04:05Z."},
	{"times.lifetime", CodeTimeLifetime, MendIdPAdmin, "The assertion is valid for longer than 24 hours, or its times contradict each other."},
	{"conditions.audience_present", CodeAudienceMissing, MendIdPAdmin, "The assertion does not say for whom it is; set the audience to the connection's entity ID."},
	{"conditions.audience", CodeAudience, MendIdPAdmin, "The assertion is for another service; set the audience to the connection's entity ID."},

	{"issued.not_in_future", CodeTimeIssuedFuture, MendIdPAdmin, "The response was issued in the future; the identity provider's clock is ahead."},
	{"issued.recently", CodeTimeIssuedOld, MendIdPAdmin, "The response was issued more than ten minutes ago."},
	{"authn.instant", CodeTimeAuthnFuture, MendIdPAdmin, "The user's authentication lies in the future; the identity provider's clock is ahead."},
	{"authn.session", CodeTimeSessionEnded, MendIdPAdmin, "The session at the identity provider is already over."},
	{"authn.context", CodeAuthnContext, MendIdPAdmin, "The user was not authenticated in the way that was asked for."},
	{"name_id", CodeNameID, MendIdPAdmin, "The NameID is empty, too long, or has surrounding white space or control characters."},
	{"attributes.values", CodeAttribute, MendIdPAdmin, "An attribute has no name, or a value that is not text."},
	{"attributes.email", CodeAttrAmbiguous, MendIdPAdmin, "The e-mail address is sent more than once with different values."},
}

var checkOf = func() map[string]string {
	m := make(map[string]string, len(Catalogue))
	for _, e := range Catalogue {
		m[e.Code] = e.Check
	}
	return m
}()

package verify

// Codes of refusals of logout messages.
const (
	CodeLogoutConfig       = "SLO_CONFIG"
	CodeLogoutQuery        = "SLO_QUERY"
	CodeLogoutLimit        = "SLO_LIMIT"
	CodeLogoutXMLProfile   = "SLO_XML_PROFILE"
	CodeLogoutRoot         = "SLO_ROOT"
	CodeLogoutVersion      = "SLO_VERSION"
	CodeLogoutStructure    = "SLO_STRUCTURE"
	CodeLogoutSigStructure = "SLO_SIG_STRUCTURE"
	CodeLogoutSigRef       = "SLO_SIG_REF"
	CodeLogoutSigTransform = "SLO_SIG_TRANSFORM"
	CodeLogoutSigAlg       = "SLO_SIG_ALG"
	CodeLogoutDuplicateID  = "SLO_DUPLICATE_ID"
	CodeLogoutUnsigned     = "SLO_UNSIGNED"
	CodeLogoutUntrustedKey = "SLO_UNTRUSTED_KEY"
	CodeLogoutSig          = "SLO_SIG"
	CodeLogoutDecrypt      = "SLO_DECRYPT"
	CodeLogoutNoKey        = "SLO_DECRYPT_NO_KEY"
	CodeLogoutDestination  = "SLO_DESTINATION"
	CodeLogoutIssuer       = "SLO_ISSUER"
	CodeLogoutTimeFormat   = "SLO_TIME_FORMAT"
	CodeLogoutTimeMissing  = "SLO_TIME_MISSING"
	CodeLogoutIssuedFuture = "SLO_ISSUED_IN_FUTURE"
	CodeLogoutIssuedOld    = "SLO_ISSUED_TOO_LONG_AGO"
	CodeLogoutExpired      = "SLO_EXPIRED"
	CodeLogoutNameID       = "SLO_NAMEID"
	CodeLogoutInResponseTo = "SLO_IN_RESPONSE_TO"
)

// Codes of refusals of signed metadata.
const (
	CodeMetadataXML          = "METADATA_XML"
	CodeMetadataLimit        = "METADATA_LIMIT"
	CodeMetadataRoot         = "METADATA_ROOT"
	CodeMetadataUnsigned     = "METADATA_UNSIGNED"
	CodeMetadataUntrustedKey = "METADATA_UNTRUSTED_KEY"
	CodeMetadataSig          = "METADATA_SIG"
	CodeMetadataSigStructure = "METADATA_SIG_STRUCTURE"
	CodeMetadataSigAlg       = "METADATA_SIG_ALG"
	CodeMetadataDuplicateID  = "METADATA_DUPLICATE_ID"
)

// Logout messages and metadata go through the same steps as responses; what
// refuses them has a code of their own.
var (
	logoutCodes = map[string]string{
		CodeConfig: CodeLogoutConfig, CodeLimit: CodeLogoutLimit, CodeXMLProfile: CodeLogoutXMLProfile, CodeRoot: CodeLogoutRoot,
		CodeVersion: CodeLogoutVersion, CodeStructure: CodeLogoutStructure, CodeSigStructure: CodeLogoutSigStructure,
		CodeSigRef: CodeLogoutSigRef, CodeSigTransform: CodeLogoutSigTransform, CodeSigAlg: CodeLogoutSigAlg,
		CodeDuplicateID: CodeLogoutDuplicateID, CodeUnsigned: CodeLogoutUnsigned, CodeUntrustedKey: CodeLogoutUntrustedKey,
		CodeSig: CodeLogoutSig, CodeDecrypt: CodeLogoutDecrypt, CodeNoDecryptionKey: CodeLogoutNoKey,
		CodeDestination: CodeLogoutDestination, CodeIssuer: CodeLogoutIssuer, CodeTimeFormat: CodeLogoutTimeFormat,
		CodeTimeMissing: CodeLogoutTimeMissing, CodeTimeIssuedFuture: CodeLogoutIssuedFuture, CodeTimeIssuedOld: CodeLogoutIssuedOld,
		CodeTimeExpired: CodeLogoutExpired, CodeNameID: CodeLogoutNameID, CodeInResponseTo: CodeLogoutInResponseTo,
	}
	metadataCodes = map[string]string{
		CodeLimit: CodeMetadataLimit, CodeXMLProfile: CodeMetadataXML, CodeRoot: CodeMetadataRoot, CodeStructure: CodeMetadataRoot,
		CodeUnsigned: CodeMetadataUnsigned, CodeUntrustedKey: CodeMetadataUntrustedKey, CodeSig: CodeMetadataSig,
		CodeSigStructure: CodeMetadataSigStructure, CodeSigRef: CodeMetadataSigStructure, CodeSigTransform: CodeMetadataSigStructure,
		CodeSigAlg: CodeMetadataSigAlg, CodeDuplicateID: CodeMetadataDuplicateID,
	}
)

// translate gives an error the code that a kind of document has for it.
func translate(codes map[string]string, err *Error) *Error {
	if code, ok := codes[err.Code]; ok {
		return refuse(code, err.Detail)
	}
	return err
}

var logoutEntries = []Entry{
	{"configuration", CodeLogoutConfig, MendTenantAdmin, "The connection's settings are incomplete: it has no identity provider entity ID, no signing key or no logout URL, or the clock skew is out of range."},
	{"logout.query", CodeLogoutQuery, MendIdPAdmin, "The address of the logout message has parameters that are repeated, malformed, missing or not compressed as the Redirect binding says."},
	{"document.limits", CodeLogoutLimit, MendIdPAdmin, "The logout message is larger, deeper or has more parts than is accepted."},
	{"document.profile", CodeLogoutXMLProfile, MendIdPAdmin, "The logout message is not plain, well-formed UTF-8 XML without document type, comments and processing instructions."},
	{"logout.root", CodeLogoutRoot, MendIdPAdmin, "What was sent to the logout URL is not the logout message it was announced as."},
	{"logout.version", CodeLogoutVersion, MendIdPAdmin, "The logout message is not of SAML version 2.0."},
	{"logout.structure", CodeLogoutStructure, MendIdPAdmin, "A required part of the logout message is missing, repeated, or in a place where it may not be."},
	{"signature.structure", CodeLogoutSigStructure, MendIdPAdmin, "The signature of the logout message is not in its place, or contains something a signature may not contain."},
	{"signature.reference", CodeLogoutSigRef, MendIdPAdmin, "The signature does not cover exactly the logout message."},
	{"signature.transforms", CodeLogoutSigTransform, MendIdPAdmin, "The signature uses a transform or canonicalization other than enveloped-signature and exclusive canonicalization without comments."},
	{"signature.algorithm", CodeLogoutSigAlg, MendIdPAdmin, "The signature uses an algorithm or key that is too weak or unknown; choose RSA of 2048 bits or more, or ECDSA, with SHA-256."},
	{"logout.ids", CodeLogoutDuplicateID, MendIdPAdmin, "Two elements carry the same ID."},
	{"signature.present", CodeLogoutUnsigned, MendIdPAdmin, "The logout message is not signed; turn on signing of logout messages."},
	{"signature.key", CodeLogoutUntrustedKey, MendTenantAdmin, "The logout message was signed with a key that the connection does not know. If the identity provider changed its certificate, add the new one."},
	{"signature.value", CodeLogoutSig, MendIdPAdmin, "The signature does not match: the logout message was changed after it was signed, signed wrongly, or signed with a key that the connection does not know."},
	{"decryption.key", CodeLogoutNoKey, MendTenantAdmin, "The NameID is encrypted, but the connection has no key to decrypt it."},
	{"decryption", CodeLogoutDecrypt, MendIdPAdmin, "The encrypted NameID cannot be decrypted; encrypt with AES and RSA-OAEP, for the connection's current certificate."},
	{"logout.destination", CodeLogoutDestination, MendIdPAdmin, "The logout message is addressed to another URL; set the logout URL exactly as shown."},
	{"issuer", CodeLogoutIssuer, MendTenantAdmin, "The issuer is not the identity provider entity ID of the connection."},
	{"issued.not_in_future", CodeLogoutIssuedFuture, MendIdPAdmin, "The logout message was issued in the future; the identity provider's clock is ahead."},
	{"issued.recently", CodeLogoutIssuedOld, MendIdPAdmin, "The logout message was issued more than ten minutes ago."},
	{"logout.not_on_or_after", CodeLogoutExpired, MendIdPAdmin, "The logout message has expired; compare the clocks."},
	{"times.present", CodeLogoutTimeMissing, MendIdPAdmin, "The logout message does not say when it was issued."},
	{"times.format", CodeLogoutTimeFormat, MendIdPAdmin, "A time is not in UTC as 2006-01-02T15:04:05Z."},
	{"name_id", CodeLogoutNameID, MendIdPAdmin, "The NameID is empty, too long, or has surrounding white space or control characters."},
	{"logout.in_response_to", CodeLogoutInResponseTo, MendIdPAdmin, "The logout response does not answer the logout request that was sent."},
}

var metadataEntries = []Entry{
	{"metadata.limits", CodeMetadataLimit, MendIdPAdmin, "The metadata is larger than 1 MiB, or deeper or of more parts than is accepted."},
	{"metadata.profile", CodeMetadataXML, MendIdPAdmin, "The metadata is not plain, well-formed UTF-8 XML without document type and processing instructions."},
	{"metadata.root", CodeMetadataRoot, MendIdPAdmin, "The document is not the metadata of one entity, or has no ID to be signed by."},
	{"metadata.ids", CodeMetadataDuplicateID, MendIdPAdmin, "Two elements carry the same ID."},
	{"metadata.signature_structure", CodeMetadataSigStructure, MendIdPAdmin, "The signature of the metadata is not in its place, does not cover the whole entity, or uses a transform that is not accepted."},
	{"metadata.signature_algorithm", CodeMetadataSigAlg, MendIdPAdmin, "The signature of the metadata uses an algorithm or key that is too weak or unknown."},
	{"metadata.signature_present", CodeMetadataUnsigned, MendIdPAdmin, "The metadata is not signed."},
	{"metadata.signature_key", CodeMetadataUntrustedKey, MendTenantAdmin, "The metadata is signed with a key that is not among the pinned ones."},
	{"metadata.signature_value", CodeMetadataSig, MendIdPAdmin, "The signature of the metadata does not match: it was changed after it was signed, or signed wrongly."},
}

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

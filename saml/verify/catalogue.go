package verify

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

// checkOf names the check that yields a code. What a code means in words, and who
// can mend it, stands in signin.Explain.
var checkOf = map[string]string{
	CodeConfig:             "configuration",
	CodeLimit:              "document.limits",
	CodeXMLProfile:         "document.profile",
	CodeRoot:               "response.root",
	CodeVersion:            "response.version",
	CodeStructure:          "response.structure",
	CodeSigStructure:       "signature.structure",
	CodeSigRef:             "signature.reference",
	CodeSigTransform:       "signature.transforms",
	CodeSigAlg:             "signature.algorithm",
	CodeDuplicateID:        "response.ids",
	CodeMultipleAssertions: "response.assertions",
	CodeUnsigned:           "signature.present",
	CodeUntrustedKey:       "signature.key",
	CodeSig:                "signature.value",
	CodeNoDecryptionKey:    "decryption.key",
	CodeDecrypt:            "decryption",
	CodeEncrypted:          "assertion.plain",

	CodeStatusAuthnFailed:   "status",
	CodeStatusNoPassive:     "status",
	CodeStatusRequestDenied: "status",
	CodeStatusNameIDPolicy:  "status",
	CodeStatusNoContext:     "status",
	CodeStatusVersion:       "status",
	CodeStatusRequester:     "status",
	CodeStatusResponder:     "status",
	CodeStatusOther:         "status",
	CodeStatusAmbiguous:     "status",

	CodeInResponseTo: "response.in_response_to",
	CodeDestination:  "response.destination",
	CodeIssuer:       "issuer",

	CodeSubjectConfirmation: "confirmation.method",
	CodeRecipient:           "confirmation.recipient",
	CodeTimeConfirmBefore:   "confirmation.not_before",
	CodeTimeConfirmExpired:  "confirmation.not_on_or_after",
	CodeConditions:          "conditions.unknown",
	CodeTimeNotYet:          "conditions.not_before",
	CodeTimeExpired:         "conditions.not_on_or_after",
	CodeTimeMissing:         "times.present",
	CodeTimeFormat:          "times.format",
	CodeTimeLifetime:        "times.lifetime",
	CodeAudienceMissing:     "conditions.audience_present",
	CodeAudience:            "conditions.audience",

	CodeTimeIssuedFuture: "issued.not_in_future",
	CodeTimeIssuedOld:    "issued.recently",
	CodeTimeAuthnFuture:  "authn.instant",
	CodeTimeSessionEnded: "authn.session",
	CodeAuthnContext:     "authn.context",
	CodeNameID:           "name_id",
	CodeAttribute:        "attributes.values",
	CodeAttrAmbiguous:    "attributes.email",

	// Of logout messages.
	CodeLogoutConfig:       "configuration",
	CodeLogoutQuery:        "logout.query",
	CodeLogoutLimit:        "document.limits",
	CodeLogoutXMLProfile:   "document.profile",
	CodeLogoutRoot:         "logout.root",
	CodeLogoutVersion:      "logout.version",
	CodeLogoutStructure:    "logout.structure",
	CodeLogoutSigStructure: "signature.structure",
	CodeLogoutSigRef:       "signature.reference",
	CodeLogoutSigTransform: "signature.transforms",
	CodeLogoutSigAlg:       "signature.algorithm",
	CodeLogoutDuplicateID:  "logout.ids",
	CodeLogoutUnsigned:     "signature.present",
	CodeLogoutUntrustedKey: "signature.key",
	CodeLogoutSig:          "signature.value",
	CodeLogoutNoKey:        "decryption.key",
	CodeLogoutDecrypt:      "decryption",
	CodeLogoutDestination:  "logout.destination",
	CodeLogoutIssuer:       "issuer",
	CodeLogoutIssuedFuture: "issued.not_in_future",
	CodeLogoutIssuedOld:    "issued.recently",
	CodeLogoutExpired:      "logout.not_on_or_after",
	CodeLogoutTimeMissing:  "times.present",
	CodeLogoutTimeFormat:   "times.format",
	CodeLogoutNameID:       "name_id",
	CodeLogoutInResponseTo: "logout.in_response_to",

	// Of metadata.
	CodeMetadataLimit:        "metadata.limits",
	CodeMetadataXML:          "metadata.profile",
	CodeMetadataRoot:         "metadata.root",
	CodeMetadataDuplicateID:  "metadata.ids",
	CodeMetadataSigStructure: "metadata.signature_structure",
	CodeMetadataSigAlg:       "metadata.signature_algorithm",
	CodeMetadataUnsigned:     "metadata.signature_present",
	CodeMetadataUntrustedKey: "metadata.signature_key",
	CodeMetadataSig:          "metadata.signature_value",
}

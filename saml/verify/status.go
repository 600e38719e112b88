package verify

import "strings"

const statusPrefix = "urn:oasis:names:tc:SAML:2.0:status:"

var statusCodes = map[string]string{
	"AuthnFailed":         CodeStatusAuthnFailed,
	"NoPassive":           CodeStatusNoPassive,
	"RequestDenied":       CodeStatusRequestDenied,
	"InvalidNameIDPolicy": CodeStatusNameIDPolicy,
	"NoAuthnContext":      CodeStatusNoContext,
	"VersionMismatch":     CodeStatusVersion,
	"Requester":           CodeStatusRequester,
	"Responder":           CodeStatusResponder,
}

// status accepts a top-level Success without a second-level code, and maps
// everything else to a code (core §3.2.2.2); the second level is the more
// precise one.
func (v *verifier) status(status *node) bool {
	const want = statusPrefix + "Success"
	var top *node
	message := ""
	for c := status.firstElement(); c != nil; c = c.nextElement() {
		switch {
		case c.is(nsProtocol, "StatusCode"):
			if top != nil {
				v.r.fail(refuse(CodeStatusAmbiguous, "Status has two top-level codes"), want, "two codes")
				return false
			}
			top = c
		case c.is(nsProtocol, "StatusMessage"):
			message, _ = c.leaf()
		}
	}
	if top == nil {
		v.r.fail(refuse(CodeStructure, "Status has no StatusCode"), want, "")
		return false
	}
	value, second := top.attrOr("Value"), ""
	if c := top.firstElement(); c != nil && c.is(nsProtocol, "StatusCode") {
		second = c.attrOr("Value")
	}
	actual := value
	if second != "" {
		actual += " / " + second
	}
	if value == want {
		return v.r.check(top.firstElement() == nil, CodeStatusAmbiguous, "Success with a second-level status "+clip(second), want, actual)
	}
	code, known := statusCodes[strings.TrimPrefix(second, statusPrefix)]
	if !known {
		code, known = statusCodes[strings.TrimPrefix(value, statusPrefix)]
	}
	if !known {
		code = CodeStatusOther
	}
	detail := actual
	if message != "" {
		detail += ": " + clip(message)
	}
	v.r.fail(refuse(code, clip(detail)), want, actual)
	return false
}

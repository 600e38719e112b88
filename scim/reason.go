package scim

import (
	"net/http"
	"strings"
)

// plain is a refusal as the provisioning log tells it to an administrator who
// knows his directory's console and not SCIM: what happened and why, as the
// client was told, and what to do.
func (e *wireError) plain() string {
	return strings.TrimSpace(strings.TrimSpace(e.scimType+" "+e.detail) + " " + advice(e))
}

// What to do about a refusal of a value or mapping, by scimType.
var adviceByType = map[string]string{
	"uniqueness":    "Let the directory match the one that exists instead of creating it again, or give one of them another name.",
	"invalidFilter": "Choose another matching attribute in the directory's attribute mapping.",
	"invalidPath":   "Take the attribute out of the directory's attribute mapping, or map it to one that exists here; your own attributes are defined in a schema of this tenant.",
	"invalidValue":  "Correct the user or group in the directory, or the mapping of this attribute, and let it provision again.",
	"invalidSyntax": "The directory did not send a SCIM request of this kind. Check that the connection's profile is that of the directory.",
	"mutability":    "Take the attribute out of the directory's attribute mapping: it cannot be changed from there.",
	"noTarget":      "The directory changes a value that is not here. Check that the connection's profile is that of the directory, or restart the provisioning so that it sends everything.",
	"sensitive":     "Choose another matching attribute in the directory's attribute mapping.",
	"tooMany":       "Let the directory ask for less at once.",
	"invalidCursor": "The directory begins its list again by itself.",
	"expiredCursor": "The directory begins its list again by itself.",
	"invalidCount":  "The directory begins its list again by itself.",
	"invalidVers":   "Check the address of this connection in the directory's provisioning settings.",
}

// What to do about other refusals, by status.
var adviceByStatus = map[int]string{
	http.StatusUnauthorized:          "Copy a token of this connection into the directory's provisioning settings.",
	http.StatusForbidden:             "Nothing changes until that is lifted; then restart the provisioning in the directory.",
	http.StatusNotFound:              "It was deleted here, or the directory's settings hold the address of another connection. Restart the provisioning so that the directory forgets it.",
	http.StatusMethodNotAllowed:      "Check the address of this connection in the directory's provisioning settings.",
	http.StatusConflict:              "Change it in the directory, and let it provision again.",
	http.StatusPreconditionFailed:    "The directory reads it again by itself.",
	http.StatusRequestEntityTooLarge: "Let the directory send less at once, such as fewer members of a group.",
	http.StatusUnsupportedMediaType:  "Check that this address is in the SCIM 2.0 settings of the directory, and not in those of another protocol.",
	http.StatusTooManyRequests:       "The directory waits and sends it again by itself.",
	http.StatusNotImplemented:        "The directory goes on without it.",
	http.StatusServiceUnavailable:    "The directory sends it again by itself.",
	http.StatusInternalServerError:   "This is not the directory's fault. Give the request id to whoever runs this service.",
}

// advice is what an administrator does about a refusal; empty where nobody knows.
func advice(e *wireError) string {
	switch error(e) {
	case errNoEndpoint, errNoDocument, errDiscovery:
		return adviceByStatus[http.StatusMethodNotAllowed]
	}
	if a, ok := adviceByType[e.scimType]; ok {
		return a
	}
	return adviceByStatus[e.status]
}

package scim

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// wireError is a failure as RFC 7644 §3.12 shapes it.
type wireError struct {
	status   int
	scimType string
	detail   string
	retry    int    // seconds, of Retry-After; 0: none
	allow    string // of Allow, with 405
}

func (e *wireError) Error() string {
	return strconv.Itoa(e.status) + " " + e.scimType + ": " + e.detail
}

func refuse(status int, scimType, detail string) error {
	return &wireError{status: status, scimType: scimType, detail: detail}
}

// Failures of the protocol that no domain package knows.
var (
	errNotFound     = refuse(http.StatusNotFound, "", "There is no such user or group in this connection.")
	errNoEndpoint   = refuse(http.StatusNotFound, "", "There is no such endpoint.")
	errNoDocument   = refuse(http.StatusNotFound, "", "There is no such schema or resource type.")
	errPrecondition = refuse(http.StatusPreconditionFailed, "", "The user or group has changed since the version that the request was made for (If-Match).")
	errMediaType    = refuse(http.StatusUnsupportedMediaType, "", "The body is of a type that is not read here. Send application/scim+json or application/json.")
	errEmptyBody    = refuse(http.StatusBadRequest, "invalidSyntax", "The request came without a body, and needs one in JSON.")
	errOtherHost    = refuse(http.StatusUnauthorized, "", "The bearer token is not valid for this connection.")
	errDiscovery    = refuse(http.StatusForbidden, "", "This address describes the service and takes no filter.") // RFC 7644 §4
)

// scimTypes are the codes of faults that are scimTypes themselves (RFC 7644
// §3.12, RFC 9865 §2.1).
var scimTypes = map[string]bool{
	"invalidFilter": true, "tooMany": true, "uniqueness": true, "mutability": true, "invalidSyntax": true, "invalidPath": true,
	"noTarget": true, "invalidValue": true, "invalidVers": true, "sensitive": true, "invalidCursor": true, "expiredCursor": true, "invalidCount": true,
}

// onWire maps a failure. ok is false for one that is ours alone: the caller logs
// it, and the client learns no more than that.
func onWire(err error) (e *wireError, ok bool) {
	if errors.As(err, &e) {
		return e, true
	}
	var conflict *db.ConflictError
	if errors.As(err, &conflict) {
		return &wireError{status: http.StatusConflict, scimType: "uniqueness", detail: "Another user or group has these values already."}, true
	}
	if errors.Is(err, db.ErrRetry) {
		return &wireError{status: http.StatusServiceUnavailable, detail: "The store is busy. Send the request again.", retry: 1}, true
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return &wireError{status: http.StatusServiceUnavailable, detail: "The request was interrupted. Send it again.", retry: 1}, true
	}
	f, isFault := fault.From(err)
	if !isFault {
		return &wireError{status: http.StatusInternalServerError, detail: "Something went wrong on our side."}, false
	}
	e = &wireError{detail: f.Message}
	if f.Field != "" {
		e.detail += " (" + f.Field + ")"
	}
	switch f.Kind {
	case fault.Invalid:
		e.status, e.scimType = http.StatusBadRequest, "invalidValue"
		if scimTypes[f.Code] {
			e.scimType = f.Code
		}
	case fault.Unauthenticated:
		e.status = http.StatusUnauthorized
	case fault.Forbidden:
		e.status = http.StatusForbidden
	case fault.NotFound:
		e.status = http.StatusNotFound
	case fault.Conflict:
		e.status, e.scimType = http.StatusConflict, "uniqueness"
	case fault.Stale:
		e.status = http.StatusPreconditionFailed
	case fault.TooLarge:
		e.status = http.StatusRequestEntityTooLarge
	case fault.Limited:
		e.status, e.retry = http.StatusTooManyRequests, seconds(f)
	case fault.Unavailable:
		e.status, e.retry = http.StatusServiceUnavailable, seconds(f)
	default:
		return &wireError{status: http.StatusInternalServerError, detail: "Something went wrong on our side."}, false
	}
	return e, true
}

func seconds(f *fault.Error) int { return max(1, int(math.Ceil(f.RetryAfter.Seconds()))) }

// object is the error resource. The status is a string (RFC 7644 §3.12).
func (e *wireError) object() *schema.Object {
	o := schema.NewObject(4)
	o.Set("schemas", []any{schema.ErrorURN})
	o.Set("status", strconv.Itoa(e.status))
	if e.scimType != "" {
		o.Set("scimType", e.scimType)
	}
	if e.detail != "" {
		o.Set("detail", e.detail)
	}
	return o
}

func (e *wireError) write(w http.ResponseWriter) {
	h := w.Header()
	if e.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="scim"`)
	}
	if e.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(e.retry))
	}
	if e.allow != "" {
		h.Set("Allow", e.allow)
	}
	writeBody(w, e.status, e.object().Bytes())
}

func writeBody(w http.ResponseWriter, status int, body []byte) {
	contentHeaders(w)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone: nobody to tell
}

func contentHeaders(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/scim+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
}

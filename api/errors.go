package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/signin"
)

// problem is an error as the wire shows it (RFC 9457 §3). It never repeats a
// submitted value.
type problem struct {
	Type     string        `json:"type" doc:"Where the error is explained"`
	Title    string        `json:"title" doc:"The status in words"`
	Status   int           `json:"status" doc:"The HTTP status"`
	Code     string        `json:"code" doc:"What went wrong, for programs; never changes"`
	Detail   string        `json:"detail" doc:"What went wrong, for people"`
	Instance string        `json:"instance,omitempty" doc:"The request's id, as in X-Request-Id"`
	Errors   []fieldDetail `json:"errors,omitempty" doc:"The inputs that were refused"`

	retryAfter time.Duration
	challenge  string // more of WWW-Authenticate
}

type fieldDetail struct {
	Location string `json:"location" doc:"The input, such as body.emails[5] or query.limit"`
	Message  string `json:"message" doc:"What is wrong with it"`
	Code     string `json:"code" doc:"What is wrong with it, for programs"`
}

// Error implements error.
func (p *problem) Error() string { return p.Code + ": " + p.Detail }

// GetStatus implements huma.StatusError.
func (p *problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *problem) ContentType(string) string { return problemType }

// GetHeaders implements huma.HeadersError.
func (p *problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="gatehouse"`+p.challenge) // RFC 6750 §3
	}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((p.retryAfter+time.Second-1)/time.Second), 10))
	}
	return h
}

const (
	problemType = "application/problem+json"
	errorDocs   = "/api/docs#errors"
	maxLocation = 200
)

// statuses maps kinds of failure; codes that the contract gives another status
// stand below.
var statuses = map[fault.Kind]int{
	fault.Invalid:         http.StatusUnprocessableEntity,
	fault.Unauthenticated: http.StatusUnauthorized,
	fault.Forbidden:       http.StatusForbidden,
	fault.NotFound:        http.StatusNotFound,
	fault.Conflict:        http.StatusConflict,
	fault.Stale:           http.StatusPreconditionFailed,
	fault.TooLarge:        http.StatusRequestEntityTooLarge,
	fault.Limited:         http.StatusTooManyRequests,
	fault.Unavailable:     http.StatusServiceUnavailable,
}

var statusOf = map[string]int{
	"reserved_prefix":         http.StatusBadRequest, // product 132
	"bulk_limit":              http.StatusBadRequest, // product 130
	"ambiguous_credentials":   http.StatusBadRequest, // RFC 6750 §3.1
	"invalid_idempotency_key": http.StatusBadRequest, // draft-ietf-httpapi-idempotency-key-header-07 §2.7
}

func newProblem(status int, code, detail, instance string) *problem {
	return &problem{Type: errorDocs, Title: http.StatusText(status), Status: status, Code: code, Detail: detail, Instance: instance}
}

// problem turns any failure into its wire shape. What is not a fault is a defect:
// it is logged here, once, and its text is not sent.
func (h *Handler) problem(ctx context.Context, err error, instance string) *problem {
	f, ok := fault.From(err)
	var conflict *db.ConflictError
	switch {
	case ok:
	case errors.As(err, &conflict): // what the request names came or went while it ran
		f = fault.New(fault.Conflict, "conflict", "Something that the request names was changed at the same time. Read it again.")
	case errors.Is(err, db.ErrRetry):
		f = fault.New(fault.Unavailable, "try_again", "The store was busy. Send the request again.")
		f.RetryAfter = time.Second
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		f = fault.New(fault.Unavailable, "interrupted", "The request was interrupted.")
	default:
		h.Logger.LogAttrs(ctx, slog.LevelError, "api request failed", slog.String("error", err.Error()))
		return newProblem(http.StatusInternalServerError, "internal", "Something went wrong. The request id leads to the cause in the log.", instance)
	}
	status := statuses[f.Kind]
	if s, ok := statusOf[f.Code]; ok {
		status = s
	}
	if f.Cause != nil && status >= http.StatusInternalServerError {
		h.Logger.LogAttrs(ctx, slog.LevelWarn, "api request failed", slog.String("error", err.Error()))
	}
	p := newProblem(status, f.Code, f.Message, instance)
	p.retryAfter = f.RetryAfter
	if f.Code == signin.ErrStepUp.Code {
		p.challenge = stepUp(f == signin.ErrStepUpSecond)
	}
	if f.Field != "" {
		location := "body." + f.Field
		if f.Field == "cursor" {
			location = "query.cursor"
		}
		p.Errors = []fieldDetail{{Location: location, Message: f.Message, Code: f.Code}}
	}
	return p
}

// stepUp tells the application what to ask for at the authorization endpoint
// (RFC 9470 §3).
func stepUp(second bool) string {
	c := `, error="insufficient_user_authentication", error_description="A fresh sign-in is needed", max_age="` + strconv.Itoa(int(signin.FreshFor.Seconds())) + `"`
	if second {
		c += `, acr_values="` + signin.ACRMultiFactor + `"`
	}
	return c
}

func writeProblem(w http.ResponseWriter, p *problem) {
	for k, v := range p.GetHeaders() {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // a reader that went away is not worth a word
}

func requestID(r *http.Request) string { return httpx.InfoOf(r).RequestID }

// The framework makes its errors through these two variables. Its own shape
// repeats submitted values and lacks a code.
func init() {
	huma.DefaultArrayNullable = false
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		return frameworkProblem(status, message, "", errs)
	}
	huma.NewErrorWithContext = func(ctx huma.Context, status int, message string, errs ...error) huma.StatusError {
		r, _ := humachi.Unwrap(ctx)
		return frameworkProblem(status, message, requestID(r), errs)
	}
}

var frameworkCodes = map[int]string{
	http.StatusBadRequest:            "invalid_request",
	http.StatusRequestTimeout:        "request_timeout",
	http.StatusRequestEntityTooLarge: "body_too_large",
	http.StatusUnsupportedMediaType:  "unsupported_media_type",
	http.StatusUnprocessableEntity:   "validation_failed",
}

var frameworkDetails = map[int]string{
	http.StatusBadRequest:            "The request could not be read.",
	http.StatusRequestTimeout:        "The body did not arrive in time.",
	http.StatusRequestEntityTooLarge: "The body is too large.",
	http.StatusUnsupportedMediaType:  "Send the body as application/json.",
	http.StatusUnprocessableEntity:   "Some inputs were refused.",
}

func frameworkProblem(status int, _, instance string, errs []error) *problem {
	code, ok := frameworkCodes[status]
	detail := frameworkDetails[status]
	if !ok {
		code, detail = "internal", "Something went wrong. The request id leads to the cause in the log."
	}
	p := newProblem(status, code, detail, instance)
	for _, err := range errs {
		var d huma.ErrorDetailer
		if !errors.As(err, &d) {
			p.Errors = append(p.Errors, fieldDetail{Location: "body", Message: "The value cannot be read.", Code: "invalid"})
			continue
		}
		in := d.ErrorDetail()
		p.Errors = append(p.Errors, fieldDetail{Location: shown(in.Location), Message: in.Message, Code: "invalid"})
		if len(p.Errors) == 50 {
			break
		}
	}
	return p
}

// shown bounds a location, which may hold a name that the caller chose.
func shown(location string) string {
	location = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(location, ""))
	if len(location) > maxLocation {
		location = strings.ToValidUTF8(location[:maxLocation], "")
	}
	return location
}

func refused(code, message, field string) error {
	return fault.New(fault.Invalid, code, message).In(field)
}

package provider

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// wireError is an error in the words of the protocol.
type wireError struct {
	code        string // of the vocabulary
	description string // ASCII without " and \ (RFC 6749 §5.2)
	basic       bool   // the client used HTTP Basic, so the answer names it
	cause       error
}

func (e *wireError) Error() string {
	s := e.code + ": " + e.description
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

func (e *wireError) Unwrap() error { return e.cause }

func refuse(code, description string) error { return &wireError{code: code, description: description} }

// asWire maps a failure to the protocol's words. A lifecycle refusal is a grant
// that no longer holds. It gives nil for anything that is not the caller's to
// know; that is a 500 or, when another attempt may succeed, a 503.
func asWire(err error) *wireError {
	var w *wireError
	if errors.As(err, &w) {
		return w
	}
	if errors.Is(err, tenants.ErrUnknownHost) {
		return &wireError{code: oidc.InvalidRequest, description: tenants.ErrUnknownHost.Message, cause: err}
	}
	f, ok := fault.From(err)
	if !ok {
		return nil
	}
	switch f.Kind {
	case fault.Invalid, fault.Forbidden, fault.Conflict, fault.NotFound:
		return &wireError{code: oidc.InvalidGrant, description: f.Message, cause: err}
	case fault.Unauthenticated:
		return &wireError{code: oidc.InvalidToken, description: f.Message, cause: err}
	case fault.TooLarge:
		return &wireError{code: oidc.InvalidRequest, description: f.Message, cause: err}
	}
	return nil
}

func unavailable(err error) bool {
	return errors.Is(err, db.ErrRetry) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		fault.KindOf(err) == fault.Unavailable || fault.KindOf(err) == fault.Limited
}

// errorBody is the answer of RFC 6749 §5.2.
type errorBody struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

// fail answers an error of an endpoint that applications call.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	noStore(w)
	we := asWire(err)
	switch {
	case we == nil && unavailable(err):
		w.Header().Set("Retry-After", "1")
		h.log.LogAttrs(r.Context(), slog.LevelWarn, "oidc: unavailable", slog.Any("error", err))
		h.json(w, r, http.StatusServiceUnavailable, errorBody{oidc.TemporarilyUnavailable, "Try again. " + reference(r)})
	case we == nil:
		h.log.LogAttrs(r.Context(), slog.LevelError, "oidc: failed", slog.Any("error", err))
		h.json(w, r, http.StatusInternalServerError, errorBody{oidc.ServerError, "Something went wrong on our side. " + reference(r)})
	case we.code == oidc.InvalidClient:
		// RFC 6749 §5.2: 401, and the scheme where the client used it.
		if we.basic {
			w.Header().Set("WWW-Authenticate", `Basic realm="token", charset="UTF-8"`)
		}
		h.json(w, r, http.StatusUnauthorized, errorBody{we.code, we.description})
	default:
		h.json(w, r, http.StatusBadRequest, errorBody{we.code, printable(we.description)})
	}
}

// failBearer answers an error of a protected resource (RFC 6750 §3).
func (h *Handler) failBearer(w http.ResponseWriter, r *http.Request, err error) {
	we := asWire(err)
	if we == nil {
		h.fail(w, r, err)
		return
	}
	noStore(w)
	status := http.StatusUnauthorized
	switch we.code {
	case oidc.InvalidRequest:
		status = http.StatusBadRequest
	case oidc.InvalidDPoPProof, oidc.UseDPoPNonce:
	case oidc.InsufficientScope:
		status = http.StatusForbidden
	default:
		we = &wireError{code: oidc.InvalidToken, description: we.description} // a grant that no longer holds, as a token
	}
	scheme := "Bearer"
	if we.code == oidc.InvalidDPoPProof || we.code == oidc.UseDPoPNonce {
		scheme = "DPoP" // RFC 9449 §7.1, §9
	}
	w.Header().Set("WWW-Authenticate", scheme+` error="`+we.code+`", error_description="`+printable(we.description)+`"`)
	h.json(w, r, status, errorBody{we.code, printable(we.description)})
}

// page answers with an error page: for everything that must not become a
// redirect.
func (h *Handler) page(w http.ResponseWriter, r *http.Request, err error) {
	f, ok := fault.From(err)
	var we *wireError
	switch {
	case errors.As(err, &we):
		h.pages.Error(w, r, http.StatusBadRequest, "The sign-in cannot begin", we.description, we.code, "")
	case ok && f.Kind == fault.NotFound:
		h.pages.Error(w, r, http.StatusNotFound, "There is nothing here", f.Message, f.Code, "")
	case ok && f.Kind == fault.Forbidden:
		h.pages.Error(w, r, http.StatusForbidden, "The sign-in cannot go on", f.Message, f.Code, "")
	case ok && f.Kind == fault.Limited:
		w.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter.Seconds())+1))
		h.pages.Error(w, r, http.StatusTooManyRequests, "Please wait", f.Message, f.Code, "")
	case ok && f.Kind != fault.Unavailable:
		h.pages.Error(w, r, http.StatusBadRequest, "The sign-in cannot go on", f.Message, f.Code, "")
	case unavailable(err):
		h.log.LogAttrs(r.Context(), slog.LevelWarn, "oidc: unavailable", slog.Any("error", err))
		h.pages.Error(w, r, http.StatusServiceUnavailable, "Please try again", "The service is busy. Try again in a moment.", oidc.TemporarilyUnavailable, httpx.InfoOf(r).RequestID)
	default:
		h.log.LogAttrs(r.Context(), slog.LevelError, "oidc: failed", slog.Any("error", err))
		h.pages.Error(w, r, http.StatusInternalServerError, "Something went wrong", "The fault is on our side. Try again in a moment; if it keeps failing, give your administrator the code below.", oidc.ServerError, httpx.InfoOf(r).RequestID)
	}
}

func reference(r *http.Request) string {
	return "Quote the request id " + httpx.InfoOf(r).RequestID + " when you ask for help."
}

// printable keeps a description to the characters that headers and
// error_description may hold (RFC 6749 §5.2).
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			return '\''
		}
		return r
	}, s)
}

func noStore(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
}

func (h *Handler) json(w http.ResponseWriter, r *http.Request, status int, v any) {
	if err := httpx.WriteJSON(w, status, v); err != nil {
		h.log.LogAttrs(r.Context(), slog.LevelError, "oidc: answer not encoded", slog.Any("error", err))
		http.Error(w, strconv.Itoa(http.StatusInternalServerError), http.StatusInternalServerError)
	}
}

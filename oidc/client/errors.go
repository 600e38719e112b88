package client

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/oidc"
)

// statusOf maps a failure to what the endpoints for machines answer.
func statusOf(err error) int {
	switch fault.KindOf(err) {
	case fault.Unauthenticated:
		return http.StatusUnauthorized
	case fault.Forbidden:
		return http.StatusForbidden
	case fault.NotFound:
		return http.StatusNotFound
	case fault.TooLarge:
		return http.StatusRequestEntityTooLarge
	case fault.Limited:
		return http.StatusTooManyRequests
	case fault.Unavailable:
		return http.StatusServiceUnavailable
	case 0:
		if errors.Is(err, db.ErrRetry) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return http.StatusServiceUnavailable
		}
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// noted logs a failure once and gives what may be told of it.
func (h *Handler) noted(w http.ResponseWriter, r *http.Request, err error) (status int, code, message string) {
	status = statusOf(err)
	level := slog.LevelInfo
	if status >= http.StatusInternalServerError {
		level = slog.LevelWarn
		w.Header().Set("Retry-After", "5")
	}
	h.log.LogAttrs(r.Context(), level, "oidc: refused an identity provider's request", slog.Int("status", status), slog.Any("error", err))
	f, ok := fault.From(err)
	if !ok {
		return status, "", "Something went wrong on our side. Reference: " + httpx.InfoOf(r).RequestID
	}
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter.Seconds())))
	}
	return status, f.Code, f.Message
}

// failLogout answers in the words of OAuth 2.0 (OpenID Connect Back-Channel
// Logout §2.8). A refusal is 400 whatever its reason.
func (h *Handler) failLogout(w http.ResponseWriter, r *http.Request, err error) {
	status, code, message := h.noted(w, r, err)
	word := oidc.InvalidRequest
	switch status {
	case http.StatusInternalServerError:
		word = oidc.ServerError
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		word = oidc.TemporarilyUnavailable
	case http.StatusNotFound:
	default:
		status = http.StatusBadRequest
	}
	if code != "" {
		message = code + ": " + message
	}
	_ = httpx.WriteJSON(w, status, map[string]string{"error": word, "error_description": message}) // strings always encode
}

// problem answers as RFC 9457 §3 says.
func (h *Handler) problem(w http.ResponseWriter, r *http.Request, err error) {
	status, code, message := h.noted(w, r, err)
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer error="`+oidc.InvalidToken+`"`)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	_ = httpx.WriteJSON(w, status, map[string]any{ // strings and a number always encode
		"type": "about:blank", "title": http.StatusText(status), "status": status, "code": code, "detail": message,
	})
}

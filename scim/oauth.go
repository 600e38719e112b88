package scim

import (
	"encoding/json"
	"errors"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strconv"

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/tenants"
)

const (
	tokenPath    = "/scim/{connection}/oauth2/token"
	maxTokenBody = 8 << 10 // bytes
	grantType    = "client_credentials"
)

// tokenError is an error of the token endpoint (RFC 6749 §5.2).
type tokenError struct {
	status            int
	code, description string // ASCII without " and \
	basic             bool   // the client used HTTP Basic, so the answer names it
	cause             error
}

func (e *tokenError) Error() string { return e.code + ": " + e.description }

var errNoClient = fault.New(fault.Unauthenticated, "invalid_client", "The client is unknown or did not authenticate.")

func badRequest(code, description string) error {
	return &tokenError{status: http.StatusBadRequest, code: code, description: description}
}

// token is the client credentials grant (RFC 6749 §4.4). It is the one address
// of the package that a connection's token does not open.
func (h *Handler) token(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store") // RFC 6749 §5.1
	w.Header().Set("Pragma", "no-cache")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	token, scoped, err := h.grant(r)
	if err != nil {
		h.refuseToken(w, r, err)
		return
	}
	answer := map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": int(tenants.SCIMTokenLifetime.Seconds())}
	if scoped { // RFC 6749 §5.1: what is granted is not what was asked for
		answer["scope"] = "scim"
	}
	writeToken(w, http.StatusOK, answer)
}

func (h *Handler) grant(r *http.Request) (token string, scoped bool, err error) {
	if r.Method != http.MethodPost {
		return "", false, &tokenError{status: http.StatusMethodNotAllowed, code: "invalid_request", description: "Send a POST request."}
	}
	host, err := h.Environments.ByHost(r.Context(), r.Host)
	if fault.KindOf(err) == fault.NotFound {
		return "", false, &tokenError{status: http.StatusNotFound, code: "invalid_request", description: "No environment answers this host.", cause: err}
	}
	if err != nil {
		return "", false, err
	}
	connection := chi.URLParam(r, "connection")
	if environment, _, err := h.Tenants.Locate(r.Context(), h.DB, connection); err == nil { // others have no bucket
		if environment != host.ID { // another environment's connection is absent on this host
			return "", false, &tokenError{status: http.StatusUnauthorized, code: "invalid_client", description: errNoClient.Message}
		}
		if err := h.Limiter.Take("token "+connection, h.Clock.Now()); err != nil {
			return "", false, err
		}
	}
	form, err := tokenForm(r)
	if err != nil {
		return "", false, err
	}
	c, err := clientOf(r, form)
	if err != nil {
		return "", false, err
	}
	token, err = h.Tenants.GrantSCIMToken(r.Context(), h.DB, connection, c.id, c.secret)
	switch fault.KindOf(err) {
	case fault.Unauthenticated:
		return "", false, &tokenError{status: http.StatusUnauthorized, code: "invalid_client", description: errNoClient.Message, basic: c.basic, cause: err}
	case fault.Forbidden:
		return "", false, &tokenError{status: http.StatusBadRequest, code: "unauthorized_client", description: "The connection is paused, or its tenant is suspended.", cause: err}
	}
	if err != nil {
		return "", false, err
	}
	if form["grant_type"] != grantType {
		return "", false, badRequest("unsupported_grant_type", "The grant type is client_credentials.")
	}
	return token, form["scope"] != "", nil
}

// tokenForm reads the parameters, each at most once (RFC 6749 §3.2).
func tokenForm(r *http.Request) (map[string]string, error) {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/x-www-form-urlencoded" {
		return nil, badRequest("invalid_request", "Send the parameters as application/x-www-form-urlencoded.")
	}
	raw, err := httpx.ReadBody(r, maxTokenBody)
	if err != nil {
		return nil, err
	}
	values, err := url.ParseQuery(string(raw))
	if err != nil {
		return nil, badRequest("invalid_request", "The parameters cannot be read.")
	}
	form := make(map[string]string, len(values))
	for name, v := range values {
		if len(v) > 1 {
			return nil, badRequest("invalid_request", "A parameter stands twice in the request.")
		}
		form[name] = v[0]
	}
	if form["grant_type"] == "" {
		return nil, badRequest("invalid_request", "The parameter grant_type is missing.")
	}
	return form, nil
}

type clientCredentials struct {
	id, secret string
	basic      bool
}

// clientOf reads the client's credentials from the header or the body, not from
// both (RFC 6749 §2.3).
func clientOf(r *http.Request, form map[string]string) (clientCredentials, error) {
	if len(r.Header.Values("Authorization")) == 0 {
		return clientCredentials{id: form["client_id"], secret: form["client_secret"]}, nil
	}
	id, secret, ok := httpx.ClientBasic(r)
	if !ok {
		return clientCredentials{}, &tokenError{status: http.StatusUnauthorized, code: "invalid_client", description: "The Authorization header cannot be read.", basic: true, cause: errNoClient}
	}
	c := clientCredentials{id: id, secret: secret, basic: true}
	if form["client_secret"] != "" || form["client_id"] != "" && form["client_id"] != c.id {
		return c, badRequest("invalid_request", "The client authenticated in two ways at once.")
	}
	return c, nil
}

// refuseToken answers an error and, where the connection is known, puts it into
// its provisioning log.
func (h *Handler) refuseToken(w http.ResponseWriter, r *http.Request, err error) {
	var e *tokenError
	switch {
	case errors.As(err, &e):
	case fault.KindOf(err) == fault.TooLarge, fault.KindOf(err) == fault.Invalid:
		e = &tokenError{status: http.StatusBadRequest, code: "invalid_request", description: "The body is too large or ended early."}
	case fault.KindOf(err) == fault.Limited:
		w.Header().Set("Retry-After", "1")
		e = &tokenError{status: http.StatusTooManyRequests, code: "temporarily_unavailable", description: "Too many requests. Wait and send the request again."}
	case errors.Is(err, db.ErrRetry), fault.KindOf(err) == fault.Unavailable:
		w.Header().Set("Retry-After", "1")
		e = &tokenError{status: http.StatusServiceUnavailable, code: "temporarily_unavailable", description: "Try again."}
	default:
		h.Logger.LogAttrs(r.Context(), slog.LevelError, "scim token request failed", slog.Any("error", err))
		e = &tokenError{status: http.StatusInternalServerError, code: "server_error", description: "Something went wrong on our side."}
	}
	if c, _ := h.refused(r, e.cause); c != nil {
		c.entry.Path, c.entry.Status, c.entry.Detail = "/oauth2/token", e.status, e.code+" "+e.description
		h.Log.enqueue(c.entry)
	}
	if e.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	if e.basic && e.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="scim", charset="UTF-8"`)
	}
	writeToken(w, e.status, map[string]any{"error": e.code, "error_description": e.description})
}

func writeToken(w http.ResponseWriter, status int, body map[string]any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write(text) // the client is gone: nobody to tell
}

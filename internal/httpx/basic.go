package httpx

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
)

// ClientBasic reads the credentials of an OAuth 2.0 client from the Authorization
// header, both form-encoded before they are joined (RFC 6749 §2.3.1). ok is false
// where the header is missing, repeated or anything else.
func ClientBasic(r *http.Request) (id, secret string, ok bool) {
	headers := r.Header.Values("Authorization")
	if len(headers) != 1 {
		return "", "", false
	}
	scheme, encoded, _ := strings.Cut(headers[0], " ")
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil || !strings.EqualFold(scheme, "Basic") {
		return "", "", false
	}
	id, secret, ok = strings.Cut(string(raw), ":")
	if !ok {
		return "", "", false
	}
	if id, err = url.QueryUnescape(id); err != nil {
		return "", "", false
	}
	if secret, err = url.QueryUnescape(secret); err != nil {
		return "", "", false
	}
	return id, secret, true
}

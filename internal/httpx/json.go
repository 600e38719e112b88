package httpx

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// ReadBody reads a body of at most limit bytes; more is fault.TooLarge.
func ReadBody(r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, bodyTooLarge(limit)
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	var capped *http.MaxBytesError
	switch {
	case errors.As(err, &capped):
		return nil, bodyTooLarge(capped.Limit)
	case err != nil:
		return nil, fault.New(fault.Invalid, "unreadable_body", "The body ended early.").Because(err)
	case int64(len(b)) > limit:
		return nil, bodyTooLarge(limit)
	}
	return b, nil
}

func bodyTooLarge(limit int64) error {
	return fault.New(fault.TooLarge, "body_too_large", fmt.Sprintf("The body is larger than %d bytes.", limit))
}

// WriteJSON answers with v. Content-Type (application/json) and Cache-Control
// (no-store) are set unless the handler has set them. An error means that v
// cannot be encoded; nothing has been written then.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	WriteRawJSON(w, status, b)
	return nil
}

// WriteRawJSON is WriteJSON of what is JSON already.
func WriteRawJSON(w http.ResponseWriter, status int, b []byte) {
	h := w.Header()
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // the client is gone: nobody to tell
}

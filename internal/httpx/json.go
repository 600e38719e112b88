package httpx

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

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

// ReadJSON decodes a body of at most limit bytes into v: one JSON value, no
// unknown fields, nothing after it. Failures are fault.Invalid, with the field
// where it is known, and never repeat a submitted value.
func ReadJSON(r *http.Request, limit int64, v any) error {
	b, err := ReadBody(r, limit)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return badJSON(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fault.New(fault.Invalid, "invalid_json", "The body holds more than one JSON value.")
	}
	return nil
}

func badJSON(err error) error {
	var typ *json.UnmarshalTypeError
	if errors.As(err, &typ) {
		f := fault.New(fault.Invalid, "invalid_type", "The value has the wrong type.").Because(err)
		return f.In(typ.Field)
	}
	// encoding/json has no type for it; the name is quoted by Go's rules.
	if name, ok := strings.CutPrefix(err.Error(), `json: unknown field "`); ok {
		return fault.New(fault.Invalid, "unknown_field", "There is no such field.").In(clean(strings.TrimSuffix(name, `"`), 100))
	}
	return fault.New(fault.Invalid, "invalid_json", "The body is not valid JSON.").Because(err)
}

// WriteJSON answers with v. Content-Type (application/json) and Cache-Control
// (no-store) are set unless the handler has set them. An error means that v
// cannot be encoded; nothing has been written then.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
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
	return nil
}

package scim

import (
	"mime"
	"net/http"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// maxBody is the largest request body in bytes.
const maxBody = schema.MaxPayload

// readBody reads a JSON object: at most 1 MiB and 32 levels, in any JSON media
// type or none, which clients leave out (Okta SPEC test 2016).
func (c *call) readBody(r *http.Request) (*schema.Object, error) {
	if !jsonType(r.Header.Get("Content-Type")) {
		return nil, errMediaType
	}
	raw, err := httpx.ReadBody(r, maxBody)
	if err != nil {
		return nil, err
	}
	if len(raw) == 0 {
		return nil, errEmptyBody
	}
	c.guessProfile(raw)
	doc, err := schema.Decode(raw)
	c.entry.Body = c.redact(raw, doc)
	return doc, err
}

func jsonType(header string) bool {
	if header == "" {
		return true
	}
	t, _, err := mime.ParseMediaType(header)
	if t == "" && err != nil {
		return false
	}
	return t == "application/json" || t == "text/json" || strings.HasPrefix(t, "application/") && strings.HasSuffix(t, "+json")
}

package scim

import (
	"bytes"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// Limits of what the provisioning log keeps.
const (
	maxLoggedBody = 16 << 10
	maxLoggedPath = 2048
	hidden        = "(hidden)"
	withheld      = "(withheld: it may hold a secret and cannot be read)"
)

// secretWords are the parts of a name by which its value is kept out of the log.
var secretWords = []string{"password", "secret", "token"}

func isSecret(name string) bool {
	name = strings.ToLower(name)
	for _, w := range secretWords {
		if strings.Contains(name, w) {
			return true
		}
	}
	return false
}

// redact gives what the log keeps of a body. doc is nil when it could not be
// read: then a body that may hold a secret is withheld whole.
func redact(raw []byte, doc *schema.Object) string {
	lower := bytes.ToLower(raw)
	secret := false
	for _, w := range secretWords {
		secret = secret || bytes.Contains(lower, []byte(w))
	}
	// A name may be spelled with escapes.
	secret = secret || bytes.Contains(lower, []byte(`\u`))
	switch {
	case !secret:
	case doc == nil:
		return withheld
	default:
		clean, _ := redacted(doc).(*schema.Object)
		raw = clean.Bytes()
	}
	return cut(string(raw), maxLoggedBody)
}

func redacted(v any) any {
	switch v := v.(type) {
	case *schema.Object:
		out := schema.NewObject(v.Len())
		path, _ := func() (string, bool) { _, p, ok := v.Fold("path"); s, _ := p.(string); return s, ok }()
		for key, w := range v.All() {
			if isSecret(key) || isSecret(path) && strings.EqualFold(key, "value") {
				out.Set(key, hidden)
				continue
			}
			out.Set(key, redacted(w))
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = redacted(v[i])
		}
		return out
	}
	return v
}

// pathOf is the path and query as the log shows them.
func pathOf(r *http.Request) string {
	_, p, _ := strings.Cut(r.URL.Path, "/v2")
	if p == "" {
		p = "/"
	}
	if r.URL.RawQuery != "" {
		p += "?" + r.URL.RawQuery
	}
	return cut(p, maxLoggedPath)
}

// cut bounds a text and makes it storable.
func cut(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit]
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.ReplaceAll(s, "\x00", "\uFFFD")
}

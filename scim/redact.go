package scim

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
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
var secretWords = []string{"password", "passwd", "passphrase", "credential", "secret", "token"}

func isSecret(name string) bool {
	name = strings.ToLower(name)
	for _, w := range secretWords {
		if strings.Contains(name, w) {
			return true
		}
	}
	return false
}

// unquoted is a filter or path without its quoted values.
func unquoted(s string) string {
	if strings.IndexByte(s, '"') < 0 {
		return s
	}
	var b strings.Builder
	inside := false
	for i := 0; i < len(s); i++ {
		switch {
		case inside && s[i] == '\\':
			i++
		case s[i] == '"':
			inside = !inside
			b.WriteByte(' ')
		case !inside:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// namesSecret tells whether a filter or path names a secret, by its words or by
// the folded names of attributes that are never returned.
func namesSecret(s string, names map[string]bool) bool {
	s = unquoted(s)
	return isSecret(s) || len(names) > 0 && slices.ContainsFunc(strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return r != '_' && r != '-' && r != '$' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}), func(word string) bool { return names[word] })
}

// hideFilter withholds a filter that compares a secret: what stands in it may be
// the secret itself.
func hideFilter(s string, names map[string]bool) string {
	if namesSecret(s, names) {
		return hidden
	}
	return s
}

// hidePath is hideFilter for the value filter of a path, or of a text that quotes
// one.
func hidePath(s string, names map[string]bool) string {
	begin, end := strings.IndexByte(s, '['), strings.LastIndexByte(s, ']')
	if begin < 0 || !namesSecret(s, names) {
		return s
	}
	if end < begin {
		return s[:begin+1] + hidden
	}
	return s[:begin+1] + hidden + s[end:]
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
			out.Set(key, redacted(hideCompared(key, w, nil)))
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

// hideCompared withholds what a member of a body that is a filter or path says of
// a secret.
func hideCompared(key string, v any, names map[string]bool) any {
	s, ok := v.(string)
	switch {
	case ok && strings.EqualFold(key, "filter"):
		return hideFilter(s, names)
	case ok && strings.EqualFold(key, "path"):
		return hidePath(s, names)
	}
	return v
}

// pathOf is the path and query as the log shows them: without tokens, which RFC
// 6750 §2.3 allows in a query, and without what a filter says of a secret.
func pathOf(r *http.Request, names map[string]bool) string {
	_, p, _ := strings.Cut(r.URL.Path, "/v2")
	if p == "" {
		p = "/"
	}
	if r.URL.RawQuery != "" {
		p += "?" + hideQuery(r.URL.RawQuery, names)
	}
	return cut(p, maxLoggedPath)
}

func hideQuery(query string, names map[string]bool) string {
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		rawKey, rawValue, _ := strings.Cut(pair, "=")
		key, err := url.QueryUnescape(rawKey)
		value, err2 := url.QueryUnescape(rawValue)
		if err != nil || err2 != nil { // as it stands
			key, value = rawKey, rawValue
		}
		if isSecret(key) || strings.EqualFold(key, "filter") && namesSecret(value, names) {
			pairs[i] = rawKey + "=" + hidden
		}
	}
	return strings.Join(pairs, "&")
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

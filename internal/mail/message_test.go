package mail

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestMessageCheck(t *testing.T) {
	good := func(name string, m Message) {
		t.Helper()
		if _, err := m.Payload(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad := func(name string, m Message) {
		t.Helper()
		if _, err := m.Payload(); !errors.Is(err, ErrMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	with := func(f func(*Message)) Message {
		m := Message{To: Address{Email: "ada@example.com", Name: "Ada Byron"}, Subject: "Subject", Text: "Text"}
		f(&m)
		return m
	}
	to := func(email string) Message { return with(func(m *Message) { m.To.Email = email }) }
	good("plain", with(func(*Message) {}))
	good("plus", to("ada+sso@example.com"))
	good("no name", with(func(m *Message) { m.To.Name = "" }))
	good("umlaut domain", to("ada@exämple.com"))
	good("non-ASCII name and subject", with(func(m *Message) { m.To.Name, m.Subject = "Ада Байрон", "Zertifikat läuft ab ☂" }))
	good("name with quotes", with(func(m *Message) { m.To.Name = `Ada "A" <x@y>, Byron` }))

	for _, email := range []string{
		"", "ada", "@example.com", "ada@", "ada@example.com\r\nBcc: eve@evil.example", "ada@example.com\n", "ada@example.com, eve@evil.example",
		"Ada <ada@example.com>", "ada@example.com>", "<ada@example.com>", "ada @example.com", "ada@exam ple.com", "ada@example.com\x00", "-oQ/tmp@example.com",
		"ada@" + strings.Repeat("x", 250) + ".com", strings.Repeat("x", 250) + "@example.com", "ada@example.com (comment)", "\"ada\r\n\"@example.com", "a@b@example.com", "\xff@example.com",
	} {
		bad("address "+email, to(email))
	}
	for name, s := range map[string]string{"CRLF": "a\r\nBcc: eve@evil.example", "LF": "a\nb", "CR": "a\rb", "NUL": "a\x00b", "U+2028": "a\u2028b", "U+0085": "a\u0085b", "not UTF-8": "\xff", "long": strings.Repeat("x", 201)} {
		bad("subject with "+name, with(func(m *Message) { m.Subject = s }))
		bad("name with "+name, with(func(m *Message) { m.To.Name = s }))
	}
	bad("no subject", with(func(m *Message) { m.Subject = "" }))
	bad("no text", with(func(m *Message) { m.Text = "" }))
	bad("large", with(func(m *Message) { m.Text = strings.Repeat("x", 61<<10) }))

	// Every try of a job has the same Message-ID.
	b, _ := with(func(*Message) {}).Payload()
	var m Message
	if err := json.Unmarshal(b, &m); err != nil || len(m.ID) != 26 || m.Text != "Text" {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestLetter(t *testing.T) {
	m, err := Letter{
		Subject:    "Approve\r\nBcc: eve@evil.example",
		Paragraphs: []string{"One <script>alert(1)</script> & more.", "Two."},
		Facts:      []Fact{{Label: "Connection", Value: "Okta (sso_1)"}, {Label: "Key", Value: "ab12"}},
		Steps:      []string{"Look.", "Approve."},
		Closing:    "You are an admin.",
	}.To(Address{Email: "ada@example.com", Name: "Ada\n Byron"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Payload(); err != nil {
		t.Fatal(err)
	}
	if m.Subject != "Approve Bcc: eve@evil.example" || m.To.Name != "Ada Byron" {
		t.Errorf("%q to %q", m.Subject, m.To.Name)
	}
	const text = `Hello Ada Byron,

One <script>alert(1)</script> & more.

Two.

Connection: Okta (sso_1)
Key: ab12

What to do:
1. Look.
2. Approve.

-- 
You are an admin.
`
	if strings.TrimSpace(m.Text) != strings.TrimSpace(text) {
		t.Errorf("text:\n%s", m.Text)
	}
	for _, part := range []string{"<p>Hello Ada Byron,</p>", "<p>One &lt;script&gt;alert(1)&lt;/script&gt; &amp; more.</p>", "<strong>ab12</strong>", "<li>Approve.</li>"} {
		if !strings.Contains(m.HTML, part) {
			t.Errorf("the HTML lacks %s:\n%s", part, m.HTML)
		}
	}
	if strings.Contains(m.HTML, "<script") || strings.Contains(m.HTML, "http") {
		t.Errorf("HTML:\n%s", m.HTML)
	}
	long, err := Letter{Subject: strings.Repeat("ä", 500), Paragraphs: []string{"x"}}.To(Address{Email: "a@example.com"})
	if err == nil {
		_, err = long.Payload()
	}
	if err != nil {
		t.Error(err)
	}
}

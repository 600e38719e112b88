package mail

import (
	"encoding/json"
	"errors"
	"fmt"
	netmail "net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/gatehouse-id/gatehouse/internal/id"
)

// Bounds of a message.
const (
	maxAddress = 254 // bytes (RFC 5321 §4.5.3.1.3, without the angle brackets)
	maxName    = 200 // characters
	maxSubject = 200 // characters
	maxPayload = 60 << 10
)

// ErrMessage says that a message can never be sent; trying again does not help.
var ErrMessage = errors.New("mail: the message cannot be sent")

// Address is a mailbox.
type Address struct {
	Email string `json:"email"`
	Name  string `json:"name,omitempty"`
}

// Message is one mail to one person.
type Message struct {
	// ID is the Message-ID without its domain, the same at each try; Payload sets it.
	ID      string  `json:"id"`
	To      Address `json:"to"`
	Subject string  `json:"subject"`
	Text    string  `json:"text"`
	HTML    string  `json:"html,omitempty"`
}

// Payload checks the message and gives it as the payload of a job, of at most 60 KiB.
//
// Error: ErrMessage.
func (m Message) Payload() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	if m.ID == "" {
		m.ID = id.Raw()
	}
	b, err := json.Marshal(m)
	if err == nil && len(b) > maxPayload {
		err = fmt.Errorf("%w: it is larger than %d bytes", ErrMessage, maxPayload)
	}
	return b, err
}

// check refuses what would not arrive, or would arrive as something else: a line
// break in a header begins another header (RFC 5322 §2.2).
func (m Message) check() error {
	if _, err := m.To.header(); err != nil {
		return err
	}
	switch {
	case m.Subject == "" || !line(m.Subject, maxSubject):
		return fmt.Errorf("%w: the subject is empty, longer than %d characters or not one line", ErrMessage, maxSubject)
	case m.Text == "" || !utf8.ValidString(m.Text) || !utf8.ValidString(m.HTML) || strings.Contains(m.Text+m.HTML, "\x00"):
		return fmt.Errorf("%w: the text is empty or not UTF-8", ErrMessage)
	}
	return nil
}

// header gives the address in the form of a header, with the domain in ASCII.
func (a Address) header() (*netmail.Address, error) {
	bad := fmt.Errorf("%w: the address is not one", ErrMessage)
	local, domain, ok := cutLast(a.Email, "@")
	if !ok || !line(a.Email, maxAddress) || !line(a.Name, maxName) {
		return nil, bad
	}
	domain, err := idna.Lookup.ToASCII(domain)
	if err != nil {
		return nil, bad
	}
	email := local + "@" + domain
	parsed, err := netmail.ParseAddress(email)
	if err != nil || parsed.Address != email || parsed.Name != "" || len(email) > maxAddress || strings.HasPrefix(email, "-") {
		return nil, bad
	}
	return &netmail.Address{Name: a.Name, Address: email}, nil
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i <= 0 || i+len(sep) == len(s) {
		return "", "", false
	}
	return s[:i], s[i+len(sep):], true
}

// line reports whether s is at most n characters of UTF-8 without control
// characters, line breaks of Unicode included.
func line(s string, n int) bool {
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= n &&
		!strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' })
}

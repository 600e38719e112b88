package fault

import (
	"errors"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/i18n"
)

// Kind says what sort of failure happened; it decides the status on each wire.
type Kind uint8

// The kinds of failure. Their order carries no meaning.
const (
	Invalid         Kind = iota + 1 // the request cannot be right, whoever sends it
	Unauthenticated                 // no credential, or one that does not hold
	Forbidden                       // the caller is known and may not
	NotFound                        // absent, or another tenant's: the two look alike
	Conflict                        // a uniqueness or state rule refuses
	Stale                           // a precondition (If-Match) did not hold
	TooLarge                        // a limit on size or count
	Limited                         // a rate limit; RetryAfter says when to come back
	Unavailable                     // a dependency does not answer; the same call may succeed later
)

// String names the kind as logs show it.
func (k Kind) String() string {
	switch k {
	case Invalid:
		return "invalid"
	case Unauthenticated:
		return "unauthenticated"
	case Forbidden:
		return "forbidden"
	case NotFound:
		return "not_found"
	case Conflict:
		return "conflict"
	case Stale:
		return "stale"
	case TooLarge:
		return "too_large"
	case Limited:
		return "limited"
	case Unavailable:
		return "unavailable"
	}
	return "internal"
}

// Error is a failure that may be shown to the caller.
type Error struct {
	Kind Kind
	// Code is a stable identifier (snake_case in the API, UPPER_SNAKE for sign-in checks).
	Code string
	// Message is a sentence for the caller. It never holds a secret or the text of Cause.
	Message string
	// Said is the message before its placeholders were filled, where it has any: what
	// pages translate.
	Said i18n.Text
	// Field is the input that was refused, in the wire's own notation; empty when none is.
	Field string
	// RetryAfter is set with Limited and Unavailable.
	RetryAfter time.Duration
	// Cause is for the log alone.
	Cause error
}

// New makes a failure of the given kind.
func New(kind Kind, code, message string) *Error {
	return &Error{Kind: kind, Code: code, Message: message}
}

// Filled is New with a message that has placeholders: "Use at least {n} characters.",
// "n", "15".
func Filled(kind Kind, code, message string, args ...string) *Error {
	said := i18n.T(message, args...)
	return &Error{Kind: kind, Code: code, Message: said.String(), Said: said}
}

// Text is the message for a translator.
func (e *Error) Text() i18n.Text {
	if e.Said.English != "" {
		return e.Said
	}
	return i18n.T(e.Message)
}

// Error implements error; it is what the log shows, cause included.
func (e *Error) Error() string {
	s := e.Code + ": " + e.Message
	if e.Field != "" {
		s += " (" + e.Field + ")"
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// In returns a copy that names the refused field.
func (e *Error) In(field string) *Error {
	c := *e
	c.Field = field
	return &c
}

// Because returns a copy that carries the cause for the log.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.Cause = cause
	return &c
}

// Is lets errors.Is compare a failure with a sentinel by code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// From finds the failure in an error chain.
func From(err error) (*Error, bool) {
	var f *Error
	ok := errors.As(err, &f)
	return f, ok
}

// KindOf gives the kind of the failure in an error chain; 0 when there is none.
func KindOf(err error) Kind {
	if f, ok := From(err); ok {
		return f.Kind
	}
	return 0
}

// CodeOf gives the code of the failure in an error chain; empty when there is none.
func CodeOf(err error) string {
	if f, ok := From(err); ok {
		return f.Code
	}
	return ""
}

// Package fault is the one error type that crosses package borders.
//
// A domain package says what kind of failure happened, under a stable code and
// in words that may be shown to the caller; each wire shape (SCIM, OAuth 2.0,
// problem+json, HTML) has one errors.go that maps a Kind to its own status. An
// error of any other type is a defect: the edge answers 500 with the request
// id, logs it once, and never sends its text.
package fault

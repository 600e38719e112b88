package oidc

// DevicePage is what the page shows on which a person connects a device (RFC 8628
// §3.3).
type DevicePage struct {
	Code    string // that the device shows
	Problem string // with the code; empty: none
	// What is confirmed; with an application, the page asks to.
	Application  string
	Organization string
	Tenant       string // its id
	Email        string
	// Done is "approved" or "denied" after the decision.
	Done string
}

package login

import (
	"html/template"

	"github.com/gatehouse-id/gatehouse/portal/ui"
	"github.com/gatehouse-id/gatehouse/signin"
)

// passwordPage asks for a password.
type passwordPage struct {
	ui.Page
	Flow   string
	Email  string
	Error  ui.Text
	Social socialPart
}

// keyPage runs a ceremony of a security key or passkey.
type keyPage struct {
	ui.Page
	Lead     string
	Flow     string
	Action   string
	Ceremony string // get or create, as navigator.credentials names them
	Options  string // JSON
	Named    bool   // the person may name the key
	Remember bool
	Error    ui.Text
	Back     string
}

// accountPage offers the person's organizations.
type accountPage struct {
	ui.Page
	Flow     string
	Accounts []signin.Account
}

// secondPage asks for a second factor, and offers the others.
type secondPage struct {
	ui.Page
	Flow     string
	Kind     string
	Lead     string
	Label    string
	Code     bool // something is typed
	Remember bool
	Error    ui.Text
	Others   []wayPage
}

// wayPage is another way to go on.
type wayPage struct {
	Method, Action, Kind, Label string
}

// enrolPage offers the second factors that can be set up.
type enrolPage struct {
	ui.Page
	Flow string
}

// appPage sets up an authenticator app.
type appPage struct {
	ui.Page
	Flow   string
	Secret string
	URL    template.URL // otpauth:, of our own making
	QR     template.URL // data:, of our own making
	Error  ui.Text
}

// codesPage shows recovery codes, this once.
type codesPage struct {
	ui.Page
	Flow  string
	Codes []string
}

// almostPage goes on when nothing more is asked.
type almostPage struct {
	ui.Page
	Flow string
}

// forgotPage asks for the address to mail a link to.
type forgotPage struct {
	ui.Page
	Flow  string
	Email string
	Sent  bool
	Error ui.Text
}

// resetPage sets a password.
type resetPage struct {
	ui.Page
	Action    string
	Email     string
	MinLength int
	Done      bool
	Error     ui.Text
}

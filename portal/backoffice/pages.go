package backoffice

import (
	"embed"
	"html/template"
	"io/fs"
	"time"

	"github.com/gatehouse-id/gatehouse/portal/ui"
)

//go:embed templates
var files embed.FS

// Templates are the pages, for ui.New.
func Templates() fs.FS {
	sub, err := fs.Sub(files, "templates")
	if err != nil {
		panic("backoffice: the embedded templates are gone: " + err.Error()) // cannot happen: the path is embedded above
	}
	return sub
}

// loginPage asks who one is.
type loginPage struct {
	ui.Page
	Email    string
	Next     string // page to go on to
	Provider bool   // the vendor's provider is offered
	Notice   ui.Text
	Error    ui.Text
}

// keyPage runs a ceremony of a security key or passkey.
type keyPage struct {
	ui.Page
	Lead     string
	Action   string
	Ceremony string // get or create, as navigator.credentials names them
	Options  string // JSON
	Named    bool   // the person may name the key
	Error    ui.Text
	Back     string
}

// secondPage asks for a second factor, and offers the others.
type secondPage struct {
	ui.Page
	Email, Kind, Lead, Label string
	Code                     bool // something is typed
	Error                    ui.Text
	Others                   []wayPage
}

// wayPage is another way to go on.
type wayPage struct{ Method, Action, Kind, Label string }

// welcomePage says whose link it is.
type welcomePage struct {
	ui.Page
	Email string
}

// passwordPage sets a password.
type passwordPage struct {
	ui.Page
	Email, Action, Back string
	MinLength           int
	Error               ui.Text
}

// enrolPage offers the second factors that can be set up.
type enrolPage struct{ ui.Page }

// appPage sets up an authenticator app.
type appPage struct {
	ui.Page
	Secret, Action, Back string
	URL                  template.URL // otpauth:, of our own making
	QR                   template.URL // data:, of our own making
	Error                ui.Text
}

// codesPage shows recovery codes, this once.
type codesPage struct {
	ui.Page
	Codes          []string
	Method, Action string
}

// forgotPage asks for the address to mail a link to.
type forgotPage struct {
	ui.Page
	Email string
	Sent  bool
	Error ui.Text
}

// donePage says what came of it.
type donePage struct {
	ui.Page
	Lead string
}

// almostPage goes on when nothing more is asked.
type almostPage struct{ ui.Page }

// homePage is what somebody sees of his own account.
type homePage struct {
	ui.Page
	Email         string
	Notice        ui.Text
	Environments  []environmentRow
	Factors       []factorRow
	Sessions      []sessionRow
	RecoveryCodes int
	HasPassword   bool
}

type environmentRow struct{ Name, Address, Roles string }

type factorRow struct {
	ID, Name, Kind string
	Added, Used    time.Time
}

type sessionRow struct {
	ID, Browser, IP string
	Since, Used     time.Time
	This            bool
}

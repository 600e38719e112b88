package login

import (
	"embed"
	"io/fs"

	"github.com/gatehouse-id/gatehouse/portal/ui"
	"github.com/gatehouse-id/gatehouse/signin"
)

//go:embed templates/*.html
var files embed.FS

// Templates are the pages, for ui.New.
func Templates() fs.FS {
	sub, err := fs.Sub(files, "templates")
	if err != nil {
		panic("login: the embedded templates are gone: " + err.Error()) // cannot happen: the path is embedded above
	}
	return sub
}

// identifierPage asks for the e-mail address.
type identifierPage struct {
	ui.Page
	Flow       string
	Email      string
	EmailError ui.Text
	Social     socialPart
}

// choosePage offers several connections.
type choosePage struct {
	ui.Page
	Flow    string
	Email   string // empty when the application named the organization
	Org     string
	Several bool // of several organizations
	Options []signin.Option
}

// logoutPage asks before it signs out, and says when it is done.
type logoutPage struct {
	ui.Page
	Done bool
}

// confirmPage asks before a sign-in that nobody asked for here replaces another
// person's session.
type confirmPage struct {
	ui.Page
	Handle string
	Email  string
}

// breakGlassPage asks before an emergency link is used up.
type breakGlassPage struct {
	ui.Page
	Token string
	Email string
	Org   string
}

// signedInPage is where a sign-in ends that no application waits for.
type signedInPage struct {
	ui.Page
	Org string
}

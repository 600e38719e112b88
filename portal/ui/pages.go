package ui

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
)

// ErrorPage tells a visitor what happened and what to quote to whom. Code and
// FlowID are all that a public page says about a failed login; the explanation
// stands in the tenant's portal.
type ErrorPage struct {
	Page
	Message    Text
	Code       string // such as SAML_AUDIENCE_MISMATCH
	FlowID     string // names the stored flow record
	Help       Text   // who can mend it
	ActionURL  string // where to go on; no link when empty
	ActionText string // "Continue" when empty
}

// Error shows the error page. Protocols call it through an interface of their
// own.
func (u *UI) Error(w http.ResponseWriter, r *http.Request, status int, title, message, code, flowID string) {
	u.fail(w, r, status, title, message, code, flowID)
}

func (u *UI) fail(w http.ResponseWriter, r *http.Request, status int, title string, message Text, code, flowID string) {
	u.ErrorPage(w, r, status, ErrorPage{Page: Page{Title: title}, Message: message, Code: code, FlowID: flowID})
}

// ErrorPage shows the error page with all its parts.
func (u *UI) ErrorPage(w http.ResponseWriter, r *http.Request, status int, p ErrorPage) {
	if p.Title == "" {
		p.Title = "Something went wrong"
	}
	u.Render(w, r, status, "error", p)
}

// autoPostScript sends the form, unless the visitor came back to the page with
// the Back button: then it would trap him. A field named "submit" cannot shadow
// the method.
const autoPostScript = `if(performance.getEntriesByType("navigation")[0]?.type!=="back_forward")HTMLFormElement.prototype.submit.call(document.forms[0])`

var autoPostHash = func() string {
	sum := sha256.Sum256([]byte(autoPostScript))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}()

// autoPostPage is the page that sends its form by itself.
type autoPostPage struct {
	Page
	Action string
	Host   string
	Fields [][2]string
	Script template.JS // the constant above
}

// AutoPost answers with a page that posts fields, in their order, to action on
// another origin: at once with script, by its button without. It is the answer
// of the SAML HTTP-POST binding (saml-bindings-2.0 §3.5) and of
// response_mode=form_post. An action that is no absolute http(s) address shows
// the error page with status 400.
func (u *UI) AutoPost(w http.ResponseWriter, r *http.Request, action string, fields [][2]string) {
	target, err := url.Parse(action)
	if err != nil || (target.Scheme != "https" && target.Scheme != "http") || target.Host == "" {
		u.Error(w, r, http.StatusBadRequest, "This address cannot be used",
			"The sign-in was to continue at an address that is not a web page.", "POST_TARGET_INVALID", "")
		return
	}
	u.Render(w, r, http.StatusOK, "autopost", autoPostPage{
		Page: Page{Title: "One moment"}, Action: action, Host: target.Host, Fields: fields, Script: autoPostScript,
	}, CrossOriginForm(), inlineScript(autoPostHash))
}

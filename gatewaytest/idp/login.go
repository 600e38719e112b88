package idp

import (
	"net/http"
	"net/mail"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/portal/ui"
)

// loginTime is how long a login page may stay open.
const loginTime = 30 * time.Minute

// pendingLogin is a request that waits for somebody to be chosen: one of the two.
type pendingLogin struct {
	saml *AuthnRequestInfo
	oidc *authorizeRequest
}

func (p pendingLogin) application() string {
	if p.saml != nil {
		return p.saml.Issuer
	}
	return p.oidc.clientID
}

func (p pendingLogin) hint() string {
	if p.saml != nil {
		return p.saml.LoginHint
	}
	return p.oidc.loginHint
}

type loginPage struct {
	ui.Page
	Action, Handle string
	Application    string
	Host           string // of the application, "" if it has no address
	People         []Person
	Email, Groups  string
	EmailError     string
}

// ask shows the login page.
func (i *IdP) ask(w http.ResponseWriter, r *http.Request, p pendingLogin) {
	page := i.loginPage(p, i.pending.put(p, loginTime))
	if _, known := i.Person(p.hint()); !known {
		page.Email = p.hint()
	}
	i.pages.Render(w, r, http.StatusOK, "idp/login", page, ui.CrossOriginForm())
}

func (i *IdP) loginPage(p pendingLogin, handle string) loginPage {
	page := loginPage{
		Page: ui.Page{Title: "Choose a person"}, Action: i.path + "/login", Handle: handle,
		Application: p.application(), People: i.People(),
	}
	if u, err := url.Parse(page.Application); err == nil {
		page.Host = u.Host
	}
	return page
}

// login takes the choice: a person of the list, or a new e-mail with groups.
func (i *IdP) login(w http.ResponseWriter, r *http.Request) {
	handle := r.PostFormValue("handle")
	pending, ok := i.pending.get(handle)
	if !ok {
		i.pages.ErrorPage(w, r, http.StatusGone, ui.ErrorPage{Page: ui.Page{Title: "This page is too old"}, Message: "Start again at the application.", Code: "LOGIN_EXPIRED"})
		return
	}
	person, ok := i.Person(r.PostFormValue("person"))
	if !ok {
		email, groups := strings.TrimSpace(r.PostFormValue("email")), r.PostFormValue("groups")
		address, err := mail.ParseAddress(email)
		if err != nil || address.Address != email || len(email) > 254 {
			page := i.loginPage(pending, handle)
			page.Email, page.Groups, page.EmailError = email, groups, "Give an e-mail address, such as ada@acme.test."
			i.pages.Render(w, r, http.StatusUnprocessableEntity, "idp/login", page, ui.CrossOriginForm())
			return
		}
		person = i.typed(email, groups)
	}
	if pending.saml != nil {
		i.respond(w, r, *pending.saml, person)
		return
	}
	i.grant(w, r, *pending.oidc, person)
}

// typed finds the person with the typed e-mail, or adds one. Typed groups
// replace those of the person.
func (i *IdP) typed(email, groups string) Person {
	p, ok := i.Person(email)
	if !ok {
		local, _, _ := strings.Cut(email, "@")
		p = Person{Email: email, DisplayName: local}
	}
	if strings.TrimSpace(groups) != "" {
		p.Groups = nil
		for g := range strings.SplitSeq(groups, ",") {
			if g = strings.TrimSpace(g); g != "" {
				p.Groups = append(p.Groups, g)
			}
		}
	}
	i.AddPerson(p)
	p, _ = i.Person(email)
	return p
}

type messagePage struct {
	ui.Page
	Heading, Text string
}

func (i *IdP) show(w http.ResponseWriter, r *http.Request, p messagePage) {
	p.Title = p.Heading
	i.pages.Render(w, r, http.StatusOK, "idp/message", p)
}

func (i *IdP) refuse(w http.ResponseWriter, r *http.Request, title string, err error) {
	message := err.Error()
	i.pages.Error(w, r, http.StatusBadRequest, title, strings.ToUpper(message[:1])+message[1:]+".", "", "")
}

type homePage struct {
	ui.Page
	EntityID, MetadataURL, SSOURL, Issuer string
	People                                []Person
	Apps                                  []appLink
}

type appLink struct{ Name, URL string }

// home shows what an administrator has to paste, and who can log in.
func (i *IdP) home(w http.ResponseWriter, r *http.Request) {
	page := homePage{
		Page: ui.Page{Title: i.title}, EntityID: i.entityID, MetadataURL: i.MetadataURL(), SSOURL: i.SSOURL(), Issuer: i.base, People: i.People(),
	}
	i.mu.Lock()
	for _, sp := range i.providers {
		page.Apps = append(page.Apps, appLink{sp.EntityID, i.path + "/saml/initiate?" + url.Values{"sp": {sp.EntityID}}.Encode()})
	}
	i.mu.Unlock()
	i.pages.Render(w, r, http.StatusOK, "idp/home", page)
}

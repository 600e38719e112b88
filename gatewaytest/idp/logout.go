package idp

import (
	"crypto"
	"encoding/base64"
	"net/http"
	"time"

	"github.com/beevik/etree"
)

// LogoutRequest is a request of the IdP to log a person out of a service
// provider. What is empty takes the good value; Omit leaves it out.
type LogoutRequest struct {
	NameIDFormat    string // a URN
	NameID          string
	NameQualifier   string
	SPNameQualifier string
	SessionIndexes  []string
	RelayState      string

	ID           string
	Issuer       string
	Destination  string
	IssueInstant time.Time
	NotOnOrAfter time.Time

	Key      crypto.Signer // signs instead of the IdP's key
	Unsigned bool
}

func (i *IdP) logoutRequest(spEntityID string, l LogoutRequest) (*etree.Element, ServiceProvider) {
	sp, _, _ := i.provider(spEntityID)
	el := i.logoutMessage("samlp:LogoutRequest", override(l.Destination, sp.SLOURL))
	if l.ID != "" {
		el.CreateAttr("ID", l.ID)
	}
	if !l.IssueInstant.IsZero() {
		el.CreateAttr("IssueInstant", l.IssueInstant.UTC().Format(samlTime))
	}
	end := l.NotOnOrAfter
	if end.IsZero() {
		end = i.clock.Now().Add(5 * time.Minute)
	}
	el.CreateAttr("NotOnOrAfter", end.UTC().Format(samlTime))
	el.SelectElement("Issuer").SetText(override(l.Issuer, i.entityID))
	name := el.CreateElement("saml:NameID")
	setAttr(name, "Format", l.NameIDFormat)
	setAttr(name, "NameQualifier", l.NameQualifier)
	setAttr(name, "SPNameQualifier", l.SPNameQualifier)
	name.SetText(l.NameID)
	for _, index := range l.SessionIndexes {
		el.CreateElement("samlp:SessionIndex").SetText(index)
	}
	return el, sp
}

func (i *IdP) logoutKnobs(l LogoutRequest) signOptions {
	k, _ := i.knobs()
	if l.Key != nil {
		k.Key, k.OmitKeyInfo = l.Key, true
	}
	return (&response{idp: i, k: k}).signOptions()
}

// LogoutURL is a LogoutRequest as an address of the Redirect binding.
func (i *IdP) LogoutURL(spEntityID string, l LogoutRequest) (string, error) {
	el, sp := i.logoutRequest(spEntityID, l)
	if l.Unsigned {
		return redirectQuery(sp.SLOURL, "SAMLRequest", el, l.RelayState, nil)
	}
	o := i.logoutKnobs(l)
	return redirectQuery(sp.SLOURL, "SAMLRequest", el, l.RelayState, &o)
}

// LogoutForm is a LogoutRequest as the fields of the POST binding.
func (i *IdP) LogoutForm(spEntityID string, l LogoutRequest) ([][2]string, error) {
	el, _ := i.logoutRequest(spEntityID, l)
	return i.form("SAMLRequest", el, l.RelayState, i.logoutKnobs(l), l.Unsigned)
}

// LogoutResponseURL is the signed answer to a LogoutRequest of the service
// provider, with a status such as "Success".
func (i *IdP) LogoutResponseURL(spEntityID, inResponseTo, status, relayState string) (string, error) {
	sp, _, _ := i.provider(spEntityID)
	o := i.logoutKnobs(LogoutRequest{})
	return redirectQuery(sp.SLOURL, "SAMLResponse", i.logoutResponse(sp, inResponseTo, status), relayState, &o)
}

func (i *IdP) logoutResponse(sp ServiceProvider, inResponseTo, status string) *etree.Element {
	answer := i.logoutMessage("samlp:LogoutResponse", sp.SLOURL)
	answer.CreateAttr("InResponseTo", inResponseTo)
	answer.CreateElement("samlp:Status").CreateElement("samlp:StatusCode").CreateAttr("Value", urnStatus+status)
	return answer
}

func (i *IdP) form(parameter string, el *etree.Element, relayState string, o signOptions, unsigned bool) ([][2]string, error) {
	if !unsigned {
		if err := signElement(el, o); err != nil {
			return nil, err
		}
	}
	doc, err := standalone(el)
	if err != nil {
		return nil, err
	}
	fields := [][2]string{{parameter, base64.StdEncoding.EncodeToString(doc)}}
	if relayState != "" {
		fields = append(fields, [2]string{"RelayState", relayState})
	}
	return fields, nil
}

// answerLogout sends the LogoutResponse by the binding in which the request came.
func (i *IdP) answerLogout(w http.ResponseWriter, r *http.Request, sp ServiceProvider, id, relayState string) {
	answer, o := i.logoutResponse(sp, id, "Success"), i.logoutKnobs(LogoutRequest{})
	if r.Method == http.MethodPost {
		fields, err := i.form("SAMLResponse", answer, relayState, o, false)
		if err != nil {
			i.refuse(w, r, "The logout cannot be answered", err)
			return
		}
		i.pages.AutoPost(w, r, sp.SLOURL, fields)
		return
	}
	target, err := redirectQuery(sp.SLOURL, "SAMLResponse", answer, relayState, &o)
	if err != nil {
		i.refuse(w, r, "The logout cannot be answered", err)
		return
	}
	http.Redirect(w, r, target, http.StatusSeeOther)
}

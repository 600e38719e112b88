package idp

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/beevik/etree"
)

// Metadata is the IdP's metadata document, unsigned.
func (i *IdP) Metadata() []byte {
	doc := etree.NewDocument()
	root := doc.CreateElement("md:EntityDescriptor")
	root.CreateAttr("xmlns:md", nsMetadata)
	root.CreateAttr("xmlns:ds", nsDsig)
	root.CreateAttr("entityID", i.entityID)
	sso := root.CreateElement("md:IDPSSODescriptor")
	sso.CreateAttr("protocolSupportEnumeration", nsProtocol)
	for _, cert := range i.Certificates() {
		kd := sso.CreateElement("md:KeyDescriptor")
		kd.CreateAttr("use", "signing")
		kd.CreateElement("ds:KeyInfo").CreateElement("ds:X509Data").CreateElement("ds:X509Certificate").
			SetText(base64.StdEncoding.EncodeToString(cert.Raw))
	}
	slo := sso.CreateElement("md:SingleLogoutService")
	slo.CreateAttr("Binding", "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect")
	slo.CreateAttr("Location", i.SLOURL())
	for _, format := range []string{urnEmail, urnPersistent} {
		sso.CreateElement("md:NameIDFormat").SetText(format)
	}
	for _, binding := range []string{"HTTP-Redirect", "HTTP-POST"} {
		el := sso.CreateElement("md:SingleSignOnService")
		el.CreateAttr("Binding", "urn:oasis:names:tc:SAML:2.0:bindings:"+binding)
		el.CreateAttr("Location", i.SSOURL())
	}
	out, _ := serialize(doc) // only a writer can fail, and this one is memory
	return out
}

func (i *IdP) metadata(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/samlmetadata+xml")
	_, _ = w.Write(i.Metadata()) // the client may have gone away
}

// sso takes an AuthnRequest and shows the login page, or answers at once.
func (i *IdP) sso(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, POST")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	req, err := i.ParseRequest(r)
	if err != nil {
		i.refuse(w, r, "The sign-in request cannot be answered", err)
		return
	}
	if p, ok := i.automatic(req.LoginHint); ok {
		i.respond(w, r, req, p)
		return
	}
	if req.IsPassive {
		k, _ := i.knobs()
		k.Status, k.SubStatus = "Responder", "NoPassive"
		i.respondWith(w, r, req, Person{}, k)
		return
	}
	i.ask(w, r, pendingLogin{saml: &req})
}

// initiate is the IdP-initiated login (profiles §4.1.5).
func (i *IdP) initiate(w http.ResponseWriter, r *http.Request) {
	sp, known, _ := i.provider(r.FormValue("sp"))
	if !known {
		i.refuse(w, r, "The application is not known", fmt.Errorf("no service provider is registered with the entity ID %s", r.FormValue("sp")))
		return
	}
	req := AuthnRequestInfo{Issuer: sp.EntityID, ACSURL: sp.ACSURL, RelayState: r.FormValue("RelayState"), LoginHint: r.FormValue("login_hint")}
	if p, ok := i.automatic(req.LoginHint); ok {
		i.respond(w, r, req, p)
		return
	}
	i.ask(w, r, pendingLogin{saml: &req})
}

func (i *IdP) respond(w http.ResponseWriter, r *http.Request, req AuthnRequestInfo, p Person) {
	k, _ := i.knobs()
	i.respondWith(w, r, req, p, k)
}

func (i *IdP) respondWith(w http.ResponseWriter, r *http.Request, req AuthnRequestInfo, p Person, k SAMLKnobs) {
	xml, err := i.Response(req, p, k)
	if err != nil {
		i.refuse(w, r, "The response cannot be made", err)
		return
	}
	fields := [][2]string{{"SAMLResponse", base64.StdEncoding.EncodeToString(xml)}}
	if req.RelayState != "" {
		fields = append(fields, [2]string{"RelayState", req.RelayState})
	}
	i.pages.AutoPost(w, r, req.ACSURL, fields)
}

type logoutXML struct {
	XMLName      xml.Name
	ID           string `xml:",attr"`
	InResponseTo string `xml:",attr"`
	Issuer       string `xml:"urn:oasis:names:tc:SAML:2.0:assertion Issuer"`
	NameID       string `xml:"urn:oasis:names:tc:SAML:2.0:assertion NameID"`
	Status       struct {
		Code struct {
			Value string `xml:",attr"`
		} `xml:"urn:oasis:names:tc:SAML:2.0:protocol StatusCode"`
	} `xml:"urn:oasis:names:tc:SAML:2.0:protocol Status"`
}

// slo answers a LogoutRequest with a signed LogoutResponse, and shows the
// outcome of a LogoutResponse.
func (i *IdP) slo(w http.ResponseWriter, r *http.Request) {
	parameter := "SAMLRequest"
	if r.FormValue("SAMLResponse") != "" {
		parameter = "SAMLResponse"
	}
	message, relayState, err := readMessage(r, parameter)
	if err != nil {
		i.refuse(w, r, "The logout message cannot be read", err)
		return
	}
	var x logoutXML
	if err := xml.Unmarshal(message, &x); err != nil {
		i.refuse(w, r, "The logout message cannot be read", err)
		return
	}
	sp, known, _ := i.provider(strings.TrimSpace(x.Issuer))
	if known && sp.SigningCertificate != nil {
		err = i.verifyMessage(r, parameter, message, sp.SigningCertificate)
	}
	switch {
	case err != nil:
		i.refuse(w, r, "The logout message is not signed as it should be", err)
	case parameter == "SAMLResponse":
		i.show(w, r, messagePage{Heading: "Signed out", Text: "The application answered " + strings.TrimPrefix(x.Status.Code.Value, urnStatus) + "."})
	case !known || sp.SLOURL == "":
		i.show(w, r, messagePage{Heading: "Signed out", Text: "The application gave no address to go back to."})
	default:
		i.answerLogout(w, r, sp, x.ID, relayState)
	}
}

// LogoutRequestURL is the signed address (Redirect binding) with which the IdP
// logs a person out of the SP. SessionIndex may be empty.
func (i *IdP) LogoutRequestURL(spEntityID, nameIDFormat, nameID, sessionIndex, relayState string) (string, error) {
	sp, known, _ := i.provider(spEntityID)
	if !known || sp.SLOURL == "" {
		return "", fmt.Errorf("idp: no logout address of %s", spEntityID)
	}
	l := LogoutRequest{NameIDFormat: nameIDFormat, NameID: nameID, RelayState: relayState}
	if sessionIndex != "" {
		l.SessionIndexes = []string{sessionIndex}
	}
	return i.LogoutURL(spEntityID, l)
}

func (i *IdP) logoutMessage(tag, destination string) *etree.Element {
	el := etree.NewElement(tag)
	el.CreateAttr("xmlns:samlp", nsProtocol)
	el.CreateAttr("xmlns:saml", nsAssertion)
	el.CreateAttr("ID", newID())
	el.CreateAttr("Version", "2.0")
	el.CreateAttr("IssueInstant", i.clock.Now().Format(samlTime))
	el.CreateAttr("Destination", destination)
	el.CreateElement("saml:Issuer").SetText(i.entityID)
	return el
}

// redirectQuery puts a message into a query as the Redirect binding does, and
// signs it unless there is nothing to sign with (bindings §3.4.4.1).
func redirectQuery(location, parameter string, message *etree.Element, relayState string, o *signOptions) (string, error) {
	plain, err := standalone(message)
	if err != nil {
		return "", err
	}
	var deflated bytes.Buffer
	zw, err := flate.NewWriter(&deflated, flate.BestCompression)
	if err != nil {
		return "", err
	}
	if _, err := zw.Write(plain); err != nil {
		return "", err
	}
	if err := zw.Close(); err != nil {
		return "", err
	}
	query := parameter + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(deflated.Bytes()))
	if relayState != "" {
		query += "&RelayState=" + url.QueryEscape(relayState)
	}
	if o != nil {
		_, algorithm, _, err := o.algorithms()
		if err != nil {
			return "", err
		}
		query += "&SigAlg=" + url.QueryEscape(algorithm)
		sig, err := o.sign([]byte(query))
		if err != nil {
			return "", err
		}
		query += "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(sig))
	}
	separator := "?"
	if strings.Contains(location, "?") {
		separator = "&"
	}
	return location + separator + query, nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

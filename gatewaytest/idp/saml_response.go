package idp

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/beevik/etree"
)

const (
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsMetadata  = "urn:oasis:names:tc:SAML:2.0:metadata"

	urnStatus     = "urn:oasis:names:tc:SAML:2.0:status:"
	urnBearer     = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
	urnPassword   = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
	urnEmail      = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
	urnUnspec     = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
	urnPersistent = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	urnTransient  = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
	urnBasicName  = "urn:oasis:names:tc:SAML:2.0:attrname-format:basic"

	// Microsoft: "Configure group claims", what Entra sends instead of more than
	// 150 groups in SAML.
	entraGroupsLink = "http://schemas.microsoft.com/claims/groups.link"

	samlTime = "2006-01-02T15:04:05.000Z"
)

// AuthnRequestInfo is what a response answers. Without ID it is IdP-initiated.
type AuthnRequestInfo struct {
	ID           string
	Issuer       string // entity ID of the SP: the audience
	ACSURL       string
	RelayState   string
	NameIDFormat string
	AuthnContext string // the first class reference that was asked for
	LoginHint    string
	ForceAuthn   bool
	IsPassive    bool
}

// response is one being made.
type response struct {
	idp    *IdP
	req    AuthnRequestInfo
	person Person
	k      SAMLKnobs
	now    time.Time
}

// Response makes the XML of a SAML response for the person, signed as the knobs
// say. It is what the SSO endpoint posts; base64 it into SAMLResponse. It fails
// only where the knobs make no sense together.
func (i *IdP) Response(req AuthnRequestInfo, p Person, k SAMLKnobs) ([]byte, error) {
	if k.ReplayLast {
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.lastResponse == nil {
			return nil, errors.New("idp: no response to replay")
		}
		return i.lastResponse, nil
	}
	if sp, ok, _ := i.provider(req.Issuer); ok && k.EncryptTo == nil {
		k.EncryptTo = sp.EncryptionCertificate
	}
	out, err := (&response{i, req, p, k, i.clock.Now().Add(k.TimeShift)}).make()
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.lastResponse = out
	return out, nil
}

func (r *response) make() ([]byte, error) {
	doc := etree.NewDocument()
	root := r.root(doc)
	if r.k.Status == "" {
		r.assertion(root)
	}
	if r.k.Mutate != nil {
		r.k.Mutate(doc)
	}
	// The mutation may have replaced them.
	if root = doc.Root(); root == nil {
		return serialize(doc)
	}
	assertion := root.SelectElement("Assertion")
	o := r.signOptions()
	if assertion != nil && (r.k.Sign == SignAssertion || r.k.Sign == SignBoth) {
		if err := signElement(assertion, o); err != nil {
			return nil, err
		}
	}
	if r.k.ExtraAssertion && assertion != nil {
		root.AddChild(forged(assertion))
	}
	if r.k.EncryptTo != nil && assertion != nil {
		if err := encryptAssertion(assertion, r.k.EncryptTo, r.k.Encryption); err != nil {
			return nil, err
		}
	}
	if r.k.Sign == SignResponse || r.k.Sign == SignBoth {
		if err := signElement(root, o); err != nil {
			return nil, err
		}
	}
	if r.k.MutateSigned != nil {
		r.k.MutateSigned(doc)
	}
	return serialize(doc)
}

func (r *response) signOptions() signOptions {
	r.idp.mu.Lock()
	own := r.idp.samlKeys[0]
	r.idp.mu.Unlock()
	o := signOptions{key: own.signer, cert: own.cert.Raw, sha1: r.k.SHA1, derECDS: r.k.ECDSADER}
	if r.k.Key != nil {
		o.key = r.k.Key
	}
	if r.k.KeyCertificate != nil {
		o.cert = r.k.KeyCertificate.Raw
	}
	if r.k.OmitKeyInfo {
		o.cert = nil
	}
	return o
}

// forged is an unsigned copy of a signed assertion for somebody else.
func forged(assertion *etree.Element) *etree.Element {
	el := assertion.Copy()
	if sig := el.SelectElement("Signature"); sig != nil {
		el.RemoveChild(sig)
	}
	el.CreateAttr("ID", newID())
	if name := el.FindElement("./Subject/NameID"); name != nil {
		name.SetText("attacker@evil.example")
	}
	return el
}

func newID() string {
	b := make([]byte, 16)
	rand.Read(b)
	return "_" + hex.EncodeToString(b) // an NCName does not begin with a digit
}

func (r *response) root(doc *etree.Document) *etree.Element {
	root := doc.CreateElement("samlp:Response")
	root.CreateAttr("xmlns:samlp", nsProtocol)
	root.CreateAttr("xmlns:saml", nsAssertion)
	root.CreateAttr("ID", newID())
	root.CreateAttr("Version", "2.0")
	root.CreateAttr("IssueInstant", r.now.Format(samlTime))
	setAttr(root, "Destination", override(r.k.Destination, r.req.ACSURL))
	setAttr(root, "InResponseTo", override(r.k.InResponseTo, r.req.ID))
	setText(root, "saml:Issuer", override(r.k.ResponseIssuer, override(r.k.Issuer, r.idp.entityID)))
	status := root.CreateElement("samlp:Status")
	code := status.CreateElement("samlp:StatusCode")
	code.CreateAttr("Value", statusURN(override(r.k.Status, "Success")))
	if r.k.SubStatus != "" {
		code.CreateElement("samlp:StatusCode").CreateAttr("Value", statusURN(r.k.SubStatus))
	}
	setText(status, "samlp:StatusMessage", r.k.StatusMessage)
	return root
}

func statusURN(s string) string {
	if strings.Contains(s, ":") {
		return s
	}
	return urnStatus + s
}

func setAttr(el *etree.Element, name, value string) {
	if value != "" {
		el.CreateAttr(name, value)
	}
}

func setText(parent *etree.Element, tag, text string) {
	if text != "" {
		parent.CreateElement(tag).SetText(text)
	}
}

func (r *response) assertion(root *etree.Element) {
	lifetime := r.k.Lifetime
	if lifetime == 0 {
		lifetime = 5 * time.Minute
	}
	end := r.now.Add(lifetime).Format(samlTime)

	a := root.CreateElement("saml:Assertion")
	a.CreateAttr("xmlns:saml", nsAssertion) // it must stand alone when encrypted
	a.CreateAttr("ID", newID())
	a.CreateAttr("Version", "2.0")
	a.CreateAttr("IssueInstant", r.now.Format(samlTime))
	setText(a, "saml:Issuer", override(r.k.Issuer, r.idp.entityID))

	subject := a.CreateElement("saml:Subject")
	r.nameID(subject)
	confirmation := subject.CreateElement("saml:SubjectConfirmation")
	confirmation.CreateAttr("Method", urnBearer)
	data := confirmation.CreateElement("saml:SubjectConfirmationData")
	data.CreateAttr("NotOnOrAfter", end)
	setAttr(data, "Recipient", override(r.k.Recipient, r.req.ACSURL))
	setAttr(data, "InResponseTo", override(r.k.InResponseTo, r.req.ID))

	conditions := a.CreateElement("saml:Conditions")
	conditions.CreateAttr("NotBefore", r.now.Add(-time.Minute).Format(samlTime))
	conditions.CreateAttr("NotOnOrAfter", end)
	if audience := override(r.k.Audience, r.req.Issuer); audience != "" {
		conditions.CreateElement("saml:AudienceRestriction").CreateElement("saml:Audience").SetText(audience)
	}

	statement := a.CreateElement("saml:AuthnStatement")
	statement.CreateAttr("AuthnInstant", r.now.Format(samlTime))
	setAttr(statement, "SessionIndex", override(r.k.SessionIndex, newID()))
	if !r.k.SessionNotOnOrAfter.IsZero() {
		statement.CreateAttr("SessionNotOnOrAfter", r.k.SessionNotOnOrAfter.UTC().Format(samlTime))
	}
	class := urnPassword
	if r.req.AuthnContext != "" {
		class = r.req.AuthnContext
	}
	statement.CreateElement("saml:AuthnContext").CreateElement("saml:AuthnContextClassRef").SetText(override(r.k.AuthnContext, class))
	r.attributes(a.CreateElement("saml:AttributeStatement"))
}

func (r *response) nameID(subject *etree.Element) {
	format := override(r.k.NameIDFormat, r.req.NameIDFormat)
	switch format {
	case "", "emailAddress", urnUnspec:
		format = urnEmail
	case "persistent":
		format = urnPersistent
	case "transient":
		format = urnTransient
	case "unspecified":
		format = urnUnspec
	}
	value := r.person.Email
	switch format {
	case urnPersistent:
		value = r.person.ID
	case urnTransient:
		value = newID()
	}
	value = override(r.k.NameID, value)
	if r.k.NameID == Omit {
		return
	}
	el := subject.CreateElement("saml:NameID")
	el.CreateAttr("Format", format)
	if half := len(value) / 2; r.k.NameIDComment {
		el.CreateText(value[:half])
		el.CreateComment("comment")
		el.CreateText(value[half:])
		return
	}
	el.SetText(value)
}

func (r *response) attributes(statement *etree.Element) {
	add := func(name string, values ...string) {
		if mapped, ok := r.k.AttributeNames[name]; ok {
			name = mapped
		}
		if len(values) == 0 || name == "" || name == Omit || (len(values) == 1 && values[0] == "") {
			return
		}
		el := statement.CreateElement("saml:Attribute")
		el.CreateAttr("Name", name)
		el.CreateAttr("NameFormat", urnBasicName)
		for _, v := range values {
			el.CreateElement("saml:AttributeValue").SetText(v)
		}
	}
	p := r.person
	add("email", p.Email)
	if r.k.DuplicateEmail != "" {
		add("email", r.k.DuplicateEmail)
	}
	add("firstName", p.FirstName)
	add("lastName", p.LastName)
	add("displayName", p.Name())
	add("id", p.ID)
	groups := p.Groups
	if r.k.GroupCount > 0 {
		groups = manyGroups(r.k.GroupCount)
	}
	switch {
	case r.k.EntraOverage:
		add(entraGroupsLink, "https://graph.windows.net/tenant/users/"+p.ID+"/getMemberObjects")
	case r.k.JoinGroups != "" && len(groups) > 0:
		add("groups", strings.Join(groups, r.k.JoinGroups))
	default:
		add("groups", groups...)
	}
	for _, name := range sortedKeys(p.Attributes) {
		add(name, p.Attributes[name]...)
	}
	if len(statement.ChildElements()) == 0 {
		statement.Parent().RemoveChild(statement) // at least one Attribute (core §2.7.3)
	}
}

func manyGroups(n int) []string {
	groups := make([]string, n)
	for g := range groups {
		groups[g] = fmt.Sprintf("group-%04d", g+1)
	}
	return groups
}

package verify

import "strings"

// statement is the parts of a verified Assertion element, taken out by a strict
// reading of its schema (core §2.3.3); values are not judged yet.
type statement struct {
	element       *node
	issuer        *node // nil where absent
	nameID        *node // nil where it is encrypted
	encryptedID   *node
	confirmations []confirmation
	conditions    *node
	authn         *node
	authnContext  *node
	attributes    []*node // Attribute elements
}

type confirmation struct {
	method string
	data   *node // nil where absent
}

// maxConfirmations bounds the SubjectConfirmation elements of a subject.
const maxConfirmations = 16

const methodBearer = "urn:oasis:names:tc:SAML:2.0:cm:bearer"

func malformed(detail string) *Error { return refuse(CodeStructure, detail) }

// parseStatement reads the children of an Assertion whose own Signature was
// removed or whose Response is signed.
func parseStatement(n *node) (*statement, *Error) {
	if !n.onlyElements() {
		return nil, malformed("character data in Assertion")
	}
	s := &statement{element: n}
	const (
		afterNothing = iota
		afterIssuer
		afterSignature
		afterSubject
		afterConditions
		afterAdvice
		afterStatement
	)
	at := afterNothing
	for c := n.firstElement(); c != nil; c = c.nextElement() {
		next := afterStatement
		var err *Error
		switch {
		case c.is(nsAssertion, "Issuer"):
			s.issuer, next = c, afterIssuer
		case c.is(nsDsig, "Signature"):
			next = afterSignature
		case c.is(nsAssertion, "Subject"):
			next = afterSubject
			err = s.parseSubject(c)
		case c.is(nsAssertion, "Conditions"):
			s.conditions, next = c, afterConditions
		case c.is(nsAssertion, "Advice"):
			next = afterAdvice
		case c.is(nsAssertion, "AuthnStatement"):
			err = s.parseAuthn(c)
		case c.is(nsAssertion, "AttributeStatement"):
			err = s.parseAttributes(c)
		case c.is(nsAssertion, "AuthzDecisionStatement"):
			// Says nothing about who the user is.
		default:
			err = malformed("unexpected element " + clip(c.local) + " in Assertion")
		}
		if err != nil {
			return nil, err
		}
		if next <= at && next != afterStatement {
			return nil, malformed("element " + c.local + " of Assertion is repeated or out of order")
		}
		at = next
	}
	switch {
	case !s.named():
		return nil, malformed("the Assertion has no Subject")
	case s.conditions == nil:
		return nil, malformed("the Assertion has no Conditions")
	case s.authn == nil:
		return nil, malformed("the Assertion has no AuthnStatement")
	}
	return s, nil
}

func (s *statement) parseSubject(subject *node) *Error {
	if !subject.onlyElements() {
		return malformed("character data in Subject")
	}
	for c := subject.firstElement(); c != nil; c = c.nextElement() {
		switch {
		case c.is(nsAssertion, "NameID") && !s.named() && len(s.confirmations) == 0:
			s.nameID = c
		case c.is(nsAssertion, "EncryptedID") && !s.named() && len(s.confirmations) == 0:
			s.encryptedID = c
		case c.is(nsAssertion, "SubjectConfirmation"):
			if err := s.parseConfirmation(c); err != nil {
				return err
			}
		default:
			return malformed("unexpected element " + clip(c.local) + " in Subject")
		}
	}
	switch {
	case !s.named():
		return malformed("the Subject has no NameID")
	case len(s.confirmations) == 0:
		return malformed("the Subject has no SubjectConfirmation")
	}
	return nil
}

func (s *statement) named() bool { return s.nameID != nil || s.encryptedID != nil }

func (s *statement) parseConfirmation(n *node) *Error {
	conf := confirmation{method: n.attrOr("Method")}
	for c := n.firstElement(); c != nil; c = c.nextElement() {
		switch {
		case c.is(nsAssertion, "SubjectConfirmationData") && conf.data == nil:
			conf.data = c
		case c.is(nsAssertion, "NameID") && conf.data == nil:
			// Names who may confirm; a bearer needs no name.
		case c.is(nsAssertion, "EncryptedID"):
			return refuse(CodeEncrypted, "the NameID of a SubjectConfirmation is encrypted")
		default:
			return malformed("unexpected element " + clip(c.local) + " in SubjectConfirmation")
		}
	}
	if conf.method == methodBearer {
		if conf.data == nil {
			return malformed("a bearer SubjectConfirmation has no SubjectConfirmationData")
		}
		if !conf.data.blank() {
			return malformed("unexpected content in SubjectConfirmationData")
		}
	}
	if len(s.confirmations) == maxConfirmations {
		return malformed("the Subject has more than 16 SubjectConfirmation elements")
	}
	s.confirmations = append(s.confirmations, conf)
	return nil
}

func (s *statement) parseAuthn(n *node) *Error {
	if s.authn != nil {
		return malformed("the Assertion has more than one AuthnStatement")
	}
	s.authn = n
	for c := n.firstElement(); c != nil; c = c.nextElement() {
		switch {
		case c.is(nsAssertion, "SubjectLocality") && s.authnContext == nil:
		case c.is(nsAssertion, "AuthnContext") && s.authnContext == nil:
			s.authnContext = c
		default:
			return malformed("unexpected element " + clip(c.local) + " in AuthnStatement")
		}
	}
	if s.authnContext == nil {
		return malformed("the AuthnStatement has no AuthnContext")
	}
	return nil
}

func (s *statement) parseAttributes(n *node) *Error {
	if !n.onlyElements() {
		return malformed("character data in AttributeStatement")
	}
	for c := n.firstElement(); c != nil; c = c.nextElement() {
		switch {
		case c.is(nsAssertion, "Attribute"):
			s.attributes = append(s.attributes, c)
		case c.is(nsAssertion, "EncryptedAttribute"):
			return refuse(CodeEncrypted, "an attribute is encrypted")
		default:
			return malformed("unexpected element " + clip(c.local) + " in AttributeStatement")
		}
	}
	return nil
}

// contextClass returns the AuthnContextClassRef; at most one is allowed (core
// §2.7.2.2).
func (s *statement) contextClass() (string, *Error) {
	class, seen := "", false
	for c := s.authnContext.firstElement(); c != nil; c = c.nextElement() {
		if !c.is(nsAssertion, "AuthnContextClassRef") {
			continue
		}
		text, ok := c.leaf()
		if !ok || seen {
			return "", malformed("malformed AuthnContext")
		}
		class, seen = text, true
	}
	return class, nil
}

// audiences returns the audiences of every AudienceRestriction, and the name of
// a condition that is not understood.
func (s *statement) audiences() (restrictions [][]string, unknown string, err *Error) {
	for c := s.conditions.firstElement(); c != nil; c = c.nextElement() {
		switch {
		case c.is(nsAssertion, "AudienceRestriction"):
			var list []string
			for a := c.firstElement(); a != nil; a = a.nextElement() {
				text, ok := a.leaf()
				if !ok || !a.is(nsAssertion, "Audience") {
					return nil, "", malformed("unexpected content in AudienceRestriction")
				}
				list = append(list, text)
			}
			restrictions = append(restrictions, list)
		case c.is(nsAssertion, "OneTimeUse"), c.is(nsAssertion, "ProxyRestriction"):
			// Every assertion is used once; and none is passed on.
		default:
			return nil, c.local, nil
		}
	}
	return restrictions, "", nil
}

// readAttribute reads one Attribute. A value is text, or a single NameID (as in
// eduPersonTargetedID) whose text is taken; xsi:nil is no value.
func readAttribute(n *node) (Attribute, *Error) {
	a := Attribute{Name: n.attrOr("Name"), NameFormat: n.attrOr("NameFormat"), FriendlyName: n.attrOr("FriendlyName")}
	if a.Name == "" {
		return a, refuse(CodeAttribute, "an Attribute has no Name")
	}
	values := 0
	for c := n.firstElement(); c != nil; c = c.nextElement() {
		values++
	}
	if values > 0 {
		a.Values = make([]string, 0, values)
	}
	for c := n.firstElement(); c != nil; c = c.nextElement() {
		if !c.is(nsAssertion, "AttributeValue") {
			return a, refuse(CodeAttribute, "unexpected element "+clip(c.local)+" in Attribute "+clip(a.Name))
		}
		text, ok := c.leaf()
		if !ok {
			inner := c.firstElement()
			if inner == nil || !inner.is(nsAssertion, "NameID") || inner.nextElement() != nil || !c.onlyElements() {
				return a, refuse(CodeAttribute, "a value of Attribute "+clip(a.Name)+" is not text")
			}
			if text, ok = inner.leaf(); !ok {
				return a, refuse(CodeAttribute, "a value of Attribute "+clip(a.Name)+" is not text")
			}
		} else if text == "" && c.isNil() {
			continue
		}
		a.Values = append(a.Values, text)
	}
	return a, nil
}

func (n *node) isNil() bool {
	for i := range n.attrs {
		if a := &n.attrs[i]; a.space == nsXSI && a.local == "nil" {
			return a.value == "true" || a.value == "1"
		}
	}
	return false
}

// emailNames are the attribute names that identity providers use for the
// e-mail address, in lower case. The UPN is not among them: it may rightly
// differ.
var emailNames = map[string]bool{
	"email": true, "mail": true, "emailaddress": true, "e-mail": true, "user.email": true,
	"email_address": true, "email-address": true,
	"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress": true,
	"http://schemas.xmlsoap.org/claims/emailaddress":                     true,
	"urn:oid:0.9.2342.19200300.100.1.3":                                  true,
	"urn:oid:1.2.840.113549.1.9.1":                                       true,
	"urn:mace:dir:attribute-def:mail":                                    true,
}

// ambiguousEmail reports whether the attributes hold two different e-mail
// addresses. Name and FriendlyName both count: software differs in which of
// them it reads. Where the connection names the attribute, that one alone is
// looked at, so that a provider whose usual names rightly differ is served.
func ambiguousEmail(attributes []Attribute, mapped string) bool {
	first, seen := "", false
	for i := range attributes {
		a := &attributes[i]
		if mapped != "" {
			if !strings.EqualFold(a.Name, mapped) {
				continue
			}
		} else if !emailNames[strings.ToLower(a.Name)] && !emailNames[strings.ToLower(a.FriendlyName)] {
			continue
		}
		for _, value := range a.Values {
			value = strings.ToLower(strings.TrimSpace(value))
			if seen && value != first {
				return true
			}
			first, seen = value, true
		}
	}
	return false
}

package verify

import (
	"crypto/rsa"
	"strconv"
	"time"
)

const maxSessionIndexes = 1024

// LogoutParams is what a logout message is held against.
type LogoutParams struct {
	Destination string // our single logout URL
	IdPEntityID string // the issuer
	Keys        []Key  // trusted signing keys; the first 16 are tried

	// SignedBy is Query.SignedBy of the query that the bytes came in, whose
	// signature was verified. Empty: the message must hold a signature itself. One
	// that it holds must verify in both cases.
	SignedBy string

	DecryptionKeys []*rsa.PrivateKey // for an EncryptedID; see Params

	RequestID      string        // of our LogoutRequest, for a response
	Skew           time.Duration // 0 to 300 s
	Now            time.Time
	AllowSHA1Until time.Time // see Params
}

// LogoutRequest is a verified request of the identity provider to end sessions
// of a subject. Whether its ID was seen before is for the caller to remember, at
// least until ten minutes and the skew after now.
type LogoutRequest struct {
	ID, Issuer     string
	NameID         NameID
	SessionIndexes []string  // empty: all sessions (core §3.7.1)
	NotOnOrAfter   time.Time // zero where absent
	SignedBy       string    // Key.SPKI
}

// LogoutResponse is a verified answer to our logout request. Status is the
// second-level status code if there is one, else the top-level one; whatever
// it is, the response is accepted.
type LogoutResponse struct {
	ID, Issuer, InResponseTo, Status string
	SignedBy                         string // Key.SPKI
}

// VerifyLogoutRequest checks a LogoutRequest, at most 128 KiB. The result is
// nil when it is refused; the report is never nil. The codes begin with SLO_.
func VerifyLogoutRequest(doc []byte, p LogoutParams) (*LogoutRequest, *Report) {
	m, r := verifyLogout(doc, p, "LogoutRequest")
	if m == nil {
		return nil, r
	}
	out := &LogoutRequest{ID: m.root.attrOr("ID"), Issuer: p.IdPEntityID, SignedBy: m.by}
	if t, ok := m.instant(m.root, "NotOnOrAfter", ""); ok {
		r.check(t.After(p.Now.Add(-p.Skew)), CodeLogoutExpired, "the LogoutRequest expired at "+stamp(t), "after "+m.now(), stamp(t))
		out.NotOnOrAfter = t
	}
	if err := m.subject(out); err != nil {
		m.stop(err, "a NameID and session indexes")
	}
	if r.Err != nil {
		return nil, r
	}
	return out, r
}

// VerifyLogoutResponse checks a LogoutResponse to the request p.RequestID, at
// most 128 KiB. The result is nil when it is refused; the report is never nil.
// The codes begin with SLO_.
func VerifyLogoutResponse(doc []byte, p LogoutParams) (*LogoutResponse, *Report) {
	m, r := verifyLogout(doc, p, "LogoutResponse")
	if m == nil {
		return nil, r
	}
	out := &LogoutResponse{ID: m.root.attrOr("ID"), Issuer: p.IdPEntityID, SignedBy: m.by}
	got, present := m.root.attr("InResponseTo")
	r.check(p.RequestID != "" && got == p.RequestID, CodeLogoutInResponseTo, "InResponseTo of the LogoutResponse is "+quoted(got, present), p.RequestID, quoted(got, present))
	out.InResponseTo = got
	if err := m.result(out); err != nil {
		m.stop(err, "a Status")
	}
	if r.Err != nil {
		return nil, r
	}
	return out, r
}

// logoutMessage is a logout message whose signature, address, issuer and age
// were checked.
type logoutMessage struct {
	*verifier
	root *node  // what was signed
	rest *node  // first element after Issuer, Signature and Extensions; may be nil
	by   string // Key.SPKI
}

// verifyLogout does what both messages have in common. The message is nil when
// nothing more can be checked.
func verifyLogout(doc []byte, p LogoutParams, name string) (*logoutMessage, *Report) {
	r := &Report{Checks: make([]Check, 0, 24), codes: logoutCodes}
	m := &logoutMessage{verifier: &verifier{r: r, p: &Params{
		ACS: p.Destination, IdPEntityID: p.IdPEntityID, Keys: p.Keys, Skew: p.Skew, Now: p.Now,
		AllowSHA1Until: p.AllowSHA1Until, DecryptionKeys: p.DecryptionKeys,
	}}, by: p.SignedBy}
	reason := m.p.incomplete()
	if p.Destination == "" {
		reason = "no logout URL"
	}
	if reason != "" {
		r.fail(refuse(CodeConfig, reason), "complete settings", reason)
		return nil, r
	}
	root, err := parse(string(doc), maxLogout)
	if err != nil {
		m.stop(err, "XML within the profile")
		return nil, r
	}
	r.pass(checkOf[CodeXMLProfile], "XML within the profile", strconv.Itoa(len(doc))+" bytes")
	s, err := logoutStructure(root, name)
	if err == nil {
		r.pass(checkOf[CodeLogoutStructure], "a "+name+" with its children in order", "as expected")
		err = m.verifySignature(root, s, name)
	}
	if err != nil {
		m.stop(err, "an intact "+name+" signed by a trusted key")
		return nil, r
	}
	r.pass(checkOf[CodeLogoutUnsigned], "a signed message", "by "+m.by)
	destination, present := m.root.attr("Destination")
	r.check(destination == p.Destination, CodeLogoutDestination, "the Destination of the "+name+" is "+quoted(destination, present), p.Destination, quoted(destination, present))
	m.issuer(name, m.root.firstElement())
	m.issued(m.root)
	return m, r
}

// verifySignature sets the tree that is signed: the received one where a query's
// signature verified its bytes, else what was hashed.
func (m *logoutMessage) verifySignature(root *node, s *signature, name string) *Error {
	m.root = root
	if s != nil {
		tree, by, err := m.signature(s)
		if err != nil {
			return err
		}
		if _, err = logoutStructure(tree, name); err != nil {
			return err
		}
		m.root, m.by = tree, by
	}
	if m.by == "" {
		return refuse(CodeUnsigned, "the "+name+" is not signed")
	}
	m.rest = m.root.firstElement().nextElement() // the Issuer was found to be first
	for m.rest != nil && (m.rest.is(nsDsig, "Signature") || m.rest.is(nsProtocol, "Extensions")) {
		m.rest = m.rest.nextElement()
	}
	return nil
}

// logoutStructure checks root, identifiers and the order of the leading
// children: Issuer, Signature?, Extensions? (core §3.2.1, §3.2.2). The message's
// own follow and are read once they are verified.
func logoutStructure(root *node, name string) (*signature, *Error) {
	if !root.is(nsProtocol, name) {
		return nil, refuse(CodeRoot, "the root element is "+clip(root.local)+", not a SAML 2.0 "+name)
	}
	if v := root.attrOr("Version"); v != "2.0" {
		return nil, refuse(CodeVersion, name+" has Version "+clip(v))
	}
	if err := checkID(root); err != nil {
		return nil, err
	}
	found := collect(root, make(map[string]struct{}, 8))
	signatures, err := found.parseSignatures(inLogout)
	if err != nil {
		return nil, err
	}
	if found.assertions > 0 || found.responses > 0 {
		return nil, malformed("an assertion or Response in a " + name)
	}
	if !root.onlyElements() {
		return nil, malformed("character data in " + name)
	}
	if first := root.firstElement(); first == nil || !first.is(nsAssertion, "Issuer") {
		return nil, malformed("the " + name + " has no Issuer")
	}
	if len(signatures) == 0 {
		return nil, nil
	}
	if signatures[0].parent != root {
		return nil, sigStructure("a Signature inside an element of the " + name)
	}
	return signatures[0], nil
}

// subject reads (NameID | EncryptedID), SessionIndex*.
func (m *logoutMessage) subject(out *LogoutRequest) *Error {
	id := m.rest
	switch {
	case id == nil:
		return malformed("the LogoutRequest has no NameID")
	case id.is(nsAssertion, "EncryptedID"):
		plain, err := m.decryptID(id)
		if err != nil {
			return err
		}
		out.NameID = m.nameID(plain)
	case id.is(nsAssertion, "NameID"):
		out.NameID = m.nameID(id)
	default:
		return malformed("unexpected element " + clip(id.local) + " in LogoutRequest")
	}
	for c := id.nextElement(); c != nil; c = c.nextElement() {
		text, ok := c.leaf()
		if !ok || !c.is(nsProtocol, "SessionIndex") || len(text) > maxValue {
			return malformed("unexpected element " + clip(c.local) + " in LogoutRequest")
		}
		if len(out.SessionIndexes) == maxSessionIndexes {
			return malformed("more than 1024 SessionIndex elements")
		}
		out.SessionIndexes = append(out.SessionIndexes, text)
	}
	return nil
}

// result reads Status.
func (m *logoutMessage) result(out *LogoutResponse) *Error {
	if m.rest == nil || !m.rest.is(nsProtocol, "Status") || m.rest.nextElement() != nil {
		return malformed("the LogoutResponse has no Status, or something after it")
	}
	var top *node
	for c := m.rest.firstElement(); c != nil; c = c.nextElement() {
		if !c.is(nsProtocol, "StatusCode") {
			continue
		}
		if top != nil {
			return malformed("Status has two top-level codes")
		}
		top = c
	}
	if top == nil || top.attrOr("Value") == "" {
		return malformed("Status has no StatusCode")
	}
	out.Status = top.attrOr("Value")
	if c := top.firstElement(); c != nil && c.is(nsProtocol, "StatusCode") && c.attrOr("Value") != "" {
		out.Status = c.attrOr("Value")
	}
	return nil
}

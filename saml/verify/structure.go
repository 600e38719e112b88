package verify

const (
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsMetadata  = "urn:oasis:names:tc:SAML:2.0:metadata"
	nsDsig      = "http://www.w3.org/2000/09/xmldsig#"
	nsXSI       = "http://www.w3.org/2001/XMLSchema-instance"
)

// layout is where the parts of a Response are.
type layout struct {
	response  *node
	issuer    *node // of the Response; may be nil
	status    *node
	assertion *node // nil when there is none or it is encrypted
	encrypted *node

	responseSignature, assertionSignature *signature

	ids map[string]struct{} // of the whole document
}

// structure checks the shape of a Response: which elements may be where, what
// a signature may consist of, and that identifiers are unique. It reads no
// value but those; nothing it returns is verified.
func structure(root *node) (*layout, *Error) {
	if !root.is(nsProtocol, "Response") {
		return nil, refuse(CodeRoot, "the root element is "+clip(root.local)+", not a SAML 2.0 Response")
	}
	if v := root.attrOr("Version"); v != "2.0" {
		return nil, refuse(CodeVersion, "Response has Version "+clip(v))
	}
	if err := checkID(root); err != nil {
		return nil, err
	}
	l := &layout{response: root, ids: make(map[string]struct{}, 8)}
	found := collect(root, l.ids)
	signatures, err := found.parseSignatures(inResponse)
	if err != nil {
		return nil, err
	}
	if err := l.children(); err != nil {
		return nil, err
	}
	if err := l.checkNesting(found); err != nil {
		return nil, err
	}
	for _, s := range signatures {
		if s.parent == root {
			l.responseSignature = s
		} else {
			l.assertionSignature = s // checkNesting: no other parent is left
		}
	}
	return l, nil
}

// collection is what one walk over the document finds.
type collection struct {
	signatures []*node
	assertions int // Assertion and EncryptedAssertion elements
	responses  int
	duplicate  string
}

// parseSignatures checks the form of every signature found, and that every ID
// was there once.
func (found *collection) parseSignatures(where signable) ([]*signature, *Error) {
	list := make([]*signature, len(found.signatures))
	for i, n := range found.signatures {
		s, err := parseSignature(n, where)
		if err != nil {
			return nil, err
		}
		list[i] = s
	}
	if found.duplicate != "" {
		return nil, refuse(CodeDuplicateID, "two elements have the ID "+clip(found.duplicate))
	}
	return list, nil
}

// collect walks over the elements below root; ids are those seen before, and
// receives the new ones.
func collect(root *node, ids map[string]struct{}) collection {
	var found collection
	for n := root; n != nil; n = n.following(root) {
		for i := range n.attrs {
			a := &n.attrs[i]
			if a.space != "" || !isID(a.local) {
				continue
			}
			if _, ok := ids[a.value]; ok && found.duplicate == "" {
				found.duplicate = a.value
			}
			ids[a.value] = struct{}{}
		}
		switch {
		case n.is(nsDsig, "Signature"):
			found.signatures = append(found.signatures, n)
		case n.is(nsAssertion, "Assertion"), n.is(nsAssertion, "EncryptedAssertion"):
			found.assertions++
		case n.is(nsProtocol, "Response"):
			found.responses++
		}
	}
	return found
}

// children checks the order of the Response's children (core §3.2.2:
// Issuer?, Signature?, Extensions?, Status, then the assertion).
func (l *layout) children() *Error {
	if !l.response.onlyElements() {
		return refuse(CodeStructure, "character data in Response")
	}
	const (
		afterNothing = iota
		afterIssuer
		afterSignature
		afterExtensions
		afterStatus
	)
	at, assertions := afterNothing, 0
	for c := l.response.firstElement(); c != nil; c = c.nextElement() {
		next := at
		switch {
		case c.is(nsAssertion, "Issuer"):
			l.issuer, next = c, afterIssuer
		case c.is(nsDsig, "Signature"):
			next = afterSignature
		case c.is(nsProtocol, "Extensions"):
			next = afterExtensions
		case c.is(nsProtocol, "Status"):
			if l.status != nil {
				return refuse(CodeStatusAmbiguous, "Response has more than one Status")
			}
			l.status, next = c, afterStatus
		case c.is(nsAssertion, "Assertion"):
			l.assertion = c
			assertions++
		case c.is(nsAssertion, "EncryptedAssertion"):
			l.encrypted = c
			assertions++
		default:
			return refuse(CodeStructure, "unexpected element "+clip(c.local)+" in Response")
		}
		if assertions > 1 {
			return refuse(CodeMultipleAssertions, "Response has more than one assertion")
		}
		if assertions == 0 && next <= at || assertions == 1 && at != afterStatus {
			return refuse(CodeStructure, "element "+clip(c.local)+" of Response is missing, repeated or out of order")
		}
		at = next
	}
	if l.status == nil {
		return refuse(CodeStructure, "Response has no Status")
	}
	if l.assertion == nil {
		return nil
	}
	if v := l.assertion.attrOr("Version"); v != "2.0" {
		return refuse(CodeVersion, "Assertion has Version "+clip(v))
	}
	return checkID(l.assertion)
}

// checkNesting refuses protocol messages, assertions and signed elements
// anywhere but where children found them.
func (l *layout) checkNesting(found collection) *Error {
	direct := 0
	if l.assertion != nil || l.encrypted != nil {
		direct = 1
	}
	if found.assertions != direct {
		return refuse(CodeStructure, "an assertion inside another element")
	}
	if found.responses != 1 {
		return refuse(CodeStructure, "a Response inside another element")
	}
	return nil
}

// checkID requires an ID that is an NCName of ASCII characters.
func checkID(n *node) *Error {
	id, ok := n.attr("ID")
	if !ok || id == "" {
		return refuse(CodeStructure, n.local+" has no ID")
	}
	if len(id) > maxName || !isNCName(id) {
		return refuse(CodeStructure, "the ID of "+n.local+" is not an NCName")
	}
	return nil
}

func isNCName(s string) bool {
	if s == "" || !isNameStart(s[0]) {
		return false
	}
	for i := 1; i < len(s); i++ {
		if !isNameChar(s[i]) {
			return false
		}
	}
	return true
}

package verify

import (
	"crypto"
	"encoding/base64"
	"strings"
)

const (
	algEnveloped = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"

	maxPrefixes       = 32   // names in an InclusiveNamespaces PrefixList
	maxSignatureBytes = 1024 // of a decoded SignatureValue: RSA up to 8192 bit
	maxReferenceURI   = maxName + 1
)

type keyFamily uint8

const (
	familyRSA keyFamily = iota + 1
	familyECDSA
)

type signatureMethod struct {
	family keyFamily
	hash   crypto.Hash
}

// Algorithms of XML Signature 1.1 §6 and RFC 9231. Everything else (HMAC, MD5,
// DSA, RSASSA-PSS) is unknown to the verifier; SHA-1 needs Params.AllowSHA1Until.
var signatureMethods = map[string]signatureMethod{
	"http://www.w3.org/2000/09/xmldsig#rsa-sha1":          {familyRSA, crypto.SHA1},
	"http://www.w3.org/2001/04/xmldsig-more#rsa-sha256":   {familyRSA, crypto.SHA256},
	"http://www.w3.org/2001/04/xmldsig-more#rsa-sha384":   {familyRSA, crypto.SHA384},
	"http://www.w3.org/2001/04/xmldsig-more#rsa-sha512":   {familyRSA, crypto.SHA512},
	"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256": {familyECDSA, crypto.SHA256},
	"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384": {familyECDSA, crypto.SHA384},
	"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512": {familyECDSA, crypto.SHA512},
}

var digestMethods = map[string]crypto.Hash{
	"http://www.w3.org/2000/09/xmldsig#sha1":        crypto.SHA1,
	"http://www.w3.org/2001/04/xmlenc#sha256":       crypto.SHA256,
	"http://www.w3.org/2001/04/xmldsig-more#sha384": crypto.SHA384,
	"http://www.w3.org/2001/04/xmlenc#sha512":       crypto.SHA512,
}

// signature is a Signature element whose form was checked; nothing in it is
// verified yet.
type signature struct {
	node, parent *node
	signedInfo   *node
	keyInfo      *node // may be nil; a hint, never trust

	infoForm, contentForm canonicalization // of SignedInfo and of the content

	methodName  string
	method      signatureMethod
	digest      crypto.Hash
	digestValue []byte
	value       []byte
}

// signable tells where a Signature may stand: the elements that may have one.
type signable []struct{ space, local string }

var (
	inResponse = signable{{nsProtocol, "Response"}, {nsAssertion, "Assertion"}}
	inMetadata = signable{{nsMetadata, "EntityDescriptor"}}
	inLogout   = signable{{nsProtocol, "LogoutRequest"}, {nsProtocol, "LogoutResponse"}}
)

func (list signable) has(n *node) bool {
	for _, name := range list {
		if n.is(name.space, name.local) {
			return true
		}
	}
	return false
}

// inclusive reports whether SignedInfo or the content is canonicalised
// inclusively.
func (s *signature) inclusive() bool { return s.infoForm.inclusive || s.contentForm.inclusive }

// usesSHA1 reports whether the signature or its digest is SHA-1.
func (s *signature) usesSHA1() bool { return s.method.hash == crypto.SHA1 || s.digest == crypto.SHA1 }

// parseSignature checks the form of an enveloped signature: its place, its
// children, its one Reference, its transforms and its algorithms.
func parseSignature(n *node, where signable) (*signature, *Error) {
	s := &signature{node: n, parent: n.parent}
	if err := s.checkPlace(where); err != nil {
		return nil, err
	}
	if err := s.parseChildren(); err != nil {
		return nil, err
	}
	if err := s.parseSignedInfo(); err != nil {
		return nil, err
	}
	return s, nil
}

func sigStructure(detail string) *Error { return refuse(CodeSigStructure, detail) }

// checkPlace: a child of an element that may be signed, right after the Issuer
// (or first, where there is none), the only one.
func (s *signature) checkPlace(where signable) *Error {
	p := s.parent
	if p == nil || !where.has(p) {
		return sigStructure("a Signature that is no child of " + where[0].local + " or " + where[len(where)-1].local)
	}
	first := p.firstElement()
	if first.is(nsAssertion, "Issuer") {
		first = first.nextElement()
	}
	if first != s.node {
		return sigStructure("the Signature does not follow the Issuer of " + p.local)
	}
	for c := s.node.nextElement(); c != nil; c = c.nextElement() {
		if c.is(nsDsig, "Signature") {
			return sigStructure(p.local + " has more than one Signature")
		}
		if c.is(nsAssertion, "Issuer") && p.firstElement() == s.node {
			return sigStructure("the Signature precedes the Issuer of " + p.local)
		}
	}
	return nil
}

func (s *signature) parseChildren() *Error {
	if s.node.blank() {
		return refuse(CodeUnsigned, "the Signature is empty")
	}
	if !s.node.onlyElements() || !onlyAttributes(s.node, "Id") {
		return sigStructure("unexpected content in Signature")
	}
	infos := 0
	var value *node
	for c := s.node.firstElement(); c != nil; c = c.nextElement() {
		if c.local == "SignedInfo" {
			infos++
		}
	}
	if infos > 1 {
		return refuse(CodeSigRef, "the Signature has more than one SignedInfo")
	}
	for c := s.node.firstElement(); c != nil; c = c.nextElement() {
		switch {
		case c.is(nsDsig, "SignedInfo") && s.signedInfo == nil && value == nil:
			s.signedInfo = c
		case c.is(nsDsig, "SignatureValue") && value == nil && s.signedInfo != nil:
			value = c
		case c.is(nsDsig, "KeyInfo") && s.keyInfo == nil && value != nil:
			s.keyInfo = c
		default:
			return sigStructure("unexpected element " + clip(c.local) + " in Signature")
		}
	}
	if s.signedInfo == nil || value == nil {
		return sigStructure("the Signature has no SignedInfo or no SignatureValue")
	}
	if !onlyAttributes(value, "Id") {
		return sigStructure("unexpected attribute of SignatureValue")
	}
	var err *Error
	if s.value, err = base64Leaf(value, maxSignatureBytes); err != nil {
		return err
	}
	return s.checkKeyInfo()
}

// checkKeyInfo admits what names or carries a key. A RetrievalMethod would
// make the verifier fetch something.
func (s *signature) checkKeyInfo() *Error {
	if s.keyInfo == nil {
		return nil
	}
	for c := s.keyInfo.firstElement(); c != nil; c = c.nextElement() {
		if c.is(nsDsig, "KeyName") || c.is(nsDsig, "KeyValue") || c.is(nsDsig, "X509Data") || c.is(nsDsig11, "DEREncodedKeyValue") {
			continue
		}
		return sigStructure("unexpected element " + clip(c.local) + " in KeyInfo")
	}
	return nil
}

func (s *signature) parseSignedInfo() *Error {
	info := s.signedInfo
	if !info.onlyElements() || !onlyAttributes(info, "Id") {
		return sigStructure("unexpected content in SignedInfo")
	}
	var c14n, method, reference *node
	references := 0
	for c := info.firstElement(); c != nil; c = c.nextElement() {
		switch {
		case c.is(nsDsig, "CanonicalizationMethod") && c14n == nil && method == nil:
			c14n = c
		case c.is(nsDsig, "SignatureMethod") && method == nil && c14n != nil && references == 0:
			method = c
		case c.is(nsDsig, "Reference") && method != nil:
			reference = c
			references++
		default:
			return sigStructure("unexpected element " + clip(c.local) + " in SignedInfo")
		}
	}
	if c14n == nil || method == nil {
		return sigStructure("SignedInfo has no CanonicalizationMethod or no SignatureMethod")
	}
	if references != 1 {
		return refuse(CodeSigRef, "SignedInfo must have exactly one Reference")
	}
	var err *Error
	if err = s.parseReference(reference); err != nil {
		return err
	}
	if s.infoForm, err = c14nMethod(c14n); err != nil {
		return err
	}
	s.methodName, _ = method.attr("Algorithm")
	known := false
	if s.method, known = signatureMethods[s.methodName]; !known {
		return refuse(CodeSigAlg, "signature algorithm "+clip(s.methodName))
	}
	if !method.blank() || !onlyAttributes(method, "Algorithm") {
		return sigStructure("unexpected content in SignatureMethod")
	}
	return nil
}

func (s *signature) parseReference(ref *node) *Error {
	if !ref.onlyElements() || !onlyAttributes(ref, "Id", "URI", "Type") {
		return sigStructure("unexpected content in Reference")
	}
	if err := s.checkURI(ref); err != nil {
		return err
	}
	var transforms, method, value *node
	for c := ref.firstElement(); c != nil; c = c.nextElement() {
		switch {
		case c.is(nsDsig, "Transforms") && transforms == nil && method == nil:
			transforms = c
		case c.is(nsDsig, "DigestMethod") && method == nil:
			method = c
		case c.is(nsDsig, "DigestValue") && value == nil && method != nil:
			value = c
		default:
			return sigStructure("unexpected element " + clip(c.local) + " in Reference")
		}
	}
	if method == nil || value == nil {
		return sigStructure("Reference has no DigestMethod or no DigestValue")
	}
	if err := s.parseTransforms(transforms); err != nil {
		return err
	}
	if !method.blank() || !onlyAttributes(method, "Algorithm") {
		return sigStructure("unexpected content in DigestMethod")
	}
	name, _ := method.attr("Algorithm")
	known := false
	if s.digest, known = digestMethods[name]; !known {
		return refuse(CodeSigAlg, "digest algorithm "+clip(name))
	}
	if !onlyAttributes(value) {
		return sigStructure("unexpected attribute of DigestValue")
	}
	var err *Error
	s.digestValue, err = base64Leaf(value, 64)
	return err
}

// checkURI: the Reference must name the element the signature is in.
func (s *signature) checkURI(ref *node) *Error {
	if err := checkID(s.parent); err != nil {
		return err
	}
	uri, ok := ref.attr("URI")
	if !ok || len(uri) > maxReferenceURI || uri != "#"+s.parent.attrOr("ID") {
		return refuse(CodeSigRef, "the Reference names "+clip(uri)+", not the "+s.parent.local+" it is in")
	}
	return nil
}

// parseTransforms: enveloped-signature, then a canonicalisation.
func (s *signature) parseTransforms(transforms *node) *Error {
	if transforms == nil {
		return refuse(CodeSigTransform, "Reference has no Transforms")
	}
	if !transforms.onlyElements() || !onlyAttributes(transforms) {
		return sigStructure("unexpected content in Transforms")
	}
	first := transforms.firstElement()
	if first == nil || !first.is(nsDsig, "Transform") || first.attrOr("Algorithm") != algEnveloped {
		return refuse(CodeSigTransform, "the first transform is not enveloped-signature")
	}
	if !first.blank() || !onlyAttributes(first, "Algorithm") {
		return sigStructure("unexpected content in Transform")
	}
	second := first.nextElement()
	if second == nil || !second.is(nsDsig, "Transform") || second.nextElement() != nil {
		return refuse(CodeSigTransform, "the transforms must be enveloped-signature and exclusive canonicalization")
	}
	var err *Error
	s.contentForm, err = c14nMethod(second)
	return err
}

// c14nMethod reads a canonicalisation without comments. Whether an inclusive
// one is allowed is the connection's setting.
func c14nMethod(n *node) (canonicalization, *Error) {
	var m canonicalization
	switch alg := n.attrOr("Algorithm"); alg {
	case algExcC14N:
	case algC14N10:
		m.inclusive = true
	case algC14N11:
		m.inclusive, m.v11 = true, true
	default:
		return m, refuse(CodeSigTransform, "canonicalization or transform "+clip(alg))
	}
	if !n.onlyElements() || !onlyAttributes(n, "Algorithm") {
		return m, sigStructure("unexpected content in " + n.local)
	}
	list := n.firstElement()
	if list == nil {
		return m, nil
	}
	if m.inclusive || !list.is(algExcC14N, "InclusiveNamespaces") || !list.blank() || list.nextElement() != nil || !onlyAttributes(list, "PrefixList") {
		return m, sigStructure("unexpected content in " + n.local)
	}
	m.prefixes = strings.Fields(list.attrOr("PrefixList"))
	if len(m.prefixes) > maxPrefixes {
		return m, refuse(CodeLimit, "more than 32 inclusive namespace prefixes")
	}
	for i, p := range m.prefixes {
		if p == "#default" {
			m.prefixes[i] = ""
		} else if !isNCName(p) {
			return m, sigStructure("malformed PrefixList")
		}
	}
	return m, nil
}

// onlyAttributes reports whether an element has no attributes but the named
// ones, in no namespace.
func onlyAttributes(n *node, names ...string) bool {
	for i := range n.attrs {
		known := false
		for _, name := range names {
			known = known || n.attrs[i].space == "" && n.attrs[i].local == name
		}
		if !known {
			return false
		}
	}
	return true
}

// base64Leaf decodes the text of an element: strict base64 once ASCII white
// space is removed.
func base64Leaf(n *node, limit int) ([]byte, *Error) {
	text, ok := n.leaf()
	if !ok {
		return nil, sigStructure("unexpected element in " + n.local)
	}
	b, ok := decodeBase64(text, limit)
	if !ok {
		return nil, sigStructure(n.local + " is not base64 or too long")
	}
	return b, nil
}

func decodeBase64(text string, limit int) ([]byte, bool) {
	compact := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if !isSpace(text[i]) {
			compact = append(compact, text[i])
		}
	}
	if base64.StdEncoding.DecodedLen(len(compact)) > limit+2 {
		return nil, false
	}
	out := make([]byte, base64.StdEncoding.DecodedLen(len(compact)))
	n, err := base64.StdEncoding.Strict().Decode(out, compact)
	return out[:n], err == nil && n <= limit
}

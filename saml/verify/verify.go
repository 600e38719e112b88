package verify

import (
	"crypto/rsa"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Params is what a response is held against.
type Params struct {
	ACS         string // our assertion consumer service URL; Recipient and Destination
	EntityID    string // our entity ID; the audience
	IdPEntityID string // the issuer
	Keys        []Key  // trusted signing keys; the first 16 are tried

	// RequestID is the ID of the stored AuthnRequest. It is empty together with
	// Unsolicited, for a response that the identity provider began.
	RequestID   string
	Unsolicited bool

	Skew time.Duration // tolerated difference of clocks, 0 to 300 s
	Now  time.Time
	// EmailAttribute is the attribute that the connection takes the e-mail address
	// from. Empty: none is chosen, and then all usual names must agree on one.
	EmailAttribute string
	AllowSHA1Until time.Time // SHA-1 in signatures is accepted before this instant; zero: never
	// AllowInclusiveC14N accepts signatures over inclusive canonical XML 1.0 and
	// 1.1 without comments besides the exclusive one.
	AllowInclusiveC14N bool

	// DecryptionKeys are our keys that assertions may be encrypted for, the
	// current one first; at most 4 are tried. Without one, encrypted assertions
	// are refused.
	DecryptionKeys []*rsa.PrivateKey
	RefuseCBC      bool // of encrypted content accept AES-GCM only

	// WantAuthnContext lists the authentication context classes asked for;
	// empty: any.
	WantAuthnContext []string
}

const maxSkew = 300 * time.Second

// Assertion is a verified assertion. Everything in it was signed by SignedBy,
// except ResponseID where only the assertion was signed.
type Assertion struct {
	ID, ResponseID, Issuer, InResponseTo            string
	NameID                                          NameID
	SessionIndex                                    string
	AuthnInstant, SessionNotOnOrAfter, NotOnOrAfter time.Time // SessionNotOnOrAfter is zero where absent
	AuthnContextClass                               string
	Attributes                                      []Attribute
	SignedBy                                        string // Key.SPKI
	SignedWhat                                      string // "assertion", "response" or "both"
	Encrypted                                       bool   // it came as EncryptedAssertion
}

// NameID is the subject's name, its value in full as the signer wrote it.
type NameID struct{ Value, Format, NameQualifier, SPNameQualifier string }

// Attribute is one Attribute element; the same Name may occur more than once.
type Attribute struct {
	Name, NameFormat, FriendlyName string
	Values                         []string
}

// Check is one check and its outcome. Names are those of checkOf.
type Check struct {
	Name             string
	OK               bool
	Expected, Actual string // at most 200 characters; no NameID or attribute values
}

// Report says what was checked. After the signature all checks are made even
// if one fails; Err is the first failure, nil when the response was accepted.
type Report struct {
	Checks []Check
	Err    *Error

	codes map[string]string // of the refusals of this kind of document; nil: as they are
}

// Error is a refusal: its code and a detail for administrators.
type Error struct{ Code, Detail string }

func (e *Error) Error() string { return e.Code + ": " + e.Detail }

func refuse(code, detail string) *Error { return &Error{Code: code, Detail: detail} }

// clip cuts a value to 200 characters.
func clip(s string) string {
	const limit = 200
	if len(s) <= limit {
		return s
	}
	n := 0
	for i := range s {
		if n++; n > limit {
			return s[:i]
		}
	}
	return s
}

func (r *Report) pass(name, expected, actual string) {
	r.Checks = append(r.Checks, Check{Name: name, OK: true, Expected: clip(expected), Actual: clip(actual)})
}

// fail records a failed check; the first one decides the outcome.
func (r *Report) fail(err *Error, expected, actual string) {
	err = translate(r.codes, err)
	r.Checks = append(r.Checks, Check{Name: checkOf[err.Code], Expected: clip(expected), Actual: clip(actual)})
	if r.Err == nil {
		r.Err = err
	}
}

// check records the check that belongs to code.
func (r *Report) check(ok bool, code, detail, expected, actual string) bool {
	if ok {
		r.pass(checkOf[code], expected, actual)
	} else {
		r.fail(refuse(code, detail), expected, actual)
	}
	return ok
}

// Peek reads the InResponseTo attribute of a Response, to look up the request
// it claims to answer. The document passed the checks of form only: the result
// is a hint by whoever sent it and good for nothing else. The error is an
// *Error.
func Peek(doc []byte) (inResponseTo string, err error) {
	root, e := parse(string(doc), maxDocument)
	if e != nil {
		return "", e
	}
	if _, e = structure(root); e != nil {
		return "", e
	}
	return root.attrOr("InResponseTo"), nil
}

// Verify checks a decoded SAML Response against p. The assertion is nil when
// it is refused; the report is never nil.
func Verify(doc []byte, p Params) (*Assertion, *Report) {
	r := &Report{Checks: make([]Check, 0, 64)}
	if reason := p.invalid(); reason != "" {
		r.fail(refuse(CodeConfig, reason), "complete settings", reason)
		return nil, r
	}
	r.pass(checkOf[CodeConfig], "complete settings", strconv.Itoa(len(p.Keys))+" keys")
	v := verifier{p: &p, r: r}
	a := v.run(doc)
	if r.Err != nil {
		return nil, r
	}
	return a, r
}

// invalid says what is wrong with the parameters; empty if nothing is.
func (p *Params) invalid() string {
	switch {
	case p.ACS == "":
		return "no ACS URL"
	case p.EntityID == "":
		return "no entity ID of ours"
	case (p.RequestID == "") != p.Unsolicited:
		return "a response either answers a request or is unsolicited"
	}
	return p.incomplete()
}

// incomplete is the part of invalid that holds for logout messages too.
func (p *Params) incomplete() string {
	switch {
	case p.IdPEntityID == "":
		return "no identity provider entity ID"
	case len(p.Keys) == 0:
		return "no signing key of the identity provider"
	case p.Skew < 0 || p.Skew > maxSkew:
		return "clock skew is not within 0 to 300 seconds"
	case p.Now.IsZero():
		return "no current time"
	}
	return ""
}

type verifier struct {
	p    *Params
	r    *Report
	hint string // what only the report says of an error; empty: the error's detail
}

// stop records an error that ends verification.
func (v *verifier) stop(err *Error, expected string) *Assertion {
	actual := err.Detail
	if v.hint != "" {
		actual = v.hint
	}
	v.r.fail(err, expected, actual)
	return nil
}

func (v *verifier) run(doc []byte) *Assertion {
	root, err := parse(string(doc), maxDocument)
	if err != nil {
		return v.stop(err, "XML within the profile")
	}
	v.r.pass(checkOf[CodeLimit], "at most "+strconv.Itoa(maxDocument)+" bytes", strconv.Itoa(len(doc))+" bytes")
	v.r.pass(checkOf[CodeXMLProfile], "XML within the profile", "as expected")
	l, err := structure(root)
	if err != nil {
		return v.stop(err, "a Response with one assertion")
	}
	v.reportStructure(l)

	signed, err := v.signatures(l)
	if err != nil {
		return v.stop(err, "an intact signature by a trusted key")
	}
	if signed == nil {
		return v.withoutAssertion(l)
	}
	a := v.content(signed)
	if a != nil {
		a.Encrypted = l.encrypted != nil
	}
	return a
}

func (v *verifier) reportStructure(l *layout) {
	r := v.r
	r.pass(checkOf[CodeRoot], "Response", l.response.local)
	r.pass(checkOf[CodeVersion], "2.0", "2.0")
	r.pass(checkOf[CodeStructure], "children in order, nothing nested", "as expected")
	for _, s := range []*signature{l.responseSignature, l.assertionSignature} {
		if s == nil {
			continue
		}
		r.pass(checkOf[CodeSigStructure], "Signature after Issuer", "in "+s.parent.local)
		r.pass(checkOf[CodeSigRef], "#"+s.parent.attrOr("ID"), "#"+s.parent.attrOr("ID"))
		r.pass(checkOf[CodeSigTransform], "enveloped-signature, exclusive canonicalization", "as expected")
	}
	r.pass(checkOf[CodeDuplicateID], "every ID once", "as expected")
	if l.assertion != nil || l.encrypted != nil {
		r.pass(checkOf[CodeMultipleAssertions], "1", "1")
	}
}

// verified is what the signatures cover: trees parsed again from the canonical
// bytes that were hashed. response is the received tree where the Response is
// not signed; its values may only lead to a refusal.
type verified struct {
	response       *node
	responseSigned bool
	status         *node
	responseIssuer *node
	assertion      *node
	encrypted      *node               // of a signed Response
	ids            map[string]struct{} // of a signed Response

	by, what string
}

// signatures verifies every signature there is, and decrypts between the
// Response's and the Assertion's. It returns nil and no error when there is no
// assertion.
func (v *verifier) signatures(l *layout) (*verified, *Error) {
	out := &verified{response: l.response, status: l.status, responseIssuer: l.issuer, assertion: l.assertion}
	var own *node
	if s := l.assertionSignature; s != nil {
		tree, by, err := v.signature(s)
		if err != nil {
			return nil, err
		}
		own, out.by, out.what = tree, by, "assertion"
	}
	if s := l.responseSignature; s != nil {
		tree, by, err := v.signature(s)
		if err != nil {
			return nil, err
		}
		again, err := structure(tree)
		if err != nil {
			return nil, err
		}
		out.response, out.status, out.responseIssuer, out.responseSigned = tree, again.status, again.issuer, true
		out.assertion, out.encrypted, out.ids = again.assertion, again.encrypted, again.ids
		if own != nil {
			out.what = "both"
		} else {
			out.by, out.what = by, "response"
		}
	}
	if own != nil {
		out.assertion = own
	}
	switch {
	case l.encrypted != nil:
		if err := v.decrypt(l, out); err != nil {
			return nil, err
		}
	case l.assertion == nil:
		return nil, nil
	default:
		v.r.pass(checkOf[CodeNoDecryptionKey], "a decryption key if needed", "not encrypted")
		v.r.pass(checkOf[CodeDecrypt], "content for our key", "not encrypted")
	}
	if out.what == "" {
		return nil, refuse(CodeUnsigned, "neither the Response nor the Assertion is signed")
	}
	v.r.pass(checkOf[CodeUnsigned], "signed Response or Assertion", out.what)
	return out, nil
}

// signature verifies one signature and parses the canonical bytes that were
// hashed.
func (v *verifier) signature(s *signature) (tree *node, by string, err *Error) {
	if s.usesSHA1() && !v.p.Now.Before(v.p.AllowSHA1Until) {
		return nil, "", refuse(CodeSigAlg, "SHA-1 in the signature of the "+s.parent.local)
	}
	if s.inclusive() && !v.p.AllowInclusiveC14N {
		return nil, "", refuse(CodeSigTransform, "inclusive canonicalization of the "+s.parent.local)
	}
	v.r.pass(checkOf[CodeSigAlg], "RSA or ECDSA with SHA-2", s.methodName)
	key, err := s.checkInfo(v.p.Keys)
	if err != nil {
		return nil, "", err
	}
	v.r.pass(checkOf[CodeUntrustedKey], "a trusted key", key.SPKI)
	content, err := s.checkDigest()
	if err != nil {
		return nil, "", err
	}
	v.r.pass(checkOf[CodeSig], "digest of the "+s.parent.local, "as expected")
	tree, err = parse(string(content), maxCanonical)
	if err != nil {
		return nil, "", err
	}
	if !tree.is(s.parent.space, s.parent.local) || tree.attrOr("ID") != s.parent.attrOr("ID") {
		return nil, "", refuse(CodeSigRef, "the signed content is another element")
	}
	return tree, key.SPKI, nil
}

// withoutAssertion refuses a Response without an assertion: by its status if
// that is an error, which identity providers often do not sign.
func (v *verifier) withoutAssertion(l *layout) *Assertion {
	if v.status(l.status) {
		v.r.fail(refuse(CodeStructure, "the status is Success, but there is no assertion"), "one assertion", "none")
	}
	return nil
}

func trimmed(s string) bool {
	return s == strings.TrimSpace(s)
}

func runes(s string) int { return utf8.RuneCountInString(s) }

package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
	"github.com/russellhaering/goxmldsig/etreeutils"
)

const (
	testACS    = "https://gate.example/saml/conn_1/acs"
	testEntity = "https://gate.example/saml/conn_1"
	testIdP    = "https://idp.example/metadata"
	testReq    = "_req-8f14e45f"
	testName   = "alice@acme.example"
)

var testNow = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// identity is a signing key with a certificate.
type identity struct {
	signer crypto.Signer
	cert   *x509.Certificate
}

func (i identity) key() Key {
	k, err := KeyFromCertificate(i.cert)
	if err != nil {
		panic(err)
	}
	return k
}

func (i identity) key0() string { return string(i.cert.RawSubjectPublicKeyInfo) }

func (i identity) keyInfo() string {
	return `<ds:KeyInfo><ds:X509Data><ds:X509Certificate>` + base64.StdEncoding.EncodeToString(i.cert.Raw) + `</ds:X509Certificate></ds:X509Data></ds:KeyInfo>`
}

// certify makes a certificate that expired long before testNow: its dates must
// not matter. Parent nil: self-signed.
func certify(signer crypto.Signer, parent *identity) identity {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "idp"},
		NotBefore: testNow.AddDate(-5, 0, 0), NotAfter: testNow.AddDate(-1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	issuer, by := template, signer
	if parent != nil {
		issuer, by = parent.cert, parent.signer
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, signer.Public(), by)
	if err != nil {
		panic(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return identity{signer, c}
}

// certifyValid re-issues a certificate that is valid now, for software that
// asks for that.
func certifyValid(i identity) identity {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "idp"}, NotBefore: testNow.AddDate(-10, 0, 0), NotAfter: testNow.AddDate(50, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, i.signer.Public(), i.signer)
	if err != nil {
		panic(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return identity{i.signer, c}
}

// load reads a test key; fixed keys let fuzzing processes agree on what is
// signed.
func load(name string) func() identity {
	return sync.OnceValue(func() identity {
		b, err := os.ReadFile(filepath.Join("testdata", "keys", name+".pem"))
		if err != nil {
			panic(err)
		}
		block, _ := pem.Decode(b)
		k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			panic(err)
		}
		return certify(k.(crypto.Signer), nil)
	})
}

func newEC(curve elliptic.Curve) identity {
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		panic(err)
	}
	return certify(k, nil)
}

var (
	rsaIdP      = load("rsa-idp")
	rsaSecond   = load("rsa-second")
	rsaAttacker = load("rsa-attacker")
	rsaTenant   = load("rsa-tenant")
	rsaWeak     = load("rsa-weak")
	ecIdP       = load("ec-idp")
	ecSecond    = load("ec-second")
	ecAttacker  = load("ec-attacker")
	ec521       = load("ec-521")
)

// baseXML is a Response as many identity providers write it.
const baseXML = `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_resp-1" Version="2.0" IssueInstant="2026-05-04T11:59:58Z" Destination="` + testACS + `" InResponseTo="` + testReq + `"><saml:Issuer>` + testIdP + `</saml:Issuer><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>` + baseAssertion + `</samlp:Response>`

const baseAssertion = `<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" ID="_assert-1" Version="2.0" IssueInstant="2026-05-04T11:59:58.123Z"><saml:Issuer>` + testIdP + `</saml:Issuer><saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress">` + testName + `</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData InResponseTo="` + testReq + `" NotOnOrAfter="2026-05-04T12:05:00Z" Recipient="` + testACS + `"/></saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="2026-05-04T11:55:00Z" NotOnOrAfter="2026-05-04T12:05:00Z"><saml:AudienceRestriction><saml:Audience>` + testEntity + `</saml:Audience></saml:AudienceRestriction></saml:Conditions><saml:AuthnStatement AuthnInstant="2026-05-04T11:30:00Z" SessionIndex="_sess-1" SessionNotOnOrAfter="2026-05-04T20:00:00Z"><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement><saml:Attribute Name="email" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:basic"><saml:AttributeValue xsi:type="xs:string">` + testName + `</saml:AttributeValue></saml:Attribute><saml:Attribute Name="groups"><saml:AttributeValue xsi:type="xs:string">Engineering &amp; Ops</saml:AttributeValue><saml:AttributeValue xsi:type="xs:string">admins</saml:AttributeValue></saml:Attribute></saml:AttributeStatement></saml:Assertion>`

func params(keys ...identity) Params {
	p := Params{ACS: testACS, EntityID: testEntity, IdPEntityID: testIdP, RequestID: testReq, Skew: 2 * time.Minute, Now: testNow}
	for _, k := range keys {
		p.Keys = append(p.Keys, k.key())
	}
	return p
}

// signing is how a test signs; zero fields mean the usual way. Canonical forms
// come from goxmldsig, so that accepting proves two implementations agree.
type signing struct {
	by         identity
	method     string
	methodHash crypto.Hash
	digest     string
	digestHash crypto.Hash
	c14n       string
	transforms string
	uri        *string
	keyInfo    *string
	prefixes   string                                 // InclusiveNamespaces of the content
	prefix     string                                 // of the Signature; "-" means none
	digestOf   func(el *etree.Element) []byte         // what to hash instead of el
	info       func(info *etree.Element)              // change SignedInfo before it is signed
	value      func(hashed []byte) []byte             // make the value in another way
	der        bool                                   // ECDSA value as DER
	place      func(parent, signature *etree.Element) // where to put it; default after Issuer
}

func exclusive(el *etree.Element, prefixes string) []byte {
	if len(el.FindElements(".//*")) > 900 {
		return ownCanonical(el)
	}
	ctx, err := etreeutils.NSBuildParentContext(el)
	if err != nil {
		panic(err)
	}
	detached, err := etreeutils.NSDetatch(ctx, el)
	if err != nil {
		panic(err)
	}
	b, err := dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList(prefixes).Canonicalize(detached)
	if err != nil {
		panic(err)
	}
	return b
}

// inclusiveForm writes the inclusive canonical form of an element: a copy that
// declares and has what it inherits, written by goxmldsig.
func inclusiveForm(el *etree.Element) []byte {
	c := el.Copy()
	for up := el.Parent(); up != nil; up = up.Parent() {
		for _, a := range up.Attr {
			if (a.Space == "xmlns" || a.Space == "xml" || a.FullKey() == "xmlns") && c.SelectAttr(a.FullKey()) == nil {
				c.CreateAttr(a.FullKey(), a.Value)
			}
		}
	}
	return must(dsig.MakeC14N10RecCanonicalizer().Canonicalize(c))
}

// ownCanonical is for elements beyond goxmldsig's limit of 1,000.
func ownCanonical(el *etree.Element) []byte {
	top := el
	for top.Parent() != nil && top.Parent().Tag != "" {
		top = top.Parent()
	}
	root, err := parse(string(serialize(top.Copy())), maxDocument)
	if err != nil {
		panic(err)
	}
	n := root
	for n != nil && (n.local != el.Tag || n.attrOr("ID") != el.SelectAttrValue("ID", "")) {
		n = n.following(root)
	}
	b, err := canonical(n, nil, canonicalization{})
	if err != nil {
		panic(err)
	}
	return b
}

func sum(h crypto.Hash, b []byte) []byte {
	w := h.New()
	w.Write(b)
	return w.Sum(nil)
}

func orDefault(s, d string) string {
	if s == "" {
		return d
	}
	return s
}

func fragment(xml string) *etree.Element {
	d := etree.NewDocument()
	if err := d.ReadFromString(xml); err != nil {
		panic(err)
	}
	return d.Root()
}

// sign puts an enveloped signature into el.
func (o signing) sign(el *etree.Element) {
	if o.methodHash == 0 {
		o.methodHash = crypto.SHA256
	}
	if o.digestHash == 0 {
		o.digestHash = crypto.SHA256
	}
	family := "rsa"
	if _, ok := o.by.signer.(*ecdsa.PrivateKey); ok {
		family = "ecdsa"
	}
	hashed := exclusive(el, o.prefixes)
	if strings.Contains(o.transforms, algC14N10) || strings.Contains(o.transforms, algC14N11) {
		hashed = inclusiveForm(el)
	}
	if o.digestOf != nil {
		hashed = o.digestOf(el)
	}
	uri := ` URI="#` + el.SelectAttrValue("ID", "") + `"`
	if o.uri != nil {
		uri = *o.uri
	}
	inclusive := ""
	if o.prefixes != "" {
		inclusive = `<ec:InclusiveNamespaces xmlns:ec="http://www.w3.org/2001/10/xml-exc-c14n#" PrefixList="` + o.prefixes + `"/>`
	}
	transforms := orDefault(o.transforms, `<ds:Transform Algorithm="`+algEnveloped+`"/><ds:Transform Algorithm="`+algExcC14N+`">`+inclusive+`</ds:Transform>`)
	keyInfo := o.by.keyInfo()
	if o.keyInfo != nil {
		keyInfo = *o.keyInfo
	}
	xml := `<ds:Signature xmlns:ds="` + nsDsig + `"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="` + orDefault(o.c14n, algExcC14N) +
		`"/><ds:SignatureMethod Algorithm="` + orDefault(o.method, "http://www.w3.org/2001/04/xmldsig-more#"+family+"-sha256") +
		`"/><ds:Reference` + uri + `><ds:Transforms>` + transforms + `</ds:Transforms><ds:DigestMethod Algorithm="` +
		orDefault(o.digest, "http://www.w3.org/2001/04/xmlenc#sha256") + `"/><ds:DigestValue>` +
		base64.StdEncoding.EncodeToString(sum(o.digestHash, hashed)) + `</ds:DigestValue></ds:Reference></ds:SignedInfo><ds:SignatureValue></ds:SignatureValue>` +
		keyInfo + `</ds:Signature>`
	switch o.prefix {
	case "":
	case "-":
		xml = strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(xml, "xmlns:ds=", "xmlns="), "<ds:", "<"), "</ds:", "</")
	default:
		xml = strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(xml, "xmlns:ds=", "xmlns:"+o.prefix+"="), "<ds:", "<"+o.prefix+":"), "</ds:", "</"+o.prefix+":")
	}
	signature := fragment(xml)
	info := child(signature, "SignedInfo")
	if o.info != nil {
		o.info(info)
	}
	if o.place != nil {
		o.place(el, signature)
	} else {
		insertAfterIssuer(el, signature)
	}
	signed := exclusive(info, "")
	if o.c14n == algC14N10 || o.c14n == algC14N11 {
		signed = inclusiveForm(info)
	}
	digest := sum(o.methodHash, signed)
	var value []byte
	if o.value != nil {
		value = o.value(digest)
	} else {
		value = o.by.raw(digest, o.methodHash, o.der)
	}
	child(signature, "SignatureValue").SetText(base64.StdEncoding.EncodeToString(value))
}

// rsaValues remembers RSA signatures, which are deterministic: most cases of the
// matrix sign the same.
var rsaValues sync.Map

func (i identity) raw(digest []byte, hash crypto.Hash, der bool) []byte {
	cached := i.key0() + string(digest) + hash.String()
	if v, ok := rsaValues.Load(cached); ok {
		return v.([]byte)
	}
	value, err := i.signer.Sign(rand.Reader, digest, hash)
	if err != nil {
		panic(err)
	}
	if _, ok := i.signer.(*rsa.PrivateKey); ok {
		rsaValues.Store(cached, value)
	}
	ec, ok := i.signer.(*ecdsa.PrivateKey)
	if !ok || der {
		return value
	}
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(value, &rs); err != nil {
		panic(err)
	}
	size := (ec.Curve.Params().BitSize + 7) / 8
	return append(rs.R.FillBytes(make([]byte, size)), rs.S.FillBytes(make([]byte, size))...)
}

func child(el *etree.Element, tag string) *etree.Element {
	for _, c := range el.ChildElements() {
		if c.Tag == tag {
			return c
		}
	}
	return nil
}

func insertAfterIssuer(el, signature *etree.Element) {
	at := 0
	if issuer := child(el, "Issuer"); issuer != nil {
		at = issuer.Index() + 1
	}
	el.InsertChildAt(at, signature)
}

func appendChild(el, c *etree.Element) { el.AddChild(c) }

// env is one cell of the matrix.
type env struct {
	t        testing.TB
	mode     string // "assertion", "response", "both"
	enc      string // "", "gcm", "cbc": how the assertion is encrypted
	skip     bool   // the case does not exist with encryption
	c14n     string // canonicalization where the case does not choose one
	idp      identity
	attacker identity
	p        Params
}

func (e *env) base() *etree.Element { return fragment(baseXML) }

// sign signs as the mode says and returns the bytes.
func (e *env) sign(root *etree.Element, o signing) []byte {
	if o.by.signer == nil {
		o.by = e.idp
	}
	if e.c14n != "" && o.c14n == "" && o.transforms == "" && o.prefixes == "" && o.digestOf == nil {
		o.c14n, o.transforms = e.c14n, `<ds:Transform Algorithm="`+algEnveloped+`"/><ds:Transform Algorithm="`+e.c14n+`"/>`
	}
	if e.mode != "response" {
		o.sign(child(root, "Assertion"))
	}
	e.encrypt(root)
	if e.mode != "assertion" {
		o.sign(root)
	}
	return serialize(root)
}

// encrypt replaces the assertion before the Response is signed. Where it is not
// signed, the finished document is encrypted (TestAttacks), so that changes
// after the signature get in as well.
func (e *env) encrypt(root *etree.Element) {
	if e.enc != "" && e.mode != "assertion" {
		sealingOf(e.enc).hide(child(root, "Assertion"))
	}
}

// signed builds, changes and signs a Response.
func (e *env) signed(change func(root, assertion *etree.Element)) []byte {
	root := e.base()
	if change != nil {
		change(root, child(root, "Assertion"))
	}
	return e.sign(root, signing{})
}

// tampered signs first and changes afterwards.
func (e *env) tampered(change func(root, assertion *etree.Element)) []byte {
	root := fragment(string(e.signed(nil)))
	if e.enc != "" && e.mode != "assertion" {
		e.skip = true // what is encrypted in a signed Response cannot be changed
		return serialize(root)
	}
	change(root, child(root, "Assertion"))
	return serialize(root)
}

// carrier is an element of the tree that has a signature.
func (e *env) carrier(root *etree.Element) *etree.Element {
	if e.mode == "response" {
		return root
	}
	return child(root, "Assertion")
}

func serialize(root *etree.Element) []byte {
	d := etree.NewDocument()
	d.SetRoot(root)
	d.WriteSettings.CanonicalAttrVal, d.WriteSettings.CanonicalText = true, true // white space survives
	b, err := d.WriteToBytes()
	if err != nil {
		panic(err)
	}
	return b
}

// replace changes bytes and fails if there is nothing to change.
func (e *env) replace(doc []byte, old, with string) []byte {
	e.t.Helper()
	if !strings.Contains(string(doc), old) {
		if e.enc != "" && e.mode != "assertion" {
			e.skip = true
			return doc
		}
		e.t.Fatalf("document does not contain %q", old)
	}
	return []byte(strings.Replace(string(doc), old, with, 1))
}

// evil makes a copy of an assertion another user's, under another ID.
func evil(a *etree.Element) *etree.Element {
	c := a.Copy()
	c.CreateAttr("ID", "_evil")
	child(child(c, "Subject"), "NameID").SetText("admin@acme.example")
	return c
}

func strip(el *etree.Element) *etree.Element {
	c := el.Copy()
	if s := child(c, "Signature"); s != nil {
		c.RemoveChild(s)
	}
	return c
}

func at(el *etree.Element, tags ...string) *etree.Element {
	for _, tag := range tags {
		el = child(el, tag)
	}
	return el
}

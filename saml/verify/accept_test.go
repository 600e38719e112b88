package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/base64"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"github.com/beevik/etree"
)

var modes = []string{"assertion", "response", "both"}

func accept(t *testing.T, doc []byte, p Params) *Assertion {
	t.Helper()
	a, r := Verify(doc, p)
	if r.Err != nil || a == nil {
		t.Fatalf("refused: %v\n%s", r.Err, doc)
	}
	for _, c := range r.Checks {
		if !c.OK {
			t.Errorf("accepted with failed check %+v", c)
		}
	}
	compare(t, doc, p, a)
	return a
}

func TestAcceptsBase(t *testing.T) {
	for _, mode := range modes {
		for _, idp := range []identity{rsaIdP(), ecIdP(), ecSecond(), ec521()} {
			e := &env{t: t, mode: mode, idp: idp}
			p := params(rsaSecond(), idp)
			a := accept(t, e.signed(nil), p)
			if a.ID != "_assert-1" || a.ResponseID != "_resp-1" || a.Issuer != testIdP || a.InResponseTo != testReq {
				t.Errorf("%s: identifiers %+v", mode, a)
			}
			if a.NameID.Value != testName || a.NameID.Format != "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress" {
				t.Errorf("%s: NameID %+v", mode, a.NameID)
			}
			if a.SignedWhat != mode || a.SignedBy != idp.key().SPKI {
				t.Errorf("%s: signed %s by %s", mode, a.SignedWhat, a.SignedBy)
			}
			if a.SessionIndex != "_sess-1" || stamp(a.AuthnInstant) != "2026-05-04T11:30:00Z" || stamp(a.SessionNotOnOrAfter) != "2026-05-04T20:00:00Z" || stamp(a.NotOnOrAfter) != "2026-05-04T12:05:00Z" {
				t.Errorf("%s: session %+v", mode, a)
			}
			if a.AuthnContextClass != "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport" {
				t.Errorf("%s: context %s", mode, a.AuthnContextClass)
			}
			if len(a.Attributes) != 2 || a.Attributes[1].Name != "groups" || strings.Join(a.Attributes[1].Values, "|") != "Engineering & Ops|admins" {
				t.Errorf("%s: attributes %+v", mode, a.Attributes)
			}
		}
	}
}

func TestAcceptsAlgorithms(t *testing.T) {
	for _, c := range []struct {
		name, method string
		hash         crypto.Hash
		digest       string
		digestHash   crypto.Hash
		by           identity
	}{
		{"rsa-sha384", "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384", crypto.SHA384, "http://www.w3.org/2001/04/xmldsig-more#sha384", crypto.SHA384, rsaIdP()},
		{"rsa-sha512", "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512", crypto.SHA512, "http://www.w3.org/2001/04/xmlenc#sha512", crypto.SHA512, rsaIdP()},
		{"ecdsa-sha384", "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384", crypto.SHA384, "", 0, ecSecond()},
		{"ecdsa-sha512", "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512", crypto.SHA512, "", 0, ec521()},
	} {
		e := &env{t: t, mode: "both", idp: c.by}
		doc := e.sign(e.base(), signing{method: c.method, methodHash: c.hash, digest: c.digest, digestHash: c.digestHash})
		accept(t, doc, params(c.by))
	}
}

func TestAcceptsSHA1OnlyUntil(t *testing.T) {
	e := &env{t: t, mode: "assertion", idp: rsaIdP()}
	doc := e.sign(e.base(), signing{method: "http://www.w3.org/2000/09/xmldsig#rsa-sha1", methodHash: crypto.SHA1, digest: "http://www.w3.org/2000/09/xmldsig#sha1", digestHash: crypto.SHA1})
	p := params(rsaIdP())
	p.AllowSHA1Until = testNow.Add(1)
	accept(t, doc, p)
	p.AllowSHA1Until = testNow
	if _, r := Verify(doc, p); r.Err == nil || r.Err.Code != CodeSigAlg {
		t.Errorf("SHA-1 on its last day: %v", r.Err)
	}
}

func TestAcceptsKeyInfoForms(t *testing.T) {
	empty := ""
	for _, idp := range []identity{rsaIdP(), ecIdP()} {
		e := &env{t: t, mode: "both", idp: idp}
		value := keyValue(idp)
		name := `<ds:KeyInfo><ds:KeyName>signing-2026</ds:KeyName></ds:KeyInfo>`
		other := rsaSecond().keyInfo()
		for _, info := range []*string{&empty, &value, &name, &other} {
			accept(t, e.sign(e.base(), signing{keyInfo: info}), params(rsaSecond(), idp))
		}
	}
}

func keyValue(i identity) string {
	b64 := base64.StdEncoding.EncodeToString
	switch k := i.signer.Public().(type) {
	case *rsa.PublicKey:
		return `<ds:KeyInfo><ds:KeyValue><ds:RSAKeyValue><ds:Modulus>` + b64(k.N.Bytes()) + `</ds:Modulus><ds:Exponent>` + b64(big.NewInt(int64(k.E)).Bytes()) + `</ds:Exponent></ds:RSAKeyValue></ds:KeyValue></ds:KeyInfo>`
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			panic(err)
		}
		oid := map[int]string{256: "1.2.840.10045.3.1.7", 384: "1.3.132.0.34", 521: "1.3.132.0.35"}[k.Curve.Params().BitSize]
		return `<ds:KeyInfo><ds:KeyValue><e:ECKeyValue xmlns:e="` + nsDsig11 + `"><e:NamedCurve URI="urn:oid:` + oid + `"/><e:PublicKey>` + b64(point) + `</e:PublicKey></e:ECKeyValue></ds:KeyValue></ds:KeyInfo>`
	}
	return ""
}

// form is another spelling of the same content: before and after it is signed.
type form struct {
	name          string
	before, after func(string) string
	o             signing
}

func acceptedForms(t testing.TB) []form {
	rename := func(protocol, assertion string) func(string) string {
		return func(s string) string {
			for from, to := range map[string]string{"samlp": protocol, "saml": assertion} {
				if to == "" {
					s = strings.NewReplacer("xmlns:"+from+"=", "xmlns=", "<"+from+":", "<", "</"+from+":", "</").Replace(s)
				} else {
					s = strings.NewReplacer("xmlns:"+from+"=", "xmlns:"+to+"=", "<"+from+":", "<"+to+":", "</"+from+":", "</"+to+":").Replace(s)
				}
			}
			return s
		}
	}
	pretty := func(s string) string {
		d := etree.NewDocument()
		if err := d.ReadFromString(s); err != nil {
			t.Fatal(err)
		}
		d.Indent(2)
		s, err := d.WriteToString()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	// Every element declares the default namespace it needs.
	defaults := func(s string) string {
		s = strings.ReplaceAll(s, ` xmlns:samlp="`+nsProtocol+`" xmlns:saml="`+nsAssertion+`"`, ` xmlns="`+nsProtocol+`"`)
		s = strings.ReplaceAll(s, ` xmlns:saml="`+nsAssertion+`"`, ``)
		s = strings.NewReplacer("<samlp:", "<", "</samlp:", "</", "<saml:Assertion", `<Assertion xmlns="`+nsAssertion+`"`, "<saml:Issuer>", `<Issuer xmlns="`+nsAssertion+`">`).Replace(s)
		return strings.NewReplacer("<saml:", "<", "</saml:", "</").Replace(s)
	}
	groups := func(s string) string {
		var b strings.Builder
		for i := range 1500 {
			b.WriteString(`<saml:AttributeValue xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string">CN=Group ` + strconv.Itoa(i) + `,OU=Groups,DC=acme</saml:AttributeValue>`)
		}
		return strings.Replace(s, `<saml:AttributeValue xsi:type="xs:string">admins</saml:AttributeValue>`, b.String(), 1)
	}
	same := func(s string) string { return s }
	return []form{
		{"saml2", rename("saml2p", "saml2"), same, signing{}},
		{"ns0", rename("ns1", "ns0"), same, signing{prefix: "ns2"}},
		{"upper-case prefixes", rename("SAMLP", "a.b-c_1"), same, signing{prefix: "dsig"}},
		{"default namespaces", defaults, same, signing{prefix: "-"}},
		{"default protocol namespace", rename("", "saml"), same, signing{prefix: "-"}},
		{"pretty-printed", pretty, same, signing{}},
		{"CRLF", pretty, func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }, signing{}},
		{"CR", pretty, func(s string) string { return strings.ReplaceAll(s, "\n", "\r") }, signing{}},
		{"declaration", same, func(s string) string {
			return `<?xml version="1.0" encoding="utf-8" standalone="no"?>` + "\n" + s + "\n"
		}, signing{}},
		{"single quotes", same, func(s string) string { return strings.ReplaceAll(s, `"`, `'`) }, signing{}},
		{"expanded empty elements", same, func(s string) string {
			return strings.ReplaceAll(s, `status:Success"/>`, `status:Success"></samlp:StatusCode >`)
		}, signing{}},
		{"inclusive prefixes", same, same, signing{prefixes: "xs xsi"}},
		{"inclusive default", defaults, same, signing{prefixes: "#default saml xs", prefix: "-"}},
		{"1,500 groups", groups, same, signing{}},
		{"CDATA value", same, func(s string) string {
			return strings.Replace(s, "Engineering &amp; Ops", "<![CDATA[Engineering & ]]>Ops", 1)
		}, signing{}},
		{"character references", same, func(s string) string {
			return strings.Replace(s, testName+"</saml:NameID>", "&#97;lice&#x40;acme.example</saml:NameID>", 1)
		}, signing{}},
		{"wrapped base64", same, func(s string) string {
			i := strings.Index(s, "SignatureValue>") + len("SignatureValue>")
			return s[:i] + "\n" + s[i:i+60] + "\r\n\t " + s[i+60:]
		}, signing{}},
	}
}

// TestAcceptsForms signs the same content in different spellings.
func TestAcceptsForms(t *testing.T) {
	for _, f := range acceptedForms(t) {
		t.Run(f.name, func(t *testing.T) {
			for _, mode := range modes {
				for _, idp := range []identity{rsaIdP(), ecIdP()} {
					e := &env{t: t, mode: mode, idp: idp}
					doc := e.sign(fragment(f.before(baseXML)), f.o)
					a := accept(t, []byte(f.after(string(doc))), params(idp))
					if a.NameID.Value != testName {
						t.Errorf("NameID %q", a.NameID.Value)
					}
					want := 2
					if f.name == "1,500 groups" {
						want = 1501
					}
					if len(a.Attributes[1].Values) != want || a.Attributes[1].Values[0] != "Engineering & Ops" {
						t.Errorf("groups %q", a.Attributes[1].Values)
					}
				}
			}
		})
	}
}

// TestAcceptsEscapes holds the escaping rules of the canonical form against
// another implementation, in text and in attributes.
func TestAcceptsEscapes(t *testing.T) {
	root := fragment(baseXML)
	value := "a<b>&\"'c\td\ne\rf ]]> é 😀"
	at(root, "Assertion", "AttributeStatement", "Attribute").CreateAttr("FriendlyName", value)
	at(root, "Assertion", "AttributeStatement", "Attribute", "AttributeValue").SetText(value)
	at(root, "Assertion", "AttributeStatement").RemoveChild(at(root, "Assertion", "AttributeStatement", "Attribute")) // keeps e-mail out
	attr := fragment(`<saml:Attribute xmlns:saml="` + nsAssertion + `" Name="x"><saml:AttributeValue/></saml:Attribute>`)
	attr.CreateAttr("FriendlyName", value)
	attr.CreateAttr("xml:lang", "de")
	child(attr, "AttributeValue").SetText(value)
	at(root, "Assertion", "AttributeStatement").AddChild(attr)
	for _, mode := range modes {
		e := &env{t: t, mode: mode, idp: rsaIdP()}
		doc := e.sign(root.Copy(), signing{})
		a, r := Verify(doc, params(rsaIdP()))
		if r.Err != nil {
			t.Fatal(mode, r.Err)
		}
		got := a.Attributes[len(a.Attributes)-1]
		if got.Values[0] != value || got.FriendlyName != value {
			t.Errorf("%s: value %q, friendly name %q", mode, got.Values[0], got.FriendlyName)
		}
	}
}

func TestUnsolicited(t *testing.T) {
	for _, mode := range modes {
		e := &env{t: t, mode: mode, idp: rsaIdP()}
		doc := e.signed(func(root, a *etree.Element) {
			root.RemoveAttr("InResponseTo")
			at(a, "Subject", "SubjectConfirmation", "SubjectConfirmationData").RemoveAttr("InResponseTo")
		})
		p := params(rsaIdP())
		p.RequestID, p.Unsolicited = "", true
		if a := accept(t, doc, p); a.InResponseTo != "" {
			t.Errorf("InResponseTo %q", a.InResponseTo)
		}
		if _, r := Verify(doc, params(rsaIdP())); r.Err == nil || r.Err.Code != CodeInResponseTo {
			t.Errorf("%s: unsolicited response to a request: %v", mode, r.Err)
		}
		if id, err := Peek(doc); err != nil || id != "" {
			t.Errorf("Peek: %q, %v", id, err)
		}
	}
}

func TestPeek(t *testing.T) {
	e := &env{t: t, mode: "both", idp: rsaIdP()}
	if id, err := Peek(e.signed(nil)); err != nil || id != testReq {
		t.Errorf("Peek: %q, %v", id, err)
	}
	if _, err := Peek([]byte("<a/>")); err == nil || err.(*Error).Code != CodeRoot {
		t.Errorf("Peek of something else: %v", err)
	}
	if _, err := Peek([]byte("<a>")); err == nil || err.(*Error).Code != CodeXMLProfile {
		t.Errorf("Peek of malformed XML: %v", err)
	}
}

func TestWantAuthnContext(t *testing.T) {
	e := &env{t: t, mode: "assertion", idp: rsaIdP()}
	p := params(rsaIdP())
	p.WantAuthnContext = []string{"x", "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"}
	accept(t, e.signed(nil), p)
}

// TestSeveralConfirmations: one bearer confirmation that satisfies everything
// is enough.
func TestSeveralConfirmations(t *testing.T) {
	e := &env{t: t, mode: "assertion", idp: rsaIdP()}
	accept(t, e.signed(func(_, a *etree.Element) {
		subject := child(a, "Subject")
		good := child(subject, "SubjectConfirmation")
		other := good.Copy()
		at(other, "SubjectConfirmationData").CreateAttr("Recipient", "https://other.example/acs")
		holder := good.Copy()
		holder.CreateAttr("Method", "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key")
		subject.InsertChildAt(good.Index(), other)
		subject.AddChild(holder)
	}), params(rsaIdP()))
}

func TestSeveralAudiences(t *testing.T) {
	e := &env{t: t, mode: "assertion", idp: rsaIdP()}
	accept(t, e.signed(func(_, a *etree.Element) {
		r := at(a, "Conditions", "AudienceRestriction")
		r.AddChild(fragment(`<saml:Audience xmlns:saml="` + nsAssertion + `">https://other.example</saml:Audience>`))
		r.InsertChildAt(0, fragment(`<saml:Audience xmlns:saml="`+nsAssertion+`">https://third.example</saml:Audience>`))
		child(a, "Conditions").AddChild(r.Copy())
		child(a, "Conditions").AddChild(fragment(`<saml:OneTimeUse xmlns:saml="` + nsAssertion + `"/>`))
		child(a, "Conditions").AddChild(fragment(`<saml:ProxyRestriction xmlns:saml="` + nsAssertion + `" Count="0"/>`))
	}), params(rsaIdP()))
}

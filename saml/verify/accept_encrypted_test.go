package verify

import (
	"encoding/base64"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/beevik/etree"
)

func withKeys(p Params, list ...identity) Params {
	p.DecryptionKeys = decryptionKeys(list...)
	return p
}

// encryptedDoc signs and encrypts as the mode says.
func encryptedDoc(t testing.TB, mode string, idp identity, s sealing) []byte {
	root := fragment(baseXML)
	return seals(mode, root, signing{by: idp}, s)
}

func seals(mode string, root *etree.Element, o signing, s sealing) []byte {
	if mode != "response" {
		o.sign(child(root, "Assertion"))
	}
	s.hide(child(root, "Assertion"))
	if mode != "assertion" {
		o.sign(root)
	}
	return serialize(root)
}

func acceptEncrypted(t *testing.T, doc []byte, p Params) *Assertion {
	t.Helper()
	a, r := Verify(doc, p)
	if r.Err != nil {
		t.Fatalf("refused: %v\n%s", r.Err, doc)
	}
	decrypted := false
	for _, c := range r.Checks {
		if !c.OK {
			t.Errorf("accepted with failed check %+v", c)
		}
		decrypted = decrypted || c.Name == "decryption" && c.Actual == "decrypted"
	}
	if !decrypted {
		t.Error("decryption is not reported")
	}
	return a
}

// encryptedForms are the ways to encrypt that are accepted.
func encryptedForms() map[string]sealing {
	const oaep = nsXEnc11 + "rsa-oaep"
	return map[string]sealing{
		"AES-128-GCM":              {method: nsXEnc11 + "aes128-gcm"},
		"AES-192-GCM":              {method: nsXEnc11 + "aes192-gcm"},
		"AES-256-GCM":              {method: gcm256},
		"AES-128-CBC":              {method: cbc128},
		"AES-192-CBC":              {method: nsXEnc + "aes192-cbc"},
		"AES-256-CBC":              {method: cbc256},
		"random padding":           {method: cbc256, pad: func(b []byte, n int) { copy(b[len(b)-n:len(b)-1], "padding of any kind") }},
		"key beside":               {place: "beside"},
		"key retrieved":            {place: "retrieved", method: cbc256},
		"for us by name":           {recipient: ` Recipient="` + testEntity + `"`},
		"no Type":                  {dataType: "-"},
		"default namespace":        {prefix: "-"},
		"other prefix":             {prefix: "e"},
		"KeyInfo of the key":       {keyInfo: `<ds:KeyInfo xmlns:ds="` + nsDsig + `"><ds:X509Data><ds:X509IssuerSerial><ds:X509IssuerName>CN=sp</ds:X509IssuerName><ds:X509SerialNumber>1</ds:X509SerialNumber></ds:X509IssuerSerial></ds:X509Data></ds:KeyInfo>`},
		"mgf1p without digest":     {digest: "-"},
		"mgf1p with SHA-256":       {digest: nsXEnc + "sha256"},
		"mgf1p with SHA-512":       {digest: nsXEnc + "sha512"},
		"rsa-oaep defaults":        {transport: oaep, digest: "-"},
		"rsa-oaep SHA-256/SHA-1":   {transport: oaep, digest: nsXEnc + "sha256"},
		"rsa-oaep SHA-256/SHA-256": {transport: oaep, digest: nsXEnc + "sha256", mgf: nsXEnc11 + "mgf1sha256"},
		"rsa-oaep SHA-384/SHA-512": {transport: oaep, digest: "http://www.w3.org/2001/04/xmldsig-more#sha384", mgf: nsXEnc11 + "mgf1sha512"},
		"rsa-oaep SHA-1/SHA-384":   {transport: oaep, mgf: nsXEnc11 + "mgf1sha384"},
		"OAEPparams":               {label: base64.StdEncoding.EncodeToString([]byte("label"))},
		"wrapped base64": {finish: func(xml string) string {
			i := strings.LastIndex(xml, "<xenc:CipherValue>") + len("<xenc:CipherValue>")
			return xml[:i] + "&#13;\n" + xml[i:i+76] + "&#13;\n" + xml[i+76:]
		}},
	}
}

// TestAcceptsEncrypted: the same assertion comes out of every form of
// encryption, and is as signed as what it came in.
func TestAcceptsEncrypted(t *testing.T) {
	plain := map[string]*Assertion{}
	for _, mode := range modes {
		e := &env{t: t, mode: mode, idp: ecIdP()}
		plain[mode] = accept(t, e.signed(nil), params(ecIdP()))
	}
	for name, s := range encryptedForms() {
		t.Run(name, func(t *testing.T) {
			for _, mode := range modes {
				a := acceptEncrypted(t, encryptedDoc(t, mode, ecIdP(), s), withKeys(params(ecIdP()), rsaSP()))
				want := *plain[mode]
				want.Encrypted = true
				if !reflect.DeepEqual(a, &want) {
					t.Errorf("%s signed: %+v, in plain text %+v", mode, a, plain[mode])
				}
			}
		})
	}
}

// TestDecryptionKeys: what was encrypted for the previous key is read after a
// change of keys; at most four are tried, and useless ones are passed over.
func TestDecryptionKeys(t *testing.T) {
	doc := encryptedDoc(t, "assertion", ecIdP(), sealing{to: rsaSPPrevious()})
	p := withKeys(params(ecIdP()), rsaSP(), rsaSPPrevious())
	acceptEncrypted(t, doc, p)
	p.DecryptionKeys = append(decryptionKeys(rsaSP(), rsaSPOther()), nil)
	if _, r := Verify(doc, p); r.Err == nil || r.Err.Code != CodeDecrypt {
		t.Errorf("without the key: %v", r.Err)
	}
	p.DecryptionKeys = append(p.DecryptionKeys, p.DecryptionKeys[0], decryptionKeys(rsaSPPrevious())[0])
	if _, r := Verify(doc, p); r.Err == nil || r.Err.Code != CodeDecrypt {
		t.Errorf("as the fifth key: %v", r.Err)
	}
}

// TestDecryptTellsNothing: the detail is the same for all causes, and the report
// names only what everybody can read off the document.
func TestDecryptTellsNothing(t *testing.T) {
	details := map[string]bool{}
	for _, c := range encryptionAttacks() {
		for _, enc := range []string{"gcm", "cbc"} {
			for _, mode := range []string{"assertion", "both"} {
				e := newEnv(t, mode, enc, 1, true)
				doc, want := e.build(c)
				if doc == nil || want != CodeDecrypt {
					continue
				}
				_, r := Verify(doc, e.p)
				details[r.Err.Detail] = true
				for _, check := range r.Checks {
					if strings.Contains(check.Actual+check.Expected, testName) {
						t.Errorf("%s %s: the report has content: %+v", c.id, c.name, check)
					}
				}
			}
		}
	}
	if len(details) != 1 {
		t.Errorf("details differ: %v", details)
	}
}

// TestInheritedNamespaces: a plaintext that declares nothing uses the namespaces
// around it, and one that declares everything may bind the prefixes around it
// to something else.
func TestInheritedNamespaces(t *testing.T) {
	strict := func(mode string, plain func(a *etree.Element) string, outer func(root *etree.Element)) []byte {
		root := fragment(baseXML)
		if outer != nil {
			outer(root)
		}
		a := child(root, "Assertion")
		if mode != "response" {
			signing{by: ecIdP()}.sign(a)
		}
		xml := sealing{}.seal([]byte(plain(a)))
		root.RemoveChild(a)
		root.AddChild(fragment(xml))
		if mode != "assertion" {
			signing{by: ecIdP()}.sign(root)
		}
		return serialize(root)
	}
	p := withKeys(params(ecIdP()), rsaSP())
	bare := func(a *etree.Element) string {
		return strings.NewReplacer(` xmlns:saml="`+nsAssertion+`"`, "", ` xmlns:xsi="`+nsXSI+`"`, "", ` xmlns:xs="http://www.w3.org/2001/XMLSchema"`, "").Replace(string(serialize(a.Copy())))
	}
	a := acceptEncrypted(t, strict("both", bare, func(root *etree.Element) {
		root.CreateAttr("xmlns:xsi", nsXSI)
		root.CreateAttr("xmlns:xs", "http://www.w3.org/2001/XMLSchema")
	}), p)
	if a.NameID.Value != testName || a.SignedWhat != "both" {
		t.Errorf("inherited: %+v", a)
	}
	// saml is what the EncryptedAssertion itself uses, so the Response's
	// signature covers it.
	onlySAML := func(a *etree.Element) string {
		return strings.Replace(string(serialize(a.Copy())), ` xmlns:saml="`+nsAssertion+`"`, "", 1)
	}
	acceptEncrypted(t, strict("response", onlySAML, nil), p)
	acceptEncrypted(t, strict("both", func(a *etree.Element) string { return string(standalone(a)) }, func(root *etree.Element) {
		root.CreateAttr("xmlns:xsi", "urn:something-else")
	}), p)
	// A namespace that only the unsigned envelope binds cannot change what was
	// signed: the assertion's own signature covers it.
	doc := string(strict("assertion", bare, func(root *etree.Element) {
		root.CreateAttr("xmlns:xsi", nsXSI)
		root.CreateAttr("xmlns:xs", "http://www.w3.org/2001/XMLSchema")
	}))
	acceptEncrypted(t, []byte(doc), p)
	if _, r := Verify([]byte(strings.Replace(doc, nsXSI, "urn:evil", 1)), p); r.Err == nil || r.Err.Code != CodeSig {
		t.Errorf("rebound in the envelope: %v", r.Err)
	}
}

func TestEncryptedGroups(t *testing.T) {
	var b strings.Builder
	for i := range 1500 {
		b.WriteString(`<saml:AttributeValue xsi:type="xs:string">CN=Group ` + strconv.Itoa(i) + `,OU=Groups,DC=acme</saml:AttributeValue>`)
	}
	xml := strings.Replace(baseXML, `<saml:AttributeValue xsi:type="xs:string">admins</saml:AttributeValue>`, b.String(), 1)
	for _, mode := range modes {
		for _, s := range []sealing{{}, {method: cbc256, place: "retrieved"}} {
			a := acceptEncrypted(t, seals(mode, fragment(xml), signing{by: ecIdP()}, s), withKeys(params(ecIdP()), rsaSP()))
			if len(a.Attributes[1].Values) != 1501 {
				t.Errorf("%s: %d groups", mode, len(a.Attributes[1].Values))
			}
		}
	}
}

func TestAcceptsInclusiveC14N(t *testing.T) {
	for _, alg := range []string{algC14N10, algC14N11} {
		for _, mode := range modes {
			for _, idp := range []identity{rsaIdP(), ecIdP()} {
				for _, both := range []bool{false, true} {
					o := signing{by: idp, c14n: alg}
					if both {
						o.transforms = `<ds:Transform Algorithm="` + algEnveloped + `"/><ds:Transform Algorithm="` + alg + `"/>`
					}
					root := fragment(baseXML)
					root.CreateAttr("xmlns:unused", "urn:unused")
					root.CreateAttr("xml:lang", "de")
					e := &env{t: t, mode: mode, idp: idp}
					doc := e.sign(root, o)
					p := params(idp)
					if a, r := Verify(doc, p); a != nil || r.Err.Code != CodeSigTransform {
						t.Errorf("%s %s without the setting: %v", mode, alg, r.Err)
					}
					p.AllowInclusiveC14N = true
					a, r := Verify(doc, p)
					if r.Err != nil {
						t.Fatalf("%s %s: %v\n%s", mode, alg, r.Err, doc)
					}
					if a.NameID.Value != testName || len(a.Attributes) != 2 || a.SignedWhat != mode {
						t.Errorf("%s %s: %+v", mode, alg, a)
					}
					// What the inclusive form covers, may not change.
					for _, old := range []string{"urn:unused", `xml:lang="de`} {
						if _, r := Verify(e.replace(doc, old, old+"x"), p); both && (r.Err == nil || r.Err.Code != CodeSig && r.Err.Code != CodeUntrustedKey) {
							t.Errorf("%s changed: %v", old, r.Err)
						}
					}
				}
			}
		}
	}
}

// TestInclusiveAttacks: what is refused stays refused, with the same code, when
// the identity provider signs over inclusive canonical XML and the connection
// allows it.
func TestInclusiveAttacks(t *testing.T) {
	for _, list := range [][]attack{wrappingAttacks(), signatureAttacks(), contentAttacks()} {
		for _, c := range list {
			for _, mode := range modes {
				e := newEnv(t, mode, "", 1, false)
				e.c14n, e.p.AllowInclusiveC14N = algC14N11, true
				doc, want := e.build(c)
				if doc == nil || c.id == "X18" && strings.Contains(c.name, "inclusive") {
					continue
				}
				got := ""
				if _, r := Verify(doc, e.p); r.Err != nil {
					got = r.Err.Code
				}
				if got != want {
					t.Errorf("%s %s, %s signed: %q, want %q", c.id, c.name, mode, got, want)
				}
			}
		}
	}
}

// TestInclusiveCanonical holds the inclusive form against known results.
func TestInclusiveCanonical(t *testing.T) {
	for _, c := range []struct{ name, in, path, want string }{
		{"unused declarations stay", `<a xmlns="u:d" xmlns:z="u:z" xmlns:b="u:b"><b:c/></a>`, "", `<a xmlns="u:d" xmlns:b="u:b" xmlns:z="u:z"><b:c></b:c></a>`},
		{"apex takes those around it", `<a xmlns="u:d" xmlns:z="u:z"><c xmlns:b="u:b"><d/></c></a>`, "c", `<c xmlns="u:d" xmlns:b="u:b" xmlns:z="u:z"><d></d></c>`},
		{"inner default wins", `<a xmlns="u:d"><c xmlns="u:e"/></a>`, "c", `<c xmlns="u:e"></c>`},
		{"same declaration is not repeated", `<a xmlns:z="u:z"><z:b xmlns:z="u:z"/></a>`, "", `<a xmlns:z="u:z"><z:b></z:b></a>`},
		{"default changes back", `<a xmlns="u:1"><b xmlns="u:2"><c xmlns="u:1"/></b></a>`, "", `<a xmlns="u:1"><b xmlns="u:2"><c xmlns="u:1"></c></b></a>`},
		{"xml attributes are inherited", `<a xml:lang="de" xml:space="preserve"><c xml:lang="en" x="1"/></a>`, "c", `<c x="1" xml:lang="en" xml:space="preserve"></c>`},
	} {
		root, err := parse(c.in, maxDocument)
		if err != nil {
			t.Fatal(err)
		}
		n := root
		if c.path != "" {
			n = root.firstElement()
		}
		got, err := canonical(n, nil, canonicalization{inclusive: true})
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, want %s (%v)", c.name, got, c.want, err)
		}
	}
	root, err := parse(`<a xml:base="http://a.example/"><b/></a>`, maxDocument)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := canonical(root.firstElement(), nil, canonicalization{inclusive: true, v11: true}); err == nil || err.Code != CodeSigTransform {
		t.Errorf("inherited xml:base: %v", err)
	}
	if got, err := canonical(root.firstElement(), nil, canonicalization{inclusive: true}); err != nil || string(got) != `<b xml:base="http://a.example/"></b>` {
		t.Errorf("inherited xml:base in version 1.0: %s %v", got, err)
	}
}

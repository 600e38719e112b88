package verify

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"testing"
)

func TestKeyFromCertificate(t *testing.T) {
	for _, good := range []identity{rsaIdP(), ecIdP(), ecSecond(), ec521()} {
		k, err := KeyFromCertificate(good.cert)
		if err != nil {
			t.Fatal(err)
		}
		if again := certify(good.signer, nil); again.key().SPKI != k.SPKI || len(k.SPKI) != 64 {
			t.Error("a re-issued certificate of the same key is another key")
		}
	}
	for name, bad := range map[string]*x509.Certificate{
		"nil":      nil,
		"RSA 1024": rsaWeak().cert,
		"RSA huge": {PublicKey: &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 9000), E: 65537}},
		"P-224":    newEC(elliptic.P224()).cert,
		"Ed25519":  {PublicKey: ed25519.PublicKey(make([]byte, 32))},
		"no key":   {},
		"nil RSA":  {PublicKey: (*rsa.PublicKey)(nil)},
		"nil EC":   {PublicKey: (*ecdsa.PublicKey)(nil)},
	} {
		if _, err := KeyFromCertificate(bad); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// TestUselessKeys: keys that cannot verify anything are passed over, whatever
// is in them.
func TestUselessKeys(t *testing.T) {
	e := &env{t: t, mode: "both", idp: rsaIdP()}
	doc := e.signed(nil)
	p := params(rsaIdP())
	useless := []Key{{}, {Public: (*rsa.PublicKey)(nil)}, {Public: &rsa.PublicKey{}}, {Public: (*ecdsa.PublicKey)(nil)}, {Public: &ecdsa.PublicKey{}}, {Public: "x"}}
	p.Keys = append(useless, p.Keys...)
	accept(t, doc, p)
	p.Keys = useless
	if a, r := Verify(doc, p); a != nil || r.Err.Code != CodeUntrustedKey {
		t.Errorf("useless keys: %v", r.Err)
	}
	p.Keys = append(make([]Key, maxKeys), rsaIdP().key())
	if a, _ := Verify(doc, p); a != nil {
		t.Error("more keys than the limit are tried")
	}
}

// TestBothSignaturesByDifferentKeys: each must be by a trusted key.
func TestBothSignaturesByDifferentKeys(t *testing.T) {
	root := fragment(baseXML)
	signing{by: rsaIdP()}.sign(child(root, "Assertion"))
	signing{by: ecIdP()}.sign(root)
	doc := serialize(root)
	a, r := Verify(doc, params(rsaIdP(), ecIdP()))
	if r.Err != nil || a.SignedBy != rsaIdP().key().SPKI || a.SignedWhat != "both" {
		t.Errorf("two trusted keys: %+v %v", a, r.Err)
	}
	for _, k := range []identity{rsaIdP(), ecIdP()} {
		if _, r := Verify(doc, params(k)); r.Err == nil || r.Err.Code != CodeUntrustedKey {
			t.Errorf("one trusted key: %v", r.Err)
		}
	}
}

// TestHostileKeyInfo: whatever KeyInfo holds, the verifier only refuses.
func TestHostileKeyInfo(t *testing.T) {
	rsaValue := func(m, e string) string {
		return `<ds:KeyInfo><ds:KeyValue><ds:RSAKeyValue><ds:Modulus>` + m + `</ds:Modulus><ds:Exponent>` + e + `</ds:Exponent></ds:RSAKeyValue></ds:KeyValue></ds:KeyInfo>`
	}
	e := &env{t: t, mode: "both", idp: rsaIdP()}
	for _, info := range []string{
		rsaValue("", ""), rsaValue("AA==", "AA=="), rsaValue("AQ==", "AQ=="), rsaValue("////", "////////////"), rsaValue("*", "AQAB"),
		`<ds:KeyInfo><ds:KeyValue><ds:RSAKeyValue/></ds:KeyValue></ds:KeyInfo>`,
		`<ds:KeyInfo><ds:KeyValue><ds:RSAKeyValue><ds:Modulus/></ds:RSAKeyValue></ds:KeyValue></ds:KeyInfo>`,
		`<ds:KeyInfo><ds:KeyValue><e:ECKeyValue xmlns:e="` + nsDsig11 + `"/></ds:KeyValue></ds:KeyInfo>`,
		`<ds:KeyInfo><ds:KeyValue><e:ECKeyValue xmlns:e="` + nsDsig11 + `"><e:NamedCurve URI="urn:oid:1.2.840.10045.3.1.7"/></e:ECKeyValue></ds:KeyValue></ds:KeyInfo>`,
		`<ds:KeyInfo><ds:KeyValue><e:ECKeyValue xmlns:e="` + nsDsig11 + `"><e:NamedCurve URI="urn:oid:1.2.840.10045.3.1.7"/><e:PublicKey>BAAA</e:PublicKey></e:ECKeyValue></ds:KeyValue></ds:KeyInfo>`,
		`<ds:KeyInfo><ds:X509Data><ds:X509Certificate>AAAA</ds:X509Certificate><ds:X509Certificate><x/></ds:X509Certificate></ds:X509Data></ds:KeyInfo>`,
		`<ds:KeyInfo><e:DEREncodedKeyValue xmlns:e="` + nsDsig11 + `">AAAA</e:DEREncodedKeyValue></ds:KeyInfo>`,
		`<ds:KeyInfo/>`,
	} {
		doc := e.sign(e.base(), signing{by: rsaAttacker(), keyInfo: &info})
		if a, r := Verify(doc, params(rsaIdP())); a != nil || r.Err.Code != CodeUntrustedKey && r.Err.Code != CodeSigAlg {
			t.Errorf("%s: %v", info, r.Err)
		}
		doc = e.sign(e.base(), signing{keyInfo: &info})
		if _, r := Verify(doc, params(rsaIdP())); r.Err != nil {
			t.Errorf("%s by the trusted key: %v", info, r.Err)
		}
	}
}

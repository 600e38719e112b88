package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"sync"

	"github.com/beevik/etree"
)

// signatureAttacks are U and G: no signature, the wrong key, weak or confused
// algorithms. What encryption adds is in encryptionAttacks.
func signatureAttacks() []attack {
	everySignature := func(root *etree.Element, f func(parent, s *etree.Element)) {
		for _, p := range []*etree.Element{root, child(root, "Assertion")} {
			if p == nil { // encrypted
				continue
			}
			if s := child(p, "Signature"); s != nil {
				f(p, s)
			}
		}
	}
	signatures := func(code string, f func(parent, s *etree.Element)) func(*env) ([]byte, string) {
		return after(code, func(root, _ *etree.Element) { everySignature(root, f) })
	}
	by := func(code string, o func(e *env) signing) func(*env) ([]byte, string) { return with(code, o) }
	alg := func(method string, h crypto.Hash, digest string, dh crypto.Hash) func(*env) ([]byte, string) {
		return with(CodeSigAlg, func(e *env) signing {
			o := signing{method: method, methodHash: h, digest: digest, digestHash: dh}
			if _, ec := e.idp.signer.(*ecdsa.PrivateKey); ec {
				o.value = func([]byte) []byte { return make([]byte, 64) }
			}
			return o
		})
	}
	hmac := func(secret func(e *env) []byte) func(*env) ([]byte, string) {
		return with(CodeSigAlg, func(e *env) signing {
			return signing{
				method: "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256",
				value:  func(hashed []byte) []byte { return sum(crypto.SHA256, slices.Concat(secret(e), hashed)) },
			}
		})
	}
	rewrap := func(tag, ns string) func(*env) ([]byte, string) {
		return func(e *env) ([]byte, string) {
			root := fragment(`<x:` + tag + ` xmlns:x="` + ns + `" xmlns:saml="` + nsAssertion + `" ID="_other" Version="2.0" IssueInstant="2026-05-04T11:59:58Z"><saml:Issuer>` + testIdP + `</saml:Issuer></x:` + tag + `>`)
			signing{by: e.idp}.sign(root)
			return serialize(root), CodeRoot
		}
	}
	return []attack{
		{"U1", "no signature", func(e *env) ([]byte, string) { return serialize(e.base()), CodeUnsigned }},
		{"U2", "Signature emptied", signatures(CodeUnsigned, func(p, s *etree.Element) {
			i := s.Index()
			p.RemoveChild(s)
			p.InsertChildAt(i, fragment(`<ds:Signature`+nsAttrs+`/>`))
		})},
		{"U3", "SignatureValue of zero length", signatures(CodeSig, func(_, s *etree.Element) { child(s, "SignatureValue").SetText("") })},
		{"U3", "no SignatureValue", signatures(CodeSigStructure, func(_, s *etree.Element) { s.RemoveChild(child(s, "SignatureValue")) })},
		{"U3", "no SignedInfo", signatures(CodeSigStructure, func(_, s *etree.Element) { s.RemoveChild(child(s, "SignedInfo")) })},
		{"U4", "signature over Issuer only", by(CodeSig, func(*env) signing {
			return signing{digestOf: func(el *etree.Element) []byte { return exclusive(child(el, "Issuer"), "") }}
		})},
		{"U5", "attacker's key and certificate", by(CodeUntrustedKey, func(e *env) signing { return signing{by: e.attacker} })},
		{"U5", "attacker's key, the IdP's certificate", by(CodeUntrustedKey, func(e *env) signing {
			info := e.idp.keyInfo()
			return signing{by: e.attacker, keyInfo: &info}
		})},
		{"U5", "attacker's key, no KeyInfo", by(CodeUntrustedKey, func(e *env) signing {
			info := ""
			return signing{by: e.attacker, keyInfo: &info}
		})},
		{"U5", "attacker's KeyValue", by(CodeUntrustedKey, func(e *env) signing {
			info := keyValue(e.attacker)
			return signing{by: e.attacker, keyInfo: &info}
		})},
		{"U5", "attacker's key beside the IdP's certificate", by(CodeUntrustedKey, func(e *env) signing {
			info := strings.Replace(e.idp.keyInfo(), "</ds:KeyInfo>", strings.TrimPrefix(e.attacker.keyInfo(), "<ds:KeyInfo>"), 1)
			return signing{by: e.attacker, keyInfo: &info}
		})},
		{"U5", "changed and signed by the attacker", func(e *env) ([]byte, string) {
			root := e.base()
			at(root, "Assertion", "Subject", "NameID").SetText("admin@acme.example")
			return e.sign(root, signing{by: e.attacker}), CodeUntrustedKey
		}},
		{"U6", "certificate issued by the IdP's", by(CodeUntrustedKey, func(e *env) signing {
			issued := certify(e.attacker.signer, &e.idp)
			info := strings.Replace(issued.keyInfo(), "</ds:X509Data>", "<ds:X509Certificate>"+base64.StdEncoding.EncodeToString(e.idp.cert.Raw)+"</ds:X509Certificate></ds:X509Data>", 1)
			return signing{by: issued, keyInfo: &info}
		})},
		{"U7", "another tenant's IdP with our issuer", by(CodeUntrustedKey, func(e *env) signing {
			if e.idp.cert.PublicKeyAlgorithm == rsaAttacker().cert.PublicKeyAlgorithm {
				return signing{by: rsaTenant()}
			}
			return signing{by: ec521()}
		})},
		{"U7", "for another connection", before(CodeAudience, func(_, a *etree.Element) {
			at(a, "Conditions", "AudienceRestriction", "Audience").SetText("https://gate.example/saml/conn_2")
		})},
		{"U8", "LogoutResponse", rewrap("LogoutResponse", nsProtocol)},
		{"U8", "ArtifactResponse", rewrap("ArtifactResponse", nsProtocol)},
		{"U8", "metadata", rewrap("EntityDescriptor", "urn:oasis:names:tc:SAML:2.0:metadata")},
		{"U8", "SAML 1.1", rewrap("Response", "urn:oasis:names:tc:SAML:1.0:protocol")},
		{"G1", "SHA-1 signature", func(e *env) ([]byte, string) {
			return alg("http://www.w3.org/2000/09/xmldsig#rsa-sha1", crypto.SHA1, "", 0)(e)
		}},
		{"G1", "SHA-1 signature and digest", alg("http://www.w3.org/2000/09/xmldsig#rsa-sha1", crypto.SHA1, "http://www.w3.org/2000/09/xmldsig#sha1", crypto.SHA1)},
		{"G2", "SHA-1 digest only", with(CodeSigAlg, func(*env) signing {
			return signing{digest: "http://www.w3.org/2000/09/xmldsig#sha1", digestHash: crypto.SHA1}
		})},
		{"G3", "MD5 signature", alg("http://www.w3.org/2001/04/xmldsig-more#rsa-md5", crypto.SHA256, "", 0)},
		{"G3", "MD5 digest", alg("", 0, "http://www.w3.org/2001/04/xmldsig-more#md5", 0)},
		{"G3", "DSA", alg("http://www.w3.org/2000/09/xmldsig#dsa-sha1", crypto.SHA256, "", 0)},
		{"G4", "RSA-1024, not trusted", by(CodeSigAlg, func(*env) signing { return signing{by: rsaWeak()} })},
		{"G4", "RSA-1024, trusted", func(e *env) ([]byte, string) {
			e.p.Keys = append(e.p.Keys, Key{Public: rsaWeak().signer.Public(), SPKI: "weak"})
			return e.sign(e.base(), signing{by: rsaWeak()}), CodeSigAlg
		}},
		{"G5", "HMAC with the certificate", hmac(func(e *env) []byte { return e.idp.cert.Raw })},
		{"G5", "HMAC with the PEM", hmac(func(e *env) []byte {
			return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.idp.cert.Raw})
		})},
		{"G5", "HMAC with the SPKI", hmac(func(e *env) []byte { return e.idp.cert.RawSubjectPublicKeyInfo })},
		{"G6", "wrong family", by(CodeSig, func(e *env) signing {
			method := "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
			if _, ok := e.idp.signer.(*rsa.PrivateKey); ok {
				method = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
			}
			return signing{method: method}
		})},
		{"G6", "ECDSA value as DER", func(e *env) ([]byte, string) {
			if _, ok := e.idp.signer.(*ecdsa.PrivateKey); !ok {
				return nil, ""
			}
			return e.sign(e.base(), signing{der: true}), CodeSig
		}},
		{"G6", "ECDSA of zeros", func(e *env) ([]byte, string) {
			if _, ok := e.idp.signer.(*ecdsa.PrivateKey); !ok {
				return nil, ""
			}
			// Well formed and over intact content: not told from another key's.
			return e.sign(e.base(), signing{value: func([]byte) []byte { return make([]byte, 64) }}), CodeUntrustedKey
		}},
		{"G7", "PKCS #1 block with garbage, e=3", func(e *env) ([]byte, string) {
			if _, ok := e.idp.signer.(*rsa.PrivateKey); !ok {
				return nil, ""
			}
			k := cubeKey()
			e.p.Keys = append(e.p.Keys, k.key())
			return e.sign(e.base(), signing{by: k, value: func(hashed []byte) []byte { return forgeCube(k, hashed) }}), CodeSig
		}},
		{"G7", "SignedInfo changed with its content", func(e *env) ([]byte, string) {
			if _, ok := e.idp.signer.(*rsa.PrivateKey); !ok {
				return nil, "" // an ECDSA value over something else looks like another key's
			}
			good := fragment(string(e.signed(nil)))
			root := e.base()
			at(root, "Assertion", "Subject", "NameID").SetText("admin@acme.example")
			bad := fragment(string(e.sign(root, signing{by: e.attacker})))
			everySignature(bad, func(p, s *etree.Element) {
				from := child(good, "Signature")
				if p != bad {
					from = at(good, "Assertion", "Signature")
				}
				child(s, "SignatureValue").SetText(child(from, "SignatureValue").Text())
				i := child(s, "KeyInfo")
				s.RemoveChild(i)
			})
			return serialize(bad), CodeSig
		}},
		{"G7", "value of another length", signatures(CodeSig, func(_, s *etree.Element) { child(s, "SignatureValue").SetText("AAAA") })},
		{"G7", "value too long", signatures(CodeSigStructure, func(_, s *etree.Element) {
			child(s, "SignatureValue").SetText(base64.StdEncoding.EncodeToString(make([]byte, 1025)))
		})},
		{"G7", "content changed", after(CodeSig, func(_, a *etree.Element) { at(a, "Subject", "NameID").SetText("admin@acme.example") })},
		{"G7", "white space added", after(CodeSig, func(_, a *etree.Element) { child(a, "Subject").CreateText("\n") })},
		{"G7", "one good and one bad signature", func(e *env) ([]byte, string) {
			if e.mode != "both" {
				return nil, ""
			}
			// The Response's signature covers the Assertion's broken one.
			root := e.base()
			signing{by: e.idp}.sign(child(root, "Assertion"))
			at(root, "Assertion", "Signature", "SignatureValue").SetText("AAAA")
			signing{by: e.idp}.sign(root)
			return serialize(root), CodeSig
		}},
	}
}

// cubeKey is an RSA key with the public exponent 3.
var cubeKey = sync.OnceValue(func() identity {
	three := big.NewInt(3)
	prime := func() *big.Int {
		for {
			p, err := rand.Prime(rand.Reader, 1024)
			if err != nil {
				panic(err)
			}
			if new(big.Int).Mod(new(big.Int).Sub(p, big.NewInt(1)), three).Sign() != 0 {
				return p
			}
		}
	}
	p, q := prime(), prime()
	one := big.NewInt(1)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	k := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 3}, D: new(big.Int).ModInverse(three, phi), Primes: []*big.Int{p, q}}
	k.Precompute()
	return certify(k, nil)
})

// forgeCube makes a value whose cube starts like a PKCS #1 block and ends in
// garbage (Bleichenbacher 2006); verifiers that do not look at the end take it.
func forgeCube(k identity, hashed []byte) []byte {
	size := k.signer.Public().(*rsa.PublicKey).Size()
	block := append([]byte{0, 1, 255, 255, 255, 255, 255, 255, 255, 255, 0}, 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20)
	block = append(block, hashed...)
	block = append(block, make([]byte, size-len(block))...)
	target := new(big.Int).SetBytes(block)
	low, high := big.NewInt(0), new(big.Int).Lsh(big.NewInt(1), uint(size*8/3+2))
	for low.Cmp(high) < 0 {
		mid := new(big.Int).Rsh(new(big.Int).Add(low, high), 1)
		if new(big.Int).Exp(mid, big.NewInt(3), nil).Cmp(target) < 0 {
			low = mid.Add(mid, big.NewInt(1))
		} else {
			high = mid
		}
	}
	return low.FillBytes(make([]byte, size))
}

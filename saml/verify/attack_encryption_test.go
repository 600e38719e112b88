package verify

import (
	"crypto/aes"
	"strings"

	"github.com/beevik/etree"
)

// encryptionAttacks are U9 to U11 and E: what encryption is taken for, and what
// cannot be decrypted. Whatever the cause of the latter, the code is one.
func encryptionAttacks() []attack {
	// sealed encrypts the assertion in another way, in all modes.
	sealed := func(code string, change func(s *sealing)) func(*env) ([]byte, string) {
		return func(e *env) ([]byte, string) {
			if e.enc == "" {
				return nil, ""
			}
			return e.sealedBy(change), code
		}
	}
	cbc := func(change func(s *sealing)) func(*env) ([]byte, string) {
		return func(e *env) ([]byte, string) {
			if e.enc != "cbc" {
				return nil, ""
			}
			return e.sealedBy(change), CodeDecrypt
		}
	}
	gcm := func(change func(s *sealing)) func(*env) ([]byte, string) {
		return func(e *env) ([]byte, string) {
			if e.enc != "gcm" {
				return nil, ""
			}
			return e.sealedBy(change), CodeDecrypt
		}
	}
	cut := func(n int) func(s *sealing) {
		return func(s *sealing) { s.content = func(b []byte) []byte { return b[:n] } }
	}
	flip := func(at int) func(s *sealing) {
		return func(s *sealing) {
			s.content = func(b []byte) []byte { b[(at+len(b))%len(b)] ^= 1; return b }
		}
	}
	rewrite := func(old, with string) func(s *sealing) {
		return func(s *sealing) {
			s.finish = func(xml string) string {
				if !strings.Contains(xml, old) {
					panic("nothing to replace: " + old)
				}
				return strings.Replace(xml, old, with, 1)
			}
		}
	}
	decrypt := func(change func(s *sealing)) func(*env) ([]byte, string) { return sealed(CodeDecrypt, change) }
	inPlace := func(f func(e *env, root *etree.Element) (*etree.Element, string)) func(*env) ([]byte, string) {
		return func(e *env) ([]byte, string) {
			if e.enc == "" {
				return nil, ""
			}
			root, code := f(e, e.base())
			if root == nil {
				return nil, ""
			}
			return serialize(root), code
		}
	}
	// plaintext encrypts something else instead of the assertion and signs the
	// Response as the mode says.
	// Of what cannot be read after CBC nothing is told; of the rest only where the
	// Response's signature covers the ciphertext.
	plaintext := func(code string, text func(a string) string) func(*env) ([]byte, string) {
		return inPlace(func(e *env, root *etree.Element) (*etree.Element, string) {
			a := child(root, "Assertion")
			if e.mode != "response" {
				signing{by: e.idp}.sign(a)
			}
			xml := sealingOf(e.enc).seal([]byte(text(string(standalone(a)))))
			root.RemoveChild(a)
			root.AddChild(fragment(xml))
			if e.mode != "assertion" {
				signing{by: e.idp}.sign(root)
			}
			if e.enc == "cbc" && (e.mode == "assertion" || code == CodeXMLProfile) {
				return root, CodeDecrypt
			}
			return root, code
		})
	}
	evilSealed := func(e *env, a *etree.Element) *etree.Element {
		s := sealingOf(e.enc)
		s.suffix = "-evil"
		return fragment(s.seal(standalone(evil(strip(a)))))
	}
	encryptedID := func(code string, change func(s *sealing), name string) func(*env) ([]byte, string) {
		return before(code, func(_, a *etree.Element) {
			s := sealing{element: "EncryptedID", suffix: "-id"}
			if change != nil {
				change(&s)
			}
			n := at(a, "Subject", "NameID")
			child(a, "Subject").InsertChildAt(n.Index(), fragment(s.seal([]byte(name))))
			child(a, "Subject").RemoveChild(n)
		})
	}
	const nameID = `<saml:NameID xmlns:saml="` + nsAssertion + `">` + testName + `</saml:NameID>`
	return []attack{
		{"U9", "unsigned assertion encrypted, unsigned Response", inPlace(func(e *env, root *etree.Element) (*etree.Element, string) {
			a := child(root, "Assertion")
			root.RemoveChild(a)
			root.AddChild(evilSealed(e, a))
			if e.enc == "cbc" {
				return root, CodeDecrypt // CBC is changed by anybody: nothing is told of the content
			}
			return root, CodeUnsigned
		})},
		{"U9", "assertion of the attacker encrypted, unsigned Response", inPlace(func(e *env, root *etree.Element) (*etree.Element, string) {
			signing{by: e.attacker}.sign(child(root, "Assertion"))
			sealingOf(e.enc).hide(child(root, "Assertion"))
			return root, CodeUntrustedKey
		})},
		{"U10", "encrypted evil after a signed assertion", inPlace(func(e *env, root *etree.Element) (*etree.Element, string) {
			signing{by: e.idp}.sign(child(root, "Assertion"))
			root.AddChild(evilSealed(e, child(root, "Assertion")))
			return root, CodeMultipleAssertions
		})},
		{"U10", "encrypted evil before a signed assertion", inPlace(func(e *env, root *etree.Element) (*etree.Element, string) {
			a := child(root, "Assertion")
			signing{by: e.idp}.sign(a)
			root.InsertChildAt(a.Index(), evilSealed(e, a))
			return root, CodeMultipleAssertions
		})},
		{"U10", "two encrypted assertions", inPlace(func(e *env, root *etree.Element) (*etree.Element, string) {
			a := child(root, "Assertion")
			signing{by: e.idp}.sign(a)
			root.AddChild(evilSealed(e, a))
			sealingOf(e.enc).hide(a)
			return root, CodeMultipleAssertions
		})},
		{"U10", "encrypted evil in Status", inPlace(func(e *env, root *etree.Element) (*etree.Element, string) {
			child(root, "Status").AddChild(evilSealed(e, child(root, "Assertion")))
			signing{by: e.idp}.sign(child(root, "Assertion"))
			return root, CodeStructure
		})},
		{"U10", "encrypted evil in the signed assertion's Advice", func(e *env) ([]byte, string) {
			return e.signed(func(_, a *etree.Element) {
				advice := fragment(`<saml:Advice` + nsAttrs + `/>`)
				advice.AddChild(evilSealed(e, a))
				a.InsertChildAt(child(a, "AuthnStatement").Index(), advice)
			}), CodeStructure
		}},
		{"U11", "encrypted assertion of a signed Response replaced", inPlace(func(e *env, _ *etree.Element) (*etree.Element, string) {
			if e.mode == "assertion" {
				return nil, ""
			}
			root := fragment(string(e.signed(nil)))
			root.RemoveChild(child(root, "EncryptedAssertion"))
			root.AddChild(evilSealed(e, child(e.base(), "Assertion")))
			return root, CodeSig
		})},
		{"U11", "encrypted assertion of a signed Response replaced by a signed one", inPlace(func(e *env, root *etree.Element) (*etree.Element, string) {
			if e.mode == "assertion" {
				return nil, ""
			}
			a := child(root, "Assertion")
			signing{by: e.idp}.sign(a)
			sealingOf(e.enc).hide(a)
			signed := fragment(string(e.signed(nil)))
			signed.RemoveChild(child(signed, "EncryptedAssertion"))
			signed.AddChild(child(root, "EncryptedAssertion"))
			return signed, CodeSig
		})},
		{"U11", "ciphertext of a signed Response changed", inPlace(func(e *env, _ *etree.Element) (*etree.Element, string) {
			if e.mode == "assertion" {
				return nil, ""
			}
			root := fragment(string(e.signed(nil)))
			v := at(root, "EncryptedAssertion", "EncryptedData", "CipherData", "CipherValue")
			v.SetText("AAAA" + v.Text()[4:])
			return root, CodeSig
		})},
		{"U11", "signature of a signed Response stripped", inPlace(func(e *env, _ *etree.Element) (*etree.Element, string) {
			if e.mode != "response" {
				return nil, ""
			}
			root := strip(fragment(string(e.signed(nil))))
			if e.enc == "cbc" {
				return root, CodeDecrypt
			}
			return root, CodeUnsigned
		})},

		{"E0", "no decryption key", func(e *env) ([]byte, string) {
			e.p.DecryptionKeys = nil
			if e.enc == "" {
				return e.signed(nil), ""
			}
			return e.sealedBy(nil), CodeNoDecryptionKey
		}},
		{"E0", "for another service provider", decrypt(func(s *sealing) { s.to = rsaSPOther() })},
		{"E0", "CBC where it is refused", func(e *env) ([]byte, string) {
			e.p.RefuseCBC = true
			if e.enc == "cbc" {
				return e.sealedBy(nil), CodeDecrypt
			}
			return e.sealedBy(nil), ""
		}},
		{"E1", "CBC, not a multiple of the block", cbc(func(s *sealing) { s.content = func(b []byte) []byte { return b[:len(b)-1] } })},
		{"E1", "CBC, a block and a half", cbc(cut(24))},
		{"E2", "CBC, initialization vector only", cbc(cut(16))},
		{"E3", "empty", decrypt(cut(0))},
		{"E3", "empty CipherValue of the key", decrypt(func(s *sealing) { s.key = func([]byte) []byte { return nil } })},
		{"E3", "one byte", decrypt(cut(1))},
		{"E4", "GCM, nonce only", gcm(cut(12))},
		{"E4", "GCM, shorter than nonce and tag", gcm(cut(27))},
		{"E4", "GCM, nothing encrypted", gcm(cut(28))},
		{"E4", "GCM, shorter than a nonce", gcm(cut(11))},
		{"E5", "GCM, wrong tag", gcm(flip(-1))},
		{"E5", "GCM, content changed", gcm(flip(100))},
		{"E5", "GCM, nonce changed", gcm(flip(0))},
		{"E5", "GCM, tag cut", gcm(func(s *sealing) { s.content = func(b []byte) []byte { return b[:len(b)-4] } })},
		{"E6", "padding of 0", cbc(func(s *sealing) { s.pad = func(b []byte, n int) { b[len(b)-1] = 0 } })},
		{"E6", "padding of 17", cbc(func(s *sealing) { s.pad = func(b []byte, n int) { b[len(b)-1] = 17 } })},
		{"E6", "padding of 255", cbc(func(s *sealing) { s.pad = func(b []byte, n int) { b[len(b)-1] = 255 } })},
		{"E6", "padding oracle, right padding, wrong content", cbc(func(s *sealing) {
			s.content = func(b []byte) []byte { return append(b[:32:32], b[len(b)-32:]...) }
		})},
		{"E6", "padding oracle, wrong padding", cbc(flip(-17))},
		{"E6", "CBC, initialization vector changed", cbc(func(s *sealing) { s.content = func(b []byte) []byte { b[0] ^= 0x80; return b } })},
		{"E6", "CBC, text changed", func(e *env) ([]byte, string) {
			if e.enc != "cbc" {
				return nil, ""
			}
			// The last block but one: text inside the Assertion's last value.
			if e.mode == "response" {
				return nil, "" // the identity provider signs what it encrypts
			}
			return e.sealedBy(func(s *sealing) {
				s.content = func(b []byte) []byte { b[len(b)-6*aes.BlockSize] ^= 1; return b }
			}), CodeDecrypt
		}},
		{"E7", "Triple DES", decrypt(rewrite(`EncryptionMethod Algorithm="`, `EncryptionMethod Algorithm="`+nsXEnc+`tripledes-cbc" Old="`))},
		{"E7", "GCM named CBC", gcm(rewrite(gcm256, cbc256))},
		{"E7", "CBC named GCM", cbc(rewrite(cbc256, gcm256))},
		{"E7", "AES-256 key named AES-128", cbc(rewrite(cbc256, cbc128))},
		{"E8", "unknown algorithm", decrypt(rewrite(`#aes256-`, `#aes257-`))},
		{"E8", "no algorithm", decrypt(rewrite(`EncryptionMethod Algorithm=`, `EncryptionMethod Old=`))},
		{"E8", "key wrapped with AES", decrypt(rewrite(nsXEnc+"rsa-oaep-mgf1p", nsXEnc+"kw-aes256"))},
		{"E8", "unknown digest of OAEP", decrypt(rewrite(nsDsig+"sha1", "http://www.w3.org/2001/04/xmldsig-more#md5"))},
		{"E8", "other digest of OAEP", decrypt(rewrite(nsDsig+"sha1", nsXEnc+"sha256"))},
		{"E8", "MGF with rsa-oaep-mgf1p", decrypt(func(s *sealing) { s.mgf = nsXEnc11 + "mgf1sha256" })},
		{"E8", "unknown MGF", decrypt(func(s *sealing) {
			s.transport, s.mgf = nsXEnc11+"rsa-oaep", nsXEnc11+"mgf1sha256"
			rewrite("mgf1sha256", "mgf1md5")(s)
		})},
		{"E8", "unknown parameter of OAEP", decrypt(rewrite(`<ds:DigestMethod `, `<ds:Else/><ds:DigestMethod `))},
		{"E8", "other OAEPparams", decrypt(func(s *sealing) { s.label = "AAAA"; rewrite("AAAA", "AAAB")(s) })},
		{"E9", "no EncryptedKey", decrypt(func(s *sealing) {
			s.finish = func(xml string) string {
				from, to := strings.Index(xml, "<ds:KeyInfo"), strings.Index(xml, "</ds:KeyInfo>")
				return xml[:from] + xml[to+len("</ds:KeyInfo>"):]
			}
		})},
		{"E9", "EncryptedKey in Extensions", inPlace(func(e *env, root *etree.Element) (*etree.Element, string) {
			s := sealingOf(e.enc)
			s.place = "beside"
			a := child(root, "Assertion")
			signing{by: e.idp}.sign(a)
			s.hide(a)
			key := at(root, "EncryptedAssertion", "EncryptedKey")
			key.Parent().RemoveChild(key)
			x := fragment(`<samlp:Extensions` + nsAttrs + `/>`)
			x.AddChild(key)
			root.InsertChildAt(child(root, "Status").Index(), x)
			if e.mode != "assertion" {
				signing{by: e.idp}.sign(root)
			}
			return root, CodeDecrypt
		})},
		{"E9", "two EncryptedKeys beside", decrypt(func(s *sealing) { s.place = "beside"; s.finish = doubleKey(`</saml:EncryptedAssertion>`) })},
		{"E9", "two EncryptedKeys in KeyInfo", decrypt(func(s *sealing) { s.finish = doubleKey(`</ds:KeyInfo>`) })},
		{"E9", "EncryptedKeys inside and beside", decrypt(func(s *sealing) {
			s.finish = func(xml string) string {
				return moveKey(xml, `</saml:EncryptedAssertion>`, true)
			}
		})},
		{"E9", "key for another recipient", decrypt(func(s *sealing) { s.recipient = ` Recipient="https://other.example/metadata"` })},
		{"E9", "key for other data", decrypt(func(s *sealing) { s.place = "beside"; rewrite(`URI="#_data"`, `URI="#_other"`)(s) })},
		{"E9", "RetrievalMethod names nothing", decrypt(func(s *sealing) { s.place = "retrieved"; rewrite(`URI="#_key"`, `URI="#_other"`)(s) })},
		{"E9", "RetrievalMethod names an address", decrypt(func(s *sealing) { s.place = "retrieved"; rewrite(`URI="#_key"`, `URI="http://169.254.169.254/"`)(s) })},
		{"E9", "RetrievalMethod with a transform", decrypt(func(s *sealing) {
			s.place = "retrieved"
			rewrite(`URI="#_key"/>`, `URI="#_key"><ds:Transforms/></ds:RetrievalMethod>`)(s)
		})},
		{"E9", "RetrievalMethod of another type", decrypt(func(s *sealing) { s.place = "retrieved"; rewrite("#EncryptedKey", "#EncryptedData")(s) })},
		{"E9", "RetrievalMethod and the key inside", decrypt(rewrite(`<xenc:EncryptedKey`, `<ds:RetrievalMethod URI="#_key"/><xenc:EncryptedKey`))},
		{"E9", "two RetrievalMethods", decrypt(func(s *sealing) {
			s.place = "retrieved"
			rewrite(`<ds:RetrievalMethod`, `<ds:RetrievalMethod URI="#_key"/><ds:RetrievalMethod`)(s)
		})},
		{"E10", "RSA PKCS #1 v1.5", decrypt(func(s *sealing) { s.rsa15, s.transport = true, nsXEnc+"rsa-1_5" })},
		{"E10", "RSA PKCS #1 v1.5 named OAEP", decrypt(func(s *sealing) { s.rsa15 = true })},
		{"E10", "OAEP named RSA PKCS #1 v1.5", decrypt(func(s *sealing) { s.transport = nsXEnc + "rsa-1_5" })},
		{"E10", "encrypted key changed", decrypt(func(s *sealing) { s.key = func(b []byte) []byte { b[9] ^= 1; return b } })},
		{"E10", "encrypted key of zeros", decrypt(func(s *sealing) { s.key = func(b []byte) []byte { return make([]byte, len(b)) } })},
		{"E10", "encrypted key too large", decrypt(func(s *sealing) { s.key = func(b []byte) []byte { return []byte(strings.Repeat("\xff", len(b))) } })},
		{"E10", "encrypted key too long", decrypt(func(s *sealing) { s.key = func(b []byte) []byte { return make([]byte, 5000) } })},
		{"E10", "content key of another size", decrypt(func(s *sealing) { s.plainKey = func(b []byte) []byte { return b[:16] } })},
		{"E10", "content key empty", decrypt(func(s *sealing) { s.plainKey = func(b []byte) []byte { return nil } })},

		{"E11", "no EncryptedData", decrypt(func(s *sealing) {
			s.finish = func(string) string { return `<saml:EncryptedAssertion xmlns:saml="` + nsAssertion + `"/>` }
		})},
		{"E11", "two EncryptedData", decrypt(func(s *sealing) {
			rewrite(`</xenc:EncryptedData>`, `</xenc:EncryptedData><xenc:EncryptedData xmlns:xenc="`+nsXEnc+`"/>`)(s)
		})},
		{"E11", "content, not an element", decrypt(func(s *sealing) { s.dataType = nsXEnc + "Content" })},
		{"E11", "CipherReference", decrypt(func(s *sealing) {
			s.finish = func(xml string) string {
				i := strings.LastIndex(xml, "<xenc:CipherValue>")
				j := strings.LastIndex(xml, "</xenc:CipherValue>") + len("</xenc:CipherValue>")
				return xml[:i] + `<xenc:CipherReference URI="http://169.254.169.254/"/>` + xml[j:]
			}
		})},
		{"E11", "two CipherValues", decrypt(rewrite(`</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData>`, `</xenc:CipherValue><xenc:CipherValue/></xenc:CipherData></xenc:EncryptedData>`))},
		{"E11", "element in CipherValue", decrypt(rewrite(`</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData>`, `<x/></xenc:CipherValue></xenc:CipherData></xenc:EncryptedData>`))},
		{"E11", "no CipherData", decrypt(rewrite(`</xenc:CipherData></xenc:EncryptedData>`, `</xenc:CipherData><xenc:CipherData/></xenc:EncryptedData>`))},
		{"E11", "not base64", decrypt(rewrite(`</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData>`, `*</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData>`))},
		{"E11", "text in EncryptedData", decrypt(rewrite(`</xenc:EncryptedData>`, `x</xenc:EncryptedData>`))},
		{"E11", "EncryptionProperties", decrypt(rewrite(`</xenc:EncryptedData>`, `<xenc:EncryptionProperties/></xenc:EncryptedData>`))},
		{"E11", "attribute of EncryptedAssertion", decrypt(rewrite(`<saml:EncryptedAssertion `, `<saml:EncryptedAssertion x="y" `))},

		{"E12", "plaintext is no XML", plaintext(CodeXMLProfile, func(string) string { return "secret" })},
		{"E12", "plaintext is empty", plaintext(CodeXMLProfile, func(string) string { return "" })},
		{"E12", "plaintext with a document type", plaintext(CodeXMLProfile, func(a string) string { return `<!DOCTYPE a [<!ENTITY x "y">]>` + a })},
		{"E12", "plaintext with a comment", plaintext(CodeXMLProfile, func(a string) string { return a + "<!-- -->" })},
		{"E12", "plaintext of two assertions", plaintext(CodeXMLProfile, func(a string) string { return a + a })},
		{"E12", "plaintext is too deep", plaintext(CodeLimit, func(a string) string {
			return strings.Replace(a, "<saml:Subject>", strings.Repeat("<saml:a>", 64)+strings.Repeat("</saml:a>", 64)+"<saml:Subject>", 1)
		})},
		{"E12", "plaintext is a Response", plaintext(CodeStructure, func(a string) string {
			return `<samlp:Response` + nsAttrs + ` ID="_inner" Version="2.0">` + a + `</samlp:Response>`
		})},
		{"E12", "plaintext is an EncryptedAssertion", plaintext(CodeStructure, func(a string) string { return sealing{}.seal([]byte(a)) })},
		{"E12", "plaintext nests an assertion", plaintext(CodeStructure, func(a string) string {
			return `<saml:Assertion` + nsAttrs + ` ID="_evil" Version="2.0"><saml:Issuer>` + testIdP + `</saml:Issuer><saml:Advice>` + a + `</saml:Advice></saml:Assertion>`
		})},
		{"E12", "plaintext without ID", plaintext(CodeStructure, func(string) string { return `<saml:Assertion` + nsAttrs + ` Version="2.0"/>` })},
		{"E12", "plaintext of version 1.1", plaintext(CodeVersion, func(string) string { return `<saml:Assertion` + nsAttrs + ` ID="_a" Version="1.1"/>` })},
		{"E12", "ID of the Response in the plaintext", plaintext(CodeDuplicateID, func(a string) string {
			return strings.ReplaceAll(a, "_assert-1", "_resp-1")
		})},
		{"E12", "Id of the EncryptedData in the plaintext", plaintext(CodeDuplicateID, func(a string) string {
			return strings.ReplaceAll(a, "_assert-1", "_data")
		})},
		{"E12", "undeclared prefix in the plaintext", plaintext(CodeXMLProfile, func(a string) string { return strings.Replace(a, "<saml:Subject>", "<saml:Subject q:a=''>", 1) })},
		{"E12", "signature beside the assertion's", plaintext(CodeSigStructure, func(a string) string {
			return strings.Replace(a, "<saml:Conditions ", `<ds:Signature xmlns:ds="`+nsDsig+`"/><saml:Conditions `, 1)
		})},
		{"E12", "prefix bound by the Response alone", func(e *env) ([]byte, string) {
			// Signed with the Response, the plaintext takes no namespace from
			// what the signature does not cover.
			if e.enc == "" || e.mode != "response" {
				return nil, ""
			}
			root := e.base()
			a := child(root, "Assertion")
			plain := strings.ReplaceAll(string(standalone(a)), `xmlns:xsi="`+nsXSI+`"`, "")
			root.CreateAttr("xmlns:xsi", nsXSI)
			root.RemoveChild(a)
			root.AddChild(fragment(sealingOf(e.enc).seal([]byte(plain))))
			signing{by: e.idp}.sign(root)
			return serialize(root), CodeXMLProfile
		}},

		{"E12", "default namespace bound by the Response alone", func(e *env) ([]byte, string) {
			if e.enc == "" || e.mode != "response" {
				return nil, ""
			}
			root := e.base()
			a := child(root, "Assertion")
			plain := strings.NewReplacer(`xmlns:saml="`+nsAssertion+`"`, "", "<saml:", "<", "</saml:", "</").Replace(string(standalone(a)))
			root.CreateAttr("xmlns", nsAssertion)
			root.RemoveChild(a)
			root.AddChild(fragment(sealingOf(e.enc).seal([]byte(plain))))
			signing{by: e.idp}.sign(root)
			return serialize(root), CodeStructure
		}},

		{"E13", "encrypted NameID", encryptedID("", nil, nameID)},
		{"E13", "encrypted NameID, CBC", encryptedID("", func(s *sealing) { s.method = cbc256 }, nameID)},
		{"E13", "encrypted NameID for another", encryptedID(CodeDecrypt, func(s *sealing) { s.to = rsaSPOther() }, nameID)},
		{"E13", "encrypted NameID changed", encryptedID(CodeDecrypt, flip(20), nameID)},
		{"E13", "EncryptedID is empty", encryptedID(CodeDecrypt, func(s *sealing) {
			s.finish = func(string) string { return `<saml:EncryptedID` + nsAttrs + `/>` }
		}, nameID)},
		{"E13", "encrypted NameID is no XML", encryptedID(CodeDecrypt, nil, testName)},
		{"E13", "encrypted NameID is an assertion", encryptedID(CodeDecrypt, nil, `<saml:Assertion`+nsAttrs+`/>`)},
		{"E13", "encrypted NameID is empty", encryptedID(CodeNameID, nil, `<saml:NameID`+nsAttrs+`/>`)},
		{"E13", "encrypted NameID holds an element", encryptedID(CodeXMLProfile, nil, `<saml:NameID`+nsAttrs+`>a<saml:b/></saml:NameID>`)},
		{"E13", "NameID and EncryptedID", before(CodeStructure, func(_, a *etree.Element) {
			child(a, "Subject").InsertChildAt(0, fragment(sealing{element: "EncryptedID", suffix: "-id"}.seal([]byte(nameID))))
		})},
		{"E13", "EncryptedID without a key of ours", func(e *env) ([]byte, string) {
			if e.enc != "" {
				return nil, ""
			}
			e.p.DecryptionKeys = nil
			doc, _ := encryptedID("", nil, nameID)(e)
			return doc, CodeNoDecryptionKey
		}},
		{"E14", "EncryptedID in SubjectConfirmation", before(CodeEncrypted, func(_, a *etree.Element) {
			at(a, "Subject", "SubjectConfirmation").InsertChildAt(0, fragment(sealing{element: "EncryptedID", suffix: "-id"}.seal([]byte(nameID))))
		})},
		{"E14", "encrypted attribute", before(CodeEncrypted, func(_, a *etree.Element) {
			child(a, "AttributeStatement").AddChild(fragment(`<saml:EncryptedAttribute` + nsAttrs + `/>`))
		})},
	}
}

// sealedBy encrypts the assertion as change says, and signs as the mode says.
func (e *env) sealedBy(change func(s *sealing)) []byte {
	root := e.base()
	if e.mode != "response" {
		signing{by: e.idp}.sign(child(root, "Assertion"))
	}
	if e.enc != "" {
		s := sealingOf(e.enc)
		if change != nil {
			change(&s)
		}
		s.hide(child(root, "Assertion"))
	}
	if e.mode != "assertion" {
		signing{by: e.idp}.sign(root)
	}
	return serialize(root)
}

// moveKey puts a copy of the EncryptedKey, of another Id, before a tag.
func moveKey(xml, tag string, keep bool) string {
	const open, end = "<xenc:EncryptedKey", "</xenc:EncryptedKey>"
	from, to := strings.Index(xml, open), strings.Index(xml, end)+len(end)
	key := strings.Replace(xml[from:to], `Id="_key"`, `Id="_key2"`, 1)
	if !keep {
		xml = xml[:from] + xml[to:]
	}
	return strings.Replace(xml, tag, key+tag, 1)
}

func doubleKey(tag string) func(string) string {
	return func(xml string) string { return moveKey(xml, tag, true) }
}

package verify

import (
	"strings"

	"github.com/beevik/etree"
)

const nsAttrs = ` xmlns:samlp="` + nsProtocol + `" xmlns:saml="` + nsAssertion + `" xmlns:ds="` + nsDsig + `"`

// wrappingAttacks are X1 to X20: the signature is good, but not of what is
// read.
func wrappingAttacks() []attack {
	evilResponse := func(root *etree.Element) *etree.Element {
		c := strip(root)
		c.CreateAttr("ID", "_evil-response")
		a := child(c, "Assertion")
		c.RemoveChild(a)
		c.AddChild(evil(strip(a)))
		return c
	}
	onlyResponse := func(code string, f func(root *etree.Element) *etree.Element) func(*env) ([]byte, string) {
		return func(e *env) ([]byte, string) {
			if e.mode == "assertion" || e.enc != "" {
				return nil, ""
			}
			return serialize(f(fragment(string(e.signed(nil))))), code
		}
	}
	onlyAssertion := func(code string, f func(root, a *etree.Element)) func(*env) ([]byte, string) {
		return func(e *env) ([]byte, string) {
			if e.mode == "response" {
				return nil, ""
			}
			return e.tampered(f), code
		}
	}
	replaceAssertion := func(root, a, with *etree.Element) {
		root.RemoveChild(a)
		root.AddChild(with)
	}
	nested := func(path ...string) func(root, a *etree.Element) {
		return func(root, a *etree.Element) {
			e := evil(strip(a))
			at(e, path...).AddChild(a.Copy())
			replaceAssertion(root, a, e)
		}
	}
	signatureOf := func(e *env, root *etree.Element) *etree.Element { return child(e.carrier(root), "Signature") }
	inSignature := func(code string, f func(root, sig *etree.Element)) func(*env) ([]byte, string) {
		return func(e *env) ([]byte, string) {
			return e.tampered(func(root, _ *etree.Element) { f(root, signatureOf(e, root)) }), code
		}
	}
	inText := func(code, tag, insert string) func(*env) ([]byte, string) {
		return func(e *env) ([]byte, string) {
			doc := string(e.signed(nil))
			i := strings.Index(doc, "<ds:"+tag+">") + len("<ds:"+tag+">") + 5
			return []byte(doc[:i] + insert + doc[i:]), code
		}
	}
	uri := func(u string) func(*env) ([]byte, string) {
		return with(CodeSigRef, func(*env) signing { return signing{uri: &u} })
	}
	transforms := func(list ...string) func(*env) ([]byte, string) {
		return with(CodeSigTransform, func(*env) signing {
			return signing{transforms: `<ds:Transform Algorithm="` + strings.Join(list, `"/><ds:Transform Algorithm="`) + `"/>`}
		})
	}
	info := func(code string, f func(info *etree.Element)) func(*env) ([]byte, string) {
		return with(code, func(*env) signing { return signing{info: f} })
	}
	return []attack{
		{"X1", "original Response inside the Signature", onlyResponse(CodeSigStructure, func(root *etree.Element) *etree.Element {
			c, s := evilResponse(root), child(root, "Signature").Copy()
			s.AddChild(strip(root))
			insertAfterIssuer(c, s)
			return c
		})},
		{"X2", "original Response before a detached Signature", onlyResponse(CodeSigStructure, func(root *etree.Element) *etree.Element {
			c := evilResponse(root)
			insertAfterIssuer(c, child(root, "Signature").Copy())
			insertAfterIssuer(c, strip(root))
			return c
		})},
		{"X3", "evil assertion first", after(CodeMultipleAssertions, func(root, a *etree.Element) {
			root.InsertChildAt(a.Index(), evil(strip(a)))
		})},
		{"X3", "evil assertion second", after(CodeMultipleAssertions, func(root, a *etree.Element) { root.AddChild(evil(strip(a))) })},
		{"X3", "both signed by the identity provider", before(CodeMultipleAssertions, func(root, a *etree.Element) { root.AddChild(evil(a)) })},
		{"X4", "signed assertion inside the evil one", after(CodeStructure, nested())},
		{"X5", "evil assertion with the signature of its sibling", onlyAssertion(CodeSigRef, func(root, a *etree.Element) {
			e := evil(a)
			replaceAssertion(root, a, e)
			root.AddChild(strip(a))
		})},
		{"X6", "original assertion inside the evil one's Signature", onlyAssertion(CodeSigStructure, func(root, a *etree.Element) {
			e := evil(a)
			child(e, "Signature").AddChild(strip(a))
			replaceAssertion(root, a, e)
		})},
		{"X7", "Extensions with an assertion of the same ID", after(CodeDuplicateID, func(root, a *etree.Element) {
			x := fragment(`<samlp:Extensions` + nsAttrs + `/>`)
			c := evil(strip(a))
			c.CreateAttr("ID", "_assert-1")
			x.AddChild(c)
			root.InsertChildAt(child(root, "Status").Index(), x)
		})},
		{"X7", "Extensions with an assertion of another ID", after(CodeStructure, func(root, a *etree.Element) {
			x := fragment(`<samlp:Extensions` + nsAttrs + `/>`)
			x.AddChild(evil(strip(a)))
			root.InsertChildAt(child(root, "Status").Index(), x)
		})},
		{"X8", "original in a ds:Object, evil with the same ID", onlyAssertion(CodeSigStructure, func(root, a *etree.Element) {
			e := evil(a)
			e.CreateAttr("ID", "_assert-1")
			object := fragment(`<ds:Object` + nsAttrs + `/>`)
			object.AddChild(strip(a))
			child(e, "Signature").AddChild(object)
			replaceAssertion(root, a, e)
		})},
		{"X9", "evil in Advice", after(CodeStructure, func(_, a *etree.Element) {
			advice := fragment(`<saml:Advice` + nsAttrs + `/>`)
			advice.AddChild(evil(strip(a)))
			a.InsertChildAt(child(a, "AuthnStatement").Index(), advice)
		})},
		{"X10", "evil in StatusDetail", after(CodeStructure, func(root, a *etree.Element) {
			detail := fragment(`<samlp:StatusDetail` + nsAttrs + `/>`)
			detail.AddChild(evil(strip(a)))
			child(root, "Status").AddChild(detail)
		})},
		{"X11", "signed assertion in AttributeValue", after(CodeStructure, nested("AttributeStatement", "Attribute", "AttributeValue"))},
		{"X12", "signed assertion in SubjectConfirmationData", after(CodeStructure, nested("Subject", "SubjectConfirmation", "SubjectConfirmationData"))},
		{"X12", "signed Response in Extensions of an evil one", onlyResponse(CodeStructure, func(root *etree.Element) *etree.Element {
			c := strip(root)
			c.CreateAttr("ID", "_evil-response")
			c.RemoveChild(child(c, "Assertion"))
			x := fragment(`<samlp:Extensions` + nsAttrs + `/>`)
			x.AddChild(root.Copy())
			c.InsertChildAt(child(c, "Status").Index(), x)
			return c
		})},
		{"X13", "two Signatures, good first", func(e *env) ([]byte, string) {
			return e.tampered(func(root, _ *etree.Element) {
				c, s := e.carrier(root), signatureOf(e, root)
				bad := s.Copy()
				child(bad, "SignatureValue").SetText("AAAA")
				c.InsertChildAt(s.Index()+1, bad)
			}), CodeSigStructure
		}},
		{"X13", "two Signatures, bad first", func(e *env) ([]byte, string) {
			return e.tampered(func(root, _ *etree.Element) {
				c, s := e.carrier(root), signatureOf(e, root)
				bad := s.Copy()
				child(bad, "SignatureValue").SetText("AAAA")
				c.InsertChildAt(s.Index(), bad)
			}), CodeSigStructure
		}},
		{"X14", "Signature last", with(CodeSigStructure, func(*env) signing { return signing{place: appendChild} })},
		{"X14", "Signature before Issuer", with(CodeSigStructure, func(*env) signing {
			return signing{place: func(el, s *etree.Element) { el.InsertChildAt(0, s) }}
		})},
		{"X14", "Signature in Subject", onlyAssertion(CodeSigStructure, func(_, a *etree.Element) {
			s := child(a, "Signature")
			a.RemoveChild(s)
			child(a, "Subject").AddChild(s)
		})},
		{"X15", "two References, evil first", info(CodeSigRef, func(i *etree.Element) {
			r := child(i, "Reference")
			c := r.Copy()
			child(c, "DigestValue").SetText("AAAA")
			i.InsertChildAt(r.Index(), c)
		})},
		{"X15", "two References, evil last", info(CodeSigRef, func(i *etree.Element) {
			c := child(i, "Reference").Copy()
			c.CreateAttr("URI", "#_evil")
			i.AddChild(c)
		})},
		{"X15", "no Reference", info(CodeSigRef, func(i *etree.Element) { i.RemoveChild(child(i, "Reference")) })},
		{"X15", "two SignedInfo", inSignature(CodeSigRef, func(_, s *etree.Element) { s.InsertChildAt(0, child(s, "SignedInfo").Copy()) })},
		{"X15", "SignedInfo in another namespace", inSignature(CodeSigRef, func(_, s *etree.Element) {
			s.AddChild(fragment(`<o:SignedInfo xmlns:o="urn:other"/>`))
		})},
		{"X16", "empty URI", uri(` URI=""`)},
		{"X16", "other URI", uri(` URI="#other"`)},
		{"X16", "xpointer", uri(` URI="#xpointer(id('_assert-1'))"`)},
		{"X16", "no URI", uri(``)},
		{"X16", "external URI", uri(` URI="http://169.254.169.254/latest"`)},
		{"X16", "prefix of the ID", uri(` URI="#_assert"`)},
		{"X17", "comment in DigestValue", inText(CodeSigStructure, "DigestValue", "<!--x-->")},
		{"X17", "comment in SignatureValue", inText(CodeSigStructure, "SignatureValue", "<!--x-->")},
		{"X17", "processing instruction in DigestValue", inText(CodeSigStructure, "DigestValue", "<?x?>")},
		{"X17", "CDATA in DigestValue", inText(CodeSigStructure, "DigestValue", "<![CDATA[]]>")},
		{"X17", "element in DigestValue", inText(CodeSigStructure, "DigestValue", "<x/>")},
		{"X17", "two DigestValue", info(CodeSigStructure, func(i *etree.Element) {
			r := child(i, "Reference")
			r.AddChild(child(r, "DigestValue").Copy())
		})},
		{"X17", "two SignatureValue", inSignature(CodeSigStructure, func(_, s *etree.Element) {
			s.AddChild(child(s, "SignatureValue").Copy())
		})},
		{"X17", "RetrievalMethod", inSignature(CodeSigStructure, func(_, s *etree.Element) {
			child(s, "KeyInfo").AddChild(fragment(`<ds:RetrievalMethod` + nsAttrs + ` URI="http://169.254.169.254/"/>`))
		})},
		{"X17", "Manifest in Object", inSignature(CodeSigStructure, func(_, s *etree.Element) {
			s.AddChild(fragment(`<ds:Object` + nsAttrs + `><ds:Manifest/></ds:Object>`))
		})},
		{"X17", "not base64", inText(CodeSigStructure, "SignatureValue", "*")},
		{"X18", "XPath", transforms(algEnveloped, algExcC14N, "http://www.w3.org/TR/1999/REC-xpath-19991116")},
		{"X18", "XSLT", transforms(algEnveloped, "http://www.w3.org/TR/1999/REC-xslt-19991116")},
		{"X18", "base64", transforms(algEnveloped, "http://www.w3.org/2000/09/xmldsig#base64")},
		{"X18", "five canonicalizations", transforms(algEnveloped, algExcC14N, algExcC14N, algExcC14N, algExcC14N, algExcC14N)},
		{"X18", "no enveloped", transforms(algExcC14N)},
		{"X18", "other order", transforms(algExcC14N, algEnveloped)},
		{"X18", "enveloped only", transforms(algEnveloped)},
		{"X18", "WithComments", transforms(algEnveloped, algExcC14N+"WithComments")},
		{"X18", "inclusive canonicalization", transforms(algEnveloped, "http://www.w3.org/TR/2001/REC-xml-c14n-20010315")},
		{"X18", "SignedInfo WithComments", with(CodeSigTransform, func(*env) signing { return signing{c14n: algExcC14N + "WithComments"} })},
		{"X18", "SignedInfo inclusive", with(CodeSigTransform, func(*env) signing { return signing{c14n: "http://www.w3.org/2006/12/xml-c14n11"} })},
		{"X18", "no Transforms", info(CodeSigTransform, func(i *etree.Element) {
			r := child(i, "Reference")
			r.RemoveChild(child(r, "Transforms"))
		})},
		{"X18", "many inclusive prefixes", with(CodeLimit, func(*env) signing { return signing{prefixes: strings.Repeat("xs ", 33)} })},
		{"X19", "relative namespace", swap(CodeXMLProfile, "<saml:Subject>", `<saml:Subject xmlns:x="1">`)},
		{"X19", "empty namespace", swap(CodeXMLProfile, "<saml:Subject>", `<saml:Subject xmlns="">`)},
		{"X19", "undeclared prefix", swap(CodeXMLProfile, "<saml:Subject>", `<saml:Subject x:y="1">`)},
		{"X19", "undeclared element prefix", swap(CodeXMLProfile, "<saml:Subject>", `<x:y/><saml:Subject>`)},
		{"X19", "prefix redefined by the ancestor", func(e *env) ([]byte, string) {
			doc := string(e.signed(nil))
			return []byte(strings.Replace(doc, `xmlns:saml="`+nsAssertion+`"`, `xmlns:saml="urn:evil"`, 1)), CodeXMLProfile
		}},
		{"X19", "xml prefix rebound", swap(CodeXMLProfile, "<saml:Subject>", `<saml:Subject xmlns:xml="urn:x">`)},
		{"X19", "xml namespace to another prefix", swap(CodeXMLProfile, "<saml:Subject>", `<saml:Subject xmlns:x="`+nsXML+`">`)},
		{"X19", "xmlns prefix declared", swap(CodeXMLProfile, "<saml:Subject>", `<saml:Subject xmlns:xmlns="urn:x">`)},
		{"X19", "samlp:ID and ID", swap(CodeXMLProfile, `ID="_resp-1"`, `ID="_resp-1" samlp:ID="_evil"`)},
		{"X19", "saml:ID and ID", swap(CodeXMLProfile, `ID="_assert-1"`, `saml:ID="_evil" ID="_assert-1"`)},
		{"X19", "xml:id", swap(CodeXMLProfile, "<saml:Subject>", `<saml:Subject xml:id="_x">`)},
		{"X19", "duplicate declaration", swap(CodeXMLProfile, "<saml:Subject>", `<saml:Subject xmlns:x="u:1" xmlns:x="u:1">`)},
		{"X19", "same attribute by two prefixes", swap(CodeXMLProfile, "<saml:Subject>", `<saml:Subject xmlns:x="u:1" xmlns:y="u:1" x:a="" y:a="">`)},
		{"X20", "ID twice", swap(CodeDuplicateID, `ID="_assert-1"`, `ID="_assert-1" ID="_evil"`)},
		{"X20", "ID twice, other order", swap(CodeDuplicateID, `ID="_assert-1"`, `ID="_evil" ID="_assert-1"`)},
		{"X20", "ID and x:ID", swap(CodeDuplicateID, `ID="_assert-1"`, `xmlns:x="urn:x" ID="_assert-1" x:ID="_evil"`)},
		{"X20", "x:ID and ID", swap(CodeDuplicateID, `ID="_assert-1"`, `xmlns:x="urn:x" x:ID="_evil" ID="_assert-1"`)},
		{"X20", "ID and Id", swap(CodeDuplicateID, `ID="_assert-1"`, `Id="_evil" ID="_assert-1"`)},
		{"X20", "same ID as the Response", before(CodeDuplicateID, func(_, a *etree.Element) { a.CreateAttr("ID", "_resp-1") })},
	}
}

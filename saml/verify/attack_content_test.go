package verify

import (
	"strings"
	"time"

	"github.com/beevik/etree"
)

var zeroTime time.Time

func attr(name, value string, path ...string) func(root, a *etree.Element) {
	return func(_, a *etree.Element) {
		el := at(a, path...)
		if value == "-" {
			el.RemoveAttr(name)
		} else {
			el.CreateAttr(name, value)
		}
	}
}

func text(value string, path ...string) func(root, a *etree.Element) {
	return func(_, a *etree.Element) { at(a, path...).SetText(value) }
}

func remove(path ...string) func(root, a *etree.Element) {
	return func(_, a *etree.Element) {
		el := at(a, path...)
		el.Parent().RemoveChild(el)
	}
}

func ofResponse(name, value string) func(root, a *etree.Element) {
	return func(root, _ *etree.Element) {
		if value == "-" {
			root.RemoveAttr(name)
		} else {
			root.CreateAttr(name, value)
		}
	}
}

func add(xml string, path ...string) func(root, a *etree.Element) {
	return func(_, a *etree.Element) { at(a, path...).AddChild(fragment(xml)) }
}

// value is an Attribute with one value.
func value(name, friendly, v string) string {
	return `<saml:Attribute` + nsAttrs + ` Name="` + name + `" FriendlyName="` + friendly + `"><saml:AttributeValue>` + v + `</saml:AttributeValue></saml:Attribute>`
}

// contentAttacks are C, A, R, I, Q, D and S: the signature is good, what is
// signed is not for us, malformed or ambiguous.
func contentAttacks() []attack {
	data := []string{"Subject", "SubjectConfirmation", "SubjectConfirmationData"}
	audience := []string{"Conditions", "AudienceRestriction", "Audience"}
	inNameID := func(code, insert string) func(*env) ([]byte, string) {
		return swap(code, testName+"</saml:NameID>", testName+insert+"</saml:NameID>")
	}
	// name expects the full text, whatever it looks like.
	name := func(v string) func(*env) ([]byte, string) {
		return func(e *env) ([]byte, string) {
			doc := e.signed(text(v, "Subject", "NameID"))
			if a, _ := Verify(doc, e.p); a == nil || a.NameID.Value != v {
				e.t.Errorf("NameID is not %q: %+v", v, a)
			}
			return doc, ""
		}
	}
	signedOnly := func(code string, change func(root, a *etree.Element)) func(*env) ([]byte, string) {
		return func(e *env) ([]byte, string) {
			if e.mode == "assertion" {
				code = ""
			}
			return e.signed(change), code
		}
	}
	status := func(code, xml string) func(*env) ([]byte, string) {
		return before(code, func(root, _ *etree.Element) {
			s := child(root, "Status")
			for _, c := range s.ChildElements() {
				s.RemoveChild(c)
			}
			for _, c := range fragment(`<samlp:Status` + nsAttrs + `>` + xml + `</samlp:Status>`).ChildElements() {
				s.AddChild(c)
			}
		})
	}
	errorOnly := func(code, inner string) func(*env) ([]byte, string) {
		return func(e *env) ([]byte, string) {
			root := e.base()
			root.RemoveChild(child(root, "Assertion"))
			s := at(root, "Status", "StatusCode")
			s.CreateAttr("Value", statusPrefix+"Responder")
			s.AddChild(fragment(`<samlp:StatusCode` + nsAttrs + ` Value="` + statusPrefix + inner + `"/>`))
			if e.mode != "assertion" {
				signing{by: e.idp}.sign(root)
			}
			return serialize(root), code
		}
	}
	sc := func(v string) string { return `<samlp:StatusCode` + nsAttrs + ` Value="` + statusPrefix + v + `"/>` }
	responseIssuer := func(v string) func(root, a *etree.Element) {
		return func(root, _ *etree.Element) { child(root, "Issuer").SetText(v) }
	}
	return []attack{
		{"C1", "comment in NameID", inNameID(CodeXMLProfile, "<!---->.evil.example")},
		{"C1", "comment anywhere", swap(CodeXMLProfile, "<saml:Subject>", "<!-- x --><saml:Subject>")},
		{"C1", "comment after the root", func(e *env) ([]byte, string) { return append(e.signed(nil), "<!-- x -->"...), CodeXMLProfile }},
		{"C2", "processing instruction in NameID", inNameID(CodeXMLProfile, "<?x y?>.evil.example")},
		{"C3", "CDATA in NameID keeps the full text", func(e *env) ([]byte, string) {
			doc := e.replace(e.signed(text("alice@acme.example.evil", "Subject", "NameID")), "example.evil", "example<![CDATA[.evil]]>")
			if a, _ := Verify(doc, e.p); a == nil || a.NameID.Value != "alice@acme.example.evil" {
				e.t.Errorf("NameID is cut: %+v", a)
			}
			return doc, ""
		}},
		{"C4", "element in NameID", before(CodeXMLProfile, add(`<saml:x`+nsAttrs+`/>`, "Subject", "NameID"))},
		{"C5", "character reference to NUL", inNameID(CodeXMLProfile, "&#0;")},
		{"C5", "reference to a surrogate", inNameID(CodeXMLProfile, "&#xD800;")},
		{"C5", "unknown entity", inNameID(CodeXMLProfile, "&nbsp;")},
		{"C6", "zero-width space", name("alice\u200b@acme.example")},
		{"C6", "right-to-left override", name("\u202ealice@acme.example")},
		{"C6", "homoglyph", name("\u0430lice@acme.example")},
		{"C6", "letter case", name("ALICE@acme.example")},
		{"C6", "trailing space", before(CodeNameID, text(testName+" ", "Subject", "NameID"))},
		{"C6", "leading no-break space", before(CodeNameID, text("\u00a0"+testName, "Subject", "NameID"))},
		{"C6", "control character", before(CodeNameID, text("alice\u0085x", "Subject", "NameID"))},
		{"C6", "line break", before(CodeNameID, text("alice\nx", "Subject", "NameID"))},
		{"C6", "empty NameID", before(CodeNameID, text("", "Subject", "NameID"))},
		{"C6", "NameID of 513 characters", before(CodeNameID, text(strings.Repeat("é", 513), "Subject", "NameID"))},
		{"C6", "NameID of 512 characters", name(strings.Repeat("é", 512))},
		{"C7", "e-mail twice", before(CodeAttrAmbiguous, add(value("email", "", "admin@acme.example"), "AttributeStatement"))},
		{"C7", "e-mail twice in another case of the name", before(CodeAttrAmbiguous, add(value("EMail", "", "admin@acme.example"), "AttributeStatement"))},
		{"C7", "two e-mail values", before(CodeAttrAmbiguous, add(`<saml:AttributeValue`+nsAttrs+`>admin@acme.example</saml:AttributeValue>`, "AttributeStatement", "Attribute"))},
		{"C7", "FriendlyName collides", before(CodeAttrAmbiguous, add(value("urn:x", "email", "admin@acme.example"), "AttributeStatement"))},
		{"C7", "another usual name", before(CodeAttrAmbiguous, add(value("urn:oid:0.9.2342.19200300.100.1.3", "", "admin@acme.example"), "AttributeStatement"))},
		{"C7", "the same e-mail twice", before("", add(value("mail", "email", strings.ToUpper(testName)), "AttributeStatement"))},
		{"C7", "Attribute without Name", before(CodeAttribute, attr("Name", "-", "AttributeStatement", "Attribute"))},
		{"C7", "element in AttributeValue", before(CodeAttribute, add(`<x xmlns="urn:x"/>`, "AttributeStatement", "Attribute", "AttributeValue"))},
		{"C7", "two NameIDs in AttributeValue", before(CodeAttribute, func(_, a *etree.Element) {
			add(`<saml:AttributeValue`+nsAttrs+`><saml:NameID>a</saml:NameID><saml:NameID>b</saml:NameID></saml:AttributeValue>`, "AttributeStatement", "Attribute")(nil, a)
		})},
		{"C7", "foreign child of Attribute", before(CodeAttribute, add(`<x xmlns="urn:x"/>`, "AttributeStatement", "Attribute"))},

		{"A1", "wrong audience", before(CodeAudience, text("https://other.example", audience...))},
		{"A2", "no AudienceRestriction", before(CodeAudienceMissing, remove("Conditions", "AudienceRestriction"))},
		{"A2", "no Audience", before(CodeAudience, remove(audience...))},
		{"A3", "two restrictions, one foreign", before(CodeAudience, add(`<saml:AudienceRestriction`+nsAttrs+`><saml:Audience>https://other.example</saml:Audience></saml:AudienceRestriction>`, "Conditions"))},
		{"A4", "several audiences, ours first", before("", add(`<saml:Audience`+nsAttrs+`>https://other.example</saml:Audience>`, "Conditions", "AudienceRestriction"))},
		{"A4", "several audiences, none ours", before(CodeAudience, func(_, a *etree.Element) {
			at(a, audience...).SetText("https://a.example")
			add(`<saml:Audience`+nsAttrs+`>https://b.example</saml:Audience>`, "Conditions", "AudienceRestriction")(nil, a)
		})},
		{"A5", "trailing slash", before(CodeAudience, text(testEntity+"/", audience...))},
		{"A5", "letter case", before(CodeAudience, text(strings.ToUpper(testEntity), audience...))},
		{"A5", "white space", before(CodeAudience, text(" "+testEntity, audience...))},
		{"A6", "unknown condition", before(CodeConditions, add(`<saml:Condition`+nsAttrs+` xmlns:xsi="`+nsXSI+`" xsi:type="x"/>`, "Conditions"))},
		{"A6", "foreign condition", before(CodeConditions, add(`<x:Delegation xmlns:x="urn:x"/>`, "Conditions"))},
		{"A6", "element in Audience", before(CodeStructure, add(`<saml:Audience`+nsAttrs+`/>`, audience...))},

		{"R1", "wrong Recipient", before(CodeRecipient, attr("Recipient", "https://gate.example/saml/conn_2/acs", data...))},
		{"R1", "missing Recipient", before(CodeRecipient, attr("Recipient", "-", data...))},
		{"R1", "empty Recipient", before(CodeRecipient, attr("Recipient", "", data...))},
		{"R2", "wrong Destination", before(CodeDestination, ofResponse("Destination", "https://gate.example/saml/conn_2/acs"))},
		{"R2", "missing Destination", func(e *env) ([]byte, string) {
			return signedOnly(CodeDestination, ofResponse("Destination", "-"))(e)
		}},
		{"R2", "empty Destination", before(CodeDestination, ofResponse("Destination", ""))},
		{"R3", "http", before(CodeDestination, ofResponse("Destination", strings.Replace(testACS, "https", "http", 1)))},
		{"R3", "http Recipient", before(CodeRecipient, attr("Recipient", strings.Replace(testACS, "https", "http", 1), data...))},
		{"R4", "port", before(CodeDestination, ofResponse("Destination", strings.Replace(testACS, "gate.example", "gate.example:443", 1)))},
		{"R5", "percent-encoding", before(CodeRecipient, attr("Recipient", strings.Replace(testACS, "acs", "%61cs", 1), data...))},
		{"R6", "trailing slash", before(CodeDestination, ofResponse("Destination", testACS+"/"))},

		{"I1", "wrong Issuer of the Assertion", before(CodeIssuer, text("https://evil.example", "Issuer"))},
		{"I1", "wrong Issuer of the Response", before(CodeIssuer, responseIssuer("https://evil.example"))},
		{"I2", "no Issuer of the Assertion", before(CodeIssuer, remove("Issuer"))},
		{"I2", "no Issuer of the Response", before("", func(root, _ *etree.Element) { root.RemoveChild(child(root, "Issuer")) })},
		{"I3", "both wrong", before(CodeIssuer, func(root, a *etree.Element) {
			responseIssuer("https://evil.example")(root, a)
			child(a, "Issuer").SetText("https://evil.example")
		})},
		{"I4", "white space", before(CodeIssuer, text("\n"+testIdP+"\n", "Issuer"))},
		{"I5", "Format persistent", before(CodeIssuer, attr("Format", "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent", "Issuer"))},
		{"I5", "Format entity", before("", attr("Format", formatEntity, "Issuer"))},

		{"Q1", "unknown request", before(CodeInResponseTo, func(root, a *etree.Element) {
			root.CreateAttr("InResponseTo", "_unknown")
			at(a, data...).CreateAttr("InResponseTo", "_unknown")
		})},
		{"Q6", "InResponseTo in an unsolicited response", func(e *env) ([]byte, string) {
			e.p.RequestID, e.p.Unsolicited = "", true
			return e.signed(nil), CodeInResponseTo
		}},
		{"Q6", "only in SubjectConfirmationData", func(e *env) ([]byte, string) {
			e.p.RequestID, e.p.Unsolicited = "", true
			return e.signed(ofResponse("InResponseTo", "-")), CodeInResponseTo
		}},
		{"Q6", "empty InResponseTo in an unsolicited response", func(e *env) ([]byte, string) {
			e.p.RequestID, e.p.Unsolicited = "", true
			return e.signed(func(root, a *etree.Element) {
				root.CreateAttr("InResponseTo", "")
				at(a, data...).CreateAttr("InResponseTo", "")
			}), CodeInResponseTo
		}},
		{"Q7", "Response differs", before(CodeInResponseTo, ofResponse("InResponseTo", "_other"))},
		{"Q7", "SubjectConfirmationData differs", before(CodeInResponseTo, attr("InResponseTo", "_other", data...))},
		{"Q7", "absent in SubjectConfirmationData", before(CodeInResponseTo, attr("InResponseTo", "-", data...))},
		{"Q7", "absent in the Response", before(CodeInResponseTo, ofResponse("InResponseTo", "-"))},

		{"D1", "no Conditions", before(CodeStructure, remove("Conditions"))},
		{"D2", "no Subject", before(CodeStructure, remove("Subject"))},
		{"D3", "no SubjectConfirmation", before(CodeStructure, remove("Subject", "SubjectConfirmation"))},
		{"D4", "no SubjectConfirmationData", before(CodeStructure, remove(data...))},
		{"D4", "sender-vouches", before(CodeSubjectConfirmation, attr("Method", "urn:oasis:names:tc:SAML:2.0:cm:sender-vouches", "Subject", "SubjectConfirmation"))},
		{"D4", "holder-of-key", before(CodeSubjectConfirmation, attr("Method", "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key", "Subject", "SubjectConfirmation"))},
		{"D4", "no method", before(CodeSubjectConfirmation, attr("Method", "-", "Subject", "SubjectConfirmation"))},
		{"D4", "content in SubjectConfirmationData", before(CodeStructure, add(`<ds:KeyInfo`+nsAttrs+`/>`, data...))},
		{"D4", "17 confirmations", before(CodeStructure, func(_, a *etree.Element) {
			for range 16 {
				child(a, "Subject").AddChild(at(a, "Subject", "SubjectConfirmation").Copy())
			}
		})},
		{"D5", "no AuthnStatement", before(CodeStructure, remove("AuthnStatement"))},
		{"D5", "no AuthnContext", before(CodeStructure, remove("AuthnStatement", "AuthnContext"))},
		{"D5", "two AuthnStatements", before(CodeStructure, func(_, a *etree.Element) { a.AddChild(child(a, "AuthnStatement").Copy()) })},
		{"D5", "two context classes", before(CodeStructure, func(_, a *etree.Element) {
			c := at(a, "AuthnStatement", "AuthnContext")
			c.AddChild(child(c, "AuthnContextClassRef").Copy())
		})},
		{"D5", "other context than asked for", func(e *env) ([]byte, string) {
			e.p.WantAuthnContext = []string{"urn:oasis:names:tc:SAML:2.0:ac:classes:X509"}
			return e.signed(nil), CodeAuthnContext
		}},
		{"D5", "no context class, one asked for", func(e *env) ([]byte, string) {
			e.p.WantAuthnContext = []string{"urn:oasis:names:tc:SAML:2.0:ac:classes:X509"}
			return e.signed(remove("AuthnStatement", "AuthnContext", "AuthnContextClassRef")), CodeAuthnContext
		}},
		{"D6", "no NameID", before(CodeStructure, remove("Subject", "NameID"))},
		{"D6", "two NameIDs", before(CodeStructure, func(_, a *etree.Element) {
			child(a, "Subject").InsertChildAt(0, at(a, "Subject", "NameID").Copy())
		})},
		{"D6", "BaseID", before(CodeStructure, add(`<saml:BaseID`+nsAttrs+`/>`, "Subject"))},
		{"D7", "no Status", before(CodeStructure, func(root, _ *etree.Element) { root.RemoveChild(child(root, "Status")) })},
		{"D7", "no StatusCode", status(CodeStructure, ``)},
		{"D8", "no ID of the Assertion", func(e *env) ([]byte, string) { return e.tampered(attr("ID", "-")), CodeStructure }},
		{"D8", "no ID of the Response", func(e *env) ([]byte, string) { return e.tampered(ofResponse("ID", "-")), CodeStructure }},
		{"D8", "ID is no NCName", func(e *env) ([]byte, string) { return e.signed(attr("ID", "1x")), CodeStructure }},
		{"D8", "assertion of version 1.1", before(CodeVersion, attr("Version", "1.1"))},
		{"D8", "Response of version 3.0", before(CodeVersion, ofResponse("Version", "3.0"))},
		{"D8", "Response without version", before(CodeVersion, ofResponse("Version", "-"))},
		{"D8", "two Issuers", before(CodeStructure, func(root, _ *etree.Element) {
			root.InsertChildAt(child(root, "Status").Index(), child(root, "Issuer").Copy())
		})},
		{"D8", "two Conditions", before(CodeStructure, func(_, a *etree.Element) {
			a.InsertChildAt(child(a, "AuthnStatement").Index(), child(a, "Conditions").Copy())
		})},
		{"D8", "two Subjects", before(CodeStructure, func(_, a *etree.Element) { a.AddChild(child(a, "Subject").Copy()) })},
		{"D8", "foreign child of Assertion", before(CodeStructure, add(`<x xmlns="urn:x"/>`))},
		{"D8", "foreign child of Response", before(CodeStructure, func(root, _ *etree.Element) { root.AddChild(fragment(`<x xmlns="urn:x"/>`)) })},
		{"D8", "text in Response", before(CodeStructure, func(root, _ *etree.Element) { root.CreateText("x") })},
		{"D8", "text in Assertion", before(CodeStructure, func(_, a *etree.Element) { a.CreateText("x") })},
		{"D8", "no assertion", func(e *env) ([]byte, string) {
			root := e.base()
			root.RemoveChild(child(root, "Assertion"))
			signing{by: e.idp}.sign(root)
			return serialize(root), CodeStructure
		}},
		{"D8", "assertion in another namespace", func(e *env) ([]byte, string) {
			return []byte(strings.ReplaceAll(string(serialize(e.base())), nsAssertion, "urn:oasis:names:tc:SAML:1.0:assertion")), CodeStructure
		}},

		{"S1", "Responder", status(CodeStatusResponder, sc("Responder"))},
		{"S1", "Requester", status(CodeStatusRequester, sc("Requester"))},
		{"S1", "VersionMismatch", status(CodeStatusVersion, sc("VersionMismatch"))},
		{"S2", "AuthnFailed", errorOnly(CodeStatusAuthnFailed, "AuthnFailed")},
		{"S2", "NoPassive", errorOnly(CodeStatusNoPassive, "NoPassive")},
		{"S2", "RequestDenied", errorOnly(CodeStatusRequestDenied, "RequestDenied")},
		{"S2", "InvalidNameIDPolicy", errorOnly(CodeStatusNameIDPolicy, "InvalidNameIDPolicy")},
		{"S2", "NoAuthnContext", errorOnly(CodeStatusNoContext, "NoAuthnContext")},
		{"S2", "unknown second level", errorOnly(CodeStatusResponder, "PartialLogout")},
		{"S2", "unknown status", status(CodeStatusOther, `<samlp:StatusCode`+nsAttrs+` Value="urn:x"/>`)},
		{"S3", "error nested in Success", status(CodeStatusAmbiguous, `<samlp:StatusCode`+nsAttrs+` Value="`+statusPrefix+`Success">`+sc("AuthnFailed")+`</samlp:StatusCode>`)},
		{"S3", "Success nested in an error", status(CodeStatusResponder, `<samlp:StatusCode`+nsAttrs+` Value="`+statusPrefix+`Responder">`+sc("Success")+`</samlp:StatusCode>`)},
		{"S3", "two codes", status(CodeStatusAmbiguous, sc("Success")+sc("Responder"))},
		{"S4", "second Status", before(CodeStatusAmbiguous, func(root, _ *etree.Element) {
			root.InsertChildAt(child(root, "Status").Index(), child(root, "Status").Copy())
		})},
	}
}

// timeAttacks are T: each time at and beyond its bound.
func timeAttacks() []attack {
	data := []string{"Subject", "SubjectConfirmation", "SubjectConfirmationData"}
	conditions := []string{"Conditions"}
	authn := []string{"AuthnStatement"}
	s := func(d time.Duration) string { return testNow.Add(d).Format("2006-01-02T15:04:05.999999999Z") }
	const skew = 2 * time.Minute
	both := func(issued string) func(root, a *etree.Element) {
		return func(root, a *etree.Element) {
			root.CreateAttr("IssueInstant", issued)
			a.CreateAttr("IssueInstant", issued)
		}
	}
	format := func(v string) attack {
		return attack{"T8", "format " + v, before(CodeTimeFormat, attr("NotOnOrAfter", v, conditions...))}
	}
	list := []attack{
		{"T1", "expired", before(CodeTimeExpired, attr("NotOnOrAfter", s(-skew), conditions...))},
		{"T1", "not quite expired", before("", attr("NotOnOrAfter", s(-skew+1), conditions...))},
		{"T2", "not yet valid", before(CodeTimeNotYet, attr("NotBefore", s(skew+1), conditions...))},
		{"T2", "just valid", before("", attr("NotBefore", s(skew), conditions...))},
		{"T3", "confirmation expired", before(CodeTimeConfirmExpired, attr("NotOnOrAfter", s(-skew), data...))},
		{"T3", "confirmation not quite expired", before("", attr("NotOnOrAfter", s(-skew+1), data...))},
		{"T4", "confirmation with NotBefore", before(CodeTimeConfirmBefore, attr("NotBefore", s(-time.Hour), data...))},
		{"T5", "issued tomorrow", before(CodeTimeIssuedFuture, both(s(24*time.Hour)))},
		{"T5", "issued beyond the skew", before(CodeTimeIssuedFuture, both(s(skew+1)))},
		{"T5", "issued at the skew", before("", both(s(skew)))},
		{"T5", "issued yesterday", before(CodeTimeIssuedOld, both(s(-24*time.Hour)))},
		{"T5", "issued over 10 minutes ago", before(CodeTimeIssuedOld, attr("IssueInstant", s(-10*time.Minute-1)))},
		{"T5", "issued 10 minutes ago", before("", both(s(-10*time.Minute)))},
		{"T5", "Response issued yesterday", before(CodeTimeIssuedOld, ofResponse("IssueInstant", s(-24*time.Hour)))},
		{"T5", "no IssueInstant", before(CodeTimeMissing, attr("IssueInstant", "-"))},
		{"T6", "Conditions without NotOnOrAfter", before(CodeTimeMissing, attr("NotOnOrAfter", "-", conditions...))},
		{"T6", "confirmation without NotOnOrAfter", before(CodeTimeMissing, attr("NotOnOrAfter", "-", data...))},
		{"T6", "no AuthnInstant", before(CodeTimeMissing, attr("AuthnInstant", "-", authn...))},
		{"T7", "year 9999", before(CodeTimeLifetime, attr("NotOnOrAfter", "9999-12-31T23:59:59Z", conditions...))},
		{"T7", "confirmation until 9999", before(CodeTimeLifetime, attr("NotOnOrAfter", "9999-12-31T23:59:59Z", data...))},
		{"T7", "25 hours", before(CodeTimeLifetime, attr("NotOnOrAfter", s(25*time.Hour), conditions...))},
		{"T7", "NotBefore after NotOnOrAfter", before(CodeTimeLifetime, func(_, a *etree.Element) {
			child(a, "Conditions").CreateAttr("NotBefore", s(time.Minute))
			child(a, "Conditions").CreateAttr("NotOnOrAfter", s(0))
		})},
		{"T9", "authenticated in the future", before(CodeTimeAuthnFuture, attr("AuthnInstant", s(skew+1), authn...))},
		{"T9", "session over", before(CodeTimeSessionEnded, attr("SessionNotOnOrAfter", s(-skew), authn...))},
		{"T9", "session until 9999", before("", attr("SessionNotOnOrAfter", "9999-12-31T23:59:59Z", authn...))},
		{"T9", "no skew allowed", func(e *env) ([]byte, string) {
			e.p.Skew = 0
			return e.signed(attr("NotOnOrAfter", s(0), conditions...)), CodeTimeExpired
		}},
	}
	for _, v := range []string{
		"2026-05-04T14:05:00+02:00", "2026-05-04T12:05:00+00:00", "2026-05-04T12:05:00-00:00", "2026-05-04T12:05:00", "2026-05-04T12:04:60Z",
		"2026-05-04T24:00:00Z", "2026-05-04 12:05:00Z", "2026-05-04T12:05Z", "2026-05-04t12:05:00z", "20260504T120500Z", "2026-13-04T12:05:00Z",
		"2026-02-30T12:05:00Z", "2026-05-04T12:05:00.Z", "2026-05-04T12:05:00,5Z", " 2026-05-04T12:05:00Z", "12026-05-04T12:05:00Z", "-2026-05-04T12:05:00Z",
		"", "never", "1777896300",
	} {
		list = append(list, format(v))
	}
	return list
}

package verify

import (
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
)

const testSLO = "https://gate.example/saml/conn_1/slo"

const baseLogoutRequest = `<samlp:LogoutRequest xmlns:samlp="` + nsProtocol + `" xmlns:saml="` + nsAssertion + `" ID="_lr-1" Version="2.0" IssueInstant="2026-05-04T11:59:58Z" Destination="` + testSLO + `" NotOnOrAfter="2026-05-04T12:05:00Z" Reason="urn:oasis:names:tc:SAML:2.0:logout:user"><saml:Issuer>` + testIdP + `</saml:Issuer><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent" NameQualifier="` + testIdP + `" SPNameQualifier="` + testEntity + `">` + testName + `</saml:NameID><samlp:SessionIndex>_sess-1</samlp:SessionIndex><samlp:SessionIndex>_sess-2</samlp:SessionIndex></samlp:LogoutRequest>`

const baseLogoutResponse = `<samlp:LogoutResponse xmlns:samlp="` + nsProtocol + `" xmlns:saml="` + nsAssertion + `" ID="_lo-1" Version="2.0" IssueInstant="2026-05-04T11:59:58Z" Destination="` + testSLO + `" InResponseTo="_ours"><saml:Issuer>` + testIdP + `</saml:Issuer><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status></samlp:LogoutResponse>`

func logoutParams(keys ...identity) LogoutParams {
	return LogoutParams{
		Destination: testSLO, IdPEntityID: testIdP, Keys: params(keys...).Keys, RequestID: "_ours", Skew: 2 * time.Minute, Now: testNow,
		DecryptionKeys: decryptionKeys(rsaSP()),
	}
}

// logoutEnv is a way to sign a logout message: inside, or by the query it came
// in.
type logoutEnv struct {
	idp, attacker identity
	query         bool
	p             LogoutParams
}

func (e *logoutEnv) sign(root *etree.Element) []byte {
	if e.query {
		e.p.SignedBy = e.idp.key().SPKI
	} else {
		signing{by: e.idp}.sign(root)
	}
	return serialize(root)
}

func eachLogoutEnv(f func(e *logoutEnv)) {
	for _, ec := range []bool{false, true} {
		for _, query := range []bool{false, true} {
			for _, keys := range []int{1, 2} {
				e := &logoutEnv{idp: rsaIdP(), attacker: rsaAttacker(), query: query}
				second := rsaSecond()
				if ec {
					e.idp, e.attacker, second = ecIdP(), ecAttacker(), ecSecond()
				}
				e.p = logoutParams(e.idp)
				if keys == 2 {
					e.p = logoutParams(second, e.idp)
				}
				f(e)
			}
		}
	}
}

func TestAcceptsLogout(t *testing.T) {
	eachLogoutEnv(func(e *logoutEnv) {
		out, r := VerifyLogoutRequest(e.sign(fragment(baseLogoutRequest)), e.p)
		if r.Err != nil {
			t.Fatalf("request: %v", r.Err)
		}
		if out.ID != "_lr-1" || out.Issuer != testIdP || out.NameID.Value != testName || out.NameID.SPNameQualifier != testEntity || strings.Join(out.SessionIndexes, " ") != "_sess-1 _sess-2" ||
			stamp(out.NotOnOrAfter) != "2026-05-04T12:05:00Z" || out.SignedBy != e.idp.key().SPKI {
			t.Errorf("request: %+v", out)
		}
		answer, r := VerifyLogoutResponse(e.sign(fragment(baseLogoutResponse)), e.p)
		if r.Err != nil {
			t.Fatalf("response: %v", r.Err)
		}
		if answer.ID != "_lo-1" || answer.InResponseTo != "_ours" || answer.Status != statusPrefix+"Success" || answer.SignedBy != e.idp.key().SPKI {
			t.Errorf("response: %+v", answer)
		}
		for _, c := range r.Checks {
			if !c.OK {
				t.Errorf("accepted with failed check %+v", c)
			}
		}
	})
}

func TestAcceptsLogoutForms(t *testing.T) {
	nameID := `<saml:NameID xmlns:saml="` + nsAssertion + `">` + testName + `</saml:NameID>`
	for name, change := range map[string]func(root *etree.Element){
		"no NotOnOrAfter, no session": func(root *etree.Element) {
			root.RemoveAttr("NotOnOrAfter")
			root.RemoveChild(child(root, "SessionIndex"))
			root.RemoveChild(child(root, "SessionIndex"))
		},
		"Extensions": func(root *etree.Element) {
			root.InsertChildAt(child(root, "NameID").Index(), fragment(`<samlp:Extensions`+nsAttrs+`><a:aslo xmlns:a="urn:oasis:names:tc:SAML:2.0:protocol:ext:async-slo"/></samlp:Extensions>`))
		},
		"EncryptedID": func(root *etree.Element) {
			n := child(root, "NameID")
			root.InsertChildAt(n.Index(), fragment(sealing{element: "EncryptedID"}.seal([]byte(nameID))))
			root.RemoveChild(n)
		},
		"EncryptedID, CBC": func(root *etree.Element) {
			n := child(root, "NameID")
			root.InsertChildAt(n.Index(), fragment(sealing{element: "EncryptedID", method: cbc256, place: "beside"}.seal([]byte(nameID))))
			root.RemoveChild(n)
		},
	} {
		eachLogoutEnv(func(e *logoutEnv) {
			root := fragment(baseLogoutRequest)
			change(root)
			out, r := VerifyLogoutRequest(e.sign(root), e.p)
			if r.Err != nil || out.NameID.Value != testName {
				t.Errorf("%s: %+v %v", name, out, r.Err)
			}
		})
	}
	for _, c := range []struct{ codes, want string }{
		{`<samlp:StatusCode Value="` + statusPrefix + `Responder"><samlp:StatusCode Value="` + statusPrefix + `PartialLogout"/></samlp:StatusCode>`, statusPrefix + "PartialLogout"},
		{`<samlp:StatusCode Value="` + statusPrefix + `Requester"/><samlp:StatusMessage>no</samlp:StatusMessage>`, statusPrefix + "Requester"},
	} {
		e := &logoutEnv{idp: ecIdP(), p: logoutParams(ecIdP())}
		doc := e.sign(fragment(strings.Replace(baseLogoutResponse, `<samlp:StatusCode Value="`+statusPrefix+`Success"/>`, c.codes, 1)))
		if out, r := VerifyLogoutResponse(doc, e.p); r.Err != nil || out.Status != c.want {
			t.Errorf("%s: %+v %v", c.want, out, r.Err)
		}
	}
}

// logoutAttack changes a message before or after it is signed.
type logoutAttack struct {
	id, name, code string
	before         func(root *etree.Element)
	after          func(doc string) string
	params         func(e *logoutEnv)
	embedded       bool // does not exist where the query is signed
}

func logoutAttacks(request bool) []logoutAttack {
	replace := func(old, with string) func(string) string {
		return func(doc string) string {
			if !strings.Contains(doc, old) {
				panic("nothing to replace: " + old)
			}
			return strings.Replace(doc, old, with, 1)
		}
	}
	set := func(name, v string) func(*etree.Element) {
		return func(root *etree.Element) {
			if v == "-" {
				root.RemoveAttr(name)
			} else {
				root.CreateAttr(name, v)
			}
		}
	}
	issuer := func(v string) func(*etree.Element) {
		return func(root *etree.Element) { child(root, "Issuer").SetText(v) }
	}
	list := []logoutAttack{
		{id: "L1", name: "unsigned", code: CodeLogoutUnsigned, embedded: true, after: stripSignature},
		{id: "L1", name: "emptied signature", code: CodeLogoutUnsigned, embedded: true, after: func(doc string) string {
			root := fragment(doc)
			s := child(root, "Signature")
			root.InsertChildAt(s.Index(), fragment(`<ds:Signature`+nsAttrs+`/>`))
			root.RemoveChild(s)
			return string(serialize(root))
		}},
		{id: "L2", name: "of another tenant", code: CodeLogoutUntrustedKey, embedded: true, params: func(e *logoutEnv) { e.idp, e.attacker = e.attacker, e.idp }},
		{id: "L2", name: "changed", code: CodeLogoutSig, embedded: true, after: replace("2026-05-04T11:59:58Z", "2026-05-04T11:59:59Z")},
		{id: "L2", name: "for another connection", code: CodeLogoutDestination, before: set("Destination", "https://gate.example/saml/conn_2/slo")},
		{id: "L2", name: "no Destination", code: CodeLogoutDestination, before: set("Destination", "-")},
		{id: "L2", name: "empty Destination", code: CodeLogoutDestination, before: set("Destination", "")},
		{id: "L2", name: "wrong Issuer", code: CodeLogoutIssuer, before: issuer("https://evil.example")},
		{id: "L2", name: "white space in Issuer", code: CodeLogoutIssuer, before: issuer(" " + testIdP)},
		{id: "L2", name: "Format of Issuer", code: CodeLogoutIssuer, before: func(root *etree.Element) { child(root, "Issuer").CreateAttr("Format", formatEmail) }},
		{id: "L2", name: "no Issuer", code: CodeLogoutStructure, before: func(root *etree.Element) { root.RemoveChild(child(root, "Issuer")) }},
		{id: "L3", name: "issued long ago", code: CodeLogoutIssuedOld, before: set("IssueInstant", "2026-05-04T11:49:59Z")},
		{id: "L3", name: "issued in the future", code: CodeLogoutIssuedFuture, before: set("IssueInstant", "2026-05-04T12:02:01Z")},
		{id: "L3", name: "no IssueInstant", code: CodeLogoutTimeMissing, before: set("IssueInstant", "-")},
		{id: "L3", name: "no UTC", code: CodeLogoutTimeFormat, before: set("IssueInstant", "2026-05-04T13:59:58+02:00")},
		{id: "L5", name: "version 1.1", code: CodeLogoutVersion, before: set("Version", "1.1")},
		{id: "L5", name: "no ID", code: CodeLogoutStructure, before: set("ID", "-"), after: func(doc string) string { return doc }},
		{id: "L5", name: "text", code: CodeLogoutStructure, before: func(root *etree.Element) { root.CreateText("x") }},
		{id: "L5", name: "foreign child", code: CodeLogoutStructure, before: func(root *etree.Element) { root.AddChild(fragment(`<x xmlns="urn:x"/>`)) }},
		{id: "L5", name: "assertion inside", code: CodeLogoutStructure, before: func(root *etree.Element) {
			x := fragment(`<samlp:Extensions` + nsAttrs + `/>`)
			x.AddChild(fragment(baseAssertion))
			root.InsertChildAt(1, x)
		}},
		{id: "L5", name: "signed message inside", code: CodeLogoutSigStructure, embedded: true, after: func(doc string) string {
			root := fragment(doc)
			outer := fragment(stripSignature(doc))
			outer.CreateAttr("ID", "_evil")
			x := fragment(`<samlp:Extensions` + nsAttrs + `/>`)
			x.AddChild(root)
			outer.InsertChildAt(1, x)
			return string(serialize(outer))
		}},
		{id: "L5", name: "signature last", code: CodeLogoutSigStructure, embedded: true, after: func(doc string) string {
			root := fragment(doc)
			s := child(root, "Signature")
			root.RemoveChild(s)
			root.AddChild(s)
			return string(serialize(root))
		}},
		{id: "L5", name: "reference to something else", code: CodeLogoutSigRef, embedded: true, after: replace(`URI="#_l`, `URI="#_x`)},
		{id: "L5", name: "WithComments", code: CodeLogoutSigTransform, embedded: true, after: replace(`CanonicalizationMethod Algorithm="`+algExcC14N, `CanonicalizationMethod Algorithm="`+algExcC14N+`WithComments`)},
		{id: "L5", name: "inclusive canonicalization", code: CodeLogoutSigTransform, embedded: true, after: replace(`CanonicalizationMethod Algorithm="`+algExcC14N, `CanonicalizationMethod Algorithm="`+algC14N10)},
		{id: "L5", name: "MD5", code: CodeLogoutSigAlg, embedded: true, after: replace("-sha256", "-md5")},
		{id: "L5", name: "ID twice", code: CodeLogoutDuplicateID, before: func(root *etree.Element) {
			root.InsertChildAt(1, fragment(`<samlp:Extensions`+nsAttrs+`><x xmlns="urn:x" ID="`+root.SelectAttrValue("ID", "")+`"/></samlp:Extensions>`))
		}},
		{id: "L5", name: "comment", code: CodeLogoutXMLProfile, after: replace("</saml:Issuer>", "<!-- --></saml:Issuer>")},
		{id: "L5", name: "document type", code: CodeLogoutXMLProfile, after: func(doc string) string { return "<!DOCTYPE x>" + doc }},
		{id: "L5", name: "too long", code: CodeLogoutLimit, after: func(doc string) string { return doc + strings.Repeat(" ", maxLogout) }},
		{id: "U8", name: "a Response", code: CodeLogoutRoot, after: func(string) string { return baseXML }},
		{id: "U8", name: "the other message", code: CodeLogoutRoot, after: func(string) string {
			if request {
				return string(signedBy(ecIdP(), baseLogoutResponse))
			}
			return string(signedBy(ecIdP(), baseLogoutRequest))
		}},
		{id: "L0", name: "no keys", code: CodeLogoutConfig, params: func(e *logoutEnv) { e.p.Keys = nil }},
		{id: "L0", name: "no URL", code: CodeLogoutConfig, params: func(e *logoutEnv) { e.p.Destination = "" }},
		{id: "L0", name: "no entity ID", code: CodeLogoutConfig, params: func(e *logoutEnv) { e.p.IdPEntityID = "" }},
		{id: "L0", name: "no time", code: CodeLogoutConfig, params: func(e *logoutEnv) { e.p.Now = zeroTime }},
		{id: "L0", name: "skew", code: CodeLogoutConfig, params: func(e *logoutEnv) { e.p.Skew = -1 }},
	}
	if !request {
		return append(list, []logoutAttack{
			{id: "L4", name: "to another request", code: CodeLogoutInResponseTo, before: set("InResponseTo", "_other")},
			{id: "L4", name: "to no request", code: CodeLogoutInResponseTo, before: set("InResponseTo", "-")},
			{id: "L4", name: "no request of ours", code: CodeLogoutInResponseTo, params: func(e *logoutEnv) { e.p.RequestID = "" }, before: set("InResponseTo", "")},
			{id: "L5", name: "no Status", code: CodeLogoutStructure, before: func(root *etree.Element) { root.RemoveChild(child(root, "Status")) }},
			{id: "L5", name: "no StatusCode", code: CodeLogoutStructure, before: func(root *etree.Element) { child(root, "Status").RemoveChild(at(root, "Status", "StatusCode")) }},
			{id: "L5", name: "two StatusCodes", code: CodeLogoutStructure, before: func(root *etree.Element) { child(root, "Status").AddChild(at(root, "Status", "StatusCode").Copy()) }},
		}...)
	}
	sealedName := func(s sealing) func(*etree.Element) {
		s.element = "EncryptedID"
		return func(root *etree.Element) {
			n := child(root, "NameID")
			root.InsertChildAt(n.Index(), fragment(s.seal([]byte(`<saml:NameID`+nsAttrs+`>x</saml:NameID>`))))
			root.RemoveChild(n)
		}
	}
	name := func(v string) func(*etree.Element) {
		return func(root *etree.Element) { child(root, "NameID").SetText(v) }
	}
	return append(list, []logoutAttack{
		{id: "L3", name: "expired", code: CodeLogoutExpired, before: set("NotOnOrAfter", "2026-05-04T11:58:00Z")},
		{id: "L3", name: "expiry without zone", code: CodeLogoutTimeFormat, before: set("NotOnOrAfter", "2026-05-04T12:05:00")},
		{id: "L4", name: "NameID changed", code: CodeLogoutSig, embedded: true, after: replace(testName+"<", "admin@acme.example<")},
		{id: "L4", name: "session index changed", code: CodeLogoutSig, embedded: true, after: replace("_sess-1", "_sess-9")},
		{id: "L4", name: "empty NameID", code: CodeLogoutNameID, before: name("")},
		{id: "L4", name: "NameID with white space", code: CodeLogoutNameID, before: name(" x")},
		{id: "L4", name: "no NameID", code: CodeLogoutStructure, before: func(root *etree.Element) { root.RemoveChild(child(root, "NameID")) }},
		{id: "L4", name: "element in NameID", code: CodeLogoutXMLProfile, before: func(root *etree.Element) { child(root, "NameID").AddChild(fragment(`<x xmlns="urn:x"/>`)) }},
		{id: "L4", name: "element in SessionIndex", code: CodeLogoutStructure, before: func(root *etree.Element) { child(root, "SessionIndex").AddChild(fragment(`<x xmlns="urn:x"/>`)) }},
		{id: "L4", name: "1,025 session indexes", code: CodeLogoutStructure, before: func(root *etree.Element) {
			for range 1023 {
				root.AddChild(fragment(`<s:SessionIndex xmlns:s="` + nsProtocol + `">x</s:SessionIndex>`))
			}
		}},
		{id: "L4", name: "two NameIDs", code: CodeLogoutStructure, before: func(root *etree.Element) { root.InsertChildAt(1, child(root, "NameID").Copy()) }},
		{id: "L4", name: "BaseID", code: CodeLogoutStructure, before: func(root *etree.Element) {
			root.InsertChildAt(1, fragment(`<saml:BaseID`+nsAttrs+`/>`))
		}},
		{id: "L4", name: "EncryptedID for another", code: CodeLogoutDecrypt, before: sealedName(sealing{to: rsaSPOther()})},
		{id: "L4", name: "EncryptedID without a key of ours", code: CodeLogoutNoKey, before: sealedName(sealing{}), params: func(e *logoutEnv) { e.p.DecryptionKeys = nil }},
	}...)
}

func stripSignature(doc string) string {
	return string(serialize(strip(fragment(doc))))
}

func signedBy(i identity, xml string) []byte {
	root := fragment(xml)
	signing{by: i}.sign(root)
	return serialize(root)
}

func TestLogoutAttacks(t *testing.T) {
	seen := map[string]bool{CodeLogoutQuery: true} // TestVerifyQuery
	for _, request := range []bool{true, false} {
		base := baseLogoutResponse
		if request {
			base = baseLogoutRequest
		}
		for _, c := range logoutAttacks(request) {
			t.Run(c.id+" "+c.name, func(t *testing.T) {
				eachLogoutEnv(func(e *logoutEnv) {
					if e.query && c.embedded {
						return
					}
					if c.params != nil {
						c.params(e)
					}
					root := fragment(base)
					if c.before != nil {
						c.before(root)
					}
					doc := e.sign(root)
					if c.after != nil {
						doc = []byte(c.after(string(doc)))
					}
					var r *Report
					accepted := false
					if request {
						out, report := VerifyLogoutRequest(doc, e.p)
						r, accepted = report, out != nil
					} else {
						out, report := VerifyLogoutResponse(doc, e.p)
						r, accepted = report, out != nil
					}
					if accepted || r.Err == nil || r.Err.Code != c.code {
						t.Fatalf("request %v, by query %v: %v, want %s\n%.3000s", request, e.query, r.Err, c.code, doc)
					}
					failed := ""
					for _, check := range r.Checks {
						if !check.OK && failed == "" {
							failed = check.Name
						}
					}
					if failed != checkOf[c.code] {
						t.Errorf("first failed check %q, want %q", failed, checkOf[c.code])
					}
					seen[c.code] = true
				})
			})
		}
	}
	for code := range checkOf {
		if strings.HasPrefix(code, "SLO_") && !seen[code] {
			t.Errorf("no logout message is refused with %s", code)
		}
	}
}

// TestLogoutSHA1 takes SHA-1 only as long as the connection allows it.
func TestLogoutSHA1(t *testing.T) {
	root := fragment(baseLogoutRequest)
	signing{by: rsaIdP(), method: nsDsig + "rsa-sha1", methodHash: 3}.sign(root)
	doc := serialize(root)
	p := logoutParams(rsaIdP())
	if _, r := VerifyLogoutRequest(doc, p); r.Err == nil || r.Err.Code != CodeLogoutSigAlg {
		t.Errorf("SHA-1: %v", r.Err)
	}
	p.AllowSHA1Until = testNow.Add(1)
	if _, r := VerifyLogoutRequest(doc, p); r.Err != nil {
		t.Errorf("SHA-1 before its last day: %v", r.Err)
	}
}

// TestLogoutBothSignatures: a message whose query was verified may hold a
// signature as well, but then a good one.
func TestLogoutBothSignatures(t *testing.T) {
	p := logoutParams(ecIdP())
	p.SignedBy = ecIdP().key().SPKI
	if _, r := VerifyLogoutRequest(signedBy(ecIdP(), baseLogoutRequest), p); r.Err != nil {
		t.Errorf("both good: %v", r.Err)
	}
	if _, r := VerifyLogoutRequest(signedBy(ecAttacker(), baseLogoutRequest), p); r.Err == nil || r.Err.Code != CodeLogoutUntrustedKey {
		t.Errorf("a bad one inside: %v", r.Err)
	}
}

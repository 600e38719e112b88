//go:build unix

package verify

import (
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	csaml "github.com/crewjam/saml"
)

// benchDocument is a Response, response and assertion signed, with attributes
// and groups; about 7.8 KB with 23 groups.
func benchDocument(groups int, seal *sealing) []byte {
	var b strings.Builder
	for i := range groups {
		b.WriteString(`<saml:AttributeValue xsi:type="xs:string">Group number ` + strconv.Itoa(i) + `</saml:AttributeValue>`)
	}
	root := fragment(strings.Replace(baseXML, `<saml:AttributeValue xsi:type="xs:string">admins</saml:AttributeValue>`, b.String(), 1))
	if seal != nil {
		return seals("both", root, signing{by: validRSA()}, *seal)
	}
	return (&env{mode: "both", idp: validRSA()}).sign(root, signing{})
}

// cpu is the processor time of this process, which a busy machine does not
// stretch as it does the clock.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkVerify measures us and crewjam/saml's ParseXMLResponse in turns, so
// that both meet the same machine. cpu-µs/op is ours, x-crewjam its ratio to
// theirs; ns/op is both together.
func BenchmarkVerify(b *testing.B) {
	csaml.TimeNow = func() time.Time { return testNow }
	for _, c := range []struct {
		name   string
		groups int
		seal   *sealing
	}{
		{"7.8KB", 23, nil},
		{"150groups", 150, nil},
		{"1500groups", 1500, nil},
		{"GCM", 23, &sealing{method: nsXEnc11 + "aes128-gcm"}},
		{"CBC", 23, &sealing{method: cbc256}},
	} {
		b.Run(c.name, func(b *testing.B) {
			doc := benchDocument(c.groups, c.seal)
			p := withKeys(params(rsaIdP()), rsaSP())
			sp := crewjamSP(validRSA())
			b.SetBytes(int64(len(doc)))
			var ours, theirs time.Duration
			n := 0
			for b.Loop() {
				start := cpu()
				if a, r := Verify(doc, p); a == nil {
					b.Fatal(r.Err)
				}
				middle := cpu()
				ours += middle - start
				n++
				if c.groups > 900 {
					continue // crewjam/saml refuses or panics beyond 1,000 elements
				}
				if _, err := sp.ParseXMLResponse(doc, []string{testReq}, sp.AcsURL); err != nil {
					b.Fatal(err.(*csaml.InvalidResponseError).PrivateErr)
				}
				theirs += cpu() - middle
			}
			b.ReportMetric(float64(ours.Microseconds())/float64(n), "cpu-µs/op")
			if theirs > 0 {
				b.ReportMetric(float64(ours)/float64(theirs), "x-crewjam")
			}
		})
	}
}

// BenchmarkVerifyAlone is for profiles and allocations.
func BenchmarkVerifyAlone(b *testing.B) {
	for name, seal := range map[string]*sealing{"plain": nil, "encrypted": {}} {
		b.Run(name, func(b *testing.B) {
			doc := benchDocument(23, seal)
			p := withKeys(params(rsaIdP()), rsaSP())
			b.ReportAllocs()
			for b.Loop() {
				if a, r := Verify(doc, p); a == nil {
					b.Fatal(r.Err)
				}
			}
		})
	}
}

// hostile are documents of the greatest accepted sizes, made to be expensive.
func hostile() []attack {
	pad := func(unit string, n int) string { return strings.Repeat(unit, n) }
	inSubject := func(xml string) func(*env) ([]byte, string) {
		return func(e *env) ([]byte, string) {
			return e.replace(e.signed(nil), "<saml:Subject>", xml+"<saml:Subject>"), CodeSig
		}
	}
	deep := func(inner string) string {
		return pad("<saml:a>", 55) + inner + pad("</saml:a>", 55)
	}
	sealedText := func(plain string, code string) func(*env) ([]byte, string) {
		return func(e *env) ([]byte, string) {
			e.p.DecryptionKeys = decryptionKeys(rsaSP(), rsaSPPrevious(), rsaSPOther(), rsaTenant())
			return unsignedAround([]byte(plain), true), code
		}
	}
	list := []attack{
		{"H", "wide elements", inSubject(pad("<saml:a"+numbered(63)+"/>", 500))},
		{"H", "many elements", inSubject(pad("<saml:a/>", 19_900))},
		{"H", "deep and many", inSubject(pad(deep("<saml:b/>"), 350))},
		{"H", "many namespaces", inSubject(pad(`<x:a xmlns:x="urn:x" xmlns:y="urn:y" y:b=""/>`, 10_000))},
		{"H", "namespaces of 512 bytes", inSubject(pad(`<x:a xmlns:x="u:`+pad("x", 500)+`"/>`, 3_500))},
		{"H", "unsorted attributes", inSubject(pad("<saml:a"+reversed(63)+"/>", 500))},
		{"H", "text of escapes", inSubject("<saml:a>" + pad("&lt;", 130_000) + "</saml:a><saml:a>" + pad("&lt;", 130_000) + "</saml:a><saml:a>" + pad("&lt;", 130_000) + "</saml:a>")},
		{"H", "text of carriage returns", inSubject("<saml:a>" + pad("&#13;", 104_000) + "</saml:a><saml:a>" + pad("&#13;", 104_000) + "</saml:a><saml:a>" + pad("&#13;", 104_000) + "</saml:a>")},
		{"H", "CDATA sections", inSubject("<saml:a>" + pad("<![CDATA[x]]>", 63_900) + "</saml:a>")},
		{"H", "2 MB of text", inSubject(pad("<saml:a>"+pad("x", 500_000)+"</saml:a>", 4))},
		{"H", "declarations in force", inSubject(strings.Replace(nestedDeclarations(40), "</saml:a>", pad("<saml:b/>", 19_000)+"</saml:a>", 1))},
		{"H", "plaintext too deep", sealedText(pad("<a>", 120_000), CodeDecrypt)},
		{"H", "plaintext of many elements", sealedText(`<saml:Assertion xmlns:saml="`+nsAssertion+`" ID="_x" Version="2.0">`+pad("<saml:a/>", 19_900)+`</saml:Assertion>`, CodeDecrypt)},
		{"H", "for no key of four", func(e *env) ([]byte, string) {
			e.p.DecryptionKeys = decryptionKeys(rsaSP(), rsaSPPrevious(), rsaSP(), rsaSPPrevious())
			return []byte(strings.Replace(strings.Replace(baseXML, baseAssertion, "", 1), "</samlp:Response>", sealing{to: rsaSPOther()}.seal([]byte(baseAssertion))+"</samlp:Response>", 1)), CodeDecrypt
		}},
		{"H", "16 keys", func(e *env) ([]byte, string) {
			for range 15 {
				e.p.Keys = append(e.p.Keys, rsaSecond().key())
			}
			return e.sign(e.base(), signing{by: e.attacker}), CodeUntrustedKey
		}},
		{"H", "certificates in KeyInfo", func(e *env) ([]byte, string) {
			info := `<ds:KeyInfo><ds:X509Data>` + pad(strings.TrimSuffix(strings.TrimPrefix(e.attacker.keyInfo(), "<ds:KeyInfo><ds:X509Data>"), "</ds:X509Data></ds:KeyInfo>"), 400) + `</ds:X509Data></ds:KeyInfo>`
			return e.sign(e.base(), signing{by: rsaTenant(), keyInfo: &info}), CodeUntrustedKey
		}},
	}
	for _, a := range xmlAttacks() {
		if a.id[0] == 'B' {
			list = append(list, a)
		}
	}
	return list
}

// TestHostile: the benchmark's documents are refused as it says.
func TestHostile(t *testing.T) {
	for _, c := range hostile() {
		e := newEnv(t, "assertion", "", 1, false)
		doc, want := c.build(e)
		if _, r := Verify(doc, e.p); r.Err == nil || r.Err.Code != want {
			t.Errorf("%s %s (%d bytes): %v, want %s", c.id, c.name, len(doc), r.Err, want)
		}
	}
}

// BenchmarkRefuse: the goal is 50 ms of CPU for any document of an accepted size.
func BenchmarkRefuse(b *testing.B) {
	for _, c := range hostile() {
		b.Run(c.id+" "+c.name, func(b *testing.B) {
			e := newEnv(b, "assertion", "", 1, false)
			doc, want := c.build(e)
			start, n := cpu(), 0
			for b.Loop() {
				if _, r := Verify(doc, e.p); r.Err == nil || r.Err.Code != want {
					b.Fatal(r.Err)
				}
				n++
			}
			b.ReportMetric(float64((cpu()-start).Milliseconds())/float64(n), "cpu-ms/op")
			b.ReportMetric(float64(len(doc))/1024, "KiB")
		})
	}
}

// BenchmarkLogout measures the checks of one logout message and of a DEFLATE
// bomb.
func BenchmarkLogout(b *testing.B) {
	raw := query(ecIdP(), "SAMLRequest", baseLogoutRequest, "r")
	bomb := signQuery(ecIdP(), "SAMLRequest="+strings.NewReplacer("+", "%2B", "/", "%2F", "=", "%3D").Replace(deflated(strings.Repeat(" ", 30<<20)))+"&SigAlg="+strings.NewReplacer(":", "%3A", "/", "%2F", "#", "%23").Replace(algOf(ecIdP())))
	keys := params(ecIdP()).Keys
	b.Run("query", func(b *testing.B) {
		for b.Loop() {
			if _, err := VerifyQuery(raw, keys, false); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("bomb", func(b *testing.B) {
		for b.Loop() {
			if _, err := VerifyQuery(bomb, keys, false); err == nil || err.Code != CodeLogoutLimit {
				b.Fatal(err)
			}
		}
	})
}

func reversed(n int) string {
	var b strings.Builder
	for i := n; i > 0; i-- {
		b.WriteString(" a" + strconv.Itoa(100+i) + `=""`)
	}
	return b.String()
}

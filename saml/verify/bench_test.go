package verify

import (
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	csaml "github.com/crewjam/saml"
)

// benchDocument is a Response of about 7.8 KB, response and assertion signed,
// with attributes and groups.
func benchDocument(b *testing.B) []byte {
	var groups strings.Builder
	for i := range 23 {
		groups.WriteString(`<saml:AttributeValue xsi:type="xs:string">Group number ` + strconv.Itoa(i) + `</saml:AttributeValue>`)
	}
	xml := strings.Replace(baseXML, `<saml:AttributeValue xsi:type="xs:string">admins</saml:AttributeValue>`, groups.String(), 1)
	e := &env{t: b, mode: "both", idp: certifyValid(rsaIdP())}
	return e.sign(fragment(xml), signing{})
}

func BenchmarkVerify(b *testing.B) {
	doc := benchDocument(b)
	p := params(rsaIdP())
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if a, r := Verify(doc, p); a == nil {
			b.Fatal(r.Err)
		}
	}
}

// BenchmarkCrewjam is what BenchmarkVerify is held against.
func BenchmarkCrewjam(b *testing.B) {
	doc := benchDocument(b)
	csaml.TimeNow = func() time.Time { return testNow }
	acs, err := url.Parse(testACS)
	if err != nil {
		b.Fatal(err)
	}
	idp := certifyValid(rsaIdP())
	sp := csaml.ServiceProvider{
		EntityID: testEntity, AcsURL: *acs,
		IDPMetadata: &csaml.EntityDescriptor{EntityID: testIdP, IDPSSODescriptors: []csaml.IDPSSODescriptor{{
			SSODescriptor: csaml.SSODescriptor{RoleDescriptor: csaml.RoleDescriptor{KeyDescriptors: []csaml.KeyDescriptor{{
				Use:     "signing",
				KeyInfo: csaml.KeyInfo{X509Data: csaml.X509Data{X509Certificates: []csaml.X509Certificate{{Data: base64.StdEncoding.EncodeToString(idp.cert.Raw)}}}},
			}}}},
		}}},
	}
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sp.ParseXMLResponse(doc, []string{testReq}, *acs); err != nil {
			b.Fatal(err.(*csaml.InvalidResponseError).PrivateErr)
		}
	}
}

func BenchmarkRefuse(b *testing.B) {
	e := &env{t: b, mode: "both", idp: rsaIdP(), attacker: rsaAttacker()}
	e.p = params(rsaIdP())
	for _, c := range append(xmlAttacks(), attack{"U5", "attacker", func(e *env) ([]byte, string) {
		return e.sign(e.base(), signing{by: e.attacker}), CodeUntrustedKey
	}}, attack{"W", "many wide elements", func(e *env) ([]byte, string) {
		return e.replace(e.signed(nil), "<saml:Subject>", strings.Repeat("<saml:a"+numbered(63)+"/>", 500)+"<saml:Subject>"), CodeSig
	}}) {
		if c.id[0] == 'N' {
			continue
		}
		b.Run(c.id+" "+c.name, func(b *testing.B) {
			doc, want := c.build(e)
			for b.Loop() {
				if _, r := Verify(doc, e.p); r.Err == nil || r.Err.Code != want {
					b.Fatal(r.Err)
				}
			}
		})
	}
}

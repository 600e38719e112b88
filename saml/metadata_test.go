package saml_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/pem"
	"encoding/xml"
	"strings"
	"testing"

	csaml "github.com/crewjam/saml"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/saml"
	"github.com/gatehouse-id/gatehouse/tenants"
)

func testIdP(t *testing.T) *idp.IdP {
	t.Helper()
	return rig.IdP(t, clock.NewFake(rig.Start), idp.Config{})
}

const metadataTemplate = `<?xml version="1.0"?>
<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:ds="http://www.w3.org/2000/09/xmldsig#" entityID="https://idp.example">
 <md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
  KEYS
  <md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example/sso"/>
 </md:IDPSSODescriptor>
</md:EntityDescriptor>`

func keyDescriptor(use, certificate string) string {
	if use != "" {
		use = ` use="` + use + `"`
	}
	return `<md:KeyDescriptor` + use + `><ds:KeyInfo><ds:X509Data><ds:X509Certificate>` + certificate + `</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>`
}

func inner(pemText string) string {
	block, _ := pem.Decode([]byte(pemText))
	return base64.StdEncoding.EncodeToString(block.Bytes)
}

func TestParseIdPMetadata(t *testing.T) {
	one, two := testIdP(t), testIdP(t)
	c1, c2 := inner(one.CertificatePEM()), inner(two.CertificatePEM())
	doc := func(keys ...string) string {
		return strings.Replace(metadataTemplate, "KEYS", strings.Join(keys, "\n"), 1)
	}
	edit := func(old, new string) string {
		s := doc(keyDescriptor("signing", c1))
		if !strings.Contains(s, old) {
			t.Fatalf("%q is not in the template", old)
		}
		return strings.Replace(s, old, new, 1)
	}
	good := func(name, doc string, keys int) tenants.SAMLSettings {
		t.Helper()
		s, err := saml.ParseIdPMetadata([]byte(doc), rig.Start)
		if err != nil || len(s.Keys) != keys {
			t.Errorf("%s: %d keys, %v", name, len(s.Keys), err)
		}
		return s
	}
	bad := func(name, doc, code string) {
		t.Helper()
		s, err := saml.ParseIdPMetadata([]byte(doc), rig.Start)
		if fault.CodeOf(err) != code || fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %+v, %v, want %s", name, s, err, code)
		}
	}
	s := good("one key", doc(keyDescriptor("signing", c1)), 1)
	if s.IdPEntityID != "https://idp.example" || s.SSOURL != "https://idp.example/sso" || s.SSOBinding != tenants.BindingRedirect {
		t.Errorf("%+v", s)
	}
	good("M1 a key without use signs too", doc(keyDescriptor("", c1)), 1) // CVE-2026-16443
	good("two keys", doc(keyDescriptor("signing", c1), keyDescriptor("signing", c2)), 2)
	good("the same key twice", doc(keyDescriptor("signing", c1), keyDescriptor("", c1)), 1)
	good("encryption keys are not trusted", doc(keyDescriptor("signing", c1), keyDescriptor("encryption", c2)), 1)
	good("wrapped base64", doc(keyDescriptor("signing", "\n  "+c1[:64]+"\r\n\t"+c1[64:]+"\n")), 1)
	good("byte order mark", "\ufeff"+doc(keyDescriptor("signing", c1)), 1)
	good("comment after the root", doc(keyDescriptor("signing", c1))+"\n<!-- exported -->\n", 1)
	post := good("POST binding alone", edit("bindings:HTTP-Redirect", "bindings:HTTP-POST"), 1)
	if post.SSOBinding != tenants.BindingPOST {
		t.Errorf("%+v", post)
	}
	both := good("Redirect before POST", edit(`<md:SingleSignOnService`, `<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://idp.example/post"/><md:SingleSignOnService`), 1)
	if both.SSOURL != "https://idp.example/sso" {
		t.Errorf("%+v", both)
	}

	bad("no key", doc(), "metadata_no_key")
	bad("an encryption key alone", doc(keyDescriptor("encryption", c1)), "metadata_no_key")
	group := func(attrs string, entities ...string) string {
		return `<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" Name="urn:keycloak"` + attrs + `>` + strings.Join(entities, "") + `</md:EntitiesDescriptor>`
	}
	alone := doc(keyDescriptor("signing", c1))[21:]
	good("a group of one", group("", alone), 1)
	bad("M2 two entities in a federation", group("", alone, alone), "metadata_several_entities")
	bad("M2 an entity and a group", group("", alone, group("", alone)), "metadata_several_entities")
	bad("M2 a group in a group", group("", group("", alone)), "metadata_several_entities")
	bad("M2 an empty group", group(""), "metadata_several_entities")
	bad("M4 validUntil of the group past", group(` validUntil="2026-02-01T00:00:00Z"`, alone), "metadata_expired")
	bad("M2 two roots", doc(keyDescriptor("signing", c1))+doc(keyDescriptor("signing", c2))[21:], "metadata_several_entities")
	bad("text after the root", doc(keyDescriptor("signing", c1))+"x", "metadata_not_xml")
	bad("M4 validUntil past", edit(`entityID=`, `validUntil="2026-03-01T12:00:00Z" entityID=`), "metadata_expired")
	bad("M4 validUntil of the role past", edit(`<md:IDPSSODescriptor`, `<md:IDPSSODescriptor validUntil="2026-02-28T23:00:00.000Z"`), "metadata_expired")
	bad("M4 validUntil that is none", edit(`entityID=`, `validUntil="tomorrow" entityID=`), "metadata_expired")
	good("M4 validUntil to come", edit(`entityID=`, `validUntil="2026-03-01T12:00:01.000Z" entityID=`), 1)
	good("endpoints that nobody asked for", edit(`<md:SingleSignOnService`, `<md:SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="javascript:x"/><md:SingleSignOnService`), 1)
	signs := good("wants signed requests", edit(`<md:IDPSSODescriptor`, `<md:IDPSSODescriptor WantAuthnRequestsSigned="true"`), 1)
	if !signs.SignRequests || s.SignRequests {
		t.Error("WantAuthnRequestsSigned is not told")
	}
	slo := good("single logout", edit(`<md:SingleSignOnService`, `<md:SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://idp.example/slo/post" ResponseLocation="https://idp.example/slo/answer"/>
		<md:SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:SOAP" Location="https://idp.example/soap"/><md:SingleSignOnService`), 1)
	if slo.SLOURL != "https://idp.example/slo/post" || slo.SLOResponseURL != "https://idp.example/slo/answer" || slo.SLOBinding != tenants.BindingPOST {
		t.Errorf("%+v", slo)
	}
	bad("M5 javascript", edit("https://idp.example/sso", "javascript:alert(1)"), "metadata_bad_location")
	bad("M5 user name", edit("https://idp.example/sso", "https://idp.example@evil.example/sso"), "metadata_bad_location")
	bad("M5 relative", edit("https://idp.example/sso", "/sso"), "metadata_bad_location")
	bad("M5 data", edit("https://idp.example/sso", "data:text/html,x"), "metadata_bad_location")
	bad("M6 large", doc(keyDescriptor("signing", c1))+strings.Repeat(" ", saml.MaxMetadata), "metadata_too_large")
	bad("M7 DOCTYPE", `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>`+doc(keyDescriptor("signing", c1))[21:], "metadata_not_xml")
	bad("M7 entity without DOCTYPE", edit("https://idp.example\"", "&e;\""), "metadata_not_xml")
	bad("no single sign-on service", edit("SingleSignOnService", "ArtifactResolutionService"), "metadata_no_sso")
	bad("artifact binding alone", edit("HTTP-Redirect", "HTTP-Artifact"), "metadata_no_sso")
	bad("a service provider's", strings.ReplaceAll(edit("<md:SingleSignOnService", "<md:SingleSignOnService"), "IDPSSODescriptor", "SPSSODescriptor"), "metadata_no_idp")
	bad("another document", `<html xmlns="http://www.w3.org/1999/xhtml"><body>Sign in</body></html>`, "metadata_no_idp")
	bad("no namespace", strings.ReplaceAll(edit("md:", "md:"), "urn:oasis:names:tc:SAML:2.0:metadata", "urn:x"), "metadata_no_idp")
	bad("no entity ID", edit(`entityID="https://idp.example"`, ""), "metadata_no_idp")
	bad("empty", "", "metadata_not_xml")
	bad("cut off", doc(keyDescriptor("signing", c1))[:300], "metadata_not_xml")
	bad("UTF-16", "\xff\xfe<\x00?\x00", "metadata_not_xml")
	bad("certificate that is none", doc(keyDescriptor("signing", "QUJD")), "certificate_unreadable")
	bad("certificate that is no base64", doc(keyDescriptor("signing", "!!!")), "certificate_unreadable")

	var many []string
	for range 17 {
		many = append(many, keyDescriptor("signing", inner(testIdP(t).CertificatePEM())))
	}
	good("16 keys", doc(many[:16]...), 16)
	bad("17 keys", doc(many...), "metadata_too_many_keys")

	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	good("G4 a weak key beside another", doc(keyDescriptor("signing", base64.StdEncoding.EncodeToString(certificate(t, weak).Raw)), keyDescriptor("signing", c1)), 1)
	bad("G4 weak key", doc(keyDescriptor("signing", base64.StdEncoding.EncodeToString(certificate(t, weak).Raw))), "certificate_weak_key")
}

// Our metadata reads as others read it.
func TestSPMetadata(t *testing.T) {
	w := once(t)
	b := browser.New(t)
	for _, route := range []string{"", "/metadata"} {
		p := b.Get(w.URL + "/saml/" + w.conn.ID + route)
		if p.Status != 200 || p.Header.Get("Content-Type") != "application/samlmetadata+xml" {
			t.Fatalf("%s", p)
		}
		var e csaml.EntityDescriptor
		if err := xml.Unmarshal([]byte(p.Body), &e); err != nil {
			t.Fatal(err)
		}
		sp := e.SPSSODescriptors[0]
		if e.EntityID != w.URL+"/saml/"+w.conn.ID || len(sp.AssertionConsumerServices) != 1 || sp.AssertionConsumerServices[0].Location != w.acs(w.conn) ||
			sp.AssertionConsumerServices[0].Binding != csaml.HTTPPostBinding || !*sp.WantAssertionsSigned || *sp.AuthnRequestsSigned {
			t.Errorf("%s", p.Body)
		}
	}
}

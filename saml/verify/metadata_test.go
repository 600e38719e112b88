package verify

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/beevik/etree"
)

const baseMetadata = `<md:EntityDescriptor xmlns:md="` + nsMetadata + `" ID="_md-1" entityID="` + testIdP + `" validUntil="2026-06-01T00:00:00Z"><md:IDPSSODescriptor protocolSupportEnumeration="` + nsProtocol + `"><md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="` + nsDsig + `"><ds:X509Data><ds:X509Certificate>CERT</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor><md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example/sso"/></md:IDPSSODescriptor></md:EntityDescriptor>`

// adfsMetadata has what AD FS publishes beside the SAML roles: descriptors of
// WS-Federation with their own namespaces.
const adfsMetadata = `<EntityDescriptor ID="_md-1" entityID="` + testIdP + `" xmlns="` + nsMetadata + `"><RoleDescriptor xsi:type="fed:ApplicationServiceType" protocolSupportEnumeration="http://docs.oasis-open.org/ws-sx/ws-trust/200512" ServiceDisplayName="Acme" xmlns:xsi="` + nsXSI + `" xmlns:fed="http://docs.oasis-open.org/wsfed/federation/200706"><fed:ClaimTypesRequested><auth:ClaimType Uri="http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress" Optional="true" xmlns:auth="http://docs.oasis-open.org/wsfed/authorization/200706"><auth:DisplayName>E-Mail Address</auth:DisplayName></auth:ClaimType></fed:ClaimTypesRequested><fed:TargetScopes><EndpointReference xmlns="http://www.w3.org/2005/08/addressing"><Address>https://idp.example/adfs/ls/</Address></EndpointReference></fed:TargetScopes></RoleDescriptor><IDPSSODescriptor protocolSupportEnumeration="` + nsProtocol + `"><SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example/adfs/ls/" /></IDPSSODescriptor></EntityDescriptor>`

func signedMetadata(i identity, xml string, change func(o *signing)) string {
	root := fragment(strings.Replace(xml, "CERT", base64.StdEncoding.EncodeToString(i.cert.Raw), 1))
	o := signing{by: i}
	if change != nil {
		change(&o)
	}
	o.sign(root)
	return string(serialize(root))
}

func TestAcceptsMetadata(t *testing.T) {
	for _, i := range []identity{rsaIdP(), ecIdP()} {
		for name, doc := range map[string]string{
			"plain":       signedMetadata(i, baseMetadata, nil),
			"AD FS":       signedMetadata(i, adfsMetadata, nil),
			"declaration": `<?xml version="1.0" encoding="UTF-8"?>` + "\n<!-- do not edit - (c) Acme -->\n" + signedMetadata(i, baseMetadata, nil) + "\n<!---->\n",
			"comment":     strings.Replace(signedMetadata(i, baseMetadata, nil), "<md:IDPSSODescriptor", "<!-- <evil/> --><md:IDPSSODescriptor", 1),
			"comment in a value": strings.Replace(signedMetadata(i, strings.Replace(baseMetadata, "<md:SingleSign", "<md:NameIDFormat>urn:x</md:NameIDFormat><md:SingleSign", 1), nil),
				"urn:x", "urn<!-- -->:x", 1),
		} {
			signed, by, err := VerifyMetadata([]byte(doc), params(rsaSecond(), i).Keys)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if by != i.key().SPKI || !strings.Contains(string(signed), `entityID="`+testIdP+`"`) {
				t.Errorf("%s: by %s\n%s", name, by, signed)
			}
			for _, out := range []string{"Signature", "<!--", "evil"} {
				if strings.Contains(string(signed), out) {
					t.Errorf("%s: %s is in what was verified", name, out)
				}
			}
		}
	}
}

func TestMetadataAttacks(t *testing.T) {
	seen := map[string]bool{}
	for _, i := range []identity{rsaIdP(), ecIdP()} {
		attacker := rsaAttacker()
		if i.cert.PublicKeyAlgorithm != attacker.cert.PublicKeyAlgorithm {
			attacker = ecAttacker()
		}
		good := signedMetadata(i, baseMetadata, nil)
		change := func(f func(root, s *etree.Element)) string {
			root := fragment(good)
			f(root, child(root, "Signature"))
			return string(serialize(root))
		}
		uri := ` URI=""`
		for name, c := range map[string]struct{ doc, code string }{
			"unsigned":              {baseMetadata, CodeMetadataUnsigned},
			"stripped":              {stripSignature(good), CodeMetadataUnsigned},
			"emptied signature":     {change(func(_, s *etree.Element) { s.Child = nil }), CodeMetadataUnsigned},
			"attacker":              {signedMetadata(attacker, baseMetadata, nil), CodeMetadataUntrustedKey},
			"attacker, no KeyInfo":  {signedMetadata(attacker, baseMetadata, func(o *signing) { o.keyInfo = new(string) }), CodeMetadataUntrustedKey},
			"location changed":      {strings.Replace(good, "https://idp.example/sso", "https://evil.example/sso", 1), CodeMetadataSig},
			"key added":             {strings.Replace(good, "<md:KeyDescriptor", "<md:KeyDescriptor/><md:KeyDescriptor", 1), CodeMetadataSig},
			"value of zero length":  {change(func(_, s *etree.Element) { child(s, "SignatureValue").SetText("") }), CodeMetadataSig},
			"signature last":        {signedMetadata(i, baseMetadata, func(o *signing) { o.place = appendChild }), CodeMetadataSigStructure},
			"signature of the role": {change(func(root, s *etree.Element) { root.RemoveChild(s); child(root, "IDPSSODescriptor").InsertChildAt(0, s) }), CodeMetadataSigStructure},
			"two signatures":        {change(func(root, s *etree.Element) { root.InsertChildAt(0, s.Copy()) }), CodeMetadataSigStructure},
			"whole document":        {signedMetadata(i, baseMetadata, func(o *signing) { o.uri = &uri }), CodeMetadataSigStructure},
			"wrapped": {change(func(root, _ *etree.Element) {
				outer := fragment(strings.Replace(stripSignature(good), "_md-1", "_evil", 1))
				x := fragment(`<md:Extensions xmlns:md="` + nsMetadata + `"/>`)
				x.AddChild(root.Copy())
				outer.InsertChildAt(0, x)
				*root = *outer
			}), CodeMetadataSigStructure},
			"inclusive canonicalization": {signedMetadata(i, baseMetadata, func(o *signing) { o.c14n = algC14N10 }), CodeMetadataSigStructure},
			"comment in the signature":   {strings.Replace(good, "<ds:DigestValue>", "<ds:DigestValue><!---->", 1), CodeMetadataSigStructure},
			"same ID":                    {strings.Replace(good, "<md:IDPSSODescriptor", `<md:IDPSSODescriptor ID="_md-1"`, 1), CodeMetadataDuplicateID},
			"MD5":                        {strings.Replace(good, "-sha256", "-md5", 1), CodeMetadataSigAlg},
			"no ID":                      {strings.Replace(good, ` ID="_md-1"`, "", 1), CodeMetadataRoot},
			"federation":                 {`<md:EntitiesDescriptor xmlns:md="` + nsMetadata + `">` + good + `</md:EntitiesDescriptor>`, CodeMetadataRoot},
			"two entities":               {good + good, CodeMetadataXML},
			"document type":              {"<!DOCTYPE x>" + good, CodeMetadataXML},
			"processing instruction":     {`<?xml-stylesheet href="x"?>` + good, CodeMetadataXML},
			"malformed comment":          {"<!-- -- -->" + good, CodeMetadataXML},
			"open comment":               {good + "<!-- ", CodeMetadataXML},
			"a Response":                 {string((&env{mode: "response", idp: i}).signed(nil)), CodeMetadataRoot},
			"an unsigned Response":       {baseXML, CodeMetadataRoot},
			"50 MB":                      {strings.Repeat(" ", 50<<20), CodeMetadataLimit},
			"empty":                      {"", CodeMetadataXML},
		} {
			signed, by, err := VerifyMetadata([]byte(c.doc), params(i).Keys)
			if signed != nil || by != "" || err == nil || err.Code != c.code {
				t.Errorf("%s: %v, want %s", name, err, c.code)
				continue
			}
			seen[c.code] = true
		}
		if _, _, err := VerifyMetadata([]byte(good), nil); err == nil || err.Code != CodeMetadataUntrustedKey {
			t.Errorf("no keys: %v", err)
		}
	}
	sha1 := signedMetadata(rsaIdP(), baseMetadata, func(o *signing) { o.method, o.methodHash = nsDsig+"rsa-sha1", 3 })
	if _, _, err := VerifyMetadata([]byte(sha1), params(rsaIdP()).Keys); err == nil || err.Code != CodeMetadataSigAlg {
		t.Errorf("SHA-1: %v", err)
	}
	for code := range checkOf {
		if strings.HasPrefix(code, "METADATA_") && !seen[code] {
			t.Errorf("no metadata is refused with %s", code)
		}
	}
}

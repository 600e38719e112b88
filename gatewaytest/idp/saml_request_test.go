package idp_test

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	csaml "github.com/crewjam/saml"

	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
)

func deflate(t *testing.T, data []byte) string {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

func TestRequestsThatAreRefused(t *testing.T) {
	i, c := serve(t, idp.Config{ServiceProviders: []idp.ServiceProvider{{EntityID: spEntity, ACSURL: spACS}}})
	good := `<AuthnRequest xmlns="urn:oasis:names:tc:SAML:2.0:protocol" ID="_1" Version="2.0" Destination="` + i.SSOURL() + `" AssertionConsumerServiceURL="` + spACS + `"><Issuer xmlns="urn:oasis:names:tc:SAML:2.0:assertion">` + spEntity + `</Issuer></AuthnRequest>`
	if page := do(t, c, "GET", i.SSOURL()+"?SAMLRequest="+url.QueryEscape(deflate(t, []byte(good))), nil); page.status != http.StatusOK {
		t.Fatalf("the good request: %d\n%s", page.status, page.body)
	}
	for name, message := range map[string]string{
		"other entity":      strings.Replace(good, spEntity+"</", "https://other</", 1),
		"other address":     strings.Replace(good, spACS, "https://evil.example/acs", 1),
		"other destination": strings.Replace(good, i.SSOURL(), "https://other/sso", 1),
		"version":           strings.Replace(good, "2.0\"", "1.1\"", 1),
		"no id":             strings.Replace(good, `ID="_1"`, "", 1),
		"another message":   strings.ReplaceAll(good, "AuthnRequest", "LogoutRequest"),
		"no xml":            "no xml",
		"empty":             "",
		"too large":         strings.Replace(good, "<Issuer", strings.Repeat(" ", 300<<10)+"<Issuer", 1),
		"bomb":              strings.Repeat("\x00", 64<<20),
	} {
		if page := do(t, c, "GET", i.SSOURL()+"?SAMLRequest="+url.QueryEscape(deflate(t, []byte(message))), nil); page.status != http.StatusBadRequest {
			t.Errorf("%s: %d", name, page.status)
		}
	}
	for name, query := range map[string]string{
		"none": "", "not base64": "SAMLRequest=%3C", "not deflated": "SAMLRequest=AAAA",
		"two": "SAMLRequest=AAAA&SAMLRequest=AAAA",
	} {
		if page := do(t, c, "GET", i.SSOURL()+"?"+query, nil); page.status != http.StatusBadRequest {
			t.Errorf("%s: %d", name, page.status)
		}
	}
	if page := do(t, c, "PUT", i.SSOURL(), nil); page.status != http.StatusMethodNotAllowed {
		t.Errorf("PUT: %d", page.status)
	}
	if page := do(t, c, "GET", i.Issuer()+"/saml/initiate?sp=https://other", nil); page.status != http.StatusBadRequest {
		t.Errorf("initiate for an unknown SP: %d", page.status)
	}
}

func TestACSMustBeAWebAddress(t *testing.T) {
	i, c := serve(t, idp.Config{})
	for _, acs := range []string{"javascript:alert(1)", "", "/relative"} {
		xml := `<AuthnRequest xmlns="urn:oasis:names:tc:SAML:2.0:protocol" ID="_1" Version="2.0" AssertionConsumerServiceURL="` + acs + `"><Issuer xmlns="urn:oasis:names:tc:SAML:2.0:assertion">x</Issuer></AuthnRequest>`
		if page := do(t, c, "GET", i.SSOURL()+"?SAMLRequest="+url.QueryEscape(deflate(t, []byte(xml))), nil); page.status != http.StatusBadRequest {
			t.Errorf("%q: %d", acs, page.status)
		}
	}
}

// A service provider with a certificate must sign; crewjam's signatures hold,
// and nothing signed by another key or changed does.
func TestSignedRequests(t *testing.T) {
	cert := selfSigned(t, rsaK)
	i, c := serve(t, idp.Config{ServiceProviders: []idp.ServiceProvider{{EntityID: spEntity, ACSURL: spACS, SigningCertificate: cert}}})
	redirect := func(key bool) string {
		sp := crewjamSP(t, i)
		sp.Certificate = cert
		if !key {
			sp.SignatureMethod = ""
		}
		req, err := sp.MakeAuthenticationRequest(i.SSOURL(), csaml.HTTPRedirectBinding, csaml.HTTPPostBinding)
		if err != nil {
			t.Fatal(err)
		}
		target, err := req.Redirect("relay", sp)
		if err != nil {
			t.Fatal(err)
		}
		return target.String()
	}
	good := redirect(true)
	for name, c2 := range map[string]struct {
		target string
		want   int
	}{
		"signed":      {good, http.StatusOK},
		"unsigned":    {redirect(false), http.StatusBadRequest},
		"relay state": {strings.Replace(good, "RelayState=relay", "RelayState=other", 1), http.StatusBadRequest},
		"algorithm":   {strings.Replace(good, "rsa-sha256", "rsa-sha1", 1), http.StatusBadRequest},
	} {
		if page := do(t, c, "GET", c2.target, nil); page.status != c2.want {
			t.Errorf("%s: %d, want %d\n%s", name, page.status, c2.want, c2.target)
		}
	}
	post := func(sign bool) int {
		sp := crewjamSP(t, i)
		sp.Certificate = cert
		if !sign {
			sp.SignatureMethod = ""
		}
		req, err := sp.MakeAuthenticationRequest(i.SSOURL(), csaml.HTTPPostBinding, csaml.HTTPPostBinding)
		if err != nil {
			t.Fatal(err)
		}
		_, fields, err := idp.ReadForm(bytes.NewReader(req.Post("")))
		if err != nil {
			t.Fatal(err)
		}
		return do(t, c, "POST", i.SSOURL(), fields).status
	}
	if got := post(true); got != http.StatusOK {
		t.Errorf("signed POST: %d", got)
	}
	if got := post(false); got != http.StatusBadRequest {
		t.Errorf("unsigned POST: %d", got)
	}
}

func TestMetadata(t *testing.T) {
	i, c := serve(t, idp.Config{})
	if err := i.RotateSAMLKey(true); err != nil {
		t.Fatal(err)
	}
	got := do(t, c, "GET", i.MetadataURL(), nil)
	var md csaml.EntityDescriptor
	if err := xml.Unmarshal([]byte(got.body), &md); err != nil {
		t.Fatal(err)
	}
	sso := md.IDPSSODescriptors[0]
	if md.EntityID != i.EntityID() || len(sso.KeyDescriptors) != 2 || len(sso.SingleSignOnServices) != 2 || got.header.Get("Content-Type") != "application/samlmetadata+xml" {
		t.Errorf("metadata: %s", got.body)
	}
	if !strings.Contains(i.CertificatePEM(), "BEGIN CERTIFICATE") {
		t.Error("no PEM")
	}
	// Responses are signed with the new key, and crewjam finds it among the two.
	if _, err := crewjamReads(t, i, make1(t, i, idp.SAMLKnobs{})); err != nil {
		t.Error(privateError(err))
	}
	before := i.Certificates()[0]
	if err := i.RotateSAMLKey(false); err != nil {
		t.Fatal(err)
	}
	if certs := i.Certificates(); len(certs) != 1 || certs[0].Equal(before) {
		t.Error("the old keys are still published")
	}
}

func TestSingleLogout(t *testing.T) {
	i, c := serve(t, idp.Config{ServiceProviders: []idp.ServiceProvider{{EntityID: spEntity, ACSURL: spACS, SLOURL: spSLO}}})
	message := `<LogoutRequest xmlns="urn:oasis:names:tc:SAML:2.0:protocol" ID="_lo" Version="2.0"><Issuer xmlns="urn:oasis:names:tc:SAML:2.0:assertion">` + spEntity + `</Issuer></LogoutRequest>`
	got := do(t, c, "GET", i.SLOURL()+"?RelayState=r&SAMLRequest="+url.QueryEscape(deflate(t, []byte(message))), nil)
	if got.status != http.StatusSeeOther {
		t.Fatalf("%d\n%s", got.status, got.body)
	}
	u := mustURL(t, got.header.Get("Location"))
	data, err := base64.StdEncoding.DecodeString(u.Query().Get("SAMLResponse"))
	if err != nil {
		t.Fatal(err)
	}
	inflated, err := io.ReadAll(flate.NewReader(bytes.NewReader(data)))
	if err != nil {
		t.Fatal(err)
	}
	root := parse(t, inflated).Root()
	if root.Tag != "LogoutResponse" || root.SelectAttrValue("InResponseTo", "") != "_lo" || u.Query().Get("RelayState") != "r" || u.Query().Get("Signature") == "" {
		t.Errorf("%s", inflated)
	}
	out, err := i.LogoutRequestURL(spEntity, "", ada.Email, "s1", "")
	if err != nil || !strings.HasPrefix(out, spSLO+"?SAMLRequest=") {
		t.Errorf("%s, %v", out, err)
	}
	// An own message read back: the query signature holds with the certificate.
	i.AddServiceProvider(idp.ServiceProvider{EntityID: i.EntityID(), ACSURL: spACS, SLOURL: i.SLOURL(), SigningCertificate: i.Certificates()[0]})
	out, err = i.LogoutRequestURL(i.EntityID(), "", ada.Email, "", "relay")
	if err != nil {
		t.Fatal(err)
	}
	if got := do(t, c, "GET", out, nil); got.status != http.StatusSeeOther {
		t.Errorf("own signature: %d\n%s", got.status, got.body)
	}
	if got := do(t, c, "GET", strings.Replace(out, "relay", "other", 1), nil); got.status != http.StatusBadRequest {
		t.Errorf("changed: %d", got.status)
	}
	if got := do(t, c, "GET", i.SLOURL(), nil); got.status != http.StatusBadRequest {
		t.Errorf("no message: %d", got.status)
	}
	if _, err := i.LogoutRequestURL("https://other", "", "", "", ""); err == nil {
		t.Error("an unknown SP is no error")
	}
}

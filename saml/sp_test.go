package saml_test

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"net/http"
	"strings"
	"testing"

	csaml "github.com/crewjam/saml"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// sp reads our metadata as others read it.
func (w *world) sp() csaml.SPSSODescriptor {
	w.t.Helper()
	p := browser.New(w.t.(*testing.T)).Get(w.URL + "/saml/" + w.conn.ID + "/metadata")
	var e csaml.EntityDescriptor
	if err := xml.Unmarshal([]byte(p.Body), &e); err != nil || len(e.SPSSODescriptors) != 1 {
		w.t.Fatalf("%v: %s", err, p)
	}
	return e.SPSSODescriptors[0]
}

// certificates lists the certificates of a use.
func certificates(t *testing.T, sp csaml.SPSSODescriptor, use string) (list [][]byte) {
	t.Helper()
	for _, k := range sp.KeyDescriptors {
		if k.Use != use {
			continue
		}
		der, err := base64.StdEncoding.DecodeString(k.KeyInfo.X509Data.X509Certificates[0].Data)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
		list = append(list, der)
	}
	return list
}

func same(got [][]byte, want ...*x509.Certificate) bool {
	if len(got) != len(want) {
		return false
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i].Raw) {
			return false
		}
	}
	return true
}

// Our metadata shows both keys during a rotation, and none that is retired.
func TestSPMetadataKeys(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		w := newWorld(t, d, func(n *tenants.NewSSOConnection) { n.SAML.SLOURL = "" })
		if sp := w.sp(); len(sp.KeyDescriptors) != 0 || len(sp.SingleLogoutServices) != 0 || *sp.AuthnRequestsSigned {
			t.Errorf("without a key: %d keys, %d logout addresses", len(sp.KeyDescriptors), len(sp.SingleLogoutServices))
		}
		first := w.spKey(w.conn)
		w.change(func(s *tenants.SAMLSettings) { s.SignRequests = true })
		sp := w.sp()
		if !*sp.AuthnRequestsSigned || !*sp.WantAssertionsSigned || !same(certificates(t, sp, "signing"), first) || !same(certificates(t, sp, "encryption"), first) {
			t.Error("with a key: it is not shown for both uses, or signed requests are not announced")
		}
		if len(sp.SingleLogoutServices) != 2 || sp.SingleLogoutServices[0].Binding != csaml.HTTPRedirectBinding ||
			sp.SingleLogoutServices[1].Binding != csaml.HTTPPostBinding || sp.SingleLogoutServices[1].Location != w.URL+"/saml/"+w.conn.ID+"/slo" {
			t.Errorf("logout %+v", sp.SingleLogoutServices)
		}
		second := w.nextKey(w.conn)
		if sp := w.sp(); !same(certificates(t, sp, "signing"), first, second) || !same(certificates(t, sp, "encryption"), first, second) {
			t.Error("during the rotation not both keys are shown, the active one first")
		}
		w.activate(w.conn)
		if sp := w.sp(); !same(certificates(t, sp, "signing"), second) || !same(certificates(t, sp, "encryption"), second) {
			t.Error("after the rotation another key than the active one is shown")
		}
	})
}

func TestSPMetadataEncryption(t *testing.T) {
	w := once(t)
	w.spKey(w.conn)
	methods := func() string {
		var list []string
		for _, k := range w.sp().KeyDescriptors {
			for _, m := range k.EncryptionMethods {
				_, name, _ := strings.Cut(m.Algorithm, "#")
				list = append(list, k.Use+":"+name)
			}
		}
		return strings.ReplaceAll(strings.Join(list, " "), "encryption:", "")
	}
	if got := methods(); got != "aes256-gcm aes192-gcm aes128-gcm aes256-cbc aes192-cbc aes128-cbc rsa-oaep rsa-oaep-mgf1p" {
		t.Errorf("%s", got)
	}
	w.change(func(s *tenants.SAMLSettings) { s.RefuseCBC = true })
	if got := methods(); got != "aes256-gcm aes192-gcm aes128-gcm rsa-oaep rsa-oaep-mgf1p" {
		t.Errorf("%s", got)
	}
}

// The schema fixes the order (SAML metadata §2.4.2), and the document names no
// day on which an identity provider that keeps it would stop.
func TestSPMetadataShape(t *testing.T) {
	w := once(t)
	w.spKey(w.conn)
	b := browser.New(t)
	p := b.Get(w.URL + "/saml/" + w.conn.ID + "/metadata")
	last := -1
	for _, tag := range []string{"<md:SPSSODescriptor ", "<md:KeyDescriptor ", "<md:SingleLogoutService ", "<md:NameIDFormat>", "<md:AssertionConsumerService "} {
		if i := strings.Index(p.Body, tag); i <= last {
			t.Errorf("%s is not in its place", tag)
		} else {
			last = i
		}
	}
	if strings.Contains(p.Body, "validUntil") || strings.Contains(p.Body, "PRIVATE") || strings.Contains(p.Body, "<md:EncryptionMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#rsa-1_5") {
		t.Error(p.Body)
	}
	for header, want := range map[string]string{"Content-Type": "application/samlmetadata+xml", "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"} {
		if got := p.Header.Get(header); got != want {
			t.Errorf("%s: %q", header, got)
		}
	}
	etag := p.Header.Get("ETag")
	ask := func(tag string) browser.Page {
		r, err := http.NewRequest(http.MethodGet, w.URL+"/saml/"+w.conn.ID, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("If-None-Match", tag)
		return b.Do(r)
	}
	for _, tag := range []string{etag, "W/" + etag, `"x", ` + etag, "*"} {
		if p := ask(tag); p.Status != http.StatusNotModified || p.Body != "" || p.Header.Get("ETag") != etag {
			t.Errorf("If-None-Match %s: %s", tag, p)
		}
	}
	if p := ask(`"x"`); p.Status != http.StatusOK || p.Header.Get("ETag") != etag {
		t.Errorf("%s", p)
	}
	w.Tx(func(q db.Queryer) error {
		_, err := w.Tenants.RotateSPKey(t.Context(), w.Vendor, q, w.conn.Tenant, w.conn.ID)
		return err
	})
	if p := ask(etag); p.Status != http.StatusOK || p.Header.Get("ETag") == etag {
		t.Errorf("after a rotation: %s", p)
	}
}

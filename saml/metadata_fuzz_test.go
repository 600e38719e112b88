package saml_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/saml"
)

// FuzzParseIdPMetadata: what is accepted can be used, what is not is a fault.
func FuzzParseIdPMetadata(f *testing.F) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		f.Fatal(err)
	}
	own := base64.StdEncoding.EncodeToString(certificate(f, key).Raw)
	good := strings.Replace(metadataTemplate, "KEYS", keyDescriptor("signing", own), 1)
	f.Add([]byte(good))
	f.Add([]byte(`<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" validUntil="2027-01-01T00:00:00Z">` + good[21:] + `</md:EntitiesDescriptor>`))
	f.Add([]byte(strings.Replace(good, "<md:SingleSignOnService", `<md:SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://a/" ResponseLocation="javascript:x"/><md:SingleSignOnService`, 1)))
	f.Add([]byte(strings.Replace(good, "entityID", `cacheDuration="P1Y2M3DT4H5M6.7S" entityID`, 1)))
	f.Fuzz(func(t *testing.T, doc []byte) {
		s, err := saml.ParseIdPMetadata(doc, rig.Start)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Fatal(err)
			}
			return
		}
		if s.IdPEntityID == "" || len(s.Keys) < 1 || len(s.Keys) > 16 || s.SSOBinding == "" {
			t.Fatalf("%+v", s)
		}
		for _, address := range []string{s.SSOURL, s.SLOURL, s.SLOResponseURL} {
			if address == "" && address != s.SSOURL {
				continue
			}
			if u, err := url.Parse(address); err != nil || u.Host == "" || u.User != nil || (u.Scheme != "https" && u.Scheme != "http") {
				t.Fatalf("address %q", address)
			}
		}
	})
}

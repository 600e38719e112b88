package saml_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Encrypted assertions are read with every algorithm that our metadata offers,
// whatever is signed.
func TestEncrypted(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		cert := w.spKey(w.conn)
		for _, algorithm := range []string{"aes128-gcm", "aes192-gcm", "aes256-gcm", "aes128-cbc", "aes192-cbc", "aes256-cbc"} {
			for name, sign := range map[string]idp.SignTarget{"assertion": idp.SignAssertion, "response": idp.SignResponse, "both": idp.SignBoth} {
				t.Run(algorithm+" "+name+" signed", func(t *testing.T) {
					w.t = t
					arrived(t, w.answer(browser.New(t), ada, idp.SAMLKnobs{EncryptTo: cert, Encryption: algorithm, Sign: sign}))
				})
			}
		}
		w.t = t
		// U9: encrypted is not signed.
		refused(t, w.answer(browser.New(t), ada, idp.SAMLKnobs{EncryptTo: cert, Sign: idp.SignNone}), "SAML_UNSIGNED")
	})
}

// During and after a rotation what is encrypted to the key before, the active and
// the next one is read; what is encrypted to a deleted one is not.
func TestEncryptedThroughRotation(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first := w.spKey(w.conn)
		second := w.nextKey(w.conn)
		reads := func(when string, certs ...*x509.Certificate) {
			t.Helper()
			for i, cert := range certs {
				if p := w.answer(browser.New(t), ada, idp.SAMLKnobs{EncryptTo: cert}); p.Status != http.StatusOK {
					t.Errorf("%s, key %d: %s", when, i, p)
				}
			}
		}
		reads("before activation", first, second)
		w.activate(w.conn)
		reads("after activation", first, second)
		third := w.nextKey(w.conn)
		w.activate(w.conn)
		reads("after a second rotation", first, second, third)

		retired := w.keys(w.conn)[tenants.SPKeyRetired] // the older of two
		w.Exec(`DELETE FROM sso_sp_keys WHERE id = $1`, retired)
		refused(t, w.answer(browser.New(t), ada, idp.SAMLKnobs{EncryptTo: first}), "SAML_DECRYPT")
		reads("after deletion of the first", second, third)
	})
}

// E1–E10 as they look from outside: one code, and nobody is signed in.
func TestUndecryptable(t *testing.T) {
	w := once(t)
	cert := w.spKey(w.conn)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	cipherValue := func(value string) func(*etree.Document) {
		return func(d *etree.Document) {
			list := d.FindElements("//EncryptedData/CipherData/CipherValue")
			list[len(list)-1].SetText(value)
		}
	}
	method := func(algorithm string) func(*etree.Document) {
		return func(d *etree.Document) {
			d.FindElement("//EncryptedKey/EncryptionMethod").CreateAttr("Algorithm", algorithm)
		}
	}
	for name, k := range map[string]idp.SAMLKnobs{
		"another key":    {EncryptTo: certificate(t, other)},
		"empty":          {EncryptTo: cert, MutateSigned: cipherValue("")},
		"GCM short":      {EncryptTo: cert, MutateSigned: cipherValue("QUJD")},
		"CBC short":      {EncryptTo: cert, Encryption: "aes128-cbc", MutateSigned: cipherValue("QUJD")},
		"CBC only an IV": {EncryptTo: cert, Encryption: "aes128-cbc", MutateSigned: cipherValue("QUJDQUJDQUJDQUJDQUJDQQ==")},
		"RSA 1.5":        {EncryptTo: cert, MutateSigned: method("http://www.w3.org/2001/04/xmlenc#rsa-1_5")},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			refused(t, w.answer(browser.New(t), ada, k), "SAML_DECRYPT")
			l := w.logged(w.conn, signin.OutcomeFailure, "SAML_DECRYPT")
			if strings.Contains(l.Response, "ada@acme.example") {
				t.Errorf("%s", l.Response)
			}
			if w.people() != [3]int{} {
				t.Error("somebody is there")
			}
		})
	}
}

// A connection may insist on encryption, and refuse CBC.
func TestWantEncrypted(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		cert := w.spKey(w.conn)
		w.change(func(s *tenants.SAMLSettings) { s.WantEncrypted, s.RefuseCBC = true, true })
		refused(t, w.answer(browser.New(t), ada, idp.SAMLKnobs{}), "SAML_NOT_ENCRYPTED")
		l := w.logged(w.conn, signin.OutcomeFailure, "SAML_NOT_ENCRYPTED")
		last := l.Checks[len(l.Checks)-1]
		if last.OK || last.Expected != "EncryptedAssertion" || last.Actual != "Assertion" {
			t.Errorf("%+v", last)
		}
		if w.Count(`SELECT COUNT(*) FROM sso_results`) != 0 {
			t.Error("a result waits")
		}
		refused(t, w.answer(browser.New(t), ada, idp.SAMLKnobs{EncryptTo: cert, Encryption: "aes256-cbc"}), "SAML_DECRYPT")
		arrived(t, w.answer(browser.New(t), ada, idp.SAMLKnobs{EncryptTo: cert, Encryption: "aes256-gcm"}))
	})
}

// The exception for SHA-1 has an end.
func TestSHA1Exception(t *testing.T) {
	w := once(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := w.IdP(idp.Config{People: []idp.Person{ada}, SAMLKey: key})
	w.idp = i
	w.conn = w.SAMLConnection(w.tenant, i, func(n *tenants.NewSSOConnection) { n.AllowUnverifiedDomains = true })
	refused(t, w.answer(browser.New(t), ada, idp.SAMLKnobs{SHA1: true}), "SAML_SIG_ALG")
	w.change(func(s *tenants.SAMLSettings) { s.AllowSHA1Until = w.Clock.Now().Add(time.Hour) })
	arrived(t, w.answer(browser.New(t), ada, idp.SAMLKnobs{SHA1: true}))
	w.Clock.Advance(2 * time.Hour)
	refused(t, w.answer(browser.New(t), ada, idp.SAMLKnobs{SHA1: true}), "SAML_SIG_ALG")
}

// The size of the posted form is the connection's to choose, up to 2 MiB.
func TestResponseSize(t *testing.T) {
	w := once(t)
	post := func(size int) browser.Page {
		return browser.New(t).Post(w.acs(w.conn), url.Values{"SAMLResponse": {strings.Repeat("QUFB", size/4)}}, w.idp.Issuer())
	}
	refused(t, post(600<<10), "SAML_LIMIT")
	w.change(func(s *tenants.SAMLSettings) { s.MaxResponseBytes = 1 << 20 })
	refused(t, post(600<<10), "SAML_XML_PROFILE")
	refused(t, post(1100<<10), "SAML_LIMIT")
	w.change(func(s *tenants.SAMLSettings) { s.MaxResponseBytes = 64 << 10 })
	refused(t, post(70<<10), "SAML_LIMIT")
	arrived(t, w.answer(browser.New(t), ada, idp.SAMLKnobs{}))
}

// sso 2.1: a pinned key whose certificate has expired logs people in, and the
// login log says so.
func TestExpiredCertificate(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		arrived(t, w.answer(browser.New(t), ada, idp.SAMLKnobs{}))
		for _, c := range w.logged(w.conn, signin.OutcomeSuccess, "").Checks {
			if c.Name == "signature.certificate_dates" {
				t.Errorf("a good certificate is warned of: %+v", c)
			}
		}
		w.Clock.Advance(w.conn.SAML.Keys[0].NotAfter.Sub(w.Clock.Now()) + time.Hour)
		arrived(t, w.answer(browser.New(t), ada, idp.SAMLKnobs{}))
		warned := false
		for _, c := range w.logged(w.conn, signin.OutcomeSuccess, "").Checks {
			warned = warned || c.Name == "signature.certificate_dates" && c.OK && strings.Contains(c.Actual, "2036-03-01")
		}
		if !warned {
			t.Error("the login log does not warn")
		}
	})
}

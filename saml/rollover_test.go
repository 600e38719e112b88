package saml_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// rollover is a connection whose certificates live through months.
type rollover struct {
	*world
	first *ecdsa.PrivateKey // that the identity provider begins with
	cert  *x509.Certificate
	knobs idp.SAMLKnobs
	end   time.Time // of every certificate of the identity provider
	ins   int
}

func newRollover(t *testing.T, d db.DB) *rollover {
	t.Helper()
	r := &rollover{world: newWorld(t, d), end: rig.Start.AddDate(0, 0, 70)}
	var err error
	if r.first, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	r.idp = r.IdP(idp.Config{People: []idp.Person{ada, bob}, SAMLKey: r.first, CertificateNotAfter: r.end})
	r.tenant = r.Tenant("rolling", "rolling.example")
	r.conn = r.SAMLConnection(r.tenant, r.idp, func(n *tenants.NewSSOConnection) { n.AllowUnverifiedDomains = true })
	r.cert = r.idp.Certificates()[0]
	r.admin(ada)
	r.ins = 1
	return r
}

// days lets days pass, with the work of each and a login through the whole way.
func (r *rollover) days(n int) {
	r.t.Helper()
	for range n {
		for range 4 {
			r.Clock.Advance(6 * time.Hour)
			r.refreshDue()
		}
		if err := r.Signin.WarnExpiring(r.t.Context()); err != nil {
			r.t.Fatal(err)
		}
		r.idp.SetSAMLKnobs(r.knobs)
		arrived(r.t, browser.New(r.t).LogIn(r.start(r.conn), ada.ID))
		r.ins++
	}
}

// noFailure asserts that every login of the whole time went through.
func (r *rollover) noFailure() {
	r.t.Helper()
	ins := r.Count(`SELECT COUNT(*) FROM logins WHERE tenant_id = $1 AND outcome = $2`, r.tenant, signin.OutcomeSuccess)
	all := r.Count(`SELECT COUNT(*) FROM logins WHERE tenant_id = $1`, r.tenant)
	if ins != r.ins || all != r.ins {
		r.t.Errorf("%d logins, %d of %d went through", r.ins, ins, all)
	}
}

func (r *rollover) trusts(want int) {
	r.t.Helper()
	if got := r.idpKeys(); got != [2]int{want, 0} {
		r.t.Errorf("%v keys, want %d trusted ones", got, want)
	}
}

// sso 2.1: a whole rollover of the identity provider's certificate, read from its
// metadata. No login fails, and nobody does anything here.
func TestIdPCertificateRollover(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		r := newRollover(t, d)
		s := publish(t, r.idp.Metadata)
		r.followURL(r.Vendor, s.URL)
		r.days(10) // the old key alone
		r.trusts(1)

		if err := r.idp.RotateSAMLKey(true); err != nil { // both are published, the old one signs
			t.Fatal(err)
		}
		r.knobs = idp.SAMLKnobs{Key: r.first, KeyCertificate: r.cert}
		r.days(20)
		r.trusts(2)

		r.knobs = idp.SAMLKnobs{} // the new one signs
		r.days(20)
		r.trusts(2)

		both := string(r.idp.Metadata())
		old := base64.StdEncoding.EncodeToString(r.cert.Raw)
		s.set(func() []byte { return []byte(withoutKey(t, both, old)) }, nil) // the old one is gone
		r.days(15)
		r.trusts(1)

		r.days(20) // the date of the certificate in use has passed
		if !r.Clock.Now().After(r.end) {
			t.Fatal("no certificate ended")
		}
		r.noFailure()

		var told []string
		for _, m := range r.mails() {
			told = append(told, m.Subject)
		}
		// Of the old key at 60, 30 days; of the new one from its appearance on.
		if len(told) < 7 || !strings.Contains(told[len(told)-1], "has ended") || !slices.ContainsFunc(told, func(s string) bool { return strings.Contains(s, "ends in 60 days") }) {
			t.Errorf("told %q", told)
		}
	})
}

// withoutKey takes a certificate's KeyDescriptor out of metadata.
func withoutKey(t *testing.T, doc, certificate string) string {
	t.Helper()
	at := strings.Index(doc, certificate)
	if at < 0 {
		t.Fatal("the metadata lacks the certificate")
	}
	begin, end := strings.LastIndex(doc[:at], "<md:KeyDescriptor"), at+strings.Index(doc[at:], "</md:KeyDescriptor>")+len("</md:KeyDescriptor>")
	return doc[:begin] + doc[end:]
}

// The same by hand: the next certificate is added before it is put to use.
func TestIdPCertificateRolloverByHand(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		r := newRollover(t, d)
		r.days(5)
		if err := r.idp.RotateSAMLKey(true); err != nil {
			t.Fatal(err)
		}
		r.knobs = idp.SAMLKnobs{Key: r.first, KeyCertificate: r.cert}
		next, err := tenants.IdPKeyOf(r.idp.Certificates()[0])
		if err != nil {
			t.Fatal(err)
		}
		r.change(func(s *tenants.SAMLSettings) { s.Keys = append(s.Keys, next) })
		r.days(5)
		r.trusts(2)
		r.knobs = idp.SAMLKnobs{}
		r.days(5)
		r.change(func(s *tenants.SAMLSettings) { s.Keys = []tenants.IdPKey{next} })
		r.days(65)
		r.trusts(1)
		r.noFailure()
	})
}

// A rollover without notice: the new key appears together with its first use.
func TestIdPCertificateRolloverWithoutNotice(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		r := newRollover(t, d)
		r.followURL(r.Vendor, publish(t, r.idp.Metadata).URL)
		for range 3 {
			r.days(2)
			if err := r.idp.RotateSAMLKey(false); err != nil {
				t.Fatal(err)
			}
			arrived(t, browser.New(t).LogIn(r.start(r.conn), ada.ID))
			r.ins++
			r.trusts(1)
		}
		r.noFailure()
	})
}

// Our own keys: signed requests and encrypted assertions, with the identity
// provider's admin a week late at every step.
func TestSPKeyRollover(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		r := newRollover(t, d)
		first := r.spKey(r.conn)
		r.register(r.conn, first)
		r.change(func(s *tenants.SAMLSettings) { s.SignRequests, s.WantEncrypted = true, true })
		r.knobs = idp.SAMLKnobs{EncryptTo: first}
		r.days(3)

		second := r.nextKey(r.conn) // both are published, the first one signs
		r.days(3)
		if !same(certificates(t, r.sp(), "encryption"), first, second) && !same(certificates(t, r.sp(), "encryption"), second, first) {
			t.Error("the metadata does not have both keys")
		}
		r.knobs = idp.SAMLKnobs{EncryptTo: second} // the identity provider has loaded the metadata
		r.days(7)
		r.knobs = idp.SAMLKnobs{EncryptTo: first} // one of its nodes has not
		r.days(1)

		r.activate(r.conn)
		r.register(r.conn, second)
		r.days(7)
		r.knobs = idp.SAMLKnobs{EncryptTo: second}
		r.days(1)

		retired := r.keys(r.conn)[tenants.SPKeyRetired]
		r.Tx(func(q db.Queryer) error {
			return r.Tenants.DeleteSPKey(t.Context(), r.Vendor, q, r.tenant, r.conn.ID, retired)
		})
		r.days(3)
		r.noFailure()
	})
}

package saml_test

import (
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

var (
	ada = idp.Person{ID: "00u1", Email: "ada@acme.example", FirstName: "Ada", LastName: "Byron", DisplayName: "Ada Byron", Groups: []string{"engineering", "everyone"}}
	bob = idp.Person{ID: "00u2", Email: "bob@acme.example", FirstName: "Bob", LastName: "Noyce"}
)

// world is a tenant with a SAML connection.
type world struct {
	*rig.Rig
	t      testing.TB
	idp    *idp.IdP
	tenant string
	conn   tenants.SSOConnection
}

func newWorld(t testing.TB, d db.DB, change ...func(*tenants.NewSSOConnection)) *world {
	t.Helper()
	w := &world{Rig: rig.New(t, d), t: t}
	w.idp = w.IdP(idp.Config{People: []idp.Person{ada, bob}})
	w.tenant = w.Tenant("acme", "acme.example")
	w.conn = w.SAMLConnection(w.tenant, w.idp, change...)
	return w
}

func each(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, d db.DB) { f(t, newWorld(t, d)) })
}

// once runs on SQLite alone: for cases in which the store has no part.
func once(t *testing.T) *world {
	t.Helper()
	return newWorld(t, dbtest.Open(t, db.SQLite))
}

// start is where an application sends the browser to sign in through the connection.
func (w *world) start(c tenants.SSOConnection) string { return w.StartURL("connection", c.ID) }

// ask begins a sign-in and gives the request that the identity provider gets.
func (w *world) ask(b *browser.Browser, c tenants.SSOConnection) idp.AuthnRequestInfo {
	w.t.Helper()
	b.Client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), w.idp.Issuer()) {
			return http.ErrUseLastResponse
		}
		return nil
	}
	p := b.Get(w.start(c))
	b.Client.CheckRedirect = nil
	target := p.Header.Get("Location")
	if !strings.HasPrefix(target, w.idp.SSOURL()) {
		w.t.Fatalf("the sign-in does not lead to the identity provider: %s", p)
	}
	r, err := http.NewRequest(http.MethodGet, target, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	info, err := w.idp.ParseRequest(r)
	if err != nil {
		w.t.Fatalf("the identity provider refuses the request: %v", err)
	}
	return info
}

func (w *world) acs(c tenants.SSOConnection) string { return w.URL + "/saml/" + c.ID + "/acs" }

// response makes a signed document.
func (w *world) response(req idp.AuthnRequestInfo, p idp.Person, k idp.SAMLKnobs) []byte {
	w.t.Helper()
	doc, err := w.idp.Response(req, p, k)
	if err != nil {
		w.t.Fatal(err)
	}
	return doc
}

// post brings a document to a connection's ACS, as the identity provider's page does.
func (w *world) post(b *browser.Browser, c tenants.SSOConnection, doc []byte) browser.Page {
	w.t.Helper()
	return b.Post(w.acs(c), url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString(doc)}, "RelayState": {"x"}}, w.idp.Issuer())
}

// answer is a sign-in whose response is made with the knobs.
func (w *world) answer(b *browser.Browser, p idp.Person, k idp.SAMLKnobs) browser.Page {
	w.t.Helper()
	return w.post(b, w.conn, w.response(w.ask(b, w.conn), p, k))
}

func arrived(t testing.TB, p browser.Page) rig.Arrived { t.Helper(); return rig.Arrive(t, p) }

// refused asserts an error page with the code, that tells nothing about the
// document or the person.
func refused(t testing.TB, p browser.Page, code string) {
	t.Helper()
	if p.Status > 499 {
		t.Errorf("status %d", p.Status)
	}
	rig.Refused(t, p, code, "acme.example", "evil.example", "Assertion ", "samlp", "saml:", "urn:oasis", "Byron")
}

func (w *world) logged(c tenants.SSOConnection, outcome, code string) signin.Login {
	w.t.Helper()
	return w.Logged(c, outcome, code)
}

func (w *world) people() [3]int { return w.Written() }

// change sets the settings of the world's connection.
func (w *world) change(f func(*tenants.SAMLSettings)) {
	w.t.Helper()
	c, err := w.Tenants.SSOConnection(w.t.Context(), w.DB, w.conn.Tenant, w.conn.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	settings := *c.SAML
	f(&settings)
	w.SetConnection(w.conn, tenants.SSOPatch{SAML: &settings})
	if w.conn, err = w.Tenants.SSOConnection(w.t.Context(), w.DB, w.conn.Tenant, w.conn.ID); err != nil {
		w.t.Fatal(err)
	}
}

// spKey gives a connection its active key, and the certificate.
func (w *world) spKey(c tenants.SSOConnection) *x509.Certificate {
	w.t.Helper()
	return w.keyOf(func(q db.Queryer) (tenants.SPKey, error) {
		return w.Tenants.EnsureSPKey(w.t.Context(), w.Vendor, q, c.Tenant, c.ID)
	})
}

func (w *world) keyOf(make func(db.Queryer) (tenants.SPKey, error)) *x509.Certificate {
	w.t.Helper()
	var k tenants.SPKey
	w.Tx(func(q db.Queryer) (err error) {
		k, err = make(q)
		return err
	})
	cert, err := k.Certificate()
	if err != nil {
		w.t.Fatal(err)
	}
	return cert
}

// nextKey begins a rotation.
func (w *world) nextKey(c tenants.SSOConnection) *x509.Certificate {
	w.t.Helper()
	return w.keyOf(func(q db.Queryer) (tenants.SPKey, error) {
		return w.Tenants.RotateSPKey(w.t.Context(), w.Vendor, q, c.Tenant, c.ID)
	})
}

// keys gives the ids of the connection's keys by their state.
func (w *world) keys(c tenants.SSOConnection) map[string]string {
	w.t.Helper()
	list, err := w.Tenants.SPKeys(w.t.Context(), w.DB, c.Tenant, c.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]string{}
	for _, k := range list {
		out[k.State] = k.ID
	}
	return out
}

// activate ends a rotation: the next key is active, the one before retired.
func (w *world) activate(c tenants.SSOConnection) {
	w.t.Helper()
	next := w.keys(c)[tenants.SPKeyNext]
	w.Tx(func(q db.Queryer) error {
		return w.Tenants.ActivateSPKey(w.t.Context(), w.Vendor, q, c.Tenant, c.ID, next)
	})
}

// register makes the service provider of a connection known to the identity
// provider, as an admin there does with our metadata. Requests must be signed by
// the certificate, unless it is nil.
func (w *world) register(c tenants.SSOConnection, signing *x509.Certificate) {
	base := w.URL + "/saml/" + c.ID
	w.idp.AddServiceProvider(idp.ServiceProvider{EntityID: base, ACSURL: base + "/acs", SLOURL: base + "/slo", SigningCertificate: signing})
}

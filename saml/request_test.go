package saml_test

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/beevik/etree"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// An identity provider that verifies requests takes ours, by both bindings, and
// goes on doing so while the key is changed.
func TestSignedRequests(t *testing.T) {
	for name, binding := range map[string]string{"Redirect": tenants.BindingRedirect, "POST": tenants.BindingPOST} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				first := w.spKey(w.conn)
				w.change(func(s *tenants.SAMLSettings) { s.SignRequests, s.SSOBinding = true, binding })
				w.register(w.conn, first)
				arrived(t, browser.New(t).LogIn(w.start(w.conn), ada.ID))

				second := w.nextKey(w.conn)
				arrived(t, browser.New(t).LogIn(w.start(w.conn), ada.ID)) // still signed with the first
				w.activate(w.conn)
				p := browser.New(t).LogIn(w.start(w.conn), ada.ID)
				if p.Status == http.StatusOK || !strings.Contains(p.Body, "Signature of the request") {
					t.Fatalf("the identity provider takes the new key without knowing it: %s", p)
				}
				w.register(w.conn, second)
				arrived(t, browser.New(t).LogIn(w.start(w.conn), ada.ID))
			})
		})
	}
}

// The signature of the Redirect binding is over the message, RelayState and
// SigAlg alone, also where the address has a query of its own (SAML bindings
// §3.4.4.1); the test identity provider verifies those octets.
func TestSignedRedirectQuery(t *testing.T) {
	w := once(t)
	cert := w.spKey(w.conn)
	for _, own := range []string{"", "?tenant=a%20b&x=1"} {
		w.change(func(s *tenants.SAMLSettings) { s.SignRequests, s.SSOURL = true, w.idp.SSOURL()+own })
		target := w.target(browser.New(t), w.conn)
		query, ok := strings.CutPrefix(target, w.idp.SSOURL()+own)
		if !ok {
			t.Fatalf("the browser is sent to %s", target)
		}
		var names []string
		for part := range strings.SplitSeq(query[1:], "&") {
			name, _, _ := strings.Cut(part, "=")
			names = append(names, name)
		}
		if strings.Join(names, " ") != "SAMLRequest RelayState SigAlg Signature" {
			t.Errorf("parameters %q", names)
		}
		v, err := url.ParseQuery(query[1:])
		if err != nil || v.Get("SigAlg") != "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256" || len(v.Get("RelayState")) != 22 {
			t.Errorf("%v, %v", v, err)
		}
		signed := func(query string) error { return idp.VerifyQuery(query, "SAMLRequest", cert) }
		if err := signed(query[1:]); err != nil {
			t.Errorf("signature: %v", err)
		}
		if signed(strings.Replace(query[1:], "RelayState=", "RelayState=x", 1)) == nil {
			t.Error("a changed RelayState is not noticed")
		}
	}
}

// A connection that must sign and has no key sends nobody anywhere.
func TestSignedRequestWithoutKey(t *testing.T) {
	w := once(t)
	w.change(func(s *tenants.SAMLSettings) { s.SignRequests = true })
	w.Exec(`DELETE FROM sso_sp_keys`) // as if the settings were older than keys
	p := browser.New(t).Get(w.start(w.conn))
	if p.Status != http.StatusServiceUnavailable || !strings.Contains(p.Body, "SAML_NO_KEY") {
		t.Errorf("%s", p)
	}
}

// ForceAuthn, RequestedAuthnContext and NameIDPolicy as the connection asks for
// them (SAML core §3.4.1).
func TestRequestSettings(t *testing.T) {
	w := once(t)
	if root := w.request(browser.New(t)); root.SelectAttr("ForceAuthn") != nil || root.SelectElement("RequestedAuthnContext") != nil || root.SelectElement("NameIDPolicy") != nil {
		t.Error("a plain request asks for more than it should")
	}
	contexts := []string{"https://refeds.org/profile/mfa", "urn:oasis:names:tc:SAML:2.0:ac:classes:TimeSyncToken"}
	w.change(func(s *tenants.SAMLSettings) {
		s.ForceAuthn, s.AuthnContexts, s.NameIDFormat = true, contexts, "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	})
	root := w.request(browser.New(t))
	if got := root.SelectAttrValue("ForceAuthn", ""); got != "true" {
		t.Errorf("ForceAuthn %q", got)
	}
	asked := root.SelectElement("RequestedAuthnContext")
	var classes []string
	for _, el := range asked.SelectElements("AuthnContextClassRef") {
		classes = append(classes, el.Text())
	}
	if asked.SelectAttrValue("Comparison", "") != "exact" || !slices.Equal(classes, contexts) {
		t.Errorf("contexts %q, comparison %q", classes, asked.SelectAttrValue("Comparison", ""))
	}
	policy := root.SelectElement("NameIDPolicy")
	if policy.SelectAttrValue("Format", "") != "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent" || policy.SelectAttrValue("AllowCreate", "") != "true" {
		t.Errorf("%v", policy.Attr)
	}
	var order []string
	for _, el := range root.ChildElements() {
		order = append(order, el.Tag)
	}
	if strings.Join(order, " ") != "Issuer NameIDPolicy RequestedAuthnContext" { // the schema's order
		t.Errorf("children %q", order)
	}
	w.change(func(s *tenants.SAMLSettings) { s.NameIDFormat = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient" })
	if w.request(browser.New(t)).SelectElement("NameIDPolicy") != nil {
		t.Error("a transient name is asked for")
	}
}

// What is asked for is required of the answer.
func TestAuthnContextIsRequired(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.change(func(s *tenants.SAMLSettings) { s.AuthnContexts = []string{"https://refeds.org/profile/mfa"} })
		p := w.answer(browser.New(t), ada, idp.SAMLKnobs{AuthnContext: "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"})
		refused(t, p, "SAML_AUTHN_CONTEXT")
		w.logged(w.conn, signin.OutcomeFailure, "SAML_AUTHN_CONTEXT")
		arrived(t, w.answer(browser.New(t), ada, idp.SAMLKnobs{AuthnContext: "https://refeds.org/profile/mfa"}))
	})
}

// The signature of the POST binding is where a strict reader wants it, and holds.
func TestSignedPostDocument(t *testing.T) {
	w := once(t)
	w.spKey(w.conn)
	w.change(func(s *tenants.SAMLSettings) {
		s.SignRequests, s.SSOBinding, s.AuthnContexts = true, tenants.BindingPOST, []string{"a&b"}
	})
	root := w.request(browser.New(t))
	var order []string
	for _, el := range root.ChildElements() {
		order = append(order, el.Tag)
	}
	if strings.Join(order, " ") != "Issuer Signature RequestedAuthnContext" {
		t.Errorf("children %q", order)
	}
	if n := len(root.FindElements("//Reference")); n != 1 || root.FindElement("//Reference").SelectAttrValue("URI", "") != "#"+root.SelectAttrValue("ID", "") {
		t.Errorf("%d references", n)
	}
}

// target is the address to which a sign-in sends the browser at the identity provider.
func (w *world) target(b *browser.Browser, c tenants.SSOConnection) string {
	w.t.Helper()
	b.Client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), w.idp.Issuer()) {
			return http.ErrUseLastResponse
		}
		return nil
	}
	defer func() { b.Client.CheckRedirect = nil }()
	return b.Get(w.start(c)).Header.Get("Location")
}

// request is the AuthnRequest that a sign-in sends, by either binding.
func (w *world) request(b *browser.Browser) *etree.Element {
	w.t.Helper()
	b.Client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), w.idp.Issuer()) {
			return http.ErrUseLastResponse
		}
		return nil
	}
	p := b.Get(w.start(w.conn))
	b.Client.CheckRedirect = nil
	var doc []byte
	var err error
	if _, fields, ok := p.Form(); ok {
		doc, err = base64.StdEncoding.DecodeString(fields.Get("SAMLRequest"))
	} else {
		doc, err = inflated(p.Header.Get("Location"), "SAMLRequest")
	}
	if err != nil {
		w.t.Fatalf("%v: %s", err, p)
	}
	d := etree.NewDocument()
	if err := d.ReadFromBytes(doc); err != nil {
		w.t.Fatal(err)
	}
	return d.Root()
}

// inflated is the message in a query of the Redirect binding.
func inflated(address, parameter string) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	packed, err := base64.StdEncoding.DecodeString(u.Query().Get(parameter))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
}

func decoded(text string) ([]byte, error) { return base64.StdEncoding.DecodeString(text) }

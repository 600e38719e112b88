package saml_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/saml"
	"github.com/gatehouse-id/gatehouse/signin"
)

// sso 4, step 1: what arrives at the ACS in another form than a SAML form post.
func TestForms(t *testing.T) {
	w := once(t)
	good := base64.StdEncoding.EncodeToString(w.response(w.ask(browser.New(t), w.conn), ada, idp.SAMLKnobs{}))
	const form = "application/x-www-form-urlencoded"
	field := func(v string) string { return url.Values{"SAMLResponse": {v}}.Encode() }
	for _, k := range []struct{ name, query, contentType, body, code string }{
		{"no field", "", form, "RelayState=x", "SAML_HTTP_FORM"},
		{"empty body", "", form, "", "SAML_HTTP_FORM"},
		{"two responses", "", form, field(good) + "&" + field(good), "SAML_HTTP_FORM"},
		{"a second one in the query", "?" + field(good), form, field(good), "SAML_HTTP_FORM"},
		{"only in the query", "?" + field(good), form, "", "SAML_HTTP_FORM"},
		{"two RelayStates", "", form, field(good) + "&RelayState=a&RelayState=b", "SAML_HTTP_FORM"},
		{"artifact", "", form, field(good) + "&SAMLart=AAQA", "SAML_HTTP_FORM"},
		{"artifact in the query", "?SAMLart=AAQA", form, field(good), "SAML_HTTP_FORM"},
		{"not form-encoded", "", form, "SAMLResponse=%zz", "SAML_HTTP_FORM"},
		{"no content type", "", "", field(good), "SAML_HTTP_FORM"},
		{"multipart", "", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"SAMLResponse\"\r\n\r\n" + good + "\r\n--x--\r\n", "SAML_HTTP_FORM"},
		{"text", "", "text/plain", field(good), "SAML_HTTP_FORM"},
		{"XML", "", "application/xml", "<Response/>", "SAML_HTTP_FORM"},
		{"empty value", "", form, "SAMLResponse=", "SAML_BASE64"},
		{"not base64", "", form, field("!!!!"), "SAML_BASE64"},
		{"base64url", "", form, field(strings.NewReplacer("+", "-", "/", "_").Replace(good) + "-"), "SAML_BASE64"},
		{"padding in the middle", "", form, field("QUE=QUE="), "SAML_BASE64"},
		{"bits beside the padding", "", form, field("QUF="), "SAML_BASE64"},
		{"no padding", "", form, field("QUE"), "SAML_BASE64"},
		{"B5 oversize body", "", form, field(strings.Repeat("QUFB", 200_000)), "SAML_LIMIT"},
		{"B6 nothing but line breaks", "", form, field(strings.Repeat("\n", 100_000)), "SAML_BASE64"},
		{"not XML", "", form, field("QUFB"), "SAML_XML_PROFILE"},
		{"N1 DOCTYPE", "", form, field(base64.StdEncoding.EncodeToString([]byte(`<!DOCTYPE x [<!ENTITY e "evil.example">]><x>&e;</x>`))), "SAML_XML_PROFILE"},
		{"U8 another message", "", form, field(base64.StdEncoding.EncodeToString([]byte(`<samlp:LogoutResponse xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_1" Version="2.0"/>`))), "SAML_ROOT"},
		{"B1 depth", "", form, field(base64.StdEncoding.EncodeToString([]byte(strings.Repeat("<a>", 10_000) + strings.Repeat("</a>", 10_000)))), "SAML_LIMIT"},
	} {
		t.Run(k.name, func(t *testing.T) {
			b := browser.New(t)
			r, err := http.NewRequest(http.MethodPost, w.acs(w.conn)+k.query, strings.NewReader(k.body))
			if err != nil {
				t.Fatal(err)
			}
			if k.contentType != "" {
				r.Header.Set("Content-Type", k.contentType)
			}
			w.t = t
			p := b.Do(r)
			refused(t, p, k.code)
			if k.code == "SAML_LIMIT" && p.Status != http.StatusRequestEntityTooLarge {
				t.Errorf("status %d", p.Status)
			}
			w.logged(w.conn, signin.OutcomeFailure, k.code)
		})
	}
	t.Run("GET", func(t *testing.T) {
		before := len(w.Logins(w.conn))
		b := browser.New(t)
		refused(t, b.Get(w.acs(w.conn)), "SAML_HTTP_FORM")
		refused(t, b.Get(w.acs(w.conn)+"?"+field(good)), "SAML_HTTP_FORM")
		if len(w.Logins(w.conn)) != before {
			t.Error("a GET filled the login log")
		}
	})
	t.Run("line breaks and spaces in base64 are harmless", func(t *testing.T) {
		w.t = t
		b := browser.New(t)
		doc := base64.StdEncoding.EncodeToString(w.response(w.ask(b, w.conn), ada, idp.SAMLKnobs{}))
		var wrapped strings.Builder
		for n := 0; n < len(doc); n += 76 {
			wrapped.WriteString(doc[n:min(n+76, len(doc))] + "\r\n ")
		}
		arrived(t, b.Post(w.acs(w.conn), url.Values{"SAMLResponse": {wrapped.String()}}, "null"))
	})
}

// Answers that do not hold are logged at a bounded rate; good ones are not held up.
func TestRefusalsAreLimited(t *testing.T) {
	w := once(t)
	b := browser.New(t)
	limited := 0
	for range 120 {
		if p := b.Post(w.acs(w.conn), url.Values{"SAMLResponse": {"QUFB"}}, ""); p.Status == http.StatusTooManyRequests {
			limited++
			if p.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		}
	}
	if n := len(w.Logins(w.conn)); limited != 20 || n != 100 {
		t.Errorf("%d refused, %d logged", limited, n)
	}
	arrived(t, w.answer(b, ada, idp.SAMLKnobs{}))
}

func TestUnknownConnections(t *testing.T) {
	w := once(t)
	other := w.OIDCConnection(w.tenant, w.idp) // not a SAML connection
	b := browser.New(t)
	for _, c := range []string{id.New(id.SSO), "sso_x", "%00", "..%2f", other.ID, strings.Repeat("x", 5000)} {
		for _, route := range []string{"", "/metadata", "/login", "/acs"} {
			if p := b.Get(w.URL + "/saml/" + c + route); p.Status != http.StatusNotFound {
				t.Errorf("GET /saml/%.20s%s: %d", c, route, p.Status)
			}
		}
		if p := b.Post(w.URL+"/saml/"+c+"/acs", url.Values{"SAMLResponse": {"QUFB"}}, ""); p.Status != http.StatusNotFound {
			t.Errorf("POST /saml/%.20s/acs: %d", c, p.Status)
		}
	}
}

// A login address needs a flow of this browser.
func TestLoginAddress(t *testing.T) {
	w := once(t)
	b := browser.New(t)
	flow := b.Get(w.StartURL("organization", "acme")).URL.Query().Get("flow")
	login := w.URL + "/saml/" + w.conn.ID + "/login?flow="
	refused(t, browser.New(t).Get(login+flow), "SIGNIN_OTHER_BROWSER")
	refused(t, b.Get(login+id.New(id.Flow)), "SIGNIN_FLOW_UNKNOWN")
	refused(t, b.Get(login+"%00"), "SIGNIN_FLOW_UNKNOWN")
	arrived(t, b.LogIn(login+flow, ada.ID))
	refused(t, b.Get(login+flow), "SIGNIN_FLOW_FINISHED")
}

// prompt=login reaches the identity provider, and an answer from an old session
// there is refused.
func TestForceAuthn(t *testing.T) {
	w := once(t)
	b := browser.New(t)
	p := b.Get(w.StartURL("connection", w.conn.ID, "prompt", "login"))
	if action, _, ok := p.Form(); !ok || !strings.HasPrefix(action, w.idp.Issuer()) {
		t.Fatalf("%s", p)
	}
	arrived(t, b.Continue(p, ada.ID))
	if req := w.ask(b, w.conn); req.ForceAuthn {
		t.Error("ForceAuthn without prompt=login")
	}
}

// A key that an earlier version stored and the verifier refuses stops nobody who
// has another.
func TestUnusableStoredKey(t *testing.T) {
	w := once(t)
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	n := new(big.Int).Lsh(big.NewInt(1), 16383)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: rig.Start.AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}, signer)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.DB.Exec(t.Context(), `INSERT INTO sso_idp_keys (tenant_id, connection_id, spki, certificate, not_after, status, created_at) VALUES ($1, $2, 'x', $3, 0, 'trusted', 0)`,
		w.tenant, w.conn.ID, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	if err != nil {
		t.Fatal(err)
	}
	arrived(t, w.answer(browser.New(t), ada, idp.SAMLKnobs{}))
}

// Whoever has one IPv6 network has one allowance of refusals.
func TestRefusalsOfANetwork(t *testing.T) {
	for _, x := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true},
		{"2001:db8:0:1::1", "2001:db8:0:2::1", false},
	} {
		if same := saml.Source(netip.MustParseAddr(x.a)) == saml.Source(netip.MustParseAddr(x.b)); same != x.same {
			t.Errorf("%s and %s: %t", x.a, x.b, same)
		}
	}
	if saml.Source(netip.Addr{}) == "" {
		t.Error("no address, no key")
	}
}

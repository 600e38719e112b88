package saml_test

import (
	"encoding/base64"
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

// unasked makes a response to no request.
func (w *world) unasked(p idp.Person, k idp.SAMLKnobs) []byte {
	w.t.Helper()
	base := w.URL + "/saml/" + w.conn.ID
	return w.response(idp.AuthnRequestInfo{Issuer: base, ACSURL: base + "/acs"}, p, k)
}

// deliver posts a document with a RelayState and stops before the next page.
func (w *world) deliver(b *browser.Browser, doc []byte, relayState string) browser.Page {
	w.t.Helper()
	defer b.Stop()()
	return b.Post(w.acs(w.conn), url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString(doc)}, "RelayState": {relayState}}, w.idp.Issuer())
}

func allowUnasked(s *tenants.SAMLSettings) { s.AllowIdPInitiated = true }

// sso 4, step 13: where the connection allows it, a response that nobody asked for
// signs in, once.
func TestIdPInitiated(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Application("https://app.example/login")
		w.change(allowUnasked)
		b := browser.New(t)
		doc := w.unasked(ada, idp.SAMLKnobs{})
		p := w.deliver(b, doc, "")
		next := p.Header.Get("Location")
		if p.Status != http.StatusSeeOther || !strings.HasPrefix(next, "/signin/continue/") {
			t.Fatalf("%s", p)
		}
		if n := w.Count(`SELECT COUNT(*) FROM flows WHERE purpose = 'start' AND tenant_id = $1 AND connection_id = $2 AND browser_hash = ''`, w.tenant, w.conn.ID); n != 1 {
			t.Errorf("%d flows that the identity provider began", n)
		}
		if w.people() != [3]int{} {
			t.Error("somebody is signed in before the browser proved itself")
		}
		undo := b.Stop()
		done := b.Get(w.URL + next)
		undo()
		if got := w.people(); got != [3]int{1, 1, 1} {
			t.Fatalf("users, identities, sessions: %v: %s", got, done)
		}
		w.logged(w.conn, signin.OutcomeSuccess, "")
		refused(t, w.deliver(browser.New(t), doc, ""), "SAML_REPLAY")
		w.logged(w.conn, signin.OutcomeFailure, "SAML_REPLAY")
	})
}

// Everything that is asked of an answer is asked of an unasked one.
func TestIdPInitiatedRefused(t *testing.T) {
	w := once(t)
	w.Application("https://app.example/login")
	w.change(allowUnasked)
	inConfirmation := func(d *etree.Document) {
		d.FindElement("//SubjectConfirmationData").CreateAttr("InResponseTo", "_stolen")
	}
	for _, k := range []struct {
		name, code string
		knobs      idp.SAMLKnobs
	}{
		{"Q6 InResponseTo in the confirmation", "SAML_IN_RESPONSE_TO", idp.SAMLKnobs{Sign: idp.SignBoth, Mutate: inConfirmation}},
		{"Q6 InResponseTo of nobody's request", "SAML_IN_RESPONSE_TO", idp.SAMLKnobs{InResponseTo: "_stolen"}},
		{"U1 no signature", "SAML_UNSIGNED", idp.SAMLKnobs{Sign: idp.SignNone}},
		{"A1 wrong audience", "SAML_AUDIENCE_MISMATCH", idp.SAMLKnobs{Audience: "https://evil.example"}},
		{"R1 wrong recipient", "SAML_RECIPIENT", idp.SAMLKnobs{Recipient: "https://evil.example/acs"}},
		{"T1 expired", "SAML_TIME_CONFIRMATION_EXPIRED", idp.SAMLKnobs{TimeShift: -8 * time.Minute, Lifetime: time.Minute}},
	} {
		t.Run(k.name, func(t *testing.T) {
			w.t = t
			refused(t, w.deliver(browser.New(t), w.unasked(ada, k.knobs), ""), k.code)
			w.logged(w.conn, signin.OutcomeFailure, k.code)
		})
	}
	w.t = t
	if n := w.Count(`SELECT COUNT(*) FROM sso_results`); n != 0 {
		t.Errorf("%d results wait", n)
	}
	// A stored request does not serve an unasked response either.
	req := w.ask(browser.New(t), w.conn)
	refused(t, w.deliver(browser.New(t), w.unasked(ada, idp.SAMLKnobs{Sign: idp.SignBoth, Mutate: func(d *etree.Document) {
		d.FindElement("//SubjectConfirmationData").CreateAttr("InResponseTo", req.ID)
	}}), ""), "SAML_IN_RESPONSE_TO")
	// Switched off, or not active yet, the connection takes none.
	for _, status := range []string{tenants.SSODisabled, tenants.SSODraft} {
		w.Exec(`UPDATE sso_connections SET status = $1`, status)
		refused(t, w.deliver(browser.New(t), w.unasked(ada, idp.SAMLKnobs{}), ""), "SAML_UNSOLICITED")
	}
}

// RelayState leads to an application that it names, and nowhere else.
func TestIdPInitiatedRelayState(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Application("https://first.example/login")
		w.Application("https://second.example/login?from=idp")
		w.change(allowUnasked)
		second := w.Strings(`SELECT id FROM applications WHERE settings LIKE '%second.example%'`)[0]
		for relayState, want := range map[string]string{
			"": "first", second: "second", "https://second.example/login?from=idp": "second",
			"https://second.example/login": "first", "https://evil.example/": "first", "https://second.example/login?from=idp&x=1": "first",
			strings.Repeat("x", 2000): "first", strings.ToUpper(second): "first",
		} {
			p := w.deliver(browser.New(t), w.unasked(ada, idp.SAMLKnobs{}), relayState)
			if p.Status != http.StatusSeeOther {
				t.Fatalf("%q: %s", relayState, p)
			}
			flow := w.Strings(`SELECT id FROM flows ORDER BY created_at DESC, id DESC LIMIT 1`)[0]
			target, err := w.Signin.UnsolicitedURL(t.Context(), w.DB, w.Env, flow)
			u, bad := url.Parse(target)
			if err != nil || bad != nil || u.Host != want+".example" || u.Query().Get("connection") != w.conn.ID || u.Query().Get("iss") != w.URL {
				t.Errorf("%q leads to %s, %v", relayState, target, err)
			}
		}
	})
}

package saml_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/saml/verify"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// A logout that begins here visits the identity provider and comes back to where
// it wanted to go.
func TestLogoutToIdP(t *testing.T) {
	for name, binding := range map[string]string{"Redirect": tenants.BindingRedirect, "POST": tenants.BindingPOST} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				w.withLogout()
				w.change(func(s *tenants.SAMLSettings) { s.SLOBinding = binding })
				b := browser.New(t)
				arrived(t, w.post(b, w.conn, w.response(w.ask(b, w.conn), ada, idp.SAMLKnobs{SessionIndex: "a1", NameIDFormat: "persistent", NameID: "p<1>&\"'"})))
				s := w.session(b)
				if got := s.Tenants[0].UpstreamSubject; !strings.Contains(got, `persistent","value":"p\u003c1\u003e`) {
					t.Errorf("upstream subject %s", got)
				}
				action, fields, err := w.SAML.LogoutUpstream(t.Context(), w.Env, s, "https://app.example/bye?x=1")
				if err != nil || !strings.HasPrefix(action, w.idp.SLOURL()) || (fields != nil) != (binding == tenants.BindingPOST) {
					t.Fatalf("%s, %v, %v", action, fields, err)
				}
				doc := sentRequest(t, action, fields)
				root := doc.Root()
				if n := root.SelectElement("NameID"); root.Tag != "LogoutRequest" || n.Text() != "p<1>&\"'" || !strings.HasSuffix(n.SelectAttrValue("Format", ""), ":persistent") ||
					root.SelectElement("SessionIndex").Text() != "a1" || root.SelectAttrValue("Destination", "") != w.idp.SLOURL() || root.SelectAttrValue("NotOnOrAfter", "") == "" {
					text, _ := doc.WriteToString()
					t.Errorf("%s", text)
				}
				w.verified(action, fields)
				undo := stopOutside(b, w)
				p := b.Get(action)
				if fields != nil {
					p = b.Post(action, form(fields), w.URL)
				}
				p = b.Continue(p, "")
				undo()
				if p.Status != http.StatusSeeOther || p.Header.Get("Location") != "https://app.example/bye?x=1" {
					t.Errorf("the browser ends at %s", p)
				}
			})
		})
	}
}

// verified holds a LogoutRequest of ours to what we ask of others: the verifier
// shares no code with the signer.
func (w *world) verified(action string, fields [][2]string) {
	w.t.Helper()
	key, err := verify.KeyFromCertificate(w.spKey(w.conn))
	if err != nil {
		w.t.Fatal(err)
	}
	p := verify.LogoutParams{Destination: w.idp.SLOURL(), IdPEntityID: w.entity(), Keys: []verify.Key{key}, Now: w.Clock.Now()}
	var doc []byte
	if fields != nil {
		if doc, err = decoded(fields[0][1]); err != nil {
			w.t.Fatal(err)
		}
	} else {
		_, query, _ := strings.Cut(action, "?")
		q, refused := verify.VerifyQuery(query, p.Keys, false)
		if refused != nil {
			w.t.Fatal(refused)
		}
		doc, p.SignedBy = q.Message, q.SignedBy
	}
	if _, report := verify.VerifyLogoutRequest(doc, p); report.Err != nil {
		w.t.Error(report.Err)
	}
}

// Answers go to an address of their own where the provider has one (SAML metadata
// §2.2.2).
func TestLogoutResponseURL(t *testing.T) {
	w := once(t)
	w.withLogout()
	w.change(func(s *tenants.SAMLSettings) { s.SLOResponseURL = w.idp.SLOURL() + "/answers?x=1" })
	_, p := w.asks(idp.LogoutRequest{NameIDFormat: urnEmail, NameID: ada.Email})
	target := p.Header.Get("Location")
	doc, err := inflated(target, "SAMLResponse")
	if err != nil || !strings.HasPrefix(target, w.idp.SLOURL()+"/answers?x=1&SAMLResponse=") || !strings.Contains(string(doc), `Destination="`+w.idp.SLOURL()+`/answers?x=1"`) {
		t.Errorf("%s, %s, %v", target, doc, err)
	}
}

// sentRequest reads the LogoutRequest that goes out.
func sentRequest(t *testing.T, action string, fields [][2]string) *etree.Document {
	t.Helper()
	var doc []byte
	var err error
	if fields == nil {
		doc, err = inflated(action, "SAMLRequest")
	} else {
		doc, err = decoded(fields[0][1])
	}
	if err != nil {
		t.Fatal(err)
	}
	d := etree.NewDocument()
	if err := d.ReadFromBytes(doc); err != nil {
		t.Fatal(err)
	}
	return d
}

// stopOutside stops before addresses that are nobody's of this test.
func stopOutside(b *browser.Browser, w *world) (undo func()) {
	b.Client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasSuffix(r.URL.Hostname(), ".example") {
			return http.ErrUseLastResponse
		}
		return nil
	}
	return func() { b.Client.CheckRedirect = nil }
}

// session reads the browser's session, as the logout page does before it ends it.
func (w *world) session(b *browser.Browser) sessions.Session {
	w.t.Helper()
	s, err := w.Sessions.Find(w.t.Context(), w.DB, w.Env.ID, b.Cookie(w.URL, "__Host-session"))
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// The answer to our LogoutRequest must be one, by the provider that was asked.
func TestLogoutAnswers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.withLogout()
		b := browser.New(t)
		arrived(t, w.post(b, w.conn, w.response(w.ask(b, w.conn), ada, idp.SAMLKnobs{SessionIndex: "a1"})))
		s := w.session(b)
		start := func() string {
			action, fields, err := w.SAML.LogoutUpstream(t.Context(), w.Env, s, "https://app.example/bye")
			if err != nil {
				t.Fatal(err)
			}
			return sentRequest(t, action, fields).Root().SelectAttrValue("ID", "")
		}
		answer := func(id, status string) browser.Page {
			target, err := w.idp.LogoutResponseURL(w.entity(), id, status, "")
			if err != nil {
				t.Fatal(err)
			}
			defer stopOutside(b, w)()
			return b.Get(target)
		}
		id := start()
		if p := answer(id, "PartialLogout"); p.Header.Get("Location") != "https://app.example/bye" { // the session here is over whatever happens there
			t.Errorf("%s", p)
		}
		refused(t, answer(id, "Success"), "SLO_IN_RESPONSE_TO") // once
		refused(t, answer("_unknown", "Success"), "SLO_IN_RESPONSE_TO")
		refused(t, answer("", "Success"), "SLO_IN_RESPONSE_TO")
		req := w.ask(b, w.conn)
		refused(t, answer(req.ID, "Success"), "SLO_IN_RESPONSE_TO") // an AuthnRequest's ID
		id = start()
		w.Clock.Advance(11 * time.Minute)
		refused(t, answer(id, "Success"), "SLO_IN_RESPONSE_TO")

		// An answer without signature decides nothing; its RelayState still leads on, once.
		action, fields, err := w.SAML.LogoutUpstream(t.Context(), w.Env, s, "https://app.example/bye")
		if err != nil {
			t.Fatal(err)
		}
		relay := relayState(t, action, fields)
		undo := stopOutside(b, w)
		unsigned := func(relay string) browser.Page {
			return b.Get(w.Env.SAMLSLOURL(w.conn.ID) + "?SAMLResponse=eJwDAAAAAAE%3D&RelayState=" + url.QueryEscape(relay))
		}
		refused(t, unsigned("_another"), "SLO_UNSIGNED")
		refused(t, unsigned(""), "SLO_UNSIGNED")
		if p := unsigned(relay); p.Header.Get("Location") != "https://app.example/bye" {
			t.Errorf("an unsigned answer strands the browser: %s", p)
		}
		refused(t, unsigned(relay), "SLO_UNSIGNED")
		undo()

		// A response to a LogoutRequest signs nobody in.
		id = start()
		req.ID = id
		refused(t, w.post(b, w.conn, w.response(req, ada, idp.SAMLKnobs{})), "SAML_IN_RESPONSE_TO")
	})
}

// Several identity providers are visited one after the other; who has no address
// any more is left out.
func TestLogoutOfSeveral(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.withLogout()
		other := w.Tenant("globex")
		second := w.SAMLConnection(other, w.idp, func(n *tenants.NewSSOConnection) {
			n.AllowUnverifiedDomains = true
		})
		w.spKey(second)
		w.register(second, nil)
		third := w.SAMLConnection(w.Tenant("initech"), w.idp)
		b := browser.New(t)
		arrived(t, w.post(b, w.conn, w.response(w.ask(b, w.conn), ada, idp.SAMLKnobs{SessionIndex: "a1"})))
		s := w.session(b)
		mine := s.Tenants[0]
		for _, c := range []tenants.SSOConnection{third, second} {
			p := mine
			p.Tenant, p.Connection = c.Tenant, c.ID
			s.Tenants = append(s.Tenants, p)
		}
		settings := *third.SAML
		settings.SLOURL, settings.SLOResponseURL = "", ""
		w.SetConnection(third, tenants.SSOPatch{SAML: &settings})
		w.idp.AddServiceProvider(idp.ServiceProvider{EntityID: w.URL + "/saml/" + second.ID, ACSURL: w.acs(second), SLOURL: w.URL + "/saml/" + second.ID + "/slo"})

		action, _, err := w.SAML.LogoutUpstream(t.Context(), w.Env, s, "/logout/done")
		if err != nil {
			t.Fatal(err)
		}
		var visited []string
		b.Client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			visited = append(visited, r.URL.Path)
			return nil
		}
		b.Get(action)
		b.Client.CheckRedirect = nil
		want := "/saml/" + w.conn.ID + "/slo /saml/slo /saml/" + second.ID + "/slo /logout/done"
		if got := strings.Join(visited, " "); got != want {
			t.Errorf("visited %s\nwant %s", got, want)
		}
		// Nobody to tell: the caller goes on by itself.
		if action, fields, err := w.SAML.LogoutUpstream(t.Context(), w.Env, sessions.Session{Tenants: []sessions.Proof{{Tenant: w.tenant, Method: "password"}}}, "/x"); action != "" || fields != nil || err != nil {
			t.Errorf("%s, %v, %v", action, fields, err)
		}
	})
}

// The logout page tells the identity provider, and the browser comes back to it.
func TestLogoutPage(t *testing.T) {
	for name, binding := range map[string]string{"Redirect": tenants.BindingRedirect, "POST": tenants.BindingPOST} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				w.withLogout()
				w.change(func(s *tenants.SAMLSettings) { s.SLOBinding = binding })
				b := browser.New(t)
				arrived(t, w.post(b, w.conn, w.response(w.ask(b, w.conn), ada, idp.SAMLKnobs{SessionIndex: "a1"})))
				var visited []string
				b.Client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
					visited = append(visited, r.URL.Path)
					return nil
				}
				p := b.Continue(b.Post(w.URL+"/logout", nil, ""), "")
				if p.Status != http.StatusOK || p.URL.Path != "/logout/done" || !strings.Contains(p.Body, "Signed out") || w.live() != "" {
					t.Errorf("after %q, sessions %q: %s", visited, w.live(), p)
				}
				if n := w.Count(`SELECT COUNT(*) FROM sso_requests WHERE key LIKE 'slo:%' AND used_at IS NOT NULL`); n != 1 {
					t.Errorf("%d answered requests", n)
				}
			})
		})
	}
}

// relayState reads the RelayState of a message under way.
func relayState(t *testing.T, action string, fields [][2]string) string {
	t.Helper()
	for _, f := range fields {
		if f[0] == "RelayState" {
			return f[1]
		}
	}
	u, err := url.Parse(action)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("RelayState")
}

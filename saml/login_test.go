package saml_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/saml"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// The whole way: application, AuthnRequest, login page of the identity provider,
// response by POST, /signin/continue in the same browser, application.
func TestLogin(t *testing.T) {
	for binding, name := range map[string]string{tenants.BindingRedirect: "Redirect", tenants.BindingPOST: "POST"} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				settings := *w.conn.SAML
				settings.SSOBinding = binding
				w.SetConnection(w.conn, tenants.SSOPatch{SAML: &settings})
				b := browser.New(t)
				first := arrived(t, b.LogIn(w.start(w.conn), ada.ID))
				if first.Tenant != w.tenant || first.Connection != w.conn.ID || string(first.Request) != `{"state":"of the application"}` {
					t.Errorf("arrived %+v", first)
				}
				p, err := w.Signin.Check(t.Context(), w.DB, w.Env.ID, w.tenant, first.User, w.conn.ID)
				if err != nil || p.Email != ada.Email || p.FirstName != "Ada" || p.LastName != "Byron" || p.Name != "Ada Byron" {
					t.Errorf("%+v, %v", p, err)
				}
				if got := w.Strings(`SELECT name FROM identity_groups ORDER BY name`); strings.Join(got, " ") != "engineering everyone" {
					t.Errorf("groups %q", got)
				}
				again := arrived(t, browser.New(t).LogIn(w.start(w.conn), ada.ID))
				if again.User != first.User || again.Session == first.Session {
					t.Errorf("then %+v", again)
				}
				l := w.logged(w.conn, signin.OutcomeSuccess, "")
				if l.FlowID != again.Flow || l.Email != ada.Email || len(l.Checks) < 20 {
					t.Errorf("login log: %+v", l)
				}
				for _, c := range l.Checks {
					if !c.OK {
						t.Errorf("check %+v", c)
					}
				}
			})
		})
	}
}

// sso 4, step 5 and sso 4.1: what an identity provider may choose to sign, and with what.
func TestAcceptedShapes(t *testing.T) {
	w := once(t)
	for name, k := range map[string]idp.SAMLKnobs{
		"response signed":   {Sign: idp.SignResponse},
		"both signed":       {Sign: idp.SignBoth},
		"no KeyInfo":        {OmitKeyInfo: true},
		"persistent NameID": {NameIDFormat: "persistent", NameID: "p-1"},
		"clock 90 s ahead":  {TimeShift: 90 * time.Second},
		"clock 90 s behind": {TimeShift: -90 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			p := ada
			if k.NameID != "" {
				p = bob
			}
			arrived(t, w.answer(browser.New(t), p, k))
		})
	}
	t.Run("RSA", func(t *testing.T) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		i := w.IdP(idp.Config{People: []idp.Person{bob}, SAMLKey: key})
		tenant := w.Tenant("rsa", "rsa.example")
		c := w.SAMLConnection(tenant, i, func(n *tenants.NewSSOConnection) { n.AllowUnverifiedDomains = true })
		arrived(t, browser.New(t).LogIn(w.start(c), bob.ID))
	})
	t.Run("key rollover", func(t *testing.T) {
		if err := w.idp.RotateSAMLKey(true); err != nil {
			t.Fatal(err)
		}
		refused(t, w.answer(browser.New(t), ada, idp.SAMLKnobs{}), "SAML_UNTRUSTED_KEY")
		settings, err := saml.ParseIdPMetadata(w.idp.Metadata(), w.Clock.Now())
		if err != nil || len(settings.Keys) != 2 {
			t.Fatalf("%d keys, %v", len(settings.Keys), err)
		}
		w.SetConnection(w.conn, tenants.SSOPatch{SAML: &settings})
		arrived(t, w.answer(browser.New(t), ada, idp.SAMLKnobs{}))
	})
}

// sso 5.1: cases of the corpus as they look from outside, one of each family; the
// verifier's own tests have them all.
func TestRefusedResponses(t *testing.T) {
	w := once(t)
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	forge := func(d *etree.Document) {
		d.FindElement("//NameID").SetText("attacker@evil.example")
	}
	for _, k := range []struct {
		name, code string
		knobs      idp.SAMLKnobs
	}{
		{"X3 second assertion", "SAML_MULTIPLE_ASSERTIONS", idp.SAMLKnobs{ExtraAssertion: true}},
		{"U1 no signature", "SAML_UNSIGNED", idp.SAMLKnobs{Sign: idp.SignNone}},
		{"changed after signing", "SAML_SIG", idp.SAMLKnobs{MutateSigned: forge}},
		{"U5 another key", "SAML_UNTRUSTED_KEY", idp.SAMLKnobs{Key: stranger, OmitKeyInfo: true}},
		{"G6 ECDSA in DER", "SAML_SIG", idp.SAMLKnobs{ECDSADER: true}},
		{"C1 comment in NameID", "SAML_XML_PROFILE", idp.SAMLKnobs{NameIDComment: true}},
		{"C7 two e-mail addresses", "SAML_ATTR_AMBIGUOUS", idp.SAMLKnobs{DuplicateEmail: "eve@evil.example"}},
		{"T1 expired", "SAML_TIME_CONFIRMATION_EXPIRED", idp.SAMLKnobs{TimeShift: -8 * time.Minute, Lifetime: time.Minute}},
		{"T2 not yet valid", "SAML_TIME_NOT_YET", idp.SAMLKnobs{TimeShift: time.Hour}},
		{"A1 wrong audience", "SAML_AUDIENCE_MISMATCH", idp.SAMLKnobs{Audience: "https://evil.example"}},
		{"A2 no audience", "SAML_AUDIENCE_MISSING", idp.SAMLKnobs{Audience: idp.Omit}},
		{"R1 wrong recipient", "SAML_RECIPIENT", idp.SAMLKnobs{Recipient: "https://evil.example/acs"}},
		{"R3 wrong destination", "SAML_DESTINATION", idp.SAMLKnobs{Destination: "https://evil.example/acs"}},
		{"I1 wrong issuer", "SAML_ISSUER", idp.SAMLKnobs{Issuer: "https://evil.example"}},
		{"Q1 unknown request", "SAML_IN_RESPONSE_TO", idp.SAMLKnobs{InResponseTo: "_unknown"}},
		{"S1 status", "SAML_STATUS_AUTHN_FAILED", idp.SAMLKnobs{Status: "Responder", SubStatus: "AuthnFailed", StatusMessage: "<script>evil.example"}},
		{"E encrypted for somebody else", "SAML_DECRYPT", idp.SAMLKnobs{EncryptTo: w.idp.Certificates()[0], Encryption: "aes128-gcm"}},
		{"transient NameID", "SAML_NAMEID_TRANSIENT", idp.SAMLKnobs{NameIDFormat: "transient", NameID: "t-1"}},
		{"no e-mail", "SAML_NO_EMAIL", idp.SAMLKnobs{AttributeNames: map[string]string{"email": "favourite"}, NameID: "00u1", NameIDFormat: "persistent"}},
		{"session over at the provider", "SAML_TIME_SESSION_ENDED", idp.SAMLKnobs{SessionNotOnOrAfter: w.Clock.Now().Add(-time.Hour)}},
	} {
		t.Run(k.name, func(t *testing.T) {
			w.t = t
			if k.code == "SAML_DECRYPT" {
				key, err := rsa.GenerateKey(rand.Reader, 2048)
				if err != nil {
					t.Fatal(err)
				}
				k.knobs.EncryptTo = certificate(t, key)
			}
			before := w.people()
			p := w.answer(browser.New(t), ada, k.knobs)
			refused(t, p, k.code)
			l := w.logged(w.conn, signin.OutcomeFailure, k.code)
			if l.FlowID != "" && !strings.Contains(p.Body, l.FlowID) {
				t.Errorf("the page does not name the flow %s", l.FlowID)
			}
			if after := w.people(); after != before {
				t.Errorf("users, identities, sessions: %v, then %v", before, after)
			}
			if n := w.Count(`SELECT COUNT(*) FROM sso_results`); n != 0 {
				t.Errorf("%d results wait", n)
			}
		})
	}
}

// A failed check is in the log with what was expected and what came, and the
// audit log tells of it.
func TestLoginLogExplains(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		refused(t, w.answer(browser.New(t), ada, idp.SAMLKnobs{Audience: "https://other.example"}), "SAML_AUDIENCE_MISMATCH")
		l := w.logged(w.conn, signin.OutcomeFailure, "SAML_AUDIENCE_MISMATCH")
		found := false
		for _, c := range l.Checks {
			found = found || c.Name == "conditions.audience" && !c.OK && c.Actual == "https://other.example" && strings.HasSuffix(c.Expected, "/saml/"+w.conn.ID)
		}
		if !found || l.FlowID == "" || l.IP != "127.0.0.1" {
			t.Errorf("%+v", l)
		}
		if n := w.Count(`SELECT COUNT(*) FROM audit_events WHERE tenant_id = $1 AND action = 'login.failed' AND outcome = 'failure'`, w.tenant); n != 1 {
			t.Errorf("%d audit events", n)
		}
	})
}

// Q1–Q7: the request that a response answers.
func TestInResponseTo(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		other := w.SAMLConnection(w.tenant, w.idp)
		t.Run("Q2 another browser's request", func(t *testing.T) {
			victim, attacker := browser.New(t), browser.New(t)
			doc := w.response(w.ask(attacker, w.conn), ada, idp.SAMLKnobs{})
			refused(t, w.post(victim, w.conn, doc), "SIGNIN_OTHER_BROWSER")
			if got := w.people(); got != [3]int{} {
				t.Errorf("users, identities, sessions: %v", got)
			}
		})
		t.Run("Q2 the browser kept no cookie", func(t *testing.T) {
			b := browser.New(t)
			doc := w.response(w.ask(b, w.conn), ada, idp.SAMLKnobs{})
			refused(t, w.post(browser.New(t), w.conn, doc), "SIGNIN_OTHER_BROWSER")
		})
		t.Run("Q3 another connection's request", func(t *testing.T) {
			b := browser.New(t)
			req := w.ask(b, w.conn)
			req.Issuer, req.ACSURL = w.URL+"/saml/"+other.ID, w.acs(other)
			refused(t, w.post(b, other, w.response(req, ada, idp.SAMLKnobs{})), "SAML_IN_RESPONSE_TO")
		})
		t.Run("Q4 already used", func(t *testing.T) {
			b := browser.New(t)
			req := w.ask(b, w.conn)
			arrived(t, w.post(b, w.conn, w.response(req, ada, idp.SAMLKnobs{})))
			refused(t, w.post(b, w.conn, w.response(req, bob, idp.SAMLKnobs{})), "SAML_IN_RESPONSE_TO")
		})
		t.Run("Q5 expired", func(t *testing.T) {
			b := browser.New(t)
			req := w.ask(b, w.conn)
			w.Clock.Advance(signin.FlowLifetime)
			refused(t, w.post(b, w.conn, w.response(req, ada, idp.SAMLKnobs{})), "SAML_IN_RESPONSE_TO")
		})
		t.Run("Q6 unsolicited", func(t *testing.T) {
			refused(t, w.answer(browser.New(t), ada, idp.SAMLKnobs{InResponseTo: idp.Omit}), "SAML_UNSOLICITED")
			w.logged(w.conn, signin.OutcomeFailure, "SAML_UNSOLICITED")
		})
		t.Run("Q7 Response and confirmation differ", func(t *testing.T) {
			for _, where := range []string{"//SubjectConfirmationData", "/Response"} {
				p := w.answer(browser.New(t), ada, idp.SAMLKnobs{Sign: idp.SignResponse, Mutate: func(d *etree.Document) {
					el := d.Root()
					if where != "/Response" {
						el = d.FindElement(where)
					}
					el.CreateAttr("InResponseTo", "_another")
				}})
				refused(t, p, "SAML_IN_RESPONSE_TO")
			}
		})
	})
}

// P1–P4: an assertion is used once.
func TestReplay(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		b := browser.New(t)
		req := w.ask(b, w.conn)
		doc := w.response(req, ada, idp.SAMLKnobs{})
		arrived(t, w.post(b, w.conn, doc))

		t.Run("P1 the same document", func(t *testing.T) {
			refused(t, w.post(b, w.conn, doc), "SAML_REPLAY")
			refused(t, w.post(browser.New(t), w.conn, doc), "SAML_REPLAY")
		})
		t.Run("P2 the same assertion in another Response", func(t *testing.T) {
			d := etree.NewDocument()
			if err := d.ReadFromBytes(doc); err != nil {
				t.Fatal(err)
			}
			d.Root().CreateAttr("ID", "_another")
			again, err := d.WriteToBytes()
			if err != nil {
				t.Fatal(err)
			}
			refused(t, w.post(b, w.conn, again), "SAML_REPLAY")
		})
		t.Run("P3 the same ID at another connection is another assertion", func(t *testing.T) {
			other := w.SAMLConnection(w.tenant, w.idp, func(n *tenants.NewSSOConnection) { n.AllowUnverifiedDomains = true })
			fixed := func(d *etree.Document) { d.FindElement("//Assertion").CreateAttr("ID", "_the-same") }
			b := browser.New(t)
			arrived(t, w.post(b, w.conn, w.response(w.ask(b, w.conn), bob, idp.SAMLKnobs{Mutate: fixed})))
			b = browser.New(t)
			carl := idp.Person{ID: "00u3", Email: "carl@acme.example"}
			arrived(t, w.post(b, other, w.response(w.ask(b, other), carl, idp.SAMLKnobs{Mutate: fixed})))
			b = browser.New(t)
			refused(t, w.post(b, w.conn, w.response(w.ask(b, w.conn), bob, idp.SAMLKnobs{Mutate: fixed})), "SAML_REPLAY")
		})
		t.Run("P4 fifty at once give one handle", func(t *testing.T) {
			b := browser.New(t)
			doc := w.response(w.ask(b, w.conn), ada, idp.SAMLKnobs{})
			before := w.Count(`SELECT COUNT(*) FROM sso_results`)
			form := url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString(doc)}}.Encode()
			c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			var mu sync.Mutex
			statuses := map[int]int{}
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					res, err := c.Post(w.acs(w.conn), "application/x-www-form-urlencoded", strings.NewReader(form))
					if err != nil {
						t.Error(err)
						return
					}
					res.Body.Close()
					mu.Lock()
					defer mu.Unlock()
					statuses[res.StatusCode]++
				})
			}
			wg.Wait()
			if statuses[http.StatusSeeOther] != 1 || statuses[http.StatusBadRequest] != 49 {
				t.Errorf("statuses %v", statuses)
			}
			if n := w.Count(`SELECT COUNT(*) FROM sso_results`) - before; n != 1 {
				t.Errorf("%d handles", n)
			}
		})
	})
}

// U7, R5: identity providers and addresses of other tenants (identity rule 6).
func TestOtherTenants(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		theirs := w.IdP(idp.Config{People: []idp.Person{ada}})
		globex := w.Tenant("globex", "globex.example")
		foreign := w.SAMLConnection(globex, theirs, func(n *tenants.NewSSOConnection) { n.AllowUnverifiedDomains = true })

		t.Run("U7 signed by another tenant's provider, in our provider's name", func(t *testing.T) {
			b := browser.New(t)
			doc, err := theirs.Response(w.ask(b, w.conn), ada, idp.SAMLKnobs{Issuer: w.idp.EntityID()})
			if err != nil {
				t.Fatal(err)
			}
			refused(t, w.post(b, w.conn, doc), "SAML_UNTRUSTED_KEY")
		})
		t.Run("U7 our provider, for another connection of the tenant", func(t *testing.T) {
			b := browser.New(t)
			other := w.SAMLConnection(w.tenant, w.idp)
			doc := w.response(w.ask(b, w.conn), ada, idp.SAMLKnobs{Audience: w.URL + "/saml/" + other.ID})
			refused(t, w.post(b, w.conn, doc), "SAML_AUDIENCE_MISMATCH")
		})
		t.Run("R5 at another tenant's ACS", func(t *testing.T) {
			b := browser.New(t)
			doc := w.response(w.ask(b, w.conn), ada, idp.SAMLKnobs{})
			refused(t, w.post(b, foreign, doc), "SAML_IN_RESPONSE_TO")
			arrived(t, w.post(b, w.conn, doc)) // it was not used up there
		})
		t.Run("one provider that two tenants trust", func(t *testing.T) {
			shared := w.SAMLConnection(globex, w.idp, func(n *tenants.NewSSOConnection) { n.AllowUnverifiedDomains = true })
			b := browser.New(t)
			req := w.ask(b, shared)
			doc := w.response(req, ada, idp.SAMLKnobs{})
			refused(t, w.post(b, w.conn, doc), "SAML_IN_RESPONSE_TO")
			hers := arrived(t, w.post(b, shared, doc))
			mine := arrived(t, browser.New(t).LogIn(w.start(w.conn), ada.ID))
			if hers.Tenant != globex || mine.Tenant != w.tenant || hers.User == mine.User {
				t.Errorf("%+v and %+v", hers, mine)
			}
		})
		t.Run("a login through another tenant's connection in a flow that names an organization", func(t *testing.T) {
			b := browser.New(t)
			p := b.Get(w.StartURL("organization", "acme"))
			flow := p.URL.Query().Get("flow")
			refused(t, b.Get(w.URL+"/saml/"+foreign.ID+"/login?flow="+flow), "SIGNIN_OTHER_ORGANIZATION")
		})
	})
}

// Z1–Z6: connection, tenant and person over HTTP; the page names the code.
func TestPolicyPages(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		t.Run("Z6 e-mail outside the verified domains", func(t *testing.T) {
			p := w.answer(browser.New(t), idp.Person{ID: "x", Email: "eve@elsewhere.example"}, idp.SAMLKnobs{})
			refused(t, p, "POLICY_EMAIL_DOMAIN")
			if strings.Contains(p.Body, "elsewhere") {
				t.Error("the page shows the address")
			}
			w.logged(w.conn, signin.OutcomeDenied, "POLICY_EMAIL_DOMAIN")
		})
		t.Run("Z1 disabled between request and response", func(t *testing.T) {
			b := browser.New(t)
			req := w.ask(b, w.conn)
			off, on := tenants.SSODisabled, tenants.SSOActive
			w.SetConnection(w.conn, tenants.SSOPatch{Status: &off})
			refused(t, w.post(b, w.conn, w.response(req, ada, idp.SAMLKnobs{})), "POLICY_CONNECTION_DISABLED")
			p := b.Get(w.StartURL("organization", "acme"))
			if !strings.Contains(p.Body, `action="/login/password"`) {
				t.Errorf("a connection that is switched off is still the way in: %s", p)
			}
			refused(t, b.Get(w.URL+"/saml/"+w.conn.ID+"/login?flow="+p.URL.Query().Get("flow")), "POLICY_CONNECTION_DISABLED")
			w.SetConnection(w.conn, tenants.SSOPatch{Status: &on})
		})
		t.Run("Z2 draft", func(t *testing.T) {
			draft := w.SAMLConnection(w.tenant, w.idp, func(n *tenants.NewSSOConnection) { n.Status = tenants.SSODraft })
			b := browser.New(t)
			p := b.Get(w.StartURL("organization", "acme"))
			refused(t, b.Get(w.URL+"/saml/"+draft.ID+"/login?flow="+p.URL.Query().Get("flow")), "POLICY_CONNECTION_DISABLED")
		})
		t.Run("Z4 link only", func(t *testing.T) {
			off, on := false, true
			w.SetConnection(w.conn, tenants.SSOPatch{JIT: &off})
			refused(t, w.answer(browser.New(t), bob, idp.SAMLKnobs{}), "POLICY_JIT_DISABLED")
			w.SetConnection(w.conn, tenants.SSOPatch{JIT: &on})
		})
		t.Run("Z3 tenant suspended", func(t *testing.T) {
			b := browser.New(t)
			req := w.ask(b, w.conn)
			w.Suspend(w.tenant)
			refused(t, w.post(b, w.conn, w.response(req, ada, idp.SAMLKnobs{})), "POLICY_TENANT_SUSPENDED")
			w.Exec(`UPDATE tenants SET status = 'active'`)
		})
	})
}

// sso 4, step 13: an unsolicited response is discarded, and the login begins anew
// where an application can take it.
func TestUnsolicited(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		b := browser.New(t)
		initiate := w.idp.Issuer() + "/saml/initiate?" + url.Values{"sp": {w.URL + "/saml/" + w.conn.ID}}.Encode()
		w.idp.AddServiceProvider(idp.ServiceProvider{EntityID: w.URL + "/saml/" + w.conn.ID, ACSURL: w.acs(w.conn)})
		refused(t, b.LogIn(initiate, ada.ID), "SAML_UNSOLICITED")
		refused(t, b.Get(w.URL+"/saml/"+w.conn.ID+"/login"), "SIGNIN_NO_DEFAULT_APPLICATION")

		w.Application(w.URL + "/oauth2/authorize?from=portal") // the rig's application starts a flow there
		undo := b.Stop()
		p := b.LogIn(initiate, ada.ID)
		undo()
		target, err := url.Parse(p.Header.Get("Location"))
		if err != nil || p.Status != http.StatusSeeOther {
			t.Fatalf("%v: %s", err, p)
		}
		v := target.Query()
		if !strings.HasPrefix(target.String(), w.URL+"/oauth2/authorize?") || v.Get("iss") != w.URL || v.Get("connection") != w.conn.ID || v.Get("from") != "portal" {
			t.Errorf("the browser is sent to %s", target)
		}
		if w.people() != [3]int{} {
			t.Error("an unsolicited response left rows")
		}
		a := arrived(t, b.LogIn(initiate, ada.ID))
		if a.Tenant != w.tenant {
			t.Errorf("%+v", a)
		}
		// A connection that is switched off sends nobody anywhere.
		off := tenants.SSODisabled
		w.SetConnection(w.conn, tenants.SSOPatch{Status: &off})
		refused(t, b.LogIn(initiate, ada.ID), "SAML_UNSOLICITED")
	})
}

// sso 4.1: 1,500 groups in one attribute.
func TestManyGroups(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		arrived(t, w.answer(browser.New(t), ada, idp.SAMLKnobs{GroupCount: 1500}))
		if n := w.Count(`SELECT COUNT(*) FROM identity_groups`); n != 1500 {
			t.Errorf("%d groups", n)
		}
		// Identity rule 8: overage is not "no groups".
		arrived(t, w.answer(browser.New(t), ada, idp.SAMLKnobs{EntraOverage: true}))
		if n := w.Count(`SELECT COUNT(*) FROM identity_groups`); n != 1500 {
			t.Errorf("%d groups after overage", n)
		}
		arrived(t, w.answer(browser.New(t), ada, idp.SAMLKnobs{}))
		if n := w.Count(`SELECT COUNT(*) FROM identity_groups`); n != 2 {
			t.Errorf("%d groups", n)
		}
	})
}

// A used assertion is forgotten when it could not be valid any more.
func TestPurgeReplays(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		w := newWorld(t, d)
		arrived(t, w.answer(browser.New(t), ada, idp.SAMLKnobs{}))
		for _, k := range []struct {
			after time.Duration
			left  int
		}{{0, 1}, {5*time.Minute + tenants.DefaultClockSkew - time.Second, 1}, {2 * time.Second, 0}} {
			w.Clock.Advance(k.after)
			if err := w.SAML.Purge(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := w.Count(`SELECT COUNT(*) FROM saml_replays`); n != k.left {
				t.Errorf("%v later %d rows, want %d", k.after, n, k.left)
			}
		}
	})
}

func certificate(t testing.TB, key *rsa.PrivateKey) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

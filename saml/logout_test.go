package saml_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/tenants"
)

const urnEmail = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"

// withLogout makes the connection take part in single logout, both sides
// knowing each other's keys.
func (w *world) withLogout() {
	w.t.Helper()
	w.change(func(s *tenants.SAMLSettings) { s.SLOURL, s.SLOBinding = w.idp.SLOURL(), tenants.BindingRedirect })
	w.register(w.conn, w.spKey(w.conn))
	w.change(func(s *tenants.SAMLSettings) { s.SignRequests = true })
}

func (w *world) entity() string { return w.URL + "/saml/" + w.conn.ID }

// login signs a person in, in a session of the identity provider.
func (w *world) login(p idp.Person, index string) {
	w.t.Helper()
	t := w.t.(*testing.T)
	b := browser.New(t)
	doc := w.response(w.ask(b, w.conn), p, idp.SAMLKnobs{SessionIndex: index})
	arrived(t, w.post(b, w.conn, doc))
}

// live lists the identity provider's names of the sessions that go on.
func (w *world) live() string {
	w.t.Helper()
	return strings.Join(w.Strings(`SELECT upstream FROM session_tenants WHERE ended_at IS NULL ORDER BY upstream`), " ")
}

// answered reads the LogoutResponse that the browser is sent away with, after the
// identity provider accepted its signature.
func (w *world) answered(b *browser.Browser, p browser.Page, requestID, status, relayState string) {
	w.t.Helper()
	target := p.Header.Get("Location")
	if p.Status != http.StatusSeeOther || !strings.HasPrefix(target, w.idp.SLOURL()+"?SAMLResponse=") {
		w.t.Fatalf("no answer to the identity provider: %s", p)
	}
	doc, err := inflated(target, "SAMLResponse")
	if err != nil {
		w.t.Fatal(err)
	}
	w.isAnswer(doc, requestID, status)
	u, err := url.Parse(target)
	if err != nil || u.Query().Get("RelayState") != relayState {
		w.t.Errorf("RelayState %q, %v", u.Query().Get("RelayState"), err)
	}
	if p := b.Get(target); p.Status != http.StatusOK || !strings.Contains(p.Body, "The application answered") {
		w.t.Errorf("the identity provider refuses the answer: %s", p)
	}
}

func (w *world) isAnswer(doc []byte, requestID, status string) {
	w.t.Helper()
	d := etree.NewDocument()
	if err := d.ReadFromBytes(doc); err != nil {
		w.t.Fatal(err)
	}
	codes := d.FindElements("//StatusCode")
	last := codes[len(codes)-1].SelectAttrValue("Value", "")
	if root := d.Root(); root.Tag != "LogoutResponse" || root.SelectAttrValue("InResponseTo", "") != requestID || root.SelectAttrValue("Destination", "") != w.idp.SLOURL() ||
		root.SelectElement("Issuer").Text() != w.entity() || !strings.HasSuffix(last, ":status:"+status) {
		w.t.Errorf("the answer: %s", doc)
	}
}

// asks brings a LogoutRequest by the Redirect binding, in a browser of its own: no
// cookie comes along.
func (w *world) asks(l idp.LogoutRequest) (*browser.Browser, browser.Page) {
	w.t.Helper()
	target, err := w.idp.LogoutURL(w.entity(), l)
	if err != nil {
		w.t.Fatal(err)
	}
	b := browser.New(w.t.(*testing.T))
	undo := b.Stop()
	p := b.Get(target)
	undo()
	return b, p
}

// A logout that begins at the identity provider ends the sessions that it names,
// for the person that it names, and is answered.
func TestLogoutFromIdP(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.withLogout()
		for _, index := range []string{"a1", "a2", "a3"} {
			w.login(ada, index)
		}
		w.login(bob, "b1")
		w.Exec(`INSERT INTO session_clients (environment_id, session_id, tenant_id, client_id, user_id, created_at)
			SELECT environment_id, session_id, tenant_id, 'app_1', user_id, 1 FROM session_tenants`)

		b, p := w.asks(idp.LogoutRequest{ID: "_1", NameIDFormat: urnEmail, NameID: ada.Email, SessionIndexes: []string{"a2"}, RelayState: "theirs &="})
		w.answered(b, p, "_1", "Success", "theirs &=")
		if got := w.live(); got != "a1 a3 b1" {
			t.Errorf("after one session's logout go on: %s", got)
		}
		if n := w.Count(`SELECT COUNT(*) FROM session_clients WHERE ended_at IS NOT NULL`); n != 1 {
			t.Errorf("%d applications are to be told", n)
		}
		if n := w.Count(`SELECT COUNT(*) FROM sessions WHERE ended_at IS NOT NULL AND end_reason = 'idp_logout'`); n != 1 {
			t.Errorf("%d sessions ended", n)
		}
		b, p = w.asks(idp.LogoutRequest{ID: "_2", NameIDFormat: urnEmail, NameID: ada.Email, SessionIndexes: []string{"gone", "b1"}})
		w.answered(b, p, "_2", "Success", "")
		if got := w.live(); got != "a1 a3 b1" {
			t.Errorf("after a logout of no session of hers go on: %s", got)
		}
		b, p = w.asks(idp.LogoutRequest{ID: "_3", NameIDFormat: urnEmail, NameID: ada.Email})
		w.answered(b, p, "_3", "Success", "")
		if got := w.live(); got != "b1" {
			t.Errorf("after a logout of all her sessions go on: %s", got)
		}
		b, p = w.asks(idp.LogoutRequest{ID: "_4", NameIDFormat: urnEmail, NameID: "nobody@acme.example"})
		w.answered(b, p, "_4", "UnknownPrincipal", "")
		if got := w.live(); got != "b1" {
			t.Errorf("after a logout of nobody go on: %s", got)
		}
		if n := w.Count(`SELECT COUNT(*) FROM audit_events WHERE tenant_id = $1 AND action = 'session.ended' AND actor_type = 'system'`, w.tenant); n != 2 {
			t.Errorf("%d events", n)
		}
	})
}

// The POST binding, whose signature is in the document.
func TestLogoutFromIdPByPost(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.withLogout()
		w.change(func(s *tenants.SAMLSettings) { s.SLOBinding = tenants.BindingPOST })
		w.login(ada, "a1")
		fields, err := w.idp.LogoutForm(w.entity(), idp.LogoutRequest{ID: "_1", NameIDFormat: urnEmail, NameID: ada.Email, SessionIndexes: []string{"a1"}, RelayState: "r"})
		if err != nil {
			t.Fatal(err)
		}
		b := browser.New(t)
		p := b.Post(w.entity()+"/slo", form(fields), w.idp.Issuer())
		action, answer, ok := p.Form()
		if !ok || action != w.idp.SLOURL() || answer.Get("RelayState") != "r" || w.live() != "" {
			t.Fatalf("sessions %q: %s", w.live(), p)
		}
		if p := b.Post(action, answer, p.Origin()); p.Status != http.StatusOK || !strings.Contains(p.Body, "answered Success") {
			t.Errorf("the identity provider refuses the answer: %s", p)
		}
	})
}

func form(fields [][2]string) url.Values {
	v := url.Values{}
	for _, f := range fields {
		v.Add(f[0], f[1])
	}
	return v
}

// A NameID means the same with the qualifiers that it would have anyhow, and
// without them (SAML core §8.3); any other qualifier is somebody else's.
func TestLogoutNameIDs(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.withLogout()
		for i, l := range []idp.LogoutRequest{
			{NameIDFormat: urnEmail, NameID: ada.Email, NameQualifier: w.idp.EntityID()},
			{NameIDFormat: urnEmail, NameID: ada.Email, SPNameQualifier: w.entity()},
			{NameIDFormat: urnEmail, NameID: ada.Email, NameQualifier: w.idp.EntityID(), SPNameQualifier: w.entity()},
		} {
			w.login(ada, "a")
			if w.asks(l); w.live() != "" {
				t.Errorf("%d: the session goes on", i)
			}
		}
		w.login(ada, "a")
		for i, l := range []idp.LogoutRequest{
			{NameIDFormat: urnEmail, NameID: ada.Email, NameQualifier: "https://evil.example"},
			{NameIDFormat: urnEmail, NameID: ada.Email, SPNameQualifier: "https://evil.example"},
			{NameIDFormat: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent", NameID: ada.Email},
			{NameID: ada.Email},
			{NameIDFormat: urnEmail, NameID: strings.ToUpper(ada.Email)},
		} {
			if w.asks(l); w.live() != "a" {
				t.Fatalf("%d: another person's logout ended the session", i)
			}
		}
	})
}

// L1–L6: what is not the identity provider's word, ends nothing and is not answered.
func TestLogoutAttacks(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.withLogout()
		w.login(ada, "a1")
		stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		good := idp.LogoutRequest{NameIDFormat: urnEmail, NameID: ada.Email}
		with := func(f func(*idp.LogoutRequest)) idp.LogoutRequest {
			l := good
			f(&l)
			return l
		}
		now := w.Clock.Now()
		for _, k := range []struct {
			name, redirect, post string
			l                    idp.LogoutRequest
		}{
			{"L1 unsigned", "SLO_UNSIGNED", "SLO_UNSIGNED", with(func(l *idp.LogoutRequest) { l.Unsigned = true })},
			{"L2 another key", "SLO_SIG", "SLO_UNTRUSTED_KEY", with(func(l *idp.LogoutRequest) { l.Key = stranger })},
			{"L4 expired", "SLO_EXPIRED", "SLO_EXPIRED", with(func(l *idp.LogoutRequest) { l.NotOnOrAfter = now.Add(-3 * time.Minute) })},
			{"L4 old", "SLO_ISSUED_TOO_LONG_AGO", "SLO_ISSUED_TOO_LONG_AGO", with(func(l *idp.LogoutRequest) { l.IssueInstant = now.Add(-time.Hour) })},
			{"another issuer", "SLO_ISSUER", "SLO_ISSUER", with(func(l *idp.LogoutRequest) { l.Issuer = "https://evil.example" })},
			{"another destination", "SLO_DESTINATION", "SLO_DESTINATION", with(func(l *idp.LogoutRequest) { l.Destination = w.acs(w.conn) })},
			{"no destination", "SLO_DESTINATION", "SLO_DESTINATION", with(func(l *idp.LogoutRequest) { l.Destination = idp.Omit })},
		} {
			_, p := w.asks(k.l)
			refused(t, p, k.redirect)
			fields, err := w.idp.LogoutForm(w.entity(), k.l)
			if err != nil {
				t.Fatal(err)
			}
			refused(t, browser.New(t).Post(w.entity()+"/slo", form(fields), w.idp.Issuer()), k.post)
			if w.live() != "a1" {
				t.Fatalf("%s ended the session", k.name)
			}
		}
		signed, err := w.idp.LogoutURL(w.entity(), with(func(l *idp.LogoutRequest) { l.ID, l.RelayState = "_once", "r" }))
		if err != nil {
			t.Fatal(err)
		}
		for name, change := range map[string]string{
			"L6 RelayState":           strings.Replace(signed, "RelayState=r", "RelayState=evil", 1),
			"L6 message twice":        signed + "&SAMLRequest=x",
			"L6 signature taken away": strings.Split(signed, "&SigAlg=")[0],
		} {
			b := browser.New(t)
			undo := b.Stop()
			p := b.Get(change)
			undo()
			if p.Status != http.StatusBadRequest || !strings.Contains(p.Body, ">SLO_") || w.live() != "a1" {
				t.Errorf("%s: %s", name, p)
			}
		}
		// The order of parameters is nobody's to sign: the octets of each are.
		u, err := url.Parse(signed)
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(u.RawQuery, "&")
		u.RawQuery = strings.Join([]string{parts[3], parts[1], parts[2], parts[0]}, "&")
		b := browser.New(t)
		undo := b.Stop()
		p := b.Get(u.String())
		undo()
		if w.live() != "" || p.Status != http.StatusSeeOther {
			t.Errorf("L6 reordered: %q, %s", w.live(), p)
		}
		w.login(ada, "a2")
		refused(t, browser.New(t).Get(signed), "SLO_REPLAY") // L3
		if w.live() != "a2" {
			t.Error("L3 a replay ended a session")
		}
		if n := w.Count(`SELECT COUNT(*) FROM audit_events WHERE tenant_id = $1 AND action = 'logout.failed' AND outcome = 'failure'`, w.tenant); n < 15 {
			t.Errorf("%d events", n)
		}
	})
}

// L2: another tenant's provider, at its own connection, ends its own sessions only.
func TestLogoutOfOtherTenant(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.withLogout()
		w.login(ada, "a1")
		theirs := &world{Rig: w.Rig, t: t, idp: w.IdP(idp.Config{People: []idp.Person{ada}})}
		theirs.tenant = w.Tenant("globex", "globex.example")
		theirs.conn = w.SAMLConnection(theirs.tenant, theirs.idp, func(n *tenants.NewSSOConnection) { n.AllowUnverifiedDomains = true })
		theirs.withLogout()
		theirs.login(ada, "a1")
		if w.live() != "a1 a1" {
			t.Fatal(w.live())
		}
		theirs.asks(idp.LogoutRequest{NameIDFormat: urnEmail, NameID: ada.Email, SessionIndexes: []string{"a1"}})
		if got := w.Strings(`SELECT tenant_id FROM session_tenants WHERE ended_at IS NULL`); len(got) != 1 || got[0] != w.tenant {
			t.Errorf("%q", got)
		}
		// Their word about our connection is nobody's.
		theirs.idp.AddServiceProvider(idp.ServiceProvider{EntityID: w.entity(), ACSURL: w.acs(w.conn), SLOURL: w.entity() + "/slo"})
		target, err := theirs.idp.LogoutURL(w.entity(), idp.LogoutRequest{NameIDFormat: urnEmail, NameID: ada.Email, Issuer: w.idp.EntityID()})
		if err != nil {
			t.Fatal(err)
		}
		refused(t, browser.New(t).Get(target), "SLO_SIG")
		if w.live() != "a1" {
			t.Error("another tenant's provider ended the session")
		}
	})
}

// What is no logout message by either binding.
func TestLogoutForms(t *testing.T) {
	w := once(t)
	w.withLogout()
	b := browser.New(t)
	slo := w.entity() + "/slo"
	for name, k := range map[string]struct {
		form url.Values
		code string
	}{
		"nothing":         {url.Values{}, "SLO_HTTP_FORM"},
		"both":            {url.Values{"SAMLRequest": {"QUFB"}, "SAMLResponse": {"QUFB"}}, "SLO_HTTP_FORM"},
		"two":             {url.Values{"SAMLRequest": {"QUFB", "QUFB"}}, "SLO_HTTP_FORM"},
		"two RelayStates": {url.Values{"SAMLRequest": {"QUFB"}, "RelayState": {"a", "b"}}, "SLO_HTTP_FORM"},
		"not base64":      {url.Values{"SAMLRequest": {"!"}}, "SLO_HTTP_FORM"},
		"large":           {url.Values{"SAMLRequest": {strings.Repeat("QUFB", 100_000)}}, "SLO_HTTP_FORM"},
		"not XML":         {url.Values{"SAMLRequest": {"QUFB"}}, "SLO_XML_PROFILE"},
		"response":        {url.Values{"SAMLResponse": {"QUFB"}}, "SLO_XML_PROFILE"},
	} {
		p := b.Post(slo, k.form, w.idp.Issuer())
		if p.Status != http.StatusBadRequest || !strings.Contains(p.Body, ">"+k.code+"<") {
			t.Errorf("%s: %s", name, p)
		}
	}
	refused(t, b.Get(slo), "SLO_QUERY")
	w.change(func(s *tenants.SAMLSettings) { s.SLOURL, s.SLOResponseURL = "", "" })
	_, p := w.asks(idp.LogoutRequest{NameIDFormat: urnEmail, NameID: ada.Email})
	refused(t, p, "SLO_DISABLED")
}

// L3 at once: of copies of one LogoutRequest one is answered.
func TestLogoutReplayAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.withLogout()
		w.login(ada, "a1")
		target, err := w.idp.LogoutURL(w.entity(), idp.LogoutRequest{NameIDFormat: urnEmail, NameID: ada.Email})
		if err != nil {
			t.Fatal(err)
		}
		c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		var mu sync.Mutex
		statuses := map[int]int{}
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				res, err := c.Get(target)
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
		if statuses[http.StatusSeeOther] != 1 || statuses[http.StatusBadRequest] != 49 || w.live() != "" {
			t.Errorf("statuses %v, sessions %q", statuses, w.live())
		}
		if n := w.Count(`SELECT COUNT(*) FROM audit_events WHERE action = 'session.ended'`); n != 1 {
			t.Errorf("%d events", n)
		}
	})
}

package saml_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/mail"
	"github.com/gatehouse-id/gatehouse/internal/safehttp"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/saml"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// site publishes an identity provider's metadata.
type site struct {
	URL string

	mu        sync.Mutex
	doc       func() []byte
	answer    http.HandlerFunc // instead of the document
	asked     int
	unchanged int // answers 304
}

func publish(t *testing.T, doc func() []byte) *site {
	t.Helper()
	s := &site{doc: doc}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL + "/metadata"
	return s
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.answer != nil {
		s.answer(w, r)
		return
	}
	doc := s.doc()
	etag := fmt.Sprintf(`"%x"`, sha256.Sum256([]byte(doc)))
	w.Header().Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		s.unchanged++
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", "application/samlmetadata+xml")
	_, _ = w.Write(doc)
}

func (s *site) set(doc func() []byte, answer http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if doc != nil {
		s.doc = doc
	}
	s.answer = answer
}

func (s *site) counts() [2]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return [2]int{s.asked, s.unchanged}
}

// follow lets the connection read its metadata at a site.
func (w *world) follow() *site {
	w.t.Helper()
	s := publish(w.t.(*testing.T), w.idp.Metadata)
	w.followURL(w.Vendor, s.URL)
	return s
}

func (w *world) followURL(a actor.Actor, address string) {
	w.t.Helper()
	w.Tx(func(q db.Queryer) error {
		return w.Tenants.SetMetadataURL(w.t.Context(), a, q, w.tenant, w.conn.ID, address)
	})
}

func (w *world) refreshDue() {
	w.t.Helper()
	if err := w.SAML.RefreshDue(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) metadata() tenants.Metadata {
	w.t.Helper()
	m, err := w.Tenants.Metadata(w.t.Context(), w.DB, w.tenant, w.conn.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// idpKeys counts the connection's trusted and pending keys.
func (w *world) idpKeys() [2]int {
	w.t.Helper()
	list, err := w.Tenants.IdPKeys(w.t.Context(), w.DB, w.tenant, w.conn.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	var n [2]int
	for _, k := range list {
		if k.Status == tenants.KeyTrusted {
			n[0]++
		} else {
			n[1]++
		}
	}
	return n
}

// mails takes the mails that wait to be sent.
func (w *world) mails() []mail.Message {
	w.t.Helper()
	var list []mail.Message
	for _, payload := range w.Strings(`SELECT payload FROM jobs WHERE kind = 'mail.send' ORDER BY run_at, id`) {
		var m mail.Message
		if err := json.Unmarshal([]byte(payload), &m); err != nil {
			w.t.Fatal(err)
		}
		list = append(list, m)
	}
	w.Exec(`DELETE FROM jobs WHERE kind = 'mail.send'`)
	return list
}

// admin lets somebody who signed in once mend the tenant's connections.
func (w *world) admin(p idp.Person) {
	w.t.Helper()
	arrived(w.t, browser.New(w.t).LogIn(w.start(w.conn), p.ID))
	member := w.Strings(`SELECT id FROM memberships WHERE tenant_id = $1 AND email = $2`, w.tenant, p.Email)[0]
	role := w.Strings(`SELECT id FROM roles WHERE environment_id = $1 AND key = $2`, w.Env.ID, rbac.AdminKey)[0]
	w.Tx(func(q db.Queryer) error {
		return w.RBAC.AssignRoles(w.t.Context(), w.Vendor, q, w.tenant, member, []string{role})
	})
}

func (w *world) daily() { w.Clock.Advance(27 * time.Hour) }

func TestRefreshDue(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.follow()
		w.refreshDue()
		w.refreshDue()
		if got := s.counts(); got != [2]int{1, 0} {
			t.Fatalf("asked %v", got)
		}
		w.daily()
		w.refreshDue()
		if got, m := s.counts(), w.metadata(); got != [2]int{2, 1} || m.Error != "" || !m.FetchedAt.Equal(w.Clock.Now()) {
			t.Fatalf("asked %v, %+v", got, m)
		}
		if err := w.idp.RotateSAMLKey(true); err != nil {
			t.Fatal(err)
		}
		w.daily()
		w.refreshDue()
		if got, m := s.counts(), w.metadata(); got != [2]int{3, 1} || w.idpKeys() != [2]int{2, 0} {
			t.Fatalf("asked %v, keys %v, %+v", got, w.idpKeys(), m)
		}
		arrived(t, browser.New(t).LogIn(w.start(w.conn), ada.ID))
	})
}

// Replicas that find the same rows due ask once.
func TestRefreshDueOnReplicas(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.follow()
		for i := range 3 {
			w.daily()
			var work sync.WaitGroup
			for range 4 {
				replica := saml.New(saml.Deps{
					DB: w.DB, Tenants: w.Tenants, Signin: w.Signin, Clock: w.Clock, Log: slog.New(slog.DiscardHandler),
					Fetch: safehttp.New(safehttp.Options{AllowPrivate: true}),
				})
				work.Go(func() {
					if err := replica.RefreshDue(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			work.Wait()
			if got := s.counts()[0]; got != i+1 {
				t.Fatalf("asked %d times, want %d", got, i+1)
			}
		}
	})
}

func edited(w *world, f func(*etree.Document)) func() []byte {
	return func() []byte {
		d := etree.NewDocument()
		if err := d.ReadFromBytes(w.idp.Metadata()); err != nil {
			w.t.Fatal(err)
		}
		f(d)
		out, err := d.WriteToBytes()
		if err != nil {
			w.t.Fatal(err)
		}
		return out
	}
}

// sso 5.1, M1–M8: what a refresh refuses keeps what is trusted, and its code is told.
func TestRefreshRefuses(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.follow()
		w.refreshDue()
		refused := func(name, code string, doc func() []byte, answer http.HandlerFunc) {
			t.Helper()
			s.set(doc, answer)
			before := w.metadata()
			w.Clock.Advance(w.metadata().NextAt.Sub(w.Clock.Now()))
			w.refreshDue()
			m := w.metadata()
			if m.Error != code || m.Failures != before.Failures+1 || !m.FetchedAt.Equal(before.FetchedAt) || !m.TriedAt.Equal(w.Clock.Now()) || !m.NextAt.After(w.Clock.Now()) {
				t.Errorf("%s: %+v, want %s", name, m, code)
			}
			if w.idpKeys() != [2]int{1, 0} {
				t.Errorf("%s: keys %v", name, w.idpKeys())
			}
			s.set(w.idp.Metadata, nil)
			_, _, err := w.SAML.FetchMetadata(t.Context(), s.URL)
			if err != nil {
				t.Fatal(err)
			}
		}
		refusedDoc := func(name, code string, f func(*etree.Document)) {
			t.Helper()
			refused(name, code, edited(w, f), nil)
		}
		attr := func(path, name, value string) func(*etree.Document) {
			return func(d *etree.Document) { d.FindElement(path).CreateAttr(name, value) }
		}
		text := func(doc string) http.HandlerFunc {
			return func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte(doc)) }
		}
		root := strings.TrimPrefix(string(w.idp.Metadata()), `<?xml version="1.0" encoding="UTF-8"?>`)

		refused("M2 two entities", "METADATA_SEVERAL_ENTITIES", nil, text(`<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata">`+root+root+`</md:EntitiesDescriptor>`))
		refusedDoc("M3 another entity", "METADATA_ENTITY_CHANGED", attr("//EntityDescriptor", "entityID", "https://evil.example"))
		refusedDoc("M4 past", "METADATA_EXPIRED", attr("//EntityDescriptor", "validUntil", "2026-02-01T00:00:00Z"))
		refusedDoc("M5 javascript", "METADATA_BAD_LOCATION", attr("//SingleSignOnService", "Location", "javascript:alert(1)"))
		refused("M6 50 MB", "METADATA_FETCH_TOO_LARGE", nil, func(rw http.ResponseWriter, _ *http.Request) {
			chunk := []byte(strings.Repeat(" ", 1<<20))
			for range 50 {
				if _, err := rw.Write(chunk); err != nil {
					return
				}
			}
		})
		refused("M7 DOCTYPE", "METADATA_NOT_XML", nil, text(`<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>`+root))
		refused("M8 redirect", "METADATA_FETCH_REDIRECT", nil, func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "http://169.254.169.254/latest/meta-data/", http.StatusFound)
		})
		refused("a page", "METADATA_NO_IDP", nil, text(`<html xmlns="http://www.w3.org/1999/xhtml"><body>Sign in</body></html>`))
		refused("an error", "METADATA_FETCH_STATUS", nil, func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, root, http.StatusInternalServerError) })
		refused("304 that nobody asked for", "METADATA_FETCH_STATUS", nil, func(rw http.ResponseWriter, r *http.Request) {
			r.Header.Del("If-None-Match")
			rw.WriteHeader(http.StatusNoContent)
		})

		// M1: a key without use signs (CVE-2026-16443), and a good answer ends the failures.
		if err := w.idp.RotateSAMLKey(true); err != nil {
			t.Fatal(err)
		}
		s.set(edited(w, func(d *etree.Document) {
			for _, k := range d.FindElements("//KeyDescriptor") {
				k.RemoveAttr("use")
			}
		}), nil)
		w.Clock.Advance(w.metadata().NextAt.Sub(w.Clock.Now()))
		w.refreshDue()
		if m := w.metadata(); m.Error != "" || m.Failures != 0 || w.idpKeys() != [2]int{2, 0} {
			t.Errorf("M1: %+v, keys %v", m, w.idpKeys())
		}
	})
}

// M5 and M8 of a production installation: plain http is no address, and the
// machine's own network is not reached.
func TestFetchMetadataRefuses(t *testing.T) {
	w := once(t)
	strict := saml.New(saml.Deps{DB: w.DB, Tenants: w.Tenants, Signin: w.Signin, Clock: w.Clock, Log: slog.New(slog.DiscardHandler), Fetch: safehttp.New(safehttp.Options{})})
	s := publish(t, w.idp.Metadata)
	for address, code := range map[string]string{
		s.URL: "fetch_refused_url", strings.Replace(s.URL, "http://", "https://", 1): "fetch_refused_address",
		"https://169.254.169.254/latest/meta-data/": "fetch_refused_address", "file:///etc/passwd": "fetch_refused_url", "https://": "fetch_refused_url", ":": "fetch_refused_url",
	} {
		_, _, err := strict.FetchMetadata(t.Context(), address)
		var f *fault.Error
		if !errors.As(err, &f) || f.Code != code || f.Field != "idp_metadata_url" {
			t.Errorf("%s: %v, want %s", address, err, code)
		}
	}
	if s.counts()[0] != 0 {
		t.Error("it was asked")
	}
	settings, etag, err := w.SAML.FetchMetadata(t.Context(), s.URL)
	if err != nil || etag == "" || settings.IdPEntityID != w.idp.EntityID() || len(settings.Keys) != 1 {
		t.Errorf("%+v, %q, %v", settings, etag, err)
	}
}

// sso 2.1: a key that metadata of another host brings waits for somebody, who is
// told by mail, once.
func TestPendingKey(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.admin(ada)
		arrived(t, browser.New(t).LogIn(w.start(w.conn), bob.ID)) // who is not
		w.follow()
		w.refreshDue()
		other := publish(t, w.idp.Metadata)
		w.followURL(actor.Actor{Environment: w.Env.ID, Tenant: w.tenant, Kind: actor.User, Subject: "usr_x"}, other.URL)
		if err := w.idp.RotateSAMLKey(true); err != nil {
			t.Fatal(err)
		}
		w.refreshDue()
		mails := w.mails()
		if w.idpKeys() != [2]int{1, 1} || len(mails) != 1 || mails[0].To.Email != ada.Email {
			t.Fatalf("keys %v, mails %+v", w.idpKeys(), mails)
		}
		spki := w.Strings(`SELECT spki FROM sso_idp_keys WHERE status = 'pending'`)[0]
		for _, part := range []string{spki, other.URL, w.conn.ID, "approve"} {
			if !strings.Contains(mails[0].Text, part) || !strings.Contains(mails[0].HTML, part) {
				t.Errorf("the mail lacks %q:\n%s", part, mails[0].Text)
			}
		}
		w.daily()
		w.refreshDue()
		if len(w.mails()) != 0 {
			t.Error("told twice")
		}
		refused(t, w.answer(browser.New(t), ada, idp.SAMLKnobs{}), "SAML_UNTRUSTED_KEY")
		w.Tx(func(q db.Queryer) error {
			return w.Tenants.ApproveIdPKey(t.Context(), w.Vendor, q, w.tenant, w.conn.ID, spki)
		})
		arrived(t, w.answer(browser.New(t), ada, idp.SAMLKnobs{}))
	})
}

// sso 2.1: what a trusted key signed is trusted, wherever it came from; what
// stands around the signed part is not read.
func TestSignedMetadata(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		w.idp = w.IdP(idp.Config{People: []idp.Person{ada}, SAMLKey: first})
		w.tenant = w.Tenant("signed", "signed.example")
		w.conn = w.SAMLConnection(w.tenant, w.idp)
		own := w.follow()
		w.refreshDue()
		sign := func(key *rsa.PrivateKey) func() []byte {
			return func() []byte { return signedMetadata(t, w.idp.Metadata(), key, w.idp.Certificates()[0].Raw) }
		}
		stranger, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.idp.RotateSAMLKey(true); err != nil {
			t.Fatal(err)
		}
		other := publish(t, sign(stranger))
		w.followURL(actor.Actor{Environment: w.Env.ID, Tenant: w.tenant, Kind: actor.User, Subject: "usr_x"}, other.URL)
		w.refreshDue()
		if got := w.idpKeys(); got != [2]int{1, 1} {
			t.Errorf("signed by a stranger: keys %v", got)
		}
		other.set(func() []byte {
			return []byte(strings.Replace(string(sign(first)()), "/saml/sso", "/evil/sso", 1))
		}, nil)
		w.daily()
		w.refreshDue()
		if got, m := w.idpKeys(), w.metadata(); got != [2]int{1, 1} || m.Error != "METADATA_ADDRESS_CHANGED" {
			t.Errorf("changed after signing: keys %v, %+v", got, m)
		}
		other.set(func() []byte { return append([]byte("\uFEFF"), sign(first)()...) }, nil) // as Entra ID begins its document
		w.daily()
		w.refreshDue()
		if got, m := w.idpKeys(), w.metadata(); got != [2]int{2, 0} || m.Error != "" || "http://"+m.TrustedHost+"/metadata" != own.URL {
			t.Errorf("signed by a trusted key: keys %v, %+v, not %s", got, m, own.URL)
		}
	})
}

func signedMetadata(t *testing.T, doc []byte, key *rsa.PrivateKey, certificate []byte) []byte {
	t.Helper()
	d := etree.NewDocument()
	if err := d.ReadFromBytes(doc); err != nil {
		t.Fatal(err)
	}
	d.Root().CreateAttr("ID", "_m1")
	c, err := dsig.NewSigningContext(key, [][]byte{certificate})
	if err != nil {
		t.Fatal(err)
	}
	c.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	if err := c.SetSignatureMethod(dsig.RSASHA256SignatureMethod); err != nil {
		t.Fatal(err)
	}
	signature, err := c.ConstructSignature(d.Root(), true)
	if err != nil {
		t.Fatal(err)
	}
	d.Root().InsertChildAt(0, signature) // SAML metadata §2.3.2: before everything else
	out, err := d.WriteToBytes()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// After a week without usable metadata somebody is told, once; logins go on.
func TestRefreshFailsForAWeek(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.admin(ada)
		s := w.follow()
		w.refreshDue()
		s.set(nil, func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "no", http.StatusBadGateway) })
		var mails []mail.Message
		end := w.Clock.Now().AddDate(0, 0, 20)
		for w.Clock.Now().Before(end) {
			w.Clock.Advance(time.Hour)
			w.refreshDue()
			mails = append(mails, w.mails()...)
		}
		if len(mails) != 1 || !strings.Contains(mails[0].Text, "METADATA_FETCH_STATUS") {
			t.Errorf("mails %+v", mails)
		}
		if got := s.counts()[0]; got > 30 { // 1, 2, 4, 8, 16 hours and then daily
			t.Errorf("asked %d times", got)
		}
		arrived(t, browser.New(t).LogIn(w.start(w.conn), ada.ID))
	})
}

// A key that appears without notice is learnt by the first login that it signs.
func TestUnknownKey(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.follow()
		w.refreshDue()
		if err := w.idp.RotateSAMLKey(false); err != nil {
			t.Fatal(err)
		}
		arrived(t, browser.New(t).LogIn(w.start(w.conn), ada.ID))
		if got := s.counts(); got != [2]int{2, 0} || w.idpKeys() != [2]int{1, 0} {
			t.Errorf("asked %v, keys %v", got, w.idpKeys())
		}

		// Whoever sends many unknown keys has it asked once in ten minutes.
		stranger := testIdP(t)
		forged := func() {
			t.Helper()
			b := browser.New(t)
			req := w.ask(b, w.conn)
			doc, err := stranger.Response(req, ada, idp.SAMLKnobs{Issuer: w.idp.EntityID()})
			if err != nil {
				t.Fatal(err)
			}
			refused(t, w.post(b, w.conn, doc), "SAML_UNTRUSTED_KEY")
		}
		forged()
		forged()
		if got := s.counts()[0]; got != 2 {
			t.Errorf("asked %d times", got)
		}
		w.Clock.Advance(10 * time.Minute)
		forged()
		forged()
		if got := s.counts()[0]; got != 3 {
			t.Errorf("asked %d times", got)
		}
		if w.idpKeys() != [2]int{1, 0} {
			t.Errorf("keys %v", w.idpKeys())
		}
	})
}

// Logins that the new key signs at the same moment wait for one refresh.
func TestUnknownKeyAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.follow()
		w.refreshDue()
		if err := w.idp.RotateSAMLKey(false); err != nil {
			t.Fatal(err)
		}
		w.Clock.Advance(time.Second) // after the refresh before
		const logins = 6
		var browsers [logins]*browser.Browser
		var docs [logins][]byte
		for i := range logins {
			browsers[i] = browser.New(t)
			docs[i] = w.response(w.ask(browsers[i], w.conn), ada, idp.SAMLKnobs{})
		}
		var pages [logins]browser.Page
		var work sync.WaitGroup
		for i := range logins {
			work.Go(func() { pages[i] = w.post(browsers[i], w.conn, docs[i]) })
		}
		work.Wait()
		for _, p := range pages {
			arrived(t, p)
		}
		if got := s.counts()[0]; got != 2 {
			t.Errorf("asked %d times", got)
		}
	})
}

func TestRefreshMetadataByHand(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		refresh := func(tenant, connection string) (tenants.Metadata, string) {
			m, err := w.SAML.RefreshMetadata(t.Context(), w.Vendor, tenant, connection)
			if err != nil && fault.CodeOf(err) == "" {
				t.Fatal(err)
			}
			return m, fault.CodeOf(err)
		}
		if _, code := refresh(w.tenant, w.conn.ID); code != "no_metadata_url" {
			t.Errorf("code %s", code)
		}
		if _, code := refresh("ten_other", w.conn.ID); code != "connection_not_found" {
			t.Errorf("code %s", code)
		}
		s := w.follow()
		if m, code := refresh(w.tenant, w.conn.ID); code != "" || m.ETag == "" || m.Error != "" {
			t.Errorf("%+v, %s", m, code)
		}
		s.set(nil, func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusNotFound) })
		if m, code := refresh(w.tenant, w.conn.ID); code != "" || m.Error != "METADATA_FETCH_STATUS" || m.Failures != 1 {
			t.Errorf("%+v, %s", m, code)
		}
		// A stop in the middle is not the address's failure.
		ctx, cancel := context.WithCancel(t.Context())
		s.set(nil, func(http.ResponseWriter, *http.Request) { cancel() })
		if _, err := w.SAML.RefreshMetadata(ctx, w.Vendor, w.tenant, w.conn.ID); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if m := w.metadata(); m.Failures != 1 {
			t.Errorf("%+v", m)
		}
	})
}

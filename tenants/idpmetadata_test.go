package tenants

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

const metadataAt = "https://idp.example/metadata"

// followed is an active connection that follows metadata.
type followed struct {
	*fixture
	tenant string
	c      SSOConnection
	keys   []IdPKey // known beforehand, the first one trusted by hand
}

func follow(t *testing.T, d db.DB) *followed {
	t.Helper()
	f := &followed{fixture: newFixture(t, d)}
	f.tenant = f.fixture.tenant(NewTenant{Key: "acme", Name: "Acme"}).ID
	for range 4 {
		f.keys = append(f.keys, f.key(start.AddDate(1, 0, 0)))
	}
	settings := f.saml()
	settings.Keys = f.keys[:1]
	f.tx(func(q db.Queryer) (err error) {
		f.c, err = f.s.CreateSSOConnection(t.Context(), f.admin, q, f.tenant, NewSSOConnection{Type: SAML, Name: "IdP", Status: SSOActive, SAML: settings})
		return err
	})
	f.setURL(f.admin, metadataAt)
	return f
}

func (f *followed) setURL(a actor.Actor, address string) {
	f.Helper()
	f.tx(func(q db.Queryer) error { return f.s.SetMetadataURL(f.Context(), a, q, f.tenant, f.c.ID, address) })
}

func (f *followed) doc(keys ...IdPKey) MetadataDocument {
	return MetadataDocument{
		URL: f.metadata().URL, ETag: `"1"`, Settings: SAMLSettings{IdPEntityID: "https://idp.example/entity", Keys: keys},
		SSO: []Endpoint{{Binding: BindingRedirect, Location: "https://idp.example/sso"}},
	}
}

func (f *followed) apply(d MetadataDocument) (out MetadataChange) {
	f.Helper()
	f.tx(func(q db.Queryer) (err error) {
		out, err = f.s.ApplyMetadata(f.Context(), actor.Actor{Environment: f.env.ID, Kind: actor.System}, q, f.tenant, f.c.ID, d)
		return err
	})
	return out
}

func (f *followed) metadata() Metadata {
	f.Helper()
	m, err := f.s.Metadata(f.Context(), f.d, f.tenant, f.c.ID)
	if err != nil {
		f.Fatal(err)
	}
	return m
}

func (f *followed) connection() SSOConnection {
	f.Helper()
	c, err := f.s.SSOConnection(f.Context(), f.d, f.tenant, f.c.ID)
	if err != nil {
		f.Fatal(err)
	}
	return c
}

// holds asserts the keys, written as their place in f.keys with T or P for the
// status and m for those that metadata brought.
func (f *followed) holds(want string) {
	f.Helper()
	list, err := f.s.IdPKeys(f.Context(), f.d, f.tenant, f.c.ID)
	if err != nil {
		f.Fatal(err)
	}
	var got []string
	for i, k := range f.keys {
		for _, s := range list {
			if s.SPKI != k.SPKI {
				continue
			}
			text := string(rune('0'+i)) + strings.ToUpper(s.Status[:1])
			if s.Source == SourceMetadata {
				text += "m"
			}
			got = append(got, text)
		}
	}
	if len(got) != len(list) || strings.Join(got, " ") != want {
		f.Errorf("keys %q of %d, want %q", got, len(list), want)
	}
	for _, k := range f.connection().SAML.Keys {
		if !slices.ContainsFunc(list, func(s StoredIdPKey) bool { return s.SPKI == k.SPKI && s.Status == KeyTrusted }) {
			f.Errorf("a key is in use that is not trusted")
		}
	}
}

func (f *followed) events(action string) int64 {
	f.Helper()
	return f.count(`SELECT COUNT(*) FROM audit_events WHERE tenant_id = $1 AND action = $2`, f.tenant, action)
}

// sso 2.1: what the trusted host publishes is trusted, and what it takes away goes.
func TestMetadataOfTheTrustedHost(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := follow(t, d)
		if m := f.metadata(); m.TrustedHost != "idp.example" || !m.FetchedAt.IsZero() || !m.NextAt.Equal(start) {
			t.Errorf("%+v", m)
		}
		out := f.apply(f.doc(f.keys[0], f.keys[1]))
		f.holds("0Tm 1Tm") // the first document takes over what was given with the address
		if len(out.Trusted) != 1 || !out.Keys() || f.events("sso_idp_key.trusted") != 1 {
			t.Errorf("%+v", out)
		}
		m := f.metadata()
		if m.ETag != `"1"` || !m.FetchedAt.Equal(start) || m.NextAt.Before(start.Add(21*time.Hour+36*time.Minute)) || m.NextAt.After(start.Add(26*time.Hour+24*time.Minute)) {
			t.Errorf("%+v", m)
		}
		if out := f.apply(f.doc(f.keys[0], f.keys[1])); out.Keys() || len(out.Pending) > 0 || out.Settings {
			t.Errorf("the same again: %+v", out)
		}
		if !f.metadata().NextAt.Equal(m.NextAt) {
			t.Error("the jitter of a connection is always the same")
		}

		// A key by hand stays; the metadata's leave with it.
		settings := *f.connection().SAML
		settings.Keys = append(slices.Clone(settings.Keys), f.keys[2])
		f.tx(func(q db.Queryer) error {
			_, err := f.s.UpdateSSOConnection(t.Context(), f.admin, q, f.tenant, f.c.ID, SSOPatch{SAML: &settings})
			return err
		})
		f.holds("0Tm 1Tm 2T")
		if f.metadata().ETag != "" {
			t.Error("after a change by hand the document is read in full")
		}
		out = f.apply(f.doc(f.keys[1]))
		f.holds("1Tm 2T")
		if len(out.Removed) != 1 || f.events("sso_idp_key.removed") != 1 {
			t.Errorf("%+v", out)
		}

		// The same key in a new certificate gets the new date, and its warnings anew.
		f.tx(func(q db.Queryer) error {
			_, err := q.Exec(t.Context(), `UPDATE sso_idp_keys SET warned_days = 60 WHERE tenant_id = $1`, f.tenant)
			return err
		})
		again := f.keys[1]
		again.NotAfter = start.AddDate(3, 0, 0)
		f.apply(f.doc(again))
		if n := f.count(`SELECT COUNT(*) FROM sso_idp_keys WHERE tenant_id = $1 AND spki = $2 AND not_after = $3 AND warned_days IS NULL`, f.tenant, again.SPKI, db.At(again.NotAfter)); n != 1 {
			t.Error("the new certificate is not stored")
		}
		f.setURL(f.admin, "")
		if f.metadata() != (Metadata{}) {
			t.Errorf("%+v", f.metadata())
		}
	})
}

// sso 2.1: from elsewhere keys wait for somebody, and nothing else happens.
func TestMetadataOfAnotherHost(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := follow(t, d)
		f.apply(f.doc(f.keys[0]))
		f.setURL(f.user(f.tenant), "https://other.example/metadata")
		if m := f.metadata(); m.TrustedHost != "idp.example" || m.ETag != "" {
			t.Fatalf("%+v", m)
		}
		doc := f.doc(f.keys[1])
		doc.SSO[0].Location = "https://other.example/sso"
		out := f.apply(doc)
		f.holds("0Tm 1Pm")
		if len(out.Pending) != 1 || out.Keys() || !out.Held || f.events("sso_idp_key.pending") != 1 || f.events("sso_metadata.failing") != 1 {
			t.Errorf("%+v", out)
		}
		if c := f.connection(); c.SAML.SSOURL != "https://idp.example/sso" || len(c.SAML.Keys) != 1 {
			t.Errorf("%+v", c.SAML)
		}
		if m := f.metadata(); m.Error != CodeAddressChanged || m.ETag != "" {
			t.Errorf("%+v", m)
		}
		if out := f.apply(doc); out.Held || len(out.Pending) > 0 {
			t.Errorf("told twice: %+v", out)
		}

		// A pending key survives a change of the settings, and goes when it is published no more.
		settings := *f.connection().SAML
		f.tx(func(q db.Queryer) error {
			_, err := f.s.UpdateSSOConnection(t.Context(), f.admin, q, f.tenant, f.c.ID, SSOPatch{SAML: &settings})
			return err
		})
		f.holds("0Tm 1Pm")
		next := f.doc(f.keys[2])
		next.SSO = doc.SSO
		f.apply(next)
		f.holds("0Tm 2Pm")

		f.want("key_not_found", func(q db.Queryer) error {
			return f.s.ApproveIdPKey(t.Context(), f.admin, q, f.tenant, f.c.ID, f.keys[1].SPKI)
		})
		f.tx(func(q db.Queryer) error {
			return f.s.ApproveIdPKey(t.Context(), f.user(f.tenant), q, f.tenant, f.c.ID, f.keys[2].SPKI)
		})
		f.holds("0Tm 2Tm")
		if m := f.metadata(); m.TrustedHost != "other.example" || !m.NextAt.Equal(start) || f.events("sso_idp_key.trusted") != 1 {
			t.Errorf("%+v", m)
		}
		f.apply(next)
		f.holds("2Tm")
		if got := f.connection().SAML.SSOURL; got != "https://other.example/sso" {
			t.Errorf("address %s", got)
		}
	})
}

func TestMetadataSignedByATrustedKey(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := follow(t, d)
		f.setURL(f.user(f.tenant), "https://other.example/metadata")
		doc := f.doc(f.keys[0], f.keys[1])
		doc.SignedBy = f.keys[1].SPKI // which is not trusted
		f.apply(doc)
		f.holds("0T 1Pm")
		doc.SignedBy = f.keys[0].SPKI
		f.apply(doc)
		f.holds("0T 1Tm") // read before, though not believed: what is given by hand stays so
		// The signature vouches for the document, not for the host: anybody may keep a
		// copy of what is signed, and add to it later.
		if got := f.metadata().TrustedHost; got != "idp.example" {
			t.Errorf("trusted host %s", got)
		}
		doc = f.doc(f.keys[0], f.keys[1], f.keys[2])
		f.apply(doc)
		f.holds("0T 1Tm 2Pm")
	})
}

// Who may bring a host into trust.
func TestMetadataHostOfTheAdmin(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := follow(t, d)
		host := func(want string) {
			t.Helper()
			if got := f.metadata().TrustedHost; got != want {
				t.Errorf("trusted host %q, want %q", got, want)
			}
		}
		f.setURL(f.user(f.tenant), "https://IDP.example/other")
		host("idp.example")
		f.setURL(f.admin, "https://two.example/metadata")
		host("two.example")
		f.tx(func(q db.Queryer) error {
			status := SSODisabled
			_, err := f.s.UpdateSSOConnection(t.Context(), f.admin, q, f.tenant, f.c.ID, SSOPatch{Status: &status})
			return err
		})
		f.setURL(f.user(f.tenant), "https://three.example:8443/metadata")
		host("three.example:8443")

		for _, bad := range []string{"http://idp.example/m", "ftp://idp.example/m", "javascript:alert(1)", "//idp.example", "https://", "idp"} {
			f.want("invalid_url", func(q db.Queryer) error {
				return f.s.SetMetadataURL(t.Context(), f.admin, q, f.tenant, f.c.ID, bad)
			})
		}
		f.want("connection_not_found", func(q db.Queryer) error {
			return f.s.SetMetadataURL(t.Context(), f.admin, q, "ten_other", f.c.ID, metadataAt)
		})

		// Another provider's settings by hand end what followed the one before.
		f.setURL(f.admin, metadataAt)
		doc := f.doc(f.keys[0])
		f.apply(doc)
		settings := *f.connection().SAML
		settings.IdPEntityID = "https://new.example/entity"
		f.tx(func(q db.Queryer) error {
			_, err := f.s.UpdateSSOConnection(t.Context(), f.admin, q, f.tenant, f.c.ID, SSOPatch{SAML: &settings})
			return err
		})
		if f.metadata() != (Metadata{}) {
			t.Errorf("%+v", f.metadata())
		}
	})
}

func TestMetadataRefused(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := follow(t, d)
		system := actor.Actor{Environment: f.env.ID, Kind: actor.System}
		refused := func(code string, change func(*MetadataDocument)) {
			t.Helper()
			doc := f.doc(f.keys[0], f.keys[1])
			change(&doc)
			f.want(code, func(q db.Queryer) error {
				_, err := f.s.ApplyMetadata(t.Context(), system, q, f.tenant, f.c.ID, doc)
				return err
			})
			f.holds("0T")
		}
		refused(CodeEntityChanged, func(d *MetadataDocument) { d.Settings.IdPEntityID = "https://evil.example" })
		refused("invalid_url", func(d *MetadataDocument) { d.SSO[0].Location = "http://idp.example/sso" })
		refused("invalid_url", func(d *MetadataDocument) { d.SSO[0].Location = "javascript:alert(1)" })
		refused("METADATA_TOO_MANY_KEYS", func(d *MetadataDocument) {
			for range maxIdPKeys {
				d.Settings.Keys = append(d.Settings.Keys, f.key(start.AddDate(1, 0, 0)))
			}
		})
		refused("", func(d *MetadataDocument) { d.URL = "https://idp.example/before" }) // the address changed meanwhile
		if m := f.metadata(); !m.FetchedAt.IsZero() {
			t.Errorf("%+v", m)
		}
	})
}

// Addresses that the metadata still has are kept, whichever comes first in it.
func TestMetadataAddresses(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := follow(t, d)
		settings := *f.connection().SAML
		settings.SSOBinding, settings.SLOURL, settings.SLOBinding = BindingPOST, "https://idp.example/slo", BindingRedirect
		f.tx(func(q db.Queryer) error {
			_, err := f.s.UpdateSSOConnection(t.Context(), f.admin, q, f.tenant, f.c.ID, SSOPatch{SAML: &settings})
			return err
		})
		doc := f.doc(f.keys[0])
		doc.SSO = append(doc.SSO, Endpoint{Binding: BindingPOST, Location: "https://idp.example/sso"})
		doc.SLO = []Endpoint{{Binding: BindingRedirect, Location: "https://idp.example/slo"}}
		if out := f.apply(doc); out.Settings || out.Held {
			t.Errorf("%+v", out)
		}
		before := f.connection()
		doc.SSO[1].Location = "https://idp.example/post"
		doc.SLO = []Endpoint{{Binding: BindingRedirect, Location: "http://idp.example/slo"}, {Binding: BindingPOST, Location: "https://idp.example/slo2", ResponseURL: "https://idp.example/slo3"}}
		if out := f.apply(doc); !out.Settings {
			t.Errorf("%+v", out)
		}
		c := f.connection()
		if c.SAML.SSOURL != "https://idp.example/post" || c.SAML.SSOBinding != BindingPOST || c.SAML.SLOURL != "https://idp.example/slo2" ||
			c.SAML.SLOBinding != BindingPOST || c.SAML.SLOResponseURL != "https://idp.example/slo3" || c.Version != before.Version+1 || f.events("sso_connection.updated") == 0 {
			t.Errorf("%+v", c.SAML)
		}
		doc.SLO = nil // metadata without logout takes none away
		if out := f.apply(doc); out.Settings {
			t.Errorf("%+v", out)
		}
	})
}

func TestRemoveIdPKey(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := follow(t, d)
		remove := func(code string, k IdPKey) {
			t.Helper()
			f.want(code, func(q db.Queryer) error {
				return f.s.RemoveIdPKey(t.Context(), f.admin, q, f.tenant, f.c.ID, k.SPKI)
			})
		}
		remove("last_key", f.keys[0])
		remove("key_not_found", f.keys[1])
		f.apply(f.doc(f.keys[0], f.keys[1]))
		remove("", f.keys[0])
		f.holds("1Tm")
		f.setURL(f.user(f.tenant), "https://other.example/metadata")
		f.apply(f.doc(f.keys[1], f.keys[2]))
		f.holds("1Tm 2Pm")
		remove("", f.keys[2]) // a pending one, beside the last trusted one
		f.holds("1Tm")
	})
}

// Failures wait longer and longer, keep what is trusted, and are told once after a week.
func TestMetadataFailures(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := follow(t, d)
		f.apply(f.doc(f.keys[0]))
		system := actor.Actor{Environment: f.env.ID, Kind: actor.System}
		alarms := 0
		for try := 0; f.clock.Now().Before(start.AddDate(0, 0, 30)); try++ {
			f.clock.Advance(f.metadata().NextAt.Sub(f.clock.Now()))
			due := f.due(DueMetadata{})
			if len(due) != 1 || !f.claim(due[0]) || f.claim(due[0]) || len(f.due(DueMetadata{})) != 0 {
				t.Fatalf("try %d: due %+v", try, due)
			}
			var alarm bool
			f.tx(func(q db.Queryer) (err error) {
				alarm, err = f.s.FailMetadata(t.Context(), system, q, due[0], "METADATA_FETCH_TIMEOUT")
				return err
			})
			m := f.metadata()
			wait, least := m.NextAt.Sub(f.clock.Now()), min(24*time.Hour, time.Hour<<min(try, 10))
			if m.Failures != int64(try+1) || m.Error != "METADATA_FETCH_TIMEOUT" || wait < least*89/100 || wait > least*111/100 {
				t.Fatalf("try %d: %+v, next in %s", try, m, wait)
			}
			if late := f.clock.Now().Sub(start) >= 7*24*time.Hour; alarm != (late && alarms == 0) {
				t.Fatalf("after %s: alarm %v", f.clock.Now().Sub(start), alarm)
			}
			if alarm {
				alarms++
			}
		}
		if alarms != 1 || f.events("sso_metadata.failing") != 1 {
			t.Errorf("%d alarms", alarms)
		}
		f.holds("0Tm")
		f.apply(f.doc(f.keys[0]))
		if m := f.metadata(); m.Failures != 0 || m.Error != "" {
			t.Errorf("%+v", m)
		}

		// An unchanged document counts as read; a disabled connection is not asked about.
		f.clock.Advance(48 * time.Hour)
		f.apply(MetadataDocument{URL: metadataAt, NotModified: true, ETag: `"1"`})
		if m := f.metadata(); !m.FetchedAt.Equal(f.clock.Now()) || m.ETag != `"1"` {
			t.Errorf("%+v", m)
		}
		f.clock.Advance(48 * time.Hour)
		status := SSODisabled
		f.tx(func(q db.Queryer) error {
			_, err := f.s.UpdateSSOConnection(t.Context(), f.admin, q, f.tenant, f.c.ID, SSOPatch{Status: &status})
			return err
		})
		if due := f.due(DueMetadata{}); len(due) != 0 {
			t.Errorf("due %+v", due)
		}
	})
}

// A document may ask for more than a day's care, within reason.
func TestMetadataReadAgain(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := follow(t, d)
		for wait, want := range map[time.Duration]time.Duration{3 * time.Hour: 3 * time.Hour, time.Second: time.Hour, -time.Hour: time.Hour} {
			doc := f.doc(f.keys[0])
			doc.ReadAgain = start.Add(wait)
			f.apply(doc)
			if got := f.metadata().NextAt.Sub(start); got != want {
				t.Errorf("%s: next in %s", wait, got)
			}
		}
		part := f.doc(f.keys[0])
		part.SSO = nil
		f.apply(part)
		if m := f.metadata(); !m.NextAt.Equal(start) || m.ETag != "" {
			t.Errorf("%+v", m)
		}
		doc := f.doc(f.keys[0])
		doc.ReadAgain = start.AddDate(1, 0, 0)
		f.apply(doc)
		if got := f.metadata().NextAt.Sub(start); got > 27*time.Hour {
			t.Errorf("next in %s", got)
		}
	})
}

func TestAskMetadata(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := follow(t, d)
		ask := func(want bool) {
			t.Helper()
			got, err := f.s.AskMetadata(t.Context(), f.d, f.tenant, f.c.ID)
			if err != nil || got != want {
				t.Errorf("%v, %v", got, err)
			}
		}
		ask(true)
		ask(false)
		f.clock.Advance(10*time.Minute - time.Second)
		ask(false)
		f.clock.Advance(time.Second)
		ask(true)
		if got := f.metadata().AskedAt; !got.Equal(f.clock.Now()) {
			t.Errorf("asked at %s", got)
		}
	})
}

func (f *followed) due(after DueMetadata) []DueMetadata {
	f.Helper()
	list, err := f.s.DueMetadata(f.Context(), f.d, after, 10)
	if err != nil {
		f.Fatal(err)
	}
	return list
}

func (f *followed) claim(d DueMetadata) bool {
	f.Helper()
	ok, err := f.s.ClaimMetadata(f.Context(), f.d, d)
	if err != nil {
		f.Fatal(err)
	}
	return ok
}

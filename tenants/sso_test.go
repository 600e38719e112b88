package tenants

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

func TestSSOConnections(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		a, b := f.tenant(NewTenant{Name: "A"}), f.tenant(NewTenant{Name: "B"})
		saml := f.saml()
		saml.Keys = append(saml.Keys, f.key(start.AddDate(-1, 0, 0)), saml.Keys[0]) // an expired certificate is no obstacle (sso 2.1)
		var c SSOConnection
		f.tx(func(q db.Queryer) (err error) {
			c, err = f.s.CreateSSOConnection(ctx, f.user(a.ID), q, a.ID, NewSSOConnection{Type: SAML, Name: "Okta", SAML: saml, JIT: true, Mapping: AttributeMapping{Email: "mail"}})
			return err
		})
		if c.Status != SSODraft {
			t.Errorf("a new connection is %s", c.Status)
		}
		got, err := f.s.SSOConnection(ctx, d, a.ID, c.ID)
		if err != nil || got.SAML == nil || len(got.SAML.Keys) != 2 || got.SAML.SSOBinding != BindingRedirect || got.Mapping.Email != "mail" || !got.JIT || got.SAML.ClockSkew != DefaultClockSkew {
			t.Errorf("%+v, %v", got, err)
		}
		if _, err := f.s.SSOConnection(ctx, d, b.ID, c.ID); err != ErrConnectionNotFound {
			t.Errorf("seen from another tenant: %v", err)
		}
		env, tenant, err := f.s.Locate(ctx, d, c.ID)
		if err != nil || env != f.env.ID || tenant != a.ID {
			t.Errorf("Locate: %s %s %v", env, tenant, err)
		}

		// Only a test login or the vendor switches a connection on.
		active, disabled, draft := SSOActive, SSODisabled, SSODraft
		update := func(tenantAdmin bool, p SSOPatch) string {
			who := f.admin
			if tenantAdmin {
				who = f.user(a.ID)
			}
			return f.try(func(q db.Queryer) (err error) {
				got, err = f.s.UpdateSSOConnection(ctx, who, q, a.ID, c.ID, p)
				return err
			})
		}
		if code := update(true, SSOPatch{Status: &active}); code != "connection_not_tested" {
			t.Errorf("untested: %q", code)
		}
		f.want("connection_not_tested", func(q db.Queryer) error {
			_, err := f.s.CreateSSOConnection(ctx, f.user(a.ID), q, a.ID, NewSSOConnection{Type: SAML, Name: "x", SAML: f.saml(), Status: SSOActive})
			return err
		})
		if code := update(false, SSOPatch{Status: &draft}); code != "" { // it is one already
			t.Errorf("draft to draft: %q", code)
		}
		f.tested(c.ID)
		if err := d.Batch(ctx, []db.Stmt{f.s.LoginStmt(a.ID, c.ID, start)}); err != nil {
			t.Fatal(err)
		}
		if got, _ := f.s.SSOConnection(ctx, d, a.ID, c.ID); got.Status != SSOTested || !got.LastLoginAt.Equal(start) {
			t.Errorf("after a test login: %s, %v", got.Status, got.LastLoginAt)
		}
		if code := update(true, SSOPatch{Status: &active}); code != "" || got.Status != SSOActive {
			t.Errorf("tested: %q", code)
		}
		if code := update(true, SSOPatch{Status: &draft}); code != "invalid_status" {
			t.Errorf("back to draft: %q", code)
		}
		if code := update(true, SSOPatch{Status: &disabled}); code != "" {
			t.Errorf("disable: %q", code)
		}

		// A patch leaves alone what it does not name.
		name := "Okta 2"
		if code := update(true, SSOPatch{Name: &name}); code != "" || got.Name != name || len(got.SAML.Keys) != 2 || got.Status != SSODisabled {
			t.Errorf("%q %+v", code, got)
		}
		replaced := *got.SAML
		replaced.Keys = []IdPKey{f.key(start.AddDate(2, 0, 0))}
		if code := update(true, SSOPatch{SAML: &replaced}); code != "" {
			t.Errorf("new keys: %q", code)
		}
		if again, err := f.s.SSOConnection(ctx, d, a.ID, c.ID); err != nil || len(again.SAML.Keys) != 1 || again.SAML.Keys[0].SPKI != replaced.Keys[0].SPKI {
			t.Errorf("%+v, %v", again.SAML, err)
		}
		f.want("connection_not_found", func(q db.Queryer) error { return f.s.DeleteSSOConnection(ctx, f.admin, q, b.ID, c.ID) })
		f.tx(func(q db.Queryer) error { return f.s.DeleteSSOConnection(ctx, f.admin, q, a.ID, c.ID) })
		if _, _, err := f.s.Locate(ctx, d, c.ID); err != ErrConnectionNotFound {
			t.Errorf("Locate after deletion: %v", err)
		}
	})
}

func TestSSOSettingsRefused(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		a := f.tenant(NewTenant{Name: "A"})
		saml := func(change func(*SAMLSettings)) NewSSOConnection {
			s := f.saml()
			change(s)
			return NewSSOConnection{Type: SAML, Name: "x", SAML: s}
		}
		oidc := func(change func(*OIDCSettings)) NewSSOConnection {
			s := &OIDCSettings{Issuer: "https://idp.example", ClientID: "c"}
			change(s)
			return NewSSOConnection{Type: OIDC, Name: "x", OIDC: s}
		}
		for want, in := range map[string][]NewSSOConnection{
			"invalid_entity_id":   {saml(func(s *SAMLSettings) { s.IdPEntityID = "" }), saml(func(s *SAMLSettings) { s.IdPEntityID = strings.Repeat("x", 1025) })},
			"invalid_url":         {saml(func(s *SAMLSettings) { s.SSOURL = "http://idp.example/sso" }), saml(func(s *SAMLSettings) { s.SSOURL = "javascript:alert(1)" })},
			"invalid_binding":     {saml(func(s *SAMLSettings) { s.SSOBinding = "urn:oasis:names:tc:SAML:2.0:bindings:SOAP" })},
			"invalid_clock_skew":  {saml(func(s *SAMLSettings) { s.ClockSkew = 301 * time.Second }), saml(func(s *SAMLSettings) { s.ClockSkew = -1 })},
			"invalid_certificate": {saml(func(s *SAMLSettings) { s.Keys = nil })},
			"invalid_issuer":      {oidc(func(s *OIDCSettings) { s.Issuer = "http://idp.example" }), oidc(func(s *OIDCSettings) { s.Issuer = "https://idp.example?x" })},
			"invalid_client_id":   {oidc(func(s *OIDCSettings) { s.ClientID = "" })},
			"invalid_scope":       {oidc(func(s *OIDCSettings) { s.Scopes = []string{"openid profile"} })},
			"invalid_auth_method": {oidc(func(s *OIDCSettings) { s.AuthMethod = "tls_client_auth" })},
			"invalid_type":        {{Type: "wsfed", Name: "x"}},
			"invalid_settings":    {{Type: SAML, Name: "x"}, {Type: OIDC, Name: "x", SAML: f.saml()}},
			"invalid_status":      {{Type: SAML, Name: "x", SAML: f.saml(), Status: SSOTested}},
			"invalid_field":       {{Type: SAML, Name: "x", SAML: f.saml(), ClientSecret: "s"}},
			"unknown_connection":  {{Type: SAML, Name: "x", SAML: f.saml(), SCIMConnectionIDs: []string{"dir_aaaaaaaaaaaaaaaaaaaaaaaaaa"}}},
		} {
			for _, n := range in {
				f.want(want, func(q db.Queryer) error {
					_, err := f.s.CreateSSOConnection(t.Context(), f.admin, q, a.ID, n)
					return err
				})
			}
		}
	})
}

func TestOIDCSecret(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		a := f.tenant(NewTenant{Name: "A"})
		create := func(secret string) (c SSOConnection) {
			f.tx(func(q db.Queryer) (err error) {
				c, err = f.s.CreateSSOConnection(ctx, f.admin, q, a.ID, NewSSOConnection{
					Type: OIDC, Name: "Entra", ClientSecret: secret, Status: SSOActive,
					OIDC: &OIDCSettings{Issuer: "https://idp.example/v2.0", ClientID: "client", Scopes: []string{"email"}},
				})
				return err
			})
			return c
		}
		c := create("hunter2hunter2")
		stored, err := f.s.SSOConnection(ctx, d, a.ID, c.ID)
		if err != nil || strings.Contains(stored.Secret, "hunter2") || stored.Secret == "" {
			t.Errorf("stored secret %q, %v", stored.Secret, err)
		}
		if !slices.Equal(stored.OIDC.Scopes, []string{"openid", "email"}) || stored.OIDC.GroupsClaim != "groups" {
			t.Errorf("%+v", stored.OIDC)
		}
		if plain, err := f.s.ClientSecret(stored); err != nil || plain != "hunter2hunter2" {
			t.Errorf("opened %q, %v", plain, err)
		}
		// The secret is bound to its row: moved to another connection it does not open.
		moved := create("")
		moved.Secret = stored.Secret
		if plain, err := f.s.ClientSecret(moved); err == nil {
			t.Errorf("a moved secret opened: %q", plain)
		}
		none := ""
		f.tx(func(q db.Queryer) (err error) {
			c, err = f.s.UpdateSSOConnection(ctx, f.admin, q, a.ID, c.ID, SSOPatch{ClientSecret: &none})
			return err
		})
		if plain, err := f.s.ClientSecret(c); plain != "" || err != nil {
			t.Errorf("removed secret: %q, %v", plain, err)
		}
	})
}

// Identity rule 3: connections of the same tenant are paired as chosen.
func TestPairing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		a, b := f.tenant(NewTenant{Name: "A"}), f.tenant(NewTenant{Name: "B"})
		scim := func(tenant string) (c SCIMConnection) {
			f.tx(func(q db.Queryer) (err error) {
				c, _, err = f.s.CreateSCIMConnection(ctx, f.admin, q, tenant, NewSCIMConnection{Name: "x"})
				return err
			})
			return c
		}
		sso := func(chosen []string) (c SSOConnection, code string) {
			code = f.try(func(q db.Queryer) (err error) {
				c, err = f.s.CreateSSOConnection(ctx, f.admin, q, a.ID, NewSSOConnection{Type: SAML, Name: "x", SAML: f.saml(), SCIMConnectionIDs: chosen})
				return err
			})
			return c, code
		}
		_, d2, foreign := scim(a.ID), scim(a.ID), scim(b.ID)
		paired := func(connection string) []string {
			c, err := f.s.SSOConnection(ctx, d, a.ID, connection)
			if err != nil {
				t.Fatal(err)
			}
			return c.SCIMConnectionIDs
		}
		s1, _ := sso(nil)
		if _, code := sso([]string{foreign.ID}); code != "unknown_connection" {
			t.Errorf("a foreign connection was paired: %q", code)
		}
		s2, _ := sso([]string{d2.ID})
		if got := paired(s1.ID); len(got) != 0 {
			t.Errorf("two SSO connections, none chosen: %v", got)
		}
		if got := paired(s2.ID); !slices.Equal(got, []string{d2.ID}) {
			t.Errorf("chosen: %v", got)
		}
		chosen := []string{}
		f.tx(func(q db.Queryer) error {
			_, err := f.s.UpdateSSOConnection(ctx, f.admin, q, a.ID, s2.ID, SSOPatch{SCIMConnectionIDs: &chosen})
			return err
		})
		if got := paired(s2.ID); len(got) != 0 {
			t.Errorf("chosen none: %v", got)
		}
	})
}

func TestParseIdPKey(t *testing.T) {
	pem := certificate(t, 0, start)
	k, err := ParseIdPKey(pem)
	if err != nil || len(k.SPKI) != 64 || !k.NotAfter.Equal(start) {
		t.Errorf("%+v, %v", k, err)
	}
	bare := strings.TrimSpace(strings.NewReplacer("-----BEGIN CERTIFICATE-----", "", "-----END CERTIFICATE-----", "").Replace(pem))
	if b, err := ParseIdPKey(bare); err != nil || b.SPKI != k.SPKI {
		t.Errorf("bare base64: %v", err)
	}
	for name, text := range map[string]string{
		"empty": "", "nonsense": "nonsense!", "private key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"two": pem + pem, "long": strings.Repeat("A", maxCertificate+1), "weak": certificate(t, 1024, start),
	} {
		if _, err := ParseIdPKey(text); err == nil {
			t.Errorf("%s accepted", name)
		}
	}
}

// tested notes a test login, as it will stand in the row.
func (f *fixture) tested(connection string) {
	f.Helper()
	if _, err := f.d.Exec(f.Context(), `UPDATE sso_connections SET last_test_ok_at = $2, status = CASE WHEN status = 'draft' THEN 'tested' ELSE status END WHERE id = $1`, connection, db.At(start)); err != nil {
		f.Fatal(err)
	}
}

// Another provider behind a connection is not sent the secret of the one before,
// and the test of the one before does not count for it.
func TestAnotherProvider(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		a := f.tenant(NewTenant{Name: "A"})
		create := func(n NewSSOConnection) (c SSOConnection) {
			f.tx(func(q db.Queryer) (err error) {
				c, err = f.s.CreateSSOConnection(ctx, f.admin, q, a.ID, n)
				return err
			})
			f.tested(c.ID)
			return c
		}
		update := func(c SSOConnection, p SSOPatch) (SSOConnection, string) {
			code := f.try(func(q db.Queryer) error {
				_, err := f.s.UpdateSSOConnection(ctx, f.user(a.ID), q, a.ID, c.ID, p)
				return err
			})
			got, err := f.s.SSOConnection(ctx, d, a.ID, c.ID)
			if err != nil {
				t.Fatal(err)
			}
			return got, code
		}
		issuer := func(issuer, client string) *OIDCSettings { return &OIDCSettings{Issuer: issuer, ClientID: client} }
		active, secret, none := SSOActive, "other", ""

		o := create(NewSSOConnection{Type: OIDC, Name: "o", OIDC: issuer("https://one.example", "c"), ClientSecret: "s"})
		if got, code := update(o, SSOPatch{OIDC: issuer("https://one.example", "d")}); code != "" || got.LastTestOKAt.IsZero() || got.Status != SSOTested {
			t.Errorf("the same issuer: %q %+v", code, got)
		}
		if got, code := update(o, SSOPatch{OIDC: issuer("https://two.example", "d")}); code != "client_secret_required" || got.OIDC.Issuer != "https://one.example" {
			t.Errorf("another issuer gets the secret: %q", code)
		}
		if _, code := update(o, SSOPatch{OIDC: issuer("https://two.example", "d"), ClientSecret: &secret, Status: &active}); code != "connection_not_tested" {
			t.Errorf("another issuer is switched on untested: %q", code)
		}
		if got, code := update(o, SSOPatch{OIDC: issuer("https://two.example", "d"), ClientSecret: &secret}); code != "" || !got.LastTestOKAt.IsZero() || got.Status != SSODraft {
			t.Errorf("another issuer: %q %v %s", code, got.LastTestOKAt, got.Status)
		}
		if got, code := update(o, SSOPatch{OIDC: issuer("https://three.example", "d"), ClientSecret: &none}); code != "" || got.Secret != "" {
			t.Errorf("without a secret: %q", code)
		}
		if _, code := update(o, SSOPatch{OIDC: issuer("https://four.example", "d")}); code != "" {
			t.Errorf("a public client: %q", code)
		}

		s := create(NewSSOConnection{Type: SAML, Name: "s", SAML: f.saml()})
		if got, code := update(s, SSOPatch{Status: &active}); code != "" || got.Status != SSOActive {
			t.Fatalf("%q %s", code, got.Status)
		}
		moved := *s.SAML
		moved.SSOURL = "https://idp.example/elsewhere"
		if got, code := update(s, SSOPatch{SAML: &moved}); code != "" || got.LastTestOKAt.IsZero() {
			t.Errorf("another address: %q %v", code, got.LastTestOKAt)
		}
		for name, change := range map[string]func(*SAMLSettings){
			"keys":      func(n *SAMLSettings) { n.Keys = []IdPKey{f.key(start.AddDate(3, 0, 0))} },
			"entity id": func(n *SAMLSettings) { n.IdPEntityID += "/other" },
		} {
			f.tested(s.ID)
			next := moved
			change(&next)
			if got, code := update(s, SSOPatch{SAML: &next}); code != "" || !got.LastTestOKAt.IsZero() || got.Status != SSOActive {
				t.Errorf("%s: %q %v %s", name, code, got.LastTestOKAt, got.Status)
			}
			moved = next
		}
	})
}

package tenants

import (
	"slices"
	"strconv"
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
		"more than the verifier takes": foreignCertificate(t, maxRSABits+8),
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
		for _, k := range []struct {
			name   string
			change func(*SAMLSettings)
			want   string
		}{
			{"a key more, for a rollover", func(n *SAMLSettings) { n.Keys = append(slices.Clone(n.Keys), f.key(start.AddDate(2, 0, 0))) }, SSOActive},
			{"other keys", func(n *SAMLSettings) { n.Keys = []IdPKey{f.key(start.AddDate(3, 0, 0))} }, SSODraft},
			{"another entity id", func(n *SAMLSettings) { n.IdPEntityID += "/other" }, SSODraft},
		} {
			f.tested(s.ID)
			if got, code := update(s, SSOPatch{Status: &active}); code != "" || got.Status != SSOActive {
				t.Fatalf("%s: %q %s", k.name, code, got.Status)
			}
			next := moved
			k.change(&next)
			if got, code := update(s, SSOPatch{SAML: &next}); code != "" || !got.LastTestOKAt.IsZero() || got.Status != k.want {
				t.Errorf("%s: %q %v %s", k.name, code, got.LastTestOKAt, got.Status)
			}
			moved = next
		}
	})
}

// Bounds of the settings, and that what is stored is what was given.
func TestSSOSettingsBounds(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		a := f.tenant(NewTenant{Name: "A"})
		const guid = "11111111-2222-3333-4444-555555555555"
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
		many := func(n int) (list []string) {
			for i := range n {
				list = append(list, "urn:"+strconv.Itoa(i))
			}
			return list
		}
		for want, in := range map[string][]NewSSOConnection{
			"invalid_date":           {saml(func(s *SAMLSettings) { s.AllowSHA1Until = start.AddDate(1, 0, 2) })},
			"invalid_authn_contexts": {saml(func(s *SAMLSettings) { s.AuthnContexts = many(21) }), saml(func(s *SAMLSettings) { s.AuthnContexts = []string{"a", "a"} }), saml(func(s *SAMLSettings) { s.AuthnContexts = []string{""} })},
			"out_of_range":           {saml(func(s *SAMLSettings) { s.MaxResponseBytes = MaxSAMLResponse + 1 }), saml(func(s *SAMLSettings) { s.MaxResponseBytes = 1 })},
			"invalid_url":            {saml(func(s *SAMLSettings) { s.SLOURL = "http://idp.example/slo" }), saml(func(s *SAMLSettings) { s.SLOResponseURL = "https://idp.example/slo" }), saml(func(s *SAMLSettings) { s.SLOURL, s.SLOResponseURL = "https://idp.example/slo", "javascript:x" })},
			"invalid_binding":        {saml(func(s *SAMLSettings) { s.SLOURL, s.SLOBinding = "https://idp.example/slo", "urn:x" })},
			"invalid_graph_tenant":   {saml(func(s *SAMLSettings) { s.GraphTenant, s.GraphClient = "common", guid }), saml(func(s *SAMLSettings) { s.GraphClient = guid })},
			"invalid_graph_client":   {saml(func(s *SAMLSettings) { s.GraphTenant = guid })},
			"invalid_issuer":         {saml(func(s *SAMLSettings) { s.RevocationIssuer = "http://idp.example" }), oidc(func(s *OIDCSettings) { s.RevocationIssuer = "https://idp.example#x" })},
			"shared_issuer": {
				oidc(func(s *OIDCSettings) { s.Issuer = "https://login.microsoftonline.com/common/v2.0" }),
				oidc(func(s *OIDCSettings) { s.Issuer = "https://login.microsoftonline.com/organizations/v2.0" }),
				oidc(func(s *OIDCSettings) { s.Issuer = "https://login.microsoftonline.com/consumers/v2.0" }),
				oidc(func(s *OIDCSettings) { s.Issuer = "https://LOGIN.microsoftonline.com/{tenantid}/v2.0" }),
				oidc(func(s *OIDCSettings) { s.Issuer = "https://sts.windows.net/common/" }),
			},
			"invalid_acr_values": {oidc(func(s *OIDCSettings) { s.ACRValues = many(21) }), oidc(func(s *OIDCSettings) { s.ACRValues = []string{"a b"} })},
			"invalid_domain":     {oidc(func(s *OIDCSettings) { s.HostedDomains = []string{"not a domain"} })},
			"too_many":           {oidc(func(s *OIDCSettings) { s.HostedDomains = many(101) })},
		} {
			for i, n := range in {
				code := f.try(func(q db.Queryer) error {
					_, err := f.s.CreateSSOConnection(ctx, f.admin, q, a.ID, n)
					return err
				})
				if code != want {
					t.Errorf("%s %d: %q", want, i, code)
				}
			}
		}
		create := func(n NewSSOConnection) (c SSOConnection) {
			f.tx(func(q db.Queryer) (err error) {
				c, err = f.s.CreateSSOConnection(ctx, f.admin, q, a.ID, n)
				return err
			})
			c, err := f.s.SSOConnection(ctx, d, a.ID, c.ID)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		full := saml(func(s *SAMLSettings) {
			s.AllowSHA1Until, s.AuthnContexts, s.MaxResponseBytes = start.AddDate(1, 0, 0), []string{"urn:a", "urn:b"}, MaxSAMLResponse
			s.SLOURL, s.SLOResponseURL, s.GraphTenant, s.GraphClient, s.RevocationIssuer = "https://idp.example/slo", "https://idp.example/slo2", guid, guid, "https://idp.example"
			s.AllowIdPInitiated, s.ForceAuthn, s.RefuseCBC, s.AllowInclusiveC14N = true, true, true, true
		})
		full.ClientSecret = "graph-secret"
		c := create(full)
		s := c.SAML
		if !s.AllowSHA1Until.Equal(start.AddDate(1, 0, 0)) || len(s.AuthnContexts) != 2 || s.MaxResponseBytes != MaxSAMLResponse || s.SLOBinding != BindingRedirect || s.SLOResponseURL == "" ||
			s.GraphTenant != guid || s.RevocationIssuer == "" || !s.AllowIdPInitiated || !s.ForceAuthn || !s.RefuseCBC || !s.AllowInclusiveC14N {
			t.Errorf("%+v", s)
		}
		if plain, err := f.s.ClientSecret(c); err != nil || plain != "graph-secret" {
			t.Errorf("the secret for Graph: %q %v", plain, err)
		}
		if list, err := f.s.SPKeys(ctx, d, a.ID, c.ID); err != nil || len(list) != 1 || list[0].State != SPKeyActive {
			t.Errorf("single logout needs a key: %+v %v", list, err)
		}
		o := create(oidc(func(s *OIDCSettings) {
			s.Issuer, s.AuthMethod, s.HostedDomains, s.ACRValues, s.FormPost = "https://login.microsoftonline.com/"+guid+"/v2.0", AuthPrivateKeyJWT, []string{"Acme.COM", "acme.com"}, []string{"mfa"}, true
		}))
		if !slices.Equal(o.OIDC.HostedDomains, []string{"acme.com"}) || !o.OIDC.FormPost || len(o.OIDC.ACRValues) != 1 {
			t.Errorf("%+v", o.OIDC)
		}
		if list, err := f.s.SPKeys(ctx, d, a.ID, o.ID); err != nil || len(list) != 1 {
			t.Errorf("private_key_jwt needs a key: %+v %v", list, err)
		}
		plain := create(oidc(func(*OIDCSettings) {}))
		if list, err := f.s.SPKeys(ctx, d, a.ID, plain.ID); err != nil || len(list) != 0 {
			t.Errorf("nothing needs a key: %+v %v", list, err)
		}
		f.tx(func(q db.Queryer) error { // what needs a key from now on has one from now on
			next := *plain.OIDC
			next.AuthMethod = AuthPrivateKeyJWT
			_, err := f.s.UpdateSSOConnection(ctx, f.admin, q, a.ID, plain.ID, SSOPatch{OIDC: &next})
			return err
		})
		if list, err := f.s.SPKeys(ctx, d, a.ID, plain.ID); err != nil || len(list) != 1 {
			t.Errorf("after the change: %+v %v", list, err)
		}
	})
}

func TestIdPKind(t *testing.T) {
	saml := func(entity, sso string) SSOConnection {
		return SSOConnection{Type: SAML, SAML: &SAMLSettings{IdPEntityID: entity, SSOURL: sso}}
	}
	oidc := func(issuer string) SSOConnection {
		return SSOConnection{Type: OIDC, OIDC: &OIDCSettings{Issuer: issuer}}
	}
	for _, k := range []struct {
		c    SSOConnection
		want string
	}{
		{saml("http://www.okta.com/exk1", "https://acme.okta.com/app/acme/exk1/sso/saml"), KindOkta},
		{saml("https://sts.windows.net/11111111-2222-3333-4444-555555555555/", "https://login.microsoftonline.com/x/saml2"), KindEntra},
		{saml("https://accounts.google.com/o/saml2?idpid=C01", "https://accounts.google.com/o/saml2/idp?idpid=C01"), KindGoogle},
		{saml("https://app.onelogin.com/saml/metadata/1", "https://acme.onelogin.com/trust/saml2/http-post/sso/1"), KindOneLogin},
		{saml("JumpCloud", "https://sso.jumpcloud.com/saml2/acme"), KindJumpCloud},
		{saml("https://auth.pingone.eu/1", "https://auth.pingone.eu/1/saml20/idp/sso"), KindPing},
		{saml("urn:acme:pf", "https://sso.acme.example/idp/SSO.saml2"), KindPingFederate},
		{saml("http://adfs.acme.example/adfs/services/trust", "https://adfs.acme.example/adfs/ls/"), KindADFS},
		{saml("https://id.acme.example/realms/acme", "https://id.acme.example/realms/acme/protocol/saml"), KindKeycloak},
		{saml("urn:acme.eu.auth0.com", "https://acme.eu.auth0.com/samlp/1"), KindAuth0},
		{oidc("https://acme.okta.com"), KindOkta},
		{oidc("https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0"), KindEntra},
		{oidc("https://accounts.google.com"), KindGoogle},
		{oidc("https://id.acme.example/realms/acme"), KindKeycloak},
		{oidc("https://notokta.com.evil.example"), ""},
		{oidc("https://evilokta.com"), ""},
		{saml("::", "%"), ""},
		{SSOConnection{}, ""},
	} {
		if got := IdPKind(k.c); got != k.want {
			t.Errorf("%+v %+v: %q, want %q", k.c.SAML, k.c.OIDC, got, k.want)
		}
	}
}

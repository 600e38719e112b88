package client_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// revocationClaims are those of a good token for the connection.
func (w *world) revocationClaims(c tenants.SSOConnection, pairs ...any) map[string]any {
	now := w.Clock.Now()
	m := map[string]any{
		"iss": w.idp.Issuer(), "aud": w.URL + "/sso/" + c.ID + "/global-token-revocation", "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "jti": id.New("jti"),
	}
	for n := 0; n+1 < len(pairs); n += 2 {
		name, _ := pairs[n].(string)
		if m[name] = pairs[n+1]; pairs[n+1] == nil {
			delete(m, name)
		}
	}
	return m
}

func (w *world) revoke(c tenants.SSOConnection, token, body string) answer {
	w.t.Helper()
	header := []string{"Authorization", "Bearer " + token}
	if token == "" {
		header = nil
	}
	return w.send(http.MethodPost, w.URL+"/sso/"+c.ID+"/global-token-revocation", "application/json", body, header...)
}

func (w *world) problem(t *testing.T, a answer, status int, code string) {
	t.Helper()
	var body struct {
		Status int    `json:"status"`
		Code   string `json:"code"`
		Title  string `json:"title"`
	}
	err := json.Unmarshal([]byte(a.body), &body)
	if err != nil || a.status != status || body.Status != status || body.Code != code || body.Title == "" || a.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %s, want %d %s (%v)", a.status, a.body, status, code, err)
	}
	if (status == http.StatusUnauthorized) != (a.header.Get("WWW-Authenticate") != "") {
		t.Errorf("WWW-Authenticate %q", a.header.Get("WWW-Authenticate"))
	}
}

func byEmail(email string) string {
	return fmt.Sprintf(`{"sub_id":{"format":"email","email":%q}}`, email)
}

func bySub(iss, sub string) string {
	return fmt.Sprintf(`{"sub_id":{"format":"iss_sub","iss":%q,"sub":%q}}`, iss, sub)
}

// sso 7.1: every session and refresh family of the person in the tenant ends,
// and nobody else's, for connections of both types.
func TestRevocation(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		bob := idp.Person{ID: "00u2", Email: "bob@acme.example"}
		w.idp.AddPerson(bob)
		globex := w.Tenant("globex", "globex.example")
		foreign := w.OIDCConnection(globex, w.idp, func(n *tenants.NewSSOConnection) { n.AllowUnverifiedDomains = true })
		issuer := w.idp.Issuer()
		other := w.SAMLConnection(w.tenant, w.idp, func(n *tenants.NewSSOConnection) { n.SAML.RevocationIssuer = issuer })
		all := func() {
			t.Helper()
			for _, person := range []idp.Person{ada, bob} {
				for _, c := range []string{w.conn.ID, foreign.ID} {
					arrived(t, browser.New(t).LogIn(w.StartURL("connection", c), person.ID))
				}
			}
			arrived(t, browser.New(t).LogIn(w.start(), ada.ID))
		}
		all()
		for name, k := range map[string]struct {
			conn tenants.SSOConnection
			body string
		}{
			"email":                       {w.conn, byEmail(ada.Email)},
			"email in another case":       {w.conn, byEmail("ADA@Acme.Example")},
			"issuer and subject":          {w.conn, bySub(issuer, ada.ID)},
			"email, at a SAML connection": {other, byEmail(ada.Email)},
			"more members":                {w.conn, `{"x":1,"sub_id":{"format":"email","email":"ada@acme.example","x":[1]}}`},
		} {
			a := w.revoke(k.conn, w.signed("global-token-revocation+jwt", w.revocationClaims(k.conn)), k.body)
			if a.status != http.StatusNoContent || a.body != "" || a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d %s", name, a.status, a.body)
			}
			if n := w.live(); n != 3 {
				t.Errorf("%s: %d parts of sessions live on, want 3", name, n)
			}
			arrived(t, browser.New(t).LogIn(w.start(), ada.ID))
			arrived(t, browser.New(t).LogIn(w.start(), ada.ID))
		}
		if n := w.Count(`SELECT COUNT(*) FROM audit_events WHERE action = 'sso_connection.revocation_received' AND tenant_id = $1`, w.tenant); n != 5 {
			t.Errorf("%d events, want 5", n)
		}
		// The provider's address of a person, which his membership did not follow.
		w.idp.SetOIDCKnobs(claim("email", "Ada@Elsewhere.example"))
		w.in(t)
		w.idp.SetOIDCKnobs(idp.OIDCKnobs{})
		if a := w.revoke(foreign, w.signed("", w.revocationClaims(foreign)), byEmail("ada@elsewhere.example")); a.status != http.StatusNotFound {
			t.Errorf("by another tenant's address: %d %s", a.status, a.body)
		}
		if a := w.revoke(w.conn, w.signed("", w.revocationClaims(w.conn)), byEmail("ada@elsewhere.example")); a.status != http.StatusNoContent || w.live() != 3 {
			t.Errorf("by the provider's address: %d %s, %d live", a.status, a.body, w.live())
		}
		// What Okta sends of SAML people: the entity ID and the NameID.
		arrived(t, browser.New(t).LogIn(w.StartURL("connection", other.ID), bob.ID))
		nameID := strings.Join(w.Strings(`SELECT subject FROM identities WHERE connection_id = $1`, other.ID), " ")
		if a := w.revoke(other, w.signed("", w.revocationClaims(other)), bySub(w.idp.EntityID(), nameID)); a.status != http.StatusNoContent {
			t.Errorf("by NameID %q: %d %s", nameID, a.status, a.body)
		}
		if n := w.Count(`SELECT COUNT(*) FROM session_tenants t JOIN memberships m ON m.tenant_id = t.tenant_id AND m.id = t.membership_id
			WHERE t.tenant_id = $1 AND m.email = $2 AND t.ended_at IS NULL`, w.tenant, bob.Email); n != 0 {
			t.Errorf("%d sessions of the person live on", n)
		}
		// A directory's own id leads to the person that it made, however he signs in.
		scim := w.SCIMConnection(globex)
		cat := w.Provision(globex, scim, directory.Profile{UserName: "cat@globex.example", Email: "cat@globex.example", ExternalID: "00u3", Active: true})
		w.idp.AddPerson(idp.Person{ID: "00u3", Email: "cat@globex.example"})
		if in := arrived(t, browser.New(t).LogIn(w.StartURL("connection", foreign.ID), "00u3")); in.User != cat.UserID {
			t.Fatalf("%+v is not %+v", in, cat)
		}
		w.Exec(`DELETE FROM identities WHERE tenant_id = $1 AND subject = '00u3'`, globex)
		before := w.live()
		if a := w.revoke(foreign, w.signed("", w.revocationClaims(foreign)), bySub(issuer, "00u3")); a.status != http.StatusNoContent || w.live() != before-1 {
			t.Errorf("by externalId: %d %s, %d live of %d", a.status, a.body, w.live(), before)
		}
	})
}

func TestRevocationRefuses(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.in(t)
		now := w.Clock.Now()
		stranger := w.IdP(idp.Config{People: []idp.Person{ada}})
		strangers, err := stranger.SignJWT("", w.revocationClaims(w.conn))
		if err != nil {
			t.Fatal(err)
		}
		idToken, err := w.idp.IDToken(rig.Client.ID, ada, "", idp.OIDCKnobs{})
		if err != nil {
			t.Fatal(err)
		}
		unsigned, err := w.idp.IDToken("x", ada, "", idp.OIDCKnobs{Alg: "none", MutateClaims: func(c map[string]any) {
			clear(c)
			for k, v := range w.revocationClaims(w.conn) {
				c[k] = v
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		other := w.OIDCConnection(w.tenant, w.idp, func(n *tenants.NewSSOConnection) { n.Name = "Other" })
		token := func(pairs ...any) string { return w.signed("", w.revocationClaims(w.conn, pairs...)) }
		for name, k := range map[string]struct{ token, code string }{
			"no token":                    {"", "GTR_TOKEN"},
			"not a token":                 {"x", "GTR_TOKEN"},
			"unsigned":                    {unsigned, "GTR_TOKEN"},
			"signed by another":           {strangers, "GTR_TOKEN"},
			"an ID token":                 {idToken, "GTR_AUDIENCE"},
			"a logout token":              {w.signed("logout+jwt", w.logoutClaims()), "GTR_TOKEN"},
			"another issuer":              {token("iss", stranger.Issuer()), "GTR_ISSUER"},
			"another connection's":        {w.signed("", w.revocationClaims(other)), "GTR_AUDIENCE"},
			"two audiences":               {token("aud", []string{w.URL + "/sso/" + w.conn.ID + "/global-token-revocation", "x"}), "GTR_AUDIENCE"},
			"no audience":                 {token("aud", nil), "GTR_AUDIENCE"},
			"no jti":                      {token("jti", nil), "GTR_JTI"},
			"no exp":                      {token("exp", nil), "GTR_TIME"},
			"expired":                     {token("exp", now.Add(-2*time.Minute).Unix()), "GTR_TIME"},
			"holds for an hour":           {token("exp", now.Add(time.Hour).Unix()), "GTR_TIME"},
			"holds for over five minutes": {token("iat", now.Add(-time.Minute).Unix()), "GTR_TIME"},
			"iat to come":                 {token("iat", now.Add(3*time.Minute).Unix()), "GTR_TIME"},
			"nbf to come":                 {token("nbf", now.Add(3*time.Minute).Unix()), "GTR_TIME"},
		} {
			t.Run(name, func(t *testing.T) {
				w.t = t
				w.problem(t, w.revoke(w.conn, k.token, byEmail(ada.Email)), http.StatusUnauthorized, k.code)
			})
		}
		for name, body := range map[string]string{
			"empty": "", "no JSON": "x", "a list": "[]", "no sub_id": "{}", "subject instead": `{"subject":{"format":"email","email":"ada@acme.example"}}`,
			"sub_id is text": `{"sub_id":"ada@acme.example"}`, "unknown format": `{"sub_id":{"format":"opaque","id":"x"}}`, "no format": `{"sub_id":{"email":"ada@acme.example"}}`,
			"no e-mail": `{"sub_id":{"format":"email"}}`, "no address": `{"sub_id":{"format":"email","email":"ada"}}`, "e-mail is a number": `{"sub_id":{"format":"email","email":1}}`,
			"no sub": bySub(w.idp.Issuer(), ""), "sub_id twice": `{"sub_id":{"format":"email","email":"a@b.example"},"sub_id":{"format":"email","email":"ada@acme.example"}}`,
			"NUL": `{"sub_id":{"format":"iss_sub","iss":"x","sub":"\u0000"}}`,
		} {
			t.Run(name, func(t *testing.T) {
				w.t = t
				w.problem(t, w.revoke(w.conn, token(), body), http.StatusBadRequest, "GTR_REQUEST")
			})
		}
		t.Run("others", func(t *testing.T) {
			w.t = t
			w.problem(t, w.revoke(w.conn, token(), `{"x":"`+strings.Repeat("x", 17<<10)+`"}`), http.StatusRequestEntityTooLarge, "body_too_large")
			w.problem(t, w.revoke(w.conn, token(), byEmail("nobody@acme.example")), http.StatusNotFound, "GTR_SUBJECT_UNKNOWN")
			w.problem(t, w.revoke(w.conn, token(), bySub(w.idp.Issuer(), "nobody")), http.StatusNotFound, "GTR_SUBJECT_UNKNOWN")
			w.problem(t, w.revoke(w.conn, token(), bySub(stranger.Issuer(), ada.ID)), http.StatusForbidden, "GTR_SUBJECT_ISSUER")
			w.problem(t, w.revoke(tenants.SSOConnection{ID: id.New(id.SSO)}, token(), byEmail(ada.Email)), http.StatusNotFound, "OIDC_CONNECTION_UNKNOWN")
			silent := w.SAMLConnection(w.tenant, w.idp)
			w.problem(t, w.revoke(silent, w.signed("", w.revocationClaims(silent)), byEmail(ada.Email)), http.StatusForbidden, "GTR_NOT_ACCEPTED")
			media := w.send(http.MethodPost, w.URL+"/sso/"+w.conn.ID+"/global-token-revocation", formMedia, byEmail(ada.Email), "Authorization", "Bearer "+token())
			w.problem(t, media, http.StatusBadRequest, "GTR_REQUEST")
			basic := w.send(http.MethodPost, w.URL+"/sso/"+w.conn.ID+"/global-token-revocation", "application/json", byEmail(ada.Email), "Authorization", "Basic "+token())
			w.problem(t, basic, http.StatusUnauthorized, "GTR_TOKEN")
		})
		if n := w.live(); n != 1 {
			t.Fatalf("%d parts of sessions live on, want 1", n)
		}
		t.Run("replay", func(t *testing.T) {
			w.t = t
			again := token()
			if a := w.revoke(w.conn, again, byEmail(ada.Email)); a.status != http.StatusNoContent {
				t.Fatalf("%d %s", a.status, a.body)
			}
			w.in(t)
			w.problem(t, w.revoke(w.conn, again, byEmail(ada.Email)), http.StatusUnauthorized, "GTR_REPLAY")
			// Who is not found does not use the token up.
			spare := token()
			w.problem(t, w.revoke(w.conn, spare, byEmail("nobody@acme.example")), http.StatusNotFound, "GTR_SUBJECT_UNKNOWN")
			if a := w.revoke(w.conn, spare, byEmail(ada.Email)); a.status != http.StatusNoContent || w.live() != 0 {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
		t.Run("connection switched off", func(t *testing.T) {
			w.t = t
			off := tenants.SSODisabled
			w.SetConnection(w.conn, tenants.SSOPatch{Status: &off})
			w.problem(t, w.revoke(w.conn, token(), byEmail(ada.Email)), http.StatusForbidden, "GTR_NOT_ACCEPTED")
		})
	})
}

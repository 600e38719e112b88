package client_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

func (w *world) published(c tenants.SSOConnection) (jose.JSONWebKeySet, answer) {
	w.t.Helper()
	a := w.send(http.MethodGet, w.URL+"/oidc/"+c.ID+"/jwks", "", "")
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(a.body), &set); err != nil || a.status != http.StatusOK {
		w.t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	return set, a
}

// RFC 7523 §2.2, §3: the client proves itself with the connection's own key.
func TestPrivateKeyJWT(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const client = "keyed"
		conn := w.OIDCConnection(w.tenant, w.idp, func(n *tenants.NewSSOConnection) {
			n.Name, n.ClientSecret, n.OIDC.ClientID, n.OIDC.AuthMethod = "Keyed", "", client, tenants.AuthPrivateKeyJWT
		})
		set, a := w.published(conn)
		if len(set.Keys) != 1 {
			t.Fatalf("%d keys", len(set.Keys))
		}
		k := set.Keys[0]
		if k.Algorithm != "RS256" || k.Use != "sig" || k.KeyID == "" || !k.IsPublic() || !k.Valid() || len(k.CertificateThumbprintSHA256) != 32 {
			t.Errorf("%+v", k)
		}
		if a.header.Get("Content-Type") != "application/jwk-set+json" || a.header.Get("Cache-Control") != "public, max-age=300" || a.header.Get("ETag") == "" || strings.Contains(a.body, `"d"`) {
			t.Errorf("%v %s", a.header, a.body)
		}
		if again := w.send(http.MethodGet, w.URL+"/oidc/"+conn.ID+"/jwks", "", "", "If-None-Match", a.header.Get("ETag")); again.status != http.StatusNotModified || again.body != "" {
			t.Errorf("%d %s", again.status, again.body)
		}
		var body url.Values
		w.idp.AddClient(idp.Client{ID: client, Keys: &set})
		w.set(t, idp.OIDCKnobs{TokenRequest: func(form url.Values) { body = form }})
		log := func(c tenants.SSOConnection) browser.Page {
			return browser.New(t).LogIn(w.StartURL("connection", c.ID), ada.ID)
		}
		arrived(t, log(conn))
		if body.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || body.Has("client_secret") {
			t.Errorf("%v", body)
		}
		assertion := body.Get("client_assertion")
		token, err := jwt.ParseSigned(assertion, []jose.SignatureAlgorithm{jose.RS256})
		if err != nil {
			t.Fatal(err)
		}
		var raw map[string]any
		if err := token.Claims(k.Key, &raw); err != nil {
			t.Fatal(err)
		}
		now := float64(w.Clock.Now().Unix())
		exp, _ := raw["exp"].(float64)
		jti, _ := raw["jti"].(string)
		if raw["iss"] != client || raw["sub"] != client || raw["aud"] != w.idp.Issuer() || raw["iat"] != now || exp <= now || exp > now+60 || len(jti) < 22 || len(raw) != 6 {
			t.Errorf("%v", raw)
		}
		header := token.Headers[0]
		if header.KeyID != k.KeyID || header.ExtraHeaders["x5t#S256"] != base64.RawURLEncoding.EncodeToString(k.CertificateThumbprintSHA256) {
			t.Errorf("%+v", header)
		}
		arrived(t, log(conn))
		if body.Get("client_assertion") == assertion {
			t.Error("an assertion was used twice")
		}

		// Rotation: the next key is published before it signs, the one before stays.
		var next tenants.SPKey
		w.Tx(func(q db.Queryer) error {
			var err error
			next, err = w.Tenants.RotateSPKey(t.Context(), w.Vendor, q, w.tenant, conn.ID)
			return err
		})
		both, changed := w.published(conn)
		if len(both.Keys) != 2 || changed.header.Get("ETag") == a.header.Get("ETag") {
			t.Errorf("%d keys", len(both.Keys))
		}
		arrived(t, log(conn)) // the provider has not read the new one
		w.idp.AddClient(idp.Client{ID: client, Keys: &both})
		w.Tx(func(q db.Queryer) error {
			return w.Tenants.ActivateSPKey(t.Context(), w.Vendor, q, w.tenant, conn.ID, next.ID)
		})
		arrived(t, log(conn))
		token, err = jwt.ParseSigned(body.Get("client_assertion"), []jose.SignatureAlgorithm{jose.RS256})
		if err != nil || token.Headers[0].KeyID != next.ID {
			t.Errorf("%v, %v", token.Headers, err)
		}
		block, _ := pem.Decode([]byte(next.CertificatePEM))
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(cert.Raw)
		after, _ := w.published(conn)
		if len(after.Keys) != 2 || !slices.ContainsFunc(after.Keys, func(k jose.JSONWebKey) bool {
			return k.KeyID == next.ID && string(k.CertificateThumbprintSHA256) == string(sum[:])
		}) {
			t.Errorf("%+v", after.Keys)
		}

		// A connection without keys has an empty set; without one that is active it says so.
		if empty, a := w.published(w.conn); len(empty.Keys) != 0 || !strings.Contains(a.body, `"keys":[]`) {
			t.Errorf("%s", a.body)
		}
		w.Exec(`DELETE FROM sso_sp_keys WHERE tenant_id = $1`, w.tenant)
		refused(t, log(conn), "OIDC_CLIENT_KEY")
		if l := w.Logins(conn)[0]; l.Outcome != signin.OutcomeFailure || l.Code != "OIDC_CLIENT_KEY" {
			t.Errorf("%+v", l)
		}
		for _, c := range []string{id.New(id.SSO), "x"} {
			if a := w.send(http.MethodGet, w.URL+"/oidc/"+c+"/jwks", "", ""); a.status != http.StatusNotFound || a.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s: %d %s", c, a.status, a.body)
			}
		}
	})
}

package client_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// The modules of the OpenID Foundation's conformance suite for relying parties,
// by their names. The suite plays the provider; here the test provider does.

// set puts knobs at the provider for the rest of the test.
func (w *world) set(t *testing.T, k idp.OIDCKnobs) {
	t.Helper()
	w.t = t
	w.idp.SetOIDCKnobs(k)
	t.Cleanup(func() { w.idp.SetOIDCKnobs(idp.OIDCKnobs{}) })
}

func (w *world) in(t *testing.T) rig.Arrived {
	t.Helper()
	return arrived(t, browser.New(t).LogIn(w.start(), ada.ID))
}

// out asserts that the login is refused with the code.
func (w *world) out(t *testing.T, code string) {
	t.Helper()
	before := w.people()
	refused(t, browser.New(t).LogIn(w.start(), ada.ID), code)
	if w.people() != before {
		t.Error("a refused login wrote rows")
	}
}

func claim(name string, v any) idp.OIDCKnobs {
	return idp.OIDCKnobs{MutateClaims: func(c map[string]any) {
		if v == nil {
			delete(c, name)
			return
		}
		c[name] = v
	}}
}

func modules(t *testing.T, alg string, f func(t *testing.T, w *world)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, d db.DB) { f(t, newWorld(t, d, alg)) })
}

// oidcc-client-basic-certification-test-plan
func TestConformanceBasic(t *testing.T) {
	modules(t, "RS256", func(t *testing.T, w *world) {
		t.Run("ClientTest", func(t *testing.T) { w.set(t, idp.OIDCKnobs{}); w.in(t) })
		t.Run("InvalidIssuerInIdToken", func(t *testing.T) {
			w.set(t, idp.OIDCKnobs{Issuer: w.idp.Issuer() + "1"})
			w.out(t, "OIDC_ISSUER")
		})
		t.Run("MissingSubInIdToken", func(t *testing.T) { w.set(t, claim("sub", nil)); w.out(t, "OIDC_SUB") })
		t.Run("InvalidAudInIdToken", func(t *testing.T) {
			w.set(t, claim("aud", rig.Client.ID+"1"))
			w.out(t, "OIDC_AUDIENCE")
		})
		t.Run("MissingIatInIdToken", func(t *testing.T) { w.set(t, claim("iat", nil)); w.out(t, "OIDC_IAT") })
		t.Run("IdTokenSignedUsingRS256", func(t *testing.T) {
			alg := ""
			w.set(t, idp.OIDCKnobs{MutateHeader: func(h map[string]any) { alg, _ = h["alg"].(string) }})
			if w.in(t); alg != "RS256" {
				t.Errorf("alg %q", alg)
			}
		})
		t.Run("IdTokenSigAlgNone", func(t *testing.T) { w.set(t, idp.OIDCKnobs{Alg: "none"}); w.out(t, "OIDC_ALG") })
		t.Run("InvalidIdTokenSignatureWithRS256", func(t *testing.T) {
			token, err := w.idp.IDToken(rig.Client.ID, ada, "n", idp.OIDCKnobs{})
			if err != nil {
				t.Fatal(err)
			}
			at := strings.LastIndexByte(token, '.') + 10
			flipped := byte('A')
			if token[at] == 'A' {
				flipped = 'B'
			}
			body, err := json.Marshal(map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": token[:at] + string(flipped) + token[at+1:]})
			if err != nil {
				t.Fatal(err)
			}
			w.set(t, idp.OIDCKnobs{Endpoints: map[string]idp.Fault{"token": {Status: http.StatusOK, Body: string(body)}}})
			w.out(t, "OIDC_SIG")
		})
		noEmail := func(c map[string]any) { delete(c, "email") }
		t.Run("InvalidSubInUserinfoResponse", func(t *testing.T) {
			w.set(t, idp.OIDCKnobs{MutateClaims: noEmail, UserinfoSubject: ada.ID + "1"})
			w.out(t, "OIDC_USERINFO_SUB")
		})
		t.Run("NonceInvalid", func(t *testing.T) { w.set(t, idp.OIDCKnobs{Nonce: "another"}); w.out(t, "OIDC_NONCE") })
		t.Run("ScopeUserInfoClaims", func(t *testing.T) {
			w.set(t, idp.OIDCKnobs{MutateClaims: func(c map[string]any) { noEmail(c); delete(c, "groups") }})
			w.in(t)
		})
		t.Run("ClientSecretBasic", func(t *testing.T) {
			w.set(t, idp.OIDCKnobs{MutateDiscovery: func(d map[string]any) {
				d["token_endpoint_auth_methods_supported"] = []string{"client_secret_basic"}
			}})
			w.Clock.Advance(25 * time.Hour)
			w.in(t)
		})
		t.Run("KidAbsentSingleJwks", func(t *testing.T) { w.set(t, idp.OIDCKnobs{KID: idp.Omit}); w.in(t) })
		t.Run("KidAbsentMultipleMatchingKeysInJwks", func(t *testing.T) {
			if err := w.idp.RotateOIDCKey(true); err != nil {
				t.Fatal(err)
			}
			w.Clock.Advance(25 * time.Hour)
			w.set(t, idp.OIDCKnobs{KID: idp.Omit})
			w.out(t, "OIDC_KEY_AMBIGUOUS")
		})
	})
}

// oidcc-client-config-certification-test-plan
func TestConformanceConfig(t *testing.T) {
	modules(t, "RS256", func(t *testing.T, w *world) {
		t.Run("DiscoveryOpenIDConfiguration", func(t *testing.T) { w.set(t, idp.OIDCKnobs{}); w.in(t) })
		t.Run("JwksUriKeys", func(t *testing.T) { w.set(t, idp.OIDCKnobs{}); w.in(t) })
		t.Run("SigAlgNone", func(t *testing.T) { w.set(t, idp.OIDCKnobs{Alg: "none"}); w.out(t, "OIDC_ALG") })
		t.Run("SigningKeyRotationJustBeforeSigning", func(t *testing.T) {
			w.set(t, idp.OIDCKnobs{})
			w.Clock.Advance(time.Minute)
			b := browser.New(t)
			u := w.callback(b) // the provider has asked the person; its key changes before it signs
			if err := w.idp.RotateOIDCKey(false); err != nil {
				t.Fatal(err)
			}
			arrived(t, b.Get(u.String()))
		})
		t.Run("SigningKeyRotation", func(t *testing.T) {
			w.set(t, idp.OIDCKnobs{})
			w.in(t)
			if err := w.idp.RotateOIDCKey(true); err != nil {
				t.Fatal(err)
			}
			w.Clock.Advance(time.Minute)
			w.in(t)
		})
		t.Run("DiscoveryIssuerMismatch", func(t *testing.T) {
			w.Clock.Advance(26 * time.Hour)
			w.set(t, idp.OIDCKnobs{DiscoveryIssuer: w.idp.Issuer() + "/other"})
			w.out(t, "OIDC_DISCOVERY_ISSUER")
		})
	})
}

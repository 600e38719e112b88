package client_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// sso 5.2, the ID token: each fault has its own code, and nothing is written.
func TestIDToken(t *testing.T) {
	w := once(t)
	now := w.Clock.Now().Unix()
	header := func(name string, v any) idp.OIDCKnobs {
		return idp.OIDCKnobs{MutateHeader: func(h map[string]any) { h[name] = v }}
	}
	stranger := w.IdP(idp.Config{People: []idp.Person{ada}})
	attackersKey := map[string]any{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}
	der, jwk := w.publicKey(t)
	foreignInfo, err := stranger.SignJWT("", map[string]any{"sub": ada.ID, "email": ada.Email, "iss": w.idp.Issuer(), "aud": rig.Client.ID})
	if err != nil {
		t.Fatal(err)
	}
	unsignedInfo := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + strings.Split(foreignInfo, ".")[1] + "."
	noEmail := func(c map[string]any) { delete(c, "email") }
	for _, k := range []struct {
		name, code string
		knobs      idp.OIDCKnobs
	}{
		{"alg none", "OIDC_ALG", idp.OIDCKnobs{Alg: "none"}},
		{"alg None", "OIDC_ALG", idp.OIDCKnobs{Alg: "None"}},
		{"alg NONE", "OIDC_ALG", idp.OIDCKnobs{Alg: "NONE"}},
		{"alg nOnE", "OIDC_ALG", idp.OIDCKnobs{Alg: "nOnE"}},
		{"alg empty", "OIDC_ALG", header("alg", "")},
		{"HS256 keyed with the public key", "OIDC_ALG", idp.OIDCKnobs{Alg: "HS256"}},
		{"HS256 keyed with the client secret", "OIDC_ALG", idp.OIDCKnobs{Alg: "HS256", HMACKey: []byte(rig.Client.Secret)}},
		{"HS256 keyed with the public key in DER", "OIDC_ALG", idp.OIDCKnobs{Alg: "HS256", HMACKey: der}},
		{"HS256 keyed with the public key as JWK", "OIDC_ALG", idp.OIDCKnobs{Alg: "HS256", HMACKey: jwk}},
		{"HS256 keyed with nothing", "OIDC_ALG", idp.OIDCKnobs{Alg: "HS256", HMACKey: []byte{}}},
		{"RS256 label, EC key", "OIDC_ALG", header("alg", "RS256")},
		{"ES384 label, P-256 key", "OIDC_ALG", header("alg", "ES384")},
		{"EdDSA label, EC key", "OIDC_ALG", header("alg", "EdDSA")},
		{"unknown kid", "OIDC_KEY_UNKNOWN", idp.OIDCKnobs{KID: "another"}},
		{"kid with a path", "OIDC_KEY_UNKNOWN", idp.OIDCKnobs{KID: "../../../../dev/null"}},
		{"kid with SQL", "OIDC_KEY_UNKNOWN", idp.OIDCKnobs{KID: "x' UNION SELECT 'key"}},
		{"jwk in the header, its own kid", "OIDC_KEY_UNKNOWN", idp.OIDCKnobs{MutateHeader: func(h map[string]any) { h["jwk"], h["kid"] = attackersKey, "theirs" }}},
		{"jku in the header", "OIDC_KEY_UNKNOWN", idp.OIDCKnobs{MutateHeader: func(h map[string]any) { h["jku"], h["kid"] = stranger.Issuer()+"/oidc/jwks", "theirs" }}},
		{"x5u in the header", "OIDC_KEY_UNKNOWN", idp.OIDCKnobs{MutateHeader: func(h map[string]any) { h["x5u"], h["kid"] = stranger.Issuer()+"/x", "theirs" }}},
		{"x5c in the header", "OIDC_KEY_UNKNOWN", idp.OIDCKnobs{MutateHeader: func(h map[string]any) {
			h["x5c"], h["kid"] = []string{base64.StdEncoding.EncodeToString(stranger.Certificates()[0].Raw)}, "theirs"
		}}},
		{"typ of an access token", "OIDC_TYP", header("typ", "at+jwt")},
		{"typ of a logout token", "OIDC_TYP", header("typ", "application/logout+jwt")},
		{"crit without a list", "OIDC_TOKEN_FORM", header("crit", true)},
		{"payload that is not encoded", "OIDC_TOKEN_FORM", idp.OIDCKnobs{MutateHeader: func(h map[string]any) { h["crit"], h["b64"] = []string{"b64"}, false }}},
		{"unknown crit", "OIDC_TOKEN_FORM", idp.OIDCKnobs{MutateHeader: func(h map[string]any) { h["crit"], h["exotic"] = []string{"exotic"}, true }}},
		{"iss of another", "OIDC_ISSUER", claim("iss", stranger.Issuer())},
		{"iss with a slash", "OIDC_ISSUER", claim("iss", w.idp.Issuer()+"/")},
		{"iss in capitals", "OIDC_ISSUER", claim("iss", strings.ToUpper(w.idp.Issuer()))},
		{"iss template", "OIDC_ISSUER", claim("iss", "https://login.microsoftonline.com/{tenantid}/v2.0")},
		{"no iss", "OIDC_ISSUER", claim("iss", nil)},
		{"iss is a list", "OIDC_TOKEN_FORM", claim("iss", []string{w.idp.Issuer()})},
		{"aud of another", "OIDC_AUDIENCE", claim("aud", "another")},
		{"aud list without us", "OIDC_AUDIENCE", claim("aud", []string{"a", "b"})},
		{"no aud", "OIDC_AUDIENCE", claim("aud", nil)},
		{"empty aud", "OIDC_AUDIENCE", claim("aud", []string{})},
		{"aud is a number", "OIDC_TOKEN_FORM", claim("aud", 7)},
		{"several audiences without azp", "OIDC_AZP", claim("aud", []string{rig.Client.ID, "b"})},
		{"azp of another", "OIDC_AZP", idp.OIDCKnobs{AZP: "another"}},
		{"exp past", "OIDC_EXPIRED", claim("exp", now-121)},
		{"exp exactly at the leeway", "OIDC_EXPIRED", claim("exp", now-120)},
		{"no exp", "OIDC_EXPIRED", claim("exp", nil)},
		{"exp in milliseconds", "OIDC_EXPIRED", claim("exp", now*1000)},
		{"exp in the year 9999", "OIDC_EXPIRED", claim("exp", 253402300799)},
		{"quoted exp", "OIDC_TOKEN_FORM", claim("exp", fmt.Sprint(now+60))},
		{"negative exp", "OIDC_EXPIRED", claim("exp", -1)},
		{"huge exp", "OIDC_EXPIRED", claim("exp", json.Number("1e400"))},
		{"iat old", "OIDC_IAT", claim("iat", now-601)},
		{"iat to come", "OIDC_IAT", claim("iat", now+121)},
		{"no iat", "OIDC_IAT", claim("iat", nil)},
		{"nbf to come", "OIDC_NOT_YET", claim("nbf", now+121)},
		{"nonce of another", "OIDC_NONCE", idp.OIDCKnobs{Nonce: "another"}},
		{"no nonce", "OIDC_NONCE", idp.OIDCKnobs{Nonce: idp.Omit}},
		{"no sub", "OIDC_SUB", claim("sub", nil)},
		{"empty sub", "OIDC_SUB", claim("sub", "")},
		{"sub of 256 characters", "OIDC_SUB", claim("sub", strings.Repeat("s", 256))},
		{"sub with a NUL", "OIDC_SUB", claim("sub", "a\x00b")},
		{"sub is a number", "OIDC_TOKEN_FORM", claim("sub", 7)},
		{"SUB is not sub", "OIDC_SUB", idp.OIDCKnobs{MutateClaims: func(c map[string]any) { c["SUB"] = c["sub"]; delete(c, "sub") }}},
		{"at_hash of another token", "OIDC_AT_HASH", claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA")},
		{"c_hash of another code", "OIDC_C_HASH", claim("c_hash", "AAAAAAAAAAAAAAAAAAAAAA")},
		{"auth_time to come", "OIDC_AUTH_TIME", claim("auth_time", now+121)},
		{"quoted auth_time", "OIDC_TOKEN_FORM", claim("auth_time", fmt.Sprint(now))},
		{"nbf in words", "OIDC_TOKEN_FORM", claim("nbf", "now")},
		{"nbf in the year 9999", "OIDC_NOT_YET", claim("nbf", 253402300799)},
		{"fractional exp in the past", "OIDC_EXPIRED", claim("exp", float64(now)-120.5)},
		{"aud list of us twice without azp", "OIDC_AZP", claim("aud", []string{rig.Client.ID, rig.Client.ID})},
		{"aud in another case", "OIDC_AUDIENCE", claim("aud", strings.ToUpper(rig.Client.ID))},
		{"no e-mail anywhere", "OIDC_NO_EMAIL", idp.OIDCKnobs{
			MutateClaims:   func(c map[string]any) { delete(c, "email") },
			MutateUserinfo: func(c map[string]any) { delete(c, "email") },
		}},
		{"e-mail that is none", "OIDC_NO_EMAIL", claim("email", "ada")},
		{"e-mail with a NUL", "OIDC_NO_EMAIL", claim("email", "a\x00@acme.example")},
		{"token too large", "OIDC_TOKEN_FORM", claim("pad", strings.Repeat("x", 65<<10))},
		{"userinfo of another", "OIDC_USERINFO_SUB", idp.OIDCKnobs{MutateClaims: func(c map[string]any) { delete(c, "email") }, UserinfoSubject: "another"}},
		{"userinfo without sub", "OIDC_USERINFO_SUB", idp.OIDCKnobs{MutateClaims: func(c map[string]any) { delete(c, "email") }, UserinfoSubject: idp.Omit}},
		{"userinfo by another", "OIDC_USERINFO_ISSUER", idp.OIDCKnobs{
			MutateClaims:   func(c map[string]any) { delete(c, "email") },
			MutateUserinfo: func(c map[string]any) { c["iss"] = "https://evil.example" },
		}},
		{"userinfo for another", "OIDC_USERINFO_ISSUER", idp.OIDCKnobs{
			MutateClaims:   func(c map[string]any) { delete(c, "email") },
			MutateUserinfo: func(c map[string]any) { c["aud"] = "another" },
		}},
		{"signed userinfo by another", "OIDC_USERINFO_ISSUER", idp.OIDCKnobs{MutateClaims: noEmail, SignUserinfo: true, MutateUserinfo: func(c map[string]any) { c["iss"] = stranger.Issuer() }}},
		{"signed userinfo of another", "OIDC_USERINFO_SUB", idp.OIDCKnobs{MutateClaims: noEmail, SignUserinfo: true, UserinfoSubject: "another"}},
		{"userinfo signed with another key", "OIDC_USERINFO", idp.OIDCKnobs{MutateClaims: noEmail, Endpoints: map[string]idp.Fault{"userinfo": {Status: 200, Type: "application/jwt", Body: foreignInfo}}}},
		{"unsigned userinfo as JWT", "OIDC_USERINFO", idp.OIDCKnobs{MutateClaims: noEmail, Endpoints: map[string]idp.Fault{"userinfo": {Status: 200, Type: "application/jwt", Body: unsignedInfo}}}},
		{"userinfo as HTML", "OIDC_USERINFO", idp.OIDCKnobs{MutateClaims: noEmail, Endpoints: map[string]idp.Fault{"userinfo": {Status: 200, Type: "text/html", Body: `{"sub":"00u1"}`}}}},
		{"userinfo names its subject twice", "OIDC_USERINFO", idp.OIDCKnobs{MutateClaims: noEmail, Endpoints: map[string]idp.Fault{"userinfo": {Status: 200, Body: `{"sub":"00u1","email":"evil@acme.example","sub":"00u1"}`}}}},
		{"userinfo redirects", "OIDC_USERINFO", idp.OIDCKnobs{MutateClaims: noEmail, Endpoints: map[string]idp.Fault{"userinfo": {RedirectTo: stranger.Issuer() + "/oidc/userinfo"}}}},
		{"userinfo is huge", "OIDC_USERINFO", idp.OIDCKnobs{MutateClaims: noEmail, Endpoints: map[string]idp.Fault{"userinfo": {Huge: 50 << 20}}}},
		{"userinfo fails", "OIDC_USERINFO", idp.OIDCKnobs{
			MutateClaims: func(c map[string]any) { delete(c, "email") },
			Endpoints:    map[string]idp.Fault{"userinfo": {Status: 500, Body: "evil"}},
		}},
		{"token endpoint refuses", "OIDC_TOKEN_ENDPOINT", idp.OIDCKnobs{TokenError: "invalid_grant"}},
		{"token endpoint redirects", "OIDC_TOKEN_ENDPOINT", idp.OIDCKnobs{Endpoints: map[string]idp.Fault{"token": {RedirectTo: stranger.Issuer() + "/oidc/token"}}}},
		{"token endpoint without ID token", "OIDC_NO_ID_TOKEN", idp.OIDCKnobs{Endpoints: map[string]idp.Fault{"token": {Status: 200, Body: `{"access_token":"a","token_type":"Bearer"}`}}}},
		{"ID token that is none", "OIDC_TOKEN_FORM", idp.OIDCKnobs{Endpoints: map[string]idp.Fault{"token": {Status: 200, Body: `{"access_token":"a","token_type":"Bearer","id_token":"x"}`}}}},
		{"encrypted ID token", "OIDC_TOKEN_FORM", idp.OIDCKnobs{Endpoints: map[string]idp.Fault{"token": {Status: 200, Body: `{"access_token":"a","token_type":"Bearer","id_token":"a.b.c.d.e"}`}}}},
		{"token endpoint is huge", "OIDC_TOKEN_ENDPOINT", idp.OIDCKnobs{Endpoints: map[string]idp.Fault{"token": {Huge: 50 << 20}}}},
	} {
		t.Run(k.name, func(t *testing.T) {
			w.t = t
			before := w.people()
			w.idp.SetOIDCKnobs(k.knobs)
			defer w.idp.SetOIDCKnobs(idp.OIDCKnobs{})
			refused(t, browser.New(t).LogIn(w.start(), ada.ID), k.code)
			l := w.logged(signin.OutcomeFailure, k.code)
			if l.FlowID == "" || len(l.Checks) == 0 || l.Checks[len(l.Checks)-1].OK && k.code != "OIDC_NO_EMAIL" {
				t.Errorf("%+v", l)
			}
			if after := w.people(); after != before {
				t.Errorf("users, identities, sessions: %v, then %v", before, after)
			}
		})
	}
	// What is unusual and right.
	for name, knobs := range map[string]idp.OIDCKnobs{
		"aud list with azp":          {Audience: []string{rig.Client.ID, "b"}, AZP: rig.Client.ID},
		"aud list of us alone":       {Audience: []string{rig.Client.ID}},
		"times with fractions":       claim("exp", float64(now)+59.5),
		"exp within the leeway":      claim("exp", now-119),
		"nbf within the leeway":      claim("nbf", now+119),
		"iat within the leeway":      claim("iat", now+119),
		"clock a minute behind":      {TimeShift: -time.Minute},
		"no at_hash":                 claim("at_hash", nil),
		"amr as a string":            claim("amr", "pwd"),
		"e-mail from userinfo":       {MutateClaims: func(c map[string]any) { delete(c, "email"); delete(c, "groups") }},
		"userinfo fails, unneeded":   {MutateClaims: func(c map[string]any) { delete(c, "groups") }, Endpoints: map[string]idp.Fault{"userinfo": {Status: 500}}},
		"jwk of another in a header": header("jwk", attackersKey),
		"signed userinfo":            {MutateClaims: noEmail, SignUserinfo: true},
		"signed userinfo, with iss":  {MutateClaims: noEmail, SignUserinfo: true, MutateUserinfo: func(c map[string]any) { c["iss"], c["aud"] = w.idp.Issuer(), rig.Client.ID }},
		"typ application/jwt":        header("typ", "application/JWT"),
		"no typ":                     {MutateHeader: func(h map[string]any) { delete(h, "typ") }},
		"aud list of us, with azp":   {Audience: []string{rig.Client.ID}, AZP: rig.Client.ID},
		"nulls":                      {MutateClaims: func(c map[string]any) { c["azp"], c["nbf"], c["acr"] = nil, nil, nil }},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.idp.SetOIDCKnobs(knobs)
			defer w.idp.SetOIDCKnobs(idp.OIDCKnobs{})
			arrived(t, browser.New(t).LogIn(w.start(), ada.ID))
		})
	}
}

// A key without kid: one published key is meant, of two it is not clear which.
func TestKeysWithoutKID(t *testing.T) {
	w := once(t)
	w.idp.SetOIDCKnobs(idp.OIDCKnobs{KID: idp.Omit})
	arrived(t, browser.New(t).LogIn(w.start(), ada.ID))
	if err := w.idp.RotateOIDCKey(true); err != nil {
		t.Fatal(err)
	}
	w.Clock.Advance(time.Hour + time.Second) // keys are read again
	refused(t, browser.New(t).LogIn(w.start(), ada.ID), "OIDC_KEY_AMBIGUOUS")
}

// publicKey is the provider's, in DER and as JWK.
func (w *world) publicKey(t *testing.T) (der, jwk []byte) {
	t.Helper()
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	a := w.send(http.MethodGet, w.idp.Issuer()+"/oidc/jwks", "", "")
	if err := json.Unmarshal([]byte(a.body), &set); err != nil {
		t.Fatal(err)
	}
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(set.Keys[0]); err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Key)
	if err != nil {
		t.Fatal(err)
	}
	return der, set.Keys[0]
}

// OpenID Connect Core §3.1.2.1, max_age: an application that asks for a fresh
// login gets one, or none.
func TestAuthTime(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		fresh := func() browser.Page {
			t.Helper()
			return browser.New(t).LogIn(w.StartURL("connection", w.conn.ID, "prompt", "login"), ada.ID)
		}
		now := w.Clock.Now().Unix()
		arrived(t, fresh())
		for _, at := range []any{nil, now - 3600, now - 121, now + 121, 0, -1} {
			w.set(t, claim("auth_time", at))
			refused(t, fresh(), "OIDC_AUTH_TIME")
		}
		w.set(t, claim("auth_time", now-119))
		arrived(t, fresh())
		w.set(t, claim("auth_time", now-3600)) // nobody asked
		w.in(t)
		w.set(t, claim("auth_time", nil))
		w.in(t)
	})
}

// acr_values of the connection are asked for, and one of them must come back.
func TestACR(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		settings := *w.conn.OIDC
		settings.ACRValues = []string{"urn:strong", "urn:stronger"}
		w.SetConnection(w.conn, tenants.SSOPatch{OIDC: &settings})
		w.in(t) // the test provider gives what is asked for first
		for acr, ok := range map[any]bool{"urn:stronger": true, "urn:weak": false, "": false, nil: false, "urn:strong urn:stronger": false, "URN:STRONG": false} {
			w.set(t, claim("acr", acr))
			if ok {
				w.in(t)
			} else {
				w.out(t, "OIDC_ACR")
			}
		}
	})
}

package client

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// signer is a provider's key with the key set that knows it.
type signer struct {
	key  *ecdsa.PrivateKey
	keys *oidc.KeySet
}

func newSigner(t testing.TB) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{key, known(jose.JSONWebKey{Key: key.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"})}
}

// known is a key set that was just read.
func known(keys ...jose.JSONWebKey) *oidc.KeySet {
	return oidc.FixedKeys(keys...)
}

func (s signer) judge(t testing.TB, raw string) (verified, *checkLog, error) {
	t.Helper()
	log := &checkLog{}
	v, err := verifyIDToken(t.Context(), raw, s.keys, want, log)
	return v, log, err
}

// sign signs exactly this payload.
func (s signer) sign(t testing.TB, payload []byte) string {
	t.Helper()
	js, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: s.key}, (&jose.SignerOptions{}).WithHeader("kid", "k1"))
	if err != nil {
		t.Fatal(err)
	}
	o, err := js.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := o.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

var want = expectation{issuer: "https://idp.example", clientID: "us", nonce: "n-1", accessToken: "at", now: now}

func payload(extra string) string {
	return fmt.Sprintf(`{"iss":"https://idp.example","aud":"us","nonce":"n-1","sub":"00u1","iat":%d,"exp":%d%s}`, now.Unix(), now.Unix()+300, extra)
}

// The payload as signed, byte for byte: what JSON readers disagree about is refused.
func TestPayload(t *testing.T) {
	s := newSigner(t)
	good := func(name, body string) {
		t.Helper()
		c, _, err := s.judge(t, s.sign(t, []byte(body)))
		if err != nil || c.Subject != "00u1" {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	bad := func(name, body, code string) {
		t.Helper()
		if _, _, err := s.judge(t, s.sign(t, []byte(body))); fault.CodeOf(err) != code {
			t.Errorf("%s: %v, want %s", name, err, code)
		}
	}
	good("plain", payload(""))
	good("names of other case are other claims", payload(`,"SUB":"victim","Iss":"https://evil.example","NONCE":"x","EXP":1`))
	good("exponent", strings.Replace(payload(""), fmt.Sprint(now.Unix()+300), "1.7723665e9", 1))
	good("nested objects may repeat names", payload(`,"x":{"a":1,"a":2}`))
	bad("sub twice", payload(`,"sub":"victim"`), "OIDC_TOKEN_FORM")
	bad("sub twice, escaped", payload(`,"\u0073ub":"victim"`), "OIDC_TOKEN_FORM")
	bad("two objects", payload("")+payload(""), "OIDC_TOKEN_FORM")
	bad("something after", payload("")+" x", "OIDC_TOKEN_FORM")
	bad("an array", "["+payload("")+"]", "OIDC_TOKEN_FORM")
	bad("null", "null", "OIDC_TOKEN_FORM")
	bad("a string", `"x"`, "OIDC_TOKEN_FORM")
	bad("empty", "", "OIDC_TOKEN_FORM")
	bad("cut off", payload("")[:40], "OIDC_TOKEN_FORM")
	bad("deep", payload(`,"x":`+strings.Repeat("[", 20_000)), "OIDC_TOKEN_FORM")
	bad("amr of numbers", payload(`,"amr":[1]`), "OIDC_TOKEN_FORM")
	bad("exp is a boolean", payload(`,"auth_time":true`), "OIDC_TOKEN_FORM")
}

// Serializations and signatures that a library may take and we do not.
func TestSerialization(t *testing.T) {
	s := newSigner(t)
	raw := s.sign(t, []byte(payload("")))
	parts := strings.Split(raw, ".")
	bad := func(name, raw, code string) {
		t.Helper()
		if _, _, err := s.judge(t, raw); fault.CodeOf(err) != code {
			t.Errorf("%s: %v, want %s", name, err, code)
		}
	}
	bad("no signature", parts[0]+"."+parts[1]+".", "OIDC_SIG")
	bad("two parts", parts[0]+"."+parts[1], "OIDC_TOKEN_FORM")
	bad("four parts", raw+".x", "OIDC_TOKEN_FORM")
	bad("JSON serialization", fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2]), "OIDC_TOKEN_FORM")
	bad("padding", parts[0]+"."+parts[1]+"=."+parts[2], "OIDC_TOKEN_FORM")
	bad("another payload", parts[0]+"."+base64.RawURLEncoding.EncodeToString([]byte(payload(`,"x":1`)))+"."+parts[2], "OIDC_SIG")
	bad("another key", newSigner(t).sign(t, []byte(payload(""))), "OIDC_SIG")
	bad("empty", "", "OIDC_TOKEN_FORM")
	bad("white space", " "+raw, "OIDC_TOKEN_FORM")

	// Keys of one kid are told apart by type; a weak or foreign one is no candidate.
	other := newSigner(t)
	own := jose.JSONWebKey{Key: s.key.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}
	s.keys = known(own, jose.JSONWebKey{Key: other.key.Public(), KeyID: "k1", Algorithm: "ES256"})
	bad("two keys of one kid", raw, "OIDC_KEY_AMBIGUOUS")
	own.Algorithm = "ES384"
	s.keys = known(own)
	bad("a key that names another algorithm", raw, "OIDC_ALG")
}

// A key set takes signing keys alone and at most a hundred.
func TestKeySetReads(t *testing.T) {
	public := func(mutate func(map[string]any)) json.RawMessage {
		k := jose.JSONWebKey{Key: newSigner(t).key.Public(), KeyID: "k"}
		text, err := k.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		m := map[string]any{}
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		mutate(m)
		if text, err = json.Marshal(m); err != nil {
			t.Fatal(err)
		}
		return text
	}
	set := map[string]any{"keys": []json.RawMessage{
		public(func(map[string]any) {}),
		public(func(m map[string]any) { m["use"] = "sig" }),
		public(func(m map[string]any) { m["use"] = "enc" }),
		public(func(m map[string]any) { m["kty"] = "future" }),
		public(func(m map[string]any) { m["x"] = m["y"] }), // not on the curve
		json.RawMessage(`{"kty":"oct","k":"c2VjcmV0","kid":"k"}`),
		json.RawMessage(`"nonsense"`),
		// So long that to verify takes seconds, and the provider chooses.
		json.RawMessage(`{"kty":"RSA","kid":"k","e":"f____w","n":"` + strings.Repeat("A9", 10_000) + `"}`),
	}}
	var many []json.RawMessage
	for range 150 {
		many = append(many, public(func(map[string]any) {}))
	}
	for name, k := range map[string]struct {
		doc  any
		want int
	}{"mixed": {set, 2}, "many": {map[string]any{"keys": many}, 100}, "none": {map[string]any{}, 0}} {
		body, err := json.Marshal(k.doc)
		if err != nil {
			t.Fatal(err)
		}
		ks := oidc.NewKeySet("http://keys.example/", &http.Client{Transport: answer(body)})
		if got, _, err := ks.Find(t.Context(), "", now, nil); err != nil || len(got) != k.want {
			t.Errorf("%s: %d keys, %v", name, len(got), err)
		}
	}
	ks := oidc.NewKeySet("http://keys.example/", &http.Client{Transport: answer("<html>")})
	if _, _, err := ks.Find(t.Context(), "k", now, nil); err == nil {
		t.Error("HTML was taken for keys")
	}
}

type answer []byte

func (a answer) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: r, Body: readCloser{bytes.NewReader(a)}}
	return rec, nil
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

// Who the person is, by the provider's claims (product 6.2; identity rule 2).
func TestIdentityOf(t *testing.T) {
	conn := tenants.SSOConnection{ID: "sso_1", Tenant: "ten_1", OIDC: &tenants.OIDCSettings{GroupsClaim: "groups"}}
	read := func(conn tenants.SSOConnection, text string) (signin.Identity, error) {
		t.Helper()
		all, err := readObject([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		c, err := readClaims(all)
		if err != nil {
			t.Fatal(err)
		}
		return identityOf(conn, verified{all: all, claims: c}, all)
	}
	id, err := read(conn, `{"iss":"https://login.microsoftonline.com/t-1/v2.0","sub":"pairwise","tid":"t-1","oid":"o-1","email":"ada@acme.example",
		"preferred_username":"ada@corp.example","name":"Ada Byron","groups":["g-1"],"amr":["pwd","mfa"],"sid":"s-1","auth_time":1772366400,"session_expiry":1772366401.9}`)
	if err != nil || fmt.Sprint(id.SubjectParts) != "[https://login.microsoftonline.com/t-1/v2.0 pairwise t-1 o-1]" || id.ObjectID != "o-1" || id.UserName != "ada@corp.example" ||
		id.Subject != "pairwise" || id.EmailVerified == nil || *id.EmailVerified || !id.GroupsKnown || id.Upstream != "s-1" || id.At.Unix() != 1772366400 || id.SessionEnd.Unix() != 1772366401 {
		t.Errorf("Entra ID: %+v, %v", id, err)
	}
	id, err = read(conn, `{"iss":"https://acme.okta.example","sub":"00u1","oid":"forged","email":"ada@acme.example","email_verified":"TRUE"}`)
	if err != nil || id.ObjectID != "" || len(id.SubjectParts) != 2 || id.GroupsKnown || id.UserName != id.Email || id.EmailVerified == nil || !*id.EmailVerified {
		t.Errorf("another provider: %+v, %v", id, err)
	}
	// Without an e-mail the login name is one as a last resort, which matches nobody.
	for text, want := range map[string]string{
		`"iss":"https://fs.acme.example/adfs","upn":"ada@acme.example","email_verified":true`:                                                "ada@acme.example false",
		`"iss":"https://fs.acme.example/adfs","upn":"ada@acme.example","email":"ada.byron@acme.example","email_verified":true`:               "ada.byron@acme.example true",
		`"iss":"https://login.microsoftonline.com/t-1/v2.0","tid":"t-1","oid":"o-1","preferred_username":"ada@acme.example","xms_edov":true`: "ada@acme.example false",
	} {
		id, err := read(conn, `{"sub":"s",`+text+`}`)
		if err != nil || id.EmailVerified == nil || fmt.Sprint(id.Email, " ", *id.EmailVerified) != want {
			t.Errorf("%s: %+v, %v", text, id, err)
		}
	}
	for _, text := range []string{`"preferred_username":"ada@acme.example"`, `"upn":"ACME\\ada"`, `"upn":["ada@acme.example"]`} { // a name that people choose, and none
		if _, err := read(conn, `{"iss":"i","sub":"s",`+text+`}`); fault.CodeOf(err) != "OIDC_NO_EMAIL" {
			t.Errorf("%s: %v", text, err)
		}
	}
	// Entra's overage: the address that the token names is not asked, and the groups stay.
	id, err = read(conn, `{"iss":"i","sub":"s","email":"ada@acme.example","_claim_names":{"groups":"src1"},"_claim_sources":{"src1":{"endpoint":"http://169.254.169.254/"}}}`)
	if err != nil || id.GroupsKnown {
		t.Errorf("overage: %+v, %v", id, err)
	}
	for text, groups := range map[string]string{`"groups":[]`: "[]", `"groups":"one"`: "[one]", `"groups":["a",7,"b"]`: "[a b]"} {
		id, err = read(conn, `{"iss":"i","sub":"s","email":"ada@acme.example",`+text+`}`)
		if err != nil || !id.GroupsKnown || fmt.Sprint(id.Groups) != groups {
			t.Errorf("%s: %q (known %v), %v", text, id.Groups, id.GroupsKnown, err)
		}
	}
	mapped := conn
	mapped.Mapping = tenants.AttributeMapping{Email: "work_mail", FirstName: "call", Groups: "https://acme.example/roles"}
	id, err = read(mapped, `{"iss":"i","sub":"s","email":"wrong@acme.example","work_mail":"ada@acme.example","call":"Ada","given_name":"A","https://acme.example/roles":["x"]}`)
	if err != nil || id.Email != "ada@acme.example" || id.FirstName != "Ada" || fmt.Sprint(id.Groups) != "[x]" {
		t.Errorf("mapping: %+v, %v", id, err)
	}
	for _, hidden := range []string{"_claim_names", "_x"} {
		if _, there := id.Attributes[hidden]; there {
			t.Errorf("attribute %s is kept", hidden)
		}
	}
}

// FuzzIDToken: whatever is signed, nothing panics, and what is accepted says
// exactly what it must, by the names as they stand in the payload.
func FuzzIDToken(f *testing.F) {
	s := newSigner(f)
	for _, extra := range []string{
		"", `,"azp":"us"`, `,"aud":["us","b"],"azp":"us"`, `,"nbf":1772366400`, `,"at_hash":"x"`, `,"sub":"victim"`, `,"SUB":"victim"`, `,"amr":["mfa"]`, `,"exp":"1"`,
	} {
		f.Add([]byte(payload(extra)))
	}
	f.Add([]byte(`{}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, log, err := s.judge(t, s.sign(t, body))
		if err != nil {
			if fault.CodeOf(err) == "" {
				t.Fatalf("not a fault: %v", err)
			}
			return
		}
		for _, check := range log.list {
			if !check.OK {
				t.Errorf("accepted with the failed check %+v", check)
			}
		}
		var plain map[string]any
		if err := json.Unmarshal(body, &plain); err != nil {
			t.Fatalf("accepted what is no JSON: %v", err)
		}
		if plain["iss"] != want.issuer || plain["nonce"] != want.nonce || plain["sub"] != c.Subject || c.all["sub"] != c.Subject || c.Subject == "" {
			t.Errorf("accepted %q as %+v", body, c)
		}
		switch aud := plain["aud"].(type) {
		case string:
			if aud != want.clientID {
				t.Errorf("audience %q", aud)
			}
		case []any:
			ours := false
			for _, a := range aud {
				ours = ours || a == want.clientID
			}
			if !ours || len(aud) > 1 && plain["azp"] != want.clientID {
				t.Errorf("audience %v, azp %v", aud, plain["azp"])
			}
		default:
			t.Errorf("audience %v", aud)
		}
		if azp, there := plain["azp"].(string); there && azp != "" && azp != want.clientID {
			t.Errorf("azp %q", azp)
		}
		exp, _ := plain["exp"].(float64)
		if exp <= float64(now.Add(-leeway).Unix()) {
			t.Errorf("exp %v", plain["exp"])
		}
	})
}

// FuzzRawIDToken: nothing that is not signed by the provider is accepted.
func FuzzRawIDToken(f *testing.F) {
	s := newSigner(f)
	raw := s.sign(f, []byte(payload("")))
	f.Add(raw)
	f.Add(strings.Replace(raw, ".", "..", 1))
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + strings.Split(raw, ".")[1] + ".")
	signed, _, err := s.judge(f, raw)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, token string) {
		// Base64 may be written in more than one way; the claims may not.
		v, _, err := s.judge(t, token)
		if err == nil && !reflect.DeepEqual(v.all, signed.all) {
			t.Errorf("accepted %q", token)
		}
		if err != nil && fault.CodeOf(err) == "" {
			t.Errorf("not a fault: %v", err)
		}
	})
}

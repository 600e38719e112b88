package client

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// compact makes a token of any header, payload and signature.
func compact(header, payload string, sig []byte) string {
	e := base64.RawURLEncoding
	return e.EncodeToString([]byte(header)) + "." + e.EncodeToString([]byte(payload)) + "." + e.EncodeToString(sig)
}

func signAs(t *testing.T, alg jose.SignatureAlgorithm, key any, kid string, body string) string {
	t.Helper()
	o := &jose.SignerOptions{}
	if kid != "" {
		o = o.WithHeader("kid", kid)
	}
	js, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, o)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := js.Sign([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// Forged signatures: whoever cannot sign with the published key gets nothing.
func TestForgeries(t *testing.T) {
	s := newSigner(t)
	bad := func(name, raw string, codes ...string) {
		t.Helper()
		_, _, err := s.judge(t, raw)
		for _, c := range codes {
			if fault.CodeOf(err) == c {
				return
			}
		}
		t.Errorf("%s: %v, want %v", name, err, codes)
	}
	es := `{"alg":"ES256","kid":"k1"}`
	bad("r and s zero", compact(es, payload(""), make([]byte, 64)), "OIDC_SIG")
	order := elliptic.P256().Params().N
	n := order.FillBytes(make([]byte, 32))
	bad("r and s the order", compact(es, payload(""), append(n, n...)), "OIDC_SIG")
	bad("short", compact(es, payload(""), make([]byte, 63)), "OIDC_SIG")
	bad("long", compact(es, payload(""), make([]byte, 65)), "OIDC_SIG")
	bad("DER instead of r and s", func() string {
		der, err := s.key.Sign(rand.Reader, make([]byte, 32), crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		return compact(es, payload(""), der)
	}(), "OIDC_SIG")
	attacker := newSigner(t)
	own, err := (&jose.JSONWebKey{Key: attacker.key.Public(), KeyID: "k1"}).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	withJWK := func(header string) string {
		js, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: attacker.key}, &jose.SignerOptions{
			ExtraHeaders: map[jose.HeaderKey]any{"kid": "k1", jose.HeaderKey(header): json.RawMessage(own)},
		})
		if err != nil {
			t.Fatal(err)
		}
		o, err := js.Sign([]byte(payload("")))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := o.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	bad("the attacker's key in the header under the provider's kid", withJWK("jwk"), "OIDC_SIG")
	for _, h := range []string{
		`{"alg":"none"}`, `{"alg":"none","kid":"k1"}`, `{"alg":"nOnE","kid":"k1"}`, `{"alg":"","kid":"k1"}`, `{"kid":"k1"}`, `{"alg":"HS256","kid":"k1"}`, `{"alg":"HS512","kid":"k1"}`,
		`{"alg":"RSA1_5","enc":"A128GCM","kid":"k1"}`, `{"alg":["ES256"],"kid":"k1"}`, `{"alg":null,"kid":"k1"}`,
	} {
		bad(h, compact(h, payload(""), nil), "OIDC_ALG", "OIDC_TOKEN_FORM")
		bad(h+" signed", compact(h, payload(""), make([]byte, 64)), "OIDC_ALG", "OIDC_TOKEN_FORM")
	}
	for _, typ := range []string{`["at+jwt"]`, `7`, `{}`} {
		bad("typ "+typ, compact(`{"alg":"ES256","kid":"k1","typ":`+typ+`}`, payload(""), make([]byte, 64)), "OIDC_TYP", "OIDC_TOKEN_FORM")
	}
	bad("RS256, with an EC key", compact(`{"alg":"RS256","kid":"k1"}`, payload(""), make([]byte, 256)), "OIDC_ALG")
	bad("Ed25519, with an EC key", compact(`{"alg":"EdDSA","kid":"k1"}`, payload(""), make([]byte, 64)), "OIDC_ALG")

	// RSA: the published key is too short, or its exponent makes forging easy.
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	s.keys = known(jose.JSONWebKey{Key: short.Public(), KeyID: "k1", Algorithm: "RS256"})
	bad("RSA of 1024 bits", signAs(t, jose.RS256, short, "k1", payload("")), "OIDC_ALG")
	cube := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 2047), E: 3}
	s.keys = known(jose.JSONWebKey{Key: cube, KeyID: "k1", Algorithm: "RS256"})
	bad("RSA garbage", compact(`{"alg":"RS256","kid":"k1"}`, payload(""), make([]byte, 256)), "OIDC_SIG")
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s.keys = known(jose.JSONWebKey{Key: ed.Public(), KeyID: "k1"})
	if _, _, err := s.judge(t, signAs(t, jose.EdDSA, ed, "k1", payload(""))); err != nil {
		t.Errorf("EdDSA: %v", err)
	}
	for alg, curve := range map[jose.SignatureAlgorithm]elliptic.Curve{jose.ES384: elliptic.P384(), jose.ES512: elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		s.keys = known(jose.JSONWebKey{Key: key.Public(), KeyID: "k1"})
		if _, _, err := s.judge(t, signAs(t, alg, key, "k1", payload(""))); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

// serving answers with the key set of the moment and counts.
type serving struct {
	keys []jose.JSONWebKey
	n    int
}

func (s *serving) RoundTrip(r *http.Request) (*http.Response, error) {
	s.n++
	body, err := json.Marshal(jose.JSONWebKeySet{Keys: s.keys})
	if err != nil {
		return nil, err
	}
	return answer(body).RoundTrip(r)
}

// A provider may put a new key under an old id, or use no ids: the signature
// that does not hold makes us ask, once a minute.
func TestKeyReplacedUnderItsID(t *testing.T) {
	for _, kid := range []string{"k1", ""} {
		old, fresh := newSigner(t), newSigner(t)
		at := &serving{keys: []jose.JSONWebKey{{Key: old.key.Public(), KeyID: kid}}}
		keys := oidc.NewKeySet("http://keys.example/", &http.Client{Transport: at})
		judge := func(s signer, when time.Duration) error {
			want := want
			want.now = now.Add(when)
			_, err := verifyIDToken(t.Context(), signAs(t, jose.ES256, s.key, kid, payload("")), keys, want, &checkLog{})
			return err
		}
		if err := judge(old, 0); err != nil || at.n != 1 {
			t.Errorf("%q: %v, %d fetches", kid, err, at.n)
		}
		at.keys = []jose.JSONWebKey{{Key: fresh.key.Public(), KeyID: kid}}
		if err := judge(fresh, 59*time.Second); fault.CodeOf(err) != "OIDC_SIG" || at.n != 1 {
			t.Errorf("%q, within the minute: %v, %d fetches", kid, err, at.n)
		}
		if err := judge(fresh, time.Minute); err != nil || at.n != 2 {
			t.Errorf("%q, after it: %v, %d fetches", kid, err, at.n)
		}
		if err := judge(old, 2*time.Minute); fault.CodeOf(err) != "OIDC_SIG" || at.n != 3 {
			t.Errorf("%q, the old key: %v, %d fetches", kid, err, at.n)
		}
	}
}

// What the claims must say beyond the payload tests: hashes, directories.
func TestJudge(t *testing.T) {
	s := newSigner(t)
	code := func(w expectation, extra string) string {
		t.Helper()
		_, err := verifyIDToken(t.Context(), s.sign(t, []byte(payload(extra))), s.keys, w, &checkLog{})
		return fault.CodeOf(err)
	}
	w := want
	w.code = "c-1"
	for extra, expect := range map[string]string{
		fmt.Sprintf(`,"at_hash":%q,"c_hash":%q`, leftHash(jose.ES256, "at"), leftHash(jose.ES256, "c-1")): "",
		fmt.Sprintf(`,"at_hash":%q`, leftHash(jose.ES256, "another tenant's")):                            "OIDC_AT_HASH",
		fmt.Sprintf(`,"c_hash":%q`, leftHash(jose.ES256, "c-2")):                                          "OIDC_C_HASH",
		fmt.Sprintf(`,"at_hash":%q`, leftHash(jose.ES384, "at")):                                          "OIDC_AT_HASH",
		`,"at_hash":7`: "OIDC_TOKEN_FORM",
		`,"azp":"us"`:  "", `,"azp":""`: "", `,"azp":"them"`: "OIDC_AZP",
		`,"jti":{}`: "OIDC_TOKEN_FORM",
		// Keycloak before 9 writes zero for what it does not know.
		`,"nbf":0,"auth_time":0`: "",
	} {
		if got := code(w, extra); got != expect {
			t.Errorf("%s: %q, want %q", extra, got, expect)
		}
	}
	w.authAfter = now
	if got := code(w, `,"auth_time":0`); got != "OIDC_AUTH_TIME" {
		t.Errorf("auth_time 0, where a fresh sign-in is demanded: %q", got)
	}
	for alg, length := range map[jose.SignatureAlgorithm]int{jose.RS256: 22, jose.PS384: 32, jose.ES512: 43, jose.EdDSA: 43} {
		if got := leftHash(alg, "x"); len(got) != length {
			t.Errorf("%s: %q", alg, got)
		}
	}
}

func TestCheckIssuer(t *testing.T) {
	for issuer, ok := range map[string]bool{
		"https://acme.okta.example": true, "https://accounts.google.com": true,
		"https://login.microsoftonline.com/8a5e0b52-60a4-4cf1-9b0b-9a2ca46b6a5c/v2.0": true,
		"https://login.microsoftonline.us/8a5e0b52-60a4-4cf1-9b0b-9a2ca46b6a5c/v2.0":  true,
		"https://login.microsoftonline.com/common/v2.0":                               false,
		"https://login.microsoftonline.com/organizations/v2.0":                        false,
		"https://login.microsoftonline.com/consumers/v2.0":                            false,
		"https://login.microsoftonline.com/{tenantid}/v2.0":                           false,
		"https://login.partner.microsoftonline.cn/common/v2.0":                        false,
		"https://sts.windows.net/common/":                                             false,
	} {
		if err := CheckIssuer(issuer); (err == nil) != ok || !ok && fault.CodeOf(err) != "OIDC_ENTRA_ISSUER" {
			t.Errorf("%s: %v", issuer, err)
		}
		if ok {
			continue
		}
		p := &providers{http: &http.Client{Transport: answer(nil)}, m: map[string]*oidc.Cached[*provider]{}}
		if _, err := p.get(t.Context(), issuer, now, false); fault.CodeOf(err) != "OIDC_ENTRA_ISSUER" {
			t.Errorf("%s is asked: %v", issuer, err)
		}
	}
}

// Groups as providers write them.
func TestReadGroups(t *testing.T) {
	for text, want := range map[string]string{
		`{"groups":["a","b"]}`: "[a b] true false", `{"groups":"one"}`: "[one] true false", `{"groups":[]}`: "[] true false",
		`{}`: "[] false false", `{"groups":null}`: "[] false false",
		`{"groups":[{"id":"1","name":"a"},{"id":"2","display":"b"},{"displayName":"c"},{"id":"4"},{"x":1},7,null]}`: "[a b c 4] true false",
		`{"groups":["/a","/a/b"," c ","/","",{"name":"/d"}]}`:                                                       "[a a/b c d] true false", // Keycloak
		`{"groups":["a",{"name":"b"}]}`:                                                                             "[a b] true false",
		`{"groups":{"a":1}}`:                                                                                        "[] true false",
		`{"_claim_names":{"groups":"src1"}}`:                                                                        "[] false true",
		`{"_claim_names":{"roles":"src1"}}`:                                                                         "[] false false",
		`{"hasgroups":true}`:                                                                                        "[] false true",
		`{"hasgroups":"true"}`:                                                                                      "[] false true",
		`{"hasgroups":false,"groups":["a"]}`:                                                                        "[a] true false",
		`{"groups":["a"],"_claim_names":{"groups":"src1"}}`:                                                         "[] false true",
	} {
		all, err := readObject([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		var id signin.Identity
		readGroups(&id, all, "groups")
		if got := fmt.Sprint(id.Groups, id.GroupsKnown, id.GroupsOmitted); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	var id signin.Identity
	if readGroups(&id, map[string]any{"hasgroups": true, "roles": []any{"r"}}, "roles"); !id.GroupsKnown {
		t.Error("hasgroups speaks of groups alone")
	}
}

// Of whom an e-mail is verified.
func TestMerged(t *testing.T) {
	a := attempt{idToken: map[string]any{"email": "a@x.example", "name": "Token"}, userinfo: map[string]any{"email": "b@x.example", "email_verified": true, "name": "Info", "x": "y"}}
	if all := a.merged(); all["email"] != "a@x.example" || all["email_verified"] != nil || all["name"] != "Token" || all["x"] != "y" {
		t.Errorf("%v", all)
	}
	a.userinfo["email"] = "a@x.example"
	if all := a.merged(); all["email_verified"] != true {
		t.Errorf("%v", all)
	}
	// What the ID token calls verified is not what userinfo says alone; what it doubts stays in doubt.
	for said, want := range map[any]any{true: nil, "true": nil, false: false} {
		b := attempt{idToken: map[string]any{"email_verified": said, "xms_edov": said}, userinfo: map[string]any{"email": "b@x.example"}}
		if all := b.merged(); all["email_verified"] != want || all["xms_edov"] != want {
			t.Errorf("%v: %v", said, all)
		}
	}
	if a.userinfo["name"] != "Info" {
		t.Error("what came was changed")
	}
}

// Every code of a login that did not hold is explained to who can mend it.
func TestCodesAreExplained(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`"(OIDC_[A-Z_]+)"`).FindAllStringSubmatch(string(text), -1) {
			if strings.HasPrefix(m[1], "OIDC_LOGOUT_") {
				continue // told to a machine
			}
			seen++
			if _, ok := signin.Explain(m[1], tenants.KindEntra); !ok {
				t.Errorf("%s is not explained", m[1])
			}
		}
	}
	if seen < 30 {
		t.Errorf("%d codes", seen)
	}
}

// FuzzLogoutToken: whatever is signed, nothing panics, and what is accepted is a
// logout token for us that could not be an ID token.
func FuzzLogoutToken(f *testing.F) {
	s := newSigner(f)
	event := `,"events":{"http://schemas.openid.net/event/backchannel-logout":{}}`
	f.Add([]byte(fmt.Sprintf(`{"iss":"https://idp.example","aud":"us","sub":"00u1","jti":"j","iat":%d,"exp":%d%s}`, now.Unix(), now.Unix()+120, event)))
	f.Add([]byte(fmt.Sprintf(`{"iss":"https://idp.example","aud":["us","b"],"sid":"s","jti":"j","iat":%d,"exp":%d%s}`, now.Unix(), now.Unix()+120, event)))
	f.Add([]byte(payload(event)))
	f.Add([]byte(payload(`,"jti":"j","NONCE":"x"` + event)))
	f.Fuzz(func(t *testing.T, body []byte) {
		v, err := verifyLogout(t.Context(), s.sign(t, body), s.keys, want)
		if err != nil {
			if fault.CodeOf(err) == "" {
				t.Fatalf("not a fault: %v", err)
			}
			return
		}
		var plain map[string]any
		if err := json.Unmarshal(body, &plain); err != nil {
			t.Fatalf("accepted what is no JSON: %v", err)
		}
		events, _ := plain["events"].(map[string]any)
		_, logout := events[logoutEvent].(map[string]any)
		_, nonce := plain["nonce"]
		if !logout || nonce || plain["iss"] != want.issuer || plain["jti"] == "" || v.TokenID != plain["jti"] || v.Subject == "" && v.SID == "" {
			t.Errorf("accepted %q", body)
		}
	})
}

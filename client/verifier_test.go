package client

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// issuer publishes keys and signs with them.
type issuer struct {
	*testing.T
	server *httptest.Server
	mu     sync.Mutex
	keys   []jose.JSONWebKey
	asked  atomic.Int64
	down   atomic.Bool
	other  string // an issuer that the discovery document claims to be
	now    time.Time
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{T: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	i.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if i.down.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		i.mu.Lock()
		defer i.mu.Unlock()
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			name := i.server.URL
			if i.other != "" {
				name = i.other
			}
			_ = json.NewEncoder(w).Encode(map[string]string{"issuer": name, "jwks_uri": i.server.URL + "/jwks"})
		case "/jwks":
			i.asked.Add(1)
			set := jose.JSONWebKeySet{}
			for _, k := range i.keys {
				set.Keys = append(set.Keys, k.Public())
			}
			_ = json.NewEncoder(w).Encode(set)
		}
	}))
	t.Cleanup(i.server.Close)
	return i
}

func (i *issuer) add(kid string, alg jose.SignatureAlgorithm) jose.JSONWebKey {
	i.Helper()
	var private crypto.Signer
	var err error
	switch alg {
	case jose.RS256:
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	case jose.EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		i.Fatal(err)
	}
	k := jose.JSONWebKey{Key: private, KeyID: kid, Algorithm: string(alg), Use: "sig"}
	i.mu.Lock()
	i.keys = append(i.keys, k)
	i.mu.Unlock()
	return k
}

func (i *issuer) claims() map[string]any {
	return map[string]any{
		"iss": i.server.URL, "sub": "usr_1", "aud": "app_1", "exp": i.now.Add(10 * time.Minute).Unix(), "iat": i.now.Unix(), "type": "userToken",
		"tenantId": "ten_a", "tenantIds": []string{"ten_a"}, "roles": []string{"billing"}, "permissions": []string{"invoices.*", "fe.*.read.*"},
	}
}

func (i *issuer) sign(k jose.JSONWebKey, typ string, claims map[string]any) string {
	i.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(k.Algorithm), Key: k}, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	if err != nil {
		i.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		i.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		i.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		i.Fatal(err)
	}
	return text
}

func (i *issuer) verifier() *Verifier {
	i.Helper()
	v, err := NewVerifier(VerifierConfig{Issuer: i.server.URL, Audience: "app_1", Now: func() time.Time { return i.now }})
	if err != nil {
		i.Fatal(err)
	}
	return v
}

func TestVerify(t *testing.T) {
	i := newIssuer(t)
	v := i.verifier()
	for _, alg := range algorithms {
		k := i.add("k-"+string(alg), alg)
		i.now = i.now.Add(time.Hour)
		c, err := v.Verify(t.Context(), i.sign(k, "at+jwt", i.claims()))
		if err != nil || c.Subject != "usr_1" || c.TenantID != "ten_a" || !c.HasRole("billing") || c.HasRole("admin") || !c.HasPermission("invoices.lines.write") || c.HasPermission("invoice") {
			t.Errorf("%s: %+v, %v", alg, c, err)
		}
	}
	with := i.claims()
	with["aud"] = []string{"app_0", "app_1"}
	if _, err := v.Verify(t.Context(), i.sign(i.keys[0], "application/AT+JWT", with)); err != nil {
		t.Error(err)
	}
}

// Each token is wrong in one way (RFC 8725; RFC 9068 §4).
func TestVerifyAttacks(t *testing.T) {
	i := newIssuer(t)
	v := i.verifier()
	k := i.add("k", jose.ES256)
	i.add("rsa", jose.RS256)
	public, err := x509.MarshalPKIXPublicKey(k.Public().Key)
	if err != nil {
		t.Fatal(err)
	}
	hmacKey := func(key []byte, kid string) jose.JSONWebKey {
		return jose.JSONWebKey{Key: key, KeyID: kid, Algorithm: string(jose.HS256)}
	}
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	change := func(name string, value any) string {
		c := i.claims()
		if c[name] = value; value == nil {
			delete(c, name)
		}
		return i.sign(k, "at+jwt", c)
	}
	own := newIssuer(t)
	foreign := own.add("k", jose.ES256) // the same kid, another key
	good := i.sign(k, "at+jwt", i.claims())
	parts := strings.Split(good, ".")
	more := i.claims()
	more["permissions"] = []string{"*"}
	wrongAlg := k
	wrongAlg.KeyID = "rsa"
	embedded := foreign
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: embedded}, (&jose.SignerOptions{EmbedJWK: true}).WithType("at+jwt"))
	if err != nil {
		t.Fatal(err)
	}
	payload, _ := json.Marshal(i.claims())
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	selfMade, _ := jws.CompactSerialize()

	for why, token := range map[string]string{
		"empty":                                 "",
		"not a JWT":                             "x",
		"four parts":                            good + ".x",
		"alg none":                              part(map[string]string{"alg": "none", "typ": "at+jwt", "kid": "k"}) + "." + parts[1] + ".",
		"alg none with a signature":             part(map[string]string{"alg": "none", "typ": "at+jwt", "kid": "k"}) + "." + parts[1] + "." + parts[2],
		"HS256 with the public key as DER":      i.sign(hmacKey(public, "k"), "at+jwt", i.claims()),
		"HS256 with the public key as PEM":      i.sign(hmacKey(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), "k"), "at+jwt", i.claims()),
		"an ID token":                           i.sign(k, "JWT", i.claims()),
		"a logout token":                        i.sign(k, "logout+jwt", i.claims()),
		"no typ":                                i.sign(k, "", i.claims()),
		"signed by somebody else":               i.sign(foreign, "at+jwt", i.claims()),
		"with its own key":                      selfMade,
		"a key for another algorithm":           i.sign(wrongAlg, "at+jwt", i.claims()),
		"no kid":                                i.sign(jose.JSONWebKey{Key: k.Key, Algorithm: k.Algorithm}, "at+jwt", i.claims()),
		"changed claims":                        parts[0] + "." + part(more) + "." + parts[2],
		"a cut signature":                       good[:len(good)-4],
		"expired":                               change("exp", i.now.Add(-31*time.Second).Unix()),
		"no end":                                change("exp", nil),
		"a negative end":                        change("exp", -1),
		"a text as end":                         change("exp", "tomorrow"),
		"from the future":                       change("iat", i.now.Add(time.Minute).Unix()),
		"not yet":                               change("nbf", i.now.Add(time.Minute).Unix()),
		"another issuer":                        change("iss", own.server.URL),
		"the issuer with a slash":               change("iss", i.server.URL+"/"),
		"for another application":               change("aud", "app_2"),
		"for several others":                    change("aud", []string{"app_2", "app_3"}),
		"for nobody":                            change("aud", nil),
		"no subject":                            change("sub", nil),
		"no tenant":                             change("tenantId", nil),
		"too long":                              change("name", strings.Repeat("x", maxToken)),
		"an unknown critical header":            part(map[string]any{"alg": "ES256", "typ": "at+jwt", "kid": "k", "crit": []string{"x"}, "x": 1}) + "." + parts[1] + "." + parts[2],
		"JSON serialization":                    jws.FullSerialize(),
		"a signature of zeros (CVE-2022-21449)": parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64)),
	} {
		if c, err := v.Verify(t.Context(), token); !errors.Is(err, ErrToken) || c.Subject != "" {
			t.Errorf("%s: %+v, %v", why, c, err)
		}
	}
	if _, err := v.Verify(t.Context(), good); err != nil {
		t.Error(err)
	}
	if _, err := v.Verify(t.Context(), change("exp", i.now.Add(-29*time.Second).Unix())); err != nil {
		t.Errorf("within the leeway: %v", err)
	}
}

// Keys rotate without a word, invented kids ask nothing, and an issuer that is
// down for a while is missed by nobody.
func TestKeySet(t *testing.T) {
	i := newIssuer(t)
	v := i.verifier()
	old := i.add("old", jose.ES256)
	check := func(k jose.JSONWebKey, want bool) {
		t.Helper()
		if _, err := v.Verify(t.Context(), i.sign(k, "at+jwt", i.claims())); (err == nil) != want {
			t.Errorf("%s: %v", k.KeyID, err)
		}
	}
	check(old, true)
	fresh := i.add("new", jose.ES256)
	check(fresh, false) // too soon to ask again
	i.now = i.now.Add(keysPause)
	check(fresh, true)
	if n := i.asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}

	var wait sync.WaitGroup
	for n := range 200 {
		flood := fresh
		flood.KeyID = fmt.Sprint("invented-", n)
		token := i.sign(flood, "at+jwt", i.claims())
		wait.Go(func() { _, _ = v.Verify(context.Background(), token) })
	}
	wait.Wait()
	if n := i.asked.Load(); n != 2 {
		t.Errorf("a flood of kids asked %d times", n)
	}

	i.mu.Lock()
	i.keys = i.keys[1:] // the old one is withdrawn
	i.mu.Unlock()
	i.now = i.now.Add(keysFresh)
	check(old, false)
	check(fresh, true)

	i.down.Store(true)
	i.now = i.now.Add(keysFresh)
	check(fresh, true)
	i.now = i.now.Add(keysStale)
	token := i.sign(fresh, "at+jwt", i.claims())
	if _, err := v.Verify(t.Context(), token); err == nil || errors.Is(err, ErrToken) {
		t.Errorf("an issuer that is down for a day: %v", err)
	}
	i.down.Store(false)
	i.now = i.now.Add(keysRetry)
	check(fresh, true)

	lying := newIssuer(t)
	lying.other = "https://id.example.com"
	k := lying.add("k", jose.ES256)
	if _, err := lying.verifier().Verify(t.Context(), lying.sign(k, "at+jwt", lying.claims())); err == nil || errors.Is(err, ErrToken) {
		t.Errorf("a discovery document of somebody else: %v", err)
	}
	symmetric := newIssuer(t)
	symmetric.keys = []jose.JSONWebKey{{Key: []byte("a secret of the issuer, in a public place"), KeyID: "k", Algorithm: "HS256"}}
	if _, err := symmetric.verifier().Verify(t.Context(), i.sign(fresh, "at+jwt", i.claims())); err == nil {
		t.Error("a symmetric key set was taken")
	}
}

func TestProtect(t *testing.T) {
	i := newIssuer(t)
	v := i.verifier()
	k := i.add("k", jose.ES256)
	good := "Bearer " + i.sign(k, "at+jwt", i.claims())
	var ran bool
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		c, ok := ClaimsOf(r.Context())
		ran = ok && c.Subject == "usr_1"
	})
	for _, c := range []struct {
		why       string
		authorize []string
		rules     []Rule
		status    int
		challenge string
	}{
		{"no rule", []string{good}, nil, 200, ""},
		{"permission by wildcard (product 135)", []string{good}, []Rule{RequirePermission("invoices.delete"), RequirePermission("fe.secure.read.users")}, 200, ""},
		{"role and tenant", []string{good}, []Rule{RequireRole("billing"), RequireTenant("ten_a"), RequireTenantInPath("tenant")}, 200, ""},
		{"one of two", []string{good}, []Rule{RequireAny(RequireRole("admin"), RequireRole("billing"))}, 200, ""},
		{"no token", nil, nil, 401, `Bearer realm="application"`},
		{"another scheme", []string{"Basic eDp5"}, nil, 401, `Bearer realm="application"`},
		{"two tokens", []string{good, good}, nil, 401, `Bearer realm="application"`},
		{"a bad token", []string{good + "x"}, nil, 401, `error="invalid_token"`},
		{"no permission", []string{good}, []Rule{RequirePermission("invoices.read"), RequirePermission("fe.secure.write.users")}, 403, `error="insufficient_scope"`},
		{"no role", []string{good}, []Rule{RequireRole("admin")}, 403, `error="insufficient_scope"`},
		{"another tenant", []string{good}, []Rule{RequireTenant("ten_b")}, 403, `error="insufficient_scope"`},
		{"any of none", []string{good}, []Rule{RequireAny()}, 403, `error="insufficient_scope"`},
	} {
		ran = false
		mux := http.NewServeMux()
		mux.Handle("/{tenant}", v.Protect(c.rules...)(handler))
		r := httptest.NewRequest("GET", "/ten_a", nil)
		r.Header["Authorization"] = c.authorize
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		challenge := w.Header().Get("WWW-Authenticate")
		if w.Code != c.status || ran != (c.status == 200) || !strings.Contains(challenge, c.challenge) || (challenge == "") != (c.status == 200) {
			t.Errorf("%s: %d %q, ran %v", c.why, w.Code, challenge, ran)
		}
	}
	// The rules bind the path's tenant, whatever else it is called.
	mux := http.NewServeMux()
	mux.Handle("/{tenant}", v.Protect(RequireTenantInPath("tenant"))(handler))
	r := httptest.NewRequest("GET", "/ten_b", nil)
	r.Header.Set("Authorization", good)
	w := httptest.NewRecorder()
	if mux.ServeHTTP(w, r); w.Code != 403 {
		t.Errorf("another tenant's path: %d", w.Code)
	}
	// Without the issuer nobody can tell: that is no 401.
	down := newIssuer(t)
	down.down.Store(true)
	w = httptest.NewRecorder()
	r.Header.Set("Authorization", "Bearer "+down.sign(k, "at+jwt", down.claims()))
	if down.verifier().Protect()(handler).ServeHTTP(w, r); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("an issuer that is down: %d", w.Code)
	}
}

func TestNewVerifier(t *testing.T) {
	for why, c := range map[string]VerifierConfig{
		"no issuer":         {Audience: "app_1"},
		"plain http":        {Issuer: "http://id.example.com", Audience: "app_1"},
		"no audience":       {Issuer: "https://id.example.com"},
		"a leeway of hours": {Issuer: "https://id.example.com", Audience: "app_1", Leeway: time.Hour},
		"a query":           {Issuer: "https://id.example.com?x", Audience: "app_1"},
	} {
		if _, err := NewVerifier(c); err == nil {
			t.Error(why)
		}
	}
}

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		held, key string
		want      bool
	}{
		{"invoices.read", "invoices.read", true},
		{"invoices.read", "invoices.reader", false},
		{"invoices.*", "invoices.lines.write", true},
		{"invoices.*", "invoices", false},
		{"*", "anything", true},
		{"fe.*.read.*", "fe.secure.read.users", true},
		{"fe.*.read.*", "fe.secure.write.users", false},
		{"*.read", "a.b.read", true},
		{"a*a", "a", false},
		{"a.*.b*c", "a.x.bc", true},
		{"", "", true},
		{"", "x", false},
		{"INVOICES.*", "invoices.read", false},
	} {
		if Covers(c.held, c.key) != c.want {
			t.Errorf("%q %q", c.held, c.key)
		}
	}
}

package provider

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// party is an application with a key of its own, which signs its assertions and
// its proofs.
type party struct {
	*browser
	app tenants.Application
	key *ecdsa.PrivateKey
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func publicSet(t testing.TB, keys ...*ecdsa.PrivateKey) json.RawMessage {
	t.Helper()
	set := jose.JSONWebKeySet{}
	for _, k := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"})
	}
	body, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// fapi registers an application as the FAPI 2.0 Security Profile wants it:
// private_key_jwt, pushed requests, PKCE and tokens bound to a key.
func (w *world) fapi(change ...func(*tenants.NewApplication)) party {
	w.Helper()
	key := newKey(w)
	n := tenants.NewApplication{Name: "Bank", Type: tenants.Web, ApplicationSettings: tenants.ApplicationSettings{
		RedirectURIs: []string{callback}, RequirePKCE: true, IDTokenAlg: "ES256", AuthMethod: tenants.AuthPrivateKeyJWT, JWKS: publicSet(w, key),
		RequirePAR: true, RequireDPoP: true,
	}}
	for _, c := range change {
		c(&n)
	}
	app, secret := w.application(n)
	if secret != "" {
		w.Error("an application with keys was given a secret")
	}
	return party{w.browser(), app, key}
}

type claims map[string]any

func with(c claims, changes ...claims) claims {
	c = maps.Clone(c)
	for _, change := range changes {
		for k, v := range change {
			if v == nil {
				delete(c, k)
				continue
			}
			c[k] = v
		}
	}
	return c
}

func (p party) sign(key *ecdsa.PrivateKey, o *jose.SignerOptions, c claims) string {
	p.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, o)
	if err != nil {
		p.Fatal(err)
	}
	body, err := json.Marshal(c)
	if err != nil {
		p.Fatal(err)
	}
	jws, err := s.Sign(body)
	if err != nil {
		p.Fatal(err)
	}
	compact, err := jws.CompactSerialize()
	if err != nil {
		p.Fatal(err)
	}
	return compact
}

// assertion signs a client assertion, with some claims changed; nil leaves one out.
func (p party) assertion(changes ...claims) string {
	now := p.clock.Now()
	return p.sign(p.key, (&jose.SignerOptions{}).WithHeader("kid", "k1"), with(claims{
		"iss": p.app.ID, "sub": p.app.ID, "aud": p.server.URL, "jti": id.Raw(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	}, changes...))
}

// proof signs a DPoP proof for a POST to the path.
func (p party) proof(key *ecdsa.PrivateKey, path string, changes ...claims) string {
	return p.sign(key, (&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"), with(claims{
		"jti": id.Raw(), "htm": "POST", "htu": p.server.URL + path, "iat": p.clock.Now().Unix(),
	}, changes...))
}

func thumbprint(t testing.TB, key *ecdsa.PrivateKey) string {
	t.Helper()
	k := jose.JSONWebKey{Key: key.Public()}
	print, err := k.Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(print)
}

func dpop(proof string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("DPoP", proof) }
}

func (p party) authenticated(form url.Values, changes ...claims) url.Values {
	form.Set("client_assertion_type", assertionType)
	form.Set("client_assertion", p.assertion(changes...))
	return form
}

func (p party) request() url.Values {
	return url.Values{
		"client_id": {p.app.ID}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid offline_access"}, "state": {"s"}, "nonce": {"n"},
		"code_challenge": {oidc.Challenge(verifier)}, "code_challenge_method": {"S256"},
	}
}

// pushed is the answer to a pushed request.
type pushedReply struct {
	reply
	URI     string `json:"request_uri"`
	Expires int    `json:"expires_in"`
	Error   string `json:"error"`
}

func (p party) push(form url.Values, edit ...func(*http.Request)) pushedReply {
	p.Helper()
	if len(edit) == 0 {
		edit = []func(*http.Request){func(*http.Request) {}}
	}
	r := pushedReply{reply: p.post("/oauth2/par", form, edit...)}
	if err := json.Unmarshal([]byte(r.body), &r); err != nil {
		p.Fatalf("%d %s", r.StatusCode, r.body)
	}
	return r
}

func (p party) open(uri string) string {
	return "/oauth2/authorize?" + url.Values{"client_id": {p.app.ID}, "request_uri": {uri}}.Encode()
}

// code pushes a request and signs Ada in.
func (p party) code(form url.Values, edit ...func(*http.Request)) string {
	p.Helper()
	r := p.push(p.authenticated(form), edit...)
	if r.StatusCode != http.StatusCreated || r.Expires != 60 {
		p.Fatalf("%d %s", r.StatusCode, r.body)
	}
	at := p.get(p.open(r.URI))
	to, q := p.location(at)
	if to != callback {
		_, q = p.location(p.get(p.login(at, p.identity("ada@acme.com"))))
	}
	if q.Get("code") == "" {
		p.Fatalf("no code: %v", q)
	}
	return q.Get("code")
}

func (p party) redeem(code string, edit ...func(*http.Request)) tokens {
	p.Helper()
	return p.token(p.authenticated(url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier},
	}), edit...)
}

// fapi2-security-profile-final-happy-flow: pushed request, private_key_jwt, PKCE,
// a token bound to a key, and the resource that asks for the key again.
func TestFAPI2HappyFlow(t *testing.T) {
	each(t, func(w *world) {
		p := w.fapi()
		key := newKey(t)
		got := p.redeem(p.code(p.request()), dpop(p.proof(key, "/oauth2/token")))
		if got.StatusCode != 200 || got.Type != "DPoP" {
			t.Fatalf("%d %s", got.StatusCode, got.body)
		}
		if cnf, _ := p.part(got.Access, 1)["cnf"].(map[string]any); cnf["jkt"] != thumbprint(t, key) {
			t.Errorf("cnf %v", cnf)
		}
		sum := sha256.Sum256([]byte(got.Access))
		ath := claims{"htm": "GET", "ath": base64.RawURLEncoding.EncodeToString(sum[:])}
		for name, c := range map[string]struct {
			scheme, proof string
			want          int
		}{
			"the key":             {"DPoP", p.proof(key, "/oauth2/userinfo", ath), 200},
			"lower case scheme":   {"dpop", p.proof(key, "/oauth2/userinfo", ath), 200}, // AccessTokenTypeHeaderCaseSensitivity
			"as a Bearer token":   {"Bearer", p.proof(key, "/oauth2/userinfo", ath), 401},
			"without a proof":     {"DPoP", "", 401},
			"Bearer, no proof":    {"Bearer", "", 401},
			"another key":         {"DPoP", p.proof(newKey(t), "/oauth2/userinfo", ath), 401},
			"without ath":         {"DPoP", p.proof(key, "/oauth2/userinfo", claims{"htm": "GET"}), 401},
			"ath of another":      {"DPoP", p.proof(key, "/oauth2/userinfo", ath, claims{"ath": "x"}), 401},
			"a proof for a POST":  {"DPoP", p.proof(key, "/oauth2/userinfo", ath, claims{"htm": "POST"}), 401},
			"of another endpoint": {"DPoP", p.proof(key, "/oauth2/token", ath), 401},
		} {
			r, err := http.NewRequest(http.MethodGet, p.server.URL+"/oauth2/userinfo", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", c.scheme+" "+got.Access)
			if c.proof != "" {
				r.Header.Set("DPoP", c.proof)
			}
			if a := p.do(r); a.StatusCode != c.want || c.want == 401 && a.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
			}
		}
		// A confidential client's refresh token is bound to the client, so the key may change (RFC 9449 §5).
		again := p.token(p.authenticated(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.Refresh}}), dpop(p.proof(newKey(t), "/oauth2/token")))
		if again.StatusCode != 200 || again.Type != "DPoP" {
			t.Errorf("refresh: %d %s", again.StatusCode, again.body)
		}
		if bare := p.token(p.authenticated(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {again.Refresh}}), func(*http.Request) {}); bare.Error != oidc.InvalidDPoPProof {
			t.Errorf("HolderOfKeyRequired: %d %s", bare.StatusCode, bare.body)
		}
		// SCIM's /Me and the management API have no proof, so a bound token opens neither.
		if _, _, err := w.h.UserToken(w.ctx(), w.env, again.Access); err == nil {
			t.Error("a bound token was taken without its key")
		}
		if _, err := w.h.UserActor(w.ctx(), w.env, again.Access); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("the management API takes it: %v", err)
		}
	})
}

// Assertions that prove nothing (sso 5.3; PAREndpointAsAudienceFails,
// PAREndpointArrayAudienceFails, PARTokenEndpointAsAudienceFails).
func TestClientAssertion(t *testing.T) {
	each(t, func(w *world) {
		p := w.fapi(func(n *tenants.NewApplication) { n.RequireDPoP = false })
		now := w.clock.Now()
		used := p.assertion()
		payload := base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"` + p.app.ID + `","sub":"` + p.app.ID + `","aud":"` + w.server.URL + `","jti":"x","exp":9999999999}`))
		none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + payload + "."
		mac, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(publicSet(t, p.key))}, nil)
		if err != nil {
			t.Fatal(err)
		}
		jws, err := mac.Sign([]byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		macd, err := jws.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		other := w.fapi()
		for name, c := range map[string]struct {
			assertion string
			want      int
		}{
			"good":                    {p.assertion(), 201},
			"once":                    {used, 201},
			"twice":                   {used, 401},
			"issuer in an array":      {p.assertion(claims{"aud": []string{w.server.URL}}), 401},
			"the endpoint":            {p.assertion(claims{"aud": w.server.URL + "/oauth2/par"}), 401},
			"the token endpoint":      {p.assertion(claims{"aud": w.server.URL + "/oauth2/token"}), 401},
			"no audience":             {p.assertion(claims{"aud": nil}), 401},
			"another issuer":          {p.assertion(claims{"iss": other.app.ID}), 401},
			"another subject":         {p.assertion(claims{"sub": other.app.ID}), 401},
			"expired":                 {p.assertion(claims{"exp": now.Add(-time.Second).Unix()}), 401},
			"no end":                  {p.assertion(claims{"exp": nil}), 401},
			"good for an hour":        {p.assertion(claims{"exp": now.Add(time.Hour).Unix()}), 401},
			"from the future":         {p.assertion(claims{"iat": now.Add(time.Minute).Unix()}), 401},
			"not yet":                 {p.assertion(claims{"nbf": now.Add(time.Minute).Unix()}), 401},
			"no jti":                  {p.assertion(claims{"jti": nil}), 401},
			"a long jti":              {p.assertion(claims{"jti": strings.Repeat("x", 300)}), 401},
			"alg none":                {none, 401},
			"a MAC with the key":      {macd, 401},
			"another client's":        {other.assertion(), 401},
			"another key":             {p.sign(other.key, (&jose.SignerOptions{}).WithHeader("kid", "k1"), claims{"iss": p.app.ID, "sub": p.app.ID, "aud": w.server.URL, "jti": "y", "exp": now.Add(time.Minute).Unix()}), 401},
			"a key that it brings":    {p.sign(other.key, &jose.SignerOptions{EmbedJWK: true}, claims{"iss": p.app.ID, "sub": p.app.ID, "aud": w.server.URL, "jti": "z", "exp": now.Add(time.Minute).Unix()}), 401},
			"the type of a DPoP":      {p.sign(p.key, (&jose.SignerOptions{}).WithType("dpop+jwt").WithHeader("kid", "k1"), claims{"iss": p.app.ID, "sub": p.app.ID, "aud": w.server.URL, "jti": "q", "exp": now.Add(time.Minute).Unix()}), 401},
			"nonsense":                {"a.b.c", 401},
			"too long":                {strings.Repeat("x", 20_000), 401},
			"an ID token of somebody": {p.assertion(claims{"iss": w.server.URL}), 401},
		} {
			form := p.request()
			form.Set("client_assertion_type", assertionType)
			form.Set("client_assertion", c.assertion)
			if r := p.push(form); r.StatusCode != c.want && !(name == "twice" || name == "once") {
				t.Errorf("%s: %d %s", name, r.StatusCode, r.body)
			}
		}
		// The one that was used is used up.
		form := p.request()
		form.Set("client_assertion_type", assertionType)
		form.Set("client_assertion", used)
		if r := p.push(form); r.Error != oidc.InvalidClient {
			t.Errorf("replay: %s", r.body)
		}
		// client_id may be left out, as the assertion says it (RFC 7521 §4.2).
		short := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}
		if r := p.token(p.authenticated(short), func(*http.Request) {}); r.Error != oidc.InvalidGrant {
			t.Errorf("without client_id: %s", r.body)
		}
		// Two methods at once, and another than is registered.
		both := p.authenticated(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}})
		if r := p.token(both, func(r *http.Request) { r.SetBasicAuth(p.app.ID, "x") }); r.Error != oidc.InvalidRequest {
			t.Errorf("two methods: %s", r.body)
		}
		if r := p.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}, "client_id": {p.app.ID}}, func(*http.Request) {}); r.Error != oidc.InvalidClient {
			t.Errorf("no proof: %s", r.body)
		}
		secretly := party{p.browser, w.app, p.key}
		if r := secretly.token(secretly.authenticated(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}), func(*http.Request) {}); r.Error != oidc.InvalidClient {
			t.Errorf("an assertion of a client with a secret: %s", r.body)
		}
	})
}

// References that lead nowhere; the rest of PAR is in the FAPI 2.0 plan's modules.
func TestPushedRequests(t *testing.T) {
	each(t, func(w *world) {
		p := w.fapi(func(n *tenants.NewApplication) { n.RequireDPoP = false })
		form := p.request()
		form.Set("dpop_jkt", "x")
		if r := p.push(p.authenticated(form)); r.StatusCode != 400 || r.Error != oidc.InvalidRequest {
			t.Errorf("a thumbprint that is none: %d %s", r.StatusCode, r.body)
		}
		page := func(name, path string) {
			t.Helper()
			if r := p.get(path); r.StatusCode != 400 || !strings.Contains(r.body, "PAGE "+oidc.InvalidRequestURI) {
				t.Errorf("%s: %d %s", name, r.StatusCode, r.body)
			}
		}
		once := p.push(p.authenticated(p.request()))
		other := w.fapi()
		page("another client's", "/oauth2/authorize?"+url.Values{"client_id": {other.app.ID}, "request_uri": {once.URI}}.Encode())
		if r := p.get(p.open(once.URI)); r.StatusCode != http.StatusSeeOther {
			t.Errorf("first use: %d %s", r.StatusCode, r.body)
		}
		page("twice", p.open(once.URI))
		late := p.push(p.authenticated(p.request()))
		w.clock.Advance(61 * time.Second)
		page("late", p.open(late.URI))
		page("made up", p.open(requestURI+"x"))
		page("two", p.open(late.URI)+"&request_uri=x")
		// What the browser adds does not count (RFC 9126 §4).
		fresh := p.push(p.authenticated(p.request()))
		at := p.get(p.open(fresh.URI) + "&scope=openid+email&state=evil&redirect_uri=" + url.QueryEscape("https://evil.example/"))
		to, q := p.location(p.get(p.login(at, p.identity("ada@acme.com"))))
		if to != callback || q.Get("state") != "s" {
			t.Errorf("the browser changed the request: %s %v", to, q)
		}
		if got := p.redeem(q.Get("code"), func(*http.Request) {}); got.StatusCode != 200 || got.Scope != "openid offline_access" {
			t.Errorf("%d %s", got.StatusCode, got.body)
		}
		var n int
		w.clock.Advance(time.Hour)
		if err := w.h.Purge(w.ctx()); err != nil {
			t.Fatal(err)
		}
		if err := w.db.QueryRow(w.ctx(), `SELECT (SELECT COUNT(*) FROM pushed_requests) + (SELECT COUNT(*) FROM oauth_replays)`).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d rows are left, %v", n, err)
		}
	})
}

// Proofs that prove nothing (FAPI2 DpopNegativeTests, CheckDpopProofNbfExp,
// DpopProofWithIat10SecondsBefore and After, MismatchedDpopJkt).
func TestProofs(t *testing.T) {
	each(t, func(w *world) {
		p := w.fapi()
		key := newKey(t)
		now := w.clock.Now()
		used := p.proof(key, "/oauth2/token")
		private := jose.JSONWebKey{Key: key}
		embedded := p.sign(key, (&jose.SignerOptions{}).WithType("dpop+jwt").WithHeader("jwk", private), claims{
			"jti": "private", "htm": "POST", "htu": p.server.URL + "/oauth2/token", "iat": now.Unix(),
		})
		ask := func(proofs ...string) tokens {
			return p.token(p.authenticated(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}), func(r *http.Request) {
				for _, s := range proofs {
					r.Header.Add("DPoP", s)
				}
			})
		}
		// A proof that holds lets the request get as far as its refresh token.
		for name, good := range map[string]string{
			"plain": p.proof(key, "/oauth2/token"), "once": used,
			"iat 10 s before": p.proof(key, "/oauth2/token", claims{"iat": now.Add(-10 * time.Second).Unix()}),
			"iat 10 s after":  p.proof(key, "/oauth2/token", claims{"iat": now.Add(10 * time.Second).Unix()}),
			"query in htu":    p.proof(key, "/oauth2/token?x=1#y"),
			"upper case host": p.proof(key, "/oauth2/token", claims{"htu": strings.Replace(p.server.URL, "https", "HTTPS", 1) + "/oauth2/token"}),
		} {
			if r := ask(good); r.Error != oidc.InvalidGrant {
				t.Errorf("%s: %s", name, r.body)
			}
		}
		for name, bad := range map[string][]string{
			"twice":           {used},
			"none":            {},
			"two":             {p.proof(key, "/oauth2/token"), p.proof(key, "/oauth2/token")},
			"htm":             {p.proof(key, "/oauth2/token", claims{"htm": "GET"})},
			"htu":             {p.proof(key, "/oauth2/par")},
			"htu elsewhere":   {p.proof(key, "/oauth2/token", claims{"htu": "https://evil.example/oauth2/token"})},
			"old":             {p.proof(key, "/oauth2/token", claims{"iat": now.Add(-2 * time.Minute).Unix()})},
			"future":          {p.proof(key, "/oauth2/token", claims{"iat": now.Add(time.Minute).Unix()})},
			"no iat":          {p.proof(key, "/oauth2/token", claims{"iat": nil})},
			"no jti":          {p.proof(key, "/oauth2/token", claims{"jti": nil})},
			"typ":             {p.sign(key, &jose.SignerOptions{EmbedJWK: true}, claims{"jti": "t", "htm": "POST", "htu": p.server.URL + "/oauth2/token", "iat": now.Unix()})},
			"no jwk":          {p.sign(key, (&jose.SignerOptions{}).WithType("dpop+jwt"), claims{"jti": "t", "htm": "POST", "htu": p.server.URL + "/oauth2/token", "iat": now.Unix()})},
			"a private jwk":   {embedded},
			"another's jwk":   {p.sign(key, (&jose.SignerOptions{}).WithType("dpop+jwt").WithHeader("jwk", jose.JSONWebKey{Key: newKey(t).Public()}), claims{"jti": "t", "htm": "POST", "htu": p.server.URL + "/oauth2/token", "iat": now.Unix()})},
			"nonsense":        {"x.y.z"},
			"cut off":         {strings.TrimSuffix(p.proof(key, "/oauth2/token"), "x")[:60]},
			"a client's word": {p.assertion()},
		} {
			if r := ask(bad...); r.Error != oidc.InvalidDPoPProof || r.StatusCode != 400 {
				t.Errorf("%s: %d %s", name, r.StatusCode, r.body)
			}
		}
		// EnsureDpopAuthCodeBindingSuccess and MismatchedDpopJkt, by the parameter and by the proof at PAR.
		for name, push := range map[string]func() string{
			"dpop_jkt": func() string {
				form := p.request()
				form.Set("dpop_jkt", thumbprint(t, key))
				return p.code(form)
			},
			"DpopProofAtParEndpointBinding": func() string { return p.code(p.request(), dpop(p.proof(key, "/oauth2/par"))) },
		} {
			if r := p.redeem(push(), dpop(p.proof(newKey(t), "/oauth2/token"))); r.Error != oidc.InvalidDPoPProof {
				t.Errorf("%s, another key: %d %s", name, r.StatusCode, r.body)
			}
			if r := p.redeem(push(), dpop(p.proof(key, "/oauth2/token"))); r.StatusCode != 200 {
				t.Errorf("%s: %d %s", name, r.StatusCode, r.body)
			}
		}
		form := p.request()
		form.Set("dpop_jkt", thumbprint(t, newKey(t)))
		if r := p.push(p.authenticated(form), dpop(p.proof(key, "/oauth2/par"))); r.Error != oidc.InvalidDPoPProof {
			t.Errorf("dpop_jkt of another key than the proof: %s", r.body)
		}
		// A public client's refresh token is bound to its key.
		spa, _ := w.application(tenants.NewApplication{Name: "SPA", Type: tenants.SPA, ApplicationSettings: tenants.ApplicationSettings{RedirectURIs: []string{callback}}})
		public := party{w.browser(), spa, key}
		bare := func(r *http.Request) {}
		code := public.browser.code(map[string]string{"client_id": spa.ID}, "ada@acme.com")
		got := public.token(url.Values{"client_id": {spa.ID}, "grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}}, dpop(public.proof(key, "/oauth2/token")))
		refresh := url.Values{"client_id": {spa.ID}, "grant_type": {"refresh_token"}, "refresh_token": {got.Refresh}}
		if r := public.token(refresh, bare); r.Error != oidc.InvalidDPoPProof {
			t.Errorf("a stolen refresh token: %d %s", r.StatusCode, r.body)
		}
		if r := public.token(refresh, dpop(public.proof(newKey(t), "/oauth2/token"))); r.Error != oidc.InvalidDPoPProof {
			t.Errorf("with the thief's key: %d %s", r.StatusCode, r.body)
		}
		if r := public.token(refresh, dpop(public.proof(key, "/oauth2/token"))); r.StatusCode != 200 {
			t.Errorf("with its own: %d %s", r.StatusCode, r.body)
		}
	})
}

// A service gets tokens for itself, and nothing of a person's.
func TestServiceToken(t *testing.T) {
	each(t, func(w *world) {
		app, secret := w.application(tenants.NewApplication{Name: "Job", Type: tenants.Machine})
		b := w.browser()
		basic := func(r *http.Request) { r.SetBasicAuth(url.QueryEscape(app.ID), url.QueryEscape(secret)) }
		got := b.token(url.Values{"grant_type": {"client_credentials"}}, basic)
		if got.StatusCode != 200 || got.Type != "Bearer" || got.Refresh != "" || got.ID != "" {
			t.Fatalf("%d %s", got.StatusCode, got.body)
		}
		c := w.part(got.Access, 1)
		if c["sub"] != app.ID || c["type"] != "serviceToken" || c["iss"] != w.server.URL || c["tenantId"] != nil || c["sid"] != nil {
			t.Errorf("claims %v", c)
		}
		if r := b.userinfo(got.Access); r.StatusCode != 401 {
			t.Errorf("userinfo: %d", r.StatusCode)
		}
		other, otherSecret := w.application(tenants.NewApplication{Name: "Other job", Type: tenants.Machine})
		introspected := func(edit func(*http.Request)) (body struct {
			Active    bool
			Subject   string `json:"sub"`
			TokenType string `json:"token_type"`
		},
		) {
			if err := json.Unmarshal([]byte(b.post("/oauth2/introspect", url.Values{"token": {got.Access}}, edit).body), &body); err != nil {
				t.Fatal(err)
			}
			return body
		}
		if i := introspected(basic); !i.Active || i.Subject != app.ID || i.TokenType != "Bearer" {
			t.Errorf("introspected by itself: %+v", i)
		}
		for name, edit := range map[string]func(*http.Request){
			"another service": func(r *http.Request) { r.SetBasicAuth(other.ID, otherSecret) }, "an application": w.basic,
		} {
			if i := introspected(edit); i.Active || i.Subject != "" {
				t.Errorf("introspected by %s: %+v", name, i)
			}
		}
		if r := b.token(url.Values{"grant_type": {"client_credentials"}, "scope": {"openid"}}, basic); r.Error != oidc.InvalidScope {
			t.Errorf("scope: %s", r.body)
		}
		if r := b.token(url.Values{"grant_type": {"client_credentials"}}); r.Error != oidc.UnauthorizedClient {
			t.Errorf("a web application: %s", r.body)
		}
		w.clock.Advance(time.Hour)
		if i := introspected(basic); i.Active {
			t.Errorf("expired: %+v", i)
		}
	})
}

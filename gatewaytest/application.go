package gatewaytest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
)

// Application is a client of the gateway's OpenID provider. Nobody listens at
// its redirect URI: the browser stops before it.
type Application struct {
	ClientID, Secret string
	RedirectURI      string
}

// Application registers a web application through the management API.
func (g *Gateway) Application() Application {
	g.t.Helper()
	a := Application{RedirectURI: "https://app.example/callback"}
	var made struct {
		ClientID     string `json:"client_id"`
		ClientSecret string `json:"client_secret"`
	}
	g.Call(http.MethodPost, "/applications", map[string]any{
		"name": "Application", "type": "web", "redirect_uris": []string{a.RedirectURI}, "require_pkce": true,
		"token_endpoint_auth_method": "client_secret_basic",
	}, &made)
	a.ClientID, a.Secret = made.ClientID, made.ClientSecret
	return a
}

// Tokens are what the token endpoint gave. Access and ID tokens were verified
// against the gateway's published keys.
type Tokens struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	IDToken      string `json:"id_token"`
	Error        string `json:"error"`

	Access map[string]any `json:"-"` // claims
	ID     map[string]any `json:"-"`
}

// LogIn logs a person in to the application and redeems the code. pairs of name
// and value are further parameters of the authorization request. A sign-in that
// ends elsewhere ends the test.
func (g *Gateway) LogIn(b *browser.Browser, a Application, person string, pairs ...string) Tokens {
	g.t.Helper()
	tokens, p := g.TryLogIn(b, a, person, pairs...)
	if tokens.AccessToken == "" {
		g.t.Fatalf("the sign-in ended at %s", p)
	}
	return tokens
}

// TryLogIn is LogIn for sign-ins that may be refused: then the tokens are zero,
// and the page is where the browser stands.
func (g *Gateway) TryLogIn(b *browser.Browser, a Application, person string, pairs ...string) (Tokens, browser.Page) {
	g.t.Helper()
	verifier, state := random(), random()
	sum := sha256.Sum256([]byte(verifier))
	v := url.Values{
		"response_type": {"code"}, "client_id": {a.ClientID}, "redirect_uri": {a.RedirectURI}, "scope": {"openid profile email offline_access"},
		"state": {state}, "nonce": {random()}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	for n := 0; n+1 < len(pairs); n += 2 {
		v.Set(pairs[n], pairs[n+1])
	}
	b.Client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), a.RedirectURI) {
			return http.ErrUseLastResponse
		}
		return nil
	}
	defer func() { b.Client.CheckRedirect = nil }()
	p := b.LogIn(g.URL+"/oauth2/authorize?"+v.Encode(), person)
	target, err := url.Parse(p.Header.Get("Location"))
	if err != nil || !strings.HasPrefix(target.String(), a.RedirectURI) {
		return Tokens{}, p
	}
	answer := target.Query()
	if answer.Get("state") != state || answer.Get("iss") != g.URL {
		g.t.Fatalf("the answer is not to our request: %s", target)
	}
	if answer.Get("error") != "" {
		return Tokens{Error: answer.Get("error")}, p
	}
	return g.redeem(a, url.Values{"grant_type": {"authorization_code"}, "code": {answer.Get("code")}, "redirect_uri": {a.RedirectURI}, "code_verifier": {verifier}}), p
}

// Refresh redeems a refresh token. What the endpoint refuses has Error set.
func (g *Gateway) Refresh(a Application, refreshToken string) Tokens {
	g.t.Helper()
	return g.redeem(a, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}})
}

func (g *Gateway) redeem(a Application, form url.Values) Tokens {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), http.MethodPost, g.URL+"/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(a.ClientID), url.QueryEscape(a.Secret))
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	var t Tokens
	if err := json.NewDecoder(res.Body).Decode(&t); err != nil {
		g.t.Fatal(err)
	}
	if (res.StatusCode == http.StatusOK) != (t.Error == "") {
		g.t.Fatalf("status %d with error %q", res.StatusCode, t.Error)
	}
	if t.Error == "" {
		t.Access = g.Claims(t.AccessToken)
		if t.IDToken != "" {
			t.ID = g.Claims(t.IDToken)
		}
	}
	return t
}

// Claims verifies a token of the gateway's with the keys that it publishes, and
// gives its claims.
func (g *Gateway) Claims(token string) map[string]any {
	g.t.Helper()
	_, body := exchange(g.t, http.MethodGet, g.URL+"/oauth2/jwks", "", "", nil)
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(body, &set); err != nil {
		g.t.Fatal(err)
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA})
	if err != nil {
		g.t.Fatal(err)
	}
	claims := map[string]any{}
	if err := parsed.Claims(&set, &claims); err != nil {
		g.t.Fatal(err)
	}
	return claims
}

func random() string { return rand.Text() + rand.Text() }

//go:build interop

package interop

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// password is Ada's, where no identity provider proves her.
const password = "nine-trombones-under-glass"

// person makes a tenant whose people sign in here.
func (g *gateway) person(t *testing.T) (tenant, user, email string) {
	t.Helper()
	var made, ada struct{ ID string }
	g.call(t, "POST", "/tenants", map[string]any{"name": t.Name()}, &made)
	email = "ada@" + strings.ToLower(made.ID[len(made.ID)-8:]) + ".example"
	g.call(t, "POST", "/tenants/"+made.ID+"/users", map[string]any{"email": email, "first_name": "Ada", "last_name": "Lovelace", "password": password}, &ada)
	return made.ID, ada.ID, email
}

// register makes an application.
func (g *gateway) register(t *testing.T, body map[string]any) (id, secret string) {
	t.Helper()
	var made struct {
		ClientID     string `json:"client_id"`
		ClientSecret string `json:"client_secret"`
	}
	body["name"] = t.Name()
	g.call(t, "POST", "/applications", body, &made)
	return made.ClientID, made.ClientSecret
}

// withPassword signs in on the gateway's pages, and waits for what comes then.
func withPassword(t *testing.T, tab tabContext, at, email, then string) {
	t.Helper()
	do(t, tab, chromedp.Navigate(at), chromedp.Click(`//a[contains(., "Sign in with a password")]`),
		chromedp.SendKeys(chromedp.CSS("form[action='/login/password'] input[name=email]"), email), chromedp.SendKeys(chromedp.CSS("#password"), password),
		chromedp.Click(chromedp.CSS("form[action='/login/password'] button[type=submit]")), chromedp.WaitVisible(chromedp.CSS(then)))
}

// reported is what an application made of its tokens.
type reported struct {
	Claims, Refreshed, UserInfo, Introspected map[string]any
	Rotated                                   bool
	Nonces                                    int
	TokenType                                 string `json:"token_type"`
	Error, State                              string
}

func report(t *testing.T, text string) (r reported) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return r
}

// application runs the vendor's application that the named library makes: with a
// secret, and as the FAPI 2.0 Security Profile wants it.
func application(t *testing.T, g *gateway, browser tabContext, library string) {
	for name, strict := range map[string]bool{"secret": false, "private_key_jwt, pushed and bound": true} {
		t.Run(name, func(t *testing.T) {
			_, user, email := g.person(t)
			begin := func(kind string) string {
				port := freePort(t)
				base := "http://127.0.0.1:" + port
				body := map[string]any{"type": kind}
				if kind == "web" {
					body["redirect_uris"], body["post_logout_redirect_uris"] = []string{base + "/callback"}, []string{base + "/bye"}
				}
				if strict {
					body["token_endpoint_auth_method"], body["jwks_uri"], body["require_dpop"] = "private_key_jwt", base+"/jwks", true
					body["require_par"], body["tokens"] = kind == "web", map[string]any{"require_dpop_nonce": true}
				}
				id, secret := g.register(t, body)
				settings, err := json.Marshal(map[string]any{"port": json.Number(port), "issuer": g.url, "client_id": id, "client_secret": secret})
				if err != nil {
					t.Fatal(err)
				}
				start(t, nil, "node", filepath.Join(os.Getenv("INTEROP_DIR"), library+".mjs"), string(settings))
				wait(t, base+"/jwks")
				return base
			}
			wantType := map[bool]string{false: "bearer", true: "dpop"}[strict]
			check := func(r reported) {
				t.Helper()
				if r.Claims["sub"] != user || r.Refreshed["sub"] != user || r.UserInfo["email"] != email || r.UserInfo["name"] != "Ada Lovelace" || !r.Rotated || r.TokenType != wantType {
					t.Errorf("%+v", r)
				}
				if strict && library == "oauth4webapi" && r.Nonces == 0 { // the other library asks again by itself
					t.Error("no proof had to carry a nonce")
				}
				if r.Introspected["active"] != true || r.Introspected["sub"] != user {
					t.Errorf("introspected: %v", r.Introspected)
				}
			}
			app := begin("web")
			tab := freshTab(t, browser)
			withPassword(t, tab, app+"/login", email, "#result")
			check(report(t, textOf(t, tab, "#result")))
			do(t, tab, chromedp.Navigate(app+"/out"), chromedp.WaitVisible(chromedp.CSS("#gone")))
			if gone := report(t, textOf(t, tab, "#gone")); gone.State != "out" || gone.Error != "invalid_grant" {
				t.Errorf("after logout: %+v", gone)
			}
			withPassword(t, tab, app+"/login", email, "#result")
			do(t, tab, chromedp.Navigate(app+"/revoke"), chromedp.WaitVisible(chromedp.CSS("#gone")))
			if gone := report(t, textOf(t, tab, "#gone")); gone.Error != "invalid_grant" {
				t.Errorf("after revocation: %+v", gone)
			}
			service := report(t, string(g.get(t, begin("service")+"/service")))
			if service.TokenType != wantType || service.Introspected["active"] != true || service.Introspected["type"] != "serviceToken" {
				t.Errorf("service: %+v", service)
			}
		})
	}
}

// apache is Debian's Apache with mod_auth_openidc in front of something that shows
// the headers that reach it.
func apache(t *testing.T, g *gateway, browser tabContext) {
	tenant, user, email := g.person(t)
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen, _ := httputil.DumpRequest(r, false)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!doctype html><title>Application</title><pre id=%q>%s</pre>", map[bool]string{true: "headers", false: "open"}[strings.HasPrefix(r.URL.Path, "/in/")], html.EscapeString(string(seen)))
	}))
	t.Cleanup(behind.Close)
	port, dir := freePort(t), t.TempDir()
	base := "http://127.0.0.1:" + port
	id, secret := g.register(t, map[string]any{
		"type": "web", "redirect_uris": []string{base + "/in/callback"}, "post_logout_redirect_uris": []string{base + "/bye"},
		"backchannel_logout_uri": base + "/in/callback?logout=backchannel",
	})
	var text strings.Builder
	for _, m := range []string{"mpm_event", "authn_core", "authz_core", "authz_user", "proxy", "proxy_http", "auth_openidc"} {
		fmt.Fprintf(&text, "LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so\n", m, m)
	}
	if os.Geteuid() == 0 {
		text.WriteString("User www-data\nGroup www-data\n")
	}
	fmt.Fprintf(&text, `ServerName 127.0.0.1
Listen 127.0.0.1:%[1]s
PidFile %[2]s/pid
DefaultRuntimeDir %[2]s
Mutex sem
ErrorLog %[2]s/error.log
LogLevel warn auth_openidc:info
StartServers 1
OIDCProviderMetadataURL %[3]s/.well-known/openid-configuration
OIDCClientID %[4]s
OIDCClientSecret %[5]s
OIDCRedirectURI http://127.0.0.1:%[1]s/in/callback
OIDCCryptoPassphrase "%[6]s"
OIDCScope "openid profile email"
OIDCPKCEMethod S256
OIDCRemoteUserClaim email
OIDCPassClaimsAs headers
OIDCAuthNHeader X-Person
ProxyPass /in/callback !
ProxyPass / %[7]s/
<Location /in/>
 AuthType openid-connect
 Require valid-user
</Location>
`, port, dir, g.url, id, secret, passphrase, behind.URL)
	conf := filepath.Join(dir, "apache2.conf")
	if err := os.WriteFile(conf, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "/usr/sbin/apache2", "-t", "-f", conf).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	start(t, nil, "/usr/sbin/apache2", "-DFOREGROUND", "-f", conf)
	t.Cleanup(func() {
		if t.Failed() {
			said, _ := os.ReadFile(filepath.Join(dir, "error.log"))
			t.Logf("Apache's log ends:\n%s", said[max(0, len(said)-4000):])
		}
	})
	wait(t, base+"/open")
	tab := freshTab(t, browser)
	signIn := func() {
		t.Helper()
		withPassword(t, tab, base+"/in/page", email, "#headers")
		seen := textOf(t, tab, "#headers")
		for name, want := range map[string]string{
			"X-Person": email, "Oidc_claim_email": email, "Oidc_claim_name": "Ada Lovelace", "Oidc_claim_sub": user, "Oidc_claim_tenantid": tenant, "Oidc_claim_iss": g.url,
		} {
			if !strings.Contains(strings.ToLower(seen), strings.ToLower(name+": "+want)) {
				t.Errorf("no header %s: %s in\n%s", name, want, seen)
			}
		}
	}
	signIn()
	// Out, to where the application wants it; then the page asks again.
	do(t, tab, chromedp.Navigate(base+"/in/callback?logout="+url.QueryEscape(base+"/bye")), chromedp.WaitVisible(chromedp.CSS("#open")))
	signIn()
	// The vendor ends the person's sessions: the server hears of it behind the browser's back.
	g.call(t, "POST", "/tenants/"+tenant+"/users/"+user+":logout", nil, nil)
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(300 * time.Millisecond) {
		do(t, tab, chromedp.Navigate(base+"/in/page"), chromedp.WaitVisible(chromedp.CSS("body")))
		at, err := chromedp.Run(tab, chromedp.Evaluate[string]("location.href"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(at, g.url) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the back-channel logout did not arrive: still at %s", at)
		}
	}
}

const passphrase = "a passphrase for one run only"

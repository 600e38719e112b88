//go:build interop

package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/gatehouse-id/gatehouse/examples/webapp"
)

const secret = "interop-secret-of-at-least-32-characters"

type tabContext = context.Context

// gateway is the built binary at work.
type gateway struct{ url, key string }

func startGateway(t *testing.T) *gateway {
	t.Helper()
	dir, data := os.Getenv("INTEROP_DIR"), t.TempDir()
	if dir == "" {
		t.Fatal("start these tests with dev/interop/run")
	}
	port := freePort(t)
	g := &gateway{url: "http://localhost:" + port}
	binary := filepath.Join(dir, "gatehouse")
	start(t, nil, binary, "serve", "--listen", "127.0.0.1:"+port, "--data-dir", data, "--allow-private-networks", "--log-level", "warn")
	wait(t, g.url+"/readyz")
	out, err := exec.CommandContext(t.Context(), binary, "key", "create", "--name", "interop", "--data-dir", data, "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var key struct{ Key string }
	if err := json.Unmarshal(out, &key); err != nil {
		t.Fatal(err)
	}
	g.key = key.Key
	g.call(t, "POST", "/permissions", map[string]any{"key": "build.run", "name": "Run builds", "category": "Builds"}, nil)
	return g
}

// startApplication serves the sample application, as a vendor's would be.
func startApplication(t *testing.T, g *gateway) string {
	t.Helper()
	var app *webapp.App
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { app.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	var made struct {
		ClientID     string `json:"client_id"`
		ClientSecret string `json:"client_secret"`
	}
	g.call(t, "POST", "/applications", map[string]any{
		"name": "Sample", "type": "web", "redirect_uris": []string{server.URL + "/callback"},
		"post_logout_redirect_uris": []string{server.URL + "/"}, "initiate_login_uri": server.URL + "/login",
	}, &made)
	var err error
	if app, err = webapp.New(webapp.Config{Name: "Sample", BaseURL: server.URL, Issuer: g.url, ClientID: made.ClientID, ClientSecret: made.ClientSecret}); err != nil {
		t.Fatal(err)
	}
	return server.URL
}

type connection struct {
	ID   string
	SAML struct {
		EntityID    string `json:"entity_id"`
		MetadataURL string `json:"metadata_url"`
	}
	OIDC struct {
		RedirectURI          string `json:"redirect_uri"`
		JWKSURL              string `json:"jwks_url"`
		BackchannelLogoutURL string `json:"backchannel_logout_url"`
	}
}

// connect makes a tenant with a verified domain, the connection, and a role for
// the group engineering.
func (g *gateway) connect(t *testing.T, body map[string]any) (tenant string, c connection) {
	t.Helper()
	var made, role struct{ ID string }
	g.call(t, "POST", "/tenants", map[string]any{"name": t.Name()}, &made)
	g.call(t, "POST", "/tenants/"+made.ID+"/domains", map[string]any{"domain": "interop.example", "verified": true}, nil)
	g.call(t, "POST", "/roles", map[string]any{"key": "engineer", "name": "Engineer", "level": 10, "permissions": []string{"build.run"}, "tenant_id": made.ID}, &role)
	g.call(t, "POST", "/tenants/"+made.ID+"/sso-connections", body, &c)
	g.call(t, "PUT", "/tenants/"+made.ID+"/group-role-mappings", map[string]any{"mappings": []any{map[string]any{"group": "engineering", "role_ids": []string{role.ID}}}}, nil)
	return made.ID, c
}

func (g *gateway) wantLogins(t *testing.T, tenant, connection string, n int) {
	t.Helper()
	var logins struct {
		Data []struct{ Outcome, Code string }
	}
	g.call(t, "GET", "/tenants/"+tenant+"/sso-connections/"+connection+"/logins", nil, &logins)
	if len(logins.Data) != n {
		t.Errorf("%d logins, not %d: %+v", len(logins.Data), n, logins.Data)
	}
	for _, l := range logins.Data {
		if l.Outcome != "success" {
			t.Errorf("a login ended in %s %s", l.Outcome, l.Code)
		}
	}
}

func (g *gateway) call(t *testing.T, method, path string, body, into any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, g.url+"/api/v1"+path, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if body == nil {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	r.Header.Set("Authorization", "Bearer "+g.key)
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, _ := io.ReadAll(res.Body)
	if res.StatusCode >= 300 {
		t.Fatalf("%s %s: %d %s", method, path, res.StatusCode, answer)
	}
	if into != nil {
		if err := json.Unmarshal(answer, into); err != nil {
			t.Fatal(err)
		}
	}
}

func (g *gateway) get(t *testing.T, address string) []byte {
	t.Helper()
	res, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v", address, res.StatusCode, err)
	}
	return body
}

// simpleSAML is an identity provider of its own directory.
type simpleSAML struct{ dir, base, metadata string }

func startSimpleSAML(t *testing.T) *simpleSAML {
	t.Helper()
	dir, port := t.TempDir(), freePort(t)
	for _, d := range []string{"config", "metadata", "cert", "log", "tmp", "data", "sessions"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	base := "http://127.0.0.1:" + port + "/"
	put := func(name, format string, args ...any) {
		if err := os.WriteFile(filepath.Join(dir, name), fmt.Appendf([]byte("<?php\n"), format, args...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("config/config.php", `$d = %q; $config = [
 'baseurlpath' => %q, 'certdir' => "$d/cert/", 'loggingdir' => "$d/log/", 'datadir' => "$d/data/", 'tempdir' => "$d/tmp/", 'metadatadir' => "$d/metadata/",
 'secretsalt' => 'a salt for one run', 'auth.adminpassword' => 'not used', 'technicalcontact_email' => 'na@example.org', 'timezone' => 'UTC',
 'enable.saml20-idp' => true, 'module.enable' => ['exampleauth' => true, 'core' => true, 'saml' => true],
 'store.type' => 'phpsession', 'session.phpsession.savepath' => "$d/sessions/", 'session.phpsession.cookiename' => 'idp', 'session.cookie.secure' => false,
 'session.cookie.name' => 'idpid', 'session.authtoken.cookiename' => 'idptoken', 'language.default' => 'en',
 'logging.level' => 7, 'logging.handler' => 'file', 'metadata.sources' => [['type' => 'flatfile']]];`, dir, base)
	put("config/authsources.php", `$config = ['people' => ['exampleauth:UserPass', 'ada:secret' => ['uid' => ['ada'], 'mail' => [%q],
 'givenName' => ['Ada'], 'sn' => ['Lovelace'], 'displayName' => ['Ada Lovelace'], 'groups' => ['engineering', 'staff']]]];`, person)
	put("metadata/saml20-idp-hosted.php", `$metadata['__DYNAMIC:1__'] = ['host' => '__DEFAULT__', 'privatekey' => 'idp.pem', 'certificate' => 'idp.crt', 'auth' => 'people'];`)
	put("metadata/saml20-sp-remote.php", ``)
	out, err := exec.CommandContext(t.Context(), "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=interop",
		"-keyout", filepath.Join(dir, "cert/idp.pem"), "-out", filepath.Join(dir, "cert/idp.crt")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	start(t, []string{"SIMPLESAMLPHP_CONFIG_DIR=" + filepath.Join(dir, "config"), "PHP_CLI_SERVER_WORKERS=3"},
		"php", "-S", "127.0.0.1:"+port, "-t", "/usr/share/simplesamlphp/www")
	s := &simpleSAML{dir: dir, base: base, metadata: base + "saml2/idp/metadata.php"}
	wait(t, s.metadata)
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := os.ReadFile(filepath.Join(dir, "log/simplesamlphp.log"))
			t.Logf("SimpleSAMLphp's log ends:\n%s", text[max(0, len(text)-4000):])
		}
	})
	return s
}

// trust tells the identity provider of the gateway, as its administrator would
// from the gateway's metadata.
func (s *simpleSAML) trust(t *testing.T, metadata []byte, options string) {
	t.Helper()
	var sp struct {
		EntityID string `xml:"entityID,attr"`
		SP       struct {
			Keys []struct {
				Use         string `xml:"use,attr"`
				Certificate string `xml:"KeyInfo>X509Data>X509Certificate"`
			} `xml:"KeyDescriptor"`
			ACS struct {
				Location string `xml:"Location,attr"`
			} `xml:"AssertionConsumerService"`
			SLO []struct {
				Binding  string `xml:"Binding,attr"`
				Location string `xml:"Location,attr"`
			} `xml:"SingleLogoutService"`
		} `xml:"SPSSODescriptor"`
	}
	if err := xml.Unmarshal(metadata, &sp); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "<?php\n$metadata[%q] = ['AssertionConsumerService' => %q, %s,\n"+
		" 'NameIDFormat' => 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress', 'simplesaml.nameidattribute' => 'mail',\n 'keys' => [\n", sp.EntityID, sp.SP.ACS.Location, options)
	for _, k := range sp.SP.Keys {
		fmt.Fprintf(&text, "  ['type' => 'X509Certificate', 'signing' => %t, 'encryption' => %t, 'X509Certificate' => %q],\n",
			k.Use != "encryption", k.Use != "signing", strings.Join(strings.Fields(k.Certificate), ""))
	}
	text.WriteString(" ],\n 'SingleLogoutService' => [\n")
	for _, l := range sp.SP.SLO {
		fmt.Fprintf(&text, "  ['Binding' => %q, 'Location' => %q],\n", l.Binding, l.Location)
	}
	text.WriteString(" ]];\n")
	if err := os.WriteFile(filepath.Join(s.dir, "metadata/saml20-sp-remote.php"), []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

func startProvider(t *testing.T, port string, client map[string]any) string {
	t.Helper()
	settings, err := json.Marshal(map[string]any{"port": json.Number(port), "clients": []any{client}, "person": map[string]any{
		"email": person, "email_verified": true, "name": "Ada Lovelace", "given_name": "Ada", "family_name": "Lovelace", "groups": []string{"engineering", "staff"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	start(t, nil, "node", filepath.Join(os.Getenv("INTEROP_DIR"), "provider.mjs"), string(settings))
	issuer := "http://127.0.0.1:" + port
	wait(t, issuer+"/.well-known/openid-configuration")
	return issuer
}

// start runs a program until the test ends, and shows what it said if the test failed.
func start(t *testing.T, env []string, name string, args ...string) {
	t.Helper()
	var said bytes.Buffer
	c := exec.Command(name, args...)
	c.Env, c.Stdout, c.Stderr = append(os.Environ(), env...), &said, &said
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // PHP's workers go with it
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGTERM)
		_ = c.Wait()
		if t.Failed() {
			text := said.String()
			t.Logf("%s said:\n%s", filepath.Base(name), text[max(0, len(text)-4000):])
		}
	})
}

func wait(t *testing.T, address string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if res, err := http.Get(address); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
	}
	t.Fatalf("%s does not answer", address)
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func openBrowser(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.Flag("headless", true), chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.Flag("no-sandbox", true))
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	return ctx
}

// freshTab is a browser of its own, without the cookies of others.
func freshTab(t *testing.T, allocator context.Context) tabContext {
	t.Helper()
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil { // begins the browser, which ends with this context
		t.Fatal(err)
	}
	return ctx
}

func do(t *testing.T, tab tabContext, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	for n, step := range steps {
		ctx, stop := context.WithTimeout(tab, 15*time.Second)
		err := chromedp.Do(ctx, step)
		stop()
		if err != nil {
			look, stop := context.WithTimeout(tab, 5*time.Second)
			page, _ := chromedp.Run(look, chromedp.Evaluate[string]("location.href + '\\n' + document.documentElement.outerHTML"))
			stop()
			t.Fatalf("step %d: %v\nthe page says:\n%s", n+1, err, page)
		}
	}
}

func textOf(t *testing.T, tab tabContext, selector string) string {
	t.Helper()
	text, err := chromedp.Run(tab, chromedp.TextContent(chromedp.CSS(selector)))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func signOut(t *testing.T, tab tabContext) {
	t.Helper()
	do(t, tab, chromedp.Click(`//button[contains(., "Sign out")]`), chromedp.WaitVisible(`//a[contains(., "Sign in with a work e-mail")]`))
}

package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/gateway"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// The operator's link opens the door of a tenant that requires single sign-on and
// has nobody to ask: the application gets its code without an identity provider.
func TestBreakGlass(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	command := func(args ...string) (status int, stdout, stderr string) {
		var out, errs bytes.Buffer
		status = run(ctx, args, &out, &errs)
		return status, out.String(), errs.String()
	}
	if status, _, errs := command("migrate", "up", "--data-dir", dir); status != 0 {
		t.Fatal(errs)
	}
	store := storeConfig{DataDir: dir}
	v, err := store.vault()
	if err != nil {
		t.Fatal(err)
	}
	d, err := store.open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	server := httptest.NewUnstartedServer(nil)
	base := "http://" + server.Listener.Addr().String()
	g, err := gateway.New(ctx, gateway.Config{BaseURL: base, AllowPrivateNetworks: true}, d, v, clock.System{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = g.Handler
	server.Start()
	defer server.Close()

	var app tenants.Application
	vendor := actor.Actor{Environment: g.Main.ID, Kind: actor.Management}
	err = d.Tx(ctx, func(q db.Queryer) error {
		acme, err := g.Tenants.CreateTenant(ctx, vendor, q, tenants.NewTenant{Name: "Acme", Key: "acme"})
		if err != nil {
			return err
		}
		if _, err := g.Tenants.CreateTenant(ctx, vendor, q, tenants.NewTenant{Name: "Globex", Key: "globex"}); err != nil {
			return err
		}
		for _, email := range []string{"boss@acme.example", "gone@acme.example"} {
			made, err := g.Directory.CreateUser(ctx, vendor, q, directory.NewUser{Environment: g.Main.ID, Tenant: acme.ID, Email: email, ManagedBy: directory.Local})
			if err != nil {
				return err
			}
			if email == "gone@acme.example" {
				if _, err := g.Directory.Disable(ctx, vendor, q, acme.ID, made.Membership.UserID); err != nil {
					return err
				}
			}
		}
		if _, err := g.Tenants.CreateSSOConnection(ctx, vendor, q, acme.ID, tenants.NewSSOConnection{
			Type: tenants.OIDC, Name: "IdP", Status: tenants.SSOActive, OIDC: &tenants.OIDCSettings{Issuer: "https://idp.acme.example", ClientID: "c"},
		}); err != nil {
			return err
		}
		if _, err := q.Exec(ctx, `UPDATE sso_connections SET last_test_ok_at = $1`, db.At(clock.System{}.Now())); err != nil {
			return err
		}
		if _, err := g.Signin.Enforce(ctx, vendor, q, g.Main, acme.ID, policy.SSORules{Enforced: true, ExcludedEmails: []string{"boss@acme.example"}}); err != nil {
			return err
		}
		app, _, err = g.Tenants.CreateApplication(ctx, vendor, q, tenants.NewApplication{Name: "App", Type: tenants.Web, ApplicationSettings: tenants.ApplicationSettings{
			RedirectURIs: []string{"https://app.example/cb"}, RequirePKCE: true,
		}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	for _, k := range []struct{ tenant, email, says string }{
		{"acme", "nobody@acme.example", "member_not_found"},
		{"globex", "boss@acme.example", "member_not_found"},
		{"acme", "gone@acme.example", "POLICY_USER_DISABLED"},
		{"nowhere", "boss@acme.example", "tenant_not_found"},
	} {
		if status, out, errs := command("admin", "break-glass", "--data-dir", dir, "--tenant", k.tenant, "--email", k.email); status != 1 || out != "" || !strings.Contains(errs, k.says) {
			t.Errorf("%s %s: %d %q %q", k.tenant, k.email, status, out, errs)
		}
	}
	if status, _, _ := command("admin", "break-glass", "--data-dir", dir, "--tenant", "acme"); status != 2 {
		t.Errorf("without an e-mail: %d", status)
	}
	if status, out, errs := command("admin", "break-glass", "--data-dir", dir, "--tenant", "acme", "--email", "boss@acme.example"); status != 0 || !strings.HasPrefix(out, "http://localhost:8080/login/break-glass/") {
		t.Errorf("%d %q %q", status, out, errs)
	}
	status, out, errs := command("admin", "break-glass", "--data-dir", dir, "--base-url", base, "--tenant", "acme", "--email", "Boss@acme.example", "--json")
	var link struct{ URL, UserID string }
	if err := json.Unmarshal([]byte(out), &link); status != 0 || err != nil || !strings.HasPrefix(link.URL, base+"/login/break-glass/") {
		t.Fatalf("%d %q %q %v", status, out, errs, err)
	}

	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: secureJar{jar}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	read := func(resp *http.Response, err error) (int, string, string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body), resp.Header.Get("Location")
	}
	silent := base + "/oauth2/authorize?" + url.Values{
		"client_id": {app.ID}, "redirect_uri": {"https://app.example/cb"}, "response_type": {"code"}, "scope": {"openid"}, "prompt": {"none"}, "organization": {"acme"},
		"code_challenge": {oidc.Challenge(strings.Repeat("v", 43))}, "code_challenge_method": {"S256"},
	}.Encode()
	if _, _, to := read(browser.Get(silent)); !strings.Contains(to, "error=login_required") {
		t.Errorf("before: %s", to)
	}
	for range 2 { // looking uses nothing up
		if status, body, _ := read(browser.Get(link.URL)); status != http.StatusOK || !strings.Contains(body, "boss@acme.example") || !strings.Contains(body, "Acme") {
			t.Fatalf("%d %s", status, body)
		}
	}
	if status, body, _ := read(browser.PostForm(link.URL, nil)); status != http.StatusOK || !strings.Contains(body, "You are signed in") {
		t.Fatalf("%d %s", status, body)
	}
	if _, _, to := read(browser.Get(silent)); !strings.HasPrefix(to, "https://app.example/cb?code=") {
		t.Errorf("after: %s", to)
	}
	if _, _, to := read(browser.Get(strings.Replace(silent, "organization=acme", "organization=globex", 1))); !strings.Contains(to, "error=login_required") {
		t.Errorf("another tenant: %s", to)
	}
	if status, body, _ := read(browser.PostForm(link.URL, nil)); status != http.StatusNotFound || !strings.Contains(body, "SIGNIN_BREAK_GLASS_UNKNOWN") {
		t.Errorf("a second time: %d", status)
	}
	if e, ok := signin.Explain("SIGNIN_BREAK_GLASS_UNKNOWN", ""); !ok || e.Who != signin.WhoVendor {
		t.Errorf("%+v", e)
	}
}

// secureJar sends Secure cookies to the loopback, as browsers do.
type secureJar struct{ *cookiejar.Jar }

func (j secureJar) SetCookies(u *url.URL, cookies []*http.Cookie) {
	https := *u
	https.Scheme = "https"
	j.Jar.SetCookies(&https, cookies)
}

func (j secureJar) Cookies(u *url.URL) []*http.Cookie {
	https := *u
	https.Scheme = "https"
	return j.Jar.Cookies(&https)
}

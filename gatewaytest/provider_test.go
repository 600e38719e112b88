package gatewaytest_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// ask is an authorization request of the vendor's application.
func (v *vendor) ask(pairs ...string) string {
	q := url.Values{
		"response_type": {"code"}, "client_id": {v.app.ClientID}, "redirect_uri": {v.app.RedirectURI}, "scope": {"openid"}, "state": {"s"},
		"code_challenge": {strings.Repeat("A", 43)}, "code_challenge_method": {"S256"},
	}
	for n := 0; n+1 < len(pairs); n += 2 {
		q.Set(pairs[n], pairs[n+1])
	}
	return v.URL + "/oauth2/authorize?" + q.Encode()
}

// No page of a sign-in or sign-out may be framed (clickjacking), sniffed or kept,
// and what a request brought stands in it as text.
func TestProviderPages(t *testing.T) {
	v := newVendor(t, dbtest.Open(t, db.SQLite), "okta")
	const markup = `"><script>alert(1)</script>`
	for name, address := range map[string]string{
		"sign-in":           v.ask("login_hint", markup),
		"unknown client":    v.ask("client_id", markup),
		"foreign address":   v.ask("redirect_uri", "https://evil.example/"+markup),
		"posted answer":     v.ask("response_mode", "form_post", "prompt", "none", "state", markup),
		"logout asks":       v.URL + "/oauth2/logout",
		"logout elsewhere":  v.URL + "/oauth2/logout?post_logout_redirect_uri=" + url.QueryEscape("https://evil.example/"+markup),
		"unknown flow":      v.URL + "/login?flow=" + url.QueryEscape(markup),
		"cancelled nothing": v.URL + "/oauth2/authorize?cancel=" + url.QueryEscape(markup),
	} {
		p := browser.New(t).Get(address)
		policy := p.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(p.Header.Get("Content-Type"), "text/html") || p.Header.Get("X-Frame-Options") != "DENY" || !strings.Contains(policy, "frame-ancestors 'none'") ||
			strings.Contains(policy, "unsafe-inline") || p.Header.Get("X-Content-Type-Options") != "nosniff" || p.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %s %v", name, p, p.Header)
		}
		if strings.Contains(p.Body, "<script>alert") {
			t.Errorf("%s: the markup came through:\n%s", name, p.Body)
		}
	}
}

// Another site can neither sign a person out nor in by posting the forms itself.
func TestFormsOfOtherSites(t *testing.T) {
	v := newVendor(t, dbtest.Open(t, db.SQLite), "okta")
	b := browser.New(t)
	v.LogIn(b, v.app, ada.ID, "connection", v.oidc)
	session := b.Cookie(v.URL, "__Host-session")
	begun := browser.New(t).Get(v.ask())
	action, fields, ok := begun.Form()
	if !ok {
		t.Fatalf("no form at %s", begun)
	}
	fields.Set("email", ada.Email)
	for name, headers := range map[string]map[string]string{
		"by origin":   {"Origin": "https://evil.example"},
		"null origin": {"Origin": "null"},
		"by metadata": {"Sec-Fetch-Site": "cross-site"},
		"a sibling":   {"Sec-Fetch-Site": "same-site"},
	} {
		for address, form := range map[string]url.Values{v.URL + "/logout": {}, action: fields} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			for k, value := range headers {
				r.Header.Set(k, value)
			}
			if p := b.Do(r); p.Status != http.StatusForbidden {
				t.Errorf("%s: POST %s: %s", name, address, p)
			}
		}
	}
	if b.Cookie(v.URL, "__Host-session") != session || v.LogIn(b, v.app, ada.ID, "prompt", "none").Access["email"] != ada.Email {
		t.Error("the session did not survive")
	}
}

// Who does not want to sign in goes back to the application, which hears why.
func TestCancel(t *testing.T) {
	v := newVendor(t, dbtest.Open(t, db.SQLite), "okta")
	for _, page := range []string{"/login", "/login/password"} {
		b := browser.New(t)
		p := b.Get(v.ask())
		p = b.Get(v.URL + page + "?" + p.URL.RawQuery)
		link := regexp.MustCompile(`href="(/oauth2/authorize\?cancel=[^"]+)">Cancel<`).FindStringSubmatch(p.Body)
		if link == nil {
			t.Fatalf("no way out of %s", p)
		}
		b.Stop()
		q := b.Get(v.URL + link[1])
		if to := q.Header.Get("Location"); !strings.HasPrefix(to, v.app.RedirectURI+"?error=access_denied&") || !strings.Contains(to, "&state=s&iss=") {
			t.Errorf("%s: %s to %q", page, q, to)
		}
	}
}

// A sign-in that an application asks for anew, to be surer of the person, leaves
// the cookie from before it worth nothing (session fixation).
func TestSignInAnewChangesTheCookie(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		v := newVendor(t, d, "okta")
		b := browser.New(t)
		v.LogIn(b, v.app, ada.ID, "connection", v.oidc)
		before := b.Cookie(v.URL, "__Host-session")
		v.clock.Advance(time.Minute)
		v.LogIn(b, v.app, ada.ID, "connection", v.oidc, "max_age", "10")
		if after := b.Cookie(v.URL, "__Host-session"); before == "" || after == "" || after == before {
			t.Fatalf("the cookie %q stayed", before)
		}
		for value, want := range map[string]string{before: "error=login_required", b.Cookie(v.URL, "__Host-session"): "code="} {
			thief := browser.New(t)
			thief.Stop()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, v.ask("prompt", "none"), nil)
			if err != nil {
				t.Fatal(err)
			}
			r.AddCookie(&http.Cookie{Name: "__Host-session", Value: value})
			if p := thief.Do(r); !strings.Contains(p.Header.Get("Location"), want) {
				t.Errorf("not %s: %s", want, p.Header.Get("Location"))
			}
		}
	})
}

// A token opens its own tenant's resources alone, and an ID token opens none.
func TestTokensOfOtherTenantsAtTheAPI(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		v := newVendor(t, d, "okta")
		var role struct{ ID string }
		v.Call(http.MethodPost, "/roles", object{"key": "reader", "name": "Reader", "level": 10, "permissions": []string{"fe.secure.read.*"}}, &role)
		v.Call(http.MethodPut, "/tenants/acme/group-role-mappings", object{"mappings": []object{{"group": "engineering", "role_ids": []string{role.ID}}}}, nil)
		v.Call(http.MethodPost, "/tenants", object{"name": "Globex", "key": "globex"}, nil)
		tokens := v.LogIn(browser.New(t), v.app, ada.ID, "connection", v.oidc)
		for name, c := range map[string]struct {
			path, token string
			refused     bool
		}{
			"his own tenant":             {"/tenants/acme/users", tokens.AccessToken, false},
			"another tenant":             {"/tenants/globex/users", tokens.AccessToken, true},
			"all tenants' applications":  {"/applications", tokens.AccessToken, true},
			"an ID token":                {"/tenants/acme/users", tokens.IDToken, true},
			"a refresh token":            {"/tenants/acme/users", tokens.RefreshToken, true},
			"with its signature cut off": {"/tenants/acme/users", tokens.AccessToken[:strings.LastIndexByte(tokens.AccessToken, '.')+1], true},
		} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, v.URL+"/api/v1"+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+c.token)
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if got := answer.StatusCode; (got == http.StatusOK) == c.refused || c.refused && got != 401 && got != 403 && got != 404 {
				t.Errorf("%s: %d", name, got)
			}
		}
	})
}

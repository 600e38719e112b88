package gatewaytest_test

import (
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/gateway"
)

// Replicas share nothing but the store: each request of a sign-in comes to another
// one than the request before it. What is guessed on one is counted on both, and a
// sign-out on one ends the refresh tokens on the other.
func TestReplicas(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		v := newVendor(t, d, "okta")
		other, err := gateway.New(t.Context(), gateway.Config{BaseURL: v.URL, AllowPrivateNetworks: true, Version: "test"}, d, v.Vault, v.clock, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		replicas, asked, used := []http.Handler{v.Handler, other.Handler}, atomic.Int64{}, [2]atomic.Int64{}
		v.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n := asked.Add(1) % 2
			used[n].Add(1)
			replicas[n].ServeHTTP(w, r)
		})

		const email, password = "joe@plain.example", "correct horse battery"
		v.Call(http.MethodPost, "/tenants", object{"name": "Plain", "key": "plain"}, nil)
		var tenant struct{ ID string }
		v.Call(http.MethodGet, "/tenants/plain", nil, &tenant)
		vendor := actor.Actor{Environment: v.Main.ID, Kind: actor.Management, Name: "vendor"}
		var user string
		tx := func(f func(q db.Queryer) error) {
			t.Helper()
			if err := d.Tx(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		}
		tx(func(q db.Queryer) error {
			p, err := v.Directory.CreateUser(t.Context(), vendor, q, directory.NewUser{Environment: v.Main.ID, Tenant: tenant.ID, Email: email})
			user = p.Membership.UserID
			return err
		})
		hash, err := v.Signin.PreparePassword(t.Context(), v.Main, user, password)
		if err != nil {
			t.Fatal(err)
		}
		tx(func(q db.Queryer) error {
			if _, err := v.Policy.Put(t.Context(), vendor, q, v.Main.ID, tenant.ID, "mfa", []byte(`{"enforce":"on"}`)); err != nil {
				return err
			}
			return v.Signin.SetFirstPassword(t.Context(), vendor, q, v.Main, user, hash)
		})

		// From the application's request to the page that asks for the second factor.
		begin := func(b *browser.Browser, password string) browser.Page {
			t.Helper()
			address := v.URL + "/oauth2/authorize?" + url.Values{
				"response_type": {"code"}, "client_id": {v.app.ClientID}, "redirect_uri": {v.app.RedirectURI}, "scope": {"openid offline_access"}, "organization": {"plain"},
				"state": {"s"}, "nonce": {"n"}, "code_challenge": {strings.Repeat("c", 43)}, "code_challenge_method": {"S256"},
			}.Encode()
			p := b.Get(address)
			return b.Post(v.URL+"/login/password", url.Values{"flow": {flowOf(t, p)}, "email": {email}, "password": {password}}, "")
		}
		b := browser.New(t)
		p := begin(b, password)
		flow := flowOf(t, p)
		p = b.Get(v.URL + "/mfa/enrol?kind=totp&flow=" + flow)
		secret := regexp.MustCompile(`id="totp-key">([A-Z2-7 ]+)<`).FindStringSubmatch(p.Body)
		if secret == nil {
			t.Fatalf("no key: %s", p)
		}
		code := func() string {
			code, err := totp.GenerateCode(strings.ReplaceAll(secret[1], " ", ""), v.clock.Now())
			if err != nil {
				t.Fatal(err)
			}
			return code
		}
		used1 := code()
		p = b.Post(v.URL+"/mfa/enrol", url.Values{"flow": {flow}, "kind": {"totp"}, "answer": {used1}}, "")
		if !strings.Contains(p.Body, "Keep your recovery codes") {
			t.Fatalf("not enrolled: %s", p)
		}
		undo := b.Stop()
		p = b.Post(v.URL+"/mfa/resume", url.Values{"flow": {flow}}, "")
		undo()
		if p.Status != http.StatusSeeOther || b.Cookie(v.URL, "__Host-session") == "" {
			t.Fatalf("not signed in: %s", p)
		}
		// The session that the steps on both made gives tokens on either.
		tokens := v.LogIn(b, v.app, email, "organization", "plain")
		refreshed := v.Refresh(v.app, tokens.RefreshToken)
		if refreshed.AccessToken == "" || refreshed.Access["tenantId"] != tenant.ID {
			t.Fatalf("refresh: %+v", refreshed)
		}
		// A code that was used on one is used on the other.
		second := browser.New(t)
		p = begin(second, password)
		if p = second.Post(v.URL+"/mfa", url.Values{"flow": {flowOf(t, p)}, "kind": {"totp"}, "answer": {used1}}, ""); !strings.Contains(p.Body, "did not match") {
			t.Errorf("a used code: %s", p)
		}
		// Signed out on one, nothing is refreshed on the other.
		if p = b.Post(v.URL+"/logout", nil, ""); p.Status != http.StatusOK {
			t.Fatalf("logout: %s", p)
		}
		if again := v.Refresh(v.app, refreshed.RefreshToken); again.Error != "invalid_grant" {
			t.Errorf("refreshed after the sign-out: %+v", again)
		}
		// Guesses on both are counted together.
		v.clock.Advance(time.Minute)
		guesser := browser.New(t)
		told := 0
		for range 8 {
			if p = begin(guesser, "wrong"); strings.Contains(p.Body, "Too many attempts") {
				told++
			}
		}
		if told < 3 {
			t.Errorf("of eight guesses on two replicas %d had to wait", told)
		}
		if used[0].Load() < 8 || used[1].Load() < 8 {
			t.Errorf("the requests went %d and %d", used[0].Load(), used[1].Load())
		}
	})
}

func flowOf(t *testing.T, p browser.Page) string {
	t.Helper()
	m := regexp.MustCompile(`name="flow" value="([^"]*)"`).FindStringSubmatch(p.Body)
	if m == nil {
		t.Fatalf("no sign-in under way: %s", p)
	}
	return m[1]
}

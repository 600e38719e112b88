package gatewaytest_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// Two replicas on one store are one gateway: whichever a request comes to, what the
// other did holds at once, and applications hear of the end of a session once.
func TestTwoReplicas(t *testing.T) {
	dbtest.Twice(t, func(t *testing.T, d, d2 db.DB) {
		v := newVendor(t, d, "okta")
		other := v.Replica(d2)
		one, two := v.Handler, other.Handler
		var mu sync.Mutex
		var heard []string
		rp := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, r.PostFormValue("logout_token"))
		}))
		defer rp.Close()
		v.Call(http.MethodPatch, "/applications/"+v.app.ClientID, object{"backchannel_logout_uri": rp.URL}, nil)

		// A sign-in whose every step comes to the other replica than the step before.
		var step atomic.Int64
		v.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if step.Add(1)%2 == 0 {
				one.ServeHTTP(w, r)
				return
			}
			two.ServeHTTP(w, r)
		})
		if got := v.LogIn(browser.New(t), v.app, marie.ID, "connection", v.saml); got.Access["email"] != marie.Email {
			t.Errorf("signed in through both: %v", got.Access)
		}

		v.Handler = one
		b := browser.New(t)
		first := v.LogIn(b, v.app, ada.ID, "connection", v.oidc)
		v.Handler = two
		second := v.Refresh(v.app, first.RefreshToken)
		if second.Error != "" || second.Access["sid"] != first.Access["sid"] {
			t.Fatalf("refresh on the other: %q %v", second.Error, second.Access)
		}
		v.Handler = one
		// What the other gave out is the same successor within the grace.
		if again := v.Refresh(v.app, first.RefreshToken); again.RefreshToken != second.RefreshToken {
			t.Errorf("the first gave another successor: %q", again.Error)
		}
		if p := b.Get(v.URL + "/oauth2/logout?" + url.Values{"id_token_hint": {second.IDToken}}.Encode()); p.Status != http.StatusOK {
			t.Fatalf("logout: %s", p)
		}
		v.Handler = two
		if got := v.Refresh(v.app, second.RefreshToken); got.Error != "invalid_grant" {
			t.Errorf("refresh on the other after logout: %q", got.Error)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, v.URL+"/oauth2/userinfo", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+second.AccessToken)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("the access token on the other after logout: %d", answer.StatusCode)
		}

		// Both work off jobs at the same moment, round after round.
		for range 6 {
			v.clock.Advance(3 * time.Second)
			var work sync.WaitGroup
			for _, run := range []func() error{
				func() error { _, err := v.Jobs.RunDue(t.Context()); return err },
				func() error { _, err := other.Jobs.RunDue(t.Context()); return err },
			} {
				work.Go(func() {
					if err := run(); err != nil {
						t.Error(err)
					}
				})
			}
			work.Wait()
		}
		mu.Lock()
		defer mu.Unlock()
		if len(heard) != 1 {
			t.Fatalf("the application heard %d times", len(heard))
		}
		if c := v.Claims(heard[0]); c["sid"] != first.Access["sid"] || c["sub"] != first.Access["sub"] || c["aud"] != v.app.ClientID {
			t.Errorf("%v", c)
		}
	})
}

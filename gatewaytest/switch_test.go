package gatewaytest_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/gatewaytest"
	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// Product 2.2, identity rules 6 and 7: who proved himself to us goes to another of
// his organizations without doing so again, under that one's policy; who came through
// an identity provider is known to its organization alone.
func TestSwitch(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		v := newVendor(t, d, "okta")
		user, ids := v.member(t, d, "joe@acme.example", "plain", "beta", "strict", "acme", "office")
		plain, beta, strict := ids[0], ids[1], ids[2]
		v.Call(http.MethodPost, "/tenants", object{"name": "Foreign", "key": "foreign"}, nil)
		v.policy("strict", "mfa", object{"enforce": "on"})
		v.policy("office", "ip", object{"enabled": true, "mode": "allow", "rules": []object{{"cidr": "203.0.113.0/24"}}})
		s := v.desk(t)
		first := s.tokens(s.password(s.ask("organization", "plain"), "joe@acme.example"))
		before := s.cookie()
		v.clock.Advance(time.Minute)

		// At once, with the same session under another secret.
		got := s.tokens(s.ask("organization", "beta"))
		if got.Access["tenantId"] != beta || got.Access["sub"] != user || got.Access["sid"] != first.Access["sid"] || got.ID["auth_time"] != first.ID["auth_time"] {
			t.Errorf("%v, at first %v", got.Access, first.Access)
		}
		if all := list(got.Access, "tenantIds"); len(all) != 5 || !slices.Contains(all, plain) {
			t.Errorf("tenantIds %v", all)
		}
		if s.cookie() == before || s.live(before) {
			t.Error("the session's secret from before the switch still serves")
		}
		if got := s.tokens(s.ask("organization", "plain", "prompt", "none")); got.Access["tenantId"] != plain {
			t.Errorf("back: %v", got.Access)
		}
		// One that wants more asks for that alone.
		if got := told(s.ask("organization", "strict", "prompt", "none")); got != "interaction_required" {
			t.Errorf("strict, silently: %q", got)
		}
		if got := s.tokens(s.enrol(s.ask("organization", "strict"))); got.Access["tenantId"] != strict || got.ID["acr"] != multiFactor {
			t.Errorf("strict: %v", got.Access)
		}
		// One that wants single sign-on gets it.
		v.TryLogIn(v.desk(t).b, v.app, ada.ID, "connection", v.saml)
		v.Call(http.MethodPut, "/tenants/acme/sso-policy", object{"enforced": true, "excluded_emails": []string{"boss@acme.example"}}, nil)
		if got := told(s.ask("organization", "acme", "prompt", "none")); got != "login_required" {
			t.Errorf("acme, silently: %q", got)
		}
		p := s.ask("organization", "acme")
		s.shows(p, "OpenID")
		s.shows(p, "SAML")
		// One that does not let him in from here says so, and writes it down.
		s.shows(s.ask("organization", "office"), "POLICY_IP")
		if got := told(s.ask("organization", "office", "prompt", "none")); got != "access_denied" {
			t.Errorf("office, silently: %q", got)
		}
		s.shows(s.ask("organization", "foreign"), "POLICY_NOT_A_MEMBER")
		if got := told(s.ask("organization", "nowhere")); got != "invalid_request" {
			t.Errorf("nowhere: %q", got)
		}
		// A proof that is too old is given anew.
		v.clock.Advance(time.Hour)
		s.shows(s.ask("organization", "beta", "max_age", "60"), `autocomplete="current-password"`)
	})
}

// Identity rule 6: what acme's provider says is no way into another tenant, not even
// for the same person in the same browser.
func TestSwitchNeedsOwnProof(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		v := newVendor(t, d, "okta")
		_, ids := v.member(t, d, ada.Email, "beta", "acme")
		beta := ids[0]
		s := v.desk(t)
		first := s.tokens(s.b.Continue(s.ask("connection", v.saml), ada.ID))
		if first.Access["tenantId"] != v.tenant || !slices.Contains(list(first.Access, "tenantIds"), beta) {
			t.Fatalf("%v", first.Access)
		}
		if got := told(s.ask("organization", "beta", "prompt", "none")); got != "login_required" {
			t.Errorf("silently: %q", got)
		}
		p := s.ask("organization", "beta")
		s.shows(p, `autocomplete="current-password"`)
		s.shows(s.b.Get(v.URL+"/oauth2/authorize?resume="+flowOf(t, p)), "SIGNIN_FLOW_UNKNOWN")
		if got := s.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.RefreshToken}, "organization": {"beta"}}); got.Error != "interaction_required" {
			t.Errorf("by the refresh token: %q", got.Error)
		}
		// The refusal used nothing up.
		if got := v.Refresh(v.app, first.RefreshToken); got.Access["tenantId"] != v.tenant {
			t.Errorf("refreshed: %+v", got)
		}
		got := s.tokens(s.password(p, ada.Email))
		if got.Access["tenantId"] != beta || got.Access["sid"] != first.Access["sid"] {
			t.Errorf("%v", got.Access)
		}
		// Now the session has both proofs, each of its own tenant; and single sign-on is
		// what acme takes, while the password would do as well.
		if got := s.tokens(s.ask("organization", "acme", "prompt", "none")); got.Access["tenantId"] != v.tenant {
			t.Errorf("%v", got.Access)
		}
		// select_account offers the organizations, and another account.
		p = s.ask("prompt", "select_account")
		s.shows(p, "Choose an organization")
		s.shows(p, "Use another account")
		got = s.tokens(s.b.Post(v.URL+"/login/account", url.Values{"flow": {flowOf(t, p)}, "tenant": {v.tenant}}, ""))
		if got.Access["tenantId"] != v.tenant || !slices.Equal(list(got.ID, "amr"), list(first.ID, "amr")) {
			t.Errorf("chosen: %v, want what acme's provider said: %v", got.ID, first.ID)
		}
		if got := told(s.ask("prompt", "none select_account")); got != "invalid_request" {
			t.Errorf("none with select_account: %q", got)
		}
		// A session of single sign-on alone has nothing to choose from.
		s = v.desk(t)
		s.tokens(s.b.Continue(s.ask("connection", v.saml), ada.ID))
		s.shows(s.ask("prompt", "select_account"), "Work e-mail")
	})
}

// The page that lists a person's organizations, and leads to the application for the
// one that he chooses.
func TestSwitchPage(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		v := newVendor(t, d, "okta")
		_, ids := v.member(t, d, "joe@plain.example", "plain", "beta")
		s := v.desk(t)
		s.shows(s.b.Get(v.URL+"/login/switch"), "no_session")
		s.tokens(s.password(s.ask("organization", "plain"), "joe@plain.example"))
		p := s.b.Get(v.URL + "/login/switch")
		s.shows(p, "plain")
		s.shows(p, "beta")
		if strings.Count(p.Body, "Signed in") != 1 {
			t.Errorf("one organization is open: %s", p)
		}
		choose := func(tenant, origin string) browser.Page {
			undo := s.b.Stop()
			defer undo()
			return s.b.Post(v.URL+"/login/switch", url.Values{"tenant": {tenant}}, origin)
		}
		if got := choose(ids[1], "https://evil.example"); got.Status != http.StatusForbidden {
			t.Errorf("another origin: %d", got.Status)
		}
		if got := choose(v.tenant, ""); got.Status != http.StatusBadRequest || !strings.Contains(got.Body, "SIGNIN_ACCOUNT_UNKNOWN") {
			t.Errorf("somebody else's organization: %d", got.Status)
		}
		if got := choose(ids[1], ""); !strings.Contains(got.Body, "SIGNIN_NO_DEFAULT_APPLICATION") {
			t.Errorf("without a default application: %d", got.Status)
		}
		v.Call(http.MethodPatch, "/applications/"+v.app.ClientID, object{"initiate_login_uri": "https://app.example/login", "is_default": true}, nil)
		got := choose(ids[1], "")
		to, err := url.Parse(got.Header.Get("Location"))
		if err != nil || to.Host != "app.example" || to.Query().Get("organization") != ids[1] || to.Query().Get("iss") != v.URL {
			t.Errorf("leads to %q (%v)", got.Header.Get("Location"), err)
		}
	})
}

// Product 2.2 and 46: the token endpoint switches too: under the same rules, in a family of its own.
func TestSwitchByRefreshToken(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		v := newVendor(t, d, "okta")
		_, ids := v.member(t, d, "joe@plain.example", "plain", "beta", "strict", "office", "few")
		beta := ids[1]
		v.policy("strict", "mfa", object{"enforce": "on"})
		v.policy("office", "ip", object{"enabled": true, "mode": "deny", "rules": []object{{"cidr": "203.0.113.0/24"}}})
		v.policy("few", "sessions", object{"max_concurrent": 1})
		s := v.desk(t)
		first := s.tokens(s.password(s.ask("organization", "plain"), "joe@plain.example"))
		cookie := s.cookie()
		switched := func(token, organization string) gatewaytest.Tokens {
			t.Helper()
			return s.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}, "organization": {organization}})
		}
		for organization, want := range map[string]string{"strict": "interaction_required", "office": "interaction_required", "acme": "invalid_grant", "nowhere": "invalid_request"} {
			if got := switched(first.RefreshToken, organization); got.Error != want {
				t.Errorf("%s: %q, want %s", organization, got.Error, want)
			}
		}
		v.clock.Advance(time.Minute)
		got := switched(first.RefreshToken, "beta")
		if got.Access["tenantId"] != beta || got.Access["sid"] != first.Access["sid"] || got.RefreshToken == "" || got.ID["auth_time"] != first.ID["auth_time"] {
			t.Fatalf("%+v", got)
		}
		if s.cookie() != cookie || !s.live(cookie) {
			t.Error("the browser was signed out by a switch that it knows nothing of")
		}
		// A lost answer can be asked for again; the new family stands by itself.
		if again := switched(first.RefreshToken, "beta"); again.Access["tenantId"] != beta {
			t.Errorf("again: %+v", again)
		}
		next := v.Refresh(v.app, got.RefreshToken)
		if next.Access["tenantId"] != beta {
			t.Errorf("refreshed: %+v", next)
		}
		// Whoever uses the token of before once more reveals a copy: what came of it goes with it.
		v.clock.Advance(time.Minute)
		if reused := v.Refresh(v.app, first.RefreshToken); reused.Error != "invalid_grant" {
			t.Errorf("reused: %+v", reused)
		}
		if gone := v.Refresh(v.app, next.RefreshToken); gone.Error != "invalid_grant" {
			t.Errorf("what came of a copied token lives: %+v", gone)
		}
		// The organization's limits count from then on, and its end ends the tokens.
		a, b := v.desk(t), v.desk(t)
		one := a.tokens(a.password(a.ask("organization", "plain"), "joe@plain.example"))
		few := switched(one.RefreshToken, "few")
		two := b.tokens(b.password(b.ask("organization", "plain"), "joe@plain.example"))
		v.clock.Advance(time.Second)
		if got := switched(two.RefreshToken, "few"); got.Error != "" {
			t.Fatalf("%+v", got)
		}
		if got := v.Refresh(v.app, few.RefreshToken); got.Error != "invalid_grant" {
			t.Errorf("beyond the limit of sessions: %+v", got)
		}
	})
}

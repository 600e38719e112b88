package gatewaytest_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/gatewaytest"
	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/signin"
)

const (
	multiFactor = signin.ACRMultiFactor
	phr         = signin.ACRPhishingResistant
	sentence    = "correct horse battery"
)

// member adds somebody who signs in by password to tenants, which are made.
func (v *vendor) member(t *testing.T, d db.DB, email string, keys ...string) (user string, ids []string) {
	t.Helper()
	vendor := actor.Actor{Environment: v.Main.ID, Kind: actor.Management, Name: "vendor"}
	tx := func(f func(q db.Queryer) error) {
		t.Helper()
		if err := d.Tx(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range keys {
		var tenant struct{ ID string }
		if status, _ := v.Try(http.MethodGet, "/tenants/"+key, nil); status == http.StatusNotFound {
			v.Call(http.MethodPost, "/tenants", object{"name": key, "key": key}, nil)
		}
		v.Call(http.MethodGet, "/tenants/"+key, nil, &tenant)
		tx(func(q db.Queryer) error {
			p, err := v.Directory.CreateUser(t.Context(), vendor, q, directory.NewUser{Environment: v.Main.ID, Tenant: tenant.ID, UserID: user, Email: email})
			user = p.Membership.UserID
			return err
		})
		ids = append(ids, tenant.ID)
	}
	hash, err := v.Signin.PreparePassword(t.Context(), v.Main, user, sentence)
	if err != nil {
		t.Fatal(err)
	}
	tx(func(q db.Queryer) error { return v.Signin.SetFirstPassword(t.Context(), vendor, q, v.Main, user, hash) })
	return user, ids
}

func (v *vendor) policy(tenant, kind string, body object) {
	v.Call(http.MethodPut, "/tenants/"+tenant+"/policies/"+kind, body, nil)
}

// desk is somebody at a browser who uses the application.
type desk struct {
	t        *testing.T
	v        *vendor
	b        *browser.Browser
	verifier string
	key      string // of his authenticator app
}

func (v *vendor) desk(t *testing.T) *desk {
	s := &desk{t: t, v: v, b: browser.New(t), verifier: strings.Repeat("v", 43)}
	s.b.Client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), v.app.RedirectURI) {
			return http.ErrUseLastResponse
		}
		return nil
	}
	return s
}

// ask sends the browser to the gateway, as the application does.
func (s *desk) ask(pairs ...string) browser.Page {
	s.t.Helper()
	sum := sha256.Sum256([]byte(s.verifier))
	q := url.Values{
		"response_type": {"code"}, "client_id": {s.v.app.ClientID}, "redirect_uri": {s.v.app.RedirectURI}, "scope": {"openid email offline_access"}, "state": {"s"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	for n := 0; n+1 < len(pairs); n += 2 {
		q.Set(pairs[n], pairs[n+1])
	}
	return s.b.Get(s.v.URL + "/oauth2/authorize?" + q.Encode())
}

// password answers the page that asks for it, or for the address before it.
func (s *desk) password(p browser.Page, email string) browser.Page {
	s.t.Helper()
	flow := flowOf(s.t, p)
	return s.b.Post(s.v.URL+"/login/password", url.Values{"flow": {flow}, "email": {email}, "password": {sentence}}, "")
}

var appKey = regexp.MustCompile(`id="totp-key">([A-Z2-7 ]+)<`)

// enrol sets an authenticator app up where the page asks for one.
func (s *desk) enrol(p browser.Page) browser.Page {
	s.t.Helper()
	if !strings.Contains(p.Body, "Set up a second step") {
		s.t.Fatalf("no second step is asked for: %s", p)
	}
	flow := flowOf(s.t, p)
	key := appKey.FindStringSubmatch(s.b.Get(s.v.URL + "/mfa/enrol?kind=totp&flow=" + flow).Body)
	if key == nil {
		s.t.Fatal("no key of an app")
	}
	s.key = strings.ReplaceAll(key[1], " ", "")
	s.b.Post(s.v.URL+"/mfa/enrol", url.Values{"flow": {flow}, "kind": {"totp"}, "answer": {s.code()}}, "")
	return s.b.Post(s.v.URL+"/mfa/resume", url.Values{"flow": {flow}}, "")
}

func (s *desk) code() string {
	code, err := totp.GenerateCode(s.key, s.v.clock.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	return code
}

// second answers the page that asks for the app's code.
func (s *desk) second(p browser.Page) browser.Page {
	s.t.Helper()
	return s.b.Post(s.v.URL+"/mfa", url.Values{"flow": {flowOf(s.t, p)}, "kind": {"totp"}, "answer": {s.code()}}, "")
}

// told is the error that the application got; empty: none, or nothing.
func told(p browser.Page) string {
	to, _ := url.Parse(p.Header.Get("Location"))
	return to.Query().Get("error")
}

// tokens redeems the code that the application got.
func (s *desk) tokens(p browser.Page) gatewaytest.Tokens {
	s.t.Helper()
	to, _ := url.Parse(p.Header.Get("Location"))
	code := to.Query().Get("code")
	if code == "" {
		s.t.Fatalf("no code: %s %s", to, p)
	}
	return s.token(url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {s.v.app.RedirectURI}, "code_verifier": {s.verifier}})
}

func (s *desk) token(form url.Values) gatewaytest.Tokens {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.v.URL+"/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(s.v.app.ClientID), url.QueryEscape(s.v.app.Secret))
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	var out gatewaytest.Tokens
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		s.t.Fatal(err)
	}
	if out.Error == "" {
		out.Access, out.ID = s.v.Claims(out.AccessToken), s.v.Claims(out.IDToken)
	}
	return out
}

func (s *desk) cookie() string { return s.b.Cookie(s.v.URL, "__Host-session") }

// live reports whether a session cookie is of a session.
func (s *desk) live(cookie string) bool {
	s.t.Helper()
	_, err := s.v.Sessions.Find(s.t.Context(), s.v.DB, s.v.Main.ID, cookie)
	return err == nil
}

func (s *desk) shows(p browser.Page, text string) {
	s.t.Helper()
	if !strings.Contains(p.Body, text) {
		s.t.Fatalf("%q is not shown: %s", text, p)
	}
}

func essential(acr ...string) string {
	text, _ := json.Marshal(object{"id_token": object{"acr": object{"essential": true, "values": acr}}})
	return string(text)
}

// Product 7.6: an application asks for more than the session proves. The person is
// asked for what is missing and for nothing else, the session's secret is another
// one afterwards, and tokens say what was reached.
func TestStepUp(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		v := newVendor(t, d, "okta")
		v.member(t, d, "joe@plain.example", "plain")
		s := v.desk(t)
		start := v.clock.Now()
		p := s.ask("organization", "plain")
		first := s.tokens(s.password(p, "joe@plain.example"))
		before := s.cookie()
		if first.ID["acr"] != "1" || first.Access["acr"] != "1" || !slices.Equal(list(first.ID, "amr"), []string{"pwd"}) {
			t.Errorf("one factor: %v", first.ID)
		}
		v.clock.Advance(5 * time.Minute)
		if got := told(s.ask("acr_values", multiFactor, "prompt", "none")); got != "interaction_required" {
			t.Errorf("prompt=none: %q", got)
		}
		p = s.ask("acr_values", multiFactor)
		flow := flowOf(t, p)
		// No way round: not by resuming, not in another browser, not in another session.
		s.shows(s.b.Get(v.URL+"/oauth2/authorize?resume="+flow), "SIGNIN_FLOW_UNKNOWN")
		other := v.desk(t)
		other.shows(other.b.Get(v.URL+"/mfa/enrol?flow="+flow), "SIGNIN_OTHER_BROWSER")
		if s.cookie() != before {
			t.Error("the session's secret changed before anything was proved")
		}
		stepped := s.tokens(s.enrol(p))
		if stepped.ID["acr"] != multiFactor || stepped.Access["acr"] != multiFactor || !slices.Equal(list(stepped.ID, "amr"), []string{"pwd", "otp", "mfa"}) ||
			stepped.ID["auth_time"] != float64(start.Add(5*time.Minute).Unix()) || stepped.ID["sid"] != first.ID["sid"] {
			t.Errorf("two factors: %v, at first %v", stepped.ID, first.ID)
		}
		if s.cookie() == before || s.live(before) || !s.live(s.cookie()) {
			t.Error("the session's secret from before the step still serves")
		}
		// What was reached holds for the session: it is not asked again, and shows always.
		for _, pairs := range [][]string{{"acr_values", multiFactor}, {"acr_values", multiFactor, "prompt", "none"}, {"acr_values", phr + " " + multiFactor}, {"claims", essential(multiFactor)}, {}} {
			if got := s.tokens(s.ask(pairs...)); got.ID["acr"] != multiFactor {
				t.Errorf("%v: %v", pairs, got.ID["acr"])
			}
		}
		// So it does for who is to choose, and has nothing to choose from.
		tenant := first.Access["tenantId"].(string)
		if got := s.tokens(s.ask("claims", essential(multiFactor), "prompt", "select_account", "organization", tenant)); got.ID["acr"] != multiFactor {
			t.Errorf("chosen: %v", got.ID["acr"])
		}
		if got := s.tokens(s.ask("acr_values", "1")); got.ID["acr"] != "1" {
			t.Errorf("the class that was asked for is not the one that shows: %v", got.ID["acr"])
		}
		if got := v.Refresh(v.app, first.RefreshToken); got.ID["acr"] != multiFactor {
			t.Errorf("refreshed: %v", got.ID["acr"])
		}
		// What cannot be reached is a wish, unless it is essential.
		for _, acr := range []string{phr, "urn:example:gold"} {
			if got := s.tokens(s.ask("acr_values", acr)); got.ID["acr"] != multiFactor {
				t.Errorf("%s: %v", acr, got.ID["acr"])
			}
			for _, prompt := range []string{"consent", "none"} {
				if got := told(s.ask("claims", essential(acr), "prompt", prompt)); got != "unmet_authentication_requirements" {
					t.Errorf("%s essential, prompt=%s: %q", acr, prompt, got)
				}
			}
		}
		// A first factor that is too old is asked for again, and the second with it.
		p = s.ask("acr_values", multiFactor, "max_age", "60")
		if v.clock.Advance(2 * time.Minute); told(p) != "" || p.Header.Get("Location") == "" {
			t.Errorf("within max_age: %s", p)
		}
		p = s.password(s.ask("acr_values", multiFactor, "max_age", "60", "organization", "plain"), "joe@plain.example")
		if got := s.tokens(s.second(p)); got.ID["acr"] != multiFactor || got.ID["auth_time"] != float64(v.clock.Now().Unix()) {
			t.Errorf("anew: %v", got.ID)
		}
		for name, pairs := range map[string][]string{
			"claims": {"claims", `{"id_token":`}, "many": {"acr_values", strings.Repeat("a ", 11)}, "long": {"acr_values", strings.Repeat("a", 256)},
		} {
			if got := told(s.ask(pairs...)); got != "invalid_request" {
				t.Errorf("%s: %q", name, got)
			}
		}
	})
}

// The way through which the step-up must not lead: a session that has ended, one
// that is old, and somebody else's.
func TestStepUpNeedsItsSession(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		v := newVendor(t, d, "okta")
		v.member(t, d, "joe@plain.example", "plain")
		v.member(t, d, "eve@plain.example", "plain")
		s := v.desk(t)
		s.tokens(s.password(s.ask("organization", "plain"), "joe@plain.example"))
		// Nobody sets a factor up who has but an old session.
		v.clock.Advance(signin.Fresh + time.Second)
		p := s.ask("acr_values", multiFactor, "organization", "plain")
		s.shows(p, `autocomplete="current-password"`)
		s.tokens(s.enrol(s.password(p, "joe@plain.example")))

		s = v.desk(t)
		s.tokens(s.password(s.ask("organization", "plain"), "eve@plain.example"))
		p = s.ask("acr_values", multiFactor)
		flow := flowOf(t, p)
		s.b.Post(v.URL+"/logout", nil, "")
		if after := s.b.Post(v.URL+"/mfa/resume", url.Values{"flow": {flow}}, ""); after.Header.Get("Location") != "" || strings.Contains(after.Body, "Set up a second step") {
			t.Errorf("a session that ended is gone on from: %s", after)
		}
		// The flow begins anew; whoever comes now is who he proves to be.
		got := s.tokens(s.enrol(s.password(s.b.Get(v.URL+"/login?flow="+flow), "eve@plain.example")))
		if got.ID["email"] != "eve@plain.example" || got.ID["acr"] != multiFactor {
			t.Errorf("%v", got.ID)
		}
	})
}

// Identity rule 11: after single sign-on the second factor is asked for here, and the
// session stays the identity provider's.
func TestStepUpAfterSSO(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		v := newVendor(t, d, "okta")
		s := v.desk(t)
		enter := func(pairs ...string) browser.Page { return s.b.Continue(s.ask(pairs...), ada.ID) }
		first := s.tokens(enter("connection", v.oidc))
		if first.ID["acr"] == multiFactor {
			t.Fatalf("%v", first.ID)
		}
		v.clock.Advance(time.Minute)
		got := s.tokens(s.enrol(s.ask("acr_values", multiFactor, "connection", v.oidc)))
		if got.ID["acr"] != multiFactor || got.ID["sid"] != first.ID["sid"] || got.ID["tenantId"] != v.tenant {
			t.Errorf("%v, at first %v", got.ID, first.ID)
		}
		// In a new session both are asked for, one after the other.
		key := s.key
		v.clock.Advance(time.Minute)
		s = v.desk(t)
		s.key = key
		p := s.b.Continue(s.ask("acr_values", multiFactor, "connection", v.saml), ada.ID)
		if got = s.tokens(s.second(p)); got.ID["acr"] != multiFactor || got.ID["tenantId"] != v.tenant {
			t.Errorf("%v", got.ID)
		}
	})
}

package client_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/tenants"
)

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// logoutClaims are those of a good logout token.
func (w *world) logoutClaims(pairs ...any) map[string]any {
	now := w.Clock.Now()
	c := map[string]any{
		"iss": w.idp.Issuer(), "aud": rig.Client.ID, "iat": now.Unix(), "exp": now.Add(2 * time.Minute).Unix(), "jti": id.New("jti"),
		"sub": ada.ID, "events": map[string]any{logoutEvent: map[string]any{}},
	}
	for n := 0; n+1 < len(pairs); n += 2 {
		name, _ := pairs[n].(string)
		if c[name] = pairs[n+1]; pairs[n+1] == nil {
			delete(c, name)
		}
	}
	return c
}

func (w *world) signed(typ string, claims map[string]any) string {
	w.t.Helper()
	token, err := w.idp.SignJWT(typ, claims)
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

// answer is what a machine gets.
type answer struct {
	status int
	header http.Header
	body   string
}

func (w *world) send(method, address, media, body string, header ...string) answer {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if media != "" {
		r.Header.Set("Content-Type", media)
	}
	for n := 0; n+1 < len(header); n += 2 {
		r.Header.Set(header[n], header[n+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(text)}
}

const formMedia = "application/x-www-form-urlencoded"

func (w *world) logout(token string) answer {
	w.t.Helper()
	return w.send(http.MethodPost, w.URL+"/oidc/"+w.conn.ID+"/backchannel-logout", formMedia, url.Values{"logout_token": {token}}.Encode())
}

// live counts the parts of sessions that have not ended.
func (w *world) live() int {
	return w.Count(`SELECT COUNT(*) FROM session_tenants WHERE ended_at IS NULL`)
}

func (w *world) loggedOut(t *testing.T, a answer, live int) {
	t.Helper()
	if a.status != http.StatusOK || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v %s", a.status, a.header, a.body)
	}
	if n := w.live(); n != live {
		t.Errorf("%d parts of sessions live on, want %d", n, live)
	}
}

// kept asserts a refusal with the code, after which everybody is still signed in.
func (w *world) kept(t *testing.T, a answer, code string) {
	t.Helper()
	var body struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if err := json.Unmarshal([]byte(a.body), &body); err != nil || a.status != http.StatusBadRequest || a.header.Get("Cache-Control") != "no-store" ||
		body.Error != "invalid_request" || !strings.HasPrefix(body.Description, code+": ") {
		t.Errorf("%d %s, want %s (%v)", a.status, a.body, code, err)
	}
	if w.live() == 0 {
		t.Error("a session ended")
	}
}

// oidcc-client-backchannel-logout-certification-test-plan
func TestConformanceBackchannelLogout(t *testing.T) {
	modules(t, "RS256", func(t *testing.T, w *world) {
		w.in(t)
		run := func(name string, f func(t *testing.T)) {
			t.Run(name, func(t *testing.T) { w.t = t; f(t) })
		}
		run("AlgNone", func(t *testing.T) {
			payload, err := json.Marshal(w.logoutClaims())
			if err != nil {
				t.Fatal(err)
			}
			for _, alg := range []string{"none", "None", "NONE", ""} {
				head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"` + alg + `","typ":"logout+jwt"}`))
				w.kept(t, w.logout(head+"."+base64.RawURLEncoding.EncodeToString(payload)+"."), "OIDC_ALG")
			}
		})
		run("NoEvent", func(t *testing.T) {
			w.kept(t, w.logout(w.signed("logout+jwt", w.logoutClaims("events", nil))), "OIDC_LOGOUT_EVENT")
		})
		run("WithNonce", func(t *testing.T) {
			for _, nonce := range []any{"n", "", json.RawMessage("null")} {
				w.kept(t, w.logout(w.signed("logout+jwt", w.logoutClaims("nonce", nonce))), "OIDC_LOGOUT_NONCE")
			}
		})
		run("WrongAlg", func(t *testing.T) {
			token, err := w.idp.IDToken(rig.Client.ID, ada, "", idp.OIDCKnobs{
				Alg: "HS256", HMACKey: []byte(rig.Client.Secret), MutateClaims: func(c map[string]any) {
					clear(c)
					for k, v := range w.logoutClaims() {
						c[k] = v
					}
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			w.kept(t, w.logout(token), "OIDC_ALG")
		})
		run("WrongAud", func(t *testing.T) {
			w.kept(t, w.logout(w.signed("logout+jwt", w.logoutClaims("aud", rig.Client.ID+"1"))), "OIDC_AUDIENCE")
		})
		run("WrongEvent", func(t *testing.T) {
			for _, events := range []any{
				map[string]any{logoutEvent + "1": map[string]any{}},
				map[string]any{},
				map[string]any{logoutEvent: nil},
				map[string]any{logoutEvent: true},
				[]string{logoutEvent},
				logoutEvent,
			} {
				w.kept(t, w.logout(w.signed("logout+jwt", w.logoutClaims("events", events))), "OIDC_LOGOUT_EVENT")
			}
		})
		run("WrongIssuer", func(t *testing.T) {
			w.kept(t, w.logout(w.signed("logout+jwt", w.logoutClaims("iss", w.idp.Issuer()+"/"))), "OIDC_ISSUER")
		})
		run("Logout", func(t *testing.T) {
			w.loggedOut(t, w.logout(w.signed("logout+jwt", w.logoutClaims())), 0)
		})
	})
}

// oidcc-client-test-3rd-party-init-login
func TestConformanceThirdPartyInitiatedLogin(t *testing.T) {
	modules(t, "RS256", func(t *testing.T, w *world) {
		w.Application(w.URL + "/oauth2/authorize")
		v := url.Values{"iss": {w.idp.Issuer()}, "login_hint": {ada.Email}, "target_link_uri": {w.URL + "/oauth2/authorize"}}
		arrived(t, browser.New(t).LogIn(w.URL+"/oidc/"+w.conn.ID+"/login?"+v.Encode(), ada.ID))
		b := browser.New(t)
		arrived(t, b.Continue(b.Post(w.URL+"/oidc/"+w.conn.ID+"/login", v, w.idp.Issuer()), ada.ID))
	})
}

func (w *world) sid(sid string) rig.Arrived {
	w.t.Helper()
	w.idp.SetOIDCKnobs(claim("sid", sid))
	defer w.idp.SetOIDCKnobs(idp.OIDCKnobs{})
	return arrived(w.t, browser.New(w.t).LogIn(w.start(), ada.ID))
}

// OpenID Connect Back-Channel Logout §2.6, §2.7: what a token names ends, and
// nothing else.
func TestLogoutEnds(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		other := w.OIDCConnection(w.tenant, w.idp, func(n *tenants.NewSSOConnection) { n.Name = "Other" })
		globex := w.Tenant("globex", "globex.example")
		foreign := w.OIDCConnection(globex, w.idp, func(n *tenants.NewSSOConnection) { n.AllowUnverifiedDomains = true })
		bob := idp.Person{ID: "00u2", Email: "bob@acme.example"}
		w.idp.AddPerson(bob)
		w.sid("s-1")
		w.sid("s-2")
		w.sid("s-2")
		arrived(t, browser.New(t).LogIn(w.start(), bob.ID))
		arrived(t, browser.New(t).LogIn(w.StartURL("connection", other.ID), ada.ID))
		arrived(t, browser.New(t).LogIn(w.StartURL("connection", foreign.ID), ada.ID))
		w.loggedOut(t, w.logout(w.signed("", w.logoutClaims("sub", "nobody"))), 6)
		w.loggedOut(t, w.logout(w.signed("", w.logoutClaims("sub", nil, "sid", "unknown"))), 6)
		w.loggedOut(t, w.logout(w.signed("", w.logoutClaims("sub", bob.ID, "sid", "s-1"))), 6) // not his session
		w.loggedOut(t, w.logout(w.signed("", w.logoutClaims("sid", "s-1"))), 5)
		w.loggedOut(t, w.logout(w.signed("", w.logoutClaims("sub", nil, "sid", "s-2"))), 3)
		w.sid("s-3")
		w.loggedOut(t, w.logout(w.signed("", w.logoutClaims())), 3)
		w.loggedOut(t, w.logout(w.signed("", w.logoutClaims())), 3) // again: nothing left is a success
		if n := w.Count(`SELECT COUNT(*) FROM session_tenants WHERE ended_at IS NULL AND (tenant_id = $1 OR connection_id = $2 OR user_id IN (
			SELECT user_id FROM memberships WHERE email = $3))`, globex, other.ID, bob.Email); n != 3 {
			t.Errorf("%d of the others' live on, want 3", n)
		}
		if got := w.Count(`SELECT COUNT(*) FROM audit_events WHERE action = 'sso_connection.logout_received' AND tenant_id = $1`, w.tenant); got != 7 {
			t.Errorf("%d events, want 7", got)
		}
	})
}

// What a logout token must not be, beyond the suite's modules.
func TestLogoutRefuses(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.sid("s-1")
		now := w.Clock.Now()
		for name, k := range map[string]struct {
			typ, code string
			pairs     []any
		}{
			"no aud":                  {"", "OIDC_AUDIENCE", []any{"aud", nil}},
			"no iss":                  {"", "OIDC_ISSUER", []any{"iss", nil}},
			"neither sub nor sid":     {"", "OIDC_LOGOUT_SUBJECT", []any{"sub", nil}},
			"empty sub":               {"", "OIDC_LOGOUT_SUBJECT", []any{"sub", ""}},
			"long sub":                {"", "OIDC_LOGOUT_SUBJECT", []any{"sub", strings.Repeat("s", 256)}},
			"long sid":                {"", "OIDC_LOGOUT_SUBJECT", []any{"sid", strings.Repeat("s", 1025)}},
			"sid with a NUL":          {"", "OIDC_LOGOUT_SUBJECT", []any{"sid", "a\x00"}},
			"sid is a number":         {"", "OIDC_TOKEN_FORM", []any{"sid", 7}},
			"no jti":                  {"", "OIDC_LOGOUT_JTI", []any{"jti", nil}},
			"long jti":                {"", "OIDC_LOGOUT_JTI", []any{"jti", strings.Repeat("j", 1025)}},
			"no exp":                  {"", "OIDC_EXPIRED", []any{"exp", nil}},
			"expired":                 {"", "OIDC_EXPIRED", []any{"exp", now.Add(-2 * time.Minute).Unix()}},
			"no iat":                  {"", "OIDC_IAT", []any{"iat", nil}},
			"iat old":                 {"", "OIDC_IAT", []any{"iat", now.Add(-601 * time.Second).Unix()}},
			"iat to come":             {"", "OIDC_IAT", []any{"iat", now.Add(121 * time.Second).Unix()}},
			"access token by type":    {"at+jwt", "OIDC_TYP", nil},
			"security event by type":  {"secevent+jwt", "OIDC_TYP", nil},
			"access token, long type": {"application/at+jwt", "OIDC_TYP", nil},
		} {
			t.Run(name, func(t *testing.T) {
				w.t = t
				w.kept(t, w.logout(w.signed(k.typ, w.logoutClaims(k.pairs...))), k.code)
			})
		}
		t.Run("replayed", func(t *testing.T) {
			w.t = t
			token := w.signed("logout+jwt", w.logoutClaims())
			w.loggedOut(t, w.logout(token), 0)
			w.sid("s-1")
			w.kept(t, w.logout(token), "OIDC_LOGOUT_REPLAY")
			w.Clock.Advance(20 * time.Minute)
			w.kept(t, w.logout(token), "OIDC_EXPIRED")
		})
		t.Run("at once", func(t *testing.T) {
			w.t = t
			token := w.signed("logout+jwt", w.logoutClaims())
			answers := make([]answer, 8)
			var wait sync.WaitGroup
			for n := range answers {
				wait.Go(func() { answers[n] = w.logout(token) })
			}
			wait.Wait()
			taken := 0
			for _, a := range answers {
				switch {
				case a.status == http.StatusOK:
					taken++
				case a.status != http.StatusBadRequest || !strings.Contains(a.body, "OIDC_LOGOUT_REPLAY"):
					t.Errorf("%d %s", a.status, a.body)
				}
			}
			if taken != 1 {
				t.Errorf("one token was taken %d times", taken)
			}
			w.sid("s-1")
		})
		t.Run("an ID token, and a logout token as ID token", func(t *testing.T) {
			w.t = t
			token, err := w.idp.IDToken(rig.Client.ID, ada, "", idp.OIDCKnobs{})
			if err != nil {
				t.Fatal(err)
			}
			w.kept(t, w.logout(token), "OIDC_LOGOUT_EVENT")
			for typ, code := range map[string]string{"logout+jwt": "OIDC_TYP", "": "OIDC_NONCE"} {
				body, err := json.Marshal(map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": w.signed(typ, w.logoutClaims())})
				if err != nil {
					t.Fatal(err)
				}
				w.set(t, idp.OIDCKnobs{Endpoints: map[string]idp.Fault{"token": {Status: http.StatusOK, Body: string(body)}}})
				w.out(t, code)
			}
		})
		t.Run("signed by another", func(t *testing.T) {
			w.t = t
			stranger := w.IdP(idp.Config{People: []idp.Person{ada}})
			token, err := stranger.SignJWT("logout+jwt", w.logoutClaims())
			if err != nil {
				t.Fatal(err)
			}
			w.kept(t, w.logout(token), "OIDC_KEY_UNKNOWN")
		})
		t.Run("forms", func(t *testing.T) {
			w.t = t
			address := w.URL + "/oidc/" + w.conn.ID + "/backchannel-logout"
			token := w.signed("logout+jwt", w.logoutClaims())
			form := "logout_token=" + token
			w.kept(t, w.send(http.MethodPost, address, "application/json", `{"logout_token":"`+token+`"}`), "OIDC_LOGOUT_FORM")
			w.kept(t, w.send(http.MethodPost, address, "", form), "OIDC_LOGOUT_FORM")
			w.kept(t, w.send(http.MethodPost, address, formMedia, form+"&"+form), "OIDC_LOGOUT_FORM")
			w.kept(t, w.send(http.MethodPost, address, formMedia, "logout_token="), "OIDC_LOGOUT_FORM")
			w.kept(t, w.send(http.MethodPost, address+"?"+form, formMedia, ""), "OIDC_LOGOUT_FORM")
			w.kept(t, w.send(http.MethodPost, address, formMedia, "logout_token="+strings.Repeat("a", 200<<10)), "body_too_large")
			w.kept(t, w.send(http.MethodPost, address, formMedia, "logout_token="+strings.Repeat("a", 66<<10)), "OIDC_TOKEN_FORM")
			if a := w.send(http.MethodGet, address+"?"+form, "", ""); a.status != http.StatusMethodNotAllowed {
				t.Errorf("GET: %d", a.status)
			}
			for _, c := range []string{id.New(id.SSO), "sso_x", "%00", w.SAMLConnection(w.tenant, w.idp).ID} {
				if a := w.send(http.MethodPost, w.URL+"/oidc/"+c+"/backchannel-logout", formMedia, form); a.status != http.StatusNotFound {
					t.Errorf("connection %s: %d %s", c, a.status, a.body)
				}
			}
			w.loggedOut(t, w.send(http.MethodPost, address, formMedia+"; charset=utf-8", form+"&more=x"), 0)
		})
	})
}

// An independent library judges logout tokens as we do.
func TestLogoutDifferential(t *testing.T) {
	w := once(t)
	ctx := gooidc.ClientContext(t.Context(), http.DefaultClient)
	p, err := gooidc.NewProvider(ctx, w.idp.Issuer())
	if err != nil {
		t.Fatal(err)
	}
	theirs := p.Verifier(&gooidc.Config{ClientID: rig.Client.ID, Now: w.Clock.Now, SupportedSigningAlgs: []string{"ES256"}})
	for n, pairs := range [][]any{
		nil,
		{"events", nil},
		{"nonce", "n"},
		{"aud", "x"},
		{"aud", []string{"x", rig.Client.ID}},
		{"iss", "x"},
		{"sub", nil, "sid", "s"},
		{"sub", nil},
		{"exp", 1},
		{"jti", nil},
		{"events", map[string]any{}},
	} {
		token := w.signed("logout+jwt", w.logoutClaims(pairs...))
		_, err := theirs.VerifyLogout(ctx, token)
		if a := w.logout(token); (a.status == http.StatusOK) != (err == nil) {
			t.Errorf("case %d %v: we say %d %s, they say %v", n, pairs, a.status, a.body, err)
		}
	}
}

// Requests that hold are counted per address, so that nobody makes us ask
// providers without end.
func TestLogoutIsLimited(t *testing.T) {
	w := once(t)
	limited := 0
	for range 1010 {
		a := w.logout("x")
		if a.status == http.StatusTooManyRequests {
			if limited++; a.header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		}
	}
	if limited != 10 {
		t.Errorf("%d refused", limited)
	}
}

func TestPurge(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for n := range 3 {
			w.loggedOut(t, w.logout(w.signed("", w.logoutClaims("jti", fmt.Sprint(n)))), 0)
		}
		w.Purge(t)
		if n := w.Count(`SELECT COUNT(*) FROM oidc_replays`); n != 3 {
			t.Errorf("%d used tokens are remembered, want 3", n)
		}
		w.Clock.Advance(15 * time.Minute)
		w.Purge(t)
		if n := w.Count(`SELECT COUNT(*) FROM oidc_replays`); n != 0 {
			t.Errorf("%d used tokens are still remembered", n)
		}
	})
}

func (w *world) Purge(t *testing.T) {
	t.Helper()
	if err := w.OIDC.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
}

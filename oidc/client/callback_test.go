package client_test

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// sso 5.2: the answer at the callback.
func TestCallback(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		other := w.OIDCConnection(w.tenant, w.idp)
		globex := w.Tenant("globex", "globex.example")
		foreign := w.OIDCConnection(globex, w.idp)
		edit := func(u *url.URL, pairs ...string) string {
			v := maps.Clone(u.Query())
			for n := 0; n+1 < len(pairs); n += 2 {
				if v.Del(pairs[n]); pairs[n+1] != "" {
					v.Set(pairs[n], pairs[n+1])
				}
			}
			c := *u
			c.RawQuery = v.Encode()
			return c.String()
		}
		at := func(u *url.URL, c tenants.SSOConnection) string {
			return strings.Replace(u.String(), w.conn.ID, c.ID, 1)
		}
		t.Run("state absent, unknown, empty, long", func(t *testing.T) {
			b := browser.New(t)
			u := w.callback(b)
			for _, state := range []string{"", "another", strings.Repeat("s", 5000), "\x00"} {
				refused(t, b.Get(edit(u, "state", state)), "OIDC_STATE")
			}
			arrived(t, b.Get(u.String()))
		})
		t.Run("state used again", func(t *testing.T) {
			b := browser.New(t)
			u := w.callback(b)
			arrived(t, b.Get(u.String()))
			p := b.Get(u.String())
			refused(t, p, "OIDC_STATE_USED")
		})
		t.Run("state at another connection, and another tenant's", func(t *testing.T) {
			b := browser.New(t)
			u := w.callback(b)
			refused(t, b.Get(at(u, other)), "OIDC_STATE")
			refused(t, b.Get(at(u, foreign)), "OIDC_STATE")
			arrived(t, b.Get(u.String()))
		})
		t.Run("another provider meanwhile", func(t *testing.T) {
			second := w.IdP(idp.Config{People: []idp.Person{ada}})
			asked := 0
			second.SetOIDCKnobs(idp.OIDCKnobs{TokenRequest: func(url.Values) { asked++ }})
			b := browser.New(t)
			u := w.callback(b)
			settings, secret := *w.conn.OIDC, rig.Client.Secret
			settings.Issuer = second.Issuer()
			w.SetConnection(w.conn, tenants.SSOPatch{OIDC: &settings, ClientSecret: &secret})
			refused(t, b.Get(edit(u, "iss", "")), "OIDC_STATE")
			if asked > 0 {
				t.Error("the second provider was given the first one's code")
			}
			w.SetConnection(w.conn, tenants.SSOPatch{OIDC: w.conn.OIDC, ClientSecret: &secret})
			arrived(t, browser.New(t).LogIn(w.start(), ada.ID))
		})
		t.Run("another browser: code injection", func(t *testing.T) {
			attacker := browser.New(t)
			u := w.callback(attacker)
			before := w.people()
			refused(t, browser.New(t).Get(u.String()), "SIGNIN_OTHER_BROWSER")
			victim := browser.New(t)
			w.callback(victim) // has a cookie of its own
			refused(t, victim.Get(u.String()), "SIGNIN_OTHER_BROWSER")
			if w.people() != before {
				t.Error("rows were written")
			}
			arrived(t, attacker.Get(u.String())) // it was not used up
		})
		t.Run("code of another login: PKCE", func(t *testing.T) {
			attacker, victim := browser.New(t), browser.New(t)
			code := w.callback(attacker).Query().Get("code")
			refused(t, victim.Get(edit(w.callback(victim), "code", code)), "OIDC_TOKEN_ENDPOINT")
		})
		t.Run("state expired", func(t *testing.T) {
			b := browser.New(t)
			u := w.callback(b)
			w.Clock.Advance(signin.FlowLifetime)
			refused(t, b.Get(u.String()), "OIDC_STATE")
		})
		t.Run("iss (RFC 9207)", func(t *testing.T) {
			for iss, code := range map[string]string{"https://evil.example": "OIDC_ISS", w.idp.Issuer() + "/": "OIDC_ISS", "": "OIDC_ISS"} {
				b := browser.New(t)
				refused(t, b.Get(edit(w.callback(b), "iss", iss)), code)
			}
		})
		t.Run("parameters twice, or none", func(t *testing.T) {
			b := browser.New(t)
			u := w.callback(b)
			for _, name := range []string{"state", "code", "iss", "error"} {
				refused(t, b.Get(u.String()+"&"+name+"=x&"+name+"=y"), "OIDC_PARAMETERS")
			}
			refused(t, b.Get(edit(u, "code", "")), "OIDC_PARAMETERS")
			b = browser.New(t)
			refused(t, b.Get(edit(w.callback(b), "code", strings.Repeat("c", 9<<10))), "OIDC_PARAMETERS")
			refused(t, b.Get(w.URL+"/oidc/"+w.conn.ID+"/callback"), "OIDC_STATE")
		})
		t.Run("error with hostile text", func(t *testing.T) {
			w.idp.SetOIDCKnobs(idp.OIDCKnobs{Error: `access_denied"><script>alert(1)</script>`, ErrorDescription: "<img src=x onerror=alert(1)>\x00\x1b[31m evil " + strings.Repeat("x", 1000)})
			p := browser.New(t).LogIn(w.start(), ada.ID)
			w.idp.SetOIDCKnobs(idp.OIDCKnobs{})
			refused(t, p, "OIDC_PROVIDER_ERROR")
			if strings.Contains(p.Body, "onerror") || strings.Contains(p.Body, "access_denied") {
				t.Errorf("the text is echoed: %s", p)
			}
			l := w.logged(signin.OutcomeFailure, "OIDC_PROVIDER_ERROR")
			said := l.Checks[len(l.Checks)-1].Actual
			if !strings.Contains(said, "access_denied") || strings.ContainsAny(said, "\x00\x1b") || len(said) > 210 {
				t.Errorf("the log says %q", said)
			}
		})
		t.Run("connection switched off meanwhile", func(t *testing.T) {
			b := browser.New(t)
			u := w.callback(b)
			off, on := tenants.SSODisabled, tenants.SSOActive
			w.SetConnection(w.conn, tenants.SSOPatch{Status: &off})
			refused(t, b.Get(u.String()), "POLICY_CONNECTION_DISABLED")
			w.SetConnection(w.conn, tenants.SSOPatch{Status: &on})
		})
		t.Run("tenant suspended meanwhile", func(t *testing.T) {
			b := browser.New(t)
			u := w.callback(b)
			w.Suspend(w.tenant)
			refused(t, b.Get(u.String()), "POLICY_TENANT_SUSPENDED")
			w.Exec(`UPDATE tenants SET status = 'active'`)
		})
	})
}

// Mix-up: a tenant whose provider claims to be another's gets nothing (identity rule 6).
func TestOtherTenants(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		evil := w.IdP(idp.Config{People: []idp.Person{ada}})
		globex := w.Tenant("globex", "globex.example")
		foreign := w.OIDCConnection(globex, evil, func(n *tenants.NewSSOConnection) { n.AllowUnverifiedDomains = true })
		mine := arrived(t, browser.New(t).LogIn(w.start(), ada.ID))
		theirs := arrived(t, browser.New(t).LogIn(w.StartURL("connection", foreign.ID), ada.ID))
		if theirs.User == mine.User || theirs.Tenant != globex {
			t.Errorf("another tenant's provider made a session of %+v, ours is %+v", theirs, mine)
		}
		evil.SetOIDCKnobs(idp.OIDCKnobs{Issuer: w.idp.Issuer()})
		refused(t, browser.New(t).LogIn(w.StartURL("connection", foreign.ID), ada.ID), "OIDC_ISSUER")
		evil.SetOIDCKnobs(idp.OIDCKnobs{})
		b := browser.New(t)
		flow := b.Get(w.StartURL("organization", "acme")).URL.Query().Get("flow")
		refused(t, b.Get(w.URL+"/oidc/"+foreign.ID+"/login?flow="+flow), "SIGNIN_OTHER_ORGANIZATION")
	})
}

// Answers that do not hold are logged at a bounded rate.
func TestRefusalsAreLimited(t *testing.T) {
	w := once(t)
	b := browser.New(t)
	limited := 0
	for range 110 {
		if p := b.Get(w.URL + "/oidc/" + w.conn.ID + "/callback?state=x&code=y"); p.Status == http.StatusTooManyRequests {
			limited++
		}
	}
	if n := len(w.Logins(w.conn)); limited != 10 || n != 100 {
		t.Errorf("%d refused, %d logged", limited, n)
	}
	arrived(t, b.LogIn(w.start(), ada.ID))
}

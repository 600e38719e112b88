package login_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/onboarding"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// social is the world with a provider of the environment, at which joe has an account.
type social struct {
	*world
	provider *idp.IdP
	conn     tenants.SocialConnection
	plain    string // a tenant without single sign-on
	joe      string // a member of it, who has a password
}

const joeMail = "joe@plain.example"

var joeThere = idp.Person{ID: "1000", Email: "joe.private@mail.example", FirstName: "Joe"}

func eachSocial(t *testing.T, f func(t *testing.T, w *social)) {
	t.Helper()
	each(t, func(t *testing.T, w *world) {
		s := &social{world: w, provider: w.IdP(idp.Config{People: []idp.Person{joeThere, ada, eve, {ID: "1001", Email: joeMail}}})}
		s.conn, s.plain = w.Social(s.provider), w.Tenant("plain")
		s.joe = w.member(t, joeMail, password, s.plain)
		f(t, s)
	})
}

// through goes from the application to the provider, and back as the person.
func (w *social) through(t *testing.T, b *browser.Browser, person string, start ...string) browser.Page {
	t.Helper()
	return b.Continue(follow(t, b, b.Get(w.StartURL(start...)), w.conn), person)
}

// follow clicks the button of the connection.
func follow(t *testing.T, b *browser.Browser, p browser.Page, c tenants.SocialConnection) browser.Page {
	t.Helper()
	m := regexp.MustCompile(`href="(/oidc/` + c.ID + `/login\?flow=[^"]+)"`).FindStringSubmatch(p.Body)
	if m == nil {
		t.Fatalf("no button of %s: %s", c.Name, p)
	}
	return b.Get(p.Origin() + m[1])
}

func button(p browser.Page, c tenants.SocialConnection) bool { return strings.Contains(p.Body, c.ID) }

// linked has joe connect his account at the provider.
func (w *social) linked(t *testing.T) {
	t.Helper()
	b := browser.New(t)
	p := form(t, b, w.through(t, b, joeThere.ID), "/login/connect")
	arrived(t, form(t, b, p, "/login/password", "email", joeMail, "password", password))
}

func (w *social) identities() int { return w.Count(`SELECT COUNT(*) FROM social_identities`) }

func (w *social) events(action string) int {
	return w.Count(`SELECT COUNT(*) FROM audit_events WHERE action = $1`, action)
}

// Who has no social identity connects it once, by signing in as usual, and comes
// by it from then on (product 3).
func TestSocial(t *testing.T) {
	eachSocial(t, func(t *testing.T, w *social) {
		b := browser.New(t)
		p := b.Get(w.StartURL())
		shows(t, p, http.StatusOK, "Continue with <bdi>Example ID</bdi>")
		p = w.through(t, b, joeThere.ID)
		shows(t, p, http.StatusOK, "Connect this account?")
		shows(t, p, http.StatusOK, joeThere.Email)
		if n := w.identities(); n != 0 {
			t.Fatal("connected without a word")
		}
		p = form(t, b, p, "/login/connect")
		shows(t, p, http.StatusOK, "to connect your <bdi>Example ID</bdi> account")
		shows(t, form(t, b, p, "/login/password", "email", joeMail, "password", "wrong"), http.StatusUnprocessableEntity, joeThere.Email)
		if a := arrived(t, form(t, b, p, "/login/password", "email", joeMail, "password", password)); a.User != w.joe || a.Tenant != w.plain {
			t.Errorf("%+v", a)
		}
		if n := w.Count(`SELECT COUNT(*) FROM social_identities WHERE user_id = $1 AND connection_id = $2`, w.joe, w.conn.ID); n != 1 {
			t.Fatalf("%d identities", n)
		}
		if n := w.Count(`SELECT COUNT(*) FROM audit_events WHERE action = 'social_identity.linked' AND tenant_id = $1`, w.plain); n != 1 {
			t.Errorf("%d events", n)
		}
		mails := w.mails()
		if last := mails[len(mails)-1]; !strings.Contains(last, "You can now sign in with Example ID") || !strings.Contains(last, joeMail) {
			t.Errorf("the mail: %s", last)
		}
		// From now on, in another browser, without a password; his proof stands for every
		// tenant, and says by which connection it came.
		b = browser.New(t)
		a := arrived(t, w.through(t, b, joeThere.ID))
		if a.User != w.joe || a.Tenant != w.plain || a.Connection != "" {
			t.Errorf("%+v", a)
		}
		if n := w.Count(`SELECT COUNT(*) FROM session_tenants WHERE session_id = $1 AND method = 'social' AND connection_id = '' AND social_connection_id = $2`, a.Session, w.conn.ID); n != 1 {
			t.Error("the session does not say how he came")
		}
		if n := w.Count(`SELECT COUNT(*) FROM audit_events WHERE action = 'login.succeeded' AND context LIKE $1`, "%"+w.conn.ID+"%"); n != 1 {
			t.Errorf("%d events of the connection", n)
		}
		// Another person of the same provider is somebody else.
		shows(t, w.through(t, browser.New(t), eve.ID), http.StatusOK, "Connect this account?")
		// A second tenant of his makes him choose.
		w.Tx(func(q db.Queryer) error {
			_, err := w.Directory.CreateUser(t.Context(), w.Vendor, q, directory.NewUser{Environment: w.Env.ID, Tenant: w.globex, UserID: w.joe, Email: joeMail})
			return err
		})
		p = w.through(t, browser.New(t), joeThere.ID)
		shows(t, p, http.StatusOK, "Choose an organization")
	})
}

// Nothing is connected unless the person said so in this flow and signed in himself,
// completely.
func TestSocialConnects(t *testing.T) {
	eachSocial(t, func(t *testing.T, w *social) {
		nobody := func(t *testing.T) {
			t.Helper()
			if n := w.identities() + w.events("social_identity.linked"); n != 0 {
				t.Fatal("the account was connected")
			}
		}
		t.Run("not agreed", func(t *testing.T) {
			b := browser.New(t)
			p := w.through(t, b, joeThere.ID)
			flow := p.URL.Query().Get("flow")
			p = b.Get(w.URL + "/login/password?flow=" + flow)
			arrived(t, form(t, b, p, "/login/password", "email", joeMail, "password", password))
			nobody(t)
		})
		t.Run("from another site", func(t *testing.T) {
			b := browser.New(t)
			p := w.through(t, b, joeThere.ID)
			flow := p.URL.Query().Get("flow")
			if p := b.Post(w.URL+"/login/connect", url.Values{"flow": {flow}}, "https://evil.example"); p.Status != http.StatusForbidden {
				t.Errorf("taken: %s", p)
			}
			p = b.Get(w.URL + "/login/password?flow=" + flow)
			arrived(t, form(t, b, p, "/login/password", "email", joeMail, "password", password))
			nobody(t)
		})
		t.Run("in another browser", func(t *testing.T) {
			p := w.through(t, browser.New(t), joeThere.ID)
			flow := p.URL.Query().Get("flow")
			rig.Refused(t, browser.New(t).Post(w.URL+"/login/connect", url.Values{"flow": {flow}}, w.URL), "SIGNIN_OTHER_BROWSER")
			rig.Refused(t, browser.New(t).Get(w.URL+"/login/connect?flow="+flow), "SIGNIN_OTHER_BROWSER", joeThere.Email)
		})
		t.Run("nothing waits", func(t *testing.T) {
			b := browser.New(t)
			p := b.Get(w.StartURL())
			_, fields, _ := p.Form()
			rig.Refused(t, b.Post(w.URL+"/login/connect", url.Values{"flow": {fields.Get("flow")}}, w.URL), "SIGNIN_STEP")
		})
		t.Run("in another flow", func(t *testing.T) {
			b := browser.New(t)
			form(t, b, w.through(t, b, joeThere.ID), "/login/connect")
			arrived(t, w.signIn(t, b, joeMail, password))
			nobody(t)
		})
		t.Run("through a tenant's identity provider", func(t *testing.T) {
			// It proves him for that tenant alone: its administrator would have him everywhere.
			b := browser.New(t)
			p := form(t, b, w.through(t, b, joeThere.ID), "/login/connect")
			p = b.Get(w.URL + "/login?flow=" + p.URL.Query().Get("flow"))
			a := arrived(t, b.Continue(send(t, b, p, "email", ada.Email), ada.ID))
			if a.Tenant != w.acme {
				t.Fatalf("%+v", a)
			}
			nobody(t)
		})
		t.Run("switched off meanwhile", func(t *testing.T) {
			b := browser.New(t)
			p := form(t, b, w.through(t, b, joeThere.ID), "/login/connect")
			off, on := tenants.SocialDisabled, tenants.SocialActive
			w.SetSocial(w.conn, tenants.SocialPatch{Status: &off})
			arrived(t, form(t, b, p, "/login/password", "email", joeMail, "password", password))
			w.SetSocial(w.conn, tenants.SocialPatch{Status: &on})
			nobody(t)
		})
		t.Run("before the second factor", func(t *testing.T) {
			w.SetPolicy(w.plain, policy.MFA, `{"enforce":"on"}`)
			b := browser.New(t)
			p := form(t, b, w.through(t, b, joeThere.ID), "/login/connect")
			p = form(t, b, p, "/login/password", "email", joeMail, "password", password)
			shows(t, p, http.StatusOK, "Set up a second step")
			nobody(t)
			_, _, p = w.enrol(t, b, p)
			arrived(t, p)
			if n := w.identities(); n != 1 {
				t.Error("not connected after the second factor")
			}
			// And it asks for one itself: product 128.
			p = w.through(t, browser.New(t), joeThere.ID)
			shows(t, p, http.StatusOK, "authenticator app")
		})
	})
}

// A second factor is asked for under each setting but off: social logins are no
// enterprise logins (product 128, 40).
func TestSocialSecondFactor(t *testing.T) {
	eachSocial(t, func(t *testing.T, w *social) {
		w.linked(t)
		w.provider.SetOIDCKnobs(idp.OIDCKnobs{MutateClaims: func(c map[string]any) { c["amr"], c["acr"] = []string{"mfa", "hwk"}, "phr" }})
		for _, of := range []string{"", w.plain} {
			for enforce, asks := range map[string]bool{"off": false, "unless_sso": true, "on": true} {
				if of == "" && enforce == "off" {
					continue
				}
				w.SetPolicy(of, policy.MFA, `{"enforce":"`+enforce+`"}`)
				p := w.through(t, browser.New(t), joeThere.ID)
				if asks {
					shows(t, p, http.StatusOK, "Set up a second step")
				} else {
					arrived(t, p)
				}
			}
			w.Exec(`DELETE FROM policies`)
		}
		a := arrived(t, w.through(t, browser.New(t), joeThere.ID))
		if amr := w.Strings(`SELECT amr FROM sessions WHERE id = $1`, a.Session); amr[0] != "[]" {
			t.Errorf("what the provider says of its own checks counts here: %s", amr)
		}
	})
}

// Where the environment or the organization does not want it, there is no button,
// and a button from before leads nowhere (product 3; identity rule 6).
func TestSocialSwitches(t *testing.T) {
	eachSocial(t, func(t *testing.T, w *social) {
		w.linked(t)
		feature := func(on bool) {
			w.Tx(func(q db.Queryer) error {
				_, err := w.Tenants.UpdateEnvironment(t.Context(), w.Vendor, q, w.Env.ID, tenants.EnvironmentPatch{Features: map[tenants.Feature]bool{tenants.FeatureSocialLogin: on}})
				return err
			})
			w.Clock.Advance(time.Minute) // every replica has read it by then
		}
		status := func(to string) { w.SetSocial(w.conn, tenants.SocialPatch{Status: &to}) }
		for name, k := range map[string]struct {
			off, on func()
		}{
			"feature":    {func() { feature(false) }, func() { feature(true) }},
			"connection": {func() { status(tenants.SocialDisabled) }, func() { status(tenants.SocialActive) }},
		} {
			t.Run(name, func(t *testing.T) {
				start, asked, answered := browser.New(t), browser.New(t), browser.New(t)
				first := start.Get(w.StartURL())
				at := follow(t, asked, asked.Get(w.StartURL()), w.conn)
				_, back := w.callback(t, answered)
				k.off()
				rig.Refused(t, follow(t, start, first, w.conn), "POLICY_CONNECTION_DISABLED")
				rig.Refused(t, asked.Continue(at, joeThere.ID), "POLICY_CONNECTION_DISABLED")
				rig.Refused(t, answered.Get(back), "POLICY_CONNECTION_DISABLED")
				if button(browser.New(t).Get(w.StartURL()), w.conn) {
					t.Error("it is offered")
				}
				k.on()
				arrived(t, w.through(t, browser.New(t), joeThere.ID))
			})
		}
		t.Run("before the second factor", func(t *testing.T) {
			w.SetPolicy(w.plain, policy.MFA, `{"enforce":"on"}`)
			b := browser.New(t)
			p := w.through(t, b, joeThere.ID)
			shows(t, p, http.StatusOK, "Set up a second step")
			status(tenants.SocialDisabled)
			rig.Refused(t, b.Post(w.URL+"/mfa/resume", url.Values{"flow": {p.URL.Query().Get("flow")}}, w.URL), "POLICY_CONNECTION_DISABLED")
			status(tenants.SocialActive)
			w.SetPolicy(w.plain, policy.MFA, `{"enforce":"off"}`)
		})
		t.Run("the organization forbids it", func(t *testing.T) {
			w.SetPolicy(w.plain, policy.Social, `{"allowed":false}`)
			p := browser.New(t).Get(w.StartURL("organization", w.plain))
			shows(t, p, http.StatusOK, "Password")
			if button(p, w.conn) {
				t.Error("it is offered")
			}
			// Without a named organization the page cannot know; the sign-in ends in it.
			rig.Refused(t, w.through(t, browser.New(t), joeThere.ID), "POLICY_SOCIAL_NOT_ALLOWED")
			w.SetPolicy(w.plain, policy.Social, `{"allowed":true}`)
		})
		t.Run("single sign-on is required", func(t *testing.T) {
			w.SetPolicy(w.plain, policy.SSO, `{"enforced":true,"excluded_emails":[]}`)
			rig.Refused(t, w.through(t, browser.New(t), joeThere.ID), "POLICY_SSO_REQUIRED")
			if button(browser.New(t).Get(w.StartURL("organization", w.plain)), w.conn) {
				t.Error("it is offered")
			}
			w.SetPolicy(w.plain, policy.SSO, `{"enforced":false,"excluded_emails":[]}`)
			arrived(t, w.through(t, browser.New(t), joeThere.ID))
		})
		t.Run("sessions end with the connection", func(t *testing.T) {
			a := arrived(t, w.through(t, browser.New(t), joeThere.ID))
			kept := arrived(t, w.signIn(t, browser.New(t), joeMail, password))
			status(tenants.SocialDisabled)
			ended := func(id string) int {
				return w.Count(`SELECT COUNT(*) FROM sessions WHERE id = $1 AND ended_at IS NOT NULL`, id)
			}
			if ended(a.Session) != 1 || ended(kept.Session) != 0 {
				t.Error("the sessions that came through the connection end, and no others")
			}
		})
	})
}

// callback runs a sign-in at the provider up to the address with the one-time handle
// of what was verified; first is the address that the provider sent the browser to.
func (w *social) callback(t *testing.T, b *browser.Browser) (first, handle string) {
	t.Helper()
	b.Client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasSuffix(r.URL.Path, "/callback") {
			first = r.URL.String()
		}
		if strings.HasPrefix(r.URL.Path, "/signin/social/") {
			handle = r.URL.String()
			return http.ErrUseLastResponse
		}
		return nil
	}
	w.through(t, b, joeThere.ID)
	b.Client.CheckRedirect = nil
	if handle == "" {
		t.Fatal("no handle")
	}
	return first, handle
}

// The way back is of one browser, of one use, and of one connection (sso 5.2).
func TestSocialAnswers(t *testing.T) {
	eachSocial(t, func(t *testing.T, w *social) {
		w.linked(t)
		b := browser.New(t)
		first, handle := w.callback(t, b)
		rig.Refused(t, browser.New(t).Get(handle), "SIGNIN_OTHER_BROWSER")
		rig.Refused(t, b.Get(strings.Replace(handle, "/signin/social/", "/signin/continue/", 1)), "SIGNIN_HANDLE_UNKNOWN")
		arrived(t, b.Get(handle))
		rig.Refused(t, b.Get(handle), "SIGNIN_HANDLE_UNKNOWN")
		rig.Refused(t, b.Get(first), "OIDC_STATE_USED")

		// A state is of the connection that asked: neither another one of the environment
		// nor a tenant's takes it.
		twin := w.Social(w.provider, func(n *tenants.NewSocial) { n.Name = "Twin" })
		tenant := w.OIDCConnection(w.plain, w.provider)
		for _, other := range []string{twin.ID, tenant.ID} {
			b := browser.New(t)
			b.Client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
				if strings.HasSuffix(r.URL.Path, "/callback") {
					return http.ErrUseLastResponse
				}
				return nil
			}
			at := w.through(t, b, joeThere.ID).Header.Get("Location")
			rig.Refused(t, b.Get(strings.Replace(at, w.conn.ID, other, 1)), "OIDC_STATE")
			b.Client.CheckRedirect = nil
			rig.Refused(t, browser.New(t).Get(at), "SIGNIN_OTHER_BROWSER")
			arrived(t, b.Get(at))
		}
		// What a tenant's identity provider verified proves nobody here.
		b = browser.New(t)
		b.Client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if strings.HasPrefix(r.URL.Path, "/signin/continue/") {
				return http.ErrUseLastResponse
			}
			return nil
		}
		at := b.LogIn(w.StartURL("connection", tenant.ID), joeThere.ID).Header.Get("Location")
		b.Client.CheckRedirect = nil
		rig.Refused(t, b.Get(w.URL+strings.Replace(at, "/signin/continue/", "/signin/social/", 1)), "SIGNIN_HANDLE_UNKNOWN")

		// The same subject at another connection is another account.
		shows(t, b.Continue(follow(t, b, b.Get(w.StartURL()), twin), joeThere.ID), http.StatusOK, "Connect this account?")
		// Nor does the provider's word of a session, or a login that it begins, serve here.
		for _, path := range []string{"/jwks", "/backchannel-logout"} {
			method := http.MethodGet
			if path != "/jwks" {
				method = http.MethodPost
			}
			r, err := http.NewRequestWithContext(t.Context(), method, w.URL+"/oidc/"+w.conn.ID+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if p := b.Do(r); p.Status != http.StatusNotFound {
				t.Errorf("%s: %s", path, p)
			}
		}
		rig.Refused(t, b.Get(w.URL+"/oidc/"+w.conn.ID+"/login"), "SIGNIN_FLOW_UNKNOWN")
		for name, k := range map[string]struct {
			knobs idp.OIDCKnobs
			code  string
		}{
			"nonce":     {idp.OIDCKnobs{Nonce: "another"}, "OIDC_NONCE"},
			"issuer":    {idp.OIDCKnobs{Issuer: "https://evil.example"}, "OIDC_ISSUER"},
			"audience":  {idp.OIDCKnobs{Audience: "another"}, "OIDC_AUDIENCE"},
			"algorithm": {idp.OIDCKnobs{Alg: "none"}, "OIDC_ALG"},
			"error":     {idp.OIDCKnobs{Error: "access_denied"}, "OIDC_PROVIDER_ERROR"},
		} {
			w.provider.SetOIDCKnobs(k.knobs)
			before := w.Count(`SELECT COUNT(*) FROM audit_events WHERE action = 'login.failed' AND context LIKE $1`, "%"+w.conn.ID+"%")
			rig.Refused(t, w.through(t, browser.New(t), joeThere.ID), k.code, joeMail)
			if n := w.Count(`SELECT COUNT(*) FROM audit_events WHERE action = 'login.failed' AND context LIKE $1`, "%"+w.conn.ID+"%"); n != before+1 {
				t.Errorf("%s: %d events", name, n-before)
			}
		}
	})
}

// An address is nobody: neither his whom somebody else is by it, nor a way to an
// account that does not exist (identity rules 2 and 4; nOAuth; pre-hijacking).
func TestSocialAddress(t *testing.T) {
	eachSocial(t, func(t *testing.T, w *social) {
		bare := func(p browser.Page, email string) string {
			return regexp.MustCompile(`flo?w_[a-z2-7]+`).ReplaceAllString(strings.ReplaceAll(p.Body, email, ""), "")
		}
		// joe's own address, verified, and one that nobody has: the same page.
		with := w.through(t, browser.New(t), "1001")
		shows(t, with, http.StatusOK, joeMail)
		without := w.through(t, browser.New(t), eve.ID)
		if bare(with, joeMail) != bare(without, eve.Email) {
			t.Error("the page tells whose address is known")
		}
		if n := w.identities(); n != 0 {
			t.Error("an address was taken for a person")
		}
		// What the attacker connects to his own account stays his, and the victim who comes
		// with his own account later does not come into it.
		w.member(t, "mallory@plain.example", newPassword, w.plain)
		b := browser.New(t)
		w.provider.SetOIDCKnobs(idp.OIDCKnobs{MutateClaims: func(c map[string]any) { c["email"], c["email_verified"] = joeMail, true }})
		p := form(t, b, w.through(t, b, eve.ID), "/login/connect")
		mallory := arrived(t, form(t, b, p, "/login/password", "email", "mallory@plain.example", "password", newPassword))
		w.provider.SetOIDCKnobs(idp.OIDCKnobs{})
		shows(t, w.through(t, browser.New(t), "1001"), http.StatusOK, "Connect this account?")
		if a := arrived(t, w.through(t, browser.New(t), eve.ID)); a.User != mallory.User || a.User == w.joe {
			t.Errorf("%+v", a)
		}
		// An account is of one person.
		b = browser.New(t)
		p = b.Get(w.StartURL())
		p = b.Continue(follow(t, b, p, w.conn), joeThere.ID)
		p = form(t, b, p, "/login/connect")
		w.linked(t) // meanwhile, as joe
		rig.Refused(t, form(t, b, p, "/login/password", "email", "mallory@plain.example", "password", newPassword), "SIGNIN_SOCIAL_TAKEN")
	})
}

// Locked, deleted and disconnected people, and providers that say no address.
func TestSocialLifecycle(t *testing.T) {
	eachSocial(t, func(t *testing.T, w *social) {
		w.linked(t)
		w.provider.SetOIDCKnobs(idp.OIDCKnobs{
			MutateClaims:   func(c map[string]any) { delete(c, "email"); delete(c, "email_verified") },
			MutateUserinfo: func(c map[string]any) { delete(c, "email"); delete(c, "email_verified") },
		})
		arrived(t, w.through(t, browser.New(t), joeThere.ID)) // his subject says who he is
		w.provider.SetOIDCKnobs(idp.OIDCKnobs{})
		vendor := func(f func(q db.Queryer) error) { w.Tx(f) }
		vendor(func(q db.Queryer) error { _, err := w.Directory.Lock(t.Context(), w.Vendor, q, w.joe); return err })
		rig.Refused(t, w.through(t, browser.New(t), joeThere.ID), "POLICY_USER_LOCKED")
		vendor(func(q db.Queryer) error { _, err := w.Directory.Unlock(t.Context(), w.Vendor, q, w.joe); return err })
		vendor(func(q db.Queryer) error {
			_, err := w.Directory.Disable(t.Context(), w.Vendor, q, w.plain, w.joe)
			return err
		})
		if p := w.through(t, browser.New(t), joeThere.ID); p.Status != http.StatusForbidden {
			t.Errorf("disabled: %s", p)
		}
		vendor(func(q db.Queryer) error {
			_, err := w.Directory.Enable(t.Context(), w.Vendor, q, w.plain, w.joe)
			return err
		})
		// Disconnected between the first step and the second.
		w.SetPolicy(w.plain, policy.MFA, `{"enforce":"on"}`)
		b := browser.New(t)
		p := w.through(t, b, joeThere.ID)
		shows(t, p, http.StatusOK, "Set up a second step")
		var list []directory.SocialIdentity
		vendor(func(q db.Queryer) (err error) {
			list, err = w.Directory.SocialIdentities(t.Context(), q, w.Env.ID, w.joe)
			return err
		})
		vendor(func(q db.Queryer) error {
			return w.Directory.UnlinkSocial(t.Context(), w.Vendor, q, w.Env.ID, w.joe, list[0].ID)
		})
		if p := b.Get(w.URL + "/mfa/enrol?flow=" + p.URL.Query().Get("flow")); strings.Contains(p.Body, "Set up a second step") {
			t.Errorf("goes on: %s", p)
		}
		w.SetPolicy(w.plain, policy.MFA, `{"enforce":"off"}`)
		shows(t, w.through(t, browser.New(t), joeThere.ID), http.StatusOK, "Connect this account?")
		w.linked(t)
		ses := arrived(t, w.through(t, browser.New(t), joeThere.ID))
		// The identity goes with the person; whoever comes with it then is nobody.
		vendor(func(q db.Queryer) error { return w.Directory.DeleteUser(t.Context(), w.Vendor, q, w.joe) })
		if n := w.identities(); n != 0 {
			t.Errorf("%d identities are left", n)
		}
		shows(t, w.through(t, browser.New(t), joeThere.ID), http.StatusOK, "Connect this account?")
		if n := w.Count(`SELECT COUNT(*) FROM sessions WHERE id = $1 AND ended_at IS NULL`, ses.Session); n != 0 {
			t.Error("his session lives")
		}
	})
}

// Two people connect one account at once: one of them has it (identity rule 2).
func TestSocialAtOnce(t *testing.T) {
	eachSocial(t, func(t *testing.T, w *social) {
		w.member(t, "mallory@plain.example", newPassword, w.plain)
		type one struct {
			b          *browser.Browser
			p          browser.Page
			email, pwd string
		}
		both := []*one{{email: joeMail, pwd: password}, {email: "mallory@plain.example", pwd: newPassword}}
		for _, o := range both {
			o.b = browser.New(t)
			o.p = form(t, o.b, w.through(t, o.b, joeThere.ID), "/login/connect")
		}
		var wait sync.WaitGroup
		for _, o := range both {
			wait.Go(func() { o.p = form(t, o.b, o.p, "/login/password", "email", o.email, "password", o.pwd) })
		}
		wait.Wait()
		in, taken := 0, 0
		for _, o := range both {
			if _, ok := rig.ReadArrival(o.p.Body); ok {
				in++
			} else if strings.Contains(o.p.Body, "SIGNIN_SOCIAL_TAKEN") {
				taken++
			} else {
				t.Errorf("%s", o.p)
			}
		}
		if in != 1 || taken != 1 || w.identities() != 1 {
			t.Errorf("%d came in, %d were refused, %d identities", in, taken, w.identities())
		}
	})
}

// An invitation by mail is accepted through the provider where that vouches for the
// invited address; the mailed token is what admits (identity rule 4; product 24, 25).
func TestSocialInvitation(t *testing.T) {
	eachSocial(t, func(t *testing.T, w *social) {
		invitee := idp.Person{ID: "1000", Email: joeThere.Email}
		accept := func(t *testing.T, b *browser.Browser, link, person string) browser.Page {
			t.Helper()
			p := b.Get(link)
			shows(t, p, http.StatusOK, "Join with <bdi>Example ID</bdi>")
			id := regexp.MustCompile(`name="invitation" value="([^"]*)"`).FindStringSubmatch(p.Body)[1]
			return b.Continue(b.Post(w.URL+"/invitations", url.Values{"invitation": {id}, "as": {"social"}, "connection": {w.conn.ID}}, w.URL), person)
		}
		knobs := func(claims map[string]any) {
			w.provider.SetOIDCKnobs(idp.OIDCKnobs{MutateClaims: func(c map[string]any) {
				for k, v := range claims {
					if c[k] = v; v == nil {
						delete(c, k)
					}
				}
			}})
		}
		link := w.invite(t, w.plain, invitee.Email)
		for name, k := range map[string]struct {
			claims map[string]any
			person string
			code   string
		}{
			"not verified":       {map[string]any{"email_verified": false}, invitee.ID, "INVITATION_ADDRESS_NOT_VOUCHED"},
			"nothing said of it": {map[string]any{"email_verified": nil}, invitee.ID, "INVITATION_ADDRESS_NOT_VOUCHED"},
			"another address":    {nil, eve.ID, "INVITATION_OTHER_ADDRESS"},
		} {
			t.Run(name, func(t *testing.T) {
				knobs(k.claims)
				rig.Refused(t, accept(t, browser.New(t), link, k.person), k.code)
				if n := w.members(invitee.Email) + w.identities(); n != 0 {
					t.Error("he is a member")
				}
			})
		}
		knobs(nil)
		b := browser.New(t)
		shows(t, accept(t, b, link, invitee.ID), http.StatusOK, "You are signed in")
		if n := w.Count(`SELECT COUNT(*) FROM users u JOIN social_identities i ON i.user_id = u.id WHERE u.email_key = $1 AND u.email_verified`, invitee.Email); n != 1 {
			t.Error("no person with this way to sign in")
		}
		if a := arrived(t, w.through(t, browser.New(t), invitee.ID)); a.Tenant != w.plain {
			t.Errorf("%+v", a)
		}
		if p := browser.New(t).Get(link); p.Status == http.StatusOK {
			t.Errorf("the link serves twice: %s", p)
		}
		t.Run("invited elsewhere he takes the membership with him", func(t *testing.T) {
			link := w.invite(t, w.globex, invitee.Email)
			accept(t, browser.New(t), link, invitee.ID)
			if n := w.Count(`SELECT COUNT(DISTINCT user_id) FROM memberships WHERE email_key = $1`, invitee.Email); n != 1 || w.members(invitee.Email) != 2 {
				t.Errorf("%d people, %d memberships", n, w.members(invitee.Email))
			}
		})
		t.Run("somebody signs in under the address already", func(t *testing.T) {
			link := w.invite(t, w.globex, joeMail)
			rig.Refused(t, accept(t, browser.New(t), link, "1001"), "INVITATION_LOGIN_EXISTS")
		})
		t.Run("single sign-on is required", func(t *testing.T) {
			link := w.invite(t, w.acme, eve.Email)
			b := browser.New(t)
			p := b.Get(link)
			id := regexp.MustCompile(`name="invitation" value="([^"]*)"`).FindStringSubmatch(p.Body)[1]
			w.SetPolicy(w.acme, policy.SSO, `{"enforced":true,"excluded_emails":[]}`)
			rig.Refused(t, b.Post(w.URL+"/invitations", url.Values{"invitation": {id}, "as": {"social"}, "connection": {w.conn.ID}}, w.URL), "POLICY_CONNECTION_DISABLED")
			if button(browser.New(t).Get(link), w.conn) {
				t.Error("it is offered")
			}
			w.SetPolicy(w.acme, policy.SSO, `{"enforced":false,"excluded_emails":[]}`)
			// … and where it is required while he is at the provider.
			b = browser.New(t)
			p = b.Get(link)
			p = b.Post(w.URL+"/invitations", url.Values{"invitation": {id}, "as": {"social"}, "connection": {w.conn.ID}}, w.URL)
			w.SetPolicy(w.acme, policy.SSO, `{"enforced":true,"excluded_emails":[]}`)
			rig.Refused(t, b.Continue(p, eve.ID), "POLICY_SSO_REQUIRED")
			if n := w.members(eve.Email); n != 0 {
				t.Error("he is a member")
			}
		})
		t.Run("domain rules", func(t *testing.T) {
			w.SetPolicy(w.plain, policy.Domains, `{"enabled":false,"mode":"deny","domains":[]}`)
			link := w.invite(t, w.plain, ada.Email)
			w.SetPolicy(w.plain, policy.Domains, `{"enabled":true,"mode":"deny","domains":["acme.example"]}`)
			rig.Refused(t, accept(t, browser.New(t), link, ada.ID), "POLICY_EMAIL_DOMAIN")
			if n := w.Count(`SELECT COUNT(*) FROM audit_events WHERE tenant_id = $1 AND action = 'login.failed' AND outcome = 'denied' AND metadata LIKE '%"rule":"acme.example"%'`, w.plain); n != 1 {
				t.Error("the tenant's log does not name the rule")
			}
		})
	})
}

// A link signs people up, and never finds somebody by the address (product 25).
func TestSocialLink(t *testing.T) {
	eachSocial(t, func(t *testing.T, w *social) {
		w.Domain(w.plain, "mail.example")
		into := w.tenantOf(t, w.plain)
		link := func(approval bool) string {
			var address string
			w.Tx(func(q db.Queryer) error {
				_, a, err := w.People.CreateLink(t.Context(), w.Vendor, q, w.Env, into, onboarding.NewLink{MaxUses: 5, Approval: approval})
				address = a
				return err
			})
			return address
		}
		follow := func(t *testing.T, link, person string) browser.Page {
			t.Helper()
			b := browser.New(t)
			p := b.Get(link)
			id := regexp.MustCompile(`name="invitation" value="([^"]*)"`).FindStringSubmatch(p.Body)[1]
			return b.Continue(b.Post(w.URL+"/invitations", url.Values{"invitation": {id}, "as": {"social"}, "connection": {w.conn.ID}}, w.URL), person)
		}
		// Somebody of another tenant has the very address, whose domain is this tenant's.
		victim := w.member(t, joeThere.Email, "", w.globex)
		open := link(false)
		shows(t, follow(t, open, joeThere.ID), http.StatusOK, "You are signed in")
		if n := w.Count(`SELECT COUNT(*) FROM memberships WHERE tenant_id = $1 AND user_id = $2`, w.plain, victim); n != 0 {
			t.Error("an address was taken for a person")
		}
		if n := w.Count(`SELECT COUNT(*) FROM users u JOIN social_identities i ON i.user_id = u.id WHERE u.email_key = $1 AND NOT u.email_verified AND u.id <> $2`, joeThere.Email, victim); n != 1 {
			t.Error("who signed up is a person of his own, whose address nobody proved")
		}
		rig.Refused(t, follow(t, open, "1001"), "INVITATION_LOGIN_EXISTS")
		rig.Refused(t, follow(t, link(true), eve.ID), "POLICY_USER_PENDING_APPROVAL")
		if n := w.Count(`SELECT COUNT(*) FROM memberships WHERE email_key = $1 AND status = 'pending_approval'`, eve.Email); n != 1 {
			t.Error("nobody waits for approval")
		}
	})
}

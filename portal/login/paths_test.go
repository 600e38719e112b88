package login_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/gatehouse-id/gatehouse/gatewaytest/chrome"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/onboarding"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/tenants"
)

var zoe = idp.Person{ID: "00u9", Email: "zoe@globex.example", FirstName: "Zoe"}

// walks gives each path a world and a browser without memories. The engines differ
// in nothing that a browser sees, so one is enough.
func walks(t *testing.T, script bool, paths map[string]func(*seat)) {
	tab := chrome.OpenTab(t)
	if !script {
		chrome.Do(t, tab, chrome.DevTools("Emulation.setScriptExecutionDisabled", map[string]any{"value": true}))
	}
	for name, walk := range paths {
		t.Run(name, func(t *testing.T) {
			w := &world{Rig: rig.NewAt(t, dbtest.Open(t, db.SQLite), "localhost")}
			w.idp = w.IdP(idp.Config{People: []idp.Person{ada, eve, zoe}})
			w.acme, w.globex = w.Tenant("acme", "acme.example", "shared.example"), w.Tenant("globex", "globex.example", "shared.example")
			w.saml = w.SAMLConnection(w.acme, w.idp)
			w.oidc = w.OIDCConnection(w.globex, w.idp, func(n *tenants.NewSSOConnection) { n.Name = "Okta" })
			s := &seat{t: t, tab: tab, w: w, still: !script}
			s.forget()
			walk(s)
			if blocked := chrome.Evaluate[[]string](t, tab, "window.blocked ?? []"); len(blocked) > 0 {
				t.Errorf("a page breaks its own policy: %s", strings.Join(blocked, ", "))
			}
		})
	}
}

// start goes from the application to the page that asks who it is.
func (s *seat) start(pairs ...string) {
	s.t.Helper()
	s.do(chromedp.Navigate(s.w.StartURL(pairs...)))
	s.shows("Sign in")
}

// identify says who it is.
func (s *seat) identify(email string) {
	s.t.Helper()
	s.fill("email", email)
	s.press("Continue")
}

// provider signs in at the identity provider. Without script the forms between the
// two sites are sent by hand.
func (s *seat) provider(person idp.Person) {
	s.t.Helper()
	const posted = `document.querySelector("main form input[name^=SAMLRe]") ? "posted" : ""`
	there := fmt.Sprintf(`document.querySelector('button[value="%s"]') ? "there" : ""`, person.ID)
	if s.still {
		if s.wait("the identity provider", there+` || `+posted) == "posted" {
			s.do(chromedp.Click(chromedp.CSS("main form button")))
		}
	}
	s.wait("the identity provider", there)
	s.do(chromedp.Click(chromedp.CSS(`button[value="` + person.ID + `"]`)))
	if s.still && s.wait("the way back", posted+` || (location.origin === "`+s.w.URL+`" && "here")`) == "posted" {
		s.do(chromedp.Click(chromedp.CSS("main form button")))
	}
}

func (s *seat) open(address string) { s.t.Helper(); s.do(chromedp.Navigate(address)) }

// arrivesAs wants the person at the application, in the tenant.
func (s *seat) arrivesAs(email, tenant string) rig.Arrived {
	s.t.Helper()
	a := s.arrives()
	if n := s.w.Count(`SELECT COUNT(*) FROM users WHERE id = $1 AND email_key = $2`, a.User, email); n != 1 || a.Tenant != tenant {
		s.t.Errorf("arrived as %+v", a)
	}
	return a
}

func (s *seat) factors(tenant string, amr string) {
	s.t.Helper()
	a := s.arrives()
	if got := s.w.amr(a); a.Tenant != tenant || !slices.Equal(got, []string{amr}) {
		s.t.Errorf("%+v with %v, want %s", a, got, amr)
	}
}

// mailed gives what the newest mail says where the pattern is.
func (s *seat) mailed(pattern string) string {
	s.t.Helper()
	mails := s.w.mails()
	if len(mails) == 0 {
		s.t.Fatal("no mail")
	}
	found := regexp.MustCompile(pattern).FindString(mails[len(mails)-1])
	if found == "" {
		s.t.Fatalf("no %s in %s", pattern, mails[len(mails)-1])
	}
	return found
}

// plain is somebody with a password in a tenant that has nothing else.
func (s *seat) plain(settings map[string]string) (tenant string) {
	s.t.Helper()
	tenant = s.w.Tenant("plain")
	s.w.member(s.t, "joe@plain.example", password, tenant)
	for kind, body := range settings {
		s.w.SetPolicy(tenant, kind, body)
	}
	return tenant
}

const mfaOn = `{"enforce":"on"}`

// paths are those that need no script.
var paths = map[string]func(*seat){
	"single sign-on by SAML": func(s *seat) {
		s.start()
		s.identify(ada.Email)
		s.provider(ada)
		s.arrivesAs(ada.Email, s.w.acme)
	},
	"single sign-on by OpenID Connect": func(s *seat) {
		s.start()
		s.identify(zoe.Email)
		s.provider(zoe)
		s.arrivesAs(zoe.Email, s.w.globex)
	},
	"a domain of several organizations": func(s *seat) {
		s.start()
		s.identify("somebody@shared.example")
		s.wait("the organizations", `document.querySelector("main form.choices") && "yes"`)
		s.press("globex")
		s.provider(zoe)
		s.arrivesAs(zoe.Email, s.w.globex)
	},
	"an application that names the organization": func(s *seat) {
		s.open(s.w.StartURL("organization", "globex"))
		s.wait("its connection", `document.querySelector("main form.choices") && "yes"`)
		s.press("Okta")
		s.provider(zoe)
		s.arrivesAs(zoe.Email, s.w.globex)
	},
	"password": func(s *seat) {
		tenant := s.plain(nil)
		s.start()
		s.identify("joe@plain.example")
		s.fill("password", "wrong")
		s.press("Sign in")
		if said := s.said(); said != "The e-mail address or the password is wrong." {
			s.t.Errorf("the page says %q", said)
		}
		s.fill("password", password)
		s.press("Sign in")
		s.factors(tenant, `["pwd"]`)
	},
	"authenticator app and recovery code": func(s *seat) {
		tenant := s.plain(map[string]string{policy.MFA: mfaOn})
		s.password("joe@plain.example", password)
		s.shows("Set up a second step")
		s.press("Authenticator app")
		s.shows("Add your authenticator app")
		s.wait("the QR code", `(i => i.complete && i.naturalWidth > 0)(document.querySelector(".qr img")) && "yes"`)
		key := chrome.Evaluate[string](s.t, s.tab, `document.getElementById("totp-key").textContent`)
		s.fill("answer", s.w.code(s.t, key))
		s.press("Continue")
		s.shows("Keep your recovery codes")
		codes := strings.Fields(chrome.Evaluate[string](s.t, s.tab, `document.getElementById("codes").textContent`))
		s.press("I have kept them")
		s.factors(tenant, `["pwd","otp","mfa"]`)
		s.w.Clock.Advance(time.Minute)

		s.forget()
		s.password("joe@plain.example", password)
		s.shows("One more step")
		s.fill("answer", "000000")
		s.press("Continue")
		s.said()
		s.fill("answer", s.w.code(s.t, key))
		s.press("Continue")
		s.factors(tenant, `["pwd","otp","mfa"]`)

		s.forget()
		s.password("joe@plain.example", password)
		s.shows("One more step")
		s.press("Use a recovery code")
		s.wait("the recovery code's field", `document.querySelector("label[for=answer]")?.textContent === "Recovery code" && "yes"`)
		s.fill("answer", strings.ToUpper(codes[4]))
		s.press("Continue")
		s.arrives()
	},
	"code by e-mail": func(s *seat) {
		tenant := s.plain(map[string]string{policy.MFA: mfaOn})
		s.password("joe@plain.example", password)
		s.shows("Set up a second step")
		s.press("Code by e-mail")
		s.shows("One more step")
		s.fill("answer", s.mailed(`[0-9]{4} [0-9]{4}`))
		s.press("Continue")
		s.factors(tenant, `["pwd","otp","mfa"]`)
	},
	"a browser that is not asked again": func(s *seat) {
		s.w.Exec(`UPDATE environments SET settings = '{"features":{"remember_device":true}}'`)
		s.w.Clock.Advance(11 * time.Second) // settings are remembered for ten
		tenant := s.plain(map[string]string{policy.MFA: mfaOn})
		s.password("joe@plain.example", password)
		s.shows("Set up a second step")
		s.press("Authenticator app")
		s.shows("Add your authenticator app")
		key := chrome.Evaluate[string](s.t, s.tab, `document.getElementById("totp-key").textContent`)
		s.fill("answer", s.w.code(s.t, key))
		s.press("Continue")
		s.shows("Keep your recovery codes")
		s.press("I have kept them")
		s.arrives()
		s.w.Clock.Advance(time.Minute)
		s.password("joe@plain.example", password)
		s.shows("One more step")
		s.fill("answer", s.w.code(s.t, key))
		s.do(chromedp.Click(chromedp.CSS("input[name=remember]")))
		s.press("Continue")
		s.arrives()
		s.password("joe@plain.example", password)
		if a := s.arrives(); a.Tenant != tenant {
			s.t.Errorf("%+v", a)
		}
		s.forget()
		s.password("joe@plain.example", password)
		s.shows("One more step")
	},
	"forgotten password": func(s *seat) {
		tenant := s.plain(nil)
		s.begin("joe@plain.example")
		s.press("Forgot your password?")
		s.shows("Forgot your password?")
		s.fill("email", "joe@plain.example")
		s.press("Send the link")
		s.shows("Look into your mailbox")
		s.open(s.w.URL + s.mailed(`/login/reset/[A-Za-z0-9_-]{43}`))
		s.shows("Choose a new password")
		s.fill("password", "short")
		s.press("Set the password")
		s.said()
		s.fill("password", newPassword)
		s.press("Set the password")
		s.shows("Your password is set")
		s.password("joe@plain.example", newPassword)
		s.factors(tenant, `["pwd"]`)
	},
	"locked": func(s *seat) {
		s.plain(map[string]string{policy.Lockout: `{"max_attempts":3}`})
		s.begin("joe@plain.example")
		for range 3 {
			s.wait("an empty field", `document.querySelector("input[name=password]")?.value === "" && "yes"`)
			s.fill("password", "wrong")
			s.press("Sign in")
			s.wait("the refusal", `document.querySelector("main .error:not([hidden])") && document.querySelector("input[name=password]").value === "" && "yes"`)
		}
		s.fill("password", password)
		s.press("Sign in")
		s.wait("the lock", `document.querySelector("main .error:not([hidden])")?.textContent.includes("The account is locked") && "yes"`)
	},
	"several organizations": func(s *seat) {
		one, two := s.w.Tenant("one"), s.w.Tenant("two")
		s.w.member(s.t, "joe@plain.example", password, one, two)
		s.w.SetPolicy(two, policy.MFA, mfaOn)
		s.password("joe@plain.example", password)
		s.shows("Choose an organization")
		s.press("one")
		s.factors(one, `["pwd"]`)
		s.forget()
		s.password("joe@plain.example", password)
		s.shows("Choose an organization")
		s.press("two")
		s.shows("Set up a second step") // each has its own policy
		s.press("Authenticator app")
		s.shows("Add your authenticator app")
		s.fill("answer", s.w.code(s.t, chrome.Evaluate[string](s.t, s.tab, `document.getElementById("totp-key").textContent`)))
		s.press("Continue")
		s.shows("Keep your recovery codes")
		s.press("I have kept them")
		s.factors(two, `["pwd","otp","mfa"]`)
		s.forget()
		s.password("joe@plain.example", password)
		s.shows("Choose an organization")
		s.press("one")
		s.shows("One more step") // who has a second factor is asked for it everywhere
	},
	"invitation by password": func(s *seat) {
		tenant := s.w.Tenant("plain")
		s.open(s.w.invite(s.t, tenant, "joe@anywhere.example"))
		s.shows("You are invited")
		s.fill("password", password)
		s.press("Set the password and join")
		s.shows("You are a member now")
		s.password("joe@anywhere.example", password)
		s.arrivesAs("joe@anywhere.example", tenant)
	},
	"invitation by single sign-on": func(s *seat) {
		s.open(s.w.invite(s.t, s.w.acme, eve.Email))
		s.shows("You are invited")
		s.press("Sign in and join")
		s.provider(eve)
		s.shows("You are signed in")
		if s.w.members(eve.Email) != 1 {
			s.t.Error("not a member")
		}
	},
	"a link to join": func(s *seat) {
		link := func(tenant string, approval bool) (url string) {
			into := s.w.tenantOf(s.t, tenant)
			s.w.Tx(func(q db.Queryer) (err error) {
				_, url, err = s.w.People.CreateLink(s.t.Context(), s.w.Vendor, q, s.w.Env, into, onboarding.NewLink{Approval: approval})
				return err
			})
			return url
		}
		s.open(link(s.w.acme, true))
		s.shows("You are invited")
		s.press("Sign in and join")
		s.provider(ada)
		s.shows("Your request was sent")
		s.forget()
		s.start()
		s.identify(zoe.Email)
		s.provider(zoe)
		s.arrives()
		s.open(link(s.w.Tenant("plain"), false))
		s.press("Join as " + zoe.Email)
		s.shows("You are a member now")
	},
	"social": func(s *seat) {
		s.w.Social(s.w.idp)
		tenant := s.plain(nil)
		s.start()
		s.press("Continue with")
		s.provider(eve)
		s.shows("Connect this account?")
		s.press("Sign in and connect")
		s.wait("the password's field", `document.querySelector("input[name=password]") && "yes"`)
		s.fill("email", "joe@plain.example")
		s.fill("password", password)
		s.press("Sign in")
		s.arrivesAs("joe@plain.example", tenant)
		s.forget()
		s.start()
		s.press("Continue with")
		s.provider(eve)
		s.arrivesAs("joe@plain.example", tenant)
	},
	"single sign-on and a second factor here": func(s *seat) {
		s.w.SetPolicy(s.w.acme, policy.MFA, mfaOn)
		s.start()
		s.identify(ada.Email)
		s.provider(ada)
		s.shows("Set up a second step")
		s.press("Authenticator app")
		s.shows("Add your authenticator app")
		key := chrome.Evaluate[string](s.t, s.tab, `document.getElementById("totp-key").textContent`)
		s.fill("answer", s.w.code(s.t, key))
		s.press("Continue")
		s.shows("Keep your recovery codes")
		s.press("I have kept them")
		s.arrivesAs(ada.Email, s.w.acme)
		s.w.Clock.Advance(time.Minute)
		s.forget()
		s.start()
		s.identify(ada.Email)
		s.provider(ada)
		s.shows("One more step")
		s.fill("answer", s.w.code(s.t, key))
		s.press("Continue")
		s.arrivesAs(ada.Email, s.w.acme)
	},
	"in German": func(s *seat) {
		accept := func(headers map[string]any) {
			s.do(chrome.DevTools("Network.setExtraHTTPHeaders", map[string]any{"headers": headers}))
		}
		accept(map[string]any{"Accept-Language": "de-AT,de;q=0.9,en;q=0.5"})
		s.t.Cleanup(func() { accept(map[string]any{}) })
		tenant := s.plain(nil)
		s.open(s.w.StartURL())
		s.shows("Anmelden")
		if lang := chrome.Evaluate[string](s.t, s.tab, `document.documentElement.lang`); lang != "de" {
			s.t.Errorf("the page's language is %q", lang)
		}
		s.fill("email", "joe@plain.example")
		s.press("Weiter")
		s.fill("password", "wrong")
		s.press("Anmelden")
		s.said()
		s.fill("password", password)
		s.press("Anmelden")
		s.factors(tenant, `["pwd"]`)
	},
	"sign-out": func(s *seat) {
		s.plain(nil)
		s.password("joe@plain.example", password)
		s.arrives()
		s.open(s.w.URL + "/logout")
		s.shows("Sign out?")
		s.press("Sign out")
		s.shows("Signed out")
		if n := s.w.Count(`SELECT COUNT(*) FROM sessions WHERE ended_at IS NULL`); n != 0 {
			s.t.Errorf("%d sessions live on", n)
		}
		s.start() // somebody is asked again
	},
}

// Every path to the application, as a person takes it.
func TestPathsInTheBrowser(t *testing.T) { walks(t, true, paths) }

// The same where script is switched off: the pages are forms (product 8).
func TestPathsWithoutScript(t *testing.T) {
	own := map[string]func(*seat){
		"a key cannot be used": func(s *seat) {
			s.plain(nil)
			s.begin("joe@plain.example")
			s.press("Use a passkey")
			s.shows("Use a passkey")
			s.wait("a word about it", `document.querySelector("noscript")?.textContent.includes("need JavaScript") && "yes"`)
			s.press("Choose another way")
			s.wait("the password's field", `document.querySelector("input[name=password]") && "yes"`)
		},
	}
	for _, name := range []string{
		"single sign-on by SAML", "single sign-on by OpenID Connect", "password", "authenticator app and recovery code", "code by e-mail", "forgotten password",
		"several organizations", "social", "single sign-on and a second factor here", "invitation by password", "invitation by single sign-on", "sign-out",
	} {
		own[name] = paths[name]
	}
	walks(t, false, own)
}

// A security key without a memory and without a way to know its holder: it is a
// second factor, and no first one.
func TestSecurityKeyInTheBrowser(t *testing.T) {
	walks(t, true, map[string]func(*seat){"key": func(s *seat) {
		tenant := s.plain(map[string]string{policy.MFA: mfaOn})
		s.plug("usb", false)
		s.password("joe@plain.example", password)
		s.shows("Set up a second step")
		s.press("Passkey or security key")
		s.shows("Add a passkey or security key")
		s.fill("name", "Blue key")
		s.press("Use the key")
		s.shows("Keep your recovery codes")
		s.press("I have kept them")
		s.factors(tenant, `["pwd","hwk","mfa"]`)
		s.forget()
		s.password("joe@plain.example", password)
		s.shows("One more step")
		s.press("Use a security key or passkey")
		s.press("Use the key")
		s.factors(tenant, `["pwd","hwk","mfa"]`)
		if names := s.w.Strings(`SELECT kind || ' ' || name FROM factors`); !slices.Equal(names, []string{"webauthn Blue key"}) {
			s.t.Errorf("factors %q", names)
		}
	}})
}

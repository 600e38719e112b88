package login_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/policy"
)

const (
	password    = "correct horse battery"
	newPassword = "an entirely new sentence"
)

// member adds somebody to tenants, with a password unless it is empty.
func (w *world) member(t *testing.T, email, password string, tenantIDs ...string) (user string) {
	t.Helper()
	w.Tx(func(q db.Queryer) error {
		for _, tenant := range tenantIDs {
			p, err := w.Directory.CreateUser(t.Context(), w.Vendor, q, directory.NewUser{Environment: w.Env.ID, Tenant: tenant, UserID: user, Email: email})
			if err != nil {
				return err
			}
			user = p.Membership.UserID
		}
		return nil
	})
	if password == "" {
		return user
	}
	hash, err := w.Signin.PreparePassword(t.Context(), w.Env, user, password)
	if err != nil {
		t.Fatal(err)
	}
	w.Tx(func(q db.Queryer) error {
		return w.Signin.SetFirstPassword(t.Context(), w.Vendor, q, w.Env, user, hash)
	})
	return user
}

// mails gives the letters that wait to be sent, the newest last.
func (w *world) mails() []string {
	return w.Strings(`SELECT payload FROM jobs WHERE kind = 'mail.send' ORDER BY created_at, id`)
}

// form sends the page's form whose action is given.
func form(t *testing.T, b *browser.Browser, p browser.Page, action string, pairs ...string) browser.Page {
	t.Helper()
	flow := regexp.MustCompile(`name="flow" value="([^"]*)"`).FindStringSubmatch(p.Body)
	if flow == nil || !strings.Contains(p.Body, `action="`+action+`"`) {
		t.Fatalf("no form to %s: %s", action, p)
	}
	fields := url.Values{"flow": {flow[1]}}
	for n := 0; n+1 < len(pairs); n += 2 {
		fields.Set(pairs[n], pairs[n+1])
	}
	return b.Post(p.Origin()+action, fields, p.Origin())
}

// signIn goes from the application to the password, and sends it.
func (w *world) signIn(t *testing.T, b *browser.Browser, email, password string, start ...string) browser.Page {
	t.Helper()
	p := b.Get(w.StartURL(start...))
	if strings.Contains(p.Body, `action="/login"`) {
		p = send(t, b, p, "email", email)
	}
	return form(t, b, p, "/login/password", "email", email, "password", password)
}

// Somebody whose organization has no single sign-on comes in by password.
func TestPassword(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		plain := w.Tenant("plain")
		user := w.member(t, "joe@plain.example", password, plain)
		b := browser.New(t)
		p := b.Get(w.StartURL())
		shows(t, p, http.StatusOK, "Work e-mail")
		p = send(t, b, p, "email", "joe@plain.example")
		shows(t, p, http.StatusOK, `autocomplete="current-password"`)
		known := p.Body
		if a := arrived(t, form(t, b, p, "/login/password", "email", " Joe@Plain.example ", "password", password)); a.User != user || a.Tenant != plain || a.Connection != "" {
			t.Errorf("%+v", a)
		}
		if n := w.Count(`SELECT COUNT(*) FROM audit_events WHERE action = 'login.succeeded' AND tenant_id = $1`, plain); n != 1 {
			t.Errorf("%d events", n)
		}
		// Nobody learns who has an account: the pages are alike but for the address and the flow.
		b = browser.New(t)
		p = send(t, b, b.Get(w.StartURL()), "email", "nix@plain.example")
		bare := func(s, email string) string {
			return regexp.MustCompile(`flo?w_[a-z2-7]+`).ReplaceAllString(strings.ReplaceAll(s, email, ""), "")
		}
		if bare(p.Body, "nix@plain.example") != bare(known, "joe@plain.example") {
			t.Error("the page of an unknown address differs")
		}
		wrong := form(t, b, p, "/login/password", "email", "nix@plain.example", "password", password)
		shows(t, wrong, http.StatusUnprocessableEntity, "The e-mail address or the password is wrong.")
		known = bare(wrong.Body, "nix@plain.example")
		wrong = form(t, b, p, "/login/password", "email", "joe@plain.example", "password", "wrong")
		if bare(wrong.Body, "joe@plain.example") != known {
			t.Error("a wrong password answers otherwise than an unknown address")
		}
		shows(t, form(t, b, wrong, "/login/password", "email", "joe@plain.example", "password", ""), http.StatusUnprocessableEntity, "Enter your e-mail address and your password.")
		// Another browser does not go on with it.
		shows(t, form(t, browser.New(t), wrong, "/login/password", "email", "joe@plain.example", "password", password), http.StatusForbidden, "SIGNIN_OTHER_BROWSER")
	})
}

// Guessing waits longer and longer, is locked by policy, and is lifted by a reset
// (product 41).
func TestLockout(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		plain := w.Tenant("plain")
		w.SetPolicy(plain, policy.Lockout, `{"max_attempts":4}`)
		w.member(t, "joe@plain.example", password, plain)
		b := browser.New(t)
		p := send(t, b, b.Get(w.StartURL()), "email", "joe@plain.example")
		for range 4 {
			p = form(t, b, p, "/login/password", "email", "joe@plain.example", "password", "wrong")
			shows(t, p, http.StatusUnprocessableEntity, "is wrong")
		}
		shows(t, form(t, b, p, "/login/password", "email", "joe@plain.example", "password", password), http.StatusTooManyRequests, "The account is locked")
		if mail := w.mails(); len(mail) != 1 || !strings.Contains(mail[0], "Your account was locked") {
			t.Errorf("mails: %v", mail)
		}
		if n := w.Count(`SELECT COUNT(*) FROM audit_events WHERE action = 'user.locked'`); n != 1 {
			t.Errorf("%d events", n)
		}
		// Single sign-on of the same person's other tenants is not touched: a lock is of passwords.
		sent := form(t, b, b.Get(w.URL+"/login/forgot?flow=x"), "/login/forgot", "email", "joe@plain.example")
		shows(t, sent, http.StatusOK, "Look into your mailbox")
		link := regexp.MustCompile(`/login/reset/[A-Za-z0-9_-]{43}`).FindString(w.mails()[1])
		p = b.Get(w.URL + link)
		shows(t, p, http.StatusOK, `minlength="15"`)
		if p.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("Referrer-Policy %q", p.Header.Get("Referrer-Policy"))
		}
		shows(t, send(t, b, p, "password", "short"), http.StatusUnprocessableEntity, "at least 15 characters")
		shows(t, send(t, b, p, "password", newPassword), http.StatusOK, "Your password is set")
		shows(t, send(t, b, p, "password", newPassword), http.StatusBadRequest, "SIGNIN_RESET_EXPIRED")
		if a := arrived(t, w.signIn(t, browser.New(t), "joe@plain.example", newPassword)); a.Tenant != plain {
			t.Errorf("%+v", a)
		}
	})
}

// Whoever was locked out by somebody's guesses gets a mail whose link lets him try
// again: shown by a GET, used by a POST, once and for a quarter of an hour (product
// 41). However often his account is locked, his mailbox is not filled.
func TestUnlockByMail(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		plain := w.Tenant("plain")
		w.SetPolicy(plain, policy.Lockout, `{"max_attempts":2,"lock_seconds":1800}`)
		w.member(t, "joe@plain.example", password, plain)
		guess := func(wrong int) {
			b := browser.New(t)
			p := send(t, b, b.Get(w.StartURL()), "email", "joe@plain.example")
			for range wrong {
				p = form(t, b, p, "/login/password", "email", "joe@plain.example", "password", "wrong")
				shows(t, p, http.StatusUnprocessableEntity, "is wrong")
			}
			p = form(t, b, p, "/login/password", "email", "joe@plain.example", "password", password)
			shows(t, p, http.StatusTooManyRequests, "Too many attempts")
			if p.Header.Get("Retry-After") != "1800" {
				t.Errorf("Retry-After %q", p.Header.Get("Retry-After"))
			}
		}
		link := func(want int) string {
			t.Helper()
			mails := w.mails()
			if len(mails) != want {
				t.Fatalf("%d mails, want %d", len(mails), want)
			}
			return regexp.MustCompile(`/login/unlock/[A-Za-z0-9_-]{43}`).FindString(mails[want-1])
		}
		guess(2)
		first := link(1)
		b := browser.New(t)
		for range 2 { // scanners look
			p := b.Get(w.URL + first)
			shows(t, p, http.StatusOK, "joe@plain.example")
			if p.Header.Get("Referrer-Policy") != "no-referrer" {
				t.Errorf("Referrer-Policy %q", p.Header.Get("Referrer-Policy"))
			}
		}
		shows(t, b.Post(w.URL+first, url.Values{}, "https://evil.example"), http.StatusForbidden, "")
		shows(t, send(t, b, b.Get(w.URL+first)), http.StatusOK, "Your account is unlocked")
		shows(t, b.Get(w.URL+first), http.StatusBadRequest, "SIGNIN_UNLOCK_EXPIRED")
		shows(t, b.Post(w.URL+first, url.Values{}, ""), http.StatusBadRequest, "SIGNIN_UNLOCK_EXPIRED")
		arrived(t, w.signIn(t, browser.New(t), "joe@plain.example", password))
		if n := w.Count(`SELECT COUNT(*) FROM audit_events WHERE action = 'user.unlocked' AND metadata LIKE '%mail%'`); n != 1 {
			t.Errorf("%d events", n)
		}

		guess(2)
		link(1) // not another one so soon
		w.Clock.Advance(31 * time.Minute)
		guess(1) // the ones before still count
		second := link(2)
		w.Clock.Advance(15 * time.Minute)
		shows(t, b.Get(w.URL+second), http.StatusBadRequest, "SIGNIN_UNLOCK_EXPIRED")
		w.Clock.Advance(15 * time.Minute) // and the lock ends by itself
		arrived(t, w.signIn(t, browser.New(t), "joe@plain.example", password))
	})
}

// A reset ends every session, proves the address, and is mailed to nobody else.
func TestReset(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		plain := w.Tenant("plain")
		user := w.member(t, "joe@plain.example", password, plain)
		first := w.member(t, "new@plain.example", "", plain) // added by hand, without a password yet
		old := browser.New(t)
		arrived(t, w.signIn(t, old, "joe@plain.example", password))
		b := browser.New(t)
		ask := func(email string) {
			t.Helper()
			shows(t, form(t, b, b.Get(w.URL+"/login/forgot?flow=x"), "/login/forgot", "email", email), http.StatusOK, "Look into your mailbox")
		}
		for _, email := range []string{"joe@plain.example", "joe@plain.example", "nobody@plain.example", "new@plain.example"} {
			ask(email)
		}
		mails := w.mails()
		if len(mails) != 2 || !strings.Contains(mails[0], "joe@plain.example") || !strings.Contains(mails[1], "Choose a password") {
			t.Fatalf("%d mails: %v", len(mails), mails)
		}
		links := regexp.MustCompile(`/login/reset/[A-Za-z0-9_-]{43}`)
		shows(t, send(t, b, b.Get(w.URL+links.FindString(mails[0])), "password", newPassword), http.StatusOK, "is set")
		shows(t, send(t, b, b.Get(w.URL+links.FindString(mails[1])), "password", newPassword+" too"), http.StatusOK, "is set")
		if n := w.Count(`SELECT COUNT(*) FROM sessions WHERE user_id = $1 AND ended_at IS NULL`, user); n != 0 {
			t.Errorf("%d sessions go on", n)
		}
		if n := w.Count(`SELECT COUNT(*) FROM users WHERE email_verified AND id = $1`, first); n != 1 {
			t.Error("the address was proven, and is not so marked")
		}
		shows(t, w.signIn(t, browser.New(t), "joe@plain.example", password), http.StatusUnprocessableEntity, "is wrong")
		arrived(t, w.signIn(t, browser.New(t), "new@plain.example", newPassword+" too"))
	})
}

// code gives the code of the app at the rig's time.
func (w *world) code(t *testing.T, secret string) string {
	t.Helper()
	code, err := totp.GenerateCode(strings.ReplaceAll(secret, " ", ""), w.Clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	return code
}

var (
	shownKey   = regexp.MustCompile(`id="totp-key">([A-Z2-7 ]+)<`)
	shownCodes = regexp.MustCompile(`[a-z2-7]{4}-[a-z2-7]{4}-[a-z2-7]{4}-[a-z2-7]{4}`)
)

// enrol sets an authenticator app up where it is forced, and goes on.
func (w *world) enrol(t *testing.T, b *browser.Browser, p browser.Page) (secret string, codes []string, end browser.Page) {
	t.Helper()
	shows(t, p, http.StatusOK, "Set up a second step")
	flow := regexp.MustCompile(`name="flow" value="([^"]*)"`).FindStringSubmatch(p.Body)[1]
	p = b.Get(w.URL + "/mfa/enrol?kind=totp&flow=" + flow)
	m := shownKey.FindStringSubmatch(p.Body)
	if m == nil || !strings.Contains(p.Body, "otpauth://totp/") || !strings.Contains(p.Body, "data:image/png;base64,") {
		t.Fatalf("no key: %s", p)
	}
	wrong := form(t, b, p, "/mfa/enrol", "kind", "totp", "answer", "000000")
	shows(t, wrong, http.StatusUnprocessableEntity, "did not match")
	if shownKey.FindStringSubmatch(wrong.Body)[1] != m[1] {
		t.Error("a wrong code changed the key")
	}
	p = form(t, b, p, "/mfa/enrol", "kind", "totp", "answer", w.code(t, m[1]))
	shows(t, p, http.StatusOK, "Keep your recovery codes")
	return m[1], shownCodes.FindAllString(p.Body, -1), form(t, b, p, "/mfa/resume")
}

// Product 40: who must have a second factor sets one up at his next sign-in, and
// is asked for it from then on.
func TestSecondFactor(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		plain := w.Tenant("plain")
		w.member(t, "joe@plain.example", password, plain)
		w.SetPolicy(plain, policy.MFA, `{"enforce":"on"}`)
		b := browser.New(t)
		secret, codes, end := w.enrol(t, b, w.signIn(t, b, "joe@plain.example", password))
		a := arrived(t, end)
		if len(codes) != 10 || a.Tenant != plain {
			t.Errorf("%d codes, %+v", len(codes), a)
		}
		if amr := w.Strings(`SELECT amr FROM session_tenants WHERE session_id = $1`, a.Session); !slices.Equal(amr, []string{`["pwd","otp","mfa"]`}) {
			t.Errorf("amr %v", amr)
		}
		w.Clock.Advance(time.Minute)
		b = browser.New(t)
		p := w.signIn(t, b, "joe@plain.example", password)
		shows(t, p, http.StatusOK, "authenticator app")
		shows(t, b.Get(w.URL+"/oauth2/authorize?resume="+flowOf(t, p)), http.StatusOK, "SIGNIN_FLOW_UNKNOWN") // no way round
		shows(t, b.Post(w.URL+"/mfa/resume", url.Values{"flow": {flowOf(t, p)}}, w.URL), http.StatusOK, "authenticator app")
		shows(t, form(t, b, p, "/mfa", "kind", "mail", "answer", "12345678"), http.StatusBadRequest, "SIGNIN_STEP")
		shows(t, form(t, b, p, "/mfa", "kind", "totp", "answer", "12345"), http.StatusUnprocessableEntity, "did not match")
		code := w.code(t, secret)
		arrived(t, form(t, b, p, "/mfa", "kind", "totp", "answer", code))
		b = browser.New(t)
		p = w.signIn(t, b, "joe@plain.example", password)
		shows(t, form(t, b, p, "/mfa", "kind", "totp", "answer", code), http.StatusUnprocessableEntity, "did not match") // used
		arrived(t, form(t, b, p, "/mfa", "kind", "recovery", "answer", codes[3]))
		b = browser.New(t)
		p = w.signIn(t, b, "joe@plain.example", password)
		shows(t, form(t, b, p, "/mfa", "kind", "recovery", "answer", codes[3]), http.StatusUnprocessableEntity, "did not match")
		// Codes cannot be guessed: five tries in all, over browsers and kinds.
		for n := range 4 {
			p = form(t, b, p, "/mfa", "kind", "totp", "answer", fmt.Sprintf("%06d", n))
			if strings.Contains(p.Body, "Too many attempts") {
				break
			}
		}
		shows(t, form(t, b, p, "/mfa", "kind", "totp", "answer", w.code(t, secret)), http.StatusTooManyRequests, "Too many attempts")
		b = browser.New(t)
		p = w.signIn(t, b, "joe@plain.example", password)
		shows(t, form(t, b, p, "/mfa", "kind", "recovery", "answer", codes[4]), http.StatusTooManyRequests, "Too many attempts")
		w.Clock.Advance(6 * time.Minute)
		b = browser.New(t)
		arrived(t, form(t, b, w.signIn(t, b, "joe@plain.example", password), "/mfa", "kind", "recovery", "answer", codes[4]))
	})
}

func flowOf(t *testing.T, p browser.Page) string {
	t.Helper()
	return regexp.MustCompile(`name="flow" value="([^"]*)"`).FindStringSubmatch(p.Body)[1]
}

// Who wants neither app nor key gets codes by mail.
func TestMailedCode(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		plain := w.Tenant("plain")
		w.member(t, "joe@plain.example", password, plain)
		w.SetPolicy(plain, policy.MFA, `{"enforce":"unless_sso"}`)
		b := browser.New(t)
		p := form(t, b, w.signIn(t, b, "joe@plain.example", password), "/mfa/mail")
		shows(t, p, http.StatusOK, "We have mailed you a code")
		code := regexp.MustCompile(`[0-9]{4} [0-9]{4}`).FindString(w.mails()[0])
		shows(t, form(t, b, p, "/mfa", "kind", "mail", "answer", "00000000"), http.StatusUnprocessableEntity, "did not match")
		if a := arrived(t, form(t, b, p, "/mfa", "kind", "mail", "answer", code)); a.Tenant != plain {
			t.Errorf("%+v", a)
		}
	})
}

// Somebody of several organizations chooses; each has its own policy, and one that
// enforces single sign-on sends him there.
func TestChooseAccount(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		one, two := w.Tenant("one"), w.Tenant("two")
		w.member(t, "ada@acme.example", password, one, two, w.acme)
		w.SetPolicy(two, policy.MFA, `{"enforce":"on"}`)
		w.SetPolicy(w.acme, policy.SSO, `{"enforced":true,"excluded_emails":[]}`)
		begin := func(start ...string) (*browser.Browser, browser.Page) {
			t.Helper()
			b := browser.New(t)
			p := b.Get(w.StartURL(start...))
			if !strings.Contains(p.Body, `action="/login/password"`) {
				p = b.Get(w.URL + "/login/password?flow=" + flowOf(t, p))
			}
			return b, form(t, b, p, "/login/password", "email", "ada@acme.example", "password", password)
		}
		b, p := begin()
		shows(t, p, http.StatusOK, "Choose an organization")
		if a := arrived(t, form(t, b, p, "/login/account", "tenant", one)); a.Tenant != one {
			t.Errorf("%+v", a)
		}
		b, p = begin()
		shows(t, form(t, b, p, "/login/account", "tenant", two), http.StatusOK, "Set up a second step")
		b, p = begin()
		shows(t, form(t, b, p, "/login/account", "tenant", w.globex), http.StatusBadRequest, "SIGNIN_ACCOUNT_UNKNOWN")
		b, p = begin()
		if a := arrived(t, b.Continue(form(t, b, p, "/login/account", "tenant", w.acme), ada.ID)); a.Tenant != w.acme || a.Connection != w.saml.ID {
			t.Errorf("%+v", a)
		}
		// The application named one: no choice.
		if _, p := begin("organization", "one"); true {
			if a := arrived(t, p); a.Tenant != one {
				t.Errorf("%+v", a)
			}
		}
		// An excluded address comes in by password and, always, a second factor (identity rule 12).
		w.SetPolicy(w.acme, policy.SSO, `{"enforced":true,"excluded_emails":["ada@acme.example"]}`)
		b, p = begin()
		w.enrol(t, b, form(t, b, p, "/login/account", "tenant", w.acme))
	})
}

// Whoever was switched off is not let in, also in the middle of his sign-in.
func TestSwitchedOffMeanwhile(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		plain := w.Tenant("plain")
		user := w.member(t, "joe@plain.example", password, plain)
		w.SetPolicy(plain, policy.MFA, `{"enforce":"on"}`)
		b := browser.New(t)
		_, codes, _ := w.enrol(t, b, w.signIn(t, b, "joe@plain.example", password))
		b = browser.New(t)
		p := w.signIn(t, b, "joe@plain.example", password)
		w.Tx(func(q db.Queryer) error {
			_, err := w.Directory.Disable(t.Context(), w.Vendor, q, plain, user)
			return err
		})
		shows(t, form(t, b, p, "/mfa", "kind", "recovery", "answer", codes[0]), http.StatusForbidden, "POLICY_USER_DISABLED")
		shows(t, w.signIn(t, browser.New(t), "joe@plain.example", password), http.StatusForbidden, "POLICY_NOT_A_MEMBER")
	})
}

// A browser that shall not be asked again is asked again where the environment
// does not allow it, and after a new password.
func TestRememberedBrowser(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		plain := w.Tenant("plain")
		w.member(t, "joe@plain.example", password, plain)
		w.SetPolicy(plain, policy.MFA, `{"enforce":"on"}`)
		w.Exec(`UPDATE environments SET settings = '{"features":{"remember_device":true}}'`)
		w.Clock.Advance(11 * time.Second)
		b := browser.New(t)
		_, codes, _ := w.enrol(t, b, w.signIn(t, b, "joe@plain.example", password))
		b.Get(w.URL + "/logout")
		p := w.signIn(t, b, "joe@plain.example", password)
		shows(t, p, http.StatusOK, "Do not ask again")
		arrived(t, form(t, b, p, "/mfa", "kind", "recovery", "answer", codes[0], "remember", "1"))
		arrived(t, w.signIn(t, b, "joe@plain.example", password, "prompt", "login"))
		shows(t, w.signIn(t, browser.New(t), "joe@plain.example", password), http.StatusOK, "Do not ask again")
		w.Clock.Advance(15 * 24 * time.Hour)
		shows(t, w.signIn(t, b, "joe@plain.example", password, "prompt", "login"), http.StatusOK, "Do not ask again")
	})
}

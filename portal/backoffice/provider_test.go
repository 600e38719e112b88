package backoffice_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/signin/staffauth"
)

var (
	boss     = idp.Person{ID: "00boss", Email: "boss@vendor.example", FirstName: "Bo"}
	stranger = idp.Person{ID: "00x", Email: "stranger@vendor.example", FirstName: "X"}
)

// provide sets the vendor's provider up.
func (w *world) provide(change func(*staffauth.Provider)) *idp.IdP {
	w.t.Helper()
	i := rig.IdP(w.t, w.clock, idp.Config{People: []idp.Person{boss, stranger}, OIDCAlg: "ES256", Clients: []idp.Client{{ID: "backoffice", Secret: "s%3Ecret"}}})
	w.setProvider(i, change)
	return i
}

func (w *world) setProvider(i *idp.IdP, change func(*staffauth.Provider)) {
	w.t.Helper()
	p := staffauth.Provider{Issuer: i.Issuer(), ClientID: "backoffice", ClientSecret: "s%3Ecret", SecondFactor: staffauth.SecondProvider}
	if change != nil {
		change(&p)
	}
	w.tx(func(q db.Queryer) error {
		_, err := w.StaffAuth.PutProvider(w.t.Context(), w.operator(), q, p)
		return err
	})
}

// through signs in at the provider.
func (w *world) through(b *browser.Browser, p idp.Person) browser.Page {
	w.t.Helper()
	return b.Continue(w.post(b, "/backoffice/login/sso"), p.ID)
}

func refused(t *testing.T, p browser.Page, code string) {
	t.Helper()
	rig.Refused(t, p, code, "eyJ", "00boss")
}

// The vendor's provider names somebody by his verified address once, and from then
// on by issuer and subject alone.
func TestVendorsProvider(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		if p := browser.New(t).Get(w.URL + "/backoffice/login"); strings.Contains(p.Body, "through your company") {
			t.Errorf("a provider is offered that is not there: %s", p)
		}
		if p := w.post(browser.New(t), "/backoffice/login/sso"); p.Status != http.StatusNotFound {
			t.Errorf("%s", p)
		}
		i := w.provide(func(p *staffauth.Provider) { p.EmailDomains = []string{"vendor.example"} })
		person, _ := w.person("Boss@vendor.example", staff.BackofficeViewer)
		w.person("admin@vendor.example")
		refused(t, w.through(browser.New(t), stranger), "BACKOFFICE_SSO_UNKNOWN")

		i.AddPerson(idp.Person{ID: boss.ID, Email: boss.Email, EmailUnverified: true})
		refused(t, w.through(browser.New(t), boss), "BACKOFFICE_SSO_EMAIL_UNVERIFIED")
		silent := func(c map[string]any) { delete(c, "email_verified") }
		i.SetOIDCKnobs(idp.OIDCKnobs{MutateClaims: silent, MutateUserinfo: silent})
		i.AddPerson(boss)
		refused(t, w.through(browser.New(t), boss), "BACKOFFICE_SSO_EMAIL_UNVERIFIED")
		i.SetOIDCKnobs(idp.OIDCKnobs{})

		b := browser.New(t)
		p := w.through(b, boss)
		if heading(p) != "Back office" || !strings.Contains(p.Body, "backoffice-viewer") || strings.Contains(p.Body, "Change the password") {
			t.Fatalf("%s", p)
		}
		// His address at the provider is nothing any more; his subject is.
		i.AddPerson(idp.Person{ID: boss.ID, Email: "renamed@elsewhere.example", EmailUnverified: true})
		if p := w.through(browser.New(t), boss); heading(p) != "Back office" {
			t.Errorf("%s", p)
		}
		// Somebody else who is given the address there is not him.
		i.AddPerson(idp.Person{ID: "00heir", Email: boss.Email})
		refused(t, w.through(browser.New(t), idp.Person{ID: "00heir"}), "BACKOFFICE_SSO_UNKNOWN")
		// Nor is the same subject of another issuer.
		w.setProvider(rig.IdP(t, w.clock, idp.Config{People: []idp.Person{{ID: boss.ID, Email: "other@vendor.example"}}, OIDCAlg: "ES256", Clients: []idp.Client{{ID: "backoffice", Secret: "s%3Ecret"}}}), nil)
		refused(t, w.through(browser.New(t), boss), "BACKOFFICE_SSO_UNKNOWN")
		w.setProvider(i, nil)

		off := staff.Disabled
		w.patch(person, staff.PersonPatch{Status: &off})
		w.signedOut(b)
		refused(t, w.through(browser.New(t), boss), "BACKOFFICE_SSO_UNKNOWN")
		if n := w.count(`SELECT COUNT(*) FROM audit_events WHERE action = 'staff.identity_linked'`); n != 1 {
			t.Errorf("%d links in the log", n)
		}
		// The domains bound whom an address may name.
		w.person("x@else.example", staff.BackofficeViewer)
		i.AddPerson(idp.Person{ID: "00else", Email: "x@else.example"})
		w.setProvider(i, func(p *staffauth.Provider) { p.EmailDomains = []string{"vendor.example"} })
		refused(t, w.through(browser.New(t), idp.Person{ID: "00else"}), "BACKOFFICE_SSO_UNKNOWN")
	})
}

// Answers that do not hold, one lie each.
func TestVendorsProviderIsNotBelieved(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		i := w.provide(nil)
		w.person(boss.Email)
		for code, k := range map[string]idp.OIDCKnobs{
			"OIDC_ISSUER": {Issuer: "https://evil.example"}, "OIDC_ISS": {ResponseIssuer: "https://evil.example"}, "OIDC_STATE": {State: "forged"},
			"OIDC_NONCE": {Nonce: "forged"}, "OIDC_AUDIENCE": {Audience: "another"}, "OIDC_ALG": {Alg: "none"}, "OIDC_EXPIRED": {TimeShift: -3600e9},
			"OIDC_PROVIDER_ERROR": {Error: "access_denied"}, "OIDC_TOKEN_ENDPOINT": {TokenError: "invalid_grant"},
		} {
			i.SetOIDCKnobs(k)
			b := browser.New(t)
			refused(t, w.through(b, boss), code)
			w.signedOut(b)
		}
		i.SetOIDCKnobs(idp.OIDCKnobs{})
		// An answer serves once, and in the browser that asked.
		b := browser.New(t)
		var answer string
		b.Client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if strings.HasSuffix(r.URL.Path, staffauth.CallbackPath) {
				answer = r.URL.String()
				return http.ErrUseLastResponse
			}
			return nil
		}
		w.through(b, boss)
		b.Client.CheckRedirect = nil
		if answer == "" {
			t.Fatal("no answer came")
		}
		shows(t, browser.New(t).Get(answer), "Sign in to the back office") // another browser
		other := browser.New(t)
		stop := other.Stop()
		w.post(other, "/backoffice/login/sso") // with a sign-in of its own
		stop()
		refused(t, other.Get(answer), "OIDC_STATE")
		u, _ := url.Parse(answer)
		twice := *u
		twice.RawQuery += "&state=x"
		shows(t, b.Get(answer), "Back office")
		w.post(b, "/backoffice/logout")
		shows(t, b.Get(answer), "Sign in to the back office")
		shows(t, b.Get(twice.String()), "Sign in to the back office")
		w.signedOut(b)
	})
}

// Who asks for the second factor is the vendor's choice; required, the provider is
// the only way in but for the operator's own links.
func TestSecondFactorBehindTheProvider(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		i := w.provide(func(p *staffauth.Provider) { p.SecondFactor = staffauth.SecondEvidence })
		w.person("admin@vendor.example")
		w.person(boss.Email, staff.BackofficeViewer)
		amr := func(methods ...string) {
			i.SetOIDCKnobs(idp.OIDCKnobs{MutateClaims: func(c map[string]any) { c["amr"] = methods }})
		}
		amr("pwd")
		b := browser.New(t)
		shows(t, w.through(b, boss), "Set up a second factor")
		w.signedOut(b)
		amr("pwd", "mfa")
		shows(t, w.through(b, boss), "Back office")
		w.setProvider(i, func(p *staffauth.Provider) { p.SecondFactor = staffauth.SecondHere })
		shows(t, w.through(b, boss), "Set up a second factor")
		p := shows(t, b.Get(w.URL+"/backoffice/enrol?kind=totp"), "Add your authenticator app")
		key := shownKey.FindStringSubmatch(p.Body)[1]
		shows(t, w.post(b, "/backoffice/enrol", "kind", "totp", "answer", w.code(key)), "Keep your recovery codes")
		shows(t, w.post(b, "/backoffice/continue"), "Back office")
		w.clock.Advance(60e9)
		other := browser.New(t)
		shows(t, w.through(other, boss), "One more step")
		w.signedOut(other)
		if p := w.post(other, "/backoffice/second", "kind", "totp", "answer", "000000"); p.Status != http.StatusUnprocessableEntity {
			t.Errorf("%s", p)
		}
		shows(t, w.post(other, "/backoffice/second", "kind", "totp", "answer", w.code(key)), "Back office")

		// Required: passwords serve only where the operator gave them.
		operators, link := w.person("emergency@vendor.example")
		emergency, _ := w.settle(browser.New(t), link)
		_, link = w.person("plain@vendor.example", staff.BackofficeViewer)
		plain, _ := w.settle(browser.New(t), link)
		if _, err := w.DB.Exec(t.Context(), `UPDATE staff_credentials SET break_glass = FALSE WHERE staff_id <> $1`, operators.ID); err != nil {
			t.Fatal(err)
		}
		if p := w.enter(browser.New(t), "plain@vendor.example", password, plain); heading(p) != "Back office" {
			t.Errorf("%s", p)
		}
		w.setProvider(i, func(p *staffauth.Provider) { p.Enforced = true })
		if p := w.post(browser.New(t), "/backoffice/login", "email", "plain@vendor.example", "password", password); !strings.Contains(p.Body, "is wrong") {
			t.Errorf("a password serves beside the required provider: %s", p)
		}
		w.post(browser.New(t), "/backoffice/forgot", "email", "plain@vendor.example")
		if n := len(w.mails()); n != 0 {
			t.Errorf("%d mails", n)
		}
		if p := w.enter(browser.New(t), "emergency@vendor.example", password, emergency); heading(p) != "Back office" {
			t.Errorf("the operator's own way is shut: %s", p)
		}
	})
}

// Where the provider is required, a link that the operator did not give opens
// nothing, and an invitation carries none (product 14).
func TestRequiredProviderShutsLinks(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		i := w.provide(nil)
		w.person("admin@vendor.example")
		reset := func(email string) string {
			p, _ := w.person(email, staff.BackofficeViewer)
			var l staffauth.Link
			w.tx(func(q db.Queryer) (err error) {
				l, err = w.StaffAuth.Reset(t.Context(), w.operator(), q, p.ID)
				return err
			})
			return l.URL
		}
		first, second := reset("first@vendor.example"), reset("second@vendor.example")
		half := browser.New(t)
		shows(t, half.Get(first), "Welcome to the back office")
		shows(t, w.post(half, "/backoffice/welcome"), "Choose a password")

		w.setProvider(i, func(p *staffauth.Provider) { p.Enforced = true })
		refused(t, w.post(half, "/backoffice/password", "password", password), "BACKOFFICE_SSO_REQUIRED")
		b := browser.New(t)
		b.Get(second)
		refused(t, w.post(b, "/backoffice/welcome"), "BACKOFFICE_SSO_REQUIRED")
		w.signedOut(b)
		_, link := w.person("emergency@vendor.example")
		w.settle(browser.New(t), link)

		fresh := w.uninvited("fresh@vendor.example")
		if mailed := w.invite(fresh); !mailed {
			t.Error("nobody tells her")
		}
		if mails := w.mails(); len(mails) != 1 || strings.Contains(mails[0], "/backoffice/welcome/") || !strings.Contains(mails[0], "/backoffice") {
			t.Errorf("%q", mails)
		}
		if n := w.count(`SELECT COUNT(*) FROM staff_links WHERE staff_id = $1`, fresh.ID); n != 0 {
			t.Errorf("%d links", n)
		}

		w.setProvider(i, nil) // not required any more: the link was not used up
		shows(t, w.post(b, "/backoffice/welcome"), "Choose a password")
	})
}

func (w *world) uninvited(email string) (p staff.Person) {
	w.t.Helper()
	w.tx(func(q db.Queryer) (err error) {
		p, err = w.Staff.CreatePerson(w.t.Context(), w.operator(), q, staff.NewPerson{Email: email, Environment: staff.Everywhere, Roles: []string{staff.Admin}})
		return err
	})
	return p
}

func (w *world) invite(p staff.Person) (mailed bool) {
	w.t.Helper()
	w.tx(func(q db.Queryer) (err error) {
		mailed, err = w.StaffAuth.Invite(w.t.Context(), w.operator(), q, p.ID)
		return err
	})
	return mailed
}

// A mailbox opens no account that is in use through the provider, and takes the
// place of no link that the operator gave.
func TestInvitationOpensNothingInUse(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.provide(nil)
		p := w.uninvited(boss.Email)
		shows(t, w.through(browser.New(t), boss), "Back office")
		if w.invite(p) {
			t.Error("a mailbox opens the account of somebody who comes through the provider")
		}
		operators, link := w.person("emergency@vendor.example")
		if w.invite(operators) {
			t.Error("an invitation replaces the operator's link")
		}
		w.settle(browser.New(t), link)
		late, _ := w.person("late@vendor.example")
		w.clock.Advance(staffauth.WelcomeLife)
		if !w.invite(late) {
			t.Error("a link that has run out stands in the way")
		}
	})
}

// Answers that do not hold are counted by address: nobody fills the audit log.
func TestVendorsProviderIsNotTriedForEver(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.provide(nil)
		var last browser.Page
		for range 40 {
			b := browser.New(t)
			stop := b.Stop()
			w.post(b, "/backoffice/login/sso")
			stop()
			last = b.Get(w.URL + staffauth.CallbackPath + "?state=forged&code=x")
		}
		if !strings.Contains(last.Body, "Too many attempts") {
			t.Errorf("%s", last)
		}
		if n := w.count(`SELECT COUNT(*) FROM audit_events WHERE action = 'staff.sign_in_failed'`); n < 10 || n > 35 {
			t.Errorf("%d entries", n)
		}
	})
}

// What a provider said is nothing once it was taken away or set anew: whoever came
// through one that is not trusted any more sets up no factor.
func TestProviderThatIsGoneVouchesForNobody(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		here := func(p *staffauth.Provider) { p.SecondFactor = staffauth.SecondHere }
		i := w.provide(here)
		w.person(boss.Email)
		b := browser.New(t)
		shows(t, w.through(b, boss), "Set up a second factor")
		w.tx(func(q db.Queryer) error { return w.StaffAuth.DeleteProvider(t.Context(), w.operator(), q) })
		shows(t, b.Get(w.URL+"/backoffice/enrol?kind=totp"), "Sign in to the back office")
		w.clock.Advance(1e9)
		w.setProvider(i, here)
		shows(t, b.Get(w.URL+"/backoffice/enrol?kind=totp"), "Sign in to the back office")
		shows(t, w.through(b, boss), "Set up a second factor")
		w.setProvider(i, here)
		shows(t, w.post(b, "/backoffice/enrol/key"), "Sign in to the back office")
		w.signedOut(b)
	})
}

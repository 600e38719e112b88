package backoffice_test

import (
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/signin/factor"
)

// Sessions are listed, ended one by one, and end by themselves.
func TestSessionsOfTheBackOffice(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, link := w.person("boss@vendor.example")
		one, two := browser.New(t), browser.New(t)
		key, _ := w.settle(one, link)
		shows(t, w.enter(two, "boss@vendor.example", password, key), "Back office")
		_, link = w.person("other@vendor.example", staff.BackofficeViewer)
		third := browser.New(t)
		w.settle(third, link)
		page := one.Get(w.URL + "/backoffice")
		found := regexp.MustCompile(`name="session" value="(ses_[a-z2-7]+)"`).FindAllStringSubmatch(page.Body, -1)
		if len(found) != 1 || strings.Count(page.Body, "This browser") != 1 {
			t.Fatalf("%d sessions beside this one: %s", len(found), page)
		}
		shows(t, w.post(third, "/backoffice/sessions/end", "session", found[0][1]), "Back office")
		shows(t, two.Get(w.URL+"/backoffice"), "Back office") // another person's stays
		shows(t, w.post(one, "/backoffice/sessions/end", "session", found[0][1]), "Back office")
		w.signedOut(two)

		// It ends an hour after its last use, and twelve after the sign-in at the latest.
		for range 12 {
			shows(t, one.Get(w.URL+"/backoffice"), "Back office")
			w.clock.Advance(staff.SessionIdle - time.Minute)
		}
		w.clock.Advance(12 * time.Minute)
		w.signedOut(one)
		shows(t, w.enter(one, "boss@vendor.example", password, key), "Back office")
		w.clock.Advance(staff.SessionIdle)
		w.signedOut(one)

		shows(t, w.enter(one, "boss@vendor.example", password, key), "Back office")
		cookie := one.Cookie(w.URL, "__Host-backoffice")
		shows(t, w.post(one, "/backoffice/logout"), "Signed out")
		w.signedOut(one)
		w.signedOut(w.holding("__Host-backoffice", cookie))
	})
}

// Who changes how he signs in has signed in just now; the last factor stays.
func TestFactorsOfTheBackOffice(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, link := w.person("boss@vendor.example")
		b, idle := browser.New(t), browser.New(t)
		key, codes := w.settle(b, link)
		shows(t, w.enter(idle, "boss@vendor.example", password, key), "Back office")
		remove := func() browser.Page {
			t.Helper()
			m := regexp.MustCompile(`name="factor" value="(fac_[a-z2-7]+)"`).FindStringSubmatch(b.Get(w.URL + "/backoffice").Body)
			return w.post(b, "/backoffice/factors/remove", "factor", m[1])
		}
		if p := remove(); !strings.Contains(p.Body, "BACKOFFICE_LAST_FACTOR") {
			t.Errorf("the last factor goes: %s", p)
		}
		p := shows(t, b.Get(w.URL+"/backoffice/factors"), "Add your authenticator app")
		second := shownKey.FindStringSubmatch(p.Body)[1]
		if p := w.post(b, "/backoffice/factors", "kind", "totp", "answer", "000000"); p.Status != http.StatusUnprocessableEntity {
			t.Errorf("a wrong code: %s", p)
		}
		w.clock.Advance(time.Minute)
		if p := w.post(b, "/backoffice/factors", "kind", "totp", "answer", w.code(second)); !strings.Contains(p.Body, "The second factor was added.") {
			t.Errorf("%s", p)
		}
		if p := remove(); !strings.Contains(p.Body, "The second factor was removed.") || strings.Count(p.Body, `name="factor"`) != 1 {
			t.Errorf("%s", p)
		}
		shows(t, w.post(b, "/backoffice/factors/codes"), "Keep your recovery codes")
		tab := browser.New(t)
		shows(t, w.post(tab, "/backoffice/login", "email", "boss@vendor.example", "password", password), "One more step")
		if p := w.post(tab, "/backoffice/second", "kind", "recovery", "answer", codes[0]); p.Status != http.StatusUnprocessableEntity {
			t.Errorf("an old recovery code serves: %s", p)
		}
		if p := w.post(b, "/backoffice/account/password", "password", "short"); p.Status != http.StatusUnprocessableEntity {
			t.Errorf("%s", p)
		}
		if p := w.post(b, "/backoffice/account/password", "password", newPassword); !strings.Contains(p.Body, "The password was changed.") {
			t.Errorf("%s", p)
		}
		w.signedOut(idle)
		w.clock.Advance(staff.FreshFor)
		shows(t, b.Get(w.URL+"/backoffice"), "Back office")
		for _, path := range []string{"/backoffice/factors", "/backoffice/account/password"} {
			if p := shows(t, b.Get(w.URL+path), "Sign in to the back office"); !strings.Contains(p.Body, "Sign in again first") || !strings.Contains(p.Body, `value="`+path+`"`) {
				t.Errorf("%s: %s", path, p)
			}
		}
		for _, path := range []string{"/backoffice/factors/codes", "/backoffice/factors/remove", "/backoffice/factors/key", "/backoffice/account/password"} {
			shows(t, w.post(b, path, "password", password), "Sign in to the back office")
		}
		// And goes on to where he wanted.
		w.clock.Advance(time.Minute)
		shows(t, w.post(b, "/backoffice/login", "email", "boss@vendor.example", "password", newPassword, "next", "/backoffice/account/password"), "One more step")
		shows(t, w.post(b, "/backoffice/second", "kind", "totp", "answer", w.code(second)), "Choose a password")
	})
}

// A forgotten password is set by a mailed link, which opens nothing without the
// second factor.
func TestForgottenPassword(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, link := w.person("boss@vendor.example")
		b := browser.New(t)
		key, _ := w.settle(b, link)
		ask := func() string {
			t.Helper()
			shows(t, w.post(browser.New(t), "/backoffice/forgot", "email", " Boss@vendor.example "), "Look into your mailbox")
			mails := w.mails()
			return w.URL + regexp.MustCompile(`/backoffice/reset/[A-Za-z0-9_-]{43}`).FindString(mails[len(mails)-1])
		}
		first := ask()
		if again := ask(); again != first {
			t.Error("a mailbox is filled")
		}
		w.clock.Advance(time.Minute)
		second := ask()
		gone := func(link string) {
			t.Helper()
			if p := browser.New(t).Get(link); p.Status != http.StatusNotFound {
				t.Errorf("the link serves: %s", p)
			}
		}
		gone(first)
		gone(strings.Replace(second, "/reset/", "/welcome/", 1))
		tab := browser.New(t)
		shows(t, tab.Get(second), "Choose a password")
		if p := w.post(tab, "/backoffice/reset", "password", "short"); p.Status != http.StatusUnprocessableEntity {
			t.Errorf("%s", p)
		}
		shows(t, w.post(tab, "/backoffice/reset", "password", newPassword), "Your password is set")
		w.signedOut(tab)
		w.signedOut(b)
		gone(second)
		if p := w.post(tab, "/backoffice/login", "email", "boss@vendor.example", "password", password); !strings.Contains(p.Body, "is wrong") {
			t.Errorf("the old password serves: %s", p)
		}
		if p := w.enter(tab, "boss@vendor.example", newPassword, key); heading(p) != "Back office" {
			t.Errorf("%s", p)
		}
		w.clock.Advance(time.Minute)
		late := ask()
		w.clock.Advance(15 * time.Minute)
		gone(late)
	})
}

// What somebody began with a session that has ended meanwhile changes nothing: a
// reset would not rid an account of who is changing it at that moment.
func TestEndedSessionsChangeNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.person("admin@vendor.example")
		p, link := w.person("boss@vendor.example", staff.BackofficeViewer)
		b := browser.New(t)
		w.settle(b, link)
		v, err := w.StaffAuth.Visitor(t.Context(), b.Cookie(w.URL, "__Host-backoffice"))
		if err != nil {
			t.Fatal(err)
		}
		app, _, err := w.StaffAuth.BeginFactor(t.Context(), v, factor.TOTP)
		if err != nil {
			t.Fatal(err)
		}
		factors, err := w.StaffAuth.Account(t.Context(), v)
		if err != nil {
			t.Fatal(err)
		}
		w.tx(func(q db.Queryer) error { return w.Staff.EndSessions(t.Context(), q, p.ID, "") })
		a := actor.Actor{Environment: w.Main.ID}
		_, add := w.StaffAuth.AddFactor(t.Context(), a, v, factor.TOTP, "mine", []byte(w.code(app.Secret)))
		_, codes := w.StaffAuth.RenewRecoveryCodes(t.Context(), a, v)
		for what, err := range map[string]error{
			"add": add, "codes": codes, "password": w.StaffAuth.ChangePassword(t.Context(), a, v, newPassword),
			"remove": w.StaffAuth.RemoveFactor(t.Context(), a, v, factors.Factors[0].ID),
		} {
			if !errors.Is(err, staff.ErrSignedOut) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if n := w.count(`SELECT COUNT(*) FROM staff_factors WHERE staff_id = $1`, p.ID); n != 1 {
			t.Errorf("%d factors", n)
		}
	})
}

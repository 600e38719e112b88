package backoffice_test

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// holding makes a browser with one cookie.
func (w *world) holding(name, value string) *browser.Browser {
	w.t.Helper()
	b := browser.New(w.t)
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	u, _ := url.Parse(strings.Replace(w.URL, "http://", "https://", 1))
	jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/", Secure: true}})
	b.Client.Jar = loopbackJar{jar}
	return b
}

// loopbackJar sends Secure cookies to the loopback, as browsers do.
type loopbackJar struct{ *cookiejar.Jar }

func (j loopbackJar) Cookies(u *url.URL) []*http.Cookie {
	https := *u
	https.Scheme = "https"
	return j.Jar.Cookies(&https)
}

func (j loopbackJar) SetCookies(u *url.URL, c []*http.Cookie) {
	https := *u
	https.Scheme = "https"
	j.Jar.SetCookies(&https, c)
}

// No answer tells who is on the staff: known, unknown, disabled, without
// credentials.
func TestAnswersTellNobody(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, link := w.person("boss@vendor.example")
		w.settle(browser.New(t), link)
		off := staff.Disabled
		gone, link := w.person("gone@vendor.example", staff.BackofficeViewer)
		w.settle(browser.New(t), link)
		w.patch(gone, staff.PersonPatch{Status: &off})
		w.person("fresh@vendor.example", staff.BackofficeViewer)
		var want [2]string
		for _, email := range []string{"boss@vendor.example", "gone@vendor.example", "fresh@vendor.example", "nobody@vendor.example"} {
			right := password
			if email == "boss@vendor.example" {
				right = "wrong horse battery"
			}
			for n, p := range []browser.Page{
				w.post(browser.New(t), "/backoffice/login", "email", email, "password", right),
				w.post(browser.New(t), "/backoffice/forgot", "email", email),
			} {
				got := strings.ReplaceAll(p.Body, email, "x") + http.StatusText(p.Status)
				if want[n] == "" {
					want[n] = got
				}
				if got != want[n] {
					t.Errorf("%s is told apart: %s", email, p)
				}
			}
		}
		if !strings.Contains(want[0], "The e-mail address or the password is wrong.") || !strings.Contains(want[1], "a link is on its way") {
			t.Errorf("%s\n%s", want[0], want[1])
		}
		if mails := w.mails(); len(mails) != 1 || !strings.Contains(mails[0], "boss@vendor.example") {
			t.Errorf("%d mails: %q", len(mails), mails)
		}
	})
}

// Somebody who is switched off, or has no role any more, is out at once.
func TestWhoIsSwitchedOffIsOut(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.person("boss@vendor.example")
		off, on := staff.Disabled, staff.Active
		for email, out := range map[string]func(staff.Person){
			"disabled@vendor.example": func(p staff.Person) { w.patch(p, staff.PersonPatch{Status: &off}) },
			"between@vendor.example": func(p staff.Person) {
				w.patch(p, staff.PersonPatch{Status: &off})
				w.patch(p, staff.PersonPatch{Status: &on}) // the session does not come back with him
			},
			"deleted@vendor.example": func(p staff.Person) {
				w.tx(func(q db.Queryer) error { return w.Staff.DeletePerson(t.Context(), w.operator(), q, p.ID) })
			},
			"reset@vendor.example": func(p staff.Person) {
				w.tx(func(q db.Queryer) error {
					_, err := w.StaffAuth.Reset(t.Context(), w.operator(), q, p.ID)
					return err
				})
			},
		} {
			p, link := w.person(email, staff.BackofficeViewer)
			b, half := browser.New(t), browser.New(t)
			key, _ := w.settle(b, link)
			w.clock.Advance(time.Minute)
			shows(t, w.post(half, "/backoffice/login", "email", email, "password", password), "One more step")
			out(p)
			w.signedOut(b)
			if email == "between@vendor.example" {
				continue
			}
			if end := w.post(half, "/backoffice/second", "kind", "totp", "answer", w.code(key)); heading(end) == "Back office" {
				t.Errorf("%s comes in with a sign-in that was under way", email)
			}
			if p := w.post(browser.New(t), "/backoffice/login", "email", email, "password", password); !strings.Contains(p.Body, "is wrong") {
				t.Errorf("%s may come back: %s", email, p)
			}
		}
	})
}

// Codes are guessed on two replicas at once, in many browsers, and after five of
// them nobody may try any more, also who has the right one.
func TestSecondFactorIsNotGuessed(t *testing.T) {
	dbtest.Twice(t, func(t *testing.T, one, two db.DB) {
		c := clock.NewFake(start)
		a := at(t, one, c, "")
		b := at(t, two, c, a.URL)
		_, link := a.person("boss@vendor.example")
		key, _ := a.settle(browser.New(t), link)
		c.Advance(time.Minute)
		limited := 0
		for n := range 12 {
			w := []*world{a, b}[n%2]
			tab := browser.New(t)
			shows(t, w.post(tab, "/backoffice/login", "email", "boss@vendor.example", "password", password), "One more step")
			if p := w.post(tab, "/backoffice/second", "kind", []string{"totp", "recovery"}[n/2%2], "answer", "123456"); strings.Contains(p.Body, "Too many attempts") {
				limited++
			}
		}
		if limited < 7 {
			t.Errorf("of 12 guesses %d were turned away", limited)
		}
		tab := browser.New(t)
		shows(t, b.post(tab, "/backoffice/login", "email", "boss@vendor.example", "password", password), "One more step")
		if p := b.post(tab, "/backoffice/second", "kind", "totp", "answer", b.code(key)); !strings.Contains(p.Body, "Too many attempts") {
			t.Errorf("the lock lets a code pass: %s", p)
		}
		c.Advance(10 * time.Minute)
		if p := b.post(tab, "/backoffice/second", "kind", "totp", "answer", b.code(key)); heading(p) != "Back office" {
			t.Errorf("the lock does not end: %s", p)
		}
	})
}

// Passwords are counted too, by account and over replicas; the lock is audited and
// ends by itself, so that nobody can keep the admins out.
func TestPasswordsAreNotGuessed(t *testing.T) {
	dbtest.Twice(t, func(t *testing.T, one, two db.DB) {
		c := clock.NewFake(start)
		a := at(t, one, c, "")
		b := at(t, two, c, a.URL)
		_, link := a.person("boss@vendor.example")
		key, _ := a.settle(browser.New(t), link)
		for n := range 10 {
			c.Advance(5 * time.Minute) // past each wait
			w := []*world{a, b}[n%2]
			if p := w.post(browser.New(t), "/backoffice/login", "email", "boss@vendor.example", "password", "guess number"); !strings.Contains(p.Body, "is wrong") {
				t.Fatalf("guess %d: %s", n, p)
			}
		}
		c.Advance(5 * time.Minute)
		if p := b.post(browser.New(t), "/backoffice/login", "email", "boss@vendor.example", "password", password); !strings.Contains(p.Body, "Too many attempts") {
			t.Errorf("no lock: %s", p)
		}
		if n := a.count(`SELECT COUNT(*) FROM audit_events WHERE action = 'staff.locked'`); n != 1 {
			t.Errorf("%d locks in the log", n)
		}
		// The same address among the people of tenants is another account.
		if n := a.count(`SELECT COUNT(*) FROM attempts WHERE key LIKE 'account:%'`); n != 0 {
			t.Errorf("%d accounts of people are counted", n)
		}
		c.Advance(11 * time.Minute)
		if p := a.enter(browser.New(t), "boss@vendor.example", password, key); heading(p) != "Back office" {
			t.Errorf("the lock does not end: %s", p)
		}
	})
}

// One kind of session is nothing at the other's door, and a cookie is not guessed,
// nor kept from before the sign-in.
func TestCookiesAreApart(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, link := w.person("boss@vendor.example")
		b := browser.New(t)
		key, _ := w.settle(b, link)
		mine := b.Cookie(w.URL, "__Host-backoffice")
		if mine == "" || w.count(`SELECT COUNT(*) FROM staff_sessions WHERE hash = $1`, secret.Hash(mine)) != 1 {
			t.Fatalf("cookie %q", mine)
		}
		shows(t, w.holding("__Host-backoffice", mine).Get(w.URL+"/backoffice"), "Back office")
		for name, value := range map[string]string{
			"__Host-session": mine, "__Host-backoffice-flow": mine, "backoffice": mine, "__Host-backoffice": secret.Random(),
		} {
			shows(t, w.holding(name, value).Get(w.URL+"/backoffice"), "Sign in to the back office")
		}
		// People's own pages know nothing of the cookie.
		if p := w.holding("__Host-session", mine).Post(w.URL+"/logout", nil, w.URL); p.Status != http.StatusOK {
			t.Errorf("%s", p)
		}
		shows(t, b.Get(w.URL+"/backoffice"), "Back office")
		// A session that somebody planted in the browser ends with the sign-in.
		planted := w.holding("__Host-backoffice", mine)
		if p := w.enter(planted, "boss@vendor.example", password, key); heading(p) != "Back office" || planted.Cookie(w.URL, "__Host-backoffice") == mine {
			t.Errorf("the cookie stays: %s", p)
		}
		w.signedOut(b)
		// So does a sign-in under way.
		w.clock.Advance(time.Minute)
		other := browser.New(t)
		shows(t, w.post(other, "/backoffice/login", "email", "boss@vendor.example", "password", password), "One more step")
		flow := other.Cookie(w.URL, "__Host-backoffice-flow")
		shows(t, w.post(other, "/backoffice/second", "kind", "totp", "answer", w.code(key)), "Back office")
		shows(t, w.holding("__Host-backoffice-flow", flow).Get(w.URL+"/backoffice/second"), "Sign in to the back office")
	})
}

// Forms of other sites are refused, and other hosts have no back office.
func TestBackOfficeIsAtHomeAlone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, link := w.person("boss@vendor.example")
		b := browser.New(t)
		w.settle(b, link)
		for _, path := range []string{"/backoffice/login", "/backoffice/logout", "/backoffice/factors/codes", "/backoffice/sessions/end", "/backoffice/login/sso"} {
			if p := b.Post(w.URL+path, url.Values{"email": {"boss@vendor.example"}, "password": {password}}, "https://evil.example"); p.Status != http.StatusForbidden {
				t.Errorf("%s is taken from elsewhere: %s", path, p)
			}
		}
		shows(t, b.Get(w.URL+"/backoffice"), "Back office")
		w.tx(func(q db.Queryer) error {
			_, err := w.Tenants.CreateEnvironment(t.Context(), actor.Actor{Environment: w.Main.ID, Kind: actor.System}, q, tenants.NewEnvironment{Name: "EU", BaseURL: "https://eu.vendor.example"})
			return err
		})
		w.clock.Advance(time.Minute) // environments are remembered for a moment
		for host, want := range map[string]int{"eu.vendor.example": http.StatusNotFound, strings.TrimPrefix(w.URL, "http://"): http.StatusOK} {
			for _, path := range []string{"/backoffice/login", "/backoffice", "/backoffice/forgot"} {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.URL+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Host = host
				if p := b.Do(r); p.Status != want {
					t.Errorf("%s at %s: %s", path, host, p)
				}
			}
		}
		for _, next := range []string{"https://evil.example/", "//evil.example", "/backoffice/../oauth2/authorize//x", "/backofficer", "/backoffice\\evil", "javascript:alert(1)"} {
			p := browser.New(t).Get(w.URL + "/backoffice/login?next=" + url.QueryEscape(next))
			if m := regexp.MustCompile(`name="next" value="([^"]*)"`).FindStringSubmatch(p.Body); m == nil || m[1] != "/backoffice" {
				t.Errorf("%s leads to %v", next, m)
			}
		}
	})
}

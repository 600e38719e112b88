package backoffice_test

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/gateway"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/signin/staffauth"
)

const (
	password    = "seven green lanterns hum"
	newPassword = "nine violet bridges sleep"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is a whole gateway on a store, with a clock that stands.
type world struct {
	*gateway.Gateway
	t     *testing.T
	clock *clock.Fake
	URL   string
}

func newWorld(t *testing.T, d db.DB) *world {
	t.Helper()
	return at(t, d, clock.NewFake(start), "")
}

// at serves a gateway at localhost; base is the address of another replica, which
// this one then answers for as well.
func at(t *testing.T, d db.DB, c *clock.Fake, base string) *world {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	own := "http://localhost:" + port
	if base == "" {
		base = own
	}
	v, err := keys.NewVault(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	g, err := gateway.New(t.Context(), gateway.Config{BaseURL: base, AllowPrivateNetworks: true}, d, v, c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: listener, Config: &http.Server{Handler: g.Handler}}
	s.Start()
	t.Cleanup(s.Close)
	return &world{Gateway: g, t: t, clock: c, URL: own}
}

func (w *world) operator() actor.Actor {
	return actor.Actor{Environment: w.Main.ID, Kind: actor.System, Name: "operator"}
}

func (w *world) tx(f func(q db.Queryer) error) {
	w.t.Helper()
	if err := w.DB.Tx(w.t.Context(), f); err != nil {
		w.t.Fatal(err)
	}
}

// person adds somebody and gives his link, as gatehouse admin create does.
func (w *world) person(email string, roles ...string) (p staff.Person, link string) {
	w.t.Helper()
	if len(roles) == 0 {
		roles = []string{staff.Admin}
	}
	w.tx(func(q db.Queryer) (err error) {
		p, err = w.Staff.CreatePerson(w.t.Context(), w.operator(), q, staff.NewPerson{Email: email, Environment: staff.Everywhere, Roles: roles})
		return err
	})
	return p, w.link(p)
}

func (w *world) link(p staff.Person) string {
	w.t.Helper()
	var l staffauth.Link
	w.tx(func(q db.Queryer) (err error) {
		l, err = w.StaffAuth.Welcome(w.t.Context(), w.operator(), q, p.ID, true)
		return err
	})
	return w.URL + l.URL[strings.Index(l.URL, staffauth.Home):]
}

func (w *world) patch(p staff.Person, patch staff.PersonPatch) {
	w.t.Helper()
	w.tx(func(q db.Queryer) error {
		_, err := w.Staff.UpdatePerson(w.t.Context(), w.operator(), q, p.ID, patch)
		return err
	})
}

func (w *world) count(sql string, args ...any) (n int) {
	w.t.Helper()
	if err := w.DB.QueryRow(w.t.Context(), sql, args...).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

func (w *world) mails() (list []string) {
	w.t.Helper()
	rows, err := w.DB.Query(w.t.Context(), `SELECT payload FROM jobs WHERE kind = 'mail.send' ORDER BY created_at, id`)
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			w.t.Fatal(err)
		}
		list = append(list, text)
	}
	return list
}

func (w *world) code(key string) string {
	w.t.Helper()
	code, err := totp.GenerateCode(strings.ReplaceAll(key, " ", ""), w.clock.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	return code
}

var (
	shownKey   = regexp.MustCompile(`id="totp-key">([A-Z2-7 ]+)<`)
	shownCodes = regexp.MustCompile(`[a-z2-7]{4}-[a-z2-7]{4}-[a-z2-7]{4}-[a-z2-7]{4}`)
)

func heading(p browser.Page) string {
	m := regexp.MustCompile(`<h1>([^<]*)</h1>`).FindStringSubmatch(p.Body)
	if m == nil {
		return ""
	}
	return m[1]
}

// shows asserts the page.
func shows(t *testing.T, p browser.Page, title string) browser.Page {
	t.Helper()
	if heading(p) != title {
		t.Fatalf("%q is shown, want %q: %s", heading(p), title, p)
	}
	return p
}

func (w *world) post(b *browser.Browser, path string, pairs ...string) browser.Page {
	w.t.Helper()
	fields := url.Values{}
	for n := 0; n+1 < len(pairs); n += 2 {
		fields.Set(pairs[n], pairs[n+1])
	}
	return b.Post(w.URL+path, fields, w.URL)
}

// settle goes through a link, and ends signed in with a password and an app.
func (w *world) settle(b *browser.Browser, link string) (key string, codes []string) {
	w.t.Helper()
	shows(w.t, b.Get(link), "Welcome to the back office")
	shows(w.t, w.post(b, "/backoffice/welcome"), "Choose a password")
	shows(w.t, w.post(b, "/backoffice/password", "password", password), "Set up a second factor")
	p := shows(w.t, b.Get(w.URL+"/backoffice/enrol?kind=totp"), "Add your authenticator app")
	key = shownKey.FindStringSubmatch(p.Body)[1]
	p = shows(w.t, w.post(b, "/backoffice/enrol", "kind", "totp", "answer", w.code(key)), "Keep your recovery codes")
	codes = shownCodes.FindAllString(p.Body, -1)
	shows(w.t, w.post(b, "/backoffice/continue"), "Back office")
	return key, codes
}

// enter signs in with a password and an app.
func (w *world) enter(b *browser.Browser, email, password, key string) browser.Page {
	w.t.Helper()
	w.clock.Advance(time.Minute) // a code serves once
	shows(w.t, w.post(b, "/backoffice/login", "email", email, "password", password), "One more step")
	return w.post(b, "/backoffice/second", "kind", "totp", "answer", w.code(key))
}

// signedOut asserts that the browser is asked to sign in.
func (w *world) signedOut(b *browser.Browser) {
	w.t.Helper()
	shows(w.t, b.Get(w.URL+"/backoffice"), "Sign in to the back office")
}

func each(t *testing.T, f func(t *testing.T, w *world)) {
	dbtest.Each(t, func(t *testing.T, d db.DB) { f(t, newWorld(t, d)) })
}

// Product 14 to 19: the first admin comes in by the operator's link, with a
// password that the rules take and a second factor, and from then on with both.
func TestALinkLeadsToTheBackOffice(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, link := w.person("boss@vendor.example")
		b := browser.New(t)
		stop := b.Stop()
		moved := b.Get(link)
		stop()
		if moved.Status != http.StatusSeeOther || moved.Header.Get("Location") != "/backoffice/welcome" || moved.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("the token stays in the address: %s", moved)
		}
		for range 2 { // looking uses nothing up
			if p := shows(t, b.Get(link), "Welcome to the back office"); !strings.Contains(p.Body, "boss@vendor.example") {
				t.Errorf("whose is it? %s", p)
			}
		}
		shows(t, w.post(b, "/backoffice/welcome"), "Choose a password")
		for weak, says := range map[string]string{
			"short": "15 characters", "passwordpassword": "", "boss@vendor.example": "too close", "abcabcabcabcabc": "attackers",
		} {
			p := shows(t, w.post(b, "/backoffice/password", "password", weak), "Choose a password")
			if p.Status != http.StatusUnprocessableEntity || !strings.Contains(p.Body, says) || !strings.Contains(p.Body, `id="password-error"`) {
				t.Errorf("%s is taken: %s", weak, p)
			}
		}
		w.signedOut(b) // a link alone opens nothing
		shows(t, w.post(b, "/backoffice/password", "password", password), "Set up a second factor")
		w.signedOut(b)
		shows(t, w.post(b, "/backoffice/continue"), "Sign in to the back office") // nor does skipping the second factor
		if n := w.count(`SELECT COUNT(*) FROM staff_credentials`); n != 0 {
			t.Error("the password holds without a second factor")
		}
		p := shows(t, b.Get(w.URL+"/backoffice/enrol?kind=totp"), "Add your authenticator app")
		key := shownKey.FindStringSubmatch(p.Body)[1]
		if p := w.post(b, "/backoffice/enrol", "kind", "totp", "answer", "000000"); p.Status != http.StatusUnprocessableEntity || shownKey.FindStringSubmatch(p.Body)[1] != key {
			t.Errorf("a wrong code: %s", p)
		}
		p = shows(t, w.post(b, "/backoffice/enrol", "kind", "totp", "answer", w.code(key)), "Keep your recovery codes")
		codes := shownCodes.FindAllString(p.Body, -1)
		if len(codes) != 10 {
			t.Errorf("%d recovery codes", len(codes))
		}
		p = shows(t, w.post(b, "/backoffice/continue"), "Back office")
		for _, want := range []string{"boss@vendor.example", "Authenticator app", "Default", "admin", "Recovery codes left: 10."} {
			if !strings.Contains(p.Body, want) {
				t.Errorf("no %q at home: %s", want, p)
			}
		}

		other := browser.New(t)
		if p := w.enter(other, "BOSS@vendor.example", password, key); heading(p) != "Back office" {
			t.Errorf("signing in: %s", p)
		}
		third := browser.New(t)
		shows(t, w.post(third, "/backoffice/login", "email", "boss@vendor.example", "password", password), "One more step")
		w.signedOut(third) // the password alone opens nothing
		shows(t, w.post(third, "/backoffice/continue"), "Sign in to the back office")
		shows(t, w.post(third, "/backoffice/login", "email", "boss@vendor.example", "password", password), "One more step")
		shows(t, w.post(third, "/backoffice/second", "kind", "recovery", "answer", codes[3]), "Back office")
		fourth := browser.New(t)
		shows(t, w.post(fourth, "/backoffice/login", "email", "boss@vendor.example", "password", password), "One more step")
		if p := w.post(fourth, "/backoffice/second", "kind", "recovery", "answer", codes[3]); p.Status != http.StatusUnprocessableEntity {
			t.Errorf("a recovery code serves twice: %s", p)
		}
		if n := w.count(`SELECT COUNT(*) FROM audit_events WHERE action = 'staff.signed_in'`); n != 3 {
			t.Errorf("%d sign-ins in the log", n)
		}
	})
}

// A link serves once, for a day, in one browser, and only the newest one.
func TestLinksServeOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		unknown := func(b *browser.Browser, link string) {
			t.Helper()
			if p := b.Get(link); p.Status != http.StatusNotFound || !strings.Contains(p.Body, "BACKOFFICE_LINK_UNKNOWN") {
				t.Errorf("the link serves: %s", p)
			}
			if p := w.post(b, "/backoffice/welcome"); p.Status != http.StatusNotFound {
				t.Errorf("the link serves: %s", p)
			}
		}
		boss, first := w.person("boss@vendor.example")
		second := w.link(boss)
		unknown(browser.New(t), first)
		b := browser.New(t)
		shows(t, b.Get(second), "Welcome to the back office")
		shows(t, w.post(b, "/backoffice/welcome"), "Choose a password")
		unknown(browser.New(t), second)

		// A newer link stops whoever is using the one before.
		third := w.link(boss)
		shows(t, w.post(b, "/backoffice/password", "password", password), "Sign in to the back office")
		w.clock.Advance(staffauth.WelcomeLife)
		unknown(browser.New(t), third)

		// Used, a link takes what was there before: password, factors and sessions.
		key, _ := w.settle(b, w.link(boss))
		again := browser.New(t)
		w.settle(again, w.link(boss))
		w.signedOut(b)
		w.clock.Advance(time.Minute)
		shows(t, w.post(b, "/backoffice/login", "email", "boss@vendor.example", "password", password), "One more step")
		if p := w.post(b, "/backoffice/second", "kind", "totp", "answer", w.code(key)); p.Status != http.StatusUnprocessableEntity {
			t.Errorf("the app before still serves: %s", p)
		}
		if n := w.count(`SELECT COUNT(*) FROM staff_factors`); n != 1 {
			t.Errorf("%d factors", n)
		}

		off := staff.Disabled
		other, link := w.person("other@vendor.example", staff.BackofficeViewer)
		w.patch(other, staff.PersonPatch{Status: &off})
		unknown(browser.New(t), link)
		for _, junk := range []string{"x", strings.Repeat("a", 43), strings.Repeat("a", 4000), "%00"} {
			if p := browser.New(t).Get(w.URL + "/backoffice/welcome/" + junk); p.Status != http.StatusNotFound && p.Status != http.StatusBadRequest {
				t.Errorf("%.20s: %s", junk, p)
			}
		}
	})
}

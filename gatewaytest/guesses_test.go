package gatewaytest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

const guessedPassword = "correct horse battery"

// guessing is a gateway of two replicas, to which requests come in turn, each from
// the address that the test says.
type guessing struct {
	*vendor
	t      *testing.T
	d      db.DB
	ip     string
	tenant string
}

func newGuessing(t *testing.T, d, d2 db.DB) *guessing {
	t.Helper()
	g := &guessing{vendor: newVendor(t, d, "okta"), t: t, d: d, ip: "192.0.2.1"}
	replicas, asked := []http.Handler{g.Handler, g.Replica(d2).Handler}, atomic.Int64{}
	g.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = g.ip + ":1024"
		replicas[asked.Add(1)%2].ServeHTTP(w, r)
	})
	var made struct{ ID string }
	g.Call(http.MethodPost, "/tenants", object{"name": "Plain", "key": "plain"}, &made)
	g.tenant = made.ID
	g.Call(http.MethodPut, "/tenants/plain/policies/mfa", object{"enforce": "unless_sso"}, nil)
	return g
}

// person makes somebody with a password.
func (g *guessing) person(email string) {
	g.t.Helper()
	vendor := actor.Actor{Environment: g.Main.ID, Kind: actor.Management, Name: "vendor"}
	var user string
	tx := func(f func(q db.Queryer) error) {
		g.t.Helper()
		if err := g.d.Tx(g.t.Context(), f); err != nil {
			g.t.Fatal(err)
		}
	}
	tx(func(q db.Queryer) error {
		p, err := g.Directory.CreateUser(g.t.Context(), vendor, q, directory.NewUser{Environment: g.Main.ID, Tenant: g.tenant, Email: email})
		user = p.Membership.UserID
		return err
	})
	hash, err := g.Signin.PreparePassword(g.t.Context(), g.Main, user, guessedPassword)
	if err != nil {
		g.t.Fatal(err)
	}
	tx(func(q db.Queryer) error {
		return g.Signin.SetFirstPassword(g.t.Context(), vendor, q, g.Main, user, hash)
	})
}

// begin goes from the application's request to what follows the password.
func (g *guessing) begin(b *browser.Browser, email, password string) browser.Page {
	g.t.Helper()
	p := b.Get(g.URL + "/oauth2/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {g.app.ClientID}, "redirect_uri": {g.app.RedirectURI}, "scope": {"openid"}, "organization": {"plain"},
		"state": {"s"}, "nonce": {"n"}, "code_challenge": {strings.Repeat("c", 43)}, "code_challenge_method": {"S256"},
	}.Encode())
	return b.Post(g.URL+"/login/password", url.Values{"flow": {flowOf(g.t, p)}, "email": {email}, "password": {password}}, "")
}

// enrol sets up an authenticator app and gives its key and the recovery codes.
func (g *guessing) enrol(email string) (key string, codes []string) {
	g.t.Helper()
	b := browser.New(g.t)
	flow := flowOf(g.t, g.begin(b, email, guessedPassword))
	p := b.Get(g.URL + "/mfa/enrol?kind=totp&flow=" + flow)
	m := regexp.MustCompile(`id="totp-key">([A-Z2-7 ]+)<`).FindStringSubmatch(p.Body)
	if m == nil {
		g.t.Fatalf("no key: %s", p)
	}
	p = b.Post(g.URL+"/mfa/enrol", url.Values{"flow": {flow}, "kind": {"totp"}, "answer": {g.code(m[1])}}, "")
	if codes = regexp.MustCompile(`\b[a-z2-7]{4}(-[a-z2-7]{4}){3}\b`).FindAllString(p.Body, -1); len(codes) < 5 {
		g.t.Fatalf("no recovery codes: %s", p)
	}
	g.clock.Advance(time.Minute) // a code serves once
	return m[1], codes
}

func (g *guessing) code(key string) string {
	g.t.Helper()
	code, err := totp.GenerateCode(strings.ReplaceAll(key, " ", ""), g.clock.Now())
	if err != nil {
		g.t.Fatal(err)
	}
	return code
}

// second sends the answer of a second factor.
func (g *guessing) second(b *browser.Browser, flow, kind, answer string) browser.Page {
	g.t.Helper()
	defer b.Stop()()
	return b.Post(g.URL+"/mfa", url.Values{"flow": {flow}, "kind": {kind}, "answer": {answer}}, "")
}

// Whoever guesses the second factor of one account has five tries, whatever kind he
// guesses at, from however many addresses and at whichever replica.
func TestGuessesAtAnAccountAcrossReplicas(t *testing.T) {
	dbtest.Twice(t, func(t *testing.T, d, d2 db.DB) {
		g := newGuessing(t, d, d2)
		for _, kind := range []string{"totp", "recovery", "mail"} {
			t.Run(kind, func(t *testing.T) {
				g.t = t
				email := kind + "@plain.example"
				g.person(email)
				right := func() (kind, answer string) { return "mail", "" }
				if kind != "mail" {
					key, codes := g.enrol(email)
					right = func() (string, string) { return "totp", g.code(key) }
					if kind == "recovery" {
						right = func() (string, string) { return "recovery", codes[0] }
					}
				}
				b := browser.New(t)
				p := g.begin(b, email, guessedPassword)
				flow := flowOf(t, p)
				if kind == "mail" {
					if p = b.Post(g.URL+"/mfa/mail", url.Values{"flow": {flow}}, ""); !strings.Contains(p.Body, "We have mailed you a code") {
						t.Fatalf("%s", p)
					}
				}
				judged := 0
				for n := range 14 {
					g.ip = fmt.Sprintf("198.51.100.%d", n+1)
					p := g.second(b, flow, kind, fmt.Sprintf("%06d", n))
					switch {
					case strings.Contains(p.Body, "did not match"):
						judged++
					case !strings.Contains(p.Body, "Too many attempts"):
						t.Fatalf("guess %d: %s", n+1, p)
					}
					if n%2 == 1 { // both have been asked
						g.clock.Advance(3 * time.Second)
					}
				}
				if judged == 0 || judged > 5 {
					t.Errorf("%d of 14 guesses were judged", judged)
				}
				if kind == "mail" {
					return
				}
				for range 2 { // at either
					how, answer := right()
					if p := g.second(b, flow, how, answer); !strings.Contains(p.Body, "Too many attempts") {
						t.Errorf("the right one meanwhile: %s", p)
					}
				}
				g.clock.Advance(6 * time.Minute)
				how, answer := right()
				if p := g.second(b, flow, how, answer); p.Status != http.StatusSeeOther {
					t.Errorf("the right one afterwards: %s", p)
				}
			})
		}
		t.Run("device", func(t *testing.T) {
			g.t = t
			b := browser.New(t)
			g.LogIn(b, g.app, ada.ID, "connection", g.saml)
			judged, held := g.userCodes(b, 30)
			if judged == 0 || judged > 10 || held < 20 {
				t.Errorf("%d guesses were judged, %d held off", judged, held)
			}
		})
	})
}

// userCodes guesses at the codes of devices, from an address each.
func (g *guessing) userCodes(b *browser.Browser, n int) (judged, held int) {
	g.t.Helper()
	const letters = "BCDFGHJKLMNPQRSTVWXZ"
	for i := range n {
		g.ip = fmt.Sprintf("203.0.113.%d", i+1)
		switch p := b.Get(g.URL + "/oauth2/device?user_code=BCDF-GH" + letters[i/20:i/20+1] + letters[i%20:i%20+1]); p.Status {
		case http.StatusUnprocessableEntity, http.StatusNotFound:
			judged++
		case http.StatusTooManyRequests:
			held++
		default:
			g.t.Fatalf("guess %d: %s", i+1, p)
		}
		if i%2 == 1 {
			g.clock.Advance(2 * time.Second)
		}
	}
	return judged, held
}

// Whoever guesses from one address, at however many accounts and whichever replica,
// is slowed down there, also at second factors and the codes of devices; others are not.
func TestGuessesFromAnAddressAcrossReplicas(t *testing.T) {
	dbtest.Twice(t, func(t *testing.T, d, d2 db.DB) {
		g := newGuessing(t, d, d2)
		const email = "joe@plain.example"
		g.person(email)
		key, _ := g.enrol(email)
		at := browser.New(t)
		flow := flowOf(t, g.begin(at, email, guessedPassword))
		signedIn := browser.New(t)
		g.LogIn(signedIn, g.app, ada.ID, "connection", g.saml)

		g.ip = "203.0.113.9"
		guesser, judged := browser.New(t), 0
		for n := range 40 {
			p := g.begin(guesser, fmt.Sprintf("nobody%d@plain.example", n), "wrong")
			switch {
			case strings.Contains(p.Body, "is wrong"):
				judged++
			case !strings.Contains(p.Body, "Too many attempts"):
				t.Fatalf("guess %d: %s", n+1, p)
			}
		}
		if judged < 20 || judged > 31 {
			t.Errorf("%d of 40 guesses were judged", judged)
		}
		for range 2 { // at either
			if p := g.second(at, flow, "totp", g.code(key)); !strings.Contains(p.Body, "Too many attempts") {
				t.Errorf("a second factor from there: %s", p)
			}
			if p := signedIn.Get(g.URL + "/oauth2/device?user_code=BCDF-GHJK"); p.Status != http.StatusTooManyRequests {
				t.Errorf("a device's code from there: %s", p)
			}
		}
		g.ip = "203.0.113.10"
		if p := g.second(at, flow, "totp", g.code(key)); p.Status != http.StatusSeeOther {
			t.Errorf("from another address: %s", p)
		}
	})
}

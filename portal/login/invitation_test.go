package login_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/onboarding"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/tenants"
)

var invitationToken = regexp.MustCompile(`gw[ij]_[a-z2-7]{26}_[0-9A-Za-z]{49}`)

// invite has the vendor invite an address to the tenant, and gives the address in
// the mail.
func (w *world) invite(t *testing.T, tenant, email string) string {
	t.Helper()
	into := w.tenantOf(t, tenant)
	w.Tx(func(q db.Queryer) error {
		_, err := w.People.Invite(t.Context(), w.Vendor, q, w.Env, into, onboarding.NewInvitations{People: []onboarding.Invitee{{Email: email}}})
		return err
	})
	mails := w.Strings(`SELECT payload FROM jobs WHERE kind = 'mail.send' ORDER BY id`)
	mail := mails[len(mails)-1]
	token := invitationToken.FindString(mail)
	if !strings.Contains(mail, w.URL+"/invitations/"+token) || !strings.Contains(mail, `"html"`) || !strings.Contains(mail, email) {
		t.Fatalf("the mail: %s", mail)
	}
	return w.URL + "/invitations/" + token
}

func (w *world) tenantOf(t *testing.T, id string) tenants.Tenant {
	t.Helper()
	found, err := w.Tenants.Get(t.Context(), w.DB, w.Env.ID, id)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func (w *world) members(email string) int {
	return w.Count(`SELECT COUNT(*) FROM memberships WHERE email_key = $1 AND status = 'active'`, email)
}

// From the mail to the session, through the tenant's identity provider, from a
// domain that the tenant did not verify: eve@elsewhere.example (product 24).
func TestInvitationInTheBrowser(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		link := w.invite(t, w.acme, eve.Email)

		// Mail scanners follow the link, and prefetch what it leads to: nothing happens.
		for range 3 {
			scanner := browser.New(t)
			shows(t, scanner.Get(link), http.StatusOK, "You are invited")
		}
		if n := w.Count(`SELECT COUNT(*) FROM flows`) + w.members(eve.Email); n != 0 {
			t.Fatalf("a GET made %d rows", n)
		}

		b := browser.New(t)
		undo := b.Stop()
		moved := b.Get(link)
		undo()
		if moved.Status != http.StatusSeeOther || moved.Header.Get("Location") != "/invitations" || moved.Header.Get("Referrer-Policy") != "no-referrer" || moved.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("the token stays in the address: %d %v", moved.Status, moved.Header)
		}
		cookie := moved.Header.Get("Set-Cookie")
		for _, part := range []string{"__Host-invitation=gwi_", "HttpOnly", "Secure", "SameSite=Lax", "Max-Age=1800", "Path=/"} {
			if !strings.Contains(cookie, part) {
				t.Errorf("the cookie has no %s: %s", part, cookie)
			}
		}
		p := b.Get(w.URL + "/invitations")
		for _, text := range []string{"acme", eve.Email, "Sign in and join"} {
			shows(t, p, http.StatusOK, text)
		}
		if strings.Contains(p.Body, "gwi_") || p.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("the page tells the token: %s", p)
		}
		// A page of another origin does not press the button.
		foreign := b.Post(w.URL+"/invitations", url.Values{"invitation": {"x"}}, "https://evil.example")
		if foreign.Status != http.StatusForbidden {
			t.Errorf("a foreign form: %s", foreign)
		}
		end := b.Continue(send(t, b, p), eve.ID)
		shows(t, end, http.StatusOK, "You are signed in")
		if w.members(eve.Email) != 1 || b.Cookie(w.URL, "__Host-session") == "" {
			t.Fatalf("not in: %s", end)
		}
		shows(t, b.Get(link), http.StatusNotFound, "INVITATION_UNKNOWN")
	})
}

// Another person's login does not take the invitation; two invitations in two tabs
// do not mix; without a way to sign in the page says so.
func TestInvitationPageRefuses(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		link := w.invite(t, w.acme, "bob@elsewhere.example")
		b := browser.New(t)
		shows(t, b.Continue(send(t, b, b.Get(link)), eve.ID), http.StatusForbidden, "INVITATION_OTHER_ADDRESS")
		if w.members(eve.Email) != 0 {
			t.Error("eve took bob's invitation")
		}
		first := b.Get(link)
		second := b.Get(w.invite(t, w.globex, "bob@elsewhere.example"))
		shows(t, second, http.StatusOK, "globex")
		shows(t, send(t, b, first), http.StatusBadRequest, "INVITATION_OTHER_TAB")
		shows(t, send(t, b, second), http.StatusOK, "Okta") // globex has two connections to choose from
		shows(t, browser.New(t).Get(w.URL+"/invitations"), http.StatusNotFound, "INVITATION_UNKNOWN")
		shows(t, b.Get(w.URL+"/invitations/"+strings.Repeat("x", 5000)), http.StatusNotFound, "INVITATION_UNKNOWN")

		bare := w.Tenant("bare")
		w.SetPolicy(bare, policy.SSO, `{"enforced":true,"excluded_emails":[]}`)
		p := b.Get(w.invite(t, bare, "bob@elsewhere.example"))
		shows(t, p, http.StatusOK, "no way to sign in yet")
		if _, _, ok := p.Form(); ok {
			t.Error("a button that leads nowhere")
		}
		w.Clock.Advance(8 * 24 * time.Hour)
		shows(t, b.Get(link), http.StatusForbidden, "INVITATION_EXPIRED")
	})
}

// A link with approval: the person is told to wait. Who is signed in with an
// address that his tenant holds joins with one press (product 10, 25).
func TestJoinInTheBrowser(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		make := func(tenant string, approval bool) string {
			var url string
			into := w.tenantOf(t, tenant)
			w.Tx(func(q db.Queryer) (err error) {
				_, url, err = w.People.CreateLink(t.Context(), w.Vendor, q, w.Env, into, onboarding.NewLink{Approval: approval})
				return err
			})
			return url
		}
		w.Exec(`UPDATE sso_connections SET allow_unverified_domains = TRUE WHERE tenant_id = $1`, w.acme) // a link proves no address
		b := browser.New(t)
		shows(t, b.Continue(send(t, b, b.Get(make(w.acme, true))), eve.ID), http.StatusOK, "Your request was sent")
		if n := w.Count(`SELECT COUNT(*) FROM memberships WHERE email_key = $1 AND status = 'pending_approval'`, eve.Email); n != 1 || b.Cookie(w.URL, "__Host-session") != "" {
			t.Errorf("%d wait", n)
		}
		c := browser.New(t)
		arrived(t, c.LogIn(w.StartURL("connection", w.saml.ID), ada.ID))
		p := c.Get(make(w.globex, false))
		shows(t, p, http.StatusOK, "Join as <bdi>ada@acme.example</bdi>")
		shows(t, send(t, c, p), http.StatusOK, "You are a member now")
		if n := w.Count(`SELECT COUNT(*) FROM memberships m JOIN users u ON u.id = m.user_id WHERE u.email_key = $1`, ada.Email); n != 2 {
			t.Errorf("ada has %d memberships", n)
		}
	})
}

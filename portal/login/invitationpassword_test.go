package login_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/policy"
)

// Who is invited to a tenant without an identity provider chooses a password, and
// signs in with it from then on (product 24; 7.5).
func TestInvitationByPassword(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		plain := w.Tenant("plain")
		link := w.invite(t, plain, "joe@anywhere.example")
		b := browser.New(t)
		p := b.Get(link)
		shows(t, p, http.StatusOK, "Choose a password")
		if strings.Contains(p.Body, "Sign in and join") {
			t.Error("a way is offered that does not exist")
		}
		shows(t, send(t, b, p, "password", "short"), http.StatusUnprocessableEntity, "at least 15 characters")
		if n := w.members("joe@anywhere.example"); n != 0 {
			t.Fatal("a refused password made him a member")
		}
		shows(t, send(t, b, p, "password", password), http.StatusOK, "You are a member now")
		shows(t, send(t, b, p, "password", password), http.StatusBadRequest, "INVITATION_OTHER_TAB") // the cookie is gone
		again := browser.New(t)
		if p := again.Get(link); p.Status == http.StatusOK {
			t.Errorf("the link serves twice: %s", p)
		}
		if n := w.Count(`SELECT COUNT(*) FROM users WHERE email_key = 'joe@anywhere.example' AND email_verified AND local_login`); n != 1 {
			t.Error("the address is proven by the mail")
		}
		if a := arrived(t, w.signIn(t, browser.New(t), "joe@anywhere.example", password)); a.Tenant != plain {
			t.Errorf("%+v", a)
		}
		// Invited elsewhere he keeps the password that he has, and joins with his session.
		other := w.Tenant("other")
		link = w.invite(t, other, "joe@anywhere.example")
		shows(t, send(t, b, b.Get(link), "password", newPassword), http.StatusBadRequest, "INVITATION_LOGIN_EXISTS")
		arrived(t, w.signIn(t, b, "joe@anywhere.example", password))
		p = b.Get(link)
		shows(t, p, http.StatusOK, "Join as <bdi>joe@anywhere.example</bdi>")
		shows(t, send(t, b, p, "as", "session"), http.StatusOK, "You are a member now")
		if n := w.members("joe@anywhere.example") + w.Count(`SELECT COUNT(*) FROM memberships WHERE email_key = 'joe@anywhere.example' AND status = 'pending_login'`); n != 2 {
			t.Errorf("%d memberships", n)
		}
	})
}

// A tenant that insists on its identity provider takes no password.
func TestInvitationWithoutPassword(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		link := w.invite(t, w.acme, "joe@acme.example")
		b := browser.New(t)
		offered := b.Get(link)
		shows(t, offered, http.StatusOK, "Choose a password") // beside single sign-on
		w.SetPolicy(w.acme, policy.SSO, `{"enforced":true,"excluded_emails":[]}`)
		id := regexp.MustCompile(`name="invitation" value="([^"]*)"`).FindStringSubmatch(offered.Body)[1]
		fields := url.Values{"invitation": {id}, "as": {"password"}, "password": {password}}
		shows(t, b.Post(w.URL+"/invitations", fields, w.URL), http.StatusForbidden, "INVITATION_NO_PASSWORD")
		p := browser.New(t).Get(link)
		shows(t, p, http.StatusOK, "Sign in and join")
		if strings.Contains(p.Body, "Choose a password") {
			t.Error("a password is offered")
		}
		if n := w.members("joe@acme.example"); n != 0 {
			t.Error("he is a member")
		}
	})
}

package client_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

var ada = idp.Person{ID: "00u1", Email: "ada@acme.example", FirstName: "Ada", LastName: "Byron", DisplayName: "Ada Byron", Groups: []string{"engineering", "everyone"}}

// world is a tenant with an OpenID connection.
type world struct {
	*rig.Rig
	t      testing.TB
	idp    *idp.IdP
	tenant string
	conn   tenants.SSOConnection
}

func newWorld(t testing.TB, d db.DB, alg string) *world {
	t.Helper()
	w := &world{Rig: rig.New(t, d), t: t}
	w.idp = w.IdP(idp.Config{People: []idp.Person{ada}, OIDCAlg: alg})
	w.tenant = w.Tenant("acme", "acme.example")
	w.conn = w.OIDCConnection(w.tenant, w.idp)
	return w
}

func each(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, d db.DB) { f(t, newWorld(t, d, "")) })
}

// once runs on SQLite alone: for cases in which the store has no part.
func once(t *testing.T) *world {
	t.Helper()
	return newWorld(t, dbtest.Open(t, db.SQLite), "")
}

func (w *world) start() string { return w.StartURL("connection", w.conn.ID) }

// callback begins a sign-in in the browser, lets the identity provider answer,
// and gives the address that the browser would go to next.
func (w *world) callback(b *browser.Browser) *url.URL {
	w.t.Helper()
	prefix := w.URL + "/oidc/"
	b.Client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), prefix) && strings.HasSuffix(r.URL.Path, "/callback") {
			return http.ErrUseLastResponse
		}
		return nil
	}
	defer func() { b.Client.CheckRedirect = nil }()
	p := b.LogIn(w.start(), ada.ID)
	u, err := url.Parse(p.Header.Get("Location"))
	if err != nil || !strings.HasSuffix(u.Path, "/callback") {
		w.t.Fatalf("no callback: %s", p)
	}
	return u
}

func arrived(t testing.TB, p browser.Page) rig.Arrived { t.Helper(); return rig.Arrive(t, p) }

// refused asserts an error page with the code, that tells nothing else.
func refused(t testing.TB, p browser.Page, code string) {
	t.Helper()
	rig.Refused(t, p, code, "acme.example", "evil", "eyJ", "alert(", "Byron")
}

func (w *world) logged(outcome, code string) signin.Login {
	w.t.Helper()
	return w.Logged(w.conn, outcome, code)
}

func (w *world) people() [3]int { return w.Written() }

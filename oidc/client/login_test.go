package client_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// The whole way with each algorithm that identity providers use.
func TestLogin(t *testing.T) {
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, d db.DB) {
				w := newWorld(t, d, alg)
				first := arrived(t, browser.New(t).LogIn(w.start(), ada.ID))
				if first.Tenant != w.tenant || first.Connection != w.conn.ID {
					t.Errorf("%+v", first)
				}
				p, err := w.Signin.Check(t.Context(), w.DB, w.Env.ID, w.tenant, first.User, w.conn.ID)
				if err != nil || p.Email != ada.Email || p.FirstName != "Ada" || p.LastName != "Byron" || p.Name != "Ada Byron" {
					t.Errorf("%+v, %v", p, err)
				}
				if got := w.Strings(`SELECT name FROM identity_groups ORDER BY name`); strings.Join(got, " ") != "engineering everyone" {
					t.Errorf("groups %q", got)
				}
				again := arrived(t, browser.New(t).LogIn(w.start(), ada.ID))
				if again.User != first.User || again.Session == first.Session {
					t.Errorf("then %+v", again)
				}
				l := w.logged(signin.OutcomeSuccess, "")
				if l.Email != ada.Email || len(l.Checks) < 10 {
					t.Errorf("%+v", l)
				}
				for _, c := range l.Checks {
					if !c.OK {
						t.Errorf("check %+v", c)
					}
				}
			})
		})
	}
}

// RFC 7636, OpenID Connect Core §3.1.2.1: what the authorization request carries.
func TestAuthorizationRequest(t *testing.T) {
	w := once(t)
	b := browser.New(t)
	see := func(pairs ...string) url.Values {
		t.Helper()
		b.Client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if strings.HasPrefix(r.URL.String(), w.idp.Issuer()) {
				return http.ErrUseLastResponse
			}
			return nil
		}
		defer func() { b.Client.CheckRedirect = nil }()
		p := b.Get(w.StartURL(append([]string{"connection", w.conn.ID}, pairs...)...))
		u, err := url.Parse(p.Header.Get("Location"))
		if err != nil || p.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%s", p)
		}
		return u.Query()
	}
	v := see("login_hint", ada.Email)
	for name, want := range map[string]string{
		"response_type": "code", "client_id": rig.Client.ID, "redirect_uri": w.URL + "/oidc/" + w.conn.ID + "/callback",
		"scope": "openid profile email groups", "code_challenge_method": "S256", "login_hint": ada.Email, "prompt": "", "max_age": "",
	} {
		if v.Get(name) != want {
			t.Errorf("%s = %q, want %q", name, v.Get(name), want)
		}
	}
	again := see()
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if len(v.Get(name)) != 43 || v.Get(name) == again.Get(name) {
			t.Errorf("%s = %q, then %q", name, v.Get(name), again.Get(name))
		}
	}
	if v := see("prompt", "login"); v.Get("prompt") != "login" || v.Get("max_age") != "0" {
		t.Errorf("a fresh login is asked for with %v", v)
	}
	if n := w.Count(`SELECT COUNT(*) FROM sso_requests WHERE key = $1 OR secret LIKE $2`, v.Get("state"), "%"+v.Get("nonce")+"%"); n != 0 {
		t.Error("state or nonce are stored as they are")
	}
}

// Identity rule 4 over HTTP: email_verified=false makes no match.
func TestUnverifiedEmail(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		mine := arrived(t, browser.New(t).LogIn(w.start(), ada.ID))
		second := w.Tenant("second", "acme.example")
		c := w.OIDCConnection(second, w.idp)
		for _, said := range []any{false, "false"} {
			w.idp.SetOIDCKnobs(idp.OIDCKnobs{MutateClaims: func(m map[string]any) { m["email_verified"], m["sub"] = said, fmt.Sprintf("x-%T", said) }})
			if a := arrived(t, browser.New(t).LogIn(w.StartURL("connection", c.ID), ada.ID)); a.User == mine.User {
				t.Errorf("email_verified %v (%T) matched", said, said)
			}
			w.Exec(`DELETE FROM memberships WHERE tenant_id = $1`, second)
			w.Exec(`DELETE FROM users WHERE id <> $1`, mine.User)
		}
		w.idp.SetOIDCKnobs(idp.OIDCKnobs{})
		if a := arrived(t, browser.New(t).LogIn(w.StartURL("connection", c.ID), ada.ID)); a.User != mine.User {
			t.Error("a verified e-mail of the tenant's domain did not match")
		}
	})
}

func TestUnknownConnections(t *testing.T) {
	w := once(t)
	other := w.SAMLConnection(w.tenant, w.idp)
	b := browser.New(t)
	for _, c := range []string{id.New(id.SSO), "sso_x", "%00", other.ID} {
		for _, route := range []string{"/login", "/callback?state=x&code=y"} {
			if p := b.Get(w.URL + "/oidc/" + c + route); p.Status != http.StatusNotFound {
				t.Errorf("GET /oidc/%s%s: %d", c, route, p.Status)
			}
		}
	}
	refused(t, b.Get(w.URL+"/oidc/"+w.conn.ID+"/login"), "SIGNIN_NO_DEFAULT_APPLICATION")
	w.Application(w.URL + "/oauth2/authorize")
	arrived(t, b.LogIn(w.URL+"/oidc/"+w.conn.ID+"/login", ada.ID))
}

// sso 2.3: a test login works at a draft, signs nobody in, and shows what came;
// the entry of any other login keeps the shape of the answer alone (sso 2.2).
func TestTestLogin(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.in(t)
		if said := w.logged(signin.OutcomeSuccess, "").Response; !strings.Contains(said, `"email":"(text)"`) || strings.Contains(said, "ada") || !strings.Contains(said, w.idp.Issuer()) {
			t.Errorf("a login keeps %s", said)
		}
		w.set(t, idp.OIDCKnobs{Nonce: "another"})
		w.out(t, "OIDC_NONCE")
		if said := w.logged(signin.OutcomeFailure, "OIDC_NONCE").Response; !strings.Contains(said, `"email":"(text)"`) || strings.Contains(said, "ada") {
			t.Errorf("a refused login keeps %s", said)
		}
		w.set(t, idp.OIDCKnobs{})
		for _, post := range []bool{false, true} {
			draft := w.OIDCConnection(w.tenant, w.idp, func(n *tenants.NewSSOConnection) { n.Name, n.Status, n.OIDC.FormPost = "Draft", tenants.SSODraft, post })
			before := w.people()
			result := func() signin.TestResult {
				t.Helper()
				link, err := w.Signin.TestStart(t.Context(), w.Vendor, w.DB, w.Env, w.tenant, draft.ID)
				if err != nil {
					t.Fatal(err)
				}
				browser.New(t).LogIn(link.URL, ada.ID)
				out, err := w.Signin.TestResult(t.Context(), w.DB, w.Env.ID, w.tenant, draft.ID, link.FlowID)
				if err != nil {
					t.Fatal(err)
				}
				return out
			}
			if r := result(); r.Status != signin.TestSucceeded || r.Login == nil || !strings.Contains(r.Login.Response, ada.Email) || !strings.Contains(r.Login.Response, "engineering") {
				t.Errorf("%+v %+v", r, r.Login)
			}
			w.idp.SetOIDCKnobs(idp.OIDCKnobs{Nonce: "another"})
			if r := result(); r.Status != signin.TestFailed || r.Login == nil || r.Login.Code != "OIDC_NONCE" || !strings.Contains(r.Login.Response, ada.Email) || strings.Contains(r.Login.Response, "another") {
				t.Errorf("%+v %+v", r, r.Login)
			}
			w.idp.SetOIDCKnobs(idp.OIDCKnobs{})
			if w.people() != before {
				t.Error("a test wrote a person or a session")
			}
			b := browser.New(t)
			if p := b.Get(w.StartURL("connection", draft.ID)); p.Status < 400 {
				t.Errorf("a draft signs people in: %s", p)
			}
		}
	})
}

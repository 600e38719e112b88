package client_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

const (
	directoryA = "8a5e0b52-60a4-4cf1-9b0b-9a2ca46b6a5c"
	directoryB = "1b2c3d4e-0000-4111-8222-933344445555"
	adaOID     = "0f3c7a1e-1111-4222-8333-444455556666"
)

// played is an identity provider at an address of the world.
func (w *world) played(host, path string) *idp.IdP {
	w.t.Helper()
	i, err := idp.New(idp.Config{BaseURL: "https://" + host + path, Clock: w.Clock, People: []idp.Person{ada}, OIDCAlg: "ES256", Clients: []idp.Client{rig.Client}})
	if err != nil {
		w.t.Fatal(err)
	}
	return i
}

// browse is a browser that reaches the played hosts.
func (w *world) browse(t *testing.T) *browser.Browser {
	b := browser.New(t)
	b.Client.Transport = w.Hosts
	return b
}

// entraClaims turn the claims of the test provider into those of Entra ID.
func entraClaims(tid, oid string, more ...any) idp.OIDCKnobs {
	return idp.OIDCKnobs{MutateUserinfo: func(c map[string]any) { delete(c, "groups") }, MutateClaims: func(c map[string]any) {
		delete(c, "email_verified")
		delete(c, "groups")
		c["tid"], c["oid"], c["preferred_username"], c["ver"] = tid, oid, "upn-of-"+oid+"@corp.example", "2.0"
		for n := 0; n+1 < len(more); n += 2 {
			name, _ := more[n].(string)
			if c[name] = more[n+1]; more[n+1] == nil {
				delete(c, name)
			}
		}
	}}
}

// entraWorld has Entra ID with two directories; w.conn and w.idp are of the first.
func entraWorld(t *testing.T, d db.DB) (w *world, foreign *idp.IdP) {
	t.Helper()
	w = &world{Rig: rig.New(t, d), t: t}
	w.tenant = w.Tenant("acme", "acme.example")
	w.idp, foreign = w.played("login.microsoftonline.com", "/"+directoryA+"/v2.0"), w.played("login.microsoftonline.com", "/"+directoryB+"/v2.0")
	w.Hosts.Set("login.microsoftonline.com", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/"+directoryA+"/v2.0/"):
			w.idp.ServeHTTP(rw, r)
		case strings.HasPrefix(r.URL.Path, "/"+directoryB+"/v2.0/"):
			foreign.ServeHTTP(rw, r)
		default:
			t.Errorf("asked for %s", r.URL)
		}
	}))
	w.conn = w.OIDCConnection(w.tenant, w.idp)
	w.idp.SetOIDCKnobs(entraClaims(directoryA, adaOID))
	return w, foreign
}

// sso 5.2, nOAuth: at Entra ID the e-mail is whatever somebody wrote there.
func TestEntra(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		w, foreign := entraWorld(t, d)
		globex := w.Tenant("globex", "globex.example")
		theirs := w.OIDCConnection(globex, foreign, func(n *tenants.NewSSOConnection) { n.AllowUnverifiedDomains = true })
		foreign.SetOIDCKnobs(entraClaims(directoryB, adaOID))
		victim := w.Provision(w.tenant, w.SCIMConnection(w.tenant), directory.Profile{UserName: ada.Email, Email: ada.Email, Active: true})
		login := func(c tenants.SSOConnection) browser.Page {
			t.Helper()
			return w.browse(t).LogIn(w.StartURL("connection", c.ID), ada.ID)
		}
		mine := arrived(t, login(w.conn))
		if mine.User == victim.UserID {
			t.Error("an unverified e-mail led to the person who has it")
		}
		if in := arrived(t, login(theirs)); in.User == mine.User || in.User == victim.UserID {
			t.Error("another directory's person became ours by his e-mail")
		}
		if again := arrived(t, login(w.conn)); again.User != mine.User {
			t.Error("the person is not known again")
		}
		for name, k := range map[string]struct {
			knobs idp.OIDCKnobs
			code  string
		}{
			"tid of another directory": {entraClaims(directoryB, adaOID), "OIDC_ENTRA_TENANT"},
			"no tid":                   {entraClaims(directoryA, adaOID, "tid", nil), "OIDC_ENTRA_OID"},
			"no oid":                   {entraClaims(directoryA, adaOID, "oid", nil), "OIDC_ENTRA_OID"},
			"issuer of another":        {entraClaims(directoryA, adaOID, "iss", foreign.Issuer()), "OIDC_ISSUER"},
			"issuer template":          {entraClaims(directoryA, adaOID, "iss", "https://login.microsoftonline.com/{tenantid}/v2.0"), "OIDC_ISSUER"},
			"issuer of version 1":      {entraClaims(directoryA, adaOID, "iss", "https://sts.windows.net/"+directoryA+"/"), "OIDC_ISSUER"},
		} {
			t.Run(name, func(t *testing.T) {
				w.idp.SetOIDCKnobs(k.knobs)
				refused(t, w.browse(t).LogIn(w.start(), ada.ID), k.code)
			})
		}
		// The provider verified the domain of the address: only then may it match, and only its claim email.
		w.idp.SetOIDCKnobs(entraClaims(directoryA, "0f3c7a1e-2222-4222-8333-444455556666", "sub", "s-2", "groups", []string{}, "xms_edov", false))
		if in := arrived(t, login(w.conn)); in.User == victim.UserID {
			t.Error("xms_edov false matched")
		}
		w.Exec(`DELETE FROM memberships WHERE tenant_id = $1 AND user_id <> $2`, w.tenant, victim.UserID) // who has the same e-mail by now
		w.idp.SetOIDCKnobs(entraClaims(directoryA, "0f3c7a1e-3333-4222-8333-444455556666", "sub", "s-3", "groups", []string{}, "xms_edov", true))
		if in := arrived(t, login(w.conn)); in.User != victim.UserID {
			t.Error("a verified e-mail did not match the person whom the directory made")
		}
	})
}

// sso 2.4: groups that a token leaves out.
func TestEntraOverage(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		const g0, g1 = "00000000-7f0b-4b52-8c5e-6f3f7a1d2e33", "11111111-7f0b-4b52-8c5e-6f3f7a1d2e33"
		const g2, g3 = "22222222-7f0b-4b52-8c5e-6f3f7a1d2e33", "33333333-7f0b-4b52-8c5e-6f3f7a1d2e33"
		w, _ := entraWorld(t, d)
		asked := 0
		graph := func(rw http.ResponseWriter, r *http.Request) {
			asked++
			fmt.Fprintf(rw, `{"value":[%q,%q,%q]}`, g1, g2, g3)
		}
		var answer http.HandlerFunc = graph
		w.Hosts.Set("graph.microsoft.com", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v1.0/users/"+adaOID+"/getMemberObjects" || r.Header.Get("Authorization") != "Bearer app-token" {
				t.Errorf("%s %s", r.Method, r.URL)
			}
			answer(rw, r)
		}))
		w.Hosts.Set("graph.windows.net", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("the token's address was asked: %s", r.URL) }))
		w.Hosts.Set("login.microsoftonline.com", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/"+directoryA+"/oauth2/v2.0/token" {
				if r.FormValue("client_id") != rig.Client.ID || r.FormValue("client_secret") != rig.Client.Secret {
					t.Errorf("%v", r.Form)
				}
				fmt.Fprint(rw, `{"access_token":"app-token"}`)
				return
			}
			w.idp.ServeHTTP(rw, r)
		}))
		login := func(knobs idp.OIDCKnobs) signin.Login {
			t.Helper()
			w.idp.SetOIDCKnobs(knobs)
			arrived(t, w.browse(t).LogIn(w.start(), ada.ID))
			return w.logged(signin.OutcomeSuccess, "")
		}
		groups := func(want string) {
			t.Helper()
			if got := strings.Join(w.Strings(`SELECT name FROM identity_groups ORDER BY name`), " "); got != want {
				t.Errorf("groups %q, want %q", got, want)
			}
		}
		check := func(l signin.Login, part string) {
			t.Helper()
			for _, c := range l.Checks {
				if c.Name == "groups" {
					if !c.OK || !strings.Contains(c.Actual, part) || strings.HasPrefix(c.Actual, "warning: ") != strings.Contains(part, "before") {
						t.Errorf("%+v, want %q", c, part)
					}
					return
				}
			}
			t.Error("no check tells of the groups")
		}
		omitted := entraClaims(directoryA, adaOID, "_claim_names", map[string]any{"groups": "src1"},
			"_claim_sources", map[string]any{"src1": map[string]any{"endpoint": "https://graph.windows.net/" + directoryA + "/users/" + adaOID + "/getMemberObjects"}})
		login(entraClaims(directoryA, adaOID, "groups", []string{g0}))
		groups(g0)
		check(login(omitted), "3 from Microsoft Graph")
		groups(g1 + " " + g2 + " " + g3)
		check(login(entraClaims(directoryA, adaOID, "hasgroups", true)), "3 from Microsoft Graph")
		for name, h := range map[string]http.HandlerFunc{
			"refused": func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusForbidden) },
			"no JSON": func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "<html>") },
			"redirect": func(rw http.ResponseWriter, r *http.Request) {
				http.Redirect(rw, r, "https://graph.windows.net/", http.StatusFound)
			},
		} {
			t.Run(name, func(t *testing.T) {
				answer = h
				defer func() { answer = graph }()
				check(login(omitted), "those known before stay")
				groups(g1 + " " + g2 + " " + g3)
			})
		}
		login(entraClaims(directoryA, adaOID)) // nothing said of groups
		groups(g1 + " " + g2 + " " + g3)
		login(entraClaims(directoryA, adaOID, "groups", []string{}))
		groups("")

		// An application without a secret cannot ask.
		w.idp.AddClient(idp.Client{ID: "public"})
		settings := *w.conn.OIDC
		settings.ClientID, settings.AuthMethod = "public", tenants.AuthNone
		none, secret := "", rig.Client.Secret
		w.SetConnection(w.conn, tenants.SSOPatch{OIDC: &settings, ClientSecret: &none})
		check(login(omitted), "those known before stay")
		w.SetConnection(w.conn, tenants.SSOPatch{OIDC: w.conn.OIDC, ClientSecret: &secret})

		// Ids would take away the roles that hang on the names that the token had.
		login(entraClaims(directoryA, adaOID, "groups", []string{"engineering", g0}))
		unasked := asked
		check(login(omitted), "those known before stay")
		groups(g0 + " engineering")
		if asked != unasked {
			t.Error("Graph was asked")
		}
		login(entraClaims(directoryA, adaOID, "groups", []string{g0}))

		// Where a directory keeps the memberships, nobody else is asked.
		before := asked
		scim := w.SCIMConnection(w.tenant)
		check(login(omitted), "SCIM")
		if asked != before {
			t.Error("Graph was asked")
		}
		chosen := []string{}
		w.SetConnection(w.conn, tenants.SSOPatch{SCIMConnectionIDs: &chosen})
		check(login(omitted), "Microsoft Graph")
		chosen = []string{scim}
		w.SetConnection(w.conn, tenants.SSOPatch{SCIMConnectionIDs: &chosen})
		check(login(omitted), "SCIM")
	})
}

// Google: only people of a Workspace organization, by the claim hd, never by the
// domain of an e-mail.
func TestGoogle(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		w := &world{Rig: rig.New(t, d), t: t}
		w.tenant = w.Tenant("acme", "acme.example")
		w.idp = w.played("accounts.google.com", "")
		w.Hosts.Set("accounts.google.com", w.idp)
		w.conn = w.OIDCConnection(w.tenant, w.idp)
		in := func(hd any) {
			t.Helper()
			w.idp.SetOIDCKnobs(claim("hd", hd))
			arrived(t, w.browse(t).LogIn(w.start(), ada.ID))
		}
		out := func(hd any) {
			t.Helper()
			w.idp.SetOIDCKnobs(claim("hd", hd))
			refused(t, w.browse(t).LogIn(w.start(), ada.ID), "OIDC_HOSTED_DOMAIN")
			w.logged(signin.OutcomeFailure, "OIDC_HOSTED_DOMAIN")
		}
		out(nil)
		out("")
		out(true)
		in("any.example")
		settings := *w.conn.OIDC
		settings.HostedDomains = []string{"acme.example", "sub.acme.example"}
		w.SetConnection(w.conn, tenants.SSOPatch{OIDC: &settings})
		in("acme.example")
		in("Sub.ACME.example")
		out("evil.example")
		out("acme.example.evil.example")
		out(nil)
		// The issuer's short form is the same person, and nobody else's is taken.
		before := w.people()
		for iss, code := range map[string]string{"accounts.google.com": "", "http://accounts.google.com": "OIDC_ISSUER", "google.com": "OIDC_ISSUER"} {
			w.idp.SetOIDCKnobs(idp.OIDCKnobs{MutateClaims: func(c map[string]any) { c["iss"], c["hd"] = iss, "acme.example" }})
			p := w.browse(t).LogIn(w.start(), ada.ID)
			if code == "" {
				arrived(t, p)
			} else {
				refused(t, p, code)
			}
		}
		if after := w.people(); after[0] != before[0] || after[1] != before[1] {
			t.Errorf("people and identities %v, then %v", before, after)
		}
		// What Google signs for anybody revokes nothing.
		token, err := w.idp.SignJWT("", w.revocationClaims(w.conn))
		if err != nil {
			t.Fatal(err)
		}
		w.problem(t, w.revoke(w.conn, token, byEmail(ada.Email)), http.StatusForbidden, "GTR_NOT_ACCEPTED")
	})
}

// Okta's people may set their own e-mail: an address that the provider says is
// not verified leads to nobody, by no road.
func TestSelfSetEmail(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		scim := w.SCIMConnection(w.tenant)
		victim := w.Provision(w.tenant, scim, directory.Profile{UserName: "vic@acme.example", Email: "vic@acme.example", ExternalID: "00uVIC", Active: true})
		for said, match := range map[any]bool{false: false, "false": false, "0": false, true: true} {
			w.idp.SetOIDCKnobs(idp.OIDCKnobs{MutateClaims: func(c map[string]any) {
				c["sub"], c["email"], c["email_verified"] = fmt.Sprintf("x-%v-%T", said, said), "vic@acme.example", said
				delete(c, "preferred_username")
			}})
			p := browser.New(t).LogIn(w.start(), ada.ID)
			if in := arrived(t, p); (in.User == victim.UserID) != match {
				t.Errorf("email_verified %v (%T): matched %v", said, said, !match)
			}
			w.Exec(`DELETE FROM identities WHERE tenant_id = $1`, w.tenant)
			w.Exec(`DELETE FROM memberships WHERE tenant_id = $1 AND user_id <> $2`, w.tenant, victim.UserID)
		}
	})
}

// The e-mail of a known person changes at his provider: he stays who he is, and
// his address follows inside the tenant's own domains only.
func TestEmailChange(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first := w.in(t)
		email := func() string {
			return strings.Join(w.Strings(`SELECT email FROM memberships WHERE tenant_id = $1`, w.tenant), " ")
		}
		for _, k := range []struct {
			email    string
			verified any
			want     string
		}{
			{"ada.byron@acme.example", true, "ada.byron@acme.example"},
			{"ada@elsewhere.example", true, "ada.byron@acme.example"},
			{"ceo@acme.example", false, "ada.byron@acme.example"},
			{"ada@acme.example", nil, "ada@acme.example"},
		} {
			w.idp.SetOIDCKnobs(idp.OIDCKnobs{MutateClaims: func(c map[string]any) {
				if c["email"], c["email_verified"] = k.email, k.verified; k.verified == nil {
					delete(c, "email_verified")
				}
			}})
			if again := w.in(t); again.User != first.User || email() != k.want {
				t.Errorf("%s (%v): user %s, e-mail %s, want %s", k.email, k.verified, again.User, email(), k.want)
			}
		}
	})
}

// IPSIE, session_expiry: our session ends with the provider's, and a session that
// has ended there begins none here.
func TestSessionExpiry(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		end := w.Clock.Now().Add(time.Hour)
		w.idp.SetOIDCKnobs(claim("session_expiry", end.Unix()))
		b := browser.New(t)
		arrived(t, b.LogIn(w.start(), ada.ID))
		if n := w.Count(`SELECT COUNT(*) FROM session_tenants WHERE not_after = $1`, db.At(end)); n != 1 {
			t.Errorf("%d sessions end with the provider's", n)
		}
		w.idp.SetOIDCKnobs(claim("session_expiry", w.Clock.Now().Add(-time.Second).Unix()))
		refused(t, browser.New(t).LogIn(w.start(), ada.ID), "POLICY_SESSION_ENDED")
		w.idp.SetOIDCKnobs(claim("session_expiry", "soon"))
		refused(t, browser.New(t).LogIn(w.start(), ada.ID), "OIDC_TOKEN_FORM")
	})
}

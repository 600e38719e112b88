package client_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
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

const privatePeople = "9188040d-6c67-4c5b-b112-36a304b66dad" // Microsoft's directory of private accounts

// microsoft plays the Microsoft identity platform under one of its issuers for many.
func microsoft(t *testing.T, d db.DB, directory string) *world {
	t.Helper()
	w := &world{Rig: rig.New(t, d), t: t}
	path := "/" + directory + "/v2.0"
	w.idp = w.played("login.microsoftonline.com", path)
	w.Hosts.Set("login.microsoftonline.com", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, path+"/") {
			t.Errorf("asked for %s", r.URL)
		}
		w.idp.ServeHTTP(rw, r)
	}))
	return w
}

// of has the provider speak as Microsoft does for a person of a directory.
func (w *world) of(named, tid, oid string, more ...any) {
	k := entraClaims(tid, oid, append([]any{"iss", "https://login.microsoftonline.com/" + tid + "/v2.0"}, more...)...)
	k.MutateDiscovery = func(doc map[string]any) { doc["issuer"] = "https://login.microsoftonline.com/" + named + "/v2.0" }
	w.idp.SetOIDCKnobs(k)
}

// connects begins a sign-in by the button and answers as ada.
func (w *world) connects(t *testing.T, c tenants.SocialConnection) browser.Page {
	t.Helper()
	b := w.browse(t)
	p := b.Get(w.StartURL())
	m := regexp.MustCompile(`href="(/oidc/` + c.ID + `/login\?flow=[^"]+)"`).FindStringSubmatch(p.Body)
	if m == nil {
		t.Fatalf("no button: %s", p)
	}
	return b.Continue(b.Get(w.URL+m[1]), ada.ID)
}

// waiting counts the flows that keep an identity which nobody has.
func (w *world) waiting() int { return w.Count(`SELECT COUNT(*) FROM flows WHERE social <> ''`) }

// Microsoft's issuers for many directories: the token's issuer is its own directory's,
// and its people are told apart by it; the issuer says which directories may come.
func TestSocialMicrosoft(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		for issuer, k := range map[string]struct {
			named string
			codes map[string]string // by directory; empty: taken
		}{
			"common":        {"{tenantid}", map[string]string{directoryA: "", directoryB: "", privatePeople: ""}},
			"organizations": {"{tenantid}", map[string]string{directoryA: "", directoryB: "", privatePeople: "OIDC_ENTRA_TENANT"}},
			"consumers":     {privatePeople, map[string]string{directoryA: "OIDC_ENTRA_TENANT", privatePeople: ""}},
		} {
			t.Run(issuer, func(t *testing.T) {
				w := microsoft(t, d, issuer)
				c := w.Social(w.idp, func(n *tenants.NewSocial) { n.Kind, n.Name = tenants.SocialMicrosoft, "" })
				defer w.Exec(`DELETE FROM social_connections`) // the store is the next one's too
				for directory, code := range k.codes {
					w.of(k.named, directory, adaOID)
					p := w.connects(t, c)
					if code != "" {
						refused(t, p, code)
					} else if p.Status != http.StatusOK || !strings.Contains(p.Body, "Connect this account?") || !strings.Contains(p.Body, "Microsoft") {
						t.Errorf("%s: %s", directory, p)
					}
				}
			})
		}
	})
}

// What does not hold together of a Microsoft token.
func TestSocialMicrosoftAttacks(t *testing.T) {
	w := microsoft(t, dbtest.Open(t, db.SQLite), "common")
	c := w.Social(w.idp, func(n *tenants.NewSocial) { n.Kind, n.Name = tenants.SocialMicrosoft, "" })
	template := "https://login.microsoftonline.com/{tenantid}/v2.0"
	for name, k := range map[string]struct {
		claims []any
		code   string
	}{
		"issuer of another directory": {[]any{"iss", "https://login.microsoftonline.com/" + directoryB + "/v2.0"}, "OIDC_ISSUER"},
		"issuer is the template":      {[]any{"iss", template}, "OIDC_ISSUER"},
		"issuer of version 1":         {[]any{"iss", "https://sts.windows.net/" + directoryA + "/"}, "OIDC_ISSUER"},
		"issuer of another host":      {[]any{"iss", "https://evil.example/" + directoryA + "/v2.0"}, "OIDC_ISSUER"},
		"no tid":                      {[]any{"tid", nil}, "OIDC_ENTRA_TENANT"},
		"tid is a name":               {[]any{"tid", "acme.onmicrosoft.com", "iss", "https://login.microsoftonline.com/acme.onmicrosoft.com/v2.0"}, "OIDC_ENTRA_TENANT"},
		"tid is a path":               {[]any{"tid", directoryA + "/../" + directoryB, "iss", "https://login.microsoftonline.com/" + directoryA + "/../" + directoryB + "/v2.0"}, "OIDC_ENTRA_TENANT"},
		"no oid":                      {[]any{"oid", nil}, "OIDC_ENTRA_OID"},
	} {
		t.Run(name, func(t *testing.T) {
			w.of("{tenantid}", directoryA, adaOID, k.claims...)
			refused(t, w.connects(t, c), k.code)
		})
	}
	t.Run("a discovery of one directory", func(t *testing.T) {
		w := microsoft(t, dbtest.Open(t, db.SQLite), "organizations")
		c := w.Social(w.idp, func(n *tenants.NewSocial) { n.Kind, n.Name = tenants.SocialMicrosoft, "" })
		w.of(directoryA, directoryA, adaOID)
		refused(t, w.connects(t, c), "OIDC_DISCOVERY_ISSUER")
	})
	t.Run("a tenant's connection still takes one directory alone", func(t *testing.T) {
		w.of("{tenantid}", directoryA, adaOID)
		w.connects(t, c) // its discovery is known by now
		conn := w.OIDCConnection(w.Tenant("acme"), w.idp, func(n *tenants.NewSSOConnection) {
			n.OIDC.Issuer = "https://login.microsoftonline.com/" + directoryA + "/v2.0"
		})
		w.Exec(`UPDATE sso_connections SET settings = REPLACE(settings, '`+directoryA+`', 'common') WHERE id = $1`, conn.ID)
		refused(t, w.browse(t).LogIn(w.StartURL("connection", conn.ID), ada.ID), "OIDC_ENTRA_ISSUER")
	})
}

// Microsoft says of each key whom it signs for: one of another directory's signs
// nothing of this one's.
func TestSocialMicrosoftKeys(t *testing.T) {
	for said, code := range map[string]string{
		"https://login.microsoftonline.com/{tenantid}/v2.0":            "",
		"https://login.microsoftonline.com/" + directoryA + "/v2.0":    "",
		"https://login.microsoftonline.com/" + directoryB + "/v2.0":    "OIDC_KEY_ISSUER",
		"https://login.microsoftonline.com/" + privatePeople + "/v2.0": "OIDC_KEY_ISSUER",
	} {
		w := microsoft(t, dbtest.Open(t, db.SQLite), "common")
		w.Hosts.Set("login.microsoftonline.com", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			rec := httptest.NewRecorder()
			w.idp.ServeHTTP(rec, r)
			maps.Copy(rw.Header(), rec.Header())
			body := strings.Replace(rec.Body.String(), `"keys":[{`, `"keys":[{"issuer":"`+said+`",`, 1)
			rw.Header().Del("Content-Length")
			rw.WriteHeader(rec.Code)
			_, _ = rw.Write([]byte(body)) // into a recorder
		}))
		c := w.Social(w.idp, func(n *tenants.NewSocial) { n.Kind, n.Name = tenants.SocialMicrosoft, "" })
		w.of("{tenantid}", directoryA, adaOID)
		if p := w.connects(t, c); code != "" {
			refused(t, p, code)
		} else if !strings.Contains(p.Body, "Connect this account?") {
			t.Errorf("%s: %s", said, p)
		}
	}
}

// The same person of two directories, and two persons of one, are different accounts;
// an address is none (nOAuth).
func TestSocialMicrosoftPeople(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		w := microsoft(t, d, "common")
		c := w.Social(w.idp, func(n *tenants.NewSocial) { n.Kind, n.Name = tenants.SocialMicrosoft, "" })
		key := func(parts ...string) string { return signin.Identity{SubjectParts: parts}.SubjectKey() }
		issuer := func(tid string) string { return "https://login.microsoftonline.com/" + tid + "/v2.0" }
		w.Tenant("acme")
		w.Tx(func(q db.Queryer) error {
			return q.Batch(t.Context(), []db.Stmt{
				{SQL: `INSERT INTO users (environment_id, id, email, email_key, email_verified, created_at, updated_at) VALUES ($1, 'usr_a', $2, $2, TRUE, 0, 0)`, Args: []any{w.Env.ID, ada.Email}},
				{SQL: `INSERT INTO social_identities (environment_id, id, connection_id, subject_key, user_id, subject, created_at) VALUES ($1, 'idn_a', $2, $3, 'usr_a', 'x', 0)`, Args: []any{w.Env.ID, c.ID, key(issuer(directoryA), ada.ID, directoryA, adaOID)}},
			})
		})
		for name, k := range map[string]struct {
			tid, oid string
			known    bool
		}{
			"ada":                        {directoryA, adaOID, true},
			"her oid, another directory": {directoryB, adaOID, false},
			"her directory, another oid": {directoryA, "0f3c7a1e-9999-4222-8333-444455556666", false},
		} {
			w.of("{tenantid}", k.tid, k.oid, "email", ada.Email, "xms_edov", true, "email_verified", true)
			p := w.connects(t, c)
			// ada belongs to no organization: known, and refused for that.
			if got := strings.Contains(p.Body, "POLICY_NOT_A_MEMBER"); got != k.known || !got && !strings.Contains(p.Body, "Connect this account?") {
				t.Errorf("%s: %s", name, p)
			}
		}
	})
}

// Google's hd says nothing of a person here: private accounts come too, and its
// short issuer is the same issuer.
func TestSocialGoogle(t *testing.T) {
	w := &world{Rig: rig.New(t, dbtest.Open(t, db.SQLite)), t: t}
	w.idp = w.played("accounts.google.com", "")
	var asked url.Values
	w.Hosts.Set("accounts.google.com", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.RawQuery, "code_challenge") {
			asked = r.URL.Query()
		}
		w.idp.ServeHTTP(rw, r)
	}))
	c := w.Social(w.idp, func(n *tenants.NewSocial) { n.Kind, n.Name, n.Issuer = tenants.SocialGoogle, "", "" })
	for name, k := range map[string]func(map[string]any){
		"private":      func(map[string]any) {},
		"workspace":    func(claims map[string]any) { claims["hd"] = "acme.example" },
		"short issuer": func(claims map[string]any) { claims["iss"] = "accounts.google.com" },
	} {
		w.idp.SetOIDCKnobs(idp.OIDCKnobs{MutateClaims: k})
		if p := w.connects(t, c); p.Status != http.StatusOK || !strings.Contains(p.Body, "Connect this account?") {
			t.Errorf("%s: %s", name, p)
		}
	}
	if n := w.waiting(); n != 3 {
		t.Errorf("%d flows hold an identity", n)
	}
	if asked.Get("prompt") != "select_account" || asked.Get("code_challenge_method") != "S256" || asked.Get("nonce") == "" || asked.Get("response_mode") != "" || asked.Has("hd") {
		t.Errorf("asked with %v", asked)
	}
	w.idp.SetOIDCKnobs(idp.OIDCKnobs{Issuer: "https://accounts.google.com.evil.example"})
	refused(t, w.connects(t, c), "OIDC_ISSUER")
	// A fresh sign-in is what Google gives nobody: no button for who has to be asked again.
	if p := w.browse(t).Get(w.StartURL("prompt", "login")); strings.Contains(p.Body, c.ID) {
		t.Error("a button that leads to a refusal")
	}
}

// A provider that has to ask the person again must say that it did.
func TestSocialFresh(t *testing.T) {
	w := &world{Rig: rig.New(t, dbtest.Open(t, db.SQLite)), t: t}
	w.idp = w.IdP(idp.Config{People: []idp.Person{ada}})
	c := w.Social(w.idp)
	login := func() browser.Page {
		b := browser.New(t)
		p := b.Get(w.StartURL("prompt", "login"))
		m := regexp.MustCompile(`href="(/oidc/` + c.ID + `/login\?flow=[^"]+)"`).FindStringSubmatch(p.Body)
		if m == nil {
			t.Fatalf("no button: %s", p)
		}
		return b.Continue(b.Get(w.URL+m[1]), ada.ID)
	}
	if p := login(); !strings.Contains(p.Body, "Connect this account?") {
		t.Errorf("%s", p)
	}
	w.idp.SetOIDCKnobs(idp.OIDCKnobs{MutateClaims: func(c map[string]any) { delete(c, "auth_time") }})
	refused(t, login(), "OIDC_AUTH_TIME")
	w.idp.SetOIDCKnobs(idp.OIDCKnobs{MutateClaims: func(c map[string]any) { c["auth_time"] = rig.Start.Unix() - 3600 }})
	refused(t, login(), "OIDC_AUTH_TIME")
}

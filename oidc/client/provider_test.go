package client_test

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// A rotated key is found at the first token that it signed; made-up key ids cost
// the provider one request per minute at most.
func TestKeyRefetch(t *testing.T) {
	w := once(t)
	fetches := w.count("/oidc/jwks")
	in := func() { t.Helper(); arrived(t, browser.New(t).LogIn(w.start(), ada.ID)) }
	unknown := func() {
		t.Helper()
		w.idp.SetOIDCKnobs(idp.OIDCKnobs{KID: "made-up"})
		defer w.idp.SetOIDCKnobs(idp.OIDCKnobs{})
		refused(t, browser.New(t).LogIn(w.start(), ada.ID), "OIDC_KEY_UNKNOWN")
	}
	expect := func(n int32, when string) {
		t.Helper()
		if got := fetches.Load(); got != n {
			t.Errorf("%s: %d fetches, want %d", when, got, n)
		}
	}
	in()
	in()
	expect(1, "two logins")
	for range 5 {
		unknown()
	}
	expect(1, "made-up ids within the minute")
	w.Clock.Advance(time.Minute)
	for range 5 {
		unknown()
	}
	expect(2, "made-up ids after a minute")
	if err := w.idp.RotateOIDCKey(false); err != nil {
		t.Fatal(err)
	}
	w.Clock.Advance(time.Minute)
	in()
	expect(3, "after a rotation")
	w.Clock.Advance(59 * time.Minute)
	in()
	w.Clock.Advance(2 * time.Minute)
	in()
	expect(4, "keys older than an hour")
}

// An outage of the keys' address does not last longer than itself.
func TestKeysOutage(t *testing.T) {
	w := once(t)
	w.idp.SetOIDCKnobs(idp.OIDCKnobs{Endpoints: map[string]idp.Fault{"jwks": {Status: 503}}})
	refused(t, browser.New(t).LogIn(w.start(), ada.ID), "OIDC_DISCOVERY")
	w.idp.SetOIDCKnobs(idp.OIDCKnobs{})
	w.Clock.Advance(5 * time.Second)
	arrived(t, browser.New(t).LogIn(w.start(), ada.ID))
	w.idp.SetOIDCKnobs(idp.OIDCKnobs{Endpoints: map[string]idp.Fault{"jwks": {Status: 503}, "discovery": {Status: 503}}})
	w.Clock.Advance(3 * time.Hour)
	arrived(t, browser.New(t).LogIn(w.start(), ada.ID)) // what is known stays in use
	w.Clock.Advance(22 * time.Hour)
	refused(t, browser.New(t).LogIn(w.start(), ada.ID), "OIDC_DISCOVERY") // but not for ever
}

// count puts a counter before the identity provider, for requests of a path. The
// connection is moved to the address in front.
func (w *world) count(path string) *atomic.Int32 {
	w.t.Helper()
	n := new(atomic.Int32)
	var counted *idp.IdP
	rig.Listen(w.t, func(base string) http.Handler {
		var err error
		counted, err = idp.New(idp.Config{BaseURL: base, Clock: w.Clock, People: []idp.Person{ada}, OIDCAlg: "ES256", Clients: []idp.Client{rig.Client}})
		if err != nil {
			w.t.Fatal(err)
		}
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == path {
				n.Add(1)
			}
			counted.ServeHTTP(rw, r)
		})
	})
	w.idp = counted
	w.conn = w.OIDCConnection(w.tenant, counted)
	return n
}

// sso 5.2: discovery that lies or misbehaves.
func TestDiscovery(t *testing.T) {
	w := once(t)
	evil := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer evil.Close()
	set := func(name string, v any) idp.OIDCKnobs {
		return idp.OIDCKnobs{MutateDiscovery: func(d map[string]any) { d[name] = v }}
	}
	fault := func(f idp.Fault) idp.OIDCKnobs {
		return idp.OIDCKnobs{Endpoints: map[string]idp.Fault{"discovery": f}}
	}
	for _, k := range []struct {
		name, code string
		knobs      idp.OIDCKnobs
	}{
		{"another issuer", "OIDC_DISCOVERY_ISSUER", idp.OIDCKnobs{DiscoveryIssuer: "https://evil.example"}},
		{"issuer with a slash", "OIDC_DISCOVERY_ISSUER", idp.OIDCKnobs{DiscoveryIssuer: w.idp.Issuer() + "/"}},
		{"issuer template", "OIDC_DISCOVERY_ISSUER", idp.OIDCKnobs{DiscoveryIssuer: "https://login.microsoftonline.com/{tenantid}/v2.0"}},
		{"redirect", "OIDC_DISCOVERY", fault(idp.Fault{RedirectTo: evil.URL})},
		{"50 MB", "OIDC_DISCOVERY", fault(idp.Fault{Huge: 50 << 20})},
		{"slow", "OIDC_DISCOVERY", fault(idp.Fault{Delay: time.Minute})},
		{"500", "OIDC_DISCOVERY", fault(idp.Fault{Status: 500, Body: "<script>alert(1)</script>"})},
		{"HTML", "OIDC_DISCOVERY", fault(idp.Fault{Status: 200, Body: "<!doctype html><p>evil"})},
		{"no authorization endpoint", "OIDC_DISCOVERY_ENDPOINT", set("authorization_endpoint", "")},
		{"javascript", "OIDC_DISCOVERY_ENDPOINT", set("authorization_endpoint", "javascript:alert(1)")},
		{"relative", "OIDC_DISCOVERY_ENDPOINT", set("authorization_endpoint", "/authorize")},
		{"another scheme", "OIDC_DISCOVERY_ENDPOINT", set("authorization_endpoint", "ftp://evil.example/")},
		{"no token endpoint", "OIDC_DISCOVERY_ENDPOINT", set("token_endpoint", "")},
		{"token endpoint is a file", "OIDC_DISCOVERY_ENDPOINT", set("token_endpoint", "file:///etc/passwd")},
		{"token endpoint is gopher", "OIDC_DISCOVERY_ENDPOINT", set("token_endpoint", "gopher://evil.example:70/_x")},
		{"userinfo endpoint with credentials", "OIDC_DISCOVERY_ENDPOINT", set("userinfo_endpoint", "https://a:b@evil.example/")},
		{"no jwks_uri", "OIDC_DISCOVERY_ENDPOINT", set("jwks_uri", "")},
		{"relative jwks_uri", "OIDC_DISCOVERY_ENDPOINT", set("jwks_uri", "/jwks")},
		{"issuer is a list", "OIDC_DISCOVERY", set("issuer", []string{w.idp.Issuer()})},
	} {
		t.Run(k.name, func(t *testing.T) {
			w.t = t
			w.Clock.Advance(26 * time.Hour) // nothing is remembered as long
			w.idp.SetOIDCKnobs(k.knobs)
			defer w.idp.SetOIDCKnobs(idp.OIDCKnobs{})
			refused(t, browser.New(t).Get(w.start()), k.code)
			w.logged(signin.OutcomeFailure, k.code)
		})
	}
	// jwks_uri and token_endpoint where nothing may be fetched, without the
	// switch for private networks, are the guarded client's; here: a dead one.
	t.Run("jwks_uri is dead", func(t *testing.T) {
		w.t = t
		w.Clock.Advance(26 * time.Hour)
		w.idp.SetOIDCKnobs(set("jwks_uri", "http://127.0.0.1:1/jwks"))
		defer w.idp.SetOIDCKnobs(idp.OIDCKnobs{})
		refused(t, browser.New(t).LogIn(w.start(), ada.ID), "OIDC_DISCOVERY")
	})
}

// How the client proves itself at the token endpoint (RFC 6749 §2.3.1).
func TestClientAuthentication(t *testing.T) {
	w := once(t)
	var seen struct{ authorization, body string }
	i := w.idp
	front := rig.Listen(t, func(base string) http.Handler {
		n, err := idp.New(idp.Config{BaseURL: base, Clock: w.Clock, People: []idp.Person{ada}, OIDCAlg: "ES256", Clients: []idp.Client{rig.Client, {ID: "public"}}})
		if err != nil {
			t.Fatal(err)
		}
		i = n
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/oidc/token" {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				seen.authorization, seen.body = r.Header.Get("Authorization"), string(body)
				r.Body = io.NopCloser(strings.NewReader(string(body)))
			}
			n.ServeHTTP(rw, r)
		})
	})
	_ = front
	for _, k := range []struct {
		name, method, id, secret string
		supported                []string
		inHeader                 bool
	}{
		{"default", "", rig.Client.ID, rig.Client.Secret, []string{"client_secret_basic", "client_secret_post"}, true},
		{"basic", tenants.AuthBasic, rig.Client.ID, rig.Client.Secret, []string{"client_secret_post"}, true},
		{"post", tenants.AuthPost, rig.Client.ID, rig.Client.Secret, []string{"client_secret_basic"}, false},
		{"as discovery says", "", rig.Client.ID, rig.Client.Secret, []string{"client_secret_post"}, false},
		{"discovery is silent", "", rig.Client.ID, rig.Client.Secret, nil, true},
		{"public", tenants.AuthNone, "public", "", []string{"none"}, false},
	} {
		t.Run(k.name, func(t *testing.T) {
			w.t = t
			w.Clock.Advance(2 * time.Hour) // discovery is read again
			i.SetOIDCKnobs(idp.OIDCKnobs{MutateDiscovery: func(d map[string]any) { d["token_endpoint_auth_methods_supported"] = k.supported }})
			c := w.OIDCConnection(w.tenant, i, func(n *tenants.NewSSOConnection) {
				n.OIDC.AuthMethod, n.OIDC.ClientID, n.ClientSecret, n.AllowUnverifiedDomains = k.method, k.id, k.secret, true
			})
			p := browser.New(t).LogIn(w.StartURL("connection", c.ID), ada.ID)
			if k.name == "default" {
				arrived(t, p)
			}
			if (seen.authorization != "") != k.inHeader || strings.Contains(seen.body, "client_secret") == (k.inHeader || k.secret == "") {
				t.Errorf("Authorization %q, body %q", seen.authorization, seen.body)
			}
			if want := "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(k.id)+":"+url.QueryEscape(k.secret))); k.inHeader && seen.authorization != want {
				t.Errorf("Authorization %q, want %q", seen.authorization, want)
			}
			if !strings.Contains(seen.body, "code_verifier=") {
				t.Error("no PKCE verifier")
			}
		})
	}
}

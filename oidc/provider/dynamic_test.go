package provider

import (
	"crypto/ecdsa"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/tenants"
)

func TestOIDCCDynamic(t *testing.T) {
	each(t, func(w *world) {
		m := w.plan("oidcc-dynamic-certification-test-plan")
		w.registered(m)
		w.rotations(m)
		m.end()
	})
}

// registered are the modules about what the vendor registers.
func (w *world) registered(m *modules) {
	const query = callback + "?x=1"
	page := func(t *testing.T, redirect string) {
		t.Helper()
		if r := w.browser().get(w.ask(map[string]string{"redirect_uri": redirect})); r.StatusCode != http.StatusBadRequest || r.Header.Get("Location") != "" {
			t.Errorf("%d %s", r.StatusCode, r.body)
		}
	}
	m.run("RedirectUriMissing", func(t *testing.T) { page(t, "") })
	m.run("RedirectUriQueryMismatch", func(t *testing.T) { page(t, callback+"?x=2") })
	m.run("RedirectUriQueryAdded", func(t *testing.T) { page(t, query+"&y=2") })
	m.run("RedirectUriQueryOK", func(t *testing.T) {
		b := w.browser()
		r := b.get(b.login(b.get(w.ask(map[string]string{"redirect_uri": query})), w.identity("ada@acme.com")))
		if to := r.Header.Get("Location"); !strings.HasPrefix(to, query+"&code=") {
			t.Errorf("%d %s", r.StatusCode, to)
		}
	})
	m.run("RedirectUriRegFrag", func(t *testing.T) {
		err := w.db.Tx(w.ctx(), func(q db.Queryer) error {
			_, _, err := w.tenants.CreateApplication(w.ctx(), w.admin, q, tenants.NewApplication{Name: "x", Type: tenants.Web, ApplicationSettings: tenants.ApplicationSettings{
				RedirectURIs: []string{callback + "#x"}, IDTokenAlg: keys.ES256,
			}})
			return err
		})
		if err == nil {
			t.Error("an address with a fragment was registered")
		}
	})
	m.run("IdTokenRS256", func(t *testing.T) {
		before, secret := w.app, w.secret
		defer func() { w.app, w.secret = before, secret }()
		w.app, w.secret = w.application(tenants.NewApplication{Name: "rs256", Type: tenants.Web, ApplicationSettings: tenants.ApplicationSettings{
			RedirectURIs: []string{callback}, RequirePKCE: true, IDTokenAlg: keys.RS256,
		}})
		if head := w.part(w.browser().signedIn("ada@acme.com").ID, 0); head["alg"] != "RS256" || head["kid"] == "" {
			t.Errorf("%v", head)
		}
	})
	m.run("UserInfoRS256", func(t *testing.T) { // not to be had, nor announced
		b := w.browser()
		if r := b.userinfo(b.signedIn("ada@acme.com").Access); !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
			t.Errorf("userinfo is %s", r.Header.Get("Content-Type"))
		}
		if r := b.get("/.well-known/openid-configuration"); strings.Contains(r.body, "userinfo_signing_alg") {
			t.Error("signed userinfo is announced")
		}
	})
	m.run("RequestUriSignedRS256", func(t *testing.T) { // likewise
		b := w.browser()
		if _, q := b.location(b.get(w.ask(map[string]string{"request_uri": "https://app.example.com/request.jwt"}))); q.Get("error") != oidc.RequestURINotSupported {
			t.Errorf("%v", q)
		}
		if describe(w.env).RequestURIParameter {
			t.Error("request_uri is announced")
		}
	})
	m.run("EnsureClientAssertionWithIssAudSucceeds", func(t *testing.T) {
		p := w.fapi()
		if r := p.push(p.authenticated(p.request(), claims{"aud": w.server.URL})); r.StatusCode != http.StatusCreated {
			t.Errorf("%d %s", r.StatusCode, r.body)
		}
	})
}

// published is where an application publishes its keys.
type published struct {
	*httptest.Server
	mu   sync.Mutex
	body []byte
}

func (w *world) published(k *ecdsa.PrivateKey) *published {
	s := &published{body: publicSet(w, k)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		_, _ = rw.Write(s.body)
	}))
	w.Cleanup(s.Close)
	return s
}

func (s *published) rotate(t testing.TB, k *ecdsa.PrivateKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.body = publicSet(t, k)
}

func (w *world) rotations(m *modules) {
	m.run("RegistrationJwksUri", func(t *testing.T) {
		site := w.published(newKey(t))
		p := w.fapi(func(n *tenants.NewApplication) { n.JWKS, n.JWKSURI, n.RequireDPoP = nil, site.URL, false })
		if r := p.push(p.authenticated(p.request())); r.Error != oidc.InvalidClient {
			t.Errorf("a key that is not published: %d %s", r.StatusCode, r.body)
		}
		site.rotate(t, p.key)
		w.clock.Advance(2 * time.Minute)
		if r := p.push(p.authenticated(p.request())); r.StatusCode != http.StatusCreated {
			t.Errorf("%d %s", r.StatusCode, r.body)
		}
	})
	m.run("RefreshTokenRPKeyRotation", func(t *testing.T) {
		site := w.published(newKey(t))
		p := w.fapi(func(n *tenants.NewApplication) { n.JWKS, n.JWKSURI, n.RequireDPoP = nil, site.URL, false })
		site.rotate(t, p.key)
		bare := func(*http.Request) {}
		got := p.redeem(p.code(p.request()), bare)
		if got.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", got.StatusCode, got.body)
		}
		before := p.key
		p.key = newKey(t)
		site.rotate(t, p.key)
		w.clock.Advance(2 * time.Minute)
		refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.Refresh}}
		if r := p.token(p.authenticated(refresh), bare); r.StatusCode != http.StatusOK {
			t.Fatalf("after the rotation: %d %s", r.StatusCode, r.body)
		}
		p.key = before
		if r := p.token(p.authenticated(refresh), bare); r.Error != oidc.InvalidClient {
			t.Errorf("with the key that is gone: %d %s", r.StatusCode, r.body)
		}
	})
	m.run("ServerRotateKeys", func(t *testing.T) {
		b := w.browser()
		first := b.signedIn("ada@acme.com")
		ctx := gooidc.ClientContext(w.ctx(), w.server.Client())
		verify := func(raw string) error { // with what is published now
			op, err := gooidc.NewProvider(ctx, w.server.URL)
			if err != nil {
				return err
			}
			_, err = op.VerifierContext(ctx, &gooidc.Config{ClientID: w.app.ID, Now: w.clock.Now, SupportedSigningAlgs: []string{"ES256"}}).Verify(ctx, raw)
			return err
		}
		if err := w.ring.Rotate(w.ctx(), w.env.ID, keys.ES256); err != nil {
			t.Fatal(err)
		}
		second := b.refresh(first.Refresh)
		if w.part(first.ID, 0)["kid"] == w.part(second.ID, 0)["kid"] {
			t.Error("the key is the same")
		}
		for name, raw := range map[string]string{"before": first.ID, "after": second.ID} {
			if err := verify(raw); err != nil {
				t.Errorf("signed %s the rotation: %v", name, err)
			}
		}
		if r := b.userinfo(first.Access); r.StatusCode != http.StatusOK {
			t.Errorf("an access token from before: %d", r.StatusCode)
		}
	})
}

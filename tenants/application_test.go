package tenants

import (
	"sync"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

func TestRedirectURI(t *testing.T) {
	good := func(appType, uri string) {
		t.Helper()
		if err := checkRedirectURI(uri, appType, "f"); err != nil {
			t.Errorf("%s %q: %v", appType, uri, err)
		}
	}
	bad := func(appType, uri string) {
		t.Helper()
		if err := checkRedirectURI(uri, appType, "f"); err == nil {
			t.Errorf("%s %q accepted", appType, uri)
		}
	}
	good(Web, "https://app.example.com/callback")
	good(Web, "https://app.example.com:8443/callback?x=1")
	good(Web, "http://localhost:3000/callback")
	good(SPA, "http://127.0.0.1/cb")
	good(SPA, "http://[::1]:9/cb")
	good(Native, "com.example.app:/callback")
	good(Native, "http://127.0.0.1/cb")
	bad(Web, "")
	bad(Web, "/callback")
	bad(Web, "//app.example.com/cb")
	bad(Web, "https://app.example.com/cb#fragment")
	bad(Web, "https://app.example.com/cb#")
	bad(Web, "https://*.example.com/cb")
	bad(Web, "https://app.example.com/*")
	bad(Web, "http://app.example.com/cb")
	bad(Web, "http://localhost.evil.com/cb")
	bad(Web, "http://127.0.0.1.evil.com/cb")
	bad(Web, "https://user:pw@app.example.com/cb")
	bad(Web, "https:///cb")
	bad(Web, "https:app.example.com")
	bad(Web, "https://app.example.com\\@evil.com/")
	bad(Web, "https://app.example.com/ x")
	bad(Web, "https://app.example.com/\n")
	bad(Web, "HTTPS://app.example.com/cb")
	bad(Web, "javascript:alert(1)")
	bad(Native, "javascript:alert(1)")
	bad(Native, "data:text/html,x")
	bad(Native, "file:///etc/passwd")
	bad(Web, "com.example.app:/callback") // only native applications answer a scheme
	bad(Native, "myapp:/callback")        // not a reversed domain name
}

func TestHasRedirectURI(t *testing.T) {
	web := Application{Type: Web, ApplicationSettings: ApplicationSettings{RedirectURIs: []string{"https://a.example/cb", "http://127.0.0.1:8080/cb"}}}
	native := Application{Type: Native, ApplicationSettings: ApplicationSettings{RedirectURIs: []string{"http://127.0.0.1/cb", "com.example.app:/cb"}}}
	for _, x := range []struct {
		app  Application
		uri  string
		want bool
	}{
		{web, "https://a.example/cb", true},
		{web, "https://a.example/cb/", false},
		{web, "https://a.example/cb?x=1", false},
		{web, "https://A.example/cb", false},
		{web, "https://a.example/cb/../evil", false},
		{web, "http://127.0.0.1:9090/cb", false}, // any port is for native applications (RFC 8252 §7.3)
		{native, "http://127.0.0.1:51004/cb", true},
		{native, "http://127.0.0.1/cb", true},
		{native, "http://127.0.0.1:51004/cb2", false},
		{native, "http://127.0.0.1:51004@evil.com/cb", false},
		{native, "http://127.0.0.1.evil.com/cb", false},
		{native, "http://[::1]:51004/cb", false},
		{native, "https://127.0.0.1:51004/cb", false},
		{native, "com.example.app:/cb", true},
	} {
		if got := x.app.HasRedirectURI(x.uri); got != x.want {
			t.Errorf("%s %q: %v", x.app.Type, x.uri, got)
		}
	}
}

func FuzzHasRedirectURI(f *testing.F) {
	f.Add("http://127.0.0.1:1/cb")
	f.Add("http://127.0.0.1:1@x/cb")
	native := Application{Type: Native, ApplicationSettings: ApplicationSettings{RedirectURIs: []string{"http://127.0.0.1/cb"}}}
	f.Fuzz(func(t *testing.T, uri string) {
		if native.HasRedirectURI(uri) && checkRedirectURI(uri, Native, "f") != nil {
			t.Errorf("%q matches but could not be registered", uri)
		}
	})
}

func TestApplications(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		create := func(in NewApplication) (app Application, plain, code string) {
			code = f.try(func(q db.Queryer) (err error) {
				app, plain, err = f.s.CreateApplication(ctx, f.admin, q, in)
				return err
			})
			return app, plain, code
		}
		uris := ApplicationSettings{RedirectURIs: []string{"https://a.example/cb"}}
		web, plain, code := create(NewApplication{Name: "Web", Type: Web, ApplicationSettings: uris})
		if code != "" || !web.CheckSecret(plain) || web.CheckSecret(plain+"x") || web.CheckSecret("") || !web.IsDefault || web.AuthMethod != AuthBasic {
			t.Errorf("%+v %q", web, code)
		}
		if _, ok := secret.Parse(secret.ClientSecret, plain); !ok {
			t.Errorf("secret %q", plain)
		}
		spa, none, _ := create(NewApplication{Name: "SPA", Type: SPA, ApplicationSettings: uris})
		if none != "" || spa.CheckSecret("") || !spa.RequirePKCE || spa.IsDefault {
			t.Errorf("%+v", spa)
		}
		for _, x := range []struct {
			in   NewApplication
			want string
		}{
			{NewApplication{Name: "x", Type: Web}, "redirect_uri_required"},
			{NewApplication{Name: "x", Type: "other"}, "invalid_type"},
			{NewApplication{Name: "", Type: Web}, "invalid_name"},
			{NewApplication{Name: "x", Type: Web, ApplicationSettings: ApplicationSettings{RedirectURIs: uris.RedirectURIs, IDTokenAlg: "HS256"}}, "invalid_algorithm"},
			{NewApplication{Name: "x", Type: Web, ApplicationSettings: ApplicationSettings{RedirectURIs: uris.RedirectURIs, IDTokenAlg: "none"}}, "invalid_algorithm"},
			{NewApplication{Name: "x", Type: Machine, ApplicationSettings: ApplicationSettings{AuthMethod: AuthNone}}, "invalid_auth_method"},
			{NewApplication{Name: "x", Type: Web, ApplicationSettings: ApplicationSettings{RedirectURIs: uris.RedirectURIs, BackchannelLogoutURI: "ftp://x"}}, "invalid_redirect_uri"},
		} {
			if _, _, code := create(x.in); code != x.want {
				t.Errorf("%+v: %q, want %q", x.in, code, x.want)
			}
		}
		got, err := f.s.Application(ctx, d, f.env.ID, web.ID)
		if err != nil || got.RedirectURIs[0] != uris.RedirectURIs[0] || got.AccessTokenAlg != "ES256" {
			t.Errorf("%+v, %v", got, err)
		}
		if _, err := f.s.Application(ctx, d, "env_other", web.ID); err != ErrApplicationNotFound {
			t.Errorf("another environment's application: %v", err)
		}
		yes := true
		f.tx(func(q db.Queryer) error {
			_, err := f.s.UpdateApplication(ctx, f.admin, q, spa.ID, ApplicationPatch{IsDefault: &yes})
			return err
		})
		if def, err := f.s.DefaultApplication(ctx, d, f.env.ID); err != nil || def.ID != spa.ID {
			t.Errorf("default %v, %v", def.ID, err)
		}
		var fresh string
		f.tx(func(q db.Queryer) (err error) {
			_, fresh, err = f.s.RotateApplicationSecret(ctx, f.admin, q, web.ID)
			return err
		})
		if got, _ := f.s.Application(ctx, d, f.env.ID, web.ID); got.CheckSecret(plain) || !got.CheckSecret(fresh) {
			t.Error("the old secret still serves, or the new one does not")
		}
		if n := f.count(`SELECT COUNT(*) FROM audit_events WHERE changes LIKE '%' || $1 || '%'`, secret.Hash(fresh)); n != 0 {
			t.Error("the audit log shows a hash of the secret")
		}
		f.tx(func(q db.Queryer) error { return f.s.DeleteApplication(ctx, f.admin, q, web.ID) })
		if list, next, err := f.s.Applications(ctx, d, f.env.ID, Position{}, 0); err != nil || next != nil || len(list) != 1 {
			t.Errorf("%d applications, %v", len(list), err)
		}
	})
}

// Of applications that are made, or made the default, at once one is the default.
func TestOneDefaultApplication(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		var work sync.WaitGroup
		for range 8 {
			work.Go(func() {
				err := d.Tx(ctx, func(q db.Queryer) error {
					_, _, err := f.s.CreateApplication(ctx, f.admin, q, NewApplication{Name: "x", Type: Machine})
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		work.Wait()
		const defaults = `SELECT COUNT(*) FROM applications WHERE is_default`
		if n := f.count(defaults); n != 1 {
			t.Errorf("%d defaults of 8 that were made at once", n)
		}
		list, _, err := f.s.Applications(ctx, d, f.env.ID, Position{}, 0)
		if err != nil || len(list) != 8 {
			t.Fatal(len(list), err)
		}
		yes := true
		for _, app := range list {
			work.Go(func() {
				err := d.Tx(ctx, func(q db.Queryer) error {
					_, err := f.s.UpdateApplication(ctx, f.admin, q, app.ID, ApplicationPatch{IsDefault: &yes})
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		work.Wait()
		if n := f.count(defaults); n != 1 {
			t.Errorf("%d defaults of 8 that were chosen at once", n)
		}
	})
}

package main

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/gatehouse-id/gatehouse/gatewaytest"
	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// replica is the command in a process of its own.
type replica struct {
	*exec.Cmd
	address string
	said    bytes.Buffer
}

// startReplica serves base on the store. It is killed with the test, unless it was
// stopped.
func startReplica(t *testing.T, base string, store ...string) *replica {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{address: l.Addr().String()}
	l.Close()
	r.Cmd = exec.Command("gatehouse", append([]string{"serve", "--listen", r.address, "--base-url", base, "--allow-private-networks", "--log-level", "warn"}, store...)...)
	r.Stdout, r.Stderr = &r.said, &r.said
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if r.ProcessState == nil {
			_ = r.Process.Kill()
			_ = r.Wait()
		}
		if t.Failed() {
			t.Logf("the replica at %s said:\n%s", r.address, r.said.String())
		}
	})
	waitReady(t, "http://"+r.address)
	return r
}

// Two processes on one PostgreSQL are one gateway: a person who signed in at one
// refreshes at the other, and signed out at the first is refused at the other. What
// both started with at the same moment is there once, and one that dies takes
// nothing with it.
func TestTwoProcesses(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		if d.Dialect().Name != db.Postgres {
			return // the embedded store belongs to one process
		}
		key := filepath.Join(t.TempDir(), "master")
		if err := os.WriteFile(key, []byte("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="), 0o600); err != nil {
			t.Fatal(err)
		}
		store := []string{"--database-url", dbtest.Config(t, db.Postgres).DatabaseURL, "--master-key-file", key}

		// A load balancer that sends everything to the replica that the test says.
		var to atomic.Pointer[replica]
		balancer := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: to.Load().address})
			r.Out.Host = r.In.Host
		}})
		t.Cleanup(balancer.Close)
		one, two := startReplica(t, balancer.URL, store...), startReplica(t, balancer.URL, store...)
		to.Store(one)

		out, err := exec.Command("gatehouse", append([]string{"key", "create", "--name", "test", "--json"}, store...)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		var made struct{ Key, ID string }
		if err := json.Unmarshal(out, &made); err != nil {
			t.Fatal(err)
		}
		g := gatewaytest.At(t, balancer.URL, made.Key)
		app := g.Application()
		ada := idp.Person{ID: "ada", Email: "ada@acme.example", FirstName: "Ada"}
		provider := rig.IdP(t, clock.System{}, idp.Config{People: []idp.Person{ada}})
		g.Call(http.MethodPost, "/tenants", map[string]any{"name": "Acme", "key": "acme"}, nil)
		to.Store(two) // what one replica made the other has at once
		g.Call(http.MethodPost, "/tenants/acme/domains", map[string]any{"domain": "acme.example", "verified": true}, nil)
		g.Call(http.MethodPost, "/tenants/acme/sso-connections", map[string]any{
			"type": "oidc", "name": "OpenID", "issuer": provider.Issuer(), "client_id": rig.Client.ID, "client_secret": rig.Client.Secret, "jit": true, "status": "active",
		}, &made)

		to.Store(one)
		b := browser.New(t)
		first := g.LogIn(b, app, ada.ID, "connection", made.ID)
		to.Store(two)
		second := g.Refresh(app, first.RefreshToken)
		if second.Error != "" || second.Access["sid"] != first.Access["sid"] || second.RefreshToken == first.RefreshToken {
			t.Fatalf("refresh at the other: %q %v", second.Error, second.Access)
		}
		if again := g.LogIn(b, app, ada.ID, "prompt", "none", "connection", made.ID); again.Access["sid"] != first.Access["sid"] {
			t.Errorf("the session at the other: %v", again.Access)
		}
		to.Store(one)
		if p := b.Get(g.URL + "/oauth2/logout?" + url.Values{"id_token_hint": {second.IDToken}}.Encode()); p.Status != http.StatusOK {
			t.Fatalf("logout: %s", p)
		}
		to.Store(two)
		if got := g.Refresh(app, second.RefreshToken); got.Error != "invalid_grant" {
			t.Errorf("refresh at the other after the logout: %q", got.Error)
		}
		if p := b.Get(g.URL + "/oauth2/authorize?" + url.Values{
			"response_type": {"code"}, "client_id": {app.ClientID}, "redirect_uri": {app.RedirectURI}, "scope": {"openid"}, "prompt": {"login"},
			"code_challenge": {strings.Repeat("c", 43)}, "code_challenge_method": {"S256"}, "connection": {made.ID},
		}.Encode()); p.Status != http.StatusOK {
			t.Errorf("a sign-in begun at the other: %s", p)
		}

		// The first dies; the other has all there was, and stops when it is told.
		if err := one.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = one.Wait()
		third := g.LogIn(browser.New(t), app, ada.ID, "connection", made.ID)
		if third.Access["sub"] != first.Access["sub"] {
			t.Errorf("after one died: %v", third.Access)
		}
		if err := two.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := two.Wait(); err != nil {
			t.Errorf("the other ended with %v", err)
		}
	})
}

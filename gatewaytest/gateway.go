package gatewaytest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/gateway"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/migrations"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
)

// Options of New. The zero value is an embedded store and the machine's clock.
type Options struct {
	// DB is an empty migrated store; nil: an embedded one that goes with the test.
	DB db.DB
	// Clock may stand still; nil: the machine's.
	Clock clock.Clock
	// Log takes what the server logs; nil: nothing does.
	Log *slog.Logger
}

// Gateway is a running gateway. A test may put its own handler around Handler
// between requests.
type Gateway struct {
	*gateway.Gateway
	URL string // base URL, and issuer
	Key string // a management key of the role admin
	t   testing.TB

	vault   *keys.Vault
	options Options
}

// New starts a gateway that stops with the test. Jobs run only when the test runs
// them (Gateway.Run, or Jobs).
func New(t testing.TB, o Options) *Gateway {
	t.Helper()
	if o.DB == nil {
		o.DB = embedded(t)
	}
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	master := make([]byte, 32)
	if _, err := rand.Read(master); err != nil {
		t.Fatal(err)
	}
	vault, err := keys.NewVault(master)
	if err != nil {
		t.Fatal(err)
	}
	g := &Gateway{t: t, vault: vault, options: o}
	g.URL = rig.Listen(t, func(base string) http.Handler {
		g.Gateway = g.wire(base, o.DB)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.Handler.ServeHTTP(w, r) })
	})
	err = o.DB.Tx(t.Context(), func(q db.Queryer) error {
		system := actor.Actor{Environment: g.Main.ID, Kind: actor.System, Name: "gatewaytest"}
		_, g.Key, err = g.Staff.CreateKey(t.Context(), system, q, staff.NewKey{Environment: g.Main.ID, Name: "test"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// At is a gateway that runs elsewhere, such as in processes of its own: for what asks
// over HTTP only. Key is a management key of the role admin.
func At(t testing.TB, url, key string) *Gateway { return &Gateway{URL: url, Key: key, t: t} }

func (g *Gateway) wire(base string, d db.DB) *gateway.Gateway {
	g.t.Helper()
	made, err := gateway.New(g.t.Context(), gateway.Config{BaseURL: base, AllowPrivateNetworks: true, Version: "test"}, d, g.vault, g.options.Clock, g.options.Log)
	if err != nil {
		g.t.Fatal(err)
	}
	return made
}

// Replica is another process of the same gateway: it has the store and the master
// key in common with it, and nothing that either remembers. A test sends requests
// to it by putting its Handler in the place of the gateway's.
func (g *Gateway) Replica(d db.DB) *gateway.Gateway {
	g.t.Helper()
	return g.wire(g.URL, d)
}

func embedded(t testing.TB) db.DB {
	t.Helper()
	d, err := db.Open(t.Context(), db.Config{Path: filepath.Join(t.TempDir(), "gatehouse.db"), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	if err := db.Migrate(t.Context(), d, migrations.FS); err != nil {
		t.Fatal(err)
	}
	return d
}

// IdP serves a test identity provider on the gateway's clock.
func (g *Gateway) IdP(c idp.Config) *idp.IdP {
	g.t.Helper()
	return rig.IdP(g.t, g.Clock, c)
}

// Call asks the management API ("/tenants" and so on) with the key and reads the
// answer into into, which may be nil. Any status of 400 and above ends the test.
func (g *Gateway) Call(method, path string, body, into any) {
	g.t.Helper()
	status, answer := g.Try(method, path, body)
	if status >= 400 {
		g.t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	if into != nil {
		if err := json.Unmarshal(answer, into); err != nil {
			g.t.Fatalf("%s %s: %v in %s", method, path, err, answer)
		}
	}
}

// Try is Call for requests that may be refused.
func (g *Gateway) Try(method, path string, body any) (status int, answer []byte) {
	g.t.Helper()
	return exchange(g.t, method, g.URL+"/api/v1"+path, "application/json", g.Key, body)
}

// exchange sends JSON with a bearer token and reads the whole answer.
func exchange(t testing.TB, method, address, contentType, bearer string, body any) (status int, answer []byte) {
	t.Helper()
	var r io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		r = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, address, r)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if answer, err = io.ReadAll(res.Body); err != nil {
		t.Fatal(fmt.Errorf("%s %s: %w", method, address, err))
	}
	return res.StatusCode, answer
}

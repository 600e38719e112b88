package webhooks

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/mail"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// fixture is the service on a store with one environment.
type fixture struct {
	testing.TB
	*Service
	d       db.DB
	c       *clock.Fake
	vault   *keys.Vault
	tenants *tenants.Service
	env     string
	actor   actor.Actor
	log     *bytes.Buffer
}

func newFixture(t testing.TB, d db.DB) *fixture {
	t.Helper()
	master := make([]byte, keys.MasterSize)
	if _, err := rand.Read(master); err != nil {
		t.Fatal(err)
	}
	v, err := keys.NewVault(master)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{TB: t, d: d, c: clock.NewFake(time.Now()), vault: v, log: new(bytes.Buffer)}
	f.tenants = tenants.New(v, sessions.New(v, f.c), f.c, tenants.Options{})
	f.Service = f.service()
	f.tx(func(q db.Queryer) error {
		env, err := f.tenants.EnsureDefault(t.Context(), q, "http://localhost:8080")
		f.env = env.ID
		return err
	})
	f.actor = actor.Actor{Environment: f.env, Kind: actor.Management, Subject: "key_1"}
	return f
}

// service is another replica on the same store.
func (f *fixture) service() *Service {
	s := New(Deps{
		DB: f.d, Clock: f.c, Vault: f.vault, Fetch: NewFetch(true), Log: slog.New(slog.NewTextHandler(f.log, nil)),
		Admins: func(context.Context, db.Queryer, string, string) ([]mail.Address, error) {
			return []mail.Address{{Email: "it@acme.example", Name: "IT"}}, nil
		},
	})
	s.jitter = func() float64 { return 0.5 } // none
	return s
}

func (f *fixture) tx(do func(db.Queryer) error) {
	f.Helper()
	if err := f.d.Tx(f.Context(), do); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) tenant(key string) tenants.Tenant {
	f.Helper()
	var t tenants.Tenant
	f.tx(func(q db.Queryer) (err error) {
		t, err = f.tenants.CreateTenant(f.Context(), f.actor, q, tenants.NewTenant{Key: key, Name: key})
		return err
	})
	return t
}

func (f *fixture) endpoint(tenant, url string, types ...string) (Endpoint, string) {
	f.Helper()
	e, secret, err := f.create(tenant, NewEndpoint{URL: url, EventTypes: types})
	if err != nil {
		f.Fatal(err)
	}
	return e, secret
}

func (f *fixture) create(tenant string, in NewEndpoint) (e Endpoint, secret string, err error) {
	err = f.d.Tx(f.Context(), func(q db.Queryer) (err error) {
		e, secret, err = f.CreateEndpoint(f.Context(), f.actor, q, f.env, tenant, in)
		return err
	})
	return e, secret, err
}

// happens records an event of the tenant.
func (f *fixture) happens(tenant, action string) {
	f.Helper()
	f.tx(func(q db.Queryer) error { return audit.Record(f.Context(), q, f.event(tenant, action)) })
}

func (f *fixture) event(tenant, action string) audit.Event {
	return audit.Event{
		Environment: f.env, Tenant: tenant, Action: action, Actor: f.actor, At: f.c.Now(),
		Targets: []audit.Target{{Type: "user", ID: "usr_1", Name: "Ann"}},
	}
}

// run sends what is due.
func (f *fixture) run() {
	f.Helper()
	if err := f.RunDue(f.Context()); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) deliveries(tenant, endpoint string) []Delivery {
	f.Helper()
	list, _, err := f.Deliveries(f.Context(), f.d, tenant, endpoint, DeliveryFilter{})
	if err != nil {
		f.Fatal(err)
	}
	return list
}

// only gives the endpoint's one delivery with its attempts.
func (f *fixture) only(tenant, endpoint string) Delivery {
	f.Helper()
	list := f.deliveries(tenant, endpoint)
	if len(list) != 1 {
		f.Fatalf("%d deliveries, want 1", len(list))
	}
	d, err := f.Delivery(f.Context(), f.d, tenant, endpoint, list[0].ID)
	if err != nil {
		f.Fatal(err)
	}
	return d
}

func (f *fixture) state(tenant, endpoint string) Endpoint {
	f.Helper()
	e, err := f.Endpoint(f.Context(), f.d, tenant, endpoint)
	if err != nil {
		f.Fatal(err)
	}
	return e
}

func (f *fixture) count(sql string, args ...any) int {
	f.Helper()
	var n int
	if err := f.d.QueryRow(f.Context(), sql, args...).Scan(&n); err != nil {
		f.Fatal(err)
	}
	return n
}

func (f *fixture) wantCode(err error, code string) {
	f.Helper()
	if fault.CodeOf(err) != code {
		f.Errorf("got %v, want %s", err, code)
	}
}

// receiver is an application that gets webhooks.
type receiver struct {
	URL string

	mu     sync.Mutex
	got    []request
	answer http.HandlerFunc
}

type request struct {
	header http.Header
	body   []byte
}

func newReceiver(t testing.TB, answer http.HandlerFunc) *receiver {
	t.Helper()
	r := &receiver{answer: answer}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
		body, _ := io.ReadAll(in.Body)
		r.mu.Lock()
		r.got = append(r.got, request{in.Header.Clone(), body})
		answer := r.answer
		r.mu.Unlock()
		if answer != nil {
			answer(w, in)
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections) // a test may leave a request behind
	r.URL = server.URL
	return r
}

func (r *receiver) answers(do http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = do
}

func (r *receiver) requests() []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]request(nil), r.got...)
}

func (r *receiver) ids() (list []string) {
	for _, q := range r.requests() {
		list = append(list, q.header.Get("webhook-id"))
	}
	return list
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

package webhooks

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/tenants"
)

const replicaVariable = "GATEHOUSE_TEST_WEBHOOKS_REPLICA"

// replicaConfig is what a replica in a process of its own is told.
type replicaConfig struct {
	Store  db.Config
	Master []byte
	Lease  time.Duration
}

// TestMain lets the test binary be a replica that can be killed.
func TestMain(m *testing.M) {
	if text := os.Getenv(replicaVariable); text != "" {
		runReplica(text)
		return
	}
	os.Exit(m.Run())
}

func runReplica(text string) {
	var c replicaConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		panic(err)
	}
	d, err := db.Open(context.Background(), c.Store)
	if err != nil {
		panic(err)
	}
	v, err := keys.NewVault(c.Master)
	if err != nil {
		panic(err)
	}
	s := New(Deps{DB: d, Clock: clock.System{}, Vault: v, Fetch: NewFetch(true)})
	s.lease, s.poll = c.Lease, 50*time.Millisecond
	s.Run(context.Background()) // until it is killed
}

func startReplica(t *testing.T, c replicaConfig) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), replicaVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // it may have been killed before
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// A process that dies in the middle of a request loses nothing: when its lease has
// run out, another one sends the same message under the same webhook-id (product
// 7.1). On PostgreSQL the other one runs beside it all the time.
func TestKilledInMidDelivery(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, other db.DB) {
		c := replicaConfig{Store: dbtest.Config(t, other.Dialect().Name), Master: bytes.Repeat([]byte{9}, keys.MasterSize), Lease: 3 * time.Second}
		d, err := db.Open(t.Context(), c.Store)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(d.Close)
		v, err := keys.NewVault(c.Master)
		if err != nil {
			t.Fatal(err)
		}
		clk := clock.System{}
		s := New(Deps{DB: d, Clock: clk, Vault: v, Fetch: NewFetch(true)})
		ten := tenants.New(v, sessions.New(v, clk), clk, tenants.Options{})
		system := actor.Actor{Kind: actor.System}

		var held atomic.Bool
		r := newReceiver(t, func(_ http.ResponseWriter, in *http.Request) {
			if held.CompareAndSwap(false, true) {
				<-in.Context().Done() // until the sender is gone
			}
		})
		var acme tenants.Tenant
		var e Endpoint
		var secret string
		err = d.Tx(t.Context(), func(q db.Queryer) error {
			env, err := ten.EnsureDefault(t.Context(), q, "http://localhost:8080")
			if err != nil {
				return err
			}
			system.Environment = env.ID
			if acme, err = ten.CreateTenant(t.Context(), system, q, tenants.NewTenant{Key: "acme", Name: "Acme"}); err != nil {
				return err
			}
			if e, secret, err = s.CreateEndpoint(t.Context(), system, q, env.ID, acme.ID, NewEndpoint{URL: r.URL, EventTypes: []string{"user.created"}}); err != nil {
				return err
			}
			return audit.Record(t.Context(), q, audit.Event{Environment: env.ID, Tenant: acme.ID, Action: "user.created", Actor: system})
		})
		if err != nil {
			t.Fatal(err)
		}

		wait := func(what string, ok func() bool) {
			t.Helper()
			deadline := time.NewTimer(time.Minute)
			defer deadline.Stop()
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for !ok() {
				select {
				case <-deadline.C:
					t.Fatal("waited in vain: " + what)
				case <-tick.C:
				}
			}
		}
		first := startReplica(t, c)
		wait("the first request", func() bool { return len(r.requests()) == 1 })
		if d.Dialect().Name == db.Postgres {
			startReplica(t, c) // works beside it, and leaves it its lease
		}
		kill(t, first)
		if d.Dialect().Name == db.SQLite {
			startReplica(t, c)
		}
		wait("the second request", func() bool { return len(r.requests()) > 1 })
		var one Delivery
		wait("its outcome", func() bool {
			list, _, err := s.Deliveries(t.Context(), d, acme.ID, e.ID, DeliveryFilter{})
			if err != nil || len(list) != 1 {
				t.Fatalf("%d deliveries, %v", len(list), err)
			}
			one = list[0]
			return one.Status == Delivered
		})
		got := r.requests()
		if a, b := got[0].header.Get("webhook-id"), got[1].header.Get("webhook-id"); a != b || a != one.Message {
			t.Errorf("webhook-id %s, then %s", a, b)
		}
		if !verified(t, secret, got[1]) || !bytes.Equal(got[0].body, got[1].body) {
			t.Error("the repetition differs or is not signed")
		}
		if one.Attempts != 1 {
			t.Errorf("%d attempts are counted, but the first has no outcome", one.Attempts)
		}
	})
}

func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil { // SIGKILL
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
}

// A stop cuts a request after its grace, counts nothing, and gives the queue back,
// so that another replica sends at once.
func TestGracefulStop(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.poll, f.grace = 10*time.Millisecond, 20*time.Millisecond
		arrived := make(chan struct{}, 1)
		r := newReceiver(t, func(_ http.ResponseWriter, in *http.Request) {
			arrived <- struct{}{}
			<-in.Context().Done()
		})
		acme := f.tenant("acme")
		e, _ := f.endpoint(acme.ID, r.URL, "user.created")
		f.happens(acme.ID, "user.created")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan struct{})
		go func() { f.Service.Run(ctx); close(ended) }()
		<-arrived
		cancel()
		<-ended
		if one := f.only(acme.ID, e.ID); one.Attempts != 0 || one.Status != Pending {
			t.Errorf("the cut request counts: %+v", one)
		}
		r.answers(status(200))
		next := f.service()
		if err := next.RunDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		if one := f.only(acme.ID, e.ID); one.Attempts != 1 || one.Status != Delivered || len(r.requests()) != 2 {
			t.Errorf("the next replica: %+v", one)
		}
	})
}

// A stop begins no further request, however much waits and however quickly the
// endpoint answers.
func TestStopBeginsNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		acme := f.tenant("acme")
		running, stop := context.WithCancel(t.Context())
		r := newReceiver(t, func(http.ResponseWriter, *http.Request) { stop() })
		e, _ := f.endpoint(acme.ID, r.URL, "user.created")
		f.backlog(acme.ID, e.ID, laneTurn)
		list, err := f.claim(t.Context())
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		f.work(running, t.Context(), list[0])
		if n := len(r.requests()); n == 0 || n > parallel {
			t.Errorf("%d requests", n)
		}
		if n := f.count(`SELECT COUNT(*) FROM webhook_deliveries WHERE status = 'delivered'`); n != len(r.requests()) {
			t.Errorf("%d outcomes of %d requests", n, len(r.requests()))
		}
		if next, err := f.claim(t.Context()); err != nil || len(next) != 1 {
			t.Errorf("the queue was not given back: %v, %v", next, err)
		}
	})
}

package webhooks

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

// backlog gives an endpoint n deliveries that wait.
func (f *fixture) backlog(tenant, endpoint string, n int) {
	f.Helper()
	ids := make([]string, n)
	for i := range ids {
		ids[i] = id.New(deliveryID)
	}
	m, err := newMessage(tenant, "user.created", "", f.c.Now(), map[string]any{})
	if err != nil {
		f.Fatal(err)
	}
	err = f.d.Batch(f.Context(), []db.Stmt{
		{SQL: sqlInsertMessage, Args: []any{tenant, m.id, m.eventType, "", m.body, db.At(f.c.Now())}},
		{SQL: `INSERT INTO webhook_deliveries (tenant_id, id, endpoint_id, message_id, event_type, kind, status, next_at, created_at)
SELECT $1, key, $2, $3, 'user.created', 'event', 'pending', CAST($4 AS BIGINT), CAST($4 AS BIGINT) FROM json_each($5)`, Args: []any{tenant, endpoint, m.id, db.At(f.c.Now()), db.Set(ids)}},
		{SQL: sqlQueueDue, Args: []any{tenant, endpoint, db.At(f.c.Now())}},
	})
	if err != nil {
		f.Fatal(err)
	}
}

func endpoints(list []lane) (ids []string) {
	for _, l := range list {
		ids = append(ids, l.endpoint)
	}
	return ids
}

// round claims once and works at what was claimed.
func (f *fixture) round() []lane {
	f.Helper()
	list, err := f.claim(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	for _, l := range list {
		f.work(f.Context(), f.Context(), l)
	}
	return list
}

// Ten thousand deliveries that wait for an endpoint which does not answer delay
// nobody else's: each round serves every endpoint that is due, a turn each.
func TestDeadEndpointDelaysNobody(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.timeout = 100 * time.Millisecond
		dead := newReceiver(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		live := newReceiver(t, nil)
		acme, other := f.tenant("acme"), f.tenant("other")
		a, _ := f.endpoint(acme.ID, dead.URL, "user.created")
		neighbour, _ := f.endpoint(acme.ID, live.URL, "user.updated")
		b, _ := f.endpoint(other.ID, live.URL, "user.created")
		f.backlog(acme.ID, a.ID, 10_000)
		for i := range 5 {
			f.happens(other.ID, "user.created")
			f.happens(acme.ID, "user.updated")
			if n, err := f.Dispatch(t.Context()); n != 2 || err != nil {
				t.Fatal(n, err)
			}
			list := f.round()
			if !slices.Contains(endpoints(list), b.ID) || !slices.Contains(endpoints(list), neighbour.ID) {
				t.Fatalf("round %d serves %v", i, endpoints(list))
			}
			if n := len(live.requests()); n != 2*(i+1) {
				t.Fatalf("round %d: %d of %d sent", i, n, 2*(i+1))
			}
			f.c.Advance(time.Second)
		}
		// Of the dead one few requests were tried, and it rests.
		if n := len(dead.requests()); n == 0 || n > 2*parallel {
			t.Errorf("%d requests to the dead endpoint", n)
		}
		// A person's test goes before all that waits.
		dead.answers(status(200))
		var test Delivery
		f.tx(func(q db.Queryer) (err error) {
			test, err = f.Test(t.Context(), f.actor, q, acme.ID, a.ID, "")
			return err
		})
		f.round()
		if got, err := f.Delivery(t.Context(), d, acme.ID, a.ID, test.ID); err != nil || got.Status != Delivered {
			t.Errorf("the test: %+v, %v", got, err)
		}
	})
}

// An endpoint with a long queue takes turns with the others.
func TestTurns(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		busy := newReceiver(t, nil)
		acme := f.tenant("acme")
		a, _ := f.endpoint(acme.ID, busy.URL, "user.created")
		f.backlog(acme.ID, a.ID, 3*laneTurn-1)
		for i := 1; i <= 3; i++ {
			f.round()
			if n := len(busy.requests()); n != min(i*laneTurn, 3*laneTurn-1) {
				t.Errorf("%d sent after %d turns", n, i)
			}
		}
		if list := f.round(); len(list) != 0 {
			t.Errorf("still due: %v", list)
		}
	})
}

// Slow endpoints share a part of the lanes, and so do those of one tenant.
func TestLanesAreShared(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		r := newReceiver(t, nil)
		slow := map[string]bool{}
		for i := range 3 {
			tenant := f.tenant("t" + strconv.Itoa(i))
			for range MaxEndpoints {
				e, _ := f.endpoint(tenant.ID, r.URL, "user.created")
				f.backlog(tenant.ID, e.ID, 1)
				if i > 0 {
					slow[e.ID] = true
				}
			}
			_, _, err := f.create(tenant.ID, NewEndpoint{URL: r.URL, EventTypes: []string{"user.created"}})
			f.wantCode(err, "limit_reached")
		}
		if _, err := d.Exec(t.Context(), `UPDATE webhook_queues SET slow = TRUE WHERE tenant_id <> (SELECT id FROM tenants WHERE key = 't0')`); err != nil {
			t.Fatal(err)
		}
		f.c.Advance(time.Second)
		last := f.tenant("last")
		e, _ := f.endpoint(last.ID, r.URL, "user.created")
		f.backlog(last.ID, e.ID, 1)
		list, err := f.claim(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		of := map[string]int{}
		slowOnes := 0
		var leaves []func()
		for _, l := range list {
			_, leave := f.enter(l)
			leaves = append(leaves, leave)
			of[l.tenant]++
			if l.slow != slow[l.endpoint] {
				t.Error("a queue is in the wrong half")
			}
			if l.slow {
				slowOnes++
			}
		}
		if !slices.Contains(endpoints(list), e.ID) {
			t.Error("the last tenant waits behind the others")
		}
		for tenant, n := range of {
			if n > tenantFast {
				t.Errorf("%s has %d lanes", tenant, n)
			}
		}
		if slowOnes != 2*tenantSlow || len(list) > fastLanes+slowLanes {
			t.Errorf("%d lanes, %d slow ones", len(list), slowOnes)
		}
		// What is leased is nobody else's, and full is full.
		again, err := f.claim(t.Context())
		if err != nil || slices.ContainsFunc(again, func(l lane) bool { return slices.Contains(endpoints(list), l.endpoint) || of[l.tenant] > 0 }) {
			t.Errorf("claimed again: %v, %v", again, err)
		}
		for i, l := range list {
			f.work(t.Context(), t.Context(), l)
			leaves[i]()
		}
		if len(f.running) != 0 {
			t.Errorf("lanes are still counted: %v", f.running)
		}
		f.run()
		if n := len(r.requests()); n != 3*MaxEndpoints+1 {
			t.Errorf("%d sent", n)
		}
	})
}

// A tenant's backlog at quick endpoints does not keep its slow ones waiting, and a
// lane whose endpoint does not answer is soon no longer one of the quick.
func TestSlowLanes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		acme := f.tenant("acme")
		for range 2 * tenantFast {
			e, _ := f.endpoint(acme.ID, "http://127.0.0.1:1/", "user.created")
			f.backlog(acme.ID, e.ID, 1)
		}
		dull, _ := f.endpoint(acme.ID, "http://127.0.0.1:1/", "user.created")
		f.backlog(acme.ID, dull.ID, 1)
		if _, err := d.Exec(t.Context(), `UPDATE webhook_queues SET slow = TRUE WHERE tenant_id = $1 AND endpoint_id = $2`, acme.ID, dull.ID); err != nil {
			t.Fatal(err)
		}
		claim := func(want int) (lingers, leaves []func()) {
			t.Helper()
			list, err := f.claim(t.Context())
			if err != nil || len(list) != want {
				t.Fatalf("%d lanes, want %d, %v", len(list), want, err)
			}
			for _, l := range list {
				linger, leave := f.enter(l)
				lingers, leaves = append(lingers, linger), append(leaves, leave)
			}
			return lingers, leaves
		}
		lingers, leaves := claim(tenantFast + 1) // one of them the slow one's
		claim(0)
		for _, linger := range lingers {
			linger()
		}
		if n := f.running[share{acme.ID, true}]; n != tenantFast+1 || f.running[share{acme.ID, false}] != 0 {
			t.Errorf("%d lanes are slow: %v", n, f.running)
		}
		_, more := claim(tenantFast)
		for i, leave := range append(leaves, more...) {
			leave()
			if i < len(lingers) {
				lingers[i]() // the timer that comes too late
			}
		}
		if len(f.running) != 0 {
			t.Errorf("lanes are still counted: %v", f.running)
		}
	})
}

// A slow answer moves the endpoint among the slow; quick ones bring it back.
func TestSlowEndpoint(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		r := newReceiver(t, status(500))
		acme := f.tenant("acme")
		e, _ := f.endpoint(acme.ID, r.URL, "user.created")
		isSlow := func(want bool) {
			t.Helper()
			var slow bool
			if err := d.QueryRow(t.Context(), `SELECT slow FROM webhook_queues WHERE tenant_id = $1 AND endpoint_id = $2`, acme.ID, e.ID).Scan(&slow); err != nil || slow != want {
				t.Errorf("slow: %v, want %v (%v)", slow, want, err)
			}
		}
		for i := range slowFailures {
			isSlow(false)
			f.happens(acme.ID, "user.created")
			f.run()
			if got := f.state(acme.ID, e.ID); got.Failures != int64(i+1) {
				t.Fatalf("%d failures", got.Failures)
			}
		}
		isSlow(true)
		r.answers(nil)
		f.happens(acme.ID, "user.created")
		f.run()
		isSlow(false)
		l := lane{tenant: acme.ID, endpoint: e.ID, owner: "x"}
		if _, err := d.Exec(t.Context(), sqlLease, acme.ID, e.ID, int64(1), "x"); err != nil {
			t.Fatal(err)
		}
		if err := f.release(t.Context(), l, f.state(acme.ID, e.ID), turn{attempts: []Attempt{{At: f.c.Now(), Duration: slowAnswer}}}); err != nil {
			t.Fatal(err)
		}
		isSlow(true)
		for failures, want := range map[int64]time.Duration{0: 4 * time.Second, 1: 8 * time.Second, 6: 256 * time.Second, 7: longPause, 1 << 40: longPause} {
			if got := pause(failures); got != want {
				t.Errorf("pause(%d) = %s, want %s", failures, got, want)
			}
		}
	})
}

// A replica whose lease ran out does not overwrite what another one did since.
func TestLostLease(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		r := newReceiver(t, nil)
		acme := f.tenant("acme")
		e, _ := f.endpoint(acme.ID, r.URL, "user.created")
		f.happens(acme.ID, "user.created")
		if _, err := f.Dispatch(t.Context()); err != nil {
			t.Fatal(err)
		}
		mine, err := f.claim(t.Context())
		if err != nil || len(mine) != 1 {
			t.Fatal(mine, err)
		}
		waitingOnes, err := f.due(t.Context(), mine[0], f.state(acme.ID, e.ID))
		if err != nil || len(waitingOnes) != 1 {
			t.Fatal(waitingOnes, err)
		}
		other := f.service()
		if list, err := other.claim(t.Context()); len(list) != 0 || err != nil {
			t.Fatalf("a leased queue is claimed: %v, %v", list, err)
		}
		f.c.Advance(f.lease)
		if err := other.RunDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		// Now the first one comes back, with another outcome.
		late := Attempt{N: 1, At: f.c.Now(), Status: 500, Error: codeStatus}
		if err := f.storeAttempt(t.Context(), mine[0], waitingOnes[0], late, false); err != nil {
			t.Fatal(err)
		}
		if err := f.release(t.Context(), mine[0], f.state(acme.ID, e.ID), turn{attempts: []Attempt{late}, pause: time.Hour}); err != nil {
			t.Fatal(err)
		}
		if one := f.only(acme.ID, e.ID); one.Status != Delivered || one.Attempts != 1 || len(one.Log) != 1 || one.Log[0].Status != 200 {
			t.Errorf("overwritten: %+v", one)
		}
		if s := f.state(acme.ID, e.ID); s.Failures != 0 {
			t.Errorf("overwritten: %+v", s)
		}
	})
}

// Dispatchers and senders of several replicas at once lose nothing and make no
// event two messages.
func TestReplicas(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		r := newReceiver(t, nil)
		acme := f.tenant("acme")
		f.endpoint(acme.ID, r.URL, "user.created")
		const events = 3*dispatchBatch + 7
		targets := make([]audit.Target, events)
		for i := range targets {
			targets[i] = audit.Target{Type: "user", ID: "usr_" + strconv.Itoa(i)}
		}
		stmts, err := audit.EachStmts(f.event(acme.ID, "user.created"), targets)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Batch(t.Context(), stmts); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 3 {
			s := f.service()
			all.Go(func() {
				for range 3 {
					if err := s.RunDue(context.Background()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		f.run()
		ids := r.ids()
		slices.Sort(ids)
		if n := len(slices.Compact(ids)); n != events || len(r.ids()) != events {
			t.Errorf("%d messages in %d requests, want %d", n, len(r.ids()), events)
		}
		if n := f.count(`SELECT COUNT(*) FROM webhook_deliveries WHERE status = 'delivered'`); n != events {
			t.Errorf("%d delivered", n)
		}
	})
}

// A subscriber costs the change that he hears of neither a statement nor a round
// trip, be it one event or a thousand.
func TestSubscribersCostTheWriterNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		acme := f.tenant("acme")
		cost := func() (statements, trips [2]int64) {
			t.Helper()
			targets := make([]audit.Target, 1000)
			for i := range targets {
				targets[i] = audit.Target{Type: "user", ID: fmt.Sprint(i)}
			}
			each, err := audit.EachStmts(f.event(acme.ID, "user.created"), targets)
			if err != nil {
				t.Fatal(err)
			}
			for i, do := range []func(context.Context) error{
				func(ctx context.Context) error { return audit.Record(ctx, d, f.event(acme.ID, "user.created")) },
				func(ctx context.Context) error { return d.Batch(ctx, each) },
			} {
				ctx, n := db.Count(t.Context())
				if err := do(ctx); err != nil {
					t.Fatal(err)
				}
				statements[i], trips[i] = n.Statements(), n.RoundTrips()
			}
			return statements, trips
		}
		statements, trips := cost()
		f.endpoint(acme.ID, "http://127.0.0.1:1/", "user.created", AuditEvent)
		f.endpoint(acme.ID, "http://127.0.0.1:1/", "user.created")
		with, withTrips := cost()
		if statements != with || trips != withTrips {
			t.Errorf("without %v in %v, with %v in %v", statements, trips, with, withTrips)
		}
		if n := f.count(`SELECT COUNT(*) FROM outbox`); n != 1001+2 { // and of the endpoints, of which AuditEvent hears
			t.Errorf("%d outbox rows", n)
		}
	})
}

// What is older than 30 days goes, with its deliveries and attempts.
func TestPurge(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		r := newReceiver(t, nil)
		acme, gone := f.tenant("acme"), f.tenant("gone")
		e, _ := f.endpoint(acme.ID, r.URL, "user.created")
		f.endpoint(gone.ID, r.URL, "user.created")
		f.happens(acme.ID, "user.created")
		f.run()
		f.c.Advance(Retention - time.Hour)
		f.happens(acme.ID, "user.created")
		f.run()
		f.c.Advance(2 * time.Hour)
		f.tx(func(q db.Queryer) error { return f.tenants.DeleteTenant(t.Context(), f.actor, q, gone.ID) })
		if err := f.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		if list := f.deliveries(acme.ID, e.ID); len(list) != 1 || f.count(`SELECT COUNT(*) FROM webhook_messages`) != 1 || f.count(`SELECT COUNT(*) FROM webhook_attempts`) != 1 {
			t.Errorf("%d deliveries are left", len(list))
		}
		if n := f.count(`SELECT COUNT(*) FROM audit_interest WHERE tenant_id = $1`, gone.ID); n != 0 {
			t.Errorf("the deleted tenant still wants %d actions", n)
		}
		if n := f.count(`SELECT COUNT(*) FROM audit_interest WHERE tenant_id = $1`, acme.ID); n != 1 {
			t.Errorf("the other tenant wants %d actions", n)
		}
	})
}

// Throughput of one endpoint, from recorded event to stored outcome.
func BenchmarkDelivery(b *testing.B) {
	dbtest.Bench(b, func(b *testing.B, d db.DB) {
		f := newFixture(b, d)
		r := newReceiver(b, nil)
		acme := f.tenant("acme")
		f.endpoint(acme.ID, r.URL, "user.created")
		targets := make([]audit.Target, b.N)
		for i := range targets {
			targets[i] = audit.Target{Type: "user", ID: "usr_" + strconv.Itoa(i)}
		}
		stmts, err := audit.EachStmts(f.event(acme.ID, "user.created"), targets)
		if err != nil {
			b.Fatal(err)
		}
		if err := d.Batch(b.Context(), stmts); err != nil {
			b.Fatal(err)
		}
		b.ResetTimer()
		f.run()
		b.StopTimer()
		if n := len(r.requests()); n != b.N {
			b.Fatalf("%d of %d sent", n, b.N)
		}
	})
}

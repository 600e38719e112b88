package webhooks

import (
	"strconv"
	"testing"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// happensTo records n events of the tenant at once.
func (f *fixture) happensTo(tenant string, n int) {
	f.Helper()
	targets := make([]audit.Target, n)
	for i := range targets {
		targets[i] = audit.Target{Type: "user", ID: "usr_" + strconv.Itoa(i)}
	}
	stmts, err := audit.EachStmts(f.event(tenant, "user.created"), targets)
	if err != nil {
		f.Fatal(err)
	}
	if err := f.d.Batch(f.Context(), stmts); err != nil {
		f.Fatal(err)
	}
}

// A tenant in which thousands of things happen at once keeps no other tenant's
// events waiting, and no transaction of the dispatcher grows with its endpoints.
func TestDispatchIsFair(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		r := newReceiver(t, nil)
		crowd, quiet := f.tenant("crowd"), f.tenant("quiet")
		for range 20 {
			f.endpoint(crowd.ID, r.URL, "user.created", AuditEvent)
		}
		e, _ := f.endpoint(quiet.ID, r.URL, "user.created")
		const events = 2 * dispatchBatch
		f.happensTo(crowd.ID, events)
		f.happens(quiet.ID, "user.created")
		before := f.count(`SELECT COUNT(*) FROM webhook_deliveries`)
		if _, err := f.Dispatch(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.only(quiet.ID, e.ID)
		if n := f.count(`SELECT COUNT(*) FROM webhook_deliveries`) - before; n > dispatchDeliveries {
			t.Errorf("%d deliveries in one transaction", n)
		}
		for {
			n, err := f.Dispatch(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				break
			}
		}
		if n := f.count(`SELECT COUNT(*) FROM webhook_deliveries WHERE event_type = 'user.created'`); n != 20*events+1 {
			t.Errorf("%d deliveries, want %d", n, 20*events+1)
		}
	})
}

// More tenants than one transaction takes are all served, turn by turn.
func TestDispatchOfManyTenants(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		const n = dispatchTenants + 3
		for i := range n {
			tenant := f.tenant("t" + strconv.Itoa(i))
			f.endpoint(tenant.ID, "http://127.0.0.1:1/", "user.created")
			f.happensTo(tenant.ID, 2*dispatchBatch/dispatchTenants)
		}
		for range 2 {
			if took, err := f.Dispatch(t.Context()); took == 0 || took > dispatchBatch || err != nil {
				t.Fatalf("%d events in one transaction, %v", took, err)
			}
		}
		if got := f.count(`SELECT COUNT(DISTINCT tenant_id) FROM webhook_deliveries`); got != n {
			t.Errorf("%d of %d tenants served in two turns", got, n)
		}
		for {
			took, err := f.Dispatch(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if took == 0 {
				break
			}
		}
		if got := f.count(`SELECT COUNT(*) FROM webhook_deliveries`); got != n*(2*dispatchBatch/dispatchTenants) {
			t.Errorf("%d deliveries", got)
		}
		if got := f.count(`SELECT COUNT(*) FROM outbox`); got != 0 {
			t.Errorf("%d events are left", got)
		}
	})
}

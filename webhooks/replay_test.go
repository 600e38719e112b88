package webhooks

import (
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// Replay of one delivery and of a time, filters and pages of the log.
func TestReplay(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		r := newReceiver(t, status(400))
		acme := f.tenant("acme")
		e, _ := f.endpoint(acme.ID, r.URL, "user.created", "user.updated")
		start := f.c.Now()
		for i := range 6 {
			f.happens(acme.ID, []string{"user.created", "user.updated"}[i%2])
			f.run()
			f.c.Advance(time.Minute)
		}
		if _, err := d.Exec(t.Context(), `UPDATE webhook_deliveries SET status = 'failed', next_at = NULL WHERE tenant_id = $1`, acme.ID); err != nil {
			t.Fatal(err)
		}
		all := f.deliveries(acme.ID, e.ID)
		if len(all) != 6 {
			t.Fatalf("%d deliveries", len(all))
		}
		find := func(q DeliveryFilter) int {
			t.Helper()
			n := 0
			for q.Limit = 2; ; {
				list, next, err := f.Deliveries(t.Context(), d, acme.ID, e.ID, q)
				if err != nil {
					t.Fatal(err)
				}
				n += len(list)
				if next == "" {
					return n
				}
				q.Cursor = next
			}
		}
		for _, c := range []struct {
			q    DeliveryFilter
			want int
		}{
			{DeliveryFilter{}, 6},
			{DeliveryFilter{Status: Failed}, 6},
			{DeliveryFilter{Status: Pending}, 0},
			{DeliveryFilter{EventType: "user.created"}, 3},
			{DeliveryFilter{Status: Failed, EventType: "user.created", From: start.Add(time.Second)}, 2},
			{DeliveryFilter{From: start.Add(time.Minute), To: start.Add(3 * time.Minute)}, 2},
		} {
			if got := find(c.q); got != c.want {
				t.Errorf("%+v finds %d, want %d", c.q, got, c.want)
			}
		}
		_, _, err := f.Deliveries(t.Context(), d, acme.ID, e.ID, DeliveryFilter{Cursor: "dlv_'"})
		f.wantCode(err, "invalid_cursor")

		r.answers(nil)
		before := len(r.requests())
		var again Delivery
		f.tx(func(q db.Queryer) (err error) {
			again, err = f.Replay(t.Context(), f.actor, q, acme.ID, e.ID, all[5].ID)
			return err
		})
		f.run()
		ids := r.ids()
		if again.Kind != kindReplay || again.ID == all[5].ID || len(ids) != before+1 || ids[before] != all[5].Message || ids[before] != ids[0] {
			t.Errorf("replayed %+v, %v", again, ids)
		}
		replay := func(q DeliveryFilter) (n int, next string, err error) {
			err = d.Tx(t.Context(), func(tx db.Queryer) (err error) {
				n, next, err = f.ReplayRange(t.Context(), f.actor, tx, acme.ID, e.ID, q)
				return err
			})
			return n, next, err
		}
		if n, next, err := replay(DeliveryFilter{From: start, To: start.Add(4 * time.Minute), EventType: "user.updated"}); n != 2 || next != "" || err != nil {
			t.Errorf("range: %d, %q, %v", n, next, err)
		}
		f.run()
		if len(r.requests()) != before+3 {
			t.Errorf("%d requests", len(r.requests()))
		}
		// Messages that several deliveries carried go once.
		if n, _, err := replay(DeliveryFilter{From: start, Status: Delivered}); n != 3 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		f.run()
		if n, _, err := replay(DeliveryFilter{From: start, Status: Delivered}); n != 3 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		_, _, err = replay(DeliveryFilter{Status: Pending})
		f.wantCode(err, "invalid_status")
		f.wantCode(d.Tx(t.Context(), func(q db.Queryer) error {
			_, err := f.Replay(t.Context(), f.actor, q, acme.ID, e.ID, "dlv_nothing")
			return err
		}), "delivery_not_found")
		off := false
		f.tx(func(q db.Queryer) error {
			_, err := f.UpdateEndpoint(t.Context(), f.actor, q, acme.ID, e.ID, EndpointPatch{Active: &off}, nil)
			return err
		})
		_, _, err = replay(DeliveryFilter{From: start})
		f.wantCode(err, "webhook_inactive")
		if n := f.count(`SELECT COUNT(*) FROM audit_events WHERE tenant_id = $1 AND action = 'webhook.replayed'`, acme.ID); n != 4 {
			t.Errorf("%d events of replays", n)
		}
	})
}

// A replay of more than one request takes goes on where it ended, though all were
// made in the same moment, and what waits of tests and replays is bounded.
func TestReplayOfMany(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		acme := f.tenant("acme")
		e, _ := f.endpoint(acme.ID, "http://127.0.0.1:1/", "user.created")
		const n = MaxReplay + 7
		f.happensTo(acme.ID, n)
		for {
			if took, err := f.Dispatch(t.Context()); err != nil {
				t.Fatal(err)
			} else if took == 0 {
				break
			}
		}
		if _, err := d.Exec(t.Context(), `UPDATE webhook_deliveries SET status = 'failed', next_at = NULL WHERE tenant_id = $1`, acme.ID); err != nil {
			t.Fatal(err)
		}
		replay := func(cursor string) (n int, next string, err error) {
			err = d.Tx(t.Context(), func(q db.Queryer) (err error) {
				n, next, err = f.ReplayRange(t.Context(), f.actor, q, acme.ID, e.ID, DeliveryFilter{Cursor: cursor})
				return err
			})
			return n, next, err
		}
		first, next, err := replay("")
		if first != MaxReplay || next == "" || err != nil {
			t.Fatal(first, next, err)
		}
		second, next, err := replay(next)
		if second != n-MaxReplay || next != "" || err != nil {
			t.Fatal(second, next, err)
		}
		if got := f.count(`SELECT COUNT(DISTINCT message_id) FROM webhook_deliveries WHERE kind = 'replay'`); got != n {
			t.Errorf("%d of %d messages are replayed", got, n)
		}
		for i := range 20 {
			if _, _, err = replay(""); err != nil {
				if i < 8 {
					t.Errorf("refused after %d replays: %v", i+1, err)
				}
				break
			}
		}
		f.wantCode(err, "limit_reached")
		for i := range maxTests + 1 {
			err = d.Tx(t.Context(), func(q db.Queryer) error {
				_, err := f.Test(t.Context(), f.actor, q, acme.ID, e.ID, "")
				return err
			})
			if err != nil && i < maxTests {
				t.Errorf("test %d: %v", i, err)
			}
		}
		f.wantCode(err, "limit_reached")
	})
}

package audit

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

const day = 24 * time.Hour

// aged records events of the given ages in days, oldest first, and seals them.
func aged(t *testing.T, l *Log, d db.DB, tenant string, days ...int) {
	t.Helper()
	for _, n := range days {
		e := event(tenant, "user.created")
		e.At = l.clock.Now().Add(-time.Duration(n) * day)
		record(t, d, e)
	}
	l.sealed = time.Time{} // look at all events
	if err := l.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func purge(t *testing.T, l *Log, days map[string]int) {
	t.Helper()
	if err := l.Purge(t.Context(), days); err != nil {
		t.Fatal(err)
	}
}

// Product 7.2: events go when their time is over, and the chain still verifies.
func TestPurge(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		c := clock.NewFake(start)
		l := NewLog(d, c)
		aged(t, l, d, "ten_a", 500, 450, 401, 399, 10)
		aged(t, l, d, "ten_b", 10, 5)
		aged(t, l, d, "ten_gone", 500, 450)
		aged(t, l, d, "", 500, 5)
		head := verify(t, l, "ten_gone").Head
		purge(t, l, nil)
		for tenant, want := range map[string][3]int{"ten_a": {2, 3, 1}, "ten_b": {2, 0, 0}, "ten_gone": {0, 2, 1}, "": {1, 1, 1}} {
			r := verify(t, l, tenant)
			if !r.OK() || r.Events != want[0] || r.Purged != want[1] || r.Unsealed != want[2] {
				t.Errorf("%q: %+v", tenant, r)
			}
			if r.PurgedAt.Equal(start) != (want[1] > 0) {
				t.Errorf("%q: purged at %v", tenant, r.PurgedAt)
			}
		}
		if r := verify(t, l, "ten_gone"); r.Head != head {
			t.Errorf("the head of a chain that is gone: %s, want %s", r.Head, head)
		}
		// The chain tells, to the vendor alone, and goes on where it was.
		if err := l.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		told := all(t, l, d, vendor, Filter{Tenant: "ten_gone"})
		if len(told) != 1 || told[0].Action != "audit.purged" || told[0].Metadata["events"] != 2.0 || told[0].Metadata["hash"] != head || told[0].Severity != Info || told[0].Visible {
			t.Errorf("%+v", told)
		}
		if r := verify(t, l, "ten_gone"); !r.OK() || r.Events != 1 || r.Unsealed != 0 {
			t.Errorf("sealed again: %+v", r)
		}
		if n := count(t, d, `SELECT seq FROM audit_seals WHERE tenant_id = 'ten_gone'`); n != 3 {
			t.Errorf("place %d follows a chain of two", n)
		}
		// The environment's own number holds; a second run goes on from the checkpoint.
		c.Advance(time.Hour)
		purge(t, l, map[string]int{"env_a": 9, "env_b": 1})
		if r := verify(t, l, "ten_a"); !r.OK() || r.Events != 1 || r.Purged != 5 {
			t.Errorf("%+v", r)
		}
		if r := verify(t, l, "ten_b"); !r.OK() || r.Events != 1 || r.Purged != 1 {
			t.Errorf("%+v", r)
		}
		// A run that finds nothing writes nothing.
		before := count(t, d, `SELECT COUNT(*) FROM audit_events`)
		purge(t, l, map[string]int{"env_a": 9, "env_b": 1})
		if n := count(t, d, `SELECT COUNT(*) FROM audit_events`); n != before {
			t.Errorf("%d events more", n-before)
		}
		if chains, err := l.Chains(t.Context()); err != nil || !slices.Equal(chains, []string{"", "ten_a", "ten_b", "ten_gone"}) {
			t.Errorf("chains %v %v", chains, err)
		}
	})
}

func TestPurgeWaits(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		l := NewLog(d, clock.NewFake(start))
		// Events that are not sealed stay.
		old := event("ten_a", "user.created")
		old.At = start.Add(-500 * day)
		record(t, d, old)
		purge(t, l, nil)
		if n := count(t, d, `SELECT COUNT(*) FROM audit_events`); n != 1 {
			t.Error("an event went that was not sealed")
		}
		// So do those that a subscriber waits for, and all behind them.
		aged(t, l, d, "ten_a", 450)
		if _, err := d.Exec(t.Context(), `INSERT INTO outbox (tenant_id, event_id, created_at) SELECT tenant_id, id, 0 FROM audit_events ORDER BY id LIMIT 1`); err != nil {
			t.Fatal(err)
		}
		purge(t, l, nil)
		if r := verify(t, l, "ten_a"); r.Events != 2 || r.Purged != 0 {
			t.Errorf("%+v", r)
		}
		if _, err := d.Exec(t.Context(), `DELETE FROM outbox`); err != nil {
			t.Fatal(err)
		}
		purge(t, l, nil)
		if r := verify(t, l, "ten_a"); !r.OK() || r.Events != 0 || r.Purged != 2 {
			t.Errorf("%+v", r)
		}
		// Above tenants the events of all environments make one chain: what one keeps holds back the others'.
		keep := event("", "environment.updated")
		keep.Environment, keep.At = "env_long", start.Add(-500*day)
		record(t, d, keep)
		aged(t, l, d, "", 450)
		purge(t, l, map[string]int{"env_long": 1000})
		if r := verify(t, l, ""); r.Events != 2 || r.Purged != 0 {
			t.Errorf("%+v", r)
		}
	})
}

// Two replicas at once delete each event once and leave one checkpoint.
func TestPurgesAtOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		c := clock.NewFake(start)
		each := make([]Target, 2*purgeBatch+500)
		for i := range each {
			each[i] = Target{Type: "user", ID: "usr_1"}
		}
		e := event("ten_a", "user.created")
		e.At = start.Add(-500 * day)
		stmts, err := EachStmts(e, each)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Batch(t.Context(), stmts); err != nil {
			t.Fatal(err)
		}
		l := NewLog(d, c)
		aged(t, l, d, "ten_a", 5)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := NewLog(d, c).Purge(t.Context(), nil); err != nil {
					t.Error(err)
				}
				if err := NewLog(d, c).Seal(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		purge(t, l, nil)
		r := verify(t, l, "ten_a")
		if !r.OK() || r.Purged != len(each) || r.PurgedFaults != 0 {
			t.Errorf("%+v", r)
		}
		if n := count(t, d, `SELECT COUNT(*) FROM audit_events WHERE action = 'user.created'`); n != 1 {
			t.Errorf("%d events are left", n)
		}
	})
}

// What was changed before it went is counted, and what somebody makes of a checkpoint is seen.
func TestCheckpointTampering(t *testing.T) {
	for name, c := range map[string]struct {
		before, after string
		kind          FaultKind
		faults        int
	}{
		"nothing":                     {"", "", "", 0},
		"an old event changed":        {`UPDATE audit_events SET actor_id = 'usr_9' WHERE tenant_id = 'ten_a' AND occurred_at < 1737000000000000`, "", "", 1},
		"an old event deleted":        {`DELETE FROM audit_events WHERE tenant_id = 'ten_a' AND occurred_at < 1737000000000000`, "", "", 1},
		"the hash":                    {"", `UPDATE audit_checkpoints SET hash = 'ff' WHERE tenant_id = 'ten_a'`, Checkpoint, 0},
		"the number of faults":        {"", `UPDATE audit_checkpoints SET faults = 5 WHERE tenant_id = 'ten_a'`, Checkpoint, 5},
		"the place":                   {"", `UPDATE audit_checkpoints SET seq = 1 WHERE tenant_id = 'ten_a'`, Checkpoint, 0},
		"the checkpoint gone":         {"", `DELETE FROM audit_checkpoints WHERE tenant_id = 'ten_a'`, Checkpoint, 0},
		"a young event gone with it":  {"", `DELETE FROM audit_seals WHERE tenant_id = 'ten_a' AND seq = 3`, Gap, 0},
		"the event that tells of it":  {"", `UPDATE audit_events SET metadata = '{}' WHERE tenant_id = 'ten_a' AND action = 'audit.purged'`, Changed, 0},
		"what it tells made to be no": {"", `UPDATE audit_events SET metadata = 'x' WHERE tenant_id = 'ten_a' AND action = 'audit.purged'`, Changed, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, d db.DB) {
				l := NewLog(d, clock.NewFake(start))
				aged(t, l, d, "ten_a", 500, 450, 10, 9)
				tamper := func(text string) {
					if text != "" {
						if n, err := d.Exec(t.Context(), text); err != nil || n != 1 {
							t.Fatal(n, err)
						}
					}
				}
				if _, err := d.Exec(t.Context(), `UPDATE audit_seals SET sealed_at = 0 WHERE tenant_id = 'ten_a' AND seq < 3`); err != nil { // as they would have been
					t.Fatal(err)
				}
				tamper(c.before)
				purge(t, l, nil)
				if err := l.Seal(t.Context()); err != nil {
					t.Fatal(err)
				}
				told := all(t, l, d, vendor, Filter{Tenant: "ten_a", Action: "audit.purged"})
				if len(told) != 1 || (told[0].Severity == Critical) != (c.before != "") {
					t.Errorf("%+v", told)
				}
				tamper(c.after)
				r := verify(t, l, "ten_a")
				if r.PurgedFaults != c.faults {
					t.Errorf("%d faults in what is gone", r.PurgedFaults)
				}
				if c.kind == "" && !r.OK() || c.kind != "" && !slices.ContainsFunc(r.Faults, func(f Fault) bool { return f.Kind == c.kind }) {
					t.Errorf("faults %+v", r.Faults)
				}
			})
		})
	}
}

// Every batch that goes is told of, in the transaction in which it goes: also by a
// run that fails in the next batch.
func TestPurgeTellsOfEachBatch(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		l := NewLog(d, clock.NewFake(start))
		each := make([]Target, purgeBatch+10)
		for i := range each {
			each[i] = Target{Type: "user", ID: "usr_1"}
		}
		e := event("ten_a", "user.created")
		e.At = start.Add(-500 * day)
		stmts, err := EachStmts(e, each)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Batch(t.Context(), stmts); err != nil {
			t.Fatal(err)
		}
		aged(t, l, d, "ten_a", 5)
		// The event of place 1,005 cannot go: somebody refers to it.
		for _, text := range []string{
			`CREATE TABLE holds (tenant_id TEXT NOT NULL, event_id TEXT NOT NULL, FOREIGN KEY (tenant_id, event_id) REFERENCES audit_events (tenant_id, id))`,
			`INSERT INTO holds (tenant_id, event_id) SELECT tenant_id, event_id FROM audit_seals WHERE tenant_id = 'ten_a' AND seq = 1005`,
		} {
			if _, err := d.Exec(t.Context(), text); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Purge(t.Context(), nil); err == nil {
			t.Fatal("the second batch went")
		}
		told := all(t, l, d, vendor, Filter{Tenant: "ten_a", Action: "audit.purged"})
		if len(told) != 1 || told[0].Metadata["events"] != float64(purgeBatch) {
			t.Errorf("told %+v", told)
		}
		if r := verify(t, l, "ten_a"); !r.OK() || r.Purged != purgeBatch {
			t.Errorf("%+v", r)
		}
	})
}

// A checkpoint that nobody told of is a forgery, though its digest fits: it would
// hide that a beginning was deleted.
func TestForgedCheckpoint(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		l := NewLog(d, clock.NewFake(start))
		aged(t, l, d, "ten_a", 20, 19, 18, 17)
		forge := func(seq int64) {
			t.Helper()
			c := checkpoint{tenant: "ten_a", seq: seq, events: seq, at: db.At(start)}
			if err := d.QueryRow(t.Context(), `SELECT hash FROM audit_seals WHERE tenant_id = 'ten_a' AND seq = $1`, seq).Scan(&c.hash); err != nil {
				t.Fatal(err)
			}
			for _, s := range []db.Stmt{
				{SQL: `DELETE FROM audit_events WHERE tenant_id = 'ten_a' AND id IN (SELECT event_id FROM audit_seals WHERE tenant_id = 'ten_a' AND seq <= $1)`, Args: []any{seq}},
				{SQL: `DELETE FROM audit_seals WHERE tenant_id = 'ten_a' AND seq <= $1`, Args: []any{seq}},
				{SQL: sqlPutCheckpoint, Args: []any{"ten_a", c.seq, c.hash, c.events, c.faults, c.at, c.sum()}},
			} {
				if _, err := d.Exec(t.Context(), s.SQL, s.Args...); err != nil {
					t.Fatal(err)
				}
			}
			if r := verify(t, l, "ten_a"); len(r.Faults) != 1 || r.Faults[0].Kind != Checkpoint {
				t.Errorf("%+v", r)
			}
		}
		forge(1)
		if _, err := d.Exec(t.Context(), `DELETE FROM audit_checkpoints`); err != nil {
			t.Fatal(err)
		}
		aged(t, l, d, "ten_b", 20, 19)
		purge(t, l, map[string]int{"env_a": 19}) // a true one, of the rest of ten_a
		forge(2)
	})
}

// cutting purges before the nth statement that reads.
type cutting struct {
	db.DB
	left  int
	purge func()
}

func (c *cutting) count() {
	if c.left--; c.left == 0 {
		c.purge()
	}
}

func (c *cutting) Query(ctx context.Context, sql string, args ...any) (db.Rows, error) {
	c.count()
	return c.DB.Query(ctx, sql, args...)
}

func (c *cutting) QueryRow(ctx context.Context, sql string, args ...any) db.Row {
	c.count()
	return c.DB.QueryRow(ctx, sql, args...)
}

// Verify is right though retention cuts the chain while it reads.
func TestVerifyWhilePurging(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		for n := 1; n < 12; n++ {
			tenant := fmt.Sprintf("ten_%d", n)
			c := clock.NewFake(start)
			l := NewLog(d, c)
			each := make([]Target, verifyBatch)
			for i := range each {
				each[i] = Target{Type: "user", ID: "usr_1"}
			}
			for _, age := range []int{500, 399} {
				e := event(tenant, "user.created")
				e.At = start.Add(-time.Duration(age) * day)
				stmts, err := EachStmts(e, each)
				if err != nil {
					t.Fatal(err)
				}
				if err := d.Batch(t.Context(), stmts); err != nil {
					t.Fatal(err)
				}
			}
			aged(t, l, d, tenant, 5)
			purge(t, l, nil)
			c.Advance(10 * day)
			reader := &cutting{DB: d, left: n, purge: func() { purge(t, l, nil) }}
			r, err := NewLog(reader, c).Verify(t.Context(), tenant)
			if err != nil || !r.OK() || r.Purged != verifyBatch && r.Purged != 2*verifyBatch {
				t.Fatalf("purged before statement %d: %+v, %v", n, r, err)
			}
			if reader.left > 0 {
				return // it has fewer statements
			}
		}
		t.Error("never ends")
	})
}

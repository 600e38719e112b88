package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/permission"
)

var start = time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)

func event(tenant, action string) Event {
	return Event{
		Environment: "env_a", Tenant: tenant, Action: action, At: start,
		Actor: actor.Actor{Kind: actor.User, Subject: "usr_1", Name: "Ada", IP: netip.MustParseAddr("192.0.2.1"), UserAgent: "browser", RequestID: "r1", Session: "ses_1"},
	}
}

func record(t *testing.T, q db.Queryer, events ...Event) {
	t.Helper()
	for _, e := range events {
		if err := Record(t.Context(), q, e); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRecordAndList(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		log := NewLog(d, clock.NewFake(start))
		e := event("ten_a", "user.updated")
		e.Targets = []Target{{"user", "usr_2", "Grace"}}
		e.Changes = map[string]Change{"name": {"G", "Grace"}, "password": {"old", "new"}, "client_secret": {nil, "s3cret"}, "refresh_token": {"", "x"}}
		e.Metadata = map[string]any{"n": 1.0, "api_token": "hush"}
		hidden := event("ten_a", "group.created")
		hidden.Hidden = true
		record(t, d, e, hidden, event("ten_b", "user.created"), event("", "environment.updated"))

		entries, next, err := log.List(ctx, d, actor.Actor{Environment: "env_a", Kind: actor.User, Tenant: "ten_a"}, Filter{})
		if err != nil || len(entries) != 1 || next != "" {
			t.Fatalf("%d entries, next %q, %v", len(entries), next, err)
		}
		got := entries[0]
		if got.Action != "user.updated" || got.Outcome != Success || got.Severity != Info || got.Tenant != "ten_a" || got.Environment != "env_a" ||
			!got.OccurredAt.Equal(start) || got.Actor != (Who{Type: "user", ID: "usr_1", Name: "Ada"}) ||
			got.Context != (Where{IP: "192.0.2.1", UserAgent: "browser", Session: "ses_1", RequestID: "r1"}) ||
			!slices.Equal(got.Targets, e.Targets) {
			t.Errorf("entry %+v", got)
		}
		if got.Changes["name"] != (Change{"G", "Grace"}) {
			t.Errorf("changes %v", got.Changes)
		}
		for _, field := range []string{"password", "client_secret", "refresh_token"} {
			if got.Changes[field].To != masked {
				t.Errorf("%s is not masked: %v", field, got.Changes[field])
			}
		}
		if got.Metadata["api_token"] != masked || got.Metadata["n"] != 1.0 {
			t.Errorf("metadata %v", got.Metadata)
		}

		manager := actor.Actor{Environment: "env_a", Kind: actor.Management}
		if entries, _, err = log.List(ctx, d, manager, Filter{Tenant: "ten_a"}); err != nil || len(entries) != 2 {
			t.Errorf("the vendor sees %d entries, %v", len(entries), err)
		}
		if entries, _, err = log.List(ctx, d, manager, Filter{}); err != nil || len(entries) != 1 || entries[0].Action != "environment.updated" {
			t.Errorf("above tenants: %v, %v", entries, err)
		}
		manager.Environment = "env_b"
		for _, f := range []Filter{{}, {Tenant: "ten_a"}, {Tenant: "ten_a", Action: "user.updated"}, {Tenant: "ten_a", Actor: "usr_1"}, {Tenant: "ten_a", Action: "user.updated", Actor: "usr_1"}} {
			if entries, _, err = log.List(ctx, d, manager, f); err != nil || len(entries) != 0 {
				t.Errorf("%+v from another environment: %v, %v", f, entries, err)
			}
		}
		_, _, err = log.List(ctx, d, actor.Actor{Kind: actor.User, Tenant: "ten_a"}, Filter{Tenant: "ten_b"})
		if fault.KindOf(err) != fault.NotFound {
			t.Errorf("another tenant's log: %v", err)
		}
	})
}

func TestListPagesAndFilters(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		log := NewLog(d, clock.NewFake(start))
		a := actor.Actor{Environment: "env_a", Kind: actor.User, Tenant: "ten_a"}
		for i := range 25 {
			e := event("ten_a", []string{"user.created", "user.deleted"}[i%2])
			e.Actor.Subject = fmt.Sprintf("usr_%d", i%3)
			e.At = start.Add(time.Duration(i) * time.Minute)
			record(t, d, e)
		}
		for name, c := range map[string]struct {
			filter Filter
			want   int
		}{
			"all":              {Filter{}, 25},
			"action":           {Filter{Action: "user.deleted"}, 12},
			"actor":            {Filter{Actor: "usr_0"}, 9},
			"both":             {Filter{Actor: "usr_0", Action: "user.created"}, 5},
			"from included":    {Filter{From: start.Add(20 * time.Minute)}, 5},
			"to excluded":      {Filter{To: start.Add(20 * time.Minute)}, 20},
			"action not known": {Filter{Action: "x"}, 0},
		} {
			seen := map[string]bool{}
			f := c.filter
			f.Limit = 4
			last := ""
			for {
				entries, next, err := log.List(t.Context(), d, a, f)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range entries {
					if seen[e.ID] || (last != "" && e.ID >= last) {
						t.Fatalf("%s: %s comes again or out of order", name, e.ID)
					}
					seen[e.ID], last = true, e.ID
				}
				if next == "" {
					break
				}
				f.Cursor = next
			}
			if len(seen) != c.want {
				t.Errorf("%s: %d entries, want %d", name, len(seen), c.want)
			}
		}
		if _, _, err := log.List(t.Context(), d, a, Filter{Cursor: "x' OR 1=1"}); fault.KindOf(err) != fault.Invalid {
			t.Errorf("bad cursor: %v", err)
		}
	})
}

func TestStmtsRefusesUnknownActions(t *testing.T) {
	if _, err := Stmts(event("ten_a", "user.exploded")); err == nil {
		t.Fatal("accepted")
	}
}

func TestHugeAndHostileValues(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		e := event("ten_a", "user.updated")
		e.Actor.UserAgent = strings.Repeat("x", 100_000) + "\x00\xff"
		e.Actor.Name = "nul\x00 bad\xff"
		e.Changes = map[string]Change{}
		for i := range 1000 {
			e.Changes[fmt.Sprint(i)] = Change{strings.Repeat("y", 5000), nil}
		}
		for range 1000 {
			e.Targets = append(e.Targets, Target{"user", "usr_1", strings.Repeat("z", 5000)})
		}
		record(t, d, e)
		entries, _, err := NewLog(d, clock.NewFake(start)).List(t.Context(), d, actor.Actor{Environment: "env_a", Tenant: "ten_a"}, Filter{})
		if err != nil || len(entries) != 1 {
			t.Fatal(len(entries), err)
		}
		if len(entries[0].Context.UserAgent) > maxText || len(entries[0].Targets) != maxTargets || entries[0].Actor.Name != "nul\uFFFD bad\uFFFD" {
			t.Errorf("%d %d %q", len(entries[0].Context.UserAgent), len(entries[0].Targets), entries[0].Actor.Name)
		}
	})
}

func TestSeverities(t *testing.T) {
	for action, c := range map[string]struct {
		outcome Outcome
		given   Severity
		want    Severity
	}{
		"user.created":         {"", "", Info},
		"user.updated":         {Failure, "", Medium},
		"token.refresh_reused": {Failure, "", Critical},
		"user.deleted":         {"", High, High},
	} {
		e := event("ten_a", action)
		e.Outcome, e.Severity = c.outcome, c.given
		stmts, err := Stmts(e)
		if err != nil {
			t.Fatal(err)
		}
		if got := stmts[0].Args[7]; got != string(c.want) {
			t.Errorf("%s: %v, want %v", action, got, c.want)
		}
	}
	for action := range catalogue {
		noun, verb, ok := strings.Cut(action, ".")
		if !ok || noun == "" || verb == "" || strings.ToLower(action) != action {
			t.Errorf("%q is not noun.verb", action)
		}
	}
}

func TestOutboxOnlyWhereSomebodyListens(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		for _, row := range [][3]string{{"ten_a", "user.created", "whk_1"}, {"ten_a", "user.created", "whk_2"}, {"ten_b", "*", "whk_3"}} {
			if _, err := d.Exec(ctx, `INSERT INTO audit_interest (tenant_id, action, subscriber) VALUES ($1, $2, $3)`, row[0], row[1], row[2]); err != nil {
				t.Fatal(err)
			}
		}
		hidden := event("ten_b", "user.created")
		hidden.Hidden = true
		record(t, d, event("ten_a", "user.created"), event("ten_a", "user.deleted"), event("ten_b", "user.deleted"), event("ten_c", "user.created"), hidden)
		for tenant, want := range map[string]int{"ten_a": 1, "ten_b": 1, "ten_c": 0} {
			var n int
			if err := d.QueryRow(ctx, `SELECT COUNT(*) FROM outbox WHERE tenant_id = $1`, tenant).Scan(&n); err != nil || n != want {
				t.Errorf("%s: %d outbox rows, want %d (%v)", tenant, n, want, err)
			}
		}
	})
}

func TestEventDiesWithItsTransaction(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		boom := errors.New("boom")
		err := d.Tx(t.Context(), func(q db.Queryer) error {
			record(t, q, event("ten_a", "user.created"))
			return boom
		})
		if !errors.Is(err, boom) || count(t, d, `SELECT COUNT(*) FROM audit_events`) != 0 {
			t.Error("the event outlived the change", err)
		}
	})
}

func TestAuthorize(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		log := NewLog(d, clock.NewFake(start))
		a := event("ten_a", "user.created").Actor
		a.Tenant, a.Environment, a.Permissions = "ten_a", "env_a", permission.NewSet("fe.secure.read.*")
		if err := log.Authorize(t.Context(), a, "fe.secure.read.users", Target{}); err != nil {
			t.Fatal(err)
		}
		if n := count(t, d, `SELECT COUNT(*) FROM audit_events`); n != 0 {
			t.Fatalf("%d events for what is allowed", n)
		}
		err := log.Authorize(t.Context(), a, "fe.secure.write.users", Target{"user", "usr_2", ""})
		if !errors.Is(err, ErrForbidden) || fault.KindOf(err) != fault.Forbidden {
			t.Fatal(err)
		}
		entries, _, err := log.List(t.Context(), d, a, Filter{})
		if err != nil || len(entries) != 1 || entries[0].Outcome != Denied || entries[0].Metadata["permission"] != "fe.secure.write.users" {
			t.Errorf("%+v %v", entries, err)
		}
	})
}

func count(t *testing.T, q db.Queryer, text string, args ...any) int {
	t.Helper()
	var n int
	if err := q.QueryRow(t.Context(), text, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func verify(t *testing.T, l *Log, tenant string) Result {
	t.Helper()
	r, err := l.Verify(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSealChainsEachTenant(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		c := clock.NewFake(start)
		log := NewLog(d, c)
		for i := range 7 {
			record(t, d, event("ten_a", "user.created"))
			if i%2 == 0 {
				record(t, d, event("", "environment.updated"))
			}
		}
		if r := verify(t, log, "ten_a"); r.Events != 0 || r.Unsealed != 7 || !r.OK() {
			t.Fatalf("before sealing: %+v", r)
		}
		if err := log.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		a, above := verify(t, log, "ten_a"), verify(t, log, "")
		if a.Events != 7 || a.Unsealed != 0 || !a.OK() || above.Events != 4 || !above.OK() || a.Head == above.Head || len(a.Head) != 64 {
			t.Fatalf("after sealing: %+v %+v", a, above)
		}
		// What commits late, with the time and id of before, is sealed by a later run.
		late := event("ten_a", "user.deleted")
		late.At = start.Add(-30 * time.Second)
		record(t, d, late)
		c.Advance(5 * time.Second)
		if err := log.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r := verify(t, log, "ten_a"); r.Events != 8 || !r.OK() {
			t.Fatalf("a late event: %+v", r)
		}
		// Later than the overlap: a run that looks back farther finds it, and at last the daily one.
		late.At = start.Add(-30 * time.Minute)
		record(t, d, late)
		later := event("ten_b", "user.deleted")
		later.At = start.Add(-3 * time.Hour)
		record(t, d, later)
		for _, step := range []struct {
			by   time.Duration
			a, b int
		}{{5 * time.Second, 1, 1}, {longEvery, 0, 1}, {completeEvery, 0, 0}} {
			c.Advance(step.by)
			if err := log.Seal(t.Context()); err != nil {
				t.Fatal(err)
			}
			for tenant, want := range map[string]int{"ten_a": step.a, "ten_b": step.b} {
				if r := verify(t, log, tenant); r.Unsealed != want || !r.OK() {
					t.Fatalf("a very late event after %v: %+v", step.by, r)
				}
			}
		}
	})
}

func TestSealersAtOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		c := clock.NewFake(start)
		var wg sync.WaitGroup
		ctx := context.WithoutCancel(t.Context())
		for w := range 4 {
			wg.Go(func() {
				for i := range 30 {
					if err := Record(ctx, d, event("ten_a", "user.created")); err != nil {
						t.Error(w, i, err)
					}
				}
			})
			wg.Go(func() {
				log := NewLog(d, c)
				for range 10 {
					if err := log.Seal(ctx); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		log := NewLog(d, c)
		if err := log.Seal(ctx); err != nil {
			t.Fatal(err)
		}
		if r := verify(t, log, "ten_a"); r.Events != 120 || r.Unsealed != 0 || !r.OK() {
			t.Fatalf("%+v", r)
		}
	})
}

func TestManyBatches(t *testing.T) {
	d := dbtest.Open(t, db.SQLite)
	const n = 2*verifyBatch + 1
	err := d.Tx(t.Context(), func(q db.Queryer) error {
		for range n {
			if err := Record(t.Context(), q, event("ten_a", "user.created")); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	log := NewLog(d, clock.NewFake(start))
	if err := log.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, log, "ten_a"); r.Events != n || r.Unsealed != 0 || !r.OK() {
		t.Fatalf("%+v", r)
	}
}

func TestVerifyFindsTampering(t *testing.T) {
	for name, c := range map[string]struct {
		tamper []string
		want   []Fault
	}{
		"nothing":              {nil, nil},
		"a changed action":     {[]string{`UPDATE audit_events SET action = 'user.updated' WHERE id = :3`}, []Fault{{Changed, 3, ""}}},
		"a changed document":   {[]string{`UPDATE audit_events SET metadata = '{ }' WHERE id = :3`}, []Fault{{Changed, 3, ""}}},
		"a broken document":    {[]string{`UPDATE audit_events SET actor = 'not json' WHERE id = :3`}, []Fault{{Changed, 3, ""}}},
		"hidden from a tenant": {[]string{`UPDATE audit_events SET visible = FALSE WHERE id = :3`}, []Fault{{Changed, 3, ""}}},
		"a changed time":       {[]string{`UPDATE audit_events SET occurred_at = 5 WHERE id = :3`}, []Fault{{Changed, 3, ""}}},
		"the last one":         {[]string{`UPDATE audit_events SET actor_id = 'usr_9' WHERE id = :6`}, []Fault{{Changed, 6, ""}}},
		"two side by side":     {[]string{`UPDATE audit_events SET actor_id = 'usr_9' WHERE id IN (:3, :4)`}, []Fault{{Changed, 3, ""}, {Changed, 4, ""}}},
		"a missing row":        {[]string{`DELETE FROM audit_events WHERE id = :3`}, []Fault{{Missing, 3, ""}}},
		"changed, then gone":   {[]string{`UPDATE audit_events SET actor_id = 'usr_9' WHERE id = :2`, `DELETE FROM audit_events WHERE id = :3`}, []Fault{{Changed, 2, ""}, {Missing, 3, ""}}},
		"a changed hash":       {[]string{`UPDATE audit_seals SET hash = 'ff' WHERE seq = 3`}, []Fault{{Hash, 3, ""}}},
		"a removed place":      {[]string{`DELETE FROM audit_seals WHERE seq = 3`, `DELETE FROM audit_events WHERE id = :3`}, []Fault{{Gap, 4, ""}}},
		"the first one gone":   {[]string{`DELETE FROM audit_seals WHERE seq = 1`}, []Fault{{Gap, 2, ""}}},
		"two rows swapped": {[]string{
			`UPDATE audit_seals SET event_id = 'x' WHERE seq = 3`, `UPDATE audit_seals SET event_id = :3 WHERE seq = 4`, `UPDATE audit_seals SET event_id = :4 WHERE seq = 3`,
		}, []Fault{{Changed, 3, ""}, {Changed, 4, ""}}},
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, d db.DB) {
				ctx := t.Context()
				log := NewLog(d, clock.NewFake(start))
				for range 6 {
					record(t, d, event("ten_a", "user.created"))
				}
				record(t, d, event("ten_b", "user.created"))
				if err := log.Seal(ctx); err != nil {
					t.Fatal(err)
				}
				for _, text := range c.tamper {
					for seq := range 7 {
						if mark := fmt.Sprintf(":%d", seq); strings.Contains(text, mark) {
							text = strings.ReplaceAll(text, mark, "'"+eventAt(t, d, seq)+"'")
						}
					}
					if _, err := d.Exec(ctx, text+` AND tenant_id = 'ten_a'`); err != nil {
						t.Fatal(err)
					}
				}
				got := verify(t, log, "ten_a").Faults
				for i := range got {
					if got[i].Event == "" {
						t.Errorf("fault %+v names no event", got[i])
					}
					got[i].Event = ""
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("faults %+v, want %+v", got, c.want)
				}
				if r := verify(t, log, "ten_b"); !r.OK() || r.Events != 1 {
					t.Errorf("the other tenant: %+v", r)
				}
			})
		})
	}
}

// eventAt is the event at a place of ten_a's chain; what a tampering statement
// before has changed is looked up in the order of ids, which is that of places.
func eventAt(t *testing.T, d db.DB, seq int) string {
	t.Helper()
	rows, err := d.Query(t.Context(), `SELECT id FROM audit_events WHERE tenant_id = 'ten_a' ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids[seq-1]
}

// The form is a promise to whoever checks an exported chain with other tools.
func TestHashForm(t *testing.T) {
	r := row{
		Tenant: "ten_a", ID: "evt_1", Environment: "env_a", Occurred: db.At(start), Recorded: db.At(start), Action: "user.created", Outcome: Success,
		Severity: Info, ActorType: "user", ActorID: "usr_1", Actor: "{}", Targets: "[]", Context: "{}", Changes: "{}", Metadata: "{}", Source: "builtin", Visible: true,
	}
	got, err := r.hash("")
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{
		"tenant_id": "ten_a", "id": "evt_1", "environment_id": "env_a", "occurred_at": start.UnixMicro(), "recorded_at": start.UnixMicro(),
		"action": "user.created", "outcome": "success", "severity": "info", "actor_type": "user", "actor_id": "usr_1", "actor": "{}", "targets": "[]",
		"context": "{}", "changes": "{}", "metadata": "{}", "source": "builtin", "visible": true,
	})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text) // of a map, so with sorted keys
	if want := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("hash %s, want that of %s: %s", got, text, want)
	}
}

func BenchmarkRecord(b *testing.B) {
	dbtest.Bench(b, func(b *testing.B, d db.DB) {
		for b.Loop() {
			if err := Record(b.Context(), d, event("ten_a", "user.created")); err != nil {
				b.Fatal(err)
			}
		}
	})
}

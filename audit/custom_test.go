package audit

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

func custom(action string) Custom {
	return Custom{
		Action: action, OccurredAt: start.Add(-time.Hour), ActorID: "u-7", ActorName: "Ада", ActorEmail: "ada@example.com", Location: "192.0.2.9", UserAgent: "app/1",
		Targets: []Target{{"invoice", "inv-1", "Rechnung №1"}}, Severity: High, Metadata: map[string]any{"amount": 12.5, "密码": "x", "api_secret": "hush"},
	}
}

func send(t *testing.T, l *Log, d db.DB, tenant string, atOnce bool, events ...Custom) (out []CustomResult, err error) {
	t.Helper()
	err = d.Tx(t.Context(), func(q db.Queryer) (err error) {
		out, err = l.RecordCustom(t.Context(), vendor, q, tenant, events, atOnce)
		return err
	})
	return out, err
}

// Product 69: the application's own events stand among the built-in ones.
func TestCustomEvents(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		l := NewLog(d, clock.NewFake(start))
		built := event("ten_a", "user.created")
		built.At = start.Add(-2 * time.Hour)
		record(t, d, built)
		if _, err := d.Exec(t.Context(), `INSERT INTO audit_interest (tenant_id, action, subscriber) VALUES ('ten_a', 'invoice.deleted', 'whk_1')`); err != nil {
			t.Fatal(err)
		}
		out, err := send(t, l, d, "ten_a", true, custom("invoice.deleted"))
		if err != nil || len(out) != 1 || out[0].Duplicate {
			t.Fatal(out, err)
		}
		got := all(t, l, d, member, Filter{})
		if len(got) != 2 || got[0].Action != "invoice.deleted" || got[1].Action != "user.created" {
			t.Fatalf("%+v", got)
		}
		e := got[0]
		if e.ID != out[0].ID || e.Source != "custom" || e.Severity != High || e.Outcome != Success || e.Actor.Name != "Ада" || e.Actor.ID != "u-7" || e.Actor.Type != "user" ||
			e.Context.IP != "192.0.2.9" || e.Context.UserAgent != "app/1" || !e.OccurredAt.Equal(start.Add(-time.Hour)) || !e.RecordedAt.Equal(start) ||
			e.Targets[0].Name != "Rechnung №1" || e.Metadata["amount"] != 12.5 || e.Metadata["密码"] != "x" || e.Metadata["api_secret"] != masked {
			t.Errorf("%+v", e)
		}
		if e.SentBy == nil || *e.SentBy != (Sender{Type: "management_key", ID: "key_1", Name: "CI"}) {
			t.Errorf("who vouches: %+v", e.SentBy)
		}
		if n := count(t, d, `SELECT COUNT(*) FROM outbox WHERE tenant_id = 'ten_a' AND event_id = $1`, e.ID); n != 1 {
			t.Errorf("%d outbox rows", n)
		}
		if err := l.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r := verify(t, l, "ten_a"); !r.OK() || r.Events != 2 {
			t.Errorf("%+v", r)
		}
		place := custom("invoice.sent")
		place.Location, place.OccurredAt = "Kraków", time.Time{} // now
		if _, err := send(t, l, d, "ten_a", true, place); err != nil {
			t.Fatal(err)
		}
		if e := all(t, l, d, member, Filter{Action: "invoice.sent"})[0]; !e.OccurredAt.Equal(start) || e.Context.Location != "Kraków" || e.Context.IP != "" {
			t.Errorf("%+v", e.Context)
		}
		// Metadata is kept as it was sent; an address with a zone is a place.
		long := custom("invoice.archived")
		long.Metadata, long.Location = map[string]any{"text": strings.Repeat("ж", 3000), "nul": "a\x00b"}, "fe80::1%=1+1"
		if _, err := send(t, l, d, "ten_a", true, long); err != nil {
			t.Fatal(err)
		}
		both := custom("invoice.opened")
		both.Location, both.IP = "Kraków", "::ffff:192.0.2.9"
		if _, err := send(t, l, d, "ten_a", true, both); err != nil {
			t.Fatal(err)
		}
		if e := all(t, l, d, member, Filter{Action: "invoice.opened"})[0]; e.Context.IP != "192.0.2.9" || e.Context.Location != "Kraków" {
			t.Errorf("%+v", e.Context)
		}
		if e := all(t, l, d, member, Filter{Action: "invoice.archived"})[0]; e.Metadata["text"] != long.Metadata["text"] || e.Metadata["nul"] != "a\x00b" || e.Context.IP != "" || e.Context.Location != "fe80::1%=1+1" {
			t.Errorf("%+v %+v", e.Context, e.Metadata)
		}
		if _, err := l.RecordCustom(t.Context(), member, d, "ten_a", []Custom{custom("a.b")}, false); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("a member vouches: %v", err)
		}
		if _, err := l.RecordCustom(t.Context(), vendor, d, "", []Custom{custom("a.b")}, false); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("above tenants: %v", err)
		}
	})
}

func TestCustomEventsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Custom)
		field  string
	}{
		"no verb":            {func(c *Custom) { c.Action = "invoice" }, "action"},
		"capitals":           {func(c *Custom) { c.Action = "Invoice.deleted" }, "action"},
		"an empty word":      {func(c *Custom) { c.Action = "invoice..deleted" }, "action"},
		"a digit first":      {func(c *Custom) { c.Action = "invoice.1" }, "action"},
		"five words":         {func(c *Custom) { c.Action = "a.b.c.d.e" }, "action"},
		"long":               {func(c *Custom) { c.Action = "a." + strings.Repeat("b", 100) }, "action"},
		"another alphabet":   {func(c *Custom) { c.Action = "счёт.удалён" }, "action"},
		"a wildcard":         {func(c *Custom) { c.Action = "invoice.*" }, "action"},
		"a built-in name":    {func(c *Custom) { c.Action = "user.created" }, "action"},
		"the future":         {func(c *Custom) { c.OccurredAt = start.Add(6 * time.Minute) }, "occurred_at"},
		"long ago":           {func(c *Custom) { c.OccurredAt = time.Unix(0, 0) }, "occurred_at"},
		"nobody":             {func(c *Custom) { c.ActorID, c.ActorName, c.ActorEmail = "", "", "" }, "actor"},
		"a long id":          {func(c *Custom) { c.ActorID = strings.Repeat("x", 256) }, "actor.id"},
		"no UTF-8":           {func(c *Custom) { c.ActorName = "a\xff" }, "actor.name"},
		"NUL":                {func(c *Custom) { c.UserAgent = "a\x00" }, "context.user_agent"},
		"no address":         {func(c *Custom) { c.IP = "1.2.3" }, "context.ip"},
		"another line":       {func(c *Custom) { c.ActorName = "Ada\n2026-01-01 user.deleted" }, "actor.name"},
		"a terminal's code":  {func(c *Custom) { c.Location = "\x1b[2J" }, "context.location"},
		"a target of lines":  {func(c *Custom) { c.Targets = []Target{{"x", "y", "a\r\nb"}} }, "targets[0]"},
		"a management key":   {func(c *Custom) { c.ActorType = "management_key" }, "actor.type"},
		"the vendor's staff": {func(c *Custom) { c.ActorType = "Vendor_User" }, "actor.type"},
		"SCIM":               {func(c *Custom) { c.ActorType = "scim" }, "actor.type"},
		"a type of words":    {func(c *Custom) { c.ActorType = "a user" }, "actor.type"},
		"a target of no id":  {func(c *Custom) { c.Targets = []Target{{"x", "y", ""}, {"x", "", ""}} }, "targets[1]"},
		"too many targets":   {func(c *Custom) { c.Targets = make([]Target, 21) }, "targets"},
		"a severity unknown": {func(c *Custom) { c.Severity = "fatal" }, "severity"},
		"an outcome unknown": {func(c *Custom) { c.Outcome = "maybe" }, "outcome"},
		"51 keys": {func(c *Custom) {
			for i := range 51 {
				c.Metadata[fmt.Sprint(i)] = 1
			}
		}, "metadata"},
		"9 kB":            {func(c *Custom) { c.Metadata["x"] = strings.Repeat("ж", 4500) }, "metadata"},
		"an empty key":    {func(c *Custom) { c.Metadata[""] = 1 }, "metadata"},
		"NUL in a key":    {func(c *Custom) { c.Metadata["\x00"] = 1 }, "metadata"},
		"what is no JSON": {func(c *Custom) { c.Metadata["x"] = func() {} }, "metadata"},
	} {
		e := custom("invoice.deleted")
		c.change(&e)
		err := e.check(start)
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.Invalid || f.Field != c.field {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Product 7.2: an idempotency key names an event for 24 hours within its tenant.
func TestIdempotencyKeys(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		c := clock.NewFake(start)
		l := NewLog(d, c)
		e := custom("invoice.deleted")
		e.IdempotencyKey = "k\"1\\"
		first, err := send(t, l, d, "ten_a", true, e)
		if err != nil {
			t.Fatal(err)
		}
		again, err := send(t, l, d, "ten_a", true, e)
		if err != nil || again[0].ID != first[0].ID || !again[0].Duplicate {
			t.Errorf("again: %+v %v", again, err)
		}
		other := e
		other.Severity = Info
		if _, err := send(t, l, d, "ten_a", true, other); !errors.Is(err, ErrCustomKey) {
			t.Errorf("another event under the key: %v", err)
		}
		if out, err := send(t, l, d, "ten_b", true, e); err != nil || out[0].Duplicate {
			t.Errorf("another tenant: %+v %v", out, err)
		}
		c.Advance(24*time.Hour + time.Second)
		if out, err := send(t, l, d, "ten_a", true, other); err != nil || out[0].Duplicate {
			t.Errorf("a day later: %+v %v", out, err)
		}
		c.Advance(25 * time.Hour)
		if err := l.Purge(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if n := count(t, d, `SELECT COUNT(*) FROM audit_event_keys`); n != 0 {
			t.Errorf("%d keys are kept", n)
		}
		// Many at the same time make one event.
		e.IdempotencyKey = "race"
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := send(t, l, d, "ten_c", true, e); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := count(t, d, `SELECT COUNT(*) FROM audit_events WHERE tenant_id = 'ten_c'`); n != 1 {
			t.Errorf("%d events of one key", n)
		}
	})
}

// Bulk operations report per row, in a number of statements that does not depend
// on what the rows are.
func TestCustomBatch(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		l := NewLog(d, clock.NewFake(start))
		keyed, changed, bad := custom("a.b"), custom("a.c"), custom("user.created")
		keyed.IdempotencyKey, changed.IdempotencyKey = "k", "k"
		batch := []Custom{custom("a.b"), bad, keyed, keyed, changed}
		var out []CustomResult
		ctx, n := db.Count(t.Context())
		err := d.Tx(ctx, func(q db.Queryer) (err error) {
			out, err = l.RecordCustom(ctx, vendor, q, "ten_a", batch, false)
			return err
		})
		if err != nil || n.RoundTrips() > 4 {
			t.Fatal(err, n.RoundTrips())
		}
		if out[0].Err != nil || out[0].ID == "" || fault.CodeOf(out[1].Err) != "reserved_action" || out[2].Err != nil || !out[3].Duplicate || out[3].ID != out[2].ID ||
			!errors.Is(out[4].Err, ErrCustomKey) {
			t.Errorf("%+v", out)
		}
		if n := len(all(t, l, d, member, Filter{})); n != 2 {
			t.Errorf("%d events", n)
		}
		again, err := send(t, l, d, "ten_a", false, batch...)
		if err != nil || !again[2].Duplicate || again[2].ID != out[2].ID || !again[3].Duplicate || again[3].ID != out[2].ID || again[4].Err == nil {
			t.Errorf("again: %+v %v", again, err)
		}
		before := len(all(t, l, d, member, Filter{}))
		_, err = send(t, l, d, "ten_a", true, batch...)
		var f *fault.Error
		if !errors.As(err, &f) || f.Field != "events[1].action" {
			t.Errorf("all or nothing: %v", err)
		}
		fresh := custom("a.b")
		fresh.IdempotencyKey = "fresh"
		if _, err = send(t, l, d, "ten_a", true, fresh, changed); !errors.Is(err, ErrCustomKey) {
			t.Errorf("all or nothing with a key of before: %v", err)
		}
		if after := len(all(t, l, d, member, Filter{})); after != before || count(t, d, `SELECT COUNT(*) FROM audit_event_keys`) != 1 {
			t.Errorf("%d events were recorded nevertheless", after-before)
		}
		for _, n := range []int{0, 101} {
			if _, err := send(t, l, d, "ten_a", false, make([]Custom, n)...); fault.CodeOf(err) != "bulk_limit" {
				t.Errorf("%d events: %v", n, err)
			}
		}
		// A batch of the greatest size is one round trip for the events.
		most := make([]Custom, MaxCustomBatch)
		for i := range most {
			most[i] = custom("a.b")
		}
		ctx, n = db.Count(t.Context())
		if err := d.Tx(ctx, func(q db.Queryer) error { _, err := l.RecordCustom(ctx, vendor, q, "ten_z", most, true); return err }); err != nil || n.RoundTrips() > 2 {
			t.Errorf("%v in %d round trips", err, n.RoundTrips())
		}
	})
}

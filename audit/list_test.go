package audit

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

var (
	member = actor.Actor{Environment: "env_a", Kind: actor.User, Subject: "usr_1", Tenant: "ten_a"}
	vendor = actor.Actor{Environment: "env_a", Kind: actor.Management, Subject: "key_1", Name: "CI"}
)

// all reads every page.
func all(t *testing.T, l *Log, d db.DB, a actor.Actor, f Filter) []Entry {
	t.Helper()
	var list []Entry
	for range 1000 {
		page, next, err := l.List(t.Context(), d, a, f)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, page...)
		if next == "" {
			return list
		}
		f.Cursor = next
	}
	t.Fatal("the list does not end")
	return nil
}

// Product 2.8 and 67: the filters of the log, in both directions.
func TestFilters(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		l := NewLog(d, clock.NewFake(start))
		one := event("ten_a", "user.created")
		one.Actor.Email = "Ada.L@example.com"
		one.Targets = []Target{{"user", "usr_9", "Ирина 100%_"}, {"group", "grp_1", "ÉQUIPE"}}
		two := event("ten_a", "user.deleted")
		two.At = start.Add(time.Minute)
		two.Outcome = Failure
		two.Actor.Subject, two.Actor.Name = "usr_2", `Quote " <b> & back\slash`
		three := event("ten_a", "role.deleted")
		three.At, three.Severity = start.Add(2*time.Minute), Critical
		three.Actor.Impersonator = actor.Impersonator{ID: "stf_1", Email: "support@vendor.example"}
		four := event("ten_a", "users.exploded") // not of the noun user
		four.Action = "role.created"
		four.At, four.Hidden = start.Add(3*time.Minute), true
		record(t, d, one, two, three, four, event("ten_b", "user.created"))
		for name, c := range map[string]struct {
			f    Filter
			want string // actions, newest first
		}{
			"nothing":                        {Filter{}, "role.deleted user.deleted user.created"},
			"exact action":                   {Filter{Action: "user.created"}, "user.created"},
			"a noun":                         {Filter{Action: "user.*"}, "user.deleted user.created"},
			"no such noun":                   {Filter{Action: "use.*"}, ""},
			"a wildcard elsewhere is a name": {Filter{Action: "*"}, ""},
			"actor by id":                    {Filter{Actor: "usr_2"}, "user.deleted"},
			"actor by id and action":         {Filter{Actor: "usr_1", Action: "user.created"}, "user.created"},
			"actor by id and noun":           {Filter{Actor: "usr_1", Action: "user.*"}, "user.created"},
			"actor by address":               {Filter{Actor: "ada.l@EXAMPLE.com"}, "user.created"},
			"part of an address":             {Filter{Actor: "l@example.com"}, ""},
			"an impersonator is no actor":    {Filter{Actor: "support@vendor.example"}, ""},
			"nor found by text":              {Filter{Search: "support@vendor"}, ""},
			"target":                         {Filter{Target: "usr_9"}, "user.created"},
			"second target":                  {Filter{Target: "grp_1"}, "user.created"},
			"part of a target":               {Filter{Target: "usr_"}, ""},
			"severity":                       {Filter{Severities: []Severity{Critical, High}}, "role.deleted"},
			"severities":                     {Filter{Severities: []Severity{Critical, Medium}}, "role.deleted user.deleted"},
			"outcome":                        {Filter{Outcome: Failure}, "user.deleted"},
			"source":                         {Filter{Source: "custom"}, ""},
			"text of the action":             {Filter{Search: "ROLE.del"}, "role.deleted"},
			"text of a name":                 {Filter{Search: "ирина"}, "user.created"},
			"text in capitals":               {Filter{Search: "équipe"}, "user.created"},
			"percent is itself":              {Filter{Search: "100%_"}, "user.created"},
			"percent matches nothing else":   {Filter{Search: "1%0"}, ""},
			"JSON's own words do not match":  {Filter{Search: `"name":`}, ""},
			"a field's name does not match":  {Filter{Search: "name"}, ""},
			"quotes and slashes":             {Filter{Search: `" <b> & back\s`}, "user.deleted"},
			"from":                           {Filter{From: start.Add(time.Minute)}, "role.deleted user.deleted"},
			"to":                             {Filter{To: start.Add(time.Minute)}, "user.created"},
			"an empty stretch of time":       {Filter{From: start.Add(time.Minute), To: start}, ""},
		} {
			for _, limit := range []int{0, 1} {
				c.f.Limit = limit
				var got []string
				for _, e := range all(t, l, d, member, c.f) {
					got = append(got, e.Action)
				}
				if strings.Join(got, " ") != c.want {
					t.Errorf("%s, limit %d: %v, want %s", name, limit, got, c.want)
				}
				oldest := c.f
				oldest.Oldest = true
				var back []string
				for _, e := range all(t, l, d, member, oldest) {
					back = append(back, e.Action)
				}
				slices.Reverse(back)
				if !slices.Equal(back, got) {
					t.Errorf("%s oldest first: %v", name, back)
				}
			}
		}
		for name, f := range map[string]Filter{
			"invalid UTF-8": {Search: "\xff"}, "NUL": {Actor: "a\x00"}, "long": {Search: strings.Repeat("x", MaxSearch+1)}, "cursor": {Cursor: "5~evt_x"}, "cursor of another form": {Cursor: "evt_" + strings.Repeat("a", 26)},
		} {
			if _, _, err := l.List(t.Context(), d, member, f); fault.KindOf(err) != fault.Invalid {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// Product 2.8: an impersonated entry says by whom; the environment may keep that from the tenant.
func TestImpersonator(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		l := NewLog(d, clock.NewFake(start))
		e := event("ten_a", "user.updated")
		e.Actor.Impersonator = actor.Impersonator{ID: "stf_1", Email: "support@vendor.example"}
		record(t, d, e)
		for _, hide := range []bool{false, true} {
			got := all(t, l, d, member, Filter{NoImpersonator: hide})
			if len(got) != 1 || (got[0].Actor.Impersonator == nil) != hide || !hide && *got[0].Actor.Impersonator != e.Actor.Impersonator {
				t.Errorf("hidden %v: %+v", hide, got)
			}
		}
		got, err := l.Get(t.Context(), d, vendor, "ten_a", all(t, l, d, vendor, Filter{Tenant: "ten_a"})[0].ID)
		if err != nil || got.Actor.Impersonator == nil {
			t.Errorf("the vendor: %+v %v", got, err)
		}
	})
}

// The vendor's log over all tenants of an environment, and those above them.
func TestEverywhere(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		l := NewLog(d, clock.NewFake(start))
		for i := range 9 {
			e := event([]string{"ten_a", "ten_b", ""}[i%3], "user.created")
			e.At = start.Add(time.Duration(i/2) * time.Minute)
			e.Hidden = i == 4
			record(t, d, e)
		}
		foreign := event("ten_x", "user.created")
		foreign.Environment = "env_b"
		record(t, d, foreign)
		for _, oldest := range []bool{false, true} {
			got := all(t, l, d, vendor, Filter{Everywhere: true, Limit: 2, Oldest: oldest})
			if len(got) != 9 {
				t.Fatalf("%d events", len(got))
			}
			for i := range got[1:] {
				if a, b := got[i].RecordedAt, got[i+1].RecordedAt; oldest && a.After(b) || !oldest && a.Before(b) {
					t.Errorf("out of order at %d", i)
				}
			}
		}
		if n := len(all(t, l, d, vendor, Filter{Everywhere: true, To: start.Add(2 * time.Minute)})); n != 4 {
			t.Errorf("%d before the second minute", n)
		}
		if n := len(all(t, l, d, vendor, Filter{})); n != 3 {
			t.Errorf("%d above tenants", n)
		}
		if _, _, err := l.List(t.Context(), d, member, Filter{Everywhere: true}); fault.KindOf(err) != fault.NotFound {
			t.Errorf("a member asks for all tenants: %v", err)
		}
	})
}

func TestGet(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		l := NewLog(d, clock.NewFake(start))
		hidden := event("ten_a", "user.created")
		hidden.Hidden = true
		record(t, d, hidden, event("ten_b", "user.created"))
		a, b := all(t, l, d, vendor, Filter{Tenant: "ten_a"})[0].ID, all(t, l, d, vendor, Filter{Tenant: "ten_b"})[0].ID
		other := vendor
		other.Environment = "env_b"
		for name, c := range map[string]struct {
			a             actor.Actor
			tenant, event string
			found         bool
		}{
			"the vendor":          {vendor, "ten_a", a, true},
			"hidden":              {member, "ten_a", a, false},
			"of another tenant":   {member, "ten_a", b, false},
			"in another tenant":   {member, "ten_b", b, false},
			"another environment": {other, "ten_a", a, false},
			"no id":               {vendor, "ten_a", "x' OR 1=1", false},
			"above tenants":       {vendor, "", a, false},
		} {
			e, err := l.Get(t.Context(), d, c.a, c.tenant, c.event)
			if c.found != (err == nil) || !c.found && fault.KindOf(err) != fault.NotFound || c.found && e.ID != c.event {
				t.Errorf("%s: %+v %v", name, e, err)
			}
		}
	})
}

// A page looks at a bounded stretch of the log, whatever its filter asks for, in
// one or two statements.
func TestPagesAreBounded(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		l := NewLog(d, clock.NewFake(start))
		each := make([]Target, 2*scanLimit+500)
		for i := range each {
			each[i] = Target{Type: "user", ID: fmt.Sprintf("usr_%d", i)}
		}
		rare := event("ten_a", "role.deleted")
		rare.Severity = Critical
		record(t, d, rare)
		e := event("ten_a", "user.created")
		e.At = start.Add(time.Minute)
		stmts, err := EachStmts(e, each)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Batch(t.Context(), stmts); err != nil {
			t.Fatal(err)
		}
		for name, f := range map[string]Filter{
			"severity": {Severities: []Severity{Critical}}, "text": {Search: "role.deleted"}, "outcome": {Severities: []Severity{Critical}, Outcome: Success},
		} {
			pages, found := 0, 0
			for {
				ctx, n := db.Count(t.Context())
				page, next, err := l.List(ctx, d, member, f)
				if err != nil || n.Statements() > 2 {
					t.Fatal(err, n.Statements())
				}
				pages++
				found += len(page)
				if f.Cursor = next; next == "" {
					break
				}
			}
			if pages != 3 || found != 1 {
				t.Errorf("%s: %d pages, %d events", name, pages, found)
			}
		}
		ctx, n := db.Count(t.Context())
		if page, next, err := l.List(ctx, d, member, Filter{Limit: 1000}); err != nil || len(page) != MaxLimit || next == "" || n.Statements() != 1 {
			t.Errorf("an ordinary page: %d events, %d statements, %v", len(page), n.Statements(), err)
		}
		// The index of the action leads to the rare one at once.
		if page, next, err := l.List(t.Context(), d, member, Filter{Action: "role.deleted"}); err != nil || len(page) != 1 || next != "" {
			t.Errorf("by action: %d events, %q, %v", len(page), next, err)
		}
	})
}

func TestLargeEventsMakeShortPages(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		l := NewLog(d, clock.NewFake(start))
		e := event("ten_a", "user.updated")
		e.Changes = map[string]Change{}
		for i := range 220 {
			e.Changes[fmt.Sprint(i)] = Change{strings.Repeat("y", maxText), nil}
		}
		for range 40 {
			record(t, d, e)
		}
		page, next, err := l.List(t.Context(), d, member, Filter{Limit: 200})
		if err != nil || len(page) == 40 || next == "" {
			t.Errorf("%d of 40 in one page, %v", len(page), err)
		}
		if n := len(all(t, l, d, member, Filter{Limit: 200})); n != 40 {
			t.Errorf("%d of 40 in all", n)
		}
	})
}

// Product 2.8: the total of today and the severe of this week.
func TestStats(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		l := NewLog(d, clock.NewFake(start))
		for _, c := range []struct {
			ago    time.Duration
			s      Severity
			hidden bool
		}{
			{0, Info, false},
			{9 * time.Hour, Critical, false},
			{11 * time.Hour, High, false}, // yesterday
			{6 * 24 * time.Hour, Error, false},
			{8 * 24 * time.Hour, Critical, false},
			{time.Hour, Critical, true},
			{time.Hour, Medium, false},
		} {
			e := event("ten_a", "user.created")
			e.At, e.Severity, e.Hidden = start.Add(-c.ago), c.s, c.hidden
			record(t, d, e)
		}
		record(t, d, event("ten_b", "user.created"))
		ctx, n := db.Count(t.Context())
		got, err := l.Stats(ctx, d, member, "ten_a")
		if err != nil || got.Today != 3 || got.Severe != 3 || n.Statements() != 2 {
			t.Errorf("%+v %v in %d statements", got, err, n.Statements())
		}
		if got, err = l.Stats(t.Context(), d, vendor, "ten_a"); err != nil || got.Today != 4 || got.Severe != 4 {
			t.Errorf("the vendor: %+v %v", got, err)
		}
		if _, err = l.Stats(t.Context(), d, member, "ten_b"); fault.KindOf(err) != fault.NotFound {
			t.Errorf("another tenant: %v", err)
		}
	})
}

// Retention takes the oldest events away while somebody reads on from there: he
// misses none of those that stay.
func TestOldestFirstWhilePurging(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		l := NewLog(d, clock.NewFake(start))
		each := make([]Target, scanLimit+500)
		for i := range each {
			each[i] = Target{Type: "user", ID: "usr_1"}
		}
		e := event("ten_a", "user.created")
		stmts, err := EachStmts(e, each)
		if err != nil {
			t.Fatal(err)
		}
		rare := event("ten_a", "role.deleted")
		rare.At, rare.Severity = start.Add(time.Second), Critical
		if err := d.Batch(t.Context(), stmts); err != nil {
			t.Fatal(err)
		}
		record(t, d, rare)
		e.At = start.Add(time.Minute)
		if stmts, err = EachStmts(e, each); err != nil {
			t.Fatal(err)
		}
		if err := d.Batch(t.Context(), stmts); err != nil {
			t.Fatal(err)
		}
		reader := &cutting{DB: d, left: 2, purge: func() {
			if _, err := d.Exec(t.Context(), `DELETE FROM audit_events WHERE id IN (SELECT id FROM audit_events WHERE tenant_id = 'ten_a' ORDER BY occurred_at, id LIMIT 1000)`); err != nil {
				t.Error(err)
			}
		}}
		f, found := Filter{Severities: []Severity{Critical}, Oldest: true}, 0
		for range 10 {
			page, next, err := l.List(t.Context(), reader, member, f)
			if err != nil {
				t.Fatal(err)
			}
			found += len(page)
			if f.Cursor = next; next == "" {
				break
			}
		}
		if found != 1 || f.Cursor != "" {
			t.Errorf("%d events found, cursor %q", found, f.Cursor)
		}
	})
}

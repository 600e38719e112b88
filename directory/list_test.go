package directory

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// crowd adds n members to tenant a: every hundredth is invited, every 200th a guest.
func (f *fixture) crowd(n int) {
	numbers := fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) `, n)
	f.exec(`INSERT INTO users (environment_id, id, email, email_key, email_verified, created_at, updated_at) ` + numbers +
		`SELECT 'env', 'u' || i, 'p' || i || '@x.example', 'p' || i || '@x.example', FALSE, i, i FROM n`)
	f.exec(`INSERT INTO memberships (tenant_id, id, environment_id, user_id, status, managed_by, email, email_key, user_name_key, first_name, last_name, created_at, updated_at, expires_at) ` + numbers +
		`SELECT 'a', 'm' || i, 'env', 'u' || i, CASE WHEN i % 100 = 0 THEN 'invited' ELSE 'active' END, 'local', 'p' || i || '@x.example', 'p' || i || '@x.example',
 'u' || i, 'First' || i, 'Last' || i, i, i, CASE WHEN i % 200 = 0 THEN 9 END FROM n`)
	f.exec(`ANALYZE`)
}

// A search that finds few and one that finds more than are gathered agree with the
// list, page by page.
func TestSearchOfMany(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.crowd(maxFound + 500)
		yes := true
		for _, c := range []struct {
			filter Filter
			want   int
		}{
			{Filter{}, maxFound + 500},
			{Filter{Search: "P"}, maxFound + 500},
			{Filter{Search: "p", Status: StatusInvited}, (maxFound + 500) / 100},
			{Filter{Search: "p12"}, 1 + 10 + 100},
			{Filter{Search: "p12", Guests: &yes}, 1}, // p1200
			{Filter{Guests: &yes}, (maxFound + 500) / 200},
			{Filter{Search: "u1"}, 1 + 10 + 100 + 1000},
		} {
			seen := map[string]bool{}
			c.filter.Limit = 200
			for {
				page, next, err := f.s.People(t.Context(), d, "a", c.filter)
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range page {
					if seen[p.Membership.ID] {
						t.Fatalf("%s comes twice", p.Membership.ID)
					}
					seen[p.Membership.ID] = true
				}
				if c.filter.Cursor = next; next == "" {
					break
				}
			}
			if len(seen) != c.want {
				t.Errorf("%+v: %d, want %d", c.filter, len(seen), c.want)
			}
		}
	})
}

// SQLite has no statistics until somebody asks for them: what a filter leads to is
// found by its index all the same, and not by a walk through the tenant.
func TestPlansWithoutStatistics(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		if d.Dialect().Name == db.Postgres {
			return // autovacuum gathers them there
		}
		yes := true
		for index, filter := range map[string]Filter{
			"memberships_email": {Email: "a@x.example"}, "(tenant_id=? AND id=?)": {Search: "a"}, "memberships_created": {},
			"memberships_waiting": {Status: StatusInvited}, "memberships_guests": {Guests: &yes}, "memberships_disabled": {Disabled: &yes},
		} {
			text, args, err := filter.statement("a", 0, "", []string{"m1"})
			if err != nil {
				t.Fatal(err)
			}
			rows, err := d.Query(t.Context(), "EXPLAIN QUERY PLAN "+text, args...)
			if err != nil {
				t.Fatal(err)
			}
			var plan []string
			for rows.Next() {
				var a, b, c int64
				var step string
				if err := rows.Scan(&a, &b, &c, &step); err != nil {
					t.Fatal(err)
				}
				plan = append(plan, step)
			}
			rows.Close()
			if !strings.Contains(strings.Join(plan, "; "), index) {
				t.Errorf("%s: %s", index, strings.Join(plan, "; "))
			}
		}
	})
}

// A page costs the same in a crowd of 1,000 and of 100,000, whatever is asked for.
func BenchmarkPeople(b *testing.B) {
	yes := true
	for _, n := range []int{1000, 100_000} {
		for name, filter := range map[string]Filter{
			"all": {}, "deep": {Cursor: "900~m900"}, "invited": {Status: StatusInvited}, "guests": {Guests: &yes},
			"rare": {Search: "p999"}, "many": {Search: "p"}, "nobody": {Search: "zz"},
		} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				dbtest.Bench(b, func(b *testing.B, d db.DB) {
					f := newFixture(b, d)
					f.crowd(n)
					for b.Loop() {
						if _, _, err := f.s.People(b.Context(), d, "a", filter); err != nil {
							b.Fatal(err)
						}
					}
				})
			})
		}
	}
}

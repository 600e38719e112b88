package tenants

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// Whatever is created, moved and deleted, the closure is what the parents say,
// and no tenant stands below itself (product 7, 2.10).
func TestClosureFollowsParents(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		rapid.Check(t, func(r *rapid.T) {
			f.tx(func(q db.Queryer) error {
				if _, err := q.Exec(ctx, `DELETE FROM tenant_closure`); err != nil {
					return err
				}
				if _, err := q.Exec(ctx, `UPDATE tenants SET parent_id = NULL`); err != nil {
					return err
				}
				_, err := q.Exec(ctx, `DELETE FROM tenants`)
				return err
			})
			parents := map[string]string{} // what the model says
			var ids []string
			below := func(ancestor, id string) bool {
				for ; id != ""; id = parents[id] {
					if id == ancestor {
						return true
					}
				}
				return false
			}
			for range rapid.IntRange(1, 14).Draw(r, "steps") {
				pick := func(label string) string { return rapid.SampledFrom(ids).Draw(r, label) }
				switch what := rapid.SampledFrom([]string{"create", "create", "move", "delete"}).Draw(r, "what"); {
				case what == "create" || len(ids) == 0:
					in, on := NewTenant{Name: "x"}, true
					if len(ids) > 0 && rapid.Bool().Draw(r, "nested") {
						in.ParentID = pick("parent")
					} else {
						in.SubaccountsEnabled = &on
					}
					made := f.tenant(in)
					ids, parents[made.ID] = append(ids, made.ID), in.ParentID
				case what == "move":
					id, to := pick("moved"), ""
					if rapid.Bool().Draw(r, "nested") {
						to = pick("to")
					}
					want := ""
					if to != "" && below(id, to) {
						want = "parent_below"
					}
					if got := f.try(func(q db.Queryer) error {
						_, err := f.s.MoveTenant(ctx, f.admin, q, id, to)
						return err
					}); got != want {
						r.Fatalf("move: %q, want %q", got, want)
					}
					if want == "" {
						parents[id] = to
					}
				default:
					id := pick("deleted")
					f.tx(func(q db.Queryer) error { return f.s.DeleteTenant(ctx, f.admin, q, id) })
					for child, p := range parents {
						if p == id {
							parents[child] = parents[id]
						}
					}
					delete(parents, id)
					ids = slices.DeleteFunc(ids, func(v string) bool { return v == id })
				}
			}
			want := map[string]bool{}
			for id := range parents {
				depth := 0
				for up := id; up != ""; up = parents[up] {
					want[fmt.Sprint(up, " ", id, " ", depth)] = true
					depth++
				}
			}
			got := map[string]bool{}
			rows, err := d.Query(ctx, `SELECT ancestor_id, descendant_id, depth FROM tenant_closure`)
			if err != nil {
				r.Fatal(err)
			}
			defer rows.Close()
			for rows.Next() {
				var a, b string
				var depth int
				if err := rows.Scan(&a, &b, &depth); err != nil {
					r.Fatal(err)
				}
				got[fmt.Sprint(a, " ", b, " ", depth)] = true
			}
			if !maps.Equal(got, want) {
				r.Fatalf("closure %v\nwant %v", got, want)
			}
		})
	})
}

// A parent needs the capability (product 139), a person of a tenant stays below
// it, and the tree has a bottom.
func TestMoveTenant(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		on, off := true, false
		a := f.tenant(NewTenant{Name: "A", SubaccountsEnabled: &on})
		b := f.tenant(NewTenant{Name: "B", ParentID: a.ID})
		c := f.tenant(NewTenant{Name: "C", ParentID: b.ID})
		plain := f.tenant(NewTenant{Name: "Plain"})
		other := f.tenant(NewTenant{Name: "Other", SubaccountsEnabled: &on})
		if !b.SubaccountsEnabled || plain.SubaccountsEnabled {
			t.Error("a sub-account has the capability that its parent has")
		}
		barren := f.tenant(NewTenant{Name: "Barren", ParentID: a.ID, SubaccountsEnabled: &off})
		for _, x := range []struct{ name, as, id, to, want string }{
			{"onto a parent without the capability", "", c.ID, plain.ID, "sub_accounts_disabled"},
			{"onto a child whose capability the vendor took", "", c.ID, barren.ID, "sub_accounts_disabled"},
			{"below itself", "", b.ID, c.ID, "parent_below"},
			{"onto nothing", "", b.ID, "nowhere", "parent_not_found"},
			{"another tenant's", a.ID, other.ID, a.ID, "tenant_not_found"},
			{"his own tenant", a.ID, a.ID, b.ID, "tenant_not_found"},
			{"out of his tenant", a.ID, c.ID, other.ID, "parent_not_found"},
			{"to the top", a.ID, c.ID, "", "environment_only"},
			{"within his tenant", a.ID, c.ID, a.ID, ""},
			{"by the vendor to the top", "", c.ID, "", ""},
		} {
			actor := f.admin
			if x.as != "" {
				actor = f.user(x.as)
			}
			if got := f.try(func(q db.Queryer) error {
				_, err := f.s.MoveTenant(ctx, actor, q, x.id, x.to)
				return err
			}); got != x.want {
				t.Errorf("%s: %q, want %q", x.name, got, x.want)
			}
		}
		if n := f.count(`SELECT COUNT(*) FROM audit_events WHERE action = 'tenant.moved'`); n != 2 {
			t.Errorf("%d moves told", n)
		}
		last, deep := other, ""
		for range maxDepth + 1 {
			in := NewTenant{Name: "deep", ParentID: last.ID}
			if deep = f.try(func(q db.Queryer) (err error) {
				last, err = f.s.CreateTenant(ctx, f.admin, q, in)
				return err
			}); deep != "" {
				break
			}
		}
		if deep != "too_deep" {
			t.Errorf("no bottom: %q", deep)
		}
		list, next, err := f.s.Subaccounts(ctx, d, f.env.ID, other.ID, 0, "", 30)
		if err != nil || len(list) != 30 || next != list[29].ID || list[0].Depth != 1 || list[29].Depth != 30 {
			t.Errorf("%d sub-accounts, next %q, %v", len(list), next, err)
		}
		rest, next, err := f.s.Subaccounts(ctx, d, f.env.ID, other.ID, 0, next, 30)
		if err != nil || len(rest) != maxDepth-1-30 && len(rest) != maxDepth-30 || next != "" {
			t.Errorf("%d more, next %q, %v", len(rest), next, err)
		}
		if n, err := f.s.Children(ctx, d, f.env.ID, a.ID); err != nil || n != 2 {
			t.Errorf("%d children, %v", n, err)
		}
	})
}

// Moves that cross, and creations and deletions between them, leave no circle and
// lose nobody.
func TestCrossingMoves(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		on := true
		ids := make([]string, 4)
		for i := range ids {
			ids[i] = f.tenant(NewTenant{Name: "x", SubaccountsEnabled: &on}).ID
		}
		var work sync.WaitGroup
		for i := range ids {
			work.Go(func() {
				for n := range 6 {
					err := d.Tx(ctx, func(q db.Queryer) error {
						_, err := f.s.MoveTenant(ctx, f.admin, q, ids[i], ids[(i+1+n%3)%len(ids)])
						return err
					})
					if err != nil && !errors.Is(err, errCycle) {
						t.Error(err)
					}
					var child Tenant
					err = d.Tx(ctx, func(q db.Queryer) (err error) {
						child, err = f.s.CreateTenant(ctx, f.admin, q, NewTenant{Name: "x", ParentID: ids[(i+n)%len(ids)]})
						return err
					})
					if err == nil {
						err = d.Tx(ctx, func(q db.Queryer) error { return f.s.DeleteTenant(ctx, f.admin, q, child.ID) })
					}
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		work.Wait()
		// As many ancestors as the way up has steps: nobody stands in a circle.
		for _, id := range ids {
			steps, up := int64(1), id
			for steps <= int64(len(ids)) {
				at, err := f.s.Get(ctx, d, f.env.ID, up)
				if err != nil {
					t.Fatal(err)
				}
				if up = at.ParentID; up == "" {
					break
				}
				steps++
			}
			if n := f.count(`SELECT COUNT(*) FROM tenant_closure WHERE descendant_id = $1`, id); n != steps || steps > int64(len(ids)) {
				t.Errorf("%d above, %d steps up", n, steps)
			}
		}
		if n := f.count(`SELECT COUNT(*) FROM tenants WHERE deleted_at IS NULL`); n != int64(len(ids)) {
			t.Errorf("%d tenants", n)
		}
	})
}

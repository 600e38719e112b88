package rbac

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// An actor whose level nobody set is the weakest, not the strongest.
func TestActorWithoutLevel(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		weak := f.role("weak", 32767, "")
		f.assign("a", "a1", weak.ID)
		me := actor.Actor{Environment: "env", Tenant: "a", Kind: actor.User, Subject: "usr_1"}
		f.want("role_level_too_strong", func(q db.Queryer) error {
			_, err := f.s.CheckGrant(t.Context(), me, q, "env", "a", []string{weak.ID})
			return err
		})
		f.want("target_level_too_strong", func(q db.Queryer) error { return f.s.CheckTarget(t.Context(), me, q, "a", "a1") })
		for level, want := range map[int]int{0: 0, 7: 7, 32767: 32767, -1: actor.NoLevel, 32768: actor.NoLevel, actor.NoLevel: actor.NoLevel} {
			if got := actor.LevelOf(level).Int(); got != want {
				t.Errorf("LevelOf(%d).Int() = %d, want %d", level, got, want)
			}
		}
	})
}

// Two people who come to an empty tenant at once do not both run it.
func TestOneFirstUser(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		f.exec(`INSERT INTO tenants (environment_id, id, key, name, status, created_at, updated_at) VALUES ('env', 'new', 'new', 'New', 'active', 1, 1)`)
		var inserted, work sync.WaitGroup
		inserted.Add(2)
		for i := range 2 {
			work.Go(func() {
				first := true
				err := d.Tx(ctx, func(q db.Queryer) error {
					_, err := q.Exec(ctx, `INSERT INTO memberships (tenant_id, id, environment_id, user_id, status, managed_by, email, email_key, created_at, updated_at)
						SELECT 'new', $1, 'env', id, 'active', 'local', 'x', 'x', 1, 1 FROM users ORDER BY id LIMIT 1 OFFSET `+fmt.Sprint(i), fmt.Sprint("n", i))
					if err != nil {
						return err
					}
					if first {
						first = false
						inserted.Done()
					}
					if d.Dialect().Name == db.Postgres { // SQLite runs one after the other
						inserted.Wait()
					}
					return q.Batch(ctx, f.s.FirstUserRoleStmts(q, "new", "env", fmt.Sprint("n", i)))
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		work.Wait()
		var admins int
		if err := d.QueryRow(ctx, `SELECT COUNT(*) FROM membership_roles WHERE tenant_id = 'new'`).Scan(&admins); err != nil || admins != 1 {
			t.Errorf("%d first users, %v", admins, err)
		}
	})
}

// Mappings are replaced as a whole, whoever else replaces them at the same time,
// at a cost that does not grow with them.
func TestPutMappingsAtOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		var roles []string
		for i := range 20 {
			roles = append(roles, f.role(fmt.Sprint("r", i), 5, "").ID)
		}
		slices.Sort(roles)
		list := func(name string, n int) (m []Mapping) {
			for i := range n {
				m = append(m, Mapping{fmt.Sprintf("%s \"%d\" ü", name, i), "", roles})
			}
			return m
		}
		put := func(m []Mapping) (statements int64) {
			c, counter := db.Count(ctx)
			if err := d.Tx(c, func(q db.Queryer) error { return f.s.PutMappings(c, f.admin, q, "a", m) }); err != nil {
				t.Error(err)
			}
			return counter.Statements()
		}
		few, many := put(list("one", 1)), put(list("one", 500))
		if few != many {
			t.Errorf("%d statements for one mapping, %d for 500", few, many)
		}
		if got, err := f.s.Mappings(ctx, d, "a"); err != nil || len(got) != 500 || got[0].Group != `one "0" ü` || got[499].Group != `one "499" ü` || !slices.Equal(got[7].RoleIDs, roles) {
			t.Errorf("%d mappings, %v", len(got), err)
		}
		f.want("too_many", func(q db.Queryer) error { return f.s.PutMappings(ctx, f.admin, q, "a", list("one", 501)) })
		var work sync.WaitGroup
		for i := range 6 {
			work.Go(func() { put(list(fmt.Sprint("set ", i), 3)) })
		}
		work.Wait()
		if got, err := f.s.Mappings(ctx, d, "a"); err != nil || len(got) != 3 || got[0].Group[:5] != got[2].Group[:5] {
			t.Errorf("%v, %v", got, err)
		}
	})
}

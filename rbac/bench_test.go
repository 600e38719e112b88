package rbac

import (
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// crowd gives a1 of tenant a some groups, each with one of some roles.
func crowd(tb testing.TB, d db.DB, s *Service, groups, roles int) {
	tb.Helper()
	ctx := tb.Context()
	exec := func(sql string, args ...any) {
		tb.Helper()
		if _, err := d.Exec(ctx, sql, args...); err != nil {
			tb.Fatal(err)
		}
	}
	vendor := actor.Actor{Environment: "env", Kind: actor.Management}
	err := d.Tx(ctx, func(q db.Queryer) error {
		for i := range roles {
			if _, err := s.CreateRole(ctx, vendor, q, NewRole{Key: fmt.Sprint("crowd", i), Name: "x", Level: 10 + i, Permissions: []string{
				catalogue[i%len(catalogue)].Key, catalogue[(i+7)%len(catalogue)].Key,
			}}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	for i := range groups {
		id := fmt.Sprintf("crowd%03d", i)
		exec(`INSERT INTO groups (tenant_id, id, name, name_key, managed_by, connection_id, created_at, updated_at) VALUES ('a', $1, $1, $1, 'local', '', 1, 1)`, id)
		exec(`INSERT INTO group_members (tenant_id, group_id, membership_id, added_at) VALUES ('a', $1, 'a1', 1)`, id)
		exec(`INSERT INTO group_roles (tenant_id, group_id, environment_id, role_owner, role_id, created_at)
SELECT 'a', $1, environment_id, owner_tenant_id, id, 1 FROM roles WHERE key = $2`, id, fmt.Sprint("crowd", i%roles))
	}
}

// The roles of somebody with 200 groups and 50 roles cost one statement, as those
// of anybody (fixture.effective counts).
func TestEffectiveOfACrowd(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		crowd(t, d, f.s, 200, 50)
		e := f.effective("a", "a1")
		if len(e.Roles) != 50 || e.Level != 10 || len(e.Roles[0].Sources) != 4 {
			t.Errorf("%d roles, level %d", len(e.Roles), e.Level)
		}
	})
}

func BenchmarkEffective(b *testing.B) {
	for _, x := range []struct{ groups, roles int }{{1, 1}, {200, 50}} {
		b.Run(fmt.Sprintf("groups=%d/roles=%d", x.groups, x.roles), func(b *testing.B) {
			dbtest.Bench(b, func(b *testing.B, d db.DB) {
				s := New(clock.NewFake(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)))
				err := d.Batch(b.Context(), []db.Stmt{
					{SQL: `INSERT INTO environments (id, name, base_url, is_default, created_at, updated_at) VALUES ('env', 'Env', '', TRUE, 1, 1)`},
					{SQL: `INSERT INTO tenants (environment_id, id, key, name, status, created_at, updated_at) VALUES ('env', 'a', 'a', 'a', 'active', 1, 1)`},
					{SQL: `INSERT INTO users (environment_id, id, email, email_key, email_verified, created_at, updated_at) VALUES ('env', 'a1', 'a1', 'a1', FALSE, 1, 1)`},
					{SQL: `INSERT INTO memberships (tenant_id, id, environment_id, user_id, status, managed_by, email, email_key, created_at, updated_at) VALUES ('a', 'a1', 'env', 'a1', 'active', 'local', 'a1', 'a1', 1, 1)`},
				})
				if err == nil {
					err = s.EnsurePresets(b.Context(), d, "env")
				}
				if err != nil {
					b.Fatal(err)
				}
				crowd(b, d, s, x.groups, x.roles)
				for b.Loop() {
					if e, err := s.Effective(b.Context(), d, "a", "a1"); err != nil || len(e.Roles) != x.roles {
						b.Fatal(len(e.Roles), err)
					}
				}
			})
		})
	}
}

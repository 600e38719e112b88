package tenants

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// From the moment of its deletion nothing finds a tenant, though its rows are still
// there; its key and domains are free, and what stood below it stands below its parent.
func TestDeletedTenantIsAbsent(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx, on := t.Context(), true
		top := f.tenant(NewTenant{Name: "Top", Key: "top", SubaccountsEnabled: &on})
		gone := f.tenant(NewTenant{Name: "Gone", Key: "gone", ParentID: top.ID})
		below := f.tenant(NewTenant{Name: "Below", Key: "below", ParentID: gone.ID})
		var sso SSOConnection
		var dir SCIMConnection
		var token, connectionID string
		f.tx(func(q db.Queryer) (err error) {
			if _, err = f.s.AddDomain(ctx, f.admin, q, gone.ID, "gone.test", true); err != nil {
				return err
			}
			if dir, token, err = f.s.CreateSCIMConnection(ctx, f.admin, q, gone.ID, NewSCIMConnection{Name: "Okta", Profile: "okta"}); err != nil {
				return err
			}
			sso, err = f.s.CreateSSOConnection(ctx, f.admin, q, gone.ID, NewSSOConnection{Type: SAML, Name: "Okta", SAML: f.saml()})
			connectionID = sso.ID
			return err
		})
		if _, _, err := f.s.Authenticate(ctx, d, dir.ID, token); err != nil {
			t.Fatal(err)
		}
		if _, _, err := f.s.Locate(ctx, d, connectionID); err != nil { // it is remembered
			t.Fatal(err)
		}
		f.tx(func(q db.Queryer) error { return f.s.DeleteTenant(ctx, f.admin, q, gone.ID) })

		name := "Again"
		for what, ask := range map[string]func(q db.Queryer) error{
			"by id":   func(q db.Queryer) error { _, err := f.s.Get(ctx, q, f.env.ID, gone.ID); return err },
			"by key":  func(q db.Queryer) error { _, err := f.s.Get(ctx, q, f.env.ID, "gone"); return err },
			"to hold": func(q db.Queryer) error { _, err := f.s.Hold(ctx, q, f.env.ID, gone.ID); return err },
			"to change": func(q db.Queryer) error {
				_, err := f.s.UpdateTenant(ctx, f.admin, q, gone.ID, TenantPatch{Name: &name})
				return err
			},
			"to resume": func(q db.Queryer) error {
				active := StatusActive
				_, err := f.s.UpdateTenant(ctx, f.admin, q, gone.ID, TenantPatch{Status: &active})
				return err
			},
			"to move":        func(q db.Queryer) error { _, err := f.s.MoveTenant(ctx, f.admin, q, gone.ID, top.ID); return err },
			"as sub-account": func(q db.Queryer) error { _, err := f.s.Subaccount(ctx, q, f.env.ID, top.ID, gone.ID); return err },
			"twice":          func(q db.Queryer) error { return f.s.DeleteTenant(ctx, f.admin, q, gone.ID) },
		} {
			if got := f.try(ask); got != "tenant_not_found" {
				t.Errorf("%s: %q", what, got)
			}
		}
		f.want("parent_not_found", func(q db.Queryer) error {
			_, err := f.s.CreateTenant(ctx, f.admin, q, NewTenant{Name: "X", ParentID: gone.ID})
			return err
		})
		if _, _, err := f.s.Authenticate(ctx, d, dir.ID, token); err == nil {
			t.Error("its directory still gets in")
		}
		if _, err := f.s.SSOConnection(ctx, d, gone.ID, sso.ID); !errors.Is(err, ErrConnectionNotFound) {
			t.Errorf("its connection: %v", err)
		}
		if list, err := f.s.SSOConnections(ctx, d, gone.ID); err != nil || len(list) != 0 {
			t.Errorf("its connections: %d, %v", len(list), err)
		}
		if _, err := f.s.SCIMConnection(ctx, d, gone.ID, dir.ID); !errors.Is(err, ErrConnectionNotFound) {
			t.Errorf("its directory: %v", err)
		}
		for what, filter := range map[string]Filter{
			"all": {}, "suspended": {Status: StatusSuspended}, "named": {Query: "gone"}, "by id": {Query: gone.ID}, "below": {ParentID: top.ID},
		} {
			list, _, err := f.s.List(ctx, d, f.env.ID, filter)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range list {
				if x.ID == gone.ID {
					t.Errorf("the list of %s has it", what)
				}
			}
		}
		if got, err := f.s.Get(ctx, d, f.env.ID, below.ID); err != nil || got.ParentID != top.ID {
			t.Errorf("the sub-account stands below %q, %v", got.ParentID, err)
		}
		if n, err := f.s.Children(ctx, d, f.env.ID, top.ID); err != nil || n != 1 {
			t.Errorf("%d children, %v", n, err)
		}
		if list, _, err := f.s.Subaccounts(ctx, d, f.env.ID, top.ID, 0, "", 0); err != nil || len(list) != 1 || list[0].Depth != 1 {
			t.Errorf("sub-accounts %+v, %v", list, err)
		}
		again := f.tenant(NewTenant{Name: "Gone", Key: "gone"})
		f.tx(func(q db.Queryer) error {
			_, err := f.s.AddDomain(ctx, f.admin, q, again.ID, "gone.test", true)
			return err
		})
		// It cannot be brought back behind the operations either.
		if _, err := d.Exec(ctx, `UPDATE tenants SET status = 'active' WHERE id = $1`, gone.ID); err == nil {
			t.Error("a deleted tenant is active")
		}
		f.removal()
		if n := f.count(`SELECT COUNT(*) FROM tenants`); n != 3 {
			t.Errorf("%d tenants stand, want 3", n)
		}
		if got, err := f.s.Get(ctx, d, f.env.ID, "gone"); err != nil || got.ID != again.ID {
			t.Errorf("the new one: %+v, %v", got, err)
		}
	})
}

// A removal that fails, or whose process dies, is gone on with; what was added
// meanwhile goes too; a tenant that cannot be removed keeps no other waiting.
func TestRemovalGoesOn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		stuck, gone, stays := f.tenant(NewTenant{Name: "stuck"}), f.tenant(NewTenant{Name: "gone"}), f.tenant(NewTenant{Name: "stays"})
		for _, x := range []Tenant{stuck, gone} {
			f.tx(func(q db.Queryer) error { return f.s.DeleteTenant(ctx, f.admin, q, x.ID) })
		}
		left, calls := 2*removeBatch, 0
		crash := errors.New("the process dies")
		step := func(_ context.Context, _ db.Queryer, environment, tenant string, limit int) (int64, error) {
			calls++
			switch {
			case environment != f.env.ID || tenant == stays.ID:
				t.Errorf("removes from %s", tenant)
			case tenant == stuck.ID:
				return 0, errors.New("stuck")
			case calls == 3:
				return 0, crash
			}
			n := min(left, limit)
			left -= n
			return int64(n), nil
		}
		if err := f.s.Remove(ctx, d, step); !errors.Is(err, crash) || left != removeBatch {
			t.Fatalf("%d left, %v", left, err)
		}
		if n := f.count(`SELECT COUNT(*) FROM tenants`); n != 3 {
			t.Errorf("%d tenants after a crash, want all", n)
		}
		late := func(ctx context.Context, q db.Queryer, environment, tenant string, limit int) (int64, error) {
			n, err := step(ctx, q, environment, tenant, limit)
			if n == 0 && left == 0 && calls < 10 { // one came in between the first pass and the last
				left, calls = 1, 10
			}
			return n, err
		}
		if err := f.s.Remove(ctx, d, late); err == nil || errors.Is(err, crash) || left != 0 {
			t.Errorf("%d left, %v", left, err)
		}
		if n := f.count(`SELECT COUNT(*) FROM tenants WHERE id IN ($1, $2)`, stuck.ID, stays.ID); n != 2 || f.count(`SELECT COUNT(*) FROM tenants`) != 2 {
			t.Errorf("%d of the others stand", n)
		}
		stopped, cancel := context.WithCancel(ctx)
		cancel()
		if err := f.s.Remove(stopped, d, step); err == nil {
			t.Error("a run that was stopped is told as done")
		}
	})
}

// Two replicas that remove at the same time get in nobody's way, and each tenant goes once.
func TestRemovalOnTwoReplicas(t *testing.T) {
	dbtest.Twice(t, func(t *testing.T, d, d2 db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		for i := range 5 {
			x := f.tenant(NewTenant{Name: "t" + strconv.Itoa(i)})
			f.tx(func(q db.Queryer) error {
				for range 3 {
					if _, err := f.s.CreateSSOConnection(ctx, f.admin, q, x.ID, NewSSOConnection{Type: SAML, Name: "Okta", SAML: f.saml()}); err != nil {
						return err
					}
				}
				return f.s.DeleteTenant(ctx, f.admin, q, x.ID)
			})
		}
		step := func(ctx context.Context, q db.Queryer, _, tenant string, _ int) (int64, error) {
			return q.Exec(ctx, `DELETE FROM sso_connections WHERE tenant_id = $1 AND id IN (SELECT id FROM sso_connections WHERE tenant_id = $1 ORDER BY id LIMIT 1)`, tenant)
		}
		var work sync.WaitGroup
		for _, replica := range []db.DB{d, d2} {
			work.Go(func() {
				if err := f.s.Remove(ctx, replica, step); err != nil {
					t.Error(err)
				}
			})
		}
		work.Wait()
		if n := f.count(`SELECT COUNT(*) FROM tenants`) + f.count(`SELECT COUNT(*) FROM sso_connections`); n != 0 {
			t.Errorf("%d rows stand", n)
		}
	})
}

package directory

import (
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/sessions"
)

func (f *fixture) session(p Provisioned, tenant string) {
	f.t.Helper()
	f.tx(func(q db.Queryer) error {
		_, _, err := f.s.sessions.Create(f.t.Context(), admin(tenant), q, sessions.Login{
			Environment: "env", UserID: p.UserID, Proof: sessions.Proof{Tenant: tenant, Membership: p.Membership, Method: "saml", AuthTime: start},
		})
		return err
	})
}

// When the directory that had a person active goes, and the one that stays has
// him inactive, he is out.
func TestRemoveDirectoryEndsAccess(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		for _, people := range []bool{true, false} {
			f := newFixture(t, dbtest.Open(t, d.Dialect().Name))
			f.scim("a", "dir_2")
			second := func(id string) Resource {
				return Resource{Environment: "env", Tenant: "a", Connection: "dir_2", ID: id}
			}
			ann, bob := profile("ann"), profile("bob")
			out, stays := f.provision(resource("a", "res_1"), ann), f.provision(resource("a", "res_2"), bob)
			f.provision(second("res_3"), ann)
			f.provision(second("res_4"), bob)
			off := ann
			off.Active = false
			f.change(second("res_3"), out.Membership, ann, off)
			f.session(out, "a")
			f.session(stays, "a")
			f.tx(func(q db.Queryer) error {
				return f.s.ReleaseDirectory(t.Context(), admin("a"), q, "env", "a", "dir_a", people)
			})
			const alive = `SELECT COUNT(*) FROM session_tenants WHERE user_id = $1 AND ended_at IS NULL`
			if n := f.count(alive, out.UserID); n != 0 {
				t.Errorf("people=%v: %d sessions of a person whom no directory has active", people, n)
			}
			if n := f.count(alive, stays.UserID); n != 1 {
				t.Errorf("people=%v: %d sessions of a person whom the other directory has active", people, n)
			}
			const told = `SELECT COUNT(*) FROM audit_events WHERE action = 'user.deprovisioned' AND actor_id = 'usr_admin'`
			if n := f.count(told); n != 1 {
				t.Errorf("people=%v: %d events of a deprovisioned person", people, n)
			}
		}
	})
}

func TestRemoveDirectoryRecordsItsGroups(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		r := resource("a", "x")
		for _, name := range []string{"Eng", "Ops"} {
			f.group(f.scimActor(r), Group{Tenant: "a", Name: name, ManagedBy: SCIM, Connection: "dir_a"})
		}
		f.group(admin("a"), Group{Tenant: "a", Name: "Local", ManagedBy: Local})
		f.tx(func(q db.Queryer) error {
			return f.s.ReleaseDirectory(t.Context(), admin("a"), q, "env", "a", "dir_a", true)
		})
		if n := f.count(`SELECT COUNT(*) FROM groups`); n != 1 {
			t.Errorf("%d groups left, want the local one", n)
		}
		if n := f.count(`SELECT COUNT(*) FROM audit_events WHERE action = 'group.deleted' AND tenant_id = 'a'`); n != 2 {
			t.Errorf("%d events for two deleted groups", n)
		}
	})
}

func TestUsersGoWithTheirLastTenant(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.domain("a", "mail.example")
		f.addUser("a", "only@mail.example")
		shared := f.addUser("b", "shared@mail.example")
		if p := f.addUser("a", "shared@mail.example"); p.User.ID != shared.User.ID {
			t.Fatalf("not one person: %+v", p)
		}
		dead := f.provision(resource("a", "res_1"), profile("dead"))
		f.remove(resource("a", "res_1"), dead.Membership, profile("dead"), true)
		left := []int64{}
		for n := int64(-1); n != 0; left = append(left, n) {
			f.tx(func(q db.Queryer) (err error) {
				n, err = f.s.DropTenant(t.Context(), q, "env", "a", 1)
				return err
			})
		}
		if len(left) < 4 { // two members, one whom a directory removed
			t.Errorf("in steps of one: %v", left)
		}
		for _, table := range []string{"memberships", "tombstones", "groups"} {
			if n := f.count(`SELECT COUNT(*) FROM ` + table + ` WHERE tenant_id = 'a'`); n != 0 {
				t.Errorf("%d %s left", n, table)
			}
		}
		if n := f.count(`SELECT COUNT(*) FROM users`); n != 1 {
			t.Errorf("%d users left, want the one of the other tenant", n)
		}
		if _, err := f.s.PersonOf(t.Context(), d, "b", shared.User.ID); err != nil {
			t.Errorf("the other tenant lost its user: %v", err)
		}
	})
}

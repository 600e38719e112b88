package directory

import (
	"errors"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

func (f *fixture) membership(tenant, membership string) Membership {
	f.t.Helper()
	p, err := f.s.PersonByMembership(f.t.Context(), f.d, tenant, membership)
	if err != nil {
		f.t.Fatal(err)
	}
	return p.Membership
}

func TestTwoDirectoriesOnePerson(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.scim("a", "dir_2")
		ann := profile("ann")
		first, second := resource("a", "res_1"), resource("a", "res_2")
		second.Connection = "dir_2"
		p := f.provision(first, ann)
		f.clock.Advance(time.Minute)
		other := ann
		other.ExternalID, other.FirstName = "other", "Second"
		if q := f.provision(second, other); q.Membership != p.Membership || !q.Joined {
			t.Fatalf("the second directory made another person: %+v", q)
		}
		m := f.membership("a", p.Membership)
		if m.FirstName != "ANN" || m.SCIMResources != 2 || m.SCIMActive != 2 {
			t.Errorf("the oldest resource's attributes do not win: %+v", m)
		}
		off := ann
		off.Active = false
		if f.change(first, p.Membership, ann, off) {
			t.Error("sessions ended though one directory still has the person active")
		}
		if err := f.membership("a", p.Membership).Usable(start); err != nil {
			t.Errorf("one active resource of two: %v", err)
		}
		f.remove(first, p.Membership, off, true)
		if m := f.membership("a", p.Membership); m.FirstName != "Second" || m.SCIMResources != 1 {
			t.Errorf("the next oldest does not take over: %+v", m)
		}
		if n := f.count(`SELECT COUNT(*) FROM tombstones`); n != 0 {
			t.Error("a tombstone although another directory keeps the person")
		}
		otherOff := other
		otherOff.Active = false
		if !f.change(second, p.Membership, other, otherOff) {
			t.Error("sessions stay though no resource is active")
		}
		if err := f.membership("a", p.Membership).Usable(start); !errors.Is(err, ErrDeprovisioned) {
			t.Errorf("no active resource: %v", err)
		}
	})
}

func TestSoftDeleteAndRevival(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ann := profile("ann")
		p := f.provision(resource("a", "res_1"), ann)
		f.remove(resource("a", "res_1"), p.Membership, ann, false)
		if err := f.membership("a", p.Membership).Usable(start); !errors.Is(err, ErrDeprovisioned) {
			t.Errorf("usable after a soft delete: %v", err)
		}
		if r := f.link(LinkQuery{Tenant: "a", Subject: "ext-ann"}); !errors.Is(r.Err, ErrDeprovisioned) {
			t.Errorf("a login met a hidden person: %+v", r)
		}
		if list, _, err := f.s.People(t.Context(), d, "a", Filter{}); err != nil || len(list) != 0 {
			t.Errorf("hidden people are listed: %v %v", list, err)
		}
		renamed := ann
		renamed.UserName, renamed.Email = "ann2@login.example", "ann2@mail.example"
		if q := f.provision(resource("a", "res_2"), renamed); q.Membership != p.Membership || !q.Revived {
			t.Fatalf("not revived by externalId: %+v", q)
		}
		if m := f.membership("a", p.Membership); m.Usable(start) != nil || m.Email != "ann2@mail.example" || m.SCIMResources != 1 {
			t.Errorf("revived: %+v", m)
		}
		f.remove(resource("a", "res_2"), p.Membership, renamed, false)
		noExternal := renamed
		noExternal.ExternalID, noExternal.Email = "", "else@mail.example"
		if q := f.provision(resource("a", "res_3"), noExternal); q.Membership != p.Membership {
			t.Errorf("not revived by userName: %+v", q)
		}
	})
}

func TestHardDeleteLeavesTombstone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ann := profile("ann")
		p := f.provision(resource("a", "res_1"), ann)
		f.login(LinkQuery{Tenant: "a", Subject: "ext-ann"})
		f.remove(resource("a", "res_1"), p.Membership, ann, true)
		for name, l := range map[string]LinkQuery{
			"externalId": {Tenant: "a", Subject: "ext-ann"},
			"userName":   {Tenant: "a", Subject: "x", UserName: "ann@login.example"},
			"e-mail":     {Tenant: "a", Subject: "y", Email: "ann@mail.example"},
		} {
			if r := f.link(l); r.Outcome != LinkRefused || r.Step != StepTombstone {
				t.Errorf("%s after a hard delete: %+v", name, r)
			}
		}
		if r := f.link(LinkQuery{Tenant: "b", Subject: "y", Email: "ann@mail.example"}); r.Outcome != LinkNone {
			t.Errorf("the tombstone of another tenant refuses: %+v", r)
		}
		q := f.provision(resource("a", "res_2"), ann)
		if q.UserID != p.UserID || q.Membership == p.Membership || !q.Created {
			t.Errorf("created again: %+v, want user %s in a new membership", q, p.UserID)
		}
		if n := f.count(`SELECT COUNT(*) FROM tombstones`); n != 0 {
			t.Errorf("%d tombstones left", n)
		}
		if r := f.link(LinkQuery{Tenant: "a", Subject: "ext-ann"}); r.Outcome != LinkMembership {
			t.Errorf("login after the person was created again: %+v", r)
		}
	})
}

func TestSharedAddressInOneDirectory(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		one, two := profile("one"), profile("two")
		one.Email, two.Email = "shared@mail.example", "shared@mail.example"
		a, b := f.provision(resource("a", "res_1"), one), f.provision(resource("a", "res_2"), two)
		if a.UserID == b.UserID {
			t.Fatal("two resources of one directory became one person")
		}
		if r := f.link(LinkQuery{Tenant: "a", Subject: "s", Email: "shared@mail.example"}); !errors.Is(r.Err, ErrLinkAmbiguous) {
			t.Errorf("two hits: %+v", r)
		}
	})
}

func TestPurge(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ann := profile("ann")
		p := f.provision(resource("a", "res_1"), ann)
		f.remove(resource("a", "res_1"), p.Membership, ann, false)
		f.clock.Advance((RetentionDays*24 - 1) * time.Hour)
		if n, err := f.s.Purge(t.Context(), d); n != 0 || err != nil {
			t.Fatalf("purged %d too early, %v", n, err)
		}
		f.clock.Advance(2 * time.Hour)
		if n, err := f.s.Purge(t.Context(), d); n != 1 || err != nil {
			t.Fatalf("purged %d, %v", n, err)
		}
		if r := f.link(LinkQuery{Tenant: "a", Subject: "ext-ann"}); r.Step != StepTombstone {
			t.Errorf("login after retention: %+v", r)
		}
		if q := f.provision(resource("a", "res_2"), ann); q.UserID != p.UserID {
			t.Errorf("the user id was not kept: %+v", q)
		}
	})
}

func TestLocalUsers(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		p := f.addUser("a", "Ann@Mail.example")
		err := d.Tx(ctx, func(q db.Queryer) error {
			_, err := f.s.CreateUser(ctx, admin("a"), q, NewUser{Environment: "env", Tenant: "a", Email: "ann@mail.EXAMPLE "})
			return err
		})
		if err == nil {
			t.Error("the same address twice, one with a trailing space")
		}
		list, next, err := f.s.People(ctx, d, "a", Filter{Email: "ANN@mail.example"})
		if err != nil || len(list) != 1 || next != "" || list[0].User.ID != p.User.ID {
			t.Errorf("by e-mail: %+v %q %v", list, next, err)
		}
		if _, err := f.s.PersonOf(ctx, d, "b", p.User.ID); !errors.Is(err, errNoUser) {
			t.Errorf("another tenant sees the user: %v", err)
		}
		f.tx(func(q db.Queryer) error {
			_, err := f.s.Disable(ctx, admin("a"), q, "a", p.User.ID)
			return err
		})
		if err := f.membership("a", p.Membership.ID).Usable(start); !errors.Is(err, ErrDisabled) {
			t.Errorf("disabled: %v", err)
		}
		f.tx(func(q db.Queryer) error {
			_, err := f.s.Enable(ctx, admin("a"), q, "a", p.User.ID)
			return err
		})
		soon := start.Add(time.Hour)
		f.tx(func(q db.Queryer) error {
			_, err := f.s.UpdateUser(ctx, admin("a"), q, "a", p.User.ID, UserPatch{ExpiresAt: &soon})
			return err
		})
		m := f.membership("a", p.Membership.ID)
		if m.Usable(soon.Add(-time.Microsecond)) != nil || !errors.Is(m.Usable(soon), ErrGuestExpired) {
			t.Errorf("access period: %+v", m)
		}
		f.tx(func(q db.Queryer) error { return f.s.RemoveUser(ctx, admin("a"), q, "a", p.User.ID) })
		if n := f.count(`SELECT COUNT(*) FROM users`); n != 0 {
			t.Error("the user outlives his last membership")
		}
		managed := f.provision(resource("a", "res_1"), profile("bob"))
		name := "Bobby"
		err = d.Tx(ctx, func(q db.Queryer) error {
			_, err := f.s.UpdateUser(ctx, admin("a"), q, "a", managed.UserID, UserPatch{FirstName: &name})
			return err
		})
		if !errors.Is(err, errUserManaged) {
			t.Errorf("editing a directory's user: %v", err)
		}
		if err := d.Tx(ctx, func(q db.Queryer) error { return f.s.RemoveUser(ctx, admin("a"), q, "a", managed.UserID) }); !errors.Is(err, errUserManaged) {
			t.Errorf("removing a directory's user: %v", err)
		}
	})
}

func TestPeoplePages(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			f.addUser("a", name+"@mail.example")
		}
		var got string
		for cursor, more := "", true; more; more = cursor != "" {
			list, next, err := f.s.People(t.Context(), d, "a", Filter{Cursor: cursor, Limit: 2})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range list {
				got += p.Membership.Email[:1]
			}
			cursor = next
		}
		if got != "abcde" {
			t.Errorf("pages give %q", got)
		}
		if _, _, err := f.s.People(t.Context(), d, "a", Filter{Cursor: "junk"}); err == nil {
			t.Error("a forged cursor is accepted")
		}
	})
}

func TestIdentityGroups(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		_, m := f.login(LinkQuery{Tenant: "a", Subject: "s", Email: "x@mail.example"})
		list, err := f.s.Identities(t.Context(), d, "a", m)
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		for _, names := range [][]string{{"eng", "ops", "eng", "\x00nul"}, {"ops", "Ops"}, {}} {
			if err := d.Batch(t.Context(), f.s.ReplaceIdentityGroupsStmts("a", "sso_a", list[0].ID, names)); err != nil {
				t.Fatal(err)
			}
			want := map[int]int64{4: 2, 2: 2, 0: 0}[len(names)]
			if n := f.count(`SELECT COUNT(*) FROM identity_groups`); n != want {
				t.Errorf("%q left %d groups, want %d", names, n, want)
			}
		}
	})
}

func TestRemoveDirectory(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		for _, withPeople := range []bool{true, false} {
			f := newFixture(t, dbtest.Open(t, d.Dialect().Name))
			f.scim("a", "dir_2")
			only := f.provision(resource("a", "res_1"), profile("ann"))
			both := f.provision(resource("a", "res_2"), profile("bob"))
			r := resource("a", "res_3")
			r.Connection = "dir_2"
			f.provision(r, profile("bob"))
			f.tx(func(q db.Queryer) error {
				return f.s.ReleaseDirectory(t.Context(), admin("a"), q, "env", "a", "dir_a", withPeople)
			})
			f.exec(`DELETE FROM scim_connections WHERE tenant_id = 'a' AND id = 'dir_a'`)
			if m := f.membership("a", both.Membership); m.SCIMResources != 1 || m.Usable(start) != nil {
				t.Errorf("people=%v: somebody whom another directory keeps: %+v", withPeople, m)
			}
			if n := f.count(`SELECT COUNT(*) FROM memberships WHERE id = $1`, only.Membership); (n == 0) != withPeople {
				t.Errorf("people=%v: %d memberships left", withPeople, n)
			}
			if !withPeople {
				if m := f.membership("a", only.Membership); m.SCIMResources != 0 || m.Usable(start) != nil {
					t.Errorf("kept person: %+v", m)
				}
			}
		}
	})
}

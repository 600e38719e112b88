package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

func (f *fixture) group(a actor.Actor, g Group) Group {
	f.t.Helper()
	f.tx(func(q db.Queryer) error {
		out, stmts, err := f.s.CreateGroupStmts(a, "env", g)
		if err != nil {
			return err
		}
		g = out
		return q.Batch(f.t.Context(), stmts)
	})
	return g
}

func TestGroupMembers(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		g := f.group(admin("a"), Group{Tenant: "a", Name: "Eng", ManagedBy: Local})
		var ids []string
		for i := range 3 {
			ids = append(ids, f.addUser("a", fmt.Sprintf("u%d@mail.example", i)).Membership.ID)
		}
		foreign := f.addUser("b", "x@mail.example").Membership.ID
		add := func(a actor.Actor, tenant string, who ...string) (n int, err error) {
			err = d.Tx(ctx, func(q db.Queryer) error {
				added, err := f.s.AddMembers(ctx, a, q, "env", tenant, g.ID, who)
				n = len(added)
				return err
			})
			return n, err
		}
		if n, err := add(admin("a"), "a", ids[0], ids[1]); n != 2 || err != nil {
			t.Errorf("added %d, %v", n, err)
		}
		if n, err := add(admin("a"), "a", ids...); n != 1 || err != nil {
			t.Errorf("added %d again, %v", n, err)
		}
		if _, err := add(admin("a"), "a", foreign); !errors.Is(err, errUnknownMember) {
			t.Errorf("another tenant's member: %v", err)
		}
		if _, err := add(admin("b"), "b", foreign); !errors.Is(err, errNoGroup) {
			t.Errorf("another tenant's group: %v", err)
		}
		if n := f.count(`SELECT COUNT(*) FROM audit_events WHERE action = 'group.member_added' AND actor_id = 'usr_admin'`); n != 3 {
			t.Errorf("%d events for 3 added members", n)
		}
		f.tx(func(q db.Queryer) error {
			gone, err := f.s.RemoveMembers(ctx, admin("a"), q, "env", "a", g.ID, []string{ids[0], "mem_unknown"})
			if len(gone) != 1 {
				t.Errorf("removed %d", len(gone))
			}
			return err
		})
		list, _, err := f.s.Members(ctx, d, "a", g.ID, "", 10)
		if err != nil || len(list) != 2 || list[0].Email != "u1@mail.example" {
			t.Errorf("members: %+v %v", list, err)
		}
	})
}

func TestMemberCostDoesNotGrow(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		g := f.group(admin("a"), Group{Tenant: "a", Name: "Eng", ManagedBy: Local})
		cost := func(email string) int64 {
			m := f.addUser("a", email).Membership.ID
			ctx, counter := db.Count(t.Context())
			if err := d.Tx(ctx, func(q db.Queryer) error {
				_, err := f.s.AddMembers(ctx, admin("a"), q, "env", "a", g.ID, []string{m})
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return counter.Statements()
		}
		before := cost("first@mail.example")
		for i := range 30 {
			cost(fmt.Sprintf("m%d@mail.example", i))
		}
		if after := cost("last@mail.example"); after != before {
			t.Errorf("%d statements in a large group, %d in a small one", after, before)
		}
	})
}

func TestManagedGroups(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		owner := f.scimActor(resource("a", ""))
		g := f.group(owner, Group{Tenant: "a", Name: "Eng", ManagedBy: SCIM, Connection: "dir_a"})
		f.group(owner, Group{Tenant: "a", Name: "eng", ManagedBy: SCIM, Connection: "dir_a"}) // names of directories may repeat
		f.group(admin("a"), Group{Tenant: "a", Name: "Eng", ManagedBy: Local})
		m := f.addUser("a", "x@mail.example").Membership.ID
		name := "Other"
		rival := owner
		rival.Connection = "dir_2"
		for who, a := range map[string]actor.Actor{"an admin": admin("a"), "another directory": rival} {
			for what, do := range map[string]func(context.Context, db.Queryer) error{
				"rename": func(ctx context.Context, q db.Queryer) error {
					_, err := f.s.UpdateGroup(ctx, a, q, "env", "a", g.ID, GroupPatch{Name: &name})
					return err
				},
				"delete": func(ctx context.Context, q db.Queryer) error {
					return f.s.DeleteGroup(ctx, a, q, "env", "a", g.ID)
				},
				"add": func(ctx context.Context, q db.Queryer) error {
					_, err := f.s.AddMembers(ctx, a, q, "env", "a", g.ID, []string{m})
					return err
				},
				"remove": func(ctx context.Context, q db.Queryer) error {
					_, err := f.s.RemoveMembers(ctx, a, q, "env", "a", g.ID, []string{m})
					return err
				},
				"nest": func(ctx context.Context, q db.Queryer) error {
					_, _, err := f.s.ChangeChildren(ctx, a, q, "env", g, []string{"grp"}, nil)
					return err
				},
			} {
				if err := d.Tx(ctx, func(q db.Queryer) error { return do(ctx, q) }); !errors.Is(err, errGroupManaged) {
					t.Errorf("%s may %s: %v", who, what, err)
				}
			}
		}
		f.tx(func(q db.Queryer) error {
			_, err := f.s.UpdateGroup(ctx, owner, q, "env", "a", g.ID, GroupPatch{Name: &name})
			return err
		})
		if got, err := f.s.Group(ctx, d, "a", g.ID); err != nil || got.Name != "Other" || got.Version != 2 {
			t.Errorf("its own directory: %+v %v", got, err)
		}
	})
}

func TestLocalGroupNames(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		for _, name := range []string{"b", "a", "c"} {
			f.group(admin("a"), Group{Tenant: "a", Name: name, ManagedBy: Local})
		}
		f.group(admin("b"), Group{Tenant: "b", Name: "a", ManagedBy: Local})
		err := d.Tx(t.Context(), func(q db.Queryer) error {
			_, err := f.s.CreateGroup(t.Context(), admin("a"), q, "env", Group{Tenant: "a", Name: " A"})
			return err
		})
		if !errors.Is(err, errGroupExists) {
			t.Errorf("the same name: %v", err)
		}
		var names []string
		for cursor, more := "", true; more; more = cursor != "" {
			list, next, err := f.s.Groups(t.Context(), d, "a", cursor, 2)
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range list {
				names = append(names, g.Name)
			}
			cursor = next
		}
		if !slices.Equal(names, []string{"a", "b", "c"}) {
			t.Errorf("list %q", names)
		}
		for _, bad := range []Group{{Tenant: "a"}, {Tenant: "a", Name: "x", Metadata: "[]"}, {Tenant: "a", Name: "x", Color: string(make([]byte, 40))}} {
			if _, _, err := f.s.CreateGroupStmts(admin("a"), "env", bad); err == nil {
				t.Errorf("accepted %+v", bad)
			}
		}
	})
}

func TestNesting(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		nest := func(parent Group, children ...string) error {
			return d.Tx(ctx, func(q db.Queryer) error {
				_, _, err := f.s.ChangeChildren(ctx, admin("a"), q, "env", parent, children, nil)
				return err
			})
		}
		var chain []Group
		for i := range MaxGroupDepth + 1 {
			chain = append(chain, f.group(admin("a"), Group{Tenant: "a", Name: fmt.Sprintf("g%d", i), ManagedBy: Local}))
		}
		if err := nest(chain[0], chain[0].ID); !errors.Is(err, errGroupCycle) {
			t.Errorf("a group in itself: %v", err)
		}
		for i := range MaxGroupDepth - 1 {
			if err := nest(chain[i], chain[i+1].ID); err != nil {
				t.Fatalf("level %d: %v", i, err)
			}
		}
		if err := nest(chain[MaxGroupDepth-1], chain[MaxGroupDepth].ID); !errors.Is(err, errGroupDepth) {
			t.Errorf("too deep: %v", err)
		}
		if err := nest(chain[3], chain[0].ID); !errors.Is(err, errGroupCycle) {
			t.Errorf("a cycle of four: %v", err)
		}
		foreign := f.group(admin("b"), Group{Tenant: "b", Name: "x", ManagedBy: Local})
		if err := nest(chain[0], foreign.ID); err != nil {
			t.Error(err)
		}
		if n := f.count(`SELECT COUNT(*) FROM group_children WHERE child_id = $1`, foreign.ID); n != 0 {
			t.Error("another tenant's group was nested")
		}
		var gone []string
		f.tx(func(q db.Queryer) error {
			var err error
			_, gone, err = f.s.ChangeChildren(ctx, admin("a"), q, "env", chain[0], nil, []string{chain[1].ID})
			return err
		})
		if !slices.Equal(gone, []string{chain[1].ID}) {
			t.Errorf("removed %q", gone)
		}
		if err := nest(chain[3], chain[0].ID); err != nil {
			t.Errorf("no cycle any more: %v", err)
		}
	})
}

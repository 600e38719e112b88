package directory

import (
	"errors"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// A recycled address is not a person: only externalId and userName revive.
func TestRecycledEmailRevivesNobody(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.domain("a", "mail.example")
		ann := profile("ann")
		old := f.provision(resource("a", "res_1"), ann)
		f.remove(resource("a", "res_1"), old.Membership, ann, false)
		next := profile("annette")
		next.Email = ann.Email
		p := f.provision(resource("a", "res_2"), next)
		if p.UserID == old.UserID || !p.Created || p.Revived {
			t.Fatalf("the holder of a recycled address became the former one: %+v", p)
		}
		if m := f.membership("a", old.Membership); m.HiddenAt.IsZero() || m.SCIMResources != 0 {
			t.Errorf("the former holder came back: %+v", m)
		}
		// The visible holder of the address is whom another directory means by it.
		f.scim("a", "dir_2")
		second := Resource{Environment: "env", Tenant: "a", Connection: "dir_2", ID: "res_3"}
		third := profile("third")
		third.Email = ann.Email
		if q := f.provision(second, third); q.UserID != p.UserID || !q.Joined {
			t.Errorf("the second directory's person: %+v, want user %s", q, p.UserID)
		}
	})
}

func TestTombstoneKnowsTheSubject(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		for name, remove := range map[string]func(p Provisioned, r Resource, who Profile){
			"hard delete": func(p Provisioned, r Resource, who Profile) { f.remove(r, p.Membership, who, true) },
			"purge": func(p Provisioned, r Resource, who Profile) {
				f.remove(r, p.Membership, who, false)
				f.clock.Advance((RetentionDays + 1) * 24 * time.Hour)
				if n, err := f.s.Purge(t.Context(), d); n != 1 || err != nil {
					t.Fatalf("purged %d, %v", n, err)
				}
			},
		} {
			who := profile(name[:4])
			r := resource("a", "res_"+name[:4])
			p := f.provision(r, who)
			f.login(LinkQuery{Tenant: "a", Subject: "pairwise-" + name, Email: who.Email})
			remove(p, r, who)
			if l := f.link(LinkQuery{Tenant: "a", Subject: "pairwise-" + name, Email: "changed@mail.example"}); l.Outcome != LinkRefused || !errors.Is(l.Err, ErrDeprovisioned) {
				t.Errorf("%s: the subject came back under another address: %+v", name, l)
			}
			if l := f.link(LinkQuery{Tenant: "b", Subject: "pairwise-" + name, Email: "changed@mail.example"}); l.Outcome != LinkNone {
				t.Errorf("%s: another tenant's login is refused: %+v", name, l)
			}
		}
	})
}

func TestTombstoneOutlivesItsDirectory(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ann := profile("ann")
		p := f.provision(resource("a", "res_1"), ann)
		f.tx(func(q db.Queryer) error {
			return f.s.ReleaseDirectory(t.Context(), admin("a"), q, "env", "a", "dir_a", true)
		})
		f.exec(`DELETE FROM scim_connections WHERE tenant_id = 'a' AND id = 'dir_a'`)
		if l := f.link(LinkQuery{Tenant: "a", Subject: ann.ExternalID, Email: "changed@mail.example"}); l.Outcome != LinkRefused || l.Step != StepTombstone {
			t.Errorf("the directory went, and with it its tombstones: %+v", l)
		}
		f.scim("a", "dir_new")
		r := Resource{Environment: "env", Tenant: "a", Connection: "dir_new", ID: "res_2"}
		renamed := ann
		renamed.UserName, renamed.Email = "renamed@login.example", "renamed@mail.example"
		if q := f.provision(r, renamed); q.UserID != p.UserID {
			t.Errorf("connected anew, the directory made another person: %+v, want user %s", q, p.UserID)
		}
	})
}

func TestTombstoneOfAUserFoundByEmail(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.domain("a", "mail.example")
		// The person's own address is ann@mail.example; the directory of a calls him otherwise.
		own := f.addUser("b", "ann@mail.example")
		who := profile("work")
		p := f.provision(resource("a", "res_1"), who)
		f.exec(`UPDATE memberships SET user_id = $1 WHERE tenant_id = 'a' AND id = $2`, own.User.ID, p.Membership)
		f.remove(resource("a", "res_1"), p.Membership, who, true)
		l := LinkQuery{Tenant: "a", Subject: "new-subject", Email: "ann@mail.example"}
		if r := f.link(l); r.Outcome != LinkRefused || !errors.Is(r.Err, ErrDeprovisioned) {
			t.Errorf("a deprovisioned person came back by his own address: %+v", r)
		}
		// By hand he may be taken in again.
		f.addUser("a", "ann@mail.example")
		if r := f.link(l); r.Outcome != LinkMembership || r.UserID != own.User.ID {
			t.Errorf("added by hand: %+v", r)
		}
	})
}

func TestProvisionKeepsOthersTombstones(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ann := profile("ann")
		old := f.provision(resource("a", "res_1"), ann)
		f.login(LinkQuery{Tenant: "a", Subject: "pairwise", Email: ann.Email})
		f.remove(resource("a", "res_1"), old.Membership, ann, true)
		next := profile("next")
		next.Email = ann.Email
		if p := f.provision(resource("a", "res_2"), next); p.UserID == old.UserID {
			t.Fatalf("an address gave a user id back: %+v", p)
		}
		if l := f.link(LinkQuery{Tenant: "a", Subject: "pairwise", Email: "changed@mail.example"}); l.Outcome != LinkRefused {
			t.Errorf("a namesake's creation let the former person in: %+v", l)
		}
		// Created again by his own userName, the person is free.
		again := ann
		again.ExternalID, again.Email = "other", "else@mail.example"
		if p := f.provision(resource("a", "res_3"), again); p.UserID != old.UserID {
			t.Errorf("created again: %+v, want user %s", p, old.UserID)
		}
		if n := f.count(`SELECT COUNT(*) FROM tombstones`); n != 0 {
			t.Errorf("%d tombstones left", n)
		}
		if n := f.count(`SELECT COUNT(*) FROM users u WHERE NOT EXISTS (SELECT 1 FROM memberships m WHERE m.user_id = u.id)`); n != 0 {
			t.Errorf("%d users whom nobody knows", n)
		}
	})
}

// Two tombstones of one name: the person is created again, the other tombstone's user goes with it.
func TestDroppedTombstoneFreesItsUser(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		one, two := profile("one"), profile("two")
		a, b := f.provision(resource("a", "res_1"), one), f.provision(resource("a", "res_2"), two)
		f.remove(resource("a", "res_1"), a.Membership, one, true)
		f.clock.Advance(time.Hour)
		f.remove(resource("a", "res_2"), b.Membership, two, true)
		mixed := profile("one")
		mixed.UserName = two.UserName
		if p := f.provision(resource("a", "res_3"), mixed); p.UserID != a.UserID {
			t.Errorf("externalId does not come before userName: %+v, want user %s", p, a.UserID)
		}
		if n := f.count(`SELECT COUNT(*) FROM users`); n != 1 {
			t.Errorf("%d users, want the one who was created again", n)
		}
	})
}

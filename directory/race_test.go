package directory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// firstLogin is a first login in one transaction, as signin does it.
func (f *fixture) firstLogin(ctx context.Context, l LinkQuery) error {
	return f.d.Tx(ctx, func(q db.Queryer) error {
		r, err := f.s.FindLink(ctx, q, l)
		if err != nil {
			return err
		}
		if r.Outcome == LinkRefused || r.Outcome == LinkKnown {
			return r.Err
		}
		m := r.Membership
		a := actor.Actor{Environment: "env", Tenant: l.Tenant, Kind: actor.Anonymous, Connection: l.Connection}
		if r.Outcome != LinkMembership {
			p, err := f.s.CreateUser(ctx, a, q, NewUser{
				Environment: "env", Tenant: l.Tenant, UserID: r.UserID, Email: l.Email, UserName: l.UserName, ManagedBy: SSO, Connection: l.Connection,
			})
			if err != nil {
				return err
			}
			m = p.Membership
		}
		_, err = f.s.LinkIdentity(ctx, a, q, "env", m.UserID, Identity{
			Tenant: l.Tenant, Connection: l.Connection, SubjectKey: l.SubjectKey, Subject: l.Subject, Membership: m.ID, Email: l.Email,
		}, r.Step)
		return err
	})
}

// A directory's create and a first login at the same moment are one person.
func TestConcurrentCreationsAreOnePerson(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		for i := range 20 {
			name := fmt.Sprintf("p%d", i)
			who := profile(name)
			login := LinkQuery{Environment: "env", Tenant: "a", Connection: "sso_a", SubjectKey: "k-" + name, Subject: "s-" + name}
			switch i % 3 { // what the two have in common
			case 0:
				login.Email = who.Email
			case 1:
				login.Email, login.UserName = name+"@else.example", who.UserName
			case 2:
				login.Email, login.Subject = name+"@else.example", who.ExternalID
			}
			create := func() error {
				r := resource("a", "res_"+name)
				return d.Tx(ctx, func(q db.Queryer) error {
					_, err := f.createIn(ctx, q, r, who)
					return err
				})
			}
			both := []func() error{create, func() error { return f.firstLogin(ctx, login) }}
			if i%2 == 1 {
				both[0], both[1] = both[1], both[0]
			}
			start := make(chan struct{})
			failed := make([]error, len(both))
			var wg sync.WaitGroup
			for k, do := range both {
				wg.Go(func() {
					<-start
					failed[k] = do()
				})
			}
			close(start)
			wg.Wait()
			if err := errors.Join(failed...); err != nil {
				t.Fatal(err)
			}
			if n := f.count(`SELECT COUNT(*) FROM users`); n != int64(i)+1 {
				t.Fatalf("%d users after %d people", n, i+1)
			}
		}
	})
}

func TestConcurrentFirstLoginsAreOnePerson(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		for i := range 10 {
			login := LinkQuery{
				Environment: "env", Tenant: "a", Connection: "sso_a", SubjectKey: fmt.Sprint("k", i), Subject: fmt.Sprint("s", i), Email: fmt.Sprintf("p%d@mail.example", i),
			}
			failed := make([]error, 3)
			var wg sync.WaitGroup
			for k := range failed {
				wg.Go(func() { failed[k] = f.firstLogin(t.Context(), login) })
			}
			wg.Wait()
			if err := errors.Join(failed...); err != nil {
				t.Fatal(err)
			}
			if n := f.count(`SELECT COUNT(*) FROM memberships`); n != int64(i)+1 {
				t.Fatalf("%d memberships after %d people", n, i+1)
			}
		}
	})
}

func TestConcurrentLocalCreationsAreOnePerson(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		for i := range 10 {
			failed := make([]error, 2)
			var wg sync.WaitGroup
			for k := range failed {
				wg.Go(func() {
					failed[k] = d.Tx(t.Context(), func(q db.Queryer) error {
						_, err := f.s.CreateUser(t.Context(), admin("a"), q, NewUser{Environment: "env", Tenant: "a", Email: fmt.Sprintf("p%d@mail.example", i)})
						return err
					})
				})
			}
			wg.Wait()
			if (failed[0] == nil) == (failed[1] == nil) {
				t.Fatalf("%v, %v", failed[0], failed[1])
			}
		}
	})
}

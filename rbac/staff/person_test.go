package staff

import (
	"slices"
	"sync"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// The vendor's people (product 2, 13 to 19).
func TestPeople(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		s, _ := open(t, d)
		create := func(a actor.Actor, in NewPerson) (p Person, code string) {
			err := d.Tx(ctx, func(q db.Queryer) (err error) {
				p, err = s.CreatePerson(ctx, a, q, in)
				return err
			})
			return p, codeOf(t, err)
		}
		update := func(a actor.Actor, id string, patch PersonPatch) (p Person, code string) {
			err := d.Tx(ctx, func(q db.Queryer) (err error) {
				p, err = s.UpdatePerson(ctx, a, q, id, patch)
				return err
			})
			return p, codeOf(t, err)
		}
		remove := func(a actor.Actor, id string) string {
			return codeOf(t, d.Tx(ctx, func(q db.Queryer) error { return s.DeletePerson(ctx, a, q, id) }))
		}
		main, side := keyOf("env_a", Admin), keyOf("env_b", Admin)
		boss, code := create(system, NewPerson{Email: "Boss@Vendor.example", Environment: Everywhere, Roles: []string{Impersonator, Admin}})
		if code != "" || boss.Email != "Boss@Vendor.example" || !slices.Equal(boss.Roles[Everywhere], []string{Admin, Impersonator}) {
			t.Fatal(code, boss)
		}
		for _, k := range []struct {
			what string
			a    actor.Actor
			in   NewPerson
			code string
		}{
			{"no address", main, NewPerson{Email: "boss", Environment: "env_a", Roles: []string{Admin}}, "invalid_email"},
			{"no role", main, NewPerson{Email: "x@v.example", Environment: "env_a"}, "invalid_role"},
			{"a name of two lines", main, NewPerson{Email: "x@v.example", Name: "a\nb", Environment: "env_a", Roles: []string{Admin}}, "invalid_name"},
			{"an impersonator alone", main, NewPerson{Email: "x@v.example", Environment: "env_a", Roles: []string{Impersonator}}, "invalid_role_combination"},
			{"more than the key may", main, NewPerson{Email: "x@v.example", Environment: "env_a", Roles: []string{Admin, Impersonator}}, "role_exceeds_own"},
			{"by an editor", keyOf("env_a", BackofficeEditor), NewPerson{Email: "x@v.example", Environment: "env_a", Roles: []string{Admin}}, "role_exceeds_own"},
			{"in another environment", side, NewPerson{Email: "x@v.example", Environment: "env_a", Roles: []string{Admin}}, "staff_of_other_environments"},
			{"everywhere, by a key of one environment", side, NewPerson{Email: "x@v.example", Environment: Everywhere, Roles: []string{Admin}}, "staff_of_other_environments"},
			{"the same address", main, NewPerson{Email: "boss@vendor.EXAMPLE", Environment: Everywhere, Roles: []string{Admin}}, "email_taken"},
		} {
			if _, code := create(k.a, k.in); code != k.code {
				t.Errorf("%s: %q, want %q", k.what, code, k.code)
			}
		}
		ann, _ := create(side, NewPerson{Email: "ann@v.example", Name: "Ann", Environment: "env_b", Roles: []string{BackofficeViewer}})
		again, code := create(main, NewPerson{Email: "ANN@v.example", Name: "Anna", Environment: "env_a", Roles: []string{EntitlementsEditor}})
		if code != "" || again.ID != ann.ID || again.Name != "Ann" || len(again.Roles) != 2 {
			t.Errorf("known elsewhere: %q %+v", code, again)
		}
		// What one sees and is depends on the environment.
		a, err := s.Actor(ctx, d, "env_b", ann.ID)
		if err != nil || a.Kind != actor.Staff || a.Name != "Ann" || a.Tenant != "" || !a.May(ReadTenants) || a.May(ReadRoles) {
			t.Errorf("%+v, %v", a, err)
		}
		if a, err := s.Actor(ctx, d, "env_a", ann.ID); err != nil || !a.May(WriteRoles) {
			t.Errorf("%+v, %v", a, err)
		}
		if a, err := s.Actor(ctx, d, "env_b", boss.ID); err != nil || !a.May(Impersonate) || !a.May(WriteStaff) {
			t.Errorf("%+v, %v", a, err)
		}
		bea, _ := create(main, NewPerson{Email: "bea@v.example", Environment: "env_a", Roles: []string{BackofficeEditor}})
		if _, err := s.Person(ctx, d, "env_b", bea.ID); codeOf(t, err) != "staff_not_found" {
			t.Errorf("of another environment: %v", err)
		}
		page, next, err := s.People(ctx, d, "env_a", Position{}, 2)
		if err != nil || len(page) != 2 || page[0].ID != boss.ID || next == nil {
			t.Fatalf("%+v %v %v", page, next, err)
		}
		if page, next, err := s.People(ctx, d, "env_a", *next, 2); err != nil || len(page) != 1 || page[0].ID != bea.ID || next != nil {
			t.Errorf("%+v %v %v", page, next, err)
		}
		// A key of one environment changes what is there, not the person.
		off := Disabled
		if _, code := update(side, ann.ID, PersonPatch{Status: &off}); code != "staff_of_other_environments" {
			t.Errorf("disabled for everybody by one environment: %q", code)
		}
		if _, code := update(side, bea.ID, PersonPatch{Status: &off}); code != "staff_not_found" {
			t.Errorf("somebody of another environment: %q", code)
		}
		if _, code := update(main, ann.ID, PersonPatch{Roles: map[string][]string{"env_a": {Impersonator}}}); code != "invalid_role_combination" {
			t.Errorf("an impersonator alone: %q", code)
		}
		if p, code := update(main, ann.ID, PersonPatch{Status: &off, Roles: map[string][]string{"env_a": {BackofficeEditor}}}); code != "" || p.Status != Disabled || p.Version != ann.Version+2 {
			t.Errorf("%q %+v", code, p)
		}
		if _, err := s.Actor(ctx, d, "env_b", ann.ID); codeOf(t, err) != "staff_not_found" {
			t.Errorf("disabled: %v", err)
		}
		if code := remove(side, boss.ID); code != "staff_of_other_environments" {
			t.Errorf("one who is everywhere: %q", code)
		}
		if code := remove(side, ann.ID); code != "" {
			t.Error(code)
		}
		if p, err := s.Person(ctx, d, "env_a", ann.ID); err != nil || len(p.Roles) != 1 {
			t.Errorf("what he has elsewhere stays: %+v, %v", p, err)
		}
		if code := remove(main, ann.ID); code != "" {
			t.Error(code)
		}
		if _, err := s.Person(ctx, d, "env_a", ann.ID); codeOf(t, err) != "staff_not_found" {
			t.Error(err)
		}
		for action, want := range map[string]int{"staff.created": 4, "staff.updated": 1, "staff.deleted": 2} {
			var n int
			if err := d.QueryRow(ctx, `SELECT COUNT(*) FROM audit_events WHERE tenant_id = '' AND action = $1`, action).Scan(&n); err != nil || n != want {
				t.Errorf("%s: %d, %v", action, n, err)
			}
		}
	})
}

// The last admin is neither removed nor demoted nor disabled, of one environment
// or of all of them.
func TestLastAdmin(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		s, _ := open(t, d)
		create := func(email, environment string) (p Person) {
			t.Helper()
			if err := d.Tx(ctx, func(q db.Queryer) (err error) {
				p, err = s.CreatePerson(ctx, system, q, NewPerson{Email: email, Environment: environment, Roles: []string{Admin}})
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return p
		}
		update := func(id string, patch PersonPatch) string {
			return codeOf(t, d.Tx(ctx, func(q db.Queryer) error { _, err := s.UpdatePerson(ctx, system, q, id, patch); return err }))
		}
		remove := func(id string) string {
			return codeOf(t, d.Tx(ctx, func(q db.Queryer) error { return s.DeletePerson(ctx, system, q, id) }))
		}
		off, on := Disabled, Active
		viewer := map[string][]string{"env_b": {BackofficeViewer}}
		one := create("one@v.example", "env_b")
		if got := []string{remove(one.ID), update(one.ID, PersonPatch{Status: &off}), update(one.ID, PersonPatch{Roles: viewer})}; !slices.Equal(got, []string{"last_admin", "last_admin", "last_admin"}) {
			t.Errorf("the only admin: %q", got)
		}
		main := create("main@v.example", Everywhere)
		if code := update(one.ID, PersonPatch{Roles: viewer}); code != "" {
			t.Errorf("one who is everywhere stands in: %q", code)
		}
		if code := update(one.ID, PersonPatch{Roles: map[string][]string{"env_b": {Admin}}}); code != "" {
			t.Error(code)
		}
		if code := remove(main.ID); code != "last_admin" {
			t.Errorf("the only one everywhere: %q", code)
		}
		two := create("two@v.example", Everywhere)
		if code := update(two.ID, PersonPatch{Status: &off}); code != "" {
			t.Error(code)
		}
		if code := remove(main.ID); code != "last_admin" {
			t.Errorf("beside one who is disabled: %q", code)
		}
		if code := update(two.ID, PersonPatch{Roles: map[string][]string{Everywhere: {}}}); code != "invalid_role" {
			t.Errorf("without any role: %q", code)
		}
		if code := update(two.ID, PersonPatch{Status: &on}); code != "" {
			t.Error(code)
		}
		// Two admins remove each other at once: one stays.
		var wg sync.WaitGroup
		codes := make([]string, 2)
		for i, id := range []string{main.ID, two.ID} {
			wg.Go(func() { codes[i] = remove(id) })
		}
		wg.Wait()
		slices.Sort(codes)
		if !slices.Equal(codes, []string{"", "last_admin"}) {
			t.Errorf("at once: %q", codes)
		}
	})
}

// A person administers where his roles say; one who is everywhere, everywhere.
func TestStaffOverStaff(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		s, _ := open(t, d)
		made := map[string]Person{}
		for email, environment := range map[string]string{"all@v.example": Everywhere, "b@v.example": "env_b"} {
			if err := d.Tx(ctx, func(q db.Queryer) (err error) {
				made[email], err = s.CreatePerson(ctx, system, q, NewPerson{Email: email, Environment: environment, Roles: []string{Admin}})
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		for email, want := range map[string]string{"all@v.example": "", "b@v.example": "staff_of_other_environments"} {
			a, err := s.Actor(ctx, d, "env_b", made[email].ID)
			if err != nil {
				t.Fatal(err)
			}
			err = d.Tx(ctx, func(q db.Queryer) error {
				_, err := s.CreatePerson(ctx, a, q, NewPerson{Email: "new@v.example", Environment: "env_a", Roles: []string{BackofficeViewer}})
				return err
			})
			if code := codeOf(t, err); code != want {
				t.Errorf("%s: %q, want %q", email, code, want)
			}
		}
	})
}

// Somebody's power in one environment gives nothing in another, nor everywhere;
// what stays as it is needs none.
func TestRolesWithinOwnWhereTheyHold(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		s, _ := open(t, d)
		tx := func(do func(db.Queryer) error) string { t.Helper(); return codeOf(t, d.Tx(ctx, do)) }
		var boss, ann Person
		if code := tx(func(q db.Queryer) (err error) {
			if boss, err = s.CreatePerson(ctx, system, q, NewPerson{Email: "boss@v.example", Environment: Everywhere, Roles: []string{Admin}}); err != nil {
				return err
			}
			if _, err = s.UpdatePerson(ctx, system, q, boss.ID, PersonPatch{Roles: map[string][]string{"env_a": {Admin, Impersonator}}}); err != nil {
				return err
			}
			ann, err = s.CreatePerson(ctx, system, q, NewPerson{Email: "ann@v.example", Environment: "env_a", Roles: []string{BackofficeViewer}})
			return err
		}); code != "" {
			t.Fatal(code)
		}
		wanted := []string{BackofficeViewer, Impersonator}
		for environment, want := range map[string]string{"env_a": "", "env_b": "role_exceeds_own", Everywhere: "role_exceeds_own"} {
			a, err := s.Actor(ctx, d, "env_a", boss.ID)
			if err != nil {
				t.Fatal(err)
			}
			if code := tx(func(q db.Queryer) error {
				_, err := s.UpdatePerson(ctx, a, q, ann.ID, PersonPatch{Roles: map[string][]string{environment: wanted}})
				return err
			}); code != want {
				t.Errorf("an impersonator of env_a makes one in %q: %q, want %q", environment, code, want)
			}
		}
		name := "Ann"
		if code := tx(func(q db.Queryer) error {
			_, err := s.UpdatePerson(ctx, keyOf("env_a", Admin), q, ann.ID, PersonPatch{Name: &name, Roles: map[string][]string{"env_a": wanted}})
			return err
		}); code != "" {
			t.Errorf("a form that sends the roles as they are: %q", code)
		}
	})
}

// What somebody had in an environment that is no more counts for nothing.
func TestRolesOfDeletedEnvironment(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		s, _ := open(t, d)
		main := keyOf("env_a", Admin)
		var ann Person
		if err := d.Tx(ctx, func(q db.Queryer) (err error) {
			if ann, err = s.CreatePerson(ctx, system, q, NewPerson{Email: "ann@v.example", Environment: "env_b", Roles: []string{Admin}}); err != nil {
				return err
			}
			_, err = s.CreatePerson(ctx, main, q, NewPerson{Email: "ann@v.example", Environment: "env_a", Roles: []string{BackofficeViewer}})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		remove := func() string {
			return codeOf(t, d.Tx(ctx, func(q db.Queryer) error { return s.DeletePerson(ctx, main, q, ann.ID) }))
		}
		if code := remove(); code != "last_admin" {
			t.Errorf("while the environment lives: %q", code)
		}
		if _, err := d.Exec(ctx, `UPDATE environments SET deleted_at = 1 WHERE id = 'env_b'`); err != nil {
			t.Fatal(err)
		}
		if code := remove(); code != "" {
			t.Errorf("the last admin of what is no more: %q", code)
		}
		var n int
		if err := d.QueryRow(ctx, `SELECT COUNT(*) FROM staff`).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d people are left, %v", n, err)
		}
	})
}

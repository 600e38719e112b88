package staff

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

var (
	start   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	address = netip.MustParseAddr("192.0.2.7")
	system  = actor.Actor{Environment: "env_a", Kind: actor.System}
)

// open gives a store with the environments env_a, the default one, and env_b.
func open(t *testing.T, d db.DB) (*Service, *clock.Fake) {
	t.Helper()
	for _, env := range []string{"env_a", "env_b"} {
		if _, err := d.Exec(t.Context(), `INSERT INTO environments (id, name, base_url, is_default, created_at, updated_at) VALUES ($1, $1, '', $2, 1, 1)`, env, env == "env_a"); err != nil {
			t.Fatal(err)
		}
	}
	c := clock.NewFake(start)
	return New(c), c
}

// keyOf acts as a management key of the environment with the roles.
func keyOf(environment string, roles ...string) actor.Actor {
	return actor.Actor{Environment: environment, Kind: actor.Management, Subject: "key_1", Name: "ci", Permissions: permissionsOf(roles)}
}

func codeOf(t *testing.T, err error) string {
	t.Helper()
	if err != nil && fault.CodeOf(err) == "" {
		t.Fatal(err)
	}
	return fault.CodeOf(err)
}

// Product 2 and 13: a management key acts in its environment and in no other.
func TestManagementKeys(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		s, c := open(t, d)
		create := func(a actor.Actor, in NewKey) (k Key, plain, code string) {
			in.Environment = a.Environment
			err := d.Tx(ctx, func(q db.Queryer) (err error) {
				k, plain, err = s.CreateKey(ctx, a, q, in)
				return err
			})
			return k, plain, codeOf(t, err)
		}
		authenticate := func(environment, key string) (actor.Actor, error) {
			return s.Authenticate(ctx, d, environment, key, address)
		}
		k, plain, _ := create(keyOf("env_a", Admin), NewKey{Name: " ci ", ExpiresAt: start.Add(time.Hour)})
		for want, in := range map[string]NewKey{
			"invalid_name": {}, "invalid_role": {Name: "x", Roles: []string{"root"}}, "invalid_role_combination": {Name: "x", Roles: []string{Impersonator}},
			"invalid_expiry": {Name: "x", ExpiresAt: start},
		} {
			if _, _, code := create(system, in); code != want {
				t.Errorf("%+v: %q, want %q", in, code, want)
			}
		}
		if _, _, code := create(system, NewKey{Name: "x", Roles: []string{}}); code != "invalid_role" {
			t.Errorf("no roles: %q", code)
		}
		a, err := authenticate("env_a", plain)
		if err != nil || a.Environment != "env_a" || a.Tenant != "" || a.Kind != actor.Management || a.Subject != k.ID || a.Level != 0 {
			t.Errorf("%+v, %v", a, err)
		}
		if !a.May(ReadTenants) || !a.May("fe.secure.write.users") || a.May("invoices.read") || a.May(Impersonate) {
			t.Error("permissions of the admin role")
		}
		count, n := db.Count(ctx)
		if _, err := s.Authenticate(count, d, "env_a", plain, address); err != nil || n.Statements() != 1 {
			t.Errorf("%d statements, %v", n.Statements(), err)
		}
		if got, err := s.Key(ctx, d, "env_a", k.ID); err != nil || got.Name != "ci" || !got.LastUsedAt.Equal(start) || got.LastUsedIP != "192.0.2.7" || got.CreatedByName != "ci" || got.Last4 != plain[len(plain)-4:] {
			t.Errorf("%+v, %v", got, err)
		}
		for name, x := range map[string][2]string{
			"another environment": {"env_b", plain}, "forged": {"env_a", secret.New(secret.ManagementKey, k.ID)},
			"another kind": {"env_a", secret.New(secret.SCIMToken, k.ID)}, "empty": {"env_a", ""}, "cut": {"env_a", plain[:len(plain)-1]},
		} {
			if _, err := authenticate(x[0], x[1]); fault.KindOf(err) != fault.Unauthenticated {
				t.Errorf("%s: %v", name, err)
			}
		}
		c.Advance(time.Hour)
		if _, err := authenticate("env_a", plain); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("expired: %v", err)
		}
		k, plain, _ = create(system, NewKey{Name: "second", Roles: []string{Impersonator, BackofficeViewer, Impersonator}})
		if a, err := authenticate("env_a", plain); err != nil || !slices.Equal(k.Roles, []string{BackofficeViewer, Impersonator}) || !a.May(Impersonate) || a.May(WriteTenants) {
			t.Errorf("%+v %+v, %v", k, a, err)
		}
		remove := func(env string) error {
			return d.Tx(ctx, func(q db.Queryer) error { return s.DeleteKey(ctx, actor.Actor{Environment: env}, q, k.ID) })
		}
		if err := remove("env_b"); fault.KindOf(err) != fault.NotFound {
			t.Errorf("deleted from another environment: %v", err)
		}
		if err := remove("env_a"); err != nil {
			t.Error(err)
		}
		if _, err := authenticate("env_a", plain); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("revoked: %v", err)
		}
		if list, err := s.Keys(ctx, d, "env_a"); err != nil || len(list) != 1 || list[0].Last4 == "" {
			t.Errorf("%+v, %v", list, err)
		}
		// A role that the program no longer knows opens nothing.
		_, plain, _ = create(system, NewKey{Name: "third"})
		if _, err := d.Exec(ctx, `UPDATE management_keys SET role = 'admin root' WHERE name = 'third'`); err != nil {
			t.Fatal(err)
		}
		if _, err := authenticate("env_a", plain); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("an unknown role: %v", err)
		}
		for range maxKeys - 2 {
			create(system, NewKey{Name: "x"})
		}
		if _, _, code := create(system, NewKey{Name: "x"}); code != "too_many_keys" {
			t.Errorf("one too many: %q", code)
		}
	})
}

// A key makes none that may do more than itself.
func TestKeysWithinOwn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		s, _ := open(t, d)
		for _, k := range []struct {
			own, wanted []string
			ok          bool
		}{
			{[]string{Admin}, []string{Admin}, true},
			{[]string{Admin}, []string{BackofficeEditor, EntitlementsEditor}, true},
			{[]string{Admin}, []string{Admin, Impersonator}, false}, // product 14: an admin impersonates nobody by himself
			{[]string{Admin, Impersonator}, []string{BackofficeViewer, Impersonator}, true},
			{[]string{BackofficeEditor}, []string{BackofficeViewer}, true},
			{[]string{BackofficeEditor}, []string{EntitlementsViewer}, false},
			{[]string{EntitlementsEditor}, []string{BackofficeViewer, EntitlementsViewer}, true},
			{[]string{EntitlementsEditor}, []string{BackofficeEditor}, false},
			{[]string{EntitlementsEditor, BackofficeEditor}, []string{Admin}, false},
			{[]string{BackofficeViewer}, []string{BackofficeEditor}, false},
		} {
			err := d.Tx(t.Context(), func(q db.Queryer) error {
				_, _, err := s.CreateKey(t.Context(), keyOf("env_a", k.own...), q, NewKey{Environment: "env_a", Name: "x", Roles: k.wanted})
				return err
			})
			if code := codeOf(t, err); (code == "") != k.ok || !k.ok && code != "role_exceeds_own" {
				t.Errorf("%v gives %v: %q", k.own, k.wanted, code)
			}
		}
	})
}

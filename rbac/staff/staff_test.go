package staff

import (
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

func TestManagementKeys(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		c := clock.NewFake(start)
		s := New(c)
		for _, env := range []string{"env_a", "env_b"} {
			if _, err := d.Exec(ctx, `INSERT INTO environments (id, name, base_url, is_default, created_at, updated_at) VALUES ($1, $1, '', $2, 1, 1)`, env, env == "env_a"); err != nil {
				t.Fatal(err)
			}
		}
		create := func(in NewKey) (k Key, plain, code string) {
			err := d.Tx(ctx, func(q db.Queryer) (err error) {
				k, plain, err = s.CreateKey(ctx, actor.Actor{Environment: in.Environment, Kind: actor.System}, q, in)
				return err
			})
			if err != nil && fault.CodeOf(err) == "" {
				t.Fatal(err)
			}
			return k, plain, fault.CodeOf(err)
		}
		k, plain, _ := create(NewKey{Environment: "env_a", Name: "ci", ExpiresAt: start.Add(time.Hour)})
		for want, in := range map[string]NewKey{
			"invalid_name": {Environment: "env_a"}, "invalid_role": {Environment: "env_a", Name: "x", Role: "root"},
			"invalid_expiry": {Environment: "env_a", Name: "x", ExpiresAt: start},
		} {
			if _, _, code := create(in); code != want {
				t.Errorf("%+v: %q, want %q", in, code, want)
			}
		}
		a, err := s.Authenticate(ctx, d, "env_a", plain)
		if err != nil || a.Environment != "env_a" || a.Tenant != "" || a.Kind != actor.Management || a.Subject != k.ID || a.Level != 0 {
			t.Errorf("%+v, %v", a, err)
		}
		if !a.May(ReadTenants) || !a.May("fe.secure.write.users") || a.May("invoices.read") {
			t.Error("permissions of the admin role")
		}
		count, n := db.Count(ctx)
		if _, err := s.Authenticate(count, d, "env_a", plain); err != nil || n.Statements() != 1 {
			t.Errorf("%d statements, %v", n.Statements(), err)
		}
		for name, x := range map[string][2]string{
			"another environment": {"env_b", plain}, "forged": {"env_a", secret.New(secret.ManagementKey, k.ID)},
			"another kind": {"env_a", secret.New(secret.SCIMToken, k.ID)}, "empty": {"env_a", ""}, "cut": {"env_a", plain[:len(plain)-1]},
		} {
			if _, err := s.Authenticate(ctx, d, x[0], x[1]); fault.KindOf(err) != fault.Unauthenticated {
				t.Errorf("%s: %v", name, err)
			}
		}
		c.Advance(time.Hour)
		if _, err := s.Authenticate(ctx, d, "env_a", plain); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("expired: %v", err)
		}
		k, plain, _ = create(NewKey{Environment: "env_a", Name: "second"})
		remove := func(env string) error {
			return d.Tx(ctx, func(q db.Queryer) error { return s.DeleteKey(ctx, actor.Actor{Environment: env}, q, k.ID) })
		}
		if err := remove("env_b"); fault.KindOf(err) != fault.NotFound {
			t.Errorf("deleted from another environment: %v", err)
		}
		if err := remove("env_a"); err != nil {
			t.Error(err)
		}
		if _, err := s.Authenticate(ctx, d, "env_a", plain); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("revoked: %v", err)
		}
		if list, err := s.Keys(ctx, d, "env_a"); err != nil || len(list) != 1 || list[0].Last4 == "" {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

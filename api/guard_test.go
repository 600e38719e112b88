package api

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/permission"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// The vendor's routes are his, inside tenants too, whatever a tenant's role came
// to hold.
func TestVendorPermissionsOfTenants(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		w := f.world(hostA, "acme")
		f.h.UserActor = func(_ context.Context, env tenants.Environment, _ string) (actor.Actor, error) {
			return actor.Actor{Environment: env.ID, Tenant: w["t"], Kind: actor.User, Subject: "usr_x", Permissions: permission.NewSet("*"), Level: actor.LevelOf(0)}, nil
		}
		walked := 0
		for _, r := range f.h.routes {
			if !strings.HasPrefix(r.permission, "bo.") {
				continue
			}
			if r.ofTenant() {
				walked++
			}
			if res := f.sendAs(hostA, "x.y.z", r.method, fill(r, w), bodies[r.id]); res.StatusCode != 403 {
				t.Errorf("%s: %d %s", r.id, res.StatusCode, codeOf(res))
			}
		}
		if walked < 5 {
			t.Errorf("only %d routes inside tenants", walked)
		}
	})
}

// Who is refused again and again fills neither the log nor the disk: the same
// denial is told once a minute, each other one at once.
func TestDenialsAreCounted(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		key := text(f.do(201, "POST", "/management-keys", object{"name": "viewer", "roles": []string{"backoffice-viewer"}}), "key")
		denials := func() (n int) {
			t.Helper()
			if err := d.QueryRow(t.Context(), `SELECT COUNT(*) FROM audit_events WHERE action = 'authorization.denied'`).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		refused := func(method, path string, body any) {
			t.Helper()
			for range 5 {
				f.as(key, 403, method, path, body)
			}
		}
		refused("POST", "/tenants", object{"name": "x"})
		if n := denials(); n != 1 {
			t.Errorf("%d denials are told of five that are one", n)
		}
		refused("DELETE", "/tenants/acme", nil)
		refused("POST", "/roles", object{"key": "x", "name": "x", "level": 1})
		if n := denials(); n != 3 {
			t.Errorf("%d denials, want 3", n)
		}
		f.clock.Advance(time.Minute)
		refused("DELETE", "/tenants/acme", nil)
		if n := denials(); n != 4 {
			t.Errorf("%d denials a minute later, want 4", n)
		}
		// Those of a rule inside the transaction too.
		for range 5 {
			f.refused(403, "role_exceeds_own", "POST", "/management-keys", object{"name": "x", "roles": []string{"admin", "impersonator"}})
		}
		if n := denials(); n != 5 {
			t.Errorf("%d denials, want 5", n)
		}
	})
}

// An If-Match that names nothing matches nothing (RFC 9110 §13.1.1): a client
// whose variable was empty does not overwrite blindly.
func TestIfMatchOfNothing(t *testing.T) {
	f := newFixture(t, openSQLite(t))
	f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
	for _, tags := range [][]string{{""}, {" "}, {","}, {"", ""}} {
		if res := f.sendWith(http.Header{"If-Match": tags}, "PATCH", "/api/v1/tenants/acme", object{"name": "x"}); res.StatusCode != 412 {
			t.Errorf("%q: %d", tags, res.StatusCode)
		}
	}
	if res := f.sendWith(http.Header{"If-Match": {`"v9"`, `"v1"`}}, "PATCH", "/api/v1/tenants/acme", object{"name": "x"}); res.StatusCode != 200 {
		t.Errorf("a list in two headers: %d", res.StatusCode)
	}
}

package signin_test

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// A login that runs while its person, tenant or connection is switched off does
// not come out of it with a session (identity rule 9).
func TestLoginDoesNotOutrunTheEnd(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		ctx := t.Context()
		for name, off := range map[string]func(q db.Queryer, tenant, connection, user string) error{
			"person disabled": func(q db.Queryer, tenant, _, user string) error {
				_, err := r.Directory.Disable(ctx, r.Vendor, q, tenant, user)
				return err
			},
			"tenant suspended": func(q db.Queryer, tenant, _, _ string) error {
				status := tenants.StatusSuspended
				_, err := r.Tenants.UpdateTenant(ctx, r.Vendor, q, tenant, tenants.TenantPatch{Status: &status})
				return err
			},
			"connection disabled": func(q db.Queryer, tenant, connection, _ string) error {
				status := tenants.SSODisabled
				_, err := r.Tenants.UpdateSSOConnection(ctx, r.Vendor, q, tenant, connection, tenants.SSOPatch{Status: &status})
				return err
			},
			"connection deleted": func(q db.Queryer, tenant, connection, _ string) error {
				return r.Tenants.DeleteSSOConnection(ctx, r.Vendor, q, tenant, connection)
			},
		} {
			tenant := r.Tenant(strings.ReplaceAll(name, " ", "-"), "acme.example")
			c := r.Bare(tenant)
			i := person(r, c, "ada", "ada@acme.example")
			user := in(t, arrive(t, r, i)).UserID
			browser := secret.Random()
			arrival := signin.Arrival{Handle: save(t, r, begin(t, r, browser, ""), i), BrowserID: browser}
			done := make(chan error, 1)
			r.Tx(func(q db.Queryer) error {
				if err := off(q, tenant, c.ID, user); err != nil {
					return err
				}
				go func() {
					_, err := r.Signin.Continue(ctx, anonymous(r), r.Env, arrival)
					done <- err
				}()
				waitBlocked(t, r, done)
				return nil
			})
			<-done
			if n := r.Count(`SELECT COUNT(*) FROM session_tenants WHERE tenant_id = $1 AND ended_at IS NULL`, tenant); n != 0 {
				t.Errorf("%s: %d sessions live", name, n)
			}
		}
	})
}

// waitBlocked returns when some transaction of the store waits for a lock, or
// the one that was to wait has come through.
func waitBlocked(t *testing.T, r *rig.Rig, done chan error) {
	t.Helper()
	if r.DB.Dialect().Name == db.SQLite {
		return // a transaction waits for the one before it from its start
	}
	for range 1000 {
		if len(done) > 0 || r.Count(`SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) > 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Error("nothing waits")
}

// A token names the tenants that the person can enter, no more.
func TestTenantsOfAPerson(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		here := r.Tenant("here", "acme.example")
		ada := in(t, arrive(t, r, person(r, r.Bare(here), "ada", "ada@acme.example")))
		want := []string{here}
		now := r.Clock.Now().UnixMicro()
		for key, change := range map[string]string{
			"open":        ``,
			"later":       `UPDATE memberships SET expires_at = ` + strconv.FormatInt(now+1, 10) + ` WHERE tenant_id = $1`,
			"active":      `UPDATE memberships SET scim_resources = 2, scim_active = 1 WHERE tenant_id = $1`,
			"waiting":     `UPDATE memberships SET status = 'pending_login' WHERE tenant_id = $1`,
			"disabled":    `UPDATE memberships SET disabled_at = 1 WHERE tenant_id = $1`,
			"hidden":      `UPDATE memberships SET hidden_at = 1 WHERE tenant_id = $1`,
			"expired":     `UPDATE memberships SET expires_at = ` + strconv.FormatInt(now, 10) + ` WHERE tenant_id = $1`,
			"deactivated": `UPDATE memberships SET scim_resources = 1, scim_active = 0 WHERE tenant_id = $1`,
			"unapproved":  `UPDATE memberships SET status = 'pending_approval' WHERE tenant_id = $1`,
			"suspended":   `UPDATE tenants SET status = 'suspended' WHERE id = $1`,
		} {
			tenant := r.Tenant(key, "acme.example")
			if out := in(t, arrive(t, r, person(r, r.Bare(tenant), "ada", "ada@acme.example"))); out.UserID != ada.UserID {
				t.Fatal("another person")
			}
			if change != "" {
				r.Exec(change, tenant)
			}
			if slices.Contains([]string{"open", "later", "active", "waiting"}, key) {
				want = append(want, tenant)
			}
		}
		p, err := r.Signin.Check(t.Context(), r.DB, r.Env.ID, here, ada.UserID, "")
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(want)
		if !slices.Equal(p.TenantIDs, want) {
			t.Errorf("got %v, want %v", p.TenantIDs, want)
		}
	})
}

// A user who was locked comes in by no tenant, one that he does not know
// included.
func TestLockedUserOfAnotherTenant(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		first, second := r.Tenant("first", "acme.example"), r.Tenant("second", "acme.example")
		ada := in(t, arrive(t, r, person(r, r.Bare(first), "ada", "ada@acme.example")))
		r.Exec(`UPDATE users SET locked_at = 1 WHERE environment_id = $1 AND id = $2`, r.Env.ID, ada.UserID)
		refused(t, r, person(r, r.Bare(second), "ada", "ada@acme.example"), "POLICY_USER_LOCKED")
	})
}

// A forced re-login (product 45) ends what the login began, refresh tokens
// included; the default lifetime of a session does not.
func TestForcedLoginEndsRefreshTokens(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme", "acme.example")
		c := r.Bare(tenant)
		i := person(r, c, "ada", "ada@acme.example")
		end := func() time.Time {
			out := in(t, arrive(t, r, i))
			p, _ := out.Session.Proof(tenant)
			return p.NotAfter
		}
		if at := end(); !at.IsZero() {
			t.Errorf("without a policy: %v", at)
		}
		force(t, r, tenant, `{"absolute_seconds": 7200}`)
		if at := end(); !at.Equal(r.Clock.Now().Add(2 * time.Hour)) {
			t.Errorf("two hours: %v", at)
		}
		i.SessionEnd = r.Clock.Now().Add(time.Hour)
		if at := end(); !at.Equal(i.SessionEnd) {
			t.Errorf("the provider's end comes first: %v", at)
		}
		i.SessionEnd = r.Clock.Now().Add(3 * time.Hour)
		if at := end(); !at.Equal(r.Clock.Now().Add(2 * time.Hour)) {
			t.Errorf("the policy's end comes first: %v", at)
		}
	})
}

// A tenant that forces re-login is entered by a new session when the one in the
// browser is older than it allows.
func TestForcedLoginWithAnOldSession(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		acme, globex := r.Tenant("acme", "shared.example"), r.Tenant("globex", "shared.example")
		a, b := r.Bare(acme), r.Bare(globex)
		force(t, r, globex, `{"absolute_seconds": 7200}`)
		browser := secret.Random()
		old := in(t, arriveIn(t, r, person(r, a, "ada", "ada@shared.example"), browser, "", anonymous(r)))
		r.Clock.Advance(3 * time.Hour)
		out := in(t, arriveIn(t, r, person(r, b, "ada", "ada@shared.example"), browser, old.Cookie, anonymous(r)))
		found, err := r.Sessions.Find(t.Context(), r.DB, r.Env.ID, out.Cookie)
		if err != nil || out.UserID != old.UserID || found.ID == old.Session.ID {
			t.Errorf("%+v %v", found, err)
		}
	})
}

// When somebody else signs in in the browser, the tenant of the person before
// reads that the session ended, not who came.
func TestAnotherPersonInTheBrowserIsNotTold(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		acme, globex := r.Tenant("acme", "acme.example"), r.Tenant("globex", "globex.example")
		a, b := r.Bare(acme), r.Bare(globex)
		browser := secret.Random()
		first := in(t, arriveIn(t, r, person(r, a, "ada", "ada@acme.example"), browser, "", anonymous(r)))
		second := in(t, arriveIn(t, r, person(r, b, "bob", "bob@globex.example"), browser, first.Cookie, anonymous(r)))
		const ended = `SELECT COUNT(*) FROM audit_events WHERE action = 'session.ended' AND tenant_id = $1`
		if n := r.Count(ended+` AND actor_id <> $2 AND actor NOT LIKE '%bob%'`, acme, second.UserID); n != 1 {
			t.Errorf("%d events in acme", n)
		}
		if n := r.Count(ended, globex); n != 0 {
			t.Errorf("%d events in globex", n)
		}
		if _, err := r.Sessions.Find(t.Context(), r.DB, r.Env.ID, first.Cookie); !errors.Is(err, sessions.ErrNoSession) {
			t.Errorf("the session before: %v", err)
		}
	})
}

func force(t *testing.T, r *rig.Rig, tenant, body string) {
	t.Helper()
	r.Tx(func(q db.Queryer) error {
		_, err := r.Policy.Put(t.Context(), r.Vendor, q, r.Env.ID, tenant, policy.Sessions, []byte(body))
		return err
	})
}

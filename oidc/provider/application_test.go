package provider

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Product 39: an application that is assigned gives no code and no token to
// others, and takes the next refresh from whom it is taken.
func TestAssignedApplication(t *testing.T) {
	each(t, func(w *world) {
		change := func(p tenants.ApplicationPatch) {
			w.Helper()
			w.tx(func(q db.Queryer) error {
				_, err := w.tenants.UpdateApplication(w.ctx(), w.admin, q, w.app.ID, p)
				return err
			})
		}
		all, assigned := tenants.AccessAll, tenants.AccessAssigned
		b := w.browser()
		before := b.signedIn("ada@acme.com")
		active := func() bool {
			r := b.post("/oauth2/introspect", url.Values{"token": {before.Access}}, b.basic)
			if r.StatusCode != http.StatusOK {
				w.Errorf("introspection: %d", r.StatusCode)
			}
			return strings.Contains(r.body, `"active":true`)
		}
		if !active() {
			w.Error("introspection of a token that holds")
		}
		change(tenants.ApplicationPatch{TenantAccess: &assigned})

		if active() {
			w.Error("introspection of a token for an application that is closed")
		}
		if got := b.refresh(before.Refresh); got.StatusCode != http.StatusBadRequest || got.Error != "invalid_grant" || got.Description != tenants.ErrNotAssigned.Message {
			w.Errorf("refresh: %d %s %s", got.StatusCode, got.Error, got.Description)
		}
		_, q := b.location(b.get(b.ask(nil))) // the session suffices, the application is closed
		if q.Get("error") != "access_denied" || q.Get("code") != "" || q.Get("error_description") != tenants.ErrNotAssigned.Message || q.Get("state") != "st&te=1" {
			w.Errorf("authorize: %v", q)
		}
		if n := w.events("authorization.denied"); n != 1 {
			w.Errorf("%d denials told", n)
		}
		fresh := w.browser()
		r := fresh.get(fresh.ask(nil))
		if _, q := fresh.location(fresh.get(fresh.login(r, fresh.identity("eve@globex.com")))); q.Get("error") != "access_denied" {
			w.Errorf("after a sign-in: %v", q)
		}

		assign := func(tenant tenants.Tenant) {
			w.tx(func(q db.Queryer) error {
				_, err := w.tenants.AssignTenant(w.ctx(), w.admin, q, tenant, w.app.ID)
				return err
			})
		}
		assign(w.acme)
		again := b.refresh(before.Refresh)
		if again.StatusCode != http.StatusOK {
			w.Fatalf("the refusal used the token up: %d %s", again.StatusCode, again.body)
		}
		b.redeem(b.code(nil, "ada@acme.com"))

		// By person, inside a tenant that has it. A code that was issued before is refused too.
		code := b.code(nil, "ada@acme.com")
		change(tenants.ApplicationPatch{TenantAccess: &all, UserAccess: &assigned})
		if got := b.redeem(code); got.StatusCode != http.StatusBadRequest || got.Error != "invalid_grant" || got.Access != "" {
			w.Errorf("code: %d %s", got.StatusCode, got.body)
		}
		user, _ := w.part(before.Access, 1)["sub"].(string)
		p, err := w.directory.PersonOf(w.ctx(), w.db, w.acme.ID, user)
		if err != nil {
			w.Fatal(err)
		}
		w.tx(func(q db.Queryer) error {
			_, err := w.tenants.AssignUser(w.ctx(), w.admin, q, w.acme.ID, tenants.Member{Membership: p.Membership.ID, UserID: user}, w.app.ID)
			return err
		})
		if got := b.redeem(b.code(nil, "ada@acme.com")); got.StatusCode != http.StatusOK {
			w.Errorf("assigned: %d %s", got.StatusCode, got.body)
		}
	})
}

// Product 10 and 39: of several tenants that the session satisfied, one that has
// the application answers for it, unless the request names one that has not.
func TestApplicationOfAnotherTenant(t *testing.T) {
	each(t, func(w *world) {
		b := w.browser()
		got := b.signedIn("ada@acme.com")
		user, _ := w.part(got.Access, 1)["sub"].(string)
		w.tx(func(q db.Queryer) error {
			if _, err := q.Exec(w.ctx(), `INSERT INTO memberships (tenant_id, id, environment_id, user_id, status, managed_by, email, email_key, created_at, updated_at)
SELECT $1, 'mem_second', environment_id, user_id, status, managed_by, email, email_key, created_at, updated_at FROM memberships WHERE tenant_id = $2 AND user_id = $3`, w.globex.ID, w.acme.ID, user); err != nil {
				return err
			}
			if _, err := q.Exec(w.ctx(), `INSERT INTO session_tenants (tenant_id, session_id, environment_id, user_id, membership_id, connection_id, method, auth_time, satisfied_at)
SELECT $1, session_id, environment_id, user_id, 'mem_second', $4, method, auth_time, satisfied_at + 1 FROM session_tenants WHERE tenant_id = $2 AND user_id = $3`, w.globex.ID, w.acme.ID, user, w.globexSSO.ID); err != nil {
				return err
			}
			if _, err := w.tenants.AssignTenant(w.ctx(), w.admin, q, w.acme, w.app.ID); err != nil {
				return err
			}
			return nil
		})
		tenant := func() any { return w.part(b.redeem(b.code(nil, "")).Access, 1)["tenantId"] }
		if got := tenant(); got != w.globex.ID {
			w.Errorf("an open application: %v, want the tenant that was satisfied last", got)
		}
		assigned := tenants.AccessAssigned
		w.tx(func(q db.Queryer) error {
			_, err := w.tenants.UpdateApplication(w.ctx(), w.admin, q, w.app.ID, tenants.ApplicationPatch{TenantAccess: &assigned})
			return err
		})
		if got := tenant(); got != w.acme.ID {
			w.Errorf("an assigned application: %v, want the tenant that has it", got)
		}
		if _, q := b.location(b.get(b.ask(map[string]string{"organization": "globex"}))); q.Get("error") != "access_denied" {
			w.Errorf("by name: %v", q)
		}
	})
}

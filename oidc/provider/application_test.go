package provider

import (
	"net/http"
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
		change(tenants.ApplicationPatch{TenantAccess: &assigned})

		if got := b.refresh(before.Refresh); got.StatusCode != http.StatusBadRequest || got.Error != "invalid_grant" || got.Description != tenants.ErrNotAssigned.Message {
			w.Errorf("refresh: %d %s %s", got.StatusCode, got.Error, got.Description)
		}
		_, q := b.location(b.get(b.ask(nil))) // the session suffices, the application is closed
		if q.Get("error") != "access_denied" || q.Get("code") != "" || q.Get("error_description") != tenants.ErrNotAssigned.Message || q.Get("state") != "st&te=1" {
			w.Errorf("authorize: %v", q)
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

package onboarding_test

import (
	"net/netip"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/onboarding"
	"github.com/gatehouse-id/gatehouse/rbac/apitoken"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// An invitation by an API token holds while the token does, with the roles that it
// has then; a personal token is its person (product 121, 124).
func TestInvitationByAToken(t *testing.T) {
	each(t, func(w *world) {
		service := apitoken.New(w.RBAC, w.Clock)
		var made apitoken.Token
		var plain string
		w.Tx(func(q db.Queryer) (err error) {
			made, plain, err = service.Create(t.Context(), w.Vendor, q, w.acme.ID, apitoken.NewToken{Kind: apitoken.AccessToken, Description: "hr", RoleIDs: []string{w.weak}})
			return err
		})
		a, err := service.Authenticate(t.Context(), w.DB, w.Env.ID, plain, netip.Addr{})
		w.check(err)
		_, err = w.tryInvite(a, with(invite("x@x.example"), w.preset("admin")))
		w.wants("an admin by the token", w.code(err), "role_level_too_strong")
		w.wants("a link with roles of nobody", w.code(w.DB.Tx(t.Context(), func(q db.Queryer) error {
			_, _, err := w.People.CreateLink(t.Context(), a, q, w.Env, w.acme, onboarding.NewLink{})
			return err
		})), "required")
		_, first := w.invited(a, "one@x.example", w.weak)
		_, second := w.invited(a, "two@x.example", w.weak)
		out, code := w.accept(first, w.identity(w.sso, "one@x.example"))
		w.wants("while it lives", code, "")
		w.wants("roles", w.Strings(rolesOf, w.acme.ID, out.UserID), []string{"helpdesk"})
		w.Tx(func(q db.Queryer) error { return service.Delete(t.Context(), w.Vendor, q, w.acme.ID, made.ID) })
		w.refused("the token is gone", "INVITATION_VOID", func() string { _, code := w.accept(second, w.identity(w.sso, "two@x.example")); return code })
		personal := a
		personal.Owner = w.boss.User.ID
		_, third := w.invited(personal, "three@x.example", w.weak)
		_, code = w.accept(third, w.identity(w.sso, "three@x.example"))
		w.wants("of the person", code, "")
		setup := actor.Actor{Environment: w.Env.ID, Tenant: w.acme.ID, Kind: actor.SetupLink, Level: a.Level}
		_, fourth := w.invited(setup, "four@x.example", w.weak)
		w.refused("of nobody whose power can be asked for", "INVITATION_VOID", func() string { _, code := w.accept(fourth, w.identity(w.sso, "four@x.example")); return code })
	})
}

// product 8: an admin of the parent invites into a sub-account, as long as he may
// enter it.
func TestInvitationIntoASubaccount(t *testing.T) {
	each(t, func(w *world) {
		w.Exec(`UPDATE tenants SET subaccounts_enabled = TRUE, subaccount_access = 'always_on' WHERE id = $1`, w.acme.ID)
		var child tenants.Tenant
		w.Tx(func(q db.Queryer) (err error) {
			child, err = w.Tenants.CreateTenant(t.Context(), w.Vendor, q, tenants.NewTenant{Name: "child", Key: "child", ParentID: w.acme.ID})
			return err
		})
		sso := w.Bare(child.ID)
		a, err := w.Directory.Enter(t.Context(), w.DB, w.as(w.boss), w.Env.ID, child.ID)
		w.check(err)
		send := func(email string) string {
			w.Tx(func(q db.Queryer) error {
				_, err := w.People.Invite(t.Context(), a, q, w.Env, child, with(invite(email), w.weak))
				return err
			})
			return w.mailed(email)
		}
		first, second := send("one@x.example"), send("two@x.example")
		out, code := w.accept(first, w.identity(sso, "one@x.example"))
		w.wants("in", code, "")
		w.wants("roles", w.Strings(rolesOf, child.ID, out.UserID), []string{"helpdesk"})
		w.Exec(`UPDATE tenants SET subaccounts_enabled = FALSE WHERE id = $1`, w.acme.ID)
		w.refused("the parent lost its capability", "INVITATION_VOID", func() string { _, code := w.accept(second, w.identity(sso, "two@x.example")); return code })
	})
}

package onboarding_test

import (
	"slices"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/onboarding"
)

// The vendor invites two people into a new tenant: whoever comes first runs it
// (product 2.5), the other one does not.
func TestFirstOfTheInvitedRunsTheTenant(t *testing.T) {
	each(t, func(w *world) {
		fresh := w.tenant("fresh")
		w.Tx(func(q db.Queryer) error {
			_, err := w.People.Invite(t.Context(), w.Vendor, q, w.Env, fresh, onboarding.NewInvitations{People: []onboarding.Invitee{{Email: "one@y.example"}, {Email: "two@y.example"}}})
			return err
		})
		for n, email := range []string{"one@y.example", "two@y.example"} {
			if _, err := w.People.AcceptWithPassword(t.Context(), w.anonymous(), w.Env, w.mailed(email), "correct horse battery"); err != nil {
				t.Fatal(err)
			}
			var user string
			if err := w.DB.QueryRow(t.Context(), `SELECT user_id FROM memberships WHERE tenant_id = $1 AND email_key = $2`, fresh.ID, email).Scan(&user); err != nil {
				t.Fatal(err)
			}
			if admin := slices.Contains(w.Strings(rolesOf, fresh.ID, user), "admin"); admin != (n == 0) {
				t.Errorf("%s is admin: %v", email, admin)
			}
		}
	})
}

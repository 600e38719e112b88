package login_test

import (
	"testing"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// A sign-in that the environment no longer offers is no way into another
// organization, nor by a refresh token (identity rules 6 and 9).
func TestSocialSwitchByRefreshToken(t *testing.T) {
	eachSocial(t, func(t *testing.T, w *social) {
		beta := w.Tenant("beta")
		w.member(t, "two@plain.example", password, w.plain, beta)
		b := browser.New(t)
		p := form(t, b, w.through(t, b, joeThere.ID, "organization", w.plain), "/login/connect")
		arrived(t, form(t, b, p, "/login/password", "email", "two@plain.example", "password", password))
		ses := arrived(t, w.through(t, browser.New(t), joeThere.ID, "organization", w.plain)).Session

		goTo := func(env tenants.Environment) error {
			return w.DB.Tx(t.Context(), func(q db.Queryer) error {
				_, _, err := w.Signin.Switch(t.Context(), actor.Actor{Kind: actor.Anonymous, Environment: env.ID}, q, env, ses, beta)
				return err
			})
		}
		off := w.Env
		w.Tx(func(q db.Queryer) (err error) {
			off, err = w.Tenants.UpdateEnvironment(t.Context(), w.Vendor, q, w.Env.ID, tenants.EnvironmentPatch{Features: map[tenants.Feature]bool{tenants.FeatureSocialLogin: false}})
			return err
		})
		if err := goTo(off); fault.CodeOf(err) != signin.ErrConnectionDisabled.Code {
			t.Errorf("switched off: %v", err)
		}
		if err := goTo(w.Env); err != nil {
			t.Errorf("offered: %v", err)
		}
	})
}

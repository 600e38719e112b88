package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/signin"
)

// userFactor is what others see of somebody's second factor.
type userFactor struct {
	Kind       string     `json:"kind" enum:"totp,webauthn"`
	CreatedAt  time.Time  `json:"created_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
}

type mfaReset struct {
	Removed int `json:"removed" doc:"How many second factors were removed"`
}

var errOwnReset = fault.New(fault.Forbidden, "own_account", "Nobody resets his own second factors here: remove them at your own account, after a fresh sign-in.")

// mayHelp refuses who would help himself, and who acts as somebody else: what touches
// credentials is nothing for an impersonation (identity rule 12).
func mayHelp(a actor.Actor, user string) error {
	switch {
	case a.Impersonator.ID != "":
		return signin.ErrOwnOnly
	case a.Kind == actor.User && a.Subject == user, a.Owner == user:
		return errOwnReset
	}
	return nil
}

// registerUserFactors serves what administrators do for people who cannot come in.
func (h *Handler) registerUserFactors() {
	const one = "/tenants/{t}/users/{u}"
	const change = "fe.secure.write.users"
	read(h, route{method: http.MethodGet, path: one + "/factors", id: "listUserFactors", summary: "List the kinds of second factors that a person is asked for in this tenant", permission: "fe.secure.read.users"},
		func(ctx context.Context, s scope, q db.Queryer, in *UserPath) (out list[userFactor], err error) {
			if _, err := h.Directory.PersonOf(ctx, q, s.tenant.ID, in.User); err != nil {
				return out, err
			}
			found, err := h.Signin.MemberFactors(ctx, q, s.environment.ID, s.tenant.ID, in.User)
			out.Data = make([]userFactor, 0, len(found))
			for _, f := range found {
				out.Data = append(out.Data, userFactor{f.Kind, f.CreatedAt, optional(f.LastUsedAt)})
			}
			return out, err
		})
	write(h, route{method: http.MethodPost, path: one + ":reset-mfa", id: "resetUserMfa", summary: "Remove a person's second factors: of who belongs to this tenant alone all, of others those that serve in it alone; ends his sessions here", permission: change},
		func(ctx context.Context, s scope, q db.Queryer, in *UserPath) (out mfaReset, err error) {
			p, err := h.helped(ctx, s, q, in.User)
			if err != nil {
				return out, err
			}
			out.Removed, err = h.Signin.ResetMFA(ctx, s.actor, q, s.environment, s.tenant.ID, p)
			return out, err
		})
	write(h, route{method: http.MethodPost, path: one + ":unlock", id: "unlockTenantUser", summary: "Lift the lock that wrong passwords brought upon a person who belongs to this tenant alone", permission: change},
		func(ctx context.Context, s scope, q db.Queryer, in *UserPath) (out userDetail, err error) {
			p, err := h.helped(ctx, s, q, in.User)
			if err != nil {
				return out, err
			}
			managed, err := h.Signin.ManagedHere(ctx, q, s.environment.ID, s.tenant.ID, p.User.ID)
			if err == nil && !managed {
				err = signin.ErrNotManaged
			}
			if err != nil {
				return out, err
			}
			if err := h.Signin.LiftLock(ctx, s.actor, q, s.environment.ID, p.User.ID, "administrator"); err != nil {
				return out, err
			}
			return h.userDetail(ctx, q, p)
		})
	write(h, route{method: http.MethodPost, path: "/users/{user}:reset-mfa", id: "resetEnvironmentUserMfa", summary: "Remove all second factors of a user; ends his sessions", permission: staff.WriteUsers},
		func(ctx context.Context, s scope, q db.Queryer, in *EnvironmentUserPath) (out mfaReset, err error) {
			u, err := h.Directory.User(ctx, q, s.environment.ID, in.User)
			if err != nil {
				return out, err
			}
			out.Removed, err = h.Signin.ResetMFA(ctx, s.actor, q, s.environment, "", directory.Person{User: u})
			return out, err
		})
}

// helped is somebody whom the actor may help to come in.
func (h *Handler) helped(ctx context.Context, s scope, q db.Queryer, user string) (directory.Person, error) {
	if err := mayHelp(s.actor, user); err != nil {
		return directory.Person{}, err
	}
	return h.target(ctx, s, q, user)
}

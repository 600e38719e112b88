package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
)

// EnvironmentUserBody is a user with all his tenants, as the vendor sees him
// (product 10).
type EnvironmentUserBody struct {
	ID            string                      `json:"id"`
	Email         string                      `json:"email" doc:"His own; empty until he has accepted his first invitation"`
	EmailVerified bool                        `json:"email_verified"`
	Name          string                      `json:"name"`
	LockedAt      *time.Time                  `json:"locked_at"`
	Memberships   []EnvironmentMembershipBody `json:"memberships"`
	CreatedAt     time.Time                   `json:"created_at"`
	UpdatedAt     time.Time                   `json:"updated_at"`

	version int64
}

func (b EnvironmentUserBody) etag() string { return versionTag(b.version) }

// EnvironmentMembershipBody is one of his tenants.
type EnvironmentMembershipBody struct {
	TenantID     string     `json:"tenant_id"`
	MembershipID string     `json:"membership_id"`
	Email        string     `json:"email" doc:"By which the tenant knows him"`
	Status       string     `json:"status"`
	Disabled     bool       `json:"disabled"`
	ManagedBy    string     `json:"managed_by"`
	ExpiresAt    *time.Time `json:"expires_at"`
}

func (h *Handler) showEnvironmentUser(ctx context.Context, q db.Queryer, u directory.User) (EnvironmentUserBody, error) {
	out := EnvironmentUserBody{
		ID: u.ID, Email: u.Email, EmailVerified: u.EmailVerified, Name: u.Name, LockedAt: optional(u.LockedAt),
		Memberships: []EnvironmentMembershipBody{}, CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt, version: u.Version,
	}
	memberships, err := h.Directory.Memberships(ctx, q, u.Environment, u.ID)
	for _, m := range memberships {
		out.Memberships = append(out.Memberships, EnvironmentMembershipBody{
			TenantID: m.Tenant, MembershipID: m.ID, Email: m.Email, Status: string(m.Status), Disabled: !m.DisabledAt.IsZero(),
			ManagedBy: string(m.ManagedBy), ExpiresAt: optional(m.ExpiresAt),
		})
	}
	return out, err
}

// EnvironmentUserPath names a user above tenants.
type EnvironmentUserPath struct {
	User string `path:"user" maxLength:"63" doc:"Id of the user"`
}

type findEnvironmentUsers struct {
	Email string `query:"email" required:"true" minLength:"3" maxLength:"320" doc:"The user's own address"`
}

func (h *Handler) registerEnvironmentUsers() {
	const one = "/users/{user}"
	read(h, route{method: http.MethodGet, path: "/users", id: "findEnvironmentUsers", summary: "Find users of the environment by their address", permission: staff.ReadUsers},
		func(ctx context.Context, s scope, q db.Queryer, in *findEnvironmentUsers) (out list[EnvironmentUserBody], err error) {
			found, err := h.Directory.Users(ctx, q, s.environment.ID, in.Email)
			if err != nil {
				return out, err
			}
			out.Data = make([]EnvironmentUserBody, 0, len(found))
			for _, u := range found {
				b, err := h.showEnvironmentUser(ctx, q, u)
				if err != nil {
					return out, err
				}
				out.Data = append(out.Data, b)
			}
			return out, nil
		})
	read(h, route{method: http.MethodGet, path: one, id: "getEnvironmentUser", summary: "Show a user with all his tenants", permission: staff.ReadUsers},
		func(ctx context.Context, s scope, q db.Queryer, in *EnvironmentUserPath) (out EnvironmentUserBody, err error) {
			u, err := h.Directory.User(ctx, q, s.environment.ID, in.User)
			if err != nil {
				return out, err
			}
			return h.showEnvironmentUser(ctx, q, u)
		})
	remove(h, route{method: http.MethodDelete, path: one, id: "deleteEnvironmentUser", summary: "Take a user out of all his tenants, and delete him", permission: staff.DeleteUsers},
		func(ctx context.Context, s scope, q db.Queryer, in *EnvironmentUserPath) error {
			u, err := h.Directory.User(ctx, q, s.environment.ID, in.User)
			if err != nil {
				return err
			}
			if err := s.match(u.Version); err != nil {
				return err
			}
			return h.Directory.DeleteUser(ctx, s.actor, q, in.User)
		})
	for _, op := range []struct {
		verb, id, summary string
		do                func(context.Context, scope, db.Queryer, string) (directory.User, error)
	}{
		{"lock", "lockUser", "Keep a user out of all his tenants; ends his sessions", func(ctx context.Context, s scope, q db.Queryer, user string) (directory.User, error) {
			return h.Directory.Lock(ctx, s.actor, q, user)
		}},
		{"unlock", "unlockUser", "Let a locked user in again, whether somebody locked him or wrong passwords did", func(ctx context.Context, s scope, q db.Queryer, user string) (directory.User, error) {
			u, err := h.Directory.Unlock(ctx, s.actor, q, user)
			if err != nil {
				return u, err
			}
			return u, h.Signin.LiftLock(ctx, s.actor, q, s.environment.ID, user, "vendor")
		}},
	} {
		write(h, route{method: http.MethodPost, path: one + ":" + op.verb, id: op.id, summary: op.summary, permission: staff.WriteUsers},
			func(ctx context.Context, s scope, q db.Queryer, in *EnvironmentUserPath) (out EnvironmentUserBody, err error) {
				u, err := op.do(ctx, s, q, in.User)
				if err != nil {
					return out, err
				}
				return h.showEnvironmentUser(ctx, q, u)
			})
	}
}

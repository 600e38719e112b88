package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/onboarding"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// UserBody is a person as lists show him.
type UserBody struct {
	ID           string     `json:"id"`
	MembershipID string     `json:"membership_id"`
	Email        string     `json:"email"`
	FirstName    string     `json:"first_name"`
	LastName     string     `json:"last_name"`
	DisplayName  string     `json:"display_name"`
	Status       string     `json:"status" enum:"invited,pending_approval,pending_login,active"`
	Disabled     bool       `json:"disabled" doc:"An admin disabled the user in this tenant"`
	Deactivated  bool       `json:"deactivated" doc:"The directory that keeps the user deactivated or removed him"`
	Usable       bool       `json:"usable" doc:"Whether the user may log in now"`
	ManagedBy    string     `json:"managed_by" enum:"local,sso,scim"`
	ConnectionID *string    `json:"connection_id" doc:"The connection that made the user"`
	Guest        bool       `json:"guest" doc:"The user has an access period"`
	ExpiresAt    *time.Time `json:"expires_at" doc:"Of a guest"`
	Expired      bool       `json:"expired" doc:"The access period is over"`
	Resendable   bool       `json:"resend_activation" doc:"Whether the activation mail can be sent again"`
	CreatedAt    time.Time  `json:"created_at"`
	UpdatedAt    time.Time  `json:"updated_at"`
}

type userDetail struct {
	UserBody
	RoleIDs  []string       `json:"role_ids" doc:"Direct roles only; effective-roles shows all"`
	Metadata map[string]any `json:"metadata" doc:"What applications keep of the user in this tenant; tokens carry it"`

	version int64
}

func (b userDetail) etag() string { return versionTag(b.version) }

func (h *Handler) showUser(p directory.Person) UserBody {
	m := p.Membership
	err := m.Usable(h.Clock.Now())
	return UserBody{
		ID: m.UserID, MembershipID: m.ID, Email: m.Email, FirstName: m.FirstName, LastName: m.LastName, DisplayName: m.DisplayName,
		Status: string(m.Status), Disabled: !m.DisabledAt.IsZero(), Deactivated: err == directory.ErrDeprovisioned, Usable: err == nil && p.User.LockedAt.IsZero() && m.Status != directory.StatusInvited,
		ManagedBy: string(m.ManagedBy), ConnectionID: optionalText(m.Connection), ExpiresAt: optional(m.ExpiresAt), Guest: m.Guest(), Expired: m.Guest() && !h.Clock.Now().Before(m.ExpiresAt),
		Resendable: m.Status == directory.StatusInvited && m.ManagedBy == directory.Local && m.DisabledAt.IsZero(), CreatedAt: m.CreatedAt, UpdatedAt: m.UpdatedAt,
	}
}

func (h *Handler) userDetail(ctx context.Context, q db.Queryer, p directory.Person) (userDetail, error) {
	roles, err := h.RBAC.MembershipRoles(ctx, q, p.Membership.Tenant, p.Membership.ID)
	if err != nil {
		return userDetail{}, err
	}
	out := userDetail{UserBody: h.showUser(p), RoleIDs: roles, Metadata: map[string]any{}, version: p.Membership.Version}
	if text := p.Membership.Metadata; text != "" {
		err = json.Unmarshal([]byte(text), &out.Metadata)
	}
	return out, err
}

// UserPath names a person.
type UserPath struct {
	TenantPath
	User string `path:"u" maxLength:"63" doc:"Id of the user"`
}

type createUser struct {
	TenantPath
	Body struct {
		Email          string         `json:"email,omitempty" maxLength:"320" doc:"Required, but with user_id"`
		UserID         string         `json:"user_id,omitempty" maxLength:"63" doc:"A user of the environment who joins this tenant too; by the vendor only"`
		FirstName      string         `json:"first_name,omitempty" maxLength:"1024"`
		LastName       string         `json:"last_name,omitempty" maxLength:"1024"`
		DisplayName    string         `json:"display_name,omitempty" maxLength:"1024"`
		RoleIDs        *[]string      `json:"role_ids,omitempty" maxItems:"100" doc:"The default roles when left out"`
		Metadata       map[string]any `json:"metadata,omitempty" doc:"At most 50 keys and 8 KiB"`
		ExpiresIn      int64          `json:"expires_in_seconds,omitempty" minimum:"300" maximum:"315360000" doc:"The access period of a guest"`
		Password       *string        `json:"password,omitempty" maxLength:"256" doc:"For signing in here; from management keys only"`
		SendInvitation bool           `json:"send_invitation,omitempty" doc:"Invite by mail: the user is a member once he accepts"`
	}
}

type listUsers struct {
	TenantList
	Email    string `query:"email" maxLength:"320" doc:"Only users of this address"`
	Q        string `query:"q" maxLength:"320" doc:"Only users whose address or user name begins with it"`
	Status   string `query:"status" enum:"invited,pending_approval,pending_login,active"`
	Guests   string `query:"guests" enum:"true,false" doc:"Only users with an access period, expired ones included; or only those without"`
	Disabled string `query:"disabled" enum:"true,false"`
}

type updateUser struct {
	UserPath
	Body struct {
		Email       *string         `json:"email,omitempty" maxLength:"320"`
		FirstName   *string         `json:"first_name,omitempty" maxLength:"1024"`
		LastName    *string         `json:"last_name,omitempty" maxLength:"1024"`
		DisplayName *string         `json:"display_name,omitempty" maxLength:"1024"`
		Metadata    *map[string]any `json:"metadata,omitempty" doc:"Replaces; at most 50 keys and 8 KiB"`
	}
}

type roleIDs struct {
	RoleIDs []string `json:"role_ids" maxItems:"100"`
}

type putUserRoles struct {
	UserPath
	Body roleIDs
}

type effectiveBody struct {
	Roles       []grantBody `json:"roles"`
	Permissions []string    `json:"permissions" doc:"Verbatim, wildcards included"`
}

func showEffective(e rbac.Effective) effectiveBody {
	out := effectiveBody{Roles: make([]grantBody, 0, len(e.Roles)), Permissions: texts(e.Permissions)}
	for _, g := range e.Roles {
		out.Roles = append(out.Roles, grantBody{ID: g.ID, Key: g.Key, Level: g.Level, Sources: g.Sources})
	}
	return out
}

type grantBody struct {
	ID      string   `json:"id"`
	Key     string   `json:"key"`
	Level   int      `json:"level"`
	Sources []string `json:"sources" doc:"direct, group:<name>, connection:<name>"`
}

type ended struct {
	Ended int `json:"ended" doc:"How many sessions ended in this tenant"`
}

func (h *Handler) registerUsers() {
	const (
		base = "/tenants/{t}/users"
		one  = base + "/{u}"
	)
	read(h, route{method: http.MethodPost, path: base, id: "createUser", summary: "Add a person to a tenant", permission: "fe.secure.write.users", status: http.StatusCreated},
		h.createUser)
	read(h, route{method: http.MethodGet, path: base, id: "listUsers", summary: "List the people of a tenant, the oldest first", permission: "fe.secure.read.users"},
		func(ctx context.Context, s scope, q db.Queryer, in *listUsers) (out list[UserBody], err error) {
			after, err := h.position(s, "users", in.Cursor)
			if err != nil {
				return out, err
			}
			found, next, err := h.Directory.People(ctx, q, s.tenant.ID, directory.Filter{
				Email: in.Email, Search: in.Q, Status: directory.Status(in.Status), Guests: yesNo(in.Guests), Disabled: yesNo(in.Disabled), Cursor: after, Limit: in.Limit,
			})
			return paged(found, h.showUser, h.cursor(s, "users", next)), err
		})
	read(h, route{method: http.MethodGet, path: one, id: "getUser", summary: "Show a person with his direct roles", permission: "fe.secure.read.users"},
		func(ctx context.Context, s scope, q db.Queryer, in *UserPath) (out userDetail, err error) {
			p, err := h.Directory.PersonOf(ctx, q, s.tenant.ID, in.User)
			if err != nil {
				return out, err
			}
			return h.userDetail(ctx, q, p)
		})
	write(h, route{method: http.MethodPatch, path: one, id: "updateUser", summary: "Change what the tenant knows of a person", permission: "fe.secure.write.updateUser"},
		func(ctx context.Context, s scope, q db.Queryer, in *updateUser) (userDetail, error) {
			patch := directory.UserPatch{Email: in.Body.Email, FirstName: in.Body.FirstName, LastName: in.Body.LastName, DisplayName: in.Body.DisplayName}
			if in.Body.Metadata != nil {
				text, err := metadataText(*in.Body.Metadata)
				if err != nil {
					return userDetail{}, err
				}
				patch.Metadata = &text
			}
			return h.onUser(ctx, s, q, in.User, func() (directory.Person, error) {
				return h.Directory.UpdateUser(ctx, s.actor, q, s.tenant.ID, in.User, patch)
			})
		})
	remove(h, route{method: http.MethodDelete, path: one, id: "deleteUser", summary: "Take a person out of a tenant", permission: "fe.secure.delete.users"},
		func(ctx context.Context, s scope, q db.Queryer, in *UserPath) error {
			p, err := h.target(ctx, s, q, in.User)
			if err != nil {
				return err
			}
			if err := s.match(p.Membership.Version); err != nil {
				return err
			}
			if withdrawn, err := h.Onboarding.RevokeOf(ctx, s.actor, q, p.Membership); err != nil || withdrawn {
				return err
			}
			return h.Directory.RemoveUser(ctx, s.actor, q, s.tenant.ID, p.Membership.UserID)
		})
	write(h, route{method: http.MethodPost, path: one + ":disable", id: "disableUser", summary: "Keep a person out of this tenant; ends his sessions in it", permission: "fe.secure.write.enableDisable"},
		func(ctx context.Context, s scope, q db.Queryer, in *UserPath) (userDetail, error) {
			return h.onUser(ctx, s, q, in.User, func() (directory.Person, error) {
				return h.Directory.Disable(ctx, s.actor, q, s.tenant.ID, in.User)
			})
		})
	write(h, route{method: http.MethodPost, path: one + ":enable", id: "enableUser", summary: "Let a disabled person in again", permission: "fe.secure.write.enableDisable"},
		func(ctx context.Context, s scope, q db.Queryer, in *UserPath) (userDetail, error) {
			return h.onUser(ctx, s, q, in.User, func() (directory.Person, error) {
				return h.Directory.Enable(ctx, s.actor, q, s.tenant.ID, in.User)
			})
		})
	write(h, route{method: http.MethodPost, path: one + ":logout", id: "logoutUser", summary: "End a person's sessions in this tenant", permission: "fe.secure.delete.sessions"},
		func(ctx context.Context, s scope, q db.Queryer, in *UserPath) (out ended, err error) {
			if _, err := h.target(ctx, s, q, in.User); err != nil {
				return out, err
			}
			n, err := h.Sessions.End(ctx, s.actor, q, sessions.Selector{Environment: s.environment.ID, Tenant: s.tenant.ID, User: in.User}, "logged_out_by_admin")
			return ended{Ended: n}, err
		})
	write(h, route{method: http.MethodPut, path: one + "/roles", id: "putUserRoles", summary: "Replace a person's direct roles", permission: "fe.secure.write.usersRoles"},
		func(ctx context.Context, s scope, q db.Queryer, in *putUserRoles) (out userDetail, err error) {
			p, err := h.target(ctx, s, q, in.User)
			if err != nil {
				return out, err
			}
			if err := h.RBAC.AssignRoles(ctx, s.actor, q, s.tenant.ID, p.Membership.ID, in.Body.RoleIDs); err != nil {
				return out, err
			}
			return h.userDetail(ctx, q, p)
		})
	read(h, route{method: http.MethodGet, path: one + "/effective-roles", id: "getEffectiveRoles", summary: "Show what a token of the person would carry, and why", permission: "fe.secure.read.users"},
		func(ctx context.Context, s scope, q db.Queryer, in *UserPath) (out effectiveBody, err error) {
			p, err := h.Directory.PersonOf(ctx, q, s.tenant.ID, in.User)
			if err != nil {
				return out, err
			}
			e, err := h.RBAC.Effective(ctx, q, s.tenant.ID, p.Membership.ID)
			return showEffective(e), err
		})
}

// createUser hashes a password before its transaction: that takes a while.
func (h *Handler) createUser(ctx context.Context, s scope, _ db.Queryer, in *createUser) (out userDetail, err error) {
	hash := ""
	if in.Body.Password != nil {
		// A password claims the address for signing in, which a tenant must not do with
		// other people's (identity rule 4).
		if s.actor.Tenant != "" {
			return out, refused("vendor_only", "Only the vendor sets passwords. Invite the person instead.", "password")
		}
		if in.Body.SendInvitation || in.Body.UserID != "" {
			return out, refused("invalid_combination", "Give a password, or invite or add an existing user.", "password")
		}
		if hash, err = h.Signin.NewPassword(ctx, s.environment, in.Body.Email, s.tenant, *in.Body.Password); err != nil {
			return out, err
		}
	}
	return commit(ctx, h, s, func(q db.Queryer) (userDetail, error) { return h.addUser(ctx, s, q, in, hash) })
}

func (h *Handler) addUser(ctx context.Context, s scope, q db.Queryer, in *createUser, hash string) (out userDetail, err error) {
	b := in.Body
	metadata, err := metadataText(b.Metadata)
	switch {
	case err != nil:
		return out, err
	case b.UserID != "" && s.actor.Tenant != "": // a tenant does not learn whom the environment knows
		return out, refused("vendor_only", "Only the vendor adds users by their id.", "user_id")
	case b.UserID != "" && b.SendInvitation:
		return out, refused("invalid_combination", "Invite by e-mail address, or add the user at once.", "send_invitation")
	case b.ExpiresIn > 0 && !s.environment.Settings.FeatureOn(tenants.FeatureGuests):
		return out, errGuests
	case b.SendInvitation:
		return h.inviteUser(ctx, s, q, in, metadata)
	}
	n := directory.NewUser{
		Environment: s.environment.ID, Tenant: s.tenant.ID, UserID: b.UserID, Email: b.Email, Metadata: metadata,
		FirstName: b.FirstName, LastName: b.LastName, DisplayName: b.DisplayName, PasswordHash: hash,
	}
	if b.ExpiresIn > 0 {
		n.ExpiresAt = h.Clock.Now().Add(time.Duration(b.ExpiresIn) * time.Second)
	}
	if b.UserID != "" {
		u, err := h.Directory.User(ctx, q, s.environment.ID, b.UserID)
		if err != nil {
			return out, err
		}
		if n.Email == "" {
			n.Email = u.Email
		}
	}
	p, err := h.Directory.CreateUser(ctx, s.actor, q, n)
	if err != nil {
		return out, err
	}
	if hash != "" && p.User.PasswordHash != hash { // he joins a user who exists, and who keeps what he has
		return out, fault.New(fault.Conflict, "login_exists", "A user of this address exists already. Add the person without a password.").In("password")
	}
	if b.RoleIDs != nil {
		err = h.RBAC.AssignRoles(ctx, s.actor, q, s.tenant.ID, p.Membership.ID, *b.RoleIDs)
	} else if err = h.RBAC.AssignDefaults(ctx, s.actor, q, s.tenant.ID, p.Membership.ID); err == nil && s.actor.Tenant == "" {
		// The vendor opens the account; its first person runs it.
		err = q.Batch(ctx, h.RBAC.FirstUserRoleStmts(q, s.tenant.ID, s.environment.ID, p.Membership.ID))
	}
	if err != nil {
		return out, err
	}
	return h.userDetail(ctx, q, p)
}

func (h *Handler) inviteUser(ctx context.Context, s scope, q db.Queryer, in *createUser, metadata string) (out userDetail, err error) {
	b := in.Body
	rows, err := h.Onboarding.Invite(ctx, s.actor, q, s.environment, s.tenant, onboarding.NewInvitations{
		People:  []onboarding.Invitee{{Email: b.Email, FirstName: b.FirstName, LastName: b.LastName, DisplayName: b.DisplayName, Metadata: metadata}},
		RoleIDs: b.RoleIDs, Access: time.Duration(b.ExpiresIn) * time.Second,
	})
	if err != nil {
		return out, inviteeField(err, 0, "")
	}
	p, err := h.Directory.PersonOf(ctx, q, s.tenant.ID, rows[0].Invitation.UserID)
	if err != nil {
		return out, err
	}
	return h.userDetail(ctx, q, p)
}

// target finds a person on whom the actor may act: not one with a stronger role
// than his own (product 122).
func (h *Handler) target(ctx context.Context, s scope, q db.Queryer, userID string) (directory.Person, error) {
	find := h.Directory.PersonOf
	if s.ifMatch != "" { // his version is about to be compared
		find = h.Directory.HoldPerson
	}
	p, err := find(ctx, q, s.tenant.ID, userID)
	if err != nil {
		return p, err
	}
	if err := h.RBAC.CheckTarget(ctx, s.actor, q, s.tenant.ID, p.Membership.ID); err != nil {
		return p, err
	}
	return p, h.Onboarding.CheckInvited(ctx, s.actor, q, p.Membership)
}

// onUser changes a person whom the actor may change, as If-Match wants him.
func (h *Handler) onUser(ctx context.Context, s scope, q db.Queryer, userID string, do func() (directory.Person, error)) (userDetail, error) {
	before, err := h.target(ctx, s, q, userID)
	if err != nil {
		return userDetail{}, err
	}
	if err := s.match(before.Membership.Version); err != nil {
		return userDetail{}, err
	}
	p, err := do()
	if err != nil {
		return userDetail{}, err
	}
	return h.userDetail(ctx, q, p)
}

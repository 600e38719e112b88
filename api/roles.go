package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
)

type roleBody struct {
	ID          string    `json:"id"`
	Key         string    `json:"key" doc:"What tokens carry"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Level       int       `json:"level" doc:"0 is the strongest"`
	Default     bool      `json:"default" doc:"Given to users who are given no roles"`
	FirstUser   bool      `json:"first_user" doc:"Given to the first user of a tenant"`
	TenantID    *string   `json:"tenant_id" doc:"The tenant that alone has the role; null: all have it"`
	BaseRoleID  *string   `json:"base_role_id" doc:"The role that this one started from"`
	Permissions []string  `json:"permissions" doc:"Keys, as they were chosen"`
	Effective   []string  `json:"effective_permissions" doc:"Keys that the role gives: in a role of one tenant without those classified never and with those classified always"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`

	version int64
}

func (b roleBody) etag() string { return versionTag(b.version) }

func showRole(r rbac.Role) roleBody {
	return roleBody{
		ID: r.ID, Key: r.Key, Name: r.Name, Description: r.Description, Level: r.Level, Default: r.Default, FirstUser: r.FirstUser,
		TenantID: optionalText(r.Owner), BaseRoleID: optionalText(r.BaseRoleID), Permissions: texts(r.Permissions), Effective: texts(r.Effective),
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, version: r.Version,
	}
}

type createRole struct {
	Body struct {
		Key         string    `json:"key" maxLength:"200"`
		Name        string    `json:"name" maxLength:"200"`
		Description string    `json:"description,omitempty" maxLength:"2000"`
		Level       *int      `json:"level,omitempty" minimum:"0" maximum:"32767" doc:"Required without base_role_id"`
		BaseRoleID  string    `json:"base_role_id,omitempty" maxLength:"63" doc:"The role whose level it gets, and whose permissions unless some are given"`
		Permissions *[]string `json:"permissions,omitempty" maxItems:"2000" doc:"Keys"`
		Default     bool      `json:"default,omitempty"`
		FirstUser   bool      `json:"first_user,omitempty"`
		Migrate     bool      `json:"migrate,omitempty" doc:"Of a default role: give it to everybody who is there already"`
		TenantID    string    `json:"tenant_id,omitempty" maxLength:"63" doc:"Id or key of the tenant that alone has the role"`
	}
}

// RoleFilter is what lists of roles take.
type RoleFilter struct {
	Level int    `query:"level" minimum:"-1" maximum:"32767" default:"-1" doc:"Only roles of this level; -1: of any"`
	Query string `query:"q" maxLength:"200" doc:"Only roles with this in their key or name"`
}

func (f RoleFilter) filter() rbac.RoleFilter {
	out := rbac.RoleFilter{Query: f.Query}
	if f.Level >= 0 {
		out.Level = &f.Level
	}
	return out
}

type listRoles struct {
	RoleFilter
	TenantID string `query:"tenant_id" maxLength:"63" doc:"Also the roles of this tenant (id or key)"`
}

// RolePath names a role.
type RolePath struct {
	Role string `path:"r" maxLength:"63" doc:"Id of the role"`
}

type updateRole struct {
	RolePath
	Body struct {
		Name        *string   `json:"name,omitempty" maxLength:"200"`
		Description *string   `json:"description,omitempty" maxLength:"2000"`
		Level       *int      `json:"level,omitempty" minimum:"0" maximum:"32767"`
		Default     *bool     `json:"default,omitempty"`
		FirstUser   *bool     `json:"first_user,omitempty"`
		Permissions *[]string `json:"permissions,omitempty" maxItems:"2000" doc:"Keys; replaces"`
		Migrate     bool      `json:"migrate,omitempty" doc:"Of a default role: give it to everybody who is there already"`
	}
}

type putRolePermissions struct {
	RolePath
	Body struct {
		Permissions []string `json:"permissions" maxItems:"2000" doc:"Keys"`
	}
}

// TenantRolePath names a role of a tenant.
type TenantRolePath struct {
	TenantPath
	Role string `path:"r" maxLength:"63" doc:"Id of the role"`
}

type listTenantRoles struct {
	TenantPath
	RoleFilter
}

type createTenantRole struct {
	TenantPath
	Body struct {
		Key           string    `json:"key,omitempty" maxLength:"200" doc:"Made of the name when left out"`
		Name          string    `json:"name" maxLength:"200"`
		Description   string    `json:"description,omitempty" maxLength:"2000"`
		BaseRoleID    string    `json:"base_role_id,omitempty" maxLength:"63" doc:"The role whose level it gets, and whose permissions unless some are given; without one it is the weakest"`
		Permissions   *[]string `json:"permissions,omitempty" maxItems:"2000" doc:"Keys"`
		PermissionIDs *[]string `json:"permission_ids,omitempty" maxItems:"2000" doc:"Ids, in the place of keys"`
		Default       bool      `json:"default,omitempty" doc:"Given to users of the tenant who are given no roles"`
	}
}

type updateTenantRole struct {
	TenantRolePath
	Body struct {
		Name        *string   `json:"name,omitempty" maxLength:"200"`
		Description *string   `json:"description,omitempty" maxLength:"2000"`
		Default     *bool     `json:"default,omitempty"`
		Permissions *[]string `json:"permissions,omitempty" maxItems:"2000" doc:"Keys; replaces"`
	}
}

type listHolders struct {
	RolePath
	PageQuery
	TenantID string `query:"tenant_id" maxLength:"63" doc:"Only of this tenant (id or key)"`
}

type holderBody struct {
	TenantID string `json:"tenant_id"`
	Type     string `json:"type" enum:"user,group,connection,mapping" doc:"mapping: of a group's name to roles"`
	ID       string `json:"id" doc:"Of the user, the group or the connection; of a mapping the connection, or empty for all"`
	Name     string `json:"name" doc:"E-mail of a user, otherwise the name"`
}

func showHolder(h rbac.Holder) holderBody {
	return holderBody{TenantID: h.Tenant, Type: h.Kind, ID: h.ID, Name: h.Name}
}

func (h *Handler) registerRoles() {
	const (
		one    = "/roles/{r}"
		base   = "/tenants/{t}/roles"
		oneOfT = base + "/{r}"
	)
	write(h, route{method: http.MethodPost, path: "/roles", id: "createRole", summary: "Make a role, for all tenants or for one", permission: staff.WriteRoles, status: http.StatusCreated}, h.createRole)
	read(h, route{method: http.MethodGet, path: "/roles", id: "listRoles", summary: "List roles, the strongest first", permission: staff.ReadRoles},
		func(ctx context.Context, s scope, q db.Queryer, in *listRoles) (out list[roleBody], err error) {
			tenant, err := h.tenantID(ctx, s, q, in.TenantID)
			if err != nil {
				return out, err
			}
			found, err := h.RBAC.FindRoles(ctx, q, s.environment.ID, tenant, in.RoleFilter.filter())
			return whole(found, showRole), err
		})
	read(h, route{method: http.MethodGet, path: one, id: "getRole", summary: "Show a role", permission: staff.ReadRoles},
		func(ctx context.Context, s scope, q db.Queryer, in *RolePath) (roleBody, error) {
			r, err := h.RBAC.Role(ctx, q, s.environment.ID, "", in.Role)
			return showRole(r), err
		})
	write(h, route{method: http.MethodPatch, path: one, id: "updateRole", summary: "Change a role; the next tokens carry the change", permission: staff.WriteRoles},
		func(ctx context.Context, s scope, q db.Queryer, in *updateRole) (roleBody, error) {
			return h.changeRole(ctx, s, q, "", in.Role, rbac.RolePatch(in.Body))
		})
	write(h, route{method: http.MethodPut, path: one + "/permissions", id: "putRolePermissions", summary: "Replace the permissions of a role", permission: staff.WriteRoles},
		func(ctx context.Context, s scope, q db.Queryer, in *putRolePermissions) (roleBody, error) {
			return h.changeRole(ctx, s, q, "", in.Role, rbac.RolePatch{Permissions: &in.Body.Permissions})
		})
	read(h, route{method: http.MethodGet, path: one + "/holders", id: "listRoleHolders", summary: "List the people, groups, connections and mappings that a role was given to", permission: staff.ReadRoles}, h.listHolders)
	remove(h, route{method: http.MethodDelete, path: one, id: "deleteRole", summary: "Delete a role and its assignments", permission: staff.DeleteRoles},
		func(ctx context.Context, s scope, q db.Queryer, in *RolePath) error {
			return h.deleteRole(ctx, s, q, "", in.Role)
		})

	write(h, route{method: http.MethodPost, path: base, id: "createTenantRole", summary: "Make a role of the tenant's own", permission: "fe.secure.write.roles", status: http.StatusCreated}, h.createTenantRole)
	read(h, route{method: http.MethodGet, path: base, id: "listTenantRoles", summary: "List the roles that a tenant can give, the strongest first", permission: "fe.secure.read.roles"},
		func(ctx context.Context, s scope, q db.Queryer, in *listTenantRoles) (list[roleBody], error) {
			found, err := h.RBAC.FindRoles(ctx, q, s.environment.ID, s.tenant.ID, in.RoleFilter.filter())
			return whole(found, showRole), err
		})
	read(h, route{method: http.MethodGet, path: oneOfT, id: "getTenantRole", summary: "Show a role that a tenant can give", permission: "fe.secure.read.roles"},
		func(ctx context.Context, s scope, q db.Queryer, in *TenantRolePath) (roleBody, error) {
			r, err := h.RBAC.Role(ctx, q, s.environment.ID, s.tenant.ID, in.Role)
			return showRole(r), err
		})
	write(h, route{method: http.MethodPatch, path: oneOfT, id: "updateTenantRole", summary: "Change a role of the tenant's own; the next tokens carry the change", permission: "fe.secure.write.roles"},
		func(ctx context.Context, s scope, q db.Queryer, in *updateTenantRole) (roleBody, error) {
			return h.changeRole(ctx, s, q, s.tenant.ID, in.Role, rbac.RolePatch{
				Name: in.Body.Name, Description: in.Body.Description, Default: in.Body.Default, Permissions: in.Body.Permissions,
			})
		})
	remove(h, route{method: http.MethodDelete, path: oneOfT, id: "deleteTenantRole", summary: "Delete a role of the tenant's own and its assignments", permission: "fe.secure.delete.roles"},
		func(ctx context.Context, s scope, q db.Queryer, in *TenantRolePath) error {
			return h.deleteRole(ctx, s, q, s.tenant.ID, in.Role)
		})
	h.registerPermissions()
	h.registerPermissionCategories()
}

// tenantID resolves the id or key of a tenant that a request may name.
func (h *Handler) tenantID(ctx context.Context, s scope, q db.Queryer, idOrKey string) (string, error) {
	if idOrKey == "" {
		return "", nil
	}
	t, err := h.Tenants.Get(ctx, q, s.environment.ID, idOrKey)
	return t.ID, err
}

func (h *Handler) createRole(ctx context.Context, s scope, q db.Queryer, in *createRole) (out roleBody, err error) {
	b := in.Body
	if b.Level == nil && b.BaseRoleID == "" {
		return out, refused("level_required", "Give a level or a base_role_id.", "level")
	}
	tenant, err := h.tenantID(ctx, s, q, b.TenantID)
	if err != nil {
		return out, refused("unknown_tenant", "There is no such tenant.", "tenant_id")
	}
	r, err := h.RBAC.CreateRole(ctx, s.actor, q, rbac.NewRole{
		Key: b.Key, Name: b.Name, Description: b.Description, Level: value(b.Level), BaseRoleID: b.BaseRoleID, Permissions: value(b.Permissions),
		Default: b.Default, FirstUser: b.FirstUser, Migrate: b.Migrate, Tenant: tenant,
	})
	return showRole(r), err
}

func (h *Handler) createTenantRole(ctx context.Context, s scope, q db.Queryer, in *createTenantRole) (out roleBody, err error) {
	b := in.Body
	keys := value(b.Permissions)
	if b.PermissionIDs != nil {
		if b.Permissions != nil {
			return out, refused("invalid_field", "Give permissions or permission_ids, not both.", "permission_ids")
		}
		if keys, err = h.RBAC.KeysOf(ctx, q, s.environment.ID, *b.PermissionIDs); err != nil {
			return out, err
		}
	}
	r, err := h.RBAC.CreateTenantRole(ctx, s.actor, q, s.environment.Settings, rbac.NewRole{
		Key: b.Key, Name: b.Name, Description: b.Description, Level: rbac.MaxLevel, BaseRoleID: b.BaseRoleID, Permissions: keys, Default: b.Default, Tenant: s.tenant.ID,
	})
	return showRole(r), err
}

func (h *Handler) changeRole(ctx context.Context, s scope, q db.Queryer, tenant, role string, p rbac.RolePatch) (out roleBody, err error) {
	before, err := h.RBAC.HoldRole(ctx, s.actor, q, tenant, role)
	if err != nil {
		return out, err
	}
	if err := s.match(before.Version); err != nil {
		return out, err
	}
	r, err := h.RBAC.UpdateRole(ctx, s.actor, q, role, p)
	return showRole(r), err
}

func (h *Handler) deleteRole(ctx context.Context, s scope, q db.Queryer, tenant, role string) error {
	before, err := h.RBAC.HoldRole(ctx, s.actor, q, tenant, role)
	if err != nil {
		return err
	}
	if err := s.match(before.Version); err != nil {
		return err
	}
	return h.RBAC.DeleteRole(ctx, s.actor, q, role)
}

func (h *Handler) listHolders(ctx context.Context, s scope, q db.Queryer, in *listHolders) (out list[holderBody], err error) {
	r, err := h.RBAC.Role(ctx, q, s.environment.ID, "", in.Role)
	if err != nil {
		return out, err
	}
	tenant, err := h.tenantID(ctx, s, q, in.TenantID)
	if err != nil {
		return out, err
	}
	name := "holders " + r.ID + " " + tenant
	after, err := h.position(s, name, in.Cursor)
	if err != nil {
		return out, err
	}
	found, next, err := h.RBAC.RoleHolders(ctx, q, r, tenant, after, in.Limit)
	return paged(found, showHolder, h.cursor(s, name, next)), err
}

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
	Permissions []string  `json:"permissions"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

func showRole(r rbac.Role) roleBody {
	return roleBody{
		ID: r.ID, Key: r.Key, Name: r.Name, Description: r.Description, Level: r.Level, Default: r.Default, FirstUser: r.FirstUser,
		TenantID: optionalText(r.Owner), Permissions: r.Permissions, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
	}
}

type createRole struct {
	Body struct {
		Key         string   `json:"key" maxLength:"200"`
		Name        string   `json:"name" maxLength:"200"`
		Description string   `json:"description,omitempty" maxLength:"2000"`
		Level       *int     `json:"level,omitempty" minimum:"0" maximum:"32767" doc:"Required without base_role_id"`
		BaseRoleID  string   `json:"base_role_id,omitempty" maxLength:"63" doc:"The role whose level it gets"`
		Permissions []string `json:"permissions,omitempty" maxItems:"2000" doc:"Keys"`
		Default     bool     `json:"default,omitempty"`
		FirstUser   bool     `json:"first_user,omitempty"`
		TenantID    string   `json:"tenant_id,omitempty" maxLength:"63" doc:"Id or key of the tenant that alone has the role"`
	}
}

type listRoles struct {
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
	}
}

type permissionBody struct {
	ID             string    `json:"id"`
	Key            string    `json:"key"`
	Name           string    `json:"name"`
	Description    string    `json:"description"`
	Category       string    `json:"category"`
	Builtin        bool      `json:"builtin" doc:"Cannot be changed or deleted"`
	Listed         bool      `json:"listed"`
	Classification string    `json:"classification" enum:"never,assignable,always" doc:"What roles of tenants may do with it"`
	CreatedAt      time.Time `json:"created_at"`
	UpdatedAt      time.Time `json:"updated_at"`
}

func showPermission(p rbac.Permission) permissionBody {
	return permissionBody{
		ID: p.ID, Key: p.Key, Name: p.Name, Description: p.Description, Category: p.Category, Builtin: p.Builtin, Listed: p.Listed,
		Classification: p.Classification, CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt,
	}
}

type createPermission struct {
	Body struct {
		Key            string `json:"key" maxLength:"200" doc:"What tokens carry"`
		Name           string `json:"name" maxLength:"200"`
		Description    string `json:"description,omitempty" maxLength:"2000"`
		Category       string `json:"category" maxLength:"200" doc:"Made when it does not exist"`
		Classification string `json:"classification,omitempty" enum:"never,assignable,always"`
	}
}

// PermissionPath names a permission.
type PermissionPath struct {
	Permission string `path:"p" maxLength:"63" doc:"Id of the permission"`
}

type updatePermission struct {
	PermissionPath
	Body struct {
		Name        *string `json:"name,omitempty" maxLength:"200"`
		Description *string `json:"description,omitempty" maxLength:"2000"`
		Category    *string `json:"category,omitempty" maxLength:"200"`
	}
}

type classify struct {
	Body struct {
		PermissionIDs  []string `json:"permission_ids" minItems:"1" maxItems:"5000"`
		Classification string   `json:"classification" enum:"never,assignable,always"`
	}
}

type classified struct {
	CustomRoles int `json:"custom_roles" doc:"How many roles of tenants exist, which the change may touch"`
}

func (h *Handler) registerRoles() {
	write(h, route{method: http.MethodPost, path: "/roles", id: "createRole", summary: "Make a role, for all tenants or for one", permission: staff.WriteRoles, status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, in *createRole) (out roleBody, err error) {
			b := in.Body
			if b.Level == nil && b.BaseRoleID == "" {
				return out, refused("level_required", "Give a level or a base_role_id.", "level")
			}
			tenant := ""
			if b.TenantID != "" {
				t, err := h.Tenants.Get(ctx, q, s.environment.ID, b.TenantID)
				if err != nil {
					return out, refused("unknown_tenant", "There is no such tenant.", "tenant_id")
				}
				tenant = t.ID
			}
			r, err := h.RBAC.CreateRole(ctx, s.actor, q, rbac.NewRole{
				Key: b.Key, Name: b.Name, Description: b.Description, Level: value(b.Level), BaseRoleID: b.BaseRoleID, Permissions: b.Permissions,
				Default: b.Default, FirstUser: b.FirstUser, Tenant: tenant,
			})
			return showRole(r), err
		})
	read(h, route{method: http.MethodGet, path: "/roles", id: "listRoles", summary: "List roles, the strongest first", permission: staff.ReadRoles},
		func(ctx context.Context, s scope, q db.Queryer, in *listRoles) (out list[roleBody], err error) {
			tenant := ""
			if in.TenantID != "" {
				t, err := h.Tenants.Get(ctx, q, s.environment.ID, in.TenantID)
				if err != nil {
					return out, err
				}
				tenant = t.ID
			}
			found, err := h.RBAC.Roles(ctx, q, s.environment.ID, tenant)
			return whole(found, showRole), err
		})
	read(h, route{method: http.MethodGet, path: "/roles/{r}", id: "getRole", summary: "Show a role", permission: staff.ReadRoles},
		func(ctx context.Context, s scope, q db.Queryer, in *RolePath) (roleBody, error) {
			r, err := h.RBAC.Role(ctx, q, s.environment.ID, "", in.Role)
			return showRole(r), err
		})
	write(h, route{method: http.MethodPatch, path: "/roles/{r}", id: "updateRole", summary: "Change a role; the next tokens carry the change", permission: staff.WriteRoles},
		func(ctx context.Context, s scope, q db.Queryer, in *updateRole) (roleBody, error) {
			r, err := h.RBAC.UpdateRole(ctx, s.actor, q, in.Role, rbac.RolePatch(in.Body))
			return showRole(r), err
		})
	remove(h, route{method: http.MethodDelete, path: "/roles/{r}", id: "deleteRole", summary: "Delete a role and its assignments", permission: staff.DeleteRoles},
		func(ctx context.Context, s scope, q db.Queryer, in *RolePath) error {
			return h.RBAC.DeleteRole(ctx, s.actor, q, in.Role)
		})
	read(h, route{method: http.MethodGet, path: "/tenants/{t}/roles", id: "listTenantRoles", summary: "List the roles that a tenant can give, the strongest first", permission: "fe.secure.read.roles"},
		func(ctx context.Context, s scope, q db.Queryer, _ *TenantPath) (list[roleBody], error) {
			found, err := h.RBAC.Roles(ctx, q, s.environment.ID, s.tenant.ID)
			return whole(found, showRole), err
		})
	write(h, route{method: http.MethodPost, path: "/permissions", id: "createPermission", summary: "Make a permission of your own", permission: staff.WriteRoles, status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, in *createPermission) (permissionBody, error) {
			p, err := h.RBAC.CreatePermission(ctx, s.actor, q, rbac.NewPermission(in.Body))
			return showPermission(p), err
		})
	read(h, route{method: http.MethodGet, path: "/permissions", id: "listPermissions", summary: "List permissions by category", permission: staff.ReadRoles},
		func(ctx context.Context, s scope, q db.Queryer, _ *struct{}) (list[permissionBody], error) {
			found, err := h.RBAC.Permissions(ctx, q, s.environment.ID)
			return whole(found, showPermission), err
		})
	write(h, route{method: http.MethodPatch, path: "/permissions/{p}", id: "updatePermission", summary: "Change a permission of your own", permission: staff.WriteRoles},
		func(ctx context.Context, s scope, q db.Queryer, in *updatePermission) (permissionBody, error) {
			p, err := h.RBAC.UpdatePermission(ctx, s.actor, q, in.Permission, rbac.PermissionPatch(in.Body))
			return showPermission(p), err
		})
	remove(h, route{method: http.MethodDelete, path: "/permissions/{p}", id: "deletePermission", summary: "Delete a permission of your own from every role", permission: staff.DeleteRoles},
		func(ctx context.Context, s scope, q db.Queryer, in *PermissionPath) error {
			return h.RBAC.DeletePermission(ctx, s.actor, q, in.Permission)
		})
	write(h, route{method: http.MethodPut, path: "/permissions:classify", id: "classifyPermissions", summary: "Say what roles of tenants may do with permissions", permission: staff.WriteRoles},
		func(ctx context.Context, s scope, q db.Queryer, in *classify) (classified, error) {
			n, err := h.RBAC.Classify(ctx, s.actor, q, in.Body.PermissionIDs, in.Body.Classification)
			return classified{CustomRoles: n}, err
		})
}

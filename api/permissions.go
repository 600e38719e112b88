package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
)

// PermissionBody is a permission as lists show it.
type PermissionBody struct {
	ID             string    `json:"id"`
	Key            string    `json:"key"`
	Name           string    `json:"name"`
	Description    string    `json:"description"`
	CategoryID     string    `json:"category_id"`
	Category       string    `json:"category"`
	Builtin        bool      `json:"builtin" doc:"Cannot be changed or deleted"`
	Listed         bool      `json:"listed"`
	Classification string    `json:"classification" enum:"never,assignable,always" doc:"What roles of tenants may do with it"`
	CreatedAt      time.Time `json:"created_at"`
	UpdatedAt      time.Time `json:"updated_at"`

	version int64
}

func (b PermissionBody) etag() string { return versionTag(b.version) }

func showPermission(p rbac.Permission) PermissionBody {
	return PermissionBody{
		ID: p.ID, Key: p.Key, Name: p.Name, Description: p.Description, CategoryID: p.CategoryID, Category: p.Category, Builtin: p.Builtin, Listed: p.Listed,
		Classification: p.Classification, CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt, version: p.Version,
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
		DryRun         bool     `json:"dry_run,omitempty" doc:"Only say how many roles of tenants it would change"`
	}
}

type classified struct {
	CustomRoles int `json:"custom_roles" doc:"How many roles of tenants give other permissions by the change. What stands in them stays, so that it can be taken back"`
}

// PermissionFilter is what lists of permissions take.
type PermissionFilter struct {
	Query          string `query:"q" maxLength:"200" doc:"Only permissions with this in their key, name or category"`
	Category       string `query:"category" maxLength:"200" doc:"Only those of this category (id or name)"`
	Creator        string `query:"creator" enum:"vendor,builtin" doc:"Only those that the vendor made, or that are built in"`
	Classification string `query:"classification" enum:"never,assignable,always" doc:"Only those of this classification"`
}

type listTenantPermissions struct {
	TenantPath
	PermissionFilter
}

type permissionDetail struct {
	PermissionBody
	RoleIDs     []string `json:"role_ids" doc:"Roles of all tenants that hold it"`
	CustomRoles int64    `json:"custom_roles" doc:"How many roles of single tenants hold it"`
}

type addPermissionRoles struct {
	PermissionPath
	Body struct {
		RoleIDs []string `json:"role_ids" minItems:"1" maxItems:"100"`
	}
}

// CategoryPath names a category of permissions.
type CategoryPath struct {
	Category string `path:"category" maxLength:"63" doc:"Id of the category"`
}

type permissionCategoryBody struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Builtin     bool      `json:"builtin" doc:"Holds built-in permissions: cannot be changed or deleted"`
	Permissions int       `json:"permissions" doc:"How many it holds"`
	CreatedAt   time.Time `json:"created_at"`

	version int64
}

func (b permissionCategoryBody) etag() string { return versionTag(b.version) }

func showPermissionCategory(c rbac.Category) permissionCategoryBody {
	return permissionCategoryBody{ID: c.ID, Name: c.Name, Description: c.Description, Builtin: c.Builtin, Permissions: c.Permissions, CreatedAt: c.CreatedAt, version: c.Version}
}

type createPermissionCategory struct {
	Body struct {
		Name        string `json:"name" maxLength:"200"`
		Description string `json:"description,omitempty" maxLength:"2000"`
	}
}

type updatePermissionCategory struct {
	CategoryPath
	Body struct {
		Name        *string `json:"name,omitempty" maxLength:"200"`
		Description *string `json:"description,omitempty" maxLength:"2000"`
	}
}

func (h *Handler) registerPermissions() {
	const one = "/permissions/{p}"
	write(h, route{method: http.MethodPost, path: "/permissions", id: "createPermission", summary: "Make a permission of your own", permission: staff.WriteRoles, status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, in *createPermission) (PermissionBody, error) {
			p, err := h.RBAC.CreatePermission(ctx, s.actor, q, rbac.NewPermission(in.Body))
			return showPermission(p), err
		})
	read(h, route{method: http.MethodGet, path: "/permissions", id: "listPermissions", summary: "List permissions by category", permission: staff.ReadRoles},
		func(ctx context.Context, s scope, q db.Queryer, in *PermissionFilter) (list[PermissionBody], error) {
			found, err := h.RBAC.FindPermissions(ctx, q, s.environment.ID, rbac.PermissionFilter(*in))
			return whole(found, showPermission), err
		})
	read(h, route{method: http.MethodGet, path: one, id: "getPermission", summary: "Show a permission and the roles that hold it", permission: staff.ReadRoles},
		func(ctx context.Context, s scope, q db.Queryer, in *PermissionPath) (permissionDetail, error) {
			p, err := h.RBAC.Permission(ctx, q, s.environment.ID, in.Permission)
			return h.permissionDetail(ctx, s, q, p, err)
		})
	write(h, route{method: http.MethodPatch, path: one, id: "updatePermission", summary: "Change a permission of your own", permission: staff.WriteRoles},
		func(ctx context.Context, s scope, q db.Queryer, in *updatePermission) (out PermissionBody, err error) {
			if err := h.matchPermission(ctx, s, q, in.Permission); err != nil {
				return out, err
			}
			p, err := h.RBAC.UpdatePermission(ctx, s.actor, q, in.Permission, rbac.PermissionPatch(in.Body))
			return showPermission(p), err
		})
	remove(h, route{method: http.MethodDelete, path: one, id: "deletePermission", summary: "Delete a permission of your own from every role", permission: staff.DeleteRoles},
		func(ctx context.Context, s scope, q db.Queryer, in *PermissionPath) error {
			if err := h.matchPermission(ctx, s, q, in.Permission); err != nil {
				return err
			}
			return h.RBAC.DeletePermission(ctx, s.actor, q, in.Permission)
		})
	write(h, route{method: http.MethodPut, path: one + "/roles", id: "addPermissionToRoles", summary: "Give a permission to roles; those that have it keep it", permission: staff.WriteRoles},
		func(ctx context.Context, s scope, q db.Queryer, in *addPermissionRoles) (permissionDetail, error) {
			p, err := h.RBAC.AddToRoles(ctx, s.actor, q, in.Permission, in.Body.RoleIDs)
			return h.permissionDetail(ctx, s, q, p, err)
		})
	write(h, route{method: http.MethodPut, path: "/permissions:classify", id: "classifyPermissions", summary: "Say what roles of tenants may do with permissions", permission: staff.WriteRoles},
		func(ctx context.Context, s scope, q db.Queryer, in *classify) (classified, error) {
			if in.Body.DryRun {
				n, err := h.RBAC.WouldClassify(ctx, q, s.environment.ID, in.Body.PermissionIDs, in.Body.Classification)
				return classified{CustomRoles: n}, err
			}
			n, err := h.RBAC.Classify(ctx, s.actor, q, in.Body.PermissionIDs, in.Body.Classification)
			return classified{CustomRoles: n}, err
		})
	read(h, route{method: http.MethodGet, path: "/tenants/{t}/permissions", id: "listTenantPermissions", summary: "List what roles of a tenant's own can hold: permissions to choose, and those that all of them hold", permission: "fe.secure.read.roles"},
		func(ctx context.Context, s scope, q db.Queryer, in *listTenantPermissions) (list[PermissionBody], error) {
			found, err := h.RBAC.Choosable(ctx, q, s.environment.ID, rbac.PermissionFilter(in.PermissionFilter))
			return whole(found, showPermission), err
		})
}

func (h *Handler) matchPermission(ctx context.Context, s scope, q db.Queryer, permissionID string) error {
	p, err := h.RBAC.HoldPermission(ctx, q, s.environment.ID, permissionID)
	if err != nil {
		return err
	}
	return s.match(p.Version)
}

func (h *Handler) permissionDetail(ctx context.Context, s scope, q db.Queryer, p rbac.Permission, err error) (permissionDetail, error) {
	if err != nil {
		return permissionDetail{}, err
	}
	ids, custom, err := h.RBAC.RolesWith(ctx, q, s.environment.ID, p.ID)
	return permissionDetail{PermissionBody: showPermission(p), RoleIDs: ids, CustomRoles: custom}, err
}

func (h *Handler) registerPermissionCategories() {
	const (
		all = "/permission-categories"
		one = all + "/{category}"
	)
	write(h, route{method: http.MethodPost, path: all, id: "createPermissionCategory", summary: "Make a category of permissions", permission: staff.WriteRoles, status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, in *createPermissionCategory) (permissionCategoryBody, error) {
			c, err := h.RBAC.CreateCategory(ctx, s.actor, q, in.Body.Name, in.Body.Description)
			return showPermissionCategory(c), err
		})
	read(h, route{method: http.MethodGet, path: all, id: "listPermissionCategories", summary: "List the categories of permissions by name", permission: staff.ReadRoles},
		func(ctx context.Context, s scope, q db.Queryer, _ *struct{}) (list[permissionCategoryBody], error) {
			found, err := h.RBAC.Categories(ctx, q, s.environment.ID)
			return whole(found, showPermissionCategory), err
		})
	read(h, route{method: http.MethodGet, path: one, id: "getPermissionCategory", summary: "Show a category of permissions", permission: staff.ReadRoles},
		func(ctx context.Context, s scope, q db.Queryer, in *CategoryPath) (permissionCategoryBody, error) {
			c, err := h.RBAC.Category(ctx, q, s.environment.ID, in.Category)
			return showPermissionCategory(c), err
		})
	write(h, route{method: http.MethodPatch, path: one, id: "updatePermissionCategory", summary: "Change a category of permissions of your own", permission: staff.WriteRoles},
		func(ctx context.Context, s scope, q db.Queryer, in *updatePermissionCategory) (out permissionCategoryBody, err error) {
			c, err := h.RBAC.UpdateCategory(ctx, s.actor, q, in.Category, rbac.CategoryPatch(in.Body))
			if err != nil {
				return out, err
			}
			return showPermissionCategory(c), s.match(c.Version - 1)
		})
	remove(h, route{method: http.MethodDelete, path: one, id: "deletePermissionCategory", summary: "Delete an empty category of permissions", permission: staff.DeleteRoles},
		func(ctx context.Context, s scope, q db.Queryer, in *CategoryPath) error {
			c, err := h.RBAC.HoldCategory(ctx, q, s.environment.ID, in.Category)
			if err != nil {
				return err
			}
			if err := s.match(c.Version); err != nil {
				return err
			}
			return h.RBAC.DeleteCategory(ctx, s.actor, q, c.ID)
		})
}

package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/tenants"
)

const (
	readSubaccounts       = "fe.account-hierarchy.read.subAccount"
	writeSubaccounts      = "fe.account-hierarchy.write.subAccount"
	deleteSubaccounts     = "fe.account-hierarchy.delete.subAccount"
	writeSubaccountAccess = "fe.account-hierarchy.write.subAccountAccess"
)

// subaccountBody is a tenant in the tree below another.
type subaccountBody struct {
	TenantBody
	Depth int64 `json:"depth" doc:"How far below the tenant that was asked; 1: a child"`
}

func showSubaccount(sub tenants.Subaccount) subaccountBody {
	return subaccountBody{TenantBody: showTenant(sub.Tenant), Depth: sub.Depth}
}

type listSubaccounts struct {
	TenantList
	Depth int `query:"depth" minimum:"1" maximum:"50" default:"50" doc:"How far down; 1: the children alone"`
}

type createSubaccount struct {
	TenantPath
	Body struct {
		Name    string         `json:"name" maxLength:"200"`
		Key     string         `json:"key,omitempty" maxLength:"63" doc:"Made of the name when left out"`
		Details *tenantDetails `json:"details,omitempty"`
	}
}

// SubaccountPath names a tenant below another.
type SubaccountPath struct {
	TenantPath
	Subaccount string `path:"sub" maxLength:"63" doc:"Id or key of the sub-account, at any depth"`
}

type updateSubaccount struct {
	SubaccountPath
	Body struct {
		Name    *string       `json:"name,omitempty" maxLength:"200"`
		Details *detailsPatch `json:"details,omitempty"`
	}
}

type moveSubaccount struct {
	SubaccountPath
	Body struct {
		ParentID string `json:"parent_id" minLength:"1" maxLength:"63" doc:"Id or key of the new parent: the tenant itself, or one below it"`
	}
}

type moveTenant struct {
	TenantPath
	Body struct {
		ParentID *string `json:"parent_id" nullable:"true" maxLength:"63" doc:"Id or key of the new parent; null: to the top"`
	}
}

// subaccountMode says who of a tenant's people may enter the accounts below it.
type subaccountMode struct {
	Mode string `json:"mode" enum:"default_off,default_on,always_on"`
}

type personAccess struct {
	Access string `json:"access" enum:"default,on,off" doc:"default: as the tenant's mode says; always_on overrules it"`
}

type putPersonAccess struct {
	UserPath
	Body personAccess
}

// registerSubaccounts serves the page "All accounts" (product 2.10).
func (h *Handler) registerSubaccounts() {
	const (
		base = "/tenants/{t}/sub-accounts"
		one  = base + "/{sub}"
	)
	write(h, route{method: http.MethodPost, path: "/tenants/{t}:move", id: "moveTenant", summary: "Put a tenant and all below it under another parent, or at the top", permission: staff.WriteTenants},
		func(ctx context.Context, s scope, q db.Queryer, in *moveTenant) (TenantBody, error) {
			t, err := h.Tenants.HoldPlace(ctx, q, s.environment.ID, s.tenant.ID)
			if err == nil {
				err = s.match(t.Version)
			}
			if err != nil {
				return TenantBody{}, err
			}
			t, err = h.Tenants.MoveTenant(ctx, s.actor, q, t.ID, value(in.Body.ParentID))
			return showTenant(t), err
		})
	read(h, route{method: http.MethodGet, path: base, id: "listSubaccounts", summary: "List the accounts below a tenant, at any depth, the oldest first", permission: readSubaccounts},
		func(ctx context.Context, s scope, q db.Queryer, in *listSubaccounts) (out list[subaccountBody], err error) {
			after, err := h.position(s, "sub-accounts", in.Cursor)
			if err != nil {
				return out, err
			}
			found, next, err := h.Tenants.Subaccounts(ctx, q, s.environment.ID, s.tenant.ID, in.Depth, after, in.Limit)
			return paged(found, showSubaccount, h.cursor(s, "sub-accounts", next)), err
		})
	write(h, route{method: http.MethodPost, path: base, id: "createSubaccount", summary: "Make a sub-account", permission: writeSubaccounts, status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, in *createSubaccount) (TenantBody, error) {
			return h.newTenant(ctx, s, q, tenants.NewTenant{Key: in.Body.Key, ParentID: s.tenant.ID, Name: in.Body.Name, Details: tenants.Details(value(in.Body.Details))})
		})
	read(h, route{method: http.MethodGet, path: one, id: "getSubaccount", summary: "Show an account below a tenant", permission: readSubaccounts},
		func(ctx context.Context, s scope, q db.Queryer, in *SubaccountPath) (TenantBody, error) {
			t, err := h.Tenants.Subaccount(ctx, q, s.environment.ID, s.tenant.ID, in.Subaccount)
			return showTenant(t), err
		})
	write(h, route{method: http.MethodPatch, path: one, id: "updateSubaccount", summary: "Rename an account below a tenant, or change its details", permission: writeSubaccounts},
		func(ctx context.Context, s scope, q db.Queryer, in *updateSubaccount) (out TenantBody, err error) {
			t, err := h.heldSubaccount(ctx, s, q, &in.SubaccountPath)
			if err != nil {
				return out, err
			}
			return h.patchTenant(ctx, s, q, t.ID, tenants.TenantPatch{Name: in.Body.Name, Details: (*tenants.DetailsPatch)(in.Body.Details)})
		})
	write(h, route{method: http.MethodPost, path: one + ":move", id: "moveSubaccount", summary: "Put an account below a tenant under another parent there", permission: writeSubaccounts},
		func(ctx context.Context, s scope, q db.Queryer, in *moveSubaccount) (out TenantBody, err error) {
			t, err := h.heldSubaccount(ctx, s, q, &in.SubaccountPath)
			if err == nil {
				err = s.match(t.Version)
			}
			if err != nil {
				return out, err
			}
			parent := s.tenant
			if in.Body.ParentID != parent.ID && in.Body.ParentID != parent.Key {
				parent, err = h.Tenants.Subaccount(ctx, q, s.environment.ID, s.tenant.ID, in.Body.ParentID)
			}
			if errors.Is(err, tenants.ErrTenantNotFound) {
				err = tenants.ErrParentNotFound
			}
			if err == nil {
				err = h.RBAC.CheckMove(ctx, s.actor, q, t.ID, parent.ID)
			}
			if err != nil {
				return out, err
			}
			t, err = h.Tenants.MoveTenant(ctx, s.actor, q, t.ID, parent.ID)
			return showTenant(t), err
		})
	remove(h, route{method: http.MethodDelete, path: one, id: "deleteSubaccount", summary: "Delete an account below a tenant; those below it move to its parent", permission: deleteSubaccounts},
		func(ctx context.Context, s scope, q db.Queryer, in *SubaccountPath) error {
			t, err := h.heldSubaccount(ctx, s, q, in)
			if err != nil {
				return err
			}
			if err := h.RBAC.CheckTenant(ctx, s.actor, q, t.ID); err != nil {
				return err
			}
			return h.dropTenant(ctx, s, q, t.ID)
		})
	write(h, route{method: http.MethodPut, path: "/tenants/{t}/sub-account-access", id: "putSubaccountMode", summary: "Choose who of a tenant's people may enter the accounts below it", permission: writeSubaccountAccess},
		func(ctx context.Context, s scope, q db.Queryer, in *ofTenant[subaccountMode]) (TenantBody, error) {
			return h.patchTenant(ctx, s, q, s.tenant.ID, tenants.TenantPatch{SubaccountAccess: &in.Body.Mode})
		})
	h.registerPersonAccess()
}

func (h *Handler) registerPersonAccess() {
	const path = "/tenants/{t}/users/{u}/sub-account-access"
	names := map[directory.SubaccountAccess]string{directory.SubaccountDefault: "default", directory.SubaccountOn: "on", directory.SubaccountOff: "off"}
	read(h, route{method: http.MethodGet, path: path, id: "getUserSubaccountAccess", summary: "Show whether a person may enter the accounts below his tenant", permission: readSubaccounts},
		func(ctx context.Context, s scope, q db.Queryer, in *UserPath) (personAccess, error) {
			access, err := h.Directory.SubaccountAccess(ctx, q, s.tenant.ID, in.User)
			return personAccess{Access: names[access]}, err
		})
	write(h, route{method: http.MethodPut, path: path, id: "putUserSubaccountAccess", summary: "Choose whether a person may enter the accounts below his tenant", permission: writeSubaccountAccess},
		func(ctx context.Context, s scope, q db.Queryer, in *putPersonAccess) (out personAccess, err error) {
			if _, err := h.target(ctx, s, q, in.User); err != nil {
				return out, err
			}
			access := directory.SubaccountAccess(in.Body.Access)
			if in.Body.Access == names[directory.SubaccountDefault] {
				access = directory.SubaccountDefault
			}
			return in.Body, h.Directory.SetSubaccountAccess(ctx, s.actor, q, s.tenant.ID, in.User, access)
		})
}

func (h *Handler) heldSubaccount(ctx context.Context, s scope, q db.Queryer, in *SubaccountPath) (tenants.Tenant, error) {
	return h.Tenants.HoldSubaccount(ctx, s.actor, q, s.tenant.ID, in.Subaccount)
}

package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/tenants"
)

type tenantBody struct {
	ID                 string        `json:"id"`
	Key                string        `json:"key" doc:"Accepted wherever the id is; never changes"`
	Name               string        `json:"name"`
	ParentID           *string       `json:"parent_id"`
	Status             string        `json:"status" enum:"active,suspended"`
	SubaccountsEnabled bool          `json:"subaccounts_enabled" doc:"Whether the tenant may have sub-accounts"`
	SubaccountAccess   string        `json:"subaccount_access" enum:"default_off,default_on,always_on"`
	Details            tenantDetails `json:"details"`
	CreatedAt          time.Time     `json:"created_at"`
	UpdatedAt          time.Time     `json:"updated_at"`
}

type tenantDetails struct {
	Address  string `json:"address,omitempty" maxLength:"1000"`
	Website  string `json:"website,omitempty" maxLength:"1000"`
	Timezone string `json:"timezone,omitempty" maxLength:"100" doc:"IANA name"`
	Currency string `json:"currency,omitempty" maxLength:"3" doc:"ISO 4217"`
}

func showTenant(t tenants.Tenant) tenantBody {
	return tenantBody{
		ID: t.ID, Key: t.Key, Name: t.Name, ParentID: optionalText(t.ParentID), Status: t.Status,
		SubaccountsEnabled: t.SubaccountsEnabled, SubaccountAccess: t.SubaccountAccess,
		Details: tenantDetails(t.Details), CreatedAt: t.CreatedAt, UpdatedAt: t.UpdatedAt,
	}
}

type createTenant struct {
	Body struct {
		Name               string         `json:"name" maxLength:"200"`
		Key                string         `json:"key,omitempty" maxLength:"63" doc:"Made of the name when left out"`
		ParentID           string         `json:"parent_id,omitempty" maxLength:"63" doc:"Id or key of the parent"`
		SubaccountsEnabled bool           `json:"subaccounts_enabled,omitempty"`
		SubaccountAccess   string         `json:"subaccount_access,omitempty" enum:"default_off,default_on,always_on"`
		Details            *tenantDetails `json:"details,omitempty"`
	}
}

type listTenants struct {
	PageQuery
	ParentID string `query:"parent_id" maxLength:"63" doc:"Only the sub-accounts of this tenant (id)"`
}

type updateTenant struct {
	TenantPath
	Body struct {
		Name               *string        `json:"name,omitempty" maxLength:"200"`
		Status             *string        `json:"status,omitempty" enum:"active,suspended"`
		SubaccountsEnabled *bool          `json:"subaccounts_enabled,omitempty"`
		SubaccountAccess   *string        `json:"subaccount_access,omitempty" enum:"default_off,default_on,always_on"`
		Details            *tenantDetails `json:"details,omitempty"`
	}
}

func (h *Handler) registerTenants() {
	write(h, route{method: http.MethodPost, path: "/tenants", id: "createTenant", summary: "Make a tenant or a sub-account", permission: staff.WriteTenants, status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, in *createTenant) (tenantBody, error) {
			t, err := h.Tenants.CreateTenant(ctx, s.actor, q, tenants.NewTenant{
				Key: in.Body.Key, ParentID: in.Body.ParentID, Name: in.Body.Name, SubaccountsEnabled: in.Body.SubaccountsEnabled,
				SubaccountAccess: in.Body.SubaccountAccess, Details: tenants.Details(value(in.Body.Details)),
			})
			return showTenant(t), err
		})
	read(h, route{method: http.MethodGet, path: "/tenants", id: "listTenants", summary: "List tenants, the oldest first", permission: staff.ReadTenants},
		func(ctx context.Context, s scope, q db.Queryer, in *listTenants) (out list[tenantBody], err error) {
			text, err := h.position(s, "tenants", in.Cursor)
			if err != nil {
				return out, err
			}
			after, err := parseCreated(text)
			if err != nil {
				return out, err
			}
			found, next, err := h.Tenants.List(ctx, q, s.environment.ID, tenants.Filter{ParentID: in.ParentID, After: after, Limit: in.Limit})
			return paged(found, showTenant, h.cursor(s, "tenants", created(next))), err
		})
	read(h, route{method: http.MethodGet, path: "/tenants/{t}", id: "getTenant", summary: "Show a tenant", permission: "fe.secure.read.accountSettings"},
		func(_ context.Context, s scope, _ db.Queryer, _ *TenantPath) (tenantBody, error) {
			return showTenant(s.tenant), nil
		})
	write(h, route{method: http.MethodPatch, path: "/tenants/{t}", id: "updateTenant", summary: "Change a tenant; suspending ends its sessions", permission: "fe.secure.write.accountSettings"},
		func(ctx context.Context, s scope, q db.Queryer, in *updateTenant) (tenantBody, error) {
			p := tenants.TenantPatch{
				Name: in.Body.Name, Status: in.Body.Status, SubaccountsEnabled: in.Body.SubaccountsEnabled, SubaccountAccess: in.Body.SubaccountAccess,
			}
			if in.Body.Details != nil {
				d := tenants.Details(*in.Body.Details)
				p.Details = &d
			}
			t, err := h.Tenants.UpdateTenant(ctx, s.actor, q, s.tenant.ID, p)
			return showTenant(t), err
		})
	remove(h, route{method: http.MethodDelete, path: "/tenants/{t}", id: "deleteTenant", summary: "Delete a tenant; its sub-accounts move to its parent", permission: staff.DeleteTenants},
		func(ctx context.Context, s scope, q db.Queryer, _ *TenantPath) error {
			stmts := append(h.Policy.DeleteTenantStmts(s.environment.ID, s.tenant.ID), h.RBAC.DeleteTenantStmts(s.environment.ID, s.tenant.ID)...)
			if err := q.Batch(ctx, stmts); err != nil {
				return err
			}
			users, err := h.Directory.UsersOf(ctx, q, s.tenant.ID)
			if err != nil {
				return err
			}
			if err := h.Tenants.DeleteTenant(ctx, s.actor, q, s.tenant.ID); err != nil {
				return err
			}
			return h.Directory.DropOrphans(ctx, q, s.environment.ID, users)
		})
}

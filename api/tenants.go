package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// TenantBody is a tenant as lists show it.
type TenantBody struct {
	ID                 string        `json:"id"`
	Key                string        `json:"key" doc:"Accepted wherever the id is; never changes"`
	Name               string        `json:"name"`
	ParentID           *string       `json:"parent_id"`
	Status             string        `json:"status" enum:"active,suspended"`
	SubaccountsEnabled bool          `json:"subaccounts_enabled" doc:"Whether the tenant may have sub-accounts"`
	SubaccountAccess   string        `json:"subaccount_access" enum:"default_off,default_on,always_on" doc:"Whether its people may enter the accounts below it"`
	Details            tenantDetails `json:"details"`
	CreatedAt          time.Time     `json:"created_at"`
	UpdatedAt          time.Time     `json:"updated_at"`
	version            int64
}

func (b TenantBody) etag() string { return versionTag(b.version) }

type tenantDetails struct {
	Address  string `json:"address,omitempty" maxLength:"1000"`
	Website  string `json:"website,omitempty" maxLength:"1000" doc:"http or https address"`
	Timezone string `json:"timezone,omitempty" maxLength:"100" doc:"IANA name"`
	Currency string `json:"currency,omitempty" maxLength:"3" doc:"ISO 4217"`
	Logo     string `json:"logo,omitempty" maxLength:"1000" doc:"https address"`
}

// detailsPatch changes what it names.
type detailsPatch struct {
	Address  *string `json:"address,omitempty" maxLength:"1000" doc:"Empty removes it, as with the others; what is left out stays"`
	Website  *string `json:"website,omitempty" maxLength:"1000" doc:"http or https address"`
	Timezone *string `json:"timezone,omitempty" maxLength:"100" doc:"IANA name"`
	Currency *string `json:"currency,omitempty" maxLength:"3" doc:"ISO 4217"`
	Logo     *string `json:"logo,omitempty" maxLength:"1000" doc:"https address"`
}

// tenantWhole is a tenant as shown alone.
type tenantWhole struct {
	TenantBody
	Children int64 `json:"children" doc:"How many sub-accounts stand right below it"`
}

func showTenant(t tenants.Tenant) TenantBody {
	return TenantBody{
		ID: t.ID, Key: t.Key, Name: t.Name, ParentID: optionalText(t.ParentID), Status: t.Status,
		SubaccountsEnabled: t.SubaccountsEnabled, SubaccountAccess: t.SubaccountAccess,
		Details: tenantDetails(t.Details), CreatedAt: t.CreatedAt, UpdatedAt: t.UpdatedAt, version: t.Version,
	}
}

type createTenant struct {
	Body struct {
		Name               string         `json:"name" maxLength:"200"`
		Key                string         `json:"key,omitempty" maxLength:"63" doc:"Made of the name when left out"`
		ParentID           string         `json:"parent_id,omitempty" maxLength:"63" doc:"Id or key of the parent"`
		SubaccountsEnabled *bool          `json:"subaccounts_enabled,omitempty" doc:"When left out: true for a sub-account, false at the top"`
		SubaccountAccess   string         `json:"subaccount_access,omitempty" enum:"default_off,default_on,always_on"`
		Details            *tenantDetails `json:"details,omitempty"`
	}
}

type listTenants struct {
	PageQuery
	ParentID string `query:"parent_id" maxLength:"63" doc:"Only the sub-accounts right below this tenant (id)"`
	Status   string `query:"status" enum:"active,suspended"`
	Query    string `query:"q" maxLength:"200" doc:"Beginning of the name, in any case, or of the key"`
}

type updateTenant struct {
	TenantPath
	Body struct {
		Name               *string       `json:"name,omitempty" maxLength:"200"`
		Status             *string       `json:"status,omitempty" enum:"active,suspended" doc:"The vendor's choice"`
		SubaccountsEnabled *bool         `json:"subaccounts_enabled,omitempty" doc:"The vendor's choice"`
		SubaccountAccess   *string       `json:"subaccount_access,omitempty" enum:"default_off,default_on,always_on"`
		Details            *detailsPatch `json:"details,omitempty"`
	}
}

const (
	readAccount  = "fe.secure.read.accountSettings"
	writeAccount = "fe.secure.write.accountSettings"
)

func (h *Handler) registerTenants() {
	write(h, route{method: http.MethodPost, path: "/tenants", id: "createTenant", summary: "Make a tenant or a sub-account", permission: staff.WriteTenants, status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, in *createTenant) (TenantBody, error) {
			return h.newTenant(ctx, s, q, tenants.NewTenant{
				Key: in.Body.Key, ParentID: in.Body.ParentID, Name: in.Body.Name, SubaccountsEnabled: in.Body.SubaccountsEnabled,
				SubaccountAccess: in.Body.SubaccountAccess, Details: tenants.Details(value(in.Body.Details)),
			})
		})
	read(h, route{method: http.MethodGet, path: "/tenants", id: "listTenants", summary: "List tenants, the oldest first", permission: staff.ReadTenants},
		func(ctx context.Context, s scope, q db.Queryer, in *listTenants) (out list[TenantBody], err error) {
			text, err := h.position(s, "tenants", in.Cursor)
			if err != nil {
				return out, err
			}
			after, err := parseCreated(text)
			if err != nil {
				return out, err
			}
			found, next, err := h.Tenants.List(ctx, q, s.environment.ID, tenants.Filter{ParentID: in.ParentID, Status: in.Status, Query: in.Query, After: after, Limit: in.Limit})
			return paged(found, showTenant, h.cursor(s, "tenants", created(next))), err
		})
	read(h, route{method: http.MethodGet, path: "/tenants/{t}", id: "getTenant", summary: "Show a tenant", permission: readAccount},
		func(ctx context.Context, s scope, q db.Queryer, _ *TenantPath) (tenantWhole, error) {
			n, err := h.Tenants.Children(ctx, q, s.environment.ID, s.tenant.ID)
			return tenantWhole{TenantBody: showTenant(s.tenant), Children: n}, err
		})
	write(h, route{method: http.MethodPatch, path: "/tenants/{t}", id: "updateTenant", summary: "Change a tenant; suspending ends its sessions", permission: writeAccount},
		func(ctx context.Context, s scope, q db.Queryer, in *updateTenant) (TenantBody, error) {
			return h.patchTenant(ctx, s, q, s.tenant.ID, tenants.TenantPatch{
				Name: in.Body.Name, Status: in.Body.Status, SubaccountsEnabled: in.Body.SubaccountsEnabled,
				SubaccountAccess: in.Body.SubaccountAccess, Details: (*tenants.DetailsPatch)(in.Body.Details),
			})
		})
	remove(h, route{method: http.MethodDelete, path: "/tenants/{t}", id: "deleteTenant", summary: "Delete a tenant; its sub-accounts move to its parent", permission: staff.DeleteTenants},
		func(ctx context.Context, s scope, q db.Queryer, _ *TenantPath) error {
			return h.dropTenant(ctx, s, q, s.tenant.ID)
		})
	h.registerAccount()
	h.registerBranding()
	h.registerSubaccounts()
}

func (h *Handler) newTenant(ctx context.Context, s scope, q db.Queryer, in tenants.NewTenant) (TenantBody, error) {
	t, err := h.Tenants.CreateTenant(ctx, s.actor, q, in)
	if err != nil {
		return TenantBody{}, err
	}
	return showTenant(t), h.Entitlements.AssignOnSignup(ctx, s.actor, q, t.ID)
}

func (h *Handler) patchTenant(ctx context.Context, s scope, q db.Queryer, tenantID string, p tenants.TenantPatch) (out TenantBody, err error) {
	before, err := h.Tenants.Hold(ctx, q, s.environment.ID, tenantID)
	if err != nil {
		return out, err
	}
	if err := s.match(before.Version); err != nil {
		return out, err
	}
	t, err := h.Tenants.UpdateTenant(ctx, s.actor, q, tenantID, p)
	return showTenant(t), err
}

func (h *Handler) dropTenant(ctx context.Context, s scope, q db.Queryer, tenantID string) error {
	t, err := h.Tenants.HoldPlace(ctx, q, s.environment.ID, tenantID)
	if err != nil {
		return err
	}
	if err := s.match(t.Version); err != nil {
		return err
	}
	return h.Tenants.DeleteTenant(ctx, s.actor, q, t.ID)
}

// accountBody is what a tenant's own people see of their account (product 22, 23).
type accountBody struct {
	Name         string        `json:"name"`
	Details      tenantDetails `json:"details"`
	Applications int64         `json:"applications" doc:"How many applications the caller can use; for a key or a token, the account"`
	version      int64
}

func (b accountBody) etag() string { return versionTag(b.version) }

type putAccount struct {
	TenantPath
	Body struct {
		Name    string        `json:"name" maxLength:"200"`
		Details tenantDetails `json:"details"`
	}
}

type moduleBody struct {
	Module  string `json:"module"`
	Enabled bool   `json:"enabled" doc:"Whether the vendor lets tenants have it; people need its permission besides"`
}

// registerAccount serves what the portal's page about the account shows.
func (h *Handler) registerAccount() {
	const path = "/tenants/{t}/account"
	read(h, route{method: http.MethodGet, path: path, id: "getAccount", summary: "Show the account details of a tenant", permission: readAccount},
		func(ctx context.Context, s scope, q db.Queryer, _ *TenantPath) (accountBody, error) {
			return h.account(ctx, s, q, s.tenant)
		})
	write(h, route{method: http.MethodPut, path: path, id: "putAccount", summary: "Replace the account details of a tenant", permission: writeAccount},
		func(ctx context.Context, s scope, q db.Queryer, in *putAccount) (out accountBody, err error) {
			details := tenants.Details(in.Body.Details).Replace()
			if _, err := h.patchTenant(ctx, s, q, s.tenant.ID, tenants.TenantPatch{Name: &in.Body.Name, Details: details}); err != nil {
				return out, err
			}
			t, err := h.Tenants.Get(ctx, q, s.environment.ID, s.tenant.ID)
			if err != nil {
				return out, err
			}
			return h.account(ctx, s, q, t)
		})
	read(h, route{method: http.MethodGet, path: "/tenants/{t}/modules", id: "listModules", summary: "List the portal's modules and whether the vendor switched them on", permission: readAccount},
		func(_ context.Context, s scope, _ db.Queryer, _ *TenantPath) (list[moduleBody], error) {
			return whole(tenants.Modules, func(m tenants.Module) moduleBody {
				return moduleBody{Module: string(m), Enabled: s.environment.Settings.ModuleOn(m)}
			}), nil
		})
}

func (h *Handler) account(ctx context.Context, s scope, q db.Queryer, t tenants.Tenant) (accountBody, error) {
	user := ""
	if s.actor.Kind == actor.User && s.actor.Home == "" {
		user = s.actor.Subject
	}
	n, err := h.Tenants.CountApplications(ctx, q, s.environment.ID, t.ID, user)
	return accountBody{Name: t.Name, Details: tenantDetails(t.Details), Applications: n, version: t.Version}, err
}

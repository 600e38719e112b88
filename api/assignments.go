package api

import (
	"context"
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// assignedApplication is an application as a tenant and its people see it.
type assignedApplication struct {
	ClientID         string  `json:"client_id"`
	Name             string  `json:"name"`
	Type             string  `json:"type" enum:"web,spa,native,service"`
	InitiateLoginURI *string `json:"initiate_login_uri" doc:"Where a login to it begins"`
	TenantAccess     string  `json:"tenant_access" enum:"all,assigned"`
	UserAccess       string  `json:"user_access" enum:"all,assigned" doc:"assigned: a person needs an assignment"`
}

func showAssigned(a tenants.Application) assignedApplication {
	return assignedApplication{
		ClientID: a.ID, Name: a.Name, Type: a.Type, InitiateLoginURI: optionalText(a.InitiateLoginURI),
		TenantAccess: string(a.TenantAccess), UserAccess: string(a.UserAccess),
	}
}

// TenantApplicationPath names an application in a tenant.
type TenantApplicationPath struct {
	TenantPath
	ApplicationPath
}

// UserApplicationPath names an application of a person.
type UserApplicationPath struct {
	UserPath
	ApplicationPath
}

type listUserApplications struct {
	UserPath
	PageQuery
}

const (
	readApplications = "fe.account-settings.read.app"
	writeAppsUsers   = "fe.secure.write.appsUsers"
	deleteAppsUsers  = "fe.secure.delete.appsUsers"
)

// registerAssignments serves which applications tenants and their people may use
// (product 39).
func (h *Handler) registerAssignments() {
	const (
		base = "/tenants/{t}/applications"
		one  = base + "/{a}"
	)
	read(h, route{method: http.MethodGet, path: base, id: "listTenantApplications", summary: "List the applications that a tenant may use, the oldest first", permission: readApplications},
		func(ctx context.Context, s scope, q db.Queryer, in *TenantList) (out list[assignedApplication], err error) {
			text, err := h.position(s, "tenant-applications", in.Cursor)
			if err != nil {
				return out, err
			}
			after, err := parseCreated(text)
			if err != nil {
				return out, err
			}
			found, next, err := h.Tenants.TenantApplications(ctx, q, s.environment.ID, s.tenant.ID, after, in.Limit)
			return paged(found, showAssigned, h.cursor(s, "tenant-applications", created(next))), err
		})
	read(h, route{method: http.MethodGet, path: one, id: "getTenantApplication", summary: "Show an application that a tenant may use", permission: readApplications},
		func(ctx context.Context, s scope, q db.Queryer, in *TenantApplicationPath) (assignedApplication, error) {
			app, err := h.Tenants.TenantApplication(ctx, q, s.environment.ID, s.tenant.ID, in.Application)
			return showAssigned(app), err
		})
	write(h, route{method: http.MethodPut, path: one, id: "assignTenantApplication", summary: "Assign an application to a tenant", permission: staff.WriteTenants},
		func(ctx context.Context, s scope, q db.Queryer, in *TenantApplicationPath) (assignedApplication, error) {
			app, err := h.Tenants.AssignTenant(ctx, s.actor, q, s.tenant, in.Application)
			return showAssigned(app), err
		})
	remove(h, route{method: http.MethodDelete, path: one, id: "unassignTenantApplication", summary: "Take an application from a tenant", permission: staff.WriteTenants},
		func(ctx context.Context, s scope, q db.Queryer, in *TenantApplicationPath) error {
			return h.Tenants.UnassignTenant(ctx, s.actor, q, s.tenant, in.Application)
		})
	h.registerUserAssignments()
}

func (h *Handler) registerUserAssignments() {
	const (
		base = "/tenants/{t}/users/{u}/applications"
		one  = base + "/{a}"
	)
	read(h, route{method: http.MethodGet, path: base, id: "listUserApplications", summary: "List the applications that a person may use, the oldest first", permission: readApplications},
		func(ctx context.Context, s scope, q db.Queryer, in *listUserApplications) (out list[assignedApplication], err error) {
			p, err := h.Directory.PersonOf(ctx, q, s.tenant.ID, in.User)
			if err != nil {
				return out, err
			}
			name := "applications of " + p.User.ID
			text, err := h.position(s, name, in.Cursor)
			if err != nil {
				return out, err
			}
			after, err := parseCreated(text)
			if err != nil {
				return out, err
			}
			found, next, err := h.Tenants.UserApplications(ctx, q, s.environment.ID, s.tenant.ID, p.User.ID, after, in.Limit)
			return paged(found, showAssigned, h.cursor(s, name, created(next))), err
		})
	write(h, route{method: http.MethodPut, path: one, id: "assignUserApplication", summary: "Assign an application to a person", permission: writeAppsUsers},
		func(ctx context.Context, s scope, q db.Queryer, in *UserApplicationPath) (out assignedApplication, err error) {
			m, err := h.assignee(ctx, s, q, in)
			if err != nil {
				return out, err
			}
			app, err := h.Tenants.AssignUser(ctx, s.actor, q, s.tenant.ID, m, in.Application)
			return showAssigned(app), err
		})
	remove(h, route{method: http.MethodDelete, path: one, id: "unassignUserApplication", summary: "Take an application from a person", permission: deleteAppsUsers},
		func(ctx context.Context, s scope, q db.Queryer, in *UserApplicationPath) error {
			m, err := h.assignee(ctx, s, q, in)
			if err != nil {
				return err
			}
			return h.Tenants.UnassignUser(ctx, s.actor, q, s.tenant.ID, m, in.Application)
		})
}

func (h *Handler) assignee(ctx context.Context, s scope, q db.Queryer, in *UserApplicationPath) (tenants.Member, error) {
	p, err := h.target(ctx, s, q, in.User)
	return tenants.Member{Membership: p.Membership.ID, UserID: p.Membership.UserID, Email: p.Membership.Email}, err
}

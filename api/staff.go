package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/tenants"
)

type staffBody struct {
	ID              string    `json:"id"`
	Email           string    `json:"email"`
	Name            string    `json:"name"`
	Status          string    `json:"status" enum:"active,disabled" doc:"In every environment"`
	Roles           []string  `json:"roles" doc:"Back-office roles in this environment"`
	EverywhereRoles []string  `json:"everywhere_roles" doc:"Back-office roles in every environment"`
	CreatedAt       time.Time `json:"created_at"`
	UpdatedAt       time.Time `json:"updated_at"`

	version int64
}

func (b staffBody) etag() string { return versionTag(b.version) }

func showStaff(s scope) func(staff.Person) staffBody {
	return func(p staff.Person) staffBody {
		return staffBody{
			ID: p.ID, Email: p.Email, Name: p.Name, Status: p.Status, Roles: append([]string{}, p.Roles[s.environment.ID]...),
			EverywhereRoles: append([]string{}, p.Roles[staff.Everywhere]...), CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt, version: p.Version,
		}
	}
}

type createStaff struct {
	Body struct {
		Email      string   `json:"email" maxLength:"320"`
		Name       string   `json:"name,omitempty" maxLength:"200"`
		Roles      []string `json:"roles" minItems:"1" maxItems:"6" enum:"admin,backoffice-editor,backoffice-viewer,entitlements-editor,entitlements-viewer,impersonator" doc:"Back-office roles, not beyond your own"`
		Invite     bool     `json:"invite,omitempty" doc:"Mail the person a link to set a password and a second factor, unless he has them"`
		Everywhere bool     `json:"everywhere,omitempty" doc:"The roles hold in every environment; by a key of the default environment only"`
	}
}

type staffPath struct {
	Staff string `path:"staff" maxLength:"63" doc:"Id of the person"`
}

type updateStaff struct {
	Staff string `path:"staff" maxLength:"63" doc:"Id of the person"`
	Body  struct {
		Name            *string   `json:"name,omitempty" maxLength:"200"`
		Status          *string   `json:"status,omitempty" enum:"active,disabled" doc:"In every environment"`
		Roles           *[]string `json:"roles,omitempty" maxItems:"6" enum:"admin,backoffice-editor,backoffice-viewer,entitlements-editor,entitlements-viewer,impersonator" doc:"Replaces those in this environment"`
		EverywhereRoles *[]string `json:"everywhere_roles,omitempty" maxItems:"6" enum:"admin,backoffice-editor,backoffice-viewer,entitlements-editor,entitlements-viewer,impersonator" doc:"Replaces those in every environment; by a key of the default environment only"`
	}
}

func (h *Handler) registerStaff() {
	write(h, route{method: http.MethodPost, path: "/staff", id: "createStaff", summary: "Add a person of the vendor's", permission: staff.WriteStaff, status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, in *createStaff) (staffBody, error) {
			n := staff.NewPerson{Email: in.Body.Email, Name: in.Body.Name, Environment: s.environment.ID, Roles: in.Body.Roles}
			if in.Body.Everywhere {
				n.Environment = staff.Everywhere
			}
			p, err := h.Staff.CreatePerson(ctx, s.actor, q, n)
			if err == nil && in.Body.Invite {
				_, err = h.StaffAuth.Invite(ctx, s.actor, q, p.ID)
			}
			return showStaff(s)(p), err
		})
	read(h, route{method: http.MethodGet, path: "/staff", id: "listStaff", summary: "List the vendor's people with a role in this environment, the longest-standing first", permission: staff.ReadStaff},
		func(ctx context.Context, s scope, q db.Queryer, in *PageQuery) (out list[staffBody], err error) {
			raw, err := h.position(s, "staff", in.Cursor)
			if err != nil {
				return out, err
			}
			after, err := parseCreated(raw)
			if err != nil {
				return out, err
			}
			found, next, err := h.Staff.People(ctx, q, s.environment.ID, staff.Position(after), in.Limit)
			return paged(found, showStaff(s), h.cursor(s, "staff", created((*tenants.Position)(next)))), err
		})
	read(h, route{method: http.MethodGet, path: "/staff/{staff}", id: "getStaff", summary: "Show a person of the vendor's", permission: staff.ReadStaff},
		func(ctx context.Context, s scope, q db.Queryer, in *staffPath) (staffBody, error) {
			p, err := h.Staff.Person(ctx, q, s.environment.ID, in.Staff)
			return showStaff(s)(p), err
		})
	write(h, route{method: http.MethodPatch, path: "/staff/{staff}", id: "updateStaff", summary: "Change a person of the vendor's", permission: staff.WriteStaff},
		func(ctx context.Context, s scope, q db.Queryer, in *updateStaff) (out staffBody, err error) {
			if err := h.matchStaff(ctx, s, q, in.Staff); err != nil {
				return out, err
			}
			patch := staff.PersonPatch{Name: in.Body.Name, Status: in.Body.Status, Roles: map[string][]string{}}
			if in.Body.Roles != nil {
				patch.Roles[s.environment.ID] = *in.Body.Roles
			}
			if in.Body.EverywhereRoles != nil {
				patch.Roles[staff.Everywhere] = *in.Body.EverywhereRoles
			}
			p, err := h.Staff.UpdatePerson(ctx, s.actor, q, in.Staff, patch)
			return showStaff(s)(p), err
		})
	remove(h, route{method: http.MethodDelete, path: "/staff/{staff}", id: "deleteStaff", summary: "Take a person's roles where you administer; with the last of all his roles he goes", permission: staff.DeleteStaff},
		func(ctx context.Context, s scope, q db.Queryer, in *staffPath) error {
			if err := h.matchStaff(ctx, s, q, in.Staff); err != nil {
				return err
			}
			return h.Staff.DeletePerson(ctx, s.actor, q, in.Staff)
		})
}

// matchStaff holds a change to the version that the caller names.
func (h *Handler) matchStaff(ctx context.Context, s scope, q db.Queryer, id string) error {
	p, err := h.Staff.Lock(ctx, s.actor, q, id)
	if err != nil {
		return err
	}
	return s.match(p.Version)
}

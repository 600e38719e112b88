package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/rbac/entitlement"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/tenants"
)

type entitlementBody struct {
	ID        string     `json:"id"`
	TenantID  string     `json:"tenant_id"`
	PlanID    string     `json:"plan_id"`
	PlanName  string     `json:"plan_name"`
	UserID    *string    `json:"user_id" doc:"null: everybody of the tenant has the plan"`
	ExpiresAt *time.Time `json:"expires_at" doc:"null: never"`
	Expired   bool       `json:"expired"`
	CreatedAt time.Time  `json:"created_at"`
	UpdatedAt time.Time  `json:"updated_at"`

	version int64
}

func (b entitlementBody) etag() string { return versionTag(b.version) }

func (h *Handler) showEntitlement(e entitlement.Entitlement) entitlementBody {
	return entitlementBody{
		ID: e.ID, TenantID: e.Tenant, PlanID: e.PlanID, PlanName: e.PlanName, UserID: optionalText(e.UserID), ExpiresAt: optional(e.ExpiresAt),
		Expired:   !e.ExpiresAt.IsZero() && !h.Clock.Now().Before(e.ExpiresAt),
		CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt, version: e.Version,
	}
}

type createEntitlement struct {
	TenantPath
	Body struct {
		PlanID    string     `json:"plan_id" maxLength:"63"`
		UserID    string     `json:"user_id,omitempty" maxLength:"63" doc:"Everybody of the tenant when left out"`
		ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"Never when left out"`
	}
}

type listEntitlements struct {
	TenantList
	UserID string `query:"user_id" maxLength:"63" doc:"Only what this user has for himself"`
	PlanID string `query:"plan_id" maxLength:"63" doc:"Only this plan"`
}

// expiry gives the zero time for null. The year 1, which is the zero time too and
// what clients send that forgot to set one, is not taken for that.
func expiry(t *time.Time) (time.Time, error) {
	if t != nil && t.IsZero() {
		return time.Time{}, refused("invalid_expiry", "Give a time, or null for never.", "expires_at")
	}
	return value(t), nil
}

// EntitlementPath names a plan that a tenant or user has.
type EntitlementPath struct {
	TenantPath
	Entitlement string `path:"ent" maxLength:"63" doc:"Id of the entitlement"`
}

type updateEntitlement struct {
	EntitlementPath
	Body struct {
		ExpiresAt *time.Time `json:"expires_at" doc:"null: never"`
	}
}

type entitlementQuestion struct {
	TenantID   string         `json:"tenant_id" maxLength:"63" doc:"Id or key of the tenant"`
	UserID     string         `json:"user_id,omitempty" maxLength:"63" doc:"When left out: what the tenant has for everybody; for features only"`
	Feature    string         `json:"feature,omitempty" maxLength:"200" doc:"Key; this or permission"`
	Permission string         `json:"permission,omitempty" maxLength:"200" doc:"Key"`
	Attributes map[string]any `json:"attributes,omitempty" doc:"Those of your own that rules look at"`
	Claims     map[string]any `json:"claims,omitempty" doc:"Of the user's access token, for attributes that begin with jwt."`
}

func (b entitlementQuestion) check() entitlement.Check {
	return entitlement.Check{
		Tenant: b.TenantID, User: b.UserID, Feature: b.Feature, Permission: b.Permission, Attributes: b.Attributes, Claims: b.Claims,
	}
}

type checkEntitlement struct{ Body entitlementQuestion }

type checkEntitlements struct {
	Body struct {
		Checks []entitlementQuestion `json:"checks" minItems:"1" maxItems:"100"`
	}
}

type entitlementAnswer struct {
	Entitled bool   `json:"entitled"`
	Reason   string `json:"reason,omitempty" enum:"MISSING_FEATURE,MISSING_PERMISSION,BUNDLE_EXPIRED" doc:"Absent when entitled"`
}

func showAnswer(r entitlement.Result) entitlementAnswer {
	return entitlementAnswer{Entitled: r.Entitled, Reason: string(r.Reason)}
}

type entitlementAnswers struct {
	Results []entitlementAnswer `json:"results" doc:"In the order of the questions"`
}

type sectionBody struct {
	Section string `json:"section"`
	Module  string `json:"module" doc:"That the vendor switches"`
	Visible bool   `json:"visible"`
	Write   bool   `json:"write"`
	Delete  bool   `json:"delete"`
}

type sectionList struct {
	Sections []sectionBody `json:"sections" doc:"In the order of the portal"`
}

func (h *Handler) registerEntitlements() {
	const (
		base = "/tenants/{t}/entitlements"
		one  = base + "/{ent}"
	)
	write(h, route{method: http.MethodPost, path: base, id: "createEntitlement", summary: "Give a plan to a tenant or to one of its users", permission: staff.WriteEntitlements, status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, in *createEntitlement) (entitlementBody, error) {
			expires, err := expiry(in.Body.ExpiresAt)
			if err != nil {
				return entitlementBody{}, err
			}
			e, err := h.Entitlements.Grant(ctx, s.actor, q, entitlement.NewEntitlement{
				Tenant: s.tenant.ID, PlanID: in.Body.PlanID, UserID: in.Body.UserID, ExpiresAt: expires,
			})
			return h.showEntitlement(e), err
		})
	read(h, route{method: http.MethodGet, path: base, id: "listEntitlements", summary: "List the plans of a tenant and of its users, the oldest first", permission: staff.ReadEntitlements},
		func(ctx context.Context, s scope, q db.Queryer, in *listEntitlements) (out list[entitlementBody], err error) {
			name := "entitlements " + in.UserID + " " + in.PlanID
			after, err := h.position(s, name, in.Cursor)
			if err != nil {
				return out, err
			}
			found, next, err := h.Entitlements.Entitlements(ctx, q, s.tenant.ID, entitlement.EntitlementFilter{User: in.UserID, Plan: in.PlanID, After: after, Limit: in.Limit})
			return paged(found, h.showEntitlement, h.cursor(s, name, next)), err
		})
	read(h, route{method: http.MethodGet, path: one, id: "getEntitlement", summary: "Show a plan that a tenant or user has", permission: staff.ReadEntitlements},
		func(ctx context.Context, s scope, q db.Queryer, in *EntitlementPath) (entitlementBody, error) {
			e, err := h.Entitlements.Entitlement(ctx, q, s.tenant.ID, in.Entitlement)
			return h.showEntitlement(e), err
		})
	write(h, route{method: http.MethodPatch, path: one, id: "updateEntitlement", summary: "Change when a plan ends, which is all that can change", permission: staff.WriteEntitlements},
		func(ctx context.Context, s scope, q db.Queryer, in *updateEntitlement) (out entitlementBody, err error) {
			expires, err := expiry(in.Body.ExpiresAt)
			if err != nil {
				return out, err
			}
			e, err := h.Entitlements.SetExpiry(ctx, s.actor, q, s.tenant.ID, in.Entitlement, expires)
			if err != nil {
				return out, err
			}
			return h.showEntitlement(e), s.match(e.Version - 1)
		})
	remove(h, route{method: http.MethodDelete, path: one, id: "deleteEntitlement", summary: "Take a plan away", permission: staff.DeleteEntitlements},
		func(ctx context.Context, s scope, q db.Queryer, in *EntitlementPath) error {
			e, err := h.Entitlements.Revoke(ctx, s.actor, q, s.tenant.ID, in.Entitlement)
			if err != nil {
				return err
			}
			return s.match(e.Version)
		})
	read(h, route{method: http.MethodPost, path: "/entitlements:check", id: "checkEntitlement", summary: "Ask whether a user is entitled to a feature or permission; members of a tenant ask there about themselves, or with fe.secure.read.users about others", unkept: true},
		func(ctx context.Context, s scope, q db.Queryer, in *checkEntitlement) (out entitlementAnswer, err error) {
			if err := h.vendorNeeds(ctx, s, staff.ReadEntitlements); err != nil {
				return out, err
			}
			results, err := h.Entitlements.Check(ctx, s.actor, q, []entitlement.Check{in.Body.check()})
			if err != nil {
				return out, err
			}
			return showAnswer(results[0]), nil
		})
	read(h, route{method: http.MethodPost, path: "/entitlements:check-batch", id: "checkEntitlements", summary: "Ask up to 100 such questions at once", unkept: true},
		func(ctx context.Context, s scope, q db.Queryer, in *checkEntitlements) (out entitlementAnswers, err error) {
			if err := h.vendorNeeds(ctx, s, staff.ReadEntitlements); err != nil {
				return out, err
			}
			checks := make([]entitlement.Check, 0, len(in.Body.Checks))
			for _, c := range in.Body.Checks {
				checks = append(checks, c.check())
			}
			results, err := h.Entitlements.Check(ctx, s.actor, q, checks)
			out.Results = make([]entitlementAnswer, 0, len(results))
			for _, r := range results {
				out.Results = append(out.Results, showAnswer(r))
			}
			return out, err
		})
	read(h, route{method: http.MethodGet, path: "/tenants/{t}/users/{u}/sections", id: "listSections", summary: "Show which sections of the portal a user sees: your own, or with fe.secure.read.users anybody's"},
		func(ctx context.Context, s scope, q db.Queryer, in *UserPath) (out sectionList, err error) {
			if err := h.vendorNeeds(ctx, s, "fe.secure.read.users"); err != nil {
				return out, err
			}
			found, err := h.Entitlements.Sections(ctx, s.actor, q, s.environment.Settings, s.tenant, in.User)
			out.Sections = make([]sectionBody, 0, len(found))
			for _, x := range found {
				out.Sections = append(out.Sections, sectionBody{Section: x.Key, Module: string(x.Module), Visible: x.Visible, Write: x.Write, Delete: x.Delete})
			}
			return out, err
		})
}

// vendorNeeds asks for a permission of those who do not belong to a tenant.
func (h *Handler) vendorNeeds(ctx context.Context, s scope, permission string) error {
	if s.actor.Tenant != "" {
		return nil
	}
	return h.Audit.Authorize(ctx, s.actor, permission, audit.Target{Type: "environment", ID: s.environment.ID})
}

// entitled asks, where the environment wants it, whether the plan of whoever
// calls has the feature that a permission is linked to (product 134). A refusal is
// recorded.
func (h *Handler) entitled(ctx context.Context, env tenants.Environment, a actor.Actor, permission string) error {
	if !env.Settings.FeatureOn(tenants.FeatureEntitlementsAPI) {
		return nil
	}
	err := h.Entitlements.Allows(ctx, h.DB, a, permission)
	if fault.KindOf(err) != fault.Forbidden {
		return err
	}
	recordErr := h.Audit.RecordAlone(ctx, audit.Event{
		Environment: env.ID, Tenant: a.Tenant, Action: "authorization.denied", Outcome: audit.Denied, Actor: a,
		Metadata: map[string]any{"permission": permission, "code": fault.CodeOf(err)},
	})
	if recordErr != nil {
		return recordErr
	}
	return err
}

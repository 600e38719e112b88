package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/rbac/entitlement"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
)

type featureBody struct {
	ID          string         `json:"id"`
	Key         string         `json:"key"`
	Name        string         `json:"name"`
	Description string         `json:"description"`
	Metadata    map[string]any `json:"metadata"`
	Permissions []string       `json:"permissions" doc:"Keys that are of use only with the feature"`
	CreatedAt   time.Time      `json:"created_at"`
	UpdatedAt   time.Time      `json:"updated_at"`

	version int64
}

func (b featureBody) etag() string { return versionTag(b.version) }

func showFeature(f entitlement.Feature) featureBody {
	return featureBody{
		ID: f.ID, Key: f.Key, Name: f.Name, Description: f.Description, Metadata: f.Metadata, Permissions: f.Permissions,
		CreatedAt: f.CreatedAt, UpdatedAt: f.UpdatedAt, version: f.Version,
	}
}

type createFeature struct {
	Body struct {
		Key         string         `json:"key" maxLength:"200"`
		Name        string         `json:"name" maxLength:"200"`
		Description string         `json:"description,omitempty" maxLength:"2000"`
		Metadata    map[string]any `json:"metadata,omitempty" doc:"At most 50 fields and 8 KiB"`
		Permissions []string       `json:"permissions,omitempty" maxItems:"100" doc:"Keys that are of use only with the feature"`
	}
}

// FeaturePath names a feature.
type FeaturePath struct {
	Feature string `path:"feature" maxLength:"63" doc:"Id of the feature"`
}

type updateFeature struct {
	FeaturePath
	Body struct {
		Name        *string         `json:"name,omitempty" maxLength:"200"`
		Description *string         `json:"description,omitempty" maxLength:"2000"`
		Metadata    *map[string]any `json:"metadata,omitempty" doc:"Replaces"`
		Permissions *[]string       `json:"permissions,omitempty" maxItems:"100" doc:"Keys; replaces"`
	}
}

type flagBody struct {
	FeatureID        string             `json:"feature_id"`
	Feature          string             `json:"feature" doc:"Key"`
	On               bool               `json:"on"`
	OffTreatment     bool               `json:"off_treatment" doc:"What it gives while off"`
	DefaultTreatment bool               `json:"default_treatment" doc:"What it gives while on, when no rule fits"`
	Rules            []entitlement.Rule `json:"rules" doc:"The first that fits decides"`
	CreatedAt        time.Time          `json:"created_at"`
	UpdatedAt        time.Time          `json:"updated_at"`

	version int64
}

func (b flagBody) etag() string { return versionTag(b.version) }

func showFlag(g entitlement.Flag) flagBody {
	return flagBody{
		FeatureID: g.FeatureID, Feature: g.FeatureKey, On: g.On, OffTreatment: g.Off, DefaultTreatment: g.Default, Rules: g.Rules,
		CreatedAt: g.CreatedAt, UpdatedAt: g.UpdatedAt, version: g.Version,
	}
}

type putFlag struct {
	FeaturePath
	Body struct {
		On               bool               `json:"on"`
		OffTreatment     bool               `json:"off_treatment,omitempty"`
		DefaultTreatment bool               `json:"default_treatment,omitempty"`
		Rules            []entitlement.Rule `json:"rules,omitempty" maxItems:"50"`
	}
}

type planBody struct {
	ID               string             `json:"id"`
	Name             string             `json:"name"`
	Description      string             `json:"description"`
	Features         []string           `json:"features" doc:"Keys"`
	DefaultTreatment bool               `json:"default_treatment" doc:"true: everybody has the features whom no rule fits"`
	Rules            []entitlement.Rule `json:"rules" doc:"The first that fits decides, for everybody, assigned or not"`
	AssignOnSignup   bool               `json:"assign_on_signup" doc:"New tenants get the plan"`
	TimeLimitDays    int                `json:"time_limit_days" doc:"For how long new tenants get it; 0: for ever"`
	CreatedAt        time.Time          `json:"created_at"`
	UpdatedAt        time.Time          `json:"updated_at"`

	version int64
}

func (b planBody) etag() string { return versionTag(b.version) }

func showPlan(p entitlement.Plan) planBody {
	return planBody{
		ID: p.ID, Name: p.Name, Description: p.Description, Features: p.Features, DefaultTreatment: p.Default, Rules: p.Rules,
		AssignOnSignup: p.AssignOnSignup, TimeLimitDays: p.TimeLimitDays, CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt, version: p.Version,
	}
}

type createPlan struct {
	Body struct {
		Name             string             `json:"name" maxLength:"200"`
		Description      string             `json:"description,omitempty" maxLength:"2000"`
		Features         []string           `json:"features,omitempty" maxItems:"1000" doc:"Keys"`
		DefaultTreatment bool               `json:"default_treatment,omitempty"`
		Rules            []entitlement.Rule `json:"rules,omitempty" maxItems:"50"`
		AssignOnSignup   bool               `json:"assign_on_signup,omitempty"`
		TimeLimitDays    int                `json:"time_limit_days,omitempty" minimum:"0" maximum:"36500"`
	}
}

// PlanPath names a plan.
type PlanPath struct {
	Plan string `path:"plan" maxLength:"63" doc:"Id of the plan"`
}

type updatePlan struct {
	PlanPath
	Body struct {
		Name             *string             `json:"name,omitempty" maxLength:"200"`
		Description      *string             `json:"description,omitempty" maxLength:"2000"`
		Features         *[]string           `json:"features,omitempty" maxItems:"1000" doc:"Keys; replaces"`
		DefaultTreatment *bool               `json:"default_treatment,omitempty"`
		Rules            *[]entitlement.Rule `json:"rules,omitempty" maxItems:"50" doc:"Replaces"`
		AssignOnSignup   *bool               `json:"assign_on_signup,omitempty"`
		TimeLimitDays    *int                `json:"time_limit_days,omitempty" minimum:"0" maximum:"36500"`
	}
}

func (h *Handler) registerFeatures() {
	write(h, route{method: http.MethodPost, path: "/features", id: "createFeature", summary: "Make a feature", permission: staff.WriteEntitlements, status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, in *createFeature) (featureBody, error) {
			f, err := h.Entitlements.CreateFeature(ctx, s.actor, q, entitlement.NewFeature(in.Body))
			return showFeature(f), err
		})
	read(h, route{method: http.MethodGet, path: "/features", id: "listFeatures", summary: "List features by key", permission: staff.ReadEntitlements},
		func(ctx context.Context, s scope, q db.Queryer, in *PageQuery) (out list[featureBody], err error) {
			after, err := h.position(s, "features", in.Cursor)
			if err != nil {
				return out, err
			}
			found, next, err := h.Entitlements.Features(ctx, q, s.environment.ID, after, in.Limit)
			return paged(found, showFeature, h.cursor(s, "features", next)), err
		})
	read(h, route{method: http.MethodGet, path: "/features/{feature}", id: "getFeature", summary: "Show a feature", permission: staff.ReadEntitlements},
		func(ctx context.Context, s scope, q db.Queryer, in *FeaturePath) (featureBody, error) {
			f, err := h.Entitlements.Feature(ctx, q, s.environment.ID, in.Feature)
			return showFeature(f), err
		})
	write(h, route{method: http.MethodPatch, path: "/features/{feature}", id: "updateFeature", summary: "Change a feature", permission: staff.WriteEntitlements},
		func(ctx context.Context, s scope, q db.Queryer, in *updateFeature) (out featureBody, err error) {
			f, err := h.Entitlements.UpdateFeature(ctx, s.actor, q, in.Feature, entitlement.FeaturePatch(in.Body))
			if err != nil {
				return out, err
			}
			return showFeature(f), s.match(f.Version - 1)
		})
	remove(h, route{method: http.MethodDelete, path: "/features/{feature}", id: "deleteFeature", summary: "Delete a feature, its flag and its place in plans", permission: staff.DeleteEntitlements},
		func(ctx context.Context, s scope, q db.Queryer, in *FeaturePath) error {
			f, err := h.Entitlements.DeleteFeature(ctx, s.actor, q, in.Feature)
			if err != nil {
				return err
			}
			return s.match(f.Version)
		})
	read(h, route{method: http.MethodGet, path: "/feature-flags", id: "listFeatureFlags", summary: "List feature flags by the key of their feature", permission: staff.ReadEntitlements},
		func(ctx context.Context, s scope, q db.Queryer, in *PageQuery) (out list[flagBody], err error) {
			after, err := h.position(s, "flags", in.Cursor)
			if err != nil {
				return out, err
			}
			found, next, err := h.Entitlements.Flags(ctx, q, s.environment.ID, after, in.Limit)
			return paged(found, showFlag, h.cursor(s, "flags", next)), err
		})
	read(h, route{method: http.MethodGet, path: "/features/{feature}/flag", id: "getFeatureFlag", summary: "Show the flag of a feature", permission: staff.ReadEntitlements},
		func(ctx context.Context, s scope, q db.Queryer, in *FeaturePath) (flagBody, error) {
			g, err := h.Entitlements.Flag(ctx, q, s.environment.ID, in.Feature)
			return showFlag(g), err
		})
	write(h, route{method: http.MethodPut, path: "/features/{feature}/flag", id: "putFeatureFlag", summary: "Make or replace the flag of a feature", permission: staff.WriteEntitlements},
		func(ctx context.Context, s scope, q db.Queryer, in *putFlag) (out flagBody, err error) {
			g, err := h.Entitlements.PutFlag(ctx, s.actor, q, in.Feature, entitlement.Flag{
				On: in.Body.On, Off: in.Body.OffTreatment, Default: in.Body.DefaultTreatment, Rules: in.Body.Rules,
			})
			if err != nil {
				return out, err
			}
			before := g.Version - 1
			if before == 0 {
				before = absent
			}
			return showFlag(g), s.match(before)
		})
	remove(h, route{method: http.MethodDelete, path: "/features/{feature}/flag", id: "deleteFeatureFlag", summary: "Delete the flag of a feature", permission: staff.DeleteEntitlements},
		func(ctx context.Context, s scope, q db.Queryer, in *FeaturePath) error {
			g, err := h.Entitlements.DeleteFlag(ctx, s.actor, q, in.Feature)
			if err != nil {
				return err
			}
			return s.match(g.Version)
		})
}

func (h *Handler) registerPlans() {
	write(h, route{method: http.MethodPost, path: "/plans", id: "createPlan", summary: "Make a plan", permission: staff.WriteEntitlements, status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, in *createPlan) (planBody, error) {
			b := in.Body
			p, err := h.Entitlements.CreatePlan(ctx, s.actor, q, entitlement.NewPlan{
				Name: b.Name, Description: b.Description, Features: b.Features, Default: b.DefaultTreatment, Rules: b.Rules,
				AssignOnSignup: b.AssignOnSignup, TimeLimitDays: b.TimeLimitDays,
			})
			return showPlan(p), err
		})
	read(h, route{method: http.MethodGet, path: "/plans", id: "listPlans", summary: "List plans, the oldest first", permission: staff.ReadEntitlements},
		func(ctx context.Context, s scope, q db.Queryer, in *PageQuery) (out list[planBody], err error) {
			after, err := h.position(s, "plans", in.Cursor)
			if err != nil {
				return out, err
			}
			found, next, err := h.Entitlements.Plans(ctx, q, s.environment.ID, after, in.Limit)
			return paged(found, showPlan, h.cursor(s, "plans", next)), err
		})
	read(h, route{method: http.MethodGet, path: "/plans/{plan}", id: "getPlan", summary: "Show a plan", permission: staff.ReadEntitlements},
		func(ctx context.Context, s scope, q db.Queryer, in *PlanPath) (planBody, error) {
			p, err := h.Entitlements.Plan(ctx, q, s.environment.ID, in.Plan)
			return showPlan(p), err
		})
	write(h, route{method: http.MethodPatch, path: "/plans/{plan}", id: "updatePlan", summary: "Change a plan for all who have it", permission: staff.WriteEntitlements},
		func(ctx context.Context, s scope, q db.Queryer, in *updatePlan) (out planBody, err error) {
			b := in.Body
			p, err := h.Entitlements.UpdatePlan(ctx, s.actor, q, in.Plan, entitlement.PlanPatch{
				Name: b.Name, Description: b.Description, Features: b.Features, Default: b.DefaultTreatment, Rules: b.Rules,
				AssignOnSignup: b.AssignOnSignup, TimeLimitDays: b.TimeLimitDays,
			})
			if err != nil {
				return out, err
			}
			return showPlan(p), s.match(p.Version - 1)
		})
	remove(h, route{method: http.MethodDelete, path: "/plans/{plan}", id: "deletePlan", summary: "Delete a plan and take it from all who have it", permission: staff.DeleteEntitlements},
		func(ctx context.Context, s scope, q db.Queryer, in *PlanPath) error {
			p, err := h.Entitlements.DeletePlan(ctx, s.actor, q, in.Plan)
			if err != nil {
				return err
			}
			return s.match(p.Version)
		})
}

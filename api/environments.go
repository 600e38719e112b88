package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// EnvironmentBody is an environment with its settings.
type EnvironmentBody struct {
	ID                     string          `json:"id"`
	Name                   string          `json:"name"`
	BaseURL                string          `json:"base_url" doc:"The issuer, and where every address of the environment begins"`
	IsDefault              bool            `json:"is_default"`
	RefreshIdleSeconds     *int64          `json:"refresh_idle_seconds" doc:"Refresh tokens without use; null: 30 days"`
	RefreshAbsoluteSeconds *int64          `json:"refresh_absolute_seconds" doc:"Refresh tokens in all; null: 90 days"`
	OmitRoles              bool            `json:"omit_roles"`
	OmitPermissions        bool            `json:"omit_permissions"`
	RequireDPoPNonce       bool            `json:"require_dpop_nonce"`
	AccessTokenSeconds     int64           `json:"access_token_seconds" doc:"Lifetime of access and ID tokens: how stale the roles in them can be"`
	Modules                map[string]bool `json:"modules" doc:"Modules of the portal that tenants may have"`
	Features               map[string]bool `json:"features" doc:"What tenants may do"`
	AuditColumns           []string        `json:"audit_columns" doc:"Columns of the portal's audit page; empty: the built-in ones"`
	AuditDays              int             `json:"audit_days" doc:"How long audit events are kept; 0: the default"`
	CreatedAt              time.Time       `json:"created_at"`
	UpdatedAt              time.Time       `json:"updated_at"`
	version                int64
}

func (b EnvironmentBody) etag() string { return versionTag(b.version) }

func showEnvironment(e tenants.Environment) EnvironmentBody {
	out := EnvironmentBody{
		ID: e.ID, Name: e.Name, BaseURL: e.BaseURL, IsDefault: e.IsDefault, AccessTokenSeconds: int64(e.Settings.AccessTokenLifetime().Seconds()),
		RefreshIdleSeconds: showTokens(e.Settings.TokenSettings).RefreshIdleSeconds, RefreshAbsoluteSeconds: showTokens(e.Settings.TokenSettings).RefreshAbsoluteSeconds,
		OmitRoles: e.Settings.OmitRoles, OmitPermissions: e.Settings.OmitPermissions, RequireDPoPNonce: e.Settings.RequireDPoPNonce,
		Modules: map[string]bool{}, Features: map[string]bool{}, AuditColumns: texts(e.Settings.AuditColumns), AuditDays: e.Settings.AuditDays,
		CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt, version: e.Version,
	}
	for _, m := range tenants.Modules {
		out.Modules[string(m)] = e.Settings.ModuleOn(m)
	}
	for _, f := range tenants.Features() {
		out.Features[string(f)] = e.Settings.FeatureOn(f)
	}
	return out
}

type environmentCreated struct {
	EnvironmentBody
	ManagementKey firstKey `json:"management_key" doc:"Administers the new environment at its own host"`
}

type firstKey struct {
	ID  string `json:"id"`
	Key string `json:"key" doc:"Shown once"`
}

type createEnvironment struct {
	Body struct {
		Name    string `json:"name" maxLength:"200"`
		BaseURL string `json:"base_url" maxLength:"200" doc:"https address of a host that no other environment has, such as https://staging.id.example.com"`
	}
}

// EnvironmentPath names an environment.
type EnvironmentPath struct {
	Environment string `path:"env" maxLength:"63" doc:"Id of the environment"`
}

// EnvironmentSettings are what an environment chooses.
type EnvironmentSettings struct {
	Name                   *string         `json:"name,omitempty" maxLength:"200"`
	AccessTokenSeconds     *int64          `json:"access_token_seconds,omitempty" minimum:"60" maximum:"86400"`
	RefreshIdleSeconds     *int64          `json:"refresh_idle_seconds,omitempty" minimum:"300" maximum:"15552000"`
	RefreshAbsoluteSeconds *int64          `json:"refresh_absolute_seconds,omitempty" minimum:"300" maximum:"15552000"`
	OmitRoles              *bool           `json:"omit_roles,omitempty" doc:"Access tokens carry no roles"`
	OmitPermissions        *bool           `json:"omit_permissions,omitempty" doc:"Access tokens carry no permissions"`
	RequireDPoPNonce       *bool           `json:"require_dpop_nonce,omitempty" doc:"DPoP proofs must carry a nonce that the server gave (RFC 9449 section 8)"`
	Modules                map[string]bool `json:"modules,omitempty" doc:"Those that are not named stay as they are"`
	Features               map[string]bool `json:"features,omitempty" doc:"Those that are not named stay as they are"`
	AuditColumns           *[]string       `json:"audit_columns,omitempty" maxItems:"30" doc:"As exports of audit events name them, or metadata.<key>"`
	AuditDays              *int            `json:"audit_days,omitempty" minimum:"1" maximum:"3650"`
}

func (b EnvironmentSettings) patch() tenants.EnvironmentPatch {
	p := tenants.EnvironmentPatch{
		Name: b.Name, AccessTokenSeconds: b.AccessTokenSeconds, RefreshIdleSeconds: b.RefreshIdleSeconds, RefreshAbsoluteSeconds: b.RefreshAbsoluteSeconds,
		OmitRoles: b.OmitRoles, OmitPermissions: b.OmitPermissions, RequireDPoPNonce: b.RequireDPoPNonce, AuditColumns: b.AuditColumns, AuditDays: b.AuditDays,
		Modules: map[tenants.Module]bool{}, Features: map[tenants.Feature]bool{},
	}
	for m, on := range b.Modules {
		p.Modules[tenants.Module(m)] = on
	}
	for f, on := range b.Features {
		p.Features[tenants.Feature(f)] = on
	}
	return p
}

type updateEnvironment struct {
	EnvironmentPath
	Body struct {
		EnvironmentSettings
		BaseURL *string `json:"base_url,omitempty" maxLength:"200" doc:"The issuer. A change ends what was made under the old address: access and ID tokens, sessions, sign-ins under way, links in mails. Applications, and identity providers with every SAML and SCIM address, must be told the new one. Better make an environment anew when tenants use it"`
	}
}

// registerEnvironments serves the environment of the caller's key, and, for keys
// of the default environment, all of them.
func (h *Handler) registerEnvironments() {
	read(h, route{method: http.MethodGet, path: "/environment", id: "getEnvironment", summary: "Show the environment", permission: staff.ReadEnvironment},
		func(ctx context.Context, s scope, q db.Queryer, _ *struct{}) (EnvironmentBody, error) {
			e, err := h.Tenants.Environment(ctx, s.actor, q, s.environment.ID)
			return showEnvironment(e), err
		})
	write(h, route{method: http.MethodPatch, path: "/environment", id: "updateEnvironment", summary: "Change the environment's settings; they hold everywhere within ten seconds", permission: staff.WriteEnvironment},
		func(ctx context.Context, s scope, q db.Queryer, in *ofEnvironment[EnvironmentSettings]) (EnvironmentBody, error) {
			return h.patchEnvironment(ctx, s, q, s.environment.ID, in.Body.patch())
		})
	const (
		base = "/environments"
		one  = base + "/{env}"
	)
	write(h, route{method: http.MethodPost, path: base, id: "createEnvironment", summary: "Make an environment with its roles, signing keys and first management key", permission: staff.WriteEnvironment, status: http.StatusCreated},
		h.createEnvironment)
	read(h, route{method: http.MethodGet, path: base, id: "listEnvironments", summary: "List all environments, the oldest first", permission: staff.ReadEnvironment},
		func(ctx context.Context, s scope, q db.Queryer, _ *struct{}) (out list[EnvironmentBody], err error) {
			all, err := h.Tenants.Environments(ctx, s.actor, q)
			return whole(all, showEnvironment), err
		})
	read(h, route{method: http.MethodGet, path: one, id: "getOneEnvironment", summary: "Show one of the environments", permission: staff.ReadEnvironment},
		func(ctx context.Context, s scope, q db.Queryer, in *EnvironmentPath) (EnvironmentBody, error) {
			e, err := h.Tenants.Environment(ctx, s.actor, q, in.Environment)
			return showEnvironment(e), err
		})
	write(h, route{method: http.MethodPatch, path: one, id: "updateOneEnvironment", summary: "Change one of the environments", permission: staff.WriteEnvironment},
		func(ctx context.Context, s scope, q db.Queryer, in *updateEnvironment) (EnvironmentBody, error) {
			p := in.Body.patch()
			p.BaseURL = in.Body.BaseURL
			return h.patchEnvironment(ctx, s, q, in.Environment, p)
		})
	remove(h, route{method: http.MethodDelete, path: one, id: "deleteEnvironment", summary: "Delete an environment that has no tenants; never the default one", permission: staff.WriteEnvironment},
		func(ctx context.Context, s scope, q db.Queryer, in *EnvironmentPath) error {
			e, err := h.Tenants.HoldEnvironment(ctx, s.actor, q, in.Environment)
			if err != nil {
				return err
			}
			if err := s.match(e.Version); err != nil {
				return err
			}
			return h.Tenants.DeleteEnvironment(ctx, s.actor, q, in.Environment)
		})
}

func (h *Handler) createEnvironment(ctx context.Context, s scope, q db.Queryer, in *createEnvironment) (out environmentCreated, err error) {
	e, err := h.Tenants.CreateEnvironment(ctx, s.actor, q, tenants.NewEnvironment{Name: in.Body.Name, BaseURL: in.Body.BaseURL})
	if err != nil {
		return out, err
	}
	if err := h.RBAC.EnsurePresets(ctx, q, e.ID); err != nil {
		return out, err
	}
	stmts, err := h.Ring.NewStmts(e.ID)
	if err != nil {
		return out, err
	}
	if err := q.Batch(ctx, stmts); err != nil {
		return out, err
	}
	key, plain, err := h.Staff.CreateKey(ctx, s.actor, q, staff.NewKey{Environment: e.ID, Name: "First key"})
	return environmentCreated{EnvironmentBody: showEnvironment(e), ManagementKey: firstKey{ID: key.ID, Key: plain}}, err
}

func (h *Handler) patchEnvironment(ctx context.Context, s scope, q db.Queryer, environment string, p tenants.EnvironmentPatch) (out EnvironmentBody, err error) {
	before, err := h.Tenants.HoldEnvironment(ctx, s.actor, q, environment)
	if err != nil {
		return out, err
	}
	if err := s.match(before.Version); err != nil {
		return out, err
	}
	e, err := h.Tenants.UpdateEnvironment(ctx, s.actor, q, environment, p)
	return showEnvironment(e), err
}

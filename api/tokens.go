package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/rbac/apitoken"
)

// APITokenBody is an API token as shown after its creation.
type APITokenBody struct {
	ID            string         `json:"id"`
	ClientID      string         `json:"client_id" doc:"The id, by its name at the token endpoint"`
	Kind          string         `json:"kind" enum:"client_credentials,access_token" doc:"Exchanged at the token endpoint, or sent as it is"`
	Description   string         `json:"description"`
	RoleIDs       []string       `json:"role_ids" doc:"Empty for personal tokens, which have their person's roles"`
	PermissionIDs []string       `json:"permission_ids"`
	Metadata      map[string]any `json:"metadata" doc:"Goes into access tokens"`
	Last4         string         `json:"last4" doc:"The end of the secret"`
	Expired       bool           `json:"expired"`
	ExpiresAt     *time.Time     `json:"expires_at" doc:"null: never"`
	LastUsedAt    *time.Time     `json:"last_used_at" doc:"To within 5 minutes"`
	LastUsedIP    *string        `json:"last_used_ip" doc:"Address of that use"`
	CreatedBy     string         `json:"created_by" doc:"Id of who made it; the token outlives him"`
	CreatedByName string         `json:"created_by_name"`
	CreatedAt     time.Time      `json:"created_at"`
}

type apiTokenCreated struct {
	APITokenBody
	Secret string `json:"secret" doc:"Shown once"`
}

func (h *Handler) showAPIToken(t apitoken.Token) APITokenBody {
	metadata := map[string]any{}
	_ = json.Unmarshal(t.Metadata, &metadata) // ours, or of a token that was not made: then nobody sees it
	return APITokenBody{
		ID: t.ID, ClientID: t.ID, Kind: string(t.Kind), Description: t.Description,
		RoleIDs: append([]string{}, t.RoleIDs...), PermissionIDs: append([]string{}, t.PermissionIDs...), Metadata: metadata, Last4: t.Last4,
		Expired:   !t.ExpiresAt.IsZero() && !h.Clock.Now().Before(t.ExpiresAt),
		ExpiresAt: optional(t.ExpiresAt), LastUsedAt: optional(t.LastUsedAt), LastUsedIP: optionalText(t.LastUsedIP),
		CreatedBy: t.CreatedBy, CreatedByName: t.CreatedByName, CreatedAt: t.CreatedAt,
	}
}

type createAPIToken struct {
	TenantPath
	Body struct {
		Kind             string         `json:"kind,omitempty" enum:"client_credentials,access_token" default:"client_credentials"`
		Description      string         `json:"description" maxLength:"200"`
		RoleIDs          []string       `json:"role_ids,omitempty" maxItems:"100" doc:"This or permission_ids; with both, the roles"`
		PermissionIDs    []string       `json:"permission_ids,omitempty" maxItems:"500" doc:"Of permissions that you hold yourself"`
		Metadata         map[string]any `json:"metadata,omitempty" doc:"At most 8 KiB; goes into access tokens"`
		ExpiresInMinutes int64          `json:"expires_in_minutes,omitempty" minimum:"1" maximum:"5256000" doc:"Absent: 90 days"`
		NeverExpires     bool           `json:"never_expires,omitempty"`
	}
}

type apiTokenPath struct {
	TenantPath
	Token string `path:"tok" maxLength:"63" doc:"Id of the API token"`
}

type createPersonalToken struct {
	UserPath
	Body struct {
		Kind             string         `json:"kind,omitempty" enum:"client_credentials,access_token" default:"client_credentials"`
		Description      string         `json:"description" maxLength:"200"`
		Metadata         map[string]any `json:"metadata,omitempty" doc:"At most 8 KiB; goes into access tokens"`
		ExpiresInMinutes int64          `json:"expires_in_minutes,omitempty" minimum:"1" maximum:"5256000" doc:"Absent: 90 days"`
	}
}

type personalTokenPath struct {
	UserPath
	Token string `path:"ptok" maxLength:"63" doc:"Id of the personal API token"`
}

func (h *Handler) registerAPITokens() {
	const base = "/tenants/{t}/api-tokens"
	write(h, route{method: http.MethodPost, path: base, id: "createAPIToken", summary: "Make an API token of the tenant", permission: "fe.secure.write.tenantApiTokens", status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, in *createAPIToken) (apiTokenCreated, error) {
			b := in.Body
			t, plain, err := h.APITokens.Create(ctx, s.actor, q, s.tenant.ID, apitoken.NewToken{
				Kind: apitoken.Kind(b.Kind), Description: b.Description, RoleIDs: b.RoleIDs, PermissionIDs: b.PermissionIDs, Metadata: b.Metadata,
				Expiry: apitoken.Expiry{Minutes: b.ExpiresInMinutes, Never: b.NeverExpires},
			})
			return apiTokenCreated{APITokenBody: h.showAPIToken(t), Secret: plain}, err
		})
	read(h, route{method: http.MethodGet, path: base, id: "listAPITokens", summary: "List the tenant's API tokens", permission: "fe.secure.read.tenantApiTokens"},
		func(ctx context.Context, s scope, q db.Queryer, _ *TenantPath) (list[APITokenBody], error) {
			found, err := h.APITokens.List(ctx, q, s.tenant.ID)
			return whole(found, h.showAPIToken), err
		})
	read(h, route{method: http.MethodGet, path: base + "/{tok}", id: "getAPIToken", summary: "Show an API token of the tenant", permission: "fe.secure.read.tenantApiTokens"},
		func(ctx context.Context, s scope, q db.Queryer, in *apiTokenPath) (APITokenBody, error) {
			t, err := h.APITokens.Get(ctx, q, s.tenant.ID, in.Token)
			return h.showAPIToken(t), err
		})
	remove(h, route{method: http.MethodDelete, path: base + "/{tok}", id: "deleteAPIToken", summary: "Revoke an API token of the tenant at once", permission: "fe.secure.delete.tenantApiTokens"},
		func(ctx context.Context, s scope, q db.Queryer, in *apiTokenPath) error {
			return h.APITokens.Delete(ctx, s.actor, q, s.tenant.ID, in.Token)
		})

	const personal = "/tenants/{t}/users/{u}/api-tokens"
	write(h, route{method: http.MethodPost, path: personal, id: "createPersonalAPIToken", summary: "Make a personal API token, for yourself only", permission: "fe.secure.write.userApiTokens", status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, in *createPersonalToken) (out apiTokenCreated, err error) {
			p, err := h.Directory.PersonOf(ctx, q, s.tenant.ID, in.User)
			if err != nil {
				return out, err
			}
			t, plain, err := h.APITokens.CreatePersonal(ctx, s.actor, q, s.environment.Settings, p, apitoken.NewPersonal{
				Kind: apitoken.Kind(in.Body.Kind), Description: in.Body.Description, Metadata: in.Body.Metadata, Expiry: apitoken.Expiry{Minutes: in.Body.ExpiresInMinutes},
			})
			return apiTokenCreated{APITokenBody: h.showAPIToken(t), Secret: plain}, err
		})
	read(h, route{method: http.MethodGet, path: personal, id: "listPersonalAPITokens", summary: "List your personal API tokens, or those of somebody no stronger than you", permission: "fe.secure.read.userApiTokens"},
		func(ctx context.Context, s scope, q db.Queryer, in *UserPath) (out list[APITokenBody], err error) {
			p, err := h.Directory.PersonOf(ctx, q, s.tenant.ID, in.User)
			if err != nil {
				return out, err
			}
			found, err := h.APITokens.ListPersonal(ctx, s.actor, q, p.Membership)
			return whole(found, h.showAPIToken), err
		})
	remove(h, route{method: http.MethodDelete, path: personal + "/{ptok}", id: "deletePersonalAPIToken", summary: "Revoke a personal API token at once", permission: "fe.secure.delete.userApiTokens"},
		func(ctx context.Context, s scope, q db.Queryer, in *personalTokenPath) error {
			p, err := h.Directory.PersonOf(ctx, q, s.tenant.ID, in.User)
			if err != nil {
				return err
			}
			return h.APITokens.DeletePersonal(ctx, s.actor, q, p.Membership, in.Token)
		})
}

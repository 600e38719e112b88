package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// SCIMBody is a SCIM connection as shown.
type SCIMBody struct {
	ID            string     `json:"id"`
	Name          string     `json:"name"`
	Profile       string     `json:"profile"`
	BaseURL       string     `json:"base_url" doc:"What the client is given as base or tenant URL"`
	Status        string     `json:"status" enum:"pending,linked,paused" doc:"pending until the first request"`
	DeleteMode    string     `json:"delete_mode" enum:"soft,hard"`
	LastRequestAt *time.Time `json:"last_request_at"`
	CreatedAt     time.Time  `json:"created_at"`
	UpdatedAt     time.Time  `json:"updated_at"`
	// Suggested is a hint: it changes nothing by itself.
	Suggested *string `json:"suggested_profile" doc:"The profile that the client looks like, when that is not the connection's; null otherwise"`

	version int64
}

func (b SCIMBody) etag() string { return versionTag(b.version) }

type scimCreated struct {
	SCIMBody
	Token string `json:"token" doc:"The first bearer token; shown once"`
}

func showSCIM(env tenants.Environment) func(tenants.SCIMConnection) SCIMBody {
	return func(c tenants.SCIMConnection) SCIMBody {
		return SCIMBody{
			ID: c.ID, Name: c.Name, Profile: c.Profile, BaseURL: env.SCIMBaseURL(c.ID), Status: c.Status, DeleteMode: c.DeleteMode,
			LastRequestAt: optional(c.LastRequestAt), CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt, version: c.Version,
		}
	}
}

// SCIMPath names a SCIM connection.
type SCIMPath struct {
	TenantPath
	Connection string `path:"c" maxLength:"63" doc:"Id of the SCIM connection"`
}

type createSCIM struct {
	TenantPath
	Body struct {
		Name       string `json:"name" maxLength:"200"`
		Profile    string `json:"profile,omitempty" enum:"okta,entra,onelogin,jumpcloud,google,ping,rippling,generic,rfc" doc:"Whose habits the connection follows; generic when left out"`
		DeleteMode string `json:"delete_mode,omitempty" enum:"soft,hard" doc:"soft when left out"`
	}
}

type updateSCIM struct {
	SCIMPath
	Body struct {
		Name       *string `json:"name,omitempty" maxLength:"200"`
		Profile    *string `json:"profile,omitempty" enum:"okta,entra,onelogin,jumpcloud,google,ping,rippling,generic,rfc"`
		DeleteMode *string `json:"delete_mode,omitempty" enum:"soft,hard"`
		Status     *string `json:"status,omitempty" enum:"linked,paused" doc:"paused, or linked to resume"`
	}
}

type deleteSCIM struct {
	SCIMPath
	KeepPeople bool `query:"keep_people" doc:"Leave the people and groups that it provisioned, for the vendor to manage"`
}

// TokenBody is a bearer token as shown after its creation.
type TokenBody struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Last4      string     `json:"last4"`
	ExpiresAt  *time.Time `json:"expires_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
	CreatedAt  time.Time  `json:"created_at"`
}

type tokenCreated struct {
	TokenBody
	Token string `json:"token" doc:"Shown once"`
}

func showToken(t tenants.SCIMToken) TokenBody {
	return TokenBody{ID: t.ID, Name: t.Name, Last4: t.Last4, ExpiresAt: optional(t.ExpiresAt), LastUsedAt: optional(t.LastUsedAt), CreatedAt: t.CreatedAt}
}

type createToken struct {
	SCIMPath
	Body *struct {
		Name          string `json:"name,omitempty" maxLength:"200"`
		ExpiresInDays int    `json:"expires_in_days,omitempty" minimum:"1" maximum:"3650" doc:"Never when left out"`
	}
}

type tokenPath struct {
	SCIMPath
	Token string `path:"k" maxLength:"63" doc:"Id of the token"`
}

func (h *Handler) registerSCIM() {
	const (
		base      = "/tenants/{t}/scim-connections"
		one       = base + "/{c}"
		canRead   = "fe.secure.read.provisioningConfiguration"
		canWrite  = "fe.secure.write.provisioningConfiguration"
		canDelete = "fe.secure.delete.provisioningConfiguration"
	)
	write(h, route{method: http.MethodPost, path: base, id: "createSCIMConnection", summary: "Connect a directory over SCIM", permission: canWrite, status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, in *createSCIM) (out scimCreated, err error) {
			c, token, err := h.Tenants.CreateSCIMConnection(ctx, s.actor, q, s.tenant.ID, tenants.NewSCIMConnection{
				Name: in.Body.Name, Profile: in.Body.Profile, DeleteMode: in.Body.DeleteMode,
			})
			return scimCreated{SCIMBody: showSCIM(s.environment)(c), Token: token}, err
		})
	read(h, route{method: http.MethodGet, path: base, id: "listSCIMConnections", summary: "List a tenant's SCIM connections", permission: canRead},
		func(ctx context.Context, s scope, q db.Queryer, _ *TenantPath) (list[SCIMBody], error) {
			found, err := h.Tenants.SCIMConnections(ctx, q, s.tenant.ID)
			out := whole(found, showSCIM(s.environment))
			for i := 0; i < len(out.Data) && err == nil; i++ {
				err = h.suggestProfile(ctx, q, s.tenant.ID, &out.Data[i])
			}
			return out, err
		})
	read(h, route{method: http.MethodGet, path: one, id: "getSCIMConnection", summary: "Show a SCIM connection", permission: canRead},
		func(ctx context.Context, s scope, q db.Queryer, in *SCIMPath) (SCIMBody, error) {
			c, err := h.Tenants.SCIMConnection(ctx, q, s.tenant.ID, in.Connection)
			if err != nil {
				return SCIMBody{}, err
			}
			out := showSCIM(s.environment)(c)
			return out, h.suggestProfile(ctx, q, s.tenant.ID, &out)
		})
	write(h, route{method: http.MethodPatch, path: one, id: "updateSCIMConnection", summary: "Change, pause or resume a SCIM connection", permission: canWrite},
		func(ctx context.Context, s scope, q db.Queryer, in *updateSCIM) (SCIMBody, error) {
			c, err := h.Tenants.UpdateSCIMConnection(ctx, s.actor, q, s.tenant.ID, in.Connection, tenants.SCIMPatch{
				Name: in.Body.Name, Profile: in.Body.Profile, DeleteMode: in.Body.DeleteMode, Status: in.Body.Status,
			})
			if err != nil {
				return SCIMBody{}, err
			}
			if err := s.match(c.Version - 1); err != nil {
				return SCIMBody{}, err
			}
			out := showSCIM(s.environment)(c)
			return out, h.suggestProfile(ctx, q, s.tenant.ID, &out)
		})
	remove(h, route{method: http.MethodDelete, path: one, id: "deleteSCIMConnection", summary: "Delete a SCIM connection with the people and groups that it provisioned", permission: canDelete},
		func(ctx context.Context, s scope, q db.Queryer, in *deleteSCIM) error {
			c, err := h.Tenants.HoldSCIMConnection(ctx, q, s.tenant.ID, in.Connection)
			if err != nil {
				return err
			}
			if err := s.match(c.Version); err != nil {
				return err
			}
			if err := h.Directory.ReleaseDirectory(ctx, s.actor, q, s.environment.ID, s.tenant.ID, in.Connection, !in.KeepPeople); err != nil {
				return err
			}
			if err := q.Batch(ctx, h.RBAC.DeleteConnectionStmts(s.tenant.ID, in.Connection)); err != nil {
				return err
			}
			return h.Tenants.DeleteSCIMConnection(ctx, s.actor, q, s.tenant.ID, in.Connection)
		})
	write(h, route{method: http.MethodPost, path: one + "/tokens", id: "createSCIMToken", summary: "Make another bearer token", permission: canWrite, status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, in *createToken) (tokenCreated, error) {
			body := value(in.Body)
			t, plain, err := h.Tenants.AddSCIMToken(ctx, s.actor, q, s.tenant.ID, in.Connection, body.Name, time.Duration(body.ExpiresInDays)*24*time.Hour)
			return tokenCreated{TokenBody: showToken(t), Token: plain}, err
		})
	read(h, route{method: http.MethodGet, path: one + "/tokens", id: "listSCIMTokens", summary: "List the bearer tokens of a connection", permission: canRead},
		func(ctx context.Context, s scope, q db.Queryer, in *SCIMPath) (out list[TokenBody], err error) {
			if _, err := h.Tenants.SCIMConnection(ctx, q, s.tenant.ID, in.Connection); err != nil {
				return out, err
			}
			found, err := h.Tenants.SCIMTokens(ctx, q, s.tenant.ID, in.Connection)
			return whole(found, showToken), err
		})
	remove(h, route{method: http.MethodDelete, path: one + "/tokens/{k}", id: "deleteSCIMToken", summary: "Revoke a bearer token at once", permission: canDelete},
		func(ctx context.Context, s scope, q db.Queryer, in *tokenPath) error {
			return h.Tenants.DeleteSCIMToken(ctx, s.actor, q, s.tenant.ID, in.Connection, in.Token)
		})
	h.registerSCIMRequests(one, canRead, canWrite)
}

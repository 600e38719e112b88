package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
)

// ManagementKeyBody is a management key as shown after its creation.
type ManagementKeyBody struct {
	ID            string     `json:"id"`
	Name          string     `json:"name"`
	Roles         []string   `json:"roles" doc:"Back-office roles"`
	Last4         string     `json:"last4" doc:"The end of the key"`
	CreatedBy     string     `json:"created_by" doc:"Id of who made it; empty: the command line"`
	CreatedByName string     `json:"created_by_name"`
	ExpiresAt     *time.Time `json:"expires_at" doc:"null: never"`
	LastUsedAt    *time.Time `json:"last_used_at" doc:"To within 5 minutes"`
	LastUsedIP    *string    `json:"last_used_ip" doc:"Address of that use"`
	CreatedAt     time.Time  `json:"created_at"`
}

type managementKeyCreated struct {
	ManagementKeyBody
	Key string `json:"key" doc:"Shown once"`
}

func showManagementKey(k staff.Key) ManagementKeyBody {
	return ManagementKeyBody{
		ID: k.ID, Name: k.Name, Roles: k.Roles, Last4: k.Last4, CreatedBy: k.CreatedBy, CreatedByName: k.CreatedByName,
		ExpiresAt: optional(k.ExpiresAt), LastUsedAt: optional(k.LastUsedAt), LastUsedIP: optionalText(k.LastUsedIP), CreatedAt: k.CreatedAt,
	}
}

type createManagementKey struct {
	Body struct {
		Name          string   `json:"name" maxLength:"200"`
		Roles         []string `json:"roles,omitempty" minItems:"1" maxItems:"6" enum:"admin,backoffice-editor,backoffice-viewer,entitlements-editor,entitlements-viewer,impersonator" doc:"Back-office roles, not beyond your own; admin when absent"`
		ExpiresInDays int      `json:"expires_in_days,omitempty" minimum:"1" maximum:"3650" doc:"Absent: it does not expire"`
	}
}

type managementKeyPath struct {
	Key string `path:"mkey" maxLength:"63" doc:"Id of the management key"`
}

func (h *Handler) registerManagementKeys() {
	write(h, route{method: http.MethodPost, path: "/management-keys", id: "createManagementKey", summary: "Mint a management key of this environment", permission: staff.WriteKeys, status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, in *createManagementKey) (managementKeyCreated, error) {
			n := staff.NewKey{Environment: s.environment.ID, Name: in.Body.Name, Roles: in.Body.Roles}
			if in.Body.ExpiresInDays > 0 {
				n.ExpiresAt = h.Clock.Now().AddDate(0, 0, in.Body.ExpiresInDays)
			}
			k, plain, err := h.Staff.CreateKey(ctx, s.actor, q, n)
			return managementKeyCreated{ManagementKeyBody: showManagementKey(k), Key: plain}, err
		})
	read(h, route{method: http.MethodGet, path: "/management-keys", id: "listManagementKeys", summary: "List the management keys of this environment", permission: staff.ReadKeys},
		func(ctx context.Context, s scope, q db.Queryer, _ *struct{}) (list[ManagementKeyBody], error) {
			found, err := h.Staff.Keys(ctx, q, s.environment.ID)
			return whole(found, showManagementKey), err
		})
	read(h, route{method: http.MethodGet, path: "/management-keys/{mkey}", id: "getManagementKey", summary: "Show a management key", permission: staff.ReadKeys},
		func(ctx context.Context, s scope, q db.Queryer, in *managementKeyPath) (ManagementKeyBody, error) {
			k, err := h.Staff.Key(ctx, q, s.environment.ID, in.Key)
			return showManagementKey(k), err
		})
	remove(h, route{method: http.MethodDelete, path: "/management-keys/{mkey}", id: "deleteManagementKey", summary: "Revoke a management key at once", permission: staff.DeleteKeys},
		func(ctx context.Context, s scope, q db.Queryer, in *managementKeyPath) error {
			return h.Staff.DeleteKey(ctx, s.actor, q, in.Key)
		})
}

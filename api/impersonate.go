package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
)

type impersonateUser struct {
	User string `path:"user" maxLength:"63" doc:"Id of the user"`
	Body struct {
		TenantID      string `json:"tenant_id" minLength:"1" maxLength:"63" doc:"Id or key of one of his tenants; the token serves there alone"`
		Reason        string `json:"reason" minLength:"1" maxLength:"500" doc:"Why; it stands in the log"`
		ApplicationID string `json:"application_id,omitempty" maxLength:"63" doc:"Client id of the application that the token is for; the default application when absent"`
		ExpiresIn     int64  `json:"expires_in,omitempty" minimum:"60" maximum:"3600" doc:"Seconds; 900 when absent"`
	}
}

// ImpersonationBody is a token as a person, whose claim act says who acts.
type ImpersonationBody struct {
	AccessToken string `json:"access_token" doc:"Cannot be renewed, and changes no credentials or policies. Its claim act says who acts"`
	TokenType   string `json:"token_type" enum:"Bearer"`
	ExpiresIn   int64  `json:"expires_in"`
	SessionID   string `json:"session_id" doc:"Ended as every other session of the user"`
}

func (h *Handler) registerImpersonation() {
	read(h, route{method: http.MethodPost, path: "/users/{user}:impersonate", id: "impersonateUser", summary: "Act as a user for a while", permission: staff.Impersonate},
		func(ctx context.Context, s scope, _ db.Queryer, in *impersonateUser) (ImpersonationBody, error) {
			got, err := h.Impersonate(ctx, s.actor, s.environment, staff.Impersonation{
				User: in.User, Tenant: in.Body.TenantID, Application: in.Body.ApplicationID, Reason: in.Body.Reason, Life: time.Duration(in.Body.ExpiresIn) * time.Second,
			})
			return ImpersonationBody{got.AccessToken, "Bearer", int64(got.Life.Seconds()), got.Session}, err
		})
}

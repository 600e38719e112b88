package gatewaytest_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/gatewaytest"
	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
)

// Support acts as a customer's admin through the management API (product 19): it
// sees what she sees, makes no credentials, and the log names both.
func TestImpersonation(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		v := newVendor(t, d, "okta")
		var roles struct {
			Data []struct{ ID, Key string }
		}
		v.Call(http.MethodGet, "/tenants/acme/roles", nil, &roles)
		admin := ""
		for _, r := range roles.Data {
			if r.Key == "admin" {
				admin = r.ID
			}
		}
		user, _ := v.LogIn(browser.New(t), v.app, ada.ID, "connection", v.saml).Access["sub"].(string)
		v.Call(http.MethodPut, "/tenants/acme/users/"+user+"/roles", object{"role_ids": []string{admin}}, nil)

		err := d.Tx(t.Context(), func(q db.Queryer) (err error) {
			_, v.Key, err = v.Staff.CreateKey(t.Context(), actor.Actor{Environment: v.Main.ID, Kind: actor.System}, q, staff.NewKey{
				Environment: v.Main.ID, Name: "support", Roles: []string{staff.Admin, staff.Impersonator},
			})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			AccessToken string `json:"access_token"`
			SessionID   string `json:"session_id"`
			ExpiresIn   int64  `json:"expires_in"`
		}
		v.clock.Advance(time.Second)
		v.Call(http.MethodPost, "/users/"+user+":impersonate", object{"tenant_id": "acme", "reason": "ticket 7", "application_id": v.app.ClientID, "expires_in": 600}, &got)
		if got.ExpiresIn != 600 {
			t.Errorf("%+v", got)
		}
		support, as := v.Key, &gatewaytest.Gateway{}
		*as = *v.Gateway
		as.Key = got.AccessToken
		for _, c := range []struct {
			method, path string
			body         any
			want         int
		}{
			{http.MethodGet, "/tenants/acme/users", nil, 200},
			{http.MethodPost, "/tenants/acme/groups", object{"name": "made by support"}, 201},
			{http.MethodPost, "/tenants/acme/api-tokens", object{"description": "x", "role_ids": []string{admin}}, 403},
			{http.MethodPost, "/tenants/acme/users/" + user + "/api-tokens", object{"description": "x"}, 403},
			{http.MethodPost, "/tenants/acme/scim-connections", object{"name": "x"}, 403},
			{http.MethodDelete, "/tenants/acme/sso-connections/" + v.saml, nil, 403},
			{http.MethodPut, "/tenants/acme/policies/mfa", object{"enforce": "off"}, 403},
			{http.MethodPost, "/users/" + user + ":impersonate", object{"tenant_id": "acme", "reason": "again"}, 403},
			{http.MethodGet, "/tenants", nil, 403},
		} {
			if status, answer := as.Try(c.method, c.path, c.body); status != c.want {
				t.Errorf("%s %s: %d %s, want %d", c.method, c.path, status, answer, c.want)
			}
		}
		var sessions struct {
			Data []struct{ ID, Method string }
		}
		v.Call(http.MethodGet, "/tenants/acme/users/"+user+"/sessions", nil, &sessions)
		if len(sessions.Data) != 2 || sessions.Data[0].ID != got.SessionID || sessions.Data[0].Method != "impersonation" {
			t.Errorf("sessions %+v", sessions)
		}
		var log struct {
			Data []struct {
				Action string
				Actor  json.RawMessage
			}
		}
		v.Call(http.MethodGet, "/tenants/acme/audit-events?action=group.created", nil, &log)
		var by struct {
			ID           string
			Impersonator struct{ ID string }
		}
		if len(log.Data) != 1 || json.Unmarshal(log.Data[0].Actor, &by) != nil || by.ID != user || by.Impersonator.ID == "" {
			t.Errorf("log %+v", log)
		}
		v.Call(http.MethodDelete, "/tenants/acme/users/"+user+"/sessions/"+got.SessionID, nil, nil)
		if status, _ := as.Try(http.MethodGet, "/tenants/acme/users", nil); status != 401 || v.Key != support {
			t.Errorf("after the end: %d", status)
		}
	})
}

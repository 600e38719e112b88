package api

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/permission"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
)

func init() {
	maps.Copy(bodies, map[string]object{"impersonateUser": {"tenant_id": "ten_x", "reason": "walk"}})
}

// Product 19, trap C11: who may impersonate, and what he has to say.
func TestImpersonateRoute(t *testing.T) {
	f := newFixture(t, openSQLite(t))
	key := func(roles ...string) string {
		staffKey := staff.NewKey{Environment: f.envs[hostA], Name: "x", Roles: roles}
		_, plain, err := f.h.Staff.CreateKey(t.Context(), actor.Actor{Environment: f.envs[hostA], Kind: actor.System}, f.d, staffKey)
		if err != nil {
			t.Fatal(err)
		}
		return plain
	}
	good := object{"tenant_id": "acme", "reason": "ticket 1"}
	for name, c := range map[string]struct {
		key    string
		body   object
		status int
	}{
		"an admin alone":       {f.keys[hostA], good, 403},
		"an editor alone":      {key(staff.BackofficeEditor), good, 403},
		"nobody":               {"", good, 401},
		"without a reason":     {key(staff.Admin, staff.Impersonator), object{"tenant_id": "acme"}, 422},
		"with an empty one":    {key(staff.Admin, staff.Impersonator), object{"tenant_id": "acme", "reason": "  "}, 422},
		"with a control code":  {key(staff.Admin, staff.Impersonator), object{"tenant_id": "acme", "reason": "a\nb"}, 422},
		"with a long one":      {key(staff.Admin, staff.Impersonator), object{"tenant_id": "acme", "reason": strings.Repeat("x", 501)}, 422},
		"for longer":           {key(staff.Admin, staff.Impersonator), object{"tenant_id": "acme", "reason": "x", "expires_in": 3601}, 422},
		"for an instant":       {key(staff.Admin, staff.Impersonator), object{"tenant_id": "acme", "reason": "x", "expires_in": 1}, 422},
		"without a tenant":     {key(staff.Admin, staff.Impersonator), object{"reason": "x"}, 422},
		"viewer, impersonator": {key(staff.BackofficeViewer, staff.Impersonator), good, 200},
	} {
		if got := f.status(c.key, "POST", "/users/usr_x:impersonate", c.body); got != c.status {
			t.Errorf("%s: %d, want %d", name, got, c.status)
		}
	}
	got := f.as(key(staff.BackofficeViewer, staff.Impersonator), 200, "POST", "/users/usr_x:impersonate", good)
	if text(got, "token_type") != "Bearer" || got["expires_in"] != float64(900) || got["refresh_token"] != nil {
		t.Errorf("%v", got)
	}
	// Roles of a tenant never reach it, whatever they are called.
	f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
	_, admin := f.member("acme", "ada", "admin")
	if got := f.status(admin, "POST", "/users/usr_x:impersonate", good); got != 403 {
		t.Errorf("a tenant's admin: %d", got)
	}
}

// Design, identity rule 12: whoever is impersonated touches no credentials and no
// policies, and makes no access that outlasts him. Every route of a tenant that changes something is either refused to an
// impersonated holder of everything, or stands here.
func TestImpersonatedMayNot(t *testing.T) {
	f := newFixture(t, openSQLite(t))
	a := staff.Impersonated(actor.Actor{Kind: actor.User, Tenant: "ten_x", Permissions: permission.NewSet("fe.*", "*")}, actor.Impersonator{ID: "key_x"})
	allowed := strings.Fields(`
		fe.secure.write.accountSettings fe.secure.delete.users fe.secure.delete.sessions fe.secure.delete.appsUsers fe.secure.write.groups
		fe.secure.delete.groups fe.secure.delete.groupsUsers fe.secure.delete.roles fe.account-hierarchy.delete.subAccount`)
	refused := 0
	for _, r := range f.h.routes {
		if !r.ofTenant() || r.method == http.MethodGet || r.permission == "" || strings.HasPrefix(r.permission, "bo.") || strings.Contains(r.permission, ".read.") {
			continue
		}
		switch may := a.May(r.permission); {
		case may && !slices.Contains(allowed, r.permission):
			t.Errorf("%s (%s): an impersonated person may", r.id, r.permission)
		case !may:
			refused++
		}
	}
	for _, key := range []string{
		"fe.secure.write.securityPolicy", "fe.secure.write.ipRestrictions", "fe.secure.delete.emailDomainRestrictions", "fe.secure.write.samlConfiguration",
		"fe.secure.write.samlDefaultRoles", "fe.secure.delete.provisioningConfiguration", "fe.secure.write.provisioningConfiguration",
		"fe.secure.write.users", "fe.secure.write.updateUser", "fe.secure.write.usersRoles", "fe.secure.write.tenantInvites", "fe.secure.write.resendActivationEmail",
		"fe.secure.write.enableDisable", "fe.secure.write.groupsUsers", "fe.secure.write.groupsRoles", "fe.secure.write.appsUsers", "fe.secure.write.roles",
		"fe.account-hierarchy.write.subAccount", "fe.account-hierarchy.write.subAccountAccess",
		"fe.secure.write.tenantApiTokens", "fe.secure.delete.tenantApiTokens", "fe.secure.write.userApiTokens", "fe.connectivity.write.webhook", "fe.connectivity.delete.webhooks",
	} {
		if a.May(key) {
			t.Errorf("an impersonated person may %s", key)
		}
	}
	if refused < 20 || !a.May("fe.secure.read.samlConfiguration") || a.Impersonator.ID != "key_x" {
		t.Errorf("%d routes refused", refused)
	}
}

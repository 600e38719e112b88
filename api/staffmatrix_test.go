package api

import (
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
)

// backOffice says of every route to which column of the back-office matrix it
// belongs (product 1.2), and whether it reads or writes there. A route that is not
// here fails the test: somebody must decide.
var backOffice = map[string]string{
	"accounts R": `listTenants getTenant getAccount getBranding listModules listSubaccounts getSubaccount getUserSubaccountAccess
		listUsers getUser getEffectiveRoles listUserSessions listUserFactors findEnvironmentUsers getEnvironmentUser listSocialIdentities
		listInvitations getInvitation listInviteLinks getInviteLink listGroups getGroup listGroupMembers
		listTenantApplications getTenantApplication listUserApplications`,
	"accounts W": `createTenant updateTenant putAccount putBranding deleteBranding putBrandingLogo deleteBrandingLogo moveTenant createSubaccount updateSubaccount moveSubaccount deleteSubaccount putSubaccountMode putUserSubaccountAccess
		createUser updateUser putUserRoles putUserAccess approveUser resendActivation
		createInvitations resendInvitation createInviteLink regenerateInviteLink
		createGroup updateGroup deleteGroup putGroupRoles addGroupMembers removeGroupMembers
		assignTenantApplication unassignTenantApplication assignUserApplication unassignUserApplication`,
	"blocking W": `deleteTenant deleteUser disableUser enableUser logoutUser deleteUserSessions deleteUserSession
		resetUserMfa unlockTenantUser resetEnvironmentUserMfa
		deleteEnvironmentUser deleteSocialIdentity lockUser unlockUser deleteInvitation deleteInviteLink`,
	"logs R": `listAuditEvents getAuditEvent getAuditStats exportAuditEvents
		listEnvironmentAuditEvents getEnvironmentAuditEvent exportEnvironmentAuditEvents listAuditActions listAuditColumns`,
	"logs W": `createAuditEvent createAuditEvents`,
	"roles R": `listRoles getRole listRoleHolders listTenantRoles getTenantRole
		listPermissions getPermission listTenantPermissions listPermissionCategories getPermissionCategory`,
	"roles W": `createRole updateRole putRolePermissions deleteRole createTenantRole updateTenantRole deleteTenantRole
		createPermission updatePermission deletePermission addPermissionToRoles classifyPermissions
		createPermissionCategory updatePermissionCategory deletePermissionCategory`,
	"plans R": `listFeatures getFeature listFeatureFlags getFeatureFlag listPlans getPlan listEntitlements getEntitlement`,
	"plans W": `createFeature updateFeature deleteFeature putFeatureFlag deleteFeatureFlag createPlan updatePlan deletePlan
		createEntitlement updateEntitlement deleteEntitlement`,
	"api R": `listAPITokens getAPIToken listPersonalAPITokens`,
	"api W": `deleteAPIToken deletePersonalAPIToken`,
	"security R": `listDomains getDomain listSCIMConnections getSCIMConnection listSCIMTokens listSCIMRequests getSCIMRequest listSCIMSchemas getSCIMSchema listSCIMClients
		listSSOConnections getSSOConnection listSPKeys listSSOPresets listLogins getSSOTest getGroupRoleMappings previewGroupRoleMappings getSsoPolicy
		getMfaPolicy getIpPolicy getDomainsPolicy getSessionsPolicy getLockoutPolicy getPasswordPolicy getSocialPolicy verifyIpPolicy verifyEnvironmentIpPolicy
		getEnvironmentMfaPolicy getEnvironmentIpPolicy getEnvironmentDomainsPolicy getEnvironmentSessionsPolicy getEnvironmentLockoutPolicy getEnvironmentPasswordPolicy getEnvironmentSocialPolicy
		listApplications getApplication listJWTTemplates getJWTTemplate listSocialConnections getSocialConnection
		listEventTypes getEventType listOfferedEventTypes listWebhooks getWebhook listWebhookDeliveries getWebhookDelivery`,
	"security W": `createDomain verifyDomain deleteDomain createSCIMConnection updateSCIMConnection deleteSCIMConnection createSCIMToken deleteSCIMToken
		replaySCIMRequest putSCIMSchema deleteSCIMSchema createSCIMClient deleteSCIMClient
		createSSOConnection updateSSOConnection deleteSSOConnection refreshSSOMetadata approveIdPKey deleteIdPKey createSPKey activateSPKey deleteSPKey
		testSSOConnection putGroupRoleMappings putSsoPolicy
		putMfaPolicy putIpPolicy putDomainsPolicy putSessionsPolicy putLockoutPolicy putPasswordPolicy putSocialPolicy
		putEnvironmentMfaPolicy putEnvironmentIpPolicy putEnvironmentDomainsPolicy putEnvironmentSessionsPolicy putEnvironmentLockoutPolicy putEnvironmentPasswordPolicy putEnvironmentSocialPolicy
		createSocialConnection updateSocialConnection deleteSocialConnection
		createApplication updateApplication rotateApplicationSecret deleteApplication createJWTTemplate updateJWTTemplate deleteJWTTemplate
		createEventType updateEventType deleteEventType triggerEvent
		createWebhook updateWebhook deleteWebhook rotateWebhookSecret testWebhook replayWebhookDelivery replayWebhookDeliveries
		createAPIToken createPersonalAPIToken`,
	"environments R": `getEnvironment getEnvironmentBranding listEnvironments getOneEnvironment listManagementKeys getManagementKey listStaff getStaff getStaffSSO`,
	"impersonate W":  `impersonateUser`,
	"environments W": `updateEnvironment putEnvironmentBranding deleteEnvironmentBranding putEnvironmentBrandingLogo deleteEnvironmentBrandingLogo createEnvironment updateOneEnvironment deleteEnvironment
		createManagementKey deleteManagementKey createStaff updateStaff deleteStaff resetStaff putStaffSSO deleteStaffSSO`,
}

// byBody are the routes that ask for a permission themselves, when they know for
// whom: the vendor's credentials need that of the column.
var byBody = map[string]struct{ column, path string }{
	"checkEntitlement":  {"plans R", "/entitlements:check"},
	"checkEntitlements": {"plans R", "/entitlements:check-batch"},
	"listSections":      {"accounts R", "/tenants/acme/users/{u}/sections"},
}

// mayInColumn is the matrix of product 1.2: what is not here is refused.
var mayInColumn = map[string]string{
	staff.Admin:              "accounts R, accounts W, blocking W, logs R, logs W, roles R, roles W, plans R, plans W, api R, api W, security R, security W, environments R, environments W",
	staff.BackofficeEditor:   "accounts R, accounts W, blocking W, logs R",
	staff.BackofficeViewer:   "accounts R, logs R",
	staff.EntitlementsEditor: "accounts R, logs R, roles R, roles W, plans R, plans W, api R, api W",
	staff.EntitlementsViewer: "accounts R, logs R, roles R, plans R, api R",
	staff.Impersonator:       "impersonate W",
}

// Every role × every route of the API (product 14 to 19, acceptance test 1), for
// management keys and for the vendor's people.
func TestBackOfficeMatrix(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		tenant := text(f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"}), "id")
		user := text(f.do(201, "POST", "/tenants/acme/users", object{"email": "u@acme.example"}), "id")
		column := map[string]string{}
		for name, ids := range backOffice {
			for _, id := range strings.Fields(ids) {
				if column[id] != "" {
					t.Errorf("%s is in two columns", id)
				}
				column[id] = name
			}
		}
		registered := map[string]bool{}
		for _, r := range f.h.routes {
			registered[r.id] = true
			if column[r.id] == "" && byBody[r.id].column == "" {
				t.Errorf("%s (%s %s) belongs to no column of the back-office matrix", r.id, r.method, r.path)
			}
		}
		for id := range column {
			if !registered[id] {
				t.Errorf("%s is no route", id)
			}
		}
		env, operator := f.envs[hostA], actor.Actor{Environment: f.envs[hostA], Kind: actor.System}
		for i, roles := range [][]string{
			{staff.Admin},
			{staff.BackofficeEditor},
			{staff.BackofficeViewer},
			{staff.EntitlementsEditor},
			{staff.EntitlementsViewer},
			{staff.BackofficeViewer, staff.Impersonator},
			{staff.BackofficeEditor, staff.EntitlementsViewer},
			{staff.Admin, staff.Impersonator},
		} {
			var plain string
			var person staff.Person
			if err := d.Tx(t.Context(), func(q db.Queryer) (err error) {
				if _, plain, err = f.h.Staff.CreateKey(t.Context(), operator, q, staff.NewKey{Environment: env, Name: "x", Roles: roles}); err == nil {
					person, err = f.h.Staff.CreatePerson(t.Context(), operator, q, staff.NewPerson{Email: string(rune('a'+i)) + "@vendor.example", Environment: env, Roles: roles})
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
			var may []string
			for _, r := range roles {
				may = append(may, strings.Split(mayInColumn[r], ", ")...)
			}
			key, err := f.h.Staff.Authenticate(t.Context(), d, env, plain, operator.IP)
			if err != nil {
				t.Fatal(err)
			}
			human, err := f.h.Staff.Actor(t.Context(), d, env, person.ID)
			if err != nil {
				t.Fatal(err)
			}
			if want := slices.Contains(roles, staff.Impersonator); key.May(staff.Impersonate) != want || human.May(staff.Impersonate) != want {
				t.Errorf("%v: may impersonate %v", roles, !want)
			}
			for _, r := range f.h.routes {
				want := 403
				if slices.Contains(may, column[r.id]) {
					want = 200
				}
				if b, ok := byBody[r.id]; ok {
					res := f.sendAs(hostA, plain, r.method, "/api/v1"+strings.Replace(b.path, "{u}", user, 1), bodyOf(r.id, tenant, user))
					if got := res.StatusCode; (got == 403) == slices.Contains(may, b.column) || got == 401 {
						t.Errorf("%v: %s: %d", roles, r.id, got)
					}
					continue
				}
				for _, a := range []actor.Actor{key, human} {
					_, err := f.h.admitActor(t.Context(), a, r, tenant)
					if got := statusOfError(f, err); got != want {
						t.Errorf("%v as %s: %s (%s, %s): %d, want %d", roles, a.Kind, r.id, column[r.id], r.permission, got, want)
					}
				}
			}
		}
	})
}

// bodyOf is a question that can be answered.
func bodyOf(id, tenant, user string) any {
	question := object{"tenant_id": tenant, "user_id": user, "feature": "x"}
	if b, ok := bodies[id]; ok {
		return b
	}
	switch id {
	case "checkEntitlement":
		return question
	case "checkEntitlements":
		return object{"checks": []object{question}}
	}
	return nil
}

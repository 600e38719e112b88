package entitlement

import "github.com/gatehouse-id/gatehouse/tenants"

// Section is a part of the portal and what somebody may do in it (product 91, 98).
type Section struct {
	Key     string
	Module  tenants.Module // that the vendor must have switched on
	Visible bool
	// Write and Delete: a visible section that has neither is read-only.
	Write, Delete bool
}

type section struct {
	key                 string
	module              tenants.Module
	read, write, delete string // permission keys; empty: there is nothing to do
}

// sections are those of product 3, in the order of the portal, with the
// permission that opens each. A person's own profile and privacy pages need none
// and are not here.
var sections = []section{
	{"account_settings", tenants.ModuleAccount, "fe.secure.read.accountSettings", "fe.secure.write.accountSettings", "fe.secure.delete.accountSettings"},
	{"users", tenants.ModuleUsers, "fe.secure.read.users", "fe.secure.write.users", "fe.secure.delete.users"},
	{"users.applications", tenants.ModuleUsers, "fe.account-settings.read.app", "fe.secure.write.appsUsers", "fe.secure.delete.appsUsers"},
	{"groups", tenants.ModuleGroups, "fe.secure.read.groups", "fe.secure.write.groups", "fe.secure.delete.groups"},
	{"roles", tenants.ModuleRoles, "fe.secure.read.roles", "fe.secure.write.roles", "fe.secure.delete.roles"},
	{"security", tenants.ModuleSecurity, "fe.secure.read.securityPolicy", "fe.secure.write.securityPolicy", "fe.secure.delete.securityPolicy"},
	{"security.email_domains", tenants.ModuleSecurity, "fe.secure.read.emailDomainRestrictions", "fe.secure.write.emailDomainRestrictions", "fe.secure.delete.emailDomainRestrictions"},
	{"security.ip", tenants.ModuleSecurity, "fe.secure.read.ipRestrictions", "fe.secure.write.ipRestrictions", "fe.secure.delete.ipRestrictions"},
	{"sso", tenants.ModuleSSO, "fe.secure.read.samlConfiguration", "fe.secure.write.samlConfiguration", "fe.secure.delete.samlConfiguration"},
	{"sso.default_roles", tenants.ModuleSSO, "fe.secure.read.samlDefaultRoles", "fe.secure.write.samlDefaultRoles", "fe.secure.delete.samlDefaultRoles"},
	{"provisioning", tenants.ModuleProvisioning, "fe.secure.read.provisioningConfiguration", "fe.secure.write.provisioningConfiguration", "fe.secure.delete.provisioningConfiguration"},
	{"audit_logs", tenants.ModuleAudit, "fe.secure.read.audits", "", ""},
	{"api_tokens", tenants.ModuleAPITokens, "fe.secure.read.tenantApiTokens", "fe.secure.write.tenantApiTokens", "fe.secure.delete.tenantApiTokens"},
	{"personal_api_tokens", tenants.ModulePersonalTokens, "fe.secure.read.userApiTokens", "fe.secure.write.userApiTokens", "fe.secure.delete.userApiTokens"},
	{"webhooks", tenants.ModuleWebhooks, "fe.connectivity.read.webhooks", "fe.connectivity.write.webhook", "fe.connectivity.delete.webhook"},
	{"webhooks.categories", tenants.ModuleWebhooks, "fe.connectivity.read.eventCategories", "", ""},
	{"all_accounts", tenants.ModuleSubAccounts, "fe.account-hierarchy.read.subAccount", "fe.account-hierarchy.write.subAccount", "fe.account-hierarchy.delete.subAccount"},
}

// sectionPermissions are the permissions that Visible asks about.
func sectionPermissions() []string {
	var keys []string
	for _, x := range sections {
		keys = append(keys, x.read)
	}
	return keys
}

// Visible says which sections of the portal somebody sees: the vendor has switched
// the module on, he holds the permission to read it, and no feature is linked to
// that permission or he may use one of those that are (product 21, 96, 133). What
// he may do in a section, his permissions alone say (product 97).
func Visible(settings tenants.EnvironmentSettings, f Facts) []Section {
	list := make([]Section, 0, len(sections))
	for _, x := range sections {
		visible := settings.ModuleOn(x.module) && f.Permission(x.read).Entitled
		list = append(list, Section{
			Key: x.key, Module: x.module, Visible: visible,
			Write: visible && x.write != "" && f.Permissions.Has(x.write), Delete: visible && x.delete != "" && f.Permissions.Has(x.delete),
		})
	}
	return list
}

package staff

// Permissions of the vendor's own routes. Routes inside a tenant ask for the
// permission that its own people need. Their form is bo.{read,write,delete}.noun,
// Impersonate excepted, which the wildcards of an admin must not cover.
const (
	ReadTenants       = "bo.read.tenants"
	WriteTenants      = "bo.write.tenants"
	DeleteTenants     = "bo.delete.tenants"
	ReadRoles         = "bo.read.roles"
	WriteRoles        = "bo.write.roles"
	DeleteRoles       = "bo.delete.roles"
	ReadApplications  = "bo.read.applications"
	WriteApplications = "bo.write.applications"
	ReadSocial        = "bo.read.socialConnections"
	WriteSocial       = "bo.write.socialConnections"
	ReadTemplates     = "bo.read.jwtTemplates"
	WriteTemplates    = "bo.write.jwtTemplates"
	DeleteTemplates   = "bo.delete.jwtTemplates"
	ReadEnvironment   = "bo.read.environment"
	WriteEnvironment  = "bo.write.environment"

	// Event types, and events of the vendor's own application.
	ReadEvents   = "bo.read.events"
	WriteEvents  = "bo.write.events"
	DeleteEvents = "bo.delete.events"

	// Features, plans, flags, and who has them.
	ReadEntitlements   = "bo.read.entitlements"
	WriteEntitlements  = "bo.write.entitlements"
	DeleteEntitlements = "bo.delete.entitlements"

	ReadKeys    = "bo.read.managementKeys"
	WriteKeys   = "bo.write.managementKeys"
	DeleteKeys  = "bo.delete.managementKeys"
	ReadStaff   = "bo.read.staff"
	WriteStaff  = "bo.write.staff"
	DeleteStaff = "bo.delete.staff"

	// Users with all their tenants.
	ReadUsers   = "bo.read.users"
	WriteUsers  = "bo.write.users"
	DeleteUsers = "bo.delete.users"

	ReadAudits  = "bo.read.audits"
	WriteAudits = "bo.write.audits" // events of the vendor's application

	// Impersonate is to act as a tenant's person (product 19).
	Impersonate = "bo.impersonate"
)

// area is a column of the back-office matrix (product 1.2).
type area int

const (
	accounts area = iota // accounts and users
	blocking             // block and delete them
	logs
	rolesArea    // roles and permissions
	plans        // features, plans, flags
	apiAccess    // what programs of tenants may do
	security     // security and authentication settings
	environments // and who administers them
	impersonation
	areaCount
)

// nouns says to which area a permission belongs, by its last word. Every noun of
// the catalogue of tenants (product 3) is here, and every one of the vendor's.
var nouns = map[string]area{
	// Inside tenants.
	"accountSettings":       accounts,
	"users":                 accounts,
	"updateUser":            accounts,
	"usersRoles":            accounts, // whom the vendor manages, he gives roles (product 103)
	"sessions":              accounts,
	"resendActivationEmail": accounts,
	"enableDisable":         accounts,
	"tenantInvites":         accounts,
	"app":                   accounts,
	"appsUsers":             accounts,
	"groups":                accounts,
	"groupsUsers":           accounts,
	"groupsRoles":           accounts,
	"subAccount":            accounts,
	"subAccountAccess":      accounts,
	"audits":                logs,
	"roles":                 rolesArea,
	"tenantApiTokens":       apiAccess,
	"userApiTokens":         apiAccess,

	"socialConnections":         security,
	"securityPolicy":            security,
	"emailDomainRestrictions":   security,
	"ipRestrictions":            security,
	"samlConfiguration":         security,
	"samlDefaultRoles":          security,
	"provisioningConfiguration": security,
	"webhooks":                  security, // they send what happens out of the house
	"webhook":                   security,
	"eventCategories":           security,

	// The vendor's own.
	"tenants":        accounts,
	"applications":   security,
	"jwtTemplates":   security,
	"events":         security, // as webhooks
	"environment":    environments,
	"entitlements":   plans,
	"managementKeys": environments,
	"staff":          environments,
}

// exceptions are permissions of another area than their noun's.
var exceptions = map[string]area{
	"bo.delete.tenants":             blocking,
	"bo.write.users":                blocking, // lock and unlock
	"bo.delete.users":               blocking,
	"fe.secure.delete.users":        blocking,
	"fe.secure.delete.sessions":     blocking,
	"fe.secure.write.enableDisable": blocking,

	// A token may hold whatever its tenant's roles hold, security included: making
	// one is for who may do all that himself.
	"fe.secure.write.tenantApiTokens": security,
	"fe.secure.write.userApiTokens":   security,
}

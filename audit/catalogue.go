package audit

// catalogue names every action and how much a successful one weighs. The name
// is noun.verb in the past tense; names are a promise to webhook subscribers and
// never change.
var catalogue = map[string]Severity{
	// Environments and the vendor's side.
	"environment.created":    Medium,
	"environment.updated":    Medium,
	"application.created":    Medium,
	"application.updated":    Medium,
	"application.deleted":    High,
	"management_key.created": High,
	"management_key.deleted": High,
	"staff.created":          High,
	"signing_key.rotated":    Medium,

	// Tenants.
	"tenant.created":                     Info,
	"tenant.updated":                     Info,
	"tenant.suspended":                   High,
	"tenant.resumed":                     Medium,
	"tenant.deleted":                     Critical,
	"domain.created":                     Info,
	"domain.verified":                    Medium,
	"domain.lapsed":                      High,
	"domain.deleted":                     Medium,
	"policy.updated":                     High,
	"sso_policy.updated":                 High,
	"sso_connection.created":             Medium,
	"sso_connection.updated":             Medium,
	"sso_connection.deleted":             High,
	"sso_connection.tested":              Info,
	"sso_connection.logout_received":     Info,
	"sso_connection.revocation_received": Medium,
	"sso_idp_key.trusted":                High,
	"sso_idp_key.removed":                Medium,
	"sso_idp_key.pending":                High,
	"sso_metadata.failing":               High,
	"sso_certificate.expiring":           Medium, // rises as the date comes near
	"sso_sp_key.created":                 Medium,
	"sso_sp_key.activated":               Medium,
	"sso_sp_key.deleted":                 Medium,
	"scim_connection.created":            Medium,
	"scim_connection.updated":            Medium,
	"scim_connection.deleted":            High,
	"scim_request.replayed":              Medium,
	"scim_token.created":                 Medium,
	"scim_token.deleted":                 Medium,
	"scim_client.created":                Medium,
	"scim_client.deleted":                Medium,
	"scim_schema.updated":                Medium,
	"scim_schema.deleted":                Medium,
	"setup_link.created":                 Medium,
	"setup_link.revoked":                 Medium,

	// People.
	"user.created":             Info,
	"user.updated":             Info,
	"user.disabled":            Medium,
	"user.enabled":             Medium,
	"user.deprovisioned":       Medium,
	"user.reprovisioned":       Medium,
	"user.deleted":             Medium,
	"user.logged_out":          Info,
	"user.locked":              High,
	"user.unlocked":            Medium,
	"membership.created":       Info,
	"membership.updated":       Info,
	"membership.disabled":      Medium,
	"membership.enabled":       Medium,
	"membership.removed":       Medium,
	"membership.revived":       Medium,
	"membership.roles_updated": Medium,
	"identity.linked":          Medium,
	"identity.unlinked":        Medium,
	"invitation.created":       Info,
	"invitation.accepted":      Info,
	"invitation.revoked":       Info,
	"password.changed":         Medium,
	"password.reset_requested": Info,
	"mfa.enrolled":             Medium,
	"mfa.removed":              High,
	"break_glass.created":      Critical,
	"break_glass.used":         Critical,

	// Groups, roles, permissions.
	"group.created":          Info,
	"group.updated":          Info,
	"group.deleted":          Medium,
	"group.member_added":     Info,
	"group.member_removed":   Info,
	"group.members_replaced": Info,
	"group.roles_updated":    Medium,
	"role.created":           Medium,
	"role.updated":           Medium,
	"role.deleted":           Medium,
	"role.assigned":          Medium,
	"role.unassigned":        Medium,
	"permission.created":     Medium,
	"permission.updated":     Medium,
	"permission.deleted":     Medium,
	"mapping.updated":        Medium,

	// Signing in, sessions, tokens.
	"login.succeeded":      Info,
	"login.failed":         Medium,
	"login.denied":         Medium,
	"logout.failed":        Medium,
	"session.created":      Info,
	"session.satisfied":    Info,
	"session.ended":        Info,
	"session.replaced":     Medium, // by a newer one, at the limit of concurrent sessions
	"code.reused":          High,
	"token.refresh_reused": Critical,
	"token.revoked":        Info,
	"authorization.denied": Medium,

	// Webhooks.
	"webhook.created":  Medium,
	"webhook.updated":  Medium,
	"webhook.deleted":  Medium,
	"webhook.disabled": High,
}

// Known reports whether the catalogue has the action.
func Known(action string) bool {
	_, ok := catalogue[action]
	return ok
}

// Actions gives every action and its severity.
func Actions() map[string]Severity {
	all := make(map[string]Severity, len(catalogue))
	for k, v := range catalogue {
		all[k] = v
	}
	return all
}

package dbtest_test

// acrossTenants names the statements that do not stay within the tenant $1, each with its reason.
// Whoever adds one answers for it in review: everything else cannot see another tenant's rows.
var acrossTenants = map[string]string{
	"audit.sqlChains":                "the operator's audit verify goes through every tenant",
	"audit.sqlOutboxTenants":         "the dispatcher of webhooks serves all tenants; it then reads one tenant's events at a time",
	"audit.sqlOutboxWaits":           "whether the dispatcher has work",
	"audit.sqlDropKeys":              "retention",
	"audit.sqlEndEnvironmentNewest":  "the vendor's log over all tenants of his environment",
	"audit.sqlEndEnvironmentOldest":  "the vendor's log over all tenants of his environment",
	"audit.sqlEnvironments":          "retention finds the environments; it then goes along them",
	"audit.sqlExpired":               "retention finds the tenants that have old events; it then cuts one chain at a time",
	"audit.sqlListEnvironmentNewest": "the vendor's log over all tenants of his environment",
	"audit.sqlListEnvironmentOldest": "the vendor's log over all tenants of his environment",
	"audit.sqlUnsealedTenants":       "the sealer finds the tenants that have work; it then seals one at a time",

	"directory.sqlDropUsers":     "a user goes when no tenant knows him any more",
	"directory.sqlExpiredHidden": "retention",
	"directory.sqlExpiredGuests": "whose access period is over has no session, in any tenant; each is then ended within its tenant",
	"directory.sqlTenantsOf":     "a person's tenants, for the vendor",

	"oidc/client.sqlPurgeReplays": "retention",

	"rbac.sqlHeldByConnections": "the vendor asks who holds a role",
	"rbac.sqlHeldByGroups":      "the vendor asks who holds a role",
	"rbac.sqlHeldByMappings":    "the vendor asks who holds a role",
	"rbac.sqlHeldByUsers":       "the vendor asks who holds a role",
	"rbac.sqlMigrateSystem":     "the vendor gives everybody a default role",

	"rbac/apitoken.sqlFind":    "a token is found by its id, before the tenant is known",
	"rbac/apitoken.sqlOrphans": "retention: each locator is then dropped within its tenant",

	"saml.sqlPurgeReplays": "retention",

	"scim.sqlPurgeLog": "retention",

	"sessions.sqlAddClient":                 "a code is found by its hash; the tenant is the code's",
	"sessions.sqlOwnSessions":               "a person's own list of all his sessions",
	"sessions.sqlRenewSession":              "a session without tenants is none, so those of the session are asked for",
	"sessions.sqlEndClientsByEverySession":  "sign-out of one session from all its tenants",
	"sessions.sqlEndFamiliesByEverySession": "sign-out of one session from all its tenants",
	"sessions.sqlEndPartsByEverySession":    "sign-out of one session from all its tenants",
	"sessions.sqlEndSessionsByEverySession": "sign-out of one session from all its tenants",
	"sessions.sqlEndClientsBySocial":        "a connection of the environment is switched off",
	"sessions.sqlEndFamiliesBySocial":       "a connection of the environment is switched off",
	"sessions.sqlEndPartsBySocial":          "a connection of the environment is switched off",
	"sessions.sqlEndSessionsBySocial":       "a connection of the environment is switched off",
	"sessions.sqlEndClientsByEveryUser":     "a person's sessions end everywhere, such as after a change of password",
	"sessions.sqlEndFamiliesByEveryUser":    "a person's sessions end everywhere, such as after a change of password",
	"sessions.sqlEndPartsByEveryUser":       "a person's sessions end everywhere, such as after a change of password",
	"sessions.sqlEndSessionsByEveryUser":    "a person's sessions end everywhere, such as after a change of password",
	"sessions.sqlEndSessionsByConnection":   "a session without tenants ends, so the others of the session are asked for",
	"sessions.sqlEndSessionsBySession":      "a session without tenants ends, so the others of the session are asked for",
	"sessions.sqlEndSessionsByTenant":       "a session without tenants ends, so the others of the session are asked for",
	"sessions.sqlDropTenantSessions":        "a session without tenants ends, so the others of the session are asked for",
	"sessions.sqlEndSessionsByUser":         "a session without tenants ends, so the others of the session are asked for",
	"sessions.sqlFindSession":               "a session is found by its hash and has satisfied several tenants",
	"sessions.sqlLiveSession":               "the same by its id, for who holds tokens of it",
	"sessions.sqlGrantCode":                 "a code is found by its hash; the tenant is the code's",
	"sessions.sqlGrantFamily":               "a family is found by its id; the tenant is the family's",

	"signin.sqlAccounts":          "the tenants that a person chooses among",
	"signin.sqlDomainConnections": "home realm: an e-mail domain leads to the tenants that verified it",
	"signin.sqlPersonRules":       "before a tenant is chosen, the strictest rules of all of a person's tenants hold (identity rule 7)",
	"signin.sqlPersonTenants":     "a person's tenants",
	"signin.sqlPurgeLogins":       "retention",
	"signin.sqlPurgeRequests":     "retention",

	"tenants.sqlAuthenticateSCIM":       "a connection is found by its address, before the tenant is known",
	"tenants.sqlAuthenticateSCIMClient": "a connection is found by its address, before the tenant is known",
	"tenants.sqlDomainsToCheck":         "the daily check of all domains",
	"tenants.sqlExpiringCertificates":   "the warnings before certificates end; each is then marked within its tenant",
	"tenants.sqlMetadataDue":            "the daily refresh of all metadata; each row is then claimed within its tenant",

	"webhooks.sqlAnyDue":            "whether the senders have work",
	"webhooks.sqlDueQueues":         "the claim of queues; each is then leased and worked at within its tenant",
	"webhooks.sqlForgottenInterest": "what tenants that are gone wanted to hear of",
	"webhooks.sqlPurge":             "retention",
	"webhooks.sqlPurgeSecrets":      "retention",
}

// ofOneEngine names the statements that only one engine is asked, by what asks it.
var ofOneEngine = map[string]string{
	"cmd/gatehouse.sqlServerNow":     "postgres", // doctor
	"cmd/gatehouse.sqlServerVersion": "postgres", // doctor

	"internal/dbtest.sqlCopies":        "postgres", // the catalogue
	"internal/dbtest.sqlLargest":       "postgres",
	"internal/dbtest.sqlSessionsEnd":   "postgres",
	"internal/dbtest.sqlState":         "postgres",
	"internal/dbtest.sqlTemplateState": "postgres",
}

// ofDeletedTenants names the statements that find tenants whose rows are being removed, each with its reason.
var ofDeletedTenants = map[string]string{
	"tenants.sqlDeleteTenant":   "the end of their removal",
	"tenants.sqlDeletedTenants": "the removal finds them",
	"tenants.sqlLockDeleted":    "the end of their removal",
	"tenants.sqlMarkDeleted":    "it marks one that its transaction holds",
}

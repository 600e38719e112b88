package tenants

// The statements of the package. Tables above tenants lead with environment_id,
// tables of a tenant with tenant_id as $1; a statement that crosses tenants says
// why.

const (
	environmentColumns = `id, name, base_url, is_default, settings, version, created_at, updated_at`

	sqlEnvironments = `SELECT ` + environmentColumns + ` FROM environments WHERE deleted_at IS NULL ORDER BY created_at, id`

	sqlEnvironment = `SELECT ` + environmentColumns + ` FROM environments WHERE id = $1 AND deleted_at IS NULL`

	// A deleted environment's log is kept as long as it chose.
	sqlAuditDays = `SELECT id, settings FROM environments ORDER BY id`

	sqlInsertEnvironment = `INSERT INTO environments (id, name, base_url, host, is_default, settings, version, created_at, updated_at)
VALUES ($1, $2, $3, $4, FALSE, $5, 1, $6, $6)`

	sqlUpdateEnvironment = `UPDATE environments SET name = $2, base_url = $3, host = $4, settings = $5, version = version + 1, updated_at = $6 WHERE id = $1`

	sqlHasTenants = `SELECT COUNT(*) FROM (SELECT id FROM tenants WHERE environment_id = $1 AND deleted_at IS NULL LIMIT 1) t`

	sqlActiveTenantIDs = `SELECT id FROM tenants WHERE environment_id = $1 AND id > $2 AND status = 'active' ORDER BY id LIMIT $3`

	sqlDeleteEnvironment = `UPDATE environments SET deleted_at = $2, host = '', version = version + 1, updated_at = $2 WHERE id = $1`

	sqlEnsureDefault = `INSERT INTO environments (id, name, base_url, is_default, settings, created_at, updated_at)
SELECT $1, $2, '', TRUE, '{}', CAST($3 AS BIGINT), CAST($3 AS BIGINT) WHERE TRUE ON CONFLICT DO NOTHING`
)

// Locators are read before the tenant is known; that is what they are for.
const (
	sqlInsertLocator = `INSERT INTO locators (tenant_id, kind, key, environment_id, id)
VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`

	sqlDeleteLocator = `DELETE FROM locators WHERE tenant_id = $1 AND kind = $2 AND key = $3 AND id = $4`

	sqlDeleteTenantLocators = `DELETE FROM locators WHERE tenant_id = $1`

	sqlLocateConnection = `SELECT environment_id, tenant_id FROM locators WHERE kind = 'connection' AND key = $1 AND id = $1`
)

const (
	tenantColumns = `id, environment_id, key, COALESCE(parent_id, ''), name, status, subaccounts_enabled, subaccount_access, details, version, created_at, updated_at`

	sqlTenantByID = `SELECT ` + tenantColumns + ` FROM tenants WHERE environment_id = $1 AND id = $2 AND deleted_at IS NULL`

	sqlTenantByKey = `SELECT ` + tenantColumns + ` FROM tenants WHERE environment_id = $1 AND key = $2 AND deleted_at IS NULL`

	sqlInsertTenant = `INSERT INTO tenants
(environment_id, id, key, parent_id, name, name_key, status, subaccounts_enabled, subaccount_access, details, version, created_at, updated_at)
VALUES ($1, $2, $3, NULLIF($4, ''), $5, $10, 'active', $6, $7, $8, 1, $9, $9)`

	sqlUpdateTenant = `UPDATE tenants
SET name = $3, status = $4, subaccounts_enabled = $5, subaccount_access = $6, details = $7, name_key = $9, version = version + 1, updated_at = $8
WHERE environment_id = $1 AND id = $2 AND deleted_at IS NULL`
)

const (
	domainColumns = `id, tenant_id, environment_id, domain, txt_value, verified_at, verified_by, checked_at, confirmed_at, created_at`

	sqlDomain = `SELECT ` + domainColumns + ` FROM domains WHERE tenant_id = $1 AND id = $2`

	sqlDomains = `SELECT ` + domainColumns + ` FROM domains WHERE tenant_id = $1 ORDER BY domain`

	sqlCountDomains = `SELECT COUNT(*) FROM domains WHERE tenant_id = $1`

	sqlInsertDomain = `INSERT INTO domains
(tenant_id, id, environment_id, domain, txt_value, verified_at, verified_by, checked_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $6, $8)`

	sqlCheckedDomain = `UPDATE domains SET verified_at = $3, verified_by = $4, checked_at = $5, confirmed_at = $6 WHERE tenant_id = $1 AND id = $2`

	sqlDeleteDomain = `DELETE FROM domains WHERE tenant_id = $1 AND id = $2`

	// The daily check goes over every tenant's domains; those longest unchecked come first.
	sqlDomainsToCheck = `SELECT ` + domainColumns + ` FROM domains
WHERE verified_by = 'dns' AND checked_at < $1 AND (checked_at, id) > ($2, $3) ORDER BY checked_at, id LIMIT $4`
)

const (
	ssoColumns = `c.id, c.tenant_id, c.environment_id, c.type, c.name, c.status, c.settings, c.secret, c.jit, c.allow_unverified_domains,
c.trust_idp_mfa, c.pairing, c.last_test_ok_at, c.last_login_at, c.version, c.created_at, c.updated_at`

	// The connections of a deleted tenant are absent with it.
	standing = ` EXISTS (SELECT 1 FROM tenants n WHERE n.environment_id = c.environment_id AND n.id = c.tenant_id AND n.deleted_at IS NULL)`

	ssoFrom = ` FROM sso_connections c
LEFT JOIN sso_idp_keys k ON k.tenant_id = c.tenant_id AND k.connection_id = c.id AND k.status = 'trusted'
WHERE c.tenant_id = $1 AND` + standing

	sqlSSOConnection = `SELECT ` + ssoColumns + `, COALESCE(k.spki, ''), COALESCE(k.certificate, ''), k.not_after` + ssoFrom + ` AND c.id = $2 ORDER BY k.created_at, k.spki`

	sqlSSOConnections = `SELECT ` + ssoColumns + `, COALESCE(k.spki, ''), COALESCE(k.certificate, ''), k.not_after` + ssoFrom + ` ORDER BY c.created_at, c.id, k.created_at, k.spki`

	sqlLockSSOConnection = `SELECT id FROM sso_connections WHERE tenant_id = $1 AND id = $2`

	sqlCountSSOConnections = `SELECT COUNT(*) FROM sso_connections WHERE tenant_id = $1`

	sqlInsertSSOConnection = `INSERT INTO sso_connections
(tenant_id, id, environment_id, type, name, status, settings, secret, jit, allow_unverified_domains, trust_idp_mfa, pairing, version, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 1, $13, $13)`

	sqlUpdateSSOConnection = `UPDATE sso_connections
SET name = $3, status = $4, settings = $5, secret = $6, jit = $7, allow_unverified_domains = $8, trust_idp_mfa = $9, pairing = $10,
last_test_ok_at = CASE WHEN $12 THEN NULL ELSE last_test_ok_at END, last_login_at = CASE WHEN $12 THEN NULL ELSE last_login_at END, version = version + 1, updated_at = $11
WHERE tenant_id = $1 AND id = $2`

	sqlLoginSSOConnection = `UPDATE sso_connections SET last_login_at = $3
WHERE tenant_id = $1 AND id = $2 AND (last_login_at IS NULL OR last_login_at < $4)`

	sqlTestedSSOConnection = `UPDATE sso_connections SET last_test_ok_at = $3, status = CASE WHEN status = 'draft' THEN 'tested' ELSE status END
WHERE tenant_id = $1 AND id = $2`

	sqlDeleteSSOConnection = `DELETE FROM sso_connections WHERE tenant_id = $1 AND id = $2`

	// A key that is there keeps where it came from and what was told of it.
	sqlInsertIdPKey = `INSERT INTO sso_idp_keys (tenant_id, connection_id, spki, certificate, not_after, status, created_at)
VALUES ($1, $2, $3, $4, $5, 'trusted', $6)
ON CONFLICT (tenant_id, connection_id, spki) DO UPDATE SET status = 'trusted', certificate = excluded.certificate, not_after = excluded.not_after,
warned_days = CASE WHEN sso_idp_keys.not_after = excluded.not_after THEN sso_idp_keys.warned_days END`

	// Those that nobody named; what waits for approval goes on waiting.
	sqlDeleteIdPKeys = `DELETE FROM sso_idp_keys WHERE tenant_id = $1 AND connection_id = $2 AND status = 'trusted'
AND spki NOT IN (SELECT key FROM json_each($3))`

	sqlPairs = `SELECT sso_connection_id, scim_connection_id FROM sso_scim_pairs WHERE tenant_id = $1 ORDER BY sso_connection_id, scim_connection_id`

	sqlDeletePairs = `DELETE FROM sso_scim_pairs WHERE tenant_id = $1 AND sso_connection_id = $2`

	// A connection of another tenant is not found here and so is not paired.
	sqlInsertPairs = `INSERT INTO sso_scim_pairs (tenant_id, sso_connection_id, scim_connection_id)
SELECT tenant_id, $2, id FROM scim_connections WHERE tenant_id = $1 AND id IN (SELECT key FROM json_each($3))`
)

const (
	scimColumns = `c.id, c.tenant_id, c.environment_id, c.name, c.profile, c.status, c.delete_mode, c.matching_attribute,
 (SELECT n.scim_schema_version FROM tenants n WHERE n.environment_id = c.environment_id AND n.id = c.tenant_id AND n.deleted_at IS NULL),
c.last_request_at, c.version, c.created_at, c.updated_at`

	sqlSCIMConnection = `SELECT ` + scimColumns + ` FROM scim_connections c WHERE c.tenant_id = $1 AND c.id = $2 AND` + standing

	sqlSCIMConnections = `SELECT ` + scimColumns + ` FROM scim_connections c WHERE c.tenant_id = $1 AND` + standing + ` ORDER BY c.created_at, c.id`

	sqlCountSCIMConnections = `SELECT COUNT(*) FROM scim_connections WHERE tenant_id = $1`

	sqlInsertSCIMConnection = `INSERT INTO scim_connections
(tenant_id, id, environment_id, name, profile, status, delete_mode, matching_attribute, version, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, 'pending', $6, $7, 1, $8, $8)`

	sqlUpdateSCIMConnection = `UPDATE scim_connections
SET name = $3, profile = $4, status = $5, delete_mode = $6, matching_attribute = $7, version = version + 1, updated_at = $8
WHERE tenant_id = $1 AND id = $2`

	sqlDeleteSCIMConnection = `DELETE FROM scim_connections WHERE tenant_id = $1 AND id = $2`

	tokenColumns = `id, connection_id, name, last4, expires_at, last_used_at, created_at`

	sqlSCIMTokens = `SELECT ` + tokenColumns + ` FROM scim_tokens WHERE tenant_id = $1 AND connection_id = $2 ORDER BY created_at, id`

	sqlCountSCIMTokens = `SELECT COUNT(*) FROM scim_tokens WHERE tenant_id = $1 AND connection_id = $2`

	sqlInsertSCIMToken = `INSERT INTO scim_tokens (tenant_id, id, connection_id, name, hash, last4, expires_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`

	sqlDeleteSCIMToken = `DELETE FROM scim_tokens WHERE tenant_id = $1 AND connection_id = $2 AND id = $3`

	// A request names its connection; the locator tells the tenant, so this is one statement.
	sqlAuthenticateSCIM = `SELECT ` + scimColumns + `, t.status, COALESCE(k.hash, ''), k.expires_at, k.last_used_at
FROM locators l
JOIN scim_connections c ON c.tenant_id = l.tenant_id AND c.id = l.id
JOIN tenants t ON t.environment_id = l.environment_id AND t.id = l.tenant_id AND t.deleted_at IS NULL
LEFT JOIN scim_tokens k ON k.tenant_id = l.tenant_id AND k.connection_id = l.id AND k.id = $2
WHERE l.kind = 'connection' AND l.key = $1`

	// sqlAuthenticateSCIMClient is sqlAuthenticateSCIM for a client: it has no expiry.
	sqlAuthenticateSCIMClient = `SELECT ` + scimColumns + `, t.status, COALESCE(k.hash, ''), CAST(NULL AS BIGINT), k.last_used_at
FROM locators l
JOIN scim_connections c ON c.tenant_id = l.tenant_id AND c.id = l.id
JOIN tenants t ON t.environment_id = l.environment_id AND t.id = l.tenant_id AND t.deleted_at IS NULL
LEFT JOIN scim_clients k ON k.tenant_id = l.tenant_id AND k.connection_id = l.id AND k.id = $2
WHERE l.kind = 'connection' AND l.key = $1`

	sqlUsedSCIMToken = `UPDATE scim_tokens SET last_used_at = $3 WHERE tenant_id = $1 AND id = $2`

	sqlUsedSCIMClient = `UPDATE scim_clients SET last_used_at = $3 WHERE tenant_id = $1 AND id = $2`

	sqlSCIMClients = `SELECT id, connection_id, name, last4, last_used_at, created_at FROM scim_clients
WHERE tenant_id = $1 AND connection_id = $2 ORDER BY created_at, id`

	sqlCountSCIMClients = `SELECT COUNT(*) FROM scim_clients WHERE tenant_id = $1 AND connection_id = $2`

	sqlInsertSCIMClient = `INSERT INTO scim_clients (tenant_id, id, connection_id, name, hash, last4, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`

	sqlDeleteSCIMClient = `DELETE FROM scim_clients WHERE tenant_id = $1 AND connection_id = $2 AND id = $3`

	sqlUsedSCIMConnection = `UPDATE scim_connections
SET last_request_at = $3, status = CASE WHEN status = 'pending' THEN 'linked' ELSE status END WHERE tenant_id = $1 AND id = $2`

	sqlSCIMSchemas = `SELECT definition, version, created_at, updated_at FROM scim_schemas WHERE tenant_id = $1 ORDER BY created_at, key`

	sqlSCIMSchema = `SELECT definition, version, created_at, updated_at FROM scim_schemas WHERE tenant_id = $1 AND key = $2`

	sqlPutSCIMSchema = `INSERT INTO scim_schemas (tenant_id, key, definition, version, created_at, updated_at) VALUES ($1, $2, $3, 1, $4, $4)
ON CONFLICT (tenant_id, key) DO UPDATE SET definition = excluded.definition, version = scim_schemas.version + 1, updated_at = excluded.updated_at`

	sqlDeleteSCIMSchema = `DELETE FROM scim_schemas WHERE tenant_id = $1 AND key = $2`

	// The tenant's row also makes changes of its schemas wait for each other.
	sqlBumpSCIMSchemas = `UPDATE tenants SET scim_schema_version = scim_schema_version + 1 WHERE environment_id = $1 AND id = $2 AND deleted_at IS NULL`
)

package tenants

// The statements on what is known of identity providers: their keys and the
// metadata at their addresses.
const (
	metadataColumns = `m.url, m.trusted_host, m.etag, m.fetched_at, m.tried_at, m.next_at, m.unknown_key_at, m.failures, m.error`

	sqlMetadata = `SELECT ` + metadataColumns + ` FROM sso_metadata m WHERE m.tenant_id = $1 AND m.connection_id = $2`

	sqlPutMetadata = `INSERT INTO sso_metadata (tenant_id, connection_id, url, trusted_host, next_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id, connection_id) DO UPDATE SET url = excluded.url, trusted_host = excluded.trusted_host, next_at = excluded.next_at,
etag = '', fetched_at = NULL, tried_at = NULL, unknown_key_at = NULL, failures = 0, error = ''`

	sqlDeleteMetadata = `DELETE FROM sso_metadata WHERE tenant_id = $1 AND connection_id = $2`

	// The refresh goes over every tenant's metadata; what is longest due comes first.
	sqlMetadataDue = `SELECT c.environment_id, m.tenant_id, m.connection_id, ` + metadataColumns + ` FROM sso_metadata m
JOIN sso_connections c ON c.tenant_id = m.tenant_id AND c.id = m.connection_id AND c.status <> 'disabled'
WHERE m.next_at <= $1 AND (m.next_at, m.connection_id) > ($2, $3) ORDER BY m.next_at, m.connection_id LIMIT $4`

	// Of replicas that ask for the same row at once, one changes it.
	sqlClaimMetadata = `UPDATE sso_metadata SET next_at = $3 WHERE tenant_id = $1 AND connection_id = $2 AND next_at = $4 AND url = $5`

	sqlAskMetadata = `UPDATE sso_metadata SET unknown_key_at = $3
WHERE tenant_id = $1 AND connection_id = $2 AND (unknown_key_at IS NULL OR unknown_key_at <= $4)`

	sqlMetadataRead = `UPDATE sso_metadata SET etag = $3, fetched_at = $4, tried_at = $4, next_at = $5, failures = 0, error = $6
WHERE tenant_id = $1 AND connection_id = $2`

	sqlMetadataFailed = `UPDATE sso_metadata SET tried_at = $3, next_at = $4, failures = failures + 1, error = $5
WHERE tenant_id = $1 AND connection_id = $2 AND url = $6`

	sqlTrustMetadata = `UPDATE sso_metadata SET trusted_host = $3, etag = '', next_at = $4 WHERE tenant_id = $1 AND connection_id = $2`

	sqlReadAgain = `UPDATE sso_metadata SET etag = '', next_at = $3 WHERE tenant_id = $1 AND connection_id = $2`

	sqlUpdateSSOSettings = `UPDATE sso_connections SET settings = $3, version = version + 1, updated_at = $4 WHERE tenant_id = $1 AND id = $2`
)

const (
	sqlIdPKeys = `SELECT spki, certificate, not_after, status, source, created_at FROM sso_idp_keys
WHERE tenant_id = $1 AND connection_id = $2 ORDER BY created_at, spki`

	sqlAddIdPKey = `INSERT INTO sso_idp_keys (tenant_id, connection_id, spki, certificate, not_after, status, source, created_at)
VALUES ($1, $2, $3, $4, $5, $6, 'metadata', $7)`

	// Another certificate of the key has dates of its own to warn about.
	sqlSetIdPKey = `UPDATE sso_idp_keys SET certificate = $4, status = $6, source = $7,
warned_days = CASE WHEN not_after = $5 THEN warned_days END, not_after = $5
WHERE tenant_id = $1 AND connection_id = $2 AND spki = $3`

	sqlDeleteIdPKey = `DELETE FROM sso_idp_keys WHERE tenant_id = $1 AND connection_id = $2 AND spki = $3`

	sqlDropPendingKeys = `DELETE FROM sso_idp_keys WHERE tenant_id = $1 AND connection_id = $2 AND status = 'pending'`
)

// The last threshold that a date has passed, in days; warned_days is the last
// that was told.
const (
	passedThreshold = `CASE WHEN k.not_after <= CAST($1 AS BIGINT) THEN 0
WHEN k.not_after <= CAST($1 AS BIGINT) + 86400000000 THEN 1 WHEN k.not_after <= CAST($1 AS BIGINT) + 259200000000 THEN 3
WHEN k.not_after <= CAST($1 AS BIGINT) + 604800000000 THEN 7 WHEN k.not_after <= CAST($1 AS BIGINT) + 1209600000000 THEN 14
WHEN k.not_after <= CAST($1 AS BIGINT) + 2592000000000 THEN 30 ELSE 60 END`

	expiringWhere = ` WHERE k.not_after <= CAST($1 AS BIGINT) + 5184000000000 AND (k.warned_days IS NULL OR k.warned_days > ` + passedThreshold + `)`

	// Warnings go over every tenant's certificates; each is then marked within its tenant.
	sqlExpiringCertificates = `SELECT c.environment_id, c.tenant_id, c.id, c.name, 'idp', k.spki, k.certificate, k.not_after, ` + passedThreshold + `,
CASE WHEN k.source = 'metadata' THEN COALESCE(m.url, '') ELSE '' END, COALESCE(m.trusted_host, ''), COALESCE(m.error, '')
FROM sso_idp_keys k JOIN sso_connections c ON c.tenant_id = k.tenant_id AND c.id = k.connection_id AND c.status = 'active'
LEFT JOIN sso_metadata m ON m.tenant_id = k.tenant_id AND m.connection_id = k.connection_id` + expiringWhere + ` AND k.status = 'trusted'
UNION ALL SELECT c.environment_id, c.tenant_id, c.id, c.name, 'sp', k.id, k.certificate, k.not_after, ` + passedThreshold + `, '', '', ''
FROM sso_sp_keys k JOIN sso_connections c ON c.tenant_id = k.tenant_id AND c.id = k.connection_id AND c.status = 'active'` + expiringWhere + ` AND k.state IN ('active', 'next')
ORDER BY 8, 3, 6 LIMIT $2`

	sqlWarnIdPKey = `UPDATE sso_idp_keys SET warned_days = $4
WHERE tenant_id = $1 AND connection_id = $2 AND spki = $3 AND not_after = $5 AND (warned_days IS NULL OR warned_days > $4)`

	sqlWarnSPKey = `UPDATE sso_sp_keys SET warned_days = $4
WHERE tenant_id = $1 AND connection_id = $2 AND id = $3 AND not_after = $5 AND (warned_days IS NULL OR warned_days > $4)`
)

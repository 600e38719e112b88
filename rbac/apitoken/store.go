package apitoken

import (
	"encoding/json"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

const tokenColumns = `k.id, k.tenant_id, k.environment_id, COALESCE(k.membership_id, ''), k.kind, k.description, k.metadata, k.last4,
 k.created_by, k.created_by_name, k.expires_at, k.last_used_at, k.last_used_ip, k.created_at`

// scanToken reads tokenColumns and then more.
func scanToken(row db.Row, t *Token, more ...any) error {
	var metadata string
	var expires, used, created db.Time
	err := row.Scan(append([]any{
		&t.ID, &t.Tenant, &t.Environment, &t.Membership, (*string)(&t.Kind), &t.Description, &metadata, &t.Last4,
		&t.CreatedBy, &t.CreatedByName, &expires, &used, &t.LastUsedIP, &created,
	}, more...)...)
	t.Metadata = json.RawMessage(metadata)
	t.ExpiresAt, t.LastUsedAt, t.CreatedAt = expires.Time, used.Time, created.Time
	return err
}

const (
	sqlInsert = `INSERT INTO api_tokens
(tenant_id, id, environment_id, membership_id, kind, description, metadata, hash, last4, created_by, created_by_name, expires_at, created_at)
VALUES ($1, $2, $3, NULLIF($4, ''), $5, $6, $7, $8, $9, $10, $11, $12, $13)`

	sqlInsertRole = `INSERT INTO api_token_roles (tenant_id, token_id, environment_id, role_owner, role_id) VALUES ($1, $2, $3, $4, $5)`

	sqlInsertPermissions = `INSERT INTO api_token_permissions (tenant_id, token_id, environment_id, permission_id)
SELECT $1, $2, p.environment_id, p.id FROM permissions p WHERE p.environment_id = $3 AND p.id IN (SELECT key FROM json_each($4))`

	// Of two that are made at once the second waits, and counts the first.
	sqlLockTenant = `SELECT id FROM tenants WHERE environment_id = $1 AND id = $2 AND deleted_at IS NULL`

	sqlLockMembership = `SELECT id FROM memberships WHERE tenant_id = $1 AND id = $2`

	sqlCount = `SELECT COUNT(*) FROM api_tokens WHERE tenant_id = $1 AND COALESCE(membership_id, '') = $2`

	sqlTokens = `SELECT ` + tokenColumns + ` FROM api_tokens k WHERE k.tenant_id = $1 AND k.membership_id IS NULL ORDER BY k.id`

	sqlPersonalTokens = `SELECT ` + tokenColumns + ` FROM api_tokens k WHERE k.tenant_id = $1 AND k.membership_id = $2 ORDER BY k.id`

	sqlToken = `SELECT ` + tokenColumns + ` FROM api_tokens k WHERE k.tenant_id = $1 AND k.id = $2 AND COALESCE(k.membership_id, '') = $3`

	sqlRoleIDs = `SELECT token_id, role_id FROM api_token_roles WHERE tenant_id = $1 ORDER BY token_id, role_id`

	sqlPermissionIDs = `SELECT token_id, permission_id FROM api_token_permissions WHERE tenant_id = $1 ORDER BY token_id, permission_id`

	sqlDelete = `DELETE FROM api_tokens WHERE tenant_id = $1 AND id = $2`
)

const (
	// The token with all that decides whether it lives, before the tenant is known.
	sqlFind = `SELECT ` + tokenColumns + `, k.hash, t.status, COALESCE(m.status, ''), m.disabled_at, m.hidden_at, m.expires_at,
 COALESCE(m.scim_resources, 0), COALESCE(m.scim_active, 0), COALESCE(m.email, ''), COALESCE(m.first_name, ''), COALESCE(m.last_name, ''),
 COALESCE(m.display_name, ''), COALESCE(u.id, ''), u.locked_at
FROM locators l
JOIN api_tokens k ON k.tenant_id = l.tenant_id AND k.id = l.id
JOIN tenants t ON t.environment_id = l.environment_id AND t.id = l.tenant_id AND t.deleted_at IS NULL
LEFT JOIN memberships m ON m.tenant_id = k.tenant_id AND m.id = k.membership_id
LEFT JOIN users u ON u.environment_id = m.environment_id AND u.id = m.user_id
WHERE l.kind = 'token' AND l.key = $1 AND l.environment_id = $2`

	// What a tenant token holds now. Custom roles and single permissions lose those
	// classified never, custom roles gain those classified always (product 113, 120).
	sqlPowers = `WITH granted AS MATERIALIZED (
  SELECT r.environment_id, r.owner_tenant_id, r.id, r.key, r.level FROM api_token_roles tr
  JOIN roles r ON r.environment_id = tr.environment_id AND r.owner_tenant_id = tr.role_owner AND r.id = tr.role_id
  WHERE tr.tenant_id = $1 AND tr.token_id = $2
)
SELECT 'role', key, level FROM granted
UNION ALL
SELECT DISTINCT 'permission', p.key, 0 FROM granted g
JOIN role_permissions rp ON rp.environment_id = g.environment_id AND rp.owner_tenant_id = g.owner_tenant_id AND rp.role_id = g.id
JOIN permissions p ON p.environment_id = rp.environment_id AND p.id = rp.permission_id
WHERE g.owner_tenant_id = '' OR p.classification <> 'never'
UNION ALL
SELECT DISTINCT 'permission', p.key, 0 FROM granted g
JOIN permissions p ON p.environment_id = g.environment_id AND p.classification = 'always'
WHERE g.owner_tenant_id <> ''
UNION ALL
SELECT 'permission', p.key, 0 FROM api_token_permissions tp
JOIN permissions p ON p.environment_id = tp.environment_id AND p.id = tp.permission_id
WHERE tp.tenant_id = $1 AND tp.token_id = $2 AND p.classification <> 'never'`

	// Requests that come at once write once.
	sqlUsed = `UPDATE api_tokens SET last_used_at = $3, last_used_ip = $4
WHERE tenant_id = $1 AND id = $2 AND (last_used_at IS NULL OR last_used_at <= $5)`

	// Tokens go with their memberships and leave their locators behind.
	sqlOrphans = `SELECT l.tenant_id, l.id FROM locators l
LEFT JOIN api_tokens k ON k.tenant_id = l.tenant_id AND k.id = l.id
WHERE l.kind = 'token' AND k.id IS NULL LIMIT $1`
)

package tenants

// The statements on the hierarchy of tenants, on lists of tenants, and on
// applications with those who may use them.

const (
	inOrder = ` AND (created_at, id) > ($2, $3) ORDER BY created_at, id LIMIT $4`

	// One list, four roads to it: each filter has an index of its own, and the most
	// selective one that is asked for leads ($5 status, $6 parent, $7 and $8 the
	// bounds of a prefix).
	sqlTenants = `SELECT ` + tenantColumns + ` FROM tenants WHERE environment_id = $1 AND deleted_at IS NULL` + inOrder

	sqlTenantsOfStatus = `SELECT ` + tenantColumns + ` FROM tenants WHERE environment_id = $1 AND deleted_at IS NULL AND status = $5` + inOrder

	sqlTenantsBelow = `SELECT ` + tenantColumns + ` FROM tenants
WHERE environment_id = $1 AND deleted_at IS NULL AND parent_id = $6 AND ($5 = '' OR status = $5)` + inOrder

	// Hits come first, else both engines go through all tenants in order, hoping to
	// meet a page of hits soon.
	sqlTenantsNamed = `WITH hits (hit) AS MATERIALIZED (
 SELECT n.id FROM tenants n WHERE n.environment_id = $1 AND n.deleted_at IS NULL AND n.name_key >= $7 AND n.name_key < $8
 UNION SELECT k.id FROM tenants k WHERE k.environment_id = $1 AND k.deleted_at IS NULL AND k.key >= $7 AND k.key < $8)
SELECT ` + tenantColumns + ` FROM hits CROSS JOIN tenants
WHERE environment_id = $1 AND id = hit AND deleted_at IS NULL AND ($6 = '' OR parent_id = $6) AND ($5 = '' OR status = $5)` + inOrder
)

const (
	sqlReparent = `UPDATE tenants SET parent_id = NULLIF($3, ''), version = version + 1, updated_at = $4
WHERE environment_id = $1 AND parent_id = $2 AND deleted_at IS NULL`

	sqlInsertClosure = `INSERT INTO tenant_closure (environment_id, ancestor_id, descendant_id, depth)
SELECT environment_id, ancestor_id, CAST($2 AS TEXT), depth + 1 FROM tenant_closure WHERE environment_id = $1 AND descendant_id = $3
UNION ALL SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($2 AS TEXT), 0`

	// Between what stood above and what stood below a deleted tenant, one step falls away.
	sqlShortenClosure = `UPDATE tenant_closure SET depth = depth - 1 WHERE environment_id = $1
AND ancestor_id IN (SELECT u.ancestor_id FROM tenant_closure u WHERE u.environment_id = $1 AND u.descendant_id = $2 AND u.depth > 0)
AND descendant_id IN (SELECT d.descendant_id FROM tenant_closure d WHERE d.environment_id = $1 AND d.ancestor_id = $2 AND d.depth > 0)`

	sqlMoveTenant = `UPDATE tenants SET parent_id = NULLIF($3, ''), version = version + 1, updated_at = $4 WHERE environment_id = $1 AND id = $2 AND deleted_at IS NULL`

	// A subtree leaves what stood above it …
	sqlDetachClosure = `DELETE FROM tenant_closure WHERE environment_id = $1
AND ancestor_id IN (SELECT u.ancestor_id FROM tenant_closure u WHERE u.environment_id = $1 AND u.descendant_id = $2 AND u.depth > 0)
AND descendant_id IN (SELECT d.descendant_id FROM tenant_closure d WHERE d.environment_id = $1 AND d.ancestor_id = $2)`

	// … and comes below the new parent, $3, and all that stand above that.
	sqlAttachClosure = `INSERT INTO tenant_closure (environment_id, ancestor_id, descendant_id, depth)
SELECT u.environment_id, u.ancestor_id, d.descendant_id, u.depth + d.depth + 1
FROM tenant_closure u JOIN tenant_closure d ON d.environment_id = u.environment_id AND d.ancestor_id = $2
WHERE u.environment_id = $1 AND u.descendant_id = $3`

	sqlIsDescendant = `SELECT depth FROM tenant_closure WHERE environment_id = $1 AND ancestor_id = $2 AND descendant_id = $3`

	// How far the tenant is from the top, and the deepest below it from the tenant.
	sqlHeights = `SELECT (SELECT COUNT(*) FROM tenant_closure WHERE environment_id = $1 AND descendant_id = $2),
(SELECT COALESCE(MAX(depth), 0) FROM tenant_closure WHERE environment_id = $1 AND ancestor_id = $3)`

	sqlCountChildren = `SELECT COUNT(*) FROM tenants WHERE environment_id = $1 AND parent_id = $2 AND deleted_at IS NULL`

	// Ids grow with time, so the order of the key is that of creation.
	sqlSubaccounts = `SELECT t.id, t.environment_id, t.key, COALESCE(t.parent_id, ''), t.name, t.status, t.subaccounts_enabled, t.subaccount_access, t.details, t.version,
t.created_at, t.updated_at, c.depth
FROM tenant_closure c JOIN tenants t ON t.environment_id = c.environment_id AND t.id = c.descendant_id AND t.deleted_at IS NULL
WHERE c.environment_id = $1 AND c.ancestor_id = $2 AND c.descendant_id > $3 AND c.depth > 0 AND c.depth <= $4
ORDER BY c.descendant_id LIMIT $5`
)

const (
	applicationColumns = `id, environment_id, name, type, secret_hash, settings, tenant_access, user_access, is_default, version, created_at, updated_at`

	sqlApplication = `SELECT ` + applicationColumns + ` FROM applications WHERE environment_id = $1 AND id = $2`

	sqlDefaultApplication = `SELECT ` + applicationColumns + ` FROM applications WHERE environment_id = $1 AND is_default`

	// What concerns several rows of an environment waits for its turn here: which
	// application is the default, and where tenants stand in the hierarchy.
	sqlLockEnvironment = `SELECT id FROM environments WHERE id = $1 AND deleted_at IS NULL`

	sqlApplications = `SELECT ` + applicationColumns + ` FROM applications
WHERE environment_id = $1 AND (created_at, id) > ($2, $3) ORDER BY created_at, id LIMIT $4`

	sqlInsertApplication = `INSERT INTO applications
(environment_id, id, name, type, secret_hash, settings, tenant_access, user_access, is_default, version, created_at, updated_at)
SELECT $1, $2, $3, $4, $5, $6, $8, $9, NOT EXISTS (SELECT 1 FROM applications a WHERE a.environment_id = $1 AND a.is_default), 1, CAST($7 AS BIGINT), CAST($7 AS BIGINT)
RETURNING is_default`

	sqlUpdateApplication = `UPDATE applications
SET name = $3, secret_hash = $4, settings = $5, is_default = $6, tenant_access = $8, user_access = $9, version = version + 1, updated_at = $7
WHERE environment_id = $1 AND id = $2`

	sqlClearDefaultApplication = `UPDATE applications SET is_default = FALSE WHERE environment_id = $1 AND is_default AND id <> $2`

	sqlDeleteApplication = `DELETE FROM applications WHERE environment_id = $1 AND id = $2`
)

// Of a tenant, and of a person in it. Services have no users.
const (
	openToTenant = ` a.environment_id = $2 AND a.type <> 'service' AND (a.tenant_access = 'all'
 OR EXISTS (SELECT 1 FROM application_tenants x WHERE x.tenant_id = $1 AND x.application_id = a.id))`

	openToUser = openToTenant + ` AND (a.user_access = 'all'
 OR EXISTS (SELECT 1 FROM application_users y JOIN memberships m ON m.tenant_id = y.tenant_id AND m.id = y.membership_id
  WHERE y.tenant_id = $1 AND m.user_id = $3 AND y.application_id = a.id))`

	sqlTenantApplications = `SELECT ` + applicationColumns + ` FROM applications a
WHERE` + openToTenant + ` AND (created_at, id) > ($3, $4) ORDER BY created_at, id LIMIT $5`

	sqlTenantApplication = `SELECT ` + applicationColumns + ` FROM applications a WHERE` + openToTenant + ` AND id = $3`

	sqlCountTenantApplications = `SELECT COUNT(*) FROM applications a WHERE` + openToTenant

	sqlUserApplications = `SELECT ` + applicationColumns + ` FROM applications a
WHERE` + openToUser + ` AND (created_at, id) > ($4, $5) ORDER BY created_at, id LIMIT $6`

	sqlCountUserApplications = `SELECT COUNT(*) FROM applications a WHERE` + openToUser

	sqlApplicationOpen = `SELECT EXISTS (SELECT 1 FROM application_tenants x WHERE x.tenant_id = $1 AND x.application_id = $2),
EXISTS (SELECT 1 FROM application_users y JOIN memberships m ON m.tenant_id = y.tenant_id AND m.id = y.membership_id
 WHERE y.tenant_id = $1 AND m.user_id = $3 AND y.application_id = $2)`

	sqlAssignTenant = `INSERT INTO application_tenants (tenant_id, application_id, environment_id, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`

	sqlUnassignTenant = `DELETE FROM application_tenants WHERE tenant_id = $1 AND application_id = $2`

	sqlAssignUser = `INSERT INTO application_users (tenant_id, membership_id, application_id, environment_id, created_at)
VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`

	sqlUnassignUser = `DELETE FROM application_users WHERE tenant_id = $1 AND membership_id = $2 AND application_id = $3`
)

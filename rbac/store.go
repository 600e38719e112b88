package rbac

// The statements of the package. Roles and permissions stand above tenants and
// lead with environment_id; assignments are a tenant's and have tenant_id as $1.

const (
	sqlCountBuiltin = `SELECT COUNT(*) FROM permissions WHERE environment_id = $1 AND builtin`

	sqlCountPermissions = `SELECT COUNT(*) FROM permissions WHERE environment_id = $1`

	sqlInsertCategory = `INSERT INTO permission_categories (environment_id, id, name, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`

	categoryColumns = `c.id, c.name, c.description, c.version, c.created_at,
(SELECT COUNT(*) FROM permissions p WHERE p.environment_id = c.environment_id AND p.category_id = c.id),
EXISTS (SELECT 1 FROM permissions p WHERE p.environment_id = c.environment_id AND p.category_id = c.id AND p.builtin)
FROM permission_categories c WHERE c.environment_id = $1`

	sqlCountCategories = `SELECT COUNT(*) FROM permission_categories WHERE environment_id = $1`

	sqlCategories = `SELECT ` + categoryColumns + ` ORDER BY c.name`

	sqlCategory = `SELECT ` + categoryColumns + ` AND c.id = $2`

	sqlLockCategory = `SELECT c.id FROM permission_categories c WHERE c.environment_id = $1 AND c.id = $2`

	sqlCreateCategory = `INSERT INTO permission_categories (environment_id, id, name, description, created_at) VALUES ($1, $2, $3, $4, $5)`

	sqlUpdateCategory = `UPDATE permission_categories SET name = $3, description = $4, version = version + 1 WHERE environment_id = $1 AND id = $2`

	sqlDeleteCategory = `DELETE FROM permission_categories WHERE environment_id = $1 AND id = $2`

	sqlInsertPermission = `INSERT INTO permissions
(environment_id, id, key, name, description, category_id, builtin, listed, classification, created_at, updated_at)
SELECT c.environment_id, $2, $3, $4, $5, c.id, CAST($6 AS BOOLEAN), CAST($7 AS BOOLEAN), $8, CAST($9 AS BIGINT), CAST($9 AS BIGINT)
FROM permission_categories c WHERE c.environment_id = $1 AND c.name = $10`

	sqlEnsurePermission = sqlInsertPermission + ` ON CONFLICT DO NOTHING`

	permissionColumns = `p.id, p.key, p.name, p.description, p.category_id, c.name, p.builtin, p.listed, p.classification, p.version, p.created_at, p.updated_at`

	permissionFrom = ` FROM permissions p
JOIN permission_categories c ON c.environment_id = p.environment_id AND c.id = p.category_id
WHERE p.environment_id = $1`

	sqlPermissions = `SELECT ` + permissionColumns + permissionFrom + ` ORDER BY c.name, p.key`

	sqlLockPermission = `SELECT p.id FROM permissions p WHERE p.environment_id = $1 AND p.id = $2`

	sqlPermission = `SELECT ` + permissionColumns + permissionFrom + ` AND p.id = $2`

	sqlPermissionsByKey = `SELECT ` + permissionColumns + permissionFrom + ` AND p.key IN (SELECT key FROM json_each($2)) ORDER BY p.key`

	sqlPermissionsByID = `SELECT ` + permissionColumns + permissionFrom + ` AND p.id IN (SELECT key FROM json_each($2)) ORDER BY p.key`

	sqlUpdatePermission = `UPDATE permissions SET name = $3, description = $4, updated_at = $5, version = version + 1,
category_id = (SELECT c.id FROM permission_categories c WHERE c.environment_id = $1 AND c.name = $6)
WHERE environment_id = $1 AND id = $2`

	sqlClassifyPermissions = `UPDATE permissions SET classification = $3, updated_at = $4, version = version + 1
WHERE environment_id = $1 AND id IN (SELECT key FROM json_each($2))`

	sqlDeletePermission = `DELETE FROM permissions WHERE environment_id = $1 AND id = $2`

	sqlCountCustomRoles = `SELECT COUNT(*) FROM roles WHERE environment_id = $1 AND owner_tenant_id <> ''`

	// How many custom roles hold one of a set of permissions.
	sqlCountCustomRolesWith = `SELECT COUNT(DISTINCT rp.role_id) FROM role_permissions rp
WHERE rp.environment_id = $1 AND rp.owner_tenant_id <> '' AND rp.permission_id IN (SELECT key FROM json_each($2))`

	sqlAlways = `SELECT p.key FROM permissions p WHERE p.environment_id = $1 AND p.classification = 'always' ORDER BY p.key`

	// The roles that hold a permission, those of one tenant's own apart.
	sqlRolesWith = `SELECT rp.role_id FROM role_permissions rp
WHERE rp.environment_id = $1 AND rp.permission_id = $2 AND rp.owner_tenant_id = '' ORDER BY rp.role_id`
)

const (
	roleColumns = `r.id, r.environment_id, r.owner_tenant_id, r.key, r.name, r.description, r.level, r.is_default, r.is_first_user, r.base_role_id,
r.version, r.created_at, r.updated_at`

	rolePermissionColumns = `, COALESCE(p.key, ''), COALESCE(p.classification, '')`

	sqlCountRoles = `SELECT COUNT(*) FROM roles WHERE environment_id = $1 AND owner_tenant_id = $2`

	// A key stands for one role in a tenant's tokens: a system role's key is no
	// tenant's, and a new system role's key none that a tenant uses.
	// The roles of a deleted tenant are absent with it.
	standing = `(r.owner_tenant_id = '' OR EXISTS (
 SELECT 1 FROM tenants t WHERE t.environment_id = r.environment_id AND t.id = r.owner_tenant_id AND t.deleted_at IS NULL))`

	sqlKeyTaken = `SELECT COUNT(*) FROM roles r WHERE r.environment_id = $1 AND r.key = $2 AND ($3 = '' OR r.owner_tenant_id IN ('', $3)) AND ` + standing

	sqlRoles = `SELECT ` + roleColumns + rolePermissionColumns + ` FROM roles r
LEFT JOIN role_permissions rp ON rp.environment_id = r.environment_id AND rp.owner_tenant_id = r.owner_tenant_id AND rp.role_id = r.id
LEFT JOIN permissions p ON p.environment_id = rp.environment_id AND p.id = rp.permission_id
WHERE r.environment_id = $1 AND r.owner_tenant_id IN ('', $2)
ORDER BY r.level, r.key, r.id, p.key`

	sqlRolesByID = `SELECT ` + roleColumns + rolePermissionColumns + ` FROM roles r
LEFT JOIN role_permissions rp ON rp.environment_id = r.environment_id AND rp.owner_tenant_id = r.owner_tenant_id AND rp.role_id = r.id
LEFT JOIN permissions p ON p.environment_id = rp.environment_id AND p.id = rp.permission_id
WHERE r.environment_id = $1 AND r.id IN (SELECT key FROM json_each($2))
ORDER BY r.id, p.key`

	// Every owner's role by its id: for actors above tenants.
	sqlRole = `SELECT ` + roleColumns + rolePermissionColumns + ` FROM roles r
LEFT JOIN role_permissions rp ON rp.environment_id = r.environment_id AND rp.owner_tenant_id = r.owner_tenant_id AND rp.role_id = r.id
LEFT JOIN permissions p ON p.environment_id = rp.environment_id AND p.id = rp.permission_id
WHERE r.environment_id = $1 AND r.id = $2 AND ($3 = '' OR r.owner_tenant_id IN ('', $3)) AND ` + standing + `
ORDER BY r.id, p.key`

	sqlLockRole = `SELECT r.id FROM roles r WHERE r.environment_id = $1 AND r.owner_tenant_id = $2 AND r.id = $3`

	sqlLockRoles = `SELECT r.id FROM roles r WHERE r.environment_id = $1 AND r.id IN (SELECT key FROM json_each($2)) ORDER BY r.id`

	sqlAddPermissionToRoles = `INSERT INTO role_permissions (environment_id, owner_tenant_id, role_id, permission_id)
SELECT r.environment_id, r.owner_tenant_id, r.id, $2 FROM roles r WHERE r.environment_id = $1 AND r.id IN (SELECT key FROM json_each($3))
ON CONFLICT DO NOTHING`

	sqlTouchRoles = `UPDATE roles SET version = version + 1, updated_at = $3
WHERE environment_id = $1 AND id IN (SELECT key FROM json_each($2))`

	sqlLockDefaults = `SELECT r.id FROM roles r WHERE r.environment_id = $1 AND r.owner_tenant_id = '' AND r.is_default ORDER BY r.id`

	sqlGrantable = `SELECT r.id, r.owner_tenant_id, r.key, r.level FROM roles r
WHERE r.environment_id = $1 AND r.owner_tenant_id IN ('', $2) AND r.id IN (SELECT key FROM json_each($3)) ORDER BY r.id`

	sqlInsertRole = `INSERT INTO roles
(environment_id, owner_tenant_id, id, key, name, description, level, is_default, is_first_user, base_role_id, version, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, $11, $11)`

	// A preset that somebody made at the same moment keeps the permissions it got.
	sqlInsertPreset = sqlInsertRole + ` ON CONFLICT DO NOTHING`

	sqlInsertPresetPermissions = `INSERT INTO role_permissions (environment_id, owner_tenant_id, role_id, permission_id)
SELECT p.environment_id, '', r.id, p.id FROM permissions p JOIN roles r ON r.environment_id = p.environment_id AND r.owner_tenant_id = '' AND r.key = $2
WHERE p.environment_id = $1 AND p.key IN (SELECT key FROM json_each($3)) ON CONFLICT DO NOTHING`

	sqlUpdateRole = `UPDATE roles SET name = $4, description = $5, level = $6, is_default = $7, is_first_user = $8, version = version + 1, updated_at = $9
WHERE environment_id = $1 AND owner_tenant_id = $2 AND id = $3`

	sqlDeleteRole = `DELETE FROM roles WHERE environment_id = $1 AND owner_tenant_id = $2 AND id = $3`

	sqlDeleteTenantRoles = `DELETE FROM roles WHERE environment_id = $1 AND owner_tenant_id = $2`

	sqlDeleteRolePermissions = `DELETE FROM role_permissions WHERE environment_id = $1 AND owner_tenant_id = $2 AND role_id = $3`

	sqlInsertRolePermissions = `INSERT INTO role_permissions (environment_id, owner_tenant_id, role_id, permission_id)
SELECT p.environment_id, $2, $3, p.id FROM permissions p WHERE p.environment_id = $1 AND p.key IN (SELECT key FROM json_each($4))`
)

// mappingID is how wide an id stands in the keys of sqlInsertMappings.
const mappingID = 40

// Assignments. A role is named with its owner, which the table holds to the
// tenant itself or nobody.
const (
	sqlDefaultRoles = `INSERT INTO membership_roles (tenant_id, membership_id, environment_id, role_owner, role_id, created_at)
SELECT $1, $2, r.environment_id, r.owner_tenant_id, r.id, CAST($4 AS BIGINT) FROM roles r
WHERE r.environment_id = $3 AND r.owner_tenant_id IN ('', $1) AND r.is_default ON CONFLICT DO NOTHING`

	sqlGrantedDefaults = `SELECT r.id, r.owner_tenant_id, r.key, r.level FROM roles r
WHERE r.environment_id = $1 AND r.owner_tenant_id IN ('', $2) AND r.is_default ORDER BY r.id`

	// Everybody of one tenant, or of the environment, gets a default role.
	sqlMigrateOwn = `INSERT INTO membership_roles (tenant_id, membership_id, environment_id, role_owner, role_id, created_at)
SELECT $1, m.id, m.environment_id, CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS BIGINT) FROM memberships m WHERE m.tenant_id = $1 ON CONFLICT DO NOTHING`

	sqlMigrateSystem = `INSERT INTO membership_roles (tenant_id, membership_id, environment_id, role_owner, role_id, created_at)
SELECT m.tenant_id, m.id, m.environment_id, '', CAST($2 AS TEXT), CAST($3 AS BIGINT) FROM memberships m WHERE m.environment_id = $1 ON CONFLICT DO NOTHING`

	sqlFirstUserRoles = `INSERT INTO membership_roles (tenant_id, membership_id, environment_id, role_owner, role_id, created_at)
SELECT $1, $2, r.environment_id, r.owner_tenant_id, r.id, CAST($4 AS BIGINT) FROM roles r
WHERE r.environment_id = $3 AND r.owner_tenant_id = '' AND r.is_first_user
AND NOT EXISTS (SELECT 1 FROM memberships m WHERE m.tenant_id = $1 AND m.id <> $2 AND m.status <> 'invited') ON CONFLICT DO NOTHING`

	sqlInsertMembershipRole = `INSERT INTO membership_roles (tenant_id, membership_id, environment_id, role_owner, role_id, created_at)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`

	sqlDeleteMembershipRole = `DELETE FROM membership_roles WHERE tenant_id = $1 AND membership_id = $2 AND role_id = $3`

	sqlMembershipRoles = `SELECT role_id FROM membership_roles WHERE tenant_id = $1 AND membership_id = $2 ORDER BY role_id`

	sqlLockMemberships = `SELECT id FROM memberships WHERE tenant_id = $1 AND id IN (SELECT key FROM json_each($2)) ORDER BY id`

	sqlGroup = `SELECT name FROM groups WHERE tenant_id = $1 AND id = $2`

	sqlGroupRoles = `SELECT role_id FROM group_roles WHERE tenant_id = $1 AND group_id = $2 ORDER BY role_id`

	sqlInsertGroupRole = `INSERT INTO group_roles (tenant_id, group_id, environment_id, role_owner, role_id, created_at)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`

	sqlDeleteGroupRole = `DELETE FROM group_roles WHERE tenant_id = $1 AND group_id = $2 AND role_id = $3`

	sqlSSOConnection = `SELECT name FROM sso_connections WHERE tenant_id = $1 AND id = $2`

	sqlConnectionRoles = `SELECT connection_id, role_id FROM sso_default_roles WHERE tenant_id = $1 ORDER BY connection_id, role_id`

	sqlInsertConnectionRole = `INSERT INTO sso_default_roles (tenant_id, connection_id, environment_id, role_owner, role_id)
VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`

	sqlDeleteConnectionRole = `DELETE FROM sso_default_roles WHERE tenant_id = $1 AND connection_id = $2 AND role_id = $3`

	sqlMappings = `SELECT group_name, connection_id, role_id FROM group_role_mappings WHERE tenant_id = $1 ORDER BY position, group_name, connection_id, role_id`

	sqlDeleteMappings = `DELETE FROM group_role_mappings WHERE tenant_id = $1`

	sqlDeleteConnectionMappings = `DELETE FROM group_role_mappings WHERE tenant_id = $1 AND connection_id = $2`

	// A key of the set is the role's id and the connection's, each filled up with
	// spaces to mappingID characters, and the name of the group.
	sqlInsertMappings = `INSERT INTO group_role_mappings (tenant_id, group_name, connection_id, environment_id, role_owner, role_id, position)
SELECT $1, SUBSTR(j.key, 81), RTRIM(SUBSTR(j.key, 41, 40)), r.environment_id, r.owner_tenant_id, r.id, CAST(CAST(j.value AS TEXT) AS BIGINT)
FROM json_each($3) j JOIN roles r ON r.environment_id = $2 AND r.owner_tenant_id IN ('', $1) AND r.id = RTRIM(SUBSTR(j.key, 1, 40))`

	sqlLockTenant = `SELECT id FROM tenants WHERE environment_id = $1 AND id = $2 AND deleted_at IS NULL`

	sqlConnections = `SELECT id FROM sso_connections WHERE tenant_id = $1 UNION ALL SELECT id FROM scim_connections WHERE tenant_id = $1`

	// The strongest role that membership of a group brings: its own roles, those of
	// the groups that it is nested in, and those mapped to their names.
	sqlGroupLevel = `WITH RECURSIVE up (group_id) AS (
  SELECT g.id FROM groups g WHERE g.tenant_id = $1 AND g.id = $2
  UNION
  SELECT gc.group_id FROM group_children gc JOIN up ON gc.child_id = up.group_id WHERE gc.tenant_id = $1
), granted (role_owner, role_id, environment_id) AS (
  SELECT gr.role_owner, gr.role_id, gr.environment_id FROM up JOIN group_roles gr ON gr.tenant_id = $1 AND gr.group_id = up.group_id
  UNION
  SELECT m.role_owner, m.role_id, m.environment_id FROM up JOIN groups g ON g.tenant_id = $1 AND g.id = up.group_id AND g.managed_by = 'scim'
  JOIN group_role_mappings m ON m.tenant_id = $1 AND m.group_name = g.name AND m.connection_id IN ('', g.connection_id)
)
SELECT COALESCE(MIN(r.level), 2147483647) FROM granted JOIN roles r ON r.environment_id = granted.environment_id AND r.owner_tenant_id = granted.role_owner AND r.id = granted.role_id`
)

// grantedHead gathers all that a membership is granted. Groups are flattened
// through their nesting. Names of groups that SCIM pushed or an assertion carried
// give roles by mapping; a disabled connection's assertions count for nothing. It
// ends in the condition on those of assertions.
const grantedHead = `WITH RECURSIVE member_of (group_id) AS (
  SELECT gm.group_id FROM group_members gm WHERE gm.tenant_id = $1 AND gm.membership_id = $2
  UNION
  SELECT gc.group_id FROM group_children gc JOIN member_of mo ON gc.child_id = mo.group_id WHERE gc.tenant_id = $1
), assignments (environment_id, role_owner, role_id, source) AS (
  SELECT mr.environment_id, mr.role_owner, mr.role_id, 'direct' FROM membership_roles mr WHERE mr.tenant_id = $1 AND mr.membership_id = $2
  UNION
  SELECT gr.environment_id, gr.role_owner, gr.role_id, 'group:' || g.name FROM member_of mo
  JOIN groups g ON g.tenant_id = $1 AND g.id = mo.group_id
  JOIN group_roles gr ON gr.tenant_id = $1 AND gr.group_id = mo.group_id
  UNION
  SELECT gm.environment_id, gm.role_owner, gm.role_id, 'group:' || g.name FROM member_of mo
  JOIN groups g ON g.tenant_id = $1 AND g.id = mo.group_id AND g.managed_by = 'scim'
  JOIN group_role_mappings gm ON gm.tenant_id = $1 AND gm.group_name = g.name AND gm.connection_id IN ('', g.connection_id)
  UNION
  SELECT d.environment_id, d.role_owner, d.role_id, 'connection:' || c.name FROM identities i
  JOIN sso_connections c ON c.tenant_id = $1 AND c.id = i.connection_id AND c.status <> 'disabled'
  JOIN sso_default_roles d ON d.tenant_id = $1 AND d.connection_id = i.connection_id
  WHERE i.tenant_id = $1 AND i.membership_id = $2
  UNION
  SELECT gm.environment_id, gm.role_owner, gm.role_id, 'group:' || ig.name FROM identities i
  JOIN sso_connections c ON c.tenant_id = $1 AND c.id = i.connection_id AND c.status <> 'disabled'
  JOIN identity_groups ig ON ig.tenant_id = $1 AND ig.identity_id = i.id
  JOIN group_role_mappings gm ON gm.tenant_id = $1 AND gm.group_name = ig.name AND gm.connection_id IN ('', i.connection_id)
  WHERE i.tenant_id = $1 AND i.membership_id = $2`

// sqlEffective gives what a membership is granted, in one statement: rows of kind
// role with their source, and rows of kind permission.
const sqlEffective = grantedHead + grantedTail

// sqlPreview is sqlEffective for what a login would bring: the membership, which
// may be none, with the groups of $4 in the place of those that the connection's
// last answer carried, unless $6 says that it carries none. Without a membership
// the environment's default roles stand in for the direct ones.
const sqlPreview = grantedHead + ` AND (i.connection_id <> $3 OR $6)
  UNION
  SELECT r.environment_id, r.owner_tenant_id, r.id, 'default' FROM roles r
  WHERE r.environment_id = $5 AND r.owner_tenant_id IN ('', $1) AND r.is_default AND $2 = ''
  UNION
  SELECT gm.environment_id, gm.role_owner, gm.role_id, 'group:' || gm.group_name FROM group_role_mappings gm
  WHERE gm.tenant_id = $1 AND gm.group_name IN (SELECT key FROM json_each($4)) AND gm.connection_id IN ('', $3)
  UNION
  SELECT d.environment_id, d.role_owner, d.role_id, 'connection:' || c.name FROM sso_default_roles d
  JOIN sso_connections c ON c.tenant_id = $1 AND c.id = d.connection_id
  WHERE d.tenant_id = $1 AND d.connection_id = $3` + grantedTail

// grantedTail turns assignments into rows of roles and rows of permissions. Custom
// roles lose permissions classified never and gain those classified always
// (product 113, 120).
const grantedTail = `
), granted AS MATERIALIZED (
  SELECT r.environment_id, r.owner_tenant_id, r.id, r.key, r.level, a.source FROM assignments a
  JOIN roles r ON r.environment_id = a.environment_id AND r.owner_tenant_id = a.role_owner AND r.id = a.role_id
)
SELECT 'role', id, key, level, source FROM granted
UNION ALL
SELECT DISTINCT 'permission', '', p.key, 0, '' FROM granted g
JOIN role_permissions rp ON rp.environment_id = g.environment_id AND rp.owner_tenant_id = g.owner_tenant_id AND rp.role_id = g.id
JOIN permissions p ON p.environment_id = rp.environment_id AND p.id = rp.permission_id
WHERE g.owner_tenant_id = '' OR p.classification <> 'never'
UNION ALL
SELECT DISTINCT 'permission', '', p.key, 0, '' FROM granted g
JOIN permissions p ON p.environment_id = g.environment_id AND p.classification = 'always'
WHERE g.owner_tenant_id <> ''`

// The members whom roles of the set reach, directly or through groups, their own or
// mapped, or through a connection. The conditions on memberships are those of
// signin's lifecycle check.
const sqlHolders = `WITH RECURSIVE role_groups (group_id) AS (
  SELECT gr.group_id FROM group_roles gr WHERE gr.tenant_id = $1 AND gr.role_id IN (SELECT key FROM json_each($2))
  UNION
  SELECT g.id FROM groups g JOIN group_role_mappings gm ON gm.tenant_id = $1 AND gm.group_name = g.name AND gm.connection_id IN ('', g.connection_id)
  WHERE g.tenant_id = $1 AND g.managed_by = 'scim' AND gm.role_id IN (SELECT key FROM json_each($2))
  UNION
  SELECT gc.child_id FROM group_children gc JOIN role_groups rg ON gc.group_id = rg.group_id WHERE gc.tenant_id = $1
)
SELECT m.id FROM memberships m
WHERE m.tenant_id = $1 AND m.disabled_at IS NULL AND m.hidden_at IS NULL AND m.status <> 'pending_approval'
AND (m.expires_at IS NULL OR m.expires_at > $3) AND (m.scim_resources = 0 OR m.scim_active > 0)
AND (EXISTS (SELECT 1 FROM membership_roles mr WHERE mr.tenant_id = $1 AND mr.membership_id = m.id AND mr.role_id IN (SELECT key FROM json_each($2)))
  OR EXISTS (SELECT 1 FROM group_members gm JOIN role_groups rg ON rg.group_id = gm.group_id WHERE gm.tenant_id = $1 AND gm.membership_id = m.id)
  OR EXISTS (SELECT 1 FROM identities i JOIN sso_connections c ON c.tenant_id = $1 AND c.id = i.connection_id AND c.status <> 'disabled'
    WHERE i.tenant_id = $1 AND i.membership_id = m.id AND (
      EXISTS (SELECT 1 FROM sso_default_roles d WHERE d.tenant_id = $1 AND d.connection_id = i.connection_id AND d.role_id IN (SELECT key FROM json_each($2)))
      OR EXISTS (SELECT 1 FROM identity_groups ig JOIN group_role_mappings gm ON gm.tenant_id = $1 AND gm.group_name = ig.name AND gm.connection_id IN ('', i.connection_id)
        WHERE ig.tenant_id = $1 AND ig.identity_id = i.id AND gm.role_id IN (SELECT key FROM json_each($2))))))
ORDER BY m.created_at, m.id LIMIT $4`

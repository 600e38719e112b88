package rbac

// Who holds a role. The vendor asks, so the statements read every tenant between
// $4 and $5, or one that is both; each begins behind ($6, $7).
const (
	// A deleted tenant holds nothing any more.
	heldIn = ` AND EXISTS (SELECT 1 FROM tenants t WHERE t.environment_id = $1 AND t.deleted_at IS NULL AND t.id = `

	sqlHeldByUsers = `SELECT mr.tenant_id, mr.membership_id, '', m.user_id, m.email FROM membership_roles mr
JOIN memberships m ON m.tenant_id = mr.tenant_id AND m.id = mr.membership_id
WHERE mr.environment_id = $1 AND mr.role_owner = $2 AND mr.role_id = $3 AND mr.tenant_id >= $4 AND mr.tenant_id <= $5
AND (mr.tenant_id, mr.membership_id) > ($6, $7) AND $8 = ''` + heldIn + `mr.tenant_id) ORDER BY mr.tenant_id, mr.membership_id LIMIT $9`

	sqlHeldByGroups = `SELECT gr.tenant_id, gr.group_id, '', gr.group_id, g.name FROM group_roles gr
JOIN groups g ON g.tenant_id = gr.tenant_id AND g.id = gr.group_id
WHERE gr.environment_id = $1 AND gr.role_owner = $2 AND gr.role_id = $3 AND gr.tenant_id >= $4 AND gr.tenant_id <= $5
AND (gr.tenant_id, gr.group_id) > ($6, $7) AND $8 = ''` + heldIn + `gr.tenant_id) ORDER BY gr.tenant_id, gr.group_id LIMIT $9`

	sqlHeldByConnections = `SELECT d.tenant_id, d.connection_id, '', d.connection_id, c.name FROM sso_default_roles d
JOIN sso_connections c ON c.tenant_id = d.tenant_id AND c.id = d.connection_id
WHERE d.environment_id = $1 AND d.role_owner = $2 AND d.role_id = $3 AND d.tenant_id >= $4 AND d.tenant_id <= $5
AND (d.tenant_id, d.connection_id) > ($6, $7) AND $8 = ''` + heldIn + `d.tenant_id) ORDER BY d.tenant_id, d.connection_id LIMIT $9`

	sqlHeldByMappings = `SELECT m.tenant_id, m.group_name, m.connection_id, m.connection_id, m.group_name FROM group_role_mappings m
WHERE m.environment_id = $1 AND m.role_owner = $2 AND m.role_id = $3 AND m.tenant_id >= $4 AND m.tenant_id <= $5
AND (m.tenant_id, m.group_name, m.connection_id) > ($6, $7, $8)` + heldIn + `m.tenant_id) ORDER BY m.tenant_id, m.group_name, m.connection_id LIMIT $9`
)

// sqlStrongest gives the level of the strongest role that any of a set of
// memberships has from any source, as sqlEffective finds them.
const sqlStrongest = `WITH RECURSIVE member_of (group_id) AS (
  SELECT gm.group_id FROM group_members gm WHERE gm.tenant_id = $1 AND gm.membership_id IN (SELECT key FROM json_each($2))
  UNION
  SELECT gc.group_id FROM group_children gc JOIN member_of mo ON gc.child_id = mo.group_id WHERE gc.tenant_id = $1
), assignments (environment_id, role_owner, role_id) AS (
  SELECT mr.environment_id, mr.role_owner, mr.role_id FROM membership_roles mr WHERE mr.tenant_id = $1 AND mr.membership_id IN (SELECT key FROM json_each($2))
  UNION
  SELECT gr.environment_id, gr.role_owner, gr.role_id FROM member_of mo JOIN group_roles gr ON gr.tenant_id = $1 AND gr.group_id = mo.group_id
  UNION
  SELECT gm.environment_id, gm.role_owner, gm.role_id FROM member_of mo
  JOIN groups g ON g.tenant_id = $1 AND g.id = mo.group_id AND g.managed_by = 'scim'
  JOIN group_role_mappings gm ON gm.tenant_id = $1 AND gm.group_name = g.name AND gm.connection_id IN ('', g.connection_id)
  UNION
  SELECT d.environment_id, d.role_owner, d.role_id FROM identities i
  JOIN sso_connections c ON c.tenant_id = $1 AND c.id = i.connection_id AND c.status <> 'disabled'
  JOIN sso_default_roles d ON d.tenant_id = $1 AND d.connection_id = i.connection_id
  WHERE i.tenant_id = $1 AND i.membership_id IN (SELECT key FROM json_each($2))
  UNION
  SELECT gm.environment_id, gm.role_owner, gm.role_id FROM identities i
  JOIN sso_connections c ON c.tenant_id = $1 AND c.id = i.connection_id AND c.status <> 'disabled'
  JOIN identity_groups ig ON ig.tenant_id = $1 AND ig.identity_id = i.id
  JOIN group_role_mappings gm ON gm.tenant_id = $1 AND gm.group_name = ig.name AND gm.connection_id IN ('', i.connection_id)
  WHERE i.tenant_id = $1 AND i.membership_id IN (SELECT key FROM json_each($2))
)
SELECT COALESCE(MIN(r.level), 2147483647) FROM assignments a
JOIN roles r ON r.environment_id = a.environment_id AND r.owner_tenant_id = a.role_owner AND r.id = a.role_id`

// sqlOfRoles is sqlEffective for roles that stand on something else than a person.
const sqlOfRoles = `WITH assignments (environment_id, role_owner, role_id, source) AS (
  SELECT r.environment_id, r.owner_tenant_id, r.id, 'token' FROM roles r
  WHERE r.environment_id = $1 AND r.owner_tenant_id IN ('', $2) AND r.id IN (SELECT key FROM json_each($3))` + grantedTail

package directory

const groupColumns = `g.id, g.tenant_id, g.name, g.description, g.color, g.metadata, g.managed_by, g.connection_id, g.version, g.created_at, g.updated_at`

const (
	sqlInsertGroup = `INSERT INTO groups
(tenant_id, id, name, name_key, description, color, metadata, managed_by, connection_id, version, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, $10)`

	sqlGroup = `SELECT ` + groupColumns + ` FROM groups g WHERE g.tenant_id = $1 AND g.id = $2`

	sqlGroups = `SELECT ` + groupColumns + ` FROM groups g WHERE g.tenant_id = $1
AND g.name_key >= $2 AND g.name_key < $3 AND (g.name_key, g.id) > ($4, $5) ORDER BY g.name_key, g.id LIMIT $6`

	sqlTouchGroup = `UPDATE groups SET version = version + 1, updated_at = $3 WHERE tenant_id = $1 AND id = $2`

	// The memberships of people who are named by their user ids.
	sqlMembershipsOfUsers = `SELECT m.id, m.user_id FROM memberships m WHERE m.tenant_id = $1 AND m.user_id IN (SELECT key FROM json_each($2)) ORDER BY m.id`

	sqlUpdateGroup = `UPDATE groups SET name = $3, name_key = $4, description = $5, color = $6, metadata = $7, version = version + 1, updated_at = $8
WHERE tenant_id = $1 AND id = $2`

	sqlDropGroup = `DELETE FROM groups WHERE tenant_id = $1 AND id = $2`

	memberName = `CASE WHEN m.display_name <> '' THEN m.display_name WHEN m.first_name <> '' OR m.last_name <> '' THEN TRIM(m.first_name || ' ' || m.last_name) ELSE m.email END`

	sqlMembersOf = `SELECT m.id, m.user_id, m.email, ` + memberName + `
FROM group_members x JOIN memberships m ON m.tenant_id = x.tenant_id AND m.id = x.membership_id
WHERE x.tenant_id = $1 AND x.group_id = $2 AND x.membership_id > $3 ORDER BY x.membership_id LIMIT $4`

	// sqlWhoIsIn reads only the rows of the people asked for, however large the group is. It starts from
	// the set and finds each row by its key: without statistics PostgreSQL would read the tenant instead.
	sqlWhoIsIn = `SELECT k.id, k.who,
 (SELECT COUNT(*) FROM group_members x WHERE x.tenant_id = $1 AND x.group_id = $2 AND x.membership_id = k.id)
FROM (SELECT j.key AS id, (SELECT m.user_id || ' ' || m.email FROM memberships m WHERE m.tenant_id = $1 AND m.id = j.key) AS who
 FROM json_each($3) j LIMIT 20000) k WHERE k.who IS NOT NULL ORDER BY k.id`

	sqlAddMembers = `INSERT INTO group_members (tenant_id, group_id, membership_id, added_at)
SELECT $1, $2, key, CAST($3 AS BIGINT) FROM json_each($4) WHERE TRUE ON CONFLICT DO NOTHING`

	// sqlRemoveMembers finds each row by its whole key. The group comes out of the set, with a LIMIT that
	// PostgreSQL does not look behind: where it knows the group it takes the average size for that of all,
	// and reads a large group whole for one member.
	sqlRemoveMembers = `DELETE FROM group_members WHERE tenant_id = $1 AND (group_id, membership_id) IN (
 SELECT CAST($2 AS TEXT), key FROM json_each($3) LIMIT 20000)`

	sqlLeaveGroupsOf = `DELETE FROM group_members WHERE tenant_id = $1 AND membership_id = $2 AND group_id IN (
 SELECT g.id FROM groups g WHERE g.tenant_id = $1 AND g.managed_by = 'scim' AND g.connection_id = $3)`

	sqlAddChildren = `INSERT INTO group_children (tenant_id, group_id, child_id, added_at)
SELECT $1, $2, g.id, CAST($3 AS BIGINT) FROM groups g WHERE g.tenant_id = $1 AND g.id IN (SELECT key FROM json_each($4))
ON CONFLICT DO NOTHING RETURNING child_id`

	sqlRemoveChildren = `DELETE FROM group_children WHERE tenant_id = $1 AND group_id = $2 AND child_id IN (SELECT key FROM json_each($3))
RETURNING child_id`

	// sqlLockNesting serialises changes of a tenant's nesting on the tenant's closure row of itself,
	// which nothing references.
	sqlLockNesting = `UPDATE tenant_closure SET depth = depth WHERE environment_id = $1 AND ancestor_id = $2 AND descendant_id = $2`

	// sqlNesting measures the longest ways down and up from a group, to one level more than is allowed,
	// and whether a way leads back.
	sqlNesting = `WITH RECURSIVE down(id, depth) AS (
 SELECT child_id, CAST(1 AS BIGINT) FROM group_children WHERE tenant_id = $1 AND group_id = $2
 UNION SELECT c.child_id, d.depth + 1 FROM down d JOIN group_children c ON c.tenant_id = $1 AND c.group_id = d.id
 WHERE d.depth <= $3 AND d.id <> $2),
up(id, depth) AS (
 SELECT group_id, CAST(1 AS BIGINT) FROM group_children WHERE tenant_id = $1 AND child_id = $2
 UNION SELECT c.group_id, u.depth + 1 FROM up u JOIN group_children c ON c.tenant_id = $1 AND c.child_id = u.id
 WHERE u.depth <= $3 AND u.id <> $2)
SELECT COALESCE((SELECT MAX(depth) FROM down), 0), COALESCE((SELECT MAX(depth) FROM up), 0),
 EXISTS (SELECT 1 FROM down WHERE id = $2)`
)

package scim

import (
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// row is a resource as scim_resources holds it.
type row struct {
	ID                string
	Membership, Group string // the one that the kind has
	Version           int64
	Created, Modified time.Time
	Doc               string // JSON in stored form, see package schema
}

const resourceColumns = `r.id, COALESCE(r.membership_id, ''), COALESCE(r.group_id, ''), r.version, r.created, r.modified, r.doc`

func (r *row) scan(rows db.Row, more ...any) error {
	var created, modified db.Time
	err := rows.Scan(append([]any{&r.ID, &r.Membership, &r.Group, &r.Version, &created, &modified, &r.Doc}, more...)...)
	r.Created, r.Modified = created.Time, modified.Time
	return err
}

const (
	sqlInsertResource = `INSERT INTO scim_resources
(tenant_id, connection_id, id, kind, membership_id, group_id, user_name_key, external_id, display_name_key, active, version, created, modified, doc)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, $11, $11, $12)`

	sqlUpdateResource = `UPDATE scim_resources
SET user_name_key = $4, external_id = $5, display_name_key = $6, active = $7, version = version + 1, modified = $8, doc = $9
WHERE tenant_id = $1 AND connection_id = $2 AND id = $3`

	sqlTouchResource = `UPDATE scim_resources SET version = version + 1, modified = $4
WHERE tenant_id = $1 AND connection_id = $2 AND id = $3`

	// sqlTouchGroupsOf is sqlTouchResource for the groups that list a user. The
	// connection is compared in a CASE for the reason of sqlResolveMembers.
	sqlTouchGroupsOf = `UPDATE scim_resources SET version = version + 1, modified = $4
WHERE tenant_id = $1 AND CASE WHEN connection_id = $2 THEN TRUE ELSE FALSE END AND group_id IN (
 SELECT x.group_id FROM scim_resources r CROSS JOIN group_members x
 WHERE r.tenant_id = $1 AND r.connection_id = $2 AND r.id = $3 AND x.tenant_id = $1 AND x.membership_id = r.membership_id)
RETURNING group_id, (SELECT n.name FROM groups n WHERE n.tenant_id = scim_resources.tenant_id AND n.id = scim_resources.group_id)`

	// sqlTouchGroupsAround is sqlTouchResource for the groups that list a group.
	sqlTouchGroupsAround = `UPDATE scim_resources SET version = version + 1, modified = $4
WHERE tenant_id = $1 AND CASE WHEN connection_id = $2 THEN TRUE ELSE FALSE END AND group_id IN (
 SELECT x.group_id FROM scim_resources r CROSS JOIN group_children x
 WHERE r.tenant_id = $1 AND r.connection_id = $2 AND r.id = $3 AND x.tenant_id = $1 AND x.child_id = r.group_id)`

	sqlDeleteResource = `DELETE FROM scim_resources WHERE tenant_id = $1 AND connection_id = $2 AND id = $3`

	sqlInsertValue = `INSERT INTO scim_values (tenant_id, connection_id, resource_id, attr, value_key) VALUES ($1, $2, $3, $4, $5)`

	sqlDropValues = `DELETE FROM scim_values WHERE tenant_id = $1 AND connection_id = $2 AND resource_id = $3`

	sqlCount = `INSERT INTO counts (tenant_id, connection_id, kind, slot, n) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id, connection_id, kind, slot) DO UPDATE SET n = counts.n + excluded.n`

	sqlTotal = `SELECT CAST(COALESCE(SUM(c.n), 0) AS BIGINT) FROM counts c WHERE c.tenant_id = $1 AND c.connection_id = $2 AND c.kind = $3`
)

// nullable stores an empty key as NULL: several resources may lack it.
func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}

const (
	sqlResource = `SELECT ` + resourceColumns + ` FROM scim_resources r
WHERE r.tenant_id = $1 AND r.connection_id = $2 AND r.id = $3 AND r.kind = $4`

	// sqlLockUser locks the resource and its membership, so that two
	// connections that change one person wait for each other.
	sqlLockUser = `SELECT ` + resourceColumns + `, m.user_id, m.scim_resources, m.scim_active
FROM scim_resources r JOIN memberships m ON m.tenant_id = r.tenant_id AND m.id = r.membership_id
WHERE r.tenant_id = $1 AND r.connection_id = $2 AND r.id = $3 AND r.kind = 'User'`

	sqlLockGroup = `SELECT ` + resourceColumns + `, g.name, g.description, g.color, g.metadata, g.version
FROM scim_resources r JOIN groups g ON g.tenant_id = r.tenant_id AND g.id = r.group_id
WHERE r.tenant_id = $1 AND r.connection_id = $2 AND r.id = $3 AND r.kind = 'Group'`

	// sqlGroupsOf gives the groups of the connection that list a user. CROSS JOIN
	// keeps SQLite, which has no statistics, to the order in which it is written:
	// from the one user to his groups, and not through all of the connection.
	sqlGroupsOf = `SELECT r.id, g.id, n.name FROM scim_resources r
CROSS JOIN group_members x CROSS JOIN scim_resources g CROSS JOIN groups n
WHERE r.tenant_id = $1 AND r.connection_id = $2 AND r.id = $3
 AND x.tenant_id = r.tenant_id AND x.membership_id = r.membership_id
 AND g.tenant_id = x.tenant_id AND g.group_id = x.group_id AND g.connection_id = $2
 AND n.tenant_id = g.tenant_id AND n.id = g.group_id ORDER BY g.created, g.id`

	// sqlGroupsOfAll is sqlGroupsOf of a set of users, each user's together. The connection is compared
	// in a CASE for the reason that sqlResolveMembers has.
	sqlGroupsOfAll = `SELECT r.id, g.id, n.name FROM json_each($3) j CROSS JOIN scim_resources r
CROSS JOIN group_members x CROSS JOIN scim_resources g CROSS JOIN groups n
WHERE r.tenant_id = $1 AND r.id = j.key AND CASE WHEN r.connection_id = $2 THEN TRUE ELSE FALSE END
 AND x.tenant_id = r.tenant_id AND x.membership_id = r.membership_id
 AND g.tenant_id = x.tenant_id AND g.group_id = x.group_id AND g.connection_id = $2
 AND n.tenant_id = g.tenant_id AND n.id = g.group_id ORDER BY r.id, g.created, g.id`

	// sqlMembersOfAll gives the members of a set of groups, each group's together.
	sqlMembersOfAll = `SELECT r.id, u.id, u.kind FROM json_each($3) j CROSS JOIN scim_resources r
CROSS JOIN group_members x CROSS JOIN scim_resources u
WHERE r.tenant_id = $1 AND r.id = j.key AND CASE WHEN r.connection_id = $2 THEN TRUE ELSE FALSE END
 AND x.tenant_id = r.tenant_id AND x.group_id = r.group_id
 AND u.tenant_id = x.tenant_id AND u.membership_id = x.membership_id AND u.connection_id = $2
UNION ALL SELECT r.id, u.id, u.kind FROM json_each($3) j CROSS JOIN scim_resources r
CROSS JOIN group_children x CROSS JOIN scim_resources u
WHERE r.tenant_id = $1 AND r.id = j.key AND CASE WHEN r.connection_id = $2 THEN TRUE ELSE FALSE END
 AND x.tenant_id = r.tenant_id AND x.group_id = r.group_id
 AND u.tenant_id = x.tenant_id AND u.group_id = x.child_id AND u.connection_id = $2
ORDER BY 1`

	// sqlPeopleOf gives the next members of a group that are resources of the
	// connection, many in one row: a row of its own for each costs more than finding
	// it. It pages by people, of whom one may be several resources.
	sqlPeopleOf = `SELECT COUNT(*), COALESCE(string_agg(u.id, ' '), ''), COALESCE(MAX(m.membership_id), '') FROM (
 SELECT x.membership_id FROM group_members x
 WHERE x.tenant_id = $1 AND x.membership_id > $4 AND x.group_id = (
  SELECT r.group_id FROM scim_resources r WHERE r.tenant_id = $1 AND r.connection_id = $2 AND r.id = $3)
 ORDER BY x.membership_id LIMIT 20000) m
LEFT JOIN scim_resources u ON u.tenant_id = $1 AND u.connection_id = $2 AND u.membership_id = m.membership_id`

	// sqlGroupsIn gives the next groups in a group, in the form of sqlPeopleOf.
	sqlGroupsIn = `SELECT COUNT(*), COALESCE(string_agg(u.id, ' '), ''), COALESCE(MAX(m.child_id), '') FROM (
 SELECT x.child_id FROM group_children x
 WHERE x.tenant_id = $1 AND x.child_id > $4 AND x.group_id = (
  SELECT r.group_id FROM scim_resources r WHERE r.tenant_id = $1 AND r.connection_id = $2 AND r.id = $3)
 ORDER BY x.child_id LIMIT 20000) m
LEFT JOIN scim_resources u ON u.tenant_id = $1 AND u.connection_id = $2 AND u.group_id = m.child_id`

	// sqlResolveMembers finds the resources of the set, what they stand for, and whether they are in the
	// group of resource $3 already. The connection is compared in a CASE: as a condition it would let
	// PostgreSQL choose, before it has statistics, an index that knows the connection and not the id, and
	// read the connection once per key. CROSS JOIN has SQLite begin with the set.
	sqlResolveMembers = `SELECT r.id, r.kind, COALESCE(r.membership_id, ''), COALESCE(r.group_id, ''), COALESCE(m.user_id, ''), COALESCE(m.email, ''), x.membership_id IS NOT NULL
FROM json_each($4) j CROSS JOIN scim_resources r
LEFT JOIN memberships m ON m.tenant_id = r.tenant_id AND m.id = r.membership_id
LEFT JOIN group_members x ON x.tenant_id = r.tenant_id AND x.membership_id = r.membership_id AND x.group_id = (
 SELECT g.group_id FROM scim_resources g WHERE g.tenant_id = $1 AND g.id = $3 AND g.connection_id = $2)
WHERE r.tenant_id = $1 AND r.id = j.key AND CASE WHEN r.connection_id = $2 THEN TRUE ELSE FALSE END`

	// sqlPeopleIn reads a group's members whole, for a replacement.
	sqlPeopleIn = `SELECT m.id, m.user_id, m.email FROM group_members x
JOIN memberships m ON m.tenant_id = x.tenant_id AND m.id = x.membership_id
WHERE x.tenant_id = $1 AND x.group_id = $2`

	sqlChildrenOf = `SELECT x.child_id FROM group_children x WHERE x.tenant_id = $1 AND x.group_id = $2`

	sqlLockConnection = `SELECT c.id FROM scim_connections c WHERE c.tenant_id = $1 AND c.id = $2`

	sqlDisplayNameTaken = `SELECT COUNT(*) FROM scim_resources r
WHERE r.tenant_id = $1 AND r.connection_id = $2 AND r.display_name_key = $3 AND r.kind = 'Group' AND r.id <> $4`
)

func (c *call) insertResource(r row, k schema.Kind, keys schema.Keys, values []schema.ValueRow) []db.Stmt {
	stmts := []db.Stmt{{SQL: sqlInsertResource, Args: []any{
		c.conn.Tenant, c.conn.ID, r.ID, k.String(), nullable(r.Membership), nullable(r.Group),
		nullable(keys.UserName), nullable(keys.ExternalID), nullable(keys.DisplayName), keys.Active, db.At(r.Created), r.Doc,
	}}}
	stmts = append(stmts, c.insertValues(r.ID, values)...)
	return append(stmts, c.count(k, 1))
}

func (c *call) insertValues(resource string, values []schema.ValueRow) []db.Stmt {
	var stmts []db.Stmt
	for _, v := range values {
		stmts = append(stmts, db.Stmt{SQL: sqlInsertValue, Args: []any{c.conn.Tenant, c.conn.ID, resource, v.Attr, v.Key}})
	}
	return stmts
}

// count adds to one of sixteen rows, so that writers rarely meet.
func (c *call) count(k schema.Kind, delta int64) db.Stmt {
	return db.Stmt{SQL: sqlCount, Args: []any{c.conn.Tenant, c.conn.ID, k.String(), int64(c.h.slot()), delta}}
}

package staff

import (
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

const (
	keyColumns = `id, environment_id, name, role, hash, last4, created_by, created_by_name, expires_at, last_used_at, last_used_ip, created_at`

	sqlInsertKey = `INSERT INTO management_keys (environment_id, id, name, role, hash, last4, created_by, created_by_name, expires_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`

	sqlKey = `SELECT ` + keyColumns + ` FROM management_keys WHERE environment_id = $1 AND id = $2`

	sqlKeys = `SELECT ` + keyColumns + ` FROM management_keys WHERE environment_id = $1 ORDER BY created_at, id`

	sqlCountKeys = `SELECT COUNT(*) FROM management_keys WHERE environment_id = $1`

	// Requests that come at once write once.
	sqlUsedKey = `UPDATE management_keys SET last_used_at = $3, last_used_ip = $4
WHERE environment_id = $1 AND id = $2 AND (last_used_at IS NULL OR last_used_at <= $5)`

	sqlDeleteKey = `DELETE FROM management_keys WHERE environment_id = $1 AND id = $2`
)

// scanKey reads keyColumns. The roles stand in one column, separated by spaces.
func scanKey(r db.Row) (k Key, hash string, err error) {
	var roles string
	var expires, used, created db.Time
	err = r.Scan(&k.ID, &k.Environment, &k.Name, &roles, &hash, &k.Last4, &k.CreatedBy, &k.CreatedByName, &expires, &used, &k.LastUsedIP, &created)
	k.Roles = strings.Fields(roles)
	k.ExpiresAt, k.LastUsedAt, k.CreatedAt = expires.Time, used.Time, created.Time
	return k, hash, err
}

const (
	personColumns = `p.id, p.email, p.name, p.status, p.version, p.created_at, p.updated_at`

	sqlInsertPerson = `INSERT INTO staff (id, email, email_key, name, status, version, created_at, updated_at)
VALUES ($1, $2, $3, $4, 'active', 1, $5, $5) ON CONFLICT DO NOTHING`

	sqlPerson = `SELECT ` + personColumns + ` FROM staff p WHERE p.id = $1`

	sqlPersonByEmail = `SELECT ` + personColumns + ` FROM staff p WHERE p.email_key = $1`

	sqlPeople = `SELECT ` + personColumns + ` FROM staff p
WHERE EXISTS (SELECT 1 FROM staff_roles r WHERE r.staff_id = p.id AND r.environment_id IN ('', $1))
AND (p.created_at, p.id) > ($2, $3) ORDER BY p.created_at, p.id LIMIT $4`

	sqlUpdatePerson = `UPDATE staff SET name = $2, status = $3, version = version + 1, updated_at = $4 WHERE id = $1`

	sqlTouchPerson = `UPDATE staff SET version = version + 1, updated_at = $2 WHERE id = $1`

	sqlDeletePerson = `DELETE FROM staff WHERE id = $1`

	// What somebody has in an environment that is no more counts for nothing.
	sqlRoles = `SELECT r.staff_id, r.environment_id, r.role FROM staff_roles r WHERE r.staff_id IN (SELECT key FROM json_each($1))
AND NOT EXISTS (SELECT 1 FROM environments e WHERE e.id = r.environment_id AND e.deleted_at IS NOT NULL)
ORDER BY r.staff_id, r.environment_id, r.role`

	sqlRolesGiven = `SELECT DISTINCT r.environment_id, r.role FROM staff_roles r`

	sqlInsertRole = `INSERT INTO staff_roles (staff_id, environment_id, role, created_at) VALUES ($1, $2, $3, $4)`

	sqlDeleteRoles = `DELETE FROM staff_roles WHERE staff_id = $1 AND environment_id = $2`

	sqlLockAdmins = `SELECT p.id FROM staff p WHERE p.id IN (SELECT r.staff_id FROM staff_roles r WHERE r.role = 'admin') ORDER BY p.id`

	// Those everywhere stand in for one of an environment, not the other way round.
	sqlOtherAdmins = `SELECT COUNT(*) FROM staff p WHERE p.id <> $2 AND p.status = 'active'
AND EXISTS (SELECT 1 FROM staff_roles r WHERE r.staff_id = p.id AND r.role = 'admin' AND r.environment_id IN ('', $1))`
)

const sqlIsDefault = `SELECT is_default FROM environments WHERE id = $1`

func scanPerson(row db.Row, p *Person) error {
	var created, updated db.Time
	err := row.Scan(&p.ID, &p.Email, &p.Name, &p.Status, &p.Version, &created, &updated)
	p.CreatedAt, p.UpdatedAt = created.Time, updated.Time
	return err
}

func scanPeople(rows db.Rows, err error) ([]Person, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []Person{}
	for rows.Next() {
		var p Person
		if err := scanPerson(rows, &p); err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, rows.Err()
}

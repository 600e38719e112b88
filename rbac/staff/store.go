package staff

import "github.com/gatehouse-id/gatehouse/internal/db"

const (
	columns = `id, environment_id, name, role, hash, last4, expires_at, last_used_at, created_at`

	sqlInsert = `INSERT INTO management_keys (environment_id, id, name, role, hash, last4, expires_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`

	sqlFind = `SELECT ` + columns + ` FROM management_keys WHERE environment_id = $1 AND id = $2`

	sqlList = `SELECT ` + columns + ` FROM management_keys WHERE environment_id = $1 ORDER BY created_at, id`

	sqlUsed = `UPDATE management_keys SET last_used_at = $3 WHERE environment_id = $1 AND id = $2`

	sqlDelete = `DELETE FROM management_keys WHERE environment_id = $1 AND id = $2`
)

func scan(r db.Row) (k Key, hash string, err error) {
	var expires, used, created db.Time
	err = r.Scan(&k.ID, &k.Environment, &k.Name, &k.Role, &hash, &k.Last4, &expires, &used, &created)
	k.ExpiresAt, k.LastUsedAt, k.CreatedAt = expires.Time, used.Time, created.Time
	return k, hash, err
}

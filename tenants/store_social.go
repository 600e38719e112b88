package tenants

// The statements on social connections, which are of an environment.

const (
	socialColumns = `id, kind, name, status, issuer, settings, secret, version, created_at, updated_at`

	sqlSocial = `SELECT ` + socialColumns + ` FROM social_connections WHERE environment_id = $1 AND id = $2`

	sqlSocials = `SELECT ` + socialColumns + ` FROM social_connections WHERE environment_id = $1 ORDER BY created_at, id LIMIT 100`

	sqlCountSocial = `SELECT COUNT(*) FROM social_connections WHERE environment_id = $1`

	sqlInsertSocial = `INSERT INTO social_connections
(environment_id, id, kind, name, status, issuer, settings, secret, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)`

	sqlUpdateSocial = `UPDATE social_connections
SET name = $3, status = $4, settings = $5, secret = $6, version = version + 1, updated_at = $7
WHERE environment_id = $1 AND id = $2`

	sqlDeleteSocial = `DELETE FROM social_connections WHERE environment_id = $1 AND id = $2`
)

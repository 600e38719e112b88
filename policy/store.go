package policy

// The statements of the package. Policies of an environment have an empty
// tenant_id, so the table leads with environment_id.
const (
	sqlLoad = `SELECT tenant_id, kind, body FROM policies WHERE environment_id = $1 AND tenant_id IN ('', $2)`

	sqlVersion = `SELECT version FROM policies WHERE environment_id = $1 AND tenant_id = $2 AND kind = $3`

	sqlPut = `INSERT INTO policies (environment_id, tenant_id, kind, body, version, updated_at) VALUES ($1, $2, $3, $4, 1, $5)
ON CONFLICT (environment_id, tenant_id, kind) DO UPDATE SET body = excluded.body, version = policies.version + 1, updated_at = excluded.updated_at`

	sqlDeleteTenant = `DELETE FROM policies WHERE environment_id = $1 AND tenant_id = $2`
)

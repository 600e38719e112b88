package tenants

// Statements of brandings.
const (
	sqlBranding = `SELECT name, accent, locale, logo_type, logo_hash, logo_width, logo_height, version, updated_at
FROM brandings WHERE tenant_id = $1 AND environment_id = $2`

	sqlPutBranding = `INSERT INTO brandings (tenant_id, environment_id, tenant_ref, name, accent, locale, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (tenant_id, environment_id) DO UPDATE
SET name = excluded.name, accent = excluded.accent, locale = excluded.locale, version = brandings.version + 1, updated_at = excluded.updated_at`

	sqlPutLogo = `INSERT INTO brandings (tenant_id, environment_id, tenant_ref, logo_type, logo_hash, logo_width, logo_height, logo, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (tenant_id, environment_id) DO UPDATE
SET logo_type = excluded.logo_type, logo_hash = excluded.logo_hash, logo_width = excluded.logo_width, logo_height = excluded.logo_height,
  logo = excluded.logo, version = brandings.version + 1, updated_at = excluded.updated_at`

	sqlDeleteBranding = `DELETE FROM brandings WHERE tenant_id = $1 AND environment_id = $2`

	sqlLogo = `SELECT logo_type, logo FROM brandings WHERE tenant_id = $1 AND environment_id = $2 AND logo_hash = $3`
)

package signin

const sqlFlowLook = `SELECT f.organization, f.tenant_id, f.ui_locales, coalesce(u.locale, '')
FROM flows f LEFT JOIN users u ON u.environment_id = f.environment_id AND u.id = f.user_id
WHERE f.environment_id = $1 AND f.id = $2 AND f.browser_hash = $3`

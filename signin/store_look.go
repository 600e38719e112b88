package signin

const sqlFlowLook = `SELECT f.organization, f.tenant_id, f.ui_locales, coalesce(u.locale, '')
FROM flows f LEFT JOIN users u ON u.environment_id = f.environment_id AND u.id = f.user_id
WHERE f.environment_id = $1 AND f.id = $2 AND f.browser_hash = $3`

const sqlLocaleByEmail = `SELECT locale FROM users WHERE environment_id = $1 AND email_key = $2 ORDER BY id LIMIT 1`

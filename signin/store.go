package signin

// The statements of the sign-in tables, and reads that join what stands below.
const (
	sqlInsertFlow = `INSERT INTO flows
		(environment_id, id, browser_hash, organization, tenant_id, connection_id, purpose, request, login_hint, force_authn, created_at, expires_at, link_hash, demand, ui_locales)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`

	sqlFlow = `SELECT id, browser_hash, organization, tenant_id, connection_id, purpose, request, login_hint, force_authn, session_id, created_at, expires_at, finished_at, link_hash, user_id, proof, demand, social
		FROM flows WHERE environment_id = $1 AND id = $2`

	// A flow that a link began becomes the browser's that opens it first.
	sqlBindFlow = `UPDATE flows SET browser_hash = $3
		WHERE environment_id = $1 AND id = $2 AND browser_hash = '' AND finished_at IS NULL`

	sqlChooseConnection = `UPDATE flows SET tenant_id = $3, connection_id = $4
		WHERE environment_id = $1 AND id = $2 AND finished_at IS NULL`

	sqlProveFlow = `UPDATE flows SET tenant_id = $3, user_id = $4, proof = $5, connection_id = $6
		WHERE environment_id = $1 AND id = $2 AND finished_at IS NULL`

	sqlFinishFlow = `UPDATE flows SET tenant_id = $3, connection_id = $4, session_id = $5, finished_at = $6, proof = '{}', social = ''
		WHERE environment_id = $1 AND id = $2 AND finished_at IS NULL`

	sqlInsertRequest = `INSERT INTO sso_requests
		(tenant_id, connection_id, key, environment_id, flow_id, secret, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`

	sqlRequest = `SELECT r.flow_id, COALESCE(f.purpose, ''), r.expires_at, r.used_at FROM sso_requests r
		LEFT JOIN flows f ON f.environment_id = r.environment_id AND f.id = r.flow_id
		WHERE r.tenant_id = $1 AND r.connection_id = $2 AND r.key = $3`

	sqlTakeRequest = `UPDATE sso_requests SET used_at = $4
		WHERE tenant_id = $1 AND connection_id = $2 AND key = $3 AND used_at IS NULL AND expires_at > $4
		RETURNING flow_id, secret, created_at`

	sqlInsertResult = `INSERT INTO sso_results
		(environment_id, hash, tenant_id, flow_id, identity, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`

	// An identity that waits for its person's word.
	sqlKeepSocial = `UPDATE flows SET social = $3 WHERE environment_id = $1 AND id = $2 AND finished_at IS NULL`

	sqlInsertSocialRequest = `INSERT INTO social_requests
		(environment_id, connection_id, key, flow_id, secret, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`

	sqlSocialRequest = `SELECT r.flow_id, COALESCE(f.purpose, ''), r.expires_at, r.used_at FROM social_requests r
		LEFT JOIN flows f ON f.environment_id = r.environment_id AND f.id = r.flow_id
		WHERE r.environment_id = $1 AND r.connection_id = $2 AND r.key = $3`

	sqlTakeSocialRequest = `UPDATE social_requests SET used_at = $4
		WHERE environment_id = $1 AND connection_id = $2 AND key = $3 AND used_at IS NULL AND expires_at > $4
		RETURNING flow_id, secret, created_at`

	// What a connection of the environment verified is of no tenant.
	sqlSocialResult = `SELECT flow_id, identity FROM sso_results
		WHERE environment_id = $1 AND hash = $2 AND used_at IS NULL AND expires_at > $3 AND tenant_id = ''`

	sqlTakeSocialResult = `UPDATE sso_results SET used_at = $3
		WHERE environment_id = $1 AND hash = $2 AND used_at IS NULL AND expires_at > $3 AND tenant_id = ''
		RETURNING flow_id, identity`

	sqlTakeResult = `UPDATE sso_results SET used_at = $3
		WHERE environment_id = $1 AND hash = $2 AND used_at IS NULL AND expires_at > $3 AND tenant_id <> ''
		RETURNING tenant_id, flow_id, identity`

	sqlFlowPurpose = `SELECT purpose FROM flows WHERE environment_id = $1 AND id = $2`

	sqlInsertLogin = `INSERT INTO logins
		(tenant_id, id, connection_id, flow_id, at, outcome, code, subject, email, checks, ip, purpose, detail)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`

	loginColumns = `id, connection_id, flow_id, at, outcome, code, subject, email, checks, ip, purpose, detail`

	sqlLogins = `SELECT ` + loginColumns + ` FROM logins
		WHERE tenant_id = $1 AND connection_id = $2 AND (at < $3 OR (at = $3 AND id < $4))
		AND ($6 = '' OR outcome = $6) AND ($7 = '' OR code = $7) AND ($8 = '' OR flow_id = $8) AND ($9 = '' OR purpose = $9)
		ORDER BY at DESC, id DESC LIMIT $5`

	sqlFlowLogins = `SELECT ` + loginColumns + ` FROM logins
		WHERE tenant_id = $1 AND flow_id = $2 AND connection_id = $3 ORDER BY at DESC, id DESC LIMIT 20`

	sqlTenantConnections = `SELECT c.id, c.type, c.name, t.id, t.name FROM sso_connections c
		JOIN tenants t ON t.id = c.tenant_id
		WHERE c.tenant_id = $1 AND c.status = 'active' AND t.status = 'active'
		ORDER BY c.created_at, c.id LIMIT 20`

	// Home realm discovery: the tenants of a domain are not known before it runs.
	sqlDomainConnections = `SELECT c.id, c.type, c.name, t.id, t.name FROM locators l
		JOIN domains d ON d.tenant_id = l.tenant_id AND d.id = l.id AND d.verified_at IS NOT NULL
		JOIN tenants t ON t.id = l.tenant_id AND t.status = 'active'
		JOIN sso_connections c ON c.tenant_id = l.tenant_id AND c.status = 'active'
		WHERE l.kind = 'domain' AND l.key = $1 AND l.environment_id = $2
		ORDER BY t.created_at, t.id, c.created_at, c.id LIMIT 20`

	sqlConnection = `SELECT c.tenant_id, c.id, c.type, c.name, c.status, c.jit, c.allow_unverified_domains, c.trust_idp_mfa, c.pairing, t.status, t.key, t.name
		FROM sso_connections c JOIN tenants t ON t.id = c.tenant_id AND t.environment_id = $3 AND t.deleted_at IS NULL
		WHERE c.tenant_id = $1 AND c.id = $2`

	sqlVerifiedDomains = `SELECT domain FROM domains WHERE tenant_id = $1 AND verified_at IS NOT NULL`

	sqlPerson = `SELECT t.status, t.key, m.id, m.status, m.disabled_at, m.hidden_at, m.expires_at, m.scim_resources, m.scim_active,
			m.email, m.first_name, m.last_name, m.display_name, u.name, u.locale, u.picture, u.email_key, u.email_verified, u.locked_at, c.status, m.metadata
		FROM memberships m
		JOIN users u ON u.environment_id = m.environment_id AND u.id = m.user_id
		JOIN tenants t ON t.id = m.tenant_id AND t.environment_id = m.environment_id AND t.deleted_at IS NULL
		LEFT JOIN sso_connections c ON c.tenant_id = m.tenant_id AND c.id = $4
		WHERE m.tenant_id = $1 AND m.user_id = $2 AND m.environment_id = $3`

	// What TokenStands asks: sqlPerson's conditions and the session's, and no more.
	sqlTokenStands = `SELECT t.status, m.status, m.disabled_at, m.hidden_at, m.expires_at, m.scim_resources, m.scim_active, u.locked_at, st.connection_id, c.status
		FROM session_tenants st
		JOIN sessions s ON s.environment_id = st.environment_id AND s.id = st.session_id AND s.ended_at IS NULL
		JOIN memberships m ON m.tenant_id = st.tenant_id AND m.user_id = s.user_id AND m.environment_id = st.environment_id
		JOIN users u ON u.environment_id = m.environment_id AND u.id = m.user_id
		JOIN tenants t ON t.id = m.tenant_id AND t.environment_id = m.environment_id AND t.deleted_at IS NULL
		LEFT JOIN sso_connections c ON c.tenant_id = st.tenant_id AND c.id = st.connection_id
		WHERE st.tenant_id = $1 AND st.session_id = $2 AND st.environment_id = $3 AND s.user_id = $4 AND st.ended_at IS NULL`

	// A login makes whoever switches a person off wait, so that its session ends
	// with the others, or finds that it was done.
	sqlLockPerson = `SELECT m.id FROM memberships m JOIN users u ON u.environment_id = m.environment_id AND u.id = m.user_id
		WHERE m.tenant_id = $1 AND m.user_id = $2 AND m.environment_id = $3`

	sqlLockTenant = `SELECT id FROM tenants WHERE environment_id = $1 AND id = $2 AND deleted_at IS NULL`

	sqlMembersByEmail = `SELECT user_id FROM memberships WHERE tenant_id = $1 AND email_key = $2 AND hidden_at IS NULL ORDER BY created_at, id LIMIT 10`

	sqlInsertBreakGlass = `INSERT INTO break_glass_links (environment_id, hash, tenant_id, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`

	sqlBreakGlass = `SELECT tenant_id, user_id FROM break_glass_links WHERE environment_id = $1 AND hash = $2 AND used_at IS NULL AND expires_at > $3`

	sqlTakeBreakGlass = `UPDATE break_glass_links SET used_at = $3 WHERE environment_id = $1 AND hash = $2 AND used_at IS NULL AND expires_at > $3
		RETURNING tenant_id, user_id`

	sqlRecipients = `SELECT m.email, m.display_name, m.first_name, m.last_name FROM memberships m
		WHERE m.tenant_id = $1 AND m.id IN (SELECT key FROM json_each($2)) ORDER BY m.created_at, m.id`

	sqlUserLocked = `SELECT locked_at FROM users WHERE environment_id = $1 AND id = $2`

	// The tenants that a person can enter, for the tenantIds claim; the conditions
	// are those of Check.
	sqlPersonTenants = `SELECT m.tenant_id FROM memberships m
		JOIN tenants t ON t.environment_id = m.environment_id AND t.id = m.tenant_id AND t.status = 'active'
		WHERE m.environment_id = $1 AND m.user_id = $2 AND m.status <> 'pending_approval' AND m.disabled_at IS NULL AND m.hidden_at IS NULL
		AND (m.expires_at IS NULL OR m.expires_at > $3) AND (m.scim_resources = 0 OR m.scim_active > 0)
		ORDER BY m.tenant_id LIMIT 1000`

	// The same, as a person chooses among them.
	sqlAccounts = `SELECT m.tenant_id, t.name FROM memberships m
		JOIN tenants t ON t.environment_id = m.environment_id AND t.id = m.tenant_id AND t.status = 'active'
		WHERE m.environment_id = $1 AND m.user_id = $2 AND m.status <> 'pending_approval' AND m.disabled_at IS NULL AND m.hidden_at IS NULL
		AND (m.expires_at IS NULL OR m.expires_at > $3) AND (m.scim_resources = 0 OR m.scim_active > 0)
		ORDER BY t.name, m.tenant_id LIMIT 200`

	// An organization that chose nothing counts too: there the environment's rules hold.
	sqlPersonRules = `SELECT t.id, COALESCE(p.kind, ''), COALESCE(p.body, '')
		FROM (SELECT '' AS id UNION SELECT $3 UNION SELECT m.tenant_id FROM memberships m WHERE m.environment_id = $1 AND m.user_id = $2) t
		LEFT JOIN policies p ON p.environment_id = $1 AND p.tenant_id = t.id AND p.kind IN ('lockout', 'password', 'mfa')
		ORDER BY t.id`
)

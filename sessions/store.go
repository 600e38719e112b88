package sessions

// Statements on session_tenants, a tenant table, take the tenant as $1; those
// on the other tables, which lead with the environment, take that. Statements
// that end parts of sessions share their arguments; see ending.go.

const sqlInsertSession = `INSERT INTO sessions
(environment_id, id, hash, user_id, amr, acr, auth_time, ip, user_agent, created_at, last_seen_at, idle_seconds, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11, $12)`

const sqlSatisfy = `INSERT INTO session_tenants
(tenant_id, session_id, environment_id, user_id, membership_id, connection_id, method, amr, acr, auth_time, upstream, satisfied_at, not_after, upstream_subject, social_connection_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
ON CONFLICT (tenant_id, session_id) DO UPDATE SET membership_id = excluded.membership_id, connection_id = excluded.connection_id,
 method = excluded.method, amr = excluded.amr, acr = excluded.acr, auth_time = excluded.auth_time, upstream = excluded.upstream,
 satisfied_at = excluded.satisfied_at, not_after = excluded.not_after,
 upstream_subject = excluded.upstream_subject, social_connection_id = excluded.social_connection_id, ended_at = NULL`

// sqlRenewSession gives a live session a new cookie, unless it is empty, and the
// strictest times.
const sqlRenewSession = `UPDATE sessions SET hash = CASE WHEN $3 = '' THEN hash ELSE $3 END, amr = $4, acr = $5, auth_time = $6,
 last_seen_at = CASE WHEN $3 = '' THEN last_seen_at ELSE $7 END,
 idle_seconds = CASE WHEN idle_seconds < $8 THEN idle_seconds ELSE $8 END,
 expires_at = CASE WHEN expires_at < created_at + $9 THEN expires_at ELSE created_at + $9 END
WHERE environment_id = $1 AND id = $2 AND user_id = $10 AND ended_at IS NULL AND expires_at > $7
 AND last_seen_at + idle_seconds * 1000000 > $7 AND EXISTS (
  SELECT 1 FROM session_tenants l WHERE l.environment_id = sessions.environment_id AND l.session_id = sessions.id AND l.ended_at IS NULL)`

const sessionColumns = `s.id, s.user_id, s.amr, s.acr, s.auth_time, s.created_at, s.last_seen_at, s.idle_seconds, s.expires_at`

const proofColumns = `COALESCE(t.tenant_id, ''), COALESCE(t.membership_id, ''), COALESCE(t.connection_id, ''), COALESCE(t.method, ''),
 COALESCE(t.amr, '[]'), COALESCE(t.acr, ''), t.auth_time, t.satisfied_at, t.not_after, COALESCE(t.upstream, ''), COALESCE(t.upstream_subject, ''), COALESCE(t.social_connection_id, '')`

// sqlFindSession refuses a session whose last parts two transactions ended at
// once, neither of which saw that nothing was left.
const sqlFindSession = `SELECT ` + sessionColumns + `, ` + proofColumns + `
FROM sessions s LEFT JOIN session_tenants t ON t.environment_id = s.environment_id AND t.session_id = s.id
 AND t.ended_at IS NULL AND (t.not_after IS NULL OR t.not_after > $3)
WHERE s.environment_id = $1 AND s.hash = $2 AND s.ended_at IS NULL AND s.expires_at > $3
 AND s.last_seen_at + s.idle_seconds * 1000000 > $3 AND EXISTS (
  SELECT 1 FROM session_tenants l WHERE l.environment_id = s.environment_id AND l.session_id = s.id AND l.ended_at IS NULL)
ORDER BY t.satisfied_at, t.tenant_id`

// sqlLiveSession is sqlFindSession by the session's id.
const sqlLiveSession = `SELECT ` + sessionColumns + `, ` + proofColumns + `
FROM sessions s LEFT JOIN session_tenants t ON t.environment_id = s.environment_id AND t.session_id = s.id
 AND t.ended_at IS NULL AND (t.not_after IS NULL OR t.not_after > $3)
WHERE s.environment_id = $1 AND s.id = $2 AND s.ended_at IS NULL AND s.expires_at > $3
 AND s.last_seen_at + s.idle_seconds * 1000000 > $3 AND EXISTS (
  SELECT 1 FROM session_tenants l WHERE l.environment_id = s.environment_id AND l.session_id = s.id AND l.ended_at IS NULL)
ORDER BY t.satisfied_at, t.tenant_id`

const sqlTouchSession = `UPDATE sessions SET last_seen_at = $3 WHERE environment_id = $1 AND id = $2 AND last_seen_at < $3`

// sqlGrantSession is the tenant's part of a session for a token: not ended;
// whether it has expired is the caller's to judge.
const sqlGrantSession = `SELECT ` + sessionColumns + `, ` + proofColumns + `
FROM session_tenants t JOIN sessions s ON s.environment_id = t.environment_id AND s.id = t.session_id
WHERE t.tenant_id = $1 AND t.session_id = $2 AND t.environment_id = $3 AND t.ended_at IS NULL AND s.ended_at IS NULL`

// The same for what a code or a refresh token was issued for.
const (
	sqlGrantCode = `SELECT ` + sessionColumns + `, ` + proofColumns + `
FROM auth_codes c JOIN session_tenants t ON t.tenant_id = c.tenant_id AND t.session_id = c.session_id AND t.ended_at IS NULL
 JOIN sessions s ON s.environment_id = c.environment_id AND s.id = c.session_id AND s.ended_at IS NULL
WHERE c.environment_id = $1 AND c.hash = $2`
	sqlGrantFamily = `SELECT ` + sessionColumns + `, ` + proofColumns + `
FROM refresh_families f JOIN session_tenants t ON t.tenant_id = f.tenant_id AND t.session_id = f.session_id AND t.ended_at IS NULL
 JOIN sessions s ON s.environment_id = f.environment_id AND s.id = f.session_id AND s.ended_at IS NULL
WHERE f.environment_id = $1 AND f.id = $2`
)

// Two logins of one person wait for each other while they count sessions.
const (
	sqlLockLimitPostgres = `SELECT pg_advisory_xact_lock(hashtextextended($1 || '/' || $2, 7))`
	sqlLockLimitSQLite   = `SELECT 1 WHERE $1 = $2` // the transaction is alone already
)

// sqlEndExcess ends the live parts beside that of session $4 but for the newest
// $5. What expired keeps its refresh tokens, as it would without a limit. Who
// impersonates the person takes no room from him.
const sqlEndExcess = `UPDATE session_tenants SET ended_at = $2
WHERE tenant_id = $1 AND user_id = $3 AND ended_at IS NULL AND session_id IN (
  SELECT t.session_id FROM session_tenants t JOIN sessions s ON s.environment_id = t.environment_id AND s.id = t.session_id
  WHERE t.tenant_id = $1 AND t.user_id = $3 AND t.session_id <> $4 AND t.method <> 'impersonation' AND t.ended_at IS NULL AND (t.not_after IS NULL OR t.not_after > $2)
   AND s.ended_at IS NULL AND s.expires_at > $2 AND s.last_seen_at + s.idle_seconds * 1000000 > $2
  ORDER BY t.satisfied_at DESC, t.session_id DESC LIMIT 2147483647 OFFSET $5)`

// What a selector meets, by the index that leads there; the rest is filtered.
// Arguments: $1 tenant (environment where none is named), $3 user, $4 session,
// $5 connection, $6 what the identity provider calls its session. The last three cross tenants.
const (
	whereUser         = `tenant_id = $1 AND user_id = $3 AND ($4 = '' OR session_id = $4) AND ($5 = '' OR connection_id = $5) AND ($6 = '' OR upstream = $6)`
	whereSession      = `tenant_id = $1 AND session_id = $4 AND ($3 = '' OR user_id = $3) AND ($5 = '' OR connection_id = $5) AND ($6 = '' OR upstream = $6)`
	whereConnection   = `tenant_id = $1 AND connection_id = $5 AND ($3 = '' OR user_id = $3) AND ($4 = '' OR session_id = $4) AND ($6 = '' OR upstream = $6)`
	whereTenant       = `tenant_id = $1 AND ($3 = '' OR user_id = $3) AND ($4 = '' OR session_id = $4) AND ($5 = '' OR connection_id = $5) AND ($6 = '' OR upstream = $6)`
	whereSocial       = `environment_id = $1 AND social_connection_id = $5 AND social_connection_id <> '' AND ($3 = '' OR user_id = $3) AND $4 = '' AND $6 = ''`
	whereEveryUser    = `environment_id = $1 AND session_id IN (SELECT id FROM sessions WHERE environment_id = $1 AND user_id = $3) AND ($4 = '' OR session_id = $4) AND ($5 = '' OR connection_id = $5) AND ($6 = '' OR upstream = $6)`
	whereEverySession = `environment_id = $1 AND session_id = $4 AND ($3 = '' OR user_id = $3) AND ($5 = '' OR connection_id = $5) AND ($6 = '' OR upstream = $6)`
)

// Ending goes through four tables. The first statement marks with $2, the time;
// the others follow the mark. $7 is the environment, $8 the reason. Where no
// tenant is named, the first tells whose parts they were.
const (
	endParts    = `UPDATE session_tenants SET ended_at = $2 WHERE ended_at IS NULL AND `
	endFamilies = `UPDATE refresh_families SET revoked_at = $2, revoke_reason = $8
WHERE environment_id = $7 AND revoked_at IS NULL AND (tenant_id, session_id) IN (
  SELECT tenant_id, session_id FROM session_tenants WHERE ended_at = $2 AND `
	endClients = `UPDATE session_clients SET ended_at = $2
WHERE environment_id = $7 AND ended_at IS NULL AND (tenant_id, session_id) IN (
  SELECT tenant_id, session_id FROM session_tenants WHERE ended_at = $2 AND `
	endSessions = `UPDATE sessions SET ended_at = $2, end_reason = $8
WHERE environment_id = $7 AND ended_at IS NULL AND id IN (
  SELECT session_id FROM session_tenants WHERE ended_at = $2 AND `
	endSessionsTail = `) AND NOT EXISTS (
  SELECT 1 FROM session_tenants l WHERE l.environment_id = sessions.environment_id AND l.session_id = sessions.id AND l.ended_at IS NULL)`
)

const (
	sqlEndPartsByUser         = endParts + whereUser
	sqlEndPartsBySession      = endParts + whereSession
	sqlEndPartsByConnection   = endParts + whereConnection
	sqlEndPartsByTenant       = endParts + whereTenant
	sqlEndPartsByEveryUser    = endParts + whereEveryUser + ` RETURNING tenant_id, user_id`
	sqlEndPartsByEverySession = endParts + whereEverySession + ` RETURNING tenant_id, user_id`
	sqlEndPartsBySocial       = endParts + whereSocial + ` RETURNING tenant_id, user_id`

	sqlEndFamiliesByUser         = endFamilies + whereUser + `)`
	sqlEndFamiliesBySession      = endFamilies + whereSession + `)`
	sqlEndFamiliesByConnection   = endFamilies + whereConnection + `)`
	sqlEndFamiliesByTenant       = endFamilies + whereTenant + `)`
	sqlEndFamiliesByEveryUser    = endFamilies + whereEveryUser + `)`
	sqlEndFamiliesByEverySession = endFamilies + whereEverySession + `)`
	sqlEndFamiliesBySocial       = endFamilies + whereSocial + `)`

	sqlEndClientsByUser         = endClients + whereUser + `)`
	sqlEndClientsBySession      = endClients + whereSession + `)`
	sqlEndClientsByConnection   = endClients + whereConnection + `)`
	sqlEndClientsByTenant       = endClients + whereTenant + `)`
	sqlEndClientsByEveryUser    = endClients + whereEveryUser + `)`
	sqlEndClientsByEverySession = endClients + whereEverySession + `)`
	sqlEndClientsBySocial       = endClients + whereSocial + `)`

	sqlEndSessionsByUser         = endSessions + whereUser + endSessionsTail
	sqlEndSessionsBySession      = endSessions + whereSession + endSessionsTail
	sqlEndSessionsByConnection   = endSessions + whereConnection + endSessionsTail
	sqlEndSessionsByTenant       = endSessions + whereTenant + endSessionsTail
	sqlEndSessionsByEveryUser    = endSessions + whereEveryUser + endSessionsTail
	sqlEndSessionsByEverySession = endSessions + whereEverySession + endSessionsTail
	sqlEndSessionsBySocial       = endSessions + whereSocial + endSessionsTail
)

// The applications to be told, of all environments; their rows go with the jobs.
const (
	sqlEndedClients = `SELECT environment_id, session_id, tenant_id, client_id, user_id FROM session_clients
WHERE ended_at IS NOT NULL ORDER BY ended_at LIMIT $1`
	sqlDeleteClient = `DELETE FROM session_clients WHERE environment_id = $1 AND session_id = $2 AND tenant_id = $3 AND client_id = $4`
	// sqlAddClient follows sqlUseCode, whose mark it looks for. A code of a session
	// that ended adds nobody: it would cancel a logout that is still to be told.
	sqlAddClient = `INSERT INTO session_clients (environment_id, session_id, tenant_id, client_id, user_id, created_at)
SELECT c.environment_id, c.session_id, c.tenant_id, c.client_id, c.user_id, c.used_at FROM auth_codes c
 JOIN session_tenants t ON t.tenant_id = c.tenant_id AND t.session_id = c.session_id AND t.ended_at IS NULL
 JOIN sessions s ON s.environment_id = c.environment_id AND s.id = c.session_id AND s.ended_at IS NULL
WHERE c.environment_id = $1 AND c.hash = $2 AND c.client_id = $3 AND c.used_at = $4 AND c.expires_at > $4
ON CONFLICT (environment_id, session_id, tenant_id, client_id) DO UPDATE SET ended_at = NULL`
)

// sqlInsertClient notes an application that gets a token without a code.
const sqlInsertClient = `INSERT INTO session_clients (tenant_id, environment_id, session_id, client_id, user_id, created_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (environment_id, session_id, tenant_id, client_id) DO UPDATE SET ended_at = NULL`

const sqlInsertCode = `INSERT INTO auth_codes
(environment_id, hash, client_id, session_id, tenant_id, user_id, request, created_at, expires_at, family_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`

const (
	sqlUseCode = `UPDATE auth_codes SET used_at = $4
WHERE environment_id = $1 AND hash = $2 AND client_id = $3 AND used_at IS NULL
RETURNING session_id, tenant_id, user_id, request, created_at, expires_at, family_id`
	sqlUsedCode = `SELECT session_id, tenant_id, user_id, family_id FROM auth_codes
WHERE environment_id = $1 AND hash = $2 AND client_id = $3 AND used_at IS NOT NULL`
)

const familyColumns = `id, tenant_id, session_id, user_id, client_id, scope, nonce, seq, rotated_at, created_at, idle_expires_at, expires_at, revoked_at, jkt, root_id`

const (
	// sqlInsertFamily locks the part of the session: its end waits for the family
	// and revokes it, or has happened and no family is made.
	sqlInsertFamily = `INSERT INTO refresh_families
(tenant_id, id, environment_id, session_id, user_id, client_id, scope, nonce, seq, rotated_at, created_at, idle_expires_at, expires_at, jkt, root_id)
SELECT t.tenant_id, $2, t.environment_id, t.session_id, $5, $6, $7, $8, 1, CAST($9 AS BIGINT), CAST($9 AS BIGINT), CAST($10 AS BIGINT), CAST($11 AS BIGINT), $12, $13
FROM session_tenants t JOIN sessions s ON s.environment_id = t.environment_id AND s.id = t.session_id
WHERE t.tenant_id = $1 AND t.session_id = $4 AND t.environment_id = $3 AND t.ended_at IS NULL AND s.ended_at IS NULL`
	sqlRotateFamily = `UPDATE refresh_families SET seq = seq + 1, rotated_at = $5, idle_expires_at = $6
WHERE environment_id = $1 AND id = $2 AND client_id = $3 AND seq = $4 AND revoked_at IS NULL AND idle_expires_at > $5 AND expires_at > $5
RETURNING ` + familyColumns
	sqlFamily       = `SELECT ` + familyColumns + ` FROM refresh_families WHERE environment_id = $1 AND id = $2`
	sqlRevokeFamily = `UPDATE refresh_families SET revoked_at = $3, revoke_reason = $4
WHERE environment_id = $1 AND id = $2 AND revoked_at IS NULL`
	sqlHoldRoot   = `SELECT id FROM refresh_families WHERE environment_id = $1 AND id = $2`
	sqlRevokeLine = `UPDATE refresh_families SET revoked_at = $3, revoke_reason = $4
WHERE environment_id = $1 AND root_id = $2 AND root_id <> '' AND revoked_at IS NULL`
)

// What has run out, of all environments. A session stays while a family of it
// lives, because what ends the session ends the family.
const (
	sqlPurgeCodes    = `DELETE FROM auth_codes WHERE expires_at < $1`
	sqlPurgeFamilies = `DELETE FROM refresh_families WHERE expires_at < $1`
	sqlPurgeClients  = `DELETE FROM session_clients WHERE created_at < $1 AND ended_at IS NULL AND NOT EXISTS (
  SELECT 1 FROM sessions s WHERE s.environment_id = session_clients.environment_id AND s.id = session_clients.session_id)`
	sqlPurgeSessions = `DELETE FROM sessions WHERE expires_at < $1 AND NOT EXISTS (
  SELECT 1 FROM refresh_families f WHERE f.environment_id = sessions.environment_id AND f.session_id = sessions.id
   AND f.revoked_at IS NULL AND f.expires_at > $2)`
)

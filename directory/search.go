package directory

import "github.com/gatehouse-id/gatehouse/internal/db"

// The searches of identity rules 3 and 4. They are SQL beside the pure functions
// that decide on what they find.

// pairedDirectories are the SCIM connections that the SSO connection $2 is paired
// with: those chosen for it, or all of the tenant while it has this one SSO
// connection and pairing is automatic.
const pairedDirectories = `paired(id) AS (
 SELECT c.id FROM scim_connections c WHERE c.tenant_id = $1 AND (
  EXISTS (SELECT 1 FROM sso_scim_pairs p WHERE p.tenant_id = $1 AND p.sso_connection_id = $2 AND p.scim_connection_id = c.id)
  OR EXISTS (SELECT 1 FROM sso_connections k WHERE k.tenant_id = $1 AND k.id = $2 AND k.pairing = 'auto'
   AND NOT EXISTS (SELECT 1 FROM sso_connections o WHERE o.tenant_id = $1 AND o.id <> $2))))`

// own is the condition for a membership m that is the tenant's own: no SCIM
// connection speaks for it, and it was not made by another SSO connection that
// still knows the person. Two identity providers of one tenant need not trust
// each other's addresses.
const own = `(NOT EXISTS (SELECT 1 FROM membership_sources z WHERE z.tenant_id = $1 AND z.membership_id = m.id)
 AND (m.managed_by <> 'sso' OR NOT EXISTS (
  SELECT 1 FROM identities y WHERE y.tenant_id = $1 AND y.membership_id = m.id AND y.connection_id <> $2)))`

const taken = `EXISTS (SELECT 1 FROM identities i WHERE i.tenant_id = $1 AND i.connection_id = $2 AND i.membership_id = m.id)`

// $3 subject, $4 object id, $5 user name, $6 e-mail; an empty one matches nobody.
const sqlLinkHits = `WITH ` + pairedDirectories + `, hits(step, membership_id) AS (
 SELECT 1, s.membership_id FROM membership_sources s
 WHERE s.tenant_id = $1 AND s.external_id IN ($3, $4) AND s.external_id <> '' AND s.connection_id IN (SELECT id FROM paired)
 UNION ALL
 SELECT 2, s.membership_id FROM membership_sources s
 WHERE s.tenant_id = $1 AND s.user_name_key = $5 AND s.user_name_key <> '' AND s.connection_id IN (SELECT id FROM paired)
 UNION ALL
 SELECT 2, m.id FROM memberships m
 WHERE m.tenant_id = $1 AND m.user_name_key = $5 AND m.user_name_key <> '' AND ` + own + `
 UNION ALL
 SELECT 3, m.id FROM memberships m
 WHERE m.tenant_id = $1 AND m.email_key = $6 AND m.email_key <> '' AND (` + own + ` OR EXISTS (
  SELECT 1 FROM membership_sources s WHERE s.tenant_id = $1 AND s.membership_id = m.id AND s.connection_id IN (SELECT id FROM paired)))
)
SELECT ` + membershipColumns + `, h.step, ` + taken + `
FROM hits h JOIN memberships m ON m.tenant_id = $1 AND m.id = h.membership_id
ORDER BY h.step, m.id LIMIT 16`

// forsaken is the condition for a tombstone t whose SCIM connection was deleted:
// it counts for every other connection of the tenant.
const forsaken = `NOT EXISTS (SELECT 1 FROM scim_connections g WHERE g.tenant_id = $1 AND g.id = t.connection_id)`

// $7 is the key of the subject, $8 the environment. The last part finds by his
// own address a person of the environment whom this tenant's directory removed.
const sqlLinkTombstones = `WITH ` + pairedDirectories + `
SELECT (SELECT COUNT(*) FROM tombstones t WHERE t.tenant_id = $1 AND t.external_id IN ($3, $4) AND t.external_id <> ''
  AND (t.connection_id IN (SELECT id FROM paired) OR ` + forsaken + `))
 + (SELECT COUNT(*) FROM tombstones t WHERE t.tenant_id = $1 AND t.user_name_key = $5 AND t.user_name_key <> '')
 + (SELECT COUNT(*) FROM tombstones t WHERE t.tenant_id = $1 AND t.email_key = $6 AND t.email_key <> '')
 + (SELECT COUNT(*) FROM tombstone_subjects x WHERE x.tenant_id = $1 AND x.connection_id = $2 AND x.subject_key = $7)
 + (SELECT COUNT(*) FROM users u WHERE u.environment_id = $8 AND u.email_key = $6 AND u.email_key <> ''
  AND EXISTS (SELECT 1 FROM tombstones t WHERE t.tenant_id = $1 AND t.user_id = u.id)
  AND NOT EXISTS (SELECT 1 FROM memberships m WHERE m.tenant_id = $1 AND m.user_id = u.id))`

// Creations of one person wait for each other before they search, so that the
// second sees the first: no unique key tells that two rows are one person. The
// locks of all keys are taken in one order.
const (
	sqlLockPersonPostgres = `SELECT pg_advisory_xact_lock(k.h) FROM (
 SELECT DISTINCT hashtextextended($1 || '/' || key, 8) AS h FROM json_each($2) ORDER BY 1) k`
	sqlLockPersonSQLite = `SELECT 1 FROM json_each($2) WHERE $1 = ''` // the transaction is alone already
)

// lockPerson takes what a search goes by: folded user name and e-mail, and the
// subjects or the externalId. It has to run as a statement of its own before the
// search, whose snapshot PostgreSQL takes when the search starts.
func lockPerson(d db.Dialect, tenant, userName, email string, ids ...string) db.Stmt {
	var keys []string
	for kind, values := range map[string][]string{"name ": {userName}, "email ": {email}, "id ": ids} {
		for _, v := range values {
			if v != "" {
				keys = append(keys, kind+v)
			}
		}
	}
	sql := sqlLockPersonSQLite
	if d.Name == db.Postgres {
		sql = sqlLockPersonPostgres
	}
	return db.Stmt{SQL: sql, Args: []any{tenant, db.Set(keys)}}
}

const sqlDomainVerified = `SELECT COUNT(*) FROM domains d WHERE d.tenant_id = $1 AND d.domain = $2 AND d.verified_at IS NOT NULL`

// sqlUsersByEmail finds people of the environment; two are as good as many.
const sqlUsersByEmail = `SELECT u.id FROM users u
WHERE u.environment_id = $1 AND u.email_key = $2 AND u.email_key <> '' ORDER BY u.created_at, u.id LIMIT 2`

const sqlUsersByEmailHere = `SELECT ` + membershipColumns + `, ` + taken + `
FROM users u JOIN memberships m ON m.tenant_id = $1 AND m.user_id = u.id
WHERE u.environment_id = $3 AND u.email_key = $4 AND u.email_key <> '' ORDER BY m.id LIMIT 2`

// pairedLogin is the condition that the SSO connection of identity i is paired
// with the SCIM connection $2.
const pairedLogin = `(
  EXISTS (SELECT 1 FROM sso_scim_pairs p WHERE p.tenant_id = $1 AND p.sso_connection_id = i.connection_id AND p.scim_connection_id = $2)
  OR EXISTS (SELECT 1 FROM sso_connections k WHERE k.tenant_id = $1 AND k.id = i.connection_id AND k.pairing = 'auto'
   AND NOT EXISTS (SELECT 1 FROM sso_connections o WHERE o.tenant_id = $1 AND o.id <> k.id)))`

// $2 SCIM connection, $3 externalId, $4 user name, $5 e-mail. The last column
// tells that the membership has a live resource of this connection. An address
// alone does not find who was deleted softly: it may be another's by now.
const sqlProvisionHits = `WITH hits(step, membership_id) AS (
 SELECT 1, i.membership_id FROM identities i
 WHERE i.tenant_id = $1 AND i.subject = $3 AND $3 <> '' AND ` + pairedLogin + `
 UNION ALL
 SELECT 1, i.membership_id FROM identities i
 WHERE i.tenant_id = $1 AND i.object_id = $3 AND i.object_id <> '' AND ` + pairedLogin + `
 UNION ALL
 SELECT 1, s.membership_id FROM membership_sources s
 WHERE s.tenant_id = $1 AND s.external_id = $3 AND s.external_id <> '' AND s.connection_id = $2 AND s.deleted_at IS NOT NULL
 UNION ALL
 SELECT 2, s.membership_id FROM membership_sources s
 WHERE s.tenant_id = $1 AND s.user_name_key = $4 AND s.user_name_key <> ''
 UNION ALL
 SELECT 2, m.id FROM memberships m
 WHERE m.tenant_id = $1 AND m.user_name_key = $4 AND m.user_name_key <> ''
 UNION ALL
 SELECT 3, m.id FROM memberships m
 WHERE m.tenant_id = $1 AND m.email_key = $5 AND m.email_key <> '' AND m.hidden_at IS NULL
)
SELECT ` + membershipColumns + `, h.step, EXISTS (
 SELECT 1 FROM membership_sources s WHERE s.tenant_id = $1 AND s.membership_id = m.id AND s.connection_id = $2 AND s.deleted_at IS NULL)
FROM (SELECT DISTINCT step, membership_id FROM hits ORDER BY step, membership_id LIMIT 6) h
JOIN memberships m ON m.tenant_id = $1 AND m.id = h.membership_id
ORDER BY h.step, m.id`

// A tombstone gives its user id back only while the user is not in the tenant
// again; the one of the same externalId comes before one of the same user name.
const sqlProvisionTombstones = `SELECT n.id, n.user_id, NOT EXISTS (SELECT 1 FROM memberships m WHERE m.tenant_id = $1 AND m.user_id = n.user_id)
FROM (
 SELECT 1 AS step, t.id, t.user_id, t.created_at FROM tombstones t
 WHERE t.tenant_id = $1 AND t.external_id = $3 AND t.external_id <> '' AND (t.connection_id = $2 OR ` + forsaken + `)
 UNION ALL
 SELECT 2, t.id, t.user_id, t.created_at FROM tombstones t WHERE t.tenant_id = $1 AND t.user_name_key = $4 AND t.user_name_key <> ''
) n ORDER BY n.step, n.created_at DESC, n.id LIMIT 16`

const sqlProvisionUsers = `SELECT u.id FROM users u
WHERE u.environment_id = $2 AND u.email_key = $3 AND u.email_key <> ''
 AND EXISTS (SELECT 1 FROM domains d WHERE d.tenant_id = $1 AND d.domain = $4 AND d.verified_at IS NOT NULL)
 AND NOT EXISTS (SELECT 1 FROM memberships m WHERE m.tenant_id = $1 AND m.user_id = u.id)
LIMIT 2`

package directory

import (
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

const membershipColumns = `m.id, m.tenant_id, m.environment_id, m.user_id, m.status, m.disabled_at, m.hidden_at, m.expires_at,
 m.managed_by, m.connection_id, m.email, m.user_name_key, m.first_name, m.last_name, m.display_name,
 m.scim_resources, m.scim_active, m.version, m.created_at, m.updated_at, m.metadata`

// scanMembership reads membershipColumns and then more.
func scanMembership(row db.Row, m *Membership, more ...any) error {
	return row.Scan(append([]any{
		&m.ID, &m.Tenant, &m.Environment, &m.UserID, (*string)(&m.Status), at(&m.DisabledAt), at(&m.HiddenAt), at(&m.ExpiresAt),
		(*string)(&m.ManagedBy), &m.Connection, &m.Email, &m.UserName, &m.FirstName, &m.LastName, &m.DisplayName,
		&m.SCIMResources, &m.SCIMActive, &m.Version, at(&m.CreatedAt), at(&m.UpdatedAt), &m.Metadata,
	}, more...)...)
}

// timeDest reads a database time into a time.Time.
type timeDest struct{ t *time.Time }

func (d timeDest) Scan(src any) error {
	var v db.Time
	err := v.Scan(src)
	*d.t = v.Time
	return err
}

func at(t *time.Time) timeDest { return timeDest{t} }

const userColumns = `u.id, u.environment_id, u.email, u.email_verified, u.local_login, u.password_hash, u.name, u.locale, u.time_zone, u.picture,
 u.locked_at, u.version, u.created_at, u.updated_at`

func userDest(u *User) []any {
	return []any{
		&u.ID, &u.Environment, &u.Email, &u.EmailVerified, &u.LocalLogin, &u.PasswordHash, &u.Name, &u.Locale, &u.TimeZone, &u.Picture,
		at(&u.LockedAt), &u.Version, at(&u.CreatedAt), at(&u.UpdatedAt),
	}
}

const sqlInsertUser = `INSERT INTO users
(environment_id, id, email, email_key, email_verified, local_login, password_hash, name, locale, picture, version, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, $11, $11)`

func insertUser(u User, now time.Time) db.Stmt {
	return db.Stmt{SQL: sqlInsertUser, Args: []any{
		u.Environment, u.ID, u.Email, EmailKey(u.Email), u.EmailVerified, u.LocalLogin, u.PasswordHash, u.Name, u.Locale, u.Picture, db.At(now),
	}}
}

const sqlInsertMembership = `INSERT INTO memberships
(tenant_id, id, environment_id, user_id, status, expires_at, managed_by, connection_id, email, email_key, user_name_key,
 first_name, last_name, display_name, scim_resources, scim_active, version, created_at, updated_at, metadata)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 1, $17, $17, $18)`

func insertMembership(m Membership, now time.Time) db.Stmt {
	return db.Stmt{SQL: sqlInsertMembership, Args: []any{
		m.Tenant, m.ID, m.Environment, m.UserID, string(m.Status), db.At(m.ExpiresAt), string(m.ManagedBy), m.Connection, m.Email, EmailKey(m.Email), m.UserName,
		m.FirstName, m.LastName, m.DisplayName, m.SCIMResources, m.SCIMActive, db.At(now), m.Metadata,
	}}
}

// sqlLockMembership makes changes of one membership wait for each other.
const sqlLockMembership = `UPDATE memberships SET updated_at = updated_at WHERE tenant_id = $1 AND id = $2`

func lockMembership(tenant, membership string) db.Stmt {
	return db.Stmt{SQL: sqlLockMembership, Args: []any{tenant, membership}}
}

// A new source takes the place of the deleted one of the same connection.
const (
	sqlDropHiddenSource = `DELETE FROM membership_sources
WHERE tenant_id = $1 AND membership_id = $2 AND connection_id = $3 AND deleted_at IS NOT NULL`

	sqlInsertSource = `INSERT INTO membership_sources
(tenant_id, membership_id, connection_id, resource_id, external_id, user_name_key, email, email_key, first_name, last_name, display_name, active, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`

	sqlUpdateSource = `UPDATE membership_sources
SET external_id = $4, user_name_key = $5, email = $6, email_key = $7, first_name = $8, last_name = $9, display_name = $10, active = $11
WHERE tenant_id = $1 AND membership_id = $2 AND connection_id = $3`

	sqlHideSource = `UPDATE membership_sources SET deleted_at = $4, active = FALSE
WHERE tenant_id = $1 AND membership_id = $2 AND connection_id = $3`

	sqlDropSource = `DELETE FROM membership_sources WHERE tenant_id = $1 AND membership_id = $2 AND connection_id = $3`
)

func insertSource(r Resource, membership string, p Profile, now time.Time) db.Stmt {
	return db.Stmt{SQL: sqlInsertSource, Args: []any{
		r.Tenant, membership, r.Connection, r.ID, p.ExternalID, NameKey(p.UserName), p.Email, EmailKey(p.Email),
		p.FirstName, p.LastName, p.DisplayName, p.Active, db.At(now),
	}}
}

func updateSource(r Resource, membership string, p Profile) db.Stmt {
	return db.Stmt{SQL: sqlUpdateSource, Args: []any{
		r.Tenant, membership, r.Connection, p.ExternalID, NameKey(p.UserName), p.Email, EmailKey(p.Email),
		p.FirstName, p.LastName, p.DisplayName, p.Active,
	}}
}

// sqlSyncMembership puts the oldest live source's attributes on the membership
// and counts the live ones; an e-mail that the source no longer gives stays.
const sqlSyncMembership = `UPDATE memberships
SET email = CASE WHEN x.email = '' THEN memberships.email ELSE x.email END,
 email_key = CASE WHEN x.email = '' THEN memberships.email_key ELSE x.email_key END,
 user_name_key = x.user_name_key, first_name = x.first_name, last_name = x.last_name, display_name = x.display_name,
 scim_resources = x.live, scim_active = x.active, hidden_at = NULL, managed_by = 'scim', version = version + 1, updated_at = $3
FROM (
 SELECT s.email, s.email_key, s.user_name_key, s.first_name, s.last_name, s.display_name,
  COUNT(*) OVER () AS live, SUM(CASE WHEN s.active THEN 1 ELSE 0 END) OVER () AS active
 FROM membership_sources s
 WHERE s.tenant_id = $1 AND s.membership_id = $2 AND s.deleted_at IS NULL
 ORDER BY s.created_at, s.connection_id LIMIT 1) x
WHERE tenant_id = $1 AND id = $2`

func syncMembership(tenant, membership string, now time.Time) db.Stmt {
	return db.Stmt{SQL: sqlSyncMembership, Args: []any{tenant, membership, db.At(now)}}
}

// sqlHideMembership hides a membership that has no live source.
const sqlHideMembership = `UPDATE memberships
SET hidden_at = $3, scim_resources = 0, scim_active = 0, version = version + 1, updated_at = $3
WHERE tenant_id = $1 AND id = $2 AND NOT EXISTS (
 SELECT 1 FROM membership_sources s WHERE s.tenant_id = $1 AND s.membership_id = $2 AND s.deleted_at IS NULL)`

func hideMembership(tenant, membership string, now time.Time) db.Stmt {
	return db.Stmt{SQL: sqlHideMembership, Args: []any{tenant, membership, db.At(now)}}
}

const (
	sqlInsertTombstone = `INSERT INTO tombstones
(tenant_id, id, connection_id, user_id, external_id, user_name_key, email_key, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`

	sqlTombstoneSubjects = `INSERT INTO tombstone_subjects (tenant_id, tombstone_id, connection_id, subject_key)
SELECT $1, $2, i.connection_id, i.subject_key FROM identities i WHERE i.tenant_id = $1 AND i.membership_id = $3`

	sqlDropTombstones = `DELETE FROM tombstones WHERE tenant_id = $1 AND id IN (SELECT key FROM json_each($2))`

	sqlDropTombstonesOf = `DELETE FROM tombstones WHERE tenant_id = $1 AND user_id = $2`

	sqlDropMembership = `DELETE FROM memberships WHERE tenant_id = $1 AND id = $2`
)

const identityColumns = `i.id, i.tenant_id, i.connection_id, i.subject_key, i.subject, i.object_id, i.membership_id, i.email, i.profile, i.created_at, i.last_login_at`

func identityDest(i *Identity) []any {
	return []any{
		&i.ID, &i.Tenant, &i.Connection, &i.SubjectKey, &i.Subject, &i.ObjectID, &i.Membership, &i.Email, &i.Profile, at(&i.CreatedAt), at(&i.LastLoginAt),
	}
}

const (
	sqlKnownIdentity = `SELECT ` + membershipColumns + `, ` + identityColumns + `
FROM identities i JOIN memberships m ON m.tenant_id = i.tenant_id AND m.id = i.membership_id
WHERE i.tenant_id = $1 AND i.connection_id = $2 AND i.subject_key = $3`

	sqlIdentitiesOf = `SELECT ` + identityColumns + ` FROM identities i WHERE i.tenant_id = $1 AND i.membership_id = $2 ORDER BY i.id`

	sqlInsertIdentity = `INSERT INTO identities
(tenant_id, id, connection_id, subject_key, subject, object_id, membership_id, email, profile, created_at, last_login_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)`

	sqlIdentitySeen = `UPDATE identities SET email = $3, profile = $4, last_login_at = $5 WHERE tenant_id = $1 AND id = $2`

	sqlDropIdentityGroups = `DELETE FROM identity_groups
WHERE tenant_id = $1 AND identity_id = $2 AND name NOT IN (SELECT key FROM json_each($3))`

	sqlAddIdentityGroups = `INSERT INTO identity_groups (tenant_id, connection_id, identity_id, name)
SELECT $1, $2, $3, key FROM json_each($4) WHERE TRUE ON CONFLICT DO NOTHING`
)

const (
	sqlEmailHere      = `SELECT COUNT(*) FROM memberships m WHERE m.tenant_id = $1 AND m.email_key = $2`
	sqlEmailOfAnother = `SELECT COUNT(*) FROM memberships m WHERE m.tenant_id = $1 AND m.email_key = $2 AND m.id <> $3`
	sqlLocalLogin     = `SELECT COUNT(*) FROM users u WHERE u.environment_id = $1 AND u.email_key = $2 AND u.local_login`

	sqlPerson = `SELECT ` + membershipColumns + `, ` + userColumns + `
FROM memberships m JOIN users u ON u.environment_id = m.environment_id AND u.id = m.user_id WHERE m.tenant_id = $1`

	sqlPersonByUser       = sqlPerson + ` AND m.user_id = $2`
	sqlPersonByMembership = sqlPerson + ` AND m.id = $2`

	sqlUpdateMembership = `UPDATE memberships SET email = $3, email_key = $4, first_name = $5, last_name = $6, display_name = $7,
 expires_at = $8, metadata = $10, version = version + 1, updated_at = $9 WHERE tenant_id = $1 AND id = $2`

	sqlSetDisabled = `UPDATE memberships SET disabled_at = $3, version = version + 1, updated_at = $4 WHERE tenant_id = $1 AND id = $2`

	// sqlDropUsers removes those whom no membership and no tombstone holds. It
	// looks at all tenants of the environment, because the users are theirs.
	sqlDropUsers = `DELETE FROM users WHERE environment_id = $1 AND id IN (SELECT key FROM json_each($2))
 AND NOT EXISTS (SELECT 1 FROM memberships m WHERE m.environment_id = $1 AND m.user_id = users.id)
 AND NOT EXISTS (SELECT 1 FROM tombstones t WHERE t.user_id = users.id)`
)

func dropUsers(environment string, users []string) db.Stmt {
	return db.Stmt{SQL: sqlDropUsers, Args: []any{environment, db.Set(users)}}
}

const (
	// sqlExpiredHidden crosses tenants: retention serves all of them.
	sqlExpiredHidden = `SELECT ` + membershipColumns + ` FROM memberships m WHERE m.hidden_at IS NOT NULL AND m.hidden_at < $1
ORDER BY m.hidden_at LIMIT $2`

	// sqlTombstoneOf takes the keys of the membership's oldest source.
	sqlTombstoneOf = `INSERT INTO tombstones (tenant_id, id, connection_id, user_id, external_id, user_name_key, email_key, created_at)
SELECT m.tenant_id, $2, COALESCE(s.connection_id, ''), m.user_id, COALESCE(s.external_id, ''), m.user_name_key, m.email_key, CAST($4 AS BIGINT)
FROM memberships m LEFT JOIN membership_sources s ON s.tenant_id = m.tenant_id AND s.membership_id = m.id
WHERE m.tenant_id = $1 AND m.id = $3 ORDER BY s.created_at LIMIT 1`
)

// bury removes a membership and leaves a tombstone.
func bury(m Membership, now time.Time) []db.Stmt {
	tomb := id.New("tmb")
	return []db.Stmt{
		{SQL: sqlTombstoneOf, Args: []any{m.Tenant, tomb, m.ID, db.At(now)}},
		{SQL: sqlTombstoneSubjects, Args: []any{m.Tenant, tomb, m.ID}},
		{SQL: sqlDropMembership, Args: []any{m.Tenant, m.ID}},
	}
}

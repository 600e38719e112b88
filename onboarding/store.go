package onboarding

import (
	"context"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/tenants"
)

const (
	sqlWaits = `SELECT COUNT(*) FROM memberships m JOIN invitations i ON i.tenant_id = m.tenant_id AND i.membership_id = m.id
WHERE m.tenant_id = $1 AND m.email_key = $2`

	sqlInsertInvitation = `INSERT INTO invitations
(tenant_id, id, environment_id, membership_id, email, email_key, hash, default_roles, inviter_kind, inviter_id, inviter_tenant, inviter_name,
 sent_at, sends, lifetime, expires_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`

	sqlInsertInvitationRoles = `INSERT INTO invitation_roles (tenant_id, invitation_id, environment_id, role_owner, role_id)
SELECT $1, $2, r.environment_id, r.owner_tenant_id, r.id FROM roles r
WHERE r.environment_id = $3 AND r.owner_tenant_id IN ('', $1) AND r.id IN (SELECT key FROM json_each($4))`

	invitationColumns = `i.id, i.tenant_id, i.environment_id, i.membership_id, i.email, i.hash, i.default_roles, i.inviter_kind, i.inviter_id,
 i.inviter_tenant, i.inviter_name, i.sent_at, i.sends, i.lifetime, i.expires_at, i.created_at,
 m.user_id, m.first_name, m.last_name, m.display_name, m.expires_at, m.status, m.disabled_at`

	fromInvitations = ` FROM invitations i JOIN memberships m ON m.tenant_id = i.tenant_id AND m.id = i.membership_id WHERE i.tenant_id = $1`

	sqlInvitations = `SELECT ` + invitationColumns + fromInvitations + ` AND (i.created_at, i.id) > ($2, $3) ORDER BY i.created_at, i.id LIMIT $4`

	sqlInvitation = `SELECT ` + invitationColumns + fromInvitations + ` AND i.id = $2`

	sqlLockInvitation = `SELECT id FROM invitations WHERE tenant_id = $1 AND id = $2`

	sqlInvitationOf = `SELECT id FROM invitations WHERE tenant_id = $1 AND membership_id = $2`

	sqlInvitationRoles = `SELECT invitation_id, role_id FROM invitation_roles
WHERE tenant_id = $1 AND invitation_id IN (SELECT key FROM json_each($2)) ORDER BY invitation_id, role_id`

	sqlResent = `UPDATE invitations SET hash = $3, sent_at = $4, sends = sends + 1, expires_at = $5 WHERE tenant_id = $1 AND id = $2`

	sqlDeleteInvitation = `DELETE FROM invitations WHERE tenant_id = $1 AND id = $2`
)

const (
	sqlCountLinks = `SELECT COUNT(*) FROM invite_links WHERE tenant_id = $1`

	sqlInsertLink = `INSERT INTO invite_links
(tenant_id, id, environment_id, hash, roles, creator_kind, creator_id, creator_tenant, creator_name, max_uses, uses, approval, lifetime, expires_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, $11, $12, $13, $14)`

	sqlInsertLinkRoles = `INSERT INTO invite_link_roles (tenant_id, link_id, environment_id, role_owner, role_id)
SELECT $1, $2, r.environment_id, r.owner_tenant_id, r.id FROM roles r
WHERE r.environment_id = $3 AND r.owner_tenant_id IN ('', $1) AND r.id IN (SELECT key FROM json_each($4))`

	linkColumns = `l.id, l.tenant_id, l.environment_id, l.hash, l.roles, l.creator_kind, l.creator_id, l.creator_tenant, l.creator_name,
 l.max_uses, l.uses, l.approval, l.lifetime, l.expires_at, l.created_at`

	sqlLinks = `SELECT ` + linkColumns + ` FROM invite_links l
WHERE l.tenant_id = $1 AND (l.created_at, l.id) > ($2, $3) ORDER BY l.created_at, l.id LIMIT $4`

	sqlLink = `SELECT ` + linkColumns + ` FROM invite_links l WHERE l.tenant_id = $1 AND l.id = $2`

	sqlLinkRoles = `SELECT link_id, role_id FROM invite_link_roles
WHERE tenant_id = $1 AND link_id IN (SELECT key FROM json_each($2)) ORDER BY link_id, role_id`

	sqlUseLink = `UPDATE invite_links SET uses = uses + 1
WHERE tenant_id = $1 AND id = $2 AND (max_uses = 0 OR uses < max_uses)`

	sqlRenewLink = `UPDATE invite_links SET hash = $3, uses = 0, expires_at = $4,
 creator_kind = $5, creator_id = $6, creator_tenant = $7, creator_name = $8, roles = $9 WHERE tenant_id = $1 AND id = $2`

	sqlDeleteLink = `DELETE FROM invite_links WHERE tenant_id = $1 AND id = $2`
)

// sqlLocate is asked before the tenant is known.
const sqlLocate = `SELECT environment_id, tenant_id FROM locators WHERE kind = $1 AND key = $2 AND id = $2`

func insertInvitation(i Invitation) db.Stmt {
	return db.Stmt{SQL: sqlInsertInvitation, Args: []any{
		i.Tenant, i.ID, i.Environment, i.Membership, i.Email, directory.EmailKey(i.Email), i.hash, i.defaultRoles,
		string(i.by.kind), i.by.id, i.by.tenant, i.by.name, db.At(i.SentAt), i.Sends, i.lifetime, db.At(i.ExpiresAt), db.At(i.CreatedAt),
	}}
}

func dropInvitation(i Invitation) []db.Stmt {
	return []db.Stmt{
		{SQL: sqlDeleteInvitation, Args: []any{i.Tenant, i.ID}},
		tenants.DropLocatorStmt(tenants.LocatorInvitation, i.Tenant, i.ID),
	}
}

func scanInvitation(row db.Row) (Invitation, error) {
	var i Invitation
	var sent, expires, created, access, disabled db.Time
	var kind, status string
	err := row.Scan(&i.ID, &i.Tenant, &i.Environment, &i.Membership, &i.Email, &i.hash, &i.defaultRoles, &kind, &i.by.id,
		&i.by.tenant, &i.by.name, &sent, &i.Sends, &i.lifetime, &expires, &created,
		&i.UserID, &i.FirstName, &i.LastName, &i.DisplayName, &access, &status, &disabled)
	i.by.kind, i.status, i.disabled, i.InvitedBy = actor.Kind(kind), directory.Status(status), !disabled.IsZero(), i.by.name
	i.SentAt, i.ExpiresAt, i.CreatedAt, i.AccessUntil = sent.Time, expires.Time, created.Time, access.Time
	return i, err
}

func scanLink(row db.Row) (Link, error) {
	var l Link
	var expires, created db.Time
	var kind string
	err := row.Scan(&l.ID, &l.Tenant, &l.Environment, &l.hash, &l.Roles, &kind, &l.by.id, &l.by.tenant, &l.by.name,
		&l.MaxUses, &l.Uses, &l.Approval, &l.lifetime, &expires, &created)
	l.by.kind, l.CreatedBy = actor.Kind(kind), l.by.name
	l.ExpiresAt, l.CreatedAt = expires.Time, created.Time
	return l, err
}

// each gives every pair of texts that a statement finds.
func each(ctx context.Context, q db.Queryer, f func(a, b string), text string, args ...any) error {
	rows, err := q.Query(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var a, b string
		if err := rows.Scan(&a, &b); err != nil {
			return err
		}
		f(a, b)
	}
	return rows.Err()
}

package rbac

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
)

// CheckTenant refuses with ErrTargetLevel when anybody or anything of a tenant has,
// or may come to have, a role stronger than the actor: who deletes an account deletes
// its people and its tokens (product 122).
func (s *Service) CheckTenant(ctx context.Context, a actor.Actor, q db.Queryer, tenant string) error {
	if exempt(a) {
		return nil
	}
	var level int64
	if err := q.QueryRow(ctx, sqlTenantLevel, tenant, a.Environment, actor.NoLevel).Scan(&level); err != nil {
		return err
	}
	if level < int64(a.Level.Int()) {
		return ErrTargetLevel
	}
	return nil
}

// CheckMove refuses with ErrTargetLevel when an account comes below one whose
// people have roles stronger than the actor: they may enter it then, which is a
// grant (product 121, sub-account grants). The actor's own tenant and those that
// stand above the account already gain nothing. The caller holds the hierarchy.
func (s *Service) CheckMove(ctx context.Context, a actor.Actor, q db.Queryer, tenant, parent string) error {
	if exempt(a) {
		return nil
	}
	gaining, err := scanIDs(q.Query(ctx, sqlGaining, a.Environment, a.Tenant, tenant, parent))
	if err != nil {
		return err
	}
	for _, t := range gaining { // as many as tenants stand below each other at most
		if err := s.CheckTenant(ctx, a, q, t); err != nil {
			return err
		}
	}
	return nil
}

const (
	sqlTenantLevel = `SELECT COALESCE(MIN(r.level), CAST($3 AS BIGINT)) FROM roles r WHERE r.environment_id = $2 AND r.id IN (
 SELECT x.role_id FROM membership_roles x WHERE x.tenant_id = $1
 UNION SELECT x.role_id FROM group_roles x WHERE x.tenant_id = $1
 UNION SELECT x.role_id FROM sso_default_roles x WHERE x.tenant_id = $1
 UNION SELECT x.role_id FROM group_role_mappings x WHERE x.tenant_id = $1
 UNION SELECT x.role_id FROM api_token_roles x WHERE x.tenant_id = $1
 UNION SELECT x.role_id FROM invitation_roles x WHERE x.tenant_id = $1
 UNION SELECT x.role_id FROM invite_link_roles x WHERE x.tenant_id = $1)`

	sqlGaining = `SELECT u.ancestor_id FROM tenant_closure u
JOIN tenant_closure d ON d.environment_id = u.environment_id AND d.ancestor_id = $2 AND d.descendant_id = u.ancestor_id AND d.depth > 0
WHERE u.environment_id = $1 AND u.descendant_id = $4
AND NOT EXISTS (SELECT 1 FROM tenant_closure x WHERE x.environment_id = u.environment_id AND x.ancestor_id = u.ancestor_id AND x.descendant_id = $3)`
)

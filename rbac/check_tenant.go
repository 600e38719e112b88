package rbac

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
)

// CheckTenant refuses with ErrTargetLevel when anybody of a tenant has, or may
// come to have, a role stronger than the actor: who deletes an account deletes its
// people (product 122).
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

const sqlTenantLevel = `SELECT COALESCE(MIN(r.level), CAST($3 AS BIGINT)) FROM roles r WHERE r.environment_id = $2 AND r.id IN (
 SELECT x.role_id FROM membership_roles x WHERE x.tenant_id = $1
 UNION SELECT x.role_id FROM group_roles x WHERE x.tenant_id = $1
 UNION SELECT x.role_id FROM sso_default_roles x WHERE x.tenant_id = $1
 UNION SELECT x.role_id FROM group_role_mappings x WHERE x.tenant_id = $1)`

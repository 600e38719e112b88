package directory

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

const (
	sqlDropTenantMembers = `DELETE FROM memberships WHERE tenant_id = $1 AND id IN (
 SELECT m.id FROM memberships m WHERE m.tenant_id = $1 ORDER BY m.id LIMIT $2) RETURNING user_id`

	sqlDropTenantTombstones = `DELETE FROM tombstones WHERE tenant_id = $1 AND id IN (
 SELECT t.id FROM tombstones t WHERE t.tenant_id = $1 ORDER BY t.id LIMIT $2) RETURNING user_id`

	sqlDropTenantGroups = `DELETE FROM groups WHERE tenant_id = $1 AND id IN (
 SELECT g.id FROM groups g WHERE g.tenant_id = $1 ORDER BY g.id LIMIT $2)`
)

// DropTenant drops up to limit of the members of a tenant that is being deleted,
// with the users whom no other tenant knows (product 137), then of those whom its
// directories removed, then of its groups. It reports how many; 0: none is left.
func (s *Service) DropTenant(ctx context.Context, q db.Queryer, environment, tenant string, limit int) (int64, error) {
	for _, statement := range []string{sqlDropTenantMembers, sqlDropTenantTombstones} {
		var users []string
		err := q.Batch(ctx, []db.Stmt{{SQL: statement, Args: []any{tenant, int64(limit)}, Scan: scanStrings(&users)}})
		if err != nil {
			return 0, err
		}
		if len(users) > 0 {
			return int64(len(users)), q.Batch(ctx, []db.Stmt{dropUsers(environment, users)})
		}
	}
	return q.Exec(ctx, sqlDropTenantGroups, tenant, int64(limit))
}

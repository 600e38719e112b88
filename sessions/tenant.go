package sessions

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

const (
	sqlTenantParts = `SELECT session_id FROM session_tenants WHERE tenant_id = $1 ORDER BY session_id LIMIT $2`

	ofSessions = ` IN (SELECT key FROM json_each($2))`

	sqlDropTenantParts    = `DELETE FROM session_tenants WHERE tenant_id = $1 AND session_id` + ofSessions
	sqlDropTenantFamilies = `UPDATE refresh_families SET revoked_at = $3, revoke_reason = $4
WHERE tenant_id = $1 AND environment_id = $5 AND revoked_at IS NULL AND session_id` + ofSessions
	sqlDropTenantClients = `UPDATE session_clients SET ended_at = $3
WHERE tenant_id = $1 AND environment_id = $4 AND ended_at IS NULL AND session_id` + ofSessions
	sqlDropTenantSessions = `UPDATE sessions SET ended_at = $3, end_reason = $4
WHERE environment_id = $1 AND ended_at IS NULL AND id` + ofSessions + ` AND NOT EXISTS (
  SELECT 1 FROM session_tenants l WHERE l.environment_id = sessions.environment_id AND l.session_id = sessions.id AND l.ended_at IS NULL)`
)

// DropTenant ends up to limit of the sessions in a tenant that is being deleted,
// forgets their parts, and reports how many they were; 0: none is left.
// [Service.NotifyEnded] tells their applications.
func (s *Service) DropTenant(ctx context.Context, q db.Queryer, environment, tenant string, limit int) (int64, error) {
	const reason = "tenant_deleted"
	var ids []string
	err := q.Batch(ctx, []db.Stmt{{SQL: sqlTenantParts, Args: []any{tenant, int64(limit)}, Scan: func(rows db.Rows) error {
		ids = nil
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return rows.Err()
	}}})
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	set, at := db.Set(ids), db.At(s.clock.Now())
	return int64(len(ids)), q.Batch(ctx, []db.Stmt{
		{SQL: sqlDropTenantParts, Args: []any{tenant, set}},
		{SQL: sqlDropTenantFamilies, Args: []any{tenant, set, at, reason, environment}},
		{SQL: sqlDropTenantClients, Args: []any{tenant, set, at, environment}},
		{SQL: sqlDropTenantSessions, Args: []any{environment, set, at, reason}},
	})
}

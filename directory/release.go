package directory

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/sessions"
)

// ReleaseDirectory prepares the deletion of a SCIM connection (product 2.6), to
// be called before the connection's row goes, in the same transaction. With
// people, those whom no other directory keeps are removed with tombstones, and
// the groups that it pushed are deleted; without, they stay for the vendor to
// manage. People whom another directory keeps stay in any case.
func (s *Service) ReleaseDirectory(ctx context.Context, a actor.Actor, q db.Queryer, environment, tenant, connection string, people bool) error {
	now := s.clock.Now()
	var only, shared []Membership
	rows, err := q.Query(ctx, sqlMembershipsOf+q.Dialect().ForUpdate, tenant, connection)
	if err != nil {
		return err
	}
	for rows.Next() {
		var m Membership
		var others bool
		if err := scanMembership(rows, &m, &others); err != nil {
			rows.Close()
			return err
		}
		if others {
			shared = append(shared, m)
		} else {
			only = append(only, m)
		}
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return err
	}
	var stmts []db.Stmt
	for _, m := range only {
		if !people {
			stmts = append(stmts, db.Stmt{SQL: sqlDropSource, Args: []any{tenant, m.ID, connection}},
				db.Stmt{SQL: sqlReleaseMembership, Args: []any{tenant, m.ID, db.At(now)}})
			continue
		}
		more, err := s.removeReleased(a, m, now)
		if err != nil {
			return err
		}
		stmts = append(stmts, more...)
	}
	for _, m := range shared {
		stmts = append(stmts, db.Stmt{SQL: sqlDropSource, Args: []any{tenant, m.ID, connection}}, syncMembership(tenant, m.ID, now))
	}
	if people {
		stmts = append(stmts, db.Stmt{SQL: sqlDropGroupsOf, Args: []any{tenant, connection}})
	} else {
		stmts = append(stmts, db.Stmt{SQL: sqlReleaseGroupsOf, Args: []any{tenant, connection, db.At(now)}})
	}
	return q.Batch(ctx, stmts)
}

func (s *Service) removeReleased(a actor.Actor, m Membership, now time.Time) ([]db.Stmt, error) {
	stmts, err := s.sessions.EndStmts(a, sessions.Selector{Environment: m.Environment, Tenant: m.Tenant, User: m.UserID}, "directory removed", now)
	if err != nil {
		return nil, err
	}
	events, err := audit.Stmts(s.event(a, m, "user.deleted", now, nil))
	if err != nil {
		return nil, err
	}
	stmts = append(stmts,
		db.Stmt{SQL: sqlTombstoneOf, Args: []any{m.Tenant, id.New("tmb"), m.ID, db.At(now)}},
		db.Stmt{SQL: sqlDropMembership, Args: []any{m.Tenant, m.ID}})
	return append(stmts, events...), nil
}

const (
	sqlMembershipsOf = `SELECT ` + membershipColumns + `, EXISTS (
 SELECT 1 FROM membership_sources o WHERE o.tenant_id = $1 AND o.membership_id = m.id AND o.connection_id <> $2 AND o.deleted_at IS NULL)
FROM memberships m WHERE m.tenant_id = $1 AND m.id IN (
 SELECT s.membership_id FROM membership_sources s WHERE s.tenant_id = $1 AND s.connection_id = $2)
ORDER BY m.id`

	// sqlReleaseMembership leaves a person to the vendor: nobody's directory speaks for him any more. One
	// who was inactive or hidden must not come back to life by it.
	sqlReleaseMembership = `UPDATE memberships SET
 disabled_at = CASE WHEN disabled_at IS NULL AND (hidden_at IS NOT NULL OR scim_active = 0) THEN CAST($3 AS BIGINT) ELSE disabled_at END,
 hidden_at = NULL, scim_resources = 0, scim_active = 0, managed_by = 'local', version = version + 1, updated_at = $3
WHERE tenant_id = $1 AND id = $2`

	sqlDropGroupsOf = `DELETE FROM groups WHERE tenant_id = $1 AND managed_by = 'scim' AND connection_id = $2`

	// sqlReleaseGroupsOf makes the groups local; a name that a local group has gets the group's id behind it.
	sqlReleaseGroupsOf = `UPDATE groups SET managed_by = 'local', connection_id = '', version = version + 1, updated_at = $3,
 name = CASE WHEN EXISTS (SELECT 1 FROM groups o WHERE o.tenant_id = $1 AND o.name_key = groups.name_key AND o.id <> groups.id
  AND (o.managed_by = 'local' OR o.connection_id = $2)) THEN name || ' (' || id || ')' ELSE name END,
 name_key = CASE WHEN EXISTS (SELECT 1 FROM groups o WHERE o.tenant_id = $1 AND o.name_key = groups.name_key AND o.id <> groups.id
  AND (o.managed_by = 'local' OR o.connection_id = $2)) THEN name_key || ' (' || id || ')' ELSE name_key END
WHERE tenant_id = $1 AND managed_by = 'scim' AND connection_id = $2`
)

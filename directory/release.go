package directory

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/sessions"
)

// ReleaseDirectory prepares the deletion of a SCIM connection (product 2.6), to
// be called before the connection's row goes, in the same transaction. With
// people, those whom no other directory keeps are removed with tombstones, and
// the groups that it pushed are deleted; without, they stay for the vendor to
// manage. People whom another directory keeps stay in any case; where no other
// one has them active their sessions end.
func (s *Service) ReleaseDirectory(ctx context.Context, a actor.Actor, q db.Queryer, environment, tenant, connection string, people bool) error {
	now := s.clock.Now()
	var only, shared []Membership
	out := map[string]bool{} // of the shared ones: the other directories have him inactive
	rows, err := q.Query(ctx, sqlMembershipsOf+q.Dialect().ForUpdate, tenant, connection)
	if err != nil {
		return err
	}
	for rows.Next() {
		var m Membership
		var others, active int64
		if err := scanMembership(rows, &m, &others, &active); err != nil {
			rows.Close()
			return err
		}
		if others > 0 {
			shared = append(shared, m)
			out[m.ID] = active == 0 && m.SCIMActive > 0
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
		more, err := s.endReleased(a, m, "user.deleted", now)
		if err != nil {
			return err
		}
		stmts = append(append(stmts, more...), bury(m, now)...)
	}
	for _, m := range shared {
		stmts = append(stmts, db.Stmt{SQL: sqlDropSource, Args: []any{tenant, m.ID, connection}}, syncMembership(tenant, m.ID, now))
		if out[m.ID] {
			more, err := s.endReleased(a, m, "user.deprovisioned", now)
			if err != nil {
				return err
			}
			stmts = append(stmts, more...)
		}
	}
	if !people {
		stmts = append(stmts, db.Stmt{SQL: sqlReleaseGroupsOf, Args: []any{tenant, connection, db.At(now)}})
		return q.Batch(ctx, stmts)
	}
	var groups []audit.Target
	stmts = append(stmts, db.Stmt{SQL: sqlDropGroupsOf, Args: []any{tenant, connection}, Scan: func(rows db.Rows) error {
		groups = nil
		for rows.Next() {
			g := audit.Target{Type: "group"}
			if err := rows.Scan(&g.ID, &g.Name); err != nil {
				return err
			}
			groups = append(groups, g)
		}
		return rows.Err()
	}})
	if err := q.Batch(ctx, stmts); err != nil {
		return err
	}
	events, err := audit.EachStmts(audit.Event{
		Environment: environment, Tenant: tenant, Action: "group.deleted", Actor: a, At: now, Connection: connection,
	}, groups)
	if err != nil || len(events) == 0 {
		return err
	}
	return q.Batch(ctx, events)
}

// endReleased ends the sessions of a person whom the directory leaves without
// access, and tells of it.
func (s *Service) endReleased(a actor.Actor, m Membership, action string, now time.Time) ([]db.Stmt, error) {
	stmts, err := s.sessions.EndStmts(a, sessions.Selector{Environment: m.Environment, Tenant: m.Tenant, User: m.UserID}, "directory removed", now)
	if err != nil {
		return nil, err
	}
	events, err := audit.Stmts(s.event(a, m, action, now, nil))
	if err != nil {
		return nil, err
	}
	return append(stmts, events...), nil
}

const (
	sqlMembershipsOf = `SELECT ` + membershipColumns + `,
 (SELECT COUNT(*) FROM membership_sources o WHERE o.tenant_id = $1 AND o.membership_id = m.id AND o.connection_id <> $2 AND o.deleted_at IS NULL),
 (SELECT COUNT(*) FROM membership_sources o WHERE o.tenant_id = $1 AND o.membership_id = m.id AND o.connection_id <> $2 AND o.deleted_at IS NULL AND o.active)
FROM memberships m WHERE m.tenant_id = $1 AND m.id IN (
 SELECT s.membership_id FROM membership_sources s WHERE s.tenant_id = $1 AND s.connection_id = $2)
ORDER BY m.id`

	// sqlReleaseMembership leaves a person to the vendor: nobody's directory speaks for him any more. One
	// who was inactive or hidden must not come back to life by it.
	sqlReleaseMembership = `UPDATE memberships SET
 disabled_at = CASE WHEN disabled_at IS NULL AND (hidden_at IS NOT NULL OR scim_active = 0) THEN CAST($3 AS BIGINT) ELSE disabled_at END,
 hidden_at = NULL, scim_resources = 0, scim_active = 0, managed_by = 'local', version = version + 1, updated_at = $3
WHERE tenant_id = $1 AND id = $2`

	sqlDropGroupsOf = `DELETE FROM groups WHERE tenant_id = $1 AND managed_by = 'scim' AND connection_id = $2 RETURNING id, name`

	// sqlReleaseGroupsOf makes the groups local; a name that a local group has gets the group's id behind it.
	sqlReleaseGroupsOf = `UPDATE groups SET managed_by = 'local', connection_id = '', version = version + 1, updated_at = $3,
 name = CASE WHEN EXISTS (SELECT 1 FROM groups o WHERE o.tenant_id = $1 AND o.name_key = groups.name_key AND o.id <> groups.id
  AND (o.managed_by = 'local' OR o.connection_id = $2)) THEN name || ' (' || id || ')' ELSE name END,
 name_key = CASE WHEN EXISTS (SELECT 1 FROM groups o WHERE o.tenant_id = $1 AND o.name_key = groups.name_key AND o.id <> groups.id
  AND (o.managed_by = 'local' OR o.connection_id = $2)) THEN name_key || ' (' || id || ')' ELSE name_key END
WHERE tenant_id = $1 AND managed_by = 'scim' AND connection_id = $2`
)

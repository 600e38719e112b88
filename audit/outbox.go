package audit

import (
	"context"
	"maps"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

// AllActions stands for every action where a subscriber says what it wants.
const AllActions = "*"

// Actions lists the catalogue in alphabetical order.
func Actions() []string { return slices.Sorted(maps.Keys(catalogue)) }

// SetInterest says which actions the subscriber wants to hear of in the tenant, in
// place of what it wanted before; none ends it.
func SetInterest(ctx context.Context, q db.Queryer, tenant, subscriber string, actions []string) error {
	set := db.Set(actions)
	return q.Batch(ctx, []db.Stmt{
		{SQL: sqlDropInterest, Args: []any{tenant, subscriber, set}},
		{SQL: sqlAddInterest, Args: []any{tenant, subscriber, set}},
	})
}

// DropInterest forgets whatever anybody wanted of the tenant, which is gone.
func DropInterest(ctx context.Context, q db.Queryer, tenant string) error {
	_, err := q.Exec(ctx, sqlDropTenantInterest, tenant)
	return err
}

// OutboxWaits reports whether an event waits for its subscribers: cheap, and
// outside of any transaction.
func OutboxWaits(ctx context.Context, q db.Queryer) (waits bool, err error) {
	err = q.QueryRow(ctx, sqlOutboxWaits).Scan(&waits)
	return waits, err
}

// OutboxTenants gives tenants whose events wait for subscribers, in the order of
// their ids after the one given, at most limit.
func OutboxTenants(ctx context.Context, q db.Queryer, after string, limit int) (list []string, err error) {
	rows, err := q.Query(ctx, sqlOutboxTenants, after, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var tenant string
		if err := rows.Scan(&tenant); err != nil {
			return nil, err
		}
		list = append(list, tenant)
	}
	return list, rows.Err()
}

// ClaimOutbox gives the oldest events of each tenant that somebody subscribed to,
// at most as many as limits say, and strikes them from the outbox: they are the
// caller's once the transaction of q commits, and wait again when it does not. Two
// claims at the same time give different events. n is how many were struck, those
// included that retention has taken.
func ClaimOutbox(ctx context.Context, q db.Queryer, limits map[string]int) (list []Entry, n int, err error) {
	type place struct{ tenant, id string }
	var order []place
	ids := map[string][]string{} // by tenant
	claim := func(tenant string) func(db.Rows) error {
		return func(rows db.Rows) error {
			for rows.Next() {
				var id string
				if err := rows.Scan(&id); err != nil {
					return err
				}
				order, ids[tenant] = append(order, place{tenant, id}), append(ids[tenant], id)
			}
			return rows.Err()
		}
	}
	var stmts []db.Stmt
	for _, tenant := range slices.Sorted(maps.Keys(limits)) {
		stmts = append(stmts, db.Stmt{SQL: sqlOutbox + q.Dialect().SkipLocked, Args: []any{tenant, limits[tenant]}, Scan: claim(tenant)})
	}
	if err := q.Batch(ctx, stmts); err != nil || len(order) == 0 {
		return nil, 0, err
	}
	found := make(map[place]Entry, len(order))
	read := func(rows db.Rows) error {
		for rows.Next() {
			var r row
			if err := r.scan(rows); err != nil {
				return err
			}
			e, err := r.entry()
			if err != nil {
				return err
			}
			found[place{e.Tenant, e.ID}] = e
		}
		return rows.Err()
	}
	stmts = stmts[:0]
	for _, tenant := range slices.Sorted(maps.Keys(ids)) {
		set := db.Set(ids[tenant])
		stmts = append(stmts,
			db.Stmt{SQL: sqlEventsByID, Args: []any{tenant, set}, Scan: read},
			db.Stmt{SQL: sqlDeleteOutbox, Args: []any{tenant, set}})
	}
	if err := q.Batch(ctx, stmts); err != nil {
		return nil, 0, err
	}
	for _, p := range order {
		if e, ok := found[p]; ok {
			list = append(list, e)
		}
	}
	return list, len(order), nil
}

const (
	sqlDropInterest = `DELETE FROM audit_interest
WHERE tenant_id = $1 AND subscriber = $2 AND action NOT IN (SELECT key FROM json_each($3))`

	sqlAddInterest = `INSERT INTO audit_interest (tenant_id, action, subscriber)
SELECT $1, key, $2 FROM json_each($3) WHERE TRUE ON CONFLICT DO NOTHING`

	sqlDropTenantInterest = `DELETE FROM audit_interest WHERE tenant_id = $1`

	// sqlOutboxWaits and sqlOutboxTenants cross tenants: the dispatcher serves all of them.
	sqlOutboxWaits = `SELECT EXISTS (SELECT 1 FROM outbox)`

	// sqlOutboxTenants steps along the key from one tenant to the next, however many
	// events of one of them wait.
	sqlOutboxTenants = `WITH RECURSIVE waiting (id) AS (
  SELECT MIN(tenant_id) FROM outbox WHERE tenant_id > $1
  UNION ALL
  SELECT (SELECT MIN(o.tenant_id) FROM outbox o WHERE o.tenant_id > w.id) FROM waiting w WHERE w.id IS NOT NULL)
SELECT id FROM waiting WHERE id IS NOT NULL LIMIT $2`

	sqlOutbox = `SELECT event_id FROM outbox WHERE tenant_id = $1 ORDER BY event_id LIMIT $2`

	sqlEventsByID = `SELECT ` + eventColumns + ` FROM audit_events e WHERE e.tenant_id = $1 AND e.id IN (SELECT key FROM json_each($2))`

	sqlDeleteOutbox = `DELETE FROM outbox WHERE tenant_id = $1 AND event_id IN (SELECT key FROM json_each($2))`
)

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

// ClaimOutbox gives the longest-waiting events that somebody subscribed to, at
// most limit, and strikes them from the outbox: they are the caller's once the
// transaction of q commits, and wait again when it does not. Two claims at the
// same time give different events.
func ClaimOutbox(ctx context.Context, q db.Queryer, limit int) ([]Entry, error) {
	type place struct{ tenant, id string }
	var order []place
	ids := map[string][]string{} // by tenant
	rows, err := q.Query(ctx, sqlOutbox+q.Dialect().SkipLocked, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var p place
		if err := rows.Scan(&p.tenant, &p.id); err != nil {
			return nil, err
		}
		order, ids[p.tenant] = append(order, p), append(ids[p.tenant], p.id)
	}
	rows.Close()
	if err := rows.Err(); err != nil || len(order) == 0 {
		return nil, err
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
	var stmts []db.Stmt
	for _, tenant := range slices.Sorted(maps.Keys(ids)) {
		set := db.Set(ids[tenant])
		stmts = append(stmts,
			db.Stmt{SQL: sqlEventsByID, Args: []any{tenant, set}, Scan: read},
			db.Stmt{SQL: sqlDeleteOutbox, Args: []any{tenant, set}})
	}
	if err := q.Batch(ctx, stmts); err != nil {
		return nil, err
	}
	list := make([]Entry, 0, len(order))
	for _, p := range order {
		if e, ok := found[p]; ok {
			list = append(list, e)
		}
	}
	return list, nil
}

const (
	sqlDropInterest = `DELETE FROM audit_interest
WHERE tenant_id = $1 AND subscriber = $2 AND action NOT IN (SELECT key FROM json_each($3))`

	sqlAddInterest = `INSERT INTO audit_interest (tenant_id, action, subscriber)
SELECT $1, key, $2 FROM json_each($3) WHERE TRUE ON CONFLICT DO NOTHING`

	sqlDropTenantInterest = `DELETE FROM audit_interest WHERE tenant_id = $1`

	// sqlOutboxWaits and sqlOutbox cross tenants: the dispatcher serves all of them.
	sqlOutboxWaits = `SELECT EXISTS (SELECT 1 FROM outbox)`

	sqlOutbox = `SELECT tenant_id, event_id FROM outbox ORDER BY created_at LIMIT $1`

	sqlEventsByID = `SELECT ` + eventColumns + ` FROM audit_events e WHERE e.tenant_id = $1 AND e.id IN (SELECT key FROM json_each($2))`

	sqlDeleteOutbox = `DELETE FROM outbox WHERE tenant_id = $1 AND event_id IN (SELECT key FROM json_each($2))`
)

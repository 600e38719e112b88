package audit

import "context"

// Every tenant that has events, the empty one for those above tenants included:
// an operator's check goes over all chains.
const sqlChains = `SELECT DISTINCT tenant_id FROM audit_events ORDER BY tenant_id`

// Chains lists the tenants that have a chain; the empty one stands for the
// events above tenants.
func (l *Log) Chains(ctx context.Context) ([]string, error) {
	rows, err := l.db.Query(ctx, sqlChains)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var t string
		if err := rows.Scan(&t); err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	return list, rows.Err()
}

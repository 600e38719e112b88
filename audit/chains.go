package audit

import "context"

// Every tenant that has events, the empty one for those above tenants included:
// an operator's check goes over all chains.
// Those of which retention left nothing but a checkpoint count.
const sqlChains = `SELECT tenant_id FROM audit_events UNION SELECT tenant_id FROM audit_checkpoints UNION SELECT tenant_id FROM audit_seals`

// Chains lists the tenants that have a chain; the empty one stands for the
// events above tenants.
func (l *Log) Chains(ctx context.Context) ([]string, error) {
	return l.texts(ctx, sqlChains)
}

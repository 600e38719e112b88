package audit

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
)

// maxCounted bounds what Stats counts, so that its cost does not grow with the log.
const maxCounted = 100_000

// Stats are the numbers above a tenant's log (product 2.8). A number of 100,000
// means that many or more.
type Stats struct {
	Today      int       // events since TodayFrom
	TodayFrom  time.Time // midnight UTC
	Severe     int       // high, critical and error among the newest 100,000 since SevereFrom
	SevereFrom time.Time // seven days ago
}

const (
	sqlStatsToday = `SELECT COUNT(*) FROM (
 SELECT 1 FROM audit_events e WHERE e.tenant_id = $1 AND e.occurred_at >= $2 AND e.occurred_at < $3 AND (e.visible OR $4) LIMIT $5) n`

	// The index by time holds severity and visible, so that no event is read.
	sqlStatsSevere = `SELECT COUNT(*) FROM (
 SELECT e.severity, e.visible FROM audit_events e WHERE e.tenant_id = $1 AND e.occurred_at >= $2 AND e.occurred_at < $3
 ORDER BY e.occurred_at DESC, e.id DESC LIMIT $5) n
WHERE n.severity IN ('high', 'critical', 'error') AND (n.visible OR $4)`
)

// Stats counts a tenant's events; the caller has found the tenant in the actor's
// environment and authorized him to read its log. Hidden events count for actors
// above tenants.
func (l *Log) Stats(ctx context.Context, q db.Queryer, a actor.Actor, tenant string) (Stats, error) {
	if tenant == "" || a.Tenant != "" && tenant != a.Tenant {
		return Stats{}, errTenant
	}
	now := l.clock.Now().UTC()
	s := Stats{TodayFrom: now.Truncate(24 * time.Hour), SevereFrom: now.AddDate(0, 0, -7)}
	one := func(to *int) func(db.Rows) error {
		return func(rows db.Rows) error {
			for rows.Next() {
				if err := rows.Scan(to); err != nil {
					return err
				}
			}
			return rows.Err()
		}
	}
	until := db.At(now.Add(maxAhead))
	hidden := a.Tenant == ""
	err := q.Batch(ctx, []db.Stmt{
		{SQL: sqlStatsToday, Args: []any{tenant, db.At(s.TodayFrom), until, hidden, int64(maxCounted)}, Scan: one(&s.Today)},
		{SQL: sqlStatsSevere, Args: []any{tenant, db.At(s.SevereFrom), until, hidden, int64(maxCounted)}, Scan: one(&s.Severe)},
	})
	return s, err
}

package directory

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
)

// PurgeKind is the kind of the job that calls Purge, daily.
const PurgeKind = "directory.purge"

const purgeBatch = 200

// Purge removes memberships that were deleted softly more than RetentionDays
// ago, each with a tombstone as a hard delete leaves it, and returns how many.
// It opens its own transactions: it is a job, not an operation.
func (s *Service) Purge(ctx context.Context, d db.DB) (int, error) {
	total := 0
	for {
		n := 0
		err := d.Tx(ctx, func(q db.Queryer) error {
			var err error
			n, err = s.purgeSome(ctx, q)
			return err
		})
		if total += n; err != nil || n < purgeBatch {
			return total, err
		}
	}
}

func (s *Service) purgeSome(ctx context.Context, q db.Queryer) (int, error) {
	now := s.clock.Now()
	rows, err := q.Query(ctx, sqlExpiredHidden+q.Dialect().SkipLocked, db.At(now.Add(-RetentionDays*24*time.Hour)), int64(purgeBatch))
	if err != nil {
		return 0, err
	}
	var gone []Membership
	for rows.Next() {
		var m Membership
		if err := scanMembership(rows, &m); err != nil {
			rows.Close()
			return 0, err
		}
		gone = append(gone, m)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return 0, err
	}
	var stmts []db.Stmt
	for _, m := range gone {
		events, err := audit.Stmts(s.event(actor.Actor{Kind: actor.System, Environment: m.Environment, Tenant: m.Tenant, Name: "retention"}, m, "user.deleted", now, nil))
		if err != nil {
			return 0, err
		}
		stmts = append(append(stmts, bury(m, now)...), events...)
	}
	if len(stmts) == 0 {
		return 0, nil
	}
	return len(gone), q.Batch(ctx, stmts)
}

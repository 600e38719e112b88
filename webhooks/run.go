package webhooks

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/db"
)

// JobPurge is the kind of the job that runs Purge.
const JobPurge = "webhooks.purge"

// Retention is how long messages, deliveries and attempts are kept, and so how far
// back a replay reaches.
const Retention = 30 * 24 * time.Hour

// purgeBatch is how many messages one transaction removes, with all their deliveries
// and attempts.
const purgeBatch = 200

// Run dispatches and sends until ctx ends; it then starts nothing more, gives
// requests 10 seconds, and gives its queues back. A request that was cut counts for
// nothing and is sent again.
func (s *Service) Run(ctx context.Context) {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var dispatching, running sync.WaitGroup
	dispatching.Go(func() { s.dispatchAll(ctx) })
	s.sendAll(ctx, work, &running)
	timer := time.AfterFunc(s.grace, stop)
	defer timer.Stop()
	dispatching.Wait()
	running.Wait()
}

func (s *Service) dispatchAll(ctx context.Context) {
	tick := time.NewTicker(s.poll)
	defer tick.Stop()
	for {
		n, more, err := s.dispatchSome(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "webhooks: cannot dispatch", slog.Any("error", err))
		}
		if n > 0 {
			s.nudge()
		}
		if more && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *Service) sendAll(ctx, work context.Context, running *sync.WaitGroup) {
	tick := time.NewTicker(s.poll)
	defer tick.Stop()
	for {
		list, err := s.claim(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "webhooks: cannot claim", slog.Any("error", err))
		}
		for _, l := range list {
			linger, leave := s.enter(l)
			running.Go(func() {
				defer leave()
				defer time.AfterFunc(slowAnswer, linger).Stop()
				s.work(ctx, work, l)
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-tick.C:
		}
	}
}

func (s *Service) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// RunDue dispatches and sends what is due now, one queue after another, until
// nothing is: for command lines and tests.
func (s *Service) RunDue(ctx context.Context) error {
	for {
		for {
			if n, err := s.Dispatch(ctx); err != nil {
				return err
			} else if n == 0 {
				break
			}
		}
		list, err := s.claim(ctx)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, l := range list {
			s.work(ctx, ctx, l)
		}
	}
}

// DropTenant drops up to limit of the messages of a tenant that is being deleted,
// with their deliveries, and reports how many.
func (s *Service) DropTenant(ctx context.Context, q db.Queryer, _, tenant string, limit int) (int64, error) {
	return q.Exec(ctx, sqlDropTenantMessages, tenant, int64(limit))
}

// Purge removes what is older than Retention, and what deleted tenants wanted to
// hear of. It opens its own transactions.
func (s *Service) Purge(ctx context.Context) error {
	before := db.At(s.clock.Now().Add(-Retention))
	for {
		n, err := s.db.Exec(ctx, sqlPurge, before, purgeBatch)
		if err != nil {
			return err
		}
		if n < purgeBatch {
			break
		}
	}
	if _, err := s.db.Exec(ctx, sqlPurgeSecrets, db.At(s.clock.Now())); err != nil {
		return err
	}
	rows, err := s.db.Query(ctx, sqlForgottenInterest)
	if err != nil {
		return err
	}
	defer rows.Close()
	var gone []string
	for rows.Next() {
		var tenant string
		if err := rows.Scan(&tenant); err != nil {
			return err
		}
		gone = append(gone, tenant)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return err
	}
	for _, tenant := range gone {
		if err := audit.DropInterest(ctx, s.db, tenant); err != nil {
			return err
		}
	}
	return nil
}

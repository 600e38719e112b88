package jobs

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

// A job that is asked for again while it runs is not lost: again_at makes it
// run once more. While it waits, the earlier time and the later payload win.
const sqlEnqueue = `INSERT INTO jobs (environment_id, tenant_id, id, kind, key, payload, run_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (environment_id, tenant_id, kind, key) WHERE key <> '' DO UPDATE SET
  payload = excluded.payload,
  run_at = CASE WHEN jobs.leased_until = 0 AND excluded.run_at < jobs.run_at THEN excluded.run_at ELSE jobs.run_at END,
  again_at = CASE WHEN jobs.leased_until = 0 THEN 0 ELSE excluded.run_at END`

// The first run is at once; a shorter interval than before takes effect at start.
const sqlPeriodic = `INSERT INTO jobs (environment_id, tenant_id, id, kind, key, payload, run_at, created_at)
VALUES ('', '', $1, $2, $3, '', $4, $4)
ON CONFLICT (environment_id, tenant_id, kind, key) WHERE key <> '' DO UPDATE SET run_at = $5 WHERE jobs.run_at > $5`

// Cheap and without a transaction: most polls find nothing.
const sqlAnyDue = `SELECT id FROM jobs
WHERE run_at <= $1 AND leased_until <= $1 AND kind IN (SELECT key FROM json_each($2)) LIMIT 1`

// Cross-tenant: the claim of jobs. A replica claims only kinds that it knows,
// because during a deployment an older one does not know all.
const sqlDue = `SELECT id, environment_id, tenant_id, kind, key, payload, attempts
FROM jobs WHERE run_at <= $1 AND leased_until <= $1 AND kind IN (SELECT key FROM json_each($2))
ORDER BY run_at, id LIMIT $3`

const sqlLease = `UPDATE jobs SET leased_until = $1, lease_owner = $2, attempts = attempts + 1, again_at = 0
WHERE id IN (SELECT key FROM json_each($3))`

const sqlDone = `DELETE FROM jobs WHERE id = $1 AND lease_owner = $2 AND again_at = 0`

const sqlDoneAgain = `UPDATE jobs SET run_at = again_at, again_at = 0, attempts = 0, leased_until = 0, lease_owner = '', last_error = ''
WHERE id = $1 AND lease_owner = $2`

const sqlDrop = `DELETE FROM jobs WHERE id = $1 AND lease_owner = $2`

const sqlReschedule = `UPDATE jobs SET run_at = $3, attempts = $4, leased_until = 0, lease_owner = '', last_error = $5
WHERE id = $1 AND lease_owner = $2`

const sqlRelease = `UPDATE jobs SET attempts = attempts - 1, leased_until = 0, lease_owner = ''
WHERE id = $1 AND lease_owner = $2`

// claim leases up to limit due jobs.
func (r *Runner) claim(ctx context.Context, limit int) ([]Job, error) {
	now, kinds := r.clock.Now(), r.kinds()
	var due string
	if err := r.db.QueryRow(ctx, sqlAnyDue, db.At(now), kinds).Scan(&due); errors.Is(err, db.ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	owner := newOwner()
	var jobs []Job
	err := r.db.Tx(ctx, func(q db.Queryer) error {
		jobs = nil // Tx may run this again
		rows, err := q.Query(ctx, sqlDue+q.Dialect().SkipLocked, db.At(now), kinds, limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		var ids []string
		for rows.Next() {
			j := Job{owner: owner}
			var payload string
			if err := rows.Scan(&j.ID, &j.Environment, &j.Tenant, &j.Kind, &j.Key, &payload, &j.Attempt); err != nil {
				return err
			}
			j.Payload = []byte(payload)
			j.Attempt++
			ids = append(ids, j.ID)
			jobs = append(jobs, j)
		}
		rows.Close()
		if err := rows.Err(); err != nil || len(jobs) == 0 {
			return err
		}
		_, err = q.Exec(ctx, sqlLease, db.At(now.Add(lease)), owner, db.Set(ids))
		return err
	})
	if err != nil {
		return nil, err
	}
	return jobs, nil
}

func (r *Runner) done(ctx context.Context, j Job) (held bool, err error) {
	var deleted, again int64
	err = r.db.Batch(ctx, []db.Stmt{
		{SQL: sqlDone, Args: []any{j.ID, j.owner}, Affected: &deleted},
		{SQL: sqlDoneAgain, Args: []any{j.ID, j.owner}, Affected: &again},
	})
	return deleted+again > 0, err
}

func (r *Runner) reschedule(ctx context.Context, j Job, at time.Time, attempts int, reason string) (held bool, err error) {
	n, err := r.db.Exec(ctx, sqlReschedule, j.ID, j.owner, db.At(at), attempts, reason)
	return n > 0, err
}

func (r *Runner) drop(ctx context.Context, j Job) (held bool, err error) {
	n, err := r.db.Exec(ctx, sqlDrop, j.ID, j.owner)
	return n > 0, err
}

func (r *Runner) release(ctx context.Context, j Job) (held bool, err error) {
	n, err := r.db.Exec(ctx, sqlRelease, j.ID, j.owner)
	return n > 0, err
}

// kinds is the parameter of json_each: the registered kinds as keys.
func (r *Runner) kinds() string { return db.Set(slices.Collect(maps.Keys(r.handlers))) }

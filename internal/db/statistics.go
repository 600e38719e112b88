package db

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// PostgreSQL's own daemon looks for grown tables once a minute. Until then the planner knows nothing
// about a fresh database: it takes any index that begins with tenant_id for as good as the primary
// key, and reads a whole tenant for one row. So a table that has grown by half is analyzed at once,
// with pauses that double for each table: a table that changes all the time is left to the daemon.
const (
	statisticsEvery = time.Second
	statisticsFirst = 2 * time.Second
	statisticsLast  = 10 * time.Minute // beyond this pause the daemon is quicker
)

const sqlGrownTables = `SELECT format('%I.%I', schemaname, relname) FROM pg_stat_user_tables
WHERE schemaname = current_schema() AND n_mod_since_analyze >= 100 AND n_mod_since_analyze > n_live_tup / 2`

// keepStatistics analyzes tables that have grown until ctx ends. Failures are passed over: they cost
// speed only, and the daemon comes anyway.
func keepStatistics(ctx context.Context, pool *pgxpool.Pool, done chan<- struct{}) {
	defer close(done)
	tick := time.NewTicker(statisticsEvery)
	defer tick.Stop()
	next, pause := map[string]time.Time{}, map[string]time.Duration{}
	var commits int64
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			// A store that is not used is not asked.
			if n := pool.Stat().AcquireCount(); n == commits {
				continue
			}
			for _, table := range grownTables(ctx, pool) {
				if now.Before(next[table]) || pause[table] > statisticsLast {
					continue
				}
				pause[table] = max(statisticsFirst, 2*pause[table])
				next[table] = now.Add(pause[table])
				_, _ = pool.Exec(ctx, "ANALYZE (SKIP_LOCKED) "+table) // quoted by the server
			}
			commits = pool.Stat().AcquireCount()
		}
	}
}

func grownTables(ctx context.Context, pool *pgxpool.Pool) []string {
	rows, err := pool.Query(ctx, sqlGrownTables)
	if err != nil {
		return nil
	}
	defer rows.Close()
	var tables []string
	for rows.Next() {
		var t string
		if rows.Scan(&t) != nil {
			return nil
		}
		tables = append(tables, t)
	}
	return tables
}

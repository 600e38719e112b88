package audit

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
)

// JobPurge is the kind of the job of retention. A run does what it finds time
// for; a daily one would fall behind when there is much.
const JobPurge = "audit.purge"

// DefaultDays is how long events are kept where an environment does not choose
// (product 7.2).
const DefaultDays = 400

// actionPurged is the event that tells of a deletion by retention.
const actionPurged = "audit.purged"

const (
	purgeBatch  = 1000 // events of one transaction
	purgeWindow = 5000 // events of one look for tenants that have old ones
	// purgeTime bounds a run; the next goes on.
	purgeTime = time.Minute
)

const (
	sqlEnvironments = environments + ` SELECT id FROM env WHERE id IS NOT NULL`

	// sqlExpired crosses tenants: retention finds those that have old events.
	sqlExpired = `SELECT e.tenant_id, e.recorded_at FROM audit_events e
WHERE e.environment_id = $1 AND e.recorded_at >= $2 AND e.recorded_at < $3 ORDER BY e.recorded_at LIMIT $4`

	// sqlOldest reads the beginning of a chain. waiting: a subscriber has not been told yet.
	sqlOldest = chainColumns + `, s.sealed_at, EXISTS (SELECT 1 FROM outbox o WHERE o.tenant_id = s.tenant_id AND o.event_id = s.event_id)` + chainTables

	sqlDropSeals  = `DELETE FROM audit_seals WHERE tenant_id = $1 AND seq > $2 AND seq <= $3`
	sqlDropEvents = `DELETE FROM audit_events WHERE tenant_id = $1 AND id IN (SELECT key FROM json_each($2))`
	// sqlDropKeys crosses tenants: retention.
	sqlDropKeys = `DELETE FROM audit_event_keys WHERE created_at < $1`
)

// Purge deletes events older than their environment keeps them; days gives that
// number, and DefaultDays holds for what it does not know. Only sealed events go,
// from the beginning of each chain on: an old event behind a younger one waits,
// as it may in the chain above tenants, which all environments share; so does one
// that a subscriber has not been told of. Runs may overlap: of two, one deletes.
//
// Where it cut a chain it leaves a checkpoint, and for each batch of up to 1,000 a
// hidden event in that chain, audit.purged, that tells of it. It verifies what it
// deletes, and counts what did not hold: then the event is critical.
func (l *Log) Purge(ctx context.Context, days map[string]int) error {
	now := l.clock.Now()
	ctx, cancel := context.WithTimeout(ctx, purgeTime)
	defer cancel()
	if _, err := l.db.Exec(ctx, sqlDropKeys, db.At(now.Add(-keyLifetime))); err != nil {
		return err
	}
	list, err := l.texts(ctx, sqlEnvironments)
	if err != nil {
		return err
	}
	cut := map[string]db.Time{}
	for _, environment := range list {
		keep := days[environment]
		if keep <= 0 {
			keep = DefaultDays
		}
		cut[environment] = db.At(now.AddDate(0, 0, -keep))
	}
	var errs []error
	done := map[string]bool{} // chains of this run
	for _, environment := range list {
		errs = append(errs, l.purgeEnvironment(ctx, environment, cut, done, now))
	}
	err = errors.Join(errs...)
	if ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
		return nil // the next run goes on
	}
	return err
}

func (l *Log) purgeEnvironment(ctx context.Context, environment string, cut map[string]db.Time, done map[string]bool, now time.Time) error {
	var errs []error
	for from := int64(0); ; {
		n, last := 0, from
		var chains []string
		rows, err := l.db.Query(ctx, sqlExpired, environment, from, cut[environment], int64(purgeWindow))
		if err != nil {
			return err
		}
		for rows.Next() {
			var tenant string
			if err := rows.Scan(&tenant, &last); err != nil {
				rows.Close()
				return err
			}
			n++
			if !done[tenant] {
				done[tenant] = true
				chains = append(chains, tenant)
			}
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return err
		}
		for _, tenant := range chains {
			if err := l.purgeChain(ctx, tenant, environment, cut, now); err != nil && !errors.Is(err, errOvertaken) {
				errs = append(errs, err)
			}
			if ctx.Err() != nil {
				return errors.Join(append(errs, ctx.Err())...)
			}
		}
		if n < purgeWindow {
			return errors.Join(errs...)
		}
		from = max(last, from+1)
	}
}

// errOvertaken ends the work on a chain that another run works on.
var errOvertaken = errors.New("audit: another run purges this chain")

// purgeChain deletes the old beginning of a chain, batch by batch.
func (l *Log) purgeChain(ctx context.Context, tenant, environment string, cut map[string]db.Time, now time.Time) error {
	for {
		more, err := l.purgeStretch(ctx, tenant, environment, cut, now)
		if err != nil || !more || ctx.Err() != nil {
			return err
		}
	}
}

// purgeStretch deletes the next batch, leaves the checkpoint and tells of it, all
// or nothing; more reports whether the one after may have some too.
func (l *Log) purgeStretch(ctx context.Context, tenant, environment string, cut map[string]db.Time, now time.Time) (more bool, err error) {
	err = l.db.Tx(ctx, func(q db.Queryer) error {
		c, err := readCheckpoint(ctx, q, tenant)
		if err != nil {
			return err
		}
		events, next, bad, err := l.oldest(ctx, q, c, cut)
		if err != nil {
			return err
		}
		more = len(events) == purgeBatch
		deleted := next.events - c.events
		if deleted == 0 {
			return nil
		}
		next.faults += bad
		next.at = db.At(now)
		next.digest = next.sum()
		e := Event{
			Environment: environment, Tenant: tenant, Action: actionPurged, Actor: actor.Actor{Kind: actor.System, Name: JobPurge}, Hidden: true, At: now,
			Metadata: map[string]any{"events": deleted, "faults": bad, "seq": next.seq, "hash": next.hash},
		}
		if bad > 0 {
			e.Severity = Critical
		}
		told, err := Stmts(e)
		if err != nil {
			return err
		}
		var seals int64
		err = q.Batch(ctx, append([]db.Stmt{
			{SQL: sqlDropSeals, Args: []any{tenant, c.seq, next.seq}, Affected: &seals},
			{SQL: sqlDropEvents, Args: []any{tenant, db.Set(events)}},
			{SQL: sqlPutCheckpoint, Args: []any{tenant, next.seq, next.hash, next.events, next.faults, next.at, next.digest}},
		}, told...))
		if err == nil && seals != deleted {
			err = errOvertaken
		}
		return err
	})
	return more, err
}

// oldest reads the beginning of a chain up to the first event that stays, and
// gives the ids of those before it, the checkpoint behind them and how many did
// not verify.
func (l *Log) oldest(ctx context.Context, q db.Queryer, c checkpoint, cut map[string]db.Time) (events []string, next checkpoint, faults int64, err error) {
	rows, err := q.Query(ctx, sqlOldest, c.tenant, c.seq, int64(purgeBatch))
	if err != nil {
		return nil, c, 0, err
	}
	defer rows.Close()
	v := verifier{seq: c.seq, stored: c.hash, computed: c.hash}
	next = c
	for rows.Next() {
		var r row
		var seq int64
		var event, hash string
		var sealed db.Time
		var waiting bool
		if err := r.scan(rows, &seq, &event, &hash, &sealed, &waiting); err != nil {
			return nil, c, 0, err
		}
		if r.ID == "" { // gone before its time; its place goes when the time has come
			r.Recorded = sealed
		}
		if waiting || !r.Recorded.Before(cutOf(cut, r.Environment)) {
			break
		}
		if err := v.next(&r, seq, event, hash); err != nil {
			return nil, c, 0, err
		}
		events = append(events, event)
		next.seq, next.hash = seq, hash
		next.events++
	}
	v.settle()
	return events, next, int64(len(v.result.Faults)), rows.Err()
}

// cutOf gives the time before which an environment's events go; that of the
// longest memory for one that nobody knows, as of an event that is missing.
func cutOf(cut map[string]db.Time, environment string) time.Time {
	if at, ok := cut[environment]; ok {
		return at.Time
	}
	var first time.Time
	for _, at := range cut {
		if first.IsZero() || at.Before(first) {
			first = at.Time
		}
	}
	return first
}

func (l *Log) texts(ctx context.Context, statement string) ([]string, error) {
	rows, err := l.db.Query(ctx, statement)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	slices.Sort(list)
	return list, rows.Err()
}

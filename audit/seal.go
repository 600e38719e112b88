package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

// JobSeal is the kind of the job that seals, every few seconds.
const JobSeal = "audit.seal"

const (
	sealBatch = 1000
	// overlap is how far a run looks back behind the start of the one before: a
	// transaction may commit that long after it took its time. Each run reads all
	// that happened since, sealed or not, so that it is short, and for those that
	// commit even later a run looks back farther now and then.
	overlap       = time.Minute
	longOverlap   = time.Hour
	longEvery     = 10 * time.Minute
	completeEvery = 24 * time.Hour // a run looks at all events
)

// Seal gives the committed events of all tenants their places in the chains.
// Runs may overlap: a chain has one row per place, so of two sealers of a tenant
// one finds its place taken and leaves the tenant to the other.
func (l *Log) Seal(ctx context.Context) error {
	start := l.clock.Now()
	l.mu.Lock()
	complete := l.sealed.IsZero() || start.Sub(l.complete) >= completeEvery
	long := complete || start.Sub(l.long) >= longEvery
	since := l.sealed.Add(-overlap)
	if long {
		since = l.sealed.Add(-longOverlap)
	}
	l.mu.Unlock()
	from, after := since.UnixMicro(), id.Ago(id.Event, start.Sub(since))
	if complete {
		from, after = 0, ""
	}
	tenants, err := l.unsealedTenants(ctx, from)
	if err != nil {
		return err
	}
	var errs []error
	for _, tenant := range tenants {
		if err := l.sealTenant(ctx, tenant, after, start); err != nil && !errors.Is(err, db.ErrConflict) {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sealed = start
	if long {
		l.long = start
	}
	if complete {
		l.complete = start
	}
	return nil
}

func (l *Log) unsealedTenants(ctx context.Context, from int64) ([]string, error) {
	rows, err := l.db.Query(ctx, sqlUnsealedTenants, from)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var tenants []string
	for rows.Next() {
		var t string
		if err := rows.Scan(&t); err != nil {
			return nil, err
		}
		tenants = append(tenants, t)
	}
	return tenants, rows.Err()
}

// sealTenant seals the tenant's events whose ids follow after, from batch to batch:
// what is sealed already is read once.
func (l *Log) sealTenant(ctx context.Context, tenant, after string, now time.Time) error {
	for {
		var n int
		next := after
		err := l.db.Tx(ctx, func(q db.Queryer) error {
			var seq int64
			var hash string
			events := make([]row, 0, sealBatch)
			err := q.Batch(ctx, []db.Stmt{
				{SQL: sqlHead, Args: []any{tenant}, Scan: func(rows db.Rows) error {
					for rows.Next() {
						if err := rows.Scan(&seq, &hash); err != nil {
							return err
						}
					}
					return rows.Err()
				}},
				{SQL: sqlUnsealed, Args: []any{tenant, after, int64(sealBatch)}, Scan: func(rows db.Rows) error {
					for rows.Next() {
						var r row
						if err := r.scan(rows); err != nil {
							return err
						}
						events = append(events, r)
					}
					return rows.Err()
				}},
			})
			if err != nil {
				return err
			}
			seals := make([]string, len(events))
			for i := range events {
				seq++
				if hash, err = events[i].hash(hash); err != nil {
					return err
				}
				next = events[i].ID
				seals[i] = next + hash + strconv.FormatInt(seq, 10)
			}
			n = len(events)
			if n == 0 {
				return nil
			}
			_, err = q.Exec(ctx, sqlInsertSeals, tenant, db.At(now), db.Set(seals))
			return err
		})
		after = next
		if err != nil || n < sealBatch {
			return err
		}
	}
}

// canonical is an event as it is hashed: every column as a string or a number,
// in the alphabetical order of their names. Documents are strings here, so that
// each byte of what is stored counts.
type canonical struct {
	Action      string `json:"action"`
	Actor       string `json:"actor"`
	ActorID     string `json:"actor_id"`
	ActorType   string `json:"actor_type"`
	Changes     string `json:"changes"`
	Context     string `json:"context"`
	Environment string `json:"environment_id"`
	ID          string `json:"id"`
	Metadata    string `json:"metadata"`
	Occurred    int64  `json:"occurred_at"`
	Outcome     string `json:"outcome"`
	Recorded    int64  `json:"recorded_at"`
	Severity    string `json:"severity"`
	Source      string `json:"source"`
	Targets     string `json:"targets"`
	Tenant      string `json:"tenant_id"`
	Visible     bool   `json:"visible"`
}

// hash links the event to the hash of the event before it.
func (r *row) hash(previous string) (string, error) {
	text, err := json.Marshal(canonical{
		Action: r.Action, Actor: r.Actor, ActorID: r.ActorID, ActorType: r.ActorType, Changes: r.Changes, Context: r.Context,
		Environment: r.Environment, ID: r.ID, Metadata: r.Metadata, Occurred: r.Occurred.UnixMicro(), Outcome: string(r.Outcome),
		Recorded: r.Recorded.UnixMicro(), Severity: string(r.Severity), Source: r.Source, Targets: r.Targets, Tenant: r.Tenant,
		Visible: r.Visible,
	})
	if err != nil {
		return "", err
	}
	h := sha256.New()
	h.Write([]byte(previous))
	h.Write(text)
	return hex.EncodeToString(h.Sum(nil)), nil
}

package audit

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

// ErrForbidden is the answer to an actor that lacks a permission.
var ErrForbidden = fault.New(fault.Forbidden, "forbidden", "You do not have the permission for this.")

// Record writes the event in the transaction of q.
func Record(ctx context.Context, q db.Queryer, e Event) error {
	stmts, err := Stmts(e)
	if err != nil {
		return err
	}
	return q.Batch(ctx, stmts)
}

// Log reads and seals events, and records those that have no transaction of
// their own.
type Log struct {
	db    db.DB
	clock clock.Clock

	mu       sync.Mutex
	sealed   time.Time // start of the last run of Seal in this process that succeeded
	long     time.Time // start of the last run that looked back far
	complete time.Time // start of the last run that looked at all events
}

// NewLog makes a log on the store.
func NewLog(d db.DB, c clock.Clock) *Log { return &Log{db: d, clock: c} }

// Authorize refuses with ErrForbidden when the actor lacks the permission, and
// records the denial on its own, outside any transaction. It asks nothing of the
// store when the actor holds it.
func (l *Log) Authorize(ctx context.Context, a actor.Actor, permission string, t Target) error {
	if a.May(permission) {
		return nil
	}
	e := Event{
		Environment: a.Environment, Tenant: a.Tenant, Action: "authorization.denied", Outcome: Denied, Actor: a,
		Metadata: map[string]any{"permission": permission}, At: l.clock.Now(),
	}
	if t != (Target{}) {
		e.Targets = []Target{t}
	}
	if err := l.RecordAlone(ctx, e); err != nil {
		return err
	}
	return ErrForbidden
}

// RecordAlone writes the event in a transaction of its own: for denials, which
// are told after the rollback of what was denied.
func (l *Log) RecordAlone(ctx context.Context, e Event) error {
	if e.At.IsZero() {
		e.At = l.clock.Now()
	}
	return Record(ctx, l.db, e)
}

// Limits of List.
const (
	DefaultLimit = 50
	MaxLimit     = 200
)

// Filter says which events List returns.
type Filter struct {
	Tenant   string    // empty: the actor's own; for actors above tenants, events above tenants
	Action   string    // exactly
	Actor    string    // id, exactly
	From, To time.Time // of occurrence; From included, To excluded; zero: open
	Cursor   string    // the next of the call before
	Limit    int       // 0: DefaultLimit; at most MaxLimit
}

// Entry is an event as it was recorded.
type Entry struct {
	ID          string
	Environment string
	Tenant      string
	OccurredAt  time.Time
	RecordedAt  time.Time
	Action      string
	Outcome     Outcome
	Severity    Severity
	Actor       Who
	Targets     []Target
	Context     Where
	Changes     map[string]Change
	Metadata    map[string]any
	Source      string
	Visible     bool
}

// List returns a tenant's events, newest first, and the cursor of the next page,
// empty on the last. Nobody sees
// events of another environment. An actor bound to a tenant sees that tenant only and no
// hidden events; the caller has authorized it to read the log.
func (l *Log) List(ctx context.Context, q db.Queryer, a actor.Actor, f Filter) ([]Entry, string, error) {
	if f.Tenant == "" {
		f.Tenant = a.Tenant
	}
	if a.Tenant != "" && f.Tenant != a.Tenant {
		return nil, "", fault.New(fault.NotFound, "not_found", "There is no such tenant.")
	}
	before := id.Event + "_" + strings.Repeat("z", id.Length+1) // sorts after every event id
	if f.Cursor != "" {
		if !id.Valid(id.Event, f.Cursor) {
			return nil, "", fault.New(fault.Invalid, "invalid_cursor", "The cursor is not one that a list returned.").In("cursor")
		}
		before = f.Cursor
	}
	limit := f.Limit
	if limit <= 0 {
		limit = DefaultLimit
	}
	limit = min(limit, MaxLimit)
	from, to := int64(0), int64(math.MaxInt64)
	if !f.From.IsZero() {
		from = f.From.UnixMicro()
	}
	if !f.To.IsZero() {
		to = f.To.UnixMicro()
	}
	text, args := sqlList, []any{f.Tenant, before, from, to, a.Tenant == "", int64(limit + 1), a.Environment}
	switch {
	case f.Action != "" && f.Actor != "":
		text, args = sqlListActionActor, append(args, f.Action, f.Actor)
	case f.Action != "":
		text, args = sqlListAction, append(args, f.Action)
	case f.Actor != "":
		text, args = sqlListActor, append(args, f.Actor)
	}
	rows, err := q.Query(ctx, text, args...)
	if err != nil {
		return nil, "", err
	}
	defer rows.Close()
	entries := make([]Entry, 0, limit)
	for rows.Next() {
		if len(entries) == limit {
			return entries, entries[limit-1].ID, nil
		}
		var r row
		if err := r.scan(rows); err != nil {
			return nil, "", err
		}
		e, err := r.entry()
		if err != nil {
			return nil, "", err
		}
		entries = append(entries, e)
	}
	return entries, "", rows.Err()
}

func (r *row) entry() (Entry, error) {
	e := Entry{
		ID: r.ID, Environment: r.Environment, Tenant: r.Tenant, OccurredAt: r.Occurred.Time, RecordedAt: r.Recorded.Time,
		Action: r.Action, Outcome: r.Outcome, Severity: r.Severity, Source: r.Source, Visible: r.Visible,
	}
	for text, to := range map[*string]any{
		&r.Actor: &e.Actor, &r.Targets: &e.Targets, &r.Context: &e.Context, &r.Changes: &e.Changes, &r.Metadata: &e.Metadata,
	} {
		if err := json.Unmarshal([]byte(*text), to); err != nil {
			return Entry{}, err
		}
	}
	e.Actor.Type, e.Actor.ID = r.ActorType, r.ActorID
	return e, nil
}

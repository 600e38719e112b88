package audit

import (
	"context"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
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

	exports map[string]int // that run in this process, by whose they are
}

// NewLog makes a log on the store.
func NewLog(d db.DB, c clock.Clock) *Log {
	return &Log{db: d, clock: c, exports: map[string]int{}}
}

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

package audit

import (
	"encoding/json"
	"fmt"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

// eachSize bounds the events of one statement.
const eachSize = 1000

// EachStmts records one event per list of targets, alike in everything else: an
// operation on a set, such as 1,000 members of a group, costs two statements and
// not two thousand. The events' order is that of the lists. e.Targets is not used.
func EachStmts(e Event, targets [][]Target) ([]db.Stmt, error) {
	if len(targets) == 0 {
		return nil, nil
	}
	e.Targets = nil
	r, err := newRow(e)
	if err != nil {
		return nil, err
	}
	var stmts []db.Stmt
	for len(targets) > 0 {
		n := min(len(targets), eachSize)
		// One parameter holds the set: the keys of a JSON object, each an event's id and, after it,
		// its targets as JSON text.
		keys := []byte{'{'}
		for i, t := range targets[:n] {
			text, err := targetsText(t)
			if err != nil {
				return nil, fmt.Errorf("audit: %s: %w", e.Action, err)
			}
			key, err := json.Marshal(id.New(id.Event) + text)
			if err != nil {
				return nil, fmt.Errorf("audit: %s: %w", e.Action, err)
			}
			if i > 0 {
				keys = append(keys, ',')
			}
			keys = append(append(keys, key...), ":0"...)
		}
		keys = append(keys, '}')
		stmts = append(stmts, r.insertEach(string(keys)))
		if r.Visible {
			stmts = append(stmts, db.Stmt{SQL: sqlInsertOutboxEach, Args: []any{r.Tenant, string(keys), r.Recorded, r.Action}})
		}
		targets = targets[n:]
	}
	return stmts, nil
}

func targetsText(targets []Target) (string, error) {
	for i := range targets {
		targets[i].Name = cut(targets[i].Name)
	}
	text, err := json.Marshal(targets[:min(len(targets), maxTargets)])
	return string(text), err
}

// The keys of the set are an event's id of 30 characters and its targets.
const (
	sqlInsertEvents = `INSERT INTO audit_events
(tenant_id, id, environment_id, occurred_at, recorded_at, action, outcome, severity, actor_type, actor_id, actor,
 targets, context, changes, metadata, source, visible)
SELECT $1, SUBSTR(key, 1, 30), $2, CAST($3 AS BIGINT), CAST($4 AS BIGINT), $5, $6, $7, $8, $9, $10, SUBSTR(key, 31), $11, $12, $13, $14, CAST($15 AS BOOLEAN)
FROM json_each($16)`

	sqlInsertOutboxEach = `INSERT INTO outbox (tenant_id, event_id, created_at)
SELECT $1, SUBSTR(key, 1, 30), CAST($3 AS BIGINT) FROM json_each($2) WHERE EXISTS (
  SELECT 1 FROM audit_interest WHERE tenant_id = $1 AND action IN ($4, '*'))`
)

func (r *row) insertEach(keys string) db.Stmt {
	return db.Stmt{SQL: sqlInsertEvents, Args: []any{
		r.Tenant, r.Environment, r.Occurred, r.Recorded, r.Action, string(r.Outcome), string(r.Severity),
		r.ActorType, r.ActorID, r.Actor, r.Context, r.Changes, r.Metadata, r.Source, r.Visible, keys,
	}}
}

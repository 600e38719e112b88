package audit

import (
	"encoding/json"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

// eachSize bounds the events of one statement.
const eachSize = 1000

// EachStmts records one event per target of each, alike in everything else: an
// operation on a set, such as 1,000 members of a group, costs two statements and
// not two thousand. The events' order is that of each. e.Targets, of which there
// are at most a few, follow it in every event.
func EachStmts(e Event, each []Target) ([]db.Stmt, error) {
	if len(each) == 0 {
		return nil, nil
	}
	var rest []byte // of the targets' text
	for _, t := range e.Targets[:min(len(e.Targets), maxTargets-1)] {
		rest = t.append(append(rest, ','))
	}
	e.Targets = nil
	r, err := newRow(e)
	if err != nil {
		return nil, err
	}
	r.Targets = string(append(rest, ']'))
	var stmts []db.Stmt
	for list := range slices.Chunk(each, eachSize) {
		// One parameter holds the set: the keys of a JSON object, each an event's id and, after it,
		// its first target as JSON text.
		keys := append(make([]byte, 0, len(list)*192), '{')
		var text []byte
		for i, t := range list {
			if i > 0 {
				keys = append(keys, ',')
			}
			keys = append(append(keys, '"'), id.New(id.Event)...)
			text = t.append(text[:0])
			for _, c := range text { // JSON within JSON: it holds no control characters
				if c == '"' || c == '\\' {
					keys = append(keys, '\\')
				}
				keys = append(keys, c)
			}
			keys = append(keys, `":0`...)
		}
		keys = append(keys, '}')
		stmts = append(stmts, r.insertEach(string(keys)))
		if r.Visible {
			stmts = append(stmts, db.Stmt{SQL: sqlInsertOutboxEach, Args: []any{r.Tenant, string(keys), r.Recorded, r.Action}})
		}
	}
	return stmts, nil
}

// append adds the target as JSON text.
func (t Target) append(text []byte) []byte {
	t.Name = cut(t.Name)
	b, _ := json.Marshal(t) // three strings always marshal
	return append(text, b...)
}

// The keys of the set are an event's id of 30 characters and its first target.
const (
	sqlInsertEvents = `INSERT INTO audit_events
(tenant_id, id, environment_id, occurred_at, recorded_at, action, outcome, severity, actor_type, actor_id, actor,
 targets, context, changes, metadata, source, visible)
SELECT $1, SUBSTR(key, 1, 30), $2, CAST($3 AS BIGINT), CAST($4 AS BIGINT), $5, $6, $7, $8, $9, $10,
 '[' || SUBSTR(key, 31) || $11, $12, $13, $14, $15, CAST($16 AS BOOLEAN)
FROM json_each($17)`

	sqlInsertOutboxEach = `INSERT INTO outbox (tenant_id, event_id, created_at)
SELECT $1, SUBSTR(key, 1, 30), CAST($3 AS BIGINT) FROM json_each($2) WHERE EXISTS (
  SELECT 1 FROM audit_interest WHERE tenant_id = $1 AND action IN ($4, '*'))`
)

func (r *row) insertEach(keys string) db.Stmt {
	return db.Stmt{SQL: sqlInsertEvents, Args: []any{
		r.Tenant, r.Environment, r.Occurred, r.Recorded, r.Action, string(r.Outcome), string(r.Severity),
		r.ActorType, r.ActorID, r.Actor, r.Targets, r.Context, r.Changes, r.Metadata, r.Source, r.Visible, keys,
	}}
}

package audit

import (
	"github.com/gatehouse-id/gatehouse/internal/db"
)

const sourceBuiltin = "builtin"

// row is one row of audit_events; its documents are JSON text.
type row struct {
	Tenant, ID, Environment             string
	Occurred, Recorded                  db.Time
	Action                              string
	Outcome                             Outcome
	Severity                            Severity
	ActorType, ActorID, Actor           string
	Targets, Context, Changes, Metadata string
	Source                              string
	Visible                             bool
}

const sqlInsertEvent = `INSERT INTO audit_events
(tenant_id, id, environment_id, occurred_at, recorded_at, action, outcome, severity, actor_type, actor_id, actor,
 targets, context, changes, metadata, source, visible)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`

// sqlInsertOutbox writes the row only where somebody waits for the action.
const sqlInsertOutbox = `INSERT INTO outbox (tenant_id, event_id, created_at)
SELECT $1, $2, CAST($3 AS BIGINT) WHERE EXISTS (
  SELECT 1 FROM audit_interest WHERE tenant_id = $1 AND action IN ($4, '*'))`

func (r *row) insert() db.Stmt {
	return db.Stmt{SQL: sqlInsertEvent, Args: []any{
		r.Tenant, r.ID, r.Environment, r.Occurred, r.Recorded, r.Action, string(r.Outcome), string(r.Severity),
		r.ActorType, r.ActorID, r.Actor, r.Targets, r.Context, r.Changes, r.Metadata, r.Source, r.Visible,
	}}
}

const eventColumns = `e.tenant_id, e.id, e.environment_id, e.occurred_at, e.recorded_at, e.action, e.outcome, e.severity,
 e.actor_type, e.actor_id, e.actor, e.targets, e.context, e.changes, e.metadata, e.source, e.visible`

func (r *row) scan(rows db.Rows, more ...any) error {
	return rows.Scan(append([]any{
		&r.Tenant, &r.ID, &r.Environment, &r.Occurred, &r.Recorded, &r.Action, (*string)(&r.Outcome), (*string)(&r.Severity),
		&r.ActorType, &r.ActorID, &r.Actor, &r.Targets, &r.Context, &r.Changes, &r.Metadata, &r.Source, &r.Visible,
	}, more...)...)
}

// sqlUnsealedTenants crosses tenants: the sealer serves all of them.
// It goes through the index by environment and time of recording; CROSS JOIN and
// the concatenation keep SQLite from reading the whole log in the order of tenants.
const sqlUnsealedTenants = environments + ` SELECT DISTINCT e.tenant_id || '' FROM env v CROSS JOIN audit_events e
WHERE e.environment_id = v.id AND e.recorded_at >= $1 AND NOT EXISTS (
  SELECT 1 FROM audit_seals s WHERE s.tenant_id = e.tenant_id AND s.event_id = e.id)`

// environments finds the environments that have events by stepping from one to
// the next along the index, of which there are a few, instead of reading it.
const environments = `WITH RECURSIVE env (id) AS (
  SELECT MIN(environment_id) FROM audit_events
  UNION ALL
  SELECT (SELECT MIN(n.environment_id) FROM audit_events n WHERE n.environment_id > env.id) FROM env WHERE env.id IS NOT NULL)`

// sqlHead gives the newest place of a chain; where retention took every place,
// the one that the checkpoint holds.
const sqlHead = `SELECT seq, hash FROM (
  SELECT * FROM (SELECT seq, hash FROM audit_seals WHERE tenant_id = $1 ORDER BY seq DESC LIMIT 1) newest
  UNION ALL SELECT seq, hash FROM audit_checkpoints WHERE tenant_id = $1) heads ORDER BY seq DESC LIMIT 1`

const sqlUnsealed = `SELECT ` + eventColumns + ` FROM audit_events e
WHERE e.tenant_id = $1 AND e.id > $2 AND NOT EXISTS (
  SELECT 1 FROM audit_seals s WHERE s.tenant_id = e.tenant_id AND s.event_id = e.id AND s.event_id > $2)
ORDER BY e.id LIMIT $3`

// sqlInsertSeals takes a set of texts: an event's id of 30 characters, its hash of 64, its place.
const sqlInsertSeals = `INSERT INTO audit_seals (tenant_id, seq, event_id, hash, sealed_at)
SELECT $1, CAST(SUBSTR(key, 95) AS BIGINT), SUBSTR(key, 1, 30), SUBSTR(key, 31, 64), CAST($2 AS BIGINT) FROM json_each($3)`

const sqlCountUnsealed = `SELECT COUNT(*) FROM audit_events e
WHERE e.tenant_id = $1 AND NOT EXISTS (
  SELECT 1 FROM audit_seals s WHERE s.tenant_id = e.tenant_id AND s.event_id = e.id)`

// sqlChain reads a stretch of a chain; a seal whose event is gone has NULLs,
// which COALESCE turns into an event without an id.
const sqlChain = chainColumns + chainTables

const chainColumns = `SELECT COALESCE(e.tenant_id, ''), COALESCE(e.id, ''), COALESCE(e.environment_id, ''), e.occurred_at, e.recorded_at,
 COALESCE(e.action, ''), COALESCE(e.outcome, ''), COALESCE(e.severity, ''), COALESCE(e.actor_type, ''), COALESCE(e.actor_id, ''),
 COALESCE(e.actor, ''), COALESCE(e.targets, ''), COALESCE(e.context, ''), COALESCE(e.changes, ''), COALESCE(e.metadata, ''),
 COALESCE(e.source, ''), COALESCE(e.visible, FALSE), s.seq, s.event_id, s.hash`

const chainTables = `
FROM audit_seals s LEFT JOIN audit_events e ON e.tenant_id = s.tenant_id AND e.id = s.event_id
WHERE s.tenant_id = $1 AND s.seq > $2 ORDER BY s.seq LIMIT $3`

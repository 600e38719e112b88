package scim

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
)

// Entry is one request in the provisioning log of a connection.
type Entry struct {
	ID, Tenant, Connection string
	At                     time.Time
	Method, Path           string // path and query below the connection's root
	Status                 int
	Resource               string   // res_…, where the request names or makes one
	Rules                  []string // of the dialect, that fired
	Detail                 string   // why it was refused
	Changes                []Change // of a changed resource
	Body                   string   // redacted, at most 16 KiB
	Duration               time.Duration
	RequestID              string
	Read                   bool // may be dropped when there are too many

	start time.Time
}

// Change is an attribute before and after, as JSON values.
type Change struct {
	Attr string          `json:"attr"`
	Old  json.RawMessage `json:"old,omitempty"`
	New  json.RawMessage `json:"new,omitempty"`
}

// How many entries wait for the next write. Reads go first when there are more,
// because a refusal is what an admin looks for.
const (
	maxReads    = 500
	maxRefusals = 2000
	logEvery    = time.Second
	// LogRetention is how long entries are kept.
	LogRetention = 30 * 24 * time.Hour
)

// Log is the provisioning log. Changes are written in their transaction; reads
// and refusals wait in a bounded queue that Run writes once a second.
type Log struct {
	d      db.DB
	clock  clock.Clock
	logger *slog.Logger

	mu       sync.Mutex
	reads    []Entry
	refusals []Entry
	dropped  int64
}

// NewLog makes the log of all connections.
func NewLog(d db.DB, c clock.Clock, logger *slog.Logger) *Log {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Log{d: d, clock: c, logger: logger}
}

func (l *Log) enqueue(e Entry) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case e.Read && e.Status < 400 && len(l.reads) < maxReads:
		l.reads = append(l.reads, e)
	case (!e.Read || e.Status >= 400) && len(l.refusals) < maxRefusals:
		l.refusals = append(l.refusals, e)
	default:
		l.dropped++
	}
}

// Dropped is how many entries were not kept since the start, because more came
// than are written in a second.
func (l *Log) Dropped() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped
}

// Run writes the queue once a second until ctx ends, and then what is left.
func (l *Log) Run(ctx context.Context) {
	tick := time.NewTicker(logEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.flush(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			l.flush(last)
			return
		}
	}
}

// Flush writes what waits now.
func (l *Log) Flush(ctx context.Context) error {
	l.mu.Lock()
	waiting := append(l.refusals, l.reads...)
	l.reads, l.refusals = nil, nil
	l.mu.Unlock()
	if len(waiting) == 0 {
		return nil
	}
	stmts := make([]db.Stmt, len(waiting))
	for i, e := range waiting {
		stmts[i] = e.insertIfThere()
	}
	return l.d.Batch(ctx, stmts)
}

func (l *Log) flush(ctx context.Context) {
	if err := l.Flush(ctx); err != nil {
		l.logger.LogAttrs(ctx, slog.LevelError, "provisioning log", slog.Any("error", err))
	}
}

// Purge removes entries older than LogRetention, in bounded statements.
func (l *Log) Purge(ctx context.Context) error {
	for {
		var n int64
		err := l.d.Tx(ctx, func(q db.Queryer) error {
			var err error
			n, err = q.Exec(ctx, sqlPurgeLog, db.At(l.clock.Now().Add(-LogRetention)), int64(1000))
			return err
		})
		if err != nil || n < 1000 {
			return err
		}
	}
}

// LogFilter chooses from the log.
type LogFilter struct {
	Resource string // only entries about it
	Failed   bool   // only refusals
	Cursor   string // id of the last entry of the page before
	Limit    int    // 1–200; 0: 50
}

// List gives the log of a connection, newest first. next is empty at the end.
func (l *Log) List(ctx context.Context, q db.Queryer, tenant, connection string, f LogFilter) (list []Entry, next string, err error) {
	if f.Limit <= 0 {
		f.Limit = 50
	}
	f.Limit = min(f.Limit, 200)
	before := f.Cursor
	if before == "" {
		before = "~" // above every id
	}
	rows, err := q.Query(ctx, sqlLog, tenant, connection, before, f.Resource, f.Failed, int64(f.Limit)+1)
	if err != nil {
		return nil, "", err
	}
	defer rows.Close()
	for rows.Next() {
		e := Entry{Tenant: tenant, Connection: connection}
		var at db.Time
		var status, us int64
		var rules, changes string
		if err := rows.Scan(&e.ID, &at, &e.Method, &e.Path, &status, &e.Resource, &rules, &e.Detail, &changes, &e.Body, &us, &e.RequestID); err != nil {
			return nil, "", err
		}
		e.At, e.Status, e.Duration = at.Time, int(status), time.Duration(us)*time.Microsecond
		if err := json.Unmarshal([]byte(rules), &e.Rules); err != nil {
			return nil, "", err
		}
		if err := json.Unmarshal([]byte(changes), &e.Changes); err != nil {
			return nil, "", err
		}
		list = append(list, e)
	}
	if err := rows.Err(); err != nil {
		return nil, "", err
	}
	if len(list) > f.Limit {
		list = list[:f.Limit]
		next = list[f.Limit-1].ID
	}
	return list, next, nil
}

const logColumns = `(tenant_id, connection_id, id, at, method, path, status, resource_id, dialect_rules, detail, changes, body, duration_us, request_id)`

const (
	sqlInsertLog = `INSERT INTO scim_requests ` + logColumns + ` VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`

	// sqlInsertLogIfThere is for entries written late: the connection may be gone.
	sqlInsertLogIfThere = `INSERT INTO scim_requests ` + logColumns + `
SELECT c.tenant_id, c.id, $3, CAST($4 AS BIGINT), $5, $6, CAST($7 AS BIGINT), $8, $9, $10, $11, $12, CAST($13 AS BIGINT), $14
FROM scim_connections c WHERE c.tenant_id = $1 AND c.id = $2`

	sqlLog = `SELECT l.id, l.at, l.method, l.path, l.status, l.resource_id, l.dialect_rules, l.detail, l.changes, l.body, l.duration_us, l.request_id
FROM scim_requests l WHERE l.tenant_id = $1 AND l.connection_id = $2 AND l.id < $3
 AND ($4 = '' OR l.resource_id = $4) AND (l.status >= 400 OR NOT $5)
ORDER BY l.id DESC LIMIT $6`

	// sqlPurgeLog crosses tenants: retention serves all of them.
	sqlPurgeLog = `DELETE FROM scim_requests WHERE (tenant_id, connection_id, id) IN (
 SELECT l.tenant_id, l.connection_id, l.id FROM scim_requests l WHERE l.at < $1 LIMIT $2)`
)

func (e Entry) args() []any {
	rules, changes := []byte("[]"), []byte("[]")
	if len(e.Rules) > 0 {
		rules, _ = json.Marshal(e.Rules) // strings always marshal
	}
	if len(e.Changes) > 0 {
		if text, err := json.Marshal(e.Changes); err == nil && len(text) <= maxLoggedBody {
			changes = text
		}
	}
	return []any{
		e.Tenant, e.Connection, e.ID, db.At(e.At), cut(e.Method, 16), e.Path, int64(e.Status), cut(e.Resource, 256),
		string(rules), cut(e.Detail, 1024), string(changes), e.Body, e.Duration.Microseconds(), e.RequestID,
	}
}

func (e Entry) insert() db.Stmt        { return db.Stmt{SQL: sqlInsertLog, Args: e.args()} }
func (e Entry) insertIfThere() db.Stmt { return db.Stmt{SQL: sqlInsertLogIfThere, Args: e.args()} }

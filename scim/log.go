package scim

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
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
	// Suggested is the profile that the client looks like, where it is not the
	// connection's.
	Suggested string
	// ReplayOf is the entry that this one repeats, see Handler.Replay.
	ReplayOf string
	Read     bool // may be dropped when there are too many

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
	dropped  int64 // since the last write
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

// drop counts an entry that is not kept.
func (l *Log) drop() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropped++
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

// Flush writes what waits now, and tells the logger how many entries were not
// kept because more came than are written in a second, or because a client
// without a valid credential keeps asking.
func (l *Log) Flush(ctx context.Context) error {
	l.mu.Lock()
	waiting, dropped := append(l.refusals, l.reads...), l.dropped
	l.reads, l.refusals, l.dropped = nil, nil, 0
	l.mu.Unlock()
	if dropped > 0 {
		l.logger.LogAttrs(ctx, slog.LevelWarn, "provisioning log left out entries", slog.Int64("entries", dropped))
	}
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

// DropTenant drops up to limit of the entries of a tenant that is being deleted,
// and reports how many.
func (l *Log) DropTenant(ctx context.Context, q db.Queryer, _, tenant string, limit int) (int64, error) {
	return q.Exec(ctx, sqlDropTenantLog, tenant, int64(limit))
}

// LogFilter chooses from the log. Its zero value is everything.
type LogFilter struct {
	Resource string // only entries about it
	Method   string // only of this HTTP method, in capitals
	Status   int    // only answers of this class: 2 for 200–299, 4 for 400–499, 5 for 500–599
	Failed   bool   // only refusals and failures: 400–599
	// From and To bound the time: from From on, before To.
	From, To time.Time
	Cursor   string // id of the last entry of the page before
	Limit    int    // 1–200; 0: 50
}

// statuses gives the range of the answers, its end not included.
func (f LogFilter) statuses() (from, to int64) {
	from, to = 0, 1000
	if f.Status > 0 {
		from, to = int64(f.Status)*100, int64(f.Status+1)*100
	}
	if f.Failed {
		from = max(from, 400)
	}
	return from, to
}

// times gives the range in microseconds, its end not included.
func (f LogFilter) times() (from, to int64) {
	to = math.MaxInt64
	if !f.From.IsZero() {
		from = f.From.UnixMicro()
	}
	if !f.To.IsZero() {
		to = f.To.UnixMicro()
	}
	return from, to
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
	least, most := f.statuses()
	from, to := f.times()
	rows, err := q.Query(ctx, sqlLog, tenant, connection, before, f.Resource, f.Method, least, most, from, to, int64(f.Limit)+1)
	if err != nil {
		return nil, "", err
	}
	defer rows.Close()
	for rows.Next() {
		e := Entry{Tenant: tenant, Connection: connection}
		if err := e.scan(rows); err != nil {
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

// ErrEntryNotFound is the answer for an entry that the log of the connection
// does not have, or has no more.
var ErrEntryNotFound = fault.New(fault.NotFound, "request_not_found", "The provisioning log has no such request. Requests are kept for 30 days.")

// Get finds an entry of a connection's log.
func (l *Log) Get(ctx context.Context, q db.Queryer, tenant, connection, entry string) (Entry, error) {
	e := Entry{Tenant: tenant, Connection: connection}
	err := e.scan(q.QueryRow(ctx, sqlLogEntry, tenant, connection, entry))
	if errors.Is(err, db.ErrNotFound) {
		err = ErrEntryNotFound
	}
	return e, err
}

// Suggested gives the profile that the connection's client looked like when it
// last looked like another than the connection's; empty when it never did.
func (l *Log) Suggested(ctx context.Context, q db.Queryer, tenant, connection string) (string, error) {
	var profile string
	err := q.QueryRow(ctx, sqlSuggested, tenant, connection).Scan(&profile)
	if errors.Is(err, db.ErrNotFound) {
		err = nil
	}
	return profile, err
}

func (e *Entry) scan(row db.Row) error {
	var at db.Time
	var status, us int64
	var rules, changes string
	err := row.Scan(&e.ID, &at, &e.Method, &e.Path, &status, &e.Resource, &rules, &e.Detail, &changes, &e.Body, &us, &e.RequestID, &e.Suggested, &e.ReplayOf)
	if err != nil {
		return err
	}
	e.At, e.Status, e.Duration = at.Time, int(status), time.Duration(us)*time.Microsecond
	if err := json.Unmarshal([]byte(rules), &e.Rules); err != nil {
		return err
	}
	return json.Unmarshal([]byte(changes), &e.Changes)
}

const logColumns = `(tenant_id, connection_id, id, at, method, path, status, resource_id, dialect_rules, detail, changes, body, duration_us, request_id, suggested_profile, replay_of)`

const (
	sqlInsertLog = `INSERT INTO scim_requests ` + logColumns + ` VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`

	// sqlInsertLogIfThere is for entries written late: the connection may be gone.
	sqlInsertLogIfThere = `INSERT INTO scim_requests ` + logColumns + `
SELECT c.tenant_id, c.id, $3, CAST($4 AS BIGINT), $5, $6, CAST($7 AS BIGINT), $8, $9, $10, $11, $12, CAST($13 AS BIGINT), $14, $15, $16
FROM scim_connections c WHERE c.tenant_id = $1 AND c.id = $2`

	entryColumns = `l.id, l.at, l.method, l.path, l.status, l.resource_id, l.dialect_rules, l.detail, l.changes, l.body, l.duration_us, l.request_id, l.suggested_profile, l.replay_of`

	sqlLog = `SELECT ` + entryColumns + ` FROM scim_requests l
WHERE l.tenant_id = $1 AND l.connection_id = $2 AND l.id < $3 AND ($4 = '' OR l.resource_id = $4) AND ($5 = '' OR l.method = $5)
 AND l.status >= $6 AND l.status < $7 AND l.at >= $8 AND l.at < $9 ORDER BY l.id DESC LIMIT $10`

	sqlLogEntry = `SELECT ` + entryColumns + ` FROM scim_requests l WHERE l.tenant_id = $1 AND l.connection_id = $2 AND l.id = $3`

	sqlSuggested = `SELECT l.suggested_profile FROM scim_requests l
WHERE l.tenant_id = $1 AND l.connection_id = $2 AND l.suggested_profile <> '' ORDER BY l.id DESC LIMIT 1`

	sqlDropTenantLog = `DELETE FROM scim_requests WHERE tenant_id = $1 AND id IN (
  SELECT r.id FROM scim_requests r WHERE r.tenant_id = $1 LIMIT $2)`

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
		e.Suggested, e.ReplayOf,
	}
}

func (e Entry) insert() db.Stmt        { return db.Stmt{SQL: sqlInsertLog, Args: e.args()} }
func (e Entry) insertIfThere() db.Stmt { return db.Stmt{SQL: sqlInsertLogIfThere, Args: e.args()} }

package db

import (
	"context"
	"database/sql"
	"sync"
)

// sqliteTx is one function's share of a group. Its statements run without the caller's context:
// SQLite rolls the whole transaction back when a write is interrupted, and the group holds the work
// of others. Cancellation is seen between statements.
type sqliteTx struct {
	s      *sqliteDB
	stmts  *stmtCache
	used   bool // a statement ran
	done   bool
	open   *sqliteRows
	failed error // of the first statement that failed
}

func (t *sqliteTx) Dialect() Dialect { return sqliteDialect }

func (t *sqliteTx) ready(ctx context.Context) error {
	switch {
	case t.done:
		return errTxDone
	case t.failed != nil:
		return errAborted
	case t.open != nil:
		return errOpen
	}
	t.used = true
	return ctx.Err()
}

func (t *sqliteTx) fail(err error) error {
	err = t.s.error(err)
	if err != nil && t.failed == nil {
		t.failed = err
	}
	return err
}

func (t *sqliteTx) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	count(ctx, 1, 1)
	return t.exec(ctx, sql, args)
}

func (t *sqliteTx) exec(ctx context.Context, sql string, args []any) (int64, error) {
	if err := t.ready(ctx); err != nil {
		return 0, err
	}
	result, err := t.stmts.exec(sql, args)
	if err != nil {
		return 0, t.fail(err)
	}
	affected, err := result.RowsAffected()
	return affected, t.fail(err)
}

func (t *sqliteTx) Query(ctx context.Context, sql string, args ...any) (Rows, error) {
	count(ctx, 1, 1)
	return t.query(ctx, sql, args)
}

func (t *sqliteTx) query(ctx context.Context, sql string, args []any) (Rows, error) {
	if err := t.ready(ctx); err != nil {
		return nil, err
	}
	rows, err := t.stmts.query(context.Background(), sql, args)
	if err != nil {
		return nil, t.fail(err)
	}
	t.open = &sqliteRows{Rows: rows, s: t.s, tx: t}
	return t.open, nil
}

func (t *sqliteTx) QueryRow(ctx context.Context, sql string, args ...any) Row {
	rows, err := t.Query(ctx, sql, args...)
	return firstRow{rows, err}
}

func (t *sqliteTx) Batch(ctx context.Context, stmts []Stmt) error {
	failed, err := t.batch(ctx, stmts)
	if failed != nil {
		return failed
	}
	return err
}

// batch returns the error of a statement, and the first one of a Scan function: like PostgreSQL,
// where all statements are on their way already, the latter does not stop the batch.
func (t *sqliteTx) batch(ctx context.Context, stmts []Stmt) (failed, err error) {
	if len(stmts) == 0 {
		return nil, nil
	}
	count(ctx, len(stmts), 1)
	for i := range stmts {
		s := &stmts[i]
		if s.Scan == nil {
			affected, e := t.exec(ctx, s.SQL, s.Args)
			if e != nil {
				return statementError(i, e), err
			}
			if s.Affected != nil {
				*s.Affected = affected
			}
			continue
		}
		rows, e := t.query(ctx, s.SQL, s.Args)
		if e != nil {
			return statementError(i, e), err
		}
		if scanned := s.Scan(rows); err == nil {
			err = statementError(i, scanned)
		}
		rows.Close()
		if e := rows.Err(); e != nil {
			return statementError(i, e), err
		}
	}
	return nil, err
}

func (t *sqliteTx) finish() {
	if t.open != nil {
		t.open.Close()
	}
	t.done = true
}

// maxStmts bounds the prepared statements of a pool or connection. Nearly every text is a constant;
// what comes after the cache is full is prepared for each call.
const maxStmts = 2000

// preparer is *sql.DB or *sql.Conn.
type preparer interface {
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// stmtCache keeps statements prepared; on a pool, database/sql prepares them once per connection.
type stmtCache struct {
	on    preparer
	mu    sync.RWMutex
	stmts map[string]*sql.Stmt
}

func newStmtCache(on preparer) *stmtCache {
	return &stmtCache{on: on, stmts: map[string]*sql.Stmt{}}
}

// get returns nil when the cache is full.
func (c *stmtCache) get(query string) (*sql.Stmt, error) {
	c.mu.RLock()
	stmt, ok := c.stmts[query]
	full := len(c.stmts) >= maxStmts
	c.mu.RUnlock()
	if ok || full {
		return stmt, nil
	}
	// Without the caller's context, because others will use the statement.
	stmt, err := c.on.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if other, ok := c.stmts[query]; ok {
		_ = stmt.Close()
		return other, nil
	}
	c.stmts[query] = stmt
	return stmt, nil
}

func (c *stmtCache) exec(query string, args []any) (sql.Result, error) {
	stmt, err := c.get(query)
	switch {
	case err != nil:
		return nil, err
	case stmt == nil:
		return c.on.ExecContext(context.Background(), query, args...)
	}
	return stmt.ExecContext(context.Background(), args...)
}

func (c *stmtCache) query(ctx context.Context, query string, args []any) (*sql.Rows, error) {
	stmt, err := c.get(query)
	switch {
	case err != nil:
		return nil, err
	case stmt == nil:
		return c.on.QueryContext(ctx, query, args...)
	}
	return stmt.QueryContext(ctx, args...)
}

func (c *stmtCache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, stmt := range c.stmts {
		_ = stmt.Close()
	}
	clear(c.stmts)
}

package db

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"modernc.org/sqlite"
)

// sqliteDB reads through a pool and writes through one writer.
type sqliteDB struct {
	path   string
	unsafe bool
	read   *sql.DB
	reads  *stmtCache
	w      *writer
	names  constraintNames
}

func openSQLite(ctx context.Context, c Config) (DB, error) {
	path, err := filepath.Abs(c.Path)
	if err != nil {
		return nil, fmt.Errorf("db: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("db: %w", err)
	}
	// SQLite gives its own files the mode of this one.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("db: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("db: %w", err)
	}
	s := &sqliteDB{path: path, unsafe: c.Unsafe}
	// The writer comes first: it turns the file to WAL, which the read pool may not do.
	write, err := s.pool(false, 1)
	if err != nil {
		return nil, err
	}
	conn, err := write.Conn(ctx)
	if err != nil {
		_ = write.Close()
		return nil, fmt.Errorf("db: open %s: %w", path, err)
	}
	conns := c.MaxConns
	if conns <= 0 {
		conns = max(4, 2*runtime.GOMAXPROCS(0))
	}
	if s.read, err = s.pool(true, conns); err == nil {
		err = s.read.PingContext(ctx)
	}
	if err != nil {
		_ = conn.Close()
		_ = write.Close()
		return nil, fmt.Errorf("db: open %s: %w", path, err)
	}
	s.reads = newStmtCache(s.read)
	s.names = constraintNames{s.read}
	s.w = newWriter(s, write, conn)
	return s, nil
}

// pool opens connections that are all set up by their address: a pragma run on a pool reaches one
// connection only.
func (s *sqliteDB) pool(readOnly bool, conns int) (*sql.DB, error) {
	q := url.Values{}
	q.Set("_busy_timeout", strconv.FormatInt(busyTimeout.Milliseconds(), 10))
	q.Set("_foreign_keys", "1")
	q.Set("_dqs", "0")
	q.Set("_synchronous", "FULL")
	if s.unsafe {
		q.Set("_synchronous", "OFF")
	}
	// LIKE as PostgreSQL has it, and answered by an index.
	q.Add("_pragma", "case_sensitive_like(1)")
	if readOnly {
		q.Set("_query_only", "1")
		q.Add("_pragma", "cache_size(-8192)") // KiB
	} else {
		q.Set("_txlock", "immediate")
		q.Set("_journal_mode", "WAL")
		q.Add("_pragma", "cache_size(-32768)")
		q.Add("_pragma", "journal_size_limit(67108864)")
	}
	address := url.URL{Scheme: "file", Path: s.path, OmitHost: true, RawQuery: q.Encode()}
	connector, err := sqlite.NewConnector(address.String())
	if err != nil {
		return nil, fmt.Errorf("db: %w", err)
	}
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	return pool, nil
}

// sqlDB gives goose connections of its own; the caller closes them.
func (s *sqliteDB) sqlDB() (*sql.DB, error) { return s.pool(false, 2) }

func (s *sqliteDB) Dialect() Dialect { return sqliteDialect }

func (s *sqliteDB) Ping(ctx context.Context) error {
	var one int
	return s.QueryRow(ctx, "SELECT 1").Scan(&one)
}

// Close waits for the transactions that have been handed in and for open rows.
func (s *sqliteDB) Close() {
	s.w.close()
	s.reads.close()
	_ = s.read.Close()
}

func (s *sqliteDB) Query(ctx context.Context, sql string, args ...any) (Rows, error) {
	count(ctx, 1, 1)
	rows, err := s.reads.query(ctx, sql, args)
	if err != nil {
		return nil, s.error(err)
	}
	return &sqliteRows{Rows: rows, s: s}, nil
}

func (s *sqliteDB) QueryRow(ctx context.Context, sql string, args ...any) Row {
	rows, err := s.Query(ctx, sql, args...)
	return firstRow{rows, err}
}

func (s *sqliteDB) Exec(ctx context.Context, sql string, args ...any) (affected int64, err error) {
	err = s.w.do(ctx, func(t *sqliteTx) error {
		affected, err = t.Exec(ctx, sql, args...)
		return err
	})
	return affected, err
}

// Batch outside a transaction is not re-run: its Scan functions may have been called.
func (s *sqliteDB) Batch(ctx context.Context, stmts []Stmt) error {
	if len(stmts) == 0 {
		return nil
	}
	var scanned error
	ran := false
	err := s.w.do(ctx, func(t *sqliteTx) error {
		if ran {
			return &retryError{errAborted}
		}
		ran = true
		var failed error
		failed, scanned = t.batch(ctx, stmts)
		return failed
	})
	if err != nil {
		return err
	}
	return scanned
}

func (s *sqliteDB) Tx(ctx context.Context, f func(Queryer) error) error {
	return s.w.do(ctx, func(t *sqliteTx) error {
		defer func() {
			if t.used {
				count(ctx, 0, 1) // COMMIT or ROLLBACK
			}
		}()
		return f(t)
	})
}

// sqliteRows classifies errors and tells the transaction when it is closed.
type sqliteRows struct {
	*sql.Rows
	s  *sqliteDB
	tx *sqliteTx
}

func (r *sqliteRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

func (r *sqliteRows) Err() error { return r.s.error(r.Rows.Err()) }

func (r *sqliteRows) Close() {
	_ = r.Rows.Close() // what matters of it is in Err
	if r.tx != nil {
		_ = r.tx.fail(r.Rows.Err())
		if r.tx.open == r {
			r.tx.open = nil
		}
	}
}

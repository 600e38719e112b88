package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// maxAttempts is how often a transaction runs before ErrRetry reaches the caller.
const maxAttempts = 5

// endTimeout bounds COMMIT and ROLLBACK, which do not stop when the caller's context ends: their
// outcome must be known.
const endTimeout = 30 * time.Second

type postgres struct {
	pool *pgxpool.Pool
	stop context.CancelFunc // of keepStatistics
	done chan struct{}      // closed when it has returned
}

func openPostgres(ctx context.Context, c Config) (DB, error) {
	pc, err := pgxpool.ParseConfig(c.DatabaseURL)
	if err != nil {
		// The error of pgx masks the password.
		return nil, fmt.Errorf("db: %w", err)
	}
	if c.MaxConns > 0 {
		pc.MaxConns = int32(min(c.MaxConns, 10_000))
	} else if !strings.Contains(c.DatabaseURL, "pool_max_conns") {
		pc.MaxConns = int32(max(16, 4*runtime.GOMAXPROCS(0)))
	}
	// Every statement is a constant, so all of them stay prepared.
	pc.ConnConfig.StatementCacheCapacity = 2048
	if pc.ConnConfig.RuntimeParams["application_name"] == "" {
		pc.ConnConfig.RuntimeParams["application_name"] = "gatehouse"
	}
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("db: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("db: %w", err)
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &postgres{pool, stop, make(chan struct{})}
	go keepStatistics(background, pool, p.done)
	return p, nil
}

func (p *postgres) Dialect() Dialect { return postgresDialect }

func (p *postgres) Close() {
	p.stop()
	<-p.done
	p.pool.Close()
}

func (p *postgres) Ping(ctx context.Context) error { return p.pool.Ping(ctx) }

// sqlDB gives goose the pool through database/sql; closing it leaves the pool open.
func (p *postgres) sqlDB() (*sql.DB, error) {
	return stdlib.OpenDBFromPool(p.pool), nil
}

func (p *postgres) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	if nested() {
		return 0, ErrNestedTx
	}
	var affected int64
	err := retry(ctx, func() error {
		count(ctx, 1, 1)
		tag, err := p.pool.Exec(ctx, sql, args...)
		affected = tag.RowsAffected()
		return postgresError(err)
	})
	return affected, err
}

func (p *postgres) Query(ctx context.Context, sql string, args ...any) (Rows, error) {
	count(ctx, 1, 1)
	rows, err := p.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, postgresError(err)
	}
	return &pgRows{Rows: rows}, nil
}

func (p *postgres) QueryRow(ctx context.Context, sql string, args ...any) Row {
	rows, err := p.Query(ctx, sql, args...)
	return firstRow{rows, err}
}

// Batch outside a transaction is one of its own, and re-run like one unless it reads: its Scan
// functions may have been called.
func (p *postgres) Batch(ctx context.Context, stmts []Stmt) error {
	if nested() {
		return ErrNestedTx
	}
	if len(stmts) == 0 {
		return nil
	}
	once := func() error {
		count(ctx, len(stmts), 1)
		return enter(func() error {
			failed, err := pgBatch(ctx, p.pool, stmts, false)
			if failed != nil {
				return failed
			}
			return err
		})
	}
	if slices.ContainsFunc(stmts, func(s Stmt) bool { return s.Scan != nil }) {
		return once()
	}
	return retry(ctx, once)
}

func (p *postgres) Tx(ctx context.Context, f func(Queryer) error) error {
	if nested() {
		return ErrNestedTx
	}
	return retry(ctx, func() error { return p.once(ctx, f) })
}

func (p *postgres) once(ctx context.Context, f func(Queryer) error) error {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	// The pool destroys a connection that comes back inside a transaction.
	defer conn.Release()
	t := &pgTx{conn: conn}
	returned := false
	defer func() {
		t.finish()
		if !returned { // a panic, or runtime.Goexit in a test
			t.rollback(ctx)
		}
	}()
	err = enter(func() error { return f(t) })
	returned = true
	t.finish()
	if err == nil {
		err = t.failed
	}
	if err == nil {
		return t.commit(ctx)
	}
	t.rollback(ctx)
	if errors.Is(t.failed, ErrRetry) {
		return t.failed // whatever f made of it
	}
	return err
}

// retry runs f until it succeeds, fails for good, or has had its attempts.
func retry(ctx context.Context, f func() error) error {
	for attempt := 1; ; attempt++ {
		err := f()
		if attempt == maxAttempts || !errors.Is(err, ErrRetry) {
			return err
		}
		// Full jitter: those who met in a deadlock must not meet again.
		wait := time.NewTimer(rand.N(time.Duration(attempt) * 20 * time.Millisecond))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return err
		}
	}
}

// pgTx is one transaction. BEGIN travels with the first statement, so a transaction of n statements
// waits n+1 times, and one that runs none does not wait at all.
type pgTx struct {
	conn   *pgxpool.Conn
	begun  bool
	done   bool
	open   *pgRows // rows not yet closed
	failed error   // of the first statement that failed
}

const (
	sqlBegin    = "BEGIN"
	sqlCommit   = "COMMIT"
	sqlRollback = "ROLLBACK"
)

func (t *pgTx) Dialect() Dialect { return postgresDialect }

// ready is asked before each statement. It reports whether BEGIN must go along.
func (t *pgTx) ready() (begin bool, err error) {
	switch {
	case t.done:
		return false, errTxDone
	case t.failed != nil:
		return false, errAborted
	case t.open != nil:
		return false, errOpen
	}
	begin = !t.begun
	t.begun = true
	return begin, nil
}

// fail remembers the first error, classified already.
func (t *pgTx) fail(err error) error {
	if err != nil && t.failed == nil {
		t.failed = err
	}
	return err
}

func (t *pgTx) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	begin, err := t.ready()
	if err != nil {
		return 0, err
	}
	count(ctx, 1, 1)
	if begin {
		var affected int64
		failed, _ := pgBatch(ctx, t.conn, []Stmt{{SQL: sql, Args: args, Affected: &affected}}, true)
		return affected, t.fail(failed)
	}
	tag, err := t.conn.Exec(ctx, sql, args...)
	return tag.RowsAffected(), t.fail(postgresError(err))
}

func (t *pgTx) Query(ctx context.Context, sql string, args ...any) (Rows, error) {
	begin, err := t.ready()
	if err != nil {
		return nil, err
	}
	count(ctx, 1, 1)
	r := &pgRows{tx: t}
	if begin {
		b := new(pgx.Batch)
		b.Queue(sqlBegin)
		b.Queue(sql, args...)
		r.batch = t.conn.SendBatch(ctx, b)
		if _, err = r.batch.Exec(); err == nil {
			r.Rows, err = r.batch.Query()
		}
		if err != nil {
			_ = r.batch.Close() // repeats the error
		}
	} else {
		r.Rows, err = t.conn.Query(ctx, sql, args...)
	}
	if err != nil {
		return nil, t.fail(postgresError(err))
	}
	t.open = r
	return r, nil
}

func (t *pgTx) QueryRow(ctx context.Context, sql string, args ...any) Row {
	rows, err := t.Query(ctx, sql, args...)
	return firstRow{rows, err}
}

func (t *pgTx) Batch(ctx context.Context, stmts []Stmt) error {
	if len(stmts) == 0 {
		return nil
	}
	begin, err := t.ready()
	if err != nil {
		return err
	}
	count(ctx, len(stmts), 1)
	failed, err := pgBatch(ctx, t.conn, stmts, begin)
	if failed != nil {
		return t.fail(failed)
	}
	return err
}

func (t *pgTx) finish() {
	if t.open != nil {
		t.open.Close()
	}
	t.done = true
}

func (t *pgTx) commit(ctx context.Context) error {
	if !t.begun {
		return nil
	}
	count(ctx, 0, 1)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	tag, err := t.conn.Exec(ctx, sqlCommit)
	if err == nil && tag.String() != sqlCommit {
		// PostgreSQL answers ROLLBACK to the COMMIT of an aborted transaction.
		return errAborted
	}
	return postgresError(err)
}

func (t *pgTx) rollback(ctx context.Context) {
	if !t.begun || t.conn.Conn().IsClosed() {
		return
	}
	count(ctx, 0, 1)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	// On an error the pool sees that the connection is inside a transaction and destroys it.
	_, _ = t.conn.Exec(ctx, sqlRollback)
}

// pgBatch pipelines the statements. failed is the error of a statement, err the first one that a
// Scan function returned.
func pgBatch(ctx context.Context, conn interface {
	SendBatch(context.Context, *pgx.Batch) pgx.BatchResults
}, stmts []Stmt, begin bool,
) (failed, err error) {
	b := new(pgx.Batch)
	if begin {
		b.Queue(sqlBegin)
	}
	for i := range stmts {
		b.Queue(stmts[i].SQL, stmts[i].Args...)
	}
	results := conn.SendBatch(ctx, b)
	if begin {
		_, failed = results.Exec()
	}
	for i := 0; i < len(stmts) && failed == nil; i++ {
		s := &stmts[i]
		if s.Scan == nil {
			tag, e := results.Exec()
			if failed = statementError(i, postgresError(e)); failed == nil && s.Affected != nil {
				*s.Affected = tag.RowsAffected()
			}
			continue
		}
		rows, e := results.Query()
		if e == nil {
			r := &pgRows{Rows: rows}
			if scanned := s.Scan(r); err == nil {
				err = statementError(i, scanned)
			}
			r.Close()
			e = rows.Err()
		}
		failed = statementError(i, postgresError(e))
	}
	if e := results.Close(); failed == nil {
		failed = postgresError(e)
	}
	return failed, err
}

// pgRows classifies errors and tells the transaction when it is closed.
type pgRows struct {
	pgx.Rows
	tx    *pgTx
	batch pgx.BatchResults // set when BEGIN went along
}

func (r *pgRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

func (r *pgRows) Scan(dest ...any) error { return r.Rows.Scan(dest...) }

func (r *pgRows) Err() error { return postgresError(r.Rows.Err()) }

func (r *pgRows) Close() {
	r.Rows.Close()
	if r.batch != nil {
		_ = r.batch.Close() // repeats the error of the rows
		r.batch = nil
	}
	if r.tx != nil {
		_ = r.tx.fail(r.Err())
		if r.tx.open == r {
			r.tx.open = nil
		}
	}
}

// firstRow is the Row of both adapters.
type firstRow struct {
	rows Rows
	err  error
}

func (f firstRow) Scan(dest ...any) error {
	if f.err != nil {
		return f.err
	}
	defer f.rows.Close()
	if !f.rows.Next() {
		if err := f.rows.Err(); err != nil {
			return err
		}
		return ErrNotFound
	}
	if err := f.rows.Scan(dest...); err != nil {
		return err
	}
	// INSERT … RETURNING may fail after its first row.
	f.rows.Close()
	return f.rows.Err()
}

package db

import (
	"context"
	"database/sql"
	"sync"
	"sync/atomic"
	"time"
)

// A group ends when nobody waits, and at the latest after this many functions or this long: the first
// of a group waits for the last.
const (
	maxGroup     = 256
	maxGroupTime = 5 * time.Millisecond
)

// writer owns the one connection that writes. Its goroutine takes what waits into one transaction,
// gives each function its turn on the goroutine that called (so that a panic or runtime.Goexit ends
// that caller and nobody else), and answers after COMMIT.
type writer struct {
	s     *sqliteDB
	pool  *sql.DB
	conn  *sql.Conn
	stmts *stmtCache

	mu      sync.Mutex
	waiting []*job
	closed  bool
	wake    chan struct{} // capacity 1
	done    chan struct{} // closed when the goroutine has ended
}

// job is one function in the queue.
type job struct {
	// claimed is set by whoever comes first: the writer that runs the job or the caller that leaves.
	claimed atomic.Bool
	turn    chan *sqliteTx // the caller may run its function
	ran     chan error     // the function returned
	answer  chan error     // the outcome, final
	err     error          // what the function returned; the writer's
	gone    bool           // the function did not return; the writer's
}

const (
	sqlBeginImmediate    = "BEGIN IMMEDIATE"
	sqlSavepoint         = "SAVEPOINT f"
	sqlReleaseSavepoint  = "RELEASE f"
	sqlRollbackSavepoint = "ROLLBACK TO f"
)

func newWriter(s *sqliteDB, pool *sql.DB, conn *sql.Conn) *writer {
	w := &writer{
		s: s, pool: pool, conn: conn, stmts: newStmtCache(conn),
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	go w.run()
	return w
}

// do runs f in a transaction, on the calling goroutine, and returns after COMMIT. It may run f twice.
func (w *writer) do(ctx context.Context, f func(*sqliteTx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if nested() {
		return ErrNestedTx
	}
	j := &job{turn: make(chan *sqliteTx, 1), ran: make(chan error, 1), answer: make(chan error, 1)}
	if err := w.enqueue(j); err != nil {
		return err
	}
	left := ctx.Done()
	for {
		select {
		case t := <-j.turn:
			j.take(t, f)
		case err := <-j.answer:
			return err
		case <-left:
			if j.claimed.CompareAndSwap(false, true) {
				return ctx.Err()
			}
			left = nil // too late: the turn or the answer is coming
		}
	}
}

// take runs f and tells the writer, however f ends.
func (j *job) take(t *sqliteTx, f func(*sqliteTx) error) {
	err := errGone
	defer func() { j.ran <- err }()
	err = enter(func() error { return f(t) })
}

func (w *writer) enqueue(j *job) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return ErrClosed
	}
	w.waiting = append(w.waiting, j)
	w.signal()
	return nil
}

func (w *writer) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// next returns the next job whose caller still waits, or nil.
func (w *writer) next() *job {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.waiting) > 0 {
		j := w.waiting[0]
		w.waiting[0] = nil
		w.waiting = w.waiting[1:]
		if j.claimed.CompareAndSwap(false, true) {
			return j
		}
	}
	return nil
}

func (w *writer) run() {
	defer close(w.done)
	for {
		if j := w.next(); j != nil {
			w.group(j)
			continue
		}
		w.mu.Lock()
		end := w.closed && len(w.waiting) == 0
		w.mu.Unlock()
		if end {
			return
		}
		<-w.wake
	}
}

// close lets everything that was handed in finish.
func (w *writer) close() {
	w.mu.Lock()
	w.closed = true
	w.signal()
	w.mu.Unlock()
	<-w.done
	w.stmts.close()
	_ = w.conn.Close()
	_ = w.pool.Close()
}

func (w *writer) exec(sql string) error {
	_, err := w.stmts.exec(sql, nil)
	return w.s.error(err)
}

// group runs first and what waits behind it in one transaction.
func (w *writer) group(first *job) {
	if err := w.exec(sqlBeginImmediate); err != nil {
		// Another process holds the lock; the others must not each wait as long again.
		for j := first; j != nil; j = w.next() {
			j.answer <- err
		}
		return
	}
	start := time.Now()
	var jobs []*job
	for j := first; j != nil; {
		jobs = append(jobs, j)
		if !w.runOne(j) {
			w.abandon(jobs, j)
			return
		}
		j = nil
		if len(jobs) < maxGroup && time.Since(start) < maxGroupTime {
			j = w.next()
		}
	}
	if _, err := w.stmts.exec(sqlCommit, nil); err != nil {
		if isConstraint(err) && len(jobs) > 1 {
			// A deferred foreign key of one of them, found only now: alone, each gets its own answer.
			w.abandon(jobs, nil)
			return
		}
		w.rollback()
		for _, j := range jobs {
			j.answer <- w.s.error(err)
		}
		return
	}
	// A refusal is answered after COMMIT too: it may rest on what another function of the group did.
	for _, j := range jobs {
		j.answer <- j.err
	}
}

// runOne gives j its turn inside a savepoint. It reports false when the transaction was lost.
func (w *writer) runOne(j *job) (ok bool) {
	if j.err = w.exec(sqlSavepoint); j.err != nil {
		return false
	}
	t := &sqliteTx{s: w.s, stmts: w.stmts}
	j.turn <- t
	j.err = <-j.ran
	j.gone = j.err == errGone
	t.finish()
	if j.err == nil {
		j.err = t.failed
	}
	if j.err != nil && w.exec(sqlRollbackSavepoint) != nil {
		return false
	}
	// A lost transaction has no savepoint.
	return w.exec(sqlReleaseSavepoint) == nil
}

// abandon gives up the transaction of a group, answers culprit, and runs the others again, each in a
// transaction of its own.
func (w *writer) abandon(jobs []*job, culprit *job) {
	w.rollback()
	for _, j := range jobs {
		switch {
		case j == culprit:
			if j.err == nil {
				j.err = errAborted
			}
			j.answer <- j.err
		case j.gone:
		default:
			j.answer <- w.alone(j)
		}
	}
}

func (w *writer) alone(j *job) error {
	if err := w.exec(sqlBeginImmediate); err != nil {
		return err
	}
	if !w.runOne(j) || j.err != nil {
		w.rollback()
		if j.err == nil {
			return errAborted
		}
		return j.err
	}
	if err := w.exec(sqlCommit); err != nil {
		w.rollback()
		return err
	}
	return nil
}

// rollback fails when SQLite has rolled back by itself, which is as good.
func (w *writer) rollback() { _ = w.exec(sqlRollback) }

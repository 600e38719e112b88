package db_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

func TestTxCommitsOrRollsBack(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		if err := d.Tx(t.Context(), func(q db.Queryer) error {
			exec(t, q, insertThing, "a", "1")
			exec(t, q, insertThing, "a", "2")
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := d.Tx(t.Context(), func(q db.Queryer) error {
			exec(t, q, insertThing, "a", "3")
			if n := number(t, q, countThings); n != 3 {
				t.Errorf("the function sees %d rows of its own transaction", n)
			}
			return errOwn
		}); !errors.Is(err, errOwn) {
			t.Errorf("got %v", err)
		}
		if err := d.Tx(t.Context(), func(db.Queryer) error { return nil }); err != nil {
			t.Errorf("a transaction without statements: %v", err)
		}
		if n := number(t, d, countThings); n != 2 {
			t.Errorf("%d rows", n)
		}
	})
}

// PostgreSQL refuses everything after a failed statement, so a function that goes on works nowhere.
func TestTxEndsAtAFailedStatement(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		err := d.Tx(t.Context(), func(q db.Queryer) error {
			exec(t, q, insertThing, "a", "1")
			if _, err := q.Exec(t.Context(), insertThing, "a", "1"); !errors.Is(err, db.ErrConflict) {
				t.Errorf("got %v", err)
			}
			if _, err := q.Exec(t.Context(), insertThing, "a", "2"); err == nil {
				t.Error("a statement after a failed one went through")
			}
			return nil
		})
		if !errors.Is(err, db.ErrConflict) {
			t.Errorf("the error that the function swallowed is lost: %v", err)
		}
		if n := number(t, d, countThings); n != 0 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestTxRefusesAStatementBeforeRowsAreClosed(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		exec(t, d, insertThing, "a", "1")
		for _, first := range []bool{true, false} { // with and without BEGIN on the way
			err := d.Tx(t.Context(), func(q db.Queryer) error {
				if !first {
					exec(t, q, insertThing, "b", "1")
				}
				rows, err := q.Query(t.Context(), `SELECT id FROM things`)
				if err != nil {
					return err
				}
				if _, err := q.Exec(t.Context(), insertThing, "a", "2"); err == nil {
					t.Error("a statement ran while rows were open")
				}
				rows.Close()
				exec(t, q, insertThing, "a", fmt.Sprint("later", first))
				// These stay open: the end of the function closes them.
				_, err = q.Query(t.Context(), `SELECT id FROM things`)
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
		if n := number(t, d, countThings); n != 4 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestQueryerIsDeadAfterTx(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		var leaked db.Queryer
		if err := d.Tx(t.Context(), func(q db.Queryer) error { leaked = q; return nil }); err != nil {
			t.Fatal(err)
		}
		if _, err := leaked.Exec(t.Context(), insertThing, "a", "1"); err == nil {
			t.Error("Exec after the end")
		}
		if _, err := leaked.Query(t.Context(), countThings); err == nil {
			t.Error("Query after the end")
		}
		if err := leaked.Batch(t.Context(), []db.Stmt{{SQL: insertThing, Args: []any{"a", "1"}}}); err == nil {
			t.Error("Batch after the end")
		}
	})
}

func TestNestedWritesAreRefused(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		for name, nested := range map[string]func() error{
			"Tx":    func() error { return d.Tx(ctx, func(db.Queryer) error { return nil }) },
			"Exec":  func() error { _, err := d.Exec(ctx, insertThing, "a", "1"); return err },
			"Batch": func() error { return d.Batch(ctx, []db.Stmt{{SQL: insertThing, Args: []any{"a", "1"}}}) },
		} {
			var inner error
			if err := d.Tx(ctx, func(db.Queryer) error { inner = deep(50, nested); return nil }); err != nil {
				t.Fatal(err)
			}
			if !errors.Is(inner, db.ErrNestedTx) {
				t.Errorf("%s in Tx: %v", name, inner)
			}
			if err := d.Batch(ctx, []db.Stmt{{SQL: countThings, Scan: func(db.Rows) error { return nested() }}}); !errors.Is(err, db.ErrNestedTx) {
				t.Errorf("%s in Batch: %v", name, err)
			}
		}
		if err := d.Tx(ctx, func(db.Queryer) error { return nil }); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// deep calls f from far down the stack.
func deep(n int, f func() error) error {
	if n == 0 {
		return f()
	}
	return deep(n-1, f)
}

func TestPanicStaysWithItsCaller(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		got := func() (p any) {
			defer func() { p = recover() }()
			_ = d.Tx(t.Context(), func(q db.Queryer) error {
				exec(t, q, insertThing, "a", "1")
				panic("of the function")
			})
			return nil
		}()
		if got != "of the function" {
			t.Errorf("recovered %v", got)
		}
		// What t.Fatal does.
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = d.Tx(t.Context(), func(q db.Queryer) error {
				if _, err := q.Exec(t.Context(), insertThing, "a", "2"); err != nil {
					t.Error(err)
				}
				goexit()
				return nil
			})
			t.Error("Goexit did not end the goroutine")
		}()
		<-ended
		exec(t, d, insertThing, "a", "3")
		if n := number(t, d, countThings); n != 1 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestTxRunsAgainWhenTheEngineAsks(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		if d.Dialect().Name != db.Postgres {
			return // SQLite has one writer: nothing to collide with
		}
		ctx := t.Context()
		exec(t, d, `INSERT INTO things (owner, id) VALUES ('a', '1'), ('a', '2')`)
		// Two transactions lock the rows in opposite order; one is the victim of the deadlock, once.
		var both sync.WaitGroup
		both.Add(2)
		var runs [2]int
		var errs [2]error
		var done sync.WaitGroup
		for i, order := range [][2]string{{"1", "2"}, {"2", "1"}} {
			done.Go(func() {
				errs[i] = d.Tx(ctx, func(q db.Queryer) error {
					runs[i]++
					if _, err := q.Exec(ctx, `UPDATE things SET at = 1 WHERE id = $1`, order[0]); err != nil {
						return err
					}
					if runs[i] == 1 {
						both.Done()
						both.Wait()
					}
					if _, err := q.Exec(ctx, `UPDATE things SET at = 1 WHERE id = $1`, order[1]); err != nil {
						return errOwn // a function that hides the cause is run again all the same
					}
					return nil
				})
			})
		}
		done.Wait()
		if errs[0] != nil || errs[1] != nil {
			t.Errorf("errors %v", errs)
		}
		if runs[0]+runs[1] != 3 {
			t.Errorf("runs %v", runs)
		}
	})
}

// A batch of its own that PostgreSQL ends to break a deadlock runs again, unless it
// reads: what it read may have been used.
func TestBatchRunsAgainWhenTheEngineAsks(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		if d.Dialect().Name != db.Postgres {
			return // SQLite has one writer: nothing to collide with
		}
		ctx := t.Context()
		exec(t, d, `CREATE SEQUENCE tries`) // counts on, whatever becomes of a transaction
		stmts := []db.Stmt{
			{SQL: insertThing, Args: []any{"a", "1"}},
			{SQL: `DO $$ BEGIN IF nextval('tries') < 3 THEN RAISE EXCEPTION 'no' USING ERRCODE = '40P01'; END IF; END $$`},
		}
		if err := d.Batch(ctx, stmts); err != nil {
			t.Fatal(err)
		}
		if things, tries := number(t, d, countThings), number(t, d, `SELECT last_value FROM tries`); things != 1 || tries != 3 {
			t.Errorf("%d rows after %d tries", things, tries)
		}
		exec(t, d, `ALTER SEQUENCE tries RESTART`)
		exec(t, d, `DELETE FROM things`)
		read := 0
		err := d.Batch(ctx, append([]db.Stmt{{SQL: countThings, Scan: func(db.Rows) error { read++; return nil }}}, stmts...))
		if things := number(t, d, countThings); !errors.Is(err, db.ErrRetry) || read != 1 || things != 0 {
			t.Errorf("read %d times, %d rows: %v", read, things, err)
		}
	})
}

func TestTxGivesUp(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		if d.Dialect().Name != db.Postgres {
			return
		}
		runs := 0
		err := d.Tx(t.Context(), func(q db.Queryer) error {
			runs++
			_, err := q.Exec(t.Context(), `DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$`)
			return err
		})
		if !errors.Is(err, db.ErrRetry) || runs != 5 {
			t.Errorf("%d runs, %v", runs, err)
		}
	})
}

func TestConcurrentIncrementsAllCount(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		exec(t, d, insertThing, "a", "1")
		const goroutines, times = 16, 25
		var wg sync.WaitGroup
		for range goroutines {
			wg.Go(func() {
				for range times {
					err := d.Tx(t.Context(), func(q db.Queryer) error {
						var n int
						if err := q.QueryRow(t.Context(), `SELECT n FROM things WHERE id = $1`+q.Dialect().ForUpdate, "1").Scan(&n); err != nil {
							return err
						}
						_, err := q.Exec(t.Context(), `UPDATE things SET n = $1`, n+1)
						return err
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if n := number(t, d, `SELECT n FROM things`); n != goroutines*times {
			t.Errorf("n = %d", n)
		}
	})
}

func TestClaimsSkipLockedRows(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		exec(t, d, `INSERT INTO things (owner, id) VALUES ('a', '1'), ('a', '2'), ('a', '3'), ('a', '4')`)
		var mu sync.Mutex
		claimed := map[string]int{}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				var id string
				err := d.Tx(t.Context(), func(q db.Queryer) error {
					if err := q.QueryRow(t.Context(), `SELECT id FROM things WHERE NOT flag ORDER BY id LIMIT 1`+q.Dialect().SkipLocked).Scan(&id); err != nil {
						return err
					}
					_, err := q.Exec(t.Context(), `UPDATE things SET flag = TRUE WHERE id = $1`, id)
					return err
				})
				if err != nil && !errors.Is(err, db.ErrNotFound) {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				claimed[id]++
			})
		}
		wg.Wait()
		for id, n := range claimed {
			if id != "" && n != 1 {
				t.Errorf("%s was claimed %d times", id, n)
			}
		}
	})
}

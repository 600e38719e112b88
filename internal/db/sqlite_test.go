package db_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

func goexit() { runtime.Goexit() }

func openSQLite(t testing.TB) db.DB {
	t.Helper()
	d := dbtest.Open(t, db.SQLite)
	create(t, d)
	return d
}

// block holds the writer until release is called, so that what is handed in meanwhile waits together.
func block(t *testing.T, d db.DB) (release func()) {
	t.Helper()
	started, proceed, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var first sync.Once // the function may run again with a group that is given up
	go func() {
		defer close(ended)
		if err := d.Tx(t.Context(), func(db.Queryer) error {
			first.Do(func() { close(started) })
			<-proceed
			return nil
		}); err != nil {
			t.Error(err)
		}
	}()
	<-started
	return func() {
		close(proceed)
		<-ended
	}
}

func TestGroupCommitKeepsFunctionsApart(t *testing.T) {
	d := openSQLite(t)
	release := block(t, d)
	const n = 40
	errs := make([]error, n)
	var wg, ready sync.WaitGroup
	for i := range n {
		ready.Add(1)
		wg.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					errs[i] = fmt.Errorf("panic: %v", p)
				}
			}()
			ready.Done()
			errs[i] = d.Tx(t.Context(), func(q db.Queryer) error {
				exec(t, q, insertThing, "a", fmt.Sprint(i))
				switch i % 4 {
				case 1:
					return errOwn
				case 2:
					_, err := q.Exec(t.Context(), insertThing, "a", fmt.Sprint(i)) // twice
					return err
				case 3:
					panic(i)
				}
				return nil
			})
		})
	}
	ready.Wait()
	release()
	wg.Wait()
	for i, err := range errs {
		ok := false
		switch i % 4 {
		case 0:
			ok = err == nil
		case 1:
			ok = errors.Is(err, errOwn)
		case 2:
			ok = errors.Is(err, db.ErrConflict)
		case 3:
			ok = err != nil && err.Error() == fmt.Sprintf("panic: %d", i)
		}
		if !ok {
			t.Errorf("%d: %v", i, err)
		}
	}
	if got := number(t, d, countThings); got != n/4 {
		t.Errorf("%d rows, want %d", got, n/4)
	}
}

// A deferred foreign key is checked at COMMIT, which all share: the guilty one alone may fail.
func TestGroupCommitFindsWhoBreaksTheCommit(t *testing.T) {
	d := openSQLite(t)
	release := block(t, d)
	const n = 10
	errs := make([]error, n)
	var wg, ready sync.WaitGroup
	for i := range n {
		ready.Add(1)
		wg.Go(func() {
			ready.Done()
			errs[i] = d.Tx(t.Context(), func(q db.Queryer) error {
				exec(t, q, insertThing, "a", fmt.Sprint(i))
				thing := fmt.Sprint(i)
				if i == 4 {
					thing = "none"
				}
				exec(t, q, `INSERT INTO later (owner, id, thing) VALUES ($1, $2, $3)`, "a", fmt.Sprint(i), thing)
				return nil
			})
		})
	}
	ready.Wait()
	release()
	wg.Wait()
	for i, err := range errs {
		if (i == 4) != errors.Is(err, db.ErrConflict) || (i != 4) != (err == nil) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if got := number(t, d, countThings); got != n-1 {
		t.Errorf("%d rows", got)
	}
}

func TestGroupCommitSurvivesALostTransaction(t *testing.T) {
	d := openSQLite(t)
	release := block(t, d)
	const n = 10
	errs := make([]error, n)
	var wg, ready sync.WaitGroup
	for i := range n {
		ready.Add(1)
		wg.Go(func() {
			ready.Done()
			errs[i] = d.Tx(t.Context(), func(q db.Queryer) error {
				exec(t, q, insertThing, "a", fmt.Sprint(i))
				if i == 4 {
					// What SQLite does by itself when the disk is full.
					_, err := q.Exec(t.Context(), `INSERT OR ROLLBACK INTO things (owner, id) VALUES ('a', $1)`, fmt.Sprint(i))
					return err
				}
				return nil
			})
		})
	}
	ready.Wait()
	release()
	wg.Wait()
	for i, err := range errs {
		if (i == 4) != (err != nil) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if got := number(t, d, countThings); got != n-1 {
		t.Errorf("%d rows", got)
	}
}

func TestWaiterMayLeave(t *testing.T) {
	d := openSQLite(t)
	release := block(t, d)
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		left <- d.Tx(ctx, func(db.Queryer) error { t.Error("the function of a caller that left ran"); return nil })
	}()
	stays := make(chan error, 1)
	go func() {
		_, err := d.Exec(t.Context(), insertThing, "a", "1")
		stays <- err
	}()
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("left: %v", err)
	}
	release()
	if err := <-stays; err != nil {
		t.Errorf("stays: %v", err)
	}
	if got := number(t, d, countThings); got != 1 {
		t.Errorf("%d rows", got)
	}
}

func TestReadPoolCannotWrite(t *testing.T) {
	d := openSQLite(t)
	var id string
	if err := d.QueryRow(t.Context(), insertThing+` RETURNING id`, "a", "1").Scan(&id); err == nil {
		t.Error("a write went through the read pool")
	}
	if got := number(t, d, countThings); got != 0 {
		t.Errorf("%d rows", got)
	}
}

func TestReadersSeeOnlyWhatIsCommitted(t *testing.T) {
	d := openSQLite(t)
	err := d.Tx(t.Context(), func(q db.Queryer) error {
		exec(t, q, insertThing, "a", "1")
		if n := number(t, d, countThings); n != 0 {
			t.Errorf("a reader sees %d rows before COMMIT", n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := number(t, d, countThings); n != 1 {
		t.Errorf("a reader sees %d rows after COMMIT", n)
	}
}

func TestEveryConnectionIsSetUp(t *testing.T) {
	d, err := db.Open(t.Context(), db.Config{Path: filepath.Join(t.TempDir(), "odd ?#% name", "a.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	check := func(t *testing.T, q db.Queryer) {
		t.Helper()
		var mode string
		if err := q.QueryRow(t.Context(), `SELECT journal_mode FROM pragma_journal_mode`).Scan(&mode); err != nil || mode != "wal" {
			t.Errorf("journal_mode %q, %v", mode, err)
		}
		for pragma, want := range map[string]int{"foreign_keys": 1, "synchronous": 2} {
			if got := number(t, q, `SELECT * FROM pragma_`+pragma); got != want {
				t.Errorf("%s = %d, want %d", pragma, got, want)
			}
		}
		if got := number(t, q, `SELECT timeout FROM pragma_busy_timeout`); got != 5000 {
			t.Errorf("busy_timeout = %d", got)
		}
	}
	check(t, d)
	if err := d.Tx(t.Context(), func(q db.Queryer) error { check(t, q); return nil }); err != nil {
		t.Error(err)
	}
}

func TestFilesAreTheOwnersOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	d, err := db.Open(t.Context(), db.Config{Path: filepath.Join(dir, "a.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	exec(t, d, `CREATE TABLE x (y TEXT)`)
	for name, want := range map[string]os.FileMode{"": 0o700, "a.db": 0o600, "a.db-wal": 0o600, "a.db-shm": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%q: %o, want %o", name, got, want)
		}
	}
}

// Two processes, as "gatehouse key create" beside a running server.
func TestTwoWritersOfOneFile(t *testing.T) {
	c := dbtest.Config(t, db.SQLite)
	var stores [2]db.DB
	for i := range stores {
		d, err := db.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(d.Close)
		stores[i] = d
	}
	create(t, stores[0])
	var wg sync.WaitGroup
	for i, d := range stores {
		for j := range 4 {
			wg.Go(func() {
				for k := range 10 {
					if _, err := d.Exec(t.Context(), insertThing, "a", fmt.Sprint(i, j, k)); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	if got := number(t, stores[1], countThings); got != 80 {
		t.Errorf("%d rows", got)
	}
}

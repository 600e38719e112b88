package db_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(lent{m}) }

// lent are the tests, after which nothing is lent any more.
type lent struct{ *testing.M }

func (l lent) Run() int {
	defer dbtest.Close()
	return l.M.Run()
}

const (
	createThings = `CREATE TABLE things (
		owner TEXT NOT NULL, id TEXT NOT NULL, label TEXT, flag BOOLEAN NOT NULL DEFAULT FALSE,
		n BIGINT NOT NULL DEFAULT 0, at BIGINT, raw BYTEA,
		PRIMARY KEY (owner, id), UNIQUE (owner, label))`
	createThingsNumber = `CREATE UNIQUE INDEX things_number ON things (n) WHERE n > 0`
	createThingsFolded = `CREATE UNIQUE INDEX things_folded ON things (lower(label)) WHERE flag`
	createParts        = `CREATE TABLE parts (
		owner TEXT NOT NULL, id TEXT NOT NULL, thing TEXT NOT NULL, PRIMARY KEY (owner, id),
		FOREIGN KEY (owner, thing) REFERENCES things (owner, id) DEFERRABLE INITIALLY IMMEDIATE)`
	createLater = `CREATE TABLE later (
		owner TEXT NOT NULL, id TEXT NOT NULL, thing TEXT NOT NULL, PRIMARY KEY (owner, id),
		FOREIGN KEY (owner, thing) REFERENCES things (owner, id) DEFERRABLE INITIALLY DEFERRED)`

	insertThing = `INSERT INTO things (owner, id) VALUES ($1, $2)`
	insertPart  = `INSERT INTO parts (owner, id, thing) VALUES ($1, $2, $3)`
	countThings = `SELECT count(*) FROM things`
)

var errOwn = errors.New("own error of the function")

// each runs f on both engines with the tables above.
func each(t *testing.T, f func(t *testing.T, d db.DB)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		create(t, d)
		f(t, d)
	})
}

func create(t testing.TB, d db.DB) {
	t.Helper()
	for _, s := range []string{createThings, createThingsNumber, createThingsFolded, createParts, createLater} {
		exec(t, d, s)
	}
}

func exec(t testing.TB, q db.Queryer, sql string, args ...any) int64 {
	t.Helper()
	n, err := q.Exec(t.Context(), sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

func number(t testing.TB, q db.Queryer, sql string, args ...any) (n int) {
	t.Helper()
	if err := q.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

func TestValuesRoundTrip(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		at := time.Date(2026, 3, 4, 5, 6, 7, 891_234_567, time.FixedZone("", 3600))
		label := "Zoë 'quoted' \x01"
		exec(t, d, `INSERT INTO things (owner, id, label, flag, n, at, raw) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			"a", "1", &label, true, int64(1)<<62, db.At(at), []byte{0, 255, 1})
		exec(t, d, `INSERT INTO things (owner, id, label, flag, n, at, raw) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			"a", "2", (*string)(nil), false, 7, db.Time{}, nil)

		read := func(id string) (label *string, flag bool, n int64, at db.Time, raw []byte) {
			t.Helper()
			err := d.QueryRow(t.Context(), `SELECT label, flag, n, at, raw FROM things WHERE owner = $1 AND id = $2`, "a", id).
				Scan(&label, &flag, &n, &at, &raw)
			if err != nil {
				t.Fatal(err)
			}
			return label, flag, n, at, raw
		}
		l, flag, n, when, raw := read("1")
		if l == nil || *l != label || !flag || n != 1<<62 || string(raw) != "\x00\xff\x01" {
			t.Errorf("row 1: %v %v %v %v", l, flag, n, raw)
		}
		if when != db.At(at) || !when.Equal(at.Truncate(time.Microsecond)) || when.Location() != time.UTC {
			t.Errorf("time: got %v, want %v", when, db.At(at))
		}
		l, flag, n, when, raw = read("2")
		if l != nil || flag || n != 7 || !when.IsZero() || raw != nil {
			t.Errorf("row 2: %v %v %v %v %v", l, flag, n, when, raw)
		}
	})
}

func TestBooleansOfExpressions(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		exec(t, d, insertThing, "a", "1")
		var b [5]bool
		err := d.QueryRow(t.Context(), `SELECT EXISTS (SELECT 1 FROM things), n > 0, label IS NULL, TRUE, NOT flag FROM things`).
			Scan(&b[0], &b[1], &b[2], &b[3], &b[4])
		if want := [5]bool{true, false, true, true, true}; err != nil || b != want {
			t.Errorf("got %v, %v; want %v", b, err, want)
		}
		var flag bool
		err = d.Batch(t.Context(), []db.Stmt{{
			SQL: `UPDATE things SET flag = $1 RETURNING flag`, Args: []any{true},
			Scan: func(r db.Rows) error {
				for r.Next() {
					if err := r.Scan(&flag); err != nil {
						return err
					}
				}
				return r.Err()
			},
		}})
		if err != nil || !flag {
			t.Errorf("RETURNING flag: %v, %v", flag, err)
		}
		if n := number(t, d, `SELECT SUM(n) FROM things`); n != 0 {
			t.Errorf("sum = %d", n)
		}
	})
}

func TestManyIdsInOneParameter(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		for i := range 5 {
			exec(t, d, insertThing, "a", fmt.Sprint(i))
		}
		rows, err := d.Query(t.Context(),
			`SELECT id FROM things WHERE owner = $1 AND id IN (SELECT key FROM json_each($2)) ORDER BY id`,
			"a", `{"1":0,"3":0,"x\"y":0}`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var ids []string
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		if rows.Err() != nil || !slices.Equal(ids, []string{"1", "3"}) {
			t.Errorf("got %v, %v", ids, rows.Err())
		}
	})
}

// The parameters of SQLite are numbered by their first appearance unless the driver goes by name.
func TestParametersGoByNumber(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		exec(t, d, `INSERT INTO things (id, owner, label) VALUES ($2, $1, $2)`, "first", "second")
		var owner, label string
		if err := d.QueryRow(t.Context(), `SELECT owner, label FROM things`).Scan(&owner, &label); err != nil {
			t.Fatal(err)
		}
		if owner != "first" || label != "second" {
			t.Errorf("owner %q, label %q", owner, label)
		}
	})
}

func TestComparisonsGoByBytes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		for _, kind := range []string{"a", "B", "b", "é", "A"} {
			exec(t, d, `INSERT INTO key_checks (id, value, created_at) VALUES ($1, '', 0)`, kind)
		}
		rows, err := d.Query(t.Context(), `SELECT id FROM key_checks ORDER BY id`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var order string
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				t.Fatal(err)
			}
			order += id
		}
		if rows.Err() != nil || order != "ABabé" {
			t.Errorf("order %q, %v", order, rows.Err())
		}
		var like bool
		if err := d.QueryRow(t.Context(), `SELECT 'abc' LIKE 'ABC'`).Scan(&like); err != nil || like {
			t.Errorf("LIKE ignores case: %v, %v", like, err)
		}
	})
}

func TestErrors(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		var n int
		if err := d.QueryRow(ctx, `SELECT n FROM things`).Scan(&n); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("no row: %v", err)
		}
		exec(t, d, `INSERT INTO things (owner, id, label, flag, n) VALUES ('a', '1', 'x', TRUE, 5)`)
		exec(t, d, insertPart, "a", "p", "1")
		for _, c := range []struct {
			sql        string
			constraint string
		}{
			{`INSERT INTO things (owner, id) VALUES ('a', '1')`, "things_pkey"},
			{`INSERT INTO things (owner, id, label) VALUES ('a', '2', 'x')`, "things_owner_label_key"},
			{`INSERT INTO things (owner, id, n) VALUES ('a', '2', 5)`, "things_number"},
			{`INSERT INTO things (owner, id, label, flag) VALUES ('a', '2', 'X', TRUE)`, "things_folded"},
		} {
			_, err := d.Exec(ctx, c.sql)
			var conflict *db.ConflictError
			if !errors.Is(err, db.ErrConflict) || !errors.As(err, &conflict) ||
				conflict.ForeignKey || conflict.Constraint != c.constraint {
				t.Errorf("%s: got %v, want a conflict with %s", c.sql, err, c.constraint)
			}
		}
		for _, sql := range []string{
			`INSERT INTO parts (owner, id, thing) VALUES ('a', 'q', 'none')`,
			`INSERT INTO parts (owner, id, thing) VALUES ('b', 'q', '1')`,
			`DELETE FROM things`,
		} {
			_, err := d.Exec(ctx, sql)
			var conflict *db.ConflictError
			if !errors.Is(err, db.ErrConflict) || !errors.As(err, &conflict) || !conflict.ForeignKey {
				t.Errorf("%s: got %v, want a conflict with a foreign key", sql, err)
			}
		}
		for _, sql := range []string{
			`INSERT INTO things (owner, id) VALUES ('a', NULL)`,
			`SELECT nothing FROM things`,
			`not sql`,
			`INSERT INTO things (owner, id) VALUES ("a", '9')`, // a quoted name is never a string
		} {
			_, err := d.Exec(ctx, sql)
			if err == nil || errors.Is(err, db.ErrConflict) || errors.Is(err, db.ErrRetry) || errors.Is(err, db.ErrNotFound) {
				t.Errorf("%s: got %v, want another error", sql, err)
			}
		}
	})
}

func TestExecReportsAffectedRows(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		exec(t, d, `INSERT INTO things (owner, id) VALUES ('a', '1'), ('a', '2'), ('b', '1')`)
		if n := exec(t, d, `UPDATE things SET n = 0 WHERE owner = $1`, "a"); n != 2 {
			t.Errorf("updated %d", n)
		}
		if n := exec(t, d, `INSERT INTO things (owner, id) VALUES ('a', '1') ON CONFLICT DO NOTHING`); n != 0 {
			t.Errorf("inserted %d", n)
		}
		err := d.Tx(t.Context(), func(q db.Queryer) error {
			for range 2 { // the first statement travels with BEGIN
				if n := exec(t, q, `UPDATE things SET n = 0 WHERE owner = $1`, "a"); n != 2 {
					t.Errorf("updated %d in a transaction", n)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestBatch(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		var affected int64
		var ids []string
		stmts := func(owner string) []db.Stmt {
			ids = nil
			return []db.Stmt{
				{SQL: `INSERT INTO things (owner, id) VALUES ($1, '1'), ($1, '2')`, Args: []any{owner}, Affected: &affected},
				{SQL: insertPart, Args: []any{owner, "p", "1"}},
				{SQL: `SELECT id FROM things WHERE owner = $1 ORDER BY id`, Args: []any{owner}, Scan: func(r db.Rows) error {
					for r.Next() {
						var id string
						if err := r.Scan(&id); err != nil {
							return err
						}
						ids = append(ids, id)
					}
					return r.Err()
				}},
				{SQL: `DELETE FROM parts WHERE owner = $1`, Args: []any{owner}},
			}
		}
		check := func(name string, err error) {
			t.Helper()
			if err != nil || affected != 2 || !slices.Equal(ids, []string{"1", "2"}) {
				t.Errorf("%s: %v, affected %d, ids %v", name, err, affected, ids)
			}
			affected = 0
		}
		check("outside", d.Batch(ctx, stmts("a")))
		check("first in Tx", d.Tx(ctx, func(q db.Queryer) error { return q.Batch(ctx, stmts("b")) }))
		check("later in Tx", d.Tx(ctx, func(q db.Queryer) error {
			exec(t, q, insertThing, "x", "1")
			return q.Batch(ctx, stmts("c"))
		}))
		if err := d.Batch(ctx, nil); err != nil {
			t.Errorf("empty: %v", err)
		}
		if n := number(t, d, countThings); n != 7 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestBatchIsAtomic(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		bad := []db.Stmt{
			{SQL: insertThing, Args: []any{"a", "1"}},
			{SQL: insertThing, Args: []any{"a", "1"}},
			{SQL: insertThing, Args: []any{"a", "2"}},
		}
		for name, run := range map[string]func() error{
			"outside": func() error { return d.Batch(ctx, bad) },
			"in Tx":   func() error { return d.Tx(ctx, func(q db.Queryer) error { return q.Batch(ctx, bad) }) },
			"in Tx, swallowed": func() error {
				return d.Tx(ctx, func(q db.Queryer) error {
					_ = q.Batch(ctx, bad)
					return nil
				})
			},
		} {
			err := run()
			var conflict *db.ConflictError
			if !errors.As(err, &conflict) || conflict.Constraint != "things_pkey" ||
				(name != "in Tx, swallowed" && !strings.Contains(err.Error(), "statement 1")) {
				t.Errorf("%s: %v", name, err)
			}
			if n := number(t, d, countThings); n != 0 {
				t.Errorf("%s: %d rows", name, n)
			}
		}
	})
}

// All statements are on their way on PostgreSQL when Scan runs, so its error undoes nothing by itself.
func TestBatchScanError(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		stmts := []db.Stmt{
			{SQL: countThings, Scan: func(db.Rows) error { return errOwn }},
			{SQL: insertThing, Args: []any{"a", "1"}},
		}
		if err := d.Tx(ctx, func(q db.Queryer) error { return q.Batch(ctx, stmts) }); !errors.Is(err, errOwn) {
			t.Errorf("in Tx: %v", err)
		}
		if n := number(t, d, countThings); n != 0 {
			t.Errorf("%d rows after Tx", n)
		}
		if err := d.Batch(ctx, stmts); !errors.Is(err, errOwn) {
			t.Errorf("outside: %v", err)
		}
		if n := number(t, d, countThings); n != 1 {
			t.Errorf("%d rows after Batch", n)
		}
	})
}

func TestQueryRowOfInsertReturningFails(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		err := d.Tx(t.Context(), func(q db.Queryer) error {
			var id string
			if err := q.QueryRow(t.Context(), insertThing+` RETURNING id`, "a", "1").Scan(&id); err != nil || id != "1" {
				t.Errorf("got %q, %v", id, err)
			}
			return q.QueryRow(t.Context(), insertThing+` RETURNING id`, "a", "1").Scan(&id)
		})
		if !errors.Is(err, db.ErrConflict) {
			t.Errorf("got %v", err)
		}
	})
}

func TestCounter(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		run := func(name string, statements, roundTrips int64, f func(ctx context.Context) error) {
			t.Helper()
			ctx, c := db.Count(t.Context())
			if err := f(ctx); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if c.Statements() != statements || c.RoundTrips() != roundTrips {
				t.Errorf("%s: %d statements, %d round trips; want %d, %d",
					name, c.Statements(), c.RoundTrips(), statements, roundTrips)
			}
		}
		two := []db.Stmt{{SQL: insertThing, Args: []any{"b", "1"}}, {SQL: insertThing, Args: []any{"b", "2"}}}
		run("Exec", 1, 1, func(ctx context.Context) error {
			_, err := d.Exec(ctx, insertThing, "a", "1")
			return err
		})
		run("QueryRow", 1, 1, func(ctx context.Context) error {
			var n int
			return d.QueryRow(ctx, countThings).Scan(&n)
		})
		run("Batch", 2, 1, func(ctx context.Context) error { return d.Batch(ctx, two) })
		run("Tx", 3, 3, func(ctx context.Context) error {
			return d.Tx(ctx, func(q db.Queryer) error {
				if _, err := q.Exec(ctx, `DELETE FROM things`); err != nil {
					return err
				}
				return q.Batch(ctx, two)
			})
		})
	})
}

func TestCancelledContext(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := d.Exec(ctx, insertThing, "a", "1"); !errors.Is(err, context.Canceled) {
			t.Errorf("Exec: %v", err)
		}
		if err := d.Tx(ctx, func(db.Queryer) error { t.Error("the function ran"); return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("Tx: %v", err)
		}
		var n int
		if err := d.QueryRow(ctx, countThings).Scan(&n); !errors.Is(err, context.Canceled) {
			t.Errorf("QueryRow: %v", err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		err := d.Tx(ctx, func(q db.Queryer) error {
			exec(t, q, insertThing, "a", "1")
			cancel()
			_, err := q.Exec(ctx, insertThing, "a", "2")
			return err
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled inside: %v", err)
		}
		if n := number(t, d, countThings); n != 0 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestClose(t *testing.T) {
	c := dbtest.Config(t, db.SQLite)
	d, err := db.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	create(t, d)
	// What was handed in before Close is finished.
	started := make(chan struct{})
	proceed := make(chan struct{})
	result := make(chan error, 1)
	go func() {
		result <- d.Tx(context.Background(), func(q db.Queryer) error {
			close(started)
			<-proceed
			_, err := q.Exec(context.Background(), insertThing, "a", "1")
			return err
		})
	}()
	<-started
	closed := make(chan struct{})
	go func() { d.Close(); close(closed) }()
	close(proceed)
	if err := <-result; err != nil {
		t.Errorf("a transaction under way at Close: %v", err)
	}
	<-closed
	if _, err := d.Exec(context.Background(), insertThing, "a", "2"); !errors.Is(err, db.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if _, err := os.Stat(c.Path + "-wal"); !os.IsNotExist(err) {
		t.Errorf("the log was not moved into the file: %v", err)
	}
}

func TestOpenRefusesAnUnclearConfig(t *testing.T) {
	for _, c := range []db.Config{{}, {DatabaseURL: "postgres://x", Path: "y"}} {
		if _, err := db.Open(t.Context(), c); err == nil {
			t.Errorf("%+v was opened", c)
		}
	}
	_, err := db.Open(t.Context(), db.Config{DatabaseURL: "postgres://user:hunter2@127.0.0.1:1/x?connect_timeout=1"})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

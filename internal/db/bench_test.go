package db_test

import (
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

func BenchmarkInsert(b *testing.B) {
	dbtest.Bench(b, func(b *testing.B, d db.DB) {
		create(b, d)
		i := 0
		for b.Loop() {
			i++
			if _, err := d.Exec(b.Context(), insertThing, "single", strconv.Itoa(i)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// 32 callers at once, as many as the goals for SCIM creates speak of.
func BenchmarkInsert32(b *testing.B) {
	dbtest.Bench(b, func(b *testing.B, d db.DB) {
		create(b, d)
		concurrent(b, func(i string) error {
			_, err := d.Exec(b.Context(), insertThing, "many", i)
			return err
		})
	})
}

func BenchmarkTx32(b *testing.B) {
	dbtest.Bench(b, func(b *testing.B, d db.DB) {
		create(b, d)
		concurrent(b, func(i string) error {
			return d.Tx(b.Context(), func(q db.Queryer) error {
				return q.Batch(b.Context(), []db.Stmt{
					{SQL: insertThing, Args: []any{"many", i}},
					{SQL: insertPart, Args: []any{"many", i, i}},
				})
			})
		})
	})
}

func BenchmarkQueryRow(b *testing.B) {
	dbtest.Bench(b, func(b *testing.B, d db.DB) {
		create(b, d)
		exec(b, d, insertThing, "a", "1")
		for b.Loop() {
			var n int
			if err := d.QueryRow(b.Context(), `SELECT n FROM things WHERE owner = $1 AND id = $2`, "a", "1").Scan(&n); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func concurrent(b *testing.B, f func(i string) error) {
	b.Helper()
	const callers = 32
	var next, failed atomic.Int64
	done := make(chan struct{})
	b.ResetTimer()
	for range callers {
		go func() {
			defer func() { done <- struct{}{} }()
			for {
				i := next.Add(1)
				if i > int64(b.N) {
					return
				}
				if f(strconv.FormatInt(i, 10)) != nil {
					failed.Add(1)
				}
			}
		}()
	}
	for range callers {
		<-done
	}
	if n := failed.Load(); n != 0 {
		b.Fatalf("%d failed", n)
	}
}

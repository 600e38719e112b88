package db_test

import (
	"io/fs"
	"slices"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/migrations"
)

func files(pairs ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return m
}

func TestOverlay(t *testing.T) {
	fsys := files(
		"0001_a.sql", "shared",
		"0002_b.sql", "shared", "0002_b.postgres.sql", "own",
		"0003_c.sqlite.sql", "own",
		"0004_d.postgres.sql", "own", "0004_d.sqlite.sql", "-- +goose Up\nown",
		"schema.sqlite.sql", "snapshot", "notes.txt", "",
	)
	for engine, want := range map[string][]string{
		db.Postgres: {"0001_a.sql", "shared", "0002_b.sql", "own", "0004_d.sql", "own"},
		db.SQLite:   {"0001_a.sql", "shared", "0002_b.sql", "shared", "0003_c.sql", "own", "0004_d.sql", "own"},
	} {
		o, err := db.Overlay(fsys, engine)
		if err != nil {
			t.Fatal(err)
		}
		names, err := fs.Glob(o, "*.sql")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, name := range names {
			text, err := fs.ReadFile(o, name)
			if err != nil {
				t.Fatal(err)
			}
			const header = "-- +goose Up\n"
			if len(text) < len(header) || string(text[:len(header)]) != header {
				t.Errorf("%s %s: no header: %q", engine, name, text)
				continue
			}
			got = append(got, name, string(text[len(header):]))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", engine, got, want)
		}
	}
	for name, bad := range map[string]fs.FS{
		"two files of one number":       files("0001_a.sql", "", "0001_b.sql", ""),
		"the engines end differently":   files("0001_a.sql", "", "0002_b.sqlite.sql", ""),
		"an own file of another's name": files("0001_a.sql", "", "0001_b.postgres.sql", ""),
	} {
		if _, err := db.Overlay(bad, db.SQLite); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := db.Overlay(fsys, "oracle"); err == nil {
		t.Error("an engine that does not exist: no error")
	}
}

func TestMigrate(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		have, err := db.MigrationStatus(t.Context(), d, migrations.FS)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range have {
			if m.At.IsZero() {
				t.Errorf("%s is pending in a migrated store", m.Name)
			}
		}
		if err := db.Migrate(t.Context(), d, migrations.FS); err != nil {
			t.Errorf("a second time: %v", err)
		}

		// The next release.
		next := fstest.MapFS{
			"9001_later.sql":           {Data: []byte("CREATE TABLE later_one (id TEXT PRIMARY KEY, note TEXT NOT NULL UNIQUE, n BIGINT);")},
			"9002_broken.postgres.sql": {Data: []byte("CREATE TABLE later_two (id TEXT);\nCREATE TABLE later_one (id TEXT);")},
			"9002_broken.sqlite.sql":   {Data: []byte("CREATE TABLE later_two (id TEXT);\nCREATE TABLE later_one (id TEXT);")},
		}
		names, err := fs.Glob(migrations.FS, "*.sql")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := fs.ReadFile(migrations.FS, name)
			if err != nil {
				t.Fatal(err)
			}
			next[name] = &fstest.MapFile{Data: text}
		}
		if err := db.Migrate(t.Context(), d, next); err == nil {
			t.Error("a broken migration: no error")
		}
		status, err := db.MigrationStatus(t.Context(), d, next)
		if err != nil || len(status) != len(have)+2 || status[len(have)].At.IsZero() || !status[len(have)+1].At.IsZero() {
			t.Errorf("after a broken migration: %+v, %v", status, err)
		}
		if _, err := d.Exec(t.Context(), `INSERT INTO later_two (id) VALUES ('1')`); err == nil {
			t.Error("half of a broken migration stayed")
		}
		next["9002_broken.postgres.sql"].Data = []byte("CREATE TABLE later_two (id TEXT);")
		next["9002_broken.sqlite.sql"].Data = []byte("CREATE TABLE later_two (id TEXT);")
		if err := db.Migrate(t.Context(), d, next); err != nil {
			t.Errorf("mended: %v", err)
		}
		exec(t, d, `INSERT INTO later_two (id) VALUES ('1')`)
		exec(t, d, `INSERT INTO later_one (id, note) VALUES ('a', 'B'), ('b', 'a'), ('c', 'é')`)
		var first string
		if err := d.QueryRow(t.Context(), `SELECT note FROM later_one ORDER BY note LIMIT 1`).Scan(&first); err != nil || first != "B" {
			t.Errorf("the order is not that of bytes: %q, %v", first, err)
		}
		// A replica of the release before.
		if err := db.Migrate(t.Context(), d, migrations.FS); err != nil {
			t.Errorf("a store of the next release: %v", err)
		}
	})
}

func TestMigrateAtTheSameTime(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		next := files("9001_x.sql", "CREATE TABLE later_one (id TEXT);", "9002_y.sql", "CREATE TABLE later_two (id TEXT);")
		for _, name := range []string{"0001_init.sql"} {
			text, err := fs.ReadFile(migrations.FS, name)
			if err != nil {
				t.Fatal(err)
			}
			next[name] = &fstest.MapFile{Data: text}
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := db.Migrate(t.Context(), d, next); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		exec(t, d, `INSERT INTO later_two (id) VALUES ('1')`)
	})
}

func BenchmarkMigrateUpToDate(b *testing.B) {
	dbtest.Bench(b, func(b *testing.B, d db.DB) {
		for b.Loop() {
			if err := db.Migrate(b.Context(), d, migrations.FS); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Package dbtest gives tests a migrated store of their own on both engines.
//
// SQLite is a copy of a template file. PostgreSQL is a copy of a template database on the server that
// GATEHOUSE_TEST_DATABASE_URL names; its user may create databases. Without that variable tests run
// on SQLite only, unless GATEHOUSE_TEST_REQUIRE_POSTGRES=1, which makes its absence a failure. With
// -short they run on SQLite only.
//
// The template file is made once per process; the template database carries a hash of the migrations
// in its name and is made once per server. Copying it costs more than most tests do, so where the
// user is a superuser copies stay on the server, as many as tests ran at one moment, and are
// emptied for the next test that wants one.
package dbtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/migrations"
)

const (
	urlVariable     = "GATEHOUSE_TEST_DATABASE_URL"
	requireVariable = "GATEHOUSE_TEST_REQUIRE_POSTGRES"
)

// templateVersion changes when templates must be made anew though the migrations are the same.
const templateVersion = "2"

// Each runs f on an empty migrated store of each engine, as the subtests "sqlite" and "postgres".
func Each(t *testing.T, f func(t *testing.T, d db.DB)) {
	t.Helper()
	for _, engine := range engines(t) {
		t.Run(engine, func(t *testing.T) { f(t, Open(t, engine)) })
	}
}

// Twice is Each for tests of two processes on one store: each has connections of its own on
// PostgreSQL. SQLite belongs to one process, so there both are the same.
func Twice(t *testing.T, f func(t *testing.T, one, two db.DB)) {
	t.Helper()
	for _, engine := range engines(t) {
		t.Run(engine, func(t *testing.T) {
			c := Config(t, engine)
			one, err := db.Open(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(one.Close)
			if engine == db.SQLite {
				f(t, one, one)
				return
			}
			two, err := db.Open(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(two.Close)
			f(t, one, two)
		})
	}
}

// Bench runs f on an empty migrated store of each engine, with SQLite as durable as in production.
func Bench(b *testing.B, f func(b *testing.B, d db.DB)) {
	b.Helper()
	for _, engine := range engines(b) {
		b.Run(engine, func(b *testing.B) { f(b, open(b, engine, false)) })
	}
}

// Open returns an empty migrated store of the engine (db.SQLite or db.Postgres), closed and removed
// when the test ends. It fails the test when the engine is not there.
func Open(t testing.TB, engine string) db.DB {
	t.Helper()
	return open(t, engine, true)
}

// Config returns the address of an empty migrated store of the engine, for tests that open it
// themselves, more than once or from another process.
func Config(t testing.TB, engine string) db.Config {
	t.Helper()
	if engine == db.SQLite {
		return db.Config{Path: sqliteCopy(t), Unsafe: true}
	}
	return db.Config{DatabaseURL: borrow(t, false), MaxConns: 10}
}

func open(t testing.TB, engine string, unsafe bool) db.DB {
	t.Helper()
	var c db.Config
	switch {
	case engine == db.SQLite || unsafe:
		c = Config(t, engine)
		c.Unsafe = unsafe && engine == db.SQLite
	default:
		c.DatabaseURL = borrow(t, true)
	}
	d, err := db.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// engines returns the engines that this run tests on.
func engines(t testing.TB) []string {
	t.Helper()
	switch {
	case testing.Short():
		return []string{db.SQLite}
	case os.Getenv(urlVariable) != "":
		return []string{db.SQLite, db.Postgres}
	case os.Getenv(requireVariable) == "1":
		t.Fatalf("%s=1, but %s is empty", requireVariable, urlVariable)
	}
	return []string{db.SQLite}
}

// templateName is the same in every process that tests the same migrations.
var templateName = sync.OnceValues(func() (string, error) {
	h := sha256.New()
	_, _ = io.WriteString(h, templateVersion)
	for _, engine := range []string{db.SQLite, db.Postgres} {
		files, err := db.Overlay(migrations.FS, engine)
		if err != nil {
			return "", err
		}
		names, err := fs.Glob(files, "*.sql")
		if err != nil {
			return "", err
		}
		for _, name := range names {
			text, err := fs.ReadFile(files, name)
			if err != nil {
				return "", err
			}
			_, _ = fmt.Fprintf(h, "%s %s %d\n%s", engine, name, len(text), text)
		}
	}
	return "gatehouse_template_" + hex.EncodeToString(h.Sum(nil)[:8]), nil
})

func sqliteCopy(t testing.TB) string {
	t.Helper()
	template, err := sqliteTemplate()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	if err := os.WriteFile(path, template, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// sqliteTemplate is made once per process and kept in memory: another process may not trust a file
// in a directory that others write.
var sqliteTemplate = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "gatehouse-dbtest-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "template.db")
	if err := migrate(context.Background(), db.Config{Path: path, Unsafe: true}); err != nil {
		return nil, err
	}
	// The last connection has moved the log into the file.
	return os.ReadFile(path)
})

func migrate(ctx context.Context, c db.Config) error {
	d, err := db.Open(ctx, c)
	if err != nil {
		return err
	}
	defer d.Close()
	return db.Migrate(ctx, d, migrations.FS)
}

// postgresTemplate makes the template database unless another process has. It is built under another
// name, so that one that exists is complete.
var postgresTemplate = sync.OnceValues(func() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	server := os.Getenv(urlVariable)
	name, err := templateName()
	if err != nil {
		return "", err
	}
	// One connection, because the lock belongs to it.
	d, err := db.Open(ctx, db.Config{DatabaseURL: server, MaxConns: 1})
	if err != nil {
		return "", err
	}
	defer d.Close()
	if _, err := d.Exec(ctx, `SELECT pg_advisory_lock(4097083628)`); err != nil {
		return "", err
	}
	var there int
	err = d.QueryRow(ctx, `SELECT 1 FROM pg_database WHERE datname = $1`, name).Scan(&there)
	if !errors.Is(err, db.ErrNotFound) {
		return name, err
	}
	building := name + "_building"
	// What a process that died here has left behind.
	if _, err := d.Exec(ctx, `DROP DATABASE IF EXISTS "`+building+`" WITH (FORCE)`); err != nil {
		return "", err
	}
	if _, err := d.Exec(ctx, `CREATE DATABASE "`+building+`" TEMPLATE template0`); err != nil {
		return "", err
	}
	state, err := migrated(ctx, db.Config{DatabaseURL: withDatabase(server, building), MaxConns: 4})
	if err != nil {
		return "", err
	}
	if _, err := d.Exec(ctx, `COMMENT ON DATABASE "`+building+`" IS '`+state+`'`); err != nil { // digits and slashes
		return "", err
	}
	_, err = d.Exec(ctx, `ALTER DATABASE "`+building+`" RENAME TO "`+name+`"`)
	return name, err
})

// migrated migrates the database and gives the state of its schema.
func migrated(ctx context.Context, c db.Config) (state string, err error) {
	if err := migrate(ctx, c); err != nil {
		return "", err
	}
	d, err := db.Open(ctx, c)
	if err != nil {
		return "", err
	}
	defer d.Close()
	err = d.QueryRow(ctx, sqlState).Scan(&state)
	return state, err
}

// withDatabase replaces the database in a postgres:// address.
func withDatabase(server, name string) string {
	u, err := url.Parse(server)
	if err != nil {
		return server // db.Open says what is wrong with it
	}
	u.Path = "/" + name
	return u.String()
}

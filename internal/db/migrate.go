package db

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// Migration is one step of the schema.
type Migration struct {
	Version int64
	Name    string // of the file, as [Overlay] calls it
	// At is when it was applied; the zero time when it is pending.
	At time.Time
}

// Migrate brings the store to the newest version of fsys, which [Overlay] describes. A store that is
// newer than fsys is left alone: during a rolling update old replicas start beside new ones. Several
// processes may call it at once. Each step is a transaction of its own, so a failure leaves the store
// at a version.
//
// On PostgreSQL it then gives every text column the collation "C": keys compare by bytes, as on
// SQLite, whatever the collation of a managed database is.
func Migrate(ctx context.Context, d DB, fsys fs.FS) error {
	m, err := newMigrator(d, fsys)
	if err != nil {
		return err
	}
	defer m.close()
	if err := m.up(ctx); err != nil {
		return fmt.Errorf("db: migrate: %w", err)
	}
	if d.Dialect().Name == Postgres {
		return collate(ctx, d)
	}
	if err := statePlans(ctx, d); err != nil {
		return fmt.Errorf("db: plans: %w", err)
	}
	return nil
}

// MigrationStatus lists the steps of fsys and whether they were applied, in order.
func MigrationStatus(ctx context.Context, d DB, fsys fs.FS) ([]Migration, error) {
	m, err := newMigrator(d, fsys)
	if err != nil {
		return nil, err
	}
	defer m.close()
	status, err := m.goose.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("db: migration status: %w", err)
	}
	list := make([]Migration, len(status))
	for i, s := range status {
		list[i] = Migration{Version: s.Source.Version, Name: s.Source.Path, At: s.AppliedAt}
	}
	return list, nil
}

type migrator struct {
	goose  *goose.Provider
	locked bool // Up runs under a lock
}

func newMigrator(d DB, fsys fs.FS) (*migrator, error) {
	engine := d.Dialect().Name
	files, err := Overlay(fsys, engine)
	if err != nil {
		return nil, err
	}
	pool, err := d.(interface{ sqlDB() (*sql.DB, error) }).sqlDB()
	if err != nil {
		return nil, err
	}
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger())}
	dialect := goose.DialectSQLite3
	if engine == Postgres {
		dialect = goose.DialectPostgres
		// Asks every second, for five minutes.
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
		if err != nil {
			_ = pool.Close()
			return nil, err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	provider, err := goose.NewProvider(dialect, pool, files, options...)
	if err != nil {
		_ = pool.Close()
		return nil, fmt.Errorf("db: migrations: %w", err)
	}
	return &migrator{provider, engine == Postgres}, nil
}

// up applies what is pending. On SQLite no lock spans the steps, and of several processes one wins
// each: the others see an error, and then less to do.
func (m *migrator) up(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		pending, err := m.goose.HasPending(ctx)
		if err != nil || !pending {
			return err
		}
		if _, err := m.goose.Up(ctx); err != nil && (m.locked || attempt == maxAttempts) {
			return err
		}
	}
}

func (m *migrator) close() { _ = m.goose.Close() }

// collate is repeated at each start, so that it also covers new tables and a start that was cut short,
// and skips what is "C" already. Only indexes are rebuilt, not tables.
func collate(ctx context.Context, d DB) error {
	var todo bool
	if err := d.QueryRow(ctx, sqlForeignCollation).Scan(&todo); err != nil {
		return fmt.Errorf("db: collation: %w", err)
	}
	if !todo {
		return nil
	}
	if _, err := d.Exec(ctx, sqlCollate); err != nil {
		return fmt.Errorf("db: collation: %w", err)
	}
	return nil
}

const sqlForeignCollation = `SELECT EXISTS (
	SELECT 1 FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
	WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
	AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid = 'text'::regtype
	AND a.attcollation <> 'pg_catalog."C"'::regcollation)`

// One ALTER TABLE per table, so that each index is rebuilt once. The advisory lock keeps replicas that
// start together from deadlocking in the catalog.
const sqlCollate = `DO $$
DECLARE
	t record;
BEGIN
	PERFORM pg_advisory_xact_lock(4097083627);
	FOR t IN
		SELECT a.attrelid::regclass AS name,
			string_agg(format('ALTER COLUMN %I TYPE text COLLATE "C"', a.attname), ', ' ORDER BY a.attnum) AS changes
		FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
		WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
		AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid = 'text'::regtype
		AND a.attcollation <> 'pg_catalog."C"'::regcollation
		GROUP BY a.attrelid
	LOOP
		EXECUTE format('ALTER TABLE %s %s', t.name, t.changes);
	END LOOP;
END $$`

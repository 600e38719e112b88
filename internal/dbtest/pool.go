package dbtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

// pool lends copies of the template database. Whoever holds the advisory lock on a
// copy has borrowed it; the lock ends with the process.
type pool struct {
	server, template string
	keep             bool // copies may be emptied and used again

	mu   sync.Mutex
	d    db.DB // one connection, because the locks belong to it
	lent map[int64]bool
}

// lockSpace keeps the locks on copies, whose keys are their oids, apart from others.
const lockSpace = 1 << 40

// largest is the size in bytes of a table beyond which a copy is not worth emptying.
const largest = 4 << 20

const (
	sqlCopies = `SELECT CAST(oid AS BIGINT), datname FROM pg_database WHERE starts_with(datname, $1) ORDER BY oid`

	sqlSessionsEnd = `SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1`

	sqlTemplateState = `SELECT COALESCE(shobj_description(oid, 'pg_database'), '') FROM pg_database WHERE datname = $1`

	// sqlState changes with every change of the schema, for good: a row of the catalogue has the
	// number of the transaction that wrote it. ANALYZE and VACUUM write in place.
	sqlState = `SELECT CONCAT_WS(' ',
 (SELECT CONCAT(COUNT(*), '/', MAX(CAST(CAST(xmin AS TEXT) AS BIGINT))) FROM pg_class),
 (SELECT CONCAT(COUNT(*), '/', MAX(CAST(CAST(xmin AS TEXT) AS BIGINT))) FROM pg_attribute),
 (SELECT CONCAT(COUNT(*), '/', MAX(CAST(CAST(xmin AS TEXT) AS BIGINT))) FROM pg_constraint),
 (SELECT CONCAT(COUNT(*), '/', MAX(CAST(CAST(xmin AS TEXT) AS BIGINT))) FROM pg_trigger),
 (SELECT CONCAT(COUNT(*), '/', MAX(CAST(CAST(xmin AS TEXT) AS BIGINT))) FROM pg_proc))`

	sqlLargest = `SELECT COALESCE(MAX(pg_relation_size(oid)), 0) FROM pg_class WHERE relkind = 'r'`

	// sqlEmpty empties every table that has ever had a row, without a thought for foreign keys.
	sqlEmpty = `DO $$ DECLARE t regclass; BEGIN
 SET LOCAL session_replication_role = replica;
 FOR t IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
   AND relname <> 'goose_db_version' AND pg_relation_size(oid) > 0 LOOP
  EXECUTE 'DELETE FROM ' || t;
 END LOOP; END $$`
)

var thePool = sync.OnceValues(func() (*pool, error) {
	template, err := postgresTemplate()
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p := &pool{server: os.Getenv(urlVariable), template: template, lent: map[int64]bool{}}
	if p.d, err = db.Open(ctx, db.Config{DatabaseURL: p.server, MaxConns: 1}); err != nil {
		return nil, err
	}
	var super string
	err = p.d.QueryRow(ctx, `SELECT current_setting('is_superuser')`).Scan(&super)
	p.keep = super == "on"
	return p, err
})

// Close ends what this package keeps open beyond tests. Nothing can be borrowed
// afterwards: for a TestMain that looks for what was left behind.
func Close() {
	if os.Getenv(urlVariable) == "" {
		return
	}
	if p, err := thePool(); err == nil {
		p.d.Close()
	}
}

// borrow gives the address of an empty migrated database until the test ends. A fresh
// one was never used before.
func borrow(t testing.TB, fresh bool) (address string) {
	t.Helper()
	if os.Getenv(urlVariable) == "" {
		t.Fatalf("%s is empty", urlVariable)
	}
	p, err := thePool()
	if err != nil {
		t.Fatalf("PostgreSQL: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	oid, name, err := p.take(ctx, fresh)
	if err != nil {
		t.Fatalf("PostgreSQL: %v", err)
	}
	t.Cleanup(func() {
		// t.Context() has ended by now.
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := p.giveBack(ctx, oid, name, fresh); err != nil {
			t.Errorf("PostgreSQL: %v", err)
		}
	})
	return withDatabase(p.server, name)
}

func (p *pool) take(ctx context.Context, fresh bool) (oid int64, name string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.keep && !fresh {
		copies, err := p.copies(ctx, p.prefix())
		if err != nil {
			return 0, "", err
		}
		for _, c := range copies {
			name, err := p.reuse(ctx, c)
			if err != nil {
				return 0, "", fmt.Errorf("%s: %w", c.name, err)
			}
			if name != "" {
				return c.oid, name, nil
			}
		}
	}
	for {
		name := p.prefix() + rand.Text()
		if _, err := p.d.Exec(ctx, `CREATE DATABASE "`+name+`" TEMPLATE "`+p.template+`"`); err != nil {
			return 0, "", err
		}
		made, err := p.copies(ctx, name)
		if err != nil {
			return 0, "", err
		}
		// Another process may have found it first.
		if len(made) == 1 {
			if ours, err := p.lock(ctx, made[0]); err != nil || ours {
				return made[0].oid, name, err
			}
		}
	}
}

func (p *pool) giveBack(ctx context.Context, oid int64, name string, fresh bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.keep || fresh {
		return p.drop(ctx, oid, name)
	}
	return p.unlock(ctx, oid)
}

type copied struct {
	oid  int64
	name string
}

func (p *pool) prefix() string {
	return "gatehouse_test_" + strings.TrimPrefix(p.template, "gatehouse_template_") + "_"
}

func (p *pool) copies(ctx context.Context, prefix string) (list []copied, err error) {
	rows, err := p.d.Query(ctx, sqlCopies, prefix)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c copied
		if err := rows.Scan(&c.oid, &c.name); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, rows.Err()
}

// lock reports whether the copy is ours from now on: nobody has it, and it is still
// what it was when it was found.
func (p *pool) lock(ctx context.Context, c copied) (ours bool, err error) {
	if p.lent[c.oid] { // a session may lock again what it has locked
		return false, nil
	}
	if err := p.d.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, lockSpace+c.oid).Scan(&ours); err != nil || !ours {
		return false, err
	}
	p.lent[c.oid] = true
	now, err := p.copies(ctx, c.name)
	if err == nil && len(now) == 1 && now[0] == c {
		return true, nil
	}
	return false, orElse(err, p.unlock(ctx, c.oid))
}

func (p *pool) unlock(ctx context.Context, oid int64) error {
	delete(p.lent, oid)
	var held bool
	return p.d.QueryRow(ctx, `SELECT pg_advisory_unlock($1)`, lockSpace+oid).Scan(&held)
}

func (p *pool) drop(ctx context.Context, oid int64, name string) error {
	_, err := p.d.Exec(ctx, `DROP DATABASE "`+name+`" WITH (FORCE)`)
	return orElse(err, p.unlock(ctx, oid))
}

// reuse empties a copy that nobody has and gives it another name, under which what
// the test before has left running does not find it. No name: it was not to be had.
func (p *pool) reuse(ctx context.Context, c copied) (name string, err error) {
	if ours, err := p.lock(ctx, c); err != nil || !ours {
		return "", err
	}
	var ended int64
	if err := p.d.QueryRow(ctx, sqlSessionsEnd, c.name).Scan(&ended); err != nil {
		return "", err
	}
	name = p.prefix() + rand.Text()
	if _, err := p.d.Exec(ctx, `ALTER DATABASE "`+c.name+`" RENAME TO "`+name+`"`); err != nil {
		return "", err
	}
	same, err := p.empty(ctx, name)
	if err != nil {
		return "", err
	}
	if !same {
		return "", p.drop(ctx, c.oid, name)
	}
	return name, nil
}

// empty reports whether the copy has the template's schema, and empties it then.
func (p *pool) empty(ctx context.Context, name string) (same bool, err error) {
	d, err := db.Open(ctx, db.Config{DatabaseURL: withDatabase(p.server, name), MaxConns: 1})
	if err != nil {
		return false, err
	}
	defer d.Close()
	var state string
	var size int64
	if err := d.QueryRow(ctx, sqlState).Scan(&state); err != nil {
		return false, err
	}
	if err := d.QueryRow(ctx, sqlLargest).Scan(&size); err != nil {
		return false, err
	}
	var template string
	if err := p.d.QueryRow(ctx, sqlTemplateState, p.template).Scan(&template); err != nil || state != template || size > largest {
		return false, err
	}
	_, err = d.Exec(ctx, sqlEmpty)
	return err == nil, err
}

func orElse(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

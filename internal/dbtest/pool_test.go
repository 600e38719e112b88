package dbtest

import (
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

const (
	sqlSomething = `INSERT INTO environments (id, name, base_url, is_default, settings, created_at, updated_at) VALUES ('env', 'x', '', TRUE, '{}', 1, 1)`
	sqlCountAll  = `SELECT COUNT(*) FROM environments`
)

// What a test writes, into the tables or into the schema, no other test finds, and
// what it leaves running cannot write into the store of the next.
func TestStoresAreEmpty(t *testing.T) {
	for _, engine := range engines(t) {
		t.Run(engine, func(t *testing.T) {
			seen := map[string]bool{}
			for _, change := range []string{``, `CREATE TABLE more (id TEXT PRIMARY KEY)`, `CREATE INDEX more ON environments (name)`, ``, `DROP INDEX environments_default`, `ALTER TABLE environments ADD COLUMN more TEXT`, ``} {
				var late db.DB
				t.Run("one test", func(t *testing.T) {
					c := Config(t, engine)
					if seen[c.DatabaseURL+c.Path] {
						t.Error("an address was given twice")
					}
					seen[c.DatabaseURL+c.Path] = true
					d, err := db.Open(t.Context(), c)
					if err != nil {
						t.Fatal(err)
					}
					late = d
					var n int
					if err := d.QueryRow(t.Context(), sqlCountAll).Scan(&n); err != nil || n != 0 {
						t.Fatalf("%d rows, %v", n, err)
					}
					if _, err := d.Query(t.Context(), `SELECT 1 FROM more`); err == nil && engine == db.Postgres {
						t.Error("a table of the test before")
					}
					if _, err := d.Exec(t.Context(), sqlSomething); err != nil {
						t.Fatal(err)
					}
					if change == `` {
						return
					}
					if _, err := d.Exec(t.Context(), change); err != nil && engine == db.Postgres {
						t.Fatal(err)
					}
				})
				t.Cleanup(late.Close)
				if engine == db.SQLite {
					continue
				}
				next := Open(t, engine)
				_, _ = late.Exec(t.Context(), sqlSomething)
				var n int
				if err := next.QueryRow(t.Context(), sqlCountAll).Scan(&n); err != nil || n != 0 {
					t.Errorf("the next test has %d rows, %v", n, err)
				}
			}
		})
	}
}

package db_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/migrations"
)

// TestPlansAreStated: on an empty SQLite store a join of one person's groups
// goes from the person to the groups, and a second start changes nothing.
func TestPlansAreStated(t *testing.T) {
	ctx := t.Context()
	d, err := db.Open(ctx, db.Config{Path: filepath.Join(t.TempDir(), "x.db"), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	for range 2 {
		if err := db.Migrate(ctx, d, migrations.FS); err != nil {
			t.Fatal(err)
		}
	}
	plan := func(sql string, args ...any) string {
		rows, err := d.Query(ctx, "EXPLAIN QUERY PLAN "+sql, args...)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var steps []string
		for rows.Next() {
			var a, b, c int64
			var step string
			if err := rows.Scan(&a, &b, &c, &step); err != nil {
				t.Fatal(err)
			}
			steps = append(steps, step)
		}
		return strings.Join(steps, "\n")
	}
	const sqlOneOfMany = `SELECT g.name FROM groups g JOIN group_members x ON x.tenant_id = g.tenant_id AND x.group_id = g.id
		JOIN memberships m ON m.tenant_id = x.tenant_id AND m.id = x.membership_id WHERE m.tenant_id = $1 AND m.user_id = $2`
	got := plan(sqlOneOfMany, "t", "u")
	if strings.Contains(got, "(tenant_id=?)") || strings.Contains(got, "SCAN") {
		t.Errorf("the plan reads the whole tenant:\n%s", got)
	}
	var n int64
	if err := d.QueryRow(ctx, `SELECT COUNT(*) FROM sqlite_stat1 WHERE stat = ''`).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d indexes have no statistics, %v", n, err)
	}
}

package db

import (
	"context"
	"fmt"
	"strings"
)

// SQLite has no statistics until somebody runs ANALYZE, and without them takes
// any index that begins with tenant_id for nearly as good as a primary key: it
// reads a tenant to find a row. Statistics of the data would follow the data
// and change plans under load, so the shape that our keys are made for is
// stated instead, once per schema: large tables, large tenants, ids that are
// unique. Plans are then the same on an empty store and on a full one.
const (
	statedRows       = 1_000_000
	statedTenant     = 50_000 // rows of a tenant in a table
	statedConnection = 25_000 // rows of one connection of it
	statedOther      = 10     // rows that share any other column of an index
	statedFew        = 4      // rows of a tenant in a table of settings
)

// fewPerTenant are the tables of which a tenant, or an environment, has few rows.
var fewPerTenant = map[string]bool{
	"domains": true, "sso_connections": true, "sso_idp_keys": true, "scim_connections": true, "scim_tokens": true,
	"sso_scim_pairs": true, "sso_default_roles": true, "group_role_mappings": true, "policies": true, "audit_interest": true,
	"roles": true, "permissions": true, "permission_categories": true, "role_permissions": true, "group_roles": true,
	"environments": true, "signing_keys": true, "management_keys": true, "applications": true,
}

const (
	sqlIndexColumns = `SELECT m.name, l.name, l."unique", c.name FROM sqlite_master m
		JOIN pragma_index_list(m.name) l JOIN pragma_index_info(l.name) c
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY m.name, l.name, c.seqno`
	sqlStated    = `SELECT tbl, idx, stat FROM sqlite_stat1 ORDER BY tbl, idx`
	sqlHasStats  = `SELECT COUNT(*) FROM sqlite_master WHERE name = 'sqlite_stat1'`
	analyzeFirst = `ANALYZE environments` // makes the table; there is no other way to
)

type statedIndex struct{ table, index, stat string }

// statePlans writes the statistics of every index, when they are not there yet.
func statePlans(ctx context.Context, d DB) error {
	want, err := statedIndexes(ctx, d)
	if err != nil || len(want) == 0 {
		return err
	}
	var have int64
	if err := d.QueryRow(ctx, sqlHasStats).Scan(&have); err != nil {
		return err
	}
	if have > 0 {
		same, err := alreadyStated(ctx, d, want)
		if err != nil || same {
			return err
		}
	}
	return d.Tx(ctx, func(q Queryer) error {
		if have == 0 {
			if _, err := q.Exec(ctx, analyzeFirst); err != nil {
				return err
			}
		}
		if _, err := q.Exec(ctx, `DELETE FROM sqlite_stat1`); err != nil {
			return err
		}
		for _, w := range want {
			if _, err := q.Exec(ctx, `INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ($1, $2, $3)`, w.table, w.index, w.stat); err != nil {
				return err
			}
		}
		// A changed schema has every connection read the statistics again.
		if _, err := q.Exec(ctx, `CREATE TABLE stated_plans (x)`); err != nil {
			return err
		}
		_, err := q.Exec(ctx, `DROP TABLE stated_plans`)
		return err
	})
}

func alreadyStated(ctx context.Context, d DB, want []statedIndex) (bool, error) {
	rows, err := d.Query(ctx, sqlStated)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	n := 0
	same := true
	for rows.Next() {
		var s statedIndex
		var index *string
		if err := rows.Scan(&s.table, &index, &s.stat); err != nil {
			return false, err
		}
		if index != nil {
			s.index = *index
		}
		same = same && n < len(want) && s == want[n]
		n++
	}
	return same && n == len(want), rows.Err()
}

// statedIndexes gives the statistics for the indexes that the store has: the
// number of rows, then how many share the first column, the first two, and so on
// (the form of sqlite_stat1).
func statedIndexes(ctx context.Context, d DB) ([]statedIndex, error) {
	rows, err := d.Query(ctx, sqlIndexColumns)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []statedIndex
	var last struct {
		columns []string
		unique  bool
	}
	finish := func() {
		if len(list) > 0 {
			list[len(list)-1].stat = stated(list[len(list)-1].table, last.columns, last.unique)
		}
	}
	for rows.Next() {
		var s statedIndex
		var unique bool
		var column *string
		if err := rows.Scan(&s.table, &s.index, &unique, &column); err != nil {
			return nil, err
		}
		if len(list) == 0 || list[len(list)-1].index != s.index {
			finish()
			list = append(list, s)
			last.columns, last.unique = nil, unique
		}
		name := ""
		if column != nil {
			name = *column
		}
		last.columns = append(last.columns, name)
	}
	finish()
	return list, rows.Err()
}

func stated(table string, columns []string, unique bool) string {
	rows, tenant, connection := statedRows, statedTenant, statedConnection
	if fewPerTenant[table] {
		rows, tenant, connection = statedRows/100, statedFew, statedFew/2
	}
	var b strings.Builder
	fmt.Fprint(&b, rows)
	left := rows
	for i, c := range columns {
		switch {
		case unique && i == len(columns)-1:
			left = 1
		case c == "environment_id":
		case c == "tenant_id", c == "owner_tenant_id", c == "role_owner":
			left = min(left, tenant)
		case c == "connection_id", c == "kind", c == "sso_connection_id":
			left = min(left, connection)
		default:
			left = min(left, statedOther)
		}
		fmt.Fprint(&b, " ", left)
	}
	return b.String()
}

package db

import "context"

// Collated reports whether every text column of a PostgreSQL store compares by
// bytes, which Migrate sees to. Other stores always do.
func Collated(ctx context.Context, d DB) (bool, error) {
	if d.Dialect().Name != Postgres {
		return true, nil
	}
	var foreign bool
	err := d.QueryRow(ctx, sqlForeignCollation).Scan(&foreign)
	return !foreign, err
}

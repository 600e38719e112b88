// Package migrations holds the schema of the store as SQL files, and the snapshots of what they make
// on each engine. [github.com/gatehouse-id/gatehouse/internal/db.Migrate] runs them;
// [github.com/gatehouse-id/gatehouse/internal/db.Overlay] says how the files are named.
//
// Migrations go forward only, and each keeps the previous release working: expand, deploy, contract.
// A file that was released never changes.
//
// On PostgreSQL every text column gets the collation "C" after the migrations, so no file writes it.
//
// schema.sqlite.sql and schema.postgres.sql are generated; after a change run
//
//	go test ./migrations -run Snapshot -update
package migrations

import "embed"

// FS holds the migrations.
//
//go:embed [0-9]*.sql
var FS embed.FS

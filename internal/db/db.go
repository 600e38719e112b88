package db

import (
	"context"
	"time"
)

// Dialect is what a statement may vary by. The zero value is not usable; ask a [Queryer].
type Dialect struct {
	// Name is "postgres" or "sqlite".
	Name string
	// ForUpdate is appended to a SELECT that locks its rows: " FOR UPDATE", or nothing on SQLite,
	// where the transaction already excludes every other writer.
	ForUpdate string
	// ForNoKeyUpdate is ForUpdate that lets rows come which refer to the locked ones: " FOR NO KEY
	// UPDATE", or nothing.
	ForNoKeyUpdate string
	// ForKeyShare is appended to a SELECT whose rows must stay as they are for those who lock them
	// with ForUpdate before they change them: " FOR KEY SHARE", or nothing. It makes neither its
	// own kind wait nor an UPDATE that was not announced by ForUpdate.
	ForKeyShare string
	// SkipLocked is appended to a SELECT that claims rows: " FOR UPDATE SKIP LOCKED", or nothing.
	SkipLocked string
}

// Names of the engines, as in [Dialect.Name].
const (
	Postgres = "postgres"
	SQLite   = "sqlite"
)

var (
	postgresDialect = Dialect{
		Name: Postgres, ForUpdate: " FOR UPDATE", ForNoKeyUpdate: " FOR NO KEY UPDATE", ForKeyShare: " FOR KEY SHARE", SkipLocked: " FOR UPDATE SKIP LOCKED",
	}
	sqliteDialect = Dialect{Name: SQLite}
)

// Rows iterates over a result. Close may be called at any time and more than once; Err reports what
// ended the iteration and is read after Next returned false.
type Rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close()
}

// Row is a result of which the first row is wanted. Scan returns [ErrNotFound] when there is none.
type Row interface {
	Scan(dest ...any) error
}

// Stmt is one statement of a batch.
type Stmt struct {
	SQL  string
	Args []any
	// Affected receives the number of rows changed when Scan is nil. May be nil.
	Affected *int64
	// Scan receives the rows of a statement that returns some, and calls Next itself. It must not
	// use the Queryer: on PostgreSQL the rest of the batch is already on its way.
	Scan func(Rows) error
}

// Queryer runs statements, inside or outside a transaction.
type Queryer interface {
	// Exec runs one statement and returns the number of rows that it changed.
	Exec(ctx context.Context, sql string, args ...any) (affected int64, err error)
	// Query runs a statement that returns rows. The caller closes them.
	Query(ctx context.Context, sql string, args ...any) (Rows, error)
	// QueryRow runs a statement of which the first row is wanted; its error comes from Scan.
	QueryRow(ctx context.Context, sql string, args ...any) Row
	// Batch runs the statements in order, in one round trip on PostgreSQL. All take effect or none
	// does: outside a transaction the batch is one. An error names the first statement that failed
	// or is what a Scan function returned.
	Batch(ctx context.Context, stmts []Stmt) error
	Dialect() Dialect
}

// DB is a store. It is safe for concurrent use.
type DB interface {
	Queryer
	// Tx runs f in a transaction and commits when f returns nil. It re-runs f a few times when the
	// engine asks for that (serialization failure, deadlock). An error of f comes back as it is. A panic of
	// f rolls back and goes on. Isolation is READ COMMITTED on PostgreSQL and serial on SQLite. When
	// ctx ends before f runs, Tx returns its error; once f has returned, Tx waits for the outcome.
	Tx(ctx context.Context, f func(Queryer) error) error
	// Ping reports whether the store answers.
	Ping(ctx context.Context) error
	// Close lets running transactions finish and releases everything.
	Close()
}

// Config says which store to open. Exactly one of DatabaseURL and Path is set.
type Config struct {
	// DatabaseURL is a postgres:// address; pool_* and the other parameters of pgx are understood.
	DatabaseURL string
	// Path is the file of the embedded store. It and its directory are created, readable by the
	// owner only.
	Path string
	// MaxConns bounds the connections: the pool of PostgreSQL, the read pool of SQLite. 0 chooses
	// from the number of processors, or what DatabaseURL says.
	MaxConns int
	// Unsafe gives up durability against a loss of power on SQLite, for tests.
	Unsafe bool
}

// busyTimeout is how long SQLite waits for the write lock of another process.
const busyTimeout = 5 * time.Second

// Open opens a store. It does not migrate it. With PostgreSQL it waits for the first connection.
// The error never holds the password of DatabaseURL.
func Open(ctx context.Context, c Config) (DB, error) {
	switch {
	case (c.DatabaseURL == "") == (c.Path == ""):
		return nil, errConfig
	case c.DatabaseURL != "":
		return openPostgres(ctx, c)
	}
	return openSQLite(ctx, c)
}

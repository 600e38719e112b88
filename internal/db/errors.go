package db

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Errors that callers branch on, with errors.Is. They are found by the codes of the drivers, never by
// the text of an error.
var (
	// ErrNotFound: QueryRow met no row.
	ErrNotFound = errors.New("db: no row")
	// ErrConflict: a unique or foreign key refuses the change. errors.As with *ConflictError tells
	// which one.
	ErrConflict = errors.New("db: conflict")
	// ErrRetry: the engine gave up (serialization failure, deadlock, locked by another process); the
	// same call may succeed later.
	ErrRetry = errors.New("db: try again")
	// ErrNestedTx: Tx, Exec or Batch was called on the DB from inside a transaction function.
	ErrNestedTx = errors.New("db: write on the store from inside a transaction function")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("db: closed")
)

// errText is the one failure here that is the caller's: wherever a value that
// came from outside was not checked, it is refused at last.
var errText = fault.New(fault.Invalid, "invalid_characters", "A value holds characters that cannot be stored.")

var (
	errConfig  = errors.New("db: exactly one of DatabaseURL and Path must be set")
	errAborted = errors.New("db: an earlier statement of this transaction failed")
	errTxDone  = errors.New("db: the transaction function has returned")
	errOpen    = errors.New("db: the rows of the previous statement are not closed")
	errGone    = errors.New("db: the transaction function did not return")
)

// ConflictError is a change that a unique or foreign key refused. It matches [ErrConflict].
type ConflictError struct {
	// Constraint is the name of the key or unique index; <table>_pkey for a primary key and
	// <table>_<columns>_key for a UNIQUE written in the table, on both engines. SQLite does not say
	// which foreign key it was, so there it is empty with ForeignKey.
	Constraint string
	// ForeignKey: a referenced row is missing, or a row to be deleted is still referenced.
	ForeignKey bool

	cause error
}

func (e *ConflictError) Error() string {
	if e.Constraint == "" {
		return "db: conflict with a foreign key"
	}
	return "db: conflict with " + e.Constraint
}

// Is matches [ErrConflict].
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// Unwrap returns the error of the driver.
func (e *ConflictError) Unwrap() error { return e.cause }

type retryError struct{ cause error }

func (e *retryError) Error() string        { return "db: try again: " + e.cause.Error() }
func (e *retryError) Is(target error) bool { return target == ErrRetry }
func (e *retryError) Unwrap() error        { return e.cause }

// SQLSTATE codes, PostgreSQL documentation, appendix A.
const (
	stateSerialization = "40001"
	stateDeadlock      = "40P01"
	stateUnique        = "23505"
	stateForeignKey    = "23503"
	stateRestrict      = "23001"
	stateObjectInUse   = "55006" // CREATE DATABASE from a template that somebody copies
	stateTxAborted     = "25P02"
	stateEncoding      = "22021" // NUL, or not UTF-8
	stateUntranslated  = "22P05" // the same as an escape of JSON
)

func postgresError(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrNotFound
	}
	var pe *pgconn.PgError
	if !errors.As(err, &pe) {
		return err
	}
	switch pe.Code {
	case stateUnique:
		return &ConflictError{Constraint: pe.ConstraintName, cause: err}
	case stateForeignKey, stateRestrict:
		return &ConflictError{Constraint: pe.ConstraintName, ForeignKey: true, cause: err}
	case stateSerialization, stateDeadlock, stateObjectInUse:
		return &retryError{err}
	case stateTxAborted:
		return errAborted
	case stateEncoding, stateUntranslated:
		return errText.Because(err)
	}
	return err
}

func (s *sqliteDB) error(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return err
	}
	switch se.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID:
		return &ConflictError{Constraint: s.names.lookup(se), cause: err}
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return &ConflictError{ForeignKey: true, cause: err}
	}
	switch se.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return &retryError{err}
	}
	return err
}

// isConstraint reports whether SQLite refused a statement for a constraint: such a statement alone
// is undone and the transaction goes on. Other errors (disk full, I/O) may have ended it.
func isConstraint(err error) bool {
	var se *sqlite.Error
	return errors.As(err, &se) && se.Code()&0xff == sqlite3.SQLITE_CONSTRAINT
}

// constraintNames gives the violated unique key of SQLite the name that PostgreSQL reports. The code
// says that a key was violated; which one SQLite tells only in the message ("t.a, t.b", or
// "index 'n'" for an expression), so a reworded message costs the name and nothing else.
type constraintNames struct {
	read *sql.DB
}

const sqlUniqueIndexes = `SELECT l.name, l.origin, COALESCE(i.name, '')
FROM pragma_index_list($1) AS l, pragma_index_info(l.name) AS i
WHERE l."unique" ORDER BY l.name, i.seqno`

func (n constraintNames) lookup(se *sqlite.Error) string {
	const marker = "constraint failed: "
	at := strings.LastIndex(se.Error(), marker)
	if at < 0 {
		return ""
	}
	detail := se.Error()[at+len(marker):]
	if end := strings.LastIndex(detail, " ("); end >= 0 {
		detail = detail[:end]
	}
	if name, ok := strings.CutPrefix(detail, "index '"); ok {
		return strings.TrimSuffix(name, "'")
	}
	var table string
	var columns []string
	for c := range strings.SplitSeq(detail, ", ") {
		t, column, ok := strings.Cut(c, ".")
		if !ok {
			return ""
		}
		table, columns = t, append(columns, column)
	}
	if se.Code() != sqlite3.SQLITE_CONSTRAINT_UNIQUE {
		return table + "_pkey"
	}
	want := strings.Join(columns, "_")
	rows, err := n.read.Query(sqlUniqueIndexes, table)
	if err != nil {
		return ""
	}
	defer rows.Close()
	type index struct{ origin, columns string }
	found := map[string]index{}
	var order []string
	for rows.Next() {
		var name, origin, column string
		if rows.Scan(&name, &origin, &column) != nil {
			return ""
		}
		if x, ok := found[name]; ok {
			found[name] = index{origin, x.columns + "_" + column}
			continue
		}
		found[name] = index{origin, column}
		order = append(order, name)
	}
	if rows.Err() != nil {
		return ""
	}
	for _, name := range order {
		if x := found[name]; x.columns == want {
			switch x.origin {
			case "pk":
				return table + "_pkey"
			case "c":
				return name
			}
			return uniqueName(table, want)
		}
	}
	return ""
}

// uniqueName is the name that PostgreSQL gives to a UNIQUE written in a table (makeObjectName in its
// source): at most 63 bytes, cut where it is longer.
func uniqueName(table, columns string) string {
	const room = 63 - len("_") - len("_key")
	t, c := len(table), min(len(columns), 63)
	for t+c > room {
		if t > c {
			t--
		} else {
			c--
		}
	}
	return table[:t] + "_" + columns[:c] + "_key"
}

// statementError says which statement of a batch failed, for the log.
func statementError(i int, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("statement %d: %w", i, err)
}

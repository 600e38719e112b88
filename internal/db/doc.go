// Package db runs one SQL text on SQLite and on PostgreSQL 15 and later.
//
// It owns the two adapters, the transaction rules, the classification of errors, the type of
// times in the database and the runner of migrations. It knows no table.
//
// # Rules that keep one text valid on both engines
//
//   - Placeholders are $1…$n. Any number of ids travels in one parameter:
//     IN (SELECT key FROM json_each($2)) with what [Set] makes of them.
//   - Arguments are string, int, int64, bool, []byte, nil, [Time] and pointers to them. Times are
//     BIGINT microseconds and cross the edge as [Time] only.
//   - Inside a transaction the rows of one statement are closed before the next statement starts,
//     and after a failed statement every other one fails: PostgreSQL demands both, so the SQLite
//     adapter does too.
//   - Query and QueryRow outside a transaction only read; INSERT … RETURNING goes through Batch or
//     Tx (the SQLite read pool cannot write).
//   - LIKE is case-sensitive.
//   - A statement that must differ is two constants, chosen by [Dialect].
//
// # Transactions
//
// [DB.Tx] is opened by the use case, once; what it calls takes the [Queryer]. A Tx, Exec or Batch on
// the DB from inside a transaction function is refused with [ErrNestedTx]. The function may run more
// than once, and what it wrote is durable only after Tx returned nil: mail and HTTP never happen
// inside it, and it starts from empty results each time.
//
// On SQLite all writes pass one writer, which puts the functions that wait at the same moment into
// one BEGIN IMMEDIATE … COMMIT with a SAVEPOINT for each (group commit): one fsync serves them all,
// and the answer goes out only after it.
package db

package db

import (
	"context"
	"sync/atomic"
)

// Counter counts what ran under a context of [Count]. It is safe for concurrent use.
type Counter struct {
	statements atomic.Int64
	roundTrips atomic.Int64
}

// Statements returns the number of statements, those of batches one by one, BEGIN and COMMIT left out.
func (c *Counter) Statements() int64 { return c.statements.Load() }

// RoundTrips returns how often PostgreSQL would have been waited for: a batch is one, COMMIT is one,
// BEGIN travels with the first statement. SQLite counts in the same way.
func (c *Counter) RoundTrips() int64 { return c.roundTrips.Load() }

type counterKey struct{}

// Count returns a context whose statements are counted, so that a test can assert that a request
// costs a constant number of them.
func Count(ctx context.Context) (context.Context, *Counter) {
	c := new(Counter)
	return context.WithValue(ctx, counterKey{}, c), c
}

func count(ctx context.Context, statements, roundTrips int) {
	if c, ok := ctx.Value(counterKey{}).(*Counter); ok {
		c.statements.Add(int64(statements))
		c.roundTrips.Add(int64(roundTrips))
	}
}

// Package clock injects the time, so that expiry is tested without waiting.
package clock

import (
	"sync"
	"time"
)

// Clock tells the time. Operations ask once per transaction.
type Clock interface{ Now() time.Time }

// System is the machine's clock in UTC, cut to the microsecond that the
// databases store.
type System struct{}

// Now implements Clock.
func (System) Now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// Fake is a clock that stands until it is moved. The zero value stands at the
// zero time; use NewFake.
type Fake struct {
	mu sync.Mutex
	t  time.Time
}

// NewFake makes a clock that stands at t.
func NewFake(t time.Time) *Fake { return &Fake{t: t.UTC().Truncate(time.Microsecond)} }

// Now implements Clock.
func (f *Fake) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.t
}

// Advance moves the clock by d.
func (f *Fake) Advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.t = f.t.Add(d)
}

package oidc

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// How long a document is believed: as long as its server says, within
// bounds; and how often it is asked at most.
const (
	defaultTTL = time.Hour // where it says nothing
	minTTL     = 5 * time.Minute
	maxTTL     = 24 * time.Hour
	// maxStale is for how long a document that has run out serves on while it
	// cannot be read again: an outage of the address must not become one of sign-in.
	maxStale = 24 * time.Hour
	// askAgain is between two requests for a document that is known, such as for
	// key ids that it lacks; retryAfter for one that was never read.
	askAgain   = time.Minute
	retryAfter = 5 * time.Second
)

// Cached is a document that somebody else publishes. Of callers that need it at once one
// fetches; the others wait for that, or go on with what is known while it fits.
type Cached[T any] struct {
	mu     sync.Mutex
	value  T
	known  bool
	until  time.Time     // fresh before
	tried  time.Time     // last attempt
	err    error         // of the last attempt
	flight chan struct{} // closed when the attempt under way has ended; nil: none is
}

// Get gives the document. fits says whether a fresh one will do: if not, it is
// fetched again, at most once in askAgain, and given whatever it then says.
func (c *Cached[T]) Get(ctx context.Context, now time.Time, fits func(T) bool, fetch func(ctx context.Context, old T) (T, time.Duration, error)) (T, error) {
	for {
		c.mu.Lock()
		usable := c.known && now.Before(c.until.Add(maxStale))
		fit := usable && fits(c.value)
		wait := retryAfter
		if c.known {
			wait = askAgain
		}
		flight := c.flight
		switch {
		case fit && (flight != nil || now.Before(c.until)):
			defer c.mu.Unlock()
			return c.value, nil
		case flight != nil:
			c.mu.Unlock()
			select {
			case <-flight:
				continue
			case <-ctx.Done():
				var none T
				return none, ctx.Err()
			}
		case !c.tried.IsZero() && now.Before(c.tried.Add(wait)):
			defer c.mu.Unlock()
			if usable {
				return c.value, nil
			}
			var none T
			return none, c.err
		}
		c.tried, c.flight = now, make(chan struct{})
		old := c.value
		c.mu.Unlock()
		c.land(ctx, now, old, fetch)
	}
}

// land runs the attempt and lets the waiting go on, whatever comes of it. It is
// not given up when the caller is: others wait for it. The client's timeout
// bounds it.
func (c *Cached[T]) land(ctx context.Context, now time.Time, old T, fetch func(context.Context, T) (T, time.Duration, error)) {
	var value T
	var ttl time.Duration
	err := errors.New("the attempt did not end")
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.err = err; err == nil {
			c.value, c.known, c.until = value, true, now.Add(ttl)
		}
		close(c.flight)
		c.flight = nil
	}()
	value, ttl, err = fetch(context.WithoutCancel(ctx), old)
}

// TTL reads how long an answer may be kept (RFC 9111 §5.2.2).
func TTL(h http.Header) time.Duration {
	d := defaultTTL
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return minTTL
		case "max-age":
			// More seconds than fit are as good as the greatest bound.
			if n, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 63); err == nil {
				d = time.Duration(min(n, uint64(maxTTL/time.Second))) * time.Second
			}
		}
	}
	if age, err := strconv.ParseUint(strings.TrimSpace(h.Get("Age")), 10, 31); err == nil {
		d -= time.Duration(age) * time.Second
	}
	return min(max(d, minTTL), maxTTL)
}

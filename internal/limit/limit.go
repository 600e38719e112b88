// Package limit holds per-replica token buckets by key (a connection, an API
// token, an address). Sign-in, code and factor attempts are not counted here
// but in the database, because they must hold across replicas (design 4).
package limit

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// maxKeys bounds the memory; when it is passed, the buckets that are full, and
// so remember nothing, are dropped.
const maxKeys = 100_000

// Limiter is a set of token buckets of one size. A nil Limiter limits nothing.
type Limiter struct {
	perSecond rate.Limit
	burst     int
	mu        sync.Mutex
	buckets   map[string]*rate.Limiter
}

// New makes a limiter of perSecond events per second and key, with bursts of
// up to burst. perSecond 0 gives nil: no limit.
func New(perSecond float64, burst int) *Limiter {
	if perSecond <= 0 {
		return nil
	}
	return &Limiter{perSecond: rate.Limit(perSecond), burst: max(burst, 1), buckets: map[string]*rate.Limiter{}}
}

// Take takes one event of the key's bucket, or fails with fault.Limited and the
// time after which it would succeed, rounded up to a second.
func (l *Limiter) Take(key string, now time.Time) error {
	if l == nil {
		return nil
	}
	b := l.bucket(key, now)
	if b.AllowN(now, 1) {
		return nil
	}
	wait := time.Duration((1 - b.TokensAt(now)) / float64(l.perSecond) * float64(time.Second))
	f := fault.New(fault.Limited, "rate_limited", "Too many requests. Wait and send the request again.")
	f.RetryAfter = max(wait, 0).Truncate(time.Second) + time.Second
	return f
}

// Charge takes n more events of the key's bucket, whether it has them or not: for
// a request that turned out to be many. Later ones wait until the debt is paid.
func (l *Limiter) Charge(key string, now time.Time, n int) {
	if l == nil || n <= 0 {
		return
	}
	b := l.bucket(key, now)
	for ; n > 0; n -= l.burst { // the bucket lends at most its size at once
		b.ReserveN(now, min(n, l.burst))
	}
}

// Left gives how many events the key's bucket holds, and when it will be full
// again. A bucket that was never asked is full.
func (l *Limiter) Left(key string, now time.Time) (events int, full time.Duration) {
	l.mu.Lock()
	b := l.buckets[key]
	l.mu.Unlock()
	if b == nil {
		return l.burst, 0
	}
	tokens := b.TokensAt(now)
	return max(int(tokens), 0), time.Duration(max(float64(l.burst)-tokens, 0) / float64(l.perSecond) * float64(time.Second))
}

// Size gives how many events a bucket holds, and in what time an empty one fills.
func (l *Limiter) Size() (events int, window time.Duration) {
	return l.burst, time.Duration(float64(l.burst) / float64(l.perSecond) * float64(time.Second))
}

func (l *Limiter) bucket(key string, now time.Time) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[key]
	if b == nil {
		if len(l.buckets) >= maxKeys {
			l.drop(now)
		}
		b = rate.NewLimiter(l.perSecond, l.burst)
		l.buckets[key] = b
	}
	return b
}

func (l *Limiter) drop(now time.Time) {
	for k, b := range l.buckets {
		if b.TokensAt(now) >= float64(l.burst) {
			delete(l.buckets, k)
		}
	}
	// Were only a few dropped, the next keys would each walk through all again.
	if len(l.buckets) >= maxKeys/4*3 {
		clear(l.buckets)
	}
}

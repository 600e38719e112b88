package oidc

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"
)

func TestTTL(t *testing.T) {
	for _, k := range []struct {
		control, age string
		want         time.Duration
	}{
		{"", "", time.Hour},
		{"public", "", time.Hour},
		{"max-age=3600", "", time.Hour},
		{"public, max-age=7200, must-revalidate", "", 2 * time.Hour},
		{`Max-Age="7200"`, "", 2 * time.Hour},
		{"max-age=7200", "3600", time.Hour},
		{"max-age=60", "", 5 * time.Minute},
		{"max-age=0", "", 5 * time.Minute},
		{"no-cache, max-age=3600", "", 5 * time.Minute},
		{"no-store", "", 5 * time.Minute},
		{"max-age=31536000", "", 24 * time.Hour},
		{"max-age=9223372036854775807", "", 24 * time.Hour},
		{"max-age=99999999999999999999", "", time.Hour}, // no number
		{"max-age=-5", "", time.Hour},
		{"max-age=x", "x", time.Hour},
		{"", "2147483647", 5 * time.Minute},
	} {
		h := http.Header{}
		h.Set("Cache-Control", k.control)
		h.Set("Age", k.age)
		if got := TTL(h); got != k.want {
			t.Errorf("%q, age %q: %v, want %v", k.control, k.age, got, k.want)
		}
	}
}

// source counts what is fetched of it.
type source struct {
	n    int
	err  error
	hold chan struct{} // fetches wait for it when set
	in   chan struct{}
}

func (s *source) fetch(ctx context.Context, _ int) (int, time.Duration, error) {
	s.n++
	if s.hold != nil {
		s.in <- struct{}{}
		<-s.hold
	}
	if ctx.Err() != nil {
		return 0, 0, ctx.Err()
	}
	return s.n, time.Hour, s.err
}

var reference = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func anything(int) bool { return true }

func TestCached(t *testing.T) {
	var c Cached[int]
	s := &source{}
	expect := func(name string, at time.Duration, fits func(int) bool, want, fetches int, fails error) {
		t.Helper()
		got, err := c.Get(t.Context(), reference.Add(at), fits, s.fetch)
		if got != want || s.n != fetches || !errors.Is(err, fails) {
			t.Errorf("%s: %d after %d fetches, %v; want %d after %d", name, got, s.n, err, want, fetches)
		}
	}
	down := errors.New("down")
	s.err = down
	expect("first", 0, anything, 0, 1, down)
	expect("at once", time.Second, anything, 0, 1, down)
	s.err = nil
	expect("after a while", 5*time.Second, anything, 2, 2, nil)
	expect("fresh", 59*time.Minute, anything, 2, 2, nil)
	other := func(v int) bool { return v > 2 }
	expect("does not fit", 59*time.Minute, other, 3, 3, nil)
	newer := func(v int) bool { return v > 3 }
	expect("does not fit, within the minute", 59*time.Minute+59*time.Second, newer, 3, 3, nil)
	s.err = down
	expect("run out, and down", 3*time.Hour, anything, 3, 4, nil)
	expect("within the minute", 3*time.Hour+time.Second, anything, 3, 4, nil)
	expect("down for a day", 59*time.Minute+25*time.Hour, anything, 0, 5, down)
	s.err = nil
	expect("up", 60*time.Minute+25*time.Hour, anything, 6, 6, nil)
}

// Of those who need a document at once one fetches it, and goes on when his own
// request is given up. Who can go on with the one that ran out does not wait.
func TestCachedAtOnce(t *testing.T) {
	var c Cached[int]
	s := &source{hold: make(chan struct{}), in: make(chan struct{}, 1)}
	ctx, giveUp := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	results := make([]int, 20)
	start := func(n int, ctx context.Context) {
		wait.Go(func() {
			v, err := c.Get(ctx, reference, anything, s.fetch)
			if err != nil {
				t.Error(err)
			}
			results[n] = v
		})
	}
	start(0, ctx)
	<-s.in
	giveUp()
	for n := 1; n < len(results); n++ {
		start(n, t.Context())
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Get(impatient, reference, anything, s.fetch); !errors.Is(err, context.Canceled) {
		t.Errorf("who gave up got %v", err)
	}
	close(s.hold)
	wait.Wait()
	for n, v := range results {
		if v != 1 {
			t.Errorf("caller %d got %d", n, v)
		}
	}
	if s.n != 1 {
		t.Errorf("%d fetches", s.n)
	}
	s.hold = make(chan struct{})
	later := reference.Add(2 * time.Hour)
	wait.Go(func() {
		if v, err := c.Get(t.Context(), later, anything, s.fetch); v != 2 || err != nil {
			t.Errorf("who fetches gets %d, %v", v, err)
		}
	})
	<-s.in
	if v, err := c.Get(t.Context(), later, anything, s.fetch); v != 1 || err != nil {
		t.Errorf("meanwhile: %d, %v", v, err)
	}
	close(s.hold)
	wait.Wait()
	// A fetch that panics ends its flight.
	func() {
		defer func() { _ = recover() }()
		_, _ = c.Get(t.Context(), later.Add(25*time.Hour), anything, func(context.Context, int) (int, time.Duration, error) { panic("x") })
	}()
	if v, err := c.Get(t.Context(), later.Add(26*time.Hour), anything, s.fetch); v != 3 || err != nil {
		t.Errorf("after a panic: %d, %v", v, err)
	}
}

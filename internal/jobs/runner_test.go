package jobs

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// A stop lets a handler finish, cuts one that does not, and returns its lease
// at once and without counting the attempt.
func TestGracefulStop(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		c := clock.NewFake(now)
		log := slog.New(slog.DiscardHandler)
		r := NewRunner(d, c, log)
		r.grace = 20 * time.Millisecond
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var started sync.WaitGroup
		started.Add(2)
		r.Register("slow", func(ctx context.Context, _ Job) error {
			started.Done()
			<-ctx.Done() // heeds nothing but the end of its context
			return ctx.Err()
		})
		r.Register("quick", func(work context.Context, _ Job) error {
			started.Done()
			<-ctx.Done()      // the stop has begun …
			return work.Err() // … and its own context goes on
		})
		for _, kind := range []string{"slow", "quick"} {
			if err := Enqueue(t.Context(), d, Job{Kind: kind, RunAt: now}); err != nil {
				t.Fatal(err)
			}
		}
		ended := make(chan struct{})
		go func() { r.Run(ctx); close(ended) }()
		started.Wait()
		cancel()
		<-ended

		next := NewRunner(d, c, log)
		ran := 0
		next.Register("slow", func(_ context.Context, j Job) error {
			ran++
			if j.Attempt != 1 {
				t.Errorf("the cut run counts: attempt %d", j.Attempt)
			}
			return nil
		})
		next.Register("quick", func(context.Context, Job) error { t.Error("the finished job runs again"); return nil })
		if n, err := next.RunDue(t.Context()); n != 1 || err != nil || ran != 1 {
			t.Errorf("the next replica ran %d, %v", n, err)
		}
	})
}

func TestPause(t *testing.T) {
	for attempt, want := range map[int]time.Duration{1: 5 * time.Second, 2: 10 * time.Second, 5: 80 * time.Second, 11: time.Hour, 1000: time.Hour} {
		for range 100 {
			if d := pause(attempt); d < want*8/10 || d > want*12/10 {
				t.Errorf("attempt %d waits %s, want about %s", attempt, d, want)
			}
		}
	}
}

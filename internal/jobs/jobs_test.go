package jobs_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/jobs"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	env = "env_1"
	ten = "ten_1"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func enqueue(t *testing.T, d db.DB, all ...jobs.Job) {
	t.Helper()
	if err := d.Tx(t.Context(), func(q db.Queryer) error {
		for _, j := range all {
			if err := jobs.Enqueue(t.Context(), q, j); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func runDue(t *testing.T, r *jobs.Runner, want int) {
	t.Helper()
	n, err := r.RunDue(t.Context())
	if err != nil || n != want {
		t.Fatalf("ran %d jobs, %v; want %d", n, err, want)
	}
}

func TestEnqueueIsPartOfTheTransaction(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		c := clock.NewFake(start)
		r := jobs.NewRunner(d, c, quiet())
		var got []jobs.Job
		r.Register("a", func(_ context.Context, j jobs.Job) error { got = append(got, j); return nil })
		refused := errors.New("refused")
		err := d.Tx(t.Context(), func(q db.Queryer) error {
			if err := jobs.Enqueue(t.Context(), q, jobs.Job{Kind: "a", RunAt: start}); err != nil {
				return err
			}
			return refused
		})
		if !errors.Is(err, refused) {
			t.Fatal(err)
		}
		runDue(t, r, 0)

		enqueue(t, d, jobs.Job{Environment: env, Tenant: ten, Kind: "a", Payload: []byte(`{"n":"ü"}`), RunAt: start.Add(time.Minute)})
		runDue(t, r, 0) // not yet
		c.Advance(time.Minute)
		runDue(t, r, 1)
		runDue(t, r, 0)
		if len(got) != 1 || got[0].Environment != env || got[0].Tenant != ten || string(got[0].Payload) != `{"n":"ü"}` || got[0].Attempt != 1 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestEnqueueRefuses(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		for name, j := range map[string]jobs.Job{
			"no kind":    {},
			"too large":  {Kind: "a", Payload: bytes.Repeat([]byte("a"), jobs.MaxPayload+1)},
			"not UTF-8":  {Kind: "a", Payload: []byte{0xff}},
			"NUL inside": {Kind: "a", Payload: []byte("a\x00b")},
		} {
			if jobs.Enqueue(t.Context(), d, j) == nil {
				t.Errorf("%s: enqueued", name)
			}
		}
	})
}

func TestKeyKeepsOneJob(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		c := clock.NewFake(start)
		r := jobs.NewRunner(d, c, quiet())
		var got []string
		r.Register("a", func(_ context.Context, j jobs.Job) error {
			got = append(got, j.Tenant+" "+string(j.Payload))
			return nil
		})
		r.Register("b", func(_ context.Context, j jobs.Job) error { got = append(got, "b "+string(j.Payload)); return nil })
		enqueue(
			t, d,
			jobs.Job{Tenant: "t1", Kind: "a", Key: "k", Payload: []byte("1"), RunAt: start.Add(time.Minute)},
			jobs.Job{Tenant: "t1", Kind: "a", Key: "k", Payload: []byte("2"), RunAt: start},                // the earlier time, the later payload
			jobs.Job{Tenant: "t1", Kind: "a", Key: "k", Payload: []byte("3"), RunAt: start.Add(time.Hour)}, // does not put it off
			jobs.Job{Tenant: "t2", Kind: "a", Key: "k", Payload: []byte("4"), RunAt: start},                // another tenant's key is another key
			jobs.Job{Tenant: "t1", Kind: "b", Key: "k", Payload: []byte("5"), RunAt: start},
			jobs.Job{Tenant: "t3", Kind: "a", Payload: []byte("6"), RunAt: start}, // no key: each counts
			jobs.Job{Tenant: "t3", Kind: "a", Payload: []byte("6"), RunAt: start},
		)
		runDue(t, r, 5)
		slices.Sort(got)
		if want := []string{"b 5", "t1 3", "t2 4", "t3 6", "t3 6"}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// What is asked for while the job runs may have come too late for that run.
func TestAskedForAgainWhileRunning(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		c := clock.NewFake(start)
		r, other := jobs.NewRunner(d, c, quiet()), jobs.NewRunner(d, c, quiet())
		var got []string
		r.Register("a", func(ctx context.Context, j jobs.Job) error {
			got = append(got, string(j.Payload))
			if len(got) > 1 {
				return nil
			}
			if err := jobs.Enqueue(ctx, d, jobs.Job{Kind: "a", Key: "k", Payload: []byte("second"), RunAt: start}); err != nil {
				return err
			}
			// It must not run beside this run.
			if n, err := other.RunDue(ctx); n != 0 || err != nil {
				t.Errorf("another runner ran %d, %v", n, err)
			}
			return nil
		})
		other.Register("a", func(context.Context, jobs.Job) error { return nil })
		enqueue(t, d, jobs.Job{Kind: "a", Key: "k", Payload: []byte("first"), RunAt: start})
		runDue(t, r, 1)
		runDue(t, r, 1)
		runDue(t, r, 0)
		if !slices.Equal(got, []string{"first", "second"}) {
			t.Errorf("ran %v", got)
		}
	})
}

func TestUnknownKindsStay(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		c := clock.NewFake(start)
		older, newer := jobs.NewRunner(d, c, quiet()), jobs.NewRunner(d, c, quiet())
		older.Register("a", func(context.Context, jobs.Job) error { return nil })
		newer.Register("b", func(context.Context, jobs.Job) error { return nil })
		enqueue(t, d, jobs.Job{Kind: "b", RunAt: start})
		runDue(t, older, 0)
		runDue(t, newer, 1)
	})
}

func TestRetries(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		var out bytes.Buffer
		c := clock.NewFake(start)
		r := jobs.NewRunner(d, c, slog.New(slog.NewTextHandler(&out, nil)))
		var attempts []int
		r.Register("a", func(_ context.Context, j jobs.Job) error {
			attempts = append(attempts, j.Attempt)
			if j.Attempt == 2 {
				panic("a handler's mistake\x00\xff")
			}
			return errors.New("no answer")
		})
		enqueue(t, d, jobs.Job{Kind: "a", RunAt: start})
		runDue(t, r, 1)
		runDue(t, r, 0) // backs off
		c.Advance(3 * time.Second)
		runDue(t, r, 0) // 5 s less 20 %
		c.Advance(3 * time.Second)
		runDue(t, r, 1)
		for range jobs.MaxAttempts - 2 {
			c.Advance(2 * time.Hour)
			runDue(t, r, 1)
		}
		c.Advance(24 * time.Hour)
		runDue(t, r, 0)
		if len(attempts) != jobs.MaxAttempts || attempts[len(attempts)-1] != jobs.MaxAttempts {
			t.Errorf("attempts %v", attempts)
		}
		if strings.Count(out.String(), "level=ERROR") != 1 || !strings.Contains(out.String(), "given up") {
			t.Errorf("logged %s", out.String())
		}
	})
}

func TestLeaseOfADeadReplica(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		c := clock.NewFake(start)
		dead, alive := jobs.NewRunner(d, c, quiet()), jobs.NewRunner(d, c, quiet())
		ran := 0
		alive.Register("a", func(_ context.Context, j jobs.Job) error {
			ran++
			if j.Attempt != 2 {
				t.Errorf("attempt %d", j.Attempt)
			}
			return nil
		})
		dead.Register("a", func(ctx context.Context, _ jobs.Job) error {
			if n, err := alive.RunDue(ctx); n != 0 || err != nil {
				t.Errorf("a leased job ran: %d, %v", n, err)
			}
			c.Advance(3 * time.Minute) // this replica hangs past its lease
			if n, err := alive.RunDue(ctx); n != 1 || err != nil {
				t.Errorf("a job whose lease ran out: ran %d, %v", n, err)
			}
			// Asked for anew after the other has finished it …
			return jobs.Enqueue(ctx, d, jobs.Job{Kind: "a", Key: "k", RunAt: c.Now().Add(time.Hour)})
		})
		enqueue(t, d, jobs.Job{Kind: "a", Key: "k", RunAt: start})
		runDue(t, dead, 1)
		if ran != 1 {
			t.Fatalf("ran %d times", ran)
		}
		// … and the outcome of the dead one does not touch the new job.
		var n int
		if err := d.QueryRow(t.Context(), `SELECT COUNT(*) FROM jobs`).Scan(&n); err != nil || n != 1 {
			t.Errorf("%d jobs wait, %v", n, err)
		}
	})
}

func TestEvery(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		c := clock.NewFake(start)
		var ran []string
		var fail error
		replica := func(name string, interval time.Duration) *jobs.Runner {
			r := jobs.NewRunner(d, c, quiet())
			r.Register("sweep", func(context.Context, jobs.Job) error { ran = append(ran, name); return fail })
			r.Every("sweep", interval)
			return r
		}
		a, b := replica("a", time.Hour), replica("b", time.Hour)
		runDue(t, a, 1) // at the first start
		runDue(t, b, 0) // one replica at a time
		c.Advance(59 * time.Minute)
		runDue(t, b, 0)
		c.Advance(time.Minute)
		runDue(t, b, 1)
		runDue(t, a, 0)
		fail = errors.New("no answer")
		c.Advance(time.Hour)
		for range jobs.MaxAttempts + 3 { // never given up
			runDue(t, a, 1)
			c.Advance(time.Hour)
		}
		fail = nil
		runDue(t, a, 1)
		if got := strings.Join(ran[:2], " "); got != "a b" || len(ran) != 3+jobs.MaxAttempts+3 {
			t.Errorf("ran %v", ran)
		}
		// A shorter interval takes effect at start.
		quick := replica("quick", time.Minute)
		runDue(t, quick, 0)
		c.Advance(time.Minute)
		runDue(t, quick, 1)
	})
}

func TestTwoRunners(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		const count = 150
		var mu sync.Mutex
		now, times := map[string]bool{}, map[string]int{}
		all := make(chan struct{})
		h := func(_ context.Context, j jobs.Job) error {
			name := string(j.Payload)
			mu.Lock()
			defer mu.Unlock()
			if now[name] {
				t.Errorf("job %s runs beside itself", name)
			}
			now[name] = true
			times[name]++
			mu.Unlock()
			// Let others in: the map is free while the job runs.
			mu.Lock()
			now[name] = false
			if len(times) == count && times[name] == 1 {
				select {
				case <-all:
				default:
					close(all)
				}
			}
			return nil
		}
		var batch []db.Stmt
		for i := range count {
			batch = append(batch, jobs.Stmt(jobs.Job{Kind: "a", Payload: []byte(strconv.Itoa(i)), RunAt: start}))
		}
		if err := d.Batch(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var both sync.WaitGroup
		for range 2 {
			r := jobs.NewRunner(d, clock.NewFake(start), quiet())
			r.Register("a", h)
			both.Go(func() { r.Run(ctx) })
		}
		select {
		case <-all:
		case <-time.After(time.Minute):
			t.Error("the jobs do not end")
		}
		cancel()
		both.Wait()
		for name, n := range times {
			if n != 1 {
				t.Errorf("job %s ran %d times", name, n)
			}
		}
		var left int
		if err := d.QueryRow(t.Context(), `SELECT COUNT(*) FROM jobs`).Scan(&left); err != nil || left != 0 {
			t.Errorf("%d jobs left, %v", left, err)
		}
	})
}

// Replicas that start at the same moment, over and over, write down the same periodic
// kinds: in one order, or PostgreSQL ends one of them as a deadlock.
func TestReplicasStartTogether(t *testing.T) {
	dbtest.Twice(t, func(t *testing.T, d, d2 db.DB) {
		c := clock.NewFake(start)
		replicas := []*jobs.Runner{jobs.NewRunner(d, c, quiet()), jobs.NewRunner(d2, c, quiet())}
		for _, r := range replicas {
			for i := range 40 {
				kind := "kind" + strconv.Itoa(i)
				r.Register(kind, func(context.Context, jobs.Job) error { return nil })
				r.Every(kind, time.Hour)
			}
		}
		for range 10 {
			var work sync.WaitGroup
			for _, r := range replicas {
				work.Go(func() {
					if _, err := r.RunDue(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			work.Wait()
		}
	})
}

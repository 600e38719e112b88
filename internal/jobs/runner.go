package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

const (
	// lease is how long a job of a dead replica waits for another.
	lease = 2 * time.Minute
	// Deadline is the time that a handler has. It is shorter than the lease by
	// more than clocks of replicas may differ. Longer work is cut into jobs.
	Deadline = 90 * time.Second
	// MaxAttempts is how often a job is tried before it is dropped; about 3 h.
	MaxAttempts = 12

	workers     = 8
	poll        = time.Second
	grace       = 10 * time.Second // for handlers at a stop
	storeWait   = 5 * time.Second  // for writing an outcome down during a stop
	firstPause  = 5 * time.Second
	longPause   = time.Hour
	maxReason   = 500 // bytes of an error kept
	periodicKey = "@every"
)

// Handler does the work of one kind. An error has the job tried again. It must
// end when its context does, and bear being run more than once.
type Handler func(context.Context, Job) error

// Runner leases and runs jobs. Register and Every come before Run.
type Runner struct {
	db       db.DB
	clock    clock.Clock
	log      *slog.Logger
	handlers map[string]Handler
	periods  map[string]time.Duration

	workers     int
	poll, grace time.Duration
}

// NewRunner makes a runner; nothing runs before Run or RunDue.
func NewRunner(d db.DB, c clock.Clock, log *slog.Logger) *Runner {
	return &Runner{
		db: d, clock: c, log: log,
		handlers: map[string]Handler{}, periods: map[string]time.Duration{},
		workers: workers, poll: poll, grace: grace,
	}
}

// Register names the handler of a kind. A second handler of a kind is a
// mistake of the program and panics.
func (r *Runner) Register(kind string, h Handler) {
	if kind == "" || h == nil || r.handlers[kind] != nil {
		panic("jobs: kind " + kind + " is empty, without handler or registered twice")
	}
	r.handlers[kind] = h
}

// Every has the kind run periodically, on one replica at a time: first at the
// first start ever, then interval after the last start. It is never dropped; a
// failure is tried again no later than the interval.
func (r *Runner) Every(kind string, interval time.Duration) {
	if r.handlers[kind] == nil || interval <= 0 {
		panic("jobs: periodic kind " + kind + " is not registered or has no interval")
	}
	r.periods[kind] = interval
}

// Run works until ctx ends, then takes no more jobs, gives running handlers 10
// seconds, ends their contexts, and returns the leases of those that did not
// finish. It returns when no handler runs any more.
func (r *Runner) Run(ctx context.Context) {
	// Handlers outlive ctx by the grace.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var running sync.WaitGroup
	r.loop(ctx, work, &running)
	timer := time.AfterFunc(r.grace, stop)
	defer timer.Stop()
	running.Wait()
}

func (r *Runner) loop(ctx, work context.Context, running *sync.WaitGroup) {
	slots, freed := make(chan struct{}, r.workers), make(chan struct{}, 1)
	tick := time.NewTicker(r.poll)
	defer tick.Stop()
	for ready := false; ; {
		var jobs []Job
		var err error
		if !ready {
			err = r.ensurePeriodic(ctx)
			ready = err == nil
		}
		free := cap(slots) - len(slots)
		if ready && free > 0 {
			jobs, err = r.claim(ctx, free)
		}
		if err != nil && ctx.Err() == nil {
			r.log.LogAttrs(ctx, slog.LevelWarn, "jobs: cannot claim", slog.Any("error", err))
		}
		for _, j := range jobs {
			slots <- struct{}{} // never waits: no more than the free slots were claimed
			running.Go(func() {
				r.run(work, j)
				<-slots
				select {
				case freed <- struct{}{}:
				default:
				}
			})
		}
		var more <-chan struct{}
		if len(jobs) == free { // there may be more: go on when a slot is free
			more = freed
		}
		select {
		case <-ctx.Done():
			return
		case <-more:
		case <-tick.C:
		}
	}
}

// RunDue runs what is due now, one job after another, until nothing is, and
// returns how many it ran: for command lines and tests. A job that becomes due
// again through its own run at the same time is not run twice in a row.
func (r *Runner) RunDue(ctx context.Context) (int, error) {
	if err := r.ensurePeriodic(ctx); err != nil {
		return 0, err
	}
	ran := map[string]bool{}
	for n := 0; ; n++ {
		jobs, err := r.claim(ctx, 1)
		if err != nil || len(jobs) == 0 {
			return n, err
		}
		if ran[jobs[0].ID] {
			_, err := r.release(ctx, jobs[0])
			return n, err
		}
		ran[jobs[0].ID] = true
		r.run(ctx, jobs[0])
	}
}

func (r *Runner) ensurePeriodic(ctx context.Context) error {
	if len(r.periods) == 0 {
		return nil
	}
	now := r.clock.Now()
	var batch []db.Stmt
	// In one order on every replica: two that start together would deadlock on each other's rows.
	for _, kind := range slices.Sorted(maps.Keys(r.periods)) {
		interval := r.periods[kind]
		batch = append(batch, db.Stmt{SQL: sqlPeriodic, Args: []any{
			id.New(id.Job), kind, periodicKey, db.At(now), db.At(now.Add(interval)),
		}})
	}
	return r.db.Batch(ctx, batch)
}

// run runs a leased job and writes its outcome down.
func (r *Runner) run(work context.Context, j Job) {
	start := r.clock.Now()
	ctx, cancel := context.WithTimeout(work, Deadline)
	err := r.call(ctx, j)
	cancel()

	store, cancel := context.WithTimeout(context.WithoutCancel(work), storeWait)
	defer cancel()
	interval, periodic := r.periods[j.Kind]
	periodic = periodic && j.Key == periodicKey
	var held bool
	var storeErr error
	switch {
	case err != nil && work.Err() != nil: // cut by the stop: not its fault
		held, storeErr = r.release(store, j)
	case err == nil && periodic:
		held, storeErr = r.reschedule(store, j, start.Add(interval), 0, "")
	case err == nil:
		held, storeErr = r.done(store, j)
	case periodic:
		r.report(work, slog.LevelWarn, "jobs: failed", j, err)
		held, storeErr = r.reschedule(store, j, r.clock.Now().Add(min(pause(j.Attempt), interval)), j.Attempt, reasonOf(err))
	case j.Attempt >= MaxAttempts:
		r.report(work, slog.LevelError, "jobs: given up", j, err)
		held, storeErr = r.drop(store, j)
	default:
		r.report(work, slog.LevelWarn, "jobs: failed", j, err)
		held, storeErr = r.reschedule(store, j, r.clock.Now().Add(pause(j.Attempt)), j.Attempt, reasonOf(err))
	}
	if storeErr == nil && !held {
		storeErr = errors.New("the lease ran out before the handler ended")
	}
	if storeErr != nil { // the lease runs out and another replica runs it again
		r.report(work, slog.LevelWarn, "jobs: outcome not stored", j, storeErr)
	}
}

// call keeps a panicking handler from ending the process.
func (r *Runner) call(ctx context.Context, j Job) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return r.handlers[j.Kind](ctx, j)
}

func (r *Runner) report(ctx context.Context, level slog.Level, msg string, j Job, err error) {
	r.log.LogAttrs(ctx, level, msg, slog.String("kind", j.Kind), slog.String("job", j.ID),
		slog.String("tenant", j.Tenant), slog.Int("attempt", j.Attempt), slog.Any("error", err))
}

// pause is the wait after the given attempt: doubling, at most an hour, ±20 %
// so that what failed together does not come back together.
func pause(attempt int) time.Duration {
	d := longPause
	if shift := attempt - 1; shift < 10 {
		d = min(firstPause<<shift, longPause)
	}
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

// reasonOf cuts an error to what the table keeps, in a form that both engines store.
func reasonOf(err error) string {
	s := strings.ReplaceAll(strings.ToValidUTF8(err.Error(), ""), "\x00", "")
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "")
	}
	return s
}

func newOwner() string { return id.Raw() }

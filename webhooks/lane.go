package webhooks

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Bounds of a replica's work. A lane is a goroutine and at most parallel requests;
// those of endpoints that do not answer mostly wait, and so there are many.
const (
	fastLanes  = 32
	slowLanes  = 32 // of endpoints that are slow or do not answer
	tenantFast = 8  // of one tenant
	tenantSlow = 4
	laneTurn   = 20 // deliveries of a turn
	parallel   = 4  // requests to one endpoint at once
	storing    = 8  // outcomes that are written at once: half of the store's connections are left to others

	// defaultLease is how long the queue of a dead replica waits for another.
	// A turn starts no request after a third of it, so that it ends well before.
	defaultLease = time.Minute

	slowAnswer   = 3 * time.Second // from here on an endpoint is slow
	slowFailures = 3               // in a row
	firstPause   = 4 * time.Second // less than the first wait of the schedule
	longPause    = 5 * time.Minute
	// suspendedPause is how soon a resumed tenant's deliveries go on.
	suspendedPause = 10 * time.Minute
	brokenPause    = time.Minute // after a failure of our own
	storeWait      = 5 * time.Second
)

// lane is a leased queue.
type lane struct {
	tenant, endpoint, owner string
	slow                    bool
	started                 time.Time
}

// waiting is a delivery that is due.
type waiting struct {
	id, message, body, kind string
	attempts                int
}

// share is what a tenant has of one of the two kinds of lanes.
type share struct {
	tenant string
	slow   bool
}

func (l lane) share() share { return share{l.tenant, l.slow} }

// claim leases queues that are due, as many as the replica has lanes for: those
// that have waited longest, within what one tenant may have.
func (s *Service) claim(ctx context.Context) ([]lane, error) {
	now := s.clock.Now()
	var due bool
	if err := s.db.QueryRow(ctx, sqlAnyDue, db.At(now), false, true).Scan(&due); err != nil || !due {
		return nil, err
	}
	s.mu.Lock()
	running := maps.Clone(s.running)
	s.mu.Unlock()
	owner := id.Raw()
	var list []lane
	err := s.db.Tx(ctx, func(q db.Queryer) error {
		list = nil // Tx may run this again
		taken := maps.Clone(running)
		for _, slow := range []bool{false, true} {
			free, most := fastLanes, tenantFast
			if slow {
				free, most = slowLanes, tenantSlow
			}
			for of, n := range running {
				if of.slow == slow {
					free -= n
				}
			}
			for free > 0 {
				found, err := dueQueues(ctx, q, now, slow, free, full(taken, slow, most))
				if err != nil {
					return err
				}
				var stmts []db.Stmt
				for _, l := range found {
					l.owner, l.slow, l.started = owner, slow, now
					if taken[l.share()] == most {
						continue
					}
					taken[l.share()]++
					list = append(list, l)
					stmts = append(stmts, db.Stmt{SQL: sqlLease, Args: []any{l.tenant, l.endpoint, db.At(now.Add(s.lease)), owner}})
				}
				if err := q.Batch(ctx, stmts); err != nil {
					return err
				}
				if len(found) < free || len(stmts) == 0 {
					break
				}
				free -= len(stmts)
			}
		}
		return nil
	})
	return list, err
}

// full gives the tenants that have as many lanes as they may.
func full(taken map[share]int, slow bool, most int) (tenants []string) {
	for of, n := range taken {
		if of.slow == slow && n >= most {
			tenants = append(tenants, of.tenant)
		}
	}
	return tenants
}

func dueQueues(ctx context.Context, q db.Queryer, now time.Time, slow bool, limit int, without []string) ([]lane, error) {
	rows, err := q.Query(ctx, sqlDueQueues+q.Dialect().SkipLocked, db.At(now), slow, limit, db.Set(without))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []lane
	for rows.Next() {
		var l lane
		if err := rows.Scan(&l.tenant, &l.endpoint); err != nil {
			return nil, err
		}
		list = append(list, l)
	}
	return list, rows.Err()
}

// enter counts a lane of this replica until leave. One that is held for as long as a
// slow answer takes counts among the slow from then on: however many endpoints cease
// to answer at once, each keeps the others waiting for that long only.
func (s *Service) enter(l lane) (linger, leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running[l.share()]++
	left := false
	exit := func() {
		if s.running[l.share()]--; s.running[l.share()] == 0 {
			delete(s.running, l.share())
		}
	}
	linger = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !left && !l.slow {
			exit()
			l.slow = true
			s.running[l.share()]++
			s.nudge()
		}
	}
	leave = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		exit()
		left = true
		s.nudge() // the lane is free, and the queue may have more
	}
	return linger, leave
}

// turn is what a lane did with a queue.
type turn struct {
	attempts []Attempt // in the order of their ends, those of tests left out
	gone     bool      // 410 Gone
	// unreachable: it did not answer, or asked for a rest, of at least this long.
	unreachable bool
	rest        time.Duration
	pause       time.Duration // for a reason that is not the endpoint's
}

// work takes a turn at a leased queue and gives it back. No request begins after
// running has ended, and those that have begun last no longer than ctx.
func (s *Service) work(running, ctx context.Context, l lane) {
	e, t, err := s.sendDue(running, ctx, l)
	if err != nil {
		s.report(ctx, "webhooks: a turn failed", l, err)
		t.pause = max(t.pause, brokenPause)
	}
	// A stop ends ctx; the lease is given back all the same.
	store, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeWait)
	defer cancel()
	if err := s.release(store, l, e, t); err != nil { // the lease runs out and another replica goes on
		s.report(ctx, "webhooks: the queue was not given back", l, err)
	}
}

func (s *Service) sendDue(running, ctx context.Context, l lane) (e Endpoint, t turn, err error) {
	e, err = scanEndpoint(s.db.QueryRow(ctx, sqlEndpoint, l.tenant, l.endpoint))
	if errors.Is(err, ErrEndpointNotFound) {
		return e, t, nil // deleted since
	}
	if err != nil {
		return e, t, err
	}
	var status string
	if err := s.db.QueryRow(ctx, sqlTenantStatus, e.Environment, l.tenant).Scan(&status); err != nil && !isNotFound(err) {
		return e, t, err
	}
	// Also of a tenant that is being deleted: its queue goes with it.
	if status != tenants.StatusActive {
		t.pause = suspendedPause
		return e, t, nil
	}
	all, err := s.secrets(ctx, s.db, sqlSecrets, l.tenant, l.endpoint)
	if err != nil {
		return e, t, err
	}
	secrets := all[l.endpoint]
	list, err := s.due(ctx, l, e)
	if err != nil || len(list) == 0 {
		return e, t, err
	}
	workers := parallel
	if e.Failures > 0 { // one asks whether it is back
		workers = 1
	}
	var mu sync.Mutex
	var group sync.WaitGroup
	next, stopped := 0, false
	take := func() (waiting, bool) {
		mu.Lock()
		defer mu.Unlock()
		late := s.clock.Now().Sub(l.started) > s.lease/3
		if stopped || late || next == len(list) || running.Err() != nil || ctx.Err() != nil {
			return waiting{}, false
		}
		next++
		return list[next-1], true
	}
	for range min(workers, len(list)) {
		group.Go(func() {
			for d, ok := take(); ok; d, ok = take() {
				a := s.attempt(ctx, e.URL, secrets, d)
				if a.cut {
					return
				}
				gone := a.Status == http.StatusGone
				storeErr := s.storeAttempt(context.WithoutCancel(ctx), l, d, a, gone)
				mu.Lock()
				if d.kind != kindTest {
					t.attempts = append(t.attempts, a)
				}
				if gone || a.unreachable() || storeErr != nil {
					stopped = true
				}
				if a.unreachable() {
					t.unreachable, t.rest = true, max(t.rest, a.retryAfter)
				}
				t.gone = t.gone || gone
				err = errors.Join(err, storeErr)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return e, t, err
}

// due gives what is to be sent now; of an endpoint that is switched off, tests alone.
func (s *Service) due(ctx context.Context, l lane, e Endpoint) ([]waiting, error) {
	rows, err := s.db.Query(ctx, sqlDueDeliveries, l.tenant, l.endpoint, db.At(s.clock.Now()), e.Active, laneTurn)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []waiting
	for rows.Next() {
		var d waiting
		if err := rows.Scan(&d.id, &d.message, &d.body, &d.kind, &d.attempts); err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, rows.Err()
}

// storeAttempt writes an attempt and what becomes of the delivery. It changes
// nothing when somebody else did so first.
func (s *Service) storeAttempt(ctx context.Context, l lane, d waiting, a Attempt, gone bool) error {
	s.storing <- struct{}{}
	defer func() { <-s.storing }()
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	now := s.clock.Now()
	status, next, finished := Delivered, db.Time{}, db.At(now)
	if !a.ok() {
		status = Failed
		if wait, more := s.wait(a.N, a); more && !gone && d.kind != kindTest {
			status, next, finished = Pending, db.At(now.Add(wait)), db.Time{}
		}
	}
	return s.db.Batch(ctx, []db.Stmt{
		{SQL: sqlInsertAttempt, Args: []any{l.tenant, d.id, a.N, db.At(a.At), a.Duration.Microseconds(), a.Status, a.Error, a.Response}},
		{SQL: sqlAttempted, Args: []any{l.tenant, d.id, a.N, string(status), next, a.Status, a.Error, finished}},
	})
}

// pause is how long an endpoint that does not answer is left alone.
func pause(failures int64) time.Duration {
	if failures > 6 {
		return longPause
	}
	return min(firstPause<<failures, longPause)
}

// release gives a queue back with what the turn taught, and switches an endpoint
// off that is gone or has failed for too long. sent is the endpoint as the turn
// found it: what somebody has changed since stands.
func (s *Service) release(ctx context.Context, l lane, sent Endpoint, t turn) error {
	now := s.clock.Now()
	seen := sent
	seen.learn(t.attempts)
	reason := Reason("")
	switch {
	case t.gone:
		reason = Gone
	case len(t.attempts) > 0 && !seen.FailingSince.IsZero() && now.Sub(seen.FailingSince) >= failingFor:
		reason = Failing
	}
	return s.db.Tx(ctx, func(q db.Queryer) error {
		if reason != "" { // the endpoint's row before the queue's, as everybody locks them
			if err := s.disable(ctx, q, l, sent, reason, now); err != nil {
				return err
			}
		}
		held, err := q.Exec(ctx, sqlHold, l.tenant, l.endpoint, l.owner)
		if err != nil || held == 0 {
			return err
		}
		// With the queue locked, whoever adds a delivery waits to make it due.
		e, err := scanEndpoint(q.QueryRow(ctx, sqlEndpoint, l.tenant, l.endpoint))
		if err != nil {
			return err
		}
		slow, rest := l.slow, t.pause
		if e.URL == sent.URL {
			if t.unreachable {
				rest = max(rest, t.rest, pause(e.Failures))
			}
			e.learn(t.attempts)
			if len(t.attempts) > 0 {
				slow = e.Failures >= slowFailures || slices.ContainsFunc(t.attempts, func(a Attempt) bool { return a.Duration >= slowAnswer })
			}
		}
		paused := db.Time{Time: time.Unix(0, 0).UTC()}
		if rest > 0 {
			paused = db.At(now.Add(rest))
		}
		var next db.Time
		if err := q.QueryRow(ctx, sqlNextDue, l.tenant, l.endpoint).Scan(&next); err != nil && !isNotFound(err) {
			return err
		}
		if !next.IsZero() {
			next = latest(next, db.At(now), paused)
		}
		_, err = q.Exec(ctx, sqlRelease, l.tenant, l.endpoint, next, slow, paused, e.Failures, db.At(e.FailingSince), db.At(e.LastSuccessAt), db.At(e.LastFailureAt))
		return err
	})
}

// learn counts attempts in.
func (e *Endpoint) learn(attempts []Attempt) {
	for _, a := range attempts {
		if a.ok() {
			e.LastSuccessAt, e.Failures, e.FailingSince = a.At, 0, time.Time{}
			continue
		}
		e.LastFailureAt = a.At
		if e.Failures++; e.FailingSince.IsZero() {
			e.FailingSince = a.At
		}
	}
}

func latest(times ...db.Time) db.Time {
	return slices.MaxFunc(times, func(a, b db.Time) int { return cmp.Compare(a.UnixMicro(), b.UnixMicro()) })
}

func (s *Service) report(ctx context.Context, text string, l lane, err error) {
	s.log.LogAttrs(ctx, slog.LevelWarn, text, slog.String("tenant", l.tenant), slog.String("webhook", l.endpoint), slog.Any("error", err))
}

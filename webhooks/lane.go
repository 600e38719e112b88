package webhooks

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/internal/jobs"
	"github.com/gatehouse-id/gatehouse/internal/mail"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Bounds of a replica's work. A slow endpoint takes a lane for at most a turn, and
// all slow ones together a fourth of the lanes.
const (
	lanes       = 32
	slowLanes   = 8
	tenantLanes = 8  // of one tenant
	tenantSlow  = 2  // of them for slow endpoints
	laneTurn    = 20 // deliveries of a turn
	parallel    = 4  // requests to one endpoint at once
	candidates  = 200

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

// claim leases queues that are due, as many as the replica has lanes for.
func (s *Service) claim(ctx context.Context) ([]lane, error) {
	now := s.clock.Now()
	var due bool
	if err := s.db.QueryRow(ctx, sqlAnyDue, db.At(now), false, true).Scan(&due); err != nil || !due {
		return nil, err
	}
	owner := id.Raw()
	var list []lane
	err := s.db.Tx(ctx, func(q db.Queryer) error {
		list = nil // Tx may run this again
		s.mu.Lock()
		running, busy, busySlow := make(map[string]int, len(s.running)), 0, s.slow
		for tenant, n := range s.running {
			running[tenant], busy = n, busy+n
		}
		s.mu.Unlock()
		for _, slow := range []bool{false, true} {
			free, most := lanes-slowLanes-(busy-busySlow), tenantLanes
			if slow {
				free, most = slowLanes-busySlow, tenantSlow
			}
			if free <= 0 {
				continue
			}
			found, err := dueQueues(ctx, q, now, slow)
			if err != nil {
				return err
			}
			for _, l := range found {
				if free > 0 && running[l.tenant] < most {
					l.owner, l.slow, l.started = owner, slow, now
					list = append(list, l)
					running[l.tenant]++
					free--
				}
			}
		}
		stmts := make([]db.Stmt, len(list))
		for i, l := range list {
			stmts[i] = db.Stmt{SQL: sqlLease, Args: []any{l.tenant, l.endpoint, db.At(now.Add(s.lease)), owner}}
		}
		return q.Batch(ctx, stmts)
	})
	return list, err
}

func dueQueues(ctx context.Context, q db.Queryer, now time.Time, slow bool) ([]lane, error) {
	rows, err := q.Query(ctx, sqlDueQueues+q.Dialect().SkipLocked, db.At(now), slow, candidates)
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

// enter and leave count the lanes of this replica.
func (s *Service) enter(l lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running[l.tenant]++
	if l.slow {
		s.slow++
	}
}

func (s *Service) leave(l lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[l.tenant]--; s.running[l.tenant] == 0 {
		delete(s.running, l.tenant)
	}
	if l.slow {
		s.slow--
	}
}

// turn is what a lane did with a queue.
type turn struct {
	attempts []Attempt // in the order of their ends, those of tests left out
	gone     bool      // 410 Gone
	pause    time.Duration
}

// work takes a turn at a leased queue and gives it back.
func (s *Service) work(ctx context.Context, l lane) {
	e, t, err := s.sendDue(ctx, l)
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

func (s *Service) sendDue(ctx context.Context, l lane) (e Endpoint, t turn, err error) {
	e, err = scanEndpoint(s.db.QueryRow(ctx, sqlEndpoint, l.tenant, l.endpoint))
	if errors.Is(err, ErrEndpointNotFound) {
		return e, t, nil // deleted since
	}
	if err != nil {
		return e, t, err
	}
	var status string
	if err := s.db.QueryRow(ctx, sqlTenantStatus, e.Environment, l.tenant).Scan(&status); isNotFound(err) {
		return e, t, nil
	} else if err != nil {
		return e, t, err
	}
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
		if stopped || late || next == len(list) || ctx.Err() != nil {
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
					t.pause = max(t.pause, a.retryAfter, pause(e.Failures))
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
// off that is gone or has failed for too long.
func (s *Service) release(ctx context.Context, l lane, e Endpoint, t turn) error {
	now := s.clock.Now()
	slow := l.slow
	if len(t.attempts) > 0 {
		slow = false
	}
	for _, a := range t.attempts {
		switch {
		case a.ok():
			e.LastSuccessAt, e.Failures, e.FailingSince = a.At, 0, time.Time{}
		default:
			e.LastFailureAt = a.At
			if e.Failures++; e.FailingSince.IsZero() {
				e.FailingSince = a.At
			}
		}
		slow = slow || a.Duration >= slowAnswer
	}
	slow = slow || e.Failures >= slowFailures
	reason := Reason("")
	switch {
	case t.gone:
		reason = Gone
	case len(t.attempts) > 0 && !e.FailingSince.IsZero() && now.Sub(e.FailingSince) >= failingFor:
		reason = Failing
	}
	paused := db.Time{Time: time.Unix(0, 0).UTC()}
	if t.pause > 0 {
		paused = db.At(now.Add(t.pause))
	}
	return s.db.Tx(ctx, func(q db.Queryer) error {
		if reason != "" { // the endpoint's row before the queue's, as everybody locks them
			if err := s.disable(ctx, q, l, reason, now); err != nil {
				return err
			}
		}
		held, err := q.Exec(ctx, sqlHold, l.tenant, l.endpoint, l.owner)
		if err != nil || held == 0 {
			return err
		}
		// With the queue locked, whoever adds a delivery waits to make it due.
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

func latest(times ...db.Time) db.Time {
	return slices.MaxFunc(times, func(a, b db.Time) int { return cmp.Compare(a.UnixMicro(), b.UnixMicro()) })
}

// disable switches an endpoint off by itself, tells of it, and lets the tenant's
// people know.
func (s *Service) disable(ctx context.Context, q db.Queryer, l lane, reason Reason, now time.Time) error {
	e, err := s.lockEndpoint(ctx, q, l.tenant, l.endpoint, nil)
	if errors.Is(err, ErrEndpointNotFound) || err == nil && !e.Active {
		return nil
	}
	if err != nil {
		return err
	}
	e.Active, e.Disabled, e.DisabledAt, e.UpdatedAt, e.Version = false, reason, now, now, e.Version+1
	if err := s.storeEndpoint(ctx, q, e); err != nil {
		return err
	}
	system := actor.Actor{Environment: e.Environment, Kind: actor.System}
	err = s.record(ctx, system, q, "webhook.disabled", e, map[string]audit.Change{"active": {From: true, To: false}}, map[string]any{"reason": string(reason)})
	if err != nil || s.admins == nil {
		return err
	}
	to, err := s.admins(ctx, q, e.Environment, e.Tenant)
	if err != nil {
		return err
	}
	for _, address := range to {
		m, err := disabledLetter(e).To(address)
		if err != nil {
			return err
		}
		payload, err := m.Payload()
		if errors.Is(err, mail.ErrMessage) {
			continue // an address that an identity provider made up reaches nobody
		}
		if err != nil {
			return err
		}
		if err := jobs.Enqueue(ctx, q, jobs.Job{Environment: e.Environment, Tenant: e.Tenant, Kind: mail.JobSend, Payload: payload, RunAt: now}); err != nil {
			return err
		}
	}
	return nil
}

func disabledLetter(e Endpoint) mail.Letter {
	why := "It answered that it is gone (410) and was switched off."
	if e.Disabled == Failing {
		why = "Every delivery of the last five days failed, so it was switched off."
	}
	return mail.Letter{
		Subject:    "The webhook " + e.Name + " was switched off",
		Paragraphs: []string{"The webhook " + e.Name + " no longer receives events. " + why},
		Facts:      []mail.Fact{{Label: "Webhook", Value: e.Name + " (" + e.ID + ")"}, {Label: "Address", Value: withoutQuery(e.URL)}},
		Steps: []string{
			"Look at the answers in the webhook's log of deliveries, and mend the receiver.",
			"Send a test event.",
			"Switch the webhook on again. Deliveries that were still waiting are then sent; replay the failed ones that you need.",
		},
		Closing: "You get this mail because you may change the webhooks of your organization.",
	}
}

func (s *Service) report(ctx context.Context, text string, l lane, err error) {
	s.log.LogAttrs(ctx, slog.LevelWarn, text, slog.String("tenant", l.tenant), slog.String("webhook", l.endpoint), slog.Any("error", err))
}

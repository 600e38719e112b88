package webhooks

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Bounds of one transaction of the dispatcher: few enough that the embedded store's
// one writer is not held for long. Tenants share them, so that one in which a
// hundred thousand things happen at once keeps nobody else's events waiting.
const (
	dispatchBatch      = 200  // events
	dispatchDeliveries = 2000 // and at least one event of each tenant
	dispatchTenants    = 50
)

// Kinds of deliveries.
const (
	kindEvent  = "event"
	kindTest   = "test"
	kindReplay = "replay"
)

// Dispatch turns events that wait into deliveries and says how many it took; 0 is
// none left. Several replicas may dispatch at once.
func (s *Service) Dispatch(ctx context.Context) (int, error) {
	n, _, err := s.dispatchSome(ctx)
	return n, err
}

// dispatchSome says whether there may be more, too.
func (s *Service) dispatchSome(ctx context.Context) (n int, more bool, err error) {
	waits, err := audit.OutboxWaits(ctx, s.db)
	if err != nil || !waits {
		return 0, false, err
	}
	s.mu.Lock()
	after := s.served
	s.mu.Unlock()
	var last string
	err = s.db.Tx(ctx, func(q db.Queryer) (err error) {
		n, last, more, err = s.dispatch(ctx, q, after)
		return err
	})
	if err != nil {
		return 0, false, err
	}
	s.mu.Lock()
	s.served = last
	s.mu.Unlock()
	return n, more, nil
}

// dispatch serves the tenants after the one given and says which was the last;
// empty is the end of the round.
func (s *Service) dispatch(ctx context.Context, q db.Queryer, after string) (n int, last string, more bool, err error) {
	of, err := audit.OutboxTenants(ctx, q, after, dispatchTenants)
	if err == nil && len(of) == 0 && after != "" {
		of, err = audit.OutboxTenants(ctx, q, "", dispatchTenants)
	}
	if err != nil || len(of) == 0 {
		return 0, "", false, err
	}
	if len(of) == dispatchTenants {
		last, more = of[len(of)-1], true
	}
	endpoints, err := subscribers(ctx, q, of)
	if err != nil {
		return 0, "", false, err
	}
	limits := make(map[string]int, len(of))
	for _, tenant := range of {
		// An event makes two messages at most, one of its action and one of AuditEvent.
		limits[tenant] = max(1, min(dispatchBatch, dispatchDeliveries/max(1, 2*len(endpoints[tenant])))/len(of))
	}
	events, n, err := audit.ClaimOutbox(ctx, q, limits)
	if err != nil {
		return 0, "", false, err
	}
	claimed := map[string]int{}
	for _, e := range events {
		claimed[e.Tenant]++
		more = more || claimed[e.Tenant] == limits[e.Tenant]
	}
	more = (more || after != "") && n > 0 // what another replica has claimed is not waited for
	return n, last, more, s.fanOut(ctx, q, events, endpoints)
}

// fanOut writes one message per event and type, and one delivery per endpoint.
func (s *Service) fanOut(ctx context.Context, q db.Queryer, events []audit.Entry, endpoints map[string][]Endpoint) (err error) {
	environments := map[string]environment{}
	var out outgoing
	for _, e := range events {
		// Record writes no outbox row for a hidden event; this is the second lock.
		if len(endpoints[e.Tenant]) == 0 || !e.Visible {
			continue
		}
		env, ok := environments[e.Environment]
		if !ok {
			if env, err = s.environment(ctx, q, e.Environment); err != nil {
				return err
			}
			environments[e.Environment] = env
		}
		if !env.impersonators {
			e.Actor.Impersonator = nil
		}
		for _, eventType := range []string{e.Action, AuditEvent} {
			if !env.offered[eventType] || eventType != AuditEvent && e.Source != builtinSource {
				continue // what applications write into the log themselves is in the stream alone
			}
			var to []Endpoint
			for _, p := range endpoints[e.Tenant] {
				if p.wants(eventType) {
					to = append(to, p)
				}
			}
			if len(to) == 0 {
				continue
			}
			m, err := eventMessage(e, eventType)
			if err != nil {
				return err
			}
			out.add(m, kindEvent, to...)
		}
	}
	return out.write(ctx, q, s.clock.Now())
}

// builtinSource marks the events of the catalogue, as audit names them.
const builtinSource = "builtin"

// environment is what an environment lets its tenants hear of.
type environment struct {
	offered       map[string]bool
	impersonators bool
}

func (s *Service) environment(ctx context.Context, q db.Queryer, environmentID string) (env environment, err error) {
	if env.offered, err = s.enabledTypes(ctx, q, environmentID); err != nil {
		return env, err
	}
	var text string
	if err := q.QueryRow(ctx, sqlEnvironmentSettings, environmentID).Scan(&text); err != nil {
		return env, err
	}
	var settings tenants.EnvironmentSettings
	if err := json.Unmarshal([]byte(text), &settings); err != nil {
		return env, err
	}
	env.impersonators = settings.FeatureOn(tenants.FeatureShowImpersonate)
	return env, nil
}

// subscribers gives the active endpoints of each of the tenants; a suspended
// tenant has none.
func subscribers(ctx context.Context, q db.Queryer, of []string) (map[string][]Endpoint, error) {
	all := map[string][]Endpoint{}
	read := func(rows db.Rows) error {
		for rows.Next() {
			var e Endpoint
			var types string
			if err := rows.Scan(&e.Tenant, &e.ID, &types); err != nil {
				return err
			}
			if err := json.Unmarshal([]byte(types), &e.EventTypes); err != nil {
				return err
			}
			all[e.Tenant] = append(all[e.Tenant], e)
		}
		return rows.Err()
	}
	stmts := make([]db.Stmt, len(of))
	for i, tenant := range of {
		stmts[i] = db.Stmt{SQL: sqlSubscribers, Args: []any{tenant}, Scan: read}
	}
	return all, q.Batch(ctx, stmts)
}

// outgoing gathers messages and their deliveries.
type outgoing struct {
	messages   []message
	deliveries []outgoingDelivery
}

type outgoingDelivery struct {
	tenant, id, endpoint, message, eventType, kind string
}

func (o *outgoing) add(m message, kind string, to ...Endpoint) {
	o.messages = append(o.messages, m)
	for _, e := range to {
		o.deliveries = append(o.deliveries, outgoingDelivery{e.Tenant, id.New(deliveryID), e.ID, m.id, m.eventType, kind})
	}
}

// write stores all of it and makes the endpoints' queues due, in one round trip.
// Queues are locked in one order, so that two writers do not wait for each other.
func (o *outgoing) write(ctx context.Context, q db.Queryer, now time.Time) error {
	at := db.At(now)
	var stmts []db.Stmt
	for _, m := range o.messages {
		stmts = append(stmts, db.Stmt{SQL: sqlInsertMessage, Args: []any{m.tenant, m.id, m.eventType, m.eventID, m.body, at}})
	}
	type queue struct{ tenant, endpoint string }
	var queues []queue
	for _, d := range o.deliveries {
		stmts = append(stmts, db.Stmt{SQL: sqlInsertDelivery, Args: []any{d.tenant, d.id, d.endpoint, d.message, d.eventType, d.kind, at}})
		queues = append(queues, queue{d.tenant, d.endpoint})
	}
	slices.SortFunc(queues, func(a, b queue) int {
		return cmp.Or(cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.endpoint, b.endpoint))
	})
	for _, k := range slices.Compact(queues) {
		stmts = append(stmts, db.Stmt{SQL: sqlQueueDue, Args: []any{k.tenant, k.endpoint, at}})
	}
	return q.Batch(ctx, stmts)
}

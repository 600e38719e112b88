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

// dispatchBatch is how many events one transaction turns into deliveries: few
// enough that the embedded store's one writer is not held for long.
const dispatchBatch = 200

// Kinds of deliveries.
const (
	kindEvent  = "event"
	kindTest   = "test"
	kindReplay = "replay"
)

// Dispatch turns the events that wait into deliveries and says how many it took; 0
// is none left. Several replicas may dispatch at once.
func (s *Service) Dispatch(ctx context.Context) (n int, err error) {
	waits, err := audit.OutboxWaits(ctx, s.db)
	if err != nil || !waits {
		return 0, err
	}
	err = s.db.Tx(ctx, func(q db.Queryer) error {
		n, err = s.dispatch(ctx, q)
		return err
	})
	return n, err
}

func (s *Service) dispatch(ctx context.Context, q db.Queryer) (int, error) {
	events, err := audit.ClaimOutbox(ctx, q, dispatchBatch)
	if err != nil || len(events) == 0 {
		return 0, err
	}
	var of []string // the tenants
	for _, e := range events {
		of = append(of, e.Tenant)
	}
	slices.Sort(of)
	endpoints, err := subscribers(ctx, q, slices.Compact(of))
	if err != nil {
		return 0, err
	}
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
				return 0, err
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
				return 0, err
			}
			out.add(m, kindEvent, to...)
		}
	}
	return len(events), out.write(ctx, q, s.clock.Now())
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

package webhooks

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

// Status of a delivery.
type Status string

// The statuses.
const (
	Pending   Status = "pending" // waits for its first or next attempt
	Delivered Status = "delivered"
	Failed    Status = "failed" // for good
)

// Delivery is a message to one endpoint.
type Delivery struct {
	ID         string // dlv_…
	Endpoint   string
	Message    string // msg_…, the webhook-id
	EventType  string
	EventID    string // evt_… of the audit log; empty for tests and custom events
	Kind       string // event, test or replay
	Status     Status
	Attempts   int
	NextAt     time.Time // zero: no further attempt
	LastStatus int       // of HTTP; 0: no answer, or no attempt
	LastError  string    // a code
	CreatedAt  time.Time
	FinishedAt time.Time

	// Body and Log come with one delivery, not with lists.
	Body json.RawMessage
	Log  []Attempt
}

// DeliveryFilter says which deliveries Deliveries returns, and Replay repeats.
type DeliveryFilter struct {
	Status    Status
	EventType string
	From, To  time.Time // of creation; From included, To excluded; zero: open
	Cursor    string    // the id of the last one before
	Limit     int       // 1 to 200; 0: 50
}

// Limits of the log.
const (
	DefaultPage = 50
	MaxPage     = 200
	MaxReplay   = 1000 // deliveries of one replay of a range

	maxReplaying = 10 * MaxReplay // replays of an endpoint that wait
	maxTests     = 10             // tests of an endpoint that wait
)

// Deliveries lists an endpoint's deliveries, newest first, and the cursor of the
// next page, empty on the last.
func (s *Service) Deliveries(ctx context.Context, q db.Queryer, tenant, endpoint string, f DeliveryFilter) ([]Delivery, string, error) {
	if _, err := scanEndpoint(q.QueryRow(ctx, sqlEndpoint, tenant, endpoint)); err != nil {
		return nil, "", err
	}
	limit := f.Limit
	if limit <= 0 {
		limit = DefaultPage
	}
	limit = min(limit, MaxPage)
	list, err := s.find(ctx, q, tenant, endpoint, f, limit+1)
	if err != nil || len(list) <= limit {
		return list, "", err
	}
	return list[:limit], list[limit-1].ID, nil
}

func (s *Service) find(ctx context.Context, q db.Queryer, tenant, endpoint string, f DeliveryFilter, limit int) ([]Delivery, error) {
	before := deliveryID + "_" + strings.Repeat("z", id.Length+1) // sorts after every id
	if f.Cursor != "" {
		if !id.Valid(deliveryID, f.Cursor) {
			return nil, fault.New(fault.Invalid, "invalid_cursor", "The cursor is not one that a list returned.").In("cursor")
		}
		before = f.Cursor
	}
	from, to := int64(0), int64(math.MaxInt64)
	if !f.From.IsZero() {
		from = f.From.UnixMicro()
	}
	if !f.To.IsZero() {
		to = f.To.UnixMicro()
	}
	text, args := sqlDeliveries, []any{tenant, endpoint, before, from, to, f.EventType, limit}
	if f.Status != "" {
		text, args = sqlDeliveriesOf, append(args, string(f.Status))
	}
	rows, err := q.Query(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Delivery
	for rows.Next() {
		d, _, err := scanDelivery(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, rows.Err()
}

// Delivery gives one delivery with what was sent and every attempt.
func (s *Service) Delivery(ctx context.Context, q db.Queryer, tenant, endpoint, delivery string) (Delivery, error) {
	d, body, err := scanDelivery(q.QueryRow(ctx, sqlDelivery, tenant, endpoint, delivery))
	if isNotFound(err) {
		return Delivery{}, ErrDeliveryNotFound
	}
	if err != nil {
		return Delivery{}, err
	}
	d.Body = json.RawMessage(body)
	rows, err := q.Query(ctx, sqlAttempts, tenant, delivery)
	if err != nil {
		return Delivery{}, err
	}
	defer rows.Close()
	for rows.Next() {
		var a Attempt
		var at db.Time
		var micros int64
		if err := rows.Scan(&a.N, &at, &micros, &a.Status, &a.Error, &a.Response); err != nil {
			return Delivery{}, err
		}
		a.At, a.Duration = at.Time, time.Duration(micros)*time.Microsecond
		d.Log = append(d.Log, a)
	}
	return d, rows.Err()
}

// Replay sends a delivery's message again, under the same webhook-id, as a delivery
// of its own.
func (s *Service) Replay(ctx context.Context, a actor.Actor, q db.Queryer, tenant, endpoint, delivery string) (Delivery, error) {
	e, err := s.Endpoint(ctx, q, tenant, endpoint)
	if err != nil {
		return Delivery{}, err
	}
	d, err := s.Delivery(ctx, q, tenant, endpoint, delivery)
	if err != nil {
		return Delivery{}, err
	}
	made, err := s.repeat(ctx, a, q, e, []Delivery{d})
	if err != nil {
		return Delivery{}, err
	}
	return s.Delivery(ctx, q, tenant, endpoint, made[0])
}

// ReplayRange replays the newest deliveries that the filter finds, at most
// MaxReplay, each message once. It says how many, and the cursor with which the
// older ones follow, empty when there are none. Without a status it takes the failed
// ones; tests are left out.
func (s *Service) ReplayRange(ctx context.Context, a actor.Actor, q db.Queryer, tenant, endpoint string, f DeliveryFilter) (n int, next string, err error) {
	e, err := s.Endpoint(ctx, q, tenant, endpoint)
	if err != nil {
		return 0, "", err
	}
	if f.Status == "" {
		f.Status = Failed
	}
	if f.Status == Pending {
		return 0, "", invalid("invalid_status", "What is pending is sent by itself.", "status")
	}
	found, err := s.find(ctx, q, tenant, endpoint, f, MaxReplay+1)
	if err != nil {
		return 0, "", err
	}
	if len(found) > MaxReplay {
		found, next = found[:MaxReplay], found[MaxReplay-1].ID
	}
	var list []Delivery
	once := map[string]bool{}
	for _, d := range found {
		if d.Kind != kindTest && !once[d.Message] {
			once[d.Message] = true
			list = append(list, d)
		}
	}
	if len(list) == 0 {
		return 0, next, nil
	}
	_, err = s.repeat(ctx, a, q, e, list)
	return len(list), next, err
}

func (s *Service) repeat(ctx context.Context, a actor.Actor, q db.Queryer, e Endpoint, list []Delivery) (ids []string, err error) {
	if !e.Active {
		return nil, errInactive
	}
	if err := room(ctx, q, e, kindReplay, maxReplaying-len(list), "10000 replays of this webhook that wait"); err != nil {
		return nil, err
	}
	now := db.At(s.clock.Now())
	stmts := make([]db.Stmt, 0, len(list)+1)
	for _, d := range list {
		ids = append(ids, id.New(deliveryID))
		stmts = append(stmts, db.Stmt{SQL: sqlInsertDelivery, Args: []any{e.Tenant, ids[len(ids)-1], e.ID, d.Message, d.EventType, kindReplay, now}})
	}
	stmts = append(stmts, db.Stmt{SQL: sqlQueueNow, Args: []any{e.Tenant, e.ID, now}})
	if err := q.Batch(ctx, stmts); err != nil {
		return nil, err
	}
	return ids, s.record(ctx, a, q, "webhook.replayed", e, nil, map[string]any{"deliveries": len(list)})
}

// room refuses what people ask for when more than most of it wait: somebody who
// repeats a request neither fills the store nor floods an address.
func room(ctx context.Context, q db.Queryer, e Endpoint, kind string, most int, what string) error {
	var n int
	if err := q.QueryRow(ctx, sqlCountWaiting, e.Tenant, e.ID, kind, most+1).Scan(&n); err != nil {
		return err
	}
	if n > most {
		return tooMany(what)
	}
	return nil
}

var errInactive = fault.New(fault.Conflict, "webhook_inactive", "The webhook is switched off. Switch it on first.")

// testFirst is when a test is due: before all else, however much waits.
var testFirst = db.Time{Time: time.UnixMicro(1).UTC()}

// Test sends an example of an event to one endpoint, once and without further
// attempts, be the endpoint active or not. An empty type is the first of those that it
// subscribes to; the data says that it is a test.
func (s *Service) Test(ctx context.Context, a actor.Actor, q db.Queryer, tenant, endpoint, eventType string) (Delivery, error) {
	e, err := s.Endpoint(ctx, q, tenant, endpoint)
	if err != nil {
		return Delivery{}, err
	}
	if eventType == "" {
		eventType = e.EventTypes[0]
	}
	if !e.wants(eventType) {
		return Delivery{}, invalid("unknown_event_type", "The webhook does not subscribe to this event type.", "event_type")
	}
	if err := room(ctx, q, e, kindTest, maxTests-1, "10 tests of this webhook that wait"); err != nil {
		return Delivery{}, err
	}
	now := s.clock.Now()
	m, err := newMessage(tenant, eventType, "", now, map[string]any{
		"test": true, "title": "Test", "description": "This is a test of the webhook " + e.Name + ".", "tenant_id": tenant, "webhook_id": e.ID,
	})
	if err != nil {
		return Delivery{}, err
	}
	made := id.New(deliveryID)
	err = q.Batch(ctx, []db.Stmt{
		{SQL: sqlInsertMessage, Args: []any{tenant, m.id, m.eventType, m.eventID, m.body, db.At(now)}},
		{SQL: sqlInsertTest, Args: []any{tenant, made, e.ID, m.id, m.eventType, kindTest, testFirst, db.At(now)}},
		{SQL: sqlQueueNow, Args: []any{tenant, e.ID, db.At(now)}},
	})
	if err != nil {
		return Delivery{}, err
	}
	if err := s.record(ctx, a, q, "webhook.tested", e, nil, nil); err != nil {
		return Delivery{}, err
	}
	return s.Delivery(ctx, q, tenant, endpoint, made)
}

func scanDelivery(row db.Row) (d Delivery, body string, err error) {
	var next, created, finished db.Time
	err = row.Scan(&d.ID, &d.Endpoint, &d.Message, &d.EventType, &d.EventID, &d.Kind, (*string)(&d.Status), &d.Attempts, &next, &d.LastStatus, &d.LastError, &created, &finished, &body)
	d.NextAt, d.CreatedAt, d.FinishedAt = next.Time, created.Time, finished.Time
	if !d.NextAt.IsZero() && d.NextAt.Before(d.CreatedAt) {
		d.NextAt = d.CreatedAt
	}
	return d, body, err
}

package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/webhooks"
)

// WebhookDelivery is a message to one webhook.
type WebhookDelivery struct {
	ID         string     `json:"id"`
	MessageID  string     `json:"message_id" doc:"The webhook-id, the same at each attempt and replay"`
	EventType  string     `json:"event_type"`
	EventID    *string    `json:"event_id" doc:"Of the audit log; null of tests and events of your application"`
	Kind       string     `json:"kind" enum:"event,test,replay"`
	Status     string     `json:"status" enum:"pending,delivered,failed"`
	Attempts   int        `json:"attempts"`
	NextAt     *time.Time `json:"next_at" doc:"Not before this time; null: no further attempt"`
	LastStatus *int       `json:"last_status" doc:"HTTP status of the last attempt; null: there was no answer"`
	LastError  *string    `json:"last_error" doc:"Code of what went wrong at the last attempt"`
	CreatedAt  time.Time  `json:"created_at"`
	FinishedAt *time.Time `json:"finished_at"`
}

type webhookDeliveryDetail struct {
	WebhookDelivery
	Body map[string]any   `json:"body" doc:"What was sent"`
	Log  []webhookAttempt `json:"log" doc:"Every attempt"`
}

type webhookAttempt struct {
	N          int       `json:"n"`
	At         time.Time `json:"at"`
	DurationMS float64   `json:"duration_ms"`
	Status     *int      `json:"status" doc:"null: there was no answer"`
	Error      *string   `json:"error"`
	Response   string    `json:"response" doc:"The answer's first 4 kB"`
}

func optionalStatus(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

func showDelivery(d webhooks.Delivery) WebhookDelivery {
	return WebhookDelivery{
		ID: d.ID, MessageID: d.Message, EventType: d.EventType, EventID: optionalText(d.EventID), Kind: d.Kind, Status: string(d.Status), Attempts: d.Attempts,
		NextAt: optional(d.NextAt), LastStatus: optionalStatus(d.LastStatus), LastError: optionalText(d.LastError), CreatedAt: d.CreatedAt, FinishedAt: optional(d.FinishedAt),
	}
}

func showDeliveryDetail(d webhooks.Delivery) (webhookDeliveryDetail, error) {
	out := webhookDeliveryDetail{WebhookDelivery: showDelivery(d), Log: make([]webhookAttempt, 0, len(d.Log))}
	for _, a := range d.Log {
		out.Log = append(out.Log, webhookAttempt{
			N: a.N, At: a.At, DurationMS: float64(a.Duration.Microseconds()) / 1000, Status: optionalStatus(a.Status), Error: optionalText(a.Error), Response: a.Response,
		})
	}
	body, err := exactly(d.Body)
	out.Body, _ = body.(map[string]any) // as every message is
	return out, err
}

type listWebhookDeliveries struct {
	WebhookPath
	PageQuery
	Status    string    `query:"status" enum:"pending,delivered,failed"`
	EventType string    `query:"event_type" maxLength:"100"`
	From      time.Time `query:"from" doc:"Not before this time"`
	To        time.Time `query:"to" doc:"Before this time"`
}

type webhookDeliveryPath struct {
	WebhookPath
	Delivery string `path:"dlv" maxLength:"63" doc:"Id of the delivery"`
}

type replayWebhookDeliveries struct {
	WebhookPath
	Body struct {
		From      time.Time `json:"from" doc:"Deliveries made from this time on"`
		To        time.Time `json:"to,omitzero" doc:"Before this time"`
		Status    string    `json:"status,omitempty" enum:"delivered,failed" doc:"failed when absent"`
		EventType string    `json:"event_type,omitempty" maxLength:"100"`
		Cursor    string    `json:"cursor,omitempty" maxLength:"2000" doc:"next_cursor of the answer before, with all else as it was"`
	}
}

type replayedDeliveries struct {
	Replayed   int     `json:"replayed"`
	NextCursor *string `json:"next_cursor" doc:"The newest were taken: give it as cursor for older ones; null when there are none"`
}

func (h *Handler) registerDeliveries() {
	const base, one = "/tenants/{t}/webhooks/{w}/deliveries", "/tenants/{t}/webhooks/{w}/deliveries/{dlv}"
	read(h, route{method: http.MethodGet, path: base, id: "listWebhookDeliveries", summary: "Show what was sent to a webhook, newest first", permission: webhooks.PermissionRead},
		func(ctx context.Context, s scope, q db.Queryer, in *listWebhookDeliveries) (out list[WebhookDelivery], err error) {
			name := "deliveries " + in.Webhook
			after, err := h.position(s, name, in.Cursor)
			if err != nil {
				return out, err
			}
			found, next, err := h.Webhooks.Deliveries(ctx, q, s.tenant.ID, in.Webhook, webhooks.DeliveryFilter{
				Status: webhooks.Status(in.Status), EventType: in.EventType, From: in.From, To: in.To, Cursor: after, Limit: in.Limit,
			})
			return paged(found, showDelivery, h.cursor(s, name, next)), err
		})
	read(h, route{method: http.MethodGet, path: one, id: "getWebhookDelivery", summary: "Show a delivery with every attempt", permission: webhooks.PermissionRead},
		func(ctx context.Context, s scope, q db.Queryer, in *webhookDeliveryPath) (webhookDeliveryDetail, error) {
			d, err := h.Webhooks.Delivery(ctx, q, s.tenant.ID, in.Webhook, in.Delivery)
			if err != nil {
				return webhookDeliveryDetail{}, err
			}
			return showDeliveryDetail(d)
		})
	write(h, route{method: http.MethodPost, path: one + ":replay", id: "replayWebhookDelivery", summary: "Send a delivery again, under the same webhook-id", permission: webhooks.PermissionWrite, status: http.StatusAccepted},
		func(ctx context.Context, s scope, q db.Queryer, in *webhookDeliveryPath) (WebhookDelivery, error) {
			d, err := h.Webhooks.Replay(ctx, s.actor, q, s.tenant.ID, in.Webhook, in.Delivery)
			return showDelivery(d), err
		})
	write(h, route{method: http.MethodPost, path: base + ":replay", id: "replayWebhookDeliveries", summary: "Send the deliveries of a time again, at most 1000 at once", permission: webhooks.PermissionWrite, status: http.StatusAccepted},
		func(ctx context.Context, s scope, q db.Queryer, in *replayWebhookDeliveries) (replayedDeliveries, error) {
			name := "replay " + in.Webhook
			after, err := h.position(s, name, in.Body.Cursor)
			if err != nil {
				return replayedDeliveries{}, err
			}
			n, next, err := h.Webhooks.ReplayRange(ctx, s.actor, q, s.tenant.ID, in.Webhook, webhooks.DeliveryFilter{
				Status: webhooks.Status(in.Body.Status), EventType: in.Body.EventType, From: in.Body.From, To: in.Body.To, Cursor: after,
			})
			return replayedDeliveries{Replayed: n, NextCursor: h.cursor(s, name, next)}, err
		})
}

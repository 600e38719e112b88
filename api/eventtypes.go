package api

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/webhooks"
)

// EventTypeBody is something that tenants can subscribe to (product 71).
type EventTypeBody struct {
	Key         string     `json:"key"`
	Name        string     `json:"name"`
	Description string     `json:"description"`
	Category    string     `json:"category"`
	Builtin     bool       `json:"builtin" doc:"Happens by itself; it can be switched, not changed"`
	Enabled     bool       `json:"enabled" doc:"Offered to tenants and delivered"`
	CreatedAt   *time.Time `json:"created_at" doc:"null of built-in ones"`
	UpdatedAt   *time.Time `json:"updated_at"`
}

func showEventType(t webhooks.EventType) EventTypeBody {
	return EventTypeBody{
		Key: t.Key, Name: t.Name, Description: t.Description, Category: t.Category, Builtin: t.Builtin, Enabled: t.Enabled,
		CreatedAt: optional(t.CreatedAt), UpdatedAt: optional(t.UpdatedAt),
	}
}

type offeredEventType struct {
	Key         string `json:"key"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Category    string `json:"category"`
}

func showOffered(t webhooks.EventType) offeredEventType {
	return offeredEventType{Key: t.Key, Name: t.Name, Description: t.Description, Category: t.Category}
}

type listEventTypes struct {
	Category string `query:"category" maxLength:"200" doc:"Exactly"`
	Query    string `query:"q" maxLength:"200" doc:"Part of key or name"`
}

func (in *listEventTypes) wants(t webhooks.EventType) bool {
	q := strings.ToLower(in.Query)
	return (in.Category == "" || in.Category == t.Category) &&
		(strings.Contains(strings.ToLower(t.Key), q) || strings.Contains(strings.ToLower(t.Name), q))
}

func chosen(list []webhooks.EventType, in *listEventTypes) (kept []webhooks.EventType) {
	for _, t := range list {
		if in.wants(t) {
			kept = append(kept, t)
		}
	}
	return kept
}

type createEventType struct {
	Body struct {
		Key         string `json:"key" maxLength:"100" pattern:"^[a-zA-Z0-9_]+(\\.[a-zA-Z0-9_]+)*$" doc:"Words joined by dots, such as invoice.paid; it never changes"`
		Name        string `json:"name,omitempty" maxLength:"200"`
		Description string `json:"description,omitempty" maxLength:"1000"`
		Category    string `json:"category,omitempty" maxLength:"200"`
		Enabled     *bool  `json:"enabled,omitempty" doc:"true when absent"`
	}
}

// EventTypePath names an event type.
type EventTypePath struct {
	EventType string `path:"et" maxLength:"100" doc:"Key of the event type"`
}

type updateEventType struct {
	EventTypePath
	Body struct {
		Name        *string `json:"name,omitempty" maxLength:"200"`
		Description *string `json:"description,omitempty" maxLength:"1000"`
		Category    *string `json:"category,omitempty" maxLength:"200"`
		Enabled     *bool   `json:"enabled,omitempty"`
	}
}

type triggerEvent struct {
	Body struct {
		EventKey   string                     `json:"event_key" maxLength:"100" doc:"Key of an enabled event type of the environment's own"`
		TenantID   string                     `json:"tenant_id" maxLength:"63" doc:"Id or key of the tenant whose subscribers hear of it"`
		Properties map[string]json.RawMessage `json:"properties" doc:"title and description are required and always sent; more may stand beside them"`
		Channels   struct {
			Webhook json.RawMessage `json:"webhook" doc:"true, or an object of further properties for webhooks"`
		} `json:"channels"`
	}
}

type triggeredEvent struct {
	ID         string `json:"id" doc:"The webhook-id of its requests"`
	Deliveries int    `json:"deliveries" doc:"To how many webhooks it goes"`
}

// custom reads the event out of the body.
func (in *triggerEvent) custom() (webhooks.CustomEvent, error) {
	e := webhooks.CustomEvent{Key: in.Body.EventKey, Properties: map[string]any{}}
	noChannel := refused("no_channel", "Choose a channel: webhook is true or an object.", "channels.webhook")
	webhook, err := exactly(in.Body.Channels.Webhook)
	if err != nil {
		return e, noChannel
	}
	more, isObject := webhook.(map[string]any)
	if !isObject && webhook != true {
		return e, noChannel
	}
	for name, raw := range in.Body.Properties {
		v, err := exactly(raw)
		if err != nil {
			return e, refused("invalid_properties", "The property is not JSON.", "properties")
		}
		text, isText := v.(string)
		switch {
		case name == "title" && isText:
			e.Title = text
		case name == "description" && isText:
			e.Description = text
		default:
			e.Properties[name] = v
		}
	}
	maps.Copy(e.Properties, more)
	return e, nil
}

// exactly decodes JSON and keeps numbers as they are written: an id of 19 digits
// does not fit a float64.
func exactly(raw []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return v, d.Decode(&v)
}

func (h *Handler) registerEventTypes() {
	const base, one = "/event-types", "/event-types/{et}"
	read(h, route{method: http.MethodGet, path: base, id: "listEventTypes", summary: "List the types of events, built-in and your own", permission: staff.ReadEvents},
		func(ctx context.Context, s scope, q db.Queryer, in *listEventTypes) (out list[EventTypeBody], err error) {
			found, err := h.Webhooks.EventTypes(ctx, q, s.environment.ID)
			return whole(chosen(found, in), showEventType), err
		})
	write(h, route{method: http.MethodPost, path: base, id: "createEventType", summary: "Define a type of event, which your application then triggers", permission: staff.WriteEvents, status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, in *createEventType) (EventTypeBody, error) {
			b := in.Body
			t, err := h.Webhooks.CreateEventType(ctx, s.actor, q, webhooks.NewEventType{
				Key: b.Key, Name: b.Name, Description: b.Description, Category: b.Category, Disabled: b.Enabled != nil && !*b.Enabled,
			})
			return showEventType(t), err
		})
	read(h, route{method: http.MethodGet, path: one, id: "getEventType", summary: "Show a type of event", permission: staff.ReadEvents},
		func(ctx context.Context, s scope, q db.Queryer, in *EventTypePath) (EventTypeBody, error) {
			t, err := h.Webhooks.EventType(ctx, q, s.environment.ID, in.EventType)
			return showEventType(t), err
		})
	write(h, route{method: http.MethodPatch, path: one, id: "updateEventType", summary: "Change a type of event, or switch a built-in one", permission: staff.WriteEvents},
		func(ctx context.Context, s scope, q db.Queryer, in *updateEventType) (EventTypeBody, error) {
			t, err := h.Webhooks.UpdateEventType(ctx, s.actor, q, in.EventType, webhooks.EventTypePatch(in.Body))
			return showEventType(t), err
		})
	remove(h, route{method: http.MethodDelete, path: one, id: "deleteEventType", summary: "Remove a type of event of your own", permission: staff.DeleteEvents},
		func(ctx context.Context, s scope, q db.Queryer, in *EventTypePath) error {
			return h.Webhooks.DeleteEventType(ctx, s.actor, q, in.EventType)
		})
	write(h, route{method: http.MethodPost, path: "/events", id: "triggerEvent", summary: "Send an event of your application to a tenant's webhooks", permission: staff.WriteEvents, status: http.StatusAccepted},
		func(ctx context.Context, s scope, q db.Queryer, in *triggerEvent) (triggeredEvent, error) {
			e, err := in.custom()
			if err != nil {
				return triggeredEvent{}, err
			}
			t, err := h.Tenants.Get(ctx, q, s.environment.ID, in.Body.TenantID)
			if err != nil {
				if f, ok := fault.From(err); ok && f.Kind == fault.NotFound {
					err = refused("unknown_tenant", "There is no such tenant.", "tenant_id")
				}
				return triggeredEvent{}, err
			}
			sent, err := h.Webhooks.Trigger(ctx, s.actor, q, t, e)
			return triggeredEvent{ID: sent.ID, Deliveries: sent.Deliveries}, err
		})
	read(h, route{method: http.MethodGet, path: "/tenants/{t}/event-types", id: "listOfferedEventTypes", summary: "List the types of events that this tenant can subscribe to", permission: webhooks.PermissionTypes},
		func(ctx context.Context, s scope, q db.Queryer, in *listOfferedTypes) (out list[offeredEventType], err error) {
			found, err := h.Webhooks.Offered(ctx, q, s.environment.ID)
			return whole(chosen(found, &listEventTypes{Category: in.Category, Query: in.Query}), showOffered), err
		})
}

type listOfferedTypes struct {
	TenantPath
	Category string `query:"category" maxLength:"200" doc:"Exactly"`
	Query    string `query:"q" maxLength:"200" doc:"Part of key or name"`
}

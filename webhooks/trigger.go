package webhooks

import (
	"context"
	"maps"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// CustomEvent is an event of the vendor's own application (product 72).
type CustomEvent struct {
	Key string // of an event type that the environment defines
	// Title and Description are required and always sent.
	Title, Description string
	// Properties are sent beside them.
	Properties map[string]any
}

// Triggered is what became of a custom event.
type Triggered struct {
	ID         string // msg_…, the webhook-id of its requests, if there are any
	Deliveries int    // how many endpoints it goes to
}

const (
	maxTitle      = 200
	maxProperties = 50
)

// Trigger sends a custom event to the tenant's subscribers, after the transaction
// of q. Errors: unknown_event_type where the vendor has not defined the type or
// has switched it off, or where it is a built-in one; tenant_suspended; invalid_title,
// invalid_description, invalid_properties, event_too_large.
func (s *Service) Trigger(ctx context.Context, _ actor.Actor, q db.Queryer, t tenants.Tenant, in CustomEvent) (Triggered, error) {
	var err error
	if in.Title, err = checkText(in.Title, maxTitle, "title", true); err != nil {
		return Triggered{}, within("properties", err)
	}
	if in.Description, err = checkText(in.Description, 4*maxDescription, "description", true); err != nil {
		return Triggered{}, within("properties", err)
	}
	if len(in.Properties) > maxProperties {
		return Triggered{}, invalid("invalid_properties", "Give at most 50 properties.", "properties")
	}
	known, err := s.EventType(ctx, q, t.Environment, in.Key)
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return Triggered{}, err
	}
	if err != nil || known.Builtin || !known.Enabled {
		return Triggered{}, invalid("unknown_event_type", "Define and enable the event type first; built-in ones happen by themselves.", "event_key")
	}
	if t.Status != tenants.StatusActive {
		return Triggered{}, fault.New(fault.Conflict, "tenant_suspended", "The tenant is suspended: nothing is sent for it.").In("tenant_id")
	}
	data := map[string]any{}
	maps.Copy(data, in.Properties)
	data["title"], data["description"] = in.Title, in.Description
	m, err := newMessage(t.ID, in.Key, "", s.clock.Now(), data)
	if err != nil {
		return Triggered{}, invalid("invalid_properties", "The properties cannot be written as JSON.", "properties")
	}
	if len(m.body) >= maxBody {
		return Triggered{}, fault.New(fault.TooLarge, "event_too_large", "The event is larger than 20 kB. Send less and let receivers ask for the rest.").In("properties")
	}
	endpoints, err := subscribers(ctx, q, []string{t.ID})
	if err != nil {
		return Triggered{}, err
	}
	var to []Endpoint
	for _, e := range endpoints[t.ID] {
		if e.wants(in.Key) {
			to = append(to, e)
		}
	}
	var out outgoing
	if len(to) > 0 {
		out.add(m, kindEvent, to...)
	}
	return Triggered{ID: m.id, Deliveries: len(to)}, out.write(ctx, q, s.clock.Now())
}

func within(field string, err error) error {
	if f, ok := fault.From(err); ok {
		return f.In(field + "." + f.Field)
	}
	return err
}

package webhooks

import (
	"encoding/json"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

// maxBody bounds what is sent, in bytes (Standard Webhooks 1.0.0 asks for less
// than 20 kB).
const maxBody = 20_000

// message is one event as it is sent, to any number of endpoints.
type message struct {
	tenant, id, eventType, eventID, body string
}

// envelope is the body of every request (Standard Webhooks 1.0.0, payload structure).
type envelope struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      any       `json:"data"`
}

func newMessage(tenant, eventType, eventID string, at time.Time, data any) (message, error) {
	body, err := json.Marshal(envelope{eventType, at.UTC(), data})
	return message{tenant: tenant, id: id.New(messageID), eventType: eventType, eventID: eventID, body: string(body)}, err
}

// eventData is an event of the audit log as receivers see it.
type eventData struct {
	ID        string                  `json:"id"`
	TenantID  string                  `json:"tenant_id"`
	Action    string                  `json:"action"`
	Outcome   audit.Outcome           `json:"outcome"`
	Severity  audit.Severity          `json:"severity"`
	Actor     eventActor              `json:"actor"`
	Targets   []audit.Target          `json:"targets"`
	Context   audit.Where             `json:"context"`
	Source    string                  `json:"source"`
	Changes   map[string]audit.Change `json:"changes"`
	Metadata  map[string]any          `json:"metadata"`
	Truncated []string                `json:"truncated,omitempty"`
}

type eventActor struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	audit.Who
	Impersonator *eventImpersonator `json:"impersonator,omitempty"`
}

type eventImpersonator struct {
	ID    string `json:"id"`
	Email string `json:"email"`
}

// eventMessage makes a message of an event. What does not fit is left out in the
// order changes, metadata, all but the first target; truncated names it, and the
// audit log has the whole.
func eventMessage(e audit.Entry, eventType string) (message, error) {
	data := eventData{
		ID: e.ID, TenantID: e.Tenant, Action: e.Action, Outcome: e.Outcome, Severity: e.Severity,
		Actor: eventActor{Type: e.Actor.Type, ID: e.Actor.ID, Who: e.Actor}, Source: e.Source, Targets: e.Targets, Context: e.Context, Changes: e.Changes, Metadata: e.Metadata,
	}
	if by := e.Actor.Impersonator; by != nil {
		data.Actor.Impersonator = &eventImpersonator{by.ID, by.Email}
	}
	if data.Changes == nil {
		data.Changes = map[string]audit.Change{}
	}
	if data.Metadata == nil {
		data.Metadata = map[string]any{}
	}
	for _, trim := range []struct {
		name string
		do   func()
	}{
		{"", func() {}},
		{"changes", func() { data.Changes = map[string]audit.Change{} }},
		{"metadata", func() { data.Metadata = map[string]any{} }},
		{"targets", func() { data.Targets = data.Targets[:min(1, len(data.Targets))] }},
	} {
		if trim.do(); trim.name != "" {
			data.Truncated = append(data.Truncated, trim.name)
		}
		m, err := newMessage(e.Tenant, eventType, e.ID, e.OccurredAt, data)
		if err != nil || len(m.body) < maxBody {
			return m, err
		}
	}
	// What is left are some texts of at most 1 kB each.
	data.Context, data.Actor.Name, data.Actor.Email = audit.Where{}, "", ""
	data.Truncated = append(data.Truncated, "context", "actor")
	return newMessage(e.Tenant, eventType, e.ID, e.OccurredAt, data)
}

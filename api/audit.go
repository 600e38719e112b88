package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/db"
)

type auditBody struct {
	ID         string                 `json:"id"`
	OccurredAt time.Time              `json:"occurred_at"`
	RecordedAt time.Time              `json:"recorded_at"`
	Action     string                 `json:"action"`
	Outcome    string                 `json:"outcome" enum:"success,failure,denied"`
	Severity   string                 `json:"severity" enum:"info,medium,high,critical,error"`
	Actor      auditActor             `json:"actor"`
	Targets    []auditTarget          `json:"targets"`
	Context    auditContext           `json:"context"`
	Changes    map[string]auditChange `json:"changes"`
	Metadata   map[string]any         `json:"metadata"`
	Source     string                 `json:"source" enum:"builtin,custom"`
}

type auditActor struct {
	Type         string `json:"type"`
	ID           string `json:"id"`
	Name         string `json:"name"`
	Email        string `json:"email"`
	ConnectionID string `json:"connection_id"`
}

type auditTarget struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Name string `json:"name"`
}

type auditContext struct {
	IP           string `json:"ip"`
	UserAgent    string `json:"user_agent"`
	SessionID    string `json:"session_id"`
	RequestID    string `json:"request_id"`
	ConnectionID string `json:"connection_id"`
}

type auditChange struct {
	From any `json:"from"`
	To   any `json:"to"`
}

func showEvent(e audit.Entry) auditBody {
	out := auditBody{
		ID: e.ID, OccurredAt: e.OccurredAt, RecordedAt: e.RecordedAt, Action: e.Action, Outcome: string(e.Outcome), Severity: string(e.Severity),
		Actor:   auditActor{Type: e.Actor.Type, ID: e.Actor.ID, Name: e.Actor.Name, Email: e.Actor.Email, ConnectionID: e.Actor.Connection},
		Targets: make([]auditTarget, 0, len(e.Targets)), Changes: make(map[string]auditChange, len(e.Changes)), Metadata: e.Metadata, Source: e.Source,
		Context: auditContext{IP: e.Context.IP, UserAgent: e.Context.UserAgent, SessionID: e.Context.Session, RequestID: e.Context.RequestID, ConnectionID: e.Context.Connection},
	}
	for _, t := range e.Targets {
		out.Targets = append(out.Targets, auditTarget(t))
	}
	for field, c := range e.Changes {
		out.Changes[field] = auditChange(c)
	}
	if out.Metadata == nil {
		out.Metadata = map[string]any{}
	}
	return out
}

type listEvents struct {
	TenantList
	Action string    `query:"action" maxLength:"100" doc:"Exactly"`
	Actor  string    `query:"actor" maxLength:"63" doc:"Id of the actor"`
	From   time.Time `query:"from" doc:"Not before this time"`
	To     time.Time `query:"to" doc:"Before this time"`
}

func (h *Handler) registerAudit() {
	read(h, route{method: http.MethodGet, path: "/tenants/{t}/audit-events", id: "listAuditEvents", summary: "Show a tenant's audit log, newest first", permission: "fe.secure.read.audits"},
		func(ctx context.Context, s scope, q db.Queryer, in *listEvents) (out list[auditBody], err error) {
			after, err := h.position(s, "audit", in.Cursor)
			if err != nil {
				return out, err
			}
			found, next, err := h.Audit.List(ctx, q, s.actor, audit.Filter{
				Tenant: s.tenant.ID, Action: in.Action, Actor: in.Actor, From: in.From, To: in.To, Cursor: after, Limit: in.Limit,
			})
			return paged(found, showEvent, h.cursor(s, "audit", next)), err
		})
}

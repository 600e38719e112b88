package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/tenants"
)

const readAudits = "fe.secure.read.audits"

type auditBody struct {
	ID         string                 `json:"id"`
	TenantID   string                 `json:"tenant_id" doc:"Empty: above tenants"`
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
	SentBy     *auditSender           `json:"sent_by,omitempty" doc:"Who vouches for a custom event; absent of built-in ones"`
	Visible    bool                   `json:"visible_to_tenant"`
}

type auditActor struct {
	Type         string             `json:"type"`
	ID           string             `json:"id"`
	Name         string             `json:"name"`
	Email        string             `json:"email"`
	ConnectionID string             `json:"connection_id"`
	TenantID     string             `json:"tenant_id,omitempty" doc:"The account above this one from which the actor came; absent of all others"`
	Impersonator *auditImpersonator `json:"impersonator,omitempty" doc:"Who of the vendor's staff acted as this person; absent when nobody did"`
}

type auditImpersonator struct {
	ID    string `json:"id"`
	Email string `json:"email"`
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
	Location     string `json:"location" doc:"Of a custom event, where it is no address"`
}

type auditChange struct {
	From any `json:"from"`
	To   any `json:"to"`
}

type auditSender struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Name string `json:"name"`
}

func showEvent(e audit.Entry) auditBody {
	c := e.Context
	out := auditBody{
		ID: e.ID, TenantID: e.Tenant, OccurredAt: e.OccurredAt, RecordedAt: e.RecordedAt, Action: e.Action, Outcome: string(e.Outcome), Severity: string(e.Severity),
		Actor:   auditActor{Type: e.Actor.Type, ID: e.Actor.ID, Name: e.Actor.Name, Email: e.Actor.Email, ConnectionID: e.Actor.Connection, TenantID: e.Actor.Tenant},
		Targets: make([]auditTarget, 0, len(e.Targets)), Changes: make(map[string]auditChange, len(e.Changes)), Metadata: e.Metadata, Source: e.Source,
		Context: auditContext{IP: c.IP, UserAgent: c.UserAgent, SessionID: c.Session, RequestID: c.RequestID, ConnectionID: c.Connection, Location: c.Location},
		SentBy:  (*auditSender)(e.SentBy), Visible: e.Visible,
	}
	if by := e.Actor.Impersonator; by != nil {
		out.Actor.Impersonator = &auditImpersonator{ID: by.ID, Email: by.Email}
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

// AuditQuery is what lists and exports of events filter by.
type AuditQuery struct {
	Action   string    `query:"action" json:"action,omitempty" maxLength:"100" doc:"Exactly, or all of a noun: user.*"`
	Actor    string    `query:"actor" json:"actor,omitempty" maxLength:"200" doc:"Id or e-mail address of the actor"`
	Target   string    `query:"target" json:"target,omitempty" maxLength:"200" doc:"Id of a target"`
	Severity []string  `query:"severity" json:"severity,omitempty" maxItems:"5" enum:"info,medium,high,critical,error" doc:"Any of these"`
	Outcome  string    `query:"outcome" json:"outcome,omitempty" enum:"success,failure,denied"`
	Source   string    `query:"source" json:"source,omitempty" enum:"builtin,custom"`
	Q        string    `query:"q" json:"q,omitempty" maxLength:"200" doc:"Text in the action, or in the name, the address or the id of the actor or of a target"`
	From     time.Time `query:"from" json:"from,omitzero" doc:"Not before this time"`
	To       time.Time `query:"to" json:"to,omitzero" doc:"Before this time"`
	Order    string    `query:"order" json:"order,omitempty" enum:"newest,oldest" default:"newest"`
}

func (in AuditQuery) filter(s scope) audit.Filter {
	f := audit.Filter{
		Tenant: s.tenant.ID, Action: in.Action, Actor: in.Actor, Target: in.Target, Outcome: audit.Outcome(in.Outcome), Source: in.Source, Search: in.Q,
		From: in.From, To: in.To, Oldest: in.Order == "oldest", NoImpersonator: hidesImpersonator(s),
	}
	for _, v := range in.Severity {
		f.Severities = append(f.Severities, audit.Severity(v))
	}
	return f
}

// hidesImpersonator: the vendor always sees who impersonated, tenants where the
// environment shows it (product 2.8).
func hidesImpersonator(s scope) bool {
	return s.actor.Tenant != "" && !s.environment.Settings.FeatureOn(tenants.FeatureShowImpersonate)
}

type listEvents struct {
	TenantList
	AuditQuery
}

type listEnvironmentEvents struct {
	PageQuery
	AuditQuery
	TenantID string `query:"tenant_id" maxLength:"63" doc:"Only of this tenant"`
	Above    bool   `query:"above_tenants" doc:"Only events above tenants"`
}

type getEvent struct {
	TenantPath
	Event string `path:"evt" maxLength:"63"`
}

type getEnvironmentEvent struct {
	Event    string `path:"evt" maxLength:"63"`
	TenantID string `query:"tenant_id" maxLength:"63" doc:"The event's tenant; empty: above tenants"`
}

type auditStats struct {
	Today       int       `json:"today" doc:"Events since midnight UTC; 100,000 stands for as many or more"`
	TodayFrom   time.Time `json:"today_from"`
	SevereWeek  int       `json:"severe_week" doc:"High, critical and error of the last seven days, among the newest 100,000 events"`
	SevereSince time.Time `json:"severe_since"`
}

type auditActionBody struct {
	Name        string `json:"name"`
	Severity    string `json:"severity" enum:"info,medium,high,critical,error" doc:"Of a successful one"`
	Description string `json:"description"`
}

type auditColumnBody struct {
	Name    string `json:"name"`
	Default bool   `json:"default" doc:"Shown where the environment chose no columns"`
}

func (h *Handler) registerAudit() {
	read(h, route{method: http.MethodGet, path: "/tenants/{t}/audit-events", id: "listAuditEvents", summary: "Show a tenant's audit log", permission: readAudits},
		func(ctx context.Context, s scope, q db.Queryer, in *listEvents) (list[auditBody], error) {
			return h.listEvents(ctx, s, q, in.filter(s), in.PageQuery)
		})
	read(h, route{method: http.MethodGet, path: "/tenants/{t}/audit-events/{evt}", id: "getAuditEvent", summary: "Show an audit event", permission: readAudits},
		func(ctx context.Context, s scope, q db.Queryer, in *getEvent) (auditBody, error) {
			e, err := h.Audit.Get(ctx, q, s.actor, s.tenant.ID, in.Event)
			if hidesImpersonator(s) {
				e.Actor.Impersonator = nil
			}
			return showEvent(e), err
		})
	read(h, route{method: http.MethodGet, path: "/tenants/{t}/audit-events:stats", id: "getAuditStats", summary: "Count a tenant's audit events", permission: readAudits},
		func(ctx context.Context, s scope, q db.Queryer, _ *TenantPath) (auditStats, error) {
			n, err := h.Audit.Stats(ctx, q, s.actor, s.tenant.ID)
			return auditStats{Today: n.Today, TodayFrom: n.TodayFrom, SevereWeek: n.Severe, SevereSince: n.SevereFrom}, err
		})
	read(h, route{method: http.MethodGet, path: "/audit-events", id: "listEnvironmentAuditEvents", summary: "Show the audit log of all tenants", permission: staff.ReadAudits},
		func(ctx context.Context, s scope, q db.Queryer, in *listEnvironmentEvents) (out list[auditBody], err error) {
			f := in.filter(s)
			f.Tenant, f.Everywhere = in.TenantID, in.TenantID == "" && !in.Above
			if in.TenantID != "" && in.Above {
				return out, refused("invalid_filter", "An event above tenants has no tenant.", "tenant_id")
			}
			return h.listEvents(ctx, s, q, f, in.PageQuery)
		})
	read(h, route{method: http.MethodGet, path: "/audit-events/{evt}", id: "getEnvironmentAuditEvent", summary: "Show an audit event above tenants, or of one", permission: staff.ReadAudits},
		func(ctx context.Context, s scope, q db.Queryer, in *getEnvironmentEvent) (auditBody, error) {
			e, err := h.Audit.Get(ctx, q, s.actor, in.TenantID, in.Event)
			return showEvent(e), err
		})
	read(h, route{method: http.MethodGet, path: "/audit-actions", id: "listAuditActions", summary: "List the built-in actions", permission: staff.ReadAudits},
		func(context.Context, scope, db.Queryer, *struct{}) (list[auditActionBody], error) {
			return whole(audit.Catalogue(), func(a audit.ActionInfo) auditActionBody {
				return auditActionBody{Name: a.Name, Severity: string(a.Severity), Description: a.Description}
			}), nil
		})
	read(h, route{method: http.MethodGet, path: "/audit-columns", id: "listAuditColumns", summary: "List the columns that an environment may choose", permission: staff.ReadAudits},
		func(context.Context, scope, db.Queryer, *struct{}) (list[auditColumnBody], error) {
			standard := len(audit.DefaultColumns())
			n := 0
			return whole(audit.Columns(), func(name string) auditColumnBody {
				n++
				return auditColumnBody{Name: name, Default: n <= standard}
			}), nil
		})
	h.registerCustomAudit()
	h.registerAuditExport()
}

// listEvents shows a page. The order and the list are part of what a cursor is sealed for.
func (h *Handler) listEvents(ctx context.Context, s scope, q db.Queryer, f audit.Filter, page PageQuery) (out list[auditBody], err error) {
	name := []string{"audit", f.Tenant}
	if f.Everywhere {
		name = append(name, "everywhere")
	}
	if f.Oldest {
		name = append(name, "oldest")
	}
	sealed := strings.Join(name, "/")
	if f.Cursor, err = h.position(s, sealed, page.Cursor); err != nil {
		return out, err
	}
	f.Limit = page.Limit
	found, next, err := h.Audit.List(ctx, q, s.actor, f)
	return paged(found, showEvent, h.cursor(s, sealed, next)), err
}

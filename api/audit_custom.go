package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
)

// auditCustom is an event of the vendor's application; its shape takes what
// WorkOS's API sends (product 7.2).
type auditCustom struct {
	Action     string             `json:"action" maxLength:"100" doc:"noun.verb of the application's own, such as invoice.deleted"`
	OccurredAt time.Time          `json:"occurred_at,omitzero" doc:"Now, when absent"`
	Actor      auditCustomActor   `json:"actor"`
	Targets    []auditCustomPart  `json:"targets,omitempty" maxItems:"20"`
	Context    auditCustomContext `json:"context,omitzero"`
	Severity   string             `json:"severity,omitempty" enum:"info,medium,high,critical,error" default:"info"`
	Outcome    string             `json:"outcome,omitempty" enum:"success,failure,denied" default:"success"`
	Metadata   map[string]any     `json:"metadata,omitempty" doc:"At most 50 keys and 8 kB"`
	Key        string             `json:"idempotency_key,omitempty" maxLength:"255" doc:"Sent again within 24 hours, it is the same event"`
}

type auditCustomActor struct {
	Type  string `json:"type,omitempty" maxLength:"255" default:"user" doc:"Any word but scim, management_key, vendor_user and setup_link, which act in Gatehouse itself"`
	ID    string `json:"id,omitempty" maxLength:"255"`
	Name  string `json:"name,omitempty" maxLength:"1024"`
	Email string `json:"email,omitempty" maxLength:"1024"`
}

type auditCustomPart struct {
	Type string `json:"type" maxLength:"255"`
	ID   string `json:"id" maxLength:"255"`
	Name string `json:"name,omitempty" maxLength:"1024"`
}

type auditCustomContext struct {
	Location  string `json:"location,omitempty" maxLength:"255" doc:"Place, or an address where ip is absent"`
	IP        string `json:"ip,omitempty" maxLength:"64" format:"ip" doc:"Address"`
	UserAgent string `json:"user_agent,omitempty" maxLength:"1024"`
}

func (in auditCustom) event() audit.Custom {
	c := audit.Custom{
		Action: in.Action, OccurredAt: in.OccurredAt, ActorType: in.Actor.Type, ActorID: in.Actor.ID, ActorName: in.Actor.Name, ActorEmail: in.Actor.Email,
		IP: in.Context.IP, Location: in.Context.Location, UserAgent: in.Context.UserAgent, Severity: audit.Severity(in.Severity), Outcome: audit.Outcome(in.Outcome),
		Metadata: in.Metadata, IdempotencyKey: in.Key,
	}
	for _, t := range in.Targets {
		c.Targets = append(c.Targets, audit.Target(t))
	}
	return c
}

type createEvent struct {
	TenantPath
	Body auditCustom
}

type createEvents struct {
	TenantPath
	Body struct {
		Events []auditCustom `json:"events" minItems:"1" maxItems:"100"`
		All    bool          `json:"all_or_nothing,omitempty" doc:"Record nothing when one event is refused"`
	}
}

type auditRow struct {
	Index  int        `json:"index" doc:"Place in events, from 0"`
	Status string     `json:"status" enum:"created,duplicate,refused"`
	ID     *string    `json:"id" doc:"Of the event; null when it was refused"`
	Error  *auditFail `json:"error,omitempty" doc:"Why it was refused"`
}

type auditFail struct {
	Code     string `json:"code"`
	Location string `json:"location"`
	Message  string `json:"message"`
}

// customMaxBody lets 100 events of the greatest metadata in.
const customMaxBody = 2 << 20

func (h *Handler) registerCustomAudit() {
	write(h, route{
		method: http.MethodPost, path: "/tenants/{t}/audit-events", id: "createAuditEvent", summary: "Add an event of your application to a tenant's audit log",
		permission: staff.WriteAudits, status: http.StatusCreated,
	}, func(ctx context.Context, s scope, q db.Queryer, in *createEvent) (auditBody, error) {
		done, err := h.Audit.RecordCustom(ctx, s.actor, q, s.tenant.ID, []audit.Custom{in.Body.event()}, true)
		if err != nil {
			return auditBody{}, err
		}
		e, err := h.Audit.Get(ctx, q, s.actor, s.tenant.ID, done[0].ID)
		return showEvent(e), err
	})
	write(h, route{
		method: http.MethodPost, path: "/tenants/{t}/audit-events:batch", id: "createAuditEvents", summary: "Add up to 100 events of your application, with a report of each",
		permission: staff.WriteAudits, maxBody: customMaxBody,
	}, func(ctx context.Context, s scope, q db.Queryer, in *createEvents) (list[auditRow], error) {
		events := make([]audit.Custom, len(in.Body.Events))
		for i, e := range in.Body.Events {
			events[i] = e.event()
		}
		done, err := h.Audit.RecordCustom(ctx, s.actor, q, s.tenant.ID, events, in.Body.All)
		if err != nil {
			return list[auditRow]{}, err
		}
		i := -1
		return whole(done, func(r audit.CustomResult) auditRow {
			i++
			out := auditRow{Index: i, Status: "created", ID: optionalText(r.ID)}
			if r.Duplicate {
				out.Status = "duplicate"
			}
			if f, ok := fault.From(r.Err); ok {
				out.Status, out.Error = "refused", &auditFail{Code: f.Code, Location: f.Field, Message: f.Message}
			}
			return out
		}), nil
	})
}

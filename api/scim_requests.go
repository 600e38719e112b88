package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/scim"
)

type listRequests struct {
	SCIMPath
	PageQuery
	Resource string    `query:"resource_id" maxLength:"63" doc:"Only requests about this resource"`
	Method   string    `query:"method" enum:"GET,POST,PUT,PATCH,DELETE" doc:"Only requests of this method"`
	Status   string    `query:"status" enum:"2xx,3xx,4xx,5xx" doc:"Only answers of this class"`
	Failed   bool      `query:"failed" doc:"Only requests that were refused or failed"`
	From     time.Time `query:"from" doc:"Only requests of this moment or later"`
	To       time.Time `query:"to" doc:"Only requests before this moment"`
}

func (in *listRequests) filter() scim.LogFilter {
	f := scim.LogFilter{Resource: in.Resource, Method: in.Method, Failed: in.Failed, From: in.From, To: in.To, Limit: in.Limit}
	if in.Status != "" {
		f.Status = int(in.Status[0] - '0')
	}
	return f
}

// RequestPath names a request of a connection's provisioning log.
type RequestPath struct {
	SCIMPath
	Request string `path:"r" maxLength:"63" doc:"Id of the request in the log"`
}

type replayRequest struct {
	RequestPath
	Body *struct {
		DryRun bool `json:"dry_run,omitempty" doc:"Do everything, show what would change, and roll it back"`
	}
}

type requestBody struct {
	ID           string          `json:"id"`
	At           time.Time       `json:"at"`
	Method       string          `json:"method"`
	Path         string          `json:"path"`
	Status       int             `json:"status"`
	ResourceID   *string         `json:"resource_id"`
	DialectRules []string        `json:"dialect_rules" doc:"The tolerances of the profile that the request used"`
	Detail       string          `json:"detail" doc:"Why it was refused"`
	Changes      []requestChange `json:"changes"`
	Body         string          `json:"body" doc:"Redacted"`
	DurationMS   float64         `json:"duration_ms"`
	RequestID    string          `json:"request_id"`
	Suggested    *string         `json:"suggested_profile" doc:"The profile that the client looked like, when that is not the connection's"`
	ReplayOf     *string         `json:"replay_of" doc:"The request that this one repeated"`
}

type replayed struct {
	DryRun bool    `json:"dry_run"`
	LogID  *string `json:"log_id" doc:"Id of the new request in the log; null for a dry run, which leaves nothing"`
	RequestOutcome
}

// RequestOutcome is what came, or would come, of a repetition.
type RequestOutcome struct {
	Status       int             `json:"status" doc:"What the client would be answered"`
	ResourceID   *string         `json:"resource_id"`
	DialectRules []string        `json:"dialect_rules" doc:"The tolerances of the profile that the request used"`
	Detail       string          `json:"detail" doc:"Why it was refused"`
	Changes      []requestChange `json:"changes" doc:"What it changed, or would change"`
	DurationMS   float64         `json:"duration_ms"`
}

type requestChange struct {
	Attribute string `json:"attribute"`
	From      any    `json:"from"`
	To        any    `json:"to"`
}

func showRequest(e scim.Entry) requestBody {
	return requestBody{
		ID: e.ID, At: e.At, Method: e.Method, Path: e.Path, Status: e.Status, ResourceID: optionalText(e.Resource), DialectRules: rulesOf(e),
		Detail: e.Detail, Changes: changesOf(e), Body: e.Body, RequestID: e.RequestID, DurationMS: milliseconds(e.Duration),
		Suggested: optionalText(e.Suggested), ReplayOf: optionalText(e.ReplayOf),
	}
}

func rulesOf(e scim.Entry) []string {
	if e.Rules == nil {
		return []string{}
	}
	return e.Rules
}

func changesOf(e scim.Entry) []requestChange {
	out := make([]requestChange, 0, len(e.Changes))
	for _, c := range e.Changes {
		out = append(out, requestChange{Attribute: c.Attr, From: jsonValue(c.Old), To: jsonValue(c.New)})
	}
	return out
}

func jsonValue(raw json.RawMessage) any {
	if len(raw) == 0 {
		return nil
	}
	return raw
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// suggestProfile fills in which client the connection's looks like.
func (h *Handler) suggestProfile(ctx context.Context, q db.Queryer, tenant string, b *SCIMBody) error {
	profile, err := h.SCIMLog.Suggested(ctx, q, tenant, b.ID)
	if profile != b.Profile {
		b.Suggested = optionalText(profile)
	}
	return err
}

func (h *Handler) registerSCIMRequests(connection, canRead, canWrite string) {
	all, one := connection+"/requests", connection+"/requests/{r}"
	read(h, route{method: http.MethodGet, path: all, id: "listSCIMRequests", summary: "Show the provisioning log, newest first", permission: canRead},
		func(ctx context.Context, s scope, q db.Queryer, in *listRequests) (out list[requestBody], err error) {
			if _, err := h.Tenants.SCIMConnection(ctx, q, s.tenant.ID, in.Connection); err != nil {
				return out, err
			}
			name := "requests " + in.Connection
			f := in.filter()
			if f.Cursor, err = h.position(s, name, in.Cursor); err != nil {
				return out, err
			}
			// What this replica has not written yet belongs to the answer.
			if err := h.SCIMLog.Flush(ctx); err != nil {
				return out, err
			}
			found, next, err := h.SCIMLog.List(ctx, q, s.tenant.ID, in.Connection, f)
			return paged(found, showRequest, h.cursor(s, name, next)), err
		})
	read(h, route{method: http.MethodGet, path: one, id: "getSCIMRequest", summary: "Show one request of the provisioning log", permission: canRead},
		func(ctx context.Context, s scope, q db.Queryer, in *RequestPath) (requestBody, error) {
			if err := h.SCIMLog.Flush(ctx); err != nil {
				return requestBody{}, err
			}
			e, err := h.SCIMLog.Get(ctx, q, s.tenant.ID, in.Connection, in.Request)
			return showRequest(e), err
		})
	read(h, route{method: http.MethodPost, path: one + ":replay", id: "replaySCIMRequest", summary: "Run a logged request again, or try what it would do", permission: canWrite},
		func(ctx context.Context, s scope, q db.Queryer, in *replayRequest) (out replayed, err error) {
			out.DryRun = value(in.Body).DryRun
			if err := h.SCIMLog.Flush(ctx); err != nil {
				return out, err
			}
			e, err := h.SCIM.Replay(ctx, s.actor, s.tenant.ID, in.Connection, in.Request, out.DryRun)
			if err != nil {
				return out, err
			}
			out.LogID = optionalText(e.ID)
			out.RequestOutcome = RequestOutcome{
				Status: e.Status, ResourceID: optionalText(e.Resource), DialectRules: rulesOf(e), Detail: e.Detail, Changes: changesOf(e),
				DurationMS: milliseconds(e.Duration),
			}
			if out.DryRun {
				return out, nil
			}
			// The changes have events of their own, with the connection as actor: this one says who asked.
			return out, audit.Record(ctx, q, audit.Event{
				Environment: s.environment.ID, Tenant: s.tenant.ID, Action: "scim_request.replayed", Actor: s.actor, Connection: in.Connection, At: h.Clock.Now(),
				Targets:  []audit.Target{{Type: "scim_connection", ID: in.Connection}},
				Metadata: map[string]any{"request": in.Request, "log_id": e.ID, "status": e.Status},
			})
		})
}

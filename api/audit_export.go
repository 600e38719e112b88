package api

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
)

const (
	// exportTime bounds an export, which is not bound by the time of a request.
	exportTime = time.Hour
	// exportStall is how long a reader may take for a piece of about a mebibyte.
	exportStall = time.Minute
	// exportTrailer holds the number of events, after the last of them. A body that
	// ends without it was cut off; so was a connection that ends before its body does.
	exportTrailer = "Gatehouse-Events"
)

type auditExport struct {
	Format  string     `json:"format" enum:"csv,jsonl,ocsf"`
	Columns []string   `json:"columns,omitempty" maxItems:"40" doc:"Of a CSV; absent: those of the environment"`
	Filter  AuditQuery `json:"filter,omitzero"`
}

type exportEvents struct {
	TenantPath
	Body auditExport
}

type exportEnvironmentEvents struct {
	Body struct {
		Format   string     `json:"format" enum:"csv,jsonl,ocsf"`
		Columns  []string   `json:"columns,omitempty" maxItems:"40" doc:"Of a CSV; absent: those of the environment"`
		Filter   AuditQuery `json:"filter,omitzero"`
		TenantID string     `json:"tenant_id,omitempty" maxLength:"63" doc:"Only of this tenant"`
		Above    bool       `json:"above_tenants,omitempty" doc:"Only events above tenants"`
	}
}

func (h *Handler) registerAuditExport() {
	stream(h, route{method: http.MethodPost, path: "/tenants/{t}/audit-events:export", id: "exportAuditEvents", summary: "Download a tenant's audit log", permission: readAudits, unkept: true},
		func(s scope, in *exportEvents) (audit.Filter, auditExport, error) {
			return in.Body.Filter.filter(s), in.Body, nil
		})
	stream(h, route{method: http.MethodPost, path: "/audit-events:export", id: "exportEnvironmentAuditEvents", summary: "Download the audit log of all tenants", permission: staff.ReadAudits, unkept: true},
		func(s scope, in *exportEnvironmentEvents) (audit.Filter, auditExport, error) {
			b := in.Body
			f, body := b.Filter.filter(s), auditExport{Format: b.Format, Columns: b.Columns}
			f.Tenant, f.Everywhere = b.TenantID, b.TenantID == "" && !b.Above
			if b.TenantID != "" && b.Above {
				return f, body, refused("invalid_filter", "An event above tenants has no tenant.", "tenant_id")
			}
			return f, body, nil
		})
}

// stream registers an export: what can be refused is refused before it begins.
func stream[I any](h *Handler, r route, what func(scope, *I) (audit.Filter, auditExport, error)) {
	op := h.operation(r, nil)
	file := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	op.Responses = map[string]*huma.Response{"200": {
		Description: "The events, in pieces. The trailer " + exportTrailer + " counts them; a download without it, or of which the connection ends early, is not whole.",
		Content:     map[string]*huma.MediaType{"text/csv": file, "application/x-ndjson": file},
		Headers: map[string]*huma.Param{
			"Content-Disposition": {Description: "A name for the file", Schema: &huma.Schema{Type: huma.TypeString}},
			"Trailer":             {Description: "The name of the trailer", Schema: &huma.Schema{Type: huma.TypeString}},
		},
	}}
	huma.Register(h.api, op, func(ctx context.Context, in *I) (*huma.StreamResponse, error) {
		s := scopeOf(ctx)
		f, body, err := what(s, in)
		if err != nil {
			return nil, h.refuse(ctx, s, r, err)
		}
		columns := body.Columns
		if len(columns) == 0 {
			columns = s.environment.Settings.AuditColumns
			if audit.CheckColumns(columns) != nil { // of another version
				columns = nil
			}
		}
		x, err := h.Audit.Export(ctx, s.actor, s.tenant.ID, f, audit.Format(body.Format), columns)
		if err != nil {
			return nil, h.refuse(ctx, s, r, err)
		}
		return &huma.StreamResponse{Body: func(hc huma.Context) {
			defer x.Close()
			h.export(hc, x, s, audit.Format(body.Format))
		}}, nil
	})
}

// export writes the answer. When it fails, the answer has begun: the connection
// is cut, so that nobody takes the part for the whole.
func (h *Handler) export(hc huma.Context, x *audit.Export, s scope, format audit.Format) {
	r, w := humachi.Unwrap(hc)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), exportTime)
	defer cancel()
	defer context.AfterFunc(httpx.Connection(r.Context()), cancel)()

	name := "audit-" + h.Clock.Now().UTC().Format(time.DateOnly) + "." + format.Extension()
	if s.tenant.ID != "" {
		name = s.tenant.ID + "-" + name
	}
	w.Header().Set("Content-Type", format.ContentType())
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	w.Header().Set("Trailer", exportTrailer)
	hc.SetStatus(http.StatusOK)

	control := http.NewResponseController(w)
	// The server's deadlines are those of a request. That for reading would end the
	// wait for the reader's going away as if he had gone. A server without deadlines,
	// as in tests, has none to move.
	_ = control.SetReadDeadline(time.Time{})
	events, err := x.Write(ctx, func(piece []byte) error {
		_ = control.SetWriteDeadline(time.Now().Add(exportStall))
		if _, err := w.Write(piece); err != nil {
			return err
		}
		return control.Flush()
	})
	if err != nil {
		if ctx.Err() == nil {
			h.Logger.LogAttrs(r.Context(), slog.LevelWarn, "an audit export ended early", slog.String("error", err.Error()), slog.Int64("events", events))
		}
		panic(http.ErrAbortHandler)
	}
	_ = control.SetWriteDeadline(time.Now().Add(exportStall))
	w.Header().Set(exportTrailer, strconv.FormatInt(events, 10))
}

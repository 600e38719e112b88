package audit

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"strings"
	"time"
	"unicode"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Format is how an export is written.
type Format string

// The formats (product 7.2).
const (
	CSV   Format = "csv"   // RFC 4180, of the chosen columns, safe to open in a spreadsheet
	JSONL Format = "jsonl" // one event per line with everything it holds
	OCSF  Format = "ocsf"  // one event of OCSF 1.3.0 per line
)

// ContentType is the media type of the format.
func (f Format) ContentType() string {
	if f == CSV {
		return "text/csv; charset=utf-8; header=present"
	}
	return "application/x-ndjson"
}

// Extension is that of a file of the format, without a dot.
func (f Format) Extension() string {
	if f == CSV {
		return "csv"
	}
	return "jsonl"
}

// Limits of an export.
const (
	// exportRows and exportBytes bound what of an export is held at a time.
	exportRows  = 1000
	exportBytes = 1 << 20
	// maxExports bounds the exports that run in one process, each of which asks
	// the store as fast as its reader reads; maxOwnExports those of one tenant, or
	// of one environment's vendor, so that nobody keeps all others waiting.
	maxExports    = 16
	maxOwnExports = 2
)

var (
	errFormat     = fault.New(fault.Invalid, "invalid_format", "The format is csv, jsonl or ocsf.").In("format")
	errTooMany    = &fault.Error{Kind: fault.Limited, Code: "too_many_exports", Message: "Other exports are running. Try again in a minute.", RetryAfter: time.Minute}
	errNoExporter = fault.New(fault.Invalid, "invalid_filter", "An export begins at one end of the log.").In("cursor")
)

// Export is an export that has been checked, recorded and counted, and is yet to be written.
type Export struct {
	log     *Log
	owner   string
	search  search
	format  Format
	columns []column
}

// Export prepares an export of what the filter asks for and happened before now;
// the columns are those of a CSV, empty for the default. It records that the actor
// exported the log, in the log of tenant, which the caller has found in the actor's
// environment; empty: above tenants. The caller has authorized the actor to read
// it, and calls Close whatever happens.
func (l *Log) Export(ctx context.Context, a actor.Actor, tenant string, f Filter, format Format, columns []string) (*Export, error) {
	switch format {
	case CSV, JSONL, OCSF:
	default:
		return nil, errFormat
	}
	chosen, err := columnsOf(columns)
	if err != nil {
		return nil, err
	}
	if f.Cursor != "" {
		return nil, errNoExporter
	}
	now := l.clock.Now()
	if f.To.IsZero() || f.To.After(now) {
		f.To = now // an end, so that a log that grows does not make the export endless
	}
	s, err := newSearch(a, f)
	if err != nil {
		return nil, err
	}
	if a.Tenant != "" && tenant != a.Tenant {
		return nil, errTenant
	}
	x := &Export{log: l, owner: a.Tenant, search: s, format: format, columns: chosen}
	if x.owner == "" {
		x.owner = a.Environment
	}
	if !l.admitExport(x.owner) {
		return nil, errTooMany
	}
	filter := f.describe()
	if f.Tenant != "" && f.Tenant != tenant {
		filter["tenant_id"] = f.Tenant
	}
	e := Event{
		Environment: a.Environment, Tenant: tenant, Action: "audit.exported", Actor: a, At: now,
		Metadata: map[string]any{"format": string(format), "filter": filter},
	}
	if err := l.RecordAlone(ctx, e); err != nil {
		x.Close()
		return nil, err
	}
	return x, nil
}

// admitExport counts an export unless there are enough.
func (l *Log) admitExport(owner string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	total := 0
	for _, n := range l.exports {
		total += n
	}
	if total >= maxExports || l.exports[owner] >= maxOwnExports {
		return false
	}
	l.exports[owner]++
	return true
}

// describe tells what was asked for, for the log.
func (f *Filter) describe() map[string]any {
	out := map[string]any{}
	for k, v := range map[string]string{
		"action": f.Action, "actor": f.Actor, "target": f.Target, "q": f.Search, "outcome": string(f.Outcome), "source": f.Source,
	} {
		if v != "" {
			out[k] = v
		}
	}
	if len(f.Severities) > 0 {
		out["severity"] = f.Severities
	}
	if !f.From.IsZero() {
		out["from"] = instant(f.From)
	}
	if !f.To.IsZero() {
		out["to"] = instant(f.To)
	}
	if f.Everywhere {
		out["all_tenants"] = true
	}
	return out
}

// Close lets the next export run.
func (x *Export) Close() {
	if x.log == nil {
		return
	}
	x.log.mu.Lock()
	defer x.log.mu.Unlock()
	if x.log.exports[x.owner]--; x.log.exports[x.owner] == 0 {
		delete(x.log.exports, x.owner)
	}
	x.log = nil
}

// Write writes the export in pieces of about a mebibyte, each read from the store
// at once and written when the store is free again: neither a transaction nor a
// connection stays open for as long as the reader takes. It returns how many
// events it wrote. What it wrote before an error is not an export: the caller
// makes the reader see that.
func (x *Export) Write(ctx context.Context, write func([]byte) error) (events int64, err error) {
	var b bytes.Buffer
	encode := x.encoder(&b)
	at := x.search.start
	for {
		next, more, err := x.search.stretch(ctx, x.log.db, at, exportRows, scanLimit, func(r *row) (bool, error) {
			e, ok, err := x.search.entry(r)
			if err != nil || !ok {
				return false, err
			}
			events++
			if err := encode(&e); err != nil {
				return false, err
			}
			return b.Len() >= exportBytes, nil
		})
		if err != nil {
			return events, err
		}
		if b.Len() > 0 {
			if err := write(b.Bytes()); err != nil {
				return events, err
			}
			b.Reset()
		}
		if !more {
			return events, nil
		}
		at = next
	}
}

// encoder writes entries to b; that of a CSV begins with the names of its columns.
func (x *Export) encoder(b *bytes.Buffer) func(*Entry) error {
	if x.format != CSV {
		lines := json.NewEncoder(b)
		lines.SetEscapeHTML(false)
		if x.format == OCSF {
			return func(e *Entry) error { return lines.Encode(ocsf(e)) }
		}
		return func(e *Entry) error { return lines.Encode(native(e)) }
	}
	w := csv.NewWriter(b)
	w.UseCRLF = true // RFC 4180 §2
	cells := make([]string, len(x.columns))
	for i, c := range x.columns {
		cells[i] = harmless(c.name) // a key of the metadata may be anything
	}
	_ = w.Write(cells) // to a buffer
	w.Flush()
	return func(e *Entry) error {
		for i, c := range x.columns {
			cells[i] = harmless(c.cell(e))
		}
		if err := w.Write(cells); err != nil {
			return err
		}
		w.Flush()
		return w.Error()
	}
}

// harmless makes a cell that a spreadsheet takes for text: where a formula would
// begin it puts an apostrophe (product 7.2, OWASP CSV injection). That is at the
// beginning of the cell, whatever blanks stand there, and behind what another
// country's settings take for the end of a cell. NUL, which ends a text for some
// readers, goes.
func harmless(cell string) string {
	if !strings.ContainsAny(cell, formulaBegins+"\x00\t\r\n") {
		return cell
	}
	var b strings.Builder
	begin, blank := true, 0 // blank: from where on there are only blanks
	for _, c := range cell {
		line := c == '\t' || c == '\r' || c == '\n'
		switch {
		case c == 0:
			continue
		case line && b.Len() == 0:
			b.WriteByte('\'')
		case begin && strings.ContainsRune(formulaBegins, c):
			text := b.String()
			b.Reset()
			b.WriteString(text[:blank] + "'" + text[blank:])
			begin = false
		case c != '"' && !unicode.IsSpace(c) && !unicode.IsControl(c) && !unicode.Is(unicode.Cf, c):
			begin = false
		}
		b.WriteRune(c)
		if line || c == ';' {
			begin, blank = true, b.Len()
		}
	}
	return b.String()
}

// formulaBegins are the characters by which a formula begins, also as wide ones.
const formulaBegins = "=+-@\uff1d\uff0b\uff0d\uff20"

// nativeEvent is the line of an export in JSONL, the fields named as in the API.
type nativeEvent struct {
	ID         string            `json:"id"`
	TenantID   string            `json:"tenant_id"`
	OccurredAt time.Time         `json:"occurred_at"`
	RecordedAt time.Time         `json:"recorded_at"`
	Action     string            `json:"action"`
	Outcome    Outcome           `json:"outcome"`
	Severity   Severity          `json:"severity"`
	Actor      nativeActor       `json:"actor"`
	Targets    []Target          `json:"targets"`
	Context    Where             `json:"context"`
	Changes    map[string]Change `json:"changes"`
	Metadata   map[string]any    `json:"metadata"`
	Source     string            `json:"source"`
	SentBy     *Sender           `json:"sent_by,omitempty"`
	Visible    bool              `json:"visible_to_tenant"`
}

type nativeActor struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Who
	Impersonator *impersonator `json:"impersonator,omitempty"`
}

func native(e *Entry) nativeEvent {
	out := nativeEvent{
		ID: e.ID, TenantID: e.Tenant, OccurredAt: e.OccurredAt, RecordedAt: e.RecordedAt, Action: e.Action, Outcome: e.Outcome, Severity: e.Severity,
		Actor: nativeActor{Type: e.Actor.Type, ID: e.Actor.ID, Who: e.Actor}, Targets: e.Targets, Context: e.Context, Changes: e.Changes,
		Metadata: e.Metadata, Source: e.Source, SentBy: e.SentBy, Visible: e.Visible,
	}
	if by := e.Actor.Impersonator; by != nil {
		out.Actor.Impersonator = &impersonator{ID: by.ID, Email: by.Email}
	}
	return out
}

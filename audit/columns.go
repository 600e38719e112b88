package audit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// column gives an entry's value as a cell shows it.
type column struct {
	name string
	cell func(*Entry) string
}

func instant(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func document(v any) string {
	b, err := json.Marshal(v)
	if err != nil || string(b) == "null" || string(b) == "{}" {
		return ""
	}
	return string(b)
}

func targetsText(e *Entry) string {
	list := make([]string, len(e.Targets))
	for i, t := range e.Targets {
		list[i] = t.Type + " " + t.Name
		if t.Name == "" {
			list[i] = t.Type + " " + t.ID
		}
	}
	return strings.Join(list, "; ")
}

func targetIDs(e *Entry) string {
	list := make([]string, len(e.Targets))
	for i, t := range e.Targets {
		list[i] = t.ID
	}
	return strings.Join(list, "; ")
}

// columns are those of product 2.8 and whatever else an event holds.
var columns = []column{
	{"occurred_at", func(e *Entry) string { return instant(e.OccurredAt) }},
	{"actor_name", func(e *Entry) string { return e.Actor.Name }},
	{"actor_email", func(e *Entry) string { return e.Actor.Email }},
	{"action", func(e *Entry) string { return e.Action }},
	{"targets", targetsText},
	{"severity", func(e *Entry) string { return string(e.Severity) }},
	{"ip", func(e *Entry) string { return e.Context.IP }},
	{"user_agent", func(e *Entry) string { return e.Context.UserAgent }},
	{"metadata", func(e *Entry) string { return document(e.Metadata) }},
	{"outcome", func(e *Entry) string { return string(e.Outcome) }},
	{"impersonator", func(e *Entry) string {
		if e.Actor.Impersonator == nil {
			return ""
		}
		return e.Actor.Impersonator.Email
	}},
	{"changes", func(e *Entry) string { return document(e.Changes) }},
	{"id", func(e *Entry) string { return e.ID }},
	{"recorded_at", func(e *Entry) string { return instant(e.RecordedAt) }},
	{"tenant_id", func(e *Entry) string { return e.Tenant }},
	{"actor_id", func(e *Entry) string { return e.Actor.ID }},
	{"actor_type", func(e *Entry) string { return e.Actor.Type }},
	{"target_ids", targetIDs},
	{"location", func(e *Entry) string { return e.Context.Location }},
	{"session_id", func(e *Entry) string { return e.Context.Session }},
	{"request_id", func(e *Entry) string { return e.Context.RequestID }},
	{"connection_id", func(e *Entry) string { return e.Context.Connection }},
	{"source", func(e *Entry) string { return e.Source }},
	{"sent_by", func(e *Entry) string {
		if e.SentBy == nil {
			return ""
		}
		return e.SentBy.ID
	}},
}

// defaultColumns is how many of columns are shown where nobody chose: time, user,
// e-mail, action, resource, severity, address, user agent and the free JSON.
const defaultColumns = 9

const (
	maxColumns = 40
	// metadataColumn begins the name of a column of one key of the metadata.
	metadataColumn = "metadata."
)

// Columns lists the columns that an environment may choose for its tenants'
// audit page and exports (product 68). Beside them, metadata.<key> shows one key
// of the metadata.
func Columns() []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	return names
}

// DefaultColumns are shown where the environment chose none.
func DefaultColumns() []string { return Columns()[:defaultColumns] }

// CheckColumns refuses names that are not columns, double ones and more than 40.
func CheckColumns(names []string) error {
	_, err := columnsOf(names)
	return err
}

func columnsOf(names []string) ([]column, error) {
	if len(names) == 0 {
		return columns[:defaultColumns], nil
	}
	refuse := func(i int, message string) ([]column, error) {
		return nil, fault.New(fault.Invalid, "invalid_column", message).In(fmt.Sprintf("columns[%d]", i))
	}
	if len(names) > maxColumns {
		return refuse(maxColumns, "Choose at most 40 columns.")
	}
	list := make([]column, len(names))
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return refuse(i, "The column is there already.")
		}
		if key, ok := strings.CutPrefix(name, metadataColumn); ok && key != "" && text(key, maxCustomText) {
			list[i] = column{name, func(e *Entry) string { return metadataText(e.Metadata[key]) }}
			continue
		}
		at := slices.IndexFunc(columns, func(c column) bool { return c.name == name })
		if at < 0 {
			return refuse(i, "There is no such column.")
		}
		list[i] = columns[at]
	}
	return list, nil
}

func metadataText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	return document(v)
}

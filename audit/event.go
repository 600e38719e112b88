package audit

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

// Outcome says how the action ended. The zero value stands for Success.
type Outcome string

// The outcomes.
const (
	Success Outcome = "success"
	Failure Outcome = "failure"
	Denied  Outcome = "denied"
)

// Severity says how much attention an event deserves.
type Severity string

// The severities (product 2.8).
const (
	Info     Severity = "info"
	Medium   Severity = "medium"
	High     Severity = "high"
	Critical Severity = "critical"
	Error    Severity = "error"
)

// Target is what the action was done to.
type Target struct {
	Type string `json:"type"` // user, tenant, group, …
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

// Change is a field's value before and after.
type Change struct {
	From any `json:"from"`
	To   any `json:"to"`
}

// Event is something that happened.
type Event struct {
	Environment string
	Tenant      string  // empty: above tenants
	Action      string  // of the catalogue, such as user.created
	Outcome     Outcome // empty: Success
	// Severity is the catalogue's when empty; a denied or failed action weighs
	// at least Medium.
	Severity Severity
	Actor    actor.Actor
	Targets  []Target
	// Changes are masked where the name of the field says that the value is a
	// secret; callers still do not put secrets here.
	Changes  map[string]Change
	Metadata map[string]any
	// Connection and Session default to those of the actor.
	Connection string
	Session    string
	// At is the time of the transaction; the zero time stands for now.
	At time.Time
	// Hidden keeps the event from the tenant's own log and webhooks.
	Hidden bool
}

// Limits of what one event stores.
const (
	maxText     = 1024       // bytes of one text in changes, targets or context
	maxDocument = 256 * 1024 // bytes of each document
	maxTargets  = 100
)

const masked = "(hidden)"

// Stmts gives the statements that record the event, to be batched with those of
// the change. An unknown action is an error: the catalogue must know it.
func Stmts(e Event) ([]db.Stmt, error) {
	row, err := newRow(e)
	if err != nil {
		return nil, err
	}
	return row.stmts(), nil
}

// stmts stores the row, and tells those who wait for what tenants may see.
func (r *row) stmts() []db.Stmt {
	stmts := []db.Stmt{r.insert()}
	if r.Visible {
		stmts = append(stmts, db.Stmt{SQL: sqlInsertOutbox, Args: []any{r.Tenant, r.ID, r.Recorded, r.Action}})
	}
	return stmts
}

func newRow(e Event) (row, error) {
	entry, ok := catalogue[e.Action]
	if !ok {
		return row{}, fmt.Errorf("audit: action %q is not in the catalogue", e.Action)
	}
	row := row{
		Tenant: e.Tenant, ID: id.New(id.Event), Environment: e.Environment, Action: e.Action,
		Outcome: e.Outcome, Severity: e.Severity, ActorType: string(e.Actor.Kind), ActorID: e.Actor.Subject,
		Source: sourceBuiltin, Visible: !e.Hidden,
	}
	if row.Environment == "" {
		row.Environment = e.Actor.Environment
	}
	if row.Outcome == "" {
		row.Outcome = Success
	}
	if row.Severity == "" {
		row.Severity = entry
		if row.Outcome != Success && row.Severity == Info {
			row.Severity = Medium
		}
	}
	if row.ActorType == "" {
		row.ActorType = string(actor.Anonymous)
	}
	at := e.At
	if at.IsZero() {
		at = clock.System{}.Now()
	}
	row.Occurred, row.Recorded = db.At(at), db.At(at)
	return row, row.documents(e, origin{})
}

// Who is the actor as the log shows it.
type Who struct {
	Type       string `json:"-"`
	ID         string `json:"-"`
	Name       string `json:"name,omitempty"`
	Email      string `json:"email,omitempty"`
	Connection string `json:"connection_id,omitempty"`
	Tenant     string `json:"tenant_id,omitempty"` // of a parent's actor in a sub-account: that parent
	// Impersonator is the vendor's person who acted as this actor; nil when nobody
	// did, or where the environment does not show it to tenants.
	Impersonator *actor.Impersonator `json:"-"`
}

// Where is the circumstances of an event.
type Where struct {
	IP         string `json:"ip,omitempty"`
	UserAgent  string `json:"user_agent,omitempty"`
	Session    string `json:"session_id,omitempty"`
	RequestID  string `json:"request_id,omitempty"`
	Connection string `json:"connection_id,omitempty"`
	Location   string `json:"location,omitempty"` // of a custom event, where it is no address
}

// Sender is the credential that vouches for a custom event.
type Sender struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

// origin is what the context document holds beside the circumstances. It stands
// there and not with the actor so that a search for an actor does not find it.
type origin struct {
	Impersonator *impersonator `json:"impersonator,omitempty"`
	SentBy       *Sender       `json:"sent_by,omitempty"`
	location     string
}

type impersonator struct {
	ID    string `json:"id"`
	Email string `json:"email,omitempty"`
}

type contextDocument struct {
	Where
	origin
}

func (r *row) documents(e Event, o origin) error {
	where := Where{
		UserAgent: e.Actor.UserAgent, Session: e.Session, RequestID: e.Actor.RequestID, Connection: e.Connection, Location: cut(o.location),
	}
	if by := e.Actor.Impersonator; by != (actor.Impersonator{}) {
		o.Impersonator = &impersonator{ID: by.ID, Email: cut(by.Email)}
	}
	if e.Actor.IP.IsValid() {
		where.IP = e.Actor.IP.String()
	}
	if where.Session == "" {
		where.Session = e.Actor.Session
	}
	if where.Connection == "" {
		where.Connection = e.Actor.Connection
	}
	where.UserAgent, where.RequestID = cut(where.UserAgent), cut(where.RequestID)
	targets := e.Targets
	if len(targets) > maxTargets {
		targets = targets[:maxTargets]
	}
	if targets == nil {
		targets = []Target{}
	} else {
		targets = append([]Target(nil), targets...)
		for i := range targets {
			targets[i].Name = cut(targets[i].Name)
		}
	}
	changes := make(map[string]Change, len(e.Changes))
	for field, c := range e.Changes {
		if isSecret(field) {
			c = Change{From: mask(c.From), To: mask(c.To)}
		}
		changes[field] = Change{From: cutAny(c.From), To: cutAny(c.To)}
	}
	metadata := make(map[string]any, len(e.Metadata))
	for k, v := range e.Metadata {
		if isSecret(k) {
			v = mask(v)
		}
		if o.SentBy == nil { // a custom event's is bounded as a whole
			v = cutAny(v)
		}
		metadata[k] = v
	}
	for _, d := range []struct {
		to    *string
		from  any
		large any // stands for a document that is too large
	}{
		{&r.Actor, Who{Name: cut(e.Actor.Name), Email: cut(e.Actor.Email), Connection: e.Actor.Connection, Tenant: e.Actor.Home}, Who{}},
		{&r.Targets, targets, targets[:min(1, len(targets))]},
		{&r.Context, contextDocument{where, o}, Where{}},
		{&r.Changes, changes, map[string]Change{"truncated": {nil, true}}},
		{&r.Metadata, metadata, map[string]any{"truncated": true}},
	} {
		text, err := json.Marshal(d.from)
		if err == nil && len(text) > maxDocument {
			text, err = json.Marshal(d.large)
		}
		if err != nil {
			return fmt.Errorf("audit: %s: %w", e.Action, err)
		}
		*d.to = string(text)
	}
	return nil
}

// secretWords are the parts of a field's name by which its value is masked.
var secretWords = []string{"secret", "password", "private_key", "bearer", "recovery_code", "cookie"}

func isSecret(field string) bool {
	field = strings.ToLower(field)
	if field == "token" || strings.HasSuffix(field, "_token") || strings.HasSuffix(field, ".token") {
		return true
	}
	for _, w := range secretWords {
		if strings.Contains(field, w) {
			return true
		}
	}
	return false
}

func mask(v any) any {
	if v == nil || v == "" || v == false || v == true {
		return v // says that there was or is none, which is worth telling
	}
	return masked
}

func cutAny(v any) any {
	if s, ok := v.(string); ok {
		return cut(s)
	}
	return v
}

// cut bounds a text, makes it valid UTF-8 and drops NUL, which PostgreSQL does
// not store.
func cut(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	}
	return s
}

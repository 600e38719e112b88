package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

const sourceCustom = "custom"

// Limits of custom events (product 7.2).
const (
	MaxCustomBatch  = 100
	MaxMetadataKeys = 50
	MaxMetadata     = 8 << 10 // bytes of JSON
	maxCustomTarget = 20
	maxCustomAction = 100 // bytes
	maxCustomText   = 255 // bytes of an id, a key, a type or a severity
	maxAhead        = 5 * time.Minute
	// keyLifetime is how long an idempotency key stands for its event.
	keyLifetime = 24 * time.Hour
)

// earliest bounds what an application may import from before it used Gatehouse.
var earliest = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// Custom is an event of the vendor's own application (product 69).
type Custom struct {
	Action     string    // noun.verb of the application's own, such as invoice.deleted
	OccurredAt time.Time // zero: now; at most 5 minutes ahead and not before 2000
	ActorType  string    // empty: user; none of those that Gatehouse alone can vouch for
	ActorID    string
	ActorName  string
	ActorEmail string
	Targets    []Target // at most 20
	IP         string   // address
	Location   string   // place; an address where IP is empty
	UserAgent  string
	Severity   Severity // empty: Info
	Outcome    Outcome  // empty: Success
	Metadata   map[string]any
	// IdempotencyKey names the event for 24 hours within the tenant: sent again, it
	// is the same event.
	IdempotencyKey string
}

// CustomResult is what became of one event of a batch.
type CustomResult struct {
	ID        string // of the event, empty when it was refused
	Duplicate bool   // the event was there already, by its idempotency key
	Err       error  // a *fault.Error
}

// The refusals of custom events.
var (
	ErrCustomKey    = fault.New(fault.Invalid, "idempotency_key_reused", "The idempotency key belongs to another event.").In("idempotency_key")
	errCustomSender = fault.New(fault.Forbidden, "forbidden", "Only the vendor's credentials may add events of the application.")
	errCustomBatch  = fault.New(fault.Invalid, "bulk_limit", "Send at least one event and at most 100.").In("events")
)

func invalid(field, message string) *fault.Error {
	return fault.New(fault.Invalid, "invalid_event", message).In(field)
}

// check gives the first mistake of an event, naming the field.
func (c *Custom) check(now time.Time) error {
	if !customAction(c.Action) {
		return invalid("action", "The action is a noun and a verb of small letters, digits and underscores, joined by dots: invoice.deleted.")
	}
	if _, builtin := catalogue[c.Action]; builtin {
		return fault.New(fault.Invalid, "reserved_action", "The name belongs to a built-in event.").In("action")
	}
	if !c.OccurredAt.IsZero() && (c.OccurredAt.After(now.Add(maxAhead)) || c.OccurredAt.Before(earliest)) {
		return invalid("occurred_at", "The time lies more than 5 minutes ahead, or before the year 2000.")
	}
	for _, t := range []struct {
		field, value string
		max          int
	}{
		{"actor.type", c.ActorType, maxCustomText},
		{"actor.id", c.ActorID, maxCustomText},
		{"actor.name", c.ActorName, maxText},
		{"actor.email", c.ActorEmail, maxText},
		{"context.location", c.Location, maxCustomText},
		{"context.ip", c.IP, maxCustomText},
		{"context.user_agent", c.UserAgent, maxText},
		{"idempotency_key", c.IdempotencyKey, maxCustomText},
	} {
		if !text(t.value, t.max) {
			return invalid(t.field, fmt.Sprintf("The text has more than %d bytes, control characters or is not valid UTF-8.", t.max))
		}
	}
	if !actorType(c.ActorType) {
		return invalid("actor.type", "The type is a word such as user, and none of scim, management_key, vendor_user and setup_link, which act in Gatehouse itself.")
	}
	if _, ok := address(c.IP); c.IP != "" && !ok {
		return invalid("context.ip", "The address is not one of IPv4 or IPv6.")
	}
	if c.ActorID == "" && c.ActorEmail == "" && c.ActorName == "" {
		return invalid("actor", "Say who acted: an id, a name or an e-mail address.")
	}
	if len(c.Targets) > maxCustomTarget {
		return invalid("targets", "An event has at most 20 targets.")
	}
	for i, t := range c.Targets {
		if t.ID == "" || t.Type == "" || !text(t.ID, maxCustomText) || !text(t.Type, maxCustomText) || !text(t.Name, maxText) {
			return invalid(fmt.Sprintf("targets[%d]", i), "A target has a type and an id of at most 255 bytes each, without control characters.")
		}
	}
	switch c.Severity {
	case "", Info, Medium, High, Critical, Error:
	default:
		return invalid("severity", "The severity is info, medium, high, critical or error.")
	}
	switch c.Outcome {
	case "", Success, Failure, Denied:
	default:
		return invalid("outcome", "The outcome is success, failure or denied.")
	}
	if len(c.Metadata) > MaxMetadataKeys {
		return fault.New(fault.Invalid, "metadata_too_large", "The metadata has more than 50 keys.").In("metadata")
	}
	for k := range c.Metadata {
		if k == "" || !text(k, maxCustomText) {
			return invalid("metadata", "A key has 1 to 255 bytes of valid UTF-8 without control characters.")
		}
	}
	document, err := json.Marshal(c.Metadata)
	if err != nil {
		return invalid("metadata", "The metadata is not JSON.")
	}
	if len(document) > MaxMetadata {
		return fault.New(fault.Invalid, "metadata_too_large", "The metadata has more than 8 kB.").In("metadata")
	}
	return nil
}

// text reports whether s is one line of text, which no reader of a log takes for more.
func text(s string, most int) bool {
	return len(s) <= most && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// actorType reports whether an application may say that such a one acted. The
// kinds that hold Gatehouse's own credentials are in built-in events only.
func actorType(s string) bool {
	switch actor.Kind(strings.ToLower(s)) {
	case actor.SCIM, actor.Management, actor.Staff, actor.SetupLink:
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:") == ""
}

// customAction reports whether the name has the form of an action: two to four
// words joined by dots.
func customAction(s string) bool {
	words := strings.Split(s, ".")
	if len(s) > maxCustomAction || len(words) < 2 || len(words) > 4 {
		return false
	}
	for _, w := range words {
		if w == "" || w[0] < 'a' || w[0] > 'z' {
			return false
		}
		for i := range len(w) {
			if c := w[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
				return false
			}
		}
	}
	return true
}

func (c *Custom) row(a actor.Actor, tenant string, now time.Time) (row, error) {
	r := row{
		Tenant: tenant, ID: id.New(id.Event), Environment: a.Environment, Recorded: db.At(now), Occurred: db.At(c.OccurredAt),
		Action: c.Action, Outcome: c.Outcome, Severity: c.Severity, ActorType: c.ActorType, ActorID: c.ActorID,
		Source: sourceCustom, Visible: true,
	}
	if c.OccurredAt.IsZero() {
		r.Occurred = r.Recorded
	}
	if r.Outcome == "" {
		r.Outcome = Success
	}
	if r.Severity == "" {
		r.Severity = Info
	}
	if r.ActorType == "" {
		r.ActorType = string(actor.User)
	}
	o := origin{SentBy: &Sender{Type: string(a.Kind), ID: a.Subject, Name: cut(a.Name)}, location: c.Location}
	ip, ok := address(c.IP)
	if !ok {
		if ip, ok = address(c.Location); ok {
			o.location = ""
		}
	}
	err := r.documents(Event{
		Action: c.Action, Targets: c.Targets, Metadata: c.Metadata,
		Actor: actor.Actor{Name: c.ActorName, Email: c.ActorEmail, IP: ip, UserAgent: c.UserAgent, RequestID: a.RequestID, Impersonator: a.Impersonator},
	}, o)
	return r, err
}

// address reads an address without a zone, which would be any text.
func address(s string) (netip.Addr, bool) {
	ip, err := netip.ParseAddr(s)
	if err != nil || ip.Zone() != "" {
		return netip.Addr{}, false
	}
	return ip.Unmap(), true
}

// fingerprint tells whether two events under one idempotency key are the same.
func (c *Custom) fingerprint() (string, error) {
	document, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(document)
	return hex.EncodeToString(sum[:]), nil
}

const (
	// sqlClaimKeys takes a set of texts: a key's hash of 64 characters, an event's id of 30, the
	// event's fingerprint. It returns the keys that were free, or whose 24 hours are over.
	sqlClaimKeys = `INSERT INTO audit_event_keys (tenant_id, key, event_id, fingerprint, created_at)
SELECT $1, SUBSTR(key, 1, 64), SUBSTR(key, 65, 30), SUBSTR(key, 95), CAST($3 AS BIGINT) FROM json_each($2) WHERE TRUE ORDER BY key
ON CONFLICT (tenant_id, key) DO UPDATE SET event_id = excluded.event_id, fingerprint = excluded.fingerprint, created_at = excluded.created_at
WHERE audit_event_keys.created_at < $4 RETURNING key`

	sqlKeys = `SELECT key, event_id, fingerprint FROM audit_event_keys
WHERE tenant_id = $1 AND key IN (SELECT key FROM json_each($2))`
)

// RecordCustom records events of the vendor's application in a tenant's log, in
// the transaction of q, and says of each what became of it. With all, one refusal
// is an error and nothing is recorded. The actor, who must stand above tenants,
// is kept as the one who vouches for them.
func (l *Log) RecordCustom(ctx context.Context, a actor.Actor, q db.Queryer, tenant string, events []Custom, all bool) ([]CustomResult, error) {
	if a.Tenant != "" || tenant == "" {
		return nil, errCustomSender
	}
	if len(events) == 0 || len(events) > MaxCustomBatch {
		return nil, errCustomBatch
	}
	now := l.clock.Now()
	results, rows := make([]CustomResult, len(events)), make([]row, len(events))
	claims := map[string]int{} // key → the first event that brings it
	prints, keys := make([]string, len(events)), make([]string, len(events))
	for i := range events {
		c := &events[i]
		err := c.check(now)
		if err == nil {
			if rows[i], err = c.row(a, tenant, now); err != nil {
				return nil, err
			}
			results[i].ID = rows[i].ID
			if c.IdempotencyKey != "" {
				if prints[i], err = c.fingerprint(); err != nil {
					return nil, err
				}
				sum := sha256.Sum256([]byte(c.IdempotencyKey))
				keys[i] = hex.EncodeToString(sum[:])
				first, again := claims[keys[i]]
				switch {
				case !again:
					claims[keys[i]] = i
				case prints[first] == prints[i]:
					results[i] = CustomResult{ID: rows[first].ID, Duplicate: true}
				default:
					err = ErrCustomKey
				}
			}
		}
		if err != nil {
			results[i] = CustomResult{Err: err}
		}
	}
	if all { // before anything is claimed
		if err := firstRefusal(results, len(events)); err != nil {
			return nil, err
		}
	}
	if err := claimKeys(ctx, q, tenant, now, claims, rows, prints, results); err != nil {
		return nil, err
	}
	for i := range events { // duplicates within the batch follow their first
		if first, again := claims[keys[i]]; again && first != i && results[i].Err == nil {
			results[i].ID, results[i].Err = results[first].ID, results[first].Err
		}
	}
	if all {
		if err := firstRefusal(results, len(events)); err != nil {
			return nil, err
		}
	}
	var stmts []db.Stmt
	for i := range rows {
		if results[i].Err == nil && !results[i].Duplicate {
			stmts = append(stmts, rows[i].stmts()...)
		}
	}
	if len(stmts) == 0 {
		return results, nil
	}
	return results, q.Batch(ctx, stmts)
}

// firstRefusal names the row in the field of its refusal, unless there is one only.
func firstRefusal(results []CustomResult, n int) error {
	for i, r := range results {
		if r.Err == nil {
			continue
		}
		var f *fault.Error
		if n > 1 && errors.As(r.Err, &f) {
			return f.In(fmt.Sprintf("events[%d].%s", i, f.Field))
		}
		return r.Err
	}
	return nil
}

func claimKeys(ctx context.Context, q db.Queryer, tenant string, now time.Time, claims map[string]int, rows []row, prints []string, results []CustomResult) error {
	if len(claims) == 0 {
		return nil
	}
	set := make([]string, 0, len(claims))
	for key, i := range claims {
		set = append(set, key+rows[i].ID+prints[i])
	}
	free := map[string]bool{}
	err := q.Batch(ctx, []db.Stmt{{
		SQL: sqlClaimKeys, Args: []any{tenant, db.Set(set), db.At(now), db.At(now.Add(-keyLifetime))},
		Scan: func(rows db.Rows) error {
			for rows.Next() {
				var key string
				if err := rows.Scan(&key); err != nil {
					return err
				}
				free[key] = true
			}
			return rows.Err()
		},
	}})
	if err != nil || len(free) == len(claims) {
		return err
	}
	var taken []string
	for key := range claims {
		if !free[key] {
			taken = append(taken, key)
		}
	}
	found, err := q.Query(ctx, sqlKeys, tenant, db.Set(taken))
	if err != nil {
		return err
	}
	defer found.Close()
	for found.Next() {
		var key, event, print string
		if err := found.Scan(&key, &event, &print); err != nil {
			return err
		}
		i := claims[key]
		if print == prints[i] {
			results[i] = CustomResult{ID: event, Duplicate: true}
		} else {
			results[i] = CustomResult{Err: ErrCustomKey}
		}
	}
	return found.Err()
}

package webhooks

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// AuditEvent is the type that stands for everything a tenant's audit log shows
// (product 7.2).
const AuditEvent = "audit.event"

// EventType is something that tenants can subscribe to.
type EventType struct {
	Key         string // such as invoice.paid; immutable
	Name        string
	Description string
	Category    string
	// Builtin types are those of the audit catalogue. They can be switched, not
	// changed or deleted.
	Builtin bool
	// Enabled types are offered to tenants. One that is switched off is delivered to
	// nobody, whoever has subscribed to it.
	Enabled   bool
	CreatedAt time.Time // zero for built-in ones
	UpdatedAt time.Time // zero for built-in ones that were never switched
}

// NewEventType is what CreateEventType takes.
type NewEventType struct {
	Key         string
	Name        string // empty: made of the key
	Description string
	Category    string // empty: Custom
	Disabled    bool
}

// EventTypePatch changes what is not nil. Of built-in types only Enabled changes.
type EventTypePatch struct {
	Name, Description, Category *string
	Enabled                     *bool
}

// Limits of event types.
const (
	MaxEventTypes  = 500 // that an environment defines
	maxKey         = 100 // bytes
	maxName        = 200 // bytes
	maxDescription = 1000
	customCategory = "Custom"
)

// keyForm is that of Standard Webhooks 1.0.0: words joined by dots.
var keyForm = regexp.MustCompile(`^[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)*$`)

// offered are the built-in types that tenants see unless the vendor switches them
// off: what product 2.9 lists, in the names of the audit catalogue. The others of
// the catalogue are off until he switches them on.
var offered = []string{
	AuditEvent,
	"application.assigned", "application.unassigned", "plan.assigned", "plan.unassigned",
	"domain.restricted",
	"group.created", "group.deleted", "group.member_added", "group.member_removed", "group.members_replaced",
	"group.roles_updated", "group.updated",
	"invitation.accepted", "invitation.created", "invite_link.used",
	"login.denied", "login.failed", "login.succeeded",
	"membership.access_given", "membership.access_made_permanent", "membership.access_updated",
	"membership.created", "membership.disabled", "membership.enabled", "membership.removed", "membership.revived",
	"membership.roles_updated", "membership.updated",
	"mfa.enrolled", "mfa.removed",
	"password.changed", "password.reset_requested",
	"tenant.updated",
	"tenant_api_token.created", "tenant_api_token.deleted", "user_api_token.created", "user_api_token.deleted",
	"user.activated", "user.created", "user.deleted", "user.deprovisioned", "user.disabled", "user.enabled",
	"user.reprovisioned", "user.signed_up", "user.updated",
}

// vendorNouns begin names of events above tenants, which no tenant hears of, but
// for what is given to a tenant.
var vendorNouns = []string{
	"environment", "application", "management_key", "staff", "signing_key", "event_type", "event_category",
	"permission_category", "feature", "plan", "feature_flag",
}

func ofVendor(key string) bool {
	noun, verb, _ := strings.Cut(key, ".")
	return slices.Contains(vendorNouns, noun) && !strings.HasSuffix(verb, "assigned")
}

// builtins are the built-in types in alphabetical order.
var builtins = func() []EventType {
	list := []EventType{{
		Key: AuditEvent, Name: "Audit event", Category: "Audit log", Builtin: true, Enabled: true,
		Description: "Every event that the audit log of the tenant shows.",
	}}
	for _, key := range audit.Actions() {
		if ofVendor(key) {
			continue
		}
		noun, _, _ := strings.Cut(key, ".")
		list = append(list, EventType{Key: key, Name: words(key), Category: words(noun), Builtin: true, Enabled: slices.Contains(offered, key)})
	}
	slices.SortFunc(list, byKey)
	return list
}()

func byKey(a, b EventType) int { return strings.Compare(a.Key, b.Key) }

func builtin(key string) (EventType, bool) {
	i, ok := slices.BinarySearchFunc(builtins, key, func(t EventType, key string) int { return strings.Compare(t.Key, key) })
	if !ok {
		return EventType{}, false
	}
	return builtins[i], true
}

// words makes a name of a key: "sso_connection.created" becomes "Sso connection created".
func words(key string) string {
	s := strings.NewReplacer(".", " ", "_", " ").Replace(key)
	for _, short := range []string{"sso", "scim", "mfa", "api", "idp", "sp"} {
		if s == short || strings.HasPrefix(s, short+" ") {
			return strings.ToUpper(short) + s[len(short):]
		}
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func checkKey(key string) error {
	if len(key) > maxKey || !keyForm.MatchString(key) {
		return invalid("invalid_key", "Give a key of 1 to 100 letters, digits and underscores, in words joined by dots.", "key")
	}
	if _, ok := builtin(key); ok || slices.Contains(audit.Actions(), key) {
		return fault.New(fault.Conflict, "event_type_exists", "A built-in event type has this key.").In("key")
	}
	return nil
}

func checkText(s string, most int, field string, required bool) (string, error) {
	s = strings.TrimSpace(s)
	if required && s == "" || len(s) > most || strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 && r != '\n' || r == 0x7f }) {
		return "", invalid("invalid_"+field, "The text is empty, too long or has control characters.", field)
	}
	return s, nil
}

func invalid(code, message, field string) error {
	return fault.New(fault.Invalid, code, message).In(field)
}

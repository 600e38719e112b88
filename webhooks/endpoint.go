package webhooks

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

// Endpoint is an address that a tenant has its events sent to (product 73).
type Endpoint struct {
	ID          string // whk_…
	Tenant      string
	Environment string
	Name        string
	URL         string
	EventTypes  []string // keys, in alphabetical order
	Signature   Signature
	Active      bool
	Disabled    Reason    // empty while it is active
	DisabledAt  time.Time // zero while it is active
	// PublicKeys verify v1a signatures, the newest first.
	PublicKeys []string
	// SecretRotatesUntil is when the replaced secret stops signing; zero: there is none.
	SecretRotatesUntil time.Time

	Failures      int64     // in a row
	FailingSince  time.Time // zero: the last attempt went well, or there was none
	LastSuccessAt time.Time
	LastFailureAt time.Time
	Version       int64
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// Reason says why an endpoint is not active.
type Reason string

// The reasons.
const (
	Manual  Reason = "manual"  // somebody switched it off
	Gone    Reason = "gone"    // it answered 410
	Failing Reason = "failing" // every attempt of five days failed
)

// NewEndpoint is what CreateEndpoint takes.
type NewEndpoint struct {
	Name       string // empty: the host of the URL
	URL        string
	EventTypes []string
	Signature  Signature // empty: v1
	Secret     string    // empty: one is made
	Inactive   bool
}

// EndpointPatch changes what is not nil.
type EndpointPatch struct {
	Name, URL  *string
	EventTypes []string
	Active     *bool
}

// Permissions of product 3: the nouns are plural for reading and singular for the rest.
const (
	PermissionRead   = "fe.connectivity.read.webhooks"
	PermissionWrite  = "fe.connectivity.write.webhook"
	PermissionDelete = "fe.connectivity.delete.webhook"
	PermissionTypes  = "fe.connectivity.read.eventCategories"
)

// Limits of endpoints.
const (
	MaxEndpoints     = 50 // of a tenant
	maxSubscriptions = 200
	maxURL           = 2000
)

// Prefixes of the identifiers that only this package makes.
const (
	messageID  = "msg" // of a message, the webhook-id
	deliveryID = "dlv"
	secretID   = "whs"
)

// Errors of objects that are absent or another tenant's: the two look alike.
var (
	ErrTypeNotFound     = fault.New(fault.NotFound, "event_type_not_found", "There is no such event type.")
	ErrEndpointNotFound = fault.New(fault.NotFound, "webhook_not_found", "There is no such webhook.")
	ErrDeliveryNotFound = fault.New(fault.NotFound, "delivery_not_found", "There is no such delivery.")
)

func tooMany(what string) error {
	return fault.New(fault.Conflict, "limit_reached", "There are "+what+" already, which is the limit.")
}

// subscriptions checks the wanted event types against those that are offered, and
// those that the endpoint had before.
func subscriptions(wanted []string, offered map[string]bool, before []string) ([]string, error) {
	if len(wanted) == 0 || len(wanted) > maxSubscriptions {
		return nil, invalid("invalid_event_types", "Choose 1 to 200 event types.", "event_types")
	}
	list := slices.Clone(wanted)
	slices.Sort(list)
	list = slices.Compact(list)
	for _, key := range list {
		if !offered[key] && !slices.Contains(before, key) {
			field := "event_types[" + strconv.Itoa(slices.Index(wanted, key)) + "]"
			return nil, fault.New(fault.Invalid, "unknown_event_type", "There is no such event type to subscribe to.").In(field)
		}
	}
	return list, nil
}

// wants reports whether the endpoint hears of the type.
func (e *Endpoint) wants(key string) bool {
	_, ok := slices.BinarySearch(e.EventTypes, key)
	return ok
}

// actions are the audit actions that the endpoint waits for.
func (e *Endpoint) actions() []string {
	var list []string
	if !e.Active {
		return nil
	}
	for _, key := range e.EventTypes {
		if key == AuditEvent {
			key = audit.AllActions
		} else if _, ok := builtin(key); !ok {
			continue
		}
		list = append(list, key)
	}
	return list
}

func (e *Endpoint) eventTypes() string {
	text, _ := json.Marshal(e.EventTypes) // texts always marshal
	return string(text)
}

func validEndpoint(s string) bool { return id.Valid(id.Webhook, s) }

// host is a name for an endpoint without one.
func host(address string) string {
	_, rest, _ := strings.Cut(address, "://")
	h, _, _ := strings.Cut(rest, "/")
	h, _, _ = strings.Cut(h, "?")
	return h[:min(len(h), maxName)]
}

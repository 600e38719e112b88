package entitlement

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Prefixes of ids.
const (
	featureID     = "ftr"
	planID        = "pln"
	entitlementID = "ent"
)

// Feature is something that is sold (product 92).
type Feature struct {
	ID          string
	Key         string // unique in the environment; never changes
	Name        string
	Description string
	Metadata    map[string]any
	Permissions []string // keys that are of use only with the feature, sorted (product 95)
	Version     int64
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// NewFeature is what CreateFeature takes.
type NewFeature struct {
	Key         string
	Name        string
	Description string
	Metadata    map[string]any
	Permissions []string // keys
}

// FeaturePatch changes what is not nil.
type FeaturePatch struct {
	Name        *string
	Description *string
	Metadata    *map[string]any
	Permissions *[]string // replaces
}

// Flag switches one feature. While it is off it gives Off.
type Flag struct {
	FeatureID  string
	FeatureKey string
	On, Off    bool
	Default    bool // when no rule matches
	Rules      []Rule
	Version    int64
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// Plan is a bundle of features (product 93).
type Plan struct {
	ID             string
	Name           string
	Description    string
	Features       []string // keys, sorted
	Default        bool     // what it gives to everybody whom no rule fits
	Rules          []Rule
	AssignOnSignup bool // new tenants get it
	TimeLimitDays  int  // how long those have it; 0: for ever
	Version        int64
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// NewPlan is what CreatePlan takes.
type NewPlan struct {
	Name           string
	Description    string
	Features       []string // keys
	Default        bool
	Rules          []Rule
	AssignOnSignup bool
	TimeLimitDays  int
}

// PlanPatch changes what is not nil.
type PlanPatch struct {
	Name           *string
	Description    *string
	Features       *[]string // replaces
	Default        *bool
	Rules          *[]Rule // replaces
	AssignOnSignup *bool
	TimeLimitDays  *int
}

// Entitlement is a plan that a tenant has, or one of its users (product 94). Both
// may stand beside each other.
type Entitlement struct {
	ID        string
	Tenant    string
	PlanID    string
	PlanName  string
	UserID    string // empty: everybody of the tenant
	ExpiresAt time.Time
	Version   int64
	CreatedAt time.Time
	UpdatedAt time.Time
}

// NewEntitlement is what Grant takes.
type NewEntitlement struct {
	Tenant    string
	PlanID    string
	UserID    string    // empty: everybody of the tenant
	ExpiresAt time.Time // zero: never
}

// Limits.
const (
	maxFeatures     = 1000 // of an environment
	maxPlans        = 200
	maxLinks        = 100 // permissions of a feature
	maxName         = 200 // bytes of names and keys
	maxDescription  = 2000
	maxMetadata     = 50 // fields
	maxMetadataText = 8 << 10
	maxDays         = 36_500
)

// Faults.
var (
	ErrFeatureNotFound     = fault.New(fault.NotFound, "feature_not_found", "There is no such feature.")
	ErrPlanNotFound        = fault.New(fault.NotFound, "plan_not_found", "There is no such plan.")
	ErrFlagNotFound        = fault.New(fault.NotFound, "flag_not_found", "The feature has no flag.")
	ErrEntitlementNotFound = fault.New(fault.NotFound, "entitlement_not_found", "There is no such entitlement.")
	// ErrNotEntitled: the permission is held, but is of use only with a feature
	// that is not (product 134).
	ErrNotEntitled = fault.New(fault.Forbidden, "not_entitled", "This is not part of the account's plan.")
	// ErrOthers: whoever belongs to a tenant asks about himself, or needs the
	// permission to read users.
	ErrOthers = fault.New(fault.Forbidden, "forbidden_user", "You may ask about yourself only.")

	errFeatureKey = fault.New(fault.Conflict, "key_taken", "Another feature has this key.").In("key")
	errExists     = fault.New(fault.Conflict, "entitlement_exists", "The tenant or user has this plan already. Change its expiry.")
)

func invalid(code, message, field string) *fault.Error {
	return fault.New(fault.Invalid, code, message).In(field)
}

func checkText(s, field string, required bool, limit int) (string, error) {
	s = strings.TrimSpace(s)
	if required && s == "" || len(s) > limit || strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 && r != '\n' || r == 0x7f }) {
		return "", invalid("invalid_text", "Give a text without control characters, up to 200 bytes (2000 for a description).", field)
	}
	return s, nil
}

func checkKey(key string) error {
	ok := key != "" && len(key) <= maxName
	for i := range len(key) {
		c := key[i]
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || i > 0 && strings.IndexByte("._:-", c) >= 0)
	}
	if !ok {
		return invalid("invalid_key", "A key has up to 200 letters, digits and . _ : - and begins with a letter or digit.", "key")
	}
	return nil
}

func checkMetadata(m map[string]any) (string, error) {
	if m == nil {
		m = map[string]any{}
	}
	text, err := json.Marshal(m)
	if err != nil || len(m) > maxMetadata || len(text) > maxMetadataText {
		return "", fault.New(fault.TooLarge, "too_many", "Metadata has at most 50 fields and 8 KiB.").In("metadata")
	}
	return string(text), nil
}

func checkDays(n int) error {
	if n < 0 || n > maxDays {
		return invalid("invalid_days", "Give 0 to 36500 days.", "time_limit_days")
	}
	return nil
}

// rulesText checks rules and gives them as they are stored.
func rulesText(rules []Rule) (string, error) {
	if rules == nil {
		rules = []Rule{}
	}
	text, err := json.Marshal(rules)
	if err != nil || len(text) > maxRulesText {
		return "", errRules
	}
	return string(text), compile(rules)
}

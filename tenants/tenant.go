package tenants

import (
	"strings"
	"time"
	_ "time/tzdata" // the same names on machines that have no time zones

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

// Statuses of a tenant.
const (
	StatusActive    = "active"
	StatusSuspended = "suspended"
)

// Access of a parent's users to its sub-accounts (product 2.10).
const (
	AccessDefaultOff = "default_off"
	AccessDefaultOn  = "default_on"
	AccessAlwaysOn   = "always_on"
)

// Tenant is a customer's account, or a sub-account of one.
type Tenant struct {
	ID          string
	Environment string
	Key         string // immutable, accepted wherever the id is
	ParentID    string // empty at the top
	Name        string
	Status      string
	// SubaccountsEnabled lets the tenant have sub-accounts (product 7).
	SubaccountsEnabled bool
	SubaccountAccess   string
	Details            Details
	Version            int64
	CreatedAt          time.Time
	UpdatedAt          time.Time
}

// Details describe the company (product 22).
type Details struct {
	Address  string `json:"address,omitempty"`
	Website  string `json:"website,omitempty"`
	Timezone string `json:"timezone,omitempty"` // IANA name
	Currency string `json:"currency,omitempty"` // ISO 4217
	Logo     string `json:"logo,omitempty"`     // https address
}

// NewTenant is what CreateTenant takes.
type NewTenant struct {
	Key      string // empty: made of the name
	ParentID string // id or key; empty: at the top
	Name     string
	// SubaccountsEnabled may be set by actors above tenants only. nil: a sub-account
	// has the capability that its parent has, a tenant at the top has none.
	SubaccountsEnabled *bool
	SubaccountAccess   string // empty: default_off
	Details            Details
}

// TenantPatch changes what is not nil. The key never changes.
type TenantPatch struct {
	Name               *string
	Status             *string // by actors above tenants only
	SubaccountsEnabled *bool   // by actors above tenants only
	SubaccountAccess   *string
	Details            *DetailsPatch
}

// DetailsPatch changes what is not nil; empty removes.
type DetailsPatch struct {
	Address, Website, Timezone, Currency, Logo *string
}

// Replace gives the patch that leaves nothing but the details.
func (d Details) Replace() *DetailsPatch {
	return &DetailsPatch{Address: &d.Address, Website: &d.Website, Timezone: &d.Timezone, Currency: &d.Currency, Logo: &d.Logo}
}

func (p DetailsPatch) apply(d *Details) {
	set(&d.Address, p.Address)
	set(&d.Website, p.Website)
	set(&d.Timezone, p.Timezone)
	set(&d.Currency, p.Currency)
	set(&d.Logo, p.Logo)
}

// Filter selects tenants in List.
type Filter struct {
	ParentID string // id; empty: any
	Status   string // empty: any
	Query    string // beginning of the name, in any case, or of the key; empty: any
	After    Position
	Limit    int // 1 to 200; 0: 50
}

// Position is a place in a list ordered by creation.
type Position struct {
	At time.Time
	ID string
}

// MaxPage and DefaultPage bound the lists.
const (
	MaxPage     = 200
	DefaultPage = 50
)

// Limits on text of objects, in bytes.
const (
	maxName    = 200
	maxKey     = 63
	maxDetail  = 1000
	maxSetting = 2000
)

// maxDepth bounds how deep tenants stand below each other; it bounds the rows of
// tenant_closure that one tenant has.
const maxDepth = 50

func page(limit int) int {
	switch {
	case limit <= 0:
		return DefaultPage
	case limit > MaxPage:
		return MaxPage
	}
	return limit
}

func invalid(code, message, field string) error {
	return fault.New(fault.Invalid, code, message).In(field)
}

func checkName(name, field string) (string, error) {
	name = strings.TrimSpace(name)
	if name == "" || len(name) > maxName || hasControl(name) {
		return "", invalid("invalid_name", "Give a name of 1 to 200 bytes without control characters.", field)
	}
	return name, nil
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f })
}

// checkKey holds a tenant's key to lower-case letters, digits and inner hyphens.
// An underscore never occurs, so a key is never taken for an id.
func checkKey(key string) error {
	ok := key != "" && len(key) <= maxKey && key[0] != '-' && key[len(key)-1] != '-'
	for i := range len(key) {
		c := key[i]
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-')
	}
	if !ok {
		return invalid("invalid_key", "A key has 1 to 63 lower-case letters, digits and hyphens, and neither begins nor ends with a hyphen.", "key")
	}
	return nil
}

// keyOf makes a key of a name: its letters and digits, and the last characters
// of the id so that two tenants of one name get along.
func keyOf(name, tenantID string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() >= 40 {
			break
		}
	}
	slug := strings.Trim(b.String(), "-")
	if slug == "" {
		slug = "tenant"
	}
	return slug + "-" + tenantID[len(tenantID)-8:]
}

// isTenantID tells an id from a key.
func isTenantID(s string) bool { return id.Valid(id.Tenant, s) }

func (d Details) check() error {
	for _, f := range []struct{ value, name string }{
		{d.Address, "address"},
		{d.Website, "website"},
		{d.Timezone, "timezone"},
		{d.Currency, "currency"},
		{d.Logo, "logo"},
	} {
		if len(f.value) > maxDetail {
			return invalid("too_long", "The value is longer than 1000 bytes.", "details."+f.name)
		}
		if hasControl(strings.ReplaceAll(f.value, "\n", "")) {
			return invalid("invalid_characters", "The value has control characters.", "details."+f.name)
		}
	}
	if d.Timezone != "" {
		if _, err := time.LoadLocation(d.Timezone); err != nil || d.Timezone == "Local" {
			return invalid("invalid_timezone", "Give the IANA name of a time zone, such as Europe/Berlin.", "details.timezone")
		}
	}
	if d.Website != "" && !httpURL(d.Website) {
		return invalid("invalid_url", "Give an http or https address.", "details.website")
	}
	if d.Logo != "" && (!httpURL(d.Logo) || !strings.HasPrefix(d.Logo, "https://")) {
		return invalid("invalid_url", "Give an https address.", "details.logo")
	}
	notLetter := func(r rune) bool { return r < 'A' || r > 'Z' }
	if d.Currency != "" && (len(d.Currency) != 3 || strings.ContainsFunc(d.Currency, notLetter)) {
		return invalid("invalid_currency", "Give the three letters of ISO 4217, such as EUR.", "details.currency")
	}
	return nil
}

// nameKey is the form in which names are searched.
func nameKey(name string) string { return strings.ToLower(name) }

func checkAccess(s string) error {
	switch s {
	case AccessDefaultOff, AccessDefaultOn, AccessAlwaysOn:
		return nil
	}
	return invalid("invalid_value", "Choose default_off, default_on or always_on.", "subaccount_access")
}

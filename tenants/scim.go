package tenants

import (
	"slices"
	"time"
)

// Statuses of a SCIM connection: pending until its first request.
const (
	SCIMPending = "pending"
	SCIMLinked  = "linked"
	SCIMPaused  = "paused"
)

// What a SCIM DELETE does to a membership (identity rule 10).
const (
	DeleteSoft = "soft"
	DeleteHard = "hard"
)

// SCIMProfiles are the clients whose habits a connection may follow.
var SCIMProfiles = []string{"okta", "entra", "onelogin", "jumpcloud", "google", "ping", "rippling", "generic", "rfc"}

// SCIMConnection is a directory that provisions into a tenant.
type SCIMConnection struct {
	ID          string
	Tenant      string
	Environment string
	Name        string
	Profile     string
	Status      string
	DeleteMode  string
	// MatchingAttribute is an attribute path beyond userName, externalId, e-mails
	// and employeeNumber that the client searches by; empty: none.
	MatchingAttribute string
	// SchemaVersion tells the tenant's extension schemas of one moment from those of
	// another; 0: it never had any.
	SchemaVersion int64
	LastRequestAt time.Time
	Version       int64
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// NewSCIMConnection is what CreateSCIMConnection takes.
type NewSCIMConnection struct {
	Name              string
	Profile           string // empty: generic
	DeleteMode        string // empty: soft
	MatchingAttribute string
}

// SCIMPatch changes what is not nil. Status takes paused, or linked to resume.
type SCIMPatch struct {
	Name              *string
	Profile           *string
	DeleteMode        *string
	MatchingAttribute *string
	Status            *string
}

// SCIMToken is a bearer token of a SCIM connection. Several live at once, so that
// they rotate without a gap.
type SCIMToken struct {
	ID         string
	Connection string
	Name       string
	Last4      string
	ExpiresAt  time.Time // zero: never
	LastUsedAt time.Time // coarse: 5 minutes
	CreatedAt  time.Time
}

// MaxSCIMTokens is how many tokens a connection may have at once.
const MaxSCIMTokens = 10

// lastUsedEvery is how coarse last use is kept, so that a request rarely writes.
const lastUsedEvery = 5 * time.Minute

func checkProfile(p string) error {
	if !slices.Contains(SCIMProfiles, p) {
		return invalid("invalid_profile", "Choose one of okta, entra, onelogin, jumpcloud, google, ping, rippling, generic, rfc.", "profile")
	}
	return nil
}

func checkDeleteMode(m string) error {
	if m != DeleteSoft && m != DeleteHard {
		return invalid("invalid_delete_mode", "Choose soft or hard.", "delete_mode")
	}
	return nil
}

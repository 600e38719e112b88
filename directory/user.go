package directory

import (
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// User is a person in an environment. Email, Name, Locale and Picture are his
// own; identity providers never change them (identity rule 1).
type User struct {
	ID, Environment      string
	Email                string
	EmailVerified        bool // he proved the address to us
	LocalLogin           bool // he may have a password of ours
	PasswordHash         string
	Name, Locale         string
	TimeZone             string // of the tz database; empty: not chosen
	Picture              string
	LockedAt             time.Time
	Version              int64
	CreatedAt, UpdatedAt time.Time
}

// Status of a membership on its way in.
type Status string

// The statuses, in the order in which a membership passes them.
const (
	StatusInvited         Status = "invited"
	StatusPendingApproval Status = "pending_approval"
	StatusPendingLogin    Status = "pending_login"
	StatusActive          Status = "active"
)

// Source says who keeps a membership or a group.
type Source string

// Who keeps it.
const (
	Local Source = "local"
	SSO   Source = "sso"
	SCIM  Source = "scim"
)

// Membership is a user's belonging to a tenant, and what is known of him there.
type Membership struct {
	ID, Tenant, Environment, UserID string
	Status                          Status
	DisabledAt                      time.Time // an admin disabled it
	HiddenAt                        time.Time // its SCIM resources were deleted softly
	ExpiresAt                       time.Time // a guest's access period
	ManagedBy                       Source
	Connection                      string // that created it
	Email                           string
	UserName                        string // folded
	FirstName, LastName             string
	DisplayName                     string
	Metadata                        string // what applications keep of the member, a JSON object; empty: nothing
	SCIMResources, SCIMActive       int64  // live SCIM resources, and how many of them are active
	Version                         int64
	CreatedAt, UpdatedAt            time.Time
}

// Person is a membership with its user.
type Person struct {
	User       User
	Membership Membership
}

// Refusals of a login. Their codes are what sign-in pages and logs show.
var (
	ErrDisabled        = fault.New(fault.Forbidden, "POLICY_USER_DISABLED", "The account is disabled.")
	ErrDeprovisioned   = fault.New(fault.Forbidden, "POLICY_USER_DEPROVISIONED", "The organization's directory has removed or deactivated this account.")
	ErrGuestExpired    = fault.New(fault.Forbidden, "POLICY_GUEST_EXPIRED", "The access period of this account has ended.")
	ErrPendingApproval = fault.New(fault.Forbidden, "POLICY_USER_PENDING_APPROVAL", "The account waits for approval.")
	ErrLinkAmbiguous   = fault.New(fault.Forbidden, "POLICY_LINK_AMBIGUOUS", "More than one account matches this login.")
	ErrLinkTaken       = fault.New(fault.Forbidden, "POLICY_LINK_CONFLICT", "The matching account belongs to another login of the same connection.")
)

// Usable reports whether the membership may log in, refresh and use sessions at
// now (identity rules 9 and 10). The error is one of the refusals above.
func (m Membership) Usable(now time.Time) error {
	switch {
	case !m.DisabledAt.IsZero():
		return ErrDisabled
	case !m.HiddenAt.IsZero(), m.SCIMResources > 0 && m.SCIMActive == 0:
		return ErrDeprovisioned
	case !m.ExpiresAt.IsZero() && !now.Before(m.ExpiresAt):
		return ErrGuestExpired
	case m.Status == StatusPendingApproval:
		return ErrPendingApproval
	}
	return nil
}

// Name is what to call the person in this tenant.
func (m Membership) Name() string {
	switch {
	case m.DisplayName != "":
		return m.DisplayName
	case m.FirstName != "" && m.LastName != "":
		return m.FirstName + " " + m.LastName
	case m.FirstName+m.LastName != "":
		return m.FirstName + m.LastName
	}
	return m.Email
}

// Guest reports whether the membership has an access period (product 27).
func (m Membership) Guest() bool { return !m.ExpiresAt.IsZero() }

package staff

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

// Impersonation is the wish to act as a person in one of his tenants (product 19).
type Impersonation struct {
	User        string // usr_…
	Tenant      string // id or key
	Application string // that the token is for; empty: the environment's default
	Reason      string // for the log
	Life        time.Duration
}

// ImpersonationToken is what came of it. There is nothing to renew it with.
type ImpersonationToken struct {
	AccessToken string
	Session     string // ses_…, by which it can be ended
	Life        time.Duration
}

// Bounds of an impersonation.
const (
	ImpersonationLife    = 15 * time.Minute // the default
	MaxImpersonationLife = time.Hour
	maxReason            = 500 // characters
)

var (
	errReason = fault.New(fault.Invalid, "invalid_reason", "Say why, in 1 to 500 characters without control characters.").In("reason")
	errLife   = fault.New(fault.Invalid, "invalid_lifetime", "An impersonation lasts 1 to 60 minutes.").In("expires_in")
)

// Checked fills in the default and checks the bounds. Faults: invalid_reason,
// invalid_lifetime.
func (i Impersonation) Checked() (Impersonation, error) {
	i.Reason = strings.TrimSpace(i.Reason)
	if i.Reason == "" || utf8.RuneCountInString(i.Reason) > maxReason || !utf8.ValidString(i.Reason) || strings.ContainsFunc(i.Reason, unicode.IsControl) {
		return i, errReason
	}
	if i.Life == 0 {
		i.Life = ImpersonationLife
	}
	if i.Life < time.Minute || i.Life > MaxImpersonationLife {
		return i, errLife
	}
	return i, nil
}

// MayImpersonate reports whether a key or a person of the vendor's may impersonate
// now: each use of what he began asks again.
func (s *Service) MayImpersonate(ctx context.Context, q db.Queryer, environment, subject string) (bool, error) {
	if strings.HasPrefix(subject, id.Key+"_") {
		k, err := s.Key(ctx, q, environment, subject)
		if fault.KindOf(err) == fault.NotFound {
			return false, nil
		}
		roles, roleErr := checkRoles(k.Roles)
		live := k.ExpiresAt.IsZero() || s.clock.Now().Before(k.ExpiresAt)
		return err == nil && roleErr == nil && live && permissionsOf(roles).Has(Impersonate), err
	}
	a, err := s.Actor(ctx, q, environment, subject)
	if fault.KindOf(err) == fault.NotFound {
		return false, nil
	}
	return err == nil && a.May(Impersonate), err
}

// Impersonated makes the actor one behind whom stands somebody of the vendor's, and
// takes from him what touches credentials and policies (design, identity rule 12),
// and what would outlast him: who may enter and with what power. This is the one
// place that says what that is: whatever the matrix counts among security settings
// and API access, and lasting, in whatever tenant he comes to.
func Impersonated(a actor.Actor, by actor.Impersonator) actor.Actor {
	a.Impersonator = by
	a.Permissions = a.Permissions.Without(withheld...)
	return a
}

// lasting are the nouns of accounts whose change lets somebody in, or gives him
// more, for longer than an impersonation: invitations and links, people, addresses
// by which sign-ins find them, roles, and what brings roles. Taking away is allowed.
var lasting = []string{
	"users", "updateUser", "usersRoles", "resendActivationEmail", "enableDisable", "tenantInvites", "appsUsers", "groupsUsers", "groupsRoles",
	"subAccount", "subAccountAccess", "roles",
}

var withheld = func() (patterns []string) {
	for noun, area := range nouns {
		if area == security || area == apiAccess {
			patterns = append(patterns, "*.write."+noun, "*.delete."+noun)
		}
	}
	for _, noun := range lasting {
		patterns = append(patterns, "*.write."+noun)
	}
	slices.Sort(patterns)
	return patterns
}()

package directory

import (
	"cmp"
	"context"
	"errors"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// SubaccountAccess is what a person may do with the sub-accounts of his tenant.
type SubaccountAccess string

// The choices (product 2.10). A tenant whose mode is always_on overrules them.
const (
	SubaccountDefault SubaccountAccess = ""    // as the tenant's mode says
	SubaccountOn      SubaccountAccess = "on"  // into every sub-account below
	SubaccountOff     SubaccountAccess = "off" // into none
)

const readSubaccounts = "fe.account-hierarchy.read.subAccount"

// Enter lets an actor of a tenant act in a sub-account of it, at any depth, with
// the permissions and the level that he has at home (product 8). The actor's home
// decides alone, not the tenants in between: its capability must be on, a person
// needs access by its mode and his own switch, an API token the permission to
// read sub-accounts. A suspended sub-account is closed to its parents too, and a
// suspended home opens none. One statement.
//
// Fault: tenant_not_found, whatever the reason.
func (s *Service) Enter(ctx context.Context, q db.Queryer, a actor.Actor, environment, target string) (actor.Actor, error) {
	home := cmp.Or(a.Home, a.Tenant)
	person := ""
	switch {
	case home == "" || environment != a.Environment:
		return actor.Actor{}, tenants.ErrTenantNotFound
	case a.Kind == actor.User:
		person = a.Subject
	case a.Kind == actor.APIToken && a.May(readSubaccounts):
		person = a.Owner // of a personal token; a tenant's has none
	default:
		return actor.Actor{}, tenants.ErrTenantNotFound
	}
	var mode string
	var own *string // nil: no membership
	err := q.QueryRow(ctx, sqlEnter, home, environment, target, person).Scan(&mode, &own)
	if errors.Is(err, db.ErrNotFound) {
		return actor.Actor{}, tenants.ErrTenantNotFound
	}
	if err != nil {
		return actor.Actor{}, err
	}
	if person != "" && (own == nil || !SubaccountAccess(*own).allows(mode)) {
		return actor.Actor{}, tenants.ErrTenantNotFound
	}
	a.Tenant, a.Home = target, home
	return a, nil
}

// allows decides from a tenant's mode and a person's switch.
func (s SubaccountAccess) allows(mode string) bool {
	switch mode {
	case tenants.AccessAlwaysOn:
		return true
	case tenants.AccessDefaultOn:
		return s != SubaccountOff
	}
	return s == SubaccountOn
}

// SubaccountAccess reads a person's switch. Fails with user_not_found.
func (s *Service) SubaccountAccess(ctx context.Context, q db.Queryer, tenant, userID string) (SubaccountAccess, error) {
	var access string
	err := q.QueryRow(ctx, sqlSubaccountAccess, tenant, userID).Scan(&access)
	if errors.Is(err, db.ErrNotFound) {
		return "", errNoUser
	}
	return SubaccountAccess(access), err
}

// SetSubaccountAccess changes a person's switch. The caller has checked the level
// of the person (product 121, 122).
//
// Faults: user_not_found, invalid_value.
func (s *Service) SetSubaccountAccess(ctx context.Context, a actor.Actor, q db.Queryer, tenant, userID string, access SubaccountAccess) error {
	switch access {
	case SubaccountDefault, SubaccountOn, SubaccountOff:
	default:
		return fault.New(fault.Invalid, "invalid_value", "Choose default, on or off.").In("access")
	}
	p, err := s.lockedPerson(ctx, q, tenant, userID)
	if err != nil {
		return err
	}
	before, err := s.SubaccountAccess(ctx, q, tenant, userID)
	if err != nil || before == access {
		return err
	}
	now := s.clock.Now()
	return s.write(ctx, q, s.event(a, p.Membership, "user.updated", now, map[string]audit.Change{"subaccount_access": {From: before, To: access}}),
		db.Stmt{SQL: sqlSetSubaccountAccess, Args: []any{tenant, p.Membership.ID, string(access), db.At(now)}})
}

const (
	sqlEnter = `SELECT h.subaccount_access, m.subaccount_access
FROM tenant_closure c
JOIN tenants h ON h.environment_id = c.environment_id AND h.id = c.ancestor_id AND h.subaccounts_enabled AND h.status = 'active'
JOIN tenants t ON t.environment_id = c.environment_id AND t.id = c.descendant_id AND t.status = 'active'
LEFT JOIN memberships m ON m.tenant_id = $1 AND m.user_id = $4
WHERE c.environment_id = $2 AND c.ancestor_id = $1 AND c.descendant_id = $3 AND c.depth > 0`

	sqlSubaccountAccess = `SELECT subaccount_access FROM memberships WHERE tenant_id = $1 AND user_id = $2`

	sqlSetSubaccountAccess = `UPDATE memberships SET subaccount_access = $3, version = version + 1, updated_at = $4 WHERE tenant_id = $1 AND id = $2`
)

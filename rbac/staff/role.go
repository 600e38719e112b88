package staff

import (
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/permission"
)

// Back-office roles.
const (
	Admin              = "admin"
	BackofficeEditor   = "backoffice-editor"
	BackofficeViewer   = "backoffice-viewer"
	EntitlementsEditor = "entitlements-editor"
	EntitlementsViewer = "entitlements-viewer"
	Impersonator       = "impersonator"
)

// Roles lists the back-office roles, the strongest first.
var Roles = []string{Admin, BackofficeEditor, BackofficeViewer, EntitlementsEditor, EntitlementsViewer, Impersonator}

type access int

const (
	none access = iota
	reads
	writes // reads too
)

// matrix is what each role may do (product 1.2), the admin excepted, who may do
// everything but impersonate.
var matrix = map[string][areaCount]access{
	BackofficeEditor:   {accounts: writes, blocking: writes, logs: reads},
	BackofficeViewer:   {accounts: reads, logs: reads},
	EntitlementsEditor: {accounts: reads, logs: reads, rolesArea: writes, plans: writes, apiAccess: writes},
	EntitlementsViewer: {accounts: reads, logs: reads, rolesArea: reads, plans: reads, apiAccess: reads},
	Impersonator:       {impersonation: writes},
}

var (
	errUnknownRole = fault.New(fault.Invalid, "invalid_role", "There is no such back-office role: "+strings.Join(Roles, ", ")+".").In("roles")

	// ErrCombination refuses an impersonator who is nothing else (product 19).
	ErrCombination = fault.New(fault.Invalid, "invalid_role_combination",
		"The impersonator role serves together with admin, backoffice-editor or backoffice-viewer only.").In("roles")

	// ErrStronger refuses to give more than one has.
	ErrStronger = fault.New(fault.Forbidden, "role_exceeds_own", "You cannot give a back-office role that may do more than you.").In("roles")
)

// checkRoles orders the roles of an assignment and drops repetitions. Faults:
// invalid_role, invalid_role_combination.
func checkRoles(roles []string) ([]string, error) {
	for _, r := range roles {
		if !slices.Contains(Roles, r) {
			return nil, errUnknownRole
		}
	}
	if len(roles) == 0 {
		return nil, fault.New(fault.Invalid, "invalid_role", "Give at least one back-office role.").In("roles")
	}
	var out []string
	for _, r := range Roles {
		if slices.Contains(roles, r) {
			out = append(out, r)
		}
	}
	return out, checkCombination(out)
}

func checkCombination(roles []string) error {
	if slices.Contains(roles, Impersonator) && !slices.ContainsFunc(roles, func(r string) bool { return r == Admin || r == BackofficeEditor || r == BackofficeViewer }) {
		return ErrCombination
	}
	return nil
}

// checkWithin refuses with ErrStronger when the roles hold what the actor does not.
func checkWithin(a actor.Actor, roles []string) error {
	if a.Kind == actor.System {
		return nil
	}
	for _, r := range roles {
		for _, key := range keys[r] {
			if !a.May(key) {
				return ErrStronger
			}
		}
	}
	return nil
}

// keys are the permissions of each role. An admin's are wildcards, which cover what
// the vendor's own permissions will be; everybody else's are listed, so that a new
// one reaches nobody until its noun has an area.
var keys = func() map[string][]string {
	m := map[string][]string{Admin: {"bo.read.*", "bo.write.*", "bo.delete.*", "fe.*"}}
	for role, row := range matrix {
		if row[impersonation] != none {
			m[role] = append(m[role], Impersonate)
		}
		for noun := range nouns {
			for _, prefix := range []string{"bo", "fe.secure", "fe.connectivity", "fe.account-settings", "fe.account-hierarchy"} {
				for verb, least := range map[string]access{"read": reads, "write": writes, "delete": writes} {
					if key := prefix + "." + verb + "." + noun; row[areaOf(key)] >= least {
						m[role] = append(m[role], key)
					}
				}
			}
		}
	}
	return m
}()

var sets = func() map[string]permission.Set {
	m := map[string]permission.Set{}
	for role, k := range keys {
		m[role] = permission.NewSet(k...)
	}
	return m
}()

// areaOf gives the area of a permission whose noun is known.
func areaOf(key string) area {
	if a, ok := exceptions[key]; ok {
		return a
	}
	return nouns[key[strings.LastIndexByte(key, '.')+1:]]
}

// permissionsOf gives what the roles may do together.
func permissionsOf(roles []string) permission.Set {
	if len(roles) == 1 {
		return sets[roles[0]]
	}
	var all []string
	for _, r := range roles {
		all = append(all, keys[r]...)
	}
	return permission.NewSet(all...)
}

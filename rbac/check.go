package rbac

import (
	"context"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// RoleRef names a role with its owner, as assignments store it.
type RoleRef struct {
	ID    string
	Owner string
	Key   string
	Level int
}

// CheckGrant finds the roles that the actor wants to give or take in a tenant and
// refuses with ErrLevel when one is stronger than he is (product 105, 121). It
// runs in the transaction of the grant, on roles that nobody changes meanwhile;
// grants do not wait for each other.
func (s *Service) CheckGrant(ctx context.Context, a actor.Actor, q db.Queryer, environment, tenant string, roleIDs []string) ([]RoleRef, error) {
	ids := slices.Compact(slices.Sorted(slices.Values(roleIDs)))
	if len(ids) == 0 {
		return nil, nil
	}
	if len(ids) > maxGranted {
		return nil, fault.New(fault.TooLarge, "too_many", "Give at most 100 roles.").In("role_ids")
	}
	text := sqlGrantable
	if !exempt(a) {
		text += q.Dialect().ForKeyShare
	}
	refs, err := scanRefs(q.Query(ctx, text, environment, tenant, db.Set(ids)))
	if err != nil {
		return nil, err
	}
	if len(refs) != len(ids) {
		return nil, errUnknownRole
	}
	return refs, notStronger(a, refs)
}

// Narrow gives those of the roles that still exist in the tenant and are not
// stronger than level: what is left of a grant that somebody of that level made
// earlier (product 124). Its cost does not depend on their number.
func (s *Service) Narrow(ctx context.Context, q db.Queryer, environment, tenant string, level int, roleIDs []string) ([]RoleRef, error) {
	refs, err := scanRefs(q.Query(ctx, sqlGrantable+q.Dialect().ForKeyShare, environment, tenant, db.Set(roleIDs)))
	return slices.DeleteFunc(refs, func(r RoleRef) bool { return r.Level < level }), err
}

// CheckTarget refuses with ErrTargetLevel when the membership's strongest role is
// stronger than the actor's (product 122). The membership is locked. A SCIM
// connection is not bound: the customer's directory decides about its people.
func (s *Service) CheckTarget(ctx context.Context, a actor.Actor, q db.Queryer, tenant, membership string) error {
	return s.CheckTargets(ctx, a, q, tenant, []string{membership})
}

// CheckTargets is CheckTarget for several memberships, in two statements however
// many they are. What is absent has no level; the operation itself says so.
func (s *Service) CheckTargets(ctx context.Context, a actor.Actor, q db.Queryer, tenant string, memberships []string) error {
	if exempt(a) || a.Kind == actor.SCIM || len(memberships) == 0 {
		return nil
	}
	set := db.Set(memberships)
	if _, err := scanIDs(q.Query(ctx, sqlLockMemberships+q.Dialect().ForUpdate, tenant, set)); err != nil {
		return err
	}
	var level int64
	if err := q.QueryRow(ctx, sqlStrongest, tenant, set).Scan(&level); err != nil {
		return err
	}
	if level < int64(a.Level.Int()) {
		return ErrTargetLevel
	}
	return nil
}

// CheckGroup refuses with ErrLevel when membership of the group brings a role
// stronger than the actor (product 121: group membership grants roles). The group
// is locked, so that nobody makes it stronger before the actor's change is done.
func (s *Service) CheckGroup(ctx context.Context, a actor.Actor, q db.Queryer, tenant, group string) error {
	if exempt(a) || a.Kind == actor.SCIM {
		return nil
	}
	if _, err := scanIDs(q.Query(ctx, sqlGroup+q.Dialect().ForUpdate, tenant, group)); err != nil {
		return err
	}
	var level int64
	if err := q.QueryRow(ctx, sqlGroupLevel, tenant, group).Scan(&level); err != nil {
		return err
	}
	if level < int64(a.Level.Int()) {
		return ErrLevel
	}
	return nil
}

func notStronger(a actor.Actor, refs []RoleRef) error {
	if a.Impersonator.ID != "" && len(refs) > 0 {
		return ErrImpersonated
	}
	for _, r := range refs {
		if !exempt(a) && r.Level < a.Level.Int() {
			return ErrLevel
		}
	}
	return nil
}

func scanRefs(rows db.Rows, err error) ([]RoleRef, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var refs []RoleRef
	for rows.Next() {
		var r RoleRef
		if err := rows.Scan(&r.ID, &r.Owner, &r.Key, &r.Level); err != nil {
			return nil, err
		}
		refs = append(refs, r)
	}
	return refs, rows.Err()
}

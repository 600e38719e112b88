package rbac

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/permission"
)

// checkPermissions gives the sorted keys, all of which exist and may stand in the
// role. What stands in it already may stay, whatever it is classified as since
// (product 120). An actor who is bound adds no built-in permission that he does
// not hold himself.
func (s *Service) checkPermissions(ctx context.Context, a actor.Actor, q db.Queryer, r Role, keys []string) ([]string, error) {
	sorted := slices.Compact(slices.Sorted(slices.Values(keys)))
	if len(sorted) == 0 {
		return []string{}, nil
	}
	if len(sorted) > maxPerRole {
		return nil, fault.New(fault.TooLarge, "too_many", "A role has at most 2000 permissions.").In("permissions")
	}
	found, err := scanPermissions(q.Query(ctx, sqlPermissionsByKey, a.Environment, db.Set(sorted)))
	if err != nil {
		return nil, err
	}
	byKey := make(map[string]Permission, len(found))
	for _, p := range found {
		byKey[p.Key] = p
	}
	for i, k := range keys {
		p, ok := byKey[k]
		field := "permissions[" + strconv.Itoa(i) + "]"
		switch {
		case !ok:
			return nil, invalid("unknown_permission", "There is no such permission.", field)
		case slices.Contains(r.Permissions, k):
		case r.Custom() && p.Classification == Never:
			return nil, invalid("permission_not_assignable", "Roles of a tenant cannot hold this permission.", field)
		case !mayGive(a, p):
			return nil, errNotHeld.In(field)
		}
	}
	return sorted, nil
}

// mayGive reports whether the actor may put a permission into a role. Built-in
// permissions are power over the tenant, so that who is bound must hold them; what
// the application's own mean is for the vendor to say, by their classification.
func mayGive(a actor.Actor, p Permission) bool { return exempt(a) || !p.Builtin || a.May(p.Key) }

// copyPermissions gives the permissions of the base role, as far as the new role
// may hold them: in a custom role those that its wildcards cover stand for the
// wildcards (product 62, 112).
func (s *Service) copyPermissions(ctx context.Context, a actor.Actor, q db.Queryer, base, r Role) ([]string, error) {
	if !r.Custom() {
		return base.Permissions, nil
	}
	all, err := s.Permissions(ctx, q, r.Environment)
	if err != nil {
		return nil, err
	}
	keys := []string{}
	held := permission.NewSet(base.Effective...)
	for _, p := range all {
		covered := slices.Contains(base.Effective, p.Key) || p.Listed && !strings.Contains(p.Key, "*") && held.Has(p.Key)
		if covered && p.Classification != Never && mayGive(a, p) {
			keys = append(keys, p.Key)
		}
	}
	slices.Sort(keys)
	return keys[:min(len(keys), maxPerRole)], nil
}

// AddToRoles gives a permission to roles; those that have it keep it (product 86,
// 89, 2.5). The vendor alone does.
//
// Faults: environment_only, permission_not_found, unknown_role,
// permission_not_assignable.
func (s *Service) AddToRoles(ctx context.Context, a actor.Actor, q db.Queryer, permissionID string, roleIDs []string) (Permission, error) {
	if !exempt(a) {
		return Permission{}, errEnvironmentOnly
	}
	p, err := s.permission(ctx, q, a.Environment, permissionID)
	if err != nil {
		return Permission{}, err
	}
	ids := slices.Compact(slices.Sorted(slices.Values(roleIDs)))
	if len(ids) == 0 || len(ids) > maxGranted {
		return Permission{}, invalid("invalid_list", "Give 1 to 100 roles.", "role_ids")
	}
	set := db.Set(ids)
	if _, err := scanIDs(q.Query(ctx, sqlLockRoles+q.Dialect().ForUpdate, a.Environment, set)); err != nil {
		return Permission{}, err
	}
	roles, err := s.readRoles(ctx, q, a.Environment, sqlRolesByID, a.Environment, set)
	if err != nil {
		return Permission{}, err
	}
	if len(roles) != len(ids) {
		return Permission{}, errUnknownRole
	}
	var add []string
	for _, r := range roles {
		switch {
		case slices.Contains(r.Permissions, p.Key):
			continue
		case r.Custom() && p.Classification == Never:
			return Permission{}, invalid("permission_not_assignable", "Roles of a tenant cannot hold this permission.", "role_ids")
		case len(r.Permissions) >= maxPerRole:
			return Permission{}, fault.New(fault.TooLarge, "too_many", "A role has at most 2000 permissions.").In("role_ids")
		}
		add = append(add, r.ID)
		after := append(slices.Clone(r.Permissions), p.Key)
		slices.Sort(after)
		changes := map[string]audit.Change{"permissions": {From: r.Permissions, To: after}}
		if err := s.record(ctx, a, q, r.Owner, "role.updated", roleTarget(r), changes); err != nil {
			return Permission{}, err
		}
	}
	if len(add) == 0 {
		return p, nil
	}
	return p, q.Batch(ctx, []db.Stmt{
		{SQL: sqlAddPermissionToRoles, Args: []any{a.Environment, p.ID, db.Set(add)}},
		{SQL: sqlTouchRoles, Args: []any{a.Environment, db.Set(add), db.At(s.clock.Now())}},
	})
}

// RolesWith gives the ids of the system roles that hold a permission, and how many
// roles of tenants do (product 85).
func (s *Service) RolesWith(ctx context.Context, q db.Queryer, environment, permissionID string) (ids []string, custom int64, err error) {
	if ids, err = scanIDs(q.Query(ctx, sqlRolesWith, environment, permissionID)); err != nil {
		return nil, 0, err
	}
	custom, err = count(ctx, q, sqlCountCustomRolesWith, environment, db.Set([]string{permissionID}))
	return ids, custom, err
}

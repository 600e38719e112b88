package rbac

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

// Service holds the operations of the package. It is safe for concurrent use.
type Service struct{ clock clock.Clock }

// New makes the service.
func New(c clock.Clock) *Service { return &Service{clock: c} }

const category = "cat"

// EnsurePresets makes the built-in permissions of an environment and, while it has
// no system role at all, its first roles (product 101). It may run at every start
// and on several replicas at once.
func (s *Service) EnsurePresets(ctx context.Context, q db.Queryer, environment string) error {
	n, err := count(ctx, q, sqlCountBuiltin, environment)
	if err != nil {
		return err
	}
	now := db.At(s.clock.Now())
	if int(n) < len(catalogue) {
		stmts := make([]db.Stmt, 0, 2*len(catalogue))
		seen := map[string]bool{}
		for _, b := range catalogue {
			if !seen[b.Category] {
				seen[b.Category] = true
				stmts = append(stmts, db.Stmt{SQL: sqlInsertCategory, Args: []any{environment, id.New(category), b.Category, now}})
			}
			classification := Assignable
			if b.Wildcard {
				classification = Never // else never of the keys below it would be bypassed (product 3)
			}
			stmts = append(stmts, db.Stmt{SQL: sqlEnsurePermission, Args: []any{
				environment, id.New(id.Permission), b.Key, b.name(), "", true, b.Listed, classification, now, b.Category,
			}})
		}
		if err := q.Batch(ctx, stmts); err != nil {
			return err
		}
	}
	n, err = count(ctx, q, sqlCountRoles, environment, "")
	if err != nil || n > 0 {
		return err
	}
	var stmts []db.Stmt
	for _, r := range []struct {
		key, name          string
		level              int
		isDefault, isFirst bool
		permissions        []string
	}{
		{AdminKey, "Admin", 0, false, true, adminPermissions},
		{ReadOnlyKey, "Read Only", 1, true, false, readOnlyPermissions},
	} {
		roleID := id.New(id.Role)
		stmts = append(stmts,
			db.Stmt{SQL: sqlInsertPreset, Args: []any{environment, "", roleID, r.key, r.name, "", r.level, r.isDefault, r.isFirst, "", now}},
			db.Stmt{SQL: sqlInsertPresetPermissions, Args: []any{environment, r.key, db.Set(r.permissions)}})
	}
	return q.Batch(ctx, stmts)
}

// CreateRole makes a system role, or a role of one tenant. An actor of a tenant
// makes roles of his tenant, from permissions that may be assigned, at the level
// of a base role that is not stronger than he is (product 61, 62, 112, 121).
func (s *Service) CreateRole(ctx context.Context, a actor.Actor, q db.Queryer, in NewRole) (Role, error) {
	now := s.clock.Now()
	r := Role{
		ID: id.New(id.Role), Environment: a.Environment, Owner: in.Tenant, Key: in.Key, Level: in.Level,
		Default: in.Default, FirstUser: in.FirstUser, BaseRoleID: in.BaseRoleID, Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	if a.Tenant != "" && in.Tenant != a.Tenant {
		return Role{}, errEnvironmentOnly.In("tenant_id")
	}
	var err error
	if r.Name, err = checkText(in.Name, "name", true, maxText); err != nil {
		return Role{}, err
	}
	if r.Description, err = checkText(in.Description, "description", false, maxDescription); err != nil {
		return Role{}, err
	}
	if err := checkRoleKey(r.Key); err != nil {
		return Role{}, err
	}
	if r.BaseRoleID != "" {
		base, err := s.Role(ctx, q, a.Environment, r.Owner, r.BaseRoleID)
		if err != nil || r.Owner == "" && base.Custom() {
			return Role{}, errUnknownRole.In("base_role_id")
		}
		r.Level = base.Level
	} else if !exempt(a) {
		return Role{}, invalid("base_role_required", "Name the role that this one starts from; it gets its level.", "base_role_id")
	}
	if err := checkLevel(r.Level); err != nil {
		return Role{}, err
	}
	if !exempt(a) && r.Level < a.Level.Int() {
		return Role{}, ErrLevel
	}
	if r.FirstUser && r.Custom() {
		return Role{}, invalid("invalid_field", "Only a system role can be the first user's.", "first_user")
	}
	n, err := count(ctx, q, sqlCountRoles, r.Environment, r.Owner)
	if err != nil {
		return Role{}, err
	}
	if n >= maxRoles {
		return Role{}, fault.New(fault.TooLarge, "too_many", "The limit of 1000 roles is reached.")
	}
	if r.Permissions, err = s.checkPermissions(ctx, a, q, r, in.Permissions); err != nil {
		return Role{}, err
	}
	taken := fault.New(fault.Conflict, "key_taken", "Another role has this key.").In("key")
	if n, err = count(ctx, q, sqlKeyTaken, r.Environment, r.Key, r.Owner); err != nil {
		return Role{}, err
	}
	if n > 0 {
		return Role{}, taken
	}
	// The insert stands alone so that a key taken meanwhile is told from other conflicts.
	if _, err := q.Exec(ctx, sqlInsertRole, r.Environment, r.Owner, r.ID, r.Key, r.Name, r.Description, r.Level, r.Default, r.FirstUser, r.BaseRoleID, db.At(now)); err != nil {
		var c *db.ConflictError
		if errors.As(err, &c) && !c.ForeignKey {
			return Role{}, taken.Because(err)
		}
		return Role{}, err
	}
	if _, err := q.Exec(ctx, sqlInsertRolePermissions, r.Environment, r.Owner, r.ID, db.Set(r.Permissions)); err != nil {
		return Role{}, err
	}
	return r, s.record(ctx, a, q, r.Owner, "role.created", roleTarget(r), map[string]audit.Change{
		"key": {To: r.Key}, "level": {To: r.Level}, "permissions": {To: r.Permissions},
	})
}

// Roles lists the system roles and, with a tenant, its own, the strongest first.
func (s *Service) Roles(ctx context.Context, q db.Queryer, environment, tenant string) ([]Role, error) {
	return scanRoles(q.Query(ctx, sqlRoles, environment, tenant))
}

// Role finds a role: with a tenant, a system role or one of its own; without, any
// of the environment.
func (s *Service) Role(ctx context.Context, q db.Queryer, environment, tenant, roleID string) (Role, error) {
	list, err := scanRoles(q.Query(ctx, sqlRole, environment, roleID, tenant))
	if err != nil {
		return Role{}, err
	}
	if len(list) == 0 {
		return Role{}, ErrRoleNotFound
	}
	return list[0], nil
}

// UpdateRole changes what the patch names. An actor of a tenant changes roles of
// his tenant only.
func (s *Service) UpdateRole(ctx context.Context, a actor.Actor, q db.Queryer, roleID string, p RolePatch) (Role, error) {
	before, err := s.lockRole(ctx, a, q, roleID)
	if err != nil {
		return Role{}, err
	}
	r, now := before, s.clock.Now()
	if p.Name != nil {
		if r.Name, err = checkText(*p.Name, "name", true, maxText); err != nil {
			return Role{}, err
		}
	}
	if p.Description != nil {
		if r.Description, err = checkText(*p.Description, "description", false, maxDescription); err != nil {
			return Role{}, err
		}
	}
	if p.Level != nil {
		if !exempt(a) {
			return Role{}, errEnvironmentOnly.In("level")
		}
		if err := checkLevel(*p.Level); err != nil {
			return Role{}, err
		}
		r.Level = *p.Level
	}
	if p.Default != nil {
		r.Default = *p.Default
	}
	if p.FirstUser != nil {
		if *p.FirstUser && r.Custom() {
			return Role{}, invalid("invalid_field", "Only a system role can be the first user's.", "first_user")
		}
		r.FirstUser = *p.FirstUser
	}
	if before.Default && !r.Default {
		if err := s.keepDefault(ctx, q, r); err != nil {
			return Role{}, err
		}
	}
	stmts := []db.Stmt{{SQL: sqlUpdateRole, Args: []any{r.Environment, r.Owner, r.ID, r.Name, r.Description, r.Level, r.Default, r.FirstUser, db.At(now)}}}
	if p.Permissions != nil {
		if r.Permissions, err = s.checkPermissions(ctx, a, q, r, *p.Permissions); err != nil {
			return Role{}, err
		}
		stmts = append(stmts,
			db.Stmt{SQL: sqlDeleteRolePermissions, Args: []any{r.Environment, r.Owner, r.ID}},
			db.Stmt{SQL: sqlInsertRolePermissions, Args: []any{r.Environment, r.Owner, r.ID, db.Set(r.Permissions)}})
	}
	if err := q.Batch(ctx, stmts); err != nil {
		return Role{}, err
	}
	r.Version, r.UpdatedAt = r.Version+1, now
	changes := map[string]audit.Change{}
	changed(changes, "name", before.Name, r.Name)
	changed(changes, "description", before.Description, r.Description)
	changed(changes, "level", before.Level, r.Level)
	changed(changes, "default", before.Default, r.Default)
	changed(changes, "first_user", before.FirstUser, r.FirstUser)
	if !slices.Equal(before.Permissions, r.Permissions) {
		changes["permissions"] = audit.Change{From: before.Permissions, To: r.Permissions}
	}
	return r, s.record(ctx, a, q, r.Owner, "role.updated", roleTarget(r), changes)
}

// DeleteRole removes a role and its assignments; never the last default role
// (product 119).
func (s *Service) DeleteRole(ctx context.Context, a actor.Actor, q db.Queryer, roleID string) error {
	r, err := s.lockRole(ctx, a, q, roleID)
	if err != nil {
		return err
	}
	if r.Default {
		if err := s.keepDefault(ctx, q, r); err != nil {
			return err
		}
	}
	if _, err := q.Exec(ctx, sqlDeleteRole, r.Environment, r.Owner, r.ID); err != nil {
		return err
	}
	return s.record(ctx, a, q, r.Owner, "role.deleted", roleTarget(r), nil)
}

// DeleteTenantStmts removes the roles that a tenant owns; its assignments go with
// its memberships and groups.
func (s *Service) DeleteTenantStmts(environment, tenant string) []db.Stmt {
	return []db.Stmt{{SQL: sqlDeleteTenantRoles, Args: []any{environment, tenant}}}
}

// keepDefault refuses when the role is the last default of the system roles. The
// rows are locked, so that two requests cannot each leave the other's.
func (s *Service) keepDefault(ctx context.Context, q db.Queryer, r Role) error {
	if r.Custom() {
		return nil
	}
	ids, err := scanIDs(q.Query(ctx, sqlLockDefaults+q.Dialect().ForUpdate, r.Environment))
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(ids, func(v string) bool { return v != r.ID }) {
		return ErrLastDefault
	}
	return nil
}

func (s *Service) lockRole(ctx context.Context, a actor.Actor, q db.Queryer, roleID string) (Role, error) {
	r, err := s.Role(ctx, q, a.Environment, a.Tenant, roleID)
	if err != nil {
		return Role{}, err
	}
	if !exempt(a) {
		if r.Owner != a.Tenant || a.Tenant == "" {
			return Role{}, errEnvironmentOnly
		}
		if r.Level < a.Level.Int() {
			return Role{}, ErrLevel
		}
	}
	var locked string
	err = q.QueryRow(ctx, sqlLockRole+q.Dialect().ForUpdate, r.Environment, r.Owner, r.ID).Scan(&locked)
	if errors.Is(err, db.ErrNotFound) {
		return Role{}, ErrRoleNotFound
	}
	if err != nil {
		return Role{}, err
	}
	return s.Role(ctx, q, a.Environment, a.Tenant, roleID)
}

// checkPermissions gives the sorted keys, all of which exist and may stand in the role.
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
		if !ok {
			return nil, invalid("unknown_permission", "There is no such permission.", field)
		}
		if r.Custom() && p.Classification == Never {
			return nil, invalid("permission_not_assignable", "Roles of a tenant cannot hold this permission.", field)
		}
	}
	return sorted, nil
}

func (s *Service) record(ctx context.Context, a actor.Actor, q db.Queryer, tenant, action string, t audit.Target, changes map[string]audit.Change) error {
	return audit.Record(ctx, q, audit.Event{
		Environment: a.Environment, Tenant: tenant, Action: action, Actor: a,
		Targets: []audit.Target{t}, Changes: changes, At: s.clock.Now(),
	})
}

func roleTarget(r Role) audit.Target { return audit.Target{Type: "role", ID: r.ID, Name: r.Name} }

func changed[T comparable](m map[string]audit.Change, field string, from, to T) {
	if from != to {
		m[field] = audit.Change{From: from, To: to}
	}
}

func count(ctx context.Context, q db.Queryer, sql string, args ...any) (n int64, err error) {
	err = q.QueryRow(ctx, sql, args...).Scan(&n)
	return n, err
}

func scanRoles(rows db.Rows, err error) ([]Role, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Role
	for rows.Next() {
		var r Role
		var created, updated db.Time
		var key string
		err := rows.Scan(&r.ID, &r.Environment, &r.Owner, &r.Key, &r.Name, &r.Description, &r.Level, &r.Default, &r.FirstUser, &r.BaseRoleID, &r.Version, &created, &updated, &key)
		if err != nil {
			return nil, err
		}
		if n := len(list); n == 0 || list[n-1].ID != r.ID {
			r.CreatedAt, r.UpdatedAt, r.Permissions = created.Time, updated.Time, []string{}
			list = append(list, r)
		}
		if last := &list[len(list)-1]; key != "" {
			last.Permissions = append(last.Permissions, key)
		}
	}
	return list, rows.Err()
}

func scanIDs(rows db.Rows, err error) ([]string, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []string{}
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, rows.Err()
}

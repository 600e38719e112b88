package rbac

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// CreateTenantRole makes a role of one tenant. Its own people may while the
// environment lets them (product 61, 100, 110); the vendor always may.
func (s *Service) CreateTenantRole(ctx context.Context, a actor.Actor, q db.Queryer, settings tenants.EnvironmentSettings, in NewRole) (Role, error) {
	if !exempt(a) && !(settings.FeatureOn(tenants.FeatureRoles) && settings.ModuleOn(tenants.ModuleRoles)) {
		return Role{}, errSelfService
	}
	return s.CreateRole(ctx, a, q, in)
}

// CreateRole makes a system role, or a role of one tenant. An actor of a tenant
// makes roles of his tenant, from permissions that may be assigned, at the level
// of a base role that is not stronger than he is, or at the weakest (product 61,
// 62, 112, 121).
func (s *Service) CreateRole(ctx context.Context, a actor.Actor, q db.Queryer, in NewRole) (Role, error) {
	now := s.clock.Now()
	r := Role{
		ID: id.New(id.Role), Environment: a.Environment, Owner: in.Tenant, Key: in.Key, Level: in.Level,
		Default: in.Default, FirstUser: in.FirstUser, BaseRoleID: in.BaseRoleID, Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	if !exempt(a) && (in.Tenant == "" || in.Tenant != a.Tenant) {
		return Role{}, errEnvironmentOnly.In("tenant_id")
	}
	var err error
	if r.Name, err = checkText(in.Name, "name", true, maxText); err != nil {
		return Role{}, err
	}
	if r.Description, err = checkText(in.Description, "description", false, maxDescription); err != nil {
		return Role{}, err
	}
	if r.Key == "" && r.Custom() {
		r.Key = keyOf(r.Name)
	}
	if err := checkRoleKey(r.Key); err != nil {
		return Role{}, err
	}
	var base Role
	switch {
	case r.BaseRoleID != "":
		if base, err = s.baseRole(ctx, q, r); err != nil {
			return Role{}, err
		}
		r.Level = base.Level
	case !exempt(a):
		r.Level = MaxLevel
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
	if in.Permissions == nil && base.ID != "" {
		r.Permissions, err = s.copyPermissions(ctx, a, q, base, r)
	} else {
		r.Permissions, err = s.checkPermissions(ctx, a, q, r, in.Permissions)
	}
	if err != nil {
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
	changes := map[string]audit.Change{"key": {To: r.Key}, "level": {To: r.Level}, "permissions": {To: r.Permissions}}
	if in.Migrate {
		if err := s.migrate(ctx, a, q, r, changes); err != nil {
			return Role{}, err
		}
	}
	if err := s.record(ctx, a, q, r.Owner, "role.created", roleTarget(r), changes); err != nil {
		return Role{}, err
	}
	return s.Role(ctx, q, r.Environment, r.Owner, r.ID)
}

// keyOf makes a key of a name: "Billing team" is billing-team.
func keyOf(name string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9') })
	return cmp.Or(strings.Join(words, "-"), "role")
}

// baseRole finds the role that a new one starts from, and keeps its level as it is.
func (s *Service) baseRole(ctx context.Context, q db.Queryer, r Role) (Role, error) {
	refs, err := scanRefs(q.Query(ctx, sqlGrantable+q.Dialect().ForKeyShare, r.Environment, r.Owner, db.Set([]string{r.BaseRoleID})))
	if err != nil {
		return Role{}, err
	}
	if len(refs) == 0 {
		return Role{}, errUnknownRole.In("base_role_id")
	}
	return s.Role(ctx, q, r.Environment, r.Owner, r.BaseRoleID)
}

// migrate gives a default role to everybody who is there already (product 2.5),
// in one statement. The vendor alone does: it reaches people of every level.
func (s *Service) migrate(ctx context.Context, a actor.Actor, q db.Queryer, r Role, changes map[string]audit.Change) error {
	if !exempt(a) {
		return errEnvironmentOnly.In("migrate")
	}
	if !r.Default {
		return invalid("invalid_field", "Only a default role is given to all who are there already.", "migrate")
	}
	text, owner := sqlMigrateSystem, r.Environment
	if r.Custom() {
		text, owner = sqlMigrateOwn, r.Owner
	}
	n, err := q.Exec(ctx, text, owner, r.ID, db.At(s.clock.Now()))
	changes["memberships"] = audit.Change{To: n}
	return err
}

// Roles lists the system roles and, with a tenant, its own, the strongest first.
func (s *Service) Roles(ctx context.Context, q db.Queryer, environment, tenant string) ([]Role, error) {
	return s.readRoles(ctx, q, environment, sqlRoles, environment, tenant)
}

// FindRoles is Roles with a filter (product 102).
func (s *Service) FindRoles(ctx context.Context, q db.Queryer, environment, tenant string, f RoleFilter) ([]Role, error) {
	list, err := s.Roles(ctx, q, environment, tenant)
	return slices.DeleteFunc(list, func(r Role) bool {
		return f.Level != nil && r.Level != *f.Level || !contains(f.Query, r.Key, r.Name)
	}), err
}

// contains reports whether one of the texts has the query in it, ignoring case.
func contains(query string, texts ...string) bool {
	query = strings.ToLower(strings.TrimSpace(query))
	return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(strings.ToLower(t), query) })
}

// Role finds a role: with a tenant, a system role or one of its own; without, any
// of the environment.
func (s *Service) Role(ctx context.Context, q db.Queryer, environment, tenant, roleID string) (Role, error) {
	list, err := s.readRoles(ctx, q, environment, sqlRole, environment, roleID, tenant)
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
	before, err := s.HoldRole(ctx, a, q, "", roleID)
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
	changes := map[string]audit.Change{}
	changed(changes, "name", before.Name, r.Name)
	changed(changes, "description", before.Description, r.Description)
	changed(changes, "level", before.Level, r.Level)
	changed(changes, "default", before.Default, r.Default)
	changed(changes, "first_user", before.FirstUser, r.FirstUser)
	if !slices.Equal(before.Permissions, r.Permissions) {
		changes["permissions"] = audit.Change{From: before.Permissions, To: r.Permissions}
	}
	if p.Migrate {
		if err := s.migrate(ctx, a, q, r, changes); err != nil {
			return Role{}, err
		}
	}
	if err := s.record(ctx, a, q, r.Owner, "role.updated", roleTarget(r), changes); err != nil {
		return Role{}, err
	}
	return s.Role(ctx, q, r.Environment, r.Owner, r.ID)
}

// DeleteRole removes a role and its assignments; never the last default role
// (product 119).
func (s *Service) DeleteRole(ctx context.Context, a actor.Actor, q db.Queryer, roleID string) error {
	r, err := s.HoldRole(ctx, a, q, "", roleID)
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

// HoldRole locks a role that the actor may change and gives it as it is then.
// Named with a tenant, it must be that tenant's own. An actor of a tenant may
// change his tenant's roles that are not stronger than he is.
func (s *Service) HoldRole(ctx context.Context, a actor.Actor, q db.Queryer, tenant, roleID string) (Role, error) {
	seen := cmp.Or(tenant, a.Tenant)
	r, err := s.Role(ctx, q, a.Environment, seen, roleID)
	if err != nil {
		return Role{}, err
	}
	if (!exempt(a) || tenant != "") && (r.Owner == "" || r.Owner != seen) {
		return Role{}, errEnvironmentOnly
	}
	var locked string
	err = q.QueryRow(ctx, sqlLockRole+q.Dialect().ForUpdate, r.Environment, r.Owner, r.ID).Scan(&locked)
	if errors.Is(err, db.ErrNotFound) {
		return Role{}, ErrRoleNotFound
	}
	if err != nil {
		return Role{}, err
	}
	if r, err = s.Role(ctx, q, a.Environment, seen, roleID); err != nil {
		return Role{}, err
	}
	if !exempt(a) && r.Level < a.Level.Int() {
		return Role{}, ErrLevel
	}
	return r, nil
}

// readRoles reads roles and what they give. Custom roles cost a second statement.
func (s *Service) readRoles(ctx context.Context, q db.Queryer, environment, text string, args ...any) ([]Role, error) {
	list, err := scanRoles(q.Query(ctx, text, args...))
	if err != nil || !slices.ContainsFunc(list, Role.Custom) {
		return list, err
	}
	always, err := scanIDs(q.Query(ctx, sqlAlways, environment))
	if err != nil {
		return nil, err
	}
	for i, r := range list {
		if r.Custom() {
			keys := append(r.Effective, always...)
			slices.Sort(keys)
			list[i].Effective = slices.Compact(keys)
		}
	}
	return list, nil
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
		var key, classification string
		err := rows.Scan(&r.ID, &r.Environment, &r.Owner, &r.Key, &r.Name, &r.Description, &r.Level, &r.Default, &r.FirstUser, &r.BaseRoleID, &r.Version,
			&created, &updated, &key, &classification)
		if err != nil {
			return nil, err
		}
		if n := len(list); n == 0 || list[n-1].ID != r.ID {
			r.CreatedAt, r.UpdatedAt, r.Permissions, r.Effective = created.Time, updated.Time, []string{}, []string{}
			list = append(list, r)
		}
		if last := &list[len(list)-1]; key != "" {
			last.Permissions = append(last.Permissions, key)
			if !r.Custom() || classification != Never {
				last.Effective = append(last.Effective, key)
			}
		}
	}
	return list, rows.Err()
}

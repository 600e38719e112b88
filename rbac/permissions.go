package rbac

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

// Permissions lists every permission of the environment by category and key.
func (s *Service) Permissions(ctx context.Context, q db.Queryer, environment string) ([]Permission, error) {
	return scanPermissions(q.Query(ctx, sqlPermissions, environment))
}

// FindPermissions is Permissions with a filter (product 80, 85).
func (s *Service) FindPermissions(ctx context.Context, q db.Queryer, environment string, f PermissionFilter) ([]Permission, error) {
	list, err := s.Permissions(ctx, q, environment)
	return slices.DeleteFunc(list, func(p Permission) bool {
		return f.Category != "" && f.Category != p.CategoryID && f.Category != p.Category ||
			f.Creator != "" && (f.Creator == ByBuiltin) != p.Builtin ||
			f.Classification != "" && f.Classification != p.Classification ||
			!contains(f.Query, p.Key, p.Name, p.Category)
	}), err
}

// Choosable lists what a tenant's own roles can hold: permissions that may be
// assigned, and those that every such role holds anyway (product 112, 113).
func (s *Service) Choosable(ctx context.Context, q db.Queryer, environment string, f PermissionFilter) ([]Permission, error) {
	list, err := s.FindPermissions(ctx, q, environment, f)
	return slices.DeleteFunc(list, func(p Permission) bool { return p.Classification == Never }), err
}

// Permission finds a permission.
func (s *Service) Permission(ctx context.Context, q db.Queryer, environment, permissionID string) (Permission, error) {
	return s.permission(ctx, q, environment, permissionID)
}

// KeysOf gives the keys of permissions that are named by id.
//
// Fault: unknown_permission.
func (s *Service) KeysOf(ctx context.Context, q db.Queryer, environment string, permissionIDs []string) ([]string, error) {
	found, err := scanPermissions(q.Query(ctx, sqlPermissionsByID, environment, db.Set(permissionIDs)))
	if err != nil {
		return nil, err
	}
	keys := make([]string, 0, len(found))
	for _, v := range permissionIDs {
		i := slices.IndexFunc(found, func(p Permission) bool { return p.ID == v })
		if i < 0 {
			return nil, invalid("unknown_permission", "There is no such permission.", "permission_ids")
		}
		keys = append(keys, found[i].Key)
	}
	return keys, nil
}

// HoldPermission locks a permission and gives it as it is then.
func (s *Service) HoldPermission(ctx context.Context, q db.Queryer, environment, permissionID string) (Permission, error) {
	if _, err := scanIDs(q.Query(ctx, sqlLockPermission+q.Dialect().ForUpdate, environment, permissionID)); err != nil {
		return Permission{}, err
	}
	return s.permission(ctx, q, environment, permissionID)
}

// CreatePermission makes a custom permission; a category that does not exist is
// made with it (product 87).
func (s *Service) CreatePermission(ctx context.Context, a actor.Actor, q db.Queryer, in NewPermission) (Permission, error) {
	if !exempt(a) {
		return Permission{}, errEnvironmentOnly
	}
	now := s.clock.Now()
	p := Permission{ID: id.New(id.Permission), Key: in.Key, Listed: true, Classification: in.Classification, CreatedAt: now, UpdatedAt: now}
	if err := checkPermissionKey(p.Key); err != nil {
		return Permission{}, err
	}
	var err error
	if p.Name, err = checkText(in.Name, "name", true, maxText); err != nil {
		return Permission{}, err
	}
	if p.Description, err = checkText(in.Description, "description", false, maxDescription); err != nil {
		return Permission{}, err
	}
	if p.Category, err = checkText(in.Category, "category", true, maxText); err != nil {
		return Permission{}, err
	}
	if p.Classification == "" {
		p.Classification = Assignable
		if strings.Contains(p.Key, "*") {
			p.Classification = Never
		}
	}
	if err := checkClassification(p.Classification); err != nil {
		return Permission{}, err
	}
	n, err := count(ctx, q, sqlCountPermissions, a.Environment)
	if err != nil {
		return Permission{}, err
	}
	if n >= maxPermissions {
		return Permission{}, fault.New(fault.TooLarge, "too_many", "The limit of 5000 permissions is reached.")
	}
	if _, err := q.Exec(ctx, sqlInsertCategory, a.Environment, id.New(category), p.Category, db.At(now)); err != nil {
		return Permission{}, err
	}
	_, err = q.Exec(ctx, sqlInsertPermission, a.Environment, p.ID, p.Key, p.Name, p.Description, false, true, p.Classification, db.At(now), p.Category)
	if errors.Is(err, db.ErrConflict) {
		return Permission{}, fault.New(fault.Conflict, "key_taken", "Another permission has this key.").In("key").Because(err)
	}
	if err != nil {
		return Permission{}, err
	}
	if p, err = s.permission(ctx, q, a.Environment, p.ID); err != nil {
		return Permission{}, err
	}
	return p, s.record(ctx, a, q, "", "permission.created", permissionTarget(p), nil)
}

// UpdatePermission changes a custom permission (product 132).
func (s *Service) UpdatePermission(ctx context.Context, a actor.Actor, q db.Queryer, permissionID string, patch PermissionPatch) (Permission, error) {
	if !exempt(a) {
		return Permission{}, errEnvironmentOnly
	}
	before, err := s.HoldPermission(ctx, q, a.Environment, permissionID)
	if err != nil {
		return Permission{}, err
	}
	if before.Builtin {
		return Permission{}, ErrBuiltin
	}
	p, now := before, s.clock.Now()
	if patch.Name != nil {
		if p.Name, err = checkText(*patch.Name, "name", true, maxText); err != nil {
			return Permission{}, err
		}
	}
	if patch.Description != nil {
		if p.Description, err = checkText(*patch.Description, "description", false, maxDescription); err != nil {
			return Permission{}, err
		}
	}
	if patch.Category != nil {
		if p.Category, err = checkText(*patch.Category, "category", true, maxText); err != nil {
			return Permission{}, err
		}
	}
	err = q.Batch(ctx, []db.Stmt{
		{SQL: sqlInsertCategory, Args: []any{a.Environment, id.New(category), p.Category, db.At(now)}},
		{SQL: sqlUpdatePermission, Args: []any{a.Environment, p.ID, p.Name, p.Description, db.At(now), p.Category}},
	})
	if err != nil {
		return Permission{}, err
	}
	if p, err = s.permission(ctx, q, a.Environment, p.ID); err != nil {
		return Permission{}, err
	}
	changes := map[string]audit.Change{}
	changed(changes, "name", before.Name, p.Name)
	changed(changes, "description", before.Description, p.Description)
	changed(changes, "category", before.Category, p.Category)
	return p, s.record(ctx, a, q, "", "permission.updated", permissionTarget(p), changes)
}

// DeletePermission removes a custom permission from the environment and from
// every role (product 132).
func (s *Service) DeletePermission(ctx context.Context, a actor.Actor, q db.Queryer, permissionID string) error {
	if !exempt(a) {
		return errEnvironmentOnly
	}
	p, err := s.HoldPermission(ctx, q, a.Environment, permissionID)
	if err != nil {
		return err
	}
	if p.Builtin {
		return ErrBuiltin
	}
	if _, err := q.Exec(ctx, sqlDeletePermission, a.Environment, p.ID); err != nil {
		return err
	}
	return s.record(ctx, a, q, "", "permission.deleted", permissionTarget(p), nil)
}

// Classify says what tenants' own roles may do with permissions, built-in ones
// included (product 113, 114). It gives the number of custom roles whose
// permissions change; what stands in them stays, so that it can be taken back
// (product 120).
func (s *Service) Classify(ctx context.Context, a actor.Actor, q db.Queryer, permissionIDs []string, classification string) (customRoles int, err error) {
	if !exempt(a) {
		return 0, errEnvironmentOnly
	}
	found, customRoles, err := s.classified(ctx, q, a.Environment, permissionIDs, classification)
	if err != nil || len(found) == 0 {
		return 0, err
	}
	ids := make([]string, len(found))
	for i, p := range found {
		ids[i] = p.ID
		changes := map[string]audit.Change{"classification": {From: p.Classification, To: classification}}
		if err := s.record(ctx, a, q, "", "permission.updated", permissionTarget(p), changes); err != nil {
			return 0, err
		}
	}
	_, err = q.Exec(ctx, sqlClassifyPermissions, a.Environment, db.Set(ids), classification, db.At(s.clock.Now()))
	return customRoles, err
}

// WouldClassify gives the number that Classify would give, and changes nothing.
func (s *Service) WouldClassify(ctx context.Context, q db.Queryer, environment string, permissionIDs []string, classification string) (customRoles int, err error) {
	_, customRoles, err = s.classified(ctx, q, environment, permissionIDs, classification)
	return customRoles, err
}

// classified gives those of the permissions that a classification changes, and how
// many custom roles hold something else then: what was or becomes always touches
// them all, the rest those that have it.
func (s *Service) classified(ctx context.Context, q db.Queryer, environment string, permissionIDs []string, classification string) (found []Permission, customRoles int, err error) {
	if err := checkClassification(classification); err != nil {
		return nil, 0, err
	}
	if len(permissionIDs) == 0 || len(permissionIDs) > maxPermissions {
		return nil, 0, invalid("invalid_list", "Give 1 to 5000 permissions.", "permission_ids")
	}
	if found, err = scanPermissions(q.Query(ctx, sqlPermissionsByID, environment, db.Set(permissionIDs))); err != nil {
		return nil, 0, err
	}
	known := map[string]bool{}
	for _, p := range found {
		known[p.ID] = true
	}
	for _, v := range permissionIDs {
		if !known[v] {
			return nil, 0, invalid("unknown_permission", "There is no such permission.", "permission_ids")
		}
	}
	found = slices.DeleteFunc(found, func(p Permission) bool { return p.Classification == classification })
	all := classification == Always && len(found) > 0
	ids := make([]string, len(found))
	for i, p := range found {
		ids[i] = p.ID
		all = all || p.Classification == Always
	}
	var n int64
	if all {
		n, err = count(ctx, q, sqlCountCustomRoles, environment)
	} else {
		n, err = count(ctx, q, sqlCountCustomRolesWith, environment, db.Set(ids))
	}
	return found, int(n), err
}

func (s *Service) permission(ctx context.Context, q db.Queryer, environment, permissionID string) (Permission, error) {
	list, err := scanPermissions(q.Query(ctx, sqlPermission, environment, permissionID))
	if err != nil {
		return Permission{}, err
	}
	if len(list) == 0 {
		return Permission{}, ErrPermissionNotFound
	}
	return list[0], nil
}

func permissionTarget(p Permission) audit.Target {
	return audit.Target{Type: "permission", ID: p.ID, Name: p.Key}
}

func scanPermissions(rows db.Rows, err error) ([]Permission, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Permission
	for rows.Next() {
		var p Permission
		var created, updated db.Time
		if err := rows.Scan(&p.ID, &p.Key, &p.Name, &p.Description, &p.CategoryID, &p.Category, &p.Builtin, &p.Listed, &p.Classification, &p.Version, &created, &updated); err != nil {
			return nil, err
		}
		p.CreatedAt, p.UpdatedAt = created.Time, updated.Time
		list = append(list, p)
	}
	return list, rows.Err()
}

package rbac

import (
	"context"
	"errors"
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

// CreatePermission makes a custom permission; a category that does not exist is
// made with it (product 87).
func (s *Service) CreatePermission(ctx context.Context, a actor.Actor, q db.Queryer, in NewPermission) (Permission, error) {
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
	before, err := s.permission(ctx, q, a.Environment, permissionID)
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
	p, err := s.permission(ctx, q, a.Environment, permissionID)
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
// included (product 113, 114). It gives the number of custom roles that the
// change may touch; what stands in them stays, so that it can be taken back
// (product 120).
func (s *Service) Classify(ctx context.Context, a actor.Actor, q db.Queryer, permissionIDs []string, classification string) (customRoles int, err error) {
	if err := checkClassification(classification); err != nil {
		return 0, err
	}
	if len(permissionIDs) == 0 || len(permissionIDs) > maxPermissions {
		return 0, invalid("invalid_list", "Give 1 to 5000 permissions.", "permission_ids")
	}
	found, err := scanPermissions(q.Query(ctx, sqlPermissionsByID, a.Environment, db.Set(permissionIDs)))
	if err != nil {
		return 0, err
	}
	known := map[string]bool{}
	for _, p := range found {
		known[p.ID] = true
	}
	for _, v := range permissionIDs {
		if !known[v] {
			return 0, invalid("unknown_permission", "There is no such permission.", "permission_ids")
		}
	}
	if _, err := q.Exec(ctx, sqlClassifyPermissions, a.Environment, db.Set(permissionIDs), classification, db.At(s.clock.Now())); err != nil {
		return 0, err
	}
	for _, p := range found {
		if p.Classification == classification {
			continue
		}
		changes := map[string]audit.Change{"classification": {From: p.Classification, To: classification}}
		if err := s.record(ctx, a, q, "", "permission.updated", permissionTarget(p), changes); err != nil {
			return 0, err
		}
	}
	n, err := count(ctx, q, sqlCountCustomRoles, a.Environment)
	return int(n), err
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
		if err := rows.Scan(&p.ID, &p.Key, &p.Name, &p.Description, &p.CategoryID, &p.Category, &p.Builtin, &p.Listed, &p.Classification, &created, &updated); err != nil {
			return nil, err
		}
		p.CreatedAt, p.UpdatedAt = created.Time, updated.Time
		list = append(list, p)
	}
	return list, rows.Err()
}

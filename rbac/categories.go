package rbac

import (
	"context"
	"errors"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

var errCategoryTaken = fault.New(fault.Conflict, "name_taken", "Another category has this name.").In("name")

// Categories lists the categories of the environment by name (product 90).
func (s *Service) Categories(ctx context.Context, q db.Queryer, environment string) ([]Category, error) {
	return scanCategories(q.Query(ctx, sqlCategories, environment))
}

// Category finds a category.
func (s *Service) Category(ctx context.Context, q db.Queryer, environment, categoryID string) (Category, error) {
	list, err := scanCategories(q.Query(ctx, sqlCategory, environment, categoryID))
	if err != nil {
		return Category{}, err
	}
	if len(list) == 0 {
		return Category{}, ErrCategoryNotFound
	}
	return list[0], nil
}

// CreateCategory makes an empty category. CreatePermission makes one as well when
// it names one that is not there.
func (s *Service) CreateCategory(ctx context.Context, a actor.Actor, q db.Queryer, name, description string) (Category, error) {
	if !exempt(a) {
		return Category{}, errEnvironmentOnly
	}
	c := Category{ID: id.New(category), Version: 1, CreatedAt: s.clock.Now()}
	if err := c.set(&name, &description); err != nil {
		return Category{}, err
	}
	n, err := count(ctx, q, sqlCountCategories, a.Environment)
	if err != nil {
		return Category{}, err
	}
	if n >= maxCategories {
		return Category{}, fault.New(fault.TooLarge, "too_many", "The limit of 500 categories is reached.")
	}
	if _, err := q.Exec(ctx, sqlCreateCategory, a.Environment, c.ID, c.Name, c.Description, db.At(c.CreatedAt)); err != nil {
		return Category{}, categoryConflict(err)
	}
	return c, s.record(ctx, a, q, "", "permission_category.created", categoryTarget(c), nil)
}

// HoldCategory locks a category and gives it as it is then.
func (s *Service) HoldCategory(ctx context.Context, q db.Queryer, environment, categoryID string) (Category, error) {
	if _, err := scanIDs(q.Query(ctx, sqlLockCategory+q.Dialect().ForUpdate, environment, categoryID)); err != nil {
		return Category{}, err
	}
	return s.Category(ctx, q, environment, categoryID)
}

// UpdateCategory changes what the patch names; never a category of built-in
// permissions.
func (s *Service) UpdateCategory(ctx context.Context, a actor.Actor, q db.Queryer, categoryID string, p CategoryPatch) (Category, error) {
	before, err := s.changeable(ctx, a, q, categoryID)
	if err != nil {
		return Category{}, err
	}
	c := before
	if err := c.set(p.Name, p.Description); err != nil {
		return Category{}, err
	}
	if _, err := q.Exec(ctx, sqlUpdateCategory, a.Environment, c.ID, c.Name, c.Description); err != nil {
		return Category{}, categoryConflict(err)
	}
	c.Version++
	changes := map[string]audit.Change{}
	changed(changes, "name", before.Name, c.Name)
	changed(changes, "description", before.Description, c.Description)
	return c, s.record(ctx, a, q, "", "permission_category.updated", categoryTarget(c), changes)
}

// DeleteCategory removes an empty category (category_not_empty otherwise).
func (s *Service) DeleteCategory(ctx context.Context, a actor.Actor, q db.Queryer, categoryID string) error {
	c, err := s.changeable(ctx, a, q, categoryID)
	if err != nil {
		return err
	}
	if c.Permissions > 0 {
		return errCategoryInUse
	}
	if _, err := q.Exec(ctx, sqlDeleteCategory, a.Environment, c.ID); err != nil {
		return err
	}
	return s.record(ctx, a, q, "", "permission_category.deleted", categoryTarget(c), nil)
}

func (s *Service) changeable(ctx context.Context, a actor.Actor, q db.Queryer, categoryID string) (Category, error) {
	if !exempt(a) {
		return Category{}, errEnvironmentOnly
	}
	c, err := s.HoldCategory(ctx, q, a.Environment, categoryID)
	if err == nil && c.Builtin {
		err = errCategoryBuiltin
	}
	return c, err
}

func (c *Category) set(name, description *string) (err error) {
	if name != nil {
		if c.Name, err = checkText(*name, "name", true, maxText); err != nil {
			return err
		}
	}
	if description != nil {
		c.Description, err = checkText(*description, "description", false, maxDescription)
	}
	return err
}

func categoryConflict(err error) error {
	if errors.Is(err, db.ErrConflict) {
		return errCategoryTaken.Because(err)
	}
	return err
}

func categoryTarget(c Category) audit.Target {
	return audit.Target{Type: "permission_category", ID: c.ID, Name: c.Name}
}

func scanCategories(rows db.Rows, err error) ([]Category, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Category
	for rows.Next() {
		var c Category
		var created db.Time
		if err := rows.Scan(&c.ID, &c.Name, &c.Description, &c.Version, &created, &c.Permissions, &c.Builtin); err != nil {
			return nil, err
		}
		c.CreatedAt = created.Time
		list = append(list, c)
	}
	return list, rows.Err()
}

package rbac

import (
	"cmp"
	"context"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
)

// Effective computes the roles and permissions of a membership from all their
// sources, in one statement (identity rule 8; product 57, 58, 115). A membership
// that does not exist has none.
func (s *Service) Effective(ctx context.Context, q db.Queryer, tenant, membership string) (Effective, error) {
	e := Effective{Roles: []Grant{}, Permissions: []string{}, Level: actor.NoLevel}
	rows, err := q.Query(ctx, sqlEffective, tenant, membership)
	if err != nil {
		return Effective{}, err
	}
	defer rows.Close()
	at := map[string]int{}
	for rows.Next() {
		var kind, roleID, key, source string
		var level int
		if err := rows.Scan(&kind, &roleID, &key, &level, &source); err != nil {
			return Effective{}, err
		}
		if kind == "permission" {
			e.Permissions = append(e.Permissions, key)
			continue
		}
		i, ok := at[roleID]
		if !ok {
			i = len(e.Roles)
			at[roleID] = i
			e.Roles = append(e.Roles, Grant{ID: roleID, Key: key, Level: level})
		}
		e.Roles[i].Sources = append(e.Roles[i].Sources, source)
		e.Level = min(e.Level, level)
	}
	if err := rows.Err(); err != nil {
		return Effective{}, err
	}
	slices.Sort(e.Permissions)
	e.Permissions = slices.Compact(e.Permissions)
	for i := range e.Roles {
		slices.Sort(e.Roles[i].Sources)
		e.Roles[i].Sources = slices.Compact(e.Roles[i].Sources)
	}
	slices.SortFunc(e.Roles, func(a, b Grant) int { return cmp.Or(cmp.Compare(a.Level, b.Level), cmp.Compare(a.Key, b.Key)) })
	return e, nil
}

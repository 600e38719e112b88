package rbac

import (
	"cmp"
	"context"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/permission"
)

// Effective computes the roles and permissions of a membership from all their
// sources, in one statement (identity rule 8; product 57, 58, 115). A membership
// that does not exist has none.
func (s *Service) Effective(ctx context.Context, q db.Queryer, tenant, membership string) (Effective, error) {
	return scanEffective(q.Query(ctx, sqlEffective, tenant, membership))
}

// EffectiveStmt is Effective as a statement that runs with others in one round trip;
// into is filled when it has run without a fault.
func EffectiveStmt(tenant, membership string, into *Effective) db.Stmt {
	return db.Stmt{SQL: sqlEffective, Args: []any{tenant, membership}, Scan: func(rows db.Rows) (err error) {
		*into, err = scanEffective(rows, nil)
		return err
	}}
}

// Preview is what a login would bring somebody.
type Preview struct {
	Environment string
	Tenant      string
	Membership  string // empty: somebody new, who gets the default roles
	Connection  string // through which he comes; empty: none in particular
	// Groups are those that the answer names. KeepGroups: it names none, and those
	// of the last answer stay.
	Groups     []string
	KeepGroups bool
}

// Preview computes the roles and permissions that a login would bring: default
// roles, those of the connection, and those mapped to the names of groups
// (product 2.6). It writes nothing. The caller knows that the connection is one of
// the tenant.
func (s *Service) Preview(ctx context.Context, q db.Queryer, in Preview) (Effective, error) {
	return scanEffective(q.Query(ctx, sqlPreview, in.Tenant, in.Membership, in.Connection, db.Set(in.Groups), in.Environment, in.KeepGroups))
}

// OfRoles computes what a set of roles gives in a tenant, as Effective does for a
// person: for API tokens, at each use (product 65, 115). Roles that are gone give
// nothing.
func (s *Service) OfRoles(ctx context.Context, q db.Queryer, environment, tenant string, roleIDs []string) (Effective, error) {
	return scanEffective(q.Query(ctx, sqlOfRoles, environment, tenant, db.Set(roleIDs)))
}

// CheckConnection holds a caller's word for a connection to those of the tenant,
// single sign-on and SCIM.
//
// Fault: unknown_connection.
func (s *Service) CheckConnection(ctx context.Context, q db.Queryer, tenant, connection string) error {
	ids, err := scanIDs(q.Query(ctx, sqlConnections, tenant))
	if err == nil && !slices.Contains(ids, connection) {
		err = invalid("unknown_connection", "The connection is not one of this tenant.", "connection_id")
	}
	return err
}

// Holders gives the memberships, usable ones only, that hold a permission through
// any role, the longest-standing first; at most limit.
func (s *Service) Holders(ctx context.Context, q db.Queryer, environment, tenant, key string, limit int) ([]string, error) {
	roles, err := s.Roles(ctx, q, environment, tenant)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, r := range roles {
		if permission.NewSet(r.Effective...).Has(key) {
			ids = append(ids, r.ID)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	return scanIDs(q.Query(ctx, sqlHolders, tenant, db.Set(ids), db.At(s.clock.Now()), limit))
}

func scanEffective(rows db.Rows, err error) (Effective, error) {
	e := Effective{Roles: []Grant{}, Permissions: []string{}, Level: actor.NoLevel}
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

package rbac

import (
	"context"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
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

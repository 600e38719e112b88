package tenants

import (
	"context"
	"errors"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// ErrNotAssigned refuses a login to, and tokens for, an application that the
// tenant or the person is not assigned to.
var ErrNotAssigned = fault.New(fault.Forbidden, "POLICY_APPLICATION_NOT_ASSIGNED", "You have no access to this application. Ask your administrator.")

// CheckApplication refuses who may not use an application (product 39). It asks
// nothing of the store where the application is everybody's, and once otherwise.
//
// Fault: POLICY_APPLICATION_NOT_ASSIGNED.
func (s *Service) CheckApplication(ctx context.Context, q db.Queryer, app Application, tenant, userID string) error {
	if app.TenantAccess == AccessAll && app.UserAccess == AccessAll {
		return nil
	}
	var ofTenant, ofUser bool
	if err := q.QueryRow(ctx, sqlApplicationOpen, tenant, app.ID, userID).Scan(&ofTenant, &ofUser); err != nil {
		return err
	}
	if app.TenantAccess == AccessAssigned && !ofTenant || app.UserAccess == AccessAssigned && !ofUser {
		return ErrNotAssigned
	}
	return nil
}

// TenantApplications gives a page of the applications that a tenant's people may
// be given, in the order of their creation.
func (s *Service) TenantApplications(ctx context.Context, q db.Queryer, environment, tenant string, after Position, limit int) ([]Application, *Position, error) {
	limit = page(limit)
	rows, err := q.Query(ctx, sqlTenantApplications, tenant, environment, after.At.UnixMicro(), after.ID, limit+1)
	return scanApplications(rows, err, limit)
}

// TenantApplication finds an application that a tenant may use.
func (s *Service) TenantApplication(ctx context.Context, q db.Queryer, environment, tenant, clientID string) (Application, error) {
	return scanApplication(q.QueryRow(ctx, sqlTenantApplication, tenant, environment, clientID))
}

// UserApplications gives a page of the applications that a person may use in a
// tenant, in the order of their creation.
func (s *Service) UserApplications(ctx context.Context, q db.Queryer, environment, tenant, userID string, after Position, limit int) ([]Application, *Position, error) {
	limit = page(limit)
	rows, err := q.Query(ctx, sqlUserApplications, tenant, environment, userID, after.At.UnixMicro(), after.ID, limit+1)
	return scanApplications(rows, err, limit)
}

// CountApplications counts the applications that a person may use in a tenant,
// or, without a person, the tenant (product 23).
func (s *Service) CountApplications(ctx context.Context, q db.Queryer, environment, tenant, userID string) (int64, error) {
	if userID == "" {
		return count(ctx, q, sqlCountTenantApplications, tenant, environment)
	}
	return count(ctx, q, sqlCountUserApplications, tenant, environment, userID)
}

// AssignTenant lets a tenant use an application; the vendor alone does. Where the
// application is every tenant's it changes nothing until that changes.
func (s *Service) AssignTenant(ctx context.Context, a actor.Actor, q db.Queryer, tenant Tenant, clientID string) (Application, error) {
	if a.Tenant != "" {
		return Application{}, errEnvironmentOnly
	}
	app, err := s.Application(ctx, q, a.Environment, clientID)
	if err == nil && app.Type == Machine {
		err = ErrApplicationNotFound // services have no users
	}
	if err != nil {
		return Application{}, err
	}
	stmt := db.Stmt{SQL: sqlAssignTenant, Args: []any{tenant.ID, app.ID, a.Environment, db.At(s.clock.Now())}}
	return app, s.assign(ctx, a, q, stmt, "application.assigned", tenant.ID, app, target(tenant))
}

// UnassignTenant takes an application from a tenant. Its people's assignments
// stay, for when it comes back.
func (s *Service) UnassignTenant(ctx context.Context, a actor.Actor, q db.Queryer, tenant Tenant, clientID string) error {
	if a.Tenant != "" {
		return errEnvironmentOnly
	}
	app, err := s.Application(ctx, q, a.Environment, clientID)
	if err != nil {
		return err
	}
	stmt := db.Stmt{SQL: sqlUnassignTenant, Args: []any{tenant.ID, app.ID}}
	return s.assign(ctx, a, q, stmt, "application.unassigned", tenant.ID, app, target(tenant))
}

// Member names a person in a tenant.
type Member struct {
	Membership, UserID, Email string
}

// AssignUser lets a person use an application that his tenant may use. The caller
// has checked the person's level (product 122).
func (s *Service) AssignUser(ctx context.Context, a actor.Actor, q db.Queryer, tenant string, m Member, clientID string) (Application, error) {
	app, err := s.TenantApplication(ctx, q, a.Environment, tenant, clientID)
	if err != nil {
		return Application{}, err
	}
	stmt := db.Stmt{SQL: sqlAssignUser, Args: []any{tenant, m.Membership, app.ID, a.Environment, db.At(s.clock.Now())}}
	return app, s.assign(ctx, a, q, stmt, "application.assigned", tenant, app, audit.Target{Type: "user", ID: m.UserID, Name: m.Email})
}

// UnassignUser takes an application from a person. The caller has checked the
// person's level (product 122).
func (s *Service) UnassignUser(ctx context.Context, a actor.Actor, q db.Queryer, tenant string, m Member, clientID string) error {
	app, err := s.TenantApplication(ctx, q, a.Environment, tenant, clientID)
	if err != nil {
		return err
	}
	stmt := db.Stmt{SQL: sqlUnassignUser, Args: []any{tenant, m.Membership, app.ID}}
	return s.assign(ctx, a, q, stmt, "application.unassigned", tenant, app, audit.Target{Type: "user", ID: m.UserID, Name: m.Email})
}

// assign runs the statement and tells of it when it changed something.
func (s *Service) assign(ctx context.Context, a actor.Actor, q db.Queryer, stmt db.Stmt, action, tenant string, app Application, to audit.Target) error {
	n, err := q.Exec(ctx, stmt.SQL, stmt.Args...)
	if errors.Is(err, db.ErrConflict) { // the application, or the person, went meanwhile
		return ErrApplicationNotFound.Because(err)
	}
	if err != nil || n == 0 {
		return err
	}
	return audit.Record(ctx, q, audit.Event{
		Environment: a.Environment, Tenant: tenant, Action: action, Actor: a, At: s.clock.Now(), Targets: []audit.Target{to, applicationTarget(app)},
	})
}

package entitlement

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

// Grant gives a plan to a tenant or to one of its users (product 94). The same
// plan is given once to each; the tenant's and a user's stand beside each other.
// The caller has resolved the tenant.
//
// Faults: unknown_plan, unknown_member, entitlement_exists, invalid_expiry.
func (s *Service) Grant(ctx context.Context, a actor.Actor, q db.Queryer, in NewEntitlement) (Entitlement, error) {
	now := s.clock.Now()
	if !in.ExpiresAt.IsZero() && !now.Before(in.ExpiresAt) {
		return Entitlement{}, invalid("invalid_expiry", "The entitlement would have expired already.", "expires_at")
	}
	p, err := s.Plan(ctx, q, a.Environment, in.PlanID)
	if errors.Is(err, ErrPlanNotFound) {
		return Entitlement{}, invalid("unknown_plan", "There is no such plan.", "plan_id")
	}
	if err != nil {
		return Entitlement{}, err
	}
	var membership *string
	if in.UserID != "" {
		person, err := s.directory.PersonOf(ctx, q, in.Tenant, in.UserID)
		if missing(err) {
			return Entitlement{}, invalid("unknown_member", "The tenant has no such user.", "user_id")
		}
		if err != nil {
			return Entitlement{}, err
		}
		membership = &person.Membership.ID
	}
	e := Entitlement{
		ID: id.New(entitlementID), Tenant: in.Tenant, PlanID: p.ID, PlanName: p.Name, UserID: in.UserID,
		ExpiresAt: in.ExpiresAt, Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	if _, err := q.Exec(ctx, sqlGrant, e.Tenant, e.ID, a.Environment, e.PlanID, membership, db.At(e.ExpiresAt), db.At(now)); err != nil {
		return Entitlement{}, conflict(err, errExists)
	}
	return e, audit.Record(ctx, q, s.event(a, "plan.assigned", e, nil))
}

// AssignOnSignup gives a new tenant the plans that are for new tenants, for as
// long as each says. It is called by whoever makes a tenant, in the same
// transaction.
func (s *Service) AssignOnSignup(ctx context.Context, a actor.Actor, q db.Queryer, tenant string) error {
	rows, err := q.Query(ctx, sqlSignupPlans, a.Environment)
	if err != nil {
		return err
	}
	defer rows.Close()
	now := s.clock.Now()
	var list []Entitlement
	for rows.Next() {
		e := Entitlement{ID: id.New(entitlementID), Tenant: tenant}
		var days int
		if err := rows.Scan(&e.PlanID, &e.PlanName, &days); err != nil {
			return err
		}
		if days > 0 {
			e.ExpiresAt = now.AddDate(0, 0, days)
		}
		list = append(list, e)
	}
	if err := rows.Err(); err != nil || len(list) == 0 {
		return err
	}
	rows.Close()
	var stmts []db.Stmt
	for _, e := range list {
		event, err := audit.Stmts(s.event(a, "plan.assigned", e, nil))
		if err != nil {
			return err
		}
		stmts = append(stmts, db.Stmt{SQL: sqlGrant, Args: []any{e.Tenant, e.ID, a.Environment, e.PlanID, nil, db.At(e.ExpiresAt), db.At(now)}})
		stmts = append(stmts, event...)
	}
	return q.Batch(ctx, stmts)
}

// EntitlementFilter says which entitlements Entitlements returns.
type EntitlementFilter struct {
	User  string // empty: the tenant's and all users'
	Plan  string
	After string // the next of the page before
	Limit int    // 0: 50; at most 200
}

// Entitlements lists what a tenant and its users have, the oldest first; next is
// empty on the last page.
func (s *Service) Entitlements(ctx context.Context, q db.Queryer, tenant string, f EntitlementFilter) (list []Entitlement, next string, err error) {
	limit := page(f.Limit)
	list, err = scanEntitlements(q.Query(ctx, sqlEntitlements, tenant, f.After, limit+1, f.User, f.Plan))
	if len(list) > limit {
		list, next = list[:limit], list[limit-1].ID
	}
	return list, next, err
}

// Entitlement finds one of a tenant. Fails with entitlement_not_found.
func (s *Service) Entitlement(ctx context.Context, q db.Queryer, tenant, entitlement string) (Entitlement, error) {
	list, err := scanEntitlements(q.Query(ctx, sqlEntitlement, tenant, entitlement))
	if err == nil && len(list) == 0 {
		err = ErrEntitlementNotFound
	}
	if err != nil {
		return Entitlement{}, err
	}
	return list[0], nil
}

// SetExpiry changes when an entitlement ends, which is all that can change; the
// zero time: never. A time that has passed ends it now.
func (s *Service) SetExpiry(ctx context.Context, a actor.Actor, q db.Queryer, tenant, entitlement string, expires time.Time) (Entitlement, error) {
	before, err := s.lockEntitlement(ctx, q, tenant, entitlement)
	if err != nil {
		return Entitlement{}, err
	}
	e, now := before, s.clock.Now()
	e.ExpiresAt, e.UpdatedAt, e.Version = expires, now, e.Version+1
	if _, err := q.Exec(ctx, sqlSetExpiry, tenant, e.ID, db.At(expires), db.At(now)); err != nil {
		return Entitlement{}, err
	}
	return e, audit.Record(ctx, q, s.event(a, "entitlement.updated", e, map[string]audit.Change{
		"expires_at": {From: moment(before.ExpiresAt), To: moment(e.ExpiresAt)},
	}))
}

// Revoke takes a plan away.
func (s *Service) Revoke(ctx context.Context, a actor.Actor, q db.Queryer, tenant, entitlement string) (Entitlement, error) {
	e, err := s.lockEntitlement(ctx, q, tenant, entitlement)
	if err != nil {
		return Entitlement{}, err
	}
	if _, err := q.Exec(ctx, sqlRevoke, tenant, e.ID); err != nil {
		return Entitlement{}, err
	}
	return e, audit.Record(ctx, q, s.event(a, "plan.unassigned", e, nil))
}

func (s *Service) lockEntitlement(ctx context.Context, q db.Queryer, tenant, entitlement string) (Entitlement, error) {
	if err := lock(ctx, q, sqlLockEntitlement, tenant, entitlement, ErrEntitlementNotFound); err != nil {
		return Entitlement{}, err
	}
	return s.Entitlement(ctx, q, tenant, entitlement)
}

func (s *Service) event(a actor.Actor, action string, e Entitlement, changes map[string]audit.Change) audit.Event {
	targets := []audit.Target{{Type: "entitlement", ID: e.ID}, {Type: "plan", ID: e.PlanID, Name: e.PlanName}}
	if e.UserID != "" {
		targets = append(targets, audit.Target{Type: "user", ID: e.UserID})
	}
	return audit.Event{
		Environment: a.Environment, Tenant: e.Tenant, Action: action, Actor: a, Targets: targets, Changes: changes, At: s.clock.Now(),
	}
}

// moment shows a time that may not be.
func moment(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339)
}

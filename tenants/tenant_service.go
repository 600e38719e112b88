package tenants

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/sessions"
)

var errKeyTaken = fault.New(fault.Conflict, "key_taken", "Another tenant has this key.").In("key")

// CreateTenant makes a tenant, or a sub-account of a tenant that has the
// capability (product 7, 139). An actor of a tenant makes sub-accounts of its own
// tenant and those below it only.
func (s *Service) CreateTenant(ctx context.Context, a actor.Actor, q db.Queryer, in NewTenant) (Tenant, error) {
	name, err := checkName(in.Name, "name")
	if err != nil {
		return Tenant{}, err
	}
	now := s.clock.Now()
	t := Tenant{
		ID: id.New(id.Tenant), Environment: a.Environment, Key: in.Key, Name: name, Status: StatusActive,
		SubaccountsEnabled: in.SubaccountsEnabled, SubaccountAccess: in.SubaccountAccess, Details: in.Details,
		Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	if t.SubaccountAccess == "" {
		t.SubaccountAccess = AccessDefaultOff
	}
	if t.Key == "" {
		t.Key = keyOf(name, t.ID)
	}
	if err := checkKey(t.Key); err != nil {
		return Tenant{}, err
	}
	if err := checkAccess(t.SubaccountAccess); err != nil {
		return Tenant{}, err
	}
	if err := t.Details.check(); err != nil {
		return Tenant{}, err
	}
	if a.Tenant != "" && in.SubaccountsEnabled {
		return Tenant{}, errEnvironmentOnly.In("subaccounts_enabled")
	}
	if a.Tenant != "" && in.ParentID == "" {
		return Tenant{}, errEnvironmentOnly.In("parent_id")
	}
	if in.ParentID != "" {
		parent, err := s.lock(ctx, q, a.Environment, in.ParentID)
		if errors.Is(err, ErrTenantNotFound) || err == nil && !s.reaches(ctx, q, a, parent.ID) {
			return Tenant{}, invalid("parent_not_found", "There is no such parent.", "parent_id")
		}
		if err != nil {
			return Tenant{}, err
		}
		if !parent.SubaccountsEnabled {
			return Tenant{}, fault.New(fault.Forbidden, "subaccounts_disabled", "The parent may not have sub-accounts.").In("parent_id")
		}
		t.ParentID = parent.ID
	}
	details, err := json.Marshal(t.Details)
	if err != nil {
		return Tenant{}, err
	}
	if _, err := q.Exec(ctx, sqlInsertTenant, t.Environment, t.ID, t.Key, t.ParentID, t.Name, t.SubaccountsEnabled, t.SubaccountAccess, string(details), db.At(now)); err != nil {
		return Tenant{}, conflict(err, "tenants_environment_id_key_key", errKeyTaken)
	}
	if _, err := q.Exec(ctx, sqlInsertClosure, t.Environment, t.ID, t.ParentID); err != nil {
		return Tenant{}, err
	}
	return t, s.record(ctx, a, q, t.ID, "tenant.created", target(t), nil)
}

// Get finds a tenant by id or key.
func (s *Service) Get(ctx context.Context, q db.Queryer, environment, idOrKey string) (Tenant, error) {
	sql := sqlTenantByKey
	if isTenantID(idOrKey) {
		sql = sqlTenantByID
	}
	return scanTenant(q.QueryRow(ctx, sql, environment, idOrKey))
}

// List gives a page of tenants in the order of their creation, and the position
// after which the next page begins; nil on the last.
func (s *Service) List(ctx context.Context, q db.Queryer, environment string, f Filter) ([]Tenant, *Position, error) {
	limit := page(f.Limit)
	rows, err := q.Query(ctx, sqlTenants, environment, f.After.At.UnixMicro(), f.After.ID, f.ParentID, limit+1)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	list := make([]Tenant, 0, limit)
	for rows.Next() {
		if len(list) == limit {
			last := list[limit-1]
			return list, &Position{At: last.CreatedAt, ID: last.ID}, nil
		}
		t, err := scanTenant(rows)
		if err != nil {
			return nil, nil, err
		}
		list = append(list, t)
	}
	return list, nil, rows.Err()
}

// Descends reports whether a tenant is the ancestor itself or below it.
func (s *Service) Descends(ctx context.Context, q db.Queryer, environment, ancestor, tenant string) (bool, error) {
	var depth int64
	err := q.QueryRow(ctx, sqlIsDescendant, environment, ancestor, tenant).Scan(&depth)
	if errors.Is(err, db.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// UpdateTenant changes what the patch names. Suspending ends every session in
// the tenant (identity rule 9).
func (s *Service) UpdateTenant(ctx context.Context, a actor.Actor, q db.Queryer, tenantID string, p TenantPatch) (Tenant, error) {
	if a.Tenant != "" && (p.Status != nil || p.SubaccountsEnabled != nil) {
		return Tenant{}, errEnvironmentOnly
	}
	before, err := s.lock(ctx, q, a.Environment, tenantID)
	if err != nil {
		return Tenant{}, err
	}
	t, now := before, s.clock.Now()
	if p.Name != nil {
		if t.Name, err = checkName(*p.Name, "name"); err != nil {
			return Tenant{}, err
		}
	}
	if p.Status != nil {
		if *p.Status != StatusActive && *p.Status != StatusSuspended {
			return Tenant{}, invalid("invalid_status", "Choose active or suspended.", "status")
		}
		t.Status = *p.Status
	}
	if p.SubaccountsEnabled != nil {
		t.SubaccountsEnabled = *p.SubaccountsEnabled
	}
	if p.SubaccountAccess != nil {
		if err := checkAccess(*p.SubaccountAccess); err != nil {
			return Tenant{}, err
		}
		t.SubaccountAccess = *p.SubaccountAccess
	}
	if p.Details != nil {
		if err := p.Details.check(); err != nil {
			return Tenant{}, err
		}
		t.Details = *p.Details
	}
	changes := map[string]audit.Change{}
	changed(changes, "name", before.Name, t.Name)
	changed(changes, "status", before.Status, t.Status)
	changed(changes, "subaccounts_enabled", before.SubaccountsEnabled, t.SubaccountsEnabled)
	changed(changes, "subaccount_access", before.SubaccountAccess, t.SubaccountAccess)
	changed(changes, "details", before.Details, t.Details)
	if len(changes) == 0 {
		return t, nil
	}
	details, err := json.Marshal(t.Details)
	if err != nil {
		return Tenant{}, err
	}
	if _, err := q.Exec(ctx, sqlUpdateTenant, t.Environment, t.ID, t.Name, t.Status, t.SubaccountsEnabled, t.SubaccountAccess, string(details), db.At(now)); err != nil {
		return Tenant{}, err
	}
	t.Version, t.UpdatedAt = t.Version+1, now
	action := "tenant.updated"
	switch {
	case before.Status == StatusActive && t.Status == StatusSuspended:
		action = "tenant.suspended"
		if _, err := s.sessions.End(ctx, a, q, sessions.Selector{Environment: t.Environment, Tenant: t.ID}, "tenant_suspended"); err != nil {
			return Tenant{}, err
		}
	case before.Status == StatusSuspended && t.Status == StatusActive:
		action = "tenant.resumed"
	}
	return t, s.record(ctx, a, q, t.ID, action, target(t), changes)
}

// DeleteTenant removes a tenant and everything that belongs to it alone. Its
// sub-accounts move up to its parent (product 2.10). The caller has dropped
// before what packages above this one own: memberships, roles and policies.
func (s *Service) DeleteTenant(ctx context.Context, a actor.Actor, q db.Queryer, tenantID string) error {
	t, err := s.lock(ctx, q, a.Environment, tenantID)
	if err != nil {
		return err
	}
	if _, err := s.sessions.End(ctx, a, q, sessions.Selector{Environment: t.Environment, Tenant: t.ID}, "tenant_deleted"); err != nil {
		return err
	}
	now := db.At(s.clock.Now())
	err = q.Batch(ctx, []db.Stmt{
		{SQL: sqlReparent, Args: []any{t.Environment, t.ID, t.ParentID, now}},
		{SQL: sqlShortenClosure, Args: []any{t.Environment, t.ID}},
		{SQL: sqlDeleteTenantLocators, Args: []any{t.ID}},
		{SQL: sqlDeleteTenant, Args: []any{t.Environment, t.ID}},
	})
	if err != nil {
		return err
	}
	// The event outlives the tenant in the log of the environment.
	return s.record(ctx, a, q, "", "tenant.deleted", target(t), nil)
}

// lock reads a tenant for a change.
func (s *Service) lock(ctx context.Context, q db.Queryer, environment, idOrKey string) (Tenant, error) {
	sql := sqlTenantByKey
	if isTenantID(idOrKey) {
		sql = sqlTenantByID
	}
	return scanTenant(q.QueryRow(ctx, sql+q.Dialect().ForUpdate, environment, idOrKey))
}

// reaches reports whether the actor's power extends to the tenant.
func (s *Service) reaches(ctx context.Context, q db.Queryer, a actor.Actor, tenant string) bool {
	if a.Tenant == "" || a.Tenant == tenant {
		return true
	}
	ok, err := s.Descends(ctx, q, a.Environment, a.Tenant, tenant)
	return ok && err == nil
}

func target(t Tenant) audit.Target { return audit.Target{Type: "tenant", ID: t.ID, Name: t.Name} }

func scanTenant(r db.Row) (Tenant, error) {
	var t Tenant
	var details string
	var created, updated db.Time
	err := r.Scan(&t.ID, &t.Environment, &t.Key, &t.ParentID, &t.Name, &t.Status, &t.SubaccountsEnabled, &t.SubaccountAccess, &details, &t.Version, &created, &updated)
	if errors.Is(err, db.ErrNotFound) {
		return Tenant{}, ErrTenantNotFound
	}
	if err != nil {
		return Tenant{}, err
	}
	t.CreatedAt, t.UpdatedAt = created.Time, updated.Time
	return t, json.Unmarshal([]byte(details), &t.Details)
}

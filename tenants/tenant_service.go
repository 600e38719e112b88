package tenants

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/sessions"
)

const writeSubaccountAccess = "fe.account-hierarchy.write.subAccountAccess"

var errAccessPermission = fault.New(fault.Forbidden, "permission_missing", "This needs the permission "+writeSubaccountAccess+".").In("subaccount_access")

var errKeyTaken = fault.New(fault.Conflict, "key_taken", "Another tenant has this key.").In("key")

// CreateTenant makes a tenant, or a sub-account of a tenant that has the
// capability (product 7, 139). A sub-account has the capability too, so that
// accounts nest to any depth (maxDepth) until the vendor switches it off for one.
// An actor of a tenant makes sub-accounts of its own tenant and those below it
// only.
//
// Faults: invalid_*, key_taken, parent_not_found, sub_accounts_disabled,
// environment_only, too_deep.
func (s *Service) CreateTenant(ctx context.Context, a actor.Actor, q db.Queryer, in NewTenant) (Tenant, error) {
	name, err := checkName(in.Name, "name")
	if err != nil {
		return Tenant{}, err
	}
	now := s.clock.Now()
	t := Tenant{
		ID: id.New(id.Tenant), Environment: a.Environment, Key: in.Key, Name: name, Status: StatusActive,
		SubaccountAccess: cmp.Or(in.SubaccountAccess, AccessDefaultOff), Details: in.Details, Version: 1, CreatedAt: now, UpdatedAt: now,
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
	if a.Tenant != "" && in.SubaccountsEnabled != nil {
		return Tenant{}, errEnvironmentOnly.In("subaccounts_enabled")
	}
	if a.Tenant != "" && in.ParentID == "" {
		return Tenant{}, errEnvironmentOnly.In("parent_id")
	}
	if in.ParentID == "" {
		// A replica may still answer for an environment that was deleted just now.
		err = lockEnvironment(ctx, q, a.Environment, q.Dialect().ForKeyShare)
	} else {
		var parent Tenant
		parent, err = s.newParent(ctx, a, q, in.ParentID, "")
		t.ParentID, t.SubaccountsEnabled = parent.ID, true
	}
	if err != nil {
		return Tenant{}, err
	}
	set(&t.SubaccountsEnabled, in.SubaccountsEnabled)
	details, err := json.Marshal(t.Details)
	if err != nil {
		return Tenant{}, err
	}
	_, err = q.Exec(ctx, sqlInsertTenant, t.Environment, t.ID, t.Key, t.ParentID, t.Name, t.SubaccountsEnabled, t.SubaccountAccess, string(details), db.At(now), nameKey(t.Name))
	if err != nil {
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
// after which the next page begins; nil on the last. A page costs the same
// however many tenants there are; with Query, as much as there are hits.
func (s *Service) List(ctx context.Context, q db.Queryer, environment string, f Filter) ([]Tenant, *Position, error) {
	limit := page(f.Limit)
	args := []any{environment, f.After.At.UnixMicro(), f.After.ID, limit + 1}
	sql := sqlTenants
	switch {
	case f.Query != "":
		from := nameKey(f.Query)
		sql, args = sqlTenantsNamed, append(args, f.Status, f.ParentID, from, from+string(utf8.MaxRune))
	case f.ParentID != "":
		sql, args = sqlTenantsBelow, append(args, f.Status, f.ParentID)
	case f.Status != "":
		sql, args = sqlTenantsOfStatus, append(args, f.Status)
	}
	rows, err := q.Query(ctx, sql, args...)
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
	switch {
	case a.Tenant != "" && p.Status != nil:
		return Tenant{}, errEnvironmentOnly.In("status")
	case a.Tenant != "" && p.SubaccountsEnabled != nil:
		return Tenant{}, errEnvironmentOnly.In("subaccounts_enabled")
	case a.Tenant != "" && p.SubaccountAccess != nil && !a.May(writeSubaccountAccess):
		return Tenant{}, errAccessPermission
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
		p.Details.apply(&t.Details)
		if err := t.Details.check(); err != nil {
			return Tenant{}, err
		}
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
	_, err = q.Exec(ctx, sqlUpdateTenant, t.Environment, t.ID, t.Name, t.Status, t.SubaccountsEnabled, t.SubaccountAccess, string(details), db.At(now), nameKey(t.Name))
	if err != nil {
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

// Hold finds a tenant by id or key that nobody else changes until the end of the
// transaction.
func (s *Service) Hold(ctx context.Context, q db.Queryer, environment, idOrKey string) (Tenant, error) {
	return s.lock(ctx, q, environment, idOrKey)
}

// HoldPlace is Hold for a tenant that is to move or to go: the hierarchy waits too,
// and first, as it does wherever tenants come, move and go.
func (s *Service) HoldPlace(ctx context.Context, q db.Queryer, environment, idOrKey string) (Tenant, error) {
	if err := lockEnvironment(ctx, q, environment, q.Dialect().ForNoKeyUpdate); err != nil {
		return Tenant{}, err
	}
	return s.lock(ctx, q, environment, idOrKey)
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
func (s *Service) reaches(ctx context.Context, q db.Queryer, a actor.Actor, tenant string) (bool, error) {
	if a.Tenant == "" || a.Tenant == tenant {
		return true, nil
	}
	return s.Descends(ctx, q, a.Environment, a.Tenant, tenant)
}

func target(t Tenant) audit.Target { return audit.Target{Type: "tenant", ID: t.ID, Name: t.Name} }

// scanTenant reads tenantColumns and then more.
func scanTenant(r db.Row, more ...any) (Tenant, error) {
	var t Tenant
	var details string
	var created, updated db.Time
	err := r.Scan(append([]any{
		&t.ID, &t.Environment, &t.Key, &t.ParentID, &t.Name, &t.Status, &t.SubaccountsEnabled, &t.SubaccountAccess, &details, &t.Version, &created, &updated,
	}, more...)...)
	if errors.Is(err, db.ErrNotFound) {
		return Tenant{}, ErrTenantNotFound
	}
	if err != nil {
		return Tenant{}, err
	}
	t.CreatedAt, t.UpdatedAt = created.Time, updated.Time
	return t, json.Unmarshal([]byte(details), &t.Details)
}

// ActiveTenantIDs gives active tenants of an environment in the order of their ids
// after the given one, at most limit: for work on each of them.
func (s *Service) ActiveTenantIDs(ctx context.Context, q db.Queryer, environment, after string, limit int) ([]string, error) {
	rows, err := q.Query(ctx, sqlActiveTenantIDs, environment, after, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var tenant string
		if err := rows.Scan(&tenant); err != nil {
			return nil, err
		}
		list = append(list, tenant)
	}
	return list, rows.Err()
}

package tenants

import (
	"context"
	"errors"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Subaccount is a tenant as one of those above it sees it.
type Subaccount struct {
	Tenant
	Depth int64 // 1: a child
}

var (
	ErrParentNotFound = fault.New(fault.Invalid, "parent_not_found", "There is no such parent.").In("parent_id")
	errNoCapability   = fault.New(fault.Forbidden, "sub_accounts_disabled", "The parent may not have sub-accounts.")
	errCycle          = fault.New(fault.Invalid, "parent_below", "The parent is the tenant itself or below it.").In("parent_id")
	errDepth          = fault.New(fault.Invalid, "too_deep", "Sub-accounts stand at most 50 deep.").In("parent_id")
)

// Subaccounts gives a page of the tenants below one, in the order of their
// creation, down to depth (0: all). after is the id of the last one of the page
// before; next is empty on the last page.
func (s *Service) Subaccounts(ctx context.Context, q db.Queryer, environment, tenantID string, depth int, after string, limit int) (list []Subaccount, next string, err error) {
	limit = page(limit)
	if depth <= 0 || depth > maxDepth {
		depth = maxDepth
	}
	rows, err := q.Query(ctx, sqlSubaccounts, environment, tenantID, after, depth, limit+1)
	if err != nil {
		return nil, "", err
	}
	defer rows.Close()
	for rows.Next() {
		if len(list) == limit {
			return list, list[limit-1].ID, nil
		}
		var sub Subaccount
		if sub.Tenant, err = scanTenant(rows, &sub.Depth); err != nil {
			return nil, "", err
		}
		list = append(list, sub)
	}
	return list, "", rows.Err()
}

// Subaccount finds a tenant below another by id or key. What is not below it is
// not found.
func (s *Service) Subaccount(ctx context.Context, q db.Queryer, environment, ancestor, idOrKey string) (Tenant, error) {
	t, err := s.Get(ctx, q, environment, idOrKey)
	if err != nil {
		return Tenant{}, err
	}
	below, err := s.Descends(ctx, q, environment, ancestor, t.ID)
	if err == nil && (!below || t.ID == ancestor) {
		err = ErrTenantNotFound
	}
	return t, err
}

// HoldSubaccount is Subaccount for a change. Where the vendor has taken the
// capability back, an actor of a tenant changes nothing below it.
//
// Faults: tenant_not_found, sub_accounts_disabled.
func (s *Service) HoldSubaccount(ctx context.Context, a actor.Actor, q db.Queryer, ancestor, idOrKey string) (Tenant, error) {
	above, err := s.HoldPlace(ctx, q, a.Environment, ancestor)
	if err != nil {
		return Tenant{}, err
	}
	t, err := s.Subaccount(ctx, q, a.Environment, above.ID, idOrKey)
	if err == nil && a.Tenant != "" && !above.SubaccountsEnabled {
		err = errNoCapability
	}
	return t, err
}

// Children counts the sub-accounts right below a tenant.
func (s *Service) Children(ctx context.Context, q db.Queryer, environment, tenantID string) (int64, error) {
	return count(ctx, q, sqlCountChildren, environment, tenantID)
}

// MoveTenant puts a tenant and all below it under another parent, which has the
// capability; only actors above tenants put it at the top (parent empty), and
// an actor of a tenant moves what is below his tenant, to there.
//
// Faults: tenant_not_found, parent_not_found, sub_accounts_disabled,
// parent_below, too_deep, environment_only.
func (s *Service) MoveTenant(ctx context.Context, a actor.Actor, q db.Queryer, tenantID, parent string) (Tenant, error) {
	if a.Tenant != "" && parent == "" {
		return Tenant{}, errEnvironmentOnly.In("parent_id")
	}
	if err := lockEnvironment(ctx, q, a.Environment, q.Dialect().ForNoKeyUpdate); err != nil {
		return Tenant{}, err
	}
	t, err := s.lock(ctx, q, a.Environment, tenantID)
	if err != nil {
		return Tenant{}, err
	}
	if below, err := s.reaches(ctx, q, a, t.ID); err != nil {
		return Tenant{}, err
	} else if !below || a.Tenant == t.ID {
		return Tenant{}, ErrTenantNotFound
	}
	now, from, to := s.clock.Now(), t.ParentID, ""
	if parent != "" {
		p, err := s.newParent(ctx, a, q, parent, t.ID)
		if err != nil {
			return Tenant{}, err
		}
		to = p.ID
	}
	if from == to {
		return t, nil
	}
	err = q.Batch(ctx, []db.Stmt{
		{SQL: sqlMoveTenant, Args: []any{t.Environment, t.ID, to, db.At(now)}},
		{SQL: sqlDetachClosure, Args: []any{t.Environment, t.ID}},
		{SQL: sqlAttachClosure, Args: []any{t.Environment, t.ID, to}}, // nothing stands above ''
	})
	if err != nil {
		return Tenant{}, err
	}
	t.ParentID, t.Version, t.UpdatedAt = to, t.Version+1, now
	return t, s.record(ctx, a, q, t.ID, "tenant.moved", target(t), map[string]audit.Change{"parent_id": {From: from, To: to}})
}

// newParent locks the hierarchy and finds the parent of a tenant that is to stand
// below it: one that is there already, or a new one, which is empty.
func (s *Service) newParent(ctx context.Context, a actor.Actor, q db.Queryer, parent, child string) (Tenant, error) {
	if err := lockEnvironment(ctx, q, a.Environment, q.Dialect().ForNoKeyUpdate); err != nil {
		return Tenant{}, err
	}
	p, err := s.lock(ctx, q, a.Environment, parent)
	reached := false
	if err == nil {
		reached, err = s.reaches(ctx, q, a, p.ID)
	} else if errors.Is(err, ErrTenantNotFound) {
		err = nil
	}
	if err != nil {
		return Tenant{}, err
	}
	if !reached {
		return Tenant{}, ErrParentNotFound
	}
	if !p.SubaccountsEnabled {
		return Tenant{}, errNoCapability.In("parent_id")
	}
	if child != "" {
		below, err := s.Descends(ctx, q, a.Environment, child, p.ID)
		if err != nil {
			return Tenant{}, err
		}
		if below {
			return Tenant{}, errCycle
		}
	}
	var above, below int64
	if err := q.QueryRow(ctx, sqlHeights, a.Environment, p.ID, child).Scan(&above, &below); err != nil {
		return Tenant{}, err
	}
	if above+below > maxDepth {
		return Tenant{}, errDepth
	}
	return p, nil
}

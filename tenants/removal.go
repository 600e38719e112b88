package tenants

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
)

// JobRemove is the kind of the job that runs Remove, every ten seconds.
const JobRemove = "tenants.remove"

const (
	// removeBatch bounds the rows of one transaction, and so how long other writers
	// wait for it: with all that hangs on a person, some tens of milliseconds.
	removeBatch = 200
	// removeTime bounds a run; the next goes on.
	removeTime = time.Minute
)

const (
	// A key has no underscore and an id has one, so that the key is free at once.
	sqlMarkDeleted = `UPDATE tenants SET status = 'suspended', deleted_at = $3, key = id, parent_id = NULL, version = version + 1, updated_at = $3
WHERE environment_id = $1 AND id = $2`

	sqlDropClosureAbove = `DELETE FROM tenant_closure WHERE environment_id = $1 AND descendant_id = $2`
	sqlDropClosureBelow = `DELETE FROM tenant_closure WHERE environment_id = $1 AND ancestor_id = $2`

	sqlDropDomains     = `DELETE FROM domains WHERE tenant_id = $1`
	sqlDropMetadata    = `DELETE FROM sso_metadata WHERE tenant_id = $1`
	sqlDropIdPKeys     = `DELETE FROM sso_idp_keys WHERE tenant_id = $1`
	sqlDropSPKeys      = `DELETE FROM sso_sp_keys WHERE tenant_id = $1`
	sqlDropSCIMTokens  = `DELETE FROM scim_tokens WHERE tenant_id = $1`
	sqlDropSCIMClients = `DELETE FROM scim_clients WHERE tenant_id = $1`

	// Those deleted first come first.
	sqlDeletedTenants = `SELECT environment_id, id FROM tenants WHERE deleted_at IS NOT NULL ORDER BY deleted_at, id LIMIT 100`

	// The last transaction waits for those that were adding rows when the tenant was marked.
	sqlLockDeleted = `SELECT id FROM tenants WHERE environment_id = $1 AND id = $2 AND deleted_at IS NOT NULL`

	sqlDeleteTenant = `DELETE FROM tenants WHERE environment_id = $1 AND id = $2 AND deleted_at IS NOT NULL`
)

// DeleteTenant marks a tenant as deleted. From then on nothing finds it: nobody of
// it enters, none of its credentials, connections and domains is known, its key is
// free, and its sub-accounts stand below its parent (product 2.10). Its first
// sessions end at once; the others are refused, and Remove ends them and drops
// whatever the tenant leaves behind, with the people whom nobody else knows
// (product 137). The audit log stays for its time.
//
// Fault: tenant_not_found.
func (s *Service) DeleteTenant(ctx context.Context, a actor.Actor, q db.Queryer, tenantID string) error {
	t, err := s.HoldPlace(ctx, q, a.Environment, tenantID)
	if err != nil {
		return err
	}
	if _, err := s.sessions.DropTenant(ctx, q, t.Environment, t.ID, removeBatch); err != nil {
		return err
	}
	now := db.At(s.clock.Now())
	err = q.Batch(ctx, []db.Stmt{
		{SQL: sqlReparent, Args: []any{t.Environment, t.ID, t.ParentID, now}},
		{SQL: sqlShortenClosure, Args: []any{t.Environment, t.ID}},
		{SQL: sqlDropClosureAbove, Args: []any{t.Environment, t.ID}},
		{SQL: sqlDropClosureBelow, Args: []any{t.Environment, t.ID}},
		// What speaks for the tenant to the outside, and what the clock would look at.
		{SQL: sqlDeleteTenantLocators, Args: []any{t.ID}},
		{SQL: sqlDropDomains, Args: []any{t.ID}},
		{SQL: sqlDropMetadata, Args: []any{t.ID}},
		{SQL: sqlDropIdPKeys, Args: []any{t.ID}},
		{SQL: sqlDropSPKeys, Args: []any{t.ID}},
		{SQL: sqlDropSCIMTokens, Args: []any{t.ID}},
		{SQL: sqlDropSCIMClients, Args: []any{t.ID}},
		{SQL: sqlMarkDeleted, Args: []any{t.Environment, t.ID, now}},
	})
	if err != nil {
		return err
	}
	// The event outlives the tenant, in its parent's log or the environment's.
	return s.record(ctx, a, q, t.ParentID, "tenant.deleted", target(t), nil)
}

// Removal drops up to limit of the rows that a package keeps of a deleted tenant,
// and reports how many; 0: none is left.
type Removal func(ctx context.Context, q db.Queryer, environment, tenant string, limit int) (int64, error)

// Remove drops what deleted tenants left behind: step by step, each in short
// transactions until it finds nothing more, and the tenant itself at the end. It
// is a job: a run that does not end in its time, or whose process dies, is gone on
// with by the next, on any replica. Runs may overlap.
func (s *Service) Remove(ctx context.Context, d db.DB, steps ...Removal) error {
	ctx, cancel := context.WithTimeout(ctx, removeTime)
	defer cancel()
	rows, err := d.Query(ctx, sqlDeletedTenants)
	if err != nil {
		return err
	}
	type gone struct{ environment, tenant string }
	var all []gone
	for rows.Next() {
		var g gone
		if err := rows.Scan(&g.environment, &g.tenant); err != nil {
			rows.Close()
			return err
		}
		all = append(all, g)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return err
	}
	var errs []error
	for _, g := range all {
		if err := s.remove(ctx, d, g.environment, g.tenant, steps); err != nil && ctx.Err() != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				err = nil
			}
			return errors.Join(append(errs, err)...)
		} else if err != nil {
			errs = append(errs, err) // the others do not wait for this one
		}
	}
	return errors.Join(errs...)
}

func (s *Service) remove(ctx context.Context, d db.DB, environment, tenant string, steps []Removal) error {
	for {
		for _, step := range steps {
			for {
				var n int64
				err := d.Tx(ctx, func(q db.Queryer) (err error) {
					n, err = step(ctx, q, environment, tenant, removeBatch)
					return err
				})
				if err != nil {
					return err
				}
				if n == 0 {
					break
				}
			}
		}
		done, err := s.removeLast(ctx, d, environment, tenant, steps)
		if err != nil || done {
			return err
		}
	}
}

// removeLast drops the tenant if no step finds anything any more, now that nothing
// is added.
func (s *Service) removeLast(ctx context.Context, d db.DB, environment, tenant string, steps []Removal) (done bool, err error) {
	err = d.Tx(ctx, func(q db.Queryer) error {
		done = true
		var id string
		err := q.QueryRow(ctx, sqlLockDeleted+q.Dialect().ForUpdate, environment, tenant).Scan(&id)
		if errors.Is(err, db.ErrNotFound) { // another run was faster
			return nil
		}
		if err != nil {
			return err
		}
		for _, step := range steps {
			n, err := step(ctx, q, environment, tenant, removeBatch)
			if err != nil {
				return err
			}
			done = done && n == 0
		}
		if !done {
			return nil
		}
		_, err = q.Exec(ctx, sqlDeleteTenant, environment, tenant)
		return err
	})
	return done && err == nil, err
}

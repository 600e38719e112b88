package signin

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

// Retention of what sign-ins leave behind (sso 2.2).
const (
	keepExpired = time.Hour // flows, requests, results, for the words of a late refusal
	keepLogins  = 30 * 24 * time.Hour
	purgeRows   = 1000
)

// Retention goes over all tenants: rows are chosen by their age alone, and a
// bounded number at a time, so that no lock is held for long.
const (
	sqlPurgeFlows = `DELETE FROM flows WHERE (environment_id, id) IN
		(SELECT environment_id, id FROM flows WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)`
	sqlPurgeRequests = `DELETE FROM sso_requests WHERE (tenant_id, connection_id, key) IN
		(SELECT tenant_id, connection_id, key FROM sso_requests WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)`
	sqlPurgeSocialRequests = `DELETE FROM social_requests WHERE (environment_id, connection_id, key) IN
		(SELECT environment_id, connection_id, key FROM social_requests WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)`
	sqlPurgeResults = `DELETE FROM sso_results WHERE (environment_id, hash) IN
		(SELECT environment_id, hash FROM sso_results WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)`
	sqlPurgeBreakGlass = `DELETE FROM break_glass_links WHERE (environment_id, hash) IN
		(SELECT environment_id, hash FROM break_glass_links WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)`
	sqlPurgeLogins = `DELETE FROM logins WHERE (tenant_id, id) IN
		(SELECT tenant_id, id FROM logins WHERE at < $1 ORDER BY at LIMIT $2)`
)

const sqlDropTenantLogins = `DELETE FROM logins WHERE tenant_id = $1 AND id IN (
	SELECT l.id FROM logins l WHERE l.tenant_id = $1 ORDER BY l.id LIMIT $2)`

// DropTenant drops up to limit of the sign-ins that are shown of a tenant that is
// being deleted, and reports how many.
func (s *Service) DropTenant(ctx context.Context, q db.Queryer, _, tenant string, limit int) (int64, error) {
	return q.Exec(ctx, sqlDropTenantLogins, tenant, int64(limit))
}

// Purge drops what is past its retention.
func (s *Service) Purge(ctx context.Context, d db.DB) error {
	now := s.clock.Now()
	for _, p := range []struct {
		sql    string
		before time.Time
	}{
		{sqlPurgeFlows, now.Add(-keepExpired)},
		{sqlPurgeRequests, now.Add(-keepExpired)},
		{sqlPurgeSocialRequests, now.Add(-keepExpired)},
		{sqlPurgeResults, now.Add(-keepExpired)},
		{sqlPurgeBreakGlass, now.Add(-keepExpired)},
		{sqlPurgeLogins, now.Add(-keepLogins)},
	} {
		for {
			n, err := d.Exec(ctx, p.sql, db.At(p.before), purgeRows)
			if err != nil {
				return err
			}
			if n < purgeRows {
				break
			}
		}
	}
	return nil
}

// PurgeFactors drops what has run out of tries, codes, links and remembered
// browsers.
func (s *Service) PurgeFactors(ctx context.Context) error { return s.factors.Purge(ctx) }

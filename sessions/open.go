package sessions

import (
	"context"
	"encoding/json"
	"net/netip"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

// Open is a tenant's part of a live session, as policies judge it anew.
type Open struct {
	Session    string
	Membership string
	Connection string // sso_…; empty when not through SSO
	Method     string // saml, oidc, password, …
	AMR        []string
	ACR        string
	IP         netip.Addr // from which the session began; zero: not known
}

// Open gives the live parts that a tenant has in sessions, in the order of their
// ids after the given one; at most limit.
func (s *Service) Open(ctx context.Context, q db.Queryer, environment, tenant, after string, limit int) ([]Open, error) {
	rows, err := q.Query(ctx, sqlOpen, tenant, environment, after, db.At(s.clock.Now()), limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Open
	for rows.Next() {
		var o Open
		var amr, ip string
		if err := rows.Scan(&o.Session, &o.Membership, &o.Connection, &o.Method, &amr, &o.ACR, &ip); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(amr), &o.AMR); err != nil {
			return nil, err
		}
		o.IP, _ = netip.ParseAddr(ip) // an address that cannot be read is not known
		list = append(list, o)
	}
	return list, rows.Err()
}

const sqlOpen = `SELECT t.session_id, t.membership_id, t.connection_id, t.method, t.amr, t.acr, s.ip
FROM session_tenants t JOIN sessions s ON s.environment_id = t.environment_id AND s.id = t.session_id
WHERE t.tenant_id = $1 AND t.environment_id = $2 AND t.session_id > $3 AND t.ended_at IS NULL AND (t.not_after IS NULL OR t.not_after > $4)
 AND s.ended_at IS NULL AND s.expires_at > $4
ORDER BY t.session_id LIMIT $5`

// Shorten bounds the live sessions that satisfy a tenant by times that became
// stricter (product 44 and 45). It lengthens none.
func (s *Service) Shorten(ctx context.Context, q db.Queryer, environment, tenant string, idle, absolute time.Duration) error {
	_, err := q.Exec(ctx, sqlShorten, tenant, environment, int64(idle/time.Second), absolute.Microseconds())
	return err
}

const sqlShorten = `UPDATE sessions SET
 idle_seconds = CASE WHEN idle_seconds > $3 THEN $3 ELSE idle_seconds END,
 expires_at = CASE WHEN expires_at > created_at + $4 THEN created_at + $4 ELSE expires_at END
WHERE environment_id = $2 AND ended_at IS NULL AND (idle_seconds > $3 OR expires_at > created_at + $4)
 AND id IN (SELECT session_id FROM session_tenants WHERE tenant_id = $1 AND ended_at IS NULL)`

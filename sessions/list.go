package sessions

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

// Listed is a tenant's part of a live session, as the tenant's people see it.
type Listed struct {
	ID         string
	Method     string // saml, oidc, password, …
	Connection string // sso_…; empty when not through SSO
	IP         string // from which it began
	UserAgent  string
	SignedInAt time.Time // to this tenant
	LastSeenAt time.Time // coarse
	ExpiresAt  time.Time // at the latest
}

// maxListed bounds the list of one person's sessions.
const maxListed = 200

// List gives the live sessions of a person in a tenant, the newest first; at most
// 200. What he does in other tenants is not told.
func (s *Service) List(ctx context.Context, q db.Queryer, environment, tenant, userID string) ([]Listed, error) {
	rows, err := q.Query(ctx, sqlListSessions, tenant, userID, environment, db.At(s.clock.Now()), maxListed)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Listed
	for rows.Next() {
		var l Listed
		var at, seen, expires, notAfter db.Time
		if err := rows.Scan(&l.ID, &l.Method, &l.Connection, &l.IP, &l.UserAgent, &at, &seen, &expires, &notAfter); err != nil {
			return nil, err
		}
		l.SignedInAt, l.LastSeenAt, l.ExpiresAt = at.Time, seen.Time, expires.Time
		if !notAfter.IsZero() && notAfter.Before(l.ExpiresAt) {
			l.ExpiresAt = notAfter.Time
		}
		list = append(list, l)
	}
	return list, rows.Err()
}

const sqlListSessions = `SELECT s.id, t.method, t.connection_id, s.ip, s.user_agent, t.satisfied_at, s.last_seen_at, s.expires_at, t.not_after
FROM session_tenants t JOIN sessions s ON s.environment_id = t.environment_id AND s.id = t.session_id
WHERE t.tenant_id = $1 AND t.user_id = $2 AND t.environment_id = $3 AND t.ended_at IS NULL AND (t.not_after IS NULL OR t.not_after > $4)
 AND s.ended_at IS NULL AND s.expires_at > $4 AND s.last_seen_at + s.idle_seconds * 1000000 > $4
ORDER BY t.satisfied_at DESC, s.id LIMIT $5`

package sessions

import (
	"context"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
)

// Own is a live session as its person sees it, whatever tenants it satisfies.
type Own struct {
	ID         string
	IP         string // from which it began
	UserAgent  string
	CreatedAt  time.Time
	LastSeenAt time.Time // coarse
	ExpiresAt  time.Time // at the latest
}

// ListOwn gives the live sessions of a person, the newest first; at most 200.
func (s *Service) ListOwn(ctx context.Context, q db.Queryer, environment, userID string) ([]Own, error) {
	rows, err := q.Query(ctx, sqlOwnSessions, environment, userID, db.At(s.clock.Now()), maxListed)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Own
	for rows.Next() {
		var o Own
		var created, seen, expires db.Time
		if err := rows.Scan(&o.ID, &o.IP, &o.UserAgent, &created, &seen, &expires); err != nil {
			return nil, err
		}
		o.CreatedAt, o.LastSeenAt, o.ExpiresAt = created.Time, seen.Time, expires.Time
		list = append(list, o)
	}
	return list, rows.Err()
}

// EndOthers ends a person's sessions but one, and gives how many those were. With a
// tenant it ends their parts in that tenant alone.
func (s *Service) EndOthers(ctx context.Context, a actor.Actor, q db.Queryer, environment, tenant, userID, keep, reason string) (int, error) {
	var ids []string
	if tenant == "" {
		list, err := s.ListOwn(ctx, q, environment, userID)
		if err != nil {
			return 0, err
		}
		for _, o := range list {
			ids = append(ids, o.ID)
		}
	} else {
		list, err := s.List(ctx, q, environment, tenant, userID)
		if err != nil {
			return 0, err
		}
		for _, l := range list {
			ids = append(ids, l.ID)
		}
	}
	slices.Sort(ids) // in one order, or two of them could each wait for the other
	ended := 0
	for _, id := range ids {
		if id == keep {
			continue
		}
		n, err := s.End(ctx, a, q, Selector{Environment: environment, Tenant: tenant, User: userID, Session: id}, reason)
		if err != nil {
			return ended, err
		}
		if n > 0 {
			ended++
		}
	}
	return ended, nil
}

const sqlOwnSessions = `SELECT s.id, s.ip, s.user_agent, s.created_at, s.last_seen_at, s.expires_at FROM sessions s
WHERE s.environment_id = $1 AND s.user_id = $2 AND s.ended_at IS NULL AND s.expires_at > $3 AND s.last_seen_at + s.idle_seconds * 1000000 > $3
AND EXISTS (SELECT 1 FROM session_tenants t WHERE t.environment_id = s.environment_id AND t.session_id = s.id AND t.ended_at IS NULL AND t.method <> 'impersonation')
ORDER BY s.created_at DESC, s.id LIMIT $4`

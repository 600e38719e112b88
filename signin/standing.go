package signin

import (
	"context"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/db"
)

// TokenStands is [Service.Check] for a token of a session, and asks as well whether the
// session has ended for the tenant: by one statement, for whoever needs the answer and
// nothing of the person, such as introspection. The statements with run in the same
// round trip.
//
// Faults: POLICY_* of kind Forbidden; an ended session is POLICY_NOT_A_MEMBER.
func (s *Service) TokenStands(ctx context.Context, q db.Queryer, environment, tenant, userID, session string, with ...db.Stmt) error {
	var (
		m                            directory.Membership
		tenantStatus, connStatus     *string
		connection                   string
		found                        bool
		disabled, hidden, expires, l db.Time
	)
	err := q.Batch(ctx, append(with, db.Stmt{SQL: sqlTokenStands, Args: []any{tenant, session, environment, userID}, Scan: func(rows db.Rows) error {
		for rows.Next() {
			found = true
			if err := rows.Scan(&tenantStatus, &m.Status, &disabled, &hidden, &expires, &m.SCIMResources, &m.SCIMActive, &l, &connection, &connStatus); err != nil {
				return err
			}
		}
		return rows.Err()
	}}))
	if err != nil {
		return err
	}
	m.DisabledAt, m.HiddenAt, m.ExpiresAt = disabled.Time, hidden.Time, expires.Time
	return mayEnter(found, tenantStatus, connection, connStatus, l, m, s.clock.Now())
}

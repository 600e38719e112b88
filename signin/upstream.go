package signin

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

const sqlUpstreamUser = `SELECT i.subject_key, m.user_id FROM identities i JOIN memberships m ON m.tenant_id = i.tenant_id AND m.id = i.membership_id
WHERE i.tenant_id = $1 AND i.connection_id = $2 AND i.subject_key IN (SELECT key FROM json_each($3)) ORDER BY i.subject_key LIMIT 100`

// UpstreamUser finds the person whom an identity provider names in a message that
// is not a login, such as a request to sign him out. subjectKeys are as
// [Identity.SubjectKey] makes them, the first that somebody has wins; at most 100.
// The user is empty where nobody has come under any of them.
func (s *Service) UpstreamUser(ctx context.Context, q db.Queryer, tenant, connection string, subjectKeys []string) (userID string, err error) {
	rows, err := q.Query(ctx, sqlUpstreamUser, tenant, connection, db.Set(subjectKeys))
	if err != nil {
		return "", err
	}
	defer rows.Close()
	found := map[string]string{}
	for rows.Next() {
		var key, user string
		if err := rows.Scan(&key, &user); err != nil {
			return "", err
		}
		found[key] = user
	}
	if err := rows.Err(); err != nil {
		return "", err
	}
	for _, k := range subjectKeys {
		if user, ok := found[k]; ok {
			return user, nil
		}
	}
	return "", nil
}

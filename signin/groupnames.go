package signin

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

// A GUID has 36 characters.
const sqlGroupsByName = `SELECT COUNT(*) FROM identities i
	JOIN identity_groups g ON g.tenant_id = i.tenant_id AND g.connection_id = i.connection_id AND g.identity_id = i.id
	WHERE i.tenant_id = $1 AND i.connection_id = $2 AND i.subject_key = $3 AND LENGTH(g.name) <> 36`

// GroupsByName reports whether the person's groups, as his provider last sent
// them, have names. A list of object ids in their place would take away every
// role that hangs on a name (identity rule 8).
func (s *Service) GroupsByName(ctx context.Context, q db.Queryer, i Identity) (bool, error) {
	var n int64
	err := q.QueryRow(ctx, sqlGroupsByName, i.Tenant, i.Connection, i.SubjectKey()).Scan(&n)
	return n > 0, err
}

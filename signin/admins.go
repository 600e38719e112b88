package signin

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

// Recipient is somebody whom a mail about a tenant's sign-in reaches.
type Recipient struct {
	Email string
	Name  string
}

// maxAdmins bounds how many people a mail about a tenant goes to.
const maxAdmins = 50

// PermissionConnections is what an admin of a tenant's connections holds.
const PermissionConnections = "fe.secure.write.samlConfiguration"

// Admins gives the tenant's people who may mend its connections: at most 50, the
// longest-standing first, each address once.
func (s *Service) Admins(ctx context.Context, q db.Queryer, environment, tenant string) ([]Recipient, error) {
	return s.Recipients(ctx, q, environment, tenant, PermissionConnections)
}

// Recipients gives the tenant's people who hold the permission: at most 50, the
// longest-standing first, each address once.
func (s *Service) Recipients(ctx context.Context, q db.Queryer, environment, tenant, permission string) ([]Recipient, error) {
	members, err := s.rbac.Holders(ctx, q, environment, tenant, permission, maxAdmins)
	if err != nil || len(members) == 0 {
		return nil, err
	}
	rows, err := q.Query(ctx, sqlRecipients, tenant, db.Set(members))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Recipient
	seen := map[string]bool{}
	for rows.Next() {
		var r Recipient
		var first, last string
		if err := rows.Scan(&r.Email, &r.Name, &first, &last); err != nil {
			return nil, err
		}
		if r.Name == "" {
			r.Name = joinNames(first, last)
		}
		if r.Email != "" && !seen[r.Email] {
			seen[r.Email] = true
			list = append(list, r)
		}
	}
	return list, rows.Err()
}

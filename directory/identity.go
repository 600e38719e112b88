package directory

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

// Identity is a person as one SSO connection knows him.
type Identity struct {
	ID, Tenant, Connection string
	SubjectKey             string // hex SHA-256 over the parts of the subject
	Subject                string // as shown to an admin
	ObjectID               string // Entra's oid; empty elsewhere
	Membership             string
	Email                  string
	// Profile is what the last login said, as a JSON object of at most 32 KiB.
	Profile                string
	CreatedAt, LastLoginAt time.Time
}

// maxGroups bounds how many groups of a login are kept, maxProfile its profile.
const (
	maxGroups  = 2000
	maxProfile = 32 << 10
)

// LinkIdentity adds the identity to its membership and records identity.linked.
// ID and times are set. Fails with db.ErrConflict when another login of the same
// person, or this person's other subject, came first.
func (s *Service) LinkIdentity(ctx context.Context, a actor.Actor, q db.Queryer, environment string, userID string, i Identity, step string) (Identity, error) {
	now := s.clock.Now()
	i.ID, i.CreatedAt, i.LastLoginAt = id.New(id.Identity), now, now
	if i.Profile == "" || len(i.Profile) > maxProfile {
		i.Profile = "{}"
	}
	events, err := audit.Stmts(audit.Event{
		Environment: environment, Tenant: i.Tenant, Action: "identity.linked", Actor: a, Connection: i.Connection, At: now,
		Targets:  []audit.Target{{Type: "user", ID: userID, Name: i.Email}, {Type: "sso_connection", ID: i.Connection}},
		Metadata: map[string]any{"subject": i.Subject, "matched_by": step},
	})
	if err != nil {
		return i, err
	}
	stmts := append([]db.Stmt{{SQL: sqlInsertIdentity, Args: []any{
		i.Tenant, i.ID, i.Connection, i.SubjectKey, i.Subject, i.ObjectID, i.Membership, i.Email, i.Profile, db.At(now),
	}}}, events...)
	return i, q.Batch(ctx, stmts)
}

// SeenStmts update what a known identity's login says: e-mail, profile, time.
func (s *Service) SeenStmts(i Identity) []db.Stmt {
	if i.Profile == "" || len(i.Profile) > maxProfile {
		i.Profile = "{}"
	}
	return []db.Stmt{{SQL: sqlIdentitySeen, Args: []any{i.Tenant, i.ID, i.Email, i.Profile, db.At(s.clock.Now())}}}
}

// ReplaceIdentityGroupsStmts replace the groups that the identity's logins
// assert (identity rule 8). To be called only when a login carried group
// information: no information is not "no groups". At most 2,000 names of at most
// 1,024 bytes are kept; longer ones are left out.
func (s *Service) ReplaceIdentityGroupsStmts(tenant, connection, identity string, names []string) []db.Stmt {
	keep := make([]string, 0, len(names))
	for _, n := range names {
		if n != "" && len(n) <= maxName && len(keep) < maxGroups {
			keep = append(keep, n)
		}
	}
	set := db.Set(keep)
	return []db.Stmt{
		{SQL: sqlDropIdentityGroups, Args: []any{tenant, identity, set}},
		{SQL: sqlAddIdentityGroups, Args: []any{tenant, connection, identity, set}},
	}
}

// Identities lists the logins that are linked to a membership.
func (s *Service) Identities(ctx context.Context, q db.Queryer, tenant, membership string) ([]Identity, error) {
	rows, err := q.Query(ctx, sqlIdentitiesOf, tenant, membership)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Identity
	for rows.Next() {
		var i Identity
		if err := rows.Scan(identityDest(&i)...); err != nil {
			return nil, err
		}
		list = append(list, i)
	}
	return list, rows.Err()
}

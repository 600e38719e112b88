package apitoken

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Service holds the operations of the package. It is safe for concurrent use.
type Service struct {
	roles *rbac.Service
	clock clock.Clock
}

// New makes the service.
func New(roles *rbac.Service, c clock.Clock) *Service { return &Service{roles: roles, clock: c} }

// Create makes a token of the tenant and gives its secret, which is shown once.
//
// Roles must not be stronger than the actor, and single permissions are such as he
// holds himself (product 121). The vendor's own actors are exempt; of them only
// admins come here, so that nobody reaches by a token what his back-office role
// withholds.
func (s *Service) Create(ctx context.Context, a actor.Actor, q db.Queryer, tenant string, in NewToken) (Token, string, error) {
	t, err := s.prepare(a, tenant, in.Kind, in.Description, in.Metadata, in.Expiry, true)
	if err != nil {
		return Token{}, "", err
	}
	if len(in.RoleIDs)+len(in.PermissionIDs) == 0 {
		return Token{}, "", invalid("roles_required", "Give role_ids or permission_ids.", "role_ids")
	}
	if err := s.room(ctx, q, sqlLockTenant+q.Dialect().ForNoKeyUpdate, a.Environment, t, MaxPerTenant); err != nil {
		return Token{}, "", err
	}
	var grants []db.Stmt
	if len(in.RoleIDs) > 0 {
		refs, err := s.roles.CheckGrant(ctx, a, q, a.Environment, tenant, in.RoleIDs)
		if err != nil {
			return Token{}, "", err
		}
		for _, r := range refs {
			t.RoleIDs = append(t.RoleIDs, r.ID)
			grants = append(grants, db.Stmt{SQL: sqlInsertRole, Args: []any{tenant, t.ID, a.Environment, r.Owner, r.ID}})
		}
	} else {
		if t.PermissionIDs, err = s.checkPermissions(ctx, a, q, in.PermissionIDs); err != nil {
			return Token{}, "", err
		}
		grants = append(grants, db.Stmt{SQL: sqlInsertPermissions, Args: []any{tenant, t.ID, a.Environment, db.Set(t.PermissionIDs)}})
	}
	plain, err := s.insert(ctx, a, q, &t, "tenant_api_token.created", grants)
	return t, plain, err
}

// CreatePersonal makes a token of the person who acts, in the tenant where he
// acts. Nobody makes one for somebody else, no token makes another, and who came
// from a parent has proved nothing to this tenant, of which he may be a member with
// more power (identity rule 6).
func (s *Service) CreatePersonal(ctx context.Context, a actor.Actor, q db.Queryer, env tenants.EnvironmentSettings, p directory.Person, in NewPersonal) (Token, string, error) {
	if !isOwn(a, p.Membership) {
		return Token{}, "", ErrNotYours
	}
	t, err := s.prepare(a, a.Tenant, in.Kind, in.Description, in.Metadata, in.Expiry, false)
	if err != nil {
		return Token{}, "", err
	}
	if !env.FeatureOn(featureOf(t.Kind)) {
		return Token{}, "", ErrKindOff
	}
	t.Membership = p.Membership.ID
	if err := s.room(ctx, q, sqlLockMembership+q.Dialect().ForNoKeyUpdate, t.Tenant, t, MaxPerPerson); err != nil {
		return Token{}, "", err
	}
	plain, err := s.insert(ctx, a, q, &t, "user_api_token.created", nil)
	return t, plain, err
}

// featureOf is what switches personal tokens of a kind on (product 2.3).
func featureOf(k Kind) tenants.Feature {
	if k == AccessToken {
		return tenants.FeatureUserAccessKeys
	}
	return tenants.FeatureUserTokens
}

func (s *Service) prepare(a actor.Actor, tenant string, kind Kind, description string, metadata map[string]any, expiry Expiry, never bool) (t Token, err error) {
	if a.Impersonator != (actor.Impersonator{}) {
		return t, ErrImpersonated
	}
	now := s.clock.Now()
	t = Token{ID: id.New(id.Token), Tenant: tenant, Environment: a.Environment, Kind: kind, CreatedBy: a.Subject, CreatedByName: a.Name, CreatedAt: now}
	if t.CreatedByName == "" {
		t.CreatedByName = a.Email
	}
	if t.Kind == "" {
		t.Kind = ClientCredentials
	}
	if err := t.Kind.check(); err != nil {
		return t, err
	}
	if t.Description, err = checkDescription(description); err != nil {
		return t, err
	}
	if t.Metadata, err = marshalMetadata(metadata); err != nil {
		return t, err
	}
	t.ExpiresAt, err = expiry.at(now, never)
	return t, err
}

// room locks what the token belongs to and refuses one too many.
func (s *Service) room(ctx context.Context, q db.Queryer, lock, lead string, t Token, most int64) error {
	owner := t.Membership
	if owner == "" {
		owner = t.Tenant
	}
	var locked string
	if err := q.QueryRow(ctx, lock, lead, owner).Scan(&locked); err != nil {
		return err
	}
	var n int64
	if err := q.QueryRow(ctx, sqlCount, t.Tenant, t.Membership).Scan(&n); err != nil {
		return err
	}
	if n >= most {
		return fault.New(fault.Conflict, "too_many_tokens", "There are "+strconv.FormatInt(most, 10)+" tokens already. Delete one first.")
	}
	return nil
}

// checkPermissions holds single permissions to those that the actor holds and that
// may be assigned.
func (s *Service) checkPermissions(ctx context.Context, a actor.Actor, q db.Queryer, ids []string) ([]string, error) {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	if len(ids) > maxPermissions {
		return nil, fault.New(fault.TooLarge, "too_many", "Give at most 500 permissions.").In("permission_ids")
	}
	all, err := s.roles.Permissions(ctx, q, a.Environment)
	if err != nil {
		return nil, err
	}
	byID := make(map[string]rbac.Permission, len(all))
	for _, p := range all {
		byID[p.ID] = p
	}
	for i, v := range ids {
		p, ok := byID[v]
		switch {
		case !ok:
			return nil, invalid("unknown_permission", "There is no such permission.", "permission_ids["+strconv.Itoa(i)+"]")
		case p.Classification == rbac.Never:
			return nil, invalid("permission_not_assignable", "The permission is given by roles only.", "permission_ids["+strconv.Itoa(i)+"]")
		case a.Tenant != "" && !a.May(p.Key):
			return nil, ErrNotHeld.In("permission_ids[" + strconv.Itoa(i) + "]")
		}
	}
	return ids, nil
}

func (s *Service) insert(ctx context.Context, a actor.Actor, q db.Queryer, t *Token, action string, grants []db.Stmt) (string, error) {
	plain := secret.New(t.prefix(), t.ID)
	t.Last4 = plain[len(plain)-4:]
	event, err := audit.Stmts(audit.Event{
		Environment: t.Environment, Tenant: t.Tenant, Action: action, Actor: a, At: t.CreatedAt,
		Targets:  []audit.Target{target(*t)},
		Metadata: map[string]any{"kind": t.Kind, "role_ids": t.RoleIDs, "permission_ids": t.PermissionIDs},
	})
	if err != nil {
		return "", err
	}
	stmts := []db.Stmt{
		{SQL: sqlInsert, Args: []any{
			t.Tenant, t.ID, t.Environment, t.Membership, string(t.Kind), t.Description, string(t.Metadata), secret.Hash(plain), t.Last4,
			t.CreatedBy, t.CreatedByName, db.At(t.ExpiresAt), db.At(t.CreatedAt),
		}},
		tenants.LocatorStmt(tenants.LocatorAPIToken, t.Environment, t.Tenant, t.ID),
	}
	return plain, q.Batch(ctx, append(append(stmts, grants...), event...))
}

// List gives the tokens of the tenant itself, the oldest first.
func (s *Service) List(ctx context.Context, q db.Queryer, tenant string) ([]Token, error) {
	list, err := scanTokens(q.Query(ctx, sqlTokens, tenant))
	if err != nil {
		return nil, err
	}
	at := make(map[string]*Token, len(list))
	for i := range list {
		at[list[i].ID] = &list[i]
	}
	return list, fill(ctx, q, tenant, at)
}

// Get gives a token of the tenant itself.
func (s *Service) Get(ctx context.Context, q db.Queryer, tenant, tokenID string) (Token, error) {
	t, err := get(ctx, q, sqlToken, tenant, tokenID, "")
	if err != nil {
		return Token{}, err
	}
	return t, fill(ctx, q, tenant, map[string]*Token{t.ID: &t})
}

// ListPersonal gives the tokens of a member, the oldest first. Those of somebody
// else are for who manages the tenant's tokens and is no weaker than that person
// (product 122).
func (s *Service) ListPersonal(ctx context.Context, a actor.Actor, q db.Queryer, m directory.Membership) ([]Token, error) {
	if err := s.checkOther(ctx, a, q, m, "fe.secure.read.tenantApiTokens"); err != nil {
		return nil, err
	}
	return scanTokens(q.Query(ctx, sqlPersonalTokens, m.Tenant, m.ID))
}

// Delete revokes a token of the tenant at once.
func (s *Service) Delete(ctx context.Context, a actor.Actor, q db.Queryer, tenant, tokenID string) error {
	if a.Impersonator != (actor.Impersonator{}) {
		return ErrImpersonated
	}
	t, err := get(ctx, q, sqlToken+q.Dialect().ForUpdate, tenant, tokenID, "")
	if err != nil {
		return err
	}
	if err := fill(ctx, q, tenant, map[string]*Token{t.ID: &t}); err != nil {
		return err
	}
	if _, err := s.roles.CheckGrant(ctx, a, q, a.Environment, tenant, t.RoleIDs); err != nil {
		return err
	}
	return s.delete(ctx, a, q, t, "tenant_api_token.deleted")
}

// DeletePersonal revokes a member's token at once: his own, or somebody else's
// under the rule of ListPersonal.
func (s *Service) DeletePersonal(ctx context.Context, a actor.Actor, q db.Queryer, m directory.Membership, tokenID string) error {
	if a.Impersonator != (actor.Impersonator{}) {
		return ErrImpersonated
	}
	if err := s.checkOther(ctx, a, q, m, "fe.secure.delete.tenantApiTokens"); err != nil {
		return err
	}
	t, err := get(ctx, q, sqlToken+q.Dialect().ForUpdate, m.Tenant, tokenID, m.ID)
	if err != nil {
		return err
	}
	return s.delete(ctx, a, q, t, "user_api_token.deleted")
}

// isOwn reports whether the membership is the one that the actor signed in to.
func isOwn(a actor.Actor, m directory.Membership) bool {
	return a.Kind == actor.User && a.Subject == m.UserID && a.Tenant == m.Tenant && a.Home == ""
}

// checkOther lets a person act on his own tokens, and others under the rules.
func (s *Service) checkOther(ctx context.Context, a actor.Actor, q db.Queryer, m directory.Membership, needs string) error {
	if isOwn(a, m) {
		return nil
	}
	if !a.May(needs) {
		return ErrNotYours
	}
	return s.roles.CheckTarget(ctx, a, q, m.Tenant, m.ID)
}

func (s *Service) delete(ctx context.Context, a actor.Actor, q db.Queryer, t Token, action string) error {
	event, err := audit.Stmts(audit.Event{
		Environment: t.Environment, Tenant: t.Tenant, Action: action, Actor: a, Targets: []audit.Target{target(t)}, At: s.clock.Now(),
	})
	if err != nil {
		return err
	}
	return q.Batch(ctx, append([]db.Stmt{
		{SQL: sqlDelete, Args: []any{t.Tenant, t.ID}},
		tenants.DropLocatorStmt(tenants.LocatorAPIToken, t.Tenant, t.ID),
	}, event...))
}

// maxPurge bounds one run of Purge.
const maxPurge = 1000

// PurgeKind is the kind of the job that runs Purge.
const PurgeKind = "api_tokens.purge"

// Purge drops the locators of tokens that went with their memberships.
func (s *Service) Purge(ctx context.Context, d db.DB) error {
	rows, err := d.Query(ctx, sqlOrphans, maxPurge)
	if err != nil {
		return err
	}
	defer rows.Close()
	var stmts []db.Stmt
	for rows.Next() {
		var tenant, tokenID string
		if err := rows.Scan(&tenant, &tokenID); err != nil {
			return err
		}
		stmts = append(stmts, tenants.DropLocatorStmt(tenants.LocatorAPIToken, tenant, tokenID))
	}
	rows.Close()
	if err := rows.Err(); err != nil || len(stmts) == 0 {
		return err
	}
	return d.Batch(ctx, stmts)
}

func target(t Token) audit.Target {
	return audit.Target{Type: "api_token", ID: t.ID, Name: t.Description}
}

func get(ctx context.Context, q db.Queryer, sql, tenant, tokenID, membership string) (t Token, err error) {
	err = scanToken(q.QueryRow(ctx, sql, tenant, tokenID, membership), &t)
	if errors.Is(err, db.ErrNotFound) {
		return Token{}, ErrNotFound
	}
	return t, err
}

// fill adds the roles and permissions to tokens of one tenant.
func fill(ctx context.Context, q db.Queryer, tenant string, tokens map[string]*Token) error {
	read := func(add func(*Token, string)) func(db.Rows) error {
		return func(rows db.Rows) error {
			for rows.Next() {
				var tokenID, v string
				if err := rows.Scan(&tokenID, &v); err != nil {
					return err
				}
				if t := tokens[tokenID]; t != nil {
					add(t, v)
				}
			}
			return rows.Err()
		}
	}
	return q.Batch(ctx, []db.Stmt{
		{SQL: sqlRoleIDs, Args: []any{tenant}, Scan: read(func(t *Token, v string) { t.RoleIDs = append(t.RoleIDs, v) })},
		{SQL: sqlPermissionIDs, Args: []any{tenant}, Scan: read(func(t *Token, v string) { t.PermissionIDs = append(t.PermissionIDs, v) })},
	})
}

func scanTokens(rows db.Rows, err error) ([]Token, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []Token{}
	for rows.Next() {
		var t Token
		if err := scanToken(rows, &t); err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	return list, rows.Err()
}

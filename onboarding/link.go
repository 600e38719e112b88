package onboarding

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// What a link gives (product 25; trap C6).
const (
	RolesOfCreator = "creator" // exactly those that the creator had, as far as he still has them
	RolesChosen    = "chosen"
	RolesDefault   = "default" // of links that the vendor makes, who has no roles
)

// MaxLinks is how many links a tenant may have.
const MaxLinks = 200

const maxUses = 100_000

var (
	errNoLink       = fault.New(fault.NotFound, "invite_link_not_found", "There is no such invite link.")
	errLinks        = fault.New(fault.Conflict, "too_many_invite_links", "A tenant has at most 200 invite links.")
	errUses         = fault.New(fault.Invalid, "out_of_range", "Choose 1 to 100000 uses, or 0 for any number.").In("max_uses")
	errLinkLifetime = fault.New(fault.Invalid, "out_of_range", "A link lasts 5 to 43200 minutes.").In("expires_in_minutes")
	errOwnRoles     = fault.New(fault.Invalid, "required", "A token has no roles of a person: name those that the link gives.").In("role_ids")
)

// Link is an invite link without its address.
type Link struct {
	ID, Environment, Tenant string
	Roles                   string // RolesOfCreator, RolesChosen or RolesDefault
	RoleIDs                 []string
	CreatedBy               string // the name of who did; empty: the vendor
	MaxUses, Uses           int64  // MaxUses 0: any number
	Approval                bool   // who comes waits until somebody lets him in
	ExpiresAt               time.Time
	CreatedAt               time.Time

	by       creator
	hash     string
	lifetime int64
}

// NewLink is what CreateLink takes.
type NewLink struct {
	RoleIDs  *[]string // nil: the creator's own
	MaxUses  int64
	Approval bool
	Lifetime time.Duration // 0: 7 days
}

// CreateLink makes a link and gives its address, which is shown once. It adds
// whoever follows it with the roles that its creator has now (product 25), or with
// those that he names and may grant.
//
// Faults: role_level_too_strong, unknown_role, out_of_range,
// too_many_invite_links, invite_links_disabled.
func (s *Service) CreateLink(ctx context.Context, a actor.Actor, q db.Queryer, env tenants.Environment, t tenants.Tenant, in NewLink) (Link, string, error) {
	switch {
	case !env.Settings.FeatureOn(tenants.FeatureInviteLinks):
		return Link{}, "", errLinksOff
	case in.MaxUses < 0 || in.MaxUses > maxUses:
		return Link{}, "", errUses
	case in.Lifetime == 0:
		in.Lifetime = DefaultLifetime
	case in.Lifetime < MinLifetime || in.Lifetime > MaxLifetime:
		return Link{}, "", errLinkLifetime
	}
	var n int64
	if err := q.QueryRow(ctx, sqlCountLinks, t.ID).Scan(&n); err != nil {
		return Link{}, "", err
	}
	if n >= MaxLinks {
		return Link{}, "", errLinks
	}
	now := s.clock.Now()
	l := Link{
		ID: id.New(id.InviteLink), Environment: env.ID, Tenant: t.ID, MaxUses: in.MaxUses, Approval: in.Approval,
		ExpiresAt: now.Add(in.Lifetime), CreatedAt: now, by: creatorOf(a), lifetime: seconds(in.Lifetime),
	}
	l.CreatedBy = l.by.name
	var err error
	if l.Roles, l.RoleIDs, err = s.linkRoles(ctx, a, q, l, in.RoleIDs); err != nil {
		return Link{}, "", err
	}
	token := secret.New(secret.InviteLink, l.ID)
	l.hash = secret.Hash(token)
	return l, linkURL(env, token), s.writeLink(ctx, q, a, l, "invite_link.created", now,
		db.Stmt{SQL: sqlInsertLink, Args: []any{
			t.ID, l.ID, env.ID, l.hash, l.Roles, string(l.by.kind), l.by.id, l.by.tenant, l.by.name, l.MaxUses, l.Approval, l.lifetime, db.At(l.ExpiresAt), db.At(now),
		}},
		db.Stmt{SQL: sqlInsertLinkRoles, Args: []any{t.ID, l.ID, env.ID, db.Set(l.RoleIDs)}},
		tenants.LocatorStmt(tenants.LocatorInviteLink, env.ID, t.ID, l.ID))
}

// linkRoles decides what a link gives.
func (s *Service) linkRoles(ctx context.Context, a actor.Actor, q db.Queryer, l Link, named *[]string) (kind string, roleIDs []string, err error) {
	kind = RolesOfCreator
	switch {
	case named != nil || l.by.vendor():
		kind = RolesDefault
		if named != nil {
			kind = RolesChosen
		}
		refs, err := s.grant(ctx, a, q, l.Environment, l.Tenant, named)
		for _, r := range refs {
			roleIDs = append(roleIDs, r.ID)
		}
		return kind, roleIDs, err
	case l.by.kind != actor.User:
		return kind, nil, errOwnRoles
	}
	p, err := s.power(ctx, q, l.Environment, l.Tenant, l.by, PermissionLink)
	if err != nil {
		return kind, nil, err
	}
	refs, err := s.rbac.Narrow(ctx, q, l.Environment, l.Tenant, p.level, p.roles) // without those that only his home knows
	for _, r := range refs {
		roleIDs = append(roleIDs, r.ID)
	}
	return kind, roleIDs, err
}

// RegenerateLink gives a link a new address, the full number of uses and its whole
// time again; the old address is dead. From now on it is the actor's.
//
// Faults: invite_link_not_found, role_level_too_strong, invite_links_disabled.
func (s *Service) RegenerateLink(ctx context.Context, a actor.Actor, q db.Queryer, env tenants.Environment, t tenants.Tenant, link string) (Link, string, error) {
	if !env.Settings.FeatureOn(tenants.FeatureInviteLinks) {
		return Link{}, "", errLinksOff
	}
	l, err := s.heldLink(ctx, a, q, t.ID, link)
	if err != nil {
		return l, "", err
	}
	now, token := s.clock.Now(), secret.New(secret.InviteLink, l.ID)
	if by := creatorOf(a); by != l.by && l.Roles == RolesOfCreator {
		l.Roles = RolesChosen // the actor may grant them; that he has them all is not said
	}
	l.by = creatorOf(a)
	l.CreatedBy, l.hash, l.Uses, l.ExpiresAt = l.by.name, secret.Hash(token), 0, now.Add(time.Duration(l.lifetime)*time.Second)
	return l, linkURL(env, token), s.writeLink(ctx, q, a, l, "invite_link.created", now, db.Stmt{SQL: sqlRenewLink, Args: []any{
		t.ID, l.ID, l.hash, db.At(l.ExpiresAt), string(l.by.kind), l.by.id, l.by.tenant, l.by.name, l.Roles,
	}})
}

func linkURL(env tenants.Environment, token string) string {
	return env.URL("/join/" + url.PathEscape(token))
}

// RevokeLink drops a link.
//
// Faults: invite_link_not_found, role_level_too_strong.
func (s *Service) RevokeLink(ctx context.Context, a actor.Actor, q db.Queryer, tenant, link string) error {
	l, err := s.heldLink(ctx, a, q, tenant, link)
	if err != nil {
		return err
	}
	return s.writeLink(ctx, q, a, l, "invite_link.revoked", s.clock.Now(),
		db.Stmt{SQL: sqlDeleteLink, Args: []any{tenant, l.ID}},
		tenants.DropLocatorStmt(tenants.LocatorInviteLink, tenant, l.ID))
}

// Links lists a tenant's links, the oldest first, expired ones included.
func (s *Service) Links(ctx context.Context, q db.Queryer, tenant, cursor string, limit int) (list []Link, next string, err error) {
	list, next, err = pageOf(ctx, q, sqlLinks, tenant, cursor, limit, scanLink, func(l Link) string { return position(l.CreatedAt, l.ID) })
	if err != nil {
		return nil, "", err
	}
	return list, next, s.withLinkRoles(ctx, q, tenant, list)
}

// Link reads one. Fault: invite_link_not_found.
func (s *Service) Link(ctx context.Context, q db.Queryer, tenant, link string) (Link, error) {
	return s.link(ctx, q, sqlLink, tenant, link)
}

// lockedLink is Link for who uses or changes it; others wait.
func (s *Service) lockedLink(ctx context.Context, q db.Queryer, tenant, link string) (Link, error) {
	return s.link(ctx, q, sqlLink+q.Dialect().ForUpdate, tenant, link)
}

func (s *Service) link(ctx context.Context, q db.Queryer, text, tenant, link string) (Link, error) {
	l, err := scanLink(q.QueryRow(ctx, text, tenant, link))
	if errors.Is(err, db.ErrNotFound) {
		return l, errNoLink
	}
	if err != nil {
		return l, err
	}
	list := []Link{l}
	err = s.withLinkRoles(ctx, q, tenant, list)
	return list[0], err
}

// heldLink is a link that the actor may change: he reaches its roles.
func (s *Service) heldLink(ctx context.Context, a actor.Actor, q db.Queryer, tenant, link string) (Link, error) {
	l, err := s.lockedLink(ctx, q, tenant, link)
	if err == nil {
		_, err = s.rbac.CheckGrant(ctx, a, q, l.Environment, tenant, l.RoleIDs)
	}
	return l, err
}

func (s *Service) withLinkRoles(ctx context.Context, q db.Queryer, tenant string, list []Link) error {
	at := make(map[string]*Link, len(list))
	ids := make([]string, 0, len(list))
	for i := range list {
		list[i].RoleIDs = []string{}
		at[list[i].ID] = &list[i]
		ids = append(ids, list[i].ID)
	}
	return each(ctx, q, func(of, role string) { at[of].RoleIDs = append(at[of].RoleIDs, role) }, sqlLinkRoles, tenant, db.Set(ids))
}

func (s *Service) writeLink(ctx context.Context, q db.Queryer, a actor.Actor, l Link, action string, now time.Time, stmts ...db.Stmt) error {
	events, err := audit.Stmts(audit.Event{
		Environment: l.Environment, Tenant: l.Tenant, Action: action, Actor: a, At: now, Targets: []audit.Target{{Type: "invite_link", ID: l.ID}},
	})
	if err != nil {
		return err
	}
	return q.Batch(ctx, append(stmts, events...))
}

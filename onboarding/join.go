package onboarding

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// request is what a sign-in carries that an invitation or a link began. The hash
// is that of the token which was shown: a newer mail ends the sign-in, too.
type request struct {
	Invitation string `json:"invitation,omitempty"`
	Link       string `json:"link,omitempty"`
	Hash       string `json:"hash"`
}

// found is an invitation or a link behind a token.
type found struct {
	tenant     tenants.Tenant
	invitation *Invitation
	link       *Link
}

// find looks for what a token belongs to, without using it up.
func (s *Service) find(ctx context.Context, q db.Queryer, env tenants.Environment, token string) (found, error) {
	var f found
	if raw, ok := secret.Parse(secret.Invitation, token); ok {
		tenant, err := locate(ctx, q, env.ID, tenants.LocatorInvitation, id.Invitation+"_"+raw)
		if err != nil {
			return f, err
		}
		inv, err := s.Invitation(ctx, q, tenant, id.Invitation+"_"+raw)
		if err == nil && !secret.Equal(inv.hash, token) {
			err = errUnknown
		}
		if err != nil {
			return f, unknown(err)
		}
		if err := inv.usable(s.clock.Now()); err != nil {
			return f, err
		}
		f.invitation = &inv
	} else if raw, ok := secret.Parse(secret.InviteLink, token); ok {
		tenant, err := locate(ctx, q, env.ID, tenants.LocatorInviteLink, id.InviteLink+"_"+raw)
		if err != nil {
			return f, err
		}
		l, err := s.Link(ctx, q, tenant, id.InviteLink+"_"+raw)
		if err == nil && !secret.Equal(l.hash, token) {
			err = errUnknown
		}
		if err != nil {
			return f, unknown(err)
		}
		if err := l.usable(s.clock.Now()); err != nil {
			return f, err
		}
		f.link = &l
	} else {
		return f, errUnknown
	}
	return f, s.open(ctx, q, env, &f)
}

// open refuses what was found where the environment or the tenant lets nobody in.
func (s *Service) open(ctx context.Context, q db.Queryer, env tenants.Environment, f *found) error {
	if err := f.allowed(env); err != nil {
		return err
	}
	var err error
	if f.tenant, err = s.tenants.Get(ctx, q, env.ID, f.tenantID()); err != nil {
		return unknown(err)
	}
	if f.tenant.Status != tenants.StatusActive {
		return errSuspended
	}
	return nil
}

func (f found) tenantID() string {
	if f.link != nil {
		return f.link.Tenant
	}
	return f.invitation.Tenant
}

// allowed asks whether the environment still lets its tenants invite this way.
func (f found) allowed(env tenants.Environment) error {
	feature := tenants.FeatureInvitations
	if f.link != nil {
		feature = tenants.FeatureInviteLinks
	}
	if !env.Settings.FeatureOn(feature) {
		return errUnknown
	}
	return nil
}

func (f found) id() string {
	if f.link != nil {
		return f.link.ID
	}
	return f.invitation.ID
}

func (i Invitation) usable(now time.Time) error {
	switch {
	case !now.Before(i.ExpiresAt):
		return errExpired
	case i.disabled:
		return directory.ErrDisabled
	case !i.AccessUntil.IsZero() && !now.Before(i.AccessUntil):
		return directory.ErrGuestExpired
	}
	return nil
}

func (l Link) usable(now time.Time) error {
	switch {
	case !now.Before(l.ExpiresAt):
		return errExpired
	case l.MaxUses > 0 && l.Uses >= l.MaxUses:
		return errUsedUp
	}
	return nil
}

func locate(ctx context.Context, q db.Queryer, environment, kind, key string) (tenant string, err error) {
	var of string
	err = q.QueryRow(ctx, sqlLocate, kind, key).Scan(&of, &tenant)
	if errors.Is(err, db.ErrNotFound) || err == nil && of != environment {
		err = errUnknown
	}
	return tenant, err
}

// unknown answers what is gone as what never was.
func unknown(err error) error {
	if fault.KindOf(err) == fault.NotFound {
		return errUnknown
	}
	return err
}

// Shown is what the holder of a token sees before he decides.
type Shown struct {
	ID          string
	Tenant      string
	TenantName  string
	Timezone    string // of the tenant; empty: not said
	InvitedBy   string // empty: the vendor
	Email       string // to which it is bound; empty: a link
	AccessUntil time.Time
	ExpiresAt   time.Time
	Approval    bool
	// SignedInAs is the address of the browser's session, when its user may join
	// with it.
	SignedInAs string
	CanSignIn  bool // the tenant has an identity provider to sign in through
	Password   bool // he may choose a password
	Social     []signin.SocialOption
}

// Show tells what a token invites to. It uses nothing up: scanners open links too.
//
// Faults: INVITATION_*, POLICY_*.
func (s *Service) Show(ctx context.Context, q db.Queryer, env tenants.Environment, token, cookie string) (Shown, error) {
	f, err := s.find(ctx, q, env, token)
	if err != nil {
		return Shown{}, err
	}
	out := Shown{ID: f.id(), Tenant: f.tenant.ID, TenantName: f.tenant.Name, Timezone: f.tenant.Details.Timezone}
	if f.link != nil {
		out.InvitedBy, out.ExpiresAt, out.Approval = f.link.CreatedBy, f.link.ExpiresAt, f.link.Approval
	} else {
		out.InvitedBy, out.ExpiresAt, out.Email, out.AccessUntil = f.invitation.InvitedBy, f.invitation.ExpiresAt, f.invitation.Email, f.invitation.AccessUntil
	}
	options, err := s.signin.TenantOptions(ctx, q, f.tenant.ID)
	if err != nil {
		return out, err
	}
	out.CanSignIn = len(options) > 0
	if out.Password, err = s.takesPassword(ctx, q, env, f); err != nil {
		return out, err
	}
	if out.Social, err = s.signin.SocialOptions(ctx, q, env, f.tenant.ID, false); err != nil {
		return out, err
	}
	p, err := s.signedIn(ctx, q, env, cookie)
	if err == nil {
		out.SignedInAs, err = f.matches(p)
	}
	if err != nil && fault.KindOf(err) == 0 {
		return out, err
	}
	return out, nil
}

// Begin opens the sign-in of who holds a token; it ends in the tenant that
// invites.
//
// Faults: INVITATION_*, POLICY_*, SIGNIN_NO_CONNECTION.
func (s *Service) Begin(ctx context.Context, q db.Queryer, env tenants.Environment, token, browserID string) (signin.Next, error) {
	f, err := s.find(ctx, q, env, token)
	if err != nil {
		return signin.Next{}, err
	}
	hint, text, err := f.request(token)
	if err != nil {
		return signin.Next{}, err
	}
	return s.signin.BeginJoin(ctx, q, env, browserID, f.tenant.ID, hint, text)
}

// Admit implements signin.Joiner.
func (s *Service) Admit(ctx context.Context, q db.Queryer, in signin.Joining) (*signin.Admission, error) {
	var r request
	if in.Request != nil {
		if err := json.Unmarshal(in.Request, &r); err != nil {
			return nil, err
		}
	}
	switch {
	case r.Invitation != "":
		return s.admitInvited(ctx, q, in, r)
	case in.Member.Status == directory.StatusInvited: // without a token, or with a link: he was invited by name
		return s.admitNamed(ctx, q, in.Member)
	case r.Link != "" && in.Member.ID == "":
		return s.admitLinked(ctx, q, in, r)
	}
	return nil, nil // a member who follows a link has nothing to gain by it
}

// admitNamed decides about who waits and comes without the token. Whom a directory
// keeps comes by its word, and gets what he was invited to where that still holds.
func (s *Service) admitNamed(ctx context.Context, q db.Queryer, m directory.Membership) (*signin.Admission, error) {
	var inv Invitation
	invitation, err := s.of(ctx, q, m.Tenant, m.ID)
	if err == nil {
		inv, err = s.locked(ctx, q, m.Tenant, invitation)
	}
	if errors.Is(err, errAbsent) {
		return nil, nil // it was withdrawn while a directory kept him
	}
	if err != nil {
		return nil, err
	}
	adm, err := s.admission(ctx, q, inv)
	if m.ManagedBy == directory.SCIM && fault.KindOf(err) != 0 {
		return nil, nil
	}
	return adm, err
}

func (s *Service) admitInvited(ctx context.Context, q db.Queryer, in signin.Joining, r request) (*signin.Admission, error) {
	inv, err := s.locked(ctx, q, in.Tenant, r.Invitation)
	if err != nil {
		return nil, unknown(err)
	}
	if inv.hash != r.Hash {
		return nil, errUnknown
	}
	// An address that the provider itself does not vouch for is nobody's.
	if directory.EmailKey(in.Identity.Email) != directory.EmailKey(inv.Email) || in.Identity.EmailVerified != nil && !*in.Identity.EmailVerified {
		return nil, errOtherAddress
	}
	adm, err := s.admissionByToken(ctx, q, inv)
	if err == nil && in.Member.ID == "" && adm.Waiting.Status != directory.StatusInvited {
		return nil, errUnknown // somebody else has become the member: a token makes nobody him
	}
	return adm, err
}

// admissionByToken is admission for who showed the token: it was mailed to the
// invitation's address and proves that one, whatever stands on the membership.
func (s *Service) admissionByToken(ctx context.Context, q db.Queryer, inv Invitation) (*signin.Admission, error) {
	adm, err := s.admission(ctx, q, inv)
	if err == nil {
		adm.Held, adm.Proved = true, inv.Email
	}
	return adm, err
}

func (s *Service) admission(ctx context.Context, q db.Queryer, inv Invitation) (*signin.Admission, error) {
	if err := inv.usable(s.clock.Now()); err != nil {
		return nil, err
	}
	p, err := s.power(ctx, q, inv.Environment, inv.Tenant, inv.by, PermissionInvite)
	if err != nil {
		return nil, err
	}
	roles, err := s.narrow(ctx, q, inv.Environment, inv.Tenant, p, false, inv.RoleIDs)
	if err != nil {
		return nil, err
	}
	waiting, err := s.directory.PersonByMembership(ctx, q, inv.Tenant, inv.Membership)
	if err != nil {
		return nil, err
	}
	if directory.EmailKey(waiting.Membership.Email) != directory.EmailKey(inv.Email) {
		return nil, errUnknown // a directory has made him somebody else
	}
	return &signin.Admission{
		Invitation: inv.ID, Waiting: waiting.Membership, RoleIDs: roles, FirstUser: inv.defaultRoles && inv.by.vendor(),
	}, nil
}

func (s *Service) admitLinked(ctx context.Context, q db.Queryer, in signin.Joining, r request) (*signin.Admission, error) {
	l, err := s.lockedLink(ctx, q, in.Tenant, r.Link)
	if err != nil {
		return nil, unknown(err)
	}
	if l.hash != r.Hash {
		return nil, errUnknown
	}
	return s.linkAdmission(ctx, q, l)
}

func (s *Service) linkAdmission(ctx context.Context, q db.Queryer, l Link) (*signin.Admission, error) {
	if err := l.usable(s.clock.Now()); err != nil {
		return nil, err
	}
	p, err := s.power(ctx, q, l.Environment, l.Tenant, l.by, PermissionLink)
	if err != nil {
		return nil, err
	}
	roles, err := s.narrow(ctx, q, l.Environment, l.Tenant, p, l.Roles == RolesOfCreator, l.RoleIDs)
	if err != nil {
		return nil, err
	}
	return &signin.Admission{Held: true, Link: l.ID, Approval: l.Approval, RoleIDs: roles, FirstUser: l.Roles == RolesDefault && l.by.vendor()}, nil
}

// Join implements signin.Joiner: the roles are given, and the invitation or one
// use of the link is used up.
func (s *Service) Join(ctx context.Context, a actor.Actor, q db.Queryer, adm signin.Admission, p signin.Joined) error {
	if err := s.useUp(ctx, a, q, adm, p); err != nil {
		return err
	}
	if len(adm.RoleIDs) > 0 {
		had, err := s.rbac.MembershipRoles(ctx, q, p.Tenant, p.Membership)
		if err != nil {
			return err
		}
		// The roles were narrowed to what the inviter may grant; nobody else grants here.
		system := a
		system.Kind, system.Subject, system.Email, system.Name, system.Tenant = actor.System, "", "", "invitation", ""
		if err := s.rbac.AssignRoles(ctx, system, q, p.Tenant, p.Membership, append(slices.Clone(had), adm.RoleIDs...)); err != nil {
			return err
		}
	}
	if adm.FirstUser {
		return q.Batch(ctx, s.rbac.FirstUserRoleStmts(q, p.Tenant, p.Environment, p.Membership))
	}
	return nil
}

func (s *Service) useUp(ctx context.Context, a actor.Actor, q db.Queryer, adm signin.Admission, p signin.Joined) error {
	now := s.clock.Now()
	e := audit.Event{
		Environment: p.Environment, Tenant: p.Tenant, Action: "invitation.accepted", Actor: a, At: now,
		Targets: []audit.Target{{Type: "user", ID: p.UserID, Name: p.Email}, {Type: "invitation", ID: adm.Invitation}},
	}
	stmts := dropInvitation(Invitation{Tenant: p.Tenant, ID: adm.Invitation})
	var used int64
	if adm.Link != "" {
		e.Action, e.Targets[1] = "invite_link.used", audit.Target{Type: "invite_link", ID: adm.Link}
		stmts = []db.Stmt{{SQL: sqlUseLink, Args: []any{p.Tenant, adm.Link}, Affected: &used}}
	}
	events, err := audit.Stmts(e)
	if err != nil {
		return err
	}
	if err := q.Batch(ctx, append(stmts, events...)); err != nil {
		return err
	}
	if adm.Link != "" && used == 0 {
		return errUsedUp
	}
	if w := adm.Waiting; w.ID != "" && w.ID != p.Membership {
		return s.directory.Withdraw(ctx, q, p.Environment, p.Tenant, w.ID) // he was a member already
	}
	return nil
}

// Names reports whether a token is of the invitation or link with the id.
func Names(token, of string) bool {
	if raw, ok := secret.Parse(secret.Invitation, token); ok {
		return of == id.Invitation+"_"+raw
	}
	raw, ok := secret.Parse(secret.InviteLink, token)
	return ok && of == id.InviteLink+"_"+raw
}

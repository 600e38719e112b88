package signin

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Joiner lets people in whom a tenant invited (package onboarding). All calls run
// in the transaction of the sign-in: Admit before anything is written, Join once
// the person is a member.
type Joiner interface {
	// Admit decides about an identity that a link or an invitation brings, or whose
	// membership is invited. nil: there is nothing to decide; a fault refuses.
	Admit(ctx context.Context, q db.Queryer, in Joining) (*Admission, error)
	// Join gives the member what he was invited to and uses the invitation up. A
	// fault refuses, and nothing of the sign-in is kept.
	Join(ctx context.Context, a actor.Actor, q db.Queryer, adm Admission, p Joined) error
	// JoinSocial does both for who comes through a connection of the environment, and
	// gives the user that he is now.
	JoinSocial(ctx context.Context, a actor.Actor, q db.Queryer, in SocialJoining) (userID string, err error)
}

// Joining is what Admit decides on.
type Joining struct {
	Environment string
	Tenant      string
	// Request is what the flow of purpose join carries; nil: the sign-in began
	// elsewhere, and Member is invited.
	Request  json.RawMessage
	Identity Identity
	Member   directory.Membership // whom the identity is; the zero value: nobody here yet
}

// Admission is leave to become a member.
type Admission struct {
	// Held: the person showed the token of the invitation, or the link. The
	// connection then need not make accounts for others.
	Held bool
	// Proved is the address to which the token that he showed was mailed; empty:
	// none, as with links. Its domain need not be one that the tenant verified, and
	// no other address is proved by it (identity rules 4 and 5).
	Proved string
	// Waiting is the membership that was made for him.
	Waiting directory.Membership
	// Approval: he becomes a member who waits for somebody to let him in.
	Approval bool
	// RoleIDs are what he gets, narrowed to what the inviter may grant now; FirstUser:
	// and those of a tenant's first person, if he is that.
	RoleIDs   []string
	FirstUser bool
	// One of them is used up.
	Invitation, Link string
}

// Joined is the member whom Join is about.
type Joined struct {
	Environment, Tenant, UserID, Membership, Email string
}

// UseJoiner sets who lets invited people in. It comes before the first sign-in.
func (s *Service) UseJoiner(j Joiner) { s.joiner = j }

var errNoWayIn = fault.New(fault.Invalid, "SIGNIN_NO_CONNECTION", "This organization has no way to sign in yet. Ask the person who invited you.")

// BeginJoin opens a flow for the holder of an invitation or a link, which ends in
// its tenant.
//
// Fault: SIGNIN_NO_CONNECTION.
func (s *Service) BeginJoin(ctx context.Context, q db.Queryer, env tenants.Environment, browserID, tenant, hint string, request json.RawMessage) (Next, error) {
	if browserID == "" {
		return Next{}, errOtherBrowser
	}
	options, err := s.TenantOptions(ctx, q, tenant)
	if err != nil {
		return Next{}, err
	}
	if len(options) == 0 {
		return Next{}, errNoWayIn
	}
	f := s.joinFlow(env, browserID, tenant, hint, request)
	next := Next{FlowID: f.ID, URL: "/login?flow=" + f.ID}
	if len(options) == 1 {
		f.Connection = options[0].Connection
		next.URL = options[0].LoginURL(f.ID)
	}
	return next, insertFlow(ctx, q, f)
}

// BeginJoinSocial opens a flow like that of BeginJoin, which goes to a connection of
// the environment.
//
// Fault: POLICY_CONNECTION_DISABLED.
func (s *Service) BeginJoinSocial(ctx context.Context, q db.Queryer, env tenants.Environment, browserID, tenant, hint string, request json.RawMessage, connection string) (Next, error) {
	if browserID == "" {
		return Next{}, errOtherBrowser
	}
	options, err := s.SocialOptions(ctx, q, env, tenant, false)
	if err != nil {
		return Next{}, err
	}
	n := slices.IndexFunc(options, func(o SocialOption) bool { return o.Connection == connection })
	if n < 0 {
		return Next{}, ErrConnectionDisabled
	}
	f := s.joinFlow(env, browserID, tenant, hint, request)
	return Next{FlowID: f.ID, URL: options[n].LoginURL(f.ID)}, insertFlow(ctx, q, f)
}

func (s *Service) joinFlow(env tenants.Environment, browserID, tenant, hint string, request json.RawMessage) Flow {
	now := s.clock.Now()
	return Flow{
		Environment: env.ID, ID: id.New(id.Flow), Organization: tenant, Tenant: tenant, Purpose: PurposeJoin, Request: request,
		LoginHint: clip(hint, MaxEmail), CreatedAt: now, ExpiresAt: now.Add(FlowLifetime), browserHash: secret.Hash(browserID),
	}
}

// admit asks the joiner, when the identity comes with an invitation or finds one
// that waits. What waits stands for the person then, when nobody else does.
func (s *Service) admit(ctx context.Context, q db.Queryer, f Flow, identity Identity, v *verdict) error {
	if s.joiner == nil || f.Purpose == PurposeTest || f.proof.Entered || v.link.Outcome == directory.LinkRefused || f.Purpose != PurposeJoin && !v.waits() {
		return nil
	}
	in := Joining{Environment: f.Environment, Tenant: identity.Tenant, Identity: identity}
	if f.Purpose == PurposeJoin {
		in.Request = f.Request
	}
	if !v.joins() {
		in.Member = v.link.Membership
	}
	var err error
	if v.admission, err = s.joiner.Admit(ctx, q, in); err != nil {
		return v.refuse("invitation", "one that holds", err)
	}
	if v.admission == nil || v.admission.Waiting.ID == "" || !v.joins() {
		return nil
	}
	if err := v.admission.Waiting.Usable(s.clock.Now()); err != nil {
		return v.refuse("account", "usable", err)
	}
	v.link.Person, v.link.Membership = v.link.UserID, v.admission.Waiting
	v.link.Outcome, v.link.Step, v.link.UserID = directory.LinkMembership, StepInvitation, v.admission.Waiting.UserID
	return nil
}

// StepInvitation is how the log calls a link by an invitation's token.
const StepInvitation = "invitation"

// waits reports whether the identity is somebody who was invited and has not come
// yet.
func (v *verdict) waits() bool {
	return !v.joins() && v.link.Membership.Status == directory.StatusInvited
}

// invited is waits for whom no directory keeps by now: it needs no invitation.
func (v *verdict) invited() bool {
	return v.waits() && v.link.Membership.ManagedBy != directory.SCIM
}

// held reports whether the person showed the token of an invitation or link.
func (v *verdict) held() bool { return v.admission != nil && v.admission.Held }

// proved is the address that the person proved to us by a mailed token; empty: none.
func (v *verdict) proved() string {
	if v.admission == nil {
		return ""
	}
	return v.admission.Proved
}

// personUsable refuses a user who was locked.
func (s *Service) personUsable(ctx context.Context, q db.Queryer, environment, userID string) error {
	var locked db.Time
	err := q.QueryRow(ctx, sqlUserLocked+q.Dialect().ForUpdate, environment, userID).Scan(&locked)
	if errors.Is(err, db.ErrNotFound) {
		return errNotMember
	}
	if err == nil && !locked.IsZero() {
		err = errUserLocked
	}
	return err
}

package onboarding

import (
	"context"
	"encoding/json"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

var errNotVouched = fault.New(fault.Forbidden, "INVITATION_ADDRESS_NOT_VOUCHED", "The provider does not say that this address was checked. Accept the invitation in another way.")

// BeginSocial opens the sign-in of who holds a token and wants to come through a
// connection of the environment.
//
// Faults: INVITATION_*, POLICY_*.
func (s *Service) BeginSocial(ctx context.Context, q db.Queryer, env tenants.Environment, token, browserID, connection string) (signin.Next, error) {
	f, err := s.find(ctx, q, env, token)
	if err != nil {
		return signin.Next{}, err
	}
	hint, text, err := f.request(token)
	if err != nil {
		return signin.Next{}, err
	}
	return s.signin.BeginJoinSocial(ctx, q, env, browserID, f.tenant.ID, hint, text, connection)
}

// request is what a sign-in carries that begins with the token.
func (f found) request(token string) (hint string, text json.RawMessage, err error) {
	r := request{Hash: secret.Hash(token)}
	if f.link != nil {
		r.Link = f.link.ID
	} else {
		r.Invitation, hint = f.invitation.ID, f.invitation.Email
	}
	text, err = json.Marshal(r)
	return hint, text, err
}

// JoinSocial implements signin.Joiner. The token admits, and the provider's word
// only says that the address of an invitation is the person's: whoever has that
// address elsewhere in the environment is not touched by it (identity rule 4).
func (s *Service) JoinSocial(ctx context.Context, a actor.Actor, q db.Queryer, in signin.SocialJoining) (string, error) {
	f, err := s.carried(ctx, q, in)
	if err != nil {
		return "", err
	}
	switch {
	case !in.Verified:
		return "", errNotVouched
	case f.invitation != nil && directory.EmailKey(in.Email) != directory.EmailKey(f.invitation.Email):
		return "", errOtherAddress
	case in.UserID != "":
		_, err := s.accept(ctx, a, q, in.Environment, f, in.UserID, in.Email)
		return in.UserID, err
	}
	// Somebody signs in under the address already: he is asked to, instead of becoming
	// two.
	switch who, err := s.directory.LocalByEmail(ctx, q, in.Environment.ID, in.Email); {
	case err != nil:
		return "", err
	case who.UserID != "":
		return "", errHasLogin
	}
	if f.invitation != nil {
		return s.become(ctx, a, q, in.Environment, f, func(actor.Actor) error { return nil })
	}
	return s.signUp(ctx, a, q, f, in)
}

// carried is what the sign-in's request names, if it still holds.
func (s *Service) carried(ctx context.Context, q db.Queryer, in signin.SocialJoining) (f found, err error) {
	var r request
	if err := json.Unmarshal(in.Request, &r); err != nil {
		return f, err
	}
	now := s.clock.Now()
	switch {
	case r.Invitation != "":
		inv, err := s.Invitation(ctx, q, in.Tenant, r.Invitation)
		if err == nil && inv.hash != r.Hash {
			err = errUnknown
		}
		if err == nil {
			err = inv.usable(now)
		}
		if err != nil {
			return f, unknown(err)
		}
		f.invitation = &inv
	case r.Link != "":
		l, err := s.Link(ctx, q, in.Tenant, r.Link)
		if err == nil && l.hash != r.Hash {
			err = errUnknown
		}
		if err == nil {
			err = l.usable(now)
		}
		if err != nil {
			return f, unknown(err)
		}
		f.link = &l
	default:
		return f, errUnknown
	}
	return f, s.open(ctx, q, in.Environment, &f)
}

// signUp makes a new user of who follows a link: never one whom the environment
// knows by the address, which is no proof of him.
func (s *Service) signUp(ctx context.Context, a actor.Actor, q db.Queryer, f found, in signin.SocialJoining) (string, error) {
	l, err := s.lockedLink(ctx, q, in.Tenant, f.link.ID)
	if err != nil {
		return "", unknown(err)
	}
	if l.hash != f.link.hash {
		return "", errUnknown
	}
	adm, err := s.linkAdmission(ctx, q, l)
	if err != nil {
		return "", err
	}
	if known, err := s.directory.Known(ctx, q, in.Tenant, "", in.Email); err != nil || known {
		if err == nil {
			err = errKnown
		}
		return "", err
	}
	status := directory.StatusActive
	if l.Approval {
		status = directory.StatusPendingApproval
	}
	a.Kind, a.Email, a.Tenant = actor.User, in.Email, in.Tenant
	p, err := s.directory.CreateUser(ctx, a, q, directory.NewUser{
		Environment: in.Environment.ID, Tenant: in.Tenant, Email: in.Email, Status: status, Apart: true,
	})
	if err != nil {
		return "", err
	}
	a.Subject = p.Membership.UserID
	return p.Membership.UserID, s.Join(ctx, a, q, *adm, signin.Joined{
		Environment: in.Environment.ID, Tenant: in.Tenant, UserID: p.Membership.UserID, Membership: p.Membership.ID, Email: in.Email,
	})
}

package onboarding

import (
	"context"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

var (
	errNoPassword = fault.New(fault.Forbidden, "INVITATION_NO_PASSWORD", "This organization wants you to sign in through its identity provider.")
	errHasLogin   = fault.New(fault.Conflict, "INVITATION_LOGIN_EXISTS", "There is a password for this address already. Sign in with it where you use it, then open the link in the mail again.")
)

// takesPassword reports whether an invited person may come in by a password: an
// invitation by mail, which proves the address, to a tenant that does not insist
// on its identity provider.
func (s *Service) takesPassword(ctx context.Context, q db.Queryer, env tenants.Environment, f found) (bool, error) {
	if f.invitation == nil {
		return false, nil
	}
	_, own, err := s.policy.Load(ctx, q, env.ID, f.tenant.ID)
	return err == nil && (!own.SSO.Enforced || own.SSO.Excludes(f.invitation.Email)), err
}

// AcceptWithPassword lets an invited person in who has no account: the mail that
// reached him proves his address, and he signs in with the password from then on.
// It opens its transaction, after the password was hashed.
//
// Faults: INVITATION_*, POLICY_*, those of a new password in the field password.
func (s *Service) AcceptWithPassword(ctx context.Context, a actor.Actor, env tenants.Environment, token, password string) (tenants.Tenant, error) {
	f, err := s.find(ctx, s.db, env, token)
	if err != nil {
		return tenants.Tenant{}, err
	}
	if f.invitation == nil {
		return f.tenant, errNoPassword
	}
	hash, err := s.signin.NewPassword(ctx, env, f.invitation.Email, f.tenant, password)
	if err != nil {
		return f.tenant, err
	}
	var by refusedBy
	err = s.db.Tx(ctx, func(q db.Queryer) error {
		by = refusedBy{}
		f, err := s.find(ctx, q, env, token)
		if err != nil {
			return err
		}
		ok, err := s.takesPassword(ctx, q, env, f)
		if err != nil {
			return err
		}
		if !ok {
			return errNoPassword
		}
		if by, err = s.permitted(ctx, q, a, env.ID, f, f.invitation.Email); err != nil {
			return err
		}
		return s.becomeWithPassword(ctx, a, q, env, f, hash)
	})
	if fault.CodeOf(err) == "login_exists" {
		err = errHasLogin
	}
	return f.tenant, s.recordRefused(ctx, a, by, err)
}

func (s *Service) becomeWithPassword(ctx context.Context, a actor.Actor, q db.Queryer, env tenants.Environment, f found, hash string) error {
	_, err := s.become(ctx, a, q, env, f, func(a actor.Actor) error {
		return s.signin.SetFirstPassword(ctx, a, q, env, a.Subject, hash)
	})
	return err
}

// become makes the person who was made for an invitation somebody of his own: the
// mail that reached him proves his address. give gives him a way to sign in.
func (s *Service) become(ctx context.Context, a actor.Actor, q db.Queryer, env tenants.Environment, f found, give func(actor.Actor) error) (user string, err error) {
	inv, err := s.locked(ctx, q, f.tenant.ID, f.invitation.ID)
	if err != nil {
		return "", unknown(err)
	}
	if inv.hash != f.invitation.hash {
		return "", errUnknown
	}
	adm, err := s.admissionByToken(ctx, q, inv)
	if err != nil {
		return "", err
	}
	m := adm.Waiting
	if m.Status != directory.StatusInvited {
		return "", errUnknown // a directory or a login has taken the place
	}
	a.Kind, a.Subject, a.Email, a.Tenant = actor.User, m.UserID, inv.Email, f.tenant.ID
	if err := s.directory.Activate(ctx, a, q, m, inv.Email); err != nil {
		return "", err
	}
	if err := give(a); err != nil {
		return "", err
	}
	return m.UserID, s.Join(ctx, a, q, *adm, signin.Joined{Environment: env.ID, Tenant: f.tenant.ID, UserID: m.UserID, Membership: m.ID, Email: inv.Email})
}

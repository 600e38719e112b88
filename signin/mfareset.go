package signin

import (
	"context"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/mail"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/signin/factor"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// ErrNotManaged refuses a tenant's administrator what would change how somebody
// proves himself elsewhere (identity rule 1).
var ErrNotManaged = fault.New(fault.Conflict, "login_not_managed_here", "How this person signs in is not this organization's alone to change. Ask the vendor.")

// MemberFactors lists the factors that a member is asked for in the tenant.
func (s *Service) MemberFactors(ctx context.Context, q db.Queryer, environment, tenant, user string) ([]factor.Factor, error) {
	list, err := s.factors.Factors(ctx, q, environment, user)
	var out []factor.Factor
	for _, f := range list {
		if f.Serves(tenant) {
			out = append(out, f)
		}
	}
	return out, err
}

// ManagedHere reports whether the tenant is the only one that a person belongs to,
// so that its administrator may help him with his own sign-in.
func (s *Service) ManagedHere(ctx context.Context, q db.Queryer, environment, tenant, user string) (bool, error) {
	list, err := s.directory.Memberships(ctx, q, environment, user)
	return len(list) == 1 && list[0].Tenant == tenant, err
}

// ResetMFA takes a person's second factors away: all of them by the vendor, with an
// empty tenant, and by the administrator of the only tenant that he belongs to; what
// serves behind one tenant's identity provider by that tenant. His sessions there
// end, browsers that were remembered are asked again, and he is told.
//
// Faults: login_not_managed_here, when nothing of his is this tenant's to reset.
func (s *Service) ResetMFA(ctx context.Context, a actor.Actor, q db.Queryer, env tenants.Environment, tenant string, p directory.Person) (removed int, err error) {
	user := p.User.ID
	all := tenant == ""
	if !all {
		if all, err = s.ManagedHere(ctx, q, env.ID, tenant, user); err != nil {
			return 0, err
		}
	}
	list, err := s.factors.Factors(ctx, q, env.ID, user)
	if err != nil {
		return 0, err
	}
	for _, f := range list {
		if !all && f.Tenant != tenant {
			continue
		}
		if err := s.factors.Remove(ctx, q, env.ID, user, f.ID); err != nil {
			return removed, err
		}
		removed++
	}
	if removed == 0 && !all {
		return 0, ErrNotManaged
	}
	if all {
		err = s.factors.DropRecoveryCodes(ctx, q, env.ID, user)
	} else {
		err = s.factors.EndRecoveryCodes(ctx, q, factor.Person{Environment: env, UserID: user, Tenant: tenant})
	}
	if err != nil {
		return removed, err
	}
	if err := s.factors.Forget(ctx, q, env.ID, user); err != nil {
		return removed, err
	}
	if _, err := s.sessions.End(ctx, a, q, sessions.Selector{Environment: env.ID, Tenant: tenant, User: user}, "mfa_reset"); err != nil {
		return removed, err
	}
	who := directory.PasswordLogin{UserID: user, Email: p.User.Email}
	return removed, s.credentialChanged(ctx, a, q, env, who, p.Membership.Email, "mfa.reset", map[string]any{"removed": removed}, mail.Letter{
		Subject:    "Your second factors were reset",
		Paragraphs: []string{"An administrator removed the second factors of your account. You are asked to set one up when one is required."},
	})
}

package onboarding

import (
	"context"
	"errors"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// maxProofs bounds how many tenants of a session are asked for the address.
const maxProofs = 20

// somebody is the user of a browser's session, with the addresses that he proved
// to us, or that a tenant which holds their domain knows him by (identity rule 5).
// What another tenant's identity provider alone says is no proof: it might name
// any address.
type somebody struct {
	user      string
	addresses []address
}

// address is one of his. sure: his login, too, is more than the word of a tenant
// that does not hold the domain, whose provider may name anybody of that tenant
// (identity rule 6). Where no mailed token is asked for, only such a one counts.
type address struct {
	email string
	sure  bool
}

func (s *Service) signedIn(ctx context.Context, q db.Queryer, env tenants.Environment, cookie string) (somebody, error) {
	ses, err := s.sessions.Find(ctx, q, env.ID, cookie)
	if err != nil {
		return somebody{}, err
	}
	p := somebody{user: ses.UserID}
	for i, proof := range ses.Tenants {
		if i == maxProofs {
			break
		}
		known, err := s.signin.Check(ctx, q, env.ID, proof.Tenant, ses.UserID, proof.Connection)
		switch {
		case err == nil && known.EmailVerified && known.Email != "":
			p.addresses = append(p.addresses, address{known.Email, proof.Connection == "" || known.DomainHeld})
		case err != nil && fault.KindOf(err) == 0:
			return p, err
		}
	}
	return p, nil
}

// matches gives the address by which somebody may use what was found.
//
// Faults: INVITATION_ADDRESS_UNPROVED, INVITATION_OTHER_ADDRESS.
func (f found) matches(p somebody) (string, error) {
	if len(p.addresses) == 0 {
		return "", errUnproved
	}
	for _, a := range p.addresses {
		if f.link != nil && a.sure || f.link == nil && directory.EmailKey(a.email) == directory.EmailKey(f.invitation.Email) {
			return a.email, nil
		}
	}
	if f.link != nil {
		return "", errUnproved
	}
	return "", errOtherAddress
}

// AcceptAs lets the user of the browser's session join: the token and his login
// are there (identity rule 4). He is a member then, and signs in to the tenant as
// the tenant demands; waiting says that somebody has to let him in first. It opens
// its transaction.
//
// Faults: INVITATION_*, POLICY_*, no_session.
func (s *Service) AcceptAs(ctx context.Context, a actor.Actor, env tenants.Environment, token, cookie string) (t tenants.Tenant, waiting bool, err error) {
	var by refusedBy
	err = s.db.Tx(ctx, func(q db.Queryer) error {
		by = refusedBy{}
		f, err := s.find(ctx, q, env, token)
		if err != nil {
			return err
		}
		t = f.tenant
		p, err := s.signedIn(ctx, q, env, cookie)
		if err != nil {
			return err
		}
		email, err := f.matches(p)
		if err != nil {
			return err
		}
		if by, err = s.permitted(ctx, q, a, env.ID, f, email); err != nil {
			return err
		}
		waiting, err = s.accept(ctx, a, q, env, f, p.user, email)
		return err
	})
	return t, waiting, s.recordRefused(ctx, a, by, err)
}

func (s *Service) accept(ctx context.Context, a actor.Actor, q db.Queryer, env tenants.Environment, f found, user, email string) (waiting bool, err error) {
	a.Kind, a.Subject, a.Email, a.Tenant = actor.User, user, email, f.tenant.ID
	joined := signin.Joined{Environment: env.ID, Tenant: f.tenant.ID, UserID: user, Email: email}
	member, err := s.directory.PersonOf(ctx, q, f.tenant.ID, user)
	here := err == nil
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return false, err
	}
	if here {
		if err := member.Membership.Usable(s.clock.Now()); err != nil {
			return false, err
		}
	}
	if f.link != nil {
		if here {
			return false, nil // nothing to gain
		}
		return s.acceptLink(ctx, a, q, f, joined)
	}
	inv, err := s.locked(ctx, q, f.tenant.ID, f.invitation.ID)
	if err != nil {
		return false, unknown(err)
	}
	if inv.hash != f.invitation.hash {
		return false, errUnknown
	}
	adm, err := s.admissionByToken(ctx, q, inv)
	if err != nil {
		return false, err
	}
	m := member.Membership
	if !here {
		if adm.Waiting.Status != directory.StatusInvited {
			return false, errUnknown // a directory or a login has taken the place
		}
		if m, err = s.directory.Move(ctx, a, q, adm.Waiting, user, directory.StatusPendingLogin); err != nil {
			return false, err
		}
	}
	joined.Membership = m.ID
	return false, s.Join(ctx, a, q, *adm, joined)
}

func (s *Service) acceptLink(ctx context.Context, a actor.Actor, q db.Queryer, f found, joined signin.Joined) (waiting bool, err error) {
	l, err := s.lockedLink(ctx, q, f.tenant.ID, f.link.ID)
	if err != nil {
		return false, unknown(err)
	}
	if l.hash != f.link.hash {
		return false, errUnknown
	}
	adm, err := s.linkAdmission(ctx, q, l)
	if err != nil {
		return false, err
	}
	known, err := s.directory.Known(ctx, q, joined.Tenant, joined.UserID, joined.Email)
	if err != nil {
		return false, err
	}
	if known {
		return false, errKnown
	}
	status := directory.StatusPendingLogin
	if l.Approval {
		status = directory.StatusPendingApproval
	}
	p, err := s.directory.CreateUser(ctx, a, q, directory.NewUser{
		Environment: joined.Environment, Tenant: joined.Tenant, UserID: joined.UserID, Email: joined.Email, Status: status,
	})
	if err != nil {
		return false, err
	}
	joined.Membership = p.Membership.ID
	return l.Approval, s.Join(ctx, a, q, *adm, joined)
}

// refusedBy is who was refused by which rule, for the organization's log.
type refusedBy struct {
	environment string
	f           found
	email       string
	rule        policy.Rule
}

// permitted asks the rules that bind whoever joins.
//
// Faults: POLICY_EMAIL_DOMAIN, POLICY_IP.
func (s *Service) permitted(ctx context.Context, q db.Queryer, a actor.Actor, environment string, f found, email string) (refusedBy, error) {
	env, own, err := s.policy.Load(ctx, q, environment, f.tenant.ID)
	if err != nil {
		return refusedBy{}, err
	}
	d := policy.Admit(policy.Input{IP: a.IP, Human: true, Email: email, Environment: env, Tenant: own})
	by := refusedBy{environment, f, email, d.Refused}
	switch {
	case d.Outcome == policy.OutcomeAllow:
		return refusedBy{}, nil
	case d.Code == policy.CodeEmailDomain:
		return by, errDomainJoin
	}
	return by, errAddress
}

// recordRefused writes down that a rule kept somebody out, after what he did was
// undone; it gives the refusal.
func (s *Service) recordRefused(ctx context.Context, a actor.Actor, by refusedBy, refusal error) error {
	if by.rule.Policy == "" || refusal == nil {
		return refusal
	}
	a.Tenant = by.f.tenant.ID
	e := audit.Event{
		Environment: by.environment, Tenant: by.f.tenant.ID, Action: "invitation.refused", Outcome: audit.Denied, Actor: a,
		Metadata: by.rule.Metadata(map[string]any{"code": fault.CodeOf(refusal), "email": by.email}),
	}
	switch {
	case by.f.invitation != nil:
		e.Targets = []audit.Target{{Type: "invitation", ID: by.f.invitation.ID, Name: by.f.invitation.Email}}
	case by.f.link != nil:
		e.Targets = []audit.Target{{Type: "invite_link", ID: by.f.link.ID}}
	}
	return errors.Join(s.db.Tx(ctx, func(q db.Queryer) error { return audit.Record(ctx, q, e) }), refusal)
}

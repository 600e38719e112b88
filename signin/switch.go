package signin

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// ErrInteraction: the person has to come in a browser, by an authorization request
// that names the organization.
var ErrInteraction = fault.New(fault.Forbidden, "interaction_required", "The person has to be asked: send an authorization request that names the organization.")

// Switch has a person's live session satisfy another tenant where nothing has to be
// asked of him, for who holds a refresh token of it and not its browser. It gives the
// session and its proof for that tenant.
//
// The address from which such a request comes is the application's, so a tenant that
// restricts addresses is entered by a browser only.
//
// Faults: interaction_required, POLICY_CONNECTION_DISABLED, and those of Check.
func (s *Service) Switch(ctx context.Context, a actor.Actor, q db.Queryer, env tenants.Environment, sessionID, tenant string) (sessions.Session, sessions.Proof, error) {
	none := func(err error) (sessions.Session, sessions.Proof, error) {
		return sessions.Session{}, sessions.Proof{}, err
	}
	ses, err := s.sessions.Live(ctx, q, env.ID, sessionID)
	if errors.Is(err, sessions.ErrNoSession) {
		return none(ErrInteraction)
	}
	if err != nil {
		return none(err)
	}
	if p, ok := ses.Proof(tenant); ok {
		return ses, p, nil
	}
	p, ok := portable(ses, func(sessions.Proof) bool { return true })
	person, err := s.checkLocked(ctx, q, env.ID, tenant, ses.UserID, "")
	if err != nil {
		return none(err)
	}
	if !ok {
		return none(ErrInteraction)
	}
	// Whoever switches the connection off by which he came waits.
	if _, err := s.socialHolds(ctx, q, env, Flow{Environment: env.ID, UserID: ses.UserID, proof: proof{Method: p.Method, Social: p.Social, Session: ses.ID}}); err != nil {
		return none(err)
	}
	// Once more, on locked rows: what it goes on from may have ended.
	if ses, err = s.sessions.Live(ctx, q, env.ID, sessionID); errors.Is(err, sessions.ErrNoSession) {
		return none(ErrInteraction)
	}
	if err != nil {
		return none(err)
	}
	if _, ok := ses.Proof(p.Tenant); !ok {
		return none(ErrInteraction)
	}
	decision, err := s.switches(ctx, q, env, ses, p, person)
	if err != nil {
		return none(err)
	}
	p = sessions.Proof{Tenant: tenant, Membership: person.Membership, Method: p.Method, Social: p.Social, AMR: p.AMR, ACR: p.ACR, AuthTime: p.AuthTime}
	a.Kind, a.Subject, a.Email, a.Tenant, a.Session = actor.User, ses.UserID, person.Email, tenant, ses.ID
	ses, err = s.sessions.Widen(ctx, a, q, ses, sessions.Login{
		Environment: env.ID, UserID: ses.UserID, Idle: decision.Idle, Absolute: decision.Absolute, ForceLogin: decision.ForceLogin,
		MaxConcurrent: decision.MaxConcurrent, Proof: p,
	})
	if errors.Is(err, sessions.ErrNoSession) {
		err = ErrInteraction
	}
	if err != nil {
		return none(err)
	}
	p, _ = ses.Proof(tenant)
	return ses, p, audit.Record(ctx, q, audit.Event{
		Environment: env.ID, Tenant: tenant, Action: "session.switched", Actor: a, Session: ses.ID, At: s.clock.Now(),
		Targets: []audit.Target{{Type: "user", ID: ses.UserID, Name: person.Email}}, Metadata: map[string]any{"method": p.Method},
	})
}

// switches asks the policies of the tenant for a person who cannot be asked anything.
func (s *Service) switches(ctx context.Context, q db.Queryer, env tenants.Environment, ses sessions.Session, p sessions.Proof, person Person) (policy.Decision, error) {
	now := s.clock.Now()
	in := policy.Input{Now: now, Email: person.Email, Method: p.Method, SecondFactor: hasMFA(p.AMR)}
	var err error
	if in.Environment, in.Tenant, err = s.policy.Load(ctx, q, env.ID, person.Tenant); err != nil {
		return policy.Decision{}, err
	}
	decision := policy.Evaluate(in)
	if in.Tenant.IP.Enabled || in.Environment.IP.Enabled || decision.Outcome != policy.OutcomeAllow || !now.Before(ses.CreatedAt.Add(decision.Absolute)) {
		return decision, ErrInteraction
	}
	m, err := s.directory.PersonByMembership(ctx, q, person.Tenant, person.Membership)
	if err != nil {
		return decision, err
	}
	if m.Membership.Status != directory.StatusActive {
		return decision, ErrInteraction // who was invited comes himself
	}
	if in.SecondFactor {
		return decision, nil
	}
	// Whoever has a second factor is asked for it wherever he goes.
	kinds, err := s.kinds(ctx, q, Flow{Environment: env.ID, UserID: ses.UserID})
	if err == nil && len(kinds) > 0 {
		err = ErrInteraction
	}
	return decision, err
}

// Place is an organization to which a person who has a session may go.
type Place struct {
	Account
	Open  bool // the session satisfies it
	Since time.Time
}

// Places are the organizations that a session leads to: those that it satisfies, and
// where the person proved himself to us all that he can enter. Of others an identity
// provider's word tells nothing (identity rule 6).
func (s *Service) Places(ctx context.Context, q db.Queryer, ses sessions.Session) ([]Place, error) {
	accounts, err := s.accounts(ctx, q, Flow{Environment: ses.Environment, UserID: ses.UserID})
	if err != nil {
		return nil, err
	}
	_, own := portable(ses, func(sessions.Proof) bool { return true })
	var list []Place
	for _, c := range accounts {
		p, open := ses.Proof(c.Tenant)
		if open || own {
			list = append(list, Place{Account: c, Open: open, Since: p.SatisfiedAt})
		}
	}
	return list, nil
}

// PlaceURL is where the default application begins a sign-in to one of the places.
//
// Faults: SIGNIN_ACCOUNT_UNKNOWN, ErrNoStart.
func (s *Service) PlaceURL(ctx context.Context, q db.Queryer, env tenants.Environment, ses sessions.Session, tenant string) (string, error) {
	places, err := s.Places(ctx, q, ses)
	if err != nil {
		return "", err
	}
	for _, p := range places {
		if p.Tenant == tenant {
			return s.TenantStartURL(ctx, q, env, tenant)
		}
	}
	return "", errAccountChoice
}

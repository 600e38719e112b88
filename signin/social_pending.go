package signin

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/mail"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// pendingSocial is an identity that nobody has, waiting on the flow in which it came.
type pendingSocial struct {
	Connection string `json:"connection"`
	Name       string `json:"name"` // of the connection
	Key        string `json:"key"`
	Subject    string `json:"subject"`
	Email      string `json:"email,omitempty"`
	// Agreed: the person wants it connected to the account that he signs in to next.
	Agreed bool `json:"agreed,omitempty"`
}

// PendingSocial is what the person is asked about.
type PendingSocial struct {
	Provider string // as its button names it; empty: nothing waits
	Email    string // of the account there; empty: the provider says none
}

// SocialOffer is what the pages of a sign-in's first step show: the connections that
// the environment offers, or the identity that the person agreed to have connected.
// It is empty for a flow that is over.
func (s *Service) SocialOffer(ctx context.Context, in Local) ([]SocialOption, PendingSocial, error) {
	f, err := s.ChoosableFlow(ctx, s.db, in.Environment.ID, in.FlowID, in.BrowserID)
	if fault.KindOf(err) != 0 {
		return nil, PendingSocial{}, nil
	}
	if err != nil {
		return nil, PendingSocial{}, err
	}
	if p, ok, err := s.pending(f); err != nil || ok && p.Agreed {
		return nil, PendingSocial{Provider: p.Name, Email: p.Email}, err
	}
	options, err := s.SocialOptions(ctx, s.db, in.Environment, f.Organization, f.ForceAuthn)
	return options, PendingSocial{}, err
}

// keepPending writes the identity down on its flow; nobody has proved anything.
func (s *Service) keepPending(ctx context.Context, q db.Queryer, f *Flow, p pendingSocial) error {
	plain, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if f.social, err = s.vault.Seal("flows", "social", f.ID, plain); err != nil {
		return err
	}
	n, err := q.Exec(ctx, sqlKeepSocial, f.Environment, f.ID, f.social)
	if err == nil && n == 0 {
		err = errFlowFinished
	}
	return err
}

// pending opens the identity that waits on the flow; ok is false when none does.
func (s *Service) pending(f Flow) (p pendingSocial, ok bool, err error) {
	if f.social == "" {
		return p, false, nil
	}
	plain, err := s.vault.Open("flows", "social", f.ID, f.social)
	if err == nil {
		err = json.Unmarshal(plain, &p)
	}
	return p, err == nil, err
}

// Pending tells which identity waits for the person's word.
//
// Fault: SIGNIN_STEP when none does.
func (s *Service) Pending(ctx context.Context, in Local) (PendingSocial, error) {
	f, err := s.ChoosableFlow(ctx, s.db, in.Environment.ID, in.FlowID, in.BrowserID)
	if err != nil {
		return PendingSocial{}, err
	}
	p, ok, err := s.pending(f)
	if err == nil && (!ok || p.Agreed) {
		err = errStage
	}
	return PendingSocial{Provider: p.Name, Email: p.Email}, err
}

// AgreeSocial notes that the person wants the identity that waits connected to the
// account that he signs in to next in this flow.
//
// Faults: SIGNIN_STEP, and those of the flow.
func (s *Service) AgreeSocial(ctx context.Context, in Local) error {
	return s.db.Tx(ctx, func(q db.Queryer) error {
		f, err := s.ChoosableFlow(ctx, q, in.Environment.ID, in.FlowID, in.BrowserID)
		if err != nil {
			return err
		}
		p, ok, err := s.pending(f)
		if err == nil && !ok {
			err = errStage
		}
		if err != nil {
			return err
		}
		p.Agreed = true
		return s.keepPending(ctx, q, &f, p)
	})
}

// linkPending connects the identity that waits to the person who has signed in, as
// he agreed to. He is told by mail. Only who proved himself to us gets it: it will prove
// him for all of his tenants, and one tenant's identity provider must not come to others
// by it (identity rule 6).
//
// Faults: SIGNIN_SOCIAL_TAKEN, SIGNIN_SOCIAL_LIMIT.
func (s *Service) linkPending(ctx context.Context, a actor.Actor, q db.Queryer, env tenants.Environment, f Flow) error {
	p, ok, err := s.pending(f)
	if err != nil || !ok || !p.Agreed || !slices.Contains(ownMethods, f.proof.Method) {
		return err
	}
	c, err := s.tenants.HeldSocial(ctx, q, env.ID, p.Connection)
	if absent(err) || err == nil && !c.SocialOffers(env) {
		return nil // it was switched off meanwhile: there is nothing to connect to
	}
	if err != nil {
		return err
	}
	_, err = s.directory.LinkSocial(ctx, a, q, directory.SocialIdentity{
		Environment: env.ID, Connection: c.ID, ConnectionName: c.Name, UserID: f.UserID, SubjectKey: p.Key, Subject: p.Subject, Email: p.Email,
	})
	if err != nil {
		return err
	}
	who, err := s.directory.LocalByID(ctx, q, env.ID, f.UserID)
	if err != nil || who.Email == "" {
		return err
	}
	facts := []mail.Fact{{Label: "Provider", Value: c.Name}}
	if p.Email != "" {
		facts = append(facts, mail.Fact{Label: "Account", Value: p.Email})
	}
	return s.mail(ctx, q, env.ID, who.Email, mail.Letter{
		Args:       []string{"provider", c.Name},
		Subject:    "You can now sign in with {provider}",
		Paragraphs: []string{"An account at {provider} was connected to yours just now. Whoever is signed in to it can sign in as you."},
		Facts:      append(facts, mail.Fact{Label: "When", At: s.clock.Now()}),
		Closing:    "If it was not you, change your password now and tell your administrator, who can disconnect it.",
	})
}

// SocialJoining is who comes with an invitation or a link through a connection of
// the environment.
type SocialJoining struct {
	Environment tenants.Environment
	Tenant      string
	Request     json.RawMessage // of the flow
	UserID      string          // who has the identity already; empty: nobody
	Email       string
	Verified    bool // the provider says that the address is the person's
}

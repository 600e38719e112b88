package signin

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/mail"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/signin/factor"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// FreshFor is how old a sign-in may be in which somebody changes what he proves
// himself with (product 7.6, step-up).
const FreshFor = 10 * time.Minute

// Refusals at a person's own account.
var (
	ErrOwnOnly = fault.New(fault.Forbidden, "people_only", "Only people themselves, signed in, may do this.")
	// ErrStepUp and ErrStepUpSecond ask for a fresh sign-in (RFC 9470 §3): the second
	// of them with a second factor.
	ErrStepUp       = fault.New(fault.Unauthenticated, "insufficient_user_authentication", "This needs a sign-in of the last ten minutes. Sign in again.")
	ErrStepUpSecond = fault.New(fault.Unauthenticated, "insufficient_user_authentication", "This needs a sign-in with your second factor. Sign in again.")
	// ErrOwnSignIn is for somebody for whom his organization's identity provider alone
	// speaks: it does so in that organization, and what is his own is beyond it
	// (identity rules 1 and 6).
	ErrOwnSignIn     = fault.New(fault.Forbidden, "own_sign_in_required", "Your organization's identity provider signed you in, which speaks for you in this organization alone. Sign in with your password or passkey to change this.")
	errFirstPassword = fault.New(fault.Conflict, "password_by_mail", "You have no password yet. Choose the first one with \"Forgot your password?\" on the sign-in page, which proves your address.")
	errNoFactor      = fault.New(fault.Conflict, "no_factor", "Recovery codes stand in for a second factor. Set one up first.")
)

// Own is a person at his own account, in the session of the token that he shows.
type Own struct {
	Environment tenants.Environment
	Actor       actor.Actor
	Proof       sessions.Proof // of the tenant for which the token was made
}

// Own finds the session in which somebody acts. Who is impersonated, and whatever
// is not a person, has no account of his own here (identity rule 12).
//
// Faults: people_only, no_session.
func (s *Service) Own(ctx context.Context, q db.Queryer, a actor.Actor, env tenants.Environment) (Own, error) {
	o := Own{Environment: env, Actor: a}
	if a.Kind != actor.User || a.Session == "" || a.Tenant == "" || a.Impersonator.ID != "" || a.Home != "" {
		return o, ErrOwnOnly
	}
	ses, proof, err := s.sessions.Granted(ctx, q, env.ID, a.Tenant, a.Session)
	if err != nil {
		return o, err
	}
	if ses.UserID != a.Subject || proof.Method == sessions.MethodImpersonation {
		return o, ErrOwnOnly
	}
	o.Proof = proof
	return o, nil
}

// Behind is the organization whose identity provider alone speaks for the person;
// empty: he proved himself to us.
func (o Own) Behind() string {
	if o.Proof.Connection != "" {
		return o.Proof.Tenant
	}
	return ""
}

func (o Own) person() factor.Person {
	return factor.Person{Environment: o.Environment, UserID: o.Actor.Subject, Name: o.Actor.Email, Tenant: o.Behind()}
}

// holder is whom challenges of this session belong to.
func (o Own) holder() string { return "own:" + o.Actor.Session }

// OwnFactors lists the factors that the person is asked for where he stands.
func (s *Service) OwnFactors(ctx context.Context, q db.Queryer, o Own) ([]factor.Factor, error) {
	list, err := s.factors.Factors(ctx, q, o.Environment.ID, o.Actor.Subject)
	if o.Behind() == "" {
		return list, err
	}
	return slices.DeleteFunc(list, func(f factor.Factor) bool { return !f.Serves(o.Behind()) }), err
}

// RecoveryCodesLeft counts them.
func (s *Service) RecoveryCodesLeft(ctx context.Context, q db.Queryer, o Own) (int, error) {
	return s.factors.RecoveryCodes(ctx, q, o.person())
}

// fresh asks for a sign-in of a moment ago, with a second factor where the person
// has one, before what he proves himself with is changed.
func (s *Service) fresh(ctx context.Context, q db.Queryer, o Own) ([]factor.Factor, error) {
	if s.clock.Now().Sub(o.Proof.AuthTime) > FreshFor {
		return nil, ErrStepUp
	}
	list, err := s.OwnFactors(ctx, q, o)
	if err != nil {
		return nil, err
	}
	serves := slices.ContainsFunc(list, func(f factor.Factor) bool { return f.Serves(o.Behind()) })
	if serves && !ACRReaches(o.Proof.ACR, ACRMultiFactor) {
		return nil, ErrStepUpSecond
	}
	return list, nil
}

// ownFactor finds one of the person's factors.
func ownFactor(list []factor.Factor, o Own, id string) (factor.Factor, error) {
	i := slices.IndexFunc(list, func(f factor.Factor) bool { return f.ID == id })
	switch {
	case i < 0:
		return factor.Factor{}, factor.ErrNotFound
	case o.Behind() != "" && list[i].Tenant == "":
		return factor.Factor{}, ErrOwnSignIn
	}
	return list[i], nil
}

// RenameFactor names one of the person's factors.
//
// Faults: factor_not_found, own_sign_in_required.
func (s *Service) RenameFactor(ctx context.Context, q db.Queryer, o Own, id, name string) (factor.Factor, error) {
	list, err := s.OwnFactors(ctx, q, o)
	if err != nil {
		return factor.Factor{}, err
	}
	f, err := ownFactor(list, o, id)
	if err != nil {
		return f, err
	}
	f.Name = factor.Named(f.Kind, name)
	return f, s.factors.Rename(ctx, q, o.Environment.ID, o.Actor.Subject, id, f.Name)
}

// RemoveFactor takes one of the person's factors away, and with the last one the
// recovery codes, which stood in for it.
//
// Faults: factor_not_found, own_sign_in_required, insufficient_user_authentication.
func (s *Service) RemoveFactor(ctx context.Context, q db.Queryer, o Own, id string) error {
	list, err := s.fresh(ctx, q, o)
	if err != nil {
		return err
	}
	f, err := ownFactor(list, o, id)
	if err != nil {
		return err
	}
	if err := s.factors.Remove(ctx, q, o.Environment.ID, o.Actor.Subject, id); err != nil {
		return err
	}
	if !slices.ContainsFunc(list, func(other factor.Factor) bool { return other.ID != id && other.Tenant == f.Tenant }) {
		p := o.person()
		p.Tenant = f.Tenant
		if err := s.factors.EndRecoveryCodes(ctx, q, p); err != nil {
			return err
		}
	}
	return s.changedOwn(ctx, q, o, "mfa.removed", map[string]any{"kind": f.Kind, "factor_id": f.ID}, mail.Letter{
		Subject:    "A second factor was removed",
		Paragraphs: []string{"A second factor of your account was removed just now."},
		Facts:      []mail.Fact{{Label: "Name", Value: f.Name}},
	})
}

// BeginApp makes the secret of a new authenticator app for a session.
//
// Fault: insufficient_user_authentication.
func (s *Service) BeginApp(ctx context.Context, q db.Queryer, o Own) (factor.NewTOTP, error) {
	if _, err := s.fresh(ctx, q, o); err != nil {
		return factor.NewTOTP{}, err
	}
	return s.factors.BeginTOTP(ctx, q, o.person(), o.holder())
}

// CountOwn counts a try at AddApp before it is judged; no transaction may be open.
//
// Faults: SIGNIN_TOO_MANY_ATTEMPTS, insufficient_user_authentication.
func (s *Service) CountOwn(ctx context.Context, o Own) (factor.Try, error) {
	if _, err := s.fresh(ctx, s.db, o); err != nil {
		return factor.Try{}, err // an old token locks nobody out
	}
	return s.factors.Count(ctx, o.Environment.ID, o.person().Account(), o.Actor.IP, factor.SecondLock)
}

// AddApp takes the app over once it gives the right code. Whoever had no recovery
// codes gets some.
//
// Faults: SIGNIN_WRONG_CODE, SIGNIN_CHALLENGE_EXPIRED, too_many_factors,
// insufficient_user_authentication.
func (s *Service) AddApp(ctx context.Context, q db.Queryer, o Own, try factor.Try, name, code string) (made factor.Factor, codes []string, err error) {
	if _, err := s.fresh(ctx, q, o); err != nil {
		return made, nil, err
	}
	if made, err = s.factors.FinishTOTP(ctx, q, o.person(), o.holder(), name, code); err != nil {
		return made, nil, err
	}
	left, err := s.factors.RecoveryCodes(ctx, q, o.person())
	if err != nil {
		return made, nil, err
	}
	if left == 0 {
		if codes, err = s.factors.NewRecoveryCodes(ctx, q, o.person()); err != nil {
			return made, nil, err
		}
	}
	if err := q.Batch(ctx, s.factors.HeldStmts(try)); err != nil {
		return made, nil, err
	}
	return made, codes, s.changedOwn(ctx, q, o, "mfa.enrolled", map[string]any{"kind": factor.TOTP, "factor_id": made.ID}, mail.Letter{
		Subject:    "A second factor was added",
		Paragraphs: []string{"An authenticator app was added to your account just now."},
		Facts:      []mail.Fact{{Label: "Name", Value: made.Name}},
	})
}

// NewRecoveryCodes replaces the person's recovery codes and gives them, this once.
//
// Faults: no_factor, insufficient_user_authentication.
func (s *Service) NewRecoveryCodes(ctx context.Context, q db.Queryer, o Own) ([]string, error) {
	list, err := s.fresh(ctx, q, o)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(list, func(f factor.Factor) bool { return f.Tenant == o.Behind() }) {
		return nil, errNoFactor
	}
	codes, err := s.factors.NewRecoveryCodes(ctx, q, o.person())
	if err != nil {
		return nil, err
	}
	return codes, s.changedOwn(ctx, q, o, "mfa.recovery_codes_created", nil, mail.Letter{
		Subject:    "New recovery codes",
		Paragraphs: []string{"New recovery codes were made for your account just now. Those that you had serve no more."},
	})
}

// ChangePassword is a person's own change: he knows the password that he has, or he
// has proved himself to us a moment ago. His other sessions end. It opens its
// transaction, after the password was hashed.
//
// Faults: SIGNIN_WRONG_PASSWORD in the field current_password,
// SIGNIN_TOO_MANY_ATTEMPTS, SIGNIN_BUSY, password_by_mail, own_sign_in_required,
// insufficient_user_authentication, those of factor.Rules, password_used_before.
func (s *Service) ChangePassword(ctx context.Context, o Own, current, password string) error {
	env := o.Environment
	who, err := s.directory.LocalByID(ctx, s.db, env.ID, o.Actor.Subject)
	if err != nil {
		return err
	}
	var try factor.Try
	switch {
	case who.PasswordHash == "":
		return errFirstPassword
	case current != "":
		if try, err = s.knows(ctx, o, who, current); err != nil {
			return err
		}
	case o.Behind() != "":
		return ErrOwnSignIn
	default:
		if _, err := s.fresh(ctx, s.db, o); err != nil {
			return err
		}
	}
	hash, history, err := s.prepare(ctx, env, who, password)
	if err != nil {
		return err
	}
	return s.db.Tx(ctx, func(q db.Queryer) error {
		if err := s.setPassword(ctx, o.Actor, q, env, who, hash, history, false); err != nil {
			return err
		}
		if current != "" {
			if err := q.Batch(ctx, s.factors.HeldStmts(try)); err != nil {
				return err
			}
		}
		_, err := s.sessions.EndOthers(ctx, o.Actor, q, env.ID, "", o.Actor.Subject, o.Actor.Session, "password_changed")
		return err
	})
}

// knows checks the password that the person has.
func (s *Service) knows(ctx context.Context, o Own, who directory.PasswordLogin, current string) (factor.Try, error) {
	at, err := s.factors.Hasher.Enter()
	if err != nil {
		return factor.Try{}, err
	}
	defer at.Leave()
	try, _, err := s.factors.CheckPassword(ctx, at, o.Environment.ID, who.Email, who.PasswordHash, current, factor.Origin{IP: o.Actor.IP}, factor.Lock{})
	if errors.Is(err, factor.ErrPassword) {
		err = fault.New(fault.Invalid, factor.ErrPassword.Code, "This is not your password.").In("current_password")
	}
	return try, err
}

// changedOwn writes down and mails that somebody's credentials were changed.
func (s *Service) changedOwn(ctx context.Context, q db.Queryer, o Own, action string, metadata map[string]any, l mail.Letter) error {
	who, err := s.directory.LocalByID(ctx, q, o.Environment.ID, o.Actor.Subject)
	if err != nil {
		return err
	}
	return s.credentialChanged(ctx, o.Actor, q, o.Environment, who, o.Actor.Email, action, metadata, l)
}

// credentialChanged is changedOwn for whoever did it. otherwise is where the mail
// goes when the person has no address of his own.
func (s *Service) credentialChanged(ctx context.Context, a actor.Actor, q db.Queryer, env tenants.Environment, who directory.PasswordLogin, otherwise, action string, metadata map[string]any, l mail.Letter) error {
	now := s.clock.Now()
	err := audit.Record(ctx, q, audit.Event{
		Environment: env.ID, Tenant: a.Tenant, Action: action, Actor: a, At: now, Metadata: metadata,
		Targets: []audit.Target{{Type: "user", ID: who.UserID, Name: firstOf(who.Email, otherwise)}},
	})
	to := firstOf(who.Email, otherwise)
	if err != nil || to == "" {
		return err
	}
	l.Facts = append(l.Facts, mail.Fact{Label: "When", At: now})
	l.Closing = "If it was not you, change your password on the sign-in page and tell your administrator."
	return s.mail(ctx, q, env.ID, to, l)
}

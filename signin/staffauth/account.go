package staffauth

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/signin/factor"
)

// Refusals that people read.
var (
	// ErrStale asks for a sign-in anew before credentials are touched.
	ErrStale      = fault.New(fault.Forbidden, "BACKOFFICE_SIGN_IN_AGAIN", "Sign in again first: this changes how you sign in.")
	ErrLastFactor = fault.New(fault.Conflict, "BACKOFFICE_LAST_FACTOR", "This is your last second factor. Add another one first.")
	errNoPassword = fault.New(fault.Conflict, "BACKOFFICE_NO_PASSWORD", "You have no password here: you sign in through your company.")
)

// Visitor is somebody who is signed in to the back office.
type Visitor struct {
	Person  staff.Person
	Session staff.Session

	cookie string
}

// Visitor gives who is signed in with a session's cookie.
//
// Fault: BACKOFFICE_SIGNED_OUT.
func (s *Service) Visitor(ctx context.Context, cookie string) (Visitor, error) {
	ses, p, err := s.staff.SignedIn(ctx, s.db, cookie)
	return Visitor{Person: p, Session: ses, cookie: cookie}, err
}

// Actor gives what a visitor is and may do in an environment; staff_not_found where
// he has no role.
func (s *Service) Actor(ctx context.Context, q db.Queryer, a actor.Actor, v Visitor, environment string) (actor.Actor, error) {
	may, err := s.staff.Actor(ctx, q, environment, v.Person.ID)
	may.Session, may.RequestID, may.IP, may.UserAgent = v.Session.ID, a.RequestID, a.IP, a.UserAgent
	return may, err
}

// RequireFresh refuses who has not signed in within the last ten minutes.
//
// Fault: BACKOFFICE_SIGN_IN_AGAIN.
func (s *Service) RequireFresh(v Visitor) error {
	if !v.Session.Fresh(s.clock.Now()) {
		return ErrStale
	}
	return nil
}

// self is the actor of what somebody does to his own account.
func (v Visitor) self(a actor.Actor) actor.Actor {
	a = as(a, v.Person)
	a.Session = v.Session.ID
	return a
}

// still holds a change of a visitor's credentials to a session that has not ended
// meanwhile. It waits for changes of the person, such as a reset.
//
// Fault: BACKOFFICE_SIGNED_OUT.
func (s *Service) still(ctx context.Context, q db.Queryer, v Visitor) error {
	if _, err := s.staff.Lock(ctx, actor.Actor{Kind: actor.System}, q, v.Person.ID); err != nil && fault.KindOf(err) != fault.NotFound {
		return err
	}
	_, _, err := s.staff.SignedIn(ctx, q, v.cookie)
	return err
}

func (v Visitor) holder() string { return "staff:" + secret.Hash(v.cookie) }

// Account is what somebody sees of his own.
type Account struct {
	Sessions      []staff.Session
	Factors       []factor.Factor
	RecoveryCodes int // that are left
	HasPassword   bool
}

// Account gives what a visitor sees of his own.
func (s *Service) Account(ctx context.Context, v Visitor) (out Account, err error) {
	if out.Sessions, err = s.staff.Sessions(ctx, s.db, v.Person.ID); err != nil {
		return out, err
	}
	if out.Factors, err = s.factors.Factors(ctx, s.db, s.main.ID, v.Person.ID); err != nil {
		return out, err
	}
	if out.RecoveryCodes, err = s.factors.RecoveryCodes(ctx, s.db, s.holder(v.Person.ID)); err != nil {
		return out, err
	}
	c, err := scanCredentials(s.db.QueryRow(ctx, sqlCredentialsOf, v.Person.ID))
	out.HasPassword = c.PasswordHash != ""
	return out, err
}

// SignOut ends one session of a visitor, his own one as well.
func (s *Service) SignOut(ctx context.Context, a actor.Actor, v Visitor, sessionID string) error {
	return s.db.Tx(ctx, func(q db.Queryer) error {
		ended, err := s.staff.EndSession(ctx, q, v.Person.ID, sessionID)
		if err != nil || !ended {
			return err
		}
		return s.record(ctx, q, v.self(a), "staff.signed_out", v.Person, map[string]any{"session_id": sessionID})
	})
}

// BeginFactor begins another factor of a visitor.
//
// Fault: BACKOFFICE_SIGN_IN_AGAIN.
func (s *Service) BeginFactor(ctx context.Context, v Visitor, kind string) (app factor.NewTOTP, options []byte, err error) {
	if err := s.RequireFresh(v); err != nil {
		return app, nil, err
	}
	err = s.db.Tx(ctx, func(q db.Queryer) error {
		app, options, err = s.begin(ctx, q, v.Person, v.holder(), kind)
		return err
	})
	return app, options, err
}

// AddFactor makes it. Who has no recovery codes is given some.
//
// Faults: as Enrol; BACKOFFICE_SIGN_IN_AGAIN.
func (s *Service) AddFactor(ctx context.Context, a actor.Actor, v Visitor, kind, name string, answer []byte) (codes []string, err error) {
	if err := s.RequireFresh(v); err != nil {
		return nil, err
	}
	try, err := s.factors.Count(ctx, s.main.ID, factor.Known(v.Person.ID), a.IP, factor.SecondLock)
	if err != nil {
		return nil, err
	}
	err = s.db.Tx(ctx, func(q db.Queryer) error {
		if err := s.still(ctx, q, v); err != nil {
			return err
		}
		left, err := s.factors.RecoveryCodes(ctx, q, s.holder(v.Person.ID))
		if err != nil {
			return err
		}
		if codes, err = s.add(ctx, v.self(a), q, v.Person, v.holder(), kind, name, answer, left == 0); err != nil {
			return err
		}
		return q.Batch(ctx, s.factors.HeldStmts(try))
	})
	return codes, err
}

// RemoveFactor takes a factor away; the last one stays.
//
// Faults: factor_not_found, BACKOFFICE_LAST_FACTOR, BACKOFFICE_SIGN_IN_AGAIN.
func (s *Service) RemoveFactor(ctx context.Context, a actor.Actor, v Visitor, factorID string) error {
	if err := s.RequireFresh(v); err != nil {
		return err
	}
	return s.db.Tx(ctx, func(q db.Queryer) error {
		// Two removals at once take turns here.
		if err := s.still(ctx, q, v); err != nil {
			return err
		}
		list, err := s.factors.Factors(ctx, q, s.main.ID, v.Person.ID)
		if err != nil {
			return err
		}
		kind := ""
		for _, f := range list {
			if f.ID == factorID {
				kind = f.Kind
			}
		}
		switch {
		case kind == "":
			return factor.ErrNotFound
		case len(list) == 1:
			return ErrLastFactor
		}
		if err := s.factors.Remove(ctx, q, s.main.ID, v.Person.ID, factorID); err != nil {
			return err
		}
		return s.record(ctx, q, v.self(a), "staff.factor_removed", v.Person, map[string]any{"kind": kind, "factor_id": factorID})
	})
}

// RenewRecoveryCodes gives new recovery codes in the place of those before.
//
// Fault: BACKOFFICE_SIGN_IN_AGAIN.
func (s *Service) RenewRecoveryCodes(ctx context.Context, a actor.Actor, v Visitor) (codes []string, err error) {
	if err := s.RequireFresh(v); err != nil {
		return nil, err
	}
	err = s.db.Tx(ctx, func(q db.Queryer) error {
		if err := s.still(ctx, q, v); err != nil {
			return err
		}
		if codes, err = s.factors.NewRecoveryCodes(ctx, q, s.holder(v.Person.ID)); err != nil {
			return err
		}
		return s.record(ctx, q, v.self(a), "staff.recovery_codes_renewed", v.Person, nil)
	})
	return codes, err
}

// ChangePassword sets another password; other sessions end.
//
// Faults: those of factor.Rules.Check, SIGNIN_BUSY, BACKOFFICE_NO_PASSWORD,
// BACKOFFICE_SIGN_IN_AGAIN.
func (s *Service) ChangePassword(ctx context.Context, a actor.Actor, v Visitor, password string) error {
	if err := s.RequireFresh(v); err != nil {
		return err
	}
	hash, err := s.factors.Prepare(ctx, s.main.ID, v.Person.ID, "", password, rules(v.Person), 0)
	if err != nil {
		return err
	}
	return s.db.Tx(ctx, func(q db.Queryer) error {
		if err := s.still(ctx, q, v); err != nil {
			return err
		}
		c, err := scanCredentials(q.QueryRow(ctx, sqlCredentialsOf, v.Person.ID))
		if err != nil {
			return err
		}
		if c.PasswordHash == "" {
			return errNoPassword
		}
		return s.setPassword(ctx, v.self(a), q, v.Person, hash, v.Session.ID, "self")
	})
}

package staffauth

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/mail"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/signin/factor"
)

// Kinds of link.
const (
	linkWelcome = "welcome" // sets all credentials anew
	linkReset   = "reset"   // sets the password alone
)

// Link is a one-time link, which is shown or mailed once.
type Link struct {
	URL       string
	Person    staff.Person
	ExpiresAt time.Time
}

// linkAgain is between two mails to one person.
const linkAgain = time.Minute

// Welcome makes the link by which somebody sets his credentials, in the place of
// one before; what he has serves until he uses it. breakGlass: they shall serve
// also where the vendor's provider is required, which only the operator's command
// line may grant. The caller has checked that the actor may do it.
//
// Fault: BACKOFFICE_NO_ACCESS, of somebody who is disabled.
func (s *Service) Welcome(ctx context.Context, a actor.Actor, q db.Queryer, personID string, breakGlass bool) (Link, error) {
	p, err := s.staff.Standing(ctx, q, personID)
	if fault.KindOf(err) == fault.NotFound {
		err = ErrNotStanding
	}
	if err != nil {
		return Link{}, err
	}
	token, now := secret.Random(), s.clock.Now()
	l := Link{URL: s.main.URL(Home + "/welcome/" + token), Person: p, ExpiresAt: now.Add(WelcomeLife)}
	err = q.Batch(ctx, []db.Stmt{
		{SQL: sqlPutLink, Args: []any{p.ID, linkWelcome, secret.Hash(token), breakGlass, db.At(now), db.At(l.ExpiresAt)}},
		// Whoever is using the one before stops: also who uses it up at this moment, for
		// whom the statement above has waited.
		{SQL: sqlDeleteFlowsOf, Args: []any{p.ID}},
	})
	if err != nil {
		return Link{}, err
	}
	return l, s.record(ctx, q, a, "staff.invited", p, map[string]any{"break_glass": breakGlass})
}

// Invite mails somebody who cannot sign in yet the link to set his credentials;
// where the vendor's provider is required, where he finds it. Somebody who can, or
// who holds a link of the operator's, is not mailed anything: a mailbox alone opens
// no account that is in use.
func (s *Service) Invite(ctx context.Context, a actor.Actor, q db.Queryer, personID string) (mailed bool, err error) {
	var inUse int64
	if err := q.QueryRow(ctx, sqlInUse, personID, db.At(s.clock.Now())).Scan(&inUse); err != nil || inUse > 0 {
		return false, err
	}
	required, err := s.enforced(ctx, q)
	if err != nil {
		return false, err
	}
	if required {
		p, err := s.staff.Standing(ctx, q, personID)
		if err != nil {
			return false, err
		}
		if err := s.record(ctx, q, a, "staff.invited", p, map[string]any{"break_glass": false}); err != nil {
			return false, err
		}
		return true, s.mail(ctx, q, p, mail.Letter{
			Subject:    "Your access to the back office",
			Paragraphs: []string{"You now have access to the back office. Open it and sign in through your company."},
			Facts:      []mail.Fact{{Label: "Address", Value: s.main.URL(Home)}},
			Closing:    "If you did not expect this, tell your administrator.",
		})
	}
	l, err := s.Welcome(ctx, a, q, personID, false)
	if err != nil {
		return false, err
	}
	return true, s.mail(ctx, q, l.Person, mail.Letter{
		Subject:    "Your access to the back office",
		Paragraphs: []string{"You now have access to the back office. Open the link to set a password and a second factor."},
		Facts:      []mail.Fact{{Label: "Link", Value: l.URL}, {Label: "Serves", Value: "once, for 24 hours"}},
		Closing:    "If you did not expect this, tell your administrator.",
	})
}

// Reset takes somebody's credentials away at once, ends his sessions and gives a
// link to set new ones. The actor must be one who may become that person.
//
// Faults: those of rbac/staff.Commands, BACKOFFICE_NO_ACCESS.
func (s *Service) Reset(ctx context.Context, a actor.Actor, q db.Queryer, personID string) (Link, error) {
	p, err := s.staff.Commands(ctx, a, q, personID)
	if err != nil {
		return Link{}, err
	}
	if err := s.strip(ctx, q, p.ID); err != nil {
		return Link{}, err
	}
	event := s.event(a, "staff.credentials_reset", p, nil)
	event.Environment = a.Environment
	if err := audit.Record(ctx, q, event); err != nil {
		return Link{}, err
	}
	return s.Welcome(ctx, a, q, p.ID, false)
}

// strip takes everything away that signs a person in or keeps him signed in. Flows
// go first: a step that one of them is taking is waited for, and what it made goes too.
func (s *Service) strip(ctx context.Context, q db.Queryer, personID string) error {
	if _, err := q.Exec(ctx, sqlDeleteFlowsOf, personID); err != nil {
		return err
	}
	if err := s.dropFactors(ctx, q, personID); err != nil {
		return err
	}
	err := q.Batch(ctx, []db.Stmt{
		{SQL: sqlDeleteCredentials, Args: []any{personID}},
		{SQL: sqlDeleteIdentities, Args: []any{personID}},
		{SQL: sqlDeleteLinks, Args: []any{personID}},
	})
	if err != nil {
		return err
	}
	return s.staff.EndSessions(ctx, q, personID, "")
}

func (s *Service) dropFactors(ctx context.Context, q db.Queryer, personID string) error {
	list, err := s.factors.Factors(ctx, q, s.main.ID, personID)
	if err != nil {
		return err
	}
	for _, f := range list {
		if err := s.factors.Remove(ctx, q, s.main.ID, personID, f.ID); err != nil {
			return err
		}
	}
	return s.factors.DropRecoveryCodes(ctx, q, s.main.ID, personID)
}

// ShowWelcome gives whose link it is, without using it.
//
// Fault: BACKOFFICE_LINK_UNKNOWN.
func (s *Service) ShowWelcome(ctx context.Context, token string) (staff.Person, error) {
	p, _, err := s.link(ctx, s.db, sqlLink, linkWelcome, token)
	return p, err
}

func (s *Service) link(ctx context.Context, q db.Queryer, sql, kind, token string) (p staff.Person, breakGlass bool, err error) {
	var personID string
	err = q.QueryRow(ctx, sql, secret.Hash(token), kind, db.At(s.clock.Now())).Scan(&personID, &breakGlass)
	if err == nil {
		p, err = s.staff.Standing(ctx, q, personID)
	}
	if errors.Is(err, db.ErrNotFound) || fault.KindOf(err) == fault.NotFound {
		err = ErrLink
	}
	return p, breakGlass, err
}

// UseWelcome uses a link up: its holder goes on to choose a password in this
// browser.
//
// Faults: BACKOFFICE_LINK_UNKNOWN, BACKOFFICE_SSO_REQUIRED, with which it stays.
func (s *Service) UseWelcome(ctx context.Context, a actor.Actor, in Browser, token string) (step Step, err error) {
	err = s.db.Tx(ctx, func(q db.Queryer) error {
		p, breakGlass, err := s.link(ctx, q, sqlUseLink, linkWelcome, token)
		if err != nil {
			return err
		}
		if err := s.opens(ctx, q, breakGlass); err != nil {
			return err
		}
		step = Step{Stage: StagePassword, Email: p.Email}
		if step.Flow, err = s.newFlow(ctx, q, in.Flow, p.ID, proof{Method: MethodLink, BreakGlass: breakGlass}); err != nil {
			return err
		}
		return s.record(ctx, q, as(a, p), "staff.link_used", p, map[string]any{"kind": linkWelcome})
	})
	return step, err
}

// rules are those of a password of the back office: a second factor is always
// there, and the floor is that of a password alone all the same.
func rules(p staff.Person) factor.Rules {
	return factor.PasswordRules(policy.Settings{}, words(p)...)
}

// MinPassword is the least length of a password, in characters.
const MinPassword = factor.MinAlone

// ChoosePassword is the step of somebody with a link. The password becomes his
// with the second factor.
//
// Faults: those of factor.Rules.Check, BACKOFFICE_STEP, BACKOFFICE_FLOW_EXPIRED,
// SIGNIN_BUSY.
func (s *Service) ChoosePassword(ctx context.Context, a actor.Actor, in Browser, password string) (Step, error) {
	p, err := s.at(ctx, s.db, in, StagePassword)
	if err != nil {
		return Step{}, err
	}
	hash, err := s.factors.Prepare(ctx, s.main.ID, p.ID, "", password, rules(p), 0)
	if err != nil {
		return Step{}, err
	}
	return s.step(ctx, a, in, func(_ db.Queryer, f *flow) error {
		if f.StaffID != p.ID || f.Method != MethodLink {
			return ErrStep
		}
		f.Password = hash
		return nil
	})
}

// BeginEnrol begins a second factor for a sign-in that needs one.
//
// Faults: BACKOFFICE_STEP, BACKOFFICE_FLOW_EXPIRED.
func (s *Service) BeginEnrol(ctx context.Context, in Browser, kind string) (app factor.NewTOTP, options []byte, err error) {
	err = s.db.Tx(ctx, func(q db.Queryer) error {
		p, err := s.at(ctx, q, in, StageEnrol)
		if err == nil {
			app, options, err = s.begin(ctx, q, p, holder(in.Flow), kind)
		}
		return err
	})
	return app, options, err
}

func (s *Service) begin(ctx context.Context, q db.Queryer, p staff.Person, holder, kind string) (app factor.NewTOTP, options []byte, err error) {
	switch kind {
	case factor.TOTP:
		app, err = s.factors.PendingTOTP(ctx, q, s.person(p), holder)
		if errors.Is(err, factor.ErrExpired) {
			app, err = s.factors.BeginTOTP(ctx, q, s.person(p), holder)
		}
		return app, nil, err
	case factor.WebAuthn:
		options, err = s.factors.BeginRegister(ctx, q, s.person(p), holder)
		return app, options, err
	}
	return app, nil, ErrStep
}

// Enrol makes the second factor, which counts as proved, and gives recovery codes.
// With a link, what the person had before goes and the password that he chose is
// his; sessions end. The sign-in goes on when he says that he has kept the codes:
// see Resume.
//
// Faults: as FinishTOTP and FinishRegister of package factor, BACKOFFICE_STEP,
// BACKOFFICE_FLOW_EXPIRED, SIGNIN_TOO_MANY_ATTEMPTS.
func (s *Service) Enrol(ctx context.Context, a actor.Actor, in Browser, kind, name string, answer []byte) (codes []string, err error) {
	who, err := s.at(ctx, s.db, in, StageEnrol)
	if err != nil {
		return nil, err
	}
	try, err := s.factors.Count(ctx, s.main.ID, factor.Known(who.ID), a.IP, factor.SecondLock)
	if err != nil {
		return nil, err
	}
	err = s.db.Tx(ctx, func(q db.Queryer) error {
		f, err := s.flow(ctx, q, in.Flow)
		if err != nil {
			return err
		}
		step, p, err := s.next(ctx, q, &f)
		if err != nil {
			return err
		}
		if step.Stage != StageEnrol || p.ID != who.ID {
			return ErrStep
		}
		if f.Method == MethodLink {
			if err := s.settle(ctx, as(a, p), q, f, p); err != nil {
				return err
			}
		}
		if codes, err = s.add(ctx, as(a, p), q, p, holder(in.Flow), kind, name, answer, true); err != nil {
			return err
		}
		f.Second, f.Password = true, ""
		f.AMR = append(f.AMR, amrOf[kind]...)
		if err := s.keep(ctx, q, f); err != nil {
			return err
		}
		return q.Batch(ctx, s.factors.HeldStmts(try))
	})
	return codes, err
}

// settle gives somebody with a link the password that he chose, and takes what he
// had before.
func (s *Service) settle(ctx context.Context, a actor.Actor, q db.Queryer, f flow, p staff.Person) error {
	if err := s.dropFactors(ctx, q, p.ID); err != nil {
		return err
	}
	err := q.Batch(ctx, append(s.factors.ForgiveStmts(s.main.ID, factor.Typed(p.Email)),
		db.Stmt{SQL: sqlPutCredentials, Args: []any{p.ID, f.Password, f.BreakGlass, db.At(s.clock.Now())}},
		db.Stmt{SQL: sqlDeleteLinks, Args: []any{p.ID}}))
	if err != nil {
		return err
	}
	if err := s.staff.EndSessions(ctx, q, p.ID, ""); err != nil {
		return err
	}
	return s.record(ctx, q, a, "staff.password_changed", p, map[string]any{"by": linkWelcome, "break_glass": f.BreakGlass})
}

// add makes a factor of the person's; anew: with recovery codes in the place of
// those before.
func (s *Service) add(ctx context.Context, a actor.Actor, q db.Queryer, p staff.Person, holder, kind, name string, answer []byte, anew bool) (codes []string, err error) {
	var made factor.Factor
	switch kind {
	case factor.TOTP:
		made, err = s.factors.FinishTOTP(ctx, q, s.person(p), holder, name, string(answer))
	case factor.WebAuthn:
		made, err = s.factors.FinishRegister(ctx, q, s.person(p), holder, name, answer)
	default:
		err = ErrStep
	}
	if err == nil && anew {
		codes, err = s.factors.NewRecoveryCodes(ctx, q, s.holder(p.ID))
	}
	if err != nil {
		return nil, err
	}
	return codes, s.record(ctx, q, a, "staff.factor_added", p, map[string]any{"kind": kind, "factor_id": made.ID})
}

// Forgot mails somebody who has a password a link to set another one. What it
// answers is the same for everybody; only being turned away for asking too often
// is told.
//
// Fault: SIGNIN_TOO_MANY_ATTEMPTS.
func (s *Service) Forgot(ctx context.Context, a actor.Actor, email string) error {
	if _, err := s.factors.Count(ctx, s.main.ID, factor.Known("forgot "+secret.Hash(directory.EmailKey(email))), a.IP, factor.Lock{}); err != nil {
		return err
	}
	c, err := scanCredentials(s.db.QueryRow(ctx, sqlCredentials, directory.EmailKey(email)))
	if err != nil {
		return err
	}
	return s.db.Tx(ctx, func(q db.Queryer) error {
		p, hash, err := s.usable(ctx, q, c)
		if err != nil || hash == "" {
			return err
		}
		var made db.Time
		now := s.clock.Now()
		if err := q.QueryRow(ctx, sqlLinkMade, p.ID, linkReset).Scan(&made); err != nil && !errors.Is(err, db.ErrNotFound) {
			return err
		}
		if !made.IsZero() && now.Sub(made.Time) < linkAgain {
			return nil
		}
		token := secret.Random()
		if _, err := q.Exec(ctx, sqlPutLink, p.ID, linkReset, secret.Hash(token), false, db.At(now), db.At(now.Add(factor.ResetLife))); err != nil {
			return err
		}
		if err := s.record(ctx, q, a, "staff.reset_requested", p, nil); err != nil {
			return err
		}
		return s.mail(ctx, q, p, mail.Letter{
			Subject:    "Choose a new password for the back office",
			Paragraphs: []string{"Open the link to choose a new password. You will still need your second factor to sign in."},
			Facts:      []mail.Fact{{Label: "Link", Value: s.main.URL(Home + "/reset/" + token)}, {Label: "Serves", Value: "once, for 15 minutes"}},
			Closing:    "If you did not ask for this, ignore it: nothing changes.",
		})
	})
}

// ShowReset gives whose link it is, without using it.
//
// Fault: BACKOFFICE_LINK_UNKNOWN.
func (s *Service) ShowReset(ctx context.Context, token string) (staff.Person, error) {
	p, _, err := s.link(ctx, s.db, sqlLink, linkReset, token)
	return p, err
}

// UseReset uses a link up and sets the password. Second factors stay as they are;
// sessions end.
//
// Faults: BACKOFFICE_LINK_UNKNOWN, those of factor.Rules.Check, SIGNIN_BUSY.
func (s *Service) UseReset(ctx context.Context, a actor.Actor, token, password string) error {
	p, err := s.ShowReset(ctx, token)
	if err != nil {
		return err
	}
	hash, err := s.factors.Prepare(ctx, s.main.ID, p.ID, "", password, rules(p), 0)
	if err != nil {
		return err
	}
	return s.db.Tx(ctx, func(q db.Queryer) error {
		p, _, err := s.link(ctx, q, sqlUseLink, linkReset, token)
		if err != nil {
			return err
		}
		return s.setPassword(ctx, as(a, p), q, p, hash, "", linkReset)
	})
}

// setPassword replaces a password, and ends sign-ins under way and the sessions
// but one.
func (s *Service) setPassword(ctx context.Context, a actor.Actor, q db.Queryer, p staff.Person, hash, but, by string) error {
	err := q.Batch(ctx, append(s.factors.ForgiveStmts(s.main.ID, factor.Typed(p.Email)),
		db.Stmt{SQL: sqlSetPassword, Args: []any{p.ID, hash, db.At(s.clock.Now())}},
		db.Stmt{SQL: sqlDeleteLinks, Args: []any{p.ID}},
		db.Stmt{SQL: sqlDeleteFlowsOf, Args: []any{p.ID}}))
	if err != nil {
		return err
	}
	if err := s.staff.EndSessions(ctx, q, p.ID, but); err != nil {
		return err
	}
	return s.record(ctx, q, a, "staff.password_changed", p, map[string]any{"by": by})
}

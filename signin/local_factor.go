package signin

import (
	"context"
	"errors"
	"fmt"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/jobs"
	"github.com/gatehouse-id/gatehouse/internal/mail"
	"github.com/gatehouse-id/gatehouse/signin/factor"
)

// amrOf is what a second factor adds to the methods of a token (RFC 8176 §2).
var amrOf = map[string][]string{
	factor.TOTP: {"otp", "mfa"}, factor.WebAuthn: {"hwk", "mfa"}, KindRecovery: {"otp", "mfa"}, KindMail: {"otp", "mfa"},
}

func (f Flow) person(in Local, email string) factor.Person {
	return factor.Person{Environment: in.Environment, UserID: f.UserID, Name: email, Tenant: f.behind()}
}

// asked reads a flow whose person has proved a first factor, and of whom a second
// one is wanted, or to be made.
func (s *Service) asked(ctx context.Context, a actor.Actor, q db.Queryer, in Local, stage Stage) (Flow, Step, error) {
	f, err := s.stepFlow(ctx, q, in)
	if err != nil {
		return f, Step{}, err
	}
	step, _, err := s.next(ctx, a, q, in, &f)
	if err == nil && step.Stage != stage {
		err = errStage
	}
	return f, step, err
}

// BeginSecond asks for a second factor: the options of a key, as JSON, or a code
// that is mailed.
//
// Faults: SIGNIN_STEP, SIGNIN_CODE_SENT, and those of the flow.
func (s *Service) BeginSecond(ctx context.Context, a actor.Actor, in Local, kind string) (options []byte, err error) {
	err = s.db.Tx(ctx, func(q db.Queryer) error {
		stage := StageSecond
		if kind == KindMail {
			stage = StageEnrol // for who has nothing better
		}
		f, step, err := s.asked(ctx, a, q, in, stage)
		if err != nil {
			return err
		}
		switch kind {
		case factor.WebAuthn:
			options, err = s.factors.BeginKey(ctx, q, f.person(in, step.Email), f.ID)
			return err
		case KindMail:
			code, err := s.factors.BeginMail(ctx, q, f.Environment, f.ID, f.UserID)
			if err != nil {
				return err
			}
			return s.mailCode(ctx, q, f, step.Email, code)
		}
		return errStage
	})
	return options, err
}

// Second is the step of a second factor: a code, a recovery code, or a key's
// answer. Tries are counted over all kinds together.
//
// Faults: SIGNIN_WRONG_CODE, SIGNIN_WRONG_KEY, SIGNIN_CHALLENGE_EXPIRED,
// SIGNIN_TOO_MANY_ATTEMPTS, SIGNIN_STEP, and those of the flow.
func (s *Service) Second(ctx context.Context, a actor.Actor, in Local, kind string, answer []byte) (Step, error) {
	f, err := s.stepFlow(ctx, s.db, in)
	if err != nil {
		return Step{}, err
	}
	if f.UserID == "" {
		return Step{}, errStage
	}
	user, account := f.UserID, f.person(in, "").Account()
	try, err := s.factors.CountFrom(ctx, f.Environment, account, from(a, in), factor.SecondLock)
	if err != nil {
		return Step{}, err
	}
	step, err := s.step(ctx, a, in, func(q db.Queryer, f *Flow) error {
		if f.person(in, "").Account() != account || f.proof.Method == "" {
			return errStage
		}
		if err := s.checkSecond(ctx, q, in, f, kind, answer); err != nil {
			return err
		}
		f.proof.Second, f.proof.At = true, s.clock.Now().UnixMicro()
		f.proof.AMR = append(f.proof.AMR, amrOf[kind]...)
		return q.Batch(ctx, s.factors.HeldStmts(try))
	})
	if fault.KindOf(err) == fault.Invalid && fault.CodeOf(err) != errStage.Code {
		return step, s.failed(ctx, a, in.Environment, directoryLogin(user), kind, factor.Try{}, err)
	}
	return step, err
}

func (s *Service) checkSecond(ctx context.Context, q db.Queryer, in Local, f *Flow, kind string, answer []byte) error {
	switch kind {
	case factor.TOTP:
		return s.factors.CheckTOTP(ctx, q, f.person(in, ""), string(answer))
	case KindRecovery:
		return s.factors.CheckRecovery(ctx, q, f.person(in, ""), string(answer))
	case factor.WebAuthn:
		_, err := s.factors.CheckKey(ctx, q, f.person(in, ""), f.ID, answer)
		return err
	case KindMail:
		// Only for who has nothing better: a mailbox is what resets a password too.
		kinds, err := s.kinds(ctx, q, *f)
		if err != nil {
			return err
		}
		if len(kinds) > 0 {
			return errStage
		}
		return s.factors.CheckMail(ctx, q, f.Environment, f.ID, f.UserID, string(answer))
	}
	return errStage
}

// BeginEnrol begins a factor for somebody who must have one and has none.
//
// Faults: SIGNIN_STEP, and those of the flow.
func (s *Service) BeginEnrol(ctx context.Context, a actor.Actor, in Local, kind string) (app factor.NewTOTP, options []byte, err error) {
	err = s.db.Tx(ctx, func(q db.Queryer) error {
		f, step, err := s.asked(ctx, a, q, in, StageEnrol)
		if err != nil {
			return err
		}
		p := f.person(in, step.Email)
		switch kind {
		case factor.TOTP:
			app, err = s.factors.PendingTOTP(ctx, q, p, f.ID)
			if errors.Is(err, factor.ErrExpired) {
				app, err = s.factors.BeginTOTP(ctx, q, p, f.ID)
			}
			return err
		case factor.WebAuthn:
			options, err = s.factors.BeginRegister(ctx, q, p, f.ID)
			return err
		}
		return errStage
	})
	return app, options, err
}

// Enrol makes the factor, which counts as proved, and gives recovery codes. The
// flow goes on when the person says that he has kept them: see Stands and Resume.
//
// Faults: as FinishTOTP and FinishRegister of package factor, SIGNIN_STEP,
// SIGNIN_TOO_MANY_ATTEMPTS, and those of the flow.
func (s *Service) Enrol(ctx context.Context, a actor.Actor, in Local, kind, name string, answer []byte) (codes []string, err error) {
	f, err := s.stepFlow(ctx, s.db, in)
	if err != nil {
		return nil, err
	}
	if f.UserID == "" {
		return nil, errStage
	}
	try, err := s.factors.CountFrom(ctx, f.Environment, f.person(in, "").Account(), from(a, in), factor.SecondLock)
	if err != nil {
		return nil, err
	}
	err = s.db.Tx(ctx, func(q db.Queryer) error {
		f, step, err := s.asked(ctx, a, q, in, StageEnrol)
		if err != nil {
			return err
		}
		p := f.person(in, step.Email)
		var made factor.Factor
		switch kind {
		case factor.TOTP:
			made, err = s.factors.FinishTOTP(ctx, q, p, f.ID, name, string(answer))
		case factor.WebAuthn:
			made, err = s.factors.FinishRegister(ctx, q, p, f.ID, name, answer)
		default:
			err = errStage
		}
		if err != nil {
			return err
		}
		if codes, err = s.factors.NewRecoveryCodes(ctx, q, p); err != nil {
			return err
		}
		f.proof.Second, f.proof.At = true, s.clock.Now().UnixMicro()
		f.proof.AMR = append(f.proof.AMR, amrOf[kind]...)
		if err := s.keepProof(ctx, q, f); err != nil {
			return err
		}
		if err := q.Batch(ctx, s.factors.HeldStmts(try)); err != nil {
			return err
		}
		a.Kind, a.Subject, a.Email, a.Tenant = actor.User, f.UserID, step.Email, f.Tenant
		return audit.Record(ctx, q, audit.Event{
			Environment: f.Environment, Tenant: f.Tenant, Action: "mfa.enrolled", Actor: a, At: s.clock.Now(),
			Targets:  []audit.Target{{Type: "user", ID: f.UserID, Name: step.Email}},
			Metadata: map[string]any{"kind": kind, "factor_id": made.ID},
		})
	})
	return codes, err
}

// Resume goes on with a sign-in of which nothing is asked any more.
func (s *Service) Resume(ctx context.Context, a actor.Actor, in Local) (Step, error) {
	return s.step(ctx, a, in, func(_ db.Queryer, f *Flow) error {
		if f.UserID == "" {
			return errStage
		}
		return nil
	})
}

// mailCode sends a code to the person's own address.
func (s *Service) mailCode(ctx context.Context, q db.Queryer, f Flow, email, code string) error {
	return s.mail(ctx, q, f.Environment, email, mail.Letter{
		Args:       []string{"code", code[:4] + " " + code[4:]},
		Subject:    "{code} is your sign-in code",
		Paragraphs: []string{"Enter this code on the page where you are signing in."},
		Facts:      []mail.Fact{{Label: "Code", Value: code[:4] + " " + code[4:]}, {Label: "Good for", Value: fmt.Sprintf("%d min", int(factor.MailLife.Minutes()))}},
		Closing:    "Somebody entered your password. If it was not you, change it now, and give the code to nobody.",
	})
}

func (s *Service) mail(ctx context.Context, q db.Queryer, environment, email string, l mail.Letter) error {
	own := ""
	err := q.QueryRow(ctx, sqlLocaleByEmail, environment, directory.EmailKey(email)).Scan(&own)
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return err
	}
	b, err := s.tenants.Branding(ctx, q, environment, "")
	if err != nil {
		return err
	}
	l.Lang = joinNames(own, b.Locale)
	sent, err := jobs.Mail(environment, "", l, mail.Address{Email: email}, s.clock.Now())
	if err != nil {
		return err
	}
	return q.Batch(ctx, []db.Stmt{sent})
}

// from is where an answer comes from.
func from(a actor.Actor, in Local) factor.Origin {
	return factor.Origin{IP: a.IP, Browser: in.BrowserID}
}

package staffauth

import (
	"context"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/signin/factor"
)

// Stage is where a sign-in stands.
type Stage string

// The stages. Each has its page.
const (
	StageFirst    Stage = "first"    // nothing is proved yet
	StagePassword Stage = "password" // somebody with a link chooses a password
	StageSecond   Stage = "second"   // a second factor
	StageEnrol    Stage = "enrol"    // one is set up
	StageReady    Stage = "ready"    // nothing more is asked: Resume signs in
	StageDone     Stage = "done"
)

// Ways in.
const (
	MethodPassword = "password"
	MethodPasskey  = "passkey"
	MethodProvider = "oidc"
	MethodLink     = "link"
	// KindRecovery is the second factor of a recovery code.
	KindRecovery = "recovery"
)

// Browser is what a browser brings to a step.
type Browser struct {
	Flow    string // cookie of its sign-in; empty: none
	Session string // cookie of the session that it has; a new one replaces it
}

// Step is where a sign-in stands after an answer.
type Step struct {
	Stage Stage
	Email string
	Kinds []string // with StageSecond: what the person has, the strongest first
	Flow  string   // a new cookie for the sign-in; empty: as it was
	// With StageDone: the session's cookie, and the page to go on to.
	Session string
	Next    string
}

// amrOf is what a second factor adds to the methods of a session (RFC 8176 §2).
var amrOf = map[string][]string{
	factor.TOTP: {"otp", "mfa"}, factor.WebAuthn: {"hwk", "mfa"}, KindRecovery: {"otp", "mfa"},
}

// NextPage gives the page of the back office to go on to after a sign-in; whatever
// is no address below it leads to its home.
func NextPage(wish string) string {
	rest, ok := strings.CutPrefix(wish, Home)
	if !ok || rest != "" && rest[0] != '/' && rest[0] != '?' || len(wish) > 500 ||
		strings.ContainsFunc(wish, func(r rune) bool { return r <= ' ' || r == '\\' || r == 0x7f }) || strings.Contains(wish, "//") {
		return Home
	}
	return wish
}

// Password is the first step: an address and its password.
//
// Faults: SIGNIN_WRONG_PASSWORD, SIGNIN_TOO_MANY_ATTEMPTS, SIGNIN_BUSY,
// BACKOFFICE_NO_SECOND_FACTOR.
func (s *Service) Password(ctx context.Context, a actor.Actor, in Browser, email, password, next string) (Step, error) {
	at, err := s.factors.Hasher.Enter()
	if err != nil {
		return Step{}, err
	}
	defer at.Leave()
	c, err := scanCredentials(s.db.QueryRow(ctx, sqlCredentials, directory.EmailKey(email)))
	if err != nil {
		return Step{}, err
	}
	p, hash, err := s.usable(ctx, s.db, c)
	if err != nil {
		return Step{}, err
	}
	try, fresh, err := s.factors.CheckPassword(ctx, at, s.main.ID, email, hash, password, factor.Origin{IP: a.IP}, passwordLock)
	if err != nil {
		return Step{}, s.failed(ctx, a, p, MethodPassword, try, err)
	}
	var step Step
	err = s.db.Tx(ctx, func(q db.Queryer) error {
		if err := q.Batch(ctx, s.factors.HeldStmts(try)); err != nil {
			return err
		}
		now, err := scanCredentials(q.QueryRow(ctx, sqlCredentialsOf+q.Dialect().ForUpdate, p.ID))
		if err != nil {
			return err
		}
		if now.PasswordHash != hash { // another one was set while this one was judged
			return factor.ErrPassword
		}
		if fresh != "" {
			hash = fresh
			if _, err := q.Exec(ctx, sqlSetPassword, p.ID, fresh, db.At(s.clock.Now())); err != nil {
				return err
			}
		}
		kinds, err := s.kinds(ctx, q, p.ID)
		if err != nil {
			return err
		}
		if len(kinds) == 0 {
			return ErrNoSecond
		}
		step = Step{Stage: StageSecond, Email: p.Email, Kinds: kinds}
		step.Flow, err = s.newFlow(ctx, q, in.Flow, p.ID, proof{Method: MethodPassword, AMR: []string{"pwd"}, Of: secret.Hash(hash), Next: NextPage(next)})
		return err
	})
	if err != nil && fault.KindOf(err) != 0 {
		return Step{}, s.failed(ctx, a, p, MethodPassword, factor.Try{}, err)
	}
	return step, err
}

// usable gives whose credentials may be used now, and the hash to judge by: none
// where there are none, where their owner was switched off, or where the vendor's
// provider is required of him.
func (s *Service) usable(ctx context.Context, q db.Queryer, c credentials) (p staff.Person, hash string, err error) {
	p, err = s.staff.Standing(ctx, q, c.StaffID)
	if fault.KindOf(err) == fault.NotFound {
		p, err = staff.Person{}, nil
	}
	if err != nil {
		return p, "", err
	}
	required, err := s.enforced(ctx, q)
	if err != nil || p.ID == "" || required && !c.BreakGlass {
		return p, "", err
	}
	return p, c.PasswordHash, nil
}

// BeginPasskey asks for whichever passkey of the back office the browser's holder
// has, as JSON for navigator.credentials.get.
func (s *Service) BeginPasskey(ctx context.Context, in Browser, next string) (cookie string, options []byte, err error) {
	err = s.db.Tx(ctx, func(q db.Queryer) error {
		if cookie, err = s.newFlow(ctx, q, in.Flow, "", proof{Next: NextPage(next)}); err != nil {
			return err
		}
		options, err = s.factors.BeginKey(ctx, q, s.person(staff.Person{}), holder(cookie))
		return err
	})
	return cookie, options, err
}

// holder is the name under which a sign-in's questions are kept.
func holder(cookie string) string { return "staff:" + secret.Hash(cookie) }

// Passkey is the whole sign-in by a passkey, which proves two factors at once: the
// key, and that its holder unlocked it.
//
// Faults: SIGNIN_WRONG_KEY, SIGNIN_CHALLENGE_EXPIRED, SIGNIN_TOO_MANY_ATTEMPTS,
// BACKOFFICE_FLOW_EXPIRED, BACKOFFICE_SSO_REQUIRED, BACKOFFICE_NO_ACCESS.
func (s *Service) Passkey(ctx context.Context, a actor.Actor, in Browser, answer []byte) (Step, error) {
	if _, err := s.flow(ctx, s.db, in.Flow); err != nil {
		return Step{}, err
	}
	try, err := s.factors.Count(ctx, s.main.ID, factor.Known("passkey "+holder(in.Flow)), a.IP, factor.Lock{})
	if err != nil {
		return Step{}, err
	}
	var who staff.Person
	step, err := s.step(ctx, a, in, func(q db.Queryer, f *flow) error {
		key, err := s.factors.CheckKey(ctx, q, s.person(staff.Person{}), holder(in.Flow), answer)
		if err != nil {
			return err
		}
		c, err := scanCredentials(q.QueryRow(ctx, sqlCredentialsOf, key.UserID))
		if err != nil {
			return err
		}
		if err := s.opens(ctx, q, c.BreakGlass); err != nil {
			return err
		}
		who.ID = key.UserID
		f.StaffID = key.UserID
		f.proof = proof{Method: MethodPasskey, AMR: []string{"swk", "user", "mfa"}, Second: true, Next: f.Next}
		return q.Batch(ctx, s.factors.HeldStmts(try))
	})
	if fault.KindOf(err) == fault.Invalid || fault.KindOf(err) == fault.Forbidden {
		return step, s.failed(ctx, a, who, MethodPasskey, factor.Try{}, err)
	}
	return step, err
}

// Stands tells where a sign-in stands, for its pages. It decides nothing: where
// nothing more is asked the stage is StageReady.
func (s *Service) Stands(ctx context.Context, in Browser) (Step, error) {
	f, err := s.flow(ctx, s.db, in.Flow)
	if err != nil {
		return Step{}, err
	}
	step, _, err := s.next(ctx, s.db, &f)
	return step, err
}

// step runs one answer in a transaction and goes on as far as nothing is asked.
func (s *Service) step(ctx context.Context, a actor.Actor, in Browser, do func(q db.Queryer, f *flow) error) (Step, error) {
	var step Step
	err := s.db.Tx(ctx, func(q db.Queryer) error {
		f, err := s.flow(ctx, q, in.Flow)
		if err != nil {
			return err
		}
		if err := do(q, &f); err != nil {
			return err
		}
		var p staff.Person
		if step, p, err = s.next(ctx, q, &f); err != nil {
			return err
		}
		if step.Stage == StageReady {
			return s.enter(ctx, a, q, in, f, p, &step)
		}
		return s.keep(ctx, q, f)
	})
	return step, err
}

// next finds the next question of a sign-in.
func (s *Service) next(ctx context.Context, q db.Queryer, f *flow) (Step, staff.Person, error) {
	step := Step{Stage: StageFirst, Next: f.Next}
	if f.StaffID == "" {
		return step, staff.Person{}, nil
	}
	p, err := s.staff.Standing(ctx, q, f.StaffID)
	if fault.KindOf(err) == fault.NotFound {
		return step, p, ErrNotStanding
	}
	if err != nil {
		return step, p, err
	}
	step.Email = p.Email
	if f.Method == MethodPassword {
		c, err := scanCredentials(q.QueryRow(ctx, sqlCredentialsOf, p.ID))
		if err != nil {
			return step, p, err
		}
		_, hash, err := s.usable(ctx, q, c)
		if err == nil && !secret.Equal(f.Of, hash) {
			err = ErrFlow // another one was set meanwhile
		}
		if err != nil {
			return step, p, err
		}
	}
	if f.Method == MethodProvider {
		if err := s.vouches(ctx, q, f.Of); err != nil {
			return step, p, err
		}
	}
	if f.Method == MethodLink {
		if err := s.opens(ctx, q, f.BreakGlass); err != nil {
			return step, p, err
		}
	}
	switch {
	case f.Second:
		step.Stage = StageReady
		return step, p, nil
	case f.Method == MethodLink && f.Password == "":
		step.Stage = StagePassword
		return step, p, nil
	case f.Method == MethodLink:
		step.Stage = StageEnrol
		return step, p, nil
	}
	if step.Kinds, err = s.kinds(ctx, q, p.ID); err != nil {
		return step, p, err
	}
	switch {
	case len(step.Kinds) > 0:
		step.Stage = StageSecond
	case f.Method == MethodProvider:
		step.Stage = StageEnrol
	default:
		return step, p, ErrNoSecond // it was taken away meanwhile
	}
	return step, p, nil
}

// kinds are the second factors that somebody has, the strongest first. Recovery
// codes stand in for a factor and are none.
func (s *Service) kinds(ctx context.Context, q db.Queryer, personID string) ([]string, error) {
	list, err := s.factors.Factors(ctx, q, s.main.ID, personID)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	var kinds []string
	for _, kind := range []string{factor.WebAuthn, factor.TOTP} {
		if slices.ContainsFunc(list, func(f factor.Factor) bool { return f.Kind == kind }) {
			kinds = append(kinds, kind)
		}
	}
	left, err := s.factors.RecoveryCodes(ctx, q, s.holder(personID))
	if left > 0 {
		kinds = append(kinds, KindRecovery)
	}
	return kinds, err
}

// enter ends a sign-in in a session.
func (s *Service) enter(ctx context.Context, a actor.Actor, q db.Queryer, in Browser, f flow, p staff.Person, step *Step) error {
	ses, cookie, err := s.staff.StartSession(ctx, a, q, staff.NewSession{StaffID: p.ID, Method: f.Method, AMR: f.AMR, Replaces: in.Session})
	if err != nil {
		return err
	}
	if _, err := q.Exec(ctx, sqlDeleteFlow, f.hash); err != nil {
		return err
	}
	step.Stage, step.Session, step.Next = StageDone, cookie, NextPage(f.Next)
	a = as(a, p)
	a.Session = ses.ID
	return s.record(ctx, q, a, "staff.signed_in", p, map[string]any{"method": f.Method, "amr": f.AMR})
}

// BeginSecond asks for one of the person's security keys, as JSON.
//
// Faults: BACKOFFICE_STEP, BACKOFFICE_FLOW_EXPIRED.
func (s *Service) BeginSecond(ctx context.Context, in Browser) (options []byte, err error) {
	err = s.db.Tx(ctx, func(q db.Queryer) error {
		p, err := s.at(ctx, q, in, StageSecond)
		if err == nil {
			options, err = s.factors.BeginKey(ctx, q, s.person(p), holder(in.Flow))
		}
		return err
	})
	return options, err
}

// at gives whose sign-in it is, which has to stand at the stage.
func (s *Service) at(ctx context.Context, q db.Queryer, in Browser, stage Stage) (staff.Person, error) {
	f, err := s.flow(ctx, q, in.Flow)
	if err != nil {
		return staff.Person{}, err
	}
	step, p, err := s.next(ctx, q, &f)
	if err == nil && step.Stage != stage {
		err = ErrStep
	}
	return p, err
}

// Second is the step of a second factor: a code, a recovery code, or a key's
// answer. Tries are counted over all kinds, browsers and replicas together.
//
// Faults: SIGNIN_WRONG_CODE, SIGNIN_WRONG_KEY, SIGNIN_CHALLENGE_EXPIRED,
// SIGNIN_TOO_MANY_ATTEMPTS, BACKOFFICE_STEP, BACKOFFICE_FLOW_EXPIRED.
func (s *Service) Second(ctx context.Context, a actor.Actor, in Browser, kind string, answer []byte) (Step, error) {
	who, err := s.at(ctx, s.db, in, StageSecond)
	if err != nil {
		return Step{}, err
	}
	try, err := s.factors.Count(ctx, s.main.ID, factor.Known(who.ID), a.IP, factor.SecondLock)
	if err != nil {
		return Step{}, err
	}
	step, err := s.step(ctx, a, in, func(q db.Queryer, f *flow) error {
		now, p, err := s.next(ctx, q, f)
		if err == nil && (now.Stage != StageSecond || p.ID != who.ID) {
			err = ErrStep
		}
		if err != nil {
			return err
		}
		if err := s.check(ctx, q, in, who, kind, answer); err != nil {
			return err
		}
		f.Second, f.AMR = true, append(f.AMR, amrOf[kind]...)
		return q.Batch(ctx, s.factors.HeldStmts(try))
	})
	if fault.KindOf(err) == fault.Invalid && fault.CodeOf(err) != ErrStep.Code {
		return step, s.failed(ctx, a, who, kind, try, err)
	}
	return step, err
}

func (s *Service) check(ctx context.Context, q db.Queryer, in Browser, p staff.Person, kind string, answer []byte) error {
	switch kind {
	case factor.TOTP:
		return s.factors.CheckTOTP(ctx, q, s.holder(p.ID), string(answer))
	case KindRecovery:
		return s.factors.CheckRecovery(ctx, q, s.holder(p.ID), string(answer))
	case factor.WebAuthn:
		_, err := s.factors.CheckKey(ctx, q, s.person(p), holder(in.Flow), answer)
		return err
	}
	return ErrStep
}

// Resume signs in once nothing more is asked.
func (s *Service) Resume(ctx context.Context, a actor.Actor, in Browser) (Step, error) {
	return s.step(ctx, a, in, func(_ db.Queryer, f *flow) error {
		if !f.Second {
			return ErrStep
		}
		return nil
	})
}

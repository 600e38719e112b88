package signin

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/signin/factor"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Methods of a sign-in without an identity provider.
const (
	MethodPassword = "password"
	MethodPasskey  = "passkey"
)

// Stage is where such a sign-in stands.
type Stage string

// The stages, in order. Each has its page.
const (
	StageFirst   Stage = "first"   // the person has proved nothing yet
	StageAccount Stage = "account" // he belongs to several organizations, and chooses
	StageConnect Stage = "connect" // he came by a social identity that nobody has
	StageSSO     Stage = "sso"     // the organization wants him through its identity provider
	StageSecond  Stage = "second"  // a second factor
	StageEnrol   Stage = "enrol"   // a second factor is required, and he has none
	StageDone    Stage = "done"
)

// Account is an organization that a person may enter.
type Account struct {
	Tenant string
	Name   string
}

// Step is where a sign-in stands after an answer, and what is asked next.
type Step struct {
	FlowID   string
	Stage    Stage
	Email    string
	Accounts []Account // with StageAccount
	Options  []Option  // with StageSSO
	Kinds    []string  // with StageSecond: the factors that the person has; see the constants of factor, and "recovery", "mail"
	Tenant   string    // once it is chosen
	// With StageDone, as in Outcome.
	Refusal *fault.Error
	Cookie  string
	Session sessions.Session
	UserID  string
	Device  string // the cookie of a browser that shall not be asked again; empty: none
	Waiting bool   // he is a member now, and waits for approval: there is no session
	Purpose string // of the flow
	SSO     bool   // he came through an identity provider, which vouches for him here only
}

// Kinds of second factor beside those of package factor.
const (
	KindRecovery = "recovery"
	KindMail     = "mail"
)

// proof is what a person has proved in a flow so far.
type proof struct {
	Method string   `json:"method,omitempty"`
	AMR    []string `json:"amr,omitempty"` // RFC 8176 §2
	At     int64    `json:"at,omitempty"`  // of the latest, in unix microseconds
	Second bool     `json:"second,omitempty"`
	// Of is the fingerprint of the password that was given: when another one was set
	// meanwhile, nothing was proved.
	Of string `json:"of,omitempty"`
	// Social is the environment's connection through which he came, and Of then whom it
	// knows; empty: none.
	Social string `json:"social,omitempty"`
	// Connection is the one through which he came; empty: none.
	Connection string `json:"connection,omitempty"`
	// Identity is what its identity provider said, sealed, while it waits for a second
	// factor; AMR then holds only what was proved here.
	Identity string `json:"identity,omitempty"`
	// Entered: he became a member when it arrived, and his invitation is used up.
	Entered bool `json:"entered,omitempty"`
	// Session is the one that the sign-in goes on from, and From the tenant of which
	// it carries the proof; AMR then holds only what was proved since, Before what the
	// session had proved, and ACR the class that it had reached.
	Session string   `json:"session,omitempty"`
	From    string   `json:"from,omitempty"`
	Before  []string `json:"before,omitempty"`
	ACR     string   `json:"acr,omitempty"`
}

// latest is when the person last proved something: here, or at his identity provider.
func (p proof) latest(upstream time.Time) time.Time {
	if len(p.AMR) == 0 {
		return upstream
	}
	return time.UnixMicro(p.At)
}

// stale reports whether the password that was given is no longer the person's.
func (p proof) stale(who directory.PasswordLogin) bool {
	return p.Method == MethodPassword && p.Session == "" && !secret.Equal(p.Of, who.PasswordHash)
}

var (
	errAccountChoice = fault.New(fault.Invalid, "SIGNIN_ACCOUNT_UNKNOWN", "You do not belong to this organization, or cannot enter it now. Choose another one.")
	errStage         = fault.New(fault.Invalid, "SIGNIN_STEP", "This step is not the next one. Go on from where the sign-in stands.")
	errNoAccount     = fault.New(fault.Forbidden, "POLICY_NOT_A_MEMBER", "You do not belong to an organization here, or none that you can enter now. Ask your administrator.")
)

// Local is an answer of a browser in a sign-in without an identity provider.
type Local struct {
	Environment   tenants.Environment
	FlowID        string
	BrowserID     string
	SessionCookie string // of a session that the browser already has; empty: none
	DeviceCookie  string // of a browser that is not to be asked for a second factor
	Remember      bool   // the person asks for such a cookie
}

// forget drops an identity that waits: the person begins anew in another way.
func (f *Flow) forget() {
	if f.proof.Identity != "" {
		f.Tenant = f.Organization
	}
}

// device is the cookie of a browser that is not asked for a second factor, where
// the environment lets people have such.
func (in Local) device() string {
	if !in.Environment.Settings.FeatureOn(tenants.FeatureRememberDevice) {
		return ""
	}
	return in.DeviceCookie
}

// Password is the first step: an address and its password. A refusal by policy
// is a Step, as it is an Outcome for other sign-ins.
//
// Faults: SIGNIN_WRONG_PASSWORD, SIGNIN_TOO_MANY_ATTEMPTS, SIGNIN_BUSY, and those
// of the flow.
func (s *Service) Password(ctx context.Context, a actor.Actor, in Local, email, password string) (Step, error) {
	env := in.Environment.ID
	at, err := s.factors.Hasher.Enter()
	if err != nil {
		return Step{}, err
	}
	defer at.Leave()
	if _, err := s.ChoosableFlow(ctx, s.db, env, in.FlowID, in.BrowserID); err != nil {
		return Step{}, err
	}
	who, err := s.directory.LocalByEmail(ctx, s.db, env, email)
	if err != nil {
		return Step{}, err
	}
	rules, err := s.personRules(ctx, s.db, env, who.UserID, "")
	if err != nil {
		return Step{}, err
	}
	try, fresh, err := s.factors.CheckPassword(ctx, at, env, email, who.PasswordHash, password, from(a, in), factor.LockOf(rules.Lockout))
	if err != nil {
		return Step{}, s.failed(ctx, a, in.Environment, who, MethodPassword, try, err)
	}
	return s.step(ctx, a, in, func(q db.Queryer, f *Flow) error {
		stmts := s.factors.HeldStmts(try)
		if err := q.Batch(ctx, stmts); err != nil {
			return err
		}
		f.forget()
		f.UserID, f.proof = who.UserID, proof{Method: MethodPassword, AMR: []string{"pwd"}, At: s.clock.Now().UnixMicro(), Of: secret.Hash(who.PasswordHash)}
		if fresh == "" {
			return nil
		}
		if now, err := s.directory.LocalByID(ctx, q, env, who.UserID); err != nil || f.proof.stale(now) {
			return err // another password was set while this one was hashed
		}
		f.proof.Of = secret.Hash(fresh)
		return s.directory.SetPassword(ctx, q, env, who.UserID, fresh, false)
	})
}

// BeginPasskey asks for whichever passkey the person has for this host, as JSON
// for navigator.credentials.get.
func (s *Service) BeginPasskey(ctx context.Context, in Local) ([]byte, error) {
	var options []byte
	err := s.db.Tx(ctx, func(q db.Queryer) error {
		f, err := s.ChoosableFlow(ctx, q, in.Environment.ID, in.FlowID, in.BrowserID)
		if err != nil {
			return err
		}
		options, err = s.factors.BeginKey(ctx, q, factor.Person{Environment: in.Environment}, f.ID)
		return err
	})
	return options, err
}

// Passkey is the first step by a passkey, which proves two factors at once: the
// key, and that its holder unlocked it.
//
// Faults: SIGNIN_WRONG_KEY, SIGNIN_TOO_MANY_ATTEMPTS, and those of the flow.
func (s *Service) Passkey(ctx context.Context, a actor.Actor, in Local, answer []byte) (Step, error) {
	if _, err := s.ChoosableFlow(ctx, s.db, in.Environment.ID, in.FlowID, in.BrowserID); err != nil {
		return Step{}, err
	}
	try, err := s.factors.Count(ctx, in.Environment.ID, factor.Known("passkey "+in.FlowID), a.IP, factor.Lock{})
	if err != nil {
		return Step{}, err
	}
	step, err := s.step(ctx, a, in, func(q db.Queryer, f *Flow) error {
		key, err := s.factors.CheckKey(ctx, q, factor.Person{Environment: in.Environment}, f.ID, answer)
		if err != nil {
			return err
		}
		f.forget()
		f.UserID, f.proof = key.UserID, proof{Method: MethodPasskey, AMR: []string{"swk", "user", "mfa"}, At: s.clock.Now().UnixMicro(), Second: true}
		return q.Batch(ctx, s.factors.HeldStmts(try))
	})
	if copied := (factor.CopiedError{}); errors.As(err, &copied) {
		return step, s.failed(ctx, a, in.Environment, directoryLogin(copied.UserID), MethodPasskey, factor.Try{}, err)
	}
	return step, err
}

// ChooseAccount is the step of somebody who belongs to several organizations.
func (s *Service) ChooseAccount(ctx context.Context, a actor.Actor, in Local, tenant string) (Step, error) {
	return s.step(ctx, a, in, func(q db.Queryer, f *Flow) error {
		if f.UserID == "" || f.proof.Connection != "" { // an identity provider speaks for its own tenant
			return errStage
		}
		accounts, err := s.accounts(ctx, q, *f)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(accounts, func(c Account) bool { return c.Tenant == tenant }) {
			return errAccountChoice
		}
		f.Tenant = tenant
		return s.prefer(ctx, q, in, f)
	})
}

// Stands tells where a sign-in stands, for its pages. It decides nothing.
func (s *Service) Stands(ctx context.Context, a actor.Actor, in Local) (Step, error) {
	f, err := s.stepFlow(ctx, s.db, in)
	if err != nil {
		return Step{}, err
	}
	step, _, err := s.next(ctx, a, s.db, in, &f)
	step.Purpose, step.FlowID = f.Purpose, f.ID
	return step, err
}

// step runs one answer in a transaction and goes on as far as nothing is asked.
func (s *Service) step(ctx context.Context, a actor.Actor, in Local, do func(q db.Queryer, f *Flow) error) (Step, error) {
	var step Step
	once := func() error {
		return s.db.Tx(ctx, func(q db.Queryer) error {
			f, err := s.stepFlow(ctx, q, in)
			if err != nil {
				return err
			}
			if err := do(q, &f); err != nil {
				return err
			}
			next, v, err := s.next(ctx, a, q, in, &f)
			if err != nil {
				return err
			}
			step = next
			step.Purpose = f.Purpose
			switch {
			case step.Stage != StageDone:
				return s.keepProof(ctx, q, f)
			case v.identity != nil:
				return s.enterKept(ctx, a, q, in, f, v, &step)
			}
			return s.enter(ctx, a, q, in, f, v, &step)
		})
	}
	err := once()
	if errors.Is(err, db.ErrConflict) || errors.Is(err, sessions.ErrNoSession) {
		err = once() // as Continue does
	}
	return step, err
}

// keepProof writes down how far a sign-in has come.
func (s *Service) keepProof(ctx context.Context, q db.Queryer, f Flow) error {
	text, err := json.Marshal(f.proof)
	if err == nil {
		_, err = q.Exec(ctx, sqlProveFlow, f.Environment, f.ID, f.Tenant, f.UserID, string(text), f.Connection)
	}
	return err
}

// localVerdict is what next found out about who comes in.
type localVerdict struct {
	person   Person
	decision policy.Decision
	refusal  *fault.Error
	// Of an identity that waited for a second factor.
	identity *Identity
	judged   verdict
	carried  sessions.Session // that the sign-in goes on from; empty: from none
}

// next finds the next question of a sign-in. With StageDone it has decided.
func (s *Service) next(ctx context.Context, a actor.Actor, q db.Queryer, in Local, f *Flow) (Step, localVerdict, error) {
	step := Step{FlowID: f.ID, Stage: StageFirst, UserID: f.UserID}
	var v localVerdict
	if f.UserID == "" {
		waiting, ok, err := s.pending(*f)
		if ok && !waiting.Agreed {
			step.Stage = StageConnect
		}
		return step, v, err
	}
	if f.proof.Identity != "" {
		return s.nextKept(ctx, a, q, in, f)
	}
	who, err := s.directory.LocalByID(ctx, q, f.Environment, f.UserID)
	if err != nil {
		return step, v, err
	}
	if f.proof.stale(who) {
		return f.anew(), v, nil
	}
	if f.proof.Session != "" {
		if v.carried, err = s.carried(ctx, q, in, *f); err != nil {
			return step, v, err
		}
		if v.carried.ID == "" {
			return f.anew(), v, nil
		}
	}
	gone, err := s.socialHolds(ctx, q, in.Environment, *f)
	step.Email, step.Stage = who.Email, StageDone
	if v.refusal, _ = fault.From(err); v.refusal != nil {
		return step, v, nil
	}
	if err != nil {
		return step, v, err
	}
	if gone {
		return f.anew(), v, nil
	}
	if who.Locked {
		v.refusal = errUserLocked
		return step, v, nil
	}
	if f.Organization != "" {
		f.Tenant = f.Organization
	}
	if f.Tenant == "" {
		accounts, err := s.accounts(ctx, q, *f)
		switch {
		case err != nil:
			return step, v, err
		case len(accounts) == 0:
			v.refusal = errNoAccount
			return step, v, nil
		case len(accounts) > 1 || f.demand.Choose:
			step.Stage, step.Accounts = StageAccount, accounts
			return step, v, nil
		}
		f.Tenant = accounts[0].Tenant
	}
	step.Tenant = f.Tenant
	// The lifecycle first (identity rule 9), on locked rows where a session is to follow.
	step.SSO = f.proof.Connection != ""
	v.person, err = s.Check(ctx, q, f.Environment, f.Tenant, f.UserID, f.proof.Connection)
	if v.refusal, _ = fault.From(err); v.refusal != nil {
		return step, v, nil
	}
	if err != nil {
		return step, v, err
	}
	return s.nextFactor(ctx, a, q, in, f, step, v)
}

// nextFactor asks the policies, and for a second factor where they, or the person
// who has one, want it.
func (s *Service) nextFactor(ctx context.Context, a actor.Actor, q db.Queryer, in Local, f *Flow, step Step, v localVerdict) (Step, localVerdict, error) {
	device := in.device()
	if f.social != "" {
		device = "" // what adds a way in is asked for in any case
	}
	remembered, err := s.factors.RememberedAt(ctx, q, f.Environment, f.UserID, device)
	if err != nil {
		return step, v, err
	}
	v.decision, err = s.evaluate(ctx, q, f.Environment, f.Tenant, policy.Input{
		Now: s.clock.Now(), IP: a.IP, Human: true, Email: v.person.Email, Method: f.proof.Method, SecondFactor: f.proof.Second, RememberedAt: remembered,
	})
	refused, ok := fault.From(err)
	if err != nil && !ok {
		return step, v, err
	}
	switch {
	case v.decision.Code == policy.CodeSSORequired:
		options, err := s.TenantOptions(ctx, q, f.Tenant)
		if err != nil {
			return step, v, err
		}
		if len(options) > 0 {
			step.Stage, step.Options = StageSSO, options
			return step, v, nil
		}
		v.refusal = refused
		return step, v, nil
	case v.carried.ID != "" && (v.decision.Code == policy.CodeSocial || !s.clock.Now().Before(v.carried.CreatedAt.Add(v.decision.Absolute))):
		return f.anew(), v, nil // another way may be open, and a session does not outlive its tenant's limit
	case refused != nil && v.decision.Outcome != policy.OutcomeNeedMFA:
		v.refusal = refused
		return step, v, nil
	}
	asked, err := s.reachable(ctx, q, *f)
	if err != nil {
		return step, v, err
	}
	unmet := f.demand.unmet(f.reached(), asked) && !hasMFA(f.proof.AMR) // who proved two factors here has no more to prove
	if (f.proof.Second || v.decision.Remembered) && !unmet || step.SSO && v.decision.Outcome == policy.OutcomeAllow && !unmet {
		return step, v, nil
	}
	if step.SSO || f.proof.Second || unmet {
		if err := s.askSecond(ctx, q, *f, &step); err != nil || step.Stage != StageEnrol {
			return step, v, err
		}
		return s.enrolFresh(f, step), v, nil
	}
	kinds, err := s.kinds(ctx, q, *f)
	switch {
	case err != nil:
		return step, v, err
	case len(kinds) > 0:
		step.Stage, step.Kinds = StageSecond, kinds
	case v.decision.Outcome == policy.OutcomeNeedMFA:
		step.Stage, step.Kinds = StageEnrol, []string{KindMail}
		step = s.enrolFresh(f, step)
	}
	return step, v, nil
}

// kinds are the second factors that serve the person of a flow, the strongest first.
func (s *Service) kinds(ctx context.Context, q db.Queryer, f Flow) ([]string, error) {
	list, err := s.factors.Factors(ctx, q, f.Environment, f.UserID)
	list = slices.DeleteFunc(list, func(c factor.Factor) bool { return !c.Serves(f.behind()) })
	if err != nil || len(list) == 0 {
		return nil, err
	}
	var kinds []string
	for _, kind := range []string{factor.WebAuthn, factor.TOTP} {
		if slices.ContainsFunc(list, func(c factor.Factor) bool { return c.Kind == kind }) {
			kinds = append(kinds, kind)
		}
	}
	left, err := s.factors.RecoveryCodes(ctx, q, factor.Person{Environment: tenants.Environment{ID: f.Environment}, UserID: f.UserID, Tenant: f.behind()})
	if left > 0 {
		kinds = append(kinds, KindRecovery)
	}
	return kinds, err
}

// enter ends the sign-in: in a session, or in a refusal that is recorded.
func (s *Service) enter(ctx context.Context, a actor.Actor, q db.Queryer, in Local, f Flow, v localVerdict, step *Step) error {
	a.Kind, a.Subject, a.Email, a.Tenant = actor.User, f.UserID, step.Email, f.Tenant
	event := audit.Event{
		Environment: f.Environment, Tenant: f.Tenant, Action: "login.succeeded", Actor: a, Connection: f.proof.Social, At: s.clock.Now(),
		Targets:  []audit.Target{{Type: "user", ID: f.UserID, Name: step.Email}},
		Metadata: map[string]any{"flow_id": f.ID, "method": f.proof.Method},
	}
	step.Refusal = v.refusal
	if v.refusal != nil {
		event.Metadata = v.decision.Refused.Metadata(event.Metadata)
		event.Action, event.Outcome = "login.failed", audit.Denied
		event.Metadata["code"], event.Metadata["email"] = v.refusal.Code, step.Email
		return s.closeLocal(ctx, q, f, "", event)
	}
	// Once more, on locked rows: whoever switches the person off now waits.
	person, err := s.checkLocked(ctx, q, f.Environment, f.Tenant, f.UserID, f.proof.Connection)
	if err != nil {
		return err
	}
	if who, err := s.directory.LocalByID(ctx, q, f.Environment, f.UserID); err != nil {
		return err
	} else if f.proof.stale(who) {
		return errStage
	}
	m, err := s.directory.PersonByMembership(ctx, q, f.Tenant, person.Membership)
	if err != nil {
		return err
	}
	if m.Membership.Status != directory.StatusActive {
		if err := s.directory.Activate(ctx, a, q, m.Membership, ""); err != nil {
			return err
		}
	}
	if err := s.linkPending(ctx, a, q, in.Environment, f); err != nil {
		return err
	}
	p := sessions.Proof{
		Tenant: f.Tenant, Membership: person.Membership, Connection: f.proof.Connection, Method: f.proof.Method, Social: f.proof.Social,
		AMR: methods(f.proof.Before, f.proof.AMR), ACR: f.reached(), AuthTime: time.UnixMicro(f.proof.At), SatisfiedAt: s.clock.Now(),
	}
	if old, ok := v.carried.Proof(f.Tenant); ok && f.proof.From == f.Tenant {
		p.NotAfter, p.Upstream, p.UpstreamSubject = old.NotAfter, old.Upstream, old.UpstreamSubject
	}
	if v.carried.ID != "" {
		event.Action = "session.stepped_up"
		if f.proof.From != f.Tenant {
			event.Action = "session.switched"
		}
	}
	step.Session, step.Cookie, err = s.startSession(ctx, a, q, f, v.decision, f.UserID, p, in.SessionCookie)
	if err != nil {
		return err
	}
	if in.Remember && hasMFA(f.proof.AMR) && f.proof.Method == MethodPassword && in.Environment.Settings.FeatureOn(tenants.FeatureRememberDevice) {
		if step.Device, err = s.factors.Remember(ctx, q, f.Environment, f.UserID); err != nil {
			return err
		}
	}
	event.Session = step.Session.ID
	return s.closeLocal(ctx, q, f, step.Session.ID, event)
}

// DeviceLife is how long a browser can be remembered at most.
const DeviceLife = factor.DeviceLife

func (s *Service) closeLocal(ctx context.Context, q db.Queryer, f Flow, session string, event audit.Event) error {
	stmts, err := audit.Stmts(event)
	if err != nil {
		return err
	}
	return s.close(ctx, q, f, Identity{Tenant: f.Tenant, Connection: f.proof.Connection}, session, stmts)
}

// failed records a try that did not hold, and the lock that it led to; it gives
// the refusal.
func (s *Service) failed(ctx context.Context, a actor.Actor, env tenants.Environment, who directory.PasswordLogin, method string, try factor.Try, refusal error) error {
	f, ok := fault.From(refusal)
	if !ok || f.Kind == fault.Unavailable {
		return refusal
	}
	tenant := ""
	accounts, err := s.accounts(ctx, s.db, Flow{Environment: env.ID, UserID: who.UserID})
	if err != nil {
		return err
	}
	if len(accounts) == 1 {
		tenant = accounts[0].Tenant // whose log it stands in; those of several tell nobody of the others
	}
	event := audit.Event{
		Environment: env.ID, Tenant: tenant, Action: "login.failed", Outcome: audit.Failure, Actor: a,
		Metadata: map[string]any{"code": f.Code, "method": method},
	}
	if errors.As(refusal, new(factor.CopiedError)) {
		event.Severity, event.Metadata["suspected_copy"] = audit.High, true
	}
	if who.UserID != "" {
		event.Targets = []audit.Target{{Type: "user", ID: who.UserID, Name: who.Email}}
	}
	err = s.db.Tx(ctx, func(q db.Queryer) error {
		if err := audit.Record(ctx, q, event); err != nil || !try.Locks || who.UserID == "" {
			return err
		}
		locked := event
		locked.Action, locked.Outcome = "user.locked", audit.Success
		if err := audit.Record(ctx, q, locked); err != nil {
			return err
		}
		return s.mailLocked(ctx, q, env, who)
	})
	return errors.Join(err, refusal)
}

// accounts lists the organizations that the person of a flow may enter now.
func (s *Service) accounts(ctx context.Context, q db.Queryer, f Flow) ([]Account, error) {
	if f.UserID == "" {
		return nil, nil
	}
	rows, err := q.Query(ctx, sqlAccounts, f.Environment, f.UserID, db.At(s.clock.Now()))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Account
	for rows.Next() {
		var c Account
		if err := rows.Scan(&c.Tenant, &c.Name); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, rows.Err()
}

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
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Arrival is a browser at /signin/continue/{handle}.
type Arrival struct {
	Handle        string
	BrowserID     string
	SessionCookie string // of a session that the browser already has; empty: none
	// Confirmed: the person said yes to Outcome.Confirm.
	Confirmed bool
	// DeviceCookie is of a browser that is not to be asked for a second factor.
	DeviceCookie string
}

// Outcome is how a sign-in ended: in a session, or in a refusal. A test ends in
// neither.
type Outcome struct {
	FlowID  string
	Purpose string
	// Tenant and Connection are what the sign-in ended in.
	Tenant, Connection string
	// Confirm asks the person first, by his e-mail: he is somebody else than whose
	// session the browser has, and nobody asked for this sign-in. Nothing was used
	// up; Continue goes on when Arrival says Confirmed.
	Confirm string
	// Asked is the page that asks for a second factor first; empty: the sign-in has
	// ended. It goes on by Service.Second or Service.Enrol.
	Asked   Stage
	Test    bool         // see Service.TestShown
	Waiting bool         // the person is a member now, and waits for approval
	Refusal *fault.Error // nil: signed in
	Cookie  string       // the session's new secret
	Session sessions.Session
	UserID  string
}

var (
	errJITDisabled  = fault.New(fault.Forbidden, "POLICY_JIT_DISABLED", "There is no account for you here yet. Ask your administrator to add you.")
	errOldLogin     = fault.New(fault.Forbidden, "POLICY_REAUTHENTICATION", "The application asked for a fresh sign-in, and your identity provider answered from an old one. Sign out there and try again.")
	errChangedHands = fault.New(fault.Forbidden, "SIGNIN_CHANGED_HANDS", "Your account changed while you were signing in. Start again from the application.")
	errEnded        = fault.New(fault.Forbidden, "POLICY_SESSION_ENDED", "The identity provider's session has already ended. Sign in there again.")
)

// policyMessages are what a person reads when a policy refuses him.
var policyMessages = map[string]string{
	policy.CodeIPEnvironment: "Signing in from this network address is not allowed.",
	policy.CodeIP:            "Your organization does not allow signing in from this network address.",
	policy.CodeEmailDomain:   "Your e-mail domain is not one from which people may join this organization. Ask your administrator.",
	policy.CodeSSORequired:   "Your organization requires single sign-on.",
	policy.CodeSocial:        "Your organization does not allow signing in this way. Choose another one.",
	policy.CodeMFARequired:   "Your organization requires a second factor, and this sign-in had none. Sign in again.",
}

// Continue ends a sign-in in one transaction: the result under the handle is
// used up, its browser proved, and what [Service.finish] decided is written. A
// refusal is an outcome and commits; a fault (unknown handle, other browser)
// writes nothing, so that only the right browser uses the handle up.
func (s *Service) Continue(ctx context.Context, a actor.Actor, env tenants.Environment, in Arrival) (Outcome, error) {
	var out Outcome
	once := func() error {
		return s.db.Tx(ctx, func(q db.Queryer) error {
			flowID, identity, err := s.takeResult(ctx, q, env.ID, in.Handle)
			if err != nil {
				return err
			}
			f, err := s.arrival(ctx, q, env.ID, flowID, in.BrowserID)
			if err != nil {
				return err
			}
			if err := errors.Join(f.Allows(identity.Tenant), f.AllowsConnection(identity.Connection)); err != nil {
				return err
			}
			if f.Purpose == PurposeTest {
				out, err = s.finishTest(ctx, a, q, f, identity)
			} else {
				f.UserID, f.proof = "", proof{} // an identity that arrives replaces what waited
				out, err = s.finish(ctx, a, q, env, f, identity, in)
			}
			out.Purpose, out.Tenant, out.Connection = f.Purpose, identity.Tenant, identity.Connection
			return err
		})
	}
	err := once()
	if errors.Is(err, db.ErrConflict) || errors.Is(err, sessions.ErrNoSession) {
		// Two first logins of one person at once: the second finds what the first
		// made. Or the browser's session ended meanwhile: a new one begins.
		err = once()
	}
	if errors.Is(err, errConfirm) {
		return out, nil
	}
	return out, err
}

// finish decides about a verified identity. Everything is read and judged before
// a row is written (identity rule 9).
func (s *Service) finish(ctx context.Context, a actor.Actor, q db.Queryer, env tenants.Environment, f Flow, identity Identity, in Arrival) (Outcome, error) {
	v, err := s.judge(ctx, a, q, f, identity, shown{device: Local{Environment: env, DeviceCookie: in.DeviceCookie}.device()})
	if err != nil {
		return Outcome{}, err
	}
	if ask, err := s.unconfirmed(ctx, q, f, v, in); err != nil {
		return Outcome{}, err
	} else if ask {
		return Outcome{FlowID: f.ID, Confirm: identity.Email}, errConfirm
	}
	if v.refusal == nil && v.second && !v.waitsForApproval() {
		return s.keep(ctx, a, q, f, identity, v, in)
	}
	return s.conclude(ctx, a, q, f, identity, v, in)
}

// conclude writes what was decided: a refusal, or who the identity is and his
// session.
func (s *Service) conclude(ctx context.Context, a actor.Actor, q db.Queryer, f Flow, identity Identity, v verdict, in Arrival) (Outcome, error) {
	out := Outcome{FlowID: f.ID, Refusal: v.refusal}
	login := Login{
		Connection: identity.Connection, FlowID: f.ID, At: s.clock.Now(), Outcome: OutcomeSuccess,
		Subject: identity.Subject, Email: identity.Email, Checks: v.checks, Response: identity.Response, Detail: detailOf(identity, false),
	}
	if v.refusal != nil {
		login.Outcome, login.Code, login.Rule = OutcomeDenied, v.refusal.Code, v.decision.Refused
		stmts, err := s.loginStmts(a, f.Environment, identity.Tenant, login, nil)
		if err != nil {
			return out, err
		}
		return out, s.close(ctx, q, f, identity, "", stmts)
	}
	userID, membership, err := s.become(ctx, a, q, f, identity, v)
	if err != nil {
		return out, err
	}
	a.Kind, a.Subject, a.Email, a.Tenant = actor.User, userID, identity.Email, identity.Tenant
	if v.status() == directory.StatusPendingApproval {
		return s.finishWaiting(ctx, a, q, f, identity, login)
	}
	out.Session, out.Cookie, err = s.startSession(ctx, a, q, f, v.decision, userID, sessions.Proof{
		Tenant: identity.Tenant, Membership: membership, Connection: identity.Connection, Method: identity.Protocol,
		AMR: methods(identity.AMR, f.proof.AMR), ACR: acrOfIdentity(identity, v.connection.TrustIdPMFA, f.proof.AMR), AuthTime: f.proof.latest(identity.At), SatisfiedAt: s.clock.Now(), NotAfter: identity.SessionEnd, Upstream: identity.Upstream, UpstreamSubject: identity.UpstreamSubject,
	}, in.SessionCookie)
	if err != nil {
		return out, err
	}
	a.Session, out.UserID = out.Session.ID, userID
	roles, err := s.rbac.Effective(ctx, q, identity.Tenant, membership)
	if err != nil {
		return out, err
	}
	login.Detail.Roles = grantedAs(roles.Roles)
	stmts, err := s.loginStmts(a, f.Environment, identity.Tenant, login, &audit.Target{Type: "user", ID: userID, Name: identity.Email})
	if err != nil {
		return out, err
	}
	stmts = append(stmts, s.tenants.LoginStmt(identity.Tenant, identity.Connection, s.clock.Now()))
	return out, s.close(ctx, q, f, identity, out.Session.ID, stmts)
}

// become makes the identity somebody of the tenant, and gives him what he was
// invited to.
func (s *Service) become(ctx context.Context, a actor.Actor, q db.Queryer, f Flow, identity Identity, v verdict) (userID, membership string, err error) {
	userID, membership, err = s.link(ctx, a, q, f, identity, v)
	if err != nil || v.admission == nil {
		return userID, membership, err
	}
	a.Kind, a.Subject, a.Email, a.Tenant = actor.User, userID, identity.Email, identity.Tenant
	return userID, membership, s.joiner.Join(ctx, a, q, *v.admission, Joined{
		Environment: f.Environment, Tenant: identity.Tenant, UserID: userID, Membership: membership, Email: identity.Email,
	})
}

// status is that of a person whom the login adds.
func (v verdict) status() directory.Status {
	if v.waitsForApproval() {
		return directory.StatusPendingApproval
	}
	return directory.StatusActive
}

// finishWaiting ends the sign-in of a member who waits for approval, without a
// session.
func (s *Service) finishWaiting(ctx context.Context, a actor.Actor, q db.Queryer, f Flow, identity Identity, login Login) (Outcome, error) {
	out := Outcome{FlowID: f.ID, Waiting: true}
	login.Outcome, login.Code = OutcomeDenied, directory.ErrPendingApproval.Code
	stmts, err := s.loginStmts(a, f.Environment, identity.Tenant, login, nil)
	if err != nil {
		return out, err
	}
	return out, s.close(ctx, q, f, identity, "", stmts)
}

// close runs the last statements of a sign-in and ends its flow, which ends once:
// of two answers to one flow that arrive together the second is undone.
func (s *Service) close(ctx context.Context, q db.Queryer, f Flow, identity Identity, session string, stmts []db.Stmt) error {
	var ended int64
	end := db.Stmt{SQL: sqlFinishFlow, Affected: &ended, Args: []any{
		f.Environment, f.ID, identity.Tenant, identity.Connection, session, db.At(s.clock.Now()),
	}}
	if err := q.Batch(ctx, append(stmts, end)); err != nil {
		return err
	}
	if ended == 0 {
		return errFlowFinished
	}
	return nil
}

// verdict is what judge found out.
type verdict struct {
	connection connectionState
	link       directory.LinkResult
	admission  *Admission // of who was invited
	decision   policy.Decision
	checks     []Check
	refusal    *fault.Error
	second     bool // with no refusal: a second factor is wanted first
}

func (s *Service) judge(ctx context.Context, a actor.Actor, q db.Queryer, f Flow, identity Identity, by shown) (verdict, error) {
	v := verdict{checks: identity.Checks}
	var err error
	if v.connection, err = s.heldConnection(ctx, q, f.Environment, identity.Tenant, identity.Connection); err != nil && fault.KindOf(err) == 0 {
		return v, err
	}
	if err == nil && f.Purpose == PurposeTest {
		v.connection.Status = tenants.SSOActive // a test asks what would be, were it switched on
	}
	if err == nil {
		err = v.connection.usable()
	}
	if err != nil {
		return v, v.refuse("lifecycle", "active tenant and connection", err)
	}
	if !identity.SessionEnd.IsZero() && !s.clock.Now().Before(identity.SessionEnd) {
		return v, v.refuse("session end", "later than now", errEnded)
	}
	if f.ForceAuthn && identity.At.Before(f.CreatedAt.Add(-tenants.MaxClockSkew)) {
		return v, v.refuse("authentication time", "after "+f.CreatedAt.Format(time.RFC3339), errOldLogin)
	}
	v.link, err = s.directory.FindLink(ctx, q, directory.LinkQuery{
		Environment: f.Environment, Tenant: identity.Tenant, Connection: identity.Connection, SubjectKey: identity.SubjectKey(),
		Subject: identity.Subject, ObjectID: identity.ObjectID, UserName: identity.UserName, Email: identity.Email, EmailVerified: identity.EmailVerified,
	})
	if err != nil {
		return v, err
	}
	if err := s.admit(ctx, q, f, identity, &v); err != nil || v.refusal != nil {
		return v, err
	}
	if err := s.judgeLink(ctx, q, f, identity, &v); err != nil || v.refusal != nil {
		return v, err
	}
	remembered, err := s.factors.RememberedAt(ctx, q, f.Environment, v.person(), by.device)
	if err != nil {
		return v, err
	}
	v.decision, err = s.evaluate(ctx, q, f.Environment, identity.Tenant, policy.Input{
		Now: s.clock.Now(), IP: a.IP, Human: true, Email: identity.Email, NewUser: v.joins() || v.invited(),
		EmailDomainVerified: v.link.DomainVerified, AllowUnverifiedDomains: v.connection.AllowUnverified || v.proved() != "",
		Method: identity.Protocol, TrustIdPMFA: v.connection.TrustIdPMFA, MFAEvidence: hasMFA(identity.AMR), SecondFactor: by.second, RememberedAt: remembered,
	})
	for _, c := range v.decision.Checks {
		v.checks = append(v.checks, Check(c))
	}
	if v.decision.Outcome == policy.OutcomeNeedMFA {
		v.second = true
		return v, nil
	}
	v.refusal, _ = fault.From(err)
	if v.refusal != nil {
		return v, nil
	}
	if len(f.demand.ACRs) == 0 || err != nil {
		return v, err
	}
	whose := f
	whose.UserID, whose.Tenant, whose.proof.Connection = v.person(), identity.Tenant, identity.Connection
	asked, err := s.reachable(ctx, q, whose)
	v.second = f.demand.unmet(acrOfIdentity(identity, v.connection.TrustIdPMFA, f.proof.AMR), asked)
	return v, err
}

// judgeLink decides from the search whether there is, or may come to be, a
// person behind the identity.
func (s *Service) judgeLink(ctx context.Context, q db.Queryer, f Flow, identity Identity, v *verdict) error {
	switch v.link.Outcome {
	case directory.LinkRefused:
		return v.refuse("account link", "one usable account", v.link.Err)
	case directory.LinkKnown, directory.LinkMembership:
		through := identity.Connection
		if f.Purpose == PurposeTest {
			through = ""
		}
		_, err := s.checkLocked(ctx, q, f.Environment, identity.Tenant, v.link.UserID, through)
		if err != nil && fault.KindOf(err) == 0 {
			return err
		}
		if err == nil && v.link.Person != "" {
			err = s.personUsable(ctx, q, f.Environment, v.link.Person)
		}
		if err != nil {
			return v.refuse("account", "usable", err)
		}
	default:
		if !v.connection.JIT && !v.held() {
			return v.refuse("account", "an account, because new ones are not made at sign-in", errJITDisabled)
		}
		if v.link.Outcome != directory.LinkUser {
			break
		}
		if err := s.personUsable(ctx, q, f.Environment, v.link.UserID); err != nil {
			return v.refuse("account", "usable", err)
		}
	}
	how := v.link.Step
	if how == "" {
		how = "new account"
	}
	v.checks = append(v.checks, Check{Name: "account link", OK: true, Expected: "one usable account", Actual: how})
	return nil
}

// joins reports whether the login adds a person to the tenant.
func (v *verdict) joins() bool {
	return v.link.Outcome == directory.LinkNone || v.link.Outcome == directory.LinkUser
}

func (v *verdict) refuse(check, expected string, err error) error {
	v.refusal, _ = fault.From(err)
	if v.refusal == nil {
		return err
	}
	v.checks = append(v.checks, Check{Name: check, Expected: expected, Actual: v.refusal.Code})
	return nil
}

// link writes who the identity is: a new person, a membership for an existing
// one, or a new identity of a member; then what this login said of him.
func (s *Service) link(ctx context.Context, a actor.Actor, q db.Queryer, f Flow, identity Identity, v verdict) (userID, membership string, err error) {
	m := v.link.Membership
	if v.joins() {
		p, err := s.directory.CreateUser(ctx, a, q, directory.NewUser{
			Environment: f.Environment, Tenant: identity.Tenant, UserID: v.link.UserID, Email: identity.Email, UserName: identity.UserName,
			FirstName: identity.FirstName, LastName: identity.LastName, DisplayName: identity.DisplayName,
			ManagedBy: directory.SSO, Connection: identity.Connection, Status: v.status(),
		})
		if err != nil {
			return "", "", err
		}
		m = p.Membership
	} else if m, err = s.refresh(ctx, a, q, identity, v, m); err != nil {
		return "", "", err
	}
	if (v.joins() || v.waits()) && v.admission == nil { // who was invited gets what he was invited to
		if err := q.Batch(ctx, s.rbac.DefaultRoleStmts(identity.Tenant, f.Environment, m.ID)); err != nil {
			return "", "", err
		}
	}
	profile, err := json.Marshal(identity.Attributes)
	if err != nil {
		return "", "", err
	}
	linked := v.link.Identity
	linked.Email, linked.Profile = identity.Email, string(profile)
	var stmts []db.Stmt
	if v.link.Outcome == directory.LinkKnown {
		stmts = s.directory.SeenStmts(linked)
	} else {
		linked, err = s.directory.LinkIdentity(ctx, a, q, f.Environment, m.UserID, directory.Identity{
			Tenant: identity.Tenant, Connection: identity.Connection, SubjectKey: identity.SubjectKey(),
			Subject: identity.Subject, ObjectID: identity.ObjectID,
			Membership: m.ID, Email: identity.Email, Profile: string(profile),
		}, v.link.Step)
		if err != nil {
			return "", "", err
		}
	}
	if identity.GroupsKnown {
		stmts = append(stmts, s.directory.ReplaceIdentityGroupsStmts(identity.Tenant, identity.Connection, linked.ID, identity.Groups)...)
	}
	if len(stmts) > 0 {
		if err := q.Batch(ctx, stmts); err != nil {
			return "", "", err
		}
	}
	return m.UserID, m.ID, nil
}

// refresh lets a member that only SSO keeps follow what his provider says. His
// e-mail follows only inside the domains that the tenant verified.
func (s *Service) refresh(ctx context.Context, a actor.Actor, q db.Queryer, identity Identity, v verdict, m directory.Membership) (directory.Membership, error) {
	var err error
	if v.link.Person != "" {
		m, err = s.directory.Move(ctx, a, q, m, v.link.Person, directory.StatusActive)
	} else {
		err = s.directory.Activate(ctx, a, q, m, v.proved())
	}
	if err != nil || m.ManagedBy != directory.SSO {
		return m, err
	}
	var p directory.UserPatch
	changed := false
	follow := func(field **string, from, to string) {
		if to != "" && to != from {
			*field, changed = &to, true
		}
	}
	follow(&p.FirstName, m.FirstName, identity.FirstName)
	follow(&p.LastName, m.LastName, identity.LastName)
	follow(&p.DisplayName, m.DisplayName, identity.DisplayName)
	if v.link.DomainVerified && (identity.EmailVerified == nil || *identity.EmailVerified) {
		follow(&p.Email, m.Email, identity.Email)
	}
	if !changed {
		return m, nil
	}
	_, err = s.directory.UpdateUser(ctx, a, q, identity.Tenant, m.UserID, p)
	if p.Email != nil && errors.Is(err, directory.ErrUserExists) {
		p.Email = nil // somebody else of the tenant has the address
		_, err = s.directory.UpdateUser(ctx, a, q, identity.Tenant, m.UserID, p)
	}
	return m, err
}

// startSession adds the tenant to the session that the browser already has, if
// it is this person's and not older than the tenant allows, or starts a new one
// in its place.
func (s *Service) startSession(ctx context.Context, a actor.Actor, q db.Queryer, f Flow, decision policy.Decision, userID string, proof sessions.Proof, cookie string) (sessions.Session, string, error) {
	now := s.clock.Now()
	if proof.AuthTime.IsZero() || proof.AuthTime.After(now) {
		proof.AuthTime = now
	}
	start := sessions.Login{
		Environment: f.Environment, UserID: userID, Idle: decision.Idle, Absolute: decision.Absolute, ForceLogin: decision.ForceLogin,
		UserAgent: a.UserAgent, Proof: proof, MaxConcurrent: decision.MaxConcurrent,
	}
	if a.IP.IsValid() {
		start.IP = a.IP.String()
	}
	if cookie != "" {
		old, err := s.sessions.Find(ctx, q, f.Environment, cookie)
		_, carried := old.Proof(f.proof.From)
		switch {
		case f.proof.Session != "" && fault.KindOf(err) != 0, f.proof.Session != "" && err == nil && (old.ID != f.proof.Session || !carried):
			return old, "", sessions.ErrNoSession // it ended meanwhile, and what it proved with it
		case err == nil && old.UserID == userID && now.Before(old.CreatedAt.Add(decision.Absolute)):
			return s.sessions.Satisfy(ctx, a, q, old, start)
		case err == nil:
			if _, err := s.sessions.End(ctx, a, q, sessions.Selector{Environment: f.Environment, Session: old.ID}, "replaced"); err != nil {
				return old, "", err
			}
		case fault.KindOf(err) == 0:
			return old, "", err
		}
	}
	return s.sessions.Create(ctx, a, q, start)
}

// hasMFA reads the provider's word that it checked several factors (RFC 8176 §2).
// A single strong method is no evidence of two.
func hasMFA(amr []string) bool { return slices.Contains(amr, "mfa") }

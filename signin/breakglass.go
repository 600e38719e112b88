package signin

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Lifetimes of an emergency sign-in: of its link, and of the session.
const (
	BreakGlassLink    = 15 * time.Minute
	BreakGlassSession = time.Hour
)

var (
	errBreakGlass   = fault.New(fault.NotFound, "SIGNIN_BREAK_GLASS_UNKNOWN", "This link is not valid: it was used, or it is older than 15 minutes. Ask the operator for a new one.")
	errNoSuchMember = fault.New(fault.NotFound, "member_not_found", "The tenant has no member with this e-mail address who can sign in.")
	errManyMembers  = fault.New(fault.Conflict, "member_ambiguous", "The tenant has several members with this e-mail address.")
)

// BreakGlass is a way in past SSO enforcement.
type BreakGlass struct {
	URL       string // absolute; it is shown once
	UserID    string
	ExpiresAt time.Time
}

// BreakGlassCreate makes a one-time link for a usable member of a tenant. It
// passes SSO enforcement and no other rule, and is audited as critical.
//
// Faults: tenant_not_found, member_not_found, member_ambiguous, POLICY_*.
func (s *Service) BreakGlassCreate(ctx context.Context, a actor.Actor, q db.Queryer, env tenants.Environment, tenantKey, email string) (BreakGlass, error) {
	t, err := s.tenants.Get(ctx, q, env.ID, tenantKey)
	if err != nil {
		return BreakGlass{}, err
	}
	var users []string
	err = q.Batch(ctx, []db.Stmt{{SQL: sqlMembersByEmail, Args: []any{t.ID, directory.EmailKey(email)}, Scan: scanStrings(&users)}})
	if err != nil {
		return BreakGlass{}, err
	}
	out := BreakGlass{ExpiresAt: s.clock.Now().Add(BreakGlassLink)}
	var refusal error = errNoSuchMember
	var p Person
	for _, user := range users {
		found, err := s.Check(ctx, q, env.ID, t.ID, user, "")
		switch {
		case err == nil && out.UserID != "":
			return BreakGlass{}, errManyMembers
		case err == nil:
			out.UserID, p = user, found
		case fault.KindOf(err) == 0:
			return BreakGlass{}, err
		default:
			refusal = err
		}
	}
	if out.UserID == "" {
		return BreakGlass{}, refusal
	}
	token := secret.Random()
	out.URL = env.URL("/login/break-glass/" + url.PathEscape(token))
	stmts, err := audit.Stmts(audit.Event{
		Environment: env.ID, Tenant: t.ID, Action: "break_glass.created", Actor: a, At: s.clock.Now(),
		Targets: []audit.Target{{Type: "user", ID: out.UserID, Name: p.Email}},
	})
	if err != nil {
		return BreakGlass{}, err
	}
	return out, q.Batch(ctx, append(stmts, db.Stmt{SQL: sqlInsertBreakGlass, Args: []any{
		env.ID, secret.Hash(token), t.ID, out.UserID, db.At(s.clock.Now()), db.At(out.ExpiresAt),
	}}))
}

// BreakGlassShow tells for whom a link is, without using it up: mail programs and
// scanners open links by themselves.
//
// Fault: SIGNIN_BREAK_GLASS_UNKNOWN.
func (s *Service) BreakGlassShow(ctx context.Context, q db.Queryer, env tenants.Environment, token string) (Person, tenants.Tenant, error) {
	var tenant, user string
	err := q.QueryRow(ctx, sqlBreakGlass, env.ID, secret.Hash(token), db.At(s.clock.Now())).Scan(&tenant, &user)
	if errors.Is(err, db.ErrNotFound) {
		err = errBreakGlass
	}
	if err != nil {
		return Person{}, tenants.Tenant{}, err
	}
	t, err := s.tenants.Get(ctx, q, env.ID, tenant)
	if err != nil {
		return Person{}, t, err
	}
	p, err := s.Check(ctx, q, env.ID, tenant, user, "")
	return p, t, err
}

// BreakGlassUse uses a link up and signs the person in to its tenant, for an hour
// at most. A refusal by lifecycle or policy is an outcome, and uses the link up
// too. cookie is of a session that the browser already has.
//
// Fault: SIGNIN_BREAK_GLASS_UNKNOWN.
func (s *Service) BreakGlassUse(ctx context.Context, a actor.Actor, env tenants.Environment, token, cookie string) (Outcome, error) {
	var out Outcome
	err := s.db.Tx(ctx, func(q db.Queryer) (err error) {
		out, err = s.breakGlass(ctx, a, q, env, token, cookie)
		return err
	})
	return out, err
}

func (s *Service) breakGlass(ctx context.Context, a actor.Actor, q db.Queryer, env tenants.Environment, token, cookie string) (Outcome, error) {
	var out Outcome
	now := s.clock.Now()
	err := q.QueryRow(ctx, sqlTakeBreakGlass, env.ID, secret.Hash(token), db.At(now)).Scan(&out.Tenant, &out.UserID)
	if errors.Is(err, db.ErrNotFound) {
		err = errBreakGlass
	}
	if err != nil {
		return out, err
	}
	p, err := s.checkLocked(ctx, q, env.ID, out.Tenant, out.UserID, "")
	var decision policy.Decision
	if err == nil {
		decision, err = s.evaluate(ctx, q, env.ID, out.Tenant, policy.Input{Now: now, IP: a.IP, Human: true, Email: p.Email, Method: policy.MethodBreakGlass})
	}
	refusal, ok := fault.From(err)
	if err != nil && !ok {
		return out, err
	}
	a.Kind, a.Subject, a.Email, a.Tenant = actor.User, out.UserID, p.Email, out.Tenant
	event := audit.Event{
		Environment: env.ID, Tenant: out.Tenant, Action: "break_glass.used", Actor: a, At: now,
		Targets: []audit.Target{{Type: "user", ID: out.UserID, Name: p.Email}},
	}
	if refusal != nil {
		out.Refusal, event.Outcome, event.Metadata = refusal, audit.Denied, decision.Refused.Metadata(map[string]any{"code": refusal.Code})
		return out, audit.Record(ctx, q, event)
	}
	if err := s.endOther(ctx, a, q, env, cookie); err != nil {
		return out, err
	}
	start := sessions.Login{
		Environment: env.ID, UserID: out.UserID, Idle: min(decision.Idle, BreakGlassSession), Absolute: min(decision.Absolute, BreakGlassSession), ForceLogin: true,
		UserAgent: a.UserAgent, MaxConcurrent: decision.MaxConcurrent,
		Proof: sessions.Proof{Tenant: out.Tenant, Membership: p.Membership, Method: policy.MethodBreakGlass, AuthTime: now, SatisfiedAt: now},
	}
	if a.IP.IsValid() {
		start.IP = a.IP.String()
	}
	if out.Session, out.Cookie, err = s.sessions.Create(ctx, a, q, start); err != nil {
		return out, err
	}
	event.Session = out.Session.ID
	return out, audit.Record(ctx, q, event)
}

// endOther ends the session that the browser has.
func (s *Service) endOther(ctx context.Context, a actor.Actor, q db.Queryer, env tenants.Environment, cookie string) error {
	old, err := s.sessions.Find(ctx, q, env.ID, cookie)
	if errors.Is(err, sessions.ErrNoSession) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = s.sessions.End(ctx, a, q, sessions.Selector{Environment: env.ID, Session: old.ID}, "replaced")
	return err
}

// evaluate asks the policies of environment and tenant; a refusal is a fault.
func (s *Service) evaluate(ctx context.Context, q db.Queryer, environment, tenant string, in policy.Input) (policy.Decision, error) {
	var err error
	if in.Environment, in.Tenant, err = s.policy.Load(ctx, q, environment, tenant); err != nil {
		return policy.Decision{}, err
	}
	d := policy.Evaluate(in)
	if d.Outcome != policy.OutcomeAllow {
		return d, fault.New(fault.Forbidden, d.Code, policyMessages[d.Code])
	}
	return d, nil
}

package signin

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Fresh is how old an authentication may be before a page that does something grave
// asks for it again (product 7.6).
const Fresh = 10 * time.Minute

// ErrNotFresh: the person has to prove himself again, by an authorization request
// with max_age or prompt=login.
var ErrNotFresh = fault.New(fault.Unauthenticated, "reauthentication_required", "Sign in again to go on: the last time was too long ago.")

// RequireFresh refuses a session whose person proved himself to the tenant longer ago
// than within; 0: than Fresh. It is for pages and operations that ask again.
func (s *Service) RequireFresh(p sessions.Proof, within time.Duration) error {
	if within == 0 {
		within = Fresh
	}
	if s.clock.Now().Sub(p.AuthTime) > within {
		return ErrNotFresh
	}
	return nil
}

// Carry is a request for a tenant, or for more proof, in a browser that has a
// session.
type Carry struct {
	Local             // FlowID is set by Carry
	Tenant     string // for which; empty: the person chooses
	Connection string // that the application named; the session must have come through it
	// MaxAge in seconds of the authentication; nil: any.
	MaxAge    *int64
	Demand    Demand
	LoginHint string
	Locales   string // as Start.Locales
	Request   json.RawMessage
	// Silent: nothing may be asked. Then nothing is written either where something
	// would have to be.
	Silent bool
}

// Carried is what became of it: with StageDone the session satisfies the tenant,
// unless it was refused; with StageFirst the session does not help; with any other
// stage that page comes next.
type Carried struct {
	Step
	// Enough: the session proves to the tenant what the person can, and stayed as it is.
	Enough bool
}

// errUndone undoes a flow that leads nowhere.
var errUndone = errors.New("signin: the flow is not needed")

// Carry goes on from the browser's session: it asks for a second factor alone where
// the session lacks that (step-up), or has the session satisfy another tenant
// without a new first factor (switch). What a person proved to us himself counts for
// each tenant that takes it; what an identity provider says of him counts for its own
// tenant only (identity rule 6). The tenant's lifecycle and policies are judged anew.
func (s *Service) Carry(ctx context.Context, a actor.Actor, in Carry) (Carried, error) {
	var out Carried
	if in.BrowserID == "" {
		in.Silent = true // no flow could be its
	}
	once := func() error {
		return s.db.Tx(ctx, func(q db.Queryer) error {
			out = Carried{Step: Step{Stage: StageFirst}}
			return s.carry(ctx, a, q, in, &out)
		})
	}
	err := once()
	if errors.Is(err, sessions.ErrNoSession) {
		err = once()
	}
	if errors.Is(err, errUndone) {
		err = nil
	}
	return out, err
}

func (s *Service) carry(ctx context.Context, a actor.Actor, q db.Queryer, in Carry, out *Carried) error {
	ses, err := s.sessions.Find(ctx, q, in.Environment.ID, in.SessionCookie)
	if errors.Is(err, sessions.ErrNoSession) {
		return nil
	}
	if err != nil {
		return err
	}
	p, ok := s.serves(ses, in)
	if !ok {
		return nil
	}
	now := s.clock.Now()
	in.FlowID = id.New(id.Flow)
	f := Flow{
		Environment: in.Environment.ID, ID: in.FlowID, Organization: in.Tenant, Tenant: in.Tenant, Purpose: PurposeAuthorize, Request: in.Request,
		LoginHint: clip(in.LoginHint, MaxEmail), CreatedAt: now, ExpiresAt: now.Add(FlowLifetime), browserHash: secret.Hash(in.BrowserID), demand: in.Demand, locales: clip(in.Locales, maxLocales),
	}
	f.carry(ses, p)
	if err := insertFlow(ctx, q, f); err != nil {
		return err
	}
	step, v, err := s.next(ctx, a, q, in.Local, &f)
	if err != nil {
		return err
	}
	out.Step = step
	out.FlowID, out.Purpose = f.ID, f.Purpose
	switch {
	case step.Stage == StageDone && v.refusal == nil && p.Tenant == f.Tenant:
		out.Enough = true
		out.Session = ses
		return errUndone
	case step.Stage == StageDone && v.refusal != nil && in.Silent:
		out.Refusal = v.refusal
		return errUndone
	case step.Stage == StageDone:
		return s.enter(ctx, a, q, in.Local, f, v, &out.Step)
	case step.Stage == StageFirst || in.Silent:
		return errUndone
	}
	return s.keepProof(ctx, q, f)
}

// serves picks what of the session counts for the request.
func (s *Service) serves(ses sessions.Session, in Carry) (sessions.Proof, bool) {
	young := func(p sessions.Proof) bool {
		return in.MaxAge == nil || s.clock.Now().Sub(p.AuthTime) <= time.Duration(*in.MaxAge)*time.Second
	}
	if p, ok := ses.Proof(in.Tenant); ok && young(p) && (in.Connection == "" || in.Connection == p.Connection) {
		return p, true
	}
	if in.Connection != "" {
		return sessions.Proof{}, false
	}
	return portable(ses, young)
}

// portable gives the proof of a session that counts for every tenant: one that the
// person gave to us himself. The strongest wins, and of equal ones the latest.
func portable(ses sessions.Session, young func(sessions.Proof) bool) (sessions.Proof, bool) {
	var best sessions.Proof
	for _, p := range ses.Tenants {
		if p.Connection != "" || !slices.Contains(ownMethods, p.Method) || !young(p) {
			continue
		}
		if n, m := level(p.ACR), level(best.ACR); best.Tenant == "" || n > m || n == m && p.AuthTime.After(best.AuthTime) {
			best = p
		}
	}
	return best, best.Tenant != ""
}

// ownMethods are those by which a person proves himself to us. An operator's
// emergency link is of one tenant.
var ownMethods = []string{MethodPassword, MethodPasskey, policy.MethodSocial}

// carry makes a session's proof that of the flow.
func (f *Flow) carry(ses sessions.Session, p sessions.Proof) {
	f.UserID = ses.UserID
	f.proof = proof{
		Method: p.Method, At: p.AuthTime.UnixMicro(), Connection: p.Connection, Social: p.Social, Session: ses.ID, From: p.Tenant, Before: p.AMR, ACR: p.ACR,
		Second: p.Connection == "" && hasMFA(p.AMR) || level(p.ACR) > level(ACRSingle),
	}
}

// carried finds the session that a flow goes on from, in the browser that has it; an
// empty one when it has ended, or no longer proves what the flow carries.
func (s *Service) carried(ctx context.Context, q db.Queryer, in Local, f Flow) (sessions.Session, error) {
	ses, err := s.sessions.Find(ctx, q, f.Environment, in.SessionCookie)
	if errors.Is(err, sessions.ErrNoSession) {
		return sessions.Session{}, nil
	}
	if _, ok := ses.Proof(f.proof.From); err != nil || !ok || ses.ID != f.proof.Session || ses.UserID != f.UserID {
		return sessions.Session{}, err
	}
	return ses, nil
}

// prefer has a flow go on from the proof that its session has for the very tenant
// that was chosen.
func (s *Service) prefer(ctx context.Context, q db.Queryer, in Local, f *Flow) error {
	if f.proof.Session == "" {
		return nil
	}
	ses, err := s.carried(ctx, q, in, *f)
	if p, ok := ses.Proof(f.Tenant); err == nil && ok {
		f.carry(ses, p)
	}
	return err
}

// anew has the person prove himself from the beginning.
func (f *Flow) anew() Step {
	f.UserID, f.proof = "", proof{}
	return Step{FlowID: f.ID, Stage: StageFirst}
}

// enrolFresh lets nobody set a factor up who only has an old session: he proves
// himself anew first.
func (s *Service) enrolFresh(f *Flow, step Step) Step {
	if f.proof.Session == "" || s.clock.Now().Sub(time.UnixMicro(f.proof.At)) <= Fresh {
		return step
	}
	return f.anew()
}

// reached is the class that a sign-in without an identity that waits has reached.
func (f Flow) reached() string {
	if f.proof.Connection != "" {
		if !hasMFA(f.proof.AMR) {
			return f.proof.ACR
		}
		return stronger(f.proof.ACR, acrOf(f.proof.AMR))
	}
	return acrOf(methods(f.proof.Before, f.proof.AMR))
}

// Path is the page that asks for what comes next; empty: nothing is asked.
func (s Step) Path() string {
	if s.Stage == StageSSO && len(s.Options) == 1 {
		return s.Options[0].LoginURL(s.FlowID) + "&login_hint=" + url.QueryEscape(s.Email)
	}
	page := map[Stage]string{
		StageFirst: "/login", StageAccount: "/login/account", StageSSO: "/login", StageSecond: "/mfa", StageEnrol: "/mfa/enrol",
	}[s.Stage]
	if page == "" {
		return ""
	}
	return page + "?flow=" + s.FlowID
}

// TenantOf finds the tenant that an application names, by id or key.
//
// Fault: organization_unknown.
func (s *Service) TenantOf(ctx context.Context, q db.Queryer, env tenants.Environment, organization string) (string, error) {
	t, err := s.tenants.Get(ctx, q, env.ID, organization)
	if absent(err) {
		err = fault.New(fault.NotFound, "organization_unknown", "The application named an organization that does not exist here.")
	}
	return t.ID, err
}

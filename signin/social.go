package signin

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Social is the protocol and the method of a sign-in through a connection of the
// environment. It is a first factor like a password: it proves the person for every
// tenant that allows it (identity rule 6), and no evidence of his provider stands in
// for a second one (product 128).
const Social = policy.MethodSocial

// SocialOption is a connection of the environment, as a button shows it.
type SocialOption struct {
	Connection string
	Name       string
}

// LoginURL is the path that sends the browser to the provider.
func (o SocialOption) LoginURL(flowID string) string {
	return "/oidc/" + url.PathEscape(o.Connection) + "/login?flow=" + url.QueryEscape(flowID)
}

// SocialOptions lists the connections that the environment offers, and the
// organization allows; organization is empty while none is known. fresh: the person
// has to be asked again, which Google does for nobody.
func (s *Service) SocialOptions(ctx context.Context, q db.Queryer, env tenants.Environment, organization string, fresh bool) ([]SocialOption, error) {
	if !env.Settings.FeatureOn(tenants.FeatureSocialLogin) {
		return nil, nil
	}
	list, err := s.tenants.SocialConnections(ctx, q, env.ID)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	all, own, err := s.policy.Load(ctx, q, env.ID, organization)
	if err != nil || all.Social.Forbidden() || organization != "" && (own.Social.Forbidden() || own.SSO.Enforced) {
		return nil, err
	}
	var options []SocialOption
	for _, c := range list {
		if c.SocialOffers(env) && !(fresh && c.Kind == tenants.SocialGoogle) {
			options = append(options, SocialOption{Connection: c.ID, Name: c.Name})
		}
	}
	return options, nil
}

// OpenSocialFlow is the gate before a question to a connection of the environment:
// the flow is under way in this browser, and the connection is offered.
func (s *Service) OpenSocialFlow(ctx context.Context, q db.Queryer, env tenants.Environment, flowID, browserID string, c tenants.SocialConnection) (Flow, error) {
	f, err := s.ChoosableFlow(ctx, q, env.ID, flowID, browserID)
	if err == nil && !c.SocialOffers(env) {
		err = ErrConnectionDisabled
	}
	return f, err
}

// SocialPath leads to the step that takes what a connection of the environment
// verified.
func SocialPath(handle string) string { return "/signin/social/" + url.PathEscape(handle) }

// Social is the first step by a connection of the environment; handle names what it
// verified. An identity that somebody has is he. One that nobody has is never matched
// by its e-mail address: it may accept the invitation that the flow carries, or waits
// on the flow until the person agrees to have it connected and has signed in
// otherwise. A refusal by policy is a Step.
//
// Faults: SIGNIN_HANDLE_UNKNOWN, POLICY_CONNECTION_DISABLED, INVITATION_*, POLICY_*,
// and those of the flow.
func (s *Service) Social(ctx context.Context, a actor.Actor, in Local, handle string) (Step, error) {
	flowID, identity, err := s.peekSocial(ctx, s.db, in.Environment.ID, handle)
	if err != nil {
		return Step{}, err
	}
	in.FlowID = flowID
	refused := Login{Connection: identity.Connection, FlowID: flowID, Outcome: OutcomeDenied, Email: identity.Email}
	tenant := ""
	step, err := s.step(ctx, a, in, func(q db.Queryer, f *Flow) error {
		identity, err := s.takeSocial(ctx, q, in.Environment.ID, handle, f.ID)
		if err != nil {
			return err
		}
		if f.Purpose == PurposeJoin {
			tenant = f.Organization // which invites, and whose rules may refuse him
		}
		refused.Rule, err = s.arriveSocial(ctx, a, q, in.Environment, f, identity)
		return err
	})
	if f, ok := fault.From(err); ok && f.Kind == fault.Forbidden && !errors.Is(err, errOtherBrowser) {
		refused.Code = f.Code
		err = errors.Join(s.db.Tx(ctx, func(q db.Queryer) error { return s.RecordSocial(ctx, a, q, in.Environment.ID, tenant, refused) }), err)
	}
	return step, err
}

// arriveSocial finds out who came, and notes it on the flow. Where a policy refuses
// him, it names the rule.
func (s *Service) arriveSocial(ctx context.Context, a actor.Actor, q db.Queryer, env tenants.Environment, f *Flow, identity Identity) (rule policy.Rule, err error) {
	c, err := s.tenants.HeldSocial(ctx, q, env.ID, identity.Connection)
	if absent(err) || err == nil && !c.SocialOffers(env) {
		err = ErrConnectionDisabled
	}
	if err != nil {
		return rule, err
	}
	if f.ForceAuthn && identity.At.Before(f.CreatedAt.Add(-tenants.MaxClockSkew)) {
		return rule, errOldLogin
	}
	f.forget()
	f.UserID, f.proof = "", proof{} // what arrives replaces what waited
	known, err := s.directory.SocialUser(ctx, q, env.ID, c.ID, identity.SubjectKey())
	if err != nil {
		return rule, err
	}
	found := known
	found.Environment, found.Connection, found.ConnectionName, found.SubjectKey = env.ID, c.ID, c.Name, identity.SubjectKey()
	found.Subject, found.Email = identity.Subject, identity.Email
	switch {
	case f.Purpose == PurposeJoin:
		if found.UserID, rule, err = s.joinSocial(ctx, a, q, env, f, identity, known.UserID); err != nil {
			return rule, err
		}
	case known.UserID == "":
		return rule, s.keepPending(ctx, q, f, pendingSocial{
			Connection: c.ID, Name: c.Name, Key: found.SubjectKey, Subject: found.Subject, Email: found.Email,
		})
	}
	if known.UserID == "" {
		a.Kind, a.Subject, a.Email, a.Tenant = actor.User, found.UserID, identity.Email, f.Organization
		if found, err = s.directory.LinkSocial(ctx, a, q, found); err != nil {
			return rule, err
		}
	}
	f.UserID = found.UserID
	f.proof = proof{Method: Social, At: socialTime(identity, s.clock.Now()).UnixMicro(), Social: c.ID, Of: found.SubjectKey}
	return rule, q.Batch(ctx, []db.Stmt{s.directory.SocialSeenStmt(found)})
}

// socialTime is when the person was asked, as far as the provider says it.
func socialTime(identity Identity, now time.Time) time.Time {
	if identity.At.IsZero() || identity.At.After(now) {
		return now
	}
	return identity.At
}

// joinSocial lets the holder of the flow's invitation or link in. Everything that
// could refuse him is asked before anything is written.
func (s *Service) joinSocial(ctx context.Context, a actor.Actor, q db.Queryer, env tenants.Environment, f *Flow, identity Identity, user string) (string, policy.Rule, error) {
	if s.joiner == nil {
		return "", policy.Rule{}, errFlowUnknown
	}
	d, err := s.evaluate(ctx, q, env.ID, f.Organization, policy.Input{
		Now: s.clock.Now(), IP: a.IP, Human: true, Email: identity.Email, NewUser: true, Method: Social,
	})
	if err != nil && d.Outcome != policy.OutcomeNeedMFA { // a second factor comes next
		return "", d.Refused, err
	}
	user, err = s.joiner.JoinSocial(ctx, a, q, SocialJoining{
		Environment: env, Tenant: f.Organization, Request: f.Request, UserID: user, Email: identity.Email,
		Verified: identity.EmailVerified != nil && *identity.EmailVerified,
	})
	return user, policy.Rule{}, err
}

// socialHolds asks again whether the connection is offered, and whether the person
// still has the identity by which he came: both may end while he is asked for a
// second factor. gone: he has proved nothing any more.
func (s *Service) socialHolds(ctx context.Context, q db.Queryer, env tenants.Environment, f Flow) (gone bool, err error) {
	if f.proof.Method != Social {
		return false, nil
	}
	c, err := s.tenants.HeldSocial(ctx, q, env.ID, f.proof.Social)
	if absent(err) || err == nil && !c.SocialOffers(env) {
		err = ErrConnectionDisabled
	}
	if err != nil {
		return false, err
	}
	if f.proof.Session != "" { // which ends with the identity
		return false, nil
	}
	known, err := s.directory.SocialUser(ctx, q, env.ID, f.proof.Social, f.proof.Of)
	return known.UserID != f.UserID, err
}

// RecordSocial records an answer of a connection of the environment, or a sign-in
// by it, that was refused. It stands in the log of the tenant that invites him, else
// in the environment's own.
func (s *Service) RecordSocial(ctx context.Context, a actor.Actor, q db.Queryer, environment, tenant string, l Login) error {
	e := audit.Event{
		Environment: environment, Tenant: tenant, Action: "login.failed", Outcome: audit.Outcome(l.Outcome), Actor: a, Connection: l.Connection, At: s.clock.Now(),
		Metadata: l.Rule.Metadata(map[string]any{"code": l.Code, "method": Social, "flow_id": l.FlowID}),
	}
	if l.Email != "" {
		e.Metadata["email"] = l.Email
	}
	for _, c := range l.Checks {
		if !c.OK { // for who set the connection up: what the provider said, and what was expected
			e.Metadata["check"], e.Metadata["expected"], e.Metadata["actual"] = c.Name, c.Expected, c.Actual
		}
	}
	return audit.Record(ctx, q, e)
}

// peekSocial reads what waits under a handle, without using it up.
func (s *Service) peekSocial(ctx context.Context, q db.Queryer, environment, handle string) (flowID string, identity Identity, err error) {
	return s.openSocial(q.QueryRow(ctx, sqlSocialResult, environment, secret.Hash(handle), db.At(s.clock.Now())), handle)
}

func (s *Service) takeSocial(ctx context.Context, q db.Queryer, environment, handle, flowID string) (Identity, error) {
	of, identity, err := s.openSocial(q.QueryRow(ctx, sqlTakeSocialResult, environment, secret.Hash(handle), db.At(s.clock.Now())), handle)
	if err == nil && of != flowID {
		err = errHandleUnknown
	}
	return identity, err
}

func (s *Service) openSocial(row db.Row, handle string) (flowID string, identity Identity, err error) {
	var sealed string
	err = row.Scan(&flowID, &sealed)
	if errors.Is(err, db.ErrNotFound) {
		return "", identity, errHandleUnknown
	}
	if err != nil {
		return "", identity, err
	}
	plain, err := s.vault.Open("sso_results", "identity", secret.Hash(handle), sealed)
	if err != nil {
		return "", identity, err
	}
	if err := json.Unmarshal(plain, &identity); err != nil {
		return "", identity, err
	}
	if identity.Tenant != "" || identity.Protocol != Social {
		return "", identity, errHandleUnknown // a tenant's identity proves the person there alone
	}
	return flowID, identity, nil
}

package signin

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/signin/factor"
)

// A verified identity that needs a second factor here (identity rule 11) waits on
// its flow: its handle is used up, nobody is signed in, and of a person who is known
// nothing is written. When the factor is proved everything is judged anew, on locked
// rows, as if the identity had arrived then.

// shown is what a browser proves beside the identity that it brings.
type shown struct {
	second bool   // a second factor in this flow
	device string // the cookie of a browser that is not asked for one; empty: none
}

// person is who the identity is, or will be; empty: a person yet to be made.
func (v *verdict) person() string {
	if v.link.Person != "" {
		return v.link.Person
	}
	return v.link.UserID
}

// waitsForApproval reports whether the sign-in ends without a session, so that it
// needs no second factor either.
func (v *verdict) waitsForApproval() bool {
	return v.admission != nil && v.admission.Approval && v.joins()
}

// keep holds the identity back until its person has proved a second factor, and
// tells which page asks for it. Whom nobody knows becomes a member now: his factor
// has to be somebody's.
func (s *Service) keep(ctx context.Context, a actor.Actor, q db.Queryer, f Flow, identity Identity, v verdict, in Arrival) (Outcome, error) {
	out := Outcome{FlowID: f.ID}
	if f.browserHash == "" { // nobody asked for it: it is the browser's that brought it
		n, err := q.Exec(ctx, sqlBindFlow, f.Environment, f.ID, secret.Hash(in.BrowserID))
		if err == nil && (n == 0 || in.BrowserID == "") {
			err = errOtherBrowser
		}
		if err != nil {
			return out, err
		}
	}
	user, entered := v.person(), false
	if user == "" {
		var err error
		if user, _, err = s.become(ctx, a, q, f, identity, v); err != nil {
			return out, err
		}
		entered = true
	}
	identity.Response = "" // shown of tests only
	plain, err := json.Marshal(identity)
	if err != nil {
		return out, err
	}
	sealed, err := s.vault.Seal("flows", "proof", f.ID, plain)
	if err != nil {
		return out, err
	}
	f.UserID, f.Tenant, f.Connection = user, identity.Tenant, identity.Connection
	f.proof = proof{Method: identity.Protocol, At: s.clock.Now().UnixMicro(), Connection: identity.Connection, Identity: sealed, Entered: entered}
	if err := s.keepProof(ctx, q, f); err != nil {
		return out, err
	}
	step := Step{FlowID: f.ID}
	err = s.askSecond(ctx, q, f, &step)
	out.Asked = step.Stage
	return out, err
}

// kept opens the identity that waits on the flow.
func (s *Service) kept(f Flow) (Identity, error) {
	var identity Identity
	plain, err := s.vault.Open("flows", "proof", f.ID, f.proof.Identity)
	if err == nil {
		err = json.Unmarshal(plain, &identity)
	}
	return identity, err
}

// nextKept finds the next question of a sign-in whose identity waits.
func (s *Service) nextKept(ctx context.Context, a actor.Actor, q db.Queryer, in Local, f *Flow) (Step, localVerdict, error) {
	step := Step{FlowID: f.ID, Stage: StageDone, UserID: f.UserID, Tenant: f.Tenant}
	var v localVerdict
	identity, err := s.kept(*f)
	if err != nil {
		return step, v, err
	}
	step.Email, step.SSO = identity.Email, true
	judged, err := s.judge(ctx, a, q, *f, identity, shown{f.proof.Second, in.device()})
	if err != nil {
		return step, v, err
	}
	v.identity, v.judged, v.refusal = &identity, judged, judged.refusal
	switch {
	case judged.refusal != nil:
	case judged.person() != f.UserID:
		// The identity has become another's: the factor was of somebody else.
		v.refusal = errChangedHands
		v.judged.refusal = v.refusal
	case judged.second && f.proof.Second:
		// What was proved does not reach what is asked for; it is the most that there is.
	case judged.second:
		return step, v, s.askSecond(ctx, q, *f, &step)
	}
	return step, v, nil
}

// reachable gives the asked classes to which a second factor leads: a key that is
// bound to this address cannot be asked of who has none.
func (s *Service) reachable(ctx context.Context, q db.Queryer, f Flow) ([]string, error) {
	var asked []string
	for _, class := range f.demand.ACRs {
		switch class {
		case ACRMultiFactor:
			asked = append(asked, class)
		case ACRPhishingResistant:
			kinds, err := s.kinds(ctx, q, f)
			if err != nil {
				return nil, err
			}
			if slices.Contains(kinds, factor.WebAuthn) {
				asked = append(asked, class)
			}
		}
	}
	return asked, nil
}

// askSecond tells which second factors the person of a flow is asked for, or that he
// has to set one up.
func (s *Service) askSecond(ctx context.Context, q db.Queryer, f Flow, step *Step) error {
	kinds, err := s.kinds(ctx, q, f)
	if f.proof.Second && len(f.proof.AMR) == 0 && slices.Contains(kinds, factor.WebAuthn) {
		kinds = []string{factor.WebAuthn} // two factors are behind him: only a stronger one helps
	}
	step.Stage, step.Kinds = StageSecond, kinds
	if len(kinds) == 0 {
		step.Stage, step.Kinds = StageEnrol, []string{KindMail}
	}
	return err
}

// enterKept ends a sign-in whose identity waited.
func (s *Service) enterKept(ctx context.Context, a actor.Actor, q db.Queryer, in Local, f Flow, v localVerdict, step *Step) error {
	out, err := s.conclude(ctx, a, q, f, *v.identity, v.judged, Arrival{BrowserID: in.BrowserID, SessionCookie: in.SessionCookie, Confirmed: true})
	if err != nil {
		return err
	}
	step.Refusal, step.Cookie, step.Session, step.UserID, step.Waiting = out.Refusal, out.Cookie, out.Session, out.UserID, out.Waiting
	return nil
}

// behind is the organization behind whose identity provider the person of a flow
// stands; empty: he proved himself to us.
func (f Flow) behind() string {
	if f.proof.Connection == "" {
		return ""
	}
	return f.Tenant
}

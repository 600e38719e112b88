package signin

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// provenFor is how long a test login or a login shows that a connection works.
const provenFor = 24 * time.Hour

var (
	errNoActiveConnection = fault.New(fault.Conflict, "sso_no_active_connection", "No connection is switched on. Test one and switch it on before single sign-on is required.").In("enforced")
	errNotProven          = fault.New(fault.Conflict, "sso_not_tested", "No active connection has had a successful test login or login within the last 24 hours. Make a test login first.").In("enforced")
	errTestRefused        = fault.New(fault.Conflict, "sso_test_refused", "In the last test login the person would have been refused. Make one with somebody who may sign in: its result says what stands in the way.").In("enforced")
	errNoBreakGlass       = fault.New(fault.Invalid, "break_glass_required", "Exclude at least one e-mail address, so that somebody can come in when the identity provider fails.").In("excluded_emails")
	errEnforced           = fault.New(fault.Conflict, "sso_enforced", "Single sign-on is required, and this is the last active connection. Stop requiring it first.")
)

// Enforce stores who must come through the tenant's connections. It is the one
// place that switches enforcement on, for every actor: never without a connection
// that has let somebody in within the last 24 hours, or would have, and never without a way in for the
// day on which the identity provider fails (sso 2.3). While it is on, the list of
// excluded e-mails can change but not become empty.
//
// Faults: sso_no_active_connection, sso_not_tested, sso_test_refused, break_glass_required, and
// those of policy.Service.Put.
func (s *Service) Enforce(ctx context.Context, a actor.Actor, q db.Queryer, env tenants.Environment, tenant string, rules policy.SSORules) (policy.SSORules, error) {
	if rules.Enforced {
		if err := s.mayEnforce(ctx, q, env, tenant, rules); err != nil {
			return policy.SSORules{}, err
		}
	}
	body, err := json.Marshal(rules)
	if err != nil {
		return policy.SSORules{}, err
	}
	stored, err := s.policy.Put(ctx, a, q, env.ID, tenant, policy.SSO, body)
	return stored.SSO, err
}

func (s *Service) mayEnforce(ctx context.Context, q db.Queryer, env tenants.Environment, tenant string, rules policy.SSORules) error {
	before, err := s.enforcement(ctx, q, env, tenant)
	if err != nil {
		return err
	}
	if len(rules.ExcludedEmails) == 0 {
		return errNoBreakGlass
	}
	if before.Enforced {
		return nil
	}
	list, err := s.tenants.SSOConnections(ctx, q, tenant)
	if err != nil {
		return err
	}
	since := s.clock.Now().Add(-provenFor)
	why := errNoActiveConnection
	for _, c := range list {
		if c.Status != tenants.SSOActive {
			continue
		}
		if errors.Is(why, errNoActiveConnection) {
			why = errNotProven
		}
		if c.LastLoginAt.After(since) {
			return nil
		}
		if !c.LastTestOKAt.After(since) {
			continue
		}
		refused, err := s.testRefused(ctx, q, tenant, c.ID)
		if err != nil {
			return err
		}
		if !refused {
			return nil
		}
		why = errTestRefused
	}
	return why
}

// testRefused reports whether the person of the connection's last good test would
// not have been signed in: the identity provider answers, and nobody may come in.
func (s *Service) testRefused(ctx context.Context, q db.Queryer, tenant, connection string) (bool, error) {
	last, _, err := s.Logins(ctx, q, tenant, LoginQuery{Connection: connection, Outcome: OutcomeSuccess, Purpose: PurposeTest, Limit: 1})
	if err != nil || len(last) == 0 {
		return false, err
	}
	would := last[0].Detail.Would
	return would != nil && would.Outcome == WouldRefused, nil
}

// KeepsEnforced refuses a change after which nobody could come in although the
// tenant requires single sign-on. Whoever switches a connection off, deletes it or
// leads it elsewhere calls it afterwards, in the same transaction.
//
// Fault: sso_enforced.
func (s *Service) KeepsEnforced(ctx context.Context, q db.Queryer, env tenants.Environment, tenant string) error {
	rules, err := s.enforcement(ctx, q, env, tenant)
	if err != nil || !rules.Enforced {
		return err
	}
	list, err := s.tenants.SSOConnections(ctx, q, tenant)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(list, func(c tenants.SSOConnection) bool { return c.Status == tenants.SSOActive }) {
		return errEnforced
	}
	return nil
}

// enforcement reads the rules for somebody who depends on them: changes of the
// rules and of connections that must suit each other take turns here.
func (s *Service) enforcement(ctx context.Context, q db.Queryer, env tenants.Environment, tenant string) (policy.SSORules, error) {
	var locked string
	if err := q.QueryRow(ctx, sqlLockTenant+q.Dialect().ForNoKeyUpdate, env.ID, tenant).Scan(&locked); err != nil {
		return policy.SSORules{}, err
	}
	_, own, err := s.policy.Load(ctx, q, env.ID, tenant)
	return own.SSO, err
}

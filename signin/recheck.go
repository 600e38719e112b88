package signin

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/jobs"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/sessions"
)

const (
	recheckPage = 100 // sessions in one transaction
	tenantsPage = 500
)

// PolicyChanged is the handler of [policy.JobChanged]: what a policy would refuse
// now ends, and times that became stricter bound the sessions that stay. Of an
// environment's policy it makes a job for each of its tenants.
func (s *Service) PolicyChanged(ctx context.Context, j jobs.Job) error {
	if j.Tenant != "" {
		return s.recheck(ctx, j.Environment, j.Tenant)
	}
	for after := ""; ; {
		n := 0
		err := s.db.Tx(ctx, func(q db.Queryer) error {
			list, err := s.tenants.ActiveTenantIDs(ctx, q, j.Environment, after, tenantsPage)
			if n = len(list); err != nil || n == 0 {
				return err
			}
			stmts := make([]db.Stmt, n)
			for i, tenant := range list {
				stmts[i] = policy.ChangedStmt(j.Environment, tenant, s.clock.Now())
				after = tenant
			}
			return q.Batch(ctx, stmts)
		})
		if err != nil || n < tenantsPage {
			return err
		}
	}
}

// recheck judges the open sessions of a tenant by the policies of now, page by page.
func (s *Service) recheck(ctx context.Context, environment, tenant string) error {
	system := actor.Actor{Kind: actor.System, Environment: environment, Tenant: tenant}
	for after := ""; ; {
		var open []sessions.Open
		err := s.db.Tx(ctx, func(q db.Queryer) error {
			env, own, err := s.policy.Load(ctx, q, environment, tenant)
			if err != nil {
				return err
			}
			if after == "" {
				idle, absolute := policy.Merge(env, own).Sessions.Lifetimes()
				if err := s.sessions.Shorten(ctx, q, environment, tenant, idle, absolute); err != nil {
					return err
				}
			}
			if open, err = s.sessions.Open(ctx, q, environment, tenant, after, recheckPage); err != nil {
				return err
			}
			for _, o := range open {
				refused, err := s.refusedNow(ctx, q, tenant, o, env, own)
				if err != nil {
					return err
				}
				if !refused {
					continue
				}
				sel := sessions.Selector{Environment: environment, Tenant: tenant, Session: o.Session}
				if _, err := s.sessions.End(ctx, system, q, sel, "policy_changed"); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || len(open) < recheckPage {
			return err
		}
		after = open[len(open)-1].Session
	}
}

// refusedNow reports whether the sign-in behind an open session would be refused, or
// asked for more, if it came now. What the session proved stands for itself: a second
// factor that was checked here, or evidence that was trusted then.
func (s *Service) refusedNow(ctx context.Context, q db.Queryer, tenant string, o sessions.Open, env, own policy.Settings) (bool, error) {
	if o.Method == sessions.MethodImpersonation {
		return false, nil // ends by what it stands on, and within the hour
	}
	in := policy.Input{
		Now: s.clock.Now(), IP: o.IP, Human: true, Method: o.Method,
		SecondFactor: ACRReaches(o.ACR, ACRMultiFactor), Environment: env, Tenant: own,
	}
	if own.SSO.Enforced && o.Connection == "" {
		p, err := s.directory.PersonByMembership(ctx, q, tenant, o.Membership)
		if absent(err) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		in.Email = p.User.Email
	}
	return policy.Evaluate(in).Outcome != policy.OutcomeAllow, nil
}

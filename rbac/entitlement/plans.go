package entitlement

import (
	"context"
	"slices"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

// CreatePlan makes a plan (product 93).
//
// Faults: invalid_text, invalid_days, invalid_rule, unknown_feature, too_many.
func (s *Service) CreatePlan(ctx context.Context, a actor.Actor, q db.Queryer, in NewPlan) (Plan, error) {
	now := s.clock.Now()
	p := Plan{
		ID: id.New(planID), Name: in.Name, Description: in.Description, Default: in.Default, Rules: in.Rules,
		AssignOnSignup: in.AssignOnSignup, TimeLimitDays: in.TimeLimitDays, Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	rules, err := p.check()
	if err != nil {
		return Plan{}, err
	}
	if p.Features, err = s.checkFeatures(ctx, q, a.Environment, in.Features); err != nil {
		return Plan{}, err
	}
	if err := room(ctx, q, sqlCountPlans, a.Environment, maxPlans); err != nil {
		return Plan{}, err
	}
	err = q.Batch(ctx, []db.Stmt{
		{SQL: sqlInsertPlan, Args: []any{a.Environment, p.ID, p.Name, p.Description, p.Default, rules, p.AssignOnSignup, p.TimeLimitDays, db.At(now)}},
		{SQL: sqlBundle, Args: []any{a.Environment, p.ID, db.Set(p.Features)}},
	})
	if err != nil {
		return Plan{}, err
	}
	return p, s.record(ctx, a, q, "plan.created", planTarget(p), map[string]audit.Change{
		"features": {To: p.Features}, "default_treatment": {To: p.Default}, "assign_on_signup": {To: p.AssignOnSignup},
	})
}

// check gives the rules as they are stored.
func (p *Plan) check() (rules string, err error) {
	if p.Name, err = checkText(p.Name, "name", true, maxName); err != nil {
		return "", err
	}
	if p.Description, err = checkText(p.Description, "description", false, maxDescription); err != nil {
		return "", err
	}
	if err := checkDays(p.TimeLimitDays); err != nil {
		return "", err
	}
	if p.Rules == nil {
		p.Rules = []Rule{}
	}
	return rulesText(p.Rules)
}

// Plans lists the plans of the environment, the oldest first, after the id of the
// page before; next is empty on the last page.
func (s *Service) Plans(ctx context.Context, q db.Queryer, environment, after string, limit int) (list []Plan, next string, err error) {
	limit = page(limit)
	list, err = scanPlans(q.Query(ctx, sqlPlans, environment, after, limit+1))
	if len(list) > limit {
		list, next = list[:limit], list[limit-1].ID
	}
	return list, next, err
}

// Plan finds a plan. Fails with plan_not_found.
func (s *Service) Plan(ctx context.Context, q db.Queryer, environment, plan string) (Plan, error) {
	list, err := scanPlans(q.Query(ctx, sqlPlan, environment, plan))
	if err == nil && len(list) == 0 {
		err = ErrPlanNotFound
	}
	if err != nil {
		return Plan{}, err
	}
	return list[0], nil
}

// UpdatePlan changes what the patch names, for all who have the plan.
func (s *Service) UpdatePlan(ctx context.Context, a actor.Actor, q db.Queryer, plan string, in PlanPatch) (Plan, error) {
	before, err := s.lockPlan(ctx, a, q, plan)
	if err != nil {
		return Plan{}, err
	}
	p, now := before, s.clock.Now()
	set(&p.Name, in.Name)
	set(&p.Description, in.Description)
	set(&p.Default, in.Default)
	set(&p.Rules, in.Rules)
	set(&p.AssignOnSignup, in.AssignOnSignup)
	set(&p.TimeLimitDays, in.TimeLimitDays)
	rules, err := p.check()
	if err != nil {
		return Plan{}, err
	}
	stmts := []db.Stmt{{SQL: sqlUpdatePlan, Args: []any{
		a.Environment, p.ID, p.Name, p.Description, p.Default, rules, p.AssignOnSignup, p.TimeLimitDays, db.At(now),
	}}}
	if in.Features != nil {
		if p.Features, err = s.checkFeatures(ctx, q, a.Environment, *in.Features); err != nil {
			return Plan{}, err
		}
		stmts = append(stmts,
			db.Stmt{SQL: sqlUnbundle, Args: []any{a.Environment, p.ID}},
			db.Stmt{SQL: sqlBundle, Args: []any{a.Environment, p.ID, db.Set(p.Features)}})
	}
	if err := q.Batch(ctx, stmts); err != nil {
		return Plan{}, err
	}
	p.Version, p.UpdatedAt = p.Version+1, now
	changes := map[string]audit.Change{}
	changed(changes, "name", before.Name, p.Name)
	changed(changes, "description", before.Description, p.Description)
	changed(changes, "default_treatment", before.Default, p.Default)
	changed(changes, "assign_on_signup", before.AssignOnSignup, p.AssignOnSignup)
	changed(changes, "time_limit_days", before.TimeLimitDays, p.TimeLimitDays)
	if in.Rules != nil {
		changes["rules"] = audit.Change{From: len(before.Rules), To: len(p.Rules)}
	}
	if !slices.Equal(before.Features, p.Features) {
		changes["features"] = audit.Change{From: before.Features, To: p.Features}
	}
	return p, s.record(ctx, a, q, "plan.updated", planTarget(p), changes)
}

// DeletePlan removes a plan and takes it from all who have it.
func (s *Service) DeletePlan(ctx context.Context, a actor.Actor, q db.Queryer, plan string) (Plan, error) {
	p, err := s.lockPlan(ctx, a, q, plan)
	if err != nil {
		return Plan{}, err
	}
	if _, err := q.Exec(ctx, sqlDeletePlan, a.Environment, p.ID); err != nil {
		return Plan{}, err
	}
	return p, s.record(ctx, a, q, "plan.deleted", planTarget(p), nil)
}

func (s *Service) lockPlan(ctx context.Context, a actor.Actor, q db.Queryer, plan string) (Plan, error) {
	if err := lock(ctx, q, sqlLockPlan, a.Environment, plan, ErrPlanNotFound); err != nil {
		return Plan{}, err
	}
	return s.Plan(ctx, q, a.Environment, plan)
}

// checkFeatures gives the sorted keys, all of which exist.
func (s *Service) checkFeatures(ctx context.Context, q db.Queryer, environment string, keys []string) ([]string, error) {
	return known(ctx, q, sqlKnownFeatures, environment, keys, maxFeatures, "features", "unknown_feature", "There is no such feature.")
}

func planTarget(p Plan) audit.Target { return audit.Target{Type: "plan", ID: p.ID, Name: p.Name} }

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

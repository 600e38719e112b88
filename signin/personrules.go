package signin

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/policy"
)

// personRules are what binds a person before he has chosen an organization: the
// environment's rules, and of lockout and passwords the strictest of all of his
// organizations (identity rule 7). joins is one more that he is about to join;
// empty: none.
func (s *Service) personRules(ctx context.Context, q db.Queryer, environment, user, joins string) (policy.Settings, error) {
	var env policy.Settings
	var own []policy.Settings
	rows, err := q.Query(ctx, sqlPersonRules, environment, user, joins)
	if err != nil {
		return env, err
	}
	defer rows.Close()
	last := ""
	for rows.Next() {
		var tenant, kind, body string
		if err := rows.Scan(&tenant, &kind, &body); err != nil {
			return env, err
		}
		to := &env
		if tenant != "" {
			if tenant != last {
				own, last = append(own, policy.Settings{}), tenant
			}
			to = &own[len(own)-1]
		}
		if err := to.Set(kind, body); err != nil {
			return env, err
		}
	}
	return policy.Strictest(env, own), rows.Err()
}

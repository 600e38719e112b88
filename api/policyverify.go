package api

import (
	"context"
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
)

// ipVerdict is what the address rules make of the caller's own address.
type ipVerdict struct {
	Address   string `json:"address" doc:"Of the caller, as seen through the trusted proxies"`
	Permitted bool   `json:"permitted" doc:"Whether somebody may sign in from there now"`
	Listed    bool   `json:"would_be_permitted" doc:"Whether he might were the list switched on"`
	Enabled   bool   `json:"enabled" doc:"Whether the list is switched on"`
	Rule      string `json:"rule" doc:"The narrowest rule that covers the address; empty: none"`
}

func verdictOf(s scope, r policy.IPRules, permitted bool) ipVerdict {
	r.Mode = mode(r.Mode)
	return ipVerdict{
		Address: s.actor.IP.String(), Permitted: permitted, Enabled: r.Enabled,
		Listed: r.Permits(s.actor.IP), Rule: r.Covering(s.actor.IP),
	}
}

// registerPolicyVerify serves the question that a form asks before its list is
// switched on (product 2.7).
func (h *Handler) registerPolicyVerify() {
	judge := func(ctx context.Context, s scope, q db.Queryer) (env, own policy.Settings, ok bool, err error) {
		env, own, err = h.Policy.Load(ctx, q, s.environment.ID, s.tenant.ID)
		d := policy.Admit(policy.Input{IP: s.actor.IP, Human: true, Environment: policy.Settings{IP: env.IP}, Tenant: policy.Settings{IP: own.IP}})
		return env, own, d.Outcome == policy.OutcomeAllow, err
	}
	read(h, route{method: http.MethodGet, path: "/tenants/{t}/policies/ip:verify", id: "verifyIpPolicy", summary: "Tell whether the caller's address passes a tenant's rules about addresses, and the environment's", permission: "fe.secure.read.ipRestrictions"},
		func(ctx context.Context, s scope, q db.Queryer, _ *TenantPath) (ipVerdict, error) {
			_, own, ok, err := judge(ctx, s, q)
			return verdictOf(s, own.IP, ok), err
		})
	read(h, route{method: http.MethodGet, path: "/environment/policies/ip:verify", id: "verifyEnvironmentIpPolicy", summary: "Tell whether the caller's address passes the environment's rules about addresses", permission: staff.ReadEnvironment},
		func(ctx context.Context, s scope, q db.Queryer, _ *struct{}) (ipVerdict, error) {
			env, _, ok, err := judge(ctx, s, q)
			return verdictOf(s, env.IP, ok), err
		})
}

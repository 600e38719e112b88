package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
)

type mfaBody struct {
	Enforce         string `json:"enforce" enum:"off,unless_sso,on" doc:"A tenant may only be stricter than its environment"`
	RememberSeconds *int64 `json:"remember_seconds,omitempty" minimum:"0" maximum:"7776000" doc:"For how long a browser is not asked for a second factor again, where the environment has remember_device on; 60 or more, or 0: never. Left out: the environment's choice, 1209600 there. A tenant can only shorten it"`
}

type ipBody struct {
	Enabled bool     `json:"enabled"`
	Mode    string   `json:"mode" enum:"allow,deny"`
	Rules   []ipRule `json:"rules" maxItems:"1000"`
}

type ipRule struct {
	CIDR     string `json:"cidr" maxLength:"100" doc:"An address or a prefix, IPv4 or IPv6"`
	Note     string `json:"note,omitempty" maxLength:"200"`
	Disabled bool   `json:"disabled,omitempty" doc:"The rule stays in the list and counts for nothing"`
}

type domainsBody struct {
	Enabled     bool     `json:"enabled"`
	Mode        string   `json:"mode" enum:"allow,deny"`
	Domains     []string `json:"domains" maxItems:"1000"`
	BlockPublic bool     `json:"block_public_domains,omitempty" doc:"Refuse the domains where anybody can get an address, whatever the list says"`
}

type sessionsBody struct {
	IdleSeconds     int64 `json:"idle_seconds,omitempty" minimum:"0" maximum:"2073600" doc:"0 or left out: the default"`
	AbsoluteSeconds int64 `json:"absolute_seconds,omitempty" minimum:"0" maximum:"31536000" doc:"0 or left out: the default"`
	MaxConcurrent   int   `json:"max_concurrent,omitempty" minimum:"0" maximum:"1000" doc:"0 or left out: no limit; at the limit a new session replaces the oldest"`
}

type lockoutBody struct {
	MaxAttempts int   `json:"max_attempts,omitempty" minimum:"1" maximum:"100"`
	LockSeconds int64 `json:"lock_seconds,omitempty" minimum:"0" maximum:"604800" doc:"0 or left out: until somebody unlocks"`
}

type passwordBody struct {
	MinLength   int  `json:"min_length,omitempty" minimum:"0" maximum:"256"`
	History     int  `json:"history,omitempty" minimum:"0" maximum:"10"`
	BreachCheck bool `json:"breach_check,omitempty"`
}

type socialBody struct {
	Allowed bool `json:"allowed" doc:"Whether people may sign in through the environment's own connections. A tenant may only forbid it"`
}

type ofTenant[T any] struct {
	TenantPath
	Body T
}

type ofEnvironment[T any] struct{ Body T }

func (h *Handler) registerPolicies() {
	const readAll, writeAll = "fe.secure.read.securityPolicy", "fe.secure.write.securityPolicy"
	policyRoutes(h, policy.MFA, "Mfa", "second factors", readAll, writeAll, func(s policy.Settings) mfaBody {
		if s.MFA.Enforce == "" {
			s.MFA.Enforce = policy.MFAOff
		}
		return mfaBody(s.MFA)
	})
	policyRoutes(h, policy.IP, "Ip", "addresses", "fe.secure.read.ipRestrictions", "fe.secure.write.ipRestrictions", func(s policy.Settings) ipBody {
		out := ipBody{Enabled: s.IP.Enabled, Mode: mode(s.IP.Mode), Rules: make([]ipRule, 0, len(s.IP.Rules))}
		for _, r := range s.IP.Rules {
			out.Rules = append(out.Rules, ipRule(r))
		}
		return out
	})
	policyRoutes(h, policy.Domains, "Domains", "e-mail domains", "fe.secure.read.emailDomainRestrictions", "fe.secure.write.emailDomainRestrictions", func(s policy.Settings) domainsBody {
		return domainsBody{Enabled: s.Domains.Enabled, Mode: mode(s.Domains.Mode), Domains: append([]string{}, s.Domains.Domains...), BlockPublic: s.Domains.BlockPublic}
	})
	policyRoutes(h, policy.Sessions, "Sessions", "sessions", readAll, writeAll, func(s policy.Settings) sessionsBody { return sessionsBody(s.Sessions) })
	policyRoutes(h, policy.Lockout, "Lockout", "wrong passwords", readAll, writeAll, func(s policy.Settings) lockoutBody { return lockoutBody(s.Lockout) })
	policyRoutes(h, policy.Password, "Password", "passwords", readAll, writeAll, func(s policy.Settings) passwordBody { return passwordBody(s.Password) })
	policyRoutes(h, policy.Social, "Social", "social sign-in", readAll, writeAll, func(s policy.Settings) socialBody { return socialBody{!s.Social.Forbidden()} })

	h.registerSSOPolicy()
	h.registerPolicyVerify()
}

type ssoPolicy struct {
	Enforced       bool     `json:"enforced" doc:"Whether people must come through the tenant's connections. true needs an active connection with a successful test login or login within 24 hours, and an excluded e-mail"`
	ExcludedEmails []string `json:"excluded_emails" required:"false" maxItems:"1000" doc:"Who may come without; they need a second factor"`
}

func showSSOPolicy(r policy.SSORules) ssoPolicy {
	return ssoPolicy{Enforced: r.Enforced, ExcludedEmails: texts(r.ExcludedEmails)}
}

// registerSSOPolicy serves the enforcement switch, which is an operation of signin.
func (h *Handler) registerSSOPolicy() {
	const path = "/tenants/{t}/sso-policy"
	read(h, route{method: http.MethodGet, path: path, id: "getSsoPolicy", summary: "Show a tenant's own choice: SSO enforcement", permission: ssoRead, tagged: true},
		func(ctx context.Context, s scope, q db.Queryer, _ *TenantPath) (ssoPolicy, error) {
			_, own, err := h.policies(ctx, s, q, s.tenant.ID, policy.SSO)
			return showSSOPolicy(own.SSO), err
		})
	write(h, route{method: http.MethodPut, path: path, id: "putSsoPolicy", summary: "Replace a tenant's own choice: SSO enforcement", permission: ssoWrite, tagged: true},
		func(ctx context.Context, s scope, q db.Queryer, in *ofTenant[ssoPolicy]) (ssoPolicy, error) {
			stored, err := h.Signin.Enforce(ctx, s.actor, q, s.environment, s.tenant.ID, policy.SSORules(in.Body))
			if err != nil {
				return ssoPolicy{}, err
			}
			return showSSOPolicy(stored), h.matchPolicy(ctx, s, q, s.tenant.ID, policy.SSO)
		})
}

// policyRoutes registers a kind of policy for tenants and for the environment.
func policyRoutes[T any](h *Handler, kind, name, about, canRead, canWrite string, show func(policy.Settings) T) {
	tenantPolicy(h, "/tenants/{t}/policies/"+kind, name+"Policy", "the rules about "+about, kind, canRead, canWrite, show)
	path := "/environment/policies/" + kind
	read(h, route{method: http.MethodGet, path: path, id: "getEnvironment" + name + "Policy", summary: "Show the environment's rules about " + about, permission: staff.ReadEnvironment, tagged: true},
		func(ctx context.Context, s scope, q db.Queryer, _ *struct{}) (out T, err error) {
			env, _, err := h.policies(ctx, s, q, "", kind)
			return show(env), err
		})
	write(h, route{method: http.MethodPut, path: path, id: "putEnvironment" + name + "Policy", summary: "Replace the environment's rules about " + about, permission: staff.WriteEnvironment, tagged: true},
		func(ctx context.Context, s scope, q db.Queryer, in *ofEnvironment[T]) (T, error) {
			return putPolicy(ctx, h, s, q, "", kind, in.Body, show)
		})
}

func tenantPolicy[T any](h *Handler, path, name, about, kind, canRead, canWrite string, show func(policy.Settings) T) {
	read(h, route{method: http.MethodGet, path: path, id: "get" + name, summary: "Show a tenant's own choice: " + about, permission: canRead, tagged: true},
		func(ctx context.Context, s scope, q db.Queryer, _ *TenantPath) (out T, err error) {
			_, own, err := h.policies(ctx, s, q, s.tenant.ID, kind)
			return show(own), err
		})
	write(h, route{method: http.MethodPut, path: path, id: "put" + name, summary: "Replace a tenant's own choice: " + about, permission: canWrite, tagged: true},
		func(ctx context.Context, s scope, q db.Queryer, in *ofTenant[T]) (T, error) {
			return putPolicy(ctx, h, s, q, s.tenant.ID, kind, in.Body, show)
		})
}

func putPolicy[T any](ctx context.Context, h *Handler, s scope, q db.Queryer, tenant, kind string, body T, show func(policy.Settings) T) (out T, err error) {
	text, err := json.Marshal(body)
	if err != nil {
		return out, err
	}
	stored, err := h.Policy.Put(ctx, s.actor, q, s.environment.ID, tenant, kind, text)
	if err != nil {
		return out, err
	}
	return show(stored), h.matchPolicy(ctx, s, q, tenant, kind)
}

// policies loads the policies, and tags the answer with the version of one kind.
func (h *Handler) policies(ctx context.Context, s scope, q db.Queryer, tenant, kind string) (env, own policy.Settings, err error) {
	version, err := h.Policy.Version(ctx, q, s.environment.ID, tenant, kind)
	if err != nil {
		return env, own, err
	}
	s.tag(versionTag(version))
	return h.Policy.Load(ctx, q, s.environment.ID, tenant)
}

// matchPolicy compares If-Match with the version before the change that has just
// been made, and tags the answer.
func (h *Handler) matchPolicy(ctx context.Context, s scope, q db.Queryer, tenant, kind string) error {
	version, err := h.Policy.Version(ctx, q, s.environment.ID, tenant, kind)
	if err != nil {
		return err
	}
	s.tag(versionTag(version))
	return s.match(version - 1)
}

// mode shows the mode of a list that nobody set.
func mode(m string) string {
	if m == "" {
		return policy.Allow
	}
	return m
}

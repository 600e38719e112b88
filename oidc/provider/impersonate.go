package provider

import (
	"context"
	"errors"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// actClaim says who acts as the subject (RFC 8693 §4.1).
type actClaim struct {
	Subject string `json:"sub"`
	Email   string `json:"email,omitempty"`
}

// impersonationScope lets the token ask userinfo, and does not reach SCIM's /Me,
// where a password can be set.
const impersonationScope = oidc.ScopeOpenID + " " + oidc.ScopeProfile + " " + oidc.ScopeEmail

var (
	errNoAudience = fault.New(fault.Invalid, "unknown_application", "There is no such application for people. Name one; the environment has no default.").In("application_id")
	errNoSuchUser = fault.New(fault.NotFound, "user_not_found", "There is no such user in this tenant.")
)

// Impersonate gives somebody of the vendor's a short access token by which an
// application, and the management API, take him for a person in one of his tenants
// (product 19). The caller has asked for [staff.Impersonate]. The token says who is
// behind it, cannot be renewed, and ends with the person's access, with the
// session that marks it, and with the right of who began it.
//
// Faults: invalid_reason, invalid_lifetime, unknown_application, tenant_not_found,
// user_not_found, and those of the lifecycle check.
func (h *Handler) Impersonate(ctx context.Context, a actor.Actor, env tenants.Environment, in staff.Impersonation) (staff.ImpersonationToken, error) {
	return h.impersonate(ctx, a, env, in, impersonationScope, "")
}

// impersonate is the one place where an impersonation begins, whoever asked for it
// and how. jkt is the thumbprint of the key that the token is bound to; empty: to none.
func (h *Handler) impersonate(ctx context.Context, a actor.Actor, env tenants.Environment, in staff.Impersonation, scope, jkt string) (staff.ImpersonationToken, error) {
	in, err := in.Checked()
	if err != nil {
		return staff.ImpersonationToken{}, err
	}
	tenant, err := h.tenants.Get(ctx, h.db, env.ID, in.Tenant)
	if err != nil {
		return staff.ImpersonationToken{}, err
	}
	app, err := h.impersonationAudience(ctx, env, in.Application)
	if err != nil {
		return staff.ImpersonationToken{}, err
	}
	var g grant
	err = h.db.Tx(ctx, func(q db.Queryer) error {
		g = grant{
			app: app, scope: scope, jkt: jkt, actor: &actClaim{a.Subject, a.Email},
			session: sessions.Session{UserID: in.User}, proof: sessions.Proof{Tenant: tenant.ID},
		}
		err := h.resolve(ctx, env, q, &g)
		if fault.CodeOf(err) == "POLICY_NOT_A_MEMBER" {
			return errNoSuchUser.Because(err)
		}
		if err != nil {
			return err
		}
		g.session, g.proof, err = h.sessions.Impersonate(ctx, a, q, sessions.Impersonation{
			Environment: env.ID, Tenant: tenant.ID, UserID: in.User, Membership: g.person.Membership, ClientID: app.ID,
			Reason: in.Reason, Life: in.Life, Hidden: !env.Settings.FeatureOn(tenants.FeatureShowImpersonate),
		})
		return err
	})
	if err != nil {
		return staff.ImpersonationToken{}, err
	}
	token, _, err := h.signAccess(ctx, env, g, h.clock.Now(), in.Life)
	return staff.ImpersonationToken{AccessToken: token, Session: g.session.ID, Life: in.Life}, err
}

// impersonationAudience finds the application that the token is for.
func (h *Handler) impersonationAudience(ctx context.Context, env tenants.Environment, named string) (app tenants.Application, err error) {
	if named == "" {
		app, err = h.tenants.DefaultApplication(ctx, h.db, env.ID)
	} else {
		app, err = h.tenants.Application(ctx, h.db, env.ID, named)
	}
	if errors.Is(err, tenants.ErrApplicationNotFound) || err == nil && app.Type == tenants.Machine {
		return app, errNoAudience
	}
	return app, err
}

// impersonates reports whether what a token says of an impersonation holds still:
// who began it may impersonate yet. It holds of a token without one.
func (h *Handler) impersonates(ctx context.Context, env tenants.Environment, c accessClaims) (bool, error) {
	if c.Actor == nil {
		return true, nil
	}
	return h.staff.MayImpersonate(ctx, h.db, env.ID, c.Actor.Subject)
}

// endImpersonation ends the session of an impersonation whose application gives
// the token back.
func (h *Handler) endImpersonation(ctx context.Context, a actor.Actor, env tenants.Environment, c accessClaims) error {
	a.Kind, a.Subject, a.Email, a.Name = actor.Staff, c.Actor.Subject, c.Actor.Email, ""
	if strings.HasPrefix(c.Actor.Subject, id.Key+"_") {
		a.Kind = actor.Management
	}
	return h.db.Tx(ctx, func(q db.Queryer) error {
		return h.sessions.EndImpersonation(ctx, a, q, sessions.Selector{
			Environment: env.ID, Tenant: c.TenantID, Session: c.SessionID, User: c.Subject,
		}, !env.Settings.FeatureOn(tenants.FeatureShowImpersonate))
	})
}

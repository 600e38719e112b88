package signin

import (
	"context"
	"net/url"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/mail"
	"github.com/gatehouse-id/gatehouse/signin/factor"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// UnlockShown tells whose account a mailed link unlocks, without using it: mail
// programs and scanners open links by themselves.
//
// Fault: SIGNIN_UNLOCK_EXPIRED.
func (s *Service) UnlockShown(ctx context.Context, env tenants.Environment, token string) (email string, err error) {
	user, err := s.factors.Unlock(ctx, s.db, env.ID, token)
	if err != nil {
		return "", err
	}
	who, err := s.directory.LocalByID(ctx, s.db, env.ID, user)
	return who.Email, err
}

// Unlock lifts the lock of wrong passwords by the link that was mailed with it. It
// signs nobody in.
//
// Fault: SIGNIN_UNLOCK_EXPIRED.
func (s *Service) Unlock(ctx context.Context, a actor.Actor, env tenants.Environment, token string) error {
	return s.db.Tx(ctx, func(q db.Queryer) error {
		user, err := s.factors.UseUnlock(ctx, q, env.ID, token)
		if err != nil {
			return err
		}
		return s.LiftLock(ctx, a, q, env.ID, user, "mail")
	})
}

// LiftLock lifts what wrong passwords and codes brought upon an account; how tells
// the log by what means. A lock that an administrator set stays: see
// directory.Service.Unlock.
func (s *Service) LiftLock(ctx context.Context, a actor.Actor, q db.Queryer, environment, user, how string) error {
	who, err := s.directory.LocalByID(ctx, q, environment, user)
	if err != nil {
		return err
	}
	stmts := s.factors.ForgiveStmts(environment, factor.Typed(who.Email), factor.Known(user))
	event, err := audit.Stmts(audit.Event{
		Environment: environment, Tenant: a.Tenant, Action: "user.unlocked", Actor: a, At: s.clock.Now(),
		Targets:  []audit.Target{{Type: "user", ID: user, Name: who.Email}},
		Metadata: map[string]any{"how": how},
	})
	if err != nil {
		return err
	}
	return q.Batch(ctx, append(stmts, event...))
}

// mailLocked tells somebody that his account was locked, and how to go on.
func (s *Service) mailLocked(ctx context.Context, q db.Queryer, env tenants.Environment, who directory.PasswordLogin) error {
	token, err := s.factors.NewUnlock(ctx, q, env.ID, who.UserID)
	if err != nil || token == "" {
		return err
	}
	return s.mail(ctx, q, env.ID, who.Email, mail.Letter{
		Subject:    "Your account was locked",
		Paragraphs: []string{"Too many wrong passwords were entered for your account, so signing in with a password is locked. Sessions that are open go on."},
		Facts: []mail.Fact{
			{Label: "Unlock it here, once, within 15 minutes", Value: env.URL("/login/unlock/" + url.PathEscape(token))},
			{Label: "When", At: s.clock.Now()},
		},
		Steps:   []string{"If it was you and you do not remember the password: choose a new one with \"Forgot password?\" on the sign-in page, which unlocks the account too.", "If it was not you: your password was not guessed. Unlock the account when you need it, and tell your administrator."},
		Closing: "Nobody was told whether this account exists.",
	})
}

package signin

import (
	"context"
	"net/url"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/mail"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/signin/factor"
	"github.com/gatehouse-id/gatehouse/tenants"
)

func directoryLogin(user string) directory.PasswordLogin {
	return directory.PasswordLogin{UserID: user}
}

// Forgot mails a link with which a password can be set, when there is somebody
// who may have one under the address. The answer is the same in any case, and
// takes as long. Requests are counted by the network address.
//
// Fault: SIGNIN_TOO_MANY_ATTEMPTS.
func (s *Service) Forgot(ctx context.Context, a actor.Actor, env tenants.Environment, email string) error {
	if _, err := s.factors.Count(ctx, env.ID, factor.Known("forgot "+directory.EmailKey(email)), a.IP, factor.Lock{}); err != nil {
		return err
	}
	return s.db.Tx(ctx, func(q db.Queryer) error {
		who, err := s.directory.LocalCandidate(ctx, q, env.ID, email)
		if err != nil || who.UserID == "" || who.Locked {
			return err
		}
		token, err := s.factors.NewReset(ctx, q, env.ID, who.UserID)
		if err != nil || token == "" {
			return err
		}
		return s.mail(ctx, q, env.ID, who.Email, resetLetter(env, token, who.PasswordHash == ""))
	})
}

func resetLetter(env tenants.Environment, token string, first bool) mail.Letter {
	l := mail.Letter{
		Subject:    "Reset your password",
		Paragraphs: []string{"Open this address to choose a new password. It serves once, for 15 minutes."},
		Facts:      []mail.Fact{{Label: "Address", Value: env.URL("/login/reset/" + url.PathEscape(token))}},
		Closing:    "You get this because somebody asked for it on the sign-in page. If it was not you, there is nothing to do: your password stays as it is.",
	}
	if first {
		l.Subject, l.Paragraphs[0] = "Choose a password", "Open this address to choose a password for signing in. It serves once, for 15 minutes."
	}
	return l
}

// ResetShown tells whose password a link sets, and under which rules, without
// using it.
//
// Fault: SIGNIN_RESET_EXPIRED.
func (s *Service) ResetShown(ctx context.Context, env tenants.Environment, token string) (email string, rules factor.Rules, err error) {
	user, err := s.factors.Reset(ctx, s.db, env.ID, token)
	if err != nil {
		return "", factor.Rules{}, err
	}
	who, err := s.directory.LocalByID(ctx, s.db, env.ID, user)
	if err != nil {
		return "", factor.Rules{}, err
	}
	rules, _, err = s.passwordRules(ctx, env, who)
	return who.Email, rules, err
}

// Reset sets a password by a mailed link, which proves the address. Sessions and
// what waits for them end, and what stands against the account is lifted.
//
// Faults: SIGNIN_RESET_EXPIRED, those of factor.Rules, password_used_before,
// login_exists, SIGNIN_BUSY.
func (s *Service) Reset(ctx context.Context, a actor.Actor, env tenants.Environment, token, password string) error {
	user, err := s.factors.Reset(ctx, s.db, env.ID, token)
	if err != nil {
		return err
	}
	who, err := s.directory.LocalByID(ctx, s.db, env.ID, user)
	if err != nil {
		return err
	}
	hash, history, err := s.prepare(ctx, env, who, password)
	if err != nil {
		return err
	}
	return s.db.Tx(ctx, func(q db.Queryer) error {
		again, err := s.factors.UseReset(ctx, q, env.ID, token)
		if err == nil && again != user {
			err = factor.ErrReset
		}
		if err != nil {
			return err
		}
		if err := s.setPassword(ctx, a, q, env, who, hash, history, true); err != nil {
			return err
		}
		_, err = s.sessions.End(ctx, a, q, sessions.Selector{Environment: env.ID, User: user}, "password_changed")
		return err
	})
}

// SetFirstPassword gives a password to somebody who proved the address to us in
// another way, such as by an invitation. It runs in the caller's transaction;
// hash comes from PreparePassword.
//
// Fault: login_exists.
func (s *Service) SetFirstPassword(ctx context.Context, a actor.Actor, q db.Queryer, env tenants.Environment, user, hash string) error {
	who, err := s.directory.LocalByID(ctx, q, env.ID, user)
	if err != nil {
		return err
	}
	return s.setPassword(ctx, a, q, env, who, hash, 0, true)
}

// PreparePassword checks a new password of a person and hashes it, outside of any
// transaction.
//
// Faults: those of factor.Rules, password_used_before, SIGNIN_BUSY.
func (s *Service) PreparePassword(ctx context.Context, env tenants.Environment, user, password string) (hash string, err error) {
	who, err := s.directory.LocalByID(ctx, s.db, env.ID, user)
	if err != nil {
		return "", err
	}
	hash, _, err = s.prepare(ctx, env, who, password)
	return hash, err
}

// NewPassword checks and hashes a password for somebody who is about to be added
// to an organization, outside of any transaction.
//
// Faults: those of factor.Rules, SIGNIN_BUSY.
func (s *Service) NewPassword(ctx context.Context, env tenants.Environment, email string, organization tenants.Tenant, password string) (hash string, err error) {
	settings, err := s.personRules(ctx, s.db, env.ID, "", organization.ID)
	if err != nil {
		return "", err
	}
	return s.factors.Prepare(ctx, env.ID, "", "", password, factor.PasswordRules(settings, email, env.Name, organization.Name), 0)
}

func (s *Service) passwordRules(ctx context.Context, env tenants.Environment, who directory.PasswordLogin) (factor.Rules, int, error) {
	settings, err := s.personRules(ctx, s.db, env.ID, who.UserID, "")
	if err != nil {
		return factor.Rules{}, 0, err
	}
	words := []string{who.Email, env.Name}
	accounts, err := s.accounts(ctx, s.db, Flow{Environment: env.ID, UserID: who.UserID})
	for _, c := range accounts[:min(len(accounts), 10)] {
		words = append(words, c.Name)
	}
	return factor.PasswordRules(settings, words...), settings.Password.History, err
}

func (s *Service) prepare(ctx context.Context, env tenants.Environment, who directory.PasswordLogin, password string) (hash string, history int, err error) {
	rules, history, err := s.passwordRules(ctx, env, who)
	if err != nil {
		return "", 0, err
	}
	hash, err = s.factors.Prepare(ctx, env.ID, who.UserID, who.PasswordHash, password, rules, history)
	return hash, history, err
}

func (s *Service) setPassword(ctx context.Context, a actor.Actor, q db.Queryer, env tenants.Environment, who directory.PasswordLogin, hash string, history int, proven bool) error {
	if err := s.directory.SetPassword(ctx, q, env.ID, who.UserID, hash, proven); err != nil {
		return err
	}
	stmts := s.factors.KeepStmts(env.ID, who.UserID, who.PasswordHash, history)
	stmts = append(stmts, s.factors.ForgiveStmts(env.ID, factor.Typed(who.Email), factor.Known(who.UserID))...)
	events, err := audit.Stmts(audit.Event{
		Environment: env.ID, Tenant: a.Tenant, Action: "password.changed", Actor: a, At: s.clock.Now(),
		Targets: []audit.Target{{Type: "user", ID: who.UserID, Name: who.Email}},
	})
	if err != nil {
		return err
	}
	if err := q.Batch(ctx, append(stmts, events...)); err != nil || who.PasswordHash == "" {
		return err
	}
	return s.mail(ctx, q, env.ID, who.Email, mail.Letter{
		Subject:    "Your password was changed",
		Paragraphs: []string{"The password of your account was changed just now."},
		Facts:      []mail.Fact{{Label: "When", At: s.clock.Now()}},
		Closing:    "If it was not you, reset the password on the sign-in page and tell your administrator.",
	})
}

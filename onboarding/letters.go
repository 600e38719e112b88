package onboarding

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/jobs"
	"github.com/gatehouse-id/gatehouse/internal/mail"
	"github.com/gatehouse-id/gatehouse/tenants"
)

var errMailbox = fault.New(fault.Invalid, "invalid_email", "No mail can be sent to this address.").In("email")

// letterStmt has the mail sent that carries the token, after the transaction.
func (s *Service) letterStmt(ctx context.Context, q db.Queryer, env tenants.Environment, t tenants.Tenant, inv Invitation, token string) (db.Stmt, error) {
	own, err := s.tenants.Branding(ctx, q, env.ID, t.ID)
	if err != nil {
		return db.Stmt{}, err
	}
	vendor, err := s.tenants.Branding(ctx, q, env.ID, "")
	if err != nil {
		return db.Stmt{}, err
	}
	l := letter(env, t, inv, token)
	l.Lang, l.Zone = own.Over(vendor).Locale, t.Details.Timezone
	to := mail.Address{Email: inv.Email, Name: strings.TrimSpace(inv.FirstName + " " + inv.LastName)}
	sent, err := jobs.Mail(env.ID, t.ID, l, to, s.clock.Now())
	if errors.Is(err, mail.ErrMessage) {
		err = errMailbox.Because(err)
	}
	return sent, err
}

func letter(env tenants.Environment, t tenants.Tenant, inv Invitation, token string) mail.Letter {
	l := mail.Letter{
		Args:       []string{"name", inv.InvitedBy, "organization", t.Name, "email", inv.Email, "address", env.URL("/invitations/" + url.PathEscape(token))},
		Subject:    "You are invited to {organization}",
		Paragraphs: []string{"You are invited to join {organization}. To accept, open this address and sign in as {email}:", "{address}"},
		Facts: []mail.Fact{
			{Label: "Organization", Value: t.Name},
			{Label: "Your address", Value: inv.Email},
			{Label: "Accept until", At: inv.ExpiresAt},
		},
		Closing: "If you did not expect this, ignore it: without you nothing happens. The address above is for you alone; do not pass it on.",
	}
	if inv.InvitedBy != "" {
		l.Subject = "{name} invites you to {organization}"
		l.Paragraphs[0] = "{name} invites you to join {organization}. To accept, open this address and sign in as {email}:"
	}
	if !inv.AccessUntil.IsZero() {
		l.Facts = append(l.Facts, mail.Fact{Label: "Access until", At: inv.AccessUntil})
	}
	return l
}

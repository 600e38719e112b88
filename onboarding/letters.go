package onboarding

import (
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/jobs"
	"github.com/gatehouse-id/gatehouse/internal/mail"
	"github.com/gatehouse-id/gatehouse/tenants"
)

var errMailbox = fault.New(fault.Invalid, "invalid_email", "No mail can be sent to this address.").In("email")

// letterStmt has the mail sent that carries the token, after the transaction.
func (s *Service) letterStmt(env tenants.Environment, t tenants.Tenant, inv Invitation, token string) (db.Stmt, error) {
	to := mail.Address{Email: inv.Email, Name: strings.TrimSpace(inv.FirstName + " " + inv.LastName)}
	sent, err := jobs.Mail(env.ID, t.ID, letter(env, t, inv, token), to, s.clock.Now())
	if errors.Is(err, mail.ErrMessage) {
		err = errMailbox.Because(err)
	}
	return sent, err
}

func letter(env tenants.Environment, t tenants.Tenant, inv Invitation, token string) mail.Letter {
	who := "You are invited"
	if inv.InvitedBy != "" {
		who = inv.InvitedBy + " invites you"
	}
	l := mail.Letter{
		Subject:    who + " to " + t.Name,
		Paragraphs: []string{who + " to join " + t.Name + ". To accept, open this address and sign in as " + inv.Email + ":", env.URL("/invitations/" + url.PathEscape(token))},
		Facts: []mail.Fact{
			{Label: "Organization", Value: t.Name},
			{Label: "Your address", Value: inv.Email},
			{Label: "Accept until", Value: shown(inv.ExpiresAt)},
		},
		Closing: "If you did not expect this, ignore it: without you nothing happens. The address above is for you alone; do not pass it on.",
	}
	if !inv.AccessUntil.IsZero() {
		l.Facts = append(l.Facts, mail.Fact{Label: "Access until", Value: shown(inv.AccessUntil)})
	}
	return l
}

func shown(t time.Time) string { return t.UTC().Format("2 January 2006 15:04 MST") }

package signin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/jobs"
	"github.com/gatehouse-id/gatehouse/internal/mail"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// JobExpiry is the kind of the job that runs WarnExpiring.
const JobExpiry = "signin.expiring_certificates"

const (
	expiringBatch = 100
	// mailClosing is why an admin gets a mail about a connection.
	mailClosing = "You get this mail because you may change the single sign-on settings of your organization."
)

// MailAdmins has a letter sent, after the transaction, to each of the tenant's
// people who may mend its connections.
func (s *Service) MailAdmins(ctx context.Context, q db.Queryer, environment, tenant string, l mail.Letter) error {
	admins, err := s.Admins(ctx, q, environment, tenant)
	if err != nil {
		return err
	}
	l.Closing = mailClosing
	var stmts []db.Stmt
	for _, r := range admins {
		sent, err := jobs.Mail(environment, tenant, l, mail.Address{Email: r.Email, Name: r.Name}, s.clock.Now())
		if errors.Is(err, mail.ErrMessage) {
			continue // an address that an identity provider made up reaches nobody
		}
		if err != nil {
			return err
		}
		stmts = append(stmts, sent)
	}
	if len(stmts) == 0 {
		return nil
	}
	return q.Batch(ctx, stmts)
}

// WarnExpiring tells of the certificates, of identity providers and our own, that
// end in 60, 30, 14, 7, 3 or 1 days or have ended: once for each of these, by an
// event and by mail to the tenant's admins (sso 2.1). It is a job of its own and
// so opens its transactions, one per certificate.
func (s *Service) WarnExpiring(ctx context.Context) error {
	for {
		list, err := s.tenants.ExpiringCertificates(ctx, s.db, expiringBatch)
		if err != nil || len(list) == 0 {
			return err
		}
		var failed []error
		for _, e := range list {
			if err := s.db.Tx(ctx, func(q db.Queryer) error { return s.warn(ctx, q, e) }); err != nil {
				failed = append(failed, err)
			}
		}
		if len(failed) > 0 { // they would be listed again at once
			return errors.Join(failed...)
		}
	}
}

func (s *Service) warn(ctx context.Context, q db.Queryer, e tenants.ExpiringCertificate) error {
	first, err := s.tenants.MarkWarned(ctx, q, e)
	if err != nil || !first {
		return err
	}
	now := s.clock.Now()
	err = audit.Record(ctx, q, audit.Event{
		Environment: e.Environment, Tenant: e.Tenant, Action: "sso_certificate.expiring", Severity: expirySeverity(e.Threshold), At: now,
		Actor: actor.Actor{Environment: e.Environment, Kind: actor.System}, Connection: e.Connection,
		Targets: []audit.Target{{Type: "sso_connection", ID: e.Connection, Name: e.ConnectionName}},
		Metadata: map[string]any{
			"owner": e.Owner, "spki": e.SPKI(), "days_left": daysLeft(e.NotAfter, now), "not_after": e.NotAfter.UTC().Format(time.RFC3339),
			"follows_metadata": e.Follows,
		},
	})
	if err != nil {
		return err
	}
	return s.MailAdmins(ctx, q, e.Environment, e.Tenant, expiryLetter(e, now))
}

// expirySeverity rises as the date comes near.
func expirySeverity(threshold int64) audit.Severity {
	switch {
	case threshold > 14:
		return audit.Medium
	case threshold > 3:
		return audit.High
	}
	return audit.Critical
}

// daysLeft counts begun days; 0 when the date has passed.
func daysLeft(notAfter, now time.Time) int {
	const day = 24 * time.Hour
	return max(0, int((notAfter.Sub(now)+day-1)/day))
}

func expiryLetter(e tenants.ExpiringCertificate, now time.Time) mail.Letter {
	whose, when := "The signing certificate of your identity provider", "has ended"
	if e.Owner == tenants.OwnerSP {
		whose = "Our certificate for your identity provider"
	}
	switch n := daysLeft(e.NotAfter, now); n {
	case 0:
	case 1:
		when = "ends within a day"
	default:
		when = fmt.Sprintf("ends in %d days", n)
	}
	l := mail.Letter{
		Subject:    fmt.Sprintf("%s %s (%s)", whose, when, e.ConnectionName),
		Paragraphs: []string{fmt.Sprintf("%s at the single sign-on connection %s %s.", whose, e.ConnectionName, when)},
		Facts: []mail.Fact{
			{Label: "Connection", Value: e.ConnectionName + " (" + e.Connection + ")"},
			{Label: "Valid until", Value: e.NotAfter.UTC().Format("2 January 2006 15:04 MST")},
			{Label: "Public key (SHA-256)", Value: e.SPKI()},
		},
	}
	switch {
	case e.Owner == tenants.OwnerSP:
		l.Paragraphs = append(l.Paragraphs, "Some identity providers refuse signed requests, or encrypt no longer, once this certificate has ended.")
		l.Steps = []string{
			"In the connection's keys, add the next key. Both are published from then on, and both decrypt.",
			"At the identity provider, load the connection's metadata again, or upload the new certificate beside the old one.",
			"In the connection's keys, activate the next key. Remove the old one when the identity provider no longer uses it.",
		}
	case e.Follows:
		l.Paragraphs = append(l.Paragraphs,
			"This connection reads your identity provider's metadata every day, so the next certificate follows by itself once the identity provider publishes it. There is nothing to do here.",
			"Sign-in goes on after the date, because the key is what is trusted, not the date of its certificate.")
		l.Steps = []string{"If certificates are not replaced automatically at your identity provider, make a new one there before the date."}
	default:
		l.Paragraphs = append(l.Paragraphs,
			"Sign-in goes on after the date as long as the identity provider signs with this key, because the key is what is trusted, not the date of its certificate. Sign-in stops when the identity provider begins to sign with another key that is not known here.")
		l.Steps = []string{
			"At the identity provider, make the next signing certificate and download it, before it is put to use.",
			"In the connection's settings, add it to the certificates. The old one stays trusted beside it.",
			"Put it to use at the identity provider, make a test login, and then remove the old certificate here.",
			"Or give the connection the address of the identity provider's metadata: certificates then follow by themselves.",
		}
	}
	return l
}

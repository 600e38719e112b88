package webhooks

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/jobs"
	"github.com/gatehouse-id/gatehouse/internal/mail"
)

// disable switches an endpoint off by itself, tells of it, and lets the tenant's
// people know. It leaves one alone that has another address since, or that somebody
// switched on again.
func (s *Service) disable(ctx context.Context, q db.Queryer, l lane, sent Endpoint, reason Reason, now time.Time) error {
	e, err := s.lockEndpoint(ctx, q, l.tenant, l.endpoint, nil)
	if errors.Is(err, ErrEndpointNotFound) || err == nil && !e.Active {
		return nil
	}
	if err != nil {
		return err
	}
	if e.URL != sent.URL || reason == Failing && !e.FailingSince.Equal(sent.FailingSince) {
		return nil
	}
	e.Active, e.Disabled, e.DisabledAt, e.UpdatedAt, e.Version = false, reason, now, now, e.Version+1
	if err := s.storeEndpoint(ctx, q, e); err != nil {
		return err
	}
	system := actor.Actor{Environment: e.Environment, Kind: actor.System}
	err = s.record(ctx, system, q, "webhook.disabled", e, map[string]audit.Change{"active": {From: true, To: false}}, map[string]any{"reason": string(reason)})
	if err != nil || s.admins == nil {
		return err
	}
	to, err := s.admins(ctx, q, e.Environment, e.Tenant)
	if err != nil {
		return err
	}
	var stmts []db.Stmt
	for _, address := range to {
		sent, err := jobs.Mail(e.Environment, e.Tenant, disabledLetter(e), address, now)
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

func disabledLetter(e Endpoint) mail.Letter {
	why := "It answered that it is gone (410) and was switched off."
	if e.Disabled == Failing {
		why = "Every delivery of the last five days failed, so it was switched off."
	}
	return mail.Letter{
		Subject:    "The webhook " + e.Name + " was switched off",
		Paragraphs: []string{"The webhook " + e.Name + " no longer receives events. " + why},
		Facts:      []mail.Fact{{Label: "Webhook", Value: e.Name + " (" + e.ID + ")"}, {Label: "Address", Value: withoutQuery(e.URL)}},
		Steps: []string{
			"Look at the answers in the webhook's log of deliveries, and mend the receiver.",
			"Send a test event.",
			"Switch the webhook on again. Deliveries that were still waiting are then sent; replay the failed ones that you need.",
		},
		Closing: "You get this mail because you may change the webhooks of your organization.",
	}
}

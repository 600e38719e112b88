package saml

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/entra"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// graph reads a person's groups from Microsoft Graph.
type graph func(ctx context.Context, app entra.App, objectID string) ([]string, error)

// completeGroups answers a response that says it leaves groups out, as Entra ID's
// do beyond 150 (sso 2.4): from the memberships that SCIM keeps, which count at
// every token anyway; without a directory from Microsoft Graph; else what was
// known before stays. A login never fails for it. It asks the network: never call
// it in a transaction.
func (h *Handler) completeGroups(ctx context.Context, c tenants.SSOConnection, at *attempt) error {
	if !at.identity.GroupsOmitted {
		return nil
	}
	note := func(actual string) {
		at.checks = append(at.checks, signin.Check{Name: "groups", OK: true, Expected: "all groups of the person", Actual: actual})
		at.identity.Checks = at.checks
	}
	paired, err := h.tenants.HasDirectory(ctx, h.db, c)
	if err != nil {
		return err
	}
	if paired {
		note("left out; those that SCIM keeps count")
		return nil
	}
	secret, err := h.tenants.ClientSecret(c)
	if err != nil {
		return err
	}
	cloud, _ := entra.CloudOf(c.SAML.IdPEntityID)
	app := entra.App{Cloud: cloud, Tenant: c.SAML.GraphTenant, Client: c.SAML.GraphClient, Secret: secret}
	if !app.Usable() {
		note("warning: left out; those known before stay")
		return nil
	}
	if named, err := h.signin.GroupsByName(ctx, h.db, at.identity); err != nil || named {
		note("warning: left out, and Microsoft Graph has ids where the response has names; those known before stay")
		return err
	}
	groups, err := h.graph(ctx, app, at.identity.ObjectID)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) { // its address is of no use to an administrator
			err = failed.Err
		}
		h.log.WarnContext(ctx, "groups not read from Microsoft Graph", "connection", c.ID, "error", err)
		note("warning: left out, and not to be had from Microsoft Graph (" + strings.TrimPrefix(err.Error(), "entra: ") + "); those known before stay")
		return nil
	}
	note(fmt.Sprintf("left out; %d from Microsoft Graph", len(groups)))
	at.identity.Groups, at.identity.GroupsKnown = groups, true
	return nil
}

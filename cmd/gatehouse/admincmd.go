package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/signin"
)

type adminCmd struct {
	BreakGlass adminBreakGlassCmd `cmd:"" name:"break-glass" help:"Print a one-time link that signs a member in past SSO enforcement. It serves for 15 minutes, the session for an hour; both are audited as critical."`
}

type adminBreakGlassCmd struct {
	storeConfig
	BaseURL     string `default:"http://localhost:8080" help:"Public address of the default environment, as serve has it: the link begins with it."`
	Environment string `help:"Environment id (env_…). Empty: the default environment."`
	Tenant      string `required:"" help:"Id or key of the tenant."`
	Email       string `required:"" help:"E-mail address of the member."`
	JSON        bool   `name:"json" help:"Print JSON."`
}

// Run makes the link on the store directly; it works while a server runs.
func (c *adminBreakGlassCmd) Run(e *env) error {
	m, environment, err := c.domain(e, strings.TrimSuffix(c.BaseURL, "/"), c.Environment)
	if err != nil {
		return err
	}
	defer m.DB.Close()
	var link signin.BreakGlass
	err = m.DB.Tx(e.ctx, func(q db.Queryer) error {
		operator := actor.Actor{Environment: environment.ID, Kind: actor.System, Name: "gatehouse admin break-glass"}
		link, err = m.Signin.BreakGlassCreate(e.ctx, operator, q, environment, c.Tenant, c.Email)
		return err
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(map[string]string{"url": link.URL, "user_id": link.UserID, "expires_at": link.ExpiresAt.UTC().Format(time.RFC3339)})
	}
	_, err = fmt.Fprintf(e.stdout, "%s\n\nThe link signs in once, until %s. Give it to nobody but the person that it is for.\nIf it does not begin with the address of your gateway, give that address as --base-url.\n", link.URL, link.ExpiresAt.UTC().Format(time.RFC3339))
	return err
}

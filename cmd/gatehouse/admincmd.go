package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/signin/staffauth"
)

type adminCmd struct {
	Create     adminCreateCmd     `cmd:"" help:"Add a person of the vendor's, such as the first back-office admin, and print a one-time link to the back office. For somebody who is there already it prints a fresh link."`
	BreakGlass adminBreakGlassCmd `cmd:"" name:"break-glass" help:"Print a one-time link that signs a member in past SSO enforcement. It serves for 15 minutes, the session for an hour; both are audited as critical."`
}

type adminCreateCmd struct {
	storeConfig
	BaseURL     string   `default:"http://localhost:8080" help:"Public address of the default environment, as serve has it: the link begins with it."`
	Email       string   `required:"" help:"E-mail address of the person."`
	Name        string   `help:"What the person is called."`
	Environment string   `help:"Environment id (env_…) in which the roles hold. Empty: in all of them."`
	Role        []string `default:"admin" help:"Back-office roles, separated by commas: admin, backoffice-editor, backoffice-viewer, entitlements-editor, entitlements-viewer, impersonator."`
	JSON        bool     `name:"json" help:"Print JSON."`
}

// Run adds the person on the store directly; it works while a server runs. Somebody
// who is on the staff already keeps the roles that he has.
func (c *adminCreateCmd) Run(e *env) error {
	m, environment, err := c.domain(e, strings.TrimSuffix(c.BaseURL, "/"), c.Environment)
	if err != nil {
		return err
	}
	defer m.DB.Close()
	in := staff.NewPerson{Email: c.Email, Name: c.Name, Environment: staff.Everywhere, Roles: c.Role}
	if c.Environment != "" {
		in.Environment = environment.ID
	}
	var p staff.Person
	var link staffauth.Link
	err = m.DB.Tx(e.ctx, func(q db.Queryer) error {
		operator := actor.Actor{Environment: environment.ID, Kind: actor.System, Name: "gatehouse admin create"}
		p, err = m.Staff.CreatePerson(e.ctx, operator, q, in)
		if errors.Is(err, staff.ErrTaken) {
			p, err = m.Staff.PersonByEmail(e.ctx, q, c.Email)
		}
		if err == nil {
			link, err = m.StaffAuth.Welcome(e.ctx, operator, q, p.ID, true)
		}
		return err
	})
	if err != nil {
		return err
	}
	roles, until := p.Roles[in.Environment], link.ExpiresAt.UTC().Format(time.RFC3339)
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(map[string]any{"id": p.ID, "email": p.Email, "roles": roles, "url": link.URL, "expires_at": until})
	}
	_, err = fmt.Fprintf(e.stdout, "id     %s\nemail  %s\nroles  %s\nlink   %s\n\nThe link sets a password and a second factor for the back office, once, until %s. Links printed before serve no more.\nGive it to nobody but the person that it is for. If it does not begin with the address of your gateway, give that address as --base-url.\n",
		p.ID, p.Email, strings.Join(roles, ", "), link.URL, until)
	return err
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

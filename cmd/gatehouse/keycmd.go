package main

import (
	"encoding/json"
	"fmt"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
)

type keyCmd struct {
	Create keyCreateCmd `cmd:"" help:"Mint a management key. It is shown once."`
}

type keyCreateCmd struct {
	storeConfig
	Name        string   `required:"" help:"What the key is for."`
	Environment string   `help:"Environment id (env_…). Empty: the default environment."`
	Role        []string `default:"admin" help:"Back-office roles of the key, separated by commas: admin, backoffice-editor, backoffice-viewer, entitlements-editor, entitlements-viewer, impersonator."`
	JSON        bool     `name:"json" help:"Print JSON."`
}

// Run mints a key on the store directly; it works while a server runs.
func (c *keyCreateCmd) Run(e *env) error {
	m, environment, err := c.domain(e, "http://localhost:8080", c.Environment)
	if err != nil {
		return err
	}
	defer m.DB.Close()
	var key staff.Key
	var shown string
	err = m.DB.Tx(e.ctx, func(q db.Queryer) error {
		operator := actor.Actor{Environment: environment.ID, Kind: actor.System, Name: "gatehouse key create"}
		key, shown, err = m.Staff.CreateKey(e.ctx, operator, q, staff.NewKey{Environment: environment.ID, Name: c.Name, Roles: c.Role})
		return err
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(map[string]string{"id": key.ID, "key": shown})
	}
	_, err = fmt.Fprintf(e.stdout, "id   %s\nkey  %s\n\nKeep the key now: it is stored as a hash and cannot be shown again.\n", key.ID, shown)
	return err
}

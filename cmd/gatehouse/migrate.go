package main

import (
	"fmt"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/migrations"
)

type migrateCmd struct {
	Up     migrateUpCmd     `cmd:"" help:"Apply what is pending."`
	Status migrateStatusCmd `cmd:"" help:"List the migrations."`
}

type migrateUpCmd struct {
	storeConfig
}

// Run applies the pending migrations and lists them all.
func (c *migrateUpCmd) Run(e *env) error { return c.storeConfig.migrate(e, true) }

type migrateStatusCmd struct {
	storeConfig
}

// Run lists the migrations.
func (c *migrateStatusCmd) Run(e *env) error { return c.storeConfig.migrate(e, false) }

func (c *storeConfig) migrate(e *env, up bool) error {
	if err := c.check(); err != nil {
		return err
	}
	d, err := c.open(e.ctx)
	if err != nil {
		return err
	}
	defer d.Close()
	if up {
		if err := db.Migrate(e.ctx, d, migrations.FS); err != nil {
			return err
		}
	}
	list, err := db.MigrationStatus(e.ctx, d, migrations.FS)
	if err != nil {
		return err
	}
	for _, m := range list {
		at := "pending"
		if !m.At.IsZero() {
			at = "applied " + m.At.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(e.stdout, "%04d  %-28s  %s\n", m.Version, m.Name, at)
	}
	return nil
}

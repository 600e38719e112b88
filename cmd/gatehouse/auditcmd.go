package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/clock"
)

type auditCmd struct {
	Verify auditVerifyCmd `cmd:"" help:"Check the hash chain of the audit log."`
}

type auditVerifyCmd struct {
	storeConfig
	Tenant string `help:"Only this tenant's chain. Empty: every chain."`
}

// Run checks the chains and fails when one does not hold.
func (c *auditVerifyCmd) Run(e *env) error {
	if err := c.check(); err != nil {
		return err
	}
	d, err := c.open(e.ctx)
	if err != nil {
		return err
	}
	defer d.Close()
	log := audit.NewLog(d, clock.System{})
	chains := []string{c.Tenant}
	if c.Tenant == "" {
		if chains, err = log.Chains(e.ctx); err != nil {
			return err
		}
	}
	bad := false
	for _, tenant := range chains {
		r, err := log.Verify(e.ctx, tenant)
		if err != nil {
			return err
		}
		name := tenant
		if name == "" {
			name = "(above tenants)"
		}
		fmt.Fprintf(e.stdout, "%s: %d events sealed, %d not sealed yet\n", name, r.Events, r.Unsealed)
		if r.Purged > 0 {
			fmt.Fprintf(e.stdout, "  verified from a checkpoint of %s on: retention deleted %d events before it\n", r.PurgedAt.UTC().Format(time.RFC3339), r.Purged)
		}
		if r.PurgedFaults > 0 {
			fmt.Fprintf(e.stdout, "  %d of those did not verify when they were deleted\n", r.PurgedFaults)
		}
		if r.Head != "" {
			fmt.Fprintf(e.stdout, "  newest hash %s\n", r.Head)
		}
		for _, f := range r.Faults {
			bad = true
			fmt.Fprintf(e.stdout, "  seq %d, event %s: %s\n", f.Seq, f.Event, f.Kind)
		}
	}
	if bad {
		return errors.New("the audit log was changed after it was sealed; keep the database as it is and compare it with a backup")
	}
	return nil
}

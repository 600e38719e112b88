package tenants

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

// HasDirectory reports whether a SCIM connection provisions the people who log in
// through the SSO connection (identity rule 3).
func (s *Service) HasDirectory(ctx context.Context, q db.Queryer, c SSOConnection) (bool, error) {
	if c.Pairing == PairingChosen {
		return len(c.SCIMConnectionIDs) > 0, nil
	}
	ways, err := count(ctx, q, sqlCountSSOConnections, c.Tenant)
	if err != nil || ways > 1 {
		return false, err
	}
	directories, err := count(ctx, q, sqlCountSCIMConnections, c.Tenant)
	return directories > 0, err
}

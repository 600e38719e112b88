package signin

import (
	"context"
	"errors"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// maxLocales bounds what is kept of ui_locales, in bytes.
const maxLocales = 200

// Look is what decides how the pages of a sign-in look.
type Look struct {
	// Tenant is the organization that the sign-in goes to: named by the application,
	// or chosen by the person, who has proved himself or goes to its identity
	// provider. An e-mail address that somebody typed decides nothing. Empty: not known.
	Tenant string
	// Locales are the languages that the application asked for and that the person
	// chose, the preferred first, with spaces between.
	Locales string
}

// FlowLook gives the look of a sign-in to the browser that it belongs to; the zero
// value to any other, and for a sign-in that is not there.
func (s *Service) FlowLook(ctx context.Context, q db.Queryer, environment, flowID, browserID string) (Look, error) {
	var l Look
	var organization, own string
	err := q.QueryRow(ctx, sqlFlowLook, environment, flowID, secret.Hash(browserID)).Scan(&organization, &l.Tenant, &l.Locales, &own)
	if errors.Is(err, db.ErrNotFound) {
		return Look{}, nil
	}
	l.Tenant, l.Locales = firstOf(organization, l.Tenant), joinNames(l.Locales, own)
	return l, err
}

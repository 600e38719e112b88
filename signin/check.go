package signin

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Person is somebody as one tenant sees him, after the lifecycle check.
type Person struct {
	Environment string
	Tenant      string
	TenantKey   string
	UserID      string
	Membership  string
	Email       string
	// EmailVerified is true only if the tenant holds the e-mail's domain or the
	// person proved the address to us (identity rule 5).
	EmailVerified bool
	// DomainHeld: the tenant holds the e-mail's domain.
	DomainHeld bool
	FirstName  string
	LastName   string
	Name       string
	Locale     string
	Picture    string
	// Metadata is what applications keep of the member, a JSON object; empty: nothing.
	Metadata string
	// TenantIDs are the tenants that the person can enter, this one included.
	TenantIDs []string
}

// Refusals by lifecycle. Each message tells the person what he can do.
var (
	errTenantSuspended = fault.New(fault.Forbidden, "POLICY_TENANT_SUSPENDED", "Your organization's access to this service is suspended. Ask your administrator.")
	errNotMember       = fault.New(fault.Forbidden, "POLICY_NOT_A_MEMBER", "You no longer belong to this organization. Ask your administrator to add you.")
	errUserLocked      = fault.New(fault.Forbidden, "POLICY_USER_LOCKED", "Your account is locked. Ask your administrator to unlock it.")
	// ErrConnectionDisabled is also what protocols answer for a connection that is not active.
	ErrConnectionDisabled = fault.New(fault.Forbidden, "POLICY_CONNECTION_DISABLED", "This way of signing in is switched off. Ask your administrator.")
)

// Check is the one lifecycle check: environment, tenant, connection, membership
// and user. Every sign-in, token, refresh and use of a session calls it, so that
// no entry point can forget a part (design 1, waist 2). connection is the one
// through which the person proved himself to the tenant; empty when it was none.
// One round trip.
//
// Faults: POLICY_* of kind Forbidden.
func (s *Service) Check(ctx context.Context, q db.Queryer, environment, tenant, userID, connection string) (Person, error) {
	return s.check(ctx, q, environment, tenant, userID, connection, nil)
}

// CheckWith is Check with further statements in the same round trip.
func (s *Service) CheckWith(ctx context.Context, q db.Queryer, environment, tenant, userID, connection string, with ...db.Stmt) (Person, error) {
	return s.check(ctx, q, environment, tenant, userID, connection, with)
}

// checkLocked is Check for a transaction that goes on to make a session.
func (s *Service) checkLocked(ctx context.Context, q db.Queryer, environment, tenant, userID, connection string) (Person, error) {
	var locked []string
	return s.check(ctx, q, environment, tenant, userID, connection, []db.Stmt{
		{SQL: sqlLockPerson + q.Dialect().ForUpdate, Args: []any{tenant, userID, environment}, Scan: scanStrings(&locked)},
	})
}

func (s *Service) check(ctx context.Context, q db.Queryer, environment, tenant, userID, connection string, before []db.Stmt) (Person, error) {
	p := Person{Environment: environment, Tenant: tenant, UserID: userID}
	var (
		m                            directory.Membership
		tenantStatus, connStatus     *string
		ownName, ownEmail            string
		ownVerified, found           bool
		disabled, hidden, expires, l db.Time
		domains                      []string
	)
	now := s.clock.Now()
	err := q.Batch(ctx, append(before, []db.Stmt{
		{SQL: sqlPerson, Args: []any{tenant, userID, environment, connection}, Scan: func(rows db.Rows) error {
			for rows.Next() {
				found = true
				if err := rows.Scan(&tenantStatus, &p.TenantKey, &p.Membership, &m.Status, &disabled, &hidden, &expires, &m.SCIMResources, &m.SCIMActive,
					&p.Email, &p.FirstName, &p.LastName, &p.Name, &ownName, &p.Locale, &p.Picture, &ownEmail, &ownVerified, &l, &connStatus, &p.Metadata); err != nil {
					return err
				}
			}
			return rows.Err()
		}},
		{SQL: sqlVerifiedDomains, Args: []any{tenant}, Scan: scanStrings(&domains)},
		{SQL: sqlPersonTenants, Args: []any{environment, userID, db.At(now)}, Scan: scanStrings(&p.TenantIDs)},
	}...))
	if err != nil {
		return p, err
	}
	m.DisabledAt, m.HiddenAt, m.ExpiresAt = disabled.Time, hidden.Time, expires.Time
	if err := mayEnter(found, tenantStatus, connection, connStatus, l, m, now); err != nil {
		return p, err
	}
	p.Name = firstOf(p.Name, joinNames(p.FirstName, p.LastName), ownName)
	key := directory.EmailKey(p.Email)
	p.DomainHeld = holdsDomain(domains, p.Email)
	p.EmailVerified = ownVerified && key == ownEmail || p.DomainHeld
	return p, nil
}

// mayEnter says of what the store holds whether somebody may come in or stay.
func mayEnter(found bool, tenantStatus *string, connection string, connStatus *string, locked db.Time, m directory.Membership, now time.Time) error {
	switch {
	case !found:
		return errNotMember
	case *tenantStatus != tenants.StatusActive:
		return errTenantSuspended
	case !locked.IsZero():
		return errUserLocked
	case connection != "" && (connStatus == nil || *connStatus != tenants.SSOActive):
		return ErrConnectionDisabled
	}
	return m.Usable(now)
}

// connectionState is a connection with its tenant, as a login needs them.
type connectionState struct {
	Environment, Tenant, TenantKey, TenantName, TenantStatus string
	ID, Type, Name, Status, Pairing                          string
	JIT, AllowUnverified, TrustIdPMFA                        bool
}

func (c connectionState) usable() error {
	switch {
	case c.TenantStatus != tenants.StatusActive:
		return errTenantSuspended
	case c.Status != tenants.SSOActive:
		return ErrConnectionDisabled
	}
	return nil
}

func (s *Service) connection(ctx context.Context, q db.Queryer, environment, tenant, connection string) (connectionState, error) {
	return readConnection(ctx, q, sqlConnection, environment, tenant, connection)
}

// heldConnection is connection for a transaction that goes on to make a session:
// who switches the connection or its tenant off waits, and then ends it.
func (s *Service) heldConnection(ctx context.Context, q db.Queryer, environment, tenant, connection string) (connectionState, error) {
	return readConnection(ctx, q, sqlConnection+q.Dialect().ForKeyShare, environment, tenant, connection)
}

func readConnection(ctx context.Context, q db.Queryer, text, environment, tenant, connection string) (connectionState, error) {
	c := connectionState{Environment: environment}
	err := q.QueryRow(ctx, text, tenant, connection, environment).Scan(&c.Tenant, &c.ID, &c.Type, &c.Name, &c.Status,
		&c.JIT, &c.AllowUnverified, &c.TrustIdPMFA, &c.Pairing, &c.TenantStatus, &c.TenantKey, &c.TenantName)
	if errors.Is(err, db.ErrNotFound) {
		return c, ErrConnectionDisabled
	}
	return c, err
}

func holdsDomain(verified []string, email string) bool {
	at := strings.LastIndexByte(email, '@')
	if at < 0 {
		return false
	}
	domain, err := tenants.NormaliseDomain(email[at+1:])
	if err != nil {
		return false
	}
	for _, d := range verified {
		if d == domain {
			return true
		}
	}
	return false
}

func scanStrings(into *[]string) func(db.Rows) error {
	return func(rows db.Rows) error {
		*into = (*into)[:0]
		for rows.Next() {
			var v string
			if err := rows.Scan(&v); err != nil {
				return err
			}
			*into = append(*into, v)
		}
		return rows.Err()
	}
}

func joinNames(first, last string) string { return strings.TrimSpace(first + " " + last) }

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

package signin

import (
	"context"
	"errors"
	"net/url"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// ErrNoStart says that no application takes a login that nobody asked for.
var ErrNoStart = fault.New(fault.Invalid, "SIGNIN_NO_DEFAULT_APPLICATION", "Sign-in starts in the application that you want to use. Open it and choose Sign in.")

// SSOConnection finds a connection by the id in a path, inside the environment
// that the host named.
//
// Fault: connection_unknown of kind NotFound, also for another environment's.
func (s *Service) SSOConnection(ctx context.Context, q db.Queryer, env tenants.Environment, connection string) (tenants.SSOConnection, error) {
	unknown := fault.New(fault.NotFound, "connection_unknown", "There is no such connection.")
	located, tenant, err := s.tenants.Locate(ctx, q, connection)
	if absent(err) || err == nil && located != env.ID {
		return tenants.SSOConnection{}, unknown
	}
	if err != nil {
		return tenants.SSOConnection{}, err
	}
	c, err := s.tenants.SSOConnection(ctx, q, tenant, connection)
	if absent(err) {
		return c, unknown
	}
	return c, err
}

// OpenFlow is the gate before a question to the identity provider of c: the flow
// is under way in this browser and may end in the tenant, and the connection is
// active, or the flow is a test of it.
func (s *Service) OpenFlow(ctx context.Context, q db.Queryer, flowID, browserID string, c tenants.SSOConnection) (Flow, error) {
	f, err := s.Flow(ctx, q, c.Environment, flowID, browserID)
	if err != nil {
		return f, err
	}
	if err := f.Allows(c.Tenant); err != nil {
		return f, err
	}
	if err := f.AllowsConnection(c.ID); err != nil {
		return f, err
	}
	return f, serves(c.Status, f.Purpose)
}

// StartURL is where a login begins that no application asked for: the default
// application's address for third-party initiated login (OpenID Connect Core §4),
// which answers with an authorization request that names the connection.
//
// Fault: ErrNoStart.
func (s *Service) StartURL(ctx context.Context, q db.Queryer, env tenants.Environment, connection string) (string, error) {
	return s.startURL(ctx, q, env, "connection", connection)
}

// TenantStartURL is StartURL for a person who is signed in to the tenant.
func (s *Service) TenantStartURL(ctx context.Context, q db.Queryer, env tenants.Environment, tenant string) (string, error) {
	return s.startURL(ctx, q, env, "organization", tenant)
}

func (s *Service) startURL(ctx context.Context, q db.Queryer, env tenants.Environment, name, value string) (string, error) {
	app, err := s.tenants.DefaultApplication(ctx, q, env.ID)
	if absent(err) || err == nil && app.InitiateLoginURI == "" {
		return "", ErrNoStart
	}
	if err != nil {
		return "", err
	}
	return initiate(app, env, name, value)
}

// initiateURL is where an application starts a login through a connection.
func initiateURL(app tenants.Application, env tenants.Environment, connection string) (string, error) {
	return initiate(app, env, "connection", connection)
}

func initiate(app tenants.Application, env tenants.Environment, name, value string) (string, error) {
	target, err := url.Parse(app.InitiateLoginURI)
	if err != nil {
		return "", err
	}
	v := target.Query()
	v.Set("iss", env.BaseURL)
	v.Set(name, value)
	target.RawQuery = v.Encode()
	return target.String(), nil
}

func absent(err error) bool {
	return errors.Is(err, db.ErrNotFound) || fault.KindOf(err) == fault.NotFound
}

package tenants

import (
	"context"
	"crypto/rsa"
	"errors"
	"sync"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/sessions"
)

// Errors of objects that are absent or another tenant's: the two look alike.
var (
	ErrTenantNotFound      = fault.New(fault.NotFound, "tenant_not_found", "There is no such tenant.")
	ErrDomainNotFound      = fault.New(fault.NotFound, "domain_not_found", "There is no such domain.")
	ErrApplicationNotFound = fault.New(fault.NotFound, "application_not_found", "There is no such application.")
	ErrConnectionNotFound  = fault.New(fault.NotFound, "connection_not_found", "There is no such connection.")
	ErrSchemaNotFound      = fault.New(fault.NotFound, "schema_not_found", "There is no such schema.")
	ErrClientNotFound      = fault.New(fault.NotFound, "client_not_found", "There is no such client.")
	ErrTokenNotFound       = fault.New(fault.NotFound, "token_not_found", "There is no such token.")
	errEnvironmentOnly     = fault.New(fault.Forbidden, "environment_only", "Only the vendor may change this.")
)

// Options are the choices of an installation.
type Options struct {
	// AllowHTTP accepts plain http addresses of identity providers, for development.
	AllowHTTP bool
	// BaseURL is that of the default environment, which no other may take.
	BaseURL string
}

// Service holds the operations of the package. It is safe for concurrent use.
type Service struct {
	vault    *keys.Vault
	sessions *sessions.Service
	clock    clock.Clock
	options  Options

	mu      sync.Mutex
	located map[string]location
	opened  map[string]openedKey
	spare   []*rsa.PrivateKey // see ReadySPKey
}

type location struct{ environment, tenant string }

// maxLocated bounds the cache of Locate; it starts anew when it is full.
const maxLocated = 100_000

// New makes the service.
func New(v *keys.Vault, s *sessions.Service, c clock.Clock, o Options) *Service {
	return &Service{vault: v, sessions: s, clock: c, options: o, located: map[string]location{}}
}

// Locate tells to which environment and tenant a connection belongs. That never
// changes, so it is remembered in the process; whether the connection still
// exists is for the caller to ask.
func (s *Service) Locate(ctx context.Context, q db.Queryer, connectionID string) (environment, tenant string, err error) {
	if !id.Valid(id.SSO, connectionID) && !id.Valid(id.Directory, connectionID) {
		return "", "", ErrConnectionNotFound
	}
	s.mu.Lock()
	l, ok := s.located[connectionID]
	s.mu.Unlock()
	if ok {
		return l.environment, l.tenant, nil
	}
	err = q.QueryRow(ctx, sqlLocateConnection, connectionID).Scan(&l.environment, &l.tenant)
	if errors.Is(err, db.ErrNotFound) {
		return "", "", ErrConnectionNotFound
	}
	if err != nil {
		return "", "", err
	}
	s.mu.Lock()
	if len(s.located) >= maxLocated {
		clear(s.located)
	}
	s.located[connectionID] = l
	s.mu.Unlock()
	return l.environment, l.tenant, nil
}

func (s *Service) forget(connectionID string) {
	s.mu.Lock()
	delete(s.located, connectionID)
	s.mu.Unlock()
}

// record tells of a change in the log of a tenant. Who reached it from above is
// shown as of there, whether he entered the tenant or named it in his own.
func (s *Service) record(ctx context.Context, a actor.Actor, q db.Queryer, tenant, action string, t audit.Target, changes map[string]audit.Change) error {
	if a.Home == "" && a.Tenant != "" && tenant != "" && a.Tenant != tenant {
		a.Tenant, a.Home = tenant, a.Tenant
	}
	return audit.Record(ctx, q, audit.Event{
		Environment: a.Environment, Tenant: tenant, Action: action, Actor: a,
		Targets: []audit.Target{t}, Changes: changes, At: s.clock.Now(),
	})
}

// changed adds a field to the changes of an event when it changed.
func changed[T comparable](m map[string]audit.Change, field string, from, to T) {
	if from != to {
		m[field] = audit.Change{From: from, To: to}
	}
}

// count reads one number.
func count(ctx context.Context, q db.Queryer, sql string, args ...any) (n int64, err error) {
	err = q.QueryRow(ctx, sql, args...).Scan(&n)
	return n, err
}

func tooMany(what string) error {
	return fault.New(fault.TooLarge, "too_many", "The limit of "+what+" is reached.")
}

// conflict turns a violated key into the failure, and passes other errors on.
func conflict(err error, constraint string, f *fault.Error) error {
	var c *db.ConflictError
	if errors.As(err, &c) && c.Constraint == constraint {
		return f.Because(err)
	}
	return err
}

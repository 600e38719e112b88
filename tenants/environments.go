package tenants

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

// ErrUnknownHost answers a request for a host that is no environment's.
var ErrUnknownHost = fault.New(fault.NotFound, "unknown_host", "No environment answers this host.")

// ErrEnvironmentNotFound answers for an environment that is not there.
var ErrEnvironmentNotFound = fault.New(fault.NotFound, "environment_not_found", "There is no such environment.")

// How long the cache of environments holds, and how often a host that it does
// not know makes it read again.
const (
	environmentsFor   = 10 * time.Second
	environmentsRetry = time.Second
)

// Environments finds the environment of a request by its host. It keeps all of
// them in memory; a change is seen after at most ten seconds.
type Environments struct {
	q       db.Queryer
	clock   clock.Clock
	baseURL string

	mu     sync.Mutex
	read   time.Time
	byID   map[string]Environment
	byHost map[string]Environment
	main   Environment
}

// NewEnvironments makes the cache. baseURL is that of the default environment.
func NewEnvironments(q db.Queryer, c clock.Clock, baseURL string) *Environments {
	return &Environments{q: q, clock: c, baseURL: baseURL}
}

// EnsureDefault makes the default environment when there is none. Several
// replicas may call it at once. The caller makes its roles with
// rbac.EnsurePresets and its keys with keys.Ring.Ensure.
func (s *Service) EnsureDefault(ctx context.Context, q db.Queryer, baseURL string) (Environment, error) {
	if _, err := q.Exec(ctx, sqlEnsureDefault, id.New(id.Environment), "Default", db.At(s.clock.Now())); err != nil {
		return Environment{}, err
	}
	all, err := readEnvironments(ctx, q, baseURL)
	if err != nil {
		return Environment{}, err
	}
	for _, e := range all {
		if e.IsDefault {
			return e, nil
		}
	}
	return Environment{}, ErrUnknownHost
}

// ByHost finds the environment that answers the host, which may carry a port
// (contract 2). On a plain http loopback base URL the default environment
// answers every host that no other claims.
func (e *Environments) ByHost(ctx context.Context, host string) (Environment, error) {
	h := hostOf(host)
	for fresh := false; ; fresh = true {
		if err := e.load(ctx, fresh); err != nil {
			return Environment{}, err
		}
		e.mu.Lock()
		env, ok := e.byHost[h]
		main := e.main
		e.mu.Unlock()
		switch {
		case ok:
			return env, nil
		case !fresh: // it may be of an environment that was just made
		case main.ID != "" && loopbackHTTP(e.baseURL):
			return main, nil
		default:
			return Environment{}, ErrUnknownHost
		}
	}
}

// ByID finds an environment.
func (e *Environments) ByID(ctx context.Context, environmentID string) (Environment, error) {
	for fresh := false; ; fresh = true {
		if err := e.load(ctx, fresh); err != nil {
			return Environment{}, err
		}
		e.mu.Lock()
		env, ok := e.byID[environmentID]
		e.mu.Unlock()
		if ok {
			return env, nil
		}
		if fresh {
			return Environment{}, ErrEnvironmentNotFound
		}
	}
}

// All lists the environments, the default one first.
func (e *Environments) All(ctx context.Context) ([]Environment, error) {
	if err := e.load(ctx, false); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	list := make([]Environment, 0, len(e.byID))
	if e.main.ID != "" {
		list = append(list, e.main)
	}
	for _, env := range e.byID {
		if !env.IsDefault {
			list = append(list, env)
		}
	}
	return list, nil
}

// load reads the environments when they were read too long ago. A store that
// does not answer leaves the old ones in use.
func (e *Environments) load(ctx context.Context, unknown bool) error {
	now := e.clock.Now()
	e.mu.Lock()
	age, empty := now.Sub(e.read), len(e.byID) == 0
	e.mu.Unlock()
	if !empty && age < environmentsRetry || !empty && !unknown && age < environmentsFor {
		return nil
	}
	all, err := readEnvironments(ctx, e.q, e.baseURL)
	if err != nil {
		if !empty {
			return nil
		}
		return err
	}
	byID, byHost := make(map[string]Environment, len(all)), make(map[string]Environment, len(all))
	var main Environment
	for _, env := range all {
		byID[env.ID] = env
		if host := urlHost(env.BaseURL); host != "" {
			byHost[host] = env
		}
		if env.IsDefault {
			main = env
		}
	}
	// The configuration may have come to name a host that another one has had for long.
	if host := urlHost(main.BaseURL); host != "" {
		byHost[host] = main
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.read, e.byID, e.byHost, e.main = now, byID, byHost, main
	return nil
}

func readEnvironments(ctx context.Context, q db.Queryer, baseURL string) ([]Environment, error) {
	rows, err := q.Query(ctx, sqlEnvironments)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Environment
	for rows.Next() {
		e, err := scanEnvironment(rows, baseURL)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, rows.Err()
}

func scanEnvironment(r db.Row, baseURL string) (Environment, error) {
	var e Environment
	var settings string
	var created, updated db.Time
	if err := r.Scan(&e.ID, &e.Name, &e.BaseURL, &e.IsDefault, &settings, &e.Version, &created, &updated); err != nil {
		return Environment{}, err
	}
	if e.IsDefault && e.BaseURL == "" {
		e.BaseURL = baseURL
	}
	e.CreatedAt, e.UpdatedAt = created.Time, updated.Time
	return e, json.Unmarshal([]byte(settings), &e.Settings)
}
